/* One JSON string by itself: what it stands for, what is refused and where, and that it agrees with
 * json_parse wherever that can speak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/json.h"
#include "config/base/json_string.h"

static void decodes(struct str text, struct str expected)
{
    struct strbuf out;
    struct error err = {0};

    strbuf_init(&out, 0);
    assert_int_equal(json_string_decode(text.data, text.len, &out, &err), STATUS_OK);
    assert_int_equal(out.len, expected.len);
    if (expected.len) assert_memory_equal(out.data, expected.data, expected.len);
    strbuf_free(&out);
}

static void what_strings_stand_for(void **state)
{
    (void)state;
    decodes(STR("\"\""), STR(""));
    decodes(STR(" \t\r\n\"a b\" \n"), STR("a b"));
    decodes(STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR("\"\\/\b\f\n\r\t"));
    decodes(STR("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\""),
            STR("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    decodes(STR("\"\\ud800\\udc00\\udbff\\udfff\""), STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    decodes(STR("\"a\\u0000b\""), STR("a\0b"));
    decodes(STR("\"\xc3\xa9\x7f\xef\xbf\xbf\""), STR("\xc3\xa9\x7f\xef\xbf\xbf"));
}

static void refused(struct str text, const char *what, size_t at)
{
    struct strbuf out;
    struct error err = {0};
    char expected[128];

    strbuf_init(&out, 0);
    snprintf(expected, sizeof(expected), "not a JSON string: %s at byte %zu", what, at);
    assert_int_equal(json_string_decode(text.data, text.len, &out, &err), STATUS_INVALID);
    assert_string_equal(err.message, expected);
    strbuf_free(&out);
}

static void what_is_refused(void **state)
{
    (void)state;
    refused(STR(""), "no opening quote", 0);
    refused(STR("  "), "no opening quote", 2);
    refused(STR(" a\""), "no opening quote", 1);
    refused(STR("\""), "no closing quote", 1);
    refused(STR("\"abc"), "no closing quote", 4);
    refused(STR("\"abc\\\""), "no closing quote", 6);
    refused(STR("\"a\" x"), "more text after the string", 3);
    refused(STR("\"a\tb\""), "bare control character", 2);
    refused(STR("\"a\0b\""), "bare control character", 2);
    refused(STR("\"\\x41\""), "unknown escape", 1);
    refused(STR("\"\\"), "unknown escape", 1);
    refused(STR("\"\\\0\""), "unknown escape", 1);
    refused(STR("\"\\u12\""), "\\u without four hexadecimal digits", 1);
    refused(STR("\"\\u"), "\\u without four hexadecimal digits", 1);
    refused(STR("\"\\ud800\""), "lone surrogate", 1);
    refused(STR("\"\\ud800\\u"), "lone surrogate", 1);
    refused(STR("\"\\ud800\\ud800\""), "lone surrogate", 1);
    refused(STR("\"\\udc00\\ud800\""), "lone surrogate", 1);
    refused(STR("\"\xc3\""), "invalid UTF-8", 1);
    refused(STR("\"\xed\xa0\x80\""), "invalid UTF-8", 1);
    refused(STR("\"\xf4\x90\x80\x80\""), "invalid UTF-8", 1);
}

/* Every string of up to four of these pieces, between quotes. */
static void agrees_with_json_parse(void **state)
{
    static const char *const pieces[] = {"",        "a",    "\"",      "\\",      "\\n",
                                         "\\u0041", " ",    "\\ud83d", "\\ude00", "\xc3\xa9",
                                         "\xc3",    "\x01", "u00",     "\\u"};
    enum { N = (int)ARRAY_LEN(pieces) };
    int n_good = 0;

    (void)state;
    for (int i = 0; i < N * N * N * N; i++) {
        char text[64];
        snprintf(text, sizeof(text), "\"%s%s%s%s\"", pieces[i % N], pieces[i / N % N],
                 pieces[i / N / N % N], pieces[i / N / N / N]);
        struct strbuf out;
        struct error err;
        cJSON *tree = NULL;
        strbuf_init(&out, 0);
        enum status a = json_string_decode(text, strlen(text), &out, &err);
        enum status b = json_parse(text, strlen(text), NULL, &tree, &err);
        assert_int_equal(a, b);
        if (a == STATUS_OK) {
            n_good++;
            assert_string_equal(out.data ? out.data : "", tree->valuestring);
        }
        cJSON_Delete(tree);
        strbuf_free(&out);
    }
    assert_true(n_good > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_strings_stand_for),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(agrees_with_json_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
