/* loop.c - for loops and what `loop` offers inside them. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

/* --- the iterator of `for x in xs if cond` ------------------------------------------------------ */

struct filtered {
    const struct node *node;
    struct viter *source;
    struct activation act; /* the condition's own variables */
};

/* Runs the condition lazily, item by item, as the generator that Jinja2 makes of it. */
static int next_filtered(struct render *r, struct viter *it, struct value *out)
{
    struct filtered *f = it->state;
    struct activation *outer = r->act;
    int got;
    bool ok = true, keep = false;
    while (ok && !keep && (got = iter_next(r, f->source, out)) != 0) {
        struct value test;
        r->act = &f->act;
        ok = got > 0 && assign_target(r, f->node->loop->test_target, *out) &&
             eval(r, f->node->c, &test);
        r->act = outer;
        keep = ok && value_truth(test);
    }
    return ok ? keep : -1;
}

static bool open_filtered(struct render *r, const struct node *n, struct activation *outer,
                          struct value iterable, struct value *out)
{
    struct filtered *f = render_alloc(r, 1, sizeof(*f));
    if (!f) return false;
    f->node = n;
    f->act.parent = outer;
    f->act.overlay = outer->overlay;
    f->act.slots = render_alloc(r, n->loop->n_test_slots + 1, sizeof(struct value));
    if (!f->act.slots || !iter_open(r, iterable, &f->source)) return false;
    struct activation *here = r->act;
    r->act = &f->act;
    bool ok = scope_enter(r, &n->loop->test);
    r->act = here;
    return ok && iter_make(r, "generator", next_filtered, f, out);
}

/* --- the loop ------------------------------------------------------------------------------------- */

/* 1, 0 at the end, -1: the next item, which may have been peeked at. */
static int loop_next(struct render *r, struct vloop *loop, struct value *out)
{
    int got = 1;
    if (loop->after.type != VALUE_MISSING) {
        *out = loop->after;
        loop->after = value_missing();
    } else {
        got = iter_next(r, loop->it, out);
    }
    if (got <= 0) return got;
    loop->index0++;
    loop->before = loop->current;
    loop->current = *out;
    return 1;
}

/* The loop itself read as an iterator: it takes items away from the loop, each with the loop. */
int next_of_loop(struct render *r, struct viter *it, struct value *out)
{
    struct vloop *loop = it->state;
    struct value item;
    int got = loop_next(r, loop, &item);
    if (got <= 0) return got;
    return value_pair(r, item, VALUE_OF(VALUE_LOOP, loop, loop), out) ? 1 : -1;
}

static int loop_peek(struct render *r, struct vloop *loop)
{
    if (loop->after.type != VALUE_MISSING) return 1;
    int got = iter_next(r, loop->it, &loop->after);
    if (got <= 0) loop->after = value_missing();
    return got;
}

/* Runs the body over `iterable` in the activation r->act; `outer` is the activation around. */
static enum flow run_loop(struct render *r, const struct node *n, struct value iterable,
                          struct activation *outer, int depth0)
{
    const struct loop_node *ln = n->loop;
    struct vloop *loop = render_alloc(r, 1, sizeof(*loop));
    if (!loop) return FLOW_FAIL;
    if (n->c && !open_filtered(r, n, outer, iterable, &iterable)) return FLOW_FAIL;
    *loop = (struct vloop){.node = n,
                           .outer = outer,
                           .iterable = iterable,
                           .index0 = -1,
                           .length = -1,
                           .depth0 = depth0};
    if (!iter_open(r, iterable, &loop->it)) return FLOW_FAIL;
    bool completed = false; /* one body ran to its end: else is not for us */
    struct value item;
    int got;
    while ((got = loop_next(r, loop, &item)) > 0) {
        r->at = n;
        if (!assign_target(r, n->a, item)) return FLOW_FAIL;
        if (ln->has_loop) r->act->slots[ln->loop_slot] = VALUE_OF(VALUE_LOOP, loop, loop);
        if (!scope_enter(r, &ln->body)) return FLOW_FAIL;
        enum flow flow = exec_body(r, n->items.items, n->items.n);
        if (flow == FLOW_FAIL) return FLOW_FAIL;
        if (flow == FLOW_BREAK) break;
        if (flow == FLOW_NEXT) completed = true;
    }
    if (got < 0) return FLOW_FAIL;
    scope_leave(r, &ln->body);
    if (completed || n->orelse.n == 0) return FLOW_NEXT;
    if (!scope_enter(r, &ln->orelse)) return FLOW_FAIL;
    enum flow flow = exec_body(r, n->orelse.items, n->orelse.n);
    if (flow == FLOW_NEXT) scope_leave(r, &ln->orelse);
    return flow;
}

/* A recursive loop is a function: it renders into a string. */
static bool run_recursive(struct render *r, const struct node *n, struct value iterable,
                          struct activation *outer, int depth0, struct value *out)
{
    if (r->call_depth >= LIMIT_TEMPLATE_DEPTH)
        return render_fail_status(r, STATUS_TOO_LARGE, "calls are nested more than %d deep",
                                  LIMIT_TEMPLATE_DEPTH);
    struct activation *here = r->act;
    struct activation *act = render_alloc(r, 1, sizeof(*act));
    if (act) act->slots = render_alloc(r, n->loop->n_slots + 1, sizeof(struct value));
    if (!act || !act->slots) return false;
    act->parent = outer;
    act->overlay = outer->overlay;
    struct strbuf text, *out_before = r->out;
    strbuf_init(&text, LIMIT_TEMPLATE_OUTPUT);
    r->out = &text;
    r->act = act;
    r->call_depth++;
    bool ok = run_loop(r, n, iterable, outer, depth0) != FLOW_FAIL;
    r->call_depth--;
    r->act = here;
    r->out = out_before;
    ok = ok && value_take(r, &text, out);
    strbuf_free(&text);
    return ok;
}

enum flow exec_for(struct render *r, const struct node *n)
{
    struct value iterable, text = value_missing();
    if (!eval(r, n->b, &iterable)) return FLOW_FAIL;
    if (!n->loop->recursive) return run_loop(r, n, iterable, r->act, 0);
    if (!run_recursive(r, n, iterable, r->act, 0, &text)) return FLOW_FAIL;
    return value_write(r, r->out, text) ? FLOW_NEXT : FLOW_FAIL;
}

bool call_loop(struct render *r, struct vloop *loop, struct value iterable, struct value *out)
{
    if (!loop->node->loop->recursive)
        return render_fail(r, "the loop must have the 'recursive' marker to be called");
    return run_recursive(r, loop->node, iterable, loop->outer, loop->depth0 + 1, out);
}

/* --- loop.attributes ------------------------------------------------------------------------------ */

bool loop_length(struct render *r, struct vloop *loop, int64_t *out)
{
    if (loop->length < 0) loop->length = value_len(loop->iterable);
    if (loop->length < 0) { /* a generator: read the rest */
        struct vlist *rest;
        const struct value it = VALUE_OF(VALUE_ITER, iter, loop->it);
        if (!iter_collect(r, it, &rest) ||
            !iter_open(r, VALUE_OF(VALUE_LIST, list, rest), &loop->it))
            return false;
        loop->length = (int64_t)rest->n + loop->index0 + 1 + (loop->after.type != VALUE_MISSING);
    }
    *out = loop->length;
    return true;
}

enum loop_attr {
    LOOP_INDEX,
    LOOP_INDEX0,
    LOOP_REVINDEX,
    LOOP_REVINDEX0,
    LOOP_LENGTH,
    LOOP_FIRST,
    LOOP_LAST,
    LOOP_PREVITEM,
    LOOP_NEXTITEM,
    LOOP_DEPTH,
    LOOP_DEPTH0,
    LOOP_UNKNOWN
};
static const struct str loop_attr_names[] = {
    {"index", 5}, {"index0", 6},   {"revindex", 8}, {"revindex0", 9}, {"length", 6}, {"first", 5},
    {"last", 4},  {"previtem", 8}, {"nextitem", 8}, {"depth", 5},     {"depth0", 6}};

static bool loop_neighbour(struct render *r, struct vloop *loop, bool next, struct value *out)
{
    int got = 1;
    if (next)
        got = loop_peek(r, loop);
    else if (loop->index0 == 0)
        got = 0;
    if (got < 0) return false;
    *out = next ? loop->after : loop->before;
    if (got > 0) return true;
    const char *hint = next ? "there is no next item" : "there is no previous item";
    return value_undef(r, (struct vundef){.kind = UNDEF_HINT, .hint = hint}, out);
}

bool loop_attr(struct render *r, struct vloop *loop, const struct vstr *name, struct value *out)
{
    int which = 0, got;
    int64_t length = 0;
    while (which < LOOP_UNKNOWN &&
           !str_eq((struct str){name->data, name->len}, loop_attr_names[which]))
        which++;
    bool needs_length = which == LOOP_LENGTH || which == LOOP_REVINDEX || which == LOOP_REVINDEX0;
    if (needs_length && !loop_length(r, loop, &length)) return false;
    switch ((enum loop_attr)which) {
    case LOOP_INDEX:
    case LOOP_INDEX0:
        *out = value_int(loop->index0 + (which == LOOP_INDEX));
        return true;
    case LOOP_REVINDEX:
    case LOOP_REVINDEX0:
        *out = value_int(length - loop->index0 - (which == LOOP_REVINDEX0));
        return true;
    case LOOP_LENGTH:
        *out = value_int(length);
        return true;
    case LOOP_FIRST:
        *out = value_bool(loop->index0 == 0);
        return true;
    case LOOP_LAST:
        got = loop_peek(r, loop);
        *out = value_bool(got == 0);
        return got >= 0;
    case LOOP_PREVITEM:
    case LOOP_NEXTITEM:
        return loop_neighbour(r, loop, which == LOOP_NEXTITEM, out);
    case LOOP_DEPTH:
    case LOOP_DEPTH0:
        *out = value_int(loop->depth0 + (which == LOOP_DEPTH));
        return true;
    case LOOP_UNKNOWN:
        break;
    }
    *out = value_missing();
    return true;
}
