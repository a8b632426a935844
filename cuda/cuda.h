#ifndef CUDA_CUDA_H
#define CUDA_CUDA_H

/* cuda.h - private state of the CUDA backend: host code in C, kernels behind launchers.
 *
 *   plugin.c      the one exported function
 *   backend.c     life: open, close, reserve, KV pool, buffers, graphs
 *   weight.c      parameters on the device; upload.c: their way there, by several threads
 *   step.c        upload of a step; graphs.c: running it, captured or as it is
 *   flight.h      the second step that is uploaded while the first one runs
 *   device.h      memory, stream and graphs (device_cuda.c); blas.h: cuBLASLt (blas_cuda.c)
 *   rows.h        norms, sums, quantisation, embedding, rotation, cache writes (rows.cu, kv.cu)
 *   linear.h      matrix products (linear.c chooses; linear_*.cu)
 *   attention.h   paged attention (attention.c plans; attention_*.cu)
 *   sample.h      sampling (sample.c, sample.cu)
 *
 * The host reads the step's shapes only; what differs between steps of one shape lies in device
 * memory.  Activations are f32, or int8 rows with a scale.  Every buffer keeps its address, so that a
 * captured step can be replayed. */

#include "cuda/device.h"
#include "engine/backend.h"
#include "engine/plugin.h"

/* A parameter on the device.  LINEAR: data[n][ld] row-major, ld elements apart (a multiple of 16
 * bytes, zeros behind k). */
struct weight {
    enum weight_kind kind;
    enum quant_scheme quant; /* LINEAR */
    enum dtype dtype;        /* of data: f32, bf16, f16, int8 */
    int n, k, ld;
    void *data;
    float *scale; /* [n] f32, int8 only */
    float *bias;  /* [n] f32, or NULL */
    size_t size;
    bool counted; /* in the backend's weight_size */
};

/* One layer's cache, block-major: k and v are [n_blocks][G][block_size][E] of the cache's type
 * (f32, bf16, int8); int8 has scales f32 [n_blocks][G][block_size] of each. */
struct kv_layer {
    void *k, *v;
    float *k_scale, *v_scale; /* NULL unless int8 */
};

/* What a step brings, on the device: arrays at fixed addresses, sized by the limits, of which a
 * step fills the front.  With padding: rows beyond the step's own have token 0, position 0 and no
 * slot. */
struct step_arrays {
    int32_t *token_ids; /* [T]; -1: token of sample token_src[t] of the step before */
    int32_t *token_src; /* [T] */
    int32_t *positions; /* [T] */
    int32_t *slots;     /* [T]; -1: nothing is stored */
    int32_t *angle_at;  /* [T] row of rope_table, or -1 - row of step_angles */
    float *step_angles; /* [T][E]: cos[E/2] | sin[E/2] of rows that the table does not hold */

    int32_t *q_start; /* [S + 1] */
    int32_t *kv_len;  /* [S] */
    int32_t *tables;  /* [S][table_ld] */
    int table_ld;     /* max_blocks_per_seq */

    int32_t *drawn; /* [R] the tokens of the last step's samples; sample.cu writes them */

    int32_t *logit_rows; /* [R] distinct token rows that samples name, ascending */
    int32_t *copies;     /* [n_blocks][2] src, dst */
    int32_t *n_copies;   /* [1] */
};

/* Steps that may be under way at one time: flight.h. */
#define CUDA_FLIGHTS 2

struct cuda_flight {
    struct device_event *staged, *done;
    struct step step; /* the host's view; its arrays stand until it was applied */
};

struct cuda_backend {
    struct backend base; /* first */
    struct device *device;
    struct backend_limits limits;
    bool host_addressable;               /* tensors lie where the host may read and write them */
    int n_load_threads;                  /* upload.h */
    struct kv_layer *layers;             /* [n_layers] */
    struct kv_layer *device_layers;      /* the same on the device, for copies of blocks */
    size_t kv_block_size, kv_scale_size; /* bytes of one block's keys, of its scales */
    struct rope_params rope;
    bool has_rope;
    float *rope_table; /* [rope_rows][E] on the device */
    int rope_rows;
    struct step step; /* the host's view of the step that was uploaded last */
    int turn;         /* of that step */
    int n_flights;    /* steps whose results are on their way back */
    struct cuda_flight flights[CUDA_FLIGHTS];
    struct step_arrays at;
    /* what each part keeps for itself */
    struct linear_state *linear;
    struct attention_state *attention;
    struct sample_state *sample;
    struct upload_state *upload;
    struct upload *weight_upload;
    struct graph_state *graphs;
};

enum status cuda_backend_open(struct backend **out, const struct plugin_options *o,
                              struct error *err);

static inline struct cuda_backend *cuda_of(struct backend *be)
{
    return (struct cuda_backend *)be;
}

#endif
