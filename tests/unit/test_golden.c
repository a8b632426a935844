/* The model against Hugging Face transformers: tests/golden/models hold tiny random models of every
 * family and the reference's logits (tests/golden/make_golden.py).  Every instruction set, the
 * prompt whole, in chunks and token by token, alone and beside another sequence. */

#include "config/base/file.h"
#include "config/base/json.h"
#include "engine/engine.h"
#include "tests/unit/direct_model.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/models"
/* Of the largest logit.  Promised is 1e-3; float32 sums in another order give about 1e-6. */
#define TOLERANCE 1e-4
enum { MAX_MODELS = 64, N_SLOTS = 3, BLOCK = 16 };

static const char *const isas[] = {"scalar", "avx2", "avx2_vnni", "avx512", "avx512_bf16"};

struct golden {
    char name[64], dir[128];
    int32_t *prompt;
    int n, vocab;
    float *logits; /* [n, vocab] */
};
static struct golden models[MAX_MODELS];
static int n_models;

static void read_golden(struct golden *g)
{
    char path[256];
    struct error err = {0};
    cJSON *expected;
    snprintf(path, sizeof path, "%s/expected.json", g->dir);
    if (json_parse_file(path, NULL, &expected, &err) != STATUS_OK) fail_msg("%s", err.message);
    const cJSON *prompt = json_get(expected, "prompt"), *item;
    g->vocab = json_get(expected, "vocab")->valueint;
    g->prompt = calloc((size_t)cJSON_GetArraySize(prompt), sizeof *g->prompt);
    cJSON_ArrayForEach(item, prompt) g->prompt[g->n++] = item->valueint;
    cJSON_Delete(expected);

    char *data;
    size_t size;
    snprintf(path, sizeof path, "%s/logits.f32", g->dir);
    if (file_read(path, 1 << 24, &data, &size, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_int_equal(size, (size_t)g->n * (size_t)g->vocab * sizeof(float));
    g->logits = (float *)(void *)data;
}

static int read_all(void **state)
{
    struct dirent **entries;
    (void)state;
    const int n = scandir(GOLDEN, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.' && n_models < MAX_MODELS) {
            struct golden *g = &models[n_models++];
            snprintf(g->name, sizeof g->name, "%.60s", entries[i]->d_name);
            snprintf(g->dir, sizeof g->dir, GOLDEN "/%.60s", entries[i]->d_name);
            read_golden(g);
        }
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return n_models >= 15 ? 0 : -1;
}

static int free_all(void **state)
{
    (void)state;
    for (int i = 0; i < n_models; i++) {
        free(models[i].prompt);
        free(models[i].logits);
    }
    return 0;
}

/* --- the graph itself: raw logits ------------------------------------------------------------- */

/* The prompt in pieces of `chunk` (the last may be shorter); `beside`: another sequence, the prompt
 * backwards, is prefilled and decoded in the same steps. */
static void feed(struct direct_model *d, const struct golden *g, int chunk, bool beside,
                 float *logits)
{
    int32_t other[256];
    for (int i = 0; i < g->n; i++) other[i] = g->prompt[g->n - 1 - i];
    int other_at = 0;
    for (int at = 0; at < g->n; at += chunk) {
        const int to = at + chunk < g->n ? at + chunk : g->n;
        builder_begin(&d->b);
        builder_add(&d->b, 1, g->prompt, at, to, g->n);
        if (beside && other_at < g->n) {
            const int other_to = other_at == 0 ? g->n / 2 : other_at + 1;
            builder_add(&d->b, 2, other, other_at, other_to, g->n);
            other_at = other_to;
        }
        direct_run(d, logits + (size_t)at * (size_t)g->vocab, to - at);
    }
}

/* Largest difference, in units of the row's largest logit. */
static double compare(const float *got, const float *want, int rows, int vocab, int *worst_row)
{
    double worst = 0;
    for (int r = 0; r < rows; r++) {
        double diff = 0, size = 0;
        for (int i = 0; i < vocab; i++) {
            const size_t k = (size_t)r * (size_t)vocab + (size_t)i;
            const double x = fabs((double)got[k] - (double)want[k]);
            if (!(x <= diff)) diff = x; /* a NaN counts */
            if (fabs((double)want[k]) > size) size = fabs((double)want[k]);
        }
        if (!(diff / size <= worst)) {
            worst = diff / size;
            *worst_row = r;
        }
    }
    return worst;
}

/* bfloat16: weights are rounded to it, and the reference does not apply. */
static void check_model(const struct golden *g, const char *isa, enum dtype dtype)
{
    static const struct {
        int chunk;
        bool beside;
    } ways[] = {{1 << 20, false}, {1, false}, {5, false}, {16, false}, {17, true}, {1, true}};
    const struct direct_options o = {.dir = g->dir,
                                     .isa = isa,
                                     .dtype = dtype,
                                     .kv_dtype = DT_F32,
                                     .n_slots = N_SLOTS,
                                     .block_size = BLOCK,
                                     .max_len = g->n,
                                     .max_tokens = N_SLOTS * g->n,
                                     .n_threads = 2};
    struct direct_model d;
    if (!direct_open(&d, &o)) {
        print_message("%s: not on this CPU\n", isa);
        return;
    }
    const size_t n = (size_t)g->n * (size_t)g->vocab;
    float *whole = calloc(n, sizeof *whole), *logits = calloc(n, sizeof *logits);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const int chunk = ways[i].chunk < g->n ? ways[i].chunk : g->n;
        int row = 0;
        feed(&d, g, chunk, ways[i].beside, logits);
        const double diff = compare(logits, g->logits, g->n, g->vocab, &row);
        if (i == 0) {
            print_message("%-20s %-11s %s off by %.1e\n", g->name, isa, dtype_name(dtype), diff);
            memcpy(whole, logits, n * sizeof *whole);
        }
        if (dtype == DT_F32 && !(diff <= TOLERANCE))
            fail_msg("%s, %s, chunks of %d%s: position %d is off by %.2e", g->name, isa, chunk,
                     ways[i].beside ? " beside another" : "", row, diff);
        /* However the prompt is cut, and whatever runs beside it: the same bits. */
        if (memcmp(logits, whole, n * sizeof *whole) != 0)
            fail_msg("%s, %s, chunks of %d%s: other bits than in one piece", g->name, isa, chunk,
                     ways[i].beside ? " beside another" : "");
    }
    free(whole);
    free(logits);
    direct_close(&d);
}

static void test_logits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        for (int m = 0; m < n_models; m++) check_model(&models[m], isas[i], DT_F32);
    }
}

/* The cuts alone, with linears of bf16 weights. */
static void test_bfloat16(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        for (int m = 0; m < n_models; m++) check_model(&models[m], isas[i], DT_BF16);
    }
}

/* --- through the engine: log-probabilities ---------------------------------------------------- */

static double log_sum_exp(const float *x, int n)
{
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (int i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

/* One position's reported log-probabilities against the reference's logits. */
static void check_row(const struct golden *g, int row, const struct sample_out *s, int target)
{
    const float *ref = g->logits + (size_t)row * (size_t)g->vocab;
    const double norm = log_sum_exp(ref, g->vocab);
    int rank = 1;
    for (int i = 0; i < g->vocab; i++) rank += ref[i] > ref[target];
    assert_int_equal(s->token, target);
    assert_int_equal(s->n_top, LIMIT_LOGPROBS);
    if (fabs((double)s->logprob - ((double)ref[target] - norm)) > 1e-3)
        fail_msg("%s, position %d: logprob %f, reference %f", g->name, row, (double)s->logprob,
                 (double)ref[target] - norm);
    /* Equal up to neighbours that the reference itself hardly tells apart. */
    assert_true(abs(s->rank - rank) <= 1);
    for (int k = 0; k < s->n_top; k++) {
        const double want = (double)ref[s->top[k].token] - norm;
        if (fabs((double)s->top[k].logprob - want) > 1e-3)
            fail_msg("%s, position %d: top %d is %f, reference %f", g->name, row, k,
                     (double)s->top[k].logprob, want);
        if (k > 0) assert_true(s->top[k].logprob <= s->top[k - 1].logprob);
    }
}

static void check_engine(const struct golden *g)
{
    static struct sample_out samples[256];
    const struct engine_options o = {.model_dir = g->dir,
                                     .dtype = DT_F32,
                                     .kv_dtype = DT_F32,
                                     .device = "cpu",
                                     .isa = "auto",
                                     .n_threads = 2,
                                     .block_size = BLOCK,
                                     .kv_cache_bytes = 1 << 20,
                                     .max_num_seqs = 2,
                                     .max_num_batched_tokens = 64,
                                     .max_logit_rows = 64};
    struct error err = {0};
    struct engine *e;
    if (engine_open(&e, &o, &err) != STATUS_OK) fail_msg("%s: %s", g->name, err.message);
    struct step_builder b;
    const struct sampling_params params = builder_greedy(LIMIT_LOGPROBS);
    builder_init(&b, 1, BLOCK, g->n, 64);
    assert_true(engine_info(e)->n_blocks >= builder_n_blocks(&b));
    builder_begin(&b);
    builder_add(&b, 0, g->prompt, 0, g->n, g->n);
    for (int i = 0; i + 1 < g->n; i++) builder_sample(&b, i, g->prompt[i + 1], 0, &params);
    builder_sample(&b, g->n - 1, -1, 0, &params);
    struct step_result result = {.samples = samples};
    if (engine_execute(e, &b.step, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_int_equal(result.n_samples, g->n);
    for (int i = 0; i + 1 < g->n; i++) check_row(g, i, &samples[i], g->prompt[i + 1]);
    const struct sample_out *last = &samples[g->n - 1];
    assert_int_equal(last->rank, 1);
    assert_int_equal(last->token, last->top[0].token);
    check_row(g, g->n - 1, last, last->token);
    builder_free(&b);
    engine_close(e);
}

static void test_logprobs(void **state)
{
    (void)state;
    for (int m = 0; m < n_models; m++) check_engine(&models[m]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_bfloat16),
        cmocka_unit_test(test_logprobs),
    };
    return cmocka_run_group_tests(tests, read_all, free_all);
}
