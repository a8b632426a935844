/* What surrounds a chat template: where a model's templates come from and which one a request gets,
 * the special tokens that they see, what is found out about message contents.  chat_diff.py compares
 * whole chats with a reference. */

#include "config/base/check.h"
#include "config/base/json.h"
#include "server/chat.h"
#include "server/chat_templates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a model directory with a tokenizer of one token --- */
struct model {
    char dir[64];
    struct options opts;
    struct tokenizer *tokenizer;
    struct chat_templates *templates;
    struct error err;
};

static void write_file(const struct model *m, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", m->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_folder(const struct model *m, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", m->dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int setup(void **state)
{
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    snprintf(m->dir, sizeof(m->dir), "/tmp/inferd-chat-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    m->opts.model = m->opts.model_said = m->dir;
    write_file(m, "tokenizer.json",
               "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct model *m = *state;
    char command[128];
    chat_templates_free(m->templates);
    tokenizer_free(m->tokenizer);
    snprintf(command, sizeof(command), "rm -r %s", m->dir);
    assert_int_equal(system(command), 0);
    free(m);
    return 0;
}

static enum status load(struct model *m)
{
    if (tokenizer_load(m->dir, &m->tokenizer, &m->err) != STATUS_OK) fail_msg("%s", m->err.message);
    return chat_templates_load(&m->opts, m->tokenizer, &m->templates, &m->err);
}

static void expect_loaded(struct model *m, size_t n)
{
    if (load(m) != STATUS_OK) fail_msg("%s", m->err.message);
    assert_int_equal(m->templates ? m->templates->n : 0, n);
}

/* What the picked template renders; "!" when there is none. */
static void expect_pick(struct model *m, bool has_tools, const char *name, const char *want)
{
    const struct chat_template *t;
    struct strbuf out;
    cJSON *context = cJSON_CreateObject();
    strbuf_init(&out, 0);
    enum status st = chat_templates_pick(m->templates, has_tools, name, &t, &m->err);
    if (st == STATUS_OK) st = template_render(t->compiled, context, 0, &out, &m->err);
    assert_string_equal(st == STATUS_OK ? out.data : "!", want);
    strbuf_free(&out);
    cJSON_Delete(context);
}

static const char *token_of(const struct model *m, const char *name)
{
    const cJSON *v = json_get(m->templates->special_tokens, name);
    return v ? v->valuestring : NULL;
}

/* --- where they come from --- */

static void no_template(void **state)
{
    expect_loaded(*state, 0);
}

static void one_in_the_configuration(void **state)
{
    struct model *m = *state;
    write_file(m, "tokenizer_config.json", "{\"chat_template\":\"D\"}");
    expect_loaded(m, 1);
    expect_pick(m, false, NULL, "D");
    expect_pick(m, true, NULL, "D");
    expect_pick(m, false, "default", "D");
}

static void named_in_the_configuration(void **state)
{
    struct model *m = *state;
    write_file(m, "tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},{\"name\":"
               "\"default\",\"template\":\"D\"},{\"name\":\"rag\",\"template\":\"R\"}]}");
    expect_loaded(m, 3);
    expect_pick(m, false, NULL, "D");
    expect_pick(m, true, NULL, "T");
    expect_pick(m, true, "default", "D");
    expect_pick(m, false, "rag", "R");
    expect_pick(m, false, "nope", "!");
    assert_int_equal(m->err.code, STATUS_INVALID);
    assert_non_null(strstr(m->err.message, "\"nope\""));
    assert_non_null(strstr(m->err.message, "\"default\", \"rag\", \"tool_use\""));
}

static void named_without_default(void **state)
{
    struct model *m = *state;
    write_file(m, "tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"}]}");
    expect_loaded(m, 1);
    expect_pick(m, true, NULL, "T");
    expect_pick(m, false, NULL, "!");
    assert_non_null(strstr(m->err.message,
                           "only \"tool_use\": save it to a file and use --chat-template FILE"));
}

static void files_beside_the_tokenizer(void **state)
{
    struct model *m = *state;
    write_file(m, "tokenizer_config.json", "{\"chat_template\":\"C\"}");
    write_file(m, "chat_template.jinja", "F");
    make_folder(m, "additional_chat_templates");
    write_file(m, "additional_chat_templates/tool_use.jinja", "T");
    write_file(m, "additional_chat_templates/notes.txt", "{% nothing");
    expect_loaded(m, 2);
    expect_pick(m, false, NULL, "F");
    expect_pick(m, true, NULL, "T");
}

static void option_before_all(void **state)
{
    struct model *m = *state;
    char path[128];
    write_file(m, "chat_template.jinja", "F");
    write_file(m, "mine.jinja", "M");
    snprintf(path, sizeof(path), "%s/mine.jinja", m->dir);
    m->opts.chat_template = path;
    expect_loaded(m, 1);
    expect_pick(m, true, NULL, "M");
}

static void expect_refused(struct model *m, const char *const *words)
{
    assert_int_not_equal(load(m), STATUS_OK);
    assert_null(m->templates);
    for (; *words; words++)
        if (!strstr(m->err.message, *words)) fail_msg("%s: %s", *words, m->err.message);
}

static void broken_file(void **state)
{
    struct model *m = *state;
    const char *const words[] = {"additional_chat_templates/rag.jinja", "line 2, column 4", NULL};
    write_file(m, "chat_template.jinja", "F");
    make_folder(m, "additional_chat_templates");
    write_file(m, "additional_chat_templates/rag.jinja", "\n{% nope %}");
    expect_refused(m, words);
}

static void broken_in_the_configuration(void **state)
{
    struct model *m = *state;
    const char *const words[] = {"tokenizer_config.json", "\"tool_use\"", "line 1, column 4",
                                 "--chat-template", NULL};
    write_file(m, "tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"default\",\"template\":\"D\"},{\"name\":"
               "\"tool_use\",\"template\":\"{{ }}\"}]}");
    expect_refused(m, words);
}

/* --- special tokens --- */

static void tokens_of_the_configuration(void **state)
{
    struct model *m = *state;
    write_file(m, "tokenizer_config.json",
               "{\"chat_template\":\"D\",\"bos_token\":{\"content\":\"<s>\"},\"mask_token\":"
               "\"<m>\",\"image_token\":\"<i>\",\"add_bos_token\":false,\"eos_token\":null,"
               "\"extra_special_tokens\":{\"audio_bos\":\"<a>\"},\"added_tokens_decoder\":{}}");
    write_file(m, "special_tokens_map.json", "{\"sep_token\":\"<never>\"}");
    expect_loaded(m, 1);
    assert_string_equal(token_of(m, "bos_token"), "<s>");
    assert_string_equal(token_of(m, "mask_token"), "<m>");
    assert_string_equal(token_of(m, "image_token"), "<i>");
    assert_string_equal(token_of(m, "audio_bos"), "<a>");
    assert_null(token_of(m, "eos_token"));
    assert_null(token_of(m, "add_bos_token"));
    assert_null(token_of(m, "sep_token"));
}

static void tokens_of_the_map(void **state)
{
    struct model *m = *state;
    write_file(m, "tokenizer_config.json", "{\"chat_template\":\"D\",\"sep_token\":\"<x>\"}");
    write_file(m, "special_tokens_map.json",
               "{\"sep_token\":{\"content\":\"<sep>\"},\"additional_special_tokens\":[\"<y>\"]}");
    expect_loaded(m, 1);
    assert_string_equal(token_of(m, "sep_token"), "<sep>");
    assert_null(token_of(m, "additional_special_tokens"));
}

/* --- contents and numbers --- */

static void what_templates_know(void **state)
{
    static const struct {
        const char *text;
        bool parts, strings;
    } cases[] = {
        {"{{ messages[0].content }}", false, false},
        {"{% for m in messages %}{{ m.content }}{% endfor %}", false, false},
        {"{% for m in messages %}{% for p in m.content %}{% endfor %}{% endfor %}", true, false},
        {"{% for m in messages %}{% if m['content'] is string %}{% endif %}{% endfor %}", false,
         true},
        {"{% for p in messages[-1]['content'] %}{% endfor %}", true, false},
        {"{% for p in (messages|last).content %}{% endfor %}", true, false},
        {"{% set m = messages[1:] %}{% for x in m %}{% for p in x.content %}{% endfor %}"
         "{% endfor %}",
         true, false},
        {"{% macro f(c) %}{% for p in c %}{% endfor %}{% endmacro %}{{ f(messages[0].content) }}",
         true, false},
        {"{{ messages[0].content|selectattr('type')|list }}", true, false},
        {"{% for t in tools %}{% for p in t.content %}{% endfor %}{% endfor %}", false, false},
        {"{% for k in messages[0] %}{% endfor %}", false, false},
        {"{% with c = messages[0].content %}{% for p in c %}{% endfor %}{% endwith %}", true,
         false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct template *t;
        struct error err;
        assert_int_equal(template_compile(cases[i].text, strlen(cases[i].text), &t, &err), 0);
        struct template_contents c = template_contents(t);
        if (c.parts != cases[i].parts || c.strings != cases[i].strings)
            fail_msg("%s: parts %d, strings %d", cases[i].text, c.parts, c.strings);
        template_free(t);
    }
}

static void numbers_keep_their_text(void **state)
{
    static const char context_text[] =
        "{\"a\":[1.0,1e2,-0,0.10,9007199254740993,-9223372036854775808],\"b\":{\"c\":\"1.5\\\"2\","
        "\"d\":2.0}}";
    static const char text[] = "{{ a|tojson }}{{ b|tojson }}";
    struct error err = {0};
    struct template *t;
    struct strbuf out;
    cJSON *context = NULL;
    (void)state;
    strbuf_init(&out, 0);
    assert_int_equal(json_parse(context_text, strlen(context_text), NULL, &context, &err), 0);
    assert_true(template_keep_numbers(context, context_text, strlen(context_text)));
    assert_int_equal(template_compile(text, strlen(text), &t, &err), 0);
    assert_int_equal(template_render(t, context, 0, &out, &err), 0);
    assert_string_equal(out.data, "[1.0, 100.0, 0, 0.1, 9007199254740993, -9223372036854775808]"
                                  "{\"c\": \"1.5\\\"2\", \"d\": 2.0}");
    template_free(t);
    strbuf_free(&out);
    cJSON_Delete(context);
}

static void integers_beyond_64_bits(void **state)
{
    static const char context_text[] = "{\"a\":18446744073709551616}";
    struct error err = {0};
    struct template *t;
    struct strbuf out;
    cJSON *context = NULL;
    (void)state;
    strbuf_init(&out, 0);
    assert_int_equal(json_parse(context_text, strlen(context_text), NULL, &context, &err), 0);
    assert_true(template_keep_numbers(context, context_text, strlen(context_text)));
    assert_int_equal(template_compile("x", 1, &t, &err), 0);
    assert_int_equal(template_render(t, context, 0, &out, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "18446744073709551616"));
    template_free(t);
    strbuf_free(&out);
    cJSON_Delete(context);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_template),
        TEST(one_in_the_configuration),
        TEST(named_in_the_configuration),
        TEST(named_without_default),
        TEST(files_beside_the_tokenizer),
        TEST(option_before_all),
        TEST(broken_file),
        TEST(broken_in_the_configuration),
        TEST(tokens_of_the_configuration),
        TEST(tokens_of_the_map),
        cmocka_unit_test(what_templates_know),
        cmocka_unit_test(numbers_keep_their_text),
        cmocka_unit_test(integers_beyond_64_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
