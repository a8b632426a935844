#include "config/base/hash.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

#define NODES_MAX ((size_t)1 << 24) /* what an edge has room for; a million tokens need fewer */

/* --- the trie ------------------------------------------------------------------------------------- */

static uint32_t edge_slot(const struct trie *t, uint32_t parent, uint8_t byte)
{
    uint64_t key = ((uint64_t)parent << 8 | byte) + 1;
    return (uint32_t)(key * 0x9E3779B97F4A7C15u >> 32) & t->edge_mask;
}

/* 0 = none: the root is nobody's child. */
static uint32_t child_of(const struct trie *t, uint32_t parent, uint8_t byte)
{
    for (uint32_t i = edge_slot(t, parent, byte);; i = (i + 1) & t->edge_mask) {
        struct trie_edge e = t->edges[i];
        if (e.node_byte == 0) return 0;
        if (e.parent == parent && (uint8_t)e.node_byte == byte) return e.node_byte >> 8;
    }
}

static void add_edge(struct trie *t, uint32_t parent, uint8_t byte, uint32_t node)
{
    uint32_t i = edge_slot(t, parent, byte);
    while (t->edges[i].node_byte != 0) i = (i + 1) & t->edge_mask;
    t->edges[i] = (struct trie_edge){parent, node << 8 | byte};
}

static enum status trie_grow(struct trie *t)
{
    size_t cap = t->cap ? 2 * t->cap : 256;
    if (cap > NODES_MAX) return STATUS_UNSUPPORTED;
    struct trie_node *nodes = realloc(t->nodes, cap * sizeof(*nodes));
    if (!nodes) return STATUS_NO_MEMORY;
    t->nodes = nodes;
    struct trie_edge *edges = calloc(2 * cap, sizeof(*edges));
    if (!edges) return STATUS_NO_MEMORY;
    free(t->edges);
    t->edges = edges;
    t->edge_mask = (uint32_t)(2 * cap - 1);
    t->cap = cap;
    for (size_t i = 1; i < t->n_nodes; i++)
        add_edge(t, (uint32_t)t->nodes[i].parent, t->nodes[i].byte, (uint32_t)i);
    if (t->n_nodes == 0) t->nodes[t->n_nodes++] = (struct trie_node){-1, -1, 0};
    return STATUS_OK;
}

/* Adds the pattern, read from its end if `backwards`; the first token of a pattern stays. */
static enum status trie_add(struct trie *t, struct str pattern, bool backwards, int32_t token)
{
    uint32_t node = 0;
    if (!t->nodes) {
        enum status st = trie_grow(t);
        if (st != STATUS_OK) return st;
    }
    for (size_t i = 0; i < pattern.len; i++) {
        uint8_t byte = (uint8_t)pattern.data[backwards ? pattern.len - 1 - i : i];
        uint32_t next = child_of(t, node, byte);
        if (next == 0) {
            enum status st = t->n_nodes == t->cap ? trie_grow(t) : STATUS_OK;
            if (st != STATUS_OK) return st;
            next = (uint32_t)t->n_nodes++;
            t->nodes[next] = (struct trie_node){(int32_t)node, -1, byte};
            add_edge(t, node, byte, next);
        }
        node = next;
    }
    if (t->nodes[node].token < 0) t->nodes[node].token = token;
    if (pattern.len > t->longest) t->longest = pattern.len;
    return STATUS_OK;
}

/* --- the matcher ---------------------------------------------------------------------------------- */

enum status matcher_add(struct matcher *m, struct str pattern, int32_t token)
{
    m->begins[(uint8_t)pattern.data[0]] = true;
    enum status st = trie_add(&m->trie, pattern, false, token);
    return st == STATUS_OK ? trie_add(&m->reversed, pattern, true, token) : st;
}

/* The nodes but the root in the order of their depth; a node's parent has a lower index. */
static uint32_t *nodes_by_depth(const struct trie *t, const uint32_t *depth)
{
    size_t *starts = calloc(t->longest + 2, sizeof(*starts));
    uint32_t *order = malloc(t->n_nodes * sizeof(*order));
    if (starts && order) {
        for (size_t i = 1; i < t->n_nodes; i++) starts[depth[i] + 1]++;
        for (size_t d = 1; d < t->longest + 2; d++) starts[d] += starts[d - 1];
        for (size_t i = 1; i < t->n_nodes; i++) order[starts[depth[i]]++] = (uint32_t)i;
    } else {
        free(order);
        order = NULL;
    }
    free(starts);
    return order;
}

static enum status make_fail(struct matcher *m)
{
    const struct trie *t = &m->reversed;
    uint32_t *depth = calloc(t->n_nodes, sizeof(*depth));
    m->fail = calloc(t->n_nodes, sizeof(*m->fail));
    m->ends = calloc(t->n_nodes, sizeof(*m->ends));
    enum status st = STATUS_NO_MEMORY;
    if (!depth || !m->fail || !m->ends) goto out;
    for (size_t i = 1; i < t->n_nodes; i++) depth[i] = depth[t->nodes[i].parent] + 1;
    uint32_t *order = nodes_by_depth(t, depth);
    if (!order) goto out;
    for (size_t i = 0; i + 1 < t->n_nodes; i++) {
        uint32_t node = order[i], f = 0;
        if (depth[node] > 1) {
            f = m->fail[t->nodes[node].parent];
            while (f != 0 && child_of(t, f, t->nodes[node].byte) == 0) f = m->fail[f];
            f = child_of(t, f, t->nodes[node].byte);
        }
        m->fail[node] = f;
        m->ends[node] = t->nodes[node].token >= 0 ? depth[node] : m->ends[f];
    }
    free(order);
    st = STATUS_OK;
out:
    free(depth);
    return st;
}

enum status matcher_finish(struct matcher *m)
{
    if (!m->trie.nodes) return STATUS_OK;
    for (int byte = 0; byte < 256; byte++) {
        if (!m->begins[byte]) continue;
        if (m->n_first < (int)sizeof(m->first)) m->first[m->n_first] = (uint8_t)byte;
        m->n_first++;
    }
    for (size_t i = (size_t)m->n_first; i < sizeof(m->first); i++) m->first[i] = m->first[0];
    if (m->trie.longest > ADDED_WALK_MAX) return make_fail(m);
    free(m->reversed.nodes); /* no walk is ever too long */
    free(m->reversed.edges);
    m->reversed = (struct trie){0};
    return STATUS_OK;
}

void matcher_free(struct matcher *m)
{
    free(m->trie.nodes);
    free(m->trie.edges);
    free(m->reversed.nodes);
    free(m->reversed.edges);
    free(m->fail);
    free(m->ends);
    *m = (struct matcher){0};
}

/* --- the search ------------------------------------------------------------------------------------- */

#define BLOCK 64

/* The loops over a block are ones that compilers make vector code of. */
static bool block_has_4(const uint8_t *p, const uint8_t b[8])
{
    uint8_t any = 0;
    for (int i = 0; i < BLOCK; i++)
        any |= (uint8_t)((p[i] == b[0]) | (p[i] == b[1]) | (p[i] == b[2]) | (p[i] == b[3]));
    return any != 0;
}

static bool block_has_8(const uint8_t *p, const uint8_t b[8])
{
    uint8_t any = 0;
    for (int i = 0; i < BLOCK; i++)
        any |= (uint8_t)((p[i] == b[0]) | (p[i] == b[1]) | (p[i] == b[2]) | (p[i] == b[3]) |
                         (p[i] == b[4]) | (p[i] == b[5]) | (p[i] == b[6]) | (p[i] == b[7]));
    return any != 0;
}

static bool block_has_any(const uint8_t *p, const bool begins[256])
{
    unsigned any = 0;
    for (int i = 0; i < BLOCK; i++) any |= begins[p[i]];
    return any != 0;
}

/* The first place from `at` on whose byte begins a pattern; the text's length when there is none. */
static size_t next_begin(const struct matcher *m, struct str text, size_t at)
{
    const uint8_t *s = (const uint8_t *)text.data;
    if (m->n_first == 1) {
        const char *found = memchr(text.data + at, m->first[0], text.len - at);
        return found ? (size_t)(found - text.data) : text.len;
    }
    size_t near = text.len - at < 16 ? text.len : at + 16; /* often the next one is near */
    for (; at < near; at++)
        if (m->begins[s[at]]) return at;
    for (; text.len - at >= BLOCK; at += BLOCK) {
        bool has = m->n_first <= 4   ? block_has_4(s + at, m->first)
                   : m->n_first <= 8 ? block_has_8(s + at, m->first)
                                     : block_has_any(s + at, m->begins);
        if (has) break;
    }
    while (at < text.len && !m->begins[s[at]]) at++;
    return at;
}

/* The longest pattern among the first `limit` bytes at text[at..]; *alive: a longer one may exist. */
static size_t walk(const struct trie *t, struct str text, size_t at, size_t limit, int32_t *token,
                   bool *alive)
{
    size_t n = text.len - at < limit ? text.len - at : limit, found = 0;
    uint32_t node = 0;
    *alive = false;
    for (size_t i = 0; i < n; i++) {
        node = child_of(t, node, (uint8_t)text.data[at + i]);
        if (node == 0) return found;
        if (t->nodes[node].token < 0) continue;
        *token = t->nodes[node].token;
        found = i + 1;
    }
    *alive = n == limit;
    return found;
}

static void fill_window(const struct matcher *m, struct str text, struct added_cursor *c)
{
    const struct trie *t = &m->reversed;
    size_t rest = text.len - c->at;
    size_t len = rest < ADDED_WINDOW ? rest : ADDED_WINDOW;
    size_t beyond = rest - len < t->longest - 1 ? rest - len : t->longest - 1;
    uint32_t node = 0;
    for (size_t i = len + beyond; i-- > 0;) {
        uint8_t byte = (uint8_t)text.data[c->at + i];
        uint32_t next = child_of(t, node, byte);
        while (next == 0 && node != 0) {
            node = m->fail[node];
            next = child_of(t, node, byte);
        }
        node = next;
        if (i < len) c->lens[i] = (uint16_t)m->ends[node];
    }
    c->window = c->at;
    c->window_end = c->at + len;
}

/* The next leftmost-longest pattern: its length, and its token's index; 0 = none.  Moves to it. */
static size_t next_pattern(const struct matcher *m, struct str text, struct added_cursor *c,
                           int32_t *token)
{
    bool alive = false;
    while (c->at < text.len) {
        size_t len = 0;
        if (c->at < c->window_end) {
            len = c->lens[c->at - c->window];
            if (len > 0) (void)walk(&m->trie, text, c->at, len, token, &alive);
        } else {
            c->at = next_begin(m, text, c->at);
            if (c->at == text.len) return 0;
            len = walk(&m->trie, text, c->at, ADDED_WALK_MAX, token, &alive);
            if (alive && m->fail) {
                fill_window(m, text, c);
                continue;
            }
        }
        if (len > 0) return len;
        c->at++;
    }
    return 0;
}

static bool is_single_word(struct str text, size_t start, size_t stop)
{
    if (start > 0 && unicode_is_word(unicode_previous(text.data, text.data + start))) return false;
    const char *after = text.data + stop;
    return stop == text.len || !unicode_is_word(unicode_next(&after));
}

/* Where the blanks that end at `start` begin, not before `least`. */
static size_t blanks_before(struct str text, size_t least, size_t start)
{
    const char *p = text.data + start, *begin = text.data + least;
    while (p > begin && unicode_is_space(unicode_previous(text.data, p))) {
        do p--;
        while (p > begin && ((uint8_t)*p & 0xC0) == 0x80);
    }
    return (size_t)(p - text.data);
}

/* Where the blanks from `stop` on end; the cursor remembers the last ones, for tokens that are
 * blanks themselves. */
static size_t blanks_after(struct str text, size_t stop, struct added_cursor *c)
{
    if (stop >= c->blanks && stop <= c->blanks_end) return c->blanks_end;
    const char *p = text.data + stop, *end = text.data + text.len;
    while (p < end) {
        const char *next = p;
        if (!unicode_is_space(unicode_next(&next))) break;
        p = next;
    }
    c->blanks = stop;
    c->blanks_end = (size_t)(p - text.data);
    return c->blanks_end;
}

bool added_tokens_next(const struct added_tokens *a, const struct matcher *matcher,
                       bool skip_special, struct str text, struct added_cursor *cursor,
                       struct added_match *match)
{
    int32_t i = -1;
    size_t len = 0;
    if (!matcher->trie.nodes) return false;
    while ((len = next_pattern(matcher, text, cursor, &i)) > 0) {
        size_t start = cursor->at, stop = start + len;
        cursor->at = stop;
        const struct added_token *token = &a->tokens[i];
        if (skip_special && token->special) continue;
        if (token->single_word && !is_single_word(text, start, stop)) continue;
        if (token->lstrip) {
            size_t least = cursor->start_offset;
            start = start > least ? blanks_before(text, least, start) : least;
        }
        if (token->rstrip) stop = blanks_after(text, stop, cursor);
        if (start >= stop) continue; /* an earlier token's blanks were all of it */
        *match = (struct added_match){token, cursor->start_offset, start, stop};
        /* A pattern that begins inside the blanks an earlier one swallowed is found all the same;
         * there is no plain text before it. */
        if (match->text_start > match->start) match->text_start = match->start;
        cursor->start_offset = stop;
        return true;
    }
    return false;
}
