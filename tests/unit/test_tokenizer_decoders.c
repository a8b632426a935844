#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/rng.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* Every decoder and every order of them that published tokenizers have, and some that they do not;
 * the expected texts are those of PyPI tokenizers 0.22.2, decode(ids, skip_special_tokens=True). */

#define LOW           "\xE2\x96\x81"
#define SEQ(members)  "{\"type\":\"Sequence\",\"decoders\":[" members "]}"
#define BYTE_LEVEL    "{\"type\":\"ByteLevel\"}"
#define BYTE_FALLBACK "{\"type\":\"ByteFallback\"}"
#define FUSE          "{\"type\":\"Fuse\"}"
#define BPE_DECODER   "{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}"
#define REPLACE(from, to) \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
#define REPLACE_REGEX(from, to) \
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"" from "\"},\"content\":\"" to "\"}"
#define STRIP(c, start, stop) \
    "{\"type\":\"Strip\",\"content\":\"" c "\",\"start\":" #start ",\"stop\":" #stop "}"
#define METASPACE(scheme) \
    "{\"type\":\"Metaspace\",\"replacement\":\"" LOW "\",\"prepend_scheme\":\"" scheme "\"}"
#define WORD_PIECE(cleanup) "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":" cleanup "}"
#define CTC(cleanup)                                                            \
    "{\"type\":\"CTC\",\"pad_token\":\"<pad>\",\"word_delimiter_token\":\"|\"," \
    "\"cleanup\":" cleanup "}"

static const char *const words[] = {"a",
                                    "b",
                                    "ab",
                                    "##ab",
                                    "##",
                                    "\xC4\xA0",
                                    "\xC4\xA0hello",
                                    "hello",
                                    "\xE2\x96\x81",
                                    "\xE2\x96\x81\xE2\x96\x81",
                                    "\xE2\x96\x81the",
                                    "x\xE2\x96\x81y",
                                    "</w>",
                                    "hi</w>",
                                    "</w></w>b",
                                    "don</w>t</w>",
                                    "|",
                                    "<pad>",
                                    "h",
                                    "e",
                                    "l",
                                    "o",
                                    ".",
                                    ",",
                                    "'s",
                                    "n't",
                                    "do",
                                    "not",
                                    "'",
                                    "<0x41>",
                                    "<0xE6>",
                                    "<0x97>",
                                    "<0xA5>",
                                    "<0xF0>",
                                    "<0x9F>",
                                    "<0x+F>",
                                    "<0x0G>",
                                    "\xC3\xA9",
                                    "\xC3\xA6\xC4\xB9\xC2\xA5",
                                    "\xC3\xA6",
                                    "\xC4\xB9",
                                    "\xC4\x8A",
                                    "aab",
                                    " ",
                                    "  ",
                                    " .",
                                    " n't",
                                    " do not"};

static const struct {
    const char *name, *decoder, *tokens, *text;
} cases[] = {
    {"GPT-2", BYTE_LEVEL,
     "<s> \xC4\xA0hello \xC3\xA6\xC4\xB9\xC2\xA5 \xC3\xA6 \xC4\xB9 \xC4\x8A \xC3\xA6 \xC3\xA9 "
     "hello",
     " hello\xE6\x97\xA5\xEF\xBF\xBD\n\xEF\xBF\xBD\xEF\xBF\xBDhello"},
    {"Llama", SEQ(REPLACE(LOW, " ") "," BYTE_FALLBACK "," FUSE "," STRIP(" ", 1, 0)),
     "<s> " LOW LOW " " LOW "the <0xE6> <0x97> <0xA5> x" LOW
     "y <0xE6> <0x97> hello <0x+F> <0x0G> <0xF0> <0x9F>",
     "  the\xE6\x97\xA5x y\xEF\xBF\xBD\xEF\xBF\xBDhello\x0F<0x0G>\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"Gemma", SEQ(REPLACE(LOW, " ") "," BYTE_FALLBACK "," FUSE),
     LOW "the <0x41> " LOW " <0xE6> <0x41> x" LOW "y", " theA \xEF\xBF\xBD\xEF\xBF\xBDx y"},
    {"T5", METASPACE("always"), LOW "the " LOW " x" LOW "y " LOW LOW, "the x y  "},
    {"T5, its first token alone", METASPACE("always"), LOW LOW, ""},
    {"Metaspace, never", METASPACE("never"), LOW "the " LOW " x" LOW "y", " the x y"},
    {"BERT", WORD_PIECE("true"), "a ##ab . do n't hello 's ##ab not ' ,",
     "aab. don't hello'sab not ',"},
    {"BERT, no cleanup", WORD_PIECE("false"), "a ##ab . ## do n't", "aab . do n't"},
    {"CLIP", BPE_DECODER, "<s> h hi</w> </w></w>b don</w>t</w> a don</w>t</w>",
     "hhi   bdon t adont"},
    {"CLIP by bytes", SEQ(BYTE_LEVEL "," REPLACE("</w>", " ") "," STRIP(" ", 0, 1)),
     "hi</w> \xC3\xA6 \xC4\xB9 don</w>t</w> hi</w>",
     "hi \xEF\xBF\xBD"
     "don t hi"},
    {"wav2vec2", CTC("true"), "h h e e l l <pad> l o | | h <pad> </w>", "hello h</w>"},
    {"CTC, no cleanup", CTC("false"), "h h | | . <pad> .", "h|.."},
    {"CTC, a repeat behind what is skipped", CTC("true"), "h <s> h <pad> h", "hh"},
    {"Replace, CTC", SEQ(REPLACE("ab", "|") "," CTC("true")), "ab | a ab ab b <pad>", " a b"},
    {"CTC, Metaspace", SEQ(CTC("true") "," METASPACE("always")),
     "<pad> " LOW "the " LOW "the " LOW " x" LOW "y", "the x y"},
    {"CTC, WordPiece", SEQ(CTC("true") "," WORD_PIECE("true")), "<pad> ##ab ##ab a ##ab ## | .",
     "##ab aab  ."},
    {"Metaspace, WordPiece", SEQ(METASPACE("always") "," WORD_PIECE("true")),
     LOW "the " LOW "the ##ab " LOW " . a", "the  theab  . a"},
    {"ByteFallback, Metaspace", SEQ(BYTE_FALLBACK "," METASPACE("always")),
     "<0x41> " LOW "the <0xE6> " LOW "the", "A the\xEF\xBF\xBD the"},
    {"ByteFallback, WordPiece", SEQ(BYTE_FALLBACK "," WORD_PIECE("true")),
     "<0xE6> <0x97> <0xA5> ##ab <0x41> <0xE6> a ##",
     "\xE6\x97\xA5"
     "ab \xEF\xBF\xBD \xEF\xBF\xBD a"},
    {"BPEDecoder, ByteFallback, Fuse, Strip",
     SEQ(BPE_DECODER "," BYTE_FALLBACK "," FUSE "," STRIP("h", 1, 1)), "hi</w> <0x41> hi</w> h",
     "i Ahi "},
    {"Fuse, Replace", SEQ(FUSE "," REPLACE("aab", "<>") "," REPLACE("ba", "-")),
     "a a a b a b a aab a a", "a<>a-<>aa"},
    {"Fuse, Replace within its own beginning", SEQ(FUSE "," REPLACE("abab", "x")),
     "ab a ab ab ab a b", "abaxx"},
    {"Fuse, WordPiece", SEQ(FUSE "," WORD_PIECE("true")), "##ab \xC4\xA0 . ' do n't",
     "##ab\xC4\xA0.'don't"},
    {"Fuse, BPEDecoder", SEQ(FUSE "," BPE_DECODER), "hi</w> h </w> a", "hiha"},
    {"Fuse, CTC", SEQ(FUSE "," CTC("true")), "h h <pad> | | h", "hh  h"},
    {"Fuse, ByteFallback", SEQ(FUSE "," BYTE_FALLBACK), "<0x41>", "A"},
    {"Fuse, ByteFallback of more", SEQ(FUSE "," BYTE_FALLBACK), "<0x41> a", "<0x41>a"},
    {"ByteLevel, Strip at both ends", SEQ(BYTE_LEVEL "," STRIP("h", 1, 2)), "h h hi</w> h h h",
     "hhi</w>h"},
    {"ByteFallback, Fuse, ByteFallback", SEQ(BYTE_FALLBACK "," FUSE "," BYTE_FALLBACK),
     "<0xE6> <0x97> <0xA5>", "\xE6\x97\xA5"},
    {"Strip of each token", STRIP("a", 1, 1), "aab ab b", "abbb"},
    {"Replace by Regex", REPLACE_REGEX("a+", "A"), "aab a a b", "AbAAb"},
    {"an empty Sequence", SEQ(""), "a b " LOW "the", "ab\xE2\x96\x81the"},
    {"no decoder", "null", "<s> a b " LOW "the", "a b \xE2\x96\x81the"},
};

static enum status parse(const char *decoder, struct tokenizer **t, struct error *err)
{
    struct strbuf json;
    strbuf_init(&json, 0);
    strbuf_add_str(&json, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (i > 0) strbuf_add_char(&json, ',');
        strbuf_add_json(&json, words[i], strlen(words[i]));
        strbuf_addf(&json, ":%zu", i);
    }
    strbuf_addf(&json,
                "}},\"decoder\":%s,\"added_tokens\":[{\"id\":%zu,\"content\":\"<s>\","
                "\"special\":true}]}",
                decoder, ARRAY_LEN(words));
    enum status st = tokenizer_parse(json.data, json.len, NULL, 0, t, err);
    strbuf_free(&json);
    return st;
}

static struct tokenizer *make(const char *decoder)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (parse(decoder, &t, &err) != STATUS_OK) fail_msg("%s: %s", decoder, err.message);
    return t;
}

/* Ids of tokens written with blanks between them. */
static size_t ids_of(const struct tokenizer *t, const char *tokens, int32_t ids[64])
{
    char copy[512], *rest = copy, *word = NULL;
    size_t n = 0;
    assert_true(strlen(tokens) < sizeof(copy));
    strcpy(copy, tokens);
    while ((word = strsep(&rest, " ")) != NULL) {
        ids[n] = tokenizer_token_to_id(t, word);
        if (ids[n] < 0) fail_msg("no token \"%s\"", word);
        assert_true(++n < 64);
    }
    return n;
}

static void test_as_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = make(cases[i].decoder);
        struct strbuf out;
        int32_t ids[64];
        size_t n = ids_of(t, cases[i].tokens, ids);
        strbuf_init(&out, 0);
        tokenizer_decode(t, ids, n, true, &out);
        if (strcmp(out.len ? out.data : "", cases[i].text) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].name, out.data, cases[i].text);
        strbuf_free(&out);
        tokenizer_free(t);
    }
}

/* --- one by one -------------------------------------------------------------------------------- */

/* Deltas are whole characters and make up the whole decode, wherever the state is kept meanwhile. */
static void check_deltas(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip)
{
    struct strbuf whole, parts, delta;
    struct detok states[2];
    strbuf_init(&whole, 0);
    strbuf_init(&parts, 0);
    strbuf_init(&delta, 0);
    tokenizer_decode(t, ids, n, skip, &whole);
    detok_init(&states[0], t, skip);
    for (size_t i = 0; i <= n; i++) {
        strbuf_clear(&delta);
        if (i < n)
            detok_push(&states[i & 1], ids[i], &delta);
        else
            detok_finish(&states[i & 1], &delta);
        states[!(i & 1)] = states[i & 1];
        memset(&states[i & 1], 0xA5, sizeof(states[0]));
        assert_true(delta.len == 0 || utf8_valid(delta.data, delta.len));
        strbuf_add(&parts, delta.data, delta.len);
    }
    assert_int_equal(parts.len, whole.len);
    if (whole.len > 0) assert_memory_equal(parts.data, whole.data, whole.len);
    strbuf_free(&whole);
    strbuf_free(&parts);
    strbuf_free(&delta);
}

static void test_deltas(void **state)
{
    (void)state;
    struct rng rng = {11};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = make(cases[i].decoder);
        int32_t ids[64];
        check_deltas(t, ids, ids_of(t, cases[i].tokens, ids), true);
        for (int round = 0; round < 200; round++) {
            size_t n = rng_below(&rng, 40);
            for (size_t k = 0; k < n; k++) /* with the special one and one that is none */
                ids[k] = (int32_t)rng_below(&rng, ARRAY_LEN(words) + 2);
            check_deltas(t, ids, n, round & 1);
        }
        tokenizer_free(t);
    }
}

/* What is given out after each token; "/" stands between, the last part is the end's. */
static void test_held_back(void **state)
{
    (void)state;
    static const struct {
        const char *decoder, *tokens, *deltas;
    } rows[] = {
        {BYTE_LEVEL, "a \xC3\xA6 \xC4\xB9 \xC3\xA6\xC4\xB9\xC2\xA5 \xC3\xA6",
         "a///\xEF\xBF\xBD\xE6\x97\xA5//\xEF\xBF\xBD"},
        {SEQ(REPLACE(LOW, " ") "," BYTE_FALLBACK "," FUSE "," STRIP(" ", 1, 0)),
         LOW "the <0xE6> <0x97> <0xA5> a <0xE6>",
         "the////\xE6\x97\xA5"
         "a//\xEF\xBF\xBD"},
        {WORD_PIECE("true"), "a ##ab . b", "a/ab/./ b/"},
        {BPE_DECODER, "h hi</w> </w></w>b a", "h/hi/ /  ba/"},
        {CTC("true"), "h h | <pad> | e", "h// // /e/"},
        {SEQ(FUSE "," REPLACE("aab", "x")), "a a a b a", "//a/x//a"},
        {SEQ(FUSE "," STRIP("a", 0, 1)), "b a b a a", "b//ab//a/"},
        {SEQ(FUSE "," BYTE_FALLBACK), "<0x41>", "/A"},
        {METASPACE("always"), LOW "the x" LOW "y", "the/x y/"},
        {"null", "a b", "a/ b/"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tokenizer *t = make(rows[i].decoder);
        struct strbuf out;
        struct detok d;
        int32_t ids[64];
        size_t n = ids_of(t, rows[i].tokens, ids);
        strbuf_init(&out, 0);
        detok_init(&d, t, true);
        for (size_t k = 0; k < n; k++) {
            detok_push(&d, ids[k], &out);
            strbuf_add_char(&out, '/');
        }
        detok_finish(&d, &out);
        if (strcmp(out.data, rows[i].deltas) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].decoder, out.data, rows[i].deltas);
        strbuf_free(&out);
        tokenizer_free(t);
    }
}

/* The one difference from the reference: a run of more bytes than a state can hold. */
static void test_long_runs(void **state)
{
    (void)state;
    struct tokenizer *t = make(SEQ(BYTE_FALLBACK "," FUSE));
    struct strbuf out;
    int32_t three[64], ids[100];
    assert_int_equal(ids_of(t, "<0xE6> <0x97> <0xA5>", three), 3);
    for (size_t i = 0; i < 100; i++) ids[i] = three[i % 3]; /* 33 characters and one byte */
    check_deltas(t, ids, 99, true);
    check_deltas(t, ids, 100, true);
    strbuf_init(&out, 0);
    tokenizer_decode(t, ids, 99, true, &out);
    assert_int_equal(out.len, 99);
    for (size_t i = 0; i < 99; i += 3) assert_memory_equal(out.data + i, "\xE6\x97\xA5", 3);
    strbuf_free(&out);
    tokenizer_free(t);
}

static void test_token_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *decoder, *token, *bytes;
    } rows[] = {
        {BYTE_LEVEL, "\xC4\xA0hello", " hello"},
        {BYTE_LEVEL, "\xC3\xA6", "\xE6"},
        {SEQ(REPLACE(LOW, " ") "," BYTE_FALLBACK "," FUSE "," STRIP(" ", 1, 0)), LOW "the", " the"},
        {SEQ(REPLACE(LOW, " ") "," BYTE_FALLBACK "," FUSE), "<0xE6>", "\xE6"},
        {SEQ(FUSE "," REPLACE(LOW, " ")), LOW "the", " the"},
        {SEQ(BYTE_FALLBACK "," METASPACE("always")), LOW "the", " the"},
        {SEQ(BYTE_LEVEL "," STRIP(" ", 1, 1)), "\xC4\xA0", " "},
        {WORD_PIECE("true"), "hello", " hello"},
        {WORD_PIECE("true"), "##ab", "ab"},
        {WORD_PIECE("true"), ".", "."},
        {BPE_DECODER, "hi</w>", "hi "},
        {CTC("true"), "<pad>", ""},
        {CTC("true"), "|", " "},
        {METASPACE("always"), LOW "the", " the"},
        {"null", "a", " a"},
        {BYTE_LEVEL, "<s>", "<s>"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tokenizer *t = make(rows[i].decoder);
        struct strbuf out;
        strbuf_init(&out, 0);
        tokenizer_token_bytes(t, tokenizer_token_to_id(t, rows[i].token), &out);
        if (strcmp(out.len ? out.data : "", rows[i].bytes) != 0)
            fail_msg("%s, %s: \"%s\"", rows[i].decoder, rows[i].token, out.data);
        strbuf_clear(&out);
        tokenizer_token_bytes(t, -1, &out);
        tokenizer_token_bytes(t, 1 << 20, &out);
        assert_int_equal(out.len, 0);
        strbuf_free(&out);
        tokenizer_free(t);
    }
}

/* --- what is refused --------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
#define EIGHT(x) x "," x "," x "," x "," x "," x "," x "," x
    static const struct {
        const char *decoder, *says;
    } rows[] = {
        {SEQ(FUSE "," REPLACE_REGEX("a", "b")), "decoder Replace: not supported after Fuse"},
        {SEQ(BYTE_LEVEL "," REPLACE_REGEX("a", "b")), "Replace: not supported after ByteLevel"},
        {SEQ(BYTE_FALLBACK "," REPLACE_REGEX("a", "b")),
         "Replace: not supported after ByteFallback"},
        {SEQ(BYTE_LEVEL "," BYTE_LEVEL), "decoder ByteLevel: not supported after ByteLevel"},
        {SEQ(FUSE "," BYTE_LEVEL), "decoder ByteLevel: not supported after Fuse"},
        {SEQ(CTC("true") "," BYTE_LEVEL), "decoder ByteLevel: not supported after CTC"},
        {SEQ(CTC("true") "," BPE_DECODER), "decoder BPEDecoder: not supported after CTC"},
        {SEQ(CTC("true") "," CTC("true")), "decoder CTC: not supported after CTC"},
        {SEQ(BYTE_FALLBACK "," CTC("true")), "decoder CTC: not supported after ByteFallback"},
        {SEQ(BYTE_FALLBACK "," BYTE_FALLBACK), "ByteFallback: not supported after ByteFallback"},
        {SEQ(FUSE ",{\"type\":\"CTC\",\"pad_token\":\"\",\"word_delimiter_token\":\"\",\"cleanup\":"
                  "true}"),
         "an empty pattern after Fuse"},
        {SEQ(FUSE "," REPLACE("a", EIGHT("aaaaa")) "," REPLACE("a", EIGHT("aaaaa"))), "1024 times"},
        {SEQ(FUSE "," WORD_PIECE("true") "," CTC("true") "," CTC("true")), "more than 32 steps"},
        {"{\"type\":\"WordPiece\",\"prefix\":\"#\"}", "\"cleanup\""},
        {"{\"type\":\"WordPiece\",\"cleanup\":true}", "\"prefix\""},
        {"{\"type\":\"BPEDecoder\"}", "\"suffix\""},
        {"{\"type\":\"CTC\",\"pad_token\":\"a\",\"cleanup\":true}", "\"word_delimiter_token\""},
        {"{\"type\":\"Strip\",\"content\":\"ab\",\"start\":1,\"stop\":0}", "one character"},
        {"{\"type\":\"Strip\",\"content\":\"a\",\"start\":-1,\"stop\":0}", "counts"},
        {"{\"type\":\"Unknown\"}", "Unknown"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        if (parse(rows[i].decoder, &t, &err) == STATUS_OK)
            fail_msg("accepted: %s", rows[i].decoder);
        assert_null(t);
        if (!strstr(err.message, rows[i].says)) fail_msg("%s: %s", rows[i].decoder, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_reference), cmocka_unit_test(test_deltas),
        cmocka_unit_test(test_held_back),        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_token_bytes),      cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
