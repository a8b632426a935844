#ifndef ENGINE_CPU_PROBE_LOOPS_H
#define ENGINE_CPU_PROBE_LOOPS_H

/* probe_loops.h - the inner loops of the probe (probe.c), for each width of vectors.  They are written
 * as assembly instructions, for a compiler that sees through the arithmetic would leave it out. */

#include <stddef.h>
#include <stdint.h>

struct probe_loop {
    const char *how;
    void (*run)(int64_t rounds);
    double ops; /* of one round */
};

struct probe_loops {
    struct probe_loop i8, f32;
    /* Reads size bytes, a multiple of 4096, at a 64-byte aligned address. */
    void (*read)(const void *p, size_t size);
};

extern const struct probe_loops cpu_probe_avx2, cpu_probe_avx512;
extern const struct probe_loops cpu_probe_avx2_vnni;  /* only where the CPU has AVX-VNNI */
extern const struct probe_loop cpu_probe_avx512_bf16; /* only where the CPU has AVX512_BF16 */

#endif
