#include "scheduler/prefix_cache.h"

#include "config/base/check.h"
#include "config/base/hash.h"

#include <stdlib.h>
#include <string.h>

bool prefix_cache_init(struct prefix_cache *c, int32_t n_blocks, int32_t block_size, uint64_t seed)
{
    *c = (struct prefix_cache){.block_size = block_size, .seed = seed, .next_serial = 1};
    c->hash_mask = UINT64_MAX;
    /* At most half full, so that buckets hold one block as a rule. */
    uint64_t n_buckets = 64;
    while (n_buckets < 2 * (uint64_t)n_blocks) n_buckets *= 2;
    c->bucket_mask = (uint32_t)(n_buckets - 1);
    c->entries = calloc((size_t)n_blocks, sizeof(*c->entries));
    c->tokens = calloc((size_t)n_blocks, (size_t)block_size * sizeof(*c->tokens));
    c->buckets = calloc((size_t)n_buckets, sizeof(*c->buckets));
    if (c->entries && c->tokens && c->buckets) return true;
    prefix_cache_destroy(c);
    return false;
}

void prefix_cache_destroy(struct prefix_cache *c)
{
    free(c->entries);
    free(c->tokens);
    free(c->buckets);
    *c = (struct prefix_cache){0};
}

struct prefix_chain prefix_chain_start(const struct prefix_cache *c, uint64_t salt)
{
    return (struct prefix_chain){.hash = hash_bytes(&salt, sizeof(salt), c->seed), .salt = salt};
}

static size_t block_bytes(const struct prefix_cache *c)
{
    return (size_t)c->block_size * sizeof(int32_t);
}

static uint64_t chain_hash(const struct prefix_cache *c, const struct prefix_chain *chain,
                           const int32_t *tokens)
{
    return hash_bytes(tokens, block_bytes(c), chain->hash) & c->hash_mask;
}

static int32_t find_hashed(const struct prefix_cache *c, const struct prefix_chain *chain,
                           uint64_t hash, const int32_t *tokens)
{
    for (int32_t b = c->buckets[hash & c->bucket_mask]; b; b = c->entries[b].next) {
        const struct cache_entry *e = &c->entries[b];
        if (e->hash == hash && e->parent_serial == chain->serial && e->salt == chain->salt &&
            !memcmp(c->tokens + (size_t)b * (size_t)c->block_size, tokens, block_bytes(c)))
            return b;
    }
    return 0;
}

void prefix_cache_follow(const struct prefix_cache *c, struct prefix_chain *chain, int32_t b)
{
    chain->hash = c->entries[b].hash;
    chain->serial = c->entries[b].serial;
}

int32_t prefix_cache_find(const struct prefix_cache *c, struct prefix_chain *chain,
                          const int32_t *tokens)
{
    uint64_t hash = chain_hash(c, chain, tokens);
    int32_t b = find_hashed(c, chain, hash, tokens);
    if (b) prefix_cache_follow(c, chain, b);
    return b;
}

bool prefix_cache_insert(struct prefix_cache *c, struct prefix_chain *chain, const int32_t *tokens,
                         int32_t b)
{
    uint64_t hash = chain_hash(c, chain, tokens);
    int32_t other = find_hashed(c, chain, hash, tokens);
    if (!other) {
        struct cache_entry *e = &c->entries[b];
        CHECK(e->serial == 0);
        int32_t *bucket = &c->buckets[hash & c->bucket_mask];
        *e = (struct cache_entry){.hash = hash,
                                  .salt = chain->salt,
                                  .serial = c->next_serial++,
                                  .parent_serial = chain->serial,
                                  .next = *bucket};
        *bucket = b;
        memcpy(c->tokens + (size_t)b * (size_t)c->block_size, tokens, block_bytes(c));
    }
    prefix_cache_follow(c, chain, other ? other : b);
    return !other;
}

void prefix_cache_remove(struct prefix_cache *c, int32_t b)
{
    struct cache_entry *e = &c->entries[b];
    CHECK(e->serial != 0);
    int32_t *at = &c->buckets[e->hash & c->bucket_mask];
    while (*at != b) at = &c->entries[*at].next;
    *at = e->next;
    *e = (struct cache_entry){0};
}
