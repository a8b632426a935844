#include "server/bench/engine/report.h"

#include "config/base/check.h"
#include "server/version.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Beyond these, other work had too much of the machine. */
#define BUSY_CPU    0.85
#define BUSY_SPREAD 1.25

static const struct {
    const char *name, *unit;
} rates[PROBE_COUNT] = {
    [PROBE_MEMORY] = {"memory", "GB/s"},
    [PROBE_INT8] = {"int8", "Gop/s"},
    [PROBE_BF16] = {"bfloat16", "Gop/s"},
    [PROBE_F32] = {"float32", "Gop/s"},
};

const char *engine_limit_name(const struct step_limit *l)
{
    return l->memory_s > l->compute_s ? "memory" : "compute";
}

double engine_figure_share(const struct engine_figure *g)
{
    return g->limit.seconds / g->step_s.median;
}

static double tokens_per_s(const struct engine_figure *g, double step_s)
{
    return g->n_tokens / step_s;
}

/* --- for people ------------------------------------------------------------------------------ */

void engine_report_machine(const struct engine_run *r, FILE *f)
{
    const struct probe *p = &r->probe;
    fprintf(f, "model    %s: %s, %.3f G parameters, %s weights, KV-cache %s\n", r->dir,
            r->config.architecture, (double)model_n_params(&r->config) / 1e9,
            r->random_weights ? "random" : "stored", dtype_name(r->kv_dtype));
    if (r->device_name[0])
        fprintf(f, "machine  %s, last-level cache %zu MiB\n", r->device_name, p->cache_size >> 20);
    else
        fprintf(f, "machine  %s, %d threads, last-level cache %zu MiB\n", p->isa, p->n_threads,
                p->cache_size >> 20);
    for (int i = 0; i < PROBE_COUNT; i++) {
        const struct probe_rate *rate = &p->rates[i];
        if (rate->limit == 0) {
            fprintf(f, "  %-9s not known\n", rates[i].name);
            continue;
        }
        fprintf(f, "  %-9s%8.1f %-5s  ", rates[i].name, rate->limit / 1e9, rates[i].unit);
        if (rate->max > 0)
            fprintf(f, "min %.1f, median %.1f, max %.1f, CPU %.0f %%; ", rate->min / 1e9,
                    rate->median / 1e9, rate->max / 1e9, 100 * rate->cpu_share);
        fputs(rate->how, f);
        if (i == PROBE_MEMORY && p->memory_size) fprintf(f, " of %zu MiB", p->memory_size >> 20);
        fputc('\n', f);
    }
    fprintf(f, "\n%-9s %-7s %5s %7s %10s %10s %10s %11s %11s %6s %s\n", "weights", "step", "batch",
            "context", "tokens/s", "min", "max", "ms/step", "limit tok/s", "share", "limited by");
    fflush(f);
}

static void print_profile(const struct engine_figure *g, FILE *f)
{
    double rest = g->profile_step_s;
    fprintf(f, "    %-10s %11s %6s %9s %9s %9s\n", "operator", "ms/step", "time", "GB/s", "Gop/s",
            "of limit");
    for (int i = 0; i < OP_COUNT; i++) {
        const double s = g->op_s[i];
        rest -= s;
        if (s <= 0) continue;
        fprintf(f, "    %-10s %11.4f %5.1f%%", op_kind_name((enum op_kind)i), s * 1e3,
                100 * s / g->profile_step_s);
        if (i < LIMIT_OPS)
            fprintf(f, " %9.1f %9.1f %7.1f%% %s", g->op_work[i].bytes / s / 1e9,
                    g->op_work[i].ops / s / 1e9, 100 * g->op_limit[i].seconds / s,
                    engine_limit_name(&g->op_limit[i]));
        fputc('\n', f);
    }
    fprintf(f, "    %-10s %11.4f %5.1f%%\n    %-10s %11.4f\n", "host", rest * 1e3,
            100 * rest / g->profile_step_s, "step", g->profile_step_s * 1e3);
}

void engine_report_figure(const struct engine_run *r, const struct engine_figure *g, FILE *f)
{
    (void)r;
    fprintf(f, "%-9s %-7s %5d %7d %10.2f %10.2f %10.2f %11.4f ", precision_name(g->precision),
            g->prefill ? "prefill" : "decode", g->shape.n_seqs, g->shape.kv_len,
            tokens_per_s(g, g->step_s.median), tokens_per_s(g, g->step_s.max),
            tokens_per_s(g, g->step_s.min), g->step_s.median * 1e3);
    if (g->limit.seconds > 0)
        fprintf(f, "%11.2f %5.1f%% %s\n", tokens_per_s(g, g->limit.seconds),
                100 * engine_figure_share(g), engine_limit_name(&g->limit));
    else
        fprintf(f, "%11s %6s\n", "-", "-");
    if (g->profile_step_s > 0) print_profile(g, f);
    fflush(f);
}

void engine_report_end(const struct engine_run *r, FILE *f)
{
    double share = 1;
    int n_wide = 0;
    for (int i = 0; i < PROBE_COUNT && !r->device_name[0]; i++)
        if (r->probe.rates[i].cpu_share < share) share = r->probe.rates[i].cpu_share;
    for (int i = 0; i < r->n_figures; i++)
        n_wide += r->figures[i].step_s.max > BUSY_SPREAD * r->figures[i].step_s.min;
    if (share < BUSY_CPU)
        fprintf(f,
                "\nThe machine was busy: its limits were measured with %.0f %% of the CPU time "
                "that the "
                "threads wanted.\nMemory may be faster, and shares are too large or too small.\n",
                100 * share);
    if (n_wide > 0)
        fprintf(f,
                "\nThe slowest measurement of %d of %d figures took more than %.2f times the "
                "fastest: take "
                "these as noise.\n",
                n_wide, r->n_figures, BUSY_SPREAD);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static cJSON *add_spread(cJSON *o, const char *name, double min, double median, double max)
{
    cJSON *s = cJSON_AddObjectToObject(o, name);
    cJSON_AddNumberToObject(s, "min", min);
    cJSON_AddNumberToObject(s, "median", median);
    cJSON_AddNumberToObject(s, "max", max);
    return s;
}

static void add_limit(cJSON *o, const struct step_limit *l)
{
    cJSON_AddNumberToObject(o, "bytes", l->bytes);
    cJSON_AddNumberToObject(o, "operations", l->ops);
    if (l->seconds == 0) return;
    cJSON_AddNumberToObject(o, "limit_ms", l->seconds * 1e3);
    cJSON_AddStringToObject(o, "limited_by", engine_limit_name(l));
}

static void add_profile(cJSON *o, const struct engine_figure *g)
{
    cJSON *p = cJSON_AddObjectToObject(o, "profile");
    cJSON_AddNumberToObject(p, "step_ms", g->profile_step_s * 1e3);
    cJSON *ops = cJSON_AddArrayToObject(p, "operators");
    for (int i = 0; i < OP_COUNT; i++) {
        if (g->op_s[i] <= 0) continue;
        cJSON *op = cJSON_CreateObject();
        cJSON_AddItemToArray(ops, op);
        cJSON_AddStringToObject(op, "name", op_kind_name((enum op_kind)i));
        cJSON_AddNumberToObject(op, "ms", g->op_s[i] * 1e3);
        cJSON_AddNumberToObject(op, "time_share", g->op_s[i] / g->profile_step_s);
        if (i >= LIMIT_OPS) continue;
        add_limit(op, &g->op_limit[i]);
        cJSON_AddNumberToObject(op, "share", g->op_limit[i].seconds / g->op_s[i]);
    }
}

static void add_figure(cJSON *list, const struct engine_figure *g)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(list, o);
    cJSON_AddStringToObject(o, "quantization", precision_name(g->precision));
    cJSON_AddStringToObject(o, "step", g->prefill ? "prefill" : "decode");
    cJSON_AddNumberToObject(o, "batch", g->shape.n_seqs);
    cJSON_AddNumberToObject(o, "context", g->shape.kv_len);
    cJSON_AddNumberToObject(o, "tokens_per_step", g->n_tokens);
    cJSON_AddNumberToObject(o, "steps", g->n_steps);
    add_spread(o, "tokens_per_s", tokens_per_s(g, g->step_s.max), tokens_per_s(g, g->step_s.median),
               tokens_per_s(g, g->step_s.min));
    add_spread(o, "step_ms", g->step_s.min * 1e3, g->step_s.median * 1e3, g->step_s.max * 1e3);
    add_limit(o, &g->limit);
    if (g->limit.seconds > 0) {
        cJSON_AddNumberToObject(o, "limit_tokens_per_s", tokens_per_s(g, g->limit.seconds));
        cJSON_AddNumberToObject(o, "share", engine_figure_share(g));
    }
    if (g->profile_step_s > 0) add_profile(o, g);
}

/* What is not known is left out. */
static void add_rates(cJSON *o, const struct probe *p)
{
    cJSON *limits = cJSON_AddObjectToObject(o, "limits");
    for (int i = 0; i < PROBE_COUNT; i++) {
        const struct probe_rate *rate = &p->rates[i];
        if (rate->limit == 0) continue;
        const bool measured = rate->max > 0;
        cJSON *l = measured ? add_spread(limits, rates[i].name, rate->min, rate->median, rate->max)
                            : cJSON_AddObjectToObject(limits, rates[i].name);
        cJSON_AddNumberToObject(l, "limit", rate->limit);
        if (measured) cJSON_AddNumberToObject(l, "cpu_share", rate->cpu_share);
        cJSON_AddStringToObject(l, "how", rate->how);
    }
}

static cJSON *report(const struct engine_run *r)
{
    const struct probe *p = &r->probe;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "version", inferd_version());
    cJSON_AddStringToObject(o, "revision", inferd_revision());
    cJSON_AddStringToObject(o, "model", r->dir);
    cJSON_AddStringToObject(o, "architecture", r->config.architecture);
    cJSON_AddNumberToObject(o, "parameters", (double)model_n_params(&r->config));
    cJSON_AddStringToObject(o, "weights", r->random_weights ? "random" : "stored");
    cJSON_AddStringToObject(o, "kv_cache_dtype", dtype_name(r->kv_dtype));
    cJSON_AddStringToObject(o, "device", r->device);
    if (r->device_name[0]) cJSON_AddStringToObject(o, "gpu", r->device_name);
    if (p->isa) cJSON_AddStringToObject(o, "cpu_isa", p->isa);
    if (p->n_threads) cJSON_AddNumberToObject(o, "threads", p->n_threads);
    cJSON_AddNumberToObject(o, "cache_bytes", (double)p->cache_size);
    add_rates(o, p);
    cJSON *weights = cJSON_AddObjectToObject(o, "weight_bytes");
    for (int i = 0; i < PRECISION_COUNT; i++)
        if (r->weight_bytes[i])
            cJSON_AddNumberToObject(weights, precision_name((enum precision)i),
                                    (double)r->weight_bytes[i]);
    cJSON *figures = cJSON_AddArrayToObject(o, "figures");
    for (int i = 0; i < r->n_figures; i++) add_figure(figures, &r->figures[i]);
    return o;
}

enum status engine_report_write_json(const struct engine_run *r, const char *path,
                                     struct error *err)
{
    cJSON *o = report(r);
    char *text = cJSON_Print(o);
    cJSON_Delete(o);
    if (!text) return error_set(err, STATUS_NO_MEMORY, "no memory for the report");
    FILE *f = fopen(path, "we");
    bool ok = f && fputs(text, f) >= 0 && fputc('\n', f) != EOF;
    if (f && fclose(f) != 0) ok = false;
    free(text);
    return ok ? STATUS_OK : error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}
