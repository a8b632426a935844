/* body_tiles.h - register tiles of the linears, for the vectors that the including file defines
 * (vec_avx2.h, vec_avx512.h).  A tile is R rows by NV vectors of outputs, all of a panel's; R and NV
 * are constants after inlining.  The accumulators are named variables: gcc 12 keeps arrays of them
 * in memory, at half the speed.
 *
 * A panel is taken in blocks of k (block_size).  All tiles of rows run against one block, which is in
 * the caches after the first of them, and leave their sums in memory for the next block.  Meanwhile
 * they fetch the block that comes next, a few lines in each step: from four to thirty rows
 * computing takes about as long as reading, and the window of instructions in flight is too short to
 * do both at once.
 *
 * Where more lines can be on their way from memory to the L2 cache than to the L1 (cpu_fetches_to_l2),
 * the next block is fetched to the L2, and each step takes the lines NEAR_BYTES ahead of it on to
 * the L1. */
#ifndef ENGINE_CPU_BODY_TILES_H
#define ENGINE_CPU_BODY_TILES_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define FOR_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* name_R_NV for each tile that fits the registers (FOR_TILES), and a table of them. */
#define TILE_FN(name, R, NV)                                                             \
    static __attribute__((noinline)) void name##_##R##_##NV(const struct name##_args *t) \
    {                                                                                    \
        name(t, R, NV);                                                                  \
    }
#define TILE_ENTRY(name, R, NV) [(R)-1][(NV)-1] = name##_##R##_##NV,
#define TILE_TABLE_OF(fn, name, tiles)                                                             \
    tiles(fn, name) static void (*const name##_tiles[MAX_TILE][4])(const struct name##_args *) = { \
        tiles(TILE_ENTRY, name)}
#define TILE_TABLE(name, tiles) TILE_TABLE_OF(TILE_FN, name, tiles)

/* Tiles that use their sums behind the loop, in a loop around it: gcc 12 merges variables for that, and
 * keeps all of them in memory. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNMERGED __attribute__((optimize("no-tree-coalesce-vars")))
#else
#define UNMERGED
#endif
#define TILE_FN_UNMERGED(name, R, NV)                                                             \
    static __attribute__((noinline)) UNMERGED void name##_##R##_##NV(const struct name##_args *t) \
    {                                                                                             \
        name(t, R, NV);                                                                           \
    }

#define SUM_PITCH (4 * VW) /* sums of a row: of as many vectors as a tile has at most */

/* What one tile needs for one block. */
struct tile_args {
    const void *w, *x;
    void *sums;           /* [rows][SUM_PITCH] f32, or i32 of int8 weights */
    const int32_t *x_sum; /* int4: [rows][x_sum_ld] */
    size_t pitch;         /* bytes between k steps */
    size_t ldx, x_sum_ld;
    int k;
    bool resume; /* go on from the sums; else from zero */
    /* What to fetch meanwhile: in each step so many lines, and on by so many bytes. */
    const char *fetch;
    int fetch_lines, fetch_step;
    bool to_l2; /* to the L2 cache, and from there what the steps read next */
};
#define tile_f32_args   tile_args
#define tile_bf16_args  tile_args
#define tile_wide8_args tile_args
#define tile_i8_args    tile_args
#define split_i8_args   tile_args
#define tile_i4_args    tile_args
#define split_i4_args   tile_args

ALWAYS_INLINE vec load_outputs(const float *p, int n)
{
    return n >= VW ? v_load(p) : n > 0 ? v_load_n(p, n) : v_zero();
}

ALWAYS_INLINE void store_outputs(float *p, vec v, const float *bias, int n)
{
    if (n <= 0) return;
    if (bias) v = v_add(v, load_outputs(bias, n));
    if (n >= VW)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

/* Best-effort shape of a tile: rows first, then as many vectors as registers allow. */
ALWAYS_INLINE int tile_vectors(int max_nv, int left)
{
    return left < max_nv ? left : max_nv;
}

/* --- parts of a tile --- */

#define DECLARE(r) vec c##r##0 = v_zero(), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;
#define RESUME(r)                                 \
    if (R > r) {                                  \
        const float *s = sums + r * SUM_PITCH;    \
        c##r##0 = v_load(s);                      \
        if (NV > 1) c##r##1 = v_load(s + VW);     \
        if (NV > 2) c##r##2 = v_load(s + 2 * VW); \
        if (NV > 3) c##r##3 = v_load(s + 3 * VW); \
    }
#define STORE(r)                                  \
    if (R > r) {                                  \
        float *s = sums + r * SUM_PITCH;          \
        v_store(s, c##r##0);                      \
        if (NV > 1) v_store(s + VW, c##r##1);     \
        if (NV > 2) v_store(s + 2 * VW, c##r##2); \
        if (NV > 3) v_store(s + 3 * VW, c##r##3); \
    }

#define DECLARE_FETCH                           \
    const char *fetch = t->fetch;               \
    const int fetch_lines = t->fetch_lines;     \
    const ptrdiff_t fetch_step = t->fetch_step; \
    const bool to_l2 = t->to_l2;
/* w: the step's weights */
#define FETCH(w)                                     \
    if (fetch_lines > 0) {                           \
        fetch_line(fetch, to_l2);                    \
        if (fetch_lines > 1) {                       \
            fetch_line(fetch + LINE, to_l2);         \
            if (fetch_lines > 2) {                   \
                fetch_line(fetch + 2 * LINE, to_l2); \
                fetch_line(fetch + 3 * LINE, to_l2); \
            }                                        \
        }                                            \
        fetch += fetch_step;                         \
    }                                                \
    if (to_l2) fetch_near((w), (NV)*VW / LANES);

#define NEAR_BYTES 2048

ALWAYS_INLINE void fetch_line(const char *p, bool to_l2)
{
    if (to_l2)
        _mm_prefetch(p, _MM_HINT_T1);
    else
        _mm_prefetch(p, _MM_HINT_T0);
}

/* A step's lines.  Behind the end of a block is the next one, or memory that nobody reads: fetching
 * does no harm. */
ALWAYS_INLINE void fetch_near(const char *w, const int n_lines)
{
    _mm_prefetch(w + NEAR_BYTES, _MM_HINT_T0);
    if (n_lines > 1) _mm_prefetch(w + NEAR_BYTES + LINE, _MM_HINT_T0);
    if (n_lines > 2) _mm_prefetch(w + NEAR_BYTES + 2 * LINE, _MM_HINT_T0);
    if (n_lines > 3) _mm_prefetch(w + NEAR_BYTES + 3 * LINE, _MM_HINT_T0);
}

/* --- panels --- */

static inline void finish_f32(const struct linear_args *a, int p, int row0, int row1, void *sums)
{
    const int n0 = p * a->panel, n = panel_outputs(a, p);
    const float *s = sums;
    for (int row = row0; row < row1; row++, s += SUM_PITCH) {
        float *out = a->out + (size_t)row * (size_t)a->ldo + n0;
        for (int i = 0; i < n; i += VW)
            store_outputs(out + i, v_load(s + i), a->bias ? a->bias + n0 + i : NULL, n - i);
    }
}

/* Bytes of a block, by the number of tiles that run against it.  Two tiles: it and the next one stay in
 * the L1 cache, for what misses that waits behind the lines on their way from memory.  More tiles
 * compute longer for each line fetched, and want fewer ends of blocks. */
ALWAYS_INLINE int block_size(int n_tiles)
{
    return n_tiles <= 2 ? 16 << 10 : n_tiles <= 4 ? 32 << 10 : n_tiles <= 8 ? 64 << 10 : 128 << 10;
}

/* How a format's weights lie: `unit` inputs take unit_size bytes of each line, in `steps` steps. */
struct panel_format {
    void (*const (*tiles)[4])(const struct tile_args *);
    int unit, steps;
    size_t unit_size, x_size;
    int max_rows;
    /* From the sums to the outputs. */
    void (*finish)(const struct linear_args *a, int panel, int row0, int row1, void *sums);
};
/* Tiles that do not read the weights as they lie, but what this writes of a block's whole units, once for
 * all of them: unit_size bytes for each line of a unit. */
struct panel_split {
    void (*run)(char *out, const char *w, int n_units, int n_lines);
    int unit_size;
};
#define SPLIT_SIZE (17 << 10) /* of a block: it stays in the L1 cache */

/* Inputs of a block: of equal blocks, so that each has the time to fetch the next. */
ALWAYS_INLINE int block_inputs(const struct panel_format *f, const struct panel_split *split, int k,
                               int n_lines, int n_tiles)
{
    const int n_units = (k + f->unit - 1) / f->unit;
    const int size = n_units * (int)f->unit_size * n_lines;
    int n_blocks = (size + block_size(n_tiles) - 1) / block_size(n_tiles);
    if (split) {
        const int most = SPLIT_SIZE / (split->unit_size * n_lines); /* units */
        n_blocks = (n_units + most - 1) / most;
    }
    return (n_units + n_blocks - 1) / n_blocks * f->unit;
}

/* Spreads the fetching of `size` bytes over the steps of all tiles. */
ALWAYS_INLINE void plan_fetch(const struct panel_format *f, struct tile_args *t, const char *from,
                              int size, int n_tiles)
{
    const int n_units = (t->k + f->unit - 1) / f->unit, n = n_units * f->steps * n_tiles;
    t->fetch = from;
    t->fetch_step = from ? (size + n - 1) / n : 0;
    t->fetch_lines = (t->fetch_step + LINE - 1) / LINE;
}

/* All tiles of rows against one block. */
ALWAYS_INLINE void run_tiles(const struct panel_format *f, struct tile_args t, int n_rows,
                             int n_vectors)
{
    const int n_steps = (t.k + f->unit - 1) / f->unit * f->steps;
    for (int left = n_rows, n; left > 0; left -= n) {
        const int tiles = (left + f->max_rows - 1) / f->max_rows;
        n = (left + tiles - 1) / tiles; /* 7 rows are 4 and 3, not 6 and 1 */
        f->tiles[n - 1][n_vectors - 1](&t);
        t.x = (const char *)t.x + (size_t)n * t.ldx * f->x_size;
        t.sums = (float *)t.sums + n * SUM_PITCH;
        if (t.x_sum) t.x_sum += (size_t)n * t.x_sum_ld;
        if (t.fetch) t.fetch += (ptrdiff_t)n_steps * t.fetch_step;
    }
}

/* next: the panel that this thread will probably take after this one, or NULL. */
ALWAYS_INLINE void run_panel_split(const struct panel_format *f, const struct panel_split *split,
                                   const struct linear_args *a, int p, int row0, int row1,
                                   const void *next)
{
    _Alignas(64) float sums[MAX_CHUNK_ROWS * SUM_PITCH];
    _Alignas(64) char bytes[SPLIT_SIZE];
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES, n_rows = row1 - row0;
    const int n_tiles = (n_rows + f->max_rows - 1) / f->max_rows;
    const int k_block = block_inputs(f, split, a->k, n_lines, n_tiles);
    const int size = k_block / f->unit * (int)f->unit_size * n_lines;
    struct tile_args t = {
        .w = panel_data(a, p),
        .x = (const char *)a->x + (size_t)row0 * (size_t)a->ldx * f->x_size,
        .sums = sums,
        .pitch = (size_t)n_lines * LINE,
        .ldx = (size_t)a->ldx,
        .to_l2 = a->to_l2 && !split,
    };
    if (f->unit == GROUP4) {
        t.x_sum_ld = groups4(a->k);
        t.x_sum = a->x_sum + (size_t)row0 * t.x_sum_ld;
    }
    for (int k0 = 0; k0 < a->k; k0 += k_block) {
        const bool last = k0 + k_block >= a->k;
        const char *after = (const char *)t.w + size;
        t.k = last ? a->k - k0 : k_block;
        t.resume = k0 > 0;
        plan_fetch(f, &t, last ? next : after, size, n_tiles);
        if (split) {
            split->run(bytes, t.w, t.k / f->unit, n_lines);
            t.w = bytes;
        }
        run_tiles(f, t, n_rows, n_lines * LANES / VW);
        t.w = after;
        t.x = (const char *)t.x + (size_t)k_block * f->x_size;
        if (t.x_sum) t.x_sum += k_block / GROUP4;
    }
    f->finish(a, p, row0, row1, sums);
}

ALWAYS_INLINE void run_panel(const struct panel_format *f, const struct linear_args *a, int p,
                             int row0, int row1, const void *next)
{
    run_panel_split(f, NULL, a, p, row0, row1, next);
}

#endif
