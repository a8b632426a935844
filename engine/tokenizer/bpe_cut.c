#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>

/* A merge across two characters makes a token in which they stand side by side, whole or - where
 * tokens are bytes - in part.  Pairs of whole characters are kept by hash, pairs of
 * which one is cut by the two bytes that meet, with the lowest rank that makes them meet. */

#define PAIR_BITS  ((size_t)1 << 21)
#define BYTE_PAIRS ((size_t)1 << 16)

enum status bpe_cuts_init(struct bpe_cuts *c, struct error *err)
{
    c->pairs = calloc(PAIR_BITS / 64, sizeof(*c->pairs));
    c->meet = malloc(BYTE_PAIRS * sizeof(*c->meet));
    if (!c->pairs || !c->meet)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    for (size_t i = 0; i < BYTE_PAIRS; i++) c->meet[i] = BPE_NEVER;
    return STATUS_OK;
}

void bpe_cuts_free(struct bpe_cuts *c)
{
    free(c->pairs);
    free(c->meet);
    *c = (struct bpe_cuts){0};
}

static size_t pair_bit(uint32_t left, uint32_t right)
{
    uint64_t key = (uint64_t)left << 32 | right;
    return (size_t)(key * 0x9E3779B97F4A7C15ull >> 43); /* 21 bits */
}

static size_t byte_pair(char left, char right)
{
    return (size_t)(uint8_t)left << 8 | (uint8_t)right;
}

static bool has(const uint64_t *bits, size_t i)
{
    return bits[i / 64] >> i % 64 & 1;
}

static void set(uint64_t *bits, size_t i)
{
    bits[i / 64] |= (uint64_t)1 << i % 64;
}

void bpe_cuts_learn(struct bpe_cuts *c, struct str token, uint32_t rank)
{
    uint32_t left = 0, cp = 0;
    bool left_whole = false;
    for (size_t at = 0; at < token.len;) {
        int n = utf8_decode(token.data + at, token.len - at, &cp);
        if (at > 0 && left_whole && n > 0) {
            set(c->pairs, pair_bit(left, cp));
        } else if (at > 0) {
            uint32_t *meet = &c->meet[byte_pair(token.data[at - 1], token.data[at])];
            if (rank < *meet) *meet = rank;
        }
        left_whole = n > 0;
        left = cp;
        at += n > 0 ? (size_t)n : 1;
    }
}

uint32_t bpe_cuts_meet(const struct bpe_cuts *c, char last, char first)
{
    return c->meet[byte_pair(last, first)];
}

size_t bpe_cuts_first(const struct bpe_cuts *c, struct str text)
{
    const char *p = text.data, *end = p + text.len;
    uint32_t left = unicode_next(&p);
    while (p < end) {
        const char *from = p;
        uint32_t right = unicode_next(&p);
        if (!has(c->pairs, pair_bit(left, right)) &&
            c->meet[byte_pair(from[-1], from[0])] == BPE_NEVER)
            return (size_t)(from - text.data);
        left = right;
    }
    return text.len;
}
