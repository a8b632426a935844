#include "engine/tokenizer/tokenizer.h"

#include "config/base/file.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* --- loading ------------------------------------------------------------------------------------------ */

static const struct model_kind *const models[] = {&model_bpe};

static enum status parse_model(const cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!cJSON_IsObject(json)) return error_set(err, STATUS_CORRUPT, "\"model\" must be an object");
    const char *type = "BPE"; /* files of the first versions have merges and no type */
    enum status st = STATUS_OK;
    if (json_get(json, "type") || !json_get(json, "merges"))
        st = component_type(json, "model", &type, err);
    if (st != STATUS_OK) return st;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        if (strcmp(models[i]->type, type) != 0) continue;
        t->model = models[i];
        st = t->model->parse(json, t, err);
        return st == STATUS_OK ? st : error_prepend(err, "model");
    }
    return component_unsupported("model", type, "BPE", err);
}

/* "truncation" and "padding" are for batches of training and play no part. */
static enum status parse_parts(const cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!cJSON_IsObject(json))
        return error_set(err, STATUS_CORRUPT, "the file must hold an object");
    const cJSON *version = json_get(json, "version");
    if (version && !(cJSON_IsString(version) && !strcmp(version->valuestring, "1.0")))
        return error_set(err, STATUS_UNSUPPORTED, "\"version\" must be \"1.0\"");
    enum status st = parse_model(json_get(json, "model"), t, err);
    if (st == STATUS_OK) st = normalizer_parse(json_get(json, "normalizer"), &t->normalizer, err);
    if (st == STATUS_OK)
        st = pretokenizer_parse(json_get(json, "pre_tokenizer"), &t->pretokenizer, err);
    if (st == STATUS_OK)
        st = postprocessor_parse(json_get(json, "post_processor"), &t->postprocessor, err);
    if (st == STATUS_OK) st = decoder_parse(json_get(json, "decoder"), &t->decoder, err);
    if (st != STATUS_OK) return st;
    t->n_ids = t->added_of_id_cap = t->vocab.n_ids;
    t->added_of_id = malloc((t->n_ids + 1) * sizeof(*t->added_of_id));
    if (!t->added_of_id) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < t->n_ids; i++) t->added_of_id[i] = -1;
    return added_tokens_parse(json_get(json, "added_tokens"), t, err);
}

static enum status check_postprocessor(const struct tokenizer *t, struct error *err)
{
    const struct postprocessor *p = &t->postprocessor;
    for (int i = 0; i < p->n_before + p->n_after; i++) {
        int32_t id = i < p->n_before ? p->before[i] : p->after[i - p->n_before];
        if (!tokenizer_id_to_token(t, id))
            return error_set(err, STATUS_CORRUPT,
                             "the post_processor adds the id %d, which is no "
                             "token's",
                             id);
    }
    return STATUS_OK;
}

static enum status build(const cJSON *json, cJSON *config, const cJSON *map, struct tokenizer **out,
                         struct error *err)
{
    *out = NULL;
    struct tokenizer *t = calloc(1, sizeof(*t));
    if (!t) return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokenizer");
    enum status st = parse_parts(json, t, err);
    if (st != STATUS_OK) {
        st = error_prepend(err, "tokenizer.json");
        goto out;
    }
    st = special_tokens_add(t, config, map, err);
    if (st == STATUS_OK) st = added_tokens_build(t, err);
    if (st == STATUS_OK) st = special_tokens_apply(t, config, err);
    if (st != STATUS_OK) {
        st = error_prepend(err, "tokenizer_config.json");
        goto out;
    }
    st = check_postprocessor(t, err);
    if (st == STATUS_OK) st = decoder_build(t, err);
    if (st != STATUS_OK) {
        st = error_prepend(err, "tokenizer.json");
        goto out;
    }
    *out = t;
    t = NULL;
out:
    tokenizer_free(t);
    return st;
}

enum status tokenizer_parse(const char *json, size_t json_len, const char *config,
                            size_t config_len, struct tokenizer **out, struct error *err)
{
    cJSON *tree = NULL, *config_tree = NULL;
    struct error own = {0}; /* messages are prefixed on the way up, so one must exist */
    if (!err) err = &own;
    *out = NULL;
    enum status st = json_parse(json, json_len, NULL, &tree, err);
    if (st != STATUS_OK) {
        st = error_prepend(err, "tokenizer.json");
    } else if (config) {
        st = json_parse(config, config_len, NULL, &config_tree, err);
        if (st != STATUS_OK) st = error_prepend(err, "tokenizer_config.json");
    }
    if (st == STATUS_OK) st = build(tree, config_tree, NULL, out, err);
    cJSON_Delete(tree);
    cJSON_Delete(config_tree);
    return st;
}

/* What stands in the directory instead of tokenizer.json, for the message. */
static enum status refuse_missing(const char *dir, struct error *err)
{
    static const char *const others[] = {"tokenizer.model", "tiktoken.model", "vocab.json",
                                         "spiece.model", "vocab.txt"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char path[4096];
        if (path_join(path, sizeof(path), dir, others[i], NULL) == STATUS_OK && file_exists(path))
            return error_set(err, STATUS_NOT_FOUND,
                             "%s has no tokenizer.json, only %s: save it once with transformers' "
                             "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
                             dir, others[i]);
    }
    return error_set(err, STATUS_NOT_FOUND,
                     "%s has no tokenizer.json; name a directory that has one with --tokenizer",
                     dir);
}

/* The file's tree, NULL when the file is absent. */
static enum status read_optional(const char *dir, const char *name, cJSON **out, struct error *err)
{
    char path[4096];
    enum status st = path_join(path, sizeof(path), dir, name, err);
    if (st != STATUS_OK || !file_exists(path)) return st;
    st = json_parse_file(path, NULL, out, err);
    if (st != STATUS_OK) return error_prepend(err, "%s", name);
    return STATUS_OK;
}

enum status tokenizer_load(const char *dir, struct tokenizer **out, struct error *err)
{
    cJSON *json = NULL, *config = NULL, *map = NULL;
    struct error own = {0};
    if (!err) err = &own;
    *out = NULL;
    enum status st = read_optional(dir, "tokenizer.json", &json, err);
    if (st == STATUS_OK && !json) st = refuse_missing(dir, err);
    if (st == STATUS_OK) st = read_optional(dir, "tokenizer_config.json", &config, err);
    if (st == STATUS_OK) st = read_optional(dir, "special_tokens_map.json", &map, err);
    if (st == STATUS_OK) st = build(json, config, map, out, err);
    cJSON_Delete(json);
    cJSON_Delete(config);
    cJSON_Delete(map);
    return st;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    if (t->model) t->model->free(t);
    vocab_free(&t->vocab);
    added_tokens_free(&t->added);
    free(t->added_of_id);
    normalizer_free(&t->normalizer);
    pretokenizer_free(&t->pretokenizer);
    decoder_free(&t->decoder);
    for (int i = 0; i < SPECIAL_COUNT; i++) free(t->special_text[i]);
    cJSON_Delete(t->templates);
    free(t);
}

/* --- questions ------------------------------------------------------------------------------------------ */

static const struct added_token *added_of(const struct tokenizer *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->n_ids || t->added_of_id[id] < 0) return NULL;
    return &t->added.tokens[t->added_of_id[id]];
}

int tokenizer_vocab_size(const struct tokenizer *t)
{
    return (int)t->n_ids;
}

const char *tokenizer_id_to_token(const struct tokenizer *t, int32_t id)
{
    const struct added_token *added = added_of(t, id);
    return added ? added->content : vocab_text(&t->vocab, id).data;
}

int32_t tokenizer_token_to_id(const struct tokenizer *t, const char *token)
{
    size_t len = strlen(token);
    const struct added_token *added = added_tokens_by_content(&t->added, token, len);
    return added ? added->id : vocab_find(&t->vocab, token, len);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    const struct added_token *added = added_of(t, id);
    return added && added->special;
}

int32_t tokenizer_bos_id(const struct tokenizer *t)
{
    return t->special_id[SPECIAL_BOS];
}

int32_t tokenizer_eos_id(const struct tokenizer *t)
{
    return t->special_id[SPECIAL_EOS];
}

const char *tokenizer_bos_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_BOS];
}

const char *tokenizer_eos_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_EOS];
}

const char *tokenizer_unk_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_UNK];
}

const char *tokenizer_pad_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_PAD];
}

const char *tokenizer_chat_template(const struct tokenizer *t, const char *name)
{
    bool is_default = !name || !strcmp(name, "default");
    if (cJSON_IsString(t->templates)) return is_default ? t->templates->valuestring : NULL;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(
        item, t->templates) if (!strcmp(json_get(item, "name")->valuestring,
                                        name ? name : "default")) return json_get(item, "template")
        ->valuestring;
    return NULL;
}
