/* config/base: status, strings, arena, files, hash, rng, ring, lists, log, the step guard. */
#include "config/base/arena.h"
#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/hash.h"
#include "config/base/list.h"
#include "config/base/log.h"
#include "config/base/ring.h"
#include "config/base/rng.h"
#include "config/base/status.h"
#include "config/base/str.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_status(void **state)
{
    (void)state;
    assert_string_equal(status_name(STATUS_INVALID), "INVALID");
    assert_int_equal(status_http(STATUS_OVERLOADED), 429);
    assert_string_equal(status_api_code(STATUS_CONTEXT_LENGTH), "context_length_exceeded");
    assert_null(status_api_code(STATUS_INVALID));
    assert_string_equal(status_api_type(STATUS_INTERNAL), "server_error");

    struct error err;
    assert_int_equal(error_set_param(&err, STATUS_INVALID, "top_p", "bad %d", 7), STATUS_INVALID);
    assert_string_equal(err.param, "top_p");
    assert_int_equal(error_prepend(&err, "file %s", "x"), STATUS_INVALID);
    assert_string_equal(err.message, "file x: bad 7");
    assert_string_equal(err.param, "top_p");
    assert_int_equal(error_set(NULL, STATUS_IO, "nobody listens"), STATUS_IO);
}

static void test_status_cuts_at_a_character(void **state)
{
    (void)state;
    char text[700];
    struct error err;
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof(text) - 1; i += 3) memcpy(text + i, "\xE2\x82\xAC", 4);
        error_set(&err, STATUS_INVALID, "%s", text);
        size_t len = strlen(err.message);
        assert_true(len >= sizeof(err.message) - 4);
        assert_true(utf8_valid(err.message, len));
    }
    error_set(&err, STATUS_INVALID, "broken \xC3(");
    assert_string_equal(err.message, "broken ?(");
}

static void test_strbuf(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_add_u64(&b, 0);
    strbuf_add_char(&b, ' ');
    strbuf_add_u64(&b, UINT64_MAX);
    strbuf_add_char(&b, ' ');
    strbuf_add_i64(&b, INT64_MIN);
    strbuf_addf(&b, " %s-%d", "x", 5);
    assert_string_equal(b.data, "0 18446744073709551615 -9223372036854775808 x-5");
    strbuf_clear(&b);
    for (int i = 0; i < 1000; i++) strbuf_addf(&b, "%03d", i);
    assert_int_equal(b.len, 3000);
    assert_memory_equal(b.data + 2997, "999", 4);
    size_t len;
    char *text = strbuf_take(&b, &len);
    assert_int_equal(len, 3000);
    assert_null(b.data);
    free(text);
    text = strbuf_take(&b, &len);
    assert_string_equal(text, "");
    free(text);
}

static void test_strbuf_limit(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b, 5);
    strbuf_add_str(&b, "abc");
    strbuf_addf(&b, "%d", 12345);
    assert_true(b.failed);
    assert_string_equal(b.data, "abc");
    strbuf_add_str(&b, "d");
    assert_string_equal(b.data, "abc");
    strbuf_clear(&b);
    strbuf_add_str(&b, "12345");
    assert_false(b.failed);
    strbuf_add_char(&b, '6');
    assert_true(b.failed);
    assert_null(strbuf_take(&b, NULL));
    strbuf_add(&b, "x", SIZE_MAX / 2);
    assert_true(b.failed);
    strbuf_free(&b);
}

static void assert_json(const char *in, size_t len, const char *want)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_add_json(&b, in, len);
    assert_false(b.failed);
    assert_string_equal(b.data, want);
    strbuf_free(&b);
}

static void test_json_string(void **state)
{
    (void)state;
    assert_json("", 0, "\"\"");
    assert_json("a\"\\\n\r\t\b\f\x01\x1f\x7f/", 12,
                "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u001f\x7f/\"");
    assert_json("a\0b", 3, "\"a\\u0000b\"");
    assert_json("\xC3\xA9\xF0\x9F\x98\x80", 6, "\"\xC3\xA9\xF0\x9F\x98\x80\"");
    /* The replacement of the Unicode standard, table 3-8: <61 F1 80 80 E1 80 C2 62 80 63 80 BF
     * 64> becomes a ??? b ? c ?? d. */
    assert_json("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", 13,
                "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                "b\xEF\xBF\xBD"
                "c\xEF\xBF\xBD\xEF\xBF\xBD"
                "d\"");
}

static void test_utf8(void **state)
{
    (void)state;
    uint32_t cp;
    char out[4];
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        int n = utf8_encode(c, out);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(utf8_decode(out, (size_t)n, &cp), n);
        assert_int_equal(cp, surrogate ? 0xFFFD : c);
        if (n > 1) assert_int_equal(utf8_decode(out, (size_t)n - 1, &cp), 0);
    }
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xFF",
                                      "\xF5\x80\x80\x80",
                                      "\xC3("};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(utf8_decode(bad[i], strlen(bad[i]), &cp), 0);
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_true(utf8_valid("a\xC3\xA9", 3));
    assert_true(utf8_valid("", 0));
}

static void test_utf8_complete(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t want;
    } cases[] = {
        {"", 0},
        {"ab", 2},
        {"a\xC3", 1},
        {"a\xC3\xA9", 3},
        {"a\xE2\x82", 1},
        {"a\xE2\x82\xAC", 4},
        {"\xF0\x9F\x98", 0},
        {"\xF0\x9F\x98\x80", 4},
        {"a\xED\xA0", 3},
        {"a\x80\x80", 3},
        {"\x80\x80\x80\x80", 4},
        {"\xF5\x80", 2},
        {"\xE2(", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(utf8_complete_len(cases[i].text, strlen(cases[i].text)), cases[i].want);
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t i;
    uint64_t u;
    double d;
    assert_true(parse_i64("-9223372036854775808", &i) && i == INT64_MIN);
    assert_true(parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_true(parse_f64("-1.5e3", &d) && d == -1500);
    static const char *const bad[] = {"", " 1", "1 ", "+1", "0x10", "abc", "1x", "--1", "-"};
    for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
        assert_false(parse_i64(bad[k], &i));
        assert_false(parse_u64(bad[k], &u));
        assert_false(parse_f64(bad[k], &d));
    }
    assert_false(parse_i64("9223372036854775808", &i));
    assert_false(parse_u64("-1", &u));
    assert_false(parse_f64("inf", &d));
    assert_false(parse_f64("nan", &d));
    assert_false(parse_f64("1e999", &d));
    assert_false(parse_i64(NULL, &i));
    assert_int_equal(str_distance("kitten", "sitting", 5), 3);
    assert_int_equal(str_distance("kitten", "sitting", 2), 3);
    assert_int_equal(str_distance("", "abc", 5), 3);
    assert_int_equal(str_distance("same", "same", 5), 0);
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_false(str_starts_with(STR("a"), STR("ab")));
    assert_true(str_eq(str_from(NULL), STR("")));
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < 3000; i++) {
        unsigned char *p = arena_alloc(&a, i % 977);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < i % 977; k++) assert_int_equal(p[k], 0);
        memset(p, 0xAB, i % 977);
    }
    assert_non_null(arena_alloc(&a, 5 << 20));
    assert_string_equal(arena_strndup(&a, "hello", 4), "hell");
    assert_null(arena_alloc_array(&a, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_free(&a);
    assert_int_equal(a.used_size, 0);
    arena_init(&a, 1000);
    assert_non_null(arena_alloc(&a, 900));
    assert_null(arena_alloc(&a, 200));
    arena_free(&a);
    assert_int_equal(a.limit_size, 1000);
    assert_non_null(arena_alloc(&a, 900));
    arena_free(&a);
}

static void test_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/inferd-test-XXXXXX", path[64];
    struct error err;
    char *data;
    size_t len;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(path_join(path, sizeof(path), dir, "f", &err), STATUS_OK);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite("a\0b", 1, 3, f), 3);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(file_read(path, 3, &data, &len, &err), STATUS_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b\0", 4);
    free(data);
    assert_int_equal(file_read(path, 2, &data, &len, &err), STATUS_TOO_LARGE);
    assert_null(data);
    assert_true(file_exists(path));
    unlink(path);
    assert_false(file_exists(path));
    assert_int_equal(file_read(path, 2, &data, &len, &err), STATUS_NOT_FOUND);
    assert_int_equal(file_read(dir, 2, &data, &len, &err), STATUS_INVALID);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, 2, &data, &len, &err), STATUS_INVALID);
    unlink(path);
    rmdir(dir);
    assert_int_equal(path_join(path, 5, "abc", "de", &err), STATUS_INVALID);
    assert_int_equal(path_join(path, 7, "abc/", "de", &err), STATUS_OK);
    assert_string_equal(path, "abc/de");
}

/* Known answers: the file kat_vectors that is published with Random123 (philox4x32, 10 rounds). */
static void test_philox(void **state)
{
    (void)state;
    static const struct {
        uint64_t key, hi, lo;
        uint32_t want[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t out[4];
        rng_philox(cases[i].key, cases[i].hi, cases[i].lo, out);
        assert_memory_equal(out, cases[i].want, sizeof(out));
    }
    assert_true(rng_open01(0) > 0);
    assert_true(rng_open01(UINT32_MAX) < 1);
}

static void test_rng(void **state)
{
    (void)state;
    /* splitmix64 from state 1234567: the sequence published with Vigna's reference code. */
    struct rng r = {1234567};
    assert_true(rng_next(&r) == 6457827717110365317u);
    assert_true(rng_next(&r) == 3203168211198807973u);
    const int n = 200000;
    double sum = 0, sum2 = 0, exponential = 0;
    uint64_t below = 0;
    for (int i = 0; i < n; i++) {
        double v = rng_normal(&r);
        sum += v;
        sum2 += v * v;
        exponential += rng_exponential(&r, 3);
        uint64_t b = rng_below(&r, 10);
        assert_true(b < 10);
        below += b;
    }
    /* Five standard deviations of each mean. */
    assert_true(fabs(sum / n) < 5 / sqrt(n));
    assert_true(fabs(sum2 / n - 1) < 5 * sqrt(2.0 / n));
    assert_true(fabs(exponential / n - 3) < 5 * 3 / sqrt(n));
    assert_true(fabs((double)below / n - 4.5) < 5 * 2.88 / sqrt(n));
}

static void test_hash(void **state)
{
    (void)state;
    /* XXH3_64bits of the empty input, seed 0: the published test vector. */
    assert_true(hash_bytes("", 0, 0) == 0x2D06800538D394C2u);
    assert_true(hash_bytes("a", 1, 0) != hash_bytes("a", 1, 1));
    assert_true(hash_process_seed() == hash_process_seed());
    assert_true(hash_process_seed() != 0);
}

#define RING_ITEMS 200000

static void *produce(void *arg)
{
    struct ring *r = arg;
    for (uint64_t i = 0; i < RING_ITEMS;) {
        if (ring_push(r, &i)) {
            i++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void test_ring(void **state)
{
    (void)state;
    struct ring r;
    assert_false(ring_init(&r, 8, UINT32_MAX));
    assert_false(ring_init(&r, 0, 1));
    assert_true(ring_init(&r, sizeof(uint64_t), 5));
    assert_int_equal(ring_space(&r), 8);
    uint64_t v;
    assert_false(ring_pop(&r, &v));
    for (uint64_t i = 0; i < 8; i++) assert_true(ring_push(&r, &i));
    assert_false(ring_push(&r, &v));
    assert_int_equal(ring_count(&r), 8);
    for (uint64_t i = 0; i < 8; i++) assert_true(ring_pop(&r, &v) && v == i);

    atomic_store(&r.head, UINT32_MAX - 3); /* positions wrap around */
    atomic_store(&r.tail, UINT32_MAX - 3);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
    for (uint64_t i = 0; i < RING_ITEMS;) {
        if (ring_pop(&r, &v)) {
            assert_true(v == i);
            i++;
        } else {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(ring_count(&r), 0);
    ring_free(&r);
}

struct numbered {
    int n;
    struct list link;
};

static void test_list(void **state)
{
    (void)state;
    struct list head;
    struct numbered items[4];
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i].n = i;
        if (i < 2)
            list_push_back(&head, &items[i].link);
        else
            list_push_front(&head, &items[i].link);
    }
    int seen = 0, want[] = {3, 2, 0, 1};
    list_for_each (node, &head) {
        struct numbered *item = list_entry(node, struct numbered, link);
        assert_int_equal(item->n, want[seen++]);
        list_remove(node); /* allowed while walking */
    }
    assert_int_equal(seen, 4);
    assert_true(list_empty(&head));
    assert_true(list_empty(&items[0].link));
}

/* One line as log_event writes it, without its level and time. */
static void capture_log(char *out, size_t out_size, const char *what, const char *value)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    const char *volatile absent = NULL;
    log_event(LOG_WARN, what, "s=%s no=%s n=%d z=%zu f=%.2f nan=%.1f at=%s:%d", value, absent, -3,
              (size_t)9, 1.5, (double)NAN, value, 80);
    log_event(LOG_DEBUG, "hidden", "a=%d", 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], out, out_size - 1);
    close(ends[0]);
    assert_true(n > 0);
    out[n] = '\0';
}

static void test_log(void **state)
{
    (void)state;
    char line[6000];
    log_setup(LOG_INFO, false);
    assert_false(log_enabled(LOG_DEBUG));
    capture_log(line, sizeof(line), "event", "plain");
    assert_memory_equal(line, "warning 2", 9);
    assert_non_null(strstr(line, "Z event s=plain n=-3 z=9 f=1.50 at=plain:80\n"));
    capture_log(line, sizeof(line), "event", "a b\"\n\x1b[1m\xC2\x9B\xFF\xF0\x9F\x98\x80");
    assert_non_null(strstr(
        line,
        " s=\"a b\\\"\\u000a\\u001b[1m\\u009b\\ufffd\\ud83d\\ude00\" n=-3 z=9 f=1.50 at=\"a"));
    log_setup(LOG_INFO, true);
    capture_log(line, sizeof(line), "event", "12");
    assert_memory_equal(line, "{\"level\":\"warning\",\"time\":\"2", 28);
    assert_non_null(strstr(line, "\"event\":\"event\",\"s\":\"12\",\"n\":-3,\"z\":9,\"f\":1.50,"
                                 "\"at\":\"12:80\"}\n"));
    char big[5000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    capture_log(line, sizeof(line), "event", big);
    assert_true(strlen(line) < sizeof(line) - 1);
    assert_int_equal(line[strlen(line) - 1], '\n');
    log_setup(LOG_INFO, false);
}

/* A reader that hangs: nothing waits, and what was lost is counted once it reads again. */
static void test_log_waits_for_nobody(void **state)
{
    (void)state;
    int ends[2], n_logged = 0;
    static char text[1 << 20];
    assert_int_equal(pipe(ends), 0);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    for (; n_logged < 3000; n_logged++) log_event(LOG_INFO, "filler", "i=%d", n_logged);
    ssize_t first = read(ends[0], text, sizeof(text) - 1);
    log_event(LOG_INFO, "after", "i=%d", n_logged);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t second = read(ends[0], text + first, sizeof(text) - 1 - (size_t)first);
    close(ends[0]);
    assert_in_range(first, 4096, sizeof(text) - 4096);
    assert_true(second > 0);
    text[first + second] = '\0';
    int n_read = 0;
    for (const char *p = text; (p = strstr(p, " filler i=")); p++) n_read++;
    const char *lost = strstr(text, " log_lines_lost n=");
    assert_non_null(lost);
    assert_int_equal(n_read + atoi(lost + strlen(" log_lines_lost n=")), n_logged);
    assert_non_null(strstr(lost, " after i=3000\n"));
}

#if INFERD_DEBUG_CHECKS
/* How the child ended: true when it aborted. */
static bool aborts(void (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        body();
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    return !(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void *volatile sink;

static void allocate_outside(void)
{
    step_guard_enter();
    step_guard_leave();
    sink = malloc(10);
    free(sink);
}
static void malloc_inside(void)
{
    step_guard_enter();
    sink = malloc(10);
}
static void realloc_inside(void)
{
    sink = malloc(10);
    step_guard_enter();
    step_guard_enter();
    step_guard_leave();
    sink = realloc(sink, 100);
}
static void free_inside(void)
{
    sink = malloc(10);
    step_guard_enter();
    free(sink);
}
static void aligned_inside(void)
{
    step_guard_enter();
    sink = aligned_alloc(64, 640);
}

static void test_step_guard(void **state)
{
    (void)state;
    assert_false(aborts(allocate_outside));
    assert_true(aborts(malloc_inside));
    assert_true(aborts(realloc_inside));
    assert_true(aborts(free_inside));
    assert_true(aborts(aligned_inside));
    assert_true(aborts(step_guard_leave));
}
#endif

static void test_clock(void **state)
{
    (void)state;
    uint64_t us = clock_now_us(), ns = clock_now_ns();
    assert_true(ns / 1000 >= us && ns / 1000 - us < 10000000);
    assert_true(clock_unix_s() > 1600000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_status_cuts_at_a_character),
        cmocka_unit_test(test_strbuf),
        cmocka_unit_test(test_strbuf_limit),
        cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_complete),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_waits_for_nobody),
        cmocka_unit_test(test_clock),
#if INFERD_DEBUG_CHECKS
        cmocka_unit_test(test_step_guard),
#endif
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
