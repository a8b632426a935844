/* The kernels for AVX2: vectors from vec_avx2.h, bodies shared with AVX-512. */
#include "config/base/check.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"
#include "engine/cpu/sample_kernels.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/vec_avx2.h"

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
    const veci ones = _mm256_set1_epi8(1);
    veci sum = vi_zero();
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        const veci pairs = _mm256_maddubs_epi16(ones, vi_load(x + i));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    int32_t lanes[8], total = 0;
    vi_store(lanes, sum);
    for (int j = 0; j < 8; j++) total += lanes[j];
    for (; i < n; i++) total += x[i];
    return total;
}

/* All but the integer linears. */
#define AVX2_COMMON                                                                       \
    .k8_flip = W8_FLIP, .panel = LANES, .sum_i8 = sum_i8, .rmsnorm = rmsnorm, .add = add, \
    .quantize = quantize, .silu_mul = silu_mul, .rope = rope, .widen_bf16 = widen_bf16,   \
    .attention = {[KV_F32] = attention_f32,                                               \
                  [KV_BF16] = cpu_avx2_attention_widened,                                 \
                  [KV_I8] = dot_attention},                                               \
    .k_group = {1, 2, 4}, .v_group = {1, 2, 2}, .sample = &cpu_sample_avx2

const struct cpu_kernels cpu_kernels_avx2 = {
    .name = "avx2",
    .w8_flip = W8_FLIP,
    .linear = {[WF_F32] = panel_f32,
               [WF_BF16] = panel_bf16,
               [WF_I8] = panel_i8,
               [WF_W8A16] = panel_w8a16,
               [WF_I4] = panel_i4},
    AVX2_COMMON,
};

const struct cpu_kernels cpu_kernels_avx2_vnni = {
    .name = "avx2_vnni",
    .w8_flip = CPU_AVX2VNNI_W8_FLIP,
    .linear = {[WF_F32] = panel_f32,
               [WF_BF16] = panel_bf16,
               [WF_I8] = cpu_avx2vnni_panel_i8,
               [WF_W8A16] = panel_w8a16,
               [WF_I4] = cpu_avx2vnni_panel_i4},
    AVX2_COMMON,
};
