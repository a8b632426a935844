#ifndef CUDA_ATTENTION_MMA_CUH
#define CUDA_ATTENTION_MMA_CUH

/* attention_mma.cuh - what a warp does on tensor cores: mma.sync m16n8k16 in bf16, f32 sums.
 *
 * A warp has MT times 16 flat rows: queries in shared memory (bf16), scores, weights and the span's
 * result in registers, the sum of the spans before it in shared memory, at places only its own
 * threads touch.  Keys and values of a step (32 keys) pass through a ring of slots in shared memory,
 * keys and values in turn, filled by cp.async: one ring for the block (tiles) or one for each warp
 * (units), which then needs no barrier wider than itself.
 *
 * An int8 cache is widened in registers: a byte pair becomes two bf16 by 128 + low bits, minus 128
 * or 256.  ldmatrix moves pairs of bytes, so a fragment comes with its 16 columns in another order:
 * the queries are stored in that order, and the results are written back in it (column). */
#include "cuda/attention_finish.cuh"

namespace
{

constexpr int STEP = ATTN_STEP, SPAN = ATTN_SPAN;
constexpr float LOG2_E = 1.44269504088896340736f;
constexpr unsigned FULL = 0xffffffffu;

/* Bytes between rows of n bytes such that 8 rows at one column lie in 8 banks of 16 bytes: by an
 * exclusive or of the column where a row is a multiple of 128 bytes, else by an odd distance. */
constexpr int stride_of(int n)
{
    return n / 16 % 8 == 0 ? n : (n / 16 | 1) * 16;
}

constexpr int min_of(int a, int b)
{
    return a < b ? a : b;
}

constexpr int max_of(int a, int b)
{
    return a > b ? a : b;
}

/* Where a row's chunk of 16 bytes lies, from the first row on. */
template <int STRIDE> __device__ __forceinline__ int chunk_at(int row, int chunk)
{
    return row * STRIDE + (STRIDE % 128 == 0 ? chunk ^ row % 8 : chunk) * 16;
}

/* The same from the place of the row's chunk 0, which has the first row's own place, a multiple of 128,
 * in it: made of what differs from slot to slot, an address is not kept in a register from one to
 * the next, and most of it is a constant in ldmatrix. */
template <int STRIDE> __device__ __forceinline__ int chunk_of(int row, unsigned chunk)
{
    return STRIDE % 128 == 0 ? (row ^ (int)(chunk % 8 * 16)) + (int)(chunk / 8 * 128)
                             : row + (int)chunk * 16;
}

template <int E_, class KV, int WARPS_, int MT_, int KIB> struct mma_config {
    static constexpr int E = E_, WARPS = WARPS_, MT = MT_;
    static constexpr bool I8 = sizeof(KV) == 1;
    static constexpr int NT = E / 8;                   /* columns of 8 of the result */
    static constexpr int KV_ROW = E * (int)sizeof(KV); /* bytes */
    static constexpr int CHUNKS = KV_ROW / 16;
    static constexpr int Q_STRIDE = stride_of(2 * E), KV_STRIDE = stride_of(KV_ROW);
    static constexpr int SLOT = STEP * KV_STRIDE + (I8 ? STEP * 4 : 0);
    static constexpr int Q16 = 16 * Q_STRIDE, TOTAL16 = 16 * (E + 2) * 4; /* of 16 rows */
    static constexpr int ROOM =
        KIB * 1024 - 1024; /* less static memory, to the alignment of the rest */
    static constexpr int TILE_FIXED = MT * WARPS * (Q16 + TOTAL16);
    static constexpr int TILE_SLOTS = min_of((ROOM - TILE_FIXED) / SLOT, 4);
    static constexpr int UNIT_WARPS = min_of(ROOM / (Q16 + TOTAL16 + 2 * SLOT), WARPS);
    static constexpr int UNIT_SLOTS = min_of((ROOM / UNIT_WARPS - Q16 - TOTAL16) / SLOT, 4);
    static constexpr int UNIT_SIZE = Q16 + TOTAL16 + UNIT_SLOTS * SLOT;
    /* Where there are fewer units than that, fewer warps of a block work, on longer rings. */
    static constexpr int DEEP_WARPS = min_of(UNIT_WARPS, 2);
    static constexpr int DEEP_SLOTS = min_of((ROOM / DEEP_WARPS - Q16 - TOTAL16) / SLOT, 8);
    static constexpr int DEEP_SIZE = Q16 + TOTAL16 + DEEP_SLOTS * SLOT;
    static constexpr int UNITS = max_of(UNIT_WARPS * UNIT_SIZE, DEEP_WARPS *DEEP_SIZE);
    static constexpr int SHARED = max_of(TILE_FIXED + TILE_SLOTS * SLOT, UNITS);
    static_assert(TILE_SLOTS >= 2 && UNIT_WARPS >= 1 && UNIT_SLOTS >= 2 && SHARED <= ROOM, "");
};

/* What is a warp's: its queries, its sums of spans and behind them [16 MT][2] their maximum and sum of
 * weights, the ring it reads, as offsets into shared memory (a pointer kept in memory would be one
 * into any memory to the compiler); the ring's slots; and its first row within an item. */
struct warp_place {
    int q, total, ring, slots, row0;
};

/* What a warp is doing; in shared memory, since little of it is needed often. */
struct work {
    struct attn_item item;
    int head, group;    /* KV head; query heads of one */
    int lo, hi;         /* keys of the item's spans that any of its rows sees */
    int any_lo, any_hi; /* keys that any row of the warp sees; no rows: 0, 0 */
    int all_lo, all_hi; /* keys that all rows of the warp see */
    struct warp_place place;
};

/* Scores, then weights of one step: rows g and g + 8, keys 8 n + 2 t + {0, 1}; weights in bf16.  Apart
 * from the state, so that they take no registers between steps. */
template <int MT> struct scores {
    float at[MT][4][4];
};
template <int MT> struct weights {
    uint32_t at[MT][2][4];
};

template <class C, int MT> struct warp_state {
    float o[MT][C::NT][4]; /* the span's result */
    float m[MT][2], l[MT][2];
};

/* Bytes 0 and 2, and bytes 1 and 3, as bf16 pairs: exact. */
__device__ __forceinline__ void widen(uint32_t x, uint32_t *even, uint32_t *odd)
{
    *even = add_bf16x2((x & 0x007f007fu) | 0x43004300u, (x & 0x00800080u) | 0xc300c300u);
    x >>= 8;
    *odd = add_bf16x2((x & 0x007f007fu) | 0x43004300u, (x & 0x00800080u) | 0xc300c300u);
}

/* Column of the result in register j of n-tile nt. */
template <class C> __device__ __forceinline__ int column(int nt, int j, int t)
{
    return C::I8 ? nt / 2 * 16 + 4 * t + 2 * j + nt % 2 : nt * 8 + 2 * t + j;
}

/* The compiler moves loads of shared memory ahead to hide their latency, a whole loop's if it may:
 * more than there are registers. */
__device__ __forceinline__ void loads_stay_behind()
{
    __syncwarp();
}

template <bool BLOCK> __device__ __forceinline__ void team_sync()
{
    if (BLOCK)
        __syncthreads();
    else
        __syncwarp();
}

/* --- loading --- */

/* The warp's queries as bf16; rows beyond the item's are zero. */
template <class C, int MT>
__device__ __forceinline__ void load_queries(const struct attn_args &a, const struct work &w,
                                             unsigned char *shared)
{
    const int lane = threadIdx.x % 32;
#pragma unroll 2
    for (int r = 0; r < 16 * MT; r++) {
        const bool valid = w.place.row0 + r < w.item.n_rows;
        const float *from = a.q;
        if (valid)
            from +=
                row_offset(w.item, w.item.row + w.place.row0 + r, w.group, w.head, C::E, a.q_ld);
        for (int i = lane; i < C::E / 2; i += 32) {
            const int in16 = i % 8;
            const int e0 = C::I8 ? i / 8 * 16 + in16 % 4 * 4 + in16 / 4 : 2 * i;
            const int e1 = C::I8 ? e0 + 2 : e0 + 1;
            const uint32_t v = valid ? cvt_bf16x2(from[e0], from[e1]) : 0u;
            memcpy(shared + w.place.q + chunk_at<C::Q_STRIDE>(r, i / 4) + i % 4 * 4, &v, 4);
        }
    }
    __syncwarp();
}

/* Where the 16 keys from `key` on are in the cache, in rows; 0 where the item needs none of them. */
__device__ __forceinline__ size_t find_keys(const struct attn_args &a, const struct work &w,
                                            const int32_t *table, int key)
{
    if (key >= w.hi || key + 16 <= w.lo) return 0;
    const size_t block = (size_t)table[key / a.block_size];
    return (block * (size_t)a.shape.n_kv_heads + (size_t)w.head) * (size_t)a.block_size +
           (size_t)(key % a.block_size);
}

/* Starts the copy of the keys or values of one step; those outside the item's keys become zero.
 * A step is two groups of 16 keys, each of which lies within one block of the cache. */
template <class C, bool BLOCK>
__device__ __forceinline__ void load_slot(const struct attn_args &a, const struct work &w, int step,
                                          bool values, unsigned char *slot)
{
    const int size = BLOCK ? C::WARPS * 32 : 32, rank = BLOCK ? threadIdx.x : threadIdx.x % 32;
    const int32_t *table = a.tables + (size_t)w.item.seq * (size_t)a.table_ld;
    const int key0 = step * STEP;
    const size_t low = find_keys(a, w, table, key0), high = find_keys(a, w, table, key0 + 16);
    const char *from = static_cast<const char *>(values ? a.kv.v : a.kv.k);
#pragma unroll 1
    for (int i = rank; i < STEP * C::CHUNKS; i += size) {
        const int r = i / C::CHUNKS, c = i % C::CHUNKS;
        const bool valid = key0 + r >= w.lo && key0 + r < w.hi;
        const size_t key = (r < 16 ? low : high) + (size_t)(r % 16);
        cp_async16(slot + chunk_at<C::KV_STRIDE>(r, c), from + key * C::KV_ROW + c * 16, valid);
    }
    if (!C::I8) return;
    const float *scales = values ? a.kv.v_scale : a.kv.k_scale;
    for (int i = rank; i < STEP / 4; i += size) {
        const bool valid = key0 + 4 * i + 4 > w.lo && key0 + 4 * i < w.hi;
        cp_async16(slot + STEP * C::KV_STRIDE + 16 * i, scales + (i < 4 ? low : high) + 4 * i % 16,
                   valid);
    }
}

/* The slot's scales of the keys whose scores this thread holds. */
template <class C>
__device__ __forceinline__ void read_scales(const unsigned char *slot, float (*out)[2])
{
    const float *scales = reinterpret_cast<const float *>(slot + STEP * C::KV_STRIDE);
    const int t = threadIdx.x % 4;
    UNROLL
    for (int n = 0; n < 4; n++) {
        out[n][0] = scales[8 * n + 2 * t];
        out[n][1] = scales[8 * n + 2 * t + 1];
    }
}

/* --- one step --- */

template <class C, int MT>
__device__ __forceinline__ void compute_scores(scores<MT> &s, const unsigned char *shared, int q,
                                               int slot)
{
    const int lane = threadIdx.x % 32;
    const int query = q + chunk_at<C::Q_STRIDE>(lane % 16, lane / 16);
    const int key = slot + chunk_at<C::KV_STRIDE>(lane, 0);
    UNROLL
    for (int i = 0; i < MT * 16; i++) s.at[i / 16][i / 4 % 4][i % 4] = 0.0f;
#pragma unroll 2
    for (unsigned k = 0; k < C::E / 16; k++) {
        uint32_t a[MT][4], b[4][2], r[2][4];
        loads_stay_behind();
        UNROLL
        for (int mt = 0; mt < MT; mt++)
            ldmatrix_x4(a[mt], shared + chunk_of<C::Q_STRIDE>(query, 2 * k) + mt * C::Q16);
        if (C::I8) {
            ldmatrix_x4(r[0], shared + chunk_of<C::KV_STRIDE>(key, k));
            UNROLL
            for (int n = 0; n < 4; n++) widen(r[0][n], &b[n][0], &b[n][1]);
        } else {
            ldmatrix_x4(r[0], shared + chunk_of<C::KV_STRIDE>(key, 2 * k));
            ldmatrix_x4(r[1], shared + chunk_of<C::KV_STRIDE>(key, 2 * k + 1));
            UNROLL
            for (int n = 0; n < 4; n++) {
                b[n][0] = r[0][n];
                b[n][1] = r[1][n];
            }
        }
        UNROLL
        for (int n = 0; n < 4; n++) {
            UNROLL
            for (int mt = 0; mt < MT; mt++) mma_bf16_16816(s.at[mt][n], a[mt], b[n]);
        }
    }
}

/* Scores of row (mt, h) to -infinity where the row does not see the key.  Rows beyond the last see
 * what it sees, and are dropped. */
template <int MT>
__device__ __forceinline__ void mask_row(scores<MT> &s, const struct work &w, int mt, int h,
                                         int key0, int window)
{
    const int t = threadIdx.x % 4, g = threadIdx.x % 32 / 4;
    const int r = min(w.place.row0 + mt * 16 + g + 8 * h, w.item.n_rows - 1);
    const int pos = w.item.pos0 + (w.item.row + r) / w.group;
    const int hi = pos + 1, lo = first_seen(pos, window);
    UNROLL
    for (int i = 0; i < 8; i++) {
        const int key = key0 + i / 2 * 8 + 2 * t + i % 2;
        if (key < lo || key >= hi) s.at[mt][i / 2][2 * h + i % 2] = -INFINITY;
    }
}

/* Scores to weights; returns what the result so far is to be multiplied by.  c: scale * log2(e). */
template <class C, int MT>
__device__ __forceinline__ float softmax_row(warp_state<C, MT> &st, scores<MT> &s, int mt, int h,
                                             float c)
{
    float top = -INFINITY, sum = 0.0f;
    UNROLL
    for (int i = 0; i < 8; i++) top = fmaxf(top, s.at[mt][i / 2][2 * h + i % 2]);
    top = fmaxf(top, __shfl_xor_sync(FULL, top, 1));
    top = fmaxf(top, __shfl_xor_sync(FULL, top, 2));
    const float m = fmaxf(st.m[mt][h], top * c), ref = m == -INFINITY ? 0.0f : m;
    const float keep = ex2(st.m[mt][h] - ref); /* 1 where the maximum stays */
    UNROLL
    for (int i = 0; i < 8; i++) {
        float &x = s.at[mt][i / 2][2 * h + i % 2];
        x = ex2(fmaf(x, c, -ref));
        sum += x;
    }
    st.m[mt][h] = m;
    st.l[mt][h] = fmaf(st.l[mt][h], keep, sum);
    return keep;
}

template <class C, int MT>
__device__ __forceinline__ void softmax_step(warp_state<C, MT> &st, scores<MT> &s,
                                             const struct attn_args &a, const struct work &w,
                                             int key0, const unsigned char *shared, int slot)
{
    const float c = a.shape.scale * LOG2_E;
    const bool masked = key0 < w.all_lo || key0 + STEP > w.all_hi;
    if (C::I8) {
        float scales[4][2];
        read_scales<C>(shared + slot, scales);
        UNROLL
        for (int i = 0; i < MT * 16; i++)
            s.at[i / 16][i / 4 % 4][i % 4] *= scales[i / 4 % 4][i % 2];
    }
    UNROLL
    for (int mt = 0; mt < MT; mt++) {
        float keep[2];
        UNROLL
        for (int h = 0; h < 2; h++) {
            if (masked) mask_row(s, w, mt, h, key0, a.shape.window);
            keep[h] = softmax_row(st, s, mt, h, c);
        }
        if (!__any_sync(FULL, keep[0] != 1.0f || keep[1] != 1.0f)) continue;
        UNROLL
        for (int i = 0; i < C::NT * 4; i++) st.o[mt][i / 4][i % 4] *= keep[i / 2 % 2];
    }
}

/* Weights times the scales of their values. */
template <class C, int MT>
__device__ __forceinline__ void scale_weights(scores<MT> &s, const struct work &w, int key0,
                                              const unsigned char *slot)
{
    const int t = threadIdx.x % 4;
    float scales[4][2];
    read_scales<C>(slot, scales);
    UNROLL
    for (int i = 0; i < 8; i++) /* behind the end a scale may be anything */
        if (key0 + i / 2 * 8 + 2 * t + i % 2 >= w.hi) scales[i / 2][i % 2] = 0.0f;
    UNROLL
    for (int i = 0; i < MT * 16; i++) s.at[i / 16][i / 4 % 4][i % 4] *= scales[i / 4 % 4][i % 2];
}

/* The scores' layout is that of the left operand. */
template <int MT> __device__ __forceinline__ void pack_weights(weights<MT> &p, const scores<MT> &s)
{
    UNROLL
    for (int i = 0; i < MT * 8; i++) {
        const float *x = s.at[i / 8][i / 4 % 2 * 2 + i / 2 % 2] + i % 2 * 2;
        p.at[i / 8][i / 4 % 2][i % 4] = cvt_bf16x2(x[0], x[1]);
    }
}

template <class C, int MT>
__device__ __forceinline__ void add_values(warp_state<C, MT> &st, const weights<MT> &p,
                                           const unsigned char *shared, int slot)
{
    const int key = slot + chunk_at<C::KV_STRIDE>(threadIdx.x % 32, 0);
    UNROLL
    for (int c = 0; c < C::CHUNKS; c++) {
        uint32_t r[4], b[2][4];
        if (c % 2 == 0) loads_stay_behind();
        ldmatrix_x4_trans(r, shared + chunk_of<C::KV_STRIDE>(key, c));
        UNROLL
        for (int i = 0; i < 4; i++) {
            if (C::I8)
                widen(r[i], &b[0][i], &b[1][i]);
            else
                b[0][i] = r[i];
        }
        constexpr int TILES = C::I8 ? 2 : 1; /* n-tiles of a chunk */
        UNROLL
        for (int i = 0; i < TILES * 2 * MT; i++) {
            const int half = i / (TILES * MT), tile = i / MT % TILES, mt = i % MT;
            mma_bf16_16816(st.o[mt][c * TILES + tile], p.at[mt][half], b[tile] + 2 * half);
        }
    }
}

/* --- spans --- */

template <class C, int MT> __device__ __forceinline__ void start_span(warp_state<C, MT> &st)
{
    UNROLL
    for (int i = 0; i < MT * 2; i++) {
        st.m[i / 2][i % 2] = -INFINITY;
        st.l[i / 2][i % 2] = 0.0f;
    }
    UNROLL
    for (int i = 0; i < MT * C::NT * 4; i++) st.o[i / (C::NT * 4)][i / 4 % C::NT][i % 4] = 0.0f;
}

template <class C, int MT>
__device__ __forceinline__ void write_partial(const warp_state<C, MT> &st,
                                              const struct attn_args &a, const struct work &w,
                                              int span)
{
    const int t = threadIdx.x % 4, g = threadIdx.x % 32 / 4;
    UNROLL
    for (int i = 0; i < MT * 2; i++) {
        const int mt = i / 2, h = i % 2, r = w.place.row0 + mt * 16 + g + 8 * h;
        if (r >= w.item.n_rows) continue;
        const size_t row = (size_t)(w.item.part + (span - w.item.span) * w.item.n_rows + r);
        const size_t at = row * (size_t)a.shape.n_kv_heads + (size_t)w.head;
        float *out = a.part_o + at * (size_t)a.part_pitch;
        UNROLL
        for (int j = 0; j < C::NT * 2; j++)
            out[column<C>(j / 2, j % 2, t)] = st.o[mt][j / 2][2 * h + j % 2];
        if (t != 0) continue;
        a.part_ml[2 * at] = st.m[mt][h];
        a.part_ml[2 * at + 1] = st.l[mt][h];
    }
}

template <class C, int MT>
__device__ __forceinline__ void write_rows(const warp_state<C, MT> &st, const struct attn_args &a,
                                           const struct work &w)
{
    const int t = threadIdx.x % 4, g = threadIdx.x % 32 / 4;
    UNROLL
    for (int i = 0; i < MT * 2; i++) {
        const int mt = i / 2, h = i % 2, r = w.place.row0 + mt * 16 + g + 8 * h;
        if (r >= w.item.n_rows) continue;
        const float inverse = 1.0f / st.l[mt][h];
        const size_t at = row_offset(w.item, w.item.row + r, w.group, w.head, C::E, a.out_ld);
        UNROLL
        for (int j = 0; j < C::NT * 2; j++)
            put_value(a.out, a.out_dtype, at + (size_t)column<C>(j / 2, j % 2, t),
                      st.o[mt][j / 2][2 * h + j % 2] * inverse);
    }
}

/* The span's result becomes that of all spans so far. */
template <class C, int MT>
__device__ __forceinline__ void add_total(warp_state<C, MT> &st, const float *total)
{
    const int g = threadIdx.x % 32 / 4;
    UNROLL
    for (int mt = 0; mt < MT; mt++) {
        float x[2], y[2];
        UNROLL
        for (int h = 0; h < 2; h++) {
            const float *ml = total + MT * 16 * C::E + (mt * 16 + g + 8 * h) * 2;
            st.m[mt][h] = merge_weights(ml[0], st.m[mt][h], &x[h], &y[h]);
            st.l[mt][h] = merge_value(ml[1], x[h], st.l[mt][h], y[h]);
        }
        UNROLL
        for (int i = 0; i < C::NT * 4; i++) {
            if (i % 8 == 0) loads_stay_behind();
            float &o = st.o[mt][i / 4][i % 4];
            const float before = total[(mt * C::NT * 4 + i) * 32 + threadIdx.x % 32];
            o = merge_value(before, x[i / 2 % 2], o, y[i / 2 % 2]);
        }
    }
}

/* Read again by add_total, behind at least one barrier of the warp. */
template <class C, int MT>
__device__ __forceinline__ void keep_total(warp_state<C, MT> &st, float *total)
{
    const int g = threadIdx.x % 32 / 4;
    __syncwarp(); /* the four threads of a row have read the maximum and sum before */
    UNROLL
    for (int i = 0; i < MT * 2 && threadIdx.x % 4 == 0; i++) {
        float *ml = total + MT * 16 * C::E + (i / 2 * 16 + g + 8 * (i % 2)) * 2;
        ml[0] = st.m[i / 2][i % 2];
        ml[1] = st.l[i / 2][i % 2];
    }
    UNROLL
    for (int i = 0; i < MT * C::NT * 4; i++)
        total[i * 32 + threadIdx.x % 32] = st.o[i / (C::NT * 4)][i / 4 % C::NT][i % 4];
}

template <class C, int MT>
__device__ __forceinline__ void end_span(warp_state<C, MT> &st, const struct attn_args &a,
                                         const struct work &w, unsigned char *shared, int span)
{
    float *total = reinterpret_cast<float *>(shared + w.place.total);
    UNROLL
    for (int i = 0; i < MT * 2; i++) {
        float &l = st.l[i / 2][i % 2];
        l += __shfl_xor_sync(FULL, l, 1);
        l += __shfl_xor_sync(FULL, l, 2);
    }
    if (w.item.part >= 0) {
        write_partial(st, a, w, span);
        return;
    }
    if (w.any_lo < span * SPAN) add_total(st, total);
    if ((span + 1) * SPAN >= w.any_hi)
        write_rows(st, a, w);
    else
        keep_total(st, total);
}

} // namespace

#endif
