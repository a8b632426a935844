#ifndef SCHEDULER_REQUEST_H
#define SCHEDULER_REQUEST_H

/* request.h - what the server hands to the scheduler.
 *
 * Ownership: made by the server on the loop thread; from sched_submit on it belongs to the
 * scheduler until its final event (EVENT_FINISH of the last choice, or EVENT_REJECT), after which
 * the scheduler never looks at it again and the server frees it.  The server reads nothing but
 * `user` in between.  Everything it points to lives as long as it does. */

#include "config/base/list.h"
#include "engine/sampling.h"

#include <stdbool.h>
#include <stdint.h>

struct sched_group; /* the scheduler's side of a request */

struct request {
    /* --- set by the server, then read-only --- */
    void *user;            /* the server's own */
    const int32_t *prompt; /* [n_prompt], n_prompt >= 1 */
    int32_t n_prompt;
    int32_t n;            /* choices, 1..LIMIT_N */
    int32_t max_tokens;   /* outputs per choice; 0 only with score_prompt */
    bool score_prompt;    /* prompt logprobs: EVENT_PROMPT_LOGPROB per prompt token but the
                                * first; the prefix cache is not read for it */
    int32_t owner;        /* told in views (view.h); means nothing to the scheduler */
    int32_t priority;     /* lower first; 0 under FCFS */
    uint64_t salt;        /* prefix-cache namespace (API key and cache_salt) */
    uint64_t deadline_us; /* absolute, 0 = none */
    uint64_t arrival_us;
    struct sampling_params params;

    /* --- the scheduler's own --- */
    struct list link;            /* all requests, oldest first */
    struct sched_group *group;   /* NULL while it waits */
    uint64_t sequence;           /* order of arrival, from 1; 0 = not the scheduler's */
    uint64_t done[LIMIT_N / 64]; /* bit per choice: it has ended */
    int32_t queue_pos;           /* place in the waiting heap, -1 = not there */
    int32_t deadline_pos;        /* place in the deadline heap, -1 = not there */
    bool cancelled;
};

#endif
