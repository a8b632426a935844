/* body_linear.h - the linears with f32 sums: f32 weights, and bf16 and int8 weights widened to f32. */
#ifndef ENGINE_CPU_BODY_LINEAR_H
#define ENGINE_CPU_BODY_LINEAR_H

#define MULTIPLY(r)                                  \
    if (R > r) {                                     \
        const vec b = v_set1(x[r * ldx]);            \
        c##r##0 = v_fma(w0, b, c##r##0);             \
        if (NV > 1) c##r##1 = v_fma(w1, b, c##r##1); \
        if (NV > 2) c##r##2 = v_fma(w2, b, c##r##2); \
        if (NV > 3) c##r##3 = v_fma(w3, b, c##r##3); \
    }

ALWAYS_INLINE void tile_f32(const struct tile_args *t, const int R, const int NV)
{
    const float *x = t->x;
    const char *w = t->w;
    float *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    FOR_ROWS(DECLARE)
    if (t->resume) {
        FOR_ROWS(RESUME)
    }
    for (int k = 0; k < t->k; k++, w += pitch, x++) {
        const vec w0 = v_load_at(w, 0);
        const vec w1 = NV > 1 ? v_load_at(w, 1) : w0;
        const vec w2 = NV > 2 ? v_load_at(w, 2) : w0;
        const vec w3 = NV > 3 ? v_load_at(w, 3) : w0;
        FOR_ROWS(MULTIPLY)
        FETCH(w)
    }
    FOR_ROWS(STORE)
}

/* Two k in each 32 bits: the lower half first.  The weights are loaded again for the upper half:
 * held over, they would not fit the registers. */
ALWAYS_INLINE void tile_bf16(const struct tile_args *t, const int R, const int NV)
{
    const char *w = t->w;
    const float *x = t->x;
    float *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    FOR_ROWS(DECLARE)
    if (t->resume) {
        FOR_ROWS(RESUME)
    }
    for (int k = 0; k < t->k; k += 2, w += pitch) {
        {
            const vec w0 = v_bf16_low(vi_load_at(w, 0));
            const vec w1 = NV > 1 ? v_bf16_low(vi_load_at(w, 1)) : w0;
            const vec w2 = NV > 2 ? v_bf16_low(vi_load_at(w, 2)) : w0;
            const vec w3 = NV > 3 ? v_bf16_low(vi_load_at(w, 3)) : w0;
            FOR_ROWS(MULTIPLY)
        }
        if (++x == (const float *)t->x + t->k) break; /* odd k */
        __asm__("" : "+r"(w));                        /* forget what was loaded */
        {
            const vec w0 = v_bf16_high(vi_load_at(w, 0));
            const vec w1 = NV > 1 ? v_bf16_high(vi_load_at(w, 1)) : w0;
            const vec w2 = NV > 2 ? v_bf16_high(vi_load_at(w, 2)) : w0;
            const vec w3 = NV > 3 ? v_bf16_high(vi_load_at(w, 3)) : w0;
            FOR_ROWS(MULTIPLY)
        }
        x++;
        FETCH(w)
    }
    FOR_ROWS(STORE)
}

#define STEP_WIDE8(j)                                              \
    {                                                              \
        const vec w0 = v_load_i8(WIDE8_AT(w, j, 0));               \
        const vec w1 = NV > 1 ? v_load_i8(WIDE8_AT(w, j, 1)) : w0; \
        const vec w2 = NV > 2 ? v_load_i8(WIDE8_AT(w, j, 2)) : w0; \
        const vec w3 = NV > 3 ? v_load_i8(WIDE8_AT(w, j, 3)) : w0; \
        FOR_ROWS(MULTIPLY)                                         \
        x++;                                                       \
    }

ALWAYS_INLINE void tile_wide8(const struct tile_args *t, const int R, const int NV)
{
    const char *w = t->w;
    const float *x = t->x;
    float *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    FOR_ROWS(DECLARE)
    if (t->resume) {
        FOR_ROWS(RESUME)
    }
    for (int k = 0; k + 4 <= t->k; k += 4, w += pitch) {
        STEP_WIDE8(0)
        STEP_WIDE8(1)
        STEP_WIDE8(2)
        STEP_WIDE8(3)
        FETCH(w)
    }
    for (int j = 0; j < t->k % 4; j++) STEP_WIDE8(j)
    FOR_ROWS(STORE)
}

TILE_TABLE(tile_f32, FOR_TILES_LINEAR);
TILE_TABLE(tile_bf16, FOR_TILES_LINEAR);
TILE_TABLE(tile_wide8, FOR_TILES_LINEAR);

/* [k][output] */
static void widen_block_f32(void *out, const char *w, int k, int n_lines)
{
    float *to = out;
    for (int k0 = 0; k0 < k; k0 += 4, w += n_lines * LINE)
        for (int j = 0; j < 4; j++)
            for (int v = 0; v < n_lines * LANES / VW; v++, to += VW)
                v_store(to, v_load_i8(WIDE8_AT(w, j, v)));
}

static void panel_f32(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format f = {tile_f32_tiles, 1, 1, LINE, 4, MAX_TILE, finish_f32};
    run_panel(&f, a, p, row0, row1, next);
}

static void panel_bf16(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format f = {tile_bf16_tiles, 2, 1, LINE, 4, MAX_TILE, finish_f32};
    run_panel(&f, a, p, row0, row1, next);
}

static void panel_w8a16(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format direct = {tile_wide8_tiles, 4,           1, LINE, 4,
                                               MAX_TILE,         finish_wide8};
    static const struct panel_format widened = {tile_f32_tiles, 4,           4, 4 * LINE, 4,
                                                MAX_TILE,       finish_wide8};
    if (row1 - row0 <= WIDE8_ROWS_DIRECT)
        run_panel(&direct, a, p, row0, row1, next);
    else
        run_widened(&widened, widen_block_f32, a, p, row0, row1, next);
}

#endif
