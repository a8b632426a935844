#ifndef ENGINE_LOAD_MODEL_CONFIG_H
#define ENGINE_LOAD_MODEL_CONFIG_H

/* model_config.h - config.json and generation_config.json, validated.
 *
 * Every key of config.json is either understood, known not to change the result, or refused by
 * name: nothing is ignored in silence.  Sources: Hugging Face transformers' configuration classes
 * of the four families. */

#include "config/base/status.h"
#include "config/limits.h"
#include "engine/backend.h"

#include <stdbool.h>
#include <stdint.h>

enum model_family { FAMILY_LLAMA, FAMILY_MISTRAL, FAMILY_QWEN2, FAMILY_QWEN3 };

struct model_config {
    enum model_family family;
    char architecture[64]; /* "LlamaForCausalLM" */
    int d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ffn, vocab_size;
    int max_position; /* longest context the model is made for, RoPE scaling applied */
    float norm_eps;
    bool tie_embeddings;
    bool qkv_bias, o_bias, mlp_bias, qk_norm;
    struct rope_params rope;
    int sliding_window;              /* 0 = none */
    bool layer_window[LIMIT_LAYERS]; /* which layers use it */
    enum dtype stored_dtype;         /* torch_dtype / dtype; DT_F32 when absent */
    int bos_id;                      /* -1 = none */
    int n_eos_ids;                   /* generation_config.json wins over config.json */
    int32_t eos_ids[LIMIT_EOS_IDS];

    /* generation_config.json: defaults for requests; has_* false when the file is silent. */
    struct {
        bool has_temperature, has_top_p, has_top_k, has_min_p, has_repetition_penalty,
            has_max_new_tokens;
        float temperature, top_p, min_p, repetition_penalty;
        int top_k, max_new_tokens;
    } generation;
};

/* Reads DIR/config.json and, where present, DIR/generation_config.json. */
enum status model_config_load(const char *dir, struct model_config *out, struct error *err);
/* The same from text (tests, fuzzing); `generation` may be NULL. */
enum status model_config_parse(const char *config, size_t config_len, const char *generation,
                               size_t generation_len, struct model_config *out, struct error *err);

/* Bytes of KV-cache for one block of one model. */
size_t model_kv_block_size(const struct model_config *c, int block_size, enum dtype kv_dtype);
int64_t model_n_params(const struct model_config *c);

#endif
