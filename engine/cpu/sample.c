#include "engine/cpu/sample.h"

#include "config/base/check.h"
#include "config/base/rng.h"

#include <math.h>
#include <string.h>

/* A draw is argmax over the kept tokens of x/T + g, with g Gumbel noise (Gumbel-max trick), which
 * needs no softmax and no cumulative sum.  The uniform behind g lies in [2^-24, 1 - 2^-24], so g
 * lies in [-2.82, 16.64]: a token more than 19.5 below the best can never win, and skipping it
 * changes nothing. */
#define GUMBEL_SPREAD 19.5f

size_t cpu_sample_scratch_size(int vocab_size)
{
    /* processed logits, weights, history counts */
    return (((size_t)vocab_size * 4 + 63) & ~(size_t)63) * 3;
}

struct scratch {
    float *x;        /* [V] logits after bias, penalties and temperature; -inf = banned */
    float *w;        /* [V] exp(x - max) */
    int32_t *counts; /* [V] of the history's tokens only */
};

static struct scratch scratch_split(void *memory, int V)
{
    const size_t part = ((size_t)V * 4 + 63) & ~(size_t)63;
    char *p = memory;
    return (struct scratch){(float *)p, (float *)(p + part), (int32_t *)(p + 2 * part)};
}

/* Index of the greatest value, the lowest one on a tie; NaN never wins.  Two passes, so that the
 * first is a plain lane-wise maximum that compilers turn into vector code. */
static int argmax(const float *x, int n)
{
    enum { LANES = 16 };
    float lane[LANES];
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    float best = -INFINITY;
    for (int j = 0; j < LANES; j++) best = lane[j] > best ? lane[j] : best;
    for (; i < n; i++) best = x[i] > best ? x[i] : best;
    for (i = 0; i < n; i++)
        if (x[i] == best) return i;
    return 0; /* all NaN */
}

static double log_sum_exp(const float *x, int n, float max)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        /* Below e^-40 of the best even 2^22 tokens add nothing that a float shows. */
        if (x[i] - max > -40.0f) sum += (double)expf(x[i] - max);
    }
    return (double)max + log(sum);
}

/* The k best of x, best first, ties by lower id: insertion into a short sorted list. */
static int best_k(const float *x, int n, int k, struct token_logprob *top)
{
    int count = 0;
    if (k <= 0) return 0;
    for (int i = 0; i < n; i++) {
        const float v = x[i];
        if (count == k && !(v > top[k - 1].logprob)) continue;
        if (!(v > -INFINITY)) continue;
        int at = count < k ? count++ : k - 1;
        while (at > 0 && v > top[at - 1].logprob) {
            top[at] = top[at - 1];
            at--;
        }
        top[at] = (struct token_logprob){i, v};
    }
    return count;
}

static void report_logprobs(const float *logits, int V, int n_top, struct sample_out *out)
{
    const float max = logits[argmax(logits, V)];
    const double lse = log_sum_exp(logits, V, max);
    const float own = logits[out->token];
    out->logprob = (float)((double)own - lse);
    out->rank = 1;
    for (int i = 0; i < V; i++) out->rank += logits[i] > own;
    out->n_top = best_k(logits, V, n_top < LIMIT_LOGPROBS ? n_top : LIMIT_LOGPROBS, out->top);
    for (int i = 0; i < out->n_top; i++)
        out->top[i].logprob = (float)((double)out->top[i].logprob - lse);
}

static void ban(float *x, int V, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < V) x[ids[i]] = -INFINITY;
}

static void apply_penalties(struct scratch s, const struct step_sample *row)
{
    const struct sampling_params *p = row->params;
    const int32_t *h = row->history;
    for (int i = 0; i < row->n_history; i++) s.counts[h[i]] = 0;
    if (p->repetition_penalty != 1.0f) {
        for (int i = 0; i < row->n_history; i++) {
            if (s.counts[h[i]]++ > 0) continue;
            float *x = &s.x[h[i]];
            *x = *x > 0 ? *x / p->repetition_penalty : *x * p->repetition_penalty;
        }
        for (int i = 0; i < row->n_history; i++) s.counts[h[i]] = 0;
    }
    for (int i = row->n_prompt; i < row->n_history; i++) s.counts[h[i]]++;
    for (int i = row->n_prompt; i < row->n_history; i++) {
        const int count = s.counts[h[i]];
        if (count == 0) continue;
        s.x[h[i]] -= p->frequency_penalty * (float)count + p->presence_penalty;
        s.counts[h[i]] = 0; /* once per distinct token */
    }
}

static bool changes_logits(const struct step_sample *row)
{
    const struct sampling_params *p = row->params;
    return p->n_bias > 0 || row->n_output < p->min_tokens || sampling_needs_history(p);
}

static void process_logits(struct scratch s, int V, const struct step_sample *row)
{
    const struct sampling_params *p = row->params;
    if (row->n_output < p->min_tokens) {
        if (!p->ignore_eos) ban(s.x, V, p->eos_ids, p->n_eos_ids);
        ban(s.x, V, p->stop_ids, p->n_stop_ids);
    }
    for (int i = 0; i < p->n_bias; i++)
        if (p->bias[i].token >= 0 && p->bias[i].token < V) s.x[p->bias[i].token] += p->bias[i].bias;
    if (sampling_needs_history(p)) apply_penalties(s, row);
}

/* Floats as unsigned integers of the same order. */
static uint32_t order_key(float v)
{
    uint32_t u;
    memcpy(&u, &v, 4);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* Where a descending walk over the values first has at least `want` weight: the key of that value
 * and the weight strictly above it.  A radix select, one byte a pass: exact, O(V), no sort.
 * weight(i) is 1 when w is NULL. */
struct cut {
    uint32_t key;
    double above;
};
static struct cut select_weight(const float *x, const float *w, int V, double want)
{
    struct cut c = {0, 0};
    uint32_t prefix_mask = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        double bins[256] = {0};
        for (int i = 0; i < V; i++) {
            const uint32_t key = order_key(x[i]);
            if ((key & prefix_mask) == c.key && x[i] > -INFINITY)
                bins[(key >> shift) & 255] += w ? (double)w[i] : 1.0;
        }
        int b = 255;
        int lowest = 255; /* the last bin that holds anything, should rounding overshoot */
        for (; b >= 0; b--) {
            if (bins[b] == 0) continue;
            lowest = b;
            if (c.above + bins[b] >= want) break;
            c.above += bins[b];
        }
        if (b < 0) {
            b = lowest;
            c.above -= bins[b];
        }
        c.key |= (uint32_t)b << shift;
        prefix_mask |= 255u << shift;
    }
    return c;
}

static void keep_min_p(float *x, int V, float max, float min_p)
{
    const float floor_x = max + logf(min_p);
    for (int i = 0; i < V; i++)
        if (x[i] < floor_x) x[i] = -INFINITY;
}

/* Ties with the k-th value all stay, as in the reference implementations. */
static void keep_top_k(float *x, int V, int k)
{
    int alive = 0;
    for (int i = 0; i < V; i++) alive += x[i] > -INFINITY;
    if (k >= alive) return;
    const uint32_t key = select_weight(x, NULL, V, k).key;
    for (int i = 0; i < V; i++)
        if (order_key(x[i]) < key) x[i] = -INFINITY;
}

/* The smallest set of best tokens whose probability reaches top_p; ties by lower id. */
static void keep_top_p(struct scratch s, int V, float max, float top_p)
{
    double total = 0;
    for (int i = 0; i < V; i++) {
        s.w[i] = s.x[i] > -INFINITY ? expf(s.x[i] - max) : 0.0f;
        total += (double)s.w[i];
    }
    const double want = (double)top_p * total;
    const struct cut c = select_weight(s.x, s.w, V, want);
    double mass = c.above;
    for (int i = 0; i < V; i++) {
        const uint32_t key = order_key(s.x[i]);
        if (key > c.key) continue;
        if (key == c.key && mass < want)
            mass += (double)s.w[i];
        else
            s.x[i] = -INFINITY;
    }
}

static int draw(const float *x, int V, float max, const struct step_sample *row)
{
    const float floor_x = max - GUMBEL_SPREAD;
    const uint64_t key = row->params->seed ^ ((uint64_t)(uint32_t)row->choice << 40);
    int best = -1;
    float best_score = -INFINITY;
    uint32_t noise[4];
    int noise_group = -1;
    for (int i = 0; i < V; i++) {
        if (!(x[i] >= floor_x)) continue;
        if (noise_group != i >> 2) {
            noise_group = i >> 2;
            rng_philox(key, (uint64_t)(uint32_t)row->n_output, (uint64_t)noise_group, noise);
        }
        const float gumbel = -logf(-logf(rng_open01(noise[i & 3])));
        if (x[i] + gumbel > best_score) {
            best_score = x[i] + gumbel;
            best = i;
        }
    }
    return best;
}

static int draw_token(const float *logits, int V, const struct step_sample *row, void *memory)
{
    const struct sampling_params *p = row->params;
    if (p->temperature <= 0 && !changes_logits(row)) return argmax(logits, V);

    struct scratch s = scratch_split(memory, V);
    for (int i = 0; i < V; i++) s.x[i] = logits[i] == logits[i] ? logits[i] : -INFINITY;
    process_logits(s, V, row);
    const int best = argmax(s.x, V);
    if (p->temperature <= 0 || !(s.x[best] > -INFINITY)) return best;

    const float max = s.x[best] / p->temperature;
    for (int i = 0; i < V; i++) s.x[i] /= p->temperature;
    if (!isfinite(max)) return best; /* a temperature so small that the scale overflows */
    if (p->min_p > 0) keep_min_p(s.x, V, max, p->min_p);
    if (p->top_k > 0 && p->top_k < V) keep_top_k(s.x, V, p->top_k);
    if (p->top_p < 1) keep_top_p(s, V, max, p->top_p);
    const int token = draw(s.x, V, max, row);
    return token >= 0 ? token : best;
}

void cpu_sample_row(const float *logits, int vocab_size, const struct step_sample *s, void *scratch,
                    struct sample_out *out)
{
    DCHECK(vocab_size > 0 && s->params);
    out->rank = 0;
    out->logprob = 0;
    out->n_top = 0;
    out->token = s->mode == SAMPLE_SCORE ? s->target : draw_token(logits, vocab_size, s, scratch);
    DCHECK(out->token >= 0 && out->token < vocab_size);
    if (s->params->n_logprobs >= 0) report_logprobs(logits, vocab_size, s->params->n_logprobs, out);
}
