#ifndef TESTS_CUDA_HOST_HOST_LAUNCH_H
#define TESTS_CUDA_HOST_HOST_LAUNCH_H

/* host_launch.h - keywords, indices, shared memory, launches; schedules and error reports.
 *
 * An error of a kernel ends the process (abort) with a line "host-shim error: block (..) thread (..)
 * ... [operation file:line]"; a block in which nobody can go on, with "host-shim deadlock" and where
 * each thread waits. */

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#if defined(__SANITIZE_ADDRESS__) && !defined(IH_ASAN)
#define IH_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(IH_TSAN)
#define IH_TSAN 1
#endif
#ifndef IH_ASAN
#define IH_ASAN 0
#endif
#ifndef IH_TSAN
#define IH_TSAN 0
#endif
/* Order between fibers that ThreadSanitizer is told of: what happened before IH_REL(p) in one fiber
 * comes before what follows IH_ACQ(p) in another. */
#if IH_TSAN
#include <sanitizer/tsan_interface.h>
#define IH_REL(p) __tsan_release((void *)(p))
#define IH_ACQ(p) __tsan_acquire((void *)(p))
#else
#define IH_REL(p) ((void)(p))
#define IH_ACQ(p) ((void)(p))
#endif

/* __noinline__ is missing: libstdc++ uses that word inside its attributes.  __shared__ is missing
 * so that nobody uses it: SHARED does it in both worlds. */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n)        alignas(n)
#define __builtin_assume(x) ((void)0)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
using cudaStream_t = void *;
constexpr int warpSize = 32;

namespace ih
{
/* Where in the source an operation was asked for: a default argument sees its caller's line. */
struct site {
    const char *file;
    int line;
    const char *what;
};
inline site here(const char *what = "", const char *f = __builtin_FILE(), int l = __builtin_LINE())
{
    return {f, l, what};
}

/* A CUDA thread. */
struct fiber {
    uint3 tid;
    int warp, lane;
};
extern fiber *cur;
extern char *dynamic_shared;
extern int nthreads; /* of the block */

/* Who runs next, and which block: ascending, descending, or by a seeded draw that also starves some
 * warps for a while.  Asynchronous copies land as late as may be (FORWARD), at once (REVERSE), or
 * by the draw. */
enum schedule { FORWARD, REVERSE, RANDOM };
void set_schedule(schedule s, uint64_t seed);
/* Limits of shared memory as on sm_80, sm_89 or sm_90 (the default). */
void set_arch(int arch);
int arch();

/* Since the process started; the ldmatrix counts are 8x8 matrices and their bank conflicts. */
extern uint64_t n_switch, n_collective, n_barrier, n_ldsm_rows, n_ldsm_extra;

[[noreturn]] void fatal(site at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void yield(site at);
void *smem_static(const void *key, size_t size, size_t align);
bool in_smem(const void *p, size_t size = 1);

/* Checks the limits; runs the grid, or records it where the stream is being captured.  `args` is
 * looked through for pointers to this thread's stack, which no GPU could follow. */
void submit(void *stream, dim3 grid, dim3 block, size_t shared_size, std::function<void()> body,
            site at);
void check_launch(dim3 grid, dim3 block, size_t shared_size, site at);
void check_arguments(const void *args, size_t size, site at);
/* `overlaps`: as with programmatic dependent launch, see cuda/ptx.h.  One block begins at once and goes
 * as far as grid_wait, ahead of up to two kernels of the stream that have begun in the same way; what is
 * left runs when later launches or finish_launches() ask for it. */
void launch(const void *stream, bool overlaps, dim3 grid, dim3 block, size_t shared_size,
            const std::function<void()> &body, site at);
void finish_launches();
void grid_wait(site at);
void grid_launch_dependents();
/* The running block waits for others: it returns, and runs again from its start behind them. */
void run_again(site at = here("wait_for_blocks"));
/* Launches since the process started, those of a graph when it runs; and other work of the stream that
 * a graph may hold: copies, zeros. */
extern uint64_t n_launches, n_transfers;
/* Of these, kernels that began while one ahead of them had blocks left to run. */
extern uint64_t n_early;
/* Bytes of pinned memory that the system still gives. */
extern size_t pinned_left;

template <class K, class... A>
void launch_kernel(site at, K kernel, dim3 grid, dim3 block, size_t shared_size, void *stream,
                   A... args)
{
    (check_arguments(&args, sizeof args, at), ...);
    /* As the kernel's own parameter types, copied: a captured launch outlives its caller's. */
    submit(
        stream, grid, block, shared_size, [=] { kernel(args...); }, at);
}
} // namespace ih

extern uint3 blockIdx;
extern dim3 blockDim, gridDim;
#define threadIdx (ih::cur->tid)

/* A pointer here, an array under nvcc: index it, do not take its size. */
#define SHARED(T, name, n)   \
    static char name##_key_; \
    T *name = static_cast<T *>(ih::smem_static(&name##_key_, sizeof(T) * (n), alignof(T)))
#define SHARED_DYN(T, name) T *name = reinterpret_cast<T *>(ih::dynamic_shared)
#define LAUNCH(kernel, grid, block, shared_size, stream, ...) \
    ih::launch_kernel(ih::here(#kernel), kernel, grid, block, shared_size, stream, ##__VA_ARGS__)

/* For the wrappers of cuda/ptx.h: their last parameter, and its use under the instruction's name. */
#define IH_AT      , ih::site at = ih::here()
#define IH_AT_ONLY ih::site at = ih::here()
#define IH_WHAT(s) (at.what = (s), at)

#endif
