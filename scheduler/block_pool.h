#ifndef SCHEDULER_BLOCK_POOL_H
#define SCHEDULER_BLOCK_POOL_H

/* block_pool.h - who holds which block of the KV-cache.
 *
 * The number of blocks is fixed at start.  A block is in one of four states:
 *   null    block 0: never handed out; its links are the ends of the idle list
 *   free    no reference, nothing worth keeping
 *   cached  no reference, but the prefix cache knows its content
 *   held    n_refs block tables name it (the prefix cache may know its content as well)
 * Free and cached blocks form one intrusive list: free ones in front, then the cached ones from
 * the longest unused to the latest.  Taking pops the front, so a cached block goes only when no
 * free one is left.  Sequences give their blocks back tail first, so the head of a prefix, which
 * more requests share, outlives its tail. */

#include <stdbool.h>
#include <stdint.h>

struct block {
    int32_t prev, next; /* in the idle list, while n_refs == 0 */
    int32_t n_refs;
    bool cached; /* registered in the prefix cache */
};

struct block_pool {
    struct block *blocks; /* [n_blocks] */
    int32_t n_blocks;
    int32_t n_free, n_cached, n_held; /* n_cached: without references */
};

bool block_pool_init(struct block_pool *p, int32_t n_blocks); /* false: no memory */
void block_pool_destroy(struct block_pool *p);

/* Blocks that can be taken: free ones and cached ones. */
static inline int32_t block_pool_available(const struct block_pool *p)
{
    return p->n_free + p->n_cached;
}
/* The block that block_pool_take would give next; 0 when there is none. */
int32_t block_pool_front(const struct block_pool *p);
/* Takes the front block with one reference.  The caller has made sure that there is one, and that
 * the prefix cache has forgotten it. */
int32_t block_pool_take(struct block_pool *p);
void block_pool_ref(struct block_pool *p, int32_t b);
void block_pool_unref(struct block_pool *p, int32_t b);
/* Keeps the flag and the idle list's order right. */
void block_pool_set_cached(struct block_pool *p, int32_t b, bool cached);

#endif
