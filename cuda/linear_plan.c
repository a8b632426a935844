/* Which kernel takes a product, and what it should cost. */
#include "config/base/check.h"
#include "cuda/linear.h"

#include <math.h>
#include <stdio.h>

/* Copies of 4.3 TB/s and bf16 of 770 TFLOP/s, int8 of 1160 TOP/s are what such GPUs reach; f32 is the
 * data sheet's. */
const struct linear_rates linear_rates_h200 = {
    .bytes = 4.3e12, .f32 = 67e12, .bf16 = 770e12, .int8 = 1160e12};
#define H200_SMS 132
/* Bytes a second, for tiles alone and of no consequence but speed: of the L2 cache as reported for
 * this architecture, of one multiprocessor at 64 bytes a clock of 1.755 GHz.  Not measured here. */
#define L2_RATE 5.5e12
#define SM_RATE 112e9

static const struct {
    const char *name;
    int w_size, x_size;
    enum linear_rows copied, tiled; /* rows that are not aligned; rows for tiles and the library */
} types[LINEAR_TYPES] = {
    [LINEAR_F32] = {"f32", 4, 4, LINEAR_ROWS_COPY_F32, LINEAR_ROWS_DIRECT},
    [LINEAR_BF16] = {"bf16", 2, 4, LINEAR_ROWS_COPY_F32, LINEAR_ROWS_BF16},
    [LINEAR_F16] = {"f16", 2, 4, LINEAR_ROWS_COPY_F32, LINEAR_ROWS_F16},
    [LINEAR_W8A8] = {"w8a8", 1, 1, LINEAR_ROWS_COPY_I8, LINEAR_ROWS_DIRECT},
    [LINEAR_W8A16] = {"w8a16", 1, 4, LINEAR_ROWS_COPY_F32, LINEAR_ROWS_BF16_TURNED},
};
static const struct {
    const char *name;
    int size, whole; /* bytes of an element; elements that a kernel reads together */
} forms[] = {
    [LINEAR_ROWS_DIRECT] = {"direct", 0, 1}, [LINEAR_ROWS_COPY_F32] = {"copy", 4, 4},
    [LINEAR_ROWS_COPY_I8] = {"copy", 1, 16}, [LINEAR_ROWS_BF16] = {"bf16", 2, 8},
    [LINEAR_ROWS_F16] = {"f16", 2, 8},       [LINEAR_ROWS_BF16_TURNED] = {"turned", 2, 16},
    [LINEAR_ROWS_COPY_16] = {"copy", 2, 8},
};

static enum linear_path choose_path(const struct linear_shape *s)
{
    if (s->rows <= LINEAR_GEMV_ROWS) return LINEAR_GEMV;
    if (s->rows > LINEAR_MMA_ROWS && s->blas && s->type != LINEAR_W8A16) return LINEAR_BLAS;
    return LINEAR_TILE;
}

/* The time of a byte of K, by three limits: the weights' own memory; the L2 cache, from which a block
 * reads its outputs' weights and its rows' inputs; and one multiprocessor's share of that, with the
 * blocks that it has.  Where several tiles are as fast, the first, which makes the most blocks. */
static double tile_seconds(const struct linear_shape *s, int n, int m)
{
    const double inputs = s->type == LINEAR_W8A16 ? 2.0 : 1.0; /* bytes for each byte of weights */
    const double block = n + m * inputs;
    const double blocks = (double)((s->n + n - 1) / n) * ((s->rows + m - 1) / m);
    const double waves = ceil(blocks / s->n_sms);
    const double memory = s->n / linear_rates_h200.bytes;
    return fmax(memory, fmax(blocks * block / L2_RATE, waves * block / SM_RATE));
}

static void choose_tile(const struct linear_shape *s, struct linear_plan *p)
{
    static const int tiles[][2] = {{32, 16}, {32, 32},  {32, 64},  {64, 16},  {64, 32},
                                   {64, 64}, {128, 16}, {128, 32}, {128, 64}, {128, 128}};
    double best = INFINITY;
    for (size_t i = 0; i < ARRAY_LEN(tiles); i++) {
        const double t = tile_seconds(s, tiles[i][0], tiles[i][1]);
        if (t >= best) continue;
        best = t;
        p->tile_n = tiles[i][0];
        p->tile_m = tiles[i][1];
    }
}

static int x_size(const struct linear_shape *s)
{
    return s->x16 ? 2 : types[s->type].x_size;
}

/* Each block reads all inputs, from the L2 cache.  Where that is more than half of what it reads of
 * weights, blocks of twice the outputs, as long as every multiprocessor has one. */
static int gemv_outputs(const struct linear_shape *s)
{
    const bool inputs_weigh = 2 * s->rows * x_size(s) > 16 * types[s->type].w_size;
    return inputs_weigh && s->n / 32 >= s->n_sms ? 32 : 16;
}

static void limit_rows(int *rows, size_t most)
{
    DCHECK(most > 0);
    if (most >= (size_t)*rows) return;
    *rows = (int)(most > 128 ? most / 128 * 128 : most); /* whole tiles */
}

struct linear_plan linear_choose(const struct linear_shape *s)
{
    struct linear_plan p = {.path = choose_path(s), .rows_per_call = s->rows};
    p.form = p.path == LINEAR_GEMV || s->x16 ? LINEAR_ROWS_DIRECT : types[s->type].tiled;
    if (p.form == LINEAR_ROWS_DIRECT && !s->x_aligned)
        p.form = s->x16 ? LINEAR_ROWS_COPY_16 : types[s->type].copied;
    const int whole = forms[p.form].whole;
    p.k = (s->k + whole - 1) / whole * whole;
    if (p.form != LINEAR_ROWS_DIRECT)
        limit_rows(&p.rows_per_call, s->x_size / ((size_t)p.k * (size_t)forms[p.form].size));
    if (p.path == LINEAR_BLAS && s->type == LINEAR_W8A8)
        limit_rows(&p.rows_per_call, s->sums_len / (size_t)s->n);
    if (p.path == LINEAR_GEMV) p.tile_n = gemv_outputs(s);
    if (p.path == LINEAR_TILE) choose_tile(s, &p);
    return p;
}

bool linear_can_fuse(const struct linear_shape *s, const struct linear_plan *p)
{
    return s->type != LINEAR_F32 && p->path != LINEAR_BLAS && s->rows <= LINEAR_MMA_ROWS &&
           p->rows_per_call >= s->rows;
}

struct linear_cost linear_estimate(const struct linear_shape *s, const struct linear_rates *r)
{
    const struct linear_plan p = linear_choose(s);
    const double rows = s->rows, n = s->n, k = s->k;
    struct linear_cost c = {.flops = 2.0 * rows * n * k};
    const double sums = s->type == LINEAR_W8A8 && p.path == LINEAR_BLAS ? 4.0 * rows * n : 0.0;
    /* Rounded rows: read once as they are, written and read again. */
    const int read_size = forms[p.form].size ? forms[p.form].size : x_size(s);
    if (p.form != LINEAR_ROWS_DIRECT) c.extra = rows * k * (x_size(s) + read_size);
    c.extra += 2.0 * sums;
    c.bytes = n * k * types[s->type].w_size + rows * k * read_size + 4.0 * rows * n;
    const double rate = s->type == LINEAR_F32 ? r->f32 : s->type == LINEAR_W8A8 ? r->int8 : r->bf16;
    const double memory = c.bytes / r->bytes, compute = c.flops / rate;
    c.ns = 1e9 * ((memory > compute ? memory : compute) + c.extra / r->bytes);
    return c;
}

void linear_print_plan(void (*add)(void *ctx, const char *line), void *ctx)
{
    static const struct {
        const char *name;
        int n, k;
    } products[] = {{"qkv", 6144, 4096},
                    {"o", 4096, 4096},
                    {"gate_up", 28672, 4096},
                    {"down", 4096, 14336},
                    {"lm_head", 128256, 4096}};
    static const enum linear_type some_types[] = {LINEAR_BF16, LINEAR_W8A8, LINEAR_W8A16};
    static const int some_rows[] = {1, 8, 16, 64, 512, 2048};
    static const char *const paths[] = {"gemv", "tile", "blas"};
    char line[160];
    snprintf(line, sizeof line, "%-8s %-6s %5s  %-4s %-7s %-7s %5s %9s %9s %9s", "product", "type",
             "T", "path", "tile", "rows", "calls", "MB", "GFLOP", "us");
    add(ctx, line);
    for (size_t i = 0; i < ARRAY_LEN(products) * ARRAY_LEN(some_types); i++) {
        for (size_t j = 0; j < ARRAY_LEN(some_rows); j++) {
            const size_t product = i / ARRAY_LEN(some_types);
            const struct linear_shape s = {
                .type = some_types[i % ARRAY_LEN(some_types)],
                .rows = some_rows[j],
                .n = products[product].n,
                .k = products[product].k,
                .x_aligned = true,
                .blas = true,
                .n_sms = H200_SMS,
                .x_size = LINEAR_SCRATCH,
                .sums_len = LINEAR_SCRATCH / sizeof(int32_t),
                .x16 = some_types[i % ARRAY_LEN(some_types)] == LINEAR_BF16,
            };
            const struct linear_plan p = linear_choose(&s);
            const struct linear_cost c = linear_estimate(&s, &linear_rates_h200);
            char tile[16] = "-";
            if (p.path == LINEAR_GEMV) snprintf(tile, sizeof tile, "%d", p.tile_n);
            if (p.path == LINEAR_TILE) snprintf(tile, sizeof tile, "%dx%d", p.tile_n, p.tile_m);
            snprintf(line, sizeof line, "%-8s %-6s %5d  %-4s %-7s %-7s %5d %9.2f %9.2f %9.2f",
                     products[product].name, types[s.type].name, s.rows, paths[p.path], tile,
                     forms[p.form].name, (s.rows + p.rows_per_call - 1) / p.rows_per_call,
                     (c.bytes + c.extra) / 1e6, c.flops / 1e9, c.ns / 1e3);
            add(ctx, line);
        }
    }
}
