/* What changes from step to step: ids, angles, logits rows, samples. */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/sample.h"

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

/* Activations are held for a block of rows, not for the largest step: what a thread gets of it keeps
 * its operators long beside their start, and the rows enough to pay for reading the weights again. */
#define FORWARD_BYTES (12 << 20) /* for each thread */
#define FORWARD_ROWS  96         /* at least */

static int forward_rows(const struct cpu_backend *cb)
{
    const struct backend_limits *l = &cb->limits;
    /* Widest row (gate|up, or q|k|v), its half quantised, q|k|v, and four rows of the model's width. */
    const double heads = (double)(l->n_heads + 2 * l->n_kv_heads) * l->head_dim;
    const double width = (double)l->n_heads * l->head_dim;
    const double row = 4.0 * (l->max_cols + heads + 4.0 * width) + 0.5 * l->max_cols;
    const double rows = (double)FORWARD_BYTES * pool_n_threads(cb->pool) / row;
    const int n = rows < FORWARD_ROWS    ? FORWARD_ROWS
                  : rows < l->max_tokens ? (int)rows
                                         : l->max_tokens;
    return n < l->max_tokens ? n - n % MAX_TILE : l->max_tokens;
}

enum status cpu_step_reserve(struct cpu_backend *cb, struct error *err)
{
    const size_t T = (size_t)cb->limits.max_tokens, R = (size_t)cb->limits.max_samples;
    const size_t S = (size_t)cb->limits.max_seqs;
    const struct {
        void **out;
        size_t n, item_size;
    } parts[] = {
        {(void **)&cb->token_ids, T, sizeof *cb->token_ids},
        {(void **)&cb->items, T, sizeof *cb->items},
        {(void **)&cb->logit_rows, R, sizeof *cb->logit_rows},
        {(void **)&cb->sample_rows, R, sizeof *cb->sample_rows},
        {(void **)&cb->samples, R, sizeof *cb->samples},
        {(void **)&cb->q_start, S + 1, sizeof *cb->q_start},
        {(void **)&cb->kv_len, S, sizeof *cb->kv_len},
    };
    cb->base.forward_rows = forward_rows(cb);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const enum status s =
            cpu_memory_alloc(cb, parts[i].out, parts[i].n, parts[i].item_size, "the step", err);
        if (s != STATUS_OK) return s;
    }
    return cb->has_rope ? reserve_rope(cb, err) : STATUS_OK;
}

/* --- angles --- */

static void set_frequencies(struct cpu_backend *cb, int len)
{
    if (len == cb->inv_freq_len) return;
    cb->inv_freq_len = len;
    cb->rope_factor = rope_inv_freq(&cb->rope, len, cb->inv_freq);
}

static void upload_angles(struct cpu_backend *cb)
{
    const size_t dim = (size_t)cb->rope.dim;
    const struct step *s = &cb->whole;
    for (int t = 0; t < s->n_tokens; t++) {
        const int position = s->positions[t];
        /* Dynamic scaling has other frequencies for each length beyond the original one. */
        const bool scaled = cb->rope.type == ROPE_DYNAMIC && s->rope_len &&
                            s->rope_len[t] > cb->rope.original_max_position;
        if (!scaled && position < cb->rope_table_rows) {
            float *row = cb->rope_table + (size_t)position * dim;
            if (!cb->rope_known[position]) {
                set_frequencies(cb, 1);
                rope_angles(cb->inv_freq, cb->rope.dim, cb->rope_factor, position, row);
                cb->rope_known[position] = 1;
            }
            cb->rope_angles[t] = row;
        } else {
            float *row = cb->rope_step + (size_t)t * dim;
            set_frequencies(cb, scaled ? s->rope_len[t] : 1);
            rope_angles(cb->inv_freq, cb->rope.dim, cb->rope_factor, position, row);
            cb->rope_angles[t] = row;
        }
    }
}

/* --- bracket --- */

static void upload_ids(struct cpu_backend *cb)
{
    const struct step *s = &cb->whole;
    for (int t = 0; t < s->n_tokens; t++) {
        const int32_t src = s->token_src ? s->token_src[t] : -1;
        DCHECK(src < cb->limits.max_samples);
        /* cb->samples still holds what the previous step gave. */
        cb->token_ids[t] = src >= 0 ? cb->samples[src].token : s->token_ids[t];
    }
}

void cpu_step_upload(struct backend *be, const struct step *step)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(step->n_tokens <= cb->limits.max_tokens && step->n_seqs <= cb->limits.max_seqs);
    DCHECK(step->n_samples <= cb->limits.max_samples);
    pool_place_caller(cb->pool);
    cb->whole = *step; /* the arrays stay the scheduler's, which leaves them alone */
    upload_ids(cb);
    if (cb->has_rope) upload_angles(cb);
    cpu_step_select(cb, 0, step->n_tokens);
}

/* --- blocks of rows --- */

/* The sequences that have rows in the block, each as long as it is when the block's rows are written. */
static void select_seqs(struct cpu_backend *cb, int row0, int n_rows)
{
    const struct step *w = &cb->whole;
    struct step *s = &cb->step;
    int first = 0, end = w->n_seqs;
    while (first < end && w->q_start[first + 1] <= row0) first++;
    while (end > first && w->q_start[end - 1] >= row0 + n_rows) end--;
    for (int i = first; i < end; i++) {
        const int begin = w->q_start[i] - row0, stop = w->q_start[i + 1] - row0;
        cb->q_start[i - first] = begin > 0 ? begin : 0;
        cb->kv_len[i - first] = w->kv_len[i] - (stop > n_rows ? stop - n_rows : 0);
    }
    cb->q_start[end - first] = n_rows;
    s->n_seqs = end - first;
    s->q_start = cb->q_start;
    s->kv_len = cb->kv_len;
    s->block_tables = w->block_tables + (size_t)first * (size_t)w->block_table_ld;
}

static void select_samples(struct cpu_backend *cb, int row0, int n_rows)
{
    const struct step *w = &cb->whole;
    int first = 0, n = 0;
    while (first < w->n_samples && w->samples[first].row < row0) first++;
    cb->n_logits = 0;
    for (; first + n < w->n_samples && w->samples[first + n].row < row0 + n_rows; n++) {
        const int row = w->samples[first + n].row - row0;
        if (cb->n_logits == 0 || cb->logit_rows[cb->n_logits - 1] != row)
            cb->logit_rows[cb->n_logits++] = row;
        cb->sample_rows[n] = cb->n_logits - 1;
    }
    cb->step.samples = w->samples + first;
    cb->step.n_samples = n;
    cb->drawn = cb->samples + first;
}

void cpu_step_select(struct cpu_backend *cb, int row0, int n_rows)
{
    const struct step *w = &cb->whole;
    DCHECK(row0 >= 0 && n_rows >= 0 && n_rows <= w->n_tokens - row0);
    cb->step = *w;
    cb->step.n_tokens = n_rows;
    cb->step.token_ids = cb->token_ids + row0;
    cb->step.token_src = NULL;
    cb->step.positions = w->positions + row0;
    cb->step.slots = w->slots + row0;
    cb->step.rope_len = NULL; /* the angles are there */
    cb->angles = cb->rope_angles + row0;
    if (row0 > 0) cb->step.n_copies = 0;
    if (n_rows < w->n_tokens) select_seqs(cb, row0, n_rows);
    select_samples(cb, row0, n_rows);
    cpu_attention_plan(cb);
}

/* Blocks in the order of their rows: a sequence's later rows see what its earlier ones wrote to the
 * cache, in every layer.  No sequence reads what another one writes in the same step. */
enum status cpu_step_run(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                         void *model, struct error *err)
{
    (void)err;
    struct cpu_backend *cb = cpu_of(be);
    const int T = cb->whole.n_tokens, n_blocks = (T + be->forward_rows - 1) / be->forward_rows;
    DCHECK(dims->n_tokens == T);
    if (n_blocks <= 1) {
        forward(be, dims, model);
        return STATUS_OK;
    }
    /* As even as whole tiles of rows allow. */
    const int rows = ((T + n_blocks - 1) / n_blocks + MAX_TILE - 1) / MAX_TILE * MAX_TILE;
    for (int row0 = 0; row0 < T; row0 += rows) {
        cpu_step_select(cb, row0, T - row0 < rows ? T - row0 : rows);
        const struct step_dims block = {.n_tokens = cb->step.n_tokens, .n_logits = cb->n_logits};
        forward(be, &block, model);
    }
    return STATUS_OK;
}

/* --- samples --- */

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
                      cb->sample_scratch + (size_t)worker * cb->sample_scratch_size, &cb->drawn[i]);
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
    out->id = cb->whole.id;
    out->n_samples = cb->whole.n_samples;
    memcpy(out->samples, cb->samples, (size_t)cb->whole.n_samples * sizeof *cb->samples);
    return STATUS_OK;
}
