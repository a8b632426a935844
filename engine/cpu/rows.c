/* Operators that work row by row: norms, additions, quantisation, rotation, cache writes. */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"

#include <string.h>

/* Rough time of one element, for deciding whether to use more than one thread. */
#define NS_PER_ELEMENT 0.2

/* --- splitting rows over threads --- */

struct row_job {
    struct cpu_backend *cb;
    void (*fn)(const struct row_job *j, int worker, int row);
    struct tensor out, residual, x;
    const float *gain;
    float eps;
    int rows, rows_per_chunk;
    bool add;
};

static void row_chunk(void *ctx, int worker, int chunk)
{
    const struct row_job *j = ctx;
    const int r0 = chunk * j->rows_per_chunk;
    const int r1 = r0 + j->rows_per_chunk < j->rows ? r0 + j->rows_per_chunk : j->rows;
    for (int r = r0; r < r1; r++) j->fn(j, worker, r);
}

static void run_rows(struct row_job *j, int rows, double elements)
{
    const double work_ns = elements * NS_PER_ELEMENT;
    const int width = pool_width(j->cb->pool, work_ns);
    const int n_chunks = width == 1 ? 1 : 4 * width;
    j->rows = rows;
    j->rows_per_chunk = (rows + n_chunks - 1) / n_chunks;
    if (rows == 0) return;
    pool_run(j->cb->pool, row_chunk, j, (rows + j->rows_per_chunk - 1) / j->rows_per_chunk,
             work_ns);
}

static inline float *f32_row(struct tensor t, int row)
{
    return (float *)t.data + (size_t)row * (size_t)t.ld;
}

static inline int8_t *i8_row(struct tensor t, int row)
{
    return (int8_t *)t.data + (size_t)row * (size_t)t.ld;
}

static inline float *worker_row(const struct row_job *j, int worker, int cols)
{
    DCHECK((size_t)cols <= j->cb->row_scratch_len);
    (void)cols;
    return j->cb->row_scratch + (size_t)worker * j->cb->row_scratch_len;
}

/* --- norms --- */

static void norm_row(const struct row_job *j, int worker, int r)
{
    const struct cpu_kernels *k = j->cb->kernels;
    const int n = j->out.cols;
    const float *x = f32_row(j->x, r);
    if (j->add) {
        k->add(f32_row(j->residual, r), x, n);
        x = f32_row(j->residual, r);
    }
    if (j->out.dtype == DT_I8) {
        float *normed = worker_row(j, worker, n);
        k->rmsnorm(normed, x, j->gain, n, j->eps);
        j->out.scale[r] = k->quantize(i8_row(j->out, r), normed, n);
    } else {
        k->rmsnorm(f32_row(j->out, r), x, j->gain, n, j->eps);
    }
}

void cpu_rmsnorm(struct backend *be, struct tensor out, struct tensor x, const struct weight *gain,
                 float eps)
{
    struct row_job j = {.cb = cpu_of(be), .fn = norm_row, .out = out, .x = x, .eps = eps};
    DCHECK(gain->kind == WEIGHT_VECTOR && gain->k == x.cols && out.rows == x.rows);
    j.gain = gain->data;
    run_rows(&j, x.rows, (double)x.rows * x.cols);
}

void cpu_add_rmsnorm(struct backend *be, struct tensor out, struct tensor residual, struct tensor x,
                     const struct weight *gain, float eps)
{
    struct row_job j = {.cb = cpu_of(be),
                        .fn = norm_row,
                        .out = out,
                        .residual = residual,
                        .x = x,
                        .gain = gain->data,
                        .eps = eps,
                        .add = true};
    DCHECK(gain->kind == WEIGHT_VECTOR && gain->k == x.cols && out.rows == x.rows);
    run_rows(&j, x.rows, (double)x.rows * x.cols * 2);
}

static void head_norm_row(const struct row_job *j, int worker, int r)
{
    (void)worker;
    const int head_dim = j->out.cols;
    float *row = f32_row(j->x, r);
    for (int c = 0; c < j->x.cols; c += head_dim)
        j->cb->kernels->rmsnorm(row + c, row + c, j->gain, head_dim, j->eps);
}

void cpu_head_norm(struct backend *be, struct tensor x, int n_heads, const struct weight *gain,
                   float eps)
{
    struct row_job j = {
        .cb = cpu_of(be), .fn = head_norm_row, .x = x, .gain = gain->data, .eps = eps};
    DCHECK(gain->kind == WEIGHT_VECTOR && gain->k * n_heads == x.cols);
    (void)n_heads;
    j.out.cols = gain->k;
    run_rows(&j, x.rows, (double)x.rows * x.cols);
}

/* --- elementwise --- */

static void add_row(const struct row_job *j, int worker, int r)
{
    (void)worker;
    j->cb->kernels->add(f32_row(j->out, r), f32_row(j->x, r), j->x.cols);
}

void cpu_add(struct backend *be, struct tensor acc, struct tensor x)
{
    struct row_job j = {.cb = cpu_of(be), .fn = add_row, .out = acc, .x = x};
    DCHECK(acc.rows == x.rows && acc.cols == x.cols);
    run_rows(&j, x.rows, (double)x.rows * x.cols);
}

static void quantize_row(const struct row_job *j, int worker, int r)
{
    (void)worker;
    j->out.scale[r] = j->cb->kernels->quantize(i8_row(j->out, r), f32_row(j->x, r), j->x.cols);
}

void cpu_quantize(struct backend *be, struct tensor out, struct tensor x)
{
    struct row_job j = {.cb = cpu_of(be), .fn = quantize_row, .out = out, .x = x};
    DCHECK(out.dtype == DT_I8 && out.rows == x.rows && out.cols == x.cols);
    run_rows(&j, x.rows, (double)x.rows * x.cols);
}

static void silu_row(const struct row_job *j, int worker, int r)
{
    const struct cpu_kernels *k = j->cb->kernels;
    const int n = j->out.cols;
    const float *gate = f32_row(j->x, r);
    if (j->out.dtype == DT_I8) {
        float *act = worker_row(j, worker, n);
        k->silu_mul(act, gate, gate + n, n);
        j->out.scale[r] = k->quantize(i8_row(j->out, r), act, n);
    } else {
        k->silu_mul(f32_row(j->out, r), gate, gate + n, n);
    }
}

void cpu_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up)
{
    struct row_job j = {.cb = cpu_of(be), .fn = silu_row, .out = out, .x = gate_up};
    DCHECK(out.rows == gate_up.rows && gate_up.cols == 2 * out.cols);
    run_rows(&j, out.rows, (double)out.rows * out.cols * 3);
}

/* --- lookups --- */

struct embed_job {
    struct row_job rows;
    const struct weight *table;
};

static void embed_row(const struct row_job *j, int worker, int r)
{
    (void)worker;
    const struct weight *w = ((const struct embed_job *)j)->table;
    const int32_t id = j->cb->step.token_ids[r];
    DCHECK(id >= 0 && id < w->n);
    const size_t at = (size_t)id * (size_t)w->k;
    if (w->dtype == DT_BF16)
        j->cb->kernels->widen_bf16(f32_row(j->out, r), (const uint16_t *)w->data + at, w->k);
    else
        memcpy(f32_row(j->out, r), (const float *)w->data + at, (size_t)w->k * sizeof(float));
}

void cpu_embed(struct backend *be, struct tensor out, const struct weight *table)
{
    struct embed_job j = {.rows = {.cb = cpu_of(be), .fn = embed_row, .out = out}, .table = table};
    DCHECK(table->kind == WEIGHT_EMBED && out.cols == table->k);
    DCHECK(out.rows == cpu_of(be)->step.n_tokens);
    run_rows(&j.rows, out.rows, (double)out.rows * out.cols);
}

static void gather_row(const struct row_job *j, int worker, int r)
{
    (void)worker;
    memcpy(f32_row(j->out, r), f32_row(j->x, j->cb->logit_rows[r]),
           (size_t)j->x.cols * sizeof(float));
}

void cpu_gather_rows(struct backend *be, struct tensor out, struct tensor x)
{
    struct row_job j = {.cb = cpu_of(be), .fn = gather_row, .out = out, .x = x};
    DCHECK(out.rows == cpu_of(be)->n_logits && out.cols == x.cols);
    run_rows(&j, out.rows, (double)out.rows * out.cols);
}

void cpu_allreduce(struct backend *be, struct tensor x)
{
    (void)be; /* one rank holds the whole sum */
    (void)x;
}

/* --- rotation --- */

struct rope_job {
    struct row_job rows; /* out: k, x: q */
    int head_dim;
};

static void rotate_heads(const struct cpu_backend *cb, float *x, int cols, int head_dim, int row)
{
    const float *angles = cb->angles[row];
    cb->kernels->rope(x, angles, angles + head_dim / 2, head_dim / 2, cols / head_dim);
}

static void rope_row(const struct row_job *j, int worker, int r)
{
    (void)worker;
    const int head_dim = ((const struct rope_job *)j)->head_dim;
    rotate_heads(j->cb, f32_row(j->x, r), j->x.cols, head_dim, r);
    rotate_heads(j->cb, f32_row(j->out, r), j->out.cols, head_dim, r);
}

void cpu_rope(struct backend *be, struct tensor q, struct tensor k, struct attn_shape s)
{
    struct rope_job j = {.rows = {.cb = cpu_of(be), .fn = rope_row, .out = k, .x = q},
                         .head_dim = s.head_dim};
    DCHECK(cpu_of(be)->has_rope && cpu_of(be)->limits.head_dim == s.head_dim);
    DCHECK(q.rows == cpu_of(be)->step.n_tokens && k.rows == q.rows);
    run_rows(&j.rows, q.rows, (double)q.rows * (q.cols + k.cols));
}

/* --- the KV cache --- */

struct kv_job {
    struct cpu_backend *cb;
    struct kv_layer *kv;
    struct tensor k, v;
};

/* One key or value of E elements as the cache holds it, zeros behind it up to a whole group. */
union kv_row {
    float f32[LIMIT_HEAD_DIM];
    uint32_t words[LIMIT_HEAD_DIM];
    uint16_t bf16[LIMIT_HEAD_DIM + 4];
    uint8_t i8[LIMIT_HEAD_DIM + 4];
};

static void kv_encode(const struct cpu_backend *cb, const float *x, uint8_t flip, float *scale,
                      union kv_row *out)
{
    const int E = cb->limits.head_dim;
    switch (cb->kv_format) {
    case KV_BF16:
        for (int e = 0; e < E; e++) out->bf16[e] = f32_to_bf16(x[e]);
        memset(out->bf16 + E, 0, 4 * sizeof *out->bf16);
        break;
    case KV_I8:
        *scale = cb->kernels->quantize((int8_t *)out->i8, x, E);
        memset(out->i8 + E, 0, 4);
        for (int e = 0; flip && e < E; e++) out->i8[e] ^= flip;
        break;
    default:
        memcpy(out->f32, x, (size_t)E * sizeof *x);
    }
}

/* n items of `size` bytes, `step` items apart. */
static void kv_scatter(void *out, size_t at, size_t step, const union kv_row *row, int n, int size)
{
    if (size == 4)
        for (int i = 0; i < n; i++, at += step) ((uint32_t *)out)[at] = row->words[i];
    if (size == 2)
        for (int i = 0; i < n; i++, at += step) ((uint16_t *)out)[at] = row->bf16[i];
    if (size == 1)
        for (int i = 0; i < n; i++, at += step) ((uint8_t *)out)[at] = row->i8[i];
}

/* Row t's key and value of head g. */
static void kv_write_token(const struct kv_job *j, int g, int t)
{
    const struct cpu_backend *cb = j->cb;
    const size_t bs = (size_t)cb->limits.block_size, E = (size_t)cb->limits.head_dim;
    const size_t v_group = (size_t)cb->v_group, v_pitch = (size_t)cb->v_pitch;
    const int steps = cb->k_pitch / cb->k_group, item = (int)cb->kv_item_size;
    const size_t k_head = (size_t)g * (size_t)steps * bs, v_head = (size_t)g * bs * v_pitch;
    const size_t slot = (size_t)cb->step.slots[t], block = slot / bs, offset = slot % bs;
    DCHECK(block < (size_t)cb->limits.n_blocks);
    char *k_block = (char *)j->kv->k + block * cb->k_block_size;
    char *v_block = (char *)j->kv->v + block * cb->v_block_size;
    /* Only int8 has scales. */
    float *k_scales = (float *)(void *)(k_block + cb->k_scales_at) + (size_t)g * bs;
    float *v_scales = (float *)(void *)(v_block + cb->v_scales_at) + (size_t)g * bs;
    union kv_row row;
    kv_encode(cb, f32_row(j->k, t) + (size_t)g * E, cb->kernels->k8_flip, k_scales + offset, &row);
    kv_scatter(k_block, k_head + offset, bs, &row, steps, cb->k_group * item);
    kv_encode(cb, f32_row(j->v, t) + (size_t)g * E, 0, v_scales + offset, &row);
    const size_t at = offset / v_group * v_pitch * v_group + offset % v_group;
    kv_scatter(v_block, v_head + at, v_group, &row, (int)E, item);
}

/* All tokens of one KV head: workers then never write into one line. */
static void kv_write_head(void *ctx, int worker, int g)
{
    const struct kv_job *j = ctx;
    (void)worker;
    for (int t = 0; t < j->k.rows; t++) kv_write_token(j, g, t);
}

void cpu_kv_write(struct backend *be, struct kv_layer *kv, struct tensor k, struct tensor v)
{
    struct kv_job j = {.cb = cpu_of(be), .kv = kv, .k = k, .v = v};
    DCHECK(k.rows == v.rows && k.cols == v.cols && k.rows == j.cb->step.n_tokens);
    DCHECK(k.cols == j.cb->limits.n_kv_heads * j.cb->limits.head_dim);
    pool_run(j.cb->pool, kv_write_head, &j, j.cb->limits.n_kv_heads, (double)k.rows * k.cols * 1.5);
}

/* --- norm, rotation and the cache's writes in one --- */

struct heads_job {
    struct kv_job kv;
    struct tensor q;
    int group;                    /* query heads per KV head */
    const float *q_gain, *k_gain; /* NULL: no norms */
    float eps;
};

static void finish_heads(const struct heads_job *j, float *x, int n, const float *gain, int t)
{
    const struct cpu_backend *cb = j->kv.cb;
    const int E = cb->limits.head_dim;
    for (int h = 0; gain && h < n; h++)
        cb->kernels->rmsnorm(x + (size_t)h * (size_t)E, x + (size_t)h * (size_t)E, gain, E, j->eps);
    rotate_heads(cb, x, n * E, E, t);
}

/* All tokens of one KV head and of the query heads that share it. */
static void heads_task(void *ctx, int worker, int g)
{
    const struct heads_job *j = ctx;
    const size_t E = (size_t)j->kv.cb->limits.head_dim, at = (size_t)g * E;
    (void)worker;
    for (int t = 0; t < j->q.rows; t++) {
        finish_heads(j, f32_row(j->q, t) + at * (size_t)j->group, j->group, j->q_gain, t);
        finish_heads(j, f32_row(j->kv.k, t) + at, 1, j->k_gain, t);
        kv_write_token(&j->kv, g, t);
    }
}

void cpu_norm_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                            struct kv_layer *kv, struct attn_shape s, struct head_norms n)
{
    struct cpu_backend *cb = cpu_of(be);
    if (s.n_kv_heads < pool_n_threads(cb->pool)) { /* rows keep more threads busy */
        if (n.q) {
            cpu_head_norm(be, q, s.n_heads, n.q, n.eps);
            cpu_head_norm(be, k, s.n_kv_heads, n.k, n.eps);
        }
        cpu_rope(be, q, k, s);
        cpu_kv_write(be, kv, k, v);
        return;
    }
    struct heads_job j = {.kv = {.cb = cb, .kv = kv, .k = k, .v = v},
                          .q = q,
                          .group = s.n_heads / s.n_kv_heads,
                          .q_gain = n.q ? n.q->data : NULL,
                          .k_gain = n.k ? n.k->data : NULL,
                          .eps = n.eps};
    DCHECK(cb->has_rope && cb->limits.head_dim == s.head_dim);
    DCHECK(q.rows == cb->step.n_tokens && k.rows == q.rows && v.rows == q.rows);
    DCHECK(!n.q || (n.q->k == s.head_dim && n.k->k == s.head_dim));
    pool_run(cb->pool, heads_task, &j, s.n_kv_heads, (double)q.rows * (q.cols + 2.5 * k.cols));
}

static void copy_layer(void *ctx, int worker, int layer)
{
    (void)worker;
    const struct cpu_backend *cb = ctx;
    char *k = cb->layers[layer].k, *v = cb->layers[layer].v;
    for (int i = 0; i < cb->step.n_copies; i++) {
        const size_t src = (size_t)cb->step.copies[i].src, dst = (size_t)cb->step.copies[i].dst;
        DCHECK(src < (size_t)cb->limits.n_blocks && dst < (size_t)cb->limits.n_blocks);
        memcpy(k + dst * cb->k_block_size, k + src * cb->k_block_size, cb->k_block_size);
        memcpy(v + dst * cb->v_block_size, v + src * cb->v_block_size, cb->v_block_size);
    }
}

void cpu_copy_blocks(struct backend *be)
{
    struct cpu_backend *cb = cpu_of(be);
    if (cb->step.n_copies == 0) return;
    const double bytes = (double)cb->step.n_copies * (double)(cb->k_block_size + cb->v_block_size);
    pool_run(cb->pool, copy_layer, cb, cb->limits.n_layers,
             bytes * cb->limits.n_layers / 10.0); /* 10 GB/s */
}
