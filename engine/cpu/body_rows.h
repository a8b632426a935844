/* body_rows.h - kernels on one row, for the vectors that the including file defines. */
#ifndef ENGINE_CPU_BODY_ROWS_H
#define ENGINE_CPU_BODY_ROWS_H

#define LOG2_E_F 1.44269504088896340736f

static void rmsnorm(float *out, const float *x, const float *gain, int n, float eps)
{
    vec s0 = v_zero(), s1 = s0, s2 = s0, s3 = s0;
    int i = 0;
    for (; i + 4 * VW <= n; i += 4 * VW) {
        const vec a = v_load(x + i), b = v_load(x + i + VW);
        const vec c = v_load(x + i + 2 * VW), d = v_load(x + i + 3 * VW);
        s0 = v_fma(a, a, s0);
        s1 = v_fma(b, b, s1);
        s2 = v_fma(c, c, s2);
        s3 = v_fma(d, d, s3);
    }
    for (; i + VW <= n; i += VW) {
        const vec a = v_load(x + i);
        s0 = v_fma(a, a, s0);
    }
    if (i < n) {
        const vec a = v_load_n(x + i, n - i);
        s1 = v_fma(a, a, s1);
    }
    const float sum = v_sum(v_add(v_add(s0, s1), v_add(s2, s3)));
    const vec scale = v_set1(1.0f / sqrtf(sum / (float)n + eps));
    for (i = 0; i + VW <= n; i += VW)
        v_store(out + i, v_mul(v_mul(v_load(x + i), scale), v_load(gain + i)));
    if (i < n)
        v_store_n(out + i, v_mul(v_mul(v_load_n(x + i, n - i), scale), v_load_n(gain + i, n - i)),
                  n - i);
}

static void add(float *acc, const float *x, int n)
{
    int i = 0;
    for (; i + VW <= n; i += VW) v_store(acc + i, v_add(v_load(acc + i), v_load(x + i)));
    if (i < n) v_store_n(acc + i, v_add(v_load_n(acc + i, n - i), v_load_n(x + i, n - i)), n - i);
}

static float quantize(int8_t *q, const float *x, int n)
{
    vec m = v_zero();
    int i = 0;
    for (; i + VW <= n; i += VW) m = v_max(v_abs(v_load(x + i)), m);
    if (i < n) m = v_max(v_abs(v_load_n(x + i, n - i)), m);
    const float max = v_hmax(m);
    if (max < QUANT_TINY) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    const vec inverse = v_set1(127.0f / max), top = v_set1(127.0f), bottom = v_set1(-127.0f);
    for (i = 0; i + VW <= n; i += VW)
        v_store_i8(q + i, v_max(v_min(v_mul(v_load(x + i), inverse), top), bottom));
    if (i < n) {
        int8_t rest[VW];
        v_store_i8(rest, v_max(v_min(v_mul(v_load_n(x + i, n - i), inverse), top), bottom));
        memcpy(q + i, rest, (size_t)(n - i));
    }
    return max / 127.0f;
}

ALWAYS_INLINE vec silu_mul_vec(vec g, vec u)
{
    const vec e = v_exp2(v_mul(g, v_set1(-LOG2_E_F)));
    return v_mul(v_div(g, v_add(v_set1(1.0f), e)), u);
}

static void silu_mul(float *out, const float *gate, const float *up, int n)
{
    int i = 0;
    for (; i + VW <= n; i += VW) v_store(out + i, silu_mul_vec(v_load(gate + i), v_load(up + i)));
    if (i < n)
        v_store_n(out + i, silu_mul_vec(v_load_n(gate + i, n - i), v_load_n(up + i, n - i)), n - i);
}

ALWAYS_INLINE void rotate_vec(float *x, float *y, vec c, vec s)
{
    const vec a = v_load(x), b = v_load(y);
    v_store(x, v_sub(v_mul(a, c), v_mul(b, s)));
    v_store(y, v_add(v_mul(b, c), v_mul(a, s)));
}

static void rope(float *x, const float *cosine, const float *sine, int half, int n_heads)
{
    int i = 0;
    for (; i + VW <= half; i += VW) {
        const vec c = v_load(cosine + i), s = v_load(sine + i);
        for (int h = 0; h < n_heads; h++)
            rotate_vec(x + 2 * h * half + i, x + (2 * h + 1) * half + i, c, s);
    }
    /* Small heads: masked stores are slow to read back. */
    for (; i + 4 <= half; i += 4) {
        const __m128 c = _mm_loadu_ps(cosine + i), s = _mm_loadu_ps(sine + i);
        for (int h = 0; h < n_heads; h++) {
            float *p = x + 2 * h * half + i, *q = p + half;
            const __m128 a = _mm_loadu_ps(p), b = _mm_loadu_ps(q);
            _mm_storeu_ps(p, _mm_sub_ps(_mm_mul_ps(a, c), _mm_mul_ps(b, s)));
            _mm_storeu_ps(q, _mm_add_ps(_mm_mul_ps(b, c), _mm_mul_ps(a, s)));
        }
    }
    for (; i < half; i++) {
        for (int h = 0; h < n_heads; h++) {
            float *p = x + 2 * h * half + i, *q = p + half;
            const float a = *p, b = *q;
            *p = a * cosine[i] - b * sine[i];
            *q = b * cosine[i] + a * sine[i];
        }
    }
}

static void widen_bf16(float *out, const uint16_t *x, int n)
{
    int i = 0;
    for (; i + VW <= n; i += VW) v_store(out + i, v_load_bf16(x + i));
    for (; i < n; i++) out[i] = bf16_to_f32(x[i]);
}

#endif
