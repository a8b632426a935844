#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/json.h"
#include "engine/tokenizer/load.h"
#include "engine/tokenizer/protobuf.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/unit/sentencepiece_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The expected ids are what PyPI sentencepiece 0.2.3 gives for the same files. */

#define BLANK  "\xE2\x96\x81"
#define N_BASE 13

static const struct test_piece base[N_BASE + 1] = {
    {"<unk>", 0, PIECE_UNKNOWN},
    {"<s>", 0, PIECE_CONTROL},
    {"</s>", 0, PIECE_CONTROL},
    {BLANK, -20, 0},
    {"a", -21, 0},
    {"b", -22, 0},
    {"c", -23, 0},
    {"ab", -1, 0},
    {BLANK "a", -2, 0},
    {"abc", -3, PIECE_NORMAL},
    {BLANK "ab", -4, 0},
    {"bc", -5, 0},
    {"cc", -6, 0},
    {"<u>", 0, PIECE_USER_DEFINED},
};

/* --- helpers -------------------------------------------------------------------------------------- */

/* The first n pieces of `base`; those named in `unused` become so. */
static void write_base(struct strbuf *out, size_t n, const char *const unused[2])
{
    for (size_t i = 0; i < n; i++) {
        struct test_piece piece = base[i];
        for (int k = 0; unused && k < 2; k++)
            if (!strcmp(piece.text, unused[k])) piece.type = PIECE_UNUSED;
        pb_piece(out, &piece);
    }
}

static enum status load(const struct strbuf *file, const char *config, const char *added,
                        struct tokenizer **out, struct error *err)
{
    struct token_files files = {0};
    if (config)
        assert_int_equal(json_parse(config, strlen(config), NULL, &files.config, err), STATUS_OK);
    if (added)
        assert_int_equal(json_parse(added, strlen(added), NULL, &files.added, err), STATUS_OK);
    enum status st = tokenizer_parse_native((struct str){file->data, file->len}, "tokenizer.model",
                                            &files, out, err);
    token_files_free(&files);
    return st;
}

static struct tokenizer *must_load(const struct strbuf *file, const char *config, const char *added)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (load(file, config, added, &t, &err) != STATUS_OK) fail_msg("%s", err.message);
    return t;
}

/* Ids as text: "3 9 10". */
static void encode(const struct tokenizer *t, const char *text, bool add_special,
                   bool parse_special, char out[256])
{
    struct token_vec ids = {0};
    assert_int_equal(
        tokenizer_encode(t, text, strlen(text), add_special, parse_special, 0, &ids, NULL),
        STATUS_OK);
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ids.len; i++)
        len += (size_t)snprintf(out + len, 256 - len, i ? " %d" : "%d", ids.ids[i]);
    token_vec_free(&ids);
}

static void assert_ids(const struct tokenizer *t, const char *text, const char *want)
{
    char ids[256];
    encode(t, text, false, true, ids);
    if (strcmp(ids, want) != 0) fail_msg("\"%s\" gives %s, not %s", text, ids, want);
}

static void assert_decodes(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip,
                           const char *want)
{
    struct strbuf whole, parts;
    strbuf_init(&whole, 0);
    strbuf_init(&parts, 0);
    tokenizer_decode(t, ids, n, skip, &whole);
    struct detok d;
    detok_init(&d, t, skip);
    for (size_t i = 0; i < n; i++) detok_push(&d, ids[i], &parts);
    detok_finish(&d, &parts);
    assert_string_equal(whole.data ? whole.data : "", want);
    assert_string_equal(parts.data ? parts.data : "", want);
    strbuf_free(&whole);
    strbuf_free(&parts);
}

/* --- plain text -------------------------------------------------------------------------------------- */

static const char *const samples[] = {"abc", "abc  ab c", " ab", "a<u>b",         "abcc xx c",
                                      "xab", "",          " ",   "bcab" BLANK "a"};

static const struct {
    struct test_spec spec;
    size_t n_pieces;
    bool unused, byte_pieces;
    const char *want[ARRAY_LEN(samples)];
} plain_cases[] = {
    {{2, .byte_fallback = false},
     N_BASE,
     false,
     false,
     {"3 9", "3 9 10 3 6", "10", "8 0 5", "3 9 6 3 0 3 6", "3 0 7", "", "", "3 11 7 8"}},
    {{2, .keep_blanks = true},
     N_BASE,
     false,
     false,
     {"3 9", "3 9 3 10 3 6", "3 10", "8 0 5", "3 9 6 3 0 3 6", "3 0 7", "", "3 3", "3 11 7 8"}},
    {{2, .no_dummy = true},
     N_BASE,
     false,
     false,
     {"9", "9 10 3 6", "7", "4 0 5", "9 6 3 0 3 6", "0 7", "", "", "11 7 8"}},
    {{2, .suffix = true},
     N_BASE,
     false,
     false,
     {"9 3", "9 10 3 6 3", "7 3", "4 0 5 3", "9 6 3 0 3 6 3", "0 7 3", "", "", "11 7 8 3"}},
    {{2, .byte_fallback = false},
     N_BASE + 1,
     false,
     false,
     {"3 9", "3 9 10 3 6", "10", "8 13 5", "3 9 6 3 0 3 6", "3 0 7", "", "", "3 11 7 8"}},
    {{2, .byte_fallback = false},
     N_BASE,
     true,
     false,
     {"3 4 5 6", "3 4 5 6 10 3 6", "10", "8 0 5", "3 4 5 6 6 3 0 3 6", "3 0 4 5", "", "",
      "3 11 4 5 8"}},
    {{2, .byte_fallback = true},
     N_BASE,
     false,
     true,
     {"3 9", "3 9 10 3 6", "10", "8 73 130 75 5", "3 9 6 3 133 133 3 6", "3 133 7", "", "",
      "3 11 7 8"}},
    {{0, .byte_fallback = false},
     N_BASE + 1,
     false,
     false,
     {"8 11", "8 11 10 3 6", "10", "8 13 5", "10 12 3 0 3 6", "3 0 7", "", "", "3 11 7 8"}},
    {{1, .byte_fallback = false},
     N_BASE,
     true,
     false,
     {"8 11", "8 11 10 3 6", "10", "8 0 5", "10 12 3 0 3 6", "3 0 4 5", "", "", "3 11 4 5 8"}},
    {{3, .byte_fallback = false},
     N_BASE,
     false,
     false,
     {"0", "0 10 0", "10", "0", "0", "0", "", "", "0 8"}},
    {{4, .byte_fallback = false},
     N_BASE + 1,
     false,
     false,
     {"3 4 5 6", "3 4 5 6 3 4 5 3 6", "3 4 5", "3 4 13 5", "3 4 5 6 6 3 0 3 6", "3 0 4 5", "", "",
      "3 5 6 4 5 3 4"}},
};

static void test_ids_are_the_librarys(void **state)
{
    (void)state;
    static const char *const unused[2] = {"ab", "abc"};
    for (size_t i = 0; i < ARRAY_LEN(plain_cases); i++) {
        struct strbuf file;
        strbuf_init(&file, 0);
        write_base(&file, plain_cases[i].n_pieces, plain_cases[i].unused ? unused : NULL);
        if (plain_cases[i].byte_pieces) pb_byte_pieces(&file);
        pb_specs(&file, &plain_cases[i].spec);
        struct tokenizer *t = must_load(&file, NULL, NULL);
        for (size_t k = 0; k < ARRAY_LEN(samples); k++)
            assert_ids(t, samples[k], plain_cases[i].want[k]);
        tokenizer_free(t);
        strbuf_free(&file);
    }
}

static void test_decoding(void **state)
{
    (void)state;
    struct strbuf file;
    strbuf_init(&file, 0);
    write_base(&file, N_BASE, NULL);
    pb_byte_pieces(&file);
    pb_specs(&file, &(struct test_spec){2, .byte_fallback = true, .keep_blanks = true});
    struct tokenizer *t = must_load(&file, NULL, NULL);
    const int32_t e_acute[] = {8, N_BASE + 0xC3, N_BASE + 0xA9, 3, 5}; /* C3 A9 is U+00E9 */
    assert_decodes(t, e_acute, 5, false, "a\xC3\xA9 b");
    const int32_t cut[] = {8, N_BASE + 0xC3, 5};
    assert_decodes(t, cut, 3, false,
                   "a\xEF\xBF\xBD"
                   "b");
    const int32_t blanks[] = {1, 3, 3, 4, 2};
    assert_decodes(t, blanks, 5, true, " a"); /* one was put there */
    assert_decodes(t, blanks, 5, false, "<s>  a</s>");
    const int32_t unknown[] = {8, 0, 5};
    assert_decodes(t, unknown, 3, false, "a<unk>b");
    assert_decodes(t, unknown, 3, true, "ab");
    tokenizer_free(t);
    strbuf_free(&file);
}

/* Merges would take n*n steps without a heap, resegmenting without a bound on a piece's size. */
static void test_long_texts(void **state)
{
    (void)state;
    enum { TEXT_LEN = 1 << 20 };
    char *text = malloc(TEXT_LEN);
    for (size_t i = 0; i < TEXT_LEN; i++) text[i] = "abc"[i * i % 3];
    for (int type = 1; type <= 4; type++) {
        struct strbuf file;
        strbuf_init(&file, 0);
        write_base(&file, N_BASE + 1, NULL);
        pb_specs(&file, &(struct test_spec){.model_type = type});
        struct tokenizer *t = must_load(&file, NULL, NULL);
        struct token_vec ids = {0};
        uint64_t start = clock_now_us();
        assert_int_equal(tokenizer_encode(t, text, TEXT_LEN, false, true, 0, &ids, NULL),
                         STATUS_OK);
        assert_true(clock_now_us() - start < 20 * 1000000); /* some 0.1 s; seconds if sanitized */
        token_vec_free(&ids);
        tokenizer_free(t);
        strbuf_free(&file);
    }
    free(text);
}

/* --- special tokens ----------------------------------------------------------------------------------- */

static void test_special_tokens(void **state)
{
    (void)state;
    struct strbuf file;
    strbuf_init(&file, 0);
    write_base(&file, N_BASE + 1, NULL);
    pb_specs(&file, &(struct test_spec){2, .keep_blanks = true});
    char ids[256];
    struct tokenizer *t = must_load(&file, NULL, NULL);
    assert_string_equal(tokenizer_bos_token(t), "<s>");
    assert_int_equal(tokenizer_eos_id(t), 2);
    assert_string_equal(tokenizer_unk_token(t), "<unk>");
    assert_true(tokenizer_is_special(t, 2));
    assert_false(tokenizer_is_special(t, 13));
    assert_ids(t, "ab<s>ab</s>", "10 1 7 2"); /* the blank only before the text */
    assert_ids(t, "<s>ab", "1 7");
    assert_ids(t, "<u>ab", "3 13 7"); /* user-defined pieces are text */
    encode(t, "a</s>", false, false, ids);
    assert_string_equal(ids, "8 0");
    encode(t, "ab", true, true, ids);
    assert_string_equal(ids, "10");
    tokenizer_free(t);

    t = must_load(&file, "{\"add_bos_token\":true,\"add_eos_token\":true,\"legacy\":true}", NULL);
    encode(t, "ab<s>ab", true, true, ids);
    assert_string_equal(ids, "1 10 1 10 2"); /* legacy: before every part of the text */
    tokenizer_free(t);

    t = must_load(&file, "{\"add_prefix_space\":false,\"eos_token\":\"cc\"}", NULL);
    assert_ids(t, "ab cc", "7 3 12");
    assert_true(tokenizer_is_special(t, 12));
    tokenizer_free(t);

    t = must_load(&file, "{\"tokenizer_class\":\"T5Tokenizer\"}", NULL);
    encode(t, "ab", true, true, ids);
    assert_string_equal(ids, "10 2");
    tokenizer_free(t);
    strbuf_free(&file);
}

static void test_tokens_of_the_configuration(void **state)
{
    (void)state;
    struct strbuf file;
    strbuf_init(&file, 0);
    write_base(&file, N_BASE + 1, NULL);
    pb_specs(&file, &(struct test_spec){.model_type = 2});
    char ids[256];
    /* A user-defined piece that the configuration declares special is not to be had from text. */
    struct tokenizer *t =
        must_load(&file,
                  "{\"added_tokens_decoder\":{\"13\":{\"content\":\"<u>\",\"special\":true},\"14\":"
                  "{\"content\":\"<new>\",\"normalized\":true}},\"additional_special_tokens\":["
                  "\"<more>\",{\"content\":\"<new>\"}]}",
                  NULL);
    assert_ids(t, "ab<u>ab<new>a<more>", "10 13 7 14 4 15");
    assert_false(tokenizer_is_special(t, 14)); /* listed flags count */
    assert_true(tokenizer_is_special(t, 15));
    encode(t, "ab<u>ab", false, false, ids);
    assert_string_equal(ids, "10 0 7");
    tokenizer_free(t);

    t = must_load(&file, NULL, "{\"<y>\":15,\"<x>\":14}"); /* in the order of the ids */
    assert_ids(t, "ab<x><y>", "10 14 15");
    assert_int_equal(tokenizer_vocab_size(t), 16);
    tokenizer_free(t);
    strbuf_free(&file);
}

/* --- refusals ------------------------------------------------------------------------------------------- */

struct refusal {
    struct test_piece piece; /* added after the base; its text NULL: none */
    struct test_spec spec;
    const char *config, *added;
    enum status status;
    const char *message;
};

static void test_refusals(void **state)
{
    (void)state;
    static char longest[1100];
    memset(longest, 'x', sizeof(longest) - 1);
    const struct test_piece none = {0};
    const struct test_spec bpe = {.model_type = 2};
    const struct refusal cases[] = {
        {{"", 0, 0}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: its text is empty"},
        {{longest, 0, 0}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: its text has 1099 bytes"},
        {{"\xC3(", 0, 0}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: its text is not valid UTF-8"},
        {{"x", NAN, 0}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: its score is not finite"},
        {{"x", -INFINITY, 0}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: its score"},
        {{"x", 0, 9}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: its type is 9"},
        {{"ab", 0, 0}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: token \"ab\" stands twice"},
        {{"x", 0, PIECE_UNKNOWN}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: it is the second"},
        {{"<0xZ1>", 0, PIECE_BYTE}, bpe, NULL, NULL, STATUS_CORRUPT, "piece 13: it is a byte"},
        {{"<0x41>", 0, PIECE_BYTE}, bpe, NULL, NULL, STATUS_CORRUPT, "byte_fallback is not set"},
        {none, {2, .byte_fallback = true}, NULL, NULL, STATUS_CORRUPT, "the byte 0x00"},
        {none, {.model_type = 7}, NULL, NULL, STATUS_UNSUPPORTED, "model_type is 7"},
        {none, {2, .charsmap = "\xFF"}, NULL, NULL, STATUS_CORRUPT, "precompiled_charsmap"},
        {none,
         {2, .no_escape = true, .keep_blanks = true},
         NULL,
         NULL,
         STATUS_UNSUPPORTED,
         "add_dummy_prefix with neither"},
        {none, bpe, "{\"tokenizer_class\":\"XLMRobertaTokenizerFast\"}", NULL, STATUS_UNSUPPORTED,
         "tokenizer_class \"XLMRobertaTokenizerFast\""},
        {none, bpe, NULL, "{\"<x>\":20}", STATUS_CORRUPT, "added_tokens.json: the added token"},
        {none, bpe, NULL, "{\"<x>\":-1}", STATUS_CORRUPT, "added_tokens.json: \"<x>\" must have"},
        {none, bpe, NULL, "[]", STATUS_CORRUPT, "added_tokens.json: the file must hold an object"},
        {none, bpe, "{\"additional_special_tokens\":[3]}", NULL, STATUS_CORRUPT,
         "must be a string or have \"content\""},
        {none, bpe, "{\"added_tokens_decoder\":{\"4\":{\"content\":\"ab\"}}}", NULL, STATUS_CORRUPT,
         "\"ab\" has the id 4, but also 7"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf file;
        struct tokenizer *t = NULL;
        struct error err = {0};
        strbuf_init(&file, 0);
        write_base(&file, N_BASE, NULL);
        if (cases[i].piece.text) pb_piece(&file, &cases[i].piece);
        pb_specs(&file, &cases[i].spec);
        enum status st = load(&file, cases[i].config, cases[i].added, &t, &err);
        if (st != cases[i].status || !strstr(err.message, cases[i].message))
            fail_msg("case %zu: status %s, \"%s\"", i, status_name(st), err.message);
        assert_null(t);
        strbuf_free(&file);
    }
}

/* Cut anywhere, a file is refused or, between two fields, lacks pieces. */
static void test_cut_files(void **state)
{
    (void)state;
    struct strbuf file;
    strbuf_init(&file, 0);
    write_base(&file, N_BASE, NULL);
    pb_specs(&file, &(struct test_spec){.model_type = 2});
    for (size_t len = 0; len < file.len; len++) {
        char *exact = malloc(len + 1); /* so that the sanitizer sees a read beyond */
        memcpy(exact, file.data, len);
        struct token_files files = {0};
        struct tokenizer *t = NULL;
        struct error err = {0};
        char *copy = realloc(exact, len ? len : 1);
        enum status st = tokenizer_parse_native((struct str){copy, len}, "f", &files, &t, &err);
        assert_true(st == STATUS_OK || err.message[0]);
        tokenizer_free(t);
        token_files_free(&files);
        free(copy);
    }
    strbuf_free(&file);
}

static void test_protobuf(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        bool good;
        uint64_t value;
    } cases[] = {
        {"\x08\x01", 2, true, 1},
        {"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, true, UINT64_MAX},
        {"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 11, false, 0},     /* 65 bits */
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, false, 0}, /* 11 bytes */
        {"\x08\x80", 2, false, 0},
        {"\x0D\x01\x00\x00\x80", 5, true, 0x80000001},
        {"\x0D\x01\x00\x00", 4, false, 0},
        {"\x09\x01\x00\x00\x00\x00\x00\x00\x80", 9, true, 0x8000000000000001},
        {"\x0A\x02"
         "ab",
         4, true, 0},
        {"\x0A\x03"
         "ab",
         4, false, 0},
        {"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, false, 0},
        {"\x0B\x0C", 2, false, 0}, /* a group */
        {"\x00\x01", 2, false, 0}, /* field 0 */
        {"\x0E\x01", 2, false, 0}, /* type 6 */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct protobuf r = protobuf_reader((struct str){cases[i].bytes, cases[i].len});
        struct protobuf_field f;
        bool bad = false;
        assert_int_equal(protobuf_next(&r, &f, &bad), cases[i].good);
        assert_int_equal(bad, !cases[i].good);
        if (!cases[i].good) continue;
        assert_int_equal(f.number, 1);
        assert_true(f.value == cases[i].value);
        assert_false(protobuf_next(&r, &f, &bad));
        assert_false(bad);
    }
}

/* --- directories ---------------------------------------------------------------------------------------- */

static void write_file(const char *dir, const char *name, const void *data, size_t len)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(unlink(path), 0);
}

static void assert_refused(const char *dir, const char *message)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    assert_int_not_equal(tokenizer_load(dir, &t, &err), STATUS_OK);
    if (!strstr(err.message, message)) fail_msg("\"%s\"", err.message);
}

/* What a failed download leaves under the names of the files. */
static void test_downloads(void **state)
{
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n";
    static const char *const pages[] = {"<!DOCTYPE html><p>", "\n <!doctype HTML>",
                                        "<html lang=\"\"", "\xEF\xBB\xBF<HTML>"};
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "tokenizer.model", "tiktoken.model", "qwen.tiktoken"};
    char dir[] = "/tmp/inferd-downloads-XXXXXX", message[256];
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        write_file(dir, names[i], pointer, sizeof(pointer) - 1);
        snprintf(message, sizeof(message), "%s/%s is a Git LFS pointer, not the file: run", dir,
                 names[i]);
        assert_refused(dir, message);
        for (size_t k = 0; k < ARRAY_LEN(pages); k++) {
            write_file(dir, names[i], pages[k], strlen(pages[k]));
            snprintf(message, sizeof(message), "%s/%s is a web page", dir, names[i]);
            assert_refused(dir, message);
        }
        write_file(dir, names[i], "<", 1);
        struct tokenizer *t = NULL;
        struct error err = {0};
        assert_int_not_equal(tokenizer_load(dir, &t, &err), STATUS_OK);
        const char *first = strstr(err.message, names[i]); /* named, and once */
        assert_non_null(strstr(err.message, dir));
        assert_non_null(first);
        assert_null(strstr(first + 1, names[i]));
        remove_file(dir, names[i]);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void test_directories(void **state)
{
    (void)state;
    char dir[] = "/tmp/inferd-sentencepiece-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct strbuf file;
    struct tokenizer *t = NULL;
    strbuf_init(&file, 0);
    write_base(&file, N_BASE, NULL);
    pb_specs(&file, &(struct test_spec){.model_type = 2});
    assert_refused(dir, "neither tokenizer.json nor tokenizer.model");
    write_file(dir, "vocab.txt", "a\n", 2);
    assert_refused(dir, "only vocab.txt");
    remove_file(dir, "vocab.txt");
    write_file(dir, "a.tiktoken", "YQ== 0\n", 7);
    assert_refused(dir, "a.tiktoken: there is no token for the byte 0x00");
    write_file(dir, "b.tiktoken", "YQ== 0\n", 7);
    assert_refused(dir, "leave one of them");
    write_file(dir, "spiece.model", file.data, file.len);
    write_file(dir, "tokenizer_config.json", "{\"add_eos_token\":true}", 22);
    assert_int_equal(tokenizer_load(dir, &t, NULL), STATUS_OK);
    char ids[256];
    encode(t, "ab", true, true, ids);
    assert_string_equal(ids, "10 2");
    tokenizer_free(t);
    write_file(dir, "tokenizer.json", "{}", 2); /* which counts before all others */
    assert_refused(dir, "tokenizer.json: ");
    static const char *const names[] = {"a.tiktoken", "b.tiktoken", "spiece.model",
                                        "tokenizer_config.json", "tokenizer.json"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) remove_file(dir, names[i]);
    assert_int_equal(rmdir(dir), 0);
    strbuf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_the_librarys),
        cmocka_unit_test(test_decoding),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_tokens_of_the_configuration),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_protobuf),
        cmocka_unit_test(test_downloads),
        cmocka_unit_test(test_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
