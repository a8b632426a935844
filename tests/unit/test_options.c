/* config/options.h.  `test_options --print-markdown > docs/options.md` renews the page that the
 * last test compares. */
#include "config/base/check.h"
#include "config/base/file.h"
#include "config/options.h"
#include "config/options_table.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 32

/* `line` is split at spaces; `env` too. */
static enum status parse(const char *line, const char *env, struct options *o, bool *help,
                         struct error *err)
{
    static char text[2048], env_text[2048];
    char *argv[ARGS_MAX] = {NULL}, *envp[ARGS_MAX] = {NULL}, *save;
    int argc = 0, n_env = 0;
    snprintf(text, sizeof(text), "%s", line);
    snprintf(env_text, sizeof(env_text), "%s", env);
    for (char *w = strtok_r(text, " ", &save); w && argc < ARGS_MAX; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    for (char *w = strtok_r(env_text, " ", &save); w && n_env < ARGS_MAX - 1;
         w = strtok_r(NULL, " ", &save))
        envp[n_env++] = w;
    return options_parse(argc, argv, envp, o, help, err);
}

static struct options parse_ok(const char *line, const char *env)
{
    struct options o;
    struct error err = {0};
    bool help;
    if (parse(line, env, &o, &help, &err) != STATUS_OK) fail_msg("%s: %s", line, err.message);
    assert_false(help);
    return o;
}

static void refuse(const char *line, const char *env, const char *message)
{
    struct options o;
    struct error err = {0};
    bool help;
    if (parse(line, env, &o, &help, &err) == STATUS_OK) fail_msg("%s %s: accepted", line, env);
    if (!strstr(err.message, message))
        fail_msg("%s %s: \"%s\", not \"%s\"", line, env, err.message, message);
    assert_null(o.storage);
}

static void test_defaults(void **state)
{
    (void)state;
    struct options o = parse_ok("DIR", "");
    assert_string_equal(o.model, "DIR");
    assert_string_equal(o.host, "127.0.0.1");
    assert_int_equal(o.port, 8000);
    assert_int_equal(o.block_size, 16);
    assert_int_equal(o.max_num_seqs, 256);
    assert_int_equal(o.max_num_batched_tokens, 2048);
    assert_int_equal(o.max_body_size, 32 << 20);
    assert_int_equal(o.max_header_size, 32 << 10);
    assert_int_equal(o.seed, -1);
    assert_true(o.idle_timeout == 75.0);
    assert_true(o.enable_prefix_caching && o.enable_chunked_prefill && o.log_requests);
    assert_false(o.disable_metrics);
    assert_string_equal(o.root_path, "");
    assert_string_equal(o.isa, "auto");
    assert_null(o.tokenizer);
    assert_int_equal(o.api_key.n, 0);
    options_free(&o);
    options_free(&o); /* harmless */
    o = parse_ok("", "");
    assert_null(o.model); /* whoever needs one takes the demo model */
    options_free(&o);
}

static void test_command_line(void **state)
{
    (void)state;
    struct options o = parse_ok(
        "--port=9 DIR --max_num_seqs 3 --served-model-name a b c --no-enable-prefix-caching "
        "--kv-cache-memory-bytes 4G --api-key=k1 --api-key=k2 --disable-metrics "
        "--max-model-len 32k --log-requests=false --idle-timeout 1.5 --seed -1 "
        "--tensor-parallel-size 1 --no-enable-lora --pipeline_parallel_size=1 "
        "--max-num-batched-tokens 4KiB",
        "");
    assert_string_equal(o.model, "DIR");
    assert_int_equal(o.port, 9);
    assert_int_equal(o.max_num_seqs, 3);
    assert_int_equal(o.served_model_name.n, 3);
    assert_string_equal(o.served_model_name.items[2], "c");
    assert_false(o.enable_prefix_caching);
    assert_true(o.kv_cache_memory_bytes == INT64_C(4) << 30);
    assert_int_equal(o.api_key.n, 2);
    assert_string_equal(o.api_key.items[1], "k2");
    assert_true(o.disable_metrics);
    assert_int_equal(o.max_model_len, 32000);
    assert_int_equal(o.max_num_batched_tokens, 4096);
    assert_false(o.log_requests);
    assert_true(o.idle_timeout == 1.5);
    options_free(&o);
    o = parse_ok("--port 5 -- --strange-dir", "");
    assert_string_equal(o.model, "--strange-dir");
    options_free(&o);
    o = parse_ok("--model M --port 5 --port 6", "");
    assert_string_equal(o.model, "M");
    assert_int_equal(o.port, 6);
    options_free(&o);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"A B", "", "a second model \"B\""},
        {"A --model B", "", "inferd serve takes one model"},
        {"A --port 70000", "", "--port: must be a whole number from 0 to 65535, not \"70000\""},
        {"A --port 1e3", "", "--port: must be a whole number"},
        {"A --port", "", "--port needs a value"},
        {"A --port --host x", "", "--port needs a value"},
        {"A --dtype int4", "", "--dtype: must be one of auto|float32|bfloat16"},
        {"A --dtype half", "", "not \"half\"; checkpoints in float16 load with auto"},
        {"A --device rocm", "", "--device: must be one of auto|cpu|cuda"},
        {"A --gpu-memory-utilization 1.1", "", "a number from 0.05 to 1.00"},
        {"A --gpu-memory-utilization 90", "", "a number from 0.05 to 1.00"},
        {"A --quantization awq", "", "quantized ones are not read yet"},
        {"A --quantization w8a16", "", "must be one of none|int8|int8-w8a16|int4"},
        {"A --no-web=1", "", "--no-web takes no value; write --no-web or --web=true"},
        {"A --version", "", "inferd --version"},
        {"-m A", "", "inferd serve MODEL"},
        {"A --dtype", "", "one of auto|float32|bfloat16"},
        {"A --dtype=auto|float32", "", "--dtype: must be one of"},
        {"A --dtype=", "", "--dtype: must be one of"},
        {"A --host=", "", "not empty"},
        {"A --max-batched-tokens 5", "", "did you mean \"max-num-batched-tokens\""},
        {"A --prot 5", "", "did you mean \"port\""},
        {"A --max-model-length 5", "", "did you mean \"max-model-len\""},
        {"A --chunked-prefill", "", "did you mean \"enable-chunked-prefill\""},
        {"A --xyzzyplugh", "", "inferd serve --help"},
        {"A --no-port", "", "unknown option \"no-port\""},
        {"A -p 5", "", "two dashes"},
        {"A --idle-timeout 0", "", "from 1 to 86400"},
        {"A --idle-timeout nan", "", "a number of seconds"},
        {"A --log-requests=maybe", "", "true or false"},
        {"A --kv-cache-memory-bytes 4X", "", "K, M, G and T"},
        {"A --kv-cache-memory-bytes 99999999999T", "", "K, M, G and T"},
        {"A --kv-cache-memory-bytes 100", "", "too small"},
        {"A --kv-cache-memory-bytes -1", "", "whole number"},
        {"A --block-size 48", "", "16, 32, 64 or 128"},
        {"A --max-num-seqs 512 --max-num-batched-tokens 256", "", "raise it to 512"},
        {"A --no-enable-chunked-prefill --max-model-len 4096", "", "must fit one step"},
        {"A --tensor-parallel-size 2", "", "tensor-parallel-size is not implemented yet"},
        {"A --num-gpu-blocks-override 9", "", "--kv-cache-memory-bytes"},
        {"A --enable-lora", "", "LoRA"},
        {"A --trust-remote-code", "", "never runs code"},
        {"A --ssl-keyfile=x", "", "TLS proxy"},
        {"A --root-path llm", "", "must start with /"},
        {"A --root-path /llm/", "", "must start with /"},
        {"A --allowed-origins example.org", "", "no origin"},
        {"A --allowed-origins http://a.b/c", "", "no origin"},
        {"A --api-key \xC3\xA9", "", "printable ASCII"},
        {"A --max-logprobs 21", "", "from 0 to 20"},
        {"A --config /nonexistent/x.yaml", "", "/nonexistent/x.yaml"},
        {"A", "INFERD_PORT=x", "INFERD_PORT: must be a whole number"},
        {"A", "INFERD_PORT=tcp://10.0.0.1:8000", "enableServiceLinks"},
        {"A", "INFERD_PROT=1", "did you mean INFERD_PORT?"},
        {"A", "INFERD_MAX_NUM_SEQ=1", "did you mean INFERD_MAX_NUM_SEQS?"},
        {"A", "INFERD_LOG_LEVEL=", "INFERD_LOG_LEVEL: must be one of"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) refuse(cases[i][0], cases[i][1], cases[i][2]);
}

static void test_secrets_are_not_repeated(void **state)
{
    (void)state;
    struct options o;
    struct error err = {0};
    bool help;
    assert_int_not_equal(parse("A --api-key good s3cr\x01t", "", &o, &help, &err), STATUS_OK);
    assert_null(strstr(err.message, "s3cr"));
    assert_int_not_equal(parse("A", "INFERD_API_KEY=s3cr\xFFt", &o, &help, &err), STATUS_OK);
    assert_null(strstr(err.message, "s3cr"));
}

static void test_environment(void **state)
{
    (void)state;
    struct options o =
        parse_ok("--port 5", "INFERD_PORT=x INFERD_MODEL=E INFERD_API_KEY=a,b HOME=/ "
                             "INFERD_ENABLE_PREFIX_CACHING=off INFERD_SHARED=x "
                             "INFERD_SERVICE_HOST=1.2.3.4 INFERD_PORT_8000_TCP=y");
    assert_int_equal(o.port, 5);
    assert_string_equal(o.model, "E");
    assert_int_equal(o.api_key.n, 2);
    assert_string_equal(o.api_key.items[1], "b");
    assert_false(o.enable_prefix_caching);
    options_free(&o);
    /* A list comes from one source: the strongest. */
    o = parse_ok("A --served-model-name x", "INFERD_SERVED_MODEL_NAME=y,z");
    assert_int_equal(o.served_model_name.n, 1);
    options_free(&o);
}

static void test_help(void **state)
{
    (void)state;
    struct options o;
    struct error err;
    bool help;
    assert_int_equal(parse("--port 5 --help", "INFERD_PORT=x", &o, &help, &err), STATUS_OK);
    assert_true(help);
    options_free(&o);
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    options_print_help(f);
    fclose(f);
    for (int i = 0; i < option_table_len; i++) {
        char want[100], env[80];
        snprintf(want, sizeof(want), "  --%s", option_table[i].name);
        assert_non_null(strstr(text, want));
        option_env_name(&option_table[i], env, sizeof(env));
        snprintf(want, sizeof(want), "INFERD_%s]", env);
        if (!strstr(text, want)) fail_msg("help lacks %s", want);
    }
    size_t column = 0;
    for (size_t i = 0; i < len; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 100);
    }
    free(text);
}

/* --- YAML ------------------------------------------------------------------------------------ */

static char yaml_path[] = "/tmp/inferd-options-XXXXXX";

static void write_yaml(const char *text, size_t len)
{
    FILE *f = fopen(yaml_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static struct options yaml_ok(const char *text, const char *line, const char *env)
{
    char full[512];
    write_yaml(text, strlen(text));
    snprintf(full, sizeof(full), "%s --config %s", line, yaml_path);
    return parse_ok(full, env);
}

static void test_yaml(void **state)
{
    (void)state;
    const char *text = "# a comment\n"
                       "model: Y\n"
                       "port: 1\n"
                       "max_num_seqs: 7\n"
                       "host: \"::\"\n"
                       "enable-prefix-caching: false\n"
                       "served-model-name: [a, 'b c']\n"
                       "api-key:\n  - k1\n  - k2\n"
                       "max-body-size: 1M\n"
                       "tensor-parallel-size: 1\n"
                       "log-level: error\n";
    struct options o = yaml_ok(text, "--port 2", "INFERD_MAX_NUM_SEQS=8 INFERD_LOG_LEVEL=debug");
    assert_string_equal(o.model, "Y");
    assert_int_equal(o.port, 2);
    assert_int_equal(o.max_num_seqs, 8);
    assert_string_equal(o.log_level, "debug");
    assert_string_equal(o.host, "::");
    assert_false(o.enable_prefix_caching);
    assert_int_equal(o.served_model_name.n, 2);
    assert_string_equal(o.served_model_name.items[1], "b c");
    assert_int_equal(o.api_key.n, 2);
    assert_int_equal(o.max_body_size, 1 << 20);
    options_free(&o);
    o = yaml_ok("", "A", "");
    options_free(&o);
    o = yaml_ok("served-model-name: one\n", "A", "");
    assert_int_equal(o.served_model_name.n, 1);
    options_free(&o);
}

static void test_yaml_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"port: 1\n\nport: 2\n", "line 3: \"port\" is given twice"},
        {"max-num-seqs: 1\nmax_num_seqs: 2\n", "line 2: \"max-num-seqs\" is given twice"},
        {"host: x\nprot: 1\n", "line 2: unknown option \"prot\"; did you mean \"port\""},
        {"port: [1, 2]\n", "line 1: this option takes one value"},
        {"api-key: {a: 1}\n", "line 1: expected a plain value"},
        {"api-key: [[1]]\n", "line 1: expected a plain value"},
        {"port: abc\n", "line 1: port: must be a whole number"},
        {"port:\n", "line 1: a value is missing"},
        {"port: ~\n", "a value is missing"},
        {"- port\n", "expected lines like"},
        {"port\n", "expected lines like"},
        {"? [a]\n: b\n", "expected a plain value"},
        {"port: &x 1\nmax-num-seqs: *x\n", "line 1: anchors are not accepted"},
        {"port: *x\n", "line 1: aliases are not accepted"},
        {"port: !!int 1\n", "tags are not accepted"},
        {"port: 1\n---\nport: 2\n", "only one document"},
        {"port: 1\n  x: 2\n", "not \"1 x\""},
        {"host: \"a\\0b\"\n", "NUL"},
        {"config: x\n", "config cannot name another file"},
        {"tensor-parallel-size: 2\n", "tensor-parallel-size is not implemented yet"},
        {"lora-modules: [a]\n", "LoRA"},
        {"host: \"\xFF\"\n", "line"},
        {"api-key: [\"\"]\n", "not empty"},
    };
    char line[256];
    snprintf(line, sizeof(line), "A --config %s", yaml_path);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        write_yaml(cases[i][0], strlen(cases[i][0]));
        refuse(line, "", cases[i][1]);
    }
    static char big[300 * 1024];
    memset(big, '#', sizeof(big));
    write_yaml(big, sizeof(big));
    refuse(line, "", "at most");
    memset(big, '[', 200 * 1024);
    write_yaml(big, 200 * 1024);
    refuse(line, "", "line");
}

static void test_sizes(void **state)
{
    (void)state;
    int64_t v;
    assert_true(option_parse_size("0", &v) && v == 0);
    assert_true(option_parse_size("8T", &v) && v == INT64_C(8) << 40);
    assert_true(option_parse_size("3GB", &v) && v == 3000000000);
    assert_true(option_parse_size("512MiB", &v) && v == 512 << 20);
    static const char *const bad[] = {"", "K", "1.5G", "4 G", "-4", "4Gx", "9223372036854775807K"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(option_parse_size(bad[i], &v));
}

static void test_table(void **state)
{
    (void)state;
    for (int i = 0; i < option_table_len; i++) {
        const struct option_def *d = &option_table[i];
        assert_ptr_equal(option_find(d->name, strlen(d->name)), d); /* no name twice */
        assert_null(option_find_foreign(d->name, strlen(d->name)));
        assert_null(strchr(d->name, '_'));
        assert_true(strlen(d->help) > 10 && d->help[strlen(d->help) - 1] == '.');
        assert_true(d->kind == OPTION_BOOL || d->choices || d->value_name);
    }
}

static void test_documentation(void **state)
{
    (void)state;
    char *page, *text = NULL;
    size_t page_len, len;
    struct error err;
    if (file_read("docs/options.md", 1 << 20, &page, &page_len, &err) != STATUS_OK)
        fail_msg("%s (run from the repository root)", err.message);
    FILE *f = open_memstream(&text, &len);
    options_print_markdown(f);
    fclose(f);
    if (!strstr(page, text))
        fail_msg("docs/options.md is out of date: see the top of tests/unit/test_options.c");
    free(text);
    free(page);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--print-markdown") == 0) {
        printf("# Options of `inferd serve`\n\nFrom the command line, the environment, a YAML file "
               "(`--config`) and the defaults, in that\norder of strength. This page is made from "
               "the table in `config/options_table.c`.\n\n");
        options_print_markdown(stdout);
        return 0;
    }
    int fd = mkstemp(yaml_path);
    if (fd < 0) return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_secrets_are_not_repeated),
        cmocka_unit_test(test_environment),   cmocka_unit_test(test_help),
        cmocka_unit_test(test_yaml),          cmocka_unit_test(test_yaml_refusals),
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_table),
        cmocka_unit_test(test_documentation),
    };
    int rc = cmocka_run_group_tests_name("options", tests, NULL, NULL);
    unlink(yaml_path);
    return rc;
}
