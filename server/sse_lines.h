#ifndef SERVER_SSE_LINES_H
#define SERVER_SSE_LINES_H

/* sse_lines.h - the lines of a stream of server-sent events, whatever the pieces that they arrive
 * in: for those who read what another server sends.  Lines end with LF or CRLF; the lone CR that
 * the standard knows too is sent by nobody.  Source: HTML standard, server-sent events. */

#include "config/base/str.h"

struct sse_lines {
    struct strbuf carry; /* a line of which the rest has not come */
};

/* Longer lines end the reading: see sse_lines_feed. */
void sse_lines_init(struct sse_lines *l, size_t max_line);
void sse_lines_reset(struct sse_lines *l); /* for the next stream; keeps the memory */
void sse_lines_free(struct sse_lines *l);
/* Calls `on_line` for each line that ended in this piece, without its end; the line is valid during
 * the call.  False: a line is too long (or no memory), now and until the reset. */
bool sse_lines_feed(struct sse_lines *l, const char *data, size_t len,
                    void (*on_line)(void *arg, struct str line), void *arg);
/* The value of a line "data: value"; false: another field, a comment, an empty line. */
bool sse_line_data(struct str line, struct str *value);

#endif
