#ifndef TESTS_CUDA_HOST_HOST_WARP_H
#define TESTS_CUDA_HOST_HOST_WARP_H

/* host_warp.h - barriers of a block, collectives of a warp.
 *
 * Each is a rendezvous: the last lane to come does the operation for all, so a lane's arguments
 * live on its own stack until it is woken.  Lanes that meet in different operations, or under masks
 * that do not hold them, are an error; lanes that never come, a deadlock. */

#include "tests/cuda_host/host_launch.h"

namespace ih
{
using lanes_fn = void (*)(void **arg, unsigned mask); /* arg[lane], for the lanes of mask */

/* aligned: the whole warp, all at one line of the source. */
void warp_op(unsigned mask, void *arg, lanes_fn fn, site at, bool aligned = false);
void warp_fence(unsigned mask, site at);
/* Barrier `id` of the block for `count` threads; wait = false arrives only. */
void barrier(int id, int count, bool wait, site at);
/* The same for all, with the number of threads whose p is true. */
int barrier_count(bool p, site at);

template <class F> void each_lane(unsigned mask, F f)
{
    for (unsigned m = mask; m; m &= m - 1) f(__builtin_ctz(m));
}

template <class T> struct shuffle {
    T value, result;
    int src; /* lane to read */
};
template <class T> T shfl(unsigned mask, T v, int src, int width, site at)
{
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    if (width < 1 || width > 32 || (width & (width - 1)))
        fatal(at, "width %d is not a power of two up to 32", width);
    if (!(mask >> src & 1)) fatal(at, "shuffle reads lane %d, not in mask %08x", src, mask);
    shuffle<T> s{v, v, src};
    warp_op(
        mask, &s,
        [](void **a, unsigned m) {
            each_lane(m, [&](int l) {
                auto *x = static_cast<shuffle<T> *>(a[l]);
                x->result = static_cast<shuffle<T> *>(a[x->src])->value;
            });
        },
        at);
    return s.result;
}
/* `src`, or the lane itself where src lies before (behind) the lane's segment of `width` lanes. */
inline int not_before(int src, int width)
{
    return src >= (cur->lane & ~(width - 1)) ? src : cur->lane;
}
inline int not_behind(int src, int width)
{
    return src < (cur->lane & ~(width - 1)) + width ? src : cur->lane;
}

/* Every lane of the mask gets fold over the lanes' values, lowest lane first. */
template <class T> struct reduction {
    T value;
};
template <class F, class T> T reduce(unsigned mask, T v, site at)
{
    reduction<T> s{v};
    warp_op(
        mask, &s,
        [](void **a, unsigned m) {
            T r = static_cast<reduction<T> *>(a[__builtin_ctz(m)])->value;
            each_lane(m & (m - 1),
                      [&](int l) { r = F{}(r, static_cast<reduction<T> *>(a[l])->value); });
            each_lane(m, [&](int l) { static_cast<reduction<T> *>(a[l])->value = r; });
        },
        at);
    return s.value;
}
struct fold_or {
    template <class T> T operator()(T a, T b) const { return a | b; }
};
struct fold_and {
    template <class T> T operator()(T a, T b) const { return a & b; }
};
struct fold_xor {
    template <class T> T operator()(T a, T b) const { return a ^ b; }
};
struct fold_add { /* wraps */
    template <class T> T operator()(T a, T b) const { return (T)((unsigned)a + (unsigned)b); }
};
struct fold_min {
    template <class T> T operator()(T a, T b) const { return b < a ? b : a; }
};
struct fold_max {
    template <class T> T operator()(T a, T b) const { return a < b ? b : a; }
};
inline unsigned ballot(unsigned mask, bool p, site at)
{
    return reduce<fold_or>(mask, (unsigned)p << cur->lane, at);
}
unsigned match_any(unsigned mask, uint64_t v, site at);
} // namespace ih

inline void __syncthreads(ih::site at = ih::here("__syncthreads"))
{
    ih::barrier(0, ih::nthreads, true, at);
}
inline int __syncthreads_count(int p, ih::site at = ih::here("__syncthreads_count"))
{
    return ih::barrier_count(p, at);
}
inline int __syncthreads_or(int p, ih::site at = ih::here("__syncthreads_or"))
{
    return ih::barrier_count(p, at) != 0;
}
inline int __syncthreads_and(int p, ih::site at = ih::here("__syncthreads_and"))
{
    return ih::barrier_count(p, at) == ih::nthreads;
}
inline void __syncwarp(unsigned mask = ~0u, ih::site at = ih::here("__syncwarp"))
{
    ih::warp_fence(mask, at);
}

template <class T>
T __shfl_sync(unsigned m, T v, int src, int width = 32, ih::site at = ih::here("shfl"))
{
    return ih::shfl(m, v, (ih::cur->lane & ~(width - 1)) + (src & (width - 1)), width, at);
}
template <class T>
T __shfl_xor_sync(unsigned m, T v, int x, int width = 32, ih::site at = ih::here("shfl_xor"))
{
    return ih::shfl(m, v, ih::not_behind(ih::cur->lane ^ x, width), width, at);
}
template <class T>
T __shfl_down_sync(unsigned m, T v, unsigned d, int width = 32, ih::site at = ih::here("shfl_down"))
{
    return ih::shfl(m, v, ih::not_behind(ih::cur->lane + (int)d, width), width, at);
}
template <class T>
T __shfl_up_sync(unsigned m, T v, unsigned d, int width = 32, ih::site at = ih::here("shfl_up"))
{
    return ih::shfl(m, v, ih::not_before(ih::cur->lane - (int)d, width), width, at);
}

inline unsigned __ballot_sync(unsigned m, int p, ih::site at = ih::here("ballot"))
{
    return ih::ballot(m, p, at);
}
inline int __any_sync(unsigned m, int p, ih::site at = ih::here("any"))
{
    return ih::ballot(m, p, at) != 0;
}
inline int __all_sync(unsigned m, int p, ih::site at = ih::here("all"))
{
    return ih::ballot(m, p, at) == m;
}
template <class T> unsigned __match_any_sync(unsigned m, T v, ih::site at = ih::here("match_any"))
{
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);
    return ih::match_any(m, bits, at);
}

/* sm_80 and later; int and unsigned. */
#define IH_REDUCE(name)                                                                \
    template <class T>                                                                 \
    T __reduce_##name##_sync(unsigned m, T v, ih::site at = ih::here("reduce_" #name)) \
    {                                                                                  \
        static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);          \
        return ih::reduce<ih::fold_##name>(m, v, at);                                  \
    }
IH_REDUCE(add)
IH_REDUCE(min)
IH_REDUCE(max)
IH_REDUCE(and)
IH_REDUCE(or)
IH_REDUCE(xor)
#undef IH_REDUCE

/* Which lanes run together is the hardware's choice, so the least that CUDA allows is the answer
 * here: this lane alone.  Code that is right with it is right with every answer. */
inline unsigned __activemask()
{
    return 1u << ih::cur->lane;
}

#endif
