#ifndef CUDA_ROWS_H
#define CUDA_ROWS_H

/* rows.h - operators on rows of activations, and the cache's writes.
 *
 * Memory-bound: bytes a call are those of the rows that are read and written (in brackets, for T
 * rows of n f32); the arithmetic is free.  A row belongs to one block (norms, quantisation, lookups)
 * or each of its heads to one warp (rotation, cache), and its sums have one order, given by n alone:
 * a row's bits do not depend on its neighbours.  Additions, quantisation, lookups and rotation give
 * the CPU's bits.
 * Rows need the alignment of their elements only. */

#include "cuda/cuda.h"

/* out = rmsnorm(x) * gain, after residual += x where there is a residual (then x is read from there).
 * out: f32, bf16, f16, or int8 rows and scales.  [8 T n; with a residual 16 T n; 16 bits: 2 T n less,
 * int8: 3 T n less] */
struct norm_args {
    struct tensor out, x, residual; /* residual.data NULL: none */
    const float *gain;
    float eps;
};
void cuda_norm(const struct norm_args *a, void *stream);

/* Each head of x, in place.  [8 T n] */
struct head_norm_args {
    struct tensor x;
    const float *gain; /* [head_dim] */
    int head_dim;
    float eps;
};
void cuda_head_norm(const struct head_norm_args *a, void *stream);

void cuda_add(const struct tensor *acc, const struct tensor *x, void *stream); /* [12 T n] */

/* int8 rows of x: q = round(x * 127 / absmax), scale = absmax / 127.  [5 T n] */
void cuda_quantize(const struct tensor *out, const struct tensor *x, void *stream);
/* The same for parameters as stored (f32, bf16, f16): rows `ld` elements apart. */
struct quantize_rows_args {
    int8_t *out;
    float *scale;
    const void *x;
    enum dtype dtype;
    int rows, cols, ld_out, ld_x;
};
void cuda_quantize_rows(const struct quantize_rows_args *a, void *stream);

/* out[T,F] = silu(x[:, :F]) * x[:, F:]; out f32, bf16, f16 or int8.  [12 T F; 10 T F; int8: 9 T F] */
void cuda_silu_mul(const struct tensor *out, const struct tensor *x, void *stream);

/* out[t] = table[id of row t]; `drawn`: tokens of the step before, for ids that are -1. */
struct embed_args {
    struct tensor out;
    const void *table; /* [V][ld] f32, bf16 or f16 */
    enum dtype dtype;
    int ld;
    const int32_t *ids, *src, *drawn;
};
void cuda_embed(const struct embed_args *a, void *stream);

/* out[r] = x[rows[r]].  [8 R n] */
void cuda_gather_rows(const struct tensor *out, const struct tensor *x, const int32_t *rows,
                      void *stream);

/* Norms and rotates the heads of q and k in place (either may have no columns), then stores k and v in
 * the cache: each part where its pointers are set.  [8 T (H + G) E, and the cache's bytes] */
struct rope_kv_args {
    struct tensor q, k, v;
    int head_dim;
    const float *q_gain, *k_gain; /* [head_dim]; NULL: no norm */
    float eps;
    const float *rope_table, *step_angles; /* NULL table: no rotation */
    const int32_t *angle_at;
    struct kv_layer kv; /* k NULL: no store */
    enum dtype kv_dtype;
    int block_size;
    const int32_t *slots; /* < 0: nothing of that row is stored */
};
void cuda_rope_kv_write(const struct rope_kv_args *a, void *stream);
/* The part of it that the step and the limits say; q, k and v, the norms and (kv NULL: rotation alone)
 * the cache as given.  rotate false: storing alone. */
struct rope_kv_args cuda_rope_kv_args(const struct cuda_backend *cb, bool rotate,
                                      const struct kv_layer *kv, const struct head_norms *n);

/* --- kv.c: the backend's entries --- */

void cuda_rope(struct backend *be, struct tensor q, struct tensor k, struct attn_shape s);
void cuda_kv_write(struct backend *be, struct kv_layer *kv, struct tensor k, struct tensor v);
void cuda_norm_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                             struct kv_layer *kv, struct attn_shape s, struct head_norms n);

/* Copies whole blocks of all layers, for the pairs (src, dst) of `copies`. */
struct copy_blocks_args {
    const struct kv_layer *layers; /* [n_layers], on the device */
    int n_layers;
    size_t block_size, scale_size; /* bytes of one block's keys, of its scales (0: none) */
    const int32_t *copies, *n_copies;
};
void cuda_copy_blocks(const struct copy_blocks_args *a, void *stream);

#endif
