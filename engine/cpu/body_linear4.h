/* body_linear4.h - register tiles of the 4-bit linears; beside body_linear.h, whose macros it uses.
 * Within a group the products are summed as integers, the groups in f32, in ascending order: the
 * same bits in every tile and instruction set. */
#ifndef ENGINE_CPU_BODY_LINEAR4_H
#define ENGINE_CPU_BODY_LINEAR4_H

struct tile_i4_args {
    const char *w; /* the tile's first line in the panel's first group */
    const char *scale;
    const int8_t *x;
    float *out;
    const float *bias, *x_scale;
    const int32_t *x_sum; /* [rows][groups] */
    size_t pitch;         /* bytes between the steps of a group */
    size_t group_size;    /* bytes between groups of the panel */
    size_t ldx, ldo;
    int n, k, n_groups;
};

#define DECLARE_4(r) \
    veci i##r##0 = vi_zero(), i##r##1 = i##r##0, i##r##2 = i##r##0, i##r##3 = i##r##0;
/* The weights are q + 8. */
#define BEGIN_4(r)                                                             \
    if (R > r) {                                                               \
        i##r##0 = vi_set1(-8 * t->x_sum[(size_t)r * (size_t)t->n_groups + g]); \
        i##r##1 = i##r##2 = i##r##3 = i##r##0;                                 \
    }
/* Each broadcast has a load of its own: from memory it costs nothing. */
#define DOT_4(r)                                          \
    if (R > r) {                                          \
        int32_t low, high;                                \
        memcpy(&low, x + r * ldx, 4);                     \
        memcpy(&high, x + r * ldx + 4, 4);                \
        const veci b0 = vi_set1(low), b1 = vi_set1(high); \
        i##r##0 = vi_dot_u4(i##r##0, l0, b0);             \
        if (NV > 1) i##r##1 = vi_dot_u4(i##r##1, l1, b0); \
        if (NV > 2) i##r##2 = vi_dot_u4(i##r##2, l2, b0); \
        if (NV > 3) i##r##3 = vi_dot_u4(i##r##3, l3, b0); \
        i##r##0 = vi_dot_u4(i##r##0, h0, b1);             \
        if (NV > 1) i##r##1 = vi_dot_u4(i##r##1, h1, b1); \
        if (NV > 2) i##r##2 = vi_dot_u4(i##r##2, h2, b1); \
        if (NV > 3) i##r##3 = vi_dot_u4(i##r##3, h3, b1); \
    }
#define STEP_4                                                    \
    const veci w0 = vi_load(w);                                   \
    const veci w1 = NV > 1 ? vi_load(w + 4 * VW) : w0;            \
    const veci w2 = NV > 2 ? vi_load(w + 8 * VW) : w0;            \
    const veci w3 = NV > 3 ? vi_load(w + 12 * VW) : w0;           \
    const veci l0 = vi_nibbles_low(w0), h0 = vi_nibbles_high(w0); \
    const veci l1 = NV > 1 ? vi_nibbles_low(w1) : l0;             \
    const veci l2 = NV > 2 ? vi_nibbles_low(w2) : l0;             \
    const veci l3 = NV > 3 ? vi_nibbles_low(w3) : l0;             \
    const veci h1 = NV > 1 ? vi_nibbles_high(w1) : h0;            \
    const veci h2 = NV > 2 ? vi_nibbles_high(w2) : h0;            \
    const veci h3 = NV > 3 ? vi_nibbles_high(w3) : h0;            \
    FOR_ROWS(DOT_4)
#define END_4(r)                                                       \
    if (R > r) {                                                       \
        c##r##0 = v_fma(v_from_i32(i##r##0), s0, c##r##0);             \
        if (NV > 1) c##r##1 = v_fma(v_from_i32(i##r##1), s1, c##r##1); \
        if (NV > 2) c##r##2 = v_fma(v_from_i32(i##r##2), s2, c##r##2); \
        if (NV > 3) c##r##3 = v_fma(v_from_i32(i##r##3), s3, c##r##3); \
    }
#define SCALE_4(r)                                \
    if (R > r) {                                  \
        const vec by = v_set1(t->x_scale[r]);     \
        c##r##0 = v_mul(c##r##0, by);             \
        if (NV > 1) c##r##1 = v_mul(c##r##1, by); \
        if (NV > 2) c##r##2 = v_mul(c##r##2, by); \
        if (NV > 3) c##r##3 = v_mul(c##r##3, by); \
    }

ALWAYS_INLINE void tile_i4(const struct tile_i4_args *t, const int R, const int NV)
{
    size_t ldx = t->ldx;
    int8_t rest[MAX_TILE * GROUP4]; /* the last inputs, zero behind them */
    FOR_ROWS(DECLARE)
    FOR_ROWS(DECLARE_4)
    for (int g = 0; g < t->n_groups; g++) {
        const char *w = t->w + (size_t)g * t->group_size;
        const uint16_t *scale =
            (const uint16_t *)(const void *)(t->scale + (size_t)g * t->group_size);
        const int8_t *x = t->x + (size_t)g * GROUP4;
        const int left = t->k - g * GROUP4;
        if (left < GROUP4) {
            memset(rest, 0, sizeof rest);
            for (int r = 0; r < R; r++)
                memcpy(rest + r * GROUP4, x + (size_t)r * ldx, (size_t)left);
            x = rest;
            ldx = GROUP4;
        }
        FOR_ROWS(BEGIN_4)
        for (int s = 0; s < GROUP4_STEPS; s++, w += t->pitch, x += 8) {
            STEP_4
        }
        const vec s0 = v_load_f16(scale);
        const vec s1 = NV > 1 ? v_load_f16(scale + VW) : s0;
        const vec s2 = NV > 2 ? v_load_f16(scale + 2 * VW) : s0;
        const vec s3 = NV > 3 ? v_load_f16(scale + 3 * VW) : s0;
        FOR_ROWS(END_4)
    }
    FOR_ROWS(SCALE_4)
    FOR_ROWS(STORE)
}

TILE_TABLE(tile_i4, FOR_TILES_I4);

static void panel_i4(const struct linear_args *a, int p, int row0, int row1)
{
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES, n0 = p * a->panel;
    const int n_vectors = n_lines * LANES / VW, n_groups = (a->k + GROUP4 - 1) / GROUP4;
    const size_t pitch = (size_t)n_lines * LINE;
    const char *data = panel_data(a, p);
    for (int row = row0, n; row < row1; row += n) {
        const int left = row1 - row, tiles = (left + MAX_ROWS_I4 - 1) / MAX_ROWS_I4;
        n = (left + tiles - 1) / tiles;
        for (int v = 0, nv; v < n_vectors; v += nv) {
            nv = tile_vectors(MAX_NV_I4(n), n_vectors - v);
            const int col = v * VW;
            const struct tile_i4_args t = {
                .w = data + (size_t)col * 4,
                .scale = data + GROUP4_STEPS * pitch + (size_t)col * sizeof(uint16_t),
                .x = (const int8_t *)a->x + (size_t)row * (size_t)a->ldx,
                .out = a->out + (size_t)row * (size_t)a->ldo + n0 + col,
                .bias = a->bias ? a->bias + n0 + col : NULL,
                .x_scale = a->x_scale + row,
                .x_sum = a->x_sum + (size_t)row * (size_t)n_groups,
                .pitch = pitch,
                .group_size = (size_t)n_lines * LINE4_SIZE,
                .ldx = (size_t)a->ldx,
                .ldo = (size_t)a->ldo,
                .n = a->n - n0 - col,
                .k = a->k,
                .n_groups = n_groups,
            };
            tile_i4_tiles[n - 1][nv - 1](&t);
        }
    }
}

#endif
