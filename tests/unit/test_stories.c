/* stories260K, a trained model, in float32: the greedy ids and log-probabilities of expected.json,
 * which a float64 reference made.  Every instruction set, the prompt whole and in pieces, alone and
 * with 32 other requests in flight. */

#include "config/base/file.h"
#include "config/base/json.h"
#include "engine/engine.h"
#include "tests/unit/cuda_plugin.h"
#include "tests/unit/step_builder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { N_OTHERS = 32, N_SLOTS = N_OTHERS + 1, MAX_LEN = 512, MAX_TOKENS = 256, MAX_CASES = 16 };

struct story {
    int32_t ids[MAX_LEN]; /* the prompt, then the expected output */
    double logprobs[MAX_LEN];
    int n_prompt, n;
};
static struct story stories[MAX_CASES];
static int n_stories;
static char model_dir[400];

static int read_stories(void **state)
{
    char path[512];
    struct error err = {0};
    cJSON *root;
    const char *shared = getenv("INFERD_SHARED");
    (void)state;
    snprintf(model_dir, sizeof model_dir, "%.300s/models/stories260K",
             shared ? shared : "../shared");
    snprintf(path, sizeof path, "%s/expected.json", model_dir);
    if (!file_exists(path)) return 0;
    if (json_parse_file(path, NULL, &root, &err) != STATUS_OK) return -1;
    const cJSON *c, *item;
    cJSON_ArrayForEach(c, json_get(root, "cases"))
    {
        struct story *s = &stories[n_stories];
        CHECK(n_stories++ < MAX_CASES);
        cJSON_ArrayForEach(item, json_get(c, "prompt_ids"))
        {
            CHECK(s->n < MAX_LEN);
            s->ids[s->n++] = item->valueint;
        }
        s->n_prompt = s->n;
        cJSON_ArrayForEach(item, json_get(c, "ids"))
        {
            CHECK(s->n < MAX_LEN);
            s->ids[s->n++] = item->valueint;
        }
        int i = s->n_prompt;
        cJSON_ArrayForEach(item, json_get(c, "logprobs"))
        {
            CHECK(i < MAX_LEN);
            s->logprobs[i++] = item->valuedouble;
        }
        CHECK(i == s->n);
    }
    cJSON_Delete(root);
    return n_stories > 0 ? 0 : -1;
}

static struct engine *open_engine_as(const char *isa, bool eager, enum quant_scheme quant)
{
    const bool cuda = strcmp(isa, "cuda") == 0;
    const struct engine_options o = {.model_dir = model_dir,
                                     .quant = quant,
                                     .dtype = DT_F32,
                                     .kv_dtype = DT_F32,
                                     .device = cuda ? "cuda" : "cpu",
                                     .cuda_plugin = cuda_plugin(),
                                     .gpu_memory_utilization = 0.9,
                                     .enforce_eager = eager,
                                     .no_kernel_overlap = eager,
                                     .isa = cuda ? "auto" : isa,
                                     .n_threads = 2,
                                     .block_size = 16,
                                     .max_num_seqs = N_SLOTS,
                                     .max_num_batched_tokens = MAX_TOKENS,
                                     .max_logit_rows = MAX_TOKENS};
    struct engine *e;
    struct error err = {0};
    if (engine_open(&e, &o, &err) == STATUS_OK) return e;
    print_message("%s: %s\n", isa, err.message);
    return NULL;
}

static struct engine *open_engine(const char *isa, bool eager)
{
    return open_engine_as(isa, eager, QUANT_NONE);
}

/* One request being generated in a slot. */
struct request {
    int32_t ids[MAX_LEN];
    float logprobs[MAX_LEN]; /* of what was drawn */
    int n_prompt, n, n_computed, n_end;
    const struct story *story; /* NULL: nobody looks at it */
    int chunk, starts_at;      /* prompt tokens a step; the step it joins at */
};

static void check_token(const struct request *r, const struct sample_out *s, const char *isa)
{
    const struct story *want = r->story;
    if (s->token != want->ids[r->n])
        fail_msg("%s, chunks of %d: output %d is %d, expected %d", isa, r->chunk,
                 r->n - r->n_prompt, s->token, want->ids[r->n]);
    if (!(fabs((double)s->logprob - want->logprobs[r->n]) <= 1e-3))
        fail_msg("%s: output %d has logprob %f, expected %f", isa, r->n - r->n_prompt,
                 (double)s->logprob, want->logprobs[r->n]);
    assert_int_equal(s->rank, 1);
}

/* Continuous batching at its plainest: each step takes what every request has left, decodes whole,
 * prompts in chunks; ends when the requests that are looked at have ended. */
static void run_requests(struct engine *e, struct step_builder *b, struct request *requests, int n,
                         const char *isa)
{
    static struct sample_out samples[N_SLOTS];
    const struct sampling_params params = builder_greedy(0);
    struct step_result result = {.samples = samples};
    struct error err = {0};
    bool busy = true;
    for (int step = 0; busy; step++) {
        int drawing[N_SLOTS], n_drawing = 0;
        builder_begin(b);
        busy = false;
        for (int i = 0; i < n; i++) {
            struct request *r = &requests[i];
            if (step < r->starts_at || r->n == r->n_end) continue;
            const int left = r->n - r->n_computed;
            const int take = left < r->chunk ? left : r->chunk;
            builder_add(b, i, r->ids, r->n_computed, r->n_computed + take, r->n_prompt);
            r->n_computed += take;
            if (r->n_computed < r->n) continue;
            builder_sample(b, b->step.n_tokens - 1, -1, r->n - r->n_prompt, &params);
            drawing[n_drawing++] = i;
        }
        CHECK(b->step.n_tokens > 0);
        if (engine_execute(e, &b->step, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
        for (int k = 0; k < n_drawing; k++) {
            struct request *r = &requests[drawing[k]];
            if (r->story) check_token(r, &samples[k], isa);
            r->logprobs[r->n] = samples[k].logprob;
            r->ids[r->n++] = samples[k].token;
        }
        for (int i = 0; i < n; i++)
            busy = busy || (requests[i].story && requests[i].n < requests[i].n_end);
    }
}

static void expect_story(struct request *r, const struct story *s, int chunk, int starts_at)
{
    *r = (struct request){.story = s, .chunk = chunk, .starts_at = starts_at};
    r->n_prompt = r->n = s->n_prompt;
    r->n_end = s->n;
    memcpy(r->ids, s->ids, (size_t)s->n_prompt * sizeof *r->ids);
}

/* Different prompts and lengths, joining at different steps. */
static void add_others(struct request *others)
{
    const struct story *s = &stories[0];
    for (int i = 0; i < N_OTHERS; i++) {
        struct request *r = &others[i];
        *r = (struct request){.chunk = 1 + i % 7, .starts_at = i / 3};
        r->n_prompt = r->n = 1 + (i * 5) % 60;
        for (int k = 0; k < r->n; k++) r->ids[k] = s->ids[(i * 3 + k * (1 + i % 4)) % s->n];
        r->n_end = MAX_LEN - 4 * i;
    }
}

static void check_isa(const char *isa)
{
    static const int chunks[] = {1, 3, MAX_TOKENS};
    static struct request requests[N_SLOTS];
    struct engine *e = open_engine(isa, false);
    if (!e) return;
    struct step_builder b;
    builder_init(&b, N_SLOTS, 16, MAX_LEN, MAX_TOKENS);
    assert_true(engine_info(e)->n_blocks >= builder_n_blocks(&b));
    for (int i = 0; i < n_stories; i++) {
        for (size_t k = 0; k < ARRAY_LEN(chunks); k++) {
            expect_story(&requests[0], &stories[i], chunks[k], 0);
            run_requests(e, &b, requests, 1, isa);
        }
        expect_story(&requests[0], &stories[i], 2, 7);
        add_others(requests + 1);
        run_requests(e, &b, requests, N_SLOTS, isa);
    }
    builder_free(&b);
    engine_close(e);
}

static void test_greedy(void **state)
{
    static const char *const isas[] = {"scalar", "avx2",        "avx2_vnni",
                                       "avx512", "avx512_bf16", "auto"};
    (void)state;
    if (n_stories == 0) {
        print_message("skipped: %s is not there\n", model_dir);
        skip();
    }
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) check_isa(isas[i]);
}

/* Rows of a decode that a bucket's padding fills up: 5 of 8. */
enum { CUDA_SLOTS = 5 };
/* Kernels as host code take some 100 ms a step. */
enum { HOST_TOKENS = 10 };

static void run_story(struct engine *e, const struct story *s, int n, struct request *requests)
{
    struct step_builder b;
    builder_init(&b, N_SLOTS, 16, MAX_LEN, MAX_TOKENS);
    assert_true(engine_info(e)->n_blocks >= builder_n_blocks(&b));
    expect_story(&requests[0], s, 3, n > 1 ? 2 : 0);
    if (cuda_is_host_code()) requests[0].n_end = requests[0].n_prompt + HOST_TOKENS;
    if (n > 1) add_others(requests + 1);
    run_requests(e, &b, requests, n, "cuda");
    builder_free(&b);
}

/* On a GPU, or its kernels as host code: the known text alone (buckets of one row) and among others,
 * and the same bits from captured steps of kernels that overlap as from steps that are launched operator
 * by operator, each kernel behind the end of the one ahead. */
static void test_greedy_on_cuda(void **state)
{
    static struct request requests[2][N_SLOTS];
    (void)state;
    if (n_stories == 0 || !cuda_plugin()) skip();
    const int n = cuda_is_host_code() ? 1 : n_stories;
    for (int eager = 0; eager < 2; eager++) {
        struct engine *e = open_engine("cuda", eager);
        assert_non_null(e);
        assert_string_equal(engine_info(e)->device, "cuda");
        for (int i = 0; i < n; i++) {
            run_story(e, &stories[i], 1, requests[eager]);
            run_story(e, &stories[i], CUDA_SLOTS, requests[eager]);
        }
        engine_close(e);
    }
    for (int r = 0; r < CUDA_SLOTS; r++) {
        assert_int_equal(requests[0][r].n, requests[1][r].n);
        assert_memory_equal(requests[0][r].ids, requests[1][r].ids,
                            (size_t)requests[0][r].n * sizeof(int32_t));
        assert_memory_equal(requests[0][r].logprobs, requests[1][r].logprobs,
                            (size_t)requests[0][r].n * sizeof(float));
    }
}

/* The expected text as a prompt in one piece: each next token's log-probability is the same as
 * when it was generated. */
static void test_scored(void **state)
{
    static struct sample_out samples[MAX_TOKENS];
    const struct engine_options o = {.model_dir = model_dir,
                                     .dtype = DT_F32,
                                     .kv_dtype = DT_F32,
                                     .device = "cpu",
                                     .isa = "auto",
                                     .n_threads = 1,
                                     .block_size = 32,
                                     .max_num_seqs = 1,
                                     .max_num_batched_tokens = MAX_TOKENS,
                                     .max_logit_rows = MAX_TOKENS};
    const struct sampling_params params = builder_greedy(1);
    struct engine *e;
    struct error err = {0};
    (void)state;
    if (n_stories == 0) skip();
    if (engine_open(&e, &o, &err) != STATUS_OK) fail_msg("%s", err.message);
    for (int i = 0; i < n_stories; i++) {
        const struct story *s = &stories[i];
        struct step_builder b;
        struct step_result result = {.samples = samples};
        builder_init(&b, 1, 32, MAX_LEN, MAX_TOKENS);
        builder_begin(&b);
        builder_add(&b, 0, s->ids, 0, s->n - 1, s->n - 1);
        for (int p = s->n_prompt; p < s->n; p++) builder_sample(&b, p - 1, s->ids[p], 0, &params);
        if (engine_execute(e, &b.step, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
        for (int k = 0; k < result.n_samples; k++) {
            assert_int_equal(samples[k].token, s->ids[s->n_prompt + k]);
            assert_int_equal(samples[k].top[0].token, samples[k].token);
            assert_true(fabs((double)samples[k].logprob - s->logprobs[s->n_prompt + k]) <= 1e-3);
        }
        builder_free(&b);
    }
    engine_close(e);
}

/* The first n tokens of a known text as prompts in pieces of `chunk`: the log-probabilities of all but the
 * first. */
static void score_text(struct engine *e, const struct story *s, int n, int chunk, float *logprobs)
{
    static struct sample_out samples[MAX_TOKENS];
    const struct sampling_params params = builder_greedy(0);
    struct step_result result = {.samples = samples};
    struct error err = {0};
    struct step_builder b;
    builder_init(&b, N_SLOTS, 16, MAX_LEN, MAX_TOKENS);
    for (int from = 0; from < n - 1; from += chunk) {
        const int to = from + chunk < n - 1 ? from + chunk : n - 1;
        builder_begin(&b);
        builder_add(&b, 0, s->ids, from, to, n - 1);
        for (int p = from; p < to; p++) builder_sample(&b, p - from, s->ids[p + 1], 0, &params);
        if (engine_execute(e, &b.step, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
        assert_int_equal(result.n_samples, to - from);
        for (int p = from; p < to; p++) logprobs[p] = samples[p - from].logprob;
    }
    builder_free(&b);
}

/* Root of the mean square of the differences. */
static double apart(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += pow((double)a[i] - (double)b[i], 2);
    return sqrt(sum / n);
}

/* int8 weights move what float32 says of a text, quantised activations move it further: as far, and no
 * further, on every instruction set and on a GPU, row by row as in one piece. */
static void test_w8a16(void **state)
{
    static const char *const isas[] = {"scalar", "avx2", "avx512", "avx512_bf16", "cuda"};
    static float plain[MAX_LEN], int8[MAX_LEN], first[MAX_LEN], got[MAX_LEN], rows[MAX_LEN];
    (void)state;
    if (n_stories == 0) skip();
    const struct story *s = &stories[0];
    const int n = 100;
    struct engine *e = open_engine("scalar", false);
    score_text(e, s, n + 1, MAX_TOKENS, plain);
    engine_close(e);
    e = open_engine_as("scalar", false, QUANT_INT8);
    score_text(e, s, n + 1, MAX_TOKENS, int8);
    engine_close(e);
    for (size_t i = 0; i < ARRAY_LEN(isas); i++) {
        const bool cuda = strcmp(isas[i], "cuda") == 0;
        if (cuda && !cuda_plugin()) continue;
        e = open_engine_as(isas[i], true, QUANT_INT8_W8A16);
        if (!e) continue;
        score_text(e, s, n + 1, MAX_TOKENS, got);
        score_text(e, s, n + 1, cuda ? 9 : 1, rows);
        engine_close(e);
        if (i == 0) memcpy(first, got, sizeof first);
        const bool bf16 = cuda || strcmp(isas[i], "avx512_bf16") == 0; /* rounds its inputs */
        const double moved = apart(got, plain, n), other = apart(got, first, n);
        if (!(moved > 0.01 && moved < 0.8 * apart(int8, plain, n)) ||
            !(bf16 ? other > 1e-4 && other < 0.005 : other < 1e-5))
            fail_msg("%s: %g from float32, %g from scalar", isas[i], moved, other);
        assert_true(apart(got, rows, n) <= (cuda ? 1e-6 : 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_greedy_on_cuda),
        cmocka_unit_test(test_scored),
        cmocka_unit_test(test_w8a16),
    };
    return cmocka_run_group_tests(tests, read_stories, NULL);
}
