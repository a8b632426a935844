#ifndef ENGINE_CPU_SAMPLE_KERNELS_H
#define ENGINE_CPU_SAMPLE_KERNELS_H

/* sample_kernels.h - passes over a row of logits that sampling is made of.
 *
 * One table for each instruction set, with equal bits in all of them: sample_scalar.c is plain C,
 * sample_avx2.c and sample_avx512.c give body_sample.h their vectors.  NaN counts as -inf
 * throughout.  Threads: any; nothing is kept. */

#include "config/base/rng.h"
#include "engine/step.h"

#include <stdbool.h>
#include <stdint.h>

/* A column is every SAMPLE_COLUMNS-th logit of a block: column c of block b has the logits
 * b * SAMPLE_BLOCK + c + j * SAMPLE_COLUMNS.  At least k logits reach the k-th best column's
 * maximum, since each column has one: that finds candidates without a sort. */
#define SAMPLE_BLOCK   2048
#define SAMPLE_COLUMNS 16
static inline int sample_n_blocks(int n)
{
    return (n + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK;
}

/* Elements behind the end of a list that `collect` may read and write. */
#define SAMPLE_LIST_SLACK 64

/* The weight of a logit x: 2^((x - max) * scale), 1 at most, 0 below 2^-60.  A sum of weights (a
 * mass) is an integer of units of 2^-40, each weight rounded to them: exact, so the order of a
 * sum, and who computes which part, do not show.  2^22 weights fit into 63 bits. */
struct sample_weight {
    float max, scale; /* scale: log2(e) / temperature */
};
#define SAMPLE_MASS_ONE 0x1p40
#define SAMPLE_LOWEST   (-60.0f)
/* Adding this to a double below 2^12 leaves a multiple of 2^-40 in the lowest bits. */
#define SAMPLE_MASS_MAGIC 6144.0 /* 1.5 * 2^52 * 2^-40 */

static inline uint64_t sample_mass_of(float weight)
{
    const union {
        double f;
        uint64_t bits;
    } sum = {(double)weight + SAMPLE_MASS_MAGIC}, magic = {SAMPLE_MASS_MAGIC};
    return sum.bits - magic.bits;
}

/* The weight 2^v, -60 <= v <= 0, is 2^n (n = round(v)) times a polynomial in f = v - n that
 * interpolates (2^f - 1) / f: see v_exp2 of vec_avx2.h. */

/* The tokens that a sample may draw: those with a logit above `value`, and those with this very
 * logit up to last_id. */
struct sample_cut {
    float value;
    int32_t last_id;
};

struct sample_range {
    float lo, hi; /* lo <= x < hi; lo > -inf; hi = NaN: no upper bound */
};

struct sample_list {
    float *x;    /* [n] */
    int32_t *id; /* [n] ascending */
    int n;
};

/* One draw: the token with the greatest x / temperature + gumbel(noise), the lowest id on a tie. */
struct sample_race {
    struct sample_cut cut;
    float floor; /* no logit below it can win; at least cut.value */
    float temperature, inverse_temperature;
    float slack;           /* how far x * inverse_temperature + bound may be below a true score */
    uint64_t key, counter; /* of rng_philox */
    float best;            /* the greatest score so far */
    int32_t winner;        /* its token, or -1 */
};

struct sample_kernels {
    /* columns[sample_n_blocks(n)][SAMPLE_COLUMNS] = the maximum of each; returns that of all. */
    float (*maxima)(const float *x, int n, float *columns);
    /* Mass of the logits that are at least `lowest`. */
    uint64_t (*mass)(const float *x, int n, struct sample_weight w, float lowest);
    /* out[n]: the weights. */
    void (*weights)(const float *x, int n, struct sample_weight w, float *out);
    /* Makes `out` the list of the logits in a range (their ids: ids[i], or i when it is NULL);
     * returns the mass of those above the range.  `out` may be where x and ids are. */
    uint64_t (*collect)(const float *x, const int32_t *ids, int n, struct sample_weight w,
                        struct sample_range in, struct sample_list *out);
    int (*count_above)(const float *x, int n, float value);
    /* Takes all tokens into the race that can change it. */
    void (*race)(const float *x, int n, struct sample_race *r);
};

extern const struct sample_kernels cpu_sample_scalar, cpu_sample_avx2, cpu_sample_avx512;

/* --- sample_scalar.c: what all tables share --- */

/* Natural logarithm of x > 0 by +, -, * and / of doubles alone, so that it has the same bits
 * everywhere (libm's differ between CPUs); relative error 1e-14.  0 gives -inf. */
double cpu_sample_log(double x);
/* Takes token `i` with logit x and its 32 random bits into the race, if the cut keeps it. */
void cpu_sample_try(struct sample_race *r, int32_t i, float x, uint32_t noise);

/* --- a bound that spares most tokens the two logarithms of gumbel = -ln(-ln(u)) ---
 * u is (k + 1/2) 2^-23, k the upper 23 bits of noise.  -ln(u) >= 1 - u, so gumbel <= -ln(1 - u);
 * and log2(v) is at least what the bits of the float v say when read as a number of exponent and
 * fraction, e + (m - 1).  With v = 1 - u, exact in a float:
 * gumbel <= (127 - bits(v) 2^-23) ln(2). */
#define SAMPLE_GUMBEL_SLOPE (-0x1.62e43p-24f) /* -ln(2) 2^-23 */
#define SAMPLE_GUMBEL_START 0x1.601e68p+6f    /* 127 ln(2), rounded up */

static inline bool sample_may_win(const struct sample_race *r, float x, uint32_t noise)
{
    const union {
        float f;
        int32_t bits;
    } v = {1.0f - rng_open01(noise)};
    const float bound = (float)v.bits * SAMPLE_GUMBEL_SLOPE + SAMPLE_GUMBEL_START;
    return x * r->inverse_temperature + bound >= r->best - r->slack;
}

#endif
