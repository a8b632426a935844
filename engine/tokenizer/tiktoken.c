#include "engine/tokenizer/tiktoken.h"

#include "config/base/hash.h"
#include "config/limits.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A token's text in the vocabulary is GPT-2's spelling of its bytes, as in tokenizer.json; two
 * tokens merge when their bytes together are a token, in the order of its rank. */

/* Published tokens have up to 128 bytes.  The bound keeps the search for merges, which tries every
 * split of a token, from being long. */
#define TOKEN_SIZE_MAX 1024

struct rank { /* one line */
    uint32_t offset, size;
    int32_t id;
};
struct ranks {
    struct strbuf bytes; /* of all tokens */
    struct rank *list;
    size_t n, cap;
    int32_t highest_id;
    /* By bytes: index + 1 of the token, 0 = empty, and a part of the hash. */
    struct slot {
        uint32_t tag, index;
    } * slots;
    size_t slot_mask;
    uint64_t seed;
};

static void free_ranks(struct ranks *r)
{
    strbuf_free(&r->bytes);
    free(r->list);
    free(r->slots);
}

/* --- the lines ----------------------------------------------------------------------------------------- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Groups of four, the last one padded. */
static bool decode_base64(struct str text, struct strbuf *out)
{
    if (text.len == 0 || text.len % 4 != 0) return false;
    size_t padding = 0;
    while (padding < 2 && text.data[text.len - 1 - padding] == '=') padding++;
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t group = 0;
        size_t n_bytes = i + 4 == text.len ? 3 - padding : 3;
        for (size_t k = 0; k < 4; k++) {
            int value = k > n_bytes ? 0 : base64_value(text.data[i + k]);
            if (value < 0) return false;
            group = group << 6 | (uint32_t)value;
        }
        for (size_t k = 0; k < n_bytes; k++) strbuf_add_char(out, (char)(group >> (16 - 8 * k)));
    }
    return true;
}

static bool parse_rank(struct str text, int32_t *out)
{
    int32_t value = 0;
    if (text.len == 0) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = value * 10 + (text.data[i] - '0');
        if (value >= LIMIT_VOCAB) return false;
    }
    *out = value;
    return true;
}

static enum status add_line(struct ranks *r, struct str line, struct error *err)
{
    const char *blank = memchr(line.data, ' ', line.len);
    if (!blank) return error_set(err, STATUS_CORRUPT, "not \"base64 rank\"");
    size_t base64_len = (size_t)(blank - line.data), before = r->bytes.len;
    struct rank rank = {.offset = (uint32_t)before};
    if (!decode_base64((struct str){line.data, base64_len}, &r->bytes))
        return error_set(err, STATUS_CORRUPT, "the token is not base64");
    size_t size = r->bytes.len - before;
    if (r->bytes.failed) return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokens");
    if (size > TOKEN_SIZE_MAX)
        return error_set(err, STATUS_CORRUPT, "the token has %zu bytes; at most %d are taken", size,
                         TOKEN_SIZE_MAX);
    if (!parse_rank((struct str){blank + 1, line.len - base64_len - 1}, &rank.id))
        return error_set(err, STATUS_CORRUPT, "the rank must be a number below %d", LIMIT_VOCAB);
    rank.size = (uint32_t)size;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 65536;
        struct rank *list = realloc(r->list, cap * sizeof(*list));
        if (!list) return error_set(err, STATUS_NO_MEMORY, "out of memory for the ranks");
        r->list = list;
        r->cap = cap;
    }
    r->list[r->n++] = rank;
    if (rank.id > r->highest_id) r->highest_id = rank.id;
    return STATUS_OK;
}

static enum status read_lines(struct ranks *r, struct str file, struct error *err)
{
    const char *at = file.data, *end = at + file.len;
    for (size_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        struct str line = {at, (size_t)(stop - at)};
        if (line.len > 0 && line.data[line.len - 1] == '\r') line.len--;
        if (line.len > 0 && add_line(r, line, err) != STATUS_OK)
            return error_prepend(err, "line %zu", number);
        at = newline ? newline + 1 : end;
    }
    return r->n > 0 ? STATUS_OK : error_set(err, STATUS_CORRUPT, "the file has no ranks");
}

/* --- tokens by their bytes --------------------------------------------------------------------------------- */

static struct str rank_bytes(const struct ranks *r, const struct rank *rank)
{
    return (struct str){r->bytes.data + rank->offset, rank->size};
}

/* The slot with the bytes, or the empty one where they would go. */
static struct slot *find_slot(const struct ranks *r, const char *bytes, size_t size, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    size_t i = hash & r->slot_mask;
    for (; r->slots[i].index; i = (i + 1) & r->slot_mask) {
        if (r->slots[i].tag != tag) continue;
        struct str other = rank_bytes(r, &r->list[r->slots[i].index - 1]);
        if (other.len == size && !memcmp(other.data, bytes, size)) break;
    }
    return &r->slots[i];
}

static const struct rank *find_rank(const struct ranks *r, const char *bytes, size_t size)
{
    const struct slot *slot = find_slot(r, bytes, size, hash_bytes(bytes, size, r->seed));
    return slot->index ? &r->list[slot->index - 1] : NULL;
}

static enum status index_ranks(struct ranks *r, struct error *err)
{
    size_t n_slots = 1024;
    while (n_slots < 2 * r->n) n_slots *= 2;
    r->slots = calloc(n_slots, sizeof(*r->slots));
    if (!r->slots) return error_set(err, STATUS_NO_MEMORY, "out of memory for the ranks");
    r->slot_mask = n_slots - 1;
    r->seed = hash_process_seed();
    for (size_t i = 0; i < r->n; i++) {
        struct str bytes = rank_bytes(r, &r->list[i]);
        uint64_t hash = hash_bytes(bytes.data, bytes.len, r->seed);
        struct slot *slot = find_slot(r, bytes.data, bytes.len, hash);
        if (slot->index)
            return error_set(err, STATUS_CORRUPT, "the ranks %d and %d are of the same token",
                             r->list[slot->index - 1].id, r->list[i].id);
        *slot = (struct slot){(uint32_t)(hash >> 32), (uint32_t)i + 1};
    }
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        if (!find_rank(r, &byte, 1))
            return error_set(err, STATUS_CORRUPT, "there is no token for the byte 0x%02X", i);
    }
    return STATUS_OK;
}

/* --- the model ------------------------------------------------------------------------------------------------ */

struct merges {
    struct bpe_merge *list;
    size_t n, cap;
};

static enum status add_merge(struct merges *m, const struct rank *left, const struct rank *right,
                             int32_t id, struct error *err)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 65536;
        struct bpe_merge *grown =
            m->n < LIMIT_VOCAB ? realloc(m->list, cap * sizeof(*grown)) : NULL;
        if (!grown)
            return error_set(err, STATUS_NO_MEMORY, "no memory for more than %zu merges", m->n);
        m->list = grown;
        m->cap = cap;
    }
    m->list[m->n++] = (struct bpe_merge){left->id, right->id, (uint32_t)id, id};
    return STATUS_OK;
}

static enum status add_merges(const struct ranks *r, struct tokenizer *t, struct error *err)
{
    struct merges merges = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < r->n; i++) {
        struct str bytes = rank_bytes(r, &r->list[i]);
        for (size_t at = 1; st == STATUS_OK && at < bytes.len; at++) {
            const struct rank *left = find_rank(r, bytes.data, at);
            if (!left) continue;
            const struct rank *right = find_rank(r, bytes.data + at, bytes.len - at);
            if (right) st = add_merge(&merges, left, right, r->list[i].id, err);
        }
    }
    struct bpe_options options = {.unk_id = -1, .ignore_merges = true};
    if (st == STATUS_OK) st = bpe_create(t, merges.list, merges.n, &options, err);
    free(merges.list);
    return st;
}

static enum status add_rank_texts(const struct ranks *r, struct tokenizer *t, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, 0);
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < r->n; i++) {
        struct str bytes = rank_bytes(r, &r->list[i]);
        strbuf_clear(&text);
        byte_level_add(&text, bytes.data, bytes.len);
        st = text.failed ? error_set(err, STATUS_NO_MEMORY, "out of memory for the tokens")
                         : vocab_add(&t->vocab, r->list[i].id, text.data, text.len, err);
    }
    strbuf_free(&text);
    return st;
}

/* --- special tokens ---------------------------------------------------------------------------------------------- */

struct special {
    int32_t id;
    char *text;
    bool is_special;
};
struct specials {
    struct special *list;
    size_t n, cap;
};

static void free_specials(struct specials *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->list[i].text);
    free(s->list);
}

static enum status add_special(struct specials *s, int64_t id, const char *text, bool is_special,
                               struct error *err)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 256;
        struct special *list = realloc(s->list, cap * sizeof(*list));
        if (!list) return error_set(err, STATUS_NO_MEMORY, "out of memory for special tokens");
        s->list = list;
        s->cap = cap;
    }
    if (id < 0 || id >= LIMIT_VOCAB)
        return error_set(err, STATUS_CORRUPT, "the special token \"%.80s\" has the id %lld", text,
                         (long long)id);
    s->list[s->n] = (struct special){(int32_t)id, strdup(text), is_special};
    if (!s->list[s->n].text)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for special tokens");
    s->n++;
    return STATUS_OK;
}

/* "added_tokens_decoder": {"163584": {"content": "[BOS]", ..}, ..} */
static enum status configured_specials(const cJSON *list, struct specials *out, struct error *err)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        int64_t id = 0;
        bool is_special = true;
        const char *text = cJSON_GetStringValue(json_get(item, "content"));
        if (!cJSON_IsObject(item) || !text || !text[0] || !parse_i64(item->string, &id))
            return error_set(err, STATUS_CORRUPT, "\"added_tokens_decoder\" has the key \"%.40s\"",
                             item->string);
        enum status st = component_bool(item, "special", false, &is_special, err);
        if (st == STATUS_OK) st = add_special(out, id, text, is_special, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static enum status published_specials(const struct tiktoken_family *f, int32_t first_id,
                                      struct specials *out, struct error *err)
{
    char text[128];
    for (size_t i = 0; i < f->n_specials; i++) {
        const struct tiktoken_special *s = &f->specials[i];
        int64_t id = s->id + (f->relative ? first_id : 0);
        for (int k = 0; k < (s->count ? s->count : 1); k++) {
            if (s->count)
                snprintf(text, sizeof(text), "%s%d%s", s->prefix, s->first_number + k, s->suffix);
            else
                snprintf(text, sizeof(text), "%s", s->prefix);
            enum status st = add_special(out, id + k, text, true, err);
            if (st != STATUS_OK) return st;
        }
    }
    return STATUS_OK;
}

static enum status reserved_specials(const struct tiktoken_family *f, int32_t first_id,
                                     struct specials *out, struct error *err)
{
    char text[64];
    size_t n_named = out->n;
    enum status st = STATUS_OK;
    for (int k = 0; st == STATUS_OK && k < f->n_reserved; k++) {
        bool named = false;
        for (size_t i = 0; i < n_named && !named; i++) named = out->list[i].id == first_id + k;
        if (named) continue;
        snprintf(text, sizeof(text), "<|reserved_token_%d|>", first_id + k);
        st = add_special(out, (int64_t)first_id + k, text, true, err);
    }
    return st;
}

static enum status list_specials(const struct tiktoken_family *f, const cJSON *config,
                                 int32_t first_id, struct specials *out, struct error *err)
{
    const cJSON *named = json_get(config, "added_tokens_decoder");
    enum status st = cJSON_IsObject(named) ? configured_specials(named, out, err)
                                           : published_specials(f, first_id, out, err);
    return st == STATUS_OK ? reserved_specials(f, first_id, out, err) : st;
}

/* They stand in the vocabulary too, so that their ids may leave holes, as published ones do. */
static enum status put_specials(const struct specials *s, struct tokenizer *t, struct error *err)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < s->n; i++) {
        struct special *special = &s->list[i];
        size_t len = strlen(special->text);
        if (vocab_find(&t->vocab, special->text, len) != special->id)
            st = vocab_add(&t->vocab, special->id, special->text, len, err);
    }
    if (st == STATUS_OK) st = tokenizer_reserve_ids(t, err);
    for (size_t i = 0; st == STATUS_OK && i < s->n; i++) {
        struct added_token token = {.id = s->list[i].id,
                                    .content = s->list[i].text,
                                    .content_len = strlen(s->list[i].text),
                                    .special = s->list[i].is_special};
        st = added_tokens_put(t, &token, err);
    }
    return st == STATUS_OK ? st : error_prepend(err, "special tokens");
}

/* --- the other parts ---------------------------------------------------------------------------------------------- */

static enum status parse_text(const char *text, size_t len, cJSON **out, struct error *err)
{
    return text ? json_parse(text, len, NULL, out, err)
                : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static enum status add_pretokenizer(const struct tiktoken_family *f, struct tokenizer *t,
                                    struct error *err)
{
    struct strbuf text;
    cJSON *json = NULL;
    strbuf_init(&text, 0);
    strbuf_add_str(&text, "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                          "\"pattern\":{\"Regex\":");
    strbuf_add_json(&text, f->pattern, strlen(f->pattern));
    strbuf_add_str(&text, "},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
                          "\"add_prefix_space\":false,\"use_regex\":false}]}");
    enum status st = parse_text(text.failed ? NULL : text.data, text.len, &json, err);
    if (st == STATUS_OK) st = pretokenizer_parse(json, &t->pretokenizer, err);
    cJSON_Delete(json);
    strbuf_free(&text);
    return st;
}

static enum status add_constant_parts(const struct tiktoken_family *f, struct tokenizer *t,
                                      struct error *err)
{
    static const char decoder[] = "{\"type\":\"ByteLevel\"}", nfc[] = "{\"type\":\"NFC\"}";
    cJSON *json = NULL;
    enum status st = parse_text(decoder, sizeof(decoder) - 1, &json, err);
    if (st == STATUS_OK) st = decoder_parse(json, &t->decoder, err);
    cJSON_Delete(json);
    json = NULL;
    if (st != STATUS_OK || !f->nfc) return st;
    st = parse_text(nfc, sizeof(nfc) - 1, &json, err);
    if (st == STATUS_OK) st = normalizer_parse(json, &t->normalizer, err);
    cJSON_Delete(json);
    return st;
}

static enum status add_before(const struct tiktoken_family *f, struct tokenizer *t,
                              struct error *err)
{
    struct postprocessor *p = &t->postprocessor;
    for (int i = 0; i < 3 && f->before[i]; i++) {
        int32_t id = tokenizer_token_to_id(t, f->before[i]);
        if (id < 0)
            return error_set(err, STATUS_CORRUPT,
                             "%s puts %s before every text, but \"added_tokens_decoder\" lacks it",
                             f->name, f->before[i]);
        p->before[p->n_before++] = id;
    }
    return STATUS_OK;
}

bool tiktoken_is_rank_file(struct str file)
{
    return file.len > 0 && base64_value(file.data[0]) >= 0;
}

enum status tiktoken_create(struct str file, const char *name, const struct token_files *files,
                            struct tokenizer *t, struct error *err)
{
    const cJSON *config = files->config;
    struct ranks ranks = {.highest_id = -1};
    struct specials specials = {0};
    const struct tiktoken_family *family = NULL;
    strbuf_init(&ranks.bytes, LIMIT_JSON_SIZE);
    enum status st = read_lines(&ranks, file, err);
    if (st == STATUS_OK) st = index_ranks(&ranks, err);
    if (st == STATUS_OK) st = tiktoken_family_find(name, ranks.n, config, &family, err);
    if (st == STATUS_OK && !files->any_rank_count)
        st = tiktoken_family_check_count(family, ranks.n, err);
    if (st == STATUS_OK) st = list_specials(family, config, ranks.highest_id + 1, &specials, err);
    int32_t highest = ranks.highest_id;
    for (size_t i = 0; i < specials.n; i++)
        if (specials.list[i].id > highest) highest = specials.list[i].id;
    size_t n_ids = (size_t)highest + 1, n_tokens = ranks.n + specials.n;
    if (n_tokens > n_ids) n_tokens = n_ids; /* some id is used twice: adding it says which */
    if (st == STATUS_OK) st = vocab_init(&t->vocab, n_ids, n_tokens, err);
    if (st == STATUS_OK) st = add_rank_texts(&ranks, t, err);
    if (st == STATUS_OK) st = add_merges(&ranks, t, err);
    if (st == STATUS_OK) st = put_specials(&specials, t, err);
    if (st == STATUS_OK) st = add_pretokenizer(family, t, err);
    if (st == STATUS_OK) st = add_constant_parts(family, t, err);
    if (st == STATUS_OK) st = add_before(family, t, err);
    free_ranks(&ranks);
    free_specials(&specials);
    return st;
}

/* A special token in the vocabulary could be a word of plain text, which must never become it. */
enum status tiktoken_check(const struct tokenizer *t, struct error *err)
{
    struct token_vec ids = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < t->added.n_tokens; i++) {
        const struct added_token *token = &t->added.tokens[i];
        ids.len = 0;
        if (!token->special) continue;
        st = tokenizer_encode(t, token->content, token->content_len, false, false, 0, &ids, err);
        if (st == STATUS_OK && ids.len == 1 && ids.ids[0] == token->id)
            st = error_set(err, STATUS_UNSUPPORTED,
                           "the special token \"%.80s\" cannot be told from a word of the text",
                           token->content);
    }
    token_vec_free(&ids);
    return st;
}
