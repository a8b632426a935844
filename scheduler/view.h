#ifndef SCHEDULER_VIEW_H
#define SCHEDULER_VIEW_H

/* view.h - a picture of the scheduler for people to look at: who runs, who waits, whose the blocks
 * are.  Pure, bounded by the enum below and the number of blocks, allocates nothing.
 *
 * A request is named by its number of arrival (request.sequence, from 1) and by request.owner. */

#include "scheduler/scheduler.h"

enum {
    SCHED_VIEW_ROWS = 64,    /* choices that run, and requests that wait, told one by one */
    SCHED_VIEW_CELLS = 1024, /* of the map of blocks: more cannot be told apart on a screen */
};

enum sched_view_state { VIEW_PREFILL, VIEW_DECODE, VIEW_PREEMPTED };

struct sched_view_choice {
    uint64_t request;
    uint64_t arrival_us;
    int32_t owner;     /* request.owner */
    int32_t choice, n; /* of so many */
    int32_t n_prompt, n_cached, n_computed, n_output;
    int32_t max_output; /* max_tokens, or what the context leaves of it */
    enum sched_view_state state;
};

struct sched_view_waiting {
    uint64_t request;
    uint64_t arrival_us;
    int32_t owner, n_prompt, max_output;
};

/* What a cell of the map tells, when it is not a request's number. */
enum { VIEW_FREE = 0, VIEW_CACHED = -1, VIEW_SHARED = -2 };

struct sched_view {
    struct sched_stats stats;
    int32_t
        n_choices; /* that run or were preempted, all of them; stats.n_waiting is all that wait */
    int32_t n_running, n_waiting; /* rows of the arrays, oldest first */
    struct sched_view_choice running[SCHED_VIEW_ROWS];
    struct sched_view_waiting waiting[SCHED_VIEW_ROWS];
    /* The blocks but the null block, in order; a cell stands for blocks_per_cell of them (the last
     * one for what is left) and tells who holds most of its held blocks: a request's number, or
     * VIEW_SHARED for blocks that several requests hold.  With none held, VIEW_CACHED when one is
     * cached. */
    int32_t n_cells, blocks_per_cell;
    int64_t cells[SCHED_VIEW_CELLS];
};

/* The map's shape for a pool of n_blocks, null block included. */
void sched_view_shape(int32_t n_blocks, int32_t *n_cells, int32_t *blocks_per_cell);
/* owners: [config.n_blocks] scratch; afterwards what each block is, as in a cell. */
void sched_view_fill(const struct sched *s, struct sched_view *out, int64_t *owners);

#endif
