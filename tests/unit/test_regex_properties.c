/* What each \p{..} and [:..:] matches, on every code point that is assigned, against the reference. */
#include "config/base/check.h"
#include "engine/tokenizer/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name; /* ":alpha" is [:alpha:] */
    uint64_t digest;  /* of the first and last of each range */
} properties[] = {
#include "regex_property_digests.inc"
};

static void put_utf8(struct strbuf *out, uint32_t c)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    strbuf_add_char(out, (char)(lead[n] | c >> 6 * (n - 1)));
    for (int i = n - 2; i >= 0; i--) strbuf_add_char(out, (char)(0x80 | ((c >> 6 * i) & 0x3F)));
}

static uint32_t next_code_point(const char **p)
{
    const uint8_t *s = (const uint8_t *)*p;
    int n = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7F >> n);
    for (int i = 1; i < n; i++) c = c << 6 | (s[i] & 0x3F);
    *p += n;
    return c;
}

static uint64_t fold(uint64_t digest, uint32_t first, uint32_t last)
{
    digest = (digest ^ first) * 0x100000001B3u;
    return (digest ^ last) * 0x100000001B3u;
}

static uint64_t digest_of(const char *pattern, struct str text)
{
    struct regex *r = NULL;
    struct error err = {0};
    struct regex_scratch scratch = {0};
    struct regex_cursor cursor = {0};
    uint64_t digest = 0xCBF29CE484222325u;
    uint32_t first = 0, last = 0;
    size_t start = 0, end = 0;
    bool any = false;
    if (regex_compile(pattern, &r, &err) != STATUS_OK) fail_msg("%s: %s", pattern, err.message);
    while (regex_next(r, &scratch, text, &cursor, &start, &end) == REGEX_MATCH) {
        for (const char *p = text.data + start; p < text.data + end;) {
            uint32_t c = next_code_point(&p);
            if (any && c != last + 1) digest = fold(digest, first, last);
            if (!any || c != last + 1) first = c;
            any = true;
            last = c;
        }
    }
    if (any) digest = fold(digest, first, last);
    regex_scratch_free(&scratch);
    regex_free(r);
    return digest;
}

static void test_every_property(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 0);
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c == 0xD800) c = 0xE000;
        if (c == 0x40100) c = 0xE0000;
        put_utf8(&text, c);
    }
    for (size_t i = 0; i < ARRAY_LEN(properties); i++) {
        const char *name = properties[i].name;
        char pattern[64];
        snprintf(pattern, sizeof(pattern), name[0] == ':' ? "[[%s:]]+" : "\\p{%s}+", name);
        if (digest_of(pattern, (struct str){text.data, text.len}) != properties[i].digest)
            fail_msg("%s matches other code points", pattern);
    }
    strbuf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_property)};
    return cmocka_run_group_tests_name("regex properties", tests, NULL, NULL);
}
