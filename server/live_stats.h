#ifndef SERVER_LIVE_STATS_H
#define SERVER_LIVE_STATS_H

/* live_stats.h - what happened in each of the last 300 seconds, for the live view's curves.  Filled
 * whether somebody looks or not: a viewer who comes later sees how it was.  A few additions per
 * token, no timer, no allocation after live_stats_new.  The loop thread's.
 *
 * Time is given in microseconds of the monotonic clock and never goes back by more than the second
 * that is open; what comes later than its second is counted in the open one. */

#include "config/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { LIVE_POINTS = 300, LIVE_BUCKETS = 176 };

/* Durations in buckets whose edges grow by a tenth, from 0.05 ms to 15 minutes: a percentile is
 * right within 5 %. */
struct live_histogram {
    uint32_t counts[LIVE_BUCKETS], n;
};
void live_histogram_add(struct live_histogram *h, double seconds);
/* Milliseconds below which the fraction q lies; 0 when it is empty. */
double live_histogram_quantile(const struct live_histogram *h, double q);

struct live_gauges {
    int32_t running, waiting; /* requests */
    double kv;                /* blocks held, of all */
};

struct live_point {
    int64_t second; /* monotonic */
    int64_t prompt, output, done;
    struct live_gauges gauges;               /* the largest seen in that second */
    double ttft_ms[2], itl_ms[2], e2e_ms[2]; /* p50, p99; -1 = nothing ended */
};

struct live_stats;
/* NULL: no memory. */
struct live_stats *live_stats_new(void);
void live_stats_free(struct live_stats *s);

/* All take s == NULL and do nothing. */
void live_stats_add_prompt(struct live_stats *s, uint64_t now_us, int32_t n_tokens);
/* ttft, itl: seconds since the arrival or since the choice's token before; negative = unknown. */
void live_stats_add_token(struct live_stats *s, uint64_t now_us, double ttft, double itl);
void live_stats_add_done(struct live_stats *s, uint64_t now_us, double e2e);
/* Only what has activity makes a point: gauges alone do not, unless something runs or waits. */
void live_stats_set_gauges(struct live_stats *s, uint64_t now_us, struct live_gauges g);
/* Whether gauges are wanted: the first activity of a second. */
bool live_stats_wants_gauges(const struct live_stats *s, uint64_t now_us);

/* Closes the open second if it is over. */
void live_stats_advance(struct live_stats *s, uint64_t now_us);
uint64_t live_stats_n_closed(const struct live_stats *s); /* points ever made */
/* Point i of them, counted from 0; NULL when it is not kept (any more, or not from the last 300
 * seconds before now_us). */
const struct live_point *live_stats_point(const struct live_stats *s, uint64_t i, uint64_t now_us);
uint64_t live_stats_n_done(const struct live_stats *s); /* requests that ended */

#endif
