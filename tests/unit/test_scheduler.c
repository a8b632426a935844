/* The scheduler's rules one by one; tests/sim has the same rules in random company. */

#include "config/base/check.h"
#include "scheduler/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EOS = 2, MAX_EVENTS = 512, MAX_ROWS = 256 };

struct rig {
    struct sched *s;
    struct sched_config config;
    struct sched_event events[MAX_EVENTS];
    int n_events;
    struct sample_out samples[MAX_ROWS];
    int32_t next_token;      /* every draw gives this, then one more */
    const struct step *step; /* the last one planned */
};

static struct sched_config small_config(void)
{
    return (struct sched_config){.n_blocks = 33,
                                 .block_size = 4,
                                 .max_num_seqs = 8,
                                 .max_num_batched_tokens = 64,
                                 .max_model_len = 100,
                                 .max_logit_rows = 16,
                                 .max_waiting = 8,
                                 .enable_prefix_caching = true,
                                 .enable_chunked_prefill = true,
                                 .hash_seed = 42};
}

static void on_event(void *arg, const struct sched_event *ev)
{
    struct rig *g = arg;
    assert_true(g->n_events < MAX_EVENTS);
    g->events[g->n_events++] = *ev;
}

static void rig_open(struct rig *g, const struct sched_config *c)
{
    struct error err = {0};
    memset(g, 0, sizeof(*g));
    g->config = *c;
    g->next_token = 1000;
    assert_int_equal(sched_create(&g->s, c, on_event, g, &err), STATUS_OK);
}

static void check(struct rig *g)
{
    struct error err = {0};
    if (!sched_check_invariants(g->s, &err)) fail_msg("%s", err.message);
}

static void rig_close(struct rig *g)
{
    check(g);
    sched_destroy(g->s);
}

static const struct step *plan(struct rig *g, uint64_t now)
{
    g->step = sched_plan(g->s, now);
    check(g);
    return g->step;
}

/* Draws give next_token, next_token + 1, ... in the order of the samples. */
static void apply(struct rig *g, const struct step *step)
{
    struct step_result r = {.id = step->id, .n_samples = step->n_samples, .samples = g->samples};
    for (int32_t i = 0; i < step->n_samples; i++) {
        memset(&g->samples[i], 0, sizeof(g->samples[i]));
        bool draw = step->samples[i].mode == SAMPLE_DRAW;
        g->samples[i].token = draw ? g->next_token++ : step->samples[i].target;
        g->samples[i].logprob = -1.0f;
    }
    sched_apply(g->s, &r, 0);
    check(g);
}

/* Plans, applies; false when there was nothing to run. */
static bool run_step(struct rig *g)
{
    if (!plan(g, 0)) return false;
    apply(g, g->step);
    return true;
}

static void run_all(struct rig *g)
{
    for (int i = 0; run_step(g); i++) assert_true(i < 10000);
    assert_false(sched_has_work(g->s));
}

static const int32_t eos_ids[] = {EOS};

static struct request make_request(const int32_t *prompt, int32_t n_prompt, int32_t max_tokens)
{
    return (struct request){.prompt = prompt,
                            .n_prompt = n_prompt,
                            .n = 1,
                            .max_tokens = max_tokens,
                            .params = {.temperature = 1,
                                       .top_p = 1,
                                       .repetition_penalty = 1,
                                       .n_logprobs = -1,
                                       .eos_ids = eos_ids,
                                       .n_eos_ids = 1}};
}

static void submit(struct rig *g, struct request *r)
{
    struct error err = {0};
    if (sched_submit(g->s, r, &err) != STATUS_OK) fail_msg("submit: %s", err.message);
    check(g);
}

/* Event i of the request's, NULL when there are fewer. */
static const struct sched_event *event(const struct rig *g, const struct request *r, int i)
{
    for (int k = 0; k < g->n_events; k++)
        if (g->events[k].request == r && i-- == 0) return &g->events[k];
    return NULL;
}

static int count(const struct rig *g, const struct request *r, enum event_type type)
{
    int n = 0;
    for (int k = 0; k < g->n_events; k++)
        n += g->events[k].request == r && g->events[k].type == type;
    return n;
}

static const struct sched_event *last_event(const struct rig *g, const struct request *r)
{
    const struct sched_event *found = NULL;
    for (int k = 0; k < g->n_events; k++) {
        if (g->events[k].request != r || !g->events[k].last) continue;
        assert_null(found);
        found = &g->events[k];
    }
    return found;
}

static struct sched_stats stats(const struct rig *g)
{
    struct sched_stats st;
    sched_get_stats(g->s, &st);
    return st;
}

static int32_t text[128]; /* 10, 11, 12, ... */

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 128; i++) text[i] = 10 + i;
    return 0;
}

/* --- life of a request --- */

static void test_one_request(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request r = make_request(text, 6, 3);
    submit(&g, &r);
    assert_int_equal(stats(&g).n_waiting, 1);
    assert_int_equal(stats(&g).n_waiting_tokens, 6);
    const struct step *t = plan(&g, 0);
    assert_non_null(t);
    assert_int_equal(t->n_tokens, 6);
    assert_int_equal(t->n_samples, 1);
    assert_int_equal(t->samples[0].row, 5);
    assert_int_equal(t->rope_len[0], 6);
    assert_null(t->token_src);
    assert_memory_equal(t->token_ids, text, 6 * sizeof(int32_t));
    apply(&g, t);
    t = plan(&g, 0);
    assert_int_equal(t->n_tokens, 1);
    assert_int_equal(t->token_ids[0], 1000);
    assert_int_equal(t->positions[0], 6);
    assert_int_equal(t->rope_len[0], 7);
    assert_int_equal(t->kv_len[0], 7);
    assert_int_equal(t->samples[0].n_output, 1);
    apply(&g, t);
    run_all(&g);
    assert_int_equal(event(&g, &r, 0)->type, EVENT_ADMITTED);
    assert_int_equal(count(&g, &r, EVENT_TOKEN), 3);
    assert_int_equal(event(&g, &r, 3)->token, 1002);
    assert_int_equal(event(&g, &r, 3)->finish, FINISH_LENGTH);
    assert_true(event(&g, &r, 3)->last);
    assert_null(event(&g, &r, 4));
    assert_int_equal(stats(&g).blocks_held, 0);
    assert_int_equal(stats(&g).generation_tokens, 3);
    rig_close(&g);
}

static void test_stop_rules(void **state)
{
    (void)state;
    const int32_t stop_ids[] = {500};
    const struct {
        int32_t token, min_tokens;
        bool ignore_eos;
        enum finish_reason finish; /* of the first token */
    } cases[] = {
        {EOS, 0, false, FINISH_STOP}, {EOS, 0, true, FINISH_NONE},  {500, 0, true, FINISH_STOP},
        {EOS, 1, false, FINISH_NONE}, {500, 1, false, FINISH_NONE}, {77, 0, false, FINISH_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig g;
        struct sched_config c = small_config();
        rig_open(&g, &c);
        struct request r = make_request(text, 5, 4);
        r.params.stop_ids = stop_ids;
        r.params.n_stop_ids = 1;
        r.params.min_tokens = cases[i].min_tokens;
        r.params.ignore_eos = cases[i].ignore_eos;
        submit(&g, &r);
        g.next_token = cases[i].token;
        assert_true(run_step(&g));
        const struct sched_event *e = event(&g, &r, 1);
        assert_int_equal(e->type, EVENT_TOKEN);
        assert_int_equal(e->token, cases[i].token);
        assert_int_equal(e->finish, cases[i].finish);
        assert_int_equal(e->last, cases[i].finish != FINISH_NONE);
        g.next_token = 1000;
        run_all(&g);
        rig_close(&g);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_waiting = 2;
    rig_open(&g, &c);
    struct request fits = make_request(text, 99, 50), other = make_request(text, 4, 1);
    struct request bad[] = {make_request(text, 100, 1), make_request(text, 0, 1),
                            make_request(text, 4, 0), make_request(text, 4, 1),
                            make_request(text, 4, 1)};
    const enum status expected[] = {STATUS_CONTEXT_LENGTH, STATUS_INVALID, STATUS_INVALID,
                                    STATUS_INVALID, STATUS_INVALID};
    bad[3].n = 9; /* more than max_num_seqs */
    bad[4].params.n_bias = LIMIT_LOGIT_BIAS + 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        assert_int_equal(sched_submit(g.s, &bad[i], &err), expected[i]);
        assert_int_equal(sched_check(&c, &bad[i], &err), expected[i]);
        assert_true(err.message[0] != 0);
    }
    submit(&g, &fits);
    submit(&g, &other);
    struct request third = make_request(text, 4, 1);
    struct error err = {0};
    assert_int_equal(sched_submit(g.s, &third, &err), STATUS_OVERLOADED);
    run_all(&g);
    assert_int_equal(g.n_events, 4);
    assert_int_equal(last_event(&g, &fits)->finish, FINISH_LENGTH); /* the context is full */
    rig_close(&g);
}

/* The pool is smaller than max_model_len: a sequence ends by length where the pool ends. */
static void test_pool_bounds_length(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 4; /* 12 tokens */
    rig_open(&g, &c);
    struct request r = make_request(text, 10, 50), big = make_request(text, 12, 50);
    struct error err = {0};
    assert_int_equal(sched_submit(g.s, &big, &err), STATUS_CONTEXT_LENGTH);
    submit(&g, &r);
    run_all(&g);
    assert_int_equal(count(&g, &r, EVENT_TOKEN), 2);
    assert_int_equal(last_event(&g, &r)->finish, FINISH_LENGTH);
    rig_close(&g);
}

static void test_config_refused(void **state)
{
    (void)state;
    struct sched *s;
    struct error err = {0};
    struct sched_config c = small_config();
    c.enable_chunked_prefill = false;
    assert_int_equal(sched_create(&s, &c, on_event, NULL, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "max_model_len (100)"));
    c = small_config();
    c.n_blocks = 1;
    assert_int_equal(sched_create(&s, &c, on_event, NULL, &err), STATUS_INVALID);
    assert_string_equal(err.param, "n_blocks");
}

/* --- prefix cache --- */

static int32_t cached_of(struct rig *g, const int32_t *prompt, int32_t n, uint64_t salt)
{
    struct request r = make_request(prompt, n, 1);
    r.salt = salt;
    g->n_events = 0;
    submit(g, &r);
    run_all(g);
    assert_int_equal(event(g, &r, 0)->type, EVENT_ADMITTED);
    return event(g, &r, 0)->n_cached;
}

/* Keys that depend on the prompt's length are nobody else's. */
static void test_prefix_bound(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_cached_len = 12;
    rig_open(&g, &c);
    assert_int_equal(cached_of(&g, text, 20, 0), 0);
    assert_int_equal(stats(&g).blocks_cached, 0); /* a prompt beyond the bound leaves nothing */
    assert_int_equal(cached_of(&g, text, 11, 0), 0);
    assert_int_equal(cached_of(&g, text, 11, 0), 8);
    assert_int_equal(cached_of(&g, text, 20, 0), 0); /* and finds nothing */

    /* The blocks of an answer count up to the bound. */
    struct request r = make_request(text, 11, 20);
    submit(&g, &r);
    run_all(&g);
    assert_int_equal(stats(&g).blocks_cached, 3);
    rig_close(&g);
}

static void test_prefix_hits(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    assert_int_equal(cached_of(&g, text, 14, 0), 0);
    assert_int_equal(stats(&g).blocks_cached, 3);
    assert_int_equal(cached_of(&g, text, 14, 0), 12);
    /* The whole prompt is known, but its last token must be computed. */
    assert_int_equal(cached_of(&g, text, 12, 0), 8);
    assert_int_equal(cached_of(&g, text, 13, 0), 12);
    assert_int_equal(cached_of(&g, text, 3, 0), 0);
    /* Salts are separate worlds. */
    assert_int_equal(cached_of(&g, text, 14, 5), 0);
    assert_int_equal(cached_of(&g, text, 14, 5), 12);
    assert_int_equal(cached_of(&g, text, 14, 6), 0);
    /* A different token anywhere ends the match. */
    int32_t changed[14];
    memcpy(changed, text, sizeof(changed));
    changed[6]++;
    assert_int_equal(cached_of(&g, changed, 14, 0), 4);
    assert_int_equal(stats(&g).prefix_hits, 12 + 8 + 12 + 12 + 4);
    sched_reset_prefix_cache(g.s);
    assert_int_equal(stats(&g).blocks_cached, 0);
    assert_int_equal(cached_of(&g, text, 14, 0), 0);
    rig_close(&g);
}

static void test_prefix_hash_collisions(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    g.s->cache.hash_mask = 0; /* every block has the same hash */
    int32_t other[14];
    for (int i = 0; i < 14; i++) other[i] = 60 + i;
    memcpy(other + 4, text + 4, 4 * sizeof(int32_t)); /* the same second block */
    assert_int_equal(cached_of(&g, text, 14, 0), 0);
    assert_int_equal(cached_of(&g, other, 14, 0), 0);
    assert_int_equal(cached_of(&g, text, 14, 1), 0);
    assert_int_equal(cached_of(&g, text, 14, 0), 12);
    assert_int_equal(cached_of(&g, other, 14, 0), 12);
    rig_close(&g);
}

/* A parent that was evicted and filled again is another parent, whatever its number. */
static void test_prefix_stale_parent(void **state)
{
    (void)state;
    struct prefix_cache cache;
    assert_true(prefix_cache_init(&cache, 8, 4, 1));
    cache.hash_mask = 0;
    struct prefix_chain chain = prefix_chain_start(&cache, 0);
    assert_true(prefix_cache_insert(&cache, &chain, text, 1));
    assert_true(prefix_cache_insert(&cache, &chain, text + 4, 2));
    prefix_cache_remove(&cache, 1);
    chain = prefix_chain_start(&cache, 0);
    assert_true(prefix_cache_insert(&cache, &chain, text + 40, 1)); /* block 1, other content */
    assert_int_equal(prefix_cache_find(&cache, &chain, text + 4), 0);
    /* Two blocks with the same content: the first stands for both. */
    chain = prefix_chain_start(&cache, 0);
    assert_false(prefix_cache_insert(&cache, &chain, text + 40, 3));
    assert_int_equal(chain.serial, cache.entries[1].serial);
    prefix_cache_destroy(&cache);
}

/* The tail of a prefix is evicted before its head. */
static void test_eviction_order(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 9; /* 8 blocks */
    rig_open(&g, &c);
    assert_int_equal(cached_of(&g, text, 17, 0), 0); /* 5 blocks, 4 of them cached after */
    int32_t other[24];
    for (int i = 0; i < 24; i++) other[i] = 500 + i;
    assert_int_equal(cached_of(&g, other, 24, 0), 0); /* 6 blocks: 4 free, 2 evicted */
    assert_int_equal(cached_of(&g, text, 17, 0), 8);
    rig_close(&g);
}

/* --- budget, chunks, order --- */

static void test_chunked_prefill(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_num_batched_tokens = 10;
    rig_open(&g, &c);
    struct request a = make_request(text, 4, 20), b = make_request(text + 20, 25, 2);
    struct request late = make_request(text + 60, 4, 2);
    submit(&g, &a);
    submit(&g, &b);
    submit(&g, &late);
    const struct step *t = plan(&g, 0); /* a whole, b's first 6 */
    assert_int_equal(t->n_tokens, 10);
    assert_int_equal(t->n_seqs, 2);
    assert_int_equal(t->n_samples, 1);
    apply(&g, t);
    for (int i = 0; i < 2; i++) { /* the decode goes first, b gets 9, nobody overtakes it */
        t = plan(&g, 0);
        assert_int_equal(t->n_tokens, 10);
        assert_int_equal(t->n_seqs, 2);
        apply(&g, t);
    }
    t = plan(&g, 0); /* 1 + 1 left + late's 4 */
    assert_int_equal(t->n_tokens, 6);
    assert_int_equal(t->n_seqs, 3);
    assert_int_equal(t->n_samples, 3);
    apply(&g, t);
    run_all(&g);
    assert_int_equal(count(&g, &b, EVENT_TOKEN), 2);
    rig_close(&g);
}

/* Without chunks a prompt waits for a step of its own, but not for ever. */
static void test_unchunked_prefill(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.enable_chunked_prefill = false;
    c.max_model_len = 40;
    c.max_num_batched_tokens = 40;
    rig_open(&g, &c);
    struct request a = make_request(text, 4, 30), b = make_request(text + 20, 39, 1);
    struct request d = make_request(text + 70, 39, 1);
    submit(&g, &a);
    assert_true(run_step(&g));
    assert_true(run_step(&g));
    submit(&g, &b);
    submit(&g, &d);
    c.max_num_batched_tokens = 40;
    int32_t rows_b = 0, rows_d = 0, decodes = 0;
    for (int i = 0; i < 8; i++) {
        const struct step *t = plan(&g, 0);
        for (int32_t s = 0; s < t->n_seqs; s++) {
            int32_t n = t->q_start[s + 1] - t->q_start[s];
            int32_t first = t->token_ids[t->q_start[s]];
            assert_true(n == 1 || n == 39);
            rows_b += n == 39 && first == text[20] ? n : 0;
            rows_d += n == 39 && first == text[70] ? n : 0;
            decodes += n == 1;
        }
        apply(&g, t);
    }
    assert_int_equal(rows_b, 39);
    assert_int_equal(rows_d, 39);
    assert_true(decodes >= 4); /* and the decode was not starved by the prompts */
    run_all(&g);
    rig_close(&g);
}

static void admitted_order(struct rig *g, struct request *const *order, int n)
{
    int k = 0;
    for (int i = 0; i < g->n_events; i++)
        if (g->events[i].type == EVENT_ADMITTED) {
            assert_true(k < n);
            assert_ptr_equal(g->events[i].request, order[k++]);
        }
    assert_int_equal(k, n);
}

static void test_order(void **state)
{
    (void)state;
    for (int by_priority = 0; by_priority < 2; by_priority++) {
        struct rig g;
        struct sched_config c = small_config();
        c.max_num_seqs = 1;
        c.priority_policy = by_priority;
        rig_open(&g, &c);
        struct request r[4];
        const int32_t priority[] = {3, -1, 3, 0};
        for (int i = 0; i < 4; i++) {
            r[i] = make_request(text, 4, 2);
            r[i].priority = priority[i];
            submit(&g, &r[i]);
        }
        run_all(&g);
        if (by_priority)
            admitted_order(&g, (struct request *[]){&r[1], &r[3], &r[0], &r[2]}, 4);
        else
            admitted_order(&g, (struct request *[]){&r[0], &r[1], &r[2], &r[3]}, 4);
        rig_close(&g);
    }
}

/* A big request at the head of the queue is not overtaken by small ones that would fit. */
static void test_head_of_line(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 11; /* 40 tokens */
    rig_open(&g, &c);
    struct request a = make_request(text, 20, 4), big = make_request(text + 30, 30, 2);
    struct request small = make_request(text + 80, 4, 2);
    submit(&g, &a);
    assert_true(run_step(&g));
    submit(&g, &big);
    submit(&g, &small);
    assert_true(run_step(&g));
    assert_int_equal(stats(&g).n_waiting, 2);
    run_all(&g);
    admitted_order(&g, (struct request *[]){&a, &big, &small}, 3);
    rig_close(&g);
}

/* --- preemption --- */

static void test_preemption(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 7; /* 24 tokens */
    rig_open(&g, &c);
    struct request a = make_request(text, 8, 12), b = make_request(text + 30, 8, 12);
    submit(&g, &a);
    submit(&g, &b);
    run_all(&g);
    assert_true(stats(&g).n_preemptions > 0);
    /* The older one was never stopped, and both are whole; admission is told once. */
    assert_int_equal(count(&g, &a, EVENT_TOKEN), 12);
    assert_int_equal(count(&g, &b, EVENT_TOKEN), 12);
    assert_int_equal(count(&g, &b, EVENT_ADMITTED), 1);
    bool a_first = false;
    for (int i = 0; i < g.n_events; i++)
        if (g.events[i].last) {
            a_first = g.events[i].request == &a;
            break;
        }
    assert_true(a_first);
    rig_close(&g);
}

/* A resumed sequence finds its full blocks in the cache and goes before those who wait. */
static void test_resume(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request a = make_request(text, 10, 8), b = make_request(text + 30, 4, 1);
    submit(&g, &a);
    assert_true(run_step(&g));
    assert_true(run_step(&g));
    assert_true(run_step(&g)); /* 12 computed, 13 known */
    seq_preempt(g.s, &g.s->seqs[g.s->run[0]]);
    check(&g);
    submit(&g, &b);
    const struct step *t = plan(&g, 0);
    assert_int_equal(t->n_seqs, 2);
    int32_t s = t->kv_len[0] == 13 ? 0 : 1;
    assert_int_equal(t->kv_len[s], 13);
    assert_int_equal(t->q_start[s + 1] - t->q_start[s], 1); /* 3 blocks came from the cache */
    apply(&g, t);
    run_all(&g);
    assert_int_equal(count(&g, &a, EVENT_ADMITTED), 1);
    assert_int_equal(count(&g, &a, EVENT_TOKEN), 8);
    rig_close(&g);
}

/* Nothing runs, nothing can: the oldest request fails instead of a loop. */
static void test_cannot_run(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    int32_t stolen = 0; /* blocks lost to a bug */
    while (block_pool_available(&g.s->pool) > 2) {
        sched_take_block(g.s);
        stolen++;
    }
    struct request a = make_request(text, 20, 2), b = make_request(text, 4, 2);
    struct error err = {0};
    assert_int_equal(sched_submit(g.s, &a, &err), STATUS_OK);
    assert_int_equal(sched_submit(g.s, &b, &err), STATUS_OK);
    const struct step *t = sched_plan(g.s, 0);
    assert_int_equal(last_event(&g, &a)->finish, FINISH_ERROR);
    assert_non_null(t);
    struct step_result r = {.id = t->id, .n_samples = 1, .samples = g.samples};
    g.samples[0].token = EOS;
    sched_apply(g.s, &r, 0);
    assert_int_equal(last_event(&g, &b)->finish, FINISH_STOP);
    assert_null(sched_plan(g.s, 0));
    assert_false(sched_check_invariants(g.s, &err)); /* and the loss is seen */
    assert_true(stolen > 0);
    sched_destroy(g.s);
}

/* --- several choices --- */

static void test_fork_and_copy(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request r = make_request(text, 6, 4); /* one full block, one partial */
    r.n = 3;
    submit(&g, &r);
    const struct step *t = plan(&g, 0);
    assert_int_equal(t->n_tokens, 6); /* the prompt is computed once */
    assert_int_equal(t->n_samples, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t->samples[i].row, 5);
        assert_int_equal(t->samples[i].choice, i);
        assert_int_equal(t->samples[i].n_output, 0);
    }
    apply(&g, t);
    assert_int_equal(stats(&g).blocks_held, 2);
    t = plan(&g, 0);
    assert_int_equal(t->n_seqs, 3);
    assert_int_equal(t->n_copies, 2); /* the last owner writes in place */
    assert_int_equal(t->copies[0].src, t->copies[1].src);
    assert_int_not_equal(t->copies[0].dst, t->copies[1].dst);
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < a; b++) assert_int_not_equal(t->slots[a], t->slots[b]);
    apply(&g, t);
    assert_int_equal(stats(&g).blocks_held, 4);
    /* The server saw a stop string in choice 1: no event, and its block is free. */
    int n_events = g.n_events;
    sched_finish_choice(g.s, &r, 1);
    sched_finish_choice(g.s, &r, 1);
    assert_int_equal(g.n_events, n_events);
    assert_int_equal(stats(&g).blocks_held, 3);
    run_all(&g);
    assert_int_equal(count(&g, &r, EVENT_TOKEN), 2 + 2 * 4);
    assert_non_null(last_event(&g, &r));
    rig_close(&g);
}

static void test_finish_last_choice(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request r = make_request(text, 6, 40);
    r.n = 2;
    submit(&g, &r);
    sched_finish_choice(g.s, &r, 0); /* while it waits: the prompt is computed for choice 1 */
    const struct step *t = plan(&g, 0);
    assert_int_equal(t->n_samples, 1);
    assert_int_equal(t->samples[0].choice, 1);
    apply(&g, t);
    sched_finish_choice(g.s, &r, 1);
    const struct sched_event *e = last_event(&g, &r);
    assert_non_null(e);
    assert_int_equal(e->type, EVENT_FINISH);
    assert_int_equal(e->choice, 1);
    assert_int_equal(e->finish, FINISH_STOP);
    assert_false(sched_has_work(g.s));
    sched_cancel(g.s, &r); /* too late: nothing */
    rig_close(&g);
}

/* The leader's own choice may end while it computes the prompt for the others. */
static void test_leader_ends_early(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_num_batched_tokens = 4;
    rig_open(&g, &c);
    struct request r = make_request(text, 10, 3);
    r.n = 3;
    submit(&g, &r);
    assert_true(run_step(&g));
    sched_finish_choice(g.s, &r, 0);
    check(&g);
    run_all(&g);
    assert_int_equal(count(&g, &r, EVENT_TOKEN), 6);
    for (int i = 0; i < g.n_events; i++)
        assert_true(g.events[i].type == EVENT_ADMITTED || g.events[i].choice > 0);
    rig_close(&g);
}

/* --- ends from outside --- */

static void test_cancel(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request a = make_request(text, 10, 9), b = make_request(text + 40, 10, 9);
    a.n = 2;
    submit(&g, &a);
    submit(&g, &b);
    sched_cancel(g.s, &b); /* waiting */
    assert_int_equal(last_event(&g, &b)->finish, FINISH_ABORT);
    assert_true(run_step(&g));
    const struct step *t = plan(&g, 0);
    sched_cancel(g.s, &a); /* in flight */
    check(&g);
    assert_int_equal(count(&g, &a, EVENT_FINISH), 2);
    assert_true(last_event(&g, &a)->last);
    assert_true(stats(&g).blocks_held > 0); /* the step still uses them */
    assert_true(sched_has_work(g.s));
    assert_null(sched_plan(g.s, 0));
    apply(&g, t);
    assert_int_equal(stats(&g).blocks_held, 0);
    assert_int_equal(count(&g, &a, EVENT_TOKEN), 2); /* what came after the end was dropped */
    assert_false(sched_has_work(g.s));
    rig_close(&g);
}

static void test_deadline(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_num_seqs = 1;
    rig_open(&g, &c);
    struct request a = make_request(text, 10, 50), b = make_request(text, 10, 9);
    a.deadline_us = 5000;
    b.deadline_us = 3000;
    submit(&g, &a);
    submit(&g, &b);
    assert_int_equal(sched_next_deadline(g.s), 3000);
    apply(&g, plan(&g, 2999));
    assert_null(last_event(&g, &b));
    apply(&g, plan(&g, 3000));
    assert_int_equal(last_event(&g, &b)->finish, FINISH_DEADLINE);
    assert_int_equal(sched_next_deadline(g.s), 5000);
    assert_null(plan(&g, 5001));
    assert_int_equal(last_event(&g, &a)->finish, FINISH_DEADLINE);
    assert_int_equal(sched_next_deadline(g.s), 0);
    assert_int_equal(stats(&g).blocks_held, 0);
    rig_close(&g);
}

static void test_fail_all(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request a = make_request(text, 10, 9), b = make_request(text + 40, 10, 9), d = b;
    submit(&g, &a);
    assert_true(run_step(&g));
    submit(&g, &b);
    assert_non_null(plan(&g, 0));
    submit(&g, &d);
    sched_fail_all(g.s);
    check(&g);
    assert_int_equal(last_event(&g, &a)->finish, FINISH_ERROR);
    assert_int_equal(last_event(&g, &b)->finish, FINISH_ERROR);
    assert_int_equal(last_event(&g, &d)->finish, FINISH_ERROR);
    assert_false(sched_has_work(g.s));
    assert_int_equal(stats(&g).blocks_free, stats(&g).blocks_total);
    rig_close(&g);
}

/* --- prompt logprobs --- */

static void test_score_prompt(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_logit_rows = 4;
    rig_open(&g, &c);
    assert_int_equal(cached_of(&g, text, 12, 0), 0);
    g.n_events = 0;
    struct request r = make_request(text, 11, 0);
    r.score_prompt = true;
    submit(&g, &r);
    int n_steps = 0;
    while (plan(&g, 0)) {
        assert_true(g.step->n_samples <= 4);
        assert_true(g.step->n_tokens <= 5);
        for (int32_t i = 0; i < g.step->n_samples; i++)
            assert_int_equal(g.step->samples[i].target,
                             text[g.step->positions[g.step->samples[i].row] + 1]);
        apply(&g, g.step);
        n_steps++;
    }
    assert_int_equal(n_steps, 3); /* rows 0-3, 4-7, 8-10; the last row scores nothing */
    assert_int_equal(event(&g, &r, 0)->n_cached, 0);
    assert_int_equal(count(&g, &r, EVENT_PROMPT_LOGPROB), 10);
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(event(&g, &r, i)->position, i);
        assert_non_null(event(&g, &r, i)->logprobs);
    }
    assert_int_equal(event(&g, &r, 11)->type, EVENT_FINISH);
    assert_int_equal(event(&g, &r, 11)->finish, FINISH_LENGTH);
    assert_true(event(&g, &r, 11)->last);
    rig_close(&g);
}

static void test_score_and_generate(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request r = make_request(text, 5, 2), one = make_request(text, 1, 0);
    r.score_prompt = one.score_prompt = true;
    r.n = 2;
    submit(&g, &r);
    submit(&g, &one);
    run_all(&g);
    assert_int_equal(count(&g, &r, EVENT_PROMPT_LOGPROB), 4);
    assert_int_equal(count(&g, &r, EVENT_TOKEN), 4);
    assert_int_equal(count(&g, &one, EVENT_PROMPT_LOGPROB), 0);
    assert_int_equal(last_event(&g, &one)->finish, FINISH_LENGTH);
    rig_close(&g);
}

/* --- two steps in flight --- */

static void test_two_in_flight(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request a = make_request(text, 5, 9), b = make_request(text + 40, 5, 1);
    submit(&g, &a);
    submit(&g, &b);
    const struct step *first = plan(&g, 0);
    const struct step *second = plan(&g, 0);
    assert_null(plan(&g, 0));
    assert_int_equal(first->n_seqs, 2);
    assert_int_equal(second->n_seqs, 1); /* b's token is its last one */
    assert_int_equal(second->token_ids[0], -1);
    assert_int_equal(second->token_src[0], 0);
    assert_int_equal(second->samples[0].n_output, 1);
    assert_int_equal(second->positions[0], 5);
    g.next_token = EOS;
    apply(&g, first);
    assert_int_equal(last_event(&g, &a)->finish, FINISH_STOP);
    assert_int_equal(stats(&g).blocks_held, 2); /* a's blocks: the second step writes to them */
    apply(&g, second);
    assert_int_equal(stats(&g).blocks_held, 0);
    assert_int_equal(count(&g, &a, EVENT_TOKEN), 1); /* the surplus token is dropped */
    run_all(&g);
    rig_close(&g);
}

/* A draw that reads its own history waits for the token before it, and the others wait with it: a
 * step without it would leave it behind. */
static void test_in_flight_history(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request a = make_request(text, 5, 9), b = make_request(text + 40, 5, 3);
    b.params.presence_penalty = 0.5f;
    submit(&g, &a);
    submit(&g, &b);
    int32_t drawn = -1; /* b's latest token */
    for (int32_t i = 0; i < 3; i++) {
        const struct step *step = plan(&g, 0);
        assert_int_equal(step->n_seqs, 2);
        assert_null(step->token_src);
        int32_t k = step->samples[0].params->presence_penalty == 0.0f;
        assert_int_equal(step->samples[k].n_history, 5 + i);
        if (i > 0) assert_int_equal(step->samples[k].history[4 + i], drawn);
        if (i == 2) break; /* draws b's last token: nothing waits for it */
        drawn = g.next_token + k;
        assert_null(plan(&g, 0));
        apply(&g, step);
    }
    const struct step *third = g.step;
    const struct step *fourth = plan(&g, 0);
    assert_int_equal(fourth->n_seqs, 1);
    apply(&g, third);
    apply(&g, fourth);
    run_all(&g);
    assert_int_equal(count(&g, &b, EVENT_TOKEN), 3);
    rig_close(&g);
}

/* No row is planned beyond a length that is known to be the end. */
static void test_in_flight_length(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    struct request a = make_request(text, 5, 2);
    submit(&g, &a);
    const struct step *first = plan(&g, 0), *second = plan(&g, 0);
    apply(&g, first);
    assert_null(plan(&g, 0)); /* its last token is on the way */
    apply(&g, second);
    assert_int_equal(last_event(&g, &a)->finish, FINISH_LENGTH);
    assert_false(sched_has_work(g.s));
    rig_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request),
        cmocka_unit_test(test_stop_rules),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_pool_bounds_length),
        cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_prefix_bound),
        cmocka_unit_test(test_prefix_hits),
        cmocka_unit_test(test_prefix_hash_collisions),
        cmocka_unit_test(test_prefix_stale_parent),
        cmocka_unit_test(test_eviction_order),
        cmocka_unit_test(test_chunked_prefill),
        cmocka_unit_test(test_unchunked_prefill),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_head_of_line),
        cmocka_unit_test(test_preemption),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_cannot_run),
        cmocka_unit_test(test_fork_and_copy),
        cmocka_unit_test(test_finish_last_choice),
        cmocka_unit_test(test_leader_ends_early),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_fail_all),
        cmocka_unit_test(test_score_prompt),
        cmocka_unit_test(test_score_and_generate),
        cmocka_unit_test(test_two_in_flight),
        cmocka_unit_test(test_in_flight_history),
        cmocka_unit_test(test_in_flight_length),
    };
    return cmocka_run_group_tests_name("scheduler", tests, setup, NULL);
}
