#ifndef CUDA_ATTENTION_FINISH_CUH
#define CUDA_ATTENTION_FINISH_CUH

/* attention_finish.cuh - what a warp does behind its last key, by whoever comes last: merge a unit that
 * was split, quantise a row whose heads are all there.  Nobody waits for anybody, and no launch of
 * their own is needed for either. */

#include "cuda/attention.cuh"
#include "cuda/row_math.cuh"

/* --- who comes last --- */

/* Adds `part` to a counter that ends at `whole`, with everything that the warp has written before; true
 * for the warp that completes it, which sees what the others wrote, and whose counter is 0 again. */
__device__ __forceinline__ bool completes(unsigned *counter, unsigned part, unsigned whole)
{
    unsigned last = 0;
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
        last = atom_add_acq_rel(counter, part) + part == whole;
        if (last) st_release(counter, 0u);
    }
    last = __shfl_sync(FULL_WARP, last, 0);
    __syncwarp(); /* what the first lane has acquired is seen by all: shfl orders no memory */
    return last != 0;
}

/* --- merging: out = sum of weighted span results / sum of weights, in ascending order of the spans, as
 * within a warp.  32 spans at a time: each lane prepares the weights of one (their running maximum is a
 * scan, since a maximum has no rounding), then all lanes go through them in order, with four columns
 * each --- */

constexpr int MERGE_COLUMNS = 4;

struct merge_row {
    const float *o, *ml; /* of the first span */
    size_t o_step, ml_step;
    int n;
};

/* Largest value of this lane and those below it, and of `before`. */
__device__ __forceinline__ float scan_max(float x, float before, int lane)
{
    for (int d = 1; d < 32; d *= 2) {
        const float y = __shfl_up_sync(FULL_WARP, x, (unsigned)d);
        if (lane >= d) x = fmaxf(x, y);
    }
    return fmaxf(x, before);
}

/* Columns e .. e + 3 (this lane's) of the merged row; part_pitch fills the last four up. */
template <int BATCH>
__device__ __forceinline__ float4 merge_columns(const struct merge_row &row, int lane, int e,
                                                bool valid)
{
    float m = -INFINITY, l = 0.0f;
    float4 o = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int s0 = 0; s0 < row.n; s0 += 32) {
        const bool mine = s0 + lane < row.n;
        const float *ml = row.ml + (size_t)(s0 + (mine ? lane : 0)) * row.ml_step;
        const float ms = mine ? ml[0] : -INFINITY, ls = mine ? ml[1] : 0.0f;
        float after = scan_max(ms, m, lane), before = __shfl_up_sync(FULL_WARP, after, 1u), x, y;
        if (lane == 0) before = m;
        merge_weights(before, ms, &x, &y);
        m = __shfl_sync(FULL_WARP, after, 31);
        const int n = min(row.n - s0, 32);
        for (int i0 = 0; i0 < n; i0 += BATCH) {
            float4 part[BATCH];
            UNROLL
            for (int i = 0; i < BATCH; i++) {
                part[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                if (valid && i0 + i < n)
                    part[i] = *reinterpret_cast<const float4 *>(
                        row.o + (size_t)(s0 + i0 + i) * row.o_step + (size_t)e);
            }
            UNROLL
            for (int i = 0; i < BATCH; i++) {
                const float xi = __shfl_sync(FULL_WARP, x, i0 + i);
                const float yi = __shfl_sync(FULL_WARP, y, i0 + i);
                const float li = __shfl_sync(FULL_WARP, ls, i0 + i);
                if (i0 + i >= n) continue;
                o.x = merge_value(o.x, xi, part[i].x, yi);
                o.y = merge_value(o.y, xi, part[i].y, yi);
                o.z = merge_value(o.z, xi, part[i].z, yi);
                o.w = merge_value(o.w, xi, part[i].w, yi);
                l = merge_value(l, xi, li, yi);
            }
        }
    }
    const float inverse = 1.0f / l;
    return make_float4(o.x * inverse, o.y * inverse, o.z * inverse, o.w * inverse);
}

/* The rows of the unit that `it` is a piece of. */
template <int BATCH>
__device__ __forceinline__ void merge_unit(const struct attn_args &a, const struct attn_item &it,
                                           int head, int group)
{
    const int lane = threadIdx.x % 32, E = a.shape.head_dim, G = a.shape.n_kv_heads;
    const int part0 = it.part - it.span * it.n_rows;
    for (int r = 0; r < it.n_rows; r++) {
        const int pos = it.pos0 + (it.row + r) / group;
        const int span = first_seen(pos, a.shape.window) / ATTN_SPAN;
        const size_t step = (size_t)it.n_rows * (size_t)G;
        const size_t at = (size_t)(part0 + span * it.n_rows + r) * (size_t)G + (size_t)head;
        struct merge_row row;
        row.o = a.part_o + at * (size_t)a.part_pitch;
        row.ml = a.part_ml + at * 2;
        row.o_step = step * (size_t)a.part_pitch;
        row.ml_step = step * 2;
        row.n = pos / ATTN_SPAN - span + 1;
        const size_t to = row_offset(it, it.row + r, group, head, E, a.out_ld);
        for (int e0 = 0; e0 < E; e0 += 32 * MERGE_COLUMNS) {
            const int e = e0 + lane * MERGE_COLUMNS;
            const float4 v = merge_columns<BATCH>(row, lane, e, e < E);
            const float x[MERGE_COLUMNS] = {v.x, v.y, v.z, v.w};
            UNROLL
            for (int i = 0; i < MERGE_COLUMNS; i++)
                if (e + i < E) put_value(a.out, a.out_dtype, to + (size_t)(e + i), x[i]);
        }
    }
}

/* --- quantising --- */

__device__ __forceinline__ void quantize_out(const struct attn_args &a, int token)
{
    const int lane = threadIdx.x % 32, n = a.shape.n_heads * a.shape.head_dim;
    const float *x = static_cast<const float *>(a.out) + (size_t)token * (size_t)a.out_ld;
    int8_t *q = a.quant + (size_t)token * (size_t)a.quant_ld;
    float max = 0.0f;
#pragma unroll 4
    for (int i = lane; i < n; i += 32) max = fmaxf(max, fabsf(x[i]));
    max = warp_max(max);
    const float inverse = quant_inverse(max);
#pragma unroll 4
    for (int i = lane; i < n; i += 32) q[i] = quant_int8(x[i], inverse);
    if (lane == 0) a.quant_scale[token] = quant_scale(max);
}

/* A warp has done rows [r0, r0 + n) of an item (of a piece: its spans of them all).  BATCH: spans whose
 * loads are under way together, where the item may be a piece; 0: of a tile, which never is one.
 * `group` comes along because a quotient made here would be kept in a register through the caller's loop. */
template <int BATCH>
__device__ __forceinline__ void finish_rows(const struct attn_args &a, const struct attn_item &it,
                                            int head, int group, int r0, int n)
{
    const int H = a.shape.n_heads, G = a.shape.n_kv_heads;
    if (n <= 0) return;
    if constexpr (BATCH > 0) {
        if (it.part >= 0) {
            unsigned *done = &a.pieces_done[(size_t)it.ticket * (size_t)G + (size_t)head];
            if (!completes(done, 1u, (unsigned)it.n_pieces)) return;
            merge_unit<BATCH>(a, it, head, group);
        }
    }
    if (!a.quant) return;
    const int first = it.row + r0, end = first + n;
    for (int t = first / group; t * group < end; t++) {
        const int heads = min(end, (t + 1) * group) - max(first, t * group);
        if (completes(&a.heads_done[it.q0 + t], (unsigned)heads, (unsigned)H))
            quantize_out(a, it.q0 + t);
    }
}

#endif
