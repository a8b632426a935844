#include "engine/cpu/quant4.h"

#include "engine/cpu/kernels.h"

#include <math.h>
#include <stddef.h>

/* The largest value becomes -8 (or +8, cut to 7, for it has the other sign).  7: nothing is cut off
 * on either side; 8: the other sign may be; above: the largest itself. */
static const float divisors[] = {7.0f, 7.5f, 8.0f, 8.5f, 9.0f, 9.75f, 10.5f};

#define N_SUMS 8 /* separate sums, so that vectors can do them without another order */

static float largest(const float w[GROUP4])
{
    float max = 0, min = 0;
    for (int i = 0; i < GROUP4; i++) {
        max = w[i] > max ? w[i] : max;
        min = w[i] < min ? w[i] : min;
    }
    return max > -min ? max : min;
}

/* To nearest even by way of the mantissa's end; within [-8, 7], NaN to -8. */
static inline float round4(float x)
{
    x = x < 7.0f ? x : 7.0f;
    x = x > -8.0f ? x : -8.0f;
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* The squared error. */
static float error_of(const float w[GROUP4], float scale, float inverse)
{
    float sums[N_SUMS] = {0};
    for (int i = 0; i < GROUP4; i += N_SUMS) {
        for (int j = 0; j < N_SUMS; j++) {
            const float e = w[i + j] - round4(w[i + j] * inverse) * scale;
            sums[j] += e * e;
        }
    }
    float sum = 0;
    for (int j = 0; j < N_SUMS; j++) sum += sums[j];
    return sum;
}

/* The scale that fits best to the integers that `inverse` gives. */
static float refit(const float w[GROUP4], float inverse)
{
    float wq[N_SUMS] = {0}, qq[N_SUMS] = {0};
    for (int i = 0; i < GROUP4; i += N_SUMS) {
        for (int j = 0; j < N_SUMS; j++) {
            const float q = round4(w[i + j] * inverse);
            wq[j] += w[i + j] * q;
            qq[j] += q * q;
        }
    }
    float num = 0, den = 0;
    for (int j = 0; j < N_SUMS; j++) {
        num += wq[j];
        den += qq[j];
    }
    return den > 0 ? num / den : 0;
}

struct choice {
    uint16_t scale;
    float inverse, error;
};

static void consider(const float w[GROUP4], float scale, struct choice *best)
{
    const uint16_t h = f32_to_f16(scale);
    const float held = f16_to_f32(h);
    if (held == 0) return;
    const float inverse = 1.0f / held, error = error_of(w, held, inverse);
    if (error < best->error) *best = (struct choice){h, inverse, error};
}

uint16_t quant4_group(const float w[GROUP4], uint8_t q[GROUP4])
{
    struct choice best = {.error = INFINITY};
    const float top = largest(w);
    for (size_t i = 0; i < sizeof divisors / sizeof *divisors; i++)
        consider(w, top / -divisors[i], &best);
    if (best.scale != 0) consider(w, refit(w, best.inverse), &best);
    for (int i = 0; i < GROUP4; i++) q[i] = (uint8_t)(int)(round4(w[i] * best.inverse) + 8.0f);
    return best.scale;
}
