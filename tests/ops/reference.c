/* The operators in float64, from their formulas. */
#include "tests/ops/cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EPS 1e-5

static float *alloc_floats(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    if (!p) abort();
    return p;
}

float reference_round_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    const uint32_t low = u & 0xffff, half = 0x8000;
    u &= 0xffff0000u;
    if (low > half || (low == half && (u & 0x10000))) u += 0x10000;
    memcpy(&x, &u, 4);
    return x;
}

float reference_round_f16(float x)
{
    if (x == 0 || !isfinite(x)) return x;
    int e;
    frexp((double)x, &e); /* |x| in [2^(e-1), 2^e): 10 bits behind the first */
    const double step = ldexp(1, e - 11 > -24 ? e - 11 : -24);
    const double y = nearbyint((double)x / step) * step;
    return (float)(y > 65504 ? 65504 : y < -65504 ? -65504 : y);
}

/* --- linear --- */

/* One row as int8: value = q * scale. */
static float quantize_row(const float *x, int n, double *q)
{
    float max = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > max) max = fabsf(x[i]);
    if (max == 0) {
        for (int i = 0; i < n; i++) q[i] = 0;
        return 0;
    }
    const float inverse = 127.0f / max;
    for (int i = 0; i < n; i++) {
        const float scaled = x[i] * inverse; /* in f32, as the definition has it */
        q[i] = nearbyint(scaled);
        if (q[i] > 127) q[i] = 127;
        if (q[i] < -127) q[i] = -127;
    }
    return max / 127.0f;
}

/* The first c->N outputs of c's weights. */
static void linear(const struct op_case *c, const struct inputs *in, double *out)
{
    double *w = malloc((size_t)c->K * sizeof *w), *x = malloc((size_t)c->K * sizeof *x);
    if (!w || !x) abort();
    for (int n = 0; n < c->N; n++) {
        double w_scale = 1;
        if ((c->quant && !c->int4) || c->w8a16)
            w_scale = quantize_row(in->w + (size_t)n * (size_t)c->K, c->K, w);
        else
            for (int k = 0; k < c->K; k++) w[k] = in->w[(size_t)n * (size_t)c->K + (size_t)k];
        for (int t = 0; t < c->T; t++) {
            const float *row = in->x + (size_t)t * (size_t)c->K;
            double x_scale = 1, sum = 0;
            if (c->quant) {
                x_scale = quantize_row(row, c->K, x);
                for (int k = 0; k < c->K; k++) sum += x[k] * w[k];
            } else {
                for (int k = 0; k < c->K; k++) sum += row[k] * w[k];
            }
            out[(size_t)t * (size_t)c->N + (size_t)n] =
                sum * w_scale * x_scale + (c->bias ? in->bias[n] : 0);
        }
    }
    free(w);
    free(x);
}

/* --- rows --- */

static void norm(const double *x, const float *gain, int n, double *out)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) out[i] = x[i] / sqrt(sum / n + EPS) * gain[i];
}

/* A quantised row is not compared integer by integer with float64 (a value may lie on the border
 * of two); its values are: integers times scale. */
static void rows(const struct op_case *c, const struct inputs *in, double *out)
{
    const int N = c->N;
    double *x = malloc((size_t)N * sizeof *x);
    if (!x) abort();
    for (int t = 0; t < c->T; t++, out += case_cols(c)) {
        const float *a = in->x + (size_t)t * (size_t)N, *b = in->y + (size_t)t * (size_t)N;
        for (int i = 0; i < N; i++) x[i] = a[i];
        if (c->op == CASE_ADD || c->op == CASE_ADD_RMSNORM)
            for (int i = 0; i < N; i++) x[i] = (double)(float)(a[i] + b[i]);
        if (c->op == CASE_ADD || c->op == CASE_QUANTIZE) memcpy(out, x, (size_t)N * sizeof *x);
        if (c->op == CASE_RMSNORM || c->op == CASE_ADD_RMSNORM) norm(x, in->w, N, out);
        if (c->op == CASE_ADD_RMSNORM) memcpy(out + N, x, (size_t)N * sizeof *x);
        if (c->op == CASE_HEAD_NORM)
            for (int h = 0; h < c->heads; h++)
                norm(x + h * c->head_dim, in->w, c->head_dim, out + h * c->head_dim);
        if (c->op == CASE_EMBED)
            for (int i = 0; i < N; i++) out[i] = in->w[(size_t)in->ids[t] * (size_t)N + (size_t)i];
        if (c->op == CASE_SILU_MUL) {
            const float *g = in->x + (size_t)t * 2 * (size_t)N, *u = g + N;
            for (int i = 0; i < N; i++) out[i] = g[i] / (1.0 + exp(-(double)g[i])) * u[i];
        }
    }
    free(x);
}

/* --- rotation --- */

static double clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* The frequency of pair i of d/2 at a sequence of `len` tokens. */
static double frequency(const struct rope_params *p, int i, int len)
{
    const double d = p->dim, L = p->original_max_position;
    const double base = pow(p->theta, -2.0 * i / d), two_pi = 2 * acos(-1.0);
    switch (p->type) {
    case ROPE_DEFAULT:
        return base;
    case ROPE_LINEAR:
        return base / p->factor;
    case ROPE_DYNAMIC: {
        const double ratio = len > L ? p->factor * len / L - (p->factor - 1) : 1;
        return pow(p->theta * pow(ratio, d / (d - 2)), -2.0 * i / d);
    }
    case ROPE_LLAMA3: { /* share of the unscaled frequency by turns within L tokens */
        const double turns = L * base / two_pi;
        const double keep =
            clamp01((turns - p->low_freq_factor) / (p->high_freq_factor - p->low_freq_factor));
        return keep * base + (1 - keep) * base / p->factor;
    }
    case ROPE_YARN: {
        double low = d * log(L / (p->beta_fast * two_pi)) / (2 * log(p->theta));
        double high = d * log(L / (p->beta_slow * two_pi)) / (2 * log(p->theta));
        if (p->truncate) {
            low = floor(low);
            high = ceil(high);
        }
        if (low < 0) low = 0;
        if (high > d - 1) high = d - 1;
        if (low == high) high += 0.001;
        const double ramp = clamp01((i - low) / (high - low));
        return (1 - ramp) * base + ramp * base / p->factor;
    }
    }
    return base;
}

static void rotate(const struct op_case *c, const double *x, int n_heads, int position, double *out)
{
    const int E = c->head_dim, half = E / 2;
    const double factor = c->rope.type == ROPE_YARN ? c->rope.attention_factor : 1;
    for (int h = 0; h < n_heads; h++, x += E, out += E) {
        for (int i = 0; i < half; i++) {
            const double angle = position * frequency(&c->rope, i, position + 1);
            const double re = cos(angle) * factor, im = sin(angle) * factor;
            out[i] = x[i] * re - x[i + half] * im;
            out[i + half] = x[i + half] * re + x[i] * im;
        }
    }
}

static void rope(const struct op_case *c, const struct inputs *in, double *out)
{
    const int q = c->heads * c->head_dim, k = c->kv_heads * c->head_dim;
    double *x = malloc((size_t)(q + k) * sizeof *x);
    if (!x) abort();
    for (int t = 0; t < c->T; t++, out += q + k) {
        for (int i = 0; i < q; i++) x[i] = (double)in->x[(size_t)t * (size_t)q + (size_t)i];
        for (int i = 0; i < k; i++) x[q + i] = (double)in->y[(size_t)t * (size_t)k + (size_t)i];
        rotate(c, x, c->heads + c->kv_heads, c->positions[t], out);
    }
    free(x);
}

/* --- attention --- */

/* Heads of keys or values as the cache holds them. */
static double *cached(const struct op_case *c, const float *x, size_t n_heads)
{
    const size_t E = (size_t)c->head_dim;
    double *out = malloc(n_heads * E * sizeof *out);
    if (!out) abort();
    for (size_t i = 0; i < n_heads * E; i++)
        out[i] = c->dtype == DT_BF16 ? (double)reference_round_bf16(x[i]) : (double)x[i];
    for (size_t i = 0; c->dtype == DT_I8 && i < n_heads; i++) {
        const double scale = (double)quantize_row(x + i * E, c->head_dim, out + i * E);
        for (size_t e = 0; e < E; e++) out[i * E + e] *= scale;
    }
    return out;
}

/* Row i of the sequence that starts at row `base` of the inputs. */
static void attend(const struct op_case *c, const double *queries, const double *keys,
                   const double *values, size_t base, int i, int head, double *weights, double *out)
{
    const size_t E = (size_t)c->head_dim, g = (size_t)(head / (c->heads / c->kv_heads));
    const size_t kv_cols = (size_t)c->kv_heads * E, q_cols = (size_t)c->heads * E;
    const double *q = queries + (base + (size_t)i) * q_cols + (size_t)head * E;
    const int first = c->window && i - c->window + 1 > 0 ? i - c->window + 1 : 0;
    double max = -INFINITY, sum = 0;
    for (int j = first; j <= i; j++) {
        const double *k = keys + (base + (size_t)j) * kv_cols + g * E;
        weights[j] = 0;
        for (size_t e = 0; e < E; e++) weights[j] += q[e] * k[e];
        weights[j] *= (double)case_scale(c);
        if (weights[j] > max) max = weights[j];
    }
    for (size_t e = 0; e < E; e++) out[e] = 0;
    for (int j = first; j <= i; j++) {
        const double *v = values + (base + (size_t)j) * kv_cols + g * E;
        const double p = exp(weights[j] - max);
        sum += p;
        for (size_t e = 0; e < E; e++) out[e] += p * v[e];
    }
    for (size_t e = 0; e < E; e++) out[e] /= sum;
}

static void attention(const struct op_case *c, const struct inputs *in, double *out)
{
    size_t base = 0, rows = 0;
    for (int s = 0; s < c->n_seqs; s++) rows += (size_t)c->len[s];
    const size_t n_heads = rows * (size_t)c->kv_heads, n_x = inputs_x_len(c);
    double *keys = cached(c, in->y, n_heads), *values = cached(c, in->z, n_heads);
    double *weights = malloc(65536 * sizeof *weights), *queries;
    if (!weights) abort();
    /* An int8 cache is met by queries in int8; whether bf16 ones are rounded is the caller's. */
    if (c->dtype == DT_I8 && !in->queries_as_they_are) {
        queries = cached(c, in->x, n_x / (size_t)c->head_dim);
    } else {
        queries = malloc(n_x * sizeof *queries);
        if (!queries) abort();
        for (size_t i = 0; i < n_x; i++) queries[i] = (double)in->x[i];
    }
    for (int s = 0; s < c->n_seqs; s++) {
        for (int i = c->skip; i < c->len[s]; i++, out += c->quant) { /* a scale behind each row */
            for (int h = 0; h < c->heads; h++, out += c->head_dim)
                attend(c, queries, keys, values, base, i, h, weights, out);
        }
        base += (size_t)c->len[s];
    }
    free(weights);
    free(queries);
    free(keys);
    free(values);
}

/* --- products and what follows them --- */

static void linear_silu_mul(const struct op_case *c, const struct inputs *in, double *out)
{
    struct op_case both = *c;
    both.N = 2 * c->N;
    double *x = malloc((size_t)c->T * (size_t)both.N * sizeof *x);
    if (!x) abort();
    linear(&both, in, x);
    for (int t = 0; t < c->T; t++, out += case_cols(c)) {
        const double *g = x + (size_t)t * (size_t)both.N, *u = g + c->N;
        for (int i = 0; i < c->N; i++) out[i] = g[i] / (1 + exp(-g[i])) * u[i];
    }
    free(x);
}

static void linear_qkv(const struct op_case *c, const struct inputs *in, double *out)
{
    const int E = c->head_dim;
    double *x = malloc((size_t)c->N * sizeof *x);
    if (!x) abort();
    linear(c, in, out);
    for (int t = 0; t < c->T; t++, out += c->N) {
        const int n = c->heads + c->kv_heads; /* heads of q, then of k */
        for (int h = 0; h < n && c->norms; h++) {
            norm(out + h * E, in->y + (h < c->heads ? 0 : E), E, x + h * E);
            memcpy(out + h * E, x + h * E, (size_t)E * sizeof *x);
        }
        memcpy(x, out, (size_t)(n * E) * sizeof *x);
        rotate(c, x, n, c->positions[t], out);
    }
    free(x);
}

void reference_run(const struct op_case *c, const struct inputs *in, double *out)
{
    if (c->op == CASE_LINEAR)
        linear(c, in, out);
    else if (c->op == CASE_LINEAR_SILU_MUL)
        linear_silu_mul(c, in, out);
    else if (c->op == CASE_LINEAR_QKV)
        linear_qkv(c, in, out);
    else if (c->op == CASE_ROPE)
        rope(c, in, out);
    else if (c->op == CASE_ATTENTION)
        attention(c, in, out);
    else
        rows(c, in, out);
}

/* --- inputs --- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state; /* xorshift64* */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Dull;
}

/* Roughly normal; or a small integer. */
static float draw(uint64_t *state, bool exact)
{
    if (exact) return (float)((int)(next_random(state) >> 33) % 7 - 3);
    double sum = -2;
    for (int i = 0; i < 4; i++) sum += (double)(next_random(state) >> 11) * 0x1p-53;
    return (float)(sum * 1.7);
}

static float *draw_array(uint64_t *state, size_t n, bool exact)
{
    float *p = alloc_floats(n);
    for (size_t i = 0; i < n; i++) p[i] = draw(state, exact);
    return p;
}

/* The nearest value that dtype holds. */
static void round_to(float *p, size_t n, enum dtype dtype)
{
    for (size_t i = 0; i < n; i++) {
        if (dtype == DT_BF16) p[i] = reference_round_bf16(p[i]);
        if (dtype == DT_F16) p[i] = nearbyintf(p[i] * 256) / 256; /* |x| < 4: at most 11 bits */
    }
}

/* Integers as int8 sees them: with a 127 in each row the scale is 1. */
static void pin_scale(float *p, int n_rows, int cols)
{
    for (int r = 0; r < n_rows; r++) p[(size_t)r * (size_t)cols + (size_t)(r % cols)] = 127;
}

/* Weights that 4 bits hold exactly: what is compared is the product.  In each group of 128 one is -8
 * (or 8, of a negative scale), times a power of two. */
static void snap_to_int4(uint64_t *state, float *w, int n_rows, int cols)
{
    for (int r = 0; r < n_rows; r++, w += cols) {
        for (int k0 = 0; k0 < cols; k0 += 128) {
            const int n = cols - k0 < 128 ? cols - k0 : 128;
            const uint64_t dice = next_random(state);
            const float scale = ldexpf(dice >> 40 & 1 ? -1 : 1, -(int)(dice >> 44 & 3));
            for (int i = 0; i < n; i++)
                w[k0 + i] = scale * (float)((int)(next_random(state) >> 40 & 15) - 8);
            w[k0 + (int)(dice >> 48) % n] = -8 * scale;
        }
    }
}

size_t inputs_x_len(const struct op_case *c)
{
    size_t n = (size_t)c->T;
    for (int s = 0; s < c->n_seqs; s++) n += (size_t)c->len[s];
    return n * (case_is_product(c) ? (size_t)c->K : (size_t)(c->heads * c->head_dim));
}

/* A query of 0 and 1 that sums two of the elements 1.. of keys of -3..0; the first element, which no
 * query looks at, makes the scale of an int8 key 1. */
static void make_powers(const struct op_case *c, uint64_t *state, struct inputs *in, size_t n_rows)
{
    const size_t E = (size_t)c->head_dim, n_heads = n_rows * (size_t)c->kv_heads;
    memset(in->x, 0, inputs_x_len(c) * sizeof *in->x);
    for (size_t i = 0; i < n_rows * (size_t)c->heads; i++) {
        const size_t a = next_random(state) % (E - 1), b = next_random(state) % (E - 2);
        in->x[i * E + 1 + a] = 1;
        in->x[i * E + 1 + (a + 1 + b) % (E - 1)] = 1;
    }
    for (size_t i = 0; i < n_heads * E; i++)
        in->y[i] = i % E ? -(float)(next_random(state) >> 40 & 3) : 127;
}

void inputs_make(const struct op_case *c, struct inputs *in)
{
    memset(in, 0, sizeof *in);
    uint64_t state = c->seed * 0x9E3779B97F4A7C15ull + 1;
    const size_t T = (size_t)c->T, N = (size_t)c->N, K = (size_t)c->K, E = (size_t)c->head_dim;
    if (c->op == CASE_LINEAR_SILU_MUL || c->op == CASE_LINEAR_QKV) {
        const size_t n = (c->op == CASE_LINEAR_SILU_MUL ? 2 * N : N) * K;
        in->x = draw_array(&state, T * K, false);
        in->w = draw_array(&state, n, false);
        for (size_t i = 0; i < n; i++) in->w[i] *= 0.25f; /* exponents of SiLU stay small */
        in->y = draw_array(&state, 2 * (E ? E : 1), false);
        round_to(in->w, n, c->dtype);
        round_to(in->y, 2 * (E ? E : 1), c->dtype);
        return;
    }
    if (c->op == CASE_LINEAR) {
        in->x = draw_array(&state, T * K, c->exact);
        in->w = draw_array(&state, N * K, c->exact);
        in->bias = draw_array(&state, N, c->exact);
        round_to(in->w, N * K, c->dtype);
        round_to(in->bias, N, c->dtype);
        if (c->int4) snap_to_int4(&state, in->w, c->N, c->K);
        if (c->quant && c->exact) pin_scale(in->x, c->T, c->K);
        if (c->exact && ((c->quant && !c->int4) || c->w8a16)) pin_scale(in->w, c->N, c->K);
        return;
    }
    if (c->op == CASE_ATTENTION || c->op == CASE_ROPE) {
        size_t n = T;
        for (int s = 0; s < c->n_seqs; s++) n += (size_t)c->len[s];
        in->x = c->exact ? alloc_floats(n * (size_t)c->heads * E)
                         : draw_array(&state, n * (size_t)c->heads * E, false);
        in->y = draw_array(&state, n * (size_t)c->kv_heads * E, c->exact);
        in->z = draw_array(&state, n * (size_t)c->kv_heads * E, c->exact || c->powers);
        if (c->powers) make_powers(c, &state, in, n);
        if (c->dtype == DT_I8 && (c->exact || c->powers))
            pin_scale(in->z, (int)n * c->kv_heads, c->head_dim);
        return;
    }
    in->x = draw_array(&state, T * N * 2, c->exact);
    in->y = draw_array(&state, T * N, c->exact);
    in->w = draw_array(&state, (K ? K : 1) * N, c->exact);
    round_to(in->w, (K ? K : 1) * N, c->dtype);
    in->ids = calloc(T ? T : 1, sizeof *in->ids);
    if (!in->ids) abort();
    for (size_t t = 0; t < T; t++) in->ids[t] = (int32_t)(next_random(&state) % (K ? K : 1));
}

void inputs_free(struct inputs *in)
{
    free(in->x);
    free(in->y);
    free(in->z);
    free(in->w);
    free(in->bias);
    free(in->ids);
}
