#ifndef SERVER_LOAD_MODEL_H
#define SERVER_LOAD_MODEL_H

/* load_model.h - everything that serving needs from disk, in one blocking call: weights, tokenizer
 * and chat template.  Any thread. */

#include "config/options.h"
#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/chat_templates.h"

struct loaded_model {
    struct engine *engine;
    struct tokenizer *tokenizer;
    struct chat_templates *chat_templates; /* NULL: the model has none */
    double weights_s, tokenizer_s, template_s;
};
/* On failure nothing is left. */
enum status load_model(const struct options *o, struct loaded_model *out, struct error *err);
/* The engine is not among it: the engine loop closes that. */
void loaded_model_free(struct loaded_model *m);

#endif
