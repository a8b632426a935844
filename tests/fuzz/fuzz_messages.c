/* The messages of a chat request to what templates get. */
#include "config/base/check.h"
#include "server/api_messages.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits = {.max_size = 1 << 20};
    struct error err = {0};
    cJSON *messages = NULL, *converted = NULL;
    const cJSON *m;

    if (size == 0) return 0;
    if (json_parse((const char *)data + 1, size - 1, &limits, &messages, &err) != STATUS_OK)
        return 0;
    if (cJSON_IsArray(messages)) {
        enum status st = messages_convert(messages, data[0] & 1, &converted, &err);
        CHECK((st == STATUS_OK) == (converted != NULL));
        CHECK(st == STATUS_OK || err.message[0]);
        cJSON_ArrayForEach(m, converted) CHECK(json_get(m, "role") && json_get(m, "content"));
        messages_last_text(converted);
    }
    cJSON_Delete(converted);
    cJSON_Delete(messages);
    return 0;
}
