/* print.c - str() and repr() as Python gives them. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest digits that read back as the same double (David Gay's rule, as Python's repr), in
 * plain notation when the exponent is in [-4, 16). */
void float_repr(double f, char out[40])
{
    if (isnan(f) || isinf(f)) {
        snprintf(out, 40, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    char sci[32];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(sci, sizeof(sci), "%.*e", precision, f);
        if (strtod(sci, NULL) == f) break;
    }
    char *mark = strchr(sci, 'e');
    int exponent = (int)strtol(mark + 1, NULL, 10);
    char digits[20] = "";
    size_t n = 0;
    for (const char *p = sci; p < mark; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0') n--;
    char *o = out;
    if (signbit(f)) *o++ = '-';
    if (exponent < -4 || exponent >= 16) {
        *o++ = digits[0];
        if (n > 1) {
            *o++ = '.';
            memcpy(o, digits + 1, n - 1);
            o += n - 1;
        }
        snprintf(o, (size_t)(out + 40 - o), "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int point = exponent + 1; /* digits before the point */
    if (point <= 0) {
        *o++ = '0';
        *o++ = '.';
        for (int i = point; i < 0; i++) *o++ = '0';
        memcpy(o, digits, n);
        o[n] = '\0';
        return;
    }
    for (int i = 0; i < point; i++) *o++ = (char)((size_t)i < n ? digits[i] : '0');
    *o++ = '.';
    if ((size_t)point >= n) {
        *o++ = '0';
    } else {
        memcpy(o, digits + point, n - (size_t)point);
        o += n - (size_t)point;
    }
    *o = '\0';
}

static void write_escaped(struct strbuf *b, uint32_t cp)
{
    if (cp == '\n' || cp == '\r' || cp == '\t')
        strbuf_add_str(b, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    else
        strbuf_addf(b, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
}

static void repr_str(struct strbuf *b, const struct vstr *s)
{
    bool single = s->len && memchr(s->data, '\'', s->len);
    bool dbl = s->len && memchr(s->data, '"', s->len);
    char quote = single && !dbl ? '"' : '\'';
    if (s->markup) strbuf_add_str(b, "Markup(");
    strbuf_add_char(b, quote);
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        size_t n = text_next(s->data + i, s->len - i, &cp);
        if (cp == (unsigned char)quote || cp == '\\') {
            strbuf_add_char(b, '\\');
            strbuf_add_char(b, (char)cp);
        } else if (text_is_printable(cp)) {
            strbuf_add(b, s->data + i, n);
        } else {
            write_escaped(b, cp);
        }
        i += n;
    }
    strbuf_add_char(b, quote);
    if (s->markup) strbuf_add_char(b, ')');
}

static bool repr_items(struct render *r, struct strbuf *b, const struct vlist *l, char open,
                       char close)
{
    strbuf_add_char(b, open);
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) strbuf_add_str(b, ", ");
        if (!value_write_repr(r, b, l->items[i])) return false;
    }
    if (open == '(' && l->n == 1) strbuf_add_char(b, ',');
    strbuf_add_char(b, close);
    return true;
}

static bool repr_dict(struct render *r, struct strbuf *b, const struct vdict *d)
{
    strbuf_add_char(b, '{');
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0) strbuf_add_str(b, ", ");
        if (!value_write_repr(r, b, d->entries[i].key)) return false;
        strbuf_add_str(b, ": ");
        if (!value_write_repr(r, b, d->entries[i].val)) return false;
    }
    strbuf_add_char(b, '}');
    return true;
}

static bool repr_view(struct render *r, struct strbuf *b, struct value v)
{
    struct vlist *items;
    if (!iter_collect(r, v, &items)) return false;
    strbuf_add_str(b, value_type_name(v));
    strbuf_add_char(b, '(');
    if (!repr_items(r, b, items, '[', ']')) return false;
    strbuf_add_char(b, ')');
    return true;
}

static void repr_range(struct strbuf *b, const struct vrange *g)
{
    strbuf_addf(b, "range(%lld, %lld", (long long)g->start, (long long)g->stop);
    if (g->step != 1) strbuf_addf(b, ", %lld", (long long)g->step);
    strbuf_add_char(b, ')');
}

static bool repr_macro(struct strbuf *b, const struct vmacro *m)
{
    strbuf_add_str(b, "<Macro ");
    if (m->node->name)
        repr_str(b, m->node->name);
    else
        strbuf_add_str(b, "anonymous");
    strbuf_add_char(b, '>');
    return true;
}

static bool repr_loop(struct render *r, struct strbuf *b, struct vloop *loop)
{
    int64_t length;
    if (!loop_length(r, loop, &length)) return false;
    strbuf_addf(b, "<LoopContext %lld/%lld>", (long long)loop->index0 + 1, (long long)length);
    return true;
}

static bool repr_inner(struct render *r, struct strbuf *b, struct value v)
{
    char number[40];
    switch (v.type) {
    case VALUE_MISSING:
    case VALUE_UNDEFINED:
        strbuf_add_str(b, "Undefined");
        return true;
    case VALUE_NONE:
        strbuf_add_str(b, "None");
        return true;
    case VALUE_BOOL:
        strbuf_add_str(b, v.b ? "True" : "False");
        return true;
    case VALUE_INT:
        strbuf_add_i64(b, v.i);
        return true;
    case VALUE_FLOAT:
        float_repr(v.f, number);
        strbuf_add_str(b, number);
        return true;
    case VALUE_STR:
        repr_str(b, v.str);
        return render_charge(r, v.str->len);
    case VALUE_LIST:
        return repr_items(r, b, v.list, '[', ']');
    case VALUE_TUPLE:
        return repr_items(r, b, v.list, '(', ')');
    case VALUE_DICT:
        return repr_dict(r, b, v.dict);
    case VALUE_VIEW:
        return repr_view(r, b, v);
    case VALUE_RANGE:
        repr_range(b, v.range);
        return true;
    case VALUE_NAMESPACE:
        strbuf_add_str(b, "<Namespace ");
        if (!repr_dict(r, b, v.dict)) return false;
        strbuf_add_char(b, '>');
        return true;
    case VALUE_MACRO:
        return repr_macro(b, v.macro);
    case VALUE_SELF:
        strbuf_add_str(b, "<TemplateReference None>");
        return true;
    case VALUE_LOOP:
        return repr_loop(r, b, v.loop);
    default:
        strbuf_addf(b, "<%s object>", value_type_name(v));
        return true;
    }
}

bool value_write_repr(struct render *r, struct strbuf *b, struct value v)
{
    if (b->failed) return render_fail_status(r, STATUS_TOO_LARGE, "the output is too long");
    if (!render_enter(r)) return false;
    bool ok = repr_inner(r, b, v);
    render_leave(r);
    return ok;
}

bool value_write(struct render *r, struct strbuf *b, struct value v)
{
    if (b->failed) return render_fail_status(r, STATUS_TOO_LARGE, "the output is too long");
    if (v.type == VALUE_STR) {
        strbuf_add(b, v.str->data, v.str->len);
        return render_charge(r, v.str->len);
    }
    if (v.type == VALUE_UNDEFINED || v.type == VALUE_MISSING) return true;
    return value_write_repr(r, b, v);
}

bool value_to_str(struct render *r, struct value v, struct vstr **out)
{
    if (v.type != VALUE_STR) {
        struct strbuf b;
        strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
        bool ok = value_write(r, &b, v) && value_take(r, &b, &v);
        strbuf_free(&b);
        if (!ok) return false;
    }
    *out = v.str;
    return true;
}

bool value_repr(struct render *r, struct value v, struct value *out)
{
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    bool ok = value_write_repr(r, &b, v) && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

void html_escape(struct strbuf *b, const char *s, size_t len)
{
    static const char chars[] = "&<>'\"";
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    for (size_t i = 0; i < len; i++) {
        const char *p = s[i] ? strchr(chars, s[i]) : NULL;
        if (p)
            strbuf_add_str(b, entities[p - chars]);
        else
            strbuf_add_char(b, s[i]);
    }
}

bool value_escape(struct render *r, struct value v, struct value *out)
{
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    if (s->markup) {
        *out = value_from_str(s);
        return true;
    }
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    html_escape(&b, s->data, s->len);
    bool ok = render_charge(r, s->len) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = true;
    return ok;
}
