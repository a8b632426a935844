#ifndef TESTS_CUDA_HOST_HOST_FLOAT16_H
#define TESTS_CUDA_HOST_HOST_FLOAT16_H

/* host_float16.h - cuda_bf16.h and cuda_fp16.h as far as kernels use them: conversions, pairs,
 * arithmetic that rounds once per operation.  Operators (a + b) are missing: they would round where
 * nobody sees it.  The members' names are the shim's own: kernels do not touch them. */

#include "tests/cuda_host/host_intrinsics.h"
#include "tests/cuda_host/host_vector.h"

struct __nv_bfloat16 {
    uint16_t u;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
struct __half {
    _Float16 h;
};
struct alignas(4) __half2 {
    __half x, y;
};

/* --- one value --- */
/* clang-format off: one line each */
inline float __bfloat162float(__nv_bfloat16 h)
{
    return __uint_as_float((uint32_t)h.u << 16);
}
inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
    const uint32_t u = __float_as_uint(f);
    return {(uint16_t)(f != f ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
inline __nv_bfloat16 __float2bfloat16(float f)
{
    return __float2bfloat16_rn(f);
}
inline float __half2float(__half h)
{
    return (float)h.h;
}
inline __half __float2half_rn(float f)
{
    return {(_Float16)f};
}
inline __half __float2half(float f)
{
    return {(_Float16)f};
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h)
{
    return h.u;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u)
{
    return {u};
}
inline unsigned short __half_as_ushort(__half h)
{
    return ih::bits_as<unsigned short>(h);
}
inline __half __ushort_as_half(unsigned short u)
{
    return ih::bits_as<__half>(u);
}
inline __nv_bfloat16 __int2bfloat16_rn(int i)
{
    return __float2bfloat16_rn((float)i);
}
inline __half __int2half_rn(int i)
{
    return __float2half_rn((float)i);
}
inline __half __short2half_rn(short i)
{
    return __float2half_rn((float)i);
}
/* clang-format on */

namespace ih
{
inline float to_float(__nv_bfloat16 h)
{
    return __bfloat162float(h);
}
inline float to_float(__half h)
{
    return __half2float(h);
}
/* Rounding twice is rounding once where the first step rounds to odd: an inexact result ends in a 1,
 * so that the second step sees that it is not the middle between two. */
inline float odd_float(double d)
{
    const float f = (float)d;
    if ((double)f == d || !std::isfinite(f)) return f;
    const uint32_t u = bits_as<uint32_t>(f) - (std::fabs((double)f) > std::fabs(d));
    return bits_as<float>(u | 1);
}
inline double odd_sum(double a, double b)
{
    const double s = a + b, part = s - a, rest = (a - (s - part)) + (b - part);
    if (rest == 0 || !std::isfinite(s)) return s;
    const uint64_t u = bits_as<uint64_t>(s);
    return bits_as<double>(((rest > 0) == (s > 0) ? u : u - 1 + (u & 1)) | 1);
}
template <class H> H narrow(double d)
{
    if constexpr (std::is_same_v<H, __half>) return {(_Float16)odd_float(d)};
    if constexpr (std::is_same_v<H, __nv_bfloat16>) return __float2bfloat16_rn(odd_float(d));
}
} // namespace ih

/* --- pairs: `x` is the low half --- */
#define IH_PAIRS(H, H2, h2, name)                                \
    inline H2 __floats2##name##2_rn(float a, float b)            \
    {                                                            \
        return {__float2##name##_rn(a), __float2##name##_rn(b)}; \
    }                                                            \
    inline H2 __float22##name##2_rn(float2 v)                    \
    {                                                            \
        return __floats2##name##2_rn(v.x, v.y);                  \
    }                                                            \
    inline H2 __float2##name##2_rn(float a)                      \
    {                                                            \
        return __floats2##name##2_rn(a, a);                      \
    }                                                            \
    inline float2 __##name##22float2(H2 v)                       \
    {                                                            \
        return {ih::to_float(v.x), ih::to_float(v.y)};           \
    }                                                            \
    inline H2 __##name##2##name##2(H a)                          \
    {                                                            \
        return {a, a};                                           \
    }                                                            \
    inline H2 __halves2##h2(H a, H b)                            \
    {                                                            \
        return {a, b};                                           \
    }                                                            \
    inline H __low2##name(H2 v)                                  \
    {                                                            \
        return v.x;                                              \
    }                                                            \
    inline H __high2##name(H2 v)                                 \
    {                                                            \
        return v.y;                                              \
    }                                                            \
    inline float __low2float(H2 v)                               \
    {                                                            \
        return ih::to_float(v.x);                                \
    }                                                            \
    inline float __high2float(H2 v)                              \
    {                                                            \
        return ih::to_float(v.y);                                \
    }
IH_PAIRS(__nv_bfloat16, __nv_bfloat162, bfloat162, bfloat16)
IH_PAIRS(__half, __half2, half2, half)
#undef IH_PAIRS

/* --- arithmetic: __hadd and __hadd2, and so on --- */
#define IH_OPERATION(name, expression)                           \
    template <class H> H __h##name(H va, H vb)                   \
    {                                                            \
        const double a = ih::to_float(va), b = ih::to_float(vb); \
        return ih::narrow<H>(expression);                        \
    }                                                            \
    template <class H2> H2 __h##name##2(H2 a, H2 b)              \
    {                                                            \
        return {__h##name(a.x, b.x), __h##name(a.y, b.y)};       \
    }
IH_OPERATION(add, ih::odd_sum(a, b))
IH_OPERATION(sub, ih::odd_sum(a, -b))
IH_OPERATION(mul, (a * b))
IH_OPERATION(div, a / b)
IH_OPERATION(max, std::fmax(a, b))
IH_OPERATION(min, std::fmin(a, b))
#undef IH_OPERATION
template <class H> H __hfma(H a, H b, H c)
{
    /* The product of two is exact in f64. */
    return ih::narrow<H>(ih::odd_sum((double)ih::to_float(a) * ih::to_float(b), ih::to_float(c)));
}
template <class H2> auto __hfma2(H2 a, H2 b, H2 c) -> H2
{
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
/* clang-format off: one line each */
template <class H> bool __hgt(H a, H b)
{
    return ih::to_float(a) > ih::to_float(b);
}
template <class H> bool __hlt(H a, H b)
{
    return ih::to_float(a) < ih::to_float(b);
}
template <class H> bool __heq(H a, H b)
{
    return ih::to_float(a) == ih::to_float(b);
}
template <class H> bool __hisnan(H a)
{
    return ih::to_float(a) != ih::to_float(a);
}
/* clang-format on */

#endif
