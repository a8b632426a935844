/* exec.c - statements other than loops and macros. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

struct value *slot_of(struct render *r, struct ref ref)
{
    struct activation *a = r->act;
    for (uint32_t i = 0; i < ref.hops; i++) a = a->parent;
    return &a->slots[ref.slot];
}

/* From the context, else a global function, else missing. */
static bool resolve(struct render *r, const struct load *l, struct value *out)
{
    const struct value *v = l->in_block ? block_resolve(r, l) : NULL;
    if (!v) v = vdict_find(r->context, l->name);
    *out = v ? *v : value_missing();
    if (v || !l->global) return true;
    struct vfunc *f = render_alloc(r, 1, sizeof(*f));
    if (!f) return false;
    *f = (struct vfunc){l->global, value_none()};
    *out = VALUE_OF(VALUE_FUNC, func, f);
    return true;
}

bool scope_enter(struct render *r, const struct scope *s)
{
    for (size_t i = 0; i < s->n_loads; i++) {
        const struct load *l = &s->loads[i];
        struct value *slot = &r->act->slots[l->slot];
        switch (l->action) {
        case LOAD_PARAM:
            break;
        case LOAD_RESOLVE:
            if (!resolve(r, l, slot)) return false;
            break;
        case LOAD_ALIAS:
            *slot = *slot_of(r, l->from);
            break;
        case LOAD_UNDEFINED:
            *slot = value_missing();
            break;
        }
    }
    return true;
}

void scope_leave(struct render *r, const struct scope *s)
{
    for (size_t i = 0; i < s->n_loads; i++) r->act->slots[s->loads[i].slot] = value_missing();
}

/* --- assignment ----------------------------------------------------------------------------------- */

static bool assign_tuple(struct render *r, const struct node *target, struct value v)
{
    struct vlist *l;
    if (v.type == VALUE_UNDEFINED && target->items.n > 0) return undef_fail(r, v);
    if (!iter_collect(r, v, &l)) return false;
    if (l->n != target->items.n)
        return render_fail(r, "cannot unpack %zu values into %zu names", l->n, target->items.n);
    for (size_t i = 0; i < l->n; i++)
        if (!assign_target(r, target->items.items[i], l->items[i])) return false;
    return true;
}

bool assign_target(struct render *r, const struct node *target, struct value v)
{
    if (target->kind == NODE_TUPLE) return assign_tuple(r, target, v);
    struct value *slot = slot_of(r, target->ref);
    if (target->kind == NODE_NAME) {
        *slot = v;
        return true;
    }
    if (slot->type != VALUE_NAMESPACE)
        return render_fail(r, "cannot assign attribute on non-namespace object");
    struct value name = value_from_str(target->attr);
    return check_namespace_name(r, name) && vdict_set(r, slot->dict, name, v);
}

static enum flow flow_of(bool ok)
{
    return ok ? FLOW_NEXT : FLOW_FAIL;
}

static enum flow exec_set(struct render *r, const struct node *n)
{
    struct value v;
    return flow_of(eval(r, n->b, &v) && assign_target(r, n->a, v));
}

bool exec_capture(struct render *r, struct node *const *body, size_t n, enum flow *flow,
                  struct value *out)
{
    struct strbuf text, *outer = r->out;
    strbuf_init(&text, LIMIT_TEMPLATE_OUTPUT);
    r->out = &text;
    *flow = exec_body(r, body, n);
    r->out = outer;
    bool ok = *flow != FLOW_FAIL && value_take(r, &text, out);
    strbuf_free(&text);
    if (!ok) *flow = FLOW_FAIL;
    return ok;
}

/* Runs a chain of filters on the captured text. */
static bool filter_text(struct render *r, const struct node *filter, struct value *text)
{
    struct value outer = r->block_text;
    r->block_text = *text;
    bool ok = eval(r, filter, text);
    r->block_text = outer;
    return ok;
}

static enum flow exec_set_block(struct render *r, const struct node *n)
{
    enum flow flow;
    struct value text;
    if (!scope_enter(r, &n->scope)) return FLOW_FAIL;
    if (!exec_capture(r, n->items.items, n->items.n, &flow, &text)) return FLOW_FAIL;
    if (flow != FLOW_NEXT) return flow;
    if (n->b && !filter_text(r, n->b, &text)) return FLOW_FAIL;
    bool ok = assign_target(r, n->a, text);
    scope_leave(r, &n->scope);
    return flow_of(ok);
}

/* --- output ---------------------------------------------------------------------------------------- */

static enum flow write_value(struct render *r, struct value v)
{
    if (!value_write(r, r->out, v)) return FLOW_FAIL;
    if (!r->out->failed) return FLOW_NEXT;
    render_fail_status(r, STATUS_TOO_LARGE, "the output is longer than %u MiB",
                       LIMIT_TEMPLATE_OUTPUT >> 20);
    return FLOW_FAIL;
}

static enum flow exec_output(struct render *r, const struct node *n)
{
    for (size_t i = 0; i < n->items.n; i++) {
        struct value v;
        if (!eval(r, n->items.items[i], &v)) return FLOW_FAIL;
        if (write_value(r, v) != FLOW_NEXT) return FLOW_FAIL;
    }
    return FLOW_NEXT;
}

/* Filter and call blocks put their result out unconverted: it must be a string. */
static enum flow write_text(struct render *r, struct value v)
{
    if (v.type == VALUE_STR) return write_value(r, v);
    render_fail(r, "this block must give a string, not %s", value_type_name(v));
    return FLOW_FAIL;
}

static enum flow exec_filter_block(struct render *r, const struct node *n)
{
    enum flow flow;
    struct value text;
    if (!scope_enter(r, &n->scope)) return FLOW_FAIL;
    if (!exec_capture(r, n->items.items, n->items.n, &flow, &text)) return FLOW_FAIL;
    if (flow != FLOW_NEXT) return flow;
    if (!filter_text(r, n->a, &text)) return FLOW_FAIL;
    scope_leave(r, &n->scope);
    return write_text(r, text);
}

enum flow exec_call_block(struct render *r, const struct node *n)
{
    struct vmacro *m = render_alloc(r, 1, sizeof(*m));
    if (!m) return FLOW_FAIL;
    *m = (struct vmacro){n, r->act};
    struct value result, callee, caller = VALUE_OF(VALUE_MACRO, macro, m);
    struct args args = {0};
    bool ok;
    if (n->a)
        ok = eval(r, n->a->a, &callee) && eval_args(r, n->a->call, caller, &args) &&
             call_value(r, callee, &args, &result);
    else
        ok = call_macro(r, m, &args, &result);
    return ok ? write_text(r, result) : FLOW_FAIL;
}

/* --- control --------------------------------------------------------------------------------------- */

static enum flow exec_if(struct render *r, const struct node *n)
{
    struct value test;
    if (!eval(r, n->a, &test)) return FLOW_FAIL;
    if (value_truth(test)) return exec_body(r, n->items.items, n->items.n);
    for (size_t i = 0; i < n->elifs.n; i++) {
        const struct node *e = n->elifs.items[i];
        if (!eval(r, e->a, &test)) return FLOW_FAIL;
        if (value_truth(test)) return exec_body(r, e->items.items, e->items.n);
    }
    return exec_body(r, n->orelse.items, n->orelse.n);
}

static enum flow exec_with(struct render *r, const struct node *n)
{
    if (!scope_enter(r, &n->scope)) return FLOW_FAIL;
    for (size_t i = 0; i + 1 < n->targets.n; i += 2) {
        struct value v;
        if (!eval(r, n->targets.items[i + 1], &v) || !assign_target(r, n->targets.items[i], v))
            return FLOW_FAIL;
    }
    enum flow flow = exec_body(r, n->items.items, n->items.n);
    if (flow == FLOW_NEXT) scope_leave(r, &n->scope);
    return flow;
}

static enum flow exec_macro(struct render *r, const struct node *n)
{
    struct vmacro *m = render_alloc(r, 1, sizeof(*m));
    if (!m) return FLOW_FAIL;
    *m = (struct vmacro){n, r->act};
    *slot_of(r, n->macro->target) = VALUE_OF(VALUE_MACRO, macro, m);
    return FLOW_NEXT;
}

static enum flow exec_one(struct render *r, const struct node *n)
{
    switch (n->kind) {
    case NODE_OUTPUT:
        return exec_output(r, n);
    case NODE_IF:
        return exec_if(r, n);
    case NODE_FOR:
        return exec_for(r, n);
    case NODE_SET:
        return exec_set(r, n);
    case NODE_SET_BLOCK:
        return exec_set_block(r, n);
    case NODE_MACRO:
        return exec_macro(r, n);
    case NODE_CALL_BLOCK:
        return exec_call_block(r, n);
    case NODE_FILTER_BLOCK:
        return exec_filter_block(r, n);
    case NODE_WITH:
        return exec_with(r, n);
    case NODE_BLOCK:
        return exec_block(r, n);
    case NODE_BREAK:
        return FLOW_BREAK;
    case NODE_CONTINUE:
        return FLOW_CONTINUE;
    default:
        CHECK(!"a statement");
        return FLOW_FAIL;
    }
}

enum flow exec_body(struct render *r, struct node *const *body, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->at = body[i];
        if (!render_enter(r)) return FLOW_FAIL;
        enum flow flow = exec_one(r, body[i]);
        render_leave(r);
        if (flow != FLOW_NEXT) return flow;
    }
    return FLOW_NEXT;
}
