#include "config/base/check.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <string.h>

/* The model types, and what they have in common. */

static const struct model_kind *const models[] = {&model_bpe};

enum status model_parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!cJSON_IsObject(json)) return error_set(err, STATUS_CORRUPT, "\"model\" must be an object");
    const char *type = "BPE"; /* files of the first versions have merges and no type */
    enum status st = STATUS_OK;
    if (json_get(json, "type") || !json_get(json, "merges"))
        st = component_type(json, "model", &type, err);
    if (st != STATUS_OK) return st;
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        if (strcmp(models[i]->type, type) != 0) continue;
        t->model = models[i];
        st = t->model->parse(json, t, err);
        return st == STATUS_OK ? st : error_prepend(err, "model");
    }
    return component_unsupported("model", type, "BPE", err);
}

enum status model_parse_vocab(const cJSON *json, struct vocab *v, struct error *err)
{
    if (!cJSON_IsObject(json)) return error_set(err, STATUS_CORRUPT, "\"vocab\" must be an object");
    size_t n_tokens = 0;
    int64_t id = 0, highest = -1;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, json)
    {
        if (!json_as_i64(item, 0, LIMIT_VOCAB - 1, &id))
            return error_set(err, STATUS_CORRUPT,
                             "the id of token \"%.80s\" must be an integer from 0 to %d",
                             item->string, LIMIT_VOCAB - 1);
        if (id > highest) highest = id;
        n_tokens++;
    }
    size_t n_ids = (size_t)(highest + 1);
    if (n_tokens > n_ids)
        return error_set(err, STATUS_CORRUPT, "\"vocab\" gives one id to two tokens");
    enum status st = vocab_init(v, n_ids, n_tokens, err);
    if (st != STATUS_OK) return st;
    cJSON_ArrayForEach(item, json)
    {
        st = vocab_add(v, (int64_t)item->valuedouble, item->string, strlen(item->string), err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}
