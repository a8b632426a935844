/* The kernels for AVX2: vectors from vec_avx2.h, bodies shared with AVX-512. */
#include "engine/cpu/kernels.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx2.h"

/* The bodies use the vectors, in this order. */
#include "engine/cpu/body_linear.h"

#include "engine/cpu/body_rows.h"

#include "engine/cpu/body_attention.h"

const struct cpu_kernels cpu_kernels_avx2 = {
    .name = "avx2",
    .w8_flip = W8_FLIP,
    .panel = LANES,
    .linear = {[WF_F32] = panel_f32, [WF_BF16] = panel_bf16, [WF_I8] = panel_i8},
    .rmsnorm = rmsnorm,
    .add = add,
    .quantize = quantize,
    .silu_mul = silu_mul,
    .rope = rope,
    .widen_bf16 = widen_bf16,
    .attention = {attention_f32, attention_bf16},
};
