#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

/* probe.h - what this machine can do at most, measured: the rates that an engine's times are held
 * against.
 *
 *   PROBE_MEMORY  bytes/s read from a buffer much larger than the last-level cache
 *   PROBE_INT8    operations/s of the int8 dot product's raw instructions in a loop on registers
 *   PROBE_BF16    the same for bfloat16: the CPU's own dot product where it has one, else float32's
 *                 rate, since the values are widened then
 *   PROBE_F32     the same for fused multiply-add of float32
 *
 * A product and its addition are two operations.  The instructions are those of the instruction set
 * that the backend uses; the scalar one is compiled for a CPU with AVX2 and is held against that.
 *
 * Each is measured in many short runs.  Operations are counted against the CPU time that the threads
 * got, so that what else the machine does hardly changes them; their limit is the median.  Bytes are
 * counted against the wall clock, for threads that do not run at the same time would not have to
 * share the memory; their limit is the best run, for nothing makes a memory faster than it is. */

#include "config/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum probe_kind { PROBE_MEMORY, PROBE_INT8, PROBE_BF16, PROBE_F32, PROBE_COUNT };

struct probe_rate {
    double limit;            /* per second: the largest of bytes, the median of operations */
    double min, median, max; /* of all runs */
    double cpu_share;        /* of the time that the threads wanted a CPU, how much they had one */
    const char *how;         /* "vpdpbusd zmm" */
};

struct probe {
    struct probe_rate rates[PROBE_COUNT];
    size_t memory_size; /* of the buffer that was read */
    size_t cache_size;  /* bytes of the last-level caches together; 0 = unknown */
    int n_threads;
    const char *isa;
};

struct probe_clocks {
    uint64_t (*wall_ns)(void); /* monotonic */
    uint64_t (*cpu_ns)(void);  /* CPU time of the calling thread */
};

/* Takes about a second.  isa and n_threads as in cpu_backend_open; max_size: the most memory that it
 * may use, at least 1 MiB.  Any thread; it starts n_threads - 1 more and ends them. */
enum status cpu_probe(int n_threads, const char *isa, size_t max_size,
                      const struct probe_clocks *clocks, struct probe *out, struct error *err);
/* Measures the memory once more, a quarter of a second with as much memory as before, and keeps the
 * best: where the machine is one of several on a host, what there is of it changes by the minute. */
enum status cpu_probe_memory(struct probe *p, const struct probe_clocks *clocks, struct error *err);

#endif
