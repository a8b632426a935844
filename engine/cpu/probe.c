/* The machine's limits: short runs of loops that do nothing else, on all threads at once. */
#include "engine/probe.h"

#include "config/base/check.h"
#include "config/base/machine.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/probe_loops.h"

#include <stdlib.h>
#include <string.h>

/* A run is shorter than a time slice of other processes, so that some of many are left alone, and
 * long enough that waking the workers (50 us) is nothing. */
#define RUN_NS 2000000
#define N_RUNS 60

/* Parts of a run for each thread: one that is held up leaves the others more of them. */
#define PARTS 8

#define MEMORY_MIN   ((size_t)256 << 20)
#define CACHE_FACTOR 8 /* the buffer is so many times the last-level caches */
#define READ_SIZE    ((size_t)256 << 10)
#define N_READS      4 /* runs until all of the buffer is read: it is long out of the caches then */

struct probe_job {
    const struct probe_loop *loop;
    const struct probe_loops *loops;
    int64_t rounds;
    const char *memory;
};

static void run_loop(void *ctx, int worker, int chunk)
{
    (void)worker, (void)chunk;
    const struct probe_job *j = ctx;
    j->loop->run(j->rounds);
}

static void run_read(void *ctx, int worker, int chunk)
{
    (void)worker;
    const struct probe_job *j = ctx;
    j->loops->read(j->memory + (size_t)chunk * READ_SIZE, READ_SIZE);
}

/* Not zeros: untouched pages would all be one page of zeros, in the cache. */
static void run_fill(void *ctx, int worker, int chunk)
{
    (void)worker;
    const struct probe_job *j = ctx;
    memset((char *)(uintptr_t)j->memory + (size_t)chunk * READ_SIZE, 1 + chunk % 100, READ_SIZE);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* rates[n] is sorted. */
static struct probe_rate summary(double *rates, int n, const char *how)
{
    qsort(rates, (size_t)n, sizeof *rates, compare);
    return (struct probe_rate){
        .min = rates[0], .median = rates[n / 2], .max = rates[n - 1], .how = how};
}

static double seconds_of(struct pool *pool, pool_fn *fn, struct probe_job *j, int n_chunks,
                         uint64_t (*now_ns)(void))
{
    const uint64_t start = now_ns();
    pool_run(pool, fn, j, n_chunks, 1e12); /* always on all threads */
    const uint64_t ns = now_ns() - start;
    return (double)(ns > 0 ? ns : 1) * 1e-9;
}

static struct probe_rate probe_compute(struct pool *pool, const struct probe_loop *loop,
                                       uint64_t (*now_ns)(void))
{
    struct probe_job j = {.loop = loop, .rounds = 64};
    const int n_chunks = PARTS * pool_n_threads(pool);
    /* Warms up, too: clocks rise, workers wake. */
    while (seconds_of(pool, run_loop, &j, n_chunks, now_ns) < RUN_NS * 1e-9) j.rounds *= 2;
    double rates[N_RUNS];
    for (int i = 0; i < N_RUNS; i++)
        rates[i] = loop->ops * (double)j.rounds * n_chunks /
                   seconds_of(pool, run_loop, &j, n_chunks, now_ns);
    return summary(rates, N_RUNS, loop->how);
}

static size_t choose_size(size_t cache_size, size_t max_size)
{
    size_t size = CACHE_FACTOR * cache_size;
    if (size < MEMORY_MIN) size = MEMORY_MIN;
    if (size > max_size) size = max_size;
    return size / (N_READS * READ_SIZE) * (N_READS * READ_SIZE);
}

static enum status probe_memory(struct pool *pool, const struct probe_loops *loops,
                                uint64_t (*now_ns)(void), struct probe *out, struct error *err)
{
    char *memory = cpu_memory_map(out->memory_size);
    if (!memory)
        return error_set(err, STATUS_NO_MEMORY, "cannot map %zu MiB to measure memory with",
                         out->memory_size >> 20);
    struct probe_job j = {.loops = loops, .memory = memory};
    const size_t part_size = out->memory_size / N_READS;
    seconds_of(pool, run_fill, &j, (int)(out->memory_size / READ_SIZE), now_ns);
    double rates[N_RUNS];
    for (int i = 0; i < N_RUNS; i++) {
        j.memory = memory + (size_t)(i % N_READS) * part_size;
        rates[i] = (double)part_size /
                   seconds_of(pool, run_read, &j, (int)(part_size / READ_SIZE), now_ns);
    }
    out->rates[PROBE_MEMORY] = summary(rates, N_RUNS, "sequential reads");
    cpu_memory_unmap(memory, out->memory_size);
    return STATUS_OK;
}

enum status cpu_probe(int n_threads, const char *isa, size_t max_size, uint64_t (*now_ns)(void),
                      struct probe *out, struct error *err)
{
    const struct cpu_kernels *kernels;
    struct pool *pool;
    enum status s = cpu_kernels_choose(isa, &kernels, err);
    if (s != STATUS_OK) return s;
    s = pool_open(&pool, n_threads > 0 ? n_threads : pool_default_threads(), err);
    if (s != STATUS_OK) return s;
    const bool wide = strncmp(kernels->name, "avx512", 6) == 0;
    const struct probe_loops *loops = wide ? &cpu_probe_avx512 : &cpu_probe_avx2;
    *out = (struct probe){.isa = kernels->name, .n_threads = pool_n_threads(pool)};
    out->cache_size = (size_t)machine_cache_size();
    out->memory_size = choose_size(out->cache_size, max_size);
    s = probe_memory(pool, loops, now_ns, out, err);
    if (s == STATUS_OK) {
        out->rates[PROBE_INT8] = probe_compute(pool, &loops->i8, now_ns);
        out->rates[PROBE_F32] = probe_compute(pool, &loops->f32, now_ns);
        out->rates[PROBE_BF16] = wide && __builtin_cpu_supports("avx512bf16")
                                     ? probe_compute(pool, &cpu_probe_avx512_bf16, now_ns)
                                     : out->rates[PROBE_F32];
    }
    pool_close(pool);
    return s;
}
