/* Log-probabilities of the raw logits: of the token that was drawn, its rank, and the best n. */
#include "cuda/sample_block.cuh"

namespace
{

/* Keys that top_n writes out sorted; as many candidates as SAMPLE_BEST can pass its first bound. */
constexpr int SAMPLE_BEST = 2048;

/* The n greatest of the keys that `each` gives, greatest first, zeros behind them.  Keys differ, but
 * for zeros, which do not count.  n-th of the threads' greatest keys is a bound below which nothing
 * can be among the n best, and it leaves at most n times the keys of one thread. */
template <class Each> __device__ __forceinline__ void top_n(Each each, int n, u64 *found, u64 *out)
{
    SHARED(u64, bests, THREADS);
    SHARED(u64, bound, 1);
    SHARED(unsigned, n_found, 1);
    u64 best = 0;
    each([&](u64 key) { best = key > best ? key : best; });
    bests[threadIdx.x] = best;
    if (threadIdx.x == 0) {
        bound[0] = 1;
        n_found[0] = 0;
    }
    __syncthreads();
    int rank = 0;
    for (int t = 0; t < THREADS; t++) rank += bests[t] > best;
    if (rank == n - 1 && best > 0) bound[0] = best;
    __syncthreads();
    each([&](u64 key) {
        if (key >= bound[0]) found[atomicAdd(&n_found[0], 1u)] = key;
    });
    __syncthreads();
    const int count = (int)n_found[0];
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const u64 key = found[i];
        int above = 0;
        for (int j = 0; j < count; j++) above += found[j] > key;
        if (above < n) out[above] = key;
    }
    for (int i = count + (int)threadIdx.x; i < n; i += THREADS) out[i] = 0;
    __syncthreads();
}

__device__ __forceinline__ int n_top_of(const struct sample_row &row)
{
    return row.n_logprobs < LIMIT_LOGPROBS ? row.n_logprobs : LIMIT_LOGPROBS;
}

__device__ __forceinline__ void finish_report(const struct sample_args &a,
                                              const struct sample_row &row, int s, float max,
                                              u64 *found)
{
    SHARED(u64, top, LIMIT_LOGPROBS);
    const volatile struct sample_tail *tails = a.work.tails + (size_t)s * a.n_chunks;
    double sum = 0;
    int n_above = 0;
    for (int c = threadIdx.x; c < a.n_chunks; c += THREADS) {
        sum += tails[c].sum;
        n_above += tails[c].n_above;
    }
    sum = block_all(sum, take_sum());
    n_above = block_all(n_above, take_sum());
    const int n = n_top_of(row), total = n * a.n_chunks;
    const volatile u64 *keys = a.work.top + (size_t)s * a.n_chunks * LIMIT_LOGPROBS;
    if (n > 0)
        top_n(
            [&](auto use) {
                for (int i = threadIdx.x; i < total; i += THREADS)
                    use(keys[i / n * LIMIT_LOGPROBS + i % n]);
            },
            n, found, top);
    if (threadIdx.x != 0) return;
    const float *logits = logits_of(a, row);
    const double lse = (double)max + log(sum);
    struct sample_out *out = a.out + s;
    out->token = a.drawn[s];
    out->rank = 1 + n_above;
    out->logprob = (float)((double)logits[out->token] - lse);
    int n_top = 0;
    for (; n_top < n && top[n_top] != 0; n_top++) {
        const int id = packed_id(top[n_top]);
        out->top[n_top].token = id;
        out->top[n_top].logprob = (float)((double)logits[id] - lse);
    }
    out->n_top = n_top;
}

__global__ void __launch_bounds__(THREADS, 4) k_sample_report(struct sample_args a)
{
    SHARED(u64, found, SAMPLE_BEST);
    grid_begin();
    const int n_samples = a.n_samples[0], c = blockIdx.x;
    const struct chunk part = chunk_at(a, c);
    for (int s = blockIdx.y; s < n_samples; s += gridDim.y) {
        const struct sample_row row = a.rows[s];
        if (row.n_logprobs < 0) continue;
        u64 best = 0;
        for (int i = threadIdx.x; i < a.n_chunks; i += THREADS)
            best = take_max()(best, a.work.raw_best[(size_t)s * a.n_chunks + i]);
        best = block_all(best, take_max());
        const float *logits = logits_of(a, row);
        const float max = logits[packed_id(best)], own = logits[a.drawn[s]];
        double sum = 0;
        int n_above = 0;
        each_logit(logits, part, [&](int, float v) {
            n_above += v > own;
            /* Below e^-40 of the best even 2^22 tokens add nothing that a float shows. */
            const float d = __fsub_rn(v, max);
            if (d > -40.0f) sum += (double)expf(d);
        });
        sum = block_all(sum, take_sum());
        n_above = block_all(n_above, take_sum());
        if (threadIdx.x == 0) a.work.tails[(size_t)s * a.n_chunks + c] = {sum, n_above};
        if (n_top_of(row) > 0)
            top_n(
                [&](auto use) {
                    each_logit(logits, part, [&](int i, float v) {
                        if (v > -INFINITY) use(pack(v, part.base + i));
                    });
                },
                n_top_of(row), found, a.work.top + ((size_t)s * a.n_chunks + c) * LIMIT_LOGPROBS);
        if (is_last_block(a.work.tickets + 4 * s + 2, a.n_chunks))
            finish_report(a, row, s, max, found);
        __syncthreads();
    }
}

} // namespace

extern "C" void cuda_sample_report(const struct sample_args *a, void *stream)
{
    const dim3 grid((unsigned)a->n_chunks, (unsigned)a->n_rows);
    LAUNCH(k_sample_report, grid, dim3(THREADS), 0, stream, *a);
}
