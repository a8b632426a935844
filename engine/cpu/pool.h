#ifndef ENGINE_CPU_POOL_H
#define ENGINE_CPU_POOL_H

/* pool.h - the worker threads of the CPU backend.
 *
 * One thread (the caller) hands out jobs; a job is `n_chunks` calls of one function, taken from a
 * shared counter by the caller and by whichever workers are there in time.  A worker that comes
 * late (asleep, or its core was taken away) is not waited for.  Workers spin about 50 us for the
 * next job, then sleep on a futex: an idle pool uses no CPU.  Small jobs run on the caller alone
 * and wake nobody.  Threads may have a CPU each (topology.h says when that is wise), where they wait
 * when somebody else uses it.
 *
 * What a job computes must not depend on who computes a chunk, or in which order. */

#include "config/base/status.h"

struct pool;

/* Worker 0 is the caller; `worker` picks scratch memory. */
typedef void pool_fn(void *ctx, int worker, int chunk);

/* cpus[n_threads]: where each worker stays, cpus[0] being for the caller; NULL: anywhere. */
enum status pool_open(struct pool **out, int n_threads, const int *cpus, struct error *err);
void pool_close(struct pool *p); /* NULL is fine */
/* Moves the calling thread to the CPU of worker 0, if it has one, until it closes the pool. */
void pool_place_caller(struct pool *p);
int pool_n_threads(const struct pool *p);
/* Returns when all chunks are done.  work_ns: rough time of the whole job on one thread. */
void pool_run(struct pool *p, pool_fn *fn, void *ctx, int n_chunks, double work_ns);
/* How many threads pool_run would use for so much work: 1, or all. */
int pool_width(const struct pool *p, double work_ns);

/* CPUs this process may use: scheduling affinity, lowered to the cgroup's CPU quota. */
int pool_default_threads(void);

#endif
