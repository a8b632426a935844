/* server/bench: the response parser and the event scanner, cut at every byte; histogram, URL,
 * traces, requests; and whole runs against a small server that misbehaves on demand. */
#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/json.h"
#include "server/bench/histogram.h"
#include "server/bench/report.h"
#include "server/bench/response.h"
#include "server/bench/run.h"
#include "server/bench/sse_scan.h"
#include "server/bench/trace.h"
#include "server/bench/url.h"
#include "server/bench/workload.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- responses ------------------------------------------------------------------------------- */

/* Feeds text[0, cut) and text[cut, len); the body into `body`.  The last event. */
static enum response_event feed(struct response *r, const char *text, size_t len, size_t cut,
                                struct strbuf *body)
{
    const char *at = text, *ends[2] = {text + cut, text + len};
    enum response_event ev = RESPONSE_MORE;
    response_init(r);
    strbuf_clear(body);
    for (int part = 0; part < 2 && ev == RESPONSE_MORE; part++) {
        /* An exact copy of what is left, so that a sanitizer sees a read beyond it. */
        size_t n = (size_t)(ends[part] - at);
        char *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, at, n);
        const char *p = copy;
        struct str piece;
        while ((ev = response_next(r, &p, copy + n, &piece)) == RESPONSE_BODY)
            strbuf_add(body, piece.data, piece.len);
        at += p - copy;
        free(copy);
    }
    return ev;
}

static void test_responses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *body;
        int status;
        bool keep_alive, stream, until_close;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, true, false, false},
        {"HTTP/1.1 429 Too Many\r\ncontent-length:2\r\nConnection: close\r\n\r\n{}", "{}", 429,
         false, false, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream; "
         "x\r\n\r\n"
         "3\r\nabc\r\nA;ext=\"1\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
         "abc0123456789", 200, true, true, false},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", 200, true,
         false, false},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", 204, true, false, false},
        {"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", 200, false, false, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 200, false, false, false},
        {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", "x", 200, true,
         false, false},
    };
    static struct response r;
    struct strbuf body;
    strbuf_init(&body, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t cut = 0; cut <= len; cut++) {
            enum response_event ev = feed(&r, cases[i].text, len, cut, &body);
            if (cases[i].until_close) {
                assert_int_equal(ev, RESPONSE_MORE);
                ev = response_end(&r);
            }
            if (ev != RESPONSE_DONE) fail_msg("case %zu cut %zu: %s", i, cut, r.wrong);
            assert_int_equal(r.status, cases[i].status);
            assert_int_equal(body.len, strlen(cases[i].body));
            if (body.len) assert_string_equal(body.data, cases[i].body);
            assert_int_equal(r.keep_alive, cases[i].keep_alive);
            assert_int_equal(r.event_stream, cases[i].stream);
        }
        /* Cut short anywhere it is neither whole nor wrong, and its end is an error. */
        for (size_t n = 0; n < len && !cases[i].until_close; n++) {
            assert_int_equal(feed(&r, cases[i].text, n, n / 2, &body), RESPONSE_MORE);
            assert_int_equal(response_end(&r), RESPONSE_BAD);
            assert_int_equal(r.started, n > 0);
        }
    }
    strbuf_free(&body);
}

static void test_bad_responses(void **state)
{
    (void)state;
#define OK_LINE "HTTP/1.1 200 OK\r\n"
    static const char *const cases[] = {
        "HTTP/2 200 OK\r\n",
        "HTTP/1.1 20 OK\r\n",
        "HTTP/1.1 999 OK\r\n",
        "HTTP/1.1 2000\r\n",
        "http/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\n",
        "\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        OK_LINE "Content-Length: 5\n\r\n",
        OK_LINE "Content-Length : 5\r\n\r\n",
        OK_LINE " folded\r\n\r\n",
        OK_LINE ": x\r\n\r\n",
        OK_LINE "no colon\r\n\r\n",
        OK_LINE "X: a\rb\r\n\r\n",
        OK_LINE "X: a\x01\r\n\r\n",
        OK_LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        OK_LINE "Content-Length: -5\r\n\r\n",
        OK_LINE "Content-Length: +5\r\n\r\n",
        OK_LINE "Content-Length: 5x\r\n\r\n",
        OK_LINE "Content-Length:\r\n\r\n",
        OK_LINE "Content-Length: 99999999999999999999\r\n\r\n",
        OK_LINE "Content-Length: 99999999999999\r\n\r\n",
        OK_LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK_LINE "Transfer-Encoding: gzip\r\n\r\n",
        OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK_LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"
        CHUNKED "\r\n",
        CHUNKED "x\r\n",
        CHUNKED "-1\r\n",
        CHUNKED "5\n",
        CHUNKED "5\r\r",
        CHUNKED "fffffffff1\r\n",
        CHUNKED "1\r\nab",
        CHUNKED "1\r\na\rb",
        CHUNKED "1;\x01\r\n",
    };
    static struct response r;
    struct strbuf body;
    strbuf_init(&body, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i]);
        for (size_t cut = 0; cut <= len; cut++) {
            if (feed(&r, cases[i], len, cut, &body) != RESPONSE_BAD)
                fail_msg("case %zu cut %zu accepted", i, cut);
            assert_non_null(r.wrong);
            assert_false(r.keep_alive);
        }
    }
    /* Endless lines and heads end. */
    strbuf_clear(&body);
    struct strbuf text;
    strbuf_init(&text, 0);
    strbuf_add_str(&text, OK_LINE "X: ");
    for (int i = 0; i < RESPONSE_LINE_MAX; i++) strbuf_add_char(&text, 'x');
    assert_int_equal(feed(&r, text.data, text.len, 10, &body), RESPONSE_BAD);
    strbuf_clear(&text);
    strbuf_add_str(&text, OK_LINE);
    while (text.len < RESPONSE_HEAD_MAX) strbuf_add_str(&text, "X: y\r\n");
    assert_int_equal(feed(&r, text.data, text.len, 10, &body), RESPONSE_BAD);
    strbuf_clear(&text);
    strbuf_add_str(&text, CHUNKED "1;");
    for (int i = 0; i < 2000; i++) strbuf_add_char(&text, 'x');
    assert_int_equal(feed(&r, text.data, text.len, 10, &body), RESPONSE_BAD);
    strbuf_free(&text);
    strbuf_free(&body);
}

/* Changed bytes: any verdict, no crash, and the body never longer than the input. */
static void test_mutated_responses(void **state)
{
    (void)state;
    static const char good[] = CHUNKED "3\r\nabc\r\nA;e\r\n0123456789\r\n0\r\nT: x\r\n\r\n";
    static struct response r;
    struct rng rng = {1};
    struct strbuf body;
    char text[sizeof(good)];
    strbuf_init(&body, 0);
    for (int i = 0; i < 100000; i++) {
        memcpy(text, good, sizeof(good));
        for (uint64_t k = 1 + rng_below(&rng, 3); k > 0; k--)
            text[rng_below(&rng, sizeof(good) - 1)] = (char)rng_below(&rng, 256);
        feed(&r, text, sizeof(good) - 1, rng_below(&rng, sizeof(good)), &body);
        assert_true(body.len < sizeof(good));
    }
    strbuf_free(&body);
}

/* --- events ---------------------------------------------------------------------------------- */

static const char stream[] =
    ": a comment\n\n"
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n"
    "event: x\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"\\\"text\\\":\\\"\"}}]}\r\n\r\n"
    "data: {\"choices\":[{\"index\":0,\"text\":\"\"}]}\n\n"
    "data: {\"choices\":[{\"index\":0,\"text\":\"\\n\"}]}\n\n"
    "data: {\"choices\": [{\"index\": 0, \"text\": \"spaced\"}]}\n\n"
    "data: "
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"total_tokens\":15,\"completion_tokens\":3,"
    "\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\n"
    "data: [DONE]\n\n";

static void test_events(void **state)
{
    (void)state;
    struct sse_scan s;
    sse_scan_init(&s);
    for (size_t cut = 0; cut < sizeof(stream); cut++) {
        sse_scan_reset(&s);
        size_t len = sizeof(stream) - 1;
        if (cut > len) cut = len;
        uint64_t n = sse_scan_feed(&s, stream, cut);
        assert_true(n == s.n_content);
        n += sse_scan_feed(&s, stream + cut, len - cut);
        assert_int_equal(n, 4);
        assert_int_equal(s.n_content, 4);
        assert_int_equal(s.n_events, 7);
        assert_true(s.done && !s.failed && s.usage.present);
        assert_int_equal(s.usage.prompt_tokens, 12);
        assert_int_equal(s.usage.completion_tokens, 3);
        assert_int_equal(s.usage.cached_tokens, 8);
    }
    sse_scan_reset(&s);
    for (size_t i = 0; i < sizeof(stream) - 1; i++) sse_scan_feed(&s, stream + i, 1);
    assert_int_equal(s.n_content, 4);
    sse_scan_reset(&s);
    static const char error[] = "data: {\"error\":{\"message\":\"out of luck\"}}\n\n";
    assert_int_equal(sse_scan_feed(&s, error, sizeof(error) - 1), 0);
    assert_true(s.failed && !s.done);
    assert_non_null(strstr(s.error, "out of luck"));
    /* A line without end is given up, in bounded memory. */
    sse_scan_reset(&s);
    static char filler[1 << 20];
    memset(filler, 'x', sizeof(filler));
    for (int i = 0; i < 10; i++) sse_scan_feed(&s, filler, sizeof(filler));
    assert_true(s.failed);
    assert_true(s.lines.carry.cap <= SSE_LINE_MAX * 2);
    sse_scan_free(&s);
}

static void test_usage(void **state)
{
    (void)state;
    struct sse_usage u = {0};
    const char *text = "{\"usage\": {\"prompt_tokens\": 5, \"completion_tokens\" : 7}}";
    sse_find_usage(text, strlen(text), &u);
    assert_true(u.present);
    assert_int_equal(u.prompt_tokens, 5);
    assert_int_equal(u.completion_tokens, 7);
    assert_int_equal(u.cached_tokens, -1);
    static const char *const none[] = {"",           "{}",          "{\"usage\":null}",
                                       "{\"usage\"", "{\"usage\":", "{\"usage\":7}"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        u = (struct sse_usage){0};
        sse_find_usage(none[i], strlen(none[i]), &u);
        assert_false(u.present);
    }
}

/* --- histogram, URL, traces, requests -------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_histogram(void **state)
{
    (void)state;
    enum { N = 20001 };
    static uint64_t values[N];
    struct histogram *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    assert_true(histogram_quantile_ns(h, 0.5) == 0);
    struct rng rng = {7};
    double sum = 0;
    for (int i = 0; i < N; i++) { /* from 1 ns to 18 minutes, evenly in the logarithm */
        values[i] = rng_next(&rng) >> (24 + rng_below(&rng, 40));
        histogram_add(h, values[i]);
        sum += (double)values[i];
    }
    qsort(values, N, sizeof(values[0]), compare_u64);
    static const double quantiles[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        double rank = quantiles[i] * N;
        size_t at = rank <= 1 ? 0 : (size_t)rank + ((double)(size_t)rank < rank) - 1;
        double want = (double)values[at], got = histogram_quantile_ns(h, quantiles[i]);
        if (got < want * 0.996 || got > want * 1.004)
            fail_msg("quantile %g: %g, not %g", quantiles[i], got, want);
    }
    assert_true(h->min_ns == values[0] && h->max_ns == values[N - 1]);
    assert_true(histogram_mean_ns(h) == sum / N);
    histogram_add(h, UINT64_MAX);
    assert_true(h->max_ns == UINT64_MAX);
    memset(h, 0, sizeof(*h));
    for (int i = 0; i < 300; i++) histogram_add(h, 130);
    assert_true(histogram_quantile_ns(h, 0.5) == 130);
    free(h);
}

static void test_url(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *port, *prefix;
    } good[] = {
        {"http://127.0.0.1:8000", "127.0.0.1", "8000", ""},
        {"http://localhost", "localhost", "80", ""},
        {"http://h:1/", "h", "1", ""},
        {"http://h:1/v1", "h", "1", ""},
        {"http://h:1/llm/v1/", "h", "1", "/llm"},
        {"http://[::1]:9/x", "::1", "9", "/x"},
    };
    static const char *const bad[] = {
        "",           "127.0.0.1:8000", "https://h",   "http://",    "http://h:0", "http://h:99999",
        "http://h:x", "http://u@h",     "http://[::1", "http://h h", "http://h?x", "http://[::1]x"};
    struct bench_url u;
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(bench_url_parse(good[i].url, &u, &err), STATUS_OK);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.port, good[i].port);
        assert_string_equal(u.prefix, good[i].prefix);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_not_equal(bench_url_parse(bad[i], &u, &err), STATUS_OK);
}

static void test_traces(void **state)
{
    (void)state;
    struct trace_row *rows;
    size_t n;
    struct error err;
    const char *csv = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
                      "2023-11-16 18:15:59.5000000,374,44\r\n"
                      "2023-11-16 18:16:01.2500000,0,0\r\n"
                      "2023-11-16 18:15:58.0000000+00:00,5,6";
    assert_int_equal(trace_parse(csv, strlen(csv), &rows, &n, &err), STATUS_OK);
    assert_int_equal(n, 3);
    assert_true(rows[0].at_s == 0 && rows[0].input_len == 5 && rows[0].output_len == 6);
    assert_true(rows[1].at_s == 1.5 && rows[1].input_len == 374);
    assert_true(rows[2].at_s == 3.25 && rows[2].input_len == 1 && rows[2].output_len == 1);
    free(rows);
    const char *jsonl = "{\"timestamp\": 0, \"input_length\": 6758, \"output_length\": 500}\n\n"
                        "{\"timestamp\": 2500, \"input_length\": 7, \"output_length\": 8}\n";
    assert_int_equal(trace_parse(jsonl, strlen(jsonl), &rows, &n, &err), STATUS_OK);
    assert_int_equal(n, 2);
    assert_true(rows[1].at_s == 2.5 && rows[1].output_len == 8);
    free(rows);
    static const char *const bad[] = {
        "",
        "TIMESTAMP,a,b\n",
        "x\n",
        "2023-13-16 18:15:59.5,1,2\n",
        "2023-11-16 18:15:59.5,1\n",
        "2023-11-16 18:15:59.5,1,2,3\n",
        "2023-11-16 18:15:59.5,-1,2\n",
        "2023\n",
        "{\"timestamp\": 0}\n",
        "{\"timestamp\": 0, \"input_length\": 1.5, \"output_length\": 5}\n",
        "{\"timestamp\": \"0\", \"input_length\": 1, \"output_length\": 5}\n",
        "{\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_not_equal(trace_parse(bad[i], strlen(bad[i]), &rows, &n, &err), STATUS_OK);
        assert_null(rows);
    }
}

static void test_public_traces(void **state)
{
    (void)state;
    /* Counts, seconds and sums as Python's csv, json and datetime have them. */
    static const struct {
        const char *path;
        size_t n;
        double seconds;
        int64_t input, output;
    } files[] = {
        {"traces-azure/AzureLLMInferenceTrace_code.csv", 8819, 3435.948056, 18059974, 245896},
        {"traces-azure/AzureLLMInferenceTrace_conv.csv", 19366, 3501.721937, 22361870, 4088665},
        {"traces-mooncake/conversation_trace.jsonl", 12031, 3536.999, 144793823, 4122048},
        {"traces-mooncake/synthetic_trace.jsonl", 3993, 1022.025, 61194628, 595432},
    };
    const char *shared = getenv("INFERD_SHARED");
    char path[1024];
    struct error err;
    snprintf(path, sizeof(path), "%s/data/traces", shared ? shared : "../shared");
    if (access(path, R_OK) != 0) {
        print_message("skipped: no traces at %s (set INFERD_SHARED)\n", path);
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct trace_row *rows;
        size_t n;
        snprintf(path, sizeof(path), "%s/data/traces/%s", shared ? shared : "../shared",
                 files[i].path);
        if (trace_read(path, &rows, &n, &err) != STATUS_OK) fail_msg("%s", err.message);
        assert_int_equal(n, files[i].n);
        double seconds = rows[n - 1].at_s - files[i].seconds;
        assert_true(seconds > -1e-5 && seconds < 1e-5);
        int64_t input = 0, output = 0;
        for (size_t k = 0; k < n; k++) {
            input += rows[k].input_len;
            output += rows[k].output_len;
        }
        assert_true(input == files[i].input && output == files[i].output);
        free(rows);
    }
}

static struct bench_args parse_args(int argc, const char *const *argv)
{
    struct bench_args args;
    struct error err;
    bool help;
    if (bench_args_parse(argc, (char **)(uintptr_t)argv, &args, &help, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return args;
}
#define ARGS(...)                                                    \
    parse_args((int)ARRAY_LEN(((const char *const[]){__VA_ARGS__})), \
               (const char *const[]){__VA_ARGS__})

static void test_args(void **state)
{
    (void)state;
    struct bench_args a =
        ARGS("--num_requests=5", "--no-stream", "--seed", "3", "--duration", "1.5");
    assert_int_equal(a.num_requests, 5);
    assert_false(a.stream);
    assert_true(a.ignore_eos && a.duration == 1.5);
    assert_int_equal(a.concurrency, BENCH_CONCURRENCY_PRESET);
    a = ARGS("--request-rate", "5");
    assert_int_equal(a.concurrency, 0);
    assert_int_equal(a.num_requests, BENCH_REQUESTS_PRESET);
    static const char *const bad[][3] = {
        {"--num-request", "5", "did you mean --num-requests"},
        {"--concurency", "5", "did you mean --concurrency"},
        {"--concurrency", "0", "from 1 to"},
        {"--concurrency", "1.5", "whole number"},
        {"--duration", "x", "must be a number"},
        {"--endpoint", "embeddings", "completions or chat"},
        {"--stream=maybe", "--seed=1", "not accepted"},
        {"--prompt=x", "--prompt-file=y", "give one of"},
        {"--trace=x", "--request-rate=5", "own arrivals"},
        {"--prefix-len=9", "--input-len=8", "longer than"},
        {"--seed=1", "--api-key=a b", "printable"},
        {"--seed=1", "x", "no option"},
        {"--seed=1", "--url", "needs a value"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        bool help;
        if (bench_args_parse(2, (char **)(uintptr_t)bad[i], &a, &help, &err) == STATUS_OK)
            fail_msg("%s %s accepted", bad[i][0], bad[i][1]);
        if (!strstr(err.message, bad[i][2])) fail_msg("%s: %s", bad[i][0], err.message);
    }
}

/* The prompt of a body, printed; the caller frees it. */
static char *body_of(const struct workload *w, const struct work_item *item, cJSON **parsed)
{
    struct strbuf b;
    struct error err;
    strbuf_init(&b, 0);
    workload_body(w, item, &b);
    if (json_parse(b.data, b.len, NULL, parsed, &err) != STATUS_OK)
        fail_msg("%s in %s", err.message, b.data);
    return strbuf_take(&b, NULL);
}

static void test_bodies(void **state)
{
    (void)state;
    struct error err;
    struct workload w;
    struct work_item item;
    cJSON *body, *again;
    struct bench_args a =
        ARGS("--input-len=20", "--prefix-len=5", "--output-len=7", "--seed=4", "--vocab-size=50",
             "--extra-body={\"top_p\":0.5,\"x\":[1]}", "--num-requests=3");
    assert_int_equal(workload_init(&w, &a, "my \"model\"", &err), STATUS_OK);
    assert_false(workload_needs_ids(&w));
    cJSON *firsts[3];
    for (int i = 0; i < 3; i++) {
        assert_true(workload_next(&w, &item));
        char *text = body_of(&w, &item, &body), *same = body_of(&w, &item, &again);
        assert_string_equal(text, same);
        assert_string_equal(json_get(body, "model")->valuestring, "my \"model\"");
        assert_int_equal(json_get(body, "max_tokens")->valueint, 7);
        assert_true(cJSON_IsTrue(json_get(body, "ignore_eos")));
        assert_true(json_get(body, "top_p")->valuedouble == 0.5);
        assert_true(cJSON_IsTrue(json_get(json_get(body, "stream_options"), "include_usage")));
        const cJSON *prompt = json_get(body, "prompt"), *id;
        assert_int_equal(cJSON_GetArraySize(prompt), 20);
        cJSON_ArrayForEach(id, prompt) assert_in_range(id->valueint, 0, 49);
        free(text);
        free(same);
        cJSON_Delete(again);
        firsts[i] = body;
    }
    assert_false(workload_next(&w, &item));
    for (int i = 1; i < 3; i++) { /* the shared beginning, and then another */
        const cJSON *p = json_get(firsts[0], "prompt"), *q = json_get(firsts[i], "prompt");
        int same = 0;
        for (int k = 0; k < 20; k++) {
            bool eq = cJSON_GetArrayItem(p, k)->valueint == cJSON_GetArrayItem(q, k)->valueint;
            if (k < 5) assert_true(eq);
            same += eq;
        }
        assert_true(same < 15);
    }
    for (int i = 0; i < 3; i++) cJSON_Delete(firsts[i]);
    workload_free(&w);

    a = ARGS("--endpoint=chat", "--input-len=9", "--no-stream", "--no-ignore-eos");
    assert_int_equal(workload_init(&w, &a, "m", &err), STATUS_OK);
    assert_false(workload_needs_ids(&w));
    assert_true(workload_next(&w, &item));
    free(body_of(&w, &item, &body));
    const cJSON *message = json_get(body, "messages")->child;
    int n_words = 1;
    for (const char *c = json_get(message, "content")->valuestring; *c; c++) n_words += *c == ' ';
    assert_int_equal(n_words, 9);
    assert_null(json_get(body, "stream"));
    assert_null(json_get(body, "ignore_eos"));
    cJSON_Delete(body);
    workload_free(&w);

    a = ARGS("--input-len=9");
    assert_int_equal(workload_init(&w, &a, "m", &err), STATUS_OK);
    assert_true(workload_needs_ids(&w));
    const char *tokens = "{\"count\":2,\"tokens\":[7,9]}";
    assert_int_equal(workload_learn_ids(&w, tokens, strlen(tokens), &err), STATUS_OK);
    assert_true(workload_next(&w, &item));
    free(body_of(&w, &item, &body));
    const cJSON *id;
    cJSON_ArrayForEach(id, json_get(body, "prompt"))
        assert_true(id->valueint == 7 || id->valueint == 9);
    cJSON_Delete(body);
    workload_free(&w);
}

static void test_poisson(void **state)
{
    (void)state;
    struct error err;
    struct workload w;
    struct work_item item = {0};
    struct bench_args a = ARGS("--request-rate=50", "--num-requests=20000", "--seed=5");
    assert_int_equal(workload_init(&w, &a, "m", &err), STATUS_OK);
    uint64_t before = 0;
    double sum2 = 0;
    while (workload_next(&w, &item)) {
        assert_true(item.due_ns >= before);
        double gap = (double)(item.due_ns - before) * 1e-9;
        sum2 += gap * gap;
        before = item.due_ns;
    }
    /* Mean 1/50 and mean square 2/50^2, each within five standard errors. */
    double mean = (double)before * 1e-9 / 20000;
    assert_true(mean > 0.02 * (1 - 5 / 141.4) && mean < 0.02 * (1 + 5 / 141.4));
    double mean2 = sum2 / 20000 / (0.02 * 0.02);
    assert_true(mean2 > 2 - 5 * 4.5 / 141.4 && mean2 < 2 + 5 * 4.5 / 141.4);
    workload_free(&w);
}

/* --- whole runs ------------------------------------------------------------------------------ */

/* A server with a thread for each connection.  max_tokens of a request says what happens. */
enum {
    DO_429 = 901,
    DO_400,
    DO_CLOSE,
    DO_TRUNCATE,
    DO_ERROR_EVENT,
    DO_GARBAGE,
    DO_JSON,
    DO_HANG,
    DO_CLOSE_IDLE, /* answers, promises to keep the connection, and closes it */
};

struct mock {
    int listener, port;
    atomic_int n_requests, n_connections, n_bad;
    pthread_t thread;
};

static void send_text(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0) return;
        text += n;
        len -= (size_t)n;
    }
}

static void send_plain(int fd, const char *status, const char *body)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
    send_text(fd, text);
}

static void send_event(int fd, const char *json)
{
    char data[1024], text[1100];
    snprintf(data, sizeof(data), "data: %s\n\n", json);
    snprintf(text, sizeof(text), "%zx\r\n%s\r\n", strlen(data), data);
    send_text(fd, text);
}

/* False: close the connection. */
static bool act(int fd, int what)
{
    static const char token[] = "{\"choices\":[{\"index\":0,\"text\":\"x\"}]}";
    switch (what) {
    case DO_429:
        send_plain(fd, "429 Too Many Requests", "{\"error\":{\"message\":\"full\"}}");
        return true;
    case DO_400:
        send_plain(fd, "400 Bad Request", "{\"error\":{\"message\":\"too long\"}}");
        return true;
    case DO_CLOSE:
        return false;
    case DO_GARBAGE:
        send_text(fd, "SSH-2.0-OpenSSH\r\n");
        return true;
    case DO_JSON:
        send_plain(fd, "200 OK", "{\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}");
        return true;
    case DO_HANG:
        return true;
    case DO_CLOSE_IDLE:
        what = 3;
        break;
    default:
        break;
    }
    send_text(
        fd,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    int n = what < DO_429 ? what : 2;
    for (int i = 0; i < n; i++) send_event(fd, token);
    if (what == DO_ERROR_EVENT) send_event(fd, "{\"error\":{\"message\":\"device lost\"}}");
    char usage[200];
    snprintf(usage, sizeof(usage),
             "{\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":%d}}", n);
    if (what != DO_TRUNCATE) send_event(fd, usage);
    if (what != DO_TRUNCATE) send_event(fd, "[DONE]");
    send_text(fd, "0\r\n\r\n");
    return true;
}

/* One whole request from `in`; its length or 0. */
static size_t request_len(const char *in)
{
    const char *end = strstr(in, "\r\n\r\n"), *length = strstr(in, "Content-Length: ");
    if (!end) return 0;
    size_t body = length && length < end ? (size_t)strtoul(length + 16, NULL, 10) : 0;
    size_t len = (size_t)(end - in) + 4 + body;
    return strlen(in) >= len ? len : 0;
}

struct mock_conn {
    struct mock *m;
    int fd;
};

static void *serve_conn(void *arg)
{
    struct mock_conn c = *(struct mock_conn *)arg;
    free(arg);
    char in[65536];
    size_t len = 0;
    bool open = true;
    while (open) {
        ssize_t n = recv(c.fd, in + len, sizeof(in) - 1 - len, 0);
        if (n <= 0) break;
        len += (size_t)n;
        in[len] = '\0';
        if (request_len(in) == 0) continue;
        if (request_len(in) != len) atomic_fetch_add(&c.m->n_bad, 1); /* a client that pipelines */
        const char *max = strstr(in, "\"max_tokens\":");
        if (strncmp(in, "GET /v1/models ", 15) == 0) {
            send_plain(c.fd, "200 OK", "{\"data\":[{\"id\":\"mock\",\"max_model_len\":100}]}");
        } else if (strncmp(in, "POST /tokenize ", 15) == 0) {
            send_plain(c.fd, "200 OK", "{\"tokens\":[3,4,5]}");
        } else if (max && strstr(in, "Authorization: Bearer k\r\n")) {
            int what = atoi(max + 13);
            atomic_fetch_add(&c.m->n_requests, 1);
            open = act(c.fd, what) && what != DO_CLOSE_IDLE;
        } else {
            atomic_fetch_add(&c.m->n_bad, 1);
        }
        len = 0;
    }
    close(c.fd);
    return NULL;
}

static void *serve(void *arg)
{
    struct mock *m = arg;
    for (;;) {
        int fd = accept(m->listener, NULL, NULL);
        if (fd < 0) return NULL;
        struct mock_conn *c = malloc(sizeof(*c));
        pthread_t thread;
        if (!c) abort();
        *c = (struct mock_conn){m, fd};
        atomic_fetch_add(&m->n_connections, 1);
        if (pthread_create(&thread, NULL, serve_conn, c) != 0) abort();
        pthread_detach(thread);
    }
}

static struct mock mock;
static struct run_result *result;

static int start_mock(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    mock.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(mock.listener, (struct sockaddr *)&a, len) != 0 || listen(mock.listener, 100) != 0 ||
        getsockname(mock.listener, (struct sockaddr *)&a, &len) != 0)
        return -1;
    mock.port = ntohs(a.sin_port);
    result = malloc(sizeof(*result));
    return result ? pthread_create(&mock.thread, NULL, serve, &mock) : -1;
}

static int stop_mock(void **state)
{
    (void)state;
    shutdown(mock.listener, SHUT_RDWR);
    pthread_join(mock.thread, NULL);
    close(mock.listener);
    free(result);
    return 0;
}

static const struct stats *run(const char *output_len, const char *more)
{
    char url[64], text[512];
    const char *argv[16] = {"--url",     url, "--output-len", output_len,
                            "--api-key", "k", "--input-len",  "4"};
    int argc = 8;
    char *save;
    struct error err;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", mock.port);
    snprintf(text, sizeof(text), "%s", more);
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[argc++] = w;
    struct bench_args args;
    bool help;
    if (bench_args_parse(argc, (char **)(uintptr_t)argv, &args, &help, &err) != STATUS_OK ||
        bench_run(&args, result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(mock.n_bad, 0);
    return &result->stats;
}

static void test_closed_loop(void **state)
{
    (void)state;
    atomic_store(&mock.n_requests, 0);
    atomic_store(&mock.n_connections, 0);
    const struct stats *s = run("5", "--num-requests 300 --concurrency 8 --num-warmups 4");
    assert_int_equal(s->outcomes[OUTCOME_OK], 300);
    assert_int_equal(s->n_sent, 300);
    assert_int_equal(mock.n_requests, 304);
    assert_true(mock.n_connections <= 8); /* they are kept */
    assert_int_equal(s->max_in_flight, 8);
    assert_int_equal(s->output_tokens, 1500);
    assert_int_equal(s->input_tokens, 1200);
    assert_int_equal(s->n_events, 1800);
    assert_int_equal(s->n_content, 1500);
    assert_int_equal(s->ttft.n, 300);
    assert_int_equal(s->itl.n, 1200);
    assert_int_equal(s->e2e.n, 300);
    assert_int_equal(s->n_short, 0);
    assert_string_equal(result->model, "mock");
}

static void test_open_loop(void **state)
{
    (void)state;
    const struct stats *s = run("2", "--request-rate 400 --num-requests 100");
    assert_int_equal(s->outcomes[OUTCOME_OK], 100);
    assert_int_equal(s->lag.n, 100);
    double seconds = (double)(s->end_ns - s->start_ns) * 1e-9;
    assert_true(seconds > 0.1); /* a Poisson process of 100 events at 400/s: 0.25 s, +- 0.025 */
}

static void test_duration(void **state)
{
    (void)state;
    const struct stats *s = run("2", "--duration 0.3 --concurrency 2");
    double seconds = (double)(s->end_ns - s->start_ns) * 1e-9;
    assert_true(s->outcomes[OUTCOME_OK] == s->n_sent && s->n_sent > 2);
    assert_true(seconds > 0.25 && seconds < 5);
}

static void test_not_streamed(void **state)
{
    (void)state;
    char what[8];
    snprintf(what, sizeof(what), "%d", DO_JSON);
    const struct stats *s = run(what, "--no-stream --num-requests 5");
    assert_int_equal(s->outcomes[OUTCOME_OK], 5);
    assert_int_equal(s->output_tokens, 15);
    assert_int_equal(s->n_short, 5);
    assert_int_equal(s->ttft.n, 0);
    assert_int_equal(s->e2e.n, 5);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        int what;
        enum outcome outcome;
        const char *message;
    } cases[] = {
        {DO_429, OUTCOME_HTTP, "http 429: {\"error\":{\"message\":\"full\"}}"},
        {DO_CLOSE, OUTCOME_CLOSED, "closed: "},
        {DO_TRUNCATE, OUTCOME_TRUNCATED, "truncated: "},
        {DO_ERROR_EVENT, OUTCOME_STREAM, "device lost"},
        {DO_GARBAGE, OUTCOME_MALFORMED, "malformed: malformed status line"},
        {DO_JSON, OUTCOME_MALFORMED, "another Content-Type"},
        {DO_HANG, OUTCOME_TIMEOUT, "timeout: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char what[8];
        snprintf(what, sizeof(what), "%d", cases[i].what);
        const struct stats *s =
            run(what, "--num-requests 6 --concurrency 3 --num-warmups 0 --timeout 0.4");
        assert_int_equal(s->outcomes[cases[i].outcome], 6);
        assert_int_equal(s->outcomes[OUTCOME_OK], 0);
        if (!strstr(s->first_error, cases[i].message)) fail_msg("%s", s->first_error);
    }
}

/* A request that finds its kept connection closed is sent again and not counted as failed. */
static void test_closed_while_idle(void **state)
{
    (void)state;
    char what[8];
    snprintf(what, sizeof(what), "%d", DO_CLOSE_IDLE);
    const struct stats *s = run(what, "--num-requests 100 --concurrency 2");
    assert_int_equal(s->outcomes[OUTCOME_OK], 100);
    assert_true(s->n_connections >= 50);
}

static void test_refused_warmup(void **state)
{
    (void)state;
    char url[64], what[32];
    struct error err = {0};
    snprintf(url, sizeof(url), "--url=http://127.0.0.1:%d", mock.port);
    snprintf(what, sizeof(what), "--output-len=%d", DO_400);
    struct bench_args a = ARGS(url, what, "--api-key=k", "--no-progress");
    atomic_store(&mock.n_requests, 0);
    assert_int_equal(bench_run(&a, result, &err), STATUS_IO);
    assert_string_equal(err.message, "the warm-up was refused with 400: too long");
    assert_int_equal(mock.n_requests, 1);
    assert_int_equal(a.input_len, 1); /* what the mock's context leaves */
}

static void test_fitted_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *option, *more;
        int64_t context, input, output;
    } cases[] = {
        {"--seed=1", "--seed=1", 512, 408, 104},
        {"--input-len=500", "--seed=1", 512, 500, 12},
        {"--output-len=500", "--seed=1", 512, 12, 500},
        {"--input-len=600", "--output-len=9", 512, 600, 9},
        {"--endpoint=chat", "--seed=1", 2048, 408, 104},
        {"--seed=1", "--prompt=x", 64, 512, 128},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench_args a = ARGS(cases[i].option, cases[i].more);
        bench_args_fit(&a, cases[i].context);
        assert_int_equal(a.input_len, cases[i].input);
        assert_int_equal(a.output_len, cases[i].output);
    }
}

static void test_no_server(void **state)
{
    (void)state;
    struct bench_args a = ARGS("--url=http://127.0.0.1:1");
    struct error err = {0};
    assert_int_equal(bench_run(&a, result, &err), STATUS_IO);
    assert_non_null(strstr(err.message, "http://127.0.0.1:1/v1/models: connect: "));
}

static void *interrupt_later(void *arg)
{
    (void)arg;
    while (atomic_load(&mock.n_requests) < 20) usleep(1000);
    kill(getpid(), SIGINT);
    return NULL;
}

static void test_interrupt(void **state)
{
    (void)state;
    pthread_t thread;
    atomic_store(&mock.n_requests, 0);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, NULL), 0);
    const struct stats *s = run("3", "--duration 60 --concurrency 4");
    pthread_join(thread, NULL);
    assert_true(s->end_ns - s->start_ns < 30000000000u);
    assert_int_equal(s->outcomes[OUTCOME_OK] + s->outcomes[OUTCOME_CANCELLED], s->n_sent);
    assert_int_equal(s->outcomes[OUTCOME_CANCELLED], 4);
}

static void test_report(void **state)
{
    (void)state;
    char path[] = "/tmp/inferd-report-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    run("3", "--num-requests 20");
    struct bench_args a = ARGS("--url=http://x");
    struct report r = {&a, "m\"1", 5, &result->stats};
    struct error err;
    cJSON *json;
    assert_int_equal(report_write_json(&r, path, &err), STATUS_OK);
    if (json_parse_file(path, NULL, &json, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_int_equal(json_get(json, "requests_ok")->valueint, 20);
    assert_int_equal(json_get(json, "output_tokens")->valueint, 60);
    assert_string_equal(json_get(json, "model")->valuestring, "m\"1");
    assert_int_equal(json_get(json_get(json, "ttft_ms"), "n")->valueint, 20);
    assert_true(json_get(json, "output_tokens_per_s")->valuedouble > 0);
    cJSON_Delete(json);
    unlink(path);
    assert_int_equal(report_write_json(&r, "/nonexistent/x", &err), STATUS_IO);
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    report_print(&r, f);
    fclose(f);
    assert_non_null(strstr(text, "20 ok, 0 failed of 20"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_bad_responses),
        cmocka_unit_test(test_mutated_responses),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_public_traces),
        cmocka_unit_test(test_args),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_poisson),
        cmocka_unit_test(test_closed_loop),
        cmocka_unit_test(test_open_loop),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_not_streamed),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_closed_while_idle),
        cmocka_unit_test(test_refused_warmup),
        cmocka_unit_test(test_fitted_lengths),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests_name("bench", tests, start_mock, stop_mock);
}
