#ifndef SERVER_BENCH_ARGS_H
#define SERVER_BENCH_ARGS_H

/* args.h - the options of `inferd bench serve`, from one table. */

#include "config/base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct bench_args {
    const char *url;
    const char *api_key;  /* also from INFERD_API_KEY */
    const char *model;    /* NULL = the first of /v1/models */
    const char *endpoint; /* completions | chat */

    int64_t concurrency; /* closed loop: in flight; open loop: most in flight, 0 = no bound */
    int64_t num_requests;
    double duration;
    double request_rate;
    const char *trace;
    double trace_speed;
    int64_t num_warmups;

    int64_t input_len, output_len, prefix_len;
    bool input_len_given, output_len_given; /* else presets, which bench_args_fit may lower */
    int64_t max_input_len, max_output_len;  /* for traces; 0 = none */
    int64_t vocab_size;
    const char *prompt, *prompt_file;
    bool ignore_eos, stream;
    double temperature;
    const char *extra_body;
    int64_t seed; /* -1 = another each time */

    double timeout;
    const char *output;
    bool progress;

    char env_api_key[512]; /* storage */
};

enum { BENCH_CONCURRENCY_PRESET = 16, BENCH_REQUESTS_PRESET = 1000 };

/* argv without the names of program and commands.  Values point into argv and into *out, which
 * must stay where it is. */
enum status bench_args_parse(int argc, char **argv, struct bench_args *out, bool *help,
                             struct error *err);
bool bench_args_open_loop(const struct bench_args *a);
/* Lowers lengths that were not given so that prompt and output fit into a context of so many
 * tokens; true when one is lower than before. */
bool bench_args_fit(struct bench_args *a, int64_t context);
void bench_args_print_help(FILE *f);

#endif
