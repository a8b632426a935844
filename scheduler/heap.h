#ifndef SCHEDULER_HEAP_H
#define SCHEDULER_HEAP_H

/* heap.h - a binary min-heap of requests with their place stored in the request, so that any one
 * can leave in O(log n).  Two of them exist: who waits (by priority, then arrival) and who has a
 * deadline.  Fixed capacity. */

#include "scheduler/request.h"

struct heap_item {
    uint64_t major, minor; /* the order */
    struct request *request;
};

struct heap {
    struct heap_item *items;
    int32_t n, capacity;
    size_t pos_offset; /* of the int32_t in struct request that holds the place */
};

bool heap_init(struct heap *h, int32_t capacity, size_t pos_offset); /* false: no memory */
void heap_destroy(struct heap *h);
void heap_push(struct heap *h, uint64_t major, uint64_t minor, struct request *r);
void heap_remove(struct heap *h, struct request *r); /* nothing when it is not in it */

#endif
