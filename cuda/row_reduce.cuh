#ifndef CUDA_ROW_REDUCE_CUH
#define CUDA_ROW_REDUCE_CUH

/* row_reduce.cuh - sums and maxima over a warp and over a block, in an order of their own. */

#include "cuda/cu.h"

#define FULL_WARP 0xffffffffu

__device__ __forceinline__ float warp_sum(float x)
{
    for (int d = 16; d > 0; d /= 2) x = __fadd_rn(x, __shfl_xor_sync(FULL_WARP, x, d));
    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
    for (int d = 16; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, d));
    return x;
}

/* The result of all warps, in every thread.  `part`: 32 floats of shared memory that no thread
 * reads any more from an earlier use; blockDim.x is a multiple of 32. */
template <bool MAX> __device__ __forceinline__ float block_reduce(float x, float *part)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
    x = MAX ? warp_max(x) : warp_sum(x);
    if (lane == 0) part[warp] = x;
    __syncthreads();
    x = lane < n_warps ? part[lane] : 0.0f; /* maxima are of absolute values */
    return MAX ? warp_max(x) : warp_sum(x);
}

#endif
