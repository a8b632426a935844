#ifndef ENGINE_FIT_H
#define ENGINE_FIT_H

/* fit.h - a model on a device with memory of its own: how large its KV pool may be, and, when something
 * does not fit, what to change and to which value.
 *
 * The pool is sized last, from what memory() says when all else is there.  What other options would
 * take is asked of the backend (open_counting); the weights' size with another quantisation follows
 * from their shapes.  So a value that is named was computed to fit, with the memory that the device had
 * free at open.
 * Threads: the one that opens the engine. */

#include "engine/engine.h"
#include "engine/model.h"

enum fit_part { FIT_WEIGHTS, FIT_BUFFERS, FIT_POOL, FIT_GRAPHS };

struct fit {
    struct backend *backend;
    const struct model_config *config;
    const struct engine_options *options;
    const struct engine_info *info;      /* lengths, block size and kv_dtype are chosen */
    const struct model_weights *weights; /* NULL: not loaded yet */
    size_t at_open, total;               /* bytes: free at open; of the device */
    size_t held_weights;                 /* what loading took */
    size_t left_before_graphs;
};

/* The limits that these choices give; n_blocks as it is there. */
struct backend_limits fit_limits(const struct engine_info *info, const struct model_config *c);

/* Before the weights.  NO_MEMORY when they cannot fit, whatever else is chosen. */
enum status fit_begin(struct fit *f, struct error *err);
void fit_loaded(struct fit *f, const struct model_weights *w);
/* When all else is there: bytes for an automatic pool (0: as many as were asked for). */
uint64_t fit_pool_limit(const struct fit *f, bool capture_steps);
/* A pool of n < 2 blocks. */
enum status fit_no_pool(const struct fit *f, bool capture_steps, struct error *err);
/* Says in *err, where it is the device's NO_MEMORY, what did not fit, how much is missing and what to
 * change.  Returns err's code. */
enum status fit_explain(const struct fit *f, enum fit_part part, struct error *err);

#endif
