/* The bf16 linear and the attention over bf16 of the table avx512_bf16: bf16 inputs, sums by
 * vdpbf16ps.  The rest of that table is AVX-512's own, so that this file alone needs the
 * instructions. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx512.h"

#include "engine/cpu/body_tiles.h"

#define tile_dot16_args tile_args

/* sum += the two products of each lane, the upper k first; numbers below 2^-126 count as 0. */
VEC_INLINE vec v_dot_bf16(vec sum, veci w, veci x)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)x);
}

#define DOT_16(r)                                         \
    if (R > r) {                                          \
        int32_t two;                                      \
        memcpy(&two, x + r * ldx, 4);                     \
        const veci b = vi_set1(two);                      \
        c##r##0 = v_dot_bf16(c##r##0, w0, b);             \
        if (NV > 1) c##r##1 = v_dot_bf16(c##r##1, w1, b); \
        if (NV > 2) c##r##2 = v_dot_bf16(c##r##2, w2, b); \
        if (NV > 3) c##r##3 = v_dot_bf16(c##r##3, w3, b); \
    }

/* An odd last input stands before a zero (round_bf16), and so does its weight. */
ALWAYS_INLINE void tile_dot16(const struct tile_args *t, const int R, const int NV)
{
    const uint16_t *x = t->x;
    const char *w = t->w;
    float *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    FOR_ROWS(DECLARE)
    if (t->resume) {
        FOR_ROWS(RESUME)
    }
    for (int k = 0; k < t->k; k += 2, w += pitch, x += 2) {
        const veci w0 = vi_load_at(w, 0);
        const veci w1 = NV > 1 ? vi_load_at(w, 1) : w0;
        const veci w2 = NV > 2 ? vi_load_at(w, 2) : w0;
        const veci w3 = NV > 3 ? vi_load_at(w, 3) : w0;
        FOR_ROWS(DOT_16)
        FETCH
    }
    FOR_ROWS(STORE)
}

TILE_TABLE(tile_dot16, FOR_TILES_LINEAR);

void cpu_avx512_panel_dot16(const struct linear_args *a, int p, int row0, int row1,
                            const void *next)
{
    static const struct panel_format f = {tile_dot16_tiles, 2, 1, LINE, 2, MAX_TILE, finish_f32};
    run_panel(&f, a, p, row0, row1, next);
}

void cpu_avx512_round_bf16(uint16_t *out, const float *x, int n)
{
    int i = 0;
    for (; i + VW <= n; i += VW) {
        const __m256bh h = _mm512_cvtneps_pbh(v_load(x + i));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), (__m256i)h);
    }
    if (i == n) return;
    const __m256bh h = _mm512_cvtneps_pbh(v_load_n(x + i, n - i));
    _mm256_mask_storeu_epi16(out + i, v_mask((n - i + 1) / 2 * 2), (__m256i)h);
}

#include "engine/cpu/body_attention_dot.h"

void cpu_avx512_attention_bf16(const struct attn_tile *t, struct attn_rows *r)
{
    dot_attention(t, r);
}
