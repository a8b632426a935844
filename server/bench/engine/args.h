#ifndef SERVER_BENCH_ENGINE_ARGS_H
#define SERVER_BENCH_ENGINE_ARGS_H

/* args.h - the options of `inferd bench engine`. */

#include "config/base/status.h"
#include "engine/backend.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* How the linears hold their weights. */
enum precision {
    PRECISION_STORED, /* "none": as the checkpoint has them */
    PRECISION_F32,
    PRECISION_BF16,
    PRECISION_INT8,
    PRECISION_INT8_W8A16,
    PRECISION_INT4,
    PRECISION_COUNT
};
const char *precision_name(enum precision p); /* "bfloat16" */

enum { ENGINE_ARGS_LIST = 32 };

struct int_list {
    int n, items[ENGINE_ARGS_LIST];
};

struct engine_args {
    const char *model; /* NULL: the demo model */
    const char *quantization, *batch, *context, *prompt_len, *kv_cache_dtype, *isa, *output;
    const char *cpu_pinning, *device, *cuda_plugin;
    int64_t threads, repeat, block_size, seed;
    bool profile, progress, enforce_eager, async_scheduling, kernel_overlap;

    enum cpu_pinning pinning;
    /* from the lists, each value once */
    int n_precisions;
    enum precision precisions[PRECISION_COUNT];
    struct int_list batches, contexts, prompts;
    bool on_gpu;
    bool lists_given; /* --batch or --context: what does not fit is refused, else left out */
};

/* argv without the names of program and commands.  Values point into argv. */
enum status engine_args_parse(int argc, char **argv, struct engine_args *out, bool *help,
                              struct error *err);
void engine_args_print_help(FILE *f);

#endif
