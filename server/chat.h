#ifndef SERVER_CHAT_H
#define SERVER_CHAT_H

/* chat.h - a conversation to the text of a prompt, as transformers' apply_chat_template and vLLM
 * around it do: messages, tools = none, documents, add_generation_prompt, the tokenizer's special
 * tokens by name, and the request's chat_template_kwargs over all that.
 * Threads: reads only what is immutable in the app; any. */

#include "server/api_params.h"
#include "server/app.h"

/* Appends the prompt.  INVALID with the template's own words when it refuses the messages;
 * UNSUPPORTED when the model has no template. */
enum status chat_render(const struct app *a, const struct api_params *p, int64_t now,
                        struct strbuf *out, struct error *err);

#endif
