/* A CPU step whose rows go through the model in blocks gives the bits of one that goes through it
 * whole: sequences that end in the middle of a block, samples of any row, copied blocks, ids that the
 * step before has drawn. */

#include "config/base/file.h"
#include "tests/unit/direct_model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N_SLOTS = 5, BLOCK = 16, MAX_LEN = 64, MAX_TOKENS = 96, N_STEPS = 4 };

struct outcome {
    int n[N_STEPS];
    struct sample_out samples[N_STEPS][MAX_TOKENS];
};

static char model_dir[400];
static int32_t ids[N_SLOTS][MAX_LEN];
static struct sampling_params greedy, drawn;

static void add(struct direct_model *d, int slot, int from, int to)
{
    builder_add(&d->b, slot, ids[slot], from, to, 20);
}

/* A draw of the last row, and of every third row of the step scores of two tokens. */
static void ask(struct direct_model *d)
{
    const int T = d->b.step.n_tokens;
    for (int row = 0; row < T; row++) {
        if (row % 3 == 1) {
            builder_sample(&d->b, row, 7 + row, 0, &greedy);
            builder_sample(&d->b, row, 90 + row, 0, &greedy);
        }
        if (row % 3 == 2 || row == T - 1) builder_sample(&d->b, row, -1, row, &drawn);
    }
}

static void run(struct direct_model *d, struct outcome *out, int i)
{
    struct step_result result = {.samples = out->samples[i]};
    struct error err = {0};
    const struct step *s = &d->b.step;
    struct step_dims dims = {.n_tokens = s->n_tokens};
    for (int k = 0; k < s->n_samples; k++)
        dims.n_logits += k == 0 || s->samples[k].row != s->samples[k - 1].row;
    memset(out->samples[i], 0, sizeof out->samples[i]);
    d->be->ops->step_upload(d->be, s);
    direct_need(d->be->ops->run(d->be, &dims, model_forward, &d->model, &err), &err);
    direct_need(d->be->ops->step_download(d->be, &result, &err), &err);
    assert_int_equal(result.id, s->id);
    out->n[i] = result.n_samples;
}

static void run_steps(struct direct_model *d, struct outcome *out)
{
    int i = 0;
    builder_begin(&d->b);
    add(d, 0, 0, 21);
    add(d, 1, 0, 5);
    add(d, 2, 0, 32);
    ask(d);
    run(d, out, i++);

    /* Slot 4 goes on from a copy of slot 2's blocks; slot 0 from what the last step has drawn. */
    struct block_copy copies[2];
    for (int k = 0; k < 2; k++)
        copies[k] = (struct block_copy){builder_block(&d->b, 2, k), builder_block(&d->b, 4, k)};
    int32_t src[MAX_TOKENS];
    memset(src, -1, sizeof src);
    builder_begin(&d->b);
    d->b.step.n_copies = 2;
    d->b.step.copies = copies;
    d->b.step.token_src = src;
    add(d, 0, 21, 22);
    d->b.token_ids[0] = -1;
    src[0] = out->n[0] - 1;
    add(d, 1, 5, 40);
    add(d, 2, 32, 33);
    src[d->b.step.n_tokens - 1] = 2;
    d->b.token_ids[d->b.step.n_tokens - 1] = -1;
    add(d, 3, 0, 9);
    add(d, 4, 24, 50);
    ask(d);
    run(d, out, i++);

    builder_begin(&d->b); /* no samples at all */
    add(d, 3, 9, 38);
    run(d, out, i++);

    builder_begin(&d->b);
    add(d, 0, 22, 23);
    add(d, 1, 40, 41);
    add(d, 2, 33, 34);
    add(d, 3, 38, 39);
    add(d, 4, 50, 51);
    ask(d);
    run(d, out, i++);
    assert_int_equal(i, N_STEPS);
}

static void same(const struct outcome *a, const struct outcome *b, int rows)
{
    for (int i = 0; i < N_STEPS; i++) {
        assert_int_equal(a->n[i], b->n[i]);
        for (int k = 0; k < a->n[i]; k++) {
            const struct sample_out *x = &a->samples[i][k], *y = &b->samples[i][k];
            if (x->token != y->token || x->rank != y->rank || x->n_top != y->n_top ||
                memcmp(&x->logprob, &y->logprob, sizeof x->logprob) != 0 ||
                memcmp(x->top, y->top, (size_t)x->n_top * sizeof *x->top) != 0)
                fail_msg("blocks of %d rows, step %d, sample %d: token %d, %.9g; whole: %d, %.9g",
                         rows, i, k, y->token, (double)y->logprob, x->token, (double)x->logprob);
        }
    }
}

static void check(enum quant_scheme quant, enum dtype kv)
{
    static struct outcome whole, blocks;
    struct direct_options o = {.dir = model_dir,
                               .isa = "auto",
                               .dtype = DT_F32,
                               .kv_dtype = kv,
                               .quant = quant,
                               .n_slots = N_SLOTS,
                               .block_size = BLOCK,
                               .max_len = MAX_LEN,
                               .max_tokens = MAX_TOKENS,
                               .n_threads = 2};
    static const int forward_rows[] = {0, 6, 12, 30, 48};
    for (size_t i = 0; i < ARRAY_LEN(forward_rows); i++) {
        struct direct_model d;
        o.forward_rows = forward_rows[i];
        assert_true(direct_open(&d, &o));
        assert_int_equal(d.model.residual.rows, i == 0 ? MAX_TOKENS : forward_rows[i]);
        run_steps(&d, i == 0 ? &whole : &blocks);
        direct_close(&d);
        if (i > 0) same(&whole, &blocks, forward_rows[i]);
    }
}

static void test_float(void **state)
{
    (void)state;
    check(QUANT_NONE, DT_F32);
    check(QUANT_NONE, DT_BF16);
}

static void test_int8(void **state)
{
    (void)state;
    check(QUANT_INT8, DT_I8);
}

static int setup(void **state)
{
    char path[512];
    const char *shared = getenv("INFERD_SHARED");
    (void)state;
    snprintf(model_dir, sizeof model_dir, "%.300s/models/stories260K",
             shared ? shared : "../shared");
    snprintf(path, sizeof path, "%s/config.json", model_dir);
    if (!file_exists(path)) {
        print_message("%s is not there\n", model_dir);
        return -1;
    }
    uint32_t x = 1;
    for (int s = 0; s < N_SLOTS; s++)
        for (int i = 0; i < MAX_LEN; i++) {
            x = x * 1664525u + 1013904223u;
            ids[s][i] = (int32_t)(3 + (x >> 16) % 500);
        }
    memcpy(ids[4], ids[2], 24 * sizeof ids[4][0]); /* what is kept of the copied blocks */
    greedy = builder_greedy(3);
    drawn = builder_greedy(2);
    drawn.temperature = 0.9f;
    drawn.seed = 11;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_int8),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
