#ifndef CUDA_KV_CUH
#define CUDA_KV_CUH

/* kv.cuh - one head's norm, rotation and store, by a warp: a kernel's work (kv.cu), or that of the
 * blocks behind a product (linear_tail.cuh). */

#include "cuda/row_math.cuh"

extern "C" {
#include "cuda/rows.h"
}

/* Heads of a row: first the queries', then the keys', then the values'. */
struct head_counts {
    int q, k, v;
};
inline __host__ __device__ struct head_counts count_heads(const struct rope_kv_args &a)
{
    struct head_counts n = {};
    n.q = a.q.data ? a.q.cols / a.head_dim : 0;
    n.k = a.k.data ? a.k.cols / a.head_dim : 0;
    n.v = a.v.data ? a.v.cols / a.head_dim : 0;
    return n;
}

PTX void rotate_head(float *x, const float *angles, int half, int lane)
{
    for (int i = lane; i < half; i += 32) {
        const float a = x[i], b = x[half + i], c = angles[i], s = angles[half + i];
        x[i] = __fsub_rn(__fmul_rn(a, c), __fmul_rn(b, s));
        x[half + i] = __fadd_rn(__fmul_rn(b, c), __fmul_rn(a, s));
    }
}

/* One head's E values to element `at` of the cache; only int8 has scales.  A lane reads what it
 * rotated itself where half a head is a multiple of the warp; else what others wrote before the
 * barrier. */
PTX void store_head(const struct rope_kv_args &a, const float *x, void *out, float *scales,
                    size_t head_slot, int lane)
{
    const int E = a.head_dim;
    const size_t at = head_slot * (size_t)E;
    if (a.kv_dtype == DT_F32) {
        for (int e = lane; e < E; e += 32) static_cast<float *>(out)[at + e] = x[e];
    } else if (a.kv_dtype == DT_BF16) {
        for (int e = lane; e < E; e += 32)
            static_cast<bf16 *>(out)[at + e] = __float2bfloat16_rn(x[e]);
    } else {
        float max = 0.0f;
        for (int e = lane; e < E; e += 32) max = fmaxf(max, fabsf(x[e]));
        max = warp_max(max);
        const float inverse = quant_inverse(max);
        for (int e = lane; e < E; e += 32)
            static_cast<int8_t *>(out)[at + e] = quant_int8(x[e], inverse);
        if (lane == 0) scales[head_slot] = quant_scale(max);
    }
}

/* One head of one row, by a warp: heads are counted within rows. */
PTX void finish_head(const struct rope_kv_args &a, const struct head_counts &n, int item, int lane)
{
    const int per_row = n.q + n.k + n.v, t = item / per_row, head = item % per_row, E = a.head_dim;
    const bool is_q = head < n.q, is_v = head >= n.q + n.k;
    const struct tensor &from = is_q ? a.q : is_v ? a.v : a.k;
    const int own = is_q ? head : is_v ? head - n.q - n.k : head - n.q;
    float *x = static_cast<float *>(from.data) + (size_t)t * from.ld + (size_t)own * E;
    if (a.q_gain && !is_v) {
        norm_head(x, is_q ? a.q_gain : a.k_gain, E, a.eps, lane);
        __syncwarp(FULL_WARP);
    }
    if (a.rope_table && !is_v) {
        const int row = a.angle_at[t];
        const float *angles =
            row >= 0 ? a.rope_table + (size_t)row * E : a.step_angles + (size_t)(-1 - row) * E;
        rotate_head(x, angles, E / 2, lane);
        __syncwarp(FULL_WARP);
    }
    if (is_q || !a.kv.k) return;
    const int slot = a.slots[t];
    if (slot < 0) return; /* a row that only fills a bucket */
    const int block = slot / a.block_size, offset = slot % a.block_size;
    const int heads = is_v ? n.v : n.k;
    const size_t head_slot = ((size_t)block * heads + own) * a.block_size + offset;
    store_head(a, x, is_v ? a.kv.v : a.kv.k, is_v ? a.kv.v_scale : a.kv.k_scale, head_slot, lane);
}

#endif
