#ifndef ENGINE_TOKENIZER_UNICODE_H
#define ENGINE_TOKENIZER_UNICODE_H

/* unicode.h - character classes and normal forms exactly as the reference tokenizer library has
 * them.  Its parts carry different versions of Unicode (Oniguruma 16, Rust's standard library,
 * crates with 8 and 9), so the classes are tables measured on it; the normal forms are utf8proc's
 * with the characters that the reference does not know left as they are.
 * Pure functions; any thread. */

#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unicode_range {
    uint32_t first, last;
};
struct unicode_category_range {
    uint32_t first, last;
    char category[3]; /* "Lu" */
};
struct unicode_case_range {
    uint32_t first, last;
    int32_t offset;
    uint32_t step;
};

/* Characters assigned after Unicode 14, the version of PCRE2 10.42: patterns that name a category
 * get them added (regex.c). */
extern const struct unicode_category_range unicode_new_categories[];
extern const size_t n_unicode_new_categories;
extern const struct unicode_range unicode_punctuation[], unicode_numeric[], unicode_word[],
    unicode_inert[];
extern const size_t n_unicode_punctuation, n_unicode_numeric, n_unicode_word, n_unicode_inert;
extern const struct unicode_case_range unicode_lower[];
extern const size_t n_unicode_lower;

bool unicode_is_punctuation(uint32_t cp);
bool unicode_is_numeric(uint32_t cp);
bool unicode_is_word(uint32_t cp);  /* \w of Rust's regex crate */
bool unicode_is_space(uint32_t cp); /* White_Space */

enum unicode_form { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };
/* Appends the normal form of valid UTF-8.  O(n log n) for any input.  out->failed: no memory. */
void unicode_normalize(enum unicode_form form, const char *s, size_t len, struct strbuf *out);
/* Appends the lower case, character by character (no final sigma). */
void unicode_lowercase(const char *s, size_t len, struct strbuf *out);

/* The next character of valid UTF-8 (unchecked); advances *s. */
static inline uint32_t unicode_next(const char **s)
{
    const uint8_t *p = (const uint8_t *)*s;
    if (p[0] < 0x80) {
        *s += 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *s += 2;
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (p[0] < 0xF0) {
        *s += 3;
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    }
    *s += 4;
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
           (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
}
/* The character before `s` in valid UTF-8; `start` < `s`. */
static inline uint32_t unicode_previous(const char *start, const char *s)
{
    do s--;
    while (s > start && ((uint8_t)*s & 0xC0) == 0x80);
    return unicode_next(&s);
}

#endif
