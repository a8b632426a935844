/* scheduler/view.h in known situations; tests/sim checks its sums in random company. */

#include "scheduler/state.h"
#include "scheduler/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct sched *s;
    struct sample_out samples[64];
    int32_t next_token; /* every draw gives this, then one more: none is an end */
    const struct step *step;
};

static int32_t text[100];

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
    (void)arg, (void)ev;
}

static void rig_open(struct rig *g, const struct sched_config *c)
{
    struct error err = {0};
    *g = (struct rig){.next_token = 1000};
    for (int i = 0; i < 100; i++) text[i] = 10 + i;
    assert_int_equal(sched_create(&g->s, c, on_event, g, &err), STATUS_OK);
}

static void rig_close(struct rig *g)
{
    struct error err = {0};
    if (!sched_check_invariants(g->s, &err)) fail_msg("%s", err.message);
    sched_destroy(g->s);
}

static void apply(struct rig *g)
{
    struct step_result r = {
        .id = g->step->id, .n_samples = g->step->n_samples, .samples = g->samples};
    for (int32_t i = 0; i < r.n_samples; i++)
        g->samples[i] = (struct sample_out){.token = g->next_token++};
    sched_apply(g->s, &r, 0);
}

static bool run_step(struct rig *g)
{
    g->step = sched_plan(g->s, 0);
    if (g->step) apply(g);
    return g->step;
}

static void run_all(struct rig *g)
{
    for (int i = 0; run_step(g); i++) assert_true(i < 10000);
    assert_false(sched_has_work(g->s));
}

static struct request make_request(const int32_t *prompt, int32_t n_prompt, int32_t max_tokens)
{
    return (struct request){
        .prompt = prompt,
        .n_prompt = n_prompt,
        .n = 1,
        .max_tokens = max_tokens,
        .params = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .n_logprobs = -1}};
}

static void submit(struct rig *g, struct request *r)
{
    struct error err = {0};
    if (sched_submit(g->s, r, &err) != STATUS_OK) fail_msg("submit: %s", err.message);
}

static void run_once(struct rig *g, int32_t n_prompt)
{
    struct request r = make_request(text, n_prompt, 1);
    submit(g, &r);
    run_all(g);
}

static struct sched_stats stats(const struct rig *g)
{
    struct sched_stats s;
    sched_get_stats(g->s, &s);
    return s;
}

static struct sched_view view;
static int64_t owners[4096];

static int32_t n_cells(int64_t what)
{
    int32_t n = 0;
    for (int32_t c = 0; c < view.n_cells; c++) n += view.cells[c] == what;
    return n;
}

static void test_view_rows(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.max_num_seqs = 3;
    rig_open(&g, &c);
    run_once(&g, 14); /* request 1 leaves three cached blocks */
    sched_view_fill(g.s, &view, owners);
    assert_int_equal(view.n_choices + view.n_running + view.n_waiting, 0);
    assert_int_equal(view.n_cells, 32);
    assert_int_equal(view.blocks_per_cell, 1);
    assert_int_equal(n_cells(VIEW_CACHED), 3);
    assert_int_equal(n_cells(VIEW_FREE), 29);

    struct request a = make_request(text, 14, 5), b = make_request(text + 40, 6, 200);
    struct request d = make_request(text + 20, 7, 3);
    a.owner = 7, a.arrival_us = 70, d.owner = 9;
    b.n = 2;
    submit(&g, &a);
    submit(&g, &b);
    submit(&g, &d);
    run_step(&g);
    sched_view_fill(g.s, &view, owners);
    assert_int_equal(view.n_choices, 3);
    assert_int_equal(view.n_running, 3);
    const struct sched_view_choice *r = view.running;
    assert_true(r[0].request == a.sequence && r[0].owner == 7 && r[0].arrival_us == 70);
    assert_int_equal(r[0].n_cached, 12);
    assert_int_equal(r[0].n_computed, 14);
    assert_int_equal(r[0].n_output, 1);
    assert_int_equal(r[0].max_output, 5);
    assert_int_equal(r[0].state, VIEW_DECODE);
    assert_true(r[1].request == b.sequence && r[2].request == b.sequence);
    assert_int_equal(r[1].choice, 0);
    assert_int_equal(r[2].choice, 1);
    assert_int_equal(r[2].n, 2);
    assert_int_equal(r[2].max_output, 94); /* what the context leaves */
    assert_int_equal(view.n_waiting, 1);
    assert_true(view.waiting[0].request == d.sequence && view.waiting[0].owner == 9);
    assert_int_equal(view.waiting[0].n_prompt, 7);
    assert_int_equal(view.waiting[0].max_output, 3);
    /* Both choices of b hold the same blocks, and are one request. */
    assert_int_equal(n_cells((int64_t)a.sequence), 4);
    assert_int_equal(n_cells((int64_t)b.sequence), 2);
    assert_int_equal(n_cells(VIEW_SHARED), 0);
    sched_cancel(g.s, &a);
    sched_cancel(g.s, &b);
    run_all(&g);
    rig_close(&g);
}

static void test_view_shared(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    rig_open(&g, &c);
    run_once(&g, 14);
    struct request a = make_request(text, 14, 5), b = make_request(text, 14, 5);
    submit(&g, &a);
    submit(&g, &b);
    run_step(&g);
    sched_view_fill(g.s, &view, owners);
    assert_int_equal(n_cells(VIEW_SHARED), 3);
    assert_int_equal(n_cells((int64_t)a.sequence), 1);
    assert_int_equal(n_cells((int64_t)b.sequence), 1);
    assert_int_equal(n_cells(VIEW_CACHED), 0);
    run_all(&g);
    rig_close(&g);
}

static void test_view_preempted(void **state)
{
    (void)state;
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 7;
    rig_open(&g, &c);
    struct request a = make_request(text, 8, 12), b = make_request(text + 30, 8, 12);
    submit(&g, &a);
    submit(&g, &b);
    while (stats(&g).n_preemptions == 0) run_step(&g);
    sched_view_fill(g.s, &view, owners);
    assert_int_equal(view.n_running, 2);
    assert_int_equal(view.running[1].state, VIEW_PREEMPTED);
    assert_int_equal(view.running[1].n_computed, 0);
    assert_true(view.running[1].n_output > 0);
    assert_int_equal(n_cells((int64_t)b.sequence), 0);
    run_all(&g);
    rig_close(&g);
}

/* Beyond the rows and cells there are: cut, with exact totals. */
static void test_view_bounds(void **state)
{
    (void)state;
    static struct request r[100];
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 2051; /* 2,050: three a cell, one in the last */
    c.max_waiting = 100;
    c.max_num_seqs = 4;
    rig_open(&g, &c);
    for (int i = 0; i < 100; i++) {
        r[i] = make_request(text, 12, 3);
        submit(&g, &r[i]);
    }
    g.step = sched_plan(g.s, 0);
    sched_view_fill(g.s, &view, owners); /* with a step in flight */
    assert_int_equal(view.n_running, 4);
    assert_int_equal(view.n_waiting, SCHED_VIEW_ROWS);
    assert_int_equal(view.stats.n_waiting, 96);
    assert_int_equal(view.blocks_per_cell, 3);
    assert_int_equal(view.n_cells, 684);
    assert_true(view.cells[0] > 0);
    apply(&g);
    while (sched_has_work(g.s)) {
        run_step(&g);
    }
    rig_close(&g);
}

/* Sequences that decode side by side take blocks in turn, here one of each a cell: all are seen. */
static void test_view_ties(void **state)
{
    (void)state;
    static struct request r[3];
    struct rig g;
    struct sched_config c = small_config();
    c.n_blocks = 2051; /* three a cell */
    c.max_num_seqs = 3;
    rig_open(&g, &c);
    for (int i = 0; i < 3; i++) {
        r[i] = make_request(text, 12, 50);
        submit(&g, &r[i]);
    }
    for (int i = 0; i < 40; i++) run_step(&g);
    sched_view_fill(g.s, &view, owners);
    assert_int_equal(view.blocks_per_cell, 3);
    assert_int_equal(view.n_running, 3);
    for (int i = 0; i < 3; i++) assert_true(n_cells((int64_t)r[i].sequence) > 0);
    while (sched_has_work(g.s)) run_step(&g);
    rig_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view_rows),      cmocka_unit_test(test_view_shared),
        cmocka_unit_test(test_view_preempted), cmocka_unit_test(test_view_bounds),
        cmocka_unit_test(test_view_ties),
    };
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
