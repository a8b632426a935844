#ifndef CUDA_ROW_MATH_CUH
#define CUDA_ROW_MATH_CUH

/* row_math.cuh - what kernels of several files do to the values of a row, in one place so that fused
 * forms give the bits of their parts. */

#include "cuda/row_reduce.cuh"

extern "C" {
#include "engine/backend.h"
}

/* --- int8: q = round(x * 127 / absmax), scale = absmax / 127, the CPU's bits --- */

/* Below this a row's largest value counts as 0: 127 / absmax would overflow. */
constexpr float QUANT_TINY = 1e-35f;

PTX float quant_inverse(float absmax)
{
    return absmax < QUANT_TINY ? 0.0f : __fdiv_rn(127.0f, absmax);
}
PTX float quant_scale(float absmax)
{
    return absmax < QUANT_TINY ? 0.0f : __fdiv_rn(absmax, 127.0f);
}
PTX int8_t quant_int8(float x, float inverse)
{
    return (int8_t)__float2int_rn(fmaxf(fminf(__fmul_rn(x, inverse), 127.0f), -127.0f));
}

/* --- SiLU --- */

PTX float silu_mul_value(float gate, float up)
{
    const float e = ex2(__fmul_rn(gate, -1.44269504088896340736f));
    return __fmul_rn(__fdiv_rn(gate, __fadd_rn(1.0f, e)), up);
}

/* --- RMSNorm of a head in place, by a warp --- */

PTX void norm_head(float *x, const float *gain, int n, float eps, int lane)
{
    float sum = 0.0f;
    for (int i = lane; i < n; i += 32) sum = __fmaf_rn(x[i], x[i], sum);
    sum = warp_sum(sum);
    const float mean = __fdiv_rn(sum, (float)n);
    const float scale = __fdiv_rn(1.0f, sqrtf(__fadd_rn(mean, eps)));
    for (int i = lane; i < n; i += 32) x[i] = __fmul_rn(__fmul_rn(x[i], scale), gain[i]);
}

/* --- rounding --- */

/* p[i] = x, where p holds f32, bf16 or f16. */
PTX void put_value(void *p, enum dtype dtype, size_t i, float x)
{
    if (dtype == DT_F32)
        static_cast<float *>(p)[i] = x;
    else if (dtype == DT_BF16)
        static_cast<bf16 *>(p)[i] = __float2bfloat16_rn(x);
    else
        static_cast<f16 *>(p)[i] = __float2half_rn(x);
}

#endif
