#ifndef CUDA_GRAPHS_H
#define CUDA_GRAPHS_H

/* graphs.h - running a step: small ones as a graph that was captured at start, the others launch by
 * launch.  A graph is for one bucket of rows (step.h) of which every row has logits: what decoding
 * asks for; its arrays lie at fixed addresses, so that it serves every step of its bucket. */

#include "cuda/cuda.h"

/* Entry of engine/backend.h. */
enum status cuda_run(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                     void *model, struct error *err);
/* Runs the longest step and, if they are to be captured, one of each bucket; then the captures; also
 * entries.  These steps have rows of padding only. */
enum status cuda_warm(struct backend *be, forward_fn *forward, void *model, bool capture_steps,
                      struct error *err);
enum status cuda_capture(struct backend *be, forward_fn *forward, void *model, struct error *err);
size_t cuda_capture_size(struct backend *be);
/* Buckets that were captured, and that the limits ask for (0 before reserve). */
void cuda_graphs_count(const struct cuda_backend *cb, int *n_captured, int *n_to_capture);
void cuda_graphs_release(struct cuda_backend *cb);

#endif
