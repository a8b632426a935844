/* Products of up to 8 rows, at the speed of the weights' memory.
 *
 * A block has 16 or 32 outputs and reads their rows once.  Its warps take turns along K, 256 bytes of each
 * row at a time; a lane's 16 bytes of a row are two registers of each of two mma.sync, so inputs
 * stand in the same, permuted, order on both sides and nothing passes through shared memory. */
#include "cuda/linear_ops.cuh"
#include "cuda/linear_tail.cuh"

namespace
{

constexpr int WARPS = 8, TILE = 16; /* outputs of one mma.sync */
constexpr int LOADS = 4;            /* of 16 bytes, of each of a lane's rows */
constexpr int PART_LD = 16 + 4;     /* banks: 2t rows of 20 words, g words */
constexpr int CHUNKS_PER_LOAD = 4;  /* four lanes share a row */

/* The 16 bytes of weights from `k` on meet these inputs, in B_REGS * 2 registers.  X16: they have 16 bits,
 * else they are int8, or f32 that is rounded here. */
template <class Op, bool X16>
PTX void load_inputs(uint32_t *b, const struct linear_args &a, int row, int k)
{
    if constexpr (Op::X_SIZE == 1) {
        uint4 v = make_uint4(0, 0, 0, 0);
        if (row < a.rows && k < a.k)
            v = *reinterpret_cast<const uint4 *>(static_cast<const char *>(a.x) +
                                                 (size_t)row * a.ldx + k);
        b[0] = v.x, b[1] = v.y, b[2] = v.z, b[3] = v.w;
    } else if constexpr (X16) {
        static_assert(Op::B_REGS == 2, "16 bytes of inputs");
        uint4 v = make_uint4(0, 0, 0, 0);
        if (row < a.rows && k < a.k)
            v = *reinterpret_cast<const uint4 *>(static_cast<const uint16_t *>(a.x) +
                                                 (size_t)row * a.ldx + k);
        b[0] = v.x, b[1] = v.y, b[2] = v.z, b[3] = v.w;
    } else {
        const float *x = static_cast<const float *>(a.x) + (size_t)row * a.ldx;
        UNROLL
        for (int i = 0; i < Op::B_REGS; i++) {
            float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (row < a.rows && k + 4 * i < a.k)
                v = *reinterpret_cast<const float4 *>(x + k + 4 * i);
            b[2 * i] = Op::pack(v.x, v.y);
            b[2 * i + 1] = Op::pack(v.z, v.w);
        }
    }
}

template <class Op>
PTX void multiply(typename Op::acc *acc, uint4 low, uint4 high, const uint32_t *b)
{
    const uint32_t units[2][4] = {{low.x, high.x, low.y, high.y}, {low.z, high.z, low.w, high.w}};
    UNROLL
    for (int u = 0; u < 2; u++) {
        uint32_t wide[8];
        Op::prepare(wide, units[u]);
        Op::mma(acc, units[u], wide, b + u * Op::B_REGS);
    }
}

/* The sum of all warps of output `col` of the block (one of TILES * 16) and a row. */
template <int TILES, class Acc> PTX Acc sum_of(const Acc *part, int row, int col)
{
    constexpr int PART = LINEAR_GEMV_ROWS * PART_LD;
    const Acc *mine = part + col / TILE * PART + row * PART_LD + col % TILE;
    Acc sum = mine[0];
    for (int i = 1; i < WARPS; i++) sum += mine[i * TILES * PART];
    return sum;
}

template <class Op, int TILES>
PTX void store_sums(const struct linear_args &a, const typename Op::acc *part)
{
    constexpr int OUTPUTS = TILE * TILES;
    const int row = threadIdx.x / OUTPUTS, col = threadIdx.x % OUTPUTS;
    const int out = blockIdx.x * OUTPUTS + col;
    if (row >= a.rows || row >= LINEAR_GEMV_ROWS || out >= a.n) return;
    store_out<Op>(a, row, out, sum_of<TILES>(part, row, col));
}

/* The first tile is gate's, the second up's. */
template <class Op> PTX void store_pairs(const struct linear_args &a, const typename Op::acc *part)
{
    const int row = threadIdx.x / TILE, col = threadIdx.x % TILE, f = blockIdx.x * TILE + col;
    if (row >= LINEAR_GEMV_ROWS) return; /* whole warps */
    float size = 0.0f;
    if (row < a.rows && f < a.pair)
        size =
            store_pair<Op>(a, row, f, sum_of<2>(part, row, col), sum_of<2>(part, row, TILE + col));
    if (!a.absmax) return;
    for (int d = 8; d > 0; d /= 2) size = fmaxf(size, __shfl_xor_sync(FULL_WARP, size, d));
    if (col == 0 && row < a.rows) raise_absmax(a, row, size);
}

/* Blocks that a multiprocessor holds at least.  Left to itself the compiler takes 64 registers for weights
 * that it widens, and spills (sm_89). */
template <class Op, int TILES>
constexpr int gemv_blocks = Op::W_SIZE == 1 && Op::X_SIZE > 1 ? (TILES == 1 ? 3 : 2) : 1;

/* TILES: 1 or 2, of 16 outputs; the order of an output's sum is the same. */
template <class Op, int TILES, bool X16>
__global__ void __launch_bounds__(WARPS * 32, (gemv_blocks<Op, TILES>))
    k_linear_gemv(const __grid_constant__ struct linear_args a)
{
    using acc_t = typename Op::acc;
    constexpr int PART = LINEAR_GEMV_ROWS * PART_LD;
    SHARED(acc_t, part, WARPS * TILES * PART);
    grid_launch_dependents();
    if ((int)blockIdx.x >= product_blocks(a)) {
        if (TILES == 2 && a.pair) return product_tail<WARPS * 32, 1, true>(a);
        return product_tail<WARPS * 32, 1, false>(a);
    }
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    /* Rows n, n + 8 of the weights, and of the second tile those `second` behind; `room` of them
     * (counted with what lies between unless the tiles are gate's and up's) exist. */
    const bool pair = TILES == 2 && a.pair > 0;
    const int second = pair ? a.pair : TILE, between = pair ? 0 : TILE;
    const int n = blockIdx.x * (pair ? TILE : TILE * TILES) + g, room = (pair ? a.pair : a.n) - n;
    const int n_chunks = (a.k * Op::W_SIZE + 15) / 16;
    const size_t pitch = (size_t)a.ldw * Op::W_SIZE;
    const char *w = static_cast<const char *>(a.w) + (size_t)n * pitch;
    const uint64_t policy = stream_policy();
    acc_t acc[TILES][4] = {};
    uint4 lines[LOADS][2 * TILES]; /* of each of the rows */
    const auto load_lines = [&](int base) {
        UNROLL
        for (int i = 0; i < LOADS * 2 * TILES; i++) {
            const int u = i / (2 * TILES), j = i % (2 * TILES);
            const int chunk = base + u * CHUNKS_PER_LOAD + t;
            const size_t at = (size_t)(8 * (j % 2) + j / 2 * second) * pitch + 16 * (size_t)chunk;
            lines[u][j] = load_stream16(w + at, policy,
                                        chunk < n_chunks && 8 * (j % 2) + j / 2 * between < room);
        }
    };

    int base = warp * LOADS * CHUNKS_PER_LOAD;
    load_lines(base); /* while the kernel ahead makes the inputs */
    grid_wait();
    while (base < n_chunks) {
        UNROLL
        for (int u = 0; u < LOADS; u++) {
            const int first = base + u * CHUNKS_PER_LOAD;
            if (first >= n_chunks) break; /* of the whole warp */
            uint32_t b[2 * Op::B_REGS];
            load_inputs<Op, X16>(b, a, g, (first + t) * (16 / Op::W_SIZE));
            UNROLL
            for (int i = 0; i < TILES; i++)
                multiply<Op>(acc[i], lines[u][2 * i], lines[u][2 * i + 1], b);
        }
        base += WARPS * LOADS * CHUNKS_PER_LOAD;
        load_lines(base);
    }

    UNROLL
    for (int i = 0; i < 4 * TILES; i++) {
        const int row = 2 * t + i % 2, col = g + i / 2 % 2 * 8;
        part[(warp * TILES + i / 4) * PART + row * PART_LD + col] = acc[i / 4][i % 4];
    }
    __syncthreads();
    if constexpr (TILES == 2) {
        if (pair)
            store_pairs<Op>(a, part);
        else
            store_sums<Op, TILES>(a, part);
    } else {
        store_sums<Op, TILES>(a, part);
    }
    block_done(a);
}

template <class Op, bool X16> void launch(const struct linear_args *a, void *stream)
{
    const int n = a->pair ? 2 * a->pair : a->n;
    const int n_blocks = (n + a->tile_n - 1) / a->tile_n + a->tail.n_blocks;
    const dim3 grid((unsigned)n_blocks), block(WARPS * 32);
    const auto one = k_linear_gemv<Op, 1, X16>, two = k_linear_gemv<Op, 2, X16>;
    if (a->tile_n == TILE) LAUNCH(one, grid, block, 0, stream, *a);
    if (a->tile_n == 2 * TILE) LAUNCH(two, grid, block, 0, stream, *a);
}

} // namespace

extern "C" void cuda_linear_gemv(const struct linear_args *a, void *stream)
{
    if (a->type == LINEAR_BF16 && a->x16) return launch<op_bf16, true>(a, stream);
    if (a->type == LINEAR_F16 && a->x16) return launch<op_f16, true>(a, stream);
    if (a->type == LINEAR_BF16) launch<op_bf16, false>(a, stream);
    if (a->type == LINEAR_F16) launch<op_f16, false>(a, stream);
    if (a->type == LINEAR_W8A8) launch<op_w8a8, false>(a, stream);
    if (a->type == LINEAR_W8A16) launch<op_w8a16, false>(a, stream);
}
