#ifndef CONFIG_BASE_RNG_H
#define CONFIG_BASE_RNG_H

/* rng.h - randomness as a pure function of its arguments.
 * rng_philox: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11):
 * stateless, so that a sample depends on (seed, position) and on nothing else in the batch.
 * struct rng: a small sequential generator (splitmix64) for tests, simulations and dummy weights. */

#include <stdint.h>

/* The constants of its rounds (the paper's section 4.3), for those who compute many at a time. */
#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u /* golden ratio */
#define PHILOX_W1     0xBB67AE85u /* sqrt(3) - 1 */
#define PHILOX_ROUNDS 10
void rng_philox(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]);
/* Uniform in (0, 1), never 0 and never 1: 23 bits, since 24 bits and a half round up to 1. */
static inline float rng_open01(uint32_t x)
{
    return ((float)(x >> 9) + 0.5f) * 0x1p-23f;
}

struct rng {
    uint64_t state;
};
static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
/* Uniform in [0, n), n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return (uint64_t)((__extension__(unsigned __int128) rng_next(r) * n) >> 64);
}
static inline double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}
double rng_exponential(struct rng *r, double mean);
double rng_normal(struct rng *r); /* mean 0, deviation 1 */

#endif
