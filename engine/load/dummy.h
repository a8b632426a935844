#ifndef ENGINE_LOAD_DUMMY_H
#define ENGINE_LOAD_DUMMY_H

/* dummy.h - private to engine/load: weights from a seed, for speed and memory tests of shapes whose
 * weights are not at hand.  A tensor depends on (seed, its name) alone, not on the order of
 * loading.  Normal with deviation 0.02, transformers' initializer_range. */

#include "engine/backend.h"

#include <stddef.h>
#include <stdint.h>

struct dummy;

struct dummy *dummy_open(uint64_t seed); /* NULL: no memory */
void dummy_close(struct dummy *d);
/* n elements of F32, F16 or BF16. */
void dummy_fill(const struct dummy *d, const char *name, enum dtype dtype, void *out, size_t n);

#endif
