/* Time of the large cases: the same operators and shapes as the tests, on inputs of zeros. */
#include "config/base/check.h"
#include "tests/ops/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_MIN_US 200e3 /* per figure */
#define BENCH_LAYERS 16    /* weights in turn, so that caches do not hold them */

struct bench {
    const struct op_case *c;
    struct backend *be;
    struct weight *w[BENCH_LAYERS];
    struct guarded x, y, out;
    struct tensor qx;
    struct attn_shape shape;
    int n_weights;
    int turn;
};

struct bench_options {
    const char *isa, *filter;
};

static void bench_once(struct bench *b)
{
    const struct backend_ops *ops = b->be->ops;
    const struct weight *w = b->n_weights ? b->w[b->turn++ % b->n_weights] : NULL;
    switch (b->c->op) {
    case CASE_LINEAR:
        ops->linear(b->be, b->out.view, b->qx, w);
        return;
    case CASE_RMSNORM:
        ops->rmsnorm(b->be, b->out.view, b->x.view, w, 1e-5f);
        return;
    case CASE_ADD_RMSNORM:
        ops->add_rmsnorm(b->be, b->out.view, b->y.view, b->x.view, w, 1e-5f);
        return;
    case CASE_QUANTIZE:
        ops->quantize(b->be, b->out.view, b->x.view);
        return;
    case CASE_SILU_MUL:
        ops->silu_mul(b->be, b->out.view, b->x.view);
        return;
    case CASE_ATTENTION:
        ops->attention(b->be, b->out.view, b->x.view, ops->kv_layer(b->be, 1), b->shape);
        return;
    default:
        CHECK(!"an operator with a bench");
    }
}

/* Bytes that must move and products that must be done, once. */
static void bench_work(const struct op_case *c, double *bytes, double *products)
{
    const double T = c->T, N = c->N, K = c->K;
    *products = 0;
    if (c->op == CASE_LINEAR) {
        const double item = c->int4                ? 0.5 + 1.0 / 64
                            : c->quant || c->w8a16 ? 1
                            : c->dtype == DT_BF16  ? 2
                                                   : 4;
        *bytes = N * K * item + T * (K * (c->quant ? 1 : 4) + N * 4);
        *products = T * N * K;
    } else if (c->op == CASE_ATTENTION) {
        double pairs = 0, keys = 0;
        for (int s = 0; s < c->n_seqs; s++) {
            for (int i = c->skip; i < c->len[s]; i++) pairs += i + 1;
            keys += c->len[s];
        }
        *bytes = keys * c->kv_heads * c->head_dim * 2 *
                 (c->dtype == DT_I8     ? 1 + 4.0 / c->head_dim
                  : c->dtype == DT_BF16 ? 2
                                        : 4);
        *products = pairs * c->heads * c->head_dim * 2;
    } else {
        const double reads = c->op == CASE_RMSNORM || c->op == CASE_QUANTIZE ? 1 : 2;
        const double writes = c->op == CASE_QUANTIZE ? 0.25 : c->op == CASE_ADD_RMSNORM ? 2 : 1;
        *bytes = T * N * 4 * (reads + writes);
    }
}

static bool prepare_rows(struct bench *b)
{
    const struct op_case *c = b->c;
    const bool linear = c->op == CASE_LINEAR;
    const int x_cols = linear ? c->K : c->op == CASE_SILU_MUL ? 2 * c->N : c->N;
    const bool i8_out = c->op == CASE_QUANTIZE;
    if (!guard_alloc(b->be, DT_F32, c->T, x_cols, &b->x) ||
        !guard_alloc(b->be, DT_F32, c->T, c->N, &b->y) ||
        !guard_alloc(b->be, i8_out ? DT_I8 : DT_F32, c->T, c->N, &b->out))
        return false;
    float *zeros = calloc((size_t)c->N * (size_t)(c->K ? c->K : 1) + (size_t)x_cols, sizeof *zeros);
    CHECK(zeros);
    guard_fill(&b->x, zeros, 0);
    guard_fill(&b->y, zeros, 0);
    b->n_weights = linear ? BENCH_LAYERS : 1;
    for (int i = 0; i < b->n_weights; i++) {
        b->w[i] = linear
                      ? case_weight(b->be, zeros, c->N, c->K, c->dtype, WEIGHT_LINEAR,
                                    case_scheme(c), NULL)
                      : case_weight(b->be, zeros, 1, c->N, DT_F32, WEIGHT_VECTOR, QUANT_NONE, NULL);
        if (!b->w[i]) return false;
    }
    free(zeros);
    b->qx = b->x.view;
    if (linear && c->quant) {
        struct guarded q;
        if (!guard_alloc(b->be, DT_I8, c->T, c->K, &q)) return false;
        b->be->ops->quantize(b->be, q.view, b->x.view);
        b->qx = q.view;
    }
    return true;
}

/* Keys and values in every page: memory that was never written is one page of zeros, which the
 * caches hold. */
static bool fill_pages(struct bench *b)
{
    const struct op_case *c = b->c;
    const int n_slots = pages_needed(c) * c->block_size, cols = c->kv_heads * c->head_dim;
    const int T = c->len[0];
    struct guarded k;
    if (!guard_alloc(b->be, DT_F32, T, cols, &k)) return false;
    int32_t *slots = calloc(2 * (size_t)T, sizeof *slots), *zeros = slots + T;
    float *row = calloc((size_t)cols, sizeof *row);
    CHECK(slots && row);
    guard_fill(&k, row, 0);
    for (int slot = 0; slot < n_slots; slot += T) {
        for (int i = 0; i < T; i++) slots[i] = (slot + i) % n_slots;
        const struct step step = {
            .n_tokens = T, .token_ids = zeros, .positions = zeros, .slots = slots};
        b->be->ops->step_upload(b->be, &step);
        b->be->ops->kv_write(b->be, b->be->ops->kv_layer(b->be, 1), k.view, k.view);
    }
    free(row);
    free(slots);
    return true;
}

/* Arrays of a step that outlive prepare_attention. */
struct bench_step {
    struct step step;
    int32_t *ints;
};

static bool prepare_attention(struct bench *b, struct bench_step *st)
{
    const struct op_case *c = b->c;
    const int new_rows = c->len[0] - c->skip, T = new_rows * c->n_seqs, ld = pages_ld(c);
    if (!fill_pages(b)) return false;
    st->ints = calloc((size_t)(3 * T + CASE_SEQS * (ld + 2) + 1), sizeof *st->ints);
    CHECK(st->ints);
    int32_t *positions = st->ints, *slots = positions + T, *ids = slots + T;
    int32_t *q_start = ids + T, *kv_len = q_start + CASE_SEQS + 1, *table = kv_len + CASE_SEQS;
    pages_shuffle(c, table, ld);
    for (int s = 0; s < c->n_seqs; s++) {
        q_start[s + 1] = (s + 1) * new_rows;
        kv_len[s] = c->len[s];
    }
    st->step = (struct step){.n_tokens = T,
                             .n_seqs = c->n_seqs,
                             .token_ids = ids,
                             .positions = positions,
                             .slots = slots,
                             .q_start = q_start,
                             .kv_len = kv_len,
                             .block_tables = table,
                             .block_table_ld = ld};
    b->be->ops->step_upload(b->be, &st->step);
    b->shape = (struct attn_shape){
        .n_heads = c->heads, .n_kv_heads = c->kv_heads, .head_dim = c->head_dim, .scale = 0.1f};
    if (!guard_alloc(b->be, DT_F32, T, c->N, &b->x) ||
        !guard_alloc(b->be, DT_F32, T, c->N, &b->out))
        return false;
    float *zeros = calloc((size_t)c->N, sizeof *zeros);
    CHECK(zeros);
    guard_fill(&b->x, zeros, 0);
    free(zeros);
    return true;
}

/* One thread: its CPU time, which other processes do not lengthen.  Several: wall time. */
static double bench_now_us(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A device that is waited for: the mean of a row of calls, without the wait's own time in each. */
static double bench_queue_us(struct bench *b)
{
    enum { CALLS = 20 };
    double best = INFINITY;
    for (int round = 0; round < 10; round++) {
        run_settle(b->be);
        const double t = bench_now_us(2);
        for (int i = 0; i < CALLS; i++) bench_once(b);
        run_settle(b->be);
        best = fmin(best, (bench_now_us(2) - t) / CALLS);
    }
    return best;
}

static double bench_time_us(struct bench *b, int threads)
{
    bench_once(b);
    if (b->be->ops->wait) return bench_queue_us(b);
    double best = INFINITY;
    const double start = bench_now_us(threads);
    do {
        const double t = bench_now_us(threads);
        bench_once(b);
        best = fmin(best, bench_now_us(threads) - t);
    } while (bench_now_us(threads) - start < BENCH_MIN_US);
    return best;
}

static void bench_case(const struct op_case *c, void *arg)
{
    const struct bench_options *o = arg;
    char name[200];
    case_name(c, name, sizeof name);
    if (!c->bench || (o->filter && !strstr(name, o->filter))) return;
    double bytes, products;
    bench_work(c, &bytes, &products);
    for (int threads = 1; threads <= 2; threads++) {
        struct bench b = {.c = c, .be = case_open(c, o->isa, threads)};
        struct bench_step st = {0};
        const bool ok =
            b.be && (c->op == CASE_ATTENTION ? prepare_attention(&b, &st) : prepare_rows(&b));
        if (ok) {
            const double us = bench_time_us(&b, threads);
            printf("%-78s %s %d threads %10.1f us %8.1f GB/s %8.1f Gop/s\n", name, o->isa, threads,
                   us, bytes / us / 1e3, 2 * products / us / 1e3);
            fflush(stdout);
        }
        for (int i = 0; i < b.n_weights; i++) b.be->ops->weight_free(b.be, b.w[i]);
        const bool device = b.be && b.be->ops->wait;
        if (b.be) b.be->ops->close(b.be);
        free(st.ints);
        if (device) break; /* it has no threads to compare */
    }
}

int bench_run(const char *isa, const char *filter)
{
    struct bench_options o = {.isa = isa, .filter = filter};
    cases_each(bench_case, &o);
    return 0;
}
