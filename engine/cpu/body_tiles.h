/* body_tiles.h - register tiles of the linears, for the vectors that the including file defines
 * (vec_avx2.h, vec_avx512.h).  A tile is R rows by NV vectors of outputs; R and NV are constants
 * after inlining.  The accumulators are named variables: gcc 12 keeps arrays of them in memory,
 * at half the speed. */
#ifndef ENGINE_CPU_BODY_TILES_H
#define ENGINE_CPU_BODY_TILES_H

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

/* --- f32 sums --- */

#define DECLARE(r) vec c##r##0 = v_zero(), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;
#define RESUME(r)                                                      \
    if (R > r) {                                                       \
        const float *o = t->out + r * t->ldo;                          \
        c##r##0 = load_outputs(o, t->n);                               \
        if (NV > 1) c##r##1 = load_outputs(o + VW, t->n - VW);         \
        if (NV > 2) c##r##2 = load_outputs(o + 2 * VW, t->n - 2 * VW); \
        if (NV > 3) c##r##3 = load_outputs(o + 3 * VW, t->n - 3 * VW); \
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

#endif
