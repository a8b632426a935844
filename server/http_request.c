#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/limits.h"
#include "server/http_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- headers --------------------------------------------------------------------------------- */

/* What 0.9.75 does not check: it takes the first of several Content-Length headers, prefers
 * Transfer-Encoding to Content-Length, and reads until the connection closes under an encoding it
 * does not know.  Each of these lets a proxy and us disagree on where a request ends. */
struct header_scan {
    size_t size;
    int n_length, n_encoding, n_host;
    const char *length, *encoding;
    bool bad_name, bad_value;
};

static bool is_token_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

static enum MHD_Result scan_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    struct header_scan *h = cls;
    h->size += name_len + value_len + 4;
    for (size_t i = 0; i < name_len; i++) h->bad_name |= !is_token_char((unsigned char)name[i]);
    h->bad_name |= name_len == 0;
    for (size_t i = 0; i < value_len; i++) {
        unsigned char c = (unsigned char)value[i];
        h->bad_value |= (c < 0x20 && c != '\t') || c == 0x7f;
    }
    if (strcasecmp(name, "content-length") == 0) {
        h->n_length++;
        h->length = value;
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        h->n_encoding++;
        h->encoding = value;
    } else if (strcasecmp(name, "host") == 0) {
        h->n_host++;
    }
    return MHD_YES;
}

/* Errors that leave it open where the request ends: the connection is closed after them. */
static enum status check_framing(const struct header_scan *h, bool http_1_1, struct error *err)
{
    if (h->bad_name || h->bad_value)
        return error_set(err, STATUS_INVALID, "A header has a character that is not allowed.");
    if (h->n_length > 1)
        return error_set(err, STATUS_INVALID, "More than one Content-Length header.");
    if (h->n_encoding > 1)
        return error_set(err, STATUS_INVALID, "More than one Transfer-Encoding header.");
    if (h->n_encoding && h->n_length)
        return error_set(err, STATUS_INVALID,
                         "Transfer-Encoding and Content-Length must not be sent together.");
    if (h->n_encoding && !http_1_1)
        return error_set(err, STATUS_INVALID, "Transfer-Encoding needs HTTP/1.1.");
    if (h->n_encoding && (!h->encoding || strcasecmp(h->encoding, "chunked") != 0))
        return error_set(err, STATUS_INVALID,
                         "This Transfer-Encoding is not understood: send \"chunked\" or a "
                         "Content-Length.");
    if (h->n_host > 1) return error_set(err, STATUS_INVALID, "More than one Host header.");
    if (h->n_host == 0 && http_1_1)
        return error_set(err, STATUS_INVALID, "An HTTP/1.1 request needs a Host header.");
    return STATUS_OK;
}

static void set_request_id(struct http_exchange *x)
{
    const char *given = http_header(x, "X-Request-Id");
    size_t n = given ? strlen(given) : 0;
    bool ok = n > 0 && n <= LIMIT_REQUEST_ID_LEN;
    for (size_t i = 0; ok && i < n; i++) ok = given[i] > 0x20 && given[i] < 0x7f;
    struct http_server *s = x->conn->server;
    if (ok)
        snprintf(x->id, sizeof(x->id), "%s", given);
    else
        snprintf(x->id, sizeof(x->id), "%08" PRIx32 "-%08" PRIx64, (uint32_t)s->id_salt,
                 ++s->id_count);
}

static enum MHD_Result queue_answer(struct http_exchange *x)
{
    struct MHD_Response *r = x->response;
    x->response = NULL;
    x->queued = true;
    http_deadline_set(x->conn, DEADLINE_NONE);
    enum MHD_Result ok = MHD_queue_response(x->conn->mhd, (unsigned)x->status, r);
    MHD_destroy_response(r);
    return ok;
}

void http_body_free(struct http_exchange *x)
{
    x->conn->server->bodies_size -= x->body_counted;
    x->body_counted = 0;
    strbuf_free(&x->body);
}

static void refuse(struct http_exchange *x, const struct error *err)
{
    struct http_server *s = x->conn->server;
    http_body_free(x);
    if (!x->answered) s->o.on_error(s->o.arg, x, err);
}

/* "/llm/v1/models" is "/v1/models" under root path "/llm". */
static const char *strip_root(const char *root, const char *path)
{
    size_t n = root ? strlen(root) : 0;
    while (n > 0 && root[n - 1] == '/') n--;
    return n > 0 && strncmp(path, root, n) == 0 && path[n] == '/' ? path + n : path;
}

/* Headers are there, no byte of the body is stored yet. */
static enum MHD_Result begin_request(struct http_exchange *x, const char *url, const char *method,
                                     const char *version)
{
    struct http_server *s = x->conn->server;
    struct header_scan h = {.size = strlen(url) + strlen(method)};
    struct error err = {0};
    x->open = true;
    x->method = method;
    x->path = strip_root(s->o.root_path, url);
    x->chunked = strcmp(version, MHD_HTTP_VERSION_1_0) != 0;
    x->received_us = clock_now_us();
    MHD_get_connection_values_n(x->conn->mhd, MHD_HEADER_KIND, scan_header, &h);
    set_request_id(x);
    const char *expect = http_header(x, "Expect");
    x->expect_100 = expect && strcasecmp(expect, "100-continue") == 0;

    uint64_t length = 0;
    if (x->conn->nul_in_uri)
        error_set(&err, STATUS_INVALID, "The path has a character that is not allowed (%%00).");
    else
        check_framing(&h, x->chunked, &err);
    if (err.code != STATUS_OK) {
        x->must_close = true;
        refuse(x, &err);
    } else if (h.size > (uint64_t)s->o.max_header_size) {
        x->must_close = true;
        error_set(&err, STATUS_HEADERS_TOO_LARGE,
                  "The headers are larger than the limit of %" PRId64 " bytes.",
                  s->o.max_header_size);
        refuse(x, &err);
    } else {
        bool too_large =
            h.length && (!parse_u64(h.length, &length) || length > (uint64_t)s->o.max_body_size);
        x->must_close = too_large;
        if (s->o.on_headers) s->o.on_headers(s->o.arg, x);
        if (too_large && !x->answered) {
            error_set(&err, STATUS_TOO_LARGE,
                      "The body is larger than the limit of %" PRId64 " bytes.",
                      s->o.max_body_size);
            refuse(x, &err);
        }
    }
    if (x->no_memory) return MHD_NO;
    if (!x->response) return MHD_YES;
    /* An answer already.  A body of bearable size is read and dropped, so that the connection
     * can go on and the answer is not lost in a reset; after others the connection is closed. */
    bool has_body = length > 0 || h.n_encoding > 0;
    if (!x->must_close && has_body && !x->expect_100) return MHD_YES;
    if (x->must_close) http_linger(s, x->conn->fd);
    return queue_answer(x);
}

static enum MHD_Result take_body(struct http_exchange *x, const char *data, size_t *len)
{
    struct http_server *s = x->conn->server;
    size_t n = *len;
    *len = 0;
    /* body.len goes on counting while a refused body is dropped */
    if (n > (uint64_t)s->o.max_body_size - x->body.len) {
        struct error err;
        error_set(&err, STATUS_TOO_LARGE, "The body is larger than the limit of %" PRId64 " bytes.",
                  s->o.max_body_size);
        http_send_raw_error(x->conn, &err);
        http_linger(s, x->conn->fd);
        return MHD_NO;
    }
    if (x->answered) {
        x->body.len += n;
        return MHD_YES;
    }
    if (n > (uint64_t)s->o.max_bodies_size - s->bodies_size) {
        struct error err;
        error_set(&err, STATUS_UNAVAILABLE,
                  "The server holds as many request bodies as it may; try again later.");
        http_send_raw_error(x->conn, &err);
        http_linger(s, x->conn->fd);
        return MHD_NO;
    }
    s->bodies_size += n;
    x->body_counted += n;
    strbuf_add(&x->body, data, n);
    if (x->body.failed) {
        struct error err;
        error_set(&err, STATUS_NO_MEMORY, "No memory for the request's body.");
        http_send_raw_error(x->conn, &err);
        return MHD_NO;
    }
    return MHD_YES;
}

/* The request is whole; also called again when a suspended connection was resumed. */
static enum MHD_Result finish_request(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    if (x->gone) return MHD_NO;
    if (!x->handled && !x->answered) {
        http_deadline_set(x->conn, DEADLINE_NONE);
        x->handled = true;
        s->n_exchanges++;
        s->o.on_request(s->o.arg, x);
    }
    if (x->gone || x->no_memory) return MHD_NO;
    if (x->response) return queue_answer(x);
    MHD_suspend_connection(x->conn->mhd);
    x->suspended = true;
    s->n_suspended++;
    http_watch_update(x);
    return MHD_YES;
}

enum MHD_Result http_on_access(void *server, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_size, void **req_cls)
{
    (void)server, (void)mhd;
    struct http_conn *c = *req_cls;
    struct http_exchange *x = &c->x;
    if (c->refused) return MHD_NO;
    if (!x->open) return begin_request(x, url, method, version);
    if (*upload_size > 0) return take_body(x, upload, upload_size);
    return finish_request(x);
}

void http_on_completed(void *server, struct MHD_Connection *mhd, void **req_cls,
                       enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    struct http_server *s = server;
    struct http_conn *c = *req_cls;
    if (!c || !c->x.open) return;
    struct http_exchange *x = &c->x;
    list_remove(&x->work);
    if (x->suspended) s->n_suspended--;
    if (x->handled) s->n_exchanges--;
    http_closed_fn *closed = x->closed;
    x->closed = NULL;
    if (closed) closed(x->user, x->gone || code != MHD_REQUEST_TERMINATED_COMPLETED_OK);

    if (x->response) MHD_destroy_response(x->response);
    if (!x->body.data) x->body.len = 0; /* counted what was dropped */
    http_body_free(x);
    struct strbuf headers = x->headers;
    strbuf_clear(&headers);
    char *stream = x->stream;
    size_t cap = x->stream_cap;
    if (cap > HTTP_STREAM_KEEP_SIZE) {
        free(stream);
        stream = NULL;
        cap = 0;
    }
    *x = (struct http_exchange){.conn = c, .headers = headers, .stream = stream, .stream_cap = cap};
    list_init(&x->work);
    strbuf_init(&x->body, 0);
    *req_cls = NULL;
    http_deadline_set(c, DEADLINE_IDLE);
}

/* --- the request, as handlers see it ---------------------------------------------------------- */

const char *http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->conn->mhd, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->conn->mhd, MHD_GET_ARGUMENT_KIND, name);
}

struct str http_body(const struct http_exchange *x)
{
    return (struct str){x->body.data ? x->body.data : "", x->body.data ? x->body.len : 0};
}

char *http_take_body(struct http_exchange *x)
{
    size_t len;
    return strbuf_take(&x->body, &len);
}

const char *http_request_id(const struct http_exchange *x)
{
    return x->id;
}

uint64_t http_received_us(const struct http_exchange *x)
{
    return x->received_us;
}

/* --- the answer ------------------------------------------------------------------------------- */

void http_set_closed(struct http_exchange *x, http_closed_fn *fn, void *user)
{
    x->closed = fn;
    x->user = user;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    strbuf_add(&x->headers, name, strlen(name) + 1);
    strbuf_add(&x->headers, value, strlen(value) + 1);
}

static void answer(struct http_exchange *x, int status, const char *content_type,
                   struct MHD_Response *r)
{
    x->answered = true;
    x->status = status;
    x->response = r;
    bool ok = r && !x->headers.failed;
    ok = ok && MHD_add_response_header(r, "X-Request-Id", x->id) == MHD_YES;
    if (ok && content_type)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, content_type) == MHD_YES;
    if (ok && (x->must_close || !x->conn->server->listening))
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES;
    for (size_t at = 0; ok && at < x->headers.len;) {
        const char *name = x->headers.data + at;
        const char *value = name + strlen(name) + 1;
        ok = MHD_add_response_header(r, name, value) == MHD_YES;
        at = (size_t)(value + strlen(value) + 1 - x->headers.data);
    }
    if (!ok) {
        x->no_memory = true;
        if (x->handled) http_lost(x);
        return;
    }
    if (x->suspended) http_work(x, &x->conn->server->resume);
    struct http_options *o = &x->conn->server->o;
    if (o->on_answer) o->on_answer(o->arg, x, status);
}

void http_respond(struct http_exchange *x, int status, const char *content_type, const char *body,
                  size_t body_len)
{
    DCHECK(!x->answered || x->gone);
    if (x->gone || x->answered) return;
    answer(
        x, status, content_type,
        MHD_create_response_from_buffer(body_len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY));
}

void http_respond_buf(struct http_exchange *x, int status, const char *content_type,
                      struct strbuf *body)
{
    DCHECK(!x->answered || x->gone);
    if (x->gone || x->answered) return;
    size_t len = 0;
    char *data = strbuf_take(body, &len);
    struct MHD_Response *r = MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
    if (!r) free(data);
    answer(x, status, content_type, r);
}

void http_stream_begin(struct http_exchange *x, int status, const char *content_type)
{
    DCHECK(!x->answered || x->gone);
    if (x->gone || x->answered) return;
    x->streaming = true;
    answer(x, status, content_type,
           MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, http_stream_reader, x, NULL));
}
