/* filters_select.c - the lazy filters: map, select, reject, selectattr, rejectattr, unique.
 * Each makes an iterator that applies a filter, a test or an attribute as it is read. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <string.h>

struct selection {
    struct value subject;
    struct viter *source; /* NULL until the first item is asked for */
    struct attr_path path;
    const struct method_def *def; /* filter or test; NULL = none */
    struct args args;             /* its own */
    bool keep_when;
};

/* The errors of preparing a lazy filter come up when it is read, as in a generator. */
static int next_source(struct render *r, struct selection *s, struct value *out)
{
    if (!s->source) {
        if (!value_truth(s->subject)) return 0;
        if (!iter_open(r, s->subject, &s->source)) return -1;
    }
    return iter_next(r, s->source, out);
}

static int next_mapped(struct render *r, struct viter *it, struct value *out)
{
    struct selection *s = it->state;
    struct value item;
    int got = next_source(r, s, &item);
    if (got <= 0) return got;
    bool ok = s->def ? call_method_def(r, s->def, item, &s->args, out)
                     : attr_path_get(r, &s->path, item, out);
    return ok ? 1 : -1;
}

static int next_selected(struct render *r, struct viter *it, struct value *out)
{
    struct selection *s = it->state;
    int got;
    while ((got = next_source(r, s, out)) > 0) {
        struct value tested;
        if (!attr_path_get(r, &s->path, *out, &tested)) return -1;
        if (s->def && !call_method_def(r, s->def, tested, &s->args, &tested)) return -1;
        if (value_truth(tested) == s->keep_when) return 1;
    }
    return got;
}

static bool copy_args(struct render *r, const struct args *from, size_t skip, struct args *to)
{
    *to = (struct args){0};
    size_t n = from->n_pos > skip ? from->n_pos - skip : 0;
    to->pos = render_alloc(r, n + 1, sizeof(*to->pos));
    to->kw = render_alloc(r, from->n_kw + 1, sizeof(*to->kw));
    if (!to->pos || !to->kw) return false;
    for (size_t i = 0; i < n; i++) to->pos[to->n_pos++] = from->pos[skip + i];
    for (size_t i = 0; i < from->n_kw; i++) to->kw[to->n_kw++] = from->kw[i];
    return true;
}

static struct selection *selection_new(struct render *r, struct value subject)
{
    struct selection *s = render_alloc(r, 1, sizeof(*s));
    if (!s) return NULL;
    s->subject = subject;
    s->path.fallback = value_missing();
    return s;
}

static bool find_by_value(struct render *r, struct value name, bool is_filter,
                          const struct method_def **out)
{
    const struct vstr *s;
    if (!arg_str(r, name, is_filter ? "the name of a filter" : "the name of a test", &s))
        return false;
    struct str n = {s->data, s->len};
    *out = is_filter ? filter_find(n) : test_find(n);
    if (*out) return true;
    return render_fail(r, "no %s named '%.*s'", is_filter ? "filter" : "test",
                       (int)(n.len < 64 ? n.len : 64), n.data);
}

static bool map_attribute(struct render *r, const struct args *a, struct selection *s)
{
    struct value attribute = value_missing();
    for (size_t i = 0; i < a->n_kw; i++) {
        struct str name = {a->kw[i].name->data, a->kw[i].name->len};
        if (str_eq(name, STR("attribute")))
            attribute = a->kw[i].val;
        else if (str_eq(name, STR("default")))
            s->path.fallback = a->kw[i].val;
        else
            return render_fail(r, "unexpected keyword argument '%.*s'",
                               (int)(name.len < 64 ? name.len : 64), name.data);
    }
    if (attribute.type == VALUE_MISSING) return render_fail(r, "map requires a filter argument");
    return attr_path_parse(r, attribute, &s->path);
}

static bool filter_map(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct selection *s = selection_new(r, v);
    if (!s) return false;
    bool ok = true;
    if (!value_truth(v))
        ok = true; /* nothing is applied: bad arguments stay unnoticed */
    else if (a->n_pos == 0)
        ok = map_attribute(r, a, s);
    else
        ok = find_by_value(r, a->pos[0], true, &s->def) && copy_args(r, a, 1, &s->args);
    return ok && iter_make(r, "generator", next_mapped, s, out);
}

static bool make_selection(struct render *r, struct value v, const struct args *a, bool by_attr,
                           bool keep_when, struct value *out)
{
    struct selection *s = selection_new(r, v);
    if (!s) return false;
    s->keep_when = keep_when;
    size_t skip = by_attr ? 1 : 0;
    if (value_truth(v)) {
        if (by_attr && a->n_pos == 0) return render_fail(r, "missing parameter for attribute name");
        if (by_attr && !attr_path_parse(r, a->pos[0], &s->path)) return false;
        bool has_test = a->n_pos > skip;
        if (has_test && (!find_by_value(r, a->pos[skip], false, &s->def) ||
                         !copy_args(r, a, skip + 1, &s->args)))
            return false;
    }
    return iter_make(r, "generator", next_selected, s, out);
}

static bool filter_select(struct render *r, struct value v, const struct args *a, struct value *out)
{
    return make_selection(r, v, a, false, true, out);
}

static bool filter_reject(struct render *r, struct value v, const struct args *a, struct value *out)
{
    return make_selection(r, v, a, false, false, out);
}

static bool filter_selectattr(struct render *r, struct value v, const struct args *a,
                              struct value *out)
{
    return make_selection(r, v, a, true, true, out);
}

static bool filter_rejectattr(struct render *r, struct value v, const struct args *a,
                              struct value *out)
{
    return make_selection(r, v, a, true, false, out);
}

/* --- unique ------------------------------------------------------------------------------------------- */

struct unique {
    struct viter *source;
    struct attr_path path;
    struct vdict *seen;
};

static int next_unique(struct render *r, struct viter *it, struct value *out)
{
    struct unique *u = it->state;
    int got;
    while ((got = iter_next(r, u->source, out)) > 0) {
        struct value key, found = value_missing();
        if (!attr_path_get(r, &u->path, *out, &key) || !vdict_get(r, u->seen, key, &found))
            return -1;
        if (found.type != VALUE_MISSING) continue;
        return vdict_set(r, u->seen, key, value_none()) ? 1 : -1;
    }
    return got;
}

static bool filter_unique(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct unique *u = render_alloc(r, 1, sizeof(*u));
    if (!u || !(u->seen = vdict_new(r)) || !iter_open(r, v, &u->source)) return false;
    u->path =
        (struct attr_path){.fallback = value_missing(), .fold_case = !arg_bool(a->pos[0], false)};
    return attr_path_parse(r, a->pos[1], &u->path) &&
           iter_make(r, "generator", next_unique, u, out);
}

const struct method_def select_filters[] = {
    {"map", NULL, 0, filter_map},
    {"select", NULL, 0, filter_select},
    {"reject", NULL, 0, filter_reject},
    {"selectattr", NULL, 0, filter_selectattr},
    {"rejectattr", NULL, 0, filter_rejectattr},
    {"unique", "case_sensitive attribute", 0, filter_unique},
};
const size_t n_select_filters = ARRAY_LEN(select_filters);
