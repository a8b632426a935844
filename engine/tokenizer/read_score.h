#ifndef ENGINE_TOKENIZER_READ_SCORE_H
#define ENGINE_TOKENIZER_READ_SCORE_H

/* read_score.h - numbers of tokenizer.json to the last bit as Hugging Face's tokenizers read them.
 *
 * Their JSON reader takes all digits as an integer, which is rounded when it has 16 or 17 of them,
 * and divides by a power of ten, which rounds again: about one score in seven is one unit in the
 * last place off the nearest double.  Sums of such scores then tie or not by their last bits, so
 * the same has to be done here.  JSON was read by then: the digits are taken to be the shortest
 * that give the number back, which is what everything that writes these files prints. */

double read_score(double nearest);

#endif
