/* Attention on the host: what memory it takes, how a step's work is cut up, which kernel runs. */
#include "cuda/attention.h"

#include "config/base/check.h"
#include "cuda/rows.h"

#include <stdlib.h>
#include <string.h>

/* --- heuristics --- */

#define WAVES        4   /* units a warp should find, so that the last ones end together */
#define TILE_MIN     128 /* rows: tiles are halved down to that to occupy all blocks */
#define UNIT_WARPS   16  /* of the simple kernel, on a multiprocessor */
#define HBM_BYTES    4.3e12
#define MMA_OPS      600e12
#define FMA_OPS      60e12
#define SHARED_SM90  (227u * 1024)
#define SHARED_SM80  (163u * 1024)
#define SHARED_OTHER (99u * 1024)

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int div_up(int a, int b)
{
    return (a + b - 1) / b;
}

bool attention_has_mma(int head_dim, enum dtype kv_dtype)
{
    return (kv_dtype == DT_BF16 || kv_dtype == DT_I8) &&
           (head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128 ||
            head_dim == 256);
}

size_t attention_shared_max(int major, int minor)
{
    if (major == 9 || major == 10) return SHARED_SM90;
    return major == 8 && (minor == 0 || minor == 7) ? SHARED_SM80 : SHARED_OTHER;
}

int attention_units_max(const struct backend_limits *l, const struct attn_config *c)
{
    return div_up(l->max_tokens * c->group, ATTN_UNIT) + l->max_seqs;
}

int attention_items_max(const struct backend_limits *l, const struct attn_config *c)
{
    /* a unit; or its pieces, of a row and span at least */
    return attention_units_max(l, c) + c->parts_max;
}

/* --- plan --- */

/* One step being cut up. */
struct plan {
    const struct attn_config *c;
    const struct step *step;
    struct attn_list *list;
    int tile_rows;
    int split_above; /* units of more spans are split */
    int piece_spans; /* into such pieces */
    int n_tickets;   /* of split units so far */
};

static int flat_rows(const struct plan *p, int seq)
{
    return (p->step->q_start[seq + 1] - p->step->q_start[seq]) * p->c->group;
}

static bool is_tiled(const struct plan *p, int seq)
{
    return p->c->tile_rows > 0 && flat_rows(p, seq) > ATTN_TILE_MIN;
}

/* The item of rows [row, row + n_rows) of a sequence, over all its spans. */
static struct attn_item make_item(const struct plan *p, int seq, int row, int n_rows)
{
    const struct step *s = p->step;
    const int n_q = s->q_start[seq + 1] - s->q_start[seq], pos0 = s->kv_len[seq] - n_q;
    return (struct attn_item){
        .seq = seq,
        .row = row,
        .n_rows = n_rows,
        .n_spans = (pos0 + (row + n_rows - 1) / p->c->group) / ATTN_SPAN + 1,
        .part = -1,
        .q0 = s->q_start[seq],
        .pos0 = pos0,
    };
}

static void emit(struct plan *p, struct attn_item item, int32_t *count)
{
    struct attn_list *l = p->list;
    CHECK(l->n_tiles + l->n_units < p->c->items_max);
    l->items[l->n_tiles + l->n_units] = item;
    (*count)++;
}

/* Tiles, the ones with most keys first: they take longest. */
static void emit_tiles(struct plan *p)
{
    for (int i = 0; i < p->step->n_seqs; i++) {
        if (!is_tiled(p, i)) continue;
        const int rows = flat_rows(p, i);
        for (int row = (rows - 1) / p->tile_rows * p->tile_rows; row >= 0; row -= p->tile_rows)
            emit(p, make_item(p, i, row, min_int(rows - row, p->tile_rows)), &p->list->n_tiles);
    }
}

struct unit_sums {
    double spans;
    double parts; /* partial rows */
};

/* As it is (part < 0), or in pieces. */
static void emit_unit(struct plan *p, struct attn_item unit, int part)
{
    if (part < 0) {
        emit(p, unit, &p->list->n_units);
        return;
    }
    const int n_spans = unit.n_spans;
    CHECK(p->n_tickets < p->c->units_max);
    unit.ticket = p->n_tickets++;
    unit.n_pieces = div_up(n_spans, p->piece_spans);
    for (int s = 0; s < n_spans; s += p->piece_spans) {
        unit.span = s;
        unit.n_spans = min_int(n_spans - s, p->piece_spans);
        unit.part = part + s * unit.n_rows;
        emit(p, unit, &p->list->n_units);
    }
}

static struct unit_sums walk_units(struct plan *p, bool emits)
{
    struct unit_sums sums = {0, 0};
    for (int i = 0; i < p->step->n_seqs; i++) {
        if (is_tiled(p, i)) continue;
        const int rows = flat_rows(p, i);
        for (int row = 0; row < rows; row += ATTN_UNIT) {
            const struct attn_item unit = make_item(p, i, row, min_int(rows - row, ATTN_UNIT));
            const bool split = unit.n_spans > p->split_above;
            if (emits) emit_unit(p, unit, split ? (int)sums.parts : -1);
            sums.spans += unit.n_spans;
            if (split) sums.parts += (double)unit.n_rows * unit.n_spans;
        }
    }
    return sums;
}

static void choose_tile_rows(struct plan *p)
{
    p->tile_rows = p->c->tile_rows;
    while (p->tile_rows > TILE_MIN) {
        int n = 0;
        for (int i = 0; i < p->step->n_seqs; i++)
            if (is_tiled(p, i)) n += div_up(flat_rows(p, i), p->tile_rows);
        if (n * p->c->n_kv_heads >= p->c->n_blocks) return;
        p->tile_rows /= 2;
    }
}

/* Pieces so small that each warp finds WAVES of them; units of up to two pieces stay whole, and
 * more do where the partial rows would not fit. */
static void choose_split(struct plan *p)
{
    const double spans = walk_units(p, false).spans * p->c->n_kv_heads;
    const double share = spans / ((double)WAVES * p->c->n_warps);
    p->piece_spans = max_int(1, (int)share);
    p->split_above = p->piece_spans == 1 ? 1 : 2 * p->piece_spans;
    while (walk_units(p, false).parts > p->c->parts_max) p->split_above *= 2;
}

void attention_plan(const struct attn_config *c, const struct step *step, struct attn_list *list)
{
    struct plan p = {.c = c, .step = step, .list = list, .piece_spans = 1, .split_above = 1};
    memset(list, 0, sizeof *list);
    choose_tile_rows(&p);
    emit_tiles(&p);
    choose_split(&p);
    walk_units(&p, true);
}

struct attn_cost attention_cost(const struct backend_limits *l, int window, const struct step *step)
{
    const double E = l->head_dim, H = l->n_heads, G = l->n_kv_heads;
    const double slot = E * (double)dtype_size(l->kv_dtype) + (l->kv_dtype == DT_I8 ? 4 : 0);
    struct attn_cost cost = {0, 0, 0};
    double pairs = 0;
    for (int i = 0; i < step->n_seqs; i++) {
        const int n_q = step->q_start[i + 1] - step->q_start[i], len = step->kv_len[i];
        if (n_q == 0) continue;
        const int first = window > 0 ? max_int(0, len - n_q + 1 - window) : 0;
        cost.bytes += 2 * (double)(len - first) * G * slot + 8 * (double)n_q * H * E;
        for (int pos = len - n_q; pos < len; pos++)
            pairs += window > 0 ? min_int(pos + 1, window) : pos + 1;
    }
    cost.ops = 4 * pairs * H * E;
    const double rate = attention_has_mma(l->head_dim, l->kv_dtype) ? MMA_OPS : FMA_OPS;
    const double moving = cost.bytes / HBM_BYTES, working = cost.ops / rate;
    cost.seconds = moving > working ? moving : working;
    return cost;
}

/* --- the backend's entries --- */

struct attention_state {
    struct attn_config config;
    bool mma;
    size_t shared_max;
    struct attn_list *staging[CUDA_FLIGHTS];
    struct attn_list *list; /* on the device, as the rest */
    unsigned *tickets, *pieces_done, *heads_done;
    float *wide; /* [max_tokens][H E] f32, on their way to int8 */
    float *part_o, *part_ml;
    int part_pitch;
};

static void configure(struct cuda_backend *cb, struct attention_state *st)
{
    const struct backend_limits *l = &cb->limits;
    const struct device_info *info = device_info(cb->device);
    struct attn_config *c = &st->config;
    st->mma = attention_has_mma(l->head_dim, l->kv_dtype);
    st->shared_max = attention_shared_max(info->major, info->minor);
    st->part_pitch = div_up(l->head_dim, 4) * 4;
    c->group = l->n_heads / l->n_kv_heads;
    c->n_kv_heads = l->n_kv_heads;
    c->n_blocks = info->n_sms;
    int warps = UNIT_WARPS;
    if (st->mma) cuda_attention_mma_shape(l->head_dim, st->shared_max, &c->tile_rows, &warps);
    c->n_warps = info->n_sms * warps;
    /* What splitting needs when every warp finds WAVES spans; one sequence alone always fits. */
    const int spans = div_up(l->max_blocks_per_seq * l->block_size, ATTN_SPAN);
    c->parts_max = max_int(WAVES * c->n_warps * ATTN_UNIT / l->n_kv_heads, spans * c->group);
    c->units_max = attention_units_max(l, c);
    c->items_max = attention_items_max(l, c);
}

enum status cuda_attention_reserve(struct cuda_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    struct attention_state *st = calloc(1, sizeof *st);
    if (!st) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    cb->attention = st;
    configure(cb, st);
    const size_t list =
        sizeof(struct attn_list) + (size_t)st->config.items_max * sizeof(struct attn_item);
    const size_t parts = (size_t)st->config.parts_max * (size_t)l->n_kv_heads;
    const size_t split = (size_t)st->config.units_max * (size_t)l->n_kv_heads;
    const size_t wide = (size_t)l->max_tokens * (size_t)l->n_heads * (size_t)l->head_dim;
    const size_t pitch = (size_t)st->part_pitch;
    enum status s = STATUS_OK;
    for (int i = 0; i < CUDA_FLIGHTS && s == STATUS_OK; i++)
        s = device_alloc_pinned(cb->device, (void **)&st->staging[i], list, "attention", err);
    const struct {
        void **out;
        size_t size;
        bool zero;
    } arrays[] = {{(void **)&st->list, list, false},
                  {(void **)&st->tickets, ATTN_TICKETS * sizeof *st->tickets, true},
                  {(void **)&st->pieces_done, split * sizeof *st->pieces_done, true},
                  {(void **)&st->heads_done, ATTN_QUANT_MAX * sizeof *st->heads_done, true},
                  {(void **)&st->wide, wide * sizeof(float), false},
                  {(void **)&st->part_o, parts * pitch * sizeof(float), false},
                  {(void **)&st->part_ml, parts * 2 * sizeof(float), false}};
    for (size_t i = 0; i < ARRAY_LEN(arrays) && s == STATUS_OK; i++) {
        s = device_alloc(cb->device, arrays[i].out, arrays[i].size, "attention", err);
        if (s == STATUS_OK && arrays[i].zero)
            device_zero(cb->device, *arrays[i].out, arrays[i].size);
    }
    if (s != STATUS_OK) return s;
    device_zero(cb->device, st->list, sizeof *st->list);
    return device_wait(cb->device, err);
}

void cuda_attention_release(struct cuda_backend *cb)
{
    free(cb->attention); /* the device frees the rest when it is closed */
    cb->attention = NULL;
}

void cuda_attention_plan(struct cuda_backend *cb)
{
    struct attention_state *st = cb->attention;
    struct attn_list *list = st->staging[cb->turn];
    attention_plan(&st->config, &cb->step, list);
    const size_t n = (size_t)(list->n_tiles + list->n_units);
    device_copy(cb->device, st->list, list, sizeof *list + n * sizeof *list->items);
}

static struct attn_args make_args(const struct cuda_backend *cb, const struct kv_layer *kv,
                                  struct tensor q, struct attn_shape s)
{
    const struct attention_state *st = cb->attention;
    const struct backend_limits *l = &cb->limits;
    DCHECK(s.head_dim == l->head_dim && s.n_kv_heads == l->n_kv_heads);
    DCHECK(s.n_heads == l->n_heads && s.scale > 0 && q.cols == s.n_heads * s.head_dim);
    return (struct attn_args){
        .q = q.data,
        .q_ld = q.ld,
        .heads_done = st->heads_done,
        .kv = *kv,
        .kv_dtype = l->kv_dtype,
        .shape = s,
        .block_size = l->block_size,
        .tables = cb->at.tables,
        .table_ld = cb->at.table_ld,
        .list = st->list,
        .tickets = st->tickets,
        .pieces_done = st->pieces_done,
        .part_o = st->part_o,
        .part_ml = st->part_ml,
        .part_pitch = st->part_pitch,
        .n_sms = st->config.n_blocks,
        .shared_max = st->shared_max,
    };
}

void cuda_attention(struct backend *be, struct tensor out, struct tensor q,
                    const struct kv_layer *kv, struct attn_shape s)
{
    const struct cuda_backend *cb = cuda_of(be);
    const struct attention_state *st = cb->attention;
    struct attn_args a = make_args(cb, kv, q, s);
    DCHECK(q.rows == out.rows && out.cols == q.cols);
    struct tensor to = out;
    if (out.dtype == DT_I8) {
        to = (struct tensor){
            .data = st->wide, .dtype = DT_F32, .rows = out.rows, .cols = out.cols, .ld = out.cols};
        if (out.rows <= ATTN_QUANT_MAX) {
            a.quant = out.data;
            a.quant_scale = out.scale;
            a.quant_ld = out.ld;
        }
    }
    a.out = to.data;
    a.out_dtype = to.dtype;
    a.out_ld = to.ld;
    void *stream = device_stream(cb->device);
    if (st->mma)
        cuda_attention_mma(&a, stream);
    else
        cuda_attention_simple(&a, stream);
    if (out.dtype == DT_I8 && !a.quant) cuda_quantize(&out, &to, stream);
}
