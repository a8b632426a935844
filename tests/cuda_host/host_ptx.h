#ifndef TESTS_CUDA_HOST_HOST_PTX_H
#define TESTS_CUDA_HOST_HOST_PTX_H

/* host_ptx.h - what the wrappers of cuda/ptx.h and cuda/ptx_async.h are on the host.
 *
 * Every check that the hardware leaves to luck is an error here: alignment, sizes, which side of a
 * copy is shared memory, arrivals beyond a barrier's count, barriers that nobody initialised. */

#include "tests/cuda_host/host_warp.h"

#include <cfloat>

namespace ih
{
/* What an instruction reads or writes behind the compiler's back, shown to the sanitizers. */
void touch_read16(const void *p);
void touch_write16(void *p);
/* The whole range is addressable (known under AddressSanitizer only; else true). */
bool addressable(const void *p, size_t size);

/* --- asynchronous copies of 16 bytes: src_size bytes, then zeros --- */
void cp_issue(void *dst, const void *src, int src_size, site at);
void cp_commit();
void cp_wait(unsigned newest); /* all but this thread's newest groups have landed */

/* --- mbarriers and bulk copies --- */
void mbar_init(uint64_t *bar, int count, site at);
void mbar_arrive(uint64_t *bar, unsigned tx_size, site at);
void mbar_wait(uint64_t *bar, unsigned parity, site at);
void bulk_issue(void *dst, const void *src, unsigned size, uint64_t *bar, site at);
void bulk_check(const void *src, unsigned size, site at);

/* --- matrices --- */
struct mma_args {
    void *d;
    const uint32_t *a, *b;
};
void mma_bf16(void **arg, unsigned mask);
void mma_f16(void **arg, unsigned mask);
void mma_s8(void **arg, unsigned mask);
void ldmatrix(uint32_t *r, const void *p, int n, bool trans, site at);

/* ex2.approx.ftz: subnormal inputs and results are zeros. */
inline float ex2_ftz(float x)
{
    const float y = exp2f(x);
    return y < FLT_MIN ? 0.0f : y;
}
} // namespace ih

#endif
