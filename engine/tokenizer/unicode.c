#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

static bool in_ranges(const struct unicode_range *r, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > r[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && cp >= r[lo].first;
}

bool unicode_is_punctuation(uint32_t cp)
{
    return in_ranges(unicode_punctuation, n_unicode_punctuation, cp);
}

bool unicode_is_numeric(uint32_t cp)
{
    if (cp < 0x80) return cp >= '0' && cp <= '9';
    return in_ranges(unicode_numeric, n_unicode_numeric, cp);
}

bool unicode_is_word(uint32_t cp)
{
    return in_ranges(unicode_word, n_unicode_word, cp);
}

bool unicode_is_space(uint32_t cp)
{
    if (cp < 0x80) return cp == ' ' || (cp >= 0x09 && cp <= 0x0D);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

void unicode_lowercase(const char *s, size_t len, struct strbuf *out)
{
    for (const char *end = s + len; s < end;) {
        uint32_t cp = unicode_next(&s);
        if (cp == 0x130) { /* the one character whose lower case is two: i + dot above */
            strbuf_add_str(out, "i\xCC\x87");
            continue;
        }
        size_t lo = 0, hi = n_unicode_lower;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (cp > unicode_lower[mid].last)
                lo = mid + 1;
            else
                hi = mid;
        }
        const struct unicode_case_range *r = &unicode_lower[lo];
        if (lo < n_unicode_lower && cp >= r->first && (cp - r->first) % r->step == 0)
            cp = (uint32_t)((int64_t)cp + r->offset);
        strbuf_add_utf8(out, cp);
    }
}

/* --- normal forms -------------------------------------------------------------------------- */

struct cp_vec {
    int32_t *data;
    size_t len, cap;
};

static bool cp_vec_reserve(struct cp_vec *v, size_t extra)
{
    if (v->cap - v->len >= extra) return true;
    size_t cap = v->cap ? v->cap : 256;
    while (cap - v->len < extra) {
        if (cap > SIZE_MAX / 16) return false;
        cap *= 2;
    }
    int32_t *data = realloc(v->data, cap * sizeof(*data));
    if (!data) return false;
    v->data = data;
    v->cap = cap;
    return true;
}

static int combining_class(int32_t cp)
{
    return cp < 0x300 ? 0 : utf8proc_get_property(cp)->combining_class;
}

struct mark {
    int32_t cp, class;
    size_t at; /* keeps the sort stable */
};

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->class != y->class) return x->class - y->class;
    return x->at < y->at ? -1 : 1;
}

/* Canonical order of one run of marks.  utf8proc's own is quadratic in the run's length. */
static bool sort_marks(int32_t *cps, size_t n)
{
    if (n < 2) return true;
    struct mark small[32], *marks = n <= 32 ? small : malloc(n * sizeof(*marks));
    if (!marks) return false;
    for (size_t i = 0; i < n; i++) marks[i] = (struct mark){cps[i], combining_class(cps[i]), i};
    qsort(marks, n, sizeof(*marks), compare_marks);
    for (size_t i = 0; i < n; i++) cps[i] = marks[i].cp;
    if (marks != small) free(marks);
    return true;
}

/* Orders and composes what stands in v, appends it to out, empties v. */
static void flush_segment(struct cp_vec *v, bool compose, struct strbuf *out)
{
    for (size_t i = 0; i < v->len;) {
        size_t end = i;
        while (end < v->len && combining_class(v->data[end]) != 0) end++;
        if (!sort_marks(v->data + i, end - i)) out->failed = true;
        i = end + 1;
    }
    utf8proc_ssize_t n = (utf8proc_ssize_t)v->len;
    if (compose) n = utf8proc_normalize_utf32(v->data, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++) strbuf_add_utf8(out, (uint32_t)v->data[i]);
    v->len = 0;
}

/* Nothing below U+0300 changes under NFC; nothing in ASCII changes at all. */
static bool is_normal_already(enum unicode_form form, const char *s, size_t len)
{
    uint8_t limit = form == UNICODE_NFC ? 0xCC : 0x80; /* 0xCC 0x80 is U+0300 */
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)s[i];
        if (c >= limit && (c & 0xC0) != 0x80) return false;
    }
    return true;
}

void unicode_normalize(enum unicode_form form, const char *s, size_t len, struct strbuf *out)
{
    if (is_normal_already(form, s, len)) {
        strbuf_add(out, s, len);
        return;
    }
    bool compose = form == UNICODE_NFC || form == UNICODE_NFKC;
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (form == UNICODE_NFKC || form == UNICODE_NFKD) options |= UTF8PROC_COMPAT;
    struct cp_vec v = {0};
    for (const char *end = s + len; s < end;) {
        uint32_t cp = unicode_next(&s);
        if (cp >= 0x300 && in_ranges(unicode_inert, n_unicode_inert, cp)) {
            flush_segment(&v, compose, out);
            strbuf_add_utf8(out, cp);
            continue;
        }
        if (!cp_vec_reserve(&v, 32)) { /* the longest decomposition, U+FDFA's, has 18 */
            out->failed = true;
            break;
        }
        int boundary = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char((int32_t)cp, v.data + v.len, 32,
                                                     (utf8proc_option_t)options, &boundary);
        v.len += n > 0 && n <= 32 ? (size_t)n : 0;
    }
    flush_segment(&v, compose, out);
    free(v.data);
}
