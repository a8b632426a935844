/* body_wide8.h - parts of the linears with int8 weights and inputs that are not integers: behind
 * body_tiles.h.  Their sums are those of weights in f32 (body_linear.h), or in bf16 by vdpbf16ps
 * (kernels_avx512bf16.c), with the outputs' scales at the end. */
#ifndef ENGINE_CPU_BODY_WIDE8_H
#define ENGINE_CPU_BODY_WIDE8_H

/* Vector v of outputs, input j of a step's four: 16 bytes are a line's outputs for one input. */
#define WIDE8_AT(w, j, v) ((const int8_t *)(w) + (v)*VW / LANES * LINE + (j)*LANES + (v)*VW % LANES)

/* Up to so many rows, the weights are widened in registers for each tile.  More tiles share a block
 * that is widened once. */
#define WIDE8_ROWS_DIRECT MAX_TILE

/* A widened block of the largest size, and what block_inputs may round up. */
#define WIDE8_BLOCK ((128 << 10) + 4 * PANEL * 4)

/* k inputs (a multiple of four, or all that are left) of n_lines lines at w, as the tiles read them. */
typedef void widen_block_fn(void *out, const char *w, int k, int n_lines);

static inline void finish_wide8(const struct linear_args *a, int p, int row0, int row1, void *sums)
{
    const int n0 = p * a->panel, n = panel_outputs(a, p);
    const float *s = sums;
    for (int row = row0; row < row1; row++, s += SUM_PITCH) {
        float *out = a->out + (size_t)row * (size_t)a->ldo + n0;
        for (int i = 0; i < n; i += VW)
            store_outputs(out + i, v_mul(v_load(s + i), load_outputs(a->scale + n0 + i, n - i)),
                          a->bias ? a->bias + n0 + i : NULL, n - i);
    }
}

/* run_panel, with each block widened before its tiles run.  f: the widened weights' format, of units of
 * four inputs. */
ALWAYS_INLINE void run_widened(const struct panel_format *f, widen_block_fn *widen,
                               const struct linear_args *a, int p, int row0, int row1,
                               const void *next)
{
    _Alignas(64) float sums[MAX_CHUNK_ROWS * SUM_PITCH];
    _Alignas(64) char wide[WIDE8_BLOCK];
    const int n_lines = (panel_outputs(a, p) + LANES - 1) / LANES, n_rows = row1 - row0;
    const int n_tiles = (n_rows + f->max_rows - 1) / f->max_rows;
    const int k_block = block_inputs(f, NULL, a->k, n_lines, n_tiles);
    const int size = k_block / f->unit * LINE * n_lines; /* before they are widened */
    const char *w = panel_data(a, p);
    struct tile_args t = {
        .w = wide,
        .x = (const char *)a->x + (size_t)row0 * (size_t)a->ldx * f->x_size,
        .sums = sums,
        .pitch = (size_t)n_lines * LINE,
        .ldx = (size_t)a->ldx,
    };
    for (int k0 = 0; k0 < a->k; k0 += k_block) {
        const bool last = k0 + k_block >= a->k;
        t.k = last ? a->k - k0 : k_block;
        t.resume = k0 > 0;
        widen(wide, w, t.k, n_lines);
        w += size;
        plan_fetch(f, &t, last ? next : w, size, n_tiles);
        run_tiles(f, t, n_rows, n_lines * LANES / VW);
        t.x = (const char *)t.x + (size_t)k_block * f->x_size;
    }
    f->finish(a, p, row0, row1, sums);
}

#endif
