#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/unicode.h"

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

/* The token that the merges make of the character's bytes alone, -1 when they leave several. */
static int32_t whole_character(const struct bpe *b, struct str c)
{
    struct word *w = word_map_find(b->words, c);
    if (!w) return -1;
    uint8_t reach = atomic_load_explicit(&w->reach, memory_order_relaxed);
    if (reach == REACH_UNKNOWN) {
        int32_t ids[4];
        for (size_t i = 0; i < c.len; i++) ids[i] = b->byte_ids[(uint8_t)c.data[i]];
        bool reached = bpe_merge_few(b, ids, c.len) == 1 && ids[0] == w->id;
        reach = reached ? REACH_YES : REACH_NO;
        atomic_store_explicit(&w->reach, reach, memory_order_relaxed);
    }
    return reach == REACH_YES ? w->id : -1;
}

/* Bytes, but for characters of several bytes whose bytes merge among themselves before anything
 * else can: no token has a part of them and of a neighbour side by side. */
static size_t byte_ids(const struct bpe *b, struct str word, int32_t *ids)
{
    size_t n = 0;
    bool apart = true; /* what stands here from what stood before */
    for (const char *p = word.data, *end = p + word.len; p < end;) {
        const char *from = p;
        (void)unicode_next(&p);
        struct str c = {from, (size_t)(p - from)};
        bool apart_next = p == end || !bpe_cuts_meet(&b->cuts, p[-1], p[0]);
        int32_t id = c.len > 1 && apart && apart_next ? whole_character(b, c) : -1;
        if (id >= 0) {
            ids[n++] = id;
        } else {
            for (size_t i = 0; i < c.len; i++) ids[n++] = b->byte_ids[(uint8_t)c.data[i]];
        }
        apart = apart_next;
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
