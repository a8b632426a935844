#include "engine/tokenizer/scan.h"

#include "config/base/check.h"
#include "engine/tokenizer/char_class.h"
#include "engine/tokenizer/unicode.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* Every pattern here is a list of alternatives tried in order; the functions follow that order.
 * What they save is the search: the class of the first characters tells the alternative. */

#define LETTERS CHAR_LETTERS
#define NUMBERS CHAR_BIT_OF(CHAR_N)
#define SPACES  CHAR_BIT_OF(CHAR_SPACE)
#define MARKS   CHAR_BIT_OF(CHAR_M)
/* The o200k pattern's halves of a word; what is in both may end the first or begin the second. */
#define UPPER                                                                                    \
    (CHAR_BIT_OF(CHAR_LU) | CHAR_BIT_OF(CHAR_LT) | CHAR_BIT_OF(CHAR_LM) | CHAR_BIT_OF(CHAR_LO) | \
     MARKS)
#define LOWER (CHAR_BIT_OF(CHAR_LL) | CHAR_BIT_OF(CHAR_LM) | CHAR_BIT_OF(CHAR_LO) | MARKS)

static inline unsigned next_class(const char **p)
{
    uint8_t c = (uint8_t) * *p;
    if (c < 0x80) {
        ++*p;
        return char_class_table.pages[0][c];
    }
    return char_class_of(unicode_next(p));
}

static inline bool next_in(const char **p, const char *end, unsigned set)
{
    const char *next = *p;
    if (next == end || !(CHAR_BIT_OF(next_class(&next)) & set)) return false;
    *p = next;
    return true;
}

static inline const char *skip(const char *p, const char *end, unsigned set)
{
    while (next_in(&p, end, set)) {
    }
    return p;
}

static inline const char *skip_bytes(const char *p, const char *end, char a, char b, char c)
{
    while (p < end && (*p == a || *p == b || *p == c)) p++;
    return p;
}

/* 's|'t|'re|'ve|'m|'ll|'d at p, its length or 0.  Ignoring case, U+017F counts as an s. */
static size_t contraction(const char *p, const char *end, bool ignore_case)
{
    if (*p != '\'' || end - p < 2) return 0;
    uint8_t fold = ignore_case ? 0x20 : 0, a = (uint8_t)p[1] | fold;
    uint8_t b = end - p > 2 ? (uint8_t)p[2] | fold : 0;
    if (ignore_case && (uint8_t)p[1] == 0xC5 && end - p > 2 && (uint8_t)p[2] == 0xBF) return 3;
    if (a >= 0x80) return 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ at p, a blank: a blank before something else stays with it, unless it is alone. */
static const char *blanks(const char *p, const char *end)
{
    const char *last = p, *stop = p;
    while (stop < end) {
        const char *next = stop;
        if (next_class(&next) != CHAR_SPACE) break;
        last = stop;
        stop = next;
    }
    return stop == end || last == p ? stop : last;
}

/* \s*[\r\n]+ at p: up to the last line break of the blanks, NULL when there is none. */
static const char *line_breaks(const char *p, const char *end)
{
    const char *found = NULL;
    while (p < end) {
        const char *next = p;
        if (next_class(&next) != CHAR_SPACE) break;
        if (*p == '\n' || *p == '\r') found = next;
        p = next;
    }
    return found;
}

static size_t scan_gpt2(const char *s, size_t len, size_t at)
{
    const char *p = s + at, *end = s + len, *q = p;
    size_t n = contraction(p, end, false);
    if (n > 0) return at + n;
    if (*q == ' ' && q + 1 < end) q++;
    unsigned set = CHAR_BIT_OF(next_class(&q));
    if (set & SPACES) return (size_t)(blanks(p, end) - s);
    if (set & LETTERS)
        set = LETTERS;
    else if (!(set & NUMBERS))
        set = ~(LETTERS | NUMBERS | SPACES);
    return (size_t)(skip(q, end, set) - s);
}

/* What the younger patterns differ in. */
struct style {
    unsigned letters;   /* of a word */
    int max_digits;     /* of a number */
    bool slash;         /* punctuation may end in '/' as in a line break */
    bool blanks_at_end; /* \s+$ comes before the line breaks */
};

/* [^\s\p{L}\p{N}]+[\r\n]* after an optional blank; NULL: no match. */
static inline const char *punctuation(const char *p, const char *end, const struct style *style)
{
    unsigned set = ~(style->letters | LETTERS | NUMBERS | SPACES);
    const char *q = p + (*p == ' ');
    if (!next_in(&q, end, set)) return NULL;
    q = skip(q, end, set);
    return skip_bytes(q, end, '\r', '\n', style->slash ? '/' : '\n');
}

/* A number, punctuation or blanks: what all these patterns end in. */
static inline const char *not_a_word(const char *p, const char *end, const struct style *style)
{
    const char *q = p;
    int n = 0;
    while (n < style->max_digits && next_in(&q, end, NUMBERS)) n++;
    if (n > 0) return q;
    q = punctuation(p, end, style);
    if (q) return q;
    if (style->blanks_at_end && skip(p, end, SPACES) == end) return end;
    q = line_breaks(p, end);
    return q ? q : blanks(p, end);
}

/* [^\r\n\p{L}\p{N}]?\p{L}+: NULL: no match. */
static inline const char *word(const char *p, const char *end, unsigned letters)
{
    const char *q = p;
    unsigned set = CHAR_BIT_OF(next_class(&q));
    if (!(set & letters)) {
        if (set & (LETTERS | NUMBERS) || *p == '\r' || *p == '\n') return NULL;
        if (!next_in(&q, end, letters)) return NULL;
    }
    return skip(q, end, letters);
}

static inline size_t scan_words(const char *s, size_t len, size_t at, const struct style *style)
{
    const char *p = s + at, *end = s + len;
    size_t n = contraction(p, end, true);
    if (n > 0) return at + n;
    const char *q = word(p, end, style->letters);
    return (size_t)((q ? q : not_a_word(p, end, style)) - s);
}

static size_t scan_llama3(const char *s, size_t len, size_t at)
{
    return scan_words(s, len, at, &(struct style){LETTERS, 3, false, false});
}

static size_t scan_qwen2(const char *s, size_t len, size_t at)
{
    return scan_words(s, len, at, &(struct style){LETTERS, 1, false, false});
}

/* Oniguruma reads {1,3}+ as one or more of {1,3}, not as possessive: digits without end. */
static size_t scan_cl100k(const char *s, size_t len, size_t at)
{
    return scan_words(s, len, at, &(struct style){LETTERS, INT_MAX, false, true});
}

/* What tiktoken means by it. */
static size_t scan_cl100k_digits(const char *s, size_t len, size_t at)
{
    return scan_words(s, len, at, &(struct style){LETTERS, 3, false, true});
}

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ at p: the upper half gives back, from
 * its end, until a character that may be lower too begins the lower half. */
static inline const char *capitalised(const char *p, const char *end)
{
    const char *after_both = NULL;
    while (p < end) {
        const char *next = p;
        unsigned set = CHAR_BIT_OF(next_class(&next));
        if (!(set & UPPER)) break;
        p = next;
        if (set & LOWER) after_both = next;
    }
    const char *lower = skip(p, end, LOWER);
    return lower > p ? lower : after_both;
}

static size_t scan_o200k(const char *s, size_t len, size_t at)
{
    static const struct style style = {LETTERS, 3, true, false};
    const char *p = s + at, *end = s + len, *after = p, *q = NULL;
    unsigned first = CHAR_BIT_OF(next_class(&after));
    bool may_lead = !(first & (LETTERS | NUMBERS)) && *p != '\r' && *p != '\n';
    if (may_lead && after < end) q = capitalised(after, end);
    if (!q) q = capitalised(p, end);
    if (!q && may_lead) { /* all upper */
        const char *upper = skip(after, end, UPPER);
        if (upper > after) q = skip(upper, end, LOWER);
    }
    if (!q) {
        const char *upper = skip(p, end, UPPER);
        if (upper > p) q = skip(upper, end, LOWER);
    }
    if (!q) {
        /* Marks are no letters here, unlike in the words above. */
        return (size_t)(not_a_word(p, end, &style) - s);
    }
    return (size_t)(q - s) + (q < end ? contraction(q, end, true) : 0);
}

/* --- the table ------------------------------------------------------------------------------- */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD         "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define TAIL         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define O200K_UPPER  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K_LOWER  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

static const struct {
    const char *pattern;
    scan_fn *scan;
} scanners[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     scan_gpt2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", scan_gpt2},
    {CONTRACTIONS "|" WORD "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL, scan_llama3},
    {CONTRACTIONS "|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL, scan_qwen2},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
     "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
     scan_llama3},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
     "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|"
     "\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
     scan_cl100k},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|"
     "\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
     scan_cl100k_digits},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|"
     "\\s",
     scan_gpt2},
    {"[^\\r\\n\\p{L}\\p{N}]?" O200K_UPPER "*" O200K_LOWER "+" CONTRACTIONS
     "?|[^\\r\\n\\p{L}\\p{N}]?" O200K_UPPER "+" O200K_LOWER "*" CONTRACTIONS
     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" TAIL,
     scan_o200k},
};

scan_fn *scan_find(const char *pattern)
{
    for (size_t i = 0; i < ARRAY_LEN(scanners); i++)
        if (strcmp(scanners[i].pattern, pattern) == 0) return scanners[i].scan;
    return NULL;
}

const char *scan_pattern(size_t i)
{
    return i < ARRAY_LEN(scanners) ? scanners[i].pattern : NULL;
}
