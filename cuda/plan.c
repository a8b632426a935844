#include "cuda/plan.h"

#include "config/base/check.h"
#include "cuda/attention.h"
#include "cuda/linear.h"
#include "cuda/resources.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* llama-3.1-8b */
enum { D = 4096, H = 32, G = 8, E = 128, F = 14336, V = 128256, LAYERS = 32, BLOCK = 16 };
enum { H200_SMS = 132, MAX_SEQS = 64, KERNELS_MAX = 4 };

struct plan_step {
    const char *name;
    int n_seqs, rows_each, context; /* rows of each sequence, tokens in its cache afterwards */
};
static const struct plan_step steps[] = {{"decode 1 x 4096", 1, 1, 4096},
                                         {"decode 8 x 4096", 8, 1, 4096},
                                         {"decode 64 x 4096", 64, 1, 4096},
                                         {"prompt 512", 1, 512, 512},
                                         {"prompt 2048", 1, 2048, 2048}};

struct plan_table {
    void (*add)(void *ctx, const char *line);
    void *ctx;
    const struct plan_step *step;
    const char *type, *arch;
    double bytes, flops, ns; /* of the step so far */
    int launches;
    char kernels[KERNELS_MAX][64]; /* of the next row */
    int n_kernels;
};

/* A kernel of the next row, in the order of launches. */
__attribute__((format(printf, 2, 3))) static void kernel(struct plan_table *t, const char *name,
                                                         ...)
{
    va_list args;
    CHECK(t->n_kernels < KERNELS_MAX);
    va_start(args, name);
    vsnprintf(t->kernels[t->n_kernels++], sizeof t->kernels[0], name, args);
    va_end(args);
}

/* What the compiler gave kernel `name`: registers, static shared memory, spills; "-" for each where
 * that is not known: in a build without nvcc, and of cuBLASLt's kernels. */
static void describe(const struct plan_table *t, const char *name, char *out, size_t size)
{
    const bool ours = strncmp(name, "k_", 2) == 0;
    for (const struct kernel_resources *r = cuda_resources(); ours && r->kernel; r++) {
        if (strcmp(r->kernel, name) != 0 || strcmp(r->arch, t->arch) != 0) continue;
        snprintf(out, size, "%5d %6d %6d  %s", r->registers, r->shared, r->spills, name);
        return;
    }
    const char *missing = ours && cuda_resources()->kernel ? " (not in this build)" : "";
    snprintf(out, size, "%5s %6s %6s  %s%s", "-", "-", "-", name, missing);
}

/* One operator that runs `times` in a step, each time in `pieces` launches of each of its kernels. */
static void row(struct plan_table *t, const char *name, int times, int pieces, struct linear_cost c)
{
    const int launches = pieces * t->n_kernels;
    char line[200], resources[120];
    for (int i = 0; i < t->n_kernels; i++) {
        describe(t, t->kernels[i], resources, sizeof resources);
        if (i == 0)
            snprintf(line, sizeof line, "%-16s %-5s %-11s %5d %10.3f %9.3f %9.2f %s", t->step->name,
                     t->type, name, times * launches, c.bytes / 1e6, c.flops / 1e9, c.ns / 1e3,
                     resources);
        else
            snprintf(line, sizeof line, "%70s %s", "", resources);
        t->add(t->ctx, line);
    }
    t->n_kernels = 0;
    t->bytes += c.bytes * times;
    t->flops += c.flops * times;
    t->ns += c.ns * times;
    t->launches += times * launches;
}

static struct linear_cost memory_bound(double bytes)
{
    return (struct linear_cost){.bytes = bytes, .ns = bytes / linear_rates_h200.bytes * 1e9};
}

/* The instances that linear_*.cu choose for a plan of bf16 or W8A8. */
static void linear_kernels(struct plan_table *t, const struct linear_plan *p, bool int8, bool x16,
                           bool pair)
{
    const char *op = int8 ? "op_w8a8" : "op_bf16";
    const int wm = p->tile_m > 64 ? 2 : 1, wk = p->tile_n < 128 ? 4 : 2 / wm; /* warps */
    if (p->form == LINEAR_ROWS_BF16) kernel(t, "k_linear_rows<rows_bf16, true>");
    if (p->path == LINEAR_GEMV)
        kernel(t, "k_linear_gemv<%s, %d, %s>", op, p->tile_n / 16, x16 ? "true" : "false");
    if (p->path == LINEAR_TILE)
        kernel(t, "k_linear_tile<%s, %d, %d, %d, %d, %s>", op, p->tile_n / 32, wm, wk,
               p->tile_m / wm, pair ? "true" : "false");
    if (p->path == LINEAR_BLAS) kernel(t, "cuBLASLt");
    if (p->path == LINEAR_BLAS && int8) kernel(t, "k_linear_scale");
}

static struct linear_shape shape_of(bool int8, bool x16, int rows, int n, int k)
{
    return (struct linear_shape){
        .type = int8 ? LINEAR_W8A8 : LINEAR_BF16,
        .rows = rows,
        .n = n,
        .k = k,
        .x_aligned = true,
        .blas = true,
        .n_sms = H200_SMS,
        .x_size = LINEAR_SCRATCH,
        .sums_len = LINEAR_SCRATCH / sizeof(int32_t),
        .x16 = x16,
    };
}

static bool can_fuse(bool int8, int rows, int n, int k)
{
    const struct linear_shape s = shape_of(int8, !int8, rows, n, k);
    const struct linear_plan p = linear_choose(&s);
    return linear_can_fuse(&s, &p);
}

/* x16: rows come rounded, as all but lm_head's do.  `more`: bytes of what follows in the same kernel; `pair`: of gate and up, with SiLU behind it. */
static void linear(struct plan_table *t, const char *name, int times, bool int8, bool x16, int rows,
                   int n, int k, double more, bool pair)
{
    const struct linear_shape s = shape_of(int8, x16 && !int8, rows, n, k);
    const struct linear_plan p = linear_choose(&s);
    struct linear_cost c = linear_estimate(&s, &linear_rates_h200);
    c.bytes += c.extra + more;
    c.ns += more / linear_rates_h200.bytes * 1e9;
    const int pieces = (rows + p.rows_per_call - 1) / p.rows_per_call;
    linear_kernels(t, &p, int8, s.x16, pair);
    row(t, name, times, pieces, c);
}

static void attention(struct plan_table *t)
{
    const struct plan_step *p = t->step;
    int32_t q_start[MAX_SEQS + 1], kv_len[MAX_SEQS];
    for (int i = 0; i <= p->n_seqs; i++) q_start[i] = i * p->rows_each;
    for (int i = 0; i < p->n_seqs; i++) kv_len[i] = p->context;
    const struct backend_limits l = {
        .n_heads = H, .n_kv_heads = G, .head_dim = E, .block_size = BLOCK, .kv_dtype = DT_BF16};
    const struct step step = {.n_seqs = p->n_seqs, .q_start = q_start, .kv_len = kv_len};
    const struct attn_cost a = attention_cost(&l, 0, &step);
    kernel(t, "k_attention_mma<mma_config<%d, __nv_bfloat16, 8, 2, 227> >", E);
    row(t, "attention", LAYERS, 1,
        (struct linear_cost){.bytes = a.bytes, .flops = a.ops, .ns = a.seconds * 1e9});
}

/* The order of engine/model.c. */
static void whole_step(struct plan_table *t, bool int8)
{
    const int T = t->step->n_seqs * t->step->rows_each, R = t->step->n_seqs;
    kernel(t, "k_embed<__nv_bfloat16>");
    const double rows = T, act = int8 ? 1 : 2; /* bytes of a norm's, attention's or SiLU's output */
    const double heads = rows * E * (8.0 * (H + G) + 4.0 * G + 2.0 * 2 * G), o = rows * H * E;
    /* Fused, gate|up stores its activation only: f32 on its way to int8, of which it reads it again. */
    const double silu = rows * F * (8 + act), pair = rows * F * (int8 ? 4.0 + 4 + 1 - 8 : 2.0 - 8);
    const bool fused = can_fuse(int8, T, 2 * F, D), quantises = int8 && T > ATTN_QUANT_MAX;
    row(t, "embed", 1, 1, memory_bound(rows * D * 6));
    kernel(t, "k_norm<8>");
    row(t, "add+norm", 2 * LAYERS, 1, memory_bound(rows * D * (12 + act)));
    linear(t, fused ? "qkv+rope+kv" : "qkv", LAYERS, int8, true, T, (H + 2 * G) * E, D,
           fused ? heads : 0, false);
    if (!fused) {
        kernel(t, "k_norm_rope_kv_write");
        row(t, "rope+kv", LAYERS, 1, memory_bound(heads));
    }
    attention(t);
    if (quantises) {
        kernel(t, "k_quantize<8, float>");
        row(t, "quantise", LAYERS, 1, memory_bound(o * 5));
    }
    linear(t, "o", LAYERS, int8, true, T, D, H * E, 0, false);
    linear(t, fused ? "gate_up+silu" : "gate_up", LAYERS, int8, true, T, 2 * F, D, fused ? pair : 0,
           fused);
    if (!fused) {
        kernel(t, "k_silu_mul<32>");
        row(t, "silu*mul", LAYERS, 1, memory_bound(silu));
    }
    linear(t, "down", LAYERS, int8, true, T, D, F, 0, false);
    kernel(t, "k_norm<8>");
    row(t, "final norm", 1, 1, memory_bound(rows * D * 16));
    kernel(t, "k_gather_rows");
    row(t, "gather", 1, 1, memory_bound(8.0 * R * D));
    if (int8) {
        kernel(t, "k_quantize<8, float>");
        row(t, "quantise", 1, 1, memory_bound(5.0 * R * D));
    }
    linear(t, "lm_head", 1, int8, false, R, V, D, 0, false);
    kernel(t, "k_sample_scan");
    kernel(t, "k_sample_cut");
    kernel(t, "k_sample_draw");
    kernel(t, "k_sample_report");
    row(t, "sample", 1, 1, memory_bound(4.0 * R * V));
}

static bool has_arch(const char *arch)
{
    if (!cuda_resources()->kernel) return true;
    for (const struct kernel_resources *r = cuda_resources(); r->kernel; r++)
        if (strcmp(r->arch, arch) == 0) return true;
    return false;
}

bool cuda_print_plan(void (*add)(void *ctx, const char *line), void *ctx, const char *arch)
{
    char line[200];
    if (!has_arch(arch)) return false;
    snprintf(line, sizeof line, "%-16s %-5s %-11s %5s %10s %9s %9s %5s %6s %6s  kernel, for %s",
             "step", "type", "operator", "runs", "MB each", "GFLOP", "us each", "regs", "shared",
             "spills", arch);
    add(ctx, line);
    for (size_t i = 0; i < 2 * ARRAY_LEN(steps); i++) {
        const bool int8 = i % 2;
        struct plan_table t = {.add = add,
                               .ctx = ctx,
                               .step = &steps[i / 2],
                               .type = int8 ? "int8" : "bf16",
                               .arch = arch};
        whole_step(&t, int8);
        snprintf(line, sizeof line, "%-16s %-5s %-11s %5d %10.0f %9.0f %9.0f", t.step->name, t.type,
                 "whole step", t.launches, t.bytes / 1e6, t.flops / 1e9, t.ns / 1e3);
        add(ctx, line);
    }
    return true;
}
