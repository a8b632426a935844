#include "engine/model.h"

#include "config/base/check.h"
#include "engine/ops.h"

#include <math.h>
#include <string.h>

static struct attn_shape layer_attention(const struct model_config *c, int layer)
{
    return (struct attn_shape){
        .n_heads = c->n_heads,
        .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim,
        .scale = 1.0f / sqrtf((float)c->head_dim),
        .window = c->layer_window[layer] ? c->sliding_window : 0,
    };
}

/* An activation buffer as the linear that reads it wants it; f32 when no linear does. */
static enum status buffer(struct backend *be, const struct weight *reader, int rows, int cols,
                          struct tensor *out, struct error *err)
{
    const enum dtype t = reader ? be->ops->activation_dtype(be, reader) : DT_F32;
    return be->ops->tensor_alloc(be, t, rows, cols, out, err);
}

enum status model_init(struct model *m, struct backend *be, const struct model_config *c,
                       const struct model_weights *w, const struct backend_limits *limits,
                       struct error *err)
{
    memset(m, 0, sizeof *m);
    m->config = c;
    m->weights = w;
    const int T = be->forward_rows > 0 ? be->forward_rows : limits->max_tokens;
    const int R = limits->max_samples < T ? limits->max_samples : T;
    const int q_cols = c->n_heads * c->head_dim, kv_cols = c->n_kv_heads * c->head_dim;
    const struct layer_weights *l = &w->layers[0];
    const struct {
        struct tensor *out;
        const struct weight *reader;
        int rows, cols;
    } buffers[] = {
        {&m->residual, NULL, T, c->d_model},
        {&m->normed, NULL, T, c->d_model},
        {&m->normed_quant, l->wqkv, T, c->d_model},
        {&m->delta, NULL, T, c->d_model},
        {&m->qkv, NULL, T, q_cols + 2 * kv_cols},
        {&m->mix, l->wo, T, q_cols},
        {&m->gate_up, NULL, T, 2 * c->d_ffn},
        {&m->act, l->w_down, T, c->d_ffn},
        {&m->last, NULL, R, c->d_model},
        {&m->last_quant, w->lm_head, R, c->d_model},
        {&m->logits, NULL, R, c->vocab_size},
    };
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++) {
        const enum status s =
            buffer(be, buffers[i].reader, buffers[i].rows, buffers[i].cols, buffers[i].out, err);
        if (s != STATUS_OK) return s;
    }
    return STATUS_OK;
}

static void attention_block(struct backend *be, const struct model *m, int layer,
                            struct tensor normed, int T)
{
    const struct model_config *c = m->config;
    const struct layer_weights *l = &m->weights->layers[layer];
    const struct attn_shape shape = layer_attention(c, layer);
    const struct head_norms norms = {.q = l->q_norm, .k = l->k_norm, .eps = c->norm_eps};
    const struct tensor qkv = tensor_rows(m->qkv, T), mix = tensor_rows(m->mix, T);
    const struct tensor delta = tensor_rows(m->delta, T);
    struct kv_layer *kv = be->ops->kv_layer(be, layer);

    op_linear_qkv(be, qkv, normed, l->wqkv, kv, shape, norms);
    op_attention(be, mix, tensor_cols(qkv, 0, c->n_heads * c->head_dim), kv, shape);
    be->ops->linear(be, delta, mix, l->wo);
    be->ops->allreduce(be, delta);
}

static void ffn_block(struct backend *be, const struct model *m, int layer, struct tensor normed,
                      int T)
{
    const struct layer_weights *l = &m->weights->layers[layer];
    const struct tensor gate_up = tensor_rows(m->gate_up, T), act = tensor_rows(m->act, T);
    const struct tensor delta = tensor_rows(m->delta, T);

    op_linear_silu_mul(be, act, gate_up, normed, l->w_gate_up);
    be->ops->linear(be, delta, act, l->w_down);
    be->ops->allreduce(be, delta);
}

void model_forward(struct backend *be, const struct step_dims *dims, void *model)
{
    const struct model *m = model;
    const struct model_config *c = m->config;
    const struct model_weights *w = m->weights;
    const int T = dims->n_tokens, R = dims->n_logits;
    const struct tensor residual = tensor_rows(m->residual, T), delta = tensor_rows(m->delta, T);
    /* Norms feed linears, so they are written in the form that the linears read. */
    const struct tensor normed = tensor_rows(m->normed_quant, T);
    const struct tensor final = tensor_rows(m->normed, T);

    be->ops->copy_blocks(be);
    be->ops->embed(be, residual, w->embed);
    op_rmsnorm(be, normed, residual, w->layers[0].attn_norm, c->norm_eps);
    for (int i = 0; i < c->n_layers; i++) {
        attention_block(be, m, i, normed, T);
        op_add_rmsnorm(be, normed, residual, delta, w->layers[i].ffn_norm, c->norm_eps);
        ffn_block(be, m, i, normed, T);
        if (i + 1 < c->n_layers)
            op_add_rmsnorm(be, normed, residual, delta, w->layers[i + 1].attn_norm, c->norm_eps);
    }
    if (R == 0) return;
    op_add_rmsnorm(be, final, residual, delta, w->final_norm, c->norm_eps);
    be->ops->gather_rows(be, tensor_rows(m->last, R), final);
    op_linear(be, tensor_rows(m->logits, R), tensor_rows(m->last, R), tensor_rows(m->last_quant, R),
              w->lm_head);
    be->ops->sample(be, tensor_rows(m->logits, R));
}
