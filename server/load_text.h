#ifndef SERVER_LOAD_TEXT_H
#define SERVER_LOAD_TEXT_H

/* load_text.h - the part of a model directory that turns requests into token ids: tokenizer, chat
 * templates, and what config.json says of lengths.  One blocking call, no weights; any thread. */

#include "config/options.h"
#include "engine/load/model_config.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/chat_templates.h"

struct loaded_text {
    struct tokenizer *tokenizer;
    struct chat_templates *chat_templates; /* NULL: the model has none */
    double tokenizer_s, templates_s;

    /* Only by load_text_limits. */
    struct model_config config;
    int32_t max_model_len; /* 0: not known, no limit */
};

/* The directory itself: NOT_FOUND, IO or INVALID in words that say what to give instead; `holds`
 * says what is looked for in it. */
enum status check_dir(const char *dir, const char *holds, struct error *err);
/* On failure nothing is left. */
enum status load_text(const struct options *o, struct loaded_text *out, struct error *err);
/* For a process without an engine: context and vocabulary from config.json where there is one.
 * Of a model that inferd cannot run, only these two are known; with no config.json the vocabulary
 * is the tokenizer's and the context what --max-model-len says. */
enum status load_text_limits(const struct options *o, struct loaded_text *t, struct error *err);
void loaded_text_free(struct loaded_text *t);

#endif
