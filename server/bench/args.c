#include "server/bench/args.h"

#include "config/base/check.h"
#include "server/bench/arg_table.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct arg_def arg_defs[] = {
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
static const struct arg_table arg_table = {"bench serve", arg_defs, ARRAY_LEN(arg_defs)};

bool bench_args_open_loop(const struct bench_args *a)
{
    return a->trace || a->request_rate > 0;
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
    enum status st = arg_table_presets(&arg_table, out, err);
    if (st != STATUS_OK) return st;
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
        st = arg_table_take(&arg_table, out, argc, argv, &at, err);
        if (st != STATUS_OK) return st;
    }
    out->input_len_given = out->input_len > 0;
    out->output_len_given = out->output_len > 0;
    if (!out->input_len_given) out->input_len = input_preset;
    if (!out->output_len_given) out->output_len = output_preset;
    return check_args(out, err);
}

void bench_args_print_help(FILE *f)
{
    fputs("usage: inferd bench serve --url URL [options]\n\n"
          "Sends requests to an OpenAI-compatible server and measures time to first token (TTFT),\n"
          "time between tokens (ITL), time per output token after the first (TPOT), end-to-end\n"
          "time (E2E) and throughput.\n",
          f);
    arg_table_print(&arg_table, f);
    fputs("\nexamples:\n"
          "  inferd bench serve --url http://127.0.0.1:8000 --concurrency 16 --duration 10\n"
          "  inferd bench serve --url http://gpu1:8000 --request-rate 20 --num-requests 2000\n"
          "  inferd bench serve --trace conversation_trace.jsonl --trace-speed 2 --output r.json\n",
          f);
}
