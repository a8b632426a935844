/* A tokenizer.json and, after a NUL byte, a text: whatever loads must encode and decode without
 * harm, and token by token as in one go.
 *
 * Mutations rarely keep a whole file in order, so an input that begins with one of '0'..'7' is the
 * component of that kind alone, put into a file that is otherwise good. */
#include "config/base/check.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MODEL                                                                                     \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"byte_fallback\":true,\"fuse_unk\":true,"   \
    "\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"ab\":3,\"\xC4\xA0\":4,\"\xE2\x96\x81\":5,\"<0x41>\":6," \
    "\"<0xE2>\":7,\"<0x96>\":8,\"abb\":9},\"merges\":[\"a b\",\"ab b\"]}"

static const struct {
    const char *before, *after;
} frames[8] = {
    {"{" MODEL ",\"normalizer\":", "}"},
    {"{" MODEL ",\"pre_tokenizer\":", "}"},
    {"{" MODEL ",\"decoder\":", "}"},
    {"{" MODEL ",\"post_processor\":", "}"},
    {"{" MODEL ",\"added_tokens\":", "}"},
    {"{\"model\":", "}"},
    {"{" MODEL
     ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"MergedWithNext\",\"pattern\":{"
     "\"Regex\":",
     "}}}"},
    {"{" MODEL ",\"normalizer\":{\"type\":\"Replace\",\"content\":\"x\",\"pattern\":{\"Regex\":",
     "}}}"},
};

static void use(const struct tokenizer *t, const char *text, size_t len)
{
    struct token_vec ids = {0};
    struct error err = {0};
    struct strbuf whole, parts;
    strbuf_init(&whole, 0);
    strbuf_init(&parts, 0);
    (void)tokenizer_encode(t, text, len, true, len % 2, 4096, &ids, &err);
    for (size_t i = 0; i < len && i < 256; i++) /* ids that no text gives */
        CHECK(token_vec_push(&ids, (int8_t)text[i]));
    tokenizer_decode(t, ids.ids, ids.len, false, &whole);
    struct detok d;
    detok_init(&d, t, false);
    for (size_t i = 0; i < ids.len; i++) {
        detok_push(&d, ids.ids[i], &parts);
        CHECK(parts.len == 0 || utf8_valid(parts.data, parts.len));
        (void)tokenizer_id_to_token(t, ids.ids[i]);
    }
    detok_finish(&d, &parts);
    CHECK(parts.len == whole.len && (!parts.len || !memcmp(parts.data, whole.data, whole.len)));
    strbuf_free(&whole);
    strbuf_free(&parts);
    token_vec_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const uint8_t *nul = memchr(data, 0, size);
    size_t json_len = nul ? (size_t)(nul - data) : size;
    const char *text = nul ? (const char *)nul + 1 : "";
    size_t text_len = nul ? size - json_len - 1 : 0;
    struct strbuf json;
    strbuf_init(&json, 0);
    unsigned frame = data[0] - '0';
    if (frame < 8 && json_len > 0) {
        strbuf_add_str(&json, frames[frame].before);
        strbuf_add(&json, data + 1, json_len - 1);
        strbuf_add_str(&json, frames[frame].after);
    } else {
        strbuf_add(&json, data, json_len);
    }
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status st = tokenizer_parse(json.data ? json.data : "", json.len, NULL, 0, &t, &err);
    CHECK((st == STATUS_OK) == (t != NULL));
    CHECK(t || err.message[0]);
    if (t) {
        use(t, "aabb \xE2\x96\x81 abbb", 13);
        use(t, text, text_len);
    }
    tokenizer_free(t);
    strbuf_free(&json);
    return 0;
}
