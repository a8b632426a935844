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

/* The token that the merges make of the character's bytes, if they do so below `limit`; or -1. */
static int32_t whole_character(const struct bpe *b, struct str c, uint32_t limit)
{
    struct word *w = word_map_find(b->words, c);
    if (!w) return -1;
    uint16_t reach = atomic_load_explicit(&w->reach, memory_order_relaxed);
    if (reach == REACH_UNKNOWN) {
        int32_t ids[4];
        uint32_t highest = 0;
        for (size_t i = 0; i < c.len; i++) ids[i] = b->byte_ids[(uint8_t)c.data[i]];
        bool reached = bpe_merge_few(b, ids, c.len, &highest) == 1 && ids[0] == w->id;
        reach = reached ? bpe_reach(highest) : REACH_NO;
        atomic_store_explicit(&w->reach, reach, memory_order_relaxed);
    }
    return reach >= REACH_YES && bpe_reach_rank(reach) < limit ? w->id : -1;
}

/* Bytes, but for characters of several bytes whose bytes merge among themselves before anything
 * else can: all merges that join a part of the character to its neighbours have higher ranks. */
static size_t byte_ids(const struct bpe *b, struct str word, int32_t *ids)
{
    size_t n = 0;
    uint32_t before = BPE_NEVER; /* the lowest rank that joins this character to the one before */
    for (const char *p = word.data, *end = p + word.len; p < end;) {
        const char *from = p;
        (void)unicode_next(&p);
        struct str c = {from, (size_t)(p - from)};
        uint32_t after = p == end ? BPE_NEVER : bpe_cuts_meet(&b->cuts, p[-1], p[0]);
        int32_t id = c.len > 1 ? whole_character(b, c, before < after ? before : after) : -1;
        if (id >= 0) {
            ids[n++] = id;
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
