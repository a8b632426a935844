#ifndef SERVER_BENCH_REPORT_H
#define SERVER_BENCH_REPORT_H

/* report.h - the figures of a run, for people and as JSON. */

#include "server/bench/args.h"
#include "server/bench/stats.h"

struct report {
    const struct bench_args *args;
    const char *model;
    uint64_t seed;
    const struct stats *stats;
};

void report_print(const struct report *r, FILE *f);
enum status report_write_json(const struct report *r, const char *path, struct error *err);

#endif
