#include "engine/ops.h"

#include "config/base/check.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[DT_COUNT] = {
    [DT_F32] = {"float32", 4}, [DT_F16] = {"float16", 2}, [DT_BF16] = {"bfloat16", 2},
    [DT_I8] = {"int8", 1},     [DT_I32] = {"int32", 4},
};

size_t dtype_size(enum dtype t)
{
    CHECK(t >= 0 && t < DT_COUNT);
    return dtypes[t].size;
}

const char *dtype_name(enum dtype t)
{
    CHECK(t >= 0 && t < DT_COUNT);
    return dtypes[t].name;
}

struct tensor tensor_rows(struct tensor t, int n)
{
    DCHECK(n >= 0 && n <= t.rows);
    t.rows = n;
    return t;
}

struct tensor tensor_cols(struct tensor t, int first, int n)
{
    DCHECK(first >= 0 && n >= 0 && first + n <= t.cols);
    DCHECK(t.dtype != DT_I8); /* a slice of quantised columns would need scales of its own */
    t.data = (char *)t.data + (size_t)first * dtype_size(t.dtype);
    t.cols = n;
    return t;
}

static bool same_shape(struct tensor a, struct tensor b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

/* The part of the scratch buffer that a composition needs for its unquantised result. */
static struct tensor scratch_like(struct backend *be, struct tensor t)
{
    struct tensor s = be->scratch;
    DCHECK(t.rows <= s.rows && t.cols <= s.ld);
    s.rows = t.rows;
    s.cols = t.cols;
    s.ld = t.cols;
    return s;
}

void op_rmsnorm(struct backend *be, struct tensor out, struct tensor x, const struct weight *gain,
                float eps)
{
    DCHECK(same_shape(out, x) && out.data != x.data);
    if (out.dtype == DT_F32) {
        be->ops->rmsnorm(be, out, x, gain, eps);
    } else if (be->ops->rmsnorm_quant) {
        be->ops->rmsnorm_quant(be, out, x, gain, eps);
    } else {
        const struct tensor normed = scratch_like(be, out);
        be->ops->rmsnorm(be, normed, x, gain, eps);
        be->ops->quantize(be, out, normed);
    }
}

void op_add_rmsnorm(struct backend *be, struct tensor out, struct tensor residual, struct tensor x,
                    const struct weight *gain, float eps)
{
    DCHECK(same_shape(out, residual) && same_shape(residual, x));
    DCHECK(out.data != residual.data);
    if (out.dtype != DT_F32 && be->ops->add_rmsnorm_quant) {
        be->ops->add_rmsnorm_quant(be, out, residual, x, gain, eps);
    } else if (out.dtype == DT_F32 && be->ops->add_rmsnorm) {
        be->ops->add_rmsnorm(be, out, residual, x, gain, eps);
    } else {
        be->ops->add(be, residual, x);
        op_rmsnorm(be, out, residual, gain, eps);
    }
}

static void silu_mul(struct backend *be, struct tensor out, struct tensor gate_up)
{
    if (out.dtype == DT_F32) {
        be->ops->silu_mul(be, out, gate_up);
    } else if (be->ops->silu_mul_quant) {
        be->ops->silu_mul_quant(be, out, gate_up);
    } else {
        const struct tensor act = scratch_like(be, out);
        be->ops->silu_mul(be, act, gate_up);
        be->ops->quantize(be, out, act);
    }
}

void op_linear_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up,
                        struct tensor x, const struct weight *w)
{
    DCHECK(out.rows == gate_up.rows && 2 * out.cols == gate_up.cols && x.rows == out.rows);
    if (be->ops->linear_silu_mul) {
        be->ops->linear_silu_mul(be, out, gate_up, x, w);
        return;
    }
    be->ops->linear(be, gate_up, x, w);
    silu_mul(be, out, gate_up);
}

void op_norm_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                           struct kv_layer *kv, struct attn_shape s, struct head_norms n)
{
    DCHECK(q.cols == s.n_heads * s.head_dim && !n.q == !n.k);
    DCHECK(k.cols == s.n_kv_heads * s.head_dim && same_shape(k, v) && q.rows == k.rows);
    if (be->ops->norm_rope_kv_write) {
        be->ops->norm_rope_kv_write(be, q, k, v, kv, s, n);
        return;
    }
    if (n.q) {
        be->ops->head_norm(be, q, s.n_heads, n.q, n.eps);
        be->ops->head_norm(be, k, s.n_kv_heads, n.k, n.eps);
    }
    be->ops->rope(be, q, k, s);
    be->ops->kv_write(be, kv, k, v);
}

void op_linear_qkv(struct backend *be, struct tensor qkv, struct tensor x, const struct weight *w,
                   struct kv_layer *kv, struct attn_shape s, struct head_norms n)
{
    const int q_cols = s.n_heads * s.head_dim, kv_cols = s.n_kv_heads * s.head_dim;
    DCHECK(qkv.cols == q_cols + 2 * kv_cols && x.rows == qkv.rows && !n.q == !n.k);
    if (be->ops->linear_qkv) {
        be->ops->linear_qkv(be, qkv, x, w, kv, s, n);
        return;
    }
    be->ops->linear(be, qkv, x, w);
    op_norm_rope_kv_write(be, tensor_cols(qkv, 0, q_cols), tensor_cols(qkv, q_cols, kv_cols),
                          tensor_cols(qkv, q_cols + kv_cols, kv_cols), kv, s, n);
}

void op_attention(struct backend *be, struct tensor out, struct tensor q, const struct kv_layer *kv,
                  struct attn_shape s)
{
    DCHECK(q.cols == s.n_heads * s.head_dim && same_shape(out, q));
    if (out.dtype == DT_F32) {
        be->ops->attention(be, out, q, kv, s);
    } else if (be->ops->attention_quant) {
        be->ops->attention_quant(be, out, q, kv, s);
    } else {
        const struct tensor wide = scratch_like(be, out);
        be->ops->attention(be, wide, q, kv, s);
        be->ops->quantize(be, out, wide);
    }
}

void op_linear(struct backend *be, struct tensor out, struct tensor x, struct tensor quant,
               const struct weight *w)
{
    DCHECK(out.rows == x.rows);
    if (x.dtype != DT_I8 && be->ops->activation_dtype(be, w) == DT_I8) {
        DCHECK(quant.dtype == DT_I8 && same_shape(quant, x));
        be->ops->quantize(be, quant, x);
        x = quant;
    }
    be->ops->linear(be, out, x, w);
}
