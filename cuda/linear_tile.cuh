#ifndef CUDA_LINEAR_TILE_CUH
#define CUDA_LINEAR_TILE_CUH

/* linear_tile.cuh - products by tiles: a block has TILE_N outputs and TILE_M rows.
 *
 * Stages of 128 bytes of each weight row, and of the inputs that belong to them, pass through shared
 * memory by cp.async.  Chunks of 16 bytes lie at chunk ^ (row % 8), so that ldmatrix meets no bank
 * twice.  A warp has 32 outputs and MS rows; WK warps share these and take one in WK of a stage's
 * units each, which are added up at the end, in order.
 *
 * gate|up: a warp's outputs are 16 of gate and the same 16 of up, so that a thread has both sums. */

#include "cuda/linear_ops.cuh"
#include "cuda/linear_tail.cuh"

/* WN, WM, WK: warps along outputs, rows and K; MS: rows of a warp. */
template <class Op, int WN, int WM, int WK, int MS> struct linear_tile {
    static constexpr int TILE_N = 32 * WN, TILE_M = MS * WM, THREADS = 32 * WN * WM * WK;
    static constexpr int W_ROW = 128, X_ROW = W_ROW / Op::W_SIZE * Op::X_SIZE;
    static constexpr int UNITS = W_ROW / 32;
    static constexpr int W_STAGE = TILE_N * W_ROW, STAGE = W_STAGE + TILE_M * X_ROW;
    static constexpr int BUDGET = 96 * 1024; /* sm_89 has 99 KB a block */
    static constexpr int STAGES = BUDGET / STAGE < 8 ? BUDGET / STAGE : 8;
    static constexpr int MT = MS / 8; /* mma tiles along the rows, 2 along the outputs */
    static constexpr int REDUCE = (WK - 1) * 32 * WN * WM * 2 * MT * 4 * 4;
    static constexpr size_t SHARED_SIZE = STAGES * STAGE > REDUCE ? STAGES *STAGE : REDUCE;
    /* Of a multiprocessor: two have room there, and registers where sums are few.  Left to itself the
     * compiler spills some of these to fit a third, for which there is no memory. */
    static constexpr int BLOCKS = THREADS == 128 || MS < 64 || (Op::X_SIZE == 1 && WN == 4) ? 2 : 1;
    static_assert(STAGES >= 2 && UNITS % WK == 0 && MS % 16 == 0, "tile");
};

/* Bytes [16 chunk0, + ROW) of rows [0, rows) of src; zeros behind the last row and chunk.  PAIR: 16 of
 * these rows, and the 16 that lie `pair` behind them, in turn. */
template <int ROWS, int ROW, int THREADS, bool PAIR>
PTX void fill_tile(char *dst, const char *src, size_t pitch, int rows, int chunk0, int n_chunks,
                   int pair)
{
    constexpr int PER_ROW = ROW / 16;
    UNROLL
    for (int i = 0; i < (ROWS * PER_ROW + THREADS - 1) / THREADS; i++) {
        const int at = i * THREADS + (int)threadIdx.x;
        if (ROWS * PER_ROW % THREADS != 0 && at >= ROWS * PER_ROW) break;
        const int row = at / PER_ROW, chunk = at % PER_ROW;
        const int own = PAIR ? row / 32 * 16 + row % 16 : row; /* of `rows` */
        const int from = PAIR ? own + row / 16 % 2 * pair : row;
        const bool valid = own < rows && chunk0 + chunk < n_chunks;
        cp_async16(dst + row * ROW + (chunk ^ (row & 7)) * 16,
                   valid ? src + (size_t)from * pitch + (size_t)(chunk0 + chunk) * 16 : src, valid);
    }
}

template <class Op, class Tile, bool PAIR>
PTX void fill_stage(char *stage, const struct linear_args &a, int n0, int m0, int kt)
{
    constexpr int W_CHUNKS = Tile::W_ROW / 16, X_CHUNKS = Tile::X_ROW / 16;
    const size_t w_pitch = (size_t)a.ldw * Op::W_SIZE, x_pitch = (size_t)a.ldx * Op::X_SIZE;
    fill_tile<Tile::TILE_N, Tile::W_ROW, Tile::THREADS, PAIR>(
        stage, static_cast<const char *>(a.w) + (size_t)n0 * w_pitch, w_pitch,
        (PAIR ? a.pair : a.n) - n0, kt * W_CHUNKS, (a.k * Op::W_SIZE + 15) / 16, a.pair);
    fill_tile<Tile::TILE_M, Tile::X_ROW, Tile::THREADS, false>(
        stage + Tile::W_STAGE, static_cast<const char *>(a.x) + (size_t)m0 * x_pitch, x_pitch,
        a.rows - m0, kt * X_CHUNKS, (a.k * Op::X_SIZE + 15) / 16, 0);
}

/* The weights of the first stages towards L2, while the kernel ahead makes the inputs. */
template <class Op, class Tile, bool PAIR>
PTX void prefetch_weights(const struct linear_args &a, int n0, int n_stages)
{
    const int stages = min(n_stages, Tile::STAGES - 1), rows = PAIR ? a.pair : a.n;
    for (int i = threadIdx.x; i < Tile::TILE_N * stages; i += Tile::THREADS) {
        const int row = i / stages, own = n0 + (PAIR ? row / 32 * 16 + row % 16 : row);
        if (own >= rows) continue;
        const size_t at = (size_t)(PAIR ? own + row / 16 % 2 * a.pair : own) * a.ldw * Op::W_SIZE;
        prefetch_l2(static_cast<const char *>(a.w) + at + i % stages * Tile::W_ROW);
    }
}

/* Registers of B for mma tiles j and, with two registers each, j + 1; x: the warp's first row. */
template <class Op, int ROW> PTX void load_b(uint32_t *b, const char *x, int j, int unit, int lane)
{
    const int row = Op::B_REGS == 2 ? 8 * j + lane % 8 + lane / 16 * 8 : 8 * j + lane % 8;
    const int chunk = Op::B_REGS == 2 ? 2 * unit + lane / 8 % 2 : 4 * unit + lane / 8;
    ldmatrix_x4(b, x + row * ROW + (chunk ^ (row & 7)) * 16);
}

template <class Op, class Tile, int MT>
PTX void multiply_unit(typename Op::acc (*acc)[MT][4], const char *w, const char *x, int unit,
                       int lane)
{
    uint32_t a[2][4], wide[2][8];
    UNROLL
    for (int i = 0; i < 2; i++) {
        const int row = 16 * i + lane % 16, chunk = 2 * unit + lane / 16;
        ldmatrix_x4(a[i], w + row * Tile::W_ROW + (chunk ^ (row & 7)) * 16);
        Op::prepare(wide[i], a[i]);
    }
    constexpr int PER_LOAD = 4 / Op::B_REGS;
    UNROLL
    for (int j = 0; j < MT; j += PER_LOAD) {
        uint32_t b[4];
        load_b<Op, Tile::X_ROW>(b, x, j, unit, lane);
        UNROLL
        for (int h = 0; h < PER_LOAD; h++) {
            UNROLL
            for (int i = 0; i < 2; i++) Op::mma(acc[i][j + h], a[i], wide[i], b + h * Op::B_REGS);
        }
    }
}

/* Adds the sums of the warps with wk > 0 to those of wk == 0, ascending. */
template <class Tile, int WARPS, int WK, int MT, class Acc>
PTX void add_parts(Acc (*acc)[MT][4], Acc *part, int warp, int wk, int lane)
{
    constexpr int LEN = 2 * MT * 4;
    Acc *mine = part + (warp * LEN) * 32 + lane;
    cp_async_wait<0>();
    __syncthreads();
    if (wk > 0) {
        UNROLL
        for (int i = 0; i < LEN; i++)
            mine[((wk - 1) * WARPS * LEN + i) * 32] = acc[i / (MT * 4)][i / 4 % MT][i % 4];
    }
    __syncthreads();
    if (wk > 0) return;
    UNROLL
    for (int w = 0; w < WK - 1; w++) {
        UNROLL
        for (int i = 0; i < LEN; i++)
            acc[i / (MT * 4)][i / 4 % MT][i % 4] += mine[(w * WARPS * LEN + i) * 32];
    }
}

/* Stores a warp's outputs n.. of rows m..; n: of its first, gate's where they are pairs. */
template <class Op, int MT>
PTX void store_tile(const struct linear_args &a, typename Op::acc (*acc)[MT][4], int n0, int m0,
                    int lane)
{
    UNROLL
    for (int i = 0; i < 2 * MT * 4; i++) {
        const int r = i % 4, j = i / 4 % MT, half = i / (4 * MT);
        const int n = n0 + half * 16 + lane / 4 + r / 2 * 8;
        const int m = m0 + j * 8 + lane % 4 * 2 + r % 2;
        if (n < a.n && m < a.rows) store_out<Op>(a, m, n, acc[half][j][r]);
    }
}

template <class Op, int MT>
PTX void store_tile_pairs(const struct linear_args &a, typename Op::acc (*acc)[MT][4], int f0,
                          int m0, int lane)
{
    UNROLL
    for (int i = 0; i < MT * 2; i++) {
        const int j = i / 2, m = m0 + j * 8 + lane % 4 * 2 + i % 2;
        float size = 0.0f;
        UNROLL
        for (int h = 0; h < 2; h++) {
            const int f = f0 + lane / 4 + h * 8, r = 2 * h + i % 2;
            if (f < a.pair && m < a.rows)
                size = fmaxf(size, store_pair<Op>(a, m, f, acc[0][j][r], acc[1][j][r]));
        }
        if (!a.absmax) continue;
        for (int d = 4; d < 32; d *= 2) size = fmaxf(size, __shfl_xor_sync(FULL_WARP, size, d));
        if (lane < 4 && m < a.rows) raise_absmax(a, m, size);
    }
}

template <class Op, int WN, int WM, int WK, int MS, bool PAIR>
__global__ void __launch_bounds__(32 * WN * WM * WK, (linear_tile<Op, WN, WM, WK, MS>::BLOCKS))
    k_linear_tile(const __grid_constant__ struct linear_args a)
{
    using Tile = linear_tile<Op, WN, WM, WK, MS>;
    using acc_t = typename Op::acc;
    SHARED_DYN(char, stages);
    grid_launch_dependents();
    if ((int)blockIdx.x >= product_blocks(a)) return product_tail<Tile::THREADS, WN * WM, PAIR>(a);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % (WN * WM);
    const int wk = threadIdx.x / (32 * WN * WM), wn = warp % WN, wm = warp / WN;
    const int m_tiles = (a.rows + Tile::TILE_M - 1) / Tile::TILE_M;
    const int m0 = blockIdx.x % m_tiles * Tile::TILE_M;
    const int n0 = blockIdx.x / m_tiles * (PAIR ? Tile::TILE_N / 2 : Tile::TILE_N);
    const int n_stages = (a.k * Op::W_SIZE + Tile::W_ROW - 1) / Tile::W_ROW;
    acc_t acc[2][Tile::MT][4] = {};

    prefetch_weights<Op, Tile, PAIR>(a, n0, n_stages);
    grid_wait();
    for (int s = 0; s < Tile::STAGES - 1; s++) {
        if (s < n_stages) fill_stage<Op, Tile, PAIR>(stages + s * Tile::STAGE, a, n0, m0, s);
        cp_async_commit();
    }
    for (int kt = 0, at = 0, to = Tile::STAGES - 1; kt < n_stages; kt++) {
        cp_async_wait<Tile::STAGES - 2>();
        __syncthreads(); /* this stage is there for all, and all have left the one to fill */
        if (kt + Tile::STAGES - 1 < n_stages)
            fill_stage<Op, Tile, PAIR>(stages + to * Tile::STAGE, a, n0, m0, kt + Tile::STAGES - 1);
        cp_async_commit();
        const char *w = stages + at * Tile::STAGE + wn * 32 * Tile::W_ROW;
        const char *x = stages + at * Tile::STAGE + Tile::W_STAGE + wm * MS * Tile::X_ROW;
        UNROLL
        for (int u = 0; u < Tile::UNITS; u += WK)
            multiply_unit<Op, Tile, Tile::MT>(acc, w, x, u + wk, lane);
        at = at + 1 == Tile::STAGES ? 0 : at + 1;
        to = to + 1 == Tile::STAGES ? 0 : to + 1;
    }
    if constexpr (WK > 1) {
        add_parts<Tile, WN * WM, WK, Tile::MT>(acc, reinterpret_cast<acc_t *>(stages), warp, wk,
                                               lane);
        if (wk > 0) return;
    }
    if constexpr (PAIR)
        store_tile_pairs<Op>(a, acc, n0 + wn * 16, m0 + wm * MS, lane);
    else
        store_tile<Op>(a, acc, n0 + wn * 32, m0 + wm * MS, lane);
    warp_done(a);
}

template <class Op, int WN, int WM, int WK, int MS>
void launch_tile(const struct linear_args *a, void *stream)
{
    using Tile = linear_tile<Op, WN, WM, WK, MS>;
    const int m_tiles = (a->rows + Tile::TILE_M - 1) / Tile::TILE_M;
    const int n = a->pair ? 2 * a->pair : a->n, n_tiles = (n + Tile::TILE_N - 1) / Tile::TILE_N;
    const unsigned n_blocks = (unsigned)(m_tiles * n_tiles + a->tail.n_blocks);
    const auto whole = k_linear_tile<Op, WN, WM, WK, MS, false>;
    const auto pairs = k_linear_tile<Op, WN, WM, WK, MS, true>;
    const auto kernel = a->pair ? pairs : whole;
    LAUNCH(kernel, dim3(n_blocks), dim3(Tile::THREADS), Tile::SHARED_SIZE, stream, *a);
}

/* The tiles that linear_choose() may ask for. */
template <class Op> void launch_tiles(const struct linear_args *a, void *stream)
{
    if (a->tile_n == 32 && a->tile_m == 16) launch_tile<Op, 1, 1, 4, 16>(a, stream);
    if (a->tile_n == 32 && a->tile_m == 32) launch_tile<Op, 1, 1, 4, 32>(a, stream);
    if (a->tile_n == 32 && a->tile_m == 64) launch_tile<Op, 1, 1, 4, 64>(a, stream);
    if (a->tile_n == 64 && a->tile_m == 16) launch_tile<Op, 2, 1, 4, 16>(a, stream);
    if (a->tile_n == 64 && a->tile_m == 32) launch_tile<Op, 2, 1, 4, 32>(a, stream);
    if (a->tile_n == 64 && a->tile_m == 64) launch_tile<Op, 2, 1, 4, 64>(a, stream);
    if (a->tile_n == 128 && a->tile_m == 16) launch_tile<Op, 4, 1, 2, 16>(a, stream);
    if (a->tile_n == 128 && a->tile_m == 32) launch_tile<Op, 4, 1, 2, 32>(a, stream);
    if (a->tile_n == 128 && a->tile_m == 64) launch_tile<Op, 4, 1, 2, 64>(a, stream);
    if (a->tile_n == 128 && a->tile_m == 128) launch_tile<Op, 4, 2, 1, 64>(a, stream);
}

#endif
