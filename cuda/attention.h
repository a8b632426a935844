#ifndef CUDA_ATTENTION_H
#define CUDA_ATTENTION_H

/* attention.h - paged attention for prefill, chunks and decode: one operator, one captured launch.
 *
 * out[t, h, :] = sum_j softmax_j(scale q[t, h, :] . k[j, g, :]) v[j, g, :]
 * over the keys j of t's sequence with i - window < j <= i (i: t's position), g = h / (H / G).
 * q: f32 [T][ld], out: f32, bf16, f16 or int8 with a scale a row; both aligned to their elements only.
 * Rows of padding (they belong to no sequence) are neither read nor written.
 *
 * Rows.  The query heads that share a KV head are rows of the same products: flat row
 * r = token * (H / G) + head in the group, so that keys and values are read once for all of them.
 *
 * Order of a row's sum, the same whatever else is in the step: keys in steps of 32 at fixed
 * positions, 8 steps make a span; a span starts from nothing (online softmax in f32, exponents in
 * base 2), spans are merged in ascending order.  Whether one warp does all spans of a row or
 * several warps do some each (then the last of them merges, attention_finish.cuh) is therefore a matter
 * of speed, and prefill in one piece, in chunks and token by token give the same bits.
 *
 * Work.  cuda_attention_plan lists items on the host, once a step for all layers; blocks and warps
 * take items of the list in device memory by tickets, so that launches have a fixed shape:
 *   tiles   64..256 flat rows, for a whole block: chunks of more than ATTN_TILE_MIN flat rows
 *   units   up to 16 flat rows, for one warp: everything else, long ones split by spans
 * Each item is done for every KV head apart.  A window shortens items where they run.
 *
 * Only keys that exist are read: unused table entries are not, and what lies in a block behind a
 * sequence's end may hold anything.  A key that a row must not see, of the same sequence, counts as
 * weight 0 (so it must be finite, unless it lies behind the item's last row).
 *
 * Kernels: head sizes 64, 80, 96, 128, 256 with a bf16 or int8 cache by mma.sync m16n8k16, q and
 * the softmax weights rounded to bf16 (by at most 2^-8 of themselves), int8 widened exactly to bf16, its
 * scales applied in f32; everything else by f32 fused multiply-add.
 *
 * Bytes a call: for each sequence its visible keys and values once for a decode, once for each 16
 * flat rows of a short chunk and for each tile of a long one (from the L2 cache then), and
 * 8 T H E of q and out; operations 4 H E for each visible pair (attention_cost).  Nothing was
 * measured on a GPU yet.  No kernel spills registers (make cuda-check).
 *
 * Not done: tiles are not split by keys, so a single chunk of few rows far into a long context
 * leaves multiprocessors idle; the f32 kernel shares no keys between rows.
 *
 * Source: online softmax, Milakov and Gimelshein, arXiv 1805.02867; tiles in shared memory, Dao,
 * arXiv 2307.08691; spans and merging, "Flash-Decoding". */

#include "cuda/cuda.h"

#define ATTN_STEP      32  /* keys of a step */
#define ATTN_SPAN      256 /* keys of a span */
#define ATTN_UNIT      16  /* flat rows of a unit */
#define ATTN_TILE_MIN  64  /* chunks of more flat rows than that are cut into tiles */
#define ATTN_QUANT_MAX 64  /* rows of a call that quantises in its own kernel: of a decode step */

/* Work on flat rows [row, row + n_rows) of sequence `seq` over the spans [span, span + n_spans).
 * part < 0: all spans, the result goes to out.  Else the item is one of n_pieces of a unit, which share
 * ticket `ticket`, and the partial result of the i-th span's r-th row is partial row
 * part + i * n_rows + r. */
struct attn_item {
    int32_t seq, row, n_rows;
    int32_t span, n_spans;
    int32_t part, ticket, n_pieces;
    int32_t q0, pos0; /* token row and position of the sequence's first query */
};

/* The list as it lies in device memory: tiles, then units. */
struct attn_list {
    int32_t n_tiles, n_units;
    struct attn_item items[];
};

/* What a plan depends on beside the step. */
struct attn_config {
    int group; /* query heads of a KV head */
    int n_kv_heads;
    int tile_rows; /* 0: no tiles */
    int n_blocks;  /* that run at a time */
    int n_warps;   /* that take units at a time */
    int units_max; /* tickets */
    int items_max; /* room of the list */
    int parts_max; /* partial rows */
};

/* The units that any step within `l` has before they are split, and the room its list needs. */
int attention_units_max(const struct backend_limits *l, const struct attn_config *c);
int attention_items_max(const struct backend_limits *l, const struct attn_config *c);
/* Fills `list` for a step.  Pure. */
void attention_plan(const struct attn_config *c, const struct step *step, struct attn_list *list);

/* Whether the tensor-core kernels have this case. */
bool attention_has_mma(int head_dim, enum dtype kv_dtype);
/* Shared memory that a block may have on a GPU of this compute capability, bytes. */
size_t attention_shared_max(int major, int minor);

/* Bytes that must move (cache once a sequence and tile, q, out), operations, and the time they take
 * at 4.3 TB/s and 600 Top/s (f32 kernels: 60). */
struct attn_cost {
    double bytes, ops, seconds;
};
struct attn_cost attention_cost(const struct backend_limits *l, int window,
                                const struct step *step);

/* --- the backend's entries --- */

enum status cuda_attention_reserve(struct cuda_backend *cb, struct error *err);
void cuda_attention_release(struct cuda_backend *cb);
/* For cb->step; after each upload, on the stream. */
void cuda_attention_plan(struct cuda_backend *cb);
/* Both attention and attention_quant of backend.h. */
void cuda_attention(struct backend *be, struct tensor out, struct tensor q,
                    const struct kv_layer *kv, struct attn_shape s);

/* --- launchers --- */

enum attn_ticket { ATTN_TICKET_TILE, ATTN_TICKET_UNIT, ATTN_TICKETS };

struct attn_args {
    const float *q;
    void *out;
    enum dtype out_dtype; /* f32, bf16, f16 */
    int q_ld, out_ld;
    /* Not NULL: rows of out (f32 then) are made int8 by whoever finishes them. */
    int8_t *quant;
    float *quant_scale;
    int quant_ld;
    unsigned *heads_done; /* [ATTN_QUANT_MAX] of each row, 0 between launches */
    struct kv_layer kv;
    enum dtype kv_dtype;
    struct attn_shape shape;
    int block_size;
    const int32_t *tables;
    int table_ld;
    const struct attn_list *list;
    unsigned *tickets;     /* [ATTN_TICKETS], 0 between launches */
    unsigned *pieces_done; /* [ticket of a split unit][G], 0 between launches */
    float *part_o;         /* [partial row][G][part_pitch] */
    float *part_ml;        /* [partial row][G][2]: maximum (base 2), sum of weights */
    int part_pitch;        /* E rounded up to 4 */
    int n_sms;
    size_t shared_max;
};

#ifdef __cplusplus
extern "C" {
#endif
void cuda_attention_mma(const struct attn_args *a, void *stream);
void cuda_attention_simple(const struct attn_args *a, void *stream);
/* Of the kernel that cuda_attention_mma chooses: rows of a tile (0: none), warps that take units. */
void cuda_attention_mma_shape(int head_dim, size_t shared_max, int *tile_rows, int *unit_warps);
#ifdef __cplusplus
}
#endif

#endif
