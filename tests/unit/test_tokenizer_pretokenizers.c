#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DIGEST_PRE_TOKENIZERS
#include "config/base/check.h"
#include "config/base/clock.h"
#include "tests/unit/tokenizer_digest.h"
#include "tests/unit/tokenizer_digests.h"

static uint32_t pieces_of(struct digest_run *r, struct str text, uint32_t crc)
{
    if (!digest_pre_tokenize(r, text)) fail_msg("status %d", r->encoder.status);
    return digest_add(crc, digest_pieces.data ? digest_pieces.data : "", digest_pieces.len);
}

static struct digest_run *open_one(const char *json)
{
    struct error err = {0};
    struct digest_run *r = digest_open(NULL, json, &err);
    if (!r) fail_msg("%s: %s", json, err.message);
    return r;
}

static void test_digests(void **state)
{
    (void)state;
    assert_true(ARRAY_LEN(digest_pre_tokenizers) > 30);
    for (size_t i = 0; i < ARRAY_LEN(digest_pre_tokenizers); i++) {
        const struct digest_case *c = &digest_pre_tokenizers[i];
        struct digest_run *r = open_one(c->json);
        uint32_t random =
            digest_random(r, pieces_of, digest_traps, ARRAY_LEN(digest_traps), DIGEST_RANDOM_TEXTS);
        if (random != c->random) fail_msg("random texts: %s", c->json);
        /* The debug and sanitizer builds would take minutes. */
        if (c->every && !INFERD_DEBUG_CHECKS && digest_every(r, pieces_of) != c->every)
            fail_msg("every code point: %s", c->json);
        digest_close(r);
    }
}

/* Pieces as "a|b|". */
static void expect_pieces(const char *json, const char *text, const char *want)
{
    struct digest_run *r = open_one(json);
    assert_true(digest_pre_tokenize(r, str_from(text)));
    for (size_t i = 0; i < digest_pieces.len; i++)
        if (digest_pieces.data[i] == (char)0xFE) digest_pieces.data[i] = '|';
    assert_string_equal(digest_pieces.data ? digest_pieces.data : "", want);
    digest_close(r);
}

static void test_shapes(void **state)
{
    (void)state;
    expect_pieces("{\"type\":\"BertPreTokenizer\"}", "Hey, you!  ok", "Hey|,|you|!|ok|");
    expect_pieces("{\"type\":\"UnicodeScripts\"}", " \xE3\x81\xA9\xE3\x82\xAB\xE5\xA0\xB4 a.b",
                  "\xE3\x81\xA9\xE3\x82\xAB\xE5\xA0\xB4 |a|.|b|");
    expect_pieces("{\"type\":\"UnicodeScripts\"}", "  ", "");
    expect_pieces("{\"type\":\"FixedLength\"}", "a\xC3\xA9pple pie", "a\xC3\xA9ppl|e pie|");
    expect_pieces("{\"type\":\"FixedLength\",\"length\":1}", "a\xC3\xA9", "a|\xC3\xA9|");
    expect_pieces("{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"-\"}", "-a--b-", "a|b|");
    expect_pieces("{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Isolated\","
                  "\"invert\":false}",
                  "ab", "a|b|");
}

static void expect_refused(const char *json, const char *words)
{
    struct error err = {0};
    struct digest_run *r = digest_open(NULL, json, &err);
    if (r) digest_close(r);
    if (r || !strstr(err.message, words)) fail_msg("%s: \"%s\"", json, err.message);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("{\"type\":\"Nonsense\"}", "UnicodeScripts");
    expect_refused("{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"ab\"}", "one character");
    expect_refused("{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"\"}", "one character");
    expect_refused("{\"type\":\"CharDelimiterSplit\"}", "delimiter");
    expect_refused("{\"type\":\"FixedLength\",\"length\":0}", "length");
    expect_refused("{\"type\":\"FixedLength\",\"length\":null}", "length");
    expect_refused("{\"type\":\"Punctuation\",\"behavior\":\"removed\"}", "behavior");
    expect_refused("{\"type\":\"Metaspace\",\"replacement\":\"__\"}", "one character");
}

/* What a normalizer makes of the first character is the text's start; what follows it is not. */
static void expect_first(const char *normalizer, const char *text, const char *want)
{
    static const char pre[] =
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"FixedLength\",\"length\":1},"
        "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\"}]}";
    struct error err = {0};
    struct digest_run *r = digest_open(normalizer, pre, &err);
    if (!r) fail_msg("%s", err.message);
    struct str out = {0};
    size_t head_len = 0;
    assert_int_equal(normalizer_apply(&r->tokenizer.normalizer, &r->encoder.regex,
                                      r->encoder.normalized, str_from(text), &out, &head_len),
                     STATUS_OK);
    strbuf_clear(&digest_pieces);
    assert_true(pretokenizer_run(&r->encoder, 0, (struct piece){out, head_len}));
    for (size_t i = 0; i < digest_pieces.len; i++)
        if (digest_pieces.data[i] == (char)0xFE) digest_pieces.data[i] = '|';
    if (strcmp(digest_pieces.data, want) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", normalizer, digest_pieces.data, want);
    digest_close(r);
}

static void test_first(void **state)
{
    (void)state;
    /* The expected pieces are the reference's (tokenizers 0.22.2). */
    expect_first("{\"type\":\"NFKC\"}", "\xC2\xBDx", "_1|_\xE2\x81\x84|_2|x|");
    expect_first("{\"type\":\"NFD\"}", "\xC3\x95x", "_O|_\xCC\x83|x|");
    expect_first("{\"type\":\"Prepend\",\"prepend\":\"yz\"}", "ab", "_y|_z|_a|b|");
    expect_first("{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}", " ab", "a|b|");
    expect_first("{\"type\":\"Replace\",\"pattern\":{\"String\":\"ab\"},\"content\":\"-\"}", "abc",
                 "-|c|");
    expect_first("{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"-+\"}", "abc",
                 "_-|_+|b|c|");
    expect_first("{\"type\":\"Nmt\"}",
                 "\x01"
                 "ab",
                 "a|b|");
    expect_first("{\"type\":\"ByteLevel\"}",
                 "\xC3\xA9"
                 "a",
                 "_\xC3\x83|_\xC2\xA9|a|");
}

/* A piece a byte is the worst that a text can do: linear all the same. */
static void test_linear(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", ".", "\xCC\x81", "\xE2\x96\x81", "a\xE4\xB8\x80"};
    for (size_t k = 0; k < ARRAY_LEN(digest_pre_tokenizers); k++) {
        struct digest_run *r = open_one(digest_pre_tokenizers[k].json);
        for (size_t i = 0; i < ARRAY_LEN(units); i++) {
            struct strbuf text;
            strbuf_init(&text, 0);
            while (text.len < 200000) strbuf_add_str(&text, units[i]);
            uint64_t start_ns = clock_now_ns();
            assert_true(digest_pre_tokenize(r, (struct str){text.data, text.len}));
            double s = (double)(clock_now_ns() - start_ns) * 1e-9;
            if (s > 2)
                fail_msg("%s: %.1f s for 200 kB of \"%s\"", digest_pre_tokenizers[k].json, s,
                         units[i]);
            strbuf_free(&text);
        }
        digest_close(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_first),
        cmocka_unit_test(test_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
