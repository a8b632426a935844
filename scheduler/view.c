#include "scheduler/view.h"

#include "scheduler/state.h"

/* Different holders that are counted in one cell; further ones are left out of the vote. */
enum { CELL_VOTERS = 16 };

static enum sched_view_state view_state(const struct seq *q)
{
    if (q->state == SEQ_PREEMPTED) return VIEW_PREEMPTED;
    return q->forked ? VIEW_DECODE : VIEW_PREFILL;
}

static void add_choice(struct sched_view *out, const struct request *r, const struct seq *q)
{
    const struct sched_group *g = q->group;
    /* Choices behind the leader of a prompt have nothing of their own yet. */
    bool begun = q->state != SEQ_RESERVED;
    out->running[out->n_running++] = (struct sched_view_choice){
        .request = r->sequence,
        .arrival_us = r->arrival_us,
        .owner = r->owner,
        .choice = q->choice,
        .n = r->n,
        .n_prompt = q->n_prompt,
        .n_cached = begun ? g->n_cached : 0,
        .n_computed = q->n_computed,
        .n_output = begun ? q->n_known - q->n_prompt : 0,
        .max_output = g->max_output,
        .state = view_state(q),
    };
}

static void add_choices(const struct sched *s, struct sched_view *out, const struct request *r)
{
    for (int32_t c = 0; c < r->n && out->n_running < SCHED_VIEW_ROWS; c++)
        if (r->group->slot_of[c] >= 0) add_choice(out, r, &s->seqs[r->group->slot_of[c]]);
}

static void add_waiting(struct sched_view *out, const struct request *r)
{
    if (out->n_waiting == SCHED_VIEW_ROWS) return;
    out->waiting[out->n_waiting++] = (struct sched_view_waiting){.request = r->sequence,
                                                                 .arrival_us = r->arrival_us,
                                                                 .owner = r->owner,
                                                                 .n_prompt = r->n_prompt,
                                                                 .max_output = r->max_tokens};
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static void fill_requests(const struct sched *s, struct sched_view *out)
{
    out->n_choices = out->n_running = out->n_waiting = 0;
    for (int32_t i = 0; i < s->config.max_num_seqs; i++)
        out->n_choices += s->seqs[i].state != SEQ_FREE && s->seqs[i].state != SEQ_ENDED;
    int32_t n_running = least(out->n_choices, SCHED_VIEW_ROWS);
    int32_t n_waiting = least(s->waiting.n, SCHED_VIEW_ROWS);
    for (const struct list *node = s->requests.next;
         node != &s->requests && (out->n_running < n_running || out->n_waiting < n_waiting);
         node = node->next) {
        const struct request *r = list_entry(node, const struct request, link);
        if (r->group)
            add_choices(s, out, r);
        else
            add_waiting(out, r);
    }
}

static void fill_owners(const struct sched *s, int64_t *owners)
{
    for (int32_t b = 1; b < s->pool.n_blocks; b++) {
        const struct block *x = &s->pool.blocks[b];
        owners[b] = x->n_refs == 0 && x->cached ? VIEW_CACHED : VIEW_FREE;
    }
    /* Of ended sequences too: a step in flight may still use their blocks. */
    for (int32_t i = 0; i < s->config.max_num_seqs; i++) {
        const struct seq *q = &s->seqs[i];
        if (q->state == SEQ_FREE) continue;
        int64_t id = (int64_t)q->group->sequence;
        for (int32_t k = 0; k < q->n_blocks; k++) {
            int64_t *o = &owners[q->table[k]];
            *o = *o == VIEW_FREE || *o == id ? id : VIEW_SHARED;
        }
    }
}

/* Sequences that decode side by side take blocks in turn, so that a cell often holds as many of one
 * as of others: a fixed choice would show the same few everywhere.  Who stands for such a cell
 * changes from cell to cell, without a period that theirs could fall in with (Knuth's
 * multiplicative hash). */
static int32_t choose(const int32_t *votes, int32_t n, int32_t most, int32_t cell)
{
    int32_t n_tied = 0, k = 0;
    for (int32_t i = 0; i < n; i++) n_tied += votes[i] == most;
    int32_t turn = (int32_t)(((uint32_t)cell * 2654435761u >> 16) % (uint32_t)n_tied);
    while (votes[k] != most || turn-- > 0) k++;
    return k;
}

static int64_t cell_owner(const int64_t *owners, int32_t n, int32_t cell)
{
    int64_t ids[CELL_VOTERS];
    int32_t votes[CELL_VOTERS], n_ids = 0, most = 0;
    bool cached = false;
    for (int32_t i = 0; i < n; i++) {
        int32_t k = 0;
        cached |= owners[i] == VIEW_CACHED;
        if (owners[i] == VIEW_FREE || owners[i] == VIEW_CACHED) continue;
        while (k < n_ids && ids[k] != owners[i]) k++;
        if (k == CELL_VOTERS) continue;
        if (k == n_ids) {
            ids[n_ids] = owners[i];
            votes[n_ids++] = 0;
        }
        if (++votes[k] > most) most = votes[k];
    }
    if (n_ids > 0) return ids[choose(votes, n_ids, most, cell)];
    return cached ? VIEW_CACHED : VIEW_FREE;
}

void sched_view_shape(int32_t n_blocks, int32_t *n_cells, int32_t *blocks_per_cell)
{
    int32_t n = n_blocks - 1;
    *blocks_per_cell = n > 0 ? (n - 1) / SCHED_VIEW_CELLS + 1 : 1;
    *n_cells = n > 0 ? (n - 1) / *blocks_per_cell + 1 : 0;
}

void sched_view_fill(const struct sched *s, struct sched_view *out, int64_t *owners)
{
    int32_t n = s->pool.n_blocks - 1;
    sched_get_stats(s, &out->stats);
    fill_requests(s, out);
    fill_owners(s, owners);
    sched_view_shape(s->pool.n_blocks, &out->n_cells, &out->blocks_per_cell);
    for (int32_t c = 0; c < out->n_cells; c++) {
        int32_t from = c * out->blocks_per_cell;
        out->cells[c] = cell_owner(owners + 1 + from, least(out->blocks_per_cell, n - from), c);
    }
}
