#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

/* model.h - the forward pass of the dense Llama-like families, written once for every backend. */

#include "engine/backend.h"
#include "engine/load/load.h"
#include "engine/load/model_config.h"

struct model {
    const struct model_config *config;
    const struct model_weights *weights;
    /* activation buffers for the largest step */
    struct tensor residual, normed, normed_quant, delta, qkv, mix, gate_up, act;
    struct tensor last, last_quant, logits;
};

/* Allocates the activation buffers; after backend reserve(). */
enum status model_init(struct model *m, struct backend *be, const struct model_config *c,
                       const struct model_weights *w, const struct backend_limits *limits,
                       struct error *err);
/* A forward_fn: `model` is a struct model. */
void model_forward(struct backend *be, const struct step_dims *dims, void *model);

#endif
