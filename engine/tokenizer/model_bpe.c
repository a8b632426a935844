#include "engine/tokenizer/bpe.h"

#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* Byte pair encoding (Sennrich, Haddow, Birch, "Neural machine translation of rare words with
 * subword units", 2016): start from characters, merge the adjacent pair of the lowest rank, the
 * leftmost of equals, until no pair can merge. */

#define BLANK     "\xE2\x96\x81" /* U+2581, SentencePiece's blank */
#define BLANK_LEN 3

/* --- the table of merges --------------------------------------------------------------------------- */

static size_t merge_slot(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key = (key ^ key >> 29) * 0x9E3779B97F4A7C15ull; /* splitmix64's multiplier */
    size_t i = (key ^ key >> 32) & b->merge_mask;
    while (b->merges[i].left >= 0 && (b->merges[i].left != left || b->merges[i].right != right))
        i = (i + 1) & b->merge_mask;
    return i;
}

const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right)
{
    const struct bpe_merge *m = &b->merges[merge_slot(b, left, right)];
    return m->left >= 0 ? m : NULL;
}

/* --- reading the file -------------------------------------------------------------------------------- */

/* The two sides of a merge: "a b" or ["a", "b"]. */
static bool merge_sides(const cJSON *item, struct str *left, struct str *right)
{
    if (cJSON_IsString(item)) {
        const char *text = item->valuestring, *blank = strchr(text, ' ');
        if (!blank || strchr(blank + 1, ' ')) return false;
        *left = (struct str){text, (size_t)(blank - text)};
        *right = str_from(blank + 1);
    } else {
        const cJSON *a = cJSON_IsArray(item) ? item->child : NULL, *b = a ? a->next : NULL;
        if (!a || !b || !cJSON_IsString(a) || !cJSON_IsString(b) || b->next) return false;
        *left = str_from(a->valuestring);
        *right = str_from(b->valuestring);
    }
    return left->len > 0 && right->len > 0;
}

static enum status add_merge(struct tokenizer *t, const cJSON *item, uint32_t rank,
                             struct strbuf *joined, struct error *err)
{
    struct bpe *bpe = t->model_data;
    struct str left = {0}, right = {0};
    if (!merge_sides(item, &left, &right))
        return error_set(err, STATUS_CORRUPT, "merge %u is not two tokens", rank);
    strbuf_clear(joined);
    strbuf_add(joined, left.data, left.len);
    strbuf_add(joined, right.data, right.len);
    if (joined->failed) return error_set(err, STATUS_NO_MEMORY, "out of memory for the merges");
    int32_t a = vocab_find(&t->vocab, left.data, left.len);
    int32_t b = vocab_find(&t->vocab, right.data, right.len);
    int32_t id = vocab_find(&t->vocab, joined->data, joined->len);
    if (a < 0 || b < 0 || id < 0)
        return error_set(err, STATUS_CORRUPT, "merge %u names \"%.80s\", not in the vocabulary",
                         rank,
                         a < 0   ? left.data
                         : b < 0 ? right.data
                                 : joined->data);
    /* Of two merges of one pair the later counts, as in Hugging Face's table. */
    bpe->merges[merge_slot(bpe, a, b)] = (struct bpe_merge){a, b, rank, id};
    return STATUS_OK;
}

static enum status parse_merges(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct bpe *b = t->model_data;
    const cJSON *item = NULL;
    size_t n = 0, n_slots = 16;
    if (!cJSON_IsArray(json)) return error_set(err, STATUS_CORRUPT, "\"merges\" must be an array");
    cJSON_ArrayForEach(item, json) n++;
    if (n > LIMIT_VOCAB)
        return error_set(err, STATUS_CORRUPT, "there are more than %d merges", LIMIT_VOCAB);
    while (n_slots < 2 * n) n_slots *= 2;
    b->merges = malloc(n_slots * sizeof(*b->merges));
    if (!b->merges) return error_set(err, STATUS_NO_MEMORY, "out of memory for %zu merges", n);
    b->merge_mask = n_slots - 1;
    for (size_t i = 0; i < n_slots; i++) b->merges[i].left = -1;

    struct strbuf joined;
    strbuf_init(&joined, 0);
    enum status st = STATUS_OK;
    uint32_t rank = 0;
    cJSON_ArrayForEach(item, json)
    {
        if (cJSON_IsString(item) && !strncmp(item->valuestring, "#version", 8)) continue;
        st = add_merge(t, item, rank++, &joined, err);
        if (st != STATUS_OK) break;
    }
    strbuf_free(&joined);
    return st;
}

static enum status parse_options(const cJSON *json, struct tokenizer *t, struct error *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    struct bpe *b = t->model_data;
    const cJSON *dropout = json_get(json, "dropout");
    if (dropout && !cJSON_IsNull(dropout) &&
        !(cJSON_IsNumber(dropout) && !(dropout->valuedouble > 0)))
        return error_set(err, STATUS_UNSUPPORTED,
                         "BPE \"dropout\" makes encoding random; it must be null or 0");
    for (int i = 0; i < 2; i++) {
        const cJSON *affix = json_get(json, affixes[i]);
        if (!affix || cJSON_IsNull(affix)) continue;
        if (!cJSON_IsString(affix) || affix->valuestring[0])
            return error_set(err, STATUS_UNSUPPORTED, "BPE \"%s\" must be null or empty",
                             affixes[i]);
    }
    enum status st = component_bool(json, "byte_fallback", false, &b->byte_fallback, err);
    if (st == STATUS_OK) st = component_bool(json, "fuse_unk", false, &b->fuse_unk, err);
    if (st == STATUS_OK) st = component_bool(json, "ignore_merges", false, &b->ignore_merges, err);
    return st;
}

/* The tables that answer for single characters; they need the vocabulary. */
static enum status find_characters(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct bpe *b = t->model_data;
    bool all_bytes = b->byte_fallback;
    char text[8];
    for (int i = 0; i < 256; i++) {
        static const char hex[] = "0123456789ABCDEF";
        const char byte[] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        b->byte_ids[i] = vocab_find(&t->vocab, byte, sizeof(byte));
        all_bytes &= b->byte_ids[i] >= 0;
    }
    for (uint32_t cp = 0; cp < BPE_DIRECT; cp++)
        b->direct[cp] = vocab_find(&t->vocab, text, (size_t)utf8_encode(cp, text));
    b->unk_id = -1;
    const cJSON *unk = json_get(json, "unk_token");
    if (!unk || cJSON_IsNull(unk)) return STATUS_OK;
    if (!cJSON_IsString(unk))
        return error_set(err, STATUS_CORRUPT, "\"unk_token\" must be a string or null");
    b->unk_id = vocab_find(&t->vocab, unk->valuestring, strlen(unk->valuestring));
    if (b->unk_id < 0 && !all_bytes)
        return error_set(err, STATUS_CORRUPT, "the unk_token \"%.80s\" is not in the vocabulary",
                         unk->valuestring);
    return STATUS_OK;
}

static bool may_cut_at_blanks(const struct tokenizer *t)
{
    const struct bpe *b = t->model_data;
    if (b->ignore_merges || vocab_find(&t->vocab, BLANK, BLANK_LEN) < 0) return false;
    for (size_t id = 0; id < t->vocab.n_ids; id++) {
        struct str text = vocab_text(&t->vocab, (int64_t)id);
        size_t done = 0;
        while (text.len - done >= BLANK_LEN && !memcmp(text.data + done, BLANK, BLANK_LEN))
            done += BLANK_LEN;
        if (text.len > done && memmem(text.data + done, text.len - done, BLANK, BLANK_LEN))
            return false;
    }
    return true;
}

static enum status parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct bpe *b = calloc(1, sizeof(*b));
    if (!b) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    t->model_data = b;
    enum status st = parse_options(json, t, err);
    if (st == STATUS_OK) st = model_parse_vocab(json_get(json, "vocab"), &t->vocab, err);
    if (st == STATUS_OK) st = parse_merges(json_get(json, "merges"), t, err);
    if (st == STATUS_OK) st = find_characters(json, t, err);
    if (st != STATUS_OK) return st;
    b->cut_at_blanks = may_cut_at_blanks(t);
    b->reaches_itself = calloc(t->vocab.n_ids + 1, sizeof(*b->reaches_itself));
    return b->reaches_itself ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
}

static void free_model(void *model_data)
{
    struct bpe *b = model_data;
    if (!b) return;
    free(b->merges);
    free((void *)b->reaches_itself);
    free(b);
}

/* --- encoding ------------------------------------------------------------------------------------------ */

static struct bpe_scratch *scratch_of(struct encoder *e)
{
    if (!e->model_scratch) e->model_scratch = calloc(1, sizeof(struct bpe_scratch));
    return e->model_scratch;
}

static bool encode_word(struct encoder *e, struct str word)
{
    const struct tokenizer *t = e->t;
    const struct bpe *b = t->model_data;
    int32_t id = vocab_find(&t->vocab, word.data, word.len);
    if (id >= 0 && b->ignore_merges) return encoder_push(e, id);
    if (id >= 0 && atomic_load_explicit(&b->reaches_itself[id], memory_order_relaxed) == 2)
        return encoder_push(e, id);
    size_t n = 0;
    struct bpe_scratch *s = scratch_of(e);
    if (!s || !bpe_merge_word(b, &t->vocab, s, word, &n)) return encoder_fail(e, STATUS_NO_MEMORY);
    if (id >= 0)
        atomic_store_explicit(&b->reaches_itself[id], n == 1 && s->ids[0] == id ? 2 : 1,
                              memory_order_relaxed);
    for (size_t i = 0; i < n; i++)
        if (!encoder_push(e, s->ids[i])) return false;
    return true;
}

static bool encode(struct encoder *e, struct str text)
{
    if (!((const struct bpe *)e->t->model_data)->cut_at_blanks) return encode_word(e, text);
    while (text.len > 0) {
        size_t len = 0; /* the blanks, then everything up to the next blank */
        while (text.len - len >= BLANK_LEN && !memcmp(text.data + len, BLANK, BLANK_LEN))
            len += BLANK_LEN;
        const char *blank = memmem(text.data + len, text.len - len, BLANK, BLANK_LEN);
        len = blank ? (size_t)(blank - text.data) : text.len;
        if (!encode_word(e, (struct str){text.data, len})) return false;
        text.data += len;
        text.len -= len;
    }
    return true;
}

static void free_scratch(void *scratch)
{
    bpe_scratch_free(scratch);
    free(scratch);
}

const struct model_kind model_bpe = {"BPE", parse, free_model, encode, free_scratch};
