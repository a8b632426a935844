#include "server/bench/args.h"

#include "config/base/check.h"
#include "config/base/str.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum arg_kind { ARG_TEXT, ARG_INT, ARG_REAL, ARG_FLAG };

static const struct arg_def {
    const char *name, *section, *value_name;
    enum arg_kind kind;
    size_t offset;
    const char *preset; /* NULL = none */
    double min, max;
    const char *help;
} arg_table[] = {
#define ROW(name_, section_, value_, kind_, field, preset_, min_, max_, help_) \
    {.name = (name_),                                                          \
     .section = (section_),                                                    \
     .value_name = (value_),                                                   \
     .kind = ARG_##kind_,                                                      \
     .offset = offsetof(struct bench_args, field),                             \
     .preset = (preset_),                                                      \
     .min = (min_),                                                            \
     .max = (max_),                                                            \
     .help = (help_)},
#define TARGET "Target"
#define LOAD   "Load"
#define WORK   "Requests"
#define REPORT "Report"
#define BIG    1e15
    ROW("url", TARGET, "URL", TEXT, url, "http://127.0.0.1:8000", 0, 0, "Server.") ROW(
        "endpoint", TARGET, "completions|chat", TEXT, endpoint, "completions", 0, 0,
        "Kind of request.") ROW("model", TARGET, "NAME", TEXT, model, NULL, 0, 0,
                                "Model to ask for. Default: the first of /v1/models.")
        ROW("api-key", TARGET, "KEY", TEXT, api_key, NULL, 0, 0,
            "Key to send. Default: INFERD_API_KEY in the environment.")
            ROW("concurrency", LOAD, "N", INT, concurrency, NULL, 1, 1e6,
                "Requests in flight: each that ends is followed by another (default: 16). With "
                "--request-rate or --trace: the most in flight (default: no bound).")
                ROW("num-requests", LOAD, "N", INT, num_requests, NULL, 1, 1e9,
                    "Requests in all. Default: 1000, or all of the trace, or what --duration has "
                    "time for.") ROW("duration", LOAD, "S", REAL, duration, NULL, 0.01, 1e7,
                                     "Start no request after this many seconds.")
                    ROW("request-rate", LOAD, "R", REAL, request_rate, NULL, 1e-6, 1e6,
                        "Open loop: requests arrive as a Poisson process of R a second.")
                        ROW("trace", LOAD, "FILE", TEXT, trace, NULL, 0, 0,
                            "Open loop: arrivals and lengths from a trace, as Azure's CSV "
                            "(TIMESTAMP,ContextTokens,"
                            "GeneratedTokens) or Mooncake's JSON lines (timestamp, input_length, "
                            "output_length).") ROW("trace-speed", LOAD, "X", REAL, trace_speed, "1",
                                                   1e-6, 1e6,
                                                   "Replay the trace this many times faster.")
                            ROW("num-warmups", LOAD, "N", INT, num_warmups, "1", 0, 1e6,
                                "Requests before the clock starts.")
                                ROW("input-len", WORK, "N", INT, input_len, "512", 1, 1e7,
                                    "Tokens of a prompt; "
                                    "for chat: words. The default is lowered where the model's "
                                    "context is shorter.")
                                    ROW("output-len", WORK, "N", INT, output_len, "128", 1, 1e7,
                                        "Tokens to ask for. The default is lowered where the "
                                        "model's context is shorter.")
                                        ROW("prefix-len", WORK, "N", INT, prefix_len, "0", 0, 1e7,
                                            "How many of a prompt's first "
                                            "tokens are the same in all "
                                            "prompts.") ROW("max-input-len", WORK, "N", INT,
                                                            max_input_len, "0", 0, 1e7,
                                                            "Cut prompts of a trace to this. 0: no "
                                                            "cut.") ROW("max-output-len", WORK, "N",
                                                                        INT, max_output_len, "0", 0,
                                                                        1e7,
                                                                        "Cut answers of a trace to "
                                                                        "this. 0: no cut.")
                                            ROW("vocab-size", WORK, "N", INT, vocab_size, NULL, 2,
                                                1 << 24,
                                                "Draw token ids from 0 to N - 1. Default: from ids "
                                                "that /tokenize gives for a text.")
                                                ROW("prompt", WORK, "TEXT", TEXT, prompt, NULL, 0,
                                                    0, "The same prompt for all requests.")
                                                    ROW("prompt-file", WORK, "FILE", TEXT,
                                                        prompt_file, NULL, 0, 0,
                                                        "Prompts in turn: one JSON string on each "
                                                        "line.") ROW("ignore-eos", WORK, NULL, FLAG,
                                                                     ignore_eos, "true", 0, 0,
                                                                     "Let every answer have its "
                                                                     "full length.")
                                                        ROW("stream", WORK, NULL, FLAG, stream,
                                                            "true", 0, 0,
                                                            "Ask for events instead of one answer.")
                                                            ROW("temperature", WORK, "T", REAL,
                                                                temperature, "0", 0, 10,
                                                                "Sampling temperature.")
                                                                ROW("extra-body", WORK, "JSON",
                                                                    TEXT, extra_body, NULL, 0, 0,
                                                                    "A JSON object whose members "
                                                                    "are added to each request.")
                                                                    ROW("seed", WORK, "N", INT,
                                                                        seed, "-1", -1, BIG,
                                                                        "Seed of prompts and "
                                                                        "arrivals. -1: another "
                                                                        "each time, so that no "
                                                                        "prompt is in a prefix "
                                                                        "cache by an earlier run; "
                                                                        "the report shows it.")
                                                                        ROW("timeout", REPORT, "S",
                                                                            REAL, timeout, "600",
                                                                            0.01, 1e6,
                                                                            "A request that takes "
                                                                            "longer is an error.")
                                                                            ROW("output", REPORT,
                                                                                "FILE", TEXT,
                                                                                output, NULL, 0, 0,
                                                                                "Write the report "
                                                                                "as JSON too.")
                                                                                ROW("progress",
                                                                                    REPORT, NULL,
                                                                                    FLAG, progress,
                                                                                    "true", 0, 0,
                                                                                    "Show a "
                                                                                    "progress line "
                                                                                    "on a "
                                                                                    "terminal.")
#undef ROW
};

bool bench_args_open_loop(const struct bench_args *a)
{
    return a->trace || a->request_rate > 0;
}

static bool name_eq(const char *table_name, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (table_name[i] != (name[i] == '_' ? '-' : name[i])) return false;
    return table_name[len] == '\0';
}

static const struct arg_def *find_arg(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++)
        if (name_eq(arg_table[i].name, name, len)) return &arg_table[i];
    return NULL;
}

static enum status unknown_arg(const char *name, size_t len, struct error *err)
{
    char copy[64];
    snprintf(copy, sizeof(copy), "%.*s", (int)(len < 60 ? len : 60), name);
    const char *near = NULL;
    int best = 4;
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++) {
        int d = str_distance(copy, arg_table[i].name, best);
        bool part = strlen(copy) >= 4 && strstr(arg_table[i].name, copy);
        if (d >= best && !(part && !near)) continue;
        if (d < best) best = d;
        near = arg_table[i].name;
    }
    if (near)
        return error_set(err, STATUS_INVALID, "unknown option --%s; did you mean --%s?", copy,
                         near);
    return error_set(err, STATUS_INVALID, "unknown option --%s; see inferd bench serve --help",
                     copy);
}

static enum status set_arg(struct bench_args *a, const struct arg_def *d, const char *text,
                           struct error *err)
{
    char *at = (char *)a + d->offset;
    double real = 0;
    int64_t whole = 0;
    bool ok = true;
    switch (d->kind) {
    case ARG_TEXT:
        memcpy(at, &text, sizeof(text));
        ok = *text != '\0';
        break;
    case ARG_INT:
        ok = parse_i64(text, &whole) && (double)whole >= d->min && (double)whole <= d->max;
        if (ok) memcpy(at, &whole, sizeof(whole));
        break;
    case ARG_REAL:
        ok = parse_f64(text, &real) && real >= d->min && real <= d->max;
        if (ok) memcpy(at, &real, sizeof(real));
        break;
    case ARG_FLAG: {
        bool on = strcmp(text, "true") == 0;
        ok = on || strcmp(text, "false") == 0;
        memcpy(at, &on, sizeof(on));
        break;
    }
    }
    if (ok) return STATUS_OK;
    if (d->kind == ARG_INT || d->kind == ARG_REAL)
        return error_set_param(err, STATUS_INVALID, d->name,
                               "--%s must be a%s number from %.15g to %.15g, not \"%.80s\"",
                               d->name, d->kind == ARG_INT ? " whole" : "", d->min, d->max, text);
    return error_set_param(err, STATUS_INVALID, d->name, "--%s: \"%.80s\" is not accepted", d->name,
                           text);
}

static enum status take_arg(struct bench_args *a, int argc, char **argv, int *at, struct error *err)
{
    const char *arg = argv[(*at)++];
    if (strncmp(arg, "--", 2) != 0)
        return error_set(err, STATUS_INVALID,
                         "\"%.80s\" is no option; see inferd bench serve --help", arg);
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct arg_def *d = find_arg(name, len);
    if (d && d->kind == ARG_FLAG) return set_arg(a, d, value ? value : "true", err);
    if (!d && len > 3 && !value && (strncmp(name, "no-", 3) == 0 || strncmp(name, "no_", 3) == 0)) {
        d = find_arg(name + 3, len - 3);
        if (d && d->kind == ARG_FLAG) return set_arg(a, d, "false", err);
        d = NULL;
    }
    if (!d) return unknown_arg(name, len, err);
    if (!value && *at < argc) value = argv[(*at)++];
    if (!value)
        return error_set_param(err, STATUS_INVALID, d->name, "--%s needs a value: %s", d->name,
                               d->value_name);
    return set_arg(a, d, value, err);
}

static int64_t clamp_len(int64_t len, int64_t most)
{
    if (most < 1) most = 1;
    return len < most ? len : most;
}

bool bench_args_fit(struct bench_args *a, int64_t context)
{
    /* A word of a chat is several tokens, and the template adds its own. */
    int64_t room = strcmp(a->endpoint, "chat") == 0 ? context / 4 : context;
    int64_t input = a->input_len, output = a->output_len;
    if (a->trace || a->prompt || a->prompt_file || input + output <= room) return false;
    if (!a->input_len_given)
        a->input_len = clamp_len(input, a->output_len_given ? room - output : room / 5 * 4);
    if (!a->output_len_given) a->output_len = clamp_len(output, room - a->input_len);
    return a->input_len < input || a->output_len < output;
}

static enum status check_args(struct bench_args *a, struct error *err)
{
    bool chat = strcmp(a->endpoint, "chat") == 0;
    if (!chat && strcmp(a->endpoint, "completions") != 0)
        return error_set(err, STATUS_INVALID, "--endpoint must be completions or chat, not %.80s",
                         a->endpoint);
    for (const char *c = a->api_key; c && *c; c++)
        if (*c <= 0x20 || *c >= 0x7F)
            return error_set(err, STATUS_INVALID, "--api-key: only printable ASCII is accepted");
    if (a->trace && a->request_rate > 0)
        return error_set(err, STATUS_INVALID,
                         "--trace brings its own arrivals; give it or --request-rate");
    if ((a->prompt != NULL) + (a->prompt_file != NULL) + (a->trace != NULL) > 1)
        return error_set(err, STATUS_INVALID, "give one of --prompt, --prompt-file and --trace");
    if (a->prefix_len > a->input_len && !a->trace)
        return error_set(err, STATUS_INVALID, "--prefix-len is longer than --input-len");
    if (!bench_args_open_loop(a) && a->concurrency == 0) a->concurrency = BENCH_CONCURRENCY_PRESET;
    if (a->num_requests == 0 && a->duration == 0 && !a->trace)
        a->num_requests = BENCH_REQUESTS_PRESET;
    return STATUS_OK;
}

enum status bench_args_parse(int argc, char **argv, struct bench_args *out, bool *help,
                             struct error *err)
{
    memset(out, 0, sizeof(*out));
    *help = false;
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++) {
        if (!arg_table[i].preset) continue;
        enum status st = set_arg(out, &arg_table[i], arg_table[i].preset, err);
        if (st != STATUS_OK) return st;
    }
    const char *key = getenv("INFERD_API_KEY"); /* the server's variable may hold several */
    if (key && *key && strcspn(key, ",") < sizeof(out->env_api_key)) {
        memcpy(out->env_api_key, key, strcspn(key, ","));
        out->api_key = out->env_api_key;
    }
    const int64_t input_preset = out->input_len, output_preset = out->output_len;
    out->input_len = out->output_len = 0; /* 0 cannot be given */
    for (int at = 0; at < argc;) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            *help = true;
            return STATUS_OK;
        }
        enum status st = take_arg(out, argc, argv, &at, err);
        if (st != STATUS_OK) return st;
    }
    out->input_len_given = out->input_len > 0;
    out->output_len_given = out->output_len > 0;
    if (!out->input_len_given) out->input_len = input_preset;
    if (!out->output_len_given) out->output_len = output_preset;
    return check_args(out, err);
}

static void print_arg(FILE *f, const struct arg_def *d)
{
    if (d->kind == ARG_FLAG) {
        fprintf(f, "  --%s, --no-%s\n        ", d->name, d->name);
    } else {
        fprintf(f, "  --%s %s\n        ", d->name, d->value_name);
    }
    size_t column = 8;
    for (const char *word = d->help; *word;) {
        size_t n = strcspn(word, " ");
        bool first = column == 8;
        if (!first && column + 1 + n > 96) {
            fputs("\n        ", f);
            column = 8;
        } else if (!first) {
            fputc(' ', f);
            column++;
        }
        fprintf(f, "%.*s", (int)n, word);
        column += n;
        word += n + (word[n] == ' ');
    }
    if (d->preset) fprintf(f, " [default: %s]", d->preset);
    fputc('\n', f);
}

void bench_args_print_help(FILE *f)
{
    fputs("usage: inferd bench serve --url URL [options]\n\n"
          "Sends requests to an OpenAI-compatible server and measures time to first token (TTFT),\n"
          "time between tokens (ITL), time per output token after the first (TPOT), end-to-end\n"
          "time (E2E) and throughput.\n",
          f);
    const char *section = "";
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++) {
        if (strcmp(section, arg_table[i].section) != 0) fprintf(f, "\n%s:\n", arg_table[i].section);
        section = arg_table[i].section;
        print_arg(f, &arg_table[i]);
    }
    fputs("\nexamples:\n"
          "  inferd bench serve --url http://127.0.0.1:8000 --concurrency 16 --duration 10\n"
          "  inferd bench serve --url http://gpu1:8000 --request-rate 20 --num-requests 2000\n"
          "  inferd bench serve --trace conversation_trace.jsonl --trace-speed 2 --output r.json\n",
          f);
}
