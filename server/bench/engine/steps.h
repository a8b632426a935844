#ifndef SERVER_BENCH_ENGINE_STEPS_H
#define SERVER_BENCH_ENGINE_STEPS_H

/* steps.h - steps of a given shape, as a scheduler would plan them: random token ids, greedy samples,
 * and for several sequences blocks that interleave, as when they grow together. */

#include "config/base/rng.h"
#include "config/base/status.h"
#include "engine/step.h"
#include "server/bench/engine/limit.h"

struct bench_steps {
    int block_size, n_blocks, vocab_size;
    struct rng rng;
    struct step step;
    struct step_result result; /* room for every step's samples */
    /* of the step */
    int32_t *token_ids, *positions, *slots, *rope_len, *q_start, *kv_len, *tables;
    struct step_sample *samples;
    struct block_copy *copies;
};

/* For steps of at most max_tokens rows and max_seqs sequences in n_blocks blocks, the null block
 * among them. */
enum status bench_steps_init(struct bench_steps *b, int max_tokens, int max_seqs, int n_blocks,
                             int block_size, int vocab_size, uint64_t seed, struct error *err);
void bench_steps_free(struct bench_steps *b);

/* Blocks that a step of this shape uses, without the null block. */
int64_t bench_steps_blocks(const struct step_shape *s, int block_size);
/* Valid until the next call. */
const struct step *bench_steps_make(struct bench_steps *b, const struct step_shape *s);
/* The first computes a block (or n_tokens of it, where that is all there may be); the second copies it
 * into the next n blocks behind *done (0: none yet), or what is left of them, and moves *done there. */
const struct step *bench_steps_compute_block(struct bench_steps *b, int n_tokens);
const struct step *bench_steps_copy_block(struct bench_steps *b, int n, int *done);

#endif
