#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/rng.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/piece_trie.h"
#include "engine/tokenizer/read_score.h"
#include "engine/tokenizer/unigram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Expected ids were printed by PyPI tokenizers 0.22.2 (Tokenizer.from_str, encode without special
 * tokens), those of the single-precision model by PyPI sentencepiece 0.2.3.  JSON is written with '
 * for ". */

/* --- helpers -------------------------------------------------------------------------------------- */

static char *quoted(const char *json)
{
    char *text = strdup(json);
    assert_non_null(text);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return text;
}

static enum status try_parse(const char *model, const char *post, struct tokenizer **t,
                             struct error *err)
{
    struct strbuf json;
    strbuf_init(&json, 0);
    strbuf_addf(&json, "{'version':'1.0','model':%s,'post_processor':%s}", model, post);
    assert_false(json.failed);
    char *text = quoted(json.data);
    enum status st = tokenizer_parse(text, json.len, NULL, 0, t, err);
    free(text);
    strbuf_free(&json);
    return st;
}

static struct tokenizer *parse(const char *model, const char *post)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (try_parse(model, post, &t, &err) != STATUS_OK) fail_msg("%s in %s", err.message, model);
    return t;
}

static void expect_refused(const char *model, const char *post, enum status code, const char *why)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status st = try_parse(model, post, &t, &err);
    if (st != code || t || !strstr(err.message, why))
        fail_msg("%s %s gives %s \"%s\", not %s", model, post, status_name(st), err.message, why);
}

#define REFUSED "refused"

static void expect(const struct tokenizer *t, struct str text, bool add_special, const char *want)
{
    struct token_vec ids = {0};
    struct strbuf got;
    struct error err = {0};
    strbuf_init(&got, 0);
    strbuf_add(&got, "", 0);
    if (tokenizer_encode(t, text.data, text.len, add_special, true, 0, &ids, &err) != STATUS_OK)
        strbuf_add_str(&got, REFUSED);
    else
        for (size_t i = 0; i < ids.len; i++) strbuf_addf(&got, i ? " %d" : "%d", ids.ids[i]);
    if (strcmp(got.len ? got.data : "", want) != 0)
        fail_msg("\"%.*s\" gives [%s], not [%s]", (int)text.len, text.data, got.data, want);
    strbuf_free(&got);
    token_vec_free(&ids);
}

/* --- models --------------------------------------------------------------------------------------- */

#define CASES_MAX 16
static const struct {
    const char *model;
    struct {
        const char *text, *ids;
    } cases[CASES_MAX];
} models[] = {
    /* wordlevel */
    {"{'type':'WordLevel','vocab':{'a':0,'bc':5,'<unk>':7,'\xC3\xA9':9},'unk_token':'<unk>'}",
     {
         {"a", "0"},
         {"bc", "5"},
         {"abc", "7"},
         {"\xC3\xA9", "9"},
         {"<unk>", "7"},
     }},
    /* wordlevel no unk */
    {"{'type':'WordLevel','vocab':{'a':0},'unk_token':'?'}",
     {
         {"a", "0"},
         {"b", REFUSED},
     }},
    /* wordpiece */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_"
     "per_word':10,'vocab':{'[UNK]':0,'un':1,'##aff':2,'##able':3,'u':4,'##n':5,'##a':6,'##f':7,'"
     "able':8,'##':9,'\xC3\xA9':10,'##\xC3\xA9':11,'##\xE4\xB8\xAD\xE6\x96\x87':12,'unaffab':13,'##"
     "ffable':20}}",
     {
         {"unaffable", "0"},
         {"unaffabl", "0"},
         {"un", "1"},
         {"able", "8"},
         {"##", "9"},
         {"####", "0"},
         {"##aff", "2"},
         {"\xC3\xA9\xC3\xA9", "10 11"},
         {"\xC3\xA9\xE4\xB8\xAD\xE6\x96\x87", "10 12"},
         {"u\xE4\xB8\xAD", "0"},
         {"unnnnnnnnn", "1 5 5 5 5 5 5 5 5"},
         {"unnnnnnnnnn", "0"},
         {"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3"
          "\xA9",
          "0"},
         {"unaffaba", "13 6"},
     }},
    /* wordpiece empty prefix */
    {"{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'','max_input_chars_per_word'"
     ":100,'vocab':{'a':0,'ab':1,'b':2,'abab':3,'ba':4}}",
     {
         {"ababab", "3 1"},
         {"abba", "1 4"},
         {"abc", "0"},
         {"bbab", "2 4 2"},
     }},
    /* unigram */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0.0],['a',-3.0],['b',-3.0],['ab',-4.0],['abc',"
     "-9.0],['c',-4.5],['\xE2\x96\x81',-2.0],['\xE2\x96\x81"
     "a',-3.5],['\xC3\xA9',-6.0],['bc',-7.5],['aa',-6.0],['aaa',-9.0]]}",
     {
         {"abc", "3 5"},
         {"ab", "3"},
         {"\xE2\x96\x81"
          "ab",
          "6 3"},
         {"\xC3\xA9"
          "a",
          "8 1"},
         {"xyz", "0"},
         {"axyzb", "1 0 2"},
         {"a<unk>b", "1 0 2"},
         {"x<unk>y", "0"},
         {"<unk>", "0"},
         {"aaaaaaa", "1 11 11"},
         {"", ""},
         {"\xC3\xA9\xE4\xB8\xAD\xC3\xA9", "8 0 8"},
         {"abcabc", "3 5 3 5"},
     }},
    /* unigram bytes */
    {"{'type':'Unigram','unk_id':1,'byte_fallback':true,'vocab':[['a',-1.0],['<unk>',-9.0],['<0xE4>"
     "',-5.0],['<0xB8>',-5.0],['<0xAD>',-5.0],['<0xE6>',-5.0],['<0x61>',-2.0]]}",
     {
         {"\xE4\xB8\xAD", "2 3 4"},
         {"a\xE4\xB8\xAD"
          "a",
          "0 2 3 4 0"},
         {"\xE4\xB8\xAD\xE4\xB8\xAD", "2 3 4 2 3 4"},
         {"\xE4\xB8\xAD\xE6\x96\x87", "1"},
         {"\xE6\x96\x87"
          "a\xE4\xB8\xAD",
          "1 0 2 3 4"},
         {"<0x61>", "6"},
         {"<unk>", "1"},
     }},
    /* unigram fused known */
    {"{'type':'Unigram','unk_id':0,'vocab':[['u',60.0],['xy',30.0],['a',60.0]]}",
     {
         {"xy", "1"},
         {"axya", "2 1 2"},
         {"xyz", "0"},
         {"axy", "2 1"},
     }},
    /* unigram duplicates */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0.0],['a',-1.0],['ab',-9.0],['b',-1.0],['a',-"
     "50.0],['ab',-3.0],['',-2.0]]}",
     {
         {"a", "4"},
         {"ab", "5"},
         {"b", "3"},
         {"ba", "3 4"},
     }},
    /* unigram no unk */
    {"{'type':'Unigram','unk_id':null,'vocab':[['a',-1.0],['b',-1.0]]}",
     {
         {"ab", "0 1"},
         {"", ""},
         {"ax", REFUSED},
     }},
    /* unigram unk never chosen */
    {"{'type':'Unigram','unk_id':null,'vocab':[['\xC3\xA9',-1.0],['\xC3\xA9"
     "a',-2.0],['a',-3.5],['a\xC3\xA9',-2.0]]}",
     {
         {"\xC3\xA9"
          "a",
          "1"},
         {"a\xC3\xA9"
          "a",
          "2 1"},
         {"\xC3\xA9"
          "a\xC3\xA9",
          "0 3"},
     }},
    /* last bits seed 5, not [1, 3, 3] */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0.0],['a',-7.474820137023926],['aa',-8."
     "901443481445312],['aaa',-9.542323112487793],['b',-11.309403419494629]]}",
     {
         {"aaaaaaa", "3 3 1"},
         {"aaaaaaaa", "3 3 2"},
         {"aaaaaaaaaa", "3 3 1 3"},
     }},
};

static void test_models(void **state)
{
    (void)state;
    for (size_t m = 0; m < ARRAY_LEN(models); m++) {
        struct tokenizer *t = parse(models[m].model, "null");
        for (int i = 0; i < CASES_MAX && models[m].cases[i].text; i++)
            expect(t, str_from(models[m].cases[i].text), false, models[m].cases[i].ids);
        tokenizer_free(t);
    }
}

/* Each model is found by its members where "type" is missing. */
static void test_models_without_type(void **state)
{
    (void)state;
    static const struct {
        const char *model, *type;
    } cases[] = {
        {"{'vocab':{'a':0},'merges':[]}", "BPE"},
        {"{'vocab':{'a':0},'merges':[],'unk_token':'a','continuing_subword_prefix':'',"
         "'max_input_chars_per_word':9}",
         "BPE"},
        {"{'vocab':{'a':0},'unk_token':'a','continuing_subword_prefix':'##',"
         "'max_input_chars_per_word':9}",
         "WordPiece"},
        {"{'vocab':{'a':0},'unk_token':'a','continuing_subword_prefix':'##'}", "WordLevel"},
        {"{'vocab':{'a':0},'unk_token':'a'}", "WordLevel"},
        {"{'vocab':[['a',-1.0]],'unk_id':0}", "Unigram"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = parse(cases[i].model, "null");
        assert_string_equal(t->model->type, cases[i].type);
        tokenizer_free(t);
    }
    expect_refused("{'vocab':{'a':0}}", "null", STATUS_CORRUPT, "no \"type\"");
    expect_refused("{'type':null,'vocab':{'a':0},'merges':[]}", "null", STATUS_CORRUPT, "\"type\"");
}

static void test_refused_models(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        enum status status;
        const char *why;
    } cases[] = {
        {"{'type':'Morfessor','vocab':{}}", STATUS_UNSUPPORTED,
         "\"Morfessor\" is not supported; known are BPE, WordPiece, WordLevel, Unigram"},
        {"{'type':'WordLevel','vocab':{'a':0}}", STATUS_CORRUPT, "unk_token"},
        {"{'type':'WordLevel','unk_token':'a'}", STATUS_CORRUPT, "vocab"},
        {"{'type':'WordPiece','vocab':{'a':0},'unk_token':'a','max_input_chars_per_word':1}",
         STATUS_CORRUPT, "continuing_subword_prefix"},
        {"{'type':'WordPiece','vocab':{'a':0},'unk_token':'a','continuing_subword_prefix':'',"
         "'max_input_chars_per_word':-1}",
         STATUS_CORRUPT, "max_input_chars_per_word"},
        {"{'type':'WordPiece','vocab':{'a':0},'unk_token':'a','continuing_subword_prefix':'',"
         "'max_input_chars_per_word':1.5}",
         STATUS_CORRUPT, "max_input_chars_per_word"},
        {"{'type':'Unigram','unk_id':null}", STATUS_CORRUPT, "vocab"},
        {"{'type':'Unigram','vocab':[['a',-1.0],'b']}", STATUS_CORRUPT, "piece 1"},
        {"{'type':'Unigram','vocab':[['a']]}", STATUS_CORRUPT, "piece 0"},
        {"{'type':'Unigram','vocab':[['a',1,2]]}", STATUS_CORRUPT, "piece 0"},
        {"{'type':'Unigram','vocab':[['a','1']]}", STATUS_CORRUPT, "piece 0"},
        {"{'type':'Unigram','vocab':[['a',-1]],'unk_id':1}", STATUS_CORRUPT, "unk_id"},
        {"{'type':'Unigram','vocab':[],'unk_id':0}", STATUS_CORRUPT, "unk_id"},
        {"{'type':'Unigram','vocab':[['a',-1]],'unk_id':-1}", STATUS_CORRUPT, "unk_id"},
        {"{'type':'Unigram','vocab':[['a',-1]],'byte_fallback':1}", STATUS_CORRUPT,
         "byte_fallback"},
        {"{'type':'Unigram','vocab':[['a',-1e999]]}", STATUS_INVALID, "tokenizer.json"},
        {"{'type':'Unigram','vocab':[['a',null]]}", STATUS_CORRUPT, "piece 0"},
        {"{'type':'Unigram','vocab':{'a':0}}", STATUS_CORRUPT, "\"vocab\" must be a list"},
        {"{'type':'BPE','merges':[],'vocab':[['a',0]]}", STATUS_CORRUPT, "\"vocab\" must be"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refused(cases[i].model, "null", cases[i].status, cases[i].why);
}

/* A limit above all words is none, and such a word still costs little. */
static void test_wordpiece_long_word(void **state)
{
    (void)state;
    static char text[1 << 20];
    memset(text, 'a', sizeof(text));
    static const char *const limits[] = {"2000000", "9007199254740993", "18446744073709551615"};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct strbuf model;
        strbuf_init(&model, 0);
        strbuf_addf(&model,
                    "{'type':'WordPiece','unk_token':'?','continuing_subword_prefix':'##',"
                    "'max_input_chars_per_word':%s,'vocab':{'?':0,'aa':1,'##aaa':2,'##a':3}}",
                    limits[i]);
        struct tokenizer *t = parse(model.data, "null");
        struct token_vec ids = {0};
        text[sizeof(text) - 1] = 'a';
        assert_int_equal(tokenizer_encode(t, text, sizeof(text), false, true, 0, &ids, NULL), 0);
        assert_int_equal(ids.len, 1 + (sizeof(text) - 2) / 3 + (sizeof(text) - 2) % 3);
        text[sizeof(text) - 1] = 'b'; /* known only at the end: nothing of it is kept */
        ids.len = 0;
        assert_int_equal(tokenizer_encode(t, text, sizeof(text), false, true, 1, &ids, NULL), 0);
        assert_int_equal(ids.len, 1);
        assert_int_equal(ids.ids[0], 0);
        token_vec_free(&ids);
        tokenizer_free(t);
        strbuf_free(&model);
    }
}

/* --- unigram ---------------------------------------------------------------------------------------- */

/* Scores of a file and what the reference has once it is loaded. */
static void test_scores(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"-2.0154635906219482", -2.015463590621948},
        {"-9.773894309997559", -9.77389430999756},
        {"-11.830850601196289", -11.830850601196287},
        {"-3.2788925170898438", -3.278892517089844},
        {"-173.82992553710938", -173.82992553710938},
        {"-14.546859741210938", -14.546859741210938},
        {"-8.5", -8.5},
        {"-8", -8.0},
        {"-0.1", -0.1},
        {"0", 0.0},
        {"-0.0", -0.0},
        {"1024", 1024.0},
        {"1E3", 1000.0},
        {"-1e-7", -1e-07},
        {"-1.5e+2", -150.0},
        {"-0.00012345678901234567", -0.00012345678901234567},
        {"-3.46354269981384277343750000", -3.4635426998138428},
        {"-12345678901234567890123.5", -1.2345678901234568e+22},
        {"-18446744073709551615.3", -1.8446744073709552e+19},
        {"-18446744073709551619.3", -1.8446744073709552e+19},
        {"18446744073709551616", 1.8446744073709552e+19},
        {"-2059495883483527.0", -2059495883483527.2},
        {"-9007199254740993", -9007199254740992.0},
        {"-1e-320", -1e-320},
        {"-4.9406564584124654e-324", -5e-324},
        {"-1.7976931348623157e308", -1.7976931348623157e+308},
        {"1e-400", 0.0},
        {"0e999", 0.0},
        {"-123456789012345678901234567890e-25", -12345.678901234567},
        {"-0.000000000000000000000000000000123456789012345678901", -1.2345678901234566e-31},
    };
    static const char *const refused[] = {"",    "-",     "\"1\"",  "null",
                                          "[1]", "1e309", "-2e308", "1e99999999999"};
    double value = 0;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(read_score(str_from(cases[i].text), &value));
        if (value != cases[i].value)
            fail_msg("%s gives %.17g, not %.17g", cases[i].text, value, cases[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_false(read_score(str_from(refused[i]), &value));
}

/* The cache of words and the text's length change nothing: every word of a long text alone. */
static void test_unigram_long_text(void **state)
{
    (void)state;
    struct tokenizer *t = parse("{'type':'Unigram','unk_id':0,'vocab':[['?',0],['a',-2.5],['b',-3],"
                                "['ab',-4],['ba',-4.5],['aab',-7],['bb',-5.25],['c',-9]]}",
                                "null");
    struct rng rng = {.state = 9};
    struct token_vec all = {0}, one = {0};
    char text[64];
    struct encoder e = {.t = t, .out = &all, .text_len = 1 << 20};
    for (int i = 0; i < 20000; i++) {
        size_t len = 1 + rng_next(&rng) % 20, before = all.len;
        for (size_t k = 0; k < len; k++) text[k] = "aabbcd"[rng_next(&rng) % 6];
        assert_true(t->model->encode(&e, (struct str){text, len}));
        one.len = 0;
        assert_int_equal(tokenizer_encode(t, text, len, false, true, 0, &one, NULL), STATUS_OK);
        assert_int_equal(all.len - before, one.len);
        assert_memory_equal(all.ids + before, one.ids, one.len * sizeof(*one.ids));
    }
    t->model->free_scratch(e.model_scratch);
    token_vec_free(&all);
    token_vec_free(&one);
    tokenizer_free(t);
}

struct raw_piece {
    const char *text;
    double score;
    enum unigram_piece kind;
};
static const struct raw_piece raw_pieces[] = {
    {"<unk>", 0, UNIGRAM_NEVER},
    {"<s>", 0, UNIGRAM_NEVER},
    {"a", -7.474820137023926, UNIGRAM_NORMAL},
    {"aa", -8.901443481445312, UNIGRAM_NORMAL},
    {"aaa", -9.542323112487793, UNIGRAM_NORMAL},
    {"ba", -2.0, UNIGRAM_NEVER},
    {"b", -11.309403419494629, UNIGRAM_NORMAL},
    {"cd", -30.0, UNIGRAM_USER_DEFINED},
    {"c", -3.25, UNIGRAM_NORMAL},
    {"d", -3.5, UNIGRAM_NORMAL},
};

/* A tokenizer whose model is made by unigram_create. */
static struct tokenizer *create(const struct unigram_options *options, bool with_bytes)
{
    struct tokenizer *t = parse("{'type':'WordLevel','unk_token':'','vocab':{}}", "null");
    struct unigram_options own = *options;
    size_t n_raw = ARRAY_LEN(raw_pieces), n = n_raw + (with_bytes ? 256 : 0);
    double scores[ARRAY_LEN(raw_pieces) + 256] = {0};
    uint8_t kinds[ARRAY_LEN(raw_pieces) + 256] = {0};
    struct error err = {0};
    t->model->free(t->model_data);
    vocab_free(&t->vocab);
    assert_int_equal(vocab_init(&t->vocab, n, n, &err), STATUS_OK);
    for (size_t id = 0; id < n; id++) {
        char byte[8];
        snprintf(byte, sizeof(byte), "<0x%02X>", (unsigned)(id - n_raw) & 0xFF);
        const char *text = id < n_raw ? raw_pieces[id].text : byte;
        scores[id] = id < n_raw ? raw_pieces[id].score : 0;
        kinds[id] = id < n_raw ? (uint8_t)raw_pieces[id].kind : (uint8_t)UNIGRAM_NEVER;
        assert_int_equal(vocab_add(&t->vocab, (int64_t)id, text, strlen(text), &err), STATUS_OK);
    }
    own.kinds = kinds;
    if (unigram_create(t, scores, &own, &err) != STATUS_OK) fail_msg("%s", err.message);
    return t;
}

static void test_sentencepiece(void **state)
{
    (void)state;
    static const struct {
        const char *text, *ids, *ids_in_bytes;
    } cases[] = {
        {"aaaaaaa", "2 4 4", NULL},
        {"aaaaaaaa", "4 4 3", NULL},
        {"aaaaaaaaaa", "4 4 4 2", NULL},
        {"ba", "6 2", "6 2"},
        {"cd", "7", NULL},
        {"acdc", "2 7 8", NULL},
        {"x", "0", NULL},
        {"xyxa", "0 2", NULL},
        {"<s>", "0", NULL},
        {"<unk>", "0", NULL},
        {"a\xC3\xA9"
         "c\xC3\xA9\xC3\xA9",
         "2 0 8 0", NULL},
        {"ddd", "9 9 9", NULL},
        {"<s>cd", "0 7", NULL},
        {"\xC3\xA9", "0", "205 179"},
        {"a\xC3\xA9"
         "b",
         "2 0 6", "2 205 179 6"},
        {"<0x41>", "0", "70 58 130 62 59 72"},
        {"\xC3\xA9\xC3\xA9", "0", "205 179 205 179"},
    };
    struct unigram_options options = {.unk_id = 0, .sentencepiece = true};
    struct tokenizer *plain = create(&options, false);
    options.byte_fallback = true;
    struct tokenizer *in_bytes = create(&options, true);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect(plain, str_from(cases[i].text), false, cases[i].ids);
        if (cases[i].ids_in_bytes)
            expect(in_bytes, str_from(cases[i].text), false, cases[i].ids_in_bytes);
    }
    /* Sums beyond 100,000 are moved: in single precision they would be too coarse by the end. */
    static char text[60002];
    struct token_vec ids = {0};
    memset(text, 'a', 60000);
    text[60000] = 'c';
    text[60001] = 'd';
    assert_int_equal(tokenizer_encode(plain, text, sizeof(text), false, true, 0, &ids, NULL), 0);
    assert_int_equal(ids.len, 20001);
    for (size_t i = 0; i < 20000; i++) assert_int_equal(ids.ids[i], 4);
    assert_int_equal(ids.ids[20000], 7);
    token_vec_free(&ids);
    tokenizer_free(plain);
    tokenizer_free(in_bytes);
}

static void test_create_refuses(void **state)
{
    (void)state;
    static const struct {
        double score;
        int32_t unk_id;
        const char *why;
    } cases[] = {
        {NAN, 0, "not finite"},
        {-INFINITY, -1, "not finite"},
        {-1, 1, "unk_id"},
        {-1, -2, "unk_id"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = parse("{'type':'WordLevel','unk_token':'','vocab':{'a':0}}", "null");
        struct unigram_options options = {.unk_id = cases[i].unk_id};
        struct error err = {0};
        t->model->free(t->model_data);
        assert_int_equal(unigram_create(t, &cases[i].score, &options, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.message, cases[i].why));
        tokenizer_free(t);
    }
}

/* Long texts without a place to cut end in time and memory that a test can take. */
static void test_unigram_one_megabyte(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        size_t n_ids; /* for each 24 units */
    } cases[] = {{"a", 12}, {" ", 24}, {"\xF0\x9F\x98\x80", 0}, {"ab", 24}};
    struct tokenizer *t = parse("{'type':'Unigram','unk_id':0,'vocab':[['?',0],['a',-2],['aa',-3],"
                                "[' ',-1],['ab',-2],['b',-5],['ba',-5]]}",
                                "null");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf text;
        struct token_vec ids = {0};
        size_t n = 240000;
        strbuf_init(&text, 0);
        for (size_t k = 0; k < n; k++) strbuf_add_str(&text, cases[i].unit);
        assert_int_equal(tokenizer_encode(t, text.data, text.len, false, true, 0, &ids, NULL), 0);
        size_t want = cases[i].n_ids ? n / 24 * cases[i].n_ids : 1; /* all unknown: one */
        assert_int_equal(ids.len, want);
        token_vec_free(&ids);
        strbuf_free(&text);
    }
    tokenizer_free(t);
}

/* --- the trie -------------------------------------------------------------------------------------------- */

/* Random tokens over few and over many bytes: a walk finds exactly the prefixes that are tokens. */
static void test_trie(void **state)
{
    (void)state;
    struct rng rng = {.state = 9};
    for (int round = 0; round < 60; round++) {
        size_t n = round == 0 ? 0 : 1 + rng_next(&rng) % 3000, n_bytes = 1 + rng_next(&rng) % 255;
        size_t len_max = 1 + rng_next(&rng) % (round % 3 ? 6 : 40);
        struct vocab v;
        struct piece_trie trie = {0};
        uint8_t *left_out = calloc(n + 1, 1);
        assert_non_null(left_out);
        assert_int_equal(vocab_init(&v, n, n, NULL), STATUS_OK);
        for (size_t id = 0; id < n; id++) {
            char text[40];
            size_t len = rng_next(&rng) % (len_max + 1);
            for (size_t i = 0; i < len; i++)
                text[i] = (char)(rng_next(&rng) % n_bytes + (round % 2 ? 256 - n_bytes : 1));
            (void)vocab_add(&v, (int64_t)id, text, len, NULL); /* one that is there: a hole */
            left_out[id] = rng_next(&rng) % 8 == 0;
        }
        assert_int_equal(piece_trie_build(&trie, &v, left_out, NULL), STATUS_OK);
        for (size_t id = 0; id < n; id++) {
            struct str text = vocab_text(&v, (int64_t)id);
            uint32_t node = PIECE_TRIE_ROOT;
            for (size_t i = 0; i < text.len && node != PIECE_TRIE_NONE; i++) {
                node = piece_trie_step(&trie, node, text.data[i]);
                int32_t want = vocab_find(&v, text.data, i + 1);
                if (want >= 0 && left_out[want]) want = -1;
                int32_t got = node == PIECE_TRIE_NONE ? -1 : trie.nodes[node].id;
                assert_int_equal(got, want);
            }
            if (text.len > 0 && !left_out[id]) assert_int_not_equal(node, PIECE_TRIE_NONE);
        }
        piece_trie_free(&trie);
        vocab_free(&v);
        free(left_out);
    }
}

/* --- post-processors --------------------------------------------------------------------------------------- */

#define WORDS "{'type':'WordLevel','unk_token':'t','vocab':{'t':0,'C':1,'S':2,'D':3,'E':4}}"
#define A     "{'Sequence':{'id':'A','type_id':0}}"
#define B     "{'Sequence':{'id':'B','type_id':1}}"
#define C     "{'SpecialToken':{'id':'C','type_id':0}}"
#define S     "{'SpecialToken':{'id':'S','type_id':1}}"
#define D     "{'SpecialToken':{'id':'D','type_id':0}}"
#define TEMPLATE_PAIR(single, pair)                                                        \
    "{'type':'TemplateProcessing','single':[" single "],'pair':[" pair                     \
    "],'special_tokens':{'C':{'id':'C','ids':[1],'tokens':['C']},'S':{'id':'S','ids':[2]," \
    "'tokens':['S']},'D':{'id':'D','ids':[3,4],'tokens':['D','E']}}}"
#define TEMPLATE(single) TEMPLATE_PAIR(single, A "," B)
#define BERT             "{'type':'BertProcessing','sep':['S',2],'cls':['C',1]}"
#define ROBERTA                                                                    \
    "{'type':'RobertaProcessing','sep':['S',2],'cls':['C',1],'trim_offsets':true," \
    "'add_prefix_space':true}"
#define BYTE_LEVEL  "{'type':'ByteLevel','add_prefix_space':true,'trim_offsets':true}"
#define SEQUENCE(p) "{'type':'Sequence','processors':[" p "]}"

static void test_postprocessors(void **state)
{
    (void)state;
    static const struct {
        const char *post, *ids;
    } cases[] = {
        {"null", "0"},
        {BERT, "1 0 2"},
        {ROBERTA, "1 0 2"},
        {BYTE_LEVEL, "0"},
        {TEMPLATE(C "," A "," S), "1 0 2"},
        {TEMPLATE(C "," D "," A "," S "," D "," C), "1 3 4 0 2 3 4 1"},
        {TEMPLATE(A), "0"},
        {SEQUENCE(BYTE_LEVEL "," TEMPLATE(C "," A)), "1 0"},
        {SEQUENCE(BERT "," BERT), "1 1 0 2 2"},
        {SEQUENCE(BERT "," TEMPLATE(D "," A "," S)), "3 4 1 0 2 2"},
        {SEQUENCE(TEMPLATE(C "," A) "," BERT), "1 1 2 0 2"},
        {SEQUENCE(TEMPLATE(C "," A "," S) "," ROBERTA), "1 1 2 2 0 2 2 2 2"},
        {SEQUENCE(TEMPLATE(D "," A) "," TEMPLATE_PAIR(C "," A "," S, S "," B "," D "," A "," C)),
         "2 0 3 4 3 4 1"},
        {SEQUENCE(TEMPLATE(A) "," TEMPLATE(C "," A "," S)), "1 0 2"},
        {SEQUENCE(SEQUENCE(BYTE_LEVEL "," BERT) "," SEQUENCE(TEMPLATE(D "," A))), "3 4 1 0 2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer *t = parse(WORDS, cases[i].post);
        expect(t, STR("t"), true, cases[i].ids);
        expect(t, STR("t"), false, "0");
        tokenizer_free(t);
    }
}

static void test_refused_postprocessors(void **state)
{
    (void)state;
    struct strbuf many;
    strbuf_init(&many, 0);
    strbuf_add_str(&many, "{'type':'TemplateProcessing','special_tokens':{'C':{'ids':[1]}},"
                          "'single':[" A);
    for (int i = 0; i < POST_IDS_MAX + 1; i++) strbuf_add_str(&many, "," C);
    strbuf_add_str(&many, "]}");
    const struct {
        const char *post;
        enum status status;
        const char *why;
    } cases[] = {
        {TEMPLATE(A "," S "," A), STATUS_UNSUPPORTED, "2 times"},
        {TEMPLATE(C "," S), STATUS_UNSUPPORTED, "0 times"},
        {TEMPLATE(""), STATUS_UNSUPPORTED, "0 times"},
        {TEMPLATE(C "," B), STATUS_UNSUPPORTED, "sequence B"},
        {SEQUENCE(TEMPLATE(C "," A) "," TEMPLATE_PAIR(A, S "," A)), STATUS_UNSUPPORTED, "0 times"},
        {SEQUENCE(TEMPLATE(C "," A "," S) "," TEMPLATE(A)), STATUS_UNSUPPORTED, "3 pieces"},
        {TEMPLATE("{'SpecialToken':{'id':'X','type_id':0}}," A), STATUS_CORRUPT, "lacks \"X\""},
        {TEMPLATE("{'Sequence':{'id':'C','type_id':0}}"), STATUS_CORRUPT, "neither A nor B"},
        {TEMPLATE("'[CLS]'"), STATUS_CORRUPT, "unknown form"},
        {"{'type':'TemplateProcessing','single':[" A "]}", STATUS_CORRUPT, "special_tokens"},
        {"{'type':'BertProcessing','sep':['S',2]}", STATUS_CORRUPT, "\"cls\" and \"sep\""},
        {"{'type':'RobertaProcessing','sep':['S',2],'cls':['C','1']}", STATUS_CORRUPT, "token id"},
        {"{'type':'PairProcessing'}", STATUS_UNSUPPORTED, "\"PairProcessing\" is not supported"},
        {many.data, STATUS_UNSUPPORTED, "more than"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refused(WORDS, cases[i].post, cases[i].status, cases[i].why);
    strbuf_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_models_without_type),
        cmocka_unit_test(test_refused_models),
        cmocka_unit_test(test_wordpiece_long_word),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_unigram_long_text),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_create_refuses),
        cmocka_unit_test(test_unigram_one_megabyte),
        cmocka_unit_test(test_trie),
        cmocka_unit_test(test_postprocessors),
        cmocka_unit_test(test_refused_postprocessors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
