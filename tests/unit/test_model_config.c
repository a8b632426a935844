/* config.json and generation_config.json: published models load as they are, everything that would
 * change the result and is not implemented is refused by name, damaged text never does harm. */

#include "config/base/json.h"
#include "engine/load/model_config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- published configurations ---------------------------------------------------------------- */

/* Parameter counts are those of the checkpoints' safetensors metadata (Hugging Face's "model size"
 * in full), so that a wrong dimension shows even where the table repeats config.json. */
static const struct published {
    const char *name;
    enum model_family family;
    int d, layers, heads, kv, head_dim, max_position, window, n_eos, eos;
    int64_t n_params; /* 0: not known to the last digit */
    enum rope_type rope;
    enum dtype dtype;
    bool tied;
} published[] = {
    {"Llama-2-7b-hf", FAMILY_LLAMA, 4096, 32, 32, 32, 128, 4096, 0, 1, 2, 6738415616, ROPE_DEFAULT,
     DT_F16, false},
    {"Llama-2-70b-hf", FAMILY_LLAMA, 8192, 80, 64, 8, 128, 4096, 0, 1, 2, 68976648192, ROPE_DEFAULT,
     DT_F16, false},
    {"Meta-Llama-3-8B", FAMILY_LLAMA, 4096, 32, 32, 8, 128, 8192, 0, 1, 128001, 8030261248,
     ROPE_DEFAULT, DT_BF16, false},
    {"Llama-3.1-8B-Instruct", FAMILY_LLAMA, 4096, 32, 32, 8, 128, 131072, 0, 3, 128001, 8030261248,
     ROPE_LLAMA3, DT_BF16, false},
    {"Llama-3.2-1B", FAMILY_LLAMA, 2048, 16, 32, 8, 64, 131072, 0, 1, 128001, 1235814400,
     ROPE_LLAMA3, DT_BF16, true},
    {"Llama-3.2-3B-Instruct", FAMILY_LLAMA, 3072, 28, 24, 8, 128, 131072, 0, 3, 128001, 3212749824,
     ROPE_LLAMA3, DT_BF16, true},
    {"Llama-3.3-70B-Instruct", FAMILY_LLAMA, 8192, 80, 64, 8, 128, 131072, 0, 3, 128001,
     70553706496, ROPE_LLAMA3, DT_BF16, false},
    {"TinyLlama-1.1B-Chat-v1.0", FAMILY_LLAMA, 2048, 22, 32, 4, 64, 2048, 0, 1, 2, 1100048384,
     ROPE_DEFAULT, DT_BF16, false},
    {"SmolLM2-135M", FAMILY_LLAMA, 576, 30, 9, 3, 64, 8192, 0, 1, 0, 134515008, ROPE_DEFAULT,
     DT_BF16, true},
    {"Mistral-7B-v0.1", FAMILY_MISTRAL, 4096, 32, 32, 8, 128, 32768, 4096, 1, 2, 7241732096,
     ROPE_DEFAULT, DT_BF16, false},
    {"Mistral-7B-Instruct-v0.2", FAMILY_MISTRAL, 4096, 32, 32, 8, 128, 32768, 0, 1, 2, 7241732096,
     ROPE_DEFAULT, DT_BF16, false},
    {"Mistral-7B-v0.3", FAMILY_MISTRAL, 4096, 32, 32, 8, 128, 32768, 0, 1, 2, 7248023552,
     ROPE_DEFAULT, DT_BF16, false},
    {"Mistral-Nemo-Instruct-2407", FAMILY_MISTRAL, 5120, 40, 32, 8, 128, 1024000, 0, 1, 2,
     12247782400, ROPE_DEFAULT, DT_BF16, false},
    {"Qwen2-7B-Instruct", FAMILY_QWEN2, 3584, 28, 28, 4, 128, 32768, 0, 2, 151645, 7615616512,
     ROPE_DEFAULT, DT_BF16, false},
    {"Qwen2.5-0.5B-Instruct", FAMILY_QWEN2, 896, 24, 14, 2, 64, 32768, 0, 2, 151645, 494032768,
     ROPE_DEFAULT, DT_BF16, true},
    {"Qwen2.5-1.5B-Instruct", FAMILY_QWEN2, 1536, 28, 12, 2, 128, 32768, 0, 2, 151645, 1543714304,
     ROPE_DEFAULT, DT_BF16, true},
    {"Qwen2.5-7B-Instruct", FAMILY_QWEN2, 3584, 28, 28, 4, 128, 32768, 0, 2, 151645, 7615616512,
     ROPE_DEFAULT, DT_BF16, false},
    {"Qwen2.5-7B-Instruct with YaRN", FAMILY_QWEN2, 3584, 28, 28, 4, 128, 131072, 0, 2, 151645,
     7615616512, ROPE_YARN, DT_BF16, false},
    {"Qwen2.5-72B-Instruct", FAMILY_QWEN2, 8192, 80, 64, 8, 128, 32768, 0, 2, 151645, 72706203648,
     ROPE_DEFAULT, DT_BF16, false},
    {"Qwen2.5-1.5B saved by transformers 5", FAMILY_QWEN2, 1536, 28, 12, 2, 128, 32768, 0, 1,
     151645, 1543714304, ROPE_DEFAULT, DT_BF16, true},
    {"DeepSeek-R1-Distill-Qwen-1.5B", FAMILY_QWEN2, 1536, 28, 12, 2, 128, 131072, 0, 1, 151643,
     1777088000, ROPE_DEFAULT, DT_BF16, false},
    {"Qwen3-0.6B", FAMILY_QWEN3, 1024, 28, 16, 8, 128, 40960, 0, 2, 151645, 596049920, ROPE_DEFAULT,
     DT_BF16, true},
    {"Qwen3-8B with YaRN", FAMILY_QWEN3, 4096, 36, 32, 8, 128, 131072, 0, 1, 151645, 8190735360,
     ROPE_YARN, DT_BF16, false},
};

static cJSON *fixtures;

static int load_fixtures(void **state)
{
    struct error err;
    (void)state;
    return json_parse_file("tests/unit/model_configs.json", NULL, &fixtures, &err) == STATUS_OK
               ? 0
               : -1;
}

static int free_fixtures(void **state)
{
    (void)state;
    cJSON_Delete(fixtures);
    return 0;
}

/* The text of a fixture's part, or NULL; the caller frees it. */
static char *fixture_text(const char *name, const char *part)
{
    const cJSON *model = json_get(fixtures, name);
    const cJSON *item = model ? json_get(model, part) : NULL;
    return item ? cJSON_PrintUnformatted(item) : NULL;
}

static enum status parse_text(const char *config, const char *generation, struct model_config *out,
                              struct error *err)
{
    *err = (struct error){0};
    return model_config_parse(config, strlen(config), generation,
                              generation ? strlen(generation) : 0, out, err);
}

static void test_published(void **state)
{
    (void)state;
    assert_int_equal(cJSON_GetArraySize(fixtures), sizeof published / sizeof *published);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const struct published *p = &published[i];
        struct model_config c;
        struct error err;
        char *config = fixture_text(p->name, "config");
        char *generation = fixture_text(p->name, "generation");
        assert_non_null(config);
        if (parse_text(config, generation, &c, &err) != STATUS_OK)
            fail_msg("%s: %s", p->name, err.message);
        assert_int_equal(c.family, p->family);
        assert_int_equal(c.d_model, p->d);
        assert_int_equal(c.n_layers, p->layers);
        assert_int_equal(c.n_heads, p->heads);
        assert_int_equal(c.n_kv_heads, p->kv);
        assert_int_equal(c.head_dim, p->head_dim);
        assert_int_equal(c.max_position, p->max_position);
        assert_int_equal(c.sliding_window, p->window);
        assert_int_equal(c.layer_window[0], p->window > 0);
        assert_int_equal(c.layer_window[p->layers - 1], p->window > 0);
        assert_int_equal(c.n_eos_ids, p->n_eos);
        assert_int_equal(c.eos_ids[0], p->eos);
        assert_int_equal(c.rope.type, p->rope);
        assert_int_equal(c.rope.dim, p->head_dim);
        assert_int_equal(c.stored_dtype, p->dtype);
        assert_int_equal(c.tie_embeddings, p->tied);
        assert_int_equal(c.qkv_bias, p->family == FAMILY_QWEN2);
        assert_false(c.o_bias || c.mlp_bias);
        assert_int_equal(c.qk_norm, p->family == FAMILY_QWEN3);
        if (p->n_params && model_n_params(&c) != p->n_params)
            fail_msg("%s: %lld parameters", p->name, (long long)model_n_params(&c));
        free(config);
        free(generation);
    }
}

static void test_rope_values(void **state)
{
    struct model_config c;
    struct error err;
    (void)state;
    char *text = fixture_text("Llama-3.2-1B", "config");
    assert_int_equal(parse_text(text, NULL, &c, &err), STATUS_OK);
    assert_true(c.rope.factor == 32.0 && c.rope.low_freq_factor == 1.0 &&
                c.rope.high_freq_factor == 4.0 && c.rope.theta == 500000.0);
    assert_int_equal(c.rope.original_max_position, 8192);
    free(text);

    text = fixture_text("Qwen2.5-7B-Instruct with YaRN", "config");
    assert_int_equal(parse_text(text, NULL, &c, &err), STATUS_OK);
    assert_true(c.rope.theta == 1e6 && c.rope.beta_fast == 32.0 && c.rope.beta_slow == 1.0);
    assert_true(c.rope.truncate);
    assert_true(fabs(c.rope.attention_factor - 1.1386294361119891) < 1e-12); /* 0.1 ln 4 + 1 */
    free(text);

    text = fixture_text("Llama-2-7b-hf", "config");
    assert_int_equal(parse_text(text, NULL, &c, &err), STATUS_OK);
    assert_true(c.rope.theta == 10000.0); /* the file does not say */
    free(text);
}

static void test_generation(void **state)
{
    struct model_config c;
    struct error err;
    (void)state;
    char *config = fixture_text("Qwen2.5-7B-Instruct", "config");
    char *generation = fixture_text("Qwen2.5-7B-Instruct", "generation");
    assert_int_equal(parse_text(config, generation, &c, &err), STATUS_OK);
    assert_true(c.generation.has_temperature && c.generation.temperature == 0.7f);
    assert_true(c.generation.has_top_p && c.generation.top_p == 0.8f);
    assert_true(c.generation.has_top_k && c.generation.top_k == 20);
    assert_true(c.generation.has_repetition_penalty && c.generation.repetition_penalty == 1.05f);
    assert_false(c.generation.has_min_p || c.generation.has_max_new_tokens);
    assert_int_equal(c.n_eos_ids, 2); /* config.json has one: the generation file wins */
    assert_int_equal(c.eos_ids[1], 151643);
    assert_int_equal(c.bos_id, 151643);

    assert_int_equal(parse_text(config, "{\"do_sample\": false, \"eos_token_id\": 7}", &c, &err),
                     STATUS_OK);
    assert_true(c.n_eos_ids == 1 && c.eos_ids[0] == 7);
    assert_int_equal(parse_text(config, "{\"eos_token_id\": 200000}", &c, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "generation_config.json: eos_token_id"));
    assert_int_equal(parse_text(config, "{\"temperature\": \"hot\"}", &c, &err), STATUS_CORRUPT);
    assert_int_equal(parse_text(config, "[]", &c, &err), STATUS_CORRUPT);
    free(config);
    free(generation);
}

/* --- what is refused, and what is not -------------------------------------------------------- */

#define SHAPE                                                                    \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 4, " \
    "\"num_attention_heads\": 4, \"vocab_size\": 100, \"max_position_embeddings\": 128"
#define LLAMA(more)   "{\"architectures\": [\"LlamaForCausalLM\"], " SHAPE more "}"
#define MISTRAL(more) "{\"architectures\": [\"MistralForCausalLM\"], " SHAPE more "}"
#define QWEN2(more)   "{\"architectures\": [\"Qwen2ForCausalLM\"], " SHAPE more "}"
#define QWEN3(more)   "{\"architectures\": [\"Qwen3ForCausalLM\"], " SHAPE more "}"
#define KV            ", \"num_key_value_heads\": 2"

static const struct refusal {
    const char *config;
    const char *named; /* must stand in the message */
} refusals[] = {
    {"", "config.json"},
    {"[]", "an object is wanted"},
    {"{}", "architectures"},
    {"{\"architectures\": [\"MixtralForCausalLM\"]}", "MixtralForCausalLM"},
    {"{\"architectures\": []}", "architectures"},
    {"{\"model_type\": \"gemma2\"}", "gemma2"},
    {"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"mistral\", " SHAPE "}",
     "model_type"},
    {"{\"architectures\": [\"LlamaForCausalLM\"]}", "hidden_size: the key is missing"},
    {LLAMA(", \"xyz_gate\": 3"), "\"xyz_gate\" is not known"},
    {LLAMA(", \"hidden_act\": \"gelu\""), "gelu"},
    {LLAMA(", \"quantization_config\": {\"quant_method\": \"gptq\"}"), "quantization_config"},
    {LLAMA(", \"partial_rotary_factor\": 0.5"), "partial_rotary_factor"},
    {LLAMA(", \"attn_logit_softcapping\": 50.0"), "attn_logit_softcapping"},
    {LLAMA(", \"final_logit_softcapping\": 30.0"), "final_logit_softcapping"},
    {LLAMA(", \"num_local_experts\": 8"), "num_local_experts"},
    {LLAMA(", \"num_experts\": 64"), "num_experts"},
    {LLAMA(", \"embedding_multiplier\": 12.0"), "embedding_multiplier"},
    {LLAMA(", \"sliding_window\": 4096"), "sliding_window"},
    {LLAMA(", \"use_sliding_window\": true"), "use_sliding_window"},
    {LLAMA(", \"suppress_tokens\": [3]"), "suppress_tokens"},
    {LLAMA(", \"torch_dtype\": \"float64\""), "float64"},
    {LLAMA(", \"torch_dtype\": \"float16\", \"dtype\": \"float32\""), "disagree"},
    {LLAMA(", \"num_key_value_heads\": 3"), "num_key_value_heads"},
    {LLAMA(", \"head_dim\": 17"), "head_dim"},
    {LLAMA(", \"head_dim\": 1024"), "head_dim"},
    {LLAMA(", \"rms_norm_eps\": -1"), "rms_norm_eps"},
    {LLAMA(", \"rope_theta\": 0"), "rope_theta"},
    {LLAMA(", \"tie_word_embeddings\": 1"), "tie_word_embeddings"},
    {LLAMA(", \"eos_token_id\": 100"), "eos_token_id"},
    {LLAMA(", \"eos_token_id\": [1, \"2\"]"), "eos_token_id"},
    {LLAMA(", \"eos_token_id\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), "eos_token_id"},
    {LLAMA(", \"layer_types\": [\"full_attention\"]"), "layer_types"},
    {LLAMA(", \"layer_types\": [\"full_attention\", \"full_attention\", \"linear_attention\", "
           "\"full_attention\"]"),
     "linear_attention"},
    {LLAMA(", \"layer_types\": [\"full_attention\", \"full_attention\", \"sliding_attention\", "
           "\"full_attention\"]"),
     "layer_types"},
    {MISTRAL(KV ", \"attention_bias\": true"), "attention_bias"},
    {MISTRAL(KV ", \"sliding_window\": 64, \"use_sliding_window\": false"), "use_sliding_window"},
    {MISTRAL(KV ", \"sliding_window\": 0"), "sliding_window"},
    {QWEN2(KV ", \"mlp_bias\": true"), "mlp_bias"},
    {QWEN2(KV ", \"use_mrope\": true"), "use_mrope"},
    {QWEN2(""), "num_key_value_heads"}, /* 32 when missing, which is more than 4 heads */
    {QWEN3(KV ", \"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", "
              "\"sliding_attention\"]"),
     "layer_types"}, /* with no window switched on */
    {LLAMA(", \"rope_scaling\": {\"type\": \"longrope\", \"factor\": 4}"), "longrope"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"linear\"}"), "factor"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}"), "factor"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 1e6}"), "factor"}, /* > 2^24 */
    {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"beta_fast\": 3}"),
     "beta_fast"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"rope_type\": \"yarn\"}"),
     "disagree"},
    {LLAMA(", \"rope_scaling\": {\"rope_type\": \"default\", \"factor\": 2}"), "factor"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2, \"alpha\": 1000}"), "alpha"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2, "
           "\"original_max_position_embeddings\": 64}"),
     "original_max_position_embeddings"},
    {LLAMA(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}"), "high_freq_factor"},
    {LLAMA(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
           "\"low_freq_factor\": 4, \"high_freq_factor\": 4}"),
     "high_freq_factor"},
    {LLAMA(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"beta_fast\": 1, "
           "\"beta_slow\": 2}"),
     "beta_fast"},
    {LLAMA(", \"rope_scaling\": [1]"), "rope_scaling"},
    {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
           "\"rope_parameters\": {\"rope_type\": \"default\"}"),
     "rope_parameters"},
    {LLAMA(", \"rope_theta\": 5000, \"rope_parameters\": {\"rope_theta\": 10000}"), "rope_theta"},
    {LLAMA(", \"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}"),
     "full_attention"},
    {LLAMA(", \"rope_parameters\": {\"partial_rotary_factor\": 0.25}"), "partial_rotary_factor"},
    {"{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 65, \"intermediate_size\": 96, "
     "\"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"vocab_size\": 100}",
     "hidden_size"},
    {"{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 1e30, \"intermediate_size\": "
     "96, \"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"vocab_size\": 100}",
     "hidden_size"},
    {"{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 64, \"intermediate_size\": 96, "
     "\"num_hidden_layers\": 2000, \"num_attention_heads\": 4, \"vocab_size\": 100}",
     "num_hidden_layers"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct model_config c;
        struct error err;
        const enum status s = parse_text(refusals[i].config, NULL, &c, &err);
        if (s == STATUS_OK) fail_msg("accepted: %s", refusals[i].config);
        assert_int_equal(err.code, s);
        if (!strstr(err.message, refusals[i].named))
            fail_msg("\"%s\" does not name %s", err.message, refusals[i].named);
    }
}

static void test_neutral(void **state)
{
    static const char *const accepted[] = {
        LLAMA(", \"attn_logit_softcapping\": null, \"num_experts\": 0, \"logit_scale\": 1.0"),
        LLAMA(", \"partial_rotary_factor\": 1.0, \"quantization_config\": null"),
        LLAMA(", \"some_future_key\": null"),
        LLAMA(", \"pretraining_tp\": 2, \"auto_map\": {}, \"sliding_window\": null"),
        LLAMA(", \"rope_scaling\": {\"rope_type\": \"default\", \"factor\": 1.0}"),
        LLAMA(", \"hidden_act\": \"swish\", \"head_dim\": null, \"torch_dtype\": null"),
        MISTRAL(KV ", \"attention_bias\": false, \"mlp_bias\": false"),
        QWEN2(", \"num_key_value_heads\": null, \"attention_bias\": true"),
        "{\"model_type\": \"llama\", " SHAPE "}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        struct model_config c;
        struct error err;
        if (parse_text(accepted[i], NULL, &c, &err) != STATUS_OK)
            fail_msg("%s: %s", accepted[i], err.message);
    }
}

static void test_defaults(void **state)
{
    struct model_config c;
    struct error err;
    (void)state;
    assert_int_equal(parse_text(LLAMA(""), NULL, &c, &err), STATUS_OK);
    assert_true(c.n_kv_heads == 4 && c.head_dim == 16 && c.stored_dtype == DT_F32);
    assert_true(c.bos_id == 1 && c.n_eos_ids == 1 && c.eos_ids[0] == 2);
    assert_int_equal(
        parse_text(LLAMA(", \"eos_token_id\": null, \"bos_token_id\": null"), NULL, &c, &err),
        STATUS_OK);
    assert_true(c.bos_id == -1 && c.n_eos_ids == 0);
    assert_int_equal(
        parse_text(LLAMA(", \"attention_bias\": true, \"mlp_bias\": true"), NULL, &c, &err),
        STATUS_OK);
    assert_true(c.qkv_bias && c.o_bias && c.mlp_bias);
    assert_int_equal(parse_text(QWEN3(KV), NULL, &c, &err), STATUS_OK);
    assert_true(c.head_dim == 128 && c.qk_norm && !c.qkv_bias && c.bos_id == -1);
    /* transformers' default, with which a Mistral config without the key was saved */
    assert_int_equal(parse_text(MISTRAL(KV), NULL, &c, &err), STATUS_OK);
    assert_int_equal(c.sliding_window, 4096);
    assert_int_equal(model_kv_block_size(&c, 16, DT_BF16), 2 * 4 * 2 * 16 * 16 * 2);
}

static void test_windows(void **state)
{
    struct model_config c;
    struct error err;
    (void)state;
    assert_int_equal(parse_text(QWEN2(KV ", \"use_sliding_window\": true, \"sliding_window\": 32, "
                                         "\"max_window_layers\": 3"),
                                NULL, &c, &err),
                     STATUS_OK);
    assert_int_equal(c.sliding_window, 32);
    assert_true(!c.layer_window[0] && !c.layer_window[2] && c.layer_window[3]);
    /* layer_types decides */
    assert_int_equal(
        parse_text(QWEN3(KV ", \"use_sliding_window\": true, \"sliding_window\": 32, "
                            "\"max_window_layers\": 4, \"layer_types\": [\"full_attention\", "
                            "\"sliding_attention\", \"full_attention\", \"full_attention\"]"),
                   NULL, &c, &err),
        STATUS_OK);
    assert_true(c.sliding_window == 32 && c.layer_window[1] && !c.layer_window[3]);
    /* no layer is left for the window */
    assert_int_equal(parse_text(QWEN2(KV ", \"use_sliding_window\": true, \"sliding_window\": 32"),
                                NULL, &c, &err),
                     STATUS_OK);
    assert_int_equal(c.sliding_window, 0);
    assert_int_equal(parse_text(MISTRAL(KV ", \"sliding_window\": 8"), NULL, &c, &err), STATUS_OK);
    assert_true(c.sliding_window == 8 && c.layer_window[0] && c.layer_window[3]);
}

static void test_max_position(void **state)
{
    static const struct {
        const char *config;
        int longest;
    } cases[] = {
        {LLAMA(""), 128},
        {LLAMA(", \"max_sequence_length\": 64"), 64},
        {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}"), 320},
        {LLAMA(", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}"), 512},
        {LLAMA(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
               "\"low_freq_factor\": 1, \"high_freq_factor\": 4, "
               "\"original_max_position_embeddings\": 16}"),
         128},
        {LLAMA(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8, "
               "\"original_max_position_embeddings\": 32}"),
         256},
        {LLAMA(", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 8, "
               "\"rope_theta\": 500.0}"),
         1024},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct error err;
        if (parse_text(cases[i].config, NULL, &c, &err) != STATUS_OK) fail_msg("%s", err.message);
        assert_int_equal(c.max_position, cases[i].longest);
    }
}

static void test_yarn_attention_factor(void **state)
{
    struct model_config c;
    struct error err;
    (void)state;
    assert_int_equal(
        parse_text(LLAMA(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, "
                         "\"mscale\": 0.5, \"mscale_all_dim\": 2, "
                         "\"truncate\": false}"),
                   NULL, &c, &err),
        STATUS_OK);
    assert_true(fabs(c.rope.attention_factor - (0.05 * log(4) + 1) / (0.2 * log(4) + 1)) < 1e-12);
    assert_false(c.rope.truncate);
    assert_int_equal(
        parse_text(LLAMA(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, "
                         "\"attention_factor\": 1.5}"),
                   NULL, &c, &err),
        STATUS_OK);
    assert_true(c.rope.attention_factor == 1.5);
}

/* --- damage ---------------------------------------------------------------------------------- */

/* Whatever was accepted must be usable: everything downstream sizes its buffers by it. */
static void check_sane(const struct model_config *c)
{
    assert_in_range(c->n_layers, 1, LIMIT_LAYERS);
    assert_in_range(c->d_model, 1, LIMIT_WIDTH);
    assert_in_range(c->d_ffn, 1, LIMIT_WIDTH);
    assert_in_range(c->n_heads, 1, LIMIT_HEADS);
    assert_in_range(c->head_dim, 2, LIMIT_HEAD_DIM);
    assert_in_range(c->vocab_size, 1, LIMIT_VOCAB);
    assert_in_range(c->max_position, 1, LIMIT_CONTEXT);
    assert_in_range(c->n_eos_ids, 0, LIMIT_EOS_IDS);
    assert_int_equal(c->n_heads % c->n_kv_heads, 0);
    assert_int_equal(c->head_dim % 2, 0);
    assert_true(c->rope.theta > 1.0 && c->rope.factor >= 1.0 && c->norm_eps > 0.0f);
    assert_true(c->sliding_window >= 0 && model_n_params(c) > 0);
    for (int i = 0; i < c->n_eos_ids; i++) assert_in_range(c->eos_ids[i], 0, c->vocab_size - 1);
}

static void parse_damaged(const char *text, size_t len)
{
    struct model_config c;
    struct error err = {0};
    /* An exact copy, so that the sanitizer sees a read behind it. */
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    const enum status s = model_config_parse(copy, len, NULL, 0, &c, &err);
    if (s == STATUS_OK)
        check_sane(&c);
    else
        assert_true(err.message[0] != '\0' && err.code == s);
    free(copy);
}

static void test_damage(void **state)
{
    static const char *const names[] = {"Llama-3.1-8B-Instruct", "Qwen3-8B with YaRN",
                                        "Mistral-7B-v0.1", "Qwen2.5-1.5B saved by transformers 5"};
    static const char junk[] = {0, '"', '{', '}', '[', ',', '-', '9', 'e', '.', (char)0xff, ' '};
    (void)state;
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        char *text = fixture_text(names[m], "config");
        const size_t len = strlen(text);
        for (size_t at = 0; at < len; at++) {
            const char kept = text[at];
            parse_damaged(text, at);
            for (size_t k = 0; k < sizeof junk; k++) {
                text[at] = junk[k];
                parse_damaged(text, len);
            }
            text[at] = (char)(kept ^ 1);
            parse_damaged(text, len);
            text[at] = kept;
        }
        free(text);
    }
}

static void test_files(void **state)
{
    struct model_config c;
    struct error err = {0};
    (void)state;
    assert_int_equal(model_config_load("tests/golden/models/qwen3_qk_norm", &c, &err), STATUS_OK);
    assert_true(c.qk_norm && c.head_dim == 24);
    assert_int_equal(model_config_load("tests/golden/no_such_model", &c, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "no_such_model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_rope_values),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_neutral),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_max_position),
        cmocka_unit_test(test_yarn_attention_factor),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, load_fixtures, free_fixtures);
}
