#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "config/base/rng.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/tokenizer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- helpers -------------------------------------------------------------------------------------- */

static const char *const families[] = {"gpt-2",           "phi-2",          "minimind",  "falcon",
                                       "mistral-7b-v0.3", "llama-1-vicuna", "phi-3-mini"};

/* folder/name or folder/name/file of the shared data; skips the test where it is absent. */
static void shared_path(char out[4096], const char *folder, const char *name, const char *file)
{
    const char *shared = getenv("INFERD_SHARED");
    snprintf(out, 4096, "%s/%s/%s%s%s", shared ? shared : "../shared", folder, name,
             file ? "/" : "", file ? file : "");
    if (file_exists(out)) return;
    print_message("skipped: %s is absent\n", out);
    skip();
}

static char *read_shared(const char *folder, const char *name, const char *file, size_t *len)
{
    char path[4096], *data = NULL;
    struct error err = {0};
    shared_path(path, folder, name, file);
    if (file_read(path, 64 << 20, &data, len, &err) != STATUS_OK) fail_msg("%s", err.message);
    return data;
}

static struct tokenizer *load_from(const char *folder, const char *name)
{
    char path[4096];
    struct tokenizer *t = NULL;
    struct error err = {0};
    shared_path(path, folder, name, "tokenizer.json");
    path[strlen(path) - strlen("/tokenizer.json")] = '\0';
    if (tokenizer_load(path, &t, &err) != STATUS_OK) fail_msg("%s: %s", name, err.message);
    return t;
}

static struct tokenizer *load(const char *family)
{
    return load_from("data/tokenizers", family);
}

static struct tokenizer *parse(const char *json, const char *config)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (tokenizer_parse(json, strlen(json), config, config ? strlen(config) : 0, &t, &err))
        fail_msg("%s in %s", err.message, json);
    return t;
}

/* The ids as "1 2 3". */
static void ids_text(const struct token_vec *v, struct strbuf *out)
{
    strbuf_clear(out);
    for (size_t i = 0; i < v->len; i++) strbuf_addf(out, i ? " %d" : "%d", v->ids[i]);
    if (v->len == 0) strbuf_add(out, "", 0);
}

static void expect_ids(const struct tokenizer *t, const char *text, size_t len, bool add_special,
                       bool parse_special, const char *want)
{
    struct token_vec ids = {0};
    struct strbuf got;
    struct error err = {0};
    strbuf_init(&got, 0);
    if (tokenizer_encode(t, text, len, add_special, parse_special, 0, &ids, &err) != STATUS_OK)
        fail_msg("\"%.*s\": %s", (int)len, text, err.message);
    ids_text(&ids, &got);
    if (strcmp(got.len ? got.data : "", want) != 0)
        fail_msg("\"%.*s\" gives [%s], not [%s]", (int)len, text, got.data, want);
    strbuf_free(&got);
    token_vec_free(&ids);
}

static void expect(const struct tokenizer *t, const char *text, const char *want)
{
    expect_ids(t, text, strlen(text), false, true, want);
}

static void expect_text(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                        const char *want)
{
    struct strbuf out;
    strbuf_init(&out, 0);
    tokenizer_decode(t, ids, n, skip_special, &out);
    assert_string_equal(out.data ? out.data : "", want);
    strbuf_free(&out);
}
#define EXPECT_TEXT(t, want, ...) \
    expect_text(t, (int32_t[]){__VA_ARGS__}, ARRAY_LEN(((int32_t[]){__VA_ARGS__})), false, want)

/* --- published cases ------------------------------------------------------------------------------- */

/* Texts that each end in a separating line, one line of ids for each (../shared/data/tokenizer-cases). */
static void run_cases(const char *family, const char *cases)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    size_t in_len = 0, out_len = 0;
    char name[128];
    struct tokenizer *t = load(family);
    snprintf(name, sizeof(name), "%s.inp", cases);
    char *in = read_shared("data/tokenizer-cases", name, NULL, &in_len);
    snprintf(name, sizeof(name), "%s.out", cases);
    char *out = read_shared("data/tokenizer-cases", name, NULL, &out_len);
    char *text = in, *line = out, *next = NULL;
    int n = 0;
    for (; (next = strstr(text, separator)) != NULL; text = next + sizeof(separator) - 1, n++) {
        char *line_end = strchr(line, '\n');
        assert_non_null(line_end);
        *line_end = '\0';
        expect_ids(t, text, (size_t)(next - text), false, true, line + (*line == ' '));
        line = line_end + 1;
    }
    assert_true(n > 40);
    assert_int_equal(*line, '\0'); /* as many lines as texts */
    free(in);
    free(out);
    tokenizer_free(t);
}

static void test_cases_gpt2(void **state)
{
    (void)state;
    run_cases("gpt-2", "ggml-vocab-gpt-2.gguf");
}
static void test_cases_falcon(void **state)
{
    (void)state;
    run_cases("falcon", "ggml-vocab-falcon.gguf");
}
static void test_cases_llama(void **state)
{
    (void)state;
    run_cases("llama-1-vicuna", "ggml-vocab-llama-spm.gguf");
}
static void test_cases_phi3(void **state)
{
    (void)state;
    run_cases("phi-3-mini", "ggml-vocab-phi-3.gguf");
}

static void test_stories_prompts(void **state)
{
    (void)state;
    size_t len = 0;
    struct tokenizer *t = load_from("models", "stories260K");
    char *text = read_shared("models", "stories260K", "expected.json", &len);
    cJSON *tree = NULL;
    const cJSON *c = NULL, *id = NULL;
    struct strbuf want;
    strbuf_init(&want, 0);
    assert_int_equal(json_parse(text, len, NULL, &tree, NULL), STATUS_OK);
    int n = 0;
    cJSON_ArrayForEach(c, json_get(tree, "cases"))
    {
        strbuf_clear(&want);
        cJSON_ArrayForEach(id, json_get(c, "prompt_ids"))
            strbuf_addf(&want, want.len ? " %d" : "%d", id->valueint);
        const char *prompt = json_get(c, "prompt")->valuestring;
        expect_ids(t, prompt, strlen(prompt), true, true, want.data);
        n++;
    }
    assert_true(n > 0);
    assert_int_equal(tokenizer_bos_id(t), 1);
    assert_int_equal(tokenizer_eos_id(t), 2);
    assert_string_equal(tokenizer_bos_token(t), "<s>");
    assert_string_equal(tokenizer_pad_token(t), "");
    assert_null(tokenizer_chat_template(t, NULL));
    assert_int_equal(tokenizer_vocab_size(t), 512);
    strbuf_free(&want);
    cJSON_Delete(tree);
    free(text);
    tokenizer_free(t);
}

/* --- a small tokenizer for everything else ------------------------------------------------------------ */

/* A vocabulary of single letters, a few merges, and <0xE4> <0xBD> <0xA0> <0x41> <0xFF>. */
#define VOCAB                                                                                     \
    "\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"c\":3,\"ab\":4,\"bc\":5,\"abc\":6,\"\xE2\x96\x81\"" \
    ":7,\"<0xE4>\":8,\"<0xBD>\":9,\"<0xA0>\":10,\"<0x41>\":11,\"<0xFF>\":12,\"<s>\":13,\"</s>\":" \
    "14}"
#define MERGES "\"merges\":[\"b c\",\"a b\",[\"a\",\"bc\"]]"
#define MODEL  "\"model\":{\"type\":\"BPE\"," VOCAB "," MERGES "}"
#define FALLBACK_MODEL                                                            \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true," \
    "\"fuse_unk\":true," VOCAB "," MERGES "}"
#define FALLBACK_DECODER                                                                     \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"   \
    "\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":" \
    "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":1}]}"
#define FFFD "\xEF\xBF\xBD"

static void test_merge_order(void **state)
{
    (void)state;
    struct tokenizer *t = parse("{" MODEL "}", NULL);
    expect(t, "abc", "6"); /* b+c first, then a+bc */
    expect(t, "ab", "4");
    expect(t, "abbc", "4 5");
    expect(t, "xax", "1"); /* no unk token: unknown characters are dropped */
    expect(t, "", "");
    EXPECT_TEXT(t, "abc a </s>", 6, 1, 14); /* no decoder: joined by blanks */
    EXPECT_TEXT(t, "a b", 1, 999, -1, 2);   /* no such ids */
    tokenizer_free(t);
}

static void test_fallback_and_unk(void **state)
{
    (void)state;
    struct tokenizer *t = parse("{" FALLBACK_MODEL "," FALLBACK_DECODER "}", NULL);
    expect(t,
           "a\xE4\xBD\xA0"
           "A",
           "1 8 9 10 11");
    expect(t,
           "a\xC3\xA9\xC3\xA9"
           "b",
           "1 0 2"); /* fused */
    EXPECT_TEXT(t,
                "a\xE4\xBD\xA0"
                "A",
                7, 1, 8, 9, 10, 11);
    EXPECT_TEXT(t, "a" FFFD FFFD "b", 1, 8, 9, 2);
    /* one bad byte spoils its whole run */
    EXPECT_TEXT(t, FFFD FFFD FFFD FFFD "b", 8, 9, 10, 12, 2);
    EXPECT_TEXT(t, "a", 7, 1, 7); /* one blank off either end */
    EXPECT_TEXT(t, " a ", 7, 7, 1, 7, 7);
    EXPECT_TEXT(t, "A", 11);
    tokenizer_free(t);
}

static void test_held_back_text(void **state)
{
    (void)state;
    struct tokenizer *t = parse("{" FALLBACK_MODEL "," FALLBACK_DECODER "}", NULL);
    struct strbuf out;
    struct detok d;
    strbuf_init(&out, 0);
    detok_init(&d, t, false);
    const struct {
        int32_t id;
        size_t len; /* of the text after the token */
    } steps[] = {{1, 1}, {8, 1}, {9, 1}, {10, 1},  {2, 5},
                 {7, 5}, {7, 6}, {3, 8}, {12, 11}, {8, 14}};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        detok_push(&d, steps[i].id, &out);
        if (out.len != steps[i].len) fail_msg("step %zu: \"%s\"", i, out.data);
    }
    for (int i = 0; i < 300; i++) detok_push(&d, 11, &out);
    assert_int_equal(out.len, 14 + 300 * 3); /* the run was bad already */
    detok_push(&d, 1, &out);
    for (int i = 0; i < 300; i++) { /* a long good run is not held back for ever */
        size_t before = out.len;
        detok_push(&d, 8 + i % 3, &out);
        assert_true(out.len - before <= 63);
        if (i > 64) assert_true(out.len > 14 + 900 + 1);
    }
    detok_finish(&d, &out);
    assert_true(utf8_valid(out.data, out.len));
    assert_int_equal(out.len, 14 + 900 + 1 + 300);
    strbuf_free(&out);
    tokenizer_free(t);
}

static void test_added_tokens(void **state)
{
    (void)state;
    struct tokenizer *t =
        parse("{" MODEL ",\"added_tokens\":[{\"id\":15,\"content\":\"<x>\",\"lstrip\":true},"
              "{\"id\":16,\"content\":\"<x>y\",\"rstrip\":true,\"special\":true},"
              "{\"id\":17,\"content\":\"w\",\"single_word\":true},"
              "{\"id\":18,\"content\":\"Q\",\"normalized\":true}],"
              "\"normalizer\":{\"type\":\"Lowercase\"}}",
              NULL);
    expect(t, "a<x>b", "1 15 2");
    expect(t, "a  <x>  b", "1 15 2"); /* the right blanks are dropped as unknown characters */
    expect(t, "a<x>y  b", "1 16 2");
    expect_ids(t, "a<x>yb", 6, false, false, "4"); /* a special token's text is plain text */
    expect(t, "a w a", "1 17 1");
    expect(t, "awa", "1 1");
    expect(t, "a\xC3\xA9w", "1");
    expect(t, "aQ q", "1 18 18"); /* its normalised form is found in the normalised text */
    assert_true(tokenizer_is_special(t, 16));
    assert_false(tokenizer_is_special(t, 15));
    assert_int_equal(tokenizer_token_to_id(t, "<x>y"), 16);
    assert_string_equal(tokenizer_id_to_token(t, 17), "w");
    assert_null(tokenizer_id_to_token(t, 19));
    expect_text(t, (int32_t[]){1, 16, 2}, 3, true, "a b");
    tokenizer_free(t);
}

static void test_config(void **state)
{
    (void)state;
    const char *post =
        "{" MODEL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
        "\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
        "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\","
        "\"ids\":[13],\"tokens\":[\"<s>\"]}}}}";
    struct tokenizer *t = parse(post, NULL);
    expect_ids(t, "a", 1, true, true, "13 1");
    assert_int_equal(tokenizer_bos_id(t), -1);
    assert_string_equal(tokenizer_bos_token(t), "");
    tokenizer_free(t);

    t = parse(post, "{\"add_bos_token\":false,\"add_eos_token\":true,\"eos_token\":{\"content\":"
                    "\"</s>\"},\"bos_token\":\"<s>\",\"pad_token\":\"[PAD]\",\"unk_token\":null,"
                    "\"chat_template\":[{\"name\":\"default\",\"template\":\"D\"},{\"name\":"
                    "\"tool_use\",\"template\":\"T\"}]}");
    expect_ids(t, "a", 1, true, true, "13 1"); /* the post-processor decides */
    expect_ids(t, "a", 1, false, true, "1");
    assert_int_equal(tokenizer_eos_id(t), 14);
    assert_true(tokenizer_is_special(t, 14));
    assert_string_equal(tokenizer_pad_token(t), "[PAD]");
    assert_string_equal(tokenizer_chat_template(t, NULL), "D");
    assert_string_equal(tokenizer_chat_template(t, "tool_use"), "T");
    assert_null(tokenizer_chat_template(t, "rag"));
    expect_text(t, (int32_t[]){1, 14}, 2, true, "a");
    tokenizer_free(t);

    t = parse("{" MODEL "}", "{\"chat_template\":\"X\",\"added_tokens_decoder\":{\"15\":{"
                             "\"content\":\"<y>\",\"special\":true}}}");
    assert_string_equal(tokenizer_chat_template(t, NULL), "X");
    expect(t, "a<y>", "1 15");
    tokenizer_free(t);
}

static void test_limits(void **state)
{
    (void)state;
    struct tokenizer *t = parse("{" MODEL "}", NULL);
    struct token_vec ids = {0};
    struct error err = {0};
    assert_int_equal(tokenizer_encode(t, "aaaa", 4, false, true, 4, &ids, &err), STATUS_OK);
    assert_int_equal(ids.len, 4);
    assert_int_equal(tokenizer_encode(t, "aaaa", 4, false, true, 3, &ids, &err),
                     STATUS_CONTEXT_LENGTH);
    assert_int_equal(ids.len, 7); /* it counts its own */
    assert_int_equal(tokenizer_encode(t, "a\xC3", 2, false, true, 0, &ids, &err), STATUS_INVALID);
    tokenizer_free(t);

    /* A file may not make a text of any length out of a short one. */
    struct strbuf json;
    strbuf_init(&json, 0);
    strbuf_add_str(&json, "{" MODEL ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 4; i++) {
        strbuf_addf(&json, "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"",
                    i ? "," : "");
        for (int k = 0; k < 1000; k++) strbuf_add_char(&json, 'a');
        strbuf_add_str(&json, "\"}");
    }
    strbuf_add_str(&json, "]}}");
    t = parse(json.data, NULL);
    assert_int_equal(tokenizer_encode(t, "a", 1, false, true, 0, &ids, &err), STATUS_TOO_LARGE);
    strbuf_free(&json);
    token_vec_free(&ids);
    tokenizer_free(t);
}

/* --- what is refused ------------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
#define BPE(rest)       "{\"model\":{\"type\":\"BPE\"," rest "}}"
#define PART(key, rest) "{" MODEL ",\"" key "\":" rest "}"
    static const struct {
        const char *json, *config, *says;
    } cases[] = {
        {"[]", NULL, "must hold an object"},
        {"{}", NULL, "\"model\""},
        {"{\"model\":{\"type\":\"Trigram\"}}", NULL, "Trigram"},
        {BPE("\"vocab\":[]," MERGES), NULL, "\"vocab\""},
        {BPE(VOCAB), NULL, "\"merges\""},
        {BPE("\"dropout\":0.1," VOCAB "," MERGES), NULL, "dropout"},
        {BPE("\"end_of_word_suffix\":7," VOCAB "," MERGES), NULL, "end_of_word_suffix"},
        {BPE("\"fuse_unk\":1," VOCAB "," MERGES), NULL, "fuse_unk"},
        {BPE("\"vocab\":{\"a\":-1},\"merges\":[]"), NULL, "integer from 0"},
        {BPE("\"vocab\":{\"a\":99999999999},\"merges\":[]"), NULL, "integer from 0"},
        {BPE("\"vocab\":{\"a\":1.5},\"merges\":[]"), NULL, "integer from 0"},
        {BPE("\"vocab\":{\"a\":\"1\"},\"merges\":[]"), NULL, "integer from 0"},
        {BPE("\"vocab\":{\"a\":0,\"b\":0,\"c\":9},\"merges\":[]"), NULL, "share the id"},
        {BPE("\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]"), NULL, "\"a\" stands twice"},
        {"{\"model\":{},\"model\":{}}", NULL, "duplicate"},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a b\"]"), NULL, "\"b\""},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a a\"]"), NULL, "\"aa\""},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a\"]"), NULL, "two tokens"},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a \"]"), NULL, "two tokens"},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]"), NULL, "two tokens"},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]"), NULL, "two tokens"},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\",\"a\"]]"), NULL, "two tokens"},
        {BPE("\"vocab\":{\"a\":0},\"merges\":[7]"), NULL, "two tokens"},
        {PART("version", "\"2.0\""), NULL, "version"},
        {PART("normalizer", "{\"type\":\"NFX\"}"), NULL, "NFX"},
        {PART("normalizer", "{\"type\":\"Replace\",\"content\":\"\"}"), NULL, "pattern"},
        {PART("normalizer", "\"NFC\""), NULL, "type"},
        {PART("pre_tokenizer", "{\"type\":\"Scripts\"}"), NULL, "Scripts"},
        {PART("pre_tokenizer", "{\"type\":\"Sequence\"}"), NULL, "pretokenizers"},
        {PART("pre_tokenizer",
              "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"),
         NULL, "unclosed"},
        {PART(
             "pre_tokenizer",
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a)\\\\1\"},\"behavior\":\"Isolated\"}"),
         NULL, "\\1"},
        {PART("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Foo}\"},"
                               "\"behavior\":\"Isolated\"}"),
         NULL, "\\p{Foo}"},
        {PART("pre_tokenizer",
              "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Other\"}"),
         NULL, "Other"},
        {PART("pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"xy\"}"), NULL,
         "replacement"},
        {PART("post_processor", "{\"type\":\"X\"}"), NULL, "\"X\""},
        {PART("post_processor",
              "{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",700],\"sep\":[\"[SEP]\",1]}"),
         NULL, "700"},
        {PART("decoder", "{\"type\":\"CTX\"}"), NULL, "CTX"},
        {PART("decoder", "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":"
                         "\"Replace\",\"pattern\":{\"Regex\":\"a+\"},\"content\":\"\"}]}"),
         NULL, "Replace"},
        {PART("added_tokens", "{}"), NULL, "array"},
        {PART("added_tokens", "[{\"id\":1,\"content\":\"zz\"}]"), NULL, "\"zz\""},
        {PART("added_tokens", "[{\"id\":2,\"content\":\"a\"}]"), NULL, "\"a\""},
        {PART("added_tokens", "[{\"id\":99,\"content\":\"zz\"}]"), NULL, "15 would come next"},
        {PART("added_tokens", "[{\"id\":15,\"content\":\"z\",\"special\":3}]"), NULL, "special"},
        {"{" MODEL "}", "{\"bos_token\":7}", "bos_token"},
        {"{" MODEL "}", "{\"chat_template\":{}}", "chat_template"},
        {"{" MODEL "}", "{\"added_tokens_decoder\":{\"3\":{\"content\":\"q\"}}}", "\"q\""},
        {"{" MODEL "}", "{", "tokenizer_config.json"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        const char *config = cases[i].config;
        enum status st = tokenizer_parse(cases[i].json, strlen(cases[i].json), config,
                                         config ? strlen(config) : 0, &t, &err);
        if (st == STATUS_OK || t) fail_msg("accepted: %s", cases[i].json);
        if (!strstr(err.message, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
        assert_int_equal(err.code, st);
    }
    struct tokenizer *t = NULL;
    struct error err = {0};
    assert_int_equal(tokenizer_load("/nonexistent", &t, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "tokenizer.json"));
}

/* Every byte of a real file changed once, and the file cut short: an error with words or a
 * tokenizer that works. */
static void test_corrupt_bytes(void **state)
{
    (void)state;
    size_t len = 0;
    char *json = read_shared("models", "stories260K", "tokenizer.json", &len);
    static const char text[] = "Once upon <s> \xE4\xBD\xA0 a time</s>";
    struct rng rng = {3};
    int n_good = 0, n_bad = 0;
    struct strbuf out;
    strbuf_init(&out, 0);
    for (size_t i = 0; i < len + len / 16; i++) {
        size_t used = i < len ? len : (i - len) * 16;
        char old = i < len ? json[i] : 0;
        static const char likely[] = "\"{}[],:0123456789-\\ abc";
        if (i < len) json[i] = likely[rng_below(&rng, sizeof(likely) - 1)];
        struct tokenizer *t = NULL;
        struct error err = {0};
        if (tokenizer_parse(json, used, NULL, 0, &t, &err) == STATUS_OK) {
            struct token_vec ids = {0};
            strbuf_clear(&out);
            if (tokenizer_encode(t, text, strlen(text), true, true, 0, &ids, &err) == STATUS_OK)
                tokenizer_decode(t, ids.ids, ids.len, false, &out);
            if (out.len > 0) assert_true(utf8_valid(out.data, out.len));
            token_vec_free(&ids);
            tokenizer_free(t);
            n_good++;
        } else {
            assert_null(t);
            assert_true(err.message[0] != '\0');
            n_bad++;
        }
        if (i < len) json[i] = old;
    }
    assert_true(n_bad > 1000 && n_good > 100);
    strbuf_free(&out);
    free(json);
}

/* --- properties ------------------------------------------------------------------------------------------ */

static void check_splits(const struct tokenizer *t, struct rng *rng)
{
    struct strbuf whole, parts;
    int32_t ids[24];
    strbuf_init(&whole, 0);
    strbuf_init(&parts, 0);
    size_t n = rng_below(rng, ARRAY_LEN(ids) + 1);
    int size = tokenizer_vocab_size(t);
    bool low = rng_below(rng, 3) == 0; /* the byte tokens mostly have low ids */
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)rng_below(rng, low ? 300 : (uint64_t)size + 1);
    bool skip_special = rng_below(rng, 2);
    tokenizer_decode(t, ids, n, skip_special, &whole);
    struct detok d;
    detok_init(&d, t, skip_special);
    for (size_t i = 0; i < n; i++) {
        struct strbuf delta; /* each delta by itself is valid UTF-8 and continues the whole */
        strbuf_init(&delta, 0);
        detok_push(&d, ids[i], &delta);
        assert_true(delta.len == 0 || utf8_valid(delta.data, delta.len));
        strbuf_add(&parts, delta.len ? delta.data : "", delta.len);
        strbuf_free(&delta);
        assert_true(parts.len <= whole.len);
        assert_true(parts.len == 0 || !memcmp(parts.data, whole.data, parts.len));
    }
    detok_finish(&d, &parts);
    assert_int_equal(parts.len, whole.len);
    assert_true(whole.len == 0 || !memcmp(parts.data, whole.data, whole.len));
    strbuf_free(&whole);
    strbuf_free(&parts);
}

static void test_detok_property(void **state)
{
    (void)state;
    struct rng rng = {11};
    for (size_t f = 0; f < ARRAY_LEN(families); f++) {
        struct tokenizer *t = load(families[f]);
        for (int i = 0; i < 3000; i++) check_splits(t, &rng);
        tokenizer_free(t);
    }
}

/* Byte-level families lose nothing: decode(encode(text)) == text for any valid text. */
static void test_round_trip(void **state)
{
    (void)state;
    struct rng rng = {5};
    struct strbuf text, back;
    strbuf_init(&text, 0);
    strbuf_init(&back, 0);
    for (size_t f = 0; f < 3; f++) { /* falcon has no characters for some bytes */
        struct tokenizer *t = load(families[f]);
        for (int i = 0; i < 2000; i++) {
            strbuf_clear(&text);
            strbuf_clear(&back);
            for (uint64_t k = rng_below(&rng, 30); k > 0; k--) {
                static const uint32_t bounds[] = {0x80, 0x800, 0xD800, 0x20};
                uint64_t kind = rng_below(&rng, 5);
                strbuf_add_utf8(&text, kind == 4
                                           ? (uint32_t)(0x10000 + rng_below(&rng, 0x100000))
                                           : (uint32_t)(1 + rng_below(&rng, bounds[kind] - 1)));
            }
            struct token_vec ids = {0};
            assert_int_equal(tokenizer_encode(t, text.len ? text.data : "", text.len, false, false,
                                              0, &ids, NULL),
                             STATUS_OK);
            tokenizer_decode(t, ids.ids, ids.len, false, &back);
            assert_int_equal(back.len, text.len);
            if (text.len) assert_memory_equal(back.data, text.data, text.len);
            token_vec_free(&ids);
        }
        tokenizer_free(t);
    }
    strbuf_free(&text);
    strbuf_free(&back);
}

/* A quadratic step anywhere would take minutes here. */
static void test_long_texts(void **state)
{
    (void)state;
    static const char *const units[] = {
        "a",
        " ",
        "\n",
        "'",
        "x y",
        "\xCC\x81\xCC\xA3",
        "\xE4\xBD\xA0",
        "9",
        " \t",
        "<|endoftext|>",
        "<",
        "A",
        "\xF0\x9F\x98\x80",
    };
    size_t len = 1u << 20;
    char *text = malloc(len);
    assert_non_null(text);
    const char *json =
        "{" MODEL ",\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":"
        "\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
        "\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r"
        "\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\"}}";
    struct tokenizer *tokenizers[] = {parse(json, NULL), load("gpt-2"), load("phi-3-mini")};
    for (size_t k = 0; k < ARRAY_LEN(tokenizers); k++) {
        for (size_t u = 0; u < ARRAY_LEN(units); u++) {
            size_t unit_len = strlen(units[u]), n = len / unit_len * unit_len;
            for (size_t i = 0; i < n; i++) text[i] = units[u][i % unit_len];
            struct token_vec ids = {0};
            struct error err = {0};
            uint64_t start = clock_now_us();
            enum status st = tokenizer_encode(tokenizers[k], text, n, false, true, 0, &ids, &err);
            uint64_t took_us = clock_now_us() - start;
            if (st != STATUS_OK) fail_msg("%zu, \"%s\": %s", k, units[u], err.message);
            if (took_us > 100000000) fail_msg("%zu, \"%s\": %lu us", k, units[u], took_us);
            token_vec_free(&ids);
        }
        tokenizer_free(tokenizers[k]);
    }
    free(text);
}

struct worker {
    const struct tokenizer *t;
    struct token_vec ids;
    pthread_t thread;
};

static void *encode_in_thread(void *user)
{
    struct worker *w = user;
    static const char text[] = "Many threads share one tokenizer, don't they? 12345 \xE4\xBD\xA0";
    for (int i = 0; i < 200; i++) {
        w->ids.len = 0;
        if (tokenizer_encode(w->t, text, strlen(text), true, true, 0, &w->ids, NULL)) return NULL;
    }
    return w;
}

static void test_threads(void **state)
{
    (void)state;
    struct tokenizer *t = load("gpt-2");
    struct worker workers[4] = {0};
    for (int i = 0; i < 4; i++) {
        workers[i].t = t;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, encode_in_thread, &workers[i]),
                         0);
    }
    for (int i = 0; i < 4; i++) {
        void *done = NULL;
        pthread_join(workers[i].thread, &done);
        assert_ptr_equal(done, &workers[i]);
        assert_int_equal(workers[i].ids.len, workers[0].ids.len);
        assert_memory_equal(workers[i].ids.ids, workers[0].ids.ids, 4 * workers[0].ids.len);
    }
    for (int i = 0; i < 4; i++) token_vec_free(&workers[i].ids);
    tokenizer_free(t);
}

/* --- patterns: what Oniguruma makes of them --------------------------------------------------------------- */

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *matches; /* joined by '|' */
    } cases[] = {
        {"\\p{N}{1,3}+", "123456789", "123456789"}, /* a repeated repetition, not possessive */
        {"\\p{N}{1,3}?", "123", "1|2|3"},
        {"a{2}?b", "aab ab b", "aab|b|b"}, /* {n}? is optional, not lazy */
        {"a(?i)b|c", "aB C aC", "aB|aC"},  /* the option holds to the end of the group */
        {"(?m:a.b)", "a\nb", "a\nb"},      /* (?m) is PCRE2's (?s) */
        {"a.b", "a\nb", ""},
        {"[a-c[x-z]]+", "axbz q", "axbz"},
        {"\\h+", "beef xyz", "beef"},
        {"\\s", "\xE1\xA0\x8E\xC2\x85", "\xC2\x85"}, /* U+180E is no blank, U+0085 is one */
        {"^b", "a\nb", "b"},
        {"(?i:'s)", "'S '\xC5\xBF", "'S|'\xC5\xBF"},
        {"\\p{^L}+|\\P{L}", "a1-b", "1-"},
        {"[^\\S\\n]+", "a \n\t", " |\t"},
        {"\\bab\\b", "ab cab abc ab", "ab|ab"},
        {"x{,2}y", "xxxy", "xxy"},
        {"[\\p{L}&&[^\\p{Han}]]+",
         "ab\xE4\xB8\xAD"
         "c",
         "ab|c"},
        {"[^a-c&&b-z]+", "abcdz1", "a|dz1"}, /* all but b and c */
        {"[x[^a-y]]+", "axzy", "xz"},
        {"[\\W_]+", "a_-b", "_-"},
        {"[^\\w\\s]+", "#\xC2\xB2", "#\xC2\xB2"}, /* in a class U+00B2 is no \w, outside it is */
        {"\\w", "\xC2\xB2", "\xC2\xB2"},
        {"[\\w-]+", "a-b+c", "a-b|c"},
        {"\\p{L}+", "\xF0\x9E\x80\xB0", "\xF0\x9E\x80\xB0"}, /* U+1E030, of Unicode 15 */
        {"[[:alpha:]_-]+", "ab_-1", "ab_-"},
        {"[^[:^space:]x]+|[[:digit:]]", "a 1x", " |1"},
        {"[[:punct:]]+|\\p{Punct}", "a+!", "+!"}, /* + is no \p{Punct}, but [:punct:] */
        {"\\p{Cn}|\\p{Cf}", "a\xCD\xB8\xE2\x80\x8D", "\xCD\xB8|\xE2\x80\x8D"},
        {"(?i)\\p{Lu}+x", "AaX AX", "AX"},              /* the option does not reach a property */
        {"[\\p{Word}]|\\P{Word}", "a\xC2\xB2-", "a|-"}, /* as \w */
        {"[=a=]+|[.x.]", "=a.", "=a|."},
        {"(?i:a)\\p{Upper}|(?i)(?-i)[\\p{Lu}]", "AB Ab ab", "AB|A"},
    };
    struct regex_scratch scratch = {0};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct regex *r = NULL;
        struct error err = {0};
        struct strbuf got;
        strbuf_init(&got, 0);
        if (regex_compile(cases[i].pattern, &r, &err) != STATUS_OK)
            fail_msg("%s: %s", cases[i].pattern, err.message);
        struct regex_cursor cursor = {0};
        struct str text = str_from(cases[i].text);
        size_t start = 0, end = 0;
        while (regex_next(r, &scratch, text, &cursor, &start, &end) == REGEX_MATCH) {
            if (got.len) strbuf_add_char(&got, '|');
            strbuf_add(&got, text.data + start, end - start);
        }
        if (strcmp(got.len ? got.data : "", cases[i].matches) != 0)
            fail_msg("%s in \"%s\": \"%s\"", cases[i].pattern, cases[i].text, got.data);
        strbuf_free(&got);
        regex_free(r);
    }
    static const char *const refused[] = {"(a)\\1",
                                          "[a&&]",
                                          "[[:alpah:]]",
                                          "[^[^\\S\\D]]",
                                          "(?i:[a[^b]])",
                                          "(?i)[a-z&&b-c]",
                                          "(?i)[\\p{Lu}]",
                                          "\\p{:alpha}",
                                          "\\p{Foo}",
                                          "a**+)",
                                          "",
                                          "(?<n>a)",
                                          "\\K",
                                          "[a",
                                          "\\",
                                          "*a",
                                          "[]",
                                          "\\R",
                                          "(?x: a)"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct regex *r = NULL;
        struct error err = {0};
        if (regex_compile(refused[i], &r, &err) != STATUS_UNSUPPORTED)
            fail_msg("accepted: %s", refused[i]);
        assert_null(r);
    }
    regex_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases_gpt2),       cmocka_unit_test(test_cases_falcon),
        cmocka_unit_test(test_cases_llama),      cmocka_unit_test(test_cases_phi3),
        cmocka_unit_test(test_stories_prompts),  cmocka_unit_test(test_merge_order),
        cmocka_unit_test(test_fallback_and_unk), cmocka_unit_test(test_held_back_text),
        cmocka_unit_test(test_added_tokens),     cmocka_unit_test(test_config),
        cmocka_unit_test(test_limits),           cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_corrupt_bytes),    cmocka_unit_test(test_detok_property),
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_threads),          cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
