/* What changes from step to step: ids, angles, logits rows, samples. */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/sample.h"

#include <math.h>
#include <string.h>

/* Positions whose angles are kept: 128 Ki positions of 64 frequencies are 64 MiB, touched as
 * positions are reached.  Farther ones are computed again in every step. */
#define ROPE_TABLE_MAX (128 << 10)

/* --- reserve --- */

static enum status reserve_rope(struct cpu_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    const int64_t context = (int64_t)l->max_blocks_per_seq * l->block_size;
    cb->rope_table_rows = context < ROPE_TABLE_MAX ? (int)context : ROPE_TABLE_MAX;
    const size_t row_size = (size_t)cb->rope.dim * sizeof(float);
    const struct {
        void **out;
        size_t n, item_size;
    } parts[] = {
        {(void **)&cb->inv_freq, (size_t)cb->rope.dim / 2, sizeof(double)},
        {(void **)&cb->rope_table, (size_t)cb->rope_table_rows, row_size},
        {(void **)&cb->rope_known, (size_t)cb->rope_table_rows, 1},
        {(void **)&cb->rope_step, (size_t)l->max_tokens, row_size},
        {(void **)&cb->rope_angles, (size_t)l->max_tokens, sizeof *cb->rope_angles},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const enum status s =
            cpu_memory_alloc(cb, parts[i].out, parts[i].n, parts[i].item_size, "RoPE tables", err);
        if (s != STATUS_OK) return s;
    }
    cb->inv_freq_len = 1;
    cb->rope_factor = rope_inv_freq(&cb->rope, 1, cb->inv_freq);
    return STATUS_OK;
}

enum status cpu_step_reserve(struct cpu_backend *cb, struct error *err)
{
    const size_t T = (size_t)cb->limits.max_tokens, R = (size_t)cb->limits.max_samples;
    const struct {
        void **out;
        size_t n, item_size;
    } parts[] = {
        {(void **)&cb->token_ids, T, sizeof *cb->token_ids},
        {(void **)&cb->items, T, sizeof *cb->items},
        {(void **)&cb->logit_rows, R, sizeof *cb->logit_rows},
        {(void **)&cb->sample_rows, R, sizeof *cb->sample_rows},
        {(void **)&cb->samples, R, sizeof *cb->samples},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const enum status s =
            cpu_memory_alloc(cb, parts[i].out, parts[i].n, parts[i].item_size, "the step", err);
        if (s != STATUS_OK) return s;
    }
    return cb->has_rope ? reserve_rope(cb, err) : STATUS_OK;
}

/* --- angles --- */

/* The angle is a double product, so that far positions keep their precision. */
static void compute_angles(const struct cpu_backend *cb, float *row, int position)
{
    const int half = cb->rope.dim / 2;
    for (int i = 0; i < half; i++) {
        const double angle = position * cb->inv_freq[i];
        row[i] = (float)(cos(angle) * cb->rope_factor);
        row[half + i] = (float)(sin(angle) * cb->rope_factor);
    }
}

static void set_frequencies(struct cpu_backend *cb, int len)
{
    if (len == cb->inv_freq_len) return;
    cb->inv_freq_len = len;
    cb->rope_factor = rope_inv_freq(&cb->rope, len, cb->inv_freq);
}

static void upload_angles(struct cpu_backend *cb)
{
    const size_t dim = (size_t)cb->rope.dim;
    for (int t = 0; t < cb->step.n_tokens; t++) {
        const int position = cb->step.positions[t];
        /* Dynamic scaling has other frequencies for each length beyond the original one. */
        const bool scaled = cb->rope.type == ROPE_DYNAMIC && cb->step.rope_len &&
                            cb->step.rope_len[t] > cb->rope.original_max_position;
        if (!scaled && position < cb->rope_table_rows) {
            float *row = cb->rope_table + (size_t)position * dim;
            if (!cb->rope_known[position]) {
                set_frequencies(cb, 1);
                compute_angles(cb, row, position);
                cb->rope_known[position] = 1;
            }
            cb->rope_angles[t] = row;
        } else {
            float *row = cb->rope_step + (size_t)t * dim;
            set_frequencies(cb, scaled ? cb->step.rope_len[t] : 1);
            compute_angles(cb, row, position);
            cb->rope_angles[t] = row;
        }
    }
}

/* --- bracket --- */

static void upload_ids(struct cpu_backend *cb)
{
    const struct step *s = &cb->step;
    for (int t = 0; t < s->n_tokens; t++) {
        const int32_t src = s->token_src ? s->token_src[t] : -1;
        DCHECK(src < cb->limits.max_samples);
        /* cb->samples still holds what the previous step gave. */
        cb->token_ids[t] = src >= 0 ? cb->samples[src].token : s->token_ids[t];
    }
}

static void upload_samples(struct cpu_backend *cb)
{
    const struct step *s = &cb->step;
    cb->n_logits = 0;
    for (int i = 0; i < s->n_samples; i++) {
        if (i == 0 || s->samples[i].row != s->samples[i - 1].row)
            cb->logit_rows[cb->n_logits++] = s->samples[i].row;
        cb->sample_rows[i] = cb->n_logits - 1;
    }
}

void cpu_step_upload(struct backend *be, const struct step *step)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(step->n_tokens <= cb->limits.max_tokens && step->n_seqs <= cb->limits.max_seqs);
    DCHECK(step->n_samples <= cb->limits.max_samples);
    pool_place_caller(cb->pool);
    cb->step = *step; /* the arrays stay the scheduler's, which leaves them alone */
    upload_ids(cb);
    upload_samples(cb);
    if (cb->has_rope) upload_angles(cb);
    cpu_attention_plan(cb);
}

struct sample_job {
    struct cpu_backend *cb;
    struct tensor logits;
};

static void sample_one(void *ctx, int worker, int i)
{
    const struct sample_job *j = ctx;
    const struct cpu_backend *cb = j->cb;
    const size_t row = (size_t)cb->sample_rows[i];
    cpu_sample_row_by(cb->kernels, (const float *)j->logits.data + row * (size_t)j->logits.ld,
                      j->logits.cols, &cb->step.samples[i],
                      cb->sample_scratch + (size_t)worker * cb->sample_scratch_size,
                      &cb->samples[i]);
}

void cpu_sample(struct backend *be, struct tensor logits)
{
    struct sample_job j = {.cb = cpu_of(be), .logits = logits};
    DCHECK(logits.rows == j.cb->n_logits && logits.cols <= j.cb->limits.vocab_size);
    double work_ns = 0;
    for (int i = 0; i < j.cb->step.n_samples; i++)
        work_ns += cpu_sample_work_ns(logits.cols, &j.cb->step.samples[i]);
    pool_run(j.cb->pool, sample_one, &j, j.cb->step.n_samples, work_ns);
}

enum status cpu_step_download(struct backend *be, struct step_result *out, struct error *err)
{
    const struct cpu_backend *cb = cpu_of(be);
    (void)err;
    out->id = cb->step.id;
    out->n_samples = cb->step.n_samples;
    memcpy(out->samples, cb->samples, (size_t)cb->step.n_samples * sizeof *cb->samples);
    return STATUS_OK;
}
