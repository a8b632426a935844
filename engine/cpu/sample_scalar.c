/* The passes of sampling in plain C, and what all instruction sets share. */
#include "config/base/rng.h"
#include "engine/cpu/sample_kernels.h"

#include <math.h>
#include <string.h>

/* --- shared --- */

double cpu_sample_log(double x)
{
    if (!(x > 0)) return -INFINITY;
    int exponent;
    double m = frexp(x, &exponent); /* [1/2, 1) */
    if (m < 0x1.6a09e667f3bcdp-1) { /* now [1/sqrt(2), sqrt(2)) */
        m *= 2;
        exponent--;
    }
    /* ln(m) = 2 (s + s^3/3 + s^5/5 + ...), |s| <= 0.172: s^19 is below 1e-15. */
    const double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 0;
    for (int k = 19; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
    return exponent * 0x1.62e42fefa39efp-1 + 2 * s * sum;
}

void cpu_sample_try(struct sample_race *r, int32_t i, float x, uint32_t noise)
{
    if (!(x > r->cut.value || (x == r->cut.value && i <= r->cut.last_id))) return;
    const double u = (double)rng_open01(noise);
    const float score = x / r->temperature + (float)-cpu_sample_log(-cpu_sample_log(u));
    if (score > r->best || (score == r->best && i < r->winner)) {
        r->best = score;
        r->winner = i;
    }
}

/* --- passes --- */

static float maxima(const float *x, int n, float *columns)
{
    float max = -INFINITY;
    for (int b = 0; b < sample_n_blocks(n); b++, columns += SAMPLE_COLUMNS) {
        for (int c = 0; c < SAMPLE_COLUMNS; c++) columns[c] = -INFINITY;
        const int end = n - b * SAMPLE_BLOCK < SAMPLE_BLOCK ? n : (b + 1) * SAMPLE_BLOCK;
        for (int i = b * SAMPLE_BLOCK; i < end; i++) {
            float *column = &columns[i % SAMPLE_COLUMNS];
            if (x[i] > *column) *column = x[i];
            if (x[i] > max) max = x[i];
        }
    }
    return max;
}

static float weight_of(float x, struct sample_weight w)
{
    float v = (x - w.max) * w.scale;
    v = v > SAMPLE_LOWEST ? v : SAMPLE_LOWEST;
    const float n = rintf(v), f = v - n;
    float p = 1.545316293871547e-4f;
    p = fmaf(p, f, 1.3390863364587046e-3f);
    p = fmaf(p, f, 9.618082557304945e-3f);
    p = fmaf(p, f, 5.5503571142192905e-2f);
    p = fmaf(p, f, 0.24022650760567826f);
    p = fmaf(p, f, 0.6931471880262285f);
    p = fmaf(p, f, 1.0f);
    return ldexpf(p, (int)n);
}

static uint64_t mass(const float *x, int n, struct sample_weight w, float lowest)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        if (x[i] >= lowest) sum += sample_mass_of(weight_of(x[i], w));
    return sum;
}

static void weights(const float *x, int n, struct sample_weight w, float *out)
{
    for (int i = 0; i < n; i++) out[i] = weight_of(x[i], w);
}

static uint64_t collect(const float *x, const int32_t *ids, int n, struct sample_weight w,
                        struct sample_range in, struct sample_list *out)
{
    uint64_t above = 0;
    out->n = 0;
    for (int i = 0; i < n; i++) {
        const int32_t id = ids ? ids[i] : i;
        if (x[i] >= in.hi) {
            above += sample_mass_of(weight_of(x[i], w));
        } else if (x[i] >= in.lo) {
            out->x[out->n] = x[i];
            out->id[out->n++] = id;
        }
    }
    return above;
}

static int count_above(const float *x, int n, float value)
{
    int count = 0;
    for (int i = 0; i < n; i++) count += x[i] > value;
    return count;
}

static void race(const float *x, int n, struct sample_race *r)
{
    uint32_t noise[4];
    int noise_group = -1;
    for (int i = 0; i < n; i++) {
        if (!(x[i] >= r->floor)) continue;
        if (noise_group != i >> 2) {
            noise_group = i >> 2;
            rng_philox(r->key, r->counter, (uint64_t)noise_group, noise);
        }
        if (sample_may_win(r, x[i], noise[i & 3])) cpu_sample_try(r, i, x[i], noise[i & 3]);
    }
}

const struct sample_kernels cpu_sample_scalar = {
    .maxima = maxima,
    .mass = mass,
    .weights = weights,
    .collect = collect,
    .count_above = count_above,
    .race = race,
};
