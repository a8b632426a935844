/* body_linear8_words.h - the int8 linears of many rows where there is no vpdpbusd; a part of body_linear8.h.
 * Of bytes, vpmaddubsw wants one side unsigned: three operations on the two ports that multiply and an
 * addition for 32 products.  Of words, it is one and an addition for 16.  A block of weights is widened
 * once for all tiles, the inputs once for each. */
#ifndef ENGINE_CPU_BODY_LINEAR8_WORDS_H
#define ENGINE_CPU_BODY_LINEAR8_WORDS_H

/* A step of four inputs becomes two, of words. */
static void split_words(char *out, const char *w, int n_units, int n_lines)
{
    const size_t pitch = (size_t)n_lines * LINE;
    for (int s = 0; s < n_units; s++, w += pitch, out += 2 * pitch) {
        for (size_t i = 0; i < pitch; i += VW * 4) {
            const veci bytes = vi_load(w + i);
            vi_store(out + i, vi_words_low(bytes));
            vi_store(out + pitch + i, vi_words_high(bytes));
        }
    }
}

#define SPLIT8_INPUTS (SPLIT_SIZE / (2 * LINE) * 4) /* of a block */

/* n inputs of a row as words. */
ALWAYS_INLINE void widen_row(int16_t *out, const int8_t *x, int n)
{
    int i = 0;
    for (; i + 2 * VW <= n; i += 2 * VW) vi_store(out + i, vi_load_i8_pairs(x + i));
    for (; i < n; i++) out[i] = x[i];
}

#define DOT_W8(r)                               \
    if (R > r) {                                \
        int32_t two;                            \
        memcpy(&two, x + r * SPLIT8_INPUTS, 4); \
        const veci b = vi_set1(two);            \
        c##r##0 = vi_dot_i16(c##r##0, w0, b);   \
        c##r##1 = vi_dot_i16(c##r##1, w1, b);   \
    }

ALWAYS_INLINE void split_i8(const struct tile_args *t, const int R, const int NV)
{
    _Alignas(32) int16_t words[MAX_TILE * SPLIT8_INPUTS];
    const int n = t->k / 4 * 4;
    const int16_t *x = words;
    const char *w = t->w;
    int32_t *sums = t->sums;
    const size_t pitch = t->pitch;
    DCHECK(n <= SPLIT8_INPUTS);
    for (int r = 0; r < R; r++)
        widen_row(words + r * SPLIT8_INPUTS, (const int8_t *)t->x + (size_t)r * t->ldx, n);
    DECLARE_FETCH
    FOR_ROWS(DECLARE_I)
    if (t->resume) {
        FOR_ROWS(RESUME_I)
    }
    for (const int16_t *end = x + n; x < end; x += 2, w += pitch) {
        const veci w0 = vi_load_at(w, 0), w1 = vi_load_at(w, 1);
        FOR_ROWS(DOT_W8)
        FETCH(w)
    }
    FOR_ROWS(STORE_I)
}

TILE_TABLE(split_i8, FOR_TILES_LINEAR);

static void panel_i8(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    static const struct panel_format few = {tile_i8_tiles, 4, 1, LINE, 1, MAX_ROWS_I8, finish_i8};
    static const struct panel_format many = {split_i8_tiles, 4, 2, LINE, 1, MAX_TILE, finish_i8};
    static const struct panel_split split = {split_words, 2 * LINE};
    if (row1 - row0 < SPLIT8_ROWS)
        run_panel(&few, a, p, row0, row1, next);
    else
        run_panel_split(&many, &split, a, p, row0, row1, next);
}

#endif
