#include "cuda/step.h"

#include "config/base/check.h"

#include <stdlib.h>
#include <string.h>

/* Arrays of one entry a token row, each max_tokens long, behind one another. */
enum token_array { TOKEN_IDS, TOKEN_SRC, TOKEN_POSITIONS, TOKEN_SLOTS, TOKEN_ANGLE_AT, N_TOKEN };

/* One staging area: flight.h says until when. */
struct staging {
    int32_t *tokens; /* [N_TOKEN][max_tokens] */
    int32_t *small;  /* the arrays of struct small, behind one another */
    int32_t *tables; /* [max_seqs][table_ld] */
    float *angles;   /* [max_tokens][E] */
};

struct upload_state {
    struct staging staging[CUDA_FLIGHTS];
    int32_t *tokens, *small; /* on the device */
    size_t small_len;
    double *inv_freq; /* [E / 2] */
    int inv_freq_len; /* the sequence length they are for (dynamic scaling) */
    double factor;
};

#define BUCKET_STEP 8

int cuda_step_bucket(int n)
{
    if (n > CUDA_BUCKET_MAX) return n;
    if (n <= 2) return n;
    if (n <= 4) return 4;
    return (n + BUCKET_STEP - 1) / BUCKET_STEP * BUCKET_STEP;
}

/* --- angles --- */

static void set_frequencies(struct cuda_backend *cb, int len)
{
    struct upload_state *u = cb->upload;
    if (len == u->inv_freq_len) return;
    u->inv_freq_len = len;
    u->factor = rope_inv_freq(&cb->rope, len, u->inv_freq);
}

/* Positions whose angles the device keeps: 128 Ki positions of 64 frequencies are 64 MiB. */
#define ROPE_TABLE_MAX (128 << 10)

static enum status reserve_angles(struct cuda_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    struct upload_state *u = cb->upload;
    const int64_t context = (int64_t)l->max_blocks_per_seq * l->block_size;
    const size_t row_size = (size_t)cb->rope.dim * sizeof(float);
    cb->rope_rows = context < ROPE_TABLE_MAX ? (int)context : ROPE_TABLE_MAX;
    const size_t size = (size_t)cb->rope_rows * row_size;
    u->inv_freq = calloc((size_t)cb->rope.dim, sizeof *u->inv_freq);
    const bool counts = device_counts(cb->device);
    float *host = counts ? NULL : malloc(size);
    enum status s = STATUS_OK;
    if (!u->inv_freq || (!host && !counts))
        s = error_set(err, STATUS_NO_MEMORY, "out of memory for angles");
    if (s == STATUS_OK)
        s = device_alloc(cb->device, (void **)&cb->rope_table, size, "rotary angles", err);
    if (s == STATUS_OK)
        s = device_alloc(cb->device, (void **)&cb->at.step_angles, (size_t)l->max_tokens * row_size,
                         "rotary angles", err);
    for (int i = 0; i < CUDA_FLIGHTS && s == STATUS_OK; i++)
        s = device_alloc_pinned(cb->device, (void **)&u->staging[i].angles,
                                (size_t)l->max_tokens * row_size, "rotary angles", err);
    if (s == STATUS_OK && host) {
        set_frequencies(cb, 1);
        for (int p = 0; p < cb->rope_rows; p++)
            rope_angles(u->inv_freq, cb->rope.dim, u->factor, p,
                        host + (size_t)p * (size_t)cb->rope.dim);
        device_copy(cb->device, cb->rope_table, host, size);
        s = device_wait(cb->device, err);
    }
    free(host);
    return s;
}

/* Where row t's angles are; returns the step rows used so far. */
static int place_angles(struct cuda_backend *cb, struct staging *st, int t, int n_far)
{
    const struct step *s = &cb->step;
    int32_t *at = st->tokens + (size_t)TOKEN_ANGLE_AT * (size_t)cb->limits.max_tokens + t;
    const int position = s->positions[t];
    /* Dynamic scaling has other frequencies for each length beyond the original one. */
    const bool scaled = cb->rope.type == ROPE_DYNAMIC && s->rope_len &&
                        s->rope_len[t] > cb->rope.original_max_position;
    *at = position;
    if (!scaled && position < cb->rope_rows) return n_far;
    set_frequencies(cb, scaled ? s->rope_len[t] : 1);
    rope_angles(cb->upload->inv_freq, cb->rope.dim, cb->upload->factor, position,
                st->angles + (size_t)n_far * (size_t)cb->rope.dim);
    *at = -1 - n_far;
    return n_far + 1;
}

/* --- reserve --- */

static enum status reserve_staging(struct cuda_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    struct upload_state *u = cb->upload;
    const size_t T = (size_t)l->max_tokens, tables = (size_t)l->max_seqs * (size_t)cb->at.table_ld;
    enum status s = STATUS_OK;
    for (int i = 0; i < CUDA_FLIGHTS; i++) {
        struct staging *st = &u->staging[i];
        const struct {
            int32_t **out;
            size_t n;
        } parts[] = {{&st->tokens, N_TOKEN * T}, {&st->small, u->small_len}, {&st->tables, tables}};
        for (size_t j = 0; j < ARRAY_LEN(parts) && s == STATUS_OK; j++)
            s = device_alloc_pinned(cb->device, (void **)parts[j].out, parts[j].n * sizeof(int32_t),
                                    "a step's arrays", err);
    }
    return s;
}

enum status cuda_step_reserve(struct cuda_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    const size_t T = (size_t)l->max_tokens, S = (size_t)l->max_seqs, R = (size_t)l->max_samples;
    struct step_arrays *at = &cb->at;
    struct upload_state *u = calloc(1, sizeof *u);
    if (!u) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    cb->upload = u;
    at->table_ld = l->max_blocks_per_seq;
    /* logit_rows, q_start, kv_len, n_copies, copies: one copy for all. */
    u->small_len = R + (S + 1) + S + 1 + 2 * S;
    const struct {
        int32_t **out;
        size_t n;
    } parts[] = {{&u->tokens, N_TOKEN * T},
                 {&u->small, u->small_len},
                 {&at->tables, S * (size_t)at->table_ld},
                 {&at->drawn, R}};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const enum status s = device_alloc(cb->device, (void **)parts[i].out,
                                           parts[i].n * sizeof(int32_t), "a step's arrays", err);
        if (s != STATUS_OK) return s;
    }
    at->token_ids = u->tokens + TOKEN_IDS * T;
    at->token_src = u->tokens + TOKEN_SRC * T;
    at->positions = u->tokens + TOKEN_POSITIONS * T;
    at->slots = u->tokens + TOKEN_SLOTS * T;
    at->angle_at = u->tokens + TOKEN_ANGLE_AT * T;
    at->logit_rows = u->small;
    at->q_start = at->logit_rows + R;
    at->kv_len = at->q_start + S + 1;
    at->n_copies = at->kv_len + S;
    at->copies = at->n_copies + 1;
    const enum status s = reserve_staging(cb, err);
    return s == STATUS_OK && cb->has_rope ? reserve_angles(cb, err) : s;
}

void cuda_step_release(struct cuda_backend *cb)
{
    if (!cb->upload) return;
    free(cb->upload->inv_freq);
    free(cb->upload);
}

/* --- upload --- */

static void stage_tokens(struct cuda_backend *cb, struct staging *st, int rows)
{
    const struct step *s = &cb->step;
    const size_t T = (size_t)cb->limits.max_tokens, n = (size_t)s->n_tokens;
    int32_t *ids = st->tokens + TOKEN_IDS * T, *src = st->tokens + TOKEN_SRC * T;
    if (n > 0) {
        memcpy(ids, s->token_ids, n * sizeof *ids);
        memcpy(st->tokens + TOKEN_POSITIONS * T, s->positions, n * sizeof *ids);
        memcpy(st->tokens + TOKEN_SLOTS * T, s->slots, n * sizeof *ids);
    }
    for (size_t t = 0; t < n; t++) {
        src[t] = s->token_src ? s->token_src[t] : -1;
        DCHECK(src[t] < cb->limits.max_samples);
        if (src[t] >= 0) ids[t] = -1;
    }
    /* Rows that only fill a bucket: token 0 at position 0, whose keys and values go nowhere. */
    for (int a = 0; a < N_TOKEN; a++)
        memset(st->tokens + (size_t)a * T + n, a == TOKEN_SLOTS ? -1 : 0,
               ((size_t)rows - n) * sizeof *ids);
    int n_far = 0;
    if (cb->has_rope)
        for (int t = 0; t < s->n_tokens; t++) n_far = place_angles(cb, st, t, n_far);
    const size_t pitch = T * sizeof(int32_t);
    device_copy_rows(cb->device, cb->upload->tokens, pitch, st->tokens, pitch,
                     (size_t)rows * sizeof(int32_t), N_TOKEN);
    device_copy(cb->device, cb->at.step_angles, st->angles,
                (size_t)n_far * (size_t)(cb->has_rope ? cb->rope.dim : 0) * sizeof(float));
}

static void stage_small(struct cuda_backend *cb, struct staging *st)
{
    const struct step *s = &cb->step;
    const struct upload_state *u = cb->upload;
    const size_t R = (size_t)cb->limits.max_samples, S = (size_t)cb->limits.max_seqs;
    int32_t *logit_rows = st->small, *q_start = logit_rows + R, *kv_len = q_start + S + 1;
    int32_t *n_copies = kv_len + S, *copies = n_copies + 1;
    memset(logit_rows, 0, R * sizeof *logit_rows);
    int n = 0;
    for (int i = 0; i < s->n_samples; i++)
        if (i == 0 || s->samples[i].row != s->samples[i - 1].row)
            logit_rows[n++] = s->samples[i].row;
    const size_t n_seqs = (size_t)s->n_seqs;
    if (n_seqs > 0) {
        memcpy(q_start, s->q_start, (n_seqs + 1) * sizeof *q_start);
        memcpy(kv_len, s->kv_len, n_seqs * sizeof *kv_len);
    }
    CHECK(s->n_copies <= cb->limits.max_seqs);
    *n_copies = s->n_copies;
    for (int i = 0; i < s->n_copies; i++) {
        copies[2 * i] = s->copies[i].src;
        copies[2 * i + 1] = s->copies[i].dst;
    }
    device_copy(cb->device, u->small, st->small, u->small_len * sizeof(int32_t));
}

/* The columns of the tables that some sequence needs. */
static void stage_tables(struct cuda_backend *cb, struct staging *st)
{
    const struct step *s = &cb->step;
    int used = 0;
    for (int i = 0; i < s->n_seqs; i++) {
        const int n = (s->kv_len[i] + cb->limits.block_size - 1) / cb->limits.block_size;
        used = n > used ? n : used;
    }
    DCHECK(used <= cb->at.table_ld && used <= s->block_table_ld);
    const size_t pitch = (size_t)cb->at.table_ld * sizeof(int32_t);
    for (int i = 0; i < s->n_seqs; i++)
        memcpy(st->tables + (size_t)i * (size_t)cb->at.table_ld,
               s->block_tables + (size_t)i * (size_t)s->block_table_ld,
               (size_t)used * sizeof(int32_t));
    device_copy_rows(cb->device, cb->at.tables, pitch, st->tables, pitch,
                     (size_t)used * sizeof(int32_t), (size_t)s->n_seqs);
}

static void stage(struct cuda_backend *cb, const struct step *step, int rows)
{
    cb->step = *step;
    struct staging *st = &cb->upload->staging[cb->turn];
    stage_tokens(cb, st, rows);
    stage_small(cb, st);
    stage_tables(cb, st);
}

void cuda_step_upload(struct backend *be, const struct step *step)
{
    struct cuda_backend *cb = cuda_of(be);
    DCHECK(step->n_tokens <= cb->limits.max_tokens && step->n_seqs <= cb->limits.max_seqs);
    DCHECK(step->n_samples <= cb->limits.max_samples);
    const int rows = cuda_step_bucket(step->n_tokens);
    stage(cb, step, rows < cb->limits.max_tokens ? rows : cb->limits.max_tokens);
}

void cuda_step_upload_padding(struct cuda_backend *cb, int rows)
{
    const struct step none = {0};
    stage(cb, &none, rows);
}
