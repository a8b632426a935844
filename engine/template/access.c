/* access.c - obj.name, obj[key] and slices with the rules of Jinja2's sandbox: attributes first for
 * `.`, items first for `[]`; what changes a list or dict, and what starts with an underscore, is
 * not there. */

#include "engine/template/interp.h"

#include <string.h>

bool undef_fail(struct render *r, struct value v)
{
    const struct vundef *u = v.undef;
    struct vstr *name;
    switch (u->kind) {
    case UNDEF_HINT:
        return render_fail(r, "%s", u->hint);
    case UNDEF_NAME:
        return render_fail(r, "'%.*s' is undefined",
                           (int)(u->name.str->len < 128 ? u->name.str->len : 128),
                           u->name.str->data);
    case UNDEF_UNSAFE:
    case UNDEF_ATTR:
        break;
    }
    if (!value_to_str(r, u->name, &name)) return false;
    int len = (int)(name->len < 128 ? name->len : 128);
    if (u->kind == UNDEF_UNSAFE)
        return render_fail(r, "access to attribute '%.*s' of '%s' object is unsafe", len,
                           name->data, u->owner);
    return render_fail(r, "'%s object' has no attribute '%.*s'", u->owner, len, name->data);
}

static bool undef_of(struct render *r, enum undef_kind kind, struct value obj, struct value name,
                     struct value *out)
{
    const struct vundef u = {.kind = kind, .owner = value_type_name(obj), .name = name};
    return value_undef(r, u, out);
}

static bool is_one_of(const struct vstr *name, const char *words)
{
    for (size_t len; *words; words += len + (words[len] == ' ')) {
        for (len = 0; words[len] && words[len] != ' ';) len++;
        if (len == name->len && len > 0 && memcmp(words, name->data, len) == 0) return true;
    }
    return false;
}

static bool is_unsafe(struct value obj, const struct vstr *name)
{
    if (name->len >= 2 && memcmp(name->data, "__", 2) == 0) return true;
    if (obj.type == VALUE_LIST)
        return is_one_of(name, "append clear pop reverse insert sort extend remove");
    if (obj.type == VALUE_DICT) return is_one_of(name, "clear pop popitem setdefault update");
    return false;
}

/* Attributes that are plain values; VALUE_MISSING when there is none. */
static bool plain_attr(struct render *r, struct value obj, const struct vstr *name,
                       struct value *out)
{
    struct str s = {name->data, name->len};
    *out = value_missing();
    switch (obj.type) {
    case VALUE_NAMESPACE: {
        struct value *v = vdict_find(obj.dict, name);
        if (v) *out = *v;
        return true;
    }
    case VALUE_LOOP:
        return loop_attr(r, obj.loop, name, out);
    case VALUE_SELF:
        return self_attr(r, obj.block, name, out);
    case VALUE_MACRO:
        return macro_attr(r, obj.macro, name, out);
    case VALUE_TUPLE:
        if (obj.list->group && str_eq(s, STR("grouper"))) *out = obj.list->items[0];
        if (obj.list->group && str_eq(s, STR("list"))) *out = obj.list->items[1];
        return true;
    case VALUE_CYCLER:
        if (str_eq(s, STR("current"))) *out = obj.cycler->items->items[obj.cycler->pos];
        return true;
    case VALUE_RANGE:
        if (str_eq(s, STR("start"))) *out = value_int(obj.range->start);
        if (str_eq(s, STR("stop"))) *out = value_int(obj.range->stop);
        if (str_eq(s, STR("step"))) *out = value_int(obj.range->step);
        return true;
    case VALUE_BOOL:
    case VALUE_INT:
        if (is_one_of(name, "real numerator")) *out = value_int(value_as_int(obj));
        if (is_one_of(name, "imag")) *out = value_int(0);
        if (is_one_of(name, "denominator")) *out = value_int(1);
        return true;
    case VALUE_FLOAT:
        if (is_one_of(name, "real")) *out = obj;
        if (is_one_of(name, "imag")) *out = value_float(0);
        return true;
    default:
        return true;
    }
}

/* Python's getattr under the sandbox; VALUE_MISSING for an AttributeError. */
static bool python_attr(struct render *r, struct value obj, const struct vstr *name,
                        struct value *out)
{
    if (is_unsafe(obj, name) && !(obj.type == VALUE_DICT && name->data[0] == '_'))
        return undef_of(r, UNDEF_UNSAFE, obj, value_from_str((struct vstr *)name), out);
    const struct method_def *def = method_find(obj, (struct str){name->data, name->len});
    if (!def) return plain_attr(r, obj, name, out);
    struct vfunc *f = render_alloc(r, 1, sizeof(*f));
    if (!f) return false;
    *f = (struct vfunc){def, obj};
    *out = VALUE_OF(VALUE_FUNC, func, f);
    return true;
}

/* obj[key] without slices; VALUE_MISSING for a TypeError or LookupError. */
static bool python_item(struct render *r, struct value obj, struct value key, struct value *out)
{
    *out = value_missing();
    if (obj.type == VALUE_DICT) return !value_hashable(key) || vdict_get(r, obj.dict, key, out);
    int64_t len = value_len(obj);
    if (!value_is_int(key) || len < 0 || obj.type == VALUE_VIEW) return true;
    int64_t i = value_as_int(key);
    if (i < 0) i += len;
    if (i < 0 || i >= len) return true;
    if (obj.type == VALUE_STR) {
        if (obj.str->n_chars != obj.str->len && !render_charge(r, CHARGE_SLOW * (size_t)i))
            return false;
        size_t at = text_offset(obj.str, (size_t)i);
        uint32_t cp;
        size_t n = text_next(obj.str->data + at, obj.str->len - at, &cp);
        return text_same_kind(r, obj.str, obj.str->data + at, n, out);
    }
    if (obj.type == VALUE_RANGE)
        *out = value_int(
            (int64_t)((uint64_t)obj.range->start + (uint64_t)i * (uint64_t)obj.range->step));
    else
        *out = obj.list->items[i];
    return true;
}

bool attr_is_plain(struct str name)
{
    const struct vstr s = {.data = name.data, .len = name.len};
    const struct value dict = {.type = VALUE_DICT};
    return !is_unsafe(dict, &s) && !method_find(dict, name);
}

/* An item of a dict by a name that no dict has as an attribute. */
static bool dict_item(struct render *r, struct value obj, const struct vstr *name,
                      struct value *out)
{
    const struct value *v = vdict_find(obj.dict, name);
    if (v) *out = *v;
    return v || undef_of(r, UNDEF_ATTR, obj, value_from_str((struct vstr *)name), out);
}

bool get_attr(struct render *r, struct value obj, const struct vstr *name, struct value *out)
{
    if (obj.type == VALUE_DICT && name->plain) return dict_item(r, obj, name, out);
    if (obj.type == VALUE_UNDEFINED) return undef_fail(r, obj);
    struct value key = value_from_str((struct vstr *)name);
    if (!python_attr(r, obj, name, out)) return false;
    if (out->type == VALUE_MISSING && obj.type == VALUE_DICT && !python_item(r, obj, key, out))
        return false;
    return out->type != VALUE_MISSING || undef_of(r, UNDEF_ATTR, obj, key, out);
}

bool get_item(struct render *r, struct value obj, struct value key, struct value *out)
{
    if (obj.type == VALUE_DICT && key.type == VALUE_STR && key.str->plain)
        return dict_item(r, obj, key.str, out);
    if (obj.type == VALUE_UNDEFINED) return undef_fail(r, obj);
    if (!python_item(r, obj, key, out)) return false;
    if (out->type == VALUE_MISSING && key.type == VALUE_STR && !python_attr(r, obj, key.str, out))
        return false;
    return out->type != VALUE_MISSING || undef_of(r, UNDEF_ATTR, obj, key, out);
}

/* --- slices -------------------------------------------------------------------------------------- */

struct span {
    int64_t start, step;
    size_t n;
};

static bool slice_bound(struct render *r, struct value v, bool *given, int64_t *out)
{
    *given = v.type != VALUE_NONE;
    if (!*given) return true;
    if (!value_is_int(v))
        return render_fail(r, "slice indices must be integers or None, not %s", value_type_name(v));
    *out = value_as_int(v);
    return true;
}

/* As Python's slice.indices(len). */
static bool slice_span(struct render *r, const struct value bounds[3], int64_t len,
                       struct span *out)
{
    bool has_start, has_stop, has_step;
    int64_t start = 0, stop = 0, step = 1;
    if (!slice_bound(r, bounds[0], &has_start, &start) ||
        !slice_bound(r, bounds[1], &has_stop, &stop) ||
        !slice_bound(r, bounds[2], &has_step, &step))
        return false;
    if (step == 0) return render_fail(r, "slice step cannot be zero");
    if (step < -INT64_MAX) step = -INT64_MAX;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? len : len - 1;
    int64_t *ends[] = {&start, &stop};
    for (size_t i = 0; i < 2; i++) {
        if (*ends[i] < 0) {
            *ends[i] += len;
            if (*ends[i] < low) *ends[i] = low;
        } else if (*ends[i] > high) {
            *ends[i] = high;
        }
    }
    *out = (struct span){.step = step};
    if (!has_start) start = step > 0 ? low : high;
    if (!has_stop) stop = step > 0 ? high : low;
    out->start = start;
    if (step > 0 && start < stop) out->n = (size_t)((stop - start - 1) / step + 1);
    if (step < 0 && start > stop) out->n = (size_t)((start - stop - 1) / -step + 1);
    return true;
}

static bool slice_str(struct render *r, const struct vstr *s, const struct span *p,
                      struct value *out)
{
    if (!render_charge(r, s->n_chars == s->len ? s->len : CHARGE_SLOW * s->len)) return false;
    if (p->step == 1) {
        size_t from = text_offset(s, (size_t)p->start);
        struct vstr rest = {
            .data = s->data + from, .len = s->len - from, .n_chars = s->n_chars - (size_t)p->start};
        return text_same_kind(r, s, rest.data, p->n ? text_offset(&rest, p->n) : 0, out);
    }
    size_t *offsets = render_alloc(r, s->n_chars + 1, sizeof(*offsets));
    char *data = render_alloc(r, s->len + 1, 1);
    if (!offsets || !data) return false;
    size_t at = 0, n = 0;
    for (size_t i = 0; i < s->n_chars; i++) {
        uint32_t cp;
        offsets[i] = at;
        at += text_next(s->data + at, s->len - at, &cp);
    }
    offsets[s->n_chars] = s->len;
    for (size_t i = 0; i < p->n; i++) {
        size_t k = (size_t)(p->start + (int64_t)i * p->step);
        memcpy(data + n, s->data + offsets[k], offsets[k + 1] - offsets[k]);
        n += offsets[k + 1] - offsets[k];
    }
    return text_same_kind(r, s, data, n, out);
}

static bool slice_list(struct render *r, struct value obj, const struct span *p, struct value *out)
{
    struct vlist *l = vlist_new(r, p->n);
    if (!l || !render_charge(r, p->n * sizeof(struct value))) return false;
    for (size_t i = 0; i < p->n; i++)
        l->items[l->n++] = obj.list->items[p->start + (int64_t)i * p->step];
    *out = VALUE_OF(obj.type, list, l);
    return true;
}

static bool slice_range(struct render *r, const struct vrange *g, const struct value bounds[3],
                        struct value *out)
{
    struct span p = {0};
    struct vrange *made = render_alloc(r, 1, sizeof(*made));
    if (!made || !slice_span(r, bounds, (int64_t)g->n, &p)) return false;
    int64_t start, step, end;
    if (__builtin_mul_overflow(p.start, g->step, &start) ||
        __builtin_add_overflow(start, g->start, &start) ||
        __builtin_mul_overflow(p.step, g->step, &step) ||
        __builtin_mul_overflow((int64_t)p.n, step, &end) ||
        __builtin_add_overflow(start, end, &end))
        return render_fail(r, "the slice of a range does not fit in 64 bits");
    /* Python keeps the bound it was given, which only printing shows */
    *made = (struct vrange){start, end, step, p.n};
    *out = VALUE_OF(VALUE_RANGE, range, made);
    return true;
}

bool get_slice(struct render *r, struct value obj, const struct value bounds[3], struct value *out)
{
    struct span p = {0};
    if (obj.type == VALUE_UNDEFINED) return undef_fail(r, obj);
    if (obj.type == VALUE_RANGE) return slice_range(r, obj.range, bounds, out);
    bool is_str = obj.type == VALUE_STR;
    if (!is_str && obj.type != VALUE_LIST && obj.type != VALUE_TUPLE)
        return render_fail(r, "'%s' object cannot be sliced", value_type_name(obj));
    if (!slice_span(r, bounds, value_len(obj), &p)) return false;
    return is_str ? slice_str(r, obj.str, &p, out) : slice_list(r, obj, &p, out);
}
