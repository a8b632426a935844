#ifndef CUDA_PTX_ASYNC_H
#define CUDA_PTX_ASYNC_H

/* ptx_async.h - copies from global to shared memory that land later; part of ptx.h. */

/* --- cp.async: 16 bytes, both addresses 16-byte aligned --- */

/* valid = false writes zeros and does not touch src. */
PTX void cp_async16(void *dst, const void *src, bool valid IH_AT)
{
#ifdef INFERD_HOST_SHIM
    ih::cp_issue(dst, src, valid ? 16 : 0, IH_WHAT("cp.async"));
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(ptx_saddr(dst)), "l"(src),
                 "r"(valid ? 16 : 0)
                 : "memory");
#endif
}
/* Ends a group: this thread's copies since the last one. */
PTX void cp_async_commit()
{
#ifdef INFERD_HOST_SHIM
    ih::cp_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/* All but the newest N groups of this thread have landed, for this thread: others need a barrier
 * after it. */
template <int N> PTX void cp_async_wait()
{
#ifdef INFERD_HOST_SHIM
    ih::cp_wait(N);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

/* --- mbarriers and bulk copies: sm_90 --- */
#if defined(INFERD_HOST_SHIM) || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* By one thread, before mbar_init_fence and a __syncthreads.  A phase ends after `count` arrivals
 * and when all the bytes that they announced have come. */
PTX void mbar_init(uint64_t *bar, int count IH_AT)
{
#ifdef INFERD_HOST_SHIM
    ih::mbar_init(bar, count, IH_WHAT("mbarrier.init"));
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(ptx_saddr(bar)), "r"(count)
                 : "memory");
#endif
}
/* The barriers for the copy engine to see. */
PTX void mbar_init_fence()
{
#ifndef INFERD_HOST_SHIM
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
/* One arrival, which announces tx_size bytes. */
PTX void mbar_arrive(uint64_t *bar, unsigned tx_size IH_AT)
{
#ifdef INFERD_HOST_SHIM
    ih::mbar_arrive(bar, tx_size, IH_WHAT("mbarrier.arrive"));
#else
    if (tx_size)
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(ptx_saddr(bar)),
                     "r"(tx_size)
                     : "memory");
    else
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(ptx_saddr(bar)) : "memory");
#endif
}
/* Until the phase of this parity is over: phases count 0, 1, 0, 1 ...; the one before the first has
 * parity 1 and is over. */
PTX void mbar_wait(uint64_t *bar, unsigned parity IH_AT)
{
#ifdef INFERD_HOST_SHIM
    ih::mbar_wait(bar, parity, IH_WHAT("mbarrier.wait"));
#else
    asm volatile("{\n.reg .pred P;\n"
                 "L%=: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], %1;\n"
                 "@!P bra L%=;\n}" ::"r"(ptx_saddr(bar)),
                 "r"(parity)
                 : "memory");
#endif
}
/* size bytes by one thread; addresses and size are multiples of 16.  Tells `bar` as they come. */
PTX void bulk_g2s(void *dst, const void *src, unsigned size, uint64_t *bar IH_AT)
{
#ifdef INFERD_HOST_SHIM
    ih::bulk_issue(dst, src, size, bar, IH_WHAT("cp.async.bulk"));
#else
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(ptx_saddr(dst)),
                 "l"(src), "r"(size), "r"(ptx_saddr(bar))
                 : "memory");
#endif
}
/* The same towards L2: a hint. */
PTX void bulk_prefetch_l2(const void *src, unsigned size IH_AT)
{
#ifdef INFERD_HOST_SHIM
    ih::bulk_check(src, size, IH_WHAT("cp.async.bulk.prefetch"));
#else
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(src), "r"(size) : "memory");
#endif
}
/* Between ordinary accesses to shared memory and bulk copies to the same place, by the threads that
 * made them, before the barrier.  The shim does not miss it: there is one memory. */
PTX void fence_proxy_async()
{
#ifndef INFERD_HOST_SHIM
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

#endif
#endif
