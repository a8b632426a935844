#ifndef CUDA_GRAPHS_H
#define CUDA_GRAPHS_H

/* graphs.h - running a step: small ones as a graph that was captured at start, the others launch by
 * launch.  A graph is for one bucket of rows (step.h) of which every row has logits: what decoding
 * asks for; its arrays lie at fixed addresses, so that it serves every step of its bucket. */

#include "cuda/cuda.h"

/* Entry of engine/backend.h. */
enum status cuda_run(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                     void *model, struct error *err);
/* Runs the longest step and, if wanted, captures all buckets; also an entry.  These steps have rows of
 * padding only. */
enum status cuda_warm(struct backend *be, forward_fn *forward, void *model, bool capture_steps,
                      struct error *err);
void cuda_graphs_release(struct cuda_backend *cb);

#endif
