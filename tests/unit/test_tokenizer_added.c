#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/rng.h"
#include "engine/tokenizer/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Added tokens and the files that name special ones; the expected ids are those of PyPI tokenizers
 * 0.22.2 and of transformers 5.15 (AutoTokenizer on a directory with the three files). */

static void expect_ids(const struct tokenizer *t, const char *name, const char *text,
                       const char *want)
{
    struct token_vec ids = {0};
    struct error err = {0};
    struct strbuf got;
    strbuf_init(&got, 0);
    if (tokenizer_encode(t, text, strlen(text), true, true, 0, &ids, &err) != STATUS_OK)
        fail_msg("%s, \"%s\": %s", name, text, err.message);
    for (size_t i = 0; i < ids.len; i++) strbuf_addf(&got, i ? " %d" : "%d", ids.ids[i]);
    if (strcmp(got.len ? got.data : "", want) != 0)
        fail_msg("%s, \"%s\": [%s], not [%s]", name, text, got.data, want);
    strbuf_free(&got);
    token_vec_free(&ids);
}

/* --- flags ------------------------------------------------------------------------------------- */

#define LOWERCASE "{\"type\":\"Lowercase\"}"
#define PREPEND   "{\"type\":\"Prepend\",\"prepend\":\"_\"}"

static const struct {
    const char *name, *normalizer;
    struct {
        int id;
        const char *content,
            *flags; /* s l r w n: special, lstrip, rstrip, single_word, normalized */
    } tokens[3];
    struct {
        const char *text, *ids;
    } texts[8];
} flag_cases[] = {
    {"overlap: the longest, leftmost",
     "null",
     {{22, "<a", ""}, {23, "<ab>", ""}, {24, "ab>c", ""}},
     {{"<ab>c", "23 3"}, {"<ab>ab>c", "23 24"}, {"<a ab>c", "22 2 24"}}},
    {"strips",
     "null",
     {{22, "<a>", "l"}, {23, "<b>", "r"}, {24, "<c>", "lr"}},
     {{"x <a> y <b> z <c> .", "22 2 2 23 24 13"},
      {"<b>  <a>", "23 22"},
      {"<b> \xE3\x80\x80 <c>  <a>", "23 24 22"}}},
    {"a token of blanks behind one that swallows them",
     "null",
     {{0, "a", "r"}, {9, "\n", "l"}, {2, " ", ""}},
     {{"a\n", "0"}, {"a b", "0 2 1"}, {"a  b", "0 2 2 1"}}},
    {"single words",
     "null",
     {{22, "ab", "w"}, {23, "<a>", "w"}},
     {{"ab", "22"},
      {"ab_", "0 1 14"},
      {"_ab", "14 0 1"},
      {"ab.", "22 13"},
      {"ab\xCC\x81", "0 1 20"},
      {"\xC3\xA9"
       "ab",
       "19 0 1"},
      {"x<a>y", "15 0 17"},
      {"x <a> .", "2 23 2 13"}}},
    {"normalised",
     LOWERCASE,
     {{22, "AB", "n"}, {23, "Ab", ""}},
     {{"ab AB aB Ab", "22 2 22 2 22 2 23"}, {"Abab", "23 22"}}},
    {"two that normalise alike",
     LOWERCASE,
     {{22, "AB", "n"}, {23, "ab", "sn"}},
     {{"AB ab", "23 2 23"}}},
    {"flags given again",
     "null",
     {{22, "<a>", "s"}, {22, "<a>", "l"}, {22, "<a>", "srn"}},
     {{"b <a> b", "1 2 22 1"}}},
    {"plain, then special", LOWERCASE, {{22, "AX", "n"}, {22, "AX", "s"}}, {{"AX ax", "22 2 0"}}},
    {"in the vocabulary",
     "null",
     {{0, "a", "sr"}, {15, "<", "l"}},
     {{"b a b < b", "1 2 0 1 15 2 1"}}},
    {"normalised with a prefix",
     PREPEND,
     {{22, "<a>", "n"}, {1, "b", ""}},
     {{"<a>", "22"}, {"c<a>", "14 3 15 0 17"}, {"b<a>", "1 22"}}},
};

static void add_flag(struct strbuf *json, const char *key, const char *flags, char letter)
{
    strbuf_addf(json, ",\"%s\":%s", key, strchr(flags, letter) ? "true" : "false");
}

static void add_token(struct strbuf *json, int id, const char *content, size_t len,
                      const char *flags)
{
    strbuf_addf(json, "{\"id\":%d,\"content\":", id);
    strbuf_add_json(json, content, len);
    add_flag(json, "special", flags, 's');
    add_flag(json, "lstrip", flags, 'l');
    add_flag(json, "rstrip", flags, 'r');
    add_flag(json, "single_word", flags, 'w');
    add_flag(json, "normalized", flags, 'n');
    strbuf_add_char(json, '}');
}

static struct tokenizer *parse(struct strbuf *json)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (tokenizer_parse(json->data, json->len, NULL, 0, &t, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    strbuf_free(json);
    return t;
}

static void test_flags(void **state)
{
    (void)state;
    static const char *const letters[] = {
        "a", "b", " ", "c", "d", "e", "f", "g", "h",        "\n",       "A",
        "B", "X", ".", "_", "<", "|", ">", "/", "\xC3\xA9", "\xCC\x81", "\xE3\x80\x80"};
    for (size_t i = 0; i < ARRAY_LEN(flag_cases); i++) {
        struct strbuf json;
        strbuf_init(&json, 0);
        strbuf_add_str(&json, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
        for (size_t k = 0; k < ARRAY_LEN(letters); k++) {
            if (k > 0) strbuf_add_char(&json, ',');
            strbuf_add_json(&json, letters[k], strlen(letters[k]));
            strbuf_addf(&json, ":%zu", k);
        }
        strbuf_addf(&json, "}},\"normalizer\":%s,\"added_tokens\":[", flag_cases[i].normalizer);
        for (size_t k = 0; k < 3 && flag_cases[i].tokens[k].content; k++) {
            if (k > 0) strbuf_add_char(&json, ',');
            const char *content = flag_cases[i].tokens[k].content;
            add_token(&json, flag_cases[i].tokens[k].id, content, strlen(content),
                      flag_cases[i].tokens[k].flags);
        }
        strbuf_add_str(&json, "]}");
        struct tokenizer *t = parse(&json);
        for (size_t k = 0; k < 8 && flag_cases[i].texts[k].text; k++)
            expect_ids(t, flag_cases[i].name, flag_cases[i].texts[k].text,
                       flag_cases[i].texts[k].ids);
        tokenizer_free(t);
    }
}

/* --- the search -------------------------------------------------------------------------------- */

/* A tokenizer with no more than these added tokens, each pattern its own content. */
static struct tokenizer *make_set(const struct str *contents, size_t n)
{
    struct strbuf json;
    strbuf_init(&json, 0);
    strbuf_add_str(&json, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"?\":0}},"
                          "\"added_tokens\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) strbuf_add_char(&json, ',');
        add_token(&json, (int)i + 1, contents[i].data, contents[i].len, "");
    }
    strbuf_add_str(&json, "]}");
    return parse(&json);
}

/* The longest content at text[at..], tried one by one. */
static size_t longest_at(const struct str *contents, size_t n, struct str text, size_t at)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        if (contents[i].len > longest && contents[i].len <= text.len - at &&
            !memcmp(text.data + at, contents[i].data, contents[i].len))
            longest = contents[i].len;
    return longest;
}

/* All matches, against those found by trying; returns how many. */
static size_t check_search(const struct tokenizer *t, const struct str *contents, size_t n,
                           struct str text)
{
    struct added_cursor cursor = {0};
    struct added_match m;
    size_t at = 0, count = 0;
    while (added_tokens_next(&t->added, &t->added.raw, false, text, &cursor, &m)) {
        while (at < m.start) assert_int_equal(longest_at(contents, n, text, at++), 0);
        assert_int_equal(m.stop - m.start, longest_at(contents, n, text, at));
        assert_int_equal(m.token->content_len, m.stop - m.start);
        assert_memory_equal(m.token->content, text.data + m.start, m.token->content_len);
        at = m.stop;
        count++;
    }
    while (at < text.len) assert_int_equal(longest_at(contents, n, text, at++), 0);
    return count;
}

static void test_search(void **state)
{
    (void)state;
    static char memory[12][80], text[3000];
    struct rng rng = {11};
    size_t found = 0;
    for (int round = 0; round < 300; round++) {
        struct str contents[12];
        size_t n = 0, n_letters = 1 + rng_below(&rng, round % 4 ? 3 : 20);
        for (size_t want = 1 + rng_below(&rng, 12); n < want;) {
            char *s = memory[n];
            size_t len = 1 + rng_below(&rng, round % 3 ? 79 : 4), copied = 0;
            if (n > 0 && round % 2) /* begins as an earlier one */
                for (size_t from = rng_below(&rng, n); copied < len && copied < contents[from].len;
                     copied++)
                    s[copied] = contents[from].data[copied];
            for (size_t i = copied; i < len; i++) s[i] = (char)('a' + rng_below(&rng, n_letters));
            contents[n] = (struct str){s, len};
            if (longest_at(contents, n, contents[n], 0) < len)
                n++;
            else
                want--; /* it is there already */
        }
        size_t len = 0;
        while (len < sizeof(text) - 80) {
            const struct str *c = &contents[n ? rng_below(&rng, n) : 0];
            size_t part = rng_below(&rng, 3) ? c->len : rng_below(&rng, c->len);
            memcpy(text + len, c->data, part);
            len += part;
            for (size_t i = rng_below(&rng, 80); i > 0 && len < sizeof(text) - 80 && round % 5; i--)
                text[len++] = (char)('a' + rng_below(&rng, n_letters + 1));
            if (part == 0) text[len++] = 'z';
        }
        struct tokenizer *t = make_set(contents, n);
        found += check_search(t, contents, n, (struct str){text, len});
        tokenizer_free(t);
    }
    assert_true(found > 10000);
}

static double cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Tokens that are beginnings of long ones, and a text that looks like the long ones nearly to their
 * end, everywhere: a search that walked from each byte would take a thousand steps per byte. */
static void test_hostile_set(void **state)
{
    (void)state;
    enum { LONG = 1024, N_TEXT = 1 << 20 };
    static char a[LONG], ab[LONG], every[256][3];
    char *text = malloc(N_TEXT);
    assert_non_null(text);
    memset(a, 'a', LONG - 1);
    a[LONG - 1] = '!';
    for (size_t i = 0; i < LONG; i++) ab[i] = i == LONG - 1 ? '!' : "ab"[i & 1];
    struct str contents[130] = {{a, LONG}, {ab, LONG}, {"a", 1}, {"ba", 2}};
    size_t n = 4;
    for (int c = '0'; c < 'a'; c++, n++) { /* many ways to go on behind one byte */
        if (c == '?') c++;
        every[c][0] = 'a';
        every[c][1] = (char)c;
        contents[n] = (struct str){every[c], 2};
    }
    struct tokenizer *t = make_set(contents, n);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < N_TEXT; i++)
            text[i] = kind == 0 ? 'a' : "ab"[(i / (size_t)kind) & 1];
        struct added_cursor cursor = {0};
        struct added_match m;
        size_t count = 0;
        double start = cpu_seconds();
        while (added_tokens_next(&t->added, &t->added.raw, false, (struct str){text, N_TEXT},
                                 &cursor, &m))
            count++;
        double seconds = cpu_seconds() - start;
        print_message("1 MiB, text %d: %zu tokens, %.0f ms\n", kind, count, seconds * 1e3);
        assert_true(count >= N_TEXT / 4);
        assert_true(seconds < (INFERD_DEBUG_CHECKS ? 4.0 : 0.4)); /* 0.05 where nothing else runs */
    }
    tokenizer_free(t);
    free(text);
}

/* Blanks swallowed by tokens that are blanks: the same ones are not looked at again and again. */
static void test_hostile_blanks(void **state)
{
    (void)state;
    enum { N_TEXT = 1 << 20 };
    char *text = malloc(N_TEXT);
    struct strbuf json;
    assert_non_null(text);
    memset(text, ' ', N_TEXT);
    strbuf_init(&json, 0);
    strbuf_add_str(&json, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"?\":0}},"
                          "\"added_tokens\":[");
    add_token(&json, 1, " ", 1, "lr");
    strbuf_add_char(&json, ',');
    add_token(&json, 2, "\n", 1, "r");
    strbuf_add_str(&json, "]}");
    struct tokenizer *t = parse(&json);
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 1) memset(text, '\n', N_TEXT);
        struct added_cursor cursor = {0};
        struct added_match m;
        size_t count = 0;
        double start = cpu_seconds();
        while (added_tokens_next(&t->added, &t->added.raw, false, (struct str){text, N_TEXT},
                                 &cursor, &m))
            count++;
        assert_true(cpu_seconds() - start < (INFERD_DEBUG_CHECKS ? 4.0 : 0.4));
        assert_int_equal(count, kind == 0 ? 1 : N_TEXT);
    }
    tokenizer_free(t);
    free(text);
}

static void test_refusals(void **state)
{
    (void)state;
#define MODEL "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0}},"
    static const struct {
        const char *json, *config, *says;
    } rows[] = {
        {MODEL "\"added_tokens\":[{\"id\":7,\"content\":\"x\"}]}", NULL, "1 would come next"},
        {MODEL "\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]}", NULL, "but also 0"},
        {MODEL "\"added_tokens\":[{\"id\":1,\"content\":\"x\",\"special\":3}]}", NULL, "special"},
        {MODEL "\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},"
               "\"added_tokens\":[{\"id\":1,\"content\":\" \",\"normalized\":true}]}",
         NULL, "nothing is left"},
        {MODEL "\"x\":0}", "{\"added_tokens_decoder\":[]}", "must be an object"},
        {MODEL "\"x\":0}", "{\"added_tokens_decoder\":{\"x\":{}}}", "has the key"},
        {MODEL "\"x\":0}", "{\"added_tokens_decoder\":{\"5\":{\"content\":\"x\"}}}", "come next"},
        {MODEL "\"x\":0}", "{\"eos_token\":7}", "eos_token"},
        {MODEL "\"x\":0}", "{\"extra_special_tokens\":\"x\"}", "extra_special_tokens"},
        {MODEL "\"x\":0}", "{\"extra_special_tokens\":[3]}", "extra_special_tokens"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        const char *config = rows[i].config;
        enum status st = tokenizer_parse(rows[i].json, strlen(rows[i].json), config,
                                         config ? strlen(config) : 0, &t, &err);
        if (st == STATUS_OK) fail_msg("accepted: %s %s", rows[i].json, config ? config : "");
        assert_null(t);
        if (!strstr(err.message, rows[i].says)) fail_msg("%s: %s", rows[i].says, err.message);
    }
}

/* --- the files that name tokens ------------------------------------------------------------------ */

static const struct {
    const char *name, *config, *map, *text, *ids,
        *plain; /* plain: decoded, special ones left out */
} file_cases[] = {
    {"no files", NULL, NULL, "<s>a", "9 0", "<s>a"},
    {"a name that has no id", "{\"pad_token\":\"<x>\"}", NULL, "<x>a<s>", "10 0 9", "a<s>"},
    {"the map before the config", "{\"pad_token\":\"<x>\",\"eos_token\":\"<y>\"}",
     "{\"pad_token\":\"<y>\",\"eos_token\":null}", "<x><y>", "4 2 5 10", "<x>"},
    {"added_tokens_decoder: the map plays no part",
     "{\"pad_token\":\"<x>\",\"added_tokens_decoder\":{\"9\":{\"content\":\"<s>\",\"lstrip\":false,"
     "\"rstrip\":true,\"normalized\":false,\"single_word\":false,\"special\":false}}}",
     "{\"pad_token\":\"<y>\"}", "<x><y><s> a", "10 4 6 5 9 0", "<y><s>a"},
    {"a name among the added tokens", "{\"bos_token\":\"<s>\"}", NULL, "<s>a", "9 0", "a"},
    {"names in the vocabulary", "{\"bos_token\":\"a\",\"cls_token\":\"b\"}", NULL, "ab x",
     "0 1 3 2", " x"},
    {"an object",
     "{\"bos_token\":{\"content\":\"<x>\",\"lstrip\":true,\"rstrip\":false,\"normalized\":false,"
     "\"single_word\":false,\"__type\":\"AddedToken\"}}",
     NULL, "a <x> a", "0 10 3 0", "a a"},
    {"an object in the map", "{}",
     "{\"bos_token\":{\"content\":\"<x>\",\"lstrip\":false,\"rstrip\":true,\"normalized\":false,"
     "\"single_word\":false}}",
     "a <x> a", "0 3 10 0", "a a"},
    {"the order of new ids",
     "{\"mask_token\":\"<z>\",\"pad_token\":\"<y>\",\"sep_token\":\"<x>\",\"image_token\":\"<y/"
     ">\"}",
     NULL, "<x><y><z><y/>", "10 11 12 13", ""},
    {"extra tokens", "{\"extra_special_tokens\":[\"<x>\",\"<y>\"]}", NULL, "<x><y><z>",
     "10 11 4 7 5", "<z>"},
    {"their older name", "{\"additional_special_tokens\":[\"<x>\",\"<y>\"]}", NULL, "<x><y><z>",
     "10 11 4 7 5", "<z>"},
    {"both", "{\"extra_special_tokens\":[\"<x>\"],\"additional_special_tokens\":[\"<y>\"]}", NULL,
     "<x><y>", "10 4 6 5", "<y>"},
    {"named extra tokens", "{\"extra_special_tokens\":{\"x_token\":\"<x>\"},\"y_token\":\"<y>\"}",
     NULL, "<x><y>", "11 10", ""},
    {"extra tokens of both files", "{\"extra_special_tokens\":[\"<x>\"]}",
     "{\"extra_special_tokens\":[\"<y>\",\"<x>\"]}", "<x><y>", "10 11", ""},
    {"an extra token that is an object",
     "{\"additional_special_tokens\":[{\"content\":\"<x>\",\"lstrip\":false,\"rstrip\":true,"
     "\"normalized\":false,\"single_word\":false,\"__type\":\"AddedToken\"}]}",
     NULL, "<x> a<y>", "10 0 4 6 5", "<x>a<y>"},
    {"the post-processor alone decides", "{\"bos_token\":\"<s>\",\"add_bos_token\":true}", NULL,
     "a", "0", "a"},
};

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (!text) {
        (void)unlink(path);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/inferd-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    write_file(dir, "tokenizer.json",
               "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0,\"b\":1,\"x\":2,"
               "\" \":3,\"<\":4,\">\":5,\"y\":6,\"z\":7,\"/\":8}},\"added_tokens\":[{\"id\":9,"
               "\"content\":\"<s>\",\"normalized\":false,\"special\":false}],"
               "\"decoder\":{\"type\":\"Fuse\"}}");
    for (size_t i = 0; i < ARRAY_LEN(file_cases); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        struct token_vec ids = {0};
        struct strbuf plain;
        const char *text = file_cases[i].text;
        write_file(dir, "tokenizer_config.json", file_cases[i].config);
        write_file(dir, "special_tokens_map.json", file_cases[i].map);
        if (tokenizer_load(dir, &t, &err) != STATUS_OK)
            fail_msg("%s: %s", file_cases[i].name, err.message);
        expect_ids(t, file_cases[i].name, text, file_cases[i].ids);
        strbuf_init(&plain, 0);
        assert_int_equal(tokenizer_encode(t, text, strlen(text), true, true, 0, &ids, &err), 0);
        tokenizer_decode(t, ids.ids, ids.len, true, &plain);
        if (strcmp(plain.len ? plain.data : "", file_cases[i].plain) != 0)
            fail_msg("%s: \"%s\"", file_cases[i].name, plain.data);
        strbuf_free(&plain);
        token_vec_free(&ids);
        tokenizer_free(t);
    }
    write_file(dir, "tokenizer.json", NULL);
    write_file(dir, "tokenizer_config.json", NULL);
    write_file(dir, "special_tokens_map.json", NULL);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),       cmocka_unit_test(test_search),
        cmocka_unit_test(test_hostile_set), cmocka_unit_test(test_hostile_blanks),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
