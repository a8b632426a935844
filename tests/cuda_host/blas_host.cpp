/* blas.h by plain loops: exact integers, f32 sums with k ascending.  Products are launched like
 * kernels, so that a capture records them.  Refuses what cuBLASLt refuses for int8. */
#include "tests/cuda_host/cuda_host.h"

#include <set>
#include <tuple>

extern "C" {
#include "cuda/blas.h"
}

struct blas {
    device *on;
    std::set<std::tuple<int, int, int, int>> plans;
};

namespace
{

/* Without gaps, in which words of the caller's stack would look like arguments. */
struct product {
    void *out;
    const void *x, *w;
    const float *bias; /* or NULL */
    int type, n, k, ldx, ldw, ldo;
};

template <class T> float value(T v)
{
    if constexpr (std::is_same_v<T, __nv_bfloat16>) return __bfloat162float(v);
    if constexpr (std::is_same_v<T, __half>) return __half2float(v);
    if constexpr (std::is_same_v<T, float>) return v;
}

template <class T> void multiply_row(const product &p, int row)
{
    const T *x = static_cast<const T *>(p.x) + (size_t)row * p.ldx;
    for (int n = 0; n < p.n; n++) {
        const T *w = static_cast<const T *>(p.w) + (size_t)n * p.ldw;
        if constexpr (std::is_same_v<T, int8_t>) {
            int32_t sum = 0;
            for (int k = 0; k < p.k; k++) sum += x[k] * w[k];
            static_cast<int32_t *>(p.out)[(size_t)row * p.ldo + n] = sum;
        } else {
            float sum = 0.0f;
            for (int k = 0; k < p.k; k++) sum = fmaf(value(x[k]), value(w[k]), sum);
            if (p.bias) sum += p.bias[n];
            static_cast<float *>(p.out)[(size_t)row * p.ldo + n] = sum;
        }
    }
}

/* As if the library's kernels let the next one begin early, which they may. */
void k_blas_host(product p)
{
    ih::grid_launch_dependents();
    ih::grid_wait(ih::here("the library"));
    const int row = (int)blockIdx.x;
    if (p.type == BLAS_F32) multiply_row<float>(p, row);
    if (p.type == BLAS_BF16) multiply_row<__nv_bfloat16>(p, row);
    if (p.type == BLAS_F16) multiply_row<__half>(p, row);
    if (p.type == BLAS_INT8) multiply_row<int8_t>(p, row);
}

} // namespace

extern "C" {

enum status blas_open(struct blas **out, struct device *d, struct error *)
{
    *out = new blas{d, {}};
    return STATUS_OK;
}

void blas_close(struct blas *b)
{
    delete b;
}

bool blas_has_plan(struct blas *b, const struct blas_shape *s)
{
    if (s->type == BLAS_INT8 && (s->n % 4 != 0 || s->k % 4 != 0 || s->ldx % 4 != 0)) return false;
    b->plans.insert({s->type, s->rows, s->n, s->k});
    return true;
}

void blas_multiply(struct blas *b, const struct blas_shape *s, void *out, const void *x,
                   const void *w, const float *bias)
{
    if (!b->plans.count({s->type, s->rows, s->n, s->k})) abort(); /* nobody asked for its plan */
    if ((uintptr_t)x % 16 || (uintptr_t)w % 16 || (uintptr_t)out % s->align_out) abort();
    const product p = {out,    x,      w,     s->bias ? bias : nullptr, s->type, s->n, s->k,
                       s->ldx, s->ldw, s->ldo};
    LAUNCH(k_blas_host, dim3((unsigned)s->rows), dim3(1), 0, device_stream(b->on), p);
}

enum status blas_check(const struct blas *, struct error *)
{
    return STATUS_OK;
}
}
