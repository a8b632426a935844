#include "engine/backend.h"

#include "config/base/cgroup.h"
#include "config/base/check.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/quant4.h"
#include "engine/cpu/sample.h"
#include "engine/cpu/topology.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_THREADS 1024
#define GIB(size)     ((double)(size) / (double)(1u << 30))

/* --- KV pool --- */

static bool mul3(size_t a, size_t b, size_t c, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && !__builtin_mul_overflow(*out, c, out);
}

static enum status reserve_kv(struct cpu_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    const size_t item = dtype_size(l->kv_dtype);
    cb->kv_format = l->kv_dtype == DT_I8 ? KV_I8 : l->kv_dtype == DT_BF16 ? KV_BF16 : KV_F32;
    cb->kv_item_size = item;
    cb->k_group = cb->kernels->k_group[cb->kv_format];
    cb->v_group = cb->kernels->v_group[cb->kv_format];
    cb->k_pitch = (l->head_dim + cb->k_group - 1) / cb->k_group * cb->k_group;
    cb->v_pitch = (l->head_dim + 7) / 8 * 8;
    size_t k_layer, v_layer, layer, total;
    const size_t n = (size_t)l->n_blocks, g = (size_t)l->n_kv_heads, bs = (size_t)l->block_size;
    const size_t scales = l->kv_dtype == DT_I8 ? g * bs * sizeof(float) : 0;
    if (!mul3(g * bs, (size_t)cb->k_pitch, item, &cb->k_scales_at) ||
        !mul3(g * bs, (size_t)cb->v_pitch, item, &cb->v_scales_at) ||
        __builtin_add_overflow(cb->k_scales_at, scales, &cb->k_block_size) ||
        __builtin_add_overflow(cb->v_scales_at, scales, &cb->v_block_size) ||
        __builtin_mul_overflow(n, cb->k_block_size, &k_layer) ||
        __builtin_mul_overflow(n, cb->v_block_size, &v_layer) ||
        __builtin_add_overflow(k_layer, v_layer, &layer) ||
        __builtin_mul_overflow(layer, (size_t)l->n_layers, &total))
        return error_set(err, STATUS_NO_MEMORY,
                         "the size of the KV cache overflows (%d layers, %d blocks of %d tokens)",
                         l->n_layers, l->n_blocks, l->block_size);
    char *p = cpu_memory_map(total);
    if (!p)
        return error_set(err, STATUS_NO_MEMORY,
                         "cannot map %.2f GiB for the KV cache (%d layers, %d blocks of %d tokens, "
                         "%d heads of %d, %s): lower --kv-cache-memory-bytes or --max-model-len%s",
                         GIB(total), l->n_layers, l->n_blocks, l->block_size, l->n_kv_heads,
                         l->head_dim, dtype_name(l->kv_dtype),
                         l->kv_dtype == DT_F32 ? ", or use --kv-cache-dtype bfloat16" : "");
    enum status s = cpu_memory_own(cb, p, total, err);
    if (s != STATUS_OK) return s;
    s = cpu_memory_alloc(cb, (void **)&cb->layers, (size_t)l->n_layers, sizeof *cb->layers,
                         "the KV cache's table", err);
    if (s != STATUS_OK) return s;
    for (int i = 0; i < l->n_layers; i++) {
        cb->layers[i].k = p + (size_t)i * layer;
        cb->layers[i].v = p + (size_t)i * layer + k_layer;
    }
    return STATUS_OK;
}

static struct kv_layer *cpu_kv_layer(struct backend *be, int layer)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(layer >= 0 && layer < cb->limits.n_layers);
    return &cb->layers[layer];
}

/* --- reserve --- */

_Static_assert(LANES == BLOCK_SIZE_STEP && ATTN_TILE == BLOCK_SIZE_MAX,
               "a block is lanes of a tile");

static enum status reserve_scratch(struct cpu_backend *cb, struct error *err)
{
    const struct backend_limits *l = &cb->limits;
    const size_t n_workers = (size_t)pool_n_threads(cb->pool);
    const size_t max_rows =
        (size_t)(l->max_tokens > l->max_samples ? l->max_tokens : l->max_samples);
    struct tensor *s = &cb->base.scratch;
    *s = (struct tensor){.dtype = DT_F32, .rows = l->max_tokens, .cols = l->max_cols};
    s->ld = (l->max_cols + LANES - 1) / LANES * LANES;
    cb->row_scratch_len = (size_t)s->ld;
    cb->x_sum_len = max_rows * (((size_t)l->max_cols + GROUP4 - 1) / GROUP4);
    if (cb->kernels->round_bf16)
        cb->x_bf16_len = max_rows * ((size_t)cpu_bf16_pitch(l->max_cols) + 32);
    /* A line apart, so that workers do not share one. */
    cb->sample_scratch_size = (cpu_sample_scratch_size(l->vocab_size) + 127) / 64 * 64;

    const struct {
        void **out;
        size_t n, item_size;
    } parts[] = {
        {&s->data, (size_t)l->max_tokens, (size_t)s->ld * sizeof(float)},
        {(void **)&cb->row_scratch, n_workers, cb->row_scratch_len * sizeof(float)},
        {(void **)&cb->x_sum, cb->x_sum_len, sizeof *cb->x_sum},
        {(void **)&cb->x_bf16, cb->x_bf16_len, sizeof *cb->x_bf16},
        {(void **)&cb->sample_scratch, n_workers, cb->sample_scratch_size},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const enum status st =
            cpu_memory_alloc(cb, parts[i].out, parts[i].n, parts[i].item_size, "scratch", err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static enum status cpu_reserve(struct backend *be, const struct backend_limits *limits,
                               const struct rope_params *rope, struct error *err)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(!cb->layers);
    enum status s = backend_limits_check(limits, rope, err);
    if (s != STATUS_OK) return s;
    cb->limits = *limits;
    cb->has_rope = rope != NULL;
    if (rope) cb->rope = *rope;
    s = reserve_scratch(cb, err);
    if (s == STATUS_OK) s = cpu_step_reserve(cb, err);
    if (s == STATUS_OK) s = reserve_kv(cb, err);
    if (s == STATUS_OK) s = cpu_attention_reserve(cb, err);
    return s;
}

static enum status cpu_tensor_alloc(struct backend *be, enum dtype dtype, int rows, int cols,
                                    struct tensor *out, struct error *err)
{
    struct cpu_backend *cb = cpu_of(be);
    DCHECK(rows > 0 && cols > 0 && cols <= INT32_MAX - 2 * LINE);
    const size_t item = dtype_size(dtype);
    const int per_line = (int)(LINE / item);
    int ld = (cols + per_line - 1) / per_line * per_line;
    /* Rows whose distance is a multiple of a page fall into the same cache set. */
    if ((size_t)ld * item % 4096 == 0) ld += per_line;
    struct tensor t = {.dtype = dtype, .rows = rows, .cols = cols, .ld = ld};
    enum status s =
        cpu_memory_alloc(cb, &t.data, (size_t)rows, (size_t)ld * item, "an activation", err);
    if (s == STATUS_OK && dtype == DT_I8)
        s = cpu_memory_alloc(cb, (void **)&t.scale, (size_t)rows, sizeof(float), "scales", err);
    if (s == STATUS_OK) *out = t;
    return s;
}

/* --- open and close --- */

struct host_job {
    host_job_fn *fn;
    void *ctx;
};

static void host_chunk(void *ctx, int worker, int chunk)
{
    const struct host_job *j = ctx;
    (void)worker;
    j->fn(j->ctx, chunk);
}

static void cpu_host_run(struct backend *be, host_job_fn *fn, void *ctx, int n, double work_ns)
{
    struct host_job j = {fn, ctx};
    pool_run(cpu_of(be)->pool, host_chunk, &j, n, work_ns);
}

static void cpu_close(struct backend *be)
{
    if (!be) return;
    struct cpu_backend *cb = cpu_of(be);
    pool_close(cb->pool);
    cpu_memory_release(cb);
    free(cb);
}

static const struct backend_ops cpu_ops = {
    .name = "cpu",
    .close = cpu_close,
    .weight_prepare = cpu_weight_prepare,
    .weight_free = cpu_weight_free,
    .weight_layout = cpu_weight_layout,
    .weight_arrays = cpu_weight_arrays,
    .weight_adopt = cpu_weight_adopt,
    .host_run = cpu_host_run,
    .weight_size = cpu_weight_size,
    .reserve = cpu_reserve,
    .kv_layer = cpu_kv_layer,
    .tensor_alloc = cpu_tensor_alloc,
    .activation_dtype = cpu_activation_dtype,
    .step_upload = cpu_step_upload,
    .run = cpu_step_run,
    .step_download = cpu_step_download,
    .copy_blocks = cpu_copy_blocks,
    .embed = cpu_embed,
    .rmsnorm = cpu_rmsnorm,
    .add = cpu_add,
    .quantize = cpu_quantize,
    .linear = cpu_linear,
    .head_norm = cpu_head_norm,
    .rope = cpu_rope,
    .kv_write = cpu_kv_write,
    .attention = cpu_attention,
    .silu_mul = cpu_silu_mul,
    .gather_rows = cpu_gather_rows,
    .allreduce = cpu_allreduce,
    .sample = cpu_sample,
    /* These look at their output's dtype, so one function serves both forms. */
    .add_rmsnorm = cpu_add_rmsnorm,
    .rmsnorm_quant = cpu_rmsnorm,
    .add_rmsnorm_quant = cpu_add_rmsnorm,
    .silu_mul_quant = cpu_silu_mul,
    .norm_rope_kv_write = cpu_norm_rope_kv_write,
};

int cpu_backend_default_threads(void)
{
    return pool_default_threads();
}

bool cpu_pinning_parse(const char *word, enum cpu_pinning *out)
{
    static const char *const words[] = {"auto", "on", "off"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(word, words[i]) != 0) continue;
        *out = (enum cpu_pinning)i;
        return true;
    }
    return false;
}

/* The CPU of each thread, in memory that the caller frees; *cpus stays NULL when they go anywhere. */
static enum status choose_cpus(enum cpu_pinning pinning, int n_threads, int **cpus,
                               struct error *err)
{
    if (pinning == CPU_PINNING_OFF) return STATUS_OK;
    struct topology *t = malloc(sizeof *t);
    int *chosen = malloc((size_t)n_threads * sizeof *chosen);
    enum status s = STATUS_OK;
    if (!t || !chosen) {
        s = error_set(err, STATUS_NO_MEMORY, "out of memory");
        goto out;
    }
    topology_of_process(t);
    const int quota = cgroup_limit_cpus(t->n_cpus);
    if (pinning == CPU_PINNING_AUTO && !topology_suggests_pinning(t, quota, n_threads)) goto out;
    if (n_threads > t->n_cpus) {
        s = error_set_param(err, STATUS_INVALID, "cpu-pinning",
                            "pinning gives each thread a CPU of its own, and %d threads have %d: "
                            "use fewer --threads, or --cpu-pinning auto",
                            n_threads, t->n_cpus);
        goto out;
    }
    memcpy(chosen, t->cpus, (size_t)n_threads * sizeof *chosen);
    *cpus = chosen;
    chosen = NULL;
out:
    free(chosen);
    free(t);
    return s;
}

enum status cpu_backend_open(struct backend **out, int n_threads, const char *isa,
                             struct error *err)
{
    return cpu_backend_open_pinned(out, n_threads, isa, CPU_PINNING_OFF, err);
}

enum status cpu_backend_open_pinned(struct backend **out, int n_threads, const char *isa,
                                    enum cpu_pinning pinning, struct error *err)
{
    const struct cpu_kernels *kernels;
    enum status s = cpu_kernels_choose(isa, &kernels, err);
    if (s != STATUS_OK) return s;
    if (n_threads <= 0) n_threads = pool_default_threads();
    if (n_threads > LIMIT_THREADS)
        return error_set_param(err, STATUS_INVALID, "threads",
                               "%d threads are too many: at most %d", n_threads, LIMIT_THREADS);
    struct cpu_backend *cb = calloc(1, sizeof *cb);
    if (!cb) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    int *cpus = NULL;
    s = choose_cpus(pinning, n_threads, &cpus, err);
    if (s == STATUS_OK) s = pool_open(&cb->pool, n_threads, cpus, err);
    cb->base.pinned = cpus != NULL;
    free(cpus);
    if (s != STATUS_OK) {
        free(cb);
        return s;
    }
    cb->kernels = kernels;
    cb->fetches_to_l2 = cpu_fetches_to_l2();
    cb->base.ops = &cpu_ops;
    cb->base.isa = kernels->name;
    cb->base.n_threads = n_threads;
    cb->base.max_inflight = 1;
    *out = &cb->base;
    return STATUS_OK;
}
