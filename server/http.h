#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

/* http.h - HTTP/1.1 on libuv: libmicrohttpd behind a dozen functions.  All that is known about
 * 0.9.75's edges (epoll, suspend/resume, vanished clients, request smuggling) lives in http.c and
 * nowhere else.  Threads: the loop thread only.
 *
 * An exchange is one request and its answer.  The handler is called once, when the whole body is
 * there (or at once with an error answered by http.c itself).  It answers now or later with
 * http_respond, or with http_stream_begin, any number of writes, and http_stream_end.  on_closed
 * is called exactly once per exchange that reached the handler: `gone` tells whether the client
 * left before the answer was sent whole; after it the exchange is no more. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct http_server;
struct http_exchange;

typedef void http_handler_fn(void *arg, struct http_exchange *x);
typedef void http_closed_fn(void *user, bool gone);

struct http_options {
    const char *host;
    int port; /* 0 = any */
    int64_t max_connections, max_body_size, max_header_size;
    int64_t max_bodies_size; /* of all open exchanges together, beyond it 503; 0 =
                              * LIMIT_BODIES_SIZE */
    double idle_timeout;     /* seconds a kept-alive connection may be silent */
    double header_timeout;   /* seconds from first byte to the whole request (headers and body) */
    /* Called when only the headers are there, before any body byte is stored: answer with
     * http_respond* to refuse early (auth, route, method); returning without answering goes on. */
    http_handler_fn *on_headers;
    http_handler_fn *on_request;
    /* Writes http.c's own refusals (413, 431, 400...) in the API's error shape. */
    void (*on_error)(void *arg, struct http_exchange *x, const struct error *err);
    /* An answer has begun: for counting.  May be NULL. */
    void (*on_answer)(void *arg, struct http_exchange *x, int status);
    /* A prefix that http_path leaves out when the client sent it; NULL or "" = none. */
    const char *root_path;
    void *arg;
};

enum status http_open(struct http_server **out, uv_loop_t *loop, const struct http_options *o,
                      struct error *err);
int http_port(const struct http_server *s);
/* Stops accepting; open exchanges go on. */
void http_stop_listening(struct http_server *s);
int http_open_exchanges(const struct http_server *s);
int http_open_connections(const struct http_server *s);
/* Closes everything; on_closed(gone) runs for what was open.  The memory is freed when the loop has
 * run on and closed the handles. */
void http_close(struct http_server *s);

/* --- the request --- */
const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x); /* decoded, without the query */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL = absent */
const char *http_query(const struct http_exchange *x, const char *name);
struct str http_body(const struct http_exchange *x); /* valid until on_closed */
/* The body's memory, for the caller to free(), on any thread; http_body is empty after that. */
char *http_take_body(struct http_exchange *x);
/* Echoed X-Request-Id: the client's when it is short and printable, else made here. */
const char *http_request_id(const struct http_exchange *x);
uint64_t http_received_us(const struct http_exchange *x); /* when the headers were complete */

/* --- the answer --- */
void http_set_closed(struct http_exchange *x, http_closed_fn *fn, void *user);
void http_add_header(struct http_exchange *x, const char *name, const char *value); /* copied */
void http_respond(struct http_exchange *x, int status, const char *content_type, const char *body,
                  size_t body_len); /* copied */
/* The same with a body that is handed over, not copied; it is empty afterwards. */
void http_respond_buf(struct http_exchange *x, int status, const char *content_type,
                      struct strbuf *body);
void http_stream_begin(struct http_exchange *x, int status, const char *content_type);
void http_stream_write(struct http_exchange *x, const char *data, size_t len); /* copied */
/* Sends what was written (one resume per exchange and loop turn). */
void http_stream_flush(struct http_exchange *x);
void http_stream_end(struct http_exchange *x);
/* Bytes written but not yet taken by the socket: the caller cancels a client that does not read. */
size_t http_stream_backlog(const struct http_exchange *x);

#endif
