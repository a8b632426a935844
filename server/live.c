#include "server/live.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/limits.h"
#include "server/live_write.h"
#include "server/routes.h"
#include "server/version.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TICK_MS = 1000, /* while somebody looks on */
    COMMENT_TICKS = 15,
    STUCK_TICKS = 60,            /* a viewer that has taken nothing for so long is let go */
    BACKLOG_MAX_SIZE = 64 << 10, /* some three states */
    RATE_SAMPLES = 16,           /* the engine draws ten views a second */
};

struct viewer {
    struct live *live;
    struct http_exchange *x; /* NULL: free */
    int32_t tenant;
    bool ended;        /* its stream has ended; the exchange is still open */
    bool missed;       /* it was behind: the next state is due when it has caught up */
    int quiet_ticks;   /* since it was sent something */
    int stuck_ticks;   /* since it was seen to have read all */
    uint64_t n_points; /* told so far, of live_stats_n_closed */
};

struct rate_sample {
    uint64_t us, prompt, output;
};

struct live {
    struct app *app;
    uv_timer_t tick;
    struct viewer viewers[LIMIT_VIEWERS];
    int n_viewers;
    struct sched_view view; /* the latest */
    struct rate_sample samples[RATE_SAMPLES];
    uint64_t n_samples;
    const char *told_state; /* app_not_ready's word, or "ready" */
    bool told_rate;         /* the last state had a rate other than 0 */
    struct strbuf out;
};

/* --- time and rates ---------------------------------------------------------------------------- */

static double unix_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int64_t unix_offset_s(void)
{
    return clock_unix_s() - (int64_t)(clock_now_us() / 1000000);
}

static const struct rate_sample *last_sample(const struct live *l)
{
    return l->n_samples ? &l->samples[(l->n_samples - 1) % RATE_SAMPLES] : NULL;
}

static void add_sample(struct live *l)
{
    const struct sched_stats *s = &l->view.stats;
    l->samples[l->n_samples++ % RATE_SAMPLES] =
        (struct rate_sample){clock_now_us(), s->prompt_tokens, s->generation_tokens};
}

/* Over the last second: from the latest sample that is a second old, or the oldest there is. */
static void fill_rates(const struct live *l, struct live_state *s)
{
    const struct rate_sample *new = last_sample(l), *old = NULL;
    uint64_t n = l->n_samples < RATE_SAMPLES ? l->n_samples : RATE_SAMPLES;
    if (!new) return;
    for (uint64_t i = 1; i <= n; i++) {
        old = &l->samples[(l->n_samples - i) % RATE_SAMPLES];
        if (s->now_us - old->us >= 1000000) break;
    }
    double span = (double)(s->now_us - old->us) / 1e6;
    if (span < 1) span = 1; /* a view that has just begun to count */
    s->prompt_rate = (double)(new->prompt - old->prompt) / span;
    s->output_rate = (double)(new->output - old->output) / span;
}

/* --- events -------------------------------------------------------------------------------------- */

static const char *state_word(const struct app *a)
{
    const char *reason = app_not_ready(a, NULL);
    return reason ? reason : "ready";
}

static void begin_event(struct live *l, const char *name)
{
    strbuf_clear(&l->out);
    strbuf_addf(&l->out, "event: %s\ndata: ", name);
}

/* Without memory an event is left out: the next one tells more. */
static void send_event(struct live *l, struct viewer *v)
{
    strbuf_add_str(&l->out, "\n\n");
    if (l->out.failed) return;
    http_stream_write(v->x, l->out.data, l->out.len);
    http_stream_flush(v->x);
    v->quiet_ticks = 0;
}

static bool is_open(const struct viewer *v)
{
    return v->x && !v->ended;
}

/* Nothing more is kept for one that does not read what it got. */
static bool is_behind(const struct viewer *v)
{
    return http_stream_backlog(v->x) > BACKLOG_MAX_SIZE;
}

static void send_hello(struct live *l, struct viewer *v)
{
    const struct app *a = l->app;
    struct live_hello h = {
        .version = inferd_version(),
        .model = a->opts->served_model_name.n > 0 ? a->opts->served_model_name.items[0] : "",
        .max_model_len = a->max_model_len,
        .max_num_seqs = (int32_t)a->opts->max_num_seqs,
        .block_size = (int32_t)a->opts->block_size,
        .n_blocks = a->n_blocks > 0 ? a->n_blocks - 1 : 0};
    uint64_t now = clock_now_us();
    sched_view_shape(a->n_blocks, &h.n_cells, &h.blocks_per_cell);
    live_stats_advance(a->live_stats, now);
    v->n_points = live_stats_n_closed(a->live_stats);
    begin_event(l, "hello");
    live_write_hello(&l->out, &h, a->live_stats, now, unix_offset_s());
    send_event(l, v);
}

static void send_state(struct live *l, struct viewer *v)
{
    struct app *a = l->app;
    if (is_behind(v)) {
        v->missed = true;
        return;
    }
    struct live_state s = {.view = &l->view,
                           .state = l->told_state,
                           .unix_s = unix_now(),
                           .now_us = clock_now_us(),
                           .n_done = live_stats_n_done(a->live_stats),
                           .all_own = !a->auth,
                           .owner = v->tenant};
    fill_rates(l, &s);
    l->told_rate = s.prompt_rate > 0 || s.output_rate > 0;
    v->missed = false;
    begin_event(l, "state");
    live_write_state(&l->out, &s);
    send_event(l, v);
}

static void send_states(struct live *l)
{
    l->told_state = state_word(l->app);
    for (int i = 0; i < LIMIT_VIEWERS; i++)
        if (is_open(&l->viewers[i])) send_state(l, &l->viewers[i]);
}

static void send_points(struct live *l, struct viewer *v)
{
    const struct live_stats *s = l->app->live_stats;
    uint64_t n = live_stats_n_closed(s);
    for (; v->n_points < n && !is_behind(v); v->n_points++) {
        const struct live_point *p = live_stats_point(s, v->n_points, clock_now_us());
        if (!p) continue;
        begin_event(l, "point");
        live_write_point(&l->out, p, unix_offset_s());
        send_event(l, v);
    }
}

/* --- viewers ------------------------------------------------------------------------------------- */

static void on_closed(void *user, bool gone)
{
    struct viewer *v = user;
    struct live *l = v->live;
    (void)gone;
    v->x = NULL;
    if (--l->n_viewers > 0) return;
    uv_timer_stop(&l->tick);
    engine_loop_watch(l->app->engine, false);
}

static void end_viewer(struct viewer *v)
{
    v->ended = true;
    http_stream_end(v->x);
}

static void tick_viewer(struct live *l, struct viewer *v)
{
    static const char comment[] = ": idle\n\n";
    if (is_behind(v)) {
        if (++v->stuck_ticks >= STUCK_TICKS) end_viewer(v);
        return;
    }
    v->stuck_ticks = 0;
    send_points(l, v);
    if (v->missed) send_state(l, v);
    if (++v->quiet_ticks < COMMENT_TICKS) return;
    v->quiet_ticks = 0;
    http_stream_write(v->x, comment, sizeof(comment) - 1);
    http_stream_flush(v->x);
}

static void on_tick(uv_timer_t *t)
{
    struct live *l = t->data;
    struct app *a = l->app;
    uint64_t now = clock_now_us();
    const struct rate_sample *last = last_sample(l);
    live_stats_advance(a->live_stats, now);
    /* The engine draws no more views when it has nothing to do, or hangs. */
    bool silent = !last || now - last->us >= (uint64_t)TICK_MS * 1000;
    if (silent && l->told_rate) add_sample(l);
    if ((silent && l->told_rate) || strcmp(state_word(a), l->told_state) != 0) send_states(l);
    for (int i = 0; i < LIMIT_VIEWERS; i++)
        if (is_open(&l->viewers[i])) tick_viewer(l, &l->viewers[i]);
}

static struct viewer *find_free(struct live *l)
{
    for (int i = 0; i < LIMIT_VIEWERS; i++)
        if (!l->viewers[i].x) return &l->viewers[i];
    return NULL;
}

void live_serve(struct app *a, struct http_exchange *x)
{
    struct live *l = a->live;
    struct viewer *v = find_free(l);
    struct error err;
    if (!v) {
        error_set(&err, STATUS_UNAVAILABLE,
                  "%d viewers look on already; a place is free when one of them leaves.",
                  LIMIT_VIEWERS);
        respond_error(x, &err);
        return;
    }
    http_add_header(x, "Cache-Control", "no-store");
    http_add_header(x, "X-Accel-Buffering", "no"); /* nginx would hold events back */
    if (strcmp(http_method(x), "HEAD") == 0) {
        http_respond(x, 200, "text/event-stream; charset=utf-8", "", 0);
        return;
    }
    *v = (struct viewer){.live = l, .x = x, .tenant = app_tenant(a, x)};
    http_set_closed(x, on_closed, v);
    http_stream_begin(x, 200, "text/event-stream; charset=utf-8");
    if (l->n_viewers++ == 0) {
        l->n_samples = 0;
        uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
    }
    l->told_state = state_word(a);
    send_hello(l, v);
    engine_loop_watch(a->engine, true); /* on_view follows, unless the engine cannot */
    if (app_not_ready(a, NULL)) v->missed = true;
}

/* --- what the server tells ----------------------------------------------------------------------- */

void live_on_view(void *app)
{
    struct app *a = app;
    struct live *l = a->live;
    if (l->n_viewers == 0 || !engine_loop_get_view(a->engine, &l->view)) return;
    const struct sched_stats *s = &l->view.stats;
    double total = s->blocks_total > 0 ? s->blocks_total : 1;
    if (s->n_running + s->n_waiting > 0)
        live_stats_set_gauges(
            a->live_stats, clock_now_us(),
            (struct live_gauges){s->n_running, s->n_waiting, s->blocks_held / total});
    add_sample(l);
    send_states(l);
}

void live_on_ready(struct app *a)
{
    struct live *l = a->live;
    if (l->n_viewers == 0) return;
    for (int i = 0; i < LIMIT_VIEWERS; i++)
        if (is_open(&l->viewers[i])) send_hello(l, &l->viewers[i]);
    engine_loop_watch(a->engine, true);
}

void live_on_drain(struct app *a)
{
    struct live *l = a->live;
    send_states(l);
    for (int i = 0; i < LIMIT_VIEWERS; i++)
        if (is_open(&l->viewers[i])) end_viewer(&l->viewers[i]);
    uv_timer_stop(&l->tick);
}

int live_n_viewers(const struct app *a)
{
    return a->live->n_viewers;
}

struct live *live_new(struct app *a)
{
    struct live *l = calloc(1, sizeof(*l));
    if (!l) return NULL;
    l->app = a;
    l->told_state = "loading";
    strbuf_init(&l->out, 0);
    uv_timer_init(a->loop, &l->tick);
    l->tick.data = l;
    return l;
}

void live_close(struct app *a)
{
    uv_close((uv_handle_t *)&a->live->tick, NULL);
}

void live_free(struct live *l)
{
    if (!l) return;
    strbuf_free(&l->out);
    free(l);
}
