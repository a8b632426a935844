#ifndef ENGINE_CPU_QUANT4_H
#define ENGINE_CPU_QUANT4_H

/* quant4.h - weights as 4-bit integers in groups.
 *
 * value = q * scale, q in [-8, 7], one f16 scale for GROUP4 consecutive inputs of one output.  Round
 * to nearest, with the scale, out of a few that cut off more or less of the largest value, whose
 * squared error is the smallest.  Pure; the same bits on every machine. */

#include <stddef.h>
#include <stdint.h>

#define GROUP4       128 /* inputs */
#define GROUP4_STEPS 16  /* of eight inputs: one 4-byte word of each output */

/* One group of 16 outputs: its words and, behind those of the whole panel, its scales. */
#define LINE4_SCALES (16 * sizeof(uint16_t))
#define LINE4_SIZE   (GROUP4_STEPS * (size_t)64 + LINE4_SCALES)

static inline size_t groups4(int k)
{
    return ((size_t)k + GROUP4 - 1) / GROUP4;
}

/* q[i] = q + 8, in 0..15; returns the scale.  Zeros, and values that are too small for an f16 scale,
 * give the scale 0; NaN gives 7. */
uint16_t quant4_group(const float w[GROUP4], uint8_t q[GROUP4]);

#endif
