#include "engine/tokenizer/vocab.h"

#include "config/base/hash.h"
#include "config/limits.h"

#include <stdlib.h>
#include <string.h>

enum status vocab_init(struct vocab *v, size_t n_ids, size_t n_tokens, struct error *err)
{
    *v = (struct vocab){.n_ids = n_ids, .seed = hash_process_seed()};
    strbuf_init(&v->bytes, LIMIT_JSON_SIZE);
    if (n_ids > LIMIT_VOCAB || n_tokens > n_ids)
        return error_set(err, STATUS_CORRUPT, "the vocabulary has more than %d ids", LIMIT_VOCAB);
    size_t n_slots = 16;
    while (n_slots < 2 * n_tokens) n_slots *= 2;
    v->offsets = malloc((n_ids + 1) * sizeof(*v->offsets));
    v->lens = calloc(n_ids + 1, sizeof(*v->lens));
    v->slots = calloc(n_slots, sizeof(*v->slots));
    v->slot_mask = n_slots - 1;
    if (!v->offsets || !v->lens || !v->slots) {
        vocab_free(v);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a vocabulary of %zu ids", n_ids);
    }
    for (size_t i = 0; i <= n_ids; i++) v->offsets[i] = VOCAB_NONE;
    return STATUS_OK;
}

void vocab_free(struct vocab *v)
{
    strbuf_free(&v->bytes);
    free(v->offsets);
    free(v->lens);
    free(v->slots);
    *v = (struct vocab){0};
}

/* The slot that holds the text, or the empty one where it would go. */
static size_t find_slot(const struct vocab *v, const char *text, size_t len)
{
    size_t i = hash_bytes(text, len, v->seed) & v->slot_mask;
    for (; v->slots[i]; i = (i + 1) & v->slot_mask) {
        uint32_t id = v->slots[i] - 1;
        if (v->lens[id] == len && !memcmp(v->bytes.data + v->offsets[id], text, len)) break;
    }
    return i;
}

enum status vocab_add(struct vocab *v, int64_t id, const char *text, size_t len, struct error *err)
{
    if (id < 0 || (uint64_t)id >= v->n_ids)
        return error_set(err, STATUS_CORRUPT, "token \"%.80s\" has the id %lld, out of range", text,
                         (long long)id);
    if (v->offsets[id] != VOCAB_NONE)
        return error_set(err, STATUS_CORRUPT, "tokens \"%.80s\" and \"%.80s\" share the id %lld",
                         v->bytes.data + v->offsets[id], text, (long long)id);
    size_t slot = find_slot(v, text, len);
    if (v->slots[slot] || v->n_tokens >= v->slot_mask)
        return error_set(err, STATUS_CORRUPT, "token \"%.80s\" stands twice", text);
    v->offsets[id] = (uint32_t)v->bytes.len;
    v->lens[id] = (uint32_t)len;
    strbuf_add(&v->bytes, text, len);
    strbuf_add_char(&v->bytes, '\0');
    if (v->bytes.failed) return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokens");
    v->slots[slot] = (uint32_t)id + 1;
    v->n_tokens++;
    if (len > v->longest_text_len) v->longest_text_len = len;
    return STATUS_OK;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    if (len > v->longest_text_len || !v->slots) return -1;
    return (int32_t)v->slots[find_slot(v, text, len)] - 1;
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
