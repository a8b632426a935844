#ifndef CUDA_ATTENTION_CUH
#define CUDA_ATTENTION_CUH

/* attention.cuh - what the attention kernels have in common: tickets, what a row sees, and the one
 * order in which spans are merged. */

#include "cuda/cu.h"

extern "C" {
#include "cuda/attention.h"
}

/* The next of n pieces of work, or n or more.  Every taker stops at its first such ticket; the last
 * of them sets the counter back, for the next launch. */
__device__ __forceinline__ unsigned take_ticket(unsigned *ticket, unsigned n, unsigned n_takers)
{
    const unsigned w = atomicAdd(ticket, 1u);
    if (w == n + n_takers - 1) atomicExch(ticket, 0u);
    return w;
}

/* Keys [lo, hi) that the row at `position` sees. */
__device__ __forceinline__ int first_seen(int position, int window)
{
    return window > 0 ? max(0, position + 1 - window) : 0;
}

/* Weights of a running result (maximum m) and of a span (maximum ms) in their merged result, whose
 * maximum it returns.  A maximum of -infinity: nothing seen yet. */
__device__ __forceinline__ float merge_weights(float m, float ms, float *x, float *y)
{
    const float top = fmaxf(m, ms), ref = top == -INFINITY ? 0.0f : top;
    *x = ex2(m - ref);
    *y = ex2(ms - ref);
    return top;
}

__device__ __forceinline__ float merge_value(float total, float x, float span, float y)
{
    return fmaf(span, y, total * x);
}

/* Where flat row r of an item's sequence is in q and out. */
__device__ __forceinline__ size_t row_offset(const struct attn_item &it, int r, int group, int head,
                                             int head_dim, int ld)
{
    const int token = r / group, h = head * group + r % group;
    return (size_t)(it.q0 + token) * (size_t)ld + (size_t)h * (size_t)head_dim;
}

#endif
