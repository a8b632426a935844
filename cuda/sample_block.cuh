#ifndef CUDA_SAMPLE_BLOCK_CUH
#define CUDA_SAMPLE_BLOCK_CUH

/* sample_block.cuh - what the sampling kernels share: keys, block-wide sums, a chunk of logits,
 * random numbers. */

#include "cuda/cu.h"

extern "C" {
#include "cuda/sample.h"
}

namespace
{

/* atomicAdd and the shuffles know this type, not uint64_t. */
using u64 = unsigned long long;

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
/* A thread owns groups of four neighbours, which share one call of Philox. */
constexpr int GROUPS = SAMPLE_CHUNK / (4 * THREADS);

/* --- keys --- */

/* Floats as unsigned integers of the same order; -0 and 0 are equal. */
__device__ __forceinline__ uint32_t order_key(float v)
{
    const uint32_t u = (uint32_t)__float_as_int(__fadd_rn(v, 0.0f));
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}
__device__ __forceinline__ float key_value(uint32_t k)
{
    return __int_as_float((int)(k & 0x80000000u ? k & 0x7fffffffu : ~k));
}

/* A value and its id as one integer: the greater value wins, then the lower id; NaN is 0, which loses
 * against everything. */
__device__ __forceinline__ u64 pack(float v, int id)
{
    if (v != v) return 0;
    return (u64)order_key(v) << 32 | (0xffffffffu - (uint32_t)id);
}
__device__ __forceinline__ int packed_id(u64 p)
{
    return p == 0 ? 0 : (int)(0xffffffffu - (uint32_t)p);
}
__device__ __forceinline__ float packed_value(u64 p)
{
    return key_value((uint32_t)(p >> 32));
}

/* --- a block --- */

struct take_max {
    __device__ u64 operator()(u64 a, u64 b) const { return a > b ? a : b; }
};
struct take_sum {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};

/* op over all threads' values, in every thread; the order is fixed. */
template <class Op, class T> __device__ __forceinline__ T block_all(T v, Op op)
{
    SHARED(T, part, WARPS);
    for (int d = 16; d > 0; d /= 2) v = op(v, __shfl_xor_sync(~0u, v, d));
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = part[0];
    for (int w = 1; w < WARPS; w++) v = op(v, part[w]);
    __syncthreads();
    return v;
}

/* Sum over the threads up to this one. */
__device__ __forceinline__ u64 block_scan(u64 v)
{
    SHARED(u64, part, WARPS);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int d = 1; d < 32; d *= 2) {
        const u64 other = __shfl_up_sync(~0u, v, d);
        if (lane >= d) v += other;
    }
    if (lane == 31) part[warp] = v;
    __syncthreads();
    for (int w = 0; w < warp; w++) v += part[w];
    __syncthreads();
    return v;
}

/* True in the block that is the last of n to come here: it sees what the others wrote before. */
__device__ __forceinline__ bool is_last_block(unsigned *ticket, int n)
{
    SHARED(int, last, 1);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last[0] = atomicAdd(ticket, 1u) == (unsigned)n - 1;
    __syncthreads();
    const bool yes = last[0] != 0;
    if (yes) __threadfence();
    __syncthreads();
    return yes;
}

/* --- a chunk --- */

struct chunk {
    int base, n; /* its first id; ids in it */
};

__device__ __forceinline__ struct chunk chunk_at(const struct sample_args &a, int c)
{
    const int base = c * SAMPLE_CHUNK, left = a.vocab_size - base;
    return {base, left < SAMPLE_CHUNK ? left : SAMPLE_CHUNK};
}

/* First of this thread's neighbours in group g. */
__device__ __forceinline__ int own_at(int g)
{
    return (g * THREADS + (int)threadIdx.x) * 4;
}
__device__ __forceinline__ bool owns(int i)
{
    return (i >> 2) % THREADS == (int)threadIdx.x;
}

/* use(place, logit) for those that this thread owns.  Whole chunks: all loads, then all uses. */
template <class Use>
__device__ __forceinline__ void each_logit(const float *logits, struct chunk c, Use use)
{
    const float *from = logits + c.base;
    if (c.n < SAMPLE_CHUNK || (uintptr_t)from % 16 != 0) {
        for (int g = 0; g < GROUPS; g++)
            for (int i = own_at(g); i < own_at(g) + 4 && i < c.n; i++) use(i, from[i]);
        return;
    }
    float4 v[GROUPS];
    UNROLL
    for (int g = 0; g < GROUPS; g++) v[g] = *reinterpret_cast<const float4 *>(from + own_at(g));
    UNROLL
    for (int g = 0; g < GROUPS; g++) {
        const int i = own_at(g);
        use(i, v[g].x);
        use(i + 1, v[g].y);
        use(i + 2, v[g].z);
        use(i + 3, v[g].w);
    }
}

__device__ __forceinline__ const float *logits_of(const struct sample_args &a,
                                                  const struct sample_row &row)
{
    return a.logits + (size_t)row.logits * a.ld;
}

/* --- random numbers --- */

/* Philox4x32-10 (Salmon et al., SC'11), as in config/base/rng.c: the uniforms of ids 4 g .. 4 g + 3. */
struct noise {
    uint32_t word[4];
};

__device__ __forceinline__ struct noise noise_of(const struct sample_row &row, int g)
{
    uint32_t k0 = (uint32_t)row.key, k1 = (uint32_t)(row.key >> 32);
    uint32_t c0 = (uint32_t)g, c1 = 0, c2 = row.n_output, c3 = 0;
    for (int i = 0; i < 10; i++) {
        const u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

__device__ __forceinline__ uint32_t noise_word(const struct noise &n, int i)
{
    return i & 2 ? (i & 1 ? n.word[3] : n.word[2]) : (i & 1 ? n.word[1] : n.word[0]);
}

/* Uniform in (0, 1), of 23 bits. */
__device__ __forceinline__ float open01(uint32_t word)
{
    return __fmul_rn(__fadd_rn((float)(word >> 9), 0.5f), 0x1p-23f);
}

} // namespace

#endif
