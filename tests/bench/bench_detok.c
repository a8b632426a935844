/* bench_detok - nanoseconds per token of incremental decoding, and GB/s of the search for added
 * tokens in text that has none.
 *
 *   bench_detok
 *
 * One thread; tokenizers are made here: 32,000 words, with the decoders of GPT-2 and of Llama.
 * Each figure is the best of nine. */
#include "config/base/clock.h"
#include "engine/tokenizer/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS  9
#define N_WORDS 32000
#define N_IDS   200000
#define N_TEXT  (16u << 20)

static const struct {
    const char *name, *blank, *decoder;
} cases[] = {
    {"GPT-2", "\xC4\xA0", "{\"type\":\"ByteLevel\"}"},
    {"Llama", "\xE2\x96\x81",
     "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
     "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
     "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"},
    {"BERT", "", "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}"},
    {"CLIP", "", "{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}"},
    {"none", "", "null"},
};

static const char *const added[] = {"<|im_start|>", "[MASK]", "\xEF\xBD\x9C"};

static void make_json(const char *blank, const char *decoder, size_t n_added, struct strbuf *out)
{
    strbuf_add_str(out, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int i = 0; i < N_WORDS; i++) strbuf_addf(out, "%s\"%sw%x\":%d", i ? "," : "", blank, i, i);
    strbuf_addf(out, "},\"merges\":[]},\"decoder\":%s,\"added_tokens\":[", decoder);
    for (size_t i = 0; i < n_added; i++)
        strbuf_addf(out, "%s{\"id\":%zu,\"content\":\"%s\",\"special\":true}", i ? "," : "",
                    N_WORDS + i, added[i]);
    strbuf_add_str(out, "]}");
}

static struct tokenizer *make(const char *blank, const char *decoder, size_t n_added)
{
    struct strbuf json;
    struct tokenizer *t = NULL;
    struct error err = {0};
    strbuf_init(&json, 0);
    make_json(blank, decoder, n_added, &json);
    if (tokenizer_parse(json.data, json.len, NULL, 0, &t, &err) != STATUS_OK)
        fprintf(stderr, "bench_detok: %s\n", err.message);
    strbuf_free(&json);
    return t;
}

static double push_ns(const struct tokenizer *t, const int32_t *ids)
{
    double best = 1e9;
    struct strbuf out;
    strbuf_init(&out, 0);
    for (int r = 0; r < ROUNDS; r++) {
        struct detok d;
        strbuf_clear(&out);
        detok_init(&d, t, true);
        uint64_t start = clock_now_ns();
        for (size_t i = 0; i < N_IDS; i++) detok_push(&d, ids[i], &out);
        detok_finish(&d, &out);
        double ns = (double)(clock_now_ns() - start) / N_IDS;
        if (ns < best) best = ns;
    }
    strbuf_free(&out);
    return best;
}

static double search_gb_s(const struct tokenizer *t, const char *text)
{
    double best = 0;
    for (int r = 0; r < ROUNDS; r++) {
        struct added_cursor cursor = {0};
        struct added_match match;
        uint64_t start = clock_now_ns();
        bool found = added_tokens_next(&t->added, &t->added.raw, false, (struct str){text, N_TEXT},
                                       &cursor, &match);
        double gb_s = N_TEXT / (double)(clock_now_ns() - start);
        if (!found && gb_s > best) best = gb_s;
    }
    return best;
}

int main(void)
{
    int32_t *ids = malloc(N_IDS * sizeof(*ids));
    char *text = malloc(N_TEXT);
    if (!ids || !text) return 1;
    for (size_t i = 0; i < N_IDS; i++) ids[i] = (int32_t)(i * 2654435761u % N_WORDS);
    for (size_t i = 0; i < N_TEXT; i++) text[i] = "the quick brown fox, "[i % 21];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tokenizer *t = make(cases[i].blank, cases[i].decoder, 0);
        if (!t) return 1;
        printf("decode  %-6s %6.1f ns/token\n", cases[i].name, push_ns(t, ids));
        tokenizer_free(t);
    }
    for (size_t n = 1; n <= sizeof(added) / sizeof(added[0]); n++) {
        struct tokenizer *t = make("", "null", n);
        if (!t) return 1;
        printf("search  %zu first bytes  %6.2f GB/s\n", n, search_gb_s(t, text));
        tokenizer_free(t);
    }
    free(ids);
    free(text);
    return 0;
}
