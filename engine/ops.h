#ifndef ENGINE_OPS_H
#define ENGINE_OPS_H

/* ops.h - the vocabulary the model graph is written in.
 *
 * Each function checks shapes once for every backend, then calls the backend's entry, or composes
 * a fused form that the backend left out from the primitives (using be->scratch).  Letters as in
 * backend.h.  Where `out` is DT_I8 the result is quantised per row. */

#include "engine/backend.h"

/* out[T,D] = rmsnorm(x[T,D]) * gain[D]; out f32 or I8. */
void op_rmsnorm(struct backend *be, struct tensor out, struct tensor x, const struct weight *gain,
                float eps);
/* residual[T,D] += x[T,D]; out[T,D] = rmsnorm(residual) * gain[D].  out must not alias residual. */
void op_add_rmsnorm(struct backend *be, struct tensor out, struct tensor residual, struct tensor x,
                    const struct weight *gain, float eps);
/* out[T,F] = silu(gate_up[:, :F]) * gate_up[:, F:]; out f32 or I8. */
void op_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up);
/* Rotate q[T,H*E] and k[T,G*E] in place, then store k and v[T,G*E] at each row's slot. */
void op_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                      struct kv_layer *kv, struct attn_shape s);
/* out[T,N] = x[T,K] * w^T (+ bias).  Quantises x into `quant` first when the weight wants it and
 * x is not quantised yet. */
void op_linear(struct backend *be, struct tensor out, struct tensor x, struct tensor quant,
               const struct weight *w);

/* Views. */
struct tensor tensor_rows(struct tensor t, int n);            /* the first n rows */
struct tensor tensor_cols(struct tensor t, int first, int n); /* columns [first, first+n) */

#endif
