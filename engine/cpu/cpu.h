#ifndef ENGINE_CPU_CPU_H
#define ENGINE_CPU_CPU_H

/* cpu.h - private state of the CPU backend.
 *
 *   backend.c    life: open, close, reserve, KV pool, buffers
 *   weight.c     packing of parameters; quant4.c four-bit groups
 *   step.c       upload, RoPE angles, sampling, download
 *   rows.c       operators that work row by row
 *   linear.c     matrix products
 *   attention.c  attention over pages
 *   pool.c       worker threads; cpu_count.c how many; topology.c where
 *   numa.c       memory of machines with several nodes
 *   isa.c, kernels_*.c, body_*.h   what the instruction sets differ in
 *   probe*.c     what the machine can do at most
 *
 * The CPU runs each operator when it is called.  One thread owns all of it; workers see what
 * pool_run gives them. */

#include "engine/backend.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/pool.h"

struct weight {
    enum weight_kind kind;
    enum weight_format format; /* LINEAR */
    enum dtype dtype;          /* EMBED: f32 or bf16 rows; VECTOR: f32 */
    int n, k;
    size_t line_size; /* LINEAR: bytes of 16 outputs */
    void *data;
    size_t size;
    float *scale;  /* [n] int8, W8A16 */
    float *bias;   /* [n] or NULL */
    bool borrowed; /* the arrays are another's */
};

struct kv_layer {
    /* In groups of the kernels' k_group elements of a key and v_group tokens (kernels.h): */
    void *k; /* [block][G][k_pitch / k_group][block_size][k_group]: lanes are tokens */
    void *v; /* [block][G][block_size / v_group][v_pitch][v_group] */
    /* Behind the keys and behind the values of each int8 block: scales, f32 [G][block_size]. */
};

/* One item of attention's work: adjacent rows of one sequence (times one KV head). */
struct attn_item {
    int32_t seq, row0, n_rows;
    int32_t pos0; /* position of row0 */
};

/* Memory that lives until close. */
struct cpu_block {
    struct cpu_block *next;
    void *data;
    size_t size;
};

struct cpu_backend {
    struct backend base; /* first */
    const struct cpu_kernels *kernels;
    bool fetches_to_l2;
    struct pool *pool;
    struct cpu_block *blocks;
    struct backend_limits limits;
    char layout[64]; /* weight.c: cpu_weight_layout */

    /* KV pool */
    struct kv_layer *layers;
    enum kv_format kv_format;
    size_t kv_item_size;               /* bytes of one element */
    size_t k_block_size, v_block_size; /* bytes of one block in one layer */
    size_t k_scales_at, v_scales_at;   /* int8: where in a block its scales begin */
    int k_pitch, v_pitch;              /* E rounded up to k_group, to 8 */
    int k_group, v_group;

    /* RoPE: rows of [cos[E/2] | sin[E/2]] */
    struct rope_params rope;
    bool has_rope;
    double *inv_freq;
    double rope_factor;
    int inv_freq_len;    /* sequence length that inv_freq is for (dynamic) */
    float *rope_table;   /* [rope_table_rows][E], filled when a position is first used */
    uint8_t *rope_known; /* [rope_table_rows] */
    int rope_table_rows;
    float *rope_step;          /* [max_tokens][E]: angles that the table does not hold */
    const float **rope_angles; /* [max_tokens] of the whole step's rows */

    /* the step as uploaded */
    struct step whole;
    int32_t *token_ids;         /* [max_tokens] with token_src resolved */
    struct sample_out *samples; /* [max_samples] */

    /* the rows of it that operators see: all, or a block (cpu_step_select) */
    struct step step;          /* token_ids resolved; samples' rows stay those of `whole` */
    const float **angles;      /* [step.n_tokens] */
    struct sample_out *drawn;  /* [step.n_samples] */
    int32_t *q_start, *kv_len; /* [max_seqs + 1], [max_seqs] of a block */
    int32_t *logit_rows;       /* [max_samples] distinct rows that samples name */
    int32_t *sample_rows;      /* [max_samples] the logits row of each sample */
    int n_logits;
    struct attn_item *items; /* [max_tokens] */
    int n_items;
    double attn_pairs; /* sum over rows of keys seen, windows aside */

    /* scratch */
    int32_t *x_sum;         /* [max rows][groups of the widest row] of the integer linears */
    uint16_t *x_bf16;       /* [max rows][cpu_bf16_pitch] inputs of a linear that rounds them */
    float *row_scratch;     /* [workers][max_cols] */
    size_t row_scratch_len; /* floats per worker */
    char *sample_scratch;   /* [workers] */
    size_t sample_scratch_size;
    struct attn_scratch *attn; /* attention.c */
    size_t x_sum_len, x_bf16_len;
};

static inline struct cpu_backend *cpu_of(struct backend *be)
{
    return (struct cpu_backend *)be;
}

/* Elements between rows of bf16 inputs: whole lines, and not a multiple of a page, where all rows
 * would share their cache sets. */
static inline int cpu_bf16_pitch(int cols)
{
    const int ld = (cols + 31) / 32 * 32;
    return ld % 2048 == 0 ? ld + 32 : ld;
}

/* --- memory.c: zeroed, 64-byte aligned memory; huge pages when large --- */
void *cpu_memory_map(size_t size);
void cpu_memory_unmap(void *p, size_t size);
/* The same, for the backend's life; counts and sizes are multiplied with overflow checks. */
enum status cpu_memory_alloc(struct cpu_backend *cb, void **out, size_t n, size_t item_size,
                             const char *what, struct error *err);
/* The backend takes over a mapping, also where this fails. */
enum status cpu_memory_own(struct cpu_backend *cb, void *data, size_t size, struct error *err);
void cpu_memory_release(struct cpu_backend *cb); /* all of the backend's */

/* --- numa.c --- */
/* Spreads pages that nobody has touched yet over the nodes of this process's CPUs, when there are
 * several, so that all their memory controllers serve every thread. */
void cpu_numa_interleave(void *p, size_t size);

/* --- weight.c --- */
enum status cpu_weight_prepare(struct backend *be, const struct weight_source *src,
                               struct weight **out, struct error *err);
void cpu_weight_free(struct backend *be, struct weight *w);
const char *cpu_weight_layout(struct backend *be);
void cpu_weight_arrays(struct backend *be, const struct weight *w, struct weight_arrays *out);
enum status cpu_weight_adopt(struct backend *be, const struct weight_source *shape,
                             const struct weight_arrays *arrays, struct weight **out,
                             struct error *err);
size_t cpu_weight_size(const struct weight *w);
enum dtype cpu_activation_dtype(struct backend *be, const struct weight *w);

/* --- step.c --- */
enum status cpu_step_reserve(struct cpu_backend *cb, struct error *err);
void cpu_step_upload(struct backend *be, const struct step *step);
/* Shows operators the uploaded step's rows [row0, row0 + n_rows). */
void cpu_step_select(struct cpu_backend *cb, int row0, int n_rows);
enum status cpu_step_run(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                         void *model, struct error *err);
enum status cpu_step_download(struct backend *be, struct step_result *out, struct error *err);
void cpu_sample(struct backend *be, struct tensor logits);

/* --- rows.c --- */
void cpu_copy_blocks(struct backend *be);
void cpu_embed(struct backend *be, struct tensor out, const struct weight *table);
void cpu_rmsnorm(struct backend *be, struct tensor out, struct tensor x, const struct weight *gain,
                 float eps);
void cpu_add_rmsnorm(struct backend *be, struct tensor out, struct tensor residual, struct tensor x,
                     const struct weight *gain, float eps);
void cpu_add(struct backend *be, struct tensor acc, struct tensor x);
void cpu_quantize(struct backend *be, struct tensor out, struct tensor x);
void cpu_head_norm(struct backend *be, struct tensor x, int n_heads, const struct weight *gain,
                   float eps);
void cpu_rope(struct backend *be, struct tensor q, struct tensor k, struct attn_shape s);
void cpu_kv_write(struct backend *be, struct kv_layer *kv, struct tensor k, struct tensor v);
void cpu_norm_rope_kv_write(struct backend *be, struct tensor q, struct tensor k, struct tensor v,
                            struct kv_layer *kv, struct attn_shape s, struct head_norms n);
void cpu_silu_mul(struct backend *be, struct tensor out, struct tensor gate_up);
void cpu_gather_rows(struct backend *be, struct tensor out, struct tensor x);
void cpu_allreduce(struct backend *be, struct tensor x);

/* --- linear.c, attention.c --- */
void cpu_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w);
enum status cpu_attention_reserve(struct cpu_backend *cb, struct error *err);
void cpu_attention_plan(struct cpu_backend *cb); /* fills items for cb->step */
void cpu_attention(struct backend *be, struct tensor out, struct tensor q,
                   const struct kv_layer *kv, struct attn_shape s);

#endif
