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
                                       cmocka_unit_test(test_what_four_bits_hold_is_exact),
                                       cmocka_unit_test(test_odd_groups),
                                       cmocka_unit_test(test_f16_both_ways)};
    return cmocka_run_group_tests_name("quant4", tests, NULL, NULL);
}
