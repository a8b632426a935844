#include "engine/engine.h"

#include "config/base/cgroup.h"
#include "config/base/check.h"
#include "config/base/log.h"
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

/* Bytes of activations, of what operators need beside them (inputs and sums in another type: as much
 * again) and of libraries' workspaces.  An upper estimate. */
#define LIBRARY_BYTES ((double)(512u << 20))
static double buffer_bytes(const struct engine *e)
{
    const struct model_config *c = &e->config;
    const double T = e->info.max_num_batched_tokens, R = e->info.max_logit_rows;
    const double row =
        5.0 * c->d_model + 3.0 * c->d_ffn + (4.0 * c->n_heads + 2.0 * c->n_kv_heads) * c->head_dim;
    const double sample = 2.0 * c->d_model + 3.0 * c->vocab_size;
    return 2.0 * 4.0 * (T * row + R * sample) + LIBRARY_BYTES;
}

/* What an automatic KV pool may take at most.  On a GPU: what the weights, the activations and the
 * share that is not to be used leave. */
static uint64_t pool_limit(const struct engine *e, const struct engine_options *o)
{
    if (!e->backend->ops->memory) return (uint64_t)(KV_MEMORY_SHARE * (double)usable_memory());
    size_t left, total;
    e->backend->ops->memory(e->backend, &left, &total);
    const double usable = (double)left - (1.0 - o->gpu_memory_utilization) * (double)total;
    const double most = usable - buffer_bytes(e);
    return most > 0 ? (uint64_t)most : 0;
}

static enum status pool_too_small(const struct engine *e, const struct engine_options *o,
                                  uint64_t block, struct error *err)
{
    if (o->kv_cache_bytes == 0)
        return error_set(err, STATUS_NO_MEMORY,
                         "the weights (%.2f GiB) and buffers (%.2f GiB) leave no room for a KV "
                         "cache: raise --gpu-memory-utilization, lower --max-num-batched-tokens "
                         "or --max-num-seqs, or use --quantization int8",
                         (double)e->backend->weight_size / (1 << 30), buffer_bytes(e) / (1 << 30));
    return error_set_param(err, STATUS_INVALID, "kv-cache-memory-bytes",
                           "a KV-cache of %llu bytes holds no block (one takes %llu bytes): "
                           "raise it",
                           (unsigned long long)o->kv_cache_bytes, (unsigned long long)block);
}

static enum status choose_pool(struct engine *e, const struct engine_options *o, struct error *err)
{
    struct engine_info *in = &e->info;
    if (o->block_size < 16 || o->block_size > 128 || o->block_size % 16 != 0)
        return error_set_param(err, STATUS_INVALID, "block-size",
                               "block size %d is not one of 16, 32, 48, ... 128", o->block_size);
    in->block_size = o->block_size;
    const uint64_t block = model_kv_block_size(&e->config, o->block_size, in->kv_dtype);
    const int per_seq = (in->max_model_len + o->block_size - 1) / o->block_size;
    uint64_t n = o->kv_cache_bytes / block;
    if (o->kv_cache_bytes == 0) {
        const uint64_t most = pool_limit(e, o) / block;
        n = (uint64_t)per_seq * (uint64_t)in->max_num_seqs + 1;
        if (n > most) n = most;
    }
    if (n > INT32_MAX / (uint64_t)o->block_size) n = INT32_MAX / (uint64_t)o->block_size;
    if (n < 2) return pool_too_small(e, o, block, err);
    in->n_blocks = (int)n;
    in->kv_cache_bytes = n * block;
    return STATUS_OK;
}

static int max2(int a, int b)
{
    return a > b ? a : b;
}

static struct backend_limits make_limits(const struct engine *e)
{
    const struct model_config *c = &e->config;
    const struct engine_info *in = &e->info;
    return (struct backend_limits){
        .max_tokens = in->max_num_batched_tokens,
        .max_seqs = in->max_num_seqs,
        .max_samples = in->max_logit_rows,
        .max_blocks_per_seq = (in->max_model_len + in->block_size - 1) / in->block_size,
        .n_blocks = in->n_blocks,
        .block_size = in->block_size,
        .n_layers = c->n_layers,
        .n_kv_heads = c->n_kv_heads,
        .n_heads = c->n_heads,
        .head_dim = c->head_dim,
        .max_cols =
            max2(max2(2 * c->d_ffn, c->d_model), (c->n_heads + 2 * c->n_kv_heads) * c->head_dim),
        .vocab_size = c->vocab_size,
        .kv_dtype = in->kv_dtype,
    };
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

enum status engine_open(struct engine **out, const struct engine_options *o, struct error *err)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    e->info.config = &e->config;
    enum status s = model_config_load(o->model_dir, &e->config, err);
    if (s == STATUS_OK && o->dtype >= 0) e->config.stored_dtype = (enum dtype)o->dtype;
    if (s == STATUS_OK) s = choose_kv_dtype(e, o, err);
    if (s == STATUS_OK) s = choose_lengths(e, o, err);
    if (s == STATUS_OK) s = open_backend(e, o, err);
    /* A GPU's pool takes what the weights leave. */
    const bool own_memory = s == STATUS_OK && e->backend->ops->memory != NULL;
    if (s == STATUS_OK && !own_memory) s = choose_pool(e, o, err);
    if (s != STATUS_OK) goto out;

    const struct load_options load = {
        .quant = o->quant,
        .dummy = o->dummy_weights,
        .seed = o->seed,
        .packed_dir = o->packed_cache_dir,
        .packed_label = o->packed_label,
        .progress = o->progress,
        .progress_arg = o->progress_arg,
    };
    s = model_weights_load(e->backend, o->model_dir, &e->config, &load, &e->weights, err);
    if (s != STATUS_OK) goto out;
    e->weights_loaded = true;
    if (own_memory) s = choose_pool(e, o, err);
    if (s != STATUS_OK) goto out;
    const struct backend_limits limits = make_limits(e);
    s = e->backend->ops->reserve(e->backend, &limits, &e->config.rope, err);
    if (s == STATUS_OK)
        s = model_init(&e->model, e->backend, &e->config, &e->weights, &limits, err);
    if (s == STATUS_OK && e->backend->ops->warm)
        s = e->backend->ops->warm(e->backend, model_forward, &e->model, !o->enforce_eager, err);
    e->info.isa = e->backend->isa;
    e->info.n_threads = e->backend->n_threads;
    e->info.max_inflight = e->backend->max_inflight;
    e->info.pinned = e->backend->pinned;
    e->info.weight_bytes = e->backend->weight_size;
    measure_linears(e);
out:
    if (s != STATUS_OK) {
        engine_close(e);
        return s;
    }
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
