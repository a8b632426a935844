#ifndef ENGINE_CPU_KERNELS_H
#define ENGINE_CPU_KERNELS_H

/* kernels.h - what differs between instruction sets: one table of functions, chosen at open.
 *
 * kernels_scalar.c is plain C; kernels_avx2.c and kernels_avx512.c give vec_*.h their vectors and
 * include the same bodies (body_*.h).  A kernel works on one row, or on one tile of rows, in one
 * thread; splitting over threads is the callers' business (linear.c, attention.c, rows.c).
 *
 * Every output is one chain of operations in a fixed order, whatever tile it is computed in, so
 * that a row's bits do not depend on its neighbours.  The f32 and bf16 linears keep the same
 * order (k ascending, fused multiply-add; W8A16 is one of them) and the integer linears the same
 * integers in every table: their results are equal bit for bit across instruction sets.  Three are
 * other number schemes: the linears of bf16 and of W8A16 weights and the attention over bf16 of
 * avx512_bf16, which round their inputs to bf16 and sum them by vdpbf16ps, for one row as for many. */

#include "engine/backend.h"

/* --- linear ---------------------------------------------------------------------------------
 * Weights are packed in panels of as many outputs as the table's widest register tile: 64, or 16
 * with few registers (a last panel of 64 may be one of 16, 32 or 48).  A panel is
 * [k step][output] with 4 bytes for each output in each step: one f32, two bf16 or four int8 of
 * consecutive k, so that 16 outputs are one 64-byte line in every format.
 * W8A16: the int8 weights of four consecutive k lie in a line one k after the other, 16 bytes each, for
 * that is what one instruction widens.
 * Four-bit weights (quant4.h) are q + 8 in groups of 16 steps, each step eight consecutive k: the
 * first four in the low halves of the bytes, the others in the high halves.  Behind the steps of a
 * group stand its f16 scales, 32 bytes for each line of outputs. */
enum weight_format { WF_F32, WF_BF16, WF_I8, WF_W8A16, WF_I4, WF_COUNT };

#define PANEL          64 /* outputs of the widest panel */
#define LANES          16 /* outputs in a line */
#define LINE           64 /* bytes */
#define MAX_TILE       6  /* rows of a register tile: 6 x 64 f32 are 24 of 32 zmm registers */
#define MAX_CHUNK_ROWS (16 * MAX_TILE)

struct linear_args {
    float *out;
    const void *x;        /* [rows, k] f32; int8 of int8 and int4; bf16 of round_bf16 */
    const float *x_scale; /* int8, int4: [rows] */
    const int32_t
        *x_sum; /* int8: [rows] sum of the row's integers, or NULL; int4: [rows, groups] */
    int ldo, ldx;
    int n, k;
    size_t line_size;   /* bytes of one line of outputs over all of k */
    int panel;          /* outputs of a whole panel */
    const void *data;   /* panels */
    const float *scale; /* int8, W8A16: [n] */
    const float *bias;  /* [n] or NULL */
    bool to_l2;         /* cpu_fetches_to_l2() */
};
/* Rows [row0, row1) of one panel's outputs, at most MAX_CHUNK_ROWS.  next: the panel's data that this
 * thread will probably want afterwards, fetched meanwhile, or NULL. */
typedef void linear_panel_fn(const struct linear_args *a, int panel, int row0, int row1,
                             const void *next);

/* Outputs of panel `p` that exist, and the lines of 16 they take. */
static inline int panel_outputs(const struct linear_args *a, int p)
{
    const int left = a->n - p * a->panel;
    return left < a->panel ? left : a->panel;
}
static inline const void *panel_data(const struct linear_args *a, int p)
{
    return (const char *)a->data + (size_t)p * (size_t)(a->panel / LANES) * a->line_size;
}

/* --- attention -------------------------------------------------------------------------------
 * A tile is up to ATTN_TILE consecutive tokens of the cache starting at a multiple of ATTN_TILE.
 *
 * Keys stand as [E / k_group][block_size][k_group], so that lanes are tokens, and values as
 * [block_size / v_group][v_pitch][v_group]; the groups are the table's.  Groups of one are summed
 * in f32, with queries that come multiplied by scale * log2(e).  Larger groups are taken one 32-bit
 * word at a time ("dot"):
 *   KV_BF16, groups of 2 (all but scalar): without round_bf16 the halves of a word are widened, and
 *     queries, weights and sums are f32; with it queries and weights are rounded to bf16.
 *   KV_I8, groups of 4 and 2 (every table): queries are int8 with a scale a row, and their products
 *     with the integers of keys the same sums everywhere.  A tile's weights times the scales of
 *     their values are integers of ATTN_WEIGHT_BITS, against the largest of both in the tile. */
#define ATTN_TILE        256
#define ATTN_GROUPS      (ATTN_TILE / LANES)
#define ATTN_ROWS        48 /* rows of one call at most: enough to pay for reading the keys */
#define ATTN_WEIGHT_BITS 14 /* 256 products with values of 127 stay below 2^29 */

/* Dot forms: bytes between rows of queries and of scores or weights, constants so that a row's
 * address is an offset, and no power of two, which would put all rows into the same cache sets. */
#define ATTN_Q_PITCH (LIMIT_HEAD_DIM * 4 + LINE)
#define ATTN_S_PITCH (ATTN_TILE * 4 + LINE)

/* How keys and values are stored.  KV_I8: integers of -127..127, those of keys with the table's
 * k8_flip, and for each token and head one scale for its key and one for its value. */
enum kv_format { KV_F32, KV_BF16, KV_I8, KV_COUNT };

struct attn_tile {
    const void *k[ATTN_GROUPS], *v[ATTN_GROUPS];              /* per 16 tokens */
    const float *k_scale[ATTN_GROUPS], *v_scale[ATTN_GROUPS]; /* KV_I8: [16] */
    int k_stride, v_stride;                                   /* block_size and v_pitch */
    int head_dim;
    int lo, hi; /* tokens of the tile that any row sees: the others may hold anything */
    /* The tile that the caller takes next, to be fetched meanwhile, or NULL. */
    const struct attn_tile *next;
};
struct attn_rows {
    int n;         /* 1..MAX_TILE; dot forms: 1..ATTN_ROWS */
    const void *q; /* f32 [n][ldq]; dot forms: [n] of ATTN_Q_PITCH bytes, zeros behind head_dim */
    float *s;      /* scratch: [n][ATTN_TILE]; dot forms: [n] of ATTN_S_PITCH bytes */
    void *edge;    /* scratch of dot forms: [2][16][v_stride] values */
    float *o;      /* [n][ldo] running sum of values; ldo a multiple of 16 */
    float *m, *l;  /* [n] running maximum (log2) and sum of weights */
    int ldq, ldo;
    const float *q_scale;             /* dot forms: [n] what turns a score into units of log2 */
    const int32_t *q_sum;             /* KV_I8: [n] sum of the query's integers */
    int lo[ATTN_ROWS], hi[ATTN_ROWS]; /* tokens of the tile that each row sees; hi <= lo: none */
};

struct cpu_kernels {
    const char *name;
    uint8_t w8_flip; /* int8 weights are stored as q ^ w8_flip, those of W8A16 as q */
    uint8_t k8_flip; /* keys of an int8 cache; another where a table borrows its attention */
    int panel;       /* outputs of a panel: 16 or 64 */
    linear_panel_fn *linear[WF_COUNT];
    int32_t (*sum_i8)(const int8_t *x, int n);

    /* out = x / rms(x) * gain; out may be x */
    void (*rmsnorm)(float *out, const float *x, const float *gain, int n, float eps);
    void (*add)(float *acc, const float *x, int n);
    /* q = round(x * 127 / absmax); returns absmax / 127 (0 for a row of zeros) */
    float (*quantize)(int8_t *q, const float *x, int n);
    void (*silu_mul)(float *out, const float *gate, const float *up, int n);
    /* Rotates (x[i], x[i + half]) of each head by the angles of cos[half], sin[half]. */
    void (*rope)(float *x, const float *cos, const float *sin, int half, int n_heads);
    void (*widen_bf16)(float *out, const uint16_t *x, int n);
    /* Rounds the inputs of the bf16 and W8A16 linears (to nearest even; below 2^-126: 0), and writes a
     * zero behind an odd n.  NULL where they read f32. */
    void (*round_bf16)(uint16_t *out, const float *x, int n);

    /* Takes one tile into the rows' running m, l and o. */
    void (*attention[KV_COUNT])(const struct attn_tile *t, struct attn_rows *r);
    int k_group[KV_COUNT], v_group[KV_COUNT];

    const struct sample_kernels *sample; /* sample_kernels.h: the same bits in every table */
};

extern const struct cpu_kernels cpu_kernels_scalar, cpu_kernels_avx2, cpu_kernels_avx2_vnni,
    cpu_kernels_avx512, cpu_kernels_avx512_bf16;

/* kernels_avx2vnni.c */
#define CPU_AVX2VNNI_W8_FLIP 128
linear_panel_fn cpu_avx2vnni_panel_i8, cpu_avx2vnni_panel_i4;

/* kernels_avx512bf16.c */
linear_panel_fn cpu_avx512_panel_dot16, cpu_avx512_panel_w8dot16;
void cpu_avx512_round_bf16(uint16_t *out, const float *x, int n);
void cpu_avx512_attention_bf16(const struct attn_tile *t, struct attn_rows *r);

/* attention_*.c */
void cpu_avx2_attention_widened(const struct attn_tile *t, struct attn_rows *r);
void cpu_avx512_attention_widened(const struct attn_tile *t, struct attn_rows *r);

/* The table called `isa` ("auto" = the best that this CPU runs), or an error that says why not. */
enum status cpu_kernels_choose(const char *isa, const struct cpu_kernels **out, struct error *err);

/* Whether weights on their way from memory should end in the L2 cache first: on Intel's cores 16 lines can
 * be on their way to the L1, 48 to the L2. */
bool cpu_fetches_to_l2(void);

/* --- conversions, exact or to nearest even --- */
union f32_bits {
    float f;
    uint32_t u;
};
static inline float bf16_to_f32(uint16_t h)
{
    return (union f32_bits){.u = (uint32_t)h << 16}.f;
}
static inline uint16_t f32_to_bf16(float x)
{
    const uint32_t u = (union f32_bits){.f = x}.u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40); /* stay NaN */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
/* Beyond the largest finite value: that one. */
static inline uint16_t f32_to_f16(float x)
{
    const uint32_t u = (union f32_bits){.f = x}.u, sign = u >> 16 & 0x8000, rest = u & 0x7fffffffu;
    if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7bffu);
    if (rest >= 0x38800000u)
        return (uint16_t)(sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13);
    /* Subnormal: an addition rounds it to a multiple of 2^-24. */
    const float sum = (union f32_bits){.u = rest}.f + 0.5f;
    return (uint16_t)(sign | ((union f32_bits){.f = sum}.u - 0x3f000000u));
}
static inline float f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) return (union f32_bits){.u = sign | 0x7f800000u | (rest & 0x3ff) << 13}.f;
    /* Shift into place, then let a multiplication rebias the exponent: exact, subnormals too. */
    const float magnitude = (union f32_bits){.u = rest << 13}.f * 0x1p112f;
    return (union f32_bits){.u = (union f32_bits){.f = magnitude}.u | sign}.f;
}

/* Below this a row's largest value counts as 0: 127 / absmax would overflow. */
#define QUANT_TINY 1e-35f

#endif
