#ifndef ENGINE_LOAD_LOAD_H
#define ENGINE_LOAD_LOAD_H

/* load.h - the weights of a model, from safetensors or from a seed, prepared for a backend. */

#include "engine/backend.h"
#include "engine/load/model_config.h"

struct layer_weights {
    struct weight *attn_norm, *wqkv, *wo, *ffn_norm, *w_gate_up, *w_down;
    struct weight *q_norm, *k_norm; /* NULL unless qk_norm */
};

struct model_weights {
    struct weight *embed, *final_norm, *lm_head; /* lm_head is never NULL: tied models prepare the
                                                  * embedding a second time as a linear unless the
                                                  * backend can share it */
    struct layer_weights *layers;                /* [n_layers] */
    struct packed_cache *packed;                 /* NULL, or what the weights lie in or become */
};

/* Called from the loading thread now and then; done and total in bytes. */
typedef void load_progress_fn(void *arg, const char *what, uint64_t done, uint64_t total);

struct load_options {
    enum quant_scheme quant;  /* of the layers' linears and of lm_head, which int4 keeps in int8 */
    bool dummy;               /* seeded random weights, no file is read */
    uint64_t seed;            /* of dummy weights */
    const char *packed_dir;   /* folder of packed weights (packed_cache.h); NULL: none */
    const char *packed_label; /* what the model is called in it */
    load_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

/* Missing, unexpected or misshapen tensors are refused by name.  On failure nothing is left.
 * With packed_dir the weights come from a packed file where there is one for them; otherwise one is
 * written in the background, from memory, until model_weights_free.  What goes wrong with it is a line
 * in the log and costs time, nothing else. */
enum status model_weights_load(struct backend *be, const char *dir, const struct model_config *c,
                               const struct load_options *o, struct model_weights *out,
                               struct error *err);
void model_weights_free(struct backend *be, const struct model_config *c, struct model_weights *w);

#endif
