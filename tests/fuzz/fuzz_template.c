/* fuzz_template - any bytes as a chat template, rendered with a small conversation.  The steps of
 * one rendering are bounded by the interpreter itself. */

#include "config/base/json.h"
#include "config/base/str.h"
#include "engine/template/template.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char context_text[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
    "\"h\\u00e9 <b>\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\","
    "\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5,true,{}]}}}]}],\"n\":3,\"l\":[3,1,2],"
    "\"s\":\"Hello World\",\"d\":{\"b\":1,\"a\":2},\"bos_token\":\"<s>\","
    "\"add_generation_prompt\":true}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cJSON *context;
    if (!context) context = cJSON_Parse(context_text);
    struct template *t;
    struct error err;
    if (template_compile((const char *)data, size, &t, &err) != STATUS_OK) return 0;
    struct strbuf out;
    strbuf_init(&out, 0);
    template_render(t, context, 1753707045, &out, &err);
    strbuf_free(&out);
    template_free(t);
    return 0;
}
