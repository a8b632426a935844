#ifndef SERVER_TERMINAL_SANITIZER_H
#define SERVER_TERMINAL_SANITIZER_H

/* sanitizer.h - text of a model or a server on its way to a terminal.  A terminal obeys what it is
 * shown: escape sequences move its cursor, change its title, answer questions as if they had been
 * typed.  What comes out here is valid UTF-8 without any of that:
 *
 *   \n and \t stay, \r\n becomes \n; the other C0 characters, DEL and C1 (U+0080 to U+009F) become
 *   \xNN; what turns the direction of writing around (U+202A to U+202E, U+2066 to U+2069) becomes
 *   \uNNNN; a byte that is not UTF-8 becomes U+FFFD.
 *
 * The pieces may be cut anywhere, inside a character too.  Sources: ECMA-48; Unicode UAX #9. */

#include "config/base/str.h"

struct sanitizer {
    char carry[4]; /* the beginning of a character */
    unsigned char n_carry;
    bool cr; /* a \r came, and nothing behind it yet */
};

/* All zeros is a fresh one. */
void sanitizer_feed(struct sanitizer *s, struct str text, struct strbuf *out);
/* The text is over: what is held back comes out. */
void sanitizer_end(struct sanitizer *s, struct strbuf *out);
/* A whole text; line breaks become blanks too where it has to stay on one line. */
void sanitize(struct str text, bool one_line, struct strbuf *out);

#endif
