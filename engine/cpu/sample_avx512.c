/* The passes of sampling for AVX-512. */
#include "engine/cpu/sample_kernels.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx512.h"

VEC_INLINE unsigned lanes_ge(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}
VEC_INLINE unsigned lanes_gt(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
VEC_INLINE vec v_keep_ge(vec a, vec x, vec t)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, t, _CMP_GE_OQ), a);
}
VEC_INLINE veci v_bits(vec a)
{
    return _mm512_castps_si512(a);
}
VEC_INLINE veci vi_add_mass(veci sum, vec w)
{
    const __m512d magic = _mm512_set1_pd(SAMPLE_MASS_MAGIC);
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(w));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(w, 1));
    sum = _mm512_add_epi64(sum, _mm512_castpd_si512(_mm512_add_pd(low, magic)));
    return _mm512_add_epi64(sum, _mm512_castpd_si512(_mm512_add_pd(high, magic)));
}
VEC_INLINE uint64_t vi_sum64(veci a)
{
    uint64_t lane[8], sum = 0; /* wraps, so not by the signed _mm512_reduce_add_epi64 */
    vi_store(lane, a);
    for (int i = 0; i < 8; i++) sum += lane[i];
    return sum;
}
/* Compressing in a register and storing all of it is faster than storing compressed. */
VEC_INLINE int append(float *x, int32_t *id, const float *from, const int32_t *ids, int i,
                      unsigned lanes)
{
    const vmask m = (vmask)lanes;
    const veci lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    v_store(x, _mm512_maskz_compress_ps(m, v_load(from)));
    const veci all = ids ? vi_load(ids + i) : _mm512_add_epi32(lane, vi_set1(i));
    vi_store(id, _mm512_maskz_compress_epi32(m, all));
    return __builtin_popcount(lanes);
}
VEC_INLINE veci vi64_set1(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}
VEC_INLINE veci vi64_mul(veci a, veci b)
{
    return _mm512_mul_epu32(a, b);
}
VEC_INLINE veci vi64_high(veci a)
{
    return _mm512_srli_epi64(a, 32);
}
VEC_INLINE veci vi64_xor3(veci a, veci b, veci c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
VEC_INLINE veci vi64_pair(veci low, veci high)
{
    return _mm512_mask_blend_epi32(0xaaaa, low, _mm512_slli_epi64(high, 32));
}
VEC_INLINE veci vi64_pairs_low(veci a, veci b)
{
    return _mm512_unpacklo_epi64(a, b);
}
VEC_INLINE veci vi64_pairs_high(veci a, veci b)
{
    return _mm512_unpackhi_epi64(a, b);
}
/* Even lanes hold the first four groups, which unpacklo takes, odd ones the others. */
VEC_INLINE veci vi64_groups(int first)
{
    return _mm512_add_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), _mm512_set1_epi64(first));
}
VEC_INLINE vec v_unit_bits(veci noise)
{
    return v_from_i32(_mm512_srli_epi32(noise, 9));
}

#include "engine/cpu/body_sample.h"

const struct sample_kernels cpu_sample_avx512 = SAMPLE_TABLE;
