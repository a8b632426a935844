#ifndef TESTS_DIRECT_MODEL_H
#define TESTS_DIRECT_MODEL_H

/* direct_model.h - the model graph without the engine's facade, for tests and tools that look at raw
 * logits, which an engine does not give out.  Failures end the program with their message. */

#include "engine/model.h"
#include "tests/unit/step_builder.h"

#include <stdio.h>

struct direct_options {
    const char *dir, *isa;
    enum dtype dtype, kv_dtype;
    enum quant_scheme quant;
    int n_slots, block_size, max_len, max_tokens, n_threads;
    int forward_rows; /* 0: as many as the backend takes */
};

struct direct_model {
    struct backend *be;
    struct model_config config;
    struct model_weights weights;
    struct model model;
    struct step_builder b;
    struct sample_out *samples;
};

static inline void direct_need(enum status s, const struct error *err)
{
    if (s == STATUS_OK) return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* False when the CPU lacks the instruction set. */
static inline bool direct_open(struct direct_model *d, const struct direct_options *o)
{
    struct error err = {0};
    const struct load_options load = {.quant = o->quant};
    *d = (struct direct_model){0};
    if (cpu_backend_open(&d->be, o->n_threads, o->isa, &err) != STATUS_OK) return false;
    direct_need(model_config_load(o->dir, &d->config, &err), &err);
    struct model_config *c = &d->config;
    c->stored_dtype = o->dtype;
    direct_need(model_weights_load(d->be, o->dir, c, &load, &d->weights, &err), &err);
    builder_init(&d->b, o->n_slots, o->block_size, o->max_len, o->max_tokens);
    d->samples = calloc((size_t)o->max_tokens, sizeof *d->samples);
    CHECK(d->samples);
    const int qkv = (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
    int widest = 2 * c->d_ffn > c->d_model ? 2 * c->d_ffn : c->d_model;
    if (qkv > widest) widest = qkv;
    const struct backend_limits limits = {
        .max_tokens = o->max_tokens,
        .max_seqs = o->n_slots,
        .max_samples = o->max_tokens,
        .max_blocks_per_seq = d->b.blocks_per_seq,
        .n_blocks = builder_n_blocks(&d->b),
        .block_size = o->block_size,
        .n_layers = c->n_layers,
        .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim,
        .n_heads = c->n_heads,
        .max_cols = widest,
        .vocab_size = c->vocab_size,
        .kv_dtype = o->kv_dtype,
    };
    direct_need(d->be->ops->reserve(d->be, &limits, &c->rope, &err), &err);
    if (o->forward_rows > 0) d->be->forward_rows = o->forward_rows;
    direct_need(model_init(&d->model, d->be, c, &d->weights, &limits, &err), &err);
    return true;
}

static inline void direct_close(struct direct_model *d)
{
    model_weights_free(d->be, &d->config, &d->weights);
    d->be->ops->close(d->be);
    builder_free(&d->b);
    free(d->samples);
}

/* Runs the step built in d->b, asking for every row; out[n_rows, V] are the logits of its first
 * rows. */
static inline void direct_run(struct direct_model *d, float *out, int n_rows)
{
    const struct sampling_params params = builder_greedy(-1);
    struct step_result result = {.samples = d->samples};
    struct error err = {0};
    const struct step *s = &d->b.step;
    /* The logits are those of the last rows that went through the model together. */
    CHECK(s->n_tokens <= d->model.residual.rows);
    for (int i = 0; i < s->n_tokens; i++) builder_sample(&d->b, i, 0, 0, &params);
    const struct step_dims dims = {.n_tokens = s->n_tokens, .n_logits = s->n_tokens};
    d->be->ops->step_upload(d->be, s);
    direct_need(d->be->ops->run(d->be, &dims, model_forward, &d->model, &err), &err);
    direct_need(d->be->ops->step_download(d->be, &result, &err), &err);
    const struct tensor *l = &d->model.logits;
    for (int i = 0; i < n_rows; i++)
        memcpy(out + (size_t)i * (size_t)l->cols, (float *)l->data + (size_t)i * (size_t)l->ld,
               (size_t)l->cols * sizeof *out);
}

#endif
