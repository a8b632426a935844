#include "engine/cpu/quant4.h"

#include "engine/cpu/kernels.h"

#include <immintrin.h>
#include <math.h>
#include <stddef.h>

/* The largest value becomes -8 (or +8, cut to 7, for it has the other sign).  7: nothing is cut off
 * on either side; 8: the other sign may be; above: the largest itself. */
static const float divisors[] = {7.0f, 7.5f, 8.0f, 8.5f, 9.0f, 9.75f, 10.5f};
#define N_DIVISORS 7
_Static_assert(sizeof divisors / sizeof *divisors == N_DIVISORS, "one sum for each");

/* Sums are taken in eight lanes and the lanes added in their order, with no fused operation: the
 * bits are those of the same steps in scalar code (tests/unit/test_quant4.c).  Every machine that
 * runs the release build has AVX2. */
#define N_LANES 8

static float sum_lanes(__m256 v)
{
    float lanes[N_LANES], sum = 0;
    _mm256_storeu_ps(lanes, v);
    for (int i = 0; i < N_LANES; i++) sum += lanes[i];
    return sum;
}

static float largest(const float w[GROUP4])
{
    __m256 max = _mm256_setzero_ps(), min = max;
    for (int i = 0; i < GROUP4; i += N_LANES) {
        const __m256 x = _mm256_loadu_ps(w + i); /* first operand: a NaN gives the second */
        max = _mm256_max_ps(x, max);
        min = _mm256_min_ps(x, min);
    }
    float highs[N_LANES], lows[N_LANES], high = 0, low = 0;
    _mm256_storeu_ps(highs, max);
    _mm256_storeu_ps(lows, min);
    for (int i = 0; i < N_LANES; i++) {
        high = highs[i] > high ? highs[i] : high;
        low = lows[i] < low ? lows[i] : low;
    }
    return high > -low ? high : low;
}

/* To nearest even by way of the mantissa's end; within [-8, 7], NaN to 7. */
static inline __m256 round4(__m256 x)
{
    const __m256 end = _mm256_set1_ps(0x1.8p23f);
    x = _mm256_min_ps(x, _mm256_set1_ps(7.0f));
    x = _mm256_max_ps(x, _mm256_set1_ps(-8.0f));
    return _mm256_sub_ps(_mm256_add_ps(x, end), end);
}

struct choice {
    uint16_t scale;
    float held, inverse, error; /* held: what the f16 scale is */
};

static struct choice choice_of(float scale)
{
    const uint16_t h = f32_to_f16(scale);
    const float held = f16_to_f32(h);
    return (struct choice){.scale = h, .held = held, .inverse = 1.0f / held};
}

/* The squared errors of `n` choices, several at a time: each is a chain of additions. */
static inline void find_errors(const float w[GROUP4], struct choice *c, int n)
{
    __m256 sums[N_DIVISORS];
    for (int k = 0; k < n; k++) sums[k] = _mm256_setzero_ps();
    for (int i = 0; i < GROUP4; i += N_LANES) {
        const __m256 x = _mm256_loadu_ps(w + i);
        for (int k = 0; k < n; k++) {
            const __m256 q = round4(_mm256_mul_ps(x, _mm256_set1_ps(c[k].inverse)));
            const __m256 e = _mm256_sub_ps(x, _mm256_mul_ps(q, _mm256_set1_ps(c[k].held)));
            sums[k] = _mm256_add_ps(sums[k], _mm256_mul_ps(e, e));
        }
    }
    for (int k = 0; k < n; k++) c[k].error = sum_lanes(sums[k]);
}

/* The scale that fits best to the integers that `inverse` gives. */
static float refit(const float w[GROUP4], float inverse)
{
    __m256 wq = _mm256_setzero_ps(), qq = wq;
    for (int i = 0; i < GROUP4; i += N_LANES) {
        const __m256 x = _mm256_loadu_ps(w + i);
        const __m256 q = round4(_mm256_mul_ps(x, _mm256_set1_ps(inverse)));
        wq = _mm256_add_ps(wq, _mm256_mul_ps(x, q));
        qq = _mm256_add_ps(qq, _mm256_mul_ps(q, q));
    }
    const float num = sum_lanes(wq), den = sum_lanes(qq);
    return den > 0 ? num / den : 0;
}

static inline __m256i integers(const float *w, float inverse)
{
    const __m256 q = round4(_mm256_mul_ps(_mm256_loadu_ps(w), _mm256_set1_ps(inverse)));
    return _mm256_cvttps_epi32(_mm256_add_ps(q, _mm256_set1_ps(8.0f)));
}

static void quantize(const float w[GROUP4], float inverse, uint8_t q[GROUP4])
{
    /* The narrowing works within halves of a register: four values of each source in turn. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int i = 0; i < GROUP4; i += 4 * N_LANES) {
        const __m256i low =
            _mm256_packs_epi32(integers(w + i, inverse), integers(w + i + N_LANES, inverse));
        const __m256i high = _mm256_packs_epi32(integers(w + i + 2 * N_LANES, inverse),
                                                integers(w + i + 3 * N_LANES, inverse));
        const __m256i bytes = _mm256_packus_epi16(low, high);
        _mm256_storeu_si256((__m256i *)(void *)(q + i), _mm256_permutevar8x32_epi32(bytes, order));
    }
}

static void consider(const struct choice *c, struct choice *best)
{
    if (c->held != 0 && c->error < best->error) *best = *c;
}

uint16_t quant4_group(const float w[GROUP4], uint8_t q[GROUP4])
{
    struct choice best = {.error = INFINITY}, tried[N_DIVISORS];
    const float top = largest(w);
    for (int i = 0; i < N_DIVISORS; i++) tried[i] = choice_of(top / -divisors[i]);
    find_errors(w, tried, N_DIVISORS);
    for (int i = 0; i < N_DIVISORS; i++) consider(&tried[i], &best);
    if (best.scale != 0) {
        struct choice fitted = choice_of(refit(w, best.inverse));
        find_errors(w, &fitted, 1);
        consider(&fitted, &best);
    }
    quantize(w, best.inverse, q);
    return best.scale;
}
