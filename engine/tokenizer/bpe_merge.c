#include "engine/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

/* Merging one word.  Short words, which are nearly all, scan their few pairs for the lowest rank;
 * longer ones keep the candidates in a heap over a linked list; the longest, a megabyte without a
 * blank, are merged block by block.  All give the same result. */

#define NO_RANK UINT32_MAX
/* Blocks that stay in the near cache, and how much of one the next repeats. */
#define BLOCK   2048
#define OVERLAP 128

struct bpe_candidate {
    uint64_t order; /* rank, then position */
    const struct bpe_merge *merge;
};
struct bpe_token {
    int32_t id;
    uint32_t start; /* its first symbol */
};

void bpe_scratch_free(struct bpe_scratch *s)
{
    if (!s) return;
    free(s->ids);
    free(s->links);
    free(s->tokens[0]);
    free(s->tokens[1]);
    free(s->heap);
    free(s->cache);
    strbuf_free(&s->affixed);
    *s = (struct bpe_scratch){0};
}

/* Room for n of `size` bytes each behind *array; what was there is lost. */
static bool reserve(void **array, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap) return true;
    size_t new_cap = n < 256 ? 256 : n + n / 2;
    void *block = malloc(new_cap * size);
    if (!block) return false;
    free(*array);
    *array = block;
    *cap = new_cap;
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

size_t bpe_merge_few(const struct bpe *b, int32_t *ids, size_t n, uint32_t *highest)
{
    *highest = 0;
    struct pair pairs[BPE_FEW];
    for (size_t i = 0; i + 1 < n; i++) pairs[i] = look_up(b, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pairs[i].rank < pairs[best].rank) best = i;
        if (pairs[best].rank == NO_RANK) break;
        if (pairs[best].rank > *highest) *highest = pairs[best].rank;
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

/* --- a block: merging in order of rank, by a heap --------------------------------------------- */

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
    int32_t right = at < 0 ? -1 : s->links[at].next;
    if (right < 0) return true;
    const struct bpe_merge *m = bpe_find_merge(b, s->links[at].id, s->links[right].id);
    return !m || heap_push(s, (struct bpe_candidate){(uint64_t)m->rank << 32 | (uint32_t)at, m});
}

/* Merges the symbols [from, to) alone: tokens in s->tokens[which][0, *n_out). */
static bool merge_block(const struct bpe *b, struct bpe_scratch *s, size_t from, size_t to,
                        int which, size_t *n_out)
{
    size_t n = to - from, kept = 0;
    if (!reserve((void **)&s->links, &s->links_cap, n, sizeof(*s->links))) return false;
    if (!reserve((void **)&s->tokens[which], &s->tokens_cap[which], n, sizeof(*s->tokens[0])))
        return false;
    s->heap_len = 0;
    for (size_t i = 0; i < n; i++)
        s->links[i] =
            (struct bpe_link){s->ids[from + i], i + 1 < n ? (int32_t)i + 1 : -1, (int32_t)i - 1};
    for (size_t i = 0; i < n; i++)
        if (!push_pair(b, s, (int32_t)i)) return false;
    while (s->heap_len > 0) {
        struct bpe_candidate c = heap_pop(s);
        int32_t at = (int32_t)(uint32_t)c.order;
        struct bpe_link *left = &s->links[at];
        /* Out of date when the pair at its place became another one. */
        if (left->id != c.merge->left || left->next < 0) continue;
        struct bpe_link *right = &s->links[left->next];
        if (right->id != c.merge->right) continue;
        left->id = c.merge->id;
        right->id = -1; /* gone */
        left->next = right->next;
        if (right->next >= 0) s->links[right->next].previous = at;
        if (!push_pair(b, s, left->previous) || !push_pair(b, s, at)) return false;
    }
    for (int32_t at = n > 0 ? 0 : -1; at >= 0; at = s->links[at].next)
        s->tokens[which][kept++] =
            (struct bpe_token){s->links[at].id, (uint32_t)(from + (size_t)at)};
    *n_out = kept;
    return true;
}

/* --- a long word, block by block -------------------------------------------------------------- */

/* Tokens are what a text is merged to if each is what its own text is merged to and so is each
 * with its neighbour: a merge across two of them would come about between these two alone, too.  So
 * two blocks that overlap may be joined at a token that both have. */

static bool find_common(const struct bpe_token *a, size_t n_a, size_t *i, const struct bpe_token *b,
                        size_t n_b, size_t *j)
{
    for (*j = 0; *i < n_a && *j < n_b;) {
        if (a[*i].start == b[*j].start && a[*i].id == b[*j].id) return true;
        uint32_t start = a[*i].start < b[*j].start ? b[*j].start : a[*i].start;
        if (a[*i].start == b[*j].start) start++;
        while (*i < n_a && a[*i].start < start) ++*i;
        while (*j < n_b && b[*j].start < start) ++*j;
    }
    return false;
}

enum joined { JOINED, APART, FAILED };

static void swap_tokens(struct bpe_scratch *s)
{
    struct bpe_token *tokens = s->tokens[0];
    size_t cap = s->tokens_cap[0];
    s->tokens[0] = s->tokens[1];
    s->tokens_cap[0] = s->tokens_cap[1];
    s->tokens[1] = tokens;
    s->tokens_cap[1] = cap;
}

/* The n symbols in s->ids become the tokens, in place: a token needs no more room than its symbols,
 * and only symbols before the current block are overwritten.  APART: two blocks have no token in
 * common; the symbols are gone then. */
static enum joined merge_long(const struct bpe *b, struct bpe_scratch *s, size_t n, size_t *n_out)
{
    size_t block = s->block ? s->block : BLOCK, overlap = block / (BLOCK / OVERLAP);
    size_t n_done = 0, n_now = 0, first = 0, to = n < block ? n : block;
    if (!merge_block(b, s, 0, to, 0, &n_now)) return FAILED;
    while (to < n) {
        const struct bpe_token *now = s->tokens[0];
        size_t restart = n_now - 1, n_next = 0, j = 0;
        while (restart > first + 1 && now[restart - 1].start + overlap > to) restart--;
        size_t from = now[restart].start, end = n - from < block ? n : from + block;
        if (end <= to) end = n - to < block ? n : to + block; /* the last token is a long one */
        if (!merge_block(b, s, from, end, 1, &n_next)) return FAILED;
        size_t i = restart;
        if (!find_common(now, n_now, &i, s->tokens[1], n_next, &j)) return APART;
        for (; first < i; first++) s->ids[n_done++] = now[first].id;
        swap_tokens(s);
        n_now = n_next;
        first = j;
        to = end;
    }
    for (; first < n_now; first++) s->ids[n_done++] = s->tokens[0][first].id;
    *n_out = n_done;
    return JOINED;
}

/* In one block, whatever its length. */
static bool merge_at_once(const struct bpe *b, struct bpe_scratch *s, size_t n, size_t *n_out)
{
    if (!merge_block(b, s, 0, n, 0, n_out)) return false;
    for (size_t i = 0; i < *n_out; i++) s->ids[i] = s->tokens[0][i].id;
    return true;
}

enum status bpe_merge_word(const struct bpe *b, struct bpe_scratch *s, struct str word,
                           size_t *n_out)
{
    size_t n = 0;
    if (!reserve((void **)&s->ids, &s->cap, bpe_symbols_max(b, word.len), sizeof(*s->ids)))
        return STATUS_NO_MEMORY;
    enum status st = bpe_symbols(b, s, word, &n);
    if (st != STATUS_OK) return st;
    s->highest = BPE_UNMADE;
    if (n <= BPE_FEW) {
        *n_out = bpe_merge_few(b, s->ids, n, &s->highest);
        return STATUS_OK;
    }
    enum joined joined = merge_long(b, s, n, n_out);
    if (joined != APART) return joined == JOINED ? STATUS_OK : STATUS_NO_MEMORY;
    st = bpe_symbols(b, s, word, &n);
    if (st != STATUS_OK) return st;
    return merge_at_once(b, s, n, n_out) ? STATUS_OK : STATUS_NO_MEMORY;
}
