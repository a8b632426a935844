#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/sentencepiece.h"
#include "engine/tokenizer/sentencepiece_bpe.h"
#include "engine/tokenizer/unigram.h"

#include "config/limits.h"

#include <stdlib.h>
#include <string.h>

/* Which model a file asks for.  Unigram and nearly every BPE are those of tokenizer.json; what
 * only this format has (user-defined and unused pieces in BPE, words, characters) is here and in
 * sentencepiece_bpe.c. */

/* --- pieces by text ------------------------------------------------------------------------------------ */

static bool is_mergeable(const struct sentencepiece *m, int32_t id)
{
    return id >= 0 && (m->types[id] == PIECE_NORMAL || m->types[id] == PIECE_USER_DEFINED ||
                       m->types[id] == PIECE_UNUSED);
}

static size_t character_size(const char *s)
{
    const char *next = s;
    (void)unicode_next(&next);
    return (size_t)(next - s);
}

/* --- the table of merges --------------------------------------------------------------------------------- */

/* Pairs are looked up by id in the table, by text in the library.  That is the same unless a piece
 * has a character that is no piece, or pieces are of kinds that the table does not know. */
static bool table_will_do(const struct sentencepiece *m, const struct tokenizer *t)
{
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (m->types[i] == PIECE_USER_DEFINED || m->types[i] == PIECE_UNUSED) return false;
        if (m->types[i] != PIECE_NORMAL) continue;
        struct str text = vocab_text(&t->vocab, (int64_t)i);
        for (size_t at = 0, size; at < text.len; at += size) {
            size = character_size(text.data + at);
            int32_t id = vocab_find(&t->vocab, text.data + at, size);
            if (id < 0 || m->types[id] != PIECE_NORMAL) return false;
        }
    }
    return true;
}

struct scored {
    float score;
    int32_t id;
};

static int by_score(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

struct merges {
    struct bpe_merge *list;
    size_t n, cap;
};

static enum status add_merges(const struct sentencepiece *m, const struct tokenizer *t, int32_t id,
                              uint32_t rank, struct merges *out, struct error *err)
{
    struct str text = vocab_text(&t->vocab, id);
    for (size_t at = character_size(text.data); at < text.len;
         at += character_size(text.data + at)) {
        int32_t left = vocab_find(&t->vocab, text.data, at);
        if (!is_mergeable(m, left)) continue;
        int32_t right = vocab_find(&t->vocab, text.data + at, text.len - at);
        if (!is_mergeable(m, right)) continue;
        if (out->n == LIMIT_VOCAB)
            return error_set(err, STATUS_CORRUPT, "the pieces make more than %d merges",
                             LIMIT_VOCAB);
        if (out->n == out->cap) {
            size_t cap = out->cap ? 2 * out->cap : 4096;
            struct bpe_merge *list = realloc(out->list, cap * sizeof(*list));
            if (!list) return error_set(err, STATUS_NO_MEMORY, "out of memory for the merges");
            out->list = list;
            out->cap = cap;
        }
        out->list[out->n++] = (struct bpe_merge){left, right, rank, id};
    }
    return STATUS_OK;
}

/* Every two pieces that together make a piece merge, the highest score first. */
static enum status create_table(struct tokenizer *t, const struct sentencepiece *m,
                                struct error *err)
{
    struct merges merges = {0};
    enum status st = STATUS_OK;
    size_t n = 0;
    struct scored *order = malloc(m->n_pieces * sizeof(*order));
    if (!order) return error_set(err, STATUS_NO_MEMORY, "out of memory for the merges");
    for (size_t i = 0; i < m->n_pieces; i++)
        if (m->types[i] == PIECE_NORMAL) order[n++] = (struct scored){m->scores[i], (int32_t)i};
    qsort(order, n, sizeof(*order), by_score);
    uint32_t rank = 0; /* equal scores have equal ranks */
    for (size_t i = 0; st == STATUS_OK && i < n; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        st = add_merges(m, t, order[i].id, rank, &merges, err);
    }
    struct bpe_options options = {.unk_id = m->unk_id, .fuse_unk = true};
    options.byte_fallback = m->byte_fallback;
    if (st == STATUS_OK) st = bpe_create(t, merges.list, merges.n, &options, err);
    free(merges.list);
    free(order);
    return st;
}

/* --- unigram -------------------------------------------------------------------------------------------------- */

static enum status create_unigram(struct tokenizer *t, const struct sentencepiece *m,
                                  struct error *err)
{
    enum status st = STATUS_OK;
    double *scores = malloc(m->n_pieces * sizeof(*scores));
    uint8_t *kinds = malloc(m->n_pieces);
    if (!scores || !kinds) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory for the scores");
        goto out;
    }
    for (size_t i = 0; i < m->n_pieces; i++) {
        scores[i] = (double)m->scores[i];
        kinds[i] = m->types[i] == PIECE_NORMAL         ? UNIGRAM_NORMAL
                   : m->types[i] == PIECE_USER_DEFINED ? UNIGRAM_USER_DEFINED
                                                       : UNIGRAM_NEVER;
    }
    struct unigram_options options = {.unk_id = m->unk_id, .sentencepiece = true, .kinds = kinds};
    options.byte_fallback = m->byte_fallback;
    st = unigram_create(t, scores, &options, err);
out:
    free(scores);
    free(kinds);
    return st;
}

enum status sentencepiece_model_create(struct tokenizer *t, const struct sentencepiece *m,
                                       struct error *err)
{
    if (m->algorithm == ALGORITHM_UNIGRAM) return create_unigram(t, m, err);
    if (m->algorithm == ALGORITHM_BPE && table_will_do(m, t)) return create_table(t, m, err);
    if (m->algorithm >= ALGORITHM_BPE && m->algorithm <= ALGORITHM_CHAR)
        return sentencepiece_bpe_create(t, m, err);
    return error_set(err, STATUS_UNSUPPORTED,
                     "model_type is %d; known are 1 (unigram), 2 (BPE), 3 (word), 4 (char)",
                     m->algorithm);
}
