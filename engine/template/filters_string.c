/* filters_string.c - filters on text.  Most work on str(x), keeping Markup. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

static bool change_case(struct render *r, struct value v, enum text_case how, struct value *out)
{
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    text_case(&b, (struct str){s->data, s->len}, how);
    bool ok = render_charge(r, CHARGE_SLOW * s->len) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = s->markup;
    return ok;
}

static bool filter_upper(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    return change_case(r, v, CASE_UPPER, out);
}

static bool filter_lower(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    return change_case(r, v, CASE_LOWER, out);
}

static bool filter_capitalize(struct render *r, struct value v, const struct args *a,
                              struct value *out)
{
    (void)a;
    return change_case(r, v, CASE_CAPITALIZE, out);
}

/* Words begin behind spaces, '-' and opening brackets; unlike str.title, not behind quotes. */
static void add_title_word(struct strbuf *b, struct str word)
{
    uint32_t cp;
    size_t n = word.len ? text_next(word.data, word.len, &cp) : 0;
    text_case(b, (struct str){word.data, n}, CASE_UPPER);
    text_case(b, (struct str){word.data + n, word.len - n}, CASE_LOWER);
}

static bool filter_title(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    size_t word = 0; /* where the word begins */
    for (size_t i = 0; i <= s->len;) {
        uint32_t cp = ' ';
        size_t n = i < s->len ? text_next(s->data + i, s->len - i, &cp) : 1;
        if (text_is_space(cp) || (cp < 128 && cp && strchr("-({[<", (int)cp))) {
            add_title_word(&b, (struct str){s->data + word, i - word});
            if (i < s->len) strbuf_add(&b, s->data + i, n);
            word = i + n;
        }
        i += n;
    }
    bool ok = render_charge(r, CHARGE_SLOW * s->len) && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

static bool filter_trim(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct vstr *s;
    const struct vstr *chars = NULL;
    if (!value_to_str(r, v, &s)) return false;
    bool given = a->pos[0].type != VALUE_MISSING && a->pos[0].type != VALUE_NONE;
    if (given && !arg_str(r, a->pos[0], "chars", &chars)) return false;
    return text_strip_charged(r, s, chars, true, true, out);
}

static bool filter_replace(struct render *r, struct value v, const struct args *a,
                           struct value *out)
{
    struct vstr *s, *from, *to;
    int64_t count = -1;
    if (!value_to_str(r, v, &s) || !value_to_str(r, a->pos[0], &from) ||
        !value_to_str(r, a->pos[1], &to))
        return false;
    if (a->pos[2].type != VALUE_NONE && !arg_int(r, a->pos[2], -1, &count)) return false;
    return text_replace(r, s, from, to, count, false, out);
}

static bool filter_center(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct vstr *s;
    int64_t width;
    return value_to_str(r, v, &s) && arg_int(r, a->pos[0], 80, &width) &&
           text_pad(r, s, width, '^', NULL, out);
}

static bool filter_string(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    *out = value_from_str(s);
    return true;
}

static bool filter_safe(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    struct vstr *s;
    return value_to_str(r, v, &s) && value_str_view(r, s->data, s->len, true, out);
}

static bool filter_escape(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    return value_escape(r, v, out);
}

static bool filter_forceescape(struct render *r, struct value v, const struct args *a,
                               struct value *out)
{
    (void)a;
    struct vstr *s;
    struct value plain;
    return value_to_str(r, v, &s) && value_str_view(r, s->data, s->len, false, &plain) &&
           value_escape(r, plain, out);
}

static bool filter_format(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct vstr *s;
    struct value arg;
    if (a->n_pos && a->n_kw)
        return render_fail(r, "format() takes positional or keyword arguments, not both");
    if (!value_to_str(r, v, &s)) return false;
    if (a->n_kw == 0)
        return value_tuple(r, a->pos, a->n_pos, &arg) && format_percent(r, s, arg, out);
    struct vdict *d = vdict_new(r);
    if (!d) return false;
    for (size_t i = 0; i < a->n_kw; i++)
        if (!vdict_set(r, d, value_from_str((struct vstr *)a->kw[i].name), a->kw[i].val))
            return false;
    return format_percent(r, s, VALUE_OF(VALUE_DICT, dict, d), out);
}

/* One line of `indent`: the lines of the text joined by newlines, those behind the first (or all,
 * with `first`) led by `pad`; blank ones only with `blank`. */
static void indent_lines(struct strbuf *b, const struct vstr *s, struct str pad, bool first,
                         bool blank)
{
    size_t at = 0;
    if (first) strbuf_add(b, pad.data, pad.len);
    for (size_t number = 0; !b->failed; number++) {
        size_t end_len;
        size_t len = text_line(s->data + at, s->len - at, &end_len);
        if (number > 0) strbuf_add_char(b, '\n');
        if (number > 0 && (blank || len > 0)) strbuf_add(b, pad.data, pad.len);
        strbuf_add(b, s->data + at, len);
        at += len + end_len;
        if (end_len == 0) break; /* the text ends; a last line end leaves an empty line */
    }
}

static bool filter_indent(struct render *r, struct value v, const struct args *a, struct value *out)
{
    const struct vstr *s;
    struct value pad;
    int64_t width = 4;
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (!arg_str(r, v, "the subject of indent", &s)) return false;
    if (a->pos[0].type == VALUE_STR) {
        pad = a->pos[0];
    } else {
        static const struct vstr space = {.data = " ", .len = 1, .n_chars = 1};
        if (!arg_int(r, a->pos[0], 4, &width) ||
            !binary_op(r, BINARY_MUL, value_from_str((struct vstr *)&space), value_int(width),
                       &pad))
            return false;
    }
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    indent_lines(&b, s, (struct str){pad.str->data, pad.str->len}, arg_bool(a->pos[1], false),
                 arg_bool(a->pos[2], false));
    bool ok = render_charge(r, CHARGE_SLOW * s->len) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = s->markup;
    return ok;
}

static bool filter_truncate(struct render *r, struct value v, const struct args *a,
                            struct value *out)
{
    static const struct vstr dots = {.data = "...", .len = 3, .n_chars = 3};
    const struct vstr *s, *end = &dots;
    int64_t length, leeway = 5;
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (!arg_int(r, a->pos[0], 255, &length)) return false;
    if (a->pos[2].type != VALUE_MISSING && !arg_str(r, a->pos[2], "end", &end)) return false;
    if (a->pos[3].type != VALUE_NONE && !arg_int(r, a->pos[3], 5, &leeway)) return false;
    if (length < (int64_t)end->n_chars || leeway < 0)
        return render_fail(r, "truncate: the length is below that of the end");
    int64_t has = value_len(v);
    if (has >= 0 && has - leeway <= length) { /* of any type */
        *out = v;
        return true;
    }
    if (!arg_str(r, v, "the subject of truncate", &s)) return false;
    size_t cut = text_offset(s, (size_t)length - end->n_chars);
    if (!arg_bool(a->pos[1], false)) {
        const char *space = memrchr(s->data, ' ', cut);
        if (space) cut = (size_t)(space - s->data);
    }
    struct value head;
    return text_same_kind(r, s, s->data, cut, &head) &&
           add_values(r, head, value_from_str((struct vstr *)end), out);
}

static bool filter_wordcount(struct render *r, struct value v, const struct args *a,
                             struct value *out)
{
    (void)a;
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    int64_t n = 0;
    bool in_word = false;
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        i += text_next(s->data + i, s->len - i, &cp);
        bool word = cp == '_' || text_is_alnum(cp);
        n += word && !in_word;
        in_word = word;
    }
    *out = value_int(n);
    return render_charge(r, CHARGE_SLOW * s->len);
}

/* --- urlencode -------------------------------------------------------------------------------------- */

static bool quote_url(struct render *r, struct strbuf *b, struct value v, bool in_query)
{
    static const char hex[] = "0123456789ABCDEF";
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    for (size_t i = 0; i < s->len; i++) {
        unsigned char c = (unsigned char)s->data[i];
        bool plain = (c < 128 && text_is_alnum(c)) || (c && strchr("_.-~", c));
        if (plain || (c == '/' && !in_query))
            strbuf_add_char(b, (char)c);
        else if (c == ' ' && in_query)
            strbuf_add_char(b, '+');
        else
            strbuf_add(b, (const char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
    return render_charge(r, CHARGE_SLOW * s->len);
}

static bool quote_pairs(struct render *r, struct strbuf *b, struct value v)
{
    struct vview view;
    struct vlist *items, *pair;
    if (v.type == VALUE_DICT) {
        view = (struct vview){v.dict, VIEW_ITEMS};
        v = VALUE_OF(VALUE_VIEW, view, &view);
    }
    if (!iter_collect(r, v, &items)) return false;
    for (size_t i = 0; i < items->n; i++) {
        if (!iter_collect(r, items->items[i], &pair)) return false;
        if (pair->n != 2) return render_fail(r, "urlencode needs pairs");
        if (i > 0) strbuf_add_char(b, '&');
        if (!quote_url(r, b, pair->items[0], true)) return false;
        strbuf_add_char(b, '=');
        if (!quote_url(r, b, pair->items[1], true)) return false;
    }
    return true;
}

static bool filter_urlencode(struct render *r, struct value v, const struct args *a,
                             struct value *out)
{
    (void)a;
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    bool scalar = v.type == VALUE_STR || v.type == VALUE_NONE || value_is_number(v);
    bool ok =
        (scalar ? quote_url(r, &b, v, false) : quote_pairs(r, &b, v)) && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

static bool filter_xmlattr(struct render *r, struct value v, const struct args *a,
                           struct value *out)
{
    if (v.type != VALUE_DICT) return render_fail(r, "xmlattr needs a mapping");
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    bool ok = true;
    for (size_t i = 0; i < v.dict->n && ok; i++) {
        struct value key = v.dict->entries[i].key, val = v.dict->entries[i].val;
        if (val.type == VALUE_NONE || val.type == VALUE_UNDEFINED) continue;
        if (key.type != VALUE_STR || strcspn(key.str->data, " \t\n\r\f\v/>=") < key.str->len) {
            ok = render_fail(r, "invalid character in an attribute's name");
            break;
        }
        ok = value_escape(r, key, &key) && value_escape(r, val, &val);
        if (!ok) break;
        if (b.len > 0 || arg_bool(a->pos[0], true)) strbuf_add_char(&b, ' ');
        strbuf_add(&b, key.str->data, key.str->len);
        strbuf_add_str(&b, "=\"");
        strbuf_add(&b, val.str->data, val.str->len);
        strbuf_add_char(&b, '"');
    }
    ok = ok && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

const struct method_def string_filters[] = {
    {"upper", "", 0, filter_upper},
    {"lower", "", 0, filter_lower},
    {"capitalize", "", 0, filter_capitalize},
    {"title", "", 0, filter_title},
    {"trim", "chars", 0, filter_trim},
    {"replace", "old new count", 2, filter_replace},
    {"center", "width", 0, filter_center},
    {"string", "", 0, filter_string},
    {"safe", "", 0, filter_safe},
    {"e", "", 0, filter_escape},
    {"escape", "", 0, filter_escape},
    {"forceescape", "", 0, filter_forceescape},
    {"format", NULL, 0, filter_format},
    {"indent", "width first blank", 0, filter_indent},
    {"truncate", "length killwords end leeway", 0, filter_truncate},
    {"wordcount", "", 0, filter_wordcount},
    {"urlencode", "", 0, filter_urlencode},
    {"xmlattr", "autospace", 0, filter_xmlattr},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson},
};
const size_t n_string_filters = ARRAY_LEN(string_filters);
