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

struct prober {
    struct pool *pool;
    const struct probe_clocks *clocks;
    const struct probe_loops *loops;
    bool has_bf16;        /* the table multiplies bf16 */
    double wall_s, cpu_s; /* of all runs of one kind */
    /* the job */
    const struct probe_loop *loop;
    int64_t rounds;
    char *memory;
    _Atomic uint64_t cpu_ns; /* of all chunks of one run */
};

static void run_loop(void *ctx, int worker, int chunk)
{
    (void)worker, (void)chunk;
    struct prober *p = ctx;
    const uint64_t start = p->clocks->cpu_ns();
    p->loop->run(p->rounds);
    p->cpu_ns += p->clocks->cpu_ns() - start;
}

static void run_read(void *ctx, int worker, int chunk)
{
    (void)worker;
    struct prober *p = ctx;
    const uint64_t start = p->clocks->cpu_ns();
    p->loops->read(p->memory + (size_t)chunk * READ_SIZE, READ_SIZE);
    p->cpu_ns += p->clocks->cpu_ns() - start;
}

/* Not zeros: untouched pages would all be one page of zeros, in the cache. */
static void run_fill(void *ctx, int worker, int chunk)
{
    (void)worker;
    const struct prober *p = ctx;
    memset(p->memory + (size_t)chunk * READ_SIZE, 1 + chunk % 100, READ_SIZE);
}

struct probe_time {
    double wall_s, cpu_s; /* cpu_s: of all threads */
};

static struct probe_time timed_run(struct prober *p, pool_fn *fn, int n_chunks)
{
    p->cpu_ns = 0;
    const uint64_t start = p->clocks->wall_ns();
    pool_run(p->pool, fn, p, n_chunks, 1e12); /* always on all threads */
    const uint64_t ns = p->clocks->wall_ns() - start;
    const struct probe_time t = {(double)(ns + 1) * 1e-9, (double)(p->cpu_ns + 1) * 1e-9};
    p->wall_s += t.wall_s;
    p->cpu_s += t.cpu_s;
    return t;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the rates. */
static struct probe_rate summary(const struct prober *p, double rates[N_RUNS], const char *how)
{
    qsort(rates, N_RUNS, sizeof *rates, compare);
    return (struct probe_rate){
        .limit = rates[N_RUNS / 2],
        .min = rates[0],
        .median = rates[N_RUNS / 2],
        .max = rates[N_RUNS - 1],
        .cpu_share = p->cpu_s / p->wall_s / pool_n_threads(p->pool),
        .how = how,
    };
}

static struct probe_rate probe_compute(struct prober *p, const struct probe_loop *loop)
{
    const int n_threads = pool_n_threads(p->pool), n_chunks = PARTS * n_threads;
    double rates[N_RUNS];
    p->loop = loop;
    p->rounds = 64;
    /* Warms up, too: clocks rise, workers wake. */
    while (timed_run(p, run_loop, n_chunks).cpu_s < RUN_NS * 1e-9 * n_threads) p->rounds *= 2;
    p->wall_s = p->cpu_s = 0;
    for (int i = 0; i < N_RUNS; i++)
        rates[i] = loop->ops * (double)p->rounds * n_chunks /
                   (timed_run(p, run_loop, n_chunks).cpu_s / n_threads);
    return summary(p, rates, loop->how);
}

static size_t choose_size(size_t cache_size, size_t max_size)
{
    size_t size = CACHE_FACTOR * cache_size;
    if (size < MEMORY_MIN) size = MEMORY_MIN;
    if (size > max_size) size = max_size;
    return size / (N_READS * READ_SIZE) * (N_READS * READ_SIZE);
}

static enum status probe_memory(struct prober *p, size_t size, struct probe_rate *out,
                                struct error *err)
{
    double rates[N_RUNS];
    char *memory = cpu_memory_map(size);
    if (!memory)
        return error_set(err, STATUS_NO_MEMORY, "cannot map %zu MiB to measure memory with",
                         size >> 20);
    const size_t part_size = size / N_READS;
    p->memory = memory;
    timed_run(p, run_fill, (int)(size / READ_SIZE));
    p->wall_s = p->cpu_s = 0;
    for (int i = 0; i < N_RUNS; i++) {
        p->memory = memory + (size_t)(i % N_READS) * part_size;
        rates[i] = (double)part_size / timed_run(p, run_read, (int)(part_size / READ_SIZE)).wall_s;
    }
    *out = summary(p, rates, "sequential reads");
    out->limit = out->max;
    cpu_memory_unmap(memory, size);
    return STATUS_OK;
}

static enum status open_prober(struct prober *p, int n_threads, const char *isa,
                               const struct probe_clocks *clocks, const char **name,
                               struct error *err)
{
    const struct cpu_kernels *kernels;
    const enum status s = cpu_kernels_choose(isa, &kernels, err);
    if (s != STATUS_OK) return s;
    *name = kernels->name;
    *p = (struct prober){
        .clocks = clocks, .loops = &cpu_probe_avx2, .has_bf16 = kernels->round_bf16 != NULL};
    if (strncmp(kernels->name, "avx512", 6) == 0) p->loops = &cpu_probe_avx512;
    if (kernels == &cpu_kernels_avx2_vnni) p->loops = &cpu_probe_avx2_vnni;
    return pool_open(&p->pool, n_threads > 0 ? n_threads : pool_default_threads(), NULL, err);
}

enum status cpu_probe(int n_threads, const char *isa, size_t max_size,
                      const struct probe_clocks *clocks, struct probe *out, struct error *err)
{
    struct prober p;
    *out = (struct probe){.cache_size = (size_t)machine_cache_size()};
    enum status s = open_prober(&p, n_threads, isa, clocks, &out->isa, err);
    if (s != STATUS_OK) return s;
    out->n_threads = pool_n_threads(p.pool);
    out->memory_size = choose_size(out->cache_size, max_size);
    out->rates[PROBE_INT8] = probe_compute(&p, &p.loops->i8);
    out->rates[PROBE_F32] = probe_compute(&p, &p.loops->f32);
    out->rates[PROBE_BF16] = out->rates[PROBE_F32];
    if (p.has_bf16) out->rates[PROBE_BF16] = probe_compute(&p, &cpu_probe_avx512_bf16);
    s = probe_memory(&p, out->memory_size, &out->rates[PROBE_MEMORY], err);
    pool_close(p.pool);
    return s;
}

enum status cpu_probe_memory(struct probe *probe, const struct probe_clocks *clocks,
                             struct error *err)
{
    struct prober p;
    struct probe_rate now, *known = &probe->rates[PROBE_MEMORY];
    enum status s = open_prober(&p, probe->n_threads, probe->isa, clocks, &probe->isa, err);
    if (s != STATUS_OK) return s;
    s = probe_memory(&p, probe->memory_size, &now, err);
    pool_close(p.pool);
    if (s != STATUS_OK) return s;
    known->min = now.min < known->min ? now.min : known->min;
    if (now.max <= known->max) return STATUS_OK;
    now.min = known->min;
    *known = now;
    return STATUS_OK;
}
