/* Logits to tokens: scan, cut, draw. */
#include "cuda/sample_block.cuh"

namespace
{

/* Gumbel noise of a uniform in [2^-24, 1 - 2^-24] lies in [-2.82, 16.64]: a token more than 19.5 below
 * the best can never win, and passing over it changes nothing. */
constexpr float GUMBEL_SPREAD = 19.5f;
constexpr float BINS_PER_NAT = 32.0f;
constexpr int LAST_BIN = SAMPLE_BINS - 1;
constexpr int PER_THREAD = SAMPLE_BINS / THREADS;

/* --- processed logits --- */

/* A block's shared memory: x[CHUNK] logits, counts[CHUNK] of the history (later: other integers). */
struct scratch {
    float *x;
    uint32_t *counts;
};

/* Counts stay exact in any order: an output token adds 2, a prompt token makes 0 to 1. */
__device__ void count_history(const struct sample_row &row, const int32_t *history, struct chunk c,
                              uint32_t *counts)
{
    for (int i = threadIdx.x; i < SAMPLE_CHUNK; i += THREADS) counts[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < row.n_history; i += THREADS) {
        const unsigned at = (unsigned)(history[i] - c.base);
        if (at >= (unsigned)c.n) continue;
        if (i >= row.n_prompt)
            atomicAdd(&counts[at], 2u);
        else
            atomicMax(&counts[at], 1u);
    }
    __syncthreads();
}

__device__ __forceinline__ float penalize(float x, uint32_t count, const struct sample_row &row)
{
    if (count == 0) return x;
    if (row.repetition != 1.0f)
        x = x > 0 ? __fdiv_rn(x, row.repetition) : __fmul_rn(x, row.repetition);
    if (count < 2) return x;
    return __fsub_rn(x, __fadd_rn(__fmul_rn(row.frequency, (float)(count >> 1)), row.presence));
}

/* Bans, biases and penalties.  Each thread changes its own logits only, so that biases of one token
 * add up in the order of the list. */
__device__ void change_logits(const struct sample_args &a, const struct sample_row &row,
                              struct chunk c, struct scratch m)
{
    const int32_t *bans = a.words + row.words_at, *bias = bans + row.n_bans;
    for (int i = 0; i < row.n_bans; i++) {
        const int at = bans[i] - c.base;
        if (at >= 0 && at < c.n && owns(at)) m.x[at] = -INFINITY;
    }
    for (int i = 0; i < row.n_bias; i++) {
        const int at = bias[2 * i] - c.base;
        if (at >= 0 && at < c.n && owns(at))
            m.x[at] = __fadd_rn(m.x[at], __int_as_float(bias[2 * i + 1]));
    }
    if (!(row.flags & SAMPLE_PENALTY)) return;
    count_history(row, bias + 2 * row.n_bias, c, m.counts);
    for (int g = 0; g < GROUPS; g++)
        for (int i = own_at(g); i < own_at(g) + 4; i++) m.x[i] = penalize(m.x[i], m.counts[i], row);
    __syncthreads(); /* counts may be used for something else */
}

/* The chunk's logits before temperature, in m.x: each thread reads what it owns. */
__device__ __forceinline__ void load_chunk(const struct sample_args &a,
                                           const struct sample_row &row, struct chunk c,
                                           struct scratch m)
{
    if (c.n < SAMPLE_CHUNK)
        for (int g = 0; g < GROUPS; g++)
            for (int i = own_at(g); i < own_at(g) + 4; i++) m.x[i] = -INFINITY;
    each_logit(logits_of(a, row), c,
               [&](int i, float v) { m.x[i] = v; }); /* NaN stays, and loses against everything */
    if (!(row.flags & SAMPLE_RAW)) change_logits(a, row, c, m);
}

/* --- scan --- */

__device__ void clear_counters(const struct sample_args &a, const struct sample_row &row, int s)
{
    if (threadIdx.x < 4) a.work.tickets[4 * s + threadIdx.x] = 0;
    if (threadIdx.x == 4) a.work.n_list[s] = 0;
    if (!(row.flags & SAMPLE_CUT)) return;
    const size_t at = (size_t)s * SAMPLE_BINS;
    for (int b = threadIdx.x; b < SAMPLE_BINS; b += THREADS) {
        a.work.mass[at + b] = 0;
        a.work.count[at + b] = 0;
    }
}

__global__ void __launch_bounds__(THREADS) k_sample_scan(struct sample_args a)
{
    SHARED(float, x, SAMPLE_CHUNK);
    SHARED(uint32_t, counts, SAMPLE_CHUNK);
    const struct scratch m = {x, counts};
    grid_begin();
    const int n_samples = a.n_samples[0], c = blockIdx.x;
    const struct chunk part = chunk_at(a, c);
    for (int s = blockIdx.y; s < n_samples; s += gridDim.y) {
        const struct sample_row row = a.rows[s];
        const size_t at = (size_t)s * a.n_chunks + c;
        if (c == 0) clear_counters(a, row, s);
        if (row.n_logprobs >= 0) {
            u64 best = 0;
            each_logit(logits_of(a, row), part,
                       [&](int i, float v) { best = take_max()(best, pack(v, part.base + i)); });
            best = block_all(best, take_max());
            if (threadIdx.x == 0) a.work.raw_best[at] = best;
        }
        if (row.flags & SAMPLE_TARGET) continue;
        load_chunk(a, row, part, m);
        u64 best = 0;
        for (int g = 0; g < GROUPS; g++)
            for (int i = own_at(g); i < own_at(g) + 4; i++)
                if (i < part.n) best = take_max()(best, pack(x[i], part.base + i));
        best = block_all(best, take_max());
        if (threadIdx.x == 0) a.work.best[at] = best;
    }
}

/* --- what the scan found --- */

struct peak {
    int id;
    bool decided; /* the best is the token: greedy, or nothing to draw from */
    float max;    /* its logit / temperature */
    float floor;  /* lower ones are dead: min_p */
};

__device__ __forceinline__ struct peak peak_of(const struct sample_args &a,
                                               const struct sample_row &row, int s)
{
    u64 best = 0;
    for (int c = threadIdx.x; c < a.n_chunks; c += THREADS)
        best = take_max()(best, a.work.best[(size_t)s * a.n_chunks + c]);
    best = block_all(best, take_max());
    struct peak p = {packed_id(best), true, 0.0f, -INFINITY};
    const float x = packed_value(best);
    if ((row.flags & SAMPLE_GREEDY) || !(x > -INFINITY)) return p;
    p.max = __fdiv_rn(x, row.temperature);
    /* Infinite logits, or so small a temperature that the scale of the weights overflows. */
    const float scale = (float)(1.44269504088896340736 / (double)row.temperature);
    p.decided = !(fabsf(p.max) < INFINITY && scale < INFINITY);
    p.floor = __fadd_rn(p.max, row.log_min_p);
    return p;
}

__device__ __forceinline__ bool is_alive(const struct peak &p, float x)
{
    return x > -INFINITY && x >= p.floor;
}

/* Never falls as x falls, so that bins divide the tokens by their order. */
__device__ __forceinline__ int bin_of(const struct peak &p, float x)
{
    return (int)fminf(__fmul_rn(__fsub_rn(p.max, x), BINS_PER_NAT), (float)LAST_BIN);
}

/* exp(x - max) as an integer. */
__device__ __forceinline__ u64 mass_of(const struct sample_args &a, float max, float x)
{
    const float w = expf(__fsub_rn(x, max));
    return (u64)__fadd_rn(__fmul_rn(w, a.mass_scale), 0.5f);
}

/* top_p of the sum, at least one unit. */
__device__ __forceinline__ u64 mass_wanted(float top_p, u64 total)
{
    const u64 want = (u64)ceil((double)top_p * (double)total);
    return want < 1 ? 1 : want < total ? want : total;
}

/* --- cut --- */

struct place { /* where a walk over the bins, from the best down, has enough */
    int bin;
    u64 above, here; /* in better bins, in this one */
};

/* values: of this thread's bins; upto: the scan over the threads. */
__device__ __forceinline__ struct place find_place(const u64 *values, u64 upto, u64 want)
{
    SHARED(struct place, found, 1);
    u64 above = upto;
    UNROLL
    for (int j = 0; j < PER_THREAD; j++) above -= values[j];
    UNROLL
    for (int j = 0; j < PER_THREAD; j++) {
        if (above < want && want <= above + values[j])
            found[0] = {(int)threadIdx.x * PER_THREAD + j, above, values[j]};
        above += values[j];
    }
    __syncthreads();
    const struct place p = found[0];
    __syncthreads();
    return p;
}

__device__ void find_cut(const struct sample_args &a, const struct sample_row &row, int s)
{
    const size_t at = (size_t)s * SAMPLE_BINS + threadIdx.x * PER_THREAD;
    const volatile u64 *global_mass = a.work.mass + at;
    const volatile unsigned *global_count = a.work.count + at;
    u64 count[PER_THREAD], mass[PER_THREAD], counts = 0, masses = 0;
    UNROLL
    for (int j = 0; j < PER_THREAD; j++) {
        counts += count[j] = global_count[j];
        masses += mass[j] = global_mass[j];
    }
    const u64 alive = block_all(counts, take_sum()), total = block_all(masses, take_sum());
    counts = block_scan(counts);
    masses = block_scan(masses);
    struct sample_cut cut = {SAMPLE_BINS, -1, 0, 0, 0};
    u64 n_list = 0;
    struct place k = {LAST_BIN, 0, 0};
    if (row.top_k > 0 && (u64)row.top_k < alive) k = find_place(count, counts, (u64)row.top_k);
    if (k.bin < LAST_BIN) {
        const bool both = row.top_p < 1; /* the sum that top_p is of is known after top_k only */
        cut.last = k.bin;
        cut.sure = both ? 0 : k.bin;
        cut.n_k = row.top_k - (both ? 0 : (int)k.above);
        n_list = k.here + (both ? k.above : 0);
    } else if (row.top_p < 1) {
        const u64 want = mass_wanted(row.top_p, total);
        const struct place p = find_place(mass, masses, want);
        cut.sure = cut.last = p.bin;
        cut.want = want - p.above;
        n_list = *(const volatile unsigned *)(a.work.count + (size_t)s * SAMPLE_BINS + p.bin);
    }
    if (n_list > SAMPLE_LIST) cut = {0, LAST_BIN, k.bin < LAST_BIN ? row.top_k : 0, 1, 0};
    if (threadIdx.x == 0) a.work.cuts[s] = cut;
}

__global__ void __launch_bounds__(THREADS) k_sample_cut(struct sample_args a)
{
    SHARED(float, x, SAMPLE_CHUNK);
    SHARED(uint32_t, counts, SAMPLE_CHUNK);
    SHARED(u64, mass, SAMPLE_BINS);
    const struct scratch m = {x, counts};
    grid_begin();
    const int n_samples = a.n_samples[0], c = blockIdx.x;
    const struct chunk part = chunk_at(a, c);
    for (int s = blockIdx.y; s < n_samples; s += gridDim.y) {
        const struct sample_row row = a.rows[s];
        if (!(row.flags & SAMPLE_CUT)) continue;
        const struct peak p = peak_of(a, row, s);
        if (p.decided) continue;
        load_chunk(a, row, part, m);
        for (int b = threadIdx.x; b < SAMPLE_BINS; b += THREADS) {
            mass[b] = 0;
            counts[b] = 0;
        }
        __syncthreads();
        for (int g = 0; g < GROUPS; g++)
            for (int i = own_at(g); i < own_at(g) + 4; i++) {
                const float v = __fdiv_rn(x[i], row.temperature);
                if (!is_alive(p, v)) continue;
                const int b = bin_of(p, v);
                const u64 w = mass_of(a, p.max, v);
                atomicAdd(&counts[b], 1u);
                if (w > 0) atomicAdd(&mass[b], w);
            }
        __syncthreads();
        const size_t at = (size_t)s * SAMPLE_BINS;
        for (int b = threadIdx.x; b < SAMPLE_BINS; b += THREADS) {
            if (counts[b] > 0) atomicAdd(&a.work.count[at + b], counts[b]);
            if (mass[b] > 0) atomicAdd(&a.work.mass[at + b], mass[b]);
        }
        if (is_last_block(a.work.tickets + 4 * s, a.n_chunks)) find_cut(a, row, s);
        __syncthreads();
    }
}

/* x plus Gumbel noise. */
__device__ __forceinline__ float gumbel_score(float x, uint32_t word)
{
    return __fadd_rn(x, -logf(-logf(open01(word))));
}

/* --- the tokens that a threshold cuts through --- */

/* Its members are the list, or all that lives of a whole row. */
struct pool {
    const struct sample_args &a;
    const struct sample_row &row;
    struct peak peak;
    struct scratch memory;
    const volatile u64 *list;
    int n; /* of the list; -1: the row */
};

/* use(id, x / temperature), in no order.  All threads of the block come here. */
template <class Use> __device__ __forceinline__ void each_member(const struct pool &p, Use use)
{
    for (int i = threadIdx.x; i < p.n; i += THREADS) {
        const u64 member = p.list[i];
        use((int)(member >> 32), __int_as_float((int)(uint32_t)member));
    }
    for (int c = 0; p.n < 0 && c < p.a.n_chunks; c++) {
        const struct chunk part = chunk_at(p.a, c);
        load_chunk(p.a, p.row, part, p.memory);
#pragma unroll 1
        for (int g = 0; g < GROUPS; g++)
            for (int i = own_at(g); i < own_at(g) + 4; i++) {
                const float v = __fdiv_rn(p.memory.x[i], p.row.temperature);
                if (is_alive(p.peak, v)) use(part.base + i, v);
            }
    }
}

struct picked {
    uint32_t key;
    u64 rest; /* what the members of this key have to give */
};

/* The key at which a walk down from the greatest has `want` weight: radix select, a byte a pass.
 * key(id, x), weight(id, x): weight 0 is not a member.  0 < want <= the sum. */
template <class Key, class Weight>
__device__ struct picked select_key(const struct pool &p, Key key, Weight weight, u64 want)
{
    SHARED(u64, bins, 256);
    SHARED(struct picked, found, 1);
    uint32_t prefix = 0, mask = 0;
#pragma unroll 1
    for (int shift = 24; shift >= 0; shift -= 8) {
        bins[threadIdx.x] = 0;
        __syncthreads();
        each_member(p, [&](int id, float x) {
            const uint32_t k = key(id, x);
            if ((k & mask) != prefix) return;
            const u64 w = weight(id, x);
            if (w > 0) atomicAdd(&bins[k >> shift & 255], w);
        });
        __syncthreads();
        const u64 mine = bins[255 - threadIdx.x], upto = block_scan(mine);
        if (upto - mine < want && want <= upto)
            found[0] = {prefix | (255u - threadIdx.x) << shift, want - (upto - mine)};
        __syncthreads();
        prefix = found[0].key;
        want = found[0].rest;
        mask |= 255u << shift;
        __syncthreads();
    }
    return {prefix, want};
}

/* Members of a greater key stay, and those of this key whose id is not greater. */
struct threshold {
    uint32_t key;
    int last_id;
};

__device__ struct threshold find_threshold(const struct pool &p, const struct sample_cut &cut)
{
    const auto by_value = [&](int, float x) { return order_key(x); };
    struct threshold t = {0, 0x7fffffff};
    if (cut.n_k > 0)
        t.key = select_key(
                    p, by_value, [&](int, float) { return (u64)1; }, (u64)cut.n_k)
                    .key;
    const uint32_t key_k = t.key;
    if (!(p.row.top_p < 1)) return t;
    const auto mass = [&](int, float x) {
        return order_key(x) >= key_k ? mass_of(p.a, p.peak.max, x) : 0;
    };
    u64 want = cut.want;
    if (want == 0) {
        u64 total = 0;
        each_member(p, [&](int id, float x) { total += mass(id, x); });
        want = mass_wanted(p.row.top_p, block_all(total, take_sum()));
    }
    const struct picked end = select_key(p, by_value, mass, want);
    t.key = end.key;
    /* Equal values: lower ids first, as many as the weight asks for. */
    const u64 each = mass_of(p.a, p.peak.max, key_value(end.key));
    const u64 n_kept = (end.rest + each - 1) / each;
    u64 n_equal = 0;
    each_member(p, [&](int, float x) { n_equal += order_key(x) == end.key; });
    if (n_kept >= block_all(n_equal, take_sum())) return t;
    const struct picked id = select_key(
        p, [&](int i, float) { return ~(uint32_t)i; },
        [&](int, float x) { return (u64)(order_key(x) == end.key); }, n_kept);
    t.last_id = (int)~id.key;
    return t;
}

/* The best score of the members that stay. */
__device__ u64 draw_pool(const struct pool &p, const struct sample_cut &cut)
{
    const struct threshold t = find_threshold(p, cut);
    const float floor = __fsub_rn(p.peak.max, GUMBEL_SPREAD);
    u64 best = 0;
    each_member(p, [&](int id, float x) {
        const uint32_t key = order_key(x);
        if (!(x >= floor) || key < t.key || (key == t.key && id > t.last_id)) return;
        const struct noise n = noise_of(p.row, id >> 2);
        best = take_max()(best, pack(gumbel_score(x, noise_word(n, id)), id));
    });
    return block_all(best, take_max());
}

/* --- draw --- */

/* This block's chunk: scores of what surely stays, the list for what a threshold decides. */
__device__ u64 draw_chunk(const struct pool &p, struct chunk part, const struct sample_cut &cut,
                          int s)
{
    const float floor = __fsub_rn(p.peak.max, GUMBEL_SPREAD);
    u64 *list = p.a.work.list + (size_t)s * SAMPLE_LIST;
    u64 best = 0;
    for (int g = 0; g < GROUPS; g++) {
        const int first = own_at(g);
        struct noise n;
        bool drawn = false;
        for (int j = 0; j < 4; j++) {
            const float v = __fdiv_rn(p.memory.x[first + j], p.row.temperature);
            if (!is_alive(p.peak, v)) continue;
            const int id = part.base + first + j, b = bin_of(p.peak, v);
            if (b >= cut.sure) {
                /* The histogram has counted these: they fit. */
                if (b <= cut.last)
                    list[atomicAdd(&p.a.work.n_list[s], 1u)] =
                        (u64)(unsigned)id << 32 | (uint32_t)__float_as_int(v);
            } else if (v >= floor) {
                if (!drawn) n = noise_of(p.row, id >> 2);
                drawn = true;
                best = take_max()(best, pack(gumbel_score(v, noise_word(n, j)), id));
            }
        }
    }
    return block_all(best, take_max());
}

/* The token, in the block that is the last to come here, else -1. */
__device__ int draw_token(struct pool &p, const struct sample_cut &cut, int c, int s)
{
    const struct sample_args &a = p.a;
    u64 best = 0;
    if (cut.wide) {
        if (c != 0) return -1;
        p.n = -1;
        best = draw_pool(p, cut);
    } else {
        const struct chunk part = chunk_at(a, c);
        load_chunk(a, p.row, part, p.memory);
        best = draw_chunk(p, part, cut, s);
        if (threadIdx.x == 0) a.work.scores[(size_t)s * a.n_chunks + c] = best;
        if (!is_last_block(a.work.tickets + 4 * s + 1, a.n_chunks)) return -1;
        const volatile u64 *scores = a.work.scores + (size_t)s * a.n_chunks;
        for (int i = threadIdx.x; i < a.n_chunks; i += THREADS) best = take_max()(best, scores[i]);
        best = block_all(best, take_max());
        p.n = (int)*(const volatile unsigned *)(a.work.n_list + s);
        if (p.n > 0) best = take_max()(best, draw_pool(p, cut));
    }
    return best > 0 ? packed_id(best) : p.peak.id;
}

/* Two blocks a multiprocessor: the registers that the list's passes want. */
__global__ void __launch_bounds__(THREADS, 2) k_sample_draw(struct sample_args a)
{
    SHARED(float, x, SAMPLE_CHUNK);
    SHARED(uint32_t, counts, SAMPLE_CHUNK);
    grid_begin();
    const int n_samples = a.n_samples[0], c = blockIdx.x;
    for (int s = blockIdx.y; s < n_samples; s += gridDim.y) {
        const struct sample_row row = a.rows[s];
        if (row.flags & (SAMPLE_TARGET | SAMPLE_GREEDY) && c != 0) continue;
        int token = row.target;
        if (!(row.flags & SAMPLE_TARGET)) {
            const struct peak peak = peak_of(a, row, s);
            token = c == 0 ? peak.id : -1;
            if (!peak.decided) {
                const struct sample_cut all = {SAMPLE_BINS, -1, 0, 0, 0};
                const struct sample_cut cut = row.flags & SAMPLE_CUT ? a.work.cuts[s] : all;
                struct pool p = {a, row, peak, {x, counts}, a.work.list + (size_t)s * SAMPLE_LIST,
                                 0};
                token = draw_token(p, cut, c, s);
            }
        }
        if (token >= 0 && threadIdx.x == 0) a.drawn[s] = token;
        __syncthreads();
    }
}

} // namespace

extern "C" void cuda_sample_draw(const struct sample_args *a, void *stream)
{
    const dim3 grid((unsigned)a->n_chunks, (unsigned)a->n_rows), block(THREADS);
    LAUNCH(k_sample_scan, grid, block, 0, stream, *a);
    LAUNCH(k_sample_cut, grid, block, 0, stream, *a);
    LAUNCH(k_sample_draw, grid, block, 0, stream, *a);
}
