/* The wrappers of ptx.h against plain C: fragments of matrices, asynchronous copies, mbarriers,
 * order between blocks.  The shim and a GPU run the same kernels: what holds in one has to hold in
 * the other. */
#include "tests/cuda_host/host_test.h"

namespace
{
/* --- d = a b: a[16][16] by rows; b as bn[n][k], for plain ldmatrix, and as bk[k][n] --- */

enum how { PLAIN_X2, TRANS_X2, PLAIN_X1, TRANS_X1, PLAIN_X4, TRANS_X4, BY_HAND, N_HOW };

template <int HOW, bool BF16>
__global__ void k_mma16(const uint16_t *a, const uint16_t *bn, const uint16_t *bk, float *d)
{
    SHARED(uint16_t, sa, 256);
    SHARED(uint16_t, sn, 128);
    SHARED(uint16_t, sk, 128);
    const int l = (int)threadIdx.x, g = l / 4, t = l % 4;
    for (int i = l; i < 256; i += 32) sa[i] = a[i];
    for (int i = l; i < 128; i += 32) sn[i] = bn[i], sk[i] = bk[i];
    __syncthreads();
    uint32_t fa[4], fb[4];
    float c[4] = {};
    ldmatrix_x4(fa, sa + (l & 15) * 16 + (l >> 4) * 8);
    if (HOW == PLAIN_X2) ldmatrix_x2(fb, sn + (l & 7) * 16 + (l >> 3 & 1) * 8);
    if (HOW == TRANS_X2) ldmatrix_x2_trans(fb, sk + (l & 15) * 8);
    if (HOW == PLAIN_X4) ldmatrix_x4(fb, sn + (l & 7) * 16 + (l >> 3 & 1) * 8);
    if (HOW == TRANS_X4) ldmatrix_x4_trans(fb, sk + (l & 15) * 8);
    if (HOW == PLAIN_X1) {
        ldmatrix_x1(fb, sn + (l & 7) * 16);
        ldmatrix_x1(fb + 1, sn + (l & 7) * 16 + 8);
    }
    if (HOW == TRANS_X1) {
        ldmatrix_x1_trans(fb, sk + (l & 7) * 8);
        ldmatrix_x1_trans(fb + 1, sk + 64 + (l & 7) * 8);
    }
    if (HOW == BY_HAND) { /* the documented map */
        for (int r = 0; r < 2; r++)
            fb[r] = *reinterpret_cast<const uint32_t *>(sn + g * 16 + 2 * t + 8 * r);
        for (int r = 0; r < 4; r++)
            fa[r] = *reinterpret_cast<const uint32_t *>(sa + (g + 8 * (r & 1)) * 16 + 2 * t +
                                                        8 * (r >> 1));
    }
    if (BF16)
        mma_bf16_16816(c, fa, fb);
    else
        mma_f16_16816(c, fa, fb);
    for (int r = 0; r < 4; r++) d[(g + 8 * (r >> 1)) * 8 + 2 * t + (r & 1)] = c[r];
}

__global__ void k_mma8(const int8_t *a, const int8_t *b, int *d) /* b[n][k] */
{
    const int l = (int)threadIdx.x, g = l / 4, t = l % 4;
    uint32_t fa[4], fb[2];
    int c[4] = {1, 2, 3, 4};
    for (int r = 0; r < 4; r++)
        fa[r] =
            *reinterpret_cast<const uint32_t *>(a + (g + 8 * (r & 1)) * 32 + 4 * t + 16 * (r >> 1));
    for (int r = 0; r < 2; r++)
        fb[r] = *reinterpret_cast<const uint32_t *>(b + g * 32 + 4 * t + 16 * r);
    mma_s8_16832(c, fa, fb);
    for (int r = 0; r < 4; r++) d[(g + 8 * (r >> 1)) * 8 + 2 * t + (r & 1)] = c[r] - 1 - r;
}

template <int HOW>
void launch_mma16(bool bf, const uint16_t *a, const uint16_t *bn, const uint16_t *bk, float *d)
{
    const auto kernel = bf ? k_mma16<HOW, true> : k_mma16<HOW, false>;
    LAUNCH(kernel, dim3(1), dim3(32), 0, test_stream(), a, bn, bk, d);
}

using mma16_fn = void (*)(bool, const uint16_t *, const uint16_t *, const uint16_t *, float *);
const mma16_fn MMA16[N_HOW] = {
    launch_mma16<PLAIN_X2>, launch_mma16<TRANS_X2>, launch_mma16<PLAIN_X1>, launch_mma16<TRANS_X1>,
    launch_mma16<PLAIN_X4>, launch_mma16<TRANS_X4>, launch_mma16<BY_HAND>};

uint16_t bits16(bool bf, int v)
{
    return bf ? __bfloat16_as_ushort(__float2bfloat16_rn((float)v))
              : __half_as_ushort(__float2half_rn((float)v));
}

/* Small integers: every order of summation is exact. */
void test_mma16(bool bf)
{
    uint16_t *a = test_buffer<uint16_t>(256), *bn = test_buffer<uint16_t>(128);
    uint16_t *bk = test_buffer<uint16_t>(128);
    float *d = test_buffer<float>(128);
    std::vector<int> va(256), vb(128);
    for (int i = 0; i < 256; i++) a[i] = bits16(bf, va[i] = (int)(test_draw() % 255) - 127);
    for (int i = 0; i < 128; i++) {
        vb[i] = (int)(test_draw() % 255) - 127;
        bn[i] = bk[i % 16 * 8 + i / 16] = bits16(bf, vb[i]);
    }
    for (int how = 0; how < N_HOW; how++) {
        memset(d, 0xff, 128 * sizeof *d);
        MMA16[how](bf, a, bn, bk, d);
        int wrong = !test_wait();
        for (int i = 0; i < 128; i++) {
            int sum = 0;
            for (int k = 0; k < 16; k++) sum += va[i / 8 * 16 + k] * vb[i % 8 * 16 + k];
            wrong += d[i] != (float)sum;
        }
        EXPECT(wrong == 0, "%s, operands loaded in way %d: %d wrong", bf ? "bf16" : "f16", how,
               wrong);
    }
    test_free(a), test_free(bn), test_free(bk), test_free(d);
}

void test_mma8()
{
    int8_t *a = test_buffer<int8_t>(512), *b = test_buffer<int8_t>(256);
    int *d = test_buffer<int>(128), wrong = 0;
    for (int i = 0; i < 512; i++) a[i] = (int8_t)test_draw();
    for (int i = 0; i < 256; i++) b[i] = (int8_t)test_draw();
    LAUNCH(k_mma8, dim3(1), dim3(32), 0, test_stream(), a, b, d);
    EXPECT(test_wait(), "mma_s8");
    for (int i = 0; i < 128; i++) {
        int sum = 0;
        for (int k = 0; k < 32; k++) sum += a[i / 8 * 32 + k] * b[i % 8 * 32 + k];
        wrong += d[i] != sum;
    }
    EXPECT(wrong == 0, "mma_s8: %d wrong", wrong);
    test_free(a), test_free(b), test_free(d);
}

/* --- cp.async in a ring of three stages; a row that is not valid reads zeros, and not its source --- */

__global__ void k_ring(const int *src, int n_tiles, int n_valid, int *sum)
{
    SHARED_DYN(int, buf); /* [3][128 threads][4] */
    const int tid = (int)threadIdx.x;
    int total = 0;
    const auto fetch = [&](int i) {
        if (i < n_tiles)
            cp_async16(buf + (i % 3 * 128 + tid) * 4, src + (i * 128 + tid) * 4,
                       i * 128 + tid < n_valid);
        cp_async_commit();
    };
    fetch(0);
    fetch(1);
    for (int i = 0; i < n_tiles; i++) {
        cp_async_wait<1>();
        __syncthreads(); /* all copies of stage i; and all have read the stage that is refilled now */
        fetch(i + 2);
        const int *row = buf + (i % 3 * 128 + (tid ^ 33)) * 4; /* another warp's */
        total += row[0] + 2 * row[1] + 3 * row[2] + 4 * row[3];
    }
    atomicAdd(sum, total);
}

void test_cp_async()
{
    const int n_tiles = 7, n_valid = 6 * 128 + 50;
    int *src = test_buffer<int>(4 * n_valid), *sum = test_buffer<int>(1), want = 0;
    for (int i = 0; i < 4 * n_valid; i++) src[i] = (int)(test_draw() % 1000);
    for (int i = 0; i < 4 * n_valid; i++) want += (i % 4 + 1) * src[i];
    for_each_schedule([&] {
        *sum = 0;
        LAUNCH(k_ring, dim3(1), dim3(128), 3 * 128 * 16, test_stream(), src, n_tiles, n_valid, sum);
        EXPECT(test_wait() && *sum == want, "a ring of cp.async: %d, want %d", *sum, want);
    });
    test_free(src), test_free(sum);
}

/* --- one warp streams tiles with bulk copies through two slots, four sum them --- */

__global__ void k_bulk_ring(const int *src, int n_tiles, int *sum)
{
#if defined(INFERD_HOST_SHIM) || __CUDA_ARCH__ >= 900
    SHARED_DYN(int, buf);     /* [2][128] */
    SHARED(uint64_t, bar, 4); /* full[2], empty[2] */
    const int tid = (int)threadIdx.x;
    if (tid == 0) {
        for (int i = 0; i < 2; i++) mbar_init(bar + i, 1), mbar_init(bar + 2 + i, 128);
        mbar_init_fence();
    }
    __syncthreads();
    if (tid < 128) {
        int total = 0;
        for (int i = 0; i < n_tiles; i++) {
            mbar_wait(bar + i % 2, (unsigned)(i / 2 & 1));
            total += buf[i % 2 * 128 + tid];
            mbar_arrive(bar + 2 + i % 2, 0);
        }
        atomicAdd(sum, total);
    } else if (tid == 128) {
        for (int i = 0; i < n_tiles; i++) {
            const int s = i % 2;
            mbar_wait(bar + 2 + s,
                      (unsigned)(i / 2 & 1) ^ 1); /* the first round finds them empty */
            mbar_arrive(bar + s, 512);
            bulk_g2s(buf + s * 128, src + i * 128, 512, bar + s);
        }
    }
#endif
}

void test_bulk()
{
    if (device_info(test_device())->major < 9) return;
    const int n_tiles = 37;
    int *src = test_buffer<int>(128 * n_tiles), *sum = test_buffer<int>(1), want = 0;
    for (int i = 0; i < 128 * n_tiles; i++) want += src[i] = (int)(test_draw() % 1000);
    for_each_schedule([&] {
        *sum = 0;
        LAUNCH(k_bulk_ring, dim3(1), dim3(160), 2 * 512, test_stream(), src, n_tiles, sum);
        EXPECT(test_wait() && *sum == want, "a ring of bulk copies: %d, want %d", *sum, want);
    });
    test_free(src), test_free(sum);
}

/* --- the last block to finish adds up what all have written --- */

__global__ void k_last_block(const int *x, int *part, unsigned *ticket, int *out, bool by_fence)
{
    SHARED(int, last, 1);
    grid_wait();
    const int tid = (int)threadIdx.x, b = (int)blockIdx.x, n = (int)gridDim.x;
    part[b * 64 + tid] = 2 * x[b * 64 + tid];
    if (by_fence) __threadfence();
    __syncthreads();
    if (tid == 0) {
        const unsigned old = by_fence ? atomicAdd(ticket, 1u) : atom_add_acq_rel(ticket, 1u);
        if (by_fence) __threadfence();
        last[0] = old == (unsigned)n - 1;
    }
    __syncthreads();
    if (!last[0]) return;
    int sum = 0;
    for (int i = tid; i < 64 * n; i += 64) sum += __ldcg(part + i);
    atomicAdd(out, sum);
    if (tid == 0) *ticket = 0; /* for the next launch */
}

void test_last_block()
{
    const int n = 33;
    int *x = test_buffer<int>(64 * n), *part = test_buffer<int>(64 * n), *out = test_buffer<int>(1);
    unsigned *ticket = test_buffer<unsigned>(1);
    int want = 0;
    for (int i = 0; i < 64 * n; i++) want += 2 * (x[i] = (int)(test_draw() % 1000));
    *ticket = 0;
    for_each_schedule([&] {
        for (int by_fence = 0; by_fence < 2; by_fence++) {
            *out = 0;
            LAUNCH(k_last_block, dim3(n), dim3(64), 0, test_stream(), x, part, ticket, out,
                   by_fence != 0);
            EXPECT(test_wait() && *out == want && *ticket == 0, "%d of %d blocks' sum", *out, want);
        }
    });
    test_free(x), test_free(part), test_free(out), test_free(ticket);
}

/* --- barriers of some warps: two hand a value to and fro --- */

__global__ void k_named_barriers(int *out)
{
    SHARED(int, box, 32);
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    if (warp == 0) box[lane] = 0;
    bar_sync(3, 64);
    for (int i = 0; i < 10; i++) {
        if (warp == 0) {
            if (i) bar_sync(2, 64);
            box[lane] += 1;
            bar_arrive(1, 64);
        } else {
            bar_sync(1, 64);
            box[31 - lane] *= 2;
            if (i < 9) bar_arrive(2, 64);
        }
    }
    __syncthreads();
    out[threadIdx.x] = box[lane];
}

void test_named_barriers()
{
    int *out = test_buffer<int>(64), want = 0;
    for (int i = 0; i < 10; i++) want = 2 * (want + 1);
    for_each_schedule([&] {
        memset(out, 0xff, 64 * sizeof *out);
        LAUNCH(k_named_barriers, dim3(1), dim3(64), 0, test_stream(), out);
        int wrong = !test_wait();
        for (int i = 0; i < 64; i++) wrong += out[i] != want;
        EXPECT(wrong == 0, "barriers of two warps: %d wrong", wrong);
    });
    test_free(out);
}
} // namespace

int main()
{
    for (int i = 0; i < 20; i++) {
        test_mma16(true);
        test_mma16(false);
        test_mma8();
    }
    test_cp_async();
    test_bulk();
    test_last_block();
    test_named_barriers();
    return test_result();
}
