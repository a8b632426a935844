/* A precompiled map of characters behind a text (one byte says how long the text is): any bytes are
 * refused or give a map whose look-ups stay inside it, and grapheme clusters tile every text. */
#include "config/base/check.h"
#include "engine/tokenizer/charsmap.h"
#include "engine/tokenizer/unicode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct charsmap *m, const char *s, size_t len)
{
    struct str out = {0};
    size_t shortest = charsmap_shortest(m, s, len, &out);
    size_t longest = charsmap_longest(m, s, len, &out);
    CHECK(shortest <= longest && longest <= len);
    CHECK((shortest > 0) == (longest > 0));
    if (longest == 0) return;
    CHECK(charsmap_begins(m, (unsigned char)s[0]));
    CHECK(out.len <= CHARSMAP_REPLACEMENT_MAX && (out.len == 0 || utf8_valid(out.data, out.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || data[0] > size - 1) return 0;
    size_t len = data[0];
    char *text = malloc(len + 1);
    struct charsmap *m = NULL;
    struct error err = {0};
    CHECK(text);
    memcpy(text, data + 1, len);
    if (charsmap_parse(data + 1 + len, size - 1 - len, &m, &err) == STATUS_OK) {
        for (size_t at = 0; at <= len; at++) look_up(m, text + at, len - at);
        CHECK(charsmap_ascii_prefix(m, text, len) <= len);
    }
    charsmap_free(m);
    if (len > 0 && utf8_valid(text, len)) {
        size_t at = 0;
        while (at < len) at += unicode_grapheme(text + at, len - at);
        CHECK(at == len);
    }
    free(text);
    return 0;
}
