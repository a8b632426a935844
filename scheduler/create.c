/* create.c - all of the scheduler's memory.  Large arrays come zeroed from the system and cost
 * nothing until they are touched. */

#include "config/base/check.h"
#include "scheduler/state.h"

#include <stddef.h>
#include <stdlib.h>

static enum status check_config(const struct sched_config *c, int32_t seq_cap, struct error *err)
{
    const struct {
        const char *name;
        int64_t value, min, max;
    } rules[] = {
        {"block_size", c->block_size, 1, 1024},
        {"n_blocks", c->n_blocks, 2, INT32_MAX / 2},
        {"max_num_seqs", c->max_num_seqs, 1, 1 << 16},
        {"max_num_batched_tokens", c->max_num_batched_tokens, 1, 1 << 24},
        {"max_model_len", c->max_model_len, 1, LIMIT_CONTEXT},
        {"max_logit_rows", c->max_logit_rows, 1, 1 << 24},
        {"max_waiting", c->max_waiting, 1, 1 << 24},
        {"max_cached_len", c->max_cached_len, 0, LIMIT_CONTEXT},
        /* Slot numbers are int32. */
        {"n_blocks * block_size", (int64_t)c->n_blocks * c->block_size, 1, INT32_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].value < rules[i].min || rules[i].value > rules[i].max)
            return error_set_param(err, STATUS_INVALID, rules[i].name,
                                   "%s is %lld; it must be between %lld and %lld", rules[i].name,
                                   (long long)rules[i].value, (long long)rules[i].min,
                                   (long long)rules[i].max);
    }
    if (!c->enable_chunked_prefill && c->max_num_batched_tokens < seq_cap)
        return error_set_param(err, STATUS_INVALID, "max_num_batched_tokens",
                               "without chunked prefill max_num_batched_tokens (%d) must be at "
                               "least max_model_len (%d): raise it, or enable chunked prefill",
                               c->max_num_batched_tokens, seq_cap);
    return STATUS_OK;
}

/* A row length that is an odd number of cache lines: with a power of two, the places that all
 * sequences write at one time would share a few sets of the cache (13.9 -> 12.1 us at 256). */
static int32_t odd_lines(int32_t n)
{
    const int32_t line = 64 / (int32_t)sizeof(int32_t);
    return ((n + line - 1) / line | 1) * line;
}

/* NULL sticks in *ok. */
static void *take(struct sched *s, int64_t n, size_t size, bool *ok)
{
    CHECK(s->n_allocations < (int)ARRAY_LEN(s->allocations));
    void *p = *ok ? calloc((size_t)n, size) : NULL;
    if (!p) *ok = false;
    s->allocations[s->n_allocations++] = p;
    return p;
}

static bool create_records(struct sched *s)
{
    const struct sched_config *c = &s->config;
    bool ok = true;
    for (int i = 0; i < SCHED_MAX_INFLIGHT; i++) {
        struct step_record *r = &s->records[i];
        int32_t **per_token[] = {&r->token_ids, &r->token_src, &r->positions, &r->slots,
                                 &r->rope_len};
        for (size_t k = 0; k < ARRAY_LEN(per_token); k++)
            *per_token[k] = take(s, c->max_num_batched_tokens, sizeof(int32_t), &ok);
        r->copies = take(s, c->max_num_seqs, sizeof(*r->copies), &ok);
        r->q_start = take(s, c->max_num_seqs + 1, sizeof(int32_t), &ok);
        r->kv_len = take(s, c->max_num_seqs, sizeof(int32_t), &ok);
        r->tables = take(s, (int64_t)c->max_num_seqs * s->table_ld, sizeof(int32_t), &ok);
        r->samples = take(s, c->max_logit_rows, sizeof(*r->samples), &ok);
        r->row_epoch = take(s, c->max_num_seqs, sizeof(*r->row_epoch), &ok);
        r->row_blocks = take(s, c->max_num_seqs, sizeof(int32_t), &ok);
        r->seq_slot = take(s, c->max_num_seqs, sizeof(int32_t), &ok);
        r->sample_slot = take(s, c->max_logit_rows, sizeof(int32_t), &ok);
    }
    return ok;
}

static bool create_seqs(struct sched *s)
{
    const int32_t n = s->config.max_num_seqs;
    bool ok = true;
    s->seqs = take(s, n, sizeof(*s->seqs), &ok);
    s->groups = take(s, n, sizeof(*s->groups), &ok);
    s->free_slots = take(s, n, sizeof(int32_t), &ok);
    s->free_groups = take(s, n, sizeof(int32_t), &ok);
    s->run = take(s, n, sizeof(int32_t), &ok);
    s->resume = take(s, n, sizeof(int32_t), &ok);
    s->picks = take(s, n, sizeof(*s->picks), &ok);
    s->copies = take(s, n, sizeof(*s->copies), &ok);
    s->hits = take(s, s->table_ld, sizeof(int32_t), &ok);
    const int64_t token_ld = odd_lines(s->seq_cap);
    int32_t *tokens = take(s, n * token_ld, sizeof(int32_t), &ok);
    int32_t *tables = take(s, (int64_t)n * s->table_ld, sizeof(int32_t), &ok);
    struct logit_bias *bias = take(s, (int64_t)n * LIMIT_LOGIT_BIAS, sizeof(*bias), &ok);
    int32_t *eos = take(s, (int64_t)n * LIMIT_EOS_IDS, sizeof(int32_t), &ok);
    int32_t *stop = take(s, (int64_t)n * LIMIT_STOP_IDS, sizeof(int32_t), &ok);
    if (!ok) return false;
    for (int32_t i = 0; i < n; i++) {
        s->seqs[i].tokens = tokens + i * token_ld;
        s->seqs[i].table = tables + (int64_t)i * s->table_ld;
        s->groups[i].bias = bias + (int64_t)i * LIMIT_LOGIT_BIAS;
        s->groups[i].eos_ids = eos + (int64_t)i * LIMIT_EOS_IDS;
        s->groups[i].stop_ids = stop + (int64_t)i * LIMIT_STOP_IDS;
        /* Stacks: slot 0 is taken first. */
        s->free_slots[i] = s->free_groups[i] = n - 1 - i;
    }
    s->n_free_slots = s->n_free_groups = n;
    return true;
}

int32_t sched_seq_cap(const struct sched_config *c)
{
    int64_t pool_tokens = (int64_t)(c->n_blocks - 1) * c->block_size;
    return pool_tokens < c->max_model_len ? (int32_t)pool_tokens : c->max_model_len;
}

enum status sched_create(struct sched **out, const struct sched_config *c, sched_sink_fn *sink,
                         void *sink_arg, struct error *err)
{
    *out = NULL;
    enum status st = check_config(c, sched_seq_cap(c), err);
    if (st != STATUS_OK) return st;
    struct sched *s = calloc(1, sizeof(*s));
    if (!s) return error_set(err, STATUS_NO_MEMORY, "no memory for the scheduler");
    s->config = *c;
    s->sink = sink;
    s->sink_arg = sink_arg;
    s->seq_cap = sched_seq_cap(c);
    s->table_ld = odd_lines(blocks_for(s, s->seq_cap));
    s->next_sequence = s->next_epoch = 1;
    list_init(&s->requests);
    if (block_pool_init(&s->pool, c->n_blocks) &&
        prefix_cache_init(&s->cache, c->n_blocks, c->block_size, c->hash_seed) &&
        heap_init(&s->waiting, c->max_waiting, offsetof(struct request, queue_pos)) &&
        heap_init(&s->deadlines, c->max_waiting + c->max_num_seqs,
                  offsetof(struct request, deadline_pos)) &&
        create_records(s) && create_seqs(s)) {
        *out = s;
        return STATUS_OK;
    }
    sched_destroy(s);
    return error_set(err, STATUS_NO_MEMORY,
                     "no memory for the scheduler: lower max_num_seqs or max_model_len");
}

void sched_destroy(struct sched *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_allocations; i++) free(s->allocations[i]);
    heap_destroy(&s->waiting);
    heap_destroy(&s->deadlines);
    prefix_cache_destroy(&s->cache);
    block_pool_destroy(&s->pool);
    free(s);
}
