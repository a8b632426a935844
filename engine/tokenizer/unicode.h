#ifndef ENGINE_TOKENIZER_UNICODE_H
#define ENGINE_TOKENIZER_UNICODE_H

/* unicode.h - character classes and normal forms exactly as the reference tokenizer library has
 * them.  Its parts carry different versions of Unicode (Oniguruma 16, Rust's standard library,
 * crates with 8 to 16), so the classes are tables measured on it (tests/golden/
 * make_unicode_tables.py); the normal forms are utf8proc's with the characters that the reference
 * does not know left as they are.
 * Pure functions; any thread. */

#include "config/base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- what the generated files hold (unicode_tables*.c) --------------------------------------- */

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
 * get them added (regex_translate.c). */
extern const struct unicode_category_range unicode_new_categories[];
extern const size_t n_unicode_new_categories;
extern const struct unicode_case_range unicode_lower[];
extern const struct unicode_range unicode_inert[]; /* what the normal forms do not know */
extern const size_t n_unicode_lower, n_unicode_inert;
/* Values from a character on, ascending: first << shift | value; shift 11 for flags, else 8. */
extern const uint32_t unicode_flag_changes[], unicode_ccc_changes[], unicode_grapheme_changes[],
    unicode_script_changes[];
extern const size_t n_unicode_flag_changes, n_unicode_ccc_changes, n_unicode_grapheme_changes,
    n_unicode_script_changes;

/* --- one look-up per character ---------------------------------------------------------------- */

enum unicode_flag {
    UNICODE_WORD = 1 << 0,        /* \w of Rust's regex crate */
    UNICODE_SPACE = 1 << 1,       /* White_Space */
    UNICODE_PUNCTUATION = 1 << 2, /* of the Punctuation and Bert pre-tokenizers */
    UNICODE_NUMERIC = 1 << 3,     /* of the Digits pre-tokenizer */
    UNICODE_MARK = 1 << 4,        /* what StripAccents removes */
    UNICODE_NONSPACING = 1 << 5,  /* what BertNormalizer's strip_accents removes */
    UNICODE_CONTROL = 1 << 6,     /* what BertNormalizer's clean_text removes */
    /* << enum unicode_form: may change under the form or compose with what stands before it */
    UNICODE_UNSTABLE = 1 << 7
};

/* Two levels: pages of 256 characters.  Built at the first use from the generated lists. */
#define UNICODE_PAGES 256
struct unicode_table {
    uint16_t page_of[0x1100];
    uint16_t pages[UNICODE_PAGES][256];
};
struct unicode_tables {
    atomic_bool ready;
    struct unicode_table flags, ccc, lower, grapheme, script;
};
extern struct unicode_tables unicode_tables;
void unicode_init(void);

static inline void unicode_ready(void)
{
    if (!atomic_load_explicit(&unicode_tables.ready, memory_order_acquire)) unicode_init();
}
/* After unicode_ready; cp < 0x110000. */
static inline unsigned unicode_look_up(const struct unicode_table *t, uint32_t cp)
{
    return t->pages[t->page_of[cp >> 8]][cp & 0xFF];
}
static inline unsigned unicode_flags(uint32_t cp)
{
    unicode_ready();
    return unicode_look_up(&unicode_tables.flags, cp);
}
static inline bool unicode_is_punctuation(uint32_t cp)
{
    return unicode_flags(cp) & UNICODE_PUNCTUATION;
}
static inline bool unicode_is_numeric(uint32_t cp)
{
    return unicode_flags(cp) & UNICODE_NUMERIC;
}
static inline bool unicode_is_word(uint32_t cp)
{
    return unicode_flags(cp) & UNICODE_WORD;
}
static inline bool unicode_is_space(uint32_t cp)
{
    return unicode_flags(cp) & UNICODE_SPACE;
}
/* The number of the character's script as the UnicodeScripts pre-tokenizer sees it, 0: any. */
unsigned unicode_script(uint32_t cp);

/* --- texts (valid UTF-8) ---------------------------------------------------------------------- */

enum unicode_form { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };
/* Size of a prefix that is surely in the form already and behind which the rest can be normalised
 * alone; `len` for nearly every text in the form. */
size_t unicode_normal_prefix(enum unicode_form form, const char *s, size_t len);
/* Appends the normal form.  O(n log n) for any input.  out->failed: no memory. */
void unicode_normalize(enum unicode_form form, const char *s, size_t len, struct strbuf *out);
/* Size of a prefix that the lower case leaves as it is. */
size_t unicode_lower_prefix(const char *s, size_t len);
/* Appends the lower case, character by character (no final sigma). */
void unicode_lowercase(const char *s, size_t len, struct strbuf *out);
/* Size of the first extended grapheme cluster; len > 0 and `s` starts one. */
size_t unicode_grapheme(const char *s, size_t len);

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
/* Where the run of ASCII that starts at `s` ends. */
static inline const char *unicode_ascii_end(const char *s, const char *end)
{
    while (end - s >= 8) {
        uint64_t word = 0;
        __builtin_memcpy(&word, s, 8);
        if (word & UINT64_C(0x8080808080808080)) break;
        s += 8;
    }
    while (s < end && (uint8_t)*s < 0x80) s++;
    return s;
}

#endif
