/* Attention cases: sequences written into shuffled pages chunk by chunk, then attended to. */
#include "tests/ops/run.h"

#include "config/base/check.h"
#include "engine/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A step under construction. */
struct chunk_step {
    struct step step;
    int32_t *ids, *positions, *slots, *q_start, *kv_len, *table;
    int table_ld;
    int capacity;
    float *q, *k, *v; /* [capacity][cols] */
    size_t q_cols, kv_cols;
};

static void *zeros(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    CHECK(p);
    return p;
}

static void chunk_init(struct chunk_step *b, const struct op_case *c)
{
    memset(b, 0, sizeof *b);
    b->capacity = c->T;
    for (int s = 0; s < c->n_seqs; s++) b->capacity += c->len[s];
    const size_t n = (size_t)b->capacity;
    b->q_cols = (size_t)(c->heads * c->head_dim);
    b->kv_cols = (size_t)(c->kv_heads * c->head_dim);
    b->ids = zeros(n, sizeof *b->ids);
    b->positions = zeros(n, sizeof *b->positions);
    b->slots = zeros(n, sizeof *b->slots);
    b->q_start = zeros(CASE_SEQS + 1, sizeof *b->q_start);
    b->kv_len = zeros(CASE_SEQS, sizeof *b->kv_len);
    b->table_ld = pages_ld(c);
    b->table = zeros((size_t)(CASE_SEQS * b->table_ld), sizeof *b->table);
    b->q = zeros(n * b->q_cols, sizeof *b->q);
    b->k = zeros(n * b->kv_cols, sizeof *b->k);
    b->v = zeros(n * b->kv_cols, sizeof *b->v);
}

static void chunk_free(struct chunk_step *b)
{
    void *all[] = {b->ids,   b->positions, b->slots, b->q_start, b->kv_len,
                   b->table, b->q,         b->k,     b->v};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) free(all[i]);
}

static void chunk_begin(struct chunk_step *b)
{
    b->step = (struct step){
        .token_ids = b->ids,
        .positions = b->positions,
        .slots = b->slots,
        .q_start = b->q_start,
        .kv_len = b->kv_len,
        .block_tables = b->table,
        .block_table_ld = b->table_ld,
    };
}

/* Tokens [from, to) of sequence s, whose rows start at `base` in the inputs. */
static void chunk_add(struct chunk_step *b, const struct op_case *c, const struct inputs *in, int s,
                      const int32_t *table, size_t base, int from, int to)
{
    struct step *st = &b->step;
    memcpy(b->table + st->n_seqs * b->table_ld, table + s * b->table_ld,
           (size_t)b->table_ld * sizeof *table);
    for (int i = from; i < to; i++) {
        const size_t t = (size_t)st->n_tokens++, row = base + (size_t)i;
        b->positions[t] = i;
        b->slots[t] =
            table[s * b->table_ld + i / c->block_size] * c->block_size + i % c->block_size;
        memcpy(b->q + t * b->q_cols, in->x + row * b->q_cols, b->q_cols * sizeof(float));
        memcpy(b->k + t * b->kv_cols, in->y + row * b->kv_cols, b->kv_cols * sizeof(float));
        memcpy(b->v + t * b->kv_cols, in->z + row * b->kv_cols, b->kv_cols * sizeof(float));
    }
    b->kv_len[st->n_seqs++] = to;
    b->q_start[st->n_seqs] = st->n_tokens;
}

/* Writes the step's keys and values; with `out` also attends and copies the rows there. */
static bool chunk_execute(struct chunk_step *b, const struct op_case *c, struct backend *be,
                          bool composed, struct guarded *out)
{
    struct guarded q, k, v, wide;
    const int T = b->step.n_tokens;
    if (!guard_alloc(be, DT_F32, T, (int)b->kv_cols, &k) ||
        !guard_alloc(be, DT_F32, T, (int)b->kv_cols, &v))
        return false;
    guard_fill(&k, b->k, b->kv_cols);
    guard_fill(&v, b->v, b->kv_cols);
    be->ops->step_upload(be, &b->step);
    /* Layer 1 of 2: a wrong layer offset would show. */
    struct kv_layer *kv = be->ops->kv_layer(be, 1);
    be->ops->kv_write(be, kv, k.view, v.view);
    if (!out) run_settle(be);
    if (!out) return true;
    if (!guard_alloc(be, DT_F32, T, (int)b->q_cols, &q) ||
        !guard_alloc(be, DT_F32, T, (int)b->q_cols, &wide) ||
        !guard_alloc(be, c->quant ? DT_I8 : DT_F32, T, (int)b->q_cols, out))
        return false;
    guard_fill(&q, b->q, b->q_cols);
    const struct attn_shape shape = {
        .n_heads = c->heads,
        .n_kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .scale = case_scale(c),
        .window = c->window,
    };
    if (composed) {
        be->ops->attention(be, wide.view, q.view, kv, shape);
        be->ops->quantize(be, out->view, wide.view);
    } else {
        op_attention(be, out->view, q.view, kv, shape);
    }
    run_settle(be);
    return guard_intact(out, "attention") && guard_intact(&q, "attention's queries");
}

/* Something in every slot of the pool that would show: NaN, or for int8 a scale of infinity. */
static bool poison_pool(struct chunk_step *b, const struct op_case *c, struct backend *be)
{
    const int n_slots = pages_needed(c) * c->block_size;
    for (size_t i = 0; i < (size_t)b->capacity * b->kv_cols; i++)
        b->k[i] = b->v[i] = c->dtype == DT_I8 ? INFINITY : NAN;
    for (int slot = 0; slot < n_slots;) {
        chunk_begin(b);
        while (slot < n_slots && b->step.n_tokens < b->capacity)
            b->slots[b->step.n_tokens++] = slot++;
        if (!chunk_execute(b, c, be, false, NULL)) return false;
    }
    return true;
}

/* Where the wanted rows of sequence s start in the output of the part. */
static size_t output_row(const struct op_case *c, const struct case_part *part, int s)
{
    size_t row = 0;
    for (int i = 0; i < s && part->seq < 0; i++)
        row += (size_t)(c->len[i] > c->skip ? c->len[i] - c->skip : 0);
    return row;
}

static void keep_rows(const struct op_case *c, const struct case_part *part,
                      const struct chunk_step *b, const int *seqs, const struct guarded *g,
                      float *out)
{
    for (int i = 0; i < b->step.n_seqs; i++) {
        for (int t = b->q_start[i]; t < b->q_start[i + 1]; t++) {
            const size_t row = output_row(c, part, seqs[i]) + (size_t)(b->positions[t] - c->skip);
            struct tensor one = g->view;
            one.data = (char *)one.data + (size_t)t * (size_t)one.ld * dtype_size(one.dtype);
            one.scale = one.scale ? one.scale + t : NULL;
            one.rows = 1;
            const size_t cols = (size_t)case_cols(c);
            case_copy_rows(&one, out + row * cols, cols);
        }
    }
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* One step of all sequences: history up to `skip` first, then chunks. */
static bool advance(const struct op_case *c, const struct inputs *in, const struct case_part *part,
                    struct backend *be, struct chunk_step *b, const int32_t *table, int *done,
                    bool history, float *out)
{
    int seqs[CASE_SEQS];
    size_t base = 0;
    chunk_begin(b);
    for (int s = 0; s < c->n_seqs; base += (size_t)c->len[s++]) {
        if (part->seq >= 0 && part->seq != s) continue;
        const int end = history ? min_int(c->skip, c->len[s]) : c->len[s];
        if (done[s] >= end) continue;
        const int to = history || part->chunk == 0 ? end : min_int(end, done[s] + part->chunk);
        seqs[b->step.n_seqs] = s;
        chunk_add(b, c, in, s, table, base, done[s], to);
        done[s] = to;
    }
    if (b->step.n_tokens == 0) return true;
    struct guarded g;
    if (!chunk_execute(b, c, be, part->composed, history ? NULL : &g)) return false;
    if (!history) keep_rows(c, part, b, seqs, &g, out);
    return true;
}

bool case_run_attention(const struct op_case *c, const struct inputs *in,
                        const struct case_part *part, struct backend *be, float *out)
{
    struct chunk_step b;
    int done[CASE_SEQS] = {0};
    chunk_init(&b, c);
    int32_t *table = zeros((size_t)(CASE_SEQS * b.table_ld), sizeof *table);
    pages_shuffle(c, table, b.table_ld);
    bool ok = poison_pool(&b, c, be);
    if (ok && c->skip) ok = advance(c, in, part, be, &b, table, done, true, out);
    do {
        if (ok) ok = advance(c, in, part, be, &b, table, done, false, out);
    } while (ok && b.step.n_tokens > 0);
    free(table);
    chunk_free(&b);
    return ok;
}
