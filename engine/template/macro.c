/* macro.c - calling macros and the bodies of call blocks, by Jinja2's rules for arguments. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

/* The call's keywords, taken out one by one. */
struct keywords {
    const struct args *args;
    uint64_t taken; /* bit i: keyword i is used up */
};

static bool name_eq(const struct vstr *a, const char *b, size_t len)
{
    return a->len == len && memcmp(a->data, b, len) == 0;
}

static struct value take_keyword(struct keywords *k, const char *name, size_t len)
{
    for (size_t i = 0; i < k->args->n_kw && i < 64; i++) {
        if (!name_eq(k->args->kw[i].name, name, len) || (k->taken >> i & 1)) continue;
        k->taken |= (uint64_t)1 << i;
        return k->args->kw[i].val;
    }
    return value_missing();
}

static bool bind_caller(struct render *r, const struct vmacro *m, struct keywords *kw,
                        struct value *slots)
{
    const struct macro_node *mn = m->node->macro;
    if (mn->explicit_caller)
        return render_fail(r, "the macro was invoked with two values for 'caller'");
    struct value caller = take_keyword(kw, "caller", 6);
    if (caller.type == VALUE_MISSING || caller.type == VALUE_NONE) {
        const struct vundef u = {.kind = UNDEF_HINT, .hint = "No caller defined"};
        if (!value_undef(r, u, &caller)) return false;
    }
    slots[mn->caller_slot] = caller;
    return true;
}

/* What is left of the keywords: the macro's kwargs, or an error. */
static bool bind_rest(struct render *r, const struct vmacro *m, const struct keywords *kw,
                      struct value *slots)
{
    const struct macro_node *mn = m->node->macro;
    const struct args *args = kw->args;
    struct vdict *rest = mn->takes_kwargs ? vdict_new(r) : NULL;
    if (mn->takes_kwargs && !rest) return false;
    for (size_t i = 0; i < args->n_kw; i++) {
        if (kw->taken >> i & 1) continue;
        const struct vstr *name = args->kw[i].name;
        if (!rest)
            return render_fail(r, "the macro takes no keyword argument '%.*s'",
                               (int)(name->len < 64 ? name->len : 64), name->data);
        struct value key = value_from_str((struct vstr *)name);
        if (!vdict_set(r, rest, key, args->kw[i].val)) return false;
    }
    if (rest) slots[mn->kwargs_slot] = VALUE_OF(VALUE_DICT, dict, rest);
    size_t n = mn->params.n < args->n_pos ? mn->params.n : args->n_pos;
    if (mn->takes_varargs)
        return value_tuple(r, args->pos + n, args->n_pos - n, &slots[mn->varargs_slot]);
    if (args->n_pos > n)
        return render_fail(r, "the macro takes not more than %zu argument(s)", mn->params.n);
    return true;
}

static bool bind_args(struct render *r, const struct vmacro *m, const struct args *args,
                      struct value *slots)
{
    const struct macro_node *mn = m->node->macro;
    struct keywords kw = {.args = args};
    if (args->n_kw > 64) return render_fail(r, "more than 64 keyword arguments for a macro");
    bool found_caller = args->n_pos >= mn->params.n && mn->explicit_caller;
    for (size_t i = 0; i < mn->params.n; i++) {
        const struct node *p = mn->params.items[i];
        struct value v;
        if (i < args->n_pos) {
            v = args->pos[i];
        } else {
            v = take_keyword(&kw, p->name->data, p->name->len);
            if (name_eq(p->name, "caller", 6)) found_caller = true;
        }
        slots[p->ref.slot] = v;
    }
    if (mn->takes_caller && !found_caller && !bind_caller(r, m, &kw, slots)) return false;
    return bind_rest(r, m, &kw, slots);
}

/* Defaults are evaluated at each call, in order, and see the parameters before them. */
static bool fill_defaults(struct render *r, const struct macro_node *mn)
{
    size_t first = mn->params.n - mn->defaults.n;
    for (size_t i = 0; i < mn->params.n; i++) {
        struct value *slot = &r->act->slots[mn->params.items[i]->ref.slot];
        if (slot->type != VALUE_MISSING) continue;
        struct value v;
        const struct vundef u = {.kind = UNDEF_HINT, .hint = "a parameter was not provided"};
        bool ok = i >= first ? eval(r, mn->defaults.items[i - first], &v) : value_undef(r, u, &v);
        if (!ok) return false;
        *slot = v;
    }
    return true;
}

bool call_macro(struct render *r, const struct vmacro *m, const struct args *args,
                struct value *out)
{
    const struct node *n = m->node;
    const struct node *at = r->at;
    if (r->call_depth >= LIMIT_TEMPLATE_DEPTH)
        return render_fail_status(r, STATUS_TOO_LARGE, "calls are nested more than %d deep",
                                  LIMIT_TEMPLATE_DEPTH);
    struct activation *outer = r->act;
    struct activation *act = render_alloc(r, 1, sizeof(*act));
    if (act) act->slots = render_alloc(r, n->macro->n_slots + 1, sizeof(struct value));
    if (!act || !act->slots || !bind_args(r, m, args, act->slots)) return false;
    act->parent = m->act;
    act->overlay = m->act->overlay;
    r->act = act;
    r->call_depth++;
    enum flow flow;
    bool ok = scope_enter(r, &n->macro->scope) && fill_defaults(r, n->macro) &&
              exec_capture(r, n->items.items, n->items.n, &flow, out);
    r->call_depth--;
    r->act = outer;
    if (ok) r->at = at;
    return ok;
}

bool macro_attr(struct render *r, const struct vmacro *m, const struct vstr *name,
                struct value *out)
{
    const struct macro_node *mn = m->node->macro;
    struct str s = {name->data, name->len};
    *out = value_missing();
    if (str_eq(s, STR("name"))) *out = m->node->name ? value_from_str(m->node->name) : value_none();
    if (str_eq(s, STR("caller"))) *out = value_bool(mn->takes_caller);
    if (str_eq(s, STR("catch_kwargs"))) *out = value_bool(mn->takes_kwargs);
    if (str_eq(s, STR("catch_varargs"))) *out = value_bool(mn->takes_varargs);
    if (!str_eq(s, STR("arguments"))) return true;
    struct vlist *l = vlist_new(r, mn->params.n);
    if (!l) return false;
    for (size_t i = 0; i < mn->params.n; i++)
        l->items[l->n++] = value_from_str(mn->params.items[i]->name);
    *out = VALUE_OF(VALUE_TUPLE, list, l);
    return true;
}
