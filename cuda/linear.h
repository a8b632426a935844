#ifndef CUDA_LINEAR_H
#define CUDA_LINEAR_H

/* linear.h - matrix products: out[T,N] = x[T,K] * W^T + bias, out in f32.
 *
 *   type           weights  inputs                     sums   out
 *   LINEAR_F32     f32      f32                        f32    sum + bias
 *   LINEAR_BF16    bf16     bf16, or f32 rounded to it f32    sum + bias
 *   LINEAR_F16     f16      f16, or f32 rounded to it  f32    sum + bias (above 65504: infinite)
 *   LINEAR_W8A8    int8     int8 and a scale per row   int32  f32(sum) * w_scale * x_scale + bias
 *   LINEAR_W8A16   int8     f32, rounded to bf16       f32    sum * w_scale + bias
 *
 * W8A8: the CPU's integers and its f32 bits, on every path, so a row's bits depend on that row alone.
 * The other types: a path's sums have one order, given by K alone, but the paths differ from each
 * other; which one runs depends on T (linear_choose).
 *
 * Bytes a call (what must move at least): N K of the weights' size, T K of the inputs', 4 T N.
 * FLOPs: 2 T N K.  linear_print_plan() tabulates both, and the time that they take at a GPU's rates.
 *
 *   LINEAR_GEMV  T <= 8: a block for each 16 or 32 outputs, whose 8 warps split K; weights go from
 *                global memory to mma.sync (f32: to FMA) without a detour, 8 or 16 loads of 16 bytes
 *                in flight a thread.  linear_gemv.cu, linear_f32.cu
 *   LINEAR_TILE  mma.sync on tiles of tile_n outputs x tile_m rows, weights as the M operand, fed
 *                by cp.async through up to 8 stages of 128 bytes of K.  linear_mma.cu,
 *                linear_int8.cu; f32: FMA, k ascending, linear_f32.cu
 *   LINEAR_BLAS  T > 64: blas.h; int8 by way of int32 sums and a kernel that scales them
 *
 * Rows that do not start on 16 bytes, or do not fill them, are copied into aligned scratch first;
 * so are f32 rows for the tensor cores when a kernel would read them many times (linear_rows.cu).
 *
 * Two forms that a decode step has once a layer end in the same kernel where GEMV and TILE take up to
 * LINEAR_MMA_ROWS rows (not f32; else they are composed):
 *   gate|up    a tile's outputs are 16 of gate and the same 16 of up in turn, so that the thread that
 *              has the one has the other: silu(gate) * up is all that is stored, rounded to 16 bits;
 *              or, for int8, in f32, with the row's largest value by atomicMax
 *   a tail     the last blocks of the grid wait until the others are done, and then norm, rotate and
 *              store heads (q|k|v), or quantise rows whose largest value is known by then (gate|up).
 * Both give the bits of the composed forms. */

#include "cuda/rows.h"

/* --- the backend's part --- */

/* backend_ops.linear: x of the type that cuda_activation_dtype() gave for w; int8 weights meet int8
 * inputs (W8A8) or f32 ones (W8A16).  A shape's first call that takes LINEAR_BLAS looks for a plan of the library: make it
 * outside of a capture.  Errors of the library are sticky: cuda_linear_check(). */
void cuda_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w);
/* The fused forms of backend.h. */
void cuda_linear_qkv(struct backend *be, struct tensor qkv, struct tensor x, const struct weight *w,
                     struct kv_layer *kv, struct attn_shape s, struct head_norms n);
void cuda_linear_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up,
                          struct tensor x, const struct weight *w);
enum status cuda_linear_reserve(struct cuda_backend *cb, struct error *err);
void cuda_linear_release(struct cuda_backend *cb); /* fine when nothing is reserved */
/* INTERNAL with the library's words when a product could not be enqueued since open. */
enum status cuda_linear_check(const struct cuda_backend *cb, struct error *err);

/* --- which kernel: pure functions, linear_plan.c --- */

enum linear_type { LINEAR_F32, LINEAR_BF16, LINEAR_F16, LINEAR_W8A8, LINEAR_W8A16, LINEAR_TYPES };
enum linear_path { LINEAR_GEMV, LINEAR_TILE, LINEAR_BLAS };
/* How the rows of x reach the kernel. */
enum linear_rows {
    LINEAR_ROWS_DIRECT,
    LINEAR_ROWS_COPY_F32,
    LINEAR_ROWS_COPY_I8,
    LINEAR_ROWS_BF16,
    LINEAR_ROWS_F16,
    LINEAR_ROWS_BF16_TURNED, /* bf16 with each 16 inputs in the order that W8A16's tiles want */
    LINEAR_ROWS_COPY_16
};

/* Bytes of scratch for rows, and of scratch for int32 sums, when the limits do not need less: stays in
 * an H200's L2 cache in part, and takes 2048 rows of 14336 in bf16, or sums of 512 rows of 28672. */
#define LINEAR_SCRATCH ((size_t)64 << 20)

#define LINEAR_GEMV_ROWS 8  /* columns of mma.sync's B operand */
#define LINEAR_MMA_ROWS  64 /* above it blas.h, where it has a plan */

struct linear_shape {
    enum linear_type type;
    int rows, n, k;
    bool x_aligned; /* each row of x starts on 16 bytes, and its k inputs fill 16 bytes */
    bool blas;      /* the library has a plan for it */
    int n_sms;
    size_t x_size;   /* bytes of scratch for rows */
    size_t sums_len; /* int32 of scratch for sums */
    bool x16;        /* bf16, f16: x has the weights' type already */
};
/* Whether the product's own kernel can go on with gate|up or a tail. */
struct linear_plan;
bool linear_can_fuse(const struct linear_shape *s, const struct linear_plan *p);

struct linear_plan {
    enum linear_path path;
    enum linear_rows form;
    int tile_n, tile_m; /* outputs and rows of a block (GEMV: outputs alone; f32: neither) */
    int k;              /* inputs that the kernel reads: K, or K filled up with zeros in scratch */
    int rows_per_call;  /* what scratch takes at once */
};
struct linear_plan linear_choose(const struct linear_shape *s);

/* A GPU's rates, bytes and operations a second. */
struct linear_rates {
    double bytes, f32, bf16, int8;
};
extern const struct linear_rates linear_rates_h200;
struct linear_cost {
    double bytes, flops;
    double
        extra; /* bytes of copied or rounded rows and of int32 sums, before and after the product */
    double ns; /* the longer of bytes and FLOPs at these rates, and the extra bytes */
};
struct linear_cost linear_estimate(const struct linear_shape *s, const struct linear_rates *r);
/* One line a product of llama-3.1-8b (q|k|v, o, gate|up, down, lm_head), type and T, with the plan that
 * an H200 gets; `add` is called with whole lines. */
void linear_print_plan(void (*add)(void *ctx, const char *line), void *ctx);

/* --- launchers --- */

/* What the last `n_blocks` blocks of a grid do behind the product, all of whose rows are in one call. */
enum linear_tail_kind { LINEAR_TAIL_NONE, LINEAR_TAIL_HEADS, LINEAR_TAIL_QUANTIZE };
#define LINEAR_TAIL_SLICE 2048 /* a row to quantise in slices, so that many blocks share few rows */
struct linear_tail {
    enum linear_tail_kind kind;
    int n_blocks;
    unsigned *done; /* warps or blocks that are: 0 between launches */
    struct rope_kv_args heads;
    struct tensor rows; /* QUANTIZE: int8, of out and absmax, which is 0 again afterwards */
};

/* x: rows on 16 bytes; `k` inputs are read of each (a multiple of 16 bytes of them; weights are zero
 * behind the true K).  w: rows of ldw, on 16 bytes. */
struct linear_args {
    float *out;
    const void *x, *w;
    const float *x_scale; /* [rows], W8A8 */
    const float *w_scale; /* [n], int8 */
    const float *bias;    /* [n] or NULL */
    int ldo, ldx, ldw, rows, n, k;
    enum linear_type type;
    int tile_n, tile_m; /* GEMV: 16 or 32 outputs; tiles: 32|64|128 x 16|32|64, 128 x 128 */
    bool x16;           /* GEMV: x has 16 bits; tiles: always */
    /* gate|up: F; out[row][f] = silu_mul of outputs f and F + f, for f < F.  GEMV: of tile_n 32. */
    int pair;
    enum dtype out_dtype; /* pair: of out */
    unsigned *absmax;     /* pair: [rows] bits of max(|out|), raised; NULL: none */
    struct linear_tail tail;
};
void cuda_linear_gemv(const struct linear_args *a, void *stream);     /* x as in direct; not f32 */
void cuda_linear_gemv_f32(const struct linear_args *a, void *stream); /* rows <= 8 */
void cuda_linear_tile_f32(const struct linear_args *a, void *stream);
/* x: bf16, f16 or (W8A16) turned bf16, of linear_rows. */
void cuda_linear_tile_mma(const struct linear_args *a, void *stream);
void cuda_linear_tile_int8(const struct linear_args *a, void *stream);

/* dst[rows][ld_dst] of src[rows][k], zeros behind k.  [4 or 1 T K + size of dst] */
struct linear_rows_args {
    void *dst; /* 16 bytes aligned, ld_dst as well */
    const void *src;
    int ld_dst, ld_src, rows, k;
    enum linear_rows form; /* not direct */
};
void cuda_linear_rows(const struct linear_rows_args *a, void *stream);

/* out = f32(sums) * w_scale * x_scale + bias.  [8 T N] */
struct linear_scale_args {
    float *out;
    const int32_t *sums; /* [rows][n] */
    const float *w_scale, *x_scale, *bias;
    int ldo, rows, n;
};
void cuda_linear_scale(const struct linear_scale_args *a, void *stream);

#endif
