#ifndef TESTS_CUDA_HOST_HOST_INTRINSICS_H
#define TESTS_CUDA_HOST_HOST_INTRINSICS_H

/* host_intrinsics.h - arithmetic and bits.
 *
 * _rn forms are single IEEE operations, as on the GPU (the shim is compiled with
 * -ffp-contract=off).  The fast forms (__expf, __fdividef, rsqrtf ...) are the exact functions here:
 * a test's tolerance has to allow for the GPU's approximations. */

#include "tests/cuda_host/host_launch.h"

#include <limits>

/* clang-format off: one line each */
/* --- single IEEE operations --- */
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fsub_rn(float a, float b)
{
    return a - b;
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
inline float __frcp_rn(float a)
{
    return 1.0f / a;
}
inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
inline double __dadd_rn(double a, double b)
{
    return a + b;
}
inline double __dsub_rn(double a, double b)
{
    return a - b;
}
inline double __dmul_rn(double a, double b)
{
    return a * b;
}
inline double __ddiv_rn(double a, double b)
{
    return a / b;
}
inline double __fma_rn(double a, double b, double c)
{
    return fma(a, b, c);
}

/* --- fast forms --- */
inline float __expf(float x)
{
    return expf(x);
}
inline float __exp10f(float x)
{
    return exp10f(x);
}
inline float __logf(float x)
{
    return logf(x);
}
inline float __log2f(float x)
{
    return log2f(x);
}
inline float __powf(float x, float y)
{
    return powf(x, y);
}
inline float __sinf(float x)
{
    return sinf(x);
}
inline float __cosf(float x)
{
    return cosf(x);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}
inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline float __saturatef(float x)
{
    return x > 0.0f ? fminf(x, 1.0f) : 0.0f;
} /* NaN: 0 */

/* clang-format on */

/* --- conversions: out of range saturates, NaN is 0 (cvt.rni.s32.f32) --- */
namespace ih
{
template <class I> I saturate(double rounded)
{
    if (rounded != rounded) return 0;
    const double lo = (double)std::numeric_limits<I>::min();
    const double hi = (double)std::numeric_limits<I>::max();
    if (rounded <= lo) return std::numeric_limits<I>::min();
    return rounded >= hi ? std::numeric_limits<I>::max() : (I)rounded;
}
template <class To, class From> To bits_as(From f)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &f, sizeof to);
    return to;
}
} // namespace ih
/* clang-format off */
inline int __float2int_rn(float x) { return ih::saturate<int>(rint(x)); }
inline int __float2int_rz(float x) { return ih::saturate<int>(trunc(x)); }
inline int __float2int_rd(float x) { return ih::saturate<int>(floor(x)); }
inline int __float2int_ru(float x) { return ih::saturate<int>(ceil(x)); }
inline unsigned __float2uint_rn(float x) { return ih::saturate<unsigned>(rint(x)); }
inline unsigned __float2uint_rz(float x) { return ih::saturate<unsigned>(trunc(x)); }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline float __ull2float_rn(unsigned long long x) { return (float)x; }
inline float __double2float_rn(double x) { return (float)x; }
inline double __int2double_rn(int x) { return x; }
inline int __float_as_int(float x) { return ih::bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return ih::bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return ih::bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return ih::bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return ih::bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return ih::bits_as<double>(x); }

/* --- bits --- */
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
/* clang-format on */
inline unsigned long long __brevll(unsigned long long x)
{
    unsigned long long r = 0;
    for (int i = 0; i < 64; i++) r |= (x >> i & 1) << (63 - i);
    return r;
}
inline unsigned __brev(unsigned x)
{
    return (unsigned)(__brevll(x) >> 32);
}
/* Byte i of the result is byte (s >> 4i) & 7 of b:a, or eight copies of its sign with bit 3 set. */
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s)
{
    const uint64_t both = (uint64_t)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned sel = s >> 4 * i & 15, byte = both >> 8 * (sel & 7) & 255;
        r |= (sel & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
    }
    return r;
}
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n)
{
    return (unsigned)(((uint64_t)hi << 32 | lo) << (n & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n)
{
    return (unsigned)(((uint64_t)hi << 32 | lo) >> (n & 31));
}
inline int __mulhi(int a, int b)
{
    return (int)((int64_t)a * b >> 32);
}
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

/* --- four bytes at a time --- */
inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 4; i++) c += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return c;
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 4; i++) c += (a >> 8 * i & 255) * (b >> 8 * i & 255);
    return c;
}
namespace ih
{
template <class F> unsigned bytes(unsigned a, unsigned b, F f)
{
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= (f(a >> 8 * i & 255, b >> 8 * i & 255) & 255) << 8 * i;
    return r;
}
} // namespace ih
inline unsigned __vadd4(unsigned a, unsigned b)
{
    return ih::bytes(a, b, [](unsigned x, unsigned y) { return x + y; });
}
inline unsigned __vsub4(unsigned a, unsigned b)
{
    return ih::bytes(a, b, [](unsigned x, unsigned y) { return x - y; });
}

/* CUDA's overloads: mixed integers convert as in C, floats leave NaN out (fminf). */
template <class A, class B> std::common_type_t<A, B> min(A a, B b)
{
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmin((T)a, (T)b);
    return (T)b < (T)a ? (T)b : (T)a;
}
template <class A, class B> std::common_type_t<A, B> max(A a, B b)
{
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmax((T)a, (T)b);
    return (T)a < (T)b ? (T)b : (T)a;
}

#endif
