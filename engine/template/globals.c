/* globals.c - the global functions of a chat template, and the methods of everything but str. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define RANGE_MAX 100000 /* Jinja2's sandbox: MAX_RANGE */

#define FUNCTION(name_) \
    static bool name_(struct render *r, struct value v, const struct args *a, struct value *out)

/* --- dict, list, tuple, range ---------------------------------------------------------------------- */

FUNCTION(dict_get)
{
    *out = a->pos[1].type == VALUE_MISSING ? value_none() : a->pos[1];
    return vdict_get(r, v.dict, a->pos[0], out);
}

static bool make_view(struct render *r, struct vdict *d, enum view_kind kind, struct value *out)
{
    struct vview *view = render_alloc(r, 1, sizeof(*view));
    if (!view) return false;
    *view = (struct vview){d, kind};
    *out = VALUE_OF(VALUE_VIEW, view, view);
    return true;
}
FUNCTION(dict_keys)
{
    (void)a;
    return make_view(r, v.dict, VIEW_KEYS, out);
}
FUNCTION(dict_values)
{
    (void)a;
    return make_view(r, v.dict, VIEW_VALUES, out);
}
FUNCTION(dict_items)
{
    (void)a;
    return make_view(r, v.dict, VIEW_ITEMS, out);
}
FUNCTION(copy_self)
{
    (void)r;
    (void)a;
    *out = v; /* nothing that a template reaches can change it */
    return true;
}

FUNCTION(list_count)
{
    struct vlist *l;
    int64_t n = 0;
    if (!iter_collect(r, v, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        bool same;
        if (!value_eq(r, l->items[i], a->pos[0], &same)) return false;
        n += same;
    }
    *out = value_int(n);
    return true;
}

FUNCTION(list_index)
{
    struct vlist *l;
    int64_t start, stop;
    if (!iter_collect(r, v, &l)) return false;
    int64_t n = (int64_t)l->n;
    if (!arg_int(r, a->pos[1], 0, &start) || !arg_int(r, a->pos[2], n, &stop)) return false;
    if (start < 0) start = start + n < 0 ? 0 : start + n;
    if (stop < 0) stop += n;
    for (int64_t i = start; i < stop && i < n; i++) {
        bool same;
        if (!value_eq(r, l->items[i], a->pos[0], &same)) return false;
        if (!same) continue;
        *out = value_int(i);
        return true;
    }
    return render_fail(r, "the value is not in the list");
}

FUNCTION(view_isdisjoint)
{
    struct vlist *l;
    bool found = false;
    if (!iter_collect(r, a->pos[0], &l)) return false;
    for (size_t i = 0; i < l->n && !found; i++)
        if (!value_contains(r, v, l->items[i], &found)) return false;
    *out = value_bool(!found);
    return true;
}

/* dict.fromkeys(keys, value=None), of a dict or of `dict` itself. */
FUNCTION(dict_fromkeys)
{
    (void)v;
    struct vdict *d = vdict_new(r);
    struct vlist *keys;
    struct value val = a->pos[1].type == VALUE_MISSING ? value_none() : a->pos[1];
    if (!d || !iter_collect(r, a->pos[0], &keys)) return false;
    for (size_t i = 0; i < keys->n; i++)
        if (!vdict_set(r, d, keys->items[i], val)) return false;
    *out = VALUE_OF(VALUE_DICT, dict, d);
    return true;
}

bool method_unsupported(struct render *r, struct value self, const struct args *a,
                        struct value *out)
{
    (void)a;
    (void)out;
    return render_fail(r, "this method of '%s' is not supported in templates",
                       value_type_name(self));
}

/* --- numbers ----------------------------------------------------------------------------------------- */

FUNCTION(int_bit_length)
{
    (void)r;
    (void)a;
    int64_t i = value_as_int(v), n = 0;
    for (uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; u; u >>= 1) n++;
    *out = value_int(n);
    return true;
}
FUNCTION(float_is_integer)
{
    (void)r;
    (void)a;
    *out = value_bool(isfinite(v.f) && v.f == floor(v.f));
    return true;
}

/* --- loop, cycler ------------------------------------------------------------------------------------- */

FUNCTION(loop_cycle)
{
    if (a->n_kw || a->n_pos == 0) return render_fail(r, "loop.cycle() needs items");
    *out = a->pos[v.loop->index0 % (int64_t)a->n_pos];
    return true;
}
FUNCTION(loop_changed)
{
    struct value now;
    bool same = false;
    if (a->n_kw) return render_fail(r, "loop.changed() takes no keyword arguments");
    if (!value_tuple(r, a->pos, a->n_pos, &now)) return false;
    bool known = v.loop->last_changed.type != VALUE_MISSING;
    if (known && !value_eq(r, v.loop->last_changed, now, &same)) return false;
    v.loop->last_changed = now;
    *out = value_bool(!same);
    return true;
}
FUNCTION(cycler_next)
{
    (void)r;
    (void)a;
    struct vcycler *c = v.cycler;
    *out = c->items->items[c->pos];
    c->pos = (c->pos + 1) % c->items->n;
    return true;
}
FUNCTION(cycler_reset)
{
    (void)r;
    (void)a;
    v.cycler->pos = 0;
    *out = value_none();
    return true;
}

FUNCTION(global_dict);

static const struct method_def dict_methods[] = {
    {"get", "/key default", 1, dict_get}, {"keys", "/", 0, dict_keys},
    {"values", "/", 0, dict_values},      {"items", "/", 0, dict_items},
    {"copy", "/", 0, copy_self},          {"fromkeys", "/iterable value", 1, dict_fromkeys},
};
static const struct method_def list_methods[] = {
    {"count", "/value", 1, list_count},
    {"index", "/value start stop", 1, list_index},
    {"copy", "/", 0, copy_self},
};
static const struct method_def tuple_methods[] = {
    {"count", "/value", 1, list_count},
    {"index", "/value start stop", 1, list_index},
};
static const struct method_def view_methods[] = {
    {"isdisjoint", "/other", 1, view_isdisjoint},
};
static const struct method_def int_methods[] = {
    {"bit_length", "/", 0, int_bit_length},      {"conjugate", "/", 0, copy_self},
    {"bit_count", NULL, 0, method_unsupported},  {"to_bytes", NULL, 0, method_unsupported},
    {"from_bytes", NULL, 0, method_unsupported}, {"as_integer_ratio", NULL, 0, method_unsupported},
};
static const struct method_def float_methods[] = {
    {"is_integer", "/", 0, float_is_integer},
    {"conjugate", "/", 0, copy_self},
    {"hex", NULL, 0, method_unsupported},
    {"fromhex", NULL, 0, method_unsupported},
    {"as_integer_ratio", NULL, 0, method_unsupported},
};
static const struct method_def loop_methods[] = {
    {"cycle", NULL, 0, loop_cycle},
    {"changed", NULL, 0, loop_changed},
};
static const struct method_def cycler_methods[] = {
    {"next", "/", 0, cycler_next},
    {"reset", "/", 0, cycler_reset},
};

const struct method_def *method_find(struct value obj, struct str name)
{
    static const struct {
        enum value_type type;
        const struct method_def *defs;
        size_t n;
    } tables[] = {
        {VALUE_DICT, dict_methods, ARRAY_LEN(dict_methods)},
        {VALUE_LIST, list_methods, ARRAY_LEN(list_methods)},
        {VALUE_TUPLE, tuple_methods, ARRAY_LEN(tuple_methods)},
        {VALUE_RANGE, tuple_methods, ARRAY_LEN(tuple_methods)},
        {VALUE_VIEW, view_methods, ARRAY_LEN(view_methods)},
        {VALUE_BOOL, int_methods, ARRAY_LEN(int_methods)},
        {VALUE_INT, int_methods, ARRAY_LEN(int_methods)},
        {VALUE_FLOAT, float_methods, ARRAY_LEN(float_methods)},
        {VALUE_LOOP, loop_methods, ARRAY_LEN(loop_methods)},
        {VALUE_CYCLER, cycler_methods, ARRAY_LEN(cycler_methods)},
    };
    if (obj.type == VALUE_FUNC && obj.func->def->fn == global_dict && str_eq(name, STR("fromkeys")))
        return &dict_methods[ARRAY_LEN(dict_methods) - 1];
    const struct method_def *defs = obj.type == VALUE_STR ? str_methods : NULL;
    size_t n = obj.type == VALUE_STR ? n_str_methods : 0;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (tables[i].type == obj.type) {
            defs = tables[i].defs;
            n = tables[i].n;
        }
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, str_from(defs[i].name))) return &defs[i];
    return NULL;
}

/* --- global functions ----------------------------------------------------------------------------------- */

FUNCTION(global_range)
{
    (void)v;
    int64_t start, stop, step;
    if (!arg_int(r, a->pos[0], 0, &start) || !arg_int(r, a->pos[1], 0, &stop) ||
        !arg_int(r, a->pos[2], 1, &step))
        return false;
    if (a->pos[1].type == VALUE_MISSING) {
        stop = start;
        start = 0;
    }
    if (step == 0) return render_fail(r, "range() step must not be zero");
    uint64_t distance = 0, by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    if (step > 0 && start < stop) distance = (uint64_t)stop - (uint64_t)start;
    if (step < 0 && start > stop) distance = (uint64_t)start - (uint64_t)stop;
    uint64_t n = distance / by + (distance % by != 0);
    if (n > RANGE_MAX)
        return render_fail(r, "range too big: the sandbox blocks ranges of more than %d items",
                           RANGE_MAX);
    struct vrange *g = render_alloc(r, 1, sizeof(*g));
    if (!g) return false;
    *g = (struct vrange){start, stop, step, (size_t)n};
    *out = VALUE_OF(VALUE_RANGE, range, g);
    return true;
}

/* dict(mapping or pairs, **keywords) */
static bool build_dict(struct render *r, const struct args *a, struct vdict **out)
{
    struct vdict *d = vdict_new(r);
    struct vlist *pairs, *pair;
    if (!d) return false;
    if (a->n_pos > 1) return render_fail(r, "at most one positional argument is expected");
    if (a->n_pos == 1 && a->pos[0].type == VALUE_UNDEFINED) return undef_fail(r, a->pos[0]);
    if (a->n_pos == 1 && a->pos[0].type == VALUE_DICT) {
        if (!render_charge(r, a->pos[0].dict->n * sizeof(struct ventry))) return false;
        for (size_t i = 0; i < a->pos[0].dict->n; i++)
            if (!vdict_set(r, d, a->pos[0].dict->entries[i].key, a->pos[0].dict->entries[i].val))
                return false;
    } else if (a->n_pos == 1) {
        if (!iter_collect(r, a->pos[0], &pairs)) return false;
        for (size_t i = 0; i < pairs->n; i++) {
            if (!iter_collect(r, pairs->items[i], &pair)) return false;
            if (pair->n != 2) return render_fail(r, "dict() needs pairs");
            if (!vdict_set(r, d, pair->items[0], pair->items[1])) return false;
        }
    }
    for (size_t i = 0; i < a->n_kw; i++)
        if (!vdict_set(r, d, value_from_str((struct vstr *)a->kw[i].name), a->kw[i].val))
            return false;
    *out = d;
    return true;
}
FUNCTION(global_dict)
{
    (void)v;
    struct vdict *d;
    if (!build_dict(r, a, &d)) return false;
    *out = VALUE_OF(VALUE_DICT, dict, d);
    return true;
}
bool check_namespace_name(struct render *r, struct value name)
{
    if (name.type != VALUE_STR || name.str->len == 0 || name.str->data[0] != '_') return true;
    return render_fail(r,
                       "a namespace of a chat template cannot have an attribute that starts with "
                       "an underscore: '%.*s'",
                       (int)(name.str->len < 64 ? name.str->len : 64), name.str->data);
}

FUNCTION(global_namespace)
{
    (void)v;
    struct vdict *d;
    if (!build_dict(r, a, &d)) return false;
    for (size_t i = 0; i < d->n; i++)
        if (!check_namespace_name(r, d->entries[i].key)) return false;
    *out = VALUE_OF(VALUE_NAMESPACE, dict, d);
    return true;
}
FUNCTION(global_cycler)
{
    (void)v;
    struct value items;
    if (a->n_kw || a->n_pos == 0) return render_fail(r, "at least one item has to be provided");
    struct vcycler *c = render_alloc(r, 1, sizeof(*c));
    if (!c || !value_tuple(r, a->pos, a->n_pos, &items)) return false;
    c->items = items.list;
    *out = VALUE_OF(VALUE_CYCLER, cycler, c);
    return true;
}
FUNCTION(global_joiner)
{
    (void)v;
    struct vjoiner *j = render_alloc(r, 1, sizeof(*j));
    if (!j) return false;
    j->sep = a->pos[0];
    if (j->sep.type == VALUE_MISSING && !value_cstr(r, ", ", &j->sep)) return false;
    *out = VALUE_OF(VALUE_JOINER, joiner, j);
    return true;
}
FUNCTION(global_lipsum)
{
    (void)v;
    (void)a;
    (void)out;
    return render_fail(r, "lipsum() is not supported: it gives random text");
}

/* The message goes to the client as the template wrote it. */
FUNCTION(global_raise_exception)
{
    (void)v;
    (void)out;
    struct vstr *s;
    if (!value_to_str(r, a->pos[0], &s)) return false;
    return render_fail_status(r, STATUS_INVALID, "%.*s", (int)(s->len < 500 ? s->len : 500),
                              s->data);
}

/* One directive of strftime with its flags; the time has no zone: %z and %Z give nothing. */
static bool add_directive(struct render *r, struct strbuf *b, struct str d, const struct tm *tm,
                          int64_t now)
{
    char format[16], text[256];
    char last = d.data[d.len - 1];
    if (last == 'z' || last == 'Z') return true;
    if (last == 'f') return strbuf_add_str(b, "000000"), true;
    if (last == 's') return strbuf_add_i64(b, now), true;
    if (last == '%' && d.len == 2) return strbuf_add_char(b, '%'), true;
    if (!strchr("aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY", last) || d.len >= sizeof(format) - 1) {
        strbuf_add(b, d.data, d.len);
        return true;
    }
    memcpy(format, d.data, d.len);
    format[d.len] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof(text), format, tm);
#pragma GCC diagnostic pop
    strbuf_add(b, text, n);
    return render_charge(r, CHARGE_SLOW * n);
}

FUNCTION(global_strftime_now)
{
    (void)v;
    const struct vstr *f;
    if (!arg_str(r, a->pos[0], "the format of strftime_now", &f)) return false;
    time_t t = (time_t)r->now;
    struct tm tm;
    if (!localtime_r(&t, &tm)) return render_fail(r, "the time is out of range");
    struct strbuf b;
    strbuf_init(&b, 0);
    bool ok = render_charge(r, f->len);
    for (size_t i = 0; i < f->len && ok; i++) {
        size_t end = i + 1;
        if (f->data[i] != '%' || end >= f->len) {
            strbuf_add_char(&b, f->data[i]);
            continue;
        }
        while (end < f->len && f->data[end] && strchr("-_0^#EO", f->data[end])) end++;
        if (end >= f->len) end = f->len - 1;
        ok = add_directive(r, &b, (struct str){f->data + i, end - i + 1}, &tm, r->now);
        i = end;
    }
    ok = ok && value_take(r, &b, out);
    strbuf_free(&b);
    return ok;
}

static const struct method_def globals[] = {
    {"range", "/start stop step", 1, global_range},
    {"dict", NULL, 0, global_dict},
    {"namespace", NULL, 0, global_namespace},
    {"cycler", NULL, 0, global_cycler},
    {"joiner", "sep", 0, global_joiner},
    {"lipsum", NULL, 0, global_lipsum},
    {"raise_exception", "message", 1, global_raise_exception},
    {"strftime_now", "format", 1, global_strftime_now},
};

const struct method_def *global_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(globals); i++)
        if (str_eq(name, str_from(globals[i].name))) return &globals[i];
    return NULL;
}
