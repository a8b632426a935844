#include "engine/tokenizer/internal.h"

#include <string.h>

enum status component_type(const cJSON *json, const char *part, const char **type,
                           struct error *err)
{
    const cJSON *item = cJSON_IsObject(json) ? json_get(json, "type") : NULL;
    *type = cJSON_GetStringValue(item);
    if (!*type)
        return error_set(err, STATUS_CORRUPT, "the %s must be an object with a \"type\"", part);
    return STATUS_OK;
}

enum status component_unsupported(const char *part, const char *type, const char *known,
                                  struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED, "the %s \"%.80s\" is not supported; known are %s",
                     part, type, known);
}

enum status component_bool(const cJSON *json, const char *key, bool missing, bool *out,
                           struct error *err)
{
    const cJSON *item = json_get(json, key);
    *out = missing;
    if (!item || cJSON_IsNull(item)) return STATUS_OK;
    if (!cJSON_IsBool(item))
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be true or false, not %s", key,
                         json_type_name(item));
    *out = cJSON_IsTrue(item);
    return STATUS_OK;
}

enum status component_string(const cJSON *json, const char *key, const char **out,
                             struct error *err)
{
    *out = cJSON_GetStringValue(json_get(json, key));
    if (!*out) return error_set(err, STATUS_CORRUPT, "\"%s\" must be a string", key);
    return STATUS_OK;
}

enum status component_pattern(const cJSON *json, struct regex **out, struct error *err)
{
    const cJSON *pattern = json_get(json, "pattern");
    const char *literal = cJSON_GetStringValue(json_get(pattern, "String"));
    const char *regex = cJSON_GetStringValue(json_get(pattern, "Regex"));
    if (literal) return regex_literal(literal, out, err);
    if (regex) return regex_compile(regex, out, err);
    return error_set(err, STATUS_CORRUPT,
                     "\"pattern\" must be {\"String\": ...} or {\"Regex\": ...}");
}

enum status component_each(const cJSON *json, const char *part, const char *key, component_fn each,
                           void *user, struct error *err)
{
    if (!json || cJSON_IsNull(json)) return STATUS_OK;
    const char *type = "";
    enum status st = component_type(json, part, &type, err);
    if (st != STATUS_OK) return st;
    if (strcmp(type, "Sequence") != 0) return each(json, user, err);
    const cJSON *members = json_get(json, key), *member = NULL;
    if (!cJSON_IsArray(members))
        return error_set(err, STATUS_CORRUPT, "a Sequence must have \"%s\": [...]", key);
    cJSON_ArrayForEach(member, members)
    { /* as deep as the JSON, which is bounded */
        st = component_each(member, part, key, each, user, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}
