#ifndef CUDA_STEP_H
#define CUDA_STEP_H

/* step.h - what a step brings, from the host to fixed places on the device. */

#include "cuda/cuda.h"

enum status cuda_step_reserve(struct cuda_backend *cb, struct error *err);
/* Part of step_upload. */
void cuda_step_upload(struct backend *be, const struct step *step);
/* A step of `rows` rows of padding: what a capture runs on.  The caller waits before the next. */
void cuda_step_upload_padding(struct cuda_backend *cb, int rows);
void cuda_step_release(struct cuda_backend *cb);

/* Captured steps have at most so many rows; larger ones are launched as they are. */
#define CUDA_BUCKET_MAX 256
/* The rows that a step of n rows runs with where steps are captured: the next bucket, or n itself
 * above the largest one.  Pure. */
int cuda_step_bucket(int n);

#endif
