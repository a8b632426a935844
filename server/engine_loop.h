#ifndef SERVER_ENGINE_LOOP_H
#define SERVER_ENGINE_LOOP_H

/* engine_loop.h - the engine thread: owns the scheduler and the engine, takes requests from a
 * bounded mailbox, runs steps, and gives events back to the loop thread, which it wakes once per
 * step.  With nothing to do it sleeps: no wake-ups at all.
 *
 * With max_inflight = 2 the next step is planned and submitted while one runs, so that the device need
 * not wait for the host.  What the host learns in between (a stop, a cancel, a new request) holds from
 * the step after that; a surplus token is dropped.
 *
 * Functions below are the loop thread's unless said otherwise.  Where `l` is NULL (the engine has
 * stopped) submit answers UNAVAILABLE and the others do nothing. */

#include "config/base/status.h"
#include "engine/engine.h"
#include "scheduler/view.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct engine_loop;

/* An event as the loop thread gets it (sched_event with its own copy of the logprobs). */
struct engine_event {
    struct request *request;
    enum event_type type;
    int32_t choice, token, position, n_cached;
    enum finish_reason finish;
    bool last;
    uint64_t time_us;                  /* when the step that made it ended */
    const struct sample_out *logprobs; /* valid during the callback; NULL = none */
};
typedef void engine_event_fn(void *arg, const struct engine_event *ev);
/* After each drained batch of events: flush what they wrote. */
typedef void engine_batch_end_fn(void *arg);

struct engine_loop_options {
    struct engine *engine; /* handed over; closed by engine_loop_stop */
    struct sched_config sched;
    uv_loop_t *loop;
    engine_event_fn *on_event;
    engine_batch_end_fn *on_batch_end;
    void (*on_failed)(void *arg, const struct error *err); /* the device failed, all requests have
                                                            * ended with FINISH_ERROR */
    void (*on_view)(void *arg); /* a new view is there, see engine_loop_watch; may be NULL */
    void *arg;
    int64_t max_queued_reqs, max_queued_tokens; /* waiting, not yet admitted; <= 0: no bound of
                                                 * its own (sched.max_waiting stands) */
    int max_inflight; /* steps under way at one time, 1 or 2; at most the engine's */
    /* NULL: engine_submit, engine_collect and engine_close.  Tests run the loop without a model. */
    enum status (*submit)(struct engine *e, const struct step *step, struct error *err);
    enum status (*collect)(struct engine *e, struct step_result *out, struct error *err);
    void (*close)(struct engine *e);
};
enum status engine_loop_start(struct engine_loop **out, const struct engine_loop_options *o,
                              struct error *err);
/* OVERLOADED when the queue's bounds are reached: nothing was queued.  The scheduler's own
 * refusals (never fits) come back synchronously too: they depend on the config alone. */
enum status engine_loop_submit(struct engine_loop *l, struct request *r, struct error *err);
void engine_loop_cancel(struct engine_loop *l, struct request *r);
void engine_loop_finish_choice(struct engine_loop *l, struct request *r, int32_t choice);
/* Whether somebody looks on.  While so, the engine's thread draws a view when something has changed,
 * at most one each ENGINE_LOOP_VIEW_MS and the last one when it falls idle, and on_view is called;
 * `true` again asks for one at once (between two steps).  Else views cost nothing. */
void engine_loop_watch(struct engine_loop *l, bool watched);
/* Copies the latest view; false when none has been drawn. */
bool engine_loop_get_view(struct engine_loop *l, struct sched_view *out);
/* Joins the thread; unfinished requests get their final events first.  Closes the engine.  Its
 * uv handle closes when the loop runs on; the memory goes with it. */
void engine_loop_stop(struct engine_loop *l);

/* Upper edges of the histogram of tokens in a step; one more bucket holds the rest. */
#define ENGINE_LOOP_STEP_EDGES                                          \
    {                                                                   \
        1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, \
    }
enum { ENGINE_LOOP_N_STEP_EDGES = 13, ENGINE_LOOP_VIEW_MS = 100 };

/* --- any thread: a consistent snapshot, published after each step --- */
struct engine_loop_stats {
    struct sched_stats sched;
    int64_t n_queued, n_queued_tokens; /* submitted and not yet admitted */
    /* From one step's end to the next one's, without idle times; the part of it that is the loop's own
     * work, outside engine_submit and engine_collect. */
    uint64_t step_us_last, host_us_last;
    uint64_t steps, step_us_total, host_us_total;
    uint64_t step_tokens[ENGINE_LOOP_N_STEP_EDGES + 1], step_tokens_sum; /* not cumulative */
};
void engine_loop_get_stats(struct engine_loop *l, struct engine_loop_stats *out);
/* Seconds that the oldest step under way has taken; 0 when none is.  The watchdog's input. */
double engine_loop_stalled_s(struct engine_loop *l);

#endif
