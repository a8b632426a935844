#ifndef TESTS_OPS_RUN_H
#define TESTS_OPS_RUN_H

/* run.h - buffers with canaries around them, and backends made to a case's measure.
 *
 * Buffers are device memory that the host can address: plain memory on the CPU. */

#include "tests/ops/cases.h"

/* A view inside a larger buffer: one row above and below, three columns left, and what the
 * allocator's row padding gives on the right.  All of it holds a canary (a NaN for floats), so
 * that a stray read shows up in the result and a stray write in guard_intact(). */
struct guarded {
    struct tensor all, view;
};
bool guard_alloc(struct backend *be, enum dtype dtype, int rows, int cols, struct guarded *g);
void guard_fill(struct guarded *g, const float *from, size_t from_ld); /* f32 */
bool guard_intact(const struct guarded *g, const char *what);

/* The backend called `isa`: an instruction set of the CPU, or BACKEND_CUDA, which is the plug-in that
 * run_use_plugin named, with tensors that the host can address. */
#define BACKEND_CUDA "cuda"
void run_use_plugin(const char *path);
enum status run_backend_open(struct backend **out, const char *isa, int n_threads,
                             struct error *err);
/* Waits for what was enqueued: before the host reads or writes device memory. */
void run_settle(struct backend *be);

/* Opens and reserves a backend that the case fits; NULL (with a message) when that fails. */
struct backend *case_open(const struct op_case *c, const char *isa, int n_threads);
/* A weight of f32 values, stored as `dtype`; NULL with a message when that fails. */
struct weight *case_weight(struct backend *be, const float *values, int rows, int cols,
                           enum dtype dtype, enum weight_kind kind, enum quant_scheme quant,
                           const float *bias);

/* Rows as f32, `out_ld` apart; int8: the integers, and the scale as the last column. */
void case_copy_rows(const struct tensor *t, float *out, size_t out_ld);

/* How the weights of a linear case are held. */
static inline enum quant_scheme case_scheme(const struct op_case *c)
{
    if (c->w8a16) return QUANT_INT8_W8A16;
    return c->int4 ? QUANT_INT4 : c->quant ? QUANT_INT8 : QUANT_NONE;
}

/* Attention over a pool of the backend: a shuffled page for each block of each sequence. */
int pages_needed(const struct op_case *c);
void pages_shuffle(const struct op_case *c, int32_t *table, int table_ld);
int pages_ld(const struct op_case *c);

/* run_attention.c */
bool case_run_attention(const struct op_case *c, const struct inputs *in,
                        const struct case_part *part, struct backend *be, float *out);

#endif
