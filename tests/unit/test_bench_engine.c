/* `inferd bench engine`: its options, the arithmetic of limits, the steps it makes, and the profiler
 * and the probe that it relies on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/machine.h"
#include "engine/engine.h"
#include "server/bench/engine/args.h"
#include "server/bench/engine/limit.h"
#include "server/bench/engine/plan.h"
#include "server/bench/engine/steps.h"

static void equal(double got, double expected)
{
    if (fabs(got - expected) > 1e-12 * fabs(expected)) fail_msg("%.17g, not %.17g", got, expected);
}

/* --- options --- */

static enum status parse(struct engine_args *a, struct error *err, int argc,
                         const char *const *argv)
{
    char *copy[16];
    bool help;
    CHECK(argc <= (int)ARRAY_LEN(copy));
    for (int i = 0; i < argc; i++) copy[i] = (char *)(uintptr_t)argv[i];
    return engine_args_parse(argc, copy, a, &help, err);
}
#define PARSE(a, err, ...)                                              \
    parse(a, err, (int)ARRAY_LEN(((const char *const[]){__VA_ARGS__})), \
          (const char *const[]){__VA_ARGS__})

static void test_defaults(void **state)
{
    (void)state;
    struct engine_args a;
    struct error err = {0};
    assert_int_equal(parse(&a, &err, 0, NULL), STATUS_OK);
    assert_null(a.model);
    assert_int_equal(a.n_precisions, 1);
    assert_int_equal(a.precisions[0], PRECISION_STORED);
    assert_int_equal(a.prompts.n, 1);
    assert_int_equal(a.prompts.items[0], 512);
    assert_false(a.on_gpu);
    assert_true(a.async_scheduling);
    assert_int_equal(a.repeat, 5);
    static const int batches[] = {1, 4, 8, 16, 32}, contexts[] = {128, 4096};
    assert_int_equal(a.batches.n, ARRAY_LEN(batches));
    assert_memory_equal(a.batches.items, batches, sizeof batches);
    assert_int_equal(a.contexts.n, ARRAY_LEN(contexts));
    assert_memory_equal(a.contexts.items, contexts, sizeof contexts);
    assert_false(a.lists_given);
    assert_false(a.profile);
    assert_true(a.progress);
}

static void test_lists(void **state)
{
    (void)state;
    struct engine_args a;
    struct error err = {0};
    assert_int_equal(PARSE(&a, &err, "some/dir", "--quantization", "int4,bf16,int4",
                           "--batch=2,1,2", "--context", "7", "--profile", "--no-progress"),
                     STATUS_OK);
    assert_string_equal(a.model, "some/dir");
    assert_int_equal(a.n_precisions, 2);
    assert_int_equal(a.precisions[0], PRECISION_INT4);
    assert_int_equal(a.precisions[1], PRECISION_BF16);
    assert_int_equal(a.batches.n, 2);
    assert_int_equal(a.batches.items[0], 2);
    assert_int_equal(a.batches.items[1], 1);
    assert_int_equal(a.contexts.items[0], 7);
    assert_true(a.lists_given);
    assert_true(a.profile);
    assert_false(a.progress);
    assert_int_equal(PARSE(&a, &err, "--quantization", "all,int8,none"), STATUS_OK);
    assert_int_equal(a.n_precisions, 5);
    assert_int_equal(a.precisions[0], PRECISION_BF16);
    assert_int_equal(a.precisions[2], PRECISION_INT8_W8A16);
    assert_int_equal(a.precisions[4], PRECISION_STORED);
}

static void refuses(const char *option, const char *value, const char *words)
{
    struct engine_args a;
    struct error err = {0};
    assert_int_equal(PARSE(&a, &err, option, value), STATUS_INVALID);
    if (!strstr(err.message, words)) fail_msg("\"%s\" lacks \"%s\"", err.message, words);
}

static void test_refused(void **state)
{
    (void)state;
    refuses("--quantization", "int8,fp4", "\"fp4\" is none of");
    refuses("--quantization", "int8,", "\"\" is none of");
    refuses("--batch", "0", "\"0\" is no whole number from 1 to 8192");
    refuses("--batch", "1,,2", "\"\" is no whole number");
    refuses("--batch", "99999999999999999999999999999999999999", "is no whole number");
    refuses("--context", "4k", "\"4k\" is no whole number");
    refuses(
        "--context",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33",
        "more than 32 values");
    refuses("--kv-cache-dtype", "int4", "auto, float32, bfloat16 or int8");
    refuses("--block-size", "48", "16, 32, 64 or 128");
    refuses("--prompt-len", "16,0", "--prompt-len: \"0\" is no whole number");
    refuses("--device", "tpu", "--device must be cpu or cuda");
    struct engine_args a;
    struct error err = {0};
    assert_int_equal(PARSE(&a, &err, "--device", "cuda", "--profile"), STATUS_INVALID);
    assert_non_null(strstr(err.message, "--profile goes with --device cpu"));
    refuses("--repeat", "0", "from 1 to 1000");
    refuses("--repeats", "3", "did you mean --repeat?");
    refuses("--url", "x", "see inferd bench engine --help");
}

/* --- limits --- */

/* Two layers of one 4-wide head for keys, two for queries; everything small enough for a pencil. */
static struct model_config small_config(void)
{
    return (struct model_config){.d_model = 8,
                                 .n_layers = 2,
                                 .n_heads = 2,
                                 .n_kv_heads = 1,
                                 .head_dim = 4,
                                 .d_ffn = 10,
                                 .vocab_size = 100,
                                 .max_position = 64,
                                 .stored_dtype = DT_BF16};
}

static const struct step_format small_format = {
    .linear_size = {11, 22, 33, 44, 55},
    .linear_rate = {PROBE_INT8, PROBE_INT8, PROBE_INT8, PROBE_INT8, PROBE_BF16},
    .kv_rate = PROBE_F32,
    .kv_dtype = DT_F32,
};

static void test_work_of_a_decode(void **state)
{
    (void)state;
    const struct model_config c = small_config();
    struct op_work w[LIMIT_OPS];
    step_work(&c, &small_format, &(struct step_shape){3, 1, 20}, w);
    /* two operations, 3 rows, 2 layers, outputs x inputs */
    equal(w[OP_QKV].ops, 2 * 3 * 2 * 16 * 8);
    equal(w[OP_O].ops, 2 * 3 * 2 * 8 * 8);
    equal(w[OP_GATE_UP].ops, 2 * 3 * 2 * 20 * 8);
    equal(w[OP_DOWN].ops, 2 * 3 * 2 * 8 * 10);
    equal(w[OP_HEAD].ops, 2 * 3 * 100 * 8);
    equal(w[OP_DOWN].bytes, 44);
    assert_int_equal(w[OP_HEAD].rate, PROBE_BF16);
    /* 20 keys and 1 written, key and value, 4 floats */
    equal(w[OP_ATTENTION].bytes, 3 * 2 * (20 + 1) * 2 * 4 * 4);
    /* products with keys and with values: 4 operations for each of 2 heads x 4 elements */
    equal(w[OP_ATTENTION].ops, 3 * 2 * 20 * 4 * 2 * 4);
    assert_int_equal(w[OP_ATTENTION].rate, PROBE_F32);
}

static void test_work_of_a_prefill(void **state)
{
    (void)state;
    const struct model_config c = small_config();
    struct op_work w[LIMIT_OPS];
    step_work(&c, &small_format, &(struct step_shape){1, 6, 6}, w);
    equal(w[OP_QKV].ops, 2 * 6 * 2 * 16 * 8);
    equal(w[OP_HEAD].ops, 2 * 1 * 100 * 8); /* one row is sampled */
    equal(w[OP_ATTENTION].bytes, 2 * (6 + 6) * 2 * 4 * 4);
    equal(w[OP_ATTENTION].ops, 2 * (1 + 2 + 3 + 4 + 5 + 6) * 4 * 2 * 4);
}

static void test_work_of_a_window(void **state)
{
    (void)state;
    struct model_config c = small_config();
    struct op_work w[LIMIT_OPS];
    c.sliding_window = 5;
    c.layer_window[1] = true;
    step_work(&c, &small_format, &(struct step_shape){1, 1, 20}, w);
    equal(w[OP_ATTENTION].bytes, ((20 + 1) + (5 + 1)) * 2 * 4 * 4);
    equal(w[OP_ATTENTION].ops, (20 + 5) * 4 * 2 * 4);
    step_work(&c, &small_format, &(struct step_shape){1, 3, 7}, w); /* tokens 5, 6 and 7 */
    equal(w[OP_ATTENTION].bytes, ((7 + 3) + (7 + 3)) * 2 * 4 * 4);
    equal(w[OP_ATTENTION].ops, (5 + 6 + 7 + 3 * 5) * 4 * 2 * 4);
}

static void test_limit(void **state)
{
    (void)state;
    struct probe p = {.cache_size = 1000};
    p.rates[PROBE_MEMORY].limit = 100;
    p.rates[PROBE_INT8].limit = 50;
    p.rates[PROBE_F32].limit = 10;
    struct op_work w[] = {{.bytes = 900, .ops = 100, .rate = PROBE_INT8},
                          {.bytes = 600, .ops = 80, .rate = PROBE_F32}};
    struct step_limit l = work_limit(w, 2, &p);
    equal(l.bytes, 1500);
    equal(l.ops, 180);
    equal(l.memory_s, 15);
    equal(l.compute_s, 2 + 8);
    equal(l.seconds, 15);
    w[1].ops = 800;
    equal(work_limit(w, 2, &p).seconds, 82);
    l = work_limit(w, 1, &p); /* the cache may hold all of it */
    equal(l.memory_s, 0);
    equal(l.seconds, 2);
    p.cache_size = 0;
    equal(work_limit(w, 1, &p).seconds, 9);
    p.rates[PROBE_MEMORY].limit = 0; /* not known */
    equal(work_limit(w, 1, &p).seconds, 2);
    p.rates[PROBE_INT8].limit = 0;
    equal(work_limit(w, 1, &p).seconds, 0);
}

/* --- steps --- */

static void test_steps(void **state)
{
    (void)state;
    struct bench_steps b;
    struct error err = {0};
    const struct step_shape shape = {3, 2, 20};
    bool used[16] = {false};
    assert_int_equal(bench_steps_blocks(&shape, 16), 6);
    assert_int_equal(bench_steps_init(&b, 64, 3, 9, 16, 50, 1, &err), STATUS_OK);
    const struct step *s = bench_steps_make(&b, &shape);
    assert_int_equal(s->n_seqs, 3);
    assert_int_equal(s->n_tokens, 6);
    assert_int_equal(s->n_samples, 3);
    assert_int_equal(s->n_copies, 0);
    for (int seq = 0; seq < 3; seq++) {
        const int32_t *table = s->block_tables + seq * s->block_table_ld;
        assert_int_equal(s->q_start[seq + 1] - s->q_start[seq], 2);
        assert_int_equal(s->kv_len[seq], 20);
        assert_int_equal(s->samples[seq].row, s->q_start[seq + 1] - 1);
        for (int i = 0; i < 2;
             i++) { /* each block belongs to one sequence, none is the null block */
            assert_in_range(table[i], 1, 8);
            assert_false(used[table[i]]);
            used[table[i]] = true;
        }
        for (int row = s->q_start[seq]; row < s->q_start[seq + 1]; row++) {
            const int position = 18 + row - s->q_start[seq];
            assert_int_equal(s->positions[row], position);
            assert_int_equal(s->slots[row], table[1] * 16 + position - 16);
            assert_in_range(s->token_ids[row], 0, 49);
        }
    }
    s = bench_steps_compute_block(&b, 7); /* of a model with 7 positions */
    assert_int_equal(s->n_tokens, 7);
    int done = 0;
    for (int n_left = 7; n_left > 0; n_left -= 3) {
        const int first = 2 + done;
        s = bench_steps_copy_block(&b, 3, &done);
        assert_int_equal(s->n_copies, n_left < 3 ? n_left : 3);
        for (int i = 0; i < s->n_copies; i++) {
            assert_int_equal(s->copies[i].src, 1);
            assert_int_equal(s->copies[i].dst, first + i);
        }
    }
    assert_int_equal(done, 7);
    bench_steps_free(&b);
}

/* --- the plan --- */

static void test_plan(void **state)
{
    (void)state;
    const struct model_config c = small_config(); /* 2 layers x 2 x 4 x 2 bytes: 32 a token */
    const struct int_list prompts = {2, {8, 40}};
    const struct int_list batches = {2, {1, 64}}, contexts = {2, {17, 48}};
    struct plan plan;
    struct error err = {0};
    struct plan_wish w = {.config = &c,
                          .precision = PRECISION_INT8,
                          .kv_dtype = DT_BF16,
                          .prompts = &prompts,
                          .block_size = 16,
                          .batches = &batches,
                          .contexts = &contexts,
                          .memory = 1e9};
    assert_int_equal(plan_make(&w, &plan, &err), STATUS_OK);
    assert_int_equal(plan.n_shapes, 6);
    assert_int_equal(plan.n_prefills, 2);
    assert_int_equal(plan.n_left_out, 0);
    assert_int_equal(plan.shapes[0].n_new, 8);
    assert_int_equal(plan.shapes[1].n_new, 40);
    assert_int_equal(plan.shapes[3].n_seqs, 64);
    assert_int_equal(plan.shapes[3].kv_len, 17);
    assert_int_equal(plan.n_blocks, 1 + 64 * 3);
    assert_int_equal(plan.max_tokens, 64);
    assert_int_equal(plan.max_seqs, 64);
    assert_int_equal(plan.max_len, 48);

    /* Room for 64 x 17 tokens (2 blocks each), not for 64 x 48. */
    const struct engine_need need = engine_need(&c, QUANT_INT8, DT_BF16, 64, 64);
    w.memory = need.weights + need.buffers + 32.0 * 16 * (1 + 64 * 2);
    assert_int_equal(plan_make(&w, &plan, &err), STATUS_OK);
    assert_int_equal(plan.n_shapes, 5);
    assert_int_equal(plan.n_left_out, 1);
    assert_int_equal(plan.left_out[0].shape.n_seqs, 64);
    assert_int_equal(plan.left_out[0].shape.kv_len, 48);
    equal(plan.left_out[0].bytes - w.memory, 32.0 * 16 * 64);
    assert_int_equal(plan.n_blocks, 1 + 64 * 2);
    w.all = true; /* asked for */
    assert_int_equal(plan_make(&w, &plan, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(err.message, "64 x 48 tokens"));
    w.all = false;
    w.memory = need.weights; /* not even the prefill */
    assert_int_equal(plan_make(&w, &plan, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(err.message, "int8 weights take"));
}

/* --- the engine's side --- */

static struct engine *open_demo(enum quant_scheme quant, int n_blocks)
{
    struct engine *e = NULL;
    struct error err = {0};
    struct model_config c;
    assert_int_equal(model_config_load("models/demo", &c, &err), STATUS_OK);
    const struct engine_options o = {
        .model_dir = "models/demo",
        .quant = quant,
        .dtype = -1,
        .kv_dtype = DT_BF16,
        .device = "cpu",
        .isa = "auto",
        .n_threads = 2,
        .block_size = 16,
        .kv_cache_bytes = (uint64_t)n_blocks * model_kv_block_size(&c, 16, DT_BF16),
        .max_num_seqs = 2,
        .max_num_batched_tokens = 32,
        .max_model_len = 64,
    };
    if (engine_open(&e, &o, &err) != STATUS_OK) fail_msg("%s", err.message);
    return e;
}

static uint64_t n_clock_readings;

static uint64_t counting_clock(void)
{
    n_clock_readings++;
    return clock_now_ns();
}

/* Every operator of a step is counted under what it is, and the step's result is the same. */
static void test_profile(void **state)
{
    (void)state;
    enum { N_BLOCKS = 9 };
    struct engine *e = open_demo(QUANT_INT8, N_BLOCKS);
    const uint64_t L = (uint64_t)engine_info(e)->config->n_layers;
    struct bench_steps b;
    struct error err = {0};
    struct op_profile p = {.now_ns = counting_clock};
    assert_int_equal(bench_steps_init(&b, 32, 2, N_BLOCKS, 16, 2048, 1, &err), STATUS_OK);
    const struct step *s = bench_steps_make(&b, &(struct step_shape){2, 3, 3});
    assert_int_equal(engine_execute(e, s, &b.result, &err), STATUS_OK);
    const int plain[] = {b.result.samples[0].token, b.result.samples[1].token};
    assert_int_equal(engine_profile(e, &p, &err), STATUS_OK);
    assert_int_equal(engine_execute(e, s, &b.result, &err), STATUS_OK);
    assert_int_equal(b.result.samples[0].token, plain[0]);
    assert_int_equal(b.result.samples[1].token, plain[1]);
    for (int i = OP_QKV; i < OP_HEAD; i++) assert_int_equal(p.ops[i].n_calls, L);
    assert_int_equal(p.ops[OP_HEAD].n_calls, 1);
    assert_int_equal(p.ops[OP_ATTENTION].n_calls, L);
    assert_int_equal(p.ops[OP_NORM].n_calls, 2 * L + 1);
    assert_int_equal(p.ops[OP_ROPE].n_calls, L);
    assert_int_equal(p.ops[OP_SILU_MUL].n_calls, L);
    assert_int_equal(p.ops[OP_EMBED].n_calls, 1);
    assert_int_equal(p.ops[OP_SAMPLE].n_calls, 1);
    assert_int_equal(p.ops[OP_QUANTIZE].n_calls, L + 1); /* before o and before lm_head */
    uint64_t n_calls = 0, ns = 0;
    for (int i = 0; i < OP_COUNT; i++) {
        n_calls += p.ops[i].n_calls;
        ns += p.ops[i].ns;
    }
    assert_int_equal(n_clock_readings, 2 * n_calls);
    assert_true(ns > 0);
    /* Gone: nothing is timed any more. */
    assert_int_equal(engine_profile(e, NULL, &err), STATUS_OK);
    assert_int_equal(engine_execute(e, s, &b.result, &err), STATUS_OK);
    assert_int_equal(n_clock_readings, 2 * n_calls);
    assert_int_equal(engine_profile(e, &p, &err), STATUS_OK); /* closing takes it away, too */
    engine_close(e);
    bench_steps_free(&b);
}

/* Operations of the type that the sums have: weights alone being int8 saves bytes, not operations. */
static void test_rates(void **state)
{
    (void)state;
    assert_int_equal(precision_rate(PRECISION_F32), PROBE_F32);
    assert_int_equal(precision_rate(PRECISION_BF16), PROBE_BF16);
    assert_int_equal(precision_rate(PRECISION_INT8), PROBE_INT8);
    assert_int_equal(precision_rate(PRECISION_INT8_W8A16), PROBE_BF16);
    assert_int_equal(precision_rate(PRECISION_INT4), PROBE_INT8);
    struct model_config c = small_config();
    const struct engine_need int8 = engine_need(&c, QUANT_INT8, DT_BF16, 8, 2);
    equal(engine_need(&c, QUANT_INT8_W8A16, DT_BF16, 8, 2).weights, int8.weights);
}

/* What is refused before loading is what loading would take. */
static void test_need(void **state)
{
    (void)state;
    static const enum quant_scheme schemes[] = {QUANT_NONE, QUANT_INT8, QUANT_INT8_W8A16,
                                                QUANT_INT4};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct engine *e = open_demo(schemes[i], 9);
        const struct engine_info *info = engine_info(e);
        const struct engine_need need = engine_need(info->config, schemes[i], DT_BF16, 32, 2);
        const double largest = 2048.0 * 256 * 2; /* the embeddings, while they are packed */
        const double held = need.weights - largest;
        assert_true(fabs(held / (double)info->weight_bytes - 1) < 0.04);
        equal(need.kv_token * 9 * 16, (double)info->kv_cache_bytes);
        size_t linears = 0;
        for (int k = 0; k < OP_LINEARS; k++) {
            assert_true(info->linear_bytes[k] > 0);
            linears += info->linear_bytes[k];
        }
        /* All but the embeddings (bfloat16) and the norms. */
        const size_t others = 2048 * 256 * 2 + (2 * 6 + 1) * 256 * sizeof(float);
        assert_int_equal(linears + others, info->weight_bytes);
        engine_close(e);
    }
}

static void test_probe(void **state)
{
    (void)state;
    const struct probe_clocks clocks = {clock_now_ns, clock_cpu_ns};
    struct probe p;
    struct error err = {0};
    assert_int_equal(cpu_probe(1, "auto", (size_t)8 << 20, &clocks, &p, &err), STATUS_OK);
    assert_int_equal(p.n_threads, 1);
    assert_int_equal(p.memory_size, (size_t)8 << 20);
    for (int i = 0; i < PROBE_COUNT; i++) {
        const struct probe_rate *r = &p.rates[i];
        assert_true(r->min > 0 && r->min <= r->median && r->median <= r->max);
        assert_true(r->limit > 1e8 && r->limit < 1e15);
        equal(r->limit, i == PROBE_MEMORY ? r->max : r->median);
        assert_true(r->cpu_share > 0 && r->cpu_share < 1.1);
        assert_non_null(r->how);
    }
    const struct probe_rate before = p.rates[PROBE_MEMORY];
    assert_int_equal(cpu_probe_memory(&p, &clocks, &err), STATUS_OK);
    assert_true(p.rates[PROBE_MEMORY].limit >= before.limit);
    assert_true(p.rates[PROBE_MEMORY].min <= before.min);
    assert_int_equal(cpu_probe(1, "avx3", (size_t)8 << 20, &clocks, &p, &err), STATUS_INVALID);
    /* A limit is that of the instructions that the table uses: avx512 has no products of bf16. */
    if (cpu_probe(1, "avx512", (size_t)8 << 20, &clocks, &p, &err) == STATUS_OK)
        assert_string_equal(p.rates[PROBE_BF16].how, p.rates[PROBE_F32].how);
}

static void test_cpu_lists(void **state)
{
    (void)state;
    assert_int_equal(machine_count_cpus("0\n"), 1);
    assert_int_equal(machine_count_cpus("0-7,96-103\n"), 16);
    assert_int_equal(machine_count_cpus("3,5-6"), 3);
    assert_int_equal(machine_count_cpus(""), 0);
    assert_int_equal(machine_count_cpus("7-3"), 0);
    assert_int_equal(machine_count_cpus("a"), 0);
    assert_int_equal(machine_count_cpus("0-99999999999999999999"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_work_of_a_decode),
        cmocka_unit_test(test_work_of_a_prefill),
        cmocka_unit_test(test_work_of_a_window),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_need),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_cpu_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
