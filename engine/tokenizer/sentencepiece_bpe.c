#include "engine/tokenizer/sentencepiece_bpe.h"

#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/sentencepiece.h"

#include <stdlib.h>
#include <string.h>

/* The text is cut into characters and user-defined pieces, which stay whole.  BPE then merges the
 * two neighbours that make the piece of the highest score, the leftmost of equals, with a heap over
 * a linked list: O(n log n).  Unlike the table of merges it looks texts up, so that it knows pieces
 * whose parts are none. */

struct model {
    int algorithm;
    uint8_t *types;
    float *scores;
    int32_t unk_id;
    int32_t byte_ids[256]; /* with byte_fallback */
    bool byte_fallback, has_unused;
    struct sentencepiece_symbols symbols;
};

struct part { /* of the text, linked in order */
    uint32_t start, size;
    int32_t previous, next; /* -1 = none */
    bool whole;             /* user-defined: never merges */
};
struct candidate {
    float score;
    int32_t left, right;
    uint32_t size; /* of both together: out of date when it no longer fits */
};
struct scratch {
    struct part *parts;
    size_t n_parts, parts_cap;
    struct candidate *heap;
    size_t heap_len, heap_cap;
    /* Where the last pair that made an unused piece had its border, by id; 0 = never made. */
    uint32_t *borders;
};

/* --- ids out ----------------------------------------------------------------------------------------- */

struct sink {
    struct encoder *e;
    const struct model *m;
    bool after_unknown;
};

static bool push_id(struct sink *s, struct str text, int32_t id)
{
    bool unknown = id == s->m->unk_id, again = unknown && s->after_unknown;
    s->after_unknown = unknown;
    if (!unknown || !s->m->byte_fallback)
        return again || encoder_push(s->e, id); /* a run of unknown ones is one */
    for (size_t i = 0; i < text.len; i++)
        if (!encoder_push(s->e, s->m->byte_ids[(uint8_t)text.data[i]])) return false;
    return true;
}

static int32_t piece_id(const struct sink *s, struct str text)
{
    int32_t id = vocab_find(&s->e->t->vocab, text.data, text.len);
    return id >= 0 ? id : s->m->unk_id;
}

/* A piece, an unused one as what it was made of.  A border is inside its piece, so the depth is at
 * most the piece's length, which is bounded (sentencepiece.c). */
static bool push_piece(struct sink *s, const struct scratch *scratch, struct str text)
{
    int32_t id = piece_id(s, text);
    uint32_t border =
        s->m->types[id] == PIECE_UNUSED && scratch->borders ? scratch->borders[id] : 0;
    if (border == 0 && s->m->types[id] == PIECE_UNUSED) id = s->m->unk_id; /* made of nothing */
    if (border == 0) return push_id(s, text, id);
    return push_piece(s, scratch, (struct str){text.data, border}) &&
           push_piece(s, scratch, (struct str){text.data + border, text.len - border});
}

/* --- the heap ------------------------------------------------------------------------------------------ */

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->score != b->score ? a->score > b->score : a->left < b->left;
}

static bool heap_push(struct scratch *s, struct candidate c)
{
    if (s->heap_len == s->heap_cap) {
        size_t cap = s->heap_cap ? 2 * s->heap_cap : 256;
        struct candidate *heap = realloc(s->heap, cap * sizeof(*heap));
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

static struct candidate heap_pop(struct scratch *s)
{
    struct candidate top = s->heap[0], last = s->heap[--s->heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_len; i = child) {
        if (child + 1 < s->heap_len && before(&s->heap[child + 1], &s->heap[child])) child++;
        if (!before(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

/* --- merging ---------------------------------------------------------------------------------------------- */

static bool add_part(struct scratch *s, struct part part)
{
    if (s->n_parts == s->parts_cap) {
        size_t cap = s->parts_cap ? 2 * s->parts_cap : 256;
        struct part *parts = realloc(s->parts, cap * sizeof(*parts));
        if (!parts) return false;
        s->parts = parts;
        s->parts_cap = cap;
    }
    s->parts[s->n_parts++] = part;
    return true;
}

static size_t next_size(const struct model *m, const char *text, size_t len, bool *whole)
{
    size_t size = sentencepiece_symbols_match(&m->symbols, text, len);
    *whole = size > 0;
    if (size > 0) return size;
    const char *next = text;
    (void)unicode_next(&next);
    return (size_t)(next - text);
}

static bool cut(const struct model *m, struct scratch *s, struct str text)
{
    s->n_parts = 0;
    for (size_t at = 0; at < text.len;) {
        struct part part = {.start = (uint32_t)at, .next = -1};
        part.size = (uint32_t)next_size(m, text.data + at, text.len - at, &part.whole);
        part.previous = (int32_t)s->n_parts - 1;
        at += part.size;
        if (at < text.len) part.next = (int32_t)s->n_parts + 1;
        if (!add_part(s, part)) return false;
    }
    return true;
}

static bool add_pair(struct sink *k, struct scratch *s, const char *text, int32_t left,
                     int32_t right)
{
    if (left < 0 || right < 0 || s->parts[left].whole || s->parts[right].whole) return true;
    const struct model *m = k->m;
    uint32_t size = s->parts[left].size + s->parts[right].size;
    int32_t id = vocab_find(&k->e->t->vocab, text + s->parts[left].start, size);
    bool merges = id >= 0 && (m->types[id] == PIECE_NORMAL || m->types[id] == PIECE_UNUSED ||
                              m->types[id] == PIECE_USER_DEFINED);
    if (!merges) return true;
    if (m->types[id] == PIECE_UNUSED) s->borders[id] = s->parts[left].size;
    return heap_push(s, (struct candidate){m->scores[id], left, right, size});
}

static bool merge(struct sink *k, struct scratch *s, const char *text)
{
    s->heap_len = 0;
    for (size_t i = 1; i < s->n_parts; i++)
        if (!add_pair(k, s, text, (int32_t)i - 1, (int32_t)i)) return false;
    while (s->heap_len > 0) {
        struct candidate c = heap_pop(s);
        struct part *left = &s->parts[c.left], *right = &s->parts[c.right];
        if (left->size == 0 || right->size == 0 || left->size + right->size != c.size) continue;
        left->size = c.size;
        left->next = right->next;
        if (right->next >= 0) s->parts[right->next].previous = c.left;
        right->size = 0;
        if (!add_pair(k, s, text, left->previous, c.left) ||
            !add_pair(k, s, text, c.left, left->next))
            return false;
    }
    return true;
}

static bool encode_bpe(struct sink *k, struct scratch *s, struct str text)
{
    const struct tokenizer *t = k->e->t;
    if (k->m->has_unused) { /* one text's borders say nothing about the next one's */
        free(s->borders);
        s->borders = calloc(t->vocab.n_ids, sizeof(*s->borders));
        if (!s->borders) return encoder_fail(k->e, STATUS_NO_MEMORY);
    }
    if (!cut(k->m, s, text) || !merge(k, s, text.data)) return encoder_fail(k->e, STATUS_NO_MEMORY);
    for (int32_t i = s->n_parts > 0 ? 0 : -1; i >= 0; i = s->parts[i].next) {
        struct str part = {text.data + s->parts[i].start, s->parts[i].size};
        if (!push_piece(k, s, part)) return false;
    }
    return true;
}

/* --- words and characters ------------------------------------------------------------------------------ */

static bool encode_words(struct sink *k, struct str text)
{
    while (text.len > 0) {
        size_t len = text.len;
        const char *blank = NULL; /* a word begins with its blank */
        if (text.len > SENTENCEPIECE_BLANK_LEN)
            blank =
                memmem(text.data + 1, text.len - 1, SENTENCEPIECE_BLANK, SENTENCEPIECE_BLANK_LEN);
        if (blank) len = (size_t)(blank - text.data);
        struct str word = {text.data, len};
        if (!push_id(k, word, piece_id(k, word))) return false;
        text = (struct str){text.data + len, text.len - len};
    }
    return true;
}

static bool encode_characters(struct sink *k, struct str text)
{
    while (text.len > 0) {
        bool whole = false;
        struct str part = {text.data, next_size(k->m, text.data, text.len, &whole)};
        if (!push_id(k, part, piece_id(k, part))) return false;
        text = (struct str){text.data + part.len, text.len - part.len};
    }
    return true;
}

static bool encode(struct encoder *e, struct str text)
{
    struct sink k = {e, e->t->model_data, false};
    if (k.m->algorithm == ALGORITHM_WORD) return encode_words(&k, text);
    if (k.m->algorithm == ALGORITHM_CHAR) return encode_characters(&k, text);
    if (!e->model_scratch) e->model_scratch = calloc(1, sizeof(struct scratch));
    if (!e->model_scratch) return encoder_fail(e, STATUS_NO_MEMORY);
    return encode_bpe(&k, e->model_scratch, text);
}

static void free_scratch(void *scratch)
{
    struct scratch *s = scratch;
    if (!s) return;
    free(s->parts);
    free(s->heap);
    free(s->borders);
    free(s);
}

/* --- making it -------------------------------------------------------------------------------------------- */

static void free_model(void *model_data)
{
    struct model *m = model_data;
    if (!m) return;
    free(m->types);
    free(m->scores);
    sentencepiece_symbols_free(&m->symbols);
    free(m);
}

static const struct model_kind kind = {
    .type = "SentencePiece", .free = free_model, .encode = encode, .free_scratch = free_scratch};

enum status sentencepiece_bpe_create(struct tokenizer *t, const struct sentencepiece *m,
                                     struct error *err)
{
    struct model *own = calloc(1, sizeof(*own));
    if (!own) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    t->model = &kind;
    t->model_data = own;
    own->algorithm = m->algorithm;
    own->unk_id = m->unk_id;
    own->byte_fallback = m->byte_fallback;
    own->types = malloc(m->n_pieces * sizeof(*own->types));
    own->scores = malloc(m->n_pieces * sizeof(*own->scores));
    if (!own->types || !own->scores)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    memcpy(own->types, m->types, m->n_pieces * sizeof(*own->types));
    memcpy(own->scores, m->scores, m->n_pieces * sizeof(*own->scores));
    for (size_t i = 0; i < m->n_pieces; i++) {
        own->has_unused |= m->types[i] == PIECE_UNUSED;
        if (m->types[i] == PIECE_BYTE)
            own->byte_ids[sentencepiece_byte(vocab_text(&t->vocab, (int64_t)i))] = (int32_t)i;
    }
    return sentencepiece_symbols_init(&own->symbols, t, m, err);
}
