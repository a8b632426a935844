/* The matchers by hand against the regular expressions that they stand for. */
#include "config/base/str.h"
#include "engine/tokenizer/char_class.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct regex *by_hand[16], *by_pcre2[16];
static struct regex_scratch scratch;
static size_t n_patterns;

static int compile_all(void **state)
{
    (void)state;
    for (const char *p; (p = scan_pattern(n_patterns)); n_patterns++) {
        struct error err = {0};
        assert_true(n_patterns < 16);
        assert_int_equal(regex_compile(p, &by_hand[n_patterns], &err), 0);
        assert_int_equal(regex_compile_pcre2(p, &by_pcre2[n_patterns], &err), 0);
        assert_non_null(regex_scanner(by_hand[n_patterns]));
        assert_null(regex_scanner(by_pcre2[n_patterns]));
    }
    return n_patterns < 6;
}

static int free_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_patterns; i++) {
        regex_free(by_hand[i]);
        regex_free(by_pcre2[i]);
    }
    regex_scratch_free(&scratch);
    return 0;
}

static void print_text(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fprintf(stderr, s[i] >= ' ' && s[i] < 0x7f ? "%c" : "\\x%02x", (unsigned char)s[i]);
}

/* All matches of the text, by each pattern. */
static void compare(const char *s, size_t len)
{
    struct str text = {s, len};
    for (size_t i = 0; i < n_patterns; i++) {
        struct regex_cursor a = {0}, b = {0};
        for (;;) {
            size_t a_start = 0, a_end = 0, b_start = 0, b_end = 0;
            enum regex_result ra = regex_next(by_hand[i], &scratch, text, &a, &a_start, &a_end);
            enum regex_result rb = regex_next(by_pcre2[i], &scratch, text, &b, &b_start, &b_end);
            if (ra == REGEX_END && rb == REGEX_END) break;
            if (ra == rb && a_start == b_start && a_end == b_end) continue;
            fprintf(stderr, "pattern %s\ntext \"", scan_pattern(i));
            print_text(s, len);
            fprintf(stderr, "\" by hand %zu..%zu, pcre2 %zu..%zu\n", a_start, a_end, b_start,
                    b_end);
            fail();
        }
    }
}

/* Every character, alone and between neighbours of every kind. */
static void test_every_character(void **state)
{
    (void)state;
    static const char *const around[][2] = {{"", ""},     {"", "a"},  {"a", "a"}, {"A", "b"},
                                            {" ", "a"},   {" ", " "}, {"1", "2"}, {"!", "!"},
                                            {"\n", "\n"}, {"'", "e"}, {" ", "A"}, {"x'", ""}};
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp < 0xE000) continue;
        bool dense =
            cp < 0x3100 || cp % 61 == 0; /* the planes of one class need not be tried whole */
        if (!dense && cp % 7 != 0) continue;
        for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
            if (!dense && i % 4 != 2) continue;
            struct strbuf b;
            strbuf_init(&b, 0);
            strbuf_add_str(&b, around[i][0]);
            strbuf_add_utf8(&b, cp);
            strbuf_add_str(&b, around[i][1]);
            compare(b.data, b.len);
            strbuf_free(&b);
        }
    }
}

static const char *const parts[] = {
    "'s",
    "'S",
    "'t",
    "'re",
    "'RE",
    "'vE",
    "'m",
    "'ll",
    "'d",
    "'\xC5\xBF",
    "'",
    "''",
    "'x",
    "'l",
    "'r",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\xC2\xA0",
    "\xE3\x80\x80",
    "\xC2\x85",
    "\xE2\x80\xA8",
    "a",
    "b",
    "Z",
    "word",
    "Word",
    "WORD",
    "camelCase",
    "\xC3\xA9",
    "\xC3\x89",
    "\xC7\x85",
    "\xCA\xB0",
    "\xE4\xB8\xAD",
    "\xE6\x96\x87",
    "\xED\x95\x9C",
    "\xCC\x81",
    "\xE0\xA4\xBE",
    "\xE2\x83\xA3",
    "\xEF\xB8\x8F",
    "1",
    "12",
    "123",
    "1234",
    "\xC2\xB2",
    "\xD9\xA3",
    "\xE2\x85\xA7",
    "!",
    ".",
    "...",
    "/",
    "//",
    "_",
    "-",
    "$",
    "\xE2\x82\xAC",
    "\xF0\x9F\x98\x80",
    "\xE2\x80\x8D",
    "\x01",
    "\x7f",
    "\xEE\x80\x80",
    "\xF4\x8F\xBF\xBF",
    "\xF0\x90\xB5\x80",
    "\xE1\xB2\x89",
    "\xCD\xB8",
};

static void test_random_texts(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b, 0);
    uint32_t seed = 20240607;
    for (int round = 0; round < 200000; round++) {
        strbuf_clear(&b);
        seed = seed * 1664525u + 1013904223u;
        uint32_t x = seed;
        for (unsigned n = 1 + (x >> 28) % 9; n > 0; n--) {
            seed = seed * 1664525u + 1013904223u;
            strbuf_add_str(&b, parts[(seed >> 8) % (sizeof(parts) / sizeof(parts[0]))]);
        }
        compare(b.data, b.len);
    }
    strbuf_free(&b);
}

/* The class table against the expressions that it was made from. */
static void test_classes(void **state)
{
    (void)state;
    static const char *const regexes[] = {"\\p{Lu}", "\\p{Lt}", "\\p{Ll}", "\\p{Lm}", "\\p{Lo}",
                                          "\\p{M}",  "\\p{N}",  "\\p{P}",  "\\p{S}",  "\\s"};
    for (unsigned k = 0; k < 10; k++) {
        struct regex *r = NULL;
        struct error err = {0};
        assert_int_equal(regex_compile_pcre2(regexes[k], &r, &err), 0);
        for (uint32_t cp = 0; cp < 0x110000; cp++) {
            if (cp >= 0xD800 && cp < 0xE000) continue;
            char text[4];
            struct str s = {text, (size_t)utf8_encode(cp, text)};
            struct regex_cursor c = {0};
            size_t start = 0, end = 0;
            bool member = regex_next(r, &scratch, s, &c, &start, &end) == REGEX_MATCH;
            unsigned class = char_class_of(cp);
            /* blanks come before other classes: U+0085 and the like */
            if (member != (class == k + 1) && !(member && class == CHAR_SPACE))
                fail_msg("U+%04X: %s, class %u", cp, regexes[k], class);
        }
        regex_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_random_texts),
    };
    return cmocka_run_group_tests(tests, compile_all, free_all);
}
