/* The table: lists of shapes for each operator, and their combinations. */
#include "tests/ops/cases.h"

#include "config/base/check.h"

#include <math.h>
#include <string.h>

/* Seeds follow the position in the table, so that a case keeps its numbers when run alone. */
struct emitter {
    case_fn *fn;
    void *arg;
    uint64_t seed;
};

static void emit(struct emitter *e, struct op_case c)
{
    c.seed = ++e->seed;
    e->fn(&c, e->arg);
}

/* --- linear --- */

static const struct {
    enum dtype dtype;
    bool quant, int4, w8a16;
} formats[] = {{DT_F32, false, false, false}, {DT_BF16, false, false, false},
               {DT_F16, false, false, false}, {DT_F32, true, false, false},
               {DT_BF16, true, false, false}, {DT_F32, true, true, false},
               {DT_BF16, true, true, false},  {DT_F32, false, false, true},
               {DT_BF16, false, false, true}, {DT_F16, false, false, true}};

static void linear_formats(struct emitter *e, struct op_case c)
{
    c.op = CASE_LINEAR;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        c.dtype = formats[i].dtype;
        c.quant = formats[i].quant;
        c.int4 = formats[i].int4;
        c.w8a16 = formats[i].w8a16;
        emit(e, c);
    }
}

static void linear_cases(struct emitter *e)
{
    static const int shapes[][2] = {{64, 64},   {1, 1},    {17, 33}, {130, 71},
                                    {344, 172}, {95, 258}, {80, 20}};
    static const int some_rows[] = {1, 2, 5, 6, 7, 13, 32};
    for (int T = 1; T <= 64; T++) { /* every number of rows meets every format */
        const int *s = shapes[T % (int)ARRAY_LEN(shapes)];
        linear_formats(e,
                       (struct op_case){
                           .T = T, .N = s[0], .K = s[1], .exact = T % 2 == 1, .bias = T % 3 == 0});
    }
    for (size_t r = 0; r < ARRAY_LEN(some_rows); r++)
        for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
            for (int exact = 0; exact < 2; exact++)
                linear_formats(e, (struct op_case){.T = some_rows[r],
                                                   .N = shapes[s][0],
                                                   .K = shapes[s][1],
                                                   .exact = exact,
                                                   .bias = (r + s) % 2 == 0});
    /* more k than one pass takes, with few and with several tiles of rows */
    for (int K = 1024; K <= 4097; K = K * 2 + 1)
        for (int T = 1; T <= 15; T += 7)
            linear_formats(e, (struct op_case){.T = T, .N = 70, .K = K});
    /* the same where the last panel has three lines of outputs */
    linear_formats(e, (struct op_case){.T = 15, .N = 110, .K = 1025, .exact = true});
    /* enough work for two threads: split over panels, and over rows */
    linear_formats(e, (struct op_case){.T = 33, .N = 333, .K = 720, .bias = true});
    linear_formats(e, (struct op_case){.T = 331, .N = 60, .K = 450});
}

/* Products with what follows them: every kind of path of a GPU, widths that end within its tiles. */
static void fused_linear_cases(struct emitter *e)
{
    static const int rows[] = {1, 2, 7, 8, 9, 24, 64, 70}, widths[] = {1, 16, 40, 130};
    static const int heads[][3] = {{4, 2, 64}, {3, 1, 80}, {2, 2, 8}, {1, 1, 24}};
    static const int positions[] = {0, 1, 2, 5, 31, 511, 8191, 40000, 131072, 1000000};
    static int each[70];
    for (int t = 0; t < (int)ARRAY_LEN(each); t++)
        each[t] = positions[t % (int)ARRAY_LEN(positions)];
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
            struct op_case c = {.op = CASE_LINEAR_SILU_MUL,
                                .T = rows[r],
                                .N = widths[i],
                                .K = i % 2 ? 48 : 33,
                                .dtype = (r + i) % 3 == 0 ? DT_F16 : DT_BF16};
            emit(e, c);
            c.quant = true;
            c.dtype = (r + i) % 2 ? DT_F32 : DT_BF16;
            emit(e, c);
            c = (struct op_case){.op = CASE_LINEAR_QKV,
                                 .T = rows[r],
                                 .N = (heads[i][0] + 2 * heads[i][1]) * heads[i][2],
                                 .K = 40,
                                 .heads = heads[i][0],
                                 .kv_heads = heads[i][1],
                                 .head_dim = heads[i][2],
                                 .dtype = (r + i) % 3 == 0 ? DT_F32 : DT_BF16,
                                 .norms = (r + i) % 2,
                                 .rope = {.type = ROPE_DEFAULT, .dim = heads[i][2], .theta = 1e6},
                                 .positions = each};
            emit(e, c);
            c.quant = true;
            emit(e, c);
        }
    }
}

/* --- row operators --- */

static void row_cases(struct emitter *e)
{
    static const int n_rows[] = {1, 3, 17}, widths[] = {1, 7, 8, 16, 63, 64, 172, 1000};
    static const enum case_op ops[] = {CASE_RMSNORM, CASE_ADD_RMSNORM, CASE_ADD, CASE_QUANTIZE,
                                       CASE_SILU_MUL};
    for (size_t o = 0; o < ARRAY_LEN(ops); o++) {
        const bool fused = ops[o] != CASE_ADD && ops[o] != CASE_QUANTIZE;
        struct op_case c = {.op = ops[o], .dtype = o % 2 ? DT_F32 : DT_BF16};
        for (int quant = ops[o] == CASE_QUANTIZE; quant < (ops[o] == CASE_ADD ? 1 : 2); quant++) {
            c.quant = quant;
            for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
                for (size_t t = 0; t < ARRAY_LEN(n_rows); t++) {
                    c.T = n_rows[t];
                    c.N = widths[w];
                    c.exact = !fused && t % 2 == 1;
                    emit(e, c);
                }
            }
            c.exact = false;
            c.T = 67; /* two threads */
            c.N = 4096;
            emit(e, c);
        }
    }
    static const int heads[] = {1, 3, 8}, head_dims[] = {8, 16, 64, 80, 128};
    for (size_t h = 0; h < ARRAY_LEN(heads); h++)
        for (size_t d = 0; d < ARRAY_LEN(head_dims); d++)
            emit(e, (struct op_case){.op = CASE_HEAD_NORM,
                                     .T = 5,
                                     .N = heads[h] * head_dims[d],
                                     .heads = heads[h],
                                     .kv_heads = 1,
                                     .head_dim = head_dims[d]});
    static const enum dtype tables[] = {DT_F32, DT_BF16, DT_F16};
    for (size_t d = 0; d < ARRAY_LEN(tables); d++)
        for (int N = 8; N <= 100; N += 46)
            emit(e,
                 (struct op_case){.op = CASE_EMBED, .T = 19, .N = N, .K = 50, .dtype = tables[d]});
}

/* --- rotation --- */

static void rope_cases(struct emitter *e)
{
    static const int positions[] = {0,      1,      2,     5,      15,     16,     100,
                                    511,    8191,   8192,  32768,  40000,  131071, 131072,
                                    500000, 999999, 65535, 123456, 777777, 1000000};
    const struct rope_params types[] = {
        {.type = ROPE_DEFAULT, .theta = 10000},
        {.type = ROPE_DEFAULT, .theta = 1e6},
        {.type = ROPE_LINEAR, .theta = 10000, .factor = 4},
        {.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2, .original_max_position = 8192},
        {.type = ROPE_LLAMA3,
         .theta = 500000,
         .factor = 8,
         .original_max_position = 8192,
         .low_freq_factor = 1,
         .high_freq_factor = 4},
        {.type = ROPE_YARN,
         .theta = 1e6,
         .factor = 4,
         .original_max_position = 32768,
         .beta_fast = 32,
         .beta_slow = 1,
         .attention_factor = 1.1386294361119891,
         .truncate = true},
        {.type = ROPE_YARN,
         .theta = 150000,
         .factor = 32,
         .original_max_position = 4096,
         .beta_fast = 32,
         .beta_slow = 1,
         .attention_factor = 1.3465735902799727},
    };
    static const int head_dims[] = {8, 64, 80, 128};
    for (size_t t = 0; t < ARRAY_LEN(types); t++) {
        for (size_t d = 0; d < ARRAY_LEN(head_dims); d++) {
            struct op_case c = {.op = CASE_ROPE,
                                .T = (int)ARRAY_LEN(positions),
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = head_dims[d],
                                .rope = types[t],
                                .positions = positions};
            c.rope.dim = c.head_dim;
            c.N = (c.heads + c.kv_heads) * c.head_dim;
            emit(e, c);
        }
    }
}

/* --- attention --- */

static void attention_both(struct emitter *e, struct op_case c)
{
    c.op = CASE_ATTENTION;
    c.T = 1;
    c.N = c.heads * c.head_dim;
    c.dtype = DT_F32;
    emit(e, c);
    c.dtype = DT_BF16;
    emit(e, c);
    c.dtype = DT_I8;
    emit(e, c);
}

/* Quantised output: values that tensor cores do not round, so that integers are right to half a step. */
static void attention_quantised(struct emitter *e, struct op_case c)
{
    c.op = CASE_ATTENTION;
    c.T = 1;
    c.N = c.heads * c.head_dim;
    c.quant = c.powers = true;
    c.dtype = DT_F32;
    emit(e, c);
    c.dtype = DT_BF16;
    emit(e, c);
}

/* Random inputs, and those that no rounding of weights changes. */
static void attention_random(struct emitter *e, struct op_case c)
{
    attention_both(e, c);
    c.powers = c.head_dim > 2;
    if (c.powers) attention_both(e, c);
}

static void attention_cases(struct emitter *e)
{
    static const int head_dims[] = {8, 16, 64, 80, 96, 128, 256, 1, 5, 24, 40, 512};
    static const int heads[][2] = {{1, 1}, {2, 1},  {4, 2}, {3, 1}, {8, 8},
                                   {4, 1}, {10, 2}, {6, 1}, {7, 1}, {8, 1}};
    static const int blocks[] = {16, 32, 64, 128, 48};
    static const int windows[] = {0, 0, 1, 5, 16, 64};
    static const int lens[][CASE_SEQS] = {{1, 15, 16, 17}, {40, 1, 33, 2}, {128, 129, 3, 64}};
    size_t i = 0;
    for (size_t d = 0; d < ARRAY_LEN(head_dims); d++)
        for (size_t l = 0; l < ARRAY_LEN(lens); l++)
            for (int k = 0; k < (lens[l][0] > 100 ? 1 : 2); k++, i++) {
                if (lens[l][0] > 100 && head_dims[d] > 128) continue;
                struct op_case c = {.head_dim = head_dims[d],
                                    .heads = heads[i % ARRAY_LEN(heads)][0],
                                    .kv_heads = heads[i % ARRAY_LEN(heads)][1],
                                    .block_size = blocks[i % ARRAY_LEN(blocks)],
                                    .window = windows[(i + d) % ARRAY_LEN(windows)],
                                    .n_seqs = 1 + (int)(i % CASE_SEQS)};
                memcpy(c.len, lens[l], sizeof c.len);
                attention_random(e, c);
            }
    /* With no query every visible key weighs the same; 16 of them give exact quotients. */
    for (size_t d = 0; d < ARRAY_LEN(head_dims); d++)
        attention_both(e, (struct op_case){.head_dim = head_dims[d],
                                           .heads = 4,
                                           .kv_heads = 2,
                                           .block_size = 16,
                                           .window = 16,
                                           .n_seqs = 3,
                                           .len = {40, 16, 70},
                                           .skip = 15,
                                           .exact = true});
}

/* Borders of tiles (256) and spans (1024), and work for two threads. */
static void long_attention_cases(struct emitter *e)
{
    static const struct {
        int heads, kv_heads, head_dim, block_size, window, len[CASE_SEQS], skip;
    } list[] = {
        {2, 1, 16, 16, 0, {255, 256, 257, 300}, 250}, {4, 1, 64, 32, 0, {1023, 1024, 1025}, 1020},
        {2, 2, 8, 64, 0, {2047, 2049, 2045}, 2040},   {2, 1, 80, 128, 100, {2600, 2598}, 2590},
        {2, 1, 32, 16, 1500, {2600}, 2590},           {8, 1, 128, 64, 0, {3000}, 2994},
        {16, 2, 128, 16, 0, {2100, 2097}, 2090},      {50, 1, 8, 16, 0, {300, 20}, 0},
        {8, 1, 64, 16, 1100, {4200, 4197}, 4190},
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        struct op_case c = {.heads = list[i].heads,
                            .kv_heads = list[i].kv_heads,
                            .head_dim = list[i].head_dim,
                            .block_size = list[i].block_size,
                            .window = list[i].window,
                            .skip = list[i].skip};
        memcpy(c.len, list[i].len, sizeof c.len);
        while (c.n_seqs < CASE_SEQS && c.len[c.n_seqs] > 0) c.n_seqs++;
        attention_random(e, c);
        if (i % 2 == 0) attention_quantised(e, c);
    }
}

/* --- bandwidth --- */

static void bench_cases(struct emitter *e)
{
    static const int rows[] = {1, 4, 8, 16, 32, 64, 512};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++)
        linear_formats(e, (struct op_case){.T = rows[r], .N = 8192, .K = 2048, .bench = true});
    static const enum case_op ops[] = {CASE_RMSNORM, CASE_ADD_RMSNORM, CASE_QUANTIZE,
                                       CASE_SILU_MUL};
    for (size_t o = 0; o < ARRAY_LEN(ops); o++)
        emit(e, (struct op_case){.op = ops[o],
                                 .T = 256,
                                 .N = 4096,
                                 .bench = true,
                                 .quant = ops[o] == CASE_QUANTIZE});
    static const struct {
        int heads, kv_heads, head_dim, len, skip, n_seqs, block_size;
    } list[] = {
        {32, 8, 64, 4096, 4095, 1, 64},
        {32, 8, 64, 512, 511, 4, 64},
        {32, 8, 64, 1024, 512, 1, 64},
        {32, 8, 128, 4096, 4095, 1, 64},
        {32, 8, 128, 1024, 512, 1, 64},
        {8, 4, 8, 256, 255, 4, 64},
        /* caches larger than the processor's: groups of 8, 4 and 2 query heads */
        {32, 4, 64, 16384, 16383, 4, 16},
        {32, 8, 64, 16384, 16383, 4, 16},
        {16, 8, 128, 8192, 8191, 4, 16},
        /* what a task costs beside its keys and values */
        {16, 8, 128, 128, 127, 4, 16},
        /* a long prompt's last chunk */
        {32, 4, 64, 4096, 3584, 1, 16},
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        struct op_case c = {.heads = list[i].heads,
                            .kv_heads = list[i].kv_heads,
                            .head_dim = list[i].head_dim,
                            .block_size = list[i].block_size,
                            .n_seqs = list[i].n_seqs,
                            .skip = list[i].skip,
                            .bench = true};
        for (int s = 0; s < c.n_seqs; s++) c.len[s] = list[i].len;
        attention_both(e, c);
    }
}

/* --- the table --- */

void cases_each(case_fn *fn, void *arg)
{
    struct emitter e = {.fn = fn, .arg = arg};
    linear_cases(&e);
    fused_linear_cases(&e);
    row_cases(&e);
    rope_cases(&e);
    attention_cases(&e);
    long_attention_cases(&e);
    bench_cases(&e);
}

static const char *const op_names[CASE_OP_COUNT] = {
    [CASE_LINEAR] = "linear",
    [CASE_RMSNORM] = "rmsnorm",
    [CASE_ADD_RMSNORM] = "add_rmsnorm",
    [CASE_HEAD_NORM] = "head_norm",
    [CASE_ADD] = "add",
    [CASE_QUANTIZE] = "quantize",
    [CASE_SILU_MUL] = "silu_mul",
    [CASE_EMBED] = "embed",
    [CASE_ROPE] = "rope",
    [CASE_ATTENTION] = "attention",
    [CASE_LINEAR_SILU_MUL] = "linear_silu_mul",
    [CASE_LINEAR_QKV] = "linear_qkv",
};

void case_name(const struct op_case *c, char *out, size_t size)
{
    const char *tail = c->exact                ? " exact"
                       : c->powers && c->quant ? " powers quantised"
                       : c->powers             ? " powers"
                                               : "";
    if (c->op == CASE_ATTENTION)
        snprintf(out, size, "attention %s H%d/%d E%d page%d window%d len%d,%d,%d,%d from%d%s",
                 dtype_name(c->dtype), c->heads, c->kv_heads, c->head_dim, c->block_size, c->window,
                 c->len[0], c->len[1], c->len[2], c->len[3], c->skip, tail);
    else if (c->op == CASE_LINEAR)
        snprintf(out, size, "linear %s%s T%d N%d K%d%s%s", dtype_name(c->dtype),
                 c->int4    ? "->int4"
                 : c->w8a16 ? "->w8a16"
                 : c->quant ? "->int8"
                            : "",
                 c->T, c->N, c->K, c->bias ? " bias" : "", tail);
    else if (c->op == CASE_ROPE)
        snprintf(out, size, "rope type%d theta%g E%d", (int)c->rope.type, c->rope.theta,
                 c->head_dim);
    else if (case_is_product(c))
        snprintf(out, size, "%s %s%s T%d N%d K%d H%d/%d E%d%s", op_names[c->op],
                 dtype_name(c->dtype), c->quant ? "->int8" : "", c->T, c->N, c->K, c->heads,
                 c->kv_heads, c->head_dim, c->norms ? " norms" : "");
    else
        snprintf(out, size, "%s%s T%d N%d%s", op_names[c->op], c->quant ? " quantised" : "", c->T,
                 c->N, tail);
}

int case_rows(const struct op_case *c)
{
    if (c->op != CASE_ATTENTION) return c->T;
    int rows = 0;
    for (int s = 0; s < c->n_seqs; s++) rows += c->len[s] > c->skip ? c->len[s] - c->skip : 0;
    return rows;
}

int case_cols(const struct op_case *c)
{
    const int scale = c->quant && c->op != CASE_LINEAR && c->op != CASE_LINEAR_QKV;
    return (c->op == CASE_ADD_RMSNORM ? 2 * c->N : c->N) + scale;
}

bool case_same_on_every_isa(const struct op_case *c)
{
    return c->op == CASE_LINEAR || c->op == CASE_ADD || c->op == CASE_QUANTIZE ||
           c->op == CASE_EMBED || c->op == CASE_ROPE;
}

bool case_is_product(const struct op_case *c)
{
    return c->op == CASE_LINEAR || c->op == CASE_LINEAR_SILU_MUL || c->op == CASE_LINEAR_QKV;
}

float case_scale(const struct op_case *c)
{
    return c->powers ? 0.69314718f : 1.0f / sqrtf((float)c->head_dim);
}

/* Heads that the GPU's tensor-core kernels have (cuda/attention.h). */
bool case_has_mma(const struct op_case *c)
{
    static const int head_dims[] = {64, 80, 96, 128, 256};
    for (size_t i = 0; i < ARRAY_LEN(head_dims); i++)
        if (c->head_dim == head_dims[i]) return c->dtype != DT_F32;
    return false;
}

enum input_form case_input_form(const struct op_case *c, const char *isa)
{
    const bool cuda = strcmp(isa, "cuda") == 0, bf16 = cuda || strcmp(isa, "avx512_bf16") == 0;
    if (case_is_product(c) && !c->quant) {
        if ((c->dtype == DT_BF16 || c->w8a16) && bf16) return INPUTS_BF16;
        if (c->dtype == DT_F16 && cuda) return INPUTS_F16;
    }
    if (c->op != CASE_ATTENTION) return INPUTS_AS_THEY_ARE;
    if (cuda && c->dtype == DT_I8) return case_has_mma(c) ? QUERIES_BF16 : QUERIES_AS_THEY_ARE;
    if (c->dtype != DT_BF16 || !bf16) return INPUTS_AS_THEY_ARE;
    return !cuda || case_has_mma(c) ? INPUTS_BF16 : INPUTS_AS_THEY_ARE;
}
