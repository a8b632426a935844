#ifndef CUDA_LINEAR_TAIL_CUH
#define CUDA_LINEAR_TAIL_CUH

/* linear_tail.cuh - the last blocks of a product's grid: they wait for the others, then work on what
 * these have stored.  One launch less than a kernel of its own, and no gap.
 *
 * A block that waits holds its place on a multiprocessor.  There are at most half as many as there are
 * multiprocessors (linear.c), so that the blocks they wait for always find one, in whatever order
 * blocks are started.  The kernel behind takes none from them: it begins when all of these have begun
 * (ptx.h, grid_launch_dependents). */

#include "cuda/kv.cuh"

extern "C" {
#include "cuda/linear.h"
}

/* Blocks that multiply. */
PTX int product_blocks(const struct linear_args &a)
{
    return (int)gridDim.x - a.tail.n_blocks;
}

/* A warp of such a block has stored all that it will. */
PTX void warp_done(const struct linear_args &a)
{
    if (a.tail.kind == LINEAR_TAIL_NONE) return;
    __syncwarp();
    if (threadIdx.x % 32 == 0) red_add_release(a.tail.done, 1u);
}
/* All of its warps have; by all of them. */
PTX void block_done(const struct linear_args &a)
{
    if (a.tail.kind == LINEAR_TAIL_NONE) return;
    __syncthreads();
    if (threadIdx.x == 0) red_add_release(a.tail.done, 1u);
}

template <int THREADS> PTX void quantize_tail(const struct linear_args &a, int block)
{
    const struct tensor &t = a.tail.rows;
    const int per_row = (t.cols + LINEAR_TAIL_SLICE - 1) / LINEAR_TAIL_SLICE;
    for (int item = block; item < t.rows * per_row; item += a.tail.n_blocks) {
        const int row = item / per_row, first = item % per_row * LINEAR_TAIL_SLICE;
        const float max = __int_as_float((int)a.absmax[row]), inverse = quant_inverse(max);
        const float *x = a.out + (size_t)row * a.ldo;
        int8_t *q = static_cast<int8_t *>(t.data) + (size_t)row * t.ld;
        const int end = min(t.cols, first + LINEAR_TAIL_SLICE);
        for (int i = first + (int)threadIdx.x; i < end; i += THREADS)
            q[i] = quant_int8(x[i], inverse);
        if (first == 0 && threadIdx.x == 0) t.scale[row] = quant_scale(max);
    }
}

template <int THREADS> PTX void heads_tail(const struct linear_args &a, int block)
{
    constexpr int WARPS = THREADS / 32;
    const struct head_counts n = count_heads(a.tail.heads);
    const int n_items = a.rows * (n.q + n.k + n.v);
    for (int item = block * WARPS + (int)threadIdx.x / 32; item < n_items;
         item += a.tail.n_blocks * WARPS)
        finish_head(a.tail.heads, n, item, threadIdx.x % 32);
}

/* What a block behind the product's does; PER_BLOCK: how often each of those says that it is done.
 * PAIR: gate|up, which is quantised; else heads. */
template <int THREADS, int PER_BLOCK, bool PAIR> PTX void product_tail(const struct linear_args &a)
{
    grid_wait(); /* the counter may still be that of the kernel ahead */
    const int n_blocks = product_blocks(a), block = (int)blockIdx.x - n_blocks;
    const unsigned before = (unsigned)(n_blocks * PER_BLOCK);
    if (!wait_for_blocks(a.tail.done, before)) return;
    if constexpr (PAIR)
        quantize_tail<THREADS>(a, block);
    else
        heads_tail<THREADS>(a, block);
    __syncthreads(); /* absmax has been read */
    if (threadIdx.x != 0) return;
    if (atom_add_acq_rel(a.tail.done, 1u) != before + (unsigned)a.tail.n_blocks - 1u) return;
    for (int r = 0; a.absmax && r < a.rows; r++) a.absmax[r] = 0u;
    st_release(a.tail.done, 0u); /* for the next launch */
}

#endif
