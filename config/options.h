#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

/* options.h - every option of `inferd serve`, from one table (options.c): the command line, the
 * environment (INFERD_MAX_MODEL_LEN), a YAML file (--config, keys as on the command line) and the
 * defaults, in that order of strength.  Names are vLLM's where vLLM has the option.  A value out
 * of range, an unknown name (with "did you mean") or a wrong type is refused with a message that
 * names the source.  Threads: filled at start, then read-only. */

#include "config/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct option_list {
    char **items;
    int n;
};

struct options {
    const char *command; /* "serve": whose options these are, for messages */

    /* model */
    const char *model;                    /* positional: DIR, or a name; NULL = the demo model */
    const char *model_said;               /* the same as the user gave it */
    const char *tokenizer;                /* --tokenizer DIR; NULL = the model's */
    struct option_list served_model_name; /* --served-model-name A B; the first is shown */
    bool names_itself;                    /* served_model_name was not given */
    const char *load_format;              /* auto | safetensors | dummy */
    const char *dtype;                    /* auto | float32 | bfloat16 */
    const char *quantization;             /* none | int8 | int8-w8a16 | int4 */
    const char *kv_cache_dtype;           /* auto | float32 | bfloat16 */
    const char *packed_cache_dir;         /* folder of packed weights; NULL = none */
    int64_t max_model_len;                /* 0 = the model's */
    int64_t seed;              /* of dummy weights and of requests without a seed; -1 = random */
    const char *chat_template; /* --chat-template FILE */
    const char *chat_template_content_format; /* auto | string | openai */
    const char *generation_config;            /* auto = the model's defaults | vllm = none */

    /* engine and scheduler */
    const char *device;      /* auto | cpu | cuda */
    const char *cuda_plugin; /* NULL: beside the binary */
    bool enforce_eager;      /* no captured graphs */
    bool async_scheduling;   /* two steps under way where the device can */
    bool kernel_overlap;     /* kernels begin while the one ahead ends, where the device can */
    double gpu_memory_utilization; /* share of the GPU's memory */
    const char *isa;               /* --cpu-isa */
    int64_t threads;               /* 0 = all that the process may use */
    const char *cpu_pinning;       /* auto | on | off */
    int64_t block_size, max_num_seqs, max_num_batched_tokens;
    int64_t kv_cache_memory_bytes; /* 0 = automatic; accepts 4G, 512M */
    bool enable_prefix_caching, enable_chunked_prefill;
    const char *scheduling_policy; /* fcfs | priority */
    int64_t max_num_queued_reqs, max_num_queued_tokens;
    int64_t max_logprobs;
    double request_timeout;  /* seconds, 0 = none */
    double watchdog_timeout; /* seconds a step may take before /health/ready says no */

    /* server */
    const char *host;
    int64_t port;               /* 0 = any free one, printed */
    int64_t ready_fd;           /* an open descriptor that is told when ready; 0 = none */
    struct option_list api_key; /* --api-key K1 K2 */
    const char *api_key_file;   /* one key a line, # comments */
    int64_t max_connections, max_body_size, max_header_size;
    double idle_timeout, header_timeout; /* seconds */
    double shutdown_timeout;
    int64_t max_prompt_batch, max_n, max_stop_strings;
    const char *root_path;              /* prefix a proxy leaves in front of paths; "" */
    struct option_list allowed_origins; /* CORS; empty = no CORS headers */
    struct option_list allowed_hosts;   /* names that a loopback address may be called by */
    bool disable_metrics, web;

    /* logging */
    const char *log_level;  /* debug | info | warning | error */
    const char *log_format; /* text | json */
    bool log_requests;

    void *storage; /* owns the strings */
};

/* argv without the program and the subcommand names.  *help: --help was given; then nothing is
 * printed and the rest of *out is not filled in.  Call options_free in either case; after an error
 * there is nothing to free. */
enum status options_parse(int argc, char **argv, char **envp, struct options *out, bool *help,
                          struct error *err);
/* The same for another command that takes these options; `command` must outlive them. */
enum status options_parse_command(const char *command, int argc, char **argv, char **envp,
                                  struct options *out, bool *help, struct error *err);
/* For a command that hands options on: how many words at the start of argv one option and its
 * values take, as options_parse would read them; 0 when argv[0] is none of these options.  What an
 * option of another server asks for counts too, so that it is refused in the usual words.
 * `name` (or NULL): its name with dashes, to compare. */
int options_span(int argc, char **argv, const char **name);
/* The nearest name of an option, or NULL; `name` without dashes in front. */
const char *options_suggest(const char *name);
/* The directory that `model` or `tokenizer` was found to mean; model_said stays (where nothing was
 * said it becomes `dir`).  `name`, or NULL: what clients call the model unless --served-model-name
 * said so.  Both are copied. */
enum status options_set_model(struct options *o, const char *dir, const char *name,
                              struct error *err);
enum status options_set_tokenizer(struct options *o, const char *dir, struct error *err);
void options_free(struct options *o);
void options_print_help(FILE *f); /* `inferd serve --help`: every option, default, env, unit */
/* The options alone, without those of one section, with how they are given: for the help of other
 * commands that take them. */
void options_print_rows(FILE *f, const char *without_section);
/* The same rows of the options named alone; the list ends with NULL. */
void options_print_named(FILE *f, const char *const *names);
/* One line per option as markdown, for docs (kept in step with the table by a test). */
void options_print_markdown(FILE *f);

#endif
