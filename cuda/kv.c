/* Rotation and the cache's writes on the host's side. */
#include "config/base/check.h"
#include "cuda/rows.h"

struct rope_kv_args cuda_rope_kv_args(const struct cuda_backend *cb, bool rotate,
                                      const struct kv_layer *kv, const struct head_norms *n)
{
    struct rope_kv_args a = {
        .head_dim = cb->limits.head_dim,
        .kv_dtype = cb->limits.kv_dtype,
        .block_size = cb->limits.block_size,
        .slots = cb->at.slots,
    };
    if (kv) a.kv = *kv;
    if (n && n->q) {
        DCHECK(n->q->kind == WEIGHT_VECTOR && n->q->k == a.head_dim && n->k->k == a.head_dim);
        a.q_gain = n->q->data;
        a.k_gain = n->k->data;
        a.eps = n->eps;
    }
    if (!rotate) return a;
    DCHECK(cb->has_rope);
    a.rope_table = cb->rope_table;
    a.step_angles = cb->at.step_angles;
    a.angle_at = cb->at.angle_at;
    return a;
}

void cuda_rope(struct backend *be, struct tensor q, struct tensor k, struct attn_shape s)
{
    const struct cuda_backend *cb = cuda_of(be);
    DCHECK(cb->limits.head_dim == s.head_dim && k.rows == q.rows);
    (void)s;
    struct rope_kv_args a = cuda_rope_kv_args(cb, true, NULL, NULL);
    a.q = q;
    a.k = k;
    cuda_rope_kv_write(&a, device_stream(cb->device));
}

void cuda_kv_write(struct backend *be, struct kv_layer *kv, struct tensor k, struct tensor v)
{
    const struct cuda_backend *cb = cuda_of(be);
    DCHECK(k.rows == v.rows && k.cols == cb->limits.n_kv_heads * cb->limits.head_dim);
    struct rope_kv_args a = cuda_rope_kv_args(cb, false, kv, NULL);
    a.k = k;
    a.v = v;
    cuda_rope_kv_write(&a, device_stream(cb->device));
}

void cuda_norm_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                             struct kv_layer *kv, struct attn_shape s, struct head_norms n)
{
    const struct cuda_backend *cb = cuda_of(be);
    DCHECK(cb->limits.head_dim == s.head_dim && k.rows == q.rows && v.rows == k.rows);
    (void)s;
    struct rope_kv_args a = cuda_rope_kv_args(cb, true, kv, &n);
    a.q = q;
    a.k = k;
    a.v = v;
    cuda_rope_kv_write(&a, device_stream(cb->device));
}
