/* body_attention.h - one tile of f32 keys and values against up to six rows, for the vectors that
 * the including file defines: scores (lanes are tokens), online softmax, weighted values (lanes are
 * head elements). */
#ifndef ENGINE_CPU_BODY_ATTENTION_H
#define ENGINE_CPU_BODY_ATTENTION_H

#define VECTORS_PER_GROUP (LANES / VW)

struct score_args {
    const float *k[4]; /* one for each vector of tokens */
    const float *q;
    float *s;
    size_t stride, ldq;
    int head_dim;
};

struct value_args {
    const struct attn_tile *tile;
    const float *p; /* [R][ATTN_TILE] */
    float *o;
    const float *shrink; /* [R] */
    size_t ldo, column;
    vmask last; /* lanes of the last vector */
};
#define scores_args score_args
#define values_args value_args

/* --- scores --- */

#define STORE_SCORES(r)                           \
    if (R > r) {                                  \
        float *s = t->s + r * ATTN_TILE;          \
        v_store(s, c##r##0);                      \
        if (NV > 1) v_store(s + VW, c##r##1);     \
        if (NV > 2) v_store(s + 2 * VW, c##r##2); \
        if (NV > 3) v_store(s + 3 * VW, c##r##3); \
    }

ALWAYS_INLINE void scores(const struct score_args *t, const int R, const int NV)
{
    const float *x = t->q;
    const float *k0 = t->k[0], *k1 = t->k[1], *k2 = t->k[2], *k3 = t->k[3];
    const size_t ldx = t->ldq, end = (size_t)t->head_dim * t->stride;
    FOR_ROWS(DECLARE)
    for (size_t at = 0; at < end; at += t->stride, x++) {
        const vec w0 = v_load(k0 + at);
        const vec w1 = NV > 1 ? v_load(k1 + at) : w0;
        const vec w2 = NV > 2 ? v_load(k2 + at) : w0;
        const vec w3 = NV > 3 ? v_load(k3 + at) : w0;
        FOR_ROWS(MULTIPLY)
    }
    FOR_ROWS(STORE_SCORES)
}

TILE_TABLE(scores, FOR_TILES);

static void tile_scores(const struct attn_tile *t, const struct attn_rows *r)
{
    const int first = t->lo / LANES * VECTORS_PER_GROUP;
    const int end = (t->hi + LANES - 1) / LANES * VECTORS_PER_GROUP;
    struct score_args a = {
        .q = r->q, .stride = (size_t)t->k_stride, .ldq = (size_t)r->ldq, .head_dim = t->head_dim};
    for (int v = first, nv; v < end; v += nv) {
        nv = tile_vectors(MAX_NV(r->n), end - v);
        for (int i = 0; i < nv; i++) {
            const int group = (v + i) / VECTORS_PER_GROUP,
                      first_token = (v + i) % VECTORS_PER_GROUP * VW;
            a.k[i] = (const float *)t->k[group] + first_token;
        }
        a.s = r->s + v * VW;
        scores_tiles[r->n - 1][nv - 1](&a);
    }
}

/* --- softmax --- */

/* Tokens [lo, hi) of the vector at `at` keep their score; returns it. */
ALWAYS_INLINE vec visible_scores(float *s, int at, int lo, int hi)
{
    const vec v = v_load(s + at);
    if (at >= lo && at + VW <= hi) return v;
    return v_keep_lanes(v, lo - at, hi - at, -INFINITY);
}

/* Scores to weights, zero outside the row's own tokens; returns what its sums shrink by. */
static float softmax_row(const struct attn_tile *t, struct attn_rows *r, int row)
{
    float *s = r->s + row * ATTN_TILE;
    const int first = t->lo / VW * VW, end = t->hi, lo = r->lo[row], hi = r->hi[row];
    vec max = v_set1(-INFINITY);
    for (int i = lo / VW * VW; i < hi; i += VW) max = v_max(visible_scores(s, i, lo, hi), max);
    const float tile_max = v_hmax(max), before = r->m[row];
    const float m = tile_max > before ? tile_max : before;
    if (hi <= lo || m == -INFINITY) { /* nothing seen (yet) */
        for (int i = first; i < end; i += VW) v_store(s + i, v_zero());
        return 1.0f;
    }
    const vec vm = v_set1(m);
    vec sum = v_zero();
    for (int i = first; i < end; i += VW) {
        const vec p = v_exp2(v_sub(visible_scores(s, i, lo, hi), vm));
        v_store(s + i, p);
        sum = v_add(sum, p);
    }
    /* Sums of nothing (-inf) are zeros, which any factor leaves alone. */
    const bool kept = before == m || before == -INFINITY;
    const float shrink = kept ? 1.0f : v_first(v_exp2(v_set1(before - m)));
    r->l[row] = r->l[row] * shrink + v_sum(sum);
    r->m[row] = m;
    return shrink;
}

/* --- values --- */

#define LOAD_VALUES(r)                                      \
    if (R > r) {                                            \
        const float *o = t->o + r * t->ldo;                 \
        const vec b = v_set1(t->shrink[r]);                 \
        c##r##0 = v_mul(v_load(o), b);                      \
        if (NV > 1) c##r##1 = v_mul(v_load(o + VW), b);     \
        if (NV > 2) c##r##2 = v_mul(v_load(o + 2 * VW), b); \
        if (NV > 3) c##r##3 = v_mul(v_load(o + 3 * VW), b); \
    }
#define STORE_VALUES(r)                           \
    if (R > r) {                                  \
        float *o = t->o + r * t->ldo;             \
        v_store(o, c##r##0);                      \
        if (NV > 1) v_store(o + VW, c##r##1);     \
        if (NV > 2) v_store(o + 2 * VW, c##r##2); \
        if (NV > 3) v_store(o + 3 * VW, c##r##3); \
    }
/* Vector i of a row of values; the last one may be short. */
#define VALUE(i) (NV == (i) + 1 ? v_load_mask(v + at + (i)*VW, last) : v_load(v + at + (i)*VW))

ALWAYS_INLINE void values(const struct value_args *t, const int R, const int NV)
{
    const struct attn_tile *tile = t->tile;
    const size_t stride = (size_t)tile->v_stride, ldx = ATTN_TILE;
    const vmask last = t->last;
    FOR_ROWS(DECLARE)
    FOR_ROWS(LOAD_VALUES)
    for (int token = tile->lo; token < tile->hi;) {
        const float *v = tile->v[token / LANES];
        const int group_end = (token / LANES + 1) * LANES;
        const int end = group_end < tile->hi ? group_end : tile->hi;
        size_t at = (size_t)(token % LANES) * stride + t->column;
        for (; token < end; token++, at += stride) {
            const float *x = t->p + token;
            const vec w0 = VALUE(0);
            const vec w1 = NV > 1 ? VALUE(1) : w0;
            const vec w2 = NV > 2 ? VALUE(2) : w0;
            const vec w3 = NV > 3 ? VALUE(3) : w0;
            FOR_ROWS(MULTIPLY)
        }
    }
    FOR_ROWS(STORE_VALUES)
}

TILE_TABLE(values, FOR_TILES);

/* Heads of one vector: a row is a single chain of additions, so four tokens go side by side, each
 * into a sum of its own (by token modulo 4, whatever the tile). */
#define ADD_TOKEN(sum, i) \
    sum = v_fma(v_load_mask(v + at + (size_t)(i)*stride, last), v_set1(p[token + (i)]), sum)

ALWAYS_INLINE void narrow_values(const struct value_args *t)
{
    const struct attn_tile *tile = t->tile;
    const size_t stride = (size_t)tile->v_stride;
    const vmask last = t->last;
    const float *p = t->p;
    vec c0 = v_mul(v_load(t->o), v_set1(t->shrink[0])), c1 = v_zero(), c2 = c1, c3 = c1;
    for (int token = tile->lo / 4 * 4; token < tile->hi; token += 4) {
        const float *v = tile->v[token / LANES];
        const size_t at = (size_t)(token % LANES) * stride;
        if (token >= tile->lo && token + 4 <= tile->hi) {
            ADD_TOKEN(c0, 0);
            ADD_TOKEN(c1, 1);
            ADD_TOKEN(c2, 2);
            ADD_TOKEN(c3, 3);
            continue;
        }
        if (token >= tile->lo) ADD_TOKEN(c0, 0);
        if (token + 1 >= tile->lo && token + 1 < tile->hi) ADD_TOKEN(c1, 1);
        if (token + 2 >= tile->lo && token + 2 < tile->hi) ADD_TOKEN(c2, 2);
        if (token + 3 < tile->hi) ADD_TOKEN(c3, 3);
    }
    v_store(t->o, v_add(v_add(c0, c1), v_add(c2, c3)));
}

#if VW == 16
/* Heads of half a vector: a vector holds the values of two adjacent tokens, and the weights are
 * spread to match.  Four sums a row, by pair modulo 4; R rows share the loads. */
#define LOAD_PAIR(i) v_load_mask(v + 16 * (i), whole ? (vmask)0xffff : keep[i])
#define ADD_PAIR(i, sum)                                                               \
    {                                                                                  \
        const vec pair = LOAD_PAIR(i);                                                 \
        a##sum = v_fma(pair, _mm512_permutexvar_ps(spread[i], wa), a##sum);            \
        if (R > 1) b##sum = v_fma(pair, _mm512_permutexvar_ps(spread[i], wb), b##sum); \
    }
#define STORE_PAIRS(x, row)                                                                     \
    {                                                                                           \
        const vec sum = v_add(v_add(x##0, x##1), v_add(x##2, x##3));                            \
        const vec folded = v_add(sum, _mm512_shuffle_f32x4(sum, sum, _MM_SHUFFLE(1, 0, 3, 2))); \
        float *o = t->o + (row)*t->ldo;                                                         \
        v_store_n(o, v_fma(v_load(o), v_set1(t->shrink[row]), folded), 8);                      \
    }

ALWAYS_INLINE void pair_values(const struct value_args *t, const int R)
{
    const struct attn_tile *tile = t->tile;
    veci spread[8];
    for (int i = 0; i < 8; i++)
        spread[i] = _mm512_mask_mov_epi32(vi_set1(2 * i), 0xff00, vi_set1(2 * i + 1));
    vec a0 = v_zero(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int token = tile->lo / LANES * LANES; token < tile->hi; token += LANES) {
        const float *v = tile->v[token / LANES];
        const int below = token < tile->lo ? tile->lo - token : 0;
        const bool whole = below == 0 && token + LANES <= tile->hi;
        /* Tokens that nobody sees may hold anything: bit i of `seen` is token i's. */
        const unsigned seen = v_mask(tile->hi - token) & ~((1u << below) - 1);
        vmask keep[8];
        for (int i = 0; i < 8; i++)
            keep[i] = (vmask)((seen >> 2 * i & 1) * 0xff | (seen >> (2 * i + 1) & 1) * 0xff00);
        const vec wa = v_load(t->p + token), wb = R > 1 ? v_load(t->p + ATTN_TILE + token) : wa;
        ADD_PAIR(0, 0)
        ADD_PAIR(1, 1)
        ADD_PAIR(2, 2)
        ADD_PAIR(3, 3)
        ADD_PAIR(4, 0)
        ADD_PAIR(5, 1)
        ADD_PAIR(6, 2)
        ADD_PAIR(7, 3)
    }
    STORE_PAIRS(a, 0)
    if (R > 1) STORE_PAIRS(b, 1)
}

/* Returns the rows it took. */
static int half_values(const struct value_args *t, int n_left)
{
    if (n_left > 1)
        pair_values(t, 2);
    else
        pair_values(t, 1);
    return n_left > 1 ? 2 : 1;
}
#else
/* Values are padded to a whole vector. */
static int half_values(const struct value_args *t, int n_left)
{
    (void)t;
    return n_left;
}
#endif

/* Heads of one vector or less. */
static void narrow_tile_values(const struct attn_tile *t, const struct attn_rows *r,
                               struct value_args a)
{
    a.last = v_mask(t->v_stride);
    for (int i = 0, step; i < r->n; i += step) {
        step = 1;
        if (t->v_stride == VW / 2)
            step = half_values(&a, r->n - i);
        else
            narrow_values(&a);
        a.p += step * ATTN_TILE;
        a.o += step * r->ldo;
        a.shrink += step;
    }
}

static void tile_values(const struct attn_tile *t, const struct attn_rows *r, const float *shrink)
{
    const int n_vectors = (t->head_dim + VW - 1) / VW;
    struct value_args a = {
        .tile = t, .p = r->s, .o = r->o, .shrink = shrink, .ldo = (size_t)r->ldo};
    if (n_vectors == 1) {
        narrow_tile_values(t, r, a);
        return;
    }
    for (int v = 0, nv; v < n_vectors; v += nv) {
        const int left = n_vectors - v, max_nv = MAX_NV(r->n);
        const int parts = (left + max_nv - 1) / max_nv;
        nv = (left + parts - 1) / parts;
        a.column = (size_t)v * VW;
        a.o = r->o + a.column;
        a.last = v_mask(t->v_stride - (v + nv - 1) * VW);
        values_tiles[r->n - 1][nv - 1](&a);
    }
}

static void attention_f32(const struct attn_tile *t, struct attn_rows *r)
{
    float shrink[MAX_TILE];
    tile_scores(t, r);
    for (int i = 0; i < r->n; i++) shrink[i] = softmax_row(t, r, i);
    tile_values(t, r, shrink);
}

#endif
