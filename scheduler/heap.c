#include "scheduler/heap.h"

#include "config/base/check.h"

#include <stdlib.h>

bool heap_init(struct heap *h, int32_t capacity, size_t pos_offset)
{
    *h = (struct heap){.capacity = capacity, .pos_offset = pos_offset};
    h->items = calloc((size_t)capacity, sizeof(*h->items));
    return h->items != NULL;
}

void heap_destroy(struct heap *h)
{
    free(h->items);
    *h = (struct heap){0};
}

static int32_t *pos_of(const struct heap *h, struct request *r)
{
    return (int32_t *)((char *)r + h->pos_offset);
}

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    return a->major != b->major ? a->major < b->major : a->minor < b->minor;
}

static void put(struct heap *h, int32_t i, struct heap_item item)
{
    h->items[i] = item;
    *pos_of(h, item.request) = i;
}

static void sift_up(struct heap *h, int32_t i, struct heap_item item)
{
    for (; i > 0 && before(&item, &h->items[(i - 1) / 2]); i = (i - 1) / 2)
        put(h, i, h->items[(i - 1) / 2]);
    put(h, i, item);
}

static void sift_down(struct heap *h, int32_t i, struct heap_item item)
{
    for (int32_t child = 2 * i + 1; child < h->n; child = 2 * i + 1) {
        if (child + 1 < h->n && before(&h->items[child + 1], &h->items[child])) child++;
        if (!before(&h->items[child], &item)) break;
        put(h, i, h->items[child]);
        i = child;
    }
    put(h, i, item);
}

void heap_push(struct heap *h, uint64_t major, uint64_t minor, struct request *r)
{
    CHECK(h->n < h->capacity);
    sift_up(h, h->n++, (struct heap_item){major, minor, r});
}

void heap_remove(struct heap *h, struct request *r)
{
    int32_t i = *pos_of(h, r);
    if (i < 0) return;
    CHECK(i < h->n && h->items[i].request == r);
    *pos_of(h, r) = -1;
    struct heap_item moved = h->items[--h->n];
    if (i == h->n) return;
    if (i > 0 && before(&moved, &h->items[(i - 1) / 2]))
        sift_up(h, i, moved);
    else
        sift_down(h, i, moved);
}
