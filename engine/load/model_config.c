/* model_config.c - a model's shape from config.json.
 *
 * Source: transformers' configuration_{llama,mistral,qwen2,qwen3}.py for names and defaults. */

#include "engine/load/model_config.h"

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "engine/load/config_read.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Published files have a few KiB. */
#define MAX_CONFIG_SIZE (4u << 20)

static const struct family {
    const char *architecture, *model_type;
    enum model_family family;
    /* What transformers takes for a missing key; 0 = derived from others. */
    int n_kv_heads, head_dim, max_position;
    int sliding_window, bos_id, eos_id; /* ids: -1 = none */
    bool qkv_bias, qk_norm;
} family_table[] = {
    {"LlamaForCausalLM", "llama", FAMILY_LLAMA, 0, 0, 2048, 0, 1, 2, false, false},
    {"MistralForCausalLM", "mistral", FAMILY_MISTRAL, 8, 0, 131072, 4096, 1, 2, false, false},
    {"Qwen2ForCausalLM", "qwen2", FAMILY_QWEN2, 32, 0, 32768, 4096, -1, -1, true, false},
    {"Qwen3ForCausalLM", "qwen3", FAMILY_QWEN3, 32, 128, 32768, 4096, -1, -1, false, true},
};
#define KNOWN_ARCHITECTURES \
    "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM"

static const struct family *find_family(const char *name, bool by_type)
{
    for (size_t i = 0; i < ARRAY_LEN(family_table); i++) {
        const struct family *f = &family_table[i];
        if (strcmp(by_type ? f->model_type : f->architecture, name) == 0) return f;
    }
    return NULL;
}

static const struct family *read_family(struct config_reader *r)
{
    const struct family *f = NULL, *by_type = NULL;
    const cJSON *list = config_get(r, "architectures");
    const char *type = config_string(r, "model_type", NULL);
    if (list) {
        if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 1 || !cJSON_IsString(list->child)) {
            config_refuse(r, STATUS_CORRUPT, "architectures", "an array of one name is wanted");
            return NULL;
        }
        f = find_family(list->child->valuestring, false);
        if (!f) {
            config_refuse(r, STATUS_UNSUPPORTED, "architectures",
                          "%.100s is not supported: known are " KNOWN_ARCHITECTURES,
                          list->child->valuestring);
            return NULL;
        }
    }
    if (type) {
        by_type = find_family(type, true);
        if (!by_type || (f && f != by_type)) {
            config_refuse(r, STATUS_UNSUPPORTED, "model_type",
                          by_type ? "\"%.100s\" is not that of the architecture"
                                  : "\"%.100s\" is not supported: known are llama, mistral, qwen2 "
                                    "and qwen3",
                          type);
            return NULL;
        }
    }
    if (!f) f = by_type;
    if (!f) config_refuse(r, STATUS_CORRUPT, "architectures", "the key is missing");
    return f;
}

static void read_shape(struct config_reader *r, const struct family *f, struct model_config *c)
{
    c->d_model = config_int(r, "hidden_size", 1, LIMIT_WIDTH, CONFIG_REQUIRED);
    c->d_ffn = config_int(r, "intermediate_size", 1, LIMIT_WIDTH, CONFIG_REQUIRED);
    c->n_layers = config_int(r, "num_hidden_layers", 1, LIMIT_LAYERS, CONFIG_REQUIRED);
    c->n_heads = config_int(r, "num_attention_heads", 1, LIMIT_HEADS, CONFIG_REQUIRED);
    c->vocab_size = config_int(r, "vocab_size", 1, LIMIT_VOCAB, CONFIG_REQUIRED);
    /* Missing: the family's value.  An explicit null: as many as query heads. */
    const bool missing = r->status == STATUS_OK && !json_get(r->object, "num_key_value_heads");
    c->n_kv_heads = config_int(r, "num_key_value_heads", 1, LIMIT_HEADS,
                               missing && f->n_kv_heads ? f->n_kv_heads : c->n_heads);
    if (r->status == STATUS_OK && c->n_heads % c->n_kv_heads != 0)
        config_refuse(r, STATUS_CORRUPT, "num_key_value_heads",
                      "%d does not divide num_attention_heads %d", c->n_kv_heads, c->n_heads);
    const int derived = f->head_dim ? f->head_dim : c->n_heads > 0 ? c->d_model / c->n_heads : 1;
    c->head_dim = config_int(r, "head_dim", 2, LIMIT_HEAD_DIM, derived);
    if (r->status == STATUS_OK && !f->head_dim && !config_get(r, "head_dim") &&
        c->d_model % c->n_heads != 0)
        config_refuse(r, STATUS_CORRUPT, "hidden_size",
                      "%d is no multiple of num_attention_heads %d, and there is no head_dim",
                      c->d_model, c->n_heads);
    if (c->head_dim < 2 || c->head_dim > LIMIT_HEAD_DIM || c->head_dim % 2 != 0)
        config_refuse(r, STATUS_UNSUPPORTED, "head_dim",
                      "%d is not an even number between 2 and %d", c->head_dim, LIMIT_HEAD_DIM);
    c->norm_eps = (float)config_number(r, "rms_norm_eps", 1e-12, 1.0, 1e-6);
    c->tie_embeddings = config_bool(r, "tie_word_embeddings", false);
    c->max_position = config_int(r, "max_position_embeddings", 1, LIMIT_CONTEXT, f->max_position);
    /* OpenLLaMA's older name; the shorter one holds, as in vLLM. */
    const int other = config_int(r, "max_sequence_length", 1, LIMIT_CONTEXT, c->max_position);
    if (other < c->max_position) c->max_position = other;
}

static void read_parts(struct config_reader *r, const struct family *f, struct model_config *c)
{
    const char *act = config_string(r, "hidden_act", "silu");
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        config_refuse(r, STATUS_UNSUPPORTED, "hidden_act",
                      "\"%.40s\" is not supported: only silu is", act);
    c->qk_norm = f->qk_norm;
    c->qkv_bias = f->qkv_bias;
    if (f->family == FAMILY_LLAMA || f->family == FAMILY_QWEN3)
        c->qkv_bias = c->o_bias = config_bool(r, "attention_bias", false);
    if (f->family == FAMILY_LLAMA) c->mlp_bias = config_bool(r, "mlp_bias", false);
}

static void read_dtype(struct config_reader *r, struct model_config *c)
{
    static const struct {
        const char *name;
        enum dtype dtype;
    } table[] = {{"float32", DT_F32}, {"float16", DT_F16}, {"bfloat16", DT_BF16}};
    const char *old = config_string(r, "torch_dtype", NULL), *name = config_string(r, "dtype", old);
    c->stored_dtype = DT_F32;
    if (!name) return;
    if (old && strcmp(old, name) != 0)
        config_refuse(r, STATUS_CORRUPT, "dtype", "\"%.40s\" and torch_dtype \"%.40s\" disagree",
                      name, old);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].name, name) == 0) {
            c->stored_dtype = table[i].dtype;
            return;
        }
    }
    config_refuse(r, STATUS_UNSUPPORTED, "torch_dtype",
                  "\"%.40s\" is not supported: known are float32, float16 and bfloat16", name);
}

/* layer_types names each layer's attention.  For Qwen it decides, as in transformers; the other
 * families do not look at it, so there it must agree with the older keys. */
static void check_layer_types(struct config_reader *r, struct model_config *c, bool decides)
{
    const cJSON *list = config_get(r, "layer_types"), *item;
    int i = 0;
    if (!list) return;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != c->n_layers) {
        config_refuse(r, STATUS_CORRUPT, "layer_types",
                      "an array of num_hidden_layers %d names "
                      "is wanted",
                      c->n_layers);
        return;
    }
    cJSON_ArrayForEach(item, list)
    {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        const bool window = strcmp(name, "sliding_attention") == 0;
        if (!window && strcmp(name, "full_attention") != 0) {
            config_refuse(r, STATUS_UNSUPPORTED, "layer_types",
                          "\"%.60s\" of layer %d is not supported: known are full_attention and "
                          "sliding_attention",
                          name, i);
            return;
        }
        if (decides && (!window || c->sliding_window > 0)) {
            c->layer_window[i] = window;
        } else if (window != c->layer_window[i]) {
            config_refuse(r, STATUS_UNSUPPORTED, "layer_types",
                          "\"%s\" of layer %d contradicts the sliding_window keys", name, i);
            return;
        }
        i++;
    }
}

static void read_windows(struct config_reader *r, const struct family *f, struct model_config *c)
{
    const bool qwen = f->family == FAMILY_QWEN2 || f->family == FAMILY_QWEN3;
    const bool mistral = f->family == FAMILY_MISTRAL;
    int window = 0, first = 0;
    /* Qwen's checkpoints carry a width that is switched off. */
    if (mistral || (qwen && config_bool(r, "use_sliding_window", false))) {
        /* Missing: the family's width.  An explicit null: none. */
        const bool missing = r->status == STATUS_OK && !json_get(r->object, "sliding_window");
        window = config_int(r, "sliding_window", 1, INT_MAX, missing ? f->sliding_window : 0);
    }
    if (qwen) first = config_int(r, "max_window_layers", 0, INT_MAX, 28); /* below: full */
    if (mistral && window > 0 && !config_bool(r, "use_sliding_window", true))
        config_refuse(r, STATUS_UNSUPPORTED, "use_sliding_window",
                      "false contradicts sliding_window %d: set sliding_window to null", window);
    c->sliding_window = window;
    for (int i = 0; i < c->n_layers; i++) c->layer_window[i] = window > 0 && i >= first;
    check_layer_types(r, c, qwen);
    bool any = false;
    for (int i = 0; i < c->n_layers; i++) any = any || c->layer_window[i];
    if (!any) c->sliding_window = 0;
}

/* Missing: the family's id.  An explicit null: none. */
static int absent_id(const struct config_reader *r, const char *key, int id, int vocab_size)
{
    return !json_get(r->object, key) && id < vocab_size ? id : -1;
}

static void read_ids(struct config_reader *r, const struct family *f, struct model_config *c)
{
    const int eos = absent_id(r, "eos_token_id", f->eos_id, c->vocab_size);
    c->bos_id = config_int(r, "bos_token_id", 0, c->vocab_size - 1,
                           absent_id(r, "bos_token_id", f->bos_id, c->vocab_size));
    if (eos >= 0) c->eos_ids[c->n_eos_ids++] = eos;
    config_read_eos(r, c);
}

static enum status parse_object(const char *text, size_t len, const char *file, cJSON **out,
                                struct error *err)
{
    static const struct json_limits limits = {.max_size = MAX_CONFIG_SIZE, .max_depth = 32};
    enum status s = json_parse(text, len, &limits, out, err);
    if (s == STATUS_OK && !cJSON_IsObject(*out)) {
        s = error_set(err, STATUS_CORRUPT, "an object is wanted, not %s", json_type_name(*out));
        cJSON_Delete(*out);
    }
    if (s == STATUS_OK) return s;
    *out = NULL;
    error_prepend(err, "%s", file);
    return s;
}

static enum status read_config(const cJSON *root, struct model_config *c, struct error *err)
{
    struct config_reader r = {.object = root, .where = "config.json", .err = err};
    const struct family *f = read_family(&r);
    if (!f) return r.status;
    c->family = f->family;
    memcpy(c->architecture, f->architecture, strlen(f->architecture) + 1);
    r.status = config_keys_check(root, f->family, err);
    read_shape(&r, f, c);
    read_parts(&r, f, c);
    read_dtype(&r, c);
    if (r.status != STATUS_OK) return r.status;
    config_read_rope(&r, c);
    read_windows(&r, f, c);
    read_ids(&r, f, c);
    return r.status;
}

enum status model_config_parse(const char *config, size_t config_len, const char *generation,
                               size_t generation_len, struct model_config *out, struct error *err)
{
    cJSON *root = NULL, *defaults = NULL;
    *out = (struct model_config){.bos_id = -1};
    enum status s = parse_object(config, config_len, "config.json", &root, err);
    if (s == STATUS_OK) s = read_config(root, out, err);
    if (s == STATUS_OK && generation) {
        s = parse_object(generation, generation_len, "generation_config.json", &defaults, err);
        if (s == STATUS_OK) {
            struct config_reader r = {
                .object = defaults, .where = "generation_config.json", .err = err};
            config_read_generation(&r, out);
            s = r.status;
        }
    }
    cJSON_Delete(root);
    cJSON_Delete(defaults);
    return s;
}

enum status model_config_load(const char *dir, struct model_config *out, struct error *err)
{
    char path[PATH_MAX];
    char *config = NULL, *generation = NULL;
    size_t config_len = 0, generation_len = 0;
    enum status s = path_join(path, sizeof path, dir, "config.json", err);
    if (s == STATUS_OK) s = file_read(path, MAX_CONFIG_SIZE, &config, &config_len, err);
    if (s == STATUS_OK) s = path_join(path, sizeof path, dir, "generation_config.json", err);
    if (s == STATUS_OK && file_exists(path))
        s = file_read(path, MAX_CONFIG_SIZE, &generation, &generation_len, err);
    if (s == STATUS_OK)
        s = model_config_parse(config, config_len, generation, generation_len, out, err);
    free(config);
    free(generation);
    if (s != STATUS_OK) error_prepend(err, "%s", dir);
    return s;
}

size_t model_kv_block_size(const struct model_config *c, int block_size, enum dtype kv_dtype)
{
    const size_t scale = kv_dtype == DT_I8 ? sizeof(float) : 0;
    return (size_t)2 * (size_t)c->n_layers * (size_t)c->n_kv_heads * (size_t)block_size *
           ((size_t)c->head_dim * dtype_size(kv_dtype) + scale);
}

int64_t model_n_params(const struct model_config *c)
{
    const int64_t d = c->d_model, f = c->d_ffn, e = c->head_dim;
    const int64_t q = c->n_heads * e, kv = c->n_kv_heads * e;
    int64_t layer = d * (q + 2 * kv) + q * d + 3 * d * f + 2 * d;
    if (c->qkv_bias) layer += q + 2 * kv;
    if (c->o_bias) layer += d;
    if (c->mlp_bias) layer += 2 * f + d;
    if (c->qk_norm) layer += 2 * e;
    return layer * c->n_layers + (c->tie_embeddings ? 1 : 2) * d * c->vocab_size + d;
}
