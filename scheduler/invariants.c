/* invariants.c - what must be true between any two calls.  Slow: tests only. */

#include "config/base/check.h"
#include "scheduler/state.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(cond, ...) \
    if (!(cond)) return error_set(err, STATUS_INTERNAL, #cond ": " __VA_ARGS__) == STATUS_OK

/* free + cached + held + null == total, and the idle list holds each idle block once. */
static bool check_pool(const struct sched *s, struct error *err)
{
    const struct block_pool *p = &s->pool;
    int32_t n_free = 0, n_cached = 0, n_held = 0, n_listed = 0;
    for (int32_t b = 1; b < p->n_blocks; b++) {
        const struct block *x = &p->blocks[b];
        REQUIRE(x->n_refs >= 0, "block %d", b);
        n_held += x->n_refs > 0;
        n_cached += x->n_refs == 0 && x->cached;
        n_free += x->n_refs == 0 && !x->cached;
        REQUIRE(x->cached == (s->cache.entries[b].serial != 0), "block %d", b);
    }
    REQUIRE(n_free == p->n_free && n_cached == p->n_cached && n_held == p->n_held,
            "counted %d free %d cached %d held", n_free, n_cached, n_held);
    REQUIRE(n_free + n_cached + n_held + 1 == p->n_blocks, "blocks lost");
    bool seen_cached = false;
    for (int32_t b = p->blocks[0].next, prev = 0; b; prev = b, b = p->blocks[b].next) {
        REQUIRE(++n_listed < p->n_blocks, "the idle list has a loop");
        REQUIRE(p->blocks[b].prev == prev && p->blocks[b].n_refs == 0, "block %d", b);
        REQUIRE(p->blocks[b].cached || !seen_cached, "free block %d behind a cached one", b);
        seen_cached = p->blocks[b].cached;
    }
    REQUIRE(n_listed == n_free + n_cached, "%d in the idle list", n_listed);
    REQUIRE(p->blocks[0].n_refs == 0 && !p->blocks[0].cached, "null block in use");
    return true;
}

/* Reference counts are the number of table entries; only a fork's blocks or full ones that the
 * cache shares are in two tables. */
static bool check_refs(const struct sched *s, int32_t *refs, struct error *err)
{
    memset(refs, 0, (size_t)s->pool.n_blocks * sizeof(*refs));
    for (int32_t i = 0; i < s->config.max_num_seqs; i++) {
        const struct seq *q = &s->seqs[i];
        for (int32_t k = 0; k < q->n_blocks; k++) {
            REQUIRE(q->table[k] > 0 && q->table[k] < s->pool.n_blocks, "slot %d entry %d", i, k);
            refs[q->table[k]]++;
        }
    }
    for (int32_t b = 1; b < s->pool.n_blocks; b++)
        REQUIRE(refs[b] == s->pool.blocks[b].n_refs, "block %d: %d tables, count %d", b, refs[b],
                s->pool.blocks[b].n_refs);
    return true;
}

static bool check_seq(const struct sched *s, int32_t slot, struct error *err)
{
    const struct seq *q = &s->seqs[slot];
    const struct sched_group *g = q->group;
    if (q->state == SEQ_FREE) {
        REQUIRE(q->n_blocks == 0 && q->inflight == 0, "slot %d", slot);
        return true;
    }
    REQUIRE(g && g->n_slots > 0, "slot %d", slot);
    REQUIRE(q->inflight <= sched_n_inflight(s), "slot %d", slot);
    if (q->state == SEQ_ENDED) {
        REQUIRE(q->inflight > 0, "slot %d ended and was not released", slot);
        return true;
    }
    REQUIRE(g->request && g->request->group == g, "slot %d", slot);
    REQUIRE(g->slot_of[q->choice] == slot && !choice_done(g->request, q->choice), "slot %d", slot);
    if (q->state == SEQ_RESERVED) {
        REQUIRE(q->n_blocks == 0 && q->inflight == 0, "slot %d", slot);
        return true;
    }
    REQUIRE(q->n_known <= q->n_tokens && q->n_tokens - q->n_known <= sched_n_inflight(s),
            "slot %d: %d of %d known", slot, q->n_known, q->n_tokens);
    REQUIRE(q->n_computed <= q->n_tokens && q->n_computed <= q->n_goal, "slot %d", slot);
    REQUIRE(q->n_known <= s->seq_cap && q->n_blocks <= s->table_ld, "slot %d", slot);
    REQUIRE(q->n_blocks >= blocks_for(s, q->n_computed), "slot %d", slot);
    REQUIRE(q->n_registered <= q->n_blocks, "slot %d", slot);
    if (q->state == SEQ_PREEMPTED)
        REQUIRE(q->n_blocks == 0 && q->n_computed == 0 && q->inflight == 0, "slot %d", slot);
    return true;
}

static bool check_lists(const struct sched *s, struct error *err)
{
    int32_t n_running = 0, n_preempted = 0, n_free = 0, n_requests = 0, n_deadlines = 0;
    for (int32_t i = 0; i < s->config.max_num_seqs; i++) {
        n_running += s->seqs[i].state == SEQ_RUNNING;
        n_preempted += s->seqs[i].state == SEQ_PREEMPTED;
        n_free += s->seqs[i].state == SEQ_FREE;
    }
    REQUIRE(n_free == s->n_free_slots && n_preempted == s->n_resume, "slots lost");
    int32_t n_listed = 0;
    const struct seq *last = NULL;
    for (int32_t i = 0; i < s->n_run; i++) {
        const struct seq *q = &s->seqs[s->run[i]];
        if (q->state != SEQ_RUNNING) {
            REQUIRE(s->run_dirty, "slot %d is not running", s->run[i]);
            continue;
        }
        REQUIRE(!last || seq_compare(last, q) < 0, "run order at %d", i);
        last = q;
        n_listed++;
    }
    REQUIRE(n_listed == n_running, "%d running, %d listed", n_running, n_listed);
    uint64_t sequence = 0;
    for (const struct list *l = s->requests.next; l != &s->requests; l = l->next) {
        const struct request *r = list_entry(l, struct request, link);
        REQUIRE(r->sequence > sequence, "requests out of order");
        sequence = r->sequence;
        REQUIRE((r->queue_pos >= 0) == (r->group == NULL), "request %llu neither waits nor runs",
                (unsigned long long)sequence);
        REQUIRE(!r->group || r->group->n_live == request_n_live(r), "request %llu",
                (unsigned long long)sequence);
        REQUIRE(request_n_live(r) > 0, "request %llu ended", (unsigned long long)sequence);
        n_deadlines += r->deadline_us != 0;
        n_requests++;
    }
    REQUIRE(n_requests == s->n_requests && n_deadlines == s->deadlines.n, "requests lost");
    return true;
}

/* Every registered block is found in its bucket. */
static bool check_cache(const struct sched *s, struct error *err)
{
    int32_t n_listed = 0, n_registered = 0;
    for (uint32_t i = 0; i <= s->cache.bucket_mask; i++) {
        for (int32_t b = s->cache.buckets[i]; b; b = s->cache.entries[b].next) {
            REQUIRE(s->cache.entries[b].serial != 0, "block %d", b);
            REQUIRE((s->cache.entries[b].hash & s->cache.bucket_mask) == i, "block %d", b);
            REQUIRE(++n_listed < s->pool.n_blocks, "a bucket has a loop");
        }
    }
    for (int32_t b = 1; b < s->pool.n_blocks; b++) n_registered += s->cache.entries[b].serial != 0;
    REQUIRE(n_listed == n_registered, "%d registered, %d listed", n_registered, n_listed);
    return true;
}

bool sched_check_invariants(const struct sched *s, struct error *err)
{
    for (int32_t i = 0; i < s->config.max_num_seqs; i++)
        if (!check_seq(s, i, err)) return false;
    if (!check_pool(s, err) || !check_lists(s, err) || !check_cache(s, err)) return false;
    int32_t *refs = calloc((size_t)s->pool.n_blocks, sizeof(*refs));
    if (!refs) {
        error_set(err, STATUS_NO_MEMORY, "no memory for the check");
        return false;
    }
    bool ok = check_refs(s, refs, err);
    free(refs);
    return ok;
}
