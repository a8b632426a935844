#include "config/base/hash.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* tokenizer_config.json and special_tokens_map.json, as transformers 5 (TokenizersBackend) reads
 * them: what they name is added to the tokenizer in one call after tokenizer.json was read; a token
 * that is nowhere yet gets the next id, although the model may have no row for it. */

/* The names that every tokenizer has, in the order in which transformers adds their tokens. */
static const struct {
    const char *key;
    int special; /* enum special_token, -1 = nobody asks for it */
} names[] = {
    {"bos_token", SPECIAL_BOS}, {"eos_token", SPECIAL_EOS}, {"unk_token", SPECIAL_UNK},
    {"sep_token", -1},          {"pad_token", SPECIAL_PAD}, {"cls_token", -1},
    {"mask_token", -1},
};
#define N_NAMES (sizeof(names) / sizeof(names[0]))

/* The files, and what is collected from them for one call of the reference's add_tokens. */
struct collected {
    struct tokenizer *t;
    const cJSON *config, *map; /* the map only where it counts */
    struct added_token *tokens;
    uint32_t *slots; /* by content: index + 1, 0 = empty; twice as many as tokens may be */
    size_t n_tokens, cap;
    size_t n_listed, n_named; /* the first ones have ids; those up to n_named are the names' */
};

/* The slot of the token with that content, or the empty one for it. */
static uint32_t *find_slot(const struct collected *c, const char *text, size_t len)
{
    size_t mask = 2 * c->cap - 1;
    size_t i = hash_bytes(text, len, hash_process_seed()) & mask;
    for (; c->slots[i]; i = (i + 1) & mask) {
        const struct added_token *token = &c->tokens[c->slots[i] - 1];
        if (token->content_len == len && !memcmp(token->content, text, len)) break;
    }
    return &c->slots[i];
}

static void index_token(struct collected *c, size_t i)
{
    uint32_t *slot = find_slot(c, c->tokens[i].content, c->tokens[i].content_len);
    if (*slot == 0) *slot = (uint32_t)i + 1;
}

static enum status collect(struct collected *c, const struct added_token *token, struct error *err)
{
    if (c->n_tokens == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 64;
        struct added_token *grown = realloc(c->tokens, cap * sizeof(*grown));
        if (grown) c->tokens = grown;
        uint32_t *slots = calloc(2 * cap, sizeof(*slots));
        if (!grown || !slots) {
            free(slots);
            return error_set(err, STATUS_NO_MEMORY, "out of memory for the added tokens");
        }
        free(c->slots);
        c->slots = slots;
        c->cap = cap;
        for (size_t i = 0; i < c->n_tokens; i++) index_token(c, i);
    }
    c->tokens[c->n_tokens++] = *token;
    index_token(c, c->n_tokens - 1);
    return STATUS_OK;
}

/* A token with flags; what is not special is normalised unless the file says otherwise. */
static enum status read_flags(const cJSON *item, struct added_token *token, struct error *err)
{
    enum status st = added_tokens_read(item, token, err);
    if (st == STATUS_OK && !json_get(item, "normalized")) token->normalized = !token->special;
    return st;
}

static int by_id(const void *a, const void *b)
{
    const struct added_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* "added_tokens_decoder": {"32000": {"content": ..}, ..} or, without it, those of tokenizer.json:
 * all are added again, and special where they are named. */
static enum status collect_listed(struct collected *c, const cJSON *list, struct error *err)
{
    const cJSON *item = NULL;
    enum status st = STATUS_OK;
    for (size_t i = 0; !list && st == STATUS_OK && i < c->t->added.n_tokens; i++) {
        struct added_token token = c->t->added.tokens[i];
        token.special = added_tokens_last_special(&token);
        st = collect(c, &token, err);
    }
    cJSON_ArrayForEach(item, list)
    {
        int64_t id = 0;
        if (!parse_i64(item->string, &id) || id < 0 || id >= LIMIT_VOCAB || !cJSON_IsObject(item))
            return error_set(err, STATUS_CORRUPT, "\"added_tokens_decoder\" has the key \"%.40s\"",
                             item->string);
        struct added_token token;
        st = read_flags(item, &token, err);
        if (st != STATUS_OK) return error_prepend(err, "added_tokens_decoder");
        token.id = (int32_t)id;
        if (token.content_len > 0) st = collect(c, &token, err);
    }
    c->n_listed = c->n_tokens;
    if (c->n_tokens == 0) return st;
    qsort(c->tokens, c->n_tokens, sizeof(*c->tokens), by_id);
    memset(c->slots, 0, 2 * c->cap * sizeof(*c->slots));
    for (size_t i = 0; i < c->n_tokens; i++) index_token(c, i);
    return st;
}

/* A token that a file names: a string, or an object with flags. */
static enum status read_named(const cJSON *item, const char *key, struct added_token *token,
                              struct error *err)
{
    if (cJSON_IsObject(item)) {
        enum status st = read_flags(item, token, err);
        return st == STATUS_OK ? st : error_prepend(err, "%s", key);
    }
    if (!cJSON_IsString(item))
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be a string or have \"content\"", key);
    *token = (struct added_token){.id = -1, .content = item->valuestring};
    token->content_len = strlen(item->valuestring);
    return STATUS_OK;
}

/* A token that is there keeps its flags, but a listed one that is named becomes special.  Others
 * are special if they are plain strings or named; one content may come with several sets of flags. */
static enum status collect_named(struct collected *c, const cJSON *item, const char *key,
                                 bool is_name, struct error *err)
{
    struct added_token token;
    enum status st = read_named(item, key, &token, err);
    if (st != STATUS_OK || token.content_len == 0) return st;
    uint32_t known = c->slots ? *find_slot(c, token.content, token.content_len) : 0;
    if (known > 0 && known <= c->n_listed) {
        c->tokens[known - 1].special |= is_name;
        return STATUS_OK;
    }
    if (added_tokens_by_content(&c->t->added, token.content, token.content_len)) return STATUS_OK;
    bool named = is_name || (known > 0 && known <= c->n_named);
    token.special |= named || !cJSON_IsObject(item);
    st = collect(c, &token, err);
    if (is_name) c->n_named = c->n_tokens;
    return st;
}

/* The value that counts: the map's, even null, before the config's; NULL when there is none. */
static const cJSON *named_item(const struct collected *c, const char *key)
{
    const cJSON *item = json_get(c->map, key);
    if (!item) item = json_get(c->config, key);
    return !item || cJSON_IsNull(item) ? NULL : item;
}

static bool is_other_name(const cJSON *item)
{
    static const char end[] = "_token";
    size_t len = strlen(item->string);
    if (len < sizeof(end) || strcmp(item->string + len - (sizeof(end) - 1), end) != 0) return false;
    for (size_t i = 0; i < N_NAMES; i++)
        if (!strcmp(item->string, names[i].key)) return false;
    return cJSON_IsString(item) || (cJSON_IsObject(item) && json_get(item, "content"));
}

/* Any other "..._token": of the map, then of the config, which has the last word on its value. */
static enum status collect_other_names(struct collected *c, struct error *err)
{
    enum status st = STATUS_OK;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, c->map)
    {
        if (st != STATUS_OK || !is_other_name(item)) continue;
        const cJSON *value = json_get(c->config, item->string);
        if (!cJSON_IsString(value)) value = item;
        st = collect_named(c, value, item->string, true, err);
    }
    cJSON_ArrayForEach(item, c->config)
    {
        if (st == STATUS_OK && is_other_name(item))
            st = collect_named(c, item, item->string, true, err);
    }
    return st;
}

static enum status collect_names(struct collected *c, struct error *err)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        const cJSON *item = named_item(c, names[i].key);
        struct added_token token = {.content = (char *)""};
        enum status st = item ? read_named(item, names[i].key, &token, err) : STATUS_OK;
        if (st == STATUS_OK && item) st = collect_named(c, item, names[i].key, true, err);
        if (st != STATUS_OK) return st;
        if (names[i].special < 0) continue;
        char **text = &c->t->special_text[names[i].special];
        *text = strdup(token.content);
        if (!*text) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    return collect_other_names(c, err);
}

/* A list of extra tokens or an object of names. */
static enum status collect_list(struct collected *c, const cJSON *list, const char *key,
                                struct error *err)
{
    const cJSON *item = NULL;
    if (!list || cJSON_IsNull(list)) return STATUS_OK;
    if (!cJSON_IsArray(list) && !cJSON_IsObject(list))
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be a list or an object", key);
    cJSON_ArrayForEach(item, list)
    {
        enum status st = collect_named(c, item, key, cJSON_IsObject(list), err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* "extra_special_tokens", or by its older name: the config's, then the map's; the map's older name
 * counts only where there is nothing else. */
static enum status collect_extra(struct collected *c, struct error *err)
{
    static const char extra[] = "extra_special_tokens", older[] = "additional_special_tokens";
    const cJSON *of_config = json_get(c->config, extra), *of_map = json_get(c->map, extra);
    if (!of_config) of_config = json_get(c->config, older);
    if (cJSON_IsObject(of_map) && !cJSON_IsObject(of_config)) of_config = NULL;
    enum status st = collect_list(c, of_config, extra, err);
    if (st == STATUS_OK) st = collect_list(c, of_map, extra, err);
    bool nothing_else = !of_map && (!of_config || cJSON_IsObject(of_config));
    return st == STATUS_OK && nothing_else ? collect_list(c, json_get(c->map, older), older, err)
                                           : st;
}

enum status special_tokens_add(struct tokenizer *t, const cJSON *config, const cJSON *map,
                               struct error *err)
{
    const cJSON *list = json_get(config, "added_tokens_decoder");
    if (cJSON_IsNull(list)) list = NULL;
    if (list && !cJSON_IsObject(list))
        return error_set(err, STATUS_CORRUPT, "\"added_tokens_decoder\" must be an object");
    struct collected c = {.t = t, .config = config, .map = list ? NULL : map};
    enum status st = collect_listed(&c, list, err);
    if (st == STATUS_OK) st = collect_names(&c, err);
    if (st == STATUS_OK) st = collect_extra(&c, err);
    added_tokens_begin(t);
    for (size_t i = 0; st == STATUS_OK && i < c.n_tokens; i++)
        st = added_tokens_put(t, &c.tokens[i], err);
    free(c.tokens);
    free(c.slots);
    return st;
}

/* "add_bos_token" and "add_eos_token", where either is given, replace the post-processor. */
static enum status rewrite_postprocessor(struct tokenizer *t, const cJSON *config,
                                         struct error *err)
{
    static const char *const keys[2] = {"add_bos_token", "add_eos_token"};
    bool add[2] = {false, false}, given = false;
    for (int i = 0; i < 2; i++) {
        const cJSON *item = json_get(config, keys[i]);
        enum status st = component_bool(config, keys[i], false, &add[i], err);
        if (st != STATUS_OK) return st;
        given |= item && !cJSON_IsNull(item);
    }
    if (!given) return STATUS_OK;
    struct postprocessor *p = &t->postprocessor;
    p->n_before = p->n_after = 0;
    const int tokens[2] = {SPECIAL_BOS, SPECIAL_EOS};
    for (int i = 0; i < 2; i++) {
        if (!add[i] || !t->special_text[tokens[i]][0]) continue; /* without a token: nothing */
        int32_t id = t->special_id[tokens[i]];
        if (id < 0)
            return error_set(err, STATUS_CORRUPT, "\"%s\" is true, but \"%.80s\" has no id",
                             keys[i], t->special_text[tokens[i]]);
        if (i == 0)
            p->before[p->n_before++] = id;
        else
            p->after[p->n_after++] = id;
    }
    return STATUS_OK;
}

static enum status check_templates(const cJSON *templates, struct error *err)
{
    if (cJSON_IsString(templates)) return STATUS_OK;
    const cJSON *item = NULL;
    bool good = cJSON_IsArray(templates);
    cJSON_ArrayForEach(item, templates) good &=
        cJSON_IsString(json_get(item, "name")) && cJSON_IsString(json_get(item, "template"));
    return good ? STATUS_OK
                : error_set(err, STATUS_CORRUPT,
                            "\"chat_template\" must be a string or a list of {name, template}");
}

enum status special_tokens_apply(struct tokenizer *t, cJSON *config, struct error *err)
{
    for (int i = 0; i < SPECIAL_COUNT; i++)
        t->special_id[i] =
            t->special_text[i][0] ? tokenizer_token_to_id(t, t->special_text[i]) : -1;
    enum status st = rewrite_postprocessor(t, config, err);
    if (st != STATUS_OK) return st;
    const cJSON *templates = json_get(config, "chat_template");
    if (!templates || cJSON_IsNull(templates)) return STATUS_OK;
    st = check_templates(templates, err);
    if (st == STATUS_OK)
        t->templates = cJSON_DetachItemFromObjectCaseSensitive(config, "chat_template");
    return st;
}
