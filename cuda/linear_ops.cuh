#ifndef CUDA_LINEAR_OPS_CUH
#define CUDA_LINEAR_OPS_CUH

/* linear_ops.cuh - what the types of linear.h look like to mma.sync.
 *
 * A unit is 32 bytes of each weight row, as four registers of the A operand: bytes 4t..4t+3 of rows
 * g and g + 8, then of the 16 bytes behind (lane = 4 g + t).  B_REGS registers of x belong to it. */

#include "cuda/row_math.cuh"

extern "C" {
#include "cuda/linear.h"
}

struct op_bf16 {
    using acc = float;
    static constexpr int W_SIZE = 2, X_SIZE = 2, A_REGS = 4, B_REGS = 2;
    static PTX void prepare(uint32_t *, const uint32_t *) {}
    static PTX void mma(acc *d, const uint32_t *a, const uint32_t *, const uint32_t *b)
    {
        mma_bf16_16816(d, a, b);
    }
    static PTX uint32_t pack(float low, float high) { return cvt_bf16x2(low, high); }
    static PTX float finish(acc sum, float, float) { return sum; }
};

struct op_f16 {
    using acc = float;
    static constexpr int W_SIZE = 2, X_SIZE = 2, A_REGS = 4, B_REGS = 2;
    static PTX void prepare(uint32_t *, const uint32_t *) {}
    static PTX void mma(acc *d, const uint32_t *a, const uint32_t *, const uint32_t *b)
    {
        mma_f16_16816(d, a, b);
    }
    static PTX uint32_t pack(float low, float high) { return cvt_f16x2(low, high); }
    static PTX float finish(acc sum, float, float) { return sum; }
};

struct op_w8a8 {
    using acc = int;
    static constexpr int W_SIZE = 1, X_SIZE = 1, A_REGS = 4, B_REGS = 2;
    static PTX void prepare(uint32_t *, const uint32_t *) {}
    static PTX void mma(acc *d, const uint32_t *a, const uint32_t *, const uint32_t *b)
    {
        mma_s8_16832(d, a, b);
    }
    /* The CPU's order of roundings. */
    static PTX float finish(acc sum, float w_scale, float x_scale)
    {
        return __fmul_rn(__fmul_rn(__int2float_rn(sum), w_scale), x_scale);
    }
};

/* Two signed bytes of v (the lower or the upper two) as bf16.  Byte + 128 becomes the low bits of a
 * float of 2^23; taking 2^23 + 128 off leaves the integer exactly, whose upper half is its bf16. */
PTX uint32_t widen_i8(uint32_t v, int half)
{
    const uint32_t u = v ^ 0x80808080u;
    const float magic = 8388736.0f;
    const float a = __int_as_float((int)__byte_perm(u, 0x4b000000u, half ? 0x7442 : 0x7440));
    const float b = __int_as_float((int)__byte_perm(u, 0x4b000000u, half ? 0x7443 : 0x7441));
    return __byte_perm((uint32_t)__float_as_int(a - magic), (uint32_t)__float_as_int(b - magic),
                       0x7632);
}

/* Two products of 16 inputs a unit.  In each, t's four inputs 4t..4t+3 stand where mma.sync has
 * 2t, 2t+1, 2t+8 and 2t+9; B brings its own in the same order. */
struct op_w8a16 {
    using acc = float;
    static constexpr int W_SIZE = 1, X_SIZE = 2, A_REGS = 8, B_REGS = 4;
    static PTX void prepare(uint32_t *wide, const uint32_t *a)
    {
        UNROLL
        for (int i = 0; i < 8; i++) wide[i] = widen_i8(a[i / 4 * 2 + i % 2], i / 2 % 2);
    }
    static PTX void mma(acc *d, const uint32_t *, const uint32_t *wide, const uint32_t *b)
    {
        mma_bf16_16816(d, wide, b);
        mma_bf16_16816(d, wide + 4, b + 2);
    }
    static PTX uint32_t pack(float low, float high) { return cvt_bf16x2(low, high); }
    static PTX float finish(acc sum, float w_scale, float) { return sum * w_scale; }
};

/* Output n of a row, of its sum. */
template <class Op>
PTX float finish_out(const struct linear_args &a, int row, int n, typename Op::acc sum)
{
    const float w_scale = Op::W_SIZE == 1 ? a.w_scale[n] : 0.0f;
    const float x_scale = Op::X_SIZE == 1 ? a.x_scale[row] : 0.0f;
    const float v = Op::finish(sum, w_scale, x_scale);
    return a.bias ? __fadd_rn(v, a.bias[n]) : v;
}

template <class Op>
PTX void store_out(const struct linear_args &a, int row, int n, typename Op::acc sum)
{
    a.out[(size_t)row * a.ldo + n] = finish_out<Op>(a, row, n, sum);
}

/* gate|up: stores output f of a row, returns its size. */
template <class Op>
PTX float store_pair(const struct linear_args &a, int row, int f, typename Op::acc gate,
                     typename Op::acc up)
{
    const float v =
        silu_mul_value(finish_out<Op>(a, row, f, gate), finish_out<Op>(a, row, a.pair + f, up));
    put_value(a.out, a.out_dtype, (size_t)row * a.ldo + f, v);
    return fmaxf(0.0f, fabsf(v)); /* NaN counts as 0, as in quantize */
}

/* Positive floats have the order of their bits. */
PTX void raise_absmax(const struct linear_args &a, int row, float v)
{
    atomicMax(&a.absmax[row], (unsigned)__float_as_int(v));
}

#endif
