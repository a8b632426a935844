/* out[T,N] = x[T,K] * W^T + bias, split over panels of outputs and, where those are few, over
 * rows: never over K. */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"

/* Rows of one chunk: their inputs and one panel stay in the L2 cache together. */
#define CHUNK_ROWS (16 * MAX_TILE)

struct linear_job {
    struct linear_args args;
    linear_panel_fn *kernel;
    int rows, rows_per_chunk, row_chunks;
};

static void linear_chunk(void *ctx, int worker, int chunk)
{
    (void)worker;
    const struct linear_job *j = ctx;
    const int r0 = chunk % j->row_chunks * j->rows_per_chunk;
    const int r1 = r0 + j->rows_per_chunk < j->rows ? r0 + j->rows_per_chunk : j->rows;
    /* PANEL outputs, in one panel or in several. */
    const int n0 = chunk / j->row_chunks * PANEL;
    const int n1 = n0 + PANEL < j->args.n ? n0 + PANEL : j->args.n;
    for (int n = n0; n < n1; n += j->args.panel) j->kernel(&j->args, n / j->args.panel, r0, r1);
}

static void sum_rows(struct cpu_backend *cb, struct tensor x)
{
    const int8_t *row = x.data;
    DCHECK(x.rows <= cb->x_sum_len);
    for (int i = 0; i < x.rows; i++, row += x.ld) cb->x_sum[i] = cb->kernels->sum_i8(row, x.cols);
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
                 .k_steps = w->k_steps,
                 .data = w->data,
                 .scale = w->scale,
                 .bias = w->bias},
        .kernel = cb->kernels->linear[w->format],
        .rows = x.rows,
        .rows_per_chunk = CHUNK_ROWS,
    };
    if (w->format == WF_I8 && cb->kernels->w8_flip != 0) {
        sum_rows(cb, x);
        j.args.x_sum = cb->x_sum;
    }
    /* Time on one thread: 50 G products/s (int8 four times that), or 20 GB/s of weights. */
    const double flops = (double)x.rows * w->n * w->k * (w->format == WF_I8 ? 0.25 : 1.0);
    const double compute_ns = flops / 50.0, memory_ns = (double)w->size / 20.0;
    const double work_ns = compute_ns > memory_ns ? compute_ns : memory_ns;
    if (pool_width(cb->pool, work_ns) == 1) j.rows_per_chunk = x.rows > 0 ? x.rows : 1;
    j.row_chunks = (x.rows + j.rows_per_chunk - 1) / j.rows_per_chunk;
    const int column_chunks = (w->n + PANEL - 1) / PANEL;
    pool_run(cb->pool, linear_chunk, &j, column_chunks * j.row_chunks, work_ns);
}
