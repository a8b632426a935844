/* The messages of a chat request to what templates get. */
#include "config/base/check.h"
#include "server/api_messages.h"

#include <stdint.h>
#include <string.h>

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
        enum content_form form = (enum content_form)(data[0] % 3);
        enum status st = messages_convert(messages, form, &converted, &err);
        CHECK((st == STATUS_OK) == (converted != NULL));
        CHECK(st == STATUS_OK || err.message[0]);
        cJSON_ArrayForEach(m, converted) CHECK(json_get(m, "role"));
        struct str text = {NULL, 0};
        if (converted && messages_mark_final(converted, "MARK ", &text, &err) == STATUS_OK)
            CHECK(strcmp(text.data + text.len, "MARK ") == 0);
    }
    cJSON_Delete(converted);
    cJSON_Delete(messages);
    return 0;
}
