#ifndef SERVER_API_PROMPT_H
#define SERVER_API_PROMPT_H

/* api_prompt.h - what a request's prompt becomes for the engine: its tokens, checked against the
 * vocabulary and the context.  Threads: reads only what is immutable in the app; any. */

#include "server/api_params.h"
#include "server/app.h"

/* Bodies above this are parsed, rendered and tokenised on the uv pool: at about 10 MB/s through
 * the tokenizer this is the most that the loop thread spends on one request, under 1 ms. */
enum { API_INLINE_BODY_SIZE = 8192 };

/* The name that answers carry, and whether a client may ask for `model` (NULL = any). */
const char *api_model_name(const struct app *a);
enum status api_check_model(const struct app *a, const char *model, struct error *err);

/* 503 while the server drains or after the device failed. */
enum status api_check_serving(const struct app *a, struct error *err);

/* The options and the model's generation_config as the parser's rules. */
void api_rules_init(struct api_rules *r, const struct app *a);

/* max_tokens of a chat that does not say, by the model's generation_config; -1: all that fits. */
int64_t api_default_chat_tokens(const struct app *a);

/* A body to its fields, checked, with a model that is served.  On failure nothing is left to free. */
enum status api_parse(const struct app *a, struct str body, enum api_kind kind, bool prompt_only,
                      struct api_params *out, struct error *err);

/* The context as JSON: a number, or null where it is not known. */
void api_add_max_model_len(struct strbuf *out, const struct app *a);

struct prompt_tokens {
    const int32_t *ids; /* [n] in the arena of the params */
    int32_t n;
    int32_t max_tokens; /* outputs that the request may make: asked for, or the default */
};
/* As a JSON array. */
void api_add_ids(struct strbuf *out, const struct prompt_tokens *t);

/* Tokens of every prompt of a request, (*out)[prompts_count(p)] in the arena of the params: the chat
 * rendered, texts encoded, given ids taken, truncated as the request says; for a generation, checked
 * against vocabulary and context.  CONTEXT_LENGTH in OpenAI's words, INVALID when nothing is left.
 * `now` is the template's wall-clock second. */
enum status prompts_make(const struct app *a, struct api_params *p, int64_t now,
                         const struct prompt_tokens **out, struct error *err);
int32_t prompts_count(const struct api_params *p); /* 1 for a chat */

#endif
