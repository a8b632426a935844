/* config.json, then, after a NUL byte, generation_config.json. */

#include "engine/load/model_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t config_len = cut ? (size_t)(cut - data) : size;
    const char *generation = cut ? (const char *)cut + 1 : NULL;
    static struct model_config c;
    struct error err = {0};
    const enum status s = model_config_parse((const char *)data, config_len, generation,
                                             cut ? size - config_len - 1 : 0, &c, &err);
    if (s != STATUS_OK) {
        require(err.message[0] != '\0' && err.code == s);
        return 0;
    }
    /* Buffers downstream are sized by these. */
    require(c.n_layers >= 1 && c.n_layers <= LIMIT_LAYERS);
    require(c.d_model >= 1 && c.d_model <= LIMIT_WIDTH && c.d_ffn >= 1 && c.d_ffn <= LIMIT_WIDTH);
    require(c.n_heads >= 1 && c.n_heads <= LIMIT_HEADS && c.n_heads % c.n_kv_heads == 0);
    require(c.head_dim >= 2 && c.head_dim <= LIMIT_HEAD_DIM && c.head_dim % 2 == 0);
    require(c.vocab_size >= 1 && c.vocab_size <= LIMIT_VOCAB);
    require(c.max_position >= 1 && c.max_position <= LIMIT_CONTEXT && c.sliding_window >= 0);
    require(c.n_eos_ids >= 0 && c.n_eos_ids <= LIMIT_EOS_IDS);
    require(c.rope.theta > 1.0 && c.rope.factor >= 1.0 && c.rope.original_max_position >= 1);
    require(model_n_params(&c) > 0 && model_kv_block_size(&c, 16, DT_F32) > 0);
    double inv_freq[LIMIT_HEAD_DIM / 2];
    const double scale = rope_inv_freq(&c.rope, c.max_position, inv_freq);
    require(scale > 0.0);
    for (int i = 0; i < c.head_dim / 2; i++) require(inv_freq[i] >= 0.0 && inv_freq[i] < 1e9);
    return 0;
}
