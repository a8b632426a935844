#ifndef ENGINE_OPS_H
#define ENGINE_OPS_H

/* ops.h - the vocabulary the model graph is written in.
 *
 * Each function checks shapes once for every backend, then calls the backend's entry, or composes
 * a fused form that the backend left out from the primitives (using be->scratch).  Letters as in
 * backend.h.  Where `out` is DT_I8 the result is quantised per row; where it has 16 bits (on
 * backends whose activation_dtype() says so) it is rounded. */

#include "engine/backend.h"

/* out[T,D] = rmsnorm(x[T,D]) * gain[D]; out f32, I8 or 16 bits. */
void op_rmsnorm(struct backend *be, struct tensor out, struct tensor x, const struct weight *gain,
                float eps);
/* residual[T,D] += x[T,D]; out[T,D] = rmsnorm(residual) * gain[D].  out must not alias residual. */
void op_add_rmsnorm(struct backend *be, struct tensor out, struct tensor residual, struct tensor x,
                    const struct weight *gain, float eps);
/* out[T,F] = silu(gate_up[:, :F]) * gate_up[:, F:], gate_up[T,2F] = linear(x, w); out f32, I8 or 16
 * bits.  gate_up may hold anything afterwards. */
void op_linear_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up,
                        struct tensor x, const struct weight *w);
/* qkv[T,(H+2G)E] = linear(x, w).  Then, in place: the heads of q and k are normed where n.q is set, and
 * rotated; k and v are stored at each row's slot. */
void op_linear_qkv(struct backend *be, struct tensor qkv, struct tensor x, const struct weight *w,
                   struct kv_layer *kv, struct attn_shape s, struct head_norms n);
/* The second part of it, of q[T,H*E], k and v[T,G*E]. */
void op_norm_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                           struct kv_layer *kv, struct attn_shape s, struct head_norms n);
/* backend_ops.attention; out f32, I8 or 16 bits. */
void op_attention(struct backend *be, struct tensor out, struct tensor q, const struct kv_layer *kv,
                  struct attn_shape s);
/* out[T,N] = x[T,K] * w^T (+ bias).  Quantises x into `quant` first when the weight wants it and
 * x is not quantised yet. */
void op_linear(struct backend *be, struct tensor out, struct tensor x, struct tensor quant,
               const struct weight *w);

/* Views. */
struct tensor tensor_rows(struct tensor t, int n);            /* the first n rows */
struct tensor tensor_cols(struct tensor t, int first, int n); /* columns [first, first+n) */

#endif
