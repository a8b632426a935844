#ifndef SERVER_TOKENIZE_H
#define SERVER_TOKENIZE_H

/* tokenize.h - `inferd tokenize [MODEL]`: text on standard input, ids on standard output, or back.
 *
 *                     standard input                     standard output
 *   tokenize          text (UTF-8, NUL bytes too)        one JSON array of ids
 *   --lines           a JSON string on each line         a JSON array on each line
 *   --detokenize      one JSON array of ids              the text, nothing added
 *   both              a JSON array on each line          a JSON string on each line
 *
 * With --lines answers are written before the command waits for more input, so that another
 * program may talk with it line by line.  The first line that is wrong ends it. */

/* argv without the program and the command names. */
int tokenize_main(int argc, char **argv);

#endif
