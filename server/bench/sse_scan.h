#ifndef SERVER_BENCH_SSE_SCAN_H
#define SERVER_BENCH_SSE_SCAN_H

/* sse_scan.h - what a load generator needs to know of a stream of OpenAI's events, found by
 * searching bytes: how many events there were, which of them carry text, what the last one says of
 * the usage, whether the stream ended as it should.  No JSON is parsed.
 *
 * An event is one "data:" line, as OpenAI's streams have it.  Inside a JSON string every quote
 * has a backslash in front, so that `"text":"` can only be a key and the start of its value.
 * Source: HTML standard, server-sent events; OpenAI's API reference, streaming. */

#include "server/sse_lines.h"

#define SSE_LINE_MAX (8u << 20)

struct sse_usage {
    bool present;
    int64_t prompt_tokens, completion_tokens, cached_tokens; /* -1 = not said */
};

struct sse_scan {
    uint64_t n_events, n_content; /* data lines but for [DONE]; those with text */
    bool done;                    /* data: [DONE] */
    bool failed;                  /* an event with an error, or an endless line */
    struct sse_usage usage;       /* of the last event that had one */
    char error[256];              /* the start of the error event */
    /* private */
    size_t text_at; /* where the last event had its text: the next one has it there too */
    struct sse_lines lines;
};

void sse_scan_init(struct sse_scan *s);
void sse_scan_reset(struct sse_scan *s); /* for the next stream; keeps the memory */
void sse_scan_free(struct sse_scan *s);
/* Returns how many events with text ended in this piece. */
uint64_t sse_scan_feed(struct sse_scan *s, const char *data, size_t len);
/* The numbers of `"usage":{...}` anywhere in `json`. */
void sse_find_usage(const char *json, size_t len, struct sse_usage *out);

#endif
