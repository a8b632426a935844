#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Merging one word.  Short words, which are nearly all, scan their few pairs for the lowest rank;
 * long ones keep the candidates in a heap over a linked list: O(n log n), so that a megabyte
 * without a blank costs no more per byte than text does.  Both give the same result. */

#define SCAN_MAX 48 /* n*n/2 steps of a scan pass a heap's about here */
#define NO_RANK  UINT32_MAX

struct bpe_candidate {
    uint64_t order; /* rank, then position */
    const struct bpe_merge *merge;
};

void bpe_scratch_free(struct bpe_scratch *s)
{
    if (!s) return;
    free(s->ids);
    free(s->heap);
    free(s->cache);
    strbuf_free(&s->affixed);
    *s = (struct bpe_scratch){0};
}

/* One block holds the three arrays. */
static bool reserve(struct bpe_scratch *s, size_t n)
{
    if (n <= s->cap) return true;
    size_t cap = n < 256 ? 256 : n + n / 2;
    int32_t *block = malloc(3 * cap * sizeof(*block));
    if (!block) return false;
    free(s->ids);
    s->ids = block;
    s->next = block + cap;
    s->previous = block + 2 * cap;
    s->cap = cap;
    return true;
}

/* --- the first symbols ------------------------------------------------------------------------ */

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
 * the reference.  False: out of memory. */
static bool first_ids(const struct bpe *b, struct bpe_scratch *s, struct str word, size_t *n_out)
{
    size_t n = 0;
    bool unk_pending = false;
    int32_t *ids = s->ids;
    for (const char *p = word.data, *end = p + word.len; p < end;) {
        const char *from = p;
        (void)unicode_next(&p);
        struct str c = {from, (size_t)(p - from)};
        c = symbol_text(b, s, c, from == word.data, p == end);
        if (!c.data) return false;
        const struct word *known = word_map_find(b->words, c);
        if (known) {
            if (unk_pending) ids[n++] = b->options.unk_id;
            unk_pending = false;
            ids[n++] = known->id;
            continue;
        }
        size_t n_bytes = b->options.byte_fallback ? fallback_ids(b, c, ids + n) : 0;
        n += n_bytes;
        if (n_bytes > 0 || b->options.unk_id < 0) continue; /* without unk it is dropped */
        if (unk_pending && !b->options.fuse_unk) ids[n++] = b->options.unk_id;
        unk_pending = true;
    }
    if (unk_pending) ids[n++] = b->options.unk_id;
    *n_out = n;
    return true;
}

/* --- short words ------------------------------------------------------------------------------ */

struct pair {
    uint32_t rank;
    int32_t id;
};

static inline struct pair look_up(const struct bpe *b, int32_t left, int32_t right)
{
    const struct bpe_merge *m = bpe_find_merge(b, left, right);
    return m ? (struct pair){m->rank, m->id} : (struct pair){NO_RANK, -1};
}

static size_t merge_by_scan(const struct bpe *b, int32_t *ids, size_t n)
{
    struct pair pairs[SCAN_MAX];
    for (size_t i = 0; i + 1 < n; i++) pairs[i] = look_up(b, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pairs[i].rank < pairs[best].rank) best = i;
        if (pairs[best].rank == NO_RANK) break;
        ids[best] = pairs[best].id;
        n--;
        for (size_t i = best + 1; i < n; i++) { /* few: a call would cost more */
            ids[i] = ids[i + 1];
            pairs[i - 1] = pairs[i];
        }
        if (best > 0) pairs[best - 1] = look_up(b, ids[best - 1], ids[best]);
        if (best + 1 < n) pairs[best] = look_up(b, ids[best], ids[best + 1]);
    }
    return n;
}

/* --- long words ------------------------------------------------------------------------------- */

static bool heap_push(struct bpe_scratch *s, struct bpe_candidate c)
{
    if (s->heap_len == s->heap_cap) {
        size_t cap = s->heap_cap ? 2 * s->heap_cap : 256;
        struct bpe_candidate *heap = realloc(s->heap, cap * sizeof(*heap));
        if (!heap) return false;
        s->heap = heap;
        s->heap_cap = cap;
    }
    size_t i = s->heap_len++;
    for (; i > 0 && c.order < s->heap[(i - 1) / 2].order; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = c;
    return true;
}

static struct bpe_candidate heap_pop(struct bpe_scratch *s)
{
    struct bpe_candidate top = s->heap[0], last = s->heap[--s->heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_len; i = child) {
        if (child + 1 < s->heap_len && s->heap[child + 1].order < s->heap[child].order) child++;
        if (last.order <= s->heap[child].order) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

static bool push_pair(const struct bpe *b, struct bpe_scratch *s, int32_t at)
{
    int32_t right = at < 0 ? -1 : s->next[at];
    if (right < 0) return true;
    const struct bpe_merge *m = bpe_find_merge(b, s->ids[at], s->ids[right]);
    return !m || heap_push(s, (struct bpe_candidate){(uint64_t)m->rank << 32 | (uint32_t)at, m});
}

static bool merge_by_heap(const struct bpe *b, struct bpe_scratch *s, size_t n, size_t *n_out)
{
    s->heap_len = 0;
    for (size_t i = 0; i < n; i++) {
        s->previous[i] = (int32_t)i - 1;
        s->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i < n; i++)
        if (!push_pair(b, s, (int32_t)i)) return false;
    while (s->heap_len > 0) {
        struct bpe_candidate c = heap_pop(s);
        int32_t at = (int32_t)(uint32_t)c.order, right = s->next[at];
        /* Out of date when the pair at its place became another one. */
        if (s->ids[at] != c.merge->left || right < 0 || s->ids[right] != c.merge->right) continue;
        s->ids[at] = c.merge->id;
        s->ids[right] = -1; /* gone */
        s->next[at] = s->next[right];
        if (s->next[right] >= 0) s->previous[s->next[right]] = at;
        if (!push_pair(b, s, s->previous[at]) || !push_pair(b, s, at)) return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (s->ids[i] >= 0) s->ids[kept++] = s->ids[i];
    *n_out = kept;
    return true;
}

/* A byte gives at most one id, but with byte_fallback so do the bytes of prefix and suffix. */
static size_t ids_max(const struct bpe *b, size_t len)
{
    size_t affixes = (b->prefix ? strlen(b->prefix) : 0) * len;
    return len + affixes + (b->suffix ? strlen(b->suffix) : 0) + 1;
}

bool bpe_merge_word(const struct bpe *b, struct bpe_scratch *s, struct str word, size_t *n_out)
{
    size_t n = 0;
    if (!reserve(s, ids_max(b, word.len))) return false;
    if (b->takes_bytes) {
        for (; n < word.len; n++) s->ids[n] = b->byte_ids[(uint8_t)word.data[n]];
    } else if (!first_ids(b, s, word, &n)) {
        return false;
    }
    if (n > SCAN_MAX) return merge_by_heap(b, s, n, n_out);
    *n_out = merge_by_scan(b, s->ids, n);
    return true;
}
