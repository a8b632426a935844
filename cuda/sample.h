#ifndef CUDA_SAMPLE_H
#define CUDA_SAMPLE_H

/* sample.h - logits to tokens on the device, as engine/sampling.h defines it.
 *
 * Four kernels over a grid of (chunk of the vocabulary, sample), 256 threads each; a block keeps its
 * 4,096 logits in shared memory:
 *   scan    the best logit of each chunk
 *   cut     a histogram of max - x (bins of 1/32), and in it the bins where top_k and top_p end
 *   draw    Gumbel scores of what lies above that bin; what lies in it goes to a short list, which
 *           the last block to finish decides by exact keys
 *   report  log-probabilities: sum of exponentials, rank, the best n
 * Bans, biases and penalties are applied anew by each kernel to its chunk in shared memory, so that no
 * second array of logits exists; a history is read by every block of its row, and counted there.
 * Greedy rows leave cut, draw and report at once.  When the list overflows (more than 2,048 tokens
 * within 1/32 of the threshold, or top_k with top_p where top_k keeps more), one block goes over the
 * whole row instead: slow, exact.
 *
 * Bytes of a call, per sample of V logits: 4 V greedy, 8 V drawn, 12 V with top_k or top_p, 4 V more
 * with logprobs; a history of h tokens: V / 4096 * 4 h of each kernel (from L2).  Per token that can be
 * drawn: Philox / 4, two logarithms.
 *
 * Differences from the CPU (engine/cpu/sample.c): uniforms, bans, biases, penalties, temperature and
 * all comparisons have its bits.  exp and log are the device's, which may differ in the last bit:
 * another token is drawn only when two scores, or a sum of weights and top_p, lie that near.  Weights
 * are summed as integers of 2^-(62 - log2 V), so that their order does not matter; a token more than
 * 32 below the best can never be drawn, and top_k beyond such tokens is no limit.
 * A sample depends on its own row, parameters and history alone.
 *
 * Launches depend on the number of logits rows only: parameters, and the number of samples, lie in
 * device memory, so that a captured launch serves any step with as many rows. */

#include "cuda/cuda.h"

#define SAMPLE_CHUNK 4096 /* logits of a block */
#define SAMPLE_BINS  1024 /* of the histogram; the last one takes all beyond */
#define SAMPLE_LIST  2048 /* tokens in the bins that a threshold cuts */

enum sample_flags {
    SAMPLE_GREEDY = 1,  /* temperature 0 */
    SAMPLE_RAW = 2,     /* greedy, and nothing changes the logits: NaN is passed over */
    SAMPLE_CUT = 4,     /* top_k or top_p */
    SAMPLE_TARGET = 8,  /* SAMPLE_SCORE: nothing is drawn */
    SAMPLE_PENALTY = 16 /* history matters */
};

/* One sample's parameters on the device. */
struct sample_row {
    int32_t logits; /* row */
    int32_t flags;
    int32_t target;
    int32_t n_logprobs; /* -1 none */
    float temperature, top_p;
    float log_min_p; /* -inf: off */
    int32_t top_k;   /* 0: off */
    float repetition, presence, frequency;
    uint32_t n_output;
    uint64_t key; /* of the random numbers */
    /* In `words`, from `words_at`: banned ids, (id, bias as bits) pairs, history. */
    int32_t n_bans, n_bias, n_history, n_prompt;
    int64_t words_at;
};

/* Where a threshold lies, by bins of max - x: below `sure` a token is kept, from there to `last` the
 * list decides. */
struct sample_cut {
    int32_t sure, last;
    int32_t n_k;   /* top_k: the list's best n_k stay (and ties); 0: no limit */
    int32_t wide;  /* the list is too short: the whole row is the list */
    uint64_t want; /* top_p: weight that the list has to give; 0: to be computed from the list */
};

struct sample_tail { /* of a chunk's logprobs */
    double sum;      /* exp(x - max) */
    int32_t n_above;
};

/* Scratch for R = max_samples, C chunks. */
struct sample_work {
    unsigned long long *best;     /* [R][C] best logit after bans, biases, penalties */
    unsigned long long *raw_best; /* [R][C] of the logits as they are, for logprobs */
    unsigned long long *scores;   /* [R][C] best Gumbel score */
    unsigned long long *mass;     /* [R][BINS] weights */
    unsigned *count;              /* [R][BINS] tokens */
    struct sample_cut *cuts;      /* [R] */
    unsigned long long *list;     /* [R][LIST] id << 32 | bits of x / temperature */
    unsigned *n_list;             /* [R] */
    unsigned *tickets;            /* [R][4] blocks that are done: cut, draw, report */
    struct sample_tail *tails;    /* [R][C] */
    unsigned long long *top;      /* [R][C][LIMIT_LOGPROBS] */
};

struct sample_args {
    const float *logits; /* [rows][ld] */
    int ld, n_rows;
    int vocab_size, n_chunks;
    float mass_scale;         /* weight 1 as an integer: a power of two */
    const int32_t *n_samples; /* [1] */
    const struct sample_row *rows;
    const int32_t *words;
    struct sample_work work;
    int32_t *drawn;         /* [R] */
    struct sample_out *out; /* [R] samples with logprobs only */
};

/* scan, cut and draw; then report.  Grid: n_chunks x n_rows blocks, which take sample after sample. */
void cuda_sample_draw(const struct sample_args *a, void *stream);
void cuda_sample_report(const struct sample_args *a, void *stream);

/* --- host ---
 *
 * Memory of the device: about 35 KB a sample (V = 128 Ki), and one staging area; pinned: two such areas,
 * each 8.6 KB a sample for parameters, bans and biases, and 4 bytes for each of max_seqs * context
 * tokens of histories: 134 MB for 256 sequences of 131,072 tokens, whether or not anybody asks for
 * penalties.  A step copies 80 bytes a sample, and its bans, biases and histories as far as it has
 * any: every step the whole history of each sample with penalties.  Back come 4 bytes a sample, or
 * 176 where one of them wants logprobs. */

/* After cuda_step_reserve, which allocates at.drawn. */
enum status cuda_sample_reserve(struct cuda_backend *cb, struct error *err);
void cuda_sample_release(struct cuda_backend *cb); /* what the device does not own */
/* Part of step_upload. */
void cuda_sample_upload(struct cuda_backend *cb, const struct step *step);
/* Entry of engine/backend.h: logits [R', V] f32. */
void cuda_sample(struct backend *be, struct tensor logits);
/* Enqueues the samples' way back to the host, for cb->step. */
void cuda_sample_return(struct cuda_backend *cb);
/* The samples of the step that had this turn, once they are back: out[its n_samples]. */
void cuda_sample_read(const struct cuda_backend *cb, int turn, struct sample_out *out);

#endif
