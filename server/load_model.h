#ifndef SERVER_LOAD_MODEL_H
#define SERVER_LOAD_MODEL_H

/* load_model.h - everything that serving needs from disk, in one blocking call: the text part
 * (load_text.h) and the weights.  Any thread. */

#include "engine/engine.h"
#include "server/load_text.h"

struct loaded_model {
    struct loaded_text text;
    struct engine *engine; /* NULL without weights */
    double weights_s;
};
/* weights: else only the text part and its limits.  On failure nothing is left. */
enum status load_model(const struct options *o, bool weights, struct loaded_model *out,
                       struct error *err);
/* The engine is not among it: the engine loop closes that. */
void loaded_model_free(struct loaded_model *m);

#endif
