#include "engine/tokenizer/load.h"

#include "config/base/file.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* From a directory or a text to a tokenizer: tokenizer.json here, other files in native.c. */

void token_files_free(struct token_files *f)
{
    cJSON_Delete(f->config);
    cJSON_Delete(f->map);
    cJSON_Delete(f->added);
    *f = (struct token_files){0};
}

enum status tokenizer_reserve_ids(struct tokenizer *t, struct error *err)
{
    t->n_ids = t->added_of_id_cap = t->vocab.n_ids;
    t->added_of_id = malloc((t->n_ids + 1) * sizeof(*t->added_of_id));
    if (!t->added_of_id) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < t->n_ids; i++) t->added_of_id[i] = -1;
    return STATUS_OK;
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

enum status tokenizer_finish(struct tokenizer *t, const char *name, cJSON *config,
                             struct error *err)
{
    enum status st = added_tokens_build(t, err);
    if (st == STATUS_OK) st = special_tokens_apply(t, config, err);
    if (st != STATUS_OK) return error_prepend(err, "tokenizer_config.json");
    st = t->model->prepare ? t->model->prepare(t, err) : STATUS_OK;
    if (st == STATUS_OK) st = check_postprocessor(t, err);
    if (st == STATUS_OK) st = decoder_build(t, err);
    return st == STATUS_OK ? st : error_prepend(err, "%s", name);
}

/* --- tokenizer.json ------------------------------------------------------------------------------ */

/* "truncation" and "padding" are for batches of training and play no part. */
static enum status parse_parts(cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!cJSON_IsObject(json))
        return error_set(err, STATUS_CORRUPT, "the file must hold an object");
    const cJSON *version = json_get(json, "version");
    if (version && !(cJSON_IsString(version) && !strcmp(version->valuestring, "1.0")))
        return error_set(err, STATUS_UNSUPPORTED, "\"version\" must be \"1.0\"");
    enum status st = model_parse(cJSON_GetObjectItemCaseSensitive(json, "model"), t, err);
    if (st == STATUS_OK) st = normalizer_parse(json_get(json, "normalizer"), &t->normalizer, err);
    if (st == STATUS_OK)
        st = pretokenizer_parse(json_get(json, "pre_tokenizer"), &t->pretokenizer, err);
    if (st == STATUS_OK)
        st = postprocessor_parse(json_get(json, "post_processor"), &t->postprocessor, err);
    if (st == STATUS_OK) st = decoder_parse(json_get(json, "decoder"), &t->decoder, err);
    if (st == STATUS_OK) st = tokenizer_reserve_ids(t, err);
    return st == STATUS_OK ? added_tokens_parse(json_get(json, "added_tokens"), t, err) : st;
}

/* The large parts are read from the text itself. */
static const char *const raw_parts[] = {"model.vocab", "model.merges", NULL};
static const struct json_limits tokenizer_json = {.raw_parts = raw_parts};

static enum status build(cJSON *json, cJSON *config, const cJSON *map, struct tokenizer **out,
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
    /* Beside a tokenizer.json transformers 5 passes these two over: its post-processor decides. */
    cJSON_DeleteItemFromObjectCaseSensitive(config, "add_bos_token");
    cJSON_DeleteItemFromObjectCaseSensitive(config, "add_eos_token");
    st = special_tokens_add(t, config, map, err);
    if (st != STATUS_OK) {
        st = error_prepend(err, "tokenizer_config.json");
        goto out;
    }
    st = tokenizer_finish(t, "tokenizer.json", config, err);
    if (st != STATUS_OK) goto out;
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
    enum status st = json_parse(json, json_len, &tokenizer_json, &tree, err);
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

/* --- a directory ---------------------------------------------------------------------------------- */

/* The file's tree, NULL when the file is absent. */
static enum status read_optional(const char *dir, const char *name,
                                 const struct json_limits *limits, cJSON **out, struct error *err)
{
    char path[4096];
    enum status st = path_join(path, sizeof(path), dir, name, err);
    if (st != STATUS_OK || !file_exists(path)) return st;
    char *text = NULL;
    size_t len = 0;
    st = file_read(path, LIMIT_JSON_SIZE, &text, &len, err);
    if (st == STATUS_OK) st = file_check_download(path, text, len, err);
    if (st == STATUS_OK) {
        st = json_parse(text, len, limits, out, err);
        if (st != STATUS_OK) st = error_prepend(err, "%s", path);
    }
    free(text);
    return st;
}

enum status tokenizer_load(const char *dir, struct tokenizer **out, struct error *err)
{
    struct token_files files = {0};
    cJSON *json = NULL;
    struct error own = {0};
    if (!err) err = &own;
    *out = NULL;
    enum status st = read_optional(dir, "tokenizer.json", &tokenizer_json, &json, err);
    if (st == STATUS_OK) st = read_optional(dir, "tokenizer_config.json", NULL, &files.config, err);
    if (st == STATUS_OK) st = read_optional(dir, "special_tokens_map.json", NULL, &files.map, err);
    if (st == STATUS_OK && json) {
        st = build(json, files.config, files.map, out, err);
        if (st != STATUS_OK) st = error_prepend(err, "%s", dir);
    } else if (st == STATUS_OK) {
        st = read_optional(dir, "added_tokens.json", NULL, &files.added, err);
        if (st == STATUS_OK) st = tokenizer_load_native(dir, &files, out, err);
    }
    cJSON_Delete(json);
    token_files_free(&files);
    return st;
}
