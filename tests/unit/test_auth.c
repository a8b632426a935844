/* server/auth.c: API keys from options and file. */

#include "server/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/inferd_test_auth_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct options with(char **keys, int n, const char *file)
{
    struct options o = {0};
    o.api_key.items = keys;
    o.api_key.n = n;
    o.api_key_file = file;
    return o;
}

static void test_none(void **state)
{
    (void)state;
    struct options o = with(NULL, 0, NULL);
    struct auth *a = (struct auth *)&o;
    struct error err;
    assert_int_equal(auth_load(&o, &a, &err), STATUS_OK);
    assert_null(a);
}

static void test_find(void **state)
{
    (void)state;
    char *keys[] = {"alpha", "beta"};
    write_file("# a comment\n\n  gamma  \r\ndelta\n#end");
    struct options o = with(keys, 2, path);
    struct auth *a;
    struct error err;
    assert_int_equal(auth_load(&o, &a, &err), STATUS_OK);
    static const struct {
        const char *header;
        int index;
    } cases[] = {
        {"Bearer alpha", 0},  {"Bearer beta", 1},
        {"bearer gamma", 2},  {"BEARER  delta", 3},
        {NULL, -1},           {"", -1},
        {"Bearer", -1},       {"Bearer ", -1},
        {"Bearer alph", -1},  {"Bearer alphaa", -1},
        {"Bearer Alpha", -1}, {"Basic alpha", -1},
        {"alpha", -1},        {"Bearer alpha ", -1},
        {"Bearer #end", -1},  {"Bearer a comment", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (auth_find(a, cases[i].header) != cases[i].index)
            fail_msg("wrong answer for \"%s\"", cases[i].header ? cases[i].header : "(null)");
    char longest[2000] = "Bearer ";
    memset(longest + 7, 'a', sizeof(longest) - 8);
    assert_int_equal(auth_find(a, longest), -1);
    auth_free(a);
}

static void test_refused(void **state)
{
    (void)state;
    static char huge[400];
    memset(huge, 'k', sizeof(huge) - 1);
    char *bad[] = {"", "two words", "tab\tbed", "caf\xc3\xa9", huge};
    struct auth *a;
    struct error err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct options o = with(&bad[i], 1, NULL);
        assert_int_equal(auth_load(&o, &a, &err), STATUS_INVALID);
        assert_string_equal(err.param, "api-key");
        assert_null(a);
    }
    write_file("# nothing but words\n\n");
    struct options o = with(NULL, 0, path);
    assert_int_equal(auth_load(&o, &a, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, path));
    o = with(NULL, 0, "/no/such/file");
    assert_int_not_equal(auth_load(&o, &a, &err), STATUS_OK);
    assert_non_null(strstr(err.message, "/no/such/file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("auth", tests, make_file, remove_file);
}
