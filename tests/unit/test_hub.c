/* server/hub: names, addresses, listings, and what of them is believed. */
#include "config/base/check.h"
#include "server/hub/listing.h"
#include "server/hub/remote.h"
#include "server/hub/store.h"
#include "server/hub/sum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SHA  "0123456789abcdef0123456789abcdef01234567"
#define SUM  "89abcdef89abcdef89abcdef89abcdef89abcdef89abcdef89abcdef89abcdef"
#define BLOB "fedcba9876543210fedcba9876543210fedcba98"

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *repo, *rev; /* NULL: no name */
    } cases[] = {{"org/name", "org/name", "main"},
                 {"Qwen/Qwen3-0.6B@v1.0", "Qwen/Qwen3-0.6B", "v1.0"},
                 {"a/b@refs/pr/12", "a/b", "refs/pr/12"},
                 {"a/b@" SHA, "a/b", SHA},
                 {"name", NULL, NULL},
                 {"a/b/c", NULL, NULL},
                 {"/b", NULL, NULL},
                 {"a/", NULL, NULL},
                 {"../b", NULL, NULL},
                 {"a/..", NULL, NULL},
                 {"a/b--c", NULL, NULL},
                 {"a/b@", NULL, NULL},
                 {"a/b@../../x", NULL, NULL},
                 {"a/b@x/", NULL, NULL},
                 {"a/b@-x", NULL, NULL},
                 {"a/b@x y", NULL, NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct hub_name n;
        bool ok = hub_name_parse(cases[i].text, &n);
        if (ok != (cases[i].repo != NULL)) fail_msg("%s", cases[i].text);
        if (!ok) continue;
        assert_string_equal(n.repo, cases[i].repo);
        assert_string_equal(n.rev, cases[i].rev);
    }
}

static void test_addresses_of_models(void **state)
{
    (void)state;
    static const struct {
        const char *text, *repo, *rev; /* NULL: no name */
    } cases[] = {{"https://huggingface.co/Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "main"},
                 {"https://huggingface.co/Qwen/Qwen3-0.6B/", "Qwen/Qwen3-0.6B", "main"},
                 {"http://hf.co/a/b?library=x#top", "a/b", "main"},
                 {"huggingface.co/a/b/tree/v1.0", "a/b", "v1.0"},
                 {"https://huggingface.co/a/b/blob/main/config.json", "a/b", "main"},
                 {"https://www.huggingface.co/a/b/discussions/5", "a/b", "main"},
                 {"https://mirror.example/hub/a/b", "a/b", "main"},
                 {"https://mirror.example/a/b", NULL, NULL},
                 {"https://example.org/a/b", NULL, NULL},
                 {"https://huggingface.co.example.org/a/b", NULL, NULL},
                 {"https://huggingface.co@example.org/a/b", NULL, NULL},
                 {"https://huggingface.co/datasets/a/b", NULL, NULL},
                 {"https://huggingface.co/a", NULL, NULL},
                 {"https://huggingface.co/a/", NULL, NULL},
                 {"https://huggingface.co/../b", NULL, NULL},
                 {"https://huggingface.co/a/b/tree/..", NULL, NULL},
                 {"https://huggingface.co/", NULL, NULL},
                 {"", NULL, NULL}};
    setenv("HF_ENDPOINT", "https://mirror.example/hub/", 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct hub_name n;
        bool ok = hub_name_from_url(cases[i].text, &n);
        if (ok != (cases[i].repo != NULL)) fail_msg("%s", cases[i].text);
        if (!ok) continue;
        assert_string_equal(n.repo, cases[i].repo);
        assert_string_equal(n.rev, cases[i].rev);
    }
    unsetenv("HF_ENDPOINT");
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"config.json", "a/b.jinja", "...",      ".a",
                                       "a..b/c",      "é",         "\xc2\xa0", "\xe2\x80\x93"};
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "/a",
                                      "a/",
                                      "a//b",
                                      "a/../b",
                                      "a/..",
                                      "./a",
                                      "a\\b",
                                      "a\nb",
                                      "a\x7f"
                                      "b",
                                      "a\xc2\x9b"
                                      "31m", /* CSI */
                                      "\xe2\x80\xae"
                                      "a", /* RIGHT-TO-LEFT OVERRIDE */
                                      "\xe2\x81\xa7"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_true(hub_path_is_safe(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (hub_path_is_safe(bad[i])) fail_msg("\"%s\" is no safe path", bad[i]);
}

static void test_redirects(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool allowed;
    } cases[] = {{"http://a/x", "http://b/y", true},
                 {"http://a/x", "https://b/y", true},
                 {"https://a/x", "https://b/y", true},
                 {"https://a/x", "http://a/x", false},
                 {"http://a/x", "ftp://a/x", false},
                 {"http://a/x", "file:///etc/passwd", false},
                 {"http://a/x", "javascript:0", false},
                 {"http://a/x", "http://", false},
                 {"http://a/x", "", false},
                 {"HTTPS://a/x", "http://a/x", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (hub_redirect_allowed(cases[i].from, cases[i].to) != cases[i].allowed)
            fail_msg("%s -> %s", cases[i].from, cases[i].to);
}

static void test_who_sees_the_token(void **state)
{
    (void)state;
    struct hub_remote r;
    struct error err;
    setenv("HF_ENDPOINT", "https://Hub.example/mirror/", 1);
    setenv("HF_TOKEN", " hf_x \n", 1);
    if (hub_remote_init(&r, &err) != STATUS_OK) fail_msg("%s", err.message);
    assert_string_equal(r.endpoint, "https://Hub.example/mirror");
    assert_string_equal(r.token, "hf_x");
    assert_true(hub_remote_is_own(&r, "https://hub.example/a"));
    assert_true(hub_remote_is_own(&r, "HTTPS://HUB.EXAMPLE:443/a"));
    static const char *const others[] = {"http://hub.example/a",
                                         "https://hub.example:444/a",
                                         "https://hub.example.evil/",
                                         "https://hub.example@evil/",
                                         "https://evil/hub.example",
                                         "https://sub.hub.example/",
                                         "https://evil#hub.example/",
                                         "",
                                         "hub.example"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (hub_remote_is_own(&r, others[i])) fail_msg("%s", others[i]);
    unsetenv("HF_ENDPOINT");
    unsetenv("HF_TOKEN");
}

static void test_addresses_for_people(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"https://a/b?X-Signature=secret", "https://a/b"},
                                           {"https://user:secret@a/b#f", "https://a/b"},
                                           {"http://a/\x1b[2J", "http://a/?[2J"},
                                           {"nonsense", "nonsense"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[64];
        hub_url_shown(cases[i][0], out, sizeof(out));
        assert_string_equal(out, cases[i][1]);
    }
    char small[8];
    hub_url_shown("https://abcdefgh/", small, sizeof(small));
    assert_string_equal(small, "https:/");
}

static void test_headers(void **state)
{
    (void)state;
    assert_int_equal(hub_retry_after("7", 0), 7);
    assert_int_equal(hub_retry_after("999999", 0), LIMIT_HUB_WAIT_S);
    assert_int_equal(hub_retry_after("-1", 0), -1);
    assert_int_equal(hub_retry_after("soon", 0), -1);
    assert_int_equal(hub_retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 40), 60);
    assert_int_equal(hub_retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 4000), 0);
    assert_true(hub_content_range_fits("bytes 10-99/100", 10, 100));
    static const char *const wrong[] = {"bytes 9-99/100", "bytes 10-98/100", "bytes 10-99/101",
                                        "bytes 10-99/*",  "bytes */100",     "",
                                        "10-99/100",      "bytes 10-99/100 "};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(hub_content_range_fits(wrong[i], 10, 100));
    assert_true(hub_worth_another_try(429) && hub_worth_another_try(503));
    assert_false(hub_worth_another_try(404) || hub_worth_another_try(204));
}

static enum status choose(const char *siblings, struct hub_files *files, bool *sharded,
                          struct error *err)
{
    char text[4000];
    struct hub_listing l;
    int n = snprintf(text, sizeof(text), "{\"sha\":\"" SHA "\",\"siblings\":[%s]}", siblings);
    enum status st = hub_listing_parse(text, (size_t)n, &l, err);
    *files = (struct hub_files){.items = NULL};
    if (st == STATUS_OK) st = hub_listing_choose(&l, files, sharded, err);
    if (st == STATUS_OK && *sharded) {
        static const char index[] = "{\"weight_map\":{\"a\":\"m-1.safetensors\","
                                    "\"b\":\"m-2.safetensors\",\"c\":\"m-1.safetensors\"}}";
        st = hub_listing_add_shards(&l, index, sizeof(index) - 1, files, err);
    }
    hub_listing_free(&l);
    return st;
}

#define GIT(name) "{\"rfilename\":\"" name "\",\"size\":5,\"blobId\":\"" BLOB "\"}"
#define LFS(name)                                                     \
    "{\"rfilename\":\"" name "\",\"size\":7,\"blobId\":\"" BLOB "\"," \
    "\"lfs\":{\"sha256\":\"" SUM "\",\"size\":7,\"pointerSize\":1}}"
#define INDEX    GIT("model.safetensors.index.json")
#define WEIGHTS  LFS("model.safetensors")
#define SHARD(n) LFS("m-" n ".safetensors")
#define TEMPLATE GIT("additional_chat_templates/rag.jinja")

static void test_what_is_chosen(void **state)
{
    (void)state;
    static const char *const single =
        GIT("README.md") "," GIT("config.json") "," GIT("tokenizer.json") "," TEMPLATE "," GIT(
            "onnx/config.json") "," LFS("x.gguf") "," WEIGHTS "," INDEX;
    static const char *const shards =
        GIT("config.json") "," INDEX "," SHARD("1") "," SHARD("2") "," SHARD("3");
    struct hub_files f;
    struct error err;
    bool sharded = true;
    assert_int_equal(choose(single, &f, &sharded, &err), STATUS_OK);
    assert_false(sharded);
    assert_int_equal(f.n, 4);
    assert_string_equal(f.items[3].path, "model.safetensors");
    assert_string_equal(f.items[3].etag, SUM);
    assert_int_equal(f.items[3].size, 7);
    assert_string_equal(f.items[0].etag, BLOB);
    hub_files_free(&f);

    assert_int_equal(choose(shards, &f, &sharded, &err), STATUS_OK);
    assert_true(sharded);
    assert_int_equal(f.n, 4);
    assert_string_equal(f.items[3].path, "m-2.safetensors");
    hub_files_free(&f);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *siblings, *words;
    } cases[] = {
        {GIT("config.json") "," LFS("pytorch_model.bin"), "pytorch_model.bin"},
        {GIT("config.json"), "no model.safetensors"},
        {WEIGHTS, "config.json"},
        {GIT("config.json") "," INDEX "," SHARD("1"), "m-2.safetensors"},
        {GIT("config.json") "," GIT("config.json") "," WEIGHTS, "twice"},
        {GIT("config.json") "," LFS("model.safetensors") "," GIT(
             "additional_chat_templates/../x.jinja"),
         "elsewhere"},
        {GIT("config.json") ",{\"rfilename\":\"model.safetensors\",\"size\":5}", "no sum"},
        {GIT("config.json") ",{\"rfilename\":\"model.safetensors\",\"blobId\":\"" BLOB "\"}",
         "no size"},
        {"{\"size\":5}", "rfilename"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct hub_files f;
        struct error err = {0};
        bool sharded;
        if (choose(cases[i].siblings, &f, &sharded, &err) == STATUS_OK)
            fail_msg("accepted: %s", cases[i].siblings);
        if (!strstr(err.message, cases[i].words)) fail_msg("%s", err.message);
        hub_files_free(&f);
    }
}

/* sha256sum and git hash-object of "hello\n". */
static void test_sums(void **state)
{
    (void)state;
    struct hub_file f = {.etag = SUM, .size = 6};
    struct hub_sum s = {0};
    char out[HUB_ETAG_LEN + 1];
    assert_true(hub_sum_begin(&s, &f));
    hub_sum_add(&s, "hel", 3);
    hub_sum_add(&s, "lo\n", 3);
    assert_true(hub_sum_end(&s, out));
    assert_string_equal(out, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
    snprintf(f.etag, sizeof(f.etag), BLOB);
    assert_true(hub_sum_begin(&s, &f));
    hub_sum_add(&s, "hello\n", 6);
    assert_true(hub_sum_end(&s, out));
    assert_string_equal(out, "ce013625030ba8dba906f756967f9e9ca394464a");
    assert_false(hub_sum_end(&s, out)); /* it has ended */
}

static void test_sizes_for_people(void **state)
{
    (void)state;
    static const struct {
        int64_t size;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.0 kB"},
                 {999949, "999.9 kB"},
                 {999950, "1.0 MB"},
                 {INT64_C(2) << 50, "2.3 PB"},
                 {INT64_C(4096000000), "4.1 GB"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[24];
        hub_size_shown(cases[i].size, out);
        assert_string_equal(out, cases[i].text);
    }
}

/* Containers that share a cache have processes of the same id: what another one is about to rename
 * stays as it is. */
static void test_new_names_are_nobody_elses(void **state)
{
    (void)state;
    struct hub_name name;
    struct hub_store s;
    struct error err;
    const struct hub_file file = {.path = "config.json", .etag = BLOB, .size = 1};
    char dir[] = "/tmp/inferd-store-XXXXXX", path[PATH_MAX + 64], target[64] = "", command[128];

    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("HF_HUB_CACHE", dir, 1), 0);
    assert_true(hub_name_parse("org/name", &name));
    assert_int_equal(hub_store_init(&s, &name, SHA, &err), STATUS_OK);
    snprintf(path, sizeof(path), "%s/.new.%ld", s.repo, (long)getpid());
    assert_int_equal(mkdir(s.repo, 0777), 0);
    assert_int_equal(symlink("theirs", path), 0);
    assert_int_equal(hub_store_link(&s, &file, &err), STATUS_OK);
    assert_int_equal(hub_store_set_ref(&s, "main", SHA, &err), STATUS_OK);
    assert_int_equal(readlink(path, target, sizeof(target)), (int)strlen("theirs"));
    assert_string_equal(target, "theirs");
    snprintf(path, sizeof(path), "%s/%s", s.snapshot, file.path);
    memset(target, 0, sizeof(target));
    assert_true(readlink(path, target, sizeof(target)) > 0);
    assert_string_equal(target, "../../blobs/" BLOB);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    unsetenv("HF_HUB_CACHE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses_of_models),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_who_sees_the_token),
        cmocka_unit_test(test_addresses_for_people),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_what_is_chosen),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_sizes_for_people),
        cmocka_unit_test(test_new_names_are_nobody_elses),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
