#ifndef ENGINE_STEP_H
#define ENGINE_STEP_H

/* step.h - the unit of work: an immutable value that the scheduler plans and the engine executes.
 *
 * Letters: T tokens in the step, S sequences in the step, R samples.  All arrays belong to the
 * scheduler, which does not touch them until the step's result was applied.
 *
 * Rows of one sequence are adjacent and in order: sequence s owns token rows
 * [q_start[s], q_start[s+1]), the last of which sits at position kv_len[s]-1.  A decode is a
 * sequence with one row, a prefill chunk one with more; nothing else tells them apart. */

#include "engine/sampling.h"

#include <stdint.h>

enum sample_mode {
    SAMPLE_DRAW,  /* draw a token */
    SAMPLE_SCORE, /* only report the logprob of `target` (prompt logprobs) */
};

struct step_sample {
    int32_t row; /* token row whose logits are used, 0 <= row < T; several samples may share one */
    int32_t target; /* SAMPLE_SCORE: the token to score; else -1 */
    enum sample_mode mode;
    int32_t choice;   /* 0..n-1: part of the random key */
    int32_t n_output; /* tokens this choice has produced: the random counter, and min_tokens */
    int32_t n_prompt, n_history; /* history[0..n_prompt) prompt, [n_prompt..n_history) output */
    const int32_t *history;      /* valid when sampling_needs_history(params) */
    const struct sampling_params *params;
};

struct block_copy {
    int32_t src, dst; /* physical blocks; all layers, keys and values (copy-on-write) */
};

struct step {
    uint64_t id;
    int32_t n_tokens, n_seqs, n_samples, n_copies;

    const struct block_copy *copies; /* [n_copies], done before anything else */

    const int32_t *token_ids; /* [T] */
    /* [T]: -1, or index of the sample of the *previous* step that gives this row's id (its
     * token_ids entry is then -1).  NULL when the previous step was applied already. */
    const int32_t *token_src;
    const int32_t *positions; /* [T] 0-based */
    const int32_t *slots;     /* [T] block * block_size + offset of the row's key and value */
    /* [T] the length that dynamic RoPE scales by: max(prompt length, position + 1). */
    const int32_t *rope_len;

    const int32_t *q_start;      /* [S+1] */
    const int32_t *kv_len;       /* [S] tokens in the cache once this step's rows are written */
    const int32_t *block_tables; /* [S][block_table_ld] physical block of each block_size tokens */
    int32_t block_table_ld;

    const struct step_sample *samples; /* [R] ascending by row */
};

struct step_result {
    uint64_t id;
    int32_t n_samples;
    struct sample_out *samples; /* [R], in the order of step.samples; caller's buffer */
};

#endif
