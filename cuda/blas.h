#ifndef CUDA_BLAS_H
#define CUDA_BLAS_H

/* blas.h - matrix products of many rows by a library.
 *
 * Two bodies: blas_cuda.c on cuBLASLt (column-major there: out^T[N,T] = W[N,K] x^T, "TN");
 * tests/cuda_host/blas_host.cpp, plain loops with the same integers and f32 sums.
 * out[T,N] = x[T,K] W[N,K]^T (+ bias): bf16, f16 and f32 with f32 sums and no TF32; int8 with int32.
 * Threads: the device's owner. */

#include "cuda/device.h"

#include <stdint.h>

enum blas_type { BLAS_F32, BLAS_BF16, BLAS_F16, BLAS_INT8 };

struct blas_shape {
    enum blas_type type;
    int rows, n, k;
    int ldx, ldw, ldo; /* elements */
    int align_out;     /* bytes that out's address is a multiple of, up to 16; x and w: 16 */
    bool bias;         /* f32 [n]; not for int8 */
};

struct blas;
/* UNAVAILABLE when the library does not start, NO_MEMORY when it finds none; allocates its workspace. */
enum status blas_open(struct blas **out, struct device *d, struct error *err);
void blas_close(struct blas *b); /* NULL is fine */

/* Whether the library can do it.  The first call for a shape looks for its plan and keeps it, in a
 * table of fixed size that forgets all when it is full; it runs on the host alone, but the library may
 * load code: outside of a capture. */
bool blas_has_plan(struct blas *b, const struct blas_shape *s);
/* Enqueues it; blas_has_plan() has just said yes.  out: f32, or int32 for int8. */
void blas_multiply(struct blas *b, const struct blas_shape *s, void *out, const void *x,
                   const void *w, const float *bias);
/* INTERNAL when a product could not be enqueued since open. */
enum status blas_check(const struct blas *b, struct error *err);

#endif
