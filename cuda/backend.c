/* Life of the CUDA backend: open, close, reserve; the table of its operators. */
#include "config/base/check.h"
#include "cuda/attention.h"
#include "cuda/cuda.h"
#include "cuda/flight.h"
#include "cuda/graphs.h"
#include "cuda/linear.h"
#include "cuda/peaks.h"
#include "cuda/rows.h"
#include "cuda/sample.h"
#include "cuda/step.h"
#include "cuda/upload.h"
#include "cuda/weight.h"

#include <stdlib.h>
#include <string.h>

/* --- KV pool --- */

static bool mul3(size_t a, size_t b, size_t c, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && !__builtin_mul_overflow(*out, c, out);
}

static enum status kv_sizes(struct cuda_backend *cb, size_t *layer, size_t *total,
                            struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    const size_t slots = (size_t)l->n_kv_heads * (size_t)l->block_size;
    cb->kv_scale_size = l->kv_dtype == DT_I8 ? slots * sizeof(float) : 0;
    size_t block;
    if (mul3(slots, (size_t)l->head_dim, dtype_size(l->kv_dtype), &cb->kv_block_size) &&
        !__builtin_add_overflow(cb->kv_block_size, cb->kv_scale_size, &block) &&
        mul3(block, 2, (size_t)l->n_blocks, layer) &&
        !__builtin_mul_overflow(*layer, (size_t)l->n_layers, total))
        return STATUS_OK;
    return error_set(err, STATUS_NO_MEMORY,
                     "the size of the KV cache overflows (%d layers, %d blocks of %d tokens)",
                     l->n_layers, l->n_blocks, l->block_size);
}

/* What the layers' caches are found by; without a pool they have none. */
static enum status reserve_kv_table(struct cuda_backend *cb, struct error *err)
{
    const size_t n = (size_t)cb->limits.n_layers, size = n * sizeof *cb->layers;
    cb->layers = calloc(n, sizeof *cb->layers);
    if (!cb->layers) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    const enum status s =
        device_alloc(cb->device, (void **)&cb->device_layers, size, "the KV cache's table", err);
    if (s != STATUS_OK) return s;
    device_zero(cb->device, cb->device_layers, size);
    return device_wait(cb->device, err);
}

static enum status reserve_kv(struct cuda_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    const size_t n = (size_t)l->n_blocks;
    size_t layer = 0, total = 0;
    char *p = NULL;
    enum status s = kv_sizes(cb, &layer, &total, err);
    if (s == STATUS_OK) s = device_alloc(cb->device, (void **)&p, total, "the KV cache", err);
    if (s != STATUS_OK) return s;
    for (int i = 0; i < l->n_layers; i++, p += layer) {
        struct kv_layer *kv = &cb->layers[i];
        kv->k = p;
        kv->v = p + n * cb->kv_block_size;
        if (cb->kv_scale_size == 0) continue;
        kv->k_scale = (float *)(void *)(p + 2 * n * cb->kv_block_size);
        kv->v_scale = kv->k_scale + n * cb->kv_scale_size / sizeof(float);
    }
    device_copy(cb->device, cb->device_layers, cb->layers,
                (size_t)l->n_layers * sizeof *cb->layers);
    return device_wait(cb->device, err);
}

static enum status cuda_reserve_pool(struct backend *be, int n_blocks, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    DCHECK(cb->layers && cb->limits.n_blocks == 0 && n_blocks > 0);
    cb->limits.n_blocks = n_blocks;
    return reserve_kv(cb, err);
}

static struct kv_layer *cuda_kv_layer(struct backend *be, int layer)
{
    struct cuda_backend *cb = cuda_of(be);
    DCHECK(layer >= 0 && layer < cb->limits.n_layers);
    return &cb->layers[layer];
}

/* --- reserve --- */

static enum status cuda_tensor_alloc(struct backend *be, enum dtype dtype, int rows, int cols,
                                     struct tensor *out, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    DCHECK(rows > 0 && cols > 0 && cols <= INT32_MAX - 256);
    const size_t item = dtype_size(dtype);
    const int per_line = (int)(128 / item); /* rows begin at a line of the L2 cache */
    struct tensor t = {.dtype = dtype, .rows = rows, .cols = cols};
    t.ld = (cols + per_line - 1) / per_line * per_line;
    size_t size;
    if (__builtin_mul_overflow((size_t)rows, (size_t)t.ld * item, &size))
        return error_set(err, STATUS_NO_MEMORY, "an activation of %d x %d overflows", rows, cols);
    enum status (*const alloc)(struct device *, void **, size_t, const char *, struct error *) =
        cb->host_addressable ? device_alloc_shared : device_alloc;
    enum status s = alloc(cb->device, &t.data, size, "an activation", err);
    if (s == STATUS_OK && dtype == DT_I8)
        s = alloc(cb->device, (void **)&t.scale, (size_t)rows * sizeof(float), "scales", err);
    if (s != STATUS_OK) return s;
    device_zero(cb->device, t.data, size);
    if (t.scale) device_zero(cb->device, t.scale, (size_t)rows * sizeof(float));
    *out = t;
    return device_wait(cb->device, err);
}

static enum status cuda_reserve(struct backend *be, const struct backend_limits *limits,
                                const struct rope_params *rope, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    DCHECK(!cb->layers);
    struct backend_limits check = *limits;
    if (check.n_blocks == 0) check.n_blocks = 1; /* the pool follows */
    enum status s = backend_limits_check(&check, rope, err);
    if (s != STATUS_OK) return s;
    cuda_weight_uploads_end(cb);
    cb->limits = *limits;
    cb->has_rope = rope != NULL;
    if (rope) cb->rope = *rope;
    s = cuda_flight_reserve(cb, err);
    if (s == STATUS_OK) s = cuda_step_reserve(cb, err);
    if (s == STATUS_OK) s = cuda_linear_reserve(cb, err);
    if (s == STATUS_OK) s = cuda_attention_reserve(cb, err);
    if (s == STATUS_OK) s = cuda_sample_reserve(cb, err);
    if (s == STATUS_OK) s = reserve_kv_table(cb, err);
    if (s == STATUS_OK && limits->n_blocks > 0) s = reserve_kv(cb, err);
    return s;
}

static void memory(struct backend *be, size_t *left, size_t *total)
{
    struct device *d = cuda_of(be)->device;
    *left = device_memory_left(d);
    *total = device_info(d)->total;
}

static void usage(struct backend *be, struct backend_usage *out)
{
    const struct cuda_backend *cb = cuda_of(be);
    const struct device_usage u = device_usage(cb->device);
    *out = (struct backend_usage){.device = u.memory,
                                  .pinned = u.pinned,
                                  .pinned_most = u.pinned_most,
                                  .n_allocations = u.n_allocations,
                                  .device_failed = u.memory_failed,
                                  .pinned_failed = u.pinned_failed,
                                  .load = UPLOAD_PIECE,
                                  .code = device_info(cb->device)->code_size};
    cuda_graphs_count(cb, &out->n_captured, &out->n_to_capture);
}

static void peaks(struct backend *be, struct device_peaks *out)
{
    device_peaks(device_info(cuda_of(be)->device), out);
}

/* --- the step bracket --- */

static void upload(struct backend *be, const struct step *step)
{
    struct cuda_backend *cb = cuda_of(be);
    cuda_flight_begin(cb);
    cuda_step_upload(be, step);
    cuda_attention_plan(cb);
    cuda_sample_upload(cb, step);
    cuda_flight_staged(cb);
}

static enum status download(struct backend *be, struct step_result *out, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    if (cb->n_flights == 0) cuda_flight_return(cb); /* operators that were called without run */
    int turn;
    enum status s = cuda_flight_land(cb, &turn, err);
    if (s == STATUS_OK) s = cuda_linear_check(cb, err);
    if (s != STATUS_OK) return s;
    out->id = cb->flights[turn].step.id;
    out->n_samples = cb->flights[turn].step.n_samples;
    cuda_sample_read(cb, turn, out->samples);
    return STATUS_OK;
}

static enum status cuda_wait(struct backend *be, struct error *err)
{
    return device_wait(cuda_of(be)->device, err);
}

/* --- operators of rows.h --- */

static void *stream_of(struct backend *be)
{
    return device_stream(cuda_of(be)->device);
}

static void copy_blocks(struct backend *be)
{
    const struct cuda_backend *cb = cuda_of(be);
    const struct copy_blocks_args a = {
        .layers = cb->device_layers,
        .n_layers = cb->limits.n_layers,
        .block_size = cb->kv_block_size,
        .scale_size = cb->kv_scale_size,
        .copies = cb->at.copies,
        .n_copies = cb->at.n_copies,
    };
    cuda_copy_blocks(&a, stream_of(be));
}

static void embed(struct backend *be, struct tensor out, const struct weight *table)
{
    const struct cuda_backend *cb = cuda_of(be);
    DCHECK(table->kind == WEIGHT_EMBED && out.cols == table->k);
    const struct embed_args a = {
        .out = out,
        .table = table->data,
        .dtype = table->dtype,
        .ld = table->ld,
        .ids = cb->at.token_ids,
        .src = cb->at.token_src,
        .drawn = cb->at.drawn,
    };
    cuda_embed(&a, stream_of(be));
}

static void rmsnorm(struct backend *be, struct tensor out, struct tensor x,
                    const struct weight *gain, float eps)
{
    DCHECK(gain->kind == WEIGHT_VECTOR && gain->k == x.cols && out.rows == x.rows);
    const struct norm_args a = {.out = out, .x = x, .gain = gain->data, .eps = eps};
    cuda_norm(&a, stream_of(be));
}

static void add_rmsnorm(struct backend *be, struct tensor out, struct tensor residual,
                        struct tensor x, const struct weight *gain, float eps)
{
    DCHECK(gain->kind == WEIGHT_VECTOR && gain->k == x.cols && out.rows == x.rows);
    const struct norm_args a = {
        .out = out, .x = x, .residual = residual, .gain = gain->data, .eps = eps};
    cuda_norm(&a, stream_of(be));
}

static void head_norm(struct backend *be, struct tensor x, int n_heads, const struct weight *gain,
                      float eps)
{
    DCHECK(gain->kind == WEIGHT_VECTOR && gain->k * n_heads == x.cols);
    (void)n_heads;
    const struct head_norm_args a = {.x = x, .gain = gain->data, .head_dim = gain->k, .eps = eps};
    cuda_head_norm(&a, stream_of(be));
}

static void add(struct backend *be, struct tensor acc, struct tensor x)
{
    DCHECK(acc.rows == x.rows && acc.cols == x.cols);
    cuda_add(&acc, &x, stream_of(be));
}

static void quantize(struct backend *be, struct tensor out, struct tensor x)
{
    DCHECK(out.dtype == DT_I8 && out.rows == x.rows && out.cols == x.cols);
    cuda_quantize(&out, &x, stream_of(be));
}

static void silu_mul(struct backend *be, struct tensor out, struct tensor gate_up)
{
    DCHECK(out.rows == gate_up.rows && gate_up.cols == 2 * out.cols);
    cuda_silu_mul(&out, &gate_up, stream_of(be));
}

static void gather_rows(struct backend *be, struct tensor out, struct tensor x)
{
    DCHECK(out.cols == x.cols);
    cuda_gather_rows(&out, &x, cuda_of(be)->at.logit_rows, stream_of(be));
}

static void allreduce(struct backend *be, struct tensor x)
{
    (void)be; /* one rank holds the whole sum */
    (void)x;
}

/* --- open and close --- */

static void cuda_close(struct backend *be)
{
    if (!be) return;
    struct cuda_backend *cb = cuda_of(be);
    struct error ignored;
    device_wait(cb->device, &ignored); /* steps may be under way */
    cuda_graphs_release(cb);
    cuda_flight_release(cb);
    cuda_weight_uploads_end(cb);
    cuda_step_release(cb);
    cuda_linear_release(cb);
    cuda_attention_release(cb);
    cuda_sample_release(cb);
    free(cb->layers);
    device_close(cb->device);
    free(cb);
}

static enum status open_counting(struct backend *be, struct backend **out, struct error *err)
{
    const struct cuda_backend *of = cuda_of(be);
    struct cuda_backend *cb = calloc(1, sizeof *cb);
    if (!cb) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    const enum status s = device_open_counting(&cb->device, of->device, err);
    if (s != STATUS_OK) {
        free(cb);
        return s;
    }
    cb->base.ops = of->base.ops;
    cb->host_addressable = of->host_addressable;
    *out = &cb->base;
    return STATUS_OK;
}

static const struct backend_ops cuda_ops = {
    .name = "cuda",
    .close = cuda_close,
    .weight_prepare = cuda_weight_prepare,
    .weight_free = cuda_weight_free,
    .weight_size = cuda_weight_size,
    .reserve = cuda_reserve,
    .memory = memory,
    .usage = usage,
    .open_counting = open_counting,
    .reserve_pool = cuda_reserve_pool,
    .capture_size = cuda_capture_size,
    .capture = cuda_capture,
    .peaks = peaks,
    .warm = cuda_warm,
    .wait = cuda_wait,
    .kv_layer = cuda_kv_layer,
    .tensor_alloc = cuda_tensor_alloc,
    .activation_dtype = cuda_activation_dtype,
    .step_upload = upload,
    .run = cuda_run,
    .step_download = download,
    .copy_blocks = copy_blocks,
    .embed = embed,
    .rmsnorm = rmsnorm,
    .add = add,
    .quantize = quantize,
    .linear = cuda_linear,
    .head_norm = head_norm,
    .rope = cuda_rope,
    .kv_write = cuda_kv_write,
    .attention = cuda_attention,
    .silu_mul = silu_mul,
    .gather_rows = gather_rows,
    .allreduce = allreduce,
    .sample = cuda_sample,
    /* These look at their output's dtype, so one function serves both forms. */
    .add_rmsnorm = add_rmsnorm,
    .rmsnorm_quant = rmsnorm,
    .add_rmsnorm_quant = add_rmsnorm,
    .silu_mul_quant = silu_mul,
    .attention_quant = cuda_attention,
    .norm_rope_kv_write = cuda_norm_rope_kv_write,
    .linear_qkv = cuda_linear_qkv,
    .linear_silu_mul = cuda_linear_silu_mul,
};

enum status cuda_backend_open(struct backend **out, const struct plugin_options *o,
                              struct error *err)
{
    struct cuda_backend *cb = calloc(1, sizeof *cb);
    if (!cb) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    const enum status s = device_open(&cb->device, o->device, err);
    if (s != STATUS_OK) {
        free(cb);
        return s;
    }
    device_set_overlap(cb->device, !o->no_overlap);
    cb->host_addressable = o->host_addressable;
    cb->base.ops = &cuda_ops;
    cb->base.isa = device_info(cb->device)->name;
    cb->base.n_threads = 1;
    cb->base.max_inflight = CUDA_FLIGHTS;
    cb->base.takes_stored = true;
    cb->n_load_threads = o->n_threads;
    *out = &cb->base;
    return STATUS_OK;
}
