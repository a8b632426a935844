/* Operators on rows: norms, additions, quantisation, SiLU, lookups. */
#include "cuda/row_math.cuh"

extern "C" {
#include "cuda/rows.h"
}

namespace
{

constexpr int ROW_THREADS = 512; /* at most: 128 registers each */

/* --- elements --- */

__device__ __forceinline__ float to_f32(float x)
{
    return x;
}
__device__ __forceinline__ float to_f32(bf16 x)
{
    return __bfloat162float(x);
}
__device__ __forceinline__ float to_f32(f16 x)
{
    return __half2float(x);
}

__device__ __forceinline__ const float *row_of(const struct tensor &t, int row)
{
    return static_cast<const float *>(t.data) + (size_t)row * t.ld;
}
__device__ __forceinline__ float *row_of_out(const struct tensor &t, int row)
{
    return static_cast<float *>(t.data) + (size_t)row * t.ld;
}
__device__ __forceinline__ void put(const struct tensor &t, int row, int i, float x)
{
    put_value(t.data, t.dtype, (size_t)row * t.ld + i, x);
}
__device__ __forceinline__ int8_t *ints_of(const struct tensor &t, int row)
{
    return static_cast<int8_t *>(t.data) + (size_t)row * t.ld;
}

/* --- rows in registers --- */

/* A block's row: PER values in each thread, i = threadIdx.x + j * blockDim.x.  PER 0: rows that are
 * too wide for registers, whose values are computed anew in each pass. */
template <int PER> struct kept {
    float v[PER > 0 ? PER : 1];
};

template <int PER, class Load> __device__ __forceinline__ void keep(kept<PER> &k, int n, Load load)
{
    if constexpr (PER == 0) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) load(i);
    } else {
        UNROLL
        for (int j = 0; j < PER; j++) {
            const int i = threadIdx.x + j * blockDim.x;
            k.v[j] = i < n ? load(i) : 0.0f;
        }
    }
}

/* use(i, value) for this thread's values. */
template <int PER, class Again, class Use>
__device__ __forceinline__ void each(const kept<PER> &k, int n, Again again, Use use)
{
    if constexpr (PER == 0) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) use(i, again(i));
    } else {
        UNROLL
        for (int j = 0; j < PER; j++) {
            const int i = threadIdx.x + j * blockDim.x;
            if (i < n) use(i, k.v[j]);
        }
    }
}

/* Integers of a row whose value i is again(i), and its scale. */
template <int PER, class Again>
__device__ __forceinline__ void quantize_row(const kept<PER> &k, int n, Again again, int8_t *q,
                                             float *scale, float *part)
{
    float max = 0.0f;
    each<PER>(k, n, again, [&](int, float x) { max = fmaxf(max, fabsf(x)); });
    max = block_reduce<true>(max, part);
    const float inverse = quant_inverse(max);
    each<PER>(k, n, again, [&](int i, float x) { q[i] = quant_int8(x, inverse); });
    if (threadIdx.x == 0) *scale = quant_scale(max);
}

/* --- kernels: one block a row --- */

constexpr int GAINS_PER_LINE = 128 / sizeof(float);

template <int PER> __global__ void __launch_bounds__(ROW_THREADS) k_norm(struct norm_args a)
{
    SHARED(float, part, 64);
    grid_launch_dependents();
    const int r = blockIdx.x, n = a.x.cols;
    for (int i = threadIdx.x * GAINS_PER_LINE; i < n; i += blockDim.x * GAINS_PER_LINE)
        prefetch_l2(a.gain + i);
    grid_wait();
    const float *x = row_of(a.x, r);
    float *residual = a.residual.data ? row_of_out(a.residual, r) : nullptr;
    kept<PER> k;
    keep<PER>(k, n, [&](int i) {
        if (!residual) return x[i];
        const float sum = __fadd_rn(residual[i], x[i]);
        residual[i] = sum;
        return sum;
    });
    const auto again = [&](int i) { return residual ? residual[i] : x[i]; };
    float sum = 0.0f;
    each<PER>(k, n, again, [&](int, float v) { sum = __fmaf_rn(v, v, sum); });
    sum = block_reduce<false>(sum, part);
    const float scale = __fdiv_rn(1.0f, sqrtf(__fadd_rn(__fdiv_rn(sum, (float)n), a.eps)));
    const auto normed = [&](int i) { return __fmul_rn(__fmul_rn(again(i), scale), a.gain[i]); };
    if (a.out.dtype != DT_I8) {
        each<PER>(k, n, again, [&](int i, float v) {
            put(a.out, r, i, __fmul_rn(__fmul_rn(v, scale), a.gain[i]));
        });
        return;
    }
    UNROLL
    for (int j = 0; j < PER; j++) {
        const int i = threadIdx.x + j * blockDim.x;
        if (i < n) k.v[j] = __fmul_rn(__fmul_rn(k.v[j], scale), a.gain[i]);
    }
    quantize_row<PER>(k, n, normed, ints_of(a.out, r), a.out.scale + r, part + 32);
}

template <int PER, class T>
__global__ void __launch_bounds__(ROW_THREADS) k_quantize(struct quantize_rows_args a)
{
    SHARED(float, part, 32);
    grid_begin();
    const int r = blockIdx.x;
    const T *x = static_cast<const T *>(a.x) + (size_t)r * a.ld_x;
    const auto load = [&](int i) { return to_f32(x[i]); };
    kept<PER> k;
    if (PER > 0) keep<PER>(k, a.cols, load);
    quantize_row<PER>(k, a.cols, load, a.out + (size_t)r * a.ld_out, a.scale + r, part);
}

template <int PER>
__global__ void __launch_bounds__(ROW_THREADS) k_silu_mul(struct tensor out, struct tensor x)
{
    SHARED(float, part, 32);
    grid_begin();
    const int r = blockIdx.x, n = out.cols;
    const float *gate = row_of(x, r), *up = gate + n;
    const auto load = [&](int i) { return silu_mul_value(gate[i], up[i]); };
    kept<PER> k;
    if (PER > 0) keep<PER>(k, n, load);
    if (out.dtype == DT_I8) {
        quantize_row<PER>(k, n, load, ints_of(out, r), out.scale + r, part);
        return;
    }
    each<PER>(k, n, load, [&](int i, float v) { put(out, r, i, v); });
}

__global__ void k_add(struct tensor acc, struct tensor x)
{
    grid_begin();
    float *a = row_of_out(acc, blockIdx.x);
    const float *b = row_of(x, blockIdx.x);
    for (int i = threadIdx.x; i < x.cols; i += blockDim.x) a[i] = __fadd_rn(a[i], b[i]);
}

template <class T> __global__ void k_embed(struct embed_args a)
{
    grid_begin();
    const int t = blockIdx.x, given = a.ids[t];
    const int id = given >= 0 ? given : a.drawn[a.src[t]];
    const T *row = static_cast<const T *>(a.table) + (size_t)id * a.ld;
    float *out = row_of_out(a.out, t);
    for (int i = threadIdx.x; i < a.out.cols; i += blockDim.x) out[i] = to_f32(row[i]);
}

__global__ void k_gather_rows(struct tensor out, struct tensor x, const int32_t *rows)
{
    grid_begin();
    const float *from = row_of(x, rows[blockIdx.x]);
    float *to = row_of_out(out, blockIdx.x);
    for (int i = threadIdx.x; i < out.cols; i += blockDim.x) to[i] = from[i];
}

/* One warp a head. */
__global__ void k_head_norm(struct head_norm_args a, int n_heads)
{
    grid_begin();
    const int item = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (item >= a.x.rows * n_heads) return;
    float *x = row_of_out(a.x, item / n_heads) + (size_t)(item % n_heads) * a.head_dim;
    norm_head(x, a.gain, a.head_dim, a.eps, lane);
}

/* --- launchers --- */

/* Threads of a row's block and values of each: given by the width alone. */
struct row_shape {
    int threads, per;
};

row_shape shape_of(int n)
{
    if (n <= 512) return {128, 4};
    if (n <= 4096) return {ROW_THREADS, 8};
    if (n <= 8192) return {ROW_THREADS, 16};
    if (n <= 16384) return {ROW_THREADS, 32};
    return {ROW_THREADS, 0};
}

/* kernel<PER>(args) with one block for each of `rows` rows of n values. */
#define LAUNCH_ROWS(kernel4, kernel8, kernel16, kernel32, kernel0, rows, n, stream, ...) \
    do {                                                                                 \
        if ((rows) == 0) break;                                                          \
        const row_shape s_ = shape_of(n);                                                \
        auto kernel_ = s_.per == 4    ? kernel4                                          \
                       : s_.per == 8  ? kernel8                                          \
                       : s_.per == 16 ? kernel16                                         \
                       : s_.per == 32 ? kernel32                                         \
                                      : kernel0;                                         \
        LAUNCH(kernel_, dim3((unsigned)(rows)), dim3((unsigned)s_.threads), 0, stream,   \
               __VA_ARGS__);                                                             \
    } while (0)

template <class T> void launch_quantize(const struct quantize_rows_args &a, void *stream)
{
    LAUNCH_ROWS((k_quantize<4, T>), (k_quantize<8, T>), (k_quantize<16, T>), (k_quantize<32, T>),
                (k_quantize<0, T>), a.rows, a.cols, stream, a);
}

/* Threads of a block that passes over a row once. */
unsigned pass_threads(int n)
{
    return n <= 64 ? 64 : n <= 512 ? 128 : 256;
}

template <class T> void launch_embed(const struct embed_args &a, void *stream)
{
    auto kernel = k_embed<T>;
    LAUNCH(kernel, dim3((unsigned)a.out.rows), dim3(pass_threads(a.out.cols)), 0, stream, a);
}

} // namespace

extern "C" {

void cuda_norm(const struct norm_args *a, void *stream)
{
    LAUNCH_ROWS(k_norm<4>, k_norm<8>, k_norm<16>, k_norm<32>, k_norm<0>, a->x.rows, a->x.cols,
                stream, *a);
}

void cuda_head_norm(const struct head_norm_args *a, void *stream)
{
    const int n_heads = a->x.cols / a->head_dim, items = a->x.rows * n_heads;
    if (items == 0) return;
    LAUNCH(k_head_norm, dim3((unsigned)(items + 3) / 4), dim3(128), 0, stream, *a, n_heads);
}

void cuda_add(const struct tensor *acc, const struct tensor *x, void *stream)
{
    if (x->rows == 0) return;
    LAUNCH(k_add, dim3((unsigned)x->rows), dim3(pass_threads(x->cols)), 0, stream, *acc, *x);
}

void cuda_quantize(const struct tensor *out, const struct tensor *x, void *stream)
{
    struct quantize_rows_args a = {};
    a.out = static_cast<int8_t *>(out->data);
    a.scale = out->scale;
    a.x = x->data;
    a.dtype = DT_F32;
    a.rows = x->rows;
    a.cols = x->cols;
    a.ld_out = out->ld;
    a.ld_x = x->ld;
    cuda_quantize_rows(&a, stream);
}

void cuda_quantize_rows(const struct quantize_rows_args *a, void *stream)
{
    if (a->dtype == DT_F32) launch_quantize<float>(*a, stream);
    if (a->dtype == DT_BF16) launch_quantize<bf16>(*a, stream);
    if (a->dtype == DT_F16) launch_quantize<f16>(*a, stream);
}

void cuda_silu_mul(const struct tensor *out, const struct tensor *x, void *stream)
{
    LAUNCH_ROWS(k_silu_mul<4>, k_silu_mul<8>, k_silu_mul<16>, k_silu_mul<32>, k_silu_mul<0>,
                out->rows, out->cols, stream, *out, *x);
}

void cuda_embed(const struct embed_args *a, void *stream)
{
    if (a->out.rows == 0) return;
    if (a->dtype == DT_F32) launch_embed<float>(*a, stream);
    if (a->dtype == DT_BF16) launch_embed<bf16>(*a, stream);
    if (a->dtype == DT_F16) launch_embed<f16>(*a, stream);
}

void cuda_gather_rows(const struct tensor *out, const struct tensor *x, const int32_t *rows,
                      void *stream)
{
    if (out->rows == 0) return;
    LAUNCH(k_gather_rows, dim3((unsigned)out->rows), dim3(pass_threads(out->cols)), 0, stream, *out,
           *x, rows);
}
}
