/* dict.c - insertion-ordered dicts with Python's notion of equal keys: 1, 1.0 and True are one. */

#include "config/base/hash.h"
#include "config/limits.h"
#include "engine/template/interp.h"

#include <math.h>
#include <string.h>

#define INDEX_FROM 8 /* entries; below, comparing hashes one by one is faster */

struct vdict *vdict_new(struct render *r)
{
    return render_alloc(r, 1, sizeof(struct vdict));
}

static bool hashable_at(struct value v, int depth)
{
    if (v.type == VALUE_TUPLE) {
        if (depth > LIMIT_TEMPLATE_DEPTH) return true; /* hashing it will say that it is too deep */
        for (size_t i = 0; i < v.list->n; i++)
            if (!hashable_at(v.list->items[i], depth + 1)) return false;
        return true;
    }
    return v.type != VALUE_LIST && v.type != VALUE_DICT && v.type != VALUE_MISSING &&
           !(v.type == VALUE_VIEW && v.view->kind != VIEW_VALUES);
}

bool value_hashable(struct value v)
{
    return hashable_at(v, 0);
}

static uint64_t hash_str(const char *data, size_t len)
{
    uint64_t h = hash_bytes(data, len, hash_process_seed());
    return h ? h : 1; /* 0 stands for "not known" */
}

uint64_t vstr_hash(const struct vstr *s)
{
    if (s->hash) return s->hash;
    uint64_t h = hash_str(s->data, s->len);
    if (s->keeps_hash) ((struct vstr *)s)->hash = h;
    return h;
}

static bool hash_value(struct render *r, struct value v, uint64_t *out);

static bool hash_tuple(struct render *r, const struct vlist *l, uint64_t *out)
{
    if (!render_enter(r)) return false;
    uint64_t h = l->n;
    bool ok = true;
    for (size_t i = 0; i < l->n && ok; i++) {
        uint64_t part = 0;
        ok = hash_value(r, l->items[i], &part);
        h = hash_bytes(&part, sizeof(part), h);
    }
    render_leave(r);
    *out = h;
    return ok;
}

static bool hash_value(struct render *r, struct value v, uint64_t *out)
{
    int64_t i;
    switch (v.type) {
    case VALUE_STR:
        if (!v.str->hash && !render_charge(r, v.str->len)) return false;
        *out = vstr_hash(v.str);
        return true;
    case VALUE_TUPLE:
        return hash_tuple(r, v.list, out);
    case VALUE_LIST:
    case VALUE_DICT:
        return render_fail(r, "unhashable type: '%s'", value_type_name(v));
    case VALUE_BOOL:
    case VALUE_INT:
        i = value_as_int(v);
        break;
    case VALUE_FLOAT: /* equal to an int: same hash */
        i = fabs(v.f) < 9e18 ? (int64_t)v.f : 0;
        if (i == 0 || (double)i != v.f) memcpy(&i, &v.f, sizeof(i));
        if (v.f == 0) i = 0;
        break;
    case VALUE_NONE:
    case VALUE_UNDEFINED:
        i = -(int64_t)v.type;
        break;
    default:
        i = (int64_t)(intptr_t)v.str;
        break;
    }
    *out = hash_bytes(&i, sizeof(i), hash_process_seed());
    return true;
}

/* The entry's number, or SIZE_MAX. */
static bool find_entry(struct render *r, const struct vdict *d, struct value key, uint64_t hash,
                       size_t *at)
{
    bool same;
    *at = SIZE_MAX;
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++) {
            if (d->entries[i].hash != hash) continue;
            if (!value_eq(r, d->entries[i].key, key, &same)) return false;
            if (same) {
                *at = i;
                return true;
            }
        }
        return true;
    }
    for (size_t i = hash & (d->index_cap - 1);; i = (i + 1) & (d->index_cap - 1)) {
        uint32_t number = d->index[i];
        if (number == 0) return true;
        const struct ventry *e = &d->entries[number - 1];
        if (e->hash != hash) continue;
        if (!value_eq(r, e->key, key, &same)) return false;
        if (same) {
            *at = number - 1;
            return true;
        }
    }
}

static void index_put(struct vdict *d, size_t number)
{
    size_t i = d->entries[number].hash & (d->index_cap - 1);
    while (d->index[i]) i = (i + 1) & (d->index_cap - 1);
    d->index[i] = (uint32_t)(number + 1);
}

static bool dict_grow(struct render *r, struct vdict *d)
{
    size_t cap = d->cap ? d->cap * 2 : 4;
    if (cap > UINT32_MAX / 4) return render_fail_status(r, STATUS_TOO_LARGE, "a dict grew too big");
    struct ventry *grown = render_alloc(r, cap, sizeof(*grown));
    if (!grown) return false;
    if (d->n) memcpy(grown, d->entries, d->n * sizeof(*grown));
    d->entries = grown;
    d->cap = cap;
    if (cap <= INDEX_FROM) return true;
    d->index_cap = cap * 2;
    d->index = render_alloc(r, d->index_cap, sizeof(*d->index));
    if (!d->index) return false;
    for (size_t i = 0; i < d->n; i++) index_put(d, i);
    return true;
}

bool vdict_set(struct render *r, struct vdict *d, struct value key, struct value val)
{
    uint64_t hash = 0;
    size_t at;
    if (!hash_value(r, key, &hash) || !find_entry(r, d, key, hash, &at)) return false;
    if (at != SIZE_MAX) {
        d->entries[at].val = val;
        return true;
    }
    if (d->n == d->cap && !dict_grow(r, d)) return false;
    d->entries[d->n] = (struct ventry){key, val, hash};
    if (d->index) index_put(d, d->n);
    d->n++;
    return true;
}

bool vdict_get(struct render *r, const struct vdict *d, struct value key, struct value *out)
{
    uint64_t hash = 0;
    size_t at;
    if (!hash_value(r, key, &hash) || !find_entry(r, d, key, hash, &at)) return false;
    if (at != SIZE_MAX) *out = d->entries[at].val;
    return true;
}

static bool is_key(const struct ventry *e, uint64_t hash, const char *name, size_t len)
{
    return e->hash == hash && e->key.type == VALUE_STR && e->key.str->len == len &&
           (len == 0 || memcmp(e->key.str->data, name, len) == 0);
}

static struct value *find_hashed(const struct vdict *d, uint64_t hash, const char *name, size_t len)
{
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (is_key(&d->entries[i], hash, name, len)) return &d->entries[i].val;
        return NULL;
    }
    for (size_t i = hash & (d->index_cap - 1); d->index[i]; i = (i + 1) & (d->index_cap - 1)) {
        struct ventry *e = &d->entries[d->index[i] - 1];
        if (is_key(e, hash, name, len)) return &e->val;
    }
    return NULL;
}

struct value *vdict_find_str(const struct vdict *d, const char *name, size_t len)
{
    return find_hashed(d, hash_str(name, len), name, len);
}

struct value *vdict_find(const struct vdict *d, const struct vstr *name)
{
    return find_hashed(d, vstr_hash(name), name->data, name->len);
}
