/* quality [MODEL_DIR [FILE [N_TOKENS]]]: what cheaper weights and caches cost in quality.
 *
 * FILE is a text, which is run in windows of 256 tokens (BOS and 255 of the text), every position counting, or, where it ends
 * in .jsonl, documents: on each line an array of strings, in turn given and answered, special tokens written out
 * (quality_documents.py makes one for the demo model).  A document is run by itself, and only predictions of answered
 * tokens count.
 *
 * All of it goes through the model in float32 and through each cheaper configuration.  Printed are over
 * all positions: how often the most likely next token is the same, the mean Kullback-Leibler divergence KL(f32 || other)
 * in nats, and the perplexity of the text. */

#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/unit/direct_model.h"

#include <math.h>

enum { WINDOW = 256, DOCUMENT_MAX = 1024 };

/* Passages one after the other: passage p is ids[first[p] .. first[p + 1]].  Where counts[i], what position i says of its next
 * token is looked at. */
struct corpus {
    struct token_vec v;
    unsigned char *counts;
    size_t *first;
    int n_passages, longest;
    size_t n_counted;
};

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

/* logits[n_counted, V] of the positions that count. */
static void run_corpus(const char *dir, enum quant_scheme quant, enum dtype dtype,
                       enum dtype kv_dtype, const struct corpus *c, float *logits)
{
    const struct direct_options o = {.dir = dir,
                                     .isa = "auto",
                                     .dtype = dtype,
                                     .kv_dtype = kv_dtype,
                                     .quant = quant,
                                     .n_slots = 1,
                                     .block_size = 16,
                                     .max_len = c->longest,
                                     .max_tokens = c->longest};
    struct direct_model d;
    if (!direct_open(&d, &o)) exit(1);
    const size_t vocab = (size_t)d.config.vocab_size;
    float *rows = malloc((size_t)c->longest * vocab * sizeof *rows);
    CHECK(rows);
    for (int p = 0; p < c->n_passages; p++) {
        const size_t first = c->first[p], n = c->first[p + 1] - first;
        builder_begin(&d.b);
        builder_add(&d.b, 0, c->v.ids + first, 0, (int)n, (int)n);
        direct_run(&d, rows, (int)n);
        for (size_t i = 0; i < n; i++) {
            if (!c->counts[first + i]) continue;
            memcpy(logits, rows + i * vocab, vocab * sizeof *logits);
            logits += vocab;
        }
    }
    free(rows);
    direct_close(&d);
}

static void report(const char *name, const float *reference, const float *other,
                   const struct corpus *c, int vocab)
{
    struct score s = {0};
    double *p = malloc((size_t)vocab * sizeof *p), *q = malloc((size_t)vocab * sizeof *q);
    CHECK(p && q);
    size_t row = 0;
    for (int k = 0; k < c->n_passages; k++) {
        for (size_t i = c->first[k]; i < c->first[k + 1]; i++) {
            if (!c->counts[i]) continue;
            normalise(reference + row * (size_t)vocab, p, vocab);
            normalise(other + row * (size_t)vocab, q, vocab);
            add_position(&s, p, q, vocab, i + 1 < c->first[k + 1] ? c->v.ids[i + 1] : -1);
            row++;
        }
    }
    CHECK(row == c->n_counted);
    printf("%-28s %8.3f %%  %10.2e  %10.4f\n", name, 100.0 * (double)s.n_same / (double)s.n,
           s.kl / (double)s.n, exp(s.nll / (double)s.n_scored));
    free(p);
    free(q);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void corpus_init(struct corpus *c, size_t n_tokens, size_t n_passages)
{
    *c = (struct corpus){.counts = calloc(n_tokens + 1, 1),
                         .first = calloc(n_passages + 1, sizeof *c->first)};
    CHECK(c->counts && c->first);
}

static void end_passage(struct corpus *c)
{
    const int len = (int)(c->v.len - c->first[c->n_passages]);
    if (len > c->longest) c->longest = len;
    c->first[++c->n_passages] = c->v.len;
}

/* Windows of BOS and WINDOW - 1 tokens of the text. */
static void read_windows(const struct tokenizer *t, const char *text, size_t len, size_t n_tokens,
                         struct corpus *c)
{
    struct error err = {0};
    struct token_vec v = {0};
    /* Four bytes are a token at the least; encoding all of the text would only take longer. */
    size_t cut = n_tokens * 4 < len ? n_tokens * 4 : len;
    cut = utf8_complete_len(text, cut);
    direct_need(tokenizer_encode(t, text, cut, false, false, 0, &v, &err), &err);
    const size_t n_windows = (v.len < n_tokens ? v.len : n_tokens) / (WINDOW - 1);
    CHECK(n_windows > 0 && tokenizer_bos_id(t) >= 0);
    corpus_init(c, n_windows * WINDOW, n_windows);
    for (size_t w = 0; w < n_windows; w++) {
        CHECK(token_vec_push(&c->v, tokenizer_bos_id(t)));
        for (size_t i = 0; i < WINDOW - 1; i++)
            CHECK(token_vec_push(&c->v, v.ids[w * (WINDOW - 1) + i]));
        end_passage(c);
    }
    memset(c->counts, 1, c->v.len);
    c->n_counted = c->v.len;
    token_vec_free(&v);
}

static void read_document(const struct tokenizer *t, const char *line, size_t len, struct corpus *c)
{
    struct error err = {0};
    cJSON *item;
    direct_need(json_parse(line, len, NULL, &item, &err), &err);
    bool answered = false;
    const cJSON *part;
    cJSON_ArrayForEach(part, item)
    {
        CHECK(cJSON_IsString(part));
        const size_t from = c->v.len;
        direct_need(tokenizer_encode(t, part->valuestring, strlen(part->valuestring), false, true,
                                     0, &c->v, &err),
                    &err);
        for (size_t i = from; answered && i < c->v.len; i++) {
            CHECK(i > c->first[c->n_passages]);
            c->counts[i - 1] = 1; /* the one before says what comes */
            c->n_counted++;
        }
        answered = !answered;
    }
    cJSON_Delete(item);
    end_passage(c);
}

/* Documents until there are n_tokens tokens. */
static void read_documents(const struct tokenizer *t, const char *text, size_t len, size_t n_tokens,
                           struct corpus *c)
{
    corpus_init(c, len, len); /* no token and no line is shorter than a byte */
    for (size_t at = 0; at < len && c->v.len < n_tokens;) {
        const char *lf = memchr(text + at, '\n', len - at);
        const size_t line_len = lf ? (size_t)(lf - text) - at : len - at;
        if (line_len > 0) read_document(t, text + at, line_len, c);
        at += line_len + 1;
    }
    CHECK(c->n_counted > 0 && c->longest <= DOCUMENT_MAX);
}

static void read_corpus(const char *dir, const char *path, size_t n_tokens, struct corpus *c)
{
    struct error err = {0};
    struct tokenizer *t;
    char *text;
    size_t len;
    direct_need(file_read(path, 64u << 20, &text, &len, &err), &err);
    direct_need(tokenizer_load(dir, &t, &err), &err);
    const size_t name_len = strlen(path);
    if (name_len > 6 && strcmp(path + name_len - 6, ".jsonl") == 0)
        read_documents(t, text, len, n_tokens, c);
    else
        read_windows(t, text, len, n_tokens, c);
    tokenizer_free(t);
    free(text);
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
        {"bf16 weights, bf16 cache", QUANT_NONE, DT_BF16, DT_BF16},
        {"int8 weights, f32 cache", QUANT_INT8, DT_F32, DT_F32},
        {"int8 weights, bf16 cache", QUANT_INT8, DT_F32, DT_BF16},
        {"w8a16 weights, f32 cache", QUANT_INT8_W8A16, DT_F32, DT_F32},
        {"w8a16 weights, bf16 cache", QUANT_INT8_W8A16, DT_F32, DT_BF16},
        {"f32 weights, int8 cache", QUANT_NONE, DT_F32, DT_I8},
        {"int8 weights, int8 cache", QUANT_INT8, DT_F32, DT_I8},
        {"int4 weights, f32 cache", QUANT_INT4, DT_F32, DT_F32},
        {"int4 weights, bf16 cache", QUANT_INT4, DT_F32, DT_BF16},
    };
    const char *shared = getenv("INFERD_SHARED");
    char dir[512], path[512];
    snprintf(dir, sizeof dir, "%s/models/stories260K", shared ? shared : "../shared");
    snprintf(path, sizeof path, "%s/data/text/tinyshakespeare/input.txt",
             shared ? shared : "../shared");
    if (argc > 1) snprintf(dir, sizeof dir, "%s", argv[1]);
    if (argc > 2) snprintf(path, sizeof path, "%s", argv[2]);
    const int n_tokens = argc > 3 ? atoi(argv[3]) : 20000;
    CHECK(n_tokens > 0);

    struct error err = {0};
    struct model_config m;
    struct corpus c;
    const uint64_t start = clock_now_us();
    direct_need(model_config_load(dir, &m, &err), &err);
    read_corpus(dir, path, (size_t)n_tokens, &c);
    const size_t n = c.n_counted * (size_t)m.vocab_size;
    float *reference = malloc(n * sizeof *reference), *other = malloc(n * sizeof *other);
    CHECK(reference && other);

    printf("%s on %s: %d passages of at most %d tokens, %zu positions count\n", dir, path,
           c.n_passages, c.longest, c.n_counted);
    printf("%-28s %10s  %10s  %10s\n", "", "same top-1", "mean KL", "perplexity");
    run_corpus(dir, QUANT_NONE, DT_F32, DT_F32, &c, reference);
    report("f32 weights, f32 cache", reference, reference, &c, m.vocab_size);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        run_corpus(dir, others[i].quant, others[i].dtype, others[i].kv_dtype, &c, other);
        report(others[i].name, reference, other, &c, m.vocab_size);
    }
    printf("%.1f s\n", (double)(clock_now_us() - start) * 1e-6);
    free(reference);
    free(other);
    free(c.counts);
    free(c.first);
    token_vec_free(&c.v);
    return 0;
}
