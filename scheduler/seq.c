/* seq.c - groups and sequences: slots, blocks, forks, ends. */

#include "config/base/check.h"
#include "scheduler/state.h"

#include <string.h>

int32_t request_n_live(const struct request *r)
{
    int32_t n_done = 0;
    for (size_t i = 0; i < ARRAY_LEN(r->done); i++) n_done += __builtin_popcountll(r->done[i]);
    return r->n - n_done;
}

int seq_compare(const struct seq *a, const struct seq *b)
{
    const struct sched_group *g = a->group, *h = b->group;
    if (g->priority != h->priority) return g->priority < h->priority ? -1 : 1;
    if (g->sequence != h->sequence) return g->sequence < h->sequence ? -1 : 1;
    return (a->choice > b->choice) - (a->choice < b->choice);
}

/* From the back, where new arrivals belong. */
void slots_insert(struct sched *s, int32_t *slots, int32_t *n, int32_t slot)
{
    int32_t i = (*n)++;
    for (; i > 0 && seq_compare(&s->seqs[slots[i - 1]], &s->seqs[slot]) > 0; i--)
        slots[i] = slots[i - 1];
    slots[i] = slot;
}

void slots_remove(int32_t *slots, int32_t *n, int32_t slot)
{
    int32_t i = 0;
    while (slots[i] != slot) i++;
    (*n)--;
    memmove(slots + i, slots + i + 1, (size_t)(*n - i) * sizeof(*slots));
}

void run_compact(struct sched *s)
{
    if (!s->run_dirty) return;
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_run; i++) {
        if (s->seqs[s->run[i]].state == SEQ_RUNNING) s->run[n++] = s->run[i];
    }
    s->n_run = n;
    s->run_dirty = false;
}

int32_t sched_take_block(struct sched *s)
{
    int32_t b = block_pool_front(&s->pool);
    if (s->pool.blocks[b].cached) {
        prefix_cache_remove(&s->cache, b);
        block_pool_set_cached(&s->pool, b, false);
    }
    return block_pool_take(&s->pool);
}

static void copy_params(struct sched_group *g, const struct sampling_params *p)
{
    g->params = *p;
    g->params.bias = g->bias;
    g->params.eos_ids = g->eos_ids;
    g->params.stop_ids = g->stop_ids;
    if (p->n_bias) memcpy(g->bias, p->bias, (size_t)p->n_bias * sizeof(*g->bias));
    if (p->n_eos_ids) memcpy(g->eos_ids, p->eos_ids, (size_t)p->n_eos_ids * sizeof(*g->eos_ids));
    if (p->n_stop_ids)
        memcpy(g->stop_ids, p->stop_ids, (size_t)p->n_stop_ids * sizeof(*g->stop_ids));
}

static struct seq *take_slot(struct sched *s, struct sched_group *g, int32_t choice)
{
    int32_t slot = s->free_slots[--s->n_free_slots];
    struct seq *q = &s->seqs[slot];
    int32_t *tokens = q->tokens, *table = q->table;
    DCHECK(q->state == SEQ_FREE && q->n_blocks == 0);
    *q = (struct seq){.tokens = tokens,
                      .table = table,
                      .group = g,
                      .n_prompt = g->n_prompt,
                      .choice = choice,
                      .src_sample = -1,
                      .state = SEQ_RESERVED,
                      .needs_history = sampling_needs_history(&g->params)};
    g->slot_of[choice] = slot;
    g->n_slots++;
    return q;
}

struct seq *group_create(struct sched *s, struct request *r)
{
    struct sched_group *g = &s->groups[s->free_groups[--s->n_free_groups]];
    g->request = r;
    g->n_slots = g->n_live = g->n_scored = 0;
    g->n_prompt = r->n_prompt;
    g->max_tokens = r->max_tokens;
    g->score_prompt = r->score_prompt;
    g->priority = s->config.priority_policy ? r->priority : 0;
    g->sequence = r->sequence;
    g->salt = r->salt;
    copy_params(g, &r->params);
    r->group = g;
    s->n_groups++;

    struct seq *leader = NULL;
    for (int32_t c = 0; c < r->n; c++) {
        g->slot_of[c] = -1;
        if (choice_done(r, c)) continue;
        struct seq *q = take_slot(s, g, c);
        g->n_live++;
        if (!leader) leader = q;
    }
    CHECK(leader); /* a request whose choices have all ended is not in the queue */
    memcpy(leader->tokens, r->prompt, (size_t)r->n_prompt * sizeof(int32_t));
    leader->n_known = leader->n_tokens = r->n_prompt;
    leader->last_token = r->prompt[r->n_prompt - 1];
    /* The last token that may be drawn is never computed. */
    int64_t max_len = (int64_t)r->n_prompt + r->max_tokens;
    if (max_len > s->seq_cap) max_len = s->seq_cap;
    leader->n_goal = r->max_tokens ? (int32_t)max_len - 1 : r->n_prompt;
    g->max_output = (int32_t)max_len - r->n_prompt;
    return leader;
}

static void seq_fork(struct sched *s, const struct seq *leader, struct seq *q)
{
    memcpy(q->tokens, leader->tokens, (size_t)leader->n_known * sizeof(int32_t));
    memcpy(q->table, leader->table, (size_t)leader->n_blocks * sizeof(int32_t));
    for (int32_t i = 0; i < leader->n_blocks; i++) block_pool_ref(&s->pool, leader->table[i]);
    q->table_epoch = s->next_epoch++;
    q->n_known = leader->n_known;
    q->n_tokens = leader->n_tokens;
    q->n_computed = leader->n_computed;
    q->n_goal = leader->n_goal;
    q->n_blocks = leader->n_blocks;
    q->last_token = leader->last_token;
    q->n_registered = leader->n_registered;
    q->chain = leader->chain;
    q->forked = true;
    q->shared_tail = leader->shared_tail;
    q->state = SEQ_RUNNING;
}

void group_fork(struct sched *s, struct seq *leader)
{
    struct sched_group *g = leader->group;
    leader->forked = true;
    leader->shared_tail = g->n_live > 1 && leader->n_computed % s->config.block_size != 0;
    for (int32_t c = 0; g->n_live > 1 && c < g->request->n; c++) {
        if (g->slot_of[c] < 0 || c == leader->choice) continue;
        seq_fork(s, leader, &s->seqs[g->slot_of[c]]);
        slots_insert(s, s->run, &s->n_run, g->slot_of[c]);
    }
}

/* Tail first: see block_pool.h. */
static void release_blocks(struct sched *s, struct seq *q)
{
    while (q->n_blocks > 0) block_pool_unref(&s->pool, q->table[--q->n_blocks]);
    q->shared_tail = false;
    q->n_registered = 0;
}

void seq_preempt(struct sched *s, struct seq *q)
{
    DCHECK(q->state == SEQ_RUNNING && q->inflight == 0 && q->n_known == q->n_tokens);
    release_blocks(s, q);
    q->n_computed = 0;
    q->state = SEQ_PREEMPTED;
    slots_insert(s, s->resume, &s->n_resume, (int32_t)(q - s->seqs));
    s->run_dirty = true;
    s->preempted = true;
    s->stats.n_preemptions++;
}

void seq_end(struct sched *s, struct seq *q)
{
    if (q->state == SEQ_RUNNING) s->run_dirty = true;
    if (q->state == SEQ_PREEMPTED) slots_remove(s->resume, &s->n_resume, (int32_t)(q - s->seqs));
    q->group->slot_of[q->choice] = -1;
    q->state = SEQ_ENDED;
}

void seq_release_if_idle(struct sched *s, struct seq *q)
{
    if (q->state != SEQ_ENDED || q->inflight > 0) return;
    struct sched_group *g = q->group;
    release_blocks(s, q);
    q->state = SEQ_FREE;
    q->group = NULL;
    s->free_slots[s->n_free_slots++] = (int32_t)(q - s->seqs);
    if (--g->n_slots > 0) return;
    s->free_groups[s->n_free_groups++] = (int32_t)(g - s->groups);
    s->n_groups--;
}

void seq_register_blocks(struct sched *s, struct seq *q, int32_t kv_len)
{
    if (!s->config.enable_prefix_caching) return;
    const int32_t size = s->config.block_size;
    kv_len = cacheable_len(s, q->n_prompt, kv_len);
    while ((q->n_registered + 1) * (int64_t)size <= kv_len) {
        int32_t i = q->n_registered++, b = q->table[i];
        /* A fork's sibling may have registered this very block. */
        if (s->pool.blocks[b].cached) {
            prefix_cache_follow(&s->cache, &q->chain, b);
            continue;
        }
        if (prefix_cache_insert(&s->cache, &q->chain, q->tokens + (int64_t)i * size, b))
            block_pool_set_cached(&s->pool, b, true);
    }
}
