/* value.c - making, comparing and measuring values. */

#include "engine/template/value.h"

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <math.h>
#include <string.h>

#define SPARE_MIN 128 /* strings shorter than this get no spare room when concatenated */

/* --- strings ----------------------------------------------------------------------------------- */

static bool wrap_str(struct render *r, struct vstr s, struct value *out)
{
    struct vstr *p = render_alloc(r, 1, sizeof(*p));
    if (!p) return false;
    *p = s;
    p->keeps_hash = true;
    *out = value_from_str(p);
    return true;
}

bool value_str_view(struct render *r, const char *data, size_t len, bool markup, struct value *out)
{
    if (!render_charge(r, len)) return false;
    return wrap_str(
        r,
        (struct vstr){.data = data, .len = len, .n_chars = text_count(data, len), .markup = markup},
        out);
}

bool value_str(struct render *r, const char *data, size_t len, struct value *out)
{
    char *copy = render_alloc(r, len + 1, 1);
    if (!copy) return false;
    if (len) memcpy(copy, data, len);
    return value_str_view(r, copy, len, false, out);
}

bool value_cstr(struct render *r, const char *s, struct value *out)
{
    return value_str(r, s, strlen(s), out);
}

bool value_take(struct render *r, struct strbuf *b, struct value *out)
{
    bool ok = b->failed ? render_fail_status(r, STATUS_TOO_LARGE, "a string grew too long")
                        : value_str(r, b->data ? b->data : "", b->len, out);
    strbuf_free(b);
    return ok;
}

/* Appends in place when `a` is the last user of its buffer. */
bool value_concat(struct render *r, const struct vstr *a, const struct vstr *b, bool markup,
                  struct value *out)
{
    size_t len = a->len + b->len;
    struct vstr s = {.data = a->data,
                     .len = len,
                     .n_chars = a->n_chars + b->n_chars,
                     .markup = markup,
                     .buf = a->buf};
    struct vbuf *buf = a->buf;
    if (!render_charge(r, b->len)) return false;
    bool at_end = buf && a->data + a->len == buf->data + buf->used;
    if (!at_end || buf->cap - buf->used < b->len) {
        size_t cap = len < SPARE_MIN ? len : len * 2;
        buf = render_alloc(r, 1, sizeof(*buf));
        char *data = buf ? render_alloc(r, cap + 1, 1) : NULL;
        if (!data || !render_charge(r, a->len)) return false;
        memcpy(data, a->data, a->len);
        *buf = (struct vbuf){data, a->len, cap};
        s.data = data;
        s.buf = buf;
    }
    memcpy(buf->data + buf->used, b->data, b->len);
    buf->used += b->len;
    return wrap_str(r, s, out);
}

bool value_undef(struct render *r, struct vundef u, struct value *out)
{
    struct vundef *p = render_alloc(r, 1, sizeof(*p));
    if (!p) return false;
    *p = u;
    *out = VALUE_OF(VALUE_UNDEFINED, undef, p);
    return true;
}

/* --- lists ------------------------------------------------------------------------------------- */

struct vlist *vlist_new(struct render *r, size_t cap)
{
    struct vlist *l = render_alloc(r, 1, sizeof(*l));
    if (!l || cap == 0) return l;
    l->items = render_alloc(r, cap, sizeof(*l->items));
    if (!l->items) return NULL;
    l->cap = cap;
    return l;
}

bool vlist_push(struct render *r, struct vlist *l, struct value v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        struct value *grown = render_alloc(r, cap, sizeof(*grown));
        if (!grown || !render_charge(r, l->n * sizeof(*grown))) return false;
        if (l->n) memcpy(grown, l->items, l->n * sizeof(*grown));
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->n++] = v;
    return true;
}

bool value_tuple(struct render *r, const struct value *items, size_t n, struct value *out)
{
    struct vlist *l = vlist_new(r, n);
    if (!l) return false;
    for (size_t i = 0; i < n; i++) l->items[l->n++] = items[i];
    *out = VALUE_OF(VALUE_TUPLE, list, l);
    return true;
}

bool value_pair(struct render *r, struct value a, struct value b, struct value *out)
{
    const struct value items[] = {a, b};
    return value_tuple(r, items, 2, out);
}

/* --- asking ------------------------------------------------------------------------------------ */

const char *value_type_name(struct value v)
{
    static const char *const view_names[] = {"dict_keys", "dict_values", "dict_items"};
    static const char *const names[] = {
        [VALUE_MISSING] = "Undefined",
        [VALUE_UNDEFINED] = "Undefined",
        [VALUE_NONE] = "NoneType",
        [VALUE_BOOL] = "bool",
        [VALUE_INT] = "int",
        [VALUE_FLOAT] = "float",
        [VALUE_STR] = "str",
        [VALUE_LIST] = "list",
        [VALUE_TUPLE] = "tuple",
        [VALUE_DICT] = "dict",
        [VALUE_VIEW] = "dict_view",
        [VALUE_RANGE] = "range",
        [VALUE_ITER] = "generator",
        [VALUE_NAMESPACE] = "Namespace",
        [VALUE_MACRO] = "Macro",
        [VALUE_FUNC] = "builtin_function_or_method",
        [VALUE_LOOP] = "LoopContext",
        [VALUE_CYCLER] = "Cycler",
        [VALUE_JOINER] = "Joiner",
        [VALUE_SELF] = "TemplateReference",
        [VALUE_BLOCK] = "BlockReference",
    };
    if (v.type == VALUE_VIEW) return view_names[v.view->kind];
    if (v.type == VALUE_ITER) return v.iter->type_name;
    if (v.type == VALUE_STR && v.str->markup) return "Markup";
    return names[v.type];
}

bool value_truth(struct value v)
{
    switch (v.type) {
    case VALUE_MISSING:
    case VALUE_UNDEFINED:
    case VALUE_NONE:
        return false;
    case VALUE_BOOL:
        return v.b;
    case VALUE_INT:
        return v.i != 0;
    case VALUE_FLOAT:
        return v.f != 0;
    default: {
        int64_t len = value_len(v);
        return len != 0; /* what has no length is true */
    }
    }
}

int64_t value_len(struct value v)
{
    switch (v.type) {
    case VALUE_UNDEFINED:
        return 0;
    case VALUE_STR:
        return (int64_t)v.str->n_chars;
    case VALUE_LIST:
    case VALUE_TUPLE:
        return (int64_t)v.list->n;
    case VALUE_DICT:
        return (int64_t)v.dict->n;
    case VALUE_VIEW:
        return (int64_t)v.view->dict->n;
    case VALUE_RANGE:
        return (int64_t)v.range->n;
    default:
        return -1;
    }
}

bool value_is_same(struct value a, struct value b)
{
    if (a.type != b.type) return false;
    switch (a.type) {
    case VALUE_MISSING:
    case VALUE_NONE:
        return true;
    case VALUE_BOOL:
        return a.b == b.b;
    case VALUE_INT:
        return a.i == b.i;
    case VALUE_FLOAT:
        return a.f == b.f;
    default:
        return a.str == b.str; /* every other member is a pointer of the same size */
    }
}

/* <0, 0, >0; 2 when a NaN takes part.  long double holds every int64 exactly. */
static int compare_numbers(struct value a, struct value b)
{
    long double x = a.type == VALUE_FLOAT ? (long double)a.f : (long double)value_as_int(a);
    long double y = b.type == VALUE_FLOAT ? (long double)b.f : (long double)value_as_int(b);
    if (isnan(x) || isnan(y)) return 2;
    return (x > y) - (x < y);
}

static int compare_strings(const struct vstr *a, const struct vstr *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int c = n ? memcmp(a->data, b->data, n) : 0; /* UTF-8 sorts as its code points do */
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

static bool equal_lists(struct render *r, const struct vlist *a, const struct vlist *b, bool *out)
{
    *out = false;
    if (a->n != b->n) return true;
    if (!render_charge(r, a->n * sizeof(struct value))) return false;
    for (size_t i = 0; i < a->n; i++) {
        bool same;
        if (!value_eq(r, a->items[i], b->items[i], &same)) return false;
        if (!same) return true;
    }
    *out = true;
    return true;
}

static bool equal_dicts(struct render *r, const struct vdict *a, const struct vdict *b, bool *out)
{
    *out = false;
    if (a->n != b->n) return true;
    if (!render_charge(r, a->n * sizeof(struct ventry))) return false;
    for (size_t i = 0; i < a->n; i++) {
        struct value other = value_missing();
        bool same;
        if (!vdict_get(r, b, a->entries[i].key, &other)) return false;
        if (other.type == VALUE_MISSING) return true;
        if (!value_eq(r, a->entries[i].val, other, &same)) return false;
        if (!same) return true;
    }
    *out = true;
    return true;
}

static bool equal_ranges(const struct vrange *a, const struct vrange *b)
{
    if (a->n != b->n) return false;
    return a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step));
}

/* keys() and items() compare as sets, values() by identity. */
static bool equal_views(struct render *r, const struct vview *a, const struct vview *b, bool *out)
{
    *out = a == b;
    if (a->kind != b->kind || a->kind == VIEW_VALUES) return true;
    if (a->kind == VIEW_ITEMS) return equal_dicts(r, a->dict, b->dict, out);
    *out = a->dict->n == b->dict->n;
    if (!render_charge(r, a->dict->n * sizeof(struct ventry))) return false;
    for (size_t i = 0; i < a->dict->n && *out; i++) {
        struct value found = value_missing();
        if (!vdict_get(r, b->dict, a->dict->entries[i].key, &found)) return false;
        *out = found.type != VALUE_MISSING;
    }
    return true;
}

static bool equal_same_type(struct render *r, struct value a, struct value b, bool *out)
{
    switch (a.type) {
    case VALUE_UNDEFINED:
        *out = true;
        return true;
    case VALUE_STR:
        *out = a.str->len == b.str->len && compare_strings(a.str, b.str) == 0;
        return render_charge(r, a.str->len);
    case VALUE_LIST:
    case VALUE_TUPLE:
        return equal_lists(r, a.list, b.list, out);
    case VALUE_DICT:
        return equal_dicts(r, a.dict, b.dict, out);
    case VALUE_VIEW:
        return equal_views(r, a.view, b.view, out);
    case VALUE_RANGE:
        *out = equal_ranges(a.range, b.range);
        return true;
    default:
        *out = value_is_same(a, b);
        return true;
    }
}

bool value_eq(struct render *r, struct value a, struct value b, bool *out)
{
    if (value_is_number(a) && value_is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return true;
    }
    *out = false;
    if (a.type != b.type) return true;
    if (!render_enter(r)) return false;
    bool ok = equal_same_type(r, a, b, out);
    render_leave(r);
    return ok;
}

static bool fail_compare(struct render *r, enum compare_op op, struct value a, struct value b)
{
    static const char *const names[] = {"<", "<=", ">", ">="};
    return render_fail(r, "'%s' is not possible between %s and %s", names[op], value_type_name(a),
                       value_type_name(b));
}

static bool order_holds(enum compare_op op, int c)
{
    switch (op) {
    case COMPARE_LT:
        return c < 0;
    case COMPARE_LE:
        return c <= 0;
    case COMPARE_GT:
        return c > 0;
    default:
        return c >= 0;
    }
}

/* By the first elements that differ, else by length. */
static bool compare_lists(struct render *r, enum compare_op op, const struct vlist *a,
                          const struct vlist *b, bool *out)
{
    size_t n = a->n < b->n ? a->n : b->n;
    if (!render_charge(r, n * sizeof(struct value))) return false;
    for (size_t i = 0; i < n; i++) {
        bool same;
        if (!value_eq(r, a->items[i], b->items[i], &same)) return false;
        if (!same) return value_compare(r, op, a->items[i], b->items[i], out);
    }
    *out = order_holds(op, (a->n > b->n) - (a->n < b->n));
    return true;
}

bool value_compare(struct render *r, enum compare_op op, struct value a, struct value b, bool *out)
{
    if (value_is_number(a) && value_is_number(b)) {
        int c = compare_numbers(a, b);
        *out = c == 2 ? false : order_holds(op, c < 0 ? -1 : c > 0 ? 1 : 0);
        return true;
    }
    if (a.type == VALUE_STR && b.type == VALUE_STR) {
        int c = compare_strings(a.str, b.str);
        *out = order_holds(op, c < 0 ? -1 : c > 0 ? 1 : 0);
        return render_charge(r, a.str->len);
    }
    if (a.type == b.type && (a.type == VALUE_LIST || a.type == VALUE_TUPLE)) {
        if (!render_enter(r)) return false;
        bool ok = compare_lists(r, op, a.list, b.list, out);
        render_leave(r);
        return ok;
    }
    return fail_compare(r, op, a, b);
}

static bool range_contains(const struct vrange *g, struct value item)
{
    if (!value_is_number(item)) return false;
    if (item.type == VALUE_FLOAT && item.f != floor(item.f)) return false;
    if (item.type == VALUE_FLOAT && !(fabs(item.f) < 9e18)) return false;
    int64_t v = item.type == VALUE_FLOAT ? (int64_t)item.f : value_as_int(item);
    int64_t last =
        (int64_t)((uint64_t)g->start + (uint64_t)(g->n ? g->n - 1 : 0) * (uint64_t)g->step);
    int64_t low = g->step > 0 ? g->start : last, high = g->step > 0 ? last : g->start;
    if (g->n == 0 || v < low || v > high) return false;
    uint64_t distance =
        g->step > 0 ? (uint64_t)v - (uint64_t)g->start : (uint64_t)g->start - (uint64_t)v;
    uint64_t step = g->step > 0 ? (uint64_t)g->step : 0 - (uint64_t)g->step;
    return distance % step == 0;
}

static bool iter_contains(struct render *r, struct value container, struct value item, bool *out)
{
    struct viter *it;
    struct value v;
    if (!iter_open(r, container, &it)) return false;
    int got;
    *out = false;
    while (!*out && (got = iter_next(r, it, &v)) != 0)
        if (got < 0 || !value_eq(r, v, item, out)) return false;
    return true;
}

bool value_contains(struct render *r, struct value container, struct value item, bool *out)
{
    *out = false;
    switch (container.type) {
    case VALUE_STR:
        if (item.type != VALUE_STR)
            return render_fail(r, "'in <string>' needs a string on the left, not %s",
                               value_type_name(item));
        if (!text_charge_search(r, container.str->len, item.str->len, false)) return false;
        *out = text_find(container.str->data, container.str->len, item.str->data, item.str->len) !=
               SIZE_MAX;
        return true;
    case VALUE_VIEW:
        if (container.view->kind != VIEW_KEYS) return iter_contains(r, container, item, out);
        container.dict = container.view->dict;
        /* fall through */
    case VALUE_DICT: {
        struct value found = value_missing();
        if (!vdict_get(r, container.dict, item, &found)) return false;
        *out = found.type != VALUE_MISSING;
        return true;
    }
    case VALUE_RANGE:
        *out = range_contains(container.range, item);
        return true;
    default:
        return iter_contains(r, container, item, out);
    }
}
