/* out[T,N] = x[T,K] * W^T + bias, split over panels of outputs and, where those are few, over
 * rows: never over K. */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/quant4.h"

struct linear_job {
    struct linear_args args;
    linear_panel_fn *kernel;
    int rows, row_chunks, n_chunks;
    int width; /* threads that work on it */
};

/* What the thread that computes `chunk` will probably compute next: chunks are taken in turn. */
static const void *next_weights(const struct linear_job *j, int chunk)
{
    chunk += j->width;
    if (chunk >= j->n_chunks) return NULL;
    return panel_data(&j->args, chunk / j->row_chunks * (PANEL / j->args.panel));
}

static void linear_chunk(void *ctx, int worker, int chunk)
{
    (void)worker;
    const struct linear_job *j = ctx;
    const int r0 = chunk % j->row_chunks * MAX_CHUNK_ROWS;
    const int r1 = r0 + MAX_CHUNK_ROWS < j->rows ? r0 + MAX_CHUNK_ROWS : j->rows;
    /* PANEL outputs, in one panel or in several. */
    const int p0 = chunk / j->row_chunks * (PANEL / j->args.panel);
    for (int p = p0; (p - p0) * j->args.panel < PANEL && p * j->args.panel < j->args.n; p++) {
        const bool last = (p + 1 - p0) * j->args.panel >= PANEL;
        j->kernel(&j->args, p, r0, r1, last ? next_weights(j, chunk) : panel_data(&j->args, p + 1));
    }
}

struct sum_job {
    const struct cpu_backend *cb;
    struct tensor x;
    int group; /* inputs of one sum */
};

static void sum_row(void *ctx, int worker, int row)
{
    (void)worker;
    const struct sum_job *j = ctx;
    const int cols = j->x.cols, n_groups = (cols + j->group - 1) / j->group;
    const int8_t *x = (const int8_t *)j->x.data + (size_t)row * (size_t)j->x.ld;
    int32_t *sums = j->cb->x_sum + (size_t)row * (size_t)n_groups;
    for (int g = 0; g < n_groups; g++) {
        const int left = cols - g * j->group;
        sums[g] = j->cb->kernels->sum_i8(x + g * j->group, left < j->group ? left : j->group);
    }
}

/* Sums of the rows, or of their groups of 128: weights that are stored with an offset have added it
 * times these. */
static const int32_t *sum_rows(struct cpu_backend *cb, struct tensor x, enum weight_format format)
{
    struct sum_job j = {cb, x, format == WF_I4 ? GROUP4 : x.cols};
    const size_t n_groups = ((size_t)x.cols + (size_t)j.group - 1) / (size_t)j.group;
    DCHECK((size_t)x.rows * n_groups <= cb->x_sum_len);
    pool_run(cb->pool, sum_row, &j, x.rows, (double)x.rows * x.cols / 20.0);
    return cb->x_sum;
}

struct round_job {
    const struct cpu_backend *cb;
    struct tensor x;
    int ld;
};

static void round_row(void *ctx, int worker, int row)
{
    (void)worker;
    const struct round_job *j = ctx;
    j->cb->kernels->round_bf16(j->cb->x_bf16 + (size_t)row * (size_t)j->ld,
                               (const float *)j->x.data + (size_t)row * (size_t)j->x.ld, j->x.cols);
}

/* The inputs in bf16, once for all panels: 6 bytes move for every input, against 2 N operations of
 * the product.  For one row as for many, so that its bits do not depend on its neighbours. */
static void round_rows(struct cpu_backend *cb, struct tensor x, struct linear_args *a)
{
    struct round_job j = {cb, x, cpu_bf16_pitch(x.cols)};
    DCHECK((size_t)x.rows * (size_t)j.ld <= cb->x_bf16_len);
    pool_run(cb->pool, round_row, &j, x.rows, (double)x.rows * x.cols / 8.0);
    a->x = cb->x_bf16;
    a->ldx = j.ld;
}

void cpu_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(w->kind == WEIGHT_LINEAR && x.cols == w->k && out.cols == w->n && out.rows == x.rows);
    DCHECK(x.dtype == cpu_activation_dtype(be, w) && out.dtype == DT_F32);
    struct linear_job j = {
        .args = {.out = out.data,
                 .x = x.data,
                 .x_scale = x.scale,
                 .ldo = out.ld,
                 .ldx = x.ld,
                 .n = w->n,
                 .panel = cb->kernels->panel,
                 .k = w->k,
                 .line_size = w->line_size,
                 .data = w->data,
                 .scale = w->scale,
                 .bias = w->bias,
                 .to_l2 = cb->fetches_to_l2},
        .kernel = cb->kernels->linear[w->format],
        .rows = x.rows,
    };
    const bool integers = w->format == WF_I8 || w->format == WF_I4;
    if (w->format == WF_I4 || (w->format == WF_I8 && cb->kernels->w8_flip != 0))
        j.args.x_sum = sum_rows(cb, x, w->format);
    const bool rounds = (w->format == WF_BF16 || w->format == WF_W8A16) && cb->kernels->round_bf16;
    if (rounds) round_rows(cb, x, &j.args);
    /* Time on one thread: 50 G products/s (of bf16 twice, of integers four times that), or 20 GB/s
     * of weights. */
    const double flops = (double)x.rows * w->n * w->k * (integers ? 0.25 : rounds ? 0.5 : 1.0);
    const double compute_ns = flops / 50.0, memory_ns = (double)w->size / 20.0;
    const double work_ns = compute_ns > memory_ns ? compute_ns : memory_ns;
    j.width = pool_width(cb->pool, work_ns);
    j.row_chunks = (x.rows + MAX_CHUNK_ROWS - 1) / MAX_CHUNK_ROWS;
    j.n_chunks = (w->n + PANEL - 1) / PANEL * j.row_chunks;
    pool_run(cb->pool, linear_chunk, &j, j.n_chunks, work_ns);
}
