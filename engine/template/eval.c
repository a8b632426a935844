/* eval.c - expressions. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <string.h>

#define MAX_PARAMS   8
#define MAX_KEYWORDS 1024 /* of one call: they are searched one by one */

/* --- arguments ---------------------------------------------------------------------------------- */

/* Names are separated by one space each. */
static size_t count_params(const char *params)
{
    if (params[0] == '/') params++;
    size_t n = params[0] != '\0';
    for (; *params; params++) n += *params == ' ';
    return n;
}

static size_t param_index(const char *params, const struct vstr *name)
{
    if (params[0] == '/') params++;
    for (size_t i = 0; *params; i++) {
        params += strspn(params, " ");
        size_t len = strcspn(params, " ");
        if (len == name->len && len && memcmp(params, name->data, len) == 0) return i;
        params += len;
    }
    return SIZE_MAX;
}

static bool bind_keyword(struct render *r, const struct method_def *def, const struct keyword *k,
                         struct value *bound)
{
    size_t at = param_index(def->params, k->name);
    if (at == SIZE_MAX)
        return render_fail(r, "%s() got an unexpected keyword argument '%.*s'", def->name,
                           (int)(k->name->len < 64 ? k->name->len : 64), k->name->data);
    if (bound[at].type != VALUE_MISSING)
        return render_fail(r, "%s() got multiple values for an argument", def->name);
    bound[at] = k->val;
    return true;
}

bool call_method_def(struct render *r, const struct method_def *def, struct value self,
                     const struct args *args, struct value *out)
{
    if (!def->params) return def->fn(r, self, args, out);
    struct value bound[MAX_PARAMS] = {{.type = VALUE_MISSING}};
    size_t n = count_params(def->params);
    DCHECK(n <= MAX_PARAMS);
    if (args->n_pos > n)
        return render_fail(r, "%s() takes at most %zu arguments (%zu given)", def->name, n,
                           args->n_pos);
    if (args->n_kw && def->params[0] == '/')
        return render_fail(r, "%s() takes no keyword arguments", def->name);
    for (size_t i = 0; i < args->n_pos; i++) bound[i] = args->pos[i];
    for (size_t i = 0; i < args->n_kw; i++)
        if (!bind_keyword(r, def, &args->kw[i], bound)) return false;
    for (int i = 0; i < def->n_required; i++)
        if (bound[i].type == VALUE_MISSING)
            return render_fail(r, "%s() is missing an argument", def->name);
    struct args a = {.pos = bound, .n_pos = n};
    return def->fn(r, self, &a, out);
}

bool arg_int(struct render *r, struct value v, int64_t absent, int64_t *out)
{
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (v.type != VALUE_MISSING && !value_is_int(v))
        return render_fail(r, "'%s' object cannot be interpreted as an integer",
                           value_type_name(v));
    *out = v.type == VALUE_MISSING ? absent : value_as_int(v);
    return true;
}

bool arg_str(struct render *r, struct value v, const char *what, const struct vstr **out)
{
    if (v.type != VALUE_STR)
        return render_fail(r, "%s must be a string, not %s", what, value_type_name(v));
    *out = v.str;
    return true;
}

bool arg_bool(struct value v, bool absent)
{
    return v.type == VALUE_MISSING ? absent : value_truth(v);
}

static bool expand_dyn_args(struct render *r, const struct node *n, struct vlist *pos)
{
    struct value v;
    struct vlist *l;
    if (!eval(r, n, &v) || !iter_collect(r, v, &l)) return false;
    for (size_t i = 0; i < l->n; i++)
        if (!vlist_push(r, pos, l->items[i])) return false;
    return true;
}

static bool add_keyword(struct render *r, struct args *a, const struct vstr *name, struct value val)
{
    for (size_t i = 0; i < a->n_kw; i++)
        if (a->kw[i].name->len == name->len &&
            memcmp(a->kw[i].name->data, name->data, name->len) == 0)
            return render_fail(r, "got multiple values for the keyword argument '%.*s'",
                               (int)(name->len < 64 ? name->len : 64), name->data);
    a->kw[a->n_kw++] = (struct keyword){name, val};
    return true;
}

static bool expand_dyn_kwargs(struct render *r, const struct node *n, struct vdict **out)
{
    struct value v;
    if (!eval(r, n, &v)) return false;
    if (v.type != VALUE_DICT) return render_fail(r, "the argument behind ** must be a mapping");
    for (size_t i = 0; i < v.dict->n; i++)
        if (v.dict->entries[i].key.type != VALUE_STR)
            return render_fail(r, "keywords must be strings");
    *out = v.dict;
    return true;
}

bool eval_args(struct render *r, const struct call_node *call, struct value caller,
               struct args *out)
{
    static const struct vstr caller_name = {.data = "caller", .len = 6, .n_chars = 6};
    struct vdict *dyn = NULL;
    *out = (struct args){0};
    bool any = call->args.n || call->n_kw || call->dyn_args || call->dyn_kwargs;
    if (!any && caller.type == VALUE_MISSING) return true;
    struct vlist *pos = vlist_new(r, call->args.n);
    if (!pos) return false;
    for (size_t i = 0; i < call->args.n; i++) {
        struct value v;
        if (!eval(r, call->args.items[i], &v) || !vlist_push(r, pos, v)) return false;
    }
    if (call->dyn_args && !expand_dyn_args(r, call->dyn_args, pos)) return false;
    if (call->dyn_kwargs && !expand_dyn_kwargs(r, call->dyn_kwargs, &dyn)) return false;
    out->pos = pos->items;
    out->n_pos = pos->n;
    size_t n_kw = call->n_kw + (dyn ? dyn->n : 0) + (caller.type != VALUE_MISSING);
    if (n_kw == 0) return true;
    if (n_kw > MAX_KEYWORDS) return render_fail(r, "more than %d keyword arguments", MAX_KEYWORDS);
    out->kw = render_alloc(r, n_kw, sizeof(*out->kw));
    if (!out->kw) return false;
    for (size_t i = 0; i < call->n_kw; i++) {
        struct value v;
        if (!eval(r, call->kw[i].val, &v) || !add_keyword(r, out, call->kw[i].name, v))
            return false;
    }
    for (size_t i = 0; dyn && i < dyn->n; i++)
        if (!add_keyword(r, out, dyn->entries[i].key.str, dyn->entries[i].val)) return false;
    return caller.type == VALUE_MISSING || add_keyword(r, out, &caller_name, caller);
}

static bool call_joiner(struct render *r, struct vjoiner *j, struct value *out)
{
    if (!j->used) {
        j->used = true;
        return value_str_view(r, "", 0, false, out);
    }
    *out = j->sep;
    return true;
}

bool call_value(struct render *r, struct value callee, const struct args *args, struct value *out)
{
    switch (callee.type) {
    case VALUE_FUNC:
        return call_method_def(r, callee.func->def, callee.func->self, args, out);
    case VALUE_MACRO:
        return call_macro(r, callee.macro, args, out);
    case VALUE_LOOP:
        if (args->n_pos != 1 || args->n_kw) return render_fail(r, "loop() takes one argument");
        return call_loop(r, callee.loop, args->pos[0], out);
    case VALUE_JOINER:
        if (args->n_pos || args->n_kw) return render_fail(r, "a joiner takes no arguments");
        return call_joiner(r, callee.joiner, out);
    case VALUE_BLOCK:
        if (args->n_pos || args->n_kw) return render_fail(r, "a block takes no arguments");
        return call_block(r, callee.block, out);
    case VALUE_UNDEFINED:
        return undef_fail(r, callee);
    default:
        return render_fail(r, "'%s' object is not callable", value_type_name(callee));
    }
}

/* --- one evaluator per kind of node ------------------------------------------------------------- */

static bool eval_name(struct render *r, const struct node *n, struct value *out)
{
    *out = *slot_of(r, n->ref);
    if (out->type != VALUE_MISSING) return true;
    return value_undef(r, (struct vundef){.kind = UNDEF_NAME, .name = value_from_str(n->name)},
                       out);
}

static bool eval_items(struct render *r, const struct node *n, struct value *out)
{
    struct vlist *l = vlist_new(r, n->items.n);
    if (!l) return false;
    for (size_t i = 0; i < n->items.n; i++)
        if (!eval(r, n->items.items[i], &l->items[l->n++])) return false;
    *out = VALUE_OF(n->kind == NODE_LIST ? VALUE_LIST : VALUE_TUPLE, list, l);
    return true;
}

static bool eval_dict(struct render *r, const struct node *n, struct value *out)
{
    struct vdict *d = vdict_new(r);
    if (!d) return false;
    for (size_t i = 0; i + 1 < n->items.n; i += 2) {
        struct value k, v;
        if (!eval(r, n->items.items[i], &k) || !eval(r, n->items.items[i + 1], &v) ||
            !vdict_set(r, d, k, v))
            return false;
    }
    *out = VALUE_OF(VALUE_DICT, dict, d);
    return true;
}

static bool eval_cond(struct render *r, const struct node *n, struct value *out)
{
    struct value test;
    if (!eval(r, n->a, &test)) return false;
    if (value_truth(test)) return eval(r, n->b, out);
    if (n->c) return eval(r, n->c, out);
    return value_undef(r,
                       (struct vundef){.kind = UNDEF_HINT,
                                       .hint = "the inline if-expression evaluated to false and "
                                               "no else section was defined"},
                       out);
}

static bool eval_logical(struct render *r, const struct node *n, struct value *out)
{
    for (size_t i = 0; i < n->items.n; i++) {
        if (!eval(r, n->items.items[i], out)) return false;
        if (i + 1 < n->items.n && value_truth(*out) == (n->kind == NODE_OR)) return true;
    }
    return true;
}

static bool eval_not(struct render *r, const struct node *n, struct value *out)
{
    struct value v;
    if (!eval(r, n->a, &v)) return false;
    *out = value_bool(!value_truth(v));
    return true;
}

static bool compare_pair(struct render *r, enum compare_kind op, struct value a, struct value b,
                         bool *holds)
{
    bool is_order = op == CMP_LT || op == CMP_LE || op == CMP_GT || op == CMP_GE;
    if (is_order && (a.type == VALUE_UNDEFINED || b.type == VALUE_UNDEFINED))
        return undef_fail(r, a.type == VALUE_UNDEFINED ? a : b);
    switch (op) {
    case CMP_EQ:
    case CMP_NE:
        if (!value_eq(r, a, b, holds)) return false;
        *holds = *holds == (op == CMP_EQ);
        return true;
    case CMP_IN:
    case CMP_NOT_IN:
        if (!value_contains(r, b, a, holds)) return false;
        *holds = *holds == (op == CMP_IN);
        return true;
    case CMP_LT:
        return value_compare(r, COMPARE_LT, a, b, holds);
    case CMP_LE:
        return value_compare(r, COMPARE_LE, a, b, holds);
    case CMP_GT:
        return value_compare(r, COMPARE_GT, a, b, holds);
    default:
        return value_compare(r, COMPARE_GE, a, b, holds);
    }
}

/* a < b < c holds when both hold; what follows a false one is not evaluated. */
static bool eval_compare(struct render *r, const struct node *n, struct value *out)
{
    struct value left, right;
    bool holds = true;
    if (!eval(r, n->a, &left)) return false;
    for (size_t i = 0; i < n->items.n && holds; i++) {
        const struct node *o = n->items.items[i];
        if (!eval(r, o->a, &right) ||
            !compare_pair(r, (enum compare_kind)o->op, left, right, &holds))
            return false;
        left = right;
    }
    *out = value_bool(holds);
    return true;
}

static bool eval_binary(struct render *r, const struct node *n, struct value *out)
{
    struct value left, right;
    if (!eval(r, n->a, &left)) return false;
    for (size_t i = 0; i < n->items.n; i++) {
        const struct node *o = n->items.items[i];
        r->at = o;
        if (!eval(r, o->a, &right) || !render_enter(r)) return false; /* each operator is a step */
        bool ok = binary_op(r, (enum binary_op)o->op, left, right, &left);
        render_leave(r);
        if (!ok) return false;
    }
    *out = left;
    return true;
}

static bool eval_unary(struct render *r, const struct node *n, struct value *out)
{
    struct value a;
    return eval(r, n->a, &a) && unary_op(r, (enum binary_op)n->op, a, out);
}

static bool eval_concat(struct render *r, const struct node *n, struct value *out)
{
    struct vstr *s;
    for (size_t i = 0; i < n->items.n; i++) {
        struct value v;
        if (!eval(r, n->items.items[i], &v) || !value_to_str(r, v, &s)) return false;
        if (i == 0)
            *out = value_from_str(s);
        else if (!value_concat(r, out->str, s, false, out))
            return false;
    }
    return true;
}

static bool eval_attr(struct render *r, const struct node *n, struct value *out)
{
    struct value obj;
    return eval(r, n->a, &obj) && get_attr(r, obj, n->name, out);
}

static bool eval_item(struct render *r, const struct node *n, struct value *out)
{
    struct value obj, key;
    return eval(r, n->a, &obj) && eval(r, n->b, &key) && get_item(r, obj, key, out);
}

static bool eval_slice(struct render *r, const struct node *n, struct value *out)
{
    struct value obj, bounds[3];
    if (!eval(r, n->a, &obj)) return false;
    for (size_t i = 0; i < 3; i++) {
        bounds[i] = value_none();
        if (n->items.items[i] && !eval(r, n->items.items[i], &bounds[i])) return false;
    }
    return get_slice(r, obj, bounds, out);
}

static bool eval_call(struct render *r, const struct node *n, struct value *out)
{
    struct value callee;
    struct args args;
    return eval(r, n->a, &callee) && eval_args(r, n->call, value_missing(), &args) &&
           call_value(r, callee, &args, out);
}

/* Filters and tests; a filter without subject works on the text of its block. */
static bool eval_apply(struct render *r, const struct node *n, struct value *out)
{
    struct value subject = r->block_text;
    struct args args;
    if (n->a && !eval(r, n->a, &subject)) return false;
    if (!n->def)
        return render_fail(r, "no %s named '%.*s' found",
                           n->kind == NODE_FILTER ? "filter" : "test",
                           (int)(n->name->len < 64 ? n->name->len : 64), n->name->data);
    return eval_args(r, n->call, value_missing(), &args) &&
           call_method_def(r, n->def, subject, &args, out);
}

static bool (*const evaluators[])(struct render *r, const struct node *n, struct value *out) = {
    [NODE_NAME] = eval_name,     [NODE_TUPLE] = eval_items,  [NODE_LIST] = eval_items,
    [NODE_DICT] = eval_dict,     [NODE_COND] = eval_cond,    [NODE_OR] = eval_logical,
    [NODE_AND] = eval_logical,   [NODE_NOT] = eval_not,      [NODE_COMPARE] = eval_compare,
    [NODE_BINARY] = eval_binary, [NODE_UNARY] = eval_unary,  [NODE_CONCAT] = eval_concat,
    [NODE_ATTR] = eval_attr,     [NODE_ITEM] = eval_item,    [NODE_SLICE] = eval_slice,
    [NODE_CALL] = eval_call,     [NODE_FILTER] = eval_apply, [NODE_TEST] = eval_apply,
};

bool eval(struct render *r, const struct node *n, struct value *out)
{
    if (n->kind == NODE_CONST) {
        *out = n->value;
        return true;
    }
    const struct node *outer = r->at;
    r->at = n;
    if (!render_enter(r)) return false;
    DCHECK((size_t)n->kind < ARRAY_LEN(evaluators) && evaluators[n->kind]);
    bool ok = evaluators[n->kind](r, n, out);
    render_leave(r);
    if (ok) r->at = outer;
    return ok;
}
