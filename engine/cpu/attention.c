/* Attention over pages, for prefill, chunk and decode alike.
 *
 * out[t, h, :] = sum_j softmax_j(q[t, h, :] . k[j, g, :] * scale) * v[j, g, :]
 * over the keys j of t's sequence with i - window < j <= i (i: t's position), g = h / (H / G).
 *
 * Online softmax; nothing of size T x T exists.  A task is one KV head of one item: adjacent rows
 * of a sequence, each with the query heads that share the KV head, so that a tile of keys is read
 * once for all of them.  Keys are taken in tiles of 256 tokens; 4 tiles make a span, whose partial
 * result starts from nothing; spans are merged in order.  Tiles and spans start at fixed
 * positions, so a row's bits depend on its own keys alone: not on chunking, batch or threads.
 * When there are fewer tasks than threads could use, the spans of a task are computed apart. */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define SPAN_TILES 4
#define SPAN       (SPAN_TILES * ATTN_TILE)

#define LOG2_E 1.44269504088896340736

/* Memory for spans computed apart: at most so many tasks for each thread. */
#define SPLIT_TASKS 4

/* Chunks for each thread that tasks are shared out in. */
#define CHUNKS 16

/* A running result for the rows of an item. */
struct partial {
    float *o; /* [rows][o_pitch] */
    float *m, *l;
};

struct attn_scratch {
    bool dot;    /* the kernels' form (kernels.h) */
    int rows;    /* of an item */
    int o_pitch; /* E rounded up to 16 */
    /* [workers] of each: */
    char *q, *s, *edge;
    float *q_scale; /* [rows] */
    int32_t *q_sum; /* [rows] */
    float *total, *span;
    size_t q_size, s_size, edge_size; /* bytes per worker */
    float *split;                     /* partial results of spans computed apart */
    size_t split_len;
};

struct attn_job {
    struct cpu_backend *cb;
    const struct kv_layer *kv;
    struct tensor out, q;
    struct attn_shape shape;
    int group;            /* query heads per KV head */
    int n_tasks, n_spans; /* spans: of the longest item, when they are computed apart */
    int per_chunk;        /* tasks in a row of one worker */
};

struct attn_task {
    const struct attn_item *item;
    int head;   /* KV head */
    int rows;   /* n_rows * group */
    int lo, hi; /* keys that any row sees */
};

/* The tile that a worker will probably take after those of a span: token t0 of a task. */
struct attn_next {
    struct attn_task task;
    int t0; /* behind task.hi: none */
};

/* --- reserve and plan --- */

static size_t partial_len(const struct attn_scratch *a)
{
    return (size_t)a->rows * ((size_t)a->o_pitch + 2);
}

static struct partial partial_at(const struct attn_scratch *a, float *base, size_t i)
{
    float *p = base + i * partial_len(a);
    const size_t o_len = (size_t)a->rows * (size_t)a->o_pitch;
    return (struct partial){.o = p, .m = p + o_len, .l = p + o_len + a->rows};
}

enum status cpu_attention_reserve(struct cpu_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    struct attn_scratch *a;
    enum status s = cpu_memory_alloc(cb, (void **)&cb->attn, 1, sizeof *a, "attention", err);
    if (s != STATUS_OK) return s;
    a = cb->attn;
    const int group = l->n_heads / l->n_kv_heads;
    a->rows = (group > ATTN_ROWS ? group : ATTN_ROWS) + LANES - 1;
    a->rows -= a->rows % LANES;
    a->o_pitch = (l->head_dim + LANES - 1) / LANES * LANES;
    a->dot = cb->k_group > 1;
    a->q_size = (size_t)a->rows * (a->dot ? ATTN_Q_PITCH : (size_t)a->o_pitch * sizeof(float));
    a->s_size = a->dot ? ATTN_ROWS * ATTN_S_PITCH : MAX_TILE * ATTN_TILE * sizeof(float);
    a->edge_size = a->dot ? 2 * LANES * (size_t)cb->v_pitch * cb->kv_item_size : 0;
    const size_t n_workers = (size_t)pool_n_threads(cb->pool);
    const size_t context = (size_t)l->max_blocks_per_seq * (size_t)l->block_size;
    const size_t n_spans = (context + SPAN - 1) / SPAN;
    size_t n_split = n_workers > 1 ? SPLIT_TASKS * n_workers * n_spans : 0;
    a->split_len = n_split * partial_len(a);
    const struct {
        void **out;
        size_t n, item_size;
    } parts[] = {
        {(void **)&a->q, n_workers, a->q_size},
        {(void **)&a->s, n_workers, a->s_size},
        {(void **)&a->edge, n_workers, a->edge_size},
        {(void **)&a->q_scale, n_workers, (size_t)a->rows * sizeof(float)},
        {(void **)&a->q_sum, n_workers, (size_t)a->rows * sizeof(int32_t)},
        {(void **)&a->total, n_workers, partial_len(a) * sizeof(float)},
        {(void **)&a->span, n_workers, partial_len(a) * sizeof(float)},
        {(void **)&a->split, n_split, partial_len(a) * sizeof(float)},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        s = cpu_memory_alloc(cb, parts[i].out, parts[i].n, parts[i].item_size, "attention", err);
        if (s != STATUS_OK) return s;
    }
    return STATUS_OK;
}

void cpu_attention_plan(struct cpu_backend *cb)
{
    const struct step *s = &cb->step;
    const int group = cb->limits.n_heads / cb->limits.n_kv_heads;
    const int per_item = group < ATTN_ROWS ? ATTN_ROWS / group : 1;
    cb->n_items = 0;
    cb->attn_pairs = 0;
    for (int i = 0; i < s->n_seqs; i++) {
        const int n_rows = s->q_start[i + 1] - s->q_start[i], first = s->kv_len[i] - n_rows;
        DCHECK(n_rows >= 0 && first >= 0);
        DCHECK(s->kv_len[i] <= cb->limits.max_blocks_per_seq * cb->limits.block_size);
        for (int r = 0; r < n_rows; r += per_item) {
            cb->items[cb->n_items++] = (struct attn_item){
                .seq = i,
                .row0 = s->q_start[i] + r,
                .n_rows = n_rows - r < per_item ? n_rows - r : per_item,
                .pos0 = first + r,
            };
        }
        cb->attn_pairs += (double)n_rows * s->kv_len[i];
    }
}

/* --- one task --- */

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static struct attn_task make_task(const struct attn_job *j, int task)
{
    const struct attn_item *item = &j->cb->items[task / j->shape.n_kv_heads];
    const int window = j->shape.window;
    return (struct attn_task){
        .item = item,
        .head = task % j->shape.n_kv_heads,
        .rows = item->n_rows * j->group,
        .lo = window > 0 ? max_int(0, item->pos0 + 1 - window) : 0,
        .hi = item->pos0 + item->n_rows,
    };
}

/* The queries of the task's rows, heads of a token together, as the kernels want them: in units of
 * log2, or with the factor that makes them so. */
static void pack_queries(const struct attn_job *j, const struct attn_task *t, int worker)
{
    const struct attn_scratch *a = j->cb->attn;
    const struct cpu_kernels *k = j->cb->kernels;
    const int E = j->shape.head_dim;
    const float scale = (float)(j->shape.scale * LOG2_E);
    char *q = a->q + (size_t)worker * a->q_size;
    float *q_scale = a->q_scale + (size_t)worker * (size_t)a->rows;
    int32_t *q_sum = a->q_sum + (size_t)worker * (size_t)a->rows;
    for (int r = 0; r < t->rows; r++) {
        const float *from = (const float *)j->q.data +
                            (size_t)(t->item->row0 + r / j->group) * (size_t)j->q.ld +
                            (size_t)(t->head * j->group + r % j->group) * (size_t)E;
        if (!a->dot) {
            float *out = (float *)(void *)q + (size_t)r * (size_t)E;
            for (int e = 0; e < E; e++) out[e] = from[e] * scale;
        } else if (j->cb->kv_format == KV_I8) {
            int8_t *out = (int8_t *)q + (size_t)r * ATTN_Q_PITCH;
            q_scale[r] = k->quantize(out, from, E) * scale;
            q_sum[r] = k->sum_i8(out, E);
        } else if (!k->round_bf16) {
            memcpy(q + (size_t)r * ATTN_Q_PITCH, from, (size_t)E * sizeof *from);
            q_scale[r] = scale;
        } else {
            k->round_bf16((uint16_t *)(void *)(q + (size_t)r * ATTN_Q_PITCH), from, E);
            q_scale[r] = scale;
        }
    }
}

/* Where the tokens of the tile that starts at token t0 live; those that no row sees are left out. */
static void locate_tile(const struct attn_job *j, const struct attn_task *t, int t0,
                        struct attn_tile *tile)
{
    const struct cpu_backend *cb = j->cb;
    const struct step *s = &cb->step;
    const size_t bs = (size_t)cb->limits.block_size, head = (size_t)t->head;
    const size_t k_head = head * (size_t)cb->k_pitch * bs, v_pitch = (size_t)cb->v_pitch;
    const int32_t *table = s->block_tables + (size_t)t->item->seq * (size_t)s->block_table_ld;
    tile->lo = max_int(t->lo - t0, 0);
    tile->hi = min_int(t->hi - t0, ATTN_TILE);
    const size_t token = (size_t)(t0 + tile->lo / LANES * LANES);
    size_t index = token / bs, offset = token % bs;
    for (int g = tile->lo / LANES; g * LANES < tile->hi; g++) {
        const size_t block = (size_t)table[index];
        DCHECK(block < (size_t)cb->limits.n_blocks);
        const char *k = (const char *)j->kv->k + block * cb->k_block_size;
        const char *v = (const char *)j->kv->v + block * cb->v_block_size;
        tile->k[g] = k + (k_head + offset * (size_t)cb->k_group) * cb->kv_item_size;
        tile->v[g] = v + (head * bs + offset) * v_pitch * cb->kv_item_size;
        if (cb->kv_format == KV_I8) {
            const size_t scale_at = (head * bs + offset) * sizeof(float);
            tile->k_scale[g] = (const float *)(const void *)(k + cb->k_scales_at + scale_at);
            tile->v_scale[g] = (const float *)(const void *)(v + cb->v_scales_at + scale_at);
        }
        offset += LANES;
        if (offset == bs) {
            offset = 0;
            index++;
        }
    }
}

/* Rows [r0, r0 + n) of the task against one tile. */
static void run_rows(const struct attn_job *j, const struct attn_task *t, int t0, int r0,
                     struct attn_tile *tile, struct attn_rows *rows)
{
    const int window = j->shape.window;
    int lo = ATTN_TILE, hi = 0;
    for (int i = 0; i < rows->n; i++) {
        const int seen = t->item->pos0 + (r0 + i) / j->group + 1; /* keys up to itself */
        rows->hi[i] = min_int(seen - t0, ATTN_TILE);
        rows->lo[i] = window > 0 ? max_int(0, seen - window - t0) : 0;
        if (rows->hi[i] <= rows->lo[i]) continue;
        lo = min_int(lo, rows->lo[i]);
        hi = max_int(hi, rows->hi[i]);
    }
    if (hi <= lo) return;
    tile->lo = lo;
    tile->hi = hi;
    j->cb->kernels->attention[j->cb->kv_format](tile, rows);
}

/* All rows of the task against one tile. */
static void run_tile(const struct attn_job *j, const struct attn_task *t, int t0, int worker,
                     struct attn_tile *tile, struct partial out)
{
    const struct attn_scratch *a = j->cb->attn;
    const size_t w = (size_t)worker, first = w * (size_t)a->rows;
    const size_t q_pitch = a->dot ? ATTN_Q_PITCH : (size_t)j->shape.head_dim * sizeof(float);
    const int max = a->dot ? ATTN_ROWS : MAX_TILE;
    for (int r = 0, n; r < t->rows; r += n) {
        const int left = t->rows - r, tiles = (left + max - 1) / max;
        n = (left + tiles - 1) / tiles;
        struct attn_rows rows; /* what each row sees is filled in where it is needed */
        rows.n = n;
        rows.q = a->q + w * a->q_size + (size_t)r * q_pitch;
        rows.q_scale = a->q_scale + first + r;
        rows.q_sum = a->q_sum + first + r;
        rows.s = (float *)(void *)(a->s + w * a->s_size);
        rows.edge = a->edge + w * a->edge_size;
        rows.o = out.o + (size_t)r * (size_t)a->o_pitch;
        rows.m = out.m + r;
        rows.l = out.l + r;
        rows.ldq = j->shape.head_dim;
        rows.ldo = a->o_pitch;
        run_rows(j, t, t0, r, tile, &rows);
    }
}

static int first_tile(const struct attn_task *t)
{
    return t->lo / ATTN_TILE * ATTN_TILE;
}

/* One span of one task, from nothing. */
static void run_span(const struct attn_job *j, const struct attn_task *t, int span, int worker,
                     const struct attn_next *after, struct partial out)
{
    const struct attn_scratch *a = j->cb->attn;
    for (int r = 0; r < t->rows; r++) out.m[r] = -INFINITY;
    memset(out.l, 0, (size_t)t->rows * sizeof(float));
    memset(out.o, 0, (size_t)t->rows * (size_t)a->o_pitch * sizeof(float));

    const int begin = max_int(span * SPAN, first_tile(t));
    const int end = min_int((span + 1) * SPAN, t->hi);
    struct attn_tile tiles[2]; /* this one and the next; pointers are set where they are needed */
    for (int i = 0; i < 2; i++) {
        tiles[i].k_stride = j->cb->limits.block_size;
        tiles[i].v_stride = j->cb->v_pitch;
        tiles[i].head_dim = j->shape.head_dim;
    }
    locate_tile(j, t, begin, &tiles[0]);
    for (int t0 = begin, i = 0; t0 < end; t0 += ATTN_TILE, i ^= 1) {
        struct attn_tile *next = &tiles[i ^ 1];
        if (t0 + ATTN_TILE < end)
            locate_tile(j, t, t0 + ATTN_TILE, next);
        else if (after->t0 < after->task.hi)
            locate_tile(j, &after->task, after->t0, next);
        else
            next = NULL;
        tiles[i].next = next;
        run_tile(j, t, t0, worker, &tiles[i], out);
    }
}

/* total = total and then span. */
static void merge(const struct attn_scratch *a, int n_rows, struct partial total,
                  struct partial span)
{
    for (int r = 0; r < n_rows; r++) {
        const float m = fmaxf(total.m[r], span.m[r]);
        if (m == -INFINITY) continue;
        const float x = exp2f(total.m[r] - m), y = exp2f(span.m[r] - m);
        float *o = total.o + (size_t)r * (size_t)a->o_pitch;
        const float *p = span.o + (size_t)r * (size_t)a->o_pitch;
        total.m[r] = m;
        total.l[r] = total.l[r] * x + span.l[r] * y;
        for (int e = 0; e < a->o_pitch; e++) o[e] = o[e] * x + p[e] * y;
    }
}

static void store(const struct attn_job *j, const struct attn_task *t, struct partial total)
{
    const int E = j->shape.head_dim;
    const size_t pitch = (size_t)j->cb->attn->o_pitch;
    for (int i = 0; i < t->item->n_rows; i++) {
        float *out = (float *)j->out.data + (size_t)(t->item->row0 + i) * (size_t)j->out.ld +
                     (size_t)t->head * (size_t)j->group * (size_t)E;
        for (int h = 0; h < j->group; h++, out += E) {
            const size_t r = (size_t)i * (size_t)j->group + (size_t)h;
            const float inverse = 1.0f / total.l[r];
            for (int e = 0; e < E; e++) out[e] = total.o[r * pitch + (size_t)e] * inverse;
        }
    }
}

/* One task; the worker's next one is probably `next`. */
static void whole_task(const struct attn_job *j, int worker, int task, int next)
{
    const struct attn_scratch *a = j->cb->attn;
    const struct attn_task t = make_task(j, task);
    const struct partial total = partial_at(a, a->total, (size_t)worker);
    const struct partial part = partial_at(a, a->span, (size_t)worker);
    pack_queries(j, &t, worker);
    const int first = t.lo / SPAN;
    for (int s = first; s * SPAN < t.hi; s++) {
        struct attn_next after = {.task = t, .t0 = (s + 1) * SPAN};
        if (after.t0 >= t.hi && next < j->n_tasks) {
            after.task = make_task(j, next);
            after.t0 = first_tile(&after.task);
        }
        run_span(j, &t, s, worker, &after, s == first ? total : part);
        if (s > first) merge(a, t.rows, total, part);
    }
    store(j, &t, total);
}

/* Chunks are taken in turn: this worker's next one is probably as many on as there are threads. */
static void whole_tasks(void *ctx, int worker, int chunk)
{
    const struct attn_job *j = ctx;
    const int from = chunk * j->per_chunk, end = min_int(from + j->per_chunk, j->n_tasks);
    const int beyond = from + pool_n_threads(j->cb->pool) * j->per_chunk;
    for (int task = from; task < end; task++)
        whole_task(j, worker, task, task + 1 < end ? task + 1 : beyond);
}

/* --- spans computed apart --- */

static void span_task(void *ctx, int worker, int chunk)
{
    const struct attn_job *j = ctx;
    const struct attn_scratch *a = j->cb->attn;
    const struct attn_task t = make_task(j, chunk / j->n_spans);
    const int span = chunk % j->n_spans, next = chunk + pool_n_threads(j->cb->pool);
    if (span * SPAN >= t.hi || (span + 1) * SPAN <= t.lo) return;
    struct attn_next after = {.task = t, .t0 = t.hi};
    if (next / j->n_spans < j->n_tasks) {
        after.task = make_task(j, next / j->n_spans);
        after.t0 = max_int(next % j->n_spans * SPAN, first_tile(&after.task));
    }
    pack_queries(j, &t, worker);
    run_span(j, &t, span, worker, &after, partial_at(a, a->split, (size_t)chunk));
}

static void merge_task(void *ctx, int worker, int task)
{
    (void)worker;
    const struct attn_job *j = ctx;
    const struct attn_scratch *a = j->cb->attn;
    const struct attn_task t = make_task(j, task);
    const size_t base = (size_t)task * (size_t)j->n_spans;
    const int first = t.lo / SPAN;
    const struct partial total = partial_at(a, a->split, base + (size_t)first);
    for (int s = first + 1; s * SPAN < t.hi; s++)
        merge(a, t.rows, total, partial_at(a, a->split, base + (size_t)s));
    store(j, &t, total);
}

/* Spans of the longest item; 1 when tasks are many enough, or their spans too many, to split. */
static int spans_apart(const struct cpu_backend *cb, int n_tasks, int width)
{
    if (width == 1 || n_tasks >= SPLIT_TASKS * width) return 1;
    int n = 1;
    for (int i = 0; i < cb->n_items; i++)
        n = max_int(n, (cb->items[i].pos0 + cb->items[i].n_rows + SPAN - 1) / SPAN);
    const size_t len = (size_t)n_tasks * (size_t)n * partial_len(cb->attn);
    return len <= cb->attn->split_len ? n : 1;
}

void cpu_attention(struct backend *be, struct tensor out, struct tensor q,
                   const struct kv_layer *kv, struct attn_shape s)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(q.rows == cb->step.n_tokens && out.rows == q.rows);
    DCHECK(q.cols == s.n_heads * s.head_dim && out.cols == q.cols);
    DCHECK(s.head_dim == cb->limits.head_dim && s.n_kv_heads == cb->limits.n_kv_heads);
    DCHECK(s.n_heads == cb->limits.n_heads);
    struct attn_job j = {
        .cb = cb, .kv = kv, .out = out, .q = q, .shape = s, .group = s.n_heads / s.n_kv_heads};
    /* 2 products for each pair and element, 30 G/s */
    const double work_ns = cb->attn_pairs * s.n_heads * s.head_dim * 2.0 / 30.0;
    const int width = pool_width(cb->pool, work_ns);
    j.n_tasks = cb->n_items * s.n_kv_heads;
    j.n_spans = spans_apart(cb, j.n_tasks, width);
    if (j.n_spans == 1) {
        j.per_chunk = max_int(1, j.n_tasks / (CHUNKS * width));
        const int n_chunks = (j.n_tasks + j.per_chunk - 1) / j.per_chunk;
        pool_run(cb->pool, whole_tasks, &j, n_chunks, work_ns);
        return;
    }
    pool_run(cb->pool, span_task, &j, j.n_tasks * j.n_spans, work_ns);
    pool_run(cb->pool, merge_task, &j, j.n_tasks, work_ns);
}
