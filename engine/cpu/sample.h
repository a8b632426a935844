#ifndef ENGINE_CPU_SAMPLE_H
#define ENGINE_CPU_SAMPLE_H

/* sample.h - one row of logits to one token, as engine/sampling.h defines it.  A pure function:
 * no state, no allocation; any worker thread may call it with its own scratch. */

#include "engine/step.h"

#include <stddef.h>

struct cpu_kernels;

/* Bytes of scratch that one call needs, 64-byte aligned. */
size_t cpu_sample_scratch_size(int vocab_size);
/* Rough time of one call on one thread. */
double cpu_sample_work_ns(int vocab_size, const struct step_sample *s);
/* logits[vocab_size] is not changed.  The answer is the same with every table of kernels;
 * cpu_sample_row takes the best that this CPU has. */
void cpu_sample_row_by(const struct cpu_kernels *kernels, const float *logits, int vocab_size,
                       const struct step_sample *s, void *scratch, struct sample_out *out);
void cpu_sample_row(const float *logits, int vocab_size, const struct step_sample *s, void *scratch,
                    struct sample_out *out);

#endif
