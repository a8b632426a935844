/* contents.c - does a template know messages whose content is a list of parts?  Follows `messages`
 * through assignments, loops, filters and macro parameters, by name: a loop over something that
 * holds a message's content says yes. */

#include "config/base/check.h"
#include "engine/template/compile.h"
#include "engine/template/template.h"

#include <string.h>

enum { HOLDS_MESSAGES = 1, HOLDS_MESSAGE = 2, HOLDS_CONTENT = 4 };
enum {
    VARIABLES_MAX = 64, /* that hold something of the messages; templates have about five */
    PASSES_MAX = 8,     /* a value passed through more macros defined backwards is not followed */
};

struct variable {
    const struct vstr *name, *attr; /* attr: of a namespace, else NULL */
    unsigned holds;
};
struct finder {
    struct variable vars[VARIABLES_MAX];
    size_t n_vars;
    struct node_list macros;
    struct compiler *c;
    bool changed;
    struct template_contents found;
};

static bool is_named(const struct vstr *s, const char *name)
{
    return s && str_eq((struct str){s->data, s->len}, str_from(name));
}

static bool is_one_of(const struct vstr *s, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_named(s, names[i])) return true;
    return false;
}

static bool same(const struct vstr *a, const struct vstr *b)
{
    return a == b || (a && b && a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}

static struct variable *find(struct finder *f, const struct vstr *name, const struct vstr *attr)
{
    for (size_t i = 0; i < f->n_vars; i++)
        if (same(f->vars[i].name, name) && same(f->vars[i].attr, attr)) return &f->vars[i];
    return NULL;
}

static void note(struct finder *f, const struct node *target, unsigned holds)
{
    if (target->kind != NODE_NAME && target->kind != NODE_NSREF) return;
    const struct vstr *attr = target->kind == NODE_NSREF ? target->attr : NULL;
    struct variable *v = find(f, target->name, attr);
    if (!holds || (v && (v->holds | holds) == v->holds)) return;
    if (!v) {
        if (f->n_vars == VARIABLES_MAX) return;
        v = &f->vars[f->n_vars++];
        *v = (struct variable){target->name, attr, 0};
    }
    v->holds |= holds;
    f->changed = true;
}

/* --- what an expression holds ------------------------------------------------------------------ */

static unsigned holds(struct finder *f, const struct node *n);

static unsigned member(unsigned object, const struct vstr *key)
{
    return (object & HOLDS_MESSAGE) && is_named(key, "content") ? HOLDS_CONTENT : 0;
}

static unsigned holds_item(struct finder *f, const struct node *n)
{
    unsigned object = holds(f, n->a);
    if (n->b->kind == NODE_CONST && n->b->value.type == VALUE_STR)
        return member(object, n->b->value.str);
    return object & HOLDS_MESSAGES ? HOLDS_MESSAGE : 0;
}

static unsigned holds_attr(struct finder *f, const struct node *n)
{
    struct variable *v = n->a->kind == NODE_NAME ? find(f, n->a->name, n->name) : NULL;
    return member(holds(f, n->a), n->name) | (v ? v->holds : 0);
}

/* message.get('content') */
static unsigned holds_call(struct finder *f, const struct node *n)
{
    if (n->a->kind != NODE_ATTR || !is_named(n->a->name, "get") || !n->call->args.n) return 0;
    const struct node *key = n->call->args.items[0];
    bool is_str = key->kind == NODE_CONST && key->value.type == VALUE_STR;
    return is_str ? member(holds(f, n->a->a), key->value.str) : 0;
}

static unsigned holds_filter(struct finder *f, const struct node *n)
{
    static const char *const pick[] = {"first", "last"};
    unsigned subject = n->a ? holds(f, n->a) : 0;
    if (!is_one_of(n->name, pick, ARRAY_LEN(pick))) return subject;
    return subject & HOLDS_MESSAGES ? HOLDS_MESSAGE : 0;
}

static unsigned holds_list(struct finder *f, const struct node *n)
{
    for (size_t i = 0; i < n->items.n; i++)
        if (holds(f, n->items.items[i]) & HOLDS_MESSAGE) return HOLDS_MESSAGES;
    return 0;
}

/* What any of the operands of and, or, + holds. */
static unsigned holds_any(struct finder *f, const struct node *n)
{
    unsigned all = n->a ? holds(f, n->a) : 0;
    for (size_t i = 0; i < n->items.n; i++) {
        const struct node *item = n->items.items[i];
        all |= holds(f, item->kind == NODE_OPERAND ? item->a : item);
    }
    return all;
}

static unsigned holds(struct finder *f, const struct node *n)
{
    struct variable *v;
    switch (n->kind) {
    case NODE_NAME:
        v = find(f, n->name, NULL);
        return v ? v->holds : 0;
    case NODE_ATTR:
        return holds_attr(f, n);
    case NODE_ITEM:
        return holds_item(f, n);
    case NODE_SLICE:
        return holds(f, n->a);
    case NODE_COND:
        return holds(f, n->b) | (n->c ? holds(f, n->c) : 0);
    case NODE_OR:
    case NODE_AND:
        return holds_any(f, n);
    case NODE_BINARY:
        return holds_any(f, n) & HOLDS_MESSAGES;
    case NODE_LIST:
        return holds_list(f, n);
    case NODE_FILTER:
        return holds_filter(f, n);
    case NODE_CALL:
        return holds_call(f, n);
    default:
        return 0;
    }
}

/* --- the walk ---------------------------------------------------------------------------------- */

/* Parameters hold what calls give them. */
static void note_call(struct finder *f, const struct node *n)
{
    if (n->a->kind != NODE_NAME) return;
    for (size_t m = 0; m < f->macros.n; m++) {
        if (!same(f->macros.items[m]->name, n->a->name)) continue;
        const struct node_list *params = &f->macros.items[m]->macro->params;
        for (size_t i = 0; i < params->n && i < n->call->args.n; i++)
            note(f, params->items[i], holds(f, n->call->args.items[i]));
        for (size_t k = 0; k < n->call->n_kw; k++)
            for (size_t i = 0; i < params->n; i++)
                if (same(params->items[i]->name, n->call->kw[k].name))
                    note(f, params->items[i], holds(f, n->call->kw[k].val));
    }
}

static void note_loop(struct finder *f, const struct node *n)
{
    unsigned over = holds(f, n->b);
    if (over & HOLDS_MESSAGES) note(f, n->a, HOLDS_MESSAGE);
    if (over & HOLDS_CONTENT) f->found.parts = true;
}

static void look_at(struct finder *f, const struct node *n)
{
    static const char *const select[] = {"selectattr", "rejectattr", "map", "groupby"};
    static const char *const types[] = {"string", "iterable", "sequence", "mapping"};
    switch (n->kind) {
    case NODE_FOR:
        note_loop(f, n);
        return;
    case NODE_SET:
        note(f, n->a, holds(f, n->b));
        return;
    case NODE_WITH:
        for (size_t i = 0; i + 1 < n->targets.n; i += 2)
            note(f, n->targets.items[i], holds(f, n->targets.items[i + 1]));
        return;
    case NODE_CALL:
        note_call(f, n);
        return;
    case NODE_FILTER:
        if (n->a && is_one_of(n->name, select, ARRAY_LEN(select)) &&
            (holds(f, n->a) & HOLDS_CONTENT))
            f->found.parts = true;
        return;
    case NODE_TEST:
        if (is_one_of(n->name, types, ARRAY_LEN(types)) && (holds(f, n->a) & HOLDS_CONTENT))
            f->found.strings = true;
        return;
    case NODE_MACRO:
        if (f->macros.n < VARIABLES_MAX) node_list_push(f->c, &f->macros, (struct node *)n);
        return;
    default:
        return;
    }
}

static void visit(struct finder *f, const struct node *n);

static void visit_list(struct finder *f, const struct node_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i]) visit(f, l->items[i]);
}

static void visit(struct finder *f, const struct node *n)
{
    look_at(f, n);
    if (n->a) visit(f, n->a);
    if (n->b) visit(f, n->b);
    if (n->c) visit(f, n->c);
    visit_list(f, &n->items);
    visit_list(f, &n->orelse);
    visit_list(f, &n->elifs);
    visit_list(f, &n->targets);
    if (n->macro) visit_list(f, &n->macro->defaults);
    if (!n->call) return;
    visit_list(f, &n->call->args);
    for (size_t i = 0; i < n->call->n_kw; i++) visit(f, n->call->kw[i].val);
}

bool find_contents(struct compiler *c)
{
    static struct vstr messages = {.data = "messages", .len = 8, .n_chars = 8};
    struct finder f = {.c = c, .n_vars = 1, .changed = true};
    f.vars[0] = (struct variable){&messages, NULL, HOLDS_MESSAGES};
    for (int i = 0; i < PASSES_MAX && f.changed; i++) {
        f.changed = false;
        f.macros.n = 0;
        visit_list(&f, &c->tmpl->body);
    }
    c->tmpl->contents = f.found;
    return !c->failed;
}

struct template_contents template_contents(const struct template *t)
{
    return t->contents;
}
