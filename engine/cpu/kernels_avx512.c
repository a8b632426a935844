/* The kernels for AVX-512: vectors from vec_avx512.h, bodies shared with AVX2. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"
#include "engine/cpu/sample_kernels.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx512.h"

/* The bodies use the vectors, in this order. */
#include "engine/cpu/body_tiles.h"

#include "engine/cpu/body_wide8.h"

#include "engine/cpu/body_linear.h"

#include "engine/cpu/body_linear8.h"

#include "engine/cpu/body_linear4.h"

#include "engine/cpu/body_rows.h"

#include "engine/cpu/body_attention.h"

#define DOT_I8 1
#include "engine/cpu/body_attention_dot.h"

static int32_t sum_i8(const int8_t *x, int n)
{
    veci sum = vi_zero();
    int i = 0;
    for (; i + 64 <= n; i += 64)
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), vi_load(x + i));
    if (i < n) {
        const __mmask64 rest = (UINT64_C(1) << (n - i)) - 1;
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_maskz_loadu_epi8(rest, x + i));
    }
    return _mm512_reduce_add_epi32(sum);
}

/* All but what bf16 is multiplied by. */
#define AVX512_COMMON                                                                             \
    .w8_flip = W8_FLIP, .k8_flip = W8_FLIP, .panel = PANEL, .sum_i8 = sum_i8, .rmsnorm = rmsnorm, \
    .add = add, .quantize = quantize, .silu_mul = silu_mul, .rope = rope,                         \
    .widen_bf16 = widen_bf16, .sample = &cpu_sample_avx512

const struct cpu_kernels cpu_kernels_avx512 = {
    .name = "avx512",
    .linear = {[WF_F32] = panel_f32,
               [WF_BF16] = panel_bf16,
               [WF_I8] = panel_i8,
               [WF_W8A16] = panel_w8a16,
               [WF_I4] = panel_i4},
    .attention = {[KV_F32] = attention_f32,
                  [KV_BF16] = cpu_avx512_attention_widened,
                  [KV_I8] = dot_attention},
    .k_group = {1, 2, 4},
    .v_group = {1, 2, 2},
    AVX512_COMMON,
};

const struct cpu_kernels cpu_kernels_avx512_bf16 = {
    .name = "avx512_bf16",
    .linear = {[WF_F32] = panel_f32,
               [WF_BF16] = cpu_avx512_panel_dot16,
               [WF_I8] = panel_i8,
               [WF_W8A16] = cpu_avx512_panel_w8dot16,
               [WF_I4] = panel_i4},
    .round_bf16 = cpu_avx512_round_bf16,
    .attention =
        {[KV_F32] = attention_f32, [KV_BF16] = cpu_avx512_attention_bf16, [KV_I8] = dot_attention},
    .k_group = {1, 2, 4},
    .v_group = {1, 2, 2},
    AVX512_COMMON,
};
