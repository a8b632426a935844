/* bench_tokenizer - load time, MB/s of encoding and decoding per family, and what a megabyte
 * without a blank costs.
 *
 *   bench_tokenizer [FAMILY...]      families of $INFERD_SHARED/data/tokenizers; none = all
 *
 * One thread; the text is shared data/text/tinyshakespeare; each figure is the best of five. */
#include "config/base/clock.h"
#include "config/base/file.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5

static const char *const families[] = {"gpt-2",           "phi-2",          "falcon",    "minimind",
                                       "mistral-7b-v0.3", "llama-1-vicuna", "phi-3-mini"};

struct figures {
    double load_ms, encode_mb_s, short_us, decode_mb_s, word_ms;
    size_t n_tokens;
};

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_now_ns() - start_ns) * 1e-9;
}

static double best_encode_s(const struct tokenizer *t, const char *text, size_t len,
                            struct token_vec *ids)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        ids->len = 0;
        uint64_t start = clock_now_ns();
        if (tokenizer_encode(t, text, len, false, true, 0, ids, NULL) != STATUS_OK) return 1e9;
        double s = seconds_since(start);
        if (s < best) best = s;
    }
    return best;
}

static double best_decode_s(const struct tokenizer *t, const struct token_vec *ids)
{
    double best = 1e9;
    struct strbuf out;
    strbuf_init(&out, 0);
    for (int i = 0; i < ROUNDS; i++) {
        strbuf_clear(&out);
        uint64_t start = clock_now_ns();
        tokenizer_decode(t, ids->ids, ids->len, true, &out);
        double s = seconds_since(start);
        if (s < best) best = s;
    }
    strbuf_free(&out);
    return best;
}

static enum status measure(const char *dir, const char *text, size_t len, struct figures *f,
                           struct error *err)
{
    struct tokenizer *t = NULL;
    struct token_vec ids = {0};
    f->load_ms = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        tokenizer_free(t);
        uint64_t start = clock_now_ns();
        enum status st = tokenizer_load(dir, &t, err);
        if (st != STATUS_OK) return st;
        double ms = seconds_since(start) * 1e3;
        if (ms < f->load_ms) f->load_ms = ms;
    }
    f->encode_mb_s = (double)len * 1e-6 / best_encode_s(t, text, len, &ids);
    f->n_tokens = ids.len;
    f->decode_mb_s = (double)len * 1e-6 / best_decode_s(t, &ids);
    f->short_us = best_encode_s(t, text, 1000, &ids) * 1e6;
    size_t word_len = 1000000;
    char *word = malloc(word_len);
    if (word) {
        for (size_t i = 0; i < word_len; i++) word[i] = (char)('a' + (i * i / 7 + i) % 26);
        f->word_ms = best_encode_s(t, word, word_len, &ids) * 1e3;
    }
    free(word);
    token_vec_free(&ids);
    tokenizer_free(t);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    const char *shared = getenv("INFERD_SHARED");
    char path[4096], *text = NULL;
    size_t len = 0;
    struct error err = {0};
    if (!shared) shared = "../shared";
    snprintf(path, sizeof(path), "%s/data/text/tinyshakespeare/input.txt", shared);
    if (file_read(path, 64 << 20, &text, &len, &err) != STATUS_OK) {
        printf("SKIP: %s\n", err.message);
        return 0;
    }
    int n = argc > 1 ? argc - 1 : (int)(sizeof(families) / sizeof(families[0])), rc = 0;
    printf("%-16s %8s %9s %10s %10s %10s %12s\n", "family", "load ms", "tokens", "enc MB/s",
           "1 kB, us", "dec MB/s", "1 MB word ms");
    for (int i = 0; i < n; i++) {
        const char *family = argc > 1 ? argv[i + 1] : families[i];
        struct figures f = {0};
        snprintf(path, sizeof(path), "%s/data/tokenizers/%s", shared, family);
        if (measure(path, text, len, &f, &err) != STATUS_OK) {
            printf("%-16s %s\n", family, err.message);
            rc = 1;
            continue;
        }
        printf("%-16s %8.1f %9zu %10.1f %10.1f %10.1f %12.1f\n", family, f.load_ms, f.n_tokens,
               f.encode_mb_s, f.short_us, f.decode_mb_s, f.word_ms);
    }
    free(text);
    return rc;
}
