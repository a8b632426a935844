#include "server/metrics.h"

#include "config/base/check.h"
#include "config/base/clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- histograms ------------------------------------------------------------------------------- */

/* vLLM's edges; .001 .002 .005 are added to the latencies between tokens, where vLLM's start at
 * 10 ms. */
static const double ttft_edges[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                    1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
static const double itl_edges[] = {.001, .002, .005, .01, .025, .05, .075, .1, .15, .2, .3,
                                   .4,   .5,   .75,  1,   2.5,  5,   7.5,  10, 20,  40, 80};
static const double phase_edges[] = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                     30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
static const double params_n_edges[] = {1, 2, 5, 10, 20};
static const double token_edges[] = {1,      2,      5,    10,   20,    50,    100,   200,
                                     500,    1000,   2000, 5000, 10000, 20000, 50000, 100000,
                                     200000, 500000, 1e6,  2e6,  5e6,   1e7,   2e7};
enum { MAX_EDGES = 24 };

enum histogram_id {
    H_TTFT,
    H_ITL,
    H_TPOT,
    H_REQUEST_TPOT,
    H_E2E,
    H_QUEUE,
    H_PREFILL,
    H_DECODE,
    H_INFERENCE,
    H_PROMPT_TOKENS,
    H_GENERATION_TOKENS,
    H_MAX_GENERATION_TOKENS,
    H_PARAMS_N,
    H_PARAMS_MAX_TOKENS,
    H_COUNT
};

static const struct histogram_spec {
    const char *name, *help;
    const double *edges;
    int n_edges;
} histogram_specs[H_COUNT] = {
#define SPEC(id, name, help, edges) [id] = {name, help, edges, ARRAY_LEN(edges)}
    SPEC(H_TTFT, "vllm:time_to_first_token_seconds", "Time to first token.", ttft_edges),
    SPEC(H_ITL, "vllm:inter_token_latency_seconds", "Time between two outputs.", itl_edges),
    SPEC(H_TPOT, "vllm:time_per_output_token_seconds",
         "Time between two outputs (older name of inter_token_latency_seconds).", itl_edges),
    SPEC(H_REQUEST_TPOT, "vllm:request_time_per_output_token_seconds",
         "Mean time per output token of a request, the first token left out.", itl_edges),
    SPEC(H_E2E, "vllm:e2e_request_latency_seconds", "Time from arrival to the last token.",
         phase_edges),
    SPEC(H_QUEUE, "vllm:request_queue_time_seconds", "Time waiting to be scheduled.", phase_edges),
    SPEC(H_PREFILL, "vllm:request_prefill_time_seconds",
         "Time from being scheduled to the first token.", phase_edges),
    SPEC(H_DECODE, "vllm:request_decode_time_seconds", "Time from the first to the last token.",
         phase_edges),
    SPEC(H_INFERENCE, "vllm:request_inference_time_seconds",
         "Time from being scheduled to the last token.", phase_edges),
    SPEC(H_PROMPT_TOKENS, "vllm:request_prompt_tokens", "Prompt tokens of a request.", token_edges),
    SPEC(H_GENERATION_TOKENS, "vllm:request_generation_tokens", "Output tokens of a request.",
         token_edges),
    SPEC(H_MAX_GENERATION_TOKENS, "vllm:request_max_num_generation_tokens",
         "Output tokens of the longest choice of a request.", token_edges),
    SPEC(H_PARAMS_N, "vllm:request_params_n", "The n parameter of requests.", params_n_edges),
    SPEC(H_PARAMS_MAX_TOKENS, "vllm:request_params_max_tokens",
         "The max_tokens parameter of requests.", token_edges),
#undef SPEC
};

struct histogram {
    uint64_t counts[MAX_EDGES + 1]; /* not cumulative; the last one is beyond all edges */
    double sum;
};

static void observe(struct histogram *h, const struct histogram_spec *spec, double value)
{
    int lo = 0, hi = spec->n_edges; /* the first edge >= value */
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (spec->edges[mid] >= value)
            hi = mid;
        else
            lo = mid + 1;
    }
    h->counts[lo]++;
    h->sum += value;
}

/* --- state ------------------------------------------------------------------------------------- */

enum finished_reason { REASON_STOP, REASON_LENGTH, REASON_ABORT, REASON_ERROR, REASON_COUNT };
static const char *const reason_names[REASON_COUNT] = {"stop", "length", "abort", "error"};

enum { MAX_HTTP_COUNTS = 512, MAX_PHASES = 8, MAX_ROUTE_LEN = 48 };

struct http_count {
    char route[MAX_ROUTE_LEN];
    int status;
    uint64_t n;
};
struct startup_phase {
    char name[32];
    double seconds;
};

struct metrics {
    struct strbuf labels;       /* model_name="...",engine="0" */
    struct strbuf cache_labels; /* of cache_config_info */
    struct histogram histograms[H_COUNT];
    uint64_t success[REASON_COUNT], rejections;
    struct http_count http[MAX_HTTP_COUNTS];
    int n_http, n_phases;
    struct startup_phase phases[MAX_PHASES];
    int64_t start_s;
    int max_tokens; /* token edges beyond the context length are not shown */
};

static void add_label_value(struct strbuf *out, const char *value)
{
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '"') strbuf_add_char(out, '\\');
        if (*p == '\n')
            strbuf_add_str(out, "\\n");
        else
            strbuf_add_char(out, *p);
    }
}

struct metrics *metrics_new(const char *model_name, const struct engine_info *info,
                            bool prefix_caching)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m) return NULL;
    m->start_s = clock_unix_s();
    m->max_tokens = info ? info->max_model_len : 0;
    strbuf_init(&m->labels, 0);
    strbuf_init(&m->cache_labels, 0);
    strbuf_add_str(&m->labels, "model_name=\"");
    add_label_value(&m->labels, model_name);
    strbuf_add_str(&m->labels, "\",engine=\"0\"");
    if (info)
        strbuf_addf(&m->cache_labels,
                    ",block_size=\"%d\",num_gpu_blocks=\"%d\",cache_dtype=\"%s\","
                    "enable_prefix_caching=\"%s\",kv_cache_memory_bytes=\"%zu\",device=\"%s\"",
                    info->block_size, info->n_blocks, dtype_name(info->kv_dtype),
                    prefix_caching ? "True" : "False", info->kv_cache_bytes, info->device);
    if (m->labels.failed || m->cache_labels.failed) {
        metrics_free(m);
        return NULL;
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m) return;
    strbuf_free(&m->labels);
    strbuf_free(&m->cache_labels);
    free(m);
}

/* --- observing ----------------------------------------------------------------------------------- */

static void observe_time(struct metrics *m, enum histogram_id id, double seconds)
{
    if (seconds >= 0) observe(&m->histograms[id], &histogram_specs[id], seconds);
}

void metrics_observe_request(struct metrics *m, const struct metrics_request *r)
{
    static const enum finished_reason reasons[] = {
        [FINISH_NONE] = REASON_ERROR,     [FINISH_STOP] = REASON_STOP,
        [FINISH_LENGTH] = REASON_LENGTH,  [FINISH_ABORT] = REASON_ABORT,
        [FINISH_DEADLINE] = REASON_ABORT, [FINISH_ERROR] = REASON_ERROR,
    };
    m->success[reasons[r->finish]]++;
    observe_time(m, H_E2E, r->e2e);
    observe_time(m, H_QUEUE, r->queue);
    observe_time(m, H_PREFILL, r->prefill);
    observe_time(m, H_DECODE, r->decode);
    observe_time(m, H_INFERENCE, r->inference);
    observe_time(m, H_REQUEST_TPOT, r->time_per_output_token);
    observe_time(m, H_PROMPT_TOKENS, (double)r->prompt_tokens);
    observe_time(m, H_GENERATION_TOKENS, (double)r->generation_tokens);
    observe_time(m, H_MAX_GENERATION_TOKENS, (double)r->generation_tokens);
    observe_time(m, H_PARAMS_N, (double)r->n);
    observe_time(m, H_PARAMS_MAX_TOKENS, (double)r->max_tokens);
}

void metrics_observe_ttft(struct metrics *m, double seconds)
{
    observe_time(m, H_TTFT, seconds);
}

void metrics_observe_itl(struct metrics *m, double seconds)
{
    observe_time(m, H_ITL, seconds);
}

void metrics_count_rejection(struct metrics *m)
{
    m->rejections++;
}

void metrics_count_http(struct metrics *m, const char *route, int status)
{
    for (int i = 0; i < m->n_http; i++) {
        struct http_count *c = &m->http[i];
        if (c->status != status || strncmp(c->route, route, MAX_ROUTE_LEN - 1) != 0) continue;
        c->n++;
        return;
    }
    if (m->n_http == MAX_HTTP_COUNTS) return; /* routes times statuses are far fewer */
    struct http_count *c = &m->http[m->n_http++];
    snprintf(c->route, sizeof(c->route), "%s", route);
    c->status = status;
    c->n = 1;
}

void metrics_set_startup(struct metrics *m, const char *phase, double seconds)
{
    if (m->n_phases == MAX_PHASES) return;
    struct startup_phase *p = &m->phases[m->n_phases++];
    snprintf(p->name, sizeof(p->name), "%s", phase);
    p->seconds = seconds;
}

/* --- writing --------------------------------------------------------------------------------------- */

static void write_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One metric with the model's labels alone. */
static void write_value(const struct metrics *m, struct strbuf *out, const char *name,
                        const char *type, const char *help, double value)
{
    write_head(out, name, type, help);
    strbuf_addf(out, "%s{%s} %.15g\n", name, m->labels.data, value);
}

static void write_buckets(const struct metrics *m, struct strbuf *out, const char *name,
                          const double *edges, int n, const uint64_t *counts, double sum)
{
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        total += counts[i];
        strbuf_addf(out, "%s_bucket{%s,le=\"%.15g\"} %" PRIu64 "\n", name, m->labels.data, edges[i],
                    total);
    }
    total += counts[n];
    strbuf_addf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, m->labels.data, total);
    strbuf_addf(out, "%s_sum{%s} %.15g\n%s_count{%s} %" PRIu64 "\n", name, m->labels.data, sum,
                name, m->labels.data, total);
}

static void write_histograms(const struct metrics *m, const struct engine_loop_stats *s,
                             struct strbuf *out)
{
    for (int id = 0; id < H_COUNT; id++) {
        const struct histogram_spec *spec = &histogram_specs[id];
        const struct histogram *h = &m->histograms[id == H_TPOT ? H_ITL : id];
        struct histogram cut = *h;
        int n = spec->n_edges;
        if (spec->edges == token_edges) {
            /* edges past the first that holds a full context say nothing */
            while (n > 1 && token_edges[n - 2] >= m->max_tokens) n--;
            for (int i = n + 1; i <= spec->n_edges; i++) cut.counts[n] += cut.counts[i];
        }
        write_head(out, spec->name, "histogram", spec->help);
        write_buckets(m, out, spec->name, spec->edges, n, cut.counts, h->sum);
    }
    static const double edges[ENGINE_LOOP_N_STEP_EDGES] = ENGINE_LOOP_STEP_EDGES;
    write_head(out, "vllm:iteration_tokens_total", "histogram", "Tokens in a step.");
    write_buckets(m, out, "vllm:iteration_tokens_total", edges, ENGINE_LOOP_N_STEP_EDGES,
                  s->step_tokens, (double)s->step_tokens_sum);
}

/* Never admitted yet (some may be in the mailbox) or preempted. */
static int64_t n_waiting(const struct engine_loop_stats *s)
{
    return s->n_queued > s->sched.n_waiting ? s->n_queued : s->sched.n_waiting;
}

static void write_engine_values(const struct metrics *m, const struct engine_loop_stats *s,
                                int64_t waiting, struct strbuf *out)
{
    const struct sched_stats *c = &s->sched;
    double usage = c->blocks_total > 0 ? (double)c->blocks_held / c->blocks_total : 0;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"vllm:num_requests_running", "gauge", "Requests in execution.", c->n_running},
        {"vllm:num_requests_waiting", "gauge", "Requests waiting.", (double)waiting},
        {"vllm:kv_cache_usage_perc", "gauge", "KV-cache in use; 1 = all of it.", usage},
        {"vllm:prompt_tokens_total", "counter", "Prompt tokens processed.",
         (double)c->prompt_tokens},
        {"vllm:generation_tokens_total", "counter", "Tokens generated.",
         (double)c->generation_tokens},
        {"vllm:num_preemptions_total", "counter", "Preemptions.", (double)c->n_preemptions},
        {"vllm:prefix_cache_queries_total", "counter",
         "Prompt tokens looked up in the prefix cache.", (double)c->prefix_queries},
        {"vllm:prefix_cache_hits_total", "counter", "Prompt tokens found in the prefix cache.",
         (double)c->prefix_hits},
        {"vllm:admission_rejections_total", "counter",
         "Requests refused because the queue was full.", (double)m->rejections},
        {"inferd:waiting_tokens", "gauge", "Prompt tokens of waiting requests.",
         (double)s->n_queued_tokens},
        {"inferd:kv_blocks", "gauge", "Blocks of the KV-cache.", c->blocks_total},
        {"inferd:kv_blocks_free", "gauge", "Blocks that hold nothing.", c->blocks_free},
        {"inferd:kv_blocks_cached", "gauge", "Blocks kept for the prefix cache alone.",
         c->blocks_cached},
        {"inferd:kv_blocks_held", "gauge", "Blocks in use by requests.", c->blocks_held},
        {"inferd:steps_total", "counter", "Steps.", (double)s->steps},
        {"inferd:step_seconds_total", "counter", "Time in steps.", (double)s->step_us_total / 1e6},
        {"inferd:step_host_seconds_total", "counter", "Time in steps outside the model.",
         (double)s->host_us_total / 1e6},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        write_value(m, out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
}

static void write_engine(const struct metrics *m, const struct engine_loop_stats *s,
                         struct strbuf *out)
{
    write_engine_values(m, s, n_waiting(s), out);
    write_head(out, "vllm:num_requests_waiting_by_reason", "gauge", "Requests waiting, by reason.");
    strbuf_addf(out, "vllm:num_requests_waiting_by_reason{%s,reason=\"capacity\"} %" PRId64 "\n",
                m->labels.data, n_waiting(s));
    strbuf_addf(out, "vllm:num_requests_waiting_by_reason{%s,reason=\"deferred\"} 0\n",
                m->labels.data);
    write_head(out, "vllm:cache_config_info", "gauge", "Configuration of the KV-cache.");
    strbuf_addf(out, "vllm:cache_config_info{%s%s} 1\n", m->labels.data, m->cache_labels.data);
    write_head(out, "vllm:request_success_total", "counter", "Requests finished, by reason.");
    for (int i = 0; i < REASON_COUNT; i++)
        strbuf_addf(out, "vllm:request_success_total{%s,finished_reason=\"%s\"} %" PRIu64 "\n",
                    m->labels.data, reason_names[i], m->success[i]);
}

static void write_server(const struct metrics *m, struct strbuf *out)
{
    write_head(out, "inferd:http_requests_total", "counter", "Requests by route and status.");
    for (int i = 0; i < m->n_http; i++) {
        strbuf_addf(out, "inferd:http_requests_total{%s,route=\"", m->labels.data);
        add_label_value(out, m->http[i].route);
        strbuf_addf(out, "\",status=\"%d\"} %" PRIu64 "\n", m->http[i].status, m->http[i].n);
    }
    write_head(out, "inferd:startup_seconds", "gauge", "Time of the phases of the start.");
    for (int i = 0; i < m->n_phases; i++)
        strbuf_addf(out, "inferd:startup_seconds{%s,phase=\"%s\"} %.6g\n", m->labels.data,
                    m->phases[i].name, m->phases[i].seconds);
}

static double resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    long long total = 0, resident = 0;
    int n = fscanf(f, "%lld %lld", &total, &resident);
    fclose(f);
    return n == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n - 1; /* without the one that counts */
}

static void write_process(const struct metrics *m, struct strbuf *out)
{
    struct rusage ru;
    struct rlimit rl = {0};
    getrusage(RUSAGE_SELF, &ru);
    getrlimit(RLIMIT_NOFILE, &rl);
    double cpu = (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
                 (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes()},
        {"process_cpu_seconds_total", "counter", "CPU time, user and system.", cpu},
        {"process_open_fds", "gauge", "Open file descriptors.", open_fds()},
        {"process_max_fds", "gauge", "Limit of open file descriptors.", (double)rl.rlim_cur},
        {"process_start_time_seconds", "gauge", "Start, in unix time.", (double)m->start_s},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_head(out, rows[i].name, rows[i].type, rows[i].help);
        strbuf_addf(out, "%s %.15g\n", rows[i].name, rows[i].value);
    }
}

void metrics_write(struct metrics *m, const struct engine_loop_stats *s, struct strbuf *out)
{
    if (s) {
        write_engine(m, s, out);
        write_histograms(m, s, out);
    }
    write_server(m, out);
    write_process(m, out);
}
