#ifndef ENGINE_TOKENIZER_SENTENCEPIECE_H
#define ENGINE_TOKENIZER_SENTENCEPIECE_H

/* sentencepiece.h - the model file of the SentencePiece library (tokenizer.model, spiece.model): a
 * protocol buffer with the pieces, their scores, and how the text is normalised.
 *
 * Plain text gives the ids that the library gives, float for float; control pieces and the tokens
 * of tokenizer_config.json are found in the text as transformers does.  docs/tokenizers.md has
 * what differs from either.  The file is not trusted: sizes, counts, UTF-8 and scores are checked,
 * and a message names the piece at fault.
 * Source: sentencepiece_model.proto and the behaviour of PyPI sentencepiece. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

#define SENTENCEPIECE_BLANK     "\xE2\x96\x81" /* U+2581 stands for a blank */
#define SENTENCEPIECE_BLANK_LEN 3

enum sentencepiece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN = 2,
    PIECE_CONTROL = 3,
    PIECE_USER_DEFINED = 4,
    PIECE_UNUSED = 5,
    PIECE_BYTE = 6
};
enum sentencepiece_algorithm {
    ALGORITHM_UNIGRAM = 1,
    ALGORITHM_BPE = 2,
    ALGORITHM_WORD = 3,
    ALGORITHM_CHAR = 4
};
/* What a model file says; the texts of the pieces are in the tokenizer's vocabulary. */
struct sentencepiece {
    size_t n_pieces;
    uint8_t *types; /* [n_pieces] of enum sentencepiece_type */
    float *scores;  /* [n_pieces] */
    int algorithm;
    int32_t unk_id, bos_id, eos_id; /* -1 = none */
    bool byte_fallback, suffix;     /* suffix: a blank belongs to the word before it */
    bool dummy_prefix, remove_blanks, escape_blanks;
    struct str charsmap; /* in the file's bytes; empty = none */
};

/* Reads the file: m, and the pieces into t's vocabulary.  sentencepiece_free(m) in any case. */
enum status sentencepiece_read(struct str file, struct tokenizer *t, struct sentencepiece *m,
                               struct error *err);
/* Makes the other parts of t of it.  config (tokenizer_config.json) may be NULL; its
 * "add_prefix_space": false and "legacy" are heeded.  every_part: see below. */
enum status sentencepiece_build(struct tokenizer *t, struct sentencepiece *m, const cJSON *config,
                                bool every_part, struct error *err);
void sentencepiece_free(struct sentencepiece *m);

/* --- parts of it ---------------------------------------------------------------------------------- */

/* sentencepiece_symbols.c: user-defined pieces, found in a text before anything else. */
struct sentencepiece_symbols {
    struct str *sorted; /* copies, in byte order */
    size_t n;
    char *bytes;
    bool begins[256]; /* a symbol begins with this byte */
};
enum status sentencepiece_symbols_init(struct sentencepiece_symbols *s, const struct tokenizer *t,
                                       const struct sentencepiece *m, struct error *err);
void sentencepiece_symbols_free(struct sentencepiece_symbols *s);
/* The size of the longest symbol that the text begins with, 0 = none. */
size_t sentencepiece_symbols_match(const struct sentencepiece_symbols *s, const char *text,
                                   size_t len);

/* sentencepiece_normalizer.c: appends the stage to t->normalizer. every_part: text between added
 * tokens gets the blank before it too, not just the text's start. */
enum status sentencepiece_normalizer_add(struct tokenizer *t, const struct sentencepiece *m,
                                         bool every_part, struct error *err);

/* sentencepiece_model.c: t->model for `m`, t's vocabulary being filled. */
enum status sentencepiece_model_create(struct tokenizer *t, const struct sentencepiece *m,
                                       struct error *err);
/* <0xNN>, two upper-case digits: the byte, else -1. */
int sentencepiece_byte(struct str piece);

#endif
