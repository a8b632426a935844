/* numtext.c - int() and float() of text, and Python's number formats ('{:>8.2f}', '%05d'). */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Copies text without its underscores, which must stand between digits; false otherwise. */
static bool without_underscores(struct str s, char *out, size_t out_size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '_') {
            bool between = i > 0 && i + 1 < s.len && s.data[i - 1] != '_' &&
                           strchr("0123456789abcdefABCDEF", s.data[i - 1]) &&
                           strchr("0123456789abcdefABCDEF", s.data[i + 1]);
            if (!between) return false;
            continue;
        }
        if (n + 1 >= out_size || s.data[i] == '\0') return false;
        out[n++] = s.data[i];
    }
    out[n] = '\0';
    return n > 0;
}

bool parse_float_text(struct str s, double *out)
{
    char buf[512];
    s = text_strip(s, NULL, true, true);
    if (!without_underscores(s, buf, sizeof(buf))) return false;
    const char *p = buf + (buf[0] == '-' || buf[0] == '+');
    bool is_word =
        strcasecmp(p, "inf") == 0 || strcasecmp(p, "infinity") == 0 || strcasecmp(p, "nan") == 0;
    if (!is_word && strspn(p, "0123456789.eE+-") != strlen(p)) return false; /* no hex, no nan(x) */
    char *end;
    *out = strtod(buf, &end);
    return *end == '\0' && end != buf;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
    return 99;
}

static int base_of_prefix(const char *p)
{
    if (p[0] != '0') return 0;
    switch (p[1] | 0x20) {
    case 'x':
        return 16;
    case 'o':
        return 8;
    case 'b':
        return 2;
    default:
        return 0;
    }
}

bool parse_int_text(struct str s, int base, int64_t *out)
{
    char buf[512];
    s = text_strip(s, NULL, true, true);
    if (!without_underscores(s, buf, sizeof(buf))) return false;
    bool negative = buf[0] == '-';
    const char *p = buf + (buf[0] == '-' || buf[0] == '+');
    int prefix = base_of_prefix(p);
    if (base == 0) {
        base = prefix ? prefix : 10;
        if (!prefix && p[0] == '0' && strspn(p, "0") != strlen(p)) return false;
    }
    if (prefix && prefix == base) p += 2;
    if (base < 2 || base > 36 || *p == '\0') return false;
    int64_t v = 0;
    for (; *p; p++) {
        int d = digit_value(*p);
        if (d >= base || __builtin_mul_overflow(v, base, &v) ||
            __builtin_sub_overflow(v, d, &v)) /* counts downward, so that the minimum fits */
            return false;
    }
    if (!negative && v == INT64_MIN) return false;
    *out = negative ? v : -v;
    return true;
}

/* --- formats ------------------------------------------------------------------------------------ */

bool format_pad(struct render *r, const struct format_spec *spec, const char *s, size_t len,
                struct strbuf *b)
{
    int64_t n_chars = (int64_t)text_count(s, len);
    int64_t n = spec->width > n_chars ? spec->width - n_chars : 0;
    if (n > LIMIT_TEMPLATE_OUTPUT)
        return render_fail_status(r, STATUS_TOO_LARGE, "a string grew too long");
    char align = (char)(spec->align ? spec->align : '<');
    int64_t left = align == '<' ? 0 : align == '^' ? n / 2 : n;
    const char *fill = spec->fill[0] ? spec->fill : " ";
    text_fill(b, fill, strlen(fill), left);
    strbuf_add(b, s, len);
    text_fill(b, fill, strlen(fill), n - left);
    return render_charge(r, (size_t)n + len);
}

/* Digits of the whole part with separators, zero-filled to `min_width` characters. */
static void add_grouped(struct strbuf *b, const char *digits, size_t n, char group, size_t every,
                        int64_t min_width)
{
    size_t seps = group && n > 0 ? (n - 1) / every : 0;
    size_t zeros = 0;
    while ((int64_t)(n + zeros + seps) < min_width) {
        zeros++;
        seps = group ? (n + zeros - 1) / every : 0;
    }
    /* a separator cannot lead */
    for (size_t i = 0; i < n + zeros; i++) {
        size_t rest = n + zeros - i;
        if (group && i > 0 && rest % every == 0) strbuf_add_char(b, group);
        strbuf_add_char(b, (char)(i < zeros ? '0' : digits[i - zeros]));
    }
}

struct number_text {
    bool negative;
    const char *prefix;
    struct str whole; /* digits before the point, or a word */
    const char *tail; /* fraction, exponent, % */
};

/* Sign, prefix and digits, then padding. */
static bool emit_number(struct render *r, const struct format_spec *spec,
                        const struct number_text *t, struct strbuf *b)
{
    const char sign[2] = {(char)(t->negative ? '-' : spec->sign == '-' ? '\0' : spec->sign), '\0'};
    bool inside = spec->align == '=' || (spec->zero && !spec->align);
    bool zero_fill = inside && (spec->zero || strcmp(spec->fill, "0") == 0);
    int64_t head_len = (int64_t)(strlen(sign) + strlen(t->prefix));
    if (spec->width > LIMIT_TEMPLATE_OUTPUT)
        return render_fail_status(r, STATUS_TOO_LARGE, "a string grew too long");
    bool by_four = spec->type && strchr("xXob", spec->type);
    int64_t digits_width = zero_fill ? spec->width - head_len - (int64_t)strlen(t->tail) : 0;
    struct strbuf all, body;
    strbuf_init(&all, LIMIT_TEMPLATE_OUTPUT);
    strbuf_init(&body, LIMIT_TEMPLATE_OUTPUT);
    add_grouped(&body, t->whole.data, t->whole.len, spec->group, by_four ? 4 : 3, digits_width);
    strbuf_add_str(&body, t->tail);
    strbuf_add_str(&all, sign);
    strbuf_add_str(&all, t->prefix);
    int64_t pad = inside && !zero_fill ? spec->width - head_len - (int64_t)body.len : 0;
    const char *fill = spec->fill[0] ? spec->fill : " ";
    text_fill(&all, fill, strlen(fill), pad);
    if (body.len) strbuf_add(&all, body.data, body.len);
    struct format_spec outer = *spec;
    if (!outer.align || inside) outer.align = '>';
    bool ok = format_pad(r, &outer, all.data ? all.data : "", all.len, b);
    strbuf_free(&body);
    strbuf_free(&all);
    return ok;
}

static bool format_int(struct render *r, const struct format_spec *spec, int64_t v,
                       struct strbuf *b)
{
    char digits[72];
    size_t at = sizeof(digits);
    char type = (char)(spec->type ? spec->type : 'd');
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[--at] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
        u /= base;
    } while (u);
    const char *prefix = "";
    if (spec->alt)
        prefix = type == 'x'   ? "0x"
                 : type == 'X' ? "0X"
                 : type == 'o' ? "0o"
                 : base == 2   ? "0b"
                               : "";
    const struct number_text t = {v < 0, prefix, {digits + at, sizeof(digits) - at}, ""};
    return emit_number(r, spec, &t, b);
}

static bool format_float(struct render *r, const struct format_spec *spec, double v,
                         struct strbuf *b)
{
    char type = spec->type, text[512], conversion[] = "%#.*f";
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    if (precision > 100) return render_fail(r, "a precision above 100 is not supported");
    bool percent = type == '%';
    if (percent) v *= 100;
    double magnitude = fabs(v);
    if (!isfinite(v)) {
        snprintf(text, sizeof(text), "%s", isnan(v) ? "nan" : "inf");
        if (type == 'F' || type == 'E' || type == 'G')
            for (char *p = text; *p; p++) *p = (char)(*p - 32);
    } else if (type == 0 && spec->precision < 0) {
        float_repr(magnitude, text);
    } else {
        bool general = type == 0 || type == 'g' || type == 'G' || type == 'n';
        conversion[4] = (char)(percent ? 'f' : type == 0 || type == 'n' ? 'g' : type);
        if (general && precision == 0) precision = 1;
        if (!spec->alt) memmove(conversion + 1, conversion + 2, sizeof(conversion) - 2);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), conversion, precision, magnitude);
#pragma GCC diagnostic pop
    }
    size_t n_whole = isfinite(v) ? strspn(text, "0123456789") : 0;
    char tail[sizeof(text) + 2];
    /* without a type, a float keeps a digit behind the point */
    bool bare = isfinite(v) && type == 0 && !strpbrk(text, ".e");
    snprintf(tail, sizeof(tail), "%s%s", text + n_whole, percent ? "%" : bare ? ".0" : "");
    struct format_spec plain = *spec;
    if (!isfinite(v)) plain.zero = false;
    const struct number_text t = {signbit(v) && !isnan(v), "", {text, n_whole}, tail};
    return emit_number(r, &plain, &t, b);
}

bool format_number(struct render *r, const struct format_spec *spec, struct value v,
                   struct strbuf *b)
{
    bool float_type = spec->type && strchr("eEfFgG%", spec->type);
    if (v.type == VALUE_FLOAT) {
        if (spec->type && !float_type && spec->type != 'n')
            return render_fail(r, "unknown format code '%c' for a float", spec->type);
        return format_float(r, spec, v.f, b);
    }
    if (float_type) return format_float(r, spec, (double)value_as_int(v), b);
    if (spec->precision >= 0)
        return render_fail(r, "a precision is not allowed in the format of an integer");
    if (spec->type == 'c') {
        int64_t cp = value_as_int(v);
        if (cp < 0 || cp > 0x10ffff) return render_fail(r, "%%c needs a character's number");
        char one[4];
        return format_pad(r, spec, one, (size_t)utf8_encode((uint32_t)cp, one), b);
    }
    if (spec->type && !strchr("dxXobn", spec->type))
        return render_fail(r, "unknown format code '%c' for an integer", spec->type);
    return format_int(r, spec, value_as_int(v), b);
}
