#include "server/api_fields.h"
#include "config/base/check.h"

#include <string.h>

#define AT(member) offsetof(struct api_params, member)
#define BOOL(name, member)                               \
    {                                                    \
        name, F_BOOL, AT(member), 0, 0, NULL, NULL, NULL \
    }
#define I32(name, member, lo, hi)                         \
    {                                                     \
        name, F_I32, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define I64(name, member, lo, hi)                         \
    {                                                     \
        name, F_I64, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define FLOAT(name, member, lo, hi)                         \
    {                                                       \
        name, F_FLOAT, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define STRING(name, member, lo, hi)                         \
    {                                                        \
        name, F_STRING, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define CUSTOM(name, fn)                        \
    {                                           \
        name, F_CUSTOM, 0, 0, 0, fn, NULL, NULL \
    }
#define IGNORED(name, neutral, type)                  \
    {                                                 \
        name, F_IGNORED, 0, 0, 0, NULL, neutral, type \
    }
#define REFUSED(name, neutral, advice)                  \
    {                                                   \
        name, F_REFUSED, 0, 0, 0, NULL, neutral, advice \
    }
/* "" would break the sentence that names a field; an advice of its own may say more. */
#define NOT_YET "this server does not offer it; leave it out"

/* --- values that ask for nothing ------------------------------------------------------------- */

static bool is_empty(const cJSON *v)
{
    if (cJSON_IsString(v)) return v->valuestring[0] == '\0';
    return (cJSON_IsArray(v) || cJSON_IsObject(v)) && !v->child;
}

static bool is_false(const cJSON *v)
{
    return cJSON_IsFalse(v);
}

static bool is_true(const cJSON *v)
{
    return cJSON_IsTrue(v);
}

static bool is_one(const cJSON *v)
{
    return cJSON_IsNumber(v) && v->valuedouble == 1.0;
}

static bool is_bool(const cJSON *v)
{
    return cJSON_IsBool(v);
}

static bool is_string(const cJSON *v)
{
    return cJSON_IsString(v);
}

static bool is_object(const cJSON *v)
{
    return cJSON_IsObject(v);
}

static bool never(const cJSON *v)
{
    (void)v;
    return false;
}

bool field_string_is(const cJSON *v, const char *text)
{
    return cJSON_IsString(v) && strcmp(v->valuestring, text) == 0;
}

/* Without tools "auto" cannot call one either. */
static bool is_no_tool_choice(const cJSON *v)
{
    return field_string_is(v, "none") || field_string_is(v, "auto");
}

static bool is_text_format(const cJSON *v)
{
    return cJSON_IsObject(v) && field_string_is(json_get(v, "type"), "text") && !v->child->next;
}

static bool is_text_modality(const cJSON *v)
{
    return cJSON_IsArray(v) &&
           (!v->child || (field_string_is(v->child, "text") && !v->child->next));
}

static bool is_medium(const cJSON *v)
{
    return field_string_is(v, "medium");
}

/* Stored completions do not exist here: true would promise one. */
static bool is_known_tier(const cJSON *v)
{
    return field_string_is(v, "auto") || field_string_is(v, "default");
}
/* --- the tables ------------------------------------------------------------------------------ */

/* Completions and chat. */
static const struct field generate_fields[] = {
    /* clang-format off */
    /* OpenAI */
    STRING("model", model, 1, 512),
    CUSTOM("temperature", field_temperature),
    CUSTOM("top_p", field_top_p),
    CUSTOM("n", field_n),
    CUSTOM("stop", field_stop),
    CUSTOM("seed", field_seed),
    FLOAT("frequency_penalty", sampling.frequency_penalty, -2, 2),
    FLOAT("presence_penalty", sampling.presence_penalty, -2, 2),
    CUSTOM("logit_bias", field_bias),
    BOOL("stream", stream),
    CUSTOM("stream_options", field_stream_options),
    IGNORED("user", is_string, "a string"),
    IGNORED("safety_identifier", is_string, "a string"),
    IGNORED("prompt_cache_key", is_string, "a string"),
    IGNORED("prompt_cache_retention", is_string, "a string"),
    IGNORED("prompt_cache_options", is_object, "an object"),
    IGNORED("metadata", is_object, "an object"),
    REFUSED("store", is_false, "answers are not stored; leave it out"),
    REFUSED("service_tier", is_known_tier, "only \"auto\" and \"default\" are offered"),
    REFUSED("moderation", never, NOT_YET),
    /* vLLM: sampling */
    I32("top_k", sampling.top_k, -1, INT32_MAX),
    FLOAT("min_p", sampling.min_p, 0, 1),
    FLOAT("repetition_penalty", sampling.repetition_penalty, 1e-3, 1e3),
    I32("min_tokens", sampling.min_tokens, 0, INT32_MAX),
    BOOL("ignore_eos", sampling.ignore_eos),
    CUSTOM("stop_token_ids", field_stop_ids),
    BOOL("include_stop_str_in_output", include_stop),
    BOOL("skip_special_tokens", skip_special_tokens),
    CUSTOM("truncate_prompt_tokens", field_truncate),
    CUSTOM("truncation_side", field_truncation_side),
    CUSTOM("prompt_logprobs", field_prompt_logprobs),
    BOOL("add_special_tokens", add_special_tokens),
    BOOL("return_token_ids", return_token_ids),
    BOOL("return_tokens_as_token_ids", tokens_as_ids),
    CUSTOM("priority", field_priority),
    CUSTOM("request_id", field_request_id),
    STRING("cache_salt", cache_salt, 1, LIMIT_CACHE_SALT),
    IGNORED("session_id", is_string, "a string"),
    /* vLLM: not offered */
    REFUSED("use_beam_search", is_false, NOT_YET),
    REFUSED("early_stopping", is_false, NOT_YET),
    REFUSED("length_penalty", is_one, NOT_YET),
    REFUSED("spaces_between_special_tokens", is_true, NOT_YET),
    REFUSED("stream_interval", is_one, "every token has an event of its own"),
    REFUSED("allowed_token_ids", is_empty, "use 'logit_bias' with -100 for the others"),
    REFUSED("bad_words", is_empty, NOT_YET),
    REFUSED("logprob_token_ids", is_empty, NOT_YET),
    REFUSED("logits_processors", is_empty, NOT_YET),
    REFUSED("response_format", is_text_format, "only {\"type\": \"text\"} is offered"),
    REFUSED("structured_outputs", is_empty, NOT_YET),
    REFUSED("guided_json", never, NOT_YET),
    REFUSED("guided_regex", is_empty, NOT_YET),
    REFUSED("guided_choice", is_empty, NOT_YET),
    REFUSED("guided_grammar", is_empty, NOT_YET),
    REFUSED("guided_decoding_backend", is_empty, NOT_YET),
    REFUSED("guided_whitespace_pattern", never, NOT_YET),
    REFUSED("structural_tag", is_empty, NOT_YET),
    REFUSED("repetition_detection", is_empty, NOT_YET),
    REFUSED("thinking_token_budget", never, NOT_YET),
    REFUSED("return_prompt_text", is_false, NOT_YET),
    REFUSED("kv_transfer_params", is_empty, NOT_YET),
    REFUSED("vllm_xargs", is_empty, NOT_YET),
    REFUSED("mm_processor_kwargs", is_empty, "this server takes text only"),
    /* clang-format on */
};

static const struct field completion_fields[] = {
    /* clang-format off */
    CUSTOM("prompt", field_prompt),
    I64("max_tokens", max_tokens, 0, MAX_INT),
    CUSTOM("logprobs", field_logprobs),
    BOOL("echo", echo),
    CUSTOM("best_of", field_best_of),
    REFUSED("suffix", is_empty, "no model here fills in the middle"),
    REFUSED("prompt_embeds", is_empty, "send 'prompt'"),
    /* clang-format on */
};

/* What both chat and /tokenize know about rendering a conversation. */
static const struct field template_fields[] = {
    /* clang-format off */
    CUSTOM("messages", field_messages),
    CUSTOM("add_generation_prompt", field_generation_prompt),
    BOOL("continue_final_message", continue_final_message),
    CUSTOM("chat_template_kwargs", field_template_kwargs),
    CUSTOM("documents", field_documents),
    CUSTOM("reasoning_effort", field_reasoning_effort),
    REFUSED("chat_template", never, "start the server with --chat-template FILE"),
    CUSTOM("tools", field_tools),
    /* clang-format on */
};

static const struct field chat_fields[] = {
    /* clang-format off */
    CUSTOM("max_tokens", field_chat_max_tokens),
    CUSTOM("max_completion_tokens", field_max_completion_tokens),
    CUSTOM("logprobs", field_chat_logprobs),
    CUSTOM("top_logprobs", field_top_logprobs),
    IGNORED("parallel_tool_calls", is_bool, "a boolean"),
    IGNORED("include_reasoning", is_bool, "a boolean"),
    REFUSED("echo", is_false, "use 'continue_final_message'"),
    CUSTOM("tool_choice", field_tool_choice),
    REFUSED("functions", is_empty, NOT_YET),
    REFUSED("function_call", is_no_tool_choice, NOT_YET),
    REFUSED("modalities", is_text_modality, "only [\"text\"] is offered"),
    REFUSED("audio", never, "this server answers in text only"),
    REFUSED("prediction", never, NOT_YET),
    REFUSED("web_search_options", never, NOT_YET),
    REFUSED("verbosity", is_medium, "only \"medium\" is offered"),
    /* clang-format on */
};

static const struct field tokenize_fields[] = {
    /* clang-format off */
    STRING("model", model, 1, 512),
    CUSTOM("prompt", field_tokenize_prompt),
    BOOL("add_special_tokens", add_special_tokens),
    BOOL("return_token_strs", return_token_strs),
    /* clang-format on */
};

static const struct field detokenize_fields[] = {
    /* clang-format off */
    STRING("model", model, 1, 512),
    CUSTOM("tokens", field_tokens),
    /* clang-format on */
};

static const struct field_table {
    int kinds; /* of enum api_kind */
    const struct field *fields;
    size_t n;
} field_tables[] = {
    {API_COMPLETION | API_CHAT, generate_fields, ARRAY_LEN(generate_fields)},
    {API_COMPLETION, completion_fields, ARRAY_LEN(completion_fields)},
    {API_CHAT | API_TOKENIZE, template_fields, ARRAY_LEN(template_fields)},
    {API_CHAT, chat_fields, ARRAY_LEN(chat_fields)},
    {API_TOKENIZE, tokenize_fields, ARRAY_LEN(tokenize_fields)},
    {API_DETOKENIZE, detokenize_fields, ARRAY_LEN(detokenize_fields)},
};
const struct field *field_find(enum api_kind kind, const char *name)
{
    for (size_t t = 0; t < ARRAY_LEN(field_tables); t++) {
        if (!(field_tables[t].kinds & (int)kind)) continue;
        for (size_t i = 0; i < field_tables[t].n; i++)
            if (strcmp(field_tables[t].fields[i].name, name) == 0)
                return &field_tables[t].fields[i];
    }
    return NULL;
}
