#ifndef ENGINE_TOKENIZER_UNIGRAM_H
#define ENGINE_TOKENIZER_UNIGRAM_H

/* unigram.h - the unigram language model for files that are not tokenizer.json.  The text is cut
 * into the pieces whose scores have the highest sum; the cost is O(n * longest piece). */

#include "config/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct tokenizer;

enum unigram_piece {
    UNIGRAM_NORMAL,
    UNIGRAM_USER_DEFINED, /* scores 0.1 for every byte but the first */
    UNIGRAM_NEVER,        /* control, byte, unused, unknown: text never becomes it by itself */
};
struct unigram_options {
    int32_t unk_id; /* -1 = none: a text with a character that no piece covers is refused */
    /* What no piece covers becomes <0xNN> tokens where the vocabulary has all that it takes. */
    bool byte_fallback;
    /* Sums as the SentencePiece library (0.2.3) has them: in single precision, and moved to 0 when
     * beyond 100,000; a text equal to several unknown characters is not looked up.  Without it:
     * double precision and everything else as Hugging Face's tokenizers. */
    bool sentencepiece;
    const uint8_t *kinds; /* [n_ids] of enum unigram_piece; NULL = all are normal */
};
/* Makes Unigram the model of t, whose vocab is filled (holes are never produced).  scores[n_ids]
 * by id, copied as `kinds` is; those of UNIGRAM_NORMAL must be finite (CORRUPT otherwise), as must
 * unk_id be in range. */
enum status unigram_create(struct tokenizer *t, const double *scores,
                           const struct unigram_options *options, struct error *err);

#endif
