/* Chunks and bodies: what is written parses back, event by event, to what was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/json.h"
#include "config/base/rng.h"
#include "server/sse.h"

static const struct sse_identity chat = {true, "chatcmpl-\"1\"", "mo\\del", "fp_1", 1700000000};
static const struct sse_identity text = {false, "cmpl-1", "m", "fp_1", 1700000000};

/* The JSON of one event: `data: ` in front, an empty line behind, nothing else. */
static cJSON *event(const struct strbuf *b)
{
    struct error err;
    cJSON *root = NULL;
    assert_true(b->len > 8);
    assert_memory_equal(b->data, "data: ", 6);
    assert_string_equal(b->data + b->len - 2, "\n\n");
    assert_null(memchr(b->data, '\n', b->len - 2));
    assert_int_equal(json_parse(b->data + 6, b->len - 8, NULL, &root, &err), STATUS_OK);
    return root;
}

static const char *string_at(const cJSON *o, const char *key)
{
    const cJSON *v = json_get(o, key);
    assert_true(cJSON_IsString(v));
    return v->valuestring;
}

static void strings_round_trip(void **state)
{
    struct strbuf b;
    (void)state;
    strbuf_init(&b, 0);
    for (int c = 1; c < 0x800; c++) {
        char utf8[16] = "a";
        size_t len = 1 + (size_t)utf8_encode((uint32_t)c, utf8 + 1);
        cJSON *root = NULL;
        struct error err;
        strbuf_clear(&b);
        json_add_text(&b, utf8, len);
        assert_int_equal(json_parse(b.data, b.len, NULL, &root, &err), STATUS_OK);
        assert_int_equal(strlen(root->valuestring), len);
        assert_memory_equal(root->valuestring, utf8, len);
        cJSON_Delete(root);
    }
    strbuf_free(&b);
}

static void logprobs_are_finite(void **state)
{
    static const struct {
        float in;
        double out;
    } cases[] = {{-0.5f, -0.5},      {0.0f, 0},     {1e-7f, 0},      {NAN, -9999},
                 {-INFINITY, -9999}, {INFINITY, 0}, {-1e30f, -9999}, {-9998.5f, -9998.5}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct strbuf b;
        cJSON *root = NULL;
        struct error err;
        strbuf_init(&b, 0);
        json_add_logprob(&b, cases[i].in);
        assert_int_equal(json_parse(b.data, b.len, NULL, &root, &err), STATUS_OK);
        assert_true(root->valuedouble == cases[i].out);
        cJSON_Delete(root);
        strbuf_free(&b);
    }
}

static void check_members(const cJSON *root, const struct sse_identity *who, const char *object)
{
    assert_string_equal(string_at(root, "id"), who->id);
    assert_string_equal(string_at(root, "model"), who->model);
    assert_string_equal(string_at(root, "object"), object);
    assert_string_equal(string_at(root, "system_fingerprint"), who->fingerprint);
    assert_true(json_get(root, "created")->valuedouble == 1700000000);
}

static void plain_deltas(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        const struct sse_identity *who = kind ? &chat : &text;
        struct sse_head h;
        struct strbuf b;
        strbuf_init(&b, 0);
        assert_true(sse_head_init(&h, who));
        sse_add_delta(&b, &h, 127, STR("a\"\n\xc3\xa9"), NULL);
        cJSON *root = event(&b);
        check_members(root, who, kind ? "chat.completion.chunk" : "text_completion");
        const cJSON *choice = json_get(root, "choices")->child;
        assert_true(json_get(choice, "index")->valuedouble == 127);
        assert_true(cJSON_IsNull(json_get(choice, "finish_reason")));
        assert_true(cJSON_IsNull(json_get(choice, "logprobs")));
        if (kind)
            assert_string_equal(string_at(json_get(choice, "delta"), "content"), "a\"\n\xc3\xa9");
        else
            assert_string_equal(string_at(choice, "text"), "a\"\n\xc3\xa9");
        assert_null(json_get(root, "usage"));
        cJSON_Delete(root);
        strbuf_free(&b);
        sse_head_free(&h);
    }
}

static void full_deltas(void **state)
{
    struct sse_extra e = {.logprobs = STR("{\"content\":[],\"refusal\":null}"),
                          .finish_reason = "stop",
                          .stop_reason = STR("\"x\""),
                          .token_ids = STR("[1,2]"),
                          .prompt_token_ids = STR("[3]"),
                          .usage = STR("null")};
    struct sse_head h;
    struct strbuf b;
    (void)state;
    strbuf_init(&b, 0);
    assert_true(sse_head_init(&h, &chat));
    sse_add_delta(&b, &h, 0, STR(""), &e);
    cJSON *root = event(&b);
    const cJSON *choice = json_get(root, "choices")->child;
    assert_string_equal(string_at(choice, "finish_reason"), "stop");
    assert_string_equal(string_at(choice, "stop_reason"), "x");
    assert_int_equal(cJSON_GetArraySize(json_get(choice, "token_ids")), 2);
    assert_int_equal(cJSON_GetArraySize(json_get(choice, "prompt_token_ids")), 1);
    assert_true(cJSON_IsNull(json_get(root, "usage")));
    cJSON_Delete(root);

    strbuf_clear(&b);
    sse_add_role(&b, &h, 3, STR("[1]"), STR("null"));
    root = event(&b);
    choice = json_get(root, "choices")->child;
    assert_true(json_get(choice, "index")->valuedouble == 3);
    assert_string_equal(string_at(json_get(choice, "delta"), "role"), "assistant");
    cJSON_Delete(root);

    struct usage u = {7, 5, 3};
    struct strbuf usage;
    strbuf_init(&usage, 0);
    usage_add_json(&usage, &u);
    strbuf_clear(&b);
    sse_add_usage(&b, &h, (struct str){usage.data, usage.len});
    root = event(&b);
    assert_int_equal(cJSON_GetArraySize(json_get(root, "choices")), 0);
    assert_true(json_get(json_get(root, "usage"), "total_tokens")->valuedouble == 12);
    assert_true(
        json_get(json_get(json_get(root, "usage"), "prompt_tokens_details"), "cached_tokens")
            ->valuedouble == 3);
    cJSON_Delete(root);
    strbuf_free(&usage);
    strbuf_free(&b);
    sse_head_free(&h);
}

static void errors_have_the_api_shape(void **state)
{
    struct error err;
    struct strbuf b;
    (void)state;
    strbuf_init(&b, 0);
    error_set(&err, STATUS_TIMEOUT, "too \"late\"");
    sse_add_error(&b, &err);
    cJSON *root = event(&b);
    const cJSON *e = json_get(root, "error");
    assert_string_equal(string_at(e, "message"), "too \"late\"");
    assert_string_equal(string_at(e, "type"), "timeout_error");
    assert_string_equal(string_at(e, "code"), "request_timeout");
    assert_true(cJSON_IsNull(json_get(e, "param")));
    cJSON_Delete(root);
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_round_trip),
        cmocka_unit_test(logprobs_are_finite),
        cmocka_unit_test(plain_deltas),
        cmocka_unit_test(full_deltas),
        cmocka_unit_test(errors_have_the_api_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
