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
    if (out.dtype != DT_I8) {
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
    if (out.dtype == DT_I8 && be->ops->add_rmsnorm_quant) {
        be->ops->add_rmsnorm_quant(be, out, residual, x, gain, eps);
    } else if (out.dtype != DT_I8 && be->ops->add_rmsnorm) {
        be->ops->add_rmsnorm(be, out, residual, x, gain, eps);
    } else {
        be->ops->add(be, residual, x);
        op_rmsnorm(be, out, residual, gain, eps);
    }
}

void op_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up)
{
    DCHECK(out.rows == gate_up.rows && 2 * out.cols == gate_up.cols);
    if (out.dtype != DT_I8) {
        be->ops->silu_mul(be, out, gate_up);
    } else if (be->ops->silu_mul_quant) {
        be->ops->silu_mul_quant(be, out, gate_up);
    } else {
        const struct tensor act = scratch_like(be, out);
        be->ops->silu_mul(be, act, gate_up);
        be->ops->quantize(be, out, act);
    }
}

void op_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                      struct kv_layer *kv, struct attn_shape s)
{
    DCHECK(q.cols == s.n_heads * s.head_dim);
    DCHECK(k.cols == s.n_kv_heads * s.head_dim && same_shape(k, v) && q.rows == k.rows);
    if (be->ops->rope_kv_write) {
        be->ops->rope_kv_write(be, q, k, v, kv, s);
        return;
    }
    be->ops->rope(be, q, k, s);
    be->ops->kv_write(be, kv, k, v);
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
