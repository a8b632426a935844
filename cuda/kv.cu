/* Rotation, and the cache's writes and copies. */
#include "cuda/kv.cuh"

namespace
{

constexpr unsigned WARPS = 4; /* of a block; a warp takes one head of one row */

__global__ void k_norm_rope_kv_write(struct rope_kv_args a, struct head_counts n, int n_items)
{
    grid_begin();
    const int item = (int)(blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32);
    if (item < n_items) finish_head(a, n, item, threadIdx.x % 32);
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
    grid_begin();
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
    const struct head_counts n = count_heads(*a);
    const int rows = n.k > 0 ? a->k.rows : a->q.rows, items = rows * (n.q + n.k + n.v);
    if (items == 0) return;
    LAUNCH(k_norm_rope_kv_write, dim3(((unsigned)items + WARPS - 1) / WARPS), dim3(32 * WARPS), 0,
           stream, *a, n, items);
}

void cuda_copy_blocks(const struct copy_blocks_args *a, void *stream)
{
    LAUNCH(k_copy_blocks, dim3((unsigned)a->n_layers, 4), dim3(256), 0, stream, *a);
}
}
