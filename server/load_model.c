#include "server/load_model.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/hash.h"
#include "config/base/log.h"
#include "engine/load/progress.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VOCAB_PADDING = 1024 }; /* rows without a token that a published model may well have */

static int parse_dtype(const char *name)
{
    if (strcmp(name, "float32") == 0) return DT_F32;
    if (strcmp(name, "int8") == 0) return DT_I8; /* of the KV-cache */
    return strcmp(name, "bfloat16") == 0 ? DT_BF16 : -1;
}

static enum quant_scheme parse_quant(const char *name)
{
    if (strcmp(name, "int8") == 0) return QUANT_INT8;
    if (strcmp(name, "int8-w8a16") == 0) return QUANT_INT8_W8A16;
    return strcmp(name, "int4") == 0 ? QUANT_INT4 : QUANT_NONE;
}

/* A name that stays when the model gets another revision: the hub's, else the directory's. */
static void packed_label(const struct options *o, char out[PATH_MAX])
{
    const bool named = o->model_said && strcmp(o->model, o->model_said) != 0;
    if (named || !realpath(o->model, out))
        snprintf(out, PATH_MAX, "%s", named ? o->model_said : o->model);
}

static enum cpu_pinning parse_pinning(const char *s)
{
    enum cpu_pinning p = CPU_PINNING_AUTO;
    CHECK(cpu_pinning_parse(s, &p)); /* the option table let no other word in */
    return p;
}

static enum status load_weights(const struct options *o, struct loaded_model *out,
                                struct error *err)
{
    char label[PATH_MAX];
    packed_label(o, label);
    struct load_progress progress;
    struct engine_options e = {
        .model_dir = o->model,
        .dummy_weights = strcmp(o->load_format, "dummy") == 0,
        .seed = o->seed >= 0 ? (uint64_t)o->seed : hash_process_seed(),
        .quant = parse_quant(o->quantization),
        .dtype = parse_dtype(o->dtype),
        .kv_dtype = parse_dtype(o->kv_cache_dtype),
        .device = o->device,
        .cuda_plugin = o->cuda_plugin,
        .enforce_eager = o->enforce_eager,
        .no_kernel_overlap = !o->kernel_overlap,
        .gpu_memory_utilization = o->gpu_memory_utilization,
        .isa = o->isa,
        .n_threads = (int)o->threads,
        .pinning = parse_pinning(o->cpu_pinning),
        .block_size = (int)o->block_size,
        .kv_cache_bytes = (uint64_t)o->kv_cache_memory_bytes,
        .max_num_seqs = (int)o->max_num_seqs,
        .max_num_batched_tokens = (int)o->max_num_batched_tokens,
        .max_model_len = (int)o->max_model_len,
        .packed_cache_dir = o->packed_cache_dir,
        .packed_label = label,
        .progress = load_progress_report,
        .progress_arg = &progress,
    };
    load_progress_start(&progress, stderr, isatty(STDERR_FILENO), clock_now_us);
    enum status st = engine_open(&out->engine, &e, err);
    load_progress_finish(&progress, st == STATUS_OK);
    return st;
}

/* The weights need config.json; the text part may do without. */
static enum status check_config(const char *dir, struct error *err)
{
    char config[PATH_MAX];
    if (path_join(config, sizeof(config), dir, "config.json", err) != STATUS_OK) return err->code;
    if (!file_exists(config))
        return error_set_param(err, STATUS_NOT_FOUND, "model",
                               "%s is not a Hugging Face model directory: it has no config.json",
                               dir);
    return STATUS_OK;
}

static void warn_of_threads(const struct options *o)
{
    int can = engine_default_threads();
    if (o->threads > can)
        log_event(
            LOG_WARN, "too_many_threads", "threads=%lld cpus=%d hint=%s", (long long)o->threads,
            can,
            "more threads than CPUs that this process may use are slower; leave --threads out");
}

/* Some published checkpoints name a few added tokens that the model has no row for, and many have
 * some rows more than tokens. */
static void warn_of_vocabulary(int n_ids, int n_rows)
{
    if (n_ids > n_rows)
        log_event(LOG_WARN, "vocabulary", "tokenizer_ids=%d model_rows=%d hint=%s", n_ids, n_rows,
                  "the tokenizer has ids that the model has no row for; a request that uses one "
                  "is refused");
    else if (n_rows - n_ids > VOCAB_PADDING)
        log_event(LOG_WARN, "vocabulary", "tokenizer_ids=%d model_rows=%d hint=%s", n_ids, n_rows,
                  "the tokenizer has far fewer ids than the model rows: probably the wrong "
                  "tokenizer");
}

static void log_model(const struct options *o, const struct engine_info *i)
{
    log_event(
        LOG_INFO, "model",
        "architecture=%s device=%s isa=%s threads=%d cpu_pinning=%s weight_bytes=%zu dtype=%s "
        "quantization=%s kv_cache_dtype=%s kv_cache_bytes=%zu kv_blocks=%d block_size=%d "
        "max_model_len=%d max_num_seqs=%d",
        i->config->architecture, i->device, i->isa, i->n_threads, i->pinned ? "on" : "off",
        i->weight_bytes, dtype_name(i->config->stored_dtype), o->quantization,
        dtype_name(i->kv_dtype), i->kv_cache_bytes,
        i->n_blocks - 1 /* without the null block, as everywhere */, i->block_size,
        i->max_model_len, i->max_num_seqs);
}

static enum status load_engine(const struct options *o, struct loaded_model *out, struct error *err)
{
    uint64_t t0 = clock_now_us();
    enum status st = load_weights(o, out, err);
    if (st != STATUS_OK) return st;
    const struct engine_info *info = engine_info(out->engine);
    warn_of_vocabulary(tokenizer_vocab_size(out->text.tokenizer), info->config->vocab_size);
    log_model(o, info);
    out->weights_s = (double)(clock_now_us() - t0) / 1e6;
    return STATUS_OK;
}

enum status load_model(const struct options *o, bool weights, struct loaded_model *out,
                       struct error *err)
{
    *out = (struct loaded_model){0};
    enum status st = check_dir(
        o->model, weights ? "config.json and the safetensors files" : "the tokenizer's files", err);
    if (st == STATUS_OK && weights) st = check_config(o->model, err);
    if (st != STATUS_OK) return st;
    if (weights) warn_of_threads(o);
    st = load_text(o, &out->text, err);
    if (st == STATUS_OK)
        st = weights ? load_engine(o, out, err) : load_text_limits(o, &out->text, err);
    if (st != STATUS_OK) loaded_model_free(out);
    return st;
}

void loaded_model_free(struct loaded_model *m)
{
    loaded_text_free(&m->text);
}
