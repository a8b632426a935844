/* body_linear8.h - the linears with int8 weights. */
#ifndef ENGINE_CPU_BODY_LINEAR8_H
#define ENGINE_CPU_BODY_LINEAR8_H

#define DECLARE_I(r) \
    veci c##r##0 = vi_zero(), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;
#define RESUME_I(r)                                \
    if (R > r) {                                   \
        const int32_t *s = sums + r * SUM_PITCH;   \
        c##r##0 = vi_load(s);                      \
        if (NV > 1) c##r##1 = vi_load(s + VW);     \
        if (NV > 2) c##r##2 = vi_load(s + 2 * VW); \
        if (NV > 3) c##r##3 = vi_load(s + 3 * VW); \
    }
#define STORE_I(r)                                 \
    if (R > r) {                                   \
        int32_t *s = sums + r * SUM_PITCH;         \
        vi_store(s, c##r##0);                      \
        if (NV > 1) vi_store(s + VW, c##r##1);     \
        if (NV > 2) vi_store(s + 2 * VW, c##r##2); \
        if (NV > 3) vi_store(s + 3 * VW, c##r##3); \
    }
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
#define STEP_I                                                \
    const veci w0 = vi_load_at(w, 0), u0 = vi_prepare_i8(w0); \
    const veci w1 = NV > 1 ? vi_load_at(w, 1) : w0;           \
    const veci w2 = NV > 2 ? vi_load_at(w, 2) : w0;           \
    const veci w3 = NV > 3 ? vi_load_at(w, 3) : w0;           \
    const veci u1 = NV > 1 ? vi_prepare_i8(w1) : u0;          \
    const veci u2 = NV > 2 ? vi_prepare_i8(w2) : u0;          \
    const veci u3 = NV > 3 ? vi_prepare_i8(w3) : u0;          \
    FOR_ROWS(DOT_I)

/* Whole steps: finish_i8 adds a last one of fewer inputs. */
ALWAYS_INLINE void tile_i8(const struct tile_args *t, const int R, const int NV)
{
    const int8_t *x = t->x;
    const char *w = t->w;
    int32_t *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    FOR_ROWS(DECLARE_I)
    if (t->resume) {
        FOR_ROWS(RESUME_I)
    }
    for (int k = 0; k + 4 <= t->k; k += 4, w += pitch, x += 4) {
        STEP_I
        FETCH(w)
    }
    FOR_ROWS(STORE_I)
}

TILE_TABLE(tile_i8, FOR_TILES_I8);

/* The last step, of fewer than four inputs. */
static void add_rest_i8(const struct linear_args *a, const char *w, int row, int n_vectors,
                        int32_t *sums)
{
    const int whole = a->k / 4 * 4;
    int32_t four = 0;
    memcpy(&four, (const int8_t *)a->x + (size_t)row * (size_t)a->ldx + whole,
           (size_t)(a->k - whole));
    for (int v = 0; v < n_vectors; v++) {
        const veci line = vi_load_at(w, v), sum = vi_load(sums + v * VW);
        vi_store(sums + v * VW, vi_dot_i8(sum, line, vi_prepare_i8(line), vi_set1(four)));
    }
}

static void finish_i8(const struct linear_args *a, int p, int row0, int row1, void *sums)
{
    const int n0 = p * a->panel, n = panel_outputs(a, p), n_lines = (n + LANES - 1) / LANES;
    const char *rest = (const char *)panel_data(a, p) + (size_t)(a->k / 4) * (size_t)n_lines * LINE;
    int32_t *s = sums;
    for (int row = row0; row < row1; row++, s += SUM_PITCH) {
        if (a->k % 4 != 0) add_rest_i8(a, rest, row, n_lines * LANES / VW, s);
        /* Weights that are stored with an offset have added it times the sum of the row. */
        const veci offset = vi_set1(W8_FLIP ? a->x_sum[row] * W8_FLIP : 0);
        const vec x_scale = v_set1(a->x_scale[row]);
        float *out = a->out + (size_t)row * (size_t)a->ldo + n0;
        for (int i = 0; i < n; i += VW) {
            vec v = v_from_i32(vi_sub(vi_load(s + i), offset));
            v = v_mul(v_mul(v, load_outputs(a->scale + n0 + i, n - i)), x_scale);
            store_outputs(out + i, v, a->bias ? a->bias + n0 + i : NULL, n - i);
        }
    }
}

#ifdef DOTS_IN_WORDS
#include "engine/cpu/body_linear8_words.h"
#else
static void panel_i8(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format f = {tile_i8_tiles, 4, 1, LINE, 1, MAX_ROWS_I8, finish_i8};
    run_panel(&f, a, p, row0, row1, next);
}
#endif

#endif
