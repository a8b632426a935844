/* vec_avx2.h - the vectors of kernels_avx2.c: 8 floats, 16 registers.  A file that is compiled for AVX-VNNI
 * (kernels_avx2vnni.c) has its dot products of bytes. */
#ifndef ENGINE_CPU_VEC_AVX2_H
#define ENGINE_CPU_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define VW 8
#ifdef __AVXVNNI__
#define W8_FLIP 128 /* int8 weights are stored as q + 128: vpdpbusd wants one unsigned side */
#else
#define W8_FLIP 0 /* int8 weights are stored as they are */
#endif

/* Register tiles: 6 x 2 sums, 2 weights and a broadcast are 15 of 16 registers; 4-bit weights have a mask
 * beside them. */
#define MAX_NV(rows) ((rows) <= 2 ? 4 : 2)
/* clang-format off */
#define FOR_TILES(X, name)                                     \
    X(name, 1, 1) X(name, 1, 2) X(name, 1, 3) X(name, 1, 4) \
    X(name, 2, 1) X(name, 2, 2) X(name, 2, 3) X(name, 2, 4) \
    X(name, 3, 1) X(name, 3, 2)                             \
    X(name, 4, 1) X(name, 4, 2)                             \
    X(name, 5, 1) X(name, 5, 2)                             \
    X(name, 6, 1) X(name, 6, 2)
#define FOR_TILES_4(X, name) X(name, 1, 2) X(name, 2, 2) X(name, 3, 2) X(name, 4, 2)
#define FOR_TILES_5(X, name) FOR_TILES_4(X, name) X(name, 5, 2)
#define FOR_TILES_LINEAR(X, name) FOR_TILES_5(X, name) X(name, 6, 2)
/* clang-format on */
#ifdef __AVXVNNI__
#define MAX_ROWS_I8      6
#define FOR_TILES_I8     FOR_TILES_LINEAR
#define MAX_ROWS_I4      5
#define FOR_TILES_I4     FOR_TILES_5
#define MAX_ROWS_SPLIT4  6
#define FOR_TILES_SPLIT4 FOR_TILES_LINEAR
#define SPLIT4_ROWS      13 /* from here on 4-bit weights are split once for all tiles */
#else
#define DOTS_IN_WORDS    1 /* there is no vpdpbusd */
#define MAX_ROWS_I8      4
#define FOR_TILES_I8     FOR_TILES_4
#define SPLIT8_ROWS      13 /* from here on int8 weights are widened once for all tiles */
#define MAX_ROWS_I4      5
#define FOR_TILES_I4     FOR_TILES_5
#define MAX_ROWS_SPLIT4  6
#define FOR_TILES_SPLIT4 FOR_TILES_LINEAR
#define SPLIT4_ROWS      40 /* the same; measured without VNNI */
#endif
#define FOR_TILES_DOT(X, name) \
    X(name, 1, 1)              \
    X(name, 1, 2)              \
    X(name, 2, 1) X(name, 2, 2) X(name, 3, 1) X(name, 3, 2) X(name, 4, 1) X(name, 4, 2)
#define FOR_TILES_WIDENED FOR_TILES
#define MAX_NV_WIDENED    MAX_NV
#define MAX_ROWS_WIDENED  MAX_TILE
#define MAX_NV_DOT(rows)  2
#define MAX_ROWS_DOT      4
#define MAX_ROWS_DOT_ONCE 4

#define VEC_INLINE static inline __attribute__((always_inline))

typedef __m256 vec;
typedef __m256i veci;
typedef int vmask; /* values are padded to 8, so a load is never short */

static const int32_t first_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

VEC_INLINE vmask v_mask(int n)
{
    return n;
}
VEC_INLINE veci lanes_mask(int n)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(first_lanes + 8 - n));
}
VEC_INLINE vec v_zero(void)
{
    return _mm256_setzero_ps();
}
VEC_INLINE vec v_set1(float x)
{
    return _mm256_set1_ps(x);
}
VEC_INLINE vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
VEC_INLINE vec v_load_mask(const float *p, vmask m)
{
    (void)m;
    return v_load(p);
}
/* The first n < 8 lanes, zero elsewhere. */
VEC_INLINE vec v_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, lanes_mask(n));
}
VEC_INLINE void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
VEC_INLINE void v_store_n(float *p, vec v, int n)
{
    _mm256_maskstore_ps(p, lanes_mask(n), v);
}
VEC_INLINE vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
VEC_INLINE vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
VEC_INLINE vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
VEC_INLINE vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
VEC_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
/* b where either is NaN */
VEC_INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
VEC_INLINE vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}
VEC_INLINE vec v_abs(vec a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
VEC_INLINE float v_first(vec a)
{
    return _mm256_cvtss_f32(a);
}
VEC_INLINE float v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
VEC_INLINE float v_hmax(vec a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
/* Lanes outside [lo, hi) become `fill`. */
VEC_INLINE vec v_keep_lanes(vec a, int lo, int hi, float fill)
{
    const veci lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const veci low = _mm256_cmpgt_epi32(_mm256_set1_epi32(lo), lane); /* lane < lo */
    const veci in = _mm256_andnot_si256(low, _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), lane));
    return _mm256_blendv_ps(v_set1(fill), a, _mm256_castsi256_ps(in));
}

VEC_INLINE veci vi_zero(void)
{
    return _mm256_setzero_si256();
}
VEC_INLINE veci vi_set1(int32_t x)
{
    return _mm256_set1_epi32(x);
}
VEC_INLINE veci vi_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
VEC_INLINE veci vi_load_mask(const void *p, vmask m)
{
    (void)m;
    return vi_load(p);
}
VEC_INLINE void vi_store(void *p, veci a)
{
    _mm256_storeu_si256((__m256i *)p, a);
}
VEC_INLINE veci vi_sub(veci a, veci b)
{
    return _mm256_sub_epi32(a, b);
}
VEC_INLINE vec v_from_i32(veci a)
{
    return _mm256_cvtepi32_ps(a);
}
#ifdef __AVXVNNI__
VEC_INLINE veci vi_prepare_i8(veci w)
{
    return w;
}
/* sum += four products for each lane; w unsigned */
VEC_INLINE veci vi_dot_i8(veci sum, veci w, veci prepared, veci x)
{
    (void)prepared;
    return _mm256_dpbusd_avx_epi32(sum, w, x);
}
/* sum += four products for each lane; w unsigned */
VEC_INLINE veci vi_dot_u4(veci sum, veci w, veci x)
{
    return _mm256_dpbusd_avx_epi32(sum, w, x);
}
#else
VEC_INLINE veci vi_prepare_i8(veci w)
{
    return _mm256_abs_epi8(w);
}
/* sum += four products for each lane.  vpmaddubsw wants one unsigned side: |w| with w's sign moved
 * to x.  Its 16-bit sums of two products stay below 2 * 127 * 127 = 32258: exact. */
VEC_INLINE veci vi_dot_i8(veci sum, veci w, veci prepared, veci x)
{
    const veci pairs = _mm256_maddubs_epi16(prepared, _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
/* The first, and the last, two of each lane's four int8 as 16 bits. */
VEC_INLINE veci vi_words_low(veci bytes)
{
    const veci to_upper =
        _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1,
                         4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, to_upper), 8);
}
VEC_INLINE veci vi_words_high(veci bytes)
{
    const veci to_upper =
        _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1, 3,
                         -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, to_upper), 8);
}
/* sum += two products of 16 bits for each lane */
VEC_INLINE veci vi_dot_i16(veci sum, veci w, veci x)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
}
/* Two int8 for each lane, as 16 bits. */
VEC_INLINE veci vi_load_i8_pairs(const void *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
}
VEC_INLINE veci vi_load_i8_pairs_mask(const void *p, vmask m)
{
    (void)m;
    return vi_load_i8_pairs(p);
}
/* sum += two products for each of 16 words; w in 0..15 */
VEC_INLINE veci vi_add_pairs_u4(veci sum, veci w, veci x)
{
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x));
}
/* sum += both words of each lane */
VEC_INLINE veci vi_add_words(veci sum, veci words)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}
#endif
/* The 4-bit halves of each byte. */
VEC_INLINE veci vi_nibbles_low(veci w)
{
    return _mm256_and_si256(w, _mm256_set1_epi8(15));
}
VEC_INLINE veci vi_nibbles_high(veci w)
{
    return _mm256_and_si256(_mm256_srli_epi16(w, 4), _mm256_set1_epi8(15));
}
VEC_INLINE vec v_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
VEC_INLINE vec v_load_i8(const int8_t *p)
{
    return v_from_i32(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
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
    const veci i = _mm256_cvtps_epi32(v);
    const __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packs_epi16(h, h));
}
/* Rounds to nearest even and to what 16 bits hold. */
VEC_INLINE void v_store_i16(int16_t *p, vec v)
{
    const veci i = _mm256_cvtps_epi32(v);
    _mm_storeu_si128((__m128i *)(void *)p,
                     _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
}

VEC_INLINE vec v_bf16_low(veci pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}
VEC_INLINE vec v_bf16_high(veci pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int32_t)0xffff0000u)));
}
VEC_INLINE vec v_load_bf16(const uint16_t *p)
{
    return v_bf16_low(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* Like v_load_bf16_mask. */
VEC_INLINE vec v_load_bf16_mask(const uint16_t *p, vmask m)
{
    (void)m;
    return v_load_bf16(p);
}

/* 2^x: 2^n times a polynomial in f = x - n, |f| <= 1/2, that interpolates (2^f - 1) / f at
 * Chebyshev nodes: relative error 5e-9 before rounding, and exactly 1 at 0.  Below -126 the result
 * is 0, above 127 that of 127. */
VEC_INLINE vec v_exp2(vec x)
{
    const vec tiny = _mm256_cmp_ps(x, v_set1(-126.0f), _CMP_LT_OQ);
    x = v_min(v_set1(127.0f), v_max(v_set1(-126.0f), x)); /* NaN stays */
    const vec n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const vec f = v_sub(x, n);
    vec p = v_set1(1.545316293871547e-4f);
    p = v_fma(p, f, v_set1(1.3390863364587046e-3f));
    p = v_fma(p, f, v_set1(9.618082557304945e-3f));
    p = v_fma(p, f, v_set1(5.5503571142192905e-2f));
    p = v_fma(p, f, v_set1(0.24022650760567826f));
    p = v_fma(p, f, v_set1(0.6931471880262285f));
    p = v_fma(p, f, v_set1(1.0f));
    const veci shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), shifted));
    return _mm256_andnot_ps(tiny, p);
}

VEC_INLINE vec v_exp2_fast(vec x)
{
    return v_exp2(x);
}

#endif
