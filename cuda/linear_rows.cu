/* Rows of inputs on their way to the kernels: aligned, padded with zeros, rounded for the tensor
 * cores.  A thread makes 16 bytes. */
#include "cuda/cu.h"

extern "C" {
#include "cuda/linear.h"
}

namespace
{

constexpr int THREADS = 256;

struct rows_copy_i8 {
    using from = int8_t;
    static constexpr int LEN = 16; /* elements of 16 bytes */
    static PTX uint4 pack(const int8_t *v)
    {
        uint32_t r[4];
        UNROLL
        for (int i = 0; i < 4; i++)
            r[i] = (uint32_t)(uint8_t)v[4 * i] | (uint32_t)(uint8_t)v[4 * i + 1] << 8 |
                   (uint32_t)(uint8_t)v[4 * i + 2] << 16 | (uint32_t)(uint8_t)v[4 * i + 3] << 24;
        return make_uint4(r[0], r[1], r[2], r[3]);
    }
    static PTX int source(int i) { return i; }
};
struct rows_copy_16 {
    using from = uint16_t;
    static constexpr int LEN = 8;
    static PTX uint4 pack(const uint16_t *v)
    {
        return make_uint4(
            (uint32_t)v[0] | (uint32_t)v[1] << 16, (uint32_t)v[2] | (uint32_t)v[3] << 16,
            (uint32_t)v[4] | (uint32_t)v[5] << 16, (uint32_t)v[6] | (uint32_t)v[7] << 16);
    }
    static PTX int source(int i) { return i; }
};
struct rows_copy_f32 {
    using from = float;
    static constexpr int LEN = 4;
    static PTX uint4 pack(const float *v)
    {
        return make_uint4((uint32_t)__float_as_int(v[0]), (uint32_t)__float_as_int(v[1]),
                          (uint32_t)__float_as_int(v[2]), (uint32_t)__float_as_int(v[3]));
    }
    static PTX int source(int i) { return i; }
};
/* Eight inputs where all of them are there, on 16 bytes. */
PTX void load_eight(float *v, const float *src)
{
    const float4 a = *reinterpret_cast<const float4 *>(src);
    const float4 b = *reinterpret_cast<const float4 *>(src + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}
struct rows_bf16 {
    using from = float;
    static constexpr int LEN = 8, SPAN = 8; /* SPAN: of the inputs that they come from */
    static PTX void load(float *v, const float *src, int first) { load_eight(v, src + first); }
    static PTX uint4 pack(const float *v)
    {
        return make_uint4(cvt_bf16x2(v[0], v[1]), cvt_bf16x2(v[2], v[3]), cvt_bf16x2(v[4], v[5]),
                          cvt_bf16x2(v[6], v[7]));
    }
    static PTX int source(int i) { return i; }
};
struct rows_f16 {
    using from = float;
    static constexpr int LEN = 8, SPAN = 8;
    static PTX void load(float *v, const float *src, int first) { load_eight(v, src + first); }
    static PTX uint4 pack(const float *v)
    {
        return make_uint4(cvt_f16x2(v[0], v[1]), cvt_f16x2(v[2], v[3]), cvt_f16x2(v[4], v[5]),
                          cvt_f16x2(v[6], v[7]));
    }
    static PTX int source(int i) { return i; }
};
/* Of each 16 inputs 0 1 4 5 8 9 12 13, then 2 3 6 7 10 11 14 15: see op_w8a16. */
struct rows_bf16_turned : rows_bf16 {
    static constexpr int SPAN = 16;
    static PTX int source(int i) { return i / 16 * 16 + i % 8 / 2 * 4 + i / 8 % 2 * 2 + i % 2; }
    static PTX void load(float *v, const float *src, int first)
    {
        UNROLL
        for (int i = 0; i < 8; i += 2) {
            const float2 two = *reinterpret_cast<const float2 *>(src + source(first + i));
            v[i] = two.x, v[i + 1] = two.y;
        }
    }
};

template <class Form, bool VECTOR>
__global__ void __launch_bounds__(THREADS) k_linear_rows(struct linear_rows_args a)
{
    using from = typename Form::from;
    grid_begin();
    const int per_row = a.ld_dst / Form::LEN;
    const size_t id = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const int row = (int)(id / per_row), first = (int)(id % per_row) * Form::LEN;
    if (row >= a.rows) return;
    const from *src = static_cast<const from *>(a.src) + (size_t)row * a.ld_src;
    from v[Form::LEN];
    bool loaded = false;
    if constexpr (VECTOR) {
        loaded = first / Form::SPAN * Form::SPAN + Form::SPAN <= a.k;
        if (loaded) Form::load(v, src, first);
    }
    if (!loaded) {
        UNROLL
        for (int i = 0; i < Form::LEN; i++) {
            const int k = Form::source(first + i);
            v[i] = k < a.k ? src[k] : (from)0;
        }
    }
    const size_t at = ((size_t)row * per_row + first / Form::LEN) * 16;
    *reinterpret_cast<uint4 *>(static_cast<char *>(a.dst) + at) = Form::pack(v);
}

template <class Form, bool VECTOR> void launch(const struct linear_rows_args *a, void *stream)
{
    const auto kernel = k_linear_rows<Form, VECTOR>;
    const size_t n = (size_t)a->rows * (size_t)(a->ld_dst / Form::LEN);
    const dim3 grid((unsigned)((n + THREADS - 1) / THREADS));
    LAUNCH(kernel, grid, dim3(THREADS), 0, stream, *a);
}

} // namespace

extern "C" void cuda_linear_rows(const struct linear_rows_args *a, void *stream)
{
    const bool vector = reinterpret_cast<uintptr_t>(a->src) % 16 == 0 && a->ld_src % 4 == 0;
    if (a->form == LINEAR_ROWS_COPY_I8) launch<rows_copy_i8, false>(a, stream);
    if (a->form == LINEAR_ROWS_COPY_16) launch<rows_copy_16, false>(a, stream);
    if (a->form == LINEAR_ROWS_COPY_F32) launch<rows_copy_f32, false>(a, stream);
    if (a->form == LINEAR_ROWS_BF16 && vector) launch<rows_bf16, true>(a, stream);
    if (a->form == LINEAR_ROWS_BF16 && !vector) launch<rows_bf16, false>(a, stream);
    if (a->form == LINEAR_ROWS_F16 && vector) launch<rows_f16, true>(a, stream);
    if (a->form == LINEAR_ROWS_F16 && !vector) launch<rows_f16, false>(a, stream);
    if (a->form == LINEAR_ROWS_BF16_TURNED && vector) launch<rows_bf16_turned, true>(a, stream);
    if (a->form == LINEAR_ROWS_BF16_TURNED && !vector) launch<rows_bf16_turned, false>(a, stream);
}
