/* Merges the spans of rows that were split: out = sum of weighted span results / sum of weights, in
 * ascending order of the spans, as attention_mma.cu and attention_simple.cu do within a warp.
 *
 * A warp takes 32 columns of one row.  Each lane prepares the weights of one span of 32: their
 * running maximum is a scan, since a maximum has no rounding.  Then all lanes go through the 32
 * spans in order.  Reads each partial result once: 4 (E + 2) bytes a span, row and head. */
#include "cuda/attention.cuh"

namespace
{

constexpr unsigned FULL = 0xffffffffu, WARPS = 4, BLOCKS_PER_SM = 4;
constexpr int BATCH = 16; /* loads under way in a lane */

struct merge_row {
    const float *o, *ml; /* of the first span */
    size_t o_step, ml_step;
    int n;
};

/* Largest value of this lane and those below it, and of `before`. */
__device__ __forceinline__ float scan_max(float x, float before, int lane)
{
    for (int d = 1; d < 32; d *= 2) {
        const float y = __shfl_up_sync(FULL, x, (unsigned)d);
        if (lane >= d) x = fmaxf(x, y);
    }
    return fmaxf(x, before);
}

/* Column e (this lane's) of the merged row. */
__device__ __forceinline__ float merge_column(const struct merge_row &row, int lane, int e,
                                              bool valid)
{
    float m = -INFINITY, l = 0.0f, o = 0.0f;
    for (int s0 = 0; s0 < row.n; s0 += 32) {
        const bool mine = s0 + lane < row.n;
        const float *ml = row.ml + (size_t)(s0 + (mine ? lane : 0)) * row.ml_step;
        const float ms = mine ? ml[0] : -INFINITY, ls = mine ? ml[1] : 0.0f;
        float after = scan_max(ms, m, lane), before = __shfl_up_sync(FULL, after, 1u), x, y;
        if (lane == 0) before = m;
        merge_weights(before, ms, &x, &y);
        m = __shfl_sync(FULL, after, 31);
        const int n = min(row.n - s0, 32);
        for (int i0 = 0; i0 < n; i0 += BATCH) {
            float part[BATCH];
            UNROLL
            for (int i = 0; i < BATCH; i++)
                part[i] = valid && i0 + i < n
                              ? row.o[(size_t)(s0 + i0 + i) * row.o_step + (size_t)e]
                              : 0.0f;
            UNROLL
            for (int i = 0; i < BATCH; i++) {
                const float xi = __shfl_sync(FULL, x, i0 + i), yi = __shfl_sync(FULL, y, i0 + i);
                const float li = __shfl_sync(FULL, ls, i0 + i);
                if (i0 + i >= n) continue;
                o = merge_value(o, xi, part[i], yi);
                l = merge_value(l, xi, li, yi);
            }
        }
    }
    return o * (1.0f / l);
}

__global__ void k_attention_merge(struct attn_args a)
{
    const int lane = threadIdx.x % 32, E = a.shape.head_dim, G = a.shape.n_kv_heads;
    const int group = a.shape.n_heads / G, columns = (E + 31) / 32;
    const int first = a.list->n_tiles + a.list->n_units;
    const size_t per_item = (size_t)G * (size_t)columns * ATTN_UNIT;
    const size_t n = (size_t)a.list->n_merges * per_item;
    const size_t n_warps = (size_t)gridDim.x * WARPS;
    for (size_t i = blockIdx.x * (size_t)WARPS + threadIdx.x / 32; i < n; i += n_warps) {
        const struct attn_item it = a.list->items[(size_t)first + i / per_item];
        const int rest = (int)(i % per_item), r = rest % ATTN_UNIT;
        const int e = rest / ATTN_UNIT % columns * 32 + lane, head = rest / ATTN_UNIT / columns;
        if (r >= it.n_rows) continue;
        const int pos = it.pos0 + (it.row + r) / group;
        const int span = first_seen(pos, a.shape.window) / ATTN_SPAN;
        const size_t step = (size_t)it.n_rows * (size_t)G;
        const size_t at = (size_t)(it.part + span * it.n_rows + r) * (size_t)G + (size_t)head;
        struct merge_row row;
        row.o = a.part_o + at * (size_t)a.part_pitch;
        row.ml = a.part_ml + at * 2;
        row.o_step = step * (size_t)a.part_pitch;
        row.ml_step = step * 2;
        row.n = pos / ATTN_SPAN - span + 1;
        const float o = merge_column(row, lane, e, e < E);
        if (e < E) a.out[row_offset(it, it.row + r, group, head, E, a.out_ld) + (size_t)e] = o;
    }
}

} // namespace

void cuda_attention_merge(const struct attn_args *a, void *stream)
{
    LAUNCH(k_attention_merge, dim3((unsigned)a->n_sms * BLOCKS_PER_SM), dim3(WARPS * 32), 0, stream,
           *a);
}
