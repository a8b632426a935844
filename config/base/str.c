#include "config/base/str.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRBUF_MIN 64

struct str str_from(const char *cstr)
{
    return cstr ? (struct str){cstr, strlen(cstr)} : (struct str){"", 0};
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

void strbuf_init(struct strbuf *b, size_t limit_size)
{
    *b = (struct strbuf){.limit_size = limit_size};
}

void strbuf_free(struct strbuf *b)
{
    free(b->data);
    strbuf_init(b, b->limit_size);
}

void strbuf_clear(struct strbuf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data) b->data[0] = '\0';
}

static bool strbuf_grow(struct strbuf *b, size_t extra)
{
    if (extra > SIZE_MAX / 4 - b->len) goto fail;
    size_t need = b->len + extra;
    if (b->limit_size && need > b->limit_size) goto fail;
    size_t cap = b->cap ? b->cap : STRBUF_MIN;
    while (cap <= need) cap *= 2; /* one byte more than need: the NUL */
    char *data = realloc(b->data, cap);
    if (!data) goto fail;
    b->data = data;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

/* Room for `extra` bytes and the NUL. */
static inline bool strbuf_room(struct strbuf *b, size_t extra)
{
    if (b->failed) return false;
    bool fits = extra < b->cap - b->len && (!b->limit_size || b->len + extra <= b->limit_size);
    return fits || strbuf_grow(b, extra);
}

void strbuf_add(struct strbuf *b, const void *data, size_t len)
{
    if (!strbuf_room(b, len)) return;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void strbuf_add_str(struct strbuf *b, const char *cstr)
{
    strbuf_add(b, cstr, strlen(cstr));
}

void strbuf_add_char(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_add_u64(struct strbuf *b, uint64_t v)
{
    char digits[20]; /* 2^64 has 20 */
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    strbuf_add(b, digits + at, sizeof(digits) - at);
}

void strbuf_add_i64(struct strbuf *b, int64_t v)
{
    if (v < 0) strbuf_add_char(b, '-');
    strbuf_add_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t space = b->data ? b->cap - b->len : 0;
    int n = b->failed ? -1 : vsnprintf(b->data ? b->data + b->len : NULL, space, fmt, ap);
    if (n < 0) {
        b->failed = true;
    } else {
        bool whole = (size_t)n < space;
        if (!strbuf_room(b, (size_t)n)) {
            if (b->data) b->data[b->len] = '\0'; /* undo a partial write */
        } else {
            if (!whole) vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
    va_end(ap);
}

void strbuf_add_utf8(struct strbuf *b, uint32_t codepoint)
{
    char out[4];
    strbuf_add(b, out, (size_t)utf8_encode(codepoint, out));
}

static inline bool json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void add_escape(struct strbuf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    /* The short escape of each control character, 'u' where there is none. */
    static const char shorts[] = "uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";
    char esc = c < 0x20 ? shorts[c] : (char)c;
    char text[6] = {'\\', esc, '0', '0', hex[c >> 4], hex[c & 15]};
    strbuf_add(b, text, esc == 'u' ? 6 : 2);
}

/* Bytes of the ill-formed sequence at s that make one U+FFFD (Unicode 15, section 3.9, "maximal
 * subpart"). */
static size_t utf8_bad_len(const char *s, size_t len)
{
    unsigned char lead = (unsigned char)s[0];
    if (lead < 0xC2 || lead > 0xF4) return 1;
    size_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned char lo = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char hi = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    size_t n = 1;
    while (n < len && n < need) {
        unsigned char c = (unsigned char)s[n];
        if (c < lo || c > hi) break;
        lo = 0x80;
        hi = 0xBF;
        n++;
    }
    return n;
}

void strbuf_add_json(struct strbuf *b, const char *s, size_t len)
{
    if (len > SIZE_MAX / 8 || !strbuf_room(b, len + 2)) {
        b->failed = true;
        return;
    }
    strbuf_add_char(b, '"');
    size_t start = 0, i = 0;
    while (i < len) {
        unsigned char c = (unsigned char)s[i];
        if (json_plain(c)) {
            i++;
            continue;
        }
        uint32_t cp;
        int n = c >= 0x80 ? utf8_decode(s + i, len - i, &cp) : 0;
        if (n > 0) {
            i += (size_t)n;
            continue;
        }
        strbuf_add(b, s + start, i - start);
        if (c >= 0x80) {
            strbuf_add_str(b, "\xEF\xBF\xBD");
            i += utf8_bad_len(s + i, len - i);
        } else {
            add_escape(b, c);
            i++;
        }
        start = i;
    }
    strbuf_add(b, s + start, len - start);
    strbuf_add_char(b, '"');
}

char *strbuf_take(struct strbuf *b, size_t *len)
{
    if (!b->data && !b->failed) strbuf_add(b, "", 0);
    char *data = b->failed ? NULL : b->data;
    if (b->failed) free(b->data);
    if (len) *len = data ? b->len : 0;
    strbuf_init(b, b->limit_size);
    return data;
}

/* RFC 3629: no overlong forms, no surrogates, at most U+10FFFF. */
int utf8_decode(const char *s, size_t len, uint32_t *cp)
{
    if (len == 0) return 0;
    unsigned char lead = (unsigned char)s[0];
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    size_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0xC2 || lead > 0xF4 || utf8_bad_len(s, len) != need) return 0;
    uint32_t v = lead & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++) v = v << 6 | ((unsigned char)s[i] & 0x3Fu);
    *cp = v;
    return (int)need;
}

int utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_valid(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint32_t cp;
        int n = utf8_decode(s + i, len - i, &cp);
        if (n == 0) return false;
        i += (size_t)n;
    }
    return true;
}

size_t utf8_complete_len(const char *s, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)s[len - back];
        if (c >= 0x80 && c < 0xC0) continue; /* a continuation byte: the lead is further back */
        if (c < 0xC2 || c > 0xF4) return len;
        size_t need = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        bool open = back < need && utf8_bad_len(s + len - back, back) == back;
        return open ? len - back : len;
    }
    return len;
}

bool parse_i64(const char *s, int64_t *out)
{
    if (!s || !(s[*s == '-'] >= '0' && s[*s == '-'] <= '9')) return false;
    errno = 0;
    char *end;
    long long v = strtoll(s, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

bool parse_u64(const char *s, uint64_t *out)
{
    if (!s || !(*s >= '0' && *s <= '9')) return false;
    errno = 0;
    char *end;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

bool parse_f64(const char *s, double *out)
{
    /* No hexadecimal, no "inf", no "nan", no leading space. */
    if (!s || !*s || s[strspn(s, "0123456789+-.eE")] || *s == '+') return false;
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end || !isfinite(v)) return false;
    *out = v;
    return true;
}

int str_distance(const char *a, const char *b, int max)
{
    enum { LEN_MAX = 64 }; /* names of options and operators; longer ones are never near */
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > LEN_MAX || b_len > LEN_MAX) return max + 1;
    int row[LEN_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) row[j] = (int)j;
    for (size_t i = 1; i <= a_len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_len] > max ? max + 1 : row[b_len];
}
