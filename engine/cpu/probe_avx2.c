/* Loops of 12 independent sums: the 16 registers hold them and what is added. */
#include "engine/cpu/probe_loops.h"

#include <immintrin.h>

#define FOR_SUMS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define N_SUMS      12

#define DECLARE(i) __m256i c##i = _mm256_setzero_si256();
#define KEEP(i)    __asm__ volatile("" ::"x"(c##i));
/* Without VNNI: products of bytes in pairs, pairs to sums of four, sums added. */
#define DOT_I8(i)                               \
    __asm__ volatile("vpmaddubsw %2, %2, %1\n"  \
                     "vpmaddwd %3, %1, %1\n"    \
                     "vpaddd %1, %0, %0"        \
                     : "+x"(c##i), "=&x"(pairs) \
                     : "x"(a), "x"(ones));
/* {vex}: AVX-VNNI's encoding, not that of AVX-512. */
#define DOT_VNNI(i) __asm__ volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(c##i) : "x"(a));
#define FMA(i)      __asm__ volatile("vfmadd231ps %1, %1, %0" : "+x"(c##i) : "x"(a));

static void loop_i8(int64_t rounds)
{
    const __m256i a = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    __m256i pairs;
    FOR_SUMS(DECLARE)
    for (; rounds > 0; rounds--) {
        FOR_SUMS(DOT_I8)
    }
    FOR_SUMS(KEEP)
}

static void loop_vnni(int64_t rounds)
{
    const __m256i a = _mm256_set1_epi8(1);
    FOR_SUMS(DECLARE)
    for (; rounds > 0; rounds--) {
        FOR_SUMS(DOT_VNNI)
    }
    FOR_SUMS(KEEP)
}

static void loop_f32(int64_t rounds)
{
    const __m256 a = _mm256_set1_ps(1.0f);
    FOR_SUMS(DECLARE)
    for (; rounds > 0; rounds--) {
        FOR_SUMS(FMA)
    }
    FOR_SUMS(KEEP)
}

#define ADD(i, at) __asm__ volatile("vpaddd %1, %0, %0" : "+x"(c##i) : "m"(*(const __m256i *)(at)));

static void read_all(const void *p, size_t size)
{
    __m256i c0 = _mm256_setzero_si256(), c1 = c0, c2 = c0, c3 = c0;
    for (const char *s = p, *end = s + size; s < end; s += 128) {
        ADD(0, s)
        ADD(1, s + 32)
        ADD(2, s + 64)
        ADD(3, s + 96)
    }
    KEEP(0)
    KEEP(1)
    KEEP(2)
    KEEP(3)
}

#define LOOP_F32                                    \
    {                                               \
        "vfmadd231ps ymm", loop_f32, N_SUMS * 8 * 2 \
    }

const struct probe_loops cpu_probe_avx2 = {
    .i8 = {"vpmaddubsw, vpmaddwd and vpaddd ymm", loop_i8, N_SUMS * 32 * 2},
    .f32 = LOOP_F32,
    .read = read_all,
};
const struct probe_loops cpu_probe_avx2_vnni = {
    .i8 = {"vpdpbusd ymm", loop_vnni, N_SUMS * 32 * 2},
    .f32 = LOOP_F32,
    .read = read_all,
};
