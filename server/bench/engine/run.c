#include "server/bench/engine/run.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/machine.h"
#include "engine/engine.h"
#include "engine/load/progress.h"
#include "engine/load/safetensors_file.h"
#include "server/bench/engine/device.h"
#include "server/bench/engine/plan.h"
#include "server/bench/engine/steps.h"
#include "server/demo_model.h"
#include "server/model_dir.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A measurement takes at least so long: below, the clock and what wakes up now and then count. */
#define MEASURE_NS 50000000
#define MAX_STEPS  10000

enum { MAX_REPEAT = 1000 };

struct runner {
    const struct engine_args *args;
    const struct run_events *events;
    struct engine_run *run;
    struct error *err;
    bool terminal;
    double memory; /* bytes that the engine may use */
    struct plan plans[PRECISION_COUNT];

    /* one precision */
    const struct plan *plan;
    struct engine *engine;
    struct step_format format;
    struct bench_steps steps;
    double samples_s[MAX_REPEAT];
};

/* What is being done, which on a terminal the next of its kind replaces. */
static void progress(const struct runner *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What the reader should know of the figures. */
static void note(const struct runner *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_line(const struct runner *r, bool stays, const char *format, va_list args)
{
    if (!r->args->progress) return;
    fputs(r->terminal ? "\r\033[K" : "", stderr);
    fputs("inferd bench engine: ", stderr);
    vfprintf(stderr, format, args);
    if (stays || !r->terminal) fputc('\n', stderr);
    fflush(stderr);
}

static void progress(const struct runner *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(r, false, format, args);
    va_end(args);
}

static void note(const struct runner *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(r, true, format, args);
    va_end(args);
}

static void clear_progress(const struct runner *r)
{
    if (r->args->progress && r->terminal) fputs("\r\033[K", stderr);
}

/* --- the model ------------------------------------------------------------------------------- */

static bool has_file(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return path_join(path, sizeof path, dir, name, NULL) == STATUS_OK && file_exists(path);
}

static void clip(const struct runner *r, const char *what, int *length)
{
    const int longest = r->run->config.max_position;
    if (*length <= longest) return;
    note(r, "%s %d is lowered to the model's %d positions", what, *length, longest);
    *length = longest;
}

static enum status find_model(struct runner *r)
{
    struct engine_run *run = r->run;
    struct hub_name name;
    enum status s = r->args->model ? model_dir_find(r->args->model, run->dir, &name, r->err)
                                   : demo_model_find(run->dir, sizeof run->dir, r->err);
    if (s == STATUS_OK && !has_file(run->dir, "config.json"))
        s = error_set_param(r->err, STATUS_NOT_FOUND, "model",
                            "%.300s is no model directory: it has no config.json", run->dir);
    if (s == STATUS_OK) s = model_config_load(run->dir, &run->config, r->err);
    if (s != STATUS_OK) return s;
    run->random_weights =
        !has_file(run->dir, SAFETENSORS_SINGLE) && !has_file(run->dir, SAFETENSORS_INDEX);
    run->kv_dtype = run->config.stored_dtype == DT_F32 ? DT_F32 : DT_BF16;
    if (strcmp(r->args->kv_cache_dtype, "float32") == 0) run->kv_dtype = DT_F32;
    if (strcmp(r->args->kv_cache_dtype, "bfloat16") == 0) run->kv_dtype = DT_BF16;
    if (strcmp(r->args->kv_cache_dtype, "int8") == 0) run->kv_dtype = DT_I8;
    run->device = r->args->device;
    return STATUS_OK;
}

/* "none" is the stored type; float16 is held as float32. */
static enum precision resolve(const struct engine_run *run, enum precision p)
{
    if (p != PRECISION_STORED) return p;
    return run->config.stored_dtype == DT_BF16 ? PRECISION_BF16 : PRECISION_F32;
}

/* --- the plan -------------------------------------------------------------------------------- */

static void clip_all(struct runner *r, const char *what, const struct int_list *list,
                     struct int_list *out)
{
    *out = (struct int_list){0};
    for (int i = 0; i < list->n; i++) {
        int length = list->items[i];
        bool known = false;
        clip(r, what, &length);
        for (int k = 0; k < out->n; k++) known = known || out->items[k] == length;
        if (!known) out->items[out->n++] = length;
    }
}

static enum status make_plan(struct runner *r, enum precision p, const struct int_list *prompts,
                             const struct int_list *contexts)
{
    const struct plan_wish wish = {
        .config = &r->run->config,
        .precision = p,
        .kv_dtype = r->run->kv_dtype,
        .block_size = (int)r->args->block_size,
        .prompts = prompts,
        .batches = &r->args->batches,
        .contexts = contexts,
        .all = r->args->lists_given,
        .memory = r->memory,
    };
    struct plan *plan = &r->plans[p];
    const enum status s = plan_make(&wish, plan, r->err);
    for (int i = 0; i < plan->n_left_out && s == STATUS_OK; i++)
        note(r,
             "%s: batch %d at context %d is left out: it needs %.1f GiB of the %.1f GiB that can "
             "be used here",
             precision_name(p), plan->left_out[i].shape.n_seqs, plan->left_out[i].shape.kv_len,
             plan->left_out[i].bytes / (1 << 30), r->memory / (1 << 30));
    return s;
}

/* --- measuring ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct spread spread_of(double *samples, int n)
{
    qsort(samples, (size_t)n, sizeof *samples, compare);
    const double upper = samples[n / 2], lower = samples[(n - 1) / 2];
    return (struct spread){samples[0], 0.5 * (lower + upper), samples[n - 1]};
}

/* As many under way as the device can have, as when a server runs. */
static enum status execute(struct runner *r, const struct step *step, int n, double *seconds)
{
    const int most = r->args->async_scheduling ? engine_info(r->engine)->max_inflight : 1;
    const uint64_t start = clock_now_ns();
    enum status s = STATUS_OK;
    for (int begun = 0, done = 0; done < n && s == STATUS_OK;) {
        if (begun < n && begun - done < most) {
            s = engine_submit(r->engine, step, r->err);
            begun++;
        } else {
            s = engine_collect(r->engine, &r->steps.result, r->err);
            done++;
        }
    }
    const uint64_t ns = clock_now_ns() - start;
    *seconds = (double)(ns > 0 ? ns : 1) * 1e-9;
    return s;
}

/* Steps that take MEASURE_NS together, after the first, which warms up. */
static enum status count_steps(struct runner *r, const struct step *step, int *n)
{
    double seconds;
    enum status s = execute(r, step, 1, &seconds);
    *n = 1;
    while (s == STATUS_OK) {
        s = execute(r, step, *n, &seconds);
        if (seconds >= MEASURE_NS * 1e-9 * 0.5 || *n >= MAX_STEPS) break;
        *n *= 2;
    }
    if (s == STATUS_OK) {
        const double wanted = MEASURE_NS * 1e-9 / seconds * *n + 1;
        *n = wanted < MAX_STEPS ? (int)wanted : MAX_STEPS;
        if (seconds / *n >= MEASURE_NS * 1e-9) *n = 1;
    }
    return s;
}

/* The fastest of the repetitions: the one that other work disturbed least. */
static enum status profile(struct runner *r, const struct step *step, int n,
                           struct engine_figure *f)
{
    struct op_profile ops = {.now_ns = clock_now_ns};
    enum status s = engine_profile(r->engine, &ops, r->err);
    for (int i = 0; i < (int)r->args->repeat && s == STATUS_OK; i++) {
        double seconds = 0;
        memset(ops.ops, 0, sizeof ops.ops);
        s = execute(r, step, n, &seconds);
        if (s != STATUS_OK || (i > 0 && seconds / n >= f->profile_step_s)) continue;
        f->profile_step_s = seconds / n;
        for (int k = 0; k < OP_COUNT; k++) f->op_s[k] = (double)ops.ops[k].ns * 1e-9 / n;
    }
    struct error ignored;
    engine_profile(r->engine, NULL, &ignored); /* taking it away cannot fail */
    return s;
}

/* What there is of the memory changes, so it is measured again where it counts. */
static enum status find_limits(struct runner *r, struct engine_figure *f)
{
    struct probe *p = &r->run->probe;
    enum status s = STATUS_OK;
    step_work(&r->run->config, &r->format, &f->shape, f->op_work);
    if (work_limit(f->op_work, LIMIT_OPS, p).memory_s > 0)
        s = bench_device_again(r->args, p, r->err);
    f->limit = work_limit(f->op_work, LIMIT_OPS, p);
    for (int i = 0; i < LIMIT_OPS; i++) f->op_limit[i] = work_limit(&f->op_work[i], 1, p);
    return s;
}

static enum status measure(struct runner *r, enum precision p, const struct step_shape *shape,
                           bool prefill)
{
    struct engine_run *run = r->run;
    struct engine_figure *f = &run->figures[run->n_figures];
    const int repeat = (int)r->args->repeat;
    *f = (struct engine_figure){.precision = p, .shape = *shape, .prefill = prefill};
    f->n_tokens = shape->n_seqs * shape->n_new;
    enum status s = find_limits(r, f);
    if (s != STATUS_OK) return s;
    const struct step *step = bench_steps_make(&r->steps, shape);
    int n = 1;
    s = count_steps(r, step, &n);
    for (int i = 0; i < repeat && s == STATUS_OK; i++) {
        s = execute(r, step, n, &r->samples_s[i]);
        r->samples_s[i] /= n;
    }
    if (s == STATUS_OK && r->args->profile) s = profile(r, step, n, f);
    if (s != STATUS_OK) return s;
    f->n_steps = n * repeat;
    f->step_s = spread_of(r->samples_s, repeat);
    run->n_figures++;
    clear_progress(r);
    r->events->figure(run, f, r->events->arg);
    return STATUS_OK;
}

/* --- one precision --------------------------------------------------------------------------- */

static void describe_format(struct runner *r, enum precision p)
{
    const struct engine_info *info = engine_info(r->engine);
    r->format = (struct step_format){
        .kv_rate = info->kv_dtype == DT_F32 ? PROBE_F32 : PROBE_BF16,
        .kv_dtype = info->kv_dtype,
    };
    for (int i = 0; i < OP_LINEARS; i++) {
        r->format.linear_size[i] = (double)info->linear_bytes[i];
        r->format.linear_rate[i] = precision_rate(p);
    }
    r->run->weight_bytes[p] = info->weight_bytes;
}

static enum status open_engine(struct runner *r, enum precision p)
{
    const struct engine_args *a = r->args;
    const struct plan *plan = r->plan;
    struct load_progress load;
    struct engine_options o = {
        .model_dir = r->run->dir,
        .dummy_weights = r->run->random_weights,
        .seed = (uint64_t)a->seed,
        .quant = precision_quant(p),
        .dtype = precision_dtype(p),
        .kv_dtype = r->run->kv_dtype,
        .device = a->device,
        .cuda_plugin = a->cuda_plugin,
        .enforce_eager = a->enforce_eager,
        .no_kernel_overlap = !a->kernel_overlap,
        .gpu_memory_utilization = 1,
        .isa = a->isa,
        .n_threads = (int)a->threads,
        .pinning = a->pinning,
        .block_size = (int)a->block_size,
        .kv_cache_bytes =
            (uint64_t)plan->n_blocks *
            model_kv_block_size(&r->run->config, (int)a->block_size, r->run->kv_dtype),
        .max_num_seqs = plan->max_seqs,
        .max_num_batched_tokens = plan->max_tokens,
        .max_model_len = plan->max_len,
        .progress = a->progress ? load_progress_report : NULL,
        .progress_arg = &load,
    };
    progress(r, "%s: loading%s", precision_name(p),
             r->run->random_weights ? " random weights, for the directory has none" : "");
    if (a->progress) load_progress_start(&load, stderr, r->terminal, clock_now_us);
    const enum status s = engine_open(&r->engine, &o, r->err);
    if (a->progress) load_progress_finish(&load, s == STATUS_OK);
    return s;
}

/* Blocks that hold something, each in memory of its own: untouched memory would be one page of
 * zeros, in the cache. */
static enum status fill_cache(struct runner *r)
{
    const struct plan *plan = r->plan;
    double seconds;
    enum status s = bench_steps_init(&r->steps, plan->max_tokens, plan->max_seqs, plan->n_blocks,
                                     (int)r->args->block_size, r->run->config.vocab_size,
                                     (uint64_t)r->args->seed, r->err);
    if (s == STATUS_OK)
        s = execute(r, bench_steps_compute_block(&r->steps, plan->max_len), 1, &seconds);
    /* A scheduler copies a block for each sequence at most. */
    for (int done = 0; 2 + done < plan->n_blocks && s == STATUS_OK;)
        s = execute(r, bench_steps_copy_block(&r->steps, plan->max_seqs, &done), 1, &seconds);
    return s;
}

static enum status run_precision(struct runner *r, enum precision p)
{
    r->plan = &r->plans[p];
    enum status s = open_engine(r, p);
    if (s == STATUS_OK) {
        describe_format(r, p);
        s = fill_cache(r);
    }
    for (int i = 0; i < r->plan->n_shapes && s == STATUS_OK; i++) {
        const struct step_shape *shape = &r->plan->shapes[i];
        const bool prefill = i < r->plan->n_prefills;
        if (prefill)
            progress(r, "%s: prefill of %d tokens", precision_name(p), shape->n_new);
        else
            progress(r, "%s: decode, batch %d, context %d", precision_name(p), shape->n_seqs,
                     shape->kv_len);
        s = measure(r, p, shape, prefill);
    }
    bench_steps_free(&r->steps);
    engine_close(r->engine);
    r->engine = NULL;
    return s;
}

/* --- the whole ------------------------------------------------------------------------------- */

static enum status find_device(struct runner *r)
{
    const int threads = (int)r->args->threads, can = engine_default_threads();
    if (!r->args->on_gpu && threads > can)
        note(r, "%d threads on %d CPUs that this process may use: figures will be low", threads,
             can);
    progress(r, r->args->on_gpu ? "asking the GPU" : "measuring the machine");
    return bench_device_find(r->args, r->run, &r->memory, r->err);
}

enum status engine_run(const struct engine_args *args, const struct run_events *events,
                       struct engine_run *run, struct error *err)
{
    struct int_list prompts, contexts;
    enum precision precisions[PRECISION_COUNT];
    int n = 0;
    struct runner *r = calloc(1, sizeof *r);
    if (!r) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *r = (struct runner){.args = args, .events = events, .run = run, .err = err};
    r->terminal = isatty(STDERR_FILENO);
    memset(run, 0, sizeof *run);
    enum status s = find_model(r);
    if (s != STATUS_OK) goto out;
    for (int i = 0; i < args->n_precisions; i++) { /* "none" and its type are one */
        const enum precision p = resolve(run, args->precisions[i]);
        bool known = false;
        for (int k = 0; k < n; k++) known = known || precisions[k] == p;
        if (!known) precisions[n++] = p;
    }
    clip_all(r, "the prompt's length", &args->prompts, &prompts);
    clip_all(r, "context", &args->contexts, &contexts);
    s = find_device(r);
    for (int i = 0; i < n && s == STATUS_OK; i++) /* all, before one of them takes long */
        s = make_plan(r, precisions[i], &prompts, &contexts);
    if (s != STATUS_OK) goto out;
    clear_progress(r);
    events->probed(run, events->arg);
    for (int i = 0; i < n && s == STATUS_OK; i++) s = run_precision(r, precisions[i]);
out:
    clear_progress(r);
    free(r);
    return s;
}
