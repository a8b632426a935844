/* Request fields: each with the values that it takes, the values that it refuses, and what arrives
 * in the struct.  The expectations are written from OpenAI's specification and vLLM's documentation,
 * not from the tables under test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "server/api_params.h"

static const struct api_rules rules = {.vocab_size = 512,
                                       .max_model_len = 1000,
                                       .max_n = 128,
                                       .max_prompts = 16,
                                       .max_stop_strings = 4,
                                       .max_logprobs = 20,
                                       .temperature = 0.7f,
                                       .top_p = 0.9f,
                                       .top_k = 40,
                                       .repetition_penalty = 1.0f};

static struct error err;

/* What the request needs beside the field under test. */
static const char *base_of(enum api_kind kind)
{
    switch (kind) {
    case API_COMPLETION:
        return "\"prompt\":\"x\"";
    case API_CHAT:
        return "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]";
    case API_TOKENIZE:
        return "\"prompt\":\"x\"";
    case API_DETOKENIZE:
        return "\"tokens\":[1]";
    }
    return "";
}

static enum status parse(enum api_kind kind, const char *text, struct api_params *p)
{
    memset(&err, 0, sizeof(err));
    return api_params_parse(text, strlen(text), kind, &rules, p, &err);
}

static enum status parse_with(enum api_kind kind, const char *field, const char *value,
                              struct api_params *p)
{
    char text[4096];
    snprintf(text, sizeof(text), "{%s,\"%s\":%s}", base_of(kind), field, value);
    return parse(kind, text, p);
}

/* Types: b boolean, i integer, n number, s string, a array, o object. */
static const struct {
    const char *name, *types;
    int kinds; /* 1 completions, 2 chat */
} typed[] = {
    {"model", "s", 3},
    {"temperature", "in", 3},
    {"top_p", "in", 3},
    {"n", "i", 3},
    {"stop", "sa", 3},
    {"seed", "i", 3},
    {"frequency_penalty", "in", 3},
    {"presence_penalty", "in", 3},
    {"logit_bias", "o", 3},
    {"stream", "b", 3},
    {"user", "s", 3},
    {"safety_identifier", "s", 3},
    {"prompt_cache_key", "s", 3},
    {"metadata", "o", 3},
    {"top_k", "i", 3},
    {"min_p", "in", 3},
    {"repetition_penalty", "in", 3},
    {"min_tokens", "i", 3},
    {"ignore_eos", "b", 3},
    {"stop_token_ids", "a", 3},
    {"include_stop_str_in_output", "b", 3},
    {"skip_special_tokens", "b", 3},
    {"truncate_prompt_tokens", "i", 3},
    {"truncation_side", "", 3},
    {"prompt_logprobs", "i", 3},
    {"add_special_tokens", "b", 3},
    {"return_token_ids", "b", 3},
    {"return_tokens_as_token_ids", "b", 3},
    {"request_id", "s", 3},
    {"cache_salt", "s", 3},
    {"max_tokens", "i", 3},
    {"logprobs", "i", 1},
    {"echo", "b", 1},
    {"best_of", "i", 1},
    {"logprobs", "b", 2},
    {"max_completion_tokens", "i", 2},
    {"add_generation_prompt", "b", 2},
    {"continue_final_message", "b", 2},
    {"chat_template_kwargs", "o", 2},
    {"documents", "a", 2},
    {"reasoning_effort", "", 2},
    {"parallel_tool_calls", "b", 2},
    {"stream_options", "", 3},
};

static const struct {
    char type;
    const char *value;
} samples[] = {{'b', "true"}, {'i', "1"}, {'n', "0.5"}, {'s', "\"x\""}, {'a', "[]"}, {'o', "{}"}};

static void check_type(enum api_kind kind, const char *name, const char *value, bool right)
{
    struct api_params p;
    enum status st = parse_with(kind, name, value, &p);

    if ((st == STATUS_OK) != right) {
        print_error("%s %s: %s\n", name, value, st == STATUS_OK ? "accepted" : err.message);
        fail();
    }
    if (st == STATUS_OK)
        api_params_free(&p);
    else
        assert_string_equal(err.param, name);
}

static void every_field_refuses_wrong_types(void **state)
{
    static const enum api_kind kinds[] = {API_COMPLETION, API_CHAT};
    (void)state;
    for (size_t f = 0; f < sizeof(typed) / sizeof(typed[0]); f++) {
        for (int k = 0; k < 2; k++) {
            if (!(typed[f].kinds & (int)kinds[k])) continue;
            for (size_t s = 0; s < sizeof(samples) / sizeof(samples[0]); s++)
                check_type(kinds[k], typed[f].name, samples[s].value,
                           strchr(typed[f].types, samples[s].type) != NULL);
            check_type(kinds[k], typed[f].name, "null", true);
        }
    }
}

static const struct {
    int kinds;
    const char *name, *value;
    bool ok;
} values[] = {
    {3, "temperature", "0", true},
    {3, "temperature", "2", true},
    {3, "temperature", "2.0001", false},
    {3, "temperature", "-0.1", false},
    {3, "temperature", "1e999", false},
    {3, "top_p", "0", true},
    {3, "top_p", "1.01", false},
    {3, "top_k", "-1", true},
    {3, "top_k", "-2", false},
    {3, "top_k", "1e10", false},
    {3, "top_k", "1.5", false},
    {3, "min_p", "1", true},
    {3, "min_p", "-1e-9", false},
    {3, "repetition_penalty", "0", false},
    {3, "repetition_penalty", "1e39", false},
    {3, "frequency_penalty", "-2", true},
    {3, "frequency_penalty", "2.5", false},
    {3, "presence_penalty", "-2.5", false},
    {3, "n", "128", true},
    {3, "n", "129", false},
    {3, "n", "0", false},
    {3, "n", "-9223372036854775808", false},
    {3, "seed", "-9223372036854775808", true},
    {3, "seed", "9223372036854775807", true},
    {3, "seed", "1e19", false},
    {3, "seed", "0.5", false},
    {3, "min_tokens", "2147483648", false},
    {3, "stop", "[\"a\",\"b\",\"c\",\"d\"]", true},
    {3, "stop", "[\"a\",\"b\",\"c\",\"d\",\"e\"]", false},
    {3, "stop", "\"\"", false},
    {3, "stop", "[null]", false},
    {3, "stop", "[\"\"]", false},
    {3, "stop_token_ids", "[0,511]", true},
    {3, "stop_token_ids", "[512]", false},
    {3, "stop_token_ids", "[-1]", false},
    {3, "stop_token_ids", "[1.5]", false},
    {3, "stop_token_ids", "[\"1\"]", false},
    {3, "logit_bias", "{\"511\":-100,\"0\":100}", true},
    {3, "logit_bias", "{\"512\":1}", false},
    {3, "logit_bias", "{\"x\":1}", false},
    {3, "logit_bias", "{\"1\":101}", false},
    {3, "logit_bias", "{\"1\":1e999}", false},
    {3, "logit_bias", "{\"1\":null}", false},
    {3, "truncate_prompt_tokens", "-1", true},
    {3, "truncate_prompt_tokens", "1000", true},
    {3, "truncate_prompt_tokens", "1001", false},
    {3, "truncate_prompt_tokens", "0", false},
    {3, "truncation_side", "\"left\"", true},
    {3, "truncation_side", "\"up\"", false},
    {3, "prompt_logprobs", "21", false},
    {3, "prompt_logprobs", "-1", false},
    {3, "priority", "0", true},
    {3, "priority", "1", false}, /* the rules are first come, first served */
    {3, "request_id", "\"a b\"", false},
    {3, "request_id", "\"\"", false},
    {3, "cache_salt", "\"\"", false},
    {3, "model", "\"\"", false},
    {3, "stream_options", "{\"include_usage\":true}", false}, /* no stream */
    {1, "logprobs", "20", true},
    {1, "logprobs", "21", false},
    {1, "max_tokens", "0", true},
    {1, "max_tokens", "-1", false},
    {3, "max_tokens", "9007199254740992", true},
    {3, "max_tokens", "1e300", false},
    {2, "max_tokens", "0", false},
    {2, "top_logprobs", "1", false}, /* logprobs is not true */
    {2, "top_logprobs", "0", true},
    {1, "best_of", "1", true},
    {1, "best_of", "2", false},
    {2, "reasoning_effort", "\"high\"", true},
    {2, "reasoning_effort", "\"extreme\"", false},
    {2, "chat_template_kwargs", "{\"messages\":[]}", false},
    {2, "chat_template_kwargs", "{\"enable_thinking\":false}", true},
    {2, "documents", "[{}]", true},
    {2, "documents", "[1]", false},
    {2, "messages2", "1", false},
    {1, "messages", "[]", false},
    {2, "prompt", "\"x\"", false},
    /* values that ask for nothing, and what would ask for something */
    {3, "store", "false", true},
    {3, "store", "true", false},
    {3, "service_tier", "\"auto\"", true},
    {3, "service_tier", "\"flex\"", false},
    {3, "use_beam_search", "false", true},
    {3, "use_beam_search", "true", false},
    {3, "length_penalty", "1.0", true},
    {3, "length_penalty", "2", false},
    {3, "spaces_between_special_tokens", "true", true},
    {3, "spaces_between_special_tokens", "false", false},
    {3, "allowed_token_ids", "[]", true},
    {3, "allowed_token_ids", "[1]", false},
    {3, "bad_words", "[\"x\"]", false},
    {3, "logits_processors", "[\"x\"]", false},
    {3, "response_format", "{\"type\":\"text\"}", true},
    {3, "response_format", "{\"type\":\"json_object\"}", false},
    {3, "response_format", "\"text\"", false},
    {3, "structured_outputs", "{\"regex\":\"a\"}", false},
    {3, "guided_json", "{}", false},
    {3, "guided_regex", "\"a\"", false},
    {3, "guided_choice", "[\"a\"]", false},
    {3, "guided_grammar", "\"a\"", false},
    {3, "kv_transfer_params", "{\"a\":1}", false},
    {1, "suffix", "\"\"", true},
    {1, "suffix", "\"x\"", false},
    {1, "prompt_embeds", "\"x\"", false},
    {2, "tools", "[]", true},
    {2, "tools", "[{}]", false},
    {2, "tool_choice", "\"none\"", true},
    {2, "tool_choice", "\"auto\"", true},
    {2, "tool_choice", "\"required\"", false},
    {2, "tool_choice", "{}", false},
    {2, "functions", "[]", true},
    {2, "functions", "[{}]", false},
    {2, "function_call", "\"none\"", true},
    {2, "function_call", "{}", false},
    {2, "modalities", "[\"text\"]", true},
    {2, "modalities", "[\"text\",\"audio\"]", false},
    {2, "audio", "{}", false},
    {2, "prediction", "{}", false},
    {2, "web_search_options", "{}", false},
    {2, "verbosity", "\"medium\"", true},
    {2, "verbosity", "\"low\"", false},
    {2, "chat_template", "\"x\"", false},
    {3, "moderation", "{}", false},
    {3, "no_such_field", "1", false},
    {3, "no_such_field", "null", false},
};

static void every_value_is_judged(void **state)
{
    static const enum api_kind kinds[] = {API_COMPLETION, API_CHAT};
    struct api_params p;
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        for (int k = 0; k < 2; k++) {
            if (!(values[i].kinds & (int)kinds[k])) continue;
            enum status st = parse_with(kinds[k], values[i].name, values[i].value, &p);
            if ((st == STATUS_OK) != values[i].ok) {
                print_error("%s: %s: %s\n", values[i].name, values[i].value, err.message);
                fail();
            }
            if (st == STATUS_OK) {
                api_params_free(&p);
                continue;
            }
            assert_int_equal(status_http(st), 400);
            /* Beyond a double's range the parser has refused it before any field was known. */
            if (strstr(values[i].value, "e999")) continue;
            assert_string_equal(err.param, values[i].name);
            assert_non_null(strstr(err.message, values[i].name));
        }
    }
}

static void refused_by_name_has_its_own_code(void **state)
{
    static const char *const names[] = {"tools", "functions"};
    struct api_params p;
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(parse_with(API_CHAT, names[i], "[{}]", &p), STATUS_UNSUPPORTED);
        assert_string_equal(status_api_code(err.code), "unsupported_parameter");
    }
}

static void values_arrive(void **state)
{
    struct api_params p;
    (void)state;
    assert_int_equal(
        parse(API_COMPLETION,
              "{\"prompt\":[[1,2],[3]],\"model\":\"m\",\"temperature\":0.5,\"top_p\":0.25,"
              "\"top_k\":7,\"min_p\":0.125,\"n\":2,\"seed\":-1,\"stop\":[\"a\",\"bc\"],"
              "\"stop_token_ids\":[5],\"logit_bias\":{\"3\":-1.5},\"max_tokens\":9,"
              "\"min_tokens\":4,\"logprobs\":2,\"prompt_logprobs\":5,\"echo\":true,"
              "\"ignore_eos\":true,\"include_stop_str_in_output\":true,"
              "\"skip_special_tokens\":false,\"cache_salt\":\"s\",\"best_of\":2,"
              "\"frequency_penalty\":1,\"presence_penalty\":-1,\"repetition_penalty\":1.5}",
              &p),
        STATUS_OK);
    assert_int_equal(p.n_prompts, 2);
    assert_false(p.prompt_is_text);
    assert_int_equal(p.prompts[0].n_ids, 2);
    assert_int_equal(p.prompts[0].ids[1], 2);
    assert_int_equal(p.prompts[1].ids[0], 3);
    assert_string_equal(p.model, "m");
    assert_true(p.sampling.temperature == 0.5f && p.sampling.top_p == 0.25f);
    assert_true(p.sampling.top_k == 7 && p.sampling.min_p == 0.125f);
    assert_true(p.n == 2 && p.has_seed && p.seed == UINT64_MAX);
    assert_int_equal(p.n_stop, 2);
    assert_true(str_eq(p.stop[1], STR("bc")));
    assert_true(p.sampling.n_stop_ids == 1 && p.sampling.stop_ids[0] == 5);
    assert_true(p.sampling.n_bias == 1 && p.sampling.bias[0].token == 3);
    assert_true(p.sampling.bias[0].bias == -1.5f);
    assert_true(p.max_tokens == 9 && p.sampling.min_tokens == 4);
    assert_true(p.n_logprobs == 2 && p.n_prompt_logprobs == 5 && p.sampling.n_logprobs == 5);
    assert_true(p.echo && p.sampling.ignore_eos && p.include_stop && !p.skip_special_tokens);
    assert_string_equal(p.cache_salt, "s");
    assert_true(p.sampling.frequency_penalty == 1 && p.sampling.presence_penalty == -1);
    assert_true(p.sampling.repetition_penalty == 1.5f);
    api_params_free(&p);
}

static void defaults_are_the_rules(void **state)
{
    struct api_params p;
    (void)state;
    assert_int_equal(parse(API_CHAT, "{\"messages\":[{}],\"logprobs\":true}", &p), STATUS_OK);
    assert_true(p.sampling.temperature == 0.7f && p.sampling.top_p == 0.9f);
    assert_int_equal(p.sampling.top_k, 40);
    assert_true(p.n == 1 && p.max_tokens == -1 && !p.has_seed && p.skip_special_tokens);
    assert_true(p.add_generation_prompt && !p.add_special_tokens);
    assert_true(p.n_logprobs == 0 && p.sampling.n_logprobs == 0);
    api_params_free(&p);
    assert_int_equal(parse(API_COMPLETION, "{\"prompt\":\"x\"}", &p), STATUS_OK);
    assert_true(p.add_special_tokens && p.n_logprobs == -1 && p.sampling.n_logprobs == -1);
    api_params_free(&p);
}

static void chat_lengths_and_continuations(void **state)
{
    struct api_params p;
    (void)state;
    assert_int_equal(parse(API_CHAT,
                           "{\"messages\":[{}],\"max_tokens\":3,\"max_completion_tokens\":5,"
                           "\"continue_final_message\":true}",
                           &p),
                     STATUS_OK);
    assert_int_equal(p.max_tokens, 5);
    assert_false(p.add_generation_prompt);
    api_params_free(&p);
    assert_int_equal(parse(API_CHAT,
                           "{\"messages\":[{}],\"add_generation_prompt\":true,"
                           "\"continue_final_message\":true}",
                           &p),
                     STATUS_INVALID);
    assert_int_equal(parse(API_CHAT, "{\"messages\":[{}],\"max_tokens\":3,\"min_tokens\":4}", &p),
                     STATUS_INVALID);
    assert_string_equal(err.param, "min_tokens");
}

static void prompts_of_all_forms(void **state)
{
    static const struct {
        const char *prompt;
        int n; /* 0 = refused */
    } cases[] = {{"\"\"", 1},      {"\"a\"", 1},     {"[\"a\",\"b\"]", 2}, {"[1,2,3]", 1},
                 {"[[1],[2]]", 2}, {"[]", 0},        {"[[]]", 0},          {"[[1],[]]", 0},
                 {"[\"a\",1]", 0}, {"[1,\"a\"]", 0}, {"[[1],\"a\"]", 0},   {"[512]", 0},
                 {"[-1]", 0},      {"[1.5]", 0},     {"[[1,512]]", 0},     {"{}", 0},
                 {"1", 0},         {"[null]", 0},    {"null", 0},          {"[true]", 0},
                 {"[[[1]]]", 0},   {"[1e999]", 0}};
    struct api_params p;
    char text[100];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "{\"prompt\":%s}", cases[i].prompt);
        enum status st = parse(API_COMPLETION, text, &p);
        assert_int_equal(st, cases[i].n > 0 ? STATUS_OK : STATUS_INVALID);
        if (st == STATUS_OK) {
            assert_int_equal(p.n_prompts, cases[i].n);
            api_params_free(&p);
        } else {
            if (!strstr(cases[i].prompt, "e999")) assert_string_equal(err.param, "prompt");
        }
    }
    assert_int_equal(parse(API_COMPLETION,
                           "{\"prompt\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
                           "\"\",\"\",\"\",\"\",\"\",\"\"]}",
                           &p),
                     STATUS_INVALID); /* 17 of 16 */
}

static void bodies_that_are_no_objects(void **state)
{
    static const char *const bodies[] = {"",
                                         "[]",
                                         "1",
                                         "null",
                                         "{",
                                         "{\"a\"}",
                                         "{}{}",
                                         "\"x\"",
                                         "{\"n\":1,\"n\":1}",
                                         "\xff",
                                         "{\"prompt\":\"\\u0000\"}",
                                         "{\"prompt\":\"\\ud800\"}"};
    struct api_params p;
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        assert_int_equal(parse(API_COMPLETION, bodies[i], &p), STATUS_INVALID);
    assert_int_equal(parse(API_COMPLETION, "{}", &p), STATUS_INVALID);
    assert_int_equal(parse(API_CHAT, "{}", &p), STATUS_INVALID);
    assert_int_equal(parse(API_CHAT, "{\"messages\":[]}", &p), STATUS_INVALID);
    assert_int_equal(parse(API_DETOKENIZE, "{}", &p), STATUS_INVALID);
    assert_int_equal(parse(API_TOKENIZE, "{}", &p), STATUS_INVALID);
}

static void stream_options_need_a_stream(void **state)
{
    struct api_params p;
    (void)state;
    assert_int_equal(parse(API_CHAT,
                           "{\"messages\":[{}],\"stream\":true,\"stream_options\":"
                           "{\"include_usage\":true,\"continuous_usage_stats\":true,"
                           "\"include_obfuscation\":false}}",
                           &p),
                     STATUS_OK);
    assert_true(p.stream && p.include_usage && p.continuous_usage);
    api_params_free(&p);
    assert_int_equal(
        parse(API_CHAT, "{\"messages\":[{}],\"stream\":true,\"stream_options\":{\"x\":true}}", &p),
        STATUS_INVALID);
    assert_int_equal(parse(API_CHAT,
                           "{\"messages\":[{}],\"stream\":true,\"stream_options\":"
                           "{\"include_usage\":1}}",
                           &p),
                     STATUS_INVALID);
}

static void tokenize_and_detokenize(void **state)
{
    struct api_params p;
    (void)state;
    assert_int_equal(
        parse(API_TOKENIZE, "{\"prompt\":\"x\",\"return_token_strs\":true,\"model\":\"m\"}", &p),
        STATUS_OK);
    assert_true(p.return_token_strs && p.add_special_tokens);
    api_params_free(&p);
    assert_int_equal(parse(API_TOKENIZE, "{\"messages\":[{}]}", &p), STATUS_OK);
    assert_false(p.add_special_tokens);
    api_params_free(&p);
    assert_int_equal(parse(API_TOKENIZE, "{\"messages\":[{}],\"prompt\":\"x\"}", &p),
                     STATUS_INVALID);
    assert_int_equal(parse(API_TOKENIZE, "{\"prompt\":[\"x\"]}", &p), STATUS_INVALID);
    assert_int_equal(parse(API_DETOKENIZE, "{\"tokens\":[]}", &p), STATUS_OK);
    assert_int_equal(p.n_tokens, 0);
    api_params_free(&p);
    assert_int_equal(parse(API_DETOKENIZE, "{\"tokens\":[511,512]}", &p), STATUS_INVALID);
}

/* A request that waits keeps its texts and nothing else of a large body. */
static void test_trim(void **state)
{
    (void)state;
    struct api_params p;
    assert_int_equal(parse(API_COMPLETION,
                           "{\"metadata\":{\"a\":[1,2]},\"prompt\":[\"one\",\"two\"],\"n\":2,"
                           "\"stop\":[\"x\",\"y\"],\"model\":\"m\",\"logit_bias\":{\"3\":1}}",
                           &p),
                     STATUS_OK);
    api_params_trim(&p);
    assert_int_equal(cJSON_GetArraySize(p.root), 3);
    assert_null(json_get(p.root, "metadata"));
    assert_memory_equal(p.prompts[1].text.data, "two", 4);
    assert_memory_equal(p.stop[1].data, "y", 2);
    assert_string_equal(p.model, "m");
    assert_int_equal(p.sampling.bias[0].token, 3);
    api_params_free(&p);

    assert_int_equal(parse(API_COMPLETION, "{\"prompt\":[[5,6],[7]]}", &p), STATUS_OK);
    api_params_trim(&p);
    assert_null(p.root->child);
    assert_int_equal(p.prompts[0].ids[1], 6);
    api_params_free(&p);

    assert_int_equal(parse(API_CHAT, "{\"messages\":[{}],\"cache_salt\":\"s\"}", &p), STATUS_OK);
    api_params_trim(&p);
    assert_null(p.messages);
    assert_string_equal(p.cache_salt, "s");
    api_params_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trim),
        cmocka_unit_test(every_field_refuses_wrong_types),
        cmocka_unit_test(every_value_is_judged),
        cmocka_unit_test(refused_by_name_has_its_own_code),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(defaults_are_the_rules),
        cmocka_unit_test(chat_lengths_and_continuations),
        cmocka_unit_test(prompts_of_all_forms),
        cmocka_unit_test(bodies_that_are_no_objects),
        cmocka_unit_test(stream_options_need_a_stream),
        cmocka_unit_test(tokenize_and_detokenize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
