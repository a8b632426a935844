#ifndef SERVER_BENCH_HISTOGRAM_H
#define SERVER_BENCH_HISTOGRAM_H

/* histogram.h - times in bounded memory: counters of log-linear buckets, 128 to each power of two,
 * so that a quantile is within 0.4 % of the exact one.  Values are nanoseconds; those beyond 2^46
 * (19 hours) count as that.  Count, sum, minimum and maximum are exact. */

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_MAX_BITS 46
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t n, min_ns, max_ns;
    double sum_ns;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
/* The value at quantile q in [0, 1]; 0 when empty. */
double histogram_quantile_ns(const struct histogram *h, double q);
double histogram_mean_ns(const struct histogram *h);

#endif
