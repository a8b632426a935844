/* Rotation, and the cache's writes and copies. */
#include "cuda/row_reduce.cuh"

extern "C" {
#include "cuda/rows.h"
}

namespace
{

constexpr float QUANT_TINY = 1e-35f; /* rows.cu */
constexpr unsigned WARPS = 4;        /* of a block; a warp takes one head of one row */

/* Heads of a row: first the queries', then the keys', then the values'. */
struct head_counts {
    int q, k, v;
};

__device__ __forceinline__ void rotate(float *x, const float *angles, int half, int lane)
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
__device__ __forceinline__ void store(const struct rope_kv_args &a, const float *x, void *out,
                                      float *scales, size_t head_slot, int lane)
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
        const bool tiny = max < QUANT_TINY;
        const float inverse = tiny ? 0.0f : __fdiv_rn(127.0f, max);
        for (int e = lane; e < E; e += 32) {
            const float y = fmaxf(fminf(__fmul_rn(x[e], inverse), 127.0f), -127.0f);
            static_cast<int8_t *>(out)[at + e] = (int8_t)__float2int_rn(y);
        }
        if (lane == 0) scales[head_slot] = tiny ? 0.0f : __fdiv_rn(max, 127.0f);
    }
}

__global__ void k_rope_kv_write(struct rope_kv_args a, struct head_counts n)
{
    const int lane = threadIdx.x % 32, per_row = n.q + n.k + n.v;
    const int item = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int t = item / per_row, head = item % per_row, E = a.head_dim;
    const int rows = n.k > 0 ? a.k.rows : a.q.rows;
    if (t >= rows) return;
    const bool is_q = head < n.q, is_v = head >= n.q + n.k;
    const struct tensor &from = is_q ? a.q : is_v ? a.v : a.k;
    const int own = is_q ? head : is_v ? head - n.q - n.k : head - n.q;
    float *x = static_cast<float *>(from.data) + (size_t)t * from.ld + (size_t)own * E;
    if (a.rope_table && !is_v) {
        const int row = a.angle_at[t];
        const float *angles =
            row >= 0 ? a.rope_table + (size_t)row * E : a.step_angles + (size_t)(-1 - row) * E;
        rotate(x, angles, E / 2, lane);
        __syncwarp(FULL_WARP);
    }
    if (is_q || !a.kv.k) return;
    const int slot = a.slots[t], block = slot / a.block_size, offset = slot % a.block_size;
    const int heads = is_v ? n.v : n.k;
    const size_t head_slot = ((size_t)block * heads + own) * a.block_size + offset;
    store(a, x, is_v ? a.kv.v : a.kv.k, is_v ? a.kv.v_scale : a.kv.k_scale, head_slot, lane);
}

__device__ __forceinline__ void copy_bytes(void *array, size_t size, int dst, int src)
{
    /* Blocks are 16 tokens or more of whole heads: multiples of 16 bytes. */
    const uint4 *from = reinterpret_cast<const uint4 *>(static_cast<char *>(array) + src * size);
    uint4 *to = reinterpret_cast<uint4 *>(static_cast<char *>(array) + dst * size);
    for (size_t i = threadIdx.x; i < size / 16; i += blockDim.x) to[i] = from[i];
}

/* Block x: layer; y: every gridDim.y-th copy. */
__global__ void k_copy_blocks(struct copy_blocks_args a)
{
    const struct kv_layer l = a.layers[blockIdx.x];
    const int n = *a.n_copies;
    for (int i = blockIdx.y; i < n; i += gridDim.y) {
        const int src = a.copies[2 * i], dst = a.copies[2 * i + 1];
        copy_bytes(l.k, a.block_size, dst, src);
        copy_bytes(l.v, a.block_size, dst, src);
        if (a.scale_size == 0) continue;
        copy_bytes(l.k_scale, a.scale_size, dst, src);
        copy_bytes(l.v_scale, a.scale_size, dst, src);
    }
}

} // namespace

extern "C" {

void cuda_rope_kv_write(const struct rope_kv_args *a, void *stream)
{
    struct head_counts n = {};
    n.q = a->q.data ? a->q.cols / a->head_dim : 0;
    n.k = a->k.data ? a->k.cols / a->head_dim : 0;
    n.v = a->v.data ? a->v.cols / a->head_dim : 0;
    const int rows = n.k > 0 ? a->k.rows : a->q.rows;
    const unsigned items = (unsigned)rows * (unsigned)(n.q + n.k + n.v);
    if (items == 0) return;
    LAUNCH(k_rope_kv_write, dim3((items + WARPS - 1) / WARPS), dim3(32 * WARPS), 0, stream, *a, n);
}

void cuda_copy_blocks(const struct copy_blocks_args *a, void *stream)
{
    LAUNCH(k_copy_blocks, dim3((unsigned)a->n_layers, 4), dim3(256), 0, stream, *a);
}
}
