#include "engine/tokenizer/vocab.h"

#include "config/limits.h"

#include <stdlib.h>
#include <string.h>

/* The start of a text for a message: it need not end in a NUL byte. */
#define SHOWN(len, text) (int)((len) < 80 ? (len) : 80), (text)

enum status vocab_init(struct vocab *v, size_t n_ids, size_t n_tokens, struct error *err)
{
    *v = (struct vocab){.n_ids = n_ids, .empty_id = -1};
    strbuf_init(&v->bytes, LIMIT_JSON_SIZE);
    if (n_ids > LIMIT_VOCAB || n_tokens > n_ids)
        return error_set(err, STATUS_CORRUPT, "the vocabulary has more than %d ids", LIMIT_VOCAB);
    enum status st = word_map_init(&v->words, n_tokens, err);
    v->offsets = malloc((n_ids + 1) * sizeof(*v->offsets));
    v->lens = calloc(n_ids + 1, sizeof(*v->lens));
    if (st == STATUS_OK && (!v->offsets || !v->lens))
        st = error_set(err, STATUS_NO_MEMORY, "out of memory for a vocabulary of %zu ids", n_ids);
    if (st != STATUS_OK) {
        vocab_free(v);
        return st;
    }
    for (size_t i = 0; i <= n_ids; i++) v->offsets[i] = VOCAB_NONE;
    return STATUS_OK;
}

void vocab_free(struct vocab *v)
{
    strbuf_free(&v->bytes);
    word_map_free(&v->words);
    free(v->offsets);
    free(v->lens);
    *v = (struct vocab){0};
}

enum status vocab_keep(struct vocab *v, int64_t id, const char *text, size_t len, struct error *err)
{
    if (id < 0 || (uint64_t)id >= v->n_ids)
        return error_set(err, STATUS_CORRUPT, "token \"%.*s\" has the id %lld, out of range",
                         SHOWN(len, text), (long long)id);
    if (v->offsets[id] != VOCAB_NONE)
        return error_set(err, STATUS_CORRUPT, "tokens \"%.80s\" and \"%.*s\" share the id %lld",
                         v->bytes.data + v->offsets[id], SHOWN(len, text), (long long)id);
    if (len > WORD_SIZE_MAX)
        return error_set(err, STATUS_CORRUPT, "token %lld has more than %d bytes", (long long)id,
                         WORD_SIZE_MAX);
    v->offsets[id] = (uint32_t)v->bytes.len;
    v->lens[id] = (uint32_t)len;
    strbuf_add(&v->bytes, text, len);
    strbuf_add(&v->bytes, "", 1);
    if (v->bytes.failed) return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokens");
    word_map_prefetch(&v->words, (struct str){text, len});
    return STATUS_OK;
}

enum status vocab_link(struct vocab *v, int64_t id, struct error *err)
{
    struct str text = vocab_text(v, id);
    bool added = false, stored = true;
    if (text.len > 0) {
        stored = word_map_add(&v->words, text, (int32_t)id, &added);
    } else if (v->empty_id < 0) {
        v->empty_id = (int32_t)id;
        added = true;
    }
    if (!added) v->offsets[id] = VOCAB_NONE;
    if (!stored) return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokens");
    if (!added) return error_set(err, STATUS_CORRUPT, "token \"%.80s\" stands twice", text.data);
    v->n_tokens++;
    if (text.len > v->longest_text_len) v->longest_text_len = text.len;
    return STATUS_OK;
}

enum status vocab_add(struct vocab *v, int64_t id, const char *text, size_t len, struct error *err)
{
    enum status st = vocab_keep(v, id, text, len, err);
    return st == STATUS_OK ? vocab_link(v, id, err) : st;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    if (len == 0) return v->words.slots ? v->empty_id : -1;
    if (len > v->longest_text_len) return -1; /* also when nothing was added yet */
    const struct word *w = word_map_find(&v->words, (struct str){text, len});
    return w ? w->id : -1;
}

bool vocab_has(const struct vocab *v, int64_t id)
{
    return id >= 0 && (uint64_t)id < v->n_ids && v->offsets[id] != VOCAB_NONE;
}

struct str vocab_text(const struct vocab *v, int64_t id)
{
    if (!vocab_has(v, id)) return (struct str){0};
    return (struct str){v->bytes.data + v->offsets[id], v->lens[id]};
}
