#ifndef SERVER_CHAT_TEMPLATES_H
#define SERVER_CHAT_TEMPLATES_H

/* chat_templates.h - a model's chat templates, compiled, each under its name.  Most models have one
 * ("default"); some bring "tool_use", "rag" and so on.
 *
 * Where they come from, first match wins:
 * 1. --chat-template FILE;
 * 2. files beside the tokenizer, else beside the model: chat_template.jinja ("default") and
 *    additional_chat_templates/NAME.jinja, as transformers 5 saves them;
 * 3. "chat_template" of tokenizer_config.json: a string, or a list of {name, template}.
 * With them go the special tokens that templates see, as transformers 5 has them in its
 * special_tokens_map: every "..._token" of tokenizer_config.json that is a text, and the members of
 * "extra_special_tokens" where that is an object; special_tokens_map.json counts where the
 * configuration has no "added_tokens_decoder".
 * Threads: immutable once loaded; any may read. */

#include "config/options.h"
#include "engine/template/template.h"
#include "engine/tokenizer/tokenizer.h"

struct chat_template {
    char *name;
    struct template *compiled;
};
struct chat_templates {
    struct chat_template *items; /* [n], in the order of the names */
    size_t n, cap;
    cJSON *special_tokens; /* an object: template variables by name ("bos_token": "<s>") */
};

/* *out is NULL when the model has no template at all.  A template that does not compile is an
 * error with file, name, line and column. */
enum status chat_templates_load(const struct options *o, const struct tokenizer *tokenizer,
                                struct chat_templates **out, struct error *err);
void chat_templates_free(struct chat_templates *t);

/* The one that a request gets, as transformers' get_chat_template picks it: `name` when asked for
 * (NULL: not); else "tool_use" when the request has tools; else "default".  INVALID with the names
 * that exist when there is none of that name. */
enum status chat_templates_pick(const struct chat_templates *t, bool has_tools, const char *name,
                                const struct chat_template **out, struct error *err);

#endif
