#ifndef ENGINE_BACKEND_H
#define ENGINE_BACKEND_H

/* backend.h - what one device must be able to do.
 *
 * The model graph (engine/model.c) is written once, against ops.h, and never names a backend.
 * Backends: engine/cpu (always built), cuda (a plug-in: plugin.h).
 *
 * Contract of every operator:
 *   - it enqueues work on the backend's stream and returns; it never waits;
 *   - it allocates nothing: all buffers are sized at open from `struct backend_limits`;
 *   - its pointers are the same in every step of one bucket, so that run() may capture the whole
 *     forward pass once and replay it;
 *   - on the host it branches only on shapes and on `struct step_dims`, never on device data; what
 *     differs from step to step (ids, positions, tables, sampling) is staged by step_upload();
 *   - a row's result depends on that row alone, bit for bit: the order of a reduction never
 *     depends on how many other rows there are, or on how they are split over threads.  One exception:
 *     a GPU's floating-point linears choose their kernel by the number of rows (cuda/linear.h).
 *
 * Letters: T token rows, D model width, H query heads, G KV heads, E head width, F ffn width,
 * R logit rows, V vocabulary, N/K a linear's outputs/inputs.
 * Threads: a backend belongs to the thread that runs the engine; it may have workers of its own. */

#include "config/base/status.h"
#include "engine/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype { DT_F32, DT_F16, DT_BF16, DT_I8, DT_I32, DT_COUNT };
size_t dtype_size(enum dtype t);
const char *dtype_name(enum dtype t); /* "float32", "float16", "bfloat16", "int8", "int32" */

/* A view of device memory: never owns.  Row-major; rows may be padded to `ld`.
 * DT_I8 activations carry one f32 scale per row: real value = data * scale[row]. */
struct tensor {
    void *data;
    float *scale; /* [rows]; NULL unless DT_I8 */
    enum dtype dtype;
    int rows, cols;
    int ld; /* elements between rows, >= cols */
};

/* A matrix or vector of parameters in the layout its backend prefers; opaque. */
struct weight;

/* How linears hold their weights and do their sums.  The scheme decides the numbers, never the
 * batch size. */
enum quant_scheme {
    QUANT_NONE, /* as stored (f16 becomes f32 or stays, by the backend's choice: exact either way) */
    QUANT_INT8,       /* W8A8: weights per output channel (absmax/127, round to nearest even),
                 * activations per token (absmax/127), int32 sums */
    QUANT_INT8_W8A16, /* the weights of INT8 with activations that are not quantised: sums of
                       * integers times inputs in f32, then the output's scale.  Inputs are f32, or
                       * rounded to bf16 where bf16 weights' are (a GPU; CPUs with AVX512_BF16) */
    QUANT_INT4, /* W4A8: weights in groups of 128 inputs, q in [-8, 7] to nearest even times an f16
                 * scale that keeps the squared error small; activations as for INT8; int32 sums
                 * within a group, f32 sums over the groups */
};

enum weight_kind {
    WEIGHT_LINEAR, /* [N, K]: out[T,N] = x[T,K] * W^T; may be quantised */
    WEIGHT_EMBED,  /* [V, D] rows are looked up */
    WEIGHT_VECTOR, /* [1, N] gains and biases; held as f32 */
};

/* Host memory to make a weight of; read during weight_prepare only.  Up to three parts are
 * stacked along the rows (fused q|k|v and gate|up), all with the same cols and dtype. */
struct weight_source {
    int n_parts;
    struct {
        const void *data; /* [rows, cols] row-major, dense */
        int rows;
        /* Where backend.takes_stored: */
        bool as_stored;    /* data is of type `stored`, at any address, and becomes `dtype` as */
        enum dtype stored; /* convert_elements has it */
        int fd;            /* > 0: the same bytes are in this file from file_at on; reading them */
        uint64_t file_at;  /* there costs no page faults, and a file that was cut is an error */
    } parts[3];
    int cols;
    enum dtype dtype;
    enum weight_kind kind;
    enum quant_scheme quant;          /* LINEAR only */
    const struct weight_source *bias; /* LINEAR: [1, sum of rows] as up to three parts, or NULL */
};

/* The arrays that a prepared weight consists of, each aligned to 64 bytes: what another process needs
 * to have the same weight. */
struct weight_arrays {
    int n;
    struct {
        const void *data;
        size_t size;
    } items[3];
};

enum { BLOCK_SIZE_STEP = 16, BLOCK_SIZE_MAX = 256 };

struct backend_limits {
    int max_tokens;  /* T of the largest step */
    int max_seqs;    /* S */
    int max_samples; /* R */
    int max_blocks_per_seq;
    int n_blocks;   /* of the KV pool; 0 where the backend has reserve_pool(): that follows */
    int block_size; /* a multiple of BLOCK_SIZE_STEP up to BLOCK_SIZE_MAX */
    int n_layers, n_kv_heads, head_dim, n_heads;
    int max_cols; /* widest activation row: max of 2F, (H+2G)E, D */
    int vocab_size;
    enum dtype kv_dtype; /* DT_F32, DT_BF16 or DT_I8 (a scale for each token and head) */
};

/* One layer's cache: [n_blocks] blocks of block_size tokens, G heads, E wide, keys and values;
 * the layout inside a block is the backend's. */
struct kv_layer;

struct attn_shape {
    int n_heads, n_kv_heads, head_dim;
    float scale;
    int window; /* 0 = full; else key j is seen by query i iff i - window < j <= i */
};

/* Gains of the norms of q's and k's heads, [E] each; q NULL: the model has none. */
struct head_norms {
    const struct weight *q, *k;
    float eps;
};

enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_LLAMA3, ROPE_YARN };

/* Rotary embedding, half-split pairing (x[i], x[i + E/2]) as Hugging Face has it. */
struct rope_params {
    enum rope_type type;
    int dim; /* E (partial rotary is refused at load) */
    double theta, factor;
    int original_max_position;
    double low_freq_factor, high_freq_factor;      /* llama3 */
    double beta_fast, beta_slow, attention_factor; /* yarn */
    bool truncate;                                 /* yarn: round the correction range */
};
/* inv_freq[dim/2] for a sequence of `len` tokens (only ROPE_DYNAMIC looks at len); returns the
 * factor that cos and sin are multiplied by.  Pure; engine/rope.c. */
double rope_inv_freq(const struct rope_params *p, int len, double *inv_freq);
/* out[dim]: the cosines of a position's angles, then the sines, both times `factor`.  The angles are
 * products in double, so that far positions keep their precision.  Pure. */
void rope_angles(const double *inv_freq, int dim, double factor, int position, float *out);

/* What no backend takes: part of each reserve().  rope NULL: none.  INVALID, UNSUPPORTED. */
enum status backend_limits_check(const struct backend_limits *l, const struct rope_params *rope,
                                 struct error *err);

/* The sizes of one forward pass, and of a captured graph. */
struct step_dims {
    int n_tokens; /* T (padded, on a backend that captures) */
    int n_logits; /* distinct logit rows */
};

/* What a device does at best, a second, by its clocks and widths; 0: not known. */
struct device_peaks {
    double memory_bytes, int8_ops, bf16_ops, f32_ops; /* a product and its addition are two */
    size_t cache_size;                                /* bytes of the last-level cache */
};

/* What a backend holds of the device's memory and of pinned memory of the host. */
struct backend_usage {
    size_t device, pinned;             /* bytes */
    size_t pinned_most;                /* that there were at one time */
    uint64_t n_allocations;            /* of either, since open, captured steps too */
    bool device_failed, pinned_failed; /* which of the two the last one was for that failed */
    /* What is taken of the device beside these, at most: by weight_prepare until reserve(); by warm() for
     * code. */
    size_t load, code;
    int n_captured, n_to_capture; /* buckets */
};

struct backend;
typedef void host_job_fn(void *ctx, int i);
typedef void forward_fn(struct backend *be, const struct step_dims *dims, void *model);

struct backend_ops {
    const char *name; /* "cpu", "cuda" */

    /* --- life --- */
    void (*close)(struct backend *be);
    enum status (*weight_prepare)(struct backend *be, const struct weight_source *src,
                                  struct weight **out, struct error *err);
    void (*weight_free)(struct backend *be, struct weight *w);
    /* The next four are for weights that outlive the process (load/packed_cache.h); NULL: a backend
     * that has none, and host_run may be NULL alone. */
    /* Everything that the arrays' bytes depend on beside their source, as words. */
    const char *(*weight_layout)(struct backend *be);
    void (*weight_arrays)(struct backend *be, const struct weight *w, struct weight_arrays *out);
    /* A weight of arrays that stay the caller's and are read until weight_free.  `shape` is the source
     * they were made of, without its data; CORRUPT when the arrays are not of that shape. */
    enum status (*weight_adopt)(struct backend *be, const struct weight_source *shape,
                                const struct weight_arrays *arrays, struct weight **out,
                                struct error *err);
    /* fn(ctx, i) for i in [0, n) on the threads that the host has; fn allocates nothing.  work_ns:
     * rough time of all on one thread. */
    void (*host_run)(struct backend *be, host_job_fn *fn, void *ctx, int n, double work_ns);
    /* Bytes of a weight as it is held: what reading it once moves. */
    size_t (*weight_size)(const struct weight *w);
    /* After all weights: buffers for `limits`, RoPE tables, and the KV pool, unless that follows
     * (limits.n_blocks 0). */
    enum status (*reserve)(struct backend *be, const struct backend_limits *limits,
                           const struct rope_params *rope, struct error *err);
    /* Bytes of the device's own memory; NULL: it is the host's, and the next five are NULL too.  Where
     * it is there, a start that is to use all of it goes: weights, reserve() without a pool, tensors,
     * warm(), and with what memory() then says reserve_pool() and capture(); after that nothing is
     * allocated.  NO_MEMORY of any of these is followed by usage(), which tells whose it was. */
    void (*memory)(struct backend *be, size_t *left, size_t *total);
    void (*usage)(struct backend *be, struct backend_usage *out);
    /* A backend of the same device that holds nothing: reserve() and tensor_alloc() on it only add up
     * what usage() then says, rounded as the device rounds, so that it can be asked what other limits
     * would take.  Nothing else but close() may be called. */
    enum status (*open_counting)(struct backend *be, struct backend **out, struct error *err);
    /* The KV pool, once, where limits.n_blocks was 0. */
    enum status (*reserve_pool)(struct backend *be, int n_blocks, struct error *err);
    /* What capture() takes of the device at most, as far as is known; after reserve(). */
    size_t (*capture_size)(struct backend *be);
    /* A capture for each bucket; after warm() with capture_steps, and with the pool. */
    enum status (*capture)(struct backend *be, forward_fn *forward, void *model, struct error *err);
    /* NULL: only measuring tells (probe.h). */
    void (*peaks)(struct backend *be, struct device_peaks *out);
    /* After all buffers exist, before the pool (or with it) and the first step: what first steps would
     * pay for otherwise, loading code; with capture_steps, that of all steps to be captured.  Touches
     * nothing of the pool.  NULL: nothing. */
    enum status (*warm)(struct backend *be, forward_fn *forward, void *model, bool capture_steps,
                        struct error *err);
    /* Waits until everything that was enqueued is done, for tests and measurements of single
     * operators; NULL: operators are done when they return. */
    enum status (*wait)(struct backend *be, struct error *err);
    struct kv_layer *(*kv_layer)(struct backend *be, int layer);
    /* An activation buffer [rows, cols], zeroed, alive until close; before the first step. */
    enum status (*tensor_alloc)(struct backend *be, enum dtype dtype, int rows, int cols,
                                struct tensor *out, struct error *err);
    /* What linear(w) reads: DT_I8 when it wants quantised rows; DT_BF16 or DT_F16 on a backend whose
     * linears round their inputs to the type of such weights, so that whoever makes the rows rounds
     * them once; else DT_F32.  linear(w) takes f32 rows too, unless it is DT_I8. */
    enum dtype (*activation_dtype)(struct backend *be, const struct weight *w);

    /* --- the step bracket: upload, run, download, in this order for each step.  The next steps may be
     * uploaded and run while the first one is under way, up to max_inflight of them; downloads come
     * in the order of the uploads.  A step's arrays stand until its download. --- */
    void (*step_upload)(struct backend *be, const struct step *step);
    /* Calls `forward` once for the whole step, or for blocks of its rows in turn (forward_rows). */
    enum status (*run)(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                       void *model, struct error *err);
    /* Waits for the oldest step that was run and copies its samples out. */
    enum status (*step_download)(struct backend *be, struct step_result *out, struct error *err);

    /* --- required operators: data comes from the uploaded step where no tensor names it --- */
    void (*copy_blocks)(struct backend *be); /* step.copies, all layers */
    void (*embed)(struct backend *be, struct tensor out, const struct weight *table); /* [T,D] */
    void (*rmsnorm)(struct backend *be, struct tensor out, struct tensor x,
                    const struct weight *gain, float eps);                    /* [T,D] */
    void (*add)(struct backend *be, struct tensor acc, struct tensor x);      /* acc += x */
    void (*quantize)(struct backend *be, struct tensor out, struct tensor x); /* f32 -> I8 rows */
    void (*linear)(struct backend *be, struct tensor out, struct tensor x,
                   const struct weight *w); /* [T,N] = [T,K]; + bias */
    /* rmsnorm over each head of x[T, n_heads*E] in place (Qwen3's q/k norm), gain[E]. */
    void (*head_norm)(struct backend *be, struct tensor x, int n_heads, const struct weight *gain,
                      float eps);
    void (*rope)(struct backend *be, struct tensor q, struct tensor k, struct attn_shape s);
    void (*kv_write)(struct backend *be, struct kv_layer *kv, struct tensor k, struct tensor v);
    void (*attention)(struct backend *be, struct tensor out, struct tensor q,
                      const struct kv_layer *kv, struct attn_shape s); /* [T,H*E] */
    void (*silu_mul)(struct backend *be, struct tensor out,
                     struct tensor gate_up); /* [T,F] = silu(g) * u */
    /* out[R', D] = rows of x that step.samples name, each once, ascending. */
    void (*gather_rows)(struct backend *be, struct tensor out, struct tensor x);
    void (*allreduce)(struct backend *be, struct tensor x);   /* nothing to do on one rank */
    void (*sample)(struct backend *be, struct tensor logits); /* [R', V] -> the step's samples */

    /* --- fused forms: NULL = composed by ops.c.  `_quant`: out is I8, or rounded to 16 bits --- */
    void (*add_rmsnorm)(struct backend *be, struct tensor out, struct tensor residual,
                        struct tensor x, const struct weight *gain, float eps);
    void (*rmsnorm_quant)(struct backend *be, struct tensor out, struct tensor x,
                          const struct weight *gain, float eps);
    void (*add_rmsnorm_quant)(struct backend *be, struct tensor out, struct tensor residual,
                              struct tensor x, const struct weight *gain, float eps);
    void (*silu_mul_quant)(struct backend *be, struct tensor out, struct tensor gate_up);
    void (*attention_quant)(struct backend *be, struct tensor out, struct tensor q,
                            const struct kv_layer *kv, struct attn_shape s);
    /* head_norm of q and k where n.q is set, rope, kv_write. */
    void (*norm_rope_kv_write)(struct backend *be, struct tensor q, struct tensor k,
                               struct tensor v, struct kv_layer *kv, struct attn_shape s,
                               struct head_norms n);
    /* qkv[T,(H+2G)E] = linear(x, w), then norm_rope_kv_write of its three parts. */
    void (*linear_qkv)(struct backend *be, struct tensor qkv, struct tensor x,
                       const struct weight *w, struct kv_layer *kv, struct attn_shape s,
                       struct head_norms n);
    /* out[T,F] = silu_mul of linear(x, w): w's first F rows are the gate's, the others up's.  out: f32,
     * I8 or 16 bits.  gate_up[T,2F]: room for what lies between. */
    void (*linear_silu_mul)(struct backend *be, struct tensor out, struct tensor gate_up,
                            struct tensor x, const struct weight *w);
};

struct backend {
    const struct backend_ops *ops;
    struct tensor scratch; /* f32 [max_tokens, max_cols], for ops.c's compositions */
    const char *isa;       /* "avx512"; for people */
    int n_threads;
    int max_inflight;  /* steps between upload and download: 1, or more where run() does not wait */
    int forward_rows;  /* rows of one `forward` at most, set by reserve(); 0: max_tokens */
    bool pinned;       /* each thread has a CPU of its own */
    bool takes_stored; /* weight_prepare converts parts itself: weight_source */
    size_t weight_size; /* bytes held by prepared weights */
    /* the implementation's state follows */
};

/* What n_threads <= 0 gives: the CPUs that affinity and the cgroup quota allow. */
int cpu_backend_default_threads(void);

/* Where the threads run.  AUTO: each has a CPU when the CPUs seem to be the process's own
 * (engine/cpu/topology.h); ON: always, and more threads than CPUs are refused. */
enum cpu_pinning { CPU_PINNING_AUTO, CPU_PINNING_ON, CPU_PINNING_OFF };
/* "auto", "on" or "off"; false for any other word. */
bool cpu_pinning_parse(const char *word, enum cpu_pinning *out);

/* The CPU backend (engine/cpu).  n_threads <= 0: as many as the process may use (affinity and
 * cgroup quota).  isa: "auto", "scalar", "avx2", "avx2_vnni", "avx512" or "avx512_bf16", whose
 * linears with bf16 weights round their inputs to bf16; one the CPU lacks is refused. */
enum status cpu_backend_open_pinned(struct backend **out, int n_threads, const char *isa,
                                    enum cpu_pinning pinning, struct error *err);
/* Not pinned. */
enum status cpu_backend_open(struct backend **out, int n_threads, const char *isa,
                             struct error *err);

#endif
