#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DIGEST_NORMALIZERS
#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/rng.h"
#include "engine/tokenizer/charsmap.h"
#include "tests/unit/tokenizer_digest.h"
#include "tests/unit/tokenizer_digests.h"

static uint32_t normal_of(struct digest_run *r, struct str text, uint32_t crc)
{
    struct str out = {0};
    if (digest_normalize(r, text, &out) != STATUS_OK) fail_msg("a normalizer failed");
    if (out.len > 0 && !utf8_valid(out.data, out.len)) fail_msg("not UTF-8");
    return digest_add(crc, out.data, out.len);
}

static struct digest_run *open_one(const char *json)
{
    struct error err = {0};
    struct digest_run *r = digest_open(json, NULL, &err);
    if (!r) fail_msg("%.100s: %s", json, err.message);
    return r;
}

static void test_digests(void **state)
{
    (void)state;
    assert_true(ARRAY_LEN(digest_normalizers) > 15);
    for (size_t i = 0; i < ARRAY_LEN(digest_normalizers); i++) {
        const struct digest_case *c = &digest_normalizers[i];
        struct digest_run *r = open_one(c->json);
        uint32_t random =
            digest_random(r, normal_of, digest_traps, ARRAY_LEN(digest_traps), DIGEST_RANDOM_TEXTS);
        if (random != c->random) fail_msg("random texts: %.100s", c->json);
        /* The debug and sanitizer builds would take minutes. */
        if (c->every && !INFERD_DEBUG_CHECKS && digest_every(r, normal_of) != c->every)
            fail_msg("every code point: %.100s", c->json);
        digest_close(r);
    }
}

static void expect_normal(const char *json, const char *text, const char *want)
{
    struct digest_run *r = open_one(json);
    struct str out = {0};
    assert_int_equal(digest_normalize(r, str_from(text), &out), STATUS_OK);
    if (!str_eq(out, str_from(want)))
        fail_msg("%.100s: \"%.*s\", not \"%s\"", json, (int)out.len, out.data, want);
    digest_close(r);
}

#define BERT(clean, chinese, accents, lower)                                                  \
    "{\"type\":\"BertNormalizer\",\"clean_text\":" clean ",\"handle_chinese_chars\":" chinese \
    ",\"strip_accents\":" accents ",\"lowercase\":" lower "}"

static void test_shapes(void **state)
{
    (void)state;
    expect_normal(BERT("true", "true", "null", "true"), "H\xC3\x89 \x01\xE4\xB8\x80\tX",
                  "he  \xE4\xB8\x80  x");
    expect_normal(BERT("true", "false", "false", "true"), "\xC3\x89\xE4\xB8\x80",
                  "\xC3\xA9\xE4\xB8\x80");
    expect_normal("{\"type\":\"StripAccents\"}", "e\xCC\x81\xC3\xA9", "e\xC3\xA9");
    expect_normal("{\"type\":\"Nmt\"}", "a\x01\xE2\x80\x8B\n", "a  ");
    expect_normal("{\"type\":\"ByteLevel\"}", "a \xC3\xA9", "a\xC4\xA0\xC3\x83\xC2\xA9");
    expect_normal("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"^\"},\"content\":\"x\"}", "", "");
    /* Stages that leave nothing are the last that run. */
    expect_normal("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\",\"strip_left\":true,"
                  "\"strip_right\":true},{\"type\":\"Prepend\",\"prepend\":\"x\"}]}",
                  "  ", "");
}

/* What changes nothing is not copied. */
static void test_same(void **state)
{
    (void)state;
    static const char text[] = "abc d\xC3\xA9 \xE4\xB8\x80";
    static const char *const kinds[] = {
        "{\"type\":\"NFC\"}",
        "{\"type\":\"NFKC\"}",
        "{\"type\":\"Lowercase\"}",
        "{\"type\":\"StripAccents\"}",
        "{\"type\":\"Nmt\"}",
        "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}",
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\"#\"},\"content\":\"\"}"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct digest_run *r = open_one(kinds[i]);
        struct str out = {0};
        assert_int_equal(digest_normalize(r, STR(text), &out), STATUS_OK);
        assert_ptr_equal(out.data, text);
        assert_int_equal(out.len, sizeof(text) - 1);
        digest_close(r);
    }
}

static void expect_refused(const char *json, const char *words)
{
    struct error err = {0};
    struct digest_run *r = digest_open(json, NULL, &err);
    if (r) digest_close(r);
    if (r || !strstr(err.message, words)) fail_msg("%s: \"%s\"", json, err.message);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("{\"type\":\"Nonsense\"}", "Precompiled");
    expect_refused("{\"type\":\"BertNormalizer\"}", "clean_text");
    expect_refused(BERT("true", "true", "3", "true"), "strip_accents");
    expect_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":null}", "string");
    expect_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}", "charsmap");
    expect_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA=\"}", "base64");
    expect_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA!\"}", "base64");
    expect_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAAAAB=\"}", "base64");
}

/* --- the map ---------------------------------------------------------------------------------- */

static struct charsmap *sample_map(void)
{
    struct charsmap *m = NULL;
    struct error err = {0};
    if (charsmap_parse_base64(digest_sample_map, strlen(digest_sample_map), &m, &err))
        fail_msg("%s", err.message);
    return m;
}

typedef size_t (*lookup_fn)(const struct charsmap *m, const char *s, size_t len, struct str *out);

static void expect_lookup(lookup_fn look_up, const struct charsmap *m, const char *text, size_t len,
                          size_t want_len, const char *want)
{
    struct str out = {0};
    assert_int_equal(look_up(m, text, len, &out), want_len);
    if (want_len > 0) assert_true(str_eq(out, str_from(want)));
}

static void test_map(void **state)
{
    (void)state;
    struct charsmap *m = sample_map();
    expect_lookup(charsmap_longest, m, "xyz", 3, 2, "22");
    expect_lookup(charsmap_shortest, m, "xyz", 3, 1, "1");
    expect_lookup(charsmap_longest, m, "xyz", 1, 1, "1");
    expect_lookup(charsmap_longest, m, "\xE2\x80\x8B", 3, 3, "");
    expect_lookup(charsmap_longest, m, "\xE2\x80\x8C", 3, 0, NULL);
    expect_lookup(charsmap_longest, m, "e\xCC\x81", 3, 3, "\xC3\xA9");
    expect_lookup(charsmap_longest, m, "e\xCC", 2, 0, NULL);
    expect_lookup(charsmap_longest, m, "\0x", 2, 0, NULL);
    expect_lookup(charsmap_longest, m, "", 0, 0, NULL);
    assert_true(charsmap_begins(m, 'e'));
    assert_false(charsmap_begins(m, 'f'));
    assert_int_equal(charsmap_ascii_prefix(m, "abex", 4), 3);
    charsmap_free(m);
}

static void look_up_all(const struct charsmap *m)
{
    char text[8];
    struct str out;
    for (unsigned i = 0; i < 4096; i++) {
        for (unsigned k = 0; k < sizeof(text); k++) text[k] = (char)(i * 2654435761u >> (3 * k));
        text[0] = (char)i;
        for (size_t len = 0; len <= sizeof(text); len++) {
            size_t shortest = charsmap_shortest(m, text, len, &out);
            size_t longest = charsmap_longest(m, text, len, &out);
            assert_true(shortest <= longest && longest <= len);
            if (longest == 0) continue;
            assert_true(out.len <= CHARSMAP_REPLACEMENT_MAX);
            assert_true(out.len == 0 || utf8_valid(out.data, out.len));
        }
    }
}

/* Any bytes are refused or give a map whose walks stay inside it. */
static void test_map_attacked(void **state)
{
    (void)state;
    uint8_t bytes[8192], broken[8192];
    size_t size = 0;
    uint32_t bits = 0;
    for (size_t i = 0; digest_sample_map[i] && digest_sample_map[i] != '='; i++) {
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bits = bits << 6 | (uint32_t)(strchr(digits, digest_sample_map[i]) - digits);
        assert_true(size < sizeof(bytes));
        if (i % 4 != 0) bytes[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    struct rng rng = {7};
    size_t taken = 0, refused = 0;
    for (int round = 0; round < 3000; round++) {
        size_t n = round % 4 == 0 ? rng_below(&rng, size + 1) : size;
        memcpy(broken, bytes, size);
        for (uint64_t k = 1 + rng_below(&rng, 4); k > 0; k--)
            broken[round % 3 == 0 ? rng_below(&rng, 8) : rng_below(&rng, size)] =
                (uint8_t)rng_next(&rng);
        uint8_t *tight = malloc(n ? n : 1);
        assert_non_null(tight);
        memcpy(tight, broken, n);
        struct charsmap *m = NULL;
        struct error err = {0};
        if (charsmap_parse(tight, n, &m, &err) == STATUS_OK) {
            taken++;
            if (taken % 16 == 0) look_up_all(m);
        } else {
            refused++;
            assert_null(m);
            assert_true(err.message[0] != '\0');
        }
        charsmap_free(m);
        free(tight);
    }
    assert_true(taken > 100 && refused > 100);
}

static void test_map_bounds(void **state)
{
    (void)state;
    /* One key, "a", whose replacement starts at `start` of `text`. */
    static const struct {
        uint32_t start;
        const char *text;
        enum status want;
    } cases[] = {{0, "b", STATUS_OK},
                 {1, "b", STATUS_OK}, /* the NUL: nothing */
                 {2, "b", STATUS_CORRUPT},
                 {1, "\xC3\xA9", STATUS_CORRUPT},
                 {0, "\xC3", STATUS_CORRUPT}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t file[1 + 256 + 2] = {1024};
        file[1] = 128 << 10;
        file[1 + (128 ^ 'a')] = 'a' | 1 << 8 | (uint32_t)(128 ^ 'a' ^ 1) << 10;
        file[1 + 1] = UINT32_C(1) << 31 | cases[i].start;
        size_t text_size = strlen(cases[i].text) + 1;
        memcpy(&file[257], cases[i].text, text_size);
        struct charsmap *m = NULL;
        struct error err = {0};
        assert_int_equal(charsmap_parse(file, 1028 + text_size, &m, &err), cases[i].want);
        charsmap_free(m);
    }
    /* A replacement without an end within bounds. */
    size_t size = 1028 + 2 * CHARSMAP_REPLACEMENT_MAX;
    uint8_t *file = malloc(size);
    assert_non_null(file);
    memset(file, 0, 1028);
    memset(file + 1028, 'b', size - 1028);
    uint32_t units[] = {1024, 128 << 10, UINT32_C(1) << 31};
    memcpy(file, units, sizeof(units));
    uint32_t key = 'a' | 1 << 8 | (uint32_t)(128 ^ 'a' ^ 1) << 10;
    memcpy(file + 4 + 4 * (128 ^ 'a'), &key, 4);
    struct charsmap *m = NULL;
    struct error err = {0};
    assert_int_equal(charsmap_parse(file, size, &m, &err), STATUS_UNSUPPORTED);
    free(file);
}

/* --- cost ------------------------------------------------------------------------------------- */

static void test_linear(void **state)
{
    (void)state;
    static const char *const units[] = {"\xCC\x81",
                                        "\xCC\x81\xCC\xA3",
                                        "a",
                                        " ",
                                        "\xE1\x84\x80",
                                        "\xE1\x85\xA1",
                                        "\xF0\x9F\x87\xA6",
                                        "\xE2\x80\x8D",
                                        "\xE0\xA4\x95\xE0\xA5\x8D"};
    for (size_t k = 0; k < ARRAY_LEN(digest_normalizers); k++) {
        struct digest_run *r = open_one(digest_normalizers[k].json);
        for (size_t i = 0; i < ARRAY_LEN(units); i++) {
            struct strbuf text;
            struct str out = {0};
            strbuf_init(&text, 0);
            while (text.len < 300000) strbuf_add_str(&text, units[i]);
            uint64_t start_ns = clock_now_ns();
            assert_int_equal(digest_normalize(r, (struct str){text.data, text.len}, &out),
                             STATUS_OK);
            double s = (double)(clock_now_ns() - start_ns) * 1e-9;
            if (s > 2)
                fail_msg("%.100s: %.1f s for 300 kB of unit %zu", digest_normalizers[k].json, s, i);
            strbuf_free(&text);
        }
        digest_close(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),    cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_same),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_map),        cmocka_unit_test(test_map_attacked),
        cmocka_unit_test(test_map_bounds), cmocka_unit_test(test_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
