/* body_linear8.h - the linears with int8 weights. */
#ifndef ENGINE_CPU_BODY_LINEAR8_H
#define ENGINE_CPU_BODY_LINEAR8_H

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

TILE_TABLE(tile_i8, FOR_TILES_I8);

static void panel_i8(const struct linear_args *a, int p, int row0, int row1)
{
    static const struct panel_format f = {tile_i8_tiles, 4, 0, 1, MAX_ROWS_I8};
    run_panel(&f, a, p, row0, row1);
}

#endif
