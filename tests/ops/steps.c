/* What belongs to a step or to a backend's life, not to one operator's rows. */
#include "config/base/check.h"
#include "engine/ops.h"
#include "tests/ops/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define V 40 /* vocabulary of the small backend below */
#define D 24
#define T 6

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "FAIL %s:%d: %s\n", __FILE__, __LINE__, #condition); \
            return false;                                                        \
        }                                                                        \
    } while (0)

static const struct backend_limits small = {
    .max_tokens = 64,
    .max_seqs = 4,
    .max_samples = 8,
    .max_blocks_per_seq = 4,
    .n_blocks = 12,
    .block_size = 16,
    .n_layers = 2,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_dim = 8,
    .max_cols = 64,
    .vocab_size = V,
    .kv_dtype = DT_F32,
};
static const struct attn_shape small_shape = {
    .n_heads = 4, .n_kv_heads = 2, .head_dim = 8, .scale = 0.35f};
static const struct rope_params small_rope = {.type = ROPE_DEFAULT, .dim = 8, .theta = 10000};

static const int32_t zeros[64], ones[65] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

static float value(int i)
{
    return sinf((float)i * 1.7f);
}

static struct guarded rows_of(struct backend *be, int rows, int cols, int seed)
{
    struct guarded g;
    CHECK(guard_alloc(be, DT_F32, rows, cols, &g));
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            ((float *)g.view.data)[(size_t)r * (size_t)g.view.ld + (size_t)c] =
                value(seed + r * cols + c);
    return g;
}

static const float *row(const struct guarded *g, int r)
{
    return (const float *)g->view.data + (size_t)r * (size_t)g->view.ld;
}

/* --- ids that come from the previous step's samples --- */

static bool samples_feed_the_next_step(struct backend *be)
{
    const struct sampling_params greedy = {.top_p = 1, .repetition_penalty = 1, .n_logprobs = -1};
    /* rows 1, 3, 3 and 5 have samples: three distinct logits rows */
    const int sample_rows[] = {1, 3, 3, 5}, best[] = {7, 31, 0};
    struct step_sample samples[4];
    for (int i = 0; i < 4; i++)
        samples[i] = (struct step_sample){.row = sample_rows[i], .target = -1, .params = &greedy};
    struct step step = {.id = 9,
                        .n_tokens = T,
                        .n_samples = 4,
                        .token_ids = zeros,
                        .positions = zeros,
                        .slots = zeros,
                        .samples = samples};
    be->ops->step_upload(be, &step);

    struct guarded x = rows_of(be, T, D, 3), last = rows_of(be, 3, D, 0),
                   logits = rows_of(be, 3, V, 5);
    be->ops->gather_rows(be, last.view, x.view);
    run_settle(be);
    for (int i = 0; i < 3; i++)
        EXPECT(memcmp(row(&last, i), row(&x, 2 * i + 1), D * sizeof(float)) == 0);
    EXPECT(guard_intact(&last, "gather_rows"));

    for (int i = 0; i < 3; i++)
        ((float *)logits.view.data)[(size_t)i * (size_t)logits.view.ld + (size_t)best[i]] = 50;
    be->ops->sample(be, logits.view);
    struct sample_out out[4];
    struct step_result result = {.samples = out};
    struct error err = {0};
    EXPECT(be->ops->step_download(be, &result, &err) == STATUS_OK);
    EXPECT(result.id == 9 && result.n_samples == 4);
    EXPECT(out[0].token == 7 && out[1].token == 31 && out[2].token == 31 && out[3].token == 0);

    const int32_t ids[T] = {-1, 5, -1, -1, 0, 2}, src[T] = {1, -1, 0, 3, -1, -1};
    const int want[T] = {31, 5, 7, 0, 0, 2};
    step = (struct step){.id = 10,
                         .n_tokens = T,
                         .token_ids = ids,
                         .token_src = src,
                         .positions = zeros,
                         .slots = zeros};
    be->ops->step_upload(be, &step);
    float table[V * D];
    for (int i = 0; i < V * D; i++) table[i] = (float)i;
    struct weight *w = case_weight(be, table, V, D, DT_F32, WEIGHT_EMBED, QUANT_NONE, NULL);
    EXPECT(w);
    struct guarded e = rows_of(be, T, D, 0);
    be->ops->embed(be, e.view, w);
    run_settle(be);
    for (int t = 0; t < T; t++) EXPECT(row(&e, t)[0] == (float)(want[t] * D));
    be->ops->weight_free(be, w);
    return guard_intact(&e, "embed");
}

/* --- cache --- */

/* One sequence of `n` tokens in pages `table`; its last token attends. */
static struct step sequence_step(const int32_t *table, const int32_t *kv_len, const int32_t *slots,
                                 const int32_t *positions, const int32_t *q_start, int n)
{
    return (struct step){.n_tokens = n,
                         .n_seqs = 1,
                         .token_ids = zeros,
                         .positions = positions,
                         .slots = slots,
                         .rope_len = positions,
                         .q_start = q_start,
                         .kv_len = kv_len,
                         .block_tables = table,
                         .block_table_ld = 2};
}

static bool copied_blocks_hold_the_same(struct backend *be)
{
    int32_t slots[20], positions[20];
    const int32_t table[] = {3, 5}, copy[] = {8, 2}, all[] = {0, 20}, n[] = {20}, last[] = {0, 1};
    const struct block_copy copies[] = {{3, 8}, {5, 2}};
    for (int i = 0; i < 20; i++) {
        positions[i] = i;
        slots[i] = table[i / 16] * 16 + i % 16;
    }
    struct guarded k = rows_of(be, 20, 16, 1), v = rows_of(be, 20, 16, 7);
    struct step step = sequence_step(table, n, slots, positions, all, 20);
    be->ops->step_upload(be, &step);
    for (int layer = 0; layer < 2; layer++)
        be->ops->kv_write(be, be->ops->kv_layer(be, layer), k.view, v.view);

    struct guarded q = rows_of(be, 1, 32, 2), a = rows_of(be, 1, 32, 0), b = rows_of(be, 1, 32, 0);
    step = sequence_step(table, n, slots + 19, positions + 19, last, 1);
    be->ops->step_upload(be, &step);
    be->ops->attention(be, a.view, q.view, be->ops->kv_layer(be, 1), small_shape);

    step.block_tables = copy;
    step.copies = copies;
    step.n_copies = 2;
    be->ops->step_upload(be, &step);
    be->ops->copy_blocks(be);
    for (int layer = 0; layer < 2; layer++) {
        be->ops->attention(be, b.view, q.view, be->ops->kv_layer(be, layer), small_shape);
        run_settle(be);
        EXPECT(memcmp(row(&a, 0), row(&b, 0), 32 * sizeof(float)) == 0);
    }
    return true;
}

static bool fused_rope_writes_the_same(struct backend *be)
{
    const int32_t table[] = {4, 6}, other[] = {7, 9}, n[] = {T}, all[] = {0, T};
    int32_t slots[T], other_slots[T];
    for (int i = 0; i < T; i++) {
        slots[i] = table[0] * 16 + i;
        other_slots[i] = other[0] * 16 + i;
    }
    const struct head_norms none = {0};
    struct guarded q[2], k[2], v[2], out[2];
    for (int i = 0; i < 2; i++) {
        q[i] = rows_of(be, T, 32, 1);
        k[i] = rows_of(be, T, 16, 2);
        v[i] = rows_of(be, T, 16, 3);
        out[i] = rows_of(be, T, 32, 4);
        struct step step =
            sequence_step(i ? other : table, n, i ? other_slots : slots, ones, all, T);
        struct kv_layer *kv = be->ops->kv_layer(be, 0);
        be->ops->step_upload(be, &step);
        if (i == 0) {
            be->ops->rope(be, q[i].view, k[i].view, small_shape);
            be->ops->kv_write(be, kv, k[i].view, v[i].view);
        } else {
            op_norm_rope_kv_write(be, q[i].view, k[i].view, v[i].view, kv, small_shape, none);
        }
        be->ops->attention(be, out[i].view, q[i].view, kv, small_shape);
        run_settle(be);
    }
    for (int t = 0; t < T; t++) {
        EXPECT(memcmp(row(&q[0], t), row(&q[1], t), 32 * sizeof(float)) == 0);
        EXPECT(memcmp(row(&out[0], t), row(&out[1], t), 32 * sizeof(float)) == 0);
    }
    return guard_intact(&k[1], "norm_rope_kv_write") && guard_intact(&q[1], "norm_rope_kv_write");
}

/* --- threads --- */

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Workers stop spinning soon after a job: 100 ms without one cost far less than 100 ms of CPU. */
static bool idle_workers_use_no_cpu(struct backend *be)
{
    float *data = calloc(600 * 600, sizeof *data);
    CHECK(data);
    struct weight *w = case_weight(be, data, 600, 600, DT_F32, WEIGHT_LINEAR, QUANT_NONE, NULL);
    free(data);
    EXPECT(w);
    struct guarded x = rows_of(be, 40, 600, 0), y = rows_of(be, 40, 600, 0);
    be->ops->linear(be, y.view, x.view, w); /* large enough to wake the workers */
    const double before = cpu_ms();
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    const double used = cpu_ms() - before;
    be->ops->weight_free(be, w);
    EXPECT(used < 20);
    return true;
}

/* --- refusals --- */

static bool impossible_weights_are_refused(struct backend *be)
{
    static const float data[4];
    struct weight *w = NULL;
    struct error err = {0};
    struct weight_source src = {
        .n_parts = 1, .parts = {{data, 1}}, .cols = 4, .dtype = DT_I32, .kind = WEIGHT_LINEAR};
    EXPECT(be->ops->weight_prepare(be, &src, &w, &err) == STATUS_UNSUPPORTED && !w);
    src.dtype = DT_F32;
    src.n_parts = 0;
    EXPECT(be->ops->weight_prepare(be, &src, &w, &err) == STATUS_UNSUPPORTED && !w);
    src.n_parts = 1;
    src.cols = 70000;
    src.quant = QUANT_INT8;
    EXPECT(be->ops->weight_prepare(be, &src, &w, &err) == STATUS_UNSUPPORTED && !w);
    EXPECT(strstr(err.message, "70000"));
    struct weight_source bias = {
        .n_parts = 1, .parts = {{data, 1}}, .cols = 3, .dtype = DT_F32, .kind = WEIGHT_VECTOR};
    src = (struct weight_source){.n_parts = 1,
                                 .parts = {{data, 2}},
                                 .cols = 2,
                                 .dtype = DT_F32,
                                 .kind = WEIGHT_LINEAR,
                                 .bias = &bias};
    EXPECT(be->ops->weight_prepare(be, &src, &w, &err) == STATUS_CORRUPT && !w);
    EXPECT(be->weight_size == 0);
    return true;
}

static bool impossible_limits_are_refused(const char *isa)
{
    const struct {
        int n_blocks, n_layers, block_size, n_heads, head_dim;
        enum dtype kv_dtype;
        enum status want;
    } cases[] = {
        {INT32_MAX, 1024, 128, 4, 512, DT_F32, STATUS_NO_MEMORY}, /* 4 PiB */
        {12, 2, 24, 4, 8, DT_F32, STATUS_UNSUPPORTED},
        {12, 2, 16, 3, 8, DT_F32, STATUS_UNSUPPORTED},
        {12, 2, 16, 4, 513, DT_F32, STATUS_UNSUPPORTED},
        {12, 2, 16, 4, 8, DT_F16, STATUS_UNSUPPORTED},
        {-1, 2, 16, 4, 8, DT_F32, STATUS_INVALID},
        {0, 2, 16, 4, 8, DT_F32, STATUS_INVALID}, /* unless the pool may follow */
        {12, 2, 16, 4, 8, DT_F32, STATUS_OK},
        {12, 2, 16, 4, 8, DT_I8, STATUS_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct backend *be;
        struct error err = {0};
        EXPECT(run_backend_open(&be, isa, 1, &err) == STATUS_OK);
        struct backend_limits l = small;
        l.n_blocks = cases[i].n_blocks;
        l.n_layers = cases[i].n_layers;
        l.block_size = cases[i].block_size;
        l.n_heads = cases[i].n_heads;
        l.head_dim = cases[i].head_dim;
        l.kv_dtype = cases[i].kv_dtype;
        const bool follows = l.n_blocks == 0 && be->ops->reserve_pool;
        const enum status got = be->ops->reserve(be, &l, NULL, &err);
        be->ops->close(be);
        EXPECT(got == (follows ? STATUS_OK : cases[i].want));
    }
    return true;
}

static bool unknown_isa_is_refused(void)
{
    struct backend *be = NULL;
    struct error err = {0};
    EXPECT(cpu_backend_open(&be, 1, "sse9", &err) == STATUS_INVALID && !be);
    EXPECT(strstr(err.message, "sse9"));
    EXPECT(cpu_backend_open(&be, 1 << 20, "auto", &err) == STATUS_INVALID && !be);
    EXPECT(cpu_backend_open(&be, 0, "auto", &err) == STATUS_OK);
    EXPECT(be->n_threads >= 1);
    be->ops->close(be);
    return true;
}

int steps_run(const char *isa, int *n_run)
{
    bool (*const tests[])(struct backend *) = {
        samples_feed_the_next_step, copied_blocks_hold_the_same, fused_rope_writes_the_same,
        impossible_weights_are_refused, idle_workers_use_no_cpu};
    int failed = 0;
    for (size_t i = 0; i < 2 * ARRAY_LEN(tests); i++) { /* with either cache */
        struct backend *be;
        struct error err = {0};
        struct backend_limits limits = small;
        limits.kv_dtype = i % 2 ? DT_I8 : DT_F32;
        CHECK(run_backend_open(&be, isa, 2, &err) == STATUS_OK);
        CHECK(be->ops->reserve(be, &limits, &small_rope, &err) == STATUS_OK);
        failed += !tests[i / 2](be);
        be->ops->close(be);
    }
    failed += !impossible_limits_are_refused(isa);
    *n_run += 2 * (int)ARRAY_LEN(tests) + 1;
    if (strcmp(isa, BACKEND_CUDA) == 0) return failed;
    failed += !unknown_isa_is_refused();
    *n_run += 1;
    return failed;
}
