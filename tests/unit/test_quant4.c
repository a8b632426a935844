/* engine/cpu/quant4: four-bit groups against a search in float64; f16 both ways. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static double random_unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static double squared_error(const float *w, double scale)
{
    double sum = 0;
    for (int i = 0; i < GROUP4; i++) {
        double q = nearbyint((double)w[i] / scale);
        q = q > 7 ? 7 : q < -8 ? -8 : q;
        sum += pow((double)w[i] - q * scale, 2);
    }
    return sum;
}

/* The best of 4,000 scales of either sign. */
static double best_error(const float *w, double top)
{
    double best = INFINITY;
    for (int i = 1; i <= 2000; i++) {
        const double scale = top / 5 * i / 2000;
        best = fmin(best, fmin(squared_error(w, scale), squared_error(w, -scale)));
    }
    return best;
}

static void test_error_is_near_the_best(void **state)
{
    (void)state;
    uint64_t seed = 7;
    double sum = 0, sum_best = 0, sum_plain = 0;
    for (int trial = 0; trial < 60; trial++) {
        float w[GROUP4];
        double top = 0;
        for (int i = 0; i < GROUP4; i++) {
            double x = -6;
            for (int j = 0; j < 12; j++) x += random_unit(&seed);
            if (trial % 3 == 1) x = x * x * x; /* outliers */
            if (trial % 3 == 2) x = fabs(x);   /* one sign */
            w[i] = (float)(x * pow(10, trial % 7 - 4));
            top = fmax(top, fabs((double)w[i]));
        }
        uint8_t q[GROUP4];
        const double scale = (double)f16_to_f32(quant4_group(w, q));
        double error = 0;
        for (int i = 0; i < GROUP4; i++) {
            assert_in_range(q[i], 0, 15);
            error += pow((double)w[i] - ((int)q[i] - 8) * scale, 2);
        }
        const double best = best_error(w, top), plain = squared_error(w, top / 7);
        assert_true(error <= plain * 1.002 + 1e-300); /* f16 rounds the scale */
        assert_true(error <= best * 1.12);
        sum += error / (top * top);
        sum_best += best / (top * top);
        sum_plain += plain / (top * top);
    }
    assert_true(sum < sum_best * 1.04);
    assert_true(sum < sum_plain * 0.85);
}

/* --- the same steps one value at a time ------------------------------------------------------- */

static float scalar_round4(float x)
{
    x = x < 7.0f ? x : 7.0f;
    x = x > -8.0f ? x : -8.0f;
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

static float scalar_sum(const float lanes[8])
{
    float sum = 0;
    for (int j = 0; j < 8; j++) sum += lanes[j];
    return sum;
}

static float scalar_error(const float *w, float scale, float inverse)
{
    float lanes[8] = {0};
    for (int i = 0; i < GROUP4; i++) {
        const float e = w[i] - scalar_round4(w[i] * inverse) * scale;
        lanes[i % 8] += e * e;
    }
    return scalar_sum(lanes);
}

static uint16_t scalar_group(const float *w, uint8_t *q)
{
    static const float divisors[] = {7.0f, 7.5f, 8.0f, 8.5f, 9.0f, 9.75f, 10.5f};
    float max = 0, min = 0, best_error = INFINITY, best_inverse = 0;
    uint16_t best = 0;
    for (int i = 0; i < GROUP4; i++) {
        max = w[i] > max ? w[i] : max;
        min = w[i] < min ? w[i] : min;
    }
    const float top = max > -min ? max : min;
    for (int d = 0; d < 8; d++) {
        float scale;
        if (d < 7) {
            scale = top / -divisors[d];
        } else {
            float wq[8] = {0}, qq[8] = {0};
            if (best == 0) break;
            for (int i = 0; i < GROUP4; i++) {
                const float r = scalar_round4(w[i] * best_inverse);
                wq[i % 8] += w[i] * r;
                qq[i % 8] += r * r;
            }
            scale = scalar_sum(qq) > 0 ? scalar_sum(wq) / scalar_sum(qq) : 0;
        }
        const uint16_t h = f32_to_f16(scale);
        const float held = f16_to_f32(h);
        if (held == 0) continue;
        const float error = scalar_error(w, held, 1.0f / held);
        if (error >= best_error || isnan(error)) continue;
        best = h;
        best_inverse = 1.0f / held;
        best_error = error;
    }
    for (int i = 0; i < GROUP4; i++)
        q[i] = (uint8_t)(int)(scalar_round4(w[i] * best_inverse) + 8.0f);
    return best;
}

static void test_bits_of_the_scalar_steps(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int trial = 0; trial < 20000; trial++) {
        float w[GROUP4];
        uint8_t q[GROUP4], expected[GROUP4];
        const double size = pow(2, (int)(random_unit(&seed) * 60) - 40);
        for (int i = 0; i < GROUP4; i++) {
            const double x = random_unit(&seed);
            w[i] = (float)((trial % 5 == 1 ? floor(17 * x) - 8 : 2 * x - 1) * size);
            if (trial % 5 == 2 && i % 9 != trial % 9) w[i] = 0;
            if (trial % 5 == 3 && x < 0.01) w[i] = x < 0.005 ? NAN : -INFINITY;
        }
        assert_int_equal(quant4_group(w, q), scalar_group(w, expected));
        assert_memory_equal(q, expected, sizeof q);
    }
}

static void test_what_four_bits_hold_is_exact(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        float w[GROUP4];
        uint8_t q[GROUP4];
        for (int i = 0; i < GROUP4; i++) w[i] = (float)(sign * (i * 5 % 16 - 8)) * 0.0625f;
        const float scale = f16_to_f32(quant4_group(w, q));
        for (int i = 0; i < GROUP4; i++) assert_true((float)((int)q[i] - 8) * scale == w[i]);
    }
}

static void test_odd_groups(void **state)
{
    (void)state;
    float w[GROUP4] = {0};
    uint8_t q[GROUP4];
    assert_int_equal(quant4_group(w, q), 0);
    for (int i = 0; i < GROUP4; i++) assert_int_equal(q[i], 8);
    w[5] = 1e-30f; /* below what f16 can scale */
    assert_int_equal(quant4_group(w, q), 0);
    w[5] = 3e38f;
    w[6] = -INFINITY;
    w[7] = NAN;
    const float scale = f16_to_f32(quant4_group(w, q));
    assert_true(isfinite(scale));
    for (int i = 0; i < GROUP4; i++) assert_in_range(q[i], 0, 15);
}

static void test_f16_both_ways(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7c00) == 0x7c00) continue;
        const float x = f16_to_f32((uint16_t)h);
        assert_int_equal(f32_to_f16(x), h);
        if ((h & 0x7fff) >= 0x7bff) continue;
        /* half way to the next one: to the even one; a little beyond: to the next */
        const float next = f16_to_f32((uint16_t)(h + 1)), half = (x + next) / 2;
        assert_int_equal(f32_to_f16(half), h & 1 ? h + 1 : h);
        assert_int_equal(f32_to_f16(nextafterf(half, next)), h + 1);
        assert_int_equal(f32_to_f16(nextafterf(half, x)), h);
    }
    assert_int_equal(f32_to_f16(65520.0f), 0x7bff);
    assert_int_equal(f32_to_f16(-INFINITY), 0xfbff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_error_is_near_the_best),
                                       cmocka_unit_test(test_bits_of_the_scalar_steps),
                                       cmocka_unit_test(test_what_four_bits_hold_is_exact),
                                       cmocka_unit_test(test_odd_groups),
                                       cmocka_unit_test(test_f16_both_ways)};
    return cmocka_run_group_tests_name("quant4", tests, NULL, NULL);
}
