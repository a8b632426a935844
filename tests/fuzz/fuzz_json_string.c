/* json_string_decode beside json_parse: they accept the same strings and read the same text, but
 * for NUL, which only the former takes. */
#include "config/base/check.h"
#include "config/base/json.h"
#include "config/base/json_string.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const struct json_limits limits = {.allow_nul = true};
    struct strbuf out;
    struct error err;
    cJSON *tree = NULL;

    strbuf_init(&out, 0);
    enum status mine = json_string_decode(text, size, &out, &err);
    enum status theirs = json_parse(text, size, &limits, &tree, &err);
    bool is_string = theirs == STATUS_OK && cJSON_IsString(tree);
    CHECK((mine == STATUS_OK) == is_string);
    if (is_string && !memchr(out.data ? out.data : "", '\0', out.len))
        CHECK(strcmp(out.data ? out.data : "", tree->valuestring) == 0);
    CHECK(utf8_valid(out.data ? out.data : "", out.len));
    cJSON_Delete(tree);
    strbuf_free(&out);
    return 0;
}
