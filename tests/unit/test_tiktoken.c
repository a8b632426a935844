#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/json.h"
#include "engine/tokenizer/load.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ids are PyPI tiktoken 0.14's for the same ranks: the 256 bytes by value, then `merged`. */

static const char *const merged[] = {"ab",  "abc", " a", "bc",   "12",       "123",
                                     "234", "the", "th", "\n\n", "\xC3\xA9", "ababab"};

/* --- helpers -------------------------------------------------------------------------------------- */

static void add_line(struct strbuf *out, struct str token, int rank)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < token.len; i += 3) {
        size_t n = token.len - i < 3 ? token.len - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < n ? (uint8_t)token.data[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            strbuf_add_char(out, k > n ? '=' : digits[group >> (18 - 6 * k) & 63]);
    }
    strbuf_addf(out, " %d\n", rank);
}

static void write_ranks(struct strbuf *out)
{
    strbuf_init(out, 0);
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        add_line(out, (struct str){&byte, 1}, i);
    }
    for (size_t i = 0; i < ARRAY_LEN(merged); i++) add_line(out, str_from(merged[i]), 256 + (int)i);
}

static enum status load_files(struct str file, const char *name, const char *config,
                              bool any_rank_count, struct tokenizer **out, struct error *err)
{
    struct token_files files = {.any_rank_count = any_rank_count};
    if (config)
        assert_int_equal(json_parse(config, strlen(config), NULL, &files.config, err), STATUS_OK);
    enum status st = tokenizer_parse_native(file, name, &files, out, err);
    token_files_free(&files);
    return st;
}

static enum status load(struct str file, const char *name, const char *config,
                        struct tokenizer **out, struct error *err)
{
    return load_files(file, name, config, true, out, err);
}

static struct tokenizer *must_load(const char *name, const char *config)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct strbuf file;
    write_ranks(&file);
    if (load((struct str){file.data, file.len}, name, config, &t, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    strbuf_free(&file);
    return t;
}

static void assert_ids(const struct tokenizer *t, const char *text, bool add_special,
                       bool parse_special, const char *want)
{
    struct token_vec ids = {0};
    char got[256] = "";
    size_t len = 0;
    assert_int_equal(
        tokenizer_encode(t, text, strlen(text), add_special, parse_special, 0, &ids, NULL),
        STATUS_OK);
    for (size_t i = 0; i < ids.len; i++)
        len += (size_t)snprintf(got + len, sizeof(got) - len, i ? " %d" : "%d", ids.ids[i]);
    if (strcmp(got, want) != 0) fail_msg("\"%s\" gives %s, not %s", text, got, want);
    token_vec_free(&ids);
}

/* --- tests ----------------------------------------------------------------------------------------- */

static void test_merging(void **state)
{
    (void)state;
    struct tokenizer *t = must_load("r50k_base.tiktoken", NULL);
    assert_ids(t, "abc", false, true, "257");
    assert_ids(t, "abcb", false, true, "257 98");
    assert_ids(t, "ababab", false, true, "267"); /* a word that is a token needs no merges */
    assert_ids(t, "abababa", false, true, "256 256 256 97");
    assert_ids(t, " abc", false, true, "32 257");
    assert_ids(t, "1234 the", false, true, "261 52 32 263");
    assert_ids(t, "\xC3\xA9x<|endoftext|>", false, true, "266 120 50256");
    assert_string_equal(tokenizer_id_to_token(t, 50256), "<|endoftext|>");
    assert_null(tokenizer_id_to_token(t, 40000)); /* a hole */
    tokenizer_free(t);
}

static void test_families_cut_differently(void **state)
{
    (void)state;
    static const struct {
        const char *name, *config, *text, *want;
    } cases[] = {
        {"r50k_base.tiktoken", NULL, "1234", "261 52"},
        {"cl100k_base.tiktoken", NULL, "1234567", "261 52 53 54 55"},
        {"cl100k_base.tiktoken", NULL, "\n\n  ", "265 32 32"},
        {"qwen.tiktoken", NULL, "1234", "49 50 51 52"},
        {"qwen.tiktoken", NULL, "e\xCC\x81", "266"}, /* composed first */
        {"qwen.tiktoken", NULL, "<|im_start|>a<|extra_204|>", "269 97 475"},
        {"o200k_base.tiktoken", NULL, "<|endofprompt|>", "200018"},
        {"o200k_harmony.tiktoken", NULL, "<|start|><|reserved_201087|>", "200006 201087"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = must_load(cases[i].name, cases[i].config);
        assert_ids(t, cases[i].text, false, true, cases[i].want);
        tokenizer_free(t);
    }
}

static void test_configured_tokens(void **state)
{
    (void)state;
    struct tokenizer *t =
        must_load("tiktoken.model",
                  "{\"tokenizer_class\":\"TikTokenTokenizer\",\"auto_map\":{\"AutoTokenizer\":["
                  "\"tokenization_kimi.TikTokenTokenizer\",null]},\"added_tokens_decoder\":{"
                  "\"268\":{\"content\":\"[BOS]\",\"special\":true},\"523\":{\"content\":\"<t>\","
                  "\"special\":false}},\"bos_token\":\"[BOS]\",\"add_bos_token\":true}");
    assert_ids(t, "ab[BOS]<t><|reserved_token_270|>", true, true, "268 256 268 523 270");
    assert_ids(t, "[BOS]<t>", false, false, "91 66 79 83 93 523"); /* only special ones are text */
    assert_true(tokenizer_is_special(t, 270));
    assert_false(tokenizer_is_special(t, 523));
    tokenizer_free(t);

    t = must_load("tokenizer.model",
                  "{\"tokenizer_class\":\"ChatGLM4Tokenizer\",\"added_tokens_decoder\":{\"270\":{"
                  "\"content\":\"[gMASK]\",\"special\":true},\"272\":{\"content\":\"<sop>\","
                  "\"special\":true}},\"additional_special_tokens\":[\"[gMASK]\"]}");
    assert_ids(t, "ab", true, true, "270 272 256");
    assert_ids(t, "ab", false, true, "256");
    tokenizer_free(t);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *config, *line;
        const char *message;
    } cases[] = {
        {"gpt2.tiktoken", NULL, "YWI 300", "line 269: the token is not base64"},
        {"gpt2.tiktoken", NULL, "YW=I 300", "line 269: the token is not base64"},
        {"gpt2.tiktoken", NULL, "Y!I= 300", "line 269: the token is not base64"},
        {"gpt2.tiktoken", NULL, " 300", "line 269: the token is not base64"},
        {"gpt2.tiktoken", NULL, "YWI=", "line 269: not \"base64 rank\""},
        {"gpt2.tiktoken", NULL, "enp6 -1", "line 269: the rank must be a number"},
        {"gpt2.tiktoken", NULL, "enp6 4194304", "line 269: the rank must be a number"},
        {"gpt2.tiktoken", NULL, "enp6 99999999999999999999", "line 269: the rank must be"},
        {"gpt2.tiktoken", NULL, "YWI= 300", "the ranks 256 and 300 are of the same token"},
        {"gpt2.tiktoken", NULL, "enp6 256", "share the id 256"},
        {"gpt2.tiktoken", NULL, "enp6 50256", "\"zzz\" and \"<|endoftext|>\" share the id 50256"},
        {"tokenizer.model", NULL, "enp6 300", "nor the tokenizer_class is of a known family"},
        {"gpt2.tiktoken", "{\"tokenizer_class\":\"OwnTokenizer\"}", "enp6 300",
         "special tokens of the tokenizer_class \"OwnTokenizer\" are not known"},
        {"tokenizer.model", "{\"tokenizer_class\":\"ChatGLM4Tokenizer\"}", "enp6 300",
         "GLM-4 files need \"added_tokens_decoder\""},
        {"gpt2.tiktoken",
         "{\"added_tokens_decoder\":{\"400\":{\"content\":\"user\",\"special\":"
         "true}}}",
         "enp6 300", "\"user\" cannot be told from a word of the text"},
        {"gpt2.tiktoken", "{\"added_tokens_decoder\":{\"97\":{\"content\":\"<x>\"}}}", "enp6 300",
         "share the id 97"},
        {"gpt2.tiktoken", "{\"added_tokens_decoder\":{\"4194304\":{\"content\":\"<x>\"}}}",
         "enp6 300", "has the id 4194304"},
        {"gpt2.tiktoken", "{\"added_tokens_decoder\":{\"400\":[]}}", "enp6 300",
         "\"added_tokens_decoder\" has the key \"400\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        struct strbuf file;
        write_ranks(&file);
        strbuf_add_str(&file, cases[i].line);
        enum status st =
            load((struct str){file.data, file.len}, cases[i].name, cases[i].config, &t, &err);
        if (st == STATUS_OK || !strstr(err.message, cases[i].message))
            fail_msg("case %zu: status %s, \"%s\"", i, status_name(st), err.message);
        assert_null(t);
        strbuf_free(&file);
    }
}

static void test_lines(void **state)
{
    (void)state;
    static char longest[1100];
    memset(longest, 'x', sizeof(longest) - 1);
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct strbuf file;
    write_ranks(&file);
    strbuf_add_str(&file, "\r\n\nenp6 300\r\n\r\n"); /* other line ends, empty lines */
    assert_int_equal(load((struct str){file.data, file.len}, "gpt2.tiktoken", NULL, &t, &err),
                     STATUS_OK);
    assert_ids(t, "zzz", false, true, "300");
    tokenizer_free(t);
    add_line(&file, str_from(longest), 301);
    assert_int_equal(load((struct str){file.data, file.len}, "gpt2.tiktoken", NULL, &t, &err),
                     STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "the token has 1099 bytes"));
    strbuf_free(&file);
}

/* The first n ranks of a made-up file: after write_ranks's there are tokens of three bytes that no
 * two others make. */
static void write_many(struct strbuf *out, int n)
{
    write_ranks(out);
    for (int i = 256 + (int)ARRAY_LEN(merged); i < n; i++) {
        char token[] = {(char)(0xF0 + (i >> 12 & 3)), (char)(0xC0 + (i >> 6 & 63)), (char)(i & 63),
                        (char)(i >> 14)};
        add_line(out, (struct str){token, sizeof(token)}, i);
    }
}

static void test_rank_counts(void **state)
{
    (void)state;
    static const struct {
        int n;
        const char *name, *config, *message;
    } cases[] = {
        {50256, "r50k_base.tiktoken", NULL, NULL},
        {50256, "tokenizer.model", NULL, NULL},
        {30124, "r50k_base.tiktoken", NULL,
         "r50k_base.tiktoken: the file has 30124 ranks, GPT-2 (r50k_base) has 50256: cut short?"},
        {50255, "gpt2.tiktoken", NULL, "has 50255 ranks, GPT-2 (r50k_base) has 50256: cut short?"},
        {50257, "gpt2.tiktoken", NULL, "has 50257 ranks, GPT-2 (r50k_base) has 50256: it is anoth"},
        {50256, "cl100k_base.tiktoken", NULL, "50256 ranks like GPT-2 (r50k_base), but its name"},
        {40000, "qwen.tiktoken", "{\"tokenizer_class\":\"QWenTokenizer\"}",
         "has 40000 ranks, Qwen has 151643: cut short?"},
        {40000, "tiktoken.model", "{\"tokenizer_class\":\"QWenTokenizer\"}",
         "has 40000 ranks, Qwen has 151643: cut short?"},
        {40000, "o200k_harmony.tiktoken", NULL, "o200k_harmony has 199998: cut short?"},
        {40000, "tokenizer.model", NULL, "if it is not cut short"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        struct strbuf file;
        write_many(&file, cases[i].n);
        enum status st = load_files((struct str){file.data, file.len}, cases[i].name,
                                    cases[i].config, false, &t, &err);
        assert_int_equal(st == STATUS_OK, !cases[i].message);
        if (cases[i].message && !strstr(err.message, cases[i].message))
            fail_msg("case %zu: \"%s\"", i, err.message);
        if (t) assert_ids(t, "abc<|endoftext|>", false, true, "257 50256");
        tokenizer_free(t);
        strbuf_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_families_cut_differently),
        cmocka_unit_test(test_configured_tokens),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_rank_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
