/* server/engine_loop.c with the real scheduler and an engine made up here: token k of a choice is
 * a function of the prompt's first id, the choice and k.  The test's thread is the loop thread.
 * Each test runs twice: with one step under way, and with two. */

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/rng.h"
#include "server/engine_loop.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { EOS = 7, N_BLOCKS = 257, BLOCK = 16, MAX_SEQS = 16, MAX_LEN = 512, WAITING = 64 };

/* --- the engine --------------------------------------------------------------------------------- */

static struct {
    atomic_int n_steps, fail_at; /* fail_at: step number, 0 = never */
    atomic_int n_ahead;          /* steps that were submitted while another was under way */
    atomic_bool closed;
    pthread_mutex_t gate;        /* held by a test: collect waits */
    const struct step *steps[2]; /* under way */
    int n_inflight, max_inflight;
} fake = {.gate = PTHREAD_MUTEX_INITIALIZER};

static int32_t token_of(int32_t first, int32_t choice, int32_t n_output)
{
    return 100 + (first * 31 + choice * 17 + n_output) % 800;
}

static enum status fake_submit(struct engine *e, const struct step *step, struct error *err)
{
    (void)err;
    CHECK(e == NULL && fake.n_inflight < fake.max_inflight);
    CHECK((step->token_src != NULL) == (fake.n_inflight > 0));
    if (fake.n_inflight > 0) atomic_fetch_add(&fake.n_ahead, 1);
    fake.steps[fake.n_inflight++] = step;
    return STATUS_OK;
}

static enum status fake_collect(struct engine *e, struct step_result *out, struct error *err)
{
    CHECK(e == NULL && fake.n_inflight > 0);
    const struct step *step = fake.steps[0];
    fake.steps[0] = fake.steps[1];
    fake.n_inflight--;
    pthread_mutex_lock(&fake.gate);
    pthread_mutex_unlock(&fake.gate);
    int n = atomic_fetch_add(&fake.n_steps, 1) + 1;
    if (n == atomic_load(&fake.fail_at)) return error_set(err, STATUS_INTERNAL, "no more power");
    out->id = step->id;
    out->n_samples = step->n_samples;
    for (int32_t i = 0; i < step->n_samples; i++) {
        const struct step_sample *s = &step->samples[i];
        out->samples[i] = (struct sample_out){
            .token = token_of((int32_t)s->params->seed, s->choice, s->n_output),
            .rank = 1,
            .logprob = -0.5f - (float)s->n_output,
            .n_top = 1,
            .top = {{.token = s->n_output, .logprob = -0.25f}},
        };
    }
    return STATUS_OK;
}

static void fake_close(struct engine *e)
{
    CHECK(e == NULL);
    atomic_store(&fake.closed, true);
}

/* --- the server's side ----------------------------------------------------------------------------- */

struct client {
    struct request r;
    int32_t prompt[MAX_LEN];
    int n_tokens[8], n_admitted, n_left;
    enum finish_reason finish[8];
    bool check_logprobs, stop_early;
};

static struct {
    uv_loop_t loop;
    struct engine_loop *engine;
    int n_live, n_views, n_batches, n_failed;
    int n_finished[FINISH_ERROR + 1];
    long n_tokens;
} ctx;

static void on_event(void *arg, const struct engine_event *ev)
{
    CHECK(arg == &ctx);
    struct client *c = ev->request->user;
    if (ev->type == EVENT_ADMITTED) c->n_admitted++;
    if (ev->type == EVENT_TOKEN) {
        int k = c->n_tokens[ev->choice]++;
        if (ev->token != token_of((int32_t)c->r.params.seed, ev->choice, k))
            fail_msg("token %d of choice %d is wrong", k, ev->choice);
        if (c->check_logprobs) {
            assert_non_null(ev->logprobs);
            assert_true(ev->logprobs->logprob == -0.5f - (float)k);
            assert_int_equal(ev->logprobs->top[0].token, k);
        } else {
            assert_null(ev->logprobs);
        }
        assert_true(ev->time_us > 0);
        ctx.n_tokens++;
        if (c->stop_early && k == 2 && !ev->finish) {
            engine_loop_finish_choice(ctx.engine, &c->r, ev->choice);
            c->finish[ev->choice] = FINISH_STOP;
        }
    }
    if (ev->finish != FINISH_NONE) c->finish[ev->choice] = ev->finish;
    if (!ev->last) return;
    ctx.n_finished[ev->finish]++;
    ctx.n_live--;
    memset(c, 0xdd, sizeof(*c));
    free(c); /* the request is ours again: whoever looks at it now is caught */
}

static void on_batch_end(void *arg)
{
    CHECK(arg == &ctx);
    ctx.n_batches++;
}

static void on_view(void *arg)
{
    CHECK(arg == &ctx);
    ctx.n_views++;
}

static void on_failed(void *arg, const struct error *err)
{
    CHECK(arg == &ctx);
    assert_string_equal(err->message, "no more power");
    assert_int_equal(ctx.n_live, 0); /* all have heard of it */
    ctx.n_failed++;
}

static int setup_steps(int max_inflight)
{
    memset(&ctx, 0, sizeof(ctx));
    fake.max_inflight = max_inflight;
    fake.n_inflight = 0;
    atomic_store(&fake.n_steps, 0);
    atomic_store(&fake.n_ahead, 0);
    atomic_store(&fake.fail_at, 0);
    atomic_store(&fake.closed, false);
    uv_loop_init(&ctx.loop);
    struct engine_loop_options o = {
        .sched = {.n_blocks = N_BLOCKS,
                  .block_size = BLOCK,
                  .max_num_seqs = MAX_SEQS,
                  .max_num_batched_tokens = 128,
                  .max_model_len = MAX_LEN,
                  .max_logit_rows = MAX_SEQS,
                  .max_waiting = WAITING,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true},
        .loop = &ctx.loop,
        .on_event = on_event,
        .on_batch_end = on_batch_end,
        .on_failed = on_failed,
        .on_view = on_view,
        .arg = &ctx,
        .max_queued_reqs = 40,
        .max_queued_tokens = 4000,
        .max_inflight = max_inflight,
        .submit = fake_submit,
        .collect = fake_collect,
        .close = fake_close,
    };
    struct error err;
    if (engine_loop_start(&ctx.engine, &o, &err) != STATUS_OK) fail_msg("%s", err.message);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_steps(1);
}

static int setup_ahead(void **state)
{
    (void)state;
    return setup_steps(2);
}

static void stop(void)
{
    if (!ctx.engine) return;
    engine_loop_stop(ctx.engine);
    ctx.engine = NULL;
    assert_int_equal(ctx.n_live, 0);
    assert_true(atomic_load(&fake.closed));
    uv_run(&ctx.loop, UV_RUN_DEFAULT);
}

static int teardown(void **state)
{
    (void)state;
    stop();
    return uv_loop_close(&ctx.loop);
}

static struct client *client_new(int n_prompt, int max_tokens, int n)
{
    static uint64_t next = 1;
    struct client *c = calloc(1, sizeof(*c));
    CHECK(c && n_prompt <= MAX_LEN && n <= 8);
    uint64_t seed = next++ % 1000;
    for (int i = 0; i < n_prompt; i++) c->prompt[i] = (int32_t)((seed * 7 + (uint64_t)i) % 1000);
    c->r = (struct request){
        .user = c,
        .prompt = c->prompt,
        .n_prompt = n_prompt,
        .n = n,
        .max_tokens = max_tokens,
        .arrival_us = clock_now_us(),
        .params = {.top_p = 1, .repetition_penalty = 1, .seed = seed, .n_logprobs = -1}};
    return c;
}

static struct client *submit(struct client *c)
{
    struct error err;
    if (engine_loop_submit(ctx.engine, &c->r, &err) != STATUS_OK) fail_msg("%s", err.message);
    ctx.n_live++;
    return c;
}

static void run_until_live(int n)
{
    uint64_t until = clock_now_us() + 20000000;
    while (ctx.n_live > n) {
        if (clock_now_us() > until) fail_msg("%d requests are still live", ctx.n_live);
        uv_run(&ctx.loop, UV_RUN_ONCE);
    }
}

static void expect_all_free(void)
{
    struct engine_loop_stats s;
    engine_loop_get_stats(ctx.engine, &s);
    for (int i = 0; i < 200 && s.sched.n_running + s.sched.n_waiting + s.sched.blocks_held > 0;
         i++) {
        usleep(5000); /* published just after the events */
        engine_loop_get_stats(ctx.engine, &s);
    }
    assert_int_equal(s.sched.n_running, 0);
    assert_int_equal(s.sched.n_waiting, 0);
    assert_int_equal(s.sched.blocks_held, 0);
    assert_int_equal(s.sched.blocks_free + s.sched.blocks_cached, N_BLOCKS - 1);
    assert_int_equal(s.n_queued, 0);
    assert_int_equal(s.n_queued_tokens, 0);
}

/* --- tests ----------------------------------------------------------------------------------------------- */

static void test_one_request(void **state)
{
    (void)state;
    struct client *c = client_new(20, 50, 1);
    c->check_logprobs = true;
    c->r.params.n_logprobs = 1;
    submit(c);
    run_until_live(0);
    assert_int_equal(ctx.n_tokens, 50);
    assert_int_equal(ctx.n_finished[FINISH_LENGTH], 1);
    assert_true(ctx.n_batches > 0);
    struct engine_loop_stats s;
    expect_all_free();
    engine_loop_get_stats(ctx.engine, &s);
    assert_int_equal(s.steps, 50);
    uint64_t counted = 0;
    for (int i = 0; i <= ENGINE_LOOP_N_STEP_EDGES; i++) counted += s.step_tokens[i];
    assert_int_equal(counted, 50);
    assert_int_equal(s.step_tokens_sum, 20 + 49);
    /* The last token is known to be the last: no step is planned for nothing. */
    assert_int_equal(atomic_load(&fake.n_ahead), fake.max_inflight == 1 ? 0 : 49);
    assert_true(s.step_us_total >= s.host_us_total);
}

static void test_choices_and_stop(void **state)
{
    (void)state;
    struct client *c = client_new(33, 40, 4);
    c->stop_early = true;
    submit(c);
    submit(client_new(5, 10, 2));
    run_until_live(0);
    expect_all_free();
}

static void test_random_traffic(void **state)
{
    (void)state;
    struct rng rng = {.state = 5};
    struct client *live[64];
    int n_cancelled = 0, n_submitted = 0;
    for (int round = 0; round < 400; round++) {
        int n = 0;
        while (ctx.n_live < 24) {
            struct client *c =
                client_new(1 + (int)rng_below(&rng, 90), 1 + (int)rng_below(&rng, 40),
                           1 + (int)rng_below(&rng, 3));
            c->stop_early = rng_below(&rng, 4) == 0;
            live[n++] = submit(c);
            n_submitted++;
        }
        /* cancels chase requests that may be ending at this moment */
        if (rng_below(&rng, 2)) usleep((useconds_t)rng_below(&rng, 300));
        for (int i = 0; i < n; i++) {
            if (rng_below(&rng, 3)) continue;
            engine_loop_cancel(ctx.engine, &live[i]->r);
            n_cancelled++;
        }
        run_until_live((int)rng_below(&rng, 20));
    }
    run_until_live(0);
    assert_true(n_cancelled > 100 && ctx.n_finished[FINISH_ABORT] > 0);
    assert_true(ctx.n_finished[FINISH_LENGTH] > 0);
    assert_int_equal(ctx.n_finished[FINISH_ERROR], 0);
    assert_true(n_submitted > 1000);
    expect_all_free();
}

static void test_queue_bounds(void **state)
{
    (void)state;
    struct error err;
    pthread_mutex_lock(&fake.gate); /* nothing moves, and events are not drained */
    int n = 0;
    struct client *c;
    while (c = client_new(10, 5, 1), engine_loop_submit(ctx.engine, &c->r, &err) == STATUS_OK) {
        ctx.n_live++;
        n++;
    }
    assert_int_equal(err.code, STATUS_OVERLOADED);
    assert_int_equal(n, 40);
    free(c);
    pthread_mutex_unlock(&fake.gate);
    run_until_live(0);
    /* tokens */
    pthread_mutex_lock(&fake.gate);
    for (n = 0; c = client_new(500, 5, 1), engine_loop_submit(ctx.engine, &c->r, &err) == STATUS_OK;
         n++)
        ctx.n_live++;
    assert_int_equal(err.code, STATUS_OVERLOADED);
    assert_int_equal(n, 8); /* 4000 / 500 */
    free(c);
    pthread_mutex_unlock(&fake.gate);
    run_until_live(0);
    expect_all_free();
}

static void test_never_fits(void **state)
{
    (void)state;
    struct error err;
    struct client *c = client_new(MAX_LEN, 5, 1);
    c->r.n_prompt = MAX_LEN + 1;
    assert_int_equal(engine_loop_submit(ctx.engine, &c->r, &err), STATUS_CONTEXT_LENGTH);
    c->r.n_prompt = 5;
    c->r.n = MAX_SEQS + 1;
    assert_int_not_equal(engine_loop_submit(ctx.engine, &c->r, &err), STATUS_OK);
    free(c);
    expect_all_free();
}

/* The loop thread does not drain for a while: the engine must wait, and lose nothing. */
static void test_back_pressure(void **state)
{
    (void)state;
    for (int i = 0; i < 14; i++) {
        struct client *c = client_new(10, 400, 1);
        if (i % 2) {
            c->check_logprobs = true;
            c->r.params.n_logprobs = 1;
        }
        submit(c);
    }
    int before = -1; /* until no step is made any more */
    for (int i = 0; i < 100 && atomic_load(&fake.n_steps) != before; i++) {
        before = atomic_load(&fake.n_steps);
        usleep(50000);
    }
    int stuck_at = atomic_load(&fake.n_steps);
    assert_in_range(stuck_at, 1, 399);
    run_until_live(0);
    assert_int_equal(ctx.n_tokens, 14 * 400);
    expect_all_free();
}

static void test_stop_with_full_ring(void **state)
{
    (void)state;
    for (int i = 0; i < 14; i++) submit(client_new(10, 450, 1));
    usleep(200000);
    stop();
    assert_int_equal(ctx.n_finished[FINISH_ABORT] + ctx.n_finished[FINISH_LENGTH], 14);
}

static void test_stop_while_running(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) submit(client_new(40, 400, 1));
    uv_run(&ctx.loop, UV_RUN_ONCE);
    stop(); /* checks that every request has got its last event */
    assert_true(ctx.n_finished[FINISH_ABORT] > 0);
}

static void test_device_failure(void **state)
{
    (void)state;
    atomic_store(&fake.fail_at, 5);
    for (int i = 0; i < 30; i++) submit(client_new(40, 400, 2));
    while (!ctx.n_failed) uv_run(&ctx.loop, UV_RUN_ONCE);
    assert_int_equal(ctx.n_live, 0);
    assert_int_equal(ctx.n_finished[FINISH_ERROR], 30);
    struct client *c = client_new(5, 5, 1);
    struct error err;
    assert_int_equal(engine_loop_submit(ctx.engine, &c->r, &err), STATUS_UNAVAILABLE);
    free(c);
    uv_run(&ctx.loop, UV_RUN_NOWAIT);
    assert_int_equal(ctx.n_failed, 1);
}

static void test_stall_is_seen(void **state)
{
    (void)state;
    assert_true(engine_loop_stalled_s(ctx.engine) == 0);
    pthread_mutex_lock(&fake.gate);
    submit(client_new(5, 3, 1));
    uint64_t until = clock_now_us() + 5000000;
    while (engine_loop_stalled_s(ctx.engine) < 0.05 && clock_now_us() < until) usleep(5000);
    assert_true(engine_loop_stalled_s(ctx.engine) >= 0.05);
    pthread_mutex_unlock(&fake.gate);
    run_until_live(0);
    assert_true(engine_loop_stalled_s(ctx.engine) == 0);
}

static void test_deadline(void **state)
{
    (void)state;
    struct client *c = client_new(5, 400, 1);
    c->r.deadline_us = clock_now_us() + 20000;
    pthread_mutex_lock(&fake.gate);
    submit(c);
    usleep(60000);
    pthread_mutex_unlock(&fake.gate);
    run_until_live(0);
    assert_int_equal(ctx.n_finished[FINISH_DEADLINE], 1);
    expect_all_free();
}

/* Voluntary context switches of the thread named "engine". */
static long engine_switches(void)
{
    long total = -1;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], line[256], name[64] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%.32s/status", e->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        long n = 0;
        while (fgets(line, sizeof(line), f)) {
            sscanf(line, "Name: %63s", name);
            sscanf(line, "voluntary_ctxt_switches: %ld", &n);
        }
        fclose(f);
        if (strcmp(name, "engine") == 0) total = n;
    }
    closedir(d);
    return total;
}

static void test_idle_sleeps(void **state)
{
    (void)state;
    submit(client_new(5, 5, 1));
    run_until_live(0);
    usleep(50000);
    long before = engine_switches();
    assert_true(before >= 0);
    usleep(500000);
    assert_int_equal(engine_switches(), before);
}

/* After the stop the functions may still be called with NULL. */
static void test_no_engine(void **state)
{
    (void)state;
    struct client *c = client_new(5, 5, 1);
    struct error err;
    assert_int_equal(engine_loop_submit(NULL, &c->r, &err), STATUS_UNAVAILABLE);
    engine_loop_cancel(NULL, &c->r);
    engine_loop_finish_choice(NULL, &c->r, 0);
    struct engine_loop_stats s;
    engine_loop_get_stats(NULL, &s);
    assert_int_equal(s.steps, 0);
    assert_true(engine_loop_stalled_s(NULL) == 0);
    free(c);
}

static void wait_for_view(int n)
{
    uint64_t until = clock_now_us() + 20000000;
    while (ctx.n_views < n) {
        if (clock_now_us() > until) fail_msg("%d views, not %d", ctx.n_views, n);
        uv_run(&ctx.loop, UV_RUN_ONCE);
    }
}

/* Nobody looks: none is drawn.  Somebody looks: one at once, few while it runs, one of the end. */
static void test_views(void **state)
{
    (void)state;
    static struct sched_view v;
    submit(client_new(20, 5, 1));
    run_until_live(0);
    assert_false(engine_loop_get_view(ctx.engine, &v));
    engine_loop_watch(ctx.engine, true);
    wait_for_view(1);
    assert_true(engine_loop_get_view(ctx.engine, &v));
    assert_int_equal(v.stats.n_running, 0);
    assert_int_equal(v.stats.generation_tokens, 5);

    uint64_t start = clock_now_us();
    for (int i = 0; i < 20; i++) submit(client_new(20, 50, 1));
    run_until_live(0);
    while (!engine_loop_get_view(ctx.engine, &v) || v.stats.generation_tokens < 5 + 20 * 50)
        wait_for_view(ctx.n_views + 1);
    assert_int_equal(v.stats.n_running, 0);
    assert_int_equal(v.n_running + v.n_waiting + v.stats.blocks_held, 0);
    uint64_t most = 2 + (clock_now_us() - start) / (ENGINE_LOOP_VIEW_MS * 1000);
    assert_true((uint64_t)ctx.n_views <= most);

    engine_loop_watch(ctx.engine, false);
    int n_views = ctx.n_views;
    submit(client_new(20, 5, 1));
    run_until_live(0);
    assert_int_equal(ctx.n_views, n_views);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
#define T(f)                                             \
    cmocka_unit_test_setup_teardown(f, setup, teardown), \
    {                                                    \
#f "_ahead", f, setup_ahead, teardown, NULL      \
    }
    const struct CMUnitTest tests[] = {
        T(test_views),          T(test_one_request),         T(test_choices_and_stop),
        T(test_random_traffic), T(test_queue_bounds),        T(test_never_fits),
        T(test_back_pressure),  T(test_stop_with_full_ring), T(test_stop_while_running),
        T(test_device_failure), T(test_stall_is_seen),       T(test_deadline),
        T(test_idle_sleeps),    T(test_no_engine),
    };
    return cmocka_run_group_tests_name("engine_loop", tests, NULL, NULL);
}
