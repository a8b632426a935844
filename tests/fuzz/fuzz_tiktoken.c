/* A tiktoken rank file: whatever loads must encode and decode without harm, and token by token as
 * in one go.
 *
 * data[0] picks the file's name and the configuration, data[1] the length of a text that comes
 * next; the rest is the file.  With the highest bit of data[0] set the lines of all 256 bytes stand
 * before it, without which no file loads. */
#include "config/base/check.h"
#include "config/base/json.h"
#include "engine/tokenizer/load.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *config;
} frames[] = {
    {"r50k_base.tiktoken", NULL},
    {"cl100k_base.tiktoken", "{\"add_bos_token\":true,\"bos_token\":\"<s>\",\"added_tokens_"
                             "decoder\":{\"500\":{\"content\":\"<s>\",\"special\":true}}}"},
    {"o200k_base.tiktoken", "{\"added_tokens_decoder\":{}}"},
    {"qwen.tiktoken", "{\"tokenizer_class\":\"QWenTokenizer\"}"},
    {"tiktoken.model",
     "{\"tokenizer_class\":\"TikTokenTokenizer\",\"auto_map\":{\"AutoTokenizer\":[\"tokenization_"
     "kimi.TikTokenTokenizer\",null]},\"added_tokens_decoder\":{\"300\":{\"content\":\"[BOS]\","
     "\"special\":true},\"301\":{\"content\":\"x\"}}}"},
    {"tokenizer.model",
     "{\"tokenizer_class\":\"ChatGLM4Tokenizer\",\"added_tokens_decoder\":{\"400\":{\"content\":\""
     "[gMASK]\"},\"401\":{\"content\":\"<sop>\",\"special\":true}}}"},
    {"tokenizer.model", NULL},
};

static void add_line(struct strbuf *out, unsigned byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    strbuf_addf(out, "%c%c== %u\n", digits[byte >> 2], digits[(byte & 3) << 4], byte);
}

static const char sample[] = "ab  \xE2\x96\x81"
                             "abc <|endoftext|>b \xC3\xA9\n";

static void use(const struct tokenizer *t, const char *text, size_t len)
{
    struct token_vec ids = {0};
    struct error err = {0};
    struct strbuf whole, parts;
    strbuf_init(&whole, 0);
    strbuf_init(&parts, 0);
    (void)tokenizer_encode(t, text, len, true, len % 2, 4096, &ids, &err);
    for (size_t i = 0; i < ids.len; i++) CHECK(tokenizer_id_to_token(t, ids.ids[i]));
    for (size_t i = 0; i < len; i++) /* ids that no text gives */
        CHECK(token_vec_push(&ids, (uint8_t)text[i] * 3));
    tokenizer_decode(t, ids.ids, ids.len, len & 2, &whole);
    struct detok d;
    detok_init(&d, t, len & 2);
    for (size_t i = 0; i < ids.len; i++) {
        detok_push(&d, ids.ids[i], &parts);
        CHECK(parts.len == 0 || utf8_valid(parts.data, parts.len));
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
    if (size < 2) return 0;
    size_t frame = (data[0] & 0x7F) % ARRAY_LEN(frames);
    size_t text_len = data[1] < size - 2 ? data[1] : size - 2;
    const char *text = (const char *)data + 2, *config = frames[frame].config;
    struct strbuf file;
    strbuf_init(&file, 0);
    for (unsigned i = 0; data[0] & 0x80 && i < 256; i++) add_line(&file, i);
    strbuf_add(&file, text + text_len, size - 2 - text_len);
    struct token_files files = {.any_rank_count = true};
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (config) CHECK(json_parse(config, strlen(config), NULL, &files.config, &err) == STATUS_OK);
    struct str bytes = {file.data ? file.data : "", file.len};
    enum status st = tokenizer_parse_native(bytes, frames[frame].name, &files, &t, &err);
    CHECK((st == STATUS_OK) == (t != NULL));
    CHECK(t || err.message[0]);
    if (t) {
        use(t, sample, sizeof(sample) - 1);
        use(t, text, text_len);
    }
    tokenizer_free(t);
    token_files_free(&files);
    strbuf_free(&file);
    return 0;
}
