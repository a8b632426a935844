#ifndef ENGINE_TOKENIZER_WORD_MAP_H
#define ENGINE_TOKENIZER_WORD_MAP_H

/* word_map.h - bytes -> token id, made for short words: up to 16 bytes lie in the slot itself, so
 * that a look-up touches one cache line.  Filled once, then read by any thread; only the `reach`
 * marks change, each to a value that every thread would write. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_INLINE_MAX 16
#define WORD_SIZE_MAX   UINT16_MAX
#define WORDS_AHEAD     8 /* to prefetch */

/* A word of at most 16 bytes as two numbers: with the length they tell it exactly. */
struct word_key {
    uint64_t a, b;
};
/* Do merges make the token of its text?  From REACH_YES on: yes, and how far up in rank they go
 * (bpe.h, bpe_reach). */
enum word_reach { REACH_UNKNOWN, REACH_NO, REACH_YES };
struct word {
    struct word_key key; /* of a longer word: its hash, and where its bytes are */
    int32_t id;
    uint16_t len; /* 0 = an empty slot */
    _Atomic uint16_t reach;
};
struct word_map {
    struct word *slots;
    size_t n_slots, n_words;
    uint64_t seed;
    size_t longest; /* bytes */
    struct strbuf bytes;
};

enum status word_map_init(struct word_map *m, size_t n_words, struct error *err);
void word_map_free(struct word_map *m);
/* Of equal words the first stays (*added false).  len: 1 to WORD_SIZE_MAX.  False: out of memory,
 * or more words than the map was made for. */
bool word_map_add(struct word_map *m, struct str text, int32_t id, bool *added);
/* Fetches the slot where a search for the text begins: a table of 100,000 words is larger than the
 * caches, and a caller who knows some words ahead need not wait for each. */
void word_map_prefetch(const struct word_map *m, struct str text);
struct word *word_map_find_long(const struct word_map *m, struct str text);

static inline uint64_t word_read(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

static inline struct word_key word_key_of(struct str s) /* 1 to 16 bytes */
{
    if (s.len >= 8)
        return (struct word_key){word_read(s.data, 8), word_read(s.data + s.len - 8, 8)};
    if (s.len >= 4)
        return (struct word_key){word_read(s.data, 4), word_read(s.data + s.len - 4, 4)};
    uint64_t first = (uint8_t)s.data[0], middle = (uint8_t)s.data[s.len / 2];
    return (struct word_key){first | middle << 8, (uint8_t)s.data[s.len - 1]};
}

/* The high and low half of a 128-bit product, mixed: every bit of the word reaches every bit of it. */
static inline uint64_t word_hash(struct word_key key, size_t len, uint64_t seed)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(key.a ^ seed) * (key.b ^ (uint64_t)len << 56 ^ 0x9E3779B97F4A7C15ull);
    uint64_t h = (uint64_t)product ^ (uint64_t)(product >> 64);
    return h ^ h >> 29;
}

static inline size_t word_slot(const struct word_map *m, uint64_t hash)
{
    return (size_t)((hash >> 32) * m->n_slots >> 32); /* fewer than 2^32 of both */
}

static inline size_t word_next_slot(const struct word_map *m, size_t i)
{
    return i + 1 < m->n_slots ? i + 1 : 0;
}

/* NULL: no such word. */
static inline struct word *word_map_find_key(const struct word_map *m, struct word_key key,
                                             size_t len, uint64_t hash)
{
    for (size_t i = word_slot(m, hash);; i = word_next_slot(m, i)) {
        struct word *w = &m->slots[i];
        if (w->len == len && w->key.a == key.a && w->key.b == key.b) return w;
        if (w->len == 0) return NULL;
    }
}

static inline struct word *word_map_find(const struct word_map *m, struct str text)
{
    if (text.len > WORD_INLINE_MAX) return word_map_find_long(m, text);
    struct word_key key = word_key_of(text);
    return word_map_find_key(m, key, text.len, word_hash(key, text.len, m->seed));
}

#endif
