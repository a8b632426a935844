/* The demo model, which comes with inferd, on the CPU and on the device "cuda" (a GPU, or its kernels as
 * host code): what each says of the same text in each precision, and captured steps beside launched ones.
 * With a name as its argument it runs that test alone. */

#include "engine/engine.h"
#include "tests/unit/cuda_plugin.h"
#include "tests/unit/step_builder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { PROMPT = 6, MAX_LEN = 192, MAX_SEQS = 4, BLOCK = 16, VOCAB = 2048 };
enum { END_OF_TURN = 1, ASSISTANT = 4 };

/* The demo model's own answers to three questions, greedy and in float32, with the questions. */
static const int32_t text[] = {
    0,    3,    350,  289,  282,  469,  325, 545,  1555, 382,  36,   1,    4,    381,  469,
    325,  545,  1555, 382,  289,  656,  281, 280,  19,   1,    3,    692,  386,  267,  1377,
    646,  673,  267,  1166, 19,   1,    4,   682,  806,  267,  649,  17,   557,  385,  267,
    714,  804,  1182, 1166, 19,   1011, 779, 393,  917,  426,  879,  19,   1471, 393,  711,
    267,  1226, 19,   553,  838,  384,  282, 472,  708,  19,   262,  821,  289,  557,  754,
    756,  1166, 19,   262,  1274, 289,  630, 386,  466,  462,  267,  714,  1166, 19,   262,
    46,   423,  1466, 487,  282,  1304, 686, 1166, 882,  267,  816,  334,  603,  1461, 19,
    447,  1304, 385,  426,  786,  17,   334, 557,  1462, 267,  1084, 1613, 19,   262,  46,
    665,  949,  480,  1096, 466,  462,  282, 1166, 19,   262,  1468, 362,  577,  879,  686,
    1166, 603,  1467, 334,  1463, 1464, 548, 1029, 19,   1004, 331,  460,  280,  1174, 393,
    1080, 282,  1166, 1199, 19,   1,    3,   350,  289,  226,  22,   23,   309,  226,  24,
    21,   36,   1,    4,    22,   23,   309, 226,  24,   21,   283,  226,  25,   23,   1};
enum { TEXT_LEN = ARRAY_LEN(text) };

struct precision {
    const char *name;
    int dtype, kv_dtype;
    enum quant_scheme quant;
};

static const struct precision f32 = {"float32", DT_F32, DT_F32, QUANT_NONE};
static const struct precision bf16 = {"bfloat16", DT_BF16, DT_BF16, QUANT_NONE};
static const struct precision w8a8 = {"int8", DT_BF16, DT_BF16, QUANT_INT8};
static const struct precision w8a16 = {"int8-w8a16", DT_BF16, DT_BF16, QUANT_INT8_W8A16};
static const struct precision kv_int8 = {"bfloat16, cache int8", DT_BF16, DT_I8, QUANT_NONE};

static struct engine *open_engine(const struct precision *p, bool cuda, bool eager, int max_tokens)
{
    const struct engine_options o = {
        .model_dir = "models/demo",
        .quant = p->quant,
        .dtype = p->dtype,
        .kv_dtype = p->kv_dtype,
        .device = cuda ? "cuda" : "cpu",
        .cuda_plugin = cuda_plugin(),
        .gpu_memory_utilization = 0.9,
        .enforce_eager = eager,
        .isa = "auto",
        .n_threads = 2,
        .block_size = BLOCK,
        .max_num_seqs = MAX_SEQS,
        .max_num_batched_tokens = max_tokens,
        .max_model_len = MAX_LEN,
        .max_logit_rows = max_tokens,
    };
    struct engine *e;
    struct error err = {0};
    if (engine_open(&e, &o, &err) != STATUS_OK) fail_msg("%s: %s", o.device, err.message);
    assert_string_equal(engine_info(e)->device, o.device);
    assert_int_equal(engine_info(e)->config->vocab_size, VOCAB);
    return e;
}

static void execute(struct engine *e, const struct step_builder *b, struct sample_out *samples)
{
    struct step_result result = {.samples = samples};
    struct error err = {0};
    if (engine_execute(e, &b->step, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_int_equal(result.n_samples, b->step.n_samples);
}

/* out[i]: of text[i + 1] after all before it; the text in pieces of `chunk`. */
static void score_text(struct engine *e, int chunk, float *out)
{
    static struct sample_out samples[MAX_LEN];
    const struct sampling_params params = builder_greedy(0);
    const int n = TEXT_LEN - 1;
    struct step_builder b;
    builder_init(&b, 1, BLOCK, MAX_LEN, MAX_LEN);
    for (int from = 0; from < n; from += chunk) {
        const int to = from + chunk < n ? from + chunk : n;
        builder_begin(&b);
        builder_add(&b, 0, text, from, to, n);
        for (int p = from; p < to; p++) builder_sample(&b, p - from, text[p + 1], 0, &params);
        execute(e, &b, samples);
        for (int p = from; p < to; p++) out[p] = samples[p - from].logprob;
    }
    builder_free(&b);
}

struct distance {
    double mean, max;
};

/* Over the tokens that the model has answered: what it was trained on, and where a difference of rounding
 * is not blown up by a token that nobody expects. */
static struct distance distance_of(const float *a, const float *b)
{
    struct distance d = {0};
    int n_answered = 0;
    bool answers = false;
    for (int i = 0; i < TEXT_LEN - 1; i++) {
        if (text[i] == ASSISTANT) answers = true;
        if (!answers) continue;
        const double apart = fabs((double)a[i] - (double)b[i]);
        if (!(apart <= d.max)) d.max = apart; /* NaN, too */
        d.mean += apart;
        n_answered++;
        if (text[i + 1] == END_OF_TURN) answers = false;
    }
    CHECK(n_answered > 100);
    d.mean /= n_answered;
    return d;
}

static void score_on_cpu(const struct precision *p, float *out)
{
    struct engine *e = open_engine(p, false, true, MAX_LEN);
    score_text(e, MAX_LEN, out);
    engine_close(e);
}

/* In one piece, and in pieces of nine rows.  `limit`: of the mean difference between the two; the largest
 * one may be where an activation's rounding falls the other way, and is shown. */
static void compare(const struct precision *p, double limit)
{
    static const int chunks[] = {MAX_LEN, 9};
    static float exact[TEXT_LEN], cpu[TEXT_LEN], cuda[TEXT_LEN];
    if (!cuda_plugin()) skip();
    score_on_cpu(&f32, exact);
    score_on_cpu(p, cpu);
    struct engine *e = open_engine(p, true, true, MAX_LEN);
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        score_text(e, chunks[i], cuda);
        const struct distance d = distance_of(cpu, cuda);
        print_message(
            "%s, pieces of %d: log-probabilities on CPU and GPU %.2g apart, at most %.2g; "
            "from float32: CPU %.2g, GPU %.2g\n",
            p->name, chunks[i], d.mean, d.max, distance_of(exact, cpu).mean,
            distance_of(exact, cuda).mean);
        if (!(d.mean <= limit)) fail_msg("%s: %g apart, not %g", p->name, d.mean, limit);
    }
    engine_close(e);
}

static void test_float32(void **state)
{
    (void)state;
    compare(&f32, 1e-5);
}

static void test_bfloat16(void **state)
{
    (void)state;
    compare(&bf16, 1e-2);
}

static void test_int8(void **state)
{
    (void)state;
    compare(&w8a8, 1e-2);
}

static void test_w8a16(void **state)
{
    (void)state;
    compare(&w8a16, 1e-2);
}

static void test_int8_cache(void **state)
{
    (void)state;
    compare(&kv_int8, 1e-2);
}

/* What greedy decodes of MAX_SEQS sequences give: ids and log-probabilities of n steps. */
struct decoded {
    struct {
        int32_t token;
        float logprob;
    } at[MAX_LEN][MAX_SEQS];
};

static void decode(const struct precision *p, bool eager, int n_steps, struct decoded *out)
{
    static int32_t ids[MAX_SEQS][MAX_LEN];
    static struct sample_out samples[MAX_SEQS];
    const struct sampling_params params = builder_greedy(0);
    struct step_builder b;
    struct engine *e = open_engine(p, true, eager, MAX_SEQS * (PROMPT + MAX_SEQS));
    builder_init(&b, MAX_SEQS, BLOCK, MAX_LEN, MAX_LEN);
    for (int s = 0; s < MAX_SEQS; s++)
        memcpy(ids[s], text, (size_t)(PROMPT + s) * sizeof ids[s][0]);
    for (int step = 0; step < n_steps; step++) {
        builder_begin(&b);
        for (int s = 0; s < MAX_SEQS; s++) {
            const int have = PROMPT + s + step;
            builder_add(&b, s, ids[s], step == 0 ? 0 : have - 1, have, PROMPT + s);
            builder_sample(&b, b.step.n_tokens - 1, -1, step, &params);
        }
        execute(e, &b, samples);
        for (int s = 0; s < MAX_SEQS; s++) {
            ids[s][PROMPT + s + step] = samples[s].token;
            out->at[step][s].token = samples[s].token;
            out->at[step][s].logprob = samples[s].logprob;
        }
    }
    builder_free(&b);
    engine_close(e);
}

/* Bit for bit, in each precision. */
static void test_captured_steps(void **state)
{
    static const struct precision *const all[] = {&bf16, &w8a8, &f32, &w8a16, &kv_int8};
    static struct decoded captured, launched;
    (void)state;
    if (!cuda_plugin()) skip();
    const bool host = cuda_is_host_code();
    const int n = host ? 3 : 64;
    for (size_t i = 0; i < (host ? 2 : ARRAY_LEN(all)); i++) {
        decode(all[i], false, n, &captured);
        decode(all[i], true, n, &launched);
        for (int step = 0; step < n; step++)
            if (memcmp(captured.at[step], launched.at[step], sizeof captured.at[step]) != 0)
                fail_msg("%s: step %d differs", all[i]->name, step);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32),    cmocka_unit_test(test_bfloat16),
        cmocka_unit_test(test_int8),       cmocka_unit_test(test_w8a16),
        cmocka_unit_test(test_int8_cache), cmocka_unit_test(test_captured_steps),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
