/* config_keys.c - every key that config.json may hold.
 *
 * A key is read (by model_config.c or config_rope.c), or cannot change what a loaded model
 * computes, or may only have the one value that means "as if it were absent".  Anything else is
 * refused by name: a model must never be served with a part of its definition left out.
 *
 * Sources: transformers' PreTrainedConfig and the four families' configuration classes; the
 * published configurations of their checkpoints. */

#include "config/base/check.h"
#include "engine/load/config_read.h"

#include <string.h>

enum rule {
    READ,     /* by the families in `readers`; elsewhere `otherwise` applies */
    HARMLESS, /* does not change the logits */
    IF_NULL,
    IF_FALSE, /* or null, or 0 */
    IF_ONE,
    IF_EMPTY, /* or null: [], {}, "" */
};

#define IN_LLAMA   (1u << FAMILY_LLAMA)
#define IN_MISTRAL (1u << FAMILY_MISTRAL)
#define IN_QWEN2   (1u << FAMILY_QWEN2)
#define IN_QWEN3   (1u << FAMILY_QWEN3)
#define IN_ALL     (IN_LLAMA | IN_MISTRAL | IN_QWEN2 | IN_QWEN3)

struct config_key {
    const char *name;
    enum rule rule;
    unsigned readers;
    enum rule otherwise;
    const char *hint; /* what the key would ask for */
};

#define READ_BY_ALL(name)              \
    {                                  \
        name, READ, IN_ALL, READ, NULL \
    }
#define HARMLESS_KEY(name)                \
    {                                     \
        name, HARMLESS, 0, HARMLESS, NULL \
    }
#define ONLY(name, rule, hint)    \
    {                             \
        name, rule, 0, rule, hint \
    }

static const struct config_key key_table[] = {
    /* --- read --- */
    READ_BY_ALL("architectures"),
    READ_BY_ALL("model_type"),
    READ_BY_ALL("hidden_size"),
    READ_BY_ALL("intermediate_size"),
    READ_BY_ALL("num_hidden_layers"),
    READ_BY_ALL("num_attention_heads"),
    READ_BY_ALL("num_key_value_heads"),
    READ_BY_ALL("head_dim"),
    READ_BY_ALL("vocab_size"),
    READ_BY_ALL("max_position_embeddings"),
    READ_BY_ALL("max_sequence_length"),
    READ_BY_ALL("rms_norm_eps"),
    READ_BY_ALL("hidden_act"),
    READ_BY_ALL("tie_word_embeddings"),
    READ_BY_ALL("rope_theta"),
    READ_BY_ALL("rope_scaling"),
    READ_BY_ALL("rope_parameters"),
    READ_BY_ALL("torch_dtype"),
    READ_BY_ALL("dtype"),
    READ_BY_ALL("bos_token_id"),
    READ_BY_ALL("eos_token_id"),
    READ_BY_ALL("layer_types"),
    /* Qwen2 has its biases whatever it says, as in transformers; the tensors must agree. */
    {"attention_bias", READ, IN_LLAMA | IN_QWEN2 | IN_QWEN3, IF_FALSE,
     "biases of the attention's linears"},
    {"mlp_bias", READ, IN_LLAMA, IF_FALSE, "biases of the MLP's linears"},
    {"sliding_window", READ, IN_MISTRAL | IN_QWEN2 | IN_QWEN3, IF_NULL, "a sliding window"},
    {"use_sliding_window", READ, IN_MISTRAL | IN_QWEN2 | IN_QWEN3, IF_FALSE, "a sliding window"},
    /* Where no layer has a window it says nothing. */
    {"max_window_layers", READ, IN_QWEN2 | IN_QWEN3, HARMLESS, NULL},

    /* --- provenance, training, and how transformers itself runs the model --- */
    HARMLESS_KEY("_name_or_path"),
    HARMLESS_KEY("_commit_hash"),
    HARMLESS_KEY("transformers_version"),
    HARMLESS_KEY("transformers.js_config"),
    HARMLESS_KEY("auto_map"), /* the model's own code, never run here */
    HARMLESS_KEY("unsloth_fixed"),
    HARMLESS_KEY("unsloth_version"),
    HARMLESS_KEY("is_llama_config"),
    HARMLESS_KEY("use_cache"),
    HARMLESS_KEY("initializer_range"),
    HARMLESS_KEY("attention_dropout"),
    HARMLESS_KEY("hidden_dropout"),
    HARMLESS_KEY("embd_pdrop"),
    HARMLESS_KEY("resid_pdrop"),
    HARMLESS_KEY("gradient_checkpointing"),
    HARMLESS_KEY("keys_to_ignore_at_inference"),
    HARMLESS_KEY("_attn_implementation"),
    HARMLESS_KEY("attn_implementation"),
    HARMLESS_KEY("_attn_implementation_autoset"),
    HARMLESS_KEY("_flash_attn_2_enabled"),
    HARMLESS_KEY("pretraining_tp"), /* splits sums, which changes rounding only */
    HARMLESS_KEY("output_attentions"),
    HARMLESS_KEY("output_hidden_states"),
    HARMLESS_KEY("return_dict"),
    HARMLESS_KEY("return_dict_in_generate"),
    HARMLESS_KEY("torchscript"),
    HARMLESS_KEY("use_bfloat16"),
    HARMLESS_KEY("chunk_size_feed_forward"),
    HARMLESS_KEY("is_decoder"),
    HARMLESS_KEY("finetuning_task"),
    HARMLESS_KEY("id2label"),
    HARMLESS_KEY("label2id"),
    HARMLESS_KEY("num_labels"),
    HARMLESS_KEY("problem_type"),
    HARMLESS_KEY("task_specific_params"),

    /* --- the tokenizer's ids --- */
    HARMLESS_KEY("tokenizer_class"),
    HARMLESS_KEY("pad_token_id"),
    HARMLESS_KEY("unk_token_id"),
    HARMLESS_KEY("sep_token_id"),
    HARMLESS_KEY("cls_token_id"),
    HARMLESS_KEY("mask_token_id"),
    HARMLESS_KEY("decoder_start_token_id"),
    HARMLESS_KEY("prefix"),

    /* --- generation defaults that old versions wrote here: requests have their own, and what a
     *     model wants stands in generation_config.json --- */
    HARMLESS_KEY("do_sample"),
    HARMLESS_KEY("temperature"),
    HARMLESS_KEY("top_k"),
    HARMLESS_KEY("top_p"),
    HARMLESS_KEY("typical_p"),
    HARMLESS_KEY("max_length"),
    HARMLESS_KEY("min_length"),
    HARMLESS_KEY("max_new_tokens"),
    HARMLESS_KEY("num_beams"),
    HARMLESS_KEY("num_beam_groups"),
    HARMLESS_KEY("num_return_sequences"),
    HARMLESS_KEY("diversity_penalty"),
    HARMLESS_KEY("early_stopping"),
    HARMLESS_KEY("length_penalty"),
    HARMLESS_KEY("repetition_penalty"),
    HARMLESS_KEY("exponential_decay_length_penalty"),
    HARMLESS_KEY("remove_invalid_values"),
    HARMLESS_KEY("output_scores"),
    ONLY("no_repeat_ngram_size", IF_FALSE, "a ban of repeated n-grams"),
    ONLY("encoder_no_repeat_ngram_size", IF_FALSE, "a ban of repeated n-grams"),
    ONLY("bad_words_ids", IF_EMPTY, "banned words"),
    ONLY("suppress_tokens", IF_EMPTY, "banned tokens"),
    ONLY("begin_suppress_tokens", IF_EMPTY, "banned tokens"),
    ONLY("forced_bos_token_id", IF_NULL, "a forced first token"),
    ONLY("forced_eos_token_id", IF_NULL, "a forced last token"),

    /* --- other models' features: fine when switched off --- */
    ONLY("quantization_config", IF_EMPTY,
         "an already quantised checkpoint: use the unquantised one, with --quantization int8, "
         "int8-w8a16 or int4"),
    ONLY("compression_config", IF_EMPTY, "a compressed checkpoint: use the original one"),
    ONLY("partial_rotary_factor", IF_ONE, "rotary embedding of a part of each head"),
    ONLY("rope_interleaved", IF_FALSE, "interleaved rotary pairs"),
    ONLY("rope_traditional", IF_FALSE, "interleaved rotary pairs"),
    ONLY("use_mrope", IF_FALSE, "multimodal rotary embedding"),
    ONLY("bias", IF_FALSE, "biases of the linears"),
    ONLY("lm_head_bias", IF_FALSE, "a bias of the output layer"),
    ONLY("use_qk_norm", IF_FALSE, "normalised queries and keys"),
    ONLY("qk_layernorm", IF_FALSE, "normalised queries and keys"),
    ONLY("attn_logit_softcapping", IF_FALSE, "capped attention logits"),
    ONLY("final_logit_softcapping", IF_FALSE, "capped logits"),
    ONLY("logit_scale", IF_ONE, "scaled logits"),
    ONLY("logits_scaling", IF_ONE, "scaled logits"),
    ONLY("embedding_multiplier", IF_ONE, "scaled embeddings"),
    ONLY("residual_multiplier", IF_ONE, "scaled residuals"),
    ONLY("num_experts", IF_FALSE, "a mixture of experts"),
    ONLY("num_local_experts", IF_FALSE, "a mixture of experts"),
    ONLY("is_encoder_decoder", IF_FALSE, "an encoder"),
    ONLY("add_cross_attention", IF_FALSE, "cross attention"),
    ONLY("cross_attention_hidden_size", IF_NULL, "cross attention"),
    ONLY("tie_encoder_decoder", IF_FALSE, "an encoder"),
    ONLY("pruned_heads", IF_EMPTY, "pruned heads"),
};

static const struct config_key *find_key(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(key_table); i++) {
        if (strcmp(key_table[i].name, name) == 0) return &key_table[i];
    }
    return NULL;
}

static bool is_number(const cJSON *item, double value)
{
    return cJSON_IsNumber(item) && item->valuedouble == value;
}

static bool is_neutral(const cJSON *item, enum rule rule)
{
    if (cJSON_IsNull(item)) return true;
    switch (rule) {
    case READ:
    case HARMLESS:
        return true;
    case IF_NULL:
        return false;
    case IF_FALSE:
        return cJSON_IsFalse(item) || is_number(item, 0.0);
    case IF_ONE:
        return is_number(item, 1.0);
    case IF_EMPTY:
        return (cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child;
    }
    return false;
}

enum status config_keys_check(const cJSON *root, enum model_family family, struct error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, root)
    {
        const struct config_key *key = find_key(item->string);
        if (cJSON_IsNull(item)) continue; /* as absent, whatever it is */
        if (!key)
            return error_set_param(err, STATUS_UNSUPPORTED, item->string,
                                   "config.json: the key \"%.100s\" is not known: it may change "
                                   "what the model computes, so the model is refused; remove the "
                                   "key if it does not matter",
                                   item->string);
        if (key->rule == READ && (key->readers & (1u << family))) continue;
        if (!is_neutral(item, key->rule == READ ? key->otherwise : key->rule))
            return error_set_param(err, STATUS_UNSUPPORTED, item->string,
                                   "config.json: %s asks for %s, which is not supported for this "
                                   "model",
                                   item->string, key->hint ? key->hint : "another model");
    }
    return STATUS_OK;
}
