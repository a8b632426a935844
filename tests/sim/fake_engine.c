/* fake_engine.c - "executes" steps: copies blocks, writes one hash per token, and for each sample
 * walks the whole block table and compares what it finds with the request's own tokens. */

#include "tests/sim/sim.h"

#include "config/base/hash.h"

#include <stdlib.h>
#include <string.h>

uint64_t model_root(void)
{
    return 0x1234567890abcdefull;
}

static uint64_t mix(uint64_t x)
{
    struct rng r = {.state = x};
    return rng_next(&r);
}

uint64_t model_extend(uint64_t h, int32_t token)
{
    return mix(h ^ ((uint64_t)(uint32_t)token * 0x9ddfea08eb382d69ull));
}

static bool is_stop(const struct sampling_params *p, int32_t token)
{
    for (int32_t i = 0; i < p->n_stop_ids; i++)
        if (p->stop_ids[i] == token) return true;
    for (int32_t i = 0; i < p->n_eos_ids && !p->ignore_eos; i++)
        if (p->eos_ids[i] == token) return true;
    return false;
}

int32_t model_draw(uint64_t h, const struct sampling_params *p, int32_t choice, int32_t n_output)
{
    uint64_t x = mix(h ^ mix(p->seed ^ ((uint64_t)choice << 32 | (uint64_t)n_output)));
    int32_t token = (int32_t)(x % SIM_VOCAB);
    while (n_output < p->min_tokens && is_stop(p, token)) token = (token + 1) % SIM_VOCAB;
    return token;
}

float model_logprob(uint64_t h, int32_t token)
{
    return -(float)(model_extend(h, token + 1000) >> 44);
}

static void *zeroed(int64_t n, size_t size)
{
    void *p = calloc((size_t)(n ? n : 1), size);
    if (!p) abort();
    return p;
}

void fake_engine_open(struct fake_engine *e, const struct sched_config *c)
{
    int64_t n_slots = (int64_t)c->n_blocks * c->block_size;
    *e = (struct fake_engine){.config = *c};
    e->kv = zeroed(n_slots, sizeof(*e->kv));
    e->written = zeroed(n_slots, sizeof(*e->written));
    e->salt_tag = zeroed(c->n_blocks, sizeof(*e->salt_tag));
    e->rows = zeroed(c->max_num_batched_tokens, sizeof(*e->rows));
    for (int i = 0; i < 2; i++) {
        e->samples[i] = zeroed(c->max_logit_rows, sizeof(struct sample_out));
        e->sample_key[i] = zeroed(c->max_logit_rows, sizeof(uint64_t));
    }
}

void fake_engine_close(struct fake_engine *e)
{
    free(e->kv);
    free(e->written);
    free(e->salt_tag);
    free(e->rows);
    for (int i = 0; i < 2; i++) {
        free(e->samples[i]);
        free(e->sample_key[i]);
    }
}

static uint64_t sample_key(const struct step_sample *s)
{
    return s->params->seed * 256 + (uint64_t)s->choice;
}

static void check_shape(const struct fake_engine *e, const struct step *t, bool previous_applied)
{
    const struct sched_config *c = &e->config;
    SIM_CHECK(t->id == e->last_id + 1, "step id");
    SIM_CHECK(t->n_tokens > 0 && t->n_tokens <= c->max_num_batched_tokens, "%d tokens",
              t->n_tokens);
    SIM_CHECK(t->n_seqs > 0 && t->n_seqs <= c->max_num_seqs, "%d seqs", t->n_seqs);
    SIM_CHECK(t->n_samples >= 0 && t->n_samples <= c->max_logit_rows, "%d samples", t->n_samples);
    SIM_CHECK(previous_applied == (t->token_src == NULL), "token_src");
    SIM_CHECK(t->q_start[0] == 0 && t->q_start[t->n_seqs] == t->n_tokens, "q_start");
    for (int32_t s = 0; s < t->n_seqs; s++) {
        SIM_CHECK(t->q_start[s] < t->q_start[s + 1], "sequence %d has no rows", s);
        for (int32_t i = t->q_start[s], n = t->q_start[s + 1] - i, k = 0; k < n; k++) {
            int32_t pos = t->kv_len[s] - n + k;
            SIM_CHECK(pos >= 0 && t->positions[i + k] == pos, "position of row %d", i + k);
            int32_t b = t->block_tables[(int64_t)s * t->block_table_ld + pos / c->block_size];
            SIM_CHECK(b > 0 && b < c->n_blocks, "block %d", b);
            SIM_CHECK(t->slots[i + k] == b * c->block_size + pos % c->block_size, "slot of row %d",
                      i + k);
            SIM_CHECK(t->rope_len[i + k] >= pos + 1, "rope_len");
        }
    }
    for (int32_t i = 0; i < t->n_samples; i++) {
        const struct step_sample *x = &t->samples[i];
        SIM_CHECK(x->row >= 0 && x->row < t->n_tokens, "sample row");
        SIM_CHECK(i == 0 || x->row >= x[-1].row, "samples out of order");
        SIM_CHECK((x->mode == SAMPLE_SCORE) == (x->target >= 0), "sample target");
    }
}

static void copy_blocks(struct fake_engine *e, const struct step *t)
{
    const int32_t size = e->config.block_size;
    for (int32_t i = 0; i < t->n_copies; i++) {
        int32_t src = t->copies[i].src, dst = t->copies[i].dst;
        for (int32_t k = 0; k < t->n_copies; k++) {
            SIM_CHECK(t->copies[k].src != dst, "a copy's target is a copy's source");
            SIM_CHECK(k == i || t->copies[k].dst != dst, "a block is the target of two copies");
        }
        memcpy(e->kv + (int64_t)dst * size, e->kv + (int64_t)src * size,
               (size_t)size * sizeof(*e->kv));
        e->salt_tag[dst] = 0;
    }
}

static int32_t row_token(const struct fake_engine *e, const struct step *t, int32_t i)
{
    if (t->token_ids[i] >= 0) {
        SIM_CHECK(!t->token_src || t->token_src[i] == -1, "row %d has an id and a source", i);
        return t->token_ids[i];
    }
    int previous = (int)((t->id - 1) % 2);
    SIM_CHECK(t->token_src && t->token_src[i] >= 0 && t->token_src[i] < e->n_samples[previous],
              "row %d has neither an id nor a source", i);
    return e->samples[previous][t->token_src[i]].token;
}

static void write_rows(struct fake_engine *e, const struct step *t)
{
    const int32_t size = e->config.block_size;
    for (int32_t s = 0; s < t->n_seqs; s++) {
        const int32_t *table = t->block_tables + (int64_t)s * t->block_table_ld;
        for (int32_t i = t->q_start[s]; i < t->q_start[s + 1]; i++) {
            int32_t pos = t->positions[i], slot = t->slots[i];
            uint64_t h = model_root();
            if (pos > 0) h = e->kv[table[(pos - 1) / size] * size + (pos - 1) % size];
            if (i > t->q_start[s]) h = e->rows[i - 1];
            e->rows[i] = model_extend(h, row_token(e, t, i));
            SIM_CHECK(e->written[slot] != t->id, "slot %d is written twice in one step", slot);
            e->written[slot] = t->id;
            e->kv[slot] = e->rows[i];
            if (pos % size == 0) e->salt_tag[slot / size] = 0;
        }
    }
}

/* The cache of the sample's sequence against the request's own tokens, position by position. */
static uint64_t walk(struct fake_engine *e, const struct step *t, int32_t s, int32_t row,
                     const struct step_sample *x, const struct client_request *c)
{
    const int32_t size = e->config.block_size;
    const int32_t *table = t->block_tables + (int64_t)s * t->block_table_ld;
    const struct client_choice *choice = &c->choices[x->choice];
    uint64_t h = model_root();
    for (int32_t pos = 0; pos <= t->positions[row]; pos++) {
        int32_t token = pos < c->n_prompt ? c->prompt[pos] : choice->expected[pos - c->n_prompt];
        h = model_extend(h, token);
        int32_t b = table[pos / size];
        SIM_CHECK(e->kv[b * size + pos % size] == h,
                  "request %llu choice %d: wrong content at position %d, block %d",
                  (unsigned long long)c->id, x->choice, pos, b);
        SIM_CHECK(e->salt_tag[b] == 0 || e->salt_tag[b] == c->salt + 1,
                  "request %llu: block %d was filled under another salt", (unsigned long long)c->id,
                  b);
        e->salt_tag[b] = c->salt + 1;
    }
    return h;
}

static void check_sample(const struct step *t, const struct step_sample *x,
                         const struct client_request *c)
{
    int32_t pos = t->positions[x->row];
    int32_t rope = pos + 1 > c->n_prompt ? pos + 1 : c->n_prompt;
    SIM_CHECK(x->choice >= 0 && x->choice < c->n, "choice %d", x->choice);
    SIM_CHECK(t->rope_len[x->row] == rope, "rope_len %d", t->rope_len[x->row]);
    SIM_CHECK(x->n_prompt == c->n_prompt, "n_prompt");
    if (x->mode == SAMPLE_SCORE) {
        SIM_CHECK(pos + 1 < c->n_prompt && x->target == c->prompt[pos + 1], "score target");
        return;
    }
    SIM_CHECK(x->n_output == pos + 1 - c->n_prompt, "n_output %d at %d", x->n_output, pos);
    if (!sampling_needs_history(x->params)) return;
    SIM_CHECK(x->n_history == pos + 1, "history of %d tokens at %d", x->n_history, pos);
    for (int32_t i = 0; i <= pos; i++) {
        int32_t token =
            i < c->n_prompt ? c->prompt[i] : c->choices[x->choice].expected[i - c->n_prompt];
        SIM_CHECK(x->history[i] == token, "history at %d", i);
    }
}

/* A sequence whose request has ended may overrun its end by the surplus token. */
static bool is_live(const struct step *t, const struct step_sample *x,
                    const struct client_request *c)
{
    if (!c || c->ended || c->choices[x->choice].ended) return false;
    return t->positions[x->row] - c->n_prompt < c->choices[x->choice].n_expected;
}

void fake_engine_execute(struct fake_engine *e, const struct step *t, bool previous_applied,
                         sim_find_fn *find, void *find_arg, struct step_result *out)
{
    int own = (int)(t->id % 2);
    check_shape(e, t, previous_applied);
    copy_blocks(e, t);
    write_rows(e, t);
    int32_t s = 0;
    for (int32_t i = 0; i < t->n_samples; i++) {
        const struct step_sample *x = &t->samples[i];
        struct sample_out *o = &e->samples[own][i];
        while (t->q_start[s + 1] <= x->row) s++;
        const struct client_request *c = find(find_arg, x->params->seed);
        uint64_t h = e->rows[x->row];
        if (is_live(t, x, c)) {
            check_sample(t, x, c);
            SIM_CHECK(walk(e, t, s, x->row, x, c) == h, "row %d", x->row);
        } else {
            history_totals.n_surplus++;
        }
        *o = (struct sample_out){.rank = 1};
        o->token =
            x->mode == SAMPLE_SCORE ? x->target : model_draw(h, x->params, x->choice, x->n_output);
        o->logprob = model_logprob(h, o->token);
        e->sample_key[own][i] = sample_key(x);
        /* A row that takes its id from a sample takes it from its own. */
        if (x->mode == SAMPLE_DRAW && t->token_src && t->token_src[x->row] >= 0)
            SIM_CHECK(e->sample_key[1 - own][t->token_src[x->row]] == sample_key(x),
                      "row %d takes another sequence's token", x->row);
    }
    e->n_samples[own] = t->n_samples;
    e->last_id = t->id;
    *out = (struct step_result){.id = t->id, .n_samples = t->n_samples, .samples = e->samples[own]};
}

uint64_t step_digest(const struct step *t)
{
    size_t n = (size_t)t->n_tokens * sizeof(int32_t);
    uint64_t h = hash_bytes(t, sizeof(*t), 1);
    const int32_t *per_token[] = {t->token_ids, t->positions, t->slots, t->rope_len, t->token_src};
    for (int i = 0; i < 5; i++)
        if (per_token[i]) h = hash_bytes(per_token[i], n, h);
    h = hash_bytes(t->q_start, (size_t)(t->n_seqs + 1) * sizeof(int32_t), h);
    h = hash_bytes(t->kv_len, (size_t)t->n_seqs * sizeof(int32_t), h);
    if (t->n_copies) h = hash_bytes(t->copies, (size_t)t->n_copies * sizeof(*t->copies), h);
    for (int32_t i = 0; i < t->n_samples; i++) {
        const struct step_sample *x = &t->samples[i];
        int32_t ints[] = {x->row,    x->target,   (int32_t)x->mode,
                          x->choice, x->n_output, x->n_history};
        h = hash_bytes(ints, sizeof(ints), h);
        h = hash_bytes(&x->params->seed, sizeof(uint64_t), h);
        h = hash_bytes(x->params->eos_ids, (size_t)x->params->n_eos_ids * sizeof(int32_t), h);
        h = hash_bytes(x->params->stop_ids, (size_t)x->params->n_stop_ids * sizeof(int32_t), h);
        h = hash_bytes(x->params->bias, (size_t)x->params->n_bias * sizeof(struct logit_bias), h);
        if (sampling_needs_history(x->params))
            h = hash_bytes(x->history, (size_t)x->n_history * sizeof(int32_t), h);
    }
    return h;
}
