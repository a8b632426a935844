/* history.c - one random life of a scheduler, from a seed. */

#include "scheduler/state.h" /* only to force hash collisions */
#include "scheduler/view.h"
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REQUESTS = 40, N_TEXTS = 3 };

struct world {
    struct rng rng;
    struct sched_config config;
    struct sched *sched;
    struct fake_engine engine;
    struct client_request *clients; /* [n_clients] */
    int32_t n_clients, n_submitted, n_admitted_last;
    int32_t seq_cap, depth;
    uint64_t now_us, n_steps;
    double cancel_rate, finish_rate, reset_rate;
    uint64_t fault_step; /* the device fails after so many steps; 0 = never */
    bool failed, verbose;
    int32_t texts[N_TEXTS][SIM_MAX_PROMPT]; /* prompts begin with one of them */
    struct {
        const struct step *step;
        uint64_t digest;
        bool previous_applied;
    } inflight[SCHED_MAX_INFLIGHT];
    int32_t n_inflight;
};

struct history_totals history_totals;
jmp_buf sim_on_failure;

_Noreturn void sim_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    longjmp(sim_on_failure, 1);
}

static int32_t pick(struct rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)rng_below(r, (uint64_t)(hi - lo + 1));
}

static bool chance(struct rng *r, double p)
{
    return rng_unit(r) < p;
}

/* --- making a world --- */

static void make_config(struct world *w)
{
    static const int32_t sizes[] = {1, 2, 3, 4, 4, 8, 16};
    struct rng *r = &w->rng;
    struct sched_config *c = &w->config;
    c->block_size = sizes[rng_below(r, sizeof(sizes) / sizeof(sizes[0]))];
    c->n_blocks = chance(r, 0.5) ? pick(r, 4, 20) : pick(r, 20, 120);
    c->max_num_seqs = chance(r, 0.2) ? pick(r, 1, 3) : pick(r, 3, 16);
    c->max_num_batched_tokens = chance(r, 0.3) ? pick(r, 1, 6) : pick(r, 4, 80);
    c->max_model_len = pick(r, 6, 120);
    c->max_logit_rows = chance(r, 0.3) ? pick(r, 1, 6) : c->max_num_seqs + pick(r, 0, 8);
    c->max_waiting = chance(r, 0.2) ? pick(r, 1, 4) : 64;
    c->enable_prefix_caching = chance(r, 0.75);
    c->enable_chunked_prefill = chance(r, 0.75);
    c->priority_policy = chance(r, 0.3);
    c->hash_seed = rng_next(r);
    int64_t pool_tokens = (int64_t)(c->n_blocks - 1) * c->block_size;
    w->seq_cap = pool_tokens < c->max_model_len ? (int32_t)pool_tokens : c->max_model_len;
    if (!c->enable_chunked_prefill && c->max_num_batched_tokens < w->seq_cap)
        c->max_num_batched_tokens = w->seq_cap + pick(r, 0, 10);
    w->depth = chance(r, 0.5) ? 2 : 1;
    w->cancel_rate = chance(r, 0.5) ? 0 : 0.08 * rng_unit(r);
    w->finish_rate = chance(r, 0.6) ? 0 : 0.08 * rng_unit(r);
    w->reset_rate = chance(r, 0.1) ? 0.05 : 0;
    if (chance(r, 0.04)) w->fault_step = (uint64_t)pick(r, 1, 60);
    for (int i = 0; i < N_TEXTS; i++)
        for (int k = 0; k < SIM_MAX_PROMPT; k++) w->texts[i][k] = pick(r, 0, SIM_VOCAB - 1);
}

static void make_prompt(struct world *w, struct client_request *c)
{
    struct rng *r = &w->rng;
    int32_t longest =
        w->config.max_model_len < SIM_MAX_PROMPT ? w->config.max_model_len : SIM_MAX_PROMPT;
    c->n_prompt = chance(r, 0.4) ? pick(r, 1, longest) : pick(r, 1, 1 + longest / 3);
    int32_t text = pick(r, 0, N_TEXTS - 1);
    const int32_t size = w->config.block_size;
    bool woven = chance(r, 0.2); /* each block from any of the texts: same block, other parents */
    int32_t n_shared = chance(r, 0.8) ? pick(r, c->n_prompt / 2, c->n_prompt) : 0;
    for (int32_t i = 0; i < c->n_prompt; i++) {
        if (woven && i % size == 0) text = pick(r, 0, N_TEXTS - 1);
        c->prompt[i] = i < n_shared ? w->texts[text][i] : pick(r, 0, SIM_VOCAB - 1);
    }
}

static struct sampling_params make_params(struct world *w, struct client_request *c)
{
    struct rng *r = &w->rng;
    struct sampling_params p = {.temperature = 1,
                                .top_p = 1,
                                .repetition_penalty = chance(r, 0.15) ? 1.1f : 1.0f,
                                .seed = c->id,
                                .n_logprobs = -1,
                                .eos_ids = c->r->eos_ids,
                                .n_eos_ids = 1,
                                .stop_ids = c->r->stop_ids,
                                .n_stop_ids = pick(r, 0, 2),
                                .bias = c->r->bias,
                                .n_bias = 1,
                                .ignore_eos = chance(r, 0.3),
                                .min_tokens = chance(r, 0.3) ? pick(r, 1, 10) : 0};
    c->r->eos_ids[0] = 7;
    for (int i = 0; i < 2; i++) c->r->stop_ids[i] = pick(r, 0, SIM_VOCAB - 1);
    return p;
}

static void make_client(struct world *w, int32_t i, uint64_t arrival_us)
{
    struct rng *r = &w->rng;
    struct client_request *c = &w->clients[i];
    c->id = (uint64_t)i + 1;
    c->arrival_us = arrival_us;
    c->salt = chance(r, 0.8) ? 0 : (uint64_t)pick(r, 1, 2);
    c->n = chance(r, 0.7) ? 1 : pick(r, 2, SIM_MAX_N);
    c->score = chance(r, 0.15);
    c->next_scored = 1;
    c->r = calloc(1, sizeof(*c->r));
    if (!c->r) abort();
    make_prompt(w, c);
    memcpy(c->r->prompt, c->prompt, (size_t)c->n_prompt * sizeof(*c->prompt));
    /* Nothing that could be cached: at most all but the last token, whole blocks. */
    c->n_cached_max = (c->n_prompt - 1) / w->config.block_size * w->config.block_size;
    if (!w->config.enable_prefix_caching || c->score) c->n_cached_max = 0;
    struct sampling_params p = make_params(w, c);
    int32_t max_tokens = chance(r, 0.5) ? pick(r, 1, SIM_MAX_TOKENS) : pick(r, 1, 12);
    if (c->score && chance(r, 0.5)) max_tokens = 0;
    client_expect(c, &p, max_tokens, w->seq_cap);
    c->r->request = (struct request){.user = c,
                                     .prompt = c->r->prompt,
                                     .n_prompt = c->n_prompt,
                                     .n = c->n,
                                     .max_tokens = max_tokens,
                                     .score_prompt = c->score,
                                     .priority = w->config.priority_policy ? pick(r, -2, 2) : 0,
                                     .salt = c->salt,
                                     .arrival_us = arrival_us,
                                     .params = p};
    if (chance(r, 0.06)) {
        c->r->request.deadline_us = arrival_us + rng_below(r, 20000);
        c->deadline_us = c->r->request.deadline_us;
    }
}

static void drop_client(struct client_request *c)
{
    free(c->r);
    c->r = NULL;
}

/* --- events and calls --- */

static void on_event(void *arg, const struct sched_event *ev)
{
    struct world *w = arg;
    struct client_request *c = ev->request->user;
    if (w->verbose)
        printf("  %8llu us request %llu event %d choice %d token %d finish %d last %d\n",
               (unsigned long long)w->now_us, (unsigned long long)c->id, (int)ev->type, ev->choice,
               ev->token, (int)ev->finish, ev->last);
    if (ev->type == EVENT_ADMITTED && !w->config.priority_policy) {
        SIM_CHECK((int32_t)c->id > w->n_admitted_last, "request %llu was overtaken",
                  (unsigned long long)c->id);
        w->n_admitted_last = (int32_t)c->id;
    }
    history_totals.n_tokens += ev->type == EVENT_TOKEN;
    history_totals.n_scored += ev->type == EVENT_PROMPT_LOGPROB;
    history_totals.n_deadlines += ev->finish == FINISH_DEADLINE;
    history_totals.n_cancelled += ev->finish == FINISH_ABORT;
    client_event(c, ev, w->failed);
}

static const struct client_request *find_client(void *arg, uint64_t seed)
{
    struct world *w = arg;
    return seed >= 1 && seed <= (uint64_t)w->n_clients ? &w->clients[seed - 1] : NULL;
}

static void check_invariants(struct world *w)
{
    struct error err = {0};
    SIM_CHECK(sched_check_invariants(w->sched, &err), "%s", err.message);
}

static int32_t held_cells(const struct sched_view *v)
{
    int32_t n = 0;
    for (int32_t c = 0; c < v->n_cells; c++)
        n += v->cells[c] != VIEW_FREE && v->cells[c] != VIEW_CACHED;
    return n;
}

/* The picture for people adds up, whatever has happened.  The pools here are small: a cell is a
 * block. */
static void check_view(struct world *w)
{
    static struct sched_view v;
    static int64_t owners[SCHED_VIEW_CELLS + 1];
    struct sched_stats st;
    if (w->config.n_blocks > SCHED_VIEW_CELLS + 1) return;
    sched_get_stats(w->sched, &st);
    sched_view_fill(w->sched, &v, owners);
    SIM_CHECK(v.blocks_per_cell == 1 && v.n_cells == st.blocks_total, "cells");
    SIM_CHECK(held_cells(&v) == st.blocks_held, "blocks held");
    int32_t n_cached = 0, requests = 0;
    for (int32_t c = 0; c < v.n_cells; c++) n_cached += v.cells[c] == VIEW_CACHED;
    SIM_CHECK(n_cached == st.blocks_cached, "%d cached, not %d", n_cached, st.blocks_cached);
    for (int32_t i = 0; i < v.n_running; i++) {
        const struct sched_view_choice *c = &v.running[i];
        requests += i == 0 || v.running[i - 1].request != c->request;
        SIM_CHECK(c->n_output <= c->max_output && c->n_cached <= c->n_prompt, "row %d", i);
        SIM_CHECK(i == 0 || v.running[i - 1].request <= c->request, "order");
    }
    if (v.n_running == v.n_choices) SIM_CHECK(requests == st.n_running, "running requests");
    SIM_CHECK(v.n_waiting == (st.n_waiting < SCHED_VIEW_ROWS ? st.n_waiting : SCHED_VIEW_ROWS),
              "waiting");
}

static void check_deadlines(struct world *w)
{
    uint64_t next = 0;
    for (int32_t i = 0; i < w->n_submitted; i++) {
        const struct client_request *c = &w->clients[i];
        if (c->ended || !c->deadline_us) continue;
        SIM_CHECK(c->deadline_us > w->now_us, "request %d outlives its deadline", i + 1);
        if (!next || c->deadline_us < next) next = c->deadline_us;
    }
    SIM_CHECK(sched_next_deadline(w->sched) == next, "next deadline");
}

/* Everything that a request may be refused for. */
static void check_refusal(struct world *w, const struct client_request *c, enum status st)
{
    const struct sched_config *k = &w->config;
    struct sched_stats stats;
    sched_get_stats(w->sched, &stats);
    int32_t least = c->n_prompt + (c->r->request.max_tokens > 0);
    int32_t n_max = k->max_num_seqs < k->max_logit_rows ? k->max_num_seqs : k->max_logit_rows;
    enum status expected = STATUS_OK;
    if (c->n > n_max)
        expected = STATUS_INVALID;
    else if (least > w->seq_cap)
        expected = STATUS_CONTEXT_LENGTH;
    else if (stats.n_waiting >= k->max_waiting)
        expected = STATUS_OVERLOADED;
    SIM_CHECK(st == expected, "submit gives %d, not %d", (int)st, (int)expected);
}

static void submit_arrived(struct world *w)
{
    while (w->n_submitted < w->n_clients && w->clients[w->n_submitted].arrival_us <= w->now_us) {
        struct client_request *c = &w->clients[w->n_submitted++];
        struct error err;
        enum status st = sched_submit(w->sched, &c->r->request, &err);
        if (st == STATUS_OK) {
            c->submitted = true;
            history_totals.n_requests++;
        } else {
            check_refusal(w, c, st);
            c->ended = true;
            drop_client(c);
        }
    }
}

/* Clients leave, and the server finds stop strings, at any moment. */
static void disturb(struct world *w)
{
    for (int32_t i = 0; i < w->n_submitted; i++) {
        struct client_request *c = &w->clients[i];
        if (c->r && chance(&w->rng, w->cancel_rate)) {
            sched_cancel(w->sched, &c->r->request);
            SIM_CHECK(c->ended, "cancelled and not ended");
            check_invariants(w);
        }
        if (c->r && chance(&w->rng, w->finish_rate)) {
            int32_t k = pick(&w->rng, 0, c->n - 1);
            if (c->choices[k].ended) continue;
            c->choices[k].ended = c->choices[k].silent = true;
            sched_finish_choice(w->sched, &c->r->request, k);
            check_invariants(w);
        }
    }
}

static bool plan_one(struct world *w)
{
    if (chance(&w->rng, w->reset_rate)) sched_reset_prefix_cache(w->sched);
    const struct step *step = sched_plan(w->sched, w->now_us);
    check_invariants(w);
    check_deadlines(w);
    if (w->n_steps % 8 == 0) check_view(w); /* with steps in flight */
    if (!step) return false;
    w->inflight[w->n_inflight].step = step;
    w->inflight[w->n_inflight].digest = step_digest(step);
    w->inflight[w->n_inflight].previous_applied = w->n_inflight == 0;
    history_totals.n_chained += w->n_inflight > 0;
    history_totals.n_copies += (uint64_t)step->n_copies;
    w->n_inflight++;
    return true;
}

static void run_one(struct world *w)
{
    const struct step *step = w->inflight[0].step;
    struct step_result result;
    SIM_CHECK(step_digest(step) == w->inflight[0].digest, "a step in flight was changed");
    fake_engine_execute(&w->engine, step, w->inflight[0].previous_applied, find_client, w, &result);
    w->now_us += 100 + 10 * (uint64_t)step->n_tokens;
    disturb(w);
    w->inflight[0] = w->inflight[1];
    w->n_inflight--;
    sched_apply(w->sched, &result, w->now_us);
    check_invariants(w);
    check_deadlines(w);
    check_view(w);
    history_totals.n_steps++;
    w->n_steps++;
}

static void run_world(struct world *w)
{
    /* Each step computes at least a token, and what preemption throws away is bounded by what the
     * preempting sequence gains; a livelock passes any bound. */
    const uint64_t max_steps = 20000; /* the longest has about 1,300 */
    while (w->n_submitted < w->n_clients || sched_has_work(w->sched)) {
        SIM_CHECK(w->n_steps < max_steps, "no end in sight after %llu steps",
                  (unsigned long long)w->n_steps);
        submit_arrived(w);
        disturb(w);
        while (w->n_inflight < w->depth && plan_one(w))
            ;
        if (w->fault_step && w->n_steps >= w->fault_step) {
            w->fault_step = 0;
            w->failed = true;
            sched_fail_all(w->sched);
            w->failed = false;
            w->engine.last_id += (uint64_t)w->n_inflight;
            w->n_inflight = 0;
            check_invariants(w);
            SIM_CHECK(!sched_has_work(w->sched), "work after a failure");
            history_totals.n_faults++;
        } else if (w->n_inflight > 0) {
            run_one(w);
        } else {
            SIM_CHECK(!sched_has_work(w->sched), "work, but no step");
            if (w->n_submitted < w->n_clients) w->now_us = w->clients[w->n_submitted].arrival_us;
        }
    }
}

static void check_end(struct world *w)
{
    struct sched_stats st;
    sched_get_stats(w->sched, &st);
    for (int32_t i = 0; i < w->n_clients; i++)
        SIM_CHECK(w->clients[i].ended, "request %d was lost", i + 1);
    SIM_CHECK(st.n_running == 0 && st.n_waiting == 0 && st.n_inflight == 0 &&
                  st.n_waiting_tokens == 0,
              "something is left");
    SIM_CHECK(st.blocks_held == 0 && st.blocks_free + st.blocks_cached == st.blocks_total,
              "%d blocks are still held", st.blocks_held);
    SIM_CHECK(sched_next_deadline(w->sched) == 0, "a deadline is left");
    sched_reset_prefix_cache(w->sched);
    check_invariants(w);
    if (w->n_steps > history_totals.longest) history_totals.longest = w->n_steps;
    history_totals.n_preemptions += st.n_preemptions;
    history_totals.n_hits += st.prefix_hits;
}

bool history_run(uint64_t seed, bool verbose)
{
    struct world *w = calloc(1, sizeof(*w));
    if (!w) abort();
    w->rng.state = seed * 0x9e3779b97f4a7c15ull + 1;
    w->verbose = verbose;
    make_config(w);
    w->n_clients = pick(&w->rng, 1, chance(&w->rng, 0.5) ? MAX_REQUESTS : 14);
    w->clients = calloc((size_t)w->n_clients, sizeof(*w->clients));
    if (!w->clients) abort();
    uint64_t at = 0;
    double gap = chance(&w->rng, 0.3) ? 0 : 2000 * rng_unit(&w->rng);
    for (int32_t i = 0; i < w->n_clients; i++) {
        make_client(w, i, at);
        if (chance(&w->rng, 0.8)) at += (uint64_t)(gap * rng_unit(&w->rng) * 2);
    }
    fake_engine_open(&w->engine, &w->config);
    struct error err = {0};
    volatile bool ok = false;
    if (sched_create(&w->sched, &w->config, on_event, w, &err) != STATUS_OK) {
        fprintf(stderr, "sched_create: %s\n", err.message);
    } else if (setjmp(sim_on_failure) == 0) {
        if (chance(&w->rng, 0.15)) w->sched->cache.hash_mask = rng_below(&w->rng, 4);
        run_world(w);
        check_end(w);
        ok = true;
    }
    history_totals.n_histories++;
    sched_destroy(w->sched);
    for (int32_t i = 0; i < w->n_clients; i++) drop_client(&w->clients[i]);
    fake_engine_close(&w->engine);
    free(w->clients);
    free(w);
    return ok;
}
