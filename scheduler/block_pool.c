#include "scheduler/block_pool.h"

#include "config/base/check.h"

#include <stdlib.h>

static void idle_insert(struct block_pool *p, int32_t before, int32_t b)
{
    struct block *at = &p->blocks[before];
    p->blocks[b].prev = at->prev;
    p->blocks[b].next = before;
    p->blocks[at->prev].next = b;
    at->prev = b;
}

static void idle_remove(struct block_pool *p, int32_t b)
{
    struct block *x = &p->blocks[b];
    p->blocks[x->prev].next = x->next;
    p->blocks[x->next].prev = x->prev;
    x->prev = x->next = b;
}

/* Free blocks are used first and last in, first out (their memory is warm); cached ones queue. */
static void idle_add(struct block_pool *p, int32_t b)
{
    if (p->blocks[b].cached) {
        idle_insert(p, 0, b);
        p->n_cached++;
    } else {
        idle_insert(p, p->blocks[0].next, b);
        p->n_free++;
    }
}

static void idle_leave(struct block_pool *p, int32_t b)
{
    idle_remove(p, b);
    if (p->blocks[b].cached)
        p->n_cached--;
    else
        p->n_free--;
}

bool block_pool_init(struct block_pool *p, int32_t n_blocks)
{
    *p = (struct block_pool){.n_blocks = n_blocks};
    p->blocks = calloc((size_t)n_blocks, sizeof(*p->blocks));
    if (!p->blocks) return false;
    for (int32_t b = n_blocks - 1; b > 0; b--) idle_add(p, b);
    return true;
}

void block_pool_destroy(struct block_pool *p)
{
    free(p->blocks);
    *p = (struct block_pool){0};
}

int32_t block_pool_front(const struct block_pool *p)
{
    return p->blocks[0].next;
}

int32_t block_pool_take(struct block_pool *p)
{
    int32_t b = p->blocks[0].next;
    CHECK(b != 0 && !p->blocks[b].cached);
    block_pool_ref(p, b);
    return b;
}

void block_pool_ref(struct block_pool *p, int32_t b)
{
    DCHECK(b > 0 && b < p->n_blocks);
    if (p->blocks[b].n_refs == 0) {
        idle_leave(p, b);
        p->n_held++;
    }
    p->blocks[b].n_refs++;
}

void block_pool_unref(struct block_pool *p, int32_t b)
{
    CHECK(b > 0 && p->blocks[b].n_refs > 0);
    if (--p->blocks[b].n_refs > 0) return;
    p->n_held--;
    idle_add(p, b);
}

void block_pool_set_cached(struct block_pool *p, int32_t b, bool cached)
{
    bool idle = p->blocks[b].n_refs == 0;
    if (idle) idle_leave(p, b);
    p->blocks[b].cached = cached;
    if (idle) idle_add(p, b);
}
