/* scope.c - gives every name its variable, the way Jinja2's compiler does (its idtracking): names
 * are bound when the template is compiled, so that reading `x` before `{% set x %}` in the same
 * scope, setting it in one branch of an if, or in a loop's body, mean exactly what they mean there.
 *
 * A scope is analysed first (collect: which names it loads and stores), then its nodes get their
 * slots (walk), scopes inside it on the way. */

#include "config/base/check.h"
#include "engine/template/compile.h"
#include "engine/template/interp.h"

#include <string.h>

#define SCOPE_MAX_NAMES 1024 /* keeps the linear searches below linear in practice */

struct function {
    struct function *parent;
    uint32_t n_slots;
};
struct symbol {
    const struct vstr *name;
    uint32_t slot;
    enum load_action action;
    struct function *from_func; /* LOAD_ALIAS */
    uint32_t from_slot;
    bool stored;
};
struct slot_name {
    const struct vstr *name;
    uint32_t slot;
};
struct slot_names { /* shared by the copies of a scope: one slot per name */
    struct slot_name *items;
    size_t n, cap;
};
struct symbols {
    struct symbols *parent;
    struct function *func;
    struct slot_names *slots;
    struct symbol *items;
    size_t n, cap;
};
struct walker {
    struct compiler *c;
    bool soft;    /* inside an if: an unknown filter fails when it runs */
    int in_loops; /* for-loops around, in any function */
};

static bool no_memory(struct compiler *c)
{
    return compile_fail(c, 1, 1, "the template needs too much memory");
}

static bool same_name(const struct vstr *a, const struct vstr *b)
{
    return a == b || (a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}

static bool is_name(const struct vstr *a, const char *name)
{
    return str_eq((struct str){a->data, a->len}, str_from(name));
}

static struct symbols *symbols_new(struct compiler *c, struct symbols *parent,
                                   struct function *func)
{
    struct symbols *s = arena_alloc(&c->scratch, sizeof(*s));
    if (s) s->slots = arena_alloc(&c->scratch, sizeof(*s->slots));
    if (!s || !s->slots) {
        no_memory(c);
        return NULL;
    }
    s->parent = parent;
    s->func = func;
    return s;
}

static struct function *function_new(struct compiler *c, struct function *parent)
{
    struct function *f = arena_alloc(&c->scratch, sizeof(*f));
    if (!f) {
        no_memory(c);
        return NULL;
    }
    f->parent = parent;
    return f;
}

static struct symbol *symbols_find(const struct symbols *s, const struct vstr *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (same_name(s->items[i].name, name)) return &s->items[i];
    return NULL;
}

/* The nearest scope that knows the name, from `s` outward. */
static struct symbol *symbols_lookup(struct symbols *s, const struct vstr *name,
                                     struct symbols **owner)
{
    for (; s; s = s->parent) {
        struct symbol *found = symbols_find(s, name);
        if (found) {
            *owner = s;
            return found;
        }
    }
    return NULL;
}

/* A grown copy in the scratch arena; NULL after compile_fail. */
static void *grow(struct compiler *c, void *items, size_t n, size_t *cap, size_t item_size)
{
    if (n < *cap) return items;
    size_t want = *cap ? *cap * 2 : 8;
    void *grown = arena_alloc_array(&c->scratch, want, item_size);
    if (!grown) {
        no_memory(c);
        return NULL;
    }
    if (n) memcpy(grown, items, n * item_size);
    *cap = want;
    return grown;
}

static bool slot_for(struct compiler *c, struct symbols *s, const struct vstr *name, uint32_t *slot)
{
    struct slot_names *t = s->slots;
    for (size_t i = 0; i < t->n; i++)
        if (same_name(t->items[i].name, name)) {
            *slot = t->items[i].slot;
            return true;
        }
    if (t->n >= SCOPE_MAX_NAMES)
        return compile_fail(c, 1, 1, "more than %d names in one scope", SCOPE_MAX_NAMES);
    t->items = grow(c, t->items, t->n, &t->cap, sizeof(*t->items));
    if (!t->items) return false;
    *slot = s->func->n_slots++;
    t->items[t->n++] = (struct slot_name){name, *slot};
    return true;
}

static struct symbol *symbols_add(struct compiler *c, struct symbols *s, const struct vstr *name)
{
    struct symbol *found = symbols_find(s, name);
    if (found) return found;
    s->items = grow(c, s->items, s->n, &s->cap, sizeof(*s->items));
    if (!s->items) return NULL;
    struct symbol *sym = &s->items[s->n];
    *sym = (struct symbol){.name = name};
    if (!slot_for(c, s, name, &sym->slot)) return NULL;
    s->n++;
    return sym;
}

static void alias_or(struct symbols *s, struct symbol *sym, enum load_action otherwise)
{
    struct symbols *owner = NULL;
    struct symbol *outer = s->parent ? symbols_lookup(s->parent, sym->name, &owner) : NULL;
    sym->action = outer ? LOAD_ALIAS : otherwise;
    if (outer) {
        sym->from_func = owner->func;
        sym->from_slot = outer->slot;
    }
}

static bool use_name(struct compiler *c, struct symbols *s, const struct vstr *name,
                     enum name_use use)
{
    struct symbols *owner;
    if (use == USE_LOAD && symbols_lookup(s, name, &owner)) return true;
    bool known = symbols_find(s, name) != NULL;
    struct symbol *sym = symbols_add(c, s, name);
    if (!sym) return false;
    if (use == USE_LOAD) {
        sym->action = LOAD_RESOLVE;
    } else if (use == USE_PARAM) {
        sym->action = LOAD_PARAM;
        sym->stored = true;
    } else {
        if (!known) alias_or(s, sym, LOAD_UNDEFINED);
        sym->stored = true;
    }
    return true;
}

/* --- collect: the names of one scope ---------------------------------------------------------- */

static bool collect(struct compiler *c, struct symbols *s, const struct node *n);

static bool collect_list(struct compiler *c, struct symbols *s, const struct node_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!collect(c, s, l->items[i])) return false;
    return true;
}

static bool collect_target(struct compiler *c, struct symbols *s, const struct node *n,
                           enum name_use use)
{
    if (n->kind == NODE_NAME) return use_name(c, s, n->name, use);
    if (n->kind == NODE_NSREF) return use_name(c, s, n->name, USE_LOAD);
    for (size_t i = 0; i < n->items.n; i++)
        if (!collect_target(c, s, n->items.items[i], use)) return false;
    return true;
}

static bool collect_call(struct compiler *c, struct symbols *s, const struct call_node *call)
{
    if (!collect_list(c, s, &call->args)) return false;
    for (size_t i = 0; i < call->n_kw; i++)
        if (!collect(c, s, call->kw[i].val)) return false;
    return (!call->dyn_args || collect(c, s, call->dyn_args)) &&
           (!call->dyn_kwargs || collect(c, s, call->dyn_kwargs));
}

/* Copies live while one `if` is analysed; their memory is used again, so that many ifs in a scope of
 * many names cost no more than the largest. */
static struct symbols *symbols_copy(struct compiler *c, const struct symbols *s)
{
    struct symbols *copy = c->spare;
    if (copy)
        c->spare = copy->parent;
    else
        copy = symbols_new(c, NULL, s->func);
    if (!copy) return NULL;
    if (copy->cap < s->n) {
        copy->cap = s->cap;
        copy->items = arena_alloc_array(&c->scratch, s->cap, sizeof(*s->items));
    }
    if (s->n && !copy->items) {
        no_memory(c);
        return NULL;
    }
    copy->parent = s->parent;
    copy->func = s->func;
    copy->slots = s->slots;
    copy->n = s->n;
    if (s->n) memcpy(copy->items, s->items, s->n * sizeof(*s->items));
    return copy;
}

static void symbols_release(struct compiler *c, struct symbols *copy)
{
    copy->parent = c->spare;
    c->spare = copy;
}

/* A name that only some branch stores starts as the outer variable or the context's.  The names of
 * `before` come first, in the same order, in all of them. */
static bool merge_branch(struct compiler *c, struct symbols *s, const struct symbols *branch,
                         const struct symbols *before)
{
    for (size_t i = 0; i < branch->n; i++) {
        const struct symbol *from = &branch->items[i];
        const struct symbol *old = i < before->n ? &before->items[i] : NULL;
        struct symbol *sym = old ? &s->items[i] : symbols_add(c, s, from->name);
        if (!sym) return false;
        bool newly_stored = from->stored && !(old && old->stored);
        bool stored = sym->stored || from->stored;
        *sym = *from;
        sym->stored = stored;
        if (newly_stored) alias_or(s, sym, LOAD_RESOLVE);
    }
    return true;
}

static bool collect_if(struct compiler *c, struct symbols *s, const struct node *n)
{
    if (!collect(c, s, n->a)) return false;
    const struct node_list *branches[] = {&n->items, &n->elifs, &n->orelse};
    struct symbols *before = symbols_copy(c, s), *copies[3];
    if (!before) return false;
    for (size_t i = 0; i < 3; i++) {
        copies[i] = branches[i]->n ? symbols_copy(c, before) : NULL;
        if (!branches[i]->n) continue;
        if (!copies[i] || !collect_list(c, copies[i], branches[i])) return false;
    }
    for (size_t i = 0; i < 3; i++)
        if (!merge_branch(c, s, copies[i] ? copies[i] : before, before)) return false;
    /* A later branch that only reads the name must not undo what the merge decided. */
    for (size_t i = 0; i < s->n; i++) {
        bool was = i < before->n && before->items[i].stored;
        if (s->items[i].stored && !was) alias_or(s, &s->items[i], LOAD_RESOLVE);
    }
    symbols_release(c, before);
    for (size_t i = 0; i < 3; i++)
        if (copies[i]) symbols_release(c, copies[i]);
    return true;
}

static bool collect(struct compiler *c, struct symbols *s, const struct node *n)
{
    switch (n->kind) {
    case NODE_NAME:
    case NODE_NSREF:
        return use_name(c, s, n->name, USE_LOAD);
    case NODE_SET:
        return collect(c, s, n->b) && collect_target(c, s, n->a, USE_STORE);
    case NODE_SET_BLOCK:
        return collect_target(c, s, n->a, USE_STORE);
    case NODE_FOR:
        return collect(c, s, n->b);
    case NODE_IF:
        return collect_if(c, s, n);
    case NODE_MACRO:
        return use_name(c, s, n->name, USE_STORE);
    case NODE_BLOCK: /* its names are its own */
        return true;
    case NODE_CALL_BLOCK:
    case NODE_FILTER_BLOCK:
        return !n->a || collect(c, s, n->a);
    case NODE_WITH:
        for (size_t i = 1; i < n->targets.n; i += 2)
            if (!collect(c, s, n->targets.items[i])) return false;
        return true;
    default:
        break;
    }
    if ((n->a && !collect(c, s, n->a)) || (n->b && !collect(c, s, n->b)) ||
        (n->c && !collect(c, s, n->c)))
        return false;
    for (size_t i = 0; i < n->items.n; i++)
        if (n->items.items[i] && !collect(c, s, n->items.items[i])) return false;
    return !n->call || collect_call(c, s, n->call);
}

/* --- free names: does a body use `loop`, `caller`, ... as its own? ----------------------------- */

struct free_name {
    const char *name;
    bool bound, used;
};

static void find_free(const struct node *n, struct free_name *f, size_t n_free, enum name_use use);

static void find_free_list(const struct node_list *l, struct free_name *f, size_t n_free,
                           enum name_use use)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i]) find_free(l->items[i], f, n_free, use);
}

static void note_free(const struct vstr *name, struct free_name *f, size_t n_free,
                      enum name_use use)
{
    for (size_t i = 0; i < n_free; i++) {
        if (!is_name(name, f[i].name)) continue;
        if (use != USE_LOAD)
            f[i].bound = true;
        else if (!f[i].bound)
            f[i].used = true;
    }
}

static void find_free_call(const struct call_node *call, struct free_name *f, size_t n_free)
{
    find_free_list(&call->args, f, n_free, USE_LOAD);
    for (size_t i = 0; i < call->n_kw; i++) find_free(call->kw[i].val, f, n_free, USE_LOAD);
    if (call->dyn_args) find_free(call->dyn_args, f, n_free, USE_LOAD);
    if (call->dyn_kwargs) find_free(call->dyn_kwargs, f, n_free, USE_LOAD);
}

/* Children in the order of Jinja2's own walk, which decides what is bound before what is used. */
static void find_free(const struct node *n, struct free_name *f, size_t n_free, enum name_use use)
{
    if (n->kind == NODE_NAME) note_free(n->name, f, n_free, use);
    if (n->kind == NODE_NSREF || n->kind == NODE_NAME || n->kind == NODE_BLOCK) return;
    bool stores = n->kind == NODE_SET || n->kind == NODE_SET_BLOCK || n->kind == NODE_FOR;
    bool late = n->kind == NODE_FOR || n->kind == NODE_FILTER_BLOCK; /* c or a after the body */
    if (n->kind == NODE_WITH) {
        for (size_t i = 0; i < n->targets.n; i += 2)
            find_free(n->targets.items[i], f, n_free, USE_STORE);
        for (size_t i = 1; i < n->targets.n; i += 2)
            find_free(n->targets.items[i], f, n_free, USE_LOAD);
    }
    if (n->a && n->kind != NODE_FILTER_BLOCK) find_free(n->a, f, n_free, stores ? USE_STORE : use);
    if (n->b) find_free(n->b, f, n_free, USE_LOAD);
    if (n->c && !late) find_free(n->c, f, n_free, USE_LOAD);
    if (n->macro) {
        find_free_list(&n->macro->params, f, n_free, USE_PARAM);
        find_free_list(&n->macro->defaults, f, n_free, USE_LOAD);
    }
    find_free_list(&n->items, f, n_free, use);
    find_free_list(&n->elifs, f, n_free, USE_LOAD);
    find_free_list(&n->orelse, f, n_free, USE_LOAD);
    if (late && n->kind == NODE_FOR && n->c) find_free(n->c, f, n_free, USE_LOAD);
    if (late && n->kind == NODE_FILTER_BLOCK) find_free(n->a, f, n_free, USE_LOAD);
    if (n->call) find_free_call(n->call, f, n_free);
}

/* --- walk: slots for every use ----------------------------------------------------------------- */

static bool walk(struct walker *w, struct symbols *s, struct node *n);

static bool walk_list(struct walker *w, struct symbols *s, const struct node_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i] && !walk(w, s, l->items[i])) return false;
    return true;
}

static uint32_t count_hops(const struct function *from, const struct function *to)
{
    uint32_t hops = 0;
    for (; from && from != to; from = from->parent) hops++;
    return hops;
}

static bool bind(struct walker *w, struct symbols *s, const struct vstr *name, struct ref *out)
{
    struct symbols *owner = NULL;
    struct symbol *sym = symbols_lookup(s, name, &owner);
    if (!sym) { /* e.g. in the filter of a set block, which no analysis visits */
        if (!use_name(w->c, s, name, USE_LOAD)) return false;
        sym = symbols_find(s, name);
        owner = s;
    }
    CHECK(sym != NULL);
    *out = (struct ref){count_hops(s->func, owner->func), sym->slot};
    return true;
}

static void resolve_load(const struct compiler *c, const struct vstr *name, struct load *l)
{
    l->global = global_find((struct str){name->data, name->len});
    l->in_block = c->in_block;
    const struct symbol *own = c->in_block ? symbols_find(c->root, name) : NULL;
    if (own && own->stored) l->exported_as = own->slot + 1;
}

/* What entering the scope does, for the interpreter. */
static bool scope_finish(struct compiler *c, const struct symbols *s, struct scope *out)
{
    out->n_loads = s->n;
    out->loads = s->n ? compile_alloc(c, s->n, sizeof(*out->loads)) : NULL;
    if (s->n && !out->loads) return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct symbol *sym = &s->items[i];
        struct load *l = &out->loads[i];
        *l = (struct load){.action = sym->action, .slot = sym->slot, .name = sym->name};
        if (sym->action == LOAD_RESOLVE) resolve_load(c, sym->name, l);
        if (sym->action == LOAD_ALIAS)
            l->from = (struct ref){count_hops(s->func, sym->from_func), sym->from_slot};
    }
    return true;
}

static bool walk_target(struct walker *w, struct symbols *s, struct node *n, bool is_store)
{
    if (n->kind == NODE_TUPLE) {
        for (size_t i = 0; i < n->items.n; i++)
            if (!walk_target(w, s, n->items.items[i], is_store)) return false;
        return true;
    }
    if (is_store && n->kind == NODE_NAME && w->in_loops && is_name(n->name, "loop"))
        return compile_fail(w->c, n->line, n->col, "the variable 'loop' cannot be assigned to");
    return bind(w, s, n->name, &n->ref);
}

static bool walk_call(struct walker *w, struct symbols *s, const struct call_node *call)
{
    if (!walk_list(w, s, &call->args)) return false;
    for (size_t i = 0; i < call->n_kw; i++)
        if (!walk(w, s, call->kw[i].val)) return false;
    return (!call->dyn_args || walk(w, s, call->dyn_args)) &&
           (!call->dyn_kwargs || walk(w, s, call->dyn_kwargs));
}

static bool find_def(struct walker *w, struct node *n)
{
    struct str name = {n->name->data, n->name->len};
    bool is_filter = n->kind == NODE_FILTER;
    n->def = is_filter ? filter_find(name) : test_find(name);
    if (n->def || w->soft) return true;
    const char *why = is_filter && filter_is_refused(name) ? "is not supported" : "does not exist";
    return compile_fail(w->c, n->line, n->col, "the %s '%.*s' %s", is_filter ? "filter" : "test",
                        (int)(name.len < 64 ? name.len : 64), name.data, why);
}

static struct node *clone_target(struct compiler *c, const struct node *n)
{
    struct node *copy = compile_alloc(c, 1, sizeof(*copy));
    if (!copy) return NULL;
    *copy = *n;
    copy->items = (struct node_list){0};
    for (size_t i = 0; i < n->items.n; i++)
        if (!node_list_push(c, &copy->items, clone_target(c, n->items.items[i]))) return NULL;
    return copy;
}

/* The condition of a for loop is a function of its own with its own loop variables. */
static bool walk_for_test(struct walker *w, struct symbols *s, struct node *n)
{
    struct function *func = function_new(w->c, s->func);
    struct symbols *inner = func ? symbols_new(w->c, s, func) : NULL;
    n->loop->test_target = clone_target(w->c, n->a);
    if (!inner || !n->loop->test_target) return false;
    if (!collect_target(w->c, inner, n->a, USE_PARAM) || !collect(w->c, inner, n->c) ||
        !walk_target(w, inner, n->loop->test_target, true) || !walk(w, inner, n->c) ||
        !scope_finish(w->c, inner, &n->loop->test))
        return false;
    n->loop->n_test_slots = func->n_slots;
    return true;
}

static bool walk_for(struct walker *w, struct symbols *s, struct node *n)
{
    struct loop_node *loop = n->loop;
    struct function *func = loop->recursive ? function_new(w->c, s->func) : s->func;
    struct symbols *body = func ? symbols_new(w->c, s, func) : NULL;
    struct symbols *orelse = func ? symbols_new(w->c, s, func) : NULL;
    if (!body || !orelse) return false;
    struct free_name uses_loop = {"loop", false, false};
    find_free_list(&n->items, &uses_loop, 1, USE_LOAD);
    loop->has_loop = loop->has_loop || loop->recursive || uses_loop.used;
    if (loop->has_loop) {
        struct vstr *name = compile_str(w->c, "loop", 4);
        if (!name || !use_name(w->c, body, name, USE_PARAM)) return false;
        loop->loop_slot = symbols_find(body, name)->slot;
    }
    if (!collect_target(w->c, body, n->a, USE_PARAM) || !collect_list(w->c, body, &n->items) ||
        !collect_list(w->c, orelse, &n->orelse))
        return false;
    w->in_loops++;
    bool ok = (!n->c || walk_for_test(w, s, n)) && walk_target(w, body, n->a, true) &&
              walk(w, s, n->b) && walk_list(w, body, &n->items) && walk_list(w, orelse, &n->orelse);
    w->in_loops--;
    loop->n_slots = func->n_slots;
    return ok && scope_finish(w->c, body, &loop->body) && scope_finish(w->c, orelse, &loop->orelse);
}

static const char *const special_names[] = {"caller", "kwargs", "varargs"};

static bool has_param(const struct macro_node *m, const char *name, size_t *index)
{
    for (*index = 0; *index < m->params.n; (*index)++)
        if (is_name(m->params.items[*index]->name, name)) return true;
    return false;
}

/* caller, kwargs and varargs exist where the body uses them and no parameter has the name. */
static bool declare_specials(struct walker *w, struct symbols *s, struct node *n)
{
    struct macro_node *m = n->macro;
    struct free_name specials[3];
    bool *takes[] = {&m->takes_caller, &m->takes_kwargs, &m->takes_varargs};
    uint32_t *slots[] = {&m->caller_slot, &m->kwargs_slot, &m->varargs_slot};
    for (size_t i = 0; i < 3; i++) specials[i] = (struct free_name){special_names[i], false, false};
    find_free_list(&n->items, specials, 3, USE_LOAD);
    for (size_t i = 0; i < 3; i++) {
        size_t at;
        bool is_param = has_param(m, special_names[i], &at);
        if (i == 0) m->explicit_caller = is_param;
        if (i == 0 && specials[i].used && is_param) {
            if (at < m->params.n - m->defaults.n)
                return compile_fail(w->c, n->line, n->col,
                                    "the parameter 'caller' must have a default");
            *takes[i] = true; /* Jinja2 passes what the call gave by that name */
            continue;
        }
        if (!specials[i].used || is_param) continue;
        struct vstr *name = compile_str(w->c, special_names[i], strlen(special_names[i]));
        if (!name || !use_name(w->c, s, name, USE_PARAM)) return false;
        *takes[i] = true;
        *slots[i] = symbols_find(s, name)->slot;
    }
    return true;
}

static bool walk_macro(struct walker *w, struct symbols *s, struct node *n)
{
    struct macro_node *m = n->macro;
    struct function *func = function_new(w->c, s->func);
    struct symbols *inner = func ? symbols_new(w->c, s, func) : NULL;
    if (!inner) return false;
    for (size_t i = 0; i < m->params.n; i++)
        if (!use_name(w->c, inner, m->params.items[i]->name, USE_PARAM)) return false;
    if (!collect_list(w->c, inner, &m->defaults) || !collect_list(w->c, inner, &n->items) ||
        !declare_specials(w, inner, n))
        return false;
    if (!walk_list(w, inner, &m->params) || !walk_list(w, inner, &m->defaults) ||
        !walk_list(w, inner, &n->items) || !scope_finish(w->c, inner, &m->scope))
        return false;
    m->n_slots = func->n_slots;
    if (n->kind == NODE_MACRO) return bind(w, s, n->name, &m->target);
    return !n->a || walk(w, s, n->a);
}

/* with, filter blocks and set blocks: a scope in the same function. */
static bool walk_block(struct walker *w, struct symbols *s, struct node *n)
{
    struct symbols *inner = symbols_new(w->c, s, s->func);
    if (!inner) return false;
    for (size_t i = 0; i < n->targets.n; i += 2)
        if (!collect_target(w->c, inner, n->targets.items[i], USE_PARAM)) return false;
    struct node *filter = n->kind == NODE_FILTER_BLOCK ? n->a : n->b;
    if (!collect_list(w->c, inner, &n->items) || (filter && !collect(w->c, inner, filter)))
        return false;
    for (size_t i = 0; i < n->targets.n; i += 2)
        if (!walk_target(w, inner, n->targets.items[i], false) ||
            !walk(w, s, n->targets.items[i + 1]))
            return false;
    if (!walk_list(w, inner, &n->items) || (filter && !walk(w, inner, filter))) return false;
    if (n->kind == NODE_SET_BLOCK && !walk_target(w, s, n->a, true)) return false;
    return scope_finish(w->c, inner, &n->scope);
}

/* Everything that is assigned around a scoped block, the nearest of each name. */
static bool gather_around(struct compiler *c, struct symbols *s, struct scope *out)
{
    size_t n = 0;
    for (const struct symbols *i = s; i; i = i->parent) n += i->n;
    out->loads = compile_alloc(c, n + 1, sizeof(*out->loads));
    if (!out->loads) return false;
    for (const struct symbols *i = s; i; i = i->parent) {
        for (size_t k = 0; k < i->n; k++) {
            const struct symbol *sym = &i->items[k];
            struct symbols *owner = NULL;
            if (!sym->stored || symbols_lookup(s, sym->name, &owner) != sym) continue;
            struct load *l = &out->loads[out->n_loads++];
            *l = (struct load){.action = LOAD_ALIAS, .name = sym->name};
            l->from = (struct ref){count_hops(s->func, i->func), sym->slot};
        }
    }
    return true;
}

static bool add_block(struct walker *w, struct node *n)
{
    struct node_list *all = &w->c->tmpl->blocks;
    for (size_t i = 0; i < all->n; i++)
        if (same_name(all->items[i]->name, n->name))
            return compile_fail(w->c, n->line, n->col, "the block '%.*s' is defined twice",
                                (int)(n->name->len < 64 ? n->name->len : 64), n->name->data);
    if (all->n >= SCOPE_MAX_NAMES)
        return compile_fail(w->c, n->line, n->col, "more than %d blocks", SCOPE_MAX_NAMES);
    return node_list_push(w->c, all, n);
}

/* `self` is a variable where the nodes use it and nothing there assigns it. */
static bool declare_self(struct compiler *c, struct symbols *s, const struct node_list *body,
                         bool *takes, uint32_t *slot)
{
    struct free_name names[] = {{"self", false, false}, {"super", false, false}};
    find_free_list(body, names, 2, USE_LOAD);
    for (size_t i = 0; i < (s == c->root ? 1 : 2); i++) {
        if (!names[i].used) continue;
        struct vstr *name = compile_str(c, names[i].name, strlen(names[i].name));
        if (!name || !use_name(c, s, name, USE_PARAM)) return false;
        if (i == 0) *slot = symbols_find(s, name)->slot;
        if (i == 0) *takes = true; /* super stays undefined: no template is above this one */
    }
    return true;
}

static bool walk_block_tag(struct walker *w, struct symbols *s, struct node *n)
{
    struct compiler *c = w->c;
    struct block_node *b = n->block;
    struct function *func = function_new(c, NULL);
    struct symbols *inner = func ? symbols_new(c, NULL, func) : NULL;
    bool in_block = c->in_block;
    if (!inner || !add_block(w, n) || (b->scoped && !gather_around(c, s, &b->around))) return false;
    c->in_block = true;
    bool ok = declare_self(c, inner, &n->items, &b->takes_self, &b->self_slot) &&
              collect_list(c, inner, &n->items) && walk_list(w, inner, &n->items) &&
              scope_finish(c, inner, &b->scope);
    c->in_block = in_block;
    b->n_slots = func->n_slots;
    return ok;
}

static bool walk_children(struct walker *w, struct symbols *s, struct node *n)
{
    if ((n->a && !walk(w, s, n->a)) || (n->b && !walk(w, s, n->b)) || (n->c && !walk(w, s, n->c)))
        return false;
    return walk_list(w, s, &n->items) && walk_list(w, s, &n->elifs) &&
           walk_list(w, s, &n->orelse) && (!n->call || walk_call(w, s, n->call));
}

static bool walk(struct walker *w, struct symbols *s, struct node *n)
{
    bool soft = w->soft, ok;
    switch (n->kind) {
    case NODE_NAME:
    case NODE_NSREF:
        return bind(w, s, n->name, &n->ref);
    case NODE_SET:
        return walk(w, s, n->b) && walk_target(w, s, n->a, true);
    case NODE_FILTER:
    case NODE_TEST:
        return find_def(w, n) && walk_children(w, s, n);
    case NODE_IF:
    case NODE_COND:
        w->soft = true;
        ok = walk_children(w, s, n);
        break;
    case NODE_FOR:
        w->soft = false;
        ok = walk_for(w, s, n);
        break;
    case NODE_MACRO:
    case NODE_CALL_BLOCK:
        w->soft = false;
        ok = walk_macro(w, s, n);
        break;
    case NODE_WITH:
    case NODE_FILTER_BLOCK:
    case NODE_SET_BLOCK:
        w->soft = false;
        ok = walk_block(w, s, n);
        break;
    case NODE_BLOCK:
        w->soft = false;
        ok = walk_block_tag(w, s, n);
        break;
    default:
        return walk_children(w, s, n);
    }
    w->soft = soft;
    return ok;
}

bool resolve_template(struct compiler *c)
{
    struct walker w = {.c = c};
    struct template *t = c->tmpl;
    struct function *func = function_new(c, NULL);
    struct symbols *root = func ? symbols_new(c, NULL, func) : NULL;
    c->root = root;
    if (!root || !declare_self(c, root, &t->body, &t->takes_self, &t->self_slot) ||
        !collect_list(c, root, &t->body) || !walk_list(&w, root, &t->body) ||
        !scope_finish(c, root, &t->scope))
        return false;
    t->n_slots = func->n_slots;
    return true;
}
