/* W8A8: tiles, and the scaling of sums that a library made. */
#include "cuda/linear_tile.cuh"

namespace
{

constexpr int THREADS = 256;

__global__ void __launch_bounds__(THREADS) k_linear_scale(struct linear_scale_args a)
{
    grid_begin();
    const int n = blockIdx.x * THREADS + threadIdx.x, row = blockIdx.y;
    if (n >= a.n) return;
    const int sum = a.sums[(size_t)row * a.n + n];
    float v = op_w8a8::finish(sum, a.w_scale[n], a.x_scale[row]);
    if (a.bias) v = __fadd_rn(v, a.bias[n]);
    a.out[(size_t)row * a.ldo + n] = v;
}

} // namespace

extern "C" void cuda_linear_tile_int8(const struct linear_args *a, void *stream)
{
    launch_tiles<op_w8a8>(a, stream);
}

extern "C" void cuda_linear_scale(const struct linear_scale_args *a, void *stream)
{
    const int most = 65535; /* of a grid's y */
    for (int row = 0; row < a->rows; row += most) {
        struct linear_scale_args part = *a;
        part.rows = a->rows - row < most ? a->rows - row : most;
        part.out += (size_t)row * a->ldo;
        part.sums += (size_t)row * a->n;
        part.x_scale += row;
        const dim3 grid((unsigned)(a->n + THREADS - 1) / THREADS, (unsigned)part.rows);
        LAUNCH(k_linear_scale, grid, dim3(THREADS), 0, stream, part);
    }
}
