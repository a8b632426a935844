#ifndef CUDA_CU_H
#define CUDA_CU_H

/* cu.h - the one header that kernel sources include beside their own: CUDA, or the host shim
 * (tests/cuda_host), under which the same sources run as host code.
 *
 * Rules for kernel sources, so that both can run them:
 *   - shared memory by SHARED and SHARED_DYN, launches by LAUNCH, PTX by the wrappers of ptx.h;
 *   - wrappers take generic pointers and are called by whole warps where PTX says .aligned;
 *   - masks of shuffles and votes are explicit; a spin waits through mbar_wait;
 *   - invalid rows of asynchronous copies are filled with zeros (0 * NaN is NaN).
 *   - every thread of a kernel calls grid_wait (ptx.h) before it touches memory that any kernel or
 *     copy of a step writes, and before it ends; ahead of that it may read its parameters and weights.
 * A launcher is extern "C", takes one parameter struct and a stream, and never waits. */

#ifdef INFERD_HOST_SHIM
#include "tests/cuda_host/cuda_host.h" /* ahead of ptx.h, which calls it */

#include "cuda/ptx.h"
#else
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/ptx.h"

extern "C" {
#include "cuda/device.h"
}

/* T name[n] in shared memory; the dynamic part of it. */
#define SHARED(T, name, n) __shared__ T name[n]
#define SHARED_DYN(T, name)                                            \
    extern __shared__ __align__(1024) unsigned char dynamic_shared_[]; \
    T *name = reinterpret_cast<T *>(dynamic_shared_)
/* kernel: an expression without commas (give an instance of a template a name first). */
#define LAUNCH(kernel, grid, block, shared_size, stream, ...) \
    cu_launch(kernel, grid, block, shared_size, stream, __VA_ARGS__)

/* Errors are the runtime's last one, which device_wait reports. */
template <class... P, class... A>
void cu_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_size, const void *stream,
               const A &...args)
{
    const struct device_queue *queue = static_cast<const struct device_queue *>(stream);
    if (shared_size > 48 * 1024)
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_size);
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = grid;
    c.blockDim = block;
    c.dynamicSmemBytes = shared_size;
    c.stream = static_cast<cudaStream_t>(queue->stream);
    c.attrs = &overlap;
    c.numAttrs = queue->overlap ? 1 : 0;
    cudaLaunchKernelEx(&c, kernel, static_cast<P>(args)...);
}
#endif

/* In front of a loop whose body indexes registers. */
#ifdef INFERD_HOST_SHIM
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
#endif

using bf16 = __nv_bfloat16;
using f16 = __half;

#endif
