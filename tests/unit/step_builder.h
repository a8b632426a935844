#ifndef TESTS_STEP_BUILDER_H
#define TESTS_STEP_BUILDER_H

/* step_builder.h - steps by hand for tests of the engine: sequences in slots, each with its own
 * scattered blocks, fed whole, in chunks or token by token.  No prefix cache, no policy. */

#include "config/base/check.h"
#include "engine/step.h"

#include <stdlib.h>
#include <string.h>

struct step_builder {
    int n_slots, block_size, blocks_per_seq, max_tokens;
    struct step step;
    int32_t *token_ids, *positions, *slots, *rope_len, *q_start, *kv_len, *tables;
    struct step_sample *samples;
};

/* Blocks that the steps use: 1 .. builder_n_blocks() - 1 (0 is the null block). */
static inline int builder_n_blocks(const struct step_builder *b)
{
    return 1 + b->n_slots * b->blocks_per_seq;
}

static inline void builder_init(struct step_builder *b, int n_slots, int block_size, int max_len,
                                int max_tokens)
{
    *b = (struct step_builder){.n_slots = n_slots, .block_size = block_size};
    b->blocks_per_seq = (max_len + block_size - 1) / block_size;
    b->max_tokens = max_tokens;
    const size_t t = (size_t)max_tokens, s = (size_t)n_slots;
    b->token_ids = calloc(t, sizeof *b->token_ids);
    b->positions = calloc(t, sizeof *b->positions);
    b->slots = calloc(t, sizeof *b->slots);
    b->rope_len = calloc(t, sizeof *b->rope_len);
    b->q_start = calloc(s + 1, sizeof *b->q_start);
    b->kv_len = calloc(s, sizeof *b->kv_len);
    b->tables = calloc(s * (size_t)b->blocks_per_seq, sizeof *b->tables);
    b->samples = calloc(t, sizeof *b->samples);
    CHECK(b->token_ids && b->positions && b->slots && b->rope_len && b->q_start && b->kv_len &&
          b->tables && b->samples);
}

static inline void builder_free(struct step_builder *b)
{
    free(b->token_ids);
    free(b->positions);
    free(b->slots);
    free(b->rope_len);
    free(b->q_start);
    free(b->kv_len);
    free(b->tables);
    free(b->samples);
}

static inline void builder_begin(struct step_builder *b)
{
    b->step = (struct step){
        .id = b->step.id + 1,
        .token_ids = b->token_ids,
        .positions = b->positions,
        .slots = b->slots,
        .rope_len = b->rope_len,
        .q_start = b->q_start,
        .kv_len = b->kv_len,
        .block_tables = b->tables,
        .block_table_ld = b->blocks_per_seq,
        .samples = b->samples,
    };
}

/* Neighbouring blocks of a slot are far apart and not in order. */
static inline int32_t builder_block(const struct step_builder *b, int slot, int i)
{
    return 1 + slot + (b->blocks_per_seq - 1 - i) * b->n_slots;
}

/* Rows [from, to) of the sequence `ids`, whose prompt has n_prompt tokens, in `slot`. */
static inline void builder_add(struct step_builder *b, int slot, const int32_t *ids, int from,
                               int to, int n_prompt)
{
    struct step *s = &b->step;
    CHECK(to <= b->blocks_per_seq * b->block_size && s->n_tokens + to - from <= b->max_tokens);
    int32_t *table = b->tables + (size_t)s->n_seqs * (size_t)b->blocks_per_seq;
    for (int i = 0; i < b->blocks_per_seq; i++) table[i] = builder_block(b, slot, i);
    b->q_start[s->n_seqs] = s->n_tokens;
    for (int p = from; p < to; p++) {
        const int row = s->n_tokens++;
        b->token_ids[row] = ids[p];
        b->positions[row] = p;
        b->slots[row] = table[p / b->block_size] * b->block_size + p % b->block_size;
        b->rope_len[row] = p + 1 > n_prompt ? p + 1 : n_prompt;
    }
    b->kv_len[s->n_seqs++] = to;
    b->q_start[s->n_seqs] = s->n_tokens;
}

/* target < 0: draw; else score that token.  `row` counts in the step. */
static inline void builder_sample(struct step_builder *b, int row, int target, int n_output,
                                  const struct sampling_params *params)
{
    b->samples[b->step.n_samples++] = (struct step_sample){
        .row = row,
        .target = target,
        .mode = target < 0 ? SAMPLE_DRAW : SAMPLE_SCORE,
        .n_output = n_output,
        .params = params,
    };
}

static inline struct sampling_params builder_greedy(int n_logprobs)
{
    return (struct sampling_params){
        .top_p = 1.0f, .repetition_penalty = 1.0f, .n_logprobs = n_logprobs};
}

#endif
