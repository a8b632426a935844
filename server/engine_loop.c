#include "server/engine_loop.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/ring.h"
#include "server/ptr_map.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const uint64_t VIEW_US = UINT64_C(1000) * ENGINE_LOOP_VIEW_MS;

enum command_type { COMMAND_SUBMIT, COMMAND_CANCEL, COMMAND_FINISH };

/* The engine thread follows `request` only while it is live there: a cancel may be on its way
 * while the request's last event is on its way back.  The mailbox is in order, so a stale command
 * always comes before a new request at the same address. */
struct command {
    enum command_type type;
    int32_t choice;
    struct request *request;
};

struct event_item {
    struct request *request;
    uint64_t time_us;
    int32_t choice, token, position, n_cached;
    uint8_t type, finish;
    bool last, has_logprobs;
};

/* What INFERD_FAULT asks for; debug builds only. */
struct fault {
    uint64_t hang_at, fail_at; /* step number, 0 = never */
    char until_file[256];      /* the hang ends when this file exists */
    bool stuck;                /* not even a stop ends it */
};

struct engine_loop {
    struct engine_loop_options o;
    pthread_t thread;

    /* --- the loop thread's --- */
    uv_async_t wake;
    struct ptr_map queued; /* live request -> prompt tokens while it is queued, else 0 */
    int64_t n_reserved;    /* mailbox slots that live requests may still need */
    bool failure_told;

    /* --- both --- */
    pthread_mutex_t mutex;    /* mailbox and sleeping */
    pthread_cond_t to_engine; /* commands, stop, space in the event ring */
    pthread_cond_t to_loop;   /* events or the end, while engine_loop_stop waits */
    struct command *commands; /* ring of commands_cap (a power of two) */
    size_t commands_cap, commands_head, n_commands;
    bool wants_space; /* the engine sleeps on a full event ring */
    bool exited;
    atomic_size_t n_pending; /* n_commands, readable without the mutex */
    atomic_bool stopping, failed;
    struct error failure;         /* written before `failed` is set */
    struct ring events, logprobs; /* engine -> loop */
    atomic_llong n_queued, n_queued_tokens;
    atomic_ullong step_started_us;
    pthread_mutex_t stats_mutex;
    struct engine_loop_stats stats;
    atomic_bool watched, view_wanted, view_told;
    pthread_mutex_t view_mutex;
    struct sched_view view; /* the latest */
    bool has_view;

    /* --- the engine thread's --- */
    struct sched *sched;
    struct ptr_map live;
    struct step_result result;
    int n_inflight;                              /* steps that were submitted and not collected */
    int32_t tokens_inflight[SCHED_MAX_INFLIGHT]; /* of each, the oldest first */
    uint64_t now_us;
    bool pushed; /* events since the last wake */
    uint64_t n_steps, step_ns_total, host_ns_total, step_us_last, host_us_last;
    uint64_t step_tokens[ENGINE_LOOP_N_STEP_EDGES + 1], step_tokens_sum;
    struct sched_view next_view;
    int64_t *view_owners; /* scratch of sched_view_fill */
    uint64_t view_us;     /* when the latest was drawn */
    bool view_stale;      /* something has changed since */
    struct fault fault;
};

/* ================================ engine thread ============================================= */

/* --- events ---------------------------------------------------------------------------------- */

static void wake_loop(struct engine_loop *l)
{
    if (!l->pushed) return;
    l->pushed = false;
    if (!atomic_load(&l->stopping)) {
        uv_async_send(&l->wake);
        return;
    }
    pthread_mutex_lock(&l->mutex);
    pthread_cond_signal(&l->to_loop);
    pthread_mutex_unlock(&l->mutex);
}

static void wait_for_space(struct engine_loop *l, const struct ring *r)
{
    l->pushed = true;
    wake_loop(l);
    pthread_mutex_lock(&l->mutex);
    while (ring_space(r) == 0) {
        l->wants_space = true;
        pthread_cond_signal(&l->to_loop); /* engine_loop_stop may be waiting */
        pthread_cond_wait(&l->to_engine, &l->mutex);
    }
    l->wants_space = false;
    pthread_mutex_unlock(&l->mutex);
}

static void push_event(struct engine_loop *l, const struct event_item *e,
                       const struct sample_out *logprobs)
{
    if (e->last) ptr_map_remove(&l->live, e->request);
    if (logprobs)
        while (!ring_push(&l->logprobs, logprobs)) wait_for_space(l, &l->logprobs);
    while (!ring_push(&l->events, e)) wait_for_space(l, &l->events);
    l->pushed = true;
}

static void on_sched_event(void *arg, const struct sched_event *ev)
{
    struct engine_loop *l = arg;
    struct event_item e = {.request = ev->request,
                           .time_us = l->now_us,
                           .choice = ev->choice,
                           .token = ev->token,
                           .position = ev->position,
                           .n_cached = ev->n_cached,
                           .type = (uint8_t)ev->type,
                           .finish = (uint8_t)ev->finish,
                           .last = ev->last,
                           .has_logprobs = ev->logprobs != NULL};
    push_event(l, &e, ev->logprobs);
}

/* A request that the scheduler never had. */
static void refuse_request(struct engine_loop *l, struct request *r)
{
    for (int32_t i = 0; i < r->n; i++) {
        struct event_item e = {.request = r,
                               .time_us = l->now_us,
                               .choice = i,
                               .type = EVENT_FINISH,
                               .finish = FINISH_ERROR,
                               .last = i == r->n - 1};
        push_event(l, &e, NULL);
    }
}

/* --- the mailbox -------------------------------------------------------------------------------- */

static void do_command(struct engine_loop *l, const struct command *c)
{
    struct request *r = c->request;
    struct error err;
    switch (c->type) {
    case COMMAND_SUBMIT:
        ptr_map_put(&l->live, r, 0);
        if (atomic_load(&l->failed)) {
            refuse_request(l, r);
        } else if (sched_submit(l->sched, r, &err) != STATUS_OK) {
            log_event(LOG_WARN, "request_refused", "reason=%s", err.message);
            refuse_request(l, r);
        }
        break;
    case COMMAND_CANCEL:
        if (ptr_map_get(&l->live, r)) sched_cancel(l->sched, r);
        break;
    case COMMAND_FINISH:
        if (ptr_map_get(&l->live, r)) sched_finish_choice(l->sched, r, c->choice);
        break;
    }
}

/* Takes commands in small batches, so that the mutex is never held while they are done. */
static void take_commands(struct engine_loop *l)
{
    while (atomic_load_explicit(&l->n_pending, memory_order_acquire) > 0) {
        struct command batch[64];
        size_t n = 0;
        pthread_mutex_lock(&l->mutex);
        while (n < ARRAY_LEN(batch) && l->n_commands > 0) {
            batch[n++] = l->commands[l->commands_head];
            l->commands_head = (l->commands_head + 1) & (l->commands_cap - 1);
            l->n_commands--;
        }
        atomic_store_explicit(&l->n_pending, l->n_commands, memory_order_release);
        pthread_mutex_unlock(&l->mutex);
        l->now_us = clock_now_us();
        l->view_stale = true;
        for (size_t i = 0; i < n; i++) do_command(l, &batch[i]);
    }
}

/* When the engine must wake without being told: a request's deadline, or a view that is due. */
static uint64_t next_alarm(struct engine_loop *l)
{
    uint64_t deadline = atomic_load(&l->failed) ? 0 : sched_next_deadline(l->sched);
    uint64_t view = l->view_us + VIEW_US;
    if (!l->view_stale || !atomic_load(&l->watched)) return deadline;
    return deadline && deadline < view ? deadline : view;
}

static void sleep_until_work(struct engine_loop *l)
{
    uint64_t deadline = next_alarm(l);
    struct timespec until = {(time_t)(deadline / 1000000), (long)(deadline % 1000000) * 1000};
    pthread_mutex_lock(&l->mutex);
    while (l->n_commands == 0 && !atomic_load(&l->stopping) && !atomic_load(&l->view_wanted)) {
        if (!deadline)
            pthread_cond_wait(&l->to_engine, &l->mutex);
        else if (pthread_cond_timedwait(&l->to_engine, &l->mutex, &until) != 0)
            break;
    }
    pthread_mutex_unlock(&l->mutex);
}

/* --- steps ----------------------------------------------------------------------------------------- */

static void publish_stats(struct engine_loop *l)
{
    struct sched_stats s;
    sched_get_stats(l->sched, &s);
    pthread_mutex_lock(&l->stats_mutex);
    l->stats.sched = s;
    l->stats.steps = l->n_steps;
    l->stats.step_us_last = l->step_us_last;
    l->stats.host_us_last = l->host_us_last;
    l->stats.step_us_total = l->step_ns_total / 1000;
    l->stats.host_us_total = l->host_ns_total / 1000;
    memcpy(l->stats.step_tokens, l->step_tokens, sizeof(l->step_tokens));
    l->stats.step_tokens_sum = l->step_tokens_sum;
    pthread_mutex_unlock(&l->stats_mutex);
}

/* Between two steps, while somebody looks on. */
static void publish_view(struct engine_loop *l)
{
    if (!atomic_load(&l->watched)) return;
    uint64_t now = clock_now_us();
    bool wanted = atomic_exchange(&l->view_wanted, false);
    bool due = l->view_stale && now >= l->view_us + VIEW_US;
    if (!wanted && !due) return;
    l->view_stale = false;
    l->view_us = now;
    sched_view_fill(l->sched, &l->next_view, l->view_owners);
    pthread_mutex_lock(&l->view_mutex);
    l->view = l->next_view;
    l->has_view = true;
    pthread_mutex_unlock(&l->view_mutex);
    atomic_store(&l->view_told, false);
    l->pushed = true;
}

static void fail_all(struct engine_loop *l)
{
    log_event(LOG_ERROR, "engine_failed", "error=%s", l->failure.message);
    l->n_inflight = 0;
    atomic_store(&l->step_started_us, 0);
    sched_fail_all(l->sched);
    atomic_store(&l->failed, true);
    l->pushed = true; /* wakes the loop even when no request was running */
    l->view_stale = true;
}

#if INFERD_DEBUG_CHECKS
/* INFERD_FAULT=step_hang:N[:FILE], step_stuck:N or step_fail:N, for the tests of watchdog and
 * failure: the N-th step hangs until FILE exists or the server stops, hangs for ever, or fails. */
static void fault_parse(struct fault *f)
{
    const char *v = getenv("INFERD_FAULT");
    if (!v) return;
    char *end = NULL;
    if (strncmp(v, "step_hang:", 10) == 0) {
        f->hang_at = strtoull(v + 10, &end, 10);
        if (*end == ':' && strlen(end + 1) < sizeof(f->until_file)) strcpy(f->until_file, end + 1);
    } else if (strncmp(v, "step_stuck:", 11) == 0) {
        f->hang_at = strtoull(v + 11, &end, 10);
        f->stuck = true;
    } else if (strncmp(v, "step_fail:", 10) == 0) {
        f->fail_at = strtoull(v + 10, &end, 10);
    }
}

static enum status fault_apply(struct engine_loop *l, struct error *err)
{
    if (l->fault.fail_at && l->n_steps + 1 == l->fault.fail_at)
        return error_set(err, STATUS_INTERNAL, "injected device failure");
    if (!l->fault.hang_at || l->n_steps + 1 != l->fault.hang_at) return STATUS_OK;
    struct timespec t = {.tv_nsec = 5000000};
    while ((l->fault.stuck || !atomic_load(&l->stopping)) &&
           !(l->fault.until_file[0] && access(l->fault.until_file, F_OK) == 0))
        nanosleep(&t, NULL);
    return STATUS_OK;
}
#else
static void fault_parse(struct fault *f)
{
    (void)f;
}

static enum status fault_apply(struct engine_loop *l, struct error *err)
{
    (void)l, (void)err;
    return STATUS_OK;
}
#endif

static void count_step(struct engine_loop *l, int32_t n_tokens)
{
    static const int32_t edges[ENGINE_LOOP_N_STEP_EDGES] = ENGINE_LOOP_STEP_EDGES;
    int b = 0;
    while (b < ENGINE_LOOP_N_STEP_EDGES && n_tokens > edges[b]) b++;
    l->step_tokens[b]++;
    l->step_tokens_sum += (uint64_t)n_tokens;
}

/* Plans steps and submits them, as many as may be under way.  False: the engine has failed. */
static bool submit_steps(struct engine_loop *l, uint64_t *engine_ns)
{
    while (l->n_inflight < l->o.max_inflight) {
        l->now_us = clock_now_us();
        const struct step *step = sched_plan(l->sched, l->now_us);
        if (!step) return true;
        const uint64_t t0 = clock_now_ns();
        if (l->n_inflight == 0) atomic_store(&l->step_started_us, t0 / 1000);
        l->tokens_inflight[l->n_inflight++] = step->n_tokens;
        const enum status st = l->o.submit(l->o.engine, step, &l->failure);
        *engine_ns += clock_now_ns() - t0;
        if (st != STATUS_OK) return false;
    }
    return true;
}

/* Takes the result of the oldest step.  False: the engine has failed. */
static bool collect_step(struct engine_loop *l, uint64_t *engine_ns)
{
    const uint64_t t0 = clock_now_ns();
    enum status st = fault_apply(l, &l->failure);
    if (st == STATUS_OK) st = l->o.collect(l->o.engine, &l->result, &l->failure);
    const uint64_t t1 = clock_now_ns();
    l->now_us = t1 / 1000;
    *engine_ns += t1 - t0;
    if (st != STATUS_OK) return false;
    count_step(l, l->tokens_inflight[0]);
    l->n_inflight--;
    memmove(l->tokens_inflight, l->tokens_inflight + 1,
            (size_t)l->n_inflight * sizeof(*l->tokens_inflight));
    atomic_store(&l->step_started_us, l->n_inflight > 0 ? l->now_us : 0);
    return true;
}

enum step_outcome { STEP_NOTHING, STEP_DONE, STEP_FAILED };

/* One step's end, and what is planned before it; allocates nothing. */
static enum step_outcome run_step(struct engine_loop *l)
{
    const uint64_t t0 = clock_now_ns();
    uint64_t engine_ns = 0;
    if (!submit_steps(l, &engine_ns)) return STEP_FAILED;
    if (l->n_inflight == 0) return STEP_NOTHING;
    if (!collect_step(l, &engine_ns)) return STEP_FAILED;
    sched_apply(l->sched, &l->result, l->now_us);
    const uint64_t step_ns = clock_now_ns() - t0, host_ns = step_ns - engine_ns;
    l->n_steps++;
    l->view_stale = true;
    l->step_ns_total += step_ns;
    l->host_ns_total += host_ns;
    l->step_us_last = step_ns / 1000;
    l->host_us_last = host_ns / 1000;
    return STEP_DONE;
}

static void end_all(struct engine_loop *l)
{
    l->now_us = clock_now_us();
    for (uint32_t i = 0; i <= l->live.mask; i++) {
        /* the last event of a request removes it, and another may move into its slot */
        for (const void *r; (r = l->live.slots[i].key);) {
            sched_cancel(l->sched, (struct request *)(uintptr_t)r);
            if (l->live.slots[i].key == r) break;
        }
    }
    if (l->live.n > 0) sched_fail_all(l->sched);
}

static void *engine_main(void *arg)
{
    struct engine_loop *l = arg;
    pthread_setname_np(pthread_self(), "engine");
    while (!atomic_load(&l->stopping)) {
        take_commands(l);
        enum step_outcome did = STEP_NOTHING;
        if (!atomic_load(&l->failed)) {
            step_guard_enter();
            did = run_step(l);
            step_guard_leave();
        }
        if (did == STEP_FAILED) fail_all(l);
        publish_stats(l);
        publish_view(l);
        wake_loop(l);
        if (did == STEP_NOTHING) sleep_until_work(l);
    }
    take_commands(l);
    end_all(l);
    publish_stats(l);
    pthread_mutex_lock(&l->mutex);
    l->exited = true;
    pthread_cond_signal(&l->to_loop);
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* ================================ loop thread ================================================= */

static void count_dequeued(struct engine_loop *l, int64_t *tokens)
{
    if (*tokens == 0) return;
    atomic_fetch_sub(&l->n_queued, 1);
    atomic_fetch_sub(&l->n_queued_tokens, *tokens);
    *tokens = 0;
}

static void deliver(struct engine_loop *l, const struct event_item *e)
{
    struct sample_out logprobs;
    if (e->has_logprobs) CHECK(ring_pop(&l->logprobs, &logprobs));
    struct engine_event ev = {.request = e->request,
                              .type = (enum event_type)e->type,
                              .choice = e->choice,
                              .token = e->token,
                              .position = e->position,
                              .n_cached = e->n_cached,
                              .finish = (enum finish_reason)e->finish,
                              .last = e->last,
                              .time_us = e->time_us,
                              .logprobs = e->has_logprobs ? &logprobs : NULL};
    if (e->type == EVENT_ADMITTED || e->last) {
        int64_t *tokens = ptr_map_get(&l->queued, e->request);
        CHECK(tokens);
        count_dequeued(l, tokens);
    }
    if (e->last) {
        ptr_map_remove(&l->queued, e->request);
        l->n_reserved -= 2 + e->request->n;
    }
    l->o.on_event(l->o.arg, &ev);
}

/* At most what is there now: sockets get their turn between two calls. */
static void drain(struct engine_loop *l)
{
    uint32_t n = ring_count(&l->events);
    struct event_item e;
    for (uint32_t i = 0; i < n && ring_pop(&l->events, &e); i++) deliver(l, &e);
    pthread_mutex_lock(&l->mutex);
    if (l->wants_space) pthread_cond_signal(&l->to_engine);
    pthread_mutex_unlock(&l->mutex);
    if (n > 0 && l->o.on_batch_end) l->o.on_batch_end(l->o.arg);
}

static void on_wake(uv_async_t *a)
{
    struct engine_loop *l = a->data;
    bool failed = atomic_load(&l->failed); /* before the drain: its events are there then */
    drain(l);
    if (l->o.on_view && !atomic_exchange(&l->view_told, true)) l->o.on_view(l->o.arg);
    if (ring_count(&l->events) > 0)
        uv_async_send(&l->wake);
    else if (failed && !l->failure_told) {
        l->failure_told = true;
        if (l->o.on_failed) l->o.on_failed(l->o.arg, &l->failure);
    }
}

/* Under the mutex. */
static bool grow_mailbox(struct engine_loop *l, size_t need)
{
    size_t cap = l->commands_cap;
    while (cap < need) cap *= 2;
    if (cap == l->commands_cap) return true;
    struct command *bigger = calloc(cap, sizeof(*bigger));
    if (!bigger) return false;
    for (size_t i = 0; i < l->n_commands; i++)
        bigger[i] = l->commands[(l->commands_head + i) & (l->commands_cap - 1)];
    free(l->commands);
    l->commands = bigger;
    l->commands_cap = cap;
    l->commands_head = 0;
    return true;
}

/* engine_loop_submit has reserved the room: cancelling never fails. */
static void push_command(struct engine_loop *l, struct command c)
{
    pthread_mutex_lock(&l->mutex);
    CHECK(grow_mailbox(l, l->n_commands + 1));
    l->commands[(l->commands_head + l->n_commands++) & (l->commands_cap - 1)] = c;
    atomic_store_explicit(&l->n_pending, l->n_commands, memory_order_release);
    pthread_cond_signal(&l->to_engine);
    pthread_mutex_unlock(&l->mutex);
}

/* One submit, one cancel and a finish per choice: what a request may put into the mailbox. */
static bool reserve_commands(struct engine_loop *l, int32_t n_choices)
{
    pthread_mutex_lock(&l->mutex);
    bool ok = grow_mailbox(l, (size_t)l->n_reserved + 2 + (size_t)n_choices);
    pthread_mutex_unlock(&l->mutex);
    return ok;
}

enum status engine_loop_submit(struct engine_loop *l, struct request *r, struct error *err)
{
    DCHECK(r->n >= 1 && r->n_prompt >= 1);
    if (!l) return error_set(err, STATUS_UNAVAILABLE, "The server is shutting down.");
    if (atomic_load(&l->failed))
        return error_set(err, STATUS_UNAVAILABLE, "The engine has failed: %s", l->failure.message);
    enum status st = sched_check(&l->o.sched, r, err);
    if (st != STATUS_OK) return st;
    int64_t reqs = atomic_load(&l->n_queued), tokens = atomic_load(&l->n_queued_tokens);
    int64_t max_reqs = l->o.sched.max_waiting;
    if (l->o.max_queued_reqs > 0 && l->o.max_queued_reqs < max_reqs)
        max_reqs = l->o.max_queued_reqs;
    if (reqs >= max_reqs || l->queued.n >= l->queued.max)
        return error_set(err, STATUS_OVERLOADED,
                         "The queue is full (%" PRId64 " requests are waiting); try again later.",
                         reqs);
    /* A prompt longer than the whole bound may still wait alone. */
    if (l->o.max_queued_tokens > 0 && reqs > 0 && tokens + r->n_prompt > l->o.max_queued_tokens)
        return error_set(err, STATUS_OVERLOADED,
                         "The queue is full (%" PRId64 " prompt tokens are waiting); try again "
                         "later.",
                         tokens);
    if (!reserve_commands(l, r->n)) return error_set(err, STATUS_NO_MEMORY, "No memory.");
    l->n_reserved += 2 + r->n;
    ptr_map_put(&l->queued, r, r->n_prompt);
    atomic_fetch_add(&l->n_queued, 1);
    atomic_fetch_add(&l->n_queued_tokens, r->n_prompt);
    push_command(l, (struct command){.type = COMMAND_SUBMIT, .request = r});
    return STATUS_OK;
}

void engine_loop_cancel(struct engine_loop *l, struct request *r)
{
    if (!l) return;
    DCHECK(ptr_map_get(&l->queued, r)); /* live: its last event was not delivered yet */
    push_command(l, (struct command){.type = COMMAND_CANCEL, .request = r});
}

void engine_loop_finish_choice(struct engine_loop *l, struct request *r, int32_t choice)
{
    if (!l) return;
    push_command(l, (struct command){.type = COMMAND_FINISH, .choice = choice, .request = r});
}

void engine_loop_watch(struct engine_loop *l, bool watched)
{
    if (!l) return;
    atomic_store(&l->watched, watched);
    pthread_mutex_lock(&l->mutex);
    atomic_store(&l->view_wanted, watched);
    pthread_cond_signal(&l->to_engine);
    pthread_mutex_unlock(&l->mutex);
}

bool engine_loop_get_view(struct engine_loop *l, struct sched_view *out)
{
    if (!l) return false;
    pthread_mutex_lock(&l->view_mutex);
    bool has = l->has_view;
    if (has) *out = l->view;
    pthread_mutex_unlock(&l->view_mutex);
    return has;
}

/* --- start and stop ---------------------------------------------------------------------------------- */

static void free_loop(struct engine_loop *l)
{
    if (l->sched) sched_destroy(l->sched);
    ring_free(&l->events);
    ring_free(&l->logprobs);
    ptr_map_free(&l->queued);
    ptr_map_free(&l->live);
    free(l->result.samples);
    free(l->commands);
    free(l->view_owners);
    pthread_mutex_destroy(&l->view_mutex);
    pthread_mutex_destroy(&l->mutex);
    pthread_mutex_destroy(&l->stats_mutex);
    pthread_cond_destroy(&l->to_engine);
    pthread_cond_destroy(&l->to_loop);
    free(l);
}

static void on_wake_closed(uv_handle_t *h)
{
    free_loop(h->data);
}

static bool allocate(struct engine_loop *l)
{
    const struct sched_config *c = &l->o.sched;
    uint32_t per_step = (uint32_t)c->max_num_seqs + (uint32_t)c->max_logit_rows;
    /* Preempted requests wait again: more than max_num_seqs may be between start and end. */
    uint32_t max_live = (uint32_t)c->max_waiting + 2 * (uint32_t)c->max_num_seqs;
    l->commands_cap = 1024;
    l->commands = calloc(l->commands_cap, sizeof(*l->commands));
    l->result.samples = calloc((size_t)c->max_logit_rows, sizeof(*l->result.samples));
    l->view_owners = calloc((size_t)c->n_blocks, sizeof(*l->view_owners));
    return l->commands && l->result.samples && l->view_owners &&
           ptr_map_init(&l->queued, max_live) && ptr_map_init(&l->live, max_live) &&
           ring_init(&l->events, sizeof(struct event_item), 4 * per_step + 1024) &&
           ring_init(&l->logprobs, sizeof(struct sample_out), 2 * per_step + 64);
}

static enum status start_thread(struct engine_loop *l, struct error *err)
{
    /* Signals are the loop thread's. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&l->thread, NULL, engine_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e)
        return error_set(err, STATUS_INTERNAL, "cannot start the engine thread: %s", strerror(e));
    return STATUS_OK;
}

enum status engine_loop_start(struct engine_loop **out, const struct engine_loop_options *o,
                              struct error *err)
{
    struct engine_loop *l = calloc(1, sizeof(*l));
    if (!l) return error_set(err, STATUS_NO_MEMORY, "no memory for the engine loop");
    l->o = *o;
    DCHECK(o->max_inflight >= 1 && o->max_inflight <= SCHED_MAX_INFLIGHT);
    if (!l->o.submit) l->o.submit = engine_submit;
    if (!l->o.collect) l->o.collect = engine_collect;
    if (!l->o.close) l->o.close = engine_close;
    fault_parse(&l->fault);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_mutex_init(&l->stats_mutex, NULL);
    pthread_mutex_init(&l->view_mutex, NULL);
    atomic_init(&l->view_told, true);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->to_engine, &attr);
    pthread_cond_init(&l->to_loop, &attr);
    pthread_condattr_destroy(&attr);

    enum status st = allocate(l)
                         ? sched_create(&l->sched, &l->o.sched, on_sched_event, l, err)
                         : error_set(err, STATUS_NO_MEMORY, "no memory for the engine loop");
    if (st == STATUS_OK) sched_get_stats(l->sched, &l->stats.sched);
    int e = st == STATUS_OK ? uv_async_init(o->loop, &l->wake, on_wake) : 0;
    if (e) st = error_set(err, STATUS_INTERNAL, "uv_async_init: %s", uv_strerror(e));
    if (st != STATUS_OK) {
        free_loop(l);
        return st;
    }
    l->wake.data = l;
    st = start_thread(l, err);
    if (st != STATUS_OK) {
        uv_close((uv_handle_t *)&l->wake, on_wake_closed);
        return st;
    }
    *out = l;
    return STATUS_OK;
}

void engine_loop_stop(struct engine_loop *l)
{
    pthread_mutex_lock(&l->mutex);
    atomic_store(&l->stopping, true);
    pthread_cond_signal(&l->to_engine);
    pthread_mutex_unlock(&l->mutex);
    for (bool exited = false; !exited;) {
        drain(l);
        pthread_mutex_lock(&l->mutex);
        while (!l->exited && ring_count(&l->events) == 0) pthread_cond_wait(&l->to_loop, &l->mutex);
        exited = l->exited;
        pthread_mutex_unlock(&l->mutex);
    }
    pthread_join(l->thread, NULL);
    drain(l);
    l->o.close(l->o.engine);
    uv_close((uv_handle_t *)&l->wake, on_wake_closed);
}

/* ================================ any thread ==================================================== */

void engine_loop_get_stats(struct engine_loop *l, struct engine_loop_stats *out)
{
    *out = (struct engine_loop_stats){0};
    if (!l) return;
    pthread_mutex_lock(&l->stats_mutex);
    *out = l->stats;
    pthread_mutex_unlock(&l->stats_mutex);
    out->n_queued = atomic_load(&l->n_queued);
    out->n_queued_tokens = atomic_load(&l->n_queued_tokens);
}

double engine_loop_stalled_s(struct engine_loop *l)
{
    if (!l) return 0;
    uint64_t since = atomic_load(&l->step_started_us), now = clock_now_us();
    return since && now > since ? (double)(now - since) / 1e6 : 0;
}
