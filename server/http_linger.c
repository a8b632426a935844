#include "server/http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct linger_socket {
    struct http_server *server;
    uv_poll_t poll;
    uv_timer_t timer;
    int fd, n_open; /* n_open: handles not closed yet */
    bool closing;
    struct list link;
};

static void on_linger_closed(uv_handle_t *h)
{
    struct linger_socket *l = h->data;
    if (--l->n_open > 0) return;
    close(l->fd);
    struct http_server *s = l->server;
    free(l);
    if (--s->n_handles == 0) free(s);
}

static void linger_end(struct linger_socket *l)
{
    if (l->closing) return;
    l->closing = true;
    list_remove(&l->link);
    l->server->n_lingering--;
    uv_close((uv_handle_t *)&l->poll, on_linger_closed);
    uv_close((uv_handle_t *)&l->timer, on_linger_closed);
}

static void on_linger_readable(uv_poll_t *p, int status, int events)
{
    (void)events;
    static char trash[64 << 10];
    struct linger_socket *l = p->data;
    ssize_t n = status < 0 ? 0 : recv(l->fd, trash, sizeof(trash), 0);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
    linger_end(l);
}

static void on_linger_timeout(uv_timer_t *t)
{
    linger_end(t->data);
}

void http_linger(struct http_server *s, int fd)
{
    if (s->n_lingering >= HTTP_LINGER_MAX) return;
    struct linger_socket *l = calloc(1, sizeof(*l));
    if (!l) return;
    l->server = s;
    l->fd = dup(fd); /* MHD closes its own; the socket lives as long as one of the two */
    if (l->fd < 0 || uv_poll_init(s->loop, &l->poll, l->fd) != 0) {
        if (l->fd >= 0) close(l->fd);
        free(l);
        return;
    }
    uv_timer_init(s->loop, &l->timer);
    l->poll.data = l->timer.data = l;
    l->n_open = 2;
    s->n_handles++;
    s->n_lingering++;
    list_push_back(&s->lingering, &l->link);
    uv_poll_start(&l->poll, UV_READABLE, on_linger_readable);
    uv_timer_start(&l->timer, on_linger_timeout, HTTP_LINGER_MS, 0);
}

void http_linger_close_all(struct http_server *s)
{
    list_for_each (node, &s->lingering) {
        linger_end(list_entry(node, struct linger_socket, link));
    }
}
