#ifndef TESTS_OPS_CASES_H
#define TESTS_OPS_CASES_H

/* cases.h - one table of operator cases, for correctness and for bandwidth.
 *
 * A case is an operator, its shape and a seed.  inputs_make() turns the seed into numbers,
 * reference_run() computes the answer in plain float64, case_run() asks a backend.  All outputs
 * are rows of f32; a quantised row is its integers and then its scale. */

#include "engine/backend.h"

#include <stdio.h>

enum case_op {
    CASE_LINEAR,
    CASE_RMSNORM,
    CASE_ADD_RMSNORM,
    CASE_HEAD_NORM,
    CASE_ADD,
    CASE_QUANTIZE,
    CASE_SILU_MUL,
    CASE_EMBED,
    CASE_ROPE,
    CASE_ATTENTION,
    CASE_LINEAR_SILU_MUL, /* gate|up and what follows it */
    CASE_LINEAR_QKV,      /* q|k|v, norms, rotation; what the cache gets is compared in steps.c */
    CASE_OP_COUNT
};

#define CASE_SEQS 4

struct op_case {
    enum case_op op;
    int T, N, K;      /* LINEAR: rows, outputs, inputs; the others: T rows of N */
    enum dtype dtype; /* of weights, tables, KV cache */
    bool quant;       /* LINEAR*: integers; norms, ATTENTION, *SILU_MUL: quantised output */
    bool int4;        /* LINEAR with quant: the weights are 4-bit groups, else int8 */
    bool w8a16;       /* LINEAR without quant: int8 weights, inputs that are not quantised */
    bool bias;
    bool exact; /* integer-valued inputs: the answer must match bit for bit */
    int heads, kv_heads, head_dim, block_size, window;
    /* ATTENTION: tokens of each sequence, and the first one whose output is wanted */
    int n_seqs, len[CASE_SEQS], skip;
    int chunk; /* tokens of a sequence in one step; 0 = all */
    /* ATTENTION: weights are powers of two down to 2^-6, which every number scheme holds exactly;
     * scores are integers in units of log2. */
    bool powers;
    struct rope_params rope;
    const int *positions; /* ROPE, LINEAR_QKV: [T] */
    bool norms;           /* LINEAR_QKV: of the heads of q and k */
    uint64_t seed;
    bool bench; /* too large for the tests: only --bench runs it */
};

typedef void case_fn(const struct op_case *c, void *arg);
void cases_each(case_fn *fn, void *arg);
void case_name(const struct op_case *c, char *out, size_t size);
/* Output rows and columns. */
int case_rows(const struct op_case *c);
int case_cols(const struct op_case *c);
/* Whether every instruction set must give the same bits. */
bool case_same_on_every_isa(const struct op_case *c);
/* What becomes of a case's x before the products of one backend: bf16 or f16 for weights in that type,
 * bf16 for the queries that tensor cores or vdpbf16ps take, int8 for queries over an int8 cache on a
 * CPU (the reference's own form of such a case). */
enum input_form { INPUTS_AS_THEY_ARE, INPUTS_BF16, INPUTS_F16, QUERIES_AS_THEY_ARE, QUERIES_BF16 };
enum input_form case_input_form(const struct op_case *c, const char *isa);
bool case_has_mma(const struct op_case *c);    /* ATTENTION on a GPU */
bool case_is_product(const struct op_case *c); /* a linear, or one with what follows it */
/* ATTENTION: what the score is multiplied by. */
float case_scale(const struct op_case *c);

/* Numbers of one case; all f32 and exactly representable in the case's dtype. */
struct inputs {
    float *x;    /* [T][x cols]; ATTENTION: q[rows][H*E] */
    float *y;    /* ADD, ADD_RMSNORM: second operand [T][N]; ROPE, ATTENTION: k[rows][G*E];
                  * LINEAR_QKV: gains [2][E] */
    float *z;    /* ATTENTION: v */
    float *w;    /* LINEAR*: [N][K] (SILU_MUL: [2 N][K]); norms: gain; EMBED: table [K][N] */
    float *bias; /* LINEAR [N] */
    int32_t *ids;
    bool queries_as_they_are; /* ATTENTION over int8: q is not made int8 first */
};
void inputs_make(const struct op_case *c, struct inputs *in);
void inputs_free(struct inputs *in);
/* Numbers in x of a linear or an attention. */
size_t inputs_x_len(const struct op_case *c);

/* float64, written from the formulas; shares no code with the kernels. */
void reference_run(const struct op_case *c, const struct inputs *in, double *out);
/* The same numbers a bf16 cache or weight holds. */
float reference_round_bf16(float x);
float reference_round_f16(float x); /* to nearest even; beyond the largest finite value: that one */

/* Which part of a case to run: rows [row0, row0 + n_rows), or for ATTENTION one sequence. */
struct case_part {
    int row0, n_rows; /* n_rows 0: all */
    int seq;          /* ATTENTION: -1 = all */
    int chunk;        /* ATTENTION */
    bool composed;    /* take fused forms apart */
};
/* out[rows][cols] of the part.  Prints and returns false when the backend fails or writes outside
 * its output. */
bool case_run(const struct op_case *c, const struct inputs *in, const struct case_part *part,
              struct backend *be, float *out);

/* steps.c: what is not a function of one operator's rows.  Each returns its number of failures
 * and adds to *n_run. */
int steps_run(const char *isa, int *n_run);

/* bench.c */
int bench_run(const char *isa, const char *filter);

#endif
