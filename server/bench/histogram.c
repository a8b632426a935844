#include "server/bench/histogram.h"

#include <math.h>

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

/* Values below 2^SUB_BITS have a bucket each; above, the SUB_BITS bits behind the leading one
 * choose it. */
static uint32_t bucket_of(uint64_t ns)
{
    if (ns >> HISTOGRAM_MAX_BITS) ns = (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1;
    if (ns < SUB_COUNT) return (uint32_t)ns;
    int shift = 63 - __builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return ((uint32_t)(shift + 1) << HISTOGRAM_SUB_BITS) +
           (uint32_t)((ns >> shift) & (SUB_COUNT - 1));
}

/* The middle of a bucket. */
static double bucket_value(uint32_t bucket)
{
    uint32_t octave = bucket >> HISTOGRAM_SUB_BITS, sub = bucket & (SUB_COUNT - 1);
    if (octave == 0) return sub;
    return ldexp((double)(SUB_COUNT + sub) + 0.5, (int)octave - 1) - (octave == 1 ? 0.5 : 0);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->counts[bucket_of(ns)]++;
    if (h->n == 0 || ns < h->min_ns) h->min_ns = ns;
    if (ns > h->max_ns) h->max_ns = ns;
    h->sum_ns += (double)ns;
    h->n++;
}

double histogram_quantile_ns(const struct histogram *h, double q)
{
    if (h->n == 0) return 0;
    double want = ceil(q * (double)h->n);
    uint64_t rank = want < 1 ? 1 : (uint64_t)want, seen = 0;
    uint32_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && (seen += h->counts[bucket]) < rank) bucket++;
    double v = bucket_value(bucket);
    if (v < (double)h->min_ns) v = (double)h->min_ns;
    return v > (double)h->max_ns ? (double)h->max_ns : v;
}

double histogram_mean_ns(const struct histogram *h)
{
    return h->n ? h->sum_ns / (double)h->n : 0;
}
