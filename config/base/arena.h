#ifndef CONFIG_BASE_ARENA_H
#define CONFIG_BASE_ARENA_H

/* arena.h - bump allocation with one free: one arena per request, one per loaded file.
 * Memory is zeroed and 16-byte aligned.  Threads: one owner at a time. */

#include <stddef.h>

struct arena {
    struct arena_chunk *head;
    size_t used_size;  /* bytes handed out */
    size_t limit_size; /* 0 = none; beyond it arena_alloc returns NULL */
};

void arena_init(struct arena *a, size_t limit_size);
void *arena_alloc(struct arena *a, size_t size); /* NULL: limit or out of memory */
void *arena_alloc_array(struct arena *a, size_t n, size_t item_size); /* overflow-checked */
char *arena_strndup(struct arena *a, const char *s, size_t len);      /* NUL-terminated copy */
void arena_free(struct arena *a); /* frees everything; the arena is as after arena_init */

#endif
