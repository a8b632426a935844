#ifndef ENGINE_TOKENIZER_BPE_H
#define ENGINE_TOKENIZER_BPE_H

/* bpe.h - byte pair encoding (Sennrich, Haddow, Birch, "Neural machine translation of rare words
 * with subword units", 2016): start from characters or bytes, merge the adjacent pair of the lowest
 * rank, the leftmost of equals, until no pair can merge.
 *
 * A struct bpe is built once, then read by any thread; a scratch belongs to one encoding. */

#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/vocab.h"
#include "engine/tokenizer/word_map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

struct bpe_merge {
    int32_t left, right; /* left -1: an empty slot */
    uint32_t rank;
    int32_t id;
};
struct bpe_options {
    int32_t unk_id; /* -1 = none */
    bool byte_fallback, fuse_unk, ignore_merges;
};

/* bpe_cut.c: between which neighbours no merge can ever happen, because no token has them side by
 * side.  A text may be cut there, and each part merged alone. */
struct bpe_cuts {
    uint64_t *pairs; /* bits by hash of two characters; too many set only cost speed */
    uint32_t *meet;  /* [65536] by the last byte of one and the first of the next: the lowest rank
                      * that joins them where one of the two is cut */
};
enum status bpe_cuts_init(struct bpe_cuts *c, struct error *err);
void bpe_cuts_free(struct bpe_cuts *c);
/* Notes what stands side by side in a token, whose text may be any bytes; `rank`: the lowest of the
 * merges that make it, BPE_UNMADE when none does. */
void bpe_cuts_learn(struct bpe_cuts *c, struct str token, uint32_t rank);
#define BPE_NEVER  UINT32_MAX
#define BPE_UNMADE (UINT32_MAX - 1)
/* The lowest rank of a merge that makes these two bytes meet, as a character's last and another's
 * first, in a token that has not both characters whole; BPE_NEVER: no token does. */
uint32_t bpe_cuts_meet(const struct bpe_cuts *c, char last, char first);
/* The length of the text's longest start that may not be cut; text: valid UTF-8, not empty. */
size_t bpe_cuts_first(const struct bpe_cuts *c, struct str text);

struct bpe {
    struct bpe_options options;
    struct bpe_merge *merges; /* open addressing */
    size_t n_merge_slots;
    /* What stands in the text -> id.  With `takes_bytes` the ByteLevel pre-tokenizer leaves the
     * bytes as they are, and these are the bytes that the tokens stand for. */
    const struct word_map *words; /* &own_words or the vocabulary's */
    struct word_map own_words;
    bool takes_bytes;
    int32_t byte_ids[256]; /* takes_bytes: of each byte; else of the tokens <0xNN>, -1 = none */
    bool unk_missing;      /* an unk_token is named that the vocabulary lacks */
    char *prefix, *suffix; /* of all but the first, of the last character; NULL = none */
    bool may_cut;
    struct bpe_cuts cuts;
    bool may_cut_at_blanks, cut_at_blanks; /* no token has U+2581 after anything else */
};

/* For files that are not tokenizer.json: makes BPE the model of t, whose vocab is filled.  Ranks
 * give the order of merging (equal ones: from the left); `merges` is copied. */
enum status bpe_create(struct tokenizer *t, const struct bpe_merge *merges, size_t n_merges,
                       const struct bpe_options *options, struct error *err);

struct bpe_cached { /* a word of at most 16 bytes that took more than one token */
    struct word_key key;
    uint8_t len, n_ids; /* len 0 = an empty slot */
    int32_t ids[7];
};
struct bpe_link { /* a symbol among its neighbours, -1 = none */
    int32_t id, next, previous;
};
struct bpe_scratch {
    int32_t *ids;     /* symbols, then tokens */
    uint32_t highest; /* rank of the merges of the last word; BPE_UNMADE: not known */
    size_t cap;
    struct bpe_link *links;
    size_t links_cap;
    struct bpe_token *tokens[2];
    size_t tokens_cap[2];
    struct bpe_candidate *heap;
    size_t heap_len, heap_cap;
    size_t block; /* symbols merged at once in a long word; 0 = the default (tests take less) */
    struct bpe_cached *cache;
    size_t cache_mask;
    struct strbuf affixed; /* a character with prefix or suffix */
};
const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right);
/* bpe_merge.c: the word's ids into s->ids[0, *n_out).  NO_MEMORY; UNSUPPORTED: it has a character
 * that no token stands for, and unk_missing. */
enum status bpe_merge_word(const struct bpe *b, struct bpe_scratch *s, struct str word,
                           size_t *n_out);
#define BPE_FEW 48 /* n*n/2 steps of a scan pass a heap's about here */
/* Merges n <= BPE_FEW symbols in place; returns how many are left.  *highest: the highest rank of the
 * merges made. */
size_t bpe_merge_few(const struct bpe *b, int32_t *ids, size_t n, uint32_t *highest);
/* What a word's `reach` becomes when merges up to that rank make it; and back, at most 127 too
 * high. */
static inline uint16_t bpe_reach(uint32_t highest)
{
    uint32_t steps = highest / 128 + 1; /* ranks are below LIMIT_VOCAB: fits */
    return (uint16_t)(REACH_YES +
                      (steps < UINT16_MAX - REACH_YES ? steps : UINT16_MAX - REACH_YES));
}
static inline uint32_t bpe_reach_rank(uint16_t reach)
{
    return reach == UINT16_MAX ? BPE_NEVER : (uint32_t)(reach - REACH_YES) * 128;
}
/* bpe_symbols.c: which characters of several bytes may start whole; after `words` and `cuts`.
 * False: out of memory. */
bool bpe_find_characters(const struct bpe *b, const struct vocab *v);
/* The word before its first merge, into s->ids, which has room for
 * bpe_symbols_max(word.len). */
size_t bpe_symbols_max(const struct bpe *b, size_t len);
enum status bpe_symbols(const struct bpe *b, struct bpe_scratch *s, struct str word, size_t *n_out);
void bpe_scratch_free(struct bpe_scratch *s);

#endif
