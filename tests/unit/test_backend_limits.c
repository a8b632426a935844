/* engine/backend.h: what no backend takes, and the angles that both rotate by. */
#include "config/limits.h"
#include "engine/backend.h"
#include "tests/unit/cuda_plugin.h"

#include "engine/plugin.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct backend_limits good = {
    .max_tokens = 4,
    .max_seqs = 2,
    .max_samples = 2,
    .max_blocks_per_seq = 2,
    .n_blocks = 5,
    .block_size = 16,
    .n_layers = 1,
    .n_kv_heads = 2,
    .head_dim = 8,
    .n_heads = 4,
    .max_cols = 64,
    .vocab_size = 32,
    .kv_dtype = DT_F32,
};
static const struct rope_params rope = {.type = ROPE_DEFAULT, .dim = 8, .theta = 10000};

static void refuses(const struct backend_limits *l, const struct rope_params *r, enum status code,
                    const char *words)
{
    struct error err = {0};
    assert_int_equal(backend_limits_check(l, r, &err), code);
    if (!strstr(err.message, words)) fail_msg("\"%s\" lacks \"%s\"", err.message, words);
}

static void test_limits(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(backend_limits_check(&good, &rope, &err), STATUS_OK);
    assert_int_equal(backend_limits_check(&good, NULL, &err), STATUS_OK);
    struct backend_limits l = good;
    int *const counts[] = {&l.max_tokens, &l.max_seqs, &l.max_samples, &l.max_blocks_per_seq,
                           &l.n_blocks,   &l.n_layers, &l.max_cols,    &l.vocab_size};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const int was = *counts[i];
        *counts[i] = 0;
        refuses(&l, &rope, STATUS_INVALID, "at least 1");
        *counts[i] = was;
    }
    static const int sizes[] = {0, 8, 24, 272, -16};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        l.block_size = sizes[i];
        refuses(&l, &rope, STATUS_UNSUPPORTED, "a multiple of 16 up to 256");
    }
    l.block_size = 256;
    assert_int_equal(backend_limits_check(&l, &rope, &err), STATUS_OK);
    l.head_dim = LIMIT_HEAD_DIM + 1;
    refuses(&l, NULL, STATUS_UNSUPPORTED, "a head of 513");
    l.head_dim = 10;
    refuses(&l, &rope, STATUS_UNSUPPORTED, "rotary embedding of 8 in heads of 10");
    l.head_dim = 7;
    refuses(&l, &(struct rope_params){.dim = 7}, STATUS_UNSUPPORTED, "equal and even");
    l = good;
    static const int heads[][2] = {{3, 2}, {0, 2}, {4, 0}, {2 * LIMIT_HEADS, 2}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        l.n_heads = heads[i][0];
        l.n_kv_heads = heads[i][1];
        refuses(&l, NULL, STATUS_UNSUPPORTED, "cannot share");
    }
    l = good;
    l.kv_dtype = DT_F16;
    refuses(&l, NULL, STATUS_UNSUPPORTED, "a KV cache in float16");
}

/* Both backends ask. */
static void test_reserve(void **state)
{
    (void)state;
    struct backend_limits bad = good;
    bad.block_size = 24;
    for (int i = 0; i < 2; i++) {
        struct backend *be = NULL;
        struct error err = {0};
        if (i == 1 && !cuda_plugin()) continue;
        const enum status s =
            i == 0 ? cpu_backend_open(&be, 1, "scalar", &err)
                   : plugin_backend_open(&be, cuda_plugin(), &(struct plugin_options){0}, &err);
        assert_int_equal(s, STATUS_OK);
        assert_int_equal(be->ops->reserve(be, &bad, &rope, &err), STATUS_UNSUPPORTED);
        assert_int_equal(be->ops->reserve(be, &good, &rope, &err), STATUS_OK);
        be->ops->close(be);
    }
}

static void test_angles(void **state)
{
    (void)state;
    double inv_freq[4];
    float row[8];
    const double factor = rope_inv_freq(&rope, 1, inv_freq);
    rope_angles(inv_freq, 8, 2 * factor, 100000, row);
    for (int i = 0; i < 4; i++) {
        const double angle = 100000 * pow(10000, -2.0 * i / 8);
        assert_true(fabs((double)row[i] - 2 * cos(angle)) < 1e-6);
        assert_true(fabs((double)row[4 + i] - 2 * sin(angle)) < 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_angles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
