#ifndef TESTS_UNIT_TOKENIZER_DIGEST_H
#define TESTS_UNIT_TOKENIZER_DIGEST_H

/* tokenizer_digest.h - one number for what a normalizer or pre-tokenizer makes of every code point
 * (the texts c x c U+0323 c) and of random texts; tests/golden/make_tokenizer_digests.py has the
 * same texts and takes the number from the reference. */

#include "config/base/json.h"
#include "config/base/str.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

struct digest_case {
    const char *json;
    uint32_t every, random; /* every: 0 where the random texts say enough */
};

static inline uint32_t digest_add(uint32_t crc, const char *data, size_t len)
{
    static uint32_t table[256];
    for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
        table[i] = c;
    }
    crc = ~crc;
    for (size_t i = 0; i < len; i++) crc = table[(crc ^ (uint8_t)data[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

/* A tokenizer whose model notes its pieces: each with 0xFE behind it. */
struct digest_run {
    struct tokenizer tokenizer;
    struct encoder encoder;
};
static struct strbuf digest_pieces;

static inline bool digest_take_piece(struct encoder *e, struct str text)
{
    (void)e;
    strbuf_add(&digest_pieces, text.data, text.len);
    strbuf_add_char(&digest_pieces, (char)0xFE);
    return true;
}

static const struct model_kind digest_model = {.encode = digest_take_piece};

static inline struct digest_run *digest_open(const char *normalizer, const char *pre_tokenizer,
                                             struct error *err)
{
    struct digest_run *r = calloc(1, sizeof(*r));
    cJSON *json = NULL;
    enum status st = STATUS_OK;
    if (!r) return NULL;
    r->tokenizer.model = &digest_model;
    r->encoder.t = &r->tokenizer;
    if (normalizer) {
        st = json_parse(normalizer, strlen(normalizer), NULL, &json, err);
        if (st == STATUS_OK) st = normalizer_parse(json, &r->tokenizer.normalizer, err);
        cJSON_Delete(json);
    }
    if (st == STATUS_OK && pre_tokenizer) {
        json = NULL;
        st = json_parse(pre_tokenizer, strlen(pre_tokenizer), NULL, &json, err);
        if (st == STATUS_OK) st = pretokenizer_parse(json, &r->tokenizer.pretokenizer, err);
        cJSON_Delete(json);
    }
    if (st == STATUS_OK) return r;
    normalizer_free(&r->tokenizer.normalizer);
    pretokenizer_free(&r->tokenizer.pretokenizer);
    free(r);
    return NULL;
}

static inline void digest_close(struct digest_run *r)
{
    struct encoder *e = &r->encoder;
    regex_scratch_free(&e->regex);
    for (int i = 0; i < 2; i++) strbuf_free(&e->normalized[i]);
    for (int i = 0; i < STAGES_MAX; i++) {
        strbuf_free(&e->stage[i]);
        strbuf_free(&e->prefix[i]);
    }
    normalizer_free(&r->tokenizer.normalizer);
    pretokenizer_free(&r->tokenizer.pretokenizer);
    strbuf_free(&digest_pieces);
    free(r);
}

static inline enum status digest_normalize(struct digest_run *r, struct str in, struct str *out)
{
    size_t head_len = 0;
    return normalizer_apply(&r->tokenizer.normalizer, &r->encoder.regex, r->encoder.normalized, in,
                            out, &head_len);
}

/* The pieces in digest_pieces. */
static inline bool digest_pre_tokenize(struct digest_run *r, struct str in)
{
    strbuf_clear(&digest_pieces);
    return pretokenizer_run(&r->encoder, 0, (struct piece){in, 1});
}

typedef uint32_t (*digest_text_fn)(struct digest_run *r, struct str text, uint32_t crc);

/* The texts lie in memory of exactly their size, for the sanitizer to watch. */
static inline uint32_t digest_text(struct digest_run *r, digest_text_fn run,
                                   const struct strbuf *text, uint32_t crc)
{
    char *tight = malloc(text->len ? text->len : 1);
    if (!tight) return ~crc;
    memcpy(tight, text->data, text->len);
    crc = digest_add(run(r, (struct str){tight, text->len}, crc), "\xFF", 1);
    free(tight);
    return crc;
}

static inline uint32_t digest_every(struct digest_run *r, digest_text_fn run)
{
    struct strbuf text;
    uint32_t crc = 0;
    strbuf_init(&text, 0);
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        strbuf_clear(&text);
        strbuf_add_utf8(&text, cp);
        strbuf_add_char(&text, 'x');
        strbuf_add_utf8(&text, cp);
        strbuf_add_utf8(&text, 0x323);
        strbuf_add_utf8(&text, cp);
        crc = digest_text(r, run, &text, crc);
    }
    strbuf_free(&text);
    return crc;
}

static inline uint32_t digest_random(struct digest_run *r, digest_text_fn run,
                                     const uint32_t *traps, size_t n_traps, size_t n_texts)
{
    struct strbuf text;
    uint64_t state = 1;
    uint32_t crc = 0;
    strbuf_init(&text, 0);
    for (size_t i = 0; i < n_texts; i++) {
        strbuf_clear(&text);
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        for (size_t n = 1 + (state >> 33) % 24; n > 0; n--) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            strbuf_add_utf8(&text, traps[(state >> 33) % n_traps]);
        }
        crc = digest_text(r, run, &text, crc);
    }
    strbuf_free(&text);
    return crc;
}

#endif
