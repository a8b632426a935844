/* Steps planned ahead, with the real scheduler and a real engine: stories260K on the GPU backend, its
 * kernels as host code unless INFERD_CUDA_PLUGIN names a GPU's.  Every request has the same tokens with
 * one step under way as with two, greedy ones those of the reference.  The stream runs late: nothing
 * runs on the device before the host waits, so that what is written or read too early shows. */

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "engine/engine.h"
#include "scheduler/scheduler.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_LEN = 128, MAX_OUTPUT = 24, MAX_SEQS = 6, MAX_TOKENS = 64, BLOCK = 16, MAX_N = 2 };

static int32_t story[512]; /* the prompt and what follows, greedily */
static int story_len;
static char model_dir[400], plugin[PATH_MAX + 32];

static int read_story(void **state)
{
    (void)state;
    char path[512];
    struct error err = {0};
    cJSON *root;
    const char *shared = getenv("INFERD_SHARED"), *named = getenv("INFERD_CUDA_PLUGIN");
    snprintf(model_dir, sizeof model_dir, "%.300s/models/stories260K",
             shared ? shared : "../shared");
    snprintf(path, sizeof path, "%s/expected.json", model_dir);
    if (!file_exists(path)) return 0;
    if (json_parse_file(path, NULL, &root, &err) != STATUS_OK) return -1;
    const cJSON *first = json_get(root, "cases")->child, *item;
    cJSON_ArrayForEach(item, json_get(first, "prompt_ids")) story[story_len++] = item->valueint;
    cJSON_ArrayForEach(item, json_get(first, "ids")) story[story_len++] = item->valueint;
    cJSON_Delete(root);

    const ssize_t n = readlink("/proc/self/exe", plugin, PATH_MAX);
    if (n <= 0 || story_len < MAX_LEN) return -1;
    plugin[n] = '\0';
    for (int i = 0; i < 3; i++) *strrchr(plugin, '/') = '\0';
    strcat(plugin, "/libinferd-cuda-host.so");
    if (named) snprintf(plugin, sizeof plugin, "%s", named);
    return setenv("INFERD_CUDA_HOST_STREAM", "late", 1);
}

/* --- requests --- */

struct job {
    const char *name;
    int n_prompt; /* tokens of the story */
    int max_tokens, n;
    int after;       /* submitted when so many requests have ended */
    int finish_at;   /* the server finds a stop string after so many tokens; 0: it does not */
    int cancel_at;   /* the client leaves then */
    bool stops_at_4; /* a stop id: the story's fourth token from here */
    bool ignore_eos;
    float temperature, top_p, repetition, presence;
    int top_k, n_logprobs;
};

static const struct job jobs[] = {
    {"greedy", .n_prompt = 30, .max_tokens = 7, .n = 1, .ignore_eos = true},
    {"logprobs", .n_prompt = 30, .max_tokens = 5, .n = 1, .n_logprobs = 2},
    {"stop string", .n_prompt = 29, .max_tokens = 20, .n = 1, .finish_at = 6},
    {"two choices", .n_prompt = 5, .max_tokens = 4, .n = 2, .temperature = 1, .top_p = 0.9f},
    {"stop id", .n_prompt = 14, .max_tokens = 20, .n = 1, .stops_at_4 = true},
    {"client leaves", .n_prompt = 8, .max_tokens = 20, .n = 1, .cancel_at = 2},
    {"penalties", .n_prompt = 5, .max_tokens = 4, .n = 1, .after = 3, .repetition = 1.3f,
     .presence = 0.5f},
    {"top_k, seed", .n_prompt = 3, .max_tokens = 5, .n = 1, .after = 3, .temperature = 1.2f,
     .top_k = 20, .n_logprobs = 1},
    /* What the request with the stop string has computed, and its surplus, are in the cache now. */
    {"shares the rest", .n_prompt = 34, .max_tokens = 3, .n = 1, .after = 6},
};
enum { N_JOBS = sizeof jobs / sizeof *jobs };

struct choice {
    int32_t tokens[MAX_OUTPUT];
    float logprobs[MAX_OUTPUT];
    int n;
    enum finish_reason finish;
};

/* One run of all jobs. */
struct run {
    struct sched *sched;
    struct request requests[N_JOBS];
    struct choice choices[N_JOBS][MAX_N];
    int32_t stop_ids[N_JOBS];
    bool ended[N_JOBS], cancel[N_JOBS], finish[N_JOBS];
    int n_submitted, n_ended, n_ahead, n_cached;
    struct sched_stats stats;
};

static void on_event(void *arg, const struct sched_event *ev)
{
    struct run *r = arg;
    const int j = (int)(ev->request - r->requests);
    struct choice *c = &r->choices[j][ev->choice];
    if (ev->type == EVENT_ADMITTED) r->n_cached += ev->n_cached;
    if (ev->type == EVENT_TOKEN) {
        CHECK(c->n < MAX_OUTPUT && c->finish == FINISH_NONE);
        c->logprobs[c->n] = ev->logprobs ? ev->logprobs->logprob : 0;
        c->tokens[c->n++] = ev->token;
        r->cancel[j] = c->n == jobs[j].cancel_at;
        r->finish[j] = c->n == jobs[j].finish_at;
    }
    if (ev->finish != FINISH_NONE) c->finish = ev->finish;
    if (!ev->last) return;
    r->ended[j] = true;
    r->n_ended++;
}

static void submit_due(struct run *r)
{
    struct error err = {0};
    for (; r->n_submitted < N_JOBS && jobs[r->n_submitted].after <= r->n_ended; r->n_submitted++) {
        const int j = r->n_submitted;
        const struct job *job = &jobs[j];
        r->stop_ids[j] = story[job->n_prompt + 3];
        r->requests[j] = (struct request){
            .prompt = story,
            .n_prompt = job->n_prompt,
            .n = job->n,
            .max_tokens = job->max_tokens,
            .params = {.temperature = job->temperature,
                       .top_p = job->top_p > 0 ? job->top_p : 1,
                       .top_k = job->top_k,
                       .repetition_penalty = job->repetition > 0 ? job->repetition : 1,
                       .presence_penalty = job->presence,
                       .seed = 40 + (uint64_t)j,
                       .n_logprobs = job->n_logprobs ? job->n_logprobs : -1,
                       .n_stop_ids = job->stops_at_4,
                       .stop_ids = &r->stop_ids[j],
                       .ignore_eos = job->ignore_eos}};
        if (sched_submit(r->sched, &r->requests[j], &err) != STATUS_OK)
            fail_msg("%s: %s", job->name, err.message);
    }
}

/* What the server asks for when it has seen the events. */
static void answer_events(struct run *r)
{
    for (int j = 0; j < N_JOBS; j++) {
        if (r->cancel[j] && !r->ended[j]) sched_cancel(r->sched, &r->requests[j]);
        if (r->finish[j] && !r->ended[j]) sched_finish_choice(r->sched, &r->requests[j], 0);
        r->cancel[j] = r->finish[j] = false;
    }
}

static void run_jobs(struct run *r, struct engine *e, int depth)
{
    static struct sample_out samples[MAX_SEQS];
    const struct sched_config c = {.n_blocks = 8, /* too few for the first four */
                                   .block_size = BLOCK,
                                   .max_num_seqs = MAX_SEQS,
                                   .max_num_batched_tokens = MAX_TOKENS,
                                   .max_model_len = MAX_LEN - BLOCK,
                                   .max_logit_rows = MAX_SEQS,
                                   .max_waiting = N_JOBS,
                                   .enable_prefix_caching = true,
                                   .enable_chunked_prefill = true};
    struct step_result result = {.samples = samples};
    struct error err = {0};
    memset(r, 0, sizeof *r);
    if (sched_create(&r->sched, &c, on_event, r, &err) != STATUS_OK) fail_msg("%s", err.message);
    for (int n_inflight = 0; r->n_ended < N_JOBS || n_inflight > 0;) {
        const struct step *step;
        submit_due(r);
        while (n_inflight < depth && (step = sched_plan(r->sched, 0))) {
            r->n_ahead += n_inflight > 0;
            n_inflight++;
            if (engine_submit(e, step, &err) != STATUS_OK) fail_msg("%s", err.message);
        }
        assert_true(n_inflight > 0);
        if (engine_collect(e, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
        n_inflight--;
        sched_apply(r->sched, &result, 0);
        answer_events(r);
        if (!sched_check_invariants(r->sched, &err)) fail_msg("%s", err.message);
    }
    sched_get_stats(r->sched, &r->stats);
    sched_destroy(r->sched);
}

/* --- what must come out --- */

static void check_greedy(const struct run *r, int j, int depth)
{
    const struct job *job = &jobs[j];
    const struct choice *c = &r->choices[j][0];
    const int n = job->stops_at_4  ? 4
                  : job->finish_at ? job->finish_at
                  : job->cancel_at ? job->cancel_at
                                   : job->max_tokens;
    if (c->n != n) fail_msg("%s, %d under way: %d tokens, not %d", job->name, depth, c->n, n);
    for (int i = 0; i < n; i++)
        if (c->tokens[i] != story[job->n_prompt + i])
            fail_msg("%s, %d under way: token %d is %d, expected %d", job->name, depth, i,
                     c->tokens[i], story[job->n_prompt + i]);
}

static void check_same(const struct run *a, const struct run *b, int j)
{
    for (int k = 0; k < jobs[j].n; k++) {
        const struct choice *x = &a->choices[j][k], *y = &b->choices[j][k];
        if (x->n != y->n || x->finish != y->finish)
            fail_msg("%s, choice %d: %d tokens and end %d, with two under way %d and %d",
                     jobs[j].name, k, x->n, (int)x->finish, y->n, (int)y->finish);
        for (int i = 0; i < x->n; i++)
            if (x->tokens[i] != y->tokens[i] || !(fabsf(x->logprobs[i] - y->logprobs[i]) < 1e-3f))
                fail_msg("%s, choice %d: token %d is %d (%f), with two under way %d (%f)",
                         jobs[j].name, k, i, x->tokens[i], (double)x->logprobs[i], y->tokens[i],
                         (double)y->logprobs[i]);
    }
}

static void test_same_text(void **state)
{
    (void)state;
    static struct run runs[2];
    const struct engine_options o = {.model_dir = model_dir,
                                     .dtype = DT_F32,
                                     .kv_dtype = DT_F32,
                                     .device = "cuda",
                                     .cuda_plugin = plugin,
                                     .gpu_memory_utilization = 0.9,
                                     .block_size = BLOCK,
                                     .max_num_seqs = MAX_SEQS,
                                     .max_num_batched_tokens = MAX_TOKENS,
                                     .max_model_len = MAX_LEN};
    struct engine *e;
    struct error err = {0};
    if (story_len == 0) {
        print_message("skipped: %s is not there\n", model_dir);
        skip();
    }
    if (engine_open(&e, &o, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_int_equal(engine_info(e)->max_inflight, 2);
    for (int depth = 1; depth <= 2; depth++) {
        struct run *r = &runs[depth - 1];
        run_jobs(r, e, depth);
        assert_true(r->stats.n_preemptions > 0 && r->n_cached > 0);
        assert_int_equal(r->stats.blocks_held, 0);
        for (int j = 0; j < N_JOBS; j++)
            if (jobs[j].temperature <= 0 && jobs[j].repetition <= 0) check_greedy(r, j, depth);
    }
    assert_int_equal(runs[0].n_ahead, 0);
    assert_true(runs[1].n_ahead > 10);
    for (int j = 0; j < N_JOBS; j++) check_same(&runs[0], &runs[1], j);
    engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_text)};
    return cmocka_run_group_tests_name("ahead", tests, read_story, NULL);
}
