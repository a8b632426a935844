#ifndef SERVER_BENCH_ENGINE_REPORT_H
#define SERVER_BENCH_ENGINE_REPORT_H

/* report.h - the figures of `inferd bench engine`, for people as they come and as JSON at the end. */

#include "server/bench/engine/run.h"

void engine_report_machine(const struct engine_run *r, FILE *f);
void engine_report_figure(const struct engine_run *r, const struct engine_figure *g, FILE *f);
/* Says whether the machine was busy. */
void engine_report_end(const struct engine_run *r, FILE *f);
enum status engine_report_write_json(const struct engine_run *r, const char *path,
                                     struct error *err);

/* What holds a step back at best: "memory" or "compute". */
const char *engine_limit_name(const struct step_limit *l);
/* The limit's time by the measured one. */
double engine_figure_share(const struct engine_figure *g);

#endif
