#ifndef SERVER_API_FIELDS_H
#define SERVER_API_FIELDS_H

/* api_fields.h - the fields that requests may have, as tables (api_fields.c), and the readers of
 * those that need one of their own (api_readers.c).  Private to api_params.c and these two.
 * Threads: any; a struct parse belongs to one call of api_params_parse. */

#include "server/api_params.h"

#include <stddef.h>

struct parse {
    const struct api_rules *rules;
    struct api_params *p;
    struct error *err;
    /* seen on the way, for the checks across fields */
    bool chat_logprobs, has_stream_options, has_generation_prompt;
    int64_t best_of, top_logprobs, max_completion_tokens; /* -1 = absent */
};

struct field;
typedef enum status parse_fn(struct parse *q, const struct field *f, const cJSON *v);
typedef bool neutral_fn(const cJSON *v);

enum field_type {
    F_BOOL,
    F_I32,
    F_I64,
    F_FLOAT,
    F_STRING,
    F_CUSTOM,  /* parse() */
    F_IGNORED, /* of the type that neutral() accepts, and without any effect on the answer */
    F_REFUSED, /* but for the values that neutral() accepts */
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset; /* of the member of struct api_params */
    double min, max;
    parse_fn *parse;
    neutral_fn *neutral;
    const char *note; /* what to do instead (F_REFUSED), or the type expected (F_IGNORED) */
};

/* Integers in JSON are exact up to 2^53. */
#define MAX_INT 9007199254740992.0
/* A float bound that is no bound: what stays finite as a float. */
#define MAX_FLOAT 1e30

/* The row of `name` for this kind of request; NULL when the API has no such field. */
const struct field *field_find(enum api_kind kind, const char *name);

/* "'name' must be <what>, not a string." */
enum status field_bad(struct parse *q, const char *name, const char *what, const cJSON *v);
enum status field_no_memory(struct parse *q);

/* An integer within [min, max], else an error that names the field. */
enum status field_read_int(struct parse *q, const char *name, const cJSON *v, int64_t lo,
                           int64_t hi, int64_t *to);
bool field_string_is(const cJSON *v, const char *text);

/* --- readers --- */
parse_fn field_prompt;
parse_fn field_tokenize_prompt;
parse_fn field_tokens;
parse_fn field_messages;
parse_fn field_documents;
parse_fn field_tools;
parse_fn field_tool_choice;
parse_fn field_template_kwargs;
parse_fn field_reasoning_effort;
parse_fn field_bias;
parse_fn field_stop;
parse_fn field_stop_ids;
parse_fn field_seed;
parse_fn field_top_p;
parse_fn field_temperature;
parse_fn field_n;
parse_fn field_best_of;
parse_fn field_chat_max_tokens;
parse_fn field_max_completion_tokens;
parse_fn field_logprobs;
parse_fn field_prompt_logprobs;
parse_fn field_chat_logprobs;
parse_fn field_top_logprobs;
parse_fn field_truncate;
parse_fn field_truncation_side;
parse_fn field_generation_prompt;
parse_fn field_priority;
parse_fn field_request_id;
parse_fn field_stream_options;

#endif
