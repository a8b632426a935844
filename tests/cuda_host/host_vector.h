#ifndef TESTS_CUDA_HOST_HOST_VECTOR_H
#define TESTS_CUDA_HOST_HOST_VECTOR_H

/* host_vector.h - CUDA's vector types with their sizes and alignments: a load of 16 bytes from an
 * address that is not a multiple of 16 is an error of UBSan (CONFIG=asan) as it is one of a GPU. */

#include "tests/cuda_host/host_launch.h"

#define IH_VECTORS(T, name, a2, a4)                   \
    struct name##1                                    \
    {                                                 \
        T x;                                          \
    };                                                \
    struct alignas(a2) name##2                        \
    {                                                 \
        T x, y;                                       \
    };                                                \
    struct alignas(a4) name##4                        \
    {                                                 \
        T x, y, z, w;                                 \
    };                                                \
    inline name##2 make_##name##2(T x, T y)           \
    {                                                 \
        return {x, y};                                \
    }                                                 \
    inline name##4 make_##name##4(T x, T y, T z, T w) \
    {                                                 \
        return {x, y, z, w};                          \
    }
#define IH_VECTOR3(T, name)                      \
    struct name##3                               \
    {                                            \
        T x, y, z;                               \
    };                                           \
    inline name##3 make_##name##3(T x, T y, T z) \
    {                                            \
        return {x, y, z};                        \
    }

IH_VECTORS(signed char, char, 2, 4)
IH_VECTORS(unsigned char, uchar, 2, 4)
IH_VECTORS(short, short, 4, 8)
IH_VECTORS(unsigned short, ushort, 4, 8)
IH_VECTORS(int, int, 8, 16)
IH_VECTORS(unsigned, uint, 8, 16)
IH_VECTORS(float, float, 8, 16)
IH_VECTORS(long long, longlong, 16, 16)
IH_VECTORS(unsigned long long, ulonglong, 16, 16)
IH_VECTORS(double, double, 16, 16)
IH_VECTOR3(int, int)
IH_VECTOR3(float, float)
#undef IH_VECTORS
#undef IH_VECTOR3

inline uint3 make_uint3(unsigned x, unsigned y, unsigned z)
{
    return {x, y, z};
}

#endif
