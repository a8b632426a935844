/* Products of f32 with f32 weights, by FMA: for models that come in f32. */
#include "cuda/cu.h"

extern "C" {
#include "cuda/linear.h"
}

namespace
{

PTX float4 load4(const float *p, bool valid)
{
    return valid ? *reinterpret_cast<const float4 *>(p) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}

PTX void store_f32(const struct linear_args &a, int row, int n, float sum)
{
    a.out[(size_t)row * a.ldo + n] = a.bias ? __fadd_rn(sum, a.bias[n]) : sum;
}

/* --- few rows: a block has 4 outputs, its warps take turns along K --- */

constexpr int WARPS = 8, OUTPUTS = 4, LOADS = 2;

PTX float dot4(float sum, float4 w, float4 x)
{
    sum = __fmaf_rn(w.x, x.x, sum);
    sum = __fmaf_rn(w.y, x.y, sum);
    sum = __fmaf_rn(w.z, x.z, sum);
    return __fmaf_rn(w.w, x.w, sum);
}

/* The sum over a warp, in lane 0's order of halves. */
PTX float add_lanes(float v)
{
    for (int d = 16; d > 0; d /= 2) v = __fadd_rn(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}

/* ROWS: 1, 2, 4 or 8, at least a.rows. */
template <int ROWS>
__global__ void __launch_bounds__(WARPS * 32, 2) k_linear_gemv_f32(struct linear_args a)
{
    SHARED(float, part, WARPS *OUTPUTS *ROWS);
    grid_begin();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int n0 = blockIdx.x * OUTPUTS;
    const float *w = static_cast<const float *>(a.w) + (size_t)n0 * a.ldw;
    const float *x = static_cast<const float *>(a.x);
    const uint64_t policy = stream_policy();
    float acc[OUTPUTS][ROWS] = {};

    for (int base = warp * LOADS * 128; base < a.k; base += WARPS * LOADS * 128) {
        float4 lines[LOADS][OUTPUTS];
        UNROLL
        for (int u = 0; u < LOADS; u++) {
            UNROLL
            for (int o = 0; o < OUTPUTS; o++) {
                const int k = base + u * 128 + lane * 4;
                const uint4 v =
                    load_stream16(w + (size_t)o * a.ldw + k, policy, k < a.k && n0 + o < a.n);
                lines[u][o] = make_float4(__int_as_float((int)v.x), __int_as_float((int)v.y),
                                          __int_as_float((int)v.z), __int_as_float((int)v.w));
            }
        }
        UNROLL
        for (int u = 0; u < LOADS; u++) {
            UNROLL
            for (int r = 0; r < ROWS; r++) {
                const int k = base + u * 128 + lane * 4;
                const float4 in = load4(x + (size_t)r * a.ldx + k, r < a.rows && k < a.k);
                UNROLL
                for (int o = 0; o < OUTPUTS; o++) acc[o][r] = dot4(acc[o][r], lines[u][o], in);
            }
        }
    }

    UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        UNROLL
        for (int r = 0; r < ROWS; r++) {
            const float sum = add_lanes(acc[o][r]);
            if (lane == 0) part[(warp * ROWS + r) * OUTPUTS + o] = sum;
        }
    }
    __syncthreads();
    const int row = threadIdx.x / OUTPUTS, o = threadIdx.x % OUTPUTS;
    if (row >= ROWS || row >= a.rows || n0 + o >= a.n) return;
    float sum = part[row * OUTPUTS + o];
    for (int i = 1; i < WARPS; i++) sum = __fadd_rn(sum, part[(i * ROWS + row) * OUTPUTS + o]);
    store_f32(a, row, n0 + o, sum);
}

/* --- many rows: 64 outputs x 64 rows a block, 4 x 4 a thread; k ascends by FMA --- */

constexpr int TILE = 64, DEPTH = 16, THREADS = 256;
constexpr int LD = TILE + 4; /* 16 bytes aligned; a column's four writers meet different banks */

/* This thread's four values of the tile's rows, [DEPTH][LD] in shared memory. */
PTX void put_column(float *tile, float4 v)
{
    float *p = tile + threadIdx.x % 4 * 4 * LD + threadIdx.x / 4;
    p[0] = v.x, p[LD] = v.y, p[2 * LD] = v.z, p[3 * LD] = v.w;
}

PTX void multiply_depth(float (*acc)[4], const float *w, const float *x)
{
    UNROLL
    for (int k = 0; k < DEPTH; k++) {
        const float4 o = *reinterpret_cast<const float4 *>(w + k * LD);
        const float4 r = *reinterpret_cast<const float4 *>(x + k * LD);
        const float ws[4] = {o.x, o.y, o.z, o.w}, xs[4] = {r.x, r.y, r.z, r.w};
        UNROLL
        for (int i = 0; i < 16; i++)
            acc[i / 4][i % 4] = __fmaf_rn(ws[i % 4], xs[i / 4], acc[i / 4][i % 4]);
    }
}

__global__ void __launch_bounds__(THREADS) k_linear_tile_f32(struct linear_args a)
{
    SHARED(float4, w_tile, DEPTH * LD / 4);
    SHARED(float4, x_tile, DEPTH * LD / 4);
    float *w_at = reinterpret_cast<float *>(w_tile), *x_at = reinterpret_cast<float *>(x_tile);
    grid_begin();
    const int m_tiles = (a.rows + TILE - 1) / TILE;
    const int m0 = blockIdx.x % m_tiles * TILE, n0 = blockIdx.x / m_tiles * TILE;
    const int row = threadIdx.x / 4, k_lane = threadIdx.x % 4 * 4;
    const bool has_w = n0 + row < a.n, has_x = m0 + row < a.rows;
    const float *w = static_cast<const float *>(a.w) + (size_t)(n0 + row) * a.ldw + k_lane;
    const float *x = static_cast<const float *>(a.x) + (size_t)(m0 + row) * a.ldx + k_lane;
    const int n_at = threadIdx.x % 16 * 4, m_at = threadIdx.x / 16 * 4;
    float acc[4][4] = {}; /* [row][output] */

    float4 w_next = load4(w, has_w && k_lane < a.k), x_next = load4(x, has_x && k_lane < a.k);
    for (int k = 0; k < a.k; k += DEPTH) {
        __syncthreads(); /* all have left the tiles */
        put_column(w_at, w_next);
        put_column(x_at, x_next);
        __syncthreads();
        const int next = k + DEPTH;
        w_next = load4(w + next, has_w && next + k_lane < a.k);
        x_next = load4(x + next, has_x && next + k_lane < a.k);
        multiply_depth(acc, w_at + n_at, x_at + m_at);
    }
    UNROLL
    for (int i = 0; i < 16; i++) {
        const int m = m0 + m_at + i / 4, n = n0 + n_at + i % 4;
        if (m < a.rows && n < a.n) store_f32(a, m, n, acc[i / 4][i % 4]);
    }
}

template <int ROWS> void launch_gemv(const struct linear_args *a, void *stream)
{
    const dim3 grid((unsigned)(a->n + OUTPUTS - 1) / OUTPUTS), block(WARPS * 32);
    LAUNCH(k_linear_gemv_f32<ROWS>, grid, block, 0, stream, *a);
}

} // namespace

extern "C" void cuda_linear_gemv_f32(const struct linear_args *a, void *stream)
{
    if (a->rows == 1) return launch_gemv<1>(a, stream);
    if (a->rows == 2) return launch_gemv<2>(a, stream);
    if (a->rows <= 4) return launch_gemv<4>(a, stream);
    launch_gemv<8>(a, stream);
}

extern "C" void cuda_linear_tile_f32(const struct linear_args *a, void *stream)
{
    const int m_tiles = (a->rows + TILE - 1) / TILE, n_tiles = (a->n + TILE - 1) / TILE;
    const dim3 grid((unsigned)m_tiles * (unsigned)n_tiles);
    LAUNCH(k_linear_tile_f32, grid, dim3(THREADS), 0, stream, *a);
}
