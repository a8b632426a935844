#ifndef SERVER_HTTP_INTERNAL_H
#define SERVER_HTTP_INTERNAL_H

/* http_internal.h - shared by http.c (sockets, timers, the pump), http_request.c (one request from
 * its headers to its answer), http_stream.c (event streams) and http_linger.c.
 *
 * How libmicrohttpd 0.9.75 is driven.  It has an epoll set of its own, which libuv polls; MHD_run
 * is called at most a few times per loop turn, from the pump (a uv_prepare callback, so everything
 * that a turn's callbacks asked for is done at once, right before the loop would sleep), and when
 * the time of MHD_get_timeout is up: its sockets are edge-triggered, so skipping that hangs
 * connections.
 *
 * Clients that leave.  A connection whose answer is not there yet is suspended, and MHD neither
 * times it out nor sees its client go.  Nor does it always see that of others: it takes a short
 * read for an empty socket, so a FIN that came together with the last bytes raises no further
 * edge and would be noticed at the idle timeout.  Therefore libuv watches every socket for
 * UV_DISCONNECT.  FIN and reset both mean that the client is gone: a suspended exchange ends at
 * once, another connection is shut down when MHD has not closed it HTTP_HANGUP_MS later.
 *
 * Streams: when MHD asks for the first piece of the body, the status line and the headers are in
 * the socket and its write buffer is empty.  The connection is then suspended until the stream
 * has ended, and http_stream.c writes the chunks to the socket itself: one send(2) per event
 * instead of resume + eventfd + epoll_wait + suspend (measured in docs/speed.md).  At the end MHD
 * gets the connection back, writes the last chunk and goes on with keep-alive. */

#include "config/base/list.h"
#include "server/http.h"

#include <microhttpd.h>

enum {
    HTTP_FRAME_HEAD = 10,             /* room for "ffffffff\r\n" */
    HTTP_STREAM_MAX_SIZE = 256 << 20, /* unsent bytes after which a client is given up */
    HTTP_STREAM_KEEP_SIZE = 4096,     /* buffers up to this size stay with the connection */
    HTTP_SPARE_CONNECTIONS = 128,     /* beyond the limit: answered 503 and closed */
    HTTP_HANGUP_MS = 50,
    HTTP_WATCHDOG_MS = 100, /* MHD_run at least this often while answers are open:
                                           * before 1.0.3 a ready connection may be skipped when
                                           * another one is suspended */
    HTTP_LINGER_MAX = 256,  /* sockets read to their end after a refusal */
    HTTP_LINGER_MS = 2000,  /* nginx's lingering_timeout is 5 s */
};

enum http_deadline {
    DEADLINE_NONE,
    DEADLINE_REQUEST, /* until the request is there */
    DEADLINE_IDLE,    /* until the next request line is there */
    DEADLINE_DRAIN,   /* until an ended stream is taken */
    DEADLINE_HANGUP,  /* until MHD has noticed a FIN */
    DEADLINE_N
};

/* One request and its answer; embedded in its connection and used again. */
struct http_exchange {
    struct http_conn *conn;
    /* the request; strings are MHD's and live until the request is completed */
    const char *method, *path;
    char id[136];
    uint64_t received_us;
    struct strbuf body;
    size_t body_counted; /* bytes of it in server.bodies_size */
    /* the answer */
    struct strbuf headers; /* "name\0value\0" pairs */
    struct MHD_Response *response;
    int status;
    http_closed_fn *closed;
    void *user;
    /* the stream: [sent, sealed) framed, behind it the room for a head and an open frame */
    char *stream;
    size_t stream_cap, stream_len, sent, sealed;
    struct list work; /* in server.dirty, .resume or .gone, or alone */

    bool open;       /* headers are there; MHD will tell when it ends */
    bool handled;    /* on_request was called */
    bool answered;   /* http_respond or http_stream_begin was called */
    bool queued;     /* MHD has the answer */
    bool suspended;  /* MHD leaves the connection alone */
    bool streaming;  /* the answer is a stream */
    bool raw;        /* the socket is ours: MHD has sent the headers */
    bool chunked;    /* HTTP/1.1 client */
    bool ended;      /* http_stream_end was called */
    bool want_write; /* the socket is full */
    bool gone;       /* the client left, or the answer failed */
    bool must_close; /* no keep-alive after this answer */
    bool no_memory;
    bool expect_100;
};

struct http_conn {
    struct http_server *server;
    struct MHD_Connection *mhd;
    int fd;
    uv_poll_t watch;
    int watched;             /* events that watch waits for */
    bool hung_up;            /* a FIN or a reset has come; the watch is stopped */
    bool nul_in_uri;         /* "%00": MHD's decoded path would end there */
    bool refused;            /* over the connection limit */
    struct list link;        /* server.conns */
    struct list deadline;    /* server.deadlines[kind], or alone */
    enum http_deadline kind; /* which list */
    uint64_t deadline_us;
    struct http_exchange x;
};

struct http_server {
    uv_loop_t *loop;
    struct http_options o;
    struct MHD_Daemon *daemon;
    int listen_fd, port;
    uv_poll_t mhd_poll;
    uv_timer_t mhd_timer, deadline_timer;
    uv_prepare_t pump;
    struct list conns, dirty, resume, gone;
    struct list deadlines[DEADLINE_N];
    struct list lingering;
    size_t bodies_size;
    int n_conns, n_exchanges, n_suspended, n_lingering;
    int n_handles; /* uv handles not closed yet; the server is freed with the last */
    uint64_t id_salt, id_count;
    bool need_run, listening, closing;
};

/* --- http.c --- */
void http_deadline_set(struct http_conn *c, enum http_deadline kind);
/* After want_write has changed, or x was suspended. */
void http_watch_update(struct http_exchange *x);
/* Moves x into one of the pump's lists. */
void http_work(struct http_exchange *x, struct list *where);
/* The client left: on_closed and the end of the exchange follow in the pump. */
void http_lost(struct http_exchange *x);
/* Writes a whole error answer to the socket, past MHD; only where MHD has sent nothing yet. */
void http_send_raw_error(struct http_conn *c, const struct error *err);

/* --- http_request.c: MHD's callbacks --- */
void http_body_free(struct http_exchange *x);
enum MHD_Result http_on_access(void *server, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_size, void **req_cls);
void http_on_completed(void *server, struct MHD_Connection *mhd, void **req_cls,
                       enum MHD_RequestTerminationCode code);

/* --- http_stream.c --- */
ssize_t http_stream_reader(void *x, uint64_t pos, char *buf, size_t max);
void http_stream_send(struct http_exchange *x);

/* --- http_linger.c: after an answer that came before its request was read whole, the socket is
 * read for a while before it is closed; else the reset would overtake the answer --- */
void http_linger(struct http_server *s, int fd);
void http_linger_close_all(struct http_server *s);

#endif
