#include "engine/cpu/sample.h"

#include "config/base/check.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/sample_kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A draw is argmax over the kept tokens of x/T + g, with g Gumbel noise (Gumbel-max trick), which
 * needs no softmax and no cumulative sum.  min_p, top_k and top_p each keep the tokens above some
 * logit, so all that they leave is one cut, and nothing is written for the tokens below it.
 *
 * The uniform behind g lies in [2^-24, 1 - 2^-24], so g lies in [-2.82, 16.64]. */
#define GUMBEL_MAX 16.64f
#define LOG2_E     1.44269504088896340736

/* Bins of a select, and logits looked at to guess where the cut is. */
#define N_BINS  2048
#define N_GUESS 512

struct scratch {
    float *x;        /* [V] logits after bias and penalties, when there are any; -inf = banned */
    int32_t *counts; /* [V] of the history's tokens only; the list's ids, later */
    struct sample_list list;
    float *w;       /* [V] weights of the list */
    float *columns; /* maxima of columns */
    uint64_t *bins; /* [N_BINS] */
    uint32_t *keys; /* [2 * N_GUESS] */
    float *guess;   /* [N_GUESS] logits, best last */
    float *guess_w; /* [N_GUESS] their weights */
};

static size_t line_round(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

/* Sets up `s` in `memory`, or with NULL only counts; returns the size. */
static size_t scratch_layout(struct scratch *s, void *memory, int V)
{
    const size_t n = (size_t)V, list = (n + SAMPLE_LIST_SLACK) * 4;
    const struct {
        void **out;
        size_t size;
    } parts[] = {
        {(void **)&s->x, n * 4},
        {(void **)&s->list.x, list},
        {(void **)&s->list.id, list},
        {(void **)&s->w, n * 4},
        {(void **)&s->columns, (size_t)sample_n_blocks(V) * SAMPLE_COLUMNS * 4},
        {(void **)&s->bins, N_BINS * sizeof *s->bins},
        {(void **)&s->keys, 2 * N_GUESS * sizeof *s->keys},
        {(void **)&s->guess, N_GUESS * sizeof *s->guess},
        {(void **)&s->guess_w, N_GUESS * sizeof *s->guess_w},
    };
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (memory) *parts[i].out = (char *)memory + at;
        at += line_round(parts[i].size);
    }
    s->counts = s->list.id;
    return at;
}

size_t cpu_sample_scratch_size(int vocab_size)
{
    struct scratch s = {0};
    return scratch_layout(&s, NULL, vocab_size);
}

/* One row on its way to a token. */
struct row {
    const struct sample_kernels *k;
    const float *x; /* [V] */
    int V;
    struct scratch s;
    float max; /* of x; s.columns belongs to it */
    struct sample_weight w;
    struct sample_cut cut;
    bool listed; /* s.list holds all tokens that the cut keeps, and maybe more */
};

static void find_max(struct row *r, const float *x)
{
    r->x = x;
    r->max = r->k->maxima(x, r->V, r->s.columns);
}

/* The token with the maximum, the lowest on a tie; 0 when all are NaN. */
static int argmax(const struct row *r)
{
    const int n_columns = sample_n_blocks(r->V) * SAMPLE_COLUMNS;
    int c = 0;
    while (c < n_columns - 1 && r->s.columns[c] != r->max) c++;
    for (int i = c / SAMPLE_COLUMNS * SAMPLE_BLOCK; i < r->V; i++)
        if (r->x[i] == r->max) return i;
    return 0;
}

/* --- bias and penalties --- */

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

/* --- select --- */

/* Floats as unsigned integers of the same order; -0 is 0. */
static uint32_t order_key(float v)
{
    uint32_t u;
    v += 0.0f;
    memcpy(&u, &v, 4);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static float key_value(uint32_t key)
{
    const uint32_t u = key & 0x80000000u ? key ^ 0x80000000u : ~key;
    float v;
    memcpy(&v, &u, 4);
    return v;
}

/* Where a descending walk over the values first has at least `want`: that value, and what is
 * above it. */
struct level {
    float value;
    uint64_t above;
};

/* Each x counts with its mass, or as 1 when w is NULL; 1 <= want <= the sum of all.  A radix
 * select, 11 bits of the range that is left in each pass: exact, O(n), no sort. */
static struct level select_level(const float *x, const float *w, int n, uint64_t want,
                                 uint64_t bins[N_BINS])
{
    uint32_t lo = UINT32_MAX, hi = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t key = order_key(x[i]);
        lo = key < lo ? key : lo;
        hi = key > hi ? key : hi;
    }
    uint64_t above = 0;
    for (;;) {
        const uint32_t range = hi - lo;
        int shift = 0;
        while (range >> shift >= N_BINS) shift++;
        uint32_t b = range >> shift;
        memset(bins, 0, (b + 1) * sizeof *bins);
        for (int i = 0; i < n; i++) {
            const uint32_t at = order_key(x[i]) - lo;
            if (at <= range) bins[at >> shift] += w ? sample_mass_of(w[i]) : 1;
        }
        for (; b > 0 && above + bins[b] < want; b--) above += bins[b];
        lo += b << shift;
        if (shift == 0) return (struct level){key_value(lo), above};
        const uint32_t last = (UINT32_C(1) << shift) - 1;
        hi = hi - lo < last ? hi : lo + last;
    }
}

/* --- min_p, top_k, top_p --- */

static void keep_min_p(struct row *r, float temperature, float min_p)
{
    const double lowest = (double)r->max + (double)temperature * cpu_sample_log((double)min_p);
    float value = (float)lowest;
    if ((double)value < lowest) value = nextafterf(value, INFINITY);
    if (value > r->cut.value) r->cut.value = value;
}

/* A value that at least k logits reach, and not many more; -FLT_MAX when there is no telling. */
static float reached_by(struct row *r, int k)
{
    const int n_columns = sample_n_blocks(r->V) * SAMPLE_COLUMNS;
    if (k > n_columns) return -FLT_MAX;
    const float v = select_level(r->s.columns, NULL, n_columns, (uint64_t)k, r->s.bins).value;
    return v > -FLT_MAX ? v : -FLT_MAX;
}

/* Ties with the k-th logit all stay, as in the reference implementations. */
static void keep_top_k(struct row *r, int k)
{
    struct sample_list *l = &r->s.list;
    const struct sample_range in = {fmaxf(r->cut.value, reached_by(r, k)), NAN};
    r->k->collect(r->x, NULL, r->V, r->w, in, l);
    r->listed = true;
    if (l->n <= k) return;
    r->cut.value = select_level(l->x, NULL, l->n, (uint64_t)k, r->s.bins).value;
}

static void sort_keys(uint32_t *keys, uint32_t *other, int n)
{
    for (int shift = 0; shift < 32; shift += 8) {
        int at[257] = {0};
        for (int i = 0; i < n; i++) at[(keys[i] >> shift & 255) + 1]++;
        for (int b = 0; b < 256; b++) at[b + 1] += at[b];
        for (int i = 0; i < n; i++) other[at[keys[i] >> shift & 255]++] = keys[i];
        uint32_t *t = keys;
        keys = other;
        other = t;
    }
}

/* A range of logits in which the cut of top_p most likely lies, by the mass of x[n] that is to be
 * dropped: no token of it is heavy, so a sample estimates it well where it says nothing of the best
 * tokens.  Four deviations on either side. */
static struct sample_range guess_range(struct row *r, const float *x, int n, uint64_t drop_mass)
{
    const int stride = n / N_GUESS;
    struct sample_range in = {r->cut.value, NAN};
    int n_keys = 0;
    for (int i = 0; i < N_GUESS; i++)
        if (x[i * stride] >= r->cut.value) r->s.keys[n_keys++] = order_key(x[i * stride]);
    sort_keys(r->s.keys, r->s.keys + N_GUESS, n_keys);
    for (int i = 0; i < n_keys; i++) r->s.guess[i] = key_value(r->s.keys[i]);
    r->k->weights(r->s.guess, n_keys, r->w, r->s.guess_w);
    const double drop = (double)drop_mass / SAMPLE_MASS_ONE / stride;
    double below = 0;
    for (int i = 0; i < n_keys; i++) {
        const double w = (double)r->s.guess_w[i], guard = 4 * (sqrt(w * below) + w);
        if (below + guard <= drop) in.lo = r->s.guess[i];
        if (below - guard >= drop) {
            in.hi = r->s.guess[i];
            break;
        }
        below += w;
    }
    return in;
}

/* Makes the list a short one in which the cut of top_p lies; returns the mass above it.  `total` is
 * the mass of all tokens that the cut keeps. */
static uint64_t list_near_cut(struct row *r, uint64_t total, uint64_t want)
{
    struct sample_list *l = &r->s.list;
    const float *x = r->x;
    const int32_t *ids = NULL;
    uint64_t above = 0;
    for (int n = r->V; n >= 2 * N_GUESS; n = l->n) {
        const struct sample_range in = guess_range(r, x, n, total - want);
        above += r->k->collect(x, ids, n, r->w, in, l);
        const uint64_t reached = above + r->k->mass(l->x, l->n, r->w, -FLT_MAX);
        if (above >= want || reached < want) break; /* a bad guess */
        if (l->n < 2 * N_GUESS || l->n > n / 2) return above;
        total = reached;
        x = l->x;
        ids = l->id;
    }
    const struct sample_range kept = {r->cut.value, NAN};
    return r->k->collect(r->x, NULL, r->V, r->w, kept, l);
}

/* The smallest set of best tokens whose probability reaches top_p; ties by lower id. */
static void keep_top_p(struct row *r, float top_p)
{
    struct sample_list *l = &r->s.list;
    const struct sample_range kept = {r->cut.value, NAN};
    if (r->listed) r->k->collect(l->x, l->id, l->n, r->w, kept, l);
    const uint64_t total = r->listed ? r->k->mass(l->x, l->n, r->w, -FLT_MAX)
                                     : r->k->mass(r->x, r->V, r->w, r->cut.value);
    const uint64_t want = (uint64_t)ceil((double)top_p * (double)total);
    const uint64_t above = r->listed ? 0 : list_near_cut(r, total, want);
    r->k->weights(l->x, l->n, r->w, r->s.w);
    const struct level level = select_level(l->x, r->s.w, l->n, want - above, r->s.bins);
    r->cut.value = level.value;
    uint64_t mass = above + level.above;
    for (int i = 0; i < l->n && mass < want; i++) {
        if (l->x[i] != level.value) continue;
        mass += sample_mass_of(r->s.w[i]);
        r->cut.last_id = l->id[i];
    }
}

/* --- the draw --- */

static int draw(struct row *r, const struct step_sample *row, int best)
{
    const struct sampling_params *p = row->params;
    const float max = r->max / p->temperature;
    struct sample_race race = {.cut = r->cut,
                               .temperature = p->temperature,
                               .inverse_temperature = 1 / p->temperature,
                               /* 2^-23 of what the products are, and of what the bound is */
                               .slack = 1e-3f + 1e-6f * (fabsf(max) + 32),
                               .key = p->seed ^ ((uint64_t)(uint32_t)row->choice << 40),
                               .counter = (uint32_t)row->n_output,
                               .best = -INFINITY,
                               .winner = -1};
    uint32_t noise[4];
    rng_philox(race.key, race.counter, (uint64_t)best >> 2, noise);
    cpu_sample_try(&race, best, r->max, noise[best & 3]);
    /* Who is farther below than the noise can lift it needs no noise. */
    race.floor = (race.best - GUMBEL_MAX - race.slack) * p->temperature;
    race.floor = fmaxf(race.floor, r->cut.value);
    if (r->listed) {
        const struct sample_list *l = &r->s.list;
        for (int i = 0; i < l->n; i++) {
            if (!(l->x[i] >= race.floor)) continue;
            rng_philox(race.key, race.counter, (uint64_t)l->id[i] >> 2, noise);
            if (sample_may_win(&race, l->x[i], noise[l->id[i] & 3]))
                cpu_sample_try(&race, l->id[i], l->x[i], noise[l->id[i] & 3]);
        }
    } else {
        r->k->race(r->x, r->V, &race);
    }
    return race.winner >= 0 ? race.winner : best;
}

static int draw_token(struct row *r, const float *logits, const struct step_sample *row)
{
    const struct sampling_params *p = row->params;
    if (changes_logits(row)) {
        memcpy(r->s.x, logits, (size_t)r->V * sizeof *logits);
        process_logits(r->s, r->V, row);
        logits = r->s.x;
    }
    find_max(r, logits);
    const int best = argmax(r);
    if (p->temperature <= 0 || !(r->max > -INFINITY)) return best;
    r->w = (struct sample_weight){r->max, (float)(LOG2_E / (double)p->temperature)};
    /* Infinite logits, or a temperature so small that the scale overflows. */
    if (!isfinite(r->max / p->temperature) || !isfinite(r->w.scale)) return best;
    r->cut = (struct sample_cut){-FLT_MAX, INT32_MAX};
    if (p->min_p > 0) keep_min_p(r, p->temperature, p->min_p);
    if (p->top_k > 0 && p->top_k < r->V) keep_top_k(r, p->top_k);
    if (p->top_p < 1) keep_top_p(r, p->top_p);
    return draw(r, row, best);
}

/* --- log-probabilities --- */

/* The k best of a list, best first, ties by lower id: insertion into a short sorted list. */
static int best_k(const struct sample_list *l, int k, struct token_logprob *top)
{
    int count = 0;
    for (int i = 0; i < l->n; i++) {
        const float v = l->x[i];
        if (count == k && !(v > top[k - 1].logprob)) continue;
        int at = count < k ? count++ : k - 1;
        while (at > 0 && v > top[at - 1].logprob) {
            top[at] = top[at - 1];
            at--;
        }
        top[at] = (struct token_logprob){l->id[i], v};
    }
    return count;
}

static void report_logprobs(struct row *r, const float *logits, int n_top, struct sample_out *out)
{
    if (r->x != logits) find_max(r, logits);
    const struct sample_weight w = {r->max, (float)LOG2_E};
    const uint64_t mass = r->k->mass(logits, r->V, w, -FLT_MAX);
    const double lse = (double)r->max + cpu_sample_log((double)mass / SAMPLE_MASS_ONE);
    const float own = logits[out->token];
    out->logprob = (float)((double)own - lse);
    out->rank = 1 + r->k->count_above(logits, r->V, own);
    if (n_top <= 0) return;
    if (n_top > LIMIT_LOGPROBS) n_top = LIMIT_LOGPROBS;
    const struct sample_range in = {reached_by(r, n_top), NAN};
    r->k->collect(logits, NULL, r->V, w, in, &r->s.list);
    out->n_top = best_k(&r->s.list, n_top, out->top);
    for (int i = 0; i < out->n_top; i++)
        out->top[i].logprob = (float)((double)out->top[i].logprob - lse);
}

double cpu_sample_work_ns(int vocab_size, const struct step_sample *s)
{
    const struct sampling_params *p = s->params;
    const bool greedy = s->mode == SAMPLE_SCORE || p->temperature <= 0;
    const double ns = (greedy ? 0.04 : 0.4) + (p->n_logprobs >= 0 ? 0.3 : 0);
    return ns * vocab_size;
}

void cpu_sample_row_by(const struct cpu_kernels *kernels, const float *logits, int vocab_size,
                       const struct step_sample *s, void *scratch, struct sample_out *out)
{
    DCHECK(vocab_size > 0 && s->params);
    struct row r = {.k = kernels->sample, .V = vocab_size};
    scratch_layout(&r.s, scratch, vocab_size);
    out->rank = 0;
    out->logprob = 0;
    out->n_top = 0;
    out->token = s->mode == SAMPLE_SCORE ? s->target : draw_token(&r, logits, s);
    DCHECK(out->token >= 0 && out->token < vocab_size);
    if (s->params->n_logprobs >= 0) report_logprobs(&r, logits, s->params->n_logprobs, out);
}

void cpu_sample_row(const float *logits, int vocab_size, const struct step_sample *s, void *scratch,
                    struct sample_out *out)
{
    const struct cpu_kernels *best;
    struct error err;
    CHECK(cpu_kernels_choose("auto", &best, &err) == STATUS_OK);
    cpu_sample_row_by(best, logits, vocab_size, s, scratch, out);
}
