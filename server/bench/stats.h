#ifndef SERVER_BENCH_STATS_H
#define SERVER_BENCH_STATS_H

/* stats.h - what one run counted.  All memory is here: it does not grow with the run. */

#include "server/bench/histogram.h"

#include <stddef.h>

enum outcome {
    OUTCOME_OK,
    OUTCOME_CONNECT,   /* no connection */
    OUTCOME_CLOSED,    /* the server closed the connection too early */
    OUTCOME_TIMEOUT,   /* --timeout */
    OUTCOME_MALFORMED, /* not HTTP, or not what was asked for */
    OUTCOME_STREAM,    /* an error event inside a stream */
    OUTCOME_TRUNCATED, /* a stream without [DONE] */
    OUTCOME_HTTP,      /* another status than 200 */
    OUTCOME_CANCELLED, /* by SIGINT */
    OUTCOME_COUNT
};
const char *outcome_name(enum outcome o);

struct stats {
    uint64_t n_sent, n_short; /* short: fewer tokens than asked for */
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t http_statuses[600];
    uint64_t input_tokens, output_tokens, cached_tokens;
    uint64_t n_without_usage; /* answers that did not say: their tokens are events with text */
    uint64_t n_events, n_content, n_bytes;
    uint64_t n_connections, max_in_flight;
    uint64_t start_ns, end_ns;
    double cpu_s; /* of this process */
    char first_error[512];
    struct histogram ttft, itl, tpot, e2e;
    struct histogram lag; /* open loop: how late requests were sent */
};

#endif
