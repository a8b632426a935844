#include "server/bench/engine/steps.h"

#include "config/base/check.h"

#include <stdlib.h>

static const struct sampling_params greedy = {
    .top_p = 1.0f, .repetition_penalty = 1.0f, .n_logprobs = -1};

enum status bench_steps_init(struct bench_steps *b, int max_tokens, int max_seqs, int n_blocks,
                             int block_size, int vocab_size, uint64_t seed, struct error *err)
{
    const size_t T = (size_t)max_tokens, S = (size_t)max_seqs;
    *b = (struct bench_steps){
        .block_size = block_size, .n_blocks = n_blocks, .vocab_size = vocab_size, .rng = {seed}};
    b->token_ids = calloc(T, sizeof *b->token_ids);
    b->positions = calloc(T, sizeof *b->positions);
    b->slots = calloc(T, sizeof *b->slots);
    b->rope_len = calloc(T, sizeof *b->rope_len);
    b->q_start = calloc(S + 1, sizeof *b->q_start);
    b->kv_len = calloc(S, sizeof *b->kv_len);
    b->tables = calloc((size_t)n_blocks, sizeof *b->tables);
    b->samples = calloc(S, sizeof *b->samples);
    b->copies = calloc((size_t)n_blocks, sizeof *b->copies);
    b->result.samples = calloc(S, sizeof *b->result.samples);
    if (b->token_ids && b->positions && b->slots && b->rope_len && b->q_start && b->kv_len &&
        b->tables && b->samples && b->copies && b->result.samples)
        return STATUS_OK;
    bench_steps_free(b);
    return error_set(err, STATUS_NO_MEMORY, "out of memory for the steps");
}

void bench_steps_free(struct bench_steps *b)
{
    free(b->token_ids);
    free(b->positions);
    free(b->slots);
    free(b->rope_len);
    free(b->q_start);
    free(b->kv_len);
    free(b->tables);
    free(b->samples);
    free(b->copies);
    free(b->result.samples);
    *b = (struct bench_steps){0};
}

static int blocks_of(int kv_len, int block_size)
{
    return (kv_len + block_size - 1) / block_size;
}

int64_t bench_steps_blocks(const struct step_shape *s, int block_size)
{
    return (int64_t)s->n_seqs * blocks_of(s->kv_len, block_size);
}

static void begin(struct bench_steps *b, int per_seq)
{
    b->step = (struct step){
        .id = b->step.id + 1,
        .copies = b->copies,
        .token_ids = b->token_ids,
        .positions = b->positions,
        .slots = b->slots,
        .rope_len = b->rope_len,
        .q_start = b->q_start,
        .kv_len = b->kv_len,
        .block_tables = b->tables,
        .block_table_ld = per_seq,
        .samples = b->samples,
    };
}

const struct step *bench_steps_make(struct bench_steps *b, const struct step_shape *s)
{
    const int per_seq = blocks_of(s->kv_len, b->block_size);
    CHECK(bench_steps_blocks(s, b->block_size) < b->n_blocks);
    begin(b, per_seq);
    struct step *step = &b->step;
    for (int seq = 0; seq < s->n_seqs; seq++) {
        int32_t *table = b->tables + (size_t)seq * (size_t)per_seq;
        for (int i = 0; i < per_seq; i++) table[i] = 1 + i * s->n_seqs + seq;
        for (int p = s->kv_len - s->n_new; p < s->kv_len; p++) {
            const int row = step->n_tokens++;
            b->token_ids[row] = (int32_t)rng_below(&b->rng, (uint64_t)b->vocab_size);
            b->positions[row] = p;
            b->slots[row] = table[p / b->block_size] * b->block_size + p % b->block_size;
            b->rope_len[row] = p + 1;
        }
        b->kv_len[seq] = s->kv_len;
        b->q_start[++step->n_seqs] = step->n_tokens;
        b->samples[step->n_samples++] = (struct step_sample){
            .row = step->n_tokens - 1, .target = -1, .mode = SAMPLE_DRAW, .params = &greedy};
    }
    return step;
}

const struct step *bench_steps_compute_block(struct bench_steps *b, int n_tokens)
{
    const int n = n_tokens < b->block_size ? n_tokens : b->block_size;
    return bench_steps_make(b, &(struct step_shape){.n_seqs = 1, .n_new = n, .kv_len = n});
}

const struct step *bench_steps_copy_block(struct bench_steps *b, int n, int *done)
{
    bench_steps_make(b, &(struct step_shape){.n_seqs = 1, .n_new = 1, .kv_len = 1});
    for (; b->step.n_copies < n && 2 + *done < b->n_blocks; ++*done)
        b->copies[b->step.n_copies++] = (struct block_copy){.src = 1, .dst = 2 + *done};
    return &b->step;
}
