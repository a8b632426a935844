/* planner.c - who gets rows in the next step.
 *
 * A pass walks the running sequences in order of priority and arrival and then the queue.  For
 * each candidate it is the same three moves: take it, plan (see what it needs and whether that is
 * there; nothing changes), commit (allocate, evict, admit; cannot fail). */

#include "config/base/check.h"
#include "scheduler/state.h"

static int32_t min_i32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t max_i32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

struct chunk sched_chunk(const struct sched *s, const struct chunk_query *q)
{
    struct chunk c = {.n_rows = min_i32(q->end - q->n_computed, s->budget)};
    bool score = q->n_scored >= 0;
    int32_t todo = q->end - q->n_computed;
    if (c.n_rows <= 0) return (struct chunk){0};
    if (score) {
        /* Rows [first, last) are scored; the prompt's last row has nothing to score. */
        int32_t first = max_i32(q->n_scored, q->n_computed);
        int32_t last = min_i32(q->n_computed + c.n_rows, q->n_prompt - 1);
        c.n_samples = max_i32(last - first, 0);
        if (c.n_samples > s->logit_rows) {
            c.n_samples = s->logit_rows;
            c.n_rows = first + s->logit_rows - q->n_computed;
        }
    }
    if (q->n_computed + c.n_rows == q->n_tokens) {
        if (c.n_samples + q->n_draws <= s->logit_rows)
            c.n_samples += q->n_draws;
        else
            c.n_rows--;
    }
    if (c.n_rows <= 0 || (!s->config.enable_chunked_prefill && !score && c.n_rows < todo))
        return (struct chunk){0};
    return c;
}

struct chunk_query seq_chunk_query(const struct seq *q)
{
    const struct sched_group *g = q->group;
    struct chunk_query c = {.n_computed = q->n_computed,
                            .end = min_i32(q->n_tokens, q->n_goal),
                            .n_tokens = q->n_tokens,
                            .n_prompt = q->n_prompt,
                            .n_scored = g->score_prompt ? g->n_scored : -1,
                            .n_draws = q->forked ? 1 : g->n_live};
    if (g->max_tokens == 0) c.n_draws = 0;
    return c;
}

void sched_pick(struct sched *s, struct seq *q, struct chunk c)
{
    q->pass = s->pass;
    s->budget -= c.n_rows;
    s->logit_rows -= c.n_samples;
    s->picks[s->n_picks++] = (struct pick){.slot = (int32_t)(q - s->seqs), .n_rows = c.n_rows};
}

/* True when a block is there, after preempting sequences behind run[i] if need be.  A sequence that
 * a step in flight uses cannot be preempted now: it sits this step out, so that the next pass can,
 * and so does the one that needs the block. */
static bool make_room(struct sched *s, int32_t i)
{
    if (block_pool_available(&s->pool) > 0) return true;
    for (int32_t k = s->n_run - 1; k > i; k--) {
        struct seq *victim = &s->seqs[s->run[k]];
        if (victim->state != SEQ_RUNNING || victim->pass == s->pass) continue;
        if (victim->inflight > 0) {
            victim->pass = s->pass;
            return false;
        }
        seq_preempt(s, victim);
        if (block_pool_available(&s->pool) > 0) return true;
    }
    /* Nobody is behind it: it makes way itself, unless blocks are about to come free. */
    if (sched_n_inflight(s) == 0) seq_preempt(s, &s->seqs[s->run[i]]);
    return false;
}

/* Tables that name block `b`, not counting the sources of this pass's copies. */
static int32_t n_sharers(const struct sched *s, int32_t b)
{
    int32_t n = s->pool.blocks[b].n_refs;
    for (int32_t i = 0; i < s->n_copies; i++) n -= s->copies[i].src == b;
    return n;
}

/* Copy-on-write: the copy's source keeps its reference until the pass ends, so that it cannot
 * become the target of another copy in the same step (copies may run in any order). */
static void copy_tail(struct sched *s, struct seq *q)
{
    int32_t i = q->n_computed / s->config.block_size;
    int32_t dst = sched_take_block(s);
    s->copies[s->n_copies++] = (struct block_copy){.src = q->table[i], .dst = dst};
    q->table[i] = dst;
    q->table_epoch = s->next_epoch++;
}

/* The block that a decoding sequence writes to next: its own and there. */
static bool ensure_block(struct sched *s, struct seq *q, int32_t i)
{
    bool grow = q->n_computed == q->n_blocks * s->config.block_size;
    bool copy = q->shared_tail && n_sharers(s, q->table[q->n_blocks - 1]) > 1;
    if (!grow && !copy) return true;
    if (!make_room(s, i)) return false;
    if (grow)
        q->table[q->n_blocks++] = sched_take_block(s);
    else
        copy_tail(s, q);
    return true;
}

static void plan_decodes(struct sched *s)
{
    for (int32_t i = 0; i < s->n_run && s->budget > 0; i++) {
        struct seq *q = &s->seqs[s->run[i]];
        if (q->state != SEQ_RUNNING || q->pass == s->pass) continue;
        if (min_i32(q->n_tokens, q->n_goal) - q->n_computed != 1) continue;
        DCHECK(!q->needs_history || q->n_known == q->n_tokens); /* must_wait */
        int32_t n_draws = q->forked ? 1 : seq_chunk_query(q).n_draws;
        if (n_draws > s->logit_rows) {
            s->stalled = true;
            continue;
        }
        if (!ensure_block(s, q, i)) {
            s->stalled = true;
            continue;
        }
        q->shared_tail = false;
        sched_pick(s, q, (struct chunk){.n_rows = 1, .n_samples = n_draws});
    }
}

static void plan_prefills(struct sched *s)
{
    for (int32_t i = 0; i < s->n_run && s->budget > 0; i++) {
        struct seq *q = &s->seqs[s->run[i]];
        if (q->state != SEQ_RUNNING || q->pass == s->pass) continue;
        if (min_i32(q->n_tokens, q->n_goal) - q->n_computed <= 1) continue;
        struct chunk_query query = seq_chunk_query(q);
        struct chunk c = sched_chunk(s, &query);
        if (c.n_rows > 0)
            sched_pick(s, q, c);
        else
            s->stalled = true;
    }
}

/* A decode whose sampling reads the token that a step in flight draws cannot be planned yet.  A step
 * without it would cost about as much as one with it, and leave it behind: better none ahead. */
static bool must_wait(const struct sched *s)
{
    for (int32_t i = 0; i < s->n_run; i++) {
        const struct seq *q = &s->seqs[s->run[i]];
        if (q->state == SEQ_RUNNING && q->needs_history && q->n_known < q->n_tokens &&
            q->n_computed < q->n_goal)
            return true;
    }
    return false;
}

static void plan_pass(struct sched *s)
{
    run_compact(s);
    s->pass++;
    s->budget = s->config.max_num_batched_tokens;
    s->logit_rows = s->config.max_logit_rows;
    s->stalled = s->preempted = false;
    s->n_picks = s->n_copies = 0;
    bool solo = s->solo;
    s->solo = false;
    if (solo) sched_admit(s);
    plan_decodes(s);
    plan_prefills(s);
    if (!solo && !s->stalled && !s->preempted) sched_admit(s);
    for (int32_t i = 0; i < s->n_copies; i++) block_pool_unref(&s->pool, s->copies[i].src);
}

const struct step *sched_plan(struct sched *s, uint64_t now_us)
{
    if (sched_n_inflight(s) >= SCHED_MAX_INFLIGHT) return NULL;
    sched_expire(s, now_us);
    if (sched_n_inflight(s) > 0 && must_wait(s)) return NULL;
    while (s->n_requests > 0) {
        plan_pass(s);
        if (s->n_picks > 0) return sched_fill_step(s);
        if (sched_n_inflight(s) > 0) return NULL;
        /* A pass that preempts has changed something: the next one may admit. */
        if (s->preempted) continue;
        /* Nothing runs and nothing can: whatever the reason is, waiting does not help. */
        sched_end_request(s, list_entry(s->requests.next, struct request, link), FINISH_ERROR);
    }
    return NULL;
}
