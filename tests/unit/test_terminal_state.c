/* What `inferd chat` keeps: parameters, messages, files; and what it is told on the command line. */
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

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/limits.h"
#include "server/terminal/args.h"
#include "server/terminal/line_history.h"
#include "server/terminal/save.h"

static const char *text_of(const struct strbuf *b)
{
    return b->data ? b->data : "";
}

/* --- parameters -------------------------------------------------------------------------------- */

static void params_are(const struct sampling_params *p, const char *json)
{
    struct strbuf out;
    strbuf_init(&out, 0);
    sampling_params_add_json(p, &out);
    assert_string_equal(text_of(&out), json);
    strbuf_free(&out);
}

static void test_params(void **state)
{
    struct sampling_params p = {0};
    struct error err = {0};
    (void)state;
    params_are(&p, "");
    assert_int_equal(
        sampling_params_set_line(&p, " temperature=0.2 max-tokens=100  seed=-7 ", &err), STATUS_OK);
    params_are(&p, ",\"temperature\":0.2,\"max_tokens\":100,\"seed\":-7");
    assert_int_equal(sampling_params_set_line(&p, "seed= max_tokens= temperature=2", &err),
                     STATUS_OK);
    params_are(&p, ",\"temperature\":2");
    assert_int_equal(sampling_params_set_line(&p, "stop=### top_k=-1", &err), STATUS_OK);
    params_are(&p, ",\"temperature\":2,\"top_k\":-1,\"stop\":\"###\"");
    assert_int_equal(sampling_params_set_line(&p, "top_k= stop=\"a \\\" b\\n\" min_p=.5", &err),
                     STATUS_OK);
    params_are(&p, ",\"temperature\":2,\"min_p\":0.5,\"stop\":\"a \\\" b\\n\"");
    assert_int_equal(sampling_params_set_line(&p, "stop=[\"a ]\", \"b\"] min_p=", &err), STATUS_OK);
    params_are(&p, ",\"temperature\":2,\"stop\":[\"a ]\",\"b\"]");
    assert_int_equal(sampling_params_set_line(&p, "seed=9007199254740991", &err), STATUS_OK);
    params_are(&p, ",\"temperature\":2,\"seed\":9007199254740991,\"stop\":[\"a ]\",\"b\"]");
    sampling_params_free(&p);
    params_are(&p, "");
}

static void test_params_refused(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"temperature=hot", "temperature must be a number from 0 to 2, not \"hot\""},
        {"temperature=2.1", "temperature must be"},
        {"temperature=nan", "temperature must be"},
        {"temperature=0x1", "temperature must be"},
        {"temperature=-0.1", "temperature must be"},
        {"max_tokens=1.5", "max_tokens must be a whole number"},
        {"max_tokens=0", "max_tokens must be"},
        {"max_tokens=99999999999999999999", "max_tokens must be"},
        {"seed=9007199254740993", "seed must be"},
        {"temprature=1", "no parameter \"temprature\"; did you mean \"temperature\"?"},
        {"zzzzzz=1", "no parameter \"zzzzzz\"; /params lists them"},
        {"=1", "no parameter \"\""},
        {"temperature", "write it as temperature=VALUE"},
        {"temperature 1", "write it as temperature=VALUE"},
        {"stop=\"open", "stop: "},
        {"stop=[]", "stop must be a text"},
        {"stop=[1]", "stop must be a text"},
        {"stop=\"\"", "stop must be a text"},
        {"stop=\xff", "stop must be a text"},
    };
    struct sampling_params p = {0};
    struct error err;
    (void)state;
    assert_int_equal(sampling_params_set_line(&p, "top_p=0.5", &err), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[200];
        snprintf(line, sizeof(line), "top_p=0.9 %s", cases[i].line);
        assert_int_not_equal(sampling_params_set_line(&p, line, &err), STATUS_OK);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].line, err.message);
        params_are(&p, ",\"top_p\":0.5"); /* all or nothing */
    }
    sampling_params_free(&p);
}

static void test_longest_answer(void **state)
{
    struct sampling_params p = {0};
    struct error err;
    (void)state;
    assert_int_equal(sampling_params_max_tokens(&p), 0);
    assert_int_equal(sampling_params_set_line(&p, "max_tokens=5", &err), STATUS_OK);
    assert_int_equal(sampling_params_max_tokens(&p), 5);
    assert_int_equal(sampling_params_set_line(&p, "max_completion_tokens=7", &err), STATUS_OK);
    assert_int_equal(sampling_params_max_tokens(&p), 7); /* as the server has it */
    sampling_params_free(&p);
}

/* --- conversation ------------------------------------------------------------------------------ */

static void talk_is(const struct conversation *c, const char *json)
{
    struct strbuf out;
    strbuf_init(&out, 0);
    conversation_add_json(c, &out);
    assert_string_equal(text_of(&out), json);
    strbuf_free(&out);
}

static void test_conversation(void **state)
{
    struct conversation c = {0};
    struct error err;
    (void)state;
    talk_is(&c, "[]");
    assert_int_equal(conversation_add(&c, CHAT_USER, STR("a"), &err), STATUS_OK);
    assert_int_equal(conversation_add(&c, CHAT_ASSISTANT, STR(""), &err), STATUS_OK);
    assert_int_equal(conversation_set_system(&c, STR("s\"1"), &err), STATUS_OK);
    talk_is(&c, "[{\"role\":\"system\",\"content\":\"s\\\"1\"},{\"role\":\"user\",\"content\":"
                "\"a\"},{\"role\":\"assistant\",\"content\":\"\"}]");
    assert_int_equal(c.size, 4);
    assert_int_equal(conversation_set_system(&c, STR("other"), &err), STATUS_OK);
    assert_int_equal(c.n, 3);
    assert_string_equal(conversation_system(&c)->text, "other");
    conversation_reset(&c);
    talk_is(&c, "[{\"role\":\"system\",\"content\":\"other\"}]");
    assert_int_equal(conversation_set_system(&c, STR(""), &err), STATUS_OK);
    talk_is(&c, "[]");
    assert_int_equal(c.size, 0);
    assert_int_equal(conversation_add(&c, CHAT_USER, STR("a\0b"), &err), STATUS_INVALID);
    assert_int_equal(conversation_add(&c, CHAT_USER, STR("\xff"), &err), STATUS_INVALID);
    assert_int_equal(c.n, 0);
    conversation_free(&c);
}

static void test_conversation_is_bounded(void **state)
{
    struct conversation c = {0};
    struct error err;
    char *half = malloc(LIMIT_CHAT_CONVERSATION / 2 + 1);
    (void)state;
    assert_non_null(half);
    memset(half, 'x', LIMIT_CHAT_CONVERSATION / 2 + 1);
    struct str fits = {half, LIMIT_CHAT_CONVERSATION / 2}, too = {half, fits.len + 1};
    assert_int_equal(conversation_set_system(&c, fits, &err), STATUS_OK);
    assert_int_equal(conversation_add(&c, CHAT_USER, too, &err), STATUS_TOO_LARGE);
    assert_int_equal(conversation_add(&c, CHAT_USER, fits, &err), STATUS_OK);
    /* What is replaced makes room. */
    assert_int_equal(conversation_set_system(&c, too, &err), STATUS_TOO_LARGE);
    assert_int_equal(conversation_set_system(&c, fits, &err), STATUS_OK);
    conversation_free(&c);
    for (int i = 0; i < LIMIT_CHAT_MESSAGES; i++)
        assert_int_equal(conversation_add(&c, CHAT_USER, STR("x"), &err), STATUS_OK);
    assert_int_equal(conversation_add(&c, CHAT_USER, STR("x"), &err), STATUS_TOO_LARGE);
    conversation_free(&c);
    free(half);
}

/* --- files ------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/inferd-test-terminal-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int mode_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (int)(info.st_mode & 0777) : -1;
}

static void test_save_and_load(void **state)
{
    struct conversation c = {0}, back = {0};
    struct sampling_params p = {0}, p_back = {0};
    struct error err = {0};
    char *text;
    size_t len;
    const char *path = in_folder("save.json");
    (void)state;
    assert_int_equal(conversation_set_system(&c, STR("sys\n\303\251"), &err), STATUS_OK);
    assert_int_equal(conversation_add(&c, CHAT_USER, STR("\"q\"\t\033"), &err), STATUS_OK);
    assert_int_equal(conversation_add(&c, CHAT_ASSISTANT, STR(""), &err), STATUS_OK);
    assert_int_equal(sampling_params_set_line(&p, "temperature=0.25 stop=[\"x\"]", &err),
                     STATUS_OK);
    assert_int_equal(save_write(path, false, STR("m"), &c, &p, &err), STATUS_OK);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(file_read(path, 1 << 20, &text, &len, &err), STATUS_OK);
    assert_string_equal(
        text, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"sys\\n\303\251\"},"
              "{\"role\":\"user\",\"content\":\"\\\"q\\\"\\t\\u001b\"},{\"role\":\"assistant\","
              "\"content\":\"\"}],\"temperature\":0.25,\"stop\":[\"x\"]}\n");
    free(text);
    /* Not a second time, but when told so. */
    assert_int_equal(save_write(path, false, STR("m"), &c, &p, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "/save!"));
    assert_int_equal(save_write(path, true, STR("m"), &c, &p, &err), STATUS_OK);
    assert_int_equal(save_read(path, &back, &p_back, &err), STATUS_OK);
    assert_int_equal(back.n, 3);
    assert_int_equal(back.size, c.size);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(back.items[i].role, c.items[i].role);
        assert_string_equal(back.items[i].text, c.items[i].text);
    }
    params_are(&p_back, ",\"temperature\":0.25,\"stop\":[\"x\"]");
    assert_int_equal(save_write("/dev/null", true, STR("m"), &c, &p, &err), STATUS_INVALID);
    assert_int_equal(save_write(in_folder("no/such"), true, STR("m"), &c, &p, &err), STATUS_IO);
    conversation_free(&c);
    conversation_free(&back);
    sampling_params_free(&p);
    sampling_params_free(&p_back);
}

static void test_load_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "save"},
        {"[]", "must be a JSON object"},
        {"{}", "\"messages\" must be an array"},
        {"{\"messages\":{}}", "\"messages\" must be an array"},
        {"{\"messages\":[1]}", "messages[0] must be an object"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0] must be an object"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", "messages[0] has the role"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"\"},"
         "{\"role\":\"system\",\"content\":\"\"}]}",
         "messages[1] is the system's"},
        {"{\"messages\":[],\"temperature\":3}", "temperature must be"},
        {"{\"messages\":[],\"seed\":1.5}", "seed must be"},
        {"{\"messages\":[],\"seed\":\"1\"}", "seed must be"},
        {"{\"messages\":[],\"tools\":[]}", "\"tools\" cannot be kept"},
    };
    struct conversation c = {0};
    struct sampling_params p = {0};
    struct error err;
    const char *path = in_folder("wrong.json");
    (void)state;
    assert_int_equal(conversation_add(&c, CHAT_USER, STR("stays"), &err), STATUS_OK);
    assert_int_equal(sampling_params_set_line(&p, "seed=1", &err), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        write_file(path, cases[i].text);
        assert_int_not_equal(save_read(path, &c, &p, &err), STATUS_OK);
        if (i > 0 && !strstr(err.message, cases[i].message)) fail_msg("%s", err.message);
        assert_int_equal(c.n, 1);
        params_are(&p, ",\"seed\":1");
    }
    write_file(path, "{\"messages\":[],\"stream\":true,\"model\":\"x\",\"top_p\":null}");
    assert_int_equal(save_read(path, &c, &p, &err), STATUS_OK);
    params_are(&p, "");
    assert_int_equal(c.n, 0);
    conversation_free(&c);
    sampling_params_free(&p);
}

static void collect(void *arg, const char *line)
{
    strbuf_addf(arg, "<%s>", line);
}

static void history_holds(const char *path, const char *expected)
{
    struct line_history h;
    struct error err = {0};
    struct strbuf lines;
    strbuf_init(&lines, 0);
    assert_int_equal(line_history_open_file(&h, path, collect, &lines, &err), STATUS_OK);
    assert_string_equal(text_of(&lines), expected);
    line_history_close(&h);
    strbuf_free(&lines);
}

static void test_history(void **state)
{
    struct line_history h, second;
    struct error err = {0};
    struct strbuf lines;
    const char *path = in_folder("history");
    (void)state;
    strbuf_init(&lines, 0);
    assert_int_equal(line_history_open_file(&h, path, collect, &lines, &err), STATUS_OK);
    assert_int_equal(mode_of(path), 0600);
    line_history_add(&h, "one");
    /* Two chats at a time keep both theirs. */
    assert_int_equal(line_history_open_file(&second, path, collect, &lines, &err), STATUS_OK);
    line_history_add(&second, "two\nlines \"\\ \303\251");
    line_history_add(&h, "three");
    line_history_close(&h);
    line_history_close(&second);
    assert_string_equal(text_of(&lines), "<one>");
    history_holds(path, "<one><two\nlines \"\\ \303\251><three>");
    /* What is none of its lines is passed over. */
    write_file(path, "\n\"a\"\ngarbage\n\"nul\\u0000\"\n\"\"\n\"open\n\xff\n\"b\"");
    history_holds(path, "<a><b>");
    strbuf_free(&lines);
}

static void test_history_is_bounded(void **state)
{
    struct line_history h;
    struct error err = {0};
    struct stat info;
    struct strbuf lines;
    const char *path = in_folder("long-history");
    int n_lines = LIMIT_CHAT_HISTORY_SIZE / 8 + 1000;
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < n_lines; i++) fprintf(f, "\"%05d\"\n", i % 100000);
    fclose(f);
    strbuf_init(&lines, 0);
    assert_int_equal(line_history_open_file(&h, path, collect, &lines, &err), STATUS_OK);
    line_history_add(&h, "new");
    line_history_close(&h);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size <= LIMIT_CHAT_HISTORY_SIZE / 2 + 16);
    assert_true(info.st_size >= LIMIT_CHAT_HISTORY_SIZE / 2 - 16);
    assert_int_equal(mode_of(path), 0600);
    strbuf_clear(&lines);
    assert_int_equal(line_history_open_file(&h, path, collect, &lines, &err), STATUS_OK);
    line_history_close(&h);
    char last[32];
    snprintf(last, sizeof(last), "<%05d><new>", (n_lines - 1) % 100000);
    assert_string_equal(lines.data + lines.len - strlen(last), last);
    strbuf_free(&lines);
    assert_int_not_equal(line_history_open_file(&h, folder, collect, NULL, &err), STATUS_OK);
    assert_int_equal(h.fd, -1);
    line_history_add(&h, "nowhere"); /* no harm */
}

/* --- arguments --------------------------------------------------------------------------------- */

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

static enum status parse(char **words, struct chat_args *a, struct error *err)
{
    int n = 0;
    bool help;
    while (words[n]) n++;
    return chat_args_parse(n, words, a, &help, err);
}

static void test_arguments(void **state)
{
    struct chat_args a;
    struct error err;
    (void)state;
    assert_int_equal(parse(WORDS("--temperature", "0", "dir", "--quantization", "int8",
                                 "--served-model-name", "x", "y", "--seed", "-1", "--no-history",
                                 "--no-enable-prefix-caching", "--max_model_len=8k", "-p", "-x"),
                           &a, &err),
                     STATUS_OK);
    assert_string_equal(a.model, "dir");
    assert_string_equal(a.prompt, "-x");
    assert_false(a.history);
    assert_true(a.stats && !a.stats_given);
    params_are(&a.params, ",\"temperature\":0,\"seed\":-1");
    assert_int_equal(a.n_server_words, 7);
    assert_string_equal(a.server_words[1], "int8");
    assert_string_equal(a.server_words[4], "y");
    assert_string_equal(a.server_words[6], "--max_model_len=8k");
    chat_args_free(&a);
    assert_int_equal(parse(WORDS("--model=dir", "--", "--seed", "7", "--max-num-seqs=4"), &a, &err),
                     STATUS_OK);
    assert_string_equal(a.model, "dir");
    assert_null(a.name);
    assert_int_equal(a.n_server_words, 3);
    chat_args_free(&a);
    assert_int_equal(
        parse(WORDS("--url", "http://h", "--model", "m", "--stats", "--system", ""), &a, &err),
        STATUS_OK);
    assert_string_equal(a.name, "m");
    assert_null(a.model);
    assert_true(a.stats && a.stats_given);
    chat_args_free(&a);
    static const char *const local[] = {"127.0.0.1:8011", "localhost", "LOCALHOST:8000/v1",
                                        "[::1]:80"};
    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        assert_int_equal(parse(WORDS("--url", (char *)local[i]), &a, &err), STATUS_OK);
        chat_args_free(&a);
    }
    /* The page of a model: what it is called is said by the server that gets the word. */
    assert_int_equal(parse(WORDS("https://huggingface.co/a/b"), &a, &err), STATUS_OK);
    chat_args_free(&a);
}

static void test_wrong_arguments(void **state)
{
    const struct {
        char **words;
        const char *message;
    } cases[] = {
        {WORDS("a", "b"), "a second word \"b\""},
        {WORDS(""), "empty"},
        {WORDS("--url"), "--url needs a value"},
        {WORDS("--url", ""), "empty"},
        {WORDS("--url", "http://h", "dir"), "\"dir\" beside --url"},
        {WORDS("--url", "http://h", "--threads", "1"), "cannot be set with --url"},
        {WORDS("dir", "--model", "x"), "two models"},
        {WORDS("dir", "--api-key", "x"), "--api-key is for --url"},
        {WORDS("--url", "http://h", "--api-key", "a b"), "--api-key holds no key"},
        {WORDS("--url", "http://h", "--api-key-file", "/nonexistent"), "--api-key-file"},
        {WORDS("dir", "--port", "1"), "--port cannot be set here"},
        {WORDS("dir", "--", "--host=0.0.0.0"), "--host cannot be set here"},
        {WORDS("dir", "--", "--api-key", "k"), "--api-key cannot be set here"},
        {WORDS("dir", "--", "word"), "behind --"},
        {WORDS("dir", "--", "--temperature", "1"), "behind --"},
        {WORDS("--lines", "-p", "x"), "--prompt beside --lines"},
        {WORDS("--lines=yes"), "takes no value"},
        {WORDS("--sytem", "x"), "did you mean --system?"},
        {WORDS("--temprature", "1"), "did you mean --temperature?"},
        {WORDS("--quantisation", "int8"), "did you mean --quantization?"},
        {WORDS("-x"), "unknown option -x"},
        {WORDS("--zzzzzzzz"), "inferd chat --help"},
        {WORDS("--temperature"), "--temperature needs a value"},
        {WORDS("--temperature", "9"), "temperature must be"},
        {WORDS("--no-url"), "unknown option"},
        {WORDS("http://127.0.0.1:8011"), "write --url in front of it"},
        {WORDS("https://example.org/v1"), "write --url in front of it"},
        {WORDS("--url", "ftp://h"), "--url must be like"},
        {WORDS("--url", "example.org"), "write http:// or https:// in front"},
        {WORDS("--url", "localhostile.org:80"), "write http:// or https:// in front"},
    };
    struct chat_args a;
    struct error err;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        err.message[0] = '\0';
        assert_int_not_equal(parse(cases[i].words, &a, &err), STATUS_OK);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: %s", cases[i].words[0], err.message);
        chat_args_free(&a);
    }
}

static void test_keys(void **state)
{
    struct chat_args a;
    struct error err;
    const char *path = in_folder("keys");
    char file[200];
    (void)state;
    snprintf(file, sizeof(file), "%s", path);
    write_file(file, "# mine\r\n\n  k-1 \nk-2\n");
    assert_int_equal(parse(WORDS("--url", "http://h"), &a, &err), STATUS_OK);
    assert_null(a.api_key);
    chat_args_free(&a);
    setenv("OPENAI_API_KEY", "theirs", 1);
    assert_int_equal(parse(WORDS("--url", "http://h"), &a, &err), STATUS_OK);
    assert_string_equal(a.api_key, "theirs");
    assert_string_equal(a.key_from, "OPENAI_API_KEY");
    chat_args_free(&a);
    setenv("INFERD_API_KEY", "ours,other", 1);
    assert_int_equal(parse(WORDS("--url", "http://h"), &a, &err), STATUS_OK);
    assert_string_equal(a.api_key, "ours");
    assert_string_equal(a.key_from, "INFERD_API_KEY");
    chat_args_free(&a);
    assert_int_equal(parse(WORDS("--url", "http://h", "--api-key-file", file), &a, &err),
                     STATUS_OK);
    assert_string_equal(a.api_key, "k-1");
    assert_string_equal(a.key_from, file);
    chat_args_free(&a);
    write_file(file, "# none\n");
    assert_int_equal(parse(WORDS("--url", "http://h", "--api-key-file", file), &a, &err),
                     STATUS_INVALID);
    chat_args_free(&a);
    setenv("INFERD_API_KEY", "bad\nkey", 1);
    assert_int_equal(parse(WORDS("--url", "http://h"), &a, &err), STATUS_INVALID);
    assert_null(strstr(err.message, "bad")); /* a key is never repeated */
    chat_args_free(&a);
    unsetenv("INFERD_API_KEY");
    unsetenv("OPENAI_API_KEY");
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    unsetenv("INFERD_API_KEY");
    unsetenv("OPENAI_API_KEY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_params_refused),
        cmocka_unit_test(test_longest_answer),
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_conversation_is_bounded),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_load_refused),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_history_is_bounded),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_wrong_arguments),
        cmocka_unit_test(test_keys),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const left[] = {"save.json", "wrong.json", "history", "long-history",
                                       "keys"};
    for (size_t i = 0; i < ARRAY_LEN(left); i++) unlink(in_folder(left[i]));
    rmdir(folder);
    return failed;
}
