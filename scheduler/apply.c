/* apply.c - a step's samples become tokens, events and ends. */

#include "config/base/check.h"
#include "scheduler/state.h"

static bool contains(const int32_t *ids, int32_t n, int32_t id)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

/* n_output: tokens before this one. */
static enum finish_reason stop_reason(const struct sched_group *g, const struct seq *q,
                                      int32_t token, int32_t n_output)
{
    const struct sampling_params *p = &g->params;
    if (n_output >= p->min_tokens) {
        if (!p->ignore_eos && contains(p->eos_ids, p->n_eos_ids, token)) return FINISH_STOP;
        if (contains(p->stop_ids, p->n_stop_ids, token)) return FINISH_STOP;
    }
    return q->n_known > q->n_goal ? FINISH_LENGTH : FINISH_NONE;
}

static void apply_score(struct sched *s, struct sched_group *g, const struct sample_out *out,
                        int32_t position)
{
    sched_emit(s, (struct sched_event){.request = g->request,
                                       .type = EVENT_PROMPT_LOGPROB,
                                       .token = out->token,
                                       .position = position,
                                       .logprobs = out});
}

static void apply_draw(struct sched *s, struct seq *q, const struct sample_out *out)
{
    struct sched_group *g = q->group;
    int32_t n_output = q->n_known - q->n_prompt;
    q->tokens[q->n_known++] = out->token;
    q->last_token = out->token;
    s->stats.generation_tokens++;
    struct sched_event e = {.request = g->request,
                            .type = EVENT_TOKEN,
                            .choice = q->choice,
                            .token = out->token,
                            .finish = stop_reason(g, q, out->token, n_output),
                            .logprobs = g->params.n_logprobs >= 0 ? out : NULL};
    if (e.finish == FINISH_NONE)
        sched_emit(s, e);
    else
        sched_end_choice(s, g->request, q->choice, e, false);
}

/* With nothing to generate, the prompt's last row ends the request. */
static void end_scored(struct sched *s, struct seq *q, int32_t kv_len)
{
    if (q->forked || q->state == SEQ_ENDED || q->group->max_tokens > 0 || kv_len < q->n_goal)
        return;
    sched_end_request(s, q->group->request, FINISH_LENGTH);
}

void sched_apply(struct sched *s, const struct step_result *result, uint64_t now_us)
{
    CHECK(sched_n_inflight(s) > 0);
    struct step_record *rec = &s->records[s->n_applied % SCHED_MAX_INFLIGHT];
    CHECK(result->id == rec->step.id && result->n_samples == rec->step.n_samples);
    for (int32_t i = 0; i < rec->step.n_samples; i++) {
        struct seq *q = &s->seqs[rec->sample_slot[i]];
        const struct step_sample *sample = &rec->samples[i];
        if (sample->mode == SAMPLE_SCORE) {
            /* The scores are the request's, even when the leader's own choice has ended. */
            if (q->group->request)
                apply_score(s, q->group, &result->samples[i], rec->positions[sample->row] + 1);
        } else if (q->state != SEQ_ENDED) { /* else a surplus token: dropped */
            apply_draw(s, q, &result->samples[i]);
        }
    }
    s->n_applied++;
    for (int32_t i = 0; i < rec->n_parts; i++) {
        struct seq *q = &s->seqs[rec->seq_slot[i]];
        q->inflight--;
        if (i < rec->step.n_seqs) {
            int32_t kv_len = rec->kv_len[i];
            if (kv_len >= (q->n_registered + 1) * (int64_t)s->config.block_size)
                seq_register_blocks(s, q, kv_len < q->n_known ? kv_len : q->n_known);
            end_scored(s, q, kv_len);
        }
        seq_release_if_idle(s, q);
    }
    sched_expire(s, now_us);
}
