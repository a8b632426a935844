#ifndef ENGINE_CONVERT_H
#define ENGINE_CONVERT_H

/* convert.h - numbers from one floating type to another, for the loader and for backends that convert what
 * they read (backend.takes_stored).  Widening is
 * exact; narrowing to bf16 rounds to nearest even. */

#include "engine/backend.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline float convert_bits_to_f32(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint16_t convert_f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const uint32_t quiet_nan = (bits >> 16) | 0x40;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
}

static inline float convert_f16_to_f32(uint16_t h)
{
    /* Exponent and fraction at f32's place, then rebiased by a multiplication that is exact for
     * subnormals too; what was infinity or NaN gets the exponent of all ones back. */
    const uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    const float scaled = convert_bits_to_f32(magnitude) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &scaled, sizeof bits);
    if ((h & 0x7c00) == 0x7c00) bits = magnitude | 0x7f800000;
    return convert_bits_to_f32(bits | sign);
}

/* n elements of F32, F16 or BF16 into F32 or BF16 (or copied, when the types are the same).
 * `src` may be unaligned; `dst` is aligned; no overlap. */
void convert_elements(void *dst, enum dtype to, const void *src, enum dtype from, size_t n);

#endif
