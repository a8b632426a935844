/* What `inferd chat` makes of bytes: of a server's stream, of a command, of text for a terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/limits.h"
#include "server/terminal/answer.h"
#include "server/terminal/commands.h"

static const char *text_of(const struct strbuf *b)
{
    return b->data ? b->data : "";
}

/* --- sanitizer --------------------------------------------------------------------------------- */

/* Cut in two at every place, and byte by byte. */
static void shown_as(struct str in, const char *expected)
{
    struct strbuf out;
    strbuf_init(&out, 0);
    for (size_t cut = 0; cut <= in.len; cut++) {
        struct sanitizer s = {0};
        strbuf_clear(&out);
        sanitizer_feed(&s, (struct str){in.data, cut}, &out);
        sanitizer_feed(&s, (struct str){in.data + cut, in.len - cut}, &out);
        sanitizer_end(&s, &out);
        assert_string_equal(text_of(&out), expected);
    }
    struct sanitizer s = {0};
    strbuf_clear(&out);
    for (size_t i = 0; i < in.len; i++) sanitizer_feed(&s, (struct str){in.data + i, 1}, &out);
    sanitizer_end(&s, &out);
    assert_string_equal(text_of(&out), expected);
    strbuf_free(&out);
}

static void test_sanitizer(void **state)
{
    (void)state;
    shown_as(STR(""), "");
    shown_as(STR("plain text\n\tof two lines"), "plain text\n\tof two lines");
    shown_as(STR("na\303\257ve \346\235\261\344\272\254 \360\237\231\202"),
             "na\303\257ve \346\235\261\344\272\254 \360\237\231\202");
    shown_as(STR("\033[2J\033]0;title\007"), "\\x1b[2J\\x1b]0;title\\x07");
    shown_as(STR("a\0b"), "a\\x00b");
    shown_as(STR("\177\b"), "\\x7f\\x08");
    /* C1 as UTF-8: CSI and OSC in one character. */
    shown_as(STR("\302\2332J \302\235"), "\\x9b2J \\x9d");
    /* The same as bytes are no UTF-8. */
    shown_as(STR("\2332J"), "\357\277\2752J");
    shown_as(STR("one\r\ntwo\rthree\r"), "one\ntwo\\x0dthree\\x0d");
    shown_as(STR("\r\r\n"), "\\x0d\n");
    shown_as(STR("abc\342\200\256def\342\201\246"), "abc\\u202edef\\u2066");
    /* Cut short, overlong, a surrogate, beyond the last character. */
    shown_as(STR("\346\235"), "\357\277\275");
    shown_as(STR("\346\235x"), "\357\277\275\357\277\275x");
    shown_as(STR("\300\233"), "\357\277\275\357\277\275");
    shown_as(STR("\355\240\200"), "\357\277\275\357\277\275\357\277\275");
    shown_as(STR("\364\220\200\200"), "\357\277\275\357\277\275\357\277\275\357\277\275");
}

/* Whatever comes in, what comes out is UTF-8 without a control character but \n and \t. */
static void test_sanitizer_any_bytes(void **state)
{
    struct strbuf out;
    uint64_t seed = 1;
    (void)state;
    strbuf_init(&out, 0);
    for (int round = 0; round < 20000; round++) {
        char in[12];
        struct sanitizer s = {0};
        strbuf_clear(&out);
        for (size_t i = 0; i < sizeof(in); i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            in[i] = (char)(seed >> 33);
            if (seed >> 62 == 0) in[i] = (char)(in[i] & 0x1f);
            sanitizer_feed(&s, (struct str){in + i, 1}, &out);
        }
        sanitizer_end(&s, &out);
        assert_true(utf8_valid(text_of(&out), out.len));
        for (size_t i = 0; i < out.len; i++) {
            unsigned char c = (unsigned char)out.data[i];
            bool c1 = c == 0xc2 && (unsigned char)out.data[i + 1] < 0xa0;
            assert_true((c >= 0x20 || c == '\n' || c == '\t') && c != 0x7f && !c1);
        }
    }
    strbuf_free(&out);
}

/* --- commands ---------------------------------------------------------------------------------- */

static void test_command_lines(void **state)
{
    static const struct {
        const char *line, *name; /* NULL: a message */
        bool force;
        const char *rest;
    } cases[] = {
        {"hello", NULL, false, NULL},
        {"", NULL, false, NULL},
        {"/", NULL, false, NULL},
        {"/ x", NULL, false, NULL},
        {" /reset", NULL, false, NULL},
        {"/reset", "reset", false, ""},
        {"/system  be  kind \n", "system", false, "be  kind"},
        {"/save! a file.json", "save", true, "a file.json"},
        {"/!", "!", false, ""},
        {"/save !x", "save", false, "!x"},
        {"/usr/bin/env is what?", "usr/bin/env", false, "is what?"},
        {"/params\ttop_p=1", "params", false, "top_p=1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command_line got;
        bool is = command_parse(str_from(cases[i].line), &got);
        assert_int_equal(is, cases[i].name != NULL);
        if (!is) continue;
        assert_true(str_eq(got.name, str_from(cases[i].name)));
        assert_int_equal(got.force, cases[i].force);
        assert_true(str_eq(got.rest, str_from(cases[i].rest)));
    }
}

static void test_command_names(void **state)
{
    const char *near;
    (void)state;
    assert_true(command_find(STR("system"), &near) >= 0);
    assert_true(command_find(STR("exit"), &near) >= 0);
    assert_true(command_find(STR("bye"), &near) >= 0);
    assert_int_equal(command_find(STR("sytsem"), &near), -1);
    assert_string_equal(near, "system");
    assert_int_equal(command_find(STR("para"), &near), -1);
    assert_string_equal(near, "params");
    assert_int_equal(command_find(STR("usr/bin/env"), &near), -1);
    assert_null(near);
    assert_int_equal(command_find(STR("x"), &near), -1);
    assert_null(near);
    assert_int_equal(
        command_find(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &near), -1);
    assert_null(near);
}

static void test_completion(void **state)
{
    static const struct {
        const char *before, *insert, *list;
        int n;
    } cases[] = {
        {"/sy", "stem ", "system", 1},
        {"/r", "e", "reset  retry", 2},
        {"/re", "", "reset  retry", 2},
        {"/zz", "", "", 0},
        {"sy", "", "", 0},
        {"", "", "", 0},
        {" /sy", "", "", 0},
        {"/save te", "", "", 0},
        {"/params temp", "erature=", "temperature", 1},
        {"/params seed=1 top", "_", "top_p  top_k", 2},
        {"/params seed=1", "", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf insert, list;
        strbuf_init(&insert, 0);
        strbuf_init(&list, 0);
        int n = command_complete(str_from(cases[i].before), &insert, &list);
        assert_int_equal(n, cases[i].n);
        assert_string_equal(insert.data ? insert.data : "", cases[i].insert);
        assert_string_equal(list.data ? list.data : "", cases[i].list);
        strbuf_free(&insert);
        strbuf_free(&list);
    }
}

/* --- lines of a terminal ------------------------------------------------------------------------ */

static void add_line(char *out, const char *line, int n, const char *end)
{
    while (n > 0 && line[n - 1] == ' ') n--; /* nobody sees these */
    sprintf(out + strlen(out), "%.*s%s", n, line, end);
}

/* What a terminal of `columns` shows of the sequences that the wrapper writes; letters of one column
 * each.  Lines end in \n, also where the terminal itself wraps. */
static void show(const struct strbuf *written, int columns, char *out)
{
    char line[200] = "";
    int at = 0, back, used;

    *out = '\0';
    for (const char *p = written->data ? written->data : ""; *p; p++) {
        if (sscanf(p, "\033[%dD\033[K%n", &back, &used) == 1) {
            assert_true(back <= at);
            at -= back;
            p += used - 1;
        } else if (*p == '\n' || at == columns) {
            add_line(out, line, at, "\n");
            at = 0;
            if (*p != '\n') line[at++] = *p;
        } else {
            line[at++] = *p;
        }
    }
    add_line(out, line, at, "");
}

static void test_lines_end_between_words(void **state)
{
    static const struct {
        const char *text, *shown; /* on 20 columns, of which 19 are used */
    } cases[] = {
        {"one two three four five six", "one two three four\nfive six"},
        {"1234567890123456789 next", "1234567890123456789\nnext"},
        {"12345678901234567 a b c", "12345678901234567 a\nb c"},
        {"short\nlines\n\nstay", "short\nlines\n\nstay"},
        {"a 12345678901234567890123 b", "a\n12345678901234567890\n123 b"},
        {"  - an item of a list that goes on", "  - an item of a\nlist that goes on"},
        {"", ""},
    };
    char shown[400];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t piece = 1; piece <= len + 1; piece++) {
            struct wrapper w;
            struct strbuf out;
            wrapper_reset(&w);
            strbuf_init(&out, 0);
            for (size_t at = 0; at < len; at += piece)
                wrapper_feed(&w,
                             (struct str){cases[i].text + at, len - at < piece ? len - at : piece},
                             20, &out);
            show(&out, 20, shown);
            assert_string_equal(shown, cases[i].shown);
            strbuf_free(&out);
        }
    }
}

/* Where columns are not known, what comes out is what went in. */
static void test_lines_are_left_alone(void **state)
{
    static const struct {
        const char *text;
        int columns;
    } cases[] = {
        {"one two three four five six seven", 0},      {"one two three four five six seven", 10},
        {"東 one two three four five six seven", 20},  /* two columns */
        {"e\xcc\x81 one two three four five six", 20}, /* a combining accent */
        {"👍 one two three four five six", 20},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wrapper w;
        struct strbuf out;
        wrapper_reset(&w);
        strbuf_init(&out, 0);
        wrapper_feed(&w, str_from(cases[i].text), cases[i].columns, &out);
        assert_string_equal(out.data, cases[i].text);
        strbuf_free(&out);
    }
}

/* --- answers ----------------------------------------------------------------------------------- */

struct heard {
    struct strbuf text, reasoning;
};

static enum status hear(void *arg, struct str text, bool reasoning, struct error *err)
{
    struct heard *h = arg;
    (void)err;
    strbuf_add(reasoning ? &h->reasoning : &h->text, text.data, text.len);
    return STATUS_OK;
}

/* Feeds the stream in pieces of every size; what comes of it must not depend on that. */
static void stream_gives(const char *stream, const char *text, const char *reasoning,
                         enum status status, const char *message)
{
    size_t len = strlen(stream);
    struct heard h;
    struct answer a;
    struct error err;
    strbuf_init(&h.text, 0);
    strbuf_init(&h.reasoning, 0);
    answer_init(&a, hear, &h);
    for (size_t piece = 1; piece <= len + 1; piece += piece < 8 ? 1 : piece) {
        strbuf_clear(&h.text);
        strbuf_clear(&h.reasoning);
        answer_reset(&a);
        for (size_t at = 0; at < len; at += piece)
            if (!answer_feed(&a, stream + at, len - at < piece ? len - at : piece, at + 1)) break;
        memset(&err, 0, sizeof(err));
        assert_int_equal(answer_end(&a, &err), status);
        if (!strstr(err.message, message)) fail_msg("%s", err.message);
        assert_string_equal(text_of(&h.text), text);
        assert_string_equal(text_of(&a.text), text);
        assert_string_equal(text_of(&h.reasoning), reasoning);
    }
    answer_free(&a);
    strbuf_free(&h.text);
    strbuf_free(&h.reasoning);
}

#define DELTA(d)   "data: {\"choices\":[{\"index\":0,\"delta\":" d ",\"finish_reason\":null}]}\n\n"
#define FINISH     "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE       "data: [DONE]\n\n"
#define CONTENT(t) DELTA("{\"content\":\"" t "\"}")

static void test_answers(void **state)
{
    (void)state;
    stream_gives(DELTA("{\"role\":\"assistant\",\"content\":\"\"}") CONTENT("Hel") CONTENT("lo")
                     FINISH DONE,
                 "Hello", "", STATUS_OK, "");
    stream_gives(CONTENT("a") FINISH, "a", "", STATUS_OK, ""); /* some servers send no [DONE] */
    stream_gives(CONTENT("a") DONE, "a", "", STATUS_OK, "");
    stream_gives(": comment\r\nevent: x\r\ndata:{\"choices\":\r\ndata: "
                 "[{\"delta\":{\"content\":\"joined\"}}]}\r\n\r\n" DONE,
                 "joined", "", STATUS_OK, "");
    stream_gives(DELTA("{\"reasoning_content\":\"hm\"}") DELTA("{\"reasoning\":\"m\"}")
                     CONTENT("\\u00e9\\n") DONE,
                 "\303\251\n", "hmm", STATUS_OK, "");
    stream_gives(DELTA("{\"content\":null,\"tool_calls\":[]}") "data: {\"choices\":[],\"usage\":{}}"
                                                               "\n\n" DONE,
                 "", "", STATUS_OK, "");
    /* A NUL cannot be given back to a server: the rest of its event is dropped. */
    stream_gives(CONTENT("a\\u0000b") CONTENT("c") DONE, "ac", "", STATUS_OK, "");
}

static void test_wrong_streams(void **state)
{
    (void)state;
    stream_gives("", "", "", STATUS_IO, "in the middle");
    stream_gives(CONTENT("a"), "a", "", STATUS_IO, "in the middle");
    stream_gives(CONTENT("a") "data: [DONE]", "a", "", STATUS_IO, "in the middle");
    stream_gives(CONTENT("a") "data: {\"error\":{\"message\":\"engine failed\"}}\n\n", "a", "",
                 STATUS_UNAVAILABLE, "the server broke off: engine failed");
    stream_gives("data: {\"error\":\"x\"}\n\n", "", "", STATUS_UNAVAILABLE, "broke off: x");
    stream_gives("data: {\"error\":17}\n\n", "", "", STATUS_UNAVAILABLE, "does not say why");
    stream_gives("data: {]\n\n", "", "", STATUS_INVALID, "not JSON");
    stream_gives("data: \xff\n\n", "", "", STATUS_INVALID, "not JSON");
    stream_gives("data:\n\n", "", "", STATUS_INVALID, "not JSON");
    stream_gives("data: []\n\n", "", "", STATUS_INVALID, "none of a chat's");
    stream_gives("data: {\"id\":1}\n\n", "", "", STATUS_INVALID, "none of a chat's");
    stream_gives(DELTA("[]") DELTA("{\"content\":[]}") DELTA("{\"content\":5}") DONE, "", "",
                 STATUS_OK, "");
    stream_gives("data: {\"choices\":[5]}\n\n" DONE, "", "", STATUS_OK, "");
}

static void test_endless_streams(void **state)
{
    struct heard h;
    struct answer a;
    struct error err;
    char *line = malloc(70000), *event;
    (void)state;
    assert_non_null(line);
    memset(line, 'x', 70000);
    strbuf_init(&h.text, 0);
    strbuf_init(&h.reasoning, 0);
    answer_init(&a, hear, &h);
    /* A line. */
    for (int i = 0; i < 100 && answer_feed(&a, line, 70000, 1); i++) {
    }
    assert_int_equal(answer_end(&a, &err), STATUS_TOO_LARGE);
    assert_true(a.lines.carry.cap <= 2 * LIMIT_CHAT_EVENT);
    /* An event of many lines. */
    answer_reset(&a);
    memcpy(line, "data: ", 6);
    line[69999] = '\n';
    for (int i = 0; i < 100 && answer_feed(&a, line, 70000, 1); i++) {
    }
    assert_int_equal(answer_end(&a, &err), STATUS_TOO_LARGE);
    assert_true(a.event.cap <= 2 * LIMIT_CHAT_EVENT);
    /* An answer. */
    answer_reset(&a);
    assert_true(asprintf(&event, "data: {\"choices\":[{\"delta\":{\"content\":\"%.60000s\"}}]}\n\n",
                         line + 6) > 0);
    int n = 0;
    while (answer_feed(&a, event, strlen(event), 1)) n++;
    assert_int_equal(answer_end(&a, &err), STATUS_TOO_LARGE);
    assert_int_equal(n, LIMIT_CHAT_ANSWER / 60000);
    answer_free(&a);
    strbuf_free(&h.text);
    strbuf_free(&h.reasoning);
    free(event);
    free(line);
}

static void feed_at(struct answer *a, const char *text, uint64_t ns)
{
    assert_true(answer_feed(a, text, strlen(text), ns));
}

static void test_numbers(void **state)
{
    struct heard h;
    struct answer a;
    bool exact;
    (void)state;
    strbuf_init(&h.text, 0);
    strbuf_init(&h.reasoning, 0);
    answer_init(&a, hear, &h);
    feed_at(&a, DELTA("{\"role\":\"assistant\"}"), 1000000000);
    feed_at(&a, CONTENT("a"), 2000000000);
    feed_at(&a, CONTENT("b"), 3000000000);
    assert_int_equal(answer_n_tokens(&a, &exact), 2);
    assert_false(exact);
    feed_at(&a, CONTENT("c"), 4000000000);
    feed_at(&a,
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":null}\n\n",
            5000000000);
    assert_string_equal(a.finish_reason, "length");
    feed_at(&a,
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}\n\n",
            6000000000);
    assert_int_equal(answer_n_tokens(&a, &exact), 5);
    assert_true(exact);
    assert_int_equal(a.prompt_tokens, 7);
    assert_true(answer_tokens_per_s(&a) == 2.0); /* 4 of them in 2 s */
    answer_reset(&a);
    assert_true(answer_tokens_per_s(&a) == 0);
    feed_at(&a, CONTENT("a") CONTENT("b"), 3000000000); /* at once: nobody can tell */
    assert_true(answer_tokens_per_s(&a) == 0);
    feed_at(&a, CONTENT("c"), 3000070000); /* 70 us are as long as one call of the kernel */
    assert_true(answer_tokens_per_s(&a) == 0);
    feed_at(&a, CONTENT("d") CONTENT("e"), 3100000000);
    assert_true(fabs(answer_tokens_per_s(&a) - 30) < 1e-9); /* behind the first read: 3 in 0.1 s */
    answer_free(&a);
    strbuf_free(&h.text);
    strbuf_free(&h.reasoning);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *body, *message, *code; /* NULL: none */
    } cases[] = {
        {"{\"error\":{\"message\":\"too long\",\"code\":\"context_length_exceeded\"}}", "too long",
         "context_length_exceeded"},
        {"{\"error\":{\"message\":\"x\",\"code\":400}}", "x", ""},
        {"{\"error\":\"x\"}", "x", ""},
        {"{\"message\":\"x\",\"code\":\"y\"}", "x", "y"},
        {"{\"detail\":\"Not Found\"}", "Not Found", ""},
        {"{\"detail\":[{}]}", NULL, NULL},
        {"{\"error\":{}}", NULL, NULL},
        {"\"x\"", "x", ""},
        {"<html>", NULL, NULL},
        {"", NULL, NULL},
    };
    char message[32], code[32];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool is = answer_read_refusal(str_from(cases[i].body), message, sizeof(message), code,
                                      sizeof(code));
        assert_int_equal(is, cases[i].message != NULL);
        if (is) assert_string_equal(message, cases[i].message);
        if (is) assert_string_equal(code, cases[i].code);
    }
    /* Cut at a character. */
    assert_true(answer_read_refusal(
        STR("{\"error\":\"1234567890123456789012345678 \303\251\303\251\303\251\"}"), message,
        sizeof(message), code, sizeof(code)));
    assert_true(utf8_valid(message, strlen(message)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sanitizer),
        cmocka_unit_test(test_sanitizer_any_bytes),
        cmocka_unit_test(test_command_lines),
        cmocka_unit_test(test_command_names),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_lines_end_between_words),
        cmocka_unit_test(test_lines_are_left_alone),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_wrong_streams),
        cmocka_unit_test(test_endless_streams),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
