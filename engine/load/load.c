/* load.c - which tensors a model is made of, and how they become a backend's weights.
 *
 * The model is walked twice: the first walk checks that every tensor is there in the right shape
 * and that none is left over, so that a bad checkpoint fails at once and not after minutes; the
 * second prepares one weight at a time, so that no more than one is ever held twice. */

#include "engine/load/load.h"

#include "config/base/check.h"
#include "config/base/log.h"
#include "engine/convert.h"
#include "engine/load/dummy.h"
#include "engine/load/packed_cache.h"
#include "engine/load/packed_key.h"
#include "engine/load/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARTS 3
#define NAME_SIZE 96

/* One weight: its tensors, stacked along the rows. */
struct weight_spec {
    struct weight **out;
    enum weight_kind kind;
    int n_parts, cols;
    struct {
        char stem[NAME_SIZE]; /* "model.layers.0.mlp.up_proj": the name without .weight or .bias */
        int rows;
    } parts[MAX_PARTS];
    bool bias;
};

/* Memory for tensors that cannot be read where they are; grows to the largest weight. */
struct scratch {
    void *data;
    size_t size;
};

struct loader {
    struct backend *be;
    const struct model_config *config;
    const struct load_options *options;
    struct model_weights *out;
    struct safetensors *st; /* NULL: dummy weights */
    struct dummy *dummy;
    struct scratch scratch, bias_scratch;
    uint64_t done, total;
    struct error *err;

    /* packed weights: the arrays of the file, and how many are taken; or those to be written */
    const uint8_t *packed_data;
    const struct packed_entry *entries;
    int n_entries, n_taken;
    struct packed_array *arrays;
    int n_arrays, cap_arrays;
};
typedef enum status visit_fn(struct loader *l, const struct weight_spec *spec);

/* --- the walk ------------------------------------------------------------------------------- */

static void add_part(struct weight_spec *s, const char *prefix, const char *name, int rows)
{
    snprintf(s->parts[s->n_parts].stem, NAME_SIZE, "%s%s", prefix, name);
    s->parts[s->n_parts++].rows = rows;
}

static enum status visit_one(struct loader *l, visit_fn *visit, struct weight **out,
                             enum weight_kind kind, const char *stem, int rows, int cols)
{
    struct weight_spec spec = {.out = out, .kind = kind, .cols = cols};
    add_part(&spec, "", stem, rows);
    return visit(l, &spec);
}

static enum status walk_norms(struct loader *l, visit_fn *visit, const char *prefix,
                              struct layer_weights *w)
{
    const struct model_config *c = l->config;
    const struct {
        const char *name;
        struct weight **out;
        int len;
    } norms[] = {
        {"input_layernorm", &w->attn_norm, c->d_model},
        {"post_attention_layernorm", &w->ffn_norm, c->d_model},
        {"self_attn.q_norm", &w->q_norm, c->head_dim},
        {"self_attn.k_norm", &w->k_norm, c->head_dim},
    };
    enum status s = STATUS_OK;
    const size_t n = c->qk_norm ? 4 : 2;
    for (size_t i = 0; i < n && s == STATUS_OK; i++) {
        char stem[NAME_SIZE];
        snprintf(stem, sizeof stem, "%s%s", prefix, norms[i].name);
        s = visit_one(l, visit, norms[i].out, WEIGHT_VECTOR, stem, 1, norms[i].len);
    }
    return s;
}

static enum status walk_layer(struct loader *l, visit_fn *visit, int layer)
{
    const struct model_config *c = l->config;
    struct layer_weights *w = &l->out->layers[layer];
    const int q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "model.layers.%d.", layer);

    struct weight_spec spec[4] = {
        {.out = &w->wqkv, .cols = c->d_model, .bias = c->qkv_bias},
        {.out = &w->wo, .cols = q, .bias = c->o_bias},
        {.out = &w->w_gate_up, .cols = c->d_model, .bias = c->mlp_bias},
        {.out = &w->w_down, .cols = c->d_ffn, .bias = c->mlp_bias},
    };
    add_part(&spec[0], prefix, "self_attn.q_proj", q);
    add_part(&spec[0], prefix, "self_attn.k_proj", kv);
    add_part(&spec[0], prefix, "self_attn.v_proj", kv);
    add_part(&spec[1], prefix, "self_attn.o_proj", c->d_model);
    add_part(&spec[2], prefix, "mlp.gate_proj", c->d_ffn);
    add_part(&spec[2], prefix, "mlp.up_proj", c->d_ffn);
    add_part(&spec[3], prefix, "mlp.down_proj", c->d_model);

    enum status s = walk_norms(l, visit, prefix, w);
    for (size_t i = 0; i < ARRAY_LEN(spec) && s == STATUS_OK; i++) {
        spec[i].kind = WEIGHT_LINEAR;
        s = visit(l, &spec[i]);
    }
    return s;
}

static enum status walk(struct loader *l, visit_fn *visit)
{
    static const char embed[] = "model.embed_tokens";
    const struct model_config *c = l->config;
    struct model_weights *w = l->out;
    enum status s = visit_one(l, visit, &w->embed, WEIGHT_EMBED, embed, c->vocab_size, c->d_model);
    for (int i = 0; i < c->n_layers && s == STATUS_OK; i++) s = walk_layer(l, visit, i);
    if (s == STATUS_OK)
        s = visit_one(l, visit, &w->final_norm, WEIGHT_VECTOR, "model.norm", 1, c->d_model);
    if (s == STATUS_OK)
        s = visit_one(l, visit, &w->lm_head, WEIGHT_LINEAR, c->tie_embeddings ? embed : "lm_head",
                      c->vocab_size, c->d_model);
    return s;
}

/* --- first walk: is everything there? ------------------------------------------------------- */

static struct stored_tensor *find_tensor(struct loader *l, const char *stem, const char *suffix)
{
    char name[NAME_SIZE + 16];
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return safetensors_find(l->st, name);
}

static void format_dims(const struct stored_tensor *t, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < t->n_dims && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
}

/* rows 0: a vector of `cols`. */
static enum status check_tensor(struct loader *l, const char *stem, const char *suffix, int rows,
                                int cols)
{
    const struct stored_tensor *t = find_tensor(l, stem, suffix);
    if (!t)
        return error_set_param(l->err, STATUS_CORRUPT, stem,
                               "the checkpoint has no tensor \"%s%s\", which config.json asks for",
                               stem, suffix);
    char dims[200];
    format_dims(t, dims, sizeof dims);
    const bool fits = rows > 0 ? t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols
                               : t->n_dims == 1 && t->dims[0] == cols;
    if (!fits && rows > 0)
        return error_set_param(l->err, STATUS_CORRUPT, stem,
                               "tensor \"%s\" has shape [%s], but config.json asks for [%d, %d]",
                               t->name, dims, rows, cols);
    if (!fits)
        return error_set_param(l->err, STATUS_CORRUPT, stem,
                               "tensor \"%s\" has shape [%s], but config.json asks for [%d]",
                               t->name, dims, cols);
    if (t->dtype != DT_F32 && t->dtype != DT_F16 && t->dtype != DT_BF16)
        return error_set_param(l->err, STATUS_UNSUPPORTED, stem,
                               "tensor \"%s\" is stored as %s: only F32, F16 and BF16 checkpoints "
                               "are supported",
                               t->name, t->dtype_text);
    return STATUS_OK;
}

static uint64_t spec_size(const struct loader *l, const struct weight_spec *spec)
{
    uint64_t size = 0;
    for (int i = 0; i < spec->n_parts; i++)
        size += (uint64_t)spec->parts[i].rows * (uint64_t)spec->cols;
    return size * dtype_size(l->config->stored_dtype);
}

static enum status visit_check(struct loader *l, const struct weight_spec *spec)
{
    l->total += spec_size(l, spec);
    for (int i = 0; i < spec->n_parts && l->st; i++) {
        const char *stem = spec->parts[i].stem;
        const int rows = spec->kind == WEIGHT_VECTOR ? 0 : spec->parts[i].rows;
        enum status s = check_tensor(l, stem, ".weight", rows, spec->cols);
        if (s == STATUS_OK && spec->bias)
            s = check_tensor(l, stem, ".bias", 0, spec->parts[i].rows);
        if (s != STATUS_OK) return s;
    }
    return STATUS_OK;
}

/* Some writers store the tied output layer as well.  A copy is fine; another matrix means that
 * tie_word_embeddings is wrong. */
static enum status check_tied(struct loader *l)
{
    if (!l->config->tie_embeddings) return STATUS_OK;
    const struct stored_tensor *head = safetensors_find(l->st, "lm_head.weight");
    const struct stored_tensor *embed = safetensors_find(l->st, "model.embed_tokens.weight");
    if (!head || !embed) return STATUS_OK;
    if (head->dtype == embed->dtype && head->size == embed->size &&
        memcmp(head->data, embed->data, head->size) == 0) {
        safetensors_dont_need(l->st, head);
        return STATUS_OK;
    }
    return error_set_param(l->err, STATUS_CORRUPT, "lm_head.weight",
                           "the checkpoint has an lm_head.weight other than its embeddings, but "
                           "config.json says tie_word_embeddings: set it to false if the tensor is "
                           "meant, or remove the tensor");
}

/* Buffers that old versions of transformers stored and that follow from config.json. */
static bool is_derived(const char *name)
{
    static const char *const suffixes[] = {".rotary_emb.inv_freq", ".rotary_emb.cos_cached",
                                           ".rotary_emb.sin_cached"};
    const size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        const size_t n = strlen(suffixes[i]);
        if (len > n && strcmp(name + len - n, suffixes[i]) == 0) return true;
    }
    return false;
}

static enum status check_unexpected(struct loader *l)
{
    const struct stored_tensor *first = NULL;
    int n = 0;
    for (int i = 0; i < safetensors_count(l->st); i++) {
        const struct stored_tensor *t = safetensors_at(l->st, i);
        if (t->used || is_derived(t->name)) continue;
        if (!first) first = t;
        n++;
    }
    if (n == 0) return STATUS_OK;
    if (n == 1)
        return error_set_param(l->err, STATUS_UNSUPPORTED, first->name,
                               "the checkpoint has a tensor \"%s\" that is no part of %s with this "
                               "config.json",
                               first->name, l->config->architecture);
    return error_set_param(l->err, STATUS_UNSUPPORTED, first->name,
                           "the checkpoint has %d tensors that are no part of %s with this "
                           "config.json, such as \"%s\"",
                           n, l->config->architecture, first->name);
}

/* --- second walk: make the weights ---------------------------------------------------------- */

static enum status scratch_reserve(struct loader *l, struct scratch *s, size_t size)
{
    if (size <= s->size) return STATUS_OK;
    free(s->data);
    s->data = malloc(size);
    s->size = s->data ? size : 0;
    if (s->data) return STATUS_OK;
    return error_set(l->err, STATUS_NO_MEMORY, "out of memory: a tensor of %zu bytes does not fit",
                     size);
}

/* What a weight is handed over as: the configured type, but never narrowed to f16, which could
 * overflow, and gains and biases as they are. */
static enum dtype choose_dtype(const struct loader *l, enum weight_kind kind,
                               struct stored_tensor *const *parts, int n)
{
    const enum dtype wanted = l->config->stored_dtype, first = parts[0]->dtype;
    for (int i = 1; i < n; i++) {
        if (parts[i]->dtype != first) return wanted == DT_BF16 ? DT_BF16 : DT_F32;
    }
    return kind == WEIGHT_VECTOR || wanted == DT_F16 ? first : wanted;
}

static bool is_aligned(const struct stored_tensor *t)
{
    return (uintptr_t)t->data % dtype_size(t->dtype) == 0;
}

/* The tensors of a spec, which the first walk has seen; the type that the backend gets. */
static void find_parts(struct loader *l, const struct weight_spec *spec, bool bias,
                       struct stored_tensor **parts, struct weight_source *src)
{
    for (int i = 0; i < spec->n_parts; i++) {
        parts[i] = find_tensor(l, spec->parts[i].stem, bias ? ".bias" : ".weight");
        CHECK(parts[i]);
    }
    src->dtype = choose_dtype(l, src->kind, parts, spec->n_parts);
}

/* Points `src` at the tensors of a spec: in the mapping where they can be used as they are, in
 * `scratch` where they need another type or another place and the backend does not see to that. */
static enum status source_stored(struct loader *l, const struct weight_spec *spec, bool bias,
                                 struct scratch *scratch, struct weight_source *src)
{
    struct stored_tensor *parts[MAX_PARTS] = {NULL};
    size_t n_elements = 0, at = 0;
    find_parts(l, spec, bias, parts, src);
    for (int i = 0; i < spec->n_parts; i++) {
        n_elements += parts[i]->size / dtype_size(parts[i]->dtype);
        safetensors_will_need(l->st, parts[i]);
    }
    for (int i = 0; i < spec->n_parts; i++) {
        const struct stored_tensor *t = parts[i];
        const size_t n = t->size / dtype_size(t->dtype);
        src->parts[i].data = t->data;
        if (l->be->takes_stored) {
            src->parts[i].fd = t->fd;
            src->parts[i].file_at = t->file_at;
        }
        if (t->dtype == src->dtype && is_aligned(t)) continue;
        if (l->be->takes_stored) {
            src->parts[i].as_stored = true;
            src->parts[i].stored = t->dtype;
            continue;
        }
        const enum status s = scratch_reserve(l, scratch, n_elements * dtype_size(src->dtype));
        if (s != STATUS_OK) return s;
        uint8_t *copy = (uint8_t *)scratch->data + at;
        convert_elements(copy, src->dtype, t->data, t->dtype, n);
        src->parts[i].data = copy;
        at += n * dtype_size(src->dtype);
    }
    return STATUS_OK;
}

/* The same from the seed: gains of one, biases of zero, all else random. */
static enum status source_dummy(struct loader *l, const struct weight_spec *spec, bool bias,
                                struct scratch *scratch, struct weight_source *src)
{
    size_t n_elements = 0, at = 0;
    src->dtype = src->kind == WEIGHT_VECTOR ? DT_F32 : l->config->stored_dtype;
    for (int i = 0; i < src->n_parts; i++)
        n_elements += (size_t)src->parts[i].rows * (size_t)src->cols;
    const enum status s = scratch_reserve(l, scratch, n_elements * dtype_size(src->dtype));
    if (s != STATUS_OK) return s;
    for (int i = 0; i < src->n_parts; i++) {
        const size_t n = (size_t)src->parts[i].rows * (size_t)src->cols;
        void *data = (uint8_t *)scratch->data + at * dtype_size(src->dtype);
        src->parts[i].data = data;
        at += n;
        if (src->kind != WEIGHT_VECTOR) {
            dummy_fill(l->dummy, spec->parts[i].stem, src->dtype, data, n);
            continue;
        }
        float *values = data;
        for (size_t k = 0; k < n; k++) values[k] = bias ? 0.0f : 1.0f;
    }
    return STATUS_OK;
}

/* A source without its data. */
static void make_shape(struct loader *l, const struct weight_spec *spec, bool bias,
                       struct weight_source *src)
{
    *src = (struct weight_source){.n_parts = spec->n_parts, .cols = bias ? 1 : spec->cols};
    src->kind = bias ? WEIGHT_VECTOR : spec->kind;
    src->quant = src->kind == WEIGHT_LINEAR ? l->options->quant : QUANT_NONE;
    /* The output layer decides between tokens that are close: 4 bits there cost the most. */
    if (src->quant == QUANT_INT4 && spec->out == &l->out->lm_head) src->quant = QUANT_INT8;
    for (int i = 0; i < spec->n_parts; i++) src->parts[i].rows = spec->parts[i].rows;
}

static enum status make_source(struct loader *l, const struct weight_spec *spec, bool bias,
                               struct weight_source *src)
{
    make_shape(l, spec, bias, src);
    struct scratch *scratch = bias ? &l->bias_scratch : &l->scratch;
    return l->st ? source_stored(l, spec, bias, scratch, src)
                 : source_dummy(l, spec, bias, scratch, src);
}

static void release_pages(struct loader *l, const struct weight_spec *spec)
{
    for (int i = 0; i < spec->n_parts && l->st; i++)
        safetensors_dont_need(l->st, find_tensor(l, spec->parts[i].stem, ".weight"));
}

static void report(struct loader *l, const struct weight_spec *spec)
{
    l->done += spec_size(l, spec);
    if (l->options->progress)
        l->options->progress(l->options->progress_arg, spec->parts[0].stem, l->done, l->total);
}

static enum status visit_prepare(struct loader *l, const struct weight_spec *spec)
{
    struct weight_source src, bias;
    enum status s = make_source(l, spec, false, &src);
    if (s == STATUS_OK && spec->bias) {
        s = make_source(l, spec, true, &bias);
        src.bias = &bias;
    }
    if (s == STATUS_OK) s = l->be->ops->weight_prepare(l->be, &src, spec->out, l->err);
    if (s != STATUS_OK) {
        *spec->out = NULL;
        return s;
    }
    release_pages(l, spec);
    report(l, spec);
    return STATUS_OK;
}

/* --- packed weights -------------------------------------------------------------------------- */

static uint64_t name_sum(const struct weight_spec *spec)
{
    return packed_sum(spec->parts[0].stem, strlen(spec->parts[0].stem));
}

/* The next arrays of the file, as many as bear the weight's name. */
static enum status visit_adopt(struct loader *l, const struct weight_spec *spec)
{
    struct stored_tensor *parts[MAX_PARTS] = {NULL};
    struct weight_source shape, bias;
    struct weight_arrays arrays = {.n = 0};
    const uint64_t name = name_sum(spec);
    make_shape(l, spec, false, &shape);
    find_parts(l, spec, false, parts, &shape);
    if (spec->bias) {
        make_shape(l, spec, true, &bias);
        find_parts(l, spec, true, parts, &bias);
        shape.bias = &bias;
    }
    for (; l->n_taken < l->n_entries && l->entries[l->n_taken].name == name &&
           arrays.n < (int)ARRAY_LEN(arrays.items);
         l->n_taken++) {
        const struct packed_entry *e = &l->entries[l->n_taken];
        arrays.items[arrays.n].data = l->packed_data + e->at;
        arrays.items[arrays.n++].size = e->size;
    }
    const enum status s = l->be->ops->weight_adopt(l->be, &shape, &arrays, spec->out, l->err);
    if (s != STATUS_OK) {
        *spec->out = NULL;
        return error_prepend(l->err, "%s", spec->parts[0].stem);
    }
    report(l, spec);
    return STATUS_OK;
}

static enum status visit_collect(struct loader *l, const struct weight_spec *spec)
{
    struct weight_arrays arrays;
    l->be->ops->weight_arrays(l->be, *spec->out, &arrays);
    if (l->n_arrays + arrays.n > l->cap_arrays) {
        const int cap = 2 * l->cap_arrays + 64;
        void *grown = realloc(l->arrays, (size_t)cap * sizeof *l->arrays);
        if (!grown) return error_set(l->err, STATUS_NO_MEMORY, "out of memory");
        l->arrays = grown;
        l->cap_arrays = cap;
    }
    for (int i = 0; i < arrays.n; i++)
        l->arrays[l->n_arrays++] = (struct packed_array){
            .data = arrays.items[i].data, .size = arrays.items[i].size, .name = name_sum(spec)};
    return STATUS_OK;
}

/* What goes wrong from here on costs time only: it is said once, and the weights are packed. */
static void warn_of_packed(const char *event, const char *path, const struct error *err)
{
    log_event(LOG_WARN, event, "path=%s reason=%s hint=%s", path, err->message,
              "the weights are packed again, as without it");
}

static void open_packed(struct loader *l)
{
    const struct load_options *o = l->options;
    struct error err = {0};
    enum status s;
    if (!o->packed_dir || !l->st) return;
    struct strbuf key, label;
    strbuf_init(&key, PACKED_MAX_KEY);
    strbuf_init(&label, 0);
    if (l->be->ops->weight_adopt) {
        packed_key_add(&key, l->be->ops->weight_layout(l->be), l->config, o->quant, l->st);
        strbuf_addf(&label, "%s.%s.%s.%s", o->packed_label, dtype_name(l->config->stored_dtype),
                    packed_quant_name(o->quant), l->be->isa);
        s = key.failed || label.failed
                ? error_set(&err, STATUS_NO_MEMORY, "what the weights are made of is too long")
                : packed_cache_open(&l->out->packed, o->packed_dir, label.data, key.data, key.len,
                                    &err);
    } else {
        s = error_set(&err, STATUS_UNSUPPORTED, "this device has no packed weights");
    }
    if (s != STATUS_OK) warn_of_packed("packed_cache_off", o->packed_dir, &err);
    strbuf_free(&key);
    strbuf_free(&label);
}

static void drop_weights(struct backend *be, const struct model_config *c, struct model_weights *w);

/* True when all weights lie in the packed file. */
static bool adopt_packed(struct loader *l)
{
    struct packed_cache *cache = l->out->packed;
    struct error err = {0}, *outer = l->err;
    if (!cache) return false;
    enum status s =
        packed_cache_map(cache, l->be, &l->packed_data, &l->entries, &l->n_entries, &err);
    if (s == STATUS_NOT_FOUND) return false;
    l->err = &err;
    if (s == STATUS_OK) s = walk(l, visit_adopt);
    if (s == STATUS_OK && l->n_taken != l->n_entries)
        s = error_set(&err, STATUS_CORRUPT, "%d arrays of %d belong to no weight",
                      l->n_entries - l->n_taken, l->n_entries);
    l->err = outer;
    if (s == STATUS_OK) {
        log_event(LOG_INFO, "packed_cache", "file=%s", packed_cache_path(cache));
        return true;
    }
    warn_of_packed("packed_cache_refused", packed_cache_path(cache), &err);
    drop_weights(l->be, l->config, l->out);
    packed_cache_refuse(cache);
    l->done = 0;
    return false;
}

static void write_packed(struct loader *l)
{
    struct error err = {0}, *outer = l->err;
    if (!l->out->packed) return;
    l->err = &err;
    if (walk(l, visit_collect) == STATUS_OK)
        packed_cache_write(l->out->packed, l->arrays, l->n_arrays);
    else
        warn_of_packed("packed_cache_not_written", packed_cache_path(l->out->packed), &err);
    l->err = outer;
}

/* --- the whole ------------------------------------------------------------------------------ */

static enum status open_source(struct loader *l, const char *dir)
{
    if (!l->options->dummy) return safetensors_open(dir, &l->st, l->err);
    l->dummy = dummy_open(l->options->seed);
    return l->dummy ? STATUS_OK : error_set(l->err, STATUS_NO_MEMORY, "out of memory");
}

static enum status load_all(struct loader *l)
{
    enum status s = walk(l, visit_check);
    if (s != STATUS_OK) return s;
    open_packed(l);
    /* Whoever packed these files has also made the checks below. */
    if (adopt_packed(l)) return STATUS_OK;
    if (l->st) s = check_tied(l);
    if (s == STATUS_OK && l->st) s = check_unexpected(l);
    if (s != STATUS_OK) return s;
    if (l->options->progress) l->options->progress(l->options->progress_arg, "", 0, l->total);
    s = walk(l, visit_prepare);
    if (s == STATUS_OK) write_packed(l);
    return s;
}

enum status model_weights_load(struct backend *be, const char *dir, const struct model_config *c,
                               const struct load_options *o, struct model_weights *out,
                               struct error *err)
{
    struct loader l = {.be = be, .config = c, .options = o, .out = out, .err = err};
    *out = (struct model_weights){0};
    out->layers = calloc((size_t)c->n_layers, sizeof *out->layers);
    enum status s =
        out->layers ? open_source(&l, dir) : error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (s == STATUS_OK) s = load_all(&l);
    safetensors_close(l.st);
    dummy_close(l.dummy);
    free(l.scratch.data);
    free(l.bias_scratch.data);
    free(l.arrays);
    if (s != STATUS_OK) model_weights_free(be, c, out);
    return s;
}

static void drop_weight(struct backend *be, struct weight **w)
{
    if (*w) be->ops->weight_free(be, *w);
    *w = NULL;
}

static void drop_weights(struct backend *be, const struct model_config *c, struct model_weights *w)
{
    drop_weight(be, &w->embed);
    drop_weight(be, &w->final_norm);
    drop_weight(be, &w->lm_head);
    for (int i = 0; w->layers && i < c->n_layers; i++) {
        struct layer_weights *l = &w->layers[i];
        struct weight **const all[] = {&l->attn_norm, &l->wqkv,   &l->wo,     &l->ffn_norm,
                                       &l->w_gate_up, &l->w_down, &l->q_norm, &l->k_norm};
        for (size_t k = 0; k < ARRAY_LEN(all); k++) drop_weight(be, all[k]);
    }
}

void model_weights_free(struct backend *be, const struct model_config *c, struct model_weights *w)
{
    w->packed = packed_cache_stop(w->packed); /* it reads the weights */
    drop_weights(be, c, w);
    packed_cache_close(w->packed);
    free(w->layers);
    *w = (struct model_weights){0};
}
