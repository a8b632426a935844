#ifndef ENGINE_TOKENIZER_BPE_H
#define ENGINE_TOKENIZER_BPE_H

/* bpe.h - byte pair encoding: the table of merges and what merging one word needs.  A struct bpe
 * is built once, then read by any thread; a scratch belongs to one encoding. */

#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/vocab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

#define BPE_DIRECT 0x800 /* characters below this find their id in a table */

struct bpe_merge {
    int32_t left, right; /* left -1: an empty slot */
    uint32_t rank;
    int32_t id;
};
struct bpe {
    struct bpe_merge *merges; /* open addressing */
    size_t merge_mask;
    int32_t direct[BPE_DIRECT];
    int32_t byte_ids[256]; /* <0xNN> */
    int32_t unk_id;        /* -1 = none */
    bool byte_fallback, fuse_unk, ignore_merges;
    /* No token has U+2581 after anything but U+2581: merges never cross into one, so a text may be
     * cut before each and every word merged alone. */
    bool cut_at_blanks;
    /* Whether the merges make the token from its own text: 0 not known yet, 1 no, 2 yes.  Filled
     * by whoever asks first; every thread would write the same. */
    _Atomic uint8_t *reaches_itself;
};
struct bpe_scratch {
    int32_t *ids, *next, *previous, *pair_ids;
    uint32_t *ranks;
    size_t cap;
    struct bpe_candidate *heap;
    size_t heap_len, heap_cap;
};
const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right);
/* bpe_merge.c: the word's ids into s->ids[0, *n_out); false: no memory. */
bool bpe_merge_word(const struct bpe *b, const struct vocab *v, struct bpe_scratch *s,
                    struct str word, size_t *n_out);
void bpe_scratch_free(struct bpe_scratch *s);

/* For files that are not tokenizer.json: makes BPE the model of t, whose vocab is filled.  Ranks
 * give the order of merging (equal ones: from the left); `merges` is copied. */
struct bpe_options {
    int32_t unk_id; /* -1 = none */
    bool byte_fallback, fuse_unk, ignore_merges;
};
enum status bpe_create(struct tokenizer *t, const struct bpe_merge *merges, size_t n_merges,
                       const struct bpe_options *options, struct error *err);

#endif
