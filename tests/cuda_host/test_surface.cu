/* CUDA's built-in functions as kernels use them, against results worked out apart: collectives,
 * atomics, rounding, bits.  The shim and a GPU run the same kernels. */
#include "tests/cuda_host/host_test.h"

#include <cmath>

namespace
{
/* Kernels count what went wrong: out[check] += 1. */
#define BAD(check, condition)                          \
    do {                                               \
        if (!(condition)) atomicAdd(out + (check), 1); \
    } while (0)

template <class Kernel> void run(const char *name, Kernel kernel, int n_checks, int n_threads)
{
    int *out = test_buffer<int>((size_t)n_checks);
    for_each_schedule([&] {
        memset(out, 0, (size_t)n_checks * sizeof *out);
        LAUNCH(kernel, dim3(2), dim3((unsigned)n_threads), 0, test_stream(), out);
        EXPECT(test_wait(), "%s", name);
        for (int i = 0; i < n_checks; i++)
            EXPECT(out[i] == 0, "%s, check %d: wrong in %d threads", name, i, out[i]);
    });
    test_free(out);
}

/* --- collectives --- */

__global__ void k_shuffles(int *out)
{
    const int l = (int)threadIdx.x % 32;
    BAD(0, __shfl_sync(~0u, l, 5) == 5);
    BAD(1, __shfl_sync(~0u, l, 3, 8) == (l & ~7) + 3);
    BAD(2, __shfl_up_sync(~0u, l, 2) == (l < 2 ? l : l - 2));
    BAD(3, __shfl_down_sync(~0u, l, 3, 16) == (l % 16 + 3 < 16 ? l + 3 : l));
    BAD(4, __shfl_xor_sync(~0u, 1.5f * (float)l, 7) == 1.5f * (float)(l ^ 7));
    BAD(5, __shfl_xor_sync(~0u, l, 12, 8) == ((l ^ 12) < (l & ~7) + 8 ? l ^ 12 : l));
    BAD(6, __shfl_sync(~0u, (long long)l << 40, 9) == 9ll << 40);
    if (l < 16) /* the two halves meet apart */
        BAD(7, __shfl_xor_sync(0x0000ffffu, l, 1) == (l ^ 1));
    else
        BAD(7, __ballot_sync(0xffff0000u, l % 2) == 0xaaaa0000u);
}
constexpr int N_SHUFFLES = 8;

__global__ void k_votes(int *out)
{
    const int l = (int)threadIdx.x % 32, v = (l * 7 - 50) * 1000;
    BAD(0, __ballot_sync(~0u, l % 3 == 0) == 0x49249249u);
    BAD(1, __any_sync(~0u, l == 31) && !__any_sync(~0u, l == 32));
    BAD(2, __all_sync(~0u, l < 32) && !__all_sync(~0u, l < 31));
    BAD(3, __match_any_sync(~0u, l % 4) == 0x11111111u << l % 4);
    BAD(4, __reduce_add_sync(~0u, v) == (31 * 16 * 7 - 32 * 50) * 1000);
    BAD(5, __reduce_min_sync(~0u, v) == -50000 && __reduce_max_sync(~0u, v) == 167000);
    BAD(6, __reduce_max_sync(~0u, (unsigned)v) == (unsigned)(7 * 7 - 50) * 1000u);
    BAD(7, __reduce_and_sync(~0u, 0xf0u | 1u << l % 4) == 0xf0u);
    BAD(8, __reduce_or_sync(~0u, 1u << l) == ~0u && __reduce_xor_sync(~0u, (unsigned)l) == 0u);
    const unsigned active = __activemask();
    BAD(9, active >> l & 1);
    __syncwarp();
    BAD(10, __syncthreads_count(l < 5) == 5 * (int)blockDim.x / 32);
    BAD(11, __syncthreads_or(threadIdx.x == 77) != 0);
    BAD(12, __syncthreads_and(l < 31) == 0 && __syncthreads_and(1));
}
constexpr int N_VOTES = 13;

/* --- atomics: every thread of the block, then one looks --- */

__global__ void k_atomics(int *out)
{
    SHARED(int, i, 6);
    SHARED(unsigned, u, 4);
    SHARED(unsigned long long, w, 3);
    SHARED(float, f, 1);
    SHARED(double, d, 1);
    const int t = (int)threadIdx.x, n = (int)blockDim.x;
    if (t == 0) {
        for (int k = 0; k < 6; k++) i[k] = 0;
        for (int k = 0; k < 4; k++) u[k] = 0;
        w[0] = 0, w[1] = 0, w[2] = ~0ull;
        f[0] = 0.0f, d[0] = 0.0;
        u[3] = ~0u;
    }
    __syncthreads();
    atomicAdd(i, 3);
    atomicSub(i + 1, t);
    atomicMax(i + 2, t);
    atomicMin(i + 3, -t);
    if (atomicCAS(i + 4, 0, t + 1) == 0) atomicAdd(i + 5, 1);
    atomicAdd(u, 0x80000000u);
    atomicOr(u + 1, 1u << t % 32);
    atomicInc(u + 2, 9u);
    atomicAnd(u + 3, ~(1u << t % 32));
    atomicAdd(w, 1ull << 33);
    atomicMax(w + 1, (unsigned long long)t << 40);
    atomicMin(w + 2, 5ull + (unsigned long long)t);
    atomicAdd(f, 0.5f);
    atomicAdd(d, 0.25);
    __syncthreads();
    if (t != 0) return;
    BAD(0, i[0] == 3 * n && i[1] == -n * (n - 1) / 2);
    BAD(1, i[2] == n - 1 && i[3] == 1 - n);
    BAD(2, i[4] > 0 && i[4] <= n && i[5] == 1);
    BAD(3, u[0] == (n % 2 ? 0x80000000u : 0u) && u[1] == ~0u);
    BAD(4, u[2] == (unsigned)n % 10 && u[3] == 0);
    BAD(5, w[0] == (unsigned long long)n << 33 && w[1] == (unsigned long long)(n - 1) << 40);
    BAD(6, w[2] == 5 && f[0] == 0.5f * (float)n && d[0] == 0.25 * n);
    BAD(7, atomicExch(i, 7) == 3 * n && i[0] == 7);
}
constexpr int N_ATOMICS = 8;

/* --- numbers --- */

__global__ void k_bits(int *out)
{
    BAD(0, __clz(0) == 32 && __clz(1) == 31 && __clz(-1) == 0 && __clzll(1) == 63);
    BAD(1, __ffs(0) == 0 && __ffs(8) == 4 && __popc(0xf0f0u) == 8 && __popcll(~0ull) == 64);
    BAD(2, __brev(1u) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u &&
               __brevll(2) == 1ull << 62);
    BAD(3, __byte_perm(0x33221100u, 0x77665544u, 0x7205u) == 0x77220055u);
    BAD(4, __byte_perm(0x00808000u, 0u, 0xba98u) == 0x00ffff00u);
    BAD(5, __funnelshift_l(0x80000000u, 0x1u, 4) == 0x18u);
    BAD(6, __funnelshift_r(0x10u, 0x3u, 4) == 0x30000001u);
    BAD(7, __mulhi(-2, 1 << 30) == -1 && __umulhi(~0u, ~0u) == 0xfffffffeu);
    BAD(8, __umul64hi(~0ull, 16ull) == 15ull);
    BAD(9, __dp4a((int)0x80ff7f01u, (int)0x80020304u, 100) == 100 + 128 * 128 - 2 + 3 * 127 + 4);
    BAD(10, __dp4a(0x80ff7f01u, 0x80020304u, 1u) == 1u + 128u * 128u + 510u + 381u + 4u);
    BAD(11, __vadd4(0x01ff80feu, 0x01018003u) == 0x02000001u);
    BAD(12, __vsub4(0x0100ff80u, 0x02010180u) == 0xfffffe00u);
    BAD(13, min(-1, 2u) == 2u && max(3, -4) == 3);
    const float nan = __int_as_float(0x7fffffff);
    BAD(14, min(nan, 1.0f) == 1.0f && max(2.0f, nan) == 2.0f);
}
constexpr int N_BITS = 15;

__global__ void k_rounding(int *out)
{
    const float nan = __int_as_float(0x7fffffff);
    BAD(0, __float2int_rn(2.5f) == 2 && __float2int_rn(-3.5f) == -4);
    BAD(1, __float2int_rz(-2.9f) == -2 && __float2int_rd(-2.1f) == -3 && __float2int_ru(2.1f) == 3);
    BAD(2, __float2int_rn(1e20f) == 0x7fffffff && __float2int_rn(nan) == 0);
    BAD(3, __float2uint_rn(-1.0f) == 0u && __float2uint_rn(4e9f) == 4000000000u);
    /* one rounding each: (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 */
    const float x = 1.0f + 0x1p-12f;
    BAD(4, __fadd_rn(__fmul_rn(x, x), -1.0f) == 0x1p-11f);
    BAD(5, __fmaf_rn(x, x, -1.0f) == 0x1p-11f + 0x1p-24f);
    BAD(6, __float_as_uint(__fdiv_rn(1.0f, 3.0f)) == 0x3eaaaaabu);
    BAD(7, __fsub_rn(1.0f, 0x1p-25f) == 1.0f && __fsqrt_rn(9.0f) == 3.0f);
    BAD(8, __dadd_rn(1.0, 0x1p-53) == 1.0 && __fma_rn(3.0, 4.0, 5.0) == 17.0);
    BAD(9, ex2(3.0f) == 8.0f && ex2(-200.0f) == 0.0f && fabsf(ex2(0.5f) - 1.41421356f) < 5e-7f);
    BAD(10, __saturatef(nan) == 0.0f && __saturatef(2.0f) == 1.0f);
    BAD(11, fabsf(__expf(1.0f) - 2.71828183f) < 3e-6f && fabsf(rsqrtf(4.0f) - 0.5f) < 3e-7f);
}
constexpr int N_ROUNDING = 12;

__device__ unsigned bf(float x)
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}
__device__ unsigned hf(float x)
{
    return __half_as_ushort(__float2half_rn(x));
}

__global__ void k_float16(int *out)
{
    /* ties to even: 1 + 2^-8 and 1 + 3 2^-8 lie in the middle */
    BAD(0, bf(1.0f) == 0x3f80 && bf(1.00390625f) == 0x3f80 && bf(1.01171875f) == 0x3f82);
    BAD(1, bf(3.4e38f) == 0x7f80 && bf(-0.0f) == 0x8000 && bf(1e-40f) == 0x0001);
    BAD(2, hf(1.0f) == 0x3c00 && hf(65520.0f) == 0x7c00 && hf(65519.0f) == 0x7bff);
    BAD(3, hf(0x1p-25f) == 0 && hf(0x1.8p-25f) == 1 && hf(-2.0f) == 0xc000);
    const float2 a = __bfloat1622float2(__floats2bfloat162_rn(1.5f, -2.0f));
    BAD(4, a.x == 1.5f && a.y == -2.0f);
    const __half2 h = __floats2half2_rn(0.5f, 8.0f);
    BAD(5, __low2float(h) == 0.5f && __high2float(h) == 8.0f && __half22float2(h).y == 8.0f);
    BAD(6, __half2float(__high2half(h)) == 8.0f);
    BAD(7, cvt_bf16x2(1.0f, -2.0f) == 0xc0003f80u && cvt_f16x2(1.0f, -2.0f) == 0xc0003c00u);
    BAD(8, add_bf16x2(0x43054305u, 0xc300c380u) == 0x40a0c2f6u); /* 133 - 128, 133 - 256 */
    const bf16 x = __float2bfloat16_rn(1.0078125f), one = __float2bfloat16_rn(1.0f); /* 1 + 2^-7 */
    BAD(9, __bfloat162float(__hmul(x, x)) == 1.015625f);
    const bf16 half_ulp = __float2bfloat16_rn(0x1p-8f);
    BAD(10, __bfloat162float(__hadd(x, half_ulp)) == 1.015625f);
    BAD(11, __bfloat162float(__hadd(one, half_ulp)) == 1.0f);
    BAD(12, __bfloat162float(__hfma(half_ulp, one, one)) == 1.0f);
    /* a tie is none with dust beside it that f64 does not hold: (1 + 2^-7) 1.5 - 2^-60 */
    const bf16 y = __float2bfloat16_rn(1.5f), dust = __float2bfloat16_rn(-0x1p-60f);
    BAD(13, __bfloat162float(__hfma(x, y, dust)) == 1.5078125f);
    const __half2 two = __float2half2_rn(2.0f), sum = __hfma2(h, two, two);
    BAD(14, __low2float(sum) == 3.0f && __high2float(sum) == 18.0f);
    BAD(15, __hgt(x, one) && __low2float(__hmax2(h, two)) == 2.0f);
}
constexpr int N_FLOAT16 = 16;

/* Loads and stores with hints move what plain ones move. */
__global__ void k_hints(const uint4 *x, uint4 *y, uint64_t *policy_seen)
{
    const unsigned i = threadIdx.x;
    prefetch_l2(x + i);
    const uint64_t policy = stream_policy();
    if (i == 0) *policy_seen = policy;
    uint4 v = i % 2 ? __ldcs(x + i) : load_stream16(x + i, policy, true);
    v.x += __ldg(&x[i].y);
    if (i % 2)
        __stcs(y + i, v);
    else
        __stcg(y + i, v);
}

void test_hints()
{
    uint4 *x = test_buffer<uint4>(64), *y = test_buffer<uint4>(64);
    uint64_t *policy = test_buffer<uint64_t>(1);
    for (unsigned i = 0; i < 64; i++) x[i] = make_uint4(i, 2 * i, 3 * i, 4 * i);
    LAUNCH(k_hints, dim3(1), dim3(64), 0, test_stream(), x, y, policy);
    int wrong = !test_wait();
    for (unsigned i = 0; i < 64; i++)
        wrong += y[i].x != 3 * i || y[i].y != 2 * i || y[i].z != 3 * i || y[i].w != 4 * i;
    EXPECT(wrong == 0, "loads and stores with hints: %d wrong", wrong);
    test_free(x), test_free(y), test_free(policy);
}
} // namespace

int main()
{
    run("shuffles", k_shuffles, N_SHUFFLES, 96);
    run("votes", k_votes, N_VOTES, 96);
    run("atomics", k_atomics, N_ATOMICS, 160);
    run("bits", k_bits, N_BITS, 1);
    run("rounding", k_rounding, N_ROUNDING, 1);
    run("bf16 and f16", k_float16, N_FLOAT16, 1);
    test_hints();
    return test_result();
}
