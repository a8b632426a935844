#ifndef SERVER_LIVE_WRITE_H
#define SERVER_LIVE_WRITE_H

/* live_write.h - the live view's data as JSON.  Pure functions over a strbuf. */

#include "scheduler/view.h"
#include "server/live_stats.h"

struct live_hello {
    const char *version, *model;
    int32_t max_model_len, max_num_seqs, block_size, n_blocks; /* n_blocks without the null block */
    int32_t n_cells, blocks_per_cell;
};

struct live_state {
    const struct sched_view *view;
    const char *state; /* "ready", or what app_not_ready says */
    double unix_s;     /* now */
    uint64_t now_us;   /* the same on the monotonic clock */
    double prompt_rate, output_rate;
    uint64_t n_done;
    bool all_own; /* no keys: everything is the viewer's */
    int32_t owner;
};

/* The points that are kept, oldest first.  unix_offset_s: unix time of monotonic 0. */
void live_write_hello(struct strbuf *out, const struct live_hello *h, const struct live_stats *s,
                      uint64_t now_us, int64_t unix_offset_s);
void live_write_point(struct strbuf *out, const struct live_point *p, int64_t unix_offset_s);
/* What others than `owner` have sent is told in sizes alone, and nothing of what the prefix cache
 * knew of it. */
void live_write_state(struct strbuf *out, const struct live_state *s);
/* [[cell,count],...] */
void live_write_runs(struct strbuf *out, const int64_t *cells, int32_t n);

#endif
