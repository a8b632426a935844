#ifndef ENGINE_TOKENIZER_SENTENCEPIECE_BPE_H
#define ENGINE_TOKENIZER_SENTENCEPIECE_BPE_H

/* sentencepiece_bpe.h - the models of the SentencePiece library that tokenizer.json does not have:
 * words, characters, and BPE with pieces that never merge (user-defined) or that are taken apart
 * again (unused). */

#include "engine/tokenizer/sentencepiece.h"

/* Makes it the model of t, whose vocabulary is filled; copies what it needs of m. */
enum status sentencepiece_bpe_create(struct tokenizer *t, const struct sentencepiece *m,
                                     struct error *err);

#endif
