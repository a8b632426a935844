/* A SentencePiece model file: whatever loads must encode and decode without harm, and token by
 * token as in one go.
 *
 * data[0] picks a configuration, data[1] the length of a text that comes next; the rest is the
 * file.  Mutations rarely keep a file in order, so with the highest bit of data[0] set the rest is a
 * short form of one: a byte of options, then for each piece a byte (its type and length), its score
 * and its text. */
#include "config/base/check.h"
#include "config/base/json.h"
#include "engine/tokenizer/load.h"
#include "engine/tokenizer/sentencepiece.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const configs[] = {
    NULL,
    "{\"tokenizer_class\":\"LlamaTokenizer\",\"add_bos_token\":true,\"add_eos_token\":true}",
    "{\"legacy\":true,\"additional_special_tokens\":[\"<a>\",\"ab\",{\"content\":\"new\"}]}",
    "{\"tokenizer_class\":\"T5Tokenizer\",\"eos_token\":\"b\"}",
    "{\"add_prefix_space\":false,\"added_tokens_decoder\":{\"3\":{\"content\":\"ab\",\"special\":"
    "true},\"4\":{\"content\":\"<n>\",\"lstrip\":true,\"rstrip\":true,\"normalized\":true}}}",
};

static void add_varint(struct strbuf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) strbuf_add_char(out, (char)(value | 0x80));
    strbuf_add_char(out, (char)value);
}

static void add_message(struct strbuf *out, unsigned number, const struct strbuf *message)
{
    add_varint(out, number << 3 | 2);
    add_varint(out, message->len);
    strbuf_add(out, message->data, message->len);
}

static void add_piece(struct strbuf *out, struct str text, float score, unsigned type)
{
    struct strbuf piece;
    strbuf_init(&piece, 0);
    strbuf_add_char(&piece, 1 << 3 | 2);
    add_varint(&piece, text.len);
    strbuf_add(&piece, text.data, text.len);
    strbuf_add_char(&piece, 2 << 3 | 5);
    strbuf_add(&piece, &score, sizeof(score));
    strbuf_add_char(&piece, 3 << 3);
    strbuf_add_char(&piece, (char)type);
    add_message(out, 1, &piece);
    strbuf_free(&piece);
}

/* The file that the short form stands for. */
static void expand(const uint8_t *data, size_t size, struct strbuf *out)
{
    unsigned options = size > 0 ? data[0] : 0;
    add_piece(out, STR("<unk>"), 0, PIECE_UNKNOWN);
    add_piece(out, STR("<s>"), 0, PIECE_CONTROL);
    add_piece(out, STR("</s>"), 0, PIECE_CONTROL);
    for (size_t at = 1; at + 2 < size;) {
        size_t len = data[at] >> 3, left = size - at - 2;
        struct str text = {(const char *)data + at + 2, len < left ? len : left};
        add_piece(out, text, (float)(int8_t)data[at + 1], data[at] & 7);
        at += 2 + text.len;
    }
    for (unsigned i = 0; options & 1 && i < 256; i++) {
        char byte[8];
        snprintf(byte, sizeof(byte), "<0x%02X>", i);
        add_piece(out, str_from(byte), 0, PIECE_BYTE);
    }
    const char trainer[] = {3 << 3,
                            (char)(1 + (options >> 1 & 3)),
                            (char)(24 << 3 | 0x80),
                            1,
                            (char)(options >> 3 & 1),
                            (char)(35 << 3 & 0x7F) | (char)0x80,
                            2,
                            (char)(options & 1)};
    const char normalizer[] = {3 << 3, (char)(options >> 4 & 1), 4 << 3, (char)(options >> 5 & 1),
                               5 << 3, (char)(options >> 6 & 1)};
    struct strbuf spec;
    strbuf_init(&spec, 0);
    strbuf_add(&spec, trainer, sizeof(trainer));
    add_message(out, 2, &spec);
    strbuf_clear(&spec);
    strbuf_add(&spec, normalizer, sizeof(normalizer));
    add_message(out, 3, &spec);
    strbuf_free(&spec);
}

static const char sample[] = "ab  \xE2\x96\x81"
                             "abc <a>b \xC3\xA9<s>";

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
        CHECK(token_vec_push(&ids, (int8_t)text[i]));
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
    const char *config = configs[(data[0] & 0x7F) % ARRAY_LEN(configs)];
    size_t text_len = data[1] < size - 2 ? data[1] : size - 2;
    const char *text = (const char *)data + 2;
    struct str rest = {text + text_len, size - 2 - text_len};
    struct strbuf made;
    strbuf_init(&made, 0);
    if (data[0] & 0x80) {
        expand((const uint8_t *)rest.data, rest.len, &made);
        rest = (struct str){made.data, made.len};
    }
    struct token_files files = {0};
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (config) CHECK(json_parse(config, strlen(config), NULL, &files.config, &err) == STATUS_OK);
    enum status st = tokenizer_parse_native(rest, "tokenizer.model", &files, &t, &err);
    CHECK((st == STATUS_OK) == (t != NULL));
    CHECK(t || err.message[0]);
    if (t) {
        use(t, sample, sizeof(sample) - 1);
        use(t, text, text_len);
    }
    tokenizer_free(t);
    token_files_free(&files);
    strbuf_free(&made);
    return 0;
}
