/* server/metrics.c: what a scraper reads.  The text is checked by a small parser of Prometheus'
 * exposition format 0.0.4. */

#include "server/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct metrics *m;
static struct strbuf text;
static const struct engine_info info = {.n_blocks = 101,
                                        .block_size = 16,
                                        .max_model_len = 512,
                                        .max_num_seqs = 4,
                                        .kv_cache_bytes = 12345,
                                        .device = "cpu",
                                        .isa = "avx2",
                                        .kv_dtype = DT_F32};

static int setup(void **state)
{
    (void)state;
    m = metrics_new("a \"b\\c\nd", &info, true);
    strbuf_init(&text, 0);
    return m ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    metrics_free(m);
    strbuf_free(&text);
    return 0;
}

static const char labels[] = "model_name=\"a \\\"b\\\\c\\nd\",engine=\"0\"";

static void scrape(const struct engine_loop_stats *s)
{
    strbuf_clear(&text);
    metrics_write(m, s, &text);
    assert_false(text.failed);
}

/* The value of `name{labels[,more]}`; NAN when there is no such line. */
static double value_of(const char *name, const char *more)
{
    char prefix[512];
    snprintf(prefix, sizeof(prefix), "\n%s{%s%s%s} ", name, labels, *more ? "," : "", more);
    const char *at = strstr(text.data, prefix);
    return at ? strtod(at + strlen(prefix), NULL) : NAN;
}

static void expect(const char *name, const char *more, double value)
{
    double v = value_of(name, more);
    if (!(fabs(v - value) < 1e-9)) fail_msg("%s{%s} is %g, not %g", name, more, v, value);
}

static void test_engine_values(void **state)
{
    (void)state;
    struct engine_loop_stats s = {.n_queued = 3, .n_queued_tokens = 77, .steps = 9};
    s.sched = (struct sched_stats){.n_running = 2,
                                   .n_waiting = 1,
                                   .blocks_total = 100,
                                   .blocks_held = 25,
                                   .n_preemptions = 4,
                                   .prefix_queries = 1000,
                                   .prefix_hits = 250,
                                   .prompt_tokens = 5000,
                                   .generation_tokens = 6000};
    s.step_tokens[0] = 2; /* <= 1 */
    s.step_tokens[1] = 3; /* <= 8 */
    s.step_tokens[ENGINE_LOOP_N_STEP_EDGES] = 1;
    s.step_tokens_sum = 20000;
    metrics_count_rejection(m);
    scrape(&s);
    expect("vllm:num_requests_running", "", 2);
    expect("vllm:num_requests_waiting", "", 3);
    expect("vllm:kv_cache_usage_perc", "", 0.25);
    expect("vllm:num_preemptions_total", "", 4);
    expect("vllm:prefix_cache_queries_total", "", 1000);
    expect("vllm:prefix_cache_hits_total", "", 250);
    expect("vllm:prompt_tokens_total", "", 5000);
    expect("vllm:generation_tokens_total", "", 6000);
    expect("vllm:admission_rejections_total", "", 1);
    expect("inferd:waiting_tokens", "", 77);
    expect("vllm:iteration_tokens_total_bucket", "le=\"1\"", 2);
    expect("vllm:iteration_tokens_total_bucket", "le=\"8\"", 5);
    expect("vllm:iteration_tokens_total_bucket", "le=\"16384\"", 5);
    expect("vllm:iteration_tokens_total_bucket", "le=\"+Inf\"", 6);
    expect("vllm:iteration_tokens_total_sum", "", 20000);
    assert_non_null(strstr(text.data, "num_gpu_blocks=\"101\",cache_dtype=\"float32\","
                                      "enable_prefix_caching=\"True\""));
}

static void test_histograms(void **state)
{
    (void)state;
    struct engine_loop_stats s = {0};
    /* on an edge, between edges, beyond all; vLLM's edges count value <= le */
    metrics_observe_itl(m, 0.001);
    metrics_observe_itl(m, 0.0011);
    metrics_observe_itl(m, 1000);
    metrics_observe_itl(m, -1); /* unknown: left out */
    metrics_observe_ttft(m, 0.5);
    scrape(&s);
    expect("vllm:inter_token_latency_seconds_bucket", "le=\"0.001\"", 1);
    expect("vllm:inter_token_latency_seconds_bucket", "le=\"0.002\"", 2);
    expect("vllm:inter_token_latency_seconds_bucket", "le=\"80\"", 2);
    expect("vllm:inter_token_latency_seconds_bucket", "le=\"+Inf\"", 3);
    expect("vllm:inter_token_latency_seconds_count", "", 3);
    expect("vllm:inter_token_latency_seconds_sum", "", 1000.0021);
    expect("vllm:time_per_output_token_seconds_count", "", 3);
    expect("vllm:time_to_first_token_seconds_bucket", "le=\"0.25\"", 0);
    expect("vllm:time_to_first_token_seconds_bucket", "le=\"0.5\"", 1);
}

static void test_requests(void **state)
{
    (void)state;
    struct engine_loop_stats s = {0};
    struct metrics_request r = {.ttft = 0.1,
                                .e2e = 2,
                                .queue = 0.01,
                                .prefill = 0.09,
                                .decode = 1.9,
                                .inference = -1,
                                .time_per_output_token = 0.02,
                                .prompt_tokens = 100,
                                .generation_tokens = 95,
                                .max_tokens = 600,
                                .n = 2};
    static const enum finish_reason reasons[] = {FINISH_STOP,  FINISH_STOP,     FINISH_LENGTH,
                                                 FINISH_ABORT, FINISH_DEADLINE, FINISH_ERROR};
    for (size_t i = 0; i < 6; i++) {
        r.finish = reasons[i];
        metrics_observe_request(m, &r);
    }
    scrape(&s);
    expect("vllm:request_success_total", "finished_reason=\"stop\"", 2);
    expect("vllm:request_success_total", "finished_reason=\"length\"", 1);
    expect("vllm:request_success_total", "finished_reason=\"abort\"", 2);
    expect("vllm:request_success_total", "finished_reason=\"error\"", 1);
    expect("vllm:e2e_request_latency_seconds_bucket", "le=\"1.5\"", 0);
    expect("vllm:e2e_request_latency_seconds_bucket", "le=\"2\"", 6);
    expect("vllm:request_inference_time_seconds_count", "", 0);
    expect("vllm:request_prompt_tokens_bucket", "le=\"50\"", 0);
    expect("vllm:request_prompt_tokens_bucket", "le=\"100\"", 6);
    expect("vllm:request_prompt_tokens_sum", "", 600);
    /* the edges end with the first that holds a whole context of 512 */
    expect("vllm:request_params_max_tokens_bucket", "le=\"1000\"", 6);
    assert_true(isnan(value_of("vllm:request_params_max_tokens_bucket", "le=\"2000\"")));
    expect("vllm:request_params_max_tokens_bucket", "le=\"+Inf\"", 6);
    expect("vllm:request_params_n_bucket", "le=\"1\"", 0);
    expect("vllm:request_params_n_bucket", "le=\"2\"", 6);
}

static void test_http_and_startup(void **state)
{
    (void)state;
    struct engine_loop_stats s = {0};
    metrics_count_http(m, "/v1/completions", 200);
    metrics_count_http(m, "/v1/completions", 200);
    metrics_count_http(m, "/v1/completions", 400);
    metrics_count_http(m, "other", 404);
    for (int i = 0; i < 5000; i++) metrics_count_http(m, "x", 1000 + i); /* bounded */
    metrics_set_startup(m, "weights", 0.25);
    scrape(&s);
    expect("inferd:http_requests_total", "route=\"/v1/completions\",status=\"200\"", 2);
    expect("inferd:http_requests_total", "route=\"/v1/completions\",status=\"400\"", 1);
    expect("inferd:http_requests_total", "route=\"other\",status=\"404\"", 1);
    expect("inferd:startup_seconds", "phase=\"weights\"", 0.25);
}

/* --- the format --------------------------------------------------------------------------------- */

static const char *skip_name(const char *p)
{
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
           *p == '_' || *p == ':')
        p++;
    return p;
}

static const char *skip_labels(const char *p)
{
    for (p++; *p != '}'; p += *p == ',') {
        const char *name = p;
        p = skip_name(p);
        if (p == name || p[0] != '=' || p[1] != '"') return NULL;
        for (p += 2; *p != '"'; p++) {
            if (*p == '\n' || *p == '\0') return NULL;
            if (*p == '\\' && !strchr("\\\"n", *++p)) return NULL;
        }
        p++;
    }
    return p + 1;
}

static void test_format(void **state)
{
    (void)state;
    struct engine_loop_stats s = {0};
    metrics_observe_itl(m, 0.5);
    metrics_count_http(m, "/v1/models/*", 200);
    scrape(&s);
    char family[128] = "", declared[16384] = "";
    for (char *line = text.data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end); /* the last line ends too */
        *end = '\0';
        char name[128], type[32];
        if (sscanf(line, "# HELP %127s", name) == 1) {
            char seen[140];
            snprintf(seen, sizeof(seen), " %s ", name);
            assert_null(strstr(declared, seen)); /* each family once, in one piece */
            strcat(declared, seen);
            snprintf(family, sizeof(family), "%s", name);
        } else if (sscanf(line, "# TYPE %127s %31s", name, type) == 2) {
            assert_string_equal(name, family);
            assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0 ||
                        strcmp(type, "histogram") == 0);
        } else {
            if (strncmp(line, family, strlen(family)) != 0) fail_msg("not of %s: %s", family, line);
            const char *p = skip_name(line);
            if (*p == '{') p = skip_labels(p);
            if (!p || *p != ' ') fail_msg("labels: %s", line);
            char *rest;
            strtod(p + 1, &rest);
            if (rest == p + 1 || *rest) fail_msg("value: %s", line);
        }
    }
    assert_non_null(strstr(declared, " process_resident_memory_bytes "));
    assert_non_null(strstr(declared, " process_open_fds "));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_engine_values),    T(test_histograms), T(test_requests),
        T(test_http_and_startup), T(test_format),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
