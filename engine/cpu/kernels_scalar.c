/* The kernels in plain C: for machines without AVX2, and the yardstick for the others.  The order
 * of operations in the linears is that of the vector kernels, so results are equal bit for bit. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"
#include "engine/cpu/sample_kernels.h"

#include <math.h>
#include <string.h>

/* --- linear --- */

static void store_line(const struct linear_args *a, int row, int n0, const float acc[LANES])
{
    float *out = a->out + (size_t)row * (size_t)a->ldo + n0;
    for (int i = 0; i < LANES && n0 + i < a->n; i++)
        out[i] = a->bias ? acc[i] + a->bias[n0 + i] : acc[i];
}

static void line_f32(const struct linear_args *a, int row, const char *w, size_t pitch,
                     float acc[LANES])
{
    const float *x = (const float *)a->x + (size_t)row * (size_t)a->ldx;
    for (int k = 0; k < a->k; k++, w += pitch) {
        const float *line = (const float *)(const void *)w;
        for (int i = 0; i < LANES; i++) acc[i] = fmaf(x[k], line[i], acc[i]);
    }
}

static void line_bf16(const struct linear_args *a, int row, const char *w, size_t pitch,
                      float acc[LANES])
{
    const float *x = (const float *)a->x + (size_t)row * (size_t)a->ldx;
    for (int k = 0; k < a->k; k++) {
        const uint16_t *line = (const uint16_t *)(const void *)(w + (size_t)(k / 2) * pitch);
        for (int i = 0; i < LANES; i++)
            acc[i] = fmaf(x[k], bf16_to_f32(line[2 * i + k % 2]), acc[i]);
    }
}

static void line_w8a16(const struct linear_args *a, int row, int n0, const char *w, size_t pitch,
                       float acc[LANES])
{
    const float *x = (const float *)a->x + (size_t)row * (size_t)a->ldx;
    for (int k = 0; k < a->k; k++) {
        const int8_t *line = (const int8_t *)w + (size_t)(k / 4) * pitch + (size_t)(k % 4) * LANES;
        for (int i = 0; i < LANES; i++) acc[i] = fmaf(x[k], (float)line[i], acc[i]);
    }
    for (int i = 0; i < LANES && n0 + i < a->n; i++) acc[i] *= a->scale[n0 + i];
}

static void line_i8(const struct linear_args *a, int row, int n0, const char *w, size_t pitch,
                    float acc[LANES])
{
    const int8_t *x = (const int8_t *)a->x + (size_t)row * (size_t)a->ldx;
    int32_t sum[LANES] = {0};
    for (int k = 0; k < a->k; k++) {
        const int8_t *line = (const int8_t *)w + (size_t)(k / 4) * pitch;
        for (int i = 0; i < LANES; i++) sum[i] += x[k] * line[4 * i + k % 4];
    }
    for (int i = 0; i < LANES && n0 + i < a->n; i++)
        acc[i] = (float)sum[i] * a->scale[n0 + i] * a->x_scale[row];
}

static int32_t sum_i8(const int8_t *x, int n)
{
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* One line of the group that starts at `w`, its scales at `scale`. */
static void group_i4(const struct linear_args *a, int row, int g, const char *w, size_t pitch,
                     const char *scale, float acc[LANES])
{
    const int8_t *x = (const int8_t *)a->x + (size_t)row * (size_t)a->ldx + (size_t)g * GROUP4;
    const int left = a->k - g * GROUP4, n = left < GROUP4 ? left : GROUP4;
    const int n_groups = (a->k + GROUP4 - 1) / GROUP4;
    for (int i = 0; i < LANES; i++) {
        int32_t sum = -8 * a->x_sum[(size_t)row * (size_t)n_groups + (size_t)g];
        for (int k = 0; k < n; k++) {
            const uint8_t both = (uint8_t)w[(size_t)(k / 8) * pitch + (size_t)(4 * i + k % 4)];
            sum += x[k] * (k % 8 < 4 ? both & 15 : both >> 4);
        }
        uint16_t h;
        memcpy(&h, scale + (size_t)i * sizeof h, sizeof h);
        acc[i] = fmaf((float)sum, f16_to_f32(h), acc[i]);
    }
}

static void panel_i4(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    (void)next;
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES;
    const size_t pitch = (size_t)n_lines * LINE;
    for (int row = row0; row < row1; row++) {
        for (int line = 0; line < n_lines; line++) {
            const char *w = panel_data(a, p);
            float acc[LANES] = {0};
            for (int g = 0; g * GROUP4 < a->k; g++, w += (size_t)n_lines * LINE4_SIZE)
                group_i4(a, row, g, w + (size_t)line * LINE, pitch,
                         w + GROUP4_STEPS * pitch + (size_t)line * LINE4_SCALES, acc);
            for (int i = 0; i < LANES; i++) acc[i] *= a->x_scale[row];
            store_line(a, row, p * a->panel + line * LANES, acc);
        }
    }
}

static inline void panel(const struct linear_args *a, int p, int row0, int row1,
                         enum weight_format format)
{
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES;
    const size_t pitch = (size_t)n_lines * LINE;
    for (int row = row0; row < row1; row++) {
        for (int g = 0; g < n_lines; g++) {
            const char *w = (const char *)panel_data(a, p) + (size_t)g * LINE;
            const int n0 = p * a->panel + g * LANES;
            float acc[LANES] = {0};
            if (format == WF_F32) line_f32(a, row, w, pitch, acc);
            if (format == WF_BF16) line_bf16(a, row, w, pitch, acc);
            if (format == WF_I8) line_i8(a, row, n0, w, pitch, acc);
            if (format == WF_W8A16) line_w8a16(a, row, n0, w, pitch, acc);
            store_line(a, row, n0, acc);
        }
    }
}

static void panel_f32(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    (void)next;
    panel(a, p, row0, row1, WF_F32);
}

static void panel_bf16(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    (void)next;
    panel(a, p, row0, row1, WF_BF16);
}

static void panel_i8(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    (void)next;
    panel(a, p, row0, row1, WF_I8);
}

static void panel_w8a16(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    (void)next;
    panel(a, p, row0, row1, WF_W8A16);
}

/* --- rows --- */

static void rmsnorm(float *out, const float *x, const float *gain, int n, float eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * x[i];
    const float scale = (float)(1.0 / sqrt(sum / n + eps));
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * gain[i];
}

static void add(float *acc, const float *x, int n)
{
    for (int i = 0; i < n; i++) acc[i] += x[i];
}

static float quantize(int8_t *q, const float *x, int n)
{
    float max = 0;
    for (int i = 0; i < n; i++) max = fmaxf(max, fabsf(x[i]));
    if (max < QUANT_TINY) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    const float inverse = 127.0f / max;
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)lrintf(fmaxf(-127.0f, fminf(127.0f, x[i] * inverse)));
    return max / 127.0f;
}

static void silu_mul(float *out, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void rope(float *x, const float *cosine, const float *sine, int half, int n_heads)
{
    for (int h = 0; h < n_heads; h++, x += 2 * half) {
        for (int i = 0; i < half; i++) {
            const float a = x[i], b = x[i + half];
            x[i] = a * cosine[i] - b * sine[i];
            x[i + half] = b * cosine[i] + a * sine[i];
        }
    }
}

static void widen_bf16(float *out, const uint16_t *x, int n)
{
    for (int i = 0; i < n; i++) out[i] = bf16_to_f32(x[i]);
}

/* --- attention --- */

static inline float load(const void *p, size_t i, enum kv_format f)
{
    return f == KV_BF16 ? bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

/* s[lo, hi) of one row; returns the largest. */
static float scores(const struct attn_tile *t, const float *q, int lo, int hi, float *s,
                    enum kv_format f)
{
    float max = -INFINITY;
    for (int i = lo; i < hi; i++) {
        const void *k = t->k[i / LANES];
        float sum = 0;
        for (int e = 0; e < t->head_dim; e++)
            sum = fmaf(q[e], load(k, (size_t)e * (size_t)t->k_stride + i % LANES, f), sum);
        s[i] = sum;
        max = fmaxf(max, sum);
    }
    return max;
}

static inline void attention(const struct attn_tile *t, struct attn_rows *r, enum kv_format f)
{
    for (int i = 0; i < r->n; i++) {
        const int lo = r->lo[i], hi = r->hi[i];
        if (hi <= lo) continue;
        float *o = r->o + (size_t)i * (size_t)r->ldo;
        const float *q = (const float *)r->q + (size_t)i * (size_t)r->ldq;
        const float max = scores(t, q, lo, hi, r->s, f);
        const float m = fmaxf(r->m[i], max);
        const float shrink = m == -INFINITY ? 1.0f : exp2f(r->m[i] - m);
        float l = r->l[i] * shrink;
        for (int e = 0; e < t->head_dim; e++) o[e] *= shrink;
        for (int j = lo; j < hi; j++) {
            const void *v = t->v[j / LANES];
            const size_t at = (size_t)(j % LANES) * (size_t)t->v_stride;
            const float p = m == -INFINITY ? 0.0f : exp2f(r->s[j] - m);
            l += p;
            for (int e = 0; e < t->head_dim; e++) o[e] = fmaf(p, load(v, at + (size_t)e, f), o[e]);
        }
        r->m[i] = m;
        r->l[i] = l;
    }
}

static void attention_f32(const struct attn_tile *t, struct attn_rows *r)
{
    attention(t, r, KV_F32);
}

static void attention_bf16(const struct attn_tile *t, struct attn_rows *r)
{
    attention(t, r, KV_BF16);
}

/* The same of integers (kernels.h): scores of one row. */
static float scores_i8(const struct attn_tile *t, const int8_t *q, int lo, int hi, float *s)
{
    float max = -INFINITY;
    for (int i = lo; i < hi; i++) {
        const int8_t *k = (const int8_t *)t->k[i / LANES] + 4 * (i % LANES);
        int32_t sum = 0;
        for (int e = 0; e < t->head_dim; e++)
            sum += q[e] * k[(size_t)(e / 4) * (size_t)t->k_stride * 4 + (size_t)(e % 4)];
        s[i] = (float)sum * t->k_scale[i / LANES][i % LANES];
        max = fmaxf(max, s[i]);
    }
    return max;
}

/* Weights of tokens [lo, hi) to integers, against the tile's largest weight, which is 1, and the
 * largest scale; returns the sum of the weights. */
static float weights_i8(const struct attn_tile *t, float *s, int lo, int hi, float factor, float m,
                        float largest)
{
    const float top = largest < 1e-30f ? 0.0f : (1 << ATTN_WEIGHT_BITS) / largest;
    float sum = 0;
    for (int i = lo; i < hi; i++) {
        const float p = exp2f(fmaf(s[i], factor, -m));
        sum += p;
        s[i] = rintf(p * t->v_scale[i / LANES][i % LANES] * top);
    }
    return sum;
}

static void values_i8(const struct attn_tile *t, const float *w, int lo, int hi, float shrink,
                      float grow, float *o)
{
    for (int e = 0; e < t->head_dim; e++) {
        int32_t sum = 0;
        for (int i = lo; i < hi; i++) {
            const int8_t *v = (const int8_t *)t->v[i / LANES] + i % 2;
            sum += (int32_t)w[i] * v[2 * (i % LANES / 2 * t->v_stride + e)];
        }
        o[e] = fmaf((float)sum, grow, o[e] * shrink);
    }
}

static void attention_i8(const struct attn_tile *t, struct attn_rows *r)
{
    for (int i = 0; i < r->n; i++) {
        const int lo = r->lo[i], hi = r->hi[i];
        if (hi <= lo) continue;
        const int8_t *q = (const int8_t *)r->q + (size_t)i * ATTN_Q_PITCH;
        const float tile_max = scores_i8(t, q, lo, hi, r->s);
        if (tile_max == -INFINITY) continue;
        float largest = 0;
        for (int j = lo; j < hi; j++) largest = fmaxf(largest, t->v_scale[j / LANES][j % LANES]);
        const float factor = r->q_scale[i], tile_m = tile_max * factor;
        const float m = fmaxf(r->m[i], tile_m), shrink = exp2f(r->m[i] - m),
                    grow = exp2f(tile_m - m);
        const float sum = weights_i8(t, r->s, lo, hi, factor, tile_m, largest);
        values_i8(t, r->s, lo, hi, shrink, grow * largest / (1 << ATTN_WEIGHT_BITS),
                  r->o + (size_t)i * (size_t)r->ldo);
        r->l[i] = r->l[i] * shrink + sum * grow;
        r->m[i] = m;
    }
}

const struct cpu_kernels cpu_kernels_scalar = {
    .name = "scalar",
    .panel = LANES,
    .linear = {[WF_F32] = panel_f32,
               [WF_BF16] = panel_bf16,
               [WF_I8] = panel_i8,
               [WF_W8A16] = panel_w8a16,
               [WF_I4] = panel_i4},
    .sum_i8 = sum_i8,
    .rmsnorm = rmsnorm,
    .add = add,
    .quantize = quantize,
    .silu_mul = silu_mul,
    .rope = rope,
    .widen_bf16 = widen_bf16,
    .attention = {[KV_F32] = attention_f32, [KV_BF16] = attention_bf16, [KV_I8] = attention_i8},
    .sample = &cpu_sample_scalar,
    .k_group = {1, 1, 4},
    .v_group = {1, 1, 2},
};
