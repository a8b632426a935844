/* Stop strings: whatever the cuts, the shown text is the text up to the first place where any stop
 * string ends.  The reference looks at the whole text at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "config/base/rng.h"
#include "server/stop.h"

struct expected {
    int found;
    size_t shown;
};

/* First end; of those that end there, the longest. */
static struct expected reference(const char *text, size_t len, const struct str *stops, int n,
                                 size_t armed_from, bool include)
{
    for (size_t end = armed_from + 1; end <= len; end++) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            if (stops[i].len > end ||
                memcmp(text + end - stops[i].len, stops[i].data, stops[i].len))
                continue;
            if (best < 0 || stops[i].len > stops[best].len) best = i;
        }
        if (best >= 0) return (struct expected){best, include ? end : end - stops[best].len};
    }
    return (struct expected){-1, len};
}

/* Whether the longest suffix that could begin a stop string is all that is held. */
static size_t longest_beginning(const char *text, size_t len, const struct str *stops, int n)
{
    size_t longest = 0;
    for (int i = 0; i < n; i++)
        for (size_t k = 1; k < stops[i].len && k <= len; k++)
            if (memcmp(text + len - k, stops[i].data, k) == 0 && k > longest) longest = k;
    return longest;
}

static void random_text(struct rng *r, char *out, size_t len, unsigned n_letters)
{
    for (size_t i = 0; i < len; i++) out[i] = (char)('a' + rng_below(r, n_letters));
}

static void run_case(struct rng *r)
{
    char text[200], strings[LIMIT_STOP_STRINGS][12];
    struct str stops[LIMIT_STOP_STRINGS];
    unsigned n_letters = 1 + (unsigned)rng_below(r, 3);
    int n = (int)rng_below(r, 5);
    size_t len = rng_below(r, sizeof(text));
    bool include = rng_below(r, 2);
    struct arena arena;
    struct stop_set set;
    struct stop_state st = {0};
    struct strbuf out;

    random_text(r, text, len, n_letters);
    for (int i = 0; i < n; i++) {
        stops[i] = (struct str){strings[i], 1 + rng_below(r, sizeof(strings[i]))};
        random_text(r, strings[i], stops[i].len, n_letters);
    }
    arena_init(&arena, 0);
    strbuf_init(&out, 0);
    assert_true(stop_set_init(&set, &arena, stops, n));
    /* A match that ends in the first pieces does not count (min_tokens). */
    size_t armed_from = rng_below(r, 3) == 0 ? rng_below(r, len + 1) : 0;
    struct expected want = reference(text, len, stops, n, armed_from, include);

    int found = -1;
    for (size_t at = 0; at < len && found < 0;) {
        size_t piece = 1 + rng_below(r, 7);
        if (piece > len - at) piece = len - at;
        if (at < armed_from && at + piece > armed_from) piece = armed_from - at;
        bool armed = at >= armed_from;
        found = stop_push(&set, &st, (struct str){text + at, piece}, armed, include, &out);
        at += piece;
        if (found < 0) assert_int_equal(at - out.len, longest_beginning(text, at, stops, n));
    }
    if (found < 0) stop_flush(&set, &st, &out);
    assert_int_equal(want.found < 0, found < 0);
    if (found >= 0) assert_true(str_eq(stops[found], stops[want.found]));
    assert_int_equal(out.len, want.shown);
    if (out.len > 0) assert_memory_equal(out.data, text, out.len);
    strbuf_free(&out);
    arena_free(&arena);
}

static void any_split_gives_the_same_text(void **state)
{
    struct rng r = {7};
    (void)state;
    for (int i = 0; i < 50000; i++) run_case(&r);
}

static void push_all(struct stop_set *set, const char *const *pieces, struct strbuf *out,
                     int *found)
{
    struct stop_state st = {0};
    *found = -1;
    for (; *pieces && *found < 0; pieces++)
        *found = stop_push(set, &st, str_from(*pieces), true, false, out);
    if (*found < 0) stop_flush(set, &st, out);
}

static void known_cases(void **state)
{
    static const struct {
        const char *stops[3], *pieces[6], *shown;
        int found;
    } cases[] = {
        {{"\n\n"}, {"one\n", "two", "\n", "\nthree"}, "one\ntwo", 0},
        {{"END"}, {"E", "N", "x", "EN"}, "ENxEN", -1},
        {{"aab"}, {"a", "a", "a", "b"}, "a", 0},
        {{"\xc3\xa9\xc3\xa9"}, {"caf\xc3\xa9", "\xc3\xa9", "!"}, "caf", 0},
        {{"stop", "st"}, {"a s", "t", "op"}, "a ", 1},
        {{"b", "abcX"}, {"abc"}, "a", 0},
        {{"abc", "bc"}, {"xab", "c"}, "x", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str stops[3];
        int n = 0, found;
        struct arena arena;
        struct stop_set set;
        struct strbuf out;
        while (n < 3 && cases[i].stops[n]) {
            stops[n] = str_from(cases[i].stops[n]);
            n++;
        }
        arena_init(&arena, 0);
        strbuf_init(&out, 0);
        strbuf_add_str(&out, "");
        assert_true(stop_set_init(&set, &arena, stops, n));
        push_all(&set, cases[i].pieces, &out, &found);
        assert_int_equal(found, cases[i].found);
        assert_string_equal(out.data ? out.data : "", cases[i].shown);
        strbuf_free(&out);
        arena_free(&arena);
    }
}

static void longest_string_is_held_whole(void **state)
{
    static char text[LIMIT_STOP_STRING_LEN];
    struct str stop = {text, sizeof(text)};
    struct arena arena;
    struct stop_set set;
    struct stop_state st = {0};
    struct strbuf out;
    (void)state;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 'y';
    arena_init(&arena, 0);
    strbuf_init(&out, 0);
    assert_true(stop_set_init(&set, &arena, &stop, 1));
    for (int i = 0; i < 5000; i++)
        assert_int_equal(stop_push(&set, &st, STR("x"), true, false, &out), -1);
    assert_int_equal(out.len, 5000 - (LIMIT_STOP_STRING_LEN - 1));
    assert_int_equal(stop_push(&set, &st, STR("y"), true, false, &out), 0);
    assert_int_equal(out.len, 5000 - (LIMIT_STOP_STRING_LEN - 1));
    strbuf_free(&out);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_text),
        cmocka_unit_test(known_cases),
        cmocka_unit_test(longest_string_is_held_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
