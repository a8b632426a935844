/* The safetensors container: what is valid is read, each way of being invalid is an error, and no
 * damaged byte does harm. */

#include "engine/load/safetensors.h"
#include "engine/load/safetensors_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
    uint8_t *data;
    size_t size;
};

/* A file from its header's text and a payload of `payload_size` bytes 0, 1, 2, ... */
static struct file make_file(const char *header, size_t payload_size)
{
    const size_t n = strlen(header);
    struct file f = {malloc(8 + n + payload_size), 8 + n + payload_size};
    for (int i = 0; i < 8; i++) f.data[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(f.data + 8, header, n);
    for (size_t i = 0; i < payload_size; i++) f.data[8 + n + i] = (uint8_t)i;
    return f;
}

static enum status open_text(const char *header, size_t payload_size, struct error *err)
{
    struct safetensors *st;
    struct file f = make_file(header, payload_size);
    *err = (struct error){0};
    const enum status s = safetensors_open_memory(f.data, f.size, &st, err);
    assert_int_equal(s == STATUS_OK, st != NULL);
    safetensors_close(st);
    free(f.data);
    return s;
}

static const char good[] =
    "{\"__metadata__\": {\"format\": \"pt\"}, "
    "\"b.weight\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [8, 32]}, "
    "\"a\": {\"dtype\": \"BF16\", \"shape\": [4], \"data_offsets\": [0, 8]}, "
    "\"none\": {\"dtype\": \"F16\", \"shape\": [0, 5], \"data_offsets\": [32, 32]}, "
    "\"scalar\": {\"dtype\": \"I64\", \"shape\": [], \"data_offsets\": [32, 40]}}   ";

static void test_valid(void **state)
{
    (void)state;
    struct safetensors *st;
    struct error err = {0};
    struct file f = make_file(good, 40);
    if (safetensors_open_memory(f.data, f.size, &st, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(safetensors_count(st), 4);
    assert_int_equal(safetensors_total_size(st), 40);
    assert_null(safetensors_find(st, "a.weight"));
    for (int i = 0; i < 4; i++) assert_false(safetensors_at(st, i)->used);
    const struct stored_tensor *b = safetensors_find(st, "b.weight");
    assert_non_null(b);
    assert_true(b->used && b->dtype == DT_F32 && b->n_dims == 2 && b->size == 24);
    assert_true(b->dims[0] == 2 && b->dims[1] == 3);
    assert_int_equal(*(const uint8_t *)b->data, 8);
    assert_string_equal(b->dtype_text, "F32");
    const struct stored_tensor *s = safetensors_find(st, "scalar");
    assert_true(s && s->dtype == DT_COUNT && s->n_dims == 0 && s->size == 8);
    const struct stored_tensor *none = safetensors_find(st, "none");
    assert_true(none && none->size == 0 && none->dtype == DT_F16);
    safetensors_close(st);
    free(f.data);

    assert_int_equal(open_text("{}", 0, &err), STATUS_OK);
}

#define ENTRY(name, dtype, shape, offsets) \
    "\"" name "\": {\"dtype\": " dtype ", \"shape\": " shape ", \"data_offsets\": " offsets "}"

static void test_invalid(void **state)
{
    static const struct {
        const char *header;
        size_t payload_size;
        const char *message;
    } cases[] = {
        {" {}", 0, "begin with {"},
        {"{", 0, "header"},
        {"[]", 0, "begin with {"},
        {"{} x", 0, "header"},
        {"{}", 1, "but the file has 1"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0, 4]") "}", 8, "but the file has 8"},
        {"{" ENTRY("a", "\"F32\"", "[2]", "[0, 8]") "}", 4, "truncated"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[4, 8]") "}", 8, "hole"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0, 4]") "," ENTRY("b", "\"F32\"", "[1]", "[0, 4]") "}",
         4, "overlaps"},
        {"{" ENTRY("a", "\"F32\"", "[2]", "[0, 8]") "," ENTRY("b", "\"F32\"", "[1]", "[4, 8]") "}",
         8, "overlaps"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0, 4]") "," ENTRY("b", "\"F32\"", "[1]", "[8, 12]") "}",
         12, "hole"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0, 4]") "," ENTRY("a", "\"F32\"", "[1]", "[4, 8]") "}",
         8, "a"},
        {"{" ENTRY("a", "\"F32\"", "[2]", "[0, 4]") "}", 4, "need 8 bytes"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[4, 0]") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[-4, 0]") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0, 4, 8]") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0]") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0.5, 4]") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "[0, 1e300]") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[1]", "\"0\"") "}", 4, "data_offsets"},
        {"{" ENTRY("a", "\"F32\"", "[-1]", "[0, 4]") "}", 4, "dimension 0"},
        {"{" ENTRY("a", "\"F32\"", "[1.5]", "[0, 4]") "}", 4, "dimension 0"},
        {"{" ENTRY("a", "\"F32\"", "\"1\"", "[0, 4]") "}", 4, "shape"},
        {"{" ENTRY("a", "\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0, 4]") "}", 4, "dimensions"},
        {"{" ENTRY("a", "\"F32\"", "[4294967296, 4294967296]", "[0, 0]") "}", 0, "overflows"},
        {"{" ENTRY("a", "\"F32\"", "[4611686018427387904]", "[0, 0]") "}", 0, "dimension"},
        {"{" ENTRY("a", "\"F64\"", "[2147483648, 134217728]", "[0, 0]") "}", 0, "whole number"},
        {"{" ENTRY("a", "\"F4\"", "[3]", "[0, 1]") "}", 1, "whole number"},
        {"{" ENTRY("a", "\"Q4_K\"", "[1]", "[0, 4]") "}", 4, "Q4_K"},
        {"{" ENTRY("a", "7", "[1]", "[0, 4]") "}", 4, "dtype"},
        {"{" ENTRY("", "\"F32\"", "[1]", "[0, 4]") "}", 4, "name"},
        {"{\"a\": {}}", 0, "dtype"},
        {"{\"a\": 3}", 0, "not an object"},
        {"{\"__metadata__\": {\"a\": 3}}", 0, "__metadata__"},
        {"{\"__metadata__\": []}", 0, "__metadata__"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        const enum status s = open_text(cases[i].header, cases[i].payload_size, &err);
        if (s == STATUS_OK) fail_msg("accepted: %s", cases[i].header);
        assert_int_equal(err.code, s);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].message);
    }
}

static void test_header_size(void **state)
{
    static const uint64_t sizes[] = {3, 1000, 100 << 20, (100 << 20) + 1, UINT64_MAX, 1ull << 63};
    struct error err;
    struct safetensors *st;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct file f = make_file("{}", 0);
        for (int k = 0; k < 8; k++) f.data[k] = (uint8_t)(sizes[i] >> (8 * k));
        assert_int_equal(safetensors_open_memory(f.data, f.size, &st, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.message, "header"));
        free(f.data);
    }
    assert_int_equal(safetensors_open_memory("", 0, &st, &err), STATUS_CORRUPT);
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    assert_int_equal(safetensors_open_memory(lfs, sizeof lfs - 1, &st, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "git lfs pull"));
}

static void test_many_tensors(void **state)
{
    enum { N = 5000 };
    struct safetensors *st;
    struct error err = {0};
    char *header = malloc(N * 100);
    size_t at = (size_t)sprintf(header, "{");
    (void)state;
    for (int i = 0; i < N; i++)
        at += (size_t)sprintf(header + at,
                              "%s\"t.%d\": {\"dtype\": \"I8\", \"shape\": [1], "
                              "\"data_offsets\": [%d, %d]}",
                              i ? "," : "", i, i, i + 1);
    sprintf(header + at, "}");
    struct file f = make_file(header, N);
    if (safetensors_open_memory(f.data, f.size, &st, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < N; i++) {
        char name[16];
        sprintf(name, "t.%d", i);
        const struct stored_tensor *t = safetensors_find(st, name);
        assert_non_null(t);
        assert_int_equal(*(const uint8_t *)t->data, (uint8_t)i);
    }
    assert_null(safetensors_find(st, "t.5000"));
    safetensors_close(st);
    free(f.data);
    free(header);
}

/* --- damage ---------------------------------------------------------------------------------- */

/* Opens an exact copy and touches every byte of every tensor. */
static uint64_t open_damaged(const uint8_t *data, size_t size)
{
    struct safetensors *st;
    struct error err = {0};
    uint64_t sum = 0;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    if (safetensors_open_memory(copy, size, &st, &err) == STATUS_OK) {
        for (int i = 0; i < safetensors_count(st); i++) {
            const struct stored_tensor *t = safetensors_at(st, i);
            assert_true(t->size <= size);
            for (size_t k = 0; k < t->size; k++) sum += ((const uint8_t *)t->data)[k];
            assert_ptr_equal(safetensors_find(st, t->name), t);
        }
        safetensors_close(st);
    } else {
        assert_true(err.message[0] != '\0');
    }
    free(copy);
    return sum;
}

static void test_damage(void **state)
{
    static const uint8_t junk[] = {0, 1, '"', '{', '}', '[', ']', ',', '-', '9', 0x7f, 0xff};
    struct file f = make_file(good, 40);
    const uint64_t whole = open_damaged(f.data, f.size);
    (void)state;
    assert_int_equal(whole, 40 * 39 / 2);
    for (size_t at = 0; at < f.size; at++) {
        const uint8_t kept = f.data[at];
        /* A truncated file never opens: its tensors no longer fill it. */
        assert_int_equal(open_damaged(f.data, at), 0);
        for (size_t k = 0; k < sizeof junk; k++) {
            f.data[at] = junk[k];
            open_damaged(f.data, f.size);
        }
        for (int bit = 0; bit < 8; bit++) {
            f.data[at] = kept ^ (uint8_t)(1 << bit);
            open_damaged(f.data, f.size);
        }
        f.data[at] = kept;
    }
    free(f.data);
}

/* --- directories ----------------------------------------------------------------------------- */

struct dir {
    char path[64];
};

static struct dir make_dir(void)
{
    struct dir d = {"/tmp/inferd_safetensors_XXXXXX"};
    assert_non_null(mkdtemp(d.path));
    return d;
}

static void put_file(const struct dir *d, const char *name, const void *data, size_t size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", d->path, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static void put_tensor(const struct dir *d, const char *file, const char *tensor)
{
    char header[200];
    snprintf(header, sizeof header,
             "{\"%s\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}", tensor);
    struct file f = make_file(header, 4);
    put_file(d, file, f.data, f.size);
    free(f.data);
}

static void remove_dir(const struct dir *d)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "a.safetensors", "b.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", d->path, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(d->path), 0);
}

static enum status open_index_text(const struct dir *d, const char *index, struct error *err)
{
    struct safetensors *st;
    put_file(d, SAFETENSORS_INDEX, index, strlen(index));
    *err = (struct error){0};
    const enum status s = safetensors_open(d->path, &st, err);
    if (s == STATUS_OK) assert_int_equal(safetensors_count(st), 2);
    safetensors_close(st);
    return s;
}

#define MAP(entries) "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {" entries "}}"

static void test_index(void **state)
{
    static const struct {
        const char *index, *message;
    } cases[] = {
        {MAP("\"x\": \"b.safetensors\", \"y\": \"a.safetensors\""), "is not there"},
        {MAP("\"x\": \"a.safetensors\", \"z\": \"b.safetensors\""), "is not there"},
        {MAP("\"x\": \"a.safetensors\", \"y\": \"b.safetensors\", \"z\": \"b.safetensors\""),
         "is not there"},
        {MAP("\"x\": \"a.safetensors\", \"y\": \"c.safetensors\""), "c.safetensors"},
        {MAP("\"x\": \"../a.safetensors\", \"y\": \"b.safetensors\""), "plain name"},
        {MAP("\"x\": \"/etc/passwd\", \"y\": \"b.safetensors\""), "plain name"},
        {MAP("\"x\": \".safetensors\", \"y\": \"b.safetensors\""), "plain name"},
        {MAP("\"x\": 3, \"y\": \"b.safetensors\""), "plain name"},
        {MAP(""), "empty"},
        {"{\"weight_map\": []}", "weight_map"},
        {"{}", "weight_map"},
        {"[]", "weight_map"},
        {"", SAFETENSORS_INDEX},
    };
    struct dir d = make_dir();
    struct error err;
    (void)state;
    put_tensor(&d, "a.safetensors", "x");
    put_tensor(&d, "b.safetensors", "y");
    const enum status s =
        open_index_text(&d, MAP("\"x\": \"a.safetensors\", \"y\": \"b.safetensors\""), &err);
    if (s != STATUS_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {

        if (open_index_text(&d, cases[i].index, &err) == STATUS_OK)
            fail_msg("accepted: %s", cases[i].index);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].message);
    }
    /* A shard with one tensor more than the index names. */
    put_tensor(&d, "b.safetensors", "x");
    assert_int_not_equal(
        open_index_text(&d, MAP("\"x\": \"a.safetensors\", \"y\": \"b.safetensors\""), &err),
        STATUS_OK);
    assert_non_null(strstr(err.message, "again in"));
    remove_dir(&d);
}

static void test_index_surplus(void **state)
{
    struct dir d = make_dir();
    struct error err;
    (void)state;
    struct file f = make_file(
        "{" ENTRY("x", "\"F32\"", "[1]", "[0, 4]") "," ENTRY("y", "\"F32\"", "[1]", "[4, 8]") "}",
        8);
    put_file(&d, "a.safetensors", f.data, f.size);
    free(f.data);
    assert_int_equal(open_index_text(&d, MAP("\"x\": \"a.safetensors\""), &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "hold 2 tensors but the index names 1"));
    remove_dir(&d);
}

static void test_index_damage(void **state)
{
    static const char text[] = MAP("\"x\": \"a.safetensors\", \"y\": \"b.safetensors\"");
    static const char junk[] = {0, '"', '{', '}', ':', ',', '/', '.', (char)0xff};
    (void)state;
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (size_t k = 0; k < sizeof junk + 1; k++) {
            const size_t len = k == sizeof junk ? at : sizeof text - 1;
            cJSON *index;
            const cJSON *map;
            struct error err = {0};
            char *copy = malloc(len ? len : 1);
            memcpy(copy, text, len);
            if (k < sizeof junk) copy[at] = junk[k];
            const enum status s = safetensors_index_parse(copy, len, &index, &map, &err);
            assert_int_equal(s == STATUS_OK, map != NULL);
            if (s != STATUS_OK) assert_true(err.message[0] != '\0' && !index);
            cJSON_Delete(index);
            free(copy);
        }
    }
}

static void test_files(void **state)
{
    struct safetensors *st;
    struct error err = {0};
    struct dir d = make_dir();
    (void)state;
    assert_int_equal(safetensors_open(d.path, &st, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "neither"));
    put_file(&d, "model.safetensors", "", 0);
    assert_int_equal(safetensors_open(d.path, &st, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "empty"));
    put_tensor(&d, "model.safetensors", "x");
    assert_int_equal(safetensors_open(d.path, &st, &err), STATUS_OK);
    struct stored_tensor *t = safetensors_find(st, "x");
    safetensors_will_need(st, t);
    assert_int_equal(((const uint8_t *)t->data)[3], 3);
    safetensors_dont_need(st, t);
    assert_int_equal(((const uint8_t *)t->data)[3], 3); /* still there, read again */
    safetensors_close(st);
    remove_dir(&d);

    /* Written by the reference implementation, in one file and in four. */
    assert_int_equal(safetensors_open("tests/golden/models/llama_gqa", &st, &err), STATUS_OK);
    assert_int_equal(safetensors_count(st), 21);
    safetensors_close(st);
    assert_int_equal(safetensors_open("tests/golden/models/llama_tied_sharded", &st, &err),
                     STATUS_OK);
    assert_int_equal(safetensors_count(st), 20);
    safetensors_close(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),         cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_header_size),   cmocka_unit_test(test_many_tensors),
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_index),
        cmocka_unit_test(test_index_surplus), cmocka_unit_test(test_index_damage),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
