#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* What a word is before its first merge: characters that are tokens, bytes, or what stands for a
 * character that the vocabulary lacks. */

/* What the vocabulary is asked for: the character, with what the model puts before it inside a word
 * and after it at the word's end. */
static struct str symbol_text(const struct bpe *b, struct bpe_scratch *s, struct str c, bool first,
                              bool last)
{
    const char *prefix = first ? NULL : b->prefix, *suffix = last ? b->suffix : NULL;
    if (!prefix && !suffix) return c;
    strbuf_clear(&s->affixed);
    strbuf_add_str(&s->affixed, prefix ? prefix : "");
    strbuf_add(&s->affixed, c.data, c.len);
    strbuf_add_str(&s->affixed, suffix ? suffix : "");
    if (s->affixed.failed) return (struct str){NULL, 0};
    return (struct str){s->affixed.data, s->affixed.len};
}

/* The tokens <0xNN> of the text's bytes; 0: one is missing. */
static size_t fallback_ids(const struct bpe *b, struct str text, int32_t *ids)
{
    for (size_t i = 0; i < text.len; i++) {
        ids[i] = b->byte_ids[(uint8_t)text.data[i]];
        if (ids[i] < 0) return 0;
    }
    return text.len;
}

/* The word's characters as ids.  A character that has none becomes its byte tokens, or unk_id; a
 * pending unk is written before the next known character only, not before byte tokens: so does
 * the reference. */
static enum status first_ids(const struct bpe *b, struct bpe_scratch *s, struct str word,
                             size_t *n_out)
{
    size_t n = 0;
    bool unk_pending = false;
    int32_t *ids = s->ids;
    for (const char *p = word.data, *end = p + word.len; p < end;) {
        const char *from = p;
        (void)unicode_next(&p);
        struct str c = {from, (size_t)(p - from)};
        c = symbol_text(b, s, c, from == word.data, p == end);
        if (!c.data) return STATUS_NO_MEMORY;
        const struct word *known = word_map_find(b->words, c);
        if (known) {
            if (unk_pending) ids[n++] = b->options.unk_id;
            unk_pending = false;
            ids[n++] = known->id;
            continue;
        }
        size_t n_bytes = b->options.byte_fallback ? fallback_ids(b, c, ids + n) : 0;
        n += n_bytes;
        if (n_bytes > 0) continue;
        if (b->unk_missing) return STATUS_UNSUPPORTED;
        if (b->options.unk_id < 0) continue; /* without unk it is dropped */
        if (unk_pending && !b->options.fuse_unk) ids[n++] = b->options.unk_id;
        unk_pending = true;
    }
    if (unk_pending) ids[n++] = b->options.unk_id;
    *n_out = n;
    return STATUS_OK;
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* The word of a character of several bytes by itself; NULL: it is no token. */
static struct word *character_word(const struct bpe *b, uint32_t cp)
{
    char text[WORD_INLINE_MAX];
    int len = cp >= 0x80 ? utf8_encode(cp, text) : 0;
    return len > 0 ? word_map_find(b->words, (struct str){text, (size_t)len}) : NULL;
}

/* What the merges make of the character's bytes alone. */
static void find_reach(const struct bpe *b, struct word *w, struct str bytes)
{
    int32_t ids[4];
    uint32_t highest = 0;
    for (size_t i = 0; i < bytes.len; i++) ids[i] = b->byte_ids[(uint8_t)bytes.data[i]];
    bool reached = bpe_merge_few(b, ids, bytes.len, &highest) == 1 && ids[0] == w->id;
    atomic_store_explicit(&w->reach, reached ? bpe_reach(highest) : REACH_NO, memory_order_relaxed);
}

/* The bytes that a token of characters stands for, 0 when there are none. */
static size_t token_bytes(struct str token, char *bytes, size_t max)
{
    size_t n = 0;
    for (const char *p = token.data, *end = p + token.len; p < end;) {
        int byte = byte_level_byte(unicode_next(&p));
        if (byte < 0 || n == max) return 0;
        bytes[n++] = (char)byte;
    }
    return n;
}

/* A merge with the character at its edge, below the merges that make the character, would come too
 * early if the character were whole from the start: then it must not be. */
static void refuse_early(const struct bpe *b, uint32_t cp, uint32_t rank)
{
    struct word *w = character_word(b, cp);
    if (!w) return;
    uint16_t reach = atomic_load_explicit(&w->reach, memory_order_relaxed);
    if (reach >= REACH_YES && bpe_reach_rank(reach) >= rank)
        atomic_store_explicit(&w->reach, UINT16_MAX, memory_order_relaxed);
}

struct edges { /* characters of several bytes at a token's start and end, 0 = none */
    uint32_t first, last;
};

static struct edges find_edges(const char *bytes, size_t n)
{
    struct edges e = {0, 0};
    uint32_t cp = 0;
    size_t at = n;
    if (utf8_decode(bytes, n, &cp) > 1) e.first = cp;
    while (at > 0 && n - at < 4 && ((uint8_t)bytes[--at] & 0xC0) == 0x80) {
    }
    if (n > at && utf8_decode(bytes + at, n - at, &cp) == (int)(n - at) && n - at > 1) e.last = cp;
    return e;
}

/* Most tokens begin and end in ASCII: a look at their ends is enough. */
static bool has_ascii_edges(struct str token)
{
    const char *first = token.data, *end = token.data + token.len;
    int a = byte_level_byte(unicode_next(&first));
    int b = byte_level_byte(unicode_previous(token.data, end));
    return a >= 0 && a < 0x80 && b >= 0 && b < 0x80;
}

bool bpe_find_characters(const struct bpe *b, const struct vocab *v)
{
    struct edges *edges = calloc(v->n_ids + 1, sizeof(*edges));
    if (!edges) return false;
    char bytes[WORD_SIZE_MAX];
    for (size_t id = 0; id < v->n_ids; id++) {
        struct str text = vocab_text(v, (int64_t)id);
        if (!text.data || text.len == 0 || has_ascii_edges(text)) continue;
        size_t n = token_bytes(text, bytes, sizeof(bytes));
        if (n < 2) continue;
        edges[id] = find_edges(bytes, n);
        struct word *w = n <= 4 ? word_map_find(b->words, (struct str){bytes, n}) : NULL;
        uint32_t cp = 0;
        if (w && utf8_decode(bytes, n, &cp) == (int)n) find_reach(b, w, (struct str){bytes, n});
    }
    for (size_t i = 0; i < b->n_merge_slots; i++) {
        const struct bpe_merge *m = &b->merges[i];
        if (m->left < 0) continue;
        if (edges[m->left].last) refuse_early(b, edges[m->left].last, m->rank);
        if (edges[m->right].first) refuse_early(b, edges[m->right].first, m->rank);
    }
    free(edges);
    return true;
}

/* Bytes, but for characters of several bytes whose own merges come first: the merges that join a
 * part of the character to its neighbours (`meet`) or the whole of it (refuse_early) all have
 * higher ranks than its own, so that nothing between them depends on when these are made. */
static size_t byte_ids(const struct bpe *b, struct str word, int32_t *ids)
{
    size_t n = 0;
    uint32_t before = BPE_NEVER; /* the lowest rank that joins this character to the one before */
    for (const char *p = word.data, *end = p + word.len; p < end;) {
        const char *from = p;
        (void)unicode_next(&p);
        struct str c = {from, (size_t)(p - from)};
        uint32_t after = p == end ? BPE_NEVER : bpe_cuts_meet(&b->cuts, p[-1], p[0]);
        const struct word *w = c.len > 1 ? word_map_find(b->words, c) : NULL;
        uint16_t reach = w ? atomic_load_explicit(&w->reach, memory_order_relaxed) : REACH_NO;
        uint32_t limit = before < after ? before : after;
        if (reach >= REACH_YES && bpe_reach_rank(reach) < limit) {
            ids[n++] = w->id;
        } else {
            for (size_t i = 0; i < c.len; i++) ids[n++] = b->byte_ids[(uint8_t)c.data[i]];
        }
        before = after;
    }
    return n;
}

/* A byte gives at most one id, but with byte_fallback so do the bytes of prefix and suffix. */
size_t bpe_symbols_max(const struct bpe *b, size_t len)
{
    size_t affixes = (b->prefix ? strlen(b->prefix) : 0) * len;
    return len + affixes + (b->suffix ? strlen(b->suffix) : 0) + 1;
}

enum status bpe_symbols(const struct bpe *b, struct bpe_scratch *s, struct str word, size_t *n_out)
{
    if (!b->takes_bytes) return first_ids(b, s, word, n_out);
    *n_out = byte_ids(b, word, s->ids);
    return STATUS_OK;
}
