/* dummy.c - random weights, about a nanosecond each: five table look-ups for one 64-bit draw. */

#include "engine/load/dummy.h"

#include "config/base/check.h"
#include "config/base/hash.h"
#include "config/base/rng.h"
#include "engine/convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_BITS 12
#define N_LEVELS   (1 << LEVEL_BITS)
#define PER_DRAW   (64 / LEVEL_BITS)
#define DEVIATION  0.02

/* The normal distribution as 4096 equally likely levels: more than bf16 tells apart at one scale,
 * and small enough for the nearest cache. */
struct dummy {
    uint64_t seed;
    float f32[N_LEVELS];
    uint16_t f16[N_LEVELS], bf16[N_LEVELS];
};

/* The x with P(X < x) = p, by bisection. */
static double normal_quantile(double p)
{
    double low = -8.0, high = 8.0;
    for (int i = 0; i < 48; i++) {
        const double mid = 0.5 * (low + high);
        if (0.5 * erfc(-mid / M_SQRT2) < p)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}

/* Levels are about 1e-5 to 0.08: enough to round the fraction and rebias, with subnormals. */
static uint16_t f16_from_level(float f)
{
    const uint16_t sign = f < 0.0f ? 0x8000 : 0;
    int exponent;
    const float fraction = frexpf(fabsf(f), &exponent); /* f = fraction * 2^exponent, [0.5, 1) */
    if (exponent < -13) return sign | (uint16_t)lrintf(fabsf(f) * 0x1p24f);
    /* Adding lets a fraction that rounds up to 2.0 carry into the exponent. */
    return sign | (uint16_t)(((exponent + 13) << 10) + (int)lrintf(fraction * 2048.0f));
}

struct dummy *dummy_open(uint64_t seed)
{
    struct dummy *d = malloc(sizeof *d);
    if (!d) return NULL;
    d->seed = seed;
    for (int i = 0; i < N_LEVELS; i++) {
        d->f32[i] = (float)(DEVIATION * normal_quantile((i + 0.5) / N_LEVELS));
        d->f16[i] = f16_from_level(d->f32[i]);
        d->bf16[i] = convert_f32_to_bf16(d->f32[i]);
    }
    return d;
}

void dummy_close(struct dummy *d)
{
    free(d);
}

static void fill_u16(const uint16_t *levels, struct rng *rng, uint16_t *out, size_t n)
{
    size_t i = 0;
    for (; i + PER_DRAW <= n; i += PER_DRAW) {
        const uint64_t draw = rng_next(rng);
        for (int k = 0; k < PER_DRAW; k++)
            out[i + (size_t)k] = levels[(draw >> (k * LEVEL_BITS)) & (N_LEVELS - 1)];
    }
    for (; i < n; i++) out[i] = levels[rng_next(rng) & (N_LEVELS - 1)];
}

static void fill_f32(const float *levels, struct rng *rng, float *out, size_t n)
{
    size_t i = 0;
    for (; i + PER_DRAW <= n; i += PER_DRAW) {
        const uint64_t draw = rng_next(rng);
        for (int k = 0; k < PER_DRAW; k++)
            out[i + (size_t)k] = levels[(draw >> (k * LEVEL_BITS)) & (N_LEVELS - 1)];
    }
    for (; i < n; i++) out[i] = levels[rng_next(rng) & (N_LEVELS - 1)];
}

void dummy_fill(const struct dummy *d, const char *name, enum dtype dtype, void *out, size_t n)
{
    struct rng rng = {hash_bytes(name, strlen(name), d->seed)};
    CHECK(dtype == DT_F32 || dtype == DT_F16 || dtype == DT_BF16);
    if (dtype == DT_F32)
        fill_f32(d->f32, &rng, out, n);
    else
        fill_u16(dtype == DT_F16 ? d->f16 : d->bf16, &rng, out, n);
}
