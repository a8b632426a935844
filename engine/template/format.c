/* format.c - str.format() and the % operator of strings. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

/* --- '{}'.format() ------------------------------------------------------------------------------ */

struct braces {
    const struct args *args;
    size_t next_auto;
    bool used_auto, used_manual;
    int depth; /* fields inside format specifications */
    bool markup;
};

static bool write_field(struct render *r, struct braces *f, struct str field, struct strbuf *b);

/* The text up to a single brace goes out; fields are expanded. */
static bool expand(struct render *r, struct braces *f, struct str s, struct strbuf *b)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c != '{' && c != '}') {
            strbuf_add_char(b, c);
            continue;
        }
        if (i + 1 < s.len && s.data[i + 1] == c) {
            strbuf_add_char(b, c);
            i++;
            continue;
        }
        if (c == '}') return render_fail(r, "single '}' encountered in format string");
        size_t end = i + 1;
        for (int open = 1; end < s.len; end++) {
            if (s.data[end] == '{') open++;
            if (s.data[end] == '}' && --open == 0) break;
        }
        if (end >= s.len) return render_fail(r, "single '{' encountered in format string");
        if (!write_field(r, f, (struct str){s.data + i + 1, end - i - 1}, b)) return false;
        i = end;
    }
    return render_charge(r, s.len);
}

static bool is_decimal(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9') return false;
    return s.len > 0;
}

static bool field_base(struct render *r, struct braces *f, struct str name, struct value *out)
{
    int64_t index = 0;
    if (name.len == 0) {
        f->used_auto = true;
        index = (int64_t)f->next_auto++;
    } else if (is_decimal(name)) {
        f->used_manual = true;
        if (!parse_int_text(name, 10, &index)) return render_fail(r, "too many digits in a field");
    } else {
        for (size_t i = 0; i < f->args->n_kw; i++) {
            const struct vstr *k = f->args->kw[i].name;
            if (!str_eq((struct str){k->data, k->len}, name)) continue;
            *out = f->args->kw[i].val;
            return true;
        }
        return render_fail(r, "no argument for the field '%.*s'", (int)name.len, name.data);
    }
    if (f->used_auto && f->used_manual)
        return render_fail(r, "numbered and unnumbered fields cannot be mixed");
    if ((size_t)index >= f->args->n_pos) return render_fail(r, "a field has no argument");
    *out = f->args->pos[index];
    return true;
}

/* Follows .name and [key] behind the first part of a field's name. */
static bool field_value(struct render *r, struct braces *f, struct str name, struct value *out)
{
    size_t at = 0;
    while (at < name.len && name.data[at] != '.' && name.data[at] != '[') at++;
    if (!field_base(r, f, (struct str){name.data, at}, out)) return false;
    while (at < name.len) {
        bool is_attr = name.data[at] == '.';
        size_t start = ++at;
        while (at < name.len &&
               (is_attr ? name.data[at] != '.' && name.data[at] != '[' : name.data[at] != ']'))
            at++;
        struct str part = {name.data + start, at - start};
        if (part.len == 0) return render_fail(r, "empty attribute in format string");
        if (!is_attr && at++ >= name.len) return render_fail(r, "missing ']' in format string");
        if (!is_attr && at < name.len && name.data[at] != '.' && name.data[at] != '[')
            return render_fail(r, "only '.' or '[' may follow ']' in a format field");
        struct value key;
        int64_t index;
        if (!value_str(r, part.data, part.len, &key)) return false;
        if (!is_attr && is_decimal(part) && parse_int_text(part, 10, &index))
            key = value_int(index);
        bool ok = is_attr ? get_attr(r, *out, key.str, out) : get_item(r, *out, key, out);
        if (!ok) return false;
    }
    return true;
}

static int64_t spec_number(struct str *s)
{
    int64_t v = -1;
    while (s->len > 0 && s->data[0] >= '0' && s->data[0] <= '9') {
        v = (v < 0 ? 0 : v) * 10 + (s->data[0] - '0');
        if (v > INT32_MAX) v = INT32_MAX;
        s->data++;
        s->len--;
    }
    return v;
}

static bool spec_take(struct str *s, const char *set, char *out)
{
    if (s->len == 0 || s->data[0] == '\0' || !strchr(set, s->data[0])) return false;
    *out = s->data[0];
    s->data++;
    s->len--;
    return true;
}

/* [[fill]align][sign][#][0][width][,_][.precision][type] */
static bool parse_spec(struct render *r, struct str s, struct format_spec *spec)
{
    *spec = (struct format_spec){.width = -1, .precision = -1};
    uint32_t cp = 0;
    char c;
    size_t n = s.len ? text_next(s.data, s.len, &cp) : 0;
    if (n > 0 && n < s.len && s.data[n] && strchr("<>=^", s.data[n])) {
        memcpy(spec->fill, s.data, n);
        spec->align = s.data[n];
        s.data += n + 1;
        s.len -= n + 1;
    } else {
        spec_take(&s, "<>=^", &spec->align);
    }
    spec_take(&s, "+- ", &spec->sign);
    spec->alt = spec_take(&s, "#", &c);
    spec->zero = spec_take(&s, "0", &c);
    spec->width = spec_number(&s);
    spec_take(&s, ",_", &spec->group);
    if (spec_take(&s, ".", &c) && (spec->precision = spec_number(&s)) < 0)
        return render_fail(r, "format specifier missing precision");
    spec_take(&s, "bcdeEfFgGnosxX%", &spec->type);
    if (s.len > 0) return render_fail(r, "invalid format specifier");
    if (spec->zero && !spec->fill[0]) {
        spec->fill[0] = '0';
        if (!spec->align) spec->align = 0;
    }
    return true;
}

static bool write_text_field(struct render *r, struct format_spec *spec, const struct vstr *s,
                             struct strbuf *b)
{
    if ((spec->type && spec->type != 's') || spec->sign || spec->alt || spec->group ||
        spec->align == '=')
        return render_fail(r, "invalid format specifier for a string");
    size_t len = s->len;
    if (spec->precision >= 0 && (size_t)spec->precision < s->n_chars)
        len = text_offset(s, (size_t)spec->precision);
    return format_pad(r, spec, s->data, len, b);
}

static bool write_formatted(struct render *r, struct braces *f, struct value v, struct str text,
                            struct strbuf *b)
{
    struct format_spec spec = {0};
    struct vstr *s = NULL;
    if (!parse_spec(r, text, &spec)) return false;
    bool as_bool = v.type == VALUE_BOOL && text.len == 0;
    if (value_is_number(v) && !as_bool && text.len > 0) return format_number(r, &spec, v, b);
    if (text.len > 0 && v.type != VALUE_STR)
        return render_fail(r, "unsupported format string for '%s'", value_type_name(v));
    if (f->markup && v.type == VALUE_STR && v.str->markup && text.len > 0)
        return render_fail(r, "unsupported format specification for Markup");
    if (f->markup && text.len == 0 && !value_escape(r, v, &v)) return false;
    if (!value_to_str(r, v, &s)) return false;
    return text.len == 0 ? (strbuf_add(b, s->data, s->len), true)
                         : write_text_field(r, &spec, s, b);
}

/* name[!conversion][:spec] */
static bool write_field(struct render *r, struct braces *f, struct str field, struct strbuf *b)
{
    size_t name_len = 0;
    bool in_key = false;
    while (name_len < field.len &&
           (in_key || (field.data[name_len] != '!' && field.data[name_len] != ':'))) {
        if (field.data[name_len] == '[') in_key = true;
        if (field.data[name_len] == ']') in_key = false;
        if (field.data[name_len] == '{' || field.data[name_len] == '}')
            return render_fail(r, "unexpected '{' in a field name");
        name_len++;
    }
    struct value v = value_missing();
    if (!field_value(r, f, (struct str){field.data, name_len}, &v)) return false;
    struct str rest = {field.data + name_len, field.len - name_len};
    if (rest.len > 0 && rest.data[0] == '!') {
        if (rest.len < 2 || !strchr("rsa", rest.data[1]) || (rest.len > 2 && rest.data[2] != ':'))
            return render_fail(r, "unknown conversion in format string");
        if (rest.data[1] == 'a') return render_fail(r, "the conversion !a is not supported");
        struct vstr *s;
        bool ok = rest.data[1] == 'r' ? value_repr(r, v, &v) : value_to_str(r, v, &s);
        if (!ok) return false;
        if (rest.data[1] == 's') v = value_from_str(s);
        rest = (struct str){rest.data + 2, rest.len - 2};
    }
    if (rest.len > 0) rest = (struct str){rest.data + 1, rest.len - 1};
    if (rest.len == 0 || !memchr(rest.data, '{', rest.len))
        return write_formatted(r, f, v, rest, b);
    if (f->depth > 0) return render_fail(r, "format fields are nested too deeply");
    struct strbuf spec;
    strbuf_init(&spec, LIMIT_TEMPLATE_OUTPUT);
    f->depth++;
    bool ok = expand(r, f, rest, &spec) &&
              write_formatted(r, f, v, (struct str){spec.data ? spec.data : "", spec.len}, b);
    f->depth--;
    strbuf_free(&spec);
    return ok;
}

bool format_braces(struct render *r, const struct vstr *fmt, const struct args *args,
                   struct value *out)
{
    struct braces f = {.args = args, .markup = fmt->markup};
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    bool ok = expand(r, &f, (struct str){fmt->data, fmt->len}, &b) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = fmt->markup;
    return ok;
}

/* --- '%s' % x ------------------------------------------------------------------------------------ */

struct percent {
    struct value arg;
    size_t next;
    bool mapped; /* some conversion had a (key) */
    bool markup;
};

static bool percent_arg(struct render *r, struct percent *p, struct value *out)
{
    if (p->arg.type == VALUE_TUPLE) {
        if (p->next >= p->arg.list->n)
            return render_fail(r, "not enough arguments for format string");
        *out = p->arg.list->items[p->next++];
        return true;
    }
    if (p->next++ > 0) return render_fail(r, "not enough arguments for format string");
    *out = p->arg;
    return true;
}

static bool percent_key(struct render *r, struct percent *p, struct str *s, struct value *out)
{
    size_t end = 0;
    for (int open = 0; end < s->len; end++) {
        if (s->data[end] == '(') open++;
        if (s->data[end] == ')' && open-- == 0) break;
    }
    if (end >= s->len) return render_fail(r, "incomplete format key");
    if (p->arg.type != VALUE_DICT) return render_fail(r, "format requires a mapping");
    struct value *v = vdict_find_str(p->arg.dict, s->data, end);
    if (!v) return render_fail(r, "no key '%.*s' for the format", (int)end, s->data);
    *out = *v;
    p->mapped = true;
    *s = (struct str){s->data + end + 1, s->len - end - 1};
    return true;
}

/* A number, or * for the next argument. */
static bool percent_number(struct render *r, struct percent *p, struct str *s, int64_t *out)
{
    char c;
    struct value v;
    if (!spec_take(s, "*", &c)) {
        int64_t n = spec_number(s);
        if (n >= 0) *out = n;
        return true;
    }
    if (!percent_arg(r, p, &v)) return false;
    if (!value_is_int(v)) return render_fail(r, "* wants int");
    *out = value_as_int(v);
    return *out > -INT32_MAX || render_fail(r, "a width is too big");
}

static bool percent_int(struct render *r, struct format_spec *spec, struct value v,
                        struct strbuf *b)
{
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (!value_is_number(v))
        return render_fail(r, "%%%c format: a number is required, not %s", spec->type,
                           value_type_name(v));
    if (v.type == VALUE_FLOAT) {
        bool is_decimal_type = spec->type == 'd';
        if (!is_decimal_type || !(v.f > -9e18 && v.f < 9e18))
            return render_fail(r, "%%%c format: an integer is required, not float", spec->type);
        v = value_int((int64_t)v.f);
    }
    struct strbuf digits;
    char text[72];
    struct format_spec bare = {.type = spec->type, .width = -1, .precision = -1};
    strbuf_init(&digits, 0);
    int64_t i = value_as_int(v);
    bool ok = format_number(r, &bare, value_int(i), &digits);
    size_t skip = i < 0 ? 1 : 0;
    size_t n = ok && digits.len < sizeof(text) ? digits.len - skip : 0;
    if (ok) memcpy(text, digits.data + skip, n);
    strbuf_free(&digits);
    if (!ok) return false;
    if (spec->width > LIMIT_TEMPLATE_OUTPUT)
        return render_fail_status(r, STATUS_TOO_LARGE, "a string grew too long");
    if (spec->precision > 1000) return render_fail(r, "a precision above 1000 is not supported");
    struct strbuf whole;
    strbuf_init(&whole, LIMIT_TEMPLATE_OUTPUT);
    if (i < 0)
        strbuf_add_char(&whole, '-');
    else if (spec->sign == '+' || spec->sign == ' ')
        strbuf_add_char(&whole, spec->sign);
    if (spec->alt && spec->type != 'd') strbuf_addf(&whole, "0%c", spec->type);
    int64_t zeros = spec->precision - (int64_t)n;
    if (spec->zero && spec->align != '<' && spec->width - (int64_t)(whole.len + n) > zeros)
        zeros = spec->width - (int64_t)(whole.len + n);
    text_fill(&whole, "0", 1, zeros);
    strbuf_add(&whole, text, n);
    struct format_spec pad = {.align = spec->align == '<' ? '<' : '>', .width = spec->width};
    ok = format_pad(r, &pad, whole.data, whole.len, b);
    strbuf_free(&whole);
    return ok;
}

static bool percent_float(struct render *r, struct format_spec *spec, struct value v,
                          struct strbuf *b)
{
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    double f = 0;
    if (value_is_number(v))
        f = value_as_float(v);
    else
        return render_fail(r, "must be real number, not %s", value_type_name(v));
    if (spec->precision < 0) spec->precision = 6;
    if (spec->align == '<') spec->zero = false;
    if (spec->zero) memcpy(spec->fill, "0", 2);
    return format_number(r, spec, value_float(f), b);
}

static bool percent_text(struct render *r, struct percent *p, struct format_spec *spec,
                         struct value v, struct strbuf *b)
{
    struct vstr *s;
    if (spec->type == 'c') {
        if (value_is_int(v)) {
            struct format_spec one = {.type = 'c',
                                      .width = spec->width,
                                      .precision = -1,
                                      .align = spec->align == '<' ? '<' : '>'};
            return format_number(r, &one, v, b);
        }
        if (v.type != VALUE_STR || v.str->n_chars != 1)
            return render_fail(r, "%%c requires int or char");
    }
    if (spec->type == 'r' && !value_repr(r, v, &v)) return false;
    if (p->markup && !value_escape(r, v, &v)) return false;
    if (!value_to_str(r, v, &s)) return false;
    size_t len = s->len;
    if (spec->precision >= 0 && (size_t)spec->precision < s->n_chars)
        len = text_offset(s, (size_t)spec->precision);
    struct format_spec pad = {.align = spec->align == '<' ? '<' : '>', .width = spec->width};
    return format_pad(r, &pad, s->data, len, b);
}

/* One conversion behind its %; *s moves past it. */
static bool percent_one(struct render *r, struct percent *p, struct str *s, struct strbuf *b)
{
    struct format_spec spec = {.width = -1, .precision = -1};
    struct value v = value_missing();
    char c;
    if (spec_take(s, "(", &c) && !percent_key(r, p, s, &v)) return false;
    while (spec_take(s, "#0- +", &c)) {
        if (c == '#') spec.alt = true;
        if (c == '0') spec.zero = true;
        if (c == '-') spec.align = '<';
        if (c == '+' || (c == ' ' && spec.sign != '+')) spec.sign = c;
    }
    if (!percent_number(r, p, s, &spec.width)) return false;
    if (spec.width < -1) {
        spec.align = '<';
        spec.width = -spec.width;
    }
    if (spec_take(s, ".", &c)) {
        spec.precision = 0;
        if (!percent_number(r, p, s, &spec.precision)) return false;
        if (spec.precision < 0) spec.precision = 0;
    }
    spec_take(s, "hlL", &c);
    if (s->len == 0) return render_fail(r, "incomplete format");
    if (spec_take(s, "%", &c)) {
        strbuf_add_char(b, '%');
        return true;
    }
    if (!spec_take(s, "diuoxXeEfFgGcrs", &spec.type))
        return render_fail(r, "unsupported format character '%c'", s->data[0]);
    if (v.type == VALUE_MISSING && !percent_arg(r, p, &v)) return false;
    if (strchr("iu", spec.type)) spec.type = 'd';
    if (strchr("doxX", spec.type)) return percent_int(r, &spec, v, b);
    if (strchr("eEfFgG", spec.type)) return percent_float(r, &spec, v, b);
    return percent_text(r, p, &spec, v, b);
}

bool format_percent(struct render *r, const struct vstr *fmt, struct value arg, struct value *out)
{
    struct percent p = {.arg = arg, .markup = fmt->markup};
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    struct str s = {fmt->data, fmt->len};
    bool ok = render_charge(r, fmt->len);
    while (ok && s.len > 0) {
        const char *mark = memchr(s.data, '%', s.len);
        size_t plain = mark ? (size_t)(mark - s.data) : s.len;
        strbuf_add(&b, s.data, plain);
        s = (struct str){s.data + plain, s.len - plain};
        if (s.len == 0) break;
        s = (struct str){s.data + 1, s.len - 1};
        ok = percent_one(r, &p, &s, &b);
    }
    size_t n_args = arg.type == VALUE_TUPLE ? arg.list->n : 1;
    bool may_be_unused = arg.type == VALUE_DICT || arg.type == VALUE_LIST ||
                         arg.type == VALUE_RANGE || arg.type == VALUE_UNDEFINED;
    if (ok && !p.mapped && p.next < n_args && !may_be_unused)
        ok = render_fail(r, "not all arguments converted during string formatting");
    ok = ok && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = fmt->markup;
    return ok;
}
