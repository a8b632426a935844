/* json_out.c - the tojson filter: Python's json.dumps with ensure_ascii=False, as transformers
 * sets it. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <math.h>
#include <string.h>

struct json_writer {
    struct strbuf *b;
    bool ensure_ascii, sort_keys;
    const struct vstr *indent; /* NULL = all on one line */
    struct str item_sep, key_sep;
    int level;
};

static void write_ascii(struct strbuf *b, uint32_t cp)
{
    if (cp < 0x10000) {
        strbuf_addf(b, "\\u%04x", (unsigned)cp);
        return;
    }
    cp -= 0x10000;
    strbuf_addf(b, "\\u%04x\\u%04x", (unsigned)(0xd800 + (cp >> 10)),
                (unsigned)(0xdc00 + (cp & 0x3ff)));
}

static void write_string(struct json_writer *w, const struct vstr *s)
{
    static const char plain[] = "\"\"\\\\\nn\rr\tt\ff\bb"; /* pairs: character, letter */
    strbuf_add_char(w->b, '"');
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        size_t n = text_next(s->data + i, s->len - i, &cp);
        const char *pair = NULL;
        for (size_t k = 0; cp < 128 && k + 1 < sizeof(plain) - 1 && !pair; k += 2)
            if (plain[k] == (char)cp) pair = plain + k;
        if (pair) {
            strbuf_add_char(w->b, '\\');
            strbuf_add_char(w->b, pair[1]);
        } else if (cp < 32 || (w->ensure_ascii && cp > 126)) {
            write_ascii(w->b, cp);
        } else {
            strbuf_add(w->b, s->data + i, n);
        }
        i += n;
    }
    strbuf_add_char(w->b, '"');
}

static void write_float(struct strbuf *b, double f)
{
    char text[40];
    float_repr(f, text);
    strbuf_add_str(b, isnan(f) ? "NaN" : isinf(f) ? (f > 0 ? "Infinity" : "-Infinity") : text);
}

static void new_line(struct json_writer *w)
{
    if (!w->indent) return;
    strbuf_add_char(w->b, '\n');
    for (int i = 0; i < w->level; i++) strbuf_add(w->b, w->indent->data, w->indent->len);
}

static bool write_value(struct render *r, struct json_writer *w, struct value v);

static bool write_array(struct render *r, struct json_writer *w, const struct vlist *l)
{
    strbuf_add_char(w->b, '[');
    w->level++;
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) strbuf_add(w->b, w->item_sep.data, w->item_sep.len);
        new_line(w);
        if (!write_value(r, w, l->items[i])) return false;
    }
    w->level--;
    if (l->n > 0) new_line(w);
    strbuf_add_char(w->b, ']');
    return true;
}

static bool write_key(struct render *r, struct json_writer *w, struct value key)
{
    char text[40];
    switch (key.type) {
    case VALUE_STR:
        write_string(w, key.str);
        return true;
    case VALUE_NONE:
        strbuf_add_str(w->b, "\"null\"");
        return true;
    case VALUE_BOOL:
        strbuf_add_str(w->b, key.b ? "\"true\"" : "\"false\"");
        return true;
    case VALUE_INT:
        strbuf_addf(w->b, "\"%lld\"", (long long)key.i);
        return true;
    case VALUE_FLOAT:
        float_repr(key.f, text);
        strbuf_addf(w->b, "\"%s\"", isnan(key.f) ? "NaN" : text);
        return true;
    default:
        return render_fail(r, "keys must be str, int, float, bool or None, not %s",
                           value_type_name(key));
    }
}

static bool write_object(struct render *r, struct json_writer *w, const struct vdict *d)
{
    struct vlist *keys = vlist_new(r, d->n), *vals = vlist_new(r, d->n);
    if (!keys || !vals) return false;
    for (size_t i = 0; i < d->n; i++) {
        keys->items[keys->n++] = d->entries[i].key;
        vals->items[vals->n++] = d->entries[i].val;
    }
    if (w->sort_keys && !sort_values(r, vals, keys, false)) return false;
    strbuf_add_char(w->b, '{');
    w->level++;
    for (size_t i = 0; i < keys->n; i++) {
        if (i > 0) strbuf_add(w->b, w->item_sep.data, w->item_sep.len);
        new_line(w);
        if (!write_key(r, w, keys->items[i])) return false;
        strbuf_add(w->b, w->key_sep.data, w->key_sep.len);
        if (!write_value(r, w, vals->items[i])) return false;
    }
    w->level--;
    if (keys->n > 0) new_line(w);
    strbuf_add_char(w->b, '}');
    return true;
}

static bool write_inner(struct render *r, struct json_writer *w, struct value v)
{
    switch (v.type) {
    case VALUE_NONE:
        strbuf_add_str(w->b, "null");
        return true;
    case VALUE_BOOL:
        strbuf_add_str(w->b, v.b ? "true" : "false");
        return true;
    case VALUE_INT:
        strbuf_add_i64(w->b, v.i);
        return true;
    case VALUE_FLOAT:
        write_float(w->b, v.f);
        return true;
    case VALUE_STR:
        write_string(w, v.str);
        return render_charge(r, v.str->len);
    case VALUE_LIST:
    case VALUE_TUPLE:
        return write_array(r, w, v.list);
    case VALUE_DICT:
        return write_object(r, w, v.dict);
    default:
        return render_fail(r, "object of type %s is not JSON serializable", value_type_name(v));
    }
}

static bool write_value(struct render *r, struct json_writer *w, struct value v)
{
    if (w->b->failed) return render_fail_status(r, STATUS_TOO_LARGE, "the JSON text is too long");
    if (!render_enter(r)) return false;
    bool ok = write_inner(r, w, v);
    render_leave(r);
    return ok;
}

static bool parse_indent(struct render *r, struct value v, struct json_writer *w)
{
    static const struct vstr space = {.data = " ", .len = 1, .n_chars = 1};
    struct value text = v;
    if (v.type == VALUE_MISSING || v.type == VALUE_NONE) return true;
    if (v.type != VALUE_STR &&
        !binary_op(r, BINARY_MUL, value_from_str((struct vstr *)&space), v, &text))
        return false;
    w->indent = text.str;
    w->item_sep = STR(",");
    return true;
}

static bool parse_separators(struct render *r, struct value v, struct json_writer *w)
{
    struct vlist *l;
    if (v.type == VALUE_MISSING || v.type == VALUE_NONE) return true;
    if (!iter_collect(r, v, &l)) return false;
    if (l->n != 2 || l->items[0].type != VALUE_STR || l->items[1].type != VALUE_STR)
        return render_fail(r, "separators must be two strings");
    w->item_sep = (struct str){l->items[0].str->data, l->items[0].str->len};
    w->key_sep = (struct str){l->items[1].str->data, l->items[1].str->len};
    return true;
}

bool filter_tojson(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    struct json_writer w = {.b = &b,
                            .ensure_ascii = arg_bool(a->pos[0], false),
                            .sort_keys = arg_bool(a->pos[3], false),
                            .item_sep = STR(", "),
                            .key_sep = STR(": ")};
    bool ok = parse_indent(r, a->pos[1], &w) && parse_separators(r, a->pos[2], &w) &&
              write_value(r, &w, v) && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}
