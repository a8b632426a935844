/* Attention over bf16 for AVX2 without AVX512_BF16: sums in f32. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx2.h"

#include "engine/cpu/body_tiles.h"

#define DOT_WIDENED 1
#include "engine/cpu/body_attention_dot.h"

void cpu_avx2_attention_widened(const struct attn_tile *t, struct attn_rows *r)
{
    dot_attention(t, r);
}
