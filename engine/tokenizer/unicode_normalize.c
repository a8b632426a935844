#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

/* Most text is in its normal form already.  It is copied in runs; a segment goes through utf8proc
 * from the last character that nothing can change (a starter that does not compose backwards) to
 * the next such character. */

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

static bool is_inert(uint32_t cp)
{
    size_t lo = 0, hi = n_unicode_inert;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > unicode_inert[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n_unicode_inert && cp >= unicode_inert[lo].first;
}

/* The class of a character that utf8proc gave out: the reference's tables know them all. */
static int combining_class(int32_t cp)
{
    return (int)unicode_look_up(&unicode_tables.ccc, (uint32_t)cp);
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
    if (compose && n > 1)
        n = utf8proc_normalize_utf32(v->data, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++) strbuf_add_utf8(out, (uint32_t)v->data[i]);
    v->len = 0;
}

static void normalize_segment(enum unicode_form form, const char *s, const char *end,
                              struct cp_vec *v, struct strbuf *out)
{
    bool compose = form == UNICODE_NFC || form == UNICODE_NFKC;
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (form == UNICODE_NFKC || form == UNICODE_NFKD) options |= UTF8PROC_COMPAT;
    while (s < end) {
        uint32_t cp = unicode_next(&s);
        if (cp >= 0x300 && is_inert(cp)) {
            flush_segment(v, compose, out);
            strbuf_add_utf8(out, cp);
            continue;
        }
        if (!cp_vec_reserve(v, 32)) { /* the longest decomposition, U+FDFA's, has 18 */
            out->failed = true;
            return;
        }
        int boundary = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char((int32_t)cp, v->data + v->len, 32,
                                                     (utf8proc_option_t)options, &boundary);
        v->len += n > 0 && n <= 32 ? (size_t)n : 0;
    }
    flush_segment(v, compose, out);
}

/* Nothing happens to the character, and nothing that stands before it can reach across it. */
static bool is_boundary(enum unicode_form form, uint32_t cp)
{
    return !(unicode_look_up(&unicode_tables.flags, cp) & UNICODE_UNSTABLE << form) &&
           unicode_look_up(&unicode_tables.ccc, cp) == 0;
}

size_t unicode_normal_prefix(enum unicode_form form, const char *s, size_t len)
{
    unicode_ready();
    const char *p = s, *end = s + len, *boundary = s;
    unsigned last_ccc = 0;
    while (p < end) {
        if ((uint8_t)*p < 0x80) {
            p = unicode_ascii_end(p, end);
            boundary = p - 1;
            last_ccc = 0;
            continue;
        }
        const char *from = p;
        uint32_t cp = unicode_next(&p);
        if (unicode_look_up(&unicode_tables.flags, cp) & UNICODE_UNSTABLE << form)
            return (size_t)(boundary - s);
        unsigned ccc = unicode_look_up(&unicode_tables.ccc, cp);
        if (ccc == 0) boundary = from;
        if (ccc != 0 && ccc < last_ccc) return (size_t)(boundary - s);
        last_ccc = ccc;
    }
    return len;
}

void unicode_normalize(enum unicode_form form, const char *s, size_t len, struct strbuf *out)
{
    struct cp_vec v = {0};
    for (const char *end = s + len; s < end;) {
        size_t prefix = unicode_normal_prefix(form, s, (size_t)(end - s));
        strbuf_add(out, s, prefix);
        s += prefix;
        if (s == end) break;
        const char *stop = s;
        (void)unicode_next(&stop);
        while (stop < end) {
            const char *next = stop;
            if (is_boundary(form, unicode_next(&next))) break;
            stop = next;
        }
        normalize_segment(form, s, stop, &v, out);
        s = stop;
    }
    free(v.data);
}
