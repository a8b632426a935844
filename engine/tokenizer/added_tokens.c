#include "config/base/hash.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Longer contents would make the search at every position of a text long. */
#define CONTENT_SIZE_MAX 1024

/* --- the list, found by content and by id ----------------------------------------------------- */

static size_t find_slot(const struct added_tokens *a, const char *text, size_t len)
{
    size_t i = hash_bytes(text, len, hash_process_seed()) & a->slot_mask;
    for (; a->slots[i]; i = (i + 1) & a->slot_mask) {
        const struct added_token *token = &a->tokens[a->slots[i] - 1];
        if (token->content_len == len && !memcmp(token->content, text, len)) break;
    }
    return i;
}

struct added_token *added_tokens_by_content(const struct added_tokens *a, const char *text,
                                            size_t len)
{
    if (!a->slots) return NULL;
    uint32_t found = a->slots[find_slot(a, text, len)];
    return found ? &a->tokens[found - 1] : NULL;
}

/* Room for one more token and for the id; the table of slots stays at most half full. */
static bool reserve(struct tokenizer *t, int32_t id)
{
    struct added_tokens *a = &t->added;
    if (a->n_tokens == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        struct added_token *tokens = realloc(a->tokens, cap * sizeof(*tokens));
        if (!tokens) return false;
        a->tokens = tokens;
        uint32_t *slots = calloc(2 * cap, sizeof(*slots));
        if (!slots) return false;
        free(a->slots);
        a->slots = slots;
        a->slot_mask = 2 * cap - 1;
        a->cap = cap;
        for (size_t i = 0; i < a->n_tokens; i++)
            slots[find_slot(a, a->tokens[i].content, a->tokens[i].content_len)] = (uint32_t)i + 1;
    }
    if ((size_t)id < t->n_ids) return true;
    size_t n = (size_t)id + 1; /* ids mostly come in order: grow by doubling */
    if (n > t->added_of_id_cap) {
        size_t cap = n + n / 2;
        int32_t *of_id = realloc(t->added_of_id, cap * sizeof(*of_id));
        if (!of_id) return false;
        t->added_of_id = of_id;
        t->added_of_id_cap = cap;
    }
    for (size_t i = t->n_ids; i < n; i++) t->added_of_id[i] = -1;
    t->n_ids = n;
    return true;
}

/* The id that Hugging Face gives to a token that the model does not have, whatever the file says:
 * a file that disagrees is refused, for one of the two is wrong. */
static int32_t next_id(const struct tokenizer *t)
{
    int32_t n = (int32_t)t->vocab.n_tokens;
    return t->added.n_tokens > 0 && t->added.highest_id >= n ? t->added.highest_id + 1 : n;
}

enum status added_tokens_put(struct tokenizer *t, const struct added_token *token,
                             struct error *err)
{
    struct added_tokens *a = &t->added;
    struct added_token *known = added_tokens_by_content(a, token->content, token->content_len);
    int32_t in_model = vocab_find(&t->vocab, token->content, token->content_len);
    int32_t id = known ? known->id : in_model;
    if (id >= 0 && id != token->id)
        return error_set(err, STATUS_CORRUPT,
                         "the added token \"%.80s\" has the id %d here and %d elsewhere",
                         token->content, token->id, id);
    if (known) {
        bool special = known->special || token->special;
        char *content = known->content;
        *known = *token;
        known->content = content;
        known->special = special;
        return STATUS_OK;
    }
    if (id < 0 && token->id != next_id(t))
        return error_set(err, STATUS_CORRUPT,
                         "the added token \"%.80s\" has the id %d where %d would come next",
                         token->content, token->id, next_id(t));
    if (!reserve(t, token->id))
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the added tokens");
    if (id < 0 && (vocab_has(&t->vocab, token->id) || t->added_of_id[token->id] >= 0))
        return error_set(err, STATUS_CORRUPT,
                         "the id %d of the added token \"%.80s\" belongs to another token",
                         token->id, token->content);
    struct added_token *added = &a->tokens[a->n_tokens];
    *added = *token;
    added->pattern = NULL;
    added->content = strdup(token->content);
    if (!added->content)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the added tokens");
    a->slots[find_slot(a, added->content, added->content_len)] = (uint32_t)a->n_tokens + 1;
    t->added_of_id[token->id] = (int32_t)a->n_tokens++;
    if (a->n_tokens == 1 || token->id > a->highest_id) a->highest_id = token->id;
    return STATUS_OK;
}

enum status added_tokens_parse_one(const cJSON *json, int32_t id, struct tokenizer *t,
                                   struct error *err)
{
    struct added_token token = {.id = id};
    const char *content = NULL;
    enum status st = component_string(json, "content", &content, err);
    if (st != STATUS_OK) return st;
    token.content_len = strlen(content);
    if (token.content_len == 0) return STATUS_OK; /* ignored, as Hugging Face does */
    if (token.content_len > CONTENT_SIZE_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "an added token is longer than %d bytes",
                         CONTENT_SIZE_MAX);
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"special", &token.special},
                 {"normalized", &token.normalized},
                 {"lstrip", &token.lstrip},
                 {"rstrip", &token.rstrip},
                 {"single_word", &token.single_word}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        st = component_bool(json, flags[i].key, false, flags[i].flag, err);
        if (st != STATUS_OK) return st;
    }
    token.content = (char *)content; /* copied by put */
    return added_tokens_put(t, &token, err);
}

enum status added_tokens_parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!json || cJSON_IsNull(json)) return STATUS_OK;
    if (!cJSON_IsArray(json))
        return error_set(err, STATUS_CORRUPT, "\"added_tokens\" must be an array");
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, json)
    {
        if (!cJSON_IsObject(item))
            return error_set(err, STATUS_CORRUPT, "\"added_tokens\" must hold objects");
        int64_t id = 0;
        if (!json_as_i64(json_get(item, "id"), 0, LIMIT_VOCAB - 1, &id))
            return error_set(err, STATUS_CORRUPT,
                             "the id of an added token must be an integer from 0 to %d",
                             LIMIT_VOCAB - 1);
        enum status st = added_tokens_parse_one(item, (int32_t)id, t, err);
        if (st != STATUS_OK) return error_prepend(err, "added_tokens");
    }
    return STATUS_OK;
}

void added_tokens_free(struct added_tokens *a)
{
    for (size_t i = 0; i < a->n_tokens; i++) {
        free(a->tokens[i].content);
        free(a->tokens[i].pattern);
    }
    free(a->tokens);
    free(a->slots);
    free(a->raw.nodes);
    free(a->normalized.nodes);
    *a = (struct added_tokens){0};
}

/* --- the search ------------------------------------------------------------------------------- */

static int32_t trie_child(const struct trie *t, int32_t node, uint8_t byte)
{
    int32_t i = node < 0 ? t->roots[byte] : t->nodes[node].child;
    if (node < 0) return i;
    while (i >= 0 && t->nodes[i].byte != byte) i = t->nodes[i].next;
    return i;
}

static bool trie_add(struct trie *t, const char *text, size_t len, int32_t token)
{
    int32_t node = -1;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)text[i];
        int32_t next = trie_child(t, node, byte);
        if (next < 0) {
            if (t->n_nodes == t->cap) {
                size_t cap = t->cap ? 2 * t->cap : 256;
                struct trie_node *grown = realloc(t->nodes, cap * sizeof(*grown));
                if (!grown) return false;
                t->nodes = grown;
                t->cap = cap;
            }
            next = (int32_t)t->n_nodes++;
            t->nodes[next] = (struct trie_node){-1, -1, -1, byte};
            if (node < 0) {
                t->roots[byte] = next;
            } else {
                t->nodes[next].next = t->nodes[node].child;
                t->nodes[node].child = next;
            }
        }
        node = next;
    }
    if (node >= 0 && t->nodes[node].token < 0) t->nodes[node].token = token;
    return true;
}

enum status added_tokens_build(struct tokenizer *t, struct error *err)
{
    struct added_tokens *a = &t->added;
    struct regex_scratch scratch = {0};
    struct strbuf buffers[2];
    strbuf_init(&buffers[0], 0);
    strbuf_init(&buffers[1], 0);
    enum status st = STATUS_OK;
    memset(a->raw.roots, -1, sizeof(a->raw.roots));
    memset(a->normalized.roots, -1, sizeof(a->normalized.roots));
    for (size_t i = 0; i < a->n_tokens && st == STATUS_OK; i++) {
        struct added_token *token = &a->tokens[i];
        struct str pattern = {token->content, token->content_len};
        bool moved = false;
        if (token->normalized)
            st = normalizer_run(&t->normalizer, &scratch, buffers, pattern, &pattern, &moved);
        if (st != STATUS_OK) break;
        token->pattern = strndup(pattern.data, pattern.len);
        token->pattern_len = pattern.len;
        struct trie *trie = token->normalized ? &a->normalized : &a->raw;
        if (!token->pattern || !trie_add(trie, pattern.data, pattern.len, (int32_t)i))
            st = STATUS_NO_MEMORY;
    }
    regex_scratch_free(&scratch);
    strbuf_free(&buffers[0]);
    strbuf_free(&buffers[1]);
    return st == STATUS_OK ? st : error_set(err, st, "the added tokens cannot be searched for");
}

/* The longest pattern at text[at..]: its token's index, -1 = none. */
static int32_t longest_at(const struct trie *trie, struct str text, size_t at, size_t *end)
{
    int32_t found = -1, node = trie->roots[(uint8_t)text.data[at]];
    for (size_t i = at; node >= 0;) {
        i++;
        if (trie->nodes[node].token >= 0) {
            found = trie->nodes[node].token;
            *end = i;
        }
        if (i == text.len) break;
        node = trie_child(trie, node, (uint8_t)text.data[i]);
    }
    return found;
}

static bool is_single_word(struct str text, size_t start, size_t stop)
{
    if (start > 0 && unicode_is_word(unicode_previous(text.data, text.data + start))) return false;
    const char *after = text.data + stop;
    return stop == text.len || !unicode_is_word(unicode_next(&after));
}

static size_t blanks_before(struct str text, size_t start)
{
    const char *p = text.data + start;
    while (p > text.data && unicode_is_space(unicode_previous(text.data, p))) {
        do p--;
        while (p > text.data && ((uint8_t)*p & 0xC0) == 0x80);
    }
    return (size_t)(p - text.data);
}

static size_t blanks_after(struct str text, size_t stop)
{
    const char *p = text.data + stop, *end = text.data + text.len;
    while (p < end) {
        const char *next = p;
        if (!unicode_is_space(unicode_next(&next))) break;
        p = next;
    }
    return (size_t)(p - text.data);
}

bool added_tokens_next(const struct added_tokens *a, const struct trie *trie, bool skip_special,
                       struct str text, struct added_cursor *cursor, struct added_match *match)
{
    if (trie->n_nodes == 0) return false;
    while (cursor->at < text.len) {
        size_t start = cursor->at, stop = 0;
        if (trie->roots[(uint8_t)text.data[start]] < 0) {
            cursor->at++;
            continue;
        }
        int32_t i = longest_at(trie, text, start, &stop);
        if (i < 0) {
            cursor->at++;
            continue;
        }
        cursor->at = stop;
        const struct added_token *token = &a->tokens[i];
        if (skip_special && token->special) continue;
        if (token->single_word && !is_single_word(text, start, stop)) continue;
        if (token->lstrip) {
            start = blanks_before(text, start);
            if (start < cursor->start_offset) start = cursor->start_offset;
        }
        if (token->rstrip) stop = blanks_after(text, stop);
        *match = (struct added_match){token, cursor->start_offset, start, stop};
        /* A pattern that begins inside the blanks an earlier one swallowed is found all the same;
         * there is no plain text before it. */
        if (match->text_start > match->start) match->text_start = match->start;
        cursor->start_offset = stop;
        return true;
    }
    return false;
}
