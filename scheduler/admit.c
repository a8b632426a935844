/* admit.c - the queue's head becomes a running sequence, if everything it needs is there.
 *
 * Strict order: nobody overtakes the head, except that a preempted sequence may when the head
 * waits for slots (the preempted one holds slots itself and would otherwise never give them back).
 * An admitted sequence gets the blocks of all its tokens at once: a prompt that has begun is never
 * stuck half way for lack of blocks. */

#include "config/base/check.h"
#include "scheduler/state.h"

#include <string.h>

/* Either a request that waits or a sequence that was preempted. */
struct candidate {
    struct request *request;
    struct seq *seq;
    const int32_t *tokens;
    int32_t n_tokens, choice;
    int32_t n_lookup; /* tokens that the prefix cache may serve */
    uint64_t sequence, salt;
};

/* What it would take, found without changing anything. */
struct admission {
    int32_t n_hits; /* blocks in s->hits */
    struct prefix_chain chain;
    struct chunk chunk;
};

static struct candidate candidate_waiting(const struct sched *s)
{
    struct request *r = s->waiting.items[0].request;
    return (struct candidate){
        .request = r,
        .tokens = r->prompt,
        .n_tokens = r->n_prompt,
        .n_lookup = r->score_prompt ? 0 : cacheable_len(s, r->n_prompt, r->n_prompt - 1),
        .sequence = r->sequence,
        .salt = r->salt};
}

static struct candidate candidate_preempted(const struct sched *s)
{
    struct seq *q = &s->seqs[s->resume[0]];
    const struct sched_group *g = q->group;
    bool scoring = g->score_prompt && g->n_scored < q->n_prompt - 1;
    return (struct candidate){
        .seq = q,
        .tokens = q->tokens,
        .n_tokens = q->n_tokens,
        .choice = q->choice,
        .n_lookup = cacheable_len(s, q->n_prompt, scoring ? g->n_scored : q->n_tokens - 1),
        .sequence = g->sequence,
        .salt = g->salt};
}

static bool waits_for_slots(const struct sched *s, const struct candidate *c)
{
    return c->request && request_n_live(c->request) > s->n_free_slots;
}

/* The head of the queue.  False: nobody can be admitted. */
static bool take_head(const struct sched *s, struct candidate *out)
{
    *out = s->n_resume > 0 ? candidate_preempted(s) : (struct candidate){0};
    if (s->waiting.n == 0) return s->n_resume > 0;
    struct candidate w = candidate_waiting(s);
    bool preempted_first = false;
    if (s->n_resume > 0) {
        const struct sched_group *g = out->seq->group;
        int32_t priority = s->config.priority_policy ? w.request->priority : 0;
        preempted_first =
            g->priority != priority ? g->priority < priority : g->sequence < w.request->sequence;
    }
    if (preempted_first) return true;
    if (waits_for_slots(s, &w)) return s->n_resume > 0;
    *out = w;
    return true;
}

/* Fills s->hits.  Returns the number of blocks found. */
static int32_t look_up(struct sched *s, const struct candidate *c, struct prefix_chain *chain)
{
    *chain = prefix_chain_start(&s->cache, c->salt);
    if (!s->config.enable_prefix_caching) return 0;
    int32_t n = 0, n_max = c->n_lookup / s->config.block_size;
    for (; n < n_max; n++) {
        int32_t b =
            prefix_cache_find(&s->cache, chain, c->tokens + (int64_t)n * s->config.block_size);
        if (!b) break;
        s->hits[n] = b;
    }
    return n;
}

static struct chunk candidate_chunk(const struct sched *s, const struct candidate *c,
                                    int32_t n_cached)
{
    struct chunk_query q;
    if (c->seq) {
        q = seq_chunk_query(c->seq);
    } else {
        const struct request *r = c->request;
        q = (struct chunk_query){.end = r->n_prompt,
                                 .n_tokens = r->n_prompt,
                                 .n_prompt = r->n_prompt,
                                 .n_scored = r->score_prompt ? 0 : -1,
                                 .n_draws = r->max_tokens ? request_n_live(r) : 0};
    }
    q.n_computed = n_cached;
    return sched_chunk(s, &q);
}

/* While others run, this much is kept for their growth, lest the newcomer be preempted at once. */
static int32_t watermark(const struct sched *s)
{
    return s->config.n_blocks / 100;
}

static bool plan_admission(struct sched *s, const struct candidate *c, struct admission *out)
{
    bool alone = s->n_run == 0;
    if (!alone && c->sequence == s->blocked_sequence && c->choice == s->blocked_choice &&
        block_pool_available(&s->pool) < s->blocked_need)
        return false;
    out->n_hits = look_up(s, c, &out->chain);
    int32_t need = blocks_for(s, c->n_tokens) - out->n_hits;
    for (int32_t i = 0; i < out->n_hits; i++) need += s->pool.blocks[s->hits[i]].n_refs == 0;
    if (!alone) need += watermark(s);
    if (need > block_pool_available(&s->pool)) {
        s->blocked_sequence = c->sequence;
        s->blocked_choice = c->choice;
        s->blocked_need = need;
        return false;
    }
    out->chunk = candidate_chunk(s, c, out->n_hits * s->config.block_size);
    if (out->chunk.n_rows > 0) return true;
    /* It fits a step of its own. */
    if (!s->config.enable_chunked_prefill) s->solo = true;
    return false;
}

static struct seq *commit_admission(struct sched *s, const struct candidate *c,
                                    const struct admission *a)
{
    struct seq *q = c->seq;
    if (q) {
        slots_remove(s->resume, &s->n_resume, (int32_t)(q - s->seqs));
    } else {
        heap_remove(&s->waiting, c->request);
        s->n_waiting_tokens -= c->request->n_prompt;
        q = group_create(s, c->request);
    }
    /* References first: a hit must not be evicted for the blocks that follow. */
    for (int32_t i = 0; i < a->n_hits; i++) block_pool_ref(&s->pool, s->hits[i]);
    memcpy(q->table, s->hits, (size_t)a->n_hits * sizeof(*q->table));
    int32_t n_blocks = blocks_for(s, q->n_tokens);
    for (q->n_blocks = a->n_hits; q->n_blocks < n_blocks; q->n_blocks++)
        q->table[q->n_blocks] = sched_take_block(s);
    q->table_epoch = s->next_epoch++;
    q->n_registered = a->n_hits;
    q->chain = a->chain;
    q->n_computed = a->n_hits * s->config.block_size;
    q->state = SEQ_RUNNING;
    slots_insert(s, s->run, &s->n_run, (int32_t)(q - s->seqs));
    return q;
}

static void announce(struct sched *s, struct request *r, int32_t n_cached)
{
    s->stats.prompt_tokens += (uint64_t)r->n_prompt;
    if (s->config.enable_prefix_caching && !r->score_prompt) {
        s->stats.prefix_queries += (uint64_t)r->n_prompt;
        s->stats.prefix_hits += (uint64_t)n_cached;
    }
    sched_emit(s, (struct sched_event){.request = r, .type = EVENT_ADMITTED, .n_cached = n_cached});
}

void sched_admit(struct sched *s)
{
    struct candidate c;
    struct admission a;
    while (s->budget > 0 && take_head(s, &c) && plan_admission(s, &c, &a)) {
        struct seq *q = commit_admission(s, &c, &a);
        if (c.request) q->group->n_cached = q->n_computed;
        if (c.request) announce(s, c.request, q->n_computed);
        sched_pick(s, q, a.chunk);
    }
}
