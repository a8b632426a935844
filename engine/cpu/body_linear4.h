/* body_linear4.h - register tiles of the 4-bit linears; beside body_linear8.h, whose macros it uses.
 * Within a group the products are summed as integers, the groups in f32, in ascending order: the
 * same bits in every tile and instruction set. */
#ifndef ENGINE_CPU_BODY_LINEAR4_H
#define ENGINE_CPU_BODY_LINEAR4_H

/* The weights are q + 8. */
#define BEGIN_4(r)                                              \
    if (R > r) {                                                \
        c##r##0 = vi_set1(-8 * x_sum[(size_t)r * t->x_sum_ld]); \
        c##r##1 = c##r##2 = c##r##3 = c##r##0;                  \
    }
#define DOT_4(r)                                         \
    if (R > r) {                                         \
        int32_t four;                                    \
        memcpy(&four, x + r * ldx, 4);                   \
        const veci b = vi_set1(four);                    \
        c##r##0 = vi_dot_u4(c##r##0, w0, b);             \
        if (NV > 1) c##r##1 = vi_dot_u4(c##r##1, w1, b); \
        if (NV > 2) c##r##2 = vi_dot_u4(c##r##2, w2, b); \
        if (NV > 3) c##r##3 = vi_dot_u4(c##r##3, w3, b); \
    }
/* One half of the bytes of a step.  The other loads them again: held over, they would not fit the
 * registers. */
#define HALF_4(half)                                          \
    {                                                         \
        const veci w0 = half(vi_load_at(w, 0));               \
        const veci w1 = NV > 1 ? half(vi_load_at(w, 1)) : w0; \
        const veci w2 = NV > 2 ? half(vi_load_at(w, 2)) : w0; \
        const veci w3 = NV > 3 ? half(vi_load_at(w, 3)) : w0; \
        FOR_ROWS(DOT_4)                                       \
    }
/* The integer sums of one group.  A function of its own, with a number of steps that it is told: else
 * gcc 12 keeps the sums in memory. */
ALWAYS_INLINE void group_i4(const struct tile_args *t, const int R, const int NV)
{
    const char *w = t->w;
    const int8_t *x = t->x;
    const int32_t *x_sum = t->x_sum;
    int32_t *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    FOR_ROWS(DECLARE_I)
    FOR_ROWS(BEGIN_4)
    for (int k = 0; k < t->k; k += 8, w += pitch, x += 4) {
        HALF_4(vi_nibbles_low)
        __asm__("" : "+r"(w)); /* forget what was loaded */
        x += 4;
        HALF_4(vi_nibbles_high)
        FETCH
    }
    FETCH /* the scales */
    FOR_ROWS(STORE_I)
}

TILE_TABLE(group_i4, FOR_TILES_I4);

/* Takes the integer sums of a group into the f32 ones, which only the end of a group needs. */
ALWAYS_INLINE void add_group_i4(float *sums, const int32_t *group, const char *scales, const int R,
                                const int NV)
{
    for (int v = 0; v < NV; v++) {
        const vec scale = v_load_f16((const uint16_t *)(const void *)scales + v * VW);
        for (int i = v * VW; i < R * SUM_PITCH; i += SUM_PITCH)
            v_store(sums + i, v_fma(v_from_i32(vi_load(group + i)), scale, v_load(sums + i)));
    }
}

/* Whole groups: finish_i4 adds a last one of fewer inputs. */
ALWAYS_INLINE void tile_i4(const struct tile_args *t, const int R, const int NV)
{
    _Alignas(64) int32_t group[MAX_TILE * SUM_PITCH];
    float *sums = t->sums;
    struct tile_args g = *t;
    const size_t scales_at = GROUP4_STEPS * t->pitch;
    const size_t group_size = scales_at + t->pitch / LINE * LINE4_SCALES;
    g.sums = group;
    if (!t->resume) {
        for (int r = 0; r < R; r++)
            for (int v = 0; v < NV; v++) v_store(sums + r * SUM_PITCH + v * VW, v_zero());
    }
    g.k = GROUP4;
    for (int k = 0; k + GROUP4 <= t->k; k += GROUP4) {
        group_i4_tiles[R - 1][NV - 1](&g);
        add_group_i4(sums, group, (const char *)g.w + scales_at, R, NV);
        g.w = (const char *)g.w + group_size;
        g.x = (const int8_t *)g.x + GROUP4;
        g.x_sum++;
        g.fetch += (GROUP4_STEPS + 1) * g.fetch_step;
    }
}

TILE_TABLE(tile_i4, FOR_TILES_I4);

/* The last group, of fewer inputs: a row at a time, with zeros behind them. */
static void add_rest_i4(const struct linear_args *a, int p, int row, float *sums)
{
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES;
    const size_t whole = (size_t)a->k / GROUP4;
    int8_t rest[GROUP4] = {0};
    memcpy(rest, (const int8_t *)a->x + (size_t)row * (size_t)a->ldx + whole * GROUP4,
           (size_t)a->k % GROUP4);
    const struct tile_args t = {
        .w = (const char *)panel_data(a, p) + whole * LINE4_SIZE * (size_t)n_lines,
        .x = rest,
        .sums = sums,
        .x_sum = a->x_sum + (size_t)row * (whole + 1) + whole,
        .pitch = (size_t)n_lines * LINE,
        .k = GROUP4,
        .resume = true,
    };
    tile_i4_tiles[0][n_lines * LANES / VW - 1](&t);
}

static void finish_i4(const struct linear_args *a, int p, int row0, int row1, void *sums)
{
    const int n0 = p * a->panel, n = panel_outputs(a, p);
    float *s = sums;
    for (int row = row0; row < row1; row++, s += SUM_PITCH) {
        if (a->k % GROUP4 != 0) add_rest_i4(a, p, row, s);
        float *out = a->out + (size_t)row * (size_t)a->ldo + n0;
        const vec x_scale = v_set1(a->x_scale[row]);
        for (int i = 0; i < n; i += VW)
            store_outputs(out + i, v_mul(v_load(s + i), x_scale), a->bias ? a->bias + n0 + i : NULL,
                          n - i);
    }
}

static void panel_i4(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format f = {tile_i4_tiles, GROUP4,   GROUP4_STEPS + 1, LINE4_SIZE, 1,
                                          MAX_ROWS_I4,   finish_i4};
    run_panel(&f, a, p, row0, row1, next);
}

#endif
