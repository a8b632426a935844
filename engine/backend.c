/* What holds for every backend. */
#include "engine/backend.h"

#include "config/limits.h"

static enum status check_heads(const struct backend_limits *l, const struct rope_params *rope,
                               struct error *err)
{
    if (l->head_dim < 1 || l->head_dim > LIMIT_HEAD_DIM)
        return error_set(err, STATUS_UNSUPPORTED, "a head of %d is not supported: 1 to %d",
                         l->head_dim, LIMIT_HEAD_DIM);
    if (l->n_kv_heads < 1 || l->n_heads < 1 || l->n_heads > LIMIT_HEADS ||
        l->n_heads % l->n_kv_heads != 0)
        return error_set(err, STATUS_UNSUPPORTED, "%d heads cannot share %d key/value heads",
                         l->n_heads, l->n_kv_heads);
    if (rope && (rope->dim != l->head_dim || rope->dim % 2 != 0))
        return error_set(err, STATUS_UNSUPPORTED,
                         "rotary embedding of %d in heads of %d is not supported: the two must be "
                         "equal and even",
                         rope->dim, l->head_dim);
    return STATUS_OK;
}

enum status backend_limits_check(const struct backend_limits *l, const struct rope_params *rope,
                                 struct error *err)
{
    if (l->max_tokens < 1 || l->max_seqs < 1 || l->max_samples < 1 || l->max_blocks_per_seq < 1 ||
        l->n_blocks < 1 || l->n_layers < 1 || l->max_cols < 1 || l->vocab_size < 1)
        return error_set(err, STATUS_INVALID, "every limit of a backend must be at least 1");
    if (l->block_size < BLOCK_SIZE_STEP || l->block_size % BLOCK_SIZE_STEP != 0 ||
        l->block_size > BLOCK_SIZE_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "block size %d is not supported: use a multiple of %d up to %d",
                         l->block_size, BLOCK_SIZE_STEP, BLOCK_SIZE_MAX);
    if (l->kv_dtype != DT_F32 && l->kv_dtype != DT_BF16 && l->kv_dtype != DT_I8)
        return error_set(err, STATUS_UNSUPPORTED,
                         "a KV cache in %s is not supported: use float32, bfloat16 or int8",
                         dtype_name(l->kv_dtype));
    return check_heads(l, rope, err);
}
