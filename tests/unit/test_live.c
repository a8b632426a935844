/* The live view's numbers and text: server/live_stats.c and live_write.c. */

#include "server/live_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 1000000 };

static void near(double value, double expected, double tolerance)
{
    if (!(value >= expected * (1 - tolerance) && value <= expected * (1 + tolerance)))
        fail_msg("%g is not %g", value, expected);
}

static void test_quantiles(void **state)
{
    (void)state;
    static struct live_histogram h;
    assert_true(live_histogram_quantile(&h, 0.5) == 0);
    for (int i = 1; i <= 1000; i++) live_histogram_add(&h, i / 1000.0);
    near(live_histogram_quantile(&h, 0.5), 500, 0.06);
    near(live_histogram_quantile(&h, 0.99), 990, 0.06);
    near(live_histogram_quantile(&h, 0.001), 1, 0.06);
    live_histogram_add(&h, -1); /* unknown */
    assert_int_equal(h.n, 1000);

    static struct live_histogram edge;
    live_histogram_add(&edge, 0);
    near(live_histogram_quantile(&edge, 1), 0.05, 0.06);
    live_histogram_add(&edge, 1e9);
    assert_true(live_histogram_quantile(&edge, 1) > 600000);
    /* Each duration in its range is told within 5 %. */
    for (double t = 0.0001; t < 600; t *= 1.013) {
        struct live_histogram one = {0};
        live_histogram_add(&one, t);
        near(live_histogram_quantile(&one, 0.5), t * 1000, 0.051);
    }
}

static void test_seconds(void **state)
{
    (void)state;
    struct live_stats *s = live_stats_new();
    live_stats_add_prompt(s, 10 * S, 100);
    live_stats_add_token(s, 10 * S + 5, 0.25, -1);
    live_stats_add_token(s, 10 * S + 900000, -1, 0.01);
    assert_true(live_stats_wants_gauges(s, 10 * S + 900001));
    live_stats_set_gauges(s, 10 * S + 900001, (struct live_gauges){3, 1, 0.5});
    live_stats_set_gauges(s, 10 * S + 900002, (struct live_gauges){2, 2, 0.25});
    assert_false(live_stats_wants_gauges(s, 10 * S + 900003));
    assert_true(live_stats_wants_gauges(s, 11 * S));
    assert_int_equal(live_stats_n_closed(s), 0);
    live_stats_add_done(s, 12 * S, 2);
    assert_int_equal(live_stats_n_closed(s), 1);
    const struct live_point *p = live_stats_point(s, 0, 12 * S);
    assert_int_equal(p->second, 10);
    assert_int_equal(p->prompt, 100);
    assert_int_equal(p->output, 2);
    assert_int_equal(p->done, 0);
    assert_int_equal(p->gauges.running, 3);
    assert_int_equal(p->gauges.waiting, 2);
    near(p->gauges.kv, 0.5, 0);
    near(p->ttft_ms[0], 250, 0.06);
    near(p->itl_ms[1], 10, 0.06);
    assert_true(p->e2e_ms[0] == -1);
    /* What comes late is not lost, and does not open a second of the past. */
    live_stats_add_token(s, 11 * S, -1, -1);
    live_stats_advance(s, 13 * S);
    p = live_stats_point(s, 1, 13 * S);
    assert_int_equal(p->second, 12);
    assert_int_equal(p->output, 1);
    assert_int_equal(live_stats_n_done(s), 1);
    /* Gauges of an empty server make no point. */
    live_stats_set_gauges(s, 20 * S, (struct live_gauges){0, 0, 0});
    live_stats_advance(s, 21 * S);
    assert_int_equal(live_stats_n_closed(s), 2);
    live_stats_free(s);
    live_stats_add_token(NULL, S, 1, 1);
    live_stats_add_done(NULL, S, 1);
    assert_false(live_stats_wants_gauges(NULL, S));
}

static void test_history_bound(void **state)
{
    (void)state;
    struct live_stats *s = live_stats_new();
    for (uint64_t t = 1; t <= 1000; t++) live_stats_add_prompt(s, t * S, (int32_t)t);
    assert_int_equal(live_stats_n_closed(s), 999);
    assert_null(live_stats_point(s, 999, 1000 * (uint64_t)S)); /* still open */
    assert_null(live_stats_point(s, 0, 1000 * (uint64_t)S));
    assert_int_equal(live_stats_point(s, 998, 1000 * (uint64_t)S)->prompt, 999);
    assert_int_equal(live_stats_point(s, 700, 1000 * (uint64_t)S)->prompt, 701);
    assert_null(live_stats_point(s, 699, 1001 * (uint64_t)S)); /* too old */
    assert_null(live_stats_point(s, 998, 2000 * (uint64_t)S));
    struct strbuf out;
    strbuf_init(&out, 0);
    struct live_hello h = {.version = "1", .model = "a\"b", .n_cells = 4, .blocks_per_cell = 2};
    live_write_hello(&out, &h, s, 1000 * (uint64_t)S, 5);
    assert_non_null(strstr(out.data, "\"model\":\"a\\\"b\""));
    assert_non_null(strstr(out.data, "\"history\":[{\"t\":705,"));
    assert_null(strstr(out.data, "{\"t\":704,"));
    assert_non_null(strstr(out.data, "{\"t\":1004,\"prompt\":999,"));
    strbuf_free(&out);
    live_stats_free(s);
}

static void expect_runs(const int64_t *cells, int32_t n, const char *expected)
{
    struct strbuf out;
    strbuf_init(&out, 0);
    live_write_runs(&out, cells, n);
    assert_string_equal(out.data, expected);
    strbuf_free(&out);
}

static void test_runs(void **state)
{
    (void)state;
    const int64_t cells[] = {0, 0, 17, 17, 17, -2, -1, -1, 0};
    expect_runs(cells, 0, "[]");
    expect_runs(cells, 1, "[[0,1]]");
    expect_runs(cells, 2, "[[0,2]]");
    expect_runs(cells, 9, "[[0,2],[17,3],[-2,1],[-1,2],[0,1]]");
}

static struct sched_view view;

static void write_state(struct strbuf *out, bool all_own, int32_t owner)
{
    struct live_state s = {.view = &view,
                           .state = "ready",
                           .unix_s = 1732800000.125,
                           .now_us = 5 * S,
                           .n_done = 8,
                           .all_own = all_own,
                           .owner = owner};
    strbuf_clear(out);
    live_write_state(out, &s);
    assert_false(out->failed);
}

/* A key sees of others' requests how large they are, and not what the prefix cache knew. */
static void test_state(void **state)
{
    (void)state;
    view = (struct sched_view){.n_choices = 2, .n_running = 2, .n_waiting = 1, .n_cells = 2};
    view.running[0] = (struct sched_view_choice){.request = 4,
                                                 .arrival_us = 4 * S,
                                                 .owner = 0,
                                                 .n = 1,
                                                 .n_prompt = 50,
                                                 .n_cached = 32,
                                                 .n_computed = 60,
                                                 .n_output = 10,
                                                 .max_output = 20,
                                                 .state = VIEW_DECODE};
    view.running[1] = view.running[0];
    view.running[1].request = 5, view.running[1].owner = 1;
    view.running[1].n = 2, view.running[1].choice = 1, view.running[1].state = VIEW_PREEMPTED;
    view.running[1].n_computed = 40; /* of 50: tells that 32 were cached */
    view.waiting[0] =
        (struct sched_view_waiting){.request = 6, .owner = 1, .n_prompt = 9, .max_output = 3};
    struct strbuf out;
    strbuf_init(&out, 0);
    write_state(&out, false, 0);
    const char *first = "{\"id\":4,\"own\":true,\"prompt\":50,\"cached\":32,\"computed\":60,"
                        "\"output\":10,\"max\":20,\"age_ms\":1000,\"state\":\"decode\"}";
    const char *other = "{\"id\":5,\"own\":false,\"choice\":1,\"prompt\":50,\"cached\":0,"
                        "\"computed\":0,";
    assert_non_null(
        strstr(out.data, "{\"time\":1732800000.125,\"state\":\"ready\",\"n_running\":2"));
    assert_non_null(strstr(out.data, first));
    assert_non_null(strstr(out.data, other));
    assert_non_null(strstr(out.data, "\"state\":\"preempted\"}]"));
    assert_non_null(strstr(out.data, "[{\"id\":6,\"own\":false,\"prompt\":9,\"max\":3,"));
    assert_non_null(strstr(out.data, "\"runs\":[[0,2]]"));
    assert_non_null(strstr(out.data, "\"requests\":8"));
    write_state(&out, false, 1);
    assert_non_null(strstr(out.data, "{\"id\":4,\"own\":false,\"prompt\":50,\"cached\":0,"
                                     "\"computed\":60,"));
    assert_non_null(strstr(out.data,
                           "{\"id\":5,\"own\":true,\"choice\":1,\"prompt\":50,\"cached\":32,"
                           "\"computed\":40,"));
    write_state(&out, true, -1);
    assert_null(strstr(out.data, "\"own\":false"));
    strbuf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),     cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_history_bound), cmocka_unit_test(test_runs),
        cmocka_unit_test(test_state),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
