// cuda_host.h - run CUDA kernels as host C++ (g++ -x c++ -DINFERD_HOST_SHIM -fno-strict-aliasing).
// The runtime is cuda_host.cpp, always compiled WITHOUT -fsanitize (IH_ASAN / IH_TSAN tell it what the
// kernels use), so that ThreadSanitizer sees only the kernels' own memory accesses.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <vector>
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
#if IH_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" void AnnotateIgnoreReadsBegin(const char *, int),
    AnnotateIgnoreReadsEnd(const char *, int);
extern "C" void AnnotateIgnoreWritesBegin(const char *, int),
    AnnotateIgnoreWritesEnd(const char *, int);
#define IH_REL(p) __tsan_release((void *)(p))
#define IH_ACQ(p) __tsan_acquire((void *)(p))
#else
#define IH_REL(p) ((void)0)
#define IH_ACQ(p) ((void)0)
#endif

// ---- keywords (do not define __noinline__: libstdc++ uses it inside __attribute__) ----
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

// ---- vector types ----
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y)
{
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
inline int4 make_int4(int x, int y, int z, int w)
{
    return {x, y, z, w};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}
using cudaStream_t = void *;

namespace ih
{
struct Site {
    const char *file;
    int line;
    const char *what;
};
inline Site here(const char *what = "", const char *f = __builtin_FILE(), int l = __builtin_LINE())
{
    return {f, l, what};
}
enum Sched { FORWARD, REVERSE, RANDOM };
using OpFn = void (*)(void **arg, unsigned mask);
struct CpAsync {
    char *dst;
    const char *src;
    int n;
    unsigned group;
};
struct Fiber {
    void *sp = nullptr;
    uint3 tid{};
    int warp = 0, lane = 0;
    bool done = true;
    Site at{};
    std::vector<CpAsync> cp;
    unsigned cp_group = 0, syncs = 0; // cp.async state of this thread
    char *stack = nullptr;
    void *fake = nullptr;
    void *tsan = nullptr;
};
extern Fiber *cur;
extern char *dyn_smem;
extern int nthreads;
extern uint64_t n_switch, n_collective, n_barrier, n_ldsm_rows, n_ldsm_extra; // statistics

void set_schedule(Sched s, uint64_t seed);
[[noreturn]] void fatal(Site s, const char *fmt, ...);
void yield(Site at);
void barrier(int id, int count, bool wait, Site at);
void warp_op(unsigned mask, void *arg, OpFn fn, Site at,
             bool aligned = false);      // the last lane runs fn for all
void warp_fence(unsigned mask, Site at); // __syncwarp
bool in_smem(const void *p, size_t n = 1);
void *smem_static(const void *key, size_t n, size_t align);
void cp_issue(void *dst, const void *src, int n, Site at);
void cp_wait(unsigned newest);
void mbar_init(uint64_t *bar, int count);
void mbar_arrive(uint64_t *bar, unsigned tx, Site at);
void mbar_wait(uint64_t *bar, unsigned parity, Site at);
void bulk_issue(void *dst, const void *src, unsigned bytes, uint64_t *bar, Site at);
void touch16(const void *p); // a 16-byte read the sanitizers can see
struct Mma {
    void *d;
    const uint32_t *a, *b;
};
void mma_bf16(void **arg, unsigned), mma_s8(void **arg, unsigned);
void ldsm(uint32_t *r, const void *p, int n, bool trans, Site at);
void launch(dim3 g, dim3 b, size_t smem, void (*body)(void *), void *ctx, Site at);
} // namespace ih
extern uint3 blockIdx;
extern dim3 blockDim, gridDim;
#define threadIdx (ih::cur->tid)
constexpr int warpSize = 32;

// ---- CUDA surface ----
#define SHARED(T, name, n)   \
    static char name##_key_; \
    T *name = (T *)ih::smem_static(&name##_key_, sizeof(T) * (n), alignof(T))
#define SHARED_DYN(T, name) T *name = (T *)ih::dyn_smem
// Runs now, or is recorded where the stream is being captured: arguments are copied either way.
#define LAUNCH(kernel, grid, block, smem, stream, ...)                                       \
    do {                                                                                     \
        auto k_ = kernel;                                                                    \
        auto a_ = std::make_tuple(__VA_ARGS__);                                              \
        ih::submit(                                                                          \
            stream, grid, block, smem, [k_, a_] { std::apply(k_, a_); }, ih::here(#kernel)); \
    } while (0)
namespace ih
{
void submit(void *stream, dim3 g, dim3 b, size_t smem, std::function<void()> body, Site at);
}
#define IH_AT      , ih::Site at = ih::here()
#define IH_WHAT(s) (at.what = s, at)

inline void __syncthreads(ih::Site at = ih::here("__syncthreads"))
{
    ih::barrier(0, ih::nthreads, true, at);
}
inline void __syncwarp(unsigned mask = ~0u, ih::Site at = ih::here("__syncwarp"))
{
    ih::warp_fence(mask, at);
}
namespace ih
{
template <class T> struct Shfl {
    T v, r;
    int src;
}; // src: lane to read
template <class T> T shfl(unsigned mask, T v, int src, Site at)
{
    Shfl<T> s{v, v, src};
    if (!(mask >> src & 1)) fatal(at, "shuffle reads lane %d, not in mask %08x", src, mask);
    warp_op(
        mask, &s,
        [](void **a, unsigned m) {
            for (int l = 0; l < 32; l++)
                if (m >> l & 1) {
                    auto *x = (Shfl<T> *)a[l];
                    x->r = ((Shfl<T> *)a[x->src])->v;
                }
        },
        at);
    return s.r;
}
struct Vote {
    bool p;
    unsigned r;
};
inline unsigned ballot(unsigned mask, bool p, Site at)
{
    Vote v{p, 0};
    warp_op(
        mask, &v,
        [](void **a, unsigned m) {
            unsigned r = 0;
            for (int l = 0; l < 32; l++)
                if (m >> l & 1) r |= unsigned(((Vote *)a[l])->p) << l;
            for (int l = 0; l < 32; l++)
                if (m >> l & 1) ((Vote *)a[l])->r = r;
        },
        at);
    return v.r;
}
inline int seg(int width)
{
    return cur->lane & ~(width - 1);
}
} // namespace ih
template <class T>
T __shfl_sync(unsigned m, T v, int src, int width = 32, ih::Site at = ih::here("shfl"))
{
    return ih::shfl(m, v, ih::seg(width) + (src & (width - 1)), at);
}
template <class T>
T __shfl_xor_sync(unsigned m, T v, int x, int width = 32, ih::Site at = ih::here("shfl_xor"))
{
    int s = ih::cur->lane ^ x;
    return ih::shfl(m, v, s < ih::seg(width) + width ? s : ih::cur->lane, at);
}
template <class T>
T __shfl_down_sync(unsigned m, T v, unsigned d, int width = 32, ih::Site at = ih::here("shfl_down"))
{
    int s = ih::cur->lane + int(d);
    return ih::shfl(m, v, s < ih::seg(width) + width ? s : ih::cur->lane, at);
}
template <class T>
T __shfl_up_sync(unsigned m, T v, unsigned d, int width = 32, ih::Site at = ih::here("shfl_up"))
{
    int s = ih::cur->lane - int(d);
    return ih::shfl(m, v, s >= ih::seg(width) ? s : ih::cur->lane, at);
}
inline unsigned __ballot_sync(unsigned m, int p, ih::Site at = ih::here("ballot"))
{
    return ih::ballot(m, p, at);
}
inline int __any_sync(unsigned m, int p, ih::Site at = ih::here("any"))
{
    return ih::ballot(m, p, at) != 0;
}
inline int __all_sync(unsigned m, int p, ih::Site at = ih::here("all"))
{
    return ih::ballot(m, p, at) == m;
}
inline void __nanosleep(unsigned, ih::Site at = ih::here("nanosleep"))
{
    ih::yield(at);
} // needed inside every spin loop
inline void __trap(ih::Site at = ih::here("__trap"))
{
    ih::fatal(at, "trap");
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T, class F> T ih_rmw(T *p, F f)
{
    T o = __atomic_load_n(p, __ATOMIC_RELAXED), n;
    do n = f(o);
    while (!__atomic_compare_exchange(p, &o, &n, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return o;
}
inline int atomicAdd(int *p, int v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
inline unsigned atomicAdd(unsigned *p, unsigned v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
inline unsigned long long atomicAdd(unsigned long long *p, unsigned long long v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
inline float atomicAdd(float *p, float v)
{
    unsigned o = ih_rmw((unsigned *)p, [v](unsigned u) {
        float f;
        memcpy(&f, &u, 4);
        f += v;
        memcpy(&u, &f, 4);
        return u;
    });
    float f;
    memcpy(&f, &o, 4);
    return f;
}
template <class T> T atomicMax(T *p, T v)
{
    return ih_rmw(p, [v](T o) { return o > v ? o : v; });
}
template <class T> T atomicMin(T *p, T v)
{
    return ih_rmw(p, [v](T o) { return o < v ? o : v; });
}
template <class T> T atomicExch(T *p, T v)
{
    return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL);
}
template <class T> T atomicCAS(T *p, T c, T v)
{
    __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return c;
}

template <class T> T __ldg(const T *p)
{
    return *p;
}
inline float __expf(float x)
{
    return expf(x);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}
inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline int __float2int_rn(float x)
{
    return (int)lrintf(x);
}
inline float __int2float_rn(int x)
{
    return (float)x;
}
inline int __float_as_int(float x)
{
    int i;
    memcpy(&i, &x, 4);
    return i;
}
inline float __int_as_float(int i)
{
    float x;
    memcpy(&x, &i, 4);
    return x;
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz(x) : 32;
}
inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 4; i++) c += int8_t(a >> 8 * i) * int8_t(b >> 8 * i);
    return c;
}
template <class T> T min(T a, T b)
{
    return b < a ? b : a;
}
template <class T> T max(T a, T b)
{
    return a < b ? b : a;
}

struct __nv_bfloat16 {
    uint16_t u;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
inline float __bfloat162float(__nv_bfloat16 h)
{
    return __int_as_float(int(uint32_t(h.u) << 16));
}
inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
    uint32_t u = __float_as_int(f);
    return {uint16_t(f != f ? 0x7FFF : (u + 0x7FFF + (u >> 16 & 1)) >> 16)};
}
inline __nv_bfloat16 __float2bfloat16(float f)
{
    return __float2bfloat16_rn(f);
}
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b)
{
    return {__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
}
inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
    return {__bfloat162float(v.x), __bfloat162float(v.y)};
}
struct __half {
    _Float16 h;
};
inline float __half2float(__half h)
{
    return (float)h.h;
}
inline __half __float2half_rn(float f)
{
    return {(_Float16)f};
}
inline __half __float2half(float f)
{
    return {(_Float16)f};
}

/* Byte i of the result is byte (selector >> 4 i & 7) of high:low. */
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector)
{
    const uint64_t all = (uint64_t)high << 32 | low;
    unsigned r = 0;
    for (int i = 0; i < 4; i++)
        r |= (unsigned)(all >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return r;
}
namespace ih
{
/* mma.m16n8k16 in f16: registers as of mma_bf16. */
inline void mma_f16(void **arg, unsigned)
{
    float a[16][16], b[16][8], c[16][8];
    const auto half = [](uint32_t r, int i) {
        const uint16_t u = (uint16_t)(r >> 16 * i);
        __half h;
        memcpy(&h, &u, 2);
        return __half2float(h);
    };
    for (int lane = 0; lane < 32; lane++) {
        const Mma *m = (const Mma *)arg[lane];
        const int g = lane / 4, t = lane % 4;
        for (int r = 0; r < 8; r++) /* register r / 2, half r % 2 */
            a[g + 8 * (r / 2 % 2)][2 * t + r % 2 + 8 * (r / 4)] = half(m->a[r / 2], r % 2);
        for (int r = 0; r < 4; r++) b[2 * t + r % 2 + 8 * (r / 2)][g] = half(m->b[r / 2], r % 2);
        for (int r = 0; r < 4; r++) c[g + 8 * (r / 2)][2 * t + r % 2] = ((const float *)m->d)[r];
    }
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
    for (int lane = 0; lane < 32; lane++)
        for (int r = 0; r < 4; r++)
            ((float *)((Mma *)arg[lane])->d)[r] = c[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2];
}
} // namespace ih
