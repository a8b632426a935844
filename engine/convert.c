#include "engine/convert.h"

#include "config/base/check.h"

static inline uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void to_f32(float *dst, const uint8_t *src, enum dtype from, size_t n)
{
    if (from == DT_F16) {
        for (size_t i = 0; i < n; i++) dst[i] = convert_f16_to_f32(load_u16(src + 2 * i));
    } else {
        for (size_t i = 0; i < n; i++)
            dst[i] = convert_bits_to_f32((uint32_t)load_u16(src + 2 * i) << 16);
    }
}

static void to_bf16(uint16_t *dst, const uint8_t *src, enum dtype from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float f;
        if (from == DT_F16)
            f = convert_f16_to_f32(load_u16(src + 2 * i));
        else
            memcpy(&f, src + 4 * i, sizeof f);
        dst[i] = convert_f32_to_bf16(f);
    }
}

void convert_elements(void *dst, enum dtype to, const void *src, enum dtype from, size_t n)
{
    CHECK(from == DT_F32 || from == DT_F16 || from == DT_BF16);
    if (from == to) {
        if (n > 0) memcpy(dst, src, n * dtype_size(to));
        return;
    }
    CHECK(to == DT_F32 || to == DT_BF16);
    if (to == DT_F32)
        to_f32(dst, src, from, n);
    else
        to_bf16(dst, src, from, n);
}
