/* Chat templates: constructs with known results (Python's and Jinja2's documented behaviour;
 * tests/golden/template_diff.py compares far more with Jinja2 itself), positions in errors, and
 * the bounds. */

#include "config/base/check.h"
#include "config/base/json.h"
#include "config/limits.h"
#include "engine/template/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char context_text[] =
    "{\"n\": 7, \"s\": \"Hello\", \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": 2.5}, \"z\": null,"
    " \"u\": \"h\\u00e9llo\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"},"
    " {\"role\": \"assistant\", \"content\": \"Yo\"}]}";

static enum status render(const char *text, size_t len, struct strbuf *out, struct error *err)
{
    struct template *t;
    cJSON *context = cJSON_Parse(context_text);
    assert_non_null(context);
    strbuf_init(out, 0);
    memset(err, 0, sizeof(*err));
    enum status s = template_compile(text, len, &t, err);
    if (s == STATUS_OK) {
        s = template_render(t, context, 1753707045, out, err);
        template_free(t);
    }
    cJSON_Delete(context);
    return s;
}

struct sample {
    const char *text, *want;
};

static void expect_text(const struct sample *c)
{
    struct strbuf out;
    struct error err;
    enum status s = render(c->text, strlen(c->text), &out, &err);
    if (s != STATUS_OK) fail_msg("%s: %s", c->text, err.message);
    assert_string_equal(out.data ? out.data : "", c->want);
    strbuf_free(&out);
}

static void expect_error(const char *text, enum status want, const char *words)
{
    struct strbuf out;
    struct error err;
    enum status s = render(text, strlen(text), &out, &err);
    if (s != want || !strstr(err.message, words))
        fail_msg("%.60s: status %s, message: %s", text, status_name(s), err.message);
    assert_int_equal(err.code, want);
    assert_int_equal(out.len, 0); /* nothing of a failed rendering is seen */
    strbuf_free(&out);
}

static void test_constructs(void **state)
{
    static const struct sample samples[] = {
        {"", ""},
        {"a\n", "a"},
        {"a\n\n", "a\n"},
        {"x {#- c -#} y", "xy"},
        {"  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"},
        {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
        {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 3 }}",
         "3 -4 2 3.5 3.0 8"},
        {"{{ 1e16 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 100.0 }}",
         "1e+16 0.30000000000000004 1e-05 100.0"},
        {"{{ [1, 'a', none, true, 2.5, (1,), {'k': \"it's\"}] }}",
         "[1, 'a', None, True, 2.5, (1,), {'k': \"it's\"}]"},
        {"{{ s[1:3] }}{{ s[::-1] }}{{ u[1] }}{{ u|length }}", "elolleH\xc3\xa9"
                                                              "5"},
        {"{{ missing }}{{ missing is defined }}{{ missing|default('x') }}", "Falsex"},
        {"{{ 1 < 2 < 3 }} {{ 'a' in s }} {{ 3 not in l }} {{ n and s }}", "True False False Hello"},
        {"{% for m in messages %}{{ loop.index }}{{ m.role }}{% if not loop.last %},{% endif %}"
         "{% endfor %}",
         "1user,2assistant"},
        {"{% for i in l if i > 1 %}{{ i }}{% else %}none{% endfor %}", "32"},
        {"{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "32"},
        {"{% set ns = namespace(c=0) %}{% for i in l %}{% set ns.c = ns.c + i %}{% endfor %}"
         "{{ ns.c }}",
         "6"},
        {"{% set x = 1 %}{% for i in l %}{% set x = i %}{% endfor %}{{ x }}", "1"},
        {"{% macro f(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ f(1) }}{{ f(1, 3, 4) }}",
         "12()13(4,)"},
        {"{% macro f() %}<{{ caller(5) }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}",
         "<5>"},
        {"{% filter upper %}abc{% endfilter %}{% set x %}y{% endset %}{{ x }}", "ABCy"},
        {"{{ d|tojson }} {{ {'a': [1, {}]}|tojson(indent=2) }}",
         "{\"b\": 1, \"a\": 2.5} {\n  \"a\": [\n    1,\n    {}\n  ]\n}"},
        {"{{ '%s|%05d|%.2f' % ('a', 42, 3.14159) }} {{ '{:>4}|{}'.format('a', 1) }}",
         "a|00042|3.14    a|1"},
        {"{{ l|sort|join(',') }} {{ d|dictsort }} {{ l|map('string')|list }}",
         "1,2,3 [('a', 2.5), ('b', 1)] ['3', '1', '2']"},
        {"{{ '<a>'|e ~ '<' }}{{ '<' + ('>'|safe) }}", "&lt;a&gt;<&lt;>"},
        {"{{ strftime_now('%Y-%m-%d %H:%M') }}", "2025-07-28 12:50"},
        {"{% generation %}a{% endgeneration %}", "a"},
        {"{% set v = 1 %}{% block b %}{{ v }}{% endblock b %}{{ self.b() }}", "11"},
        {"{% for i in l %}{% block a %}{{ i }}{% endblock %}{% block b scoped %}{{ i }}"
         "{{ loop.index }};{% endblock %}{% endfor %}",
         "31;12;23;"},
        {"{{ dict.fromkeys('ab', 1) }} {{ '\xce\xa3\xce\x91\xce\xa3 a'|title }}",
         "{'a': 1, 'b': 1} \xce\xa3\xce\xb1\xcf\x82 A"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) expect_text(&samples[i]);
}

static void test_error_positions(void **state)
{
    (void)state;
    expect_error("ab\n{{ 1 + }}", STATUS_INVALID, "line 2, column 8");
    expect_error("{% if n %}\n{% nope %}{% endif %}", STATUS_INVALID,
                 "line 2, column 4: unknown tag");
    expect_error("{% for x in l %}{% endif %}", STATUS_INVALID,
                 "unexpected tag 'endif'; expected 'endfor' or 'else'");
    expect_error("{% if n %}{% endfor %}", STATUS_INVALID, "expected 'endif', 'elif' or 'else'");
    expect_error("{% macro m() %}{% else %}", STATUS_INVALID, "expected 'endmacro'");
    expect_error("{% endif %}", STATUS_INVALID, "unknown tag 'endif'");
    expect_error("\n\n  {{ n.x.y }}", STATUS_INVALID, "line 3, column 9");
    expect_error("{{ s|nope }}", STATUS_INVALID, "the filter 'nope' does not exist");
    expect_error("{{ s|pprint }}", STATUS_INVALID, "the filter 'pprint' is not supported");
    expect_error("{% block b %}{% endblock %}{% block b %}{% endblock %}", STATUS_INVALID, "twice");
    expect_error("{% block b required %}{% endblock %}", STATUS_INVALID, "not filled");
    expect_error("{% block b %}{{ super() }}{% endblock %}", STATUS_INVALID, "undefined");
    expect_error("{{ namespace(_a=1) }}", STATUS_INVALID, "underscore");
    expect_error("{% extends 'x' %}", STATUS_INVALID, "the tag 'extends' is not supported");
    expect_error("{% include 'x' %}", STATUS_INVALID, "the tag 'include' is not supported");
    expect_error("{{ l.append(1) }}", STATUS_INVALID, "unsafe");
    expect_error("{{ 1 + 'a' }}", STATUS_INVALID, "unsupported operand types");
    expect_error("{{ raise_exception('roles must alternate') }}", STATUS_INVALID,
                 "roles must alternate");
    expect_error("{% for x in l %}", STATUS_INVALID, "endfor");
    expect_error("{{ 'abc", STATUS_INVALID, "string has no end");
    expect_error("{{ 99999999999999999999 }}", STATUS_INVALID, "64 bits");
    expect_error("{{ 9223372036854775807 + 1 }}", STATUS_INVALID, "64-bit");
    expect_error("\xff", STATUS_INVALID, "not UTF-8");
}

static void test_raised_message_is_bare(void **state)
{
    (void)state;
    struct strbuf out;
    struct error err;
    const char *text = "{{ raise_exception('Only user and assistant') }}";
    assert_int_equal(render(text, strlen(text), &out, &err), STATUS_INVALID);
    assert_string_equal(err.message, "Only user and assistant");
    strbuf_free(&out);
}

/* `open` n times, `middle`, `close` n times. */
static char *nest(const char *open, const char *middle, const char *close, size_t n)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    for (size_t i = 0; i < n; i++) strbuf_add_str(&b, open);
    strbuf_add_str(&b, middle);
    for (size_t i = 0; i < n; i++) strbuf_add_str(&b, close);
    return strbuf_take(&b, NULL);
}

static void expect_nested_error(const char *before, const char *open, const char *middle,
                                const char *close, const char *after)
{
    char *inner = nest(open, middle, close, 20000);
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_add_str(&b, before);
    strbuf_add_str(&b, inner);
    strbuf_add_str(&b, after);
    expect_error(b.data, STATUS_INVALID, "nested too deeply");
    strbuf_free(&b);
    free(inner);
}

static void test_deep_source(void **state)
{
    (void)state;
    expect_nested_error("{{ ", "(", "1", ")", " }}");
    expect_nested_error("{{ ", "[", "1", "]", " }}");
    expect_nested_error("{{ ", "not ", "1", "", " }}");
    expect_nested_error("{{ ", "- ", "1", "", " }}");
    expect_nested_error("{{ s", ".a", "", "", " }}");
    expect_nested_error("{{ s", "|upper", "", "", " }}");
    expect_nested_error("{{ 1", " if 1 else 1", "", "", " }}");
    expect_nested_error("", "{% if 1 %}", "", "{% endif %}", "");
    expect_nested_error("", "{% macro f() %}", "", "{% endmacro %}", "");
    /* long but flat is fine */
    char *flat = nest("{% if 1 %}x{% endif %}", "", "", 2000);
    struct strbuf out;
    struct error err;
    assert_int_equal(render(flat, strlen(flat), &out, &err), STATUS_OK);
    assert_int_equal(out.len, 2000);
    strbuf_free(&out);
    free(flat);
}

static void test_bounds(void **state)
{
    (void)state;
    expect_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", STATUS_TOO_LARGE, "nested");
    expect_error("{% for x in [l] recursive %}{{ loop([x]) }}{% endfor %}", STATUS_TOO_LARGE,
                 "nested");
    expect_error("{% block b %}{{ self.b() }}{% endblock %}", STATUS_TOO_LARGE, "nested");
    expect_error("{{ range(1000000) }}", STATUS_INVALID, "range too big");
    expect_error("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                 STATUS_TOO_LARGE, "steps");
    expect_error("{{ 'x' * 100000000000 }}", STATUS_TOO_LARGE, "too long");
    expect_error("{{ [1] * 100000000000 }}", STATUS_TOO_LARGE, "too long");
    expect_error("{{ '%999999999d' % 1 }}", STATUS_TOO_LARGE, "too long");
    expect_error("{{ '{:999999999}'.format('a') }}", STATUS_TOO_LARGE, "too long");
    expect_error("{{ 'a'.center(999999999) }}", STATUS_TOO_LARGE, "too long");
    expect_error("{% set x = 'x' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
                 STATUS_TOO_LARGE, "output");
    expect_error("{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(100) %}"
                 "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                 STATUS_TOO_LARGE, "");
    expect_error("{% set ns = namespace(s=[]) %}{% for i in range(5000) %}"
                 "{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
                 STATUS_TOO_LARGE, "nested");
    expect_error("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", STATUS_TOO_LARGE,
                 "nested");
}

/* A sanitizer makes some scans tens of times slower: there a few of them stand for all. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SCAN_STRIDE = 13 };
#else
enum { SCAN_STRIDE = 1 };
#endif

/* Scans of long strings and lists count by their length, whatever they find. */
static void test_scans_are_charged(void **state)
{
    static const char *const scans[] = {
        "'aaaab' in x",
        "x.find('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab')",
        "x.rfind('b')",
        "x.rfind('ba')",
        "x.rfind('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab')",
        "x.find('b', 1, 9999990)",
        "x.count('aaab')",
        "x.count('b')",
        "x.split('ab')|length",
        "x.split()|length",
        "x.rsplit('ab')|length",
        "x.rsplit()|length",
        "x.splitlines()|length",
        "x.partition('ab')|length",
        "x.rpartition('ab')|length",
        "x.replace('ab', '')|length",
        "x|replace('a', '')",
        "x.replace('a', '')",
        "x.strip('a')",
        "x|trim('ba')",
        "x.startswith(x)",
        "x.endswith((y, y))",
        "x.removeprefix(y)",
        "x == y",
        "x < y",
        "x.isalpha()",
        "x is lower",
        "x|wordcount",
        "x.istitle()",
        "' ' in u",
        "u.find('b', 2)",
        "u.startswith('b', 2)",
        "b|trim",
        "b|int",
        "b|float",
        "b.split()",
        "1 in l",
        "l.count(1)",
        "l.index(0, 100) if l.count(1) else 1",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scans); i += SCAN_STRIDE) {
        char text[512];
        snprintf(text, sizeof(text),
                 "{%% set x = 'a' * 10000000 %%}{%% set y = 'a' * 5000000 ~ 'a' * 5000000 %%}"
                 "{%% set u = '\xc3\xa9' * 5000000 %%}{%% set b = ' ' * 10000000 %%}"
                 "{%% set l = [0] * 200000 %%}{%% for a in range(100) %%}{%% set z = %s %%}"
                 "{%% endfor %%}",
                 scans[i]);
        struct timespec before, after;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        expect_error(text, STATUS_TOO_LARGE, "steps");
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        /* well under a second on an idle machine; the bound leaves room for a busy one */
        double took =
            (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
        if (getenv("TEMPLATE_TIMES")) print_message("%.2f %s\n", took, scans[i]);
        if (took > 20) fail_msg("%s: %.1f s", scans[i], took);
    }
}

/* A long chain of one operator is flat, not deep. */
static void test_long_chains(void **state)
{
    static const struct {
        const char *first, *more, *want;
    } chains[] = {
        {"{{ 1", " + 1", "20001"}, {"{{ 20000", " - 1", "0"},    {"{{ 1", " * 1", "1"},
        {"{{ 1", " and 1", "1"},   {"{{ 0", " or 0", "0"},       {"{{ ''", " ~ ''", ""},
        {"{{ 1", " == 1", "True"}, {"{{ 0", " or 0 and 1", "0"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
        char *more = nest(chains[i].more, " }}", "", 20000);
        struct strbuf b;
        strbuf_init(&b, 0);
        strbuf_add_str(&b, chains[i].first);
        strbuf_add_str(&b, more);
        expect_text(&(struct sample){b.data, chains[i].want});
        strbuf_free(&b);
        free(more);
    }
    const struct sample order[] = {
        {"{{ 10 - 3 - 2 }} {{ 2 ** 3 ** 2 }} {{ 7 // 2 * 2 }} {{ 1 and 0 and x.y.z }}"
         " {{ 0 or 2 or x.y.z }}",
         "5 64 6 0 2"},
    };
    expect_text(&order[0]);
    expect_error("{{ 1 +\n 1 +\n 'a' + 2 }}", STATUS_INVALID, "line 2, column 4");
}

/* Lists grown in a loop, and a string of a megabyte built piece by piece, are ordinary work. */
static void test_large_but_legal(void **state)
{
    (void)state;
    const struct sample c = {
        "{% set ns = namespace(s='', l=[]) %}{% for i in range(20000) %}"
        "{% set ns.s = ns.s ~ 'fifty characters of text, again and again and again' %}"
        "{% endfor %}{{ ns.s|length }}",
        "1020000"};
    expect_text(&c);
}

static void test_size_limit(void **state)
{
    (void)state;
    char *big = malloc(LIMIT_TEMPLATE_SIZE + 1);
    assert_non_null(big);
    memset(big, 'a', LIMIT_TEMPLATE_SIZE + 1);
    struct strbuf out;
    struct error err;
    assert_int_equal(render(big, LIMIT_TEMPLATE_SIZE + 1, &out, &err), STATUS_INVALID);
    assert_int_equal(render(big, LIMIT_TEMPLATE_SIZE, &out, &err), STATUS_OK);
    assert_int_equal(out.len, LIMIT_TEMPLATE_SIZE);
    strbuf_free(&out);
    free(big);
}

/* Every prefix of a template compiles or is refused; none reads past its end. */
static void test_prefixes(void **state)
{
    (void)state;
    static const char text[] =
        "{%- for m in messages if m.role != 'x' -%}{{ '<|' ~ m['role'] + '|>' }}{# c #}"
        "{% raw %}{{{% endraw %}{% set a, b = 1.5e3, {'k': [1, 'x\\u00e9']} %}{% endfor +%}\n"
        "{% macro f(x, y=1) %}{{ x|default(y, true)|join(', ') is not none }}{% endmacro %}"
        "{% call(z) f(*l, **d) %}{{ z[1:-1:2] }}{% endcall %}";
    for (size_t len = 0; len < sizeof(text); len++) {
        char *exact = malloc(len + 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(exact);
        memcpy(exact, text, len);
        struct strbuf out;
        struct error err;
        char *end = realloc(exact, len ? len : 1);
        assert_non_null(end);
        render(end, len, &out, &err);
        strbuf_free(&out);
        free(end);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1); /* strftime_now gives local time */
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constructs),
        cmocka_unit_test(test_error_positions),
        cmocka_unit_test(test_raised_message_is_bare),
        cmocka_unit_test(test_deep_source),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_scans_are_charged),
        cmocka_unit_test(test_long_chains),
        cmocka_unit_test(test_large_but_legal),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
