/* body_sample.h - the passes of sampling, for the vectors that the including file defines:
 *   unsigned lanes_ge(vec a, vec b), lanes_gt       one bit for each lane, 0 where either is NaN
 *   vec v_keep_ge(vec a, vec x, vec t)              a where x >= t, else 0
 *   veci vi_add_mass(veci sum, vec w)               64-bit sums of bits(w + SAMPLE_MASS_MAGIC)
 *   uint64_t vi_sum64(veci a); veci v_bits(vec a)
 *   int append(float *x, int32_t *id, const float *from, const int32_t *ids, int i, unsigned lanes)
 * and for Philox, in 64-bit lanes of which the lower halves count:
 *   veci vi64_set1(uint64_t), vi64_mul(a, b), vi64_high(a), vi64_xor3(a, b, c), vi64_pair(low, high)
 *   veci vi64_pairs_low(a, b), vi64_pairs_high(a, b)  unpack of whole lanes
 *   veci vi64_groups(int first)                     see race_vecs
 *   vec v_unit_bits(veci noise)                     the upper 23 bits as a float */
#ifndef ENGINE_CPU_BODY_SAMPLE_H
#define ENGINE_CPU_BODY_SAMPLE_H

/* The rest of a row that is shorter than one step, -inf behind it: no pass takes those. */
#define REST_MAX (4 * VW)
static const float *pad_rest(float rest[REST_MAX], const float *x, int n)
{
    for (int i = 0; i < REST_MAX; i++) rest[i] = i < n ? x[i] : -INFINITY;
    return rest;
}

/* --- maxima --- */

/* NaN never wins: v_max gives its second operand then.  Every second or fourth vector has its own
 * maximum, so that one does not wait for another. */
static vec block_maxima(const float *x, int n, float *columns)
{
    vec m0 = v_set1(-INFINITY), m1 = m0, m2 = m0, m3 = m0;
    float rest[REST_MAX];
    for (int i = 0; i < n; i += 4 * VW) {
        const float *p = i + 4 * VW <= n ? x + i : pad_rest(rest, x + i, n - i);
        m0 = v_max(v_load(p), m0);
        m1 = v_max(v_load(p + VW), m1);
        m2 = v_max(v_load(p + 2 * VW), m2);
        m3 = v_max(v_load(p + 3 * VW), m3);
    }
    const vec even = v_max(m0, m2), odd = v_max(m1, m3), all = v_max(even, odd);
    v_store(columns, VW == SAMPLE_COLUMNS ? all : even);
    if (VW < SAMPLE_COLUMNS) v_store(columns + SAMPLE_COLUMNS - VW, odd);
    return all;
}

static float maxima(const float *x, int n, float *columns)
{
    vec max = v_set1(-INFINITY);
    for (int i = 0; i < n; i += SAMPLE_BLOCK, columns += SAMPLE_COLUMNS) {
        const int left = n - i;
        max = v_max(block_maxima(x + i, left < SAMPLE_BLOCK ? left : SAMPLE_BLOCK, columns), max);
    }
    return v_hmax(max);
}

/* --- weights --- */

VEC_INLINE vec weight_vec(vec x, vec max, vec scale)
{
    return v_exp2(v_max(v_mul(v_sub(x, max), scale), v_set1(SAMPLE_LOWEST)));
}

/* Takes the magic number off that each of n weights came with. */
static uint64_t mass_of_sum(veci sum, uint64_t n)
{
    const double magic = SAMPLE_MASS_MAGIC;
    uint64_t bits;
    memcpy(&bits, &magic, sizeof bits);
    return vi_sum64(sum) - n * bits;
}

static uint64_t mass(const float *x, int n, struct sample_weight w, float lowest)
{
    const vec max = v_set1(w.max), scale = v_set1(w.scale), low = v_set1(lowest);
    veci s0 = vi_zero(), s1 = s0;
    float rest[REST_MAX];
    uint64_t n_added = 0;
    for (int i = 0; i < n; i += 2 * VW, n_added += 2 * VW) {
        const float *p = i + 2 * VW <= n ? x + i : pad_rest(rest, x + i, n - i);
        const vec a = v_load(p), b = v_load(p + VW);
        s0 = vi_add_mass(s0, v_keep_ge(weight_vec(a, max, scale), a, low));
        s1 = vi_add_mass(s1, v_keep_ge(weight_vec(b, max, scale), b, low));
    }
    return mass_of_sum(s0, n_added / 2) + mass_of_sum(s1, n_added / 2);
}

static void weights(const float *x, int n, struct sample_weight w, float *out)
{
    const vec max = v_set1(w.max), scale = v_set1(w.scale);
    int i = 0;
    for (; i + VW <= n; i += VW) v_store(out + i, weight_vec(v_load(x + i), max, scale));
    if (i < n) v_store_n(out + i, weight_vec(v_load_n(x + i, n - i), max, scale), n - i);
}

/* --- lists --- */

/* Branches only on what four vectors have in common: where a list is dense, what each of them has
 * cannot be foreseen. */
static uint64_t collect(const float *x, const int32_t *ids, int n, struct sample_weight w,
                        struct sample_range in, struct sample_list *out)
{
    const vec max = v_set1(w.max), scale = v_set1(w.scale), lo = v_set1(in.lo), hi = v_set1(in.hi);
    veci s0 = vi_zero(), s1 = s0;
    uint64_t n_added = 0;
    float rest[REST_MAX];
    out->n = 0;
    for (int i = 0; i < n; i += 4 * VW) {
        const float *p = i + 4 * VW <= n ? x + i : pad_rest(rest, x + i, n - i);
        unsigned listed[4], any_above = 0, any_listed = 0;
        for (int j = 0; j < 4; j++) {
            const vec v = v_load(p + j * VW);
            const unsigned above = lanes_ge(v, hi);
            listed[j] = lanes_ge(v, lo) & ~above;
            any_above |= above;
            any_listed |= listed[j];
        }
        if (any_above) {
            for (int j = 0; j < 4; j += 2) {
                const vec a = v_load(p + j * VW), b = v_load(p + (j + 1) * VW);
                s0 = vi_add_mass(s0, v_keep_ge(weight_vec(a, max, scale), a, hi));
                s1 = vi_add_mass(s1, v_keep_ge(weight_vec(b, max, scale), b, hi));
            }
            n_added += 2 * VW;
        }
        if (!any_listed) continue;
        for (int j = 0; j < 4; j++)
            out->n +=
                append(out->x + out->n, out->id + out->n, p + j * VW, ids, i + j * VW, listed[j]);
    }
    return mass_of_sum(s0, n_added) + mass_of_sum(s1, n_added);
}

static int count_above(const float *x, int n, float value)
{
    const vec v = v_set1(value);
    int count = 0;
    float rest[REST_MAX];
    for (int i = 0; i < n; i += 4 * VW) {
        const float *p = i + 4 * VW <= n ? x + i : pad_rest(rest, x + i, n - i);
        for (int j = 0; j < 4; j++) count += __builtin_popcount(lanes_gt(v_load(p + j * VW), v));
    }
    return count;
}

/* --- the race --- */

struct noise_keys {
    veci even[PHILOX_ROUNDS], odd[PHILOX_ROUNDS];
    veci counter;
};

static void noise_keys_init(struct noise_keys *k, uint64_t key, uint64_t counter)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int r = 0; r < PHILOX_ROUNDS; r++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        k->even[r] = vi64_set1(k0);
        k->odd[r] = vi64_set1(k1);
    }
    k->counter = vi64_set1(counter); /* below 2^32: the fourth word is 0 */
}

/* rng_philox for the 2 * VW / 2 groups of four tokens from the group `first` on, in two chains so
 * that one need not wait for the other.  A product of two lower halves needs no masks: what is left
 * in the upper halves never comes down. */
VEC_INLINE void noise_vecs(const struct noise_keys *k, int first, veci noise[4])
{
    const veci m0 = vi64_set1(PHILOX_M0), m1 = vi64_set1(PHILOX_M1);
    veci a0 = vi64_groups(first), a1 = vi_zero(), a2 = k->counter, a3 = a1;
    veci b0 = vi64_groups(first + VW / 2), b1 = a1, b2 = a2, b3 = a1;
    for (int r = 0; r < PHILOX_ROUNDS; r++) {
        const veci p0 = vi64_mul(m0, a0), p1 = vi64_mul(m1, a2);
        const veci q0 = vi64_mul(m0, b0), q1 = vi64_mul(m1, b2);
        a0 = vi64_xor3(vi64_high(p1), a1, k->even[r]);
        b0 = vi64_xor3(vi64_high(q1), b1, k->even[r]);
        a2 = vi64_xor3(vi64_high(p0), a3, k->odd[r]);
        b2 = vi64_xor3(vi64_high(q0), b3, k->odd[r]);
        a1 = p1, a3 = p0, b1 = q1, b3 = q0;
    }
    const veci a01 = vi64_pair(a0, a1), a23 = vi64_pair(a2, a3);
    const veci b01 = vi64_pair(b0, b1), b23 = vi64_pair(b2, b3);
    noise[0] = vi64_pairs_low(a01, a23);
    noise[1] = vi64_pairs_high(a01, a23);
    noise[2] = vi64_pairs_low(b01, b23);
    noise[3] = vi64_pairs_high(b01, b23);
}

/* sample_may_win of each lane. */
VEC_INLINE unsigned hopeful(const struct sample_race *r, vec x, veci noise)
{
    const vec v = v_fma(v_unit_bits(noise), v_set1(-0x1p-23f), v_set1(1.0f - 0x1p-24f));
    const vec bound =
        v_fma(v_from_i32(v_bits(v)), v_set1(SAMPLE_GUMBEL_SLOPE), v_set1(SAMPLE_GUMBEL_START));
    const vec score = v_fma(x, v_set1(r->inverse_temperature), bound);
    return lanes_ge(score, v_set1(r->best - r->slack));
}

static void try_lanes(struct sample_race *r, int i, const float *x, veci noise, unsigned lanes)
{
    uint32_t bits[VW];
    vi_store(bits, noise);
    for (; lanes; lanes &= lanes - 1) {
        const int j = __builtin_ctz(lanes);
        cpu_sample_try(r, i + j, x[j], bits[j]);
    }
}

static void race(const float *x, int n, struct sample_race *r)
{
    struct noise_keys keys;
    noise_keys_init(&keys, r->key, r->counter);
    const vec floor = v_set1(r->floor);
    float rest[REST_MAX];
    for (int i = 0; i < n; i += 4 * VW) {
        const float *p = i + 4 * VW <= n ? x + i : pad_rest(rest, x + i, n - i);
        unsigned lanes[4], any = 0;
        for (int j = 0; j < 4; j++) any |= lanes[j] = lanes_ge(v_load(p + j * VW), floor);
        if (!any) continue;
        veci noise[4];
        noise_vecs(&keys, i / 4, noise);
        any = 0;
        for (int j = 0; j < 4; j++) any |= lanes[j] &= hopeful(r, v_load(p + j * VW), noise[j]);
        if (!any) continue;
        for (int j = 0; j < 4; j++) try_lanes(r, i + j * VW, p + j * VW, noise[j], lanes[j]);
    }
}

#define SAMPLE_TABLE                                                            \
    {                                                                           \
        .maxima = maxima, .mass = mass, .weights = weights, .collect = collect, \
        .count_above = count_above, .race = race,                               \
    }

#endif
