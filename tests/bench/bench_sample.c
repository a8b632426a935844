/* bench_sample - microseconds of one row's sample on one thread, for vocabularies of three sizes,
 * three shapes of logits and the usual parameters; median and least of the repetitions.
 *
 *   bench_sample [--isa NAME] [--rows N] [--reps N] [--only WORD]
 *
 * Rows are taken in turn: one stays in the second-level cache, many come from farther away.
 *   peaked  falls with the logarithm of the rank, as language does: the best has a third
 *   wide    normal, deviation 2.5
 *   flat    normal, deviation 0.3: a model of random weights */

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/rng.h"
#include "config/base/str.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY = 2000, MAX_REPS = 1000 };

static const int sizes[] = {32000, 128256, 151936};
static const char *const shapes[] = {"peaked", "wide", "flat"};

static const struct way {
    const char *name;
    float temperature, min_p;
    int top_k;
    float top_p;
    bool penalties;
    int n_logprobs;
} ways[] = {
    {"greedy", 0, 0, 0, 1, false, -1},
    {"temperature", 0.8f, 0, 0, 1, false, -1},
    {"top-k 50", 1, 0, 50, 1, false, -1},
    {"top-p 0.9", 1, 0, 0, 0.9f, false, -1},
    {"top-p 0.95", 1, 0, 0, 0.95f, false, -1},
    {"min-p 0.05", 1, 0.05f, 0, 1, false, -1},
    {"all three", 0.8f, 0.001f, 50, 0.95f, false, -1},
    {"greedy, penalties", 0, 0, 0, 1, true, -1},
    {"all three, penalties", 0.8f, 0.001f, 50, 0.95f, true, -1},
    {"greedy, logprobs 5", 0, 0, 0, 1, false, 5},
    {"top-p 0.9, logprobs 5", 1, 0, 0, 0.9f, false, 5},
};

static void fill(struct rng *r, float *x, int V, int shape)
{
    for (int i = 0; i < V; i++) x[i] = (float)(rng_normal(r) * (shape == 1 ? 2.5 : 0.3));
    if (shape != 0) return;
    int *rank = malloc((size_t)V * sizeof *rank);
    if (!rank) exit(1);
    for (int i = 0; i < V; i++) rank[i] = i;
    for (int i = V - 1; i > 0; i--) {
        const int j = (int)rng_below(r, (uint64_t)i + 1), t = rank[i];
        rank[i] = rank[j];
        rank[j] = t;
    }
    for (int i = 0; i < V; i++) x[i] += 18 - 1.5f * logf((float)rank[i] + 1);
    free(rank);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench {
    const struct cpu_kernels *kernels;
    const char *only;
    int64_t n_rows, n_reps;
    int V;
    float *x; /* [n_rows][V] */
    void *scratch;
    int32_t history[HISTORY];
};

static struct sampling_params params_of(const struct way *w)
{
    struct sampling_params p = {.temperature = w->temperature,
                                .min_p = w->min_p,
                                .top_k = w->top_k,
                                .top_p = w->top_p,
                                .repetition_penalty = 1,
                                .seed = 7,
                                .n_logprobs = w->n_logprobs};
    if (w->penalties) {
        p.repetition_penalty = 1.1f;
        p.frequency_penalty = 0.1f;
    }
    return p;
}

static void measure(const struct bench *b, const struct way *w, const char *shape)
{
    static double us[MAX_REPS];
    const struct sampling_params p = params_of(w);
    struct sample_out out;
    for (int i = -3; i < b->n_reps; i++) { /* the first ones are to warm up */
        const struct step_sample row = {.target = -1,
                                        .n_output = i + 3,
                                        .n_prompt = HISTORY / 2,
                                        .n_history = HISTORY,
                                        .history = b->history,
                                        .params = &p};
        const float *x = b->x + (size_t)((i + 3) % b->n_rows) * (size_t)b->V;
        const uint64_t start = clock_now_ns();
        cpu_sample_row_by(b->kernels, x, b->V, &row, b->scratch, &out);
        if (i >= 0) us[i] = (double)(clock_now_ns() - start) * 1e-3;
    }
    qsort(us, (size_t)b->n_reps, sizeof us[0], by_size);
    printf("%7d  %-7s %-22s %9.1f %9.1f\n", b->V, shape, w->name, us[b->n_reps / 2], us[0]);
}

static void measure_all(struct bench *b)
{
    struct rng r = {1};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        b->V = sizes[s];
        for (int i = 0; i < HISTORY; i++)
            b->history[i] = (int32_t)rng_below(&r, (uint64_t)sizes[s]);
        for (int shape = 0; shape < 3; shape++) {
            for (int i = 0; i < b->n_rows; i++)
                fill(&r, b->x + (size_t)i * (size_t)b->V, b->V, shape);
            for (size_t w = 0; w < ARRAY_LEN(ways); w++)
                if (!b->only || strstr(ways[w].name, b->only)) measure(b, &ways[w], shapes[shape]);
        }
    }
}

static bool read_options(struct bench *b, const char **isa, int argc, char **argv)
{
    if (argc % 2 == 0) return false;
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--isa") == 0)
            *isa = value;
        else if (strcmp(argv[i], "--only") == 0)
            b->only = value;
        else if (strcmp(argv[i], "--rows") != 0 && strcmp(argv[i], "--reps") != 0)
            return false;
        else if (!parse_i64(value, argv[i][4] == 'o' ? &b->n_rows : &b->n_reps))
            return false;
    }
    return b->n_rows >= 1 && b->n_rows <= 64 && b->n_reps >= 1 && b->n_reps <= MAX_REPS;
}

int main(int argc, char **argv)
{
    static struct bench b = {.n_rows = 4, .n_reps = 60};
    const char *isa = "auto";
    if (!read_options(&b, &isa, argc, argv)) {
        fprintf(stderr, "usage: bench_sample [--isa NAME] [--rows N] [--reps N] [--only WORD]\n");
        return 2;
    }
    struct error err;
    if (cpu_kernels_choose(isa, &b.kernels, &err) != STATUS_OK) {
        fprintf(stderr, "bench_sample: %s\n", err.message);
        return 2;
    }
    const int V = sizes[ARRAY_LEN(sizes) - 1];
    b.x = calloc((size_t)b.n_rows * (size_t)V, sizeof *b.x);
    b.scratch = aligned_alloc(64, cpu_sample_scratch_size(V));
    if (!b.x || !b.scratch) return 1;
    printf("      V  logits  parameters           median us     least   (%s)\n", b.kernels->name);
    measure_all(&b);
    free(b.x);
    free(b.scratch);
    return 0;
}
