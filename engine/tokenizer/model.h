#ifndef ENGINE_TOKENIZER_MODEL_H
#define ENGINE_TOKENIZER_MODEL_H

/* model.h - the model: a pre-tokenised piece in, ids out.  A model type is a struct model_kind and a
 * row in models.c. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/vocab.h"

#include <stdbool.h>

struct encoder;
struct tokenizer;

struct model_kind {
    const char *type;
    /* Fills t->vocab and t->model_data.  What it made is freed by `free`, on failure too. */
    enum status (*parse)(const cJSON *json, struct tokenizer *t, struct error *err);
    void (*free)(void *model_data);
    /* Pushes the ids of one pre-tokenised piece, never empty; false: stop, e->status says why.
     * e->model_scratch is the model's own, NULL at first. */
    bool (*encode)(struct encoder *e, struct str text);
    void (*free_scratch)(void *scratch); /* NULL: there is none */
    /* Once all parts are read: what depends on them (NULL: nothing does). */
    enum status (*prepare)(struct tokenizer *t, struct error *err);
};
extern const struct model_kind model_bpe, model_wordpiece, model_wordlevel, model_unigram;

/* models.c: "model" of tokenizer.json into t->model, t->model_data and t->vocab.  "vocab" and
 * "merges" are raw parts (json.h): text for a json_reader. */
enum status model_parse(const cJSON *json, struct tokenizer *t, struct error *err);
/* {"token": id}, a raw part, into t->vocab; ids may have holes. */
enum status model_parse_vocab(const cJSON *json, struct vocab *v, struct error *err);
/* An integer from 0 on; those that a double cannot tell apart are SIZE_MAX. */
bool model_as_limit(const cJSON *item, size_t *out);

#endif
