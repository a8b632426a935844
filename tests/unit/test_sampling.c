/* Sampling against a float64 reference that sorts: the kept set, the distribution, the penalties,
 * the log-probabilities, and that a draw depends on nothing but its own row. */

#include "config/base/rng.h"
#include "engine/cpu/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { V_MAX = 1003 };

static struct sampling_params plain(void)
{
    return (struct sampling_params){
        .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7, .n_logprobs = -1};
}

static struct step_sample row_of(const struct sampling_params *p)
{
    return (struct step_sample){.target = -1, .mode = SAMPLE_DRAW, .params = p};
}

static struct sample_out sample(const float *x, int V, const struct step_sample *row)
{
    static void *scratch;
    if (!scratch) scratch = aligned_alloc(64, cpu_sample_scratch_size(V_MAX));
    struct sample_out out;
    cpu_sample_row(x, V, row, scratch, &out);
    return out;
}

struct item {
    double x;
    int id;
};
static int by_value(const void *a, const void *b)
{
    const struct item *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? 1 : -1;
    return p->id - q->id;
}

/* Probabilities after temperature, min_p, top_k, top_p, in this order, by sorting in double. */
static void reference_probs(const float *x, int V, const struct sampling_params *p, double *prob)
{
    struct item items[V_MAX];
    for (int i = 0; i < V; i++) items[i] = (struct item){(double)(x[i] / p->temperature), i};
    qsort(items, (size_t)V, sizeof items[0], by_value);
    const double max = items[0].x;
    int n = V;
    if (p->min_p > 0)
        while (n > 1 && exp(items[n - 1].x - max) < (double)p->min_p) n--;
    if (p->top_k > 0 && p->top_k < n) {
        int k = p->top_k;
        while (k < n && items[k].x == items[p->top_k - 1].x) k++;
        n = k;
    }
    double total = 0;
    for (int i = 0; i < n; i++) total += exp(items[i].x - max);
    double mass = 0;
    int kept = 0;
    while (kept < n && mass < (double)p->top_p * total) mass += exp(items[kept++].x - max);
    for (int i = 0; i < V; i++) prob[i] = 0;
    for (int i = 0; i < kept; i++) prob[items[i].id] = exp(items[i].x - max) / mass;
}

static void fill_logits(struct rng *r, float *x, int V, double spread)
{
    for (int i = 0; i < V; i++) x[i] = (float)(rng_normal(r) * spread);
    x[V / 2] = x[V / 3]; /* a tie */
}

static void test_greedy_takes_the_lowest_best(void **state)
{
    (void)state;
    struct sampling_params p = plain();
    p.temperature = 0;
    const struct step_sample row = row_of(&p);
    float x[40];
    for (int i = 0; i < 40; i++) x[i] = -1;
    x[37] = x[21] = 5;
    assert_int_equal(sample(x, 40, &row).token, 21);
    x[39] = 6;
    assert_int_equal(sample(x, 40, &row).token, 39);
    x[3] = NAN;
    assert_int_equal(sample(x, 40, &row).token, 39);
}

/* Chi-square of 20,000 draws against the reference distribution. */
static void check_distribution(const float *x, int V, struct sampling_params p)
{
    enum { DRAWS = 20000 };
    double prob[V_MAX];
    int *count = calloc((size_t)V, sizeof *count);
    reference_probs(x, V, &p, prob);
    struct step_sample row = row_of(&p);
    for (int i = 0; i < DRAWS; i++) {
        row.n_output = i;
        const int token = sample(x, V, &row).token;
        assert_true(prob[token] > 0); /* never outside the kept set */
        count[token]++;
    }
    double chi = 0, rest_expected = 0;
    int df = -1, rest = 0;
    for (int i = 0; i < V; i++) {
        const double e = prob[i] * DRAWS;
        if (e >= 8) {
            chi += (count[i] - e) * (count[i] - e) / e;
            df++;
        } else {
            rest_expected += e;
            rest += count[i];
        }
    }
    if (rest_expected >= 8) {
        chi += (rest - rest_expected) * (rest - rest_expected) / rest_expected;
        df++;
    }
    /* mean df, deviation sqrt(2 df): five deviations never happen by chance with a fixed seed */
    if (df > 0) assert_true(chi < df + 5 * sqrt(2.0 * df) + 5);
    free(count);
}

static void test_distribution_matches_reference(void **state)
{
    (void)state;
    struct rng r = {11};
    float x[V_MAX];
    const int sizes[] = {5, 64, V_MAX};
    for (int s = 0; s < 3; s++) {
        fill_logits(&r, x, sizes[s], 2.0);
        struct sampling_params p = plain();
        check_distribution(x, sizes[s], p);
        p.temperature = 0.6f;
        check_distribution(x, sizes[s], p);
        p.top_k = 3;
        check_distribution(x, sizes[s], p);
        p.top_k = 0;
        p.top_p = 0.7f;
        check_distribution(x, sizes[s], p);
        p.top_k = 20;
        p.min_p = 0.05f;
        check_distribution(x, sizes[s], p);
    }
}

static void test_kept_set_is_exact(void **state)
{
    (void)state;
    struct rng r = {5};
    float x[V_MAX];
    for (int round = 0; round < 300; round++) {
        const int V = 2 + (int)rng_below(&r, 200);
        fill_logits(&r, x, V, 0.3);
        struct sampling_params p = plain();
        p.top_p = (float)(0.02 + 0.9 * rng_unit(&r));
        p.top_k = (int32_t)rng_below(&r, 12);
        double prob[V_MAX];
        reference_probs(x, V, &p, prob);
        bool seen[V_MAX] = {0};
        struct step_sample row = row_of(&p);
        for (int i = 0; i < 2000; i++) {
            row.n_output = i;
            seen[sample(x, V, &row).token] = true;
        }
        for (int i = 0; i < V; i++) {
            if (seen[i]) assert_true(prob[i] > 0);
            if (prob[i] > 0.01) assert_true(seen[i]);
        }
    }
}

static void test_draw_depends_on_seed_choice_and_position(void **state)
{
    (void)state;
    struct rng r = {3};
    float x[300];
    fill_logits(&r, x, 300, 0.5);
    struct sampling_params p = plain(), q = plain();
    q.seed = 8;
    int same_seed = 0, same_choice = 0, same_position = 0;
    for (int i = 0; i < 200; i++) {
        struct step_sample a = row_of(&p), b = row_of(&q);
        a.n_output = b.n_output = i;
        const int token = sample(x, 300, &a).token;
        assert_int_equal(token, sample(x, 300, &a).token);
        same_seed += token == sample(x, 300, &b).token;
        a.choice = 1;
        same_choice += token == sample(x, 300, &a).token;
        a.choice = 0;
        a.n_output = i + 1;
        same_position += token == sample(x, 300, &a).token;
    }
    assert_true(same_seed < 20 && same_choice < 20 && same_position < 20);
}

static void test_penalties_and_bias(void **state)
{
    (void)state;
    float x[8] = {4, 3, -2, 1, 0, 0, 0, 0};
    const int32_t history[] = {0, 0, 2, /* output: */ 1, 1, 3};
    struct sampling_params p = plain();
    p.temperature = 0;
    p.repetition_penalty = 2;
    p.frequency_penalty = 1;
    p.presence_penalty = 0.5f;
    struct step_sample row = row_of(&p);
    row.history = history;
    row.n_prompt = 3;
    row.n_history = 6;
    /* 0: 4/2 = 2; 1: 3/2 - 2 - 0.5 = -1; 2: -4; 3: 0.5 - 1.5 = -1; others 0 */
    assert_int_equal(sample(x, 8, &row).token, 0);
    const struct logit_bias bias[] = {{0, -100}, {6, 0.25f}};
    p.bias = bias;
    p.n_bias = 2;
    assert_int_equal(sample(x, 8, &row).token, 6);
    const int32_t stop[] = {6};
    p.stop_ids = stop;
    p.n_stop_ids = 1;
    p.min_tokens = 1;
    assert_int_equal(sample(x, 8, &row).token, 4);
    row.n_output = 1;
    assert_int_equal(sample(x, 8, &row).token, 6);
}

static void test_logprobs(void **state)
{
    (void)state;
    struct rng r = {9};
    float x[V_MAX];
    fill_logits(&r, x, V_MAX, 3);
    double max = -1e9, sum = 0;
    for (int i = 0; i < V_MAX; i++) max = fmax(max, (double)x[i]);
    for (int i = 0; i < V_MAX; i++) sum += exp((double)x[i] - max);
    struct sampling_params p = plain();
    p.n_logprobs = 5;
    p.temperature = 0.1f; /* must not show in the logprobs */
    struct step_sample row = row_of(&p);
    row.mode = SAMPLE_SCORE;
    row.target = 17;
    const struct sample_out out = sample(x, V_MAX, &row);
    assert_int_equal(out.token, 17);
    assert_true(fabs((double)out.logprob - ((double)x[17] - max - log(sum))) < 1e-5);
    int rank = 1;
    for (int i = 0; i < V_MAX; i++) rank += x[i] > x[17];
    assert_int_equal(out.rank, rank);
    assert_int_equal(out.n_top, 5);
    for (int k = 0; k < 5; k++) {
        int better = 0;
        for (int i = 0; i < V_MAX; i++)
            better +=
                x[i] > x[out.top[k].token] || (x[i] == x[out.top[k].token] && i < out.top[k].token);
        assert_int_equal(better, k);
        assert_true(fabs((double)out.top[k].logprob -
                         ((double)x[out.top[k].token] - max - log(sum))) < 1e-5);
    }
}

static void test_hostile_rows(void **state)
{
    (void)state;
    float x[64];
    struct sampling_params p = plain();
    p.top_p = 0.5f;
    p.top_k = 3;
    p.n_logprobs = 20;
    const struct step_sample row = row_of(&p);
    const float values[] = {NAN, -INFINITY, INFINITY, 0, 3e38f, -3e38f};
    for (size_t v = 0; v < 6; v++) {
        for (int i = 0; i < 64; i++) x[i] = values[v];
        const int token = sample(x, 64, &row).token;
        assert_true(token >= 0 && token < 64);
    }
    p.temperature = 1e-38f;
    for (int i = 0; i < 64; i++) x[i] = (float)i;
    assert_int_equal(sample(x, 64, &row).token, 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_takes_the_lowest_best),
        cmocka_unit_test(test_distribution_matches_reference),
        cmocka_unit_test(test_kept_set_is_exact),
        cmocka_unit_test(test_draw_depends_on_seed_choice_and_position),
        cmocka_unit_test(test_penalties_and_bias),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_hostile_rows),
    };
    return cmocka_run_group_tests_name("sampling", tests, NULL, NULL);
}
