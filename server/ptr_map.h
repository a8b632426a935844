#ifndef SERVER_PTR_MAP_H
#define SERVER_PTR_MAP_H

/* ptr_map.h - a hash table from pointers (never followed) to a number, of fixed capacity: all its
 * memory is taken at the start.  Linear probing, deletion by backward shift.  One owner. */

#include "config/base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct ptr_map_slot {
    const void *key; /* NULL = free */
    int64_t value;
};
struct ptr_map {
    struct ptr_map_slot *slots;
    uint32_t mask, n, max;
};

static inline bool ptr_map_init(struct ptr_map *m, uint32_t max)
{
    uint32_t cap = 16;
    while (cap < 2 * (uint64_t)max && cap < 1u << 31) cap *= 2;
    *m = (struct ptr_map){.mask = cap - 1, .max = max};
    m->slots = calloc(cap, sizeof(*m->slots));
    return m->slots != NULL;
}

static inline void ptr_map_free(struct ptr_map *m)
{
    free(m->slots);
    m->slots = NULL;
}

static inline uint32_t ptr_map_home(const struct ptr_map *m, const void *key)
{
    return (uint32_t)(((uintptr_t)key >> 4) * 0x9E3779B97F4A7C15ull >> 32) & m->mask;
}

/* The slot of `key`, or the free one where it would go. */
static inline struct ptr_map_slot *ptr_map_slot_of(const struct ptr_map *m, const void *key)
{
    uint32_t i = ptr_map_home(m, key);
    while (m->slots[i].key && m->slots[i].key != key) i = (i + 1) & m->mask;
    return &m->slots[i];
}

/* NULL when absent. */
static inline int64_t *ptr_map_get(const struct ptr_map *m, const void *key)
{
    struct ptr_map_slot *s = ptr_map_slot_of(m, key);
    return s->key ? &s->value : NULL;
}

static inline void ptr_map_put(struct ptr_map *m, const void *key, int64_t value)
{
    struct ptr_map_slot *s = ptr_map_slot_of(m, key);
    if (!s->key) {
        CHECK(m->n < m->max);
        m->n++;
    }
    *s = (struct ptr_map_slot){key, value};
}

static inline void ptr_map_remove(struct ptr_map *m, const void *key)
{
    struct ptr_map_slot *s = ptr_map_slot_of(m, key);
    if (!s->key) return;
    m->n--;
    uint32_t hole = (uint32_t)(s - m->slots);
    for (uint32_t i = (hole + 1) & m->mask; m->slots[i].key; i = (i + 1) & m->mask) {
        uint32_t home = ptr_map_home(m, m->slots[i].key);
        /* may slot i move to the hole?  Only if its home is not between the two. */
        if (((i - home) & m->mask) < ((i - hole) & m->mask)) continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].key = NULL;
}

#endif
