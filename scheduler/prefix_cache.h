#ifndef SCHEDULER_PREFIX_CACHE_H
#define SCHEDULER_PREFIX_CACHE_H

/* prefix_cache.h - finds the block that already holds the keys and values of given tokens.
 *
 * Only full blocks are known.  The key of a block is (the block before it, its tokens, the salt).
 * A 64-bit hash of that chain picks the bucket; a match is decided by comparing the tokens and the
 * parent exactly, so a collision costs time and never a wrong answer.  The parent is named by the
 * serial number of its registration, not by its block number: a block that was evicted and filled
 * again has a new serial, so its former children can no longer be reached (they age out).
 *
 * The table's size is fixed at start; nothing is allocated later. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_entry { /* of one physical block */
    uint64_t hash, salt;
    uint64_t serial;        /* of this registration; 0 = not registered */
    uint64_t parent_serial; /* 0 = first block of a sequence */
    int32_t next;           /* in the bucket; 0 = end */
};

struct prefix_cache {
    struct cache_entry *entries; /* [n_blocks] */
    int32_t *tokens;             /* [n_blocks][block_size] of registered blocks */
    int32_t *buckets;            /* [bucket_mask + 1] first block; 0 = empty */
    uint32_t bucket_mask;
    int32_t block_size;
    uint64_t seed, next_serial;
    uint64_t hash_mask; /* all ones; tests clear bits to force collisions */
};

/* A walk along the blocks of one sequence: where it stands. */
struct prefix_chain {
    uint64_t hash, salt;
    uint64_t serial; /* of the registration that stands for the last block; 0 at the start */
};

bool prefix_cache_init(struct prefix_cache *c, int32_t n_blocks, int32_t block_size, uint64_t seed);
void prefix_cache_destroy(struct prefix_cache *c);

struct prefix_chain prefix_chain_start(const struct prefix_cache *c, uint64_t salt);
/* The block that continues `chain` with tokens[block_size], and moves the chain on; 0 and the
 * chain unchanged when none is known. */
int32_t prefix_cache_find(const struct prefix_cache *c, struct prefix_chain *chain,
                          const int32_t *tokens);
/* Registers block `b` as the continuation and moves the chain on.  False when another block is
 * registered for it already: then `b` stays unknown and the chain follows the other. */
bool prefix_cache_insert(struct prefix_cache *c, struct prefix_chain *chain, const int32_t *tokens,
                         int32_t b);
/* Moves the chain on to a block that is registered already and known to be its continuation. */
void prefix_cache_follow(const struct prefix_cache *c, struct prefix_chain *chain, int32_t b);
void prefix_cache_remove(struct prefix_cache *c, int32_t b);

#endif
