/* body_linear4_words.h - register tiles of the 4-bit linears where there is no vpdpbusd; a part of
 * body_linear4.h.  A product of a 4-bit weight and an int8 input is so small
 * that the sums of 16 of them (vpmaddubsw's pairs, eight times) fit 16 bits: two operations for 32
 * products, where int8 weights take four.  Then they are added to sums of 32 bits in memory, so that
 * the registers hold larger tiles. */
#ifndef ENGINE_CPU_BODY_LINEAR4_WORDS_H
#define ENGINE_CPU_BODY_LINEAR4_WORDS_H

/* Inputs after which 16 bits may be full: 8 * 2 * 15 * 128 = 30720. */
#define U4_INPUTS_OF_WORDS 32
_Static_assert(GROUP4 % U4_INPUTS_OF_WORDS == 0, "a group is made of whole sums");

#define DECLARE_W(r) veci c##r##0 = vi_zero(), c##r##1 = c##r##0;
#define DOT_W(r)                                   \
    if (R > r) {                                   \
        int32_t four;                              \
        memcpy(&four, x + r * ldx, 4);             \
        const veci b = vi_set1(four);              \
        c##r##0 = vi_add_pairs_u4(c##r##0, w0, b); \
        c##r##1 = vi_add_pairs_u4(c##r##1, w1, b); \
    }
/* One half of the bytes of a step, as in body_linear4.h. */
#define HALF_W(half)                                                         \
    {                                                                        \
        const veci w0 = half(vi_load_at(w, 0)), w1 = half(vi_load_at(w, 1)); \
        FOR_ROWS(DOT_W)                                                      \
    }

/* The weights are q + 8. */
#define BEGIN_W(r)                                                       \
    if (R > r) {                                                         \
        const veci begin = vi_set1(-8 * x_sum[(size_t)r * t->x_sum_ld]); \
        vi_store(ints + r * 2 * VW, begin);                              \
        vi_store(ints + r * 2 * VW + VW, begin);                         \
    }
#define WIDEN_W(r, v)                                   \
    if (R > r) {                                        \
        int32_t *s = ints + (r * 2 + v) * VW;           \
        vi_store(s, vi_add_words(vi_load(s), c##r##v)); \
    }
#define WIDEN_ROW_W(r)    WIDEN_W(r, 0) WIDEN_W(r, 1)
#define GROUP_SUM_4(r, v) vi_load(ints + (r * 2 + v) * VW)

/* Whole groups; NV is 2, a panel's width in these vectors. */
ALWAYS_INLINE void add_groups(const struct tile_args *t, const int R, const int NV,
                              const bool split)
{
    _Alignas(64) int32_t ints[MAX_TILE * 2 * VW];
    const char *w = t->w;
    const int8_t *x = t->x;
    const int32_t *x_sum = t->x_sum;
    float *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    for (int i = 0; i < R * NV && !t->resume; i++)
        v_store(sums + i / NV * SUM_PITCH + i % NV * VW, v_zero());
    for (int left = t->k; left >= GROUP4; left -= GROUP4) {
        FOR_ROWS(BEGIN_W)
        for (const int8_t *group = x + GROUP4; x < group;) {
            FOR_ROWS(DECLARE_W)
#pragma GCC unroll 4
            for (const int8_t *end = x + U4_INPUTS_OF_WORDS; x < end; x += 4, w += pitch) {
                if (split) {
                    HALF_W(WHOLE_4)
                } else {
                    HALF_W(vi_nibbles_low)
                    x += 4;
                    HALF_W(vi_nibbles_high)
                }
                FETCH(w)
            }
            FOR_ROWS(WIDEN_ROW_W)
        }
        FETCH(w) /* the scales */
        ADD_VECTOR_4(0)
        ADD_VECTOR_4(1)
        w += split ? pitch : pitch / LINE * LINE4_SCALES;
        x_sum++;
    }
}

#endif
