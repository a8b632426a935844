/* vec_avx512.h - the vectors of kernels_avx512.c: 16 floats, 32 registers. */
#ifndef ENGINE_CPU_VEC_AVX512_H
#define ENGINE_CPU_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define VW      16
#define W8_FLIP 128 /* int8 weights are stored as q + 128: vpdpbusd wants one unsigned side */

/* Register tiles: 6 x 4 sums, 4 weights and a broadcast are 29 of 32 registers. */
#define MAX_NV(rows)     4
#define MAX_ROWS_I8      6
#define MAX_ROWS_I4      6
#define MAX_ROWS_SPLIT4  MAX_ROWS_I8
#define FOR_TILES_SPLIT4 FOR_TILES_I8
#define SPLIT4_ROWS      13 /* from here on 4-bit weights are split once for all tiles */
/* clang-format off */
#define FOR_TILES(X, name)                                    \
    X(name, 1, 1) X(name, 1, 2) X(name, 1, 3) X(name, 1, 4) \
    X(name, 2, 1) X(name, 2, 2) X(name, 2, 3) X(name, 2, 4) \
    X(name, 3, 1) X(name, 3, 2) X(name, 3, 3) X(name, 3, 4) \
    X(name, 4, 1) X(name, 4, 2) X(name, 4, 3) X(name, 4, 4) \
    X(name, 5, 1) X(name, 5, 2) X(name, 5, 3) X(name, 5, 4) \
    X(name, 6, 1) X(name, 6, 2) X(name, 6, 3) X(name, 6, 4)
#define FOR_TILES_LINEAR FOR_TILES
#define FOR_TILES_I8 FOR_TILES
#define FOR_TILES_I4 FOR_TILES
#define FOR_TILES_DOT(X, name) \
    FOR_TILES(X, name) X(name, 7, 1) X(name, 7, 2) X(name, 8, 1) X(name, 8, 2)
#define FOR_TILES_WIDENED(X, name) \
    FOR_TILES_DOT(X, name) X(name, 7, 3) X(name, 8, 3) \
    X(name, 9, 1) X(name, 9, 2) X(name, 10, 1) X(name, 10, 2) \
    X(name, 11, 1) X(name, 11, 2) X(name, 12, 1) X(name, 12, 2)
/* clang-format on */
/* bf16 widened in registers: the more rows, the less of it. */
#define MAX_NV_WIDENED(rows) ((rows) <= 6 ? 4 : (rows) <= 8 ? 3 : 2)
#define MAX_ROWS_WIDENED     12
/* Attention's dot forms: 8 rows (a common group of query heads) pass over the keys once. */
#define MAX_NV_DOT(rows)  ((rows) <= 6 ? 4 : 2)
#define MAX_ROWS_DOT      6
#define MAX_ROWS_DOT_ONCE 8

#define VEC_INLINE static inline __attribute__((always_inline))

typedef __m512 vec;
typedef __m512i veci;
typedef __mmask16 vmask;

/* The first n lanes (all when n >= 16). */
VEC_INLINE vmask v_mask(int n)
{
    return n >= VW ? (vmask)0xffff : (vmask)((1u << n) - 1);
}
VEC_INLINE vec v_zero(void)
{
    return _mm512_setzero_ps();
}
VEC_INLINE vec v_set1(float x)
{
    return _mm512_set1_ps(x);
}
VEC_INLINE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
VEC_INLINE vec v_load_mask(const float *p, vmask m)
{
    return _mm512_maskz_loadu_ps(m, p);
}
VEC_INLINE vec v_load_n(const float *p, int n)
{
    return v_load_mask(p, v_mask(n));
}
VEC_INLINE void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
VEC_INLINE void v_store_n(float *p, vec v, int n)
{
    _mm512_mask_storeu_ps(p, v_mask(n), v);
}
VEC_INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
VEC_INLINE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
VEC_INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
VEC_INLINE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
VEC_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* b where either is NaN */
VEC_INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
VEC_INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
VEC_INLINE vec v_abs(vec a)
{
    return _mm512_abs_ps(a);
}
VEC_INLINE float v_sum(vec a)
{
    return _mm512_reduce_add_ps(a);
}
VEC_INLINE float v_hmax(vec a)
{
    return _mm512_reduce_max_ps(a);
}
VEC_INLINE float v_first(vec a)
{
    return _mm512_cvtss_f32(a);
}
/* Lanes outside [lo, hi) become `fill`. */
VEC_INLINE vec v_keep_lanes(vec a, int lo, int hi, float fill)
{
    const vmask above = lo > 0 ? (vmask)~v_mask(lo) : (vmask)0xffff;
    const vmask below = hi > 0 ? v_mask(hi) : (vmask)0;
    return _mm512_mask_mov_ps(v_set1(fill), (vmask)(above & below), a);
}

VEC_INLINE veci vi_zero(void)
{
    return _mm512_setzero_si512();
}
VEC_INLINE veci vi_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}
VEC_INLINE veci vi_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
VEC_INLINE veci vi_load_mask(const void *p, vmask m)
{
    return _mm512_maskz_loadu_epi32(m, p);
}
VEC_INLINE void vi_store(void *p, veci a)
{
    _mm512_storeu_si512(p, a);
}
VEC_INLINE veci vi_sub(veci a, veci b)
{
    return _mm512_sub_epi32(a, b);
}
VEC_INLINE vec v_from_i32(veci a)
{
    return _mm512_cvtepi32_ps(a);
}
VEC_INLINE veci vi_prepare_i8(veci w)
{
    return w;
}
/* sum += four products for each lane; w unsigned */
VEC_INLINE veci vi_dot_i8(veci sum, veci w, veci prepared, veci x)
{
    (void)prepared;
    return _mm512_dpbusd_epi32(sum, w, x);
}
/* sum += two products of 16 bits for each lane */
VEC_INLINE veci vi_dot_i16(veci sum, veci w, veci x)
{
    return _mm512_dpwssd_epi32(sum, w, x);
}
/* Two int8 for each lane, as 16 bits. */
VEC_INLINE veci vi_load_i8_pairs(const void *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(p));
}
VEC_INLINE veci vi_load_i8_pairs_mask(const void *p, vmask m)
{
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi16(m, p));
}
/* The 4-bit halves of each byte. */
VEC_INLINE veci vi_nibbles_low(veci w)
{
    return _mm512_and_si512(w, _mm512_set1_epi8(15));
}
VEC_INLINE veci vi_nibbles_high(veci w)
{
    return _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15));
}
/* sum += four products for each lane; w in 0..15 */
VEC_INLINE veci vi_dot_u4(veci sum, veci w, veci x)
{
    return _mm512_dpbusd_epi32(sum, w, x);
}
VEC_INLINE vec v_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
VEC_INLINE vec v_load_i8(const int8_t *p)
{
    return v_from_i32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* Vector i of the bytes at p. */
VEC_INLINE vec v_load_at(const char *p, int i)
{
    return v_load((const float *)(const void *)p + i * VW);
}
VEC_INLINE veci vi_load_at(const char *p, int i)
{
    return vi_load(p + i * VW * 4);
}
/* Rounds to nearest even; |lanes| <= 127. */
VEC_INLINE void v_store_i8(int8_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}
/* Rounds to nearest even and to what 16 bits hold. */
VEC_INLINE void v_store_i16(int16_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v)));
}

VEC_INLINE vec v_bf16_low(veci pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
VEC_INLINE vec v_bf16_high(veci pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int32_t)0xffff0000u)));
}
VEC_INLINE vec v_load_bf16(const uint16_t *p)
{
    return v_bf16_low(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)));
}
VEC_INLINE vec v_load_bf16_mask(const uint16_t *p, vmask m)
{
    return v_bf16_low(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p)));
}

/* 2^x: 2^n times a polynomial in f = x - n, |f| <= 1/2, that interpolates (2^f - 1) / f at
 * Chebyshev nodes: relative error 5e-9 before rounding, and exactly 1 at 0. */
VEC_INLINE vec v_exp2(vec x)
{
    x = v_max(v_set1(-200.0f), x); /* -inf - round(-inf) would be NaN; NaN stays */
    const vec n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const vec f = v_sub(x, n);
    vec p = v_set1(1.545316293871547e-4f);
    p = v_fma(p, f, v_set1(1.3390863364587046e-3f));
    p = v_fma(p, f, v_set1(9.618082557304945e-3f));
    p = v_fma(p, f, v_set1(5.5503571142192905e-2f));
    p = v_fma(p, f, v_set1(0.24022650760567826f));
    p = v_fma(p, f, v_set1(0.6931471880262285f));
    p = v_fma(p, f, v_set1(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* The same to a relative error of 2.3e-7, exactly 1 at 0: 2^floor(x) times a polynomial in what is
 * left, which interpolates on [0, 1].  Fewer steps, one of which does the flooring itself. */
VEC_INLINE vec v_exp2_fast(vec x)
{
    const vec f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vec p = v_set1(1.7883687978610396e-3f);
    p = v_fma(p, f, v_set1(9.199387393891811e-3f));
    p = v_fma(p, f, v_set1(5.565705522894859e-2f));
    p = v_fma(p, f, v_set1(0.24020719528198242f));
    p = v_fma(p, f, v_set1(0.6931475400924683f));
    p = v_fma(p, f, v_set1(1.0f));
    return _mm512_scalef_ps(p, x);
}

#endif
