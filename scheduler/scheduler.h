#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

/* scheduler.h - continuous batching over a paged KV-cache, as a pure library: no threads, no
 * clock, no I/O, no device.  The same calls with the same arguments give the same steps.
 *
 *   submit/cancel  ->  sched_plan  ->  (the engine executes)  ->  sched_apply  ->  events
 *
 * There is no prefill phase and no decode phase: a sequence has n_tokens and n_computed, and a
 * step gives out a token budget: decodes first, then running prefills, then admissions.  Up to
 * SCHED_MAX_INFLIGHT steps may be planned before the first of them is applied (a sequence's next
 * token is then named by step.token_src).
 *
 * Memory: everything is allocated by sched_create; submit, cancel, plan and apply never allocate.
 * Threads: one owner. */

#include "config/base/status.h"
#include "engine/step.h"
#include "scheduler/request.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { SCHED_MAX_INFLIGHT = 2 };

struct sched_config {
    int32_t n_blocks, block_size; /* block 0 is the null block */
    int32_t max_num_seqs;         /* sequences with blocks or progress at one time */
    int32_t max_num_batched_tokens;
    int32_t max_model_len;
    int32_t max_logit_rows; /* samples in one step, prompt logprobs included */
    int32_t max_waiting;    /* requests; the queue's bound */
    bool enable_prefix_caching;
    int32_t max_cached_len; /* 0: no bound.  Else keys depend on the prompt's length when it, or
                             * their position, is beyond: such blocks are neither cached nor
                             * looked for (rotary embedding that scales with the length) */
    bool enable_chunked_prefill; /* false: a prompt that does not fit the budget waits for a step
                                   * of its own */
    bool priority_policy;        /* else first come, first served */
    uint64_t hash_seed;
};

enum finish_reason {
    FINISH_NONE,
    FINISH_STOP,     /* eos or stop id (event.token is that id) */
    FINISH_LENGTH,   /* max_tokens or max_model_len */
    FINISH_ABORT,    /* cancelled */
    FINISH_DEADLINE, /* deadline_us passed */
    FINISH_ERROR,    /* cannot ever run: see sched_submit; or the engine failed */
};

enum event_type {
    EVENT_ADMITTED,       /* first scheduled; n_cached is set */
    EVENT_PROMPT_LOGPROB, /* position: which prompt token; logprob is set */
    EVENT_TOKEN,          /* one output token; finish may be set with it */
    EVENT_FINISH,         /* the choice ended without a token (abort, deadline, error) */
};

/* 48 bytes; filled by apply, plan and cancel through the sink, in order per choice. */
struct sched_event {
    struct request *request;
    enum event_type type;
    int32_t choice;
    int32_t token;    /* EVENT_TOKEN */
    int32_t position; /* EVENT_PROMPT_LOGPROB: index in the prompt */
    int32_t n_cached; /* EVENT_ADMITTED: prompt tokens found in the prefix cache */
    enum finish_reason finish;
    bool last; /* the request's final event: it is the server's again */
    /* Valid during the sink call only; NULL when no logprobs were asked for. */
    const struct sample_out *logprobs;
};
/* Must not call back into the scheduler. */
typedef void sched_sink_fn(void *arg, const struct sched_event *event);

struct sched;
enum status sched_create(struct sched **out, const struct sched_config *c, sched_sink_fn *sink,
                         void *sink_arg, struct error *err);
void sched_destroy(struct sched *s);

/* Queues a request.  OVERLOADED: the queue is full.  CONTEXT_LENGTH / INVALID: it can never run
 * (longer than max_model_len, more blocks than the pool has, n > max_num_seqs, ids out of range is
 * the caller's to check).  On error the request stays the caller's and no event is sent. */
enum status sched_submit(struct sched *s, struct request *r, struct error *err);
/* The refusals of sched_submit that depend on the config alone (all but OVERLOADED): any thread. */
enum status sched_check(const struct sched_config *c, const struct request *r, struct error *err);
/* Ends a request wherever it is; its blocks are free when the steps in flight are applied (at
 * once when none is).  FINISH events of its unfinished choices follow, the last with `last`.
 * Nothing happens when the request has ended already (and its memory still stands). */
void sched_cancel(struct sched *s, struct request *r);
/* Ends one choice (a stop string was found by the server): as if it had finished by itself, but
 * no event is sent for it unless it is the request's last one (EVENT_FINISH with `last`). */
void sched_finish_choice(struct sched *s, struct request *r, int32_t choice);

/* Plans and commits the next step; NULL when there is nothing to run now.  The step stays valid
 * until it is applied. */
const struct step *sched_plan(struct sched *s, uint64_t now_us);
/* Takes the result of the oldest planned step. */
void sched_apply(struct sched *s, const struct step_result *result, uint64_t now_us);
/* Every request ends with FINISH_ERROR (the device failed); steps in flight are forgotten. */
void sched_fail_all(struct sched *s);

struct sched_stats {
    int32_t n_running, n_waiting, n_inflight;
    int64_t n_waiting_tokens;
    int32_t blocks_total, blocks_free, blocks_cached, blocks_held; /* total excludes null */
    uint64_t n_preemptions, prefix_queries, prefix_hits;           /* the last two in tokens */
    uint64_t n_steps, prompt_tokens, generation_tokens;
    int32_t last_step_tokens;
};
void sched_get_stats(const struct sched *s, struct sched_stats *out);
bool sched_has_work(const struct sched *s);
/* Earliest deadline of all requests, 0 = none. */
uint64_t sched_next_deadline(const struct sched *s);
/* Forgets all cached, unreferenced blocks. */
void sched_reset_prefix_cache(struct sched *s);
/* Checks every invariant (tests; slow).  False, with words in err, when one is broken. */
bool sched_check_invariants(const struct sched *s, struct error *err);

#endif
