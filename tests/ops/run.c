/* One case on one backend. */
#include "tests/ops/run.h"

#include "config/base/check.h"
#include "engine/ops.h"
#include "engine/plugin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EPS 1e-5f
#define PAD 3 /* columns: odd, so that views are not aligned */

static const uint32_t CANARY_F32 =
    0x7f80babeu; /* a signalling NaN: whatever adds to it changes it */
static const uint8_t CANARY_I8 = 0x5a;

/* --- guarded buffers --- */

static bool in_view(const struct guarded *g, int row, int col)
{
    return row >= 1 && row <= g->view.rows && col >= PAD && col < PAD + g->view.cols;
}

bool guard_alloc(struct backend *be, enum dtype dtype, int rows, int cols, struct guarded *g)
{
    struct error err = {0};
    if (be->ops->tensor_alloc(be, dtype, rows + 2, cols + 2 * PAD, &g->all, &err) != STATUS_OK) {
        fprintf(stderr, "optest: %s\n", err.message);
        return false;
    }
    const size_t item = dtype_size(dtype), n = (size_t)(rows + 2) * (size_t)g->all.ld;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)g->all.data + i * item,
               dtype == DT_F32 ? (const void *)&CANARY_F32 : (const void *)&CANARY_I8, item);
    g->view = g->all;
    g->view.rows = rows;
    g->view.cols = cols;
    g->view.data = (char *)g->all.data + ((size_t)g->all.ld + PAD) * item;
    if (dtype == DT_I8) {
        for (int r = 0; r < rows + 2; r++) memcpy(&g->all.scale[r], &CANARY_F32, 4);
        g->view.scale = g->all.scale + 1;
    }
    return true;
}

void guard_fill(struct guarded *g, const float *from, size_t from_ld)
{
    for (int r = 0; r < g->view.rows; r++)
        memcpy((float *)g->view.data + (size_t)r * (size_t)g->view.ld, from + (size_t)r * from_ld,
               (size_t)g->view.cols * sizeof(float));
}

bool guard_intact(const struct guarded *g, const char *what)
{
    const size_t item = dtype_size(g->all.dtype);
    const void *canary = g->all.dtype == DT_F32 ? (const void *)&CANARY_F32 : &CANARY_I8;
    for (int r = 0; r < g->all.rows; r++) {
        for (int c = 0; c < g->all.ld; c++) {
            const char *at =
                (const char *)g->all.data + ((size_t)r * (size_t)g->all.ld + (size_t)c) * item;
            if (in_view(g, r, c) || memcmp(at, canary, item) == 0) continue;
            fprintf(stderr, "optest: %s: wrote outside at row %d, column %d\n", what, r - 1,
                    c - PAD);
            return false;
        }
    }
    if (g->all.dtype != DT_I8) return true;
    return memcmp(&g->all.scale[0], &CANARY_F32, 4) == 0 &&
           memcmp(&g->all.scale[g->all.rows - 1], &CANARY_F32, 4) == 0;
}

/* --- backends and weights --- */

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

int pages_ld(const struct op_case *c)
{
    int longest = 1;
    for (int s = 0; s < c->n_seqs; s++) longest = max_int(longest, c->len[s]);
    return (longest + c->block_size - 1) / c->block_size + 1;
}

int pages_needed(const struct op_case *c)
{
    int n = 2;
    for (int s = 0; s < c->n_seqs; s++) n += (c->len[s] + c->block_size - 1) / c->block_size + 1;
    return n;
}

/* A permutation of all pages but the first; entries that no token needs point nowhere. */
void pages_shuffle(const struct op_case *c, int32_t *table, int table_ld)
{
    const int n = pages_needed(c);
    int32_t *pages = malloc((size_t)n * sizeof *pages);
    CHECK(pages);
    for (int i = 0; i < n; i++) pages[i] = i;
    uint64_t state = c->seed + 12345;
    for (int i = n - 1; i > 1; i--) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const int j = 1 + (int)((state >> 33) % (uint64_t)i);
        const int32_t swap = pages[i];
        pages[i] = pages[j];
        pages[j] = swap;
    }
    int next = 1;
    for (int s = 0; s < c->n_seqs; s++) {
        const int used = (c->len[s] + c->block_size - 1) / c->block_size;
        for (int b = 0; b < table_ld; b++)
            table[s * table_ld + b] = b < used ? pages[next++] : INT32_MAX;
    }
    free(pages);
}

static const char *plugin_path;

void run_use_plugin(const char *path)
{
    plugin_path = path;
}

enum status run_backend_open(struct backend **out, const char *isa, int n_threads,
                             struct error *err)
{
    const struct plugin_options o = {.host_addressable = true};
    if (strcmp(isa, BACKEND_CUDA) == 0) return plugin_backend_open(out, plugin_path, &o, err);
    return cpu_backend_open(out, n_threads, isa, err);
}

void run_settle(struct backend *be)
{
    struct error err = {0};
    if (!be->ops->wait || be->ops->wait(be, &err) == STATUS_OK) return;
    fprintf(stderr, "optest: %s\n", err.message);
    exit(1); /* nothing more can run on this device */
}

struct backend *case_open(const struct op_case *c, const char *isa, int n_threads)
{
    struct backend *be;
    struct error err = {0};
    if (run_backend_open(&be, isa, n_threads, &err) != STATUS_OK) {
        fprintf(stderr, "optest: %s\n", err.message);
        return NULL;
    }
    int tokens = max_int(c->T, 1);
    for (int s = 0; s < c->n_seqs; s++) tokens += c->len[s];
    const bool paged = c->op == CASE_ATTENTION;
    const struct backend_limits limits = {
        .max_tokens = tokens,
        .max_seqs = CASE_SEQS,
        .max_samples = tokens,
        .max_blocks_per_seq = paged ? pages_ld(c) : 1,
        .n_blocks = paged ? pages_needed(c) : 1 + tokens / 16,
        .block_size = paged ? c->block_size : 16,
        .n_layers = 2,
        .n_heads = max_int(c->heads, 1),
        .n_kv_heads = max_int(c->kv_heads, 1),
        .head_dim = max_int(c->head_dim, 1),
        .max_cols = max_int(max_int(2 * c->N, c->K), c->heads * c->head_dim) + 1,
        .vocab_size = max_int(c->N, 1),
        .kv_dtype = paged ? c->dtype : DT_F32,
    };
    const bool rotates = c->op == CASE_ROPE || c->op == CASE_LINEAR_QKV;
    const struct rope_params *rope = rotates ? &c->rope : NULL;
    if (be->ops->reserve(be, &limits, rope, &err) != STATUS_OK) {
        fprintf(stderr, "optest: %s\n", err.message);
        be->ops->close(be);
        return NULL;
    }
    return be;
}

/* Values are exact in f16: at most 11 significant bits, no subnormals. */
static uint16_t to_f16(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    const uint32_t sign = u >> 16 & 0x8000, exponent = u >> 23 & 0xff;
    if (exponent == 0) return (uint16_t)sign;
    CHECK(exponent > 112 && exponent < 143 && (u & 0x1fff) == 0);
    return (uint16_t)(sign | (exponent - 112) << 10 | (u >> 13 & 0x3ff));
}

static void *encode(const float *values, size_t n, enum dtype dtype)
{
    char *p = malloc(n * dtype_size(dtype) + 1);
    CHECK(p);
    for (size_t i = 0; i < n; i++) {
        if (dtype == DT_F32) memcpy(p + 4 * i, &values[i], 4);
        if (dtype == DT_BF16) memcpy(p + 2 * i, (const char *)&values[i] + 2, 2);
        if (dtype == DT_F16) {
            const uint16_t h = to_f16(values[i]);
            memcpy(p + 2 * i, &h, 2);
        }
    }
    return p;
}

/* The rows come in three uneven parts where there are enough of them. */
static void split_parts(struct weight_source *src, const char *data, int rows, int cols)
{
    const size_t row_size = (size_t)cols * dtype_size(src->dtype);
    const int first = rows / 2, second = rows / 3;
    const int parts[3] = {first, second, rows - first - second};
    int at = 0;
    for (int i = 0; i < 3; i++) {
        if (parts[i] == 0) continue;
        src->parts[src->n_parts].data = data + (size_t)at * row_size;
        src->parts[src->n_parts++].rows = parts[i];
        at += parts[i];
    }
}

struct weight *case_weight(struct backend *be, const float *values, int rows, int cols,
                           enum dtype dtype, enum weight_kind kind, enum quant_scheme quant,
                           const float *bias)
{
    char *data = encode(values, (size_t)rows * (size_t)cols, dtype);
    char *bias_data = bias ? encode(bias, (size_t)rows, dtype) : NULL;
    struct weight_source b = {.n_parts = 1, .cols = rows, .dtype = dtype, .kind = WEIGHT_VECTOR};
    b.parts[0].data = bias_data;
    b.parts[0].rows = 1;
    struct weight_source src = {
        .cols = cols, .dtype = dtype, .kind = kind, .quant = quant, .bias = bias ? &b : NULL};
    split_parts(&src, data, rows, cols);
    struct weight *w = NULL;
    struct error err = {0};
    if (be->ops->weight_prepare(be, &src, &w, &err) != STATUS_OK)
        fprintf(stderr, "optest: weight_prepare: %s\n", err.message);
    free(data);
    free(bias_data);
    return w;
}

/* --- row operators --- */

void case_copy_rows(const struct tensor *t, float *out, size_t out_ld)
{
    for (int r = 0; r < t->rows; r++) {
        for (int c = 0; c < t->cols; c++) {
            const size_t at = (size_t)r * (size_t)t->ld + (size_t)c;
            out[(size_t)r * out_ld + (size_t)c] = t->dtype == DT_I8
                                                      ? (float)((const int8_t *)t->data)[at]
                                                      : ((const float *)t->data)[at];
        }
        if (t->dtype == DT_I8) out[(size_t)r * out_ld + out_ld - 1] = t->scale[r];
    }
}

static bool run_linear(const struct op_case *c, const struct inputs *in, int row0, int n_rows,
                       struct backend *be, float *out)
{
    struct guarded x, q, y;
    struct weight *w = case_weight(be, in->w, c->N, c->K, c->dtype, WEIGHT_LINEAR, case_scheme(c),
                                   c->bias ? in->bias : NULL);
    if (!w || !guard_alloc(be, DT_F32, n_rows, c->K, &x) ||
        !guard_alloc(be, DT_F32, n_rows, c->N, &y))
        return false;
    guard_fill(&x, in->x + (size_t)row0 * (size_t)c->K, (size_t)c->K);
    CHECK((be->ops->activation_dtype(be, w) == DT_I8) == c->quant);
    bool ok = true;
    if (c->quant) {
        if (!guard_alloc(be, DT_I8, n_rows, c->K, &q)) return false;
        be->ops->quantize(be, q.view, x.view);
        be->ops->linear(be, y.view, q.view, w);
    } else {
        be->ops->linear(be, y.view, x.view, w);
    }
    run_settle(be);
    if (c->quant) ok = guard_intact(&q, "quantize");
    case_copy_rows(&y.view, out, (size_t)c->N);
    be->ops->weight_free(be, w);
    return ok && guard_intact(&y, "linear") && guard_intact(&x, "linear's input");
}

struct row_buffers {
    struct guarded x, y, out, wide; /* wide: f32 before quantisation, in compositions */
    struct weight *w;
};

static void run_norms(const struct op_case *c, struct backend *be, struct row_buffers *b,
                      bool composed)
{
    const struct backend_ops *ops = be->ops;
    struct tensor x = b->x.view;
    const struct tensor out = b->out.view;
    if (c->op == CASE_ADD_RMSNORM) {
        x = b->y.view; /* the residual */
        if (!composed) {
            (c->quant ? ops->add_rmsnorm_quant : ops->add_rmsnorm)(be, out, x, b->x.view, b->w,
                                                                   EPS);
            return;
        }
        ops->add(be, x, b->x.view);
    }
    if (!c->quant) {
        ops->rmsnorm(be, out, x, b->w, EPS);
    } else if (!composed) {
        ops->rmsnorm_quant(be, out, x, b->w, EPS);
    } else {
        ops->rmsnorm(be, b->wide.view, x, b->w, EPS);
        ops->quantize(be, out, b->wide.view);
    }
}

static void run_row_op(const struct op_case *c, struct backend *be, struct row_buffers *b,
                       bool composed)
{
    const struct backend_ops *ops = be->ops;
    switch (c->op) {
    case CASE_RMSNORM:
    case CASE_ADD_RMSNORM:
        run_norms(c, be, b, composed);
        return;
    case CASE_HEAD_NORM:
        ops->head_norm(be, b->x.view, c->heads, b->w, EPS);
        return;
    case CASE_ADD:
        ops->add(be, b->x.view, b->y.view);
        return;
    case CASE_QUANTIZE:
        ops->quantize(be, b->out.view, b->x.view);
        return;
    case CASE_SILU_MUL:
        if (c->quant && composed) {
            ops->silu_mul(be, b->wide.view, b->x.view);
            ops->quantize(be, b->out.view, b->wide.view);
        } else {
            (c->quant ? ops->silu_mul_quant : ops->silu_mul)(be, b->out.view, b->x.view);
        }
        return;
    case CASE_EMBED:
        ops->embed(be, b->out.view, b->w);
        return;
    default:
        CHECK(!"a row operator");
    }
}

static bool run_rows(const struct op_case *c, const struct inputs *in, const struct case_part *part,
                     int n_rows, struct backend *be, float *out)
{
    struct row_buffers b = {0};
    const bool silu = c->op == CASE_SILU_MUL, embed = c->op == CASE_EMBED;
    const int x_cols = silu ? 2 * c->N : c->N,
              gain_cols = c->op == CASE_HEAD_NORM ? c->head_dim : c->N;
    const enum dtype out_dtype = c->quant ? DT_I8 : DT_F32;
    b.w = embed ? case_weight(be, in->w, c->K, c->N, c->dtype, WEIGHT_EMBED, QUANT_NONE, NULL)
                : case_weight(be, in->w, 1, gain_cols, c->dtype, WEIGHT_VECTOR, QUANT_NONE, NULL);
    if (!b.w || !guard_alloc(be, DT_F32, n_rows, x_cols, &b.x) ||
        !guard_alloc(be, DT_F32, n_rows, c->N, &b.y) ||
        !guard_alloc(be, DT_F32, n_rows, c->N, &b.wide) ||
        !guard_alloc(be, out_dtype, n_rows, c->N, &b.out))
        return false;
    guard_fill(&b.x, in->x + (size_t)part->row0 * (size_t)x_cols, (size_t)x_cols);
    guard_fill(&b.y, in->y + (size_t)part->row0 * (size_t)c->N, (size_t)c->N);
    int32_t *zeros = calloc((size_t)n_rows, sizeof *zeros);
    CHECK(zeros);
    const struct step step = {
        .n_tokens = n_rows, .token_ids = in->ids + part->row0, .positions = zeros, .slots = zeros};
    if (embed) be->ops->step_upload(be, &step);
    run_row_op(c, be, &b, part->composed);
    run_settle(be);
    free(zeros);

    const bool in_place = c->op == CASE_HEAD_NORM || c->op == CASE_ADD;
    case_copy_rows(in_place ? &b.x.view : &b.out.view, out, (size_t)case_cols(c));
    if (c->op == CASE_ADD_RMSNORM) case_copy_rows(&b.y.view, out + c->N, (size_t)case_cols(c));
    be->ops->weight_free(be, b.w);
    return guard_intact(&b.x, "first operand") && guard_intact(&b.y, "second operand") &&
           guard_intact(&b.out, "output") && guard_intact(&b.wide, "intermediate");
}

static bool run_rope(const struct op_case *c, const struct inputs *in, int row0, int n_rows,
                     struct backend *be, float *out)
{
    struct guarded q, k;
    const int q_cols = c->heads * c->head_dim, k_cols = c->kv_heads * c->head_dim;
    if (!guard_alloc(be, DT_F32, n_rows, q_cols, &q) ||
        !guard_alloc(be, DT_F32, n_rows, k_cols, &k))
        return false;
    guard_fill(&q, in->x + (size_t)row0 * (size_t)q_cols, (size_t)q_cols);
    guard_fill(&k, in->y + (size_t)row0 * (size_t)k_cols, (size_t)k_cols);
    int32_t *ints = calloc(2 * (size_t)n_rows, sizeof *ints), *rope_len = ints + n_rows;
    CHECK(ints);
    for (int i = 0; i < n_rows; i++) rope_len[i] = c->positions[row0 + i] + 1;
    const struct step step = {.n_tokens = n_rows,
                              .token_ids = ints,
                              .positions = c->positions + row0,
                              .slots = ints,
                              .rope_len = rope_len};
    const struct attn_shape shape = {
        .n_heads = c->heads, .n_kv_heads = c->kv_heads, .head_dim = c->head_dim};
    be->ops->step_upload(be, &step);
    be->ops->rope(be, q.view, k.view, shape);
    run_settle(be);
    case_copy_rows(&q.view, out, (size_t)case_cols(c));
    case_copy_rows(&k.view, out + q_cols, (size_t)case_cols(c));
    free(ints);
    return guard_intact(&q, "queries") && guard_intact(&k, "keys");
}

/* --- products and what follows them --- */

/* x as the linear reads it; false where something failed. */
static bool product_inputs(const struct op_case *c, const struct inputs *in, int row0, int n_rows,
                           struct backend *be, const struct weight *w, struct guarded *x,
                           struct guarded *q)
{
    if (!w || !guard_alloc(be, DT_F32, n_rows, c->K, x)) return false;
    guard_fill(x, in->x + (size_t)row0 * (size_t)c->K, (size_t)c->K);
    CHECK((be->ops->activation_dtype(be, w) == DT_I8) == c->quant);
    if (!c->quant) return true;
    if (!guard_alloc(be, DT_I8, n_rows, c->K, q)) return false;
    be->ops->quantize(be, q->view, x->view);
    return true;
}

static bool run_linear_silu_mul(const struct op_case *c, const struct inputs *in,
                                const struct case_part *part, int n_rows, struct backend *be,
                                float *out)
{
    struct guarded x, q, y, gate_up;
    struct weight *w =
        case_weight(be, in->w, 2 * c->N, c->K, c->dtype, WEIGHT_LINEAR, case_scheme(c), NULL);
    if (!product_inputs(c, in, part->row0, n_rows, be, w, &x, &q) ||
        !guard_alloc(be, DT_F32, n_rows, 2 * c->N, &gate_up) ||
        !guard_alloc(be, c->quant ? DT_I8 : DT_F32, n_rows, c->N, &y))
        return false;
    const struct tensor rows = c->quant ? q.view : x.view;
    if (part->composed) {
        be->ops->linear(be, gate_up.view, rows, w);
        (c->quant ? be->ops->silu_mul_quant : be->ops->silu_mul)(be, y.view, gate_up.view);
    } else {
        op_linear_silu_mul(be, y.view, gate_up.view, rows, w);
    }
    run_settle(be);
    case_copy_rows(&y.view, out, (size_t)case_cols(c));
    be->ops->weight_free(be, w);
    return guard_intact(&y, "linear_silu_mul") && guard_intact(&gate_up, "its gate|up");
}

static bool run_linear_qkv(const struct op_case *c, const struct inputs *in,
                           const struct case_part *part, int n_rows, struct backend *be, float *out)
{
    struct guarded x, q, y;
    struct weight *w =
        case_weight(be, in->w, c->N, c->K, c->dtype, WEIGHT_LINEAR, case_scheme(c), NULL);
    struct head_norms n = {.eps = EPS};
    const int E = c->head_dim;
    if (c->norms) {
        n.q = case_weight(be, in->y, 1, E, c->dtype, WEIGHT_VECTOR, QUANT_NONE, NULL);
        n.k = case_weight(be, in->y + E, 1, E, c->dtype, WEIGHT_VECTOR, QUANT_NONE, NULL);
    }
    if (!product_inputs(c, in, part->row0, n_rows, be, w, &x, &q) ||
        !guard_alloc(be, DT_F32, n_rows, c->N, &y))
        return false;
    int32_t *ints = calloc(3 * (size_t)n_rows, sizeof *ints), *slots = ints + n_rows;
    CHECK(ints);
    for (int i = 0; i < n_rows; i++) {
        slots[i] = i;
        ints[2 * n_rows + i] = c->positions[part->row0 + i] + 1;
    }
    const struct step step = {.n_tokens = n_rows,
                              .token_ids = ints,
                              .positions = c->positions + part->row0,
                              .slots = slots,
                              .rope_len = ints + 2 * n_rows};
    const struct attn_shape s = {.n_heads = c->heads, .n_kv_heads = c->kv_heads, .head_dim = E};
    const struct tensor rows = c->quant ? q.view : x.view;
    be->ops->step_upload(be, &step);
    if (part->composed) {
        be->ops->linear(be, y.view, rows, w);
        const struct tensor qs = tensor_cols(y.view, 0, c->heads * E);
        const struct tensor ks = tensor_cols(y.view, c->heads * E, c->kv_heads * E);
        if (c->norms) {
            be->ops->head_norm(be, qs, c->heads, n.q, EPS);
            be->ops->head_norm(be, ks, c->kv_heads, n.k, EPS);
        }
        be->ops->rope(be, qs, ks, s);
    } else {
        op_linear_qkv(be, y.view, rows, w, be->ops->kv_layer(be, 1), s, n);
    }
    run_settle(be);
    case_copy_rows(&y.view, out, (size_t)c->N);
    free(ints);
    be->ops->weight_free(be, w);
    be->ops->weight_free(be, (struct weight *)(uintptr_t)n.q);
    be->ops->weight_free(be, (struct weight *)(uintptr_t)n.k);
    return guard_intact(&y, "linear_qkv");
}

bool case_run(const struct op_case *c, const struct inputs *in, const struct case_part *part,
              struct backend *be, float *out)
{
    const int n_rows = part->n_rows ? part->n_rows : c->T;
    if (c->op == CASE_ATTENTION) return case_run_attention(c, in, part, be, out);
    if (c->op == CASE_LINEAR) return run_linear(c, in, part->row0, n_rows, be, out);
    if (c->op == CASE_LINEAR_SILU_MUL) return run_linear_silu_mul(c, in, part, n_rows, be, out);
    if (c->op == CASE_LINEAR_QKV) return run_linear_qkv(c, in, part, n_rows, be, out);
    if (c->op == CASE_ROPE) return run_rope(c, in, part->row0, n_rows, be, out);
    return run_rows(c, in, part, n_rows, be, out);
}
