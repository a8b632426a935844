/* scheduler.c - requests come in, wait, and end. */

#include "scheduler/scheduler.h"

#include "config/base/check.h"
#include "scheduler/state.h"

#include <string.h>

enum status sched_check(const struct sched_config *c, const struct request *r, struct error *err)
{
    const struct sampling_params *p = &r->params;
    const struct {
        const char *name;
        int64_t value, min, max;
    } rules[] = {
        {"n", r->n, 1, LIMIT_N},
        {"max_tokens", r->max_tokens, r->score_prompt ? 0 : 1, INT32_MAX},
        {"logit_bias", p->n_bias, 0, LIMIT_LOGIT_BIAS},
        {"stop_token_ids", p->n_stop_ids, 0, LIMIT_STOP_IDS},
        {"eos_token_id", p->n_eos_ids, 0, LIMIT_EOS_IDS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].value < rules[i].min || rules[i].value > rules[i].max)
            return error_set_param(err, STATUS_INVALID, rules[i].name,
                                   "%s: %lld given; it must be between %lld and %lld",
                                   rules[i].name, (long long)rules[i].value,
                                   (long long)rules[i].min, (long long)rules[i].max);
    }
    if (r->n_prompt < 1)
        return error_set_param(err, STATUS_INVALID, "prompt", "the prompt is empty");
    int32_t n_max = c->max_num_seqs < c->max_logit_rows ? c->max_num_seqs : c->max_logit_rows;
    if (r->n > n_max)
        return error_set_param(err, STATUS_INVALID, "n",
                               "n is %d; this server runs at most %d sequences at one time", r->n,
                               n_max);
    int64_t shortest = (int64_t)r->n_prompt + (r->max_tokens > 0);
    if (shortest > c->max_model_len)
        return error_set_param(err, STATUS_CONTEXT_LENGTH, "prompt",
                               "the maximum context length is %d tokens, but the prompt has %d%s: "
                               "shorten it",
                               c->max_model_len, r->n_prompt,
                               r->max_tokens > 0 ? " and at least one more is to be generated"
                                                 : "");
    if (shortest > sched_seq_cap(c))
        return error_set_param(err, STATUS_CONTEXT_LENGTH, "prompt",
                               "the prompt has %d tokens, but the KV-cache holds %d: shorten it",
                               r->n_prompt, sched_seq_cap(c));
    return STATUS_OK;
}

enum status sched_submit(struct sched *s, struct request *r, struct error *err)
{
    enum status st = sched_check(&s->config, r, err);
    if (st != STATUS_OK) return st;
    if (s->waiting.n >= s->config.max_waiting)
        return error_set(err, STATUS_OVERLOADED, "%d requests are waiting already: try again later",
                         s->waiting.n);
    r->group = NULL;
    r->sequence = s->next_sequence++;
    r->cancelled = false;
    r->queue_pos = r->deadline_pos = -1;
    memset(r->done, 0, sizeof(r->done));
    list_push_back(&s->requests, &r->link);
    s->n_requests++;
    s->n_waiting_tokens += r->n_prompt;
    /* Signed order as unsigned. */
    uint64_t major = s->config.priority_policy ? (uint64_t)((int64_t)r->priority - INT32_MIN) : 0;
    heap_push(&s->waiting, major, r->sequence, r);
    if (r->deadline_us) heap_push(&s->deadlines, r->deadline_us, r->sequence, r);
    return STATUS_OK;
}

void sched_emit(struct sched *s, struct sched_event e)
{
    s->sink(s->sink_arg, &e);
}

/* From here on the request is the server's, but for the event that says so. */
static void forget_request(struct sched *s, struct request *r)
{
    if (r->queue_pos >= 0) {
        heap_remove(&s->waiting, r);
        s->n_waiting_tokens -= r->n_prompt;
    }
    heap_remove(&s->deadlines, r);
    list_remove(&r->link);
    s->n_requests--;
    if (r->group) r->group->request = NULL;
    r->group = NULL;
    r->sequence = 0;
}

/* Before the fork the leader computes for all: it takes over another choice's name. */
static struct seq *seq_to_end(struct sched *s, struct sched_group *g, int32_t choice)
{
    struct seq *q = &s->seqs[g->slot_of[choice]];
    if (q->forked || q->state == SEQ_RESERVED || g->n_live == 0) return q;
    int32_t other = 0;
    while (g->slot_of[other] < 0 || other == choice) other++;
    struct seq *spare = &s->seqs[g->slot_of[other]];
    g->slot_of[other] = (int32_t)(q - s->seqs);
    g->slot_of[choice] = (int32_t)(spare - s->seqs);
    q->choice = other;
    spare->choice = choice;
    return spare;
}

void sched_end_choice(struct sched *s, struct request *r, int32_t choice, struct sched_event e,
                      bool silent)
{
    struct sched_group *g = r->group;
    r->done[choice / 64] |= UINT64_C(1) << (choice % 64);
    if (g) {
        g->n_live--;
        struct seq *q = seq_to_end(s, g, choice);
        seq_end(s, q);
        seq_release_if_idle(s, q);
    }
    e.request = r;
    e.choice = choice;
    e.last = request_n_live(r) == 0;
    if (e.last) forget_request(s, r);
    if (e.last || !silent) sched_emit(s, e);
}

void sched_end_request(struct sched *s, struct request *r, enum finish_reason reason)
{
    /* After the last event the request may be gone. */
    int32_t n = r->n, n_live = request_n_live(r);
    for (int32_t c = 0; c < n && n_live > 0; c++) {
        if (choice_done(r, c)) continue;
        n_live--;
        sched_end_choice(s, r, c, (struct sched_event){.type = EVENT_FINISH, .finish = reason},
                         false);
    }
}

void sched_cancel(struct sched *s, struct request *r)
{
    if (r->sequence == 0) return;
    r->cancelled = true;
    sched_end_request(s, r, FINISH_ABORT);
}

void sched_finish_choice(struct sched *s, struct request *r, int32_t choice)
{
    if (r->sequence == 0 || choice < 0 || choice >= r->n || choice_done(r, choice)) return;
    sched_end_choice(s, r, choice,
                     (struct sched_event){.type = EVENT_FINISH, .finish = FINISH_STOP}, true);
}

void sched_expire(struct sched *s, uint64_t now_us)
{
    while (s->deadlines.n > 0 && s->deadlines.items[0].major <= now_us)
        sched_end_request(s, s->deadlines.items[0].request, FINISH_DEADLINE);
}

void sched_fail_all(struct sched *s)
{
    s->n_applied = s->n_planned;
    for (int32_t i = 0; i < s->config.max_num_seqs; i++) {
        s->seqs[i].inflight = 0;
        if (s->seqs[i].state != SEQ_FREE) seq_release_if_idle(s, &s->seqs[i]);
    }
    while (!list_empty(&s->requests))
        sched_end_request(s, list_entry(s->requests.next, struct request, link), FINISH_ERROR);
    /* Nobody knows what the device's memory holds now. */
    sched_reset_prefix_cache(s);
}

void sched_reset_prefix_cache(struct sched *s)
{
    for (int32_t b = 1; b < s->pool.n_blocks; b++) {
        if (!s->pool.blocks[b].cached || s->pool.blocks[b].n_refs > 0) continue;
        prefix_cache_remove(&s->cache, b);
        block_pool_set_cached(&s->pool, b, false);
    }
}

void sched_get_stats(const struct sched *s, struct sched_stats *out)
{
    *out = s->stats;
    out->n_waiting = s->waiting.n;
    out->n_running = s->n_requests - s->waiting.n;
    out->n_inflight = sched_n_inflight(s);
    out->n_waiting_tokens = s->n_waiting_tokens;
    out->blocks_total = s->pool.n_blocks - 1;
    out->blocks_free = s->pool.n_free;
    out->blocks_cached = s->pool.n_cached;
    out->blocks_held = s->pool.n_held;
}

bool sched_has_work(const struct sched *s)
{
    return s->n_requests > 0 || sched_n_inflight(s) > 0;
}

uint64_t sched_next_deadline(const struct sched *s)
{
    return s->deadlines.n > 0 ? s->deadlines.items[0].major : 0;
}
