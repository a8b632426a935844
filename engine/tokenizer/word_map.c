#include "engine/tokenizer/word_map.h"

#include "config/base/hash.h"

#include <stdlib.h>

enum status word_map_init(struct word_map *m, size_t n_words, struct error *err)
{
    size_t n_slots = n_words + n_words / 2 + 16;
    *m = (struct word_map){.seed = hash_process_seed(), .n_slots = n_slots};
    strbuf_init(&m->bytes, UINT32_MAX);
    m->slots = calloc(n_slots, sizeof(*m->slots));
    return m->slots ? STATUS_OK
                    : error_set(err, STATUS_NO_MEMORY, "out of memory for %zu words", n_words);
}

void word_map_free(struct word_map *m)
{
    free(m->slots);
    strbuf_free(&m->bytes);
    *m = (struct word_map){0};
}

static size_t long_slot(const struct word_map *m, struct str text, uint64_t hash)
{
    size_t i = word_slot(m, hash);
    for (; m->slots[i].len != 0; i = word_next_slot(m, i)) {
        const struct word *w = &m->slots[i];
        if (w->len == text.len && w->key.a == hash &&
            memcmp(m->bytes.data + w->key.b, text.data, text.len) == 0)
            break;
    }
    return i;
}

bool word_map_add(struct word_map *m, struct str text, int32_t id, bool *added)
{
    struct word_key key;
    size_t i;
    *added = false;
    if (text.len > WORD_INLINE_MAX) {
        key = (struct word_key){hash_bytes(text.data, text.len, m->seed), m->bytes.len};
        i = long_slot(m, text, key.a);
        if (m->slots[i].len != 0) return true;
        strbuf_add(&m->bytes, text.data, text.len);
        if (m->bytes.failed) return false;
    } else {
        key = word_key_of(text);
        i = word_slot(m, word_hash(key, text.len, m->seed));
        for (; m->slots[i].len != 0; i = word_next_slot(m, i)) {
            const struct word *w = &m->slots[i];
            if (w->len == text.len && w->key.a == key.a && w->key.b == key.b) return true;
        }
    }
    if (m->n_words + 1 == m->n_slots) return false; /* one slot stays empty: it ends a search */
    m->n_words++;
    m->slots[i].key = key;
    m->slots[i].id = id;
    m->slots[i].len = (uint16_t)text.len;
    if (text.len > m->longest) m->longest = text.len;
    *added = true;
    return true;
}

void word_map_prefetch(const struct word_map *m, struct str text)
{
    if (text.len == 0) return;
    uint64_t hash = text.len > WORD_INLINE_MAX ? hash_bytes(text.data, text.len, m->seed)
                                               : word_hash(word_key_of(text), text.len, m->seed);
    __builtin_prefetch(&m->slots[word_slot(m, hash)], 1);
}

struct word *word_map_find_long(const struct word_map *m, struct str text)
{
    if (text.len > m->longest) return NULL;
    struct word *w = &m->slots[long_slot(m, text, hash_bytes(text.data, text.len, m->seed))];
    return w->len != 0 ? w : NULL;
}
