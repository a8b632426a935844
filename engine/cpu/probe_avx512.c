/* Loops of 24 independent sums: two instructions a cycle times a latency of four to five cycles need
 * ten; the rest covers what the scheduler loses. */
#include "engine/cpu/probe_loops.h"

#include <immintrin.h>

/* clang-format off */
#define FOR_SUMS(X)                                                 \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)   \
    X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
/* clang-format on */
#define N_SUMS 24

#define DECLARE(i)  __m512i c##i = _mm512_setzero_si512();
#define KEEP(i)     __asm__ volatile("" ::"v"(c##i));
#define DOT_I8(i)   __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(c##i) : "v"(a), "v"(b));
#define DOT_BF16(i) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(c##i) : "v"(a), "v"(b));
#define FMA(i)      __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(c##i) : "v"(a), "v"(b));

static void loop_i8(int64_t rounds)
{
    const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
    FOR_SUMS(DECLARE)
    for (; rounds > 0; rounds--) {
        FOR_SUMS(DOT_I8)
    }
    FOR_SUMS(KEEP)
}

static void loop_bf16(int64_t rounds)
{
    const __m512i a = _mm512_set1_epi16(0x3f80), b = a; /* ones */
    FOR_SUMS(DECLARE)
    for (; rounds > 0; rounds--) {
        FOR_SUMS(DOT_BF16)
    }
    FOR_SUMS(KEEP)
}

static void loop_f32(int64_t rounds)
{
    const __m512 a = _mm512_set1_ps(1.0f), b = a;
    FOR_SUMS(DECLARE)
    for (; rounds > 0; rounds--) {
        FOR_SUMS(FMA)
    }
    FOR_SUMS(KEEP)
}

#define ADD(i, at) __asm__ volatile("vpaddd %1, %0, %0" : "+v"(c##i) : "m"(*(const __m512i *)(at)));

static void read_all(const void *p, size_t size)
{
    __m512i c0 = _mm512_setzero_si512(), c1 = c0, c2 = c0, c3 = c0;
    for (const char *s = p, *end = s + size; s < end; s += 256) {
        ADD(0, s)
        ADD(1, s + 64)
        ADD(2, s + 128)
        ADD(3, s + 192)
    }
    KEEP(0)
    KEEP(1)
    KEEP(2)
    KEEP(3)
}

const struct probe_loops cpu_probe_avx512 = {
    .i8 = {"vpdpbusd zmm", loop_i8, N_SUMS * 64 * 2},
    .f32 = {"vfmadd231ps zmm", loop_f32, N_SUMS * 16 * 2},
    .read = read_all,
};
const struct probe_loop cpu_probe_avx512_bf16 = {"vdpbf16ps zmm", loop_bf16, N_SUMS * 32 * 2};
