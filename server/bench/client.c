#include "server/bench/client.h"

#include "config/base/check.h"
#include "config/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request of the set-up: /v1/models, /tokenize. */
struct fetch {
    bool done;
    enum outcome outcome;
    char why[256];
    struct strbuf *answer;
    int status;
};

struct conn {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_write_t writing;
    struct list link; /* idle or busy */
    struct client *client;
    bool connected, closing, reused, retried;
    /* the request */
    bool active, warmup;
    bool write_pending; /* libuv still reads from `out` */
    struct fetch *fetch;
    struct work_item item;
    uint64_t start_ns, first_ns, last_ns;
    struct strbuf out;  /* head and body as sent */
    struct strbuf body; /* of the answer, when it is no stream */
    struct sse_scan sse;
    struct response response;
};

static void conn_send(struct conn *k);

const char *outcome_name(enum outcome o)
{
    static const char *const names[OUTCOME_COUNT] = {
        [OUTCOME_OK] = "ok",
        [OUTCOME_CONNECT] = "connect",
        [OUTCOME_CLOSED] = "closed",
        [OUTCOME_TIMEOUT] = "timeout",
        [OUTCOME_STREAM] = "stream",
        [OUTCOME_MALFORMED] = "malformed",
        [OUTCOME_HTTP] = "http",
        [OUTCOME_TRUNCATED] = "truncated",
        [OUTCOME_CANCELLED] = "cancelled",
    };
    return names[o];
}

/* --- connections ----------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct conn *k = handle->data;
    strbuf_free(&k->out);
    strbuf_free(&k->body);
    sse_scan_free(&k->sse);
    k->client->n_conns--;
    free(k);
}

static void conn_close(struct conn *k)
{
    if (k->closing) return;
    k->closing = true;
    list_remove(&k->link);
    uv_close((uv_handle_t *)&k->tcp, on_closed);
}

static struct conn *conn_new(struct client *c)
{
    struct conn *k = calloc(1, sizeof(*k));
    if (!k) return NULL;
    if (uv_tcp_init(c->loop, &k->tcp) != 0) {
        free(k);
        return NULL;
    }
    k->client = c;
    k->tcp.data = k;
    strbuf_init(&k->out, 0);
    strbuf_init(&k->body, CLIENT_BODY_MAX);
    sse_scan_init(&k->sse);
    list_init(&k->link);
    c->n_conns++;
    c->stats->n_connections++;
    return k;
}

/* --- the end of a request -------------------------------------------------------------------- */

static void count_tokens(struct conn *k, struct stats *s, const struct sse_usage *usage)
{
    uint64_t tokens = k->sse.n_content;
    if (usage->present && usage->completion_tokens >= 0)
        tokens = (uint64_t)usage->completion_tokens;
    else
        s->n_without_usage++;
    if (usage->prompt_tokens > 0) s->input_tokens += (uint64_t)usage->prompt_tokens;
    if (usage->cached_tokens > 0) s->cached_tokens += (uint64_t)usage->cached_tokens;
    s->output_tokens += tokens;
    if (tokens < (uint64_t)k->item.output_len) s->n_short++;
    if (tokens > 1 && k->first_ns && k->last_ns > k->first_ns)
        histogram_add(&s->tpot, (k->last_ns - k->first_ns) / (tokens - 1));
}

static void count_request(struct conn *k, enum outcome outcome, const char *why, uint64_t now_ns)
{
    struct stats *s = k->client->stats;
    s->outcomes[outcome]++;
    s->end_ns = now_ns;
    if (outcome == OUTCOME_OK) {
        struct sse_usage usage = k->sse.usage;
        if (!k->client->stream) sse_find_usage(k->body.data, k->body.len, &usage);
        histogram_add(&s->e2e, now_ns - k->start_ns);
        if (k->first_ns) histogram_add(&s->ttft, k->first_ns - k->start_ns);
        count_tokens(k, s, &usage);
        return;
    }
    if (outcome == OUTCOME_HTTP) s->http_statuses[k->response.status]++;
    if (s->first_error[0] || outcome == OUTCOME_CANCELLED) return;
    int n = snprintf(s->first_error, sizeof(s->first_error), "%s", outcome_name(outcome));
    if (outcome == OUTCOME_HTTP)
        n += snprintf(s->first_error + n, sizeof(s->first_error) - (size_t)n, " %d",
                      k->response.status);
    snprintf(s->first_error + n, sizeof(s->first_error) - (size_t)n, ": %s", why);
}

/* Other requests are as this one: what the server refuses now it refuses later, but for a full
 * queue. */
static void note_refusal(struct conn *k, const char *answer)
{
    struct client *c = k->client;
    int status = k->response.status;
    if (status < 400 || status > 499 || status == 408 || status == 429 || c->warmup_status) return;
    c->warmup_status = status;
    snprintf(c->warmup_answer, sizeof(c->warmup_answer), "%s", answer);
}

/* Ends the request.  The connection goes on when the response was whole and says so. */
static void finish(struct conn *k, enum outcome outcome, const char *why)
{
    struct client *c = k->client;
    struct fetch *f = k->fetch;
    uint64_t now_ns = clock_now_ns();
    if (!k->active) {
        conn_close(k);
        return;
    }
    k->active = false;
    k->fetch = NULL;
    c->n_failed_connects = outcome == OUTCOME_CONNECT ? c->n_failed_connects + 1 : 0;
    if (f) {
        f->done = true;
        f->outcome = outcome;
        f->status = k->response.status;
        snprintf(f->why, sizeof(f->why), "%s", why);
        if (outcome == OUTCOME_OK) strbuf_add(f->answer, k->body.data, k->body.len);
    } else {
        c->n_busy--;
        if (k->warmup && outcome == OUTCOME_HTTP) note_refusal(k, why);
        if (!k->warmup)
            count_request(k, outcome, why, now_ns);
        else if (outcome != OUTCOME_OK && !c->stats->first_error[0])
            snprintf(c->stats->first_error, sizeof(c->stats->first_error), "warm-up: %s: %.400s",
                     outcome_name(outcome), why);
    }
    /* A response can be over before the request is written out: then the connection is not in a
     * state to be used again. */
    bool whole = outcome == OUTCOME_OK || outcome == OUTCOME_HTTP || outcome == OUTCOME_STREAM;
    list_remove(&k->link);
    if (whole && k->response.keep_alive && k->connected && !k->write_pending) {
        list_push_front(&c->idle, &k->link);
    } else {
        conn_close(k);
    }
    if (!f) c->on_done(c->arg);
}

/* The response is whole: was it what was asked for? */
static void finish_response(struct conn *k)
{
    bool stream = k->client->stream && !k->fetch;
    const char *body = k->body.data ? k->body.data : "";
    if (k->body.failed) {
        finish(k, OUTCOME_MALFORMED, "the answer is too long");
    } else if (k->fetch) {
        finish(k, OUTCOME_OK, "");
    } else if (k->response.status != 200) {
        finish(k, OUTCOME_HTTP, body);
    } else if (stream && !k->response.event_stream) {
        finish(k, OUTCOME_MALFORMED, "asked for a stream, got another Content-Type");
    } else if (stream && k->sse.failed) {
        finish(k, OUTCOME_STREAM, k->sse.error);
    } else if (stream && !k->sse.done) {
        finish(k, OUTCOME_TRUNCATED, "the stream ended without [DONE]");
    } else {
        finish(k, OUTCOME_OK, "");
    }
}

/* --- reading --------------------------------------------------------------------------------- */

static void take_stream(struct conn *k, struct str piece, uint64_t now_ns)
{
    struct stats *s = k->client->stats;
    uint64_t events = k->sse.n_events;
    uint64_t n = sse_scan_feed(&k->sse, piece.data, piece.len);
    if (!k->warmup) {
        s->n_events += k->sse.n_events - events;
        s->n_content += n;
    }
    if (n == 0) return;
    uint64_t i = 0;
    if (k->first_ns == 0) {
        k->first_ns = now_ns;
        i = 1;
    } else if (!k->warmup) {
        histogram_add(&s->itl, now_ns - k->last_ns);
        i = 1;
    }
    if (!k->warmup)
        for (; i < n; i++) histogram_add(&s->itl, 0); /* they came together */
    k->last_ns = now_ns;
}

static void take_bytes(struct conn *k, const char *at, const char *end)
{
    uint64_t now_ns = clock_now_ns();
    if (!k->warmup && !k->fetch) k->client->stats->n_bytes += (uint64_t)(end - at);
    for (;;) {
        struct str piece;
        switch (response_next(&k->response, &at, end, &piece)) {
        case RESPONSE_MORE:
            return;
        case RESPONSE_BAD:
            finish(k, OUTCOME_MALFORMED, k->response.wrong);
            return;
        case RESPONSE_DONE:
            /* One request, one response: what follows is nonsense. */
            if (at != end) k->response.keep_alive = false;
            finish_response(k);
            return;
        case RESPONSE_BODY:
            if (k->response.status == 200 && k->response.event_stream && !k->fetch)
                take_stream(k, piece, now_ns);
            else
                strbuf_add(&k->body, piece.data, piece.len);
            break;
        }
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *k = handle->data;
    /* One buffer for all: libuv hands it back before it asks again. */
    *buf = uv_buf_init(k->client->read_buffer, CLIENT_READ_SIZE);
}

/* The server may close an idle connection just when a request is written to it: that request is
 * sent again, once, on a new one. */
static bool retry(struct conn *k)
{
    struct client *c = k->client;
    if (!k->reused || k->response.started || k->retried || !k->active) return false;
    struct conn *fresh = conn_new(c);
    if (!fresh) return false;
    fresh->active = true;
    fresh->retried = true;
    fresh->warmup = k->warmup;
    fresh->fetch = k->fetch;
    fresh->item = k->item;
    fresh->start_ns = k->start_ns;
    strbuf_add(&fresh->out, k->out.data, k->out.len);
    list_insert_before(&k->link, &fresh->link); /* the busy list stays in order */
    k->active = false;
    k->fetch = NULL;
    conn_close(k);
    conn_send(fresh);
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *k = stream->data;
    if (n == 0 || k->closing) return;
    if (n > 0 && k->active) {
        take_bytes(k, buf->base, buf->base + n);
    } else if (!k->active) {
        conn_close(k); /* closed by the server while idle, or bytes that no one asked for */
    } else if (!retry(k)) {
        if (n == UV_EOF && response_end(&k->response) == RESPONSE_DONE)
            finish_response(k);
        else
            finish(k, OUTCOME_CLOSED, n == UV_EOF ? k->response.wrong : uv_strerror((int)n));
    }
}

/* --- sending --------------------------------------------------------------------------------- */

static void on_written(uv_write_t *req, int status)
{
    struct conn *k = req->data;
    k->write_pending = false;
    /* A failed write is seen by the reader, who may still find the server's answer to it. */
    (void)status;
}

/* Most requests fit the socket's buffer at once; the rest is left to libuv. */
static void write_request(struct conn *k)
{
    uv_buf_t buf = uv_buf_init(k->out.data, (unsigned)k->out.len);
    int rc = uv_try_write((uv_stream_t *)&k->tcp, &buf, 1);
    if (rc == (int)buf.len) return;
    if (rc == UV_EAGAIN) rc = 0;
    if (rc >= 0) {
        buf = uv_buf_init(k->out.data + rc, (unsigned)(k->out.len - (size_t)rc));
        k->writing.data = k;
        k->write_pending = true;
        rc = uv_write(&k->writing, (uv_stream_t *)&k->tcp, &buf, 1, on_written);
        if (rc == 0) return;
        k->write_pending = false;
    }
    if (!retry(k)) finish(k, OUTCOME_CLOSED, uv_strerror(rc));
}

static void on_connect(uv_connect_t *req, int status)
{
    struct conn *k = req->data;
    if (k->closing) return;
    int rc = status;
    if (rc == 0) {
        k->connected = true;
        uv_tcp_nodelay(&k->tcp, 1);
        rc = uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read);
    }
    if (rc == 0)
        write_request(k);
    else
        finish(k, OUTCOME_CONNECT, uv_strerror(rc));
}

static void conn_send(struct conn *k)
{
    response_init(&k->response);
    if (k->connected) {
        write_request(k);
        return;
    }
    k->connecting.data = k;
    int rc =
        uv_tcp_connect(&k->connecting, &k->tcp, (struct sockaddr *)&k->client->address, on_connect);
    if (rc != 0) finish(k, OUTCOME_CONNECT, uv_strerror(rc));
}

static void build_request(const struct client *c, const char *path, const struct strbuf *body,
                          struct strbuf *out)
{
    strbuf_clear(out);
    strbuf_addf(out, "%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: inferd-bench\r\n",
                body ? "POST" : "GET", c->url.prefix, path, c->url.authority);
    if (c->api_key) strbuf_addf(out, "Authorization: Bearer %s\r\n", c->api_key);
    if (body) {
        strbuf_addf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                    body->len);
        strbuf_add(out, body->data, body->len);
    } else {
        strbuf_add_str(out, "\r\n");
    }
}

/* An idle connection that libuv no longer writes from, or a new one. */
static struct conn *conn_take(struct client *c)
{
    struct conn *k;
    if (list_empty(&c->idle)) {
        k = conn_new(c);
    } else {
        k = list_entry(c->idle.next, struct conn, link);
        list_remove(&k->link);
        k->reused = true;
    }
    if (!k) return NULL;
    k->active = true;
    k->retried = false;
    k->fetch = NULL;
    k->first_ns = k->last_ns = 0;
    strbuf_clear(&k->body);
    sse_scan_reset(&k->sse);
    return k;
}

void client_send(struct client *c, const struct work_item *item, uint64_t start_ns, bool warmup)
{
    struct conn *k = conn_take(c);
    c->n_busy++;
    if (!warmup) c->stats->n_sent++;
    if ((uint64_t)c->n_busy > c->stats->max_in_flight)
        c->stats->max_in_flight = (uint64_t)c->n_busy;
    if (k) {
        k->item = *item;
        k->warmup = warmup;
        strbuf_clear(&c->body);
        workload_body(c->workload, item, &c->body);
        build_request(c, c->workload->chat ? "/v1/chat/completions" : "/v1/completions", &c->body,
                      &k->out);
        list_push_back(&c->busy, &k->link);
    }
    uint64_t now_ns = clock_now_ns();
    if (!k || c->body.failed || k->out.failed) {
        c->n_busy--;
        if (!warmup) c->stats->outcomes[OUTCOME_CONNECT]++;
        snprintf(c->stats->first_error, sizeof(c->stats->first_error), "out of memory");
        c->n_failed_connects++;
        if (k) {
            k->active = false;
            conn_close(k);
        }
        return;
    }
    k->start_ns = start_ns ? start_ns : now_ns;
    if (start_ns && !warmup)
        histogram_add(&c->stats->lag, now_ns > start_ns ? now_ns - start_ns : 0);
    conn_send(k);
}

void client_expire(struct client *c, uint64_t now_ns)
{
    list_for_each (node, &c->busy) {
        struct conn *k = list_entry(node, struct conn, link);
        if (k->start_ns + c->timeout_ns > now_ns) return; /* the list is in order */
        finish(k, OUTCOME_TIMEOUT, "no whole answer within --timeout");
    }
}

void client_abort_all(struct client *c, enum outcome outcome)
{
    while (!list_empty(&c->busy))
        finish(list_entry(c->busy.next, struct conn, link), outcome, "stopped");
}

/* --- set-up ---------------------------------------------------------------------------------- */

enum status client_init(struct client *c, uv_loop_t *loop, const struct bench_url *url,
                        const char *api_key, struct error *err)
{
    c->loop = loop;
    c->url = *url;
    c->api_key = api_key;
    list_init(&c->idle);
    list_init(&c->busy);
    strbuf_init(&c->body, 0);
    c->read_buffer = malloc(CLIENT_READ_SIZE);
    return c->read_buffer ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

void client_close_all(struct client *c)
{
    list_for_each (node, &c->idle) conn_close(list_entry(node, struct conn, link));
    list_for_each (other, &c->busy) conn_close(list_entry(other, struct conn, link));
}

void client_free(struct client *c)
{
    strbuf_free(&c->body);
    free(c->read_buffer);
    c->read_buffer = NULL;
}

static void fetch_from(struct client *c, const char *path, const struct strbuf *body,
                       struct fetch *f)
{
    struct conn *k = conn_take(c);
    *f = (struct fetch){.outcome = OUTCOME_CONNECT, .answer = f->answer, .why = "out of memory"};
    if (!k) return;
    k->fetch = f;
    k->warmup = true;
    k->start_ns = clock_now_ns();
    build_request(c, path, body, &k->out);
    list_push_back(&c->busy, &k->link);
    conn_send(k);
    while (!f->done && uv_run(c->loop, UV_RUN_ONCE)) {
    }
}

enum status client_fetch(struct client *c, const char *path, const char *body, int *status,
                         struct strbuf *answer, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t lookup;
    struct fetch f = {.answer = answer};
    struct strbuf body_buf = {.data = (char *)(uintptr_t)body, .len = body ? strlen(body) : 0};
    int rc = uv_getaddrinfo(c->loop, &lookup, NULL, c->url.host, c->url.port, &hints);
    if (rc != 0)
        return error_set(err, STATUS_IO, "cannot find host %s: %s", c->url.host, uv_strerror(rc));
    for (struct addrinfo *a = lookup.addrinfo; a; a = a->ai_next) {
        memcpy(&c->address, a->ai_addr, a->ai_addrlen);
        fetch_from(c, path, body ? &body_buf : NULL, &f);
        if (f.outcome != OUTCOME_CONNECT) break;
    }
    uv_freeaddrinfo(lookup.addrinfo);
    if (f.outcome != OUTCOME_OK)
        return error_set(err, STATUS_IO, "http://%s%s%s: %s: %s", c->url.authority, c->url.prefix,
                         path, outcome_name(f.outcome), f.why);
    *status = f.status;
    return STATUS_OK;
}
