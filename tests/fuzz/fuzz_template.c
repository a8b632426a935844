/* fuzz_template - any bytes as a chat template, rendered twice with a small conversation: both
 * renderings must say the same.  The steps of one are bounded by the interpreter itself.  Words for
 * the mutator: -dict=tests/fuzz/fuzz_template.dict */

#include "config/base/check.h"
#include "config/base/json.h"
#include "config/base/str.h"
#include "engine/template/template.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char context_text[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
    "\"h\\u00e9 "
    "<b>\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"p\"}]},{\"role\":"
    "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\","
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
    struct strbuf out[2];
    enum status st[2];
    for (int i = 0; i < 2; i++) {
        err = (struct error){0};
        strbuf_init(&out[i], 0);
        st[i] = template_render(t, context, 1753707045, &out[i], &err);
        /* A template may refuse without a word. */
        CHECK(st[i] == STATUS_OK || (err.code == st[i] && out[i].len == 0));
    }
    CHECK(st[0] == st[1] && out[0].len == out[1].len);
    CHECK(out[0].len == 0 || memcmp(out[0].data, out[1].data, out[0].len) == 0);
    template_contents(t);
    strbuf_free(&out[0]);
    strbuf_free(&out[1]);
    template_free(t);
    return 0;
}
