#ifndef SERVER_TERMINAL_SERVER_CHILD_H
#define SERVER_TERMINAL_SERVER_CHILD_H

/* server_child.h - the server that `inferd chat` starts for itself: this binary again, as
 * `inferd serve`, on a free port of 127.0.0.1.  Nobody else can use it: it wants a random key, which
 * it gets by its environment.  It has a session of its own, so that Ctrl-C is not its business, and
 * ends when its parent does, however that ends (PR_SET_PDEATHSIG).  Its standard error is ours:
 * there it shows how loading goes on, and why it cannot start.
 *
 * Start it before any thread: it is forked, and the death of the starting thread ends it. */

#include "server/terminal/http_client.h"

#include <sys/types.h>

struct server_child {
    pid_t pid;       /* 0: none */
    int pid_fd;      /* pidfd(2), to wait with a limit */
    int ready_fd;    /* where it tells its address */
    char key[65];    /* NUL-terminated */
    char url[128];   /* once it is ready */
    int exit_status; /* once it has ended: of exit(3), or 128 + signal */
};

/* `model` NULL: the server's own choice; `words`: options for it. */
enum status server_child_start(struct server_child *c, const char *model, char **words, int n_words,
                               struct error *err);
/* Waits until it serves.  CANCELLED: should_stop said so.  UNAVAILABLE: it ended instead, and has
 * said why; exit_status is set. */
enum status server_child_wait_ready(struct server_child *c, const struct http_watch *watch,
                                    struct error *err);
/* OK while it lives; else UNAVAILABLE says how it ended.  Waits so long for that end. */
enum status server_child_check(struct server_child *c, int wait_ms, struct error *err);
/* Ends it and waits for that: five seconds by SIGTERM, then by SIGKILL. */
void server_child_stop(struct server_child *c);

#endif
