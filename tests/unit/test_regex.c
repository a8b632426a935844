/* Patterns in which PCRE2 alone would differ from the reference. */
#include "config/base/check.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/regex_folds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#include <cmocka.h>

/* The search looks at a few ranges alone: all of Unicode against it. */
static void test_every_long_folding_is_found(void **state)
{
    (void)state;
    int n = 0;
    for (utf8proc_int32_t c = 0; c < 0x110000; c++) {
        utf8proc_int32_t out[4];
        int boundary = 0;
        utf8proc_ssize_t len = utf8proc_decompose_char(c, out, 4, UTF8PROC_CASEFOLD, &boundary);
        assert_true(regex_fold_is_long((uint32_t)c) == (len > 1));
        if (len < 2) continue;
        n++;
        assert_in_range(len, 2, 3);
        if (!regex_fold_begins((uint32_t)out[0], (uint32_t)out[1])) fail_msg("U+%04x", (unsigned)c);
    }
    assert_in_range(n, 104, 200); /* Unicode 15 has 104; they may grow */
    assert_true(regex_fold_begins('S', 0x17F));
    assert_false(regex_fold_begins('l', 'l'));
    assert_false(regex_fold_begins('\'', 's'));
}

static enum status compile(const char *pattern, struct error *err)
{
    struct regex *r = NULL;
    enum status st = regex_compile(pattern, &r, err);
    if (st == STATUS_OK) regex_free(r);
    return st;
}

static void test_foldings_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *words; /* NULL: accepted */
    } cases[] = {
        {"(?i:sse)", "folding of \"ss\""},
        {"(?i)as(?:s)e", "folding of \"s(?:s\""},
        {"(?i:\\x{73}\\u0053)", "folding of \"\\x{73}\\u0053\""},
        {"(?i:s{1}s)", "folding of \"s{1}s\""},
        {"(?i:\u017fs)", "folding of"},
        {"(?i:fi|x)", "folding of \"fi\""},
        {"(?i:\u00df)", "folding of \"\u00df\""},
        {"(?i:[a\u00df])", "folding of \"\u00df\""},
        {"(?i:[a-\u00e9])", "folding of"},
        {"(?i:[a-\\x{e9}])", "folding of"},
        {"(?i:\\xdf)", "the escape"},
        {"ss|fi|\u00df[\u00df-\u00e9]", NULL},
        {"(?i:(?-i:ss))", NULL},
        {"(?i)[\u00e9-\u00f6]", NULL},
        {"(?i:[a-z\u00e9])", NULL},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[a\u00df]", NULL},
        {"(?i:[sdmt]|ll|ve|re)|ss", NULL},
        {"(?i:s|s[s]s\\ss.s)", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        enum status st = compile(cases[i].pattern, &err);
        if (!cases[i].words) {
            if (st != STATUS_OK) fail_msg("%s: %s", cases[i].pattern, err.message);
            continue;
        }
        assert_int_equal(st, STATUS_UNSUPPORTED);
        if (!strstr(err.message, cases[i].words)) fail_msg("%s: %s", cases[i].pattern, err.message);
    }
}

static void test_lazy_in_an_atomic_group(void **state)
{
    (void)state;
    struct error err = {0};
    struct regex *r = NULL;
    struct regex_scratch scratch = {0};
    struct regex_cursor cursor = {0};
    size_t start = 0, end = 0;
    struct str text = {"aab", 3};
    if (regex_compile("(?>a+?)(?!a)", &r, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_int_equal(regex_next(r, &scratch, text, &cursor, &start, &end), REGEX_MATCH);
    assert_int_equal(start, 1);
    assert_int_equal(end, 2);
    assert_int_equal(regex_next(r, &scratch, text, &cursor, &start, &end), REGEX_END);
    regex_scratch_free(&scratch);
    regex_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_long_folding_is_found),
                                       cmocka_unit_test(test_foldings_are_refused_by_name),
                                       cmocka_unit_test(test_lazy_in_an_atomic_group)};
    return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
