#include "engine/cpu/pool.h"

#include "config/base/check.h"
#include "engine/cpu/topology.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A job shorter than this stays on the caller: waking a sleeping thread costs 5 to 50 us, so two
 * threads only win when each has clearly more than that to do. */
#define POOL_MIN_WORK_NS 40000.0

/* Rounds of `pause` before sleeping: 17 ns each on Zen 4, 40 ns on recent Intel: 35 to 80 us. */
#define POOL_SPIN_ROUNDS 2000

/* gate: generation << 32 | open << 31 | workers that joined */
#define GATE_OPEN   (UINT64_C(1) << 31)
#define GATE_JOINED (GATE_OPEN - 1)

struct pool {
    int n_threads;
    int n_started;
    int caller_cpu; /* -1: anywhere */
    bool caller_placed;
    pthread_t caller; /* the thread that was placed, and where it could run before */
    cpu_set_t caller_set[TOPOLOGY_CPUS / CPU_SETSIZE];
    /* The job: written while the gate is shut and every worker that joined has left. */
    pool_fn *fn;
    void *ctx;
    int n_chunks;

    alignas(64) atomic_uint seq; /* generation of the newest job; what workers sleep on */
    atomic_uint n_asleep;
    atomic_bool quit;
    alignas(64) _Atomic uint64_t gate;
    alignas(64) atomic_int next;    /* the next chunk to take */
    alignas(64) atomic_uint n_left; /* workers that left the job; what the caller sleeps on */
    atomic_bool caller_asleep;
    struct pool_thread {
        struct pool *pool;
        pthread_t thread;
        int worker;
    } threads[];
};

static void futex_wait(atomic_uint *word, unsigned seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* A thread that cannot be placed runs anywhere, as it would without a wish: its CPU went away. */
static void place(pthread_t thread, int cpu)
{
    cpu_set_t set[TOPOLOGY_CPUS / CPU_SETSIZE];
    CPU_ZERO_S(sizeof set, set);
    CPU_SET_S(cpu, sizeof set, set);
    pthread_setaffinity_np(thread, sizeof set, set);
}

void pool_place_caller(struct pool *p)
{
    const pthread_t self = pthread_self();
    if (p->caller_cpu < 0 || (p->caller_placed && pthread_equal(p->caller, self))) return;
    p->caller_placed = pthread_getaffinity_np(self, sizeof p->caller_set, p->caller_set) == 0;
    if (!p->caller_placed) return;
    p->caller = self;
    place(self, p->caller_cpu);
}

static void take_chunks(struct pool *p, int worker)
{
    for (;;) {
        const int chunk = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (chunk >= p->n_chunks) return;
        p->fn(p->ctx, worker, chunk);
    }
}

/* Joins job `seq` if it is still open. */
static bool join(struct pool *p, unsigned seq)
{
    uint64_t g = atomic_load_explicit(&p->gate, memory_order_relaxed);
    while ((g >> 32) == seq && (g & GATE_OPEN)) {
        if (atomic_compare_exchange_weak_explicit(&p->gate, &g, g + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    }
    return false;
}

static unsigned wait_for_job(struct pool *p, unsigned last)
{
    for (int i = 0; i < POOL_SPIN_ROUNDS; i++) {
        const unsigned seq = atomic_load_explicit(&p->seq, memory_order_acquire);
        if (seq != last) return seq;
        _mm_pause();
    }
    atomic_fetch_add(&p->n_asleep, 1);
    unsigned seq;
    while ((seq = atomic_load(&p->seq)) == last) futex_wait(&p->seq, last);
    atomic_fetch_sub(&p->n_asleep, 1);
    return seq;
}

static void *worker_main(void *arg)
{
    struct pool_thread *self = arg;
    struct pool *p = self->pool;
    for (unsigned last = 0;;) {
        last = wait_for_job(p, last);
        if (atomic_load(&p->quit)) return NULL;
        if (!join(p, last)) continue;
        step_guard_enter(); /* a worker's part of a step allocates no more than the step does */
        take_chunks(p, self->worker);
        step_guard_leave();
        atomic_fetch_add(&p->n_left, 1);
        if (atomic_load(&p->caller_asleep)) futex_wake(&p->n_left, 1);
    }
}

static void wait_for_leavers(struct pool *p, unsigned joined)
{
    for (int i = 0; i < POOL_SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&p->n_left, memory_order_acquire) == joined) return;
        _mm_pause();
    }
    atomic_store(&p->caller_asleep, true);
    unsigned left;
    while ((left = atomic_load(&p->n_left)) != joined) futex_wait(&p->n_left, left);
    atomic_store(&p->caller_asleep, false);
}

int pool_width(const struct pool *p, double work_ns)
{
    return work_ns < POOL_MIN_WORK_NS ? 1 : p->n_threads;
}

void pool_run(struct pool *p, pool_fn *fn, void *ctx, int n_chunks, double work_ns)
{
    if (n_chunks <= 1 || pool_width(p, work_ns) == 1) {
        for (int i = 0; i < n_chunks; i++) fn(ctx, 0, i);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->n_chunks = n_chunks;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->n_left, 0, memory_order_relaxed);
    const unsigned seq = atomic_load_explicit(&p->seq, memory_order_relaxed) + 1;
    atomic_store_explicit(&p->gate, (uint64_t)seq << 32 | GATE_OPEN, memory_order_release);
    atomic_store(&p->seq, seq);
    /* A worker counts itself asleep before it looks at seq for the last time, so one of the two
     * sees the other. */
    if (atomic_load(&p->n_asleep) > 0) futex_wake(&p->seq, n_chunks - 1);

    take_chunks(p, 0);
    const uint64_t gate = atomic_fetch_and(&p->gate, ~GATE_OPEN);
    wait_for_leavers(p, (unsigned)(gate & GATE_JOINED));
}

int pool_n_threads(const struct pool *p)
{
    return p->n_threads;
}

void pool_close(struct pool *p)
{
    if (!p) return;
    if (p->caller_placed && pthread_equal(p->caller, pthread_self()))
        pthread_setaffinity_np(p->caller, sizeof p->caller_set, p->caller_set);
    atomic_store(&p->quit, true);
    atomic_fetch_add(&p->seq, 1);
    futex_wake(&p->seq, p->n_threads);
    for (int i = 0; i < p->n_started; i++) pthread_join(p->threads[i].thread, NULL);
    free(p);
}

enum status pool_open(struct pool **out, int n_threads, const int *cpus, struct error *err)
{
    DCHECK(n_threads >= 1);
    const size_t size = sizeof(struct pool) + (size_t)n_threads * sizeof(struct pool_thread);
    struct pool *p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!p) return error_set(err, STATUS_NO_MEMORY, "out of memory for %d threads", n_threads);
    memset(p, 0, size);
    p->n_threads = n_threads;
    p->caller_cpu = cpus ? cpus[0] : -1;
    for (int i = 0; i + 1 < n_threads; i++) {
        struct pool_thread *t = &p->threads[i];
        t->pool = p;
        t->worker = i + 1;
        const int rc = pthread_create(&t->thread, NULL, worker_main, t);
        if (rc != 0) {
            pool_close(p);
            return error_set(err, STATUS_NO_MEMORY,
                             "cannot start worker thread %d of %d (%s): use fewer --threads", i + 1,
                             n_threads, strerror(rc));
        }
        pthread_setname_np(t->thread, "inferd-cpu");
        if (cpus) place(t->thread, cpus[i + 1]);
        p->n_started++;
    }
    *out = p;
    return STATUS_OK;
}
