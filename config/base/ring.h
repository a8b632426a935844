#ifndef CONFIG_BASE_RING_H
#define CONFIG_BASE_RING_H

/* ring.h - a bounded queue of fixed-size items between two threads: one producer, one consumer,
 * lock-free.  A full ring is an answer (false), never a wait.  Wake-ups are the caller's. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *items;
    size_t item_size;
    uint32_t mask;                      /* capacity - 1; the capacity is a power of two */
    _Alignas(64) _Atomic uint32_t head; /* next to pop: the consumer's */
    _Alignas(64) _Atomic uint32_t tail; /* next to push: the producer's */
};
bool ring_init(struct ring *r, size_t item_size, uint32_t min_capacity); /* false: no memory */
void ring_free(struct ring *r);
bool ring_push(struct ring *r, const void *item); /* producer; copies; false when full */
bool ring_pop(struct ring *r, void *item);        /* consumer; copies; false when empty */
uint32_t ring_count(const struct ring *r);        /* either side; exact for the caller's own end */
uint32_t ring_space(const struct ring *r);

#endif
