/* client.c - what a request must see: computed alone, compared event by event. */

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static bool in(const int32_t *ids, int32_t n, int32_t id)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

/* Runs the model on the request alone. */
void client_expect(struct client_request *c, const struct sampling_params *p, int32_t max_tokens,
                   int32_t seq_cap)
{
    uint64_t prompt_state = model_root();
    for (int32_t i = 0; i < c->n_prompt; i++)
        prompt_state = model_extend(prompt_state, c->prompt[i]);
    for (int32_t k = 0; k < c->n; k++) {
        struct client_choice *x = &c->choices[k];
        uint64_t h = prompt_state;
        x->expected_finish = FINISH_NONE;
        while (x->n_expected < max_tokens && x->expected_finish == FINISH_NONE) {
            int32_t i = x->n_expected++;
            int32_t token = x->expected[i] = model_draw(h, p, k, i);
            h = model_extend(h, token);
            bool stops = (!p->ignore_eos && in(p->eos_ids, p->n_eos_ids, token)) ||
                         in(p->stop_ids, p->n_stop_ids, token);
            if (stops && i >= p->min_tokens)
                x->expected_finish = FINISH_STOP;
            else if (i + 1 == max_tokens || c->n_prompt + i + 1 == seq_cap)
                x->expected_finish = FINISH_LENGTH;
        }
    }
}

static void on_score(struct client_request *c, const struct sched_event *ev)
{
    SIM_CHECK(c->score && ev->position == c->next_scored, "prompt logprob of %d, not %d",
              ev->position, c->next_scored);
    c->next_scored++;
    uint64_t h = model_root();
    for (int32_t i = 0; i < ev->position; i++) h = model_extend(h, c->prompt[i]);
    SIM_CHECK(ev->logprobs && ev->logprobs->logprob == model_logprob(h, c->prompt[ev->position]),
              "prompt logprob at %d is wrong", ev->position);
    SIM_CHECK(ev->token == c->prompt[ev->position], "scored token");
}

static void on_token(struct client_request *c, const struct sched_event *ev)
{
    struct client_choice *x = &c->choices[ev->choice];
    SIM_CHECK(!x->ended, "token after the end");
    SIM_CHECK(!c->score || c->next_scored == c->n_prompt, "token before the prompt's logprobs");
    SIM_CHECK(x->n_seen < x->n_expected, "request %llu: more tokens than it may have",
              (unsigned long long)c->id);
    SIM_CHECK(ev->token == x->expected[x->n_seen],
              "request %llu choice %d: token %d is %d, alone it is %d", (unsigned long long)c->id,
              ev->choice, x->n_seen, ev->token, x->expected[x->n_seen]);
    x->n_seen++;
    enum finish_reason finish = x->n_seen == x->n_expected ? x->expected_finish : FINISH_NONE;
    SIM_CHECK(ev->finish == finish, "request %llu: finish %d, alone it is %d",
              (unsigned long long)c->id, (int)ev->finish, (int)finish);
    x->ended = finish != FINISH_NONE;
}

static void on_finish(struct client_request *c, const struct sched_event *ev, bool failed)
{
    struct client_choice *x = &c->choices[ev->choice];
    bool allowed =
        (ev->finish == FINISH_ABORT && c->r->request.cancelled) ||
        (ev->finish == FINISH_DEADLINE && c->deadline_us) ||
        (ev->finish == FINISH_ERROR && failed) ||
        (ev->finish == FINISH_STOP && x->silent && ev->last) ||
        (ev->finish == FINISH_LENGTH && x->n_expected == 0 && c->next_scored == c->n_prompt);
    SIM_CHECK(allowed, "request %llu choice %d ended with reason %d", (unsigned long long)c->id,
              ev->choice, (int)ev->finish);
    SIM_CHECK(!x->ended || x->silent, "two ends");
    x->ended = true;
}

void client_event(struct client_request *c, const struct sched_event *ev, bool failed)
{
    SIM_CHECK(!c->ended, "an event after the last one");
    SIM_CHECK(ev->choice >= 0 && ev->choice < c->n, "choice %d", ev->choice);
    switch (ev->type) {
    case EVENT_ADMITTED:
        SIM_CHECK(!c->admitted, "admitted twice");
        SIM_CHECK(ev->n_cached >= 0 && ev->n_cached < c->n_prompt, "%d cached", ev->n_cached);
        SIM_CHECK(ev->n_cached <= c->n_cached_max, "%d cached, %d allowed", ev->n_cached,
                  c->n_cached_max);
        c->admitted = true;
        break;
    case EVENT_PROMPT_LOGPROB:
        on_score(c, ev);
        break;
    case EVENT_TOKEN:
        on_token(c, ev);
        break;
    case EVENT_FINISH:
        on_finish(c, ev, failed);
        break;
    }
    SIM_CHECK(c->admitted || ev->type == EVENT_FINISH, "an event before admission");
    bool all_ended = true;
    for (int32_t k = 0; k < c->n; k++) all_ended = all_ended && c->choices[k].ended;
    SIM_CHECK(ev->last == all_ended, "request %llu: `last` is %d", (unsigned long long)c->id,
              ev->last);
    if (!ev->last) return;
    /* From here on the memory is the server's, and the server frees it. */
    c->ended = true;
    memset(c->r, 0xdd, sizeof(*c->r));
    free(c->r);
    c->r = NULL;
}
