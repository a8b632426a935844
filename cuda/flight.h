#ifndef CUDA_FLIGHT_H
#define CUDA_FLIGHT_H

/* flight.h - steps between step_upload and step_download: CUDA_FLIGHTS at most.
 *
 * All of a step is enqueued on one stream: the copies of its inputs, its operators, the copies of its
 * results.  So the device's arrays need no twin: those of the next step land when this one has run.
 * What the host writes and reads does: staging memory and results lie in pinned memory twice, and a
 * step has the areas of its turn, 0 or 1, until two events:
 *   staged   behind the copies of the inputs: the staging areas may be written again
 *   done     behind the copies of the results: they may be read
 * A step that follows on takes ids from at.drawn, which the step before has written by then. */

#include "cuda/cuda.h"

enum status cuda_flight_reserve(struct cuda_backend *cb, struct error *err);
void cuda_flight_release(struct cuda_backend *cb);
/* Takes the next turn, cb->turn; waits for its staging areas, which are free already unless three
 * uploads follow one another without a download. */
void cuda_flight_begin(struct cuda_backend *cb);
/* After the upload. */
void cuda_flight_staged(struct cuda_backend *cb);
/* After the operators: enqueues the results' way back. */
void cuda_flight_return(struct cuda_backend *cb);
/* Waits for the oldest step that was returned; gives its turn. */
enum status cuda_flight_land(struct cuda_backend *cb, int *turn, struct error *err);

#endif
