/* block.c - {% block %} in a template that extends nothing: its body runs in its place, as a function
 * that sees the context, the template's own variables and, if scoped, what is assigned around it. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>

const struct value *block_resolve(const struct render *r, const struct load *l)
{
    for (const struct overlay *o = r->act->overlay; o; o = o->outer) {
        const struct value *v = vdict_find(o->names, l->name);
        if (v) return v;
    }
    const struct value *own = l->exported_as ? &r->root->slots[l->exported_as - 1] : NULL;
    return own && own->type != VALUE_MISSING ? own : NULL;
}

bool make_self(struct render *r, const struct overlay *overlay, struct value *out)
{
    struct vblock *self = render_alloc(r, 1, sizeof(*self));
    if (!self) return false;
    *self = (struct vblock){NULL, overlay};
    *out = VALUE_OF(VALUE_SELF, block, self);
    return true;
}

bool self_attr(struct render *r, const struct vblock *self, const struct vstr *name,
               struct value *out)
{
    const struct node_list *all = &r->tmpl->blocks;
    *out = value_missing();
    for (size_t i = 0; i < all->n; i++) {
        const struct vstr *s = all->items[i]->name;
        if (s->len != name->len || memcmp(s->data, name->data, s->len) != 0) continue;
        struct vblock *block = render_alloc(r, 1, sizeof(*block));
        if (!block) return false;
        *block = (struct vblock){all->items[i], self->overlay};
        *out = VALUE_OF(VALUE_BLOCK, block, block);
    }
    return render_charge(r, all->n * sizeof(void *));
}

static enum flow run_block(struct render *r, const struct node *n, const struct overlay *overlay)
{
    const struct block_node *b = n->block;
    const struct node *at = r->at;
    if (r->call_depth >= LIMIT_TEMPLATE_DEPTH) {
        render_fail_status(r, STATUS_TOO_LARGE, "calls are nested more than %d deep",
                           LIMIT_TEMPLATE_DEPTH);
        return FLOW_FAIL;
    }
    struct activation *outer = r->act, *act = render_alloc(r, 1, sizeof(*act));
    if (act) act->slots = render_alloc(r, b->n_slots + 1, sizeof(struct value));
    if (!act || !act->slots) return FLOW_FAIL;
    act->overlay = overlay;
    r->act = act;
    r->call_depth++;
    bool ok = scope_enter(r, &b->scope) &&
              (!b->takes_self || make_self(r, overlay, &act->slots[b->self_slot])) &&
              exec_body(r, n->items.items, n->items.n) != FLOW_FAIL;
    r->call_depth--;
    r->act = outer;
    if (ok) r->at = at;
    return ok ? FLOW_NEXT : FLOW_FAIL;
}

/* The variables around a scoped block as they are now. */
static bool make_overlay(struct render *r, const struct scope *around, const struct overlay **out)
{
    struct overlay *o = render_alloc(r, 1, sizeof(*o));
    if (!o || !(o->names = vdict_new(r))) return false;
    o->outer = r->act->overlay;
    for (size_t i = 0; i < around->n_loads; i++) {
        const struct load *l = &around->loads[i];
        struct value v = *slot_of(r, l->from);
        if (v.type == VALUE_MISSING) continue;
        if (!vdict_set(r, o->names, value_from_str((struct vstr *)l->name), v)) return false;
    }
    *out = o;
    return true;
}

enum flow exec_block(struct render *r, const struct node *n)
{
    const struct overlay *overlay = r->act->overlay;
    if (n->block->required) {
        render_fail(r, "the required block '%.*s' is not filled",
                    (int)(n->name->len < 64 ? n->name->len : 64), n->name->data);
        return FLOW_FAIL;
    }
    if (n->block->scoped && !make_overlay(r, &n->block->around, &overlay)) return FLOW_FAIL;
    return run_block(r, n, overlay);
}

bool call_block(struct render *r, const struct vblock *block, struct value *out)
{
    struct strbuf text, *outer = r->out;
    strbuf_init(&text, LIMIT_TEMPLATE_OUTPUT);
    r->out = &text;
    bool ok = run_block(r, block->node, block->overlay) != FLOW_FAIL;
    r->out = outer;
    ok = ok && value_take(r, &text, out);
    strbuf_free(&text);
    return ok;
}
