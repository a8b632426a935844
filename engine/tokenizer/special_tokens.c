#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* tokenizer_config.json and special_tokens_map.json, as transformers 5 reads them for a tokenizer
 * with a tokenizer.json. */

static const char *const special_keys[SPECIAL_COUNT] = {
    [SPECIAL_BOS] = "bos_token",
    [SPECIAL_EOS] = "eos_token",
    [SPECIAL_UNK] = "unk_token",
    [SPECIAL_PAD] = "pad_token",
};

/* The named token's text in the first file that has it: a string or {"content": ..}. */
static enum status named_text(const cJSON *config, const cJSON *map, const char *key,
                              const char **text, struct error *err)
{
    const cJSON *item = json_get(config, key);
    if (!item || cJSON_IsNull(item)) item = json_get(map, key);
    *text = NULL;
    if (!item || cJSON_IsNull(item)) return STATUS_OK;
    if (cJSON_IsObject(item)) item = json_get(item, "content");
    if (!cJSON_IsString(item))
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be a string or have \"content\"", key);
    *text = item->valuestring;
    return STATUS_OK;
}

/* "added_tokens_decoder": {"32000": {"content": ..}, ..}: it names every added token, and its
 * flags are the ones that count. */
static enum status add_decoder_tokens(struct tokenizer *t, const cJSON *list, struct error *err)
{
    const cJSON *item = NULL;
    if (!list || cJSON_IsNull(list)) return STATUS_OK;
    if (!cJSON_IsObject(list))
        return error_set(err, STATUS_CORRUPT, "\"added_tokens_decoder\" must be an object");
    cJSON_ArrayForEach(item, list)
    {
        int64_t id = 0;
        if (!parse_i64(item->string, &id) || id < 0 || id >= LIMIT_VOCAB || !cJSON_IsObject(item))
            return error_set(err, STATUS_CORRUPT, "\"added_tokens_decoder\" has the key \"%.40s\"",
                             item->string);
        enum status st = added_tokens_parse_one(item, (int32_t)id, t, err);
        if (st != STATUS_OK) return error_prepend(err, "added_tokens_decoder");
    }
    return STATUS_OK;
}

enum status special_tokens_add(struct tokenizer *t, const cJSON *config, const cJSON *map,
                               struct error *err)
{
    enum status st = add_decoder_tokens(t, json_get(config, "added_tokens_decoder"), err);
    for (int i = 0; st == STATUS_OK && i < SPECIAL_COUNT; i++) {
        const char *text = NULL;
        st = named_text(config, map, special_keys[i], &text, err);
        if (st != STATUS_OK) break;
        t->special_text[i] = strdup(text ? text : "");
        if (!t->special_text[i]) return error_set(err, STATUS_NO_MEMORY, "out of memory");
        size_t len = text ? strlen(text) : 0;
        struct added_token *known = len ? added_tokens_by_content(&t->added, text, len) : NULL;
        int32_t id = len ? vocab_find(&t->vocab, text, len) : -1;
        if (known) {
            known->special = true; /* so that it never shows in a reply */
        } else if (id >= 0) {
            struct added_token token = {.id = id, .special = true, .content_len = len};
            token.content = t->special_text[i];
            st = added_tokens_put(t, &token, err);
        }
    }
    return st;
}

/* "add_bos_token" and "add_eos_token", where either is given, replace the post-processor. */
static enum status rewrite_postprocessor(struct tokenizer *t, const cJSON *config,
                                         struct error *err)
{
    static const char *const keys[2] = {"add_bos_token", "add_eos_token"};
    bool add[2] = {false, false}, given = false;
    for (int i = 0; i < 2; i++) {
        const cJSON *item = json_get(config, keys[i]);
        enum status st = component_bool(config, keys[i], false, &add[i], err);
        if (st != STATUS_OK) return st;
        given |= item && !cJSON_IsNull(item);
    }
    if (!given) return STATUS_OK;
    struct postprocessor *p = &t->postprocessor;
    p->n_before = p->n_after = 0;
    const int tokens[2] = {SPECIAL_BOS, SPECIAL_EOS};
    for (int i = 0; i < 2; i++) {
        if (!add[i] || !t->special_text[tokens[i]][0]) continue; /* without a token: nothing */
        int32_t id = t->special_id[tokens[i]];
        if (id < 0)
            return error_set(err, STATUS_CORRUPT, "\"%s\" is true, but \"%.80s\" has no id",
                             keys[i], t->special_text[tokens[i]]);
        if (i == 0)
            p->before[p->n_before++] = id;
        else
            p->after[p->n_after++] = id;
    }
    return STATUS_OK;
}

static enum status check_templates(const cJSON *templates, struct error *err)
{
    if (cJSON_IsString(templates)) return STATUS_OK;
    const cJSON *item = NULL;
    bool good = cJSON_IsArray(templates);
    cJSON_ArrayForEach(item, templates) good &=
        cJSON_IsString(json_get(item, "name")) && cJSON_IsString(json_get(item, "template"));
    return good ? STATUS_OK
                : error_set(err, STATUS_CORRUPT,
                            "\"chat_template\" must be a string or a list of {name, template}");
}

enum status special_tokens_apply(struct tokenizer *t, cJSON *config, struct error *err)
{
    for (int i = 0; i < SPECIAL_COUNT; i++)
        t->special_id[i] =
            t->special_text[i][0] ? tokenizer_token_to_id(t, t->special_text[i]) : -1;
    enum status st = rewrite_postprocessor(t, config, err);
    if (st != STATUS_OK) return st;
    const cJSON *templates = json_get(config, "chat_template");
    if (!templates || cJSON_IsNull(templates)) return STATUS_OK;
    st = check_templates(templates, err);
    if (st == STATUS_OK)
        t->templates = cJSON_DetachItemFromObjectCaseSensitive(config, "chat_template");
    return st;
}
