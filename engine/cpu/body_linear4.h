/* body_linear4.h - register tiles of the 4-bit linears; beside body_linear8.h, whose macros it uses.
 * Within a group the products are summed as integers, the groups in f32, in ascending order: the
 * same bits in every tile and instruction set.
 *
 * Few rows take the halves of the bytes apart in registers, beside the products.  With many rows that
 * would be done again for each tile: there a block is split once, into bytes as int8 weights lie. */
#ifndef ENGINE_CPU_BODY_LINEAR4_H
#define ENGINE_CPU_BODY_LINEAR4_H

/* Half of the bytes of a step, or all of them as they are. */
#define WHOLE_4(bytes) (bytes)

/* Takes the integer sums of a group into the f32 ones, which only the end of a group needs: they stay
 * in memory.  GROUP_SUM_4(r, v): where the integers are. */
#define ADD_4(r, v)                                                         \
    if (R > r) {                                                            \
        float *s = sums + r * SUM_PITCH + v * VW;                           \
        v_store(s, v_fma(v_from_i32(GROUP_SUM_4(r, v)), scale, v_load(s))); \
    }
#define ADD_VECTOR_4(v)                                                                       \
    if (NV > v) {                                                                             \
        const vec scale =                                                                     \
            split ? v_load_at(w, v) : v_load_f16((const uint16_t *)(const void *)w + v * VW); \
        ADD_4(0, v) ADD_4(1, v) ADD_4(2, v) ADD_4(3, v) ADD_4(4, v) ADD_4(5, v)               \
    }

#ifdef DOTS_IN_WORDS
#include "engine/cpu/body_linear4_words.h"
#else

#define GROUP_SUM_4(r, v) c##r##v

/* The weights are q + 8. */
#define BEGIN_4(r)                                              \
    if (R > r) {                                                \
        c##r##0 = vi_set1(-8 * x_sum[(size_t)r * t->x_sum_ld]); \
        c##r##1 = c##r##2 = c##r##3 = c##r##0;                  \
    }
#define DOT_4(r)                                         \
    if (R > r) {                                         \
        int32_t four;                                    \
        memcpy(&four, x + r * ldx, 4);                   \
        const veci b = vi_set1(four);                    \
        c##r##0 = vi_dot_u4(c##r##0, w0, b);             \
        if (NV > 1) c##r##1 = vi_dot_u4(c##r##1, w1, b); \
        if (NV > 2) c##r##2 = vi_dot_u4(c##r##2, w2, b); \
        if (NV > 3) c##r##3 = vi_dot_u4(c##r##3, w3, b); \
    }
/* One half of the bytes of a step.  The other loads them again: held over, they would not fit the
 * registers. */
#define HALF_4(half)                                          \
    {                                                         \
        const veci w0 = half(vi_load_at(w, 0));               \
        const veci w1 = NV > 1 ? half(vi_load_at(w, 1)) : w0; \
        const veci w2 = NV > 2 ? half(vi_load_at(w, 2)) : w0; \
        const veci w3 = NV > 3 ? half(vi_load_at(w, 3)) : w0; \
        FOR_ROWS(DOT_4)                                       \
    }
ALWAYS_INLINE void forget_memory(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Whole groups: finish_i4 adds a last one of fewer inputs. */
ALWAYS_INLINE void add_groups(const struct tile_args *t, const int R, const int NV,
                              const bool split)
{
    const char *w = t->w;
    const int8_t *x = t->x;
    const int32_t *x_sum = t->x_sum;
    float *sums = t->sums;
    const size_t ldx = t->ldx, pitch = t->pitch;
    DECLARE_FETCH
    for (int i = 0; i < R * NV && !t->resume; i++)
        v_store(sums + i / NV * SUM_PITCH + i % NV * VW, v_zero());
    for (int left = t->k; left >= GROUP4; left -= GROUP4) {
        FOR_ROWS(DECLARE_I)
        FOR_ROWS(BEGIN_4)
        for (const int8_t *end = x + GROUP4; x < end; x += 4, w += pitch) {
            if (split) {
                HALF_4(WHOLE_4)
            } else {
                HALF_4(vi_nibbles_low)
                __asm__("" : "+r"(w)); /* forget what was loaded */
                x += 4;
                HALF_4(vi_nibbles_high)
            }
            FETCH(w)
        }
        FETCH(w)         /* the scales */
        forget_memory(); /* no f32 sums in registers */
        ADD_VECTOR_4(0)
        ADD_VECTOR_4(1)
        ADD_VECTOR_4(2)
        ADD_VECTOR_4(3)
        w += split ? pitch : pitch / LINE * LINE4_SCALES;
        x_sum++;
    }
}

#endif

ALWAYS_INLINE void tile_i4(const struct tile_args *t, const int R, const int NV)
{
    add_groups(t, R, NV, false);
}

ALWAYS_INLINE void split_i4(const struct tile_args *t, const int R, const int NV)
{
    add_groups(t, R, NV, true);
}

TILE_TABLE_OF(TILE_FN_UNMERGED, tile_i4, FOR_TILES_I4);
TILE_TABLE_OF(TILE_FN_UNMERGED, split_i4, FOR_TILES_SPLIT4);

/* Of each group: its steps of four inputs, the bytes q + 8 as int8 weights lie, and a step of f32 scales. */
#define SPLIT4_STEPS (GROUP4 / 4)

static void split_groups(char *out, const char *w, int n_groups, int n_lines)
{
    const size_t pitch = (size_t)n_lines * LINE;
    for (int g = 0; g < n_groups; g++) {
        for (int s = 0; s < GROUP4_STEPS; s++, w += pitch, out += 2 * pitch) {
            for (size_t i = 0; i < pitch; i += VW * 4) {
                const veci bytes = vi_load(w + i);
                vi_store(out + i, vi_nibbles_low(bytes));
                vi_store(out + pitch + i, vi_nibbles_high(bytes));
            }
        }
        for (size_t i = 0; i < pitch / 4; i += VW)
            v_store((float *)(void *)out + i, v_load_f16((const uint16_t *)(const void *)w + i));
        w += pitch / LINE * LINE4_SCALES;
        out += pitch;
    }
}

/* The last group, of fewer inputs: a row at a time, with zeros behind them. */
static void add_rest_i4(const struct linear_args *a, int p, int row, float *sums)
{
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES;
    const size_t whole = (size_t)a->k / GROUP4;
    int8_t rest[GROUP4] = {0};
    memcpy(rest, (const int8_t *)a->x + (size_t)row * (size_t)a->ldx + whole * GROUP4,
           (size_t)a->k % GROUP4);
    const struct tile_args t = {
        .w = (const char *)panel_data(a, p) + whole * LINE4_SIZE * (size_t)n_lines,
        .x = rest,
        .sums = sums,
        .x_sum = a->x_sum + (size_t)row * (whole + 1) + whole,
        .pitch = (size_t)n_lines * LINE,
        .k = GROUP4,
        .resume = true,
    };
    tile_i4_tiles[0][n_lines * LANES / VW - 1](&t);
}

static void finish_i4(const struct linear_args *a, int p, int row0, int row1, void *sums)
{
    const int n0 = p * a->panel, n = panel_outputs(a, p);
    float *s = sums;
    for (int row = row0; row < row1; row++, s += SUM_PITCH) {
        if (a->k % GROUP4 != 0) add_rest_i4(a, p, row, s);
        float *out = a->out + (size_t)row * (size_t)a->ldo + n0;
        const vec x_scale = v_set1(a->x_scale[row]);
        for (int i = 0; i < n; i += VW)
            store_outputs(out + i, v_mul(v_load(s + i), x_scale), a->bias ? a->bias + n0 + i : NULL,
                          n - i);
    }
}

static void panel_i4(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format few = {
        tile_i4_tiles, GROUP4, GROUP4_STEPS + 1, LINE4_SIZE, 1, MAX_ROWS_I4, finish_i4};
    static const struct panel_format many = {
        split_i4_tiles, GROUP4, SPLIT4_STEPS + 1, LINE4_SIZE, 1, MAX_ROWS_SPLIT4, finish_i4};
    static const struct panel_split split = {split_groups, (SPLIT4_STEPS + 1) * LINE};
    if (row1 - row0 < SPLIT4_ROWS)
        run_panel(&few, a, p, row0, row1, next);
    else
        run_panel_split(&many, &split, a, p, row0, row1, next);
}

#endif
