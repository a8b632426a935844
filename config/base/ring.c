#include "config/base/ring.h"

#include <stdlib.h>
#include <string.h>

#define RING_CAPACITY_MAX (1u << 30) /* head and tail wrap at 2^32: keep the difference exact */

bool ring_init(struct ring *r, size_t item_size, uint32_t min_capacity)
{
    memset(r, 0, sizeof(*r));
    if (item_size == 0 || min_capacity > RING_CAPACITY_MAX) return false;
    uint32_t capacity = 1;
    while (capacity < min_capacity) capacity *= 2;
    r->items = calloc(capacity, item_size); /* calloc checks the product */
    r->item_size = item_size;
    r->mask = capacity - 1;
    return r->items != NULL;
}

void ring_free(struct ring *r)
{
    free(r->items);
    r->items = NULL;
}

static uint8_t *slot(const struct ring *r, uint32_t position)
{
    return r->items + (size_t)(position & r->mask) * r->item_size;
}

bool ring_push(struct ring *r, const void *item)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    if (tail - head > r->mask) return false;
    memcpy(slot(r, tail), item, r->item_size);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

bool ring_pop(struct ring *r, void *item)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (head == tail) return false;
    memcpy(item, slot(r, head), r->item_size);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

uint32_t ring_count(const struct ring *r)
{
    /* The head first: read the other way round, a pop in between would make the difference
     * negative for the producer. */
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    uint32_t n = tail - head;
    return n > r->mask + 1 ? r->mask + 1 : n;
}

uint32_t ring_space(const struct ring *r)
{
    return r->mask + 1 - ring_count(r);
}
