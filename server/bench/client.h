#ifndef SERVER_BENCH_CLIENT_H
#define SERVER_BENCH_CLIENT_H

/* client.h - keep-alive connections and the requests on them, on one libuv loop.
 *
 * Times: a request starts when it is written, or, in an open loop, when it was due (so that a
 * stalled server is not flattered by requests that were held back).  The clock is read once for
 * each read(2); events that arrive together have 0 between them. */

#include "config/base/list.h"
#include "server/bench/response.h"
#include "server/bench/sse_scan.h"
#include "server/bench/stats.h"
#include "server/bench/url.h"
#include "server/bench/workload.h"

#include <uv.h>

#define CLIENT_READ_SIZE (256 * 1024)
#define CLIENT_BODY_MAX  (64u << 20) /* of an answer that is not a stream */

struct client {
    uv_loop_t *loop;
    struct bench_url url;
    const char *api_key;
    const struct workload *workload;
    bool stream;
    uint64_t timeout_ns;
    struct stats *stats;
    void (*on_done)(void *arg); /* a request has ended; n_busy is already less */
    void *arg;

    /* private */
    struct sockaddr_storage address;
    struct list idle, busy; /* struct conn; busy in the order of sending */
    int64_t n_busy, n_conns;
    int64_t n_failed_connects; /* in a row */
    int warmup_status;        /* 4xx when a warm-up was refused as every request would be; else 0 */
    char warmup_answer[1024]; /* its body, cut */
    struct strbuf body;       /* scratch */
    char *read_buffer;
};

enum status client_init(struct client *c, uv_loop_t *loop, const struct bench_url *url,
                        const char *api_key, struct error *err);
/* Closes every connection; run the loop until nothing is left, then client_free. */
void client_close_all(struct client *c);
void client_free(struct client *c);

/* Finds the server and asks it once: runs the loop until the answer (or the error) is here.
 * `body` NULL: GET.  *status: of the answer. */
enum status client_fetch(struct client *c, const char *path, const char *body, int *status,
                         struct strbuf *answer, struct error *err);
/* Sends a request; `start_ns` 0: starts now.  Warm-ups are not counted. */
void client_send(struct client *c, const struct work_item *item, uint64_t start_ns, bool warmup);
/* Ends requests that are older than the timeout; call it from a timer. */
void client_expire(struct client *c, uint64_t now_ns);
/* Ends every request with this outcome. */
void client_abort_all(struct client *c, enum outcome outcome);

#endif
