#include "config/base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN     16
#define ARENA_CHUNK_MIN 4096          /* a request's strings fit one page */
#define ARENA_CHUNK_MAX (1024 * 1024) /* bounds the waste at the end of a chunk */

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size; /* of data */
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit_size)
{
    *a = (struct arena){.limit_size = limit_size};
}

static struct arena_chunk *chunk_new(size_t size)
{
    struct arena_chunk *c = NULL;
    if (size <= SIZE_MAX - sizeof(*c)) c = calloc(1, sizeof(*c) + size);
    if (c) c->size = size;
    return c;
}

/* A chunk with room for `size`: a new head, or, when large, one behind the head, so that the
 * room left in the head stays in use. */
static struct arena_chunk *chunk_for(struct arena *a, size_t size)
{
    struct arena_chunk *head = a->head;
    if (head && head->size - head->used >= size) return head;
    size_t want = head ? head->size * 2 : ARENA_CHUNK_MIN;
    if (want > ARENA_CHUNK_MAX) want = ARENA_CHUNK_MAX;
    bool alone = size > want / 2;
    struct arena_chunk *c = chunk_new(alone ? size : want);
    if (!c) return NULL;
    if (alone && head) {
        c->next = head->next;
        head->next = c;
    } else {
        c->next = head;
        a->head = c;
    }
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN) return NULL;
    size_t rounded = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (rounded == 0) rounded = ARENA_ALIGN;
    if (rounded > SIZE_MAX - a->used_size) return NULL;
    if (a->limit_size && a->used_size + rounded > a->limit_size) return NULL;
    struct arena_chunk *c = chunk_for(a, rounded);
    if (!c) return NULL;
    void *p = c->data + c->used;
    c->used += rounded;
    a->used_size += rounded;
    return p;
}

void *arena_alloc_array(struct arena *a, size_t n, size_t item_size)
{
    size_t size;
    if (__builtin_mul_overflow(n, item_size, &size)) return NULL;
    return arena_alloc(a, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    if (len == SIZE_MAX) return NULL;
    char *copy = arena_alloc(a, len + 1);
    if (copy && len) memcpy(copy, s, len);
    return copy;
}

void arena_free(struct arena *a)
{
    struct arena_chunk *c = a->head;
    while (c) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
    arena_init(a, a->limit_size);
}
