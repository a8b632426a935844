#ifndef SCHEDULER_STATE_H
#define SCHEDULER_STATE_H

/* state.h - the scheduler's inside, shared by its files and by white-box tests.
 *
 *   request  what the server asked for: waits in a heap until it is admitted
 *   group    an admitted request: owns n slots, one for each choice that has not ended
 *   seq      one slot: tokens, block table, how far it is computed
 *   step_record  one planned step: the arrays that struct step points to, and who takes part
 *
 * Life of a seq:   FREE -> RESERVED -> RUNNING <-> PREEMPTED
 *                            |            |            |
 *                            '----------> ENDED <------'     -> FREE when no step in flight uses it
 *
 * A group's prompt is computed once, by its first seq (the leader).  The step that computes the
 * last prompt token draws one token per choice, and the leader forks: the RESERVED slots become
 * RUNNING with the same blocks.  From then on every choice is a sequence of its own. */

#include "config/base/list.h"
#include "scheduler/block_pool.h"
#include "scheduler/heap.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/scheduler.h"

enum seq_state { SEQ_FREE, SEQ_RESERVED, SEQ_RUNNING, SEQ_PREEMPTED, SEQ_ENDED };

struct seq {
    int32_t *tokens; /* [seq_cap] */
    int32_t *table;  /* [table_ld] blocks; n_blocks are valid */
    struct sched_group *group;
    uint64_t pass;        /* last planning pass that gave it rows or told it to sit out */
    uint64_t table_epoch; /* changes whenever the table changes otherwise than by appending */
    int32_t n_prompt;
    int32_t n_known;    /* tokens[0..n_known) are there */
    int32_t n_tokens;   /* n_known + tokens being drawn by steps in flight */
    int32_t n_computed; /* keys and values in the cache once all planned steps ran */
    int32_t n_goal;     /* n_computed never grows beyond: then it ends by length */
    int32_t n_blocks;
    int32_t last_token; /* tokens[n_known - 1] */
    int32_t src_sample; /* sample of the latest planned step that draws its newest token */
    int32_t choice;
    uint8_t state;    /* enum seq_state */
    uint8_t inflight; /* planned steps that use it */
    bool forked;      /* past the prompt: draws for its own choice only */
    bool shared_tail; /* its last block was partial when it forked: others may hold it */
    bool needs_history;
    int32_t n_registered;            /* leading blocks that the prefix cache was told of */
    struct prefix_chain chain;       /* where the cache's walk stands after them */
    int32_t row[SCHED_MAX_INFLIGHT]; /* its block table's row in each step record */
};

struct sched_group {
    struct request *request; /* NULL once its last event was sent */
    int32_t n_slots;         /* seqs not FREE */
    int32_t n_live;          /* choices that have not ended */
    int32_t n_scored;        /* prompt rows already planned for scoring */
    int32_t n_prompt, max_tokens;
    int32_t n_cached;   /* prompt tokens found in the prefix cache when it was admitted */
    int32_t max_output; /* max_tokens, or what the context leaves of it */
    bool score_prompt;
    int32_t priority;
    uint64_t sequence;
    uint64_t salt;
    /* A copy, arrays included, because steps in flight outlive the request. */
    struct sampling_params params;
    struct logit_bias *bias;     /* [LIMIT_LOGIT_BIAS] */
    int32_t *eos_ids, *stop_ids; /* [LIMIT_EOS_IDS], [LIMIT_STOP_IDS] */
    int32_t slot_of[LIMIT_N];    /* by choice, -1 = none */
};

/* What the pass decided for one sequence. */
struct pick {
    int32_t slot, n_rows;
};

struct step_record {
    struct step step;
    struct block_copy *copies;                                     /* [max_num_seqs] */
    int32_t *token_ids, *token_src, *positions, *slots, *rope_len; /* [max_num_batched_tokens] */
    int32_t *q_start, *kv_len;                                     /* [max_num_seqs + 1] */
    int32_t *tables;                                               /* [max_num_seqs][table_ld] */
    struct step_sample *samples;                                   /* [max_logit_rows] */
    /* The block tables stay from step to step; only what is new is written. */
    uint64_t *row_epoch;  /* [max_num_seqs] table_epoch of the seq whose table is in the row */
    int32_t *row_blocks;  /* [max_num_seqs] entries of it that are written */
    int32_t *seq_slot;    /* [max_num_seqs] taking part: step.n_seqs with rows, then new forks */
    int32_t *sample_slot; /* [max_logit_rows] */
    int32_t n_parts;
};

struct sched {
    struct sched_config config;
    sched_sink_fn *sink;
    void *sink_arg;
    int32_t seq_cap;  /* tokens that a sequence may have: max_model_len, or what the pool holds */
    int32_t table_ld; /* blocks of seq_cap tokens */

    struct block_pool pool;
    struct prefix_cache cache;
    struct heap waiting, deadlines;
    struct list requests; /* all n_requests that have not ended, oldest first */
    int64_t n_waiting_tokens;
    uint64_t next_sequence, next_epoch;

    struct seq *seqs; /* [max_num_seqs] */
    struct sched_group *groups;
    int32_t *free_slots, *free_groups; /* stacks */
    int32_t n_free_slots, n_free_groups;
    /* Slots sorted by (priority, arrival, choice).  `run` may hold ended and preempted ones until
     * the next pass begins (run_dirty). */
    int32_t *run, *resume;
    int32_t n_run, n_resume, n_groups, n_requests;
    bool run_dirty;

    struct step_record records[SCHED_MAX_INFLIGHT];
    uint64_t n_planned, n_applied; /* steps; record of step i is i % SCHED_MAX_INFLIGHT */

    /* --- the pass --- */
    uint64_t pass;
    int32_t budget, logit_rows; /* what is left */
    bool stalled;               /* somebody running could not be served: admit nobody */
    bool preempted;
    bool solo; /* the next pass admits first: a prompt needs a step of its own */
    int32_t n_picks, n_copies;
    struct pick *picks;
    struct block_copy *copies;
    int32_t *hits; /* [table_ld] scratch: blocks found in the prefix cache */
    /* The head of the queue did not fit: not looked at again before so many blocks are there. */
    uint64_t blocked_sequence;
    int32_t blocked_choice, blocked_need;

    struct sched_stats stats; /* the counters; gauges are computed when asked for */
    void *allocations[64];
    int n_allocations;
};

static inline int32_t sched_n_inflight(const struct sched *s)
{
    return (int32_t)(s->n_planned - s->n_applied);
}
static inline int32_t blocks_for(const struct sched *s, int32_t n_tokens)
{
    return n_tokens <= 0 ? 0 : (n_tokens - 1) / s->config.block_size + 1;
}
/* Of the first n tokens of a sequence, those whose keys others may share. */
static inline int32_t cacheable_len(const struct sched *s, int32_t n_prompt, int32_t n)
{
    int32_t max = s->config.max_cached_len;
    if (max == 0) return n;
    return n_prompt > max ? 0 : n < max ? n : max;
}
static inline bool choice_done(const struct request *r, int32_t choice)
{
    return r->done[choice / 64] >> (choice % 64) & 1;
}

/* --- create.c --- */
int32_t sched_seq_cap(const struct sched_config *c);

/* --- seq.c: groups, slots, blocks --- */
int32_t request_n_live(const struct request *r);
/* -1, 0, 1: by priority, arrival, choice. */
int seq_compare(const struct seq *a, const struct seq *b);
void slots_insert(struct sched *s, int32_t *slots, int32_t *n, int32_t slot);
void slots_remove(int32_t *slots, int32_t *n, int32_t slot);
void run_compact(struct sched *s);
/* A block with one reference, evicting if need be.  The caller made sure that one is available. */
int32_t sched_take_block(struct sched *s);
/* Takes a group and a slot for each live choice; returns the leader (RESERVED like the others). */
struct seq *group_create(struct sched *s, struct request *r);
/* The RESERVED slots of the group start where the leader stands. */
void group_fork(struct sched *s, struct seq *leader);
/* Gives all blocks back, full ones staying in the prefix cache, and queues it for resumption. */
void seq_preempt(struct sched *s, struct seq *q);
/* The seq draws no more; its blocks and its slot are free when no step in flight uses it. */
void seq_end(struct sched *s, struct seq *q);
void seq_release_if_idle(struct sched *s, struct seq *q);
/* Tells the prefix cache of blocks that are full when kv_len tokens are computed. */
void seq_register_blocks(struct sched *s, struct seq *q, int32_t kv_len);

/* --- scheduler.c: ends of requests --- */
void sched_emit(struct sched *s, struct sched_event e);
/* Ends one choice; `e` is its event, sent with `last` set as it should be.  silent: sent only if it
 * is the last. */
void sched_end_choice(struct sched *s, struct request *r, int32_t choice, struct sched_event e,
                      bool silent);
void sched_end_request(struct sched *s, struct request *r, enum finish_reason reason);
void sched_expire(struct sched *s, uint64_t now_us);

/* --- planner.c, admit.c, fill.c --- */
/* Rows that a sequence gets from what is left of budget and logit rows; 0 = none. */
struct chunk_query {
    int32_t n_computed, end, n_tokens, n_prompt;
    int32_t n_scored; /* -1: no prompt logprobs */
    int32_t n_draws;  /* when n_tokens is reached */
};
struct chunk {
    int32_t n_rows, n_samples;
};
struct chunk sched_chunk(const struct sched *s, const struct chunk_query *q);
struct chunk_query seq_chunk_query(const struct seq *q);
void sched_pick(struct sched *s, struct seq *q, struct chunk c);
void sched_admit(struct sched *s);
const struct step *sched_fill_step(struct sched *s);

#endif
