#include "engine/tokenizer/piece_trie.h"

#include <stdlib.h>
#include <string.h>

/* The tokens are sorted, so that those below a node are a range; ranges wait on a stack.  A node's
 * children go where all of them find a free slot.  Free slots are a bitmap: 64 places for the first
 * child are tried at once, and only the last WINDOW slots are looked at.  When none of them will do
 * for k children, each must clash with one of the k, so at least WINDOW / k slots are in use: the
 * array stays within a small factor of its nodes whatever the tokens are. */
#define WINDOW      8192
#define FIRST_SLOT  256               /* a child's slot less its byte is never below 0 */
#define SLACK       (256 + 2 * 64)    /* beyond the slots: children of the last, two map words */
#define N_SLOTS_MAX (UINT32_MAX / 16) /* 3 GB; tokens of 256 MB in all stay far below */

struct key {
    uint64_t head; /* the first eight bytes, the first one highest: most comparisons end here */
    const char *text;
    uint32_t len;
    int32_t id;
};
struct range { /* keys [from, to) agree in their first `depth` bytes and lie below `node` */
    uint32_t from, to, depth, node;
};
struct builder {
    struct key *keys;
    size_t n_keys;
    struct range *stack;
    size_t stack_len;
    struct piece_node *nodes;
    uint64_t *taken;    /* one bit a slot */
    size_t n_slots;     /* in use or before one in use; a multiple of 64 */
    size_t cap;         /* of nodes and bits; at least n_slots + SLACK */
    size_t window_from; /* a multiple of 64 */
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->head != y->head) return x->head < y->head ? -1 : 1;
    size_t common = x->len < y->len ? x->len : y->len;
    int order = common > 8 ? memcmp(x->text + 8, y->text + 8, common - 8) : 0;
    if (order != 0) return order;
    if (x->len != y->len) return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void collect_keys(struct builder *b, const struct vocab *v, const uint8_t *left_out)
{
    size_t n = 0, n_unique = 0;
    for (size_t id = 0; id < v->n_ids; id++) {
        struct str text = vocab_text(v, (int64_t)id);
        if (text.len == 0 || (left_out && left_out[id])) continue;
        struct key *key = &b->keys[n++];
        *key = (struct key){0, text.data, (uint32_t)text.len, (int32_t)id};
        for (size_t i = 0; i < 8; i++)
            key->head = key->head << 8 | (i < text.len ? (uint8_t)text.data[i] : 0);
    }
    if (n > 0) qsort(b->keys, n, sizeof(*b->keys), compare_keys);
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n || b->keys[i].len != b->keys[i + 1].len ||
                    memcmp(b->keys[i].text, b->keys[i + 1].text, b->keys[i].len) != 0;
        if (last) b->keys[n_unique++] = b->keys[i];
    }
    b->n_keys = n_unique;
}

static bool reserve(struct builder *b, size_t n_slots)
{
    if (n_slots <= b->n_slots) return true;
    if (n_slots > N_SLOTS_MAX) return false;
    if (n_slots + SLACK > b->cap) {
        size_t cap = (n_slots + SLACK + n_slots / 2 + 63) / 64 * 64;
        struct piece_node *nodes = realloc(b->nodes, cap * sizeof(*nodes));
        if (nodes) b->nodes = nodes;
        uint64_t *taken = realloc(b->taken, cap / 8);
        if (taken) b->taken = taken;
        if (!nodes || !taken) return false;
        for (size_t i = b->cap; i < cap; i++)
            nodes[i] = (struct piece_node){0, PIECE_TRIE_NONE, -1};
        memset(taken + b->cap / 64, 0, (cap - b->cap) / 8);
        b->cap = cap;
    }
    b->n_slots = (n_slots + 63) / 64 * 64;
    if (b->n_slots > WINDOW && b->window_from < b->n_slots - WINDOW)
        b->window_from = b->n_slots - WINDOW;
    return true;
}

/* The bits of 64 slots from any one on. */
static uint64_t taken64(const struct builder *b, size_t slot)
{
    size_t word = slot / 64, shift = slot % 64;
    return shift ? b->taken[word] >> shift | b->taken[word + 1] << (64 - shift) : b->taken[word];
}

/* A slot for the first of n children such that the others are free too. */
static size_t find_place(struct builder *b, const uint8_t *bytes, int n)
{
    while (b->window_from < b->n_slots && b->taken[b->window_from / 64] == UINT64_MAX)
        b->window_from += 64;
    for (size_t slot = b->window_from; slot < b->n_slots; slot += 64) {
        uint64_t good = ~b->taken[slot / 64];
        for (int i = 1; good && i < n; i++)
            good &= ~taken64(b, slot + (size_t)(bytes[i] - bytes[0]));
        if (good) return slot + (size_t)__builtin_ctzll(good);
    }
    return b->n_slots;
}

/* Gives the range's node its token and its children, whose ranges go on the stack. */
static bool expand(struct builder *b, struct range r)
{
    uint8_t bytes[256];
    uint32_t starts[257];
    int n = 0;
    if (b->keys[r.from].len == r.depth) b->nodes[r.node].id = b->keys[r.from++].id;
    for (uint32_t i = r.from; i < r.to; i++) {
        uint8_t byte = (uint8_t)b->keys[i].text[r.depth];
        if (n > 0 && bytes[n - 1] == byte) continue;
        bytes[n] = byte;
        starts[n++] = i;
    }
    if (n == 0) return true;
    starts[n] = r.to;
    size_t base = find_place(b, bytes, n) - bytes[0];
    if (!reserve(b, base + bytes[n - 1] + 1)) return false;
    b->nodes[r.node].base = (uint32_t)base;
    for (int i = n - 1; i >= 0; i--) {
        size_t slot = base + bytes[i];
        b->taken[slot / 64] |= (uint64_t)1 << slot % 64;
        b->nodes[slot].parent = r.node;
        b->stack[b->stack_len++] =
            (struct range){starts[i], starts[i + 1], r.depth + 1, (uint32_t)slot};
    }
    return true;
}

enum status piece_trie_build(struct piece_trie *t, const struct vocab *v, const uint8_t *left_out,
                             struct error *err)
{
    struct builder b = {.window_from = FIRST_SLOT};
    enum status st = STATUS_NO_MEMORY;
    b.keys = malloc((v->n_ids + 1) * sizeof(*b.keys));
    b.stack = malloc((v->n_ids + 1) * sizeof(*b.stack)); /* waiting ranges share no key */
    if (!b.keys || !b.stack || !reserve(&b, FIRST_SLOT)) goto out;
    collect_keys(&b, v, left_out);
    if (b.n_keys > 0)
        b.stack[b.stack_len++] = (struct range){0, (uint32_t)b.n_keys, 0, PIECE_TRIE_ROOT};
    while (b.stack_len > 0)
        if (!expand(&b, b.stack[--b.stack_len])) goto out;
    t->n_nodes = b.n_slots + 256;
    t->nodes = realloc(b.nodes, t->n_nodes * sizeof(*t->nodes));
    if (!t->nodes) goto out;
    b.nodes = NULL;
    st = STATUS_OK;
out:
    free(b.keys);
    free(b.stack);
    free(b.nodes);
    free(b.taken);
    return st == STATUS_OK ? st : error_set(err, st, "out of memory for the tokens' trie");
}

void piece_trie_free(struct piece_trie *t)
{
    free(t->nodes);
    *t = (struct piece_trie){0};
}
