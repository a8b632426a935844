#ifndef ENGINE_TOKENIZER_DETOK_H
#define ENGINE_TOKENIZER_DETOK_H

/* detok.h - the steps of a decoder that run while tokens arrive (detok_ops.c).
 *
 * Step k gets a token's text in parts of whole characters, then the token's end; after the last
 * token, the end of all.  What it makes of that goes to step k + 1, behind the last step into `out`
 * (where the ends of tokens mean nothing). */

#include "engine/tokenizer/internal.h"

void detok_op_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out);
void detok_op_end(struct detok *d, int k, struct strbuf *out);
void detok_op_finish(struct detok *d, int k, struct strbuf *out);
void detok_op_init(struct detok *d); /* the state of all steps */
/* Nothing is held back, and plain text passes unchanged. */
bool detok_ops_quiet(const struct detok *d);

#endif
