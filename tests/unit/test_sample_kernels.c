/* Sampling over large vocabularies: each table of kernels against a float64 reference that sorts,
 * token by token, and against the plain one, bit by bit. */

#include "config/base/check.h"
#include "config/base/rng.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { V_MAX = 151936, MAX_TABLES = 4 };

static const struct cpu_kernels *tables[MAX_TABLES]; /* the plain one first */
static int n_tables;
static void *scratch;
static float *logits;

struct item {
    double x, mass;
    int id;
};
static struct item *items;

static int set_up(void **state)
{
    (void)state;
    static const char *const names[MAX_TABLES] = {"scalar", "avx2", "avx512", "avx512_bf16"};
    struct error err;
    for (int i = 0; i < MAX_TABLES; i++)
        n_tables += cpu_kernels_choose(names[i], &tables[n_tables], &err) == STATUS_OK;
    scratch = aligned_alloc(64, cpu_sample_scratch_size(V_MAX));
    logits = calloc(V_MAX, sizeof *logits);
    items = calloc(V_MAX, sizeof *items);
    return scratch && logits && items && n_tables > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(scratch);
    free(logits);
    free(items);
    return 0;
}

static struct sampling_params plain(void)
{
    return (struct sampling_params){
        .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7, .n_logprobs = -1};
}

/* The sample of every table: all equal. */
static struct sample_out sample(int V, const struct sampling_params *p, int n_output)
{
    const struct step_sample row = {.target = -1, .n_output = n_output, .params = p};
    struct sample_out first, out;
    for (int i = 0; i < n_tables; i++) {
        memset(&out, 0, sizeof out);
        cpu_sample_row_by(tables[i], logits, V, &row, scratch, &out);
        if (i == 0) first = out;
        assert_memory_equal(&first, &out, sizeof out);
    }
    return first;
}

enum shape { PEAKED, WIDE, FLAT, COARSE, EQUAL, N_SHAPES };

static void fill(struct rng *r, int V, enum shape shape)
{
    for (int i = 0; i < V; i++) {
        const double normal = rng_normal(r);
        if (shape == PEAKED) logits[i] = (float)(normal * 0.3 - 1.5 * log(1 + rng_unit(r) * V));
        if (shape == WIDE) logits[i] = (float)(normal * 2.5);
        if (shape == FLAT) logits[i] = (float)(normal * 0.1 - 20);
        if (shape == COARSE)
            logits[i] = (float)round(normal * 2); /* many ties, zeros of both signs */
        if (shape == EQUAL) logits[i] = -3;
    }
    if (shape == WIDE)
        for (int i = 0; i < V / 50; i++)
            logits[rng_below(r, (uint64_t)V)] = rng_below(r, 2) ? NAN : -INFINITY;
}

static int by_value(const void *a, const void *b)
{
    const struct item *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? 1 : -1;
    return p->id - q->id;
}

/* items[0..n): the tokens that are kept, best first. */
static int reference_kept(int V, const struct sampling_params *p)
{
    int n = 0;
    for (int i = 0; i < V; i++)
        if (logits[i] > -INFINITY) items[n++] = (struct item){(double)logits[i], 0, i};
    qsort(items, (size_t)n, sizeof items[0], by_value);
    const double max = items[0].x, t = (double)p->temperature;
    for (int i = 0; i < n; i++) items[i].mass = exp((items[i].x - max) / t);
    if (p->min_p > 0)
        while (items[n - 1].mass < (double)p->min_p) n--;
    if (p->top_k > 0 && p->top_k < n) {
        int k = p->top_k;
        while (k < n && items[k].x == items[p->top_k - 1].x) k++;
        n = k;
    }
    double total = 0, mass = 0;
    for (int i = n - 1; i >= 0; i--) total += items[i].mass;
    int kept = 0;
    while (kept < n && mass < (double)p->top_p * total) mass += items[kept++].mass;
    return p->top_p < 1 ? kept : n;
}

static int reference_draw(int n, const struct sampling_params *p, int n_output)
{
    double best = -INFINITY;
    int token = -1;
    for (int i = 0; i < n; i++) {
        uint32_t noise[4];
        rng_philox(p->seed, (uint64_t)n_output, (uint64_t)items[i].id >> 2, noise);
        const double u = (double)rng_open01(noise[items[i].id & 3]);
        const double score = items[i].x / (double)p->temperature - log(-log(u));
        if (score > best || (score == best && items[i].id < token)) {
            best = score;
            token = items[i].id;
        }
    }
    return token;
}

static void check_draws(int V, const struct sampling_params *p, int n_draws)
{
    const int n = reference_kept(V, p);
    for (int i = 0; i < n_draws; i++)
        assert_int_equal(sample(V, p, i).token, reference_draw(n, p, i));
}

static void test_tokens_are_those_of_the_reference(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 31, 65, 1003, 2049, 32000, 128256, V_MAX};
    struct rng r = {21};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        const int n_draws = sizes[s] < 5000 ? 20 : 2;
        for (int shape = 0; shape < N_SHAPES; shape++) {
            fill(&r, sizes[s], shape);
            struct sampling_params p = plain();
            check_draws(sizes[s], &p, n_draws);
            p.temperature = 0.7f;
            p.top_k = 50;
            check_draws(sizes[s], &p, n_draws);
            p.top_k = 1 + (int32_t)rng_below(&r, (uint64_t)sizes[s]);
            p.top_p = 0.9f;
            check_draws(sizes[s], &p, n_draws);
            p.top_k = 0;
            for (int i = 0; i < 4; i++) {
                p.temperature = (float)(0.5 + rng_unit(&r));
                p.top_p = (float)pow(rng_unit(&r), i == 0 ? 0.1 : 0.5);
                check_draws(sizes[s], &p, n_draws);
            }
            p.min_p = 0.02f;
            check_draws(sizes[s], &p, n_draws);
        }
    }
}

/* What is kept, exactly: with little difference between the tokens each of the kept ones is drawn
 * soon, and no other ever. */
static void test_edges_of_the_kept_set(void **state)
{
    (void)state;
    enum { V = 4096, DRAWS = 3000 };
    for (int i = 0; i < V; i++) logits[i] = i % 512 == 5 ? 1.0f : -50.0f; /* eight of them */
    struct sampling_params p = plain();
    p.top_p = 0.5f;
    bool seen[V] = {0};
    for (int i = 0; i < DRAWS; i++) seen[sample(V, &p, i).token] = true;
    for (int i = 0; i < V; i++)
        assert_int_equal(seen[i], i % 512 == 5 && i < V / 2); /* ties: lower ids */
    p.top_p = 1;
    p.top_k = 3;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < DRAWS; i++) seen[sample(V, &p, i).token] = true;
    for (int i = 0; i < V; i++)
        assert_int_equal(seen[i], i % 512 == 5); /* ties with the third stay */
}

/* Every N-th logit, which a guess from a sample may see alone, is unlike the others. */
static void test_a_bad_guess_changes_nothing(void **state)
{
    (void)state;
    struct rng r = {4};
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < V_MAX; i++) {
            const bool sampled = i % (V_MAX / 512) == 0;
            logits[i] = (float)(rng_normal(&r) * 0.2) + (sampled == (kind == 0) ? 4.0f : 0.0f);
        }
        struct sampling_params p = plain();
        p.top_p = 0.6f;
        check_draws(V_MAX, &p, 3);
        p.top_p = 0.05f;
        check_draws(V_MAX, &p, 3);
    }
}

static void test_logprobs_of_a_large_vocabulary(void **state)
{
    (void)state;
    struct rng r = {8};
    struct sampling_params p = plain();
    p.n_logprobs = 20;
    for (int shape = 0; shape < N_SHAPES; shape++) {
        fill(&r, V_MAX, shape);
        const struct sample_out out = sample(V_MAX, &p, shape);
        struct sampling_params all = plain();
        const int n = reference_kept(V_MAX, &all);
        double sum = 0;
        for (int i = n - 1; i >= 0; i--) sum += items[i].mass;
        const double lse = items[0].x + log(sum);
        assert_int_equal(out.n_top, 20);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(out.top[i].token, items[i].id);
            assert_true(fabs((double)out.top[i].logprob - (items[i].x - lse)) < 1e-5);
        }
        int rank = 1;
        for (int i = 0; i < n; i++) rank += items[i].x > (double)logits[out.token];
        assert_int_equal(out.rank, rank);
        assert_true(fabs((double)out.logprob - ((double)logits[out.token] - lse)) < 1e-5);
    }
}

static void test_greedy_and_penalties(void **state)
{
    (void)state;
    struct rng r = {6};
    fill(&r, V_MAX, FLAT);
    logits[70001] = logits[130002] = logits[151935] = 2;
    struct sampling_params p = plain();
    p.temperature = 0;
    assert_int_equal(sample(V_MAX, &p, 0).token, 70001);
    const struct logit_bias bias[] = {{70001, -1}};
    p.bias = bias;
    p.n_bias = 1;
    assert_int_equal(sample(V_MAX, &p, 0).token, 130002);
    logits[151935] = 3;
    assert_int_equal(sample(V_MAX, &p, 0).token, 151935);
}

/* Rows that no model should give: any token, but the same one from every table. */
static void test_hostile_rows_agree(void **state)
{
    (void)state;
    static const float values[] = {NAN, -INFINITY, INFINITY, 0.0f, -0.0f, 3e38f, -3e38f, 1e-45f};
    struct rng r = {12};
    for (int round = 0; round < 400; round++) {
        const int V = 1 + (int)rng_below(&r, 3000);
        const uint64_t n_values = 1 + rng_below(&r, ARRAY_LEN(values));
        for (int i = 0; i < V; i++) logits[i] = values[rng_below(&r, n_values)];
        struct sampling_params p = plain();
        p.temperature = round % 3 ? (float)rng_unit(&r) * 2 : 1e-38f * (float)rng_unit(&r);
        p.top_p = round % 2 ? 1.0f : 0.7f;
        p.top_k = (int32_t)rng_below(&r, 40);
        p.min_p = round % 5 ? 0.0f : 0.1f;
        const int token = sample(V, &p, round).token;
        assert_true(token >= 0 && token < V);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_are_those_of_the_reference),
        cmocka_unit_test(test_edges_of_the_kept_set),
        cmocka_unit_test(test_a_bad_guess_changes_nothing),
        cmocka_unit_test(test_logprobs_of_a_large_vocabulary),
        cmocka_unit_test(test_greedy_and_penalties),
        cmocka_unit_test(test_hostile_rows_agree),
    };
    return cmocka_run_group_tests_name("sample_kernels", tests, set_up, tear_down);
}
