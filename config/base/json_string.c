#include "config/base/json_string.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static enum status wrong(size_t at, const char *what, struct error *err)
{
    return error_set(err, STATUS_INVALID, "not a JSON string: %s at byte %zu", what, at);
}

/* Four hexadecimal digits at `at`; -1 when they are not. */
static int32_t hex4(struct str s, size_t at)
{
    int32_t v = 0;

    if (at > s.len || s.len - at < 4) return -1;
    for (size_t i = at; i < at + 4; i++) {
        char c = s.data[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* A \u escape whose backslash is at `at`; returns the bytes it takes, 0 for a bad one. */
static size_t unicode_escape(struct str s, size_t at, struct strbuf *out, const char **what)
{
    int32_t high = hex4(s, at + 2), low = -1;

    *what = high < 0 ? "\\u without four hexadecimal digits" : "lone surrogate";
    if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF)) return 0;
    if (high < 0xD800 || high > 0xDBFF) {
        strbuf_add_utf8(out, (uint32_t)high);
        return 6;
    }
    if (s.len - at >= 12 && memcmp(s.data + at + 6, "\\u", 2) == 0) low = hex4(s, at + 8);
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    strbuf_add_utf8(out, 0x10000 + (((uint32_t)high - 0xD800) << 10) + ((uint32_t)low - 0xDC00));
    return 12;
}

static size_t escape(struct str s, size_t at, struct strbuf *out, const char **what)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = at + 1 < s.len ? s.data[at + 1] : '\0';
    const char *known = c ? strchr(letters, c) : NULL;

    if (c == 'u') return unicode_escape(s, at, out, what);
    *what = "unknown escape";
    if (!known) return 0;
    strbuf_add_char(out, meanings[known - letters]);
    return 2;
}

/* Bytes from `at` that stand for themselves; *what when a bad one ends them. */
static size_t plain_run(struct str s, size_t at, const char **what)
{
    size_t end = at;

    while (end < s.len) {
        unsigned char c = (unsigned char)s.data[end];
        uint32_t cp;
        if (c == '"' || c == '\\') break;
        if (c >= 0x20 && c < 0x80) {
            end++;
            continue;
        }
        int n = c < 0x20 ? 0 : utf8_decode(s.data + end, s.len - end, &cp);
        if (n == 0) {
            *what = c < 0x20 ? "bare control character" : "invalid UTF-8";
            break;
        }
        end += (size_t)n;
    }
    return end - at;
}

enum status json_string_decode(const char *text, size_t len, struct strbuf *out, struct error *err)
{
    struct str s = {text, len};
    size_t at = 0;

    while (at < s.len && is_space(s.data[at])) at++;
    while (s.len > at && is_space(s.data[s.len - 1])) s.len--;
    if (at == s.len || s.data[at] != '"') return wrong(at, "no opening quote", err);
    for (at++; at < s.len && s.data[at] != '"';) {
        const char *what = NULL;
        size_t n = plain_run(s, at, &what);
        strbuf_add(out, s.data + at, n);
        at += n;
        if (!what && at < s.len && s.data[at] == '\\') {
            n = escape(s, at, out, &what);
            if (n > 0) what = NULL;
            at += n;
        }
        if (what) return wrong(at, what, err);
    }
    if (at >= s.len) return wrong(at, "no closing quote", err);
    if (at + 1 != s.len) return wrong(at + 1, "more text after the string", err);
    if (out->failed) return error_set(err, STATUS_NO_MEMORY, "no memory for the text");
    return STATUS_OK;
}
