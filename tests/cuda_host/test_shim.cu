// test_shim.cu - fragment maps, collectives, atomics, mbarrier; deadlock and misuse reports (each in a fork); switch cost.
#include "cuda/cu.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
template <class T> T *dev_alloc(size_t n)
{
    void *p;
    if (posix_memalign(&p, 16, n * sizeof(T))) abort();
    return (T *)p;
}
inline bool dev_sync()
{
    return true;
}
static uint64_t seed = 7;
static uint32_t rnd()
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return uint32_t(seed >> 33);
}
static int bad = 0;
#define CHECK(c)                                        \
    do {                                                \
        if (!(c)) {                                     \
            printf("FAIL line %d: %s\n", __LINE__, #c); \
            bad++;                                      \
        }                                               \
    } while (0)

// D = A.B with A (16x16) row-major, B given as [n][k] (bn, plain ldmatrix) or [k][n] (bk, trans)
template <int MODE> __global__ void k_bf16(const bf16 *a, const bf16 *bn, const bf16 *bk, float *d)
{
    SHARED(bf16, sa, 256);
    SHARED(bf16, sn, 128);
    SHARED(bf16, sk, 128);
    int l = threadIdx.x;
    for (int i = l; i < 256; i += 32) sa[i] = a[i];
    for (int i = l; i < 128; i += 32) {
        sn[i] = bn[i];
        sk[i] = bk[i];
    }
    __syncthreads();
    uint32_t fa[4], fb[2];
    float c[4] = {};
    ldmatrix_x4(fa, sa + (l & 15) * 16 + (l >> 4) * 8);
    if (MODE == 0) ldmatrix_x2(fb, sn + (l & 7) * 16 + (l >> 3 & 1) * 8);
    if (MODE == 1) ldmatrix_x2_trans(fb, sk + (l & 15) * 8);
    if (MODE == 2) {
        ldmatrix_x1(fb, sn + (l & 7) * 16);
        ldmatrix_x1(fb + 1, sn + (l & 7) * 16 + 8);
    }
    if (MODE == 3) {
        ldmatrix_x1_trans(fb, sk + (l & 7) * 8);
        ldmatrix_x1_trans(fb + 1, sk + 64 + (l & 7) * 8);
    }
    if (MODE == 4)
        for (int r = 0; r < 2; r++)
            fb[r] = *(uint32_t *)(sn + (l / 4) * 16 + 2 * (l % 4) +
                                  8 * r); // the documented map, by hand
    mma_bf16_16816(c, fa, fb);
    for (int r = 0; r < 4; r++) d[(l / 4 + 8 * (r >> 1)) * 8 + 2 * (l % 4) + (r & 1)] = c[r];
}
__global__ void k_s8(const int8_t *a, const int8_t *b, int *d)
{ // b is [n][k]
    int l = threadIdx.x, g = l / 4, t = l % 4, c[4] = {};
    uint32_t fa[4], fb[2];
    for (int r = 0; r < 4; r++)
        fa[r] = *(const uint32_t *)(a + (g + 8 * (r & 1)) * 32 + 4 * t + 16 * (r >> 1));
    for (int r = 0; r < 2; r++) fb[r] = *(const uint32_t *)(b + g * 32 + 4 * t + 16 * r);
    mma_s8_16832(c, fa, fb);
    for (int r = 0; r < 4; r++) d[(g + 8 * (r >> 1)) * 8 + 2 * t + (r & 1)] = c[r];
}
static void fragments()
{
    bf16 *a = dev_alloc<bf16>(256), *bn = dev_alloc<bf16>(128), *bk = dev_alloc<bf16>(128);
    float *d = dev_alloc<float>(128);
    int8_t *ia = dev_alloc<int8_t>(512), *ib = dev_alloc<int8_t>(256);
    int *id = dev_alloc<int>(128);
    for (int it = 0; it < 50; it++) {
        std::vector<int> A(256), B(128); // small integers: every order of summation is exact
        for (int i = 0; i < 256; i++) a[i] = __float2bfloat16(float(A[i] = int(rnd() % 255) - 127));
        for (int n = 0; n < 8; n++)
            for (int k = 0; k < 16; k++)
                bn[n * 16 + k] = bk[k * 8 + n] =
                    __float2bfloat16(float(B[n * 16 + k] = int(rnd() % 255) - 127));
        for (int mode = 0; mode < 5; mode++) {
            switch (mode) {
            case 0:
                LAUNCH(k_bf16<0>, dim3(1), dim3(32), 0, 0, a, bn, bk, d);
                break;
            case 1:
                LAUNCH(k_bf16<1>, dim3(1), dim3(32), 0, 0, a, bn, bk, d);
                break;
            case 2:
                LAUNCH(k_bf16<2>, dim3(1), dim3(32), 0, 0, a, bn, bk, d);
                break;
            case 3:
                LAUNCH(k_bf16<3>, dim3(1), dim3(32), 0, 0, a, bn, bk, d);
                break;
            case 4:
                LAUNCH(k_bf16<4>, dim3(1), dim3(32), 0, 0, a, bn, bk, d);
                break;
            }
            CHECK(dev_sync());
            int wrong = 0;
            for (int i = 0; i < 16; i++)
                for (int j = 0; j < 8; j++) {
                    int s = 0;
                    for (int k = 0; k < 16; k++) s += A[i * 16 + k] * B[j * 16 + k];
                    wrong += d[i * 8 + j] != float(s);
                }
            CHECK(wrong == 0);
        }
        for (int i = 0; i < 512; i++) ia[i] = int8_t(rnd());
        for (int i = 0; i < 256; i++) ib[i] = int8_t(rnd());
        LAUNCH(k_s8, dim3(1), dim3(32), 0, 0, ia, ib, id);
        CHECK(dev_sync());
        int wrong = 0;
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 8; j++) {
                int s = 0;
                for (int k = 0; k < 32; k++) s += ia[i * 32 + k] * ib[j * 32 + k];
                wrong += id[i * 8 + j] != s;
            }
        CHECK(wrong == 0);
    }
}
__global__ void k_prims(int *out)
{ // out[0] ok count, out[1..3] atomics
    SHARED(int, cnt, 1);
    int l = threadIdx.x % 32, ok = 1;
    if (threadIdx.x == 0) cnt[0] = 0;
    __syncthreads();
    ok &= __shfl_sync(~0u, l, 5) == 5 && __shfl_sync(~0u, l, 3, 8) == (l & ~7) + 3;
    ok &= __shfl_up_sync(~0u, l, 2) == (l < 2 ? l : l - 2) &&
          __shfl_down_sync(~0u, l, 3, 16) == (l % 16 + 3 < 16 ? l + 3 : l);
    ok &= __ballot_sync(~0u, l % 3 == 0) == 0x49249249u && __any_sync(~0u, l == 31) &&
          !__all_sync(~0u, l < 31);
    if (l < 16) {
        ok &= __shfl_xor_sync(0xFFFFu, l, 1) == (l ^ 1);
        __syncwarp(0xFFFFu);
    } else
        ok &= __ballot_sync(0xFFFF0000u, 1) == 0xFFFF0000u; // two halves meet separately
    atomicAdd(&cnt[0], 1);
    atomicMax(&out[2], int(threadIdx.x));
    if (atomicCAS(&out[3], 0, int(threadIdx.x) + 1) == 0) atomicAdd(&out[3], 1000);
    if (threadIdx.x >= 64)
        bar_arrive(1, int(blockDim.x));
    else
        bar_sync(1, int(blockDim.x));
    __syncthreads();
    if (threadIdx.x == 0) out[1] = cnt[0];
    atomicAdd(&out[0], ok);
}
#if defined(INFERD_HOST_SHIM) || defined(BULK)
// warp 4 streams tiles with bulk copies through a 2-slot ring; warps 0-3 sum them
__global__ void k_ring(const int *src, int tiles, int *sum)
{
    SHARED(int, buf, 2 * 128);
    SHARED(uint64_t, bar, 4); // full[2], empty[2]
    int w = threadIdx.x / 32;
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; i++) {
            mbar_init(bar + i, 1);
            mbar_init(bar + 2 + i, 128);
        }
        mbar_init_fence();
    }
    __syncthreads();
    if (w == 4) {
        if (threadIdx.x % 32 == 0)
            for (int i = 0; i < tiles; i++) {
                int s = i & 1;
                if (i >= 2) mbar_wait(bar + 2 + s, (i / 2 - 1) & 1);
                mbar_arrive(bar + s, 512);
                bulk_g2s(buf + s * 128, src + i * 128, 512, bar + s);
            }
    } else {
        int acc = 0;
        for (int i = 0; i < tiles; i++) {
            int s = i & 1;
            mbar_wait(bar + s, (i / 2) & 1);
            acc += buf[s * 128 + threadIdx.x];
            mbar_arrive(bar + 2 + s, 0);
        }
        atomicAdd(sum, acc);
    }
}
#endif
#ifdef INFERD_HOST_SHIM
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
static double now()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
template <class F> void must_die(const char *name, const char *expect, F f)
{
    int p[2];
    if (pipe(p)) abort();
    fflush(stdout);
    pid_t c = fork();
    if (!c) {
        dup2(p[1], 2);
        close(p[0]);
        itimerval tv{{1, 0}, {1, 0}};
        setitimer(ITIMER_REAL, &tv, nullptr);
        f();
        _exit(0);
    }
    close(p[1]);
    std::string s;
    char b[512];
    ssize_t n;
    while ((n = read(p[0], b, sizeof b)) > 0) s.append(b, n);
    close(p[0]);
    int st;
    waitpid(c, &st, 0);
    bool ok = st != 0 && s.find(expect) != std::string::npos;
    size_t at = s.find(expect);
    size_t lo = at == std::string::npos ? 0 : s.rfind('\n', at) + 1;
    printf("%s %s: %s\n", ok ? "caught" : "MISSED", name,
           s.substr(lo, s.find('\n', lo) - lo).c_str());
    bad += !ok;
}
static void k_bar_exit()
{
    if (threadIdx.x < 32) return;
    __syncthreads();
}
static void k_bar_diverged()
{
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncwarp();
}
static void k_shfl_exit()
{
    if (threadIdx.x % 32 == 7) return;
    __shfl_xor_sync(~0u, 1, 1);
}
static void k_mixed()
{
    if (threadIdx.x % 32 < 16)
        __shfl_xor_sync(~0u, 1, 1);
    else
        __ballot_sync(~0u, 1);
}
static void k_mask()
{
    __shfl_sync(0xFFu, 1, 9);
}
static void k_ldsm_global(bf16 *g)
{
    uint32_t r[4];
    ldmatrix_x4(r, g);
}
static void k_ldsm_align()
{
    SHARED(bf16, s, 512);
    uint32_t r[4];
    ldmatrix_x4(r, s + threadIdx.x % 32 * 8 + 1);
}
static void k_cp_align(bf16 *g)
{
    SHARED(bf16, s, 64);
    cp_async16(s, g + 1, true);
}
[[maybe_unused]] static void k_oob()
{
    SHARED(int, s, 32);
    SHARED(int, t, 32);
    s[threadIdx.x + (threadIdx.x == 31)] = 1;
    t[0] = s[0];
}
static void k_dyn_oob(int n)
{
    SHARED_DYN(int, s);
    s[n] = 1;
}
static void k_wild(int *p)
{
    p[threadIdx.x * (1ll << 40)] = 1;
}
static void k_spin_flag(int *p)
{
    while (*(volatile int *)p == 0) {
    }
}
static void k_stack()
{
    volatile char big[600 << 10];
    for (size_t i = 0; i < sizeof big; i += 1024) big[i] = 1;
    __syncthreads();
}
static void k_spin_bar()
{
    for (int i = 0; i < 2000; i++) __syncthreads();
}
static void k_spin_shfl(int *o)
{
    unsigned v = threadIdx.x;
    for (int i = 0; i < 2000; i++) v += __shfl_xor_sync(~0u, v, 1);
    o[threadIdx.x] = int(v);
}
static void k_spin_mma(float *o)
{
    float c[4] = {};
    uint32_t a[4] = {}, b[2] = {};
    for (int i = 0; i < 2000; i++) mma_bf16_16816(c, a, b);
    o[threadIdx.x] = c[0];
}
static void bench()
{
    int *o = dev_alloc<int>(1024);
    auto run = [&](const char *n, int threads, auto f) {
        uint64_t s = ih::n_switch, c = ih::n_collective;
        double t = now();
        f(threads);
        t = now() - t;
        s = ih::n_switch - s;
        c = ih::n_collective - c;
        printf("  %-14s %4d threads: %6.1f ns/switch, %5.1f M switches/s", n, threads, 1e9 * t / s,
               1e-6 * s / t);
        if (c) printf(", %.2f us per warp collective", 1e6 * t / c);
        printf("\n");
    };
    for (int n : {32, 128, 1024})
        run("__syncthreads", n, [&](int n) { LAUNCH(k_spin_bar, dim3(4), dim3(n), 0, 0); });
    for (int n : {32, 128})
        run("shfl_xor", n, [&](int n) { LAUNCH(k_spin_shfl, dim3(4), dim3(n), 0, 0, o); });
    run("mma bf16", 128, [&](int n) { LAUNCH(k_spin_mma, dim3(4), dim3(n), 0, 0, (float *)o); });
#if !IH_ASAN && !IH_TSAN
    static ucontext_t ua, ub;
    static char st[65536];
    static int N = 200000;
    getcontext(&ub);
    ub.uc_stack.ss_sp = st;
    ub.uc_stack.ss_size = sizeof st;
    ub.uc_link = &ua;
    makecontext(
        &ub,
        (void (*)()) +
            [] {
                for (;;) swapcontext(&ub, &ua);
            },
        0);
    double t = now();
    for (int i = 0; i < N; i++) swapcontext(&ua, &ub);
    t = now() - t;
    printf("  ucontext (two signal-mask system calls a pair): %.1f ns/switch\n",
           1e9 * t / (2.0 * N));
    double t0 = now();
    for (int i = 0; i < 20000; i++) LAUNCH([] {}, dim3(1), dim3(128), 0, 0);
    printf("  empty block of 128 threads: %.2f us\n", (now() - t0) / 20000 * 1e6);
#endif
}
static void negatives()
{
    bf16 *g = dev_alloc<bf16>(512);
    must_die("warp 0 exits before a barrier", "deadlock",
             [&] { LAUNCH(k_bar_exit, dim3(1), dim3(128), 0, 0); });
    must_die("lanes diverge over a barrier", "deadlock",
             [&] { LAUNCH(k_bar_diverged, dim3(1), dim3(64), 0, 0); });
    must_die("lane 7 exits before a shuffle", "missing lanes 00000080",
             [&] { LAUNCH(k_shfl_exit, dim3(1), dim3(32), 0, 0); });
    must_die("shuffle meets ballot", "diverged", [&] { LAUNCH(k_mixed, dim3(1), dim3(32), 0, 0); });
    must_die("shuffle from a lane outside the mask", "not in",
             [&] { LAUNCH(k_mask, dim3(1), dim3(32), 0, 0); });
    must_die("ldmatrix from global memory", "not in shared",
             [&] { LAUNCH(k_ldsm_global, dim3(1), dim3(32), 0, 0, g); });
    must_die("ldmatrix misaligned", "16-byte",
             [&] { LAUNCH(k_ldsm_align, dim3(1), dim3(32), 0, 0); });
    must_die("cp.async misaligned", "16-byte",
             [&] { LAUNCH(k_cp_align, dim3(1), dim3(32), 0, 0, g); });
    must_die("dynamic shared memory over 227 KiB", "bad launch",
             [&] { LAUNCH(k_dyn_oob, dim3(1), dim3(32), 300 << 10, 0, 0); });
#if !IH_ASAN && !IH_TSAN
    must_die("wild global access", "thread (1,0,0)",
             [&] { LAUNCH(k_wild, dim3(1), dim3(32), 0, 0, (int *)g); });
    must_die("fiber stack overflow", "stack overflow",
             [&] { LAUNCH(k_stack, dim3(1), dim3(32), 0, 0); });
    memset(g, 0, 4);
    must_die("spin on a flag", "no progress",
             [&] { LAUNCH(k_spin_flag, dim3(1), dim3(32), 0, 0, (int *)g); });
#endif
#if IH_ASAN
    must_die("static shared array overrun by one", "use-after-poison",
             [&] { LAUNCH(k_oob, dim3(1), dim3(32), 0, 0); });
    must_die("dynamic shared overrun by one", "use-after-poison",
             [&] { LAUNCH(k_dyn_oob, dim3(1), dim3(32), 256, 0, 64); });
#endif
}
#endif
int main(int argc, char **)
{
    fragments();
    int *out = dev_alloc<int>(4), *src = dev_alloc<int>(128 * 37), *sum = dev_alloc<int>(1);
    (void)src;
    (void)sum;
    for (int sch = 0; sch < 8; sch++) {
#ifdef INFERD_HOST_SHIM
        ih::set_schedule(sch == 0 ? ih::FORWARD : sch == 1 ? ih::REVERSE : ih::RANDOM, sch);
#endif
        memset(out, 0, 16);
        LAUNCH(k_prims, dim3(1), dim3(128), 0, 0, out);
        CHECK(dev_sync() && out[0] == 128 && out[1] == 128 && out[2] == 127 && out[3] > 1000);
#if defined(INFERD_HOST_SHIM) || defined(BULK)
        int want = 0;
        *sum = 0;
        for (int i = 0; i < 128 * 37; i++) want += src[i] = int(rnd() % 1000);
        LAUNCH(k_ring, dim3(1), dim3(160), 0, 0, src, 37, sum);
        CHECK(dev_sync() && *sum == want);
#endif
    }
#ifdef INFERD_HOST_SHIM
    ih::set_schedule(ih::FORWARD, 0);
    if (argc < 2) negatives();
    bench();
#endif
    printf("shim tests: %d failed\n", bad);
    return bad != 0;
}
