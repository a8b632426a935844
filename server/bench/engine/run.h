#ifndef SERVER_BENCH_ENGINE_RUN_H
#define SERVER_BENCH_ENGINE_RUN_H

/* run.h - one measurement: the device's limits, then each precision in turn: load, fill the cache,
 * prefill, decode.  One thread, and those of the engine. */

#include "server/bench/engine/args.h"
#include "server/bench/engine/limit.h"

#include <limits.h>

struct spread {
    double min, median, max;
};

struct engine_figure {
    enum precision precision; /* never PRECISION_STORED */
    bool prefill;             /* else a decode */
    struct step_shape shape;
    int n_tokens, n_steps; /* of a step; of all measurements together */
    struct spread step_s;
    struct step_limit limit;
    /* --profile: seconds of a step in each operator, and the limit of those that have one; of the
     * fastest repetition */
    double profile_step_s; /* 0: not profiled */
    double op_s[OP_COUNT];
    struct op_work op_work[LIMIT_OPS];
    struct step_limit op_limit[LIMIT_OPS];
};

struct engine_run {
    char dir[PATH_MAX];
    struct model_config config;
    bool random_weights;
    enum dtype kv_dtype;
    const char *device;    /* "cpu", "cuda" */
    char device_name[256]; /* the GPU's */
    struct probe probe;    /* a GPU: only the limits are set, and 0 where they are not known */
    size_t weight_bytes[PRECISION_COUNT];
    int n_figures;
    struct engine_figure figures[PRECISION_COUNT * ENGINE_ARGS_LIST * (ENGINE_ARGS_LIST + 1)];
};

/* What the caller shows as it comes. */
struct run_events {
    void (*probed)(const struct engine_run *r, void *arg);
    void (*figure)(const struct engine_run *r, const struct engine_figure *f, void *arg);
    void *arg;
};

/* `run` is large: let it live on the heap.  Lengths beyond the model's context are lowered, batches
 * and contexts that were not asked for and do not fit the memory are left out; both are said on
 * standard error.  INVALID, UNSUPPORTED: wrong options or model. */
enum status engine_run(const struct engine_args *args, const struct run_events *events,
                       struct engine_run *run, struct error *err);

#endif
