#ifndef SERVER_BENCH_RUN_H
#define SERVER_BENCH_RUN_H

/* run.h - one measurement: set-up, warm-up, the load itself, the end.  One thread. */

#include "server/bench/args.h"
#include "server/bench/stats.h"

struct run_result {
    struct stats stats;
    char model[512];
    uint64_t seed;
};

/* `result` is large: let it live on the heap.  An error means that nothing was measured.
 * Lengths that were not given are fitted into the model's context. */
enum status bench_run(struct bench_args *args, struct run_result *result, struct error *err);

#endif
