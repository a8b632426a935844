#include "engine/profile.h"

#include "config/base/check.h"
#include "engine/load/load.h"

#include <stdlib.h>

struct linear_role {
    const struct weight *weight;
    enum op_kind kind;
};

struct profiler {
    struct backend_ops ops; /* first: be->ops leads back here */
    const struct backend_ops *inner;
    struct backend *be;
    struct op_profile *out;
    int n_linears, next; /* linears come in the order of the layers: the next is the likely one */
    struct linear_role linears[];
};

const char *op_kind_name(enum op_kind k)
{
    static const char *const names[OP_COUNT] = {
        [OP_QKV] = "qkv",           [OP_O] = "o",
        [OP_GATE_UP] = "gate_up",   [OP_DOWN] = "down",
        [OP_HEAD] = "lm_head",      [OP_ATTENTION] = "attention",
        [OP_NORM] = "norm",         [OP_QUANTIZE] = "quantize",
        [OP_ROPE] = "rope",         [OP_KV_WRITE] = "kv_write",
        [OP_SILU_MUL] = "silu_mul", [OP_EMBED] = "embed",
        [OP_SAMPLE] = "sample",     [OP_OTHER] = "other",
    };
    CHECK(k >= 0 && k < OP_COUNT);
    return names[k];
}

static struct profiler *profiler_of(struct backend *be)
{
    return (struct profiler *)(uintptr_t)be->ops;
}

static enum op_kind role_of(struct profiler *p, const struct weight *w)
{
    for (int i = 0; i < p->n_linears; i++) {
        const struct linear_role *r = &p->linears[p->next];
        p->next = (p->next + 1) % p->n_linears;
        if (r->weight == w) return r->kind;
    }
    return OP_OTHER;
}

static void count(struct profiler *p, enum op_kind kind, uint64_t start_ns)
{
    p->out->ops[kind].ns += p->out->now_ns() - start_ns;
    p->out->ops[kind].n_calls++;
}

/* A function that calls the backend's operator and counts its time. */
#define TIMED(op, kind, params, args)               \
    static void timed_##op params                   \
    {                                               \
        struct profiler *p = profiler_of(be);       \
        const uint64_t start_ns = p->out->now_ns(); \
        p->inner->op args;                          \
        count(p, kind, start_ns);                   \
    }

TIMED(copy_blocks, OP_OTHER, (struct backend * be), (be))
TIMED(embed, OP_EMBED, (struct backend * be, struct tensor out, const struct weight *table),
      (be, out, table))
TIMED(rmsnorm, OP_NORM,
      (struct backend * be, struct tensor out, struct tensor x, const struct weight *gain,
       float eps),
      (be, out, x, gain, eps))
TIMED(add, OP_OTHER, (struct backend * be, struct tensor acc, struct tensor x), (be, acc, x))
TIMED(quantize, OP_QUANTIZE, (struct backend * be, struct tensor out, struct tensor x),
      (be, out, x))
TIMED(linear, role_of(p, w),
      (struct backend * be, struct tensor out, struct tensor x, const struct weight *w),
      (be, out, x, w))
TIMED(head_norm, OP_NORM,
      (struct backend * be, struct tensor x, int n_heads, const struct weight *gain, float eps),
      (be, x, n_heads, gain, eps))
TIMED(rope, OP_ROPE, (struct backend * be, struct tensor q, struct tensor k, struct attn_shape s),
      (be, q, k, s))
TIMED(kv_write, OP_KV_WRITE,
      (struct backend * be, struct kv_layer *kv, struct tensor k, struct tensor v), (be, kv, k, v))
TIMED(attention, OP_ATTENTION,
      (struct backend * be, struct tensor out, struct tensor q, const struct kv_layer *kv,
       struct attn_shape s),
      (be, out, q, kv, s))
TIMED(silu_mul, OP_SILU_MUL, (struct backend * be, struct tensor out, struct tensor gate_up),
      (be, out, gate_up))
TIMED(gather_rows, OP_OTHER, (struct backend * be, struct tensor out, struct tensor x),
      (be, out, x))
TIMED(allreduce, OP_OTHER, (struct backend * be, struct tensor x), (be, x))
TIMED(sample, OP_SAMPLE, (struct backend * be, struct tensor logits), (be, logits))
TIMED(add_rmsnorm, OP_NORM,
      (struct backend * be, struct tensor out, struct tensor residual, struct tensor x,
       const struct weight *gain, float eps),
      (be, out, residual, x, gain, eps))
TIMED(rmsnorm_quant, OP_NORM,
      (struct backend * be, struct tensor out, struct tensor x, const struct weight *gain,
       float eps),
      (be, out, x, gain, eps))
TIMED(add_rmsnorm_quant, OP_NORM,
      (struct backend * be, struct tensor out, struct tensor residual, struct tensor x,
       const struct weight *gain, float eps),
      (be, out, residual, x, gain, eps))
TIMED(silu_mul_quant, OP_SILU_MUL, (struct backend * be, struct tensor out, struct tensor gate_up),
      (be, out, gate_up))
TIMED(attention_quant, OP_ATTENTION,
      (struct backend * be, struct tensor out, struct tensor q, const struct kv_layer *kv,
       struct attn_shape s),
      (be, out, q, kv, s))
TIMED(norm_rope_kv_write, OP_ROPE,
      (struct backend * be, struct tensor q, struct tensor k, struct tensor v, struct kv_layer *kv,
       struct attn_shape s, struct head_norms n),
      (be, q, k, v, kv, s, n))
TIMED(linear_qkv, role_of(p, w),
      (struct backend * be, struct tensor qkv, struct tensor x, const struct weight *w,
       struct kv_layer *kv, struct attn_shape s, struct head_norms n),
      (be, qkv, x, w, kv, s, n))
TIMED(linear_silu_mul, role_of(p, w),
      (struct backend * be, struct tensor out, struct tensor gate_up, struct tensor x,
       const struct weight *w),
      (be, out, gate_up, x, w))

/* A form that the backend has not stays NULL, so that ops.c composes it as before. */
static void replace_operators(struct profiler *p)
{
#define REPLACE(op) \
    if (p->ops.op) p->ops.op = timed_##op
    REPLACE(copy_blocks);
    REPLACE(embed);
    REPLACE(rmsnorm);
    REPLACE(add);
    REPLACE(quantize);
    REPLACE(linear);
    REPLACE(head_norm);
    REPLACE(rope);
    REPLACE(kv_write);
    REPLACE(attention);
    REPLACE(silu_mul);
    REPLACE(gather_rows);
    REPLACE(allreduce);
    REPLACE(sample);
    REPLACE(add_rmsnorm);
    REPLACE(rmsnorm_quant);
    REPLACE(add_rmsnorm_quant);
    REPLACE(silu_mul_quant);
    REPLACE(attention_quant);
    REPLACE(norm_rope_kv_write);
    REPLACE(linear_qkv);
    REPLACE(linear_silu_mul);
#undef REPLACE
}

enum status profiler_attach(struct profiler **out, struct backend *be, const struct model_config *c,
                            const struct model_weights *w, struct op_profile *profile,
                            struct error *err)
{
    const size_t n = 4 * (size_t)c->n_layers + 1;
    struct profiler *p = calloc(1, sizeof *p + n * sizeof p->linears[0]);
    if (!p) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    p->inner = be->ops;
    p->ops = *be->ops;
    p->be = be;
    p->out = profile;
    for (int i = 0; i < c->n_layers; i++) {
        const struct layer_weights *l = &w->layers[i];
        p->linears[p->n_linears++] = (struct linear_role){l->wqkv, OP_QKV};
        p->linears[p->n_linears++] = (struct linear_role){l->wo, OP_O};
        p->linears[p->n_linears++] = (struct linear_role){l->w_gate_up, OP_GATE_UP};
        p->linears[p->n_linears++] = (struct linear_role){l->w_down, OP_DOWN};
    }
    p->linears[p->n_linears++] = (struct linear_role){w->lm_head, OP_HEAD};
    replace_operators(p);
    be->ops = &p->ops;
    *out = p;
    return STATUS_OK;
}

void profiler_detach(struct profiler *p)
{
    if (!p) return;
    p->be->ops = p->inner;
    free(p);
}
