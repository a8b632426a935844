/* The viewers of /live: server/live.c over exchanges that the test reads or leaves unread, an engine
 * that the test plays, and a timer that the test rings: no second is waited for. */

#include "config/base/clock.h"
#include "config/limits.h"
#include "server/live.h"
#include "server/live_stats.h"
#include "server/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- what stands around live.c ------------------------------------------------------------------- */

struct http_exchange {
    struct strbuf sent, unread; /* all of it; what the client has not taken */
    bool reads, begun, ended;
    int status; /* of a refusal */
    http_closed_fn *on_closed;
    void *user;
};

enum { N_EXCHANGES = LIMIT_VIEWERS + 1, COMMENT_TICKS = 15, STUCK_TICKS = 60 };

static struct http_exchange exchanges[N_EXCHANGES];
static struct options options;
static struct app app;
static uv_loop_t loop;
static const char *not_ready;
static uint64_t now_us;
static bool watched;
static int n_asked; /* for a view at once */
static struct sched_view view;

uint64_t clock_now_us(void)
{
    return now_us;
}

uint64_t clock_now_ns(void)
{
    return now_us * 1000;
}

int64_t clock_unix_s(void)
{
    return (int64_t)(now_us / 1000000);
}

const char *http_method(const struct http_exchange *x)
{
    (void)x;
    return "GET";
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    (void)x, (void)name, (void)value;
}

void http_respond(struct http_exchange *x, int status, const char *content_type, const char *body,
                  size_t body_len)
{
    (void)content_type;
    x->status = status;
    strbuf_add(&x->sent, body, body_len);
}

void http_set_closed(struct http_exchange *x, http_closed_fn *fn, void *user)
{
    x->on_closed = fn;
    x->user = user;
}

void http_stream_begin(struct http_exchange *x, int status, const char *content_type)
{
    (void)content_type;
    assert_int_equal(status, 200);
    x->begun = true;
}

void http_stream_write(struct http_exchange *x, const char *data, size_t len)
{
    assert_true(x->begun && !x->ended);
    strbuf_add(&x->sent, data, len);
    strbuf_add(&x->unread, data, len);
}

void http_stream_flush(struct http_exchange *x)
{
    if (x->reads) strbuf_clear(&x->unread);
}

void http_stream_end(struct http_exchange *x)
{
    assert_false(x->ended);
    x->ended = true;
}

size_t http_stream_backlog(const struct http_exchange *x)
{
    return x->unread.len;
}

void respond_error(struct http_exchange *x, const struct error *err)
{
    x->status = status_http(err->code);
    strbuf_add_str(&x->sent, err->message);
}

const char *app_not_ready(const struct app *a, const char **sentence)
{
    (void)a;
    if (sentence) *sentence = "";
    return not_ready;
}

int app_tenant(const struct app *a, const struct http_exchange *x)
{
    (void)a, (void)x;
    return -1;
}

void engine_loop_watch(struct engine_loop *l, bool on)
{
    (void)l;
    watched = on;
    n_asked += on;
}

bool engine_loop_get_view(struct engine_loop *l, struct sched_view *out)
{
    (void)l;
    *out = view;
    return true;
}

/* --- playing ------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    options = (struct options){.max_num_seqs = 4, .block_size = 16};
    app = (struct app){.loop = &loop, .opts = &options, .n_blocks = 65, .max_model_len = 64};
    app.live_stats = live_stats_new();
    app.live = live_new(&app);
    view = (struct sched_view){.stats = {.blocks_total = 64, .blocks_free = 64}, .n_cells = 64};
    now_us = 1000000000;
    not_ready = NULL;
    watched = false;
    n_asked = 0;
    for (int i = 0; i < N_EXCHANGES; i++) {
        exchanges[i] = (struct http_exchange){.reads = true};
        strbuf_init(&exchanges[i].sent, 0);
        strbuf_init(&exchanges[i].unread, 0);
    }
    return app.live && app.live_stats ? 0 : -1;
}

static void close_exchange(struct http_exchange *x)
{
    http_closed_fn *fn = x->on_closed;
    x->on_closed = NULL;
    if (fn) fn(x->user, true);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N_EXCHANGES; i++) {
        close_exchange(&exchanges[i]);
        strbuf_free(&exchanges[i].sent);
        strbuf_free(&exchanges[i].unread);
    }
    live_close(&app);
    uv_run(&loop, UV_RUN_DEFAULT);
    live_free(app.live);
    live_stats_free(app.live_stats);
    return uv_loop_close(&loop);
}

static void find_timer(uv_handle_t *h, void *found)
{
    if (h->type == UV_TIMER) *(uv_timer_t **)found = (uv_timer_t *)h;
}

static uv_timer_t *timer(void)
{
    uv_timer_t *t = NULL;
    uv_walk(&loop, find_timer, &t);
    assert_non_null(t);
    return t;
}

/* n seconds pass. */
static void tick(int n)
{
    uv_timer_t *t = timer();
    assert_true(uv_is_active((uv_handle_t *)t));
    assert_int_equal(uv_timer_get_repeat(t), 1000);
    for (int i = 0; i < n; i++) {
        now_us += 1000000;
        t->timer_cb(t);
    }
}

/* The engine draws n views, a tenth of a second apart. */
static void draw(int n)
{
    for (int i = 0; i < n; i++) {
        now_us += 100000;
        live_on_view(&app);
    }
}

static struct http_exchange *look_on(int i)
{
    live_serve(&app, &exchanges[i]);
    return &exchanges[i];
}

static int count(const struct http_exchange *x, const char *text)
{
    int n = 0;
    if (!x->sent.len) return 0;
    for (const char *p = x->sent.data; (p = strstr(p, text)); p += strlen(text)) n++;
    return n;
}

static const char *last(const struct http_exchange *x, const char *text)
{
    const char *found = NULL;
    for (const char *p = x->sent.data; (p = strstr(p, text)); p++) found = p;
    return found;
}

/* --- tests ---------------------------------------------------------------------------------------- */

static const char hello_event[] = "event: hello\n", state_event[] = "event: state\n";
static const char comment[] = ": idle\n\n";

/* What a viewer has not read stays within a few states, whatever the engine does; the others miss
 * nothing; and the last state is told once, when it has caught up. */
static void test_slow_viewer(void **state)
{
    (void)state;
    struct http_exchange *slow = look_on(0), *quick = look_on(1);
    slow->reads = false;
    for (int32_t i = 0; i < SCHED_VIEW_ROWS; i++)
        view.running[i] = (struct sched_view_choice){.request = (uint64_t)i + 1, .n = 1};
    view.n_running = view.n_choices = SCHED_VIEW_ROWS;
    size_t most = 0;
    for (uint64_t i = 1; i <= 1000; i++) {
        view.stats.n_preemptions = i;
        draw(1);
        if (slow->unread.len > most) most = slow->unread.len;
    }
    assert_int_equal(count(quick, state_event), 1000);
    assert_in_range(count(slow, state_event), 1, 50);
    assert_true(most < 128 << 10);
    int n = count(slow, state_event);
    assert_null(strstr(slow->sent.data, "\"preemptions\":1000,"));
    tick(3);
    assert_int_equal(count(slow, state_event), n);
    strbuf_clear(&slow->unread);
    slow->reads = true;
    tick(1);
    assert_int_equal(count(slow, state_event), n + 1);
    assert_non_null(strstr(last(slow, state_event), "\"preemptions\":1000,"));
    tick(3); /* nothing has changed: once is enough */
    assert_int_equal(count(slow, state_event), n + 1);
    draw(1);
    assert_int_equal(count(slow, state_event), n + 2);
}

/* One that takes nothing for a minute is let go, and until its connection has closed it costs
 * nothing more; one that reads in time is kept. */
static void test_stuck_viewer(void **state)
{
    (void)state;
    struct http_exchange *stuck = look_on(0), *late = look_on(1);
    stuck->reads = late->reads = false;
    for (int32_t i = 0; i < SCHED_VIEW_ROWS; i++)
        view.running[i] = (struct sched_view_choice){.request = 9, .n = 1};
    view.n_running = view.n_choices = SCHED_VIEW_ROWS;
    draw(100);
    tick(STUCK_TICKS - 1);
    assert_false(stuck->ended || late->ended);
    strbuf_clear(&late->unread);
    tick(1);
    assert_true(stuck->ended);
    assert_false(late->ended);
    size_t len = stuck->sent.len;
    draw(100);
    tick(2);
    assert_int_equal(stuck->sent.len, len);
    close_exchange(stuck);
    assert_int_equal(live_n_viewers(&app), 1);
}

/* A stream says that it is alive after 15 s in which it had nothing to say, and again after each 15
 * more; whatever is said begins the count anew. */
static void test_comment_of_silence(void **state)
{
    (void)state;
    struct http_exchange *x = look_on(0);
    draw(1);
    tick(COMMENT_TICKS - 1);
    assert_int_equal(count(x, comment), 0);
    tick(1);
    assert_int_equal(count(x, comment), 1);
    tick(COMMENT_TICKS - 1);
    assert_int_equal(count(x, comment), 1);
    draw(1);
    tick(COMMENT_TICKS - 1);
    assert_int_equal(count(x, comment), 1);
    tick(1);
    assert_int_equal(count(x, comment), 2);
    assert_int_equal(count(x, state_event), 2);
}

/* Who comes while the model loads is told so, gets hello again when it is there, and with it the
 * first view. */
static void test_loading(void **state)
{
    (void)state;
    not_ready = "loading";
    app.n_blocks = 0;
    struct http_exchange *x = look_on(0);
    assert_int_equal(count(x, hello_event), 1);
    assert_non_null(strstr(x->sent.data, "\"n_blocks\":0,"));
    tick(1);
    assert_int_equal(count(x, state_event), 1);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"loading\""));
    tick(2); /* told once */
    assert_int_equal(count(x, state_event), 1);
    not_ready = NULL;
    app.n_blocks = 65;
    int before = n_asked;
    live_on_ready(&app);
    assert_int_equal(n_asked, before + 1);
    assert_int_equal(count(x, hello_event), 2);
    assert_non_null(strstr(last(x, hello_event), "\"n_blocks\":64,"));
    draw(1);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"ready\""));
}

/* An engine that has failed or hangs draws no views: the tick tells. */
static void test_failed_and_hanging(void **state)
{
    (void)state;
    struct http_exchange *x = look_on(0);
    draw(1);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"ready\""));
    not_ready = "engine_hangs";
    tick(2);
    assert_int_equal(count(x, state_event), 2);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"engine_hangs\""));
    not_ready = NULL;
    tick(1);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"ready\""));
    not_ready = "engine_failed";
    tick(2);
    assert_int_equal(count(x, state_event), 4);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"engine_failed\""));
    live_on_drain(&app);
    assert_true(x->ended);
    assert_non_null(strstr(last(x, state_event), "\"state\":\"engine_failed\""));
    assert_false(uv_is_active((uv_handle_t *)timer()));
}

/* The engine is asked for views as long as somebody looks on, and not longer. */
static void test_viewers_are_few(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_VIEWERS; i++) assert_true(look_on(i)->begun);
    assert_int_equal(live_n_viewers(&app), LIMIT_VIEWERS);
    struct http_exchange *more = look_on(LIMIT_VIEWERS);
    assert_false(more->begun);
    assert_int_equal(more->status, 503);
    assert_non_null(strstr(more->sent.data, "viewers look on already"));
    assert_int_equal(live_n_viewers(&app), LIMIT_VIEWERS);
    close_exchange(&exchanges[3]);
    strbuf_clear(&more->sent);
    assert_true(look_on(LIMIT_VIEWERS)->begun);
    assert_int_equal(count(more, hello_event), 1);
    for (int i = 0; i < N_EXCHANGES; i++) {
        assert_true(watched);
        close_exchange(&exchanges[i]);
    }
    assert_int_equal(live_n_viewers(&app), 0);
    assert_false(watched);
    assert_false(uv_is_active((uv_handle_t *)timer()));
    live_on_view(&app); /* one that was on its way: nobody is there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slow_viewer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stuck_viewer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_comment_of_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_and_hanging, setup, teardown),
        cmocka_unit_test_setup_teardown(test_viewers_are_few, setup, teardown),
    };
    return cmocka_run_group_tests_name("live_viewers", tests, NULL, NULL);
}
