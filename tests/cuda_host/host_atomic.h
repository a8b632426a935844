#ifndef TESTS_CUDA_HOST_HOST_ATOMIC_H
#define TESTS_CUDA_HOST_HOST_ATOMIC_H

/* host_atomic.h - atomics, fences, loads and stores with cache hints.
 *
 * Atomics are relaxed, as CUDA's are: under ThreadSanitizer, a flag in shared memory that stands for
 * other data needs its fences.  What fences order between blocks cannot be seen here: blocks run one
 * after the other, each with all that came before it in memory. */

#include "tests/cuda_host/host_launch.h"

namespace ih
{
extern char fence_order; /* an address, for IH_REL and IH_ACQ */

/* *p = f(*p); returns what was there. */
template <class T, class F> T update(T *p, F f)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    using word = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    auto *w = reinterpret_cast<word *>(p);
    word seen = __atomic_load_n(w, __ATOMIC_RELAXED), next;
    T old;
    do {
        memcpy(&old, &seen, sizeof old);
        const T value = f(old);
        memcpy(&next, &value, sizeof next);
    } while (
        !__atomic_compare_exchange_n(w, &seen, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}
} // namespace ih

/* Each for the types that CUDA has it for; the value converts to *p's type, as there. */
#define IH_ATOMIC(name, expression)                                                    \
    template <class T> T atomic##name(T *p, std::common_type_t<T> v)                   \
    {                                                                                  \
        return ih::update(p, [v]([[maybe_unused]] T old) { return (T)(expression); }); \
    }                                                                                  \
    template <class T> T atomic##name##_block(T *p, std::common_type_t<T> v)           \
    {                                                                                  \
        return atomic##name(p, v);                                                     \
    }
IH_ATOMIC(Add, old + v)
IH_ATOMIC(Sub, old - v)
IH_ATOMIC(Min, old < v ? old : v)
IH_ATOMIC(Max, old > v ? old : v)
IH_ATOMIC(And, old &v)
IH_ATOMIC(Or, old | v)
IH_ATOMIC(Xor, old ^ v)
IH_ATOMIC(Exch, v)
IH_ATOMIC(Inc, old >= v ? 0 : old + 1)
IH_ATOMIC(Dec, old == 0 || old > v ? v : old - 1)
#undef IH_ATOMIC
template <class T> T atomicCAS(T *p, std::common_type_t<T> compare, std::common_type_t<T> v)
{
    return ih::update(p, [=](T old) { return old == compare ? v : old; });
}

/* Every fence orders against every later one: more than CUDA promises to code without an atomic in
 * between, so that a missing atomic is not seen here. */
inline void __threadfence()
{
    IH_ACQ(&ih::fence_order);
    IH_REL(&ih::fence_order);
}
inline void __threadfence_block()
{
    __threadfence();
}

/* Lets the block's other threads run: a spin loop needs it, or mbar_wait. */
inline void __nanosleep(unsigned, ih::site at = ih::here("__nanosleep"))
{
    ih::yield(at);
}
inline void __trap(ih::site at = ih::here("__trap"))
{
    ih::fatal(at, "trap");
}

#define IH_LOAD(name)                     \
    template <class T> T name(const T *p) \
    {                                     \
        return *p;                        \
    }
#define IH_STORE(name)                                          \
    template <class T> void name(T *p, std::common_type_t<T> v) \
    {                                                           \
        *p = v;                                                 \
    }
IH_LOAD(__ldg)
IH_LOAD(__ldca)
IH_LOAD(__ldcg)
IH_LOAD(__ldcs)
IH_LOAD(__ldlu)
IH_LOAD(__ldcv)
IH_STORE(__stwb)
IH_STORE(__stcg)
IH_STORE(__stcs)
IH_STORE(__stwt)
#undef IH_LOAD
#undef IH_STORE

#endif
