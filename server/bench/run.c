#include "server/bench/run.h"

#include "config/base/clock.h"
#include "config/base/json.h"
#include "server/bench/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_MS             250
#define FAILED_CONNECTS_MAX 1000 /* in a row: the server is gone */

enum phase { PHASE_SETUP, PHASE_WARMUP, PHASE_LOAD, PHASE_END };

struct run {
    struct bench_args *args;
    struct stats *stats;
    struct workload workload;
    struct client client;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t interrupt;
    uv_poll_t arrival; /* a timerfd: libuv's own timers have millisecond steps */
    int timer_fd;
    enum phase phase;
    bool pumping, stopping, have_next, exhausted;
    struct work_item next;
    int64_t n_warmups_sent, n_warmups_ended;
    uint64_t last_tick_ns, last_tick_events;
    double cpu_before_s;
};

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* --- what comes next ------------------------------------------------------------------------- */

static bool fetch_next(struct run *r, uint64_t now_ns)
{
    const struct bench_args *a = r->args;
    if (r->stopping || r->exhausted) return false;
    if (!r->have_next) r->have_next = workload_next(&r->workload, &r->next);
    uint64_t at_ns = bench_args_open_loop(a) ? r->next.due_ns : now_ns - r->stats->start_ns;
    if (!r->have_next || (a->duration > 0 && (double)at_ns * 1e-9 >= a->duration))
        r->exhausted = true;
    return !r->exhausted;
}

static void arm_arrival(struct run *r, uint64_t due_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ns / 1000000000u),
                                           .tv_nsec = (long)(due_ns % 1000000000u)}};
    timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &when, NULL); /* the clock of clock_now_ns */
}

static void send_warmups(struct run *r)
{
    int64_t at_once = r->args->concurrency > 0 ? r->args->concurrency : BENCH_CONCURRENCY_PRESET;
    while (r->n_warmups_sent < r->args->num_warmups && r->client.n_busy < at_once && !r->stopping) {
        struct work_item item = workload_warmup(&r->workload, r->n_warmups_sent++);
        client_send(&r->client, &item, 0, true);
    }
}

static void send_load(struct run *r)
{
    bool open = bench_args_open_loop(r->args);
    int64_t most = r->args->concurrency > 0 ? r->args->concurrency : INT64_MAX;
    for (uint64_t now_ns = clock_now_ns(); r->client.n_busy < most && fetch_next(r, now_ns);
         now_ns = clock_now_ns()) {
        uint64_t due_ns = r->stats->start_ns + r->next.due_ns;
        if (open && due_ns > now_ns) {
            arm_arrival(r, due_ns);
            return;
        }
        r->have_next = false;
        client_send(&r->client, &r->next, open ? due_ns : 0, false);
        if (r->client.n_failed_connects > FAILED_CONNECTS_MAX) r->stopping = true;
    }
}

static void start_load(struct run *r)
{
    r->phase = PHASE_LOAD;
    r->stats->max_in_flight = 0;
    r->cpu_before_s = cpu_seconds();
    r->stats->start_ns = r->stats->end_ns = r->last_tick_ns = clock_now_ns();
}

/* Sends whatever may be sent now and notices the end.  A request that fails at once comes back
 * here from within: the flag turns that recursion into another turn of the loop. */
static void pump(struct run *r)
{
    if (r->pumping) return;
    r->pumping = true;
    if (r->phase == PHASE_WARMUP && r->client.warmup_status) {
        client_abort_all(&r->client, OUTCOME_CANCELLED);
        r->phase = PHASE_END;
        uv_stop(&r->loop);
    }
    if (r->phase == PHASE_WARMUP) {
        send_warmups(r);
        bool sent = r->n_warmups_sent >= r->args->num_warmups || r->stopping;
        if (sent && r->client.n_busy == 0) start_load(r);
    }
    if (r->phase == PHASE_LOAD) {
        send_load(r);
        bool more = r->client.n_busy > 0 || fetch_next(r, clock_now_ns());
        if (!more) {
            r->phase = PHASE_END;
            r->stats->cpu_s = cpu_seconds() - r->cpu_before_s;
            uv_stop(&r->loop);
        }
    }
    r->pumping = false;
}

static void on_done(void *arg)
{
    pump(arg);
}

static void on_arrival(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct run *r = poll->data;
    uint64_t expirations;
    if (read(r->timer_fd, &expirations, sizeof(expirations)) < 0) return; /* another woke it */
    pump(r);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    (void)number;
    struct run *r = handle->data;
    r->stopping = true;
    client_abort_all(&r->client, OUTCOME_CANCELLED);
    pump(r);
}

/* --- progress -------------------------------------------------------------------------------- */

static void show_progress(struct run *r, uint64_t now_ns)
{
    const struct stats *s = r->stats;
    if (!r->args->progress || !isatty(STDERR_FILENO) || r->phase != PHASE_LOAD) return;
    uint64_t ended = 0;
    for (int i = 0; i < OUTCOME_COUNT; i++) ended += s->outcomes[i];
    uint64_t failed = ended - s->outcomes[OUTCOME_OK];
    double dt = (double)(now_ns - r->last_tick_ns) * 1e-9;
    double rate = (double)(s->n_events - r->last_tick_events) / dt;
    char total[32] = "";
    if (r->args->num_requests > 0)
        snprintf(total, sizeof(total), "/%lld", (long long)r->args->num_requests);
    else if (r->workload.n_rows > 0)
        snprintf(total, sizeof(total), "/%zu", r->workload.n_rows);
    fprintf(stderr, "\r\033[K%.0f s  %llu%s requests  %lld in flight  %.0f events/s  %llu failed",
            (double)(now_ns - s->start_ns) * 1e-9, (unsigned long long)ended, total,
            (long long)r->client.n_busy, rate, (unsigned long long)failed);
    fflush(stderr);
}

static void on_tick(uv_timer_t *timer)
{
    struct run *r = timer->data;
    uint64_t now_ns = clock_now_ns();
    client_expire(&r->client, now_ns);
    show_progress(r, now_ns);
    r->last_tick_ns = now_ns;
    r->last_tick_events = r->stats->n_events;
    pump(r); /* --duration may be over with nothing in flight */
}

/* --- set-up ---------------------------------------------------------------------------------- */

static enum status bad_answer(const char *path, int status, const struct strbuf *answer,
                              struct error *err)
{
    return error_set(err, STATUS_IO, "%s answered %d: %.200s", path, status,
                     answer->data ? answer->data : "");
}

/* The entry of /v1/models that is `name`, or the first. */
static const cJSON *model_entry(const cJSON *answer, const char *name)
{
    const cJSON *data = json_get(answer, "data"), *entry;
    if (!cJSON_IsArray(data)) return NULL;
    cJSON_ArrayForEach(entry, data)
    {
        const cJSON *id = json_get(entry, "id");
        if (cJSON_IsString(id) && (!name || strcmp(id->valuestring, name) == 0)) return entry;
    }
    return NULL;
}

static void fit_lengths(struct run *r, const cJSON *entry)
{
    int64_t context;
    if (!json_as_i64(json_get(entry, "max_model_len"), 2, INT32_MAX, &context)) return;
    if (bench_args_fit(r->args, context) && r->args->progress)
        fprintf(stderr,
                "inferd bench serve: --input-len %lld --output-len %lld, for a context of %lld "
                "tokens\n",
                (long long)r->args->input_len, (long long)r->args->output_len, (long long)context);
}

/* The model's name, given or the first that the server has, and what fits into it. */
static enum status find_model(struct run *r, char *model, size_t model_size, struct error *err)
{
    const char *name = r->args->model;
    struct strbuf answer;
    int status = 0;
    cJSON *item = NULL;
    struct error ignored;
    strbuf_init(&answer, CLIENT_BODY_MAX);
    enum status st = client_fetch(&r->client, "/v1/models", NULL, &status, &answer, err);
    if (st != STATUS_OK) goto out;
    if (status == 200)
        json_parse(answer.data ? answer.data : "", answer.len, NULL, &item, &ignored);
    const cJSON *entry = model_entry(item, name);
    if (name || entry)
        snprintf(model, model_size, "%s", name ? name : json_get(entry, "id")->valuestring);
    else if (status != 200)
        st = bad_answer("/v1/models", status, &answer, err);
    else
        st = error_set(err, STATUS_IO, "/v1/models names no model; use --model");
    if (entry) fit_lengths(r, entry);
out:
    cJSON_Delete(item);
    strbuf_free(&answer);
    return st;
}

static enum status learn_ids(struct run *r, struct error *err)
{
    if (!workload_needs_ids(&r->workload)) return STATUS_OK;
    struct strbuf body, answer;
    int status = 0;
    strbuf_init(&body, 0);
    strbuf_init(&answer, CLIENT_BODY_MAX);
    strbuf_add_str(&body, "{\"model\":");
    strbuf_add_json(&body, r->workload.model, strlen(r->workload.model));
    strbuf_add_str(&body, ",\"add_special_tokens\":false,\"prompt\":");
    strbuf_add_json(&body, workload_sample_text(), strlen(workload_sample_text()));
    strbuf_add_char(&body, '}');
    enum status st = client_fetch(&r->client, "/tokenize", body.data, &status, &answer, err);
    if (st == STATUS_OK && status != 200) st = bad_answer("/tokenize", status, &answer, err);
    if (st == STATUS_OK)
        st = workload_learn_ids(&r->workload, answer.data ? answer.data : "", answer.len, err);
    if (st != STATUS_OK) error_prepend(err, "cannot make prompts (--vocab-size N helps)");
    strbuf_free(&body);
    strbuf_free(&answer);
    return st;
}

static void raise_file_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

static enum status start_handles(struct run *r, struct error *err)
{
    r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (r->timer_fd < 0 || uv_poll_init(&r->loop, &r->arrival, r->timer_fd) != 0)
        return error_set(err, STATUS_IO, "cannot make a timer: %s", strerror(errno));
    r->arrival.data = r->tick.data = r->interrupt.data = r;
    uv_poll_start(&r->arrival, UV_READABLE, on_arrival);
    uv_timer_init(&r->loop, &r->tick);
    uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
    uv_signal_init(&r->loop, &r->interrupt);
    uv_signal_start_oneshot(&r->interrupt, on_interrupt, SIGINT); /* the second one kills */
    return STATUS_OK;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle) && handle->type != UV_TCP) uv_close(handle, NULL);
}

static void tear_down(struct run *r)
{
    client_close_all(&r->client);
    uv_walk(&r->loop, close_handle, NULL);
    while (uv_run(&r->loop, UV_RUN_DEFAULT) != 0) {
    } /* a uv_stop may be pending */
    uv_loop_close(&r->loop);
    if (r->timer_fd >= 0) close(r->timer_fd);
    client_free(&r->client);
    workload_free(&r->workload);
}

static enum status prepare(struct run *r, struct run_result *result, struct error *err)
{
    struct bench_url url;
    enum status st = bench_url_parse(r->args->url, &url, err);
    if (st == STATUS_OK) st = client_init(&r->client, &r->loop, &url, r->args->api_key, err);
    if (st == STATUS_OK) st = start_handles(r, err); /* the tick ends a set-up without answer */
    if (st == STATUS_OK) st = find_model(r, result->model, sizeof(result->model), err);
    if (st == STATUS_OK) st = workload_init(&r->workload, r->args, result->model, err);
    if (st == STATUS_OK) st = learn_ids(r, err);
    return st;
}

/* With the server's own words where they are found. */
static enum status refused_warmup(const struct client *c, struct error *err)
{
    cJSON *item = NULL;
    struct error ignored;
    json_parse(c->warmup_answer, strlen(c->warmup_answer), NULL, &item, &ignored);
    const cJSON *message = json_get(json_get(item, "error"), "message");
    error_set(err, STATUS_IO, "the warm-up was refused with %d: %.400s", c->warmup_status,
              cJSON_IsString(message) ? message->valuestring : c->warmup_answer);
    cJSON_Delete(item);
    return err->code;
}

enum status bench_run(struct bench_args *args, struct run_result *result, struct error *err)
{
    memset(result, 0, sizeof(*result));
    struct run r = {.args = args, .stats = &result->stats, .timer_fd = -1};
    if (uv_loop_init(&r.loop) != 0) return error_set(err, STATUS_IO, "cannot make an event loop");
    raise_file_limit();
    r.client.stats = &result->stats;
    r.client.workload = &r.workload;
    r.client.stream = args->stream;
    r.client.timeout_ns = (uint64_t)(args->timeout * 1e9);
    r.client.on_done = on_done;
    r.client.arg = &r;
    list_init(&r.client.idle);
    list_init(&r.client.busy);
    enum status st = prepare(&r, result, err);
    if (st == STATUS_OK) {
        result->seed = r.workload.seed;
        r.phase = PHASE_WARMUP;
        pump(&r);
        if (r.phase != PHASE_END) uv_run(&r.loop, UV_RUN_DEFAULT);
        if (args->progress && isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
        if (r.client.warmup_status) st = refused_warmup(&r.client, err);
    }
    tear_down(&r);
    return st;
}
