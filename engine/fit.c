#include "engine/fit.h"

#include "config/base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Devices give memory in pages: what is left may be short of one. */
#define PAGE ((size_t)2 << 20)

static int max2(int a, int b)
{
    return a > b ? a : b;
}

struct backend_limits fit_limits(const struct engine_info *in, const struct model_config *c)
{
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

/* --- what things take --- */

/* What a start is tried with. */
struct choice {
    double share;
    int tokens, seqs, len;
    enum quant_scheme quant;
    uint64_t pool; /* 0: one sequence of `len` */
};

struct need {
    size_t device, pinned; /* buffers */
    size_t late;           /* graphs, and code that is loaded */
};

static struct choice chosen(const struct fit *f)
{
    return (struct choice){
        .share = f->options->kv_cache_bytes > 0 ? 1 : f->options->gpu_memory_utilization,
        .tokens = f->info->max_num_batched_tokens,
        .seqs = f->info->max_num_seqs,
        .len = f->info->max_model_len,
        .quant = f->options->quant,
        .pool = f->options->kv_cache_bytes,
    };
}

/* Of `n` arrays of `size` bytes; rounded: as a device holds them. */
static size_t arrays(bool rounded, size_t n, size_t size)
{
    const size_t unit = !rounded ? 1 : size >= PAGE / 2 ? PAGE : 512;
    return n * ((size + unit - 1) / unit * unit);
}

/* Not rounded: without gains and biases; no device holds less. */
static size_t weights_size(const struct fit *f, enum quant_scheme quant, bool rounded)
{
    const struct model_config *c = f->config;
    const size_t L = (size_t)c->n_layers, d = (size_t)c->d_model, ffn = (size_t)c->d_ffn;
    const size_t q = (size_t)(c->n_heads * c->head_dim), kv = (size_t)(c->n_kv_heads * c->head_dim);
    const size_t item = dtype_size(c->stored_dtype), of_linear = quant == QUANT_NONE ? item : 1;
    const size_t table = d * (size_t)c->vocab_size;
    size_t size =
        arrays(rounded, L, d * (q + 2 * kv) * of_linear) + arrays(rounded, L, q * d * of_linear) +
        arrays(rounded, L, 2 * d * ffn * of_linear) + arrays(rounded, L, d * ffn * of_linear) +
        arrays(rounded, 1, table * item) + arrays(rounded, 1, table * of_linear);
    if (!rounded) return size;
    size += (2 * L + 1) * arrays(true, 1, d * sizeof(float)) + 2 * L * 512; /* gains */
    if (quant == QUANT_NONE && !c->qkv_bias && !c->o_bias && !c->mlp_bias) return size;
    /* A scale and perhaps a bias for each output. */
    const size_t outputs = (q + 2 * kv + 2 * d + 2 * ffn) * sizeof(float) + 4 * 512;
    return size + 2 * (L * outputs + arrays(true, 1, (size_t)c->vocab_size * sizeof(float)));
}

/* With what loading takes beside them. */
static double loading_size(const struct fit *f, enum quant_scheme quant)
{
    struct backend_usage u;
    f->backend->ops->usage(f->backend, &u);
    return (double)weights_size(f, quant, true) + (double)u.load;
}

static size_t held_weights(const struct fit *f, enum quant_scheme quant)
{
    const size_t now = weights_size(f, f->options->quant, true);
    const size_t then = weights_size(f, quant, true);
    if (!f->weights || quant != f->options->quant) return then;
    return f->held_weights > now ? f->held_weights : now;
}

static enum status count_need(const struct fit *f, const struct choice *c, struct need *out,
                              struct error *err)
{
    struct engine_info in = *f->info;
    in.max_num_batched_tokens = c->tokens;
    in.max_num_seqs = c->seqs;
    in.max_model_len = c->len;
    if (f->options->max_logit_rows <= 0) in.max_logit_rows = c->seqs;
    in.n_blocks = 0;
    const struct backend_limits limits = fit_limits(&in, f->config);
    /* Without weights every activation is f32: none is larger. */
    struct layer_weights layer = {0};
    const struct model_weights unknown = {.layers = &layer};
    const bool known = f->weights && c->quant == f->options->quant;
    struct backend *counting;
    struct backend_usage u;
    struct model m;
    enum status s = f->backend->ops->open_counting(f->backend, &counting, err);
    if (s != STATUS_OK) return s;
    const struct backend_ops *ops = counting->ops;
    s = ops->reserve(counting, &limits, &f->config->rope, err);
    if (s == STATUS_OK)
        s = model_init(&m, counting, f->config, known ? f->weights : &unknown, &limits, err);
    if (s == STATUS_OK) {
        ops->usage(counting, &u);
        *out = (struct need){.device = u.device, .pinned = u.pinned, .late = u.code};
        if (!f->options->enforce_eager) out->late += ops->capture_size(counting);
    }
    ops->close(counting);
    return s;
}

/* Of an automatic pool: less than one sequence serves nobody. */
static uint64_t pool_size(const struct fit *f, const struct choice *c)
{
    if (c->pool > 0) return c->pool;
    const int bs = f->info->block_size, blocks = 1 + (c->len + bs - 1) / bs;
    return (uint64_t)blocks * model_kv_block_size(f->config, bs, f->info->kv_dtype);
}

/* Of the device's memory, with a page to spare. */
static double demand(const struct fit *f, const struct choice *c)
{
    struct need n;
    struct error ignored;
    if (count_need(f, c, &n, &ignored) != STATUS_OK) return INFINITY;
    const double ready = (double)held_weights(f, c->quant) + (double)n.device + (double)n.late +
                         (double)pool_size(f, c) + (double)PAGE;
    return fmax(ready, loading_size(f, c->quant));
}

/* Of what was free at open. */
static double allowed(const struct fit *f, double share)
{
    return (double)f->at_open - (1 - share) * (double)f->total;
}

static bool fits(const struct fit *f, const struct choice *c)
{
    return demand(f, c) <= allowed(f, c->share);
}

/* --- what to change --- */

#define MAX_ADVICE 3

struct advice {
    char text[300];
    int n;
};

static void add_advice(struct advice *a, const char *what, const char *value)
{
    if (a->n >= MAX_ADVICE) return;
    const size_t at = strlen(a->text);
    snprintf(a->text + at, sizeof a->text - at, "%s%s%s", a->n++ ? ", or " : "", what, value);
}

static void advise_number(struct advice *a, const char *option, int value)
{
    char text[32];
    snprintf(text, sizeof text, " %d", value);
    add_advice(a, option, text);
}

typedef bool fits_fn(const struct fit *f, const struct choice *c, const void *arg);

static bool fits_device(const struct fit *f, const struct choice *c, const void *arg)
{
    (void)arg;
    return fits(f, c);
}

/* arg: the bytes that the host pinned. */
static bool fits_pinned(const struct fit *f, const struct choice *c, const void *arg)
{
    struct need n;
    struct error ignored;
    return count_need(f, c, &n, &ignored) == STATUS_OK && n.pinned <= *(const size_t *)arg;
}

/* Halves one of a choice's numbers until it fits; 0: it does not, down to `least`. */
static int lower(const struct fit *f, const struct choice *c, int *number, int least,
                 fits_fn *fit_by, const void *arg)
{
    const int before = *number;
    int found = 0;
    for (*number /= 2; *number >= least && found == 0; *number /= 2)
        if (fit_by(f, c, arg)) found = *number;
    *number = before;
    return found;
}

/* All three together.  False: not even one sequence of one block. */
static bool lower_all(const struct fit *f, struct choice *c, fits_fn *fit_by, const void *arg)
{
    const int bs = f->info->block_size;
    while (!fit_by(f, c, arg)) {
        if (c->tokens == 1 && c->seqs == 1 && c->len <= bs) return false;
        c->len = max2(c->len / 2, bs < c->len ? bs : c->len);
        c->seqs = max2(c->seqs / 2, 1);
        c->tokens = max2(c->tokens / 2, c->seqs);
    }
    return true;
}

static void advise_lowering(const struct fit *f, struct advice *a, fits_fn *fit_by, const void *arg)
{
    struct choice c = chosen(f);
    int n = lower(f, &c, &c.tokens, c.seqs, fit_by, arg);
    if (n > 0) advise_number(a, "--max-num-batched-tokens", n);
    n = lower(f, &c, &c.seqs, 1, fit_by, arg);
    if (n > 0) advise_number(a, "--max-num-seqs", n);
    n = lower(f, &c, &c.len, f->info->block_size, fit_by, arg);
    if (n > 0) advise_number(a, "--max-model-len", n);
}

static void advise_all(const struct fit *f, struct choice c, struct advice *a, fits_fn *fit_by,
                       const void *arg, const char *with)
{
    if (a->n > 0 || !lower_all(f, &c, fit_by, arg)) return;
    char text[224];
    snprintf(text, sizeof text,
             "%s--max-num-batched-tokens %d --max-num-seqs %d --max-model-len %d together", with,
             c.tokens, c.seqs, c.len);
    add_advice(a, text, "");
}

static void advise_share(const struct fit *f, struct advice *a)
{
    const struct choice c = chosen(f);
    char text[64];
    if (c.pool > 0) {
        const double rest = allowed(f, 1) - (demand(f, &c) - (double)c.pool);
        const uint64_t block =
            model_kv_block_size(f->config, f->info->block_size, f->info->kv_dtype);
        if (!(rest >= 2 * (double)block)) return;
        snprintf(text, sizeof text, " %llu", (unsigned long long)((uint64_t)rest / block * block));
        add_advice(a, "--kv-cache-memory-bytes", text);
        return;
    }
    const double missing = demand(f, &c) - (double)f->at_open;
    const double share = ceil(100 * (1 + missing / (double)f->total)) / 100;
    if (!(share > c.share && share <= 1)) return;
    snprintf(text, sizeof text, " %.2f", share);
    add_advice(a, "--gpu-memory-utilization", text);
}

static void advise(const struct fit *f, struct advice *a)
{
    struct choice c = chosen(f);
    advise_share(f, a);
    advise_lowering(f, a, fits_device, NULL);
    const bool can_quantise = c.quant == QUANT_NONE;
    struct choice int8 = c;
    int8.quant = QUANT_INT8;
    if (can_quantise && fits(f, &int8)) add_advice(a, "--quantization int8", "");
    c.share = int8.share = 1;
    const bool shared = c.pool == 0;
    c.pool = int8.pool = 0;
    const char *const all = shared ? "--gpu-memory-utilization 1 "
                                   : "no --kv-cache-memory-bytes, "
                                     "--gpu-memory-utilization 1 ";
    advise_all(f, chosen(f), a, fits_device, NULL, "");
    advise_all(f, c, a, fits_device, NULL, all);
    if (can_quantise) {
        char text[96];
        snprintf(text, sizeof text, "--quantization int8 %s", all);
        advise_all(f, int8, a, fits_device, NULL, text);
    }
}

/* --- words --- */

struct words {
    char s[24];
};

/* Rounded up: what is missing must be enough. */
static struct words size_words(double bytes)
{
    struct words w;
    if (bytes < 0) bytes = 0;
    if (bytes >= 1 << 30)
        snprintf(w.s, sizeof w.s, "%.2f GiB", ceil(100 * bytes / (1 << 30)) / 100);
    else
        snprintf(w.s, sizeof w.s, "%.1f MiB", ceil(10 * bytes / (1 << 20)) / 10);
    return w;
}

/* "what" needs so much, where so much may be taken. */
static enum status refuse(const struct fit *f, const char *what, double size, double room,
                          struct error *err)
{
    struct advice a = {0};
    char share[64] = "";
    if (size <= room)
        return error_prepend(err,
                             "out of GPU memory, although %s ought to fit: another process may "
                             "have taken some",
                             what);
    advise(f, &a);
    if (f->options->kv_cache_bytes == 0)
        snprintf(share, sizeof share, " (--gpu-memory-utilization %.2f)",
                 f->options->gpu_memory_utilization);
    return error_set(err, STATUS_NO_MEMORY,
                     "out of GPU memory: %s: %s, with room for %s of %s%s; %s are missing: %s%s",
                     what, size_words(size).s, size_words(room).s, size_words((double)f->total).s,
                     share, size_words(size - room).s,
                     a.n ? "use " : "no option makes it fit, a smaller model or a larger GPU would",
                     a.text);
}

static enum status refuse_pinned(const struct fit *f, struct error *err)
{
    struct backend_usage u;
    struct need n;
    struct error ignored;
    struct advice a = {0};
    f->backend->ops->usage(f->backend, &u);
    const struct choice c = chosen(f);
    if (!f->weights || count_need(f, &c, &n, &ignored) != STATUS_OK || n.pinned <= u.pinned_most)
        return error_prepend(err, "out of pinned host memory (not the GPU's), which the machine or "
                                  "its container limits");
    advise_lowering(f, &a, fits_pinned, &u.pinned_most);
    advise_all(f, c, &a, fits_pinned, &u.pinned_most, "");
    return error_set(err, STATUS_NO_MEMORY,
                     "out of pinned host memory (not the GPU's): steps are staged in %s; the host "
                     "has given %s and refused more; up to %s are missing: %s%s",
                     size_words((double)n.pinned).s, size_words((double)u.pinned_most).s,
                     size_words((double)(n.pinned - u.pinned_most)).s,
                     a.n ? "use " : "give the machine or its container more memory", a.text);
}

/* A share, or a pool, that is smaller by what the captures still need; 0 of them fitted: unknown. */
static enum status refuse_graphs(const struct fit *f, struct error *err)
{
    struct backend_usage u;
    size_t left, total;
    struct advice a = {0};
    char text[64];
    f->backend->ops->usage(f->backend, &u);
    f->backend->ops->memory(f->backend, &left, &total);
    const double before = (double)f->left_before_graphs, used = before - (double)left;
    const double all =
        u.n_captured > 0 ? 1.1 * used * u.n_to_capture / u.n_captured : 2 * before + (double)PAGE;
    const double missing = all - before, pool = (double)f->info->kv_cache_bytes;
    const uint64_t block = model_kv_block_size(f->config, f->info->block_size, f->info->kv_dtype);
    struct choice c = chosen(f);
    c.pool = 0;
    /* The pool may have been smaller than the share allowed: what counts is that it shrinks. */
    if (u.n_captured > 0 && missing > 0 && pool - missing >= (double)pool_size(f, &c)) {
        const double late = (double)f->backend->ops->capture_size(f->backend);
        const double apart = before + missing - late - (double)PAGE; /* from what sizes the pool */
        const double share = floor(100 * (1 - fmax(apart, 0) / (double)f->total)) / 100;
        const uint64_t bytes = (uint64_t)(pool - missing) / block * block;
        if (f->options->kv_cache_bytes == 0 && share >= 0.05 && share < c.share) {
            snprintf(text, sizeof text, " %.2f", share);
            add_advice(&a, "--gpu-memory-utilization", text);
        }
        snprintf(text, sizeof text, " %llu", (unsigned long long)bytes);
        add_advice(&a, "--kv-cache-memory-bytes", text);
    }
    add_advice(&a, "--enforce-eager", "");
    return error_set(err, STATUS_NO_MEMORY,
                     "out of GPU memory: graphs of steps: %d of %d were captured in %s, with room "
                     "for %s of %s; some %s are missing: use %s",
                     u.n_captured, u.n_to_capture, size_words(used).s, size_words(before).s,
                     size_words((double)total).s, size_words(fmax(missing, 0)).s, a.text);
}

/* --- the parts of a start --- */

enum status fit_begin(struct fit *f, struct error *err)
{
    f->backend->ops->memory(f->backend, &f->at_open, &f->total);
    const double least = (double)weights_size(f, f->options->quant, false);
    const double room = allowed(f, chosen(f).share);
    if (least <= room) return STATUS_OK;
    return refuse(f, "weights", loading_size(f, f->options->quant), room, err);
}

void fit_loaded(struct fit *f, const struct model_weights *w)
{
    size_t left, total;
    f->backend->ops->memory(f->backend, &left, &total);
    f->held_weights = f->at_open > left ? f->at_open - left : 0;
    f->weights = w;
}

static double pool_room(const struct fit *f, bool capture_steps)
{
    size_t left, total;
    f->backend->ops->memory(f->backend, &left, &total);
    const size_t late = capture_steps ? f->backend->ops->capture_size(f->backend) : 0;
    return (double)left - (1 - chosen(f).share) * (double)total - (double)late - (double)PAGE;
}

uint64_t fit_pool_limit(const struct fit *f, bool capture_steps)
{
    const double room = pool_room(f, capture_steps);
    return room > 0 ? (uint64_t)room : 0;
}

/* Of the options as they are; nothing where it cannot be counted. */
static struct need chosen_need(const struct fit *f)
{
    struct need n = {0};
    struct error ignored;
    const struct choice c = chosen(f);
    count_need(f, &c, &n, &ignored);
    return n;
}

enum status fit_no_pool(const struct fit *f, bool capture_steps, struct error *err)
{
    char what[160];
    const struct need n = chosen_need(f);
    snprintf(what, sizeof what, "KV cache, beside weights (%s) and buffers (%s)",
             size_words((double)f->held_weights).s, size_words((double)n.device).s);
    const double least =
        2 * (double)model_kv_block_size(f->config, f->info->block_size, f->info->kv_dtype);
    return refuse(f, what, least, pool_room(f, capture_steps), err);
}

static enum status refuse_buffers(const struct fit *f, struct error *err)
{
    char what[96];
    const struct need n = chosen_need(f);
    snprintf(what, sizeof what, "step buffers, beside weights (%s)",
             size_words((double)f->held_weights).s);
    return refuse(f, what, (double)n.device + (double)n.late,
                  (double)f->at_open - (double)f->held_weights, err);
}

enum status fit_explain(const struct fit *f, enum fit_part part, struct error *err)
{
    if (err->code != STATUS_NO_MEMORY) return err->code;
    struct backend_usage u;
    f->backend->ops->usage(f->backend, &u);
    if (u.pinned_failed) return refuse_pinned(f, err);
    if (!u.device_failed) return err->code; /* plain memory of the host */
    const double room = allowed(f, chosen(f).share);
    switch (part) {
    case FIT_WEIGHTS:
        return refuse(f, "weights", loading_size(f, f->options->quant), room, err);
    case FIT_BUFFERS:
        return refuse_buffers(f, err);
    case FIT_POOL:
        return refuse(f, "KV cache", (double)f->info->kv_cache_bytes,
                      pool_room(f, !f->options->enforce_eager), err);
    case FIT_GRAPHS:
        return refuse_graphs(f, err);
    }
    return err->code;
}
