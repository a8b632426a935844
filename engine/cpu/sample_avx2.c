/* The passes of sampling for AVX2. */
#include "engine/cpu/sample_kernels.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx2.h"

VEC_INLINE unsigned lanes_ge(vec a, vec b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ));
}
VEC_INLINE unsigned lanes_gt(vec a, vec b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
VEC_INLINE vec v_keep_ge(vec a, vec x, vec t)
{
    return _mm256_and_ps(a, _mm256_cmp_ps(x, t, _CMP_GE_OQ));
}
VEC_INLINE veci v_bits(vec a)
{
    return _mm256_castps_si256(a);
}
VEC_INLINE veci vi_add_mass(veci sum, vec w)
{
    const __m256d magic = _mm256_set1_pd(SAMPLE_MASS_MAGIC);
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(w));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(w, 1));
    sum = _mm256_add_epi64(sum, _mm256_castpd_si256(_mm256_add_pd(low, magic)));
    return _mm256_add_epi64(sum, _mm256_castpd_si256(_mm256_add_pd(high, magic)));
}
VEC_INLINE uint64_t vi_sum64(veci a)
{
    uint64_t lane[4];
    vi_store(lane, a);
    return lane[0] + lane[1] + lane[2] + lane[3];
}
VEC_INLINE int append(float *x, int32_t *id, const float *from, const int32_t *ids, int i,
                      unsigned lanes)
{
    int n = 0;
    for (; lanes; lanes &= lanes - 1, n++) {
        const int j = __builtin_ctz(lanes);
        x[n] = from[j];
        id[n] = ids ? ids[i + j] : i + j;
    }
    return n;
}
VEC_INLINE veci vi64_set1(uint64_t x)
{
    return _mm256_set1_epi64x((long long)x);
}
VEC_INLINE veci vi64_mul(veci a, veci b)
{
    return _mm256_mul_epu32(a, b);
}
VEC_INLINE veci vi64_high(veci a)
{
    return _mm256_srli_epi64(a, 32);
}
VEC_INLINE veci vi64_xor3(veci a, veci b, veci c)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
VEC_INLINE veci vi64_pair(veci low, veci high)
{
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xaa);
}
VEC_INLINE veci vi64_pairs_low(veci a, veci b)
{
    return _mm256_unpacklo_epi64(a, b);
}
VEC_INLINE veci vi64_pairs_high(veci a, veci b)
{
    return _mm256_unpackhi_epi64(a, b);
}
/* Even lanes hold the first two groups, which unpacklo takes, odd ones the others. */
VEC_INLINE veci vi64_groups(int first)
{
    return _mm256_add_epi64(_mm256_setr_epi64x(0, 2, 1, 3), _mm256_set1_epi64x(first));
}
VEC_INLINE vec v_unit_bits(veci noise)
{
    return v_from_i32(_mm256_srli_epi32(noise, 9));
}

#include "engine/cpu/body_sample.h"

const struct sample_kernels cpu_sample_avx2 = SAMPLE_TABLE;
