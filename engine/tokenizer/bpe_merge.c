#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Merging one word.  Short words, which are nearly all, scan their few pairs for the lowest rank;
 * long ones keep the candidates in a heap over a linked list: O(n log n), so that a megabyte
 * without a blank costs no more per byte than text does.  Both give the same result. */

#define SCAN_MAX 64 /* n*n/2 steps of a scan pass a heap's about here */
#define NO_RANK  UINT32_MAX

struct bpe_candidate {
    uint32_t rank, at; /* ordered by rank, then position */
    int32_t id;        /* what the pair becomes */
};

void bpe_scratch_free(struct bpe_scratch *s)
{
    if (!s) return;
    free(s->ids);
    free(s->heap);
    *s = (struct bpe_scratch){0};
}

/* One block holds the five arrays. */
static bool reserve(struct bpe_scratch *s, size_t n)
{
    if (n <= s->cap) return true;
    size_t cap = n < 256 ? 256 : n + n / 2;
    int32_t *block = malloc(5 * cap * sizeof(*block));
    if (!block) return false;
    free(s->ids);
    s->ids = block;
    s->pair_ids = block + cap;
    s->ranks = (uint32_t *)(block + 2 * cap);
    s->next = block + 3 * cap;
    s->previous = block + 4 * cap;
    s->cap = cap;
    return true;
}

static int32_t character_id(const struct bpe *b, const struct vocab *v, const char *from,
                            const char **next)
{
    *next = from;
    uint32_t cp = unicode_next(next);
    return cp < BPE_DIRECT ? b->direct[cp] : vocab_find(v, from, (size_t)(*next - from));
}

/* The word's characters as ids.  A character that has none becomes its byte tokens, or unk_id; a
 * pending unk is written before the next known character only, not before byte tokens: so does
 * the reference. */
static size_t first_ids(const struct bpe *b, const struct vocab *v, struct str word, int32_t *ids)
{
    size_t n = 0;
    bool unk_pending = false;
    for (const char *p = word.data, *end = p + word.len; p < end;) {
        const char *from = p;
        int32_t id = character_id(b, v, from, &p);
        if (id >= 0) {
            if (unk_pending) ids[n++] = b->unk_id;
            unk_pending = false;
            ids[n++] = id;
            continue;
        }
        bool bytes = b->byte_fallback;
        for (const char *q = from; bytes && q < p; q++) bytes = b->byte_ids[(uint8_t)*q] >= 0;
        if (bytes) {
            for (const char *q = from; q < p; q++) ids[n++] = b->byte_ids[(uint8_t)*q];
            continue;
        }
        if (b->unk_id < 0) continue; /* dropped: the vocabulary has no word for it */
        if (unk_pending && !b->fuse_unk) ids[n++] = b->unk_id;
        unk_pending = true;
    }
    if (unk_pending) ids[n++] = b->unk_id;
    return n;
}

/* --- short words --------------------------------------------------------------------------------------- */

static void look_up(const struct bpe *b, struct bpe_scratch *s, size_t i)
{
    const struct bpe_merge *m = bpe_find_merge(b, s->ids[i], s->ids[i + 1]);
    s->ranks[i] = m ? m->rank : NO_RANK;
    s->pair_ids[i] = m ? m->id : -1;
}

static size_t merge_by_scan(const struct bpe *b, struct bpe_scratch *s, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) look_up(b, s, i);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (s->ranks[i] < s->ranks[best]) best = i;
        if (s->ranks[best] == NO_RANK) break;
        s->ids[best] = s->pair_ids[best];
        size_t tail = n - best - 2; /* symbols after the pair */
        memmove(s->ids + best + 1, s->ids + best + 2, tail * sizeof(*s->ids));
        if (tail > 0) {
            memmove(s->ranks + best + 1, s->ranks + best + 2, (tail - 1) * sizeof(*s->ranks));
            memmove(s->pair_ids + best + 1, s->pair_ids + best + 2,
                    (tail - 1) * sizeof(*s->pair_ids));
        }
        n--;
        if (best > 0) look_up(b, s, best - 1);
        if (best + 1 < n) look_up(b, s, best);
    }
    return n;
}

/* --- long words ---------------------------------------------------------------------------------------- */

static bool before(const struct bpe_candidate *a, const struct bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

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
    for (; i > 0 && before(&c, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = c;
    return true;
}

static struct bpe_candidate heap_pop(struct bpe_scratch *s)
{
    struct bpe_candidate top = s->heap[0], last = s->heap[--s->heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_len; i = child) {
        if (child + 1 < s->heap_len && before(&s->heap[child + 1], &s->heap[child])) child++;
        if (!before(&s->heap[child], &last)) break;
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
    return !m || heap_push(s, (struct bpe_candidate){m->rank, (uint32_t)at, m->id});
}

/* A candidate is out of date when the pair at its place became another one. */
static bool is_current(const struct bpe *b, const struct bpe_scratch *s, struct bpe_candidate c)
{
    if (s->ids[c.at] < 0 || s->next[c.at] < 0) return false;
    const struct bpe_merge *m = bpe_find_merge(b, s->ids[c.at], s->ids[s->next[c.at]]);
    return m && m->id == c.id;
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
        if (!is_current(b, s, c)) continue;
        int32_t right = s->next[c.at];
        s->ids[c.at] = c.id;
        s->ids[right] = -1; /* gone */
        s->next[c.at] = s->next[right];
        if (s->next[right] >= 0) s->previous[s->next[right]] = (int32_t)c.at;
        if (!push_pair(b, s, s->previous[c.at]) || !push_pair(b, s, (int32_t)c.at)) return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (s->ids[i] >= 0) s->ids[kept++] = s->ids[i];
    *n_out = kept;
    return true;
}

bool bpe_merge_word(const struct bpe *b, const struct vocab *v, struct bpe_scratch *s,
                    struct str word, size_t *n_out)
{
    if (!reserve(s, word.len + 1)) return false; /* a byte gives at most one id */
    size_t n = first_ids(b, v, word, s->ids);
    if (n > SCAN_MAX) return merge_by_heap(b, s, n, n_out);
    *n_out = merge_by_scan(b, s, n);
    return true;
}
