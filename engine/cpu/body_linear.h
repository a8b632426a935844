/* body_linear.h - register tiles of the linears, for the vectors that the including file defines
 * (vec_avx2.h, vec_avx512.h).  A tile is R rows by NV vectors of outputs; R and NV are constants
 * after inlining.  The accumulators are named variables: gcc 12 keeps arrays of them in memory,
 * at half the speed. */
#ifndef ENGINE_CPU_BODY_LINEAR_H
#define ENGINE_CPU_BODY_LINEAR_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define FOR_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* name_R_NV for each tile that fits the registers (FOR_TILES), and a table of them. */
#define TILE_FN(name, R, NV)                                   \
    static void name##_##R##_##NV(const struct name##_args *t) \
    {                                                          \
        name(t, R, NV);                                        \
    }
#define TILE_ENTRY(name, R, NV) [(R)-1][(NV)-1] = name##_##R##_##NV,
#define TILE_TABLE(name, tiles)                                          \
    tiles(TILE_FN, name) static void (*const name##_tiles[MAX_TILE][4])( \
        const struct name##_args *) = {tiles(TILE_ENTRY, name)}

/* What one tile needs.  `n`: outputs left from its first one. */
struct tile_args {
    const void *w, *x;
    float *out;
    const float *bias, *scale;
    const float *x_scale;
    const int32_t *x_sum;
    size_t pitch; /* elements between k steps */
    size_t ldx, ldo;
    int k, n;
    bool resume; /* go on from the sums in out */
};
#define tile_f32_args  tile_args
#define tile_bf16_args tile_args
#define tile_i8_args   tile_args

ALWAYS_INLINE vec load_outputs(const float *p, int n)
{
    return n >= VW ? v_load(p) : n > 0 ? v_load_n(p, n) : v_zero();
}

ALWAYS_INLINE void store_outputs(float *p, vec v, const float *bias, int n)
{
    if (n <= 0) return;
    if (bias) v = v_add(v, load_outputs(bias, n));
    if (n >= VW)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

/* Best-effort shape of a tile: rows first, then as many vectors as registers allow. */
ALWAYS_INLINE int tile_vectors(int max_nv, int left)
{
    return left < max_nv ? left : max_nv;
}

/* --- f32 and bf16 --- */

#define DECLARE(r) vec c##r##0 = v_zero(), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;
#define RESUME(r)                                                      \
    if (R > r) {                                                       \
        const float *o = t->out + r * t->ldo;                          \
        c##r##0 = load_outputs(o, t->n);                               \
        if (NV > 1) c##r##1 = load_outputs(o + VW, t->n - VW);         \
        if (NV > 2) c##r##2 = load_outputs(o + 2 * VW, t->n - 2 * VW); \
        if (NV > 3) c##r##3 = load_outputs(o + 3 * VW, t->n - 3 * VW); \
    }
#define MULTIPLY(r)                                  \
    if (R > r) {                                     \
        const vec b = v_set1(x[r * ldx]);            \
        c##r##0 = v_fma(w0, b, c##r##0);             \
        if (NV > 1) c##r##1 = v_fma(w1, b, c##r##1); \
        if (NV > 2) c##r##2 = v_fma(w2, b, c##r##2); \
        if (NV > 3) c##r##3 = v_fma(w3, b, c##r##3); \
    }
#define STORE(r)                                                                            \
    if (R > r) {                                                                            \
        float *o = t->out + r * t->ldo;                                                     \
        const float *bias = t->bias;                                                        \
        store_outputs(o, c##r##0, bias, t->n);                                              \
        if (NV > 1) store_outputs(o + VW, c##r##1, bias ? bias + VW : NULL, t->n - VW);     \
        if (NV > 2)                                                                         \
            store_outputs(o + 2 * VW, c##r##2, bias ? bias + 2 * VW : NULL, t->n - 2 * VW); \
        if (NV > 3)                                                                         \
            store_outputs(o + 3 * VW, c##r##3, bias ? bias + 3 * VW : NULL, t->n - 3 * VW); \
    }

ALWAYS_INLINE void tile_f32(const struct tile_args *t, const int R, const int NV)
{
    const float *w = t->w, *x = t->x;
    const size_t ldx = t->ldx, pitch = t->pitch;
    FOR_ROWS(DECLARE)
    if (t->resume) {
        FOR_ROWS(RESUME)
    }
    for (int k = 0; k < t->k; k++, w += pitch, x++) {
        const vec w0 = v_load(w);
        const vec w1 = NV > 1 ? v_load(w + VW) : w0;
        const vec w2 = NV > 2 ? v_load(w + 2 * VW) : w0;
        const vec w3 = NV > 3 ? v_load(w + 3 * VW) : w0;
        FOR_ROWS(MULTIPLY)
    }
    FOR_ROWS(STORE)
}

/* Two k in each 32 bits: the lower half first.  The weights are loaded again for the upper half:
 * held over, they would not fit the registers. */
ALWAYS_INLINE void tile_bf16(const struct tile_args *t, const int R, const int NV)
{
    const uint16_t *w = t->w;
    const float *x = t->x;
    const size_t ldx = t->ldx, pitch = t->pitch;
    FOR_ROWS(DECLARE)
    if (t->resume) {
        FOR_ROWS(RESUME)
    }
    for (int k = 0; k < t->k; k += 2, w += pitch) {
        {
            const vec w0 = v_bf16_low(vi_load(w));
            const vec w1 = NV > 1 ? v_bf16_low(vi_load(w + 2 * VW)) : w0;
            const vec w2 = NV > 2 ? v_bf16_low(vi_load(w + 4 * VW)) : w0;
            const vec w3 = NV > 3 ? v_bf16_low(vi_load(w + 6 * VW)) : w0;
            FOR_ROWS(MULTIPLY)
        }
        if (++x == (const float *)t->x + t->k) break; /* odd k */
        __asm__("" : "+r"(w));                        /* forget what was loaded */
        {
            const vec w0 = v_bf16_high(vi_load(w));
            const vec w1 = NV > 1 ? v_bf16_high(vi_load(w + 2 * VW)) : w0;
            const vec w2 = NV > 2 ? v_bf16_high(vi_load(w + 4 * VW)) : w0;
            const vec w3 = NV > 3 ? v_bf16_high(vi_load(w + 6 * VW)) : w0;
            FOR_ROWS(MULTIPLY)
        }
        x++;
    }
    FOR_ROWS(STORE)
}

/* --- int8 --- */

#define DECLARE_I(r) \
    veci c##r##0 = vi_zero(), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;
#define DOT_I(r)                                             \
    if (R > r) {                                             \
        int32_t four;                                        \
        memcpy(&four, x + r * ldx, 4);                       \
        const veci b = vi_set1(four);                        \
        c##r##0 = vi_dot_i8(c##r##0, w0, u0, b);             \
        if (NV > 1) c##r##1 = vi_dot_i8(c##r##1, w1, u1, b); \
        if (NV > 2) c##r##2 = vi_dot_i8(c##r##2, w2, u2, b); \
        if (NV > 3) c##r##3 = vi_dot_i8(c##r##3, w3, u3, b); \
    }
#define STEP_I                                          \
    const veci w0 = vi_load(w), u0 = vi_prepare_i8(w0); \
    const veci w1 = NV > 1 ? vi_load(w + 4 * VW) : w0;  \
    const veci w2 = NV > 2 ? vi_load(w + 8 * VW) : w0;  \
    const veci w3 = NV > 3 ? vi_load(w + 12 * VW) : w0; \
    const veci u1 = NV > 1 ? vi_prepare_i8(w1) : u0;    \
    const veci u2 = NV > 2 ? vi_prepare_i8(w2) : u0;    \
    const veci u3 = NV > 3 ? vi_prepare_i8(w3) : u0;    \
    FOR_ROWS(DOT_I)
#define STORE_I(r)                                 \
    if (R > r) {                                   \
        int32_t *o = sums + r * 4 * VW;            \
        vi_store(o, c##r##0);                      \
        if (NV > 1) vi_store(o + VW, c##r##1);     \
        if (NV > 2) vi_store(o + 2 * VW, c##r##2); \
        if (NV > 3) vi_store(o + 3 * VW, c##r##3); \
    }

ALWAYS_INLINE void store_i8(const struct tile_args *t, int r, int col, const int32_t *sums)
{
    const int n = t->n - col;
    if (n <= 0) return;
    veci sum = vi_load(sums + (size_t)r * 4 * VW + col);
    /* Weights that are stored with an offset have added it times the sum of the row. */
    if (W8_FLIP) sum = vi_sub(sum, vi_set1(t->x_sum[r] * W8_FLIP));
    vec v = v_mul(v_from_i32(sum), load_outputs(t->scale + col, n));
    v = v_mul(v, v_set1(t->x_scale[r]));
    store_outputs(t->out + (size_t)r * t->ldo + col, v, t->bias ? t->bias + col : NULL, n);
}

/* The last step, of fewer than four inputs. */
ALWAYS_INLINE void add_rest_i8(const struct tile_args *t, const int8_t *w, const int R,
                               const int NV, int32_t *sums)
{
    const int whole = t->k / 4 * 4;
    for (int r = 0; r < R; r++) {
        int32_t four = 0;
        memcpy(&four, (const int8_t *)t->x + (size_t)r * t->ldx + whole, (size_t)(t->k - whole));
        for (int v = 0; v < NV; v++) {
            int32_t *sum = sums + (r * 4 + v) * VW;
            const veci line = vi_load(w + (size_t)v * 4 * VW);
            vi_store(sum, vi_dot_i8(vi_load(sum), line, vi_prepare_i8(line), vi_set1(four)));
        }
    }
}

ALWAYS_INLINE void tile_i8(const struct tile_args *t, const int R, const int NV)
{
    const int8_t *w = t->w, *x = t->x;
    const size_t ldx = t->ldx, pitch = t->pitch;
    /* What follows the loop works in memory: it must not cost the loop its registers. */
    int32_t sums[MAX_TILE * 4 * VW];
    FOR_ROWS(DECLARE_I)
    for (int k = 0; k + 4 <= t->k; k += 4, w += pitch, x += 4) {
        STEP_I
    }
    FOR_ROWS(STORE_I)
    if (t->k % 4 != 0) add_rest_i8(t, w, R, NV, sums);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < NV; v++) store_i8(t, r, v * VW, sums);
}

TILE_TABLE(tile_f32, FOR_TILES);
TILE_TABLE(tile_bf16, FOR_TILES);
TILE_TABLE(tile_i8, FOR_TILES_I8);

/* --- panels --- */

/* k of one pass over a panel when there are several tiles of rows: the panel's part (256 KiB)
 * stays in the L2 cache, and a tile's inputs (24 KiB) in the L1. */
#define K_BLOCK_F32  1024
#define K_BLOCK_BF16 2048

struct panel_format {
    void (*const (*tiles)[4])(const struct tile_args *);
    int items_per_step, k_block; /* 0: all of k */
    size_t x_size;
    int max_rows;
};

/* One tile of rows; the panel has more vectors than fit one register tile. */
static void run_columns(const struct panel_format *f, struct tile_args t, int rows, int n_vectors,
                        int max_nv)
{
    for (int v = 0, nv; v < n_vectors; v += nv) {
        nv = tile_vectors(max_nv, n_vectors - v);
        f->tiles[rows - 1][nv - 1](&t);
        t.w = (const char *)t.w + (size_t)nv * VW * 4;
        t.out += nv * VW;
        t.n -= nv * VW;
        if (t.bias) t.bias += nv * VW;
        if (t.scale) t.scale += nv * VW;
    }
}

/* All tiles of rows against the part of the panel that t describes. */
ALWAYS_INLINE void run_tiles(const struct panel_format *f, struct tile_args t, int n_rows,
                             int n_vectors)
{
    for (int left = n_rows, n; left > 0; left -= n) {
        const int tiles = (left + f->max_rows - 1) / f->max_rows;
        n = (left + tiles - 1) / tiles; /* 7 rows are 4 and 3, not 6 and 1 */
        const int max_nv = f->x_size == 1 ? MAX_NV_I8(n) : MAX_NV(n);
        if (n_vectors <= max_nv)
            f->tiles[n - 1][n_vectors - 1](&t);
        else
            run_columns(f, t, n, n_vectors, max_nv);
        t.x = (const char *)t.x + (size_t)n * t.ldx * f->x_size;
        t.out += (size_t)n * t.ldo;
        if (t.x_scale) t.x_scale += n;
        if (t.x_sum) t.x_sum += n;
    }
}

ALWAYS_INLINE void run_panel(const struct panel_format *f, const struct linear_args *a, int p,
                             int row0, int row1)
{
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES, n0 = p * a->panel;
    const size_t line_pitch = (size_t)n_lines * LINE;
    const bool blocks = f->k_block && row1 - row0 > f->max_rows;
    const int k_block = blocks ? f->k_block : a->k;
    struct tile_args t = {
        .w = panel_data(a, p),
        .x = (const char *)a->x + (size_t)row0 * (size_t)a->ldx * f->x_size,
        .out = a->out + (size_t)row0 * (size_t)a->ldo + n0,
        .scale = a->scale ? a->scale + n0 : NULL,
        .x_scale = a->x_scale ? a->x_scale + row0 : NULL,
        .x_sum = a->x_sum ? a->x_sum + row0 : NULL,
        .pitch = line_pitch * (size_t)f->items_per_step / 4,
        .ldx = (size_t)a->ldx,
        .ldo = (size_t)a->ldo,
        .n = a->n - n0,
    };
    for (int k0 = 0; k0 < a->k; k0 += k_block) {
        const bool last = k0 + k_block >= a->k;
        t.k = last ? a->k - k0 : k_block;
        t.bias = last && a->bias ? a->bias + n0 : NULL;
        t.resume = k0 > 0;
        run_tiles(f, t, row1 - row0, n_lines * LANES / VW);
        t.w = (const char *)t.w + (size_t)(k_block / f->items_per_step) * line_pitch;
        t.x = (const char *)t.x + (size_t)k_block * f->x_size;
    }
}

static void panel_f32(const struct linear_args *a, int p, int row0, int row1)
{
    static const struct panel_format f = {tile_f32_tiles, 1, K_BLOCK_F32, 4, MAX_TILE};
    run_panel(&f, a, p, row0, row1);
}

static void panel_bf16(const struct linear_args *a, int p, int row0, int row1)
{
    static const struct panel_format f = {tile_bf16_tiles, 2, K_BLOCK_BF16, 4, MAX_TILE};
    run_panel(&f, a, p, row0, row1);
}

static void panel_i8(const struct linear_args *a, int p, int row0, int row1)
{
    static const struct panel_format f = {tile_i8_tiles, 4, 0, 1, MAX_ROWS_I8};
    run_panel(&f, a, p, row0, row1);
}

#endif
