#include "config/base/check.h"
#include "server/http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool stream_drained(const struct http_exchange *x)
{
    return x->sent == x->sealed && x->stream_len == x->sealed;
}

/* A reader that ends its connection leaves it closed but in none of the lists that 0.9.75 looks
 * through to free it, but for the one of timeouts, whose turn may be far away.  All connections
 * with a timeout of their own are looked at in every MHD_run. */
static ssize_t end_connection(struct http_exchange *x, ssize_t code)
{
    struct http_server *s = x->conn->server;
    MHD_set_connection_option(x->conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                              (unsigned)s->o.idle_timeout + 2);
    s->need_run = true;
    return code;
}

/* MHD asks for the body: it has sent the headers and owns no unsent byte.  From here the socket is
 * ours until the stream has ended. */
ssize_t http_stream_reader(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos, (void)buf, (void)max;
    struct http_exchange *x = cls;
    if (x->gone) return end_connection(x, MHD_CONTENT_READER_END_WITH_ERROR);
    if (x->ended && stream_drained(x))
        return x->chunked ? MHD_CONTENT_READER_END_OF_STREAM
                          : end_connection(x, MHD_CONTENT_READER_END_OF_STREAM);
    MHD_suspend_connection(x->conn->mhd);
    x->suspended = true;
    x->conn->server->n_suspended++;
    x->raw = true;
    http_watch_update(x);
    if (!x->gone && !stream_drained(x)) http_work(x, &x->conn->server->dirty);
    return 0;
}

/* Room for `len` more payload bytes, a head before them and a CRLF behind them. */
static bool stream_reserve(struct http_exchange *x, size_t len)
{
    if (len > HTTP_STREAM_MAX_SIZE || x->stream_len > HTTP_STREAM_MAX_SIZE - len) return false;
    size_t need = x->stream_len + HTTP_FRAME_HEAD + len + 2;
    if (need <= x->stream_cap) return true;
    size_t cap = x->stream_cap ? x->stream_cap : 1024;
    while (cap < need) cap *= 2;
    char *p = realloc(x->stream, cap);
    if (!p) return false;
    x->stream = p;
    x->stream_cap = cap;
    return true;
}

void http_stream_write(struct http_exchange *x, const char *data, size_t len)
{
    DCHECK(x->gone || (x->streaming && !x->ended));
    if (x->gone || len == 0) return;
    if (!stream_reserve(x, len)) {
        http_lost(x);
        return;
    }
    if (x->stream_len == x->sealed) x->stream_len += HTTP_FRAME_HEAD;
    memcpy(x->stream + x->stream_len, data, len);
    x->stream_len += len;
}

void http_stream_flush(struct http_exchange *x)
{
    if (x->raw && !x->gone && !x->want_write) http_work(x, &x->conn->server->dirty);
}

void http_stream_end(struct http_exchange *x)
{
    DCHECK(x->gone || (x->streaming && !x->ended));
    if (x->gone || x->ended) return;
    x->ended = true;
    if (!x->raw || x->want_write) {
        if (x->want_write) http_deadline_set(x->conn, DEADLINE_DRAIN);
        return; /* the reader, or the watch, goes on */
    }
    http_work(x, &x->conn->server->dirty);
}

size_t http_stream_backlog(const struct http_exchange *x)
{
    size_t open = x->stream_len - x->sealed;
    return x->sealed - x->sent + (open ? open - HTTP_FRAME_HEAD : 0);
}

/* Makes the open frame the next to send; false when there is none. */
static bool stream_seal(struct http_exchange *x)
{
    static const char digits[] = "0123456789abcdef";
    if (x->stream_len == x->sealed) {
        x->stream_len = x->sealed = x->sent = 0;
        return false;
    }
    if (x->sealed > 0) { /* written while the frame before it was on its way */
        x->stream_len -= x->sealed;
        memmove(x->stream, x->stream + x->sealed, x->stream_len);
    }
    x->sent = HTTP_FRAME_HEAD;
    if (x->chunked) {
        size_t n = x->stream_len - HTTP_FRAME_HEAD;
        x->stream[--x->sent] = '\n';
        x->stream[--x->sent] = '\r';
        for (; n; n >>= 4) x->stream[--x->sent] = digits[n & 15];
        x->stream[x->stream_len++] = '\r';
        x->stream[x->stream_len++] = '\n';
    }
    x->sealed = x->stream_len;
    return true;
}

/* From the pump: sends what can be sent; hands an ended stream back to MHD. */
void http_stream_send(struct http_exchange *x)
{
    if (x->gone || !x->raw) return;
    while (x->sent < x->sealed || stream_seal(x)) {
        ssize_t n = send(x->conn->fd, x->stream + x->sent, x->sealed - x->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            x->want_write = true;
            http_watch_update(x);
            if (x->ended && x->conn->kind == DEADLINE_NONE)
                http_deadline_set(x->conn, DEADLINE_DRAIN);
            return;
        }
        if (n < 0) {
            http_lost(x);
            return;
        }
        x->sent += (size_t)n;
        if (x->conn->kind == DEADLINE_DRAIN) http_deadline_set(x->conn, DEADLINE_DRAIN);
    }
    if (x->want_write) {
        x->want_write = false;
        http_watch_update(x);
    }
    if (x->ended) {
        http_deadline_set(x->conn, DEADLINE_NONE);
        http_work(x, &x->conn->server->resume);
    }
}
