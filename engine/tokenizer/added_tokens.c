#include "config/base/hash.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* Longer contents would make the windows of the search long. */
#define CONTENT_SIZE_MAX    1024
#define NORMALIZED_SIZE_MAX 65536 /* of such a content */
#define PATTERN_SIZE_MAX    (4 * CONTENT_SIZE_MAX)

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

void added_tokens_begin(struct tokenizer *t)
{
    struct added_tokens *a = &t->added;
    /* The reference counts the entries of a list, but the words of a map. */
    int32_t n = (int32_t)(t->model == &model_unigram ? t->vocab.n_ids : t->vocab.n_tokens);
    a->batch++;
    a->next_id = n;
    if (a->n_tokens > 0 && (a->highest_id >= n || n == 0)) a->next_id = a->highest_id + 1;
}

/* The token's id, checked against the one the file gives; -1: refused. */
static int32_t assign_id(const struct tokenizer *t, const struct added_token *token,
                         const struct added_token *known, struct error *err)
{
    int32_t id = known ? known->id : vocab_find(&t->vocab, token->content, token->content_len);
    if (id >= 0 && token->id >= 0 && id != token->id) {
        error_set(err, STATUS_CORRUPT, "the added token \"%.80s\" has the id %d, but also %d",
                  token->content, token->id, id);
        return -1;
    }
    if (id >= 0) return id;
    id = t->added.next_id;
    if (token->id >= 0 && token->id != id) {
        error_set(err, STATUS_CORRUPT,
                  "the added token \"%.80s\" has the id %d where %d would come next",
                  token->content, token->id, id);
        return -1;
    }
    if (vocab_has(&t->vocab, id) || ((size_t)id < t->n_ids && t->added_of_id[id] >= 0)) {
        error_set(err, STATUS_CORRUPT,
                  "the id %d of the added token \"%.80s\" belongs to another token", id,
                  token->content);
        return -1;
    }
    if (id >= LIMIT_VOCAB) {
        error_set(err, STATUS_CORRUPT, "the vocabulary has more than %d ids", LIMIT_VOCAB);
        return -1;
    }
    return id;
}

static enum status put_new(struct tokenizer *t, const struct added_token *token, int32_t id,
                           struct added_token **known, struct error *err)
{
    struct added_tokens *a = &t->added;
    char *content = strdup(token->content);
    if (!content || !reserve(t, id)) {
        free(content);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the added tokens");
    }
    *known = &a->tokens[a->n_tokens];
    **known = (struct added_token){.id = id, .content_len = token->content_len};
    (*known)->content = content;
    a->slots[find_slot(a, content, token->content_len)] = (uint32_t)a->n_tokens + 1;
    if (id == a->next_id && !vocab_has(&t->vocab, id)) a->next_id++;
    if (a->n_tokens == 0 || id > a->highest_id) a->highest_id = id;
    t->added_of_id[id] = (int32_t)a->n_tokens++;
    return STATUS_OK;
}

static uint32_t flags_bit(const struct added_token *token)
{
    return 1u << (token->special << 4 | token->normalized << 3 | token->lstrip << 2 |
                  token->rstrip << 1 | token->single_word);
}

bool added_tokens_last_special(const struct added_token *token)
{
    return (token->flags >> 16) != 0; /* the bits of all sets with `special` */
}

enum status added_tokens_put(struct tokenizer *t, const struct added_token *token,
                             struct error *err)
{
    struct added_tokens *a = &t->added;
    if (a->batch == 0) added_tokens_begin(t);
    struct added_token *known = added_tokens_by_content(a, token->content, token->content_len);
    int32_t id = assign_id(t, token, known, err);
    if (id < 0) return STATUS_CORRUPT;
    uint8_t search = token->normalized ? SEARCH_NORMALIZED : SEARCH_RAW;
    if (!known) {
        enum status st = put_new(t, token, id, &known, err);
        if (st != STATUS_OK) return st;
        known->batch = a->batch;
    } else if (known->batch != a->batch) {
        known->batch = a->batch;
        known->searches_before = known->searches;
        known->seen = known->flags;
    }
    if (token->special && !known->special) {
        known->special = true;
        known->searches = known->searches_before | search;
    }
    if (known->seen & flags_bit(token)) return STATUS_OK;
    known->flags = flags_bit(token);
    known->seen |= known->flags;
    known->normalized = token->normalized;
    known->lstrip = token->lstrip;
    known->rstrip = token->rstrip;
    known->single_word = token->single_word;
    if (!known->special) known->searches |= search;
    return STATUS_OK;
}

enum status added_tokens_read(const cJSON *json, struct added_token *token, struct error *err)
{
    const char *content = NULL;
    enum status st = component_string(json, "content", &content, err);
    if (st != STATUS_OK) return st;
    *token = (struct added_token){.id = -1, .content = (char *)content}; /* copied by put */
    token->content_len = strlen(content);
    if (token->content_len > CONTENT_SIZE_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "an added token is longer than %d bytes",
                         CONTENT_SIZE_MAX);
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"special", &token->special},
                 {"normalized", &token->normalized},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"single_word", &token->single_word}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        st = component_bool(json, flags[i].key, false, flags[i].flag, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

enum status added_tokens_parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!json || cJSON_IsNull(json)) return STATUS_OK;
    if (!cJSON_IsArray(json))
        return error_set(err, STATUS_CORRUPT, "\"added_tokens\" must be an array");
    const cJSON *item = NULL;
    added_tokens_begin(t);
    cJSON_ArrayForEach(item, json)
    {
        if (!cJSON_IsObject(item))
            return error_set(err, STATUS_CORRUPT, "\"added_tokens\" must hold objects");
        int64_t id = 0;
        if (!json_as_i64(json_get(item, "id"), 0, LIMIT_VOCAB - 1, &id))
            return error_set(err, STATUS_CORRUPT,
                             "the id of an added token must be an integer from 0 to %d",
                             LIMIT_VOCAB - 1);
        struct added_token token;
        enum status st = added_tokens_read(item, &token, err);
        token.id = (int32_t)id;
        if (st == STATUS_OK && token.content_len > 0) st = added_tokens_put(t, &token, err);
        if (st != STATUS_OK) return error_prepend(err, "added_tokens");
    }
    return STATUS_OK;
}

void added_tokens_free(struct added_tokens *a)
{
    for (size_t i = 0; i < a->n_tokens; i++) {
        free(a->tokens[i].content);
    }
    free(a->tokens);
    free(a->slots);
    matcher_free(&a->raw);
    matcher_free(&a->normalized);
    *a = (struct added_tokens){0};
}

/* --- what is searched for ------------------------------------------------------------------------ */

static enum status build_pattern(struct tokenizer *t, struct regex_scratch *scratch,
                                 struct strbuf buffers[2], size_t i, struct error *err)
{
    struct added_tokens *a = &t->added;
    struct added_token *token = &a->tokens[i];
    struct str content = {token->content, token->content_len}, pattern = content;
    bool moved = false;
    enum status st = STATUS_OK;
    if (token->searches & SEARCH_RAW) st = matcher_add(&a->raw, content, (int32_t)i);
    if (st != STATUS_OK || !(token->searches & SEARCH_NORMALIZED)) return st;
    st = normalizer_run(&t->normalizer, scratch, buffers, pattern, &pattern, &moved);
    if (st != STATUS_OK) return st;
    if (pattern.len == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "nothing is left of the added token \"%.80s\" when it is normalised",
                         token->content);
    if (pattern.len > PATTERN_SIZE_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the added token \"%.80s\" is longer than %d bytes when it is normalised",
                         token->content, PATTERN_SIZE_MAX);
    return matcher_add(&a->normalized, pattern, (int32_t)i);
}

enum status added_tokens_build(struct tokenizer *t, struct error *err)
{
    struct added_tokens *a = &t->added;
    struct regex_scratch scratch = {0};
    struct strbuf buffers[2];
    struct error why = {0};
    strbuf_init(&buffers[0], NORMALIZED_SIZE_MAX);
    strbuf_init(&buffers[1], NORMALIZED_SIZE_MAX);
    enum status st = STATUS_OK;
    /* Of tokens that normalise to the same text the first counts, special ones first. */
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < a->n_tokens && st == STATUS_OK; i++)
            if (a->tokens[i].special == special) st = build_pattern(t, &scratch, buffers, i, &why);
    if (st == STATUS_OK) st = matcher_finish(&a->raw);
    if (st == STATUS_OK) st = matcher_finish(&a->normalized);
    regex_scratch_free(&scratch);
    strbuf_free(&buffers[0]);
    strbuf_free(&buffers[1]);
    if (st == STATUS_OK) return st;
    if (!why.message[0]) return error_set(err, st, "the added tokens cannot be searched for");
    return error_set(err, st, "%s", why.message);
}
