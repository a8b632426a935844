#include "server/http.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/hash.h"
#include "config/base/log.h"
#include "config/limits.h"
#include "server/http_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- deadlines: one list per kind, each in order of time, because its span is constant --------- */

static uint64_t deadline_span_us(const struct http_server *s, enum http_deadline kind)
{
    double span = 0;
    if (kind == DEADLINE_REQUEST) span = s->o.header_timeout;
    /* A silent kept-alive connection is closed by MHD after idle_timeout; this one is for a
     * client that dribbles its next request line. */
    if (kind == DEADLINE_IDLE) span = s->o.idle_timeout + s->o.header_timeout;
    if (kind == DEADLINE_DRAIN) span = s->o.idle_timeout;
    if (kind == DEADLINE_HANGUP) span = HTTP_HANGUP_MS / 1000.0;
    return (uint64_t)(span * 1e6);
}

static void on_deadline(uv_timer_t *t);

static void deadline_timer_update(struct http_server *s)
{
    uint64_t first = UINT64_MAX;
    for (int k = DEADLINE_NONE + 1; k < DEADLINE_N; k++) {
        if (list_empty(&s->deadlines[k])) continue;
        struct http_conn *c = list_entry(s->deadlines[k].next, struct http_conn, deadline);
        if (c->deadline_us < first) first = c->deadline_us;
    }
    if (first == UINT64_MAX) {
        uv_timer_stop(&s->deadline_timer);
        return;
    }
    uint64_t now = clock_now_us();
    uv_update_time(s->loop);
    uv_timer_start(&s->deadline_timer, on_deadline, first > now ? (first - now) / 1000 + 1 : 0, 0);
}

void http_deadline_set(struct http_conn *c, enum http_deadline kind)
{
    struct http_server *s = c->server;
    list_remove(&c->deadline);
    if (c->hung_up) kind = DEADLINE_HANGUP;
    c->kind = kind;
    if (kind == DEADLINE_NONE || s->closing) return;
    c->deadline_us = clock_now_us() + deadline_span_us(s, kind);
    list_push_back(&s->deadlines[kind], &c->deadline);
    /* The timer may fire for a deadline that is gone by then; it looks again. */
    if (!uv_is_active((uv_handle_t *)&s->deadline_timer) || s->deadlines[kind].next == &c->deadline)
        deadline_timer_update(s);
}

static void deadline_passed(struct http_conn *c)
{
    enum http_deadline kind = c->kind;
    if (kind == DEADLINE_HANGUP && c->x.queued) { /* an answer is on its way to a half-closed end */
        http_deadline_set(c, DEADLINE_HANGUP);
        return;
    }
    list_remove(&c->deadline);
    c->kind = DEADLINE_NONE;
    if (kind == DEADLINE_DRAIN) {
        http_lost(&c->x);
        return;
    }
    struct error err;
    error_set(&err, STATUS_TIMEOUT, "The request did not arrive in time.");
    if (kind == DEADLINE_REQUEST && !c->refused) http_send_raw_error(c, &err);
    shutdown(c->fd, SHUT_RDWR); /* MHD sees the hang-up and closes */
}

static void on_deadline(uv_timer_t *t)
{
    struct http_server *s = t->data;
    uint64_t now = clock_now_us();
    for (int k = DEADLINE_NONE + 1; k < DEADLINE_N; k++) {
        while (!list_empty(&s->deadlines[k])) {
            struct http_conn *c = list_entry(s->deadlines[k].next, struct http_conn, deadline);
            if (c->deadline_us > now) break;
            deadline_passed(c);
        }
    }
    deadline_timer_update(s);
}

/* --- watching the sockets --------------------------------------------------- */

void http_work(struct http_exchange *x, struct list *where)
{
    list_remove(&x->work);
    list_push_back(where, &x->work);
}

void http_lost(struct http_exchange *x)
{
    if (x->gone) return;
    x->gone = true;
    http_work(x, &x->conn->server->gone);
}

static void on_watch(uv_poll_t *p, int status, int events)
{
    struct http_conn *c = p->data;
    struct http_exchange *x = &c->x;
    /* A FIN comes as UV_DISCONNECT, a reset as UV_EBADF with no events. */
    if (status >= 0 && !(events & UV_DISCONNECT)) {
        if (events & UV_WRITABLE) http_work(x, &c->server->dirty);
        return;
    }
    uv_poll_stop(p); /* it would say so for ever */
    c->hung_up = true;
    if (x->suspended)
        http_lost(x);
    else
        http_deadline_set(c, DEADLINE_HANGUP);
}

void http_watch_update(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (c->hung_up) {
        http_lost(x);
        return;
    }
    int events = UV_DISCONNECT | (x->want_write ? UV_WRITABLE : 0);
    if (events == c->watched) return; /* uv_poll_start costs two system calls */
    c->watched = events;
    uv_poll_start(&c->watch, events, on_watch);
}

/* --- connections --------------------------------------------------------------------------------- */

void http_send_raw_error(struct http_conn *c, const struct error *err)
{
    int status = status_http(err->code);
    struct strbuf body, out;
    strbuf_init(&body, 4096);
    strbuf_init(&out, 8192);
    strbuf_add_str(&body, "{\"error\":{\"message\":");
    strbuf_add_json(&body, err->message, strlen(err->message));
    strbuf_addf(&body, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
                status_api_type(err->code),
                status_api_code(err->code) ? status_api_code(err->code) : status_name(err->code));
    strbuf_addf(&out,
                "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                "%sConnection: close\r\n\r\n",
                status, MHD_get_reason_phrase_for((unsigned)status), body.len,
                status == 503 ? "Retry-After: 1\r\n" : "");
    strbuf_add(&out, body.data, body.len);
    /* Nothing was sent on this socket since its last answer: it takes so little at once, and
     * when the client is gone there is nobody to tell. */
    if (!out.failed && !body.failed && send(c->fd, out.data, out.len, MSG_NOSIGNAL) < 0)
        log_event(LOG_DEBUG, "refusal_not_sent", "error=%s", strerror(errno));
    strbuf_free(&body);
    strbuf_free(&out);
}

static void server_handle_closed(struct http_server *s)
{
    if (--s->n_handles == 0) free(s);
}

static void on_watch_closed(uv_handle_t *h)
{
    struct http_conn *c = h->data;
    server_handle_closed(c->server);
    free(c);
}

static void conn_open(struct http_server *s, struct MHD_Connection *mhd, void **socket_context)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    *socket_context = NULL;
    if (!c) return; /* on_access closes */
    c->server = s;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (uv_poll_init(s->loop, &c->watch, c->fd) != 0) {
        free(c);
        return;
    }
    *socket_context = c;
    c->watch.data = c;
    s->n_handles++;
    c->x.conn = c;
    list_init(&c->x.work);
    list_init(&c->deadline);
    strbuf_init(&c->x.body, 0);
    strbuf_init(&c->x.headers, 16384);
    list_push_back(&s->conns, &c->link);
    s->n_conns++;
    http_deadline_set(c, DEADLINE_REQUEST);
    http_watch_update(&c->x);

    int on = 1, idle = 30, interval = 10, count = 3;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    if (s->n_conns > s->o.max_connections) {
        struct error err;
        error_set(&err, STATUS_UNAVAILABLE, "Too many connections (the limit is %" PRId64 ").",
                  s->o.max_connections);
        c->refused = true;
        http_send_raw_error(c, &err);
        shutdown(c->fd, SHUT_WR); /* its request is read and dropped, so that no reset follows */
    }
}

static void conn_close(struct http_conn *c)
{
    struct http_server *s = c->server;
    s->n_conns--;
    list_remove(&c->link);
    list_remove(&c->deadline);
    list_remove(&c->x.work);
    http_body_free(&c->x);
    strbuf_free(&c->x.headers);
    free(c->x.stream);
    uv_close((uv_handle_t *)&c->watch, on_watch_closed);
}

static void on_connection(void *server, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_open(server, mhd, socket_context);
    else if (*socket_context)
        conn_close(*socket_context);
}

/* The request line is there.  What it returns becomes the request's context. */
static void *on_uri(void *server, const char *uri, struct MHD_Connection *mhd)
{
    (void)server;
    struct http_conn *c =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    if (c) c->nul_in_uri = strstr(uri, "%00") != NULL;
    if (c && c->kind == DEADLINE_IDLE) http_deadline_set(c, DEADLINE_REQUEST);
    return c;
}

static enum MHD_Result on_access(void *server, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **req_cls)
{
    if (!*req_cls) return MHD_NO;
    return http_on_access(server, mhd, url, method, version, upload, upload_size, req_cls);
}

static void on_mhd_log(void *arg, const char *fmt, va_list args)
{
    (void)arg;
    if (!log_enabled(LOG_DEBUG)) return;
    char line[256];
    vsnprintf(line, sizeof(line), fmt, args);
    line[strcspn(line, "\n")] = '\0';
    log_event(LOG_DEBUG, "mhd", "message=%s", line);
}

/* --- the pump -------------------------------------------------------------------------------------- */

static void resume(struct http_exchange *x)
{
    if (!x->suspended) return;
    x->suspended = false;
    x->conn->server->n_suspended--;
    MHD_resume_connection(x->conn->mhd);
    x->conn->server->need_run = true;
}

static struct http_exchange *take_work(struct list *l)
{
    if (list_empty(l)) return NULL;
    struct http_exchange *x = list_entry(l->next, struct http_exchange, work);
    list_remove(&x->work);
    return x;
}

static void do_work(struct http_server *s)
{
    struct http_exchange *x;
    while ((x = take_work(&s->dirty))) http_stream_send(x);
    while ((x = take_work(&s->gone))) {
        http_closed_fn *closed = x->closed;
        x->closed = NULL;
        if (closed) closed(x->user, true);
        resume(x);
    }
    while ((x = take_work(&s->resume))) resume(x);
}

static void on_mhd_timer(uv_timer_t *t)
{
    ((struct http_server *)t->data)->need_run = true;
}

static bool has_work(const struct http_server *s)
{
    return s->need_run || !list_empty(&s->dirty) || !list_empty(&s->gone) ||
           !list_empty(&s->resume);
}

static void on_pump(uv_prepare_t *p)
{
    struct http_server *s = p->data;
    if (!has_work(s)) return;
    /* A few rounds: a resumed connection may finish its answer and read the next request.  What
     * is left after them has its turn when the loop has looked at its other handles. */
    for (int round = 0; round < 3 && has_work(s); round++) {
        do_work(s);
        if (!s->need_run) continue;
        s->need_run = false;
        MHD_run(s->daemon);
    }
    MHD_UNSIGNED_LONG_LONG ms = UINT64_MAX;
    if (MHD_get_timeout(s->daemon, &ms) != MHD_YES) ms = UINT64_MAX;
    if (s->n_suspended > 0 && ms > HTTP_WATCHDOG_MS) ms = HTTP_WATCHDOG_MS;
    if (has_work(s)) ms = 0;
    if (ms == UINT64_MAX) {
        uv_timer_stop(&s->mhd_timer);
        return;
    }
    uv_update_time(s->loop);
    uv_timer_start(&s->mhd_timer, on_mhd_timer, ms, 0);
}

static void on_mhd_ready(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    ((struct http_server *)p->data)->need_run = true;
}

/* --- opening and closing ----------------------------------------------------------------------------- */

static int listen_on(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 4096) == 0) return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static int local_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0) return 0;
    if (sa.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

static enum status open_socket(struct http_server *s, struct error *err)
{
    char port[16];
    snprintf(port, sizeof(port), "%d", s->o.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    const char *host = s->o.host && *s->o.host ? s->o.host : NULL;
    int e = getaddrinfo(host, port, &hints, &list);
    if (e)
        return error_set_param(err, STATUS_INVALID, "host", "cannot resolve host %s: %s",
                               host ? host : "*", gai_strerror(e));
    for (const struct addrinfo *a = list; a && s->listen_fd < 0; a = a->ai_next)
        s->listen_fd = listen_on(a);
    e = errno;
    freeaddrinfo(list);
    if (s->listen_fd >= 0) {
        s->port = local_port(s->listen_fd);
        return STATUS_OK;
    }
    if (e == EADDRINUSE)
        return error_set_param(err, STATUS_IO, "port",
                               "port %s on %s is in use: stop the other server or choose another "
                               "--port (0 = any free one)",
                               port, host ? host : "*");
    return error_set_param(err, STATUS_IO, "host", "cannot listen on %s port %s: %s",
                           host ? host : "*", port, strerror(e));
}

static enum status open_daemon(struct http_server *s, struct error *err)
{
    /* MHD answers headers that outgrow its pool with a page of its own; some room beyond the limit
     * lets us notice first, as a rule, and answer in the API's shape.  Not more: MHD clears the
     * whole pool after every request of a connection. */
    size_t pool = (size_t)s->o.max_header_size + (16 << 10);
    double idle = s->o.idle_timeout < 1 ? 1 : s->o.idle_timeout;
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_access, s,
        MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(s->o.max_connections + HTTP_SPARE_CONNECTIONS),
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)idle, MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED,
        http_on_completed, s, MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_END);
    if (!s->daemon) {
        close(s->listen_fd);
        return error_set(err, STATUS_IO, "libmicrohttpd does not start: %s", strerror(errno));
    }
    return STATUS_OK;
}

enum status http_open(struct http_server **out, uv_loop_t *loop, const struct http_options *o,
                      struct error *err)
{
    DCHECK(o->max_connections > 0 && o->max_body_size > 0 && o->max_header_size > 0);
    struct http_server *s = calloc(1, sizeof(*s));
    if (!s) return error_set(err, STATUS_NO_MEMORY, "no memory for the HTTP server");
    s->loop = loop;
    s->o = *o;
    if (s->o.max_bodies_size <= 0) s->o.max_bodies_size = LIMIT_BODIES_SIZE;
    s->listen_fd = -1;
    s->id_salt = hash_process_seed();
    list_init(&s->conns);
    list_init(&s->dirty);
    list_init(&s->resume);
    list_init(&s->gone);
    list_init(&s->lingering);
    for (int k = 0; k < DEADLINE_N; k++) list_init(&s->deadlines[k]);
    enum status st = open_socket(s, err);
    if (st == STATUS_OK) st = open_daemon(s, err);
    if (st != STATUS_OK) {
        free(s);
        return st;
    }
    s->listening = true;
    s->need_run = true;
    uv_timer_init(loop, &s->mhd_timer);
    uv_timer_init(loop, &s->deadline_timer);
    uv_prepare_init(loop, &s->pump);
    int e = uv_poll_init(loop, &s->mhd_poll,
                         MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    CHECK(e == 0); /* a fresh epoll descriptor */
    s->mhd_poll.data = s->mhd_timer.data = s->deadline_timer.data = s->pump.data = s;
    s->n_handles = 4;
    uv_poll_start(&s->mhd_poll, UV_READABLE, on_mhd_ready);
    uv_prepare_start(&s->pump, on_pump);
    *out = s;
    return STATUS_OK;
}

int http_port(const struct http_server *s)
{
    return s->port;
}

int http_open_exchanges(const struct http_server *s)
{
    return s->n_exchanges;
}

int http_open_connections(const struct http_server *s)
{
    return s->n_conns;
}

void http_stop_listening(struct http_server *s)
{
    if (!s->listening) return;
    s->listening = false;
    int fd = MHD_quiesce_daemon(s->daemon);
    if (fd >= 0) close(fd);
    list_for_each (node, &s->conns) {
        struct http_conn *c = list_entry(node, struct http_conn, link);
        if (c->kind == DEADLINE_IDLE) shutdown(c->fd, SHUT_RDWR);
    }
}

static void on_handle_closed(uv_handle_t *h)
{
    server_handle_closed(h->data);
}

void http_close(struct http_server *s)
{
    if (s->closing) return;
    http_stop_listening(s);
    s->closing = true;
    list_for_each (node, &s->conns) {
        struct http_conn *c = list_entry(node, struct http_conn, link);
        if (c->x.open && !c->x.gone && (c->x.suspended || c->x.handled)) http_lost(&c->x);
    }
    do_work(s);
    MHD_run(s->daemon);
    do_work(s); /* what an on_closed may have asked for */
    MHD_run(s->daemon);
    uv_poll_stop(&s->mhd_poll); /* its descriptor is about to be closed */
    MHD_stop_daemon(s->daemon);
    http_linger_close_all(s);
    uv_close((uv_handle_t *)&s->mhd_poll, on_handle_closed);
    uv_close((uv_handle_t *)&s->mhd_timer, on_handle_closed);
    uv_close((uv_handle_t *)&s->deadline_timer, on_handle_closed);
    uv_close((uv_handle_t *)&s->pump, on_handle_closed);
}
