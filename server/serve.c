#include "server/serve.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/hash.h"
#include "config/base/log.h"
#include "server/auth.h"
#include "server/cli.h"
#include "server/live.h"
#include "server/live_stats.h"
#include "server/load_model.h"
#include "server/model_dir.h"
#include "server/routes.h"
#include "server/text_job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    DRAIN_TICK_MS = 10, /* how often a draining server looks whether it is done */
    FLUSH_MS = 1000,    /* for the last bytes, once no request runs any more */
    STOP_MAX_S = 5,     /* for the engine's last step; then the process exits without it */
    SPARE_DESCRIPTORS = 256,
};

enum phase { PHASE_LOADING, PHASE_RUNNING, PHASE_DRAINING, PHASE_FLUSHING, PHASE_STOPPED };

struct serve {
    struct app app;
    struct options opts;
    struct auth *auth;
    uv_loop_t loop;
    uv_signal_t sigterm, sigint;
    uv_timer_t drain_tick;
    uv_async_t loaded;
    uv_thread_t loader;
    struct loaded_model model;
    enum status load_status; /* the loader's, until `loaded` */
    struct error load_error;
    bool loader_running;
    enum phase phase;
    uint64_t start_us, deadline_us; /* deadline_us: of the present phase */
    int exit_code;
};

static const char *command(const struct serve *s)
{
    return s->app.render_only ? "render-server" : "serve";
}

/* Requests, and jobs on the pool whose client has left. */
static int n_running(const struct serve *s)
{
    return api_n_active(&s->app) + text_jobs_n_active();
}

/* --- the end ----------------------------------------------------------------------------------- */

static void on_second_signal(int signum)
{
    _exit(128 + signum);
}

/* The loop may be blocked in the last moments: the second signal must not depend on it. */
static void arm_second_signal(void)
{
    struct sigaction sa = {.sa_handler = on_second_signal};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
}

/* Nobody waits for jobs of the pool any more, and what has begun there cannot be stopped: the
 * process does not outlive its server for them.  The log is written, the sockets are closed. */
static void leave_jobs_behind(const struct serve *s, int n_text, int n_preparing)
{
    log_event(LOG_WARN, "shutdown_jobs_left", "tokenize_or_render=%d preparing=%d", n_text,
              n_preparing);
    fflush(NULL);
    _exit(s->exit_code);
}

static void close_all(struct serve *s)
{
    s->phase = PHASE_STOPPED;
    http_close(s->app.http);
    int n_text = text_jobs_n_active(), n_preparing = api_n_preparing(&s->app);
    if (n_text + n_preparing > 0) leave_jobs_behind(s, n_text, n_preparing);
    uv_close((uv_handle_t *)&s->drain_tick, NULL);
    uv_close((uv_handle_t *)&s->loaded, NULL);
    live_close(&s->app);
}

static void on_engine_hangs(int signum)
{
    static const char line[] = "inferd: the engine hangs; exit without it\n";
    (void)signum;
    if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0) _exit(2);
    _exit(1);
}

/* Running requests have ended or their time is over. */
static void stop_engine(struct serve *s)
{
    struct engine_loop *l = s->app.engine;
    if (l) {
        /* The engine's thread is joined: a step that never ends must not hold up the exit. */
        struct sigaction sa = {.sa_handler = on_engine_hangs};
        sigaction(SIGALRM, &sa, NULL);
        alarm(engine_loop_stalled_s(l) > STOP_MAX_S ? 1 : STOP_MAX_S);
        engine_loop_stop(l); /* delivers the last events */
        alarm(0);
    }
    s->app.engine = NULL;
    s->phase = PHASE_FLUSHING;
    s->deadline_us = clock_now_us() + FLUSH_MS * 1000;
}

static void on_drain_tick(uv_timer_t *t)
{
    struct serve *s = t->data;
    uint64_t now = clock_now_us();
    bool idle = http_open_exchanges(s->app.http) <= live_n_viewers(&s->app);
    /* For a job whose client has left nobody waits. */
    int n_generating = api_n_active(&s->app) - api_n_preparing(&s->app);
    if (s->phase == PHASE_DRAINING && ((idle && n_generating == 0) || now >= s->deadline_us)) {
        if (!idle) log_event(LOG_WARN, "shutdown_timeout", "aborted=%d", n_running(s));
        api_cancel_preparing(&s->app);
        text_jobs_cancel();
        stop_engine(s);
    } else if (s->phase == PHASE_FLUSHING && (idle || now >= s->deadline_us)) {
        close_all(s);
    }
}

static void begin_drain(struct serve *s, double timeout)
{
    s->app.draining = true;
    live_on_drain(&s->app);
    s->phase = PHASE_DRAINING;
    s->deadline_us = clock_now_us() + (uint64_t)(timeout * 1e6);
    uv_close((uv_handle_t *)&s->sigterm, NULL);
    uv_close((uv_handle_t *)&s->sigint, NULL);
    arm_second_signal();
    uv_timer_start(&s->drain_tick, on_drain_tick, 0, DRAIN_TICK_MS);
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct serve *s = h->data;
    log_event(LOG_INFO, "shutdown", "signal=%s running=%d timeout_s=%.1f",
              signum == SIGTERM ? "SIGTERM" : "SIGINT", n_running(s), s->opts.shutdown_timeout);
    /* Nothing is to be saved while the model loads, and the loader cannot be interrupted. */
    if (s->loader_running) _exit(0);
    begin_drain(s, s->opts.shutdown_timeout);
}

static void on_engine_failed(void *arg, const struct error *err)
{
    struct serve *s = arg;
    (void)err; /* logged where it happened */
    s->app.failed = true;
    s->exit_code = 1;
    /* Every request has its last event; what is left is to send them, and to let a probe see. */
    if (s->phase == PHASE_RUNNING) begin_drain(s, 1);
}

/* --- the start --------------------------------------------------------------------------------- */

static const char *model_name(const struct serve *s)
{
    return s->opts.served_model_name.items[0];
}

/* A text inside single quotes of a shell command. */
static void add_shell_quoted(struct strbuf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            strbuf_add_str(out, "'\\''");
        else
            strbuf_add_char(out, *p);
    }
}

/* What a first request may look like. */
static const char *example_path(const struct serve *s)
{
    bool chat = s->app.chat_templates, render = s->app.render_only;
    if (chat) return render ? "/v1/chat/completions/render" : "/v1/chat/completions";
    return render ? "/v1/completions/render" : "/v1/completions";
}

static void add_example_body(struct strbuf *out, const struct serve *s)
{
    strbuf_add_str(out, "{\"model\": ");
    strbuf_add_json(out, model_name(s), strlen(model_name(s)));
    strbuf_add_str(out, s->app.chat_templates
                            ? ", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]"
                            : ", \"prompt\": \"Once upon a time\"");
    strbuf_add_str(out, s->app.render_only ? "}" : ", \"max_tokens\": 64, \"stream\": true}");
}

/* "http://HOST:PORT"; `usable`: one that a client on this machine can use. */
static void add_address(struct strbuf *out, const struct serve *s, bool usable)
{
    const char *host = s->opts.host;
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || *host == '\0';
    if (any && usable) host = "127.0.0.1";
    bool v6 = strchr(host, ':') != NULL;
    strbuf_addf(out, "http://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "",
                http_port(s->app.http));
}

/* A parent that gave a descriptor away and asks for another thing by mistake learns it at once. */
static enum status check_ready_fd(const struct options *o, struct error *err)
{
    if (o->ready_fd == 0) return STATUS_OK;
    /* Closed, its number would be the next client's, who would get the log. */
    if (o->ready_fd == STDERR_FILENO)
        return error_set_param(err, STATUS_INVALID, "ready-fd",
                               "--ready-fd: descriptor 2 is standard error, where the log goes");
    int flags = fcntl((int)o->ready_fd, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return STATUS_OK;
    return error_set_param(
        err, STATUS_INVALID, "ready-fd",
        "--ready-fd: descriptor %lld is not open for writing; the process that "
        "starts the server opens it, such as: inferd serve DIR --ready-fd 3 3>FIFO",
        (long long)o->ready_fd);
}

static void tell_ready_fd(const struct serve *s)
{
    int fd = (int)s->opts.ready_fd;
    struct strbuf line;
    strbuf_init(&line, 0);
    add_address(&line, s, true);
    strbuf_add_char(&line, '\n');
    /* A few bytes into a pipe: all of them, or nobody reads. */
    if (line.failed || write(fd, line.data, line.len) != (ssize_t)line.len)
        log_event(LOG_WARN, "ready_fd_failed", "fd=%d error=%s", fd, strerror(errno));
    /* Standard output stays taken, so that nothing that is printed goes to a client. */
    int null = fd == STDOUT_FILENO ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
    if (null < 0 || dup2(null, fd) < 0) close(fd);
    if (null >= 0) close(null);
    strbuf_free(&line);
}

/* Where lines are JSON, nothing else may stand between them. */
static void log_ready(struct serve *s)
{
    struct strbuf at;
    strbuf_init(&at, 0);
    add_address(&at, s, true);
    if (!at.failed)
        log_event(LOG_INFO, "ready", "address=%s model=%s seconds=%.2f", at.data, model_name(s),
                  (double)(clock_now_us() - s->start_us) / 1e6);
    strbuf_free(&at);
}

static void print_ready(struct serve *s)
{
    struct strbuf body, out;
    strbuf_init(&body, 0);
    strbuf_init(&out, 0);
    add_example_body(&body, s);
    strbuf_add_str(&out, "inferd ready: ");
    add_address(&out, s, false);
    strbuf_addf(&out, " (model %s, %.2f s)\ncurl -N ", model_name(s),
                (double)(clock_now_us() - s->start_us) / 1e6);
    add_address(&out, s, true);
    strbuf_add_str(&out, example_path(s));
    strbuf_add_str(&out, " -H 'Content-Type: application/json'");
    if (s->auth) strbuf_add_str(&out, " -H \"Authorization: Bearer $API_KEY\"");
    strbuf_add_str(&out, " -d '");
    if (body.data) add_shell_quoted(&out, body.data);
    strbuf_add_str(&out, "'\n");
    if (!out.failed) fputs(out.data, stderr);
    strbuf_free(&body);
    strbuf_free(&out);
}

/* The first events of a second come with a look at how full the server is. */
static void on_batch_end(void *app)
{
    struct app *a = app;
    struct engine_loop_stats st;
    uint64_t now = clock_now_us();
    api_on_batch_end(a);
    if (!live_stats_wants_gauges(a->live_stats, now)) return;
    engine_loop_get_stats(a->engine, &st);
    double total = st.sched.blocks_total > 0 ? st.sched.blocks_total : 1;
    live_stats_set_gauges(
        a->live_stats, now,
        (struct live_gauges){st.sched.n_running, st.sched.n_waiting, st.sched.blocks_held / total});
}

static enum status start_engine(struct serve *s, struct error *err)
{
    const struct engine_info *i = engine_info(s->model.engine);
    const struct options *o = &s->opts;
    struct engine_loop_options lo = {
        .engine = s->model.engine,
        .sched = {.n_blocks = i->n_blocks,
                  .block_size = i->block_size,
                  .max_num_seqs = i->max_num_seqs,
                  .max_num_batched_tokens = i->max_num_batched_tokens,
                  .max_model_len = i->max_model_len,
                  .max_logit_rows = i->max_logit_rows,
                  .max_waiting = (int32_t)(o->max_num_queued_reqs + o->max_num_seqs),
                  .enable_prefix_caching = o->enable_prefix_caching,
                  .max_cached_len = i->config->rope.type == ROPE_DYNAMIC
                                        ? i->config->rope.original_max_position
                                        : 0,
                  .enable_chunked_prefill = o->enable_chunked_prefill,
                  .priority_policy = strcmp(o->scheduling_policy, "priority") == 0,
                  .hash_seed = hash_process_seed()},
        .loop = &s->loop,
        .on_event = api_on_event,
        .on_batch_end = on_batch_end,
        .on_failed = on_engine_failed,
        .on_view = live_on_view,
        .arg = &s->app,
        .max_inflight = o->async_scheduling && i->max_inflight > 1 ? SCHED_MAX_INFLIGHT : 1,
        .max_queued_reqs = o->max_num_queued_reqs,
        .max_queued_tokens = o->max_num_queued_tokens,
    };
    _Static_assert(offsetof(struct serve, app) == 0, "on_engine_failed takes the app's address");
    uint64_t print = hash_bytes(i->config->architecture, strlen(i->config->architecture),
                                i->weight_bytes ^ (uint64_t)i->config->d_model);
    snprintf(s->app.system_fingerprint, sizeof(s->app.system_fingerprint), "fp_%010" PRIx64,
             print & 0xffffffffff);
    return engine_loop_start(&s->app.engine, &lo, err);
}

/* What was loaded becomes what is served. */
static enum status start_serving(struct serve *s, struct error *err)
{
    struct loaded_text *text = &s->model.text;
    const struct engine_info *i = s->model.engine ? engine_info(s->model.engine) : NULL;
    if (i) text->config = *i->config; /* a job of the pool may read it when the engine is closed */
    s->app.config = &text->config;
    s->app.n_blocks = i ? i->n_blocks : 0;
    s->app.max_model_len = i ? i->max_model_len : text->max_model_len;
    s->app.metrics = metrics_new(model_name(s), i, s->opts.enable_prefix_caching);
    if (!s->app.metrics) return error_set(err, STATUS_NO_MEMORY, "no memory for the metrics");
    s->app.tokenizer = text->tokenizer;
    s->app.chat_templates = text->chat_templates;
    if (i) metrics_set_startup(s->app.metrics, "weights", s->model.weights_s);
    metrics_set_startup(s->app.metrics, "tokenizer", text->tokenizer_s);
    metrics_set_startup(s->app.metrics, "chat_template", text->templates_s);
    metrics_set_startup(s->app.metrics, "total", (double)(clock_now_us() - s->start_us) / 1e6);
    return i ? start_engine(s, err) : STATUS_OK;
}

static void on_loaded(uv_async_t *h)
{
    struct serve *s = h->data;
    uv_thread_join(&s->loader);
    s->loader_running = false;
    struct error *err = &s->load_error;
    if (s->load_status == STATUS_OK) {
        s->load_status = start_serving(s, err);
        if (s->load_status != STATUS_OK && s->model.engine) engine_close(s->model.engine);
    }
    if (s->load_status != STATUS_OK) {
        cli_print_error(command(s), err);
        s->exit_code = 1;
        s->app.failed = true;
        begin_drain(s, 0);
        return;
    }
    s->phase = PHASE_RUNNING;
    live_on_ready(&s->app);
    if (s->opts.ready_fd)
        tell_ready_fd(s);
    else if (strcmp(s->opts.log_format, "json") == 0)
        log_ready(s);
    else
        print_ready(s);
}

static void loader_main(void *arg)
{
    struct serve *s = arg;
    s->load_status = load_model(&s->opts, !s->app.render_only, &s->model, &s->load_error);
    uv_async_send(&s->loaded);
}

/* As many descriptors as --max-connections needs, or fewer connections. */
static void raise_descriptors(struct serve *s)
{
    struct rlimit rl;
    rlim_t want = (rlim_t)s->opts.max_connections + SPARE_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur >= want) return;
    rl.rlim_cur = rl.rlim_max < want ? rl.rlim_max : want;
    if (setrlimit(RLIMIT_NOFILE, &rl) != 0) getrlimit(RLIMIT_NOFILE, &rl);
    if (rl.rlim_cur >= want) return;
    int64_t can = rl.rlim_cur > 2 * SPARE_DESCRIPTORS ? (int64_t)rl.rlim_cur - SPARE_DESCRIPTORS
                                                      : SPARE_DESCRIPTORS / 2;
    if (can >= s->opts.max_connections) return;
    log_event(LOG_WARN, "few_descriptors", "limit=%llu max_connections=%lld hint=%s",
              (unsigned long long)rl.rlim_cur, (long long)can,
              "raise it by ulimit -n or lower --max-connections");
    s->opts.max_connections = can;
}

static void warn_if_open_to_all(const struct serve *s)
{
    const char *h = s->opts.host;
    if (!s->auth && !app_is_loopback(h))
        log_event(LOG_WARN, "no_api_key", "host=%s hint=%s", h,
                  "anyone who reaches this address may use the model; set --api-key-file");
}

static enum status open_http(struct serve *s, struct error *err)
{
    struct http_options ho = {.host = s->opts.host,
                              .port = (int)s->opts.port,
                              .max_connections = s->opts.max_connections,
                              .max_body_size = s->opts.max_body_size,
                              .max_header_size = s->opts.max_header_size,
                              .idle_timeout = s->opts.idle_timeout,
                              .header_timeout = s->opts.header_timeout,
                              .on_headers = routes_on_headers,
                              .on_request = routes_on_request,
                              .on_error = routes_on_error,
                              .on_answer = routes_on_answer,
                              .root_path = s->opts.root_path,
                              .arg = &s->app};
    return http_open(&s->app.http, &s->loop, &ho, err);
}

static void setup_log(const struct options *o)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    int level = LOG_INFO;
    for (int i = 0; i < (int)ARRAY_LEN(names); i++)
        if (strcmp(o->log_level, names[i]) == 0) level = i;
    log_setup((enum log_level)level, strcmp(o->log_format, "json") == 0);
}

static enum status start(struct serve *s, struct error *err)
{
    enum status st = model_dir_resolve(&s->opts, !s->app.render_only, err);
    if (st == STATUS_OK) st = auth_load(&s->opts, &s->auth, err);
    if (st != STATUS_OK) return st;
    uint64_t salt;
    if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
        return error_set(err, STATUS_IO, "getrandom: %s", strerror(errno));
    s->app.salt_seed = salt;
    s->app.auth = s->auth;
    s->app.created_s = clock_unix_s();
    raise_descriptors(s);
    s->app.live = live_new(&s->app);
    if (!s->app.live) return error_set(err, STATUS_NO_MEMORY, "no memory for the live view");
    if (s->opts.web && !s->app.render_only && !(s->app.live_stats = live_stats_new()))
        return error_set(err, STATUS_NO_MEMORY, "no memory for the live view");
    st = open_http(s, err);
    if (st != STATUS_OK) return st;
    warn_if_open_to_all(s);
    uv_signal_init(&s->loop, &s->sigterm);
    uv_signal_init(&s->loop, &s->sigint);
    uv_timer_init(&s->loop, &s->drain_tick);
    uv_async_init(&s->loop, &s->loaded, on_loaded);
    s->sigterm.data = s->sigint.data = s->drain_tick.data = s->loaded.data = s;
    uv_signal_start(&s->sigterm, on_signal, SIGTERM);
    uv_signal_start(&s->sigint, on_signal, SIGINT);
    int e = uv_thread_create(&s->loader, loader_main, s);
    if (e) return error_set(err, STATUS_INTERNAL, "cannot start a thread: %s", uv_strerror(e));
    s->loader_running = true;
    return STATUS_OK;
}

static void print_help(const struct serve *s)
{
    static const char render_usage[] =
        "usage: inferd render-server MODEL [options]\n\n"
        "Turns requests into token ids over HTTP for routers and others that want to know a "
        "prompt\n"
        "before they choose who runs it: /v1/completions/render, /v1/chat/completions/render,\n"
        "/tokenize and /detokenize. MODEL is a directory or ORG/NAME, as for serve; its tokenizer\n"
        "and chat template are read, the context's length from its config.json where there is "
        "one,\n"
        "and no weights. The options of `inferd serve` are accepted, so that both can share a\n"
        "--config file; those of the engine,\n"
        "which are not listed here, and of the weights are without effect.\n\n";
    if (s->app.render_only) {
        fputs(render_usage, stdout);
        options_print_rows(stdout, "Engine and scheduler");
    } else {
        options_print_help(stdout);
    }
}

static int run(struct serve *s, int argc, char **argv)
{
    struct error err = {0};
    bool help = false;
    s->start_us = clock_now_us();
    if (options_parse_command(command(s), argc, argv, environ, &s->opts, &help, &err) !=
        STATUS_OK) {
        cli_print_error(command(s), &err);
        return 2;
    }
    if (help) {
        print_help(s);
        options_free(&s->opts);
        return 0;
    }
    if (check_ready_fd(&s->opts, &err) != STATUS_OK) {
        cli_print_error(command(s), &err);
        return 2;
    }
    setup_log(&s->opts);
    signal(SIGPIPE, SIG_IGN);
    pool_configure();
    uv_loop_init(&s->loop);
    s->app.loop = &s->loop;
    s->app.opts = &s->opts;
    if (start(s, &err) != STATUS_OK) {
        cli_print_error(command(s), &err);
        return 1;
    }
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    loaded_model_free(&s->model);
    metrics_free(s->app.metrics);
    live_free(s->app.live);
    live_stats_free(s->app.live_stats);
    auth_free(s->auth);
    options_free(&s->opts);
    return s->exit_code;
}

int serve_main(int argc, char **argv)
{
    static struct serve serve;
    return run(&serve, argc, argv);
}

int render_server_main(int argc, char **argv)
{
    static struct serve serve = {.app.render_only = true};
    return run(&serve, argc, argv);
}
