/* config/base/json.h against the public JSONTestSuite, and the rules that are ours. */
#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/json.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Accepted by the suite, refused by us. */
static const char *const stricter[] = {
    "y_object_duplicated_key.json",           /* two readers may choose differently */
    "y_object_duplicated_key_and_value.json", /* the same */
    "y_object_escaped_null_in_key.json",      /* a C string would end there */
    "y_string_null_escape.json",              /* the same */
};

static bool is_stricter(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(stricter); i++)
        if (strcmp(stricter[i], name) == 0) return true;
    return false;
}

/* What was accepted must survive a round through the printer. */
static void check_round_trip(const cJSON *item)
{
    struct strbuf once, twice;
    struct error err;
    cJSON *again;
    strbuf_init(&once, 0);
    strbuf_init(&twice, 0);
    json_print(&once, item);
    assert_false(once.failed);
    if (json_parse(once.data, once.len, NULL, &again, &err) != STATUS_OK)
        fail_msg("printed %s: %s", once.data, err.message);
    assert_true(cJSON_Compare(item, again, true));
    json_print(&twice, again);
    assert_string_equal(once.data, twice.data);
    cJSON_Delete(again);
    strbuf_free(&once);
    strbuf_free(&twice);
}

static int run_suite_file(const char *dir, const char *name)
{
    char path[1024], *text;
    size_t len;
    struct error err;
    cJSON *item;
    assert_int_equal(path_join(path, sizeof(path), dir, name, &err), STATUS_OK);
    assert_int_equal(file_read(path, 1 << 24, &text, &len, &err), STATUS_OK);
    /* An exact allocation, so that a sanitizer sees a read beyond the end. */
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    enum status st = json_parse(exact, len, NULL, &item, &err);
    bool want_ok = name[0] == 'y' && !is_stricter(name);
    bool wrong = name[0] != 'i' && (st == STATUS_OK) != want_ok;
    if (wrong) print_error("%s: %s\n", name, st == STATUS_OK ? "accepted" : err.message);
    if (st == STATUS_OK) {
        check_round_trip(item);
    } else {
        assert_null(item);
        assert_int_equal(err.code, st);
        assert_true(utf8_valid(err.message, strlen(err.message)));
        assert_non_null(strstr(err.message, "line "));
    }
    cJSON_Delete(item);
    free(exact);
    free(text);
    return wrong;
}

static void test_suite(void **state)
{
    (void)state;
    const char *shared = getenv("INFERD_SHARED");
    char dir[1000];
    snprintf(dir, sizeof(dir), "%s/data/json/JSONTestSuite/test_parsing",
             shared ? shared : "../shared");
    DIR *d = opendir(dir);
    if (!d) {
        print_message("skipped: no JSONTestSuite at %s (set INFERD_SHARED)\n", dir);
        skip();
    }
    int n = 0, n_wrong = 0;
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 5, ".json") != 0) continue;
        n++;
        n_wrong += run_suite_file(dir, e->d_name);
    }
    closedir(d);
    assert_int_equal(n_wrong, 0);
    assert_true(n > 300);
}

static enum status parse(const char *text, const struct json_limits *limits, struct error *err)
{
    cJSON *item;
    enum status st = json_parse(text, strlen(text), limits, &item, err);
    cJSON_Delete(item);
    return st;
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 1 column 1: unexpected end"},
        {"{\"a\":1,\n \"a\":2}", "line 2 column 2: duplicate key \"a\""},
        {"{\"a\":1,\"\\u0061\":2}", "line 1 column 8: duplicate key \"a\""},
        {"[{\"x\":{\"b\":1}},\n\n{\"y\":[],\"b\":{},\"c\":0,\"b\":1}]",
         "line 3 column 22: duplicate key \"b\""},
        {"[1,]", "line 1 column 4: expected a JSON value"},
        {"{\"a\" 1}", "line 1 column 6: expected ':' after a key"},
        {"{'a':1}", "line 1 column 2: expected a key in double quotes"},
        {"[1 2]", "line 1 column 4: expected ',' or ']'"},
        {"{} x", "line 1 column 4: unexpected text after the value"},
        {"\"\xC3\xA9\xC3\"", "line 1 column 3: invalid UTF-8"},
        {"\"\\ud800\"", "line 1 column 2: lone surrogate in a string"},
        {"\"\\udc00\\ud800\"", "line 1 column 2: lone surrogate in a string"},
        {"\"a\\u0000\"", "line 1 column 3: \\u0000 is not accepted"},
        {"01", "line 1 column 1: a number must not start with 0"},
        {"1e400", "line 1 column 1: number out of range"},
        {"-", "line 1 column 1: a number needs a digit after the minus sign"},
        {"\"a\nb\"", "line 1 column 3: unescaped control character in a string"},
        {"nul", "line 1 column 1: expected a JSON value"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err;
        assert_int_equal(parse(cases[i].text, NULL, &err), STATUS_INVALID);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].text, err.message, cases[i].message);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct error err;
    struct json_limits l = {.max_size = 5};
    assert_int_equal(parse("[1,2]", &l, &err), STATUS_OK);
    assert_int_equal(parse("[1,23]", &l, &err), STATUS_TOO_LARGE);
    l = (struct json_limits){.max_depth = 3};
    assert_int_equal(parse("[[{\"a\":1}]]", &l, &err), STATUS_OK);
    assert_int_equal(parse("[[[[1]]]]", &l, &err), STATUS_INVALID);
    l = (struct json_limits){.max_values = 4};
    assert_int_equal(parse("{\"a\":[1,2]}", &l, &err), STATUS_OK);
    assert_int_equal(parse("[[],{},[1]]", &l, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "line 1 column 9: too many values"));
    l = (struct json_limits){.max_depth = 1 << 30}; /* cJSON's own limit still holds */
    char deep[4096];
    memset(deep, '[', 2000);
    memset(deep + 2000, ']', 2000);
    deep[4000] = '\0';
    assert_int_equal(parse(deep, &l, &err), STATUS_INVALID);
    memset(deep, '[', 1000);
    memset(deep + 1000, ']', 1000);
    deep[2000] = '\0';
    assert_int_equal(parse(deep, &l, &err), STATUS_OK);
    l = (struct json_limits){.allow_duplicates = true, .allow_nul = true};
    assert_int_equal(parse("{\"a\":1,\"a\":\"x\\u0000y\"}", &l, &err), STATUS_OK);
    assert_int_equal(json_parse("\"a\0b\"", 5, &l, &(cJSON *){NULL}, &err), STATUS_INVALID);
}

static void test_many_keys(void **state)
{
    (void)state;
    struct strbuf b;
    struct error err;
    for (int n = 2; n <= 50000; n = n < 100 ? n + 7 : n * 9) {
        strbuf_init(&b, 0);
        strbuf_add_char(&b, '{');
        for (int i = 0; i < n; i++) strbuf_addf(&b, "\"k%d\":%d,", i, i);
        strbuf_add_str(&b, "\"last\":0}");
        assert_int_equal(parse(b.data, NULL, &err), STATUS_OK);
        b.len -= strlen("\"last\":0}");
        strbuf_addf(&b, "\"k%d\":0}", n / 2);
        assert_int_equal(parse(b.data, NULL, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, "duplicate key \"k"));
        strbuf_free(&b);
    }
}

static void test_access(void **state)
{
    (void)state;
    struct error err;
    cJSON *item;
    const char *text = "{\"a\":1,\"A\":2.5,\"n\":null,\"s\":\"x\",\"l\":[],\"o\":{},\"b\":true,"
                       "\"big\":9007199254740993000,\"e\":1e2}";
    assert_int_equal(json_parse(text, strlen(text), NULL, &item, &err), STATUS_OK);
    int64_t v;
    assert_true(json_as_i64(json_get(item, "a"), 0, 5, &v) && v == 1);
    assert_false(json_as_i64(json_get(item, "a"), 2, 5, &v));
    assert_false(json_as_i64(json_get(item, "A"), 0, 5, &v));
    assert_true(json_as_i64(json_get(item, "e"), 0, 500, &v) && v == 100);
    assert_false(json_as_i64(json_get(item, "big"), INT64_MIN, INT64_MAX, &v));
    assert_false(json_as_i64(json_get(item, "s"), 0, 5, &v));
    assert_false(json_as_i64(NULL, 0, 5, &v));
    assert_null(json_get(item, "missing"));
    assert_null(json_get(json_get(item, "l"), "x"));
    assert_true(cJSON_IsNull(json_get(item, "n")));
    assert_string_equal(json_type_name(json_get(item, "n")), "null");
    assert_string_equal(json_type_name(json_get(item, "l")), "an array");
    assert_string_equal(json_type_name(json_get(item, "b")), "a boolean");
    assert_string_equal(json_type_name(NULL), "nothing");
    cJSON_Delete(item);
}

static void test_print(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {" { \"b\" : [ 1 , 2.50 ] , \"a\" : null } ", "{\"b\":[1,2.5],\"a\":null}"},
        {"1e15", "1000000000000000"},
        {"1e20", "100000000000000000000"},
        {"9007199254740992", "9007199254740992"},
        {"-7", "-7"},
        {"0.1", "0.1"},
        {"1e-7", "1e-07"},
        {"3.141592653589793", "3.141592653589793"},
        {"\"\\u00e9\\n\\/\"", "\"\xC3\xA9\\n/\""},
        {"[true,false,{}]", "[true,false,{}]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err;
        struct strbuf b;
        cJSON *item;
        strbuf_init(&b, 0);
        assert_int_equal(json_parse(cases[i].in, strlen(cases[i].in), NULL, &item, &err),
                         STATUS_OK);
        json_print(&b, item);
        assert_string_equal(b.data, cases[i].out);
        strbuf_free(&b);
        cJSON_Delete(item);
    }
}

static void test_file_errors(void **state)
{
    (void)state;
    struct error err;
    cJSON *item;
    assert_int_equal(json_parse_file("/nonexistent/x.json", NULL, &item, &err), STATUS_NOT_FOUND);
    assert_null(item);
    assert_non_null(strstr(err.message, "/nonexistent/x.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),       cmocka_unit_test(test_messages),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_access),      cmocka_unit_test(test_print),
        cmocka_unit_test(test_file_errors),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
