#ifndef SERVER_API_PARAMS_H
#define SERVER_API_PARAMS_H

/* api_params.h - the JSON of a request to a plain struct: text in, struct out, nothing else known
 * (no app, no HTTP, no tokenizer), so that it can be fuzzed alone.
 *
 * The fields are tables in api_params.c: name, type, range and where the value goes, or the words
 * that refuse it.  JSON null is as if the field was absent; a field that is in no table is refused
 * by name.  A refused field is accepted at the value that asks for nothing ("tools": []).
 * Threads: a pure function; any. */

#include "config/base/arena.h"
#include "config/base/json.h"
#include "config/base/status.h"
#include "engine/sampling.h"

#include <stdbool.h>
#include <stdint.h>

enum api_kind {
    API_COMPLETION = 1,
    API_CHAT = 2,
    API_TOKENIZE = 4,
    API_DETOKENIZE = 8,
};

/* Choices of one request: prompts times n.  Each costs about 400 bytes and a sequence to schedule;
 * 4096 is more than any queue of default size takes. */
enum { API_MAX_CHOICES = 4096 };

/* What the server allows, and the values of fields that are absent. */
struct api_rules {
    int32_t vocab_size, max_model_len;
    int32_t max_n, max_prompts, max_stop_strings, max_logprobs;
    bool priority_policy; /* else only priority 0 is accepted */
    bool
        prompt_only; /* the prompt is wanted, no answer: what only shapes the prompt may be there */
    float temperature, top_p, min_p, repetition_penalty;
    int32_t top_k;
};

/* Either text (ids NULL) or ids. */
struct api_prompt {
    struct str text;
    const int32_t *ids; /* [n_ids] inside the vocabulary */
    int32_t n_ids;
};

/* Pointers lead into `arena` or `root`.  -1 stands for "absent" where a comment says so. */
struct api_params {
    enum api_kind kind;
    struct arena arena;
    cJSON *root;

    const char *model; /* NULL = absent */
    const char *request_id, *cache_salt;
    struct api_prompt *prompts; /* [n_prompts]; 0 for a chat */
    int32_t n_prompts;
    bool prompt_is_text;          /* its tokens are not known yet */
    const cJSON *messages;        /* chat: an array, its items not looked at */
    const cJSON *template_kwargs; /* an object without reserved names, or NULL */
    const cJSON *documents;       /* an array of objects, or NULL */
    const cJSON *tools;           /* an array of objects, not empty, or NULL */
    const char *reasoning_effort; /* for the template, or NULL */
    bool add_special_tokens;      /* completions, tokenize: true; chat: false */
    bool add_generation_prompt, continue_final_message;
    int64_t truncate_prompt_tokens; /* 0 = absent, -1 = what the context has room for */
    bool truncate_right;            /* keep the beginning, not the end */

    int32_t n;
    int64_t max_tokens; /* -1 = absent */
    int64_t priority;
    bool has_seed;
    uint64_t seed;
    int32_t n_stop;
    struct str *stop; /* [n_stop] */
    bool include_stop, skip_special_tokens;
    bool stream, include_usage, continuous_usage;
    bool echo;
    int32_t n_logprobs;        /* alternatives per token; -1 = none asked for */
    int32_t n_prompt_logprobs; /* -1 = absent */
    bool return_token_ids, tokens_as_ids;
    /* All but eos_ids is set; n_logprobs is what the engine has to give for all purposes. */
    struct sampling_params sampling;

    bool return_token_strs; /* tokenize */
    const int32_t *tokens;  /* detokenize: [n_tokens] */
    int32_t n_tokens;
};

/* On failure nothing is left to free.  Errors are INVALID, UNSUPPORTED (a field that is known and
 * not offered) or NO_MEMORY, with the field in err->param. */
enum status api_params_parse(const char *text, size_t len, enum api_kind kind,
                             const struct api_rules *rules, struct api_params *out,
                             struct error *err);
/* Once the tokens are made: gives back what was only needed for them, so that a request that waits
 * does not hold the tree of a large body.  Texts stay. */
void api_params_trim(struct api_params *p);
void api_params_free(struct api_params *p);

#endif
