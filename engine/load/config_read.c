/* config_read.c - typed members of a configuration file. */

#include "engine/load/config_read.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

const cJSON *config_get(const struct config_reader *r, const char *key)
{
    if (r->status != STATUS_OK) return NULL;
    const cJSON *item = json_get(r->object, key);
    return item && !cJSON_IsNull(item) ? item : NULL;
}

void config_refuse(struct config_reader *r, enum status code, const char *key, const char *fmt, ...)
{
    char message[400];
    va_list args;
    if (r->status != STATUS_OK) return;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    r->status = error_set_param(r->err, code, key, "%s: %s: %s", r->where, key, message);
}

static const cJSON *require(struct config_reader *r, const char *key, bool required)
{
    const cJSON *item = config_get(r, key);
    if (!item && required) config_refuse(r, STATUS_CORRUPT, key, "the key is missing");
    return item;
}

int config_int(struct config_reader *r, const char *key, int64_t min, int64_t max, int64_t absent)
{
    int64_t value;
    const cJSON *item = require(r, key, absent == CONFIG_REQUIRED);
    if (!item) return absent == CONFIG_REQUIRED ? (int)min : (int)absent;
    if (json_as_i64(item, min, max, &value)) return (int)value;
    if (cJSON_IsNumber(item))
        config_refuse(r, STATUS_CORRUPT, key, "%g is not an integer between %lld and %lld",
                      item->valuedouble, (long long)min, (long long)max);
    else
        config_refuse(r, STATUS_CORRUPT, key, "an integer is wanted, not %s", json_type_name(item));
    return (int)min;
}

double config_number(struct config_reader *r, const char *key, double min, double max,
                     double absent)
{
    const cJSON *item = config_get(r, key);
    if (!item) return absent;
    if (!cJSON_IsNumber(item)) {
        config_refuse(r, STATUS_CORRUPT, key, "a number is wanted, not %s", json_type_name(item));
    } else if (!(item->valuedouble >= min && item->valuedouble <= max)) {
        config_refuse(r, STATUS_CORRUPT, key, "%g is not between %g and %g", item->valuedouble, min,
                      max);
    } else {
        return item->valuedouble;
    }
    return absent;
}

bool config_bool(struct config_reader *r, const char *key, bool absent)
{
    const cJSON *item = config_get(r, key);
    if (!item) return absent;
    if (!cJSON_IsBool(item))
        config_refuse(r, STATUS_CORRUPT, key, "true or false is wanted, not %s",
                      json_type_name(item));
    return cJSON_IsTrue(item);
}

const char *config_string(struct config_reader *r, const char *key, const char *absent)
{
    const cJSON *item = config_get(r, key);
    if (!item) return absent;
    if (cJSON_IsString(item)) return item->valuestring;
    config_refuse(r, STATUS_CORRUPT, key, "a string is wanted, not %s", json_type_name(item));
    return absent;
}
