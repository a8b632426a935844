/* fill.c - writes the picked sequences into a step.
 *
 * A step's block tables are a matrix, and copying it whole would cost O(blocks) each step.  So each
 * record keeps its matrix, a sequence returns to the row that it had there last time, and only
 * entries that are new are written.  The order of sequences in a step follows from that. */

#include "config/base/check.h"
#include "scheduler/state.h"

#include <string.h>

/* Leaves in seq_slot[row] the index of the pick that sits there. */
static void assign_rows(struct sched *s, struct step_record *rec, int k)
{
    const int32_t n = s->n_picks;
    memset(rec->seq_slot, -1, (size_t)n * sizeof(*rec->seq_slot));
    int32_t n_left = 0;
    int32_t *left = rec->kv_len; /* free until the sequences are written */
    for (int32_t i = 0; i < n; i++) {
        const struct seq *q = &s->seqs[s->picks[i].slot];
        int32_t row = q->row[k];
        if (row < n && rec->row_epoch[row] == q->table_epoch)
            rec->seq_slot[row] = i;
        else
            left[n_left++] = i;
    }
    int32_t row = 0;
    for (int32_t i = 0; i < n_left; i++, row++) {
        while (rec->seq_slot[row] >= 0) row++;
        struct seq *q = &s->seqs[s->picks[left[i]].slot];
        rec->seq_slot[row] = left[i];
        rec->row_epoch[row] = q->table_epoch;
        rec->row_blocks[row] = 0;
        q->row[k] = row;
    }
}

static void fill_table(const struct sched *s, struct step_record *rec, int32_t row,
                       const struct seq *q)
{
    int32_t *table = rec->tables + (int64_t)row * s->table_ld;
    for (int32_t i = rec->row_blocks[row]; i < q->n_blocks; i++) table[i] = q->table[i];
    rec->row_blocks[row] = q->n_blocks;
}

static void fill_tokens(const struct sched *s, struct step_record *rec, const struct seq *q,
                        int32_t n_rows)
{
    const int32_t size = s->config.block_size;
    int32_t pos = q->n_computed, t = rec->step.n_tokens;
    int32_t i = pos / size, offset = pos % size;
    for (int32_t end = t + n_rows; t < end; t++, pos++) {
        bool known = pos < q->n_known;
        /* A decode's token is at hand; q->tokens is far away. */
        rec->token_ids[t] = !known ? -1 : pos == q->n_known - 1 ? q->last_token : q->tokens[pos];
        rec->token_src[t] = known ? -1 : q->src_sample;
        rec->positions[t] = pos;
        rec->slots[t] = q->table[i] * size + offset;
        rec->rope_len[t] = pos + 1 > q->n_prompt ? pos + 1 : q->n_prompt;
        if (++offset == size) {
            offset = 0;
            i++;
        }
    }
}

static void add_sample(struct step_record *rec, struct seq *q, int32_t slot, int32_t row,
                       int32_t target)
{
    int32_t i = rec->step.n_samples++;
    rec->samples[i] = (struct step_sample){.row = row,
                                           .target = target,
                                           .mode = target >= 0 ? SAMPLE_SCORE : SAMPLE_DRAW,
                                           .choice = q->choice,
                                           .n_output = q->n_tokens - q->n_prompt,
                                           .n_prompt = q->n_prompt,
                                           .n_history = q->n_known,
                                           .history = q->tokens,
                                           .params = &q->group->params};
    rec->sample_slot[i] = slot;
}

static void fill_scores(struct sched *s, struct step_record *rec, struct seq *q, int32_t n_rows)
{
    struct sched_group *g = q->group;
    int32_t pos = g->n_scored > q->n_computed ? g->n_scored : q->n_computed;
    int32_t end = q->n_computed + n_rows;
    if (end > q->n_prompt - 1) end = q->n_prompt - 1;
    for (; pos < end; pos++) {
        add_sample(rec, q, (int32_t)(q - s->seqs), rec->step.n_tokens + pos - q->n_computed,
                   q->tokens[pos + 1]);
        g->n_scored = pos + 1;
    }
}

static void add_draw(struct step_record *rec, struct seq *q, int32_t slot, int32_t row)
{
    q->src_sample = rec->step.n_samples;
    add_sample(rec, q, slot, row, -1);
    q->n_tokens++;
}

/* The row of the prompt's last token draws for every choice. */
static void fill_fork(struct sched *s, struct step_record *rec, struct seq *leader, int32_t row)
{
    struct sched_group *g = leader->group;
    group_fork(s, leader);
    for (int32_t c = 0; c < g->request->n; c++) {
        int32_t slot = g->slot_of[c];
        if (slot < 0) continue;
        add_draw(rec, &s->seqs[slot], slot, row);
        if (&s->seqs[slot] == leader) continue;
        s->seqs[slot].inflight++;
        rec->seq_slot[rec->n_parts++] = slot;
    }
}

static void fill_seq(struct sched *s, struct step_record *rec, int32_t row)
{
    struct pick pick = s->picks[rec->seq_slot[row]];
    struct seq *q = &s->seqs[pick.slot];
    fill_table(s, rec, row, q);
    fill_tokens(s, rec, q, pick.n_rows);
    if (!q->forked && q->group->score_prompt) fill_scores(s, rec, q, pick.n_rows);
    rec->seq_slot[row] = pick.slot;
    q->inflight++;
    q->n_computed += pick.n_rows;
    rec->step.n_tokens += pick.n_rows;
    rec->q_start[row + 1] = rec->step.n_tokens;
    rec->kv_len[row] = q->n_computed;
    if (q->n_computed < q->n_tokens) return;
    if (q->forked)
        add_draw(rec, q, pick.slot, rec->step.n_tokens - 1);
    else if (q->group->max_tokens > 0)
        fill_fork(s, rec, q, rec->step.n_tokens - 1);
}

const struct step *sched_fill_step(struct sched *s)
{
    int k = (int)(s->n_planned % SCHED_MAX_INFLIGHT);
    struct step_record *rec = &s->records[k];
    bool chained = sched_n_inflight(s) > 0;
    assign_rows(s, rec, k);
    memcpy(rec->copies, s->copies, (size_t)s->n_copies * sizeof(*rec->copies));
    rec->step = (struct step){.id = ++s->n_planned,
                              .n_seqs = s->n_picks,
                              .n_copies = s->n_copies,
                              .copies = rec->copies,
                              .token_ids = rec->token_ids,
                              .token_src = chained ? rec->token_src : NULL,
                              .positions = rec->positions,
                              .slots = rec->slots,
                              .rope_len = rec->rope_len,
                              .q_start = rec->q_start,
                              .kv_len = rec->kv_len,
                              .block_tables = rec->tables,
                              .block_table_ld = s->table_ld,
                              .samples = rec->samples};
    rec->n_parts = s->n_picks;
    for (int32_t row = 0; row < s->n_picks; row++) fill_seq(s, rec, row);
    CHECK(rec->step.n_tokens <= s->config.max_num_batched_tokens &&
          rec->step.n_samples <= s->config.max_logit_rows);
    s->stats.n_steps++;
    s->stats.last_step_tokens = rec->step.n_tokens;
    return &rec->step;
}
