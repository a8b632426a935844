/* iter.c - Python's iteration: what for loops, list() and the lazy filters run over. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <string.h>

static int next_list(struct render *r, struct viter *it, struct value *out)
{
    const struct vlist *l = it->state;
    (void)r;
    if (it->pos >= l->n) return 0;
    *out = l->items[it->pos++];
    return 1;
}

static int next_list_reversed(struct render *r, struct viter *it, struct value *out)
{
    const struct vlist *l = it->state;
    (void)r;
    if (it->pos >= l->n) return 0;
    *out = l->items[l->n - ++it->pos];
    return 1;
}

static int next_char(struct render *r, struct viter *it, struct value *out)
{
    const struct vstr *s = it->state;
    if (it->pos >= s->len) return 0;
    uint32_t cp;
    size_t n = text_next(s->data + it->pos, s->len - it->pos, &cp);
    if (!value_str_view(r, s->data + it->pos, n, false, out)) return -1;
    it->pos += n;
    return 1;
}

static int next_view(struct render *r, struct viter *it, struct value *out)
{
    const struct vview *v = it->state;
    if (it->pos >= v->dict->n) return 0;
    const struct ventry *e = &v->dict->entries[it->pos++];
    if (v->kind == VIEW_ITEMS) return value_pair(r, e->key, e->val, out) ? 1 : -1;
    *out = v->kind == VIEW_KEYS ? e->key : e->val;
    return 1;
}

static int next_range(struct render *r, struct viter *it, struct value *out)
{
    const struct vrange *g = it->state;
    (void)r;
    if (it->pos >= g->n) return 0;
    *out = value_int((int64_t)((uint64_t)g->start + (uint64_t)it->pos++ * (uint64_t)g->step));
    return 1;
}

static int next_nothing(struct render *r, struct viter *it, struct value *out)
{
    (void)r;
    (void)it;
    (void)out;
    return 0;
}

bool iter_make(struct render *r, const char *type_name,
               int (*next)(struct render *, struct viter *, struct value *), void *state,
               struct value *out)
{
    struct viter *it = render_alloc(r, 1, sizeof(*it));
    if (!it) return false;
    *it = (struct viter){.next = next, .type_name = type_name, .state = state};
    *out = VALUE_OF(VALUE_ITER, iter, it);
    return true;
}

bool iter_open(struct render *r, struct value v, struct viter **out)
{
    struct value made;
    bool ok;
    switch (v.type) {
    case VALUE_LIST:
    case VALUE_TUPLE:
        ok = iter_make(r, "list_iterator", next_list, v.list, &made);
        break;
    case VALUE_STR:
        ok = iter_make(r, "str_iterator", next_char, v.str, &made);
        break;
    case VALUE_DICT: {
        struct vview *view = render_alloc(r, 1, sizeof(*view));
        if (!view) return false;
        *view = (struct vview){v.dict, VIEW_KEYS};
        ok = iter_make(r, "dict_keyiterator", next_view, view, &made);
        break;
    }
    case VALUE_VIEW:
        ok = iter_make(r, "dict_iterator", next_view, v.view, &made);
        break;
    case VALUE_RANGE:
        ok = iter_make(r, "range_iterator", next_range, v.range, &made);
        break;
    case VALUE_UNDEFINED:
        ok = iter_make(r, "generator", next_nothing, NULL, &made);
        break;
    case VALUE_LOOP:
        ok = iter_make(r, "LoopContext", next_of_loop, v.loop, &made);
        break;
    case VALUE_ITER:
        *out = v.iter;
        return true;
    default:
        return render_fail(r, "'%s' object is not iterable", value_type_name(v));
    }
    if (ok) *out = made.iter;
    return ok;
}

int iter_next(struct render *r, struct viter *it, struct value *out)
{
    if (!render_enter(r)) return -1;
    int got = it->next(r, it, out);
    render_leave(r);
    return got;
}

bool iter_collect(struct render *r, struct value v, struct vlist **out)
{
    struct viter *it = NULL;
    struct value item;
    int got;
    int64_t len = value_len(v);
    *out = vlist_new(r, len > 0 && v.type != VALUE_STR ? (size_t)len : 0);
    if (!*out || !iter_open(r, v, &it)) return false;
    DCHECK(it != NULL);
    while ((got = iter_next(r, it, &item)) > 0)
        if (!vlist_push(r, *out, item)) return false;
    return got == 0;
}

bool iter_reversed(struct render *r, struct value v, struct value *out)
{
    struct vlist *l;
    if (!iter_collect(r, v, &l)) return false;
    return iter_make(r, "list_reverseiterator", next_list_reversed, l, out);
}
