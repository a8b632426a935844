/* optest - every operator against float64, on every instruction set that this CPU has, or on a GPU.
 *
 *   optest [--isa X] [--filter TEXT] [--verbose]     correctness
 *   optest --bench [--isa X] [--filter TEXT]         bandwidth and arithmetic rate
 *   optest --backend cuda [--plugin FILE] ...        the same of the plug-in, beside one CPU table
 *   optest --plan [--plugin FILE] [--arch sm_90]     bytes, operations and bounds of whole steps there,
 *                                                    registers of their kernels
 *
 * A case passes when, on each instruction set: the answer agrees with float64 (bit for bit where
 * the inputs are integers); nothing outside the output was written; two threads give the bits of
 * one; a row alone gives the bits it has in the batch (attention: a sequence alone, and in chunks
 * of any size); fused forms give the bits of their parts; and integer-exact operators give the
 * same bits on all instruction sets, and on the GPU.  A GPU chooses its kernel by the number of rows:
 * there a row alone has to have the bits it has in the batch where the operator works on integers or
 * on rows, chunks of a sequence and floating-point linears have to be right.  What rounds its inputs
 * (case_input_form) is compared with float64 on inputs that were rounded alike.
 *
 * Attention by vdpbf16ps or tensor cores, and over an int8 cache on every CPU, also rounds its weights,
 * and by where its tiles lie, which float64 does not know: random cases have a tolerance for that, and
 * cases whose weights need no rounding have none. */
#include "config/base/check.h"
#include "engine/plugin.h"
#include "tests/ops/run.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ABS_TOLERANCE 2e-5 /* of the output's root mean square */
#define REL_TOLERANCE 2e-5
#define SIMILARITY    1e-5 /* 1 - 2 x.y / (x.x + y.y) */
/* Rounded weights, of the root mean square of the output, or of its row where that is larger.
 * bf16: each weight is off by a third of 2^-8 of itself (rms), so is their sum of independent
 * values: 1.1e-3, and twice that in rows of few keys; int8: by 2^-15 of the largest, of up to 256 in
 * a tile: 2.8e-4 where one outweighs all, and twice that where the scale of its value is half of the
 * largest.  Five times that is a limit for thousands of outputs. */
#define ROUNDED_BF16 1e-2
#define ROUNDED_I8   3e-3

static const char *const all_isas[] = {"scalar", "avx2", "avx2_vnni", "avx512", "avx512_bf16"};

struct options {
    const char *isa, *filter, *plugin, *arch;
    bool bench, verbose, cuda, plan;
};

struct tally {
    const struct options *options;
    const char *isas[ARRAY_LEN(all_isas) + 1];
    int n_isas;
    int passed, failed;
};

/* --- comparison --- */

static bool fail(const struct op_case *c, const char *isa, const char *what, size_t at, double got,
                 double want)
{
    char name[200];
    case_name(c, name, sizeof name);
    const size_t cols = (size_t)case_cols(c);
    fprintf(stderr, "FAIL %s [%s]: %s: row %zu column %zu is %.9g, wanted %.9g\n", name, isa, what,
            at / cols, at % cols, got, want);
    return false;
}

static bool same_bits(const struct op_case *c, const char *isa, const char *what, const float *got,
                      const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            return fail(c, isa, what, i, (double)got[i], (double)want[i]);
    return true;
}

static double row_rms(const struct op_case *c, const double *row)
{
    double sum = 0;
    for (int i = 0; i < case_cols(c); i++) sum += row[i] * row[i];
    return sqrt(sum / case_cols(c));
}

static double tolerance(const struct op_case *c, const char *isa)
{
    if (c->op != CASE_ATTENTION || c->powers || c->dtype == DT_F32) return ABS_TOLERANCE;
    if (strcmp(isa, BACKEND_CUDA) == 0) return case_has_mma(c) ? ROUNDED_BF16 : ABS_TOLERANCE;
    if (c->dtype == DT_I8) return ROUNDED_I8;
    return case_input_form(c, isa) == INPUTS_BF16 ? ROUNDED_BF16 : ABS_TOLERANCE;
}

static bool close_enough(const struct op_case *c, const char *isa, const float *got,
                         const double *want, size_t n)
{
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += (double)got[i] * (double)got[i];
        yy += want[i] * want[i];
        xy += (double)got[i] * want[i];
    }
    const double rms = sqrt(yy / (double)n);
    const double allowed = tolerance(c, isa);
    /* Tensor cores get weights rounded against the row's own maximum and a sum of weights that are not:
     * where one key has nearly all the weight, its rounding, up to 2^-8 of it, is the output's. */
    const bool by_mma = strcmp(isa, BACKEND_CUDA) == 0 && allowed == ROUNDED_BF16;
    const double relative = by_mma ? 1.0 / 256 : REL_TOLERANCE;
    double size = rms;
    for (size_t i = 0; i < n; i++) {
        /* Rows that see few keys have larger outputs, and errors, than the others. */
        if (allowed > ABS_TOLERANCE && i % (size_t)case_cols(c) == 0)
            size = fmax(rms, row_rms(c, want + i));
        const double limit = allowed * size + relative * fabs(want[i]);
        if (!(fabs((double)got[i] - want[i]) <= limit)) /* NaN fails */
            return fail(c, isa, "float64", i, (double)got[i], want[i]);
    }
    const double apart = xx + yy > 0 ? 1 - 2 * xy / (xx + yy) : 0;
    return apart < SIMILARITY || fail(c, isa, "similarity to float64", 0, apart, 0);
}

/* Integers times scale, to half a step; the largest integer is 127. */
static bool quantised_right(const struct op_case *c, const char *isa, const float *got,
                            const double *want)
{
    const int cols = case_cols(c);
    for (int r = 0; r < case_rows(c); r++, got += cols, want += cols) {
        const double scale = (double)got[cols - 1];
        int largest = 0;
        for (int i = 0; i < c->N; i++) {
            const double slack = scale * 0.501 + 1e-5 * fabs(want[i]);
            if (!(fabs((double)got[i] * scale - want[i]) <= slack))
                return fail(c, isa, "quantised value", (size_t)(r * cols + i),
                            (double)got[i] * scale, want[i]);
            if (abs((int)got[i]) > largest) largest = abs((int)got[i]);
        }
        if (largest != 127 && scale != 0)
            return fail(c, isa, "largest integer", (size_t)(r * cols), largest, 127);
        for (int i = c->N; i < cols - 1; i++) /* the residual beside it */
            if (got[i] != (float)want[i])
                return fail(c, isa, "residual", (size_t)(r * cols + i), (double)got[i], want[i]);
    }
    return true;
}

static bool right(const struct op_case *c, const char *isa, const float *got, const double *want)
{
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    if (case_cols(c) != c->N && c->quant) return quantised_right(c, isa, got, want);
    if (!c->exact) return close_enough(c, isa, got, want, n);
    for (size_t i = 0; i < n; i++)
        if (got[i] != (float)want[i])
            return fail(c, isa, "exact answer", i, (double)got[i], want[i]);
    return true;
}

/* --- one case on one instruction set --- */

static float *alloc_floats(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    CHECK(p);
    return p;
}

/* Single rows give the bits they have among all rows. */
static bool rows_alone(const struct op_case *c, const struct inputs *in, const char *isa,
                       struct backend *be, const float *whole)
{
    const int wanted[] = {0, c->T / 2, c->T - 1};
    const size_t cols = (size_t)case_cols(c);
    float *out = alloc_floats(cols);
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(wanted) && ok && c->T > 1; i++) {
        const struct case_part part = {.row0 = wanted[i], .n_rows = 1, .seq = -1};
        ok = case_run(c, in, &part, be, out) &&
             same_bits(c, isa, "a row alone", out, whole + (size_t)wanted[i] * cols, cols);
    }
    free(out);
    return ok;
}

/* Sequences alone and in chunks give the bits they have in one step of all. */
static bool chunks_alone(const struct op_case *c, const struct inputs *in, const char *isa,
                         struct backend *be, const float *whole)
{
    static const int chunks[] = {1, 7, 64};
    const size_t cols = (size_t)case_cols(c), n = (size_t)case_rows(c) * cols;
    float *out = alloc_floats(n);
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(chunks) && ok; i++) {
        const struct case_part part = {.seq = -1, .chunk = chunks[i]};
        ok = case_run(c, in, &part, be, out) && same_bits(c, isa, "in chunks", out, whole, n);
    }
    size_t at = 0;
    for (int s = 0; s < c->n_seqs && ok && c->n_seqs > 1; s++) {
        const struct case_part part = {.seq = s};
        const size_t len = c->len[s] > c->skip ? (size_t)(c->len[s] - c->skip) * cols : 0;
        ok = case_run(c, in, &part, be, out) &&
             same_bits(c, isa, "a sequence alone", out, whole + at, len);
        at += len;
    }
    free(out);
    return ok;
}

static bool has_fused_form(const struct op_case *c)
{
    if (c->op == CASE_ADD_RMSNORM || (case_is_product(c) && c->op != CASE_LINEAR)) return true;
    return c->quant && (c->op == CASE_RMSNORM || c->op == CASE_SILU_MUL || c->op == CASE_ATTENTION);
}

/* Sequences in chunks are right, alone they have the bits they have among others. */
static bool chunks_right(const struct op_case *c, const struct inputs *in, const char *isa,
                         struct backend *be, const double *want)
{
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    const struct case_part part = {.seq = -1, .chunk = 7};
    float *out = alloc_floats(n);
    const bool ok = case_run(c, in, &part, be, out) && right(c, isa, out, want);
    free(out);
    return ok;
}

static bool run_cuda(const struct op_case *c, const struct inputs *in, const double *want,
                     float *out)
{
    const char *isa = BACKEND_CUDA;
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    const struct case_part all = {.seq = -1}, composed = {.seq = -1, .composed = true};
    struct backend *be = case_open(c, isa, 1);
    float *other = alloc_floats(n);
    bool ok = be && case_run(c, in, &all, be, out) && right(c, isa, out, want);
    if (ok && has_fused_form(c))
        ok = case_run(c, in, &composed, be, other) &&
             same_bits(c, isa, "the fused form's parts", other, out, n);
    if (ok && c->op == CASE_ATTENTION)
        ok = chunks_right(c, in, isa, be, want);
    else if (ok && (!case_is_product(c) || c->quant))
        ok = rows_alone(c, in, isa, be, out);
    free(other);
    if (be) be->ops->close(be);
    return ok;
}

static bool run_isa(const struct op_case *c, const struct inputs *in, const char *isa,
                    const double *want, float *out)
{
    if (strcmp(isa, BACKEND_CUDA) == 0) return run_cuda(c, in, want, out);
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    const struct case_part all = {.seq = -1}, composed = {.seq = -1, .composed = true};
    struct backend *one = case_open(c, isa, 1), *two = case_open(c, isa, 2);
    float *other = alloc_floats(n);
    bool ok = one && two && case_run(c, in, &all, one, out) && right(c, isa, out, want);
    if (ok)
        ok = case_run(c, in, &all, two, other) && same_bits(c, isa, "two threads", other, out, n);
    if (ok && has_fused_form(c))
        ok = case_run(c, in, &composed, one, other) &&
             same_bits(c, isa, "the fused form's parts", other, out, n);
    if (ok)
        ok = c->op == CASE_ATTENTION ? chunks_alone(c, in, isa, one, out)
                                     : rows_alone(c, in, isa, one, out);
    free(other);
    if (one) one->ops->close(one);
    if (two) two->ops->close(two);
    return ok;
}

static double *reference_of(const struct op_case *c, const struct inputs *in)
{
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    double *want = calloc(n ? n : 1, sizeof *want);
    CHECK(want);
    reference_run(c, in, want);
    return want;
}

/* The answer for inputs that become something else first. */
static double *reference_of_form(const struct op_case *c, const struct inputs *in,
                                 enum input_form form)
{
    struct inputs changed = *in;
    changed.queries_as_they_are = form == QUERIES_AS_THEY_ARE || form == QUERIES_BF16;
    if (form == QUERIES_AS_THEY_ARE) return reference_of(c, &changed);
    const size_t n = inputs_x_len(c);
    changed.x = alloc_floats(n);
    for (size_t i = 0; i < n; i++)
        changed.x[i] =
            form == INPUTS_F16 ? reference_round_f16(in->x[i]) : reference_round_bf16(in->x[i]);
    double *want = reference_of(c, &changed);
    free(changed.x);
    return want;
}

/* One case on one instruction set or device; `first`: what the first one gave, NULL for itself. */
static bool run_case_on(const struct op_case *c, const struct inputs *in, const char *isa,
                        const double *want, float *out, const float *first, const char *first_isa)
{
    const bool cuda = strcmp(isa, BACKEND_CUDA) == 0;
    const enum input_form form = case_input_form(c, isa);
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    double *changed = form == INPUTS_AS_THEY_ARE ? NULL : reference_of_form(c, in, form);
    bool ok = run_isa(c, in, isa, changed ? changed : want, out);
    /* A GPU adds the products of floating-point linears in another order. */
    const bool other_order = cuda && c->op == CASE_LINEAR && !c->quant;
    if (ok && first && case_same_on_every_isa(c) && !changed && !other_order)
        ok = same_bits(c, isa, first_isa, out, first, n);
    free(changed);
    return ok;
}

static void run_case(const struct op_case *c, void *arg)
{
    struct tally *t = arg;
    char name[200];
    case_name(c, name, sizeof name);
    if (c->bench || (t->options->filter && !strstr(name, t->options->filter))) return;
    const size_t n = (size_t)case_rows(c) * (size_t)case_cols(c);
    struct inputs in;
    inputs_make(c, &in);
    double *want = reference_of(c, &in);
    float *first = alloc_floats(n), *out = alloc_floats(n);
    bool ok = true;
    for (int i = 0; i < t->n_isas && ok; i++) {
        if (strcmp(t->isas[i], BACKEND_CUDA) == 0 && c->int4) continue; /* refused there */
        ok = run_case_on(c, &in, t->isas[i], want, i ? out : first, i ? first : NULL, t->isas[0]);
    }
    if (t->options->verbose) printf("%s %s\n", ok ? "ok  " : "FAIL", name);
    t->passed += ok;
    t->failed += !ok;
    free(out);
    free(first);
    free(want);
    inputs_free(&in);
}

/* --- main --- */

/* The instruction sets to test: the one asked for, or all that the CPU has. */
static bool choose_isas(struct tally *t)
{
    const bool cuda = t->options->cuda;
    for (size_t i = 0; i < ARRAY_LEN(all_isas); i++) {
        if (t->options->isa && strcmp(t->options->isa, all_isas[i]) != 0) continue;
        if (cuda && strcmp(all_isas[i], "avx2") != 0) continue;
        struct backend *be;
        struct error err = {0};
        if (cpu_backend_open(&be, 1, all_isas[i], &err) == STATUS_OK) {
            be->ops->close(be);
            t->isas[t->n_isas++] = all_isas[i];
        } else {
            fprintf(stderr, "optest: not tested: %s\n", err.message);
        }
    }
    if (!cuda) return t->n_isas > 0;
    struct backend *be;
    struct error err = {0};
    run_use_plugin(t->options->plugin);
    if (run_backend_open(&be, BACKEND_CUDA, 1, &err) != STATUS_OK) {
        fprintf(stderr, "optest: %s\n", err.message);
        return false;
    }
    printf("optest: on %s\n", be->isa);
    be->ops->close(be);
    t->isas[t->n_isas++] = BACKEND_CUDA;
    return true;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--bench") == 0)
            o->bench = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            o->verbose = true;
        else if (strcmp(argv[i], "--backend") == 0 && more)
            o->cuda = strcmp(argv[++i], BACKEND_CUDA) == 0;
        else if (strcmp(argv[i], "--plan") == 0)
            o->plan = true;
        else if (strcmp(argv[i], "--plugin") == 0 && more)
            o->plugin = argv[++i];
        else if (strcmp(argv[i], "--arch") == 0 && more)
            o->arch = argv[++i];
        else if (strcmp(argv[i], "--isa") == 0 && more)
            o->isa = argv[++i];
        else if (strcmp(argv[i], "--filter") == 0 && more)
            o->filter = argv[++i];
        else
            return false;
    }
    return true;
}

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    puts(line);
}

static int print_plan(const char *path, const char *arch)
{
    const struct plugin *p;
    struct error err = {0};
    if (plugin_load(&p, path, &err) != STATUS_OK) {
        fprintf(stderr, "optest: %s\n", err.message);
        return 1;
    }
    if (p->print_plan(print_line, NULL, arch)) return 0;
    fprintf(stderr, "optest: that plug-in has no kernels for %s\n", arch);
    return 1;
}

int main(int argc, char **argv)
{
    struct options o = {.arch = "sm_90"};
    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr, "usage: optest [--bench] [--isa NAME | --backend cpu|cuda "
                        "[--plugin FILE]] [--filter TEXT] [--verbose] | --plan [--plugin FILE] "
                        "[--arch sm_90]\n");
        return 2;
    }
    if (o.plan) return print_plan(o.plugin, o.arch);
    /* Every case opens a backend: its large buffers stay with malloc, or their page faults take longer
     * than the cases do. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    struct tally t = {.options = &o};
    if (!choose_isas(&t)) {
        fprintf(stderr, "optest: no instruction set to test\n");
        return 2;
    }
    if (o.bench) return bench_run(t.isas[t.n_isas - 1], o.filter);
    cases_each(run_case, &t);
    const bool steps = !o.filter || strcmp(o.filter, "steps") == 0;
    for (int i = 0; i < t.n_isas && steps; i++) {
        int n = 0;
        const int failed = steps_run(t.isas[i], &n);
        t.failed += failed;
        t.passed += n - failed;
    }
    printf("optest: %d cases passed, %d failed\n", t.passed, t.failed);
    return t.failed != 0 || t.passed == 0;
}
