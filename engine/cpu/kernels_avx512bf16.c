/* The bf16 and W8A16 linears and the attention over bf16 of the table avx512_bf16: bf16 inputs, sums by
 * vdpbf16ps.  The rest of that table is AVX-512's own, so that this file alone needs the
 * instructions. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx512.h"

#include "engine/cpu/body_tiles.h"

#include "engine/cpu/body_wide8.h"

#define tile_dot16_args  tile_args
#define tile_wide16_args tile_args

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
        FETCH(w)
    }
    FOR_ROWS(STORE)
}

TILE_TABLE(tile_dot16, FOR_TILES_LINEAR);

/* The weights of inputs j and j + 1 of a step as bf16, which has 8 bits for the integers' 7: the upper
 * halves of their floats. */
VEC_INLINE veci v_load_i8_pair(const int8_t *p)
{
    const veci first = _mm512_castps_si512(v_load_i8(p));
    const veci second = _mm512_castps_si512(v_load_i8(p + LANES));
    /* Bytes 2 and 3 of each float, of each 16 bytes, to where bytes 0 and 1 are. */
    const veci from = _mm512_broadcast_i32x4(_mm_setr_epi32(0x0302, 0x0706, 0x0b0a, 0x0f0e));
    return _mm512_mask_shuffle_epi8(second, 0x3333333333333333, first, from);
}

#define STEP_WIDE16(j)                                                   \
    {                                                                    \
        const veci w0 = v_load_i8_pair(WIDE8_AT(w, j, 0));               \
        const veci w1 = NV > 1 ? v_load_i8_pair(WIDE8_AT(w, j, 1)) : w0; \
        const veci w2 = NV > 2 ? v_load_i8_pair(WIDE8_AT(w, j, 2)) : w0; \
        const veci w3 = NV > 3 ? v_load_i8_pair(WIDE8_AT(w, j, 3)) : w0; \
        FOR_ROWS(DOT_16)                                                 \
        x += 2;                                                          \
    }

/* An odd last input stands before a zero, as in tile_dot16. */
ALWAYS_INLINE void tile_wide16(const struct tile_args *t, const int R, const int NV)
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
    for (int k = 0; k + 4 <= t->k; k += 4, w += pitch) {
        STEP_WIDE16(0)
        STEP_WIDE16(2)
        FETCH(w)
    }
    for (int j = 0; j < t->k % 4; j += 2) STEP_WIDE16(j)
    FOR_ROWS(STORE)
}

TILE_TABLE(tile_wide16, FOR_TILES_LINEAR);

/* [k / 2][output][2] */
static void widen_block_bf16(void *out, const char *w, int k, int n_lines)
{
    char *to = out;
    for (int k0 = 0; k0 < k; k0 += 4, w += n_lines * LINE)
        for (int j = 0; j < 4; j += 2)
            for (int v = 0; v < n_lines; v++, to += LINE)
                vi_store(to, v_load_i8_pair(WIDE8_AT(w, j, v)));
}

void cpu_avx512_panel_dot16(const struct linear_args *a, int p, int row0, int row1,
                            const void *next)
{
    static const struct panel_format f = {tile_dot16_tiles, 2, 1, LINE, 2, MAX_TILE, finish_f32};
    run_panel(&f, a, p, row0, row1, next);
}

void cpu_avx512_panel_w8dot16(const struct linear_args *a, int p, int row0, int row1,
                              const void *next)
{
    static const struct panel_format direct = {tile_wide16_tiles, 4,           1, LINE, 2,
                                               MAX_TILE,          finish_wide8};
    static const struct panel_format widened = {tile_dot16_tiles, 4,           2, 2 * LINE, 2,
                                                MAX_TILE,         finish_wide8};
    if (row1 - row0 <= WIDE8_ROWS_DIRECT)
        run_panel(&direct, a, p, row0, row1, next);
    else
        run_widened(&widened, widen_block_bf16, a, p, row0, row1, next);
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
