#ifndef SERVER_TERMINAL_WRAPPER_H
#define SERVER_TERMINAL_WRAPPER_H

/* wrapper.h - lines of a terminal that end between words.  Text appears as it comes: the begin of a
 * word that then does not fit is taken back, by the two sequences that every terminal since the
 * VT100 has (cursor back, erase to the end of the line), and written again in the next line.
 *
 * It steps aside, and the terminal wraps as it likes, where it cannot know the columns: from a
 * character that not every terminal shows in one column (wide, combining, beyond U+2E7F) to the end
 * of that line; and for a word that is longer than a line. */

#include "config/base/str.h"

#include <stdbool.h>

enum { WRAPPER_WORD_MAX = 1024 }; /* bytes of a word that can still be moved */

struct wrapper {
    int column; /* of the cursor */
    bool aside; /* until the next line */
    char word[WRAPPER_WORD_MAX];
    int word_len, word_columns;
};

/* At the begin of a line. */
void wrapper_reset(struct wrapper *w);
/* Appends `text`, which has no control characters but \n and \t and ends at a character, to *out for
 * a terminal of so many columns; columns 0: not known, the text as it is. */
void wrapper_feed(struct wrapper *w, struct str text, int columns, struct strbuf *out);

#endif
