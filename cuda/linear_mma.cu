/* Tiles with bf16, f16 and widened int8 weights. */
#include "cuda/linear_tile.cuh"

extern "C" void cuda_linear_tile_mma(const struct linear_args *a, void *stream)
{
    if (a->type == LINEAR_BF16) launch_tiles<op_bf16>(a, stream);
    if (a->type == LINEAR_F16) launch_tiles<op_f16>(a, stream);
    if (a->type == LINEAR_W8A16) launch_tiles<op_w8a16>(a, stream);
}
