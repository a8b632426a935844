#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

/* metrics.h - Prometheus text format under vLLM's names; the loop thread's alone.  Gauges of the
 * scheduler are read from engine_loop's snapshot when /metrics is asked. */

#include "config/base/str.h"
#include "server/engine_loop.h"

#include <stdint.h>

struct metrics;

/* One finished choice or request, in seconds and tokens; negative times are left out. */
struct metrics_request {
    double ttft, e2e, queue, prefill, decode, inference;
    double time_per_output_token;
    int64_t prompt_tokens, generation_tokens, max_tokens, n;
    enum finish_reason finish; /* of the request's last choice */
};

/* NULL: out of memory.  info NULL: there is no engine, and metrics_write leaves out what is said of
 * one and of the requests that it runs. */
struct metrics *metrics_new(const char *model_name, const struct engine_info *info,
                            bool prefix_caching);
void metrics_free(struct metrics *m);
void metrics_observe_request(struct metrics *m, const struct metrics_request *r);
void metrics_observe_ttft(struct metrics *m, double seconds);
void metrics_observe_itl(struct metrics *m, double seconds); /* gap between two outputs */
void metrics_count_rejection(struct metrics *m);
void metrics_count_http(struct metrics *m, const char *route, int status);
void metrics_set_startup(struct metrics *m, const char *phase, double seconds);
/* s: NULL where there is no engine. */
void metrics_write(struct metrics *m, const struct engine_loop_stats *s, struct strbuf *out);

#endif
