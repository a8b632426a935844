#ifndef SERVER_TEXT_JOB_H
#define SERVER_TEXT_JOB_H

/* text_job.h - requests that are answered by a pure function of their body, and the uv pool that
 * works on long ones.
 *
 * Nothing long runs on the loop thread: a long body is handed over, not copied; the pool parses,
 * renders, tokenises and writes the answer, and frees what that took; the loop hands the answer to
 * the socket as it is.  The client may leave meanwhile.
 *
 * The pool's threads have the priority of the others: a thread that waits for a processor may hold a
 * lock of the allocator or of the address space that the loop needs, and at a lower priority it
 * would wait long (measured in docs/speed.md).  What bounds them is their number. */

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

/* The jobs on the pool, those too whose client has left: a job that has begun cannot be stopped. */
int text_jobs_n_active(void);
/* At the end of a server: their clients are told, and what the pool has not begun it leaves. */
void text_jobs_cancel(void);

/* Before the uv pool's first use: as many threads as suit this machine, unless UV_THREADPOOL_SIZE
 * says otherwise. */
void pool_configure(void);

#endif
