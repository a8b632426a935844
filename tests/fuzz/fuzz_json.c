/* Any bytes: json_parse accepts or refuses; what it accepts, json_print writes so that it parses
 * again to the same value. */
#include "config/base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct json_limits limits = {
        .max_depth = data[0] & 1 ? 1000 : 0,
        .allow_nul = data[0] & 2,
        .allow_duplicates = data[0] & 4,
    };
    struct error err = {0};
    cJSON *item, *again;
    enum status st = json_parse((const char *)data + 1, size - 1, &limits, &item, &err);
    if (st != STATUS_OK) {
        if (item || err.code != st || !utf8_valid(err.message, strlen(err.message))) abort();
        return 0;
    }
    struct strbuf out;
    strbuf_init(&out, 0);
    json_print(&out, item);
    if (out.failed) abort();
    limits.allow_duplicates = true; /* keys with a NUL are cut there */
    if (json_parse(out.data, out.len, &limits, &again, &err) != STATUS_OK) abort();
    if (!limits.allow_nul && !(data[0] & 4) && !cJSON_Compare(item, again, 1)) abort();
    cJSON_Delete(again);
    cJSON_Delete(item);
    strbuf_free(&out);
    return 0;
}
