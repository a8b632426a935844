/* quality [MODEL_DIR [TEXT_FILE [N_TOKENS]]]: what int8 weights and a bf16 cache cost in quality.
 *
 * Runs the text in windows of 256 tokens (BOS and 255 of the text) through the model in float32 and
 * through each cheaper configuration, and prints over all positions: how often the most likely next
 * token is the same, the mean Kullback-Leibler divergence KL(f32 || other) in nats, and the
 * perplexity of the text. */

#include "config/base/clock.h"
#include "config/base/file.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/unit/direct_model.h"

#include <math.h>

enum { WINDOW = 256 };

struct score {
    double kl, nll;
    long n_same, n, n_scored;
};

/* log-softmax in double, in place of the logits. */
static void normalise(const float *logits, double *out, int n)
{
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) max = fmax(max, (double)logits[i]);
    for (int i = 0; i < n; i++) sum += exp((double)logits[i] - max);
    const double norm = max + log(sum);
    for (int i = 0; i < n; i++) out[i] = (double)logits[i] - norm;
}

static int argmax(const double *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) {
        if (x[i] > x[best]) best = i;
    }
    return best;
}

static void add_position(struct score *s, const double *p, const double *q, int vocab, int next)
{
    for (int i = 0; i < vocab; i++) s->kl += exp(p[i]) * (p[i] - q[i]);
    s->n_same += argmax(p, vocab) == argmax(q, vocab);
    s->n++;
    if (next < 0) return;
    s->nll -= q[next];
    s->n_scored++;
}

/* logits[n_windows * WINDOW, V] of the whole text. */
static void run_text(const char *dir, enum quant_scheme quant, enum dtype dtype,
                     enum dtype kv_dtype, const int32_t *ids, int n_windows, float *logits)
{
    const struct direct_options o = {.dir = dir,
                                     .isa = "auto",
                                     .dtype = dtype,
                                     .kv_dtype = kv_dtype,
                                     .quant = quant,
                                     .n_slots = 1,
                                     .block_size = 16,
                                     .max_len = WINDOW,
                                     .max_tokens = WINDOW};
    struct direct_model d;
    if (!direct_open(&d, &o)) exit(1);
    for (int w = 0; w < n_windows; w++) {
        builder_begin(&d.b);
        builder_add(&d.b, 0, ids + w * WINDOW, 0, WINDOW, WINDOW);
        direct_run(&d, logits + (size_t)w * WINDOW * (size_t)d.config.vocab_size, WINDOW);
    }
    direct_close(&d);
}

static void report(const char *name, const float *reference, const float *other, const int32_t *ids,
                   int n_windows, int vocab)
{
    struct score s = {0};
    double *p = malloc((size_t)vocab * sizeof *p), *q = malloc((size_t)vocab * sizeof *q);
    CHECK(p && q);
    for (int i = 0; i < n_windows * WINDOW; i++) {
        normalise(reference + (size_t)i * (size_t)vocab, p, vocab);
        normalise(other + (size_t)i * (size_t)vocab, q, vocab);
        add_position(&s, p, q, vocab, (i + 1) % WINDOW ? ids[i + 1] : -1);
    }
    printf("%-28s %8.3f %%  %10.2e  %10.4f\n", name, 100.0 * (double)s.n_same / (double)s.n,
           s.kl / (double)s.n, exp(s.nll / (double)s.n_scored));
    free(p);
    free(q);
}

/* Windows of BOS and WINDOW - 1 tokens of the text. */
static int32_t *read_windows(const char *dir, const char *path, int n_tokens, int *n_windows)
{
    struct error err = {0};
    struct tokenizer *t;
    struct token_vec v = {0};
    char *text;
    size_t len;
    direct_need(file_read(path, 64u << 20, &text, &len, &err), &err);
    direct_need(tokenizer_load(dir, &t, &err), &err);
    /* Four bytes are a token at the least; encoding all of the text would only take longer. */
    size_t cut = (size_t)n_tokens * 4 < len ? (size_t)n_tokens * 4 : len;
    cut = utf8_complete_len(text, cut);
    direct_need(tokenizer_encode(t, text, cut, false, false, 0, &v, &err), &err);
    *n_windows = (int)(v.len < (size_t)n_tokens ? v.len : (size_t)n_tokens) / (WINDOW - 1);
    int32_t *ids = malloc((size_t)(*n_windows + 1) * WINDOW * sizeof *ids);
    CHECK(ids && *n_windows > 0);
    for (int w = 0; w < *n_windows; w++) {
        ids[w * WINDOW] = tokenizer_bos_id(t);
        memcpy(ids + w * WINDOW + 1, v.ids + w * (WINDOW - 1), (WINDOW - 1) * sizeof *ids);
    }
    CHECK(ids[0] >= 0);
    token_vec_free(&v);
    tokenizer_free(t);
    free(text);
    return ids;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum quant_scheme quant;
        enum dtype dtype, kv_dtype;
    } others[] = {
        {"f32 weights, bf16 cache", QUANT_NONE, DT_F32, DT_BF16},
        {"bf16 weights, f32 cache", QUANT_NONE, DT_BF16, DT_F32},
        {"int8 weights, f32 cache", QUANT_INT8, DT_F32, DT_F32},
        {"int8 weights, bf16 cache", QUANT_INT8, DT_F32, DT_BF16},
        {"f32 weights, int8 cache", QUANT_NONE, DT_F32, DT_I8},
        {"int8 weights, int8 cache", QUANT_INT8, DT_F32, DT_I8},
        {"int4 weights, f32 cache", QUANT_INT4, DT_F32, DT_F32},
    };
    const char *shared = getenv("INFERD_SHARED");
    char dir[512], path[512];
    snprintf(dir, sizeof dir, "%s/models/stories260K", shared ? shared : "../shared");
    snprintf(path, sizeof path, "%s/data/text/tinyshakespeare/input.txt",
             shared ? shared : "../shared");
    if (argc > 1) snprintf(dir, sizeof dir, "%s", argv[1]);
    if (argc > 2) snprintf(path, sizeof path, "%s", argv[2]);
    const int n_tokens = argc > 3 ? atoi(argv[3]) : 20000;

    struct error err = {0};
    struct model_config c;
    int n_windows = 0;
    const uint64_t start = clock_now_us();
    direct_need(model_config_load(dir, &c, &err), &err);
    int32_t *ids = read_windows(dir, path, n_tokens, &n_windows);
    const size_t n = (size_t)n_windows * WINDOW * (size_t)c.vocab_size;
    float *reference = malloc(n * sizeof *reference), *other = malloc(n * sizeof *other);
    CHECK(reference && other);

    printf("%s on %s: %d windows of %d tokens\n", dir, path, n_windows, WINDOW);
    printf("%-28s %10s  %10s  %10s\n", "", "same top-1", "mean KL", "perplexity");
    run_text(dir, QUANT_NONE, DT_F32, DT_F32, ids, n_windows, reference);
    report("f32 weights, f32 cache", reference, reference, ids, n_windows, c.vocab_size);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        run_text(dir, others[i].quant, others[i].dtype, others[i].kv_dtype, ids, n_windows, other);
        report(others[i].name, reference, other, ids, n_windows, c.vocab_size);
    }
    printf("%.1f s\n", (double)(clock_now_us() - start) * 1e-6);
    free(reference);
    free(other);
    free(ids);
    return 0;
}
