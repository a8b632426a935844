#include "server/bench/report.h"

#include "config/base/check.h"
#include "config/base/str.h"

#include <errno.h>
#include <string.h>

static double seconds_of(const struct stats *s)
{
    double t = (double)(s->end_ns - s->start_ns) * 1e-9;
    return s->end_ns > s->start_ns ? t : 1e-9;
}

static const char *mode_of(const struct bench_args *a)
{
    return a->trace ? "trace" : a->request_rate > 0 ? "poisson" : "closed";
}

static uint64_t n_failed(const struct stats *s)
{
    uint64_t n = 0;
    for (int i = OUTCOME_OK + 1; i < OUTCOME_CANCELLED; i++) n += s->outcomes[i];
    return n;
}

static struct figure {
    const char *name, *label;
    size_t offset; /* of the histogram in struct stats */
    bool open_loop_only;
} const figures[] = {
    {"ttft_ms", "time to first token", offsetof(struct stats, ttft), false},
    {"itl_ms", "between tokens", offsetof(struct stats, itl), false},
    {"tpot_ms", "per token after 1st", offsetof(struct stats, tpot), false},
    {"e2e_ms", "end to end", offsetof(struct stats, e2e), false},
    {"start_lag_ms", "sent late by", offsetof(struct stats, lag), true},
};

static const struct histogram *histogram_at(const struct stats *s, size_t offset)
{
    return (const struct histogram *)(const void *)((const char *)s + offset);
}

/* --- for people ------------------------------------------------------------------------------ */

static void print_errors(const struct stats *s, FILE *f)
{
    for (int i = OUTCOME_OK + 1; i < OUTCOME_COUNT; i++)
        if (s->outcomes[i] && i != OUTCOME_HTTP)
            fprintf(f, "  %-12s %llu\n", outcome_name((enum outcome)i),
                    (unsigned long long)s->outcomes[i]);
    for (int i = 0; i < 600; i++)
        if (s->http_statuses[i])
            fprintf(f, "  HTTP %-7d %llu\n", i, (unsigned long long)s->http_statuses[i]);
    if (!s->first_error[0]) return;
    fputs("  first error: ", f);
    for (const char *c = s->first_error; *c; c++) /* it came from the server: no raw controls */
        fputc(*c >= 0x20 && *c < 0x7F ? *c : '?', f);
    fputc('\n', f);
}

void report_print(const struct report *r, FILE *f)
{
    const struct stats *s = r->stats;
    double t = seconds_of(s);
    fprintf(f, "%s, %s, %s loop, seed %llu\n", r->model, r->args->endpoint, mode_of(r->args),
            (unsigned long long)r->seed);
    fprintf(f, "requests        %llu ok, %llu failed of %llu in %.3f s, at most %llu in flight\n",
            (unsigned long long)s->outcomes[OUTCOME_OK], (unsigned long long)n_failed(s),
            (unsigned long long)s->n_sent, t, (unsigned long long)s->max_in_flight);
    fprintf(f, "throughput      %.2f requests/s, %.1f input tokens/s, %.1f output tokens/s\n",
            (double)s->outcomes[OUTCOME_OK] / t, (double)s->input_tokens / t,
            (double)s->output_tokens / t);
    fprintf(f, "tokens          %llu input (%llu cached), %llu output\n",
            (unsigned long long)s->input_tokens, (unsigned long long)s->cached_tokens,
            (unsigned long long)s->output_tokens);
    if (r->args->stream)
        fprintf(f, "events          %llu, %.1f/s, %llu with text\n",
                (unsigned long long)s->n_events, (double)s->n_events / t,
                (unsigned long long)s->n_content);
    fprintf(f, "generator       %.1f %% of a core, %llu connections\n", s->cpu_s / t * 100,
            (unsigned long long)s->n_connections);
    fprintf(f, "%-20s %10s %10s %10s %10s %10s\n", "milliseconds", "mean", "p50", "p90", "p99",
            "max");
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        const struct histogram *h = histogram_at(s, figures[i].offset);
        if (h->n == 0) continue;
        fprintf(f, "%-20s %10.3f %10.3f %10.3f %10.3f %10.3f\n", figures[i].label,
                histogram_mean_ns(h) * 1e-6, histogram_quantile_ns(h, 0.5) * 1e-6,
                histogram_quantile_ns(h, 0.9) * 1e-6, histogram_quantile_ns(h, 0.99) * 1e-6,
                (double)h->max_ns * 1e-6);
    }
    if (s->n_short)
        fprintf(f, "%llu answers had fewer tokens than asked for\n",
                (unsigned long long)s->n_short);
    if (s->n_without_usage)
        fprintf(f, "%llu answers had no usage: their events with text were counted\n",
                (unsigned long long)s->n_without_usage);
    if (s->cpu_s > 0.8 * t)
        fputs("warning: the generator was near the limit of its core; the figures may be its own\n",
              f);
    print_errors(s, f);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void add_key(struct strbuf *b, const char *key)
{
    if (b->len > 0 && b->data[b->len - 1] != '{') strbuf_add_char(b, ',');
    strbuf_addf(b, "\"%s\":", key);
}

static void add_text(struct strbuf *b, const char *key, const char *text)
{
    add_key(b, key);
    if (text)
        strbuf_add_json(b, text, strlen(text));
    else
        strbuf_add_str(b, "null");
}

static void add_count(struct strbuf *b, const char *key, uint64_t n)
{
    add_key(b, key);
    strbuf_add_u64(b, n);
}

static void add_real(struct strbuf *b, const char *key, double v)
{
    add_key(b, key);
    strbuf_addf(b, "%.9g", v);
}

static void add_histogram(struct strbuf *b, const char *key, const struct histogram *h)
{
    add_key(b, key);
    strbuf_add_char(b, '{');
    add_count(b, "n", h->n);
    add_real(b, "mean", histogram_mean_ns(h) * 1e-6);
    add_real(b, "min", (double)h->min_ns * 1e-6);
    add_real(b, "p50", histogram_quantile_ns(h, 0.5) * 1e-6);
    add_real(b, "p90", histogram_quantile_ns(h, 0.9) * 1e-6);
    add_real(b, "p99", histogram_quantile_ns(h, 0.99) * 1e-6);
    add_real(b, "max", (double)h->max_ns * 1e-6);
    strbuf_add_char(b, '}');
}

static void add_errors(struct strbuf *b, const struct stats *s)
{
    add_key(b, "errors");
    strbuf_add_char(b, '{');
    for (int i = OUTCOME_OK + 1; i < OUTCOME_COUNT; i++)
        if (s->outcomes[i] && i != OUTCOME_HTTP)
            add_count(b, outcome_name((enum outcome)i), s->outcomes[i]);
    for (int i = 0; i < 600; i++) {
        char key[24];
        snprintf(key, sizeof(key), "http_%d", i);
        if (s->http_statuses[i]) add_count(b, key, s->http_statuses[i]);
    }
    strbuf_add_char(b, '}');
    add_text(b, "first_error", s->first_error[0] ? s->first_error : NULL);
}

static void add_config(struct strbuf *b, const struct report *r)
{
    const struct bench_args *a = r->args;
    add_text(b, "url", a->url);
    add_text(b, "model", r->model);
    add_text(b, "endpoint", a->endpoint);
    add_text(b, "mode", mode_of(a));
    add_count(b, "concurrency", (uint64_t)a->concurrency);
    add_real(b, "request_rate", a->request_rate);
    add_text(b, "trace", a->trace);
    add_real(b, "trace_speed", a->trace_speed);
    add_count(b, "input_len", (uint64_t)a->input_len);
    add_count(b, "output_len", (uint64_t)a->output_len);
    add_count(b, "prefix_len", (uint64_t)a->prefix_len);
    add_count(b, "seed", r->seed);
}

enum status report_write_json(const struct report *r, const char *path, struct error *err)
{
    const struct stats *s = r->stats;
    double t = seconds_of(s);
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_add_char(&b, '{');
    add_config(&b, r);
    add_real(&b, "duration_s", t);
    add_count(&b, "requests_sent", s->n_sent);
    add_count(&b, "requests_ok", s->outcomes[OUTCOME_OK]);
    add_count(&b, "requests_failed", n_failed(s));
    add_count(&b, "requests_short", s->n_short);
    add_count(&b, "requests_without_usage", s->n_without_usage);
    add_count(&b, "input_tokens", s->input_tokens);
    add_count(&b, "cached_tokens", s->cached_tokens);
    add_count(&b, "output_tokens", s->output_tokens);
    add_count(&b, "events", s->n_events);
    add_count(&b, "content_events", s->n_content);
    add_count(&b, "bytes_received", s->n_bytes);
    add_count(&b, "connections", s->n_connections);
    add_count(&b, "max_in_flight", s->max_in_flight);
    add_real(&b, "requests_per_s", (double)s->outcomes[OUTCOME_OK] / t);
    add_real(&b, "input_tokens_per_s", (double)s->input_tokens / t);
    add_real(&b, "output_tokens_per_s", (double)s->output_tokens / t);
    add_real(&b, "events_per_s", (double)s->n_events / t);
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        if (!figures[i].open_loop_only || bench_args_open_loop(r->args))
            add_histogram(&b, figures[i].name, histogram_at(s, figures[i].offset));
    add_errors(&b, s);
    add_real(&b, "generator_cpu_s", s->cpu_s);
    strbuf_add_str(&b, "}\n");
    FILE *f = b.failed ? NULL : fopen(path, "w");
    bool ok = f && fwrite(b.data, 1, b.len, f) == b.len;
    if (f && fclose(f) != 0) ok = false;
    strbuf_free(&b);
    return ok ? STATUS_OK : error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}
