#ifndef SERVER_BENCH_ENGINE_PLAN_H
#define SERVER_BENCH_ENGINE_PLAN_H

/* plan.h - which steps are measured, and what the engine is opened with for them.  Pure. */

#include "server/bench/engine/args.h"
#include "server/bench/engine/limit.h"

enum { PLAN_SHAPES = ENGINE_ARGS_LIST * (ENGINE_ARGS_LIST + 1) };

struct plan_wish {
    const struct model_config *config;
    enum precision precision; /* not PRECISION_STORED */
    enum dtype kv_dtype;
    int block_size;
    const struct int_list *prompts, *batches, *contexts; /* lengths fit the model's context */
    bool all;      /* what does not fit the memory is an error, else left out */
    double memory; /* bytes */
};

struct plan {
    int n_shapes, n_prefills, n_left_out;
    struct step_shape shapes[PLAN_SHAPES]; /* the prefills, then the decodes */
    struct {
        struct step_shape shape;
        double bytes; /* that it needs */
    } left_out[PLAN_SHAPES];
    int n_blocks, max_tokens, max_seqs, max_len;
};

/* NO_MEMORY says how much there is and what needs it. */
enum status plan_make(const struct plan_wish *w, struct plan *out, struct error *err);

enum quant_scheme precision_quant(enum precision p);
enum probe_kind
precision_rate(enum precision p);      /* what its linears' operations are held against */
int precision_dtype(enum precision p); /* what engine_options.dtype must be: -1 = as stored */

#endif
