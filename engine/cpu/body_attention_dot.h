/* body_attention_dot.h - one tile of keys and values against the rows of an item, a 32-bit word of
 * several elements or tokens at a time (kernels.h, "dot"): for the vectors that the including file
 * defines, and for the form that it names (body_attention_words.h).
 *
 * All scores of the item come first, then all weights, then all sums of values: a tile's keys, and
 * then its values, stay in the L1 cache for all rows.  Scores fetch the next tile's keys meanwhile, and
 * sums of values its values, a line for each that they read: pages are scattered, so the hardware
 * would start anew at each. */
#ifndef ENGINE_CPU_BODY_ATTENTION_DOT_H
#define ENGINE_CPU_BODY_ATTENTION_DOT_H

#include "engine/cpu/body_attention_words.h"

#define FOR_DOT_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

#if DOT_WIDENED
#define FOR_DOT_TILES     FOR_TILES_WIDENED
#define DOT_MAX_NV        MAX_NV_WIDENED
#define DOT_MAX_ROWS      MAX_ROWS_WIDENED
#define DOT_MAX_ROWS_ONCE MAX_ROWS_WIDENED
#else
#define FOR_DOT_TILES     FOR_TILES_DOT
#define DOT_MAX_NV        MAX_NV_DOT
#define DOT_MAX_ROWS      MAX_ROWS_DOT
#define DOT_MAX_ROWS_ONCE MAX_ROWS_DOT_ONCE
#endif

#define DOT_FN(name, R, NV)                                    \
    static void name##_##R##_##NV(const struct name##_args *t) \
    {                                                          \
        name(t, R, NV);                                        \
    }
#define DOT_ENTRY(name, R, NV) [(R)-1][(NV)-1] = name##_##R##_##NV,
#define DOT_TABLE(name)                                                                     \
    FOR_DOT_TILES(DOT_FN, name)                                                             \
    static void (*const name##_tiles[DOT_MAX_ROWS_ONCE][4])(const struct name##_args *) = { \
        FOR_DOT_TILES(DOT_ENTRY, name)}

#define DOT_PAIRS (LANES / 2) /* of tokens in a group of 16 */
#define S_FLOATS  (ATTN_S_PITCH / (int)sizeof(float))

/* Bytes of the values of VW elements of a pair of tokens. */
#define DOT_VECTOR_SIZE (2 * VW * DOT_VALUE_SIZE)

/* Widened keys and values go into the L2 cache only: more lines can be on their way there. */
ALWAYS_INLINE void dot_fetch(const char *p)
{
    if (DOT_WIDENED)
        _mm_prefetch(p, _MM_HINT_T1);
    else
        _mm_prefetch(p, _MM_HINT_T0);
}

/* --- scores --- */

struct dot_scores_args {
    const char *k[4];     /* each vector of tokens */
    const char *ahead[4]; /* of each, what is fetched meanwhile, laid out as it is */
    const char *q;        /* rows of ATTN_Q_PITCH */
    float *s;             /* rows of S_FLOATS */
    const int32_t *q_sum; /* KV_I8 */
    size_t stride, end;   /* bytes between steps, and of all */
};

#define DOT_DECLARE(r) \
    dot_sum c##r##0 = dot_zero(), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;

#if DOT_I8
/* Unsigned keys are 128 too large. */
#define DOT_START(r)                                             \
    if (R > r) {                                                 \
        c##r##0 = vi_set1(-W8_FLIP * t->q_sum[r]);               \
        c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0; \
    }
#define DOT_PREPARE(w)   vi_prepare_i8(w)
#define DOT_KEYS(sum, i) vi_dot_i8(sum, w##i, p##i, b)
#else
#define DOT_START(r)
#define DOT_PREPARE(w)   (w)
#define DOT_KEYS(sum, i) dot_multiply(sum, w##i, b)
#endif

#define DOT_SCORES(r)                                              \
    if (R > r) {                                                   \
        const dot_operand b = dot_broadcast(x + (r)*ATTN_Q_PITCH); \
        c##r##0 = DOT_KEYS(c##r##0, 0);                            \
        if (NV > 1) c##r##1 = DOT_KEYS(c##r##1, 1);                \
        if (NV > 2) c##r##2 = DOT_KEYS(c##r##2, 2);                \
        if (NV > 3) c##r##3 = DOT_KEYS(c##r##3, 3);                \
    }
/* What follows a loop over sums works in memory: gcc 12 takes registers from the loop for it. */
#define DOT_STORE(r, to)                            \
    if (R > r) {                                    \
        float *s = (to);                            \
        dot_store(s, c##r##0);                      \
        if (NV > 1) dot_store(s + VW, c##r##1);     \
        if (NV > 2) dot_store(s + 2 * VW, c##r##2); \
        if (NV > 3) dot_store(s + 3 * VW, c##r##3); \
    }
#define DOT_STORE_SCORES(r) DOT_STORE(r, t->s + (r)*S_FLOATS)

ALWAYS_INLINE void dot_scores(const struct dot_scores_args *t, const int R, const int NV)
{
    const char *x = t->q;
    const char *k0 = t->k[0], *k1 = t->k[1], *k2 = t->k[2], *k3 = t->k[3];
    const char *n0 = t->ahead[0], *n1 = t->ahead[1], *n2 = t->ahead[2], *n3 = t->ahead[3];
    const size_t stride = t->stride, end = t->end;
    FOR_DOT_ROWS(DOT_DECLARE)
    FOR_DOT_ROWS(DOT_START)
    for (size_t at = 0; at < end; at += stride) {
        dot_fetch(n0 + at);
        if (NV > 1) dot_fetch(n1 + at);
        if (NV > 2) dot_fetch(n2 + at);
        if (NV > 3) dot_fetch(n3 + at);
#pragma GCC unroll 2
        for (int half = 0; half < DOT_HALVES; half++, x += 4) {
            const dot_operand w0 = dot_load_keys(k0 + at, half), p0 = DOT_PREPARE(w0);
            const dot_operand w1 = NV > 1 ? dot_load_keys(k1 + at, half) : w0, p1 = DOT_PREPARE(w1);
            const dot_operand w2 = NV > 2 ? dot_load_keys(k2 + at, half) : w0, p2 = DOT_PREPARE(w2);
            const dot_operand w3 = NV > 3 ? dot_load_keys(k3 + at, half) : w0, p3 = DOT_PREPARE(w3);
            (void)p0, (void)p1, (void)p2, (void)p3;
            FOR_DOT_ROWS(DOT_SCORES)
        }
    }
    FOR_DOT_ROWS(DOT_STORE_SCORES)
}

DOT_TABLE(dot_scores);

/* Rows [row, row + n) of the item: what they see of the tile. */
struct dot_rows {
    int row, n;
    int first, end; /* groups of 16 tokens */
};

/* The tile to fetch group g of: the next one, or where that has none, the one that is there. */
ALWAYS_INLINE const struct attn_tile *dot_ahead(const struct attn_tile *t, int g)
{
    const struct attn_tile *next = t->next;
    return next && g >= next->lo / LANES && g * LANES < next->hi ? next : t;
}

/* Scales are a line for each group. */
static void dot_fetch_scales(const struct attn_tile *t)
{
    if (!DOT_I8 || !t->next) return;
    for (int g = t->next->lo / LANES; g * LANES < t->next->hi; g++) {
        dot_fetch((const char *)t->next->k_scale[g]);
        dot_fetch((const char *)t->next->v_scale[g]);
    }
}

static void dot_tile_scores(const struct attn_tile *t, const struct attn_rows *r,
                            const struct dot_rows *part)
{
    const int per_group = LANES / VW, k_group = DOT_I8 ? 4 : 2;
    struct dot_scores_args a = {.q = (const char *)r->q + part->row * ATTN_Q_PITCH,
                                .stride = (size_t)t->k_stride * 4,
                                .q_sum = DOT_I8 ? r->q_sum + part->row : NULL};
    a.end = (size_t)((t->head_dim + k_group - 1) / k_group) * a.stride;
    for (int v = part->first * per_group, nv; v < part->end * per_group; v += nv) {
        nv = tile_vectors(DOT_MAX_NV(part->n), part->end * per_group - v);
        for (int i = 0; i < nv; i++) {
            const int group = (v + i) / per_group, token = (v + i) % per_group * VW;
            a.k[i] = (const char *)t->k[group] + token * 4;
            const struct attn_tile *ahead = part->row == 0 ? dot_ahead(t, group) : t;
            a.ahead[i] = (const char *)ahead->k[group] + token * 4;
        }
        a.s = r->s + part->row * S_FLOATS + v * VW;
        dot_scores_tiles[part->n - 1][nv - 1](&a);
    }
}

/* --- weights --- */

/* Of each row: its largest score in the tile, in log2; the sum of its weights and what a weight of 1
 * stands for; what its sums so far and what the tile adds to them are multiplied by. */
struct dot_factors {
    float max[ATTN_ROWS], sum[ATTN_ROWS], unit[ATTN_ROWS];
    float shrink[ATTN_ROWS], grow[ATTN_ROWS];
};

/* One row: its scores, which become its weights in place, and the tokens that it sees. */
struct dot_row {
    float *s;
    int lo, hi;
    vec factor, minus_max; /* scores to powers of two, the largest of which is 0 */
};

/* Lanes of the vector at token i that the row does not see become `fill`. */
ALWAYS_INLINE vec dot_keep(vec v, const struct dot_row *r, int i, float fill)
{
    return i >= r->lo && i + VW <= r->hi ? v : v_keep_lanes(v, r->lo - i, r->hi - i, fill);
}

/* Makes scores of sums; returns the largest that the row sees. */
ALWAYS_INLINE float dot_largest(const struct attn_tile *t, const struct dot_row *r)
{
    vec max = v_set1(-INFINITY);
    for (int i = r->lo / VW * VW; i < r->hi; i += VW) {
        vec s = dot_load(r->s + i);
        if (DOT_I8) {
            s = v_mul(s, v_load(t->k_scale[i / LANES] + i % LANES));
            v_store(r->s + i, s);
        }
        max = v_max(dot_keep(s, r, i, -INFINITY), max);
    }
    return v_hmax(max);
}

/* Weights of the vector at token i, relative to the tile's largest. */
ALWAYS_INLINE vec dot_weights(const struct dot_row *r, int i)
{
    return dot_keep(v_exp2_fast(v_fma(v_load(r->s + i), r->factor, r->minus_max)), r, i, 0.0f);
}

#if DOT_I8
/* What the weight 1 stands for: the largest scale of the values that the row sees. */
static float dot_unit(const struct attn_tile *t, const struct dot_row *r)
{
    vec max = v_zero();
    for (int i = r->lo / VW * VW; i < r->hi; i += VW)
        max = v_max(dot_keep(v_load(t->v_scale[i / LANES] + i % LANES), r, i, 0.0f), max);
    return v_hmax(max);
}

/* Writes integers for tokens [first, end): weights times the scales of their values, against `unit`.
 * Returns the sum of the weights. */
static float dot_store_weights(const struct attn_tile *t, const struct dot_row *r, int first,
                               int end, float unit)
{
    int16_t *out = (int16_t *)(void *)r->s;
    /* Values of less than 1e-28 count as zeros. */
    const vec top = v_set1(unit < 1e-30f ? 0.0f : (1 << ATTN_WEIGHT_BITS) / unit);
    vec sum = v_zero();
    for (int i = first; i < end; i += VW) {
        if (i + VW <= r->lo || i >= r->hi) {
            v_store_i16(out + i, v_zero());
            continue;
        }
        const vec p = dot_weights(r, i);
        const vec scales = v_mul(v_load(t->v_scale[i / LANES] + i % LANES), top);
        sum = v_add(sum, p);
        /* A scale that nobody wrote may be infinite. */
        v_store_i16(out + i, dot_keep(v_mul(p, scales), r, i, 0.0f));
    }
    return v_sum(sum);
}
#else /* bf16 */
static float dot_unit(const struct attn_tile *t, const struct dot_row *r)
{
    (void)t;
    (void)r;
    return 1.0f;
}

#if DOT_WIDENED
/* The same in f32. */
static float dot_store_weights(const struct attn_tile *t, const struct dot_row *r, int first,
                               int end, float unit)
{
    (void)t;
    (void)unit;
    vec sum = v_zero();
    for (int i = first; i < end; i += VW) {
        vec p = v_zero();
        if (i + VW > r->lo && i < r->hi) {
            p = dot_weights(r, i);
            sum = v_add(sum, p);
        }
        v_store(r->s + i, p);
    }
    return v_sum(sum);
}
#else
/* The same in bf16; the sum is that of the rounded weights. */
static float dot_store_weights(const struct attn_tile *t, const struct dot_row *r, int first,
                               int end, float unit)
{
    (void)t;
    (void)unit;
    uint16_t *out = (uint16_t *)(void *)r->s;
    const veci ones = vi_set1(0x3f803f80);
    vec sum = v_zero();
    for (int i = first; i < end; i += 2 * VW) {
        veci w = vi_zero();
        if (i + 2 * VW > r->lo && i < r->hi) {
            const vec a = dot_weights(r, i), b = dot_weights(r, i + VW);
            w = (veci)_mm512_cvtne2ps_pbh(b, a);
            sum = v_dot_bf16(sum, w, ones);
        }
        vi_store(out + i, w);
    }
    return v_sum(sum);
}
#endif
#endif

/* What the row saw of the tile goes into its maximum and sum. */
static void dot_take_sums(struct attn_rows *rows, int row, struct dot_factors *f)
{
    const float m = f->max[row], before = rows->m[row];
    if (m == -INFINITY) {
        /* Nothing seen: adds +0 times -0, which leaves every sum its bits. */
        f->shrink[row] = 1.0f;
        f->grow[row] = -0.0f;
        return;
    }
    const bool higher = m > before;
    const float ratio = v_first(v_exp2(v_set1(higher ? before - m : m - before)));
    const float shrink = higher ? ratio : 1.0f, grow = higher ? 1.0f : ratio;
    rows->l[row] = rows->l[row] * shrink + f->sum[row] * grow;
    rows->m[row] = higher ? m : before;
    f->shrink[row] = shrink;
    f->grow[row] = DOT_I8 ? grow * f->unit[row] / (1 << ATTN_WEIGHT_BITS) : grow;
}

/* Scores to weights, zero outside each row's own tokens.  In three passes, because what one row
 * waits for (its maximum, its sum) is time for the next rows. */
static void dot_softmax(const struct attn_tile *t, struct attn_rows *rows,
                        const struct dot_rows *part, struct dot_factors *f)
{
    const int first = part->first / 2 * 2 * LANES, end = (part->end + 1) / 2 * 2 * LANES;
    const int row_end = part->row + part->n;
    for (int i = part->row; i < row_end; i++) {
        const struct dot_row r = {
            .s = rows->s + i * S_FLOATS, .lo = rows->lo[i], .hi = rows->hi[i]};
        const float max = dot_largest(t, &r);
        f->max[i] = max == -INFINITY ? max : max * rows->q_scale[i];
    }
    for (int i = part->row; i < row_end; i++) {
        const struct dot_row r = {.s = rows->s + i * S_FLOATS,
                                  .lo = rows->lo[i],
                                  .hi = rows->hi[i],
                                  .factor = v_set1(rows->q_scale[i]),
                                  .minus_max = v_set1(-f->max[i])};
        if (f->max[i] == -INFINITY) {
            for (int at = first * DOT_HALVES / 2; at < end * DOT_HALVES / 2; at += VW)
                v_store(r.s + at, v_zero());
            continue;
        }
        f->unit[i] = dot_unit(t, &r);
        f->sum[i] = dot_store_weights(t, &r, first, end, f->unit[i]);
    }
    for (int i = part->row; i < row_end; i++) dot_take_sums(rows, i, f);
}

/* --- values --- */

struct dot_values_args {
    const char *const *v;     /* groups of 16 tokens */
    const char *const *ahead; /* of each, what is fetched meanwhile, laid out as it is */
    const char *p;            /* weights: rows of ATTN_S_PITCH */
    float *o;
    const float *shrink, *grow;
    size_t stride, column; /* bytes between pairs of tokens, and of the first element */
    size_t ldo;
    int first, end; /* groups */
    vmask last;     /* lanes of the last vector */
};

#define DOT_VALUES(r)                                              \
    if (R > r) {                                                   \
        const dot_operand b = dot_broadcast(p + (r)*ATTN_S_PITCH); \
        c##r##0 = dot_values(c##r##0, w0, b);                      \
        if (NV > 1) c##r##1 = dot_values(c##r##1, w1, b);          \
        if (NV > 2) c##r##2 = dot_values(c##r##2, w2, b);          \
        if (NV > 3) c##r##3 = dot_values(c##r##3, w3, b);          \
    }
#define DOT_STORE_VALUES(r) DOT_STORE(r, sums + (r)*4 * VW)
#define DOT_ADD(o, sum)     v_store(o, v_fma(sum, grow, v_mul(v_load(o), shrink)))
#define DOT_ADD_VALUES(r)                                                   \
    if (R > r) {                                                            \
        float *o = t->o + (r)*t->ldo;                                       \
        const vec shrink = v_set1(t->shrink[r]), grow = v_set1(t->grow[r]); \
        DOT_ADD(o, c##r##0);                                                \
        if (NV > 1) DOT_ADD(o + VW, c##r##1);                               \
        if (NV > 2) DOT_ADD(o + 2 * VW, c##r##2);                           \
        if (NV > 3) DOT_ADD(o + 3 * VW, c##r##3);                           \
    }
#define DOT_VALUE(i)                                                           \
    (NV == (i) + 1 ? dot_load_values_mask(v + (i)*DOT_VECTOR_SIZE, last, half) \
                   : dot_load_values(v + (i)*DOT_VECTOR_SIZE, half))

ALWAYS_INLINE void dot_weighted(const struct dot_values_args *t, const int R, const int NV)
{
    const size_t stride = t->stride;
    const vmask last = t->last;
    const char *p = t->p + t->first * DOT_PAIRS * DOT_HALVES * 4;
    FOR_DOT_ROWS(DOT_DECLARE)
    for (int group = t->first; group < t->end; group++) {
        const char *v = t->v[group] + t->column, *ahead = t->ahead[group] + t->column;
#pragma GCC unroll 1 /* unrolled, sums leave their registers on AVX2 */
        for (int i = 0; i < DOT_PAIRS; i++, v += stride, ahead += stride) {
            for (size_t line = 0; line * LINE < (size_t)(NV * DOT_VECTOR_SIZE); line++)
                dot_fetch(ahead + line * LINE);
#pragma GCC unroll 2
            for (int half = 0; half < DOT_HALVES; half++, p += 4) {
                const dot_operand w0 = DOT_VALUE(0);
                const dot_operand w1 = NV > 1 ? DOT_VALUE(1) : w0;
                const dot_operand w2 = NV > 2 ? DOT_VALUE(2) : w0;
                const dot_operand w3 = NV > 3 ? DOT_VALUE(3) : w0;
                FOR_DOT_ROWS(DOT_VALUES)
            }
        }
    }
#if DOT_I8
    float sums[DOT_MAX_ROWS_ONCE * 4 * VW];
    FOR_DOT_ROWS(DOT_STORE_VALUES)
    for (int r = 0; r < R; r++) {
        float *o = t->o + (size_t)r * t->ldo;
        const vec shrink = v_set1(t->shrink[r]), grow = v_set1(t->grow[r]);
        for (int i = 0; i < NV * VW; i += VW) DOT_ADD(o + i, dot_load(sums + r * 4 * VW + i));
    }
#else
    FOR_DOT_ROWS(DOT_ADD_VALUES)
#endif
}
#define dot_weighted_args dot_values_args

DOT_TABLE(dot_weighted);

static void dot_tile_values(const struct attn_tile *t, const struct attn_rows *r,
                            const struct dot_rows *part, const struct dot_factors *f,
                            const char *const *v, const char *const *ahead)
{
    const int n_vectors = (t->head_dim + VW - 1) / VW;
    struct dot_values_args a = {.v = v,
                                .ahead = part->row == 0 ? ahead : v,
                                .p = (const char *)(r->s + part->row * S_FLOATS),
                                .shrink = f->shrink + part->row,
                                .grow = f->grow + part->row,
                                .stride = (size_t)t->v_stride * 2 * DOT_VALUE_SIZE,
                                .ldo = (size_t)r->ldo,
                                .first = part->first,
                                .end = part->end};
    for (int i = 0, nv; i < n_vectors; i += nv) {
        const int left = n_vectors - i, max_nv = DOT_MAX_NV(part->n);
        const int parts = (left + max_nv - 1) / max_nv;
        nv = (left + parts - 1) / parts;
        a.column = (size_t)i * DOT_VECTOR_SIZE;
        a.o = r->o + (size_t)part->row * a.ldo + (size_t)i * VW;
        a.last = v_mask(t->v_stride - (i + nv - 1) * VW);
        dot_weighted_tiles[part->n - 1][nv - 1](&a);
    }
}

/* A weight of zero takes nothing from a finite value, but from a NaN, which only bf16 can be: groups
 * of which nobody sees all are copied, the unseen tokens as zeros. */
static void dot_clean_edge(const struct attn_tile *t, const char **v, int group, char *edge)
{
    const size_t n = (size_t)t->v_stride;
    for (int i = 0; i < DOT_PAIRS; i++) {
        const int even = group * LANES + 2 * i, odd = even + 1;
        const uint32_t keep = (even >= t->lo && even < t->hi ? 0xffffu : 0) |
                              (odd >= t->lo && odd < t->hi ? 0xffff0000u : 0);
        const uint32_t *from = (const uint32_t *)(const void *)v[group] + (size_t)i * n;
        uint32_t *to = (uint32_t *)(void *)edge + (size_t)i * n;
        for (size_t e = 0; e < n; e++) to[e] = from[e] & keep;
    }
    v[group] = edge;
}

/* The tile's values, and those to fetch meanwhile. */
static void dot_values_of(const struct attn_tile *t, const struct attn_rows *r, const char **v,
                          const char **ahead)
{
    const int first = t->lo / LANES, last = (t->hi - 1) / LANES;
    for (int g = first; g <= last; g++) {
        v[g] = t->v[g];
        ahead[g] = dot_ahead(t, g)->v[g];
    }
    if (DOT_I8) return;
    const size_t size = (size_t)t->v_stride * LANES * DOT_VALUE_SIZE;
    if (t->lo % LANES) dot_clean_edge(t, v, first, r->edge);
    if (t->hi % LANES && (first != last || t->lo % LANES == 0))
        dot_clean_edge(t, v, last, (char *)r->edge + size);
}

/* --- all of it --- */

/* Splits the rows for register tiles; what nobody in a part sees is left out.  Returns the number
 * of parts. */
static int dot_split(const struct attn_rows *r, struct dot_rows *parts)
{
    const int max = r->n <= DOT_MAX_ROWS_ONCE ? DOT_MAX_ROWS_ONCE : DOT_MAX_ROWS;
    int n_parts = 0;
    for (int row = 0, n; row < r->n; row += n) {
        const int left = r->n - row, tiles = (left + max - 1) / max;
        n = (left + tiles - 1) / tiles;
        int lo = ATTN_TILE, hi = 0;
        for (int i = row; i < row + n; i++) {
            if (r->hi[i] <= r->lo[i]) continue;
            if (r->lo[i] < lo) lo = r->lo[i];
            if (r->hi[i] > hi) hi = r->hi[i];
        }
        if (hi <= lo) continue;
        parts[n_parts++] = (struct dot_rows){
            .row = row, .n = n, .first = lo / LANES, .end = (hi + LANES - 1) / LANES};
    }
    return n_parts;
}

static void dot_attention(const struct attn_tile *t, struct attn_rows *r)
{
    struct dot_rows parts[ATTN_ROWS];
    struct dot_factors f;
    const char *v[ATTN_GROUPS], *ahead[ATTN_GROUPS];
    const int n_parts = dot_split(r, parts);
    dot_fetch_scales(t);
    for (int i = 0; i < n_parts; i++) dot_tile_scores(t, r, &parts[i]);
    for (int i = 0; i < n_parts; i++) dot_softmax(t, r, &parts[i], &f);
    dot_values_of(t, r, v, ahead);
    for (int i = 0; i < n_parts; i++) dot_tile_values(t, r, &parts[i], &f, v, ahead);
}

#endif
