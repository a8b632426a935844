#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

/* engine.h - a loaded model on a device: give it a step, get the samples.
 *
 * Threads: engine_open may run on any thread; afterwards one thread owns the engine.  The const
 * getters are safe from any thread once engine_open returned. */

#include "config/base/status.h"
#include "engine/load/load.h"
#include "engine/load/model_config.h"
#include "engine/profile.h"
#include "engine/step.h"

#include <stddef.h>
#include <stdint.h>

struct engine_options {
    const char *model_dir;
    bool dummy_weights;
    uint64_t seed;
    enum quant_scheme quant;
    int dtype;               /* enum dtype for f32/bf16 compute of weights, or -1 = as stored */
    int kv_dtype;            /* DT_F32, DT_BF16, DT_I8, or -1 = auto (bf16; f32 for f32 models) */
    const char *device;      /* "cpu", "cuda", or "auto": cuda where it can be opened */
    const char *cuda_plugin; /* NULL: beside the binary */
    bool enforce_eager;      /* steps are never captured */
    bool no_kernel_overlap;  /* on a GPU: a kernel begins when the one ahead has ended */
    double gpu_memory_utilization; /* of the GPU's memory; (0, 1] */
    const char *isa;               /* one of engine/backend.h: "auto", "scalar", ... */
    int n_threads;                 /* <= 0 = all the process may use */
    enum cpu_pinning pinning;
    int block_size;          /* tokens; 16, 32, 64 or 128 */
    uint64_t kv_cache_bytes; /* 0 = enough for max_num_seqs full contexts, at most 40 % of the
                              * memory that the machine or its control group has; on a GPU at most
                              * what gpu_memory_utilization leaves */
    int max_num_seqs, max_num_batched_tokens;
    int max_model_len;            /* 0 = the model's */
    int max_logit_rows;           /* logits rows a step may ask for; 0 = max_num_seqs */
    const char *packed_cache_dir; /* folder of packed weights; NULL: none */
    const char *packed_label;     /* what the model is called in it */
    load_progress_fn *progress;
    void *progress_arg;
};

struct engine;
enum status engine_open(struct engine **out, const struct engine_options *o, struct error *err);
void engine_close(struct engine *e);
/* What n_threads <= 0 gives on this machine; any thread. */
int engine_default_threads(void);

/* Starts a step.  Up to engine_info.max_inflight of them may be under way: a step's token_src names
 * samples of the one that was started before it.  Its arrays stand until it was collected.  A device
 * that works by itself returns at once, a CPU when the step is done.
 * An error, here and below, is the device's, not a request's: the engine is failed from then on, and
 * the steps under way are lost. */
enum status engine_submit(struct engine *e, const struct step *step, struct error *err);
/* Waits for the oldest step under way. */
enum status engine_collect(struct engine *e, struct step_result *out, struct error *err);
/* Both: one step to its end, with none under way. */
enum status engine_execute(struct engine *e, const struct step *step, struct step_result *out,
                           struct error *err);

/* From the next step on each operator's time is added to *p, until NULL is given; two clock readings
 * an operator.  UNSUPPORTED on a device that returns before an operator's work is done. */
enum status engine_profile(struct engine *e, struct op_profile *p, struct error *err);

struct engine_info {
    const struct model_config *config;
    int n_blocks, block_size; /* block 0 is the null block and never handed out */
    int max_model_len, max_num_seqs, max_num_batched_tokens, max_logit_rows;
    size_t weight_bytes, kv_cache_bytes;
    size_t linear_bytes[OP_LINEARS]; /* of all layers, as the device holds them */
    int max_inflight;                /* steps that may be under way at one time */
    int n_threads;
    bool pinned; /* each thread has a CPU of its own */
    const char *device, *isa;
    enum dtype kv_dtype;
};
const struct engine_info *engine_info(const struct engine *e);

#endif
