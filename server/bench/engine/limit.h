#ifndef SERVER_BENCH_ENGINE_LIMIT_H
#define SERVER_BENCH_ENGINE_LIMIT_H

/* limit.h - what a step must move and compute, and how fast a machine could do that at best.  Pure
 * arithmetic.  Letters as in engine/backend.h. */

#include "engine/load/model_config.h"
#include "engine/probe.h"
#include "engine/profile.h"

/* Every sequence computes the last n_new of its kv_len tokens, and samples one. */
struct step_shape {
    int n_seqs, n_new, kv_len;
};

/* How the model is held. */
struct step_format {
    double linear_size[OP_LINEARS]; /* bytes, of all layers together */
    enum probe_kind linear_rate[OP_LINEARS], kv_rate;
    enum dtype kv_dtype;
};

struct op_work {
    double bytes, ops;
    enum probe_kind rate; /* of the ops */
};

enum { LIMIT_OPS = OP_ATTENTION + 1 }; /* the linears and attention; the others count as nothing */

struct step_limit {
    double bytes, ops;
    double memory_s, compute_s; /* 0: the bytes fit the last-level cache; the rate is not known */
    double seconds;             /* the larger one; 0: there is none */
};

void step_work(const struct model_config *c, const struct step_format *f,
               const struct step_shape *s, struct op_work out[LIMIT_OPS]);
/* Of n works that share the machine; one for an operator alone. */
struct step_limit work_limit(const struct op_work *works, int n, const struct probe *p);

/* Bytes that the engine holds for a precision, before it is loaded; within some percent. */
struct engine_need {
    double weights; /* what remains, and the largest tensor while it is packed */
    double buffers; /* activations of max_tokens rows, logits of max_seqs */
    double kv_token;
};
struct engine_need engine_need(const struct model_config *c, enum quant_scheme quant,
                               enum dtype kv_dtype, int max_tokens, int max_seqs);

#endif
