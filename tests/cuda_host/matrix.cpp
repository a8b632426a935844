/* mma and ldmatrix, from the fragment maps of the PTX manual ("Matrix fragments for mma.m16n8k16"
 * and ".m16n8k32"; "ldmatrix").  Lane l, g = l / 4, t = l % 4; a register holds E elements (2 of 16
 * bits, 4 of 8), K = 8 E:
 *   A 16 x K  a0 (g, E t + e)  a1 (g + 8, E t + e)  a2 (g, E t + e + K/2)  a3 (g + 8, E t + e + K/2)
 *   B  K x 8  b0 (E t + e, g)  b1 (E t + e + K/2, g)
 *   D 16 x 8  d0 (g, 2 t)      d1 (g, 2 t + 1)      d2 (g + 8, 2 t)        d3 (g + 8, 2 t + 1)
 * Sums run in the order of k, in f32: hardware adds in an order and a precision of its own. */
#include "tests/cuda_host/runtime.h"

namespace ih
{
uint64_t n_ldsm_rows, n_ldsm_extra;

template <class T, int E> struct tile {
    static constexpr int K = 8 * E;
    T a[16][K], b[K][8], d[16][8];
};

/* element(register, e): the e-th number of a register. */
template <class T, int E, class F> static void gather(tile<T, E> &m, void **arg, F element)
{
    constexpr int K = tile<T, E>::K;
    for (int l = 0; l < 32; l++) {
        const mma_args *x = static_cast<mma_args *>(arg[l]);
        const int g = l / 4, t = l % 4;
        for (int r = 0; r < 4; r++) {
            for (int e = 0; e < E; e++)
                m.a[g + 8 * (r & 1)][E * t + e + K / 2 * (r >> 1)] = element(x->a[r], e);
            m.d[g + 8 * (r >> 1)][2 * t + (r & 1)] = static_cast<T *>(x->d)[r];
        }
        for (int r = 0; r < 2; r++)
            for (int e = 0; e < E; e++) m.b[E * t + e + K / 2 * r][g] = element(x->b[r], e);
    }
}

template <class T, int E, class F> static void multiply(void **arg, F element)
{
    static tile<T, E> m;
    gather(m, arg, element);
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < tile<T, E>::K; k++)
            for (int j = 0; j < 8; j++) m.d[i][j] += m.a[i][k] * m.b[k][j];
    for (int l = 0; l < 32; l++)
        for (int r = 0; r < 4; r++)
            static_cast<T *>(static_cast<mma_args *>(arg[l])->d)[r] =
                m.d[l / 4 + 8 * (r >> 1)][2 * (l % 4) + (r & 1)];
}

void mma_bf16(void **arg, unsigned)
{
    multiply<float, 2>(
        arg, [](uint32_t r, int e) { return __uint_as_float(e ? r & 0xffff0000u : r << 16); });
}

void mma_f16(void **arg, unsigned)
{
    multiply<float, 2>(arg, [](uint32_t r, int e) {
        return __half2float(__ushort_as_half((unsigned short)(r >> 16 * e)));
    });
}

void mma_s8(void **arg, unsigned) /* unsigned sums wrap as the hardware's do */
{
    multiply<unsigned, 4>(arg, [](uint32_t r, int e) { return (unsigned)(int8_t)(r >> 8 * e); });
}

/* --- ldmatrix: lane 8 m + i has the address of row i of matrix m --- */

struct ldmatrix_args {
    uint32_t *r;
    const char *p;
};

/* Rows of a matrix that lie in the same 16 bytes modulo 128 take turns. */
static void count_conflicts(void **arg, int m)
{
    unsigned hits[8] = {}, worst = 0;
    for (int i = 0; i < 8; i++) {
        const auto *x = static_cast<ldmatrix_args *>(arg[8 * m + i]);
        const unsigned n = ++hits[(uintptr_t)x->p / 16 % 8];
        worst = n > worst ? n : worst;
    }
    n_ldsm_rows++;
    n_ldsm_extra += worst - 1;
}

template <int N, bool TRANS> static void load(void **arg, unsigned)
{
    for (int m = 0; m < N; m++) {
        count_conflicts(arg, m);
        for (int l = 0; l < 32; l++) {
            uint16_t e[2];
            for (int j = 0; j < 2; j++) {
                const int row = TRANS ? 2 * (l % 4) + j : l / 4;
                const int col = TRANS ? l / 4 : 2 * (l % 4) + j;
                memcpy(&e[j], static_cast<ldmatrix_args *>(arg[8 * m + row])->p + 2 * col, 2);
            }
            static_cast<ldmatrix_args *>(arg[l])->r[m] = e[0] | (uint32_t)e[1] << 16;
        }
    }
}

void ldmatrix(uint32_t *r, const void *p, int n, bool trans, site at)
{
    if (cur->lane < 8 * n) { /* the other lanes' addresses are not looked at */
        if ((uintptr_t)p % 16) fatal(at, "the address is not 16-byte aligned");
        if (!in_smem(p, 16)) fatal(at, "the address is not in shared memory");
        touch_read16(p);
    }
    ldmatrix_args a{r, static_cast<const char *>(p)};
    const lanes_fn fn = n == 1   ? (trans ? load<1, true> : load<1, false>)
                        : n == 2 ? (trans ? load<2, true> : load<2, false>)
                                 : (trans ? load<4, true> : load<4, false>);
    warp_op(~0u, &a, fn, at, true);
}
} // namespace ih
