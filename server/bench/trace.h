#ifndef SERVER_BENCH_TRACE_H
#define SERVER_BENCH_TRACE_H

/* trace.h - public traces of requests: when they came and how long they were.
 * Azure: CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens (UTC, seconds with fraction).
 * Mooncake: one JSON object a line with timestamp (ms), input_length, output_length. */

#include "config/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct trace_row {
    double at_s; /* since the first row */
    int64_t input_len, output_len;
    size_t line;
};

/* Rows in the order of time; free() them.  The format is found by the first character. */
enum status trace_read(const char *path, struct trace_row **rows, size_t *n, struct error *err);
/* The same from memory. */
enum status trace_parse(const char *text, size_t len, struct trace_row **rows, size_t *n,
                        struct error *err);

#endif
