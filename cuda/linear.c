/* The linear operator on the host's side: what the rows are, which kernel takes them, scratch. */
#include "cuda/linear.h"

#include "config/base/check.h"
#include "cuda/blas.h"

#include <stdlib.h>

struct linear_state {
    struct blas *blas;
    void *x; /* rows, copied or rounded */
    size_t x_size;
    int32_t *sums; /* of int8 products by the library */
    size_t sums_len;
    unsigned *done;   /* of a tail: one, and behind it [LINEAR_MMA_ROWS] largest values */
    unsigned *absmax; /* all of them 0 between products */
};

/* Rows of scratch that the widest operands must have at least. */
#define MIN_ROWS 64

static size_t scratch_size(const struct backend_limits *l, int width)
{
    const size_t row = ((size_t)width + 16) * sizeof(float);
    const size_t rows = (size_t)l->max_tokens;
    const size_t most = rows * row;
    const size_t least = (rows < MIN_ROWS ? rows : MIN_ROWS) * row;
    if (most < LINEAR_SCRATCH) return most;
    return least > LINEAR_SCRATCH ? least : LINEAR_SCRATCH;
}

enum status cuda_linear_reserve(struct cuda_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    struct linear_state *ls = calloc(1, sizeof *ls);
    if (!ls) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    cb->linear = ls;
    const int widest = l->vocab_size > l->max_cols ? l->vocab_size : l->max_cols;
    const size_t sums_size = scratch_size(l, widest);
    ls->x_size = scratch_size(l, l->max_cols);
    ls->sums_len = sums_size / sizeof(int32_t);
    enum status s = blas_open(&ls->blas, cb->device, err);
    if (s == STATUS_OK) s = device_alloc(cb->device, &ls->x, ls->x_size, "rounded rows", err);
    if (s == STATUS_OK)
        s = device_alloc(cb->device, (void **)&ls->sums, sums_size, "sums of products", err);
    const size_t counters = (1 + LINEAR_MMA_ROWS) * sizeof *ls->done;
    if (s == STATUS_OK)
        s = device_alloc(cb->device, (void **)&ls->done, counters, "a product's counters", err);
    if (s != STATUS_OK) return s;
    ls->absmax = ls->done + 1;
    device_zero(cb->device, ls->done, counters);
    return device_wait(cb->device, err);
}

void cuda_linear_release(struct cuda_backend *cb)
{
    struct linear_state *ls = cb->linear;
    if (!ls) return;
    if (ls->x) device_free(cb->device, ls->x);
    if (ls->sums) device_free(cb->device, ls->sums);
    if (ls->done) device_free(cb->device, ls->done);
    blas_close(ls->blas);
    free(ls);
    cb->linear = NULL;
}

enum status cuda_linear_check(const struct cuda_backend *cb, struct error *err)
{
    return cb->linear ? blas_check(cb->linear->blas, err) : STATUS_OK;
}

/* --- a product --- */

/* Rows [row0, row0 + rows) of a call. */
struct piece {
    struct linear_args args;
    struct linear_plan plan;
    void *stream;
};

static enum linear_type type_of(const struct weight *w, enum dtype inputs)
{
    if (w->dtype == DT_I8) return inputs == DT_I8 ? LINEAR_W8A8 : LINEAR_W8A16;
    DCHECK(inputs == DT_F32 || inputs == w->dtype);
    if (w->dtype == DT_F32) return LINEAR_F32;
    return w->dtype == DT_BF16 ? LINEAR_BF16 : LINEAR_F16;
}

static bool rows_are_aligned(struct tensor x)
{
    const size_t size = dtype_size(x.dtype);
    const bool pitch = x.rows == 1 || (size_t)x.ld * size % 16 == 0;
    return pitch && (uintptr_t)x.data % 16 == 0 && (size_t)x.cols * size % 16 == 0;
}

static int alignment_of(const void *p, int ld)
{
    const uintptr_t bits = (uintptr_t)p | (uintptr_t)ld * sizeof(float) | 16;
    return (int)(bits & (~bits + 1));
}

static bool try_blas(struct linear_state *ls, const struct piece *p)
{
    static const enum blas_type blas_types[LINEAR_TYPES] = {[LINEAR_F32] = BLAS_F32,
                                                            [LINEAR_BF16] = BLAS_BF16,
                                                            [LINEAR_F16] = BLAS_F16,
                                                            [LINEAR_W8A8] = BLAS_INT8};
    const struct linear_args *a = &p->args;
    const bool integers = a->type == LINEAR_W8A8;
    if (integers && a->n % 4 != 0) return false; /* cuBLASLt: m, k and ld of int8 */
    const struct blas_shape s = {
        .type = blas_types[a->type],
        .rows = a->rows,
        .n = a->n,
        .k = a->k,
        .ldx = a->ldx,
        .ldw = a->ldw,
        .ldo = integers ? a->n : a->ldo,
        .align_out = integers ? 16 : alignment_of(a->out, a->ldo),
        .bias = a->bias && !integers,
    };
    if (!blas_has_plan(ls->blas, &s)) return false;
    if (!integers) {
        blas_multiply(ls->blas, &s, a->out, a->x, a->w, a->bias);
        return true;
    }
    blas_multiply(ls->blas, &s, ls->sums, a->x, a->w, NULL);
    const struct linear_scale_args scale = {a->out,  ls->sums, a->w_scale, a->x_scale,
                                            a->bias, a->ldo,   a->rows,    a->n};
    cuda_linear_scale(&scale, p->stream);
    return true;
}

static void run_own(const struct linear_args *a, enum linear_path path, void *stream)
{
    if (path == LINEAR_GEMV)
        (a->type == LINEAR_F32 ? cuda_linear_gemv_f32 : cuda_linear_gemv)(a, stream);
    else if (a->type == LINEAR_F32)
        cuda_linear_tile_f32(a, stream);
    else if (a->type == LINEAR_W8A8)
        cuda_linear_tile_int8(a, stream);
    else
        cuda_linear_tile_mma(a, stream);
}

static void run_piece(struct linear_state *ls, struct piece *p, const struct linear_shape *shape)
{
    if (p->plan.form != LINEAR_ROWS_DIRECT) {
        const struct linear_rows_args rows = {.dst = ls->x,
                                              .src = p->args.x,
                                              .ld_dst = p->plan.k,
                                              .ld_src = p->args.ldx,
                                              .rows = p->args.rows,
                                              .k = p->args.k,
                                              .form = p->plan.form};
        cuda_linear_rows(&rows, p->stream);
        p->args.x = ls->x;
        p->args.ldx = p->plan.k;
    }
    p->args.k = p->plan.k;
    if (p->plan.path == LINEAR_BLAS) {
        if (try_blas(ls, p)) return;
        struct linear_shape own = *shape;
        own.blas = false;
        own.rows = p->args.rows;
        if (own.rows <= LINEAR_GEMV_ROWS) own.rows = LINEAR_GEMV_ROWS + 1; /* rows are rounded */
        p->plan = linear_choose(&own);
    }
    p->args.tile_n = p->plan.tile_n;
    p->args.tile_m = p->plan.tile_m;
    run_own(&p->args, p->plan.path, p->stream);
}

static struct linear_shape shape_of(const struct cuda_backend *cb, struct tensor x,
                                    const struct weight *w)
{
    const struct linear_state *ls = cb->linear;
    DCHECK(ls && w->kind == WEIGHT_LINEAR && x.cols == w->k);
    return (struct linear_shape){
        .type = type_of(w, x.dtype),
        .rows = x.rows,
        .n = w->n,
        .k = w->k,
        .x_aligned = rows_are_aligned(x),
        .blas = true,
        .n_sms = device_info(cb->device)->n_sms,
        .x_size = ls->x_size,
        .sums_len = ls->sums_len,
        .x16 = x.dtype == DT_BF16 || x.dtype == DT_F16,
    };
}

/* Rows [row, row + n) of a call. */
static struct piece make_piece(const struct cuda_backend *cb, const struct linear_shape *shape,
                               const struct linear_plan *plan, struct tensor out, struct tensor x,
                               const struct weight *w, int row)
{
    const int left = x.rows - row;
    return (struct piece){
        .plan = *plan,
        .stream = device_stream(cb->device),
        .args = {.out = (float *)((char *)out.data +
                                  (size_t)row * (size_t)out.ld * dtype_size(out.dtype)),
                 .x = (const char *)x.data + (size_t)row * (size_t)x.ld * dtype_size(x.dtype),
                 .w = w->data,
                 .x_scale = x.scale ? x.scale + row : NULL,
                 .w_scale = w->scale,
                 .bias = w->bias,
                 .ldo = out.ld,
                 .ldx = x.ld,
                 .ldw = w->ld,
                 .rows = left < plan->rows_per_call ? left : plan->rows_per_call,
                 .n = w->n,
                 .k = w->k,
                 .type = shape->type,
                 .x16 = shape->x16},
    };
}

void cuda_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w)
{
    const struct cuda_backend *cb = cuda_of(be);
    DCHECK(out.rows == x.rows && out.dtype == DT_F32 && out.cols == w->n);
    const struct linear_shape shape = shape_of(cb, x, w);
    const struct linear_plan plan = linear_choose(&shape);
    for (int row = 0; row < x.rows; row += plan.rows_per_call) {
        struct piece p = make_piece(cb, &shape, &plan, out, x, w, row);
        run_piece(cb->linear, &p, &shape);
    }
}

/* --- with what follows it --- */

/* Blocks for n pieces of work behind the product: linear_tail.cuh says why not more. */
static int tail_blocks(const struct cuda_backend *cb, int n)
{
    const int most = device_info(cb->device)->n_sms / 2;
    return n < most ? n : most > 0 ? most : 1;
}

#define HEADS_PER_BLOCK 4 /* a tile's block has four warps at least */

void cuda_linear_qkv(struct backend *be, struct tensor qkv, struct tensor x, const struct weight *w,
                     struct kv_layer *kv, struct attn_shape s, struct head_norms n)
{
    const struct cuda_backend *cb = cuda_of(be);
    const int q_cols = s.n_heads * s.head_dim, kv_cols = s.n_kv_heads * s.head_dim;
    DCHECK(qkv.rows == x.rows && qkv.cols == w->n && w->n == q_cols + 2 * kv_cols);
    struct tensor q = qkv, k = qkv, v = qkv;
    q.cols = q_cols;
    k.cols = v.cols = kv_cols;
    k.data = (float *)qkv.data + q_cols;
    v.data = (float *)qkv.data + q_cols + kv_cols;
    const struct linear_shape shape = shape_of(cb, x, w);
    const struct linear_plan plan = linear_choose(&shape);
    if (!linear_can_fuse(&shape, &plan)) {
        cuda_linear(be, qkv, x, w);
        cuda_norm_rope_kv_write(be, q, k, v, kv, s, n);
        return;
    }
    struct piece p = make_piece(cb, &shape, &plan, qkv, x, w, 0);
    const int n_heads = x.rows * (s.n_heads + 2 * s.n_kv_heads);
    p.args.tail = (struct linear_tail){
        .kind = LINEAR_TAIL_HEADS,
        .n_blocks = tail_blocks(cb, (n_heads + HEADS_PER_BLOCK - 1) / HEADS_PER_BLOCK),
        .done = cb->linear->done,
        .heads = cuda_rope_kv_args(cb, true, kv, &n),
    };
    p.args.tail.heads.q = q;
    p.args.tail.heads.k = k;
    p.args.tail.heads.v = v;
    run_piece(cb->linear, &p, &shape);
}

void cuda_linear_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up,
                          struct tensor x, const struct weight *w)
{
    const struct cuda_backend *cb = cuda_of(be);
    DCHECK(out.rows == x.rows && w->n == 2 * out.cols && gate_up.cols == w->n);
    const struct linear_shape shape = shape_of(cb, x, w);
    struct linear_plan plan = linear_choose(&shape);
    if (!linear_can_fuse(&shape, &plan)) {
        cuda_linear(be, gate_up, x, w);
        cuda_silu_mul(&out, &gate_up, device_stream(cb->device));
        return;
    }
    if (plan.path == LINEAR_GEMV) plan.tile_n = 32; /* 16 of gate and 16 of up */
    const bool quant = out.dtype == DT_I8;
    const int slices = (out.cols + LINEAR_TAIL_SLICE - 1) / LINEAR_TAIL_SLICE;
    struct piece p = make_piece(cb, &shape, &plan, quant ? gate_up : out, x, w, 0);
    p.args.pair = out.cols;
    p.args.out_dtype = quant ? DT_F32 : out.dtype;
    if (quant) {
        p.args.absmax = cb->linear->absmax;
        p.args.tail = (struct linear_tail){
            .kind = LINEAR_TAIL_QUANTIZE,
            .n_blocks = tail_blocks(cb, out.rows * slices),
            .done = cb->linear->done,
            .rows = out,
        };
    }
    run_piece(cb->linear, &p, &shape);
}
