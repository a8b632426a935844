/* Byte pair encoding against its definition, on random and on constructed vocabularies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "config/base/rng.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tokenizer *parse(const char *json)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    if (tokenizer_parse(json, strlen(json), NULL, 0, &t, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return t;
}

static void expect(const struct tokenizer *t, const char *text, const int32_t *want, size_t n)
{
    struct token_vec got = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), false, true, 0, &got, NULL), 0);
    assert_int_equal(got.len, n);
    assert_memory_equal(got.ids, want, n * sizeof(*want));
    token_vec_free(&got);
}

/* --- merging against its definition --------------------------------------------------------------- */

#define TOKENS_MAX 40
struct random_model {
    char texts[TOKENS_MAX][64];
    size_t n_tokens, n_merges;
    int32_t merges[TOKENS_MAX][3]; /* left, right, result; in order of rank */
};

#define BETWEEN "[\"\xC4\x80\",\"\xC4\x81\"]" /* a merge that no text of the test has */

/* Single symbols and random merges of what there is, a result now and then twice.  `vocab`: entries
 * behind these; n_between: other merges before each, which spread the ranks. */
static struct tokenizer *random_bpe(struct rng *rng, const char *const *symbols, const char *vocab,
                                    const char *rest, int n_between, struct random_model *m)
{
    struct strbuf json;
    strbuf_init(&json, 0);
    *m = (struct random_model){.n_tokens = 0};
    for (; symbols[m->n_tokens]; m->n_tokens++)
        snprintf(m->texts[m->n_tokens], 64, "%s", symbols[m->n_tokens]);
    bool shuffled = rng_below(rng, 2);
    size_t n_wanted = 2 + rng_below(rng, TOKENS_MAX - 10);
    for (size_t tries = 0; m->n_merges < n_wanted && tries < 200; tries++) {
        int32_t left = (int32_t)rng_below(rng, m->n_tokens),
                right = (int32_t)rng_below(rng, m->n_tokens);
        char joined[128];
        snprintf(joined, sizeof(joined), "%s%s", m->texts[left], m->texts[right]);
        if (strlen(joined) > 24) continue;
        size_t id = 0;
        bool known = false;
        for (; id < m->n_tokens && strcmp(m->texts[id], joined) != 0; id++) {
        }
        for (size_t i = 0; i < m->n_merges; i++)
            known |= m->merges[i][0] == left && m->merges[i][1] == right;
        if (known) continue;
        if (id == m->n_tokens) snprintf(m->texts[m->n_tokens++], 64, "%.63s", joined);
        int32_t *merge = m->merges[m->n_merges++];
        merge[0] = left;
        merge[1] = right;
        merge[2] = (int32_t)id;
    }
    for (size_t i = m->n_merges; i > 1 && shuffled; i--) { /* a whole before its parts */
        size_t k = rng_below(rng, i);
        int32_t swap[3];
        memcpy(swap, m->merges[k], sizeof(swap));
        memcpy(m->merges[k], m->merges[i - 1], sizeof(swap));
        memcpy(m->merges[i - 1], swap, sizeof(swap));
    }
    strbuf_add_str(&json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (size_t i = 0; i < m->n_tokens; i++)
        strbuf_addf(&json, "%s\"%s\":%zu", i ? "," : "", m->texts[i], i);
    strbuf_addf(&json, "%s},\"merges\":[", vocab);
    for (size_t i = 0; i < m->n_merges; i++) {
        if (i > 0) strbuf_add_char(&json, ',');
        for (int k = 0; k < n_between; k++) strbuf_addf(&json, "%s,", BETWEEN);
        strbuf_addf(&json, "\"%s %s\"", m->texts[m->merges[i][0]], m->texts[m->merges[i][1]]);
    }
    strbuf_addf(&json, "]}%s}", rest);
    struct tokenizer *t = parse(json.data);
    strbuf_free(&json);
    return t;
}

/* The lowest rank anywhere, leftmost first, until none can merge. */
static size_t merge_by_definition(const struct random_model *m, int32_t *ids, size_t n)
{
    for (;;) {
        size_t best = SIZE_MAX, at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 0; r < m->n_merges && r < best; r++)
                if (ids[i] == m->merges[r][0] && ids[i + 1] == m->merges[r][1]) {
                    best = r;
                    at = i;
                }
        if (best == SIZE_MAX) return n;
        ids[at] = m->merges[best][2];
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof(*ids));
        n--;
    }
}

/* Periodic with slips, so that merges reach far and blocks meet in the midst of them. */
static size_t random_word(struct rng *rng, char *word, size_t max)
{
    size_t len = 1 + rng_below(rng, max), period = 1 + rng_below(rng, 7),
           slips = 2 + rng_below(rng, 60);
    for (size_t i = 0; i < len; i++)
        word[i] = i >= period && rng_below(rng, slips) ? word[i - period]
                                                       : (char)('a' + rng_below(rng, 3));
    return len;
}

static void test_merging(void **state)
{
    (void)state;
    static const size_t blocks[] = {0, 64, 52, 100};
    static const char *const letters[] = {"a", "b", "c", NULL};
    struct rng rng = {7};
    for (int round = 0; round < 400; round++) {
        struct random_model m;
        struct tokenizer *t = random_bpe(&rng, letters, "", "", 0, &m);
        struct bpe_scratch scratch = {.block = blocks[round % 4]};
        for (int i = 0; i < 8; i++) {
            char word[500];
            int32_t want[sizeof(word)];
            size_t len = random_word(&rng, word, sizeof(word)), n = 0;
            for (size_t k = 0; k < len; k++) want[k] = word[k] - 'a';
            size_t n_want = merge_by_definition(&m, want, len);
            assert_int_equal(bpe_merge_word(t->model_data, &scratch, (struct str){word, len}, &n),
                             0);
            assert_int_equal(n, n_want);
            assert_memory_equal(scratch.ids, want, n * sizeof(want[0]));
        }
        bpe_scratch_free(&scratch);
        tokenizer_free(t);
    }
}

/* Merges of neighbours in falling order of rank: which pairs form at the start of a text depends on
 * its length to the symbol, so that blocks have no token in common. */
static void test_merging_chain(void **state)
{
    (void)state;
    enum { N = 300 };
    struct strbuf json;
    strbuf_init(&json, 0);
    strbuf_add_str(&json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (uint32_t i = 0; i < N; i++) {
        strbuf_add_char(&json, '"');
        strbuf_add_utf8(&json, 0x4E00 + i);
        strbuf_addf(&json, "\":%u,\"", i);
        strbuf_add_utf8(&json, 0x4E00 + i);
        strbuf_add_utf8(&json, 0x4E01 + i);
        strbuf_addf(&json, "\":%u,", 1000 + i);
    }
    strbuf_add_str(&json, "\"x\":2000,\"\xE4\xBC\xAC\":2001},\"merges\":["); /* U+4F2C */
    for (uint32_t i = N - 1; i-- > 0;) {
        strbuf_add_str(&json, i == N - 2 ? "\"" : ",\"");
        strbuf_add_utf8(&json, 0x4E00 + i);
        strbuf_add_char(&json, ' ');
        strbuf_add_utf8(&json, 0x4E01 + i);
        strbuf_add_char(&json, '"');
    }
    strbuf_add_str(&json, "]}}");
    struct tokenizer *t = parse(json.data);
    struct bpe_scratch scratch = {.block = 16};
    struct strbuf text;
    strbuf_init(&text, 0);
    for (size_t len = 1; len < N; len++) {
        strbuf_add_utf8(&text, 0x4E00 + (uint32_t)len - 1);
        size_t n = 0;
        assert_int_equal(
            bpe_merge_word(t->model_data, &scratch, (struct str){text.data, text.len}, &n), 0);
        assert_int_equal(n, len / 2 + len % 2);
        for (size_t i = 0; i < n; i++) { /* pairs from the end */
            int32_t want = (int32_t)(len % 2 == 0 ? 1000 + 2 * i : i == 0 ? 0 : 1000 + 2 * i - 1);
            assert_int_equal(scratch.ids[i], want);
        }
    }
    strbuf_free(&text);
    strbuf_free(&json);
    bpe_scratch_free(&scratch);
    tokenizer_free(t);
}

/* What stands for a character without having its text. */
static void test_merging_substitutes(void **state)
{
    (void)state;
    struct strbuf json;
    strbuf_init(&json, 0);
    strbuf_add_str(
        &json, "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":256,\"b\":257,"
               "\"<0xA9><0xC3>\":258");
    for (int i = 0; i < 256; i++) strbuf_addf(&json, ",\"<0x%02X>\":%d", (unsigned)i, i);
    strbuf_add_str(&json, "},\"merges\":[\"<0xA9> <0xC3>\"]}}");
    struct tokenizer *t = parse(json.data);
    expect(t,
           "\xC3\xA9\xC3\xA9"
           "a\xC3\xA9"
           "ab",
           (const int32_t[]){195, 258, 169, 256, 195, 169, 256, 257}, 8);
    tokenizer_free(t);
    strbuf_free(&json);
    /* a dropped character between two that merge */
    t = parse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xE2\x96\x81\":0,\"a\":1,"
              "\"\xE2\x96\x81\xE2\x96\x81\":2},"
              "\"merges\":[\"\xE2\x96\x81 \xE2\x96\x81\"]}}");
    expect(t, "\xE2\x96\x81?\xE2\x96\x81", (const int32_t[]){2}, 1);
    tokenizer_free(t);
}

/* Bytes: merges that cross characters in part, before and after the characters are whole. */
static void test_merging_bytes(void **state)
{
    (void)state;
    /* bytes D0 D1 B0 B1 80 61 as characters; the text has D0B0 D0B1 D180 D1B0 and 61 */
    static const char *const symbols[] = {"\xC3\x90", "\xC3\x91", "\xC2\xB0", "\xC2\xB1",
                                          "\xC4\xA2", "a",        NULL};
    static const uint8_t bytes[] = {0xD0, 0xD1, 0xB0, 0xB1, 0x80, 'a'};
    static const char characters[][3] = {"\xD0\xB0", "\xD0\xB1", "\xD1\x80", "\xD1\xB0", "a"};
    struct strbuf vocab;
    strbuf_init(&vocab, 0);
    for (int i = 0; i < 256; i++) { /* every byte must have a token */
        struct strbuf one;
        char byte = (char)i;
        strbuf_init(&one, 0);
        byte_level_add(&one, &byte, 1);
        if (!memchr(bytes, i, sizeof(bytes))) {
            strbuf_add_char(&vocab, ',');
            strbuf_add_json(&vocab, one.data, one.len);
            strbuf_addf(&vocab, ":%d", 1000 + i);
        }
        strbuf_free(&one);
    }
    strbuf_add_str(&vocab, ",\"\xC4\x80\xC4\x81\":2000");
    struct rng rng = {11};
    for (int round = 0; round < 300; round++) {
        struct random_model m;
        struct tokenizer *t =
            random_bpe(&rng, symbols, vocab.data,
                       ",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"use_regex\":false,"
                       "\"add_prefix_space\":false}",
                       round % 2 ? 130 : 0, &m);
        for (int i = 0; i < 12; i++) {
            char text[200];
            int32_t want[sizeof(text)];
            size_t len = 0, n_characters = 1 + rng_below(&rng, 60);
            for (; n_characters > 0; n_characters--) {
                const char *c = characters[rng_below(&rng, 5)];
                memcpy(text + len, c, strlen(c));
                len += strlen(c);
            }
            for (size_t k = 0; k < len; k++)
                want[k] = (int32_t)((const uint8_t *)memchr(bytes, text[k], sizeof(bytes)) - bytes);
            size_t n_want = merge_by_definition(&m, want, len);
            struct token_vec got = {0};
            assert_int_equal(tokenizer_encode(t, text, len, false, true, 0, &got, NULL), 0);
            assert_int_equal(got.len, n_want);
            assert_memory_equal(got.ids, want, n_want * sizeof(want[0]));
            token_vec_free(&got);
        }
        tokenizer_free(t);
    }
    strbuf_free(&vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_merging_bytes),
        cmocka_unit_test(test_merging_chain),
        cmocka_unit_test(test_merging_substitutes),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
