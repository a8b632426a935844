#include "cuda/sample.h"

#include "config/base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights are integers below 2^62 / V, so that V of them fit. */
#define MASS_BITS 62
/* What a launch's grid can be at most in its second dimension, rounded down. */
#define GRID_ROWS_MAX 32768

/* One staging area: flight.h says until when. */
struct staging {
    int32_t *n_samples; /* rows lie 64 bytes behind it, as on the device */
    struct sample_row *rows;
    int32_t *words;
};

/* What comes back, in pinned memory. */
struct results {
    int32_t *drawn;
    struct sample_out *out;
    bool has_logprobs; /* else `out` stays on the device */
};

struct sample_state {
    struct staging staging[CUDA_FLIGHTS];
    struct staging device;
    size_t n_words;
    struct sample_args args; /* all but the logits */
    struct results results[CUDA_FLIGHTS];
};

#define ROWS_AT 64 /* bytes from n_samples to the rows */

/* --- reserve --- */

static enum status reserve_inputs(struct cuda_backend *cb, struct error *err)
{
    struct sample_state *st = cb->sample;
    const struct backend_limits *l = &cb->limits;
    const size_t R = (size_t)l->max_samples, rows_size = ROWS_AT + R * sizeof(struct sample_row);
    const size_t context = (size_t)l->max_blocks_per_seq * (size_t)l->block_size;
    st->n_words =
        R * (LIMIT_EOS_IDS + LIMIT_STOP_IDS + 2 * LIMIT_LOGIT_BIAS) + (size_t)l->max_seqs * context;
    struct staging *all[CUDA_FLIGHTS + 1] = {&st->device};
    for (int i = 0; i < CUDA_FLIGHTS; i++) all[i + 1] = &st->staging[i];
    enum status s = STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(all) && s == STATUS_OK; i++) {
        enum status (*take)(struct device *, void **, size_t, const char *, struct error *) =
            all[i] == &st->device ? device_alloc : device_alloc_pinned;
        s = take(cb->device, (void **)&all[i]->n_samples, rows_size, "sampling parameters", err);
        if (s != STATUS_OK) return s;
        all[i]->rows = (struct sample_row *)((char *)all[i]->n_samples + ROWS_AT);
        s = take(cb->device, (void **)&all[i]->words, st->n_words * sizeof(int32_t),
                 "histories for sampling", err);
    }
    return s;
}

static enum status reserve_work(struct cuda_backend *cb, struct error *err)
{
    struct sample_args *a = &cb->sample->args;
    struct sample_work *w = &a->work;
    const size_t R = (size_t)cb->limits.max_samples, C = (size_t)a->n_chunks;
    const struct {
        void **out;
        size_t size;
    } parts[] = {
        {(void **)&w->best, R * C * sizeof *w->best},
        {(void **)&w->raw_best, R * C * sizeof *w->raw_best},
        {(void **)&w->scores, R * C * sizeof *w->scores},
        {(void **)&w->mass, R * SAMPLE_BINS * sizeof *w->mass},
        {(void **)&w->count, R * SAMPLE_BINS * sizeof *w->count},
        {(void **)&w->cuts, R * sizeof *w->cuts},
        {(void **)&w->list, R * SAMPLE_LIST * sizeof *w->list},
        {(void **)&w->n_list, R * sizeof *w->n_list},
        {(void **)&w->tickets, R * 4 * sizeof *w->tickets},
        {(void **)&w->tails, R * C * sizeof *w->tails},
        {(void **)&w->top, R * C * LIMIT_LOGPROBS * sizeof *w->top},
        {(void **)&a->out, R * sizeof *a->out},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const enum status s =
            device_alloc(cb->device, parts[i].out, parts[i].size, "sampling", err);
        if (s != STATUS_OK) return s;
    }
    return STATUS_OK;
}

static enum status reserve_results(struct cuda_backend *cb, struct error *err)
{
    const size_t R = (size_t)cb->limits.max_samples;
    enum status s = STATUS_OK;
    for (int i = 0; i < CUDA_FLIGHTS && s == STATUS_OK; i++) {
        struct results *r = &cb->sample->results[i];
        s = device_alloc_pinned(cb->device, (void **)&r->drawn, R * sizeof *r->drawn, "samples",
                                err);
        if (s == STATUS_OK)
            s = device_alloc_pinned(cb->device, (void **)&r->out, R * sizeof *r->out, "samples",
                                    err);
    }
    return s;
}

enum status cuda_sample_reserve(struct cuda_backend *cb, struct error *err)
{
    struct sample_state *st = calloc(1, sizeof *st);
    if (!st) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    cb->sample = st;
    struct sample_args *a = &st->args;
    a->vocab_size = cb->limits.vocab_size;
    a->n_chunks = (a->vocab_size + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;
    int bits = 0;
    while ((int64_t)1 << bits < a->vocab_size) bits++;
    a->mass_scale = ldexpf(1.0f, MASS_BITS - bits);
    enum status s = reserve_inputs(cb, err);
    if (s == STATUS_OK) s = reserve_work(cb, err);
    if (s == STATUS_OK) s = reserve_results(cb, err);
    /* Steps of nothing but padding, which warm up, sample nothing. */
    if (s == STATUS_OK) device_zero(cb->device, st->device.n_samples, sizeof(int32_t));
    a->n_samples = st->device.n_samples;
    a->rows = st->device.rows;
    a->words = st->device.words;
    a->drawn = cb->at.drawn;
    return s;
}

void cuda_sample_release(struct cuda_backend *cb)
{
    free(cb->sample);
    cb->sample = NULL;
}

/* --- upload --- */

/* Appends ids of the vocabulary; returns how many. */
static int add_ids(int32_t *to, const int32_t *ids, int n)
{
    if (n > 0) memcpy(to, ids, (size_t)n * sizeof *to);
    return n;
}

static int add_bans(int32_t *to, const struct step_sample *s)
{
    const struct sampling_params *p = s->params;
    int n = 0;
    if (s->n_output >= p->min_tokens) return 0;
    CHECK(p->n_eos_ids <= LIMIT_EOS_IDS && p->n_stop_ids <= LIMIT_STOP_IDS);
    if (!p->ignore_eos) n = add_ids(to, p->eos_ids, p->n_eos_ids);
    return n + add_ids(to + n, p->stop_ids, p->n_stop_ids);
}

static int add_bias(int32_t *to, const struct sampling_params *p)
{
    CHECK(p->n_bias <= LIMIT_LOGIT_BIAS);
    for (int i = 0; i < p->n_bias; i++) {
        to[2 * i] = p->bias[i].token;
        memcpy(to + 2 * i + 1, &p->bias[i].bias, sizeof *to);
    }
    return p->n_bias;
}

static int flags_of(const struct step_sample *s, int vocab_size)
{
    const struct sampling_params *p = s->params;
    if (s->mode == SAMPLE_SCORE) return SAMPLE_TARGET;
    const bool penalty = sampling_needs_history(p);
    int flags = penalty ? SAMPLE_PENALTY : 0;
    if (p->temperature <= 0) {
        const bool changes = penalty || p->n_bias > 0 || s->n_output < p->min_tokens;
        return flags | SAMPLE_GREEDY | (changes ? 0 : SAMPLE_RAW);
    }
    if ((p->top_k > 0 && p->top_k < vocab_size) || p->top_p < 1) flags |= SAMPLE_CUT;
    return flags;
}

/* Returns the words that the row took, from words[at] on. */
static size_t fill_row(struct sample_row *row, const struct step_sample *s, int vocab_size,
                       int32_t *words, size_t at)
{
    const struct sampling_params *p = s->params;
    *row = (struct sample_row){
        .flags = flags_of(s, vocab_size),
        .target = s->target,
        .n_logprobs = p->n_logprobs,
        .temperature = p->temperature,
        .top_p = p->top_p,
        .log_min_p = p->min_p > 0 ? logf(p->min_p) : -INFINITY,
        .top_k = p->top_k > 0 && p->top_k < vocab_size ? p->top_k : 0,
        .repetition = p->repetition_penalty,
        .presence = p->presence_penalty,
        .frequency = p->frequency_penalty,
        .n_output = (uint32_t)s->n_output,
        .key = p->seed ^ ((uint64_t)(uint32_t)s->choice << 40),
        .words_at = (int64_t)at,
    };
    if (s->mode == SAMPLE_SCORE) return 0;
    int32_t *to = words + at;
    to += row->n_bans = add_bans(to, s);
    to += 2 * (row->n_bias = add_bias(to, p));
    if (row->flags & SAMPLE_PENALTY) {
        row->n_prompt = s->n_prompt;
        to += row->n_history = add_ids(to, s->history, s->n_history);
    }
    return (size_t)(to - words) - at;
}

/* What fill_row takes at most. */
static size_t words_of(const struct step_sample *s)
{
    const struct sampling_params *p = s->params;
    const size_t history = sampling_needs_history(p) ? (size_t)s->n_history : 0;
    return (size_t)p->n_eos_ids + (size_t)p->n_stop_ids + 2 * (size_t)p->n_bias + history;
}

void cuda_sample_upload(struct cuda_backend *cb, const struct step *step)
{
    struct sample_state *st = cb->sample;
    CHECK(step->n_samples <= cb->limits.max_samples);
    struct staging *from = &st->staging[cb->turn];
    size_t n_words = 0;
    int logits = -1;
    bool has_logprobs = false;
    for (int i = 0; i < step->n_samples; i++) {
        const struct step_sample *s = &step->samples[i];
        CHECK(s->mode == SAMPLE_SCORE || n_words + words_of(s) <= st->n_words);
        if (i == 0 || s->row != step->samples[i - 1].row) logits++;
        n_words += fill_row(&from->rows[i], s, cb->limits.vocab_size, from->words, n_words);
        from->rows[i].logits = logits;
        has_logprobs |= s->params->n_logprobs >= 0;
    }
    st->results[cb->turn].has_logprobs = has_logprobs;
    *from->n_samples = step->n_samples;
    device_copy(cb->device, st->device.n_samples, from->n_samples,
                ROWS_AT + (size_t)step->n_samples * sizeof *from->rows);
    if (n_words > 0)
        device_copy(cb->device, st->device.words, from->words, n_words * sizeof(int32_t));
}

/* --- run --- */

void cuda_sample(struct backend *be, struct tensor logits)
{
    struct cuda_backend *cb = cuda_of(be);
    struct sample_args a = cb->sample->args;
    DCHECK(logits.dtype == DT_F32 && logits.cols == cb->limits.vocab_size);
    if (logits.rows == 0) return;
    a.logits = logits.data;
    a.ld = logits.ld;
    a.n_rows = logits.rows < GRID_ROWS_MAX ? logits.rows : GRID_ROWS_MAX;
    void *stream = device_stream(cb->device);
    cuda_sample_draw(&a, stream);
    cuda_sample_report(&a, stream);
}

void cuda_sample_return(struct cuda_backend *cb)
{
    const struct sample_state *st = cb->sample;
    const struct results *r = &st->results[cb->turn];
    const size_t n = (size_t)cb->step.n_samples;
    if (r->has_logprobs) device_copy(cb->device, r->out, st->args.out, n * sizeof *r->out);
    device_copy(cb->device, r->drawn, st->args.drawn, n * sizeof *r->drawn);
}

void cuda_sample_read(const struct cuda_backend *cb, int turn, struct sample_out *out)
{
    const struct step *step = &cb->flights[turn].step;
    const struct results *r = &cb->sample->results[turn];
    for (int i = 0; i < step->n_samples; i++) {
        if (step->samples[i].params->n_logprobs >= 0)
            out[i] = r->out[i];
        else
            out[i] = (struct sample_out){.token = r->drawn[i]};
    }
}
