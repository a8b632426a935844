#ifndef ENGINE_CPU_POOL_H
#define ENGINE_CPU_POOL_H

/* pool.h - the worker threads of the CPU backend.
 *
 * One thread (the caller) hands out jobs; a job is `n_chunks` calls of one function, taken from a
 * shared counter by the caller and by whichever workers are there in time.  A worker that comes
 * late (asleep, or its core was taken away) is not waited for.  Workers spin about 50 us for the
 * next job, then sleep on a futex: an idle pool uses no CPU.  Small jobs run on the caller alone
 * and wake nobody.  Threads are not pinned: a pinned worker waits for its core when the host gives
 * it to another thread, and the event loop needs a core too.
 *
 * What a job computes must not depend on who computes a chunk, or in which order. */

#include "config/base/status.h"

struct pool;

/* Worker 0 is the caller; `worker` picks scratch memory. */
typedef void pool_fn(void *ctx, int worker, int chunk);

enum status pool_open(struct pool **out, int n_threads, struct error *err);
void pool_close(struct pool *p); /* NULL is fine */
int pool_n_threads(const struct pool *p);
/* Returns when all chunks are done.  work_ns: rough time of the whole job on one thread. */
void pool_run(struct pool *p, pool_fn *fn, void *ctx, int n_chunks, double work_ns);
/* How many threads pool_run would use for so much work: 1, or all. */
int pool_width(const struct pool *p, double work_ns);

/* CPUs this process may use: scheduling affinity, lowered to the cgroup's CPU quota. */
int pool_default_threads(void);

#endif
