#ifndef SERVER_TEXT_JOB_H
#define SERVER_TEXT_JOB_H

/* text_job.h - requests that are answered by a pure function of their body, and the uv pool that
 * works on long ones.
 *
 * Nothing long runs on the loop thread: a long body is handed over, not copied; the pool parses,
 * renders, tokenises and writes the answer, and frees what that took; the loop hands the answer to
 * the socket as it is.  The client may leave meanwhile.
 *
 * Pool threads run at a somewhat lower priority: where the engine's CPU threads need every core, they
 * get most of it; on a core that is free it makes no difference.  Not at the lowest, because a
 * thread that waits for a processor may hold a lock of the allocator that the loop needs. */

#include "server/app.h"

struct text_request {
    const struct app *app; /* its immutable members alone */
    struct str body;
    int64_t now_s;
};
/* Appends the JSON answer.  Runs on the loop thread or on the pool. */
typedef enum status text_fn(const struct text_request *r, struct strbuf *answer, struct error *err);

/* Answers the exchange now or later. */
void text_job_start(struct app *a, struct http_exchange *x, text_fn *fn);

/* First thing in every function that the uv pool runs. */
void pool_thread_begin(void);
/* Before the uv pool's first use: as many threads as suit this machine, unless UV_THREADPOOL_SIZE
 * says otherwise. */
void pool_configure(void);

#endif
