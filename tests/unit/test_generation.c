/* The life of a generation, played by hand: what the client sends, what the engine says, and what
 * the client gets, with every end there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/api_fakes.h"

static uv_loop_t loop;
static uint64_t now_us;

static int setup(void **state)
{
    (void)state;
    memset(&fake_metrics, 0, sizeof(fake_metrics));
    memset(&fake_engine, 0, sizeof(fake_engine));
    fake_engine.max_requests = FAKE_MAX_REQUESTS;
    fake_app.draining = fake_app.failed = false;
    fake_app.chat_templates = &fake_templates;
    fake_options.chat_template_content_format = "auto";
    fake_bos = true;
    fake_app.loop = &loop;
    now_us = 2000;
    return 0;
}

/* Everything is let go of: no generation is left behind by any test. */
static int teardown(void **state)
{
    (void)state;
    cJSON_Delete(fake_context);
    fake_context = NULL;
    assert_int_equal(api_n_active(&fake_app), 0);
    return 0;
}

static struct http_exchange *complete(const char *body)
{
    struct http_exchange *x = fake_post(body);
    api_completions(&fake_app, x);
    return x;
}

static struct http_exchange *chat(const char *body)
{
    struct http_exchange *x = fake_post(body);
    api_chat_completions(&fake_app, x);
    return x;
}

static struct request *request(int i)
{
    assert_true(i < fake_engine.n_requests);
    return fake_engine.requests[i];
}

static void admit(int i, int n_cached)
{
    struct engine_event ev = {
        .request = request(i), .type = EVENT_ADMITTED, .n_cached = n_cached, .time_us = ++now_us};
    api_on_event(&fake_app, &ev);
}

static void token(int i, int choice, int32_t id, enum finish_reason finish, bool last)
{
    struct engine_event ev = {.request = request(i),
                              .type = EVENT_TOKEN,
                              .choice = choice,
                              .token = id,
                              .finish = finish,
                              .last = last,
                              .time_us = ++now_us};
    api_on_event(&fake_app, &ev);
    api_on_batch_end(&fake_app);
}

static void text(int i, const char *s)
{
    for (; *s; s++) token(i, 0, (unsigned char)*s, FINISH_NONE, false);
}

static void end(int i, int choice, enum finish_reason finish, bool last)
{
    struct engine_event ev = {.request = request(i),
                              .type = EVENT_FINISH,
                              .choice = choice,
                              .finish = finish,
                              .last = last,
                              .time_us = ++now_us};
    api_on_event(&fake_app, &ev);
    api_on_batch_end(&fake_app);
}

static cJSON *body_of(struct http_exchange *x)
{
    struct error err = {0};
    cJSON *root = NULL;
    assert_int_equal(x->status, 200);
    assert_true(x->ended);
    if (json_parse(x->out.data, x->out.len, NULL, &root, &err) != STATUS_OK) {
        print_error("%s\n%s\n", err.message, x->out.data);
        fail();
    }
    return root;
}

static const cJSON *at(const cJSON *o, const char *path)
{
    char key[64];
    while (*path) {
        size_t n = strcspn(path, ".");
        assert_true(n < sizeof(key));
        memcpy(key, path, n);
        key[n] = '\0';
        o = cJSON_IsArray(o) ? cJSON_GetArrayItem(o, atoi(key)) : json_get(o, key);
        if (!o) return NULL;
        path += n + (path[n] == '.');
    }
    return o;
}

static void assert_text(const cJSON *o, const char *path, const char *want)
{
    const cJSON *v = at(o, path);
    assert_true(cJSON_IsString(v));
    assert_string_equal(v->valuestring, want);
}

static void assert_number(const cJSON *o, const char *path, double want)
{
    const cJSON *v = at(o, path);
    assert_true(cJSON_IsNumber(v));
    assert_true(v->valuedouble == want);
}

/* The events of a stream as a JSON array; [DONE] is the string "[DONE]". */
static cJSON *events_of(struct http_exchange *x)
{
    cJSON *list = cJSON_CreateArray();
    const char *p = x->out.data;
    assert_int_equal(x->status, 200);
    while (p && *p) {
        const char *stop = strstr(p, "\n\n");
        cJSON *item = NULL;
        struct error err;
        assert_memory_equal(p, "data: ", 6);
        assert_non_null(stop);
        if (strncmp(p + 6, "[DONE]", 6) == 0)
            item = cJSON_CreateString("[DONE]");
        else
            assert_int_equal(json_parse(p + 6, (size_t)(stop - p - 6), NULL, &item, &err),
                             STATUS_OK);
        cJSON_AddItemToArray(list, item);
        p = stop + 2;
    }
    return list;
}

/* --- completions --- */

static void a_completion(void **state)
{
    struct http_exchange *x =
        complete("{\"prompt\":\"hi\",\"max_tokens\":5,\"model\":\"dir/model\"}");
    (void)state;
    assert_int_equal(request(0)->n_prompt, 3);
    assert_int_equal(request(0)->prompt[0], TOKEN_BOS);
    assert_int_equal(request(0)->max_tokens, 5);
    admit(0, 2);
    text(0, "a\"");
    assert_int_equal(x->status, 0);
    token(0, 0, TOKEN_EOS, FINISH_STOP, true);
    cJSON *b = body_of(x);
    assert_text(b, "id", "cmpl-req1");
    assert_text(b, "object", "text_completion");
    assert_text(b, "model", "dir/model");
    assert_text(b, "choices.0.text", "a\"");
    assert_text(b, "choices.0.finish_reason", "stop");
    assert_true(cJSON_IsNull(at(b, "choices.0.stop_reason")));
    assert_true(cJSON_IsNull(at(b, "choices.0.logprobs")));
    assert_number(b, "usage.prompt_tokens", 3);
    assert_number(b, "usage.completion_tokens", 3);
    assert_number(b, "usage.total_tokens", 6);
    assert_number(b, "usage.prompt_tokens_details.cached_tokens", 2);
    assert_int_equal(fake_metrics.n_ttft, 1);
    assert_int_equal(fake_metrics.n_itl, 2);
    assert_int_equal(fake_metrics.last.finish, FINISH_STOP);
    assert_int_equal(fake_metrics.last.generation_tokens, 3);
    cJSON_Delete(b);
    fake_close(x, false);
}

static void a_stream_has_one_event_per_token(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\",\"stream\":true,\"stop\":\"END\","
                                       "\"stream_options\":{\"include_usage\":true}}");
    (void)state;
    admit(0, 0);
    text(0, "xE\xc3\xa9"
            "EN");
    token(0, 0, 'D', FINISH_NONE, false); /* the stop string ends here: EN was held back */
    assert_int_equal(fake_engine.n_finishes, 1);
    assert_true(x->ended);
    token(0, 0, 'z', FINISH_NONE, false); /* already on its way: not shown */
    end(0, 0, FINISH_STOP, true);
    cJSON *e = events_of(x);
    static const char *const texts[] = {"x", "", "", "E\xc3\xa9", "", "", ""};
    assert_int_equal(cJSON_GetArraySize(e), 7 + 2);
    for (int i = 0; i < 7; i++) {
        const cJSON *choice = at(cJSON_GetArrayItem(e, i), "choices.0");
        assert_text(choice, "text", texts[i]);
        assert_true(i == 6 || cJSON_IsNull(json_get(choice, "finish_reason")));
    }
    assert_text(e, "6.choices.0.finish_reason", "stop");
    assert_text(e, "6.choices.0.stop_reason", "END");
    assert_number(e, "7.usage.completion_tokens", 7);
    assert_text(e, "8", "[DONE]");
    cJSON_Delete(e);
    fake_close(x, false);
}

static void held_text_is_never_lost(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\",\"stop\":[\"ENDING\",\"abc\"]}");
    (void)state;
    text(0, "ENDIN");
    token(0, 0, TOKEN_AB, FINISH_LENGTH, true);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "ENDINab");
    assert_text(b, "choices.0.finish_reason", "length");
    cJSON_Delete(b);
    fake_close(x, false);
}

static void stop_on_the_last_token_is_a_stop(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\",\"stop\":\"b\",\"max_tokens\":2,"
                                       "\"include_stop_str_in_output\":true}");
    (void)state;
    text(0, "a");
    token(0, 0, 'b', FINISH_LENGTH, true);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "ab");
    assert_text(b, "choices.0.finish_reason", "stop");
    assert_int_equal(fake_engine.n_finishes, 0);
    cJSON_Delete(b);
    fake_close(x, false);
}

static void min_tokens_hold_for_stop_strings(void **state)
{
    struct http_exchange *x =
        complete("{\"prompt\":\"hi\",\"stop\":\"b\",\"min_tokens\":2,\"max_tokens\":9}");
    (void)state;
    text(0, "ab");
    assert_int_equal(x->status, 0);
    text(0, "cb");
    end(0, 0, FINISH_STOP, true);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "abc");
    cJSON_Delete(b);
    fake_close(x, false);
}

static void stop_token_ids_are_told(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\",\"stop_token_ids\":[258]}");
    (void)state;
    text(0, "a");
    token(0, 0, TOKEN_END, FINISH_STOP, true);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "a");
    assert_number(b, "choices.0.stop_reason", TOKEN_END);
    cJSON_Delete(b);
    fake_close(x, false);
}

static void incomplete_characters_are_replaced_at_the_end(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\"}");
    (void)state;
    text(0, "a\xe2");
    token(0, 0, 0x82, FINISH_LENGTH, true);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "a\xef\xbf\xbd");
    cJSON_Delete(b);
    fake_close(x, false);
}

static void output_goes_on_from_the_prompt(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":[104,195],\"n\":2}");
    (void)state;
    token(0, 1, 0xa9, FINISH_LENGTH, false);
    token(0, 0, 0xa9, FINISH_LENGTH, true);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "\xc3\xa9");
    assert_text(b, "choices.1.text", "\xc3\xa9");
    cJSON_Delete(b);
    fake_close(x, false);
}

static void batches_and_n(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":[\"p\",\"qr\"],\"n\":2,\"echo\":true}");
    (void)state;
    assert_int_equal(fake_engine.n_requests, 2);
    assert_true(request(0)->params.seed != request(1)->params.seed);
    admit(0, 1);
    admit(1, 1);
    token(1, 1, 'd', FINISH_LENGTH, false);
    token(0, 0, 'a', FINISH_LENGTH, false);
    token(1, 0, 'c', FINISH_LENGTH, true);
    token(0, 1, 'b', FINISH_LENGTH, true);
    cJSON *b = body_of(x);
    static const char *const want[] = {"pa", "pb", "qrc", "qrd"};
    for (int i = 0; i < 4; i++) {
        const cJSON *c = cJSON_GetArrayItem(json_get(b, "choices"), i);
        assert_number(c, "index", i);
        assert_text(c, "text", want[i]);
    }
    assert_number(b, "usage.prompt_tokens", 5);
    assert_number(b, "usage.completion_tokens", 4);
    assert_number(b, "usage.prompt_tokens_details.cached_tokens", 2);
    cJSON_Delete(b);
    fake_close(x, false);
}

static void a_full_queue_refuses_the_whole_batch(void **state)
{
    fake_engine.max_requests = 1;
    struct http_exchange *x = complete("{\"prompt\":[\"p\",\"q\"],\"stream\":true}");
    (void)state;
    assert_int_equal(x->status, 429);
    assert_int_equal(fake_engine.n_cancels, 1);
    assert_int_equal(fake_metrics.n_rejections, 1);
    assert_false(x->streaming);
    fake_close(x, false);
    assert_int_equal(api_n_active(&fake_app), 1); /* the engine still has the first prompt */
    end(0, 0, FINISH_ABORT, true);
}

static void echo_without_output(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":[104,105,256],\"echo\":true,\"max_tokens\":0}");
    (void)state;
    assert_int_equal(fake_engine.n_requests, 0);
    cJSON *b = body_of(x);
    assert_text(b, "choices.0.text", "hi");
    assert_text(b, "choices.0.finish_reason", "length");
    assert_number(b, "usage.completion_tokens", 0);
    cJSON_Delete(b);
    fake_close(x, false);
}

static struct sample_out sample(int32_t id, float logprob)
{
    struct sample_out s = {.token = id, .rank = 2, .logprob = logprob, .n_top = 2};
    s.top[0] = (struct token_logprob){'z', -0.25f};
    s.top[1] = (struct token_logprob){id, logprob};
    return s;
}

static void prompt_logprob(int i, int position, int32_t id)
{
    struct sample_out s = sample(id, -1.5f);
    struct engine_event ev = {.request = request(i),
                              .type = EVENT_PROMPT_LOGPROB,
                              .position = position,
                              .logprobs = &s,
                              .time_us = ++now_us};
    api_on_event(&fake_app, &ev);
}

static void token_logprob(int i, int32_t id, enum finish_reason finish)
{
    struct sample_out s = sample(id, -0.5f);
    struct engine_event ev = {.request = request(i),
                              .type = EVENT_TOKEN,
                              .token = id,
                              .finish = finish,
                              .last = finish != FINISH_NONE,
                              .logprobs = &s,
                              .time_us = ++now_us};
    api_on_event(&fake_app, &ev);
    api_on_batch_end(&fake_app);
}

static void check_echo_logprobs(const cJSON *l)
{
    assert_int_equal(cJSON_GetArraySize(json_get(l, "tokens")), 5);
    assert_text(l, "tokens.0", "<s>");
    assert_text(l, "tokens.1", "h");
    assert_text(l, "tokens.3", "bytes:\\xc3");
    assert_true(cJSON_IsNull(at(l, "token_logprobs.0")));
    assert_number(l, "token_logprobs.1", -1.5);
    assert_number(l, "token_logprobs.3", -0.5);
    assert_true(cJSON_IsNull(at(l, "top_logprobs.0")));
    assert_number(l, "top_logprobs.1.z", -0.25);
    assert_number(l, "top_logprobs.1.h", -1.5);
    assert_number(l, "text_offset.1", 0);
    assert_number(l, "text_offset.2", 1);
    assert_number(l, "text_offset.3", 2);
    assert_number(l, "text_offset.4", 2);
}

static void completion_logprobs_with_echo(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        char body[200];
        setup(NULL);
        snprintf(body, sizeof(body),
                 "{\"prompt\":\"hi\",\"echo\":true,\"logprobs\":1,\"stream\":%s}",
                 stream ? "true" : "false");
        struct http_exchange *x = complete(body);
        assert_true(request(0)->score_prompt);
        assert_int_equal(request(0)->params.n_logprobs, 1);
        admit(0, 0);
        prompt_logprob(0, 1, 'h');
        prompt_logprob(0, 2, 'i');
        token_logprob(0, 0xc3, FINISH_NONE);
        token_logprob(0, 0xa9, FINISH_LENGTH);
        if (!stream) {
            cJSON *b = body_of(x);
            assert_text(b, "choices.0.text", "hi\xc3\xa9");
            check_echo_logprobs(at(b, "choices.0.logprobs"));
            cJSON_Delete(b);
        } else {
            cJSON *e = events_of(x);
            assert_int_equal(cJSON_GetArraySize(e), 3);
            assert_text(e, "0.choices.0.text", "hi");
            assert_text(e, "1.choices.0.text", "\xc3\xa9");
            assert_int_equal(cJSON_GetArraySize(at(e, "0.choices.0.logprobs.tokens")), 4);
            assert_number(e, "0.choices.0.logprobs.text_offset.3", 2);
            assert_int_equal(cJSON_GetArraySize(at(e, "1.choices.0.logprobs.tokens")), 1);
            cJSON_Delete(e);
        }
        fake_close(x, false);
    }
}

static void prompt_logprobs_and_token_ids(void **state)
{
    struct http_exchange *x =
        complete("{\"prompt\":\"h\",\"prompt_logprobs\":1,\"return_token_ids\":true}");
    (void)state;
    prompt_logprob(0, 1, 'h');
    token_logprob(0, 'a', FINISH_LENGTH);
    cJSON *b = body_of(x);
    assert_true(cJSON_IsNull(at(b, "choices.0.prompt_logprobs.0")));
    assert_number(b, "choices.0.prompt_logprobs.1.104.rank", 2);
    assert_text(b, "choices.0.prompt_logprobs.1.122.decoded_token", "z");
    assert_number(b, "choices.0.prompt_token_ids.0", TOKEN_BOS);
    assert_number(b, "choices.0.token_ids.0", 'a');
    assert_true(cJSON_IsNull(at(b, "choices.0.logprobs")));
    cJSON_Delete(b);
    fake_close(x, false);
}

/* --- chat --- */

static void a_chat(void **state)
{
    struct http_exchange *x =
        chat("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
             "{\"type\":\"text\",\"text\":\"b<end>\"}]}],\"chat_template_kwargs\":{\"k\":1},"
             "\"logprobs\":true,\"top_logprobs\":1,\"return_token_ids\":true}");
    (void)state;
    assert_int_equal(request(0)->n_prompt, 5 + 3 + 1 + 1 + 2); /* user: a\nb <end> | A: */
    assert_int_equal(request(0)->prompt[8], TOKEN_END);
    assert_int_equal(request(0)->max_tokens, 100 - 12);
    assert_number(fake_context, "k", 1);
    assert_text(fake_context, "bos_token", "<s>");
    assert_null(json_get(fake_context, "pad_token"));
    assert_true(cJSON_IsNull(json_get(fake_context, "tools")));
    token_logprob(0, 0xc3, FINISH_NONE);
    token_logprob(0, 0xa9, FINISH_LENGTH);
    cJSON *b = body_of(x);
    assert_text(b, "id", "chatcmpl-req1");
    assert_text(b, "object", "chat.completion");
    assert_text(b, "choices.0.message.role", "assistant");
    assert_text(b, "choices.0.message.content", "\xc3\xa9");
    assert_true(cJSON_IsNull(at(b, "choices.0.message.refusal")));
    assert_text(b, "choices.0.logprobs.content.0.token", "\xef\xbf\xbd");
    assert_number(b, "choices.0.logprobs.content.0.bytes.0", 0xc3);
    assert_number(b, "choices.0.logprobs.content.0.logprob", -0.5);
    assert_int_equal(cJSON_GetArraySize(at(b, "choices.0.logprobs.content.1.top_logprobs")), 1);
    assert_true(cJSON_IsNull(at(b, "choices.0.logprobs.refusal")));
    assert_int_equal(cJSON_GetArraySize(json_get(b, "prompt_token_ids")), 12);
    cJSON_Delete(b);
    fake_close(x, false);
}

static void a_chat_stream(void **state)
{
    struct http_exchange *x = chat("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
                                   "\"stream\":true,\"n\":2,"
                                   "\"stream_options\":{\"include_usage\":true}}");
    (void)state;
    assert_int_equal(x->status, 0); /* nothing is sent before the engine has it */
    admit(0, 0);
    api_on_batch_end(&fake_app);
    assert_true(x->streaming && x->n_flushes == 1);
    token(0, 1, 'b', FINISH_NONE, false);
    token(0, 0, 'a', FINISH_LENGTH, false);
    token(0, 1, TOKEN_EOS, FINISH_STOP, true);
    cJSON *e = events_of(x);
    assert_int_equal(cJSON_GetArraySize(e), 2 + 3 + 2);
    assert_text(e, "0.choices.0.delta.role", "assistant");
    assert_number(e, "1.choices.0.index", 1);
    assert_text(e, "2.choices.0.delta.content", "b");
    assert_true(cJSON_IsNull(at(e, "2.usage")));
    assert_text(e, "3.choices.0.finish_reason", "length");
    assert_text(e, "4.choices.0.finish_reason", "stop");
    assert_int_equal(cJSON_GetArraySize(at(e, "5.choices")), 0);
    assert_number(e, "5.usage.total_tokens", 9 + 3);
    cJSON_Delete(e);
    fake_close(x, false);
}

static void messages_reach_the_template(void **state)
{
    struct http_exchange *x =
        chat("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
             "{\"role\":\"assistant\",\"content\":null,\"reasoning\":\"r\",\"refusal\":null,"
             "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":"
             "{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":[1]}\"}}]},"
             "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"t\"}]}");
    (void)state;
    assert_int_equal(fake_engine.n_requests, 1);
    assert_number(fake_context, "messages.1.tool_calls.0.function.arguments.x.0", 1);
    assert_text(fake_context, "messages.1.tool_calls.0.id", "c1");
    assert_text(fake_context, "messages.1.reasoning_content", "r");
    assert_null(at(fake_context, "messages.1.content"));
    assert_text(fake_context, "messages.2.tool_call_id", "c1");
    token(0, 0, TOKEN_EOS, FINISH_STOP, true);
    fake_close(x, false);
}

static void continue_final_message_cuts_behind_it(void **state)
{
    struct http_exchange *x = chat("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
                                   "{\"role\":\"assistant\",\"content\":\"so \"}],"
                                   "\"continue_final_message\":true,\"max_tokens\":1}");
    static const char want[] = "user:a|assistant:so ";
    (void)state;
    assert_int_equal(request(0)->n_prompt, sizeof(want) - 1);
    for (size_t i = 0; i < sizeof(want) - 1; i++)
        assert_int_equal(request(0)->prompt[i], (unsigned char)want[i]);
    token(0, 0, TOKEN_EOS, FINISH_STOP, true);
    fake_close(x, false);
}

static void refused_chats(void **state)
{
    static const struct {
        const char *messages, *word;
    } cases[] = {
        {"[{\"role\":\"user\"}]", "messages[0].content"},
        {"[{\"content\":\"x\"}]", "messages[0].role"},
        {"[{\"role\":\"bot\",\"content\":\"x\"}]", "messages[0].role"},
        {"[1]", "messages[0]"},
        {"[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\",\"content\":1}]",
         "messages[1].content"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]",
         "image_url"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":[\"x\"]}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[]}]", "tool_calls"},
        {"[{\"role\":\"user\",\"content\":\"x\",\"colour\":1}]", "messages[0].colour"},
        {"[{\"role\":\"assistant\",\"function_call\":{}}]", "function_call"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"{\"}}]}]",
         "arguments"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "tool_calls"},
        {"[{\"role\":\"user\",\"content\":\"refuse me\"}]", "I refuse"},
    };
    char body[400];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body), "{\"messages\":%s}", cases[i].messages);
        struct http_exchange *x = chat(body);
        assert_int_equal(x->status, 400);
        if (!strstr(x->out.data, cases[i].word)) {
            print_error("%s: %s\n", body, x->out.data);
            fail();
        }
        fake_close(x, false);
    }
    fake_app.chat_templates = NULL;
    struct http_exchange *x = chat("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(x->status, 400);
    assert_non_null(strstr(x->out.data, "--chat-template"));
    fake_close(x, false);
}

/* --- lengths --- */

static void lengths(void **state)
{
    static const struct {
        const char *body;
        int status, n_prompt, max_tokens;
    } cases[] = {
        {"{\"prompt\":\"%s\",\"max_tokens\":1}", 0, 99, 1},
        {"{\"prompt\":\"%s\",\"max_tokens\":2}", 400, 0, 0},
        {"{\"prompt\":\"%s\"}", 0, 99, 1}, /* the default gives way */
        {"{\"prompt\":\"%sx\"}", 400, 0, 0},
        {"{\"prompt\":\"%sx\",\"max_tokens\":0}", 200, 0, 0},
        {"{\"prompt\":\"%sxy\",\"max_tokens\":0}", 400, 0, 0},
        {"{\"prompt\":\"%s\",\"max_tokens\":9,\"truncate_prompt_tokens\":-1}", 0, 91, 9},
        {"{\"prompt\":\"%s\",\"max_tokens\":9,\"truncate_prompt_tokens\":5}", 0, 5, 9},
        {"{\"prompt\":\"%s\",\"max_tokens\":1e15}", 400, 0, 0},
    };
    char letters[99], body[300];
    (void)state;
    memset(letters, 'a', 98);
    letters[98] = '\0';
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *mark = strstr(cases[i].body, "%s");
        setup(NULL);
        snprintf(body, sizeof(body), "%.*s%s%s", (int)(mark - cases[i].body), cases[i].body,
                 letters, mark + 2);
        struct http_exchange *x = complete(body);
        assert_int_equal(x->status, cases[i].status);
        if (cases[i].status == 400)
            assert_non_null(strstr(x->out.data, "CONTEXT_LENGTH|prompt|This model's maximum "
                                                "context length is 100 tokens"));
        if (cases[i].status == 0) {
            assert_int_equal(request(0)->n_prompt, cases[i].n_prompt);
            assert_int_equal(request(0)->prompt[0], TOKEN_BOS); /* truncation keeps it */
            assert_int_equal(request(0)->max_tokens, cases[i].max_tokens);
            token(0, 0, TOKEN_EOS, FINISH_STOP, true);
        }
        fake_close(x, false);
    }
}

static void empty_prompts(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"\"}");
    (void)state;
    assert_int_equal(request(0)->n_prompt, 1);
    token(0, 0, TOKEN_EOS, FINISH_STOP, true);
    fake_close(x, false);
    fake_bos = false;
    x = complete("{\"prompt\":\"\"}");
    assert_int_equal(x->status, 400);
    fake_close(x, false);
}

/* --- ends --- */

static void clients_that_leave(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        setup(NULL);
        struct http_exchange *x =
            complete(stream ? "{\"prompt\":\"hi\",\"stream\":true}" : "{\"prompt\":\"hi\"}");
        admit(0, 0);
        text(0, "a");
        fake_close(x, true);
        assert_int_equal(fake_engine.n_cancels, 1);
        assert_ptr_equal(fake_engine.cancelled[0], request(0));
        assert_int_equal(api_n_active(&fake_app), 1);
        text(0, "b"); /* on its way when the client left */
        end(0, 0, FINISH_ABORT, true);
        assert_int_equal(api_n_active(&fake_app), 0);
        assert_int_equal(fake_metrics.last.finish, FINISH_ABORT);
    }
}

static void failures(void **state)
{
    static const struct {
        enum finish_reason finish;
        int status;
        const char *code;
    } cases[] = {{FINISH_DEADLINE, 408, "request_timeout"},
                 {FINISH_ERROR, 500, "internal_error"},
                 {FINISH_ABORT, 503, "service_unavailable"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        setup(NULL);
        struct http_exchange *x = complete("{\"prompt\":[\"hi\",\"ho\"]}");
        text(0, "a");
        end(0, 0, cases[i].finish, true);
        assert_int_equal(x->status, cases[i].status);
        assert_int_equal(fake_engine.n_cancels, 1); /* the other prompt */
        end(1, 0, FINISH_ABORT, true);
        fake_close(x, false);

        setup(NULL);
        x = complete("{\"prompt\":\"hi\",\"stream\":true}");
        admit(0, 0);
        text(0, "a");
        end(0, 0, cases[i].finish, true);
        assert_true(x->ended);
        cJSON *e = events_of(x);
        assert_int_equal(cJSON_GetArraySize(e), 2);
        assert_text(e, "1.error.code", cases[i].code);
        cJSON_Delete(e);
        fake_close(x, false);

        setup(NULL); /* before the first byte of a stream there is still a status */
        x = complete("{\"prompt\":\"hi\",\"stream\":true}");
        end(0, 0, cases[i].finish, true);
        assert_int_equal(x->status, cases[i].status);
        fake_close(x, false);
    }
}

static void slow_readers_are_given_up(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\",\"stream\":true}");
    (void)state;
    text(0, "a");
    x->backlog = 5u << 20;
    text(0, "b");
    assert_true(x->ended);
    assert_int_equal(fake_engine.n_cancels, 1);
    end(0, 0, FINISH_ABORT, true);
    fake_close(x, true);
}

/* An answer that is not streamed is kept whole: it cannot grow for ever. */
static void kept_answers_are_bounded(void **state)
{
    struct sample_out s = {.token = 'a', .n_top = 20};
    int n = 0;
    (void)state;
    for (int i = 0; i < 20; i++) s.top[i] = (struct token_logprob){'a' + i, -1.25f};
    struct http_exchange *x =
        chat("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":true,"
             "\"top_logprobs\":20}");
    for (; n < 1000000 && !x->ended; n++) {
        struct engine_event ev = {
            .request = request(0), .type = EVENT_TOKEN, .token = 'a', .logprobs = &s};
        api_on_event(&fake_app, &ev);
    }
    assert_int_equal(x->status, 400);
    assert_non_null(strstr(x->out.data, "'stream'"));
    assert_true(n > 100000);
    assert_int_equal(fake_engine.n_cancels, 1);
    end(0, 0, FINISH_ABORT, true);
    fake_close(x, false);
}

static void nothing_starts_while_draining_or_failed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_app.draining = i == 0;
        fake_app.failed = i == 1;
        struct http_exchange *x = complete("not even JSON");
        assert_int_equal(x->status, 503);
        fake_close(x, false);
    }
}

static void wrong_models(void **state)
{
    struct http_exchange *x = complete("{\"prompt\":\"hi\",\"model\":\"other\"}");
    (void)state;
    assert_int_equal(x->status, 404);
    assert_non_null(strstr(x->out.data, "MODEL_NOT_FOUND|model|"));
    fake_close(x, false);
}

/* --- long bodies go to the pool --- */

static struct http_exchange *long_body(bool valid)
{
    static char body[40000];
    int n = snprintf(body, sizeof(body), "{\"prompt\":\"hi\",\"user\":\"");
    memset(body + n, 'x', 20000);
    strcpy(body + n + 20000, valid ? "\"}" : "\"");
    return complete(body);
}

static void the_pool_prepares_long_bodies(void **state)
{
    struct http_exchange *x = long_body(true);
    (void)state;
    assert_int_equal(fake_engine.n_requests, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fake_engine.n_requests, 1);
    token(0, 0, TOKEN_EOS, FINISH_STOP, true);
    assert_int_equal(x->status, 200);
    fake_close(x, false);

    x = long_body(false);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(x->status, 400);
    fake_close(x, false);

    x = long_body(true);
    fake_close(x, true); /* the body is gone before the work began or ended */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fake_engine.n_requests, 1);
}

/* --- the small endpoints --- */

static void models(void **state)
{
    struct http_exchange *x = fake_post("");
    (void)state;
    api_models(&fake_app, x);
    cJSON *b = body_of(x);
    assert_text(b, "data.0.id", "dir/model");
    assert_text(b, "data.0.object", "model");
    assert_number(b, "data.0.max_model_len", 100);
    cJSON_Delete(b);
    fake_close(x, false);
    x = fake_post("");
    x->path = "/v1/models/dir/model";
    api_model(&fake_app, x);
    b = body_of(x);
    assert_text(b, "id", "dir/model");
    cJSON_Delete(b);
    fake_close(x, false);
    x = fake_post("");
    x->path = "/v1/models/other";
    api_model(&fake_app, x);
    assert_int_equal(x->status, 404);
    fake_close(x, false);
}

static void tokenize_and_back(void **state)
{
    struct http_exchange *x = fake_post("{\"prompt\":\"a<end>\",\"return_token_strs\":true}");
    (void)state;
    api_tokenize(&fake_app, x);
    cJSON *b = body_of(x);
    assert_number(b, "count", 3);
    assert_number(b, "max_model_len", 100);
    assert_number(b, "tokens.0", TOKEN_BOS);
    assert_number(b, "tokens.2", TOKEN_END);
    assert_text(b, "token_strs.2", "<end>");
    cJSON_Delete(b);
    fake_close(x, false);
    x = fake_post("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    api_tokenize(&fake_app, x);
    b = body_of(x);
    assert_number(b, "count", 9);
    assert_true(cJSON_IsNull(json_get(b, "token_strs")));
    cJSON_Delete(b);
    fake_close(x, false);
    x = fake_post("{\"tokens\":[256,104,105]}");
    api_detokenize(&fake_app, x);
    b = body_of(x);
    assert_text(b, "prompt", "<s>hi");
    cJSON_Delete(b);
    fake_close(x, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_completion),
        TEST(a_stream_has_one_event_per_token),
        TEST(held_text_is_never_lost),
        TEST(stop_on_the_last_token_is_a_stop),
        TEST(min_tokens_hold_for_stop_strings),
        TEST(stop_token_ids_are_told),
        TEST(incomplete_characters_are_replaced_at_the_end),
        TEST(output_goes_on_from_the_prompt),
        TEST(batches_and_n),
        TEST(a_full_queue_refuses_the_whole_batch),
        TEST(echo_without_output),
        TEST(completion_logprobs_with_echo),
        TEST(prompt_logprobs_and_token_ids),
        TEST(a_chat),
        TEST(a_chat_stream),
        TEST(messages_reach_the_template),
        TEST(continue_final_message_cuts_behind_it),
        TEST(refused_chats),
        TEST(lengths),
        TEST(empty_prompts),
        TEST(clients_that_leave),
        TEST(failures),
        TEST(slow_readers_are_given_up),
        TEST(kept_answers_are_bounded),
        TEST(nothing_starts_while_draining_or_failed),
        TEST(wrong_models),
        TEST(the_pool_prepares_long_bodies),
        TEST(models),
        TEST(tokenize_and_back),
    };
    uv_loop_init(&loop);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    uv_loop_close(&loop);
    uv_library_shutdown();
    return failed;
}
