#ifndef ENGINE_TOKENIZER_READ_SCORE_H
#define ENGINE_TOKENIZER_READ_SCORE_H

/* read_score.h - numbers of tokenizer.json to the last bit as Hugging Face's tokenizers read them.
 *
 * Their JSON reader takes the digits as an integer of 64 bits, which is rounded when it has 16 of
 * them or more, and divides by a power of ten, which rounds again: about one score in seven is one
 * unit in the last place off the nearest double.  Sums of such scores then tie or not by their last
 * bits, so the same has to be done here. */

#include "config/base/str.h"

/* False: the text is no number, or one beyond all doubles.  It must have passed json_parse. */
bool read_score(struct str number, double *out);

#endif
