#ifndef CUDA_PLAN_H
#define CUDA_PLAN_H

/* plan.h - the roofline of a whole step before a GPU is at hand: every launch of llama-3.1-8b's forward
 * pass with its bytes, operations and the time they take at an H200's rates (linear.h), and what the
 * compiler gave its kernels (resources.h). */

#include <stdbool.h>

/* One line a kernel and step (decodes of 1, 8 and 64 sequences at 4,096 tokens, prompts of 512 and
 * 2,048), in bf16 and int8, and the sums; `add` is called with whole lines.  The kernels are those that an
 * H200 gets, as they were compiled for `arch` ("sm_90"); false when they were not. */
bool cuda_print_plan(void (*add)(void *ctx, const char *line), void *ctx, const char *arch);

#endif
