/* Attention on tensor cores: which warps do what, and the launches (attention_mma.cuh: how). */
#include "cuda/attention_mma.cuh"

namespace
{

template <class C, int MT>
__device__ __forceinline__ void start_rows(warp_state<C, MT> &st, const struct work &w, int window)
{
    const struct attn_item &it = w.item;
    st.merged = false;
    st.any_lo = st.any_hi = st.all_lo = st.all_hi = 0;
    if (w.place.row0 >= it.n_rows) return;
    const int last_row = min(w.place.row0 + 16 * MT, it.n_rows) - 1;
    const int first = it.pos0 + (it.row + w.place.row0) / w.group;
    const int last = it.pos0 + (it.row + last_row) / w.group;
    st.any_lo = first_seen(first, window);
    st.all_lo = first_seen(last, window);
    st.all_hi = first + 1;
    st.any_hi = last + 1;
}

/* All but the newest copies of a ring have landed. */
template <int SLOTS, int DEEP> __device__ __forceinline__ void wait_copies(bool deep)
{
    if (deep)
        cp_async_wait<DEEP - 2>();
    else
        cp_async_wait<SLOTS - 2>();
}

/* One item, by a warp or by the block's warps together; `w` differs between these in q, total and
 * row0 only.  The ring has SLOTS slots, or DEEP ones. */
template <class C, int MT, bool BLOCK, int SLOTS, int DEEP>
__device__ __forceinline__ void run_item(const struct attn_args &a, const struct work &w,
                                         unsigned char *shared, bool deep)
{
    warp_state<C, MT> st;
    start_rows(st, w, a.shape.window);
    load_queries<C, MT>(a, w, shared);
    unsigned char *ring = shared + w.place.ring;
    const int step0 = w.lo / STEP, n = 2 * ((w.hi + STEP - 1) / STEP - step0);
    const int slots = deep ? DEEP : SLOTS;
    for (int u = 0; u < slots - 1; u++) {
        if (u < n) load_slot<C, BLOCK>(a, w, step0 + u / 2, u % 2, ring + u * C::SLOT);
        cp_async_commit();
    }
    bool started = false;
    int at = 0; /* of the ring: slot of load u, while the one before it takes load u + slots - 1 */
    for (int u = 0; u < n; u++) {
        wait_copies<SLOTS, DEEP>(deep);
        team_sync<BLOCK>(); /* all have left the slot to fill */
        const int next = u + slots - 1, key0 = (step0 + u / 2) * STEP;
        if (next < n)
            load_slot<C, BLOCK>(a, w, step0 + next / 2, next % 2,
                                ring + (at == 0 ? slots - 1 : at - 1) * C::SLOT);
        cp_async_commit();
        const unsigned char *slot = ring + at * C::SLOT;
        at = at + 1 == slots ? 0 : at + 1;
        const bool active = key0 < st.any_hi && key0 + STEP > st.any_lo;
        if (u % 2 == 0) {
            if (!active) continue;
            if (!started) start_span(st);
            started = true;
            compute_scores(st, shared + w.place.q, slot);
            softmax_step(st, a, w, key0, slot);
            continue;
        }
        if (active) add_values(st, w, key0, slot);
        if (!started || ((key0 + STEP) % SPAN != 0 && u + 1 < n)) continue;
        end_span(st, a, w, shared, key0 / SPAN);
        started = false;
    }
    cp_async_wait<0>();
    team_sync<BLOCK>(); /* queries, totals and slots are free */
}

/* Piece `piece` of the list's items from `first` on, for this warp; false: no key is seen. */
__device__ __forceinline__ bool find_work(const struct attn_args &a, int first, unsigned piece,
                                          const struct warp_place &place, struct work *w)
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
        w->place = place;
    }
    __syncwarp();
    return lo < hi;
}

template <class C>
__device__ __forceinline__ void run_tiles(const struct attn_args &a, unsigned char *shared,
                                          struct work *works, unsigned *ticket)
{
    const unsigned n = (unsigned)a.list->n_tiles * (unsigned)a.shape.n_kv_heads;
    const int warp = threadIdx.x / 32;
    if (n == 0) return;
    struct work &w = works[warp];
    const int q = warp * C::MT * (C::Q16 + C::TOTAL16);
    const struct warp_place place = {q, q + C::MT * C::Q16, C::TILE_FIXED, warp * C::MT * 16};
    for (;;) {
        if (threadIdx.x == 0) *ticket = take_ticket(&a.tickets[ATTN_TICKET_TILE], n, gridDim.x);
        __syncthreads();
        const unsigned piece = *ticket;
        __syncthreads();
        if (piece >= n) return;
        if (find_work(a, 0, piece, place, &w))
            run_item<C, C::MT, true, C::TILE_SLOTS, C::TILE_SLOTS>(a, w, shared, false);
        finish_rows<0>(a, w.item, w.head, place.row0, min(C::MT * 16, w.item.n_rows - place.row0));
    }
}

template <class C>
__device__ __forceinline__ void run_units(const struct attn_args &a, unsigned char *shared,
                                          struct work *works)
{
    const unsigned n = (unsigned)a.list->n_units * (unsigned)a.shape.n_kv_heads;
    const bool deep = n <= gridDim.x * C::DEEP_WARPS;
    const int warp = threadIdx.x / 32, n_warps = deep ? C::DEEP_WARPS : C::UNIT_WARPS;
    if (n == 0 || warp >= n_warps) return;
    struct work &w = works[warp];
    const int q = warp * (deep ? C::DEEP_SIZE : C::UNIT_SIZE);
    const struct warp_place place = {q, q + C::Q16, q + C::Q16 + C::TOTAL16, 0};
    for (;;) {
        unsigned piece = 0;
        if (threadIdx.x % 32 == 0)
            piece = take_ticket(&a.tickets[ATTN_TICKET_UNIT], n, gridDim.x * (unsigned)n_warps);
        piece = __shfl_sync(FULL, piece, 0);
        if (piece >= n) return;
        if (find_work(a, a.list->n_tiles, piece, place, &w))
            run_item<C, 1, false, C::UNIT_SLOTS, C::DEEP_SLOTS>(a, w, shared, deep);
        finish_rows<(C::E > 128 ? 4 : 16)>(a, w.item, w.head, 0, w.item.n_rows);
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
