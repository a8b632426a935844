#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <string.h>

static enum status push(int32_t *ids, int *n, const cJSON *id, struct error *err)
{
    int64_t value = 0;
    if (!json_as_i64(id, 0, LIMIT_VOCAB - 1, &value))
        return error_set(err, STATUS_CORRUPT, "a token id must be an integer from 0 to %d",
                         LIMIT_VOCAB - 1);
    if (*n == POST_IDS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d tokens around a text",
                         POST_IDS_MAX);
    ids[(*n)++] = (int32_t)value;
    return STATUS_OK;
}

/* "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, ...].  The pair template
 * is for two texts, which nothing here encodes together. */
static enum status parse_template(const cJSON *json, struct postprocessor *p, struct error *err)
{
    const cJSON *single = json_get(json, "single"), *specials = json_get(json, "special_tokens");
    const cJSON *piece = NULL;
    if (!cJSON_IsArray(single) || !cJSON_IsObject(specials))
        return error_set(err, STATUS_CORRUPT, "needs \"single\" and \"special_tokens\"");
    int n_sequences = 0;
    cJSON_ArrayForEach(piece, single)
    {
        const cJSON *sequence = cJSON_IsObject(piece) ? json_get(piece, "Sequence") : NULL;
        const cJSON *special = cJSON_IsObject(piece) ? json_get(piece, "SpecialToken") : NULL;
        const cJSON *inner = sequence ? sequence : special;
        const char *id = cJSON_GetStringValue(json_get(inner, "id"));
        if (!id) return error_set(err, STATUS_CORRUPT, "\"single\" has a piece of unknown form");
        if (sequence) {
            if (strcmp(id, "A") != 0 || n_sequences++ > 0)
                return error_set(err, STATUS_UNSUPPORTED,
                                 "\"single\" must have the sequence A once and no other");
            continue;
        }
        const cJSON *token = json_get(specials, id), *one = NULL;
        const cJSON *ids = cJSON_IsObject(token) ? json_get(token, "ids") : NULL;
        if (!cJSON_IsArray(ids))
            return error_set(err, STATUS_CORRUPT, "\"special_tokens\" lacks \"%.80s\"", id);
        cJSON_ArrayForEach(one, ids)
        {
            enum status st = n_sequences ? push(p->after, &p->n_after, one, err)
                                         : push(p->before, &p->n_before, one, err);
            if (st != STATUS_OK) return st;
        }
    }
    if (n_sequences == 0)
        return error_set(err, STATUS_CORRUPT, "\"single\" does not have the sequence A");
    return STATUS_OK;
}

/* BertProcessing and RobertaProcessing: cls text sep, each as ["[CLS]", 101]. */
static enum status parse_cls_sep(const cJSON *json, struct postprocessor *p, struct error *err)
{
    const cJSON *cls = json_get(json, "cls"), *sep = json_get(json, "sep");
    if (!cJSON_IsArray(cls) || !cJSON_IsArray(sep) || !cls->child || !sep->child)
        return error_set(err, STATUS_CORRUPT, "needs \"cls\" and \"sep\" as [token, id]");
    enum status st = push(p->before, &p->n_before, cls->child->next, err);
    return st == STATUS_OK ? push(p->after, &p->n_after, sep->child->next, err) : st;
}

static const struct {
    const char *type;
    enum status (*parse)(const cJSON *json, struct postprocessor *p, struct error *err);
} kinds[] = {
    {"TemplateProcessing", parse_template},
    {"ByteLevel", NULL}, /* changes offsets only */
    {"BertProcessing", parse_cls_sep},
    {"RobertaProcessing", parse_cls_sep},
};

static enum status parse_one(const cJSON *json, void *user, struct error *err)
{
    struct postprocessor *p = user;
    const char *type = NULL;
    enum status st = component_type(json, "post_processor", &type, err);
    if (st != STATUS_OK) return st;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        if (!kinds[i].parse) return STATUS_OK;
        if (p->adds)
            return error_set(err, STATUS_UNSUPPORTED,
                             "more than one post_processor that adds tokens is not supported");
        p->adds = true;
        st = kinds[i].parse(json, p, err);
        return st == STATUS_OK ? st : error_prepend(err, "post_processor %s", type);
    }
    return component_unsupported(
        "post_processor", type,
        "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence", err);
}

enum status postprocessor_parse(const cJSON *json, struct postprocessor *p, struct error *err)
{
    return component_each(json, "post_processor", "processors", parse_one, p, err);
}
