#ifndef SERVER_CHAT_H
#define SERVER_CHAT_H

/* chat.h - a conversation to the text of a prompt, as transformers' apply_chat_template does it.
 * The template sees messages (api_messages.h), tools and documents (none where absent),
 * add_generation_prompt, the tokenizer's special tokens by their names, and over all that the
 * request's chat_template_kwargs.
 * Threads: reads only what is immutable; any. */

#include "server/api_params.h"
#include "server/app.h"

struct chat_templates;

/* All pointers are borrowed for the call.  JSON as the client sent it. */
struct chat_input {
    const cJSON *messages;        /* an array, its items not looked at */
    const cJSON *tools;           /* an array; NULL = none */
    const cJSON *documents;       /* an array of objects; NULL = none */
    const cJSON *template_kwargs; /* an object without reserved names; NULL = none */
    const char *reasoning_effort; /* NULL = not given */
    const char *template_name;    /* NULL = by the rules of chat_templates_pick */
    bool add_generation_prompt, continue_final_message;
};

/* Appends the prompt.  `content_format` is the option's value: auto, string or openai.  INVALID with
 * the template's own words when it refuses the messages. */
enum status chat_render_input(const struct chat_templates *t, const char *content_format,
                              const struct chat_input *in, int64_t now, struct strbuf *out,
                              struct error *err);
/* The same for a request.  UNSUPPORTED when the model has no template. */
enum status chat_render(const struct app *a, const struct api_params *p, int64_t now,
                        struct strbuf *out, struct error *err);

#endif
