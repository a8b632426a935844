/* body_linear.h - the linears with f32 sums: f32 weights, and bf16 weights widened to f32. */
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

TILE_TABLE(tile_f32, FOR_TILES);
TILE_TABLE(tile_bf16, FOR_TILES);

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

#endif
