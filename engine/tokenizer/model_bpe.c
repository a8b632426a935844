#include "engine/tokenizer/bpe.h"

#include "config/base/check.h"
#include "config/base/json_reader.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

#define BLANK          "\xE2\x96\x81" /* U+2581, SentencePiece's blank */
#define BLANK_LEN      3
#define AFFIX_SIZE_MAX 64
/* Slots of the cache of words, by the length of the text: a short text repeats little. */
#define CACHE_SLOTS_MAX 8192
#define CACHE_TEXT_MIN  2048

/* --- the table of merges ---------------------------------------------------------------------- */

static size_t first_merge_slot(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key = (key ^ key >> 29) * 0x9E3779B97F4A7C15ull; /* splitmix64's multiplier */
    return (size_t)((key >> 32) * b->n_merge_slots >> 32);
}

static size_t merge_slot(const struct bpe *b, int32_t left, int32_t right)
{
    size_t i = first_merge_slot(b, left, right);
    while (b->merges[i].left >= 0 && (b->merges[i].left != left || b->merges[i].right != right))
        if (++i == b->n_merge_slots) i = 0;
    return i;
}

const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right)
{
    const struct bpe_merge *m = &b->merges[merge_slot(b, left, right)];
    return m->left >= 0 ? m : NULL;
}

static enum status make_merge_table(struct bpe *b, size_t n, struct error *err)
{
    size_t n_slots = n + n / 2 + 16;
    if (n > LIMIT_VOCAB)
        return error_set(err, STATUS_CORRUPT, "there are more than %d merges", LIMIT_VOCAB);
    b->merges = malloc(n_slots * sizeof(*b->merges));
    if (!b->merges) return error_set(err, STATUS_NO_MEMORY, "out of memory for %zu merges", n);
    b->n_merge_slots = n_slots;
    for (size_t i = 0; i < n_slots; i++) b->merges[i].left = -1;
    return STATUS_OK;
}

/* Of two merges of one pair the later counts, as in Hugging Face's table. */
static void put_merges(struct bpe *b, const struct bpe_merge *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = i + WORDS_AHEAD < n ? i + WORDS_AHEAD : i;
        __builtin_prefetch(&b->merges[first_merge_slot(b, list[k].left, list[k].right)], 1);
        b->merges[merge_slot(b, list[i].left, list[i].right)] = list[i];
    }
}

/* --- reading the file ------------------------------------------------------------------------- */

/* One merge as text: "a b" or ["a", "b"]. */
struct merge_reader {
    struct strbuf strings[2], joined;
    int32_t guess;
    struct bpe_merge *list;
    size_t n;
};

/* The two sides of a merge. */
static bool merge_sides(struct merge_reader *m, struct str value, struct str *left,
                        struct str *right)
{
    struct json_reader r;
    json_reader_init(&r, value);
    if (json_enter(&r, '[')) {
        bool pair = json_next_item(&r) && json_value_string(json_value(&r), &m->strings[0], left) &&
                    json_next_item(&r) &&
                    json_value_string(json_value(&r), &m->strings[1], right) && !json_next_item(&r);
        json_reader_free(&r);
        return pair && left->len > 0 && right->len > 0;
    }
    struct str text;
    if (!json_value_string(value, &m->strings[0], &text)) return false;
    const char *blank = memchr(text.data, ' ', text.len), *end = text.data + text.len;
    if (!blank || memchr(blank + 1, ' ', (size_t)(end - blank - 1))) return false;
    *left = (struct str){text.data, (size_t)(blank - text.data)};
    *right = (struct str){blank + 1, (size_t)(end - blank - 1)};
    return left->len > 0 && right->len > 0;
}

/* Merges mostly stand in the order of the tokens that they make: the guess or the one after it. */
static int32_t find_near(const struct vocab *v, int32_t guess, struct str text)
{
    for (int32_t id = guess; id <= guess + 1; id++)
        if (str_eq(vocab_text(v, id), text)) return id;
    return vocab_find(v, text.data, text.len);
}

static enum status missing(uint32_t rank, struct str token, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "merge %u names \"%.*s\", not in the vocabulary", rank,
                     (int)(token.len < 80 ? token.len : 80), token.data);
}

static enum status add_merge(const struct tokenizer *t, struct str value, struct merge_reader *m,
                             struct error *err)
{
    const struct bpe *bpe = t->model_data;
    uint32_t rank = (uint32_t)m->n;
    struct str left = {0}, right = {0};
    if (!merge_sides(m, value, &left, &right))
        return error_set(err, STATUS_CORRUPT, "merge %u is not two tokens", rank);
    int32_t a = vocab_find(&t->vocab, left.data, left.len);
    if (a < 0) return missing(rank, left, err);
    int32_t b = vocab_find(&t->vocab, right.data, right.len);
    if (b < 0) return missing(rank, right, err);
    /* The reference cuts as many bytes off the right side as the prefix has, whatever they are. */
    size_t cut = bpe->prefix ? strlen(bpe->prefix) : 0;
    if (cut > right.len || (cut < right.len && ((uint8_t)right.data[cut] & 0xC0) == 0x80))
        return error_set(err, STATUS_CORRUPT,
                         "the right side of merge %u lacks the continuing_subword_prefix", rank);
    strbuf_clear(&m->joined);
    strbuf_add(&m->joined, left.data, left.len);
    strbuf_add(&m->joined, right.data + cut, right.len - cut);
    if (m->joined.failed) return error_set(err, STATUS_NO_MEMORY, "out of memory for the merges");
    struct str joined = {m->joined.data, m->joined.len};
    int32_t id = find_near(&t->vocab, m->guess, joined);
    if (id < 0) return missing(rank, joined, err);
    m->list[m->n++] = (struct bpe_merge){a, b, rank, id};
    m->guess = id;
    return STATUS_OK;
}

static size_t count_items(struct str text)
{
    size_t n = 0;
    struct json_reader r;
    json_reader_init(&r, text);
    if (json_enter(&r, '['))
        for (; json_next_item(&r); n++) (void)json_value(&r);
    json_reader_free(&r);
    return n;
}

static enum status parse_merges(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct str text = json_raw_text(json);
    struct json_reader r;
    struct merge_reader m = {0};
    size_t n_items = count_items(text);
    enum status st = make_merge_table(t->model_data, n_items, err);
    if (st != STATUS_OK) return st;
    m.list = malloc((n_items + 1) * sizeof(*m.list));
    if (!m.list) return error_set(err, STATUS_NO_MEMORY, "out of memory for the merges");
    json_reader_init(&r, text);
    if (!json_enter(&r, '[')) st = error_set(err, STATUS_CORRUPT, "\"merges\" must be an array");
    while (st == STATUS_OK && m.n < n_items && json_next_item(&r)) {
        struct str value = json_value(&r);
        if (!str_starts_with(value, STR("\"#version"))) st = add_merge(t, value, &m, err);
    }
    if (st == STATUS_OK) put_merges(t->model_data, m.list, m.n);
    json_reader_free(&r);
    strbuf_free(&m.strings[0]);
    strbuf_free(&m.strings[1]);
    strbuf_free(&m.joined);
    free(m.list);
    return st;
}

static enum status parse_affix(const cJSON *json, const char *key, char **out, struct error *err)
{
    const cJSON *affix = json_get(json, key);
    if (!affix || cJSON_IsNull(affix)) return STATUS_OK;
    if (!cJSON_IsString(affix) || strlen(affix->valuestring) > AFFIX_SIZE_MAX)
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be a string of at most %d bytes", key,
                         AFFIX_SIZE_MAX);
    if (!affix->valuestring[0]) return STATUS_OK;
    *out = strdup(affix->valuestring);
    return *out ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
}

static enum status parse_options(const cJSON *json, struct bpe *b, struct error *err)
{
    const cJSON *dropout = json_get(json, "dropout");
    if (dropout && !cJSON_IsNull(dropout) &&
        !(cJSON_IsNumber(dropout) && !(dropout->valuedouble > 0)))
        return error_set(err, STATUS_UNSUPPORTED,
                         "BPE \"dropout\" makes encoding random; it must be null or 0");
    struct bpe_options *o = &b->options;
    o->unk_id = -1;
    enum status st = component_bool(json, "byte_fallback", false, &o->byte_fallback, err);
    if (st == STATUS_OK) st = component_bool(json, "fuse_unk", false, &o->fuse_unk, err);
    if (st == STATUS_OK) st = component_bool(json, "ignore_merges", false, &o->ignore_merges, err);
    if (st == STATUS_OK) st = parse_affix(json, "continuing_subword_prefix", &b->prefix, err);
    if (st == STATUS_OK) st = parse_affix(json, "end_of_word_suffix", &b->suffix, err);
    return st;
}

/* True: every byte has its token <0xNN>. */
static bool find_byte_tokens(struct tokenizer *t)
{
    struct bpe *b = t->model_data;
    bool all = true;
    for (int i = 0; i < 256; i++) {
        static const char hex[] = "0123456789ABCDEF";
        const char byte[] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        b->byte_ids[i] = vocab_find(&t->vocab, byte, sizeof(byte));
        all &= b->byte_ids[i] >= 0;
    }
    return all;
}

static enum status parse_unk(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct bpe *b = t->model_data;
    const cJSON *unk = json_get(json, "unk_token");
    if (!unk || cJSON_IsNull(unk)) return STATUS_OK;
    if (!cJSON_IsString(unk))
        return error_set(err, STATUS_CORRUPT, "\"unk_token\" must be a string or null");
    b->options.unk_id = vocab_find(&t->vocab, unk->valuestring, strlen(unk->valuestring));
    b->unk_missing = b->options.unk_id < 0; /* an error where it is needed, as in the reference */
    return STATUS_OK;
}

static struct bpe *new_model(struct tokenizer *t)
{
    t->model = &model_bpe;
    return t->model_data = calloc(1, sizeof(struct bpe));
}

static enum status parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct bpe *b = new_model(t);
    if (!b) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    enum status st = parse_options(json, b, err);
    if (st == STATUS_OK) st = model_parse_vocab(json_get(json, "vocab"), &t->vocab, err);
    if (st == STATUS_OK) st = parse_merges(json_get(json, "merges"), t, err);
    return st == STATUS_OK ? parse_unk(json, t, err) : st;
}

enum status bpe_create(struct tokenizer *t, const struct bpe_merge *merges, size_t n_merges,
                       const struct bpe_options *options, struct error *err)
{
    struct bpe *b = new_model(t);
    if (!b) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    b->options = *options;
    enum status st = make_merge_table(b, n_merges, err);
    if (st == STATUS_OK) put_merges(b, merges, n_merges);
    return st;
}

static void free_model(void *model_data)
{
    struct bpe *b = model_data;
    if (!b) return;
    free(b->merges);
    free(b->prefix);
    free(b->suffix);
    word_map_free(&b->own_words);
    bpe_cuts_free(&b->cuts);
    free(b);
}

/* --- getting ready: what the pre-tokenizer hands over decides the tables ----------------------- */

/* The bytes that a token's characters stand for; false: one stands for none, so that no text ever
 * has it. */
static bool byte_level_text(struct str token, struct strbuf *out)
{
    strbuf_clear(out);
    for (const char *p = token.data, *end = p + token.len; p < end;) {
        int byte = byte_level_byte(unicode_next(&p));
        if (byte < 0) return false;
        strbuf_add_char(out, (char)byte);
    }
    return true;
}

/* Every byte has a token, so that the bytes need not become characters first. */
static bool find_bytes(struct tokenizer *t)
{
    struct bpe *b = t->model_data;
    struct strbuf character;
    strbuf_init(&character, 0);
    bool all = true;
    for (int i = 0; i < 256 && all; i++) {
        char byte = (char)i;
        strbuf_clear(&character);
        byte_level_add(&character, &byte, 1);
        b->byte_ids[i] = vocab_find(&t->vocab, character.data, character.len);
        all = b->byte_ids[i] >= 0;
    }
    strbuf_free(&character);
    return all;
}

/* The words whose bytes stand for a token, each some tokens after its slot was asked for. */
struct pending_words {
    struct strbuf texts[WORDS_AHEAD];
    int32_t ids[WORDS_AHEAD];
    size_t n_kept, n_added;
};

static bool add_pending(struct pending_words *p, struct word_map *words)
{
    size_t i = p->n_added++ % WORDS_AHEAD;
    bool added;
    return word_map_add(words, (struct str){p->texts[i].data, p->texts[i].len}, p->ids[i], &added);
}

static bool has_blank_inside(struct str text)
{
    size_t at = 0;
    while (text.len - at >= BLANK_LEN && !memcmp(text.data + at, BLANK, BLANK_LEN)) at += BLANK_LEN;
    return memmem(text.data + at, text.len - at, BLANK, BLANK_LEN) != NULL;
}

/* Of each token the lowest rank of a merge that makes it. */
static uint32_t *lowest_ranks(const struct bpe *b, size_t n_ids)
{
    uint32_t *ranks = malloc((n_ids + 1) * sizeof(*ranks));
    for (size_t i = 0; ranks && i < n_ids; i++) ranks[i] = BPE_UNMADE;
    for (size_t i = 0; ranks && i < b->n_merge_slots; i++) {
        const struct bpe_merge *m = &b->merges[i];
        if (m->left >= 0 && m->rank < ranks[m->id]) ranks[m->id] = m->rank;
    }
    return ranks;
}

static bool learn_words(struct tokenizer *t)
{
    struct bpe *b = t->model_data;
    struct pending_words p = {.n_kept = 0};
    uint32_t *ranks = lowest_ranks(b, t->vocab.n_ids);
    bool good = ranks != NULL, blank_inside = false;
    for (size_t id = 0; id < t->vocab.n_ids && good; id++) {
        struct str text = vocab_text(&t->vocab, (int64_t)id);
        if (!text.data || text.len == 0) continue;
        if (b->takes_bytes) {
            if (p.n_kept - p.n_added == WORDS_AHEAD) good = add_pending(&p, &b->own_words);
            struct strbuf *bytes = &p.texts[p.n_kept % WORDS_AHEAD];
            if (!good || !byte_level_text(text, bytes)) continue;
            good = !bytes->failed;
            text = (struct str){bytes->data, bytes->len};
            p.ids[p.n_kept++ % WORDS_AHEAD] = (int32_t)id;
            word_map_prefetch(&b->own_words, text);
        }
        if (b->may_cut) bpe_cuts_learn(&b->cuts, text, ranks[id]);
        blank_inside |= !b->takes_bytes && has_blank_inside(text);
    }
    while (good && p.n_added < p.n_kept) good = add_pending(&p, &b->own_words);
    for (int i = 0; i < WORDS_AHEAD; i++) strbuf_free(&p.texts[i]);
    free(ranks);
    b->cut_at_blanks =
        b->may_cut_at_blanks && !blank_inside && vocab_find(&t->vocab, BLANK, BLANK_LEN) >= 0;
    good = good && (!b->takes_bytes || bpe_find_characters(b, &t->vocab));
    return good;
}

static bool is_substitute(const struct bpe *b, int32_t id, int32_t lowest, int32_t highest)
{
    if (id == b->options.unk_id) return true;
    bool is_byte = false;
    if (!b->options.byte_fallback || id < lowest || id > highest) return false;
    for (int i = 0; i < 256; i++) is_byte |= b->byte_ids[i] == id;
    return is_byte;
}

/* Whether a token that stands for characters other than its text, <0xNN> or unk, is ever merged. */
static bool merges_substitutes(const struct bpe *b)
{
    int32_t lowest = INT32_MAX, highest = -1; /* of the byte tokens, mostly one range */
    for (int i = 0; i < 256; i++) {
        int32_t id = b->byte_ids[i];
        if (id >= 0 && id < lowest) lowest = id;
        if (id > highest) highest = id;
    }
    for (size_t i = 0; i < b->n_merge_slots; i++) {
        const struct bpe_merge *m = &b->merges[i];
        if (m->left >= 0 && (is_substitute(b, m->left, lowest, highest) ||
                             is_substitute(b, m->right, lowest, highest)))
            return true;
    }
    return false;
}

static enum status prepare(struct tokenizer *t, struct error *err)
{
    struct bpe *b = t->model_data;
    bool affixes = b->prefix || b->suffix;
    b->takes_bytes = !affixes && pretokenizer_ends_in_bytes(&t->pretokenizer) && find_bytes(t);
    if (b->takes_bytes) pretokenizer_leave_bytes(&t->pretokenizer);
    /* Where a character may be unknown, a cut could part two that become one unk, or two that meet
     * once it is dropped; and what stands for a character has not its text. */
    bool all_bytes = !b->takes_bytes && find_byte_tokens(t);
    bool all_known = b->takes_bytes || (all_bytes && b->options.byte_fallback);
    bool by_text = !affixes && (b->takes_bytes || !merges_substitutes(b));
    b->may_cut = by_text && all_known;
    b->may_cut_at_blanks = by_text && !b->takes_bytes && !b->options.ignore_merges &&
                           (all_known || b->options.unk_id >= 0 || b->unk_missing);
    b->words = b->takes_bytes ? &b->own_words : &t->vocab.words;
    enum status st = STATUS_OK;
    if (b->takes_bytes) st = word_map_init(&b->own_words, t->vocab.n_tokens, err);
    if (st == STATUS_OK && b->may_cut) st = bpe_cuts_init(&b->cuts, err);
    if (st != STATUS_OK) return st;
    return learn_words(t) ? STATUS_OK
                          : error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
}

/* --- encoding --------------------------------------------------------------------------------- */

static struct bpe_scratch *scratch_of(struct encoder *e)
{
    if (e->model_scratch) return e->model_scratch;
    struct bpe_scratch *s = e->model_scratch = calloc(1, sizeof(*s));
    if (!s || e->text_len < CACHE_TEXT_MIN) return s;
    size_t n_slots = 64;
    while (n_slots < CACHE_SLOTS_MAX && n_slots < e->text_len / 16) n_slots *= 2;
    s->cache = calloc(n_slots, sizeof(*s->cache)); /* without one it only takes longer */
    s->cache_mask = n_slots - 1;
    return s;
}

static void free_scratch(void *scratch)
{
    bpe_scratch_free(scratch);
    free(scratch);
}

static bool push_all(struct encoder *e, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!encoder_push(e, ids[i])) return false;
    return true;
}

static void keep(struct bpe_cached *c, struct word_key key, size_t len, const int32_t *ids,
                 size_t n)
{
    if (n == 0 || n > ARRAY_LEN(c->ids)) return;
    c->key = key;
    c->len = (uint8_t)len;
    c->n_ids = (uint8_t)n;
    memcpy(c->ids, ids, n * sizeof(*ids));
}

/* A word that is merged alone; `token`: its own, if it is one. */
static bool encode_by_merging(struct encoder *e, struct str text, struct word *token)
{
    const struct bpe *b = e->t->model_data;
    struct bpe_scratch *s = scratch_of(e);
    size_t n = 0;
    enum status st = s ? bpe_merge_word(b, s, text, &n) : STATUS_NO_MEMORY;
    if (st != STATUS_OK) return encoder_fail(e, st);
    /* A character by itself was asked already, for all its merges and not only those left here. */
    if (token && atomic_load_explicit(&token->reach, memory_order_relaxed) == REACH_UNKNOWN)
        atomic_store_explicit(&token->reach,
                              n == 1 && s->ids[0] == token->id ? bpe_reach(s->highest) : REACH_NO,
                              memory_order_relaxed);
    return push_all(e, s->ids, n);
}

static bool encode_word(struct encoder *e, struct str text)
{
    const struct bpe *b = e->t->model_data;
    if (text.len > WORD_INLINE_MAX) {
        struct word *token = word_map_find_long(b->words, text);
        if (token && atomic_load_explicit(&token->reach, memory_order_relaxed) >= REACH_YES)
            return encoder_push(e, token->id);
        return encode_by_merging(e, text, token);
    }
    struct word_key key = word_key_of(text);
    uint64_t hash = word_hash(key, text.len, b->words->seed);
    struct word *token = word_map_find_key(b->words, key, text.len, hash);
    if (token && atomic_load_explicit(&token->reach, memory_order_relaxed) >= REACH_YES)
        return encoder_push(e, token->id);
    struct bpe_scratch *s = scratch_of(e);
    if (!s) return encoder_fail(e, STATUS_NO_MEMORY);
    if (!s->cache) return encode_by_merging(e, text, token);
    struct bpe_cached *c = &s->cache[hash >> 20 & s->cache_mask];
    if (c->len == text.len && c->key.a == key.a && c->key.b == key.b)
        return push_all(e, c->ids, c->n_ids);
    size_t before = e->out->len;
    if (!encode_by_merging(e, text, token)) return false;
    keep(c, key, text.len, e->out->ids + before, e->out->len - before);
    return true;
}

/* Long pieces are cut where no merge can happen, which leaves short words that are mostly known. */
static bool encode_parts(struct encoder *e, struct str text)
{
    const struct bpe *b = e->t->model_data;
    if (!b->may_cut || text.len <= WORD_INLINE_MAX / 2) return encode_word(e, text);
    while (text.len > 0) {
        struct str part = {text.data, bpe_cuts_first(&b->cuts, text)};
        if (!encode_word(e, part)) return false;
        text.data += part.len;
        text.len -= part.len;
    }
    return true;
}

static bool encode_piece(struct encoder *e, struct str text)
{
    const struct bpe *b = e->t->model_data;
    /* What can be cut is no token: neighbours in a token are never parted. */
    if (text.len > WORD_INLINE_MAX && b->may_cut && bpe_cuts_first(&b->cuts, text) < text.len)
        return encode_parts(e, text);
    const struct word *token = word_map_find(b->words, text);
    if (token && (b->options.ignore_merges ||
                  atomic_load_explicit(&token->reach, memory_order_relaxed) >= REACH_YES))
        return encoder_push(e, token->id);
    return token ? encode_word(e, text) : encode_parts(e, text);
}

static bool encode(struct encoder *e, struct str text)
{
    const struct bpe *b = e->t->model_data;
    if (!b->cut_at_blanks) return encode_piece(e, text);
    while (text.len > 0) {
        size_t len = 0; /* the blanks, then everything up to the next blank */
        while (text.len - len >= BLANK_LEN && !memcmp(text.data + len, BLANK, BLANK_LEN))
            len += BLANK_LEN;
        const char *blank = memmem(text.data + len, text.len - len, BLANK, BLANK_LEN);
        len = blank ? (size_t)(blank - text.data) : text.len;
        if (!encode_piece(e, (struct str){text.data, len})) return false;
        text.data += len;
        text.len -= len;
    }
    return true;
}

const struct model_kind model_bpe = {"BPE", parse, free_model, encode, free_scratch, prepare};
