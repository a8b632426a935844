/* Attention by fused multiply-add in f32: any head size up to 512, a cache in f32, bf16 or int8.
 * What f32 models and small heads run, and the first rung of the ladder.
 *
 * A warp takes a unit and does its rows one after the other.  For the scores a lane is a key, for
 * the values it is a column (E / 32 of them). */
#include "cuda/attention_finish.cuh"

namespace
{

constexpr int WARPS = 4, BLOCKS_PER_SM = 4, MAX_E = 512, COLUMNS = MAX_E / 32;
constexpr float LOG2_E = 1.44269504088896340736f;

__device__ __forceinline__ float to_f32(float x)
{
    return x;
}
__device__ __forceinline__ float to_f32(bf16 x)
{
    return __bfloat162float(x);
}
__device__ __forceinline__ float to_f32(int8_t x)
{
    return (float)x;
}

struct row_state {
    float o[COLUMNS]; /* of columns lane, lane + 32, ... */
    float m, l;
};

__device__ __forceinline__ void clear(struct row_state &s)
{
    s.m = -INFINITY;
    s.l = 0.0f;
    UNROLL
    for (int i = 0; i < COLUMNS; i++) s.o[i] = 0.0f;
}

/* Keys [lo, hi), all within the step that starts at key0, into the row's span. */
template <class KV>
__device__ __forceinline__ void add_step(const struct attn_args &a, const int32_t *table, int head,
                                         const float *q, int key0, int lo, int hi,
                                         struct row_state &st)
{
    const int lane = threadIdx.x % 32, key = key0 + lane, E = a.shape.head_dim;
    const bool seen = key >= lo && key < hi;
    unsigned long long slot = 0;
    float x = -INFINITY, value_scale = 1.0f;
    if (seen) {
        const size_t block = (size_t)table[key / a.block_size];
        slot = (block * (size_t)a.shape.n_kv_heads + (size_t)head) * (size_t)a.block_size +
               (size_t)(key % a.block_size);
        const KV *k = static_cast<const KV *>(a.kv.k) + slot * (size_t)E;
        x = 0.0f;
        for (int e = 0; e < E; e++) x = fmaf(q[e], to_f32(k[e]), x);
        if (sizeof(KV) == 1) {
            x *= a.kv.k_scale[slot];
            value_scale = a.kv.v_scale[slot];
        }
        x *= a.shape.scale * LOG2_E;
    }
    const float m = fmaxf(st.m, warp_max(x)), ref = m == -INFINITY ? 0.0f : m;
    const float p = seen ? ex2(x - ref) : 0.0f, keep = ex2(st.m - ref);
    st.l = fmaf(st.l, keep, warp_sum(p));
    st.m = m;
    UNROLL
    for (int i = 0; i < COLUMNS; i++) st.o[i] *= keep;
    for (int j = lo - key0; j < hi - key0; j++) {
        const float pj = __shfl_sync(FULL_WARP, p * value_scale, j);
        const KV *v = static_cast<const KV *>(a.kv.v) + __shfl_sync(FULL_WARP, slot, j) * (size_t)E;
        UNROLL
        for (int i = 0; i < COLUMNS; i++)
            if (i * 32 + lane < E) st.o[i] = fmaf(pj, to_f32(v[i * 32 + lane]), st.o[i]);
    }
}

__device__ __forceinline__ void add_total(struct row_state &total, const struct row_state &span)
{
    float x, y;
    total.m = merge_weights(total.m, span.m, &x, &y);
    total.l = merge_value(total.l, x, span.l, y);
    UNROLL
    for (int i = 0; i < COLUMNS; i++) total.o[i] = merge_value(total.o[i], x, span.o[i], y);
}

/* Columns of a row, each times `factor`, from element `at` of out on. */
__device__ __forceinline__ void write_row(void *out, enum dtype dtype, size_t at, int E,
                                          const struct row_state &st, float factor)
{
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int i = 0; i < COLUMNS; i++)
        if (i * 32 + lane < E)
            put_value(out, dtype, at + (size_t)(i * 32 + lane), st.o[i] * factor);
}

/* Row r of an item, whose query lies in q. */
template <class KV>
__device__ __forceinline__ void run_row(const struct attn_args &a, const struct attn_item &it,
                                        int head, int group, int r, const float *q)
{
    const int32_t *table = a.tables + (size_t)it.seq * (size_t)a.table_ld;
    const int pos = it.pos0 + (it.row + r) / group, E = a.shape.head_dim;
    const int lo = max(first_seen(pos, a.shape.window), it.span * ATTN_SPAN);
    const int hi = min(pos + 1, (it.span + it.n_spans) * ATTN_SPAN);
    struct row_state total, st;
    clear(total);
    for (int span = lo / ATTN_SPAN; span * ATTN_SPAN < hi; span++) {
        const int end = min((span + 1) * ATTN_SPAN, hi);
        clear(st);
        for (int key0 = max(span * ATTN_SPAN, lo / ATTN_STEP * ATTN_STEP); key0 < end;
             key0 += ATTN_STEP)
            add_step<KV>(a, table, head, q, key0, max(lo, key0), min(end, key0 + ATTN_STEP), st);
        if (it.part < 0) {
            add_total(total, st);
            continue;
        }
        const size_t row = (size_t)(it.part + (span - it.span) * it.n_rows + r);
        const size_t at = row * (size_t)a.shape.n_kv_heads + (size_t)head;
        write_row(a.part_o, DT_F32, at * (size_t)a.part_pitch, E, st, 1.0f);
        if (threadIdx.x % 32 != 0) continue;
        a.part_ml[2 * at] = st.m;
        a.part_ml[2 * at + 1] = st.l;
    }
    if (it.part < 0)
        write_row(a.out, a.out_dtype, row_offset(it, it.row + r, group, head, E, a.out_ld), E,
                  total, 1.0f / total.l);
}

template <class KV>
__global__ void __launch_bounds__(WARPS * 32)
    k_attention_simple(const __grid_constant__ struct attn_args a)
{
    SHARED(float, queries, WARPS *MAX_E);
    grid_begin();
    const unsigned heads = (unsigned)a.shape.n_kv_heads, n = (unsigned)a.list->n_units * heads;
    const int lane = threadIdx.x % 32, E = a.shape.head_dim;
    const int group = a.shape.n_heads / a.shape.n_kv_heads;
    float *q = queries + threadIdx.x / 32 * MAX_E;
    if (n == 0) return;
    for (;;) {
        unsigned piece = 0;
        if (lane == 0) piece = take_ticket(&a.tickets[ATTN_TICKET_UNIT], n, gridDim.x * WARPS);
        piece = __shfl_sync(FULL_WARP, piece, 0);
        if (piece >= n) return;
        const struct attn_item it = a.list->items[(unsigned)a.list->n_tiles + piece / heads];
        const int head = (int)(piece % heads);
        for (int r = 0; r < it.n_rows; r++) {
            const float *from = a.q + row_offset(it, it.row + r, group, head, E, a.q_ld);
            __syncwarp();
            for (int e = lane; e < E; e += 32) q[e] = from[e];
            __syncwarp();
            run_row<KV>(a, it, head, group, r, q);
        }
        finish_rows<8>(a, it, head, group, 0, it.n_rows);
    }
}

template <class KV> void launch(const struct attn_args *a, void *stream)
{
    LAUNCH(k_attention_simple<KV>, dim3((unsigned)a->n_sms * BLOCKS_PER_SM), dim3(WARPS * 32), 0,
           stream, *a);
}

} // namespace

void cuda_attention_simple(const struct attn_args *a, void *stream)
{
    if (a->kv_dtype == DT_F32)
        launch<float>(a, stream);
    else if (a->kv_dtype == DT_BF16)
        launch<bf16>(a, stream);
    else
        launch<int8_t>(a, stream);
}
