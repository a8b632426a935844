/* filters.c - the table of filters and what several of them share: attribute paths, sorting, case
 * folding. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <string.h>

const struct method_def *filter_find(struct str name)
{
    static const struct {
        const struct method_def *defs;
        const size_t *n;
    } groups[] = {{string_filters, &n_string_filters},
                  {sequence_filters, &n_sequence_filters},
                  {number_filters, &n_number_filters},
                  {select_filters, &n_select_filters}};
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (size_t i = 0; i < *groups[g].n; i++)
            if (str_eq(name, str_from(groups[g].defs[i].name))) return &groups[g].defs[i];
    return NULL;
}

bool filter_is_refused(struct str name)
{
    static const char *const refused[] = {"pprint", "random", "striptags", "urlize", "wordwrap"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (str_eq(name, str_from(refused[i]))) return true;
    return false;
}

bool value_fold_case(struct render *r, struct value v, struct value *out)
{
    *out = v;
    if (v.type != VALUE_STR) return true;
    struct strbuf b;
    strbuf_init(&b, 0);
    text_case(&b, (struct str){v.str->data, v.str->len}, CASE_LOWER);
    bool ok = render_charge(r, CHARGE_SLOW * v.str->len) && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

/* --- attribute paths ------------------------------------------------------------------------------ */

static bool add_part(struct render *r, struct attr_path *p, const char *s, size_t len)
{
    struct value v;
    int64_t index;
    bool digits = len > 0;
    for (size_t i = 0; i < len; i++) digits = digits && s[i] >= '0' && s[i] <= '9';
    if (!value_str(r, s, len, &v)) return false;
    if (digits && parse_int_text((struct str){s, len}, 10, &index)) v = value_int(index);
    p->parts[p->n++] = v;
    return true;
}

bool attr_path_parse(struct render *r, struct value attribute, struct attr_path *out)
{
    out->n = 0;
    if (attribute.type == VALUE_MISSING || attribute.type == VALUE_NONE) return true;
    size_t dots = 0;
    if (attribute.type == VALUE_STR)
        for (size_t i = 0; i < attribute.str->len; i++) dots += attribute.str->data[i] == '.';
    out->parts = render_alloc(r, dots + 1, sizeof(*out->parts));
    if (!out->parts) return false;
    if (attribute.type != VALUE_STR) {
        out->parts[out->n++] = attribute;
        return true;
    }
    const char *s = attribute.str->data, *end = s + attribute.str->len;
    for (;;) {
        const char *dot = memchr(s, '.', (size_t)(end - s));
        if (!add_part(r, out, s, (size_t)((dot ? dot : end) - s))) return false;
        if (!dot) return true;
        s = dot + 1;
    }
}

bool attr_path_get(struct render *r, const struct attr_path *p, struct value item,
                   struct value *out)
{
    *out = item;
    for (size_t i = 0; i < p->n; i++) {
        if (!get_item(r, *out, p->parts[i], out)) return false;
        bool has_fallback = p->fallback.type != VALUE_MISSING && p->fallback.type != VALUE_NONE;
        if (has_fallback && out->type == VALUE_UNDEFINED) *out = p->fallback;
    }
    return !p->fold_case || value_fold_case(r, *out, out);
}

/* --- sorting -------------------------------------------------------------------------------------- */

struct sort_item {
    struct value key, val;
};

static bool merge(struct render *r, struct sort_item *from, struct sort_item *to, size_t low,
                  size_t mid, size_t high, bool reverse)
{
    size_t a = low, b = mid;
    for (size_t i = low; i < high; i++) {
        bool take_b = a >= mid;
        if (a < mid && b < high) {
            /* stable both ways: equal items keep their order */
            struct value x = reverse ? from[a].key : from[b].key;
            struct value y = reverse ? from[b].key : from[a].key;
            if (x.type == VALUE_UNDEFINED || y.type == VALUE_UNDEFINED)
                return undef_fail(r, x.type == VALUE_UNDEFINED ? x : y);
            if (!value_compare(r, COMPARE_LT, x, y, &take_b)) return false;
        }
        to[i] = take_b ? from[b++] : from[a++];
    }
    return true;
}

bool sort_values(struct render *r, struct vlist *items, struct vlist *keys, bool reverse)
{
    size_t n = items->n;
    struct sort_item *from = render_alloc(r, n + 1, sizeof(*from));
    struct sort_item *to = render_alloc(r, n + 1, sizeof(*to));
    if (!from || !to) return false;
    for (size_t i = 0; i < n; i++) from[i] = (struct sort_item){keys->items[i], items->items[i]};
    for (size_t width = 1; width < n; width *= 2) {
        if (!render_charge(r, n * sizeof(*from))) return false;
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t mid = low + width < n ? low + width : n;
            size_t high = low + 2 * width < n ? low + 2 * width : n;
            if (!merge(r, from, to, low, mid, high, reverse)) return false;
        }
        struct sort_item *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < n; i++) {
        keys->items[i] = from[i].key;
        items->items[i] = from[i].val;
    }
    return true;
}
