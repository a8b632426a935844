/* Attention on tensor cores: which warps do what, and the launches (attention_mma.cuh: how). */
#include "cuda/attention_mma.cuh"

namespace
{

/* Waits for the load that is due, and fills the slot of the one before it, which all have left by
 * then.  An item's loads are numbered from its first step on, two a step: keys, then values; `at` is
 * the slot of the one that is due.  Returns where that lies in shared memory. */
template <class C, bool BLOCK, int SLOTS, int DEEP>
__device__ __forceinline__ int next_slot(const struct attn_args &a, const struct work &w,
                                         unsigned char *shared, int due, int &at)
{
    const int slots = w.place.slots;
    if (slots == DEEP)
        cp_async_wait<DEEP - 2>();
    else
        cp_async_wait<SLOTS - 2>();
    team_sync<BLOCK>();
    const int load = due + slots - 1;
    const int slot = w.place.ring + at * C::SLOT;
    if (load / 2 * STEP < w.hi)
        load_slot<C, BLOCK>(a, w, load / 2, load % 2,
                            shared + w.place.ring + (at == 0 ? slots - 1 : at - 1) * C::SLOT);
    cp_async_commit();
    at = at + 1 == slots ? 0 : at + 1;
    return slot;
}

/* One item, by a warp or by the block's warps together; `w` differs between these in the warp's
 * keys and place only.  The ring has SLOTS slots, or DEEP ones. */
template <class C, int MT, bool BLOCK, int SLOTS, int DEEP>
__device__ __forceinline__ void run_item(const struct attn_args &a, const struct work &w,
                                         unsigned char *shared)
{
    warp_state<C, MT> st;
    load_queries<C, MT>(a, w, shared);
    int step = w.lo / STEP, at = 0;
    for (int u = 0; u < w.place.slots - 1; u++) {
        if ((step + u / 2) * STEP < w.hi)
            load_slot<C, BLOCK>(a, w, step + u / 2, u % 2, shared + w.place.ring + u * C::SLOT);
        cp_async_commit();
    }
    for (; step * STEP < w.hi; step++) {
        scores<MT> s;
        weights<MT> p; /* takes half the registers: made as early as can be */
        const int key0 = step * STEP, span = key0 / SPAN, behind = key0 + STEP;
        const bool active = key0 < w.any_hi && behind > w.any_lo;
        const int keys = next_slot<C, BLOCK, SLOTS, DEEP>(a, w, shared, 2 * step, at);
        if (active) {
            if (key0 % SPAN == 0 || key0 <= w.any_lo) start_span(st);
            compute_scores<C>(s, shared, w.place.q, keys);
            softmax_step(st, s, a, w, key0, shared, keys);
            if (!C::I8) pack_weights(p, s);
        }
        const int values = next_slot<C, BLOCK, SLOTS, DEEP>(a, w, shared, 2 * step + 1, at);
        if (active) {
            if (C::I8) {
                scale_weights<C>(s, w, key0, shared + values);
                pack_weights(p, s);
            }
            add_values(st, p, shared, values);
        }
        const bool ends = behind % SPAN == 0 || behind >= w.hi;
        if (ends && span * SPAN < w.any_hi && behind > w.any_lo) end_span(st, a, w, shared, span);
    }
    cp_async_wait<0>();
    team_sync<BLOCK>(); /* queries, totals and slots are free */
}

/* The keys that this warp's `rows` rows of item `it`, from place.row0 on, see. */
__device__ __forceinline__ void find_rows(struct work *w, const struct attn_item &it, int rows,
                                          int window)
{
    const int first_row = w->place.row0, last_row = min(first_row + rows, it.n_rows) - 1;
    const bool none = first_row > last_row;
    const int first = it.pos0 + (it.row + first_row) / w->group;
    const int last = it.pos0 + (it.row + last_row) / w->group;
    w->any_lo = none ? 0 : first_seen(first, window);
    w->any_hi = none ? 0 : last + 1;
    w->all_lo = none ? 0 : first_seen(last, window);
    w->all_hi = none ? 0 : first + 1;
}

/* Piece `piece` of the list's items from `first` on, for this warp and `rows` rows; false: no key is
 * seen. */
__device__ __forceinline__ bool find_work(const struct attn_args &a, int first, unsigned piece,
                                          int rows, struct work *w)
{
    const unsigned heads = (unsigned)a.shape.n_kv_heads;
    const struct attn_item &it = a.list->items[(unsigned)first + piece / heads];
    const int group = a.shape.n_heads / a.shape.n_kv_heads;
    const int from = it.pos0 + it.row / group, to = it.pos0 + (it.row + it.n_rows - 1) / group;
    const int lo = max(first_seen(from, a.shape.window), it.span * SPAN);
    const int hi = min(to + 1, (it.span + it.n_spans) * SPAN);
    __syncwarp(); /* the last item's is read no more */
    if (threadIdx.x % 32 == 0) {
        w->item = it;
        w->head = (int)(piece % heads);
        w->group = group;
        w->lo = lo;
        w->hi = hi;
        find_rows(w, it, rows, a.shape.window);
    }
    __syncwarp();
    return lo < hi;
}

/* The next piece of `n_items` items, or NO_PIECE; `n_takers`: who takes them. */
constexpr unsigned NO_PIECE = ~0u;
__device__ __forceinline__ unsigned take_piece(const struct attn_args &a, int ticket, int n_items,
                                               unsigned n_takers)
{
    const unsigned n = (unsigned)n_items * (unsigned)a.shape.n_kv_heads;
    const unsigned piece = take_ticket(&a.tickets[ticket], n, n_takers);
    return piece < n ? piece : NO_PIECE;
}

template <class C>
__device__ __forceinline__ void run_tiles(const struct attn_args &a, unsigned char *shared,
                                          struct work *works, unsigned *ticket)
{
    const int warp = threadIdx.x / 32;
    if (a.list->n_tiles == 0) return;
    struct work &w = works[warp];
    const int q = warp * C::MT * (C::Q16 + C::TOTAL16);
    for (;;) {
        if (threadIdx.x == 0) *ticket = take_piece(a, ATTN_TICKET_TILE, a.list->n_tiles, gridDim.x);
        __syncthreads();
        const unsigned piece = *ticket;
        __syncthreads();
        if (piece == NO_PIECE) return;
        if (threadIdx.x % 32 == 0) /* again: before the loop, it would cost a register in there */
            w.place = {q, q + C::MT * C::Q16, C::TILE_FIXED, C::TILE_SLOTS, warp * C::MT * 16};
        if (find_work(a, 0, piece, 16 * C::MT, &w))
            run_item<C, C::MT, true, C::TILE_SLOTS, C::TILE_SLOTS>(a, w, shared);
        finish_rows<0>(a, w.item, w.head, w.group, w.place.row0,
                       min(C::MT * 16, w.item.n_rows - w.place.row0));
    }
}

/* The warps of a block that take units: fewer, on longer rings, where there are fewer units. */
template <class C> __device__ __forceinline__ bool is_deep(const struct attn_args &a)
{
    return (unsigned)a.list->n_units * (unsigned)a.shape.n_kv_heads <= gridDim.x * C::DEEP_WARPS;
}

template <class C>
__device__ __forceinline__ void run_units(const struct attn_args &a, unsigned char *shared,
                                          struct work *works)
{
    const int warp = threadIdx.x / 32;
    if (a.list->n_units == 0 || warp >= (is_deep<C>(a) ? C::DEEP_WARPS : C::UNIT_WARPS)) return;
    struct work &w = works[warp];
    if (threadIdx.x % 32 == 0) {
        const bool deep = is_deep<C>(a);
        const int q = warp * (deep ? C::DEEP_SIZE : C::UNIT_SIZE);
        w.place = {q, q + C::Q16, q + C::Q16 + C::TOTAL16, deep ? C::DEEP_SLOTS : C::UNIT_SLOTS, 0};
    }
    for (;;) {
        unsigned piece = 0;
        if (threadIdx.x % 32 == 0)
            piece = take_piece(a, ATTN_TICKET_UNIT, a.list->n_units,
                               gridDim.x * (is_deep<C>(a) ? C::DEEP_WARPS : C::UNIT_WARPS));
        piece = __shfl_sync(FULL, piece, 0);
        if (piece == NO_PIECE) return;
        if (find_work(a, a.list->n_tiles, piece, 16, &w))
            run_item<C, 1, false, C::UNIT_SLOTS, C::DEEP_SLOTS>(a, w, shared);
        finish_rows<(C::E > 128 ? 4 : 16)>(a, w.item, w.head, w.group, 0, w.item.n_rows);
    }
}

/* Whether a GPU of the architecture being compiled for has the memory; else there is no code for it. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <class C> constexpr bool fits_here = C::SHARED <= 163 * 1024;
#else
template <class C> constexpr bool fits_here = true;
#endif

template <class C>
__global__ void __launch_bounds__(C::WARPS * 32, 1)
    k_attention_mma(const __grid_constant__ struct attn_args a)
{
    if constexpr (fits_here<C>) {
        SHARED_DYN(unsigned char, shared);
        SHARED(struct work, works, C::WARPS);
        SHARED(unsigned, ticket, 1);
        grid_begin();
        run_tiles<C>(a, shared, works, ticket);
        run_units<C>(a, shared, works);
    } else {
        __trap();
    }
}

/* --- launch --- */

constexpr int LARGE_KIB = 227, SMALL_KIB = 99; /* shared memory of a block: sm_90; sm_86, sm_89 */
constexpr bool is_wide(int e)
{
    return e > 128;
}
template <int E, class KV> using large = mma_config<E, KV, 8, is_wide(E) ? 1 : 2, LARGE_KIB>;
template <int E, class KV> using small = mma_config<E, KV, is_wide(E) ? 2 : 4, 1, SMALL_KIB>;

template <class C> void launch(const struct attn_args *a, void *stream)
{
    LAUNCH(k_attention_mma<C>, dim3((unsigned)a->n_sms), dim3(C::WARPS * 32), C::SHARED, stream,
           *a);
}

template <int E> void launch_size(const struct attn_args *a, void *stream)
{
    const bool wide = a->shared_max >= LARGE_KIB * 1024;
    if (a->kv_dtype == DT_BF16 && wide)
        launch<large<E, bf16>>(a, stream);
    else if (a->kv_dtype == DT_BF16)
        launch<small<E, bf16>>(a, stream);
    else if (wide)
        launch<large<E, int8_t>>(a, stream);
    else
        launch<small<E, int8_t>>(a, stream);
}

template <int E> void shape_size(bool wide, int *tile_rows, int *unit_warps)
{
    *tile_rows = 16 * (wide ? large<E, bf16>::WARPS * large<E, bf16>::MT : small<E, bf16>::WARPS);
    *unit_warps = wide ? large<E, bf16>::UNIT_WARPS : small<E, bf16>::UNIT_WARPS;
}

} // namespace

void cuda_attention_mma(const struct attn_args *a, void *stream)
{
    switch (a->shape.head_dim) {
    case 64:
        launch_size<64>(a, stream);
        break;
    case 80:
        launch_size<80>(a, stream);
        break;
    case 96:
        launch_size<96>(a, stream);
        break;
    case 128:
        launch_size<128>(a, stream);
        break;
    default:
        launch_size<256>(a, stream);
        break;
    }
}

void cuda_attention_mma_shape(int head_dim, size_t shared_max, int *tile_rows, int *unit_warps)
{
    const bool wide = shared_max >= LARGE_KIB * 1024;
    switch (head_dim) {
    case 64:
        shape_size<64>(wide, tile_rows, unit_warps);
        break;
    case 80:
        shape_size<80>(wide, tile_rows, unit_warps);
        break;
    case 96:
        shape_size<96>(wide, tile_rows, unit_warps);
        break;
    case 128:
        shape_size<128>(wide, tile_rows, unit_warps);
        break;
    default:
        shape_size<256>(wide, tile_rows, unit_warps);
        break;
    }
}
