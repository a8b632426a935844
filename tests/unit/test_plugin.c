/* The border between the binary and its device plug-ins: what is loaded, what is refused and why,
 * and what "auto" makes of it.  The plug-in is the one whose device is the host (tests/cuda_host). */
#include "config/base/check.h"
#include "config/base/log.h"
#include "engine/engine.h"
#include "engine/plugin.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char host_plugin[PATH_MAX], made_plugin[PATH_MAX], stale_plugin[PATH_MAX],
    model_dir[PATH_MAX];

/* BUILD/tests/unit/test_plugin: the plug-ins lie beside it. */
static int find_files(void **state)
{
    (void)state;
    char exe[PATH_MAX / 2];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK(n > 0);
    exe[n] = '\0';
    for (int i = 0; i < 3; i++) *strrchr(exe, '/') = '\0';
    snprintf(host_plugin, sizeof host_plugin, "%s/libinferd-cuda-host.so", exe);
    snprintf(made_plugin, sizeof made_plugin, "%s/libinferd-cuda.so", exe);
    snprintf(stale_plugin, sizeof stale_plugin, "%s/tests/plugins/stale.so", exe);
    snprintf(model_dir, sizeof model_dir, "models/demo");
    return 0;
}

static void refused(const char *path, enum status want, const char *words)
{
    const struct plugin_options o = {.device = 0};
    struct backend *be = NULL;
    struct error err = {0};
    assert_int_equal(plugin_backend_open(&be, path, &o, &err), want);
    assert_null(be);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void test_what_is_not_a_plugin_is_refused(void **state)
{
    (void)state;
    refused("/nonexistent/libinferd-cuda.so", STATUS_NOT_FOUND, "/nonexistent/libinferd-cuda.so");
    refused("README.md", STATUS_UNAVAILABLE, "README.md");
    refused("libc.so.6", STATUS_NOT_FOUND, "libc.so.6"); /* a path, never searched for */
    refused(stale_plugin, STATUS_UNAVAILABLE, "install the two of one build");
}

static void test_a_library_without_the_entry_is_refused(void **state)
{
    (void)state;
    static const char *const places[] = {"/lib/x86_64-linux-gnu/libz.so.1",
                                         "/usr/lib/x86_64-linux-gnu/libuv.so.1",
                                         "/usr/lib/x86_64-linux-gnu/libcjson.so.1"};
    int tried = 0;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (access(places[i], R_OK) != 0) continue;
        refused(places[i], STATUS_UNAVAILABLE, "is not a plug-in of inferd");
        tried++;
    }
    if (tried == 0) skip();
}

/* --- the plan of a step --- */

struct plan_lines {
    int n, unknown, missing;
};

static void count_line(void *ctx, const char *line)
{
    struct plan_lines *p = ctx;
    p->n++;
    p->unknown += strstr(line, "     -      -  ") != NULL;
    p->missing += strstr(line, "not in this build") != NULL;
}

/* What nvcc gave a kernel is known of kernels that nvcc has compiled. */
static void test_a_plan_names_kernels_that_exist(void **state)
{
    (void)state;
    const struct plugin *p;
    struct error err = {0};
    struct plan_lines host = {0}, made = {0};
    assert_int_equal(plugin_load(&p, host_plugin, &err), STATUS_OK);
    assert_true(p->print_plan(count_line, &host, "sm_90"));
    /* but for the head and the sums of ten steps every line is a kernel's */
    assert_int_equal(host.unknown, host.n - 11);
    assert_int_equal(host.missing, 0);
    if (access(made_plugin, R_OK) != 0) return;
    assert_int_equal(plugin_load(&p, made_plugin, &err), STATUS_OK);
    assert_true(p->print_plan(count_line, &made, "sm_90"));
    assert_int_equal(made.n, host.n);
    assert_int_equal(made.missing, 0);
    assert_true(made.unknown > 0 && made.unknown < made.n / 4); /* those of cuBLASLt */
    assert_false(p->print_plan(count_line, &made, "sm_10"));
}

static void test_a_device_that_is_not_there(void **state)
{
    (void)state;
    const struct plugin_options o = {.device = 7};
    struct backend *be = NULL;
    struct error err = {0};
    assert_int_equal(plugin_backend_open(&be, host_plugin, &o, &err), STATUS_UNAVAILABLE);
    assert_null(be);
}

static void test_a_backend_opens_and_closes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct plugin_options o = {.host_addressable = true};
        struct backend *be = NULL;
        struct error err = {0};
        assert_int_equal(plugin_backend_open(&be, host_plugin, &o, &err), STATUS_OK);
        assert_string_equal(be->ops->name, "cuda");
        assert_string_equal(be->isa, "host shim");
        be->ops->close(be);
    }
}

static struct engine_options engine_options(const char *device, const char *plugin)
{
    return (struct engine_options){
        .model_dir = model_dir,
        .dtype = -1,
        .kv_dtype = -1,
        .device = device,
        .cuda_plugin = plugin,
        .gpu_memory_utilization = 0.9,
        .isa = "auto",
        .n_threads = 1,
        .block_size = 16,
        .max_num_seqs = 2,
        .max_num_batched_tokens = 16,
        .max_model_len = 64,
    };
}

static void opens_on(const char *device, const char *plugin, const char *want)
{
    const struct engine_options o = engine_options(device, plugin);
    struct engine *e = NULL;
    struct error err = {0};
    if (engine_open(&e, &o, &err) != STATUS_OK) fail_msg("%s: %s", device, err.message);
    assert_string_equal(engine_info(e)->device, want);
    engine_close(e);
}

static void test_auto_takes_what_there_is(void **state)
{
    (void)state;
    opens_on("cpu", host_plugin, "cpu");
    opens_on("auto", "/nonexistent/plugin.so", "cpu");
    opens_on("auto", stale_plugin, "cpu");
    opens_on("auto", host_plugin, "cuda");
    opens_on("cuda", host_plugin, "cuda");
}

static void test_a_device_that_was_asked_for_is_a_must(void **state)
{
    (void)state;
    const struct engine_options missing = engine_options("cuda", "/nonexistent/plugin.so");
    struct engine *e = NULL;
    struct error err = {0};
    assert_int_equal(engine_open(&e, &missing, &err), STATUS_NOT_FOUND);
    struct engine_options int4 = engine_options("cuda", host_plugin);
    int4.quant = QUANT_INT4;
    assert_int_equal(engine_open(&e, &int4, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "--device cpu"));
    struct engine_options small = engine_options("cuda", host_plugin);
    setenv("INFERD_CUDA_HOST_MEMORY", "65536", 1); /* bytes: no room for any weights */
    assert_int_equal(engine_open(&e, &small, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(err.message, "--gpu-memory-utilization"));
    unsetenv("INFERD_CUDA_HOST_MEMORY");
    assert_null(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_a_plugin_is_refused),
        cmocka_unit_test(test_a_library_without_the_entry_is_refused),
        cmocka_unit_test(test_a_plan_names_kernels_that_exist),
        cmocka_unit_test(test_a_device_that_is_not_there),
        cmocka_unit_test(test_a_backend_opens_and_closes),
        cmocka_unit_test(test_auto_takes_what_there_is),
        cmocka_unit_test(test_a_device_that_was_asked_for_is_a_must),
    };
    return cmocka_run_group_tests(tests, find_files, NULL);
}
