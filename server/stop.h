#ifndef SERVER_STOP_H
#define SERVER_STOP_H

/* stop.h - stop strings over a text that arrives in pieces.
 *
 * The strings are compiled once per request into a stop_set (Knuth, Morris and Pratt's failure
 * table for each, "Fast pattern matching in strings", 1977); every choice has its own small
 * stop_state.  A match is the first place where any stop string ends; of several that end there the
 * longest counts.  The result depends on the text alone, never on how it was cut into pieces.
 *
 * What is held back is the longest suffix that could still begin a stop string: at most
 * LIMIT_STOP_STRING_LEN - 1 bytes.  It needs no buffer: it is a prefix of one of the strings. */

#include "config/base/arena.h"
#include "config/base/str.h"
#include "config/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct stop_set {
    int n;
    struct str text[LIMIT_STOP_STRINGS];
    const uint16_t *fail[LIMIT_STOP_STRINGS]; /* [text[i].len] */
};

struct stop_state {
    uint16_t depth[LIMIT_STOP_STRINGS]; /* bytes of each string that the text ends with */
    uint16_t n_held;                    /* the largest of them: bytes not given out yet */
    uint16_t holder;                    /* the string whose prefix they are */
};

/* strings[n]: 1..LIMIT_STOP_STRING_LEN bytes each, n <= LIMIT_STOP_STRINGS; they must outlive the
 * set.  False: out of memory. */
bool stop_set_init(struct stop_set *set, struct arena *arena, const struct str *strings, int n);

/* Takes the next piece and appends to `out` what may be shown.  Returns the index of the stop
 * string that was found, else -1; after a match the state is spent.  `include` shows the stop
 * string itself.  With `armed` false a match that ends in this piece does not count (min_tokens),
 * but one that begins in it may. */
int stop_push(const struct stop_set *set, struct stop_state *st, struct str piece, bool armed,
              bool include, struct strbuf *out);
/* The text has ended without a match: gives out what was held. */
void stop_flush(const struct stop_set *set, struct stop_state *st, struct strbuf *out);

#endif
