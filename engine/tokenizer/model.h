#ifndef ENGINE_TOKENIZER_MODEL_H
#define ENGINE_TOKENIZER_MODEL_H

/* model.h - the model: a pre-tokenised piece in, ids out.  One type so far, BPE. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/vocab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct encoder;
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

/* A model type: what another one (Unigram, WordPiece) must bring. */
struct model_kind {
    const char *type;
    enum status (*parse)(const cJSON *json, struct tokenizer *t, struct error *err);
    void (*free)(struct tokenizer *t);
    /* Pushes the ids of one pre-tokenised piece; false: stop, e->status says why. */
    bool (*encode)(struct encoder *e, struct str text);
};
extern const struct model_kind model_bpe;
/* {"token": id} into t->vocab; ids may have holes. */
enum status model_parse_vocab(const cJSON *json, struct vocab *v, struct error *err);

#endif
