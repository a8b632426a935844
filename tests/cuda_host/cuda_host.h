#ifndef TESTS_CUDA_HOST_CUDA_HOST_H
#define TESTS_CUDA_HOST_CUDA_HOST_H

/* cuda_host.h - CUDA kernels as host C++: what cuda/cu.h includes where INFERD_HOST_SHIM is defined.
 *
 * One fiber for each CUDA thread, one block at a time, one OS thread.  A fiber runs until it meets
 * others (barrier, warp collective, mbarrier); who goes on is the schedule's choice.  README.md in
 * this folder says what that proves and what it cannot.
 *
 *   host_launch.h      keywords, indices, SHARED, LAUNCH, schedules, errors
 *   host_vector.h      float4 and its kin
 *   host_float16.h     bf16 and half
 *   host_intrinsics.h  arithmetic and bits
 *   host_warp.h        barriers, shuffles, votes, reductions
 *   host_atomic.h      atomics, fences, loads with cache hints
 *   host_ptx.h         what the wrappers of cuda/ptx.h call
 *
 * Compile with -fno-strict-aliasing: kernels read memory as other types, which nvcc allows.  The
 * runtime (*.cpp) is always compiled without sanitizers; IH_ASAN and IH_TSAN tell it what the
 * kernels use, so that ThreadSanitizer sees their memory accesses and not the scheduler's. */

#include "tests/cuda_host/host_launch.h"

#include "tests/cuda_host/host_vector.h"

#include "tests/cuda_host/host_intrinsics.h"

#include "tests/cuda_host/host_float16.h"

#include "tests/cuda_host/host_warp.h"

#include "tests/cuda_host/host_atomic.h"

#include "tests/cuda_host/host_ptx.h"

#endif
