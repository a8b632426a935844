#ifndef ENGINE_SAMPLING_H
#define ENGINE_SAMPLING_H

/* sampling.h - what a request asks of the next token, and what a step gives back.
 *
 * A sample is a pure function of (logits row, params, seed, position, history): never of the
 * batch, the thread, the instruction set or the time.  Order of operations (as vLLM V1 has it):
 * logprobs are taken from the raw logits; then min_tokens ban, logit_bias, penalties, temperature,
 * min_p, top_k, top_p; then a Gumbel-max draw with Philox keyed by (seed, choice index) at counter
 * (output index, vocabulary index).  temperature 0 is argmax, lowest id first on a tie.
 *
 * Ties are equal logits after bias and penalties: top_k keeps all that tie with the k-th, top_p
 * takes the lowest ids first.  top_p adds up weights 2^((x - max) log2(e) / temperature) as whole
 * units of 2^-40 of the best token's, so that the sum has no order. */

#include "config/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct logit_bias {
    int32_t token;
    float bias; /* -100 .. 100 */
};

/* Immutable once submitted; owned by the request. */
struct sampling_params {
    float temperature;                         /* 0 = greedy */
    float top_p;                               /* (0, 1]; 1 = off */
    float min_p;                               /* [0, 1]; 0 = off */
    int32_t top_k;                             /* <= 0 = off */
    float repetition_penalty;                  /* > 0; 1 = off; over prompt and output */
    float presence_penalty, frequency_penalty; /* [-2, 2]; 0 = off; over output only */
    uint64_t seed;      /* always set: drawn by the server when the client gave none */
    int32_t min_tokens; /* eos and stop ids cannot be drawn before this many outputs */
    int32_t n_logprobs; /* -1 = none, 0 = the sampled token's only, k = and the best k */
    int32_t n_bias;
    const struct logit_bias *bias;
    /* Ids that end a sequence; eos_ids are dropped by ignore_eos, stop_ids never. */
    int32_t n_eos_ids, n_stop_ids;
    const int32_t *eos_ids, *stop_ids;
    bool ignore_eos;
};

/* True when a draw needs the sequence's own tokens (penalties). */
static inline bool sampling_needs_history(const struct sampling_params *p)
{
    return p->repetition_penalty != 1.0f || p->presence_penalty != 0.0f ||
           p->frequency_penalty != 0.0f;
}

struct token_logprob {
    int32_t token;
    float logprob; /* natural log */
};

/* What one logits row gave. */
struct sample_out {
    int32_t token; /* drawn (or the target of a SCORE row) */
    int32_t rank;  /* 1 = the most likely; 0 when no logprobs were asked for */
    float logprob; /* of `token`, raw distribution; 0 when not asked for */
    int32_t n_top;
    struct token_logprob top[LIMIT_LOGPROBS]; /* best first; ties by lower id */
};

#endif
