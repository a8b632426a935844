#include "engine/engine.h"

#include "config/base/cgroup.h"
#include "config/base/check.h"
#include "config/base/log.h"
#include "engine/fit.h"
#include "engine/model.h"
#include "engine/plugin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct engine {
    struct backend *backend;
    struct model_config config;
    struct model_weights weights;
    struct model model;
    struct profiler *profiler; /* NULL: none attached */
    struct engine_info info;
    bool weights_loaded, failed;
    int n_inflight; /* steps that were submitted and not collected */
};

/* Automatic pool: enough for every sequence at full length, but never more than this share of the
 * memory that the machine or the container has, so that weights and the rest keep theirs. */
#define KV_MEMORY_SHARE 0.40

static uint64_t usable_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    const uint64_t all = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 4ull << 30;
    return cgroup_limit_memory(all);
}

static enum status choose_kv_dtype(struct engine *e, const struct engine_options *o,
                                   struct error *err)
{
    if (o->kv_dtype < 0)
        e->info.kv_dtype = e->config.stored_dtype == DT_F32 ? DT_F32 : DT_BF16;
    else if (o->kv_dtype == DT_F32 || o->kv_dtype == DT_BF16 || o->kv_dtype == DT_I8)
        e->info.kv_dtype = (enum dtype)o->kv_dtype;
    else
        return error_set_param(err, STATUS_INVALID, "kv-cache-dtype",
                               "KV-cache of type %s is not supported: use float32, bfloat16 or "
                               "int8",
                               dtype_name((enum dtype)o->kv_dtype));
    return STATUS_OK;
}

static enum status choose_lengths(struct engine *e, const struct engine_options *o,
                                  struct error *err)
{
    struct engine_info *in = &e->info;
    const int longest = e->config.max_position;
    if (o->max_model_len > longest)
        return error_set_param(err, STATUS_INVALID, "max-model-len",
                               "max-model-len %d is longer than the model's %d positions",
                               o->max_model_len, longest);
    in->max_model_len = o->max_model_len > 0 ? o->max_model_len : longest;
    in->max_num_seqs = o->max_num_seqs;
    in->max_num_batched_tokens = o->max_num_batched_tokens;
    if (in->max_num_seqs < 1 || in->max_num_batched_tokens < 1)
        return error_set(err, STATUS_INVALID,
                         "max-num-seqs and max-num-batched-tokens must be at least 1");
    if (in->max_num_batched_tokens < in->max_num_seqs)
        return error_set_param(err, STATUS_INVALID, "max-num-batched-tokens",
                               "max-num-batched-tokens %d is below max-num-seqs %d: a step could "
                               "not give every sequence its token",
                               in->max_num_batched_tokens, in->max_num_seqs);
    in->max_logit_rows = o->max_logit_rows > 0 ? o->max_logit_rows : in->max_num_seqs;
    return STATUS_OK;
}

static enum status pool_too_small(const struct engine_options *o, uint64_t block, struct error *err)
{
    if (o->kv_cache_bytes == 0)
        return error_set(err, STATUS_NO_MEMORY,
                         "%.0f %% of this machine's memory hold no KV-cache: a block takes %llu "
                         "bytes: use a smaller --block-size, or a machine with more memory",
                         100 * KV_MEMORY_SHARE, (unsigned long long)block);
    return error_set_param(err, STATUS_INVALID, "kv-cache-memory-bytes",
                           "a KV-cache of %llu bytes holds no block (one takes %llu bytes): "
                           "raise it to %llu at least",
                           (unsigned long long)o->kv_cache_bytes, (unsigned long long)block,
                           (unsigned long long)(2 * block));
}

/* `most`: bytes of an automatic pool.  n_blocks < 2: no pool. */
static void size_pool(struct engine *e, const struct engine_options *o, uint64_t most)
{
    struct engine_info *in = &e->info;
    const uint64_t block = model_kv_block_size(&e->config, o->block_size, in->kv_dtype);
    const int per_seq = (in->max_model_len + o->block_size - 1) / o->block_size;
    uint64_t n = o->kv_cache_bytes / block;
    if (o->kv_cache_bytes == 0) {
        n = (uint64_t)per_seq * (uint64_t)in->max_num_seqs + 1;
        if (n > most / block) n = most / block;
    }
    if (n > INT32_MAX / (uint64_t)o->block_size) n = INT32_MAX / (uint64_t)o->block_size;
    in->n_blocks = (int)n;
    in->kv_cache_bytes = n * block;
}

static enum status choose_block_size(struct engine *e, const struct engine_options *o,
                                     struct error *err)
{
    if (o->block_size < 16 || o->block_size > 128 || o->block_size % 16 != 0)
        return error_set_param(err, STATUS_INVALID, "block-size",
                               "block size %d is not one of 16, 32, 48, ... 128", o->block_size);
    e->info.block_size = o->block_size;
    const uint64_t block = model_kv_block_size(&e->config, o->block_size, e->info.kv_dtype);
    if (o->kv_cache_bytes > 0 && o->kv_cache_bytes < 2 * block)
        return pool_too_small(o, block, err);
    return STATUS_OK;
}

/* Whether the kernel knows an NVIDIA GPU (/dev/dxg: under Windows): cheaper to ask than loading the
 * plug-in and its libraries to hear that there is none. */
static bool gpu_present(void)
{
    return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;
}

static enum status open_backend(struct engine *e, const struct engine_options *o, struct error *err)
{
    const bool must = strcmp(o->device, "cuda") == 0;
    if (must || (strcmp(o->device, "auto") == 0 && (o->cuda_plugin || gpu_present()))) {
        const struct plugin_options po = {
            .device = 0, .n_threads = o->n_threads, .no_overlap = o->no_kernel_overlap};
        struct error why = {0};
        e->info.device = "cuda";
        const enum status s =
            plugin_backend_open(&e->backend, o->cuda_plugin, &po, must ? err : &why);
        if (s == STATUS_OK || must) return s;
        /* A plug-in that was named or installed is missed where it does not work. */
        const bool expected = o->cuda_plugin || s != STATUS_NOT_FOUND;
        log_event(expected ? LOG_WARN : LOG_INFO, "device", "device=cpu reason=%s", why.message);
    }
    e->info.device = "cpu";
    return cpu_backend_open_pinned(&e->backend, o->n_threads, o->isa, o->pinning, err);
}

static void measure_linears(struct engine *e)
{
    const struct backend_ops *ops = e->backend->ops;
    size_t *sizes = e->info.linear_bytes;
    for (int i = 0; i < e->config.n_layers; i++) {
        const struct layer_weights *l = &e->weights.layers[i];
        sizes[OP_QKV] += ops->weight_size(l->wqkv);
        sizes[OP_O] += ops->weight_size(l->wo);
        sizes[OP_GATE_UP] += ops->weight_size(l->w_gate_up);
        sizes[OP_DOWN] += ops->weight_size(l->w_down);
    }
    sizes[OP_HEAD] = ops->weight_size(e->weights.lm_head);
}

static enum status load_weights(struct engine *e, const struct engine_options *o, struct error *err)
{
    const struct load_options load = {
        .quant = o->quant,
        .dummy = o->dummy_weights,
        .seed = o->seed,
        .packed_dir = o->packed_cache_dir,
        .packed_label = o->packed_label,
        .progress = o->progress,
        .progress_arg = o->progress_arg,
    };
    const enum status s =
        model_weights_load(e->backend, o->model_dir, &e->config, &load, &e->weights, err);
    e->weights_loaded = s == STATUS_OK;
    return s;
}

/* Buffers, pool when e->info.n_blocks is chosen, and what first steps would pay for. */
static enum status reserve(struct engine *e, const struct engine_options *o, struct error *err)
{
    const struct backend_ops *ops = e->backend->ops;
    const struct backend_limits limits = fit_limits(&e->info, &e->config);
    enum status s = ops->reserve(e->backend, &limits, &e->config.rope, err);
    if (s == STATUS_OK)
        s = model_init(&e->model, e->backend, &e->config, &e->weights, &limits, err);
    if (s == STATUS_OK && ops->warm)
        s = ops->warm(e->backend, model_forward, &e->model, !o->enforce_eager, err);
    return s;
}

/* In the host's memory the pool's size does not depend on what else is there. */
static enum status start_on_host(struct engine *e, const struct engine_options *o,
                                 struct error *err)
{
    size_pool(e, o, (uint64_t)(KV_MEMORY_SHARE * (double)usable_memory()));
    if (e->info.n_blocks < 2)
        return pool_too_small(o, model_kv_block_size(&e->config, o->block_size, e->info.kv_dtype),
                              err);
    const enum status s = load_weights(e, o, err);
    return s == STATUS_OK ? reserve(e, o, err) : s;
}

/* A device's own memory is filled to its end: the pool takes what all else leaves. */
static enum status start_on_device(struct engine *e, const struct engine_options *o,
                                   struct error *err)
{
    const struct backend_ops *ops = e->backend->ops;
    const bool capture = !o->enforce_eager;
    struct fit fit = {.backend = e->backend, .config = &e->config, .options = o, .info = &e->info};
    size_t total;
    enum status s = fit_begin(&fit, err);
    if (s != STATUS_OK) return s;
    if (load_weights(e, o, err) != STATUS_OK) return fit_explain(&fit, FIT_WEIGHTS, err);
    fit_loaded(&fit, &e->weights);
    if (reserve(e, o, err) != STATUS_OK) return fit_explain(&fit, FIT_BUFFERS, err);
    size_pool(e, o, fit_pool_limit(&fit, capture));
    if (e->info.n_blocks < 2) return fit_no_pool(&fit, capture, err);
    if (ops->reserve_pool(e->backend, e->info.n_blocks, err) != STATUS_OK)
        return fit_explain(&fit, FIT_POOL, err);
    if (!capture) return STATUS_OK;
    ops->memory(e->backend, &fit.left_before_graphs, &total);
    s = ops->capture(e->backend, model_forward, &e->model, err);
    return s == STATUS_OK ? s : fit_explain(&fit, FIT_GRAPHS, err);
}

enum status engine_open(struct engine **out, const struct engine_options *o, struct error *err)
{
    struct error own;
    if (!err) err = &own; /* fit.h looks into it */
    struct engine *e = calloc(1, sizeof *e);
    if (!e) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    e->info.config = &e->config;
    enum status s = model_config_load(o->model_dir, &e->config, err);
    if (s == STATUS_OK && o->dtype >= 0) e->config.stored_dtype = (enum dtype)o->dtype;
    if (s == STATUS_OK) s = choose_kv_dtype(e, o, err);
    if (s == STATUS_OK) s = choose_lengths(e, o, err);
    if (s == STATUS_OK) s = choose_block_size(e, o, err);
    if (s == STATUS_OK) s = open_backend(e, o, err);
    if (s == STATUS_OK)
        s = e->backend->ops->memory ? start_on_device(e, o, err) : start_on_host(e, o, err);
    if (s != STATUS_OK) {
        engine_close(e);
        return s;
    }
    e->info.isa = e->backend->isa;
    e->info.n_threads = e->backend->n_threads;
    e->info.max_inflight = e->backend->max_inflight;
    e->info.pinned = e->backend->pinned;
    e->info.weight_bytes = e->backend->weight_size;
    measure_linears(e);
    *out = e;
    return STATUS_OK;
}

void engine_close(struct engine *e)
{
    if (!e) return;
    profiler_detach(e->profiler);
    if (e->weights_loaded) model_weights_free(e->backend, &e->config, &e->weights);
    if (e->backend) e->backend->ops->close(e->backend);
    free(e);
}

int engine_default_threads(void)
{
    return cpu_backend_default_threads();
}

/* Distinct logit rows: samples are ascending by row, several may share one. */
static int count_logit_rows(const struct step *step)
{
    int n = 0;
    for (int i = 0; i < step->n_samples; i++)
        n += i == 0 || step->samples[i].row != step->samples[i - 1].row;
    return n;
}

static enum status check_alive(const struct engine *e, struct error *err)
{
    if (!e->failed) return STATUS_OK;
    return error_set(err, STATUS_UNAVAILABLE, "the engine failed earlier and cannot go on");
}

enum status engine_submit(struct engine *e, const struct step *step, struct error *err)
{
    CHECK(step->n_tokens >= 1 && step->n_tokens <= e->info.max_num_batched_tokens);
    CHECK(step->n_samples <= e->info.max_logit_rows && step->n_seqs <= e->info.max_num_seqs);
    CHECK(e->n_inflight < e->info.max_inflight);
    enum status s = check_alive(e, err);
    if (s != STATUS_OK) return s;
    const struct step_dims dims = {
        .n_tokens = step->n_tokens,
        .n_logits = count_logit_rows(step),
    };
    e->backend->ops->step_upload(e->backend, step);
    s = e->backend->ops->run(e->backend, &dims, model_forward, &e->model, err);
    e->failed = s != STATUS_OK;
    e->n_inflight++;
    return s;
}

enum status engine_collect(struct engine *e, struct step_result *out, struct error *err)
{
    enum status s = check_alive(e, err);
    if (s != STATUS_OK) return s;
    CHECK(e->n_inflight > 0);
    s = e->backend->ops->step_download(e->backend, out, err);
    e->failed = s != STATUS_OK;
    e->n_inflight--;
    return s;
}

enum status engine_execute(struct engine *e, const struct step *step, struct step_result *out,
                           struct error *err)
{
    CHECK(e->n_inflight == 0);
    const enum status s = engine_submit(e, step, err);
    return s == STATUS_OK ? engine_collect(e, out, err) : s;
}

enum status engine_profile(struct engine *e, struct op_profile *p, struct error *err)
{
    profiler_detach(e->profiler);
    e->profiler = NULL;
    if (!p) return STATUS_OK;
    if (strcmp(e->backend->ops->name, "cpu") != 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "operators of the device %s run after their calls: they cannot be timed "
                         "one by one",
                         e->backend->ops->name);
    return profiler_attach(&e->profiler, e->backend, &e->config, &e->weights, p, err);
}

const struct engine_info *engine_info(const struct engine *e)
{
    return &e->info;
}
