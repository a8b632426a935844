/* The device "cuda" as host code, with less memory than a start needs: what did not fit is named with its
 * amounts, each value that is advised works, nothing leaks; and once an engine is open, nothing more is
 * allocated, whatever it runs. */

#include "engine/engine.h"
#include "tests/unit/cuda_plugin.h"
#include "tests/unit/step_builder.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)
enum { MAX_LEN = 512, MAX_SEQS = 4, MAX_TOKENS = 64, BLOCK = 16, VOCAB = 2048 };

static const size_t unlimited = SIZE_MAX;

struct machine {
    size_t memory, pinned, graph;
};

static const struct machine roomy = {.memory = 4096 * MIB, .pinned = SIZE_MAX};

static struct engine_options base(void)
{
    return (struct engine_options){
        .model_dir = "models/demo",
        .dtype = DT_BF16,
        .kv_dtype = DT_BF16,
        .device = "cuda",
        .cuda_plugin = cuda_plugin(),
        .gpu_memory_utilization = 0.9,
        .enforce_eager = true,
        .isa = "auto",
        .n_threads = 1,
        .block_size = BLOCK,
        .max_num_seqs = MAX_SEQS,
        .max_num_batched_tokens = MAX_TOKENS,
        .max_model_len = MAX_LEN,
    };
}

static void set_size(const char *name, size_t size)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", size);
    setenv(name, text, 1);
}

static enum status open_on(const struct machine *m, const struct engine_options *o,
                           struct engine **out, struct error *err)
{
    set_size("INFERD_CUDA_HOST_MEMORY", m->memory);
    set_size("INFERD_CUDA_HOST_PINNED", m->pinned);
    set_size("INFERD_CUDA_HOST_GRAPH", m->graph);
    *out = NULL;
    *err = (struct error){0};
    return engine_open(out, o, err);
}

/* OK, or the error; nothing stays open. */
static enum status try_on(const struct machine *m, const struct engine_options *o,
                          struct error *err)
{
    struct engine *e;
    const enum status s = open_on(m, o, &e, err);
    assert_int_equal(s == STATUS_OK, e != NULL);
    engine_close(e);
    return s;
}

/* --- the message --- */

/* The amount that ends at `end`, in bytes. */
static double amount_before(const char *message, const char *end)
{
    const char *at = strstr(message, end);
    if (!at) fail_msg("no \"%s\" in: %s", end, message);
    const bool gib = strncmp(at - 4, " GiB", 4) == 0;
    assert_true(gib || strncmp(at - 4, " MiB", 4) == 0);
    at -= 4;
    while (at > message && strchr("0123456789.", at[-1])) at--;
    return strtod(at, NULL) * (gib ? 1 << 30 : 1 << 20);
}

static double amount_after(const char *message, const char *start)
{
    const char *at = strstr(message, start);
    if (!at) fail_msg("no \"%s\" in: %s", start, message);
    char *end;
    const double n = strtod(at + strlen(start), &end);
    return n * (strncmp(end, " GiB", 4) == 0 ? 1 << 30 : 1 << 20);
}

/* The options of one piece of advice. */
static void apply(char *advice, struct engine_options *o)
{
    char *save = NULL;
    for (char *w = strtok_r(advice, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        if (strcmp(w, "together") == 0) continue;
        if (strcmp(w, "--enforce-eager") == 0) {
            o->enforce_eager = true;
            continue;
        }
        if (strcmp(w, "no") == 0) { /* --kv-cache-memory-bytes, */
            strtok_r(NULL, " ", &save);
            o->kv_cache_bytes = 0;
            continue;
        }
        const char *value = strtok_r(NULL, " ", &save);
        assert_non_null(value);
        if (strcmp(w, "--gpu-memory-utilization") == 0)
            o->gpu_memory_utilization = strtod(value, NULL);
        else if (strcmp(w, "--max-num-batched-tokens") == 0)
            o->max_num_batched_tokens = atoi(value);
        else if (strcmp(w, "--max-num-seqs") == 0)
            o->max_num_seqs = atoi(value);
        else if (strcmp(w, "--max-model-len") == 0)
            o->max_model_len = atoi(value);
        else if (strcmp(w, "--kv-cache-memory-bytes") == 0)
            o->kv_cache_bytes = strtoull(value, NULL, 10);
        else if (strcmp(w, "--quantization") == 0 && strcmp(value, "int8") == 0)
            o->quant = QUANT_INT8;
        else
            fail_msg("advice that is no option: %s %s", w, value);
    }
}

/* Each alternative is started with.  Returns how many there were. */
static int follow(const char *message, const struct machine *m, const struct engine_options *o)
{
    const char *use = strstr(message, ": use ");
    int n = 0;
    if (!use) return 0;
    assert_true(strlen(message) < sizeof((struct error *)0)->message - 1); /* not cut */
    char text[512];
    snprintf(text, sizeof text, "%s", use + strlen(": use "));
    for (char *at = text, *next; at; at = next, n++) {
        next = strstr(at, ", or ");
        if (next) {
            *next = '\0';
            next += strlen(", or ");
        }
        struct engine_options changed = *o;
        struct error err;
        char advice[512];
        snprintf(advice, sizeof advice, "%s", at);
        apply(at, &changed);
        if (try_on(m, &changed, &err) != STATUS_OK)
            fail_msg("with %zu bytes \"%s\" was said; %s does not do: %s", m->memory, message,
                     advice, err.message);
    }
    return n;
}

/* A start that must fail on `m` over `part`, and does not fail over it with what it says is missing. */
static int refused(const char *part, struct machine m, const struct engine_options *o)
{
    struct error err, later;
    assert_int_equal(try_on(&m, o, &err), STATUS_NO_MEMORY);
    print_message("%zu MiB: %s\n", m.memory / MIB, err.message);
    if (!strstr(err.message, part)) fail_msg("not over %s: %s", part, err.message);
    const double missing = amount_before(err.message, " are missing");
    assert_true(missing > 0);
    const int n = follow(err.message, &m, o);
    const double share = o->kv_cache_bytes > 0 ? 1 : o->gpu_memory_utilization;
    if (strstr(part, "pinned")) {
        m.pinned += (size_t)missing;
    } else {
        const char *room = strstr(err.message, "with room for ");
        assert_non_null(room);
        assert_true(amount_after(room, " of ") >= (double)m.memory);
        m.memory += (size_t)(missing / share) + 1;
    }
    if (try_on(&m, o, &later) != STATUS_OK && strstr(later.message, part))
        fail_msg("%s; with as much more: %s", err.message, later.message);
    return n;
}

/* --- each part --- */

static void test_weights(void **state)
{
    (void)state;
    if (!cuda_plugin() || !cuda_is_host_code()) skip();
    struct engine_options o = base();
    refused("weights:", (struct machine){.memory = 8 * MIB, .pinned = unlimited}, &o);
    /* Only a smaller share keeps them out, or they fit as integers. */
    o.gpu_memory_utilization = 0.1;
    assert_true(
        refused("weights:", (struct machine){.memory = 100 * MIB, .pinned = unlimited}, &o) > 0);
}

/* From too little for weights to enough, in steps: buffers, then the pool, do not fit. */
static void climb(struct engine_options o, const char *const *parts, int n_parts)
{
    int seen[4] = {0}, n_advised = 0;
    struct error err;
    for (size_t mib = 18;; mib += 3) {
        assert_true(mib < 400);
        const struct machine m = {.memory = mib * MIB, .pinned = unlimited};
        if (try_on(&m, &o, &err) == STATUS_OK) break;
        int part = 0;
        while (part < n_parts && !strstr(err.message, parts[part])) part++;
        if (part == n_parts) fail_msg("%zu MiB: %s", mib, err.message);
        if (seen[part]++ == 0) n_advised += refused(parts[part], m, &o) > 0;
    }
    for (int i = 0; i < n_parts; i++)
        if (!seen[i]) fail_msg("never failed over %s", parts[i]);
    assert_true(n_advised > 0);
}

static void test_buffers_and_pool(void **state)
{
    static const char *const parts[] = {"step buffers", "KV cache"};
    (void)state;
    if (!cuda_plugin() || !cuda_is_host_code()) skip();
    struct engine_options o = base();
    o.max_num_batched_tokens = 256; /* buffers that take more than what loading does */
    o.gpu_memory_utilization = 0.8;
    climb(o, parts, 2);
    o.gpu_memory_utilization = base().gpu_memory_utilization;
    o.kv_cache_bytes = 24 * MIB;
    climb(o, parts, 2);
}

static void test_pinned(void **state)
{
    (void)state;
    if (!cuda_plugin() || !cuda_is_host_code()) skip();
    struct engine_options o = base();
    struct machine m = roomy;
    struct error err;
    m.pinned = MIB; /* not one buffer to read weights by */
    assert_int_equal(try_on(&m, &o, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(err.message, "pinned host memory (not the GPU's)"));
    assert_null(strstr(err.message, "--gpu-memory-utilization"));
    o.max_num_seqs = o.max_num_batched_tokens = 512; /* 512 histories of 1,024 tokens, twice */
    o.max_model_len = 1024;
    m.pinned = 6 * MIB;
    assert_true(refused("pinned host memory", m, &o) > 0);
}

static void test_graphs(void **state)
{
    (void)state;
    if (!cuda_plugin() || !cuda_is_host_code()) skip();
    struct engine_options o = base();
    struct error err;
    o.enforce_eager = false;
    o.gpu_memory_utilization = 1;
    o.max_num_seqs = 3; /* buckets of 1, 2 and 3: 12 MiB are left free, and not enough */
    o.dtype = o.kv_dtype = DT_F32;
    o.max_model_len = 1024;
    struct machine m = {.memory = 50 * MIB, .pinned = unlimited, .graph = 6 * MIB};
    while (try_on(&m, &o, &err) != STATUS_OK &&
           !strstr(err.message, "use --gpu-memory-utilization 0."))
        m.memory += 2 * MIB;
    print_message("%zu MiB: %s\n", m.memory / MIB, err.message);
    assert_non_null(strstr(err.message, "graphs of steps"));
    assert_non_null(strstr(err.message, " of 3 were captured"));
    assert_true(amount_before(err.message, " are missing") > 0);
    assert_true(follow(err.message, &m, &o) > 1);
}

/* --- ready --- */

static void run_step(struct engine *e, const struct step_builder *b)
{
    static struct sample_out samples[MAX_TOKENS];
    struct step_result result = {.samples = samples};
    struct error err = {0};
    if (engine_execute(e, &b->step, &result, &err) != STATUS_OK) fail_msg("%s", err.message);
}

static void test_nothing_is_allocated_once_ready(void **state)
{
    (void)state;
    if (!cuda_plugin() || !cuda_is_host_code()) skip();
    static const int lengths[] = {1, 2, 9, 17, 33, MAX_TOKENS};
    static int32_t ids[MAX_LEN];
    const struct logit_bias bias = {.token = 7, .bias = 2.0f};
    const struct block_copy copies[] = {{.src = 1, .dst = 2}, {.src = 3, .dst = 4}};
    struct engine_options o = base();
    struct engine *e;
    struct error err;
    o.enforce_eager = false;
    if (open_on(&roomy, &o, &e, &err) != STATUS_OK) fail_msg("%s", err.message);
    void *plugin = dlopen(cuda_plugin(), RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(plugin);
    const uint64_t *count = dlsym(plugin, "ih_allocations");
    assert_non_null(count);
    const uint64_t before = *count;
    assert_true(before > 20);
    const struct sampling_params greedy = builder_greedy(-1);
    struct sampling_params drawn = builder_greedy(20);
    drawn.temperature = 0.7f;
    drawn.top_p = 0.9f;
    drawn.top_k = 40;
    drawn.repetition_penalty = 1.2f;
    drawn.presence_penalty = 0.5f;
    drawn.n_bias = 1;
    drawn.bias = &bias;
    for (int i = 0; i < MAX_LEN; i++) ids[i] = 5 + i % (VOCAB - 5);
    struct step_builder b;
    builder_init(&b, MAX_SEQS, BLOCK, MAX_LEN, MAX_TOKENS);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) { /* prompts, one with a score of its tokens */
        builder_begin(&b);
        builder_add(&b, 0, ids, 0, lengths[i], lengths[i]);
        builder_sample(&b, lengths[i] - 1, -1, 0, i % 2 ? &drawn : &greedy);
        b.samples[0].history = ids;
        b.samples[0].n_prompt = b.samples[0].n_history = lengths[i];
        run_step(e, &b);
    }
    for (int n = 1; n <= MAX_SEQS; n++) { /* decodes: captured, with all that sampling knows */
        builder_begin(&b);
        for (int s = 0; s < n; s++) {
            builder_add(&b, s, ids, 64 + n, 65 + n, 60);
            builder_sample(&b, s, -1, n, s % 2 ? &greedy : &drawn);
            b.samples[s].history = ids;
            b.samples[s].n_prompt = 60;
            b.samples[s].n_history = 65 + n;
        }
        b.step.copies = copies;
        b.step.n_copies = n > 1 ? 2 : 1;
        run_step(e, &b);
    }
    assert_int_equal(*count, before);
    builder_free(&b);
    engine_close(e);
    dlclose(plugin);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_buffers_and_pool),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_nothing_is_allocated_once_ready),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
