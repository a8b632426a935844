/* filters_sequence.c - lists, dicts and iterators. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

static bool undef_hint(struct render *r, const char *hint, struct value *out)
{
    return value_undef(r, (struct vundef){.kind = UNDEF_HINT, .hint = hint}, out);
}

static bool filter_first(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    struct viter *it;
    if (!iter_open(r, v, &it)) return false;
    int got = iter_next(r, it, out);
    return got > 0 || (got == 0 && undef_hint(r, "no first item, sequence was empty", out));
}

static bool is_reversible(struct value v)
{
    return v.type == VALUE_STR || v.type == VALUE_LIST || v.type == VALUE_TUPLE ||
           v.type == VALUE_DICT || v.type == VALUE_VIEW || v.type == VALUE_RANGE ||
           v.type == VALUE_UNDEFINED;
}

static bool filter_last(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    struct vlist *l;
    if (!is_reversible(v))
        return render_fail(r, "'%s' object is not reversible", value_type_name(v));
    if (v.type == VALUE_LIST || v.type == VALUE_TUPLE)
        l = v.list;
    else if (!iter_collect(r, v, &l))
        return false;
    if (l->n == 0) return undef_hint(r, "no last item, sequence was empty", out);
    *out = l->items[l->n - 1];
    return true;
}

static bool filter_list(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    struct vlist *l;
    if (!iter_collect(r, v, &l)) return false;
    *out = VALUE_OF(VALUE_LIST, list, l);
    return true;
}

static bool filter_reverse(struct render *r, struct value v, const struct args *a,
                           struct value *out)
{
    (void)a;
    if (v.type == VALUE_STR) {
        const struct value bounds[] = {value_none(), value_none(), value_int(-1)};
        return get_slice(r, v, bounds, out);
    }
    if (is_reversible(v)) return iter_reversed(r, v, out);
    struct vlist *l;
    if (!iter_collect(r, v, &l)) return false;
    for (size_t i = 0; i < l->n / 2; i++) {
        struct value t = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = t;
    }
    *out = VALUE_OF(VALUE_LIST, list, l);
    return true;
}

/* str(d).join(str(x) for x in v) */
static bool filter_join(struct render *r, struct value v, const struct args *a, struct value *out)
{
    static const struct vstr empty = {.data = ""};
    struct attr_path path = {.fallback = value_missing()};
    const struct vstr *sep = &empty;
    struct vstr *s;
    struct viter *it;
    struct value item;
    if (a->pos[0].type != VALUE_MISSING) {
        if (!value_to_str(r, a->pos[0], &s)) return false;
        sep = s;
    }
    if (!attr_path_parse(r, a->pos[1], &path) || !iter_open(r, v, &it)) return false;
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    int got;
    bool ok = true, first = true;
    while (ok && (got = iter_next(r, it, &item)) != 0) {
        if (!first) strbuf_add(&b, sep->data, sep->len);
        first = false;
        ok = got > 0 && attr_path_get(r, &path, item, &item) && value_write(r, &b, item) &&
             render_charge(r, sep->len);
    }
    ok = ok && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

/* --- sorting ------------------------------------------------------------------------------------------ */

/* The keys of sort(attribute="a,b.c"): a tuple of values for each item. */
static bool sort_key(struct render *r, const struct attr_path *paths, size_t n, struct value item,
                     struct value *out)
{
    struct vlist *l = vlist_new(r, n);
    if (!l) return false;
    for (size_t i = 0; i < n; i++)
        if (!attr_path_get(r, &paths[i], item, &l->items[l->n++])) return false;
    *out = VALUE_OF(VALUE_LIST, list, l);
    return true;
}

static bool parse_paths(struct render *r, struct value attribute, bool fold_case,
                        struct attr_path **out, size_t *n)
{
    size_t commas = 0;
    bool is_str = attribute.type == VALUE_STR;
    for (size_t i = 0; is_str && i < attribute.str->len; i++)
        commas += attribute.str->data[i] == ',';
    struct attr_path *paths = render_alloc(r, commas + 1, sizeof(*paths));
    if (!paths) return false;
    const char *s = is_str ? attribute.str->data : "";
    const char *end = is_str ? s + attribute.str->len : s;
    for (*n = 0; *n <= commas; (*n)++) {
        const char *comma = memchr(s, ',', (size_t)(end - s));
        struct value part = attribute;
        if (is_str && !value_str(r, s, (size_t)((comma ? comma : end) - s), &part)) return false;
        paths[*n] = (struct attr_path){.fallback = value_missing(), .fold_case = fold_case};
        if (!attr_path_parse(r, part, &paths[*n])) return false;
        s = comma ? comma + 1 : end;
    }
    *out = paths;
    return true;
}

static bool filter_sort(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct attr_path *paths;
    size_t n;
    struct vlist *items, *keys;
    if (!parse_paths(r, a->pos[2], !arg_bool(a->pos[1], false), &paths, &n) ||
        !iter_collect(r, v, &items) || !(keys = vlist_new(r, items->n)))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        struct value key;
        if (!sort_key(r, paths, n, items->items[i], &key) || !vlist_push(r, keys, key))
            return false;
    }
    if (!sort_values(r, items, keys, arg_bool(a->pos[0], false))) return false;
    *out = VALUE_OF(VALUE_LIST, list, items);
    return true;
}

static bool filter_dictsort(struct render *r, struct value v, const struct args *a,
                            struct value *out)
{
    bool by_value = false;
    if (a->pos[1].type != VALUE_MISSING) {
        const struct vstr *by;
        if (!arg_str(r, a->pos[1], "by", &by)) return false;
        by_value = str_eq((struct str){by->data, by->len}, STR("value"));
        if (!by_value && !str_eq((struct str){by->data, by->len}, STR("key")))
            return render_fail(r, "you can only sort by either \"key\" or \"value\"");
    }
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (v.type != VALUE_DICT) return render_fail(r, "dictsort needs a mapping");
    struct vlist *items = vlist_new(r, v.dict->n), *keys = vlist_new(r, v.dict->n);
    if (!items || !keys) return false;
    for (size_t i = 0; i < v.dict->n; i++) {
        const struct ventry *e = &v.dict->entries[i];
        struct value key = by_value ? e->val : e->key, pair;
        if (!arg_bool(a->pos[0], false) && !value_fold_case(r, key, &key)) return false;
        if (!value_pair(r, e->key, e->val, &pair) || !vlist_push(r, items, pair) ||
            !vlist_push(r, keys, key))
            return false;
    }
    if (!sort_values(r, items, keys, arg_bool(a->pos[2], false))) return false;
    *out = VALUE_OF(VALUE_LIST, list, items);
    return true;
}

static bool min_or_max(struct render *r, struct value v, const struct args *a, bool want_max,
                       struct value *out)
{
    struct attr_path path = {.fallback = value_missing(), .fold_case = !arg_bool(a->pos[0], false)};
    struct viter *it;
    struct value item, key, best;
    if (!attr_path_parse(r, a->pos[1], &path) || !iter_open(r, v, &it)) return false;
    int got = iter_next(r, it, out);
    if (got <= 0) return got == 0 && undef_hint(r, "no aggregated item, sequence was empty", out);
    if (!attr_path_get(r, &path, *out, &best)) return false;
    while ((got = iter_next(r, it, &item)) > 0) {
        bool better;
        if (!attr_path_get(r, &path, item, &key)) return false;
        if (key.type == VALUE_UNDEFINED) return undef_fail(r, key);
        if (best.type == VALUE_UNDEFINED) return undef_fail(r, best);
        if (!value_compare(r, want_max ? COMPARE_GT : COMPARE_LT, key, best, &better)) return false;
        if (!better) continue;
        best = key;
        *out = item;
    }
    return got == 0;
}

static bool filter_min(struct render *r, struct value v, const struct args *a, struct value *out)
{
    return min_or_max(r, v, a, false, out);
}

static bool filter_max(struct render *r, struct value v, const struct args *a, struct value *out)
{
    return min_or_max(r, v, a, true, out);
}

static bool filter_sum(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct attr_path path = {.fallback = value_missing()};
    struct viter *it;
    struct value item;
    int got;
    *out = a->pos[1].type == VALUE_MISSING ? value_int(0) : a->pos[1];
    if (out->type == VALUE_STR) return render_fail(r, "sum() can't sum strings");
    if (!attr_path_parse(r, a->pos[0], &path) || !iter_open(r, v, &it)) return false;
    while ((got = iter_next(r, it, &item)) > 0)
        if (!attr_path_get(r, &path, item, &item) || !add_values(r, *out, item, out)) return false;
    return got == 0;
}

/* --- groups ------------------------------------------------------------------------------------------- */

static bool push_group(struct render *r, struct vlist *groups, struct value key,
                       struct vlist *members)
{
    struct value pair;
    if (!value_pair(r, key, VALUE_OF(VALUE_LIST, list, members), &pair)) return false;
    pair.list->group = true;
    return vlist_push(r, groups, pair);
}

static bool filter_groupby(struct render *r, struct value v, const struct args *a,
                           struct value *out)
{
    struct attr_path path = {.fallback = a->pos[1], .fold_case = !arg_bool(a->pos[2], false)};
    struct vlist *items, *keys, *groups = vlist_new(r, 4), *members = NULL;
    if (!groups || !attr_path_parse(r, a->pos[0], &path) || !iter_collect(r, v, &items) ||
        !(keys = vlist_new(r, items->n)))
        return false;
    for (size_t i = 0; i < items->n; i++)
        if (!attr_path_get(r, &path, items->items[i], &keys->items[keys->n++])) return false;
    if (!sort_values(r, items, keys, false)) return false;
    path.fold_case = false; /* a group shows the key of its first member as it is */
    for (size_t i = 0; i < items->n; i++) {
        bool same = i > 0;
        struct value shown;
        if (i > 0 && !value_eq(r, keys->items[i], keys->items[i - 1], &same)) return false;
        if (!same) {
            members = vlist_new(r, 4);
            if (!members || !attr_path_get(r, &path, items->items[i], &shown) ||
                !push_group(r, groups, shown, members))
                return false;
        }
        if (!vlist_push(r, members, items->items[i])) return false;
    }
    *out = VALUE_OF(VALUE_LIST, list, groups);
    return true;
}

struct batch {
    struct viter *source;
    int64_t size;
    struct value fill, pending; /* an item read ahead */
};

static int next_batch(struct render *r, struct viter *it, struct value *out)
{
    struct batch *b = it->state;
    struct vlist *l = vlist_new(r, 4);
    struct value item;
    int got = 1;
    if (!l) return -1;
    if (b->pending.type != VALUE_MISSING && !vlist_push(r, l, b->pending)) return -1;
    b->pending = value_missing();
    while ((got = iter_next(r, b->source, &item)) > 0) {
        if ((int64_t)l->n == b->size) {
            b->pending = item;
            break;
        }
        if (!vlist_push(r, l, item)) return -1;
    }
    if (got < 0) return -1;
    if (got == 0 && l->n == 0) return 0;
    bool fill = got == 0 && b->fill.type != VALUE_NONE && b->fill.type != VALUE_MISSING;
    while (fill && (int64_t)l->n < b->size)
        if (!vlist_push(r, l, b->fill) || !render_charge(r, sizeof(item))) return -1;
    *out = VALUE_OF(VALUE_LIST, list, l);
    return 1;
}

static bool filter_batch(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct batch *b = render_alloc(r, 1, sizeof(*b));
    if (!b || !arg_int(r, a->pos[0], 0, &b->size) || !iter_open(r, v, &b->source)) return false;
    b->fill = a->pos[1];
    b->pending = value_missing();
    return iter_make(r, "generator", next_batch, b, out);
}

static bool filter_slice(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct vlist *seq, *all = vlist_new(r, 4);
    int64_t slices;
    if (!all || !arg_int(r, a->pos[0], 1, &slices) || !iter_collect(r, v, &seq)) return false;
    if (slices == 0) return render_fail(r, "division by zero");
    int64_t each = slices > 0 ? (int64_t)seq->n / slices : 0;
    int64_t extra = slices > 0 ? (int64_t)seq->n % slices : 0;
    size_t at = 0;
    bool has_fill = a->pos[1].type != VALUE_MISSING && a->pos[1].type != VALUE_NONE;
    for (int64_t i = 0; i < slices; i++) {
        struct vlist *l = vlist_new(r, 4);
        if (!l || !render_charge(r, sizeof(*l))) return false;
        for (int64_t k = 0; k < each + (i < extra); k++)
            if (!vlist_push(r, l, seq->items[at++])) return false;
        if (has_fill && i >= extra && !vlist_push(r, l, a->pos[1])) return false;
        if (!vlist_push(r, all, VALUE_OF(VALUE_LIST, list, l))) return false;
    }
    struct viter *it;
    if (!iter_open(r, VALUE_OF(VALUE_LIST, list, all), &it)) return false;
    it->type_name = "generator";
    *out = VALUE_OF(VALUE_ITER, iter, it);
    return true;
}

static bool filter_items(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    if (v.type != VALUE_DICT && v.type != VALUE_UNDEFINED)
        return render_fail(r, "can only get item pairs from a mapping");
    struct viter *it;
    if (v.type == VALUE_DICT) {
        struct vview *view = render_alloc(r, 1, sizeof(*view));
        if (!view) return false;
        *view = (struct vview){v.dict, VIEW_ITEMS};
        v = VALUE_OF(VALUE_VIEW, view, view);
    }
    if (!iter_open(r, v, &it)) return false;
    it->type_name = "generator";
    *out = VALUE_OF(VALUE_ITER, iter, it);
    return true;
}

const struct method_def sequence_filters[] = {
    {"first", "", 0, filter_first},
    {"last", "", 0, filter_last},
    {"list", "", 0, filter_list},
    {"reverse", "", 0, filter_reverse},
    {"join", "d attribute", 0, filter_join},
    {"sort", "reverse case_sensitive attribute", 0, filter_sort},
    {"dictsort", "case_sensitive by reverse", 0, filter_dictsort},
    {"min", "case_sensitive attribute", 0, filter_min},
    {"max", "case_sensitive attribute", 0, filter_max},
    {"sum", "attribute start", 0, filter_sum},
    {"groupby", "attribute default case_sensitive", 1, filter_groupby},
    {"batch", "linecount fill_with", 1, filter_batch},
    {"slice", "slices fill_with", 1, filter_slice},
    {"items", "", 0, filter_items},
};
const size_t n_sequence_filters = ARRAY_LEN(sequence_filters);
