/* From a checkpoint to weights: names, shapes, stacking, types, what is missing or left over, random
 * weights, progress.  The backend is a recorder that keeps what it was given. */

#include "engine/convert.h"
#include "engine/load/dummy.h"
#include "engine/load/load.h"
#include "engine/load/progress.h"
#include "engine/load/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a backend that records ------------------------------------------------------------------ */

struct weight {
    enum weight_kind kind;
    enum dtype dtype, bias_dtype;
    enum quant_scheme quant;
    int n_parts, rows, cols;
    uint8_t *data; /* the parts, one after another */
    size_t size;
    uint8_t *bias; /* NULL = none */
    size_t bias_len;
};

static int n_alive, fail_after; /* fail_after: prepares until one fails; -1 = never */

static uint8_t *join(const struct weight_source *src, size_t *size)
{
    uint8_t *out = NULL;
    *size = 0;
    for (int i = 0; i < src->n_parts; i++) {
        const size_t n = (size_t)src->parts[i].rows * (size_t)src->cols * dtype_size(src->dtype);
        assert_int_equal((uintptr_t)src->parts[i].data % dtype_size(src->dtype), 0);
        out = realloc(out, *size + n);
        memcpy(out + *size, src->parts[i].data, n);
        *size += n;
    }
    return out;
}

static enum status record_prepare(struct backend *be, const struct weight_source *src,
                                  struct weight **out, struct error *err)
{
    (void)be;
    if (fail_after == 0) return error_set(err, STATUS_NO_MEMORY, "the recorder is full");
    if (fail_after > 0) fail_after--;
    struct weight *w = calloc(1, sizeof *w);
    w->kind = src->kind;
    w->dtype = src->dtype;
    w->quant = src->quant;
    w->n_parts = src->n_parts;
    w->cols = src->cols;
    for (int i = 0; i < src->n_parts; i++) w->rows += src->parts[i].rows;
    w->data = join(src, &w->size);
    if (src->bias) {
        size_t size;
        w->bias = join(src->bias, &size);
        w->bias_dtype = src->bias->dtype;
        w->bias_len = size / dtype_size(src->bias->dtype);
    }
    n_alive++;
    *out = w;
    return STATUS_OK;
}

static void record_free(struct backend *be, struct weight *w)
{
    (void)be;
    free(w->data);
    free(w->bias);
    free(w);
    n_alive--;
}

static const struct backend_ops recorder_ops = {
    .name = "recorder", .weight_prepare = record_prepare, .weight_free = record_free};
static struct backend recorder = {.ops = &recorder_ops};

static double element(const struct weight *w, size_t i)
{
    uint16_t h;
    float f;
    if (w->dtype == DT_F32) {
        memcpy(&f, w->data + 4 * i, 4);
        return f;
    }
    memcpy(&h, w->data + 2 * i, 2);
    return w->dtype == DT_BF16 ? convert_bits_to_f32((uint32_t)h << 16) : convert_f16_to_f32(h);
}

static enum status load_dir(const char *dir, int dtype, struct model_config *c,
                            struct model_weights *w, struct error *err)
{
    const struct load_options o = {.quant = QUANT_NONE};
    *err = (struct error){0};
    enum status s = model_config_load(dir, c, err);
    if (s != STATUS_OK) return s;
    if (dtype >= 0) c->stored_dtype = (enum dtype)dtype;
    return model_weights_load(&recorder, dir, c, &o, w, err);
}

/* The first element of a stored tensor, as the file has it. */
static double first_of(const char *dir, const char *name)
{
    struct safetensors *st;
    struct error err;
    assert_int_equal(safetensors_open(dir, &st, &err), STATUS_OK);
    const struct stored_tensor *t = safetensors_find(st, name);
    assert_non_null(t);
    float value;
    convert_elements(&value, DT_F32, t->data, t->dtype, 1);
    safetensors_close(st);
    return value;
}

#define GOLDEN "tests/golden/models/"

static void test_parts(void **state)
{
    struct model_config c;
    struct model_weights w;
    struct error err;
    (void)state;
    fail_after = -1;
    if (load_dir(GOLDEN "qwen2_bias", -1, &c, &w, &err) != STATUS_OK) fail_msg("%s", err.message);
    const struct layer_weights *l = &w.layers[1];
    assert_true(w.embed->kind == WEIGHT_EMBED && w.embed->rows == 96 && w.embed->cols == 32);
    assert_true(w.lm_head->kind == WEIGHT_LINEAR && w.lm_head->rows == 96); /* tied */
    assert_memory_equal(w.lm_head->data, w.embed->data, w.embed->size);
    assert_true(l->wqkv->n_parts == 3 && l->wqkv->rows == 32 + 16 + 16 && l->wqkv->cols == 32);
    assert_true(l->w_gate_up->n_parts == 2 && l->w_gate_up->rows == 96);
    assert_true(l->w_down->rows == 32 && l->w_down->cols == 48);
    assert_true(l->attn_norm->kind == WEIGHT_VECTOR && l->attn_norm->cols == 32);
    assert_true(l->wqkv->bias_len == 64 && !l->wo->bias && !l->w_down->bias && !l->q_norm);
    static const struct {
        const char *name;
        size_t at;
    } order[] = {{"q_proj", 0}, {"k_proj", 32}, {"v_proj", 48}};
    for (size_t i = 0; i < 3; i++) {
        char name[80];
        float bias;
        snprintf(name, sizeof name, "model.layers.1.self_attn.%s.weight", order[i].name);
        assert_true(element(l->wqkv, order[i].at * 32) == first_of(GOLDEN "qwen2_bias", name));
        snprintf(name, sizeof name, "model.layers.1.self_attn.%s.bias", order[i].name);
        memcpy(&bias, l->wqkv->bias + 4 * order[i].at, 4);
        assert_true((double)bias == first_of(GOLDEN "qwen2_bias", name));
    }
    model_weights_free(&recorder, &c, &w);
    assert_int_equal(n_alive, 0);

    assert_int_equal(load_dir(GOLDEN "llama_biases", -1, &c, &w, &err), STATUS_OK);
    l = &w.layers[0];
    assert_true(l->wo->bias_len == 32 && l->w_gate_up->bias_len == 96 && l->w_down->bias_len == 32);
    model_weights_free(&recorder, &c, &w);

    assert_int_equal(load_dir(GOLDEN "qwen3_qk_norm", -1, &c, &w, &err), STATUS_OK);
    l = &w.layers[0];
    assert_true(l->q_norm && l->k_norm && l->q_norm->cols == 24 && l->wo->cols == 96);
    model_weights_free(&recorder, &c, &w);

    assert_int_equal(load_dir(GOLDEN "llama_tied_sharded", -1, &c, &w, &err), STATUS_OK);
    model_weights_free(&recorder, &c, &w);
    assert_int_equal(n_alive, 0);
}

static void test_types(void **state)
{
    static const struct {
        const char *dir;
        int wanted; /* -1: as config.json says */
        enum dtype linear;
    } cases[] = {
        {GOLDEN "llama_gqa", -1, DT_F32},          {GOLDEN "llama_gqa", DT_BF16, DT_BF16},
        {GOLDEN "llama_gqa", DT_F16, DT_F32}, /* never narrowed to f16 */
        {GOLDEN "llama_f16", -1, DT_F16},          {GOLDEN "llama_f16", DT_F32, DT_F32},
        {GOLDEN "llama_f16", DT_BF16, DT_BF16},    {GOLDEN "llama_mha_bf16", -1, DT_BF16},
        {GOLDEN "llama_mha_bf16", DT_F32, DT_F32},
    };
    (void)state;
    fail_after = -1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct model_weights w;
        struct error err;
        if (load_dir(cases[i].dir, cases[i].wanted, &c, &w, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        const struct weight *up = w.layers[0].w_gate_up;
        assert_int_equal(up->dtype, cases[i].linear);
        const double stored = first_of(cases[i].dir, "model.layers.0.mlp.gate_proj.weight");
        const double kept = element(up, 0);
        assert_true(cases[i].wanted == DT_BF16 ? fabs(kept - stored) <= fabs(stored) / 256
                                               : kept == stored);
        /* Gains stay as they are, whatever the linears become. */
        assert_true(element(w.final_norm, 0) == first_of(cases[i].dir, "model.norm.weight"));
        model_weights_free(&recorder, &c, &w);
    }
    assert_int_equal(n_alive, 0);
}

static void test_prepare_fails(void **state)
{
    (void)state;
    for (int k = 0; k < 15; k++) { /* 2 + 2 * (2 + 4) + 1 weights */
        struct model_config c;
        struct model_weights w;
        struct error err;
        fail_after = k;
        assert_int_equal(load_dir(GOLDEN "llama_gqa", -1, &c, &w, &err), STATUS_NO_MEMORY);
        assert_non_null(strstr(err.message, "recorder is full"));
        assert_int_equal(n_alive, 0);
        assert_true(!w.layers && !w.embed);
    }
    fail_after = -1;
}

/* --- made-up checkpoints ---------------------------------------------------------------------- */

/* A one-layer Llama: D 4, H 2, F 6, V 5. */
static const char tiny_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 4, \"intermediate_size\": 6, "
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"vocab_size\": 5, "
    "\"max_position_embeddings\": 8, \"tie_word_embeddings\": %s, \"torch_dtype\": \"float32\"}";

struct entry {
    const char *name;
    int rows, cols; /* rows 0: a vector */
};
static const struct entry tiny_tensors[] = {
    {"model.embed_tokens.weight", 5, 4},
    {"model.norm.weight", 0, 4},
    {"lm_head.weight", 5, 4},
    {"model.layers.0.input_layernorm.weight", 0, 4},
    {"model.layers.0.post_attention_layernorm.weight", 0, 4},
    {"model.layers.0.self_attn.q_proj.weight", 4, 4},
    {"model.layers.0.self_attn.k_proj.weight", 4, 4},
    {"model.layers.0.self_attn.v_proj.weight", 4, 4},
    {"model.layers.0.self_attn.o_proj.weight", 4, 4},
    {"model.layers.0.mlp.gate_proj.weight", 6, 4},
    {"model.layers.0.mlp.up_proj.weight", 6, 4},
    {"model.layers.0.mlp.down_proj.weight", 4, 6},
};
enum { N_TINY = sizeof tiny_tensors / sizeof *tiny_tensors };

/* How a made-up checkpoint differs from a good one. */
struct variant {
    bool tied, head_equal; /* head_equal: lm_head holds the embeddings */
    const char *leave_out; /* a tensor */
    struct entry extra;    /* name NULL: none */
    const char *misshapen; /* a tensor that gets one row more */
    const char *as_i8;     /* a tensor stored as I8 */
    bool unaligned;        /* the header is not padded */
};

static void write_tensors(const char *path, const struct variant *v)
{
    char header[4000];
    float payload[400] = {0};
    size_t at = (size_t)sprintf(header, "{"), end = 0;
    for (int i = 0; i <= N_TINY; i++) {
        struct entry e = i < N_TINY ? tiny_tensors[i] : v->extra;
        if (!e.name || (v->leave_out && strcmp(e.name, v->leave_out) == 0)) continue;
        if (v->misshapen && strcmp(e.name, v->misshapen) == 0) e.rows++;
        const bool i8 = v->as_i8 && strcmp(e.name, v->as_i8) == 0;
        const int n = (e.rows ? e.rows : 1) * e.cols;
        const bool head = strcmp(e.name, "lm_head.weight") == 0;
        for (int k = 0; k < n && !i8; k++)
            payload[end / 4 + (size_t)k] = head && v->head_equal ? (float)k : (float)(k + 100 * i);
        char shape[32];
        sprintf(shape, e.rows ? "%d, %d" : "%.0d%d", e.rows, e.cols);
        const size_t size = (size_t)n * (i8 ? 1 : 4);
        at += (size_t)sprintf(
            header + at,
            "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [%s], \"data_offsets\": [%zu, %zu]}",
            end ? ", " : "", e.name, i8 ? "I8" : "F32", shape, end, end + size);
        end += size;
    }
    at += (size_t)sprintf(header + at, "}");
    while (at % 8 != (v->unaligned ? 1 : 0)) header[at++] = ' ';
    const uint64_t header_size = at;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(&header_size, 8, 1, f);
    fwrite(header, 1, at, f);
    fwrite(payload, 1, end, f);
    fclose(f);
}

static enum status load_variant(const struct variant *v, struct model_weights *w,
                                struct model_config *c, struct error *err)
{
    char dir[] = "/tmp/inferd_load_XXXXXX", path[80];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, tiny_config, v->tied ? "true" : "false"); /* NOLINT: a literal with one %s */
    fclose(f);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    write_tensors(path, v);
    const enum status s = load_dir(dir, -1, c, w, err);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", dir);
    unlink(path);
    rmdir(dir);
    return s;
}

static void test_variants(void **state)
{
    static const struct {
        struct variant v;
        const char *message; /* NULL: loads */
    } cases[] = {
        {{.tied = false}, NULL},
        {{.unaligned = true}, NULL},
        {{.tied = true, .leave_out = "lm_head.weight"}, NULL},
        {{.tied = true, .head_equal = true}, NULL},
        {{.tied = true}, "tie_word_embeddings"},
        {{.leave_out = "lm_head.weight"}, "no tensor \"lm_head.weight\""},
        {{.leave_out = "model.layers.0.mlp.up_proj.weight"}, "model.layers.0.mlp.up_proj.weight"},
        {{.leave_out = "model.norm.weight"}, "model.norm.weight"},
        {{.misshapen = "model.layers.0.self_attn.v_proj.weight"}, "[5, 4]"},
        {{.misshapen = "model.norm.weight"}, "model.norm.weight"},
        {{.as_i8 = "model.layers.0.mlp.down_proj.weight"}, "stored as I8"},
        {{.extra = {"model.layers.1.mlp.up_proj.weight", 6, 4}},
         "model.layers.1.mlp.up_proj.weight"},
        {{.extra = {"model.layers.0.self_attn.q_proj.bias", 0, 4}}, "q_proj.bias"},
        {{.extra = {"model.layers.0.self_attn.rotary_emb.inv_freq", 0, 1}}, NULL},
        {{.extra = {"model.layers.0.mlp.up_proj.qweight", 3, 3}}, "qweight"},
    };
    (void)state;
    fail_after = -1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct model_weights w;
        struct error err;
        const enum status s = load_variant(&cases[i].v, &w, &c, &err);
        if ((s == STATUS_OK) != !cases[i].message)
            fail_msg("case %zu: %s", i, s == STATUS_OK ? "accepted" : err.message);
        if (s != STATUS_OK) {
            if (!strstr(err.message, cases[i].message))
                fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].message);
            assert_int_equal(n_alive, 0);
            continue;
        }
        assert_true(element(w.layers[0].wqkv, 16) == 600.0); /* k_proj's first */
        assert_true(element(w.layers[0].w_down, 23) == 1123.0);
        assert_true(element(w.lm_head, 3) == (cases[i].v.tied ? 3.0 : 203.0));
        model_weights_free(&recorder, &c, &w);
        assert_int_equal(n_alive, 0);
    }
}

/* Every byte of a real checkpoint's header, damaged: an error, or the same model. */
static void test_damage(void **state)
{
    char dir[] = "/tmp/inferd_damage_XXXXXX", path[80], config[80];
    struct model_config c;
    struct error err;
    (void)state;
    fail_after = -1;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(model_config_load(GOLDEN "llama_mqa", &c, &err), STATUS_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    snprintf(config, sizeof config, "%s/config.json", dir);
    FILE *f = fopen(GOLDEN "llama_mqa/model.safetensors", "rb");
    static uint8_t file[256 << 10];
    const size_t size = fread(file, 1, sizeof file, f);
    fclose(f);
    uint64_t header_size;
    memcpy(&header_size, file, 8);
    f = fopen(path, "wb+");
    assert_int_equal(fwrite(file, 1, size, f), size);
    fflush(f);
    for (size_t at = 0; at < 8 + header_size; at++) {
        const struct load_options o = {.quant = QUANT_NONE};
        struct model_weights w;
        const uint8_t bad = file[at] ^ (uint8_t)(1u << (at % 8));
        assert_int_equal(pwrite(fileno(f), &bad, 1, (off_t)at), 1);
        if (model_weights_load(&recorder, dir, &c, &o, &w, &err) == STATUS_OK)
            model_weights_free(&recorder, &c, &w);
        else
            assert_true(err.message[0] != '\0');
        assert_int_equal(n_alive, 0);
        assert_int_equal(pwrite(fileno(f), &file[at], 1, (off_t)at), 1);
    }
    fclose(f);
    unlink(path);
    rmdir(dir);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void test_convert(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const int exponent = (h >> 10) & 31, fraction = h & 1023;
        const float got = convert_f16_to_f32((uint16_t)h);
        double want = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (exponent == 31 && fraction) {
            assert_true(isnan(got));
            continue;
        }
        if (exponent == 31) want = INFINITY;
        assert_true((double)got == (h & 0x8000 ? -want : want));
    }
    static const struct {
        uint32_t f32;
        uint16_t bf16;
    } rounding[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, /* half way, to even */
        {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80},
        {0xbf818000, 0xbf82}, {0x7f7fffff, 0x7f80}, /* overflows to infinity */
        {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0},
        {0x00000001, 0x0000}, {0x80000000, 0x8000},
    };
    for (size_t i = 0; i < sizeof rounding / sizeof *rounding; i++)
        assert_int_equal(convert_f32_to_bf16(convert_bits_to_f32(rounding[i].f32)),
                         rounding[i].bf16);
    const uint8_t unaligned[] = {0xee, 0x00, 0x3c, 0x00, 0xc0};
    float out[2];
    convert_elements(out, DT_F32, unaligned + 1, DT_F16, 2);
    assert_true(out[0] == 1.0f && out[1] == -2.0f);
}

/* --- random weights --------------------------------------------------------------------------- */

static void test_dummy_numbers(void **state)
{
    enum { N = 200001 };
    static float a[N], b[N];
    static uint16_t half[N];
    struct dummy *d = dummy_open(7), *other = dummy_open(8);
    (void)state;
    assert_true(d && other);
    dummy_fill(d, "x", DT_F32, a, N);
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        sum += (double)a[i];
        squares += (double)a[i] * (double)a[i];
        fourth += pow((double)a[i], 4);
    }
    const double variance = squares / N;
    /* Five standard errors of each moment of a normal distribution of deviation 0.02. */
    assert_true(fabs(sum / N) < 5 * 0.02 / sqrt(N));
    assert_true(fabs(sqrt(variance) / 0.02 - 1) < 0.01);
    assert_true(fabs(fourth / N / (variance * variance) - 3) < 0.1);

    dummy_fill(d, "x", DT_F32, b, N);
    assert_memory_equal(a, b, sizeof a);
    dummy_fill(d, "y", DT_F32, b, N);
    assert_memory_not_equal(a, b, sizeof a);
    dummy_fill(other, "x", DT_F32, b, N);
    assert_memory_not_equal(a, b, sizeof a);
    /* The same numbers, rounded, in the other types. */
    dummy_fill(d, "x", DT_BF16, half, N);
    for (int i = 0; i < N; i++) assert_int_equal(half[i], convert_f32_to_bf16(a[i]));
    dummy_fill(d, "x", DT_F16, half, N);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(convert_f16_to_f32(half[i]) - a[i]) <= fabsf(a[i]) / 2048 + 3e-8f);
    dummy_close(d);
    dummy_close(other);
}

struct seen {
    int n;
    uint64_t last, total;
};

static void see(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct seen *s = arg;
    assert_non_null(what);
    assert_true(done >= s->last && done <= total);
    assert_true(s->n == 0 || s->total == total);
    s->n++;
    s->last = done;
    s->total = total;
}

static void test_dummy_model(void **state)
{
    struct model_config c;
    struct model_weights w, again;
    struct error err;
    struct seen seen = {0};
    (void)state;
    fail_after = -1;
    assert_int_equal(model_config_load(GOLDEN "qwen2_bias", &c, &err), STATUS_OK);
    const struct load_options o = {
        .quant = QUANT_INT8, .dummy = true, .seed = 3, .progress = see, .progress_arg = &seen};
    /* No file is read: the directory need not even exist. */
    assert_int_equal(model_weights_load(&recorder, "/nonexistent", &c, &o, &w, &err), STATUS_OK);
    assert_true(seen.n > 10 && seen.last == seen.total);
    seen = (struct seen){0};
    assert_int_equal(model_weights_load(&recorder, "/nonexistent", &c, &o, &again, &err),
                     STATUS_OK);
    assert_memory_equal(w.layers[1].wqkv->data, again.layers[1].wqkv->data, w.layers[1].wqkv->size);
    assert_memory_not_equal(w.layers[0].wqkv->data, w.layers[1].wqkv->data, w.layers[1].wqkv->size);
    assert_memory_equal(w.lm_head->data, w.embed->data, w.embed->size); /* tied */
    assert_true(w.lm_head->quant == QUANT_INT8 && w.layers[0].w_down->quant == QUANT_INT8);
    assert_true(w.embed->quant == QUANT_NONE && w.final_norm->quant == QUANT_NONE);
    assert_true(element(w.final_norm, 31) == 1.0);
    float bias = 1;
    memcpy(&bias, w.layers[0].wqkv->bias, 4);
    assert_true(w.layers[0].wqkv->bias_len == 64 && bias == 0.0f);
    model_weights_free(&recorder, &c, &w);
    model_weights_free(&recorder, &c, &again);
    assert_int_equal(n_alive, 0);
}

/* --- progress --------------------------------------------------------------------------------- */

static uint64_t fake_now;
static uint64_t fake_clock(void)
{
    return fake_now;
}

static void test_progress_line(void **state)
{
    char line[160];
    (void)state;
    load_progress_format(line, sizeof line, 500000000, 2000000000, 1000000);
    assert_string_equal(line, "loading [#######.......................]  25%  500 MB of 2.00 GB  "
                              "500 MB/s  3 s left");
    load_progress_format(line, sizeof line, 0, 2000, 0);
    assert_string_equal(line,
                        "loading [..............................]   0%  0 B of 2.00 kB  0 B/s");
    load_progress_format(line, sizeof line, 2000, 2000, 1000000);
    assert_non_null(strstr(line, "100%"));
    assert_null(strstr(line, "left"));
}

static void test_progress_terminal(void **state)
{
    struct load_progress p;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    (void)state;
    fake_now = 5000000;
    load_progress_start(&p, out, true, fake_clock);
    for (int i = 1; i <= 1000; i++) {
        fake_now += 1000;
        load_progress_report(&p, "x", (uint64_t)i, 1000);
    }
    load_progress_finish(&p, true);
    fclose(out);
    int redraws = 0;
    for (size_t i = 0; i < size; i++) redraws += text[i] == '\r';
    assert_int_equal(redraws, 11); /* a second of 100 ms steps, and the last line */
    assert_int_equal(text[size - 1], '\n');
    assert_non_null(strstr(text, "100%"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_types),
        cmocka_unit_test(test_prepare_fails), cmocka_unit_test(test_variants),
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_convert),
        cmocka_unit_test(test_dummy_numbers), cmocka_unit_test(test_dummy_model),
        cmocka_unit_test(test_progress_line), cmocka_unit_test(test_progress_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
