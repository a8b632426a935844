#ifndef SERVER_BENCH_RESPONSE_H
#define SERVER_BENCH_RESPONSE_H

/* response.h - an incremental HTTP/1.1 response parser: bytes in, in pieces of any size; views of
 * the body out.  Strict: CRLF line ends, token header names, no folded lines, one Content-Length,
 * "chunked" as the only transfer coding and never beside a Content-Length.  Bounded: a line, the
 * head, a chunk's size, the whole body.  Never allocates.
 * Source: RFC 9112. */

#include "config/base/str.h"

#define RESPONSE_LINE_MAX 4096
#define RESPONSE_HEAD_MAX (64 * 1024)
#define RESPONSE_BODY_MAX (UINT64_C(1) << 36)

enum response_event {
    RESPONSE_MORE, /* everything was consumed; feed more */
    RESPONSE_BODY, /* *piece is a part of the body */
    RESPONSE_DONE, /* the response is whole; what is left belongs to the next one */
    RESPONSE_BAD,  /* `wrong` says why; the connection is of no more use */
};

struct response {
    int status;        /* 0 until the status line is whole */
    bool keep_alive;   /* the connection may carry another request */
    bool event_stream; /* Content-Type: text/event-stream */
    bool started;      /* a byte has arrived */
    const char *wrong; /* after RESPONSE_BAD */
    /* private */
    int state;
    bool chunked, has_length, http_1_0, close_delimited, content_type_seen;
    int size_digits;
    uint64_t left;      /* of the body or of the chunk */
    uint64_t body_size; /* so far */
    size_t head_size;
    size_t line_len;
    char line[RESPONSE_LINE_MAX];
};

void response_init(struct response *r); /* also between two responses of a connection */
/* Consumes from *at (never beyond `end`) until there is something to say. */
enum response_event response_next(struct response *r, const char **at, const char *end,
                                  struct str *piece);
/* The peer closed: DONE when that ends the response as it should, else BAD. */
enum response_event response_end(struct response *r);

#endif
