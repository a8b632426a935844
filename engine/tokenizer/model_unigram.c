#include "engine/tokenizer/unigram.h"

#include "config/base/check.h"
#include "config/base/hash.h"
#include "config/base/json_reader.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/piece_trie.h"
#include "engine/tokenizer/read_score.h"
#include "engine/tokenizer/word_map.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The unigram language model (Kudo, "Subword regularization", 2018): of all ways to cut a text into
 * pieces the one whose scores have the highest sum (Viterbi over the places between characters).
 * Sums often tie, since the same pieces may stand in another order, and then rounding decides: the
 * order of every addition and comparison here is the reference's. */

#define UNK_PENALTY 10.0 /* of a character without a piece, below the lowest score */
#define UNSET       UINT32_MAX
#define NO_PIECE    (-INFINITY) /* the score where no piece ends */
#define REBASE_AT   100000.0    /* SentencePiece's bound on sums in single precision */
/* Slots of the cache of words, by the length of the text: a short text repeats little. */
#define CACHE_SLOTS_MAX 8192
#define CACHE_TEXT_MIN  2048

/* Of a piece_trie, with the score at hand: most steps miss the processor's caches, so one line has
 * to do. */
struct unigram_node {
    uint32_t base, parent;
    double score;
};
struct unigram {
    struct unigram_node *nodes;
    int32_t *ids;   /* [nodes] */
    double *scores; /* [n_ids] while building */
    double unk_score;
    int32_t unk_id;   /* -1 = none */
    size_t sums_mask; /* of the ring, which is longer than any piece */
    bool byte_fallback, sentencepiece;
    int32_t byte_ids[256]; /* <0xNN> */
    uint64_t seed;         /* of the words' hash: a text cannot aim for collisions */
};

/* The last piece of the best way to a place. */
struct link {
    uint32_t node; /* the root: an unknown character; UNSET: nothing leads here */
    uint32_t start;
};
struct cached { /* a word of at most WORD_INLINE_MAX bytes */
    struct word_key key;
    uint8_t len, n_ids; /* len 0 = an empty slot */
    int32_t ids[7];
};
struct unigram_scratch {
    struct cached *cache; /* NULL: it would not pay */
    size_t cache_mask;
    struct link *links; /* of the places from the last one that every way leads through */
    size_t cap;
    double *sums; /* of the ways to the places that pieces reach from here: a ring */
};
/* The state of one call. */
struct lattice {
    struct encoder *e;
    const struct unigram *u;
    struct unigram_scratch *s;
    struct str text;
    size_t origin;             /* s->links[0]'s place */
    size_t reach;              /* the last place that something leads to */
    size_t unk_start, unk_end; /* characters without pieces that wait for the end of their run */
};

/* --- encoding ------------------------------------------------------------------------------------------ */

static bool push_run_bytes(struct lattice *l, struct str run)
{
    for (size_t i = 0; i < run.len; i++)
        if (!encoder_push(l->e, l->u->byte_ids[(uint8_t)run.data[i]])) return false;
    return true;
}

/* The ids of a run of unknown characters. */
static bool finish_run(struct lattice *l)
{
    const struct unigram *u = l->u;
    struct str run = {l->text.data + l->unk_start, l->unk_end - l->unk_start};
    if (run.len == 0) return true;
    l->unk_start = l->unk_end;
    int32_t id = u->sentencepiece ? -1 : vocab_find(&l->e->t->vocab, run.data, run.len);
    if (id >= 0) return encoder_push(l->e, id);
    bool in_bytes = u->byte_fallback;
    for (size_t i = 0; in_bytes && i < run.len; i++)
        in_bytes = u->byte_ids[(uint8_t)run.data[i]] >= 0;
    return in_bytes ? push_run_bytes(l, run) : encoder_push(l->e, u->unk_id);
}

static bool settle(struct lattice *l, size_t start, size_t end, uint32_t node)
{
    int32_t id = l->u->ids[node];
    if (id != l->u->unk_id) return finish_run(l) && encoder_push(l->e, id);
    if (l->unk_start == l->unk_end) l->unk_start = start;
    l->unk_end = end;
    return true;
}

/* Everything leads through `end`: the pieces from the origin to there are settled.  The links lead
 * back and are turned round first. */
static bool flush(struct lattice *l, size_t end)
{
    struct link *links = l->s->links, link = links[end - l->origin];
    for (size_t at = end; at > l->origin;) {
        size_t start = link.start;
        struct link before = links[start - l->origin];
        links[start - l->origin] = (struct link){link.node, (uint32_t)at};
        link = before;
        at = start;
    }
    for (size_t at = l->origin; at < end;) {
        link = links[at - l->origin];
        if (!settle(l, at, link.start, link.node)) return false;
        at = link.start; /* the end, since it was turned */
    }
    l->origin = end;
    links[0] = (struct link){UNSET, 0};
    return true;
}

/* Room for every piece that begins at `at`. */
static bool reserve(struct lattice *l, size_t at)
{
    size_t need = at - l->origin + l->u->sums_mask + 1;
    if (need <= l->s->cap) return true; /* mostly */
    if (need > l->text.len - l->origin + 1) need = l->text.len - l->origin + 1;
    if (l->s->links && need <= l->s->cap) return true;
    size_t cap = need + need / 2 + 64;
    struct link *links = realloc(l->s->links, cap * sizeof(*links));
    if (!links) return encoder_fail(l->e, STATUS_NO_MEMORY);
    l->s->links = links;
    l->s->cap = cap;
    return true;
}

/* A way to `end`; false: there is one as good. */
static inline bool relax(struct lattice *l, size_t end, double sum, struct link link)
{
    struct link *links = l->s->links;
    while (l->reach < end) links[++l->reach - l->origin].node = UNSET;
    double *best = &l->s->sums[end & l->u->sums_mask];
    if (links[end - l->origin].node != UNSET && !(sum > *best)) return false;
    links[end - l->origin] = link;
    *best = sum;
    return true;
}

/* A sum as the model's library has it: of two floats the double is exact enough to round once. */
static inline double add(const struct unigram *u, double a, double b)
{
    return u->sentencepiece ? (float)(a + b) : a + b;
}

/* The sum at `at`, which SentencePiece makes 0 when it is so far from it that single precision gets
 * coarse; what lies beyond `at` moves with it. */
static double sum_at(struct lattice *l, size_t at)
{
    const double sum = l->s->sums[at & l->u->sums_mask];
    if (!l->u->sentencepiece || fabs(sum) <= REBASE_AT) return sum;
    for (size_t i = at + 1; i <= l->reach; i++) {
        double *other = &l->s->sums[i & l->u->sums_mask];
        if (l->s->links[i - l->origin].node != UNSET) *other = add(l->u, *other, -sum);
    }
    return 0;
}

/* All pieces that begin at `at`, where a character of char_len bytes begins. */
static bool extend(struct lattice *l, size_t at, size_t char_len)
{
    const struct unigram *u = l->u;
    const double here = sum_at(l, at);
    bool has_single = false;
    uint32_t node = PIECE_TRIE_ROOT;
    for (size_t i = at; i < l->text.len;) {
        uint32_t next = u->nodes[node].base + (uint8_t)l->text.data[i++];
        if (u->nodes[next].parent != node) break;
        node = next;
        double score = u->nodes[node].score;
        if (score == NO_PIECE) continue;
        relax(l, i, add(u, score, here), (struct link){node, (uint32_t)at});
        has_single |= i - at == char_len;
    }
    if (has_single) return true;
    struct link unknown = {PIECE_TRIE_ROOT, (uint32_t)at};
    if (relax(l, at + char_len, add(u, u->unk_score, here), unknown) && u->unk_id < 0)
        return encoder_fail(l->e, STATUS_UNSUPPORTED);
    return true;
}

static size_t char_length(char lead)
{
    uint8_t c = (uint8_t)lead;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static bool encode_anew(struct encoder *e, struct unigram_scratch *s, struct str text)
{
    struct lattice l = {.e = e, .u = e->t->model_data, .s = s, .text = text};
    size_t char_len = 0;
    if (!reserve(&l, 0)) return false;
    s->links[0] = (struct link){UNSET, 0};
    s->sums[0] = 0;
    for (size_t at = 0; at < text.len; at += char_len) {
        if (at == l.reach && at > l.origin && !flush(&l, at)) return false;
        char_len = char_length(text.data[at]);
        DCHECK(char_len <= text.len - at); /* texts are valid UTF-8 */
        if (!reserve(&l, at) || !extend(&l, at, char_len)) return false;
    }
    return flush(&l, text.len) && finish_run(&l);
}

static struct unigram_scratch *scratch_of(struct encoder *e)
{
    if (e->model_scratch) return e->model_scratch;
    const struct unigram *u = e->t->model_data;
    struct unigram_scratch *s = e->model_scratch = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->sums = malloc((u->sums_mask + 1) * sizeof(*s->sums));
    if (!s->sums) return NULL;
    if (e->text_len < CACHE_TEXT_MIN) return s;
    size_t n_slots = 64;
    while (n_slots < CACHE_SLOTS_MAX && n_slots < e->text_len / 16) n_slots *= 2;
    s->cache = calloc(n_slots, sizeof(*s->cache));
    s->cache_mask = n_slots - 1;
    return s;
}

static bool encode(struct encoder *e, struct str text)
{
    struct unigram_scratch *s = scratch_of(e);
    if (!s) return encoder_fail(e, STATUS_NO_MEMORY);
    if (!s->cache || text.len > WORD_INLINE_MAX) return encode_anew(e, s, text);
    struct word_key key = word_key_of(text);
    uint64_t hash = word_hash(key, text.len, ((const struct unigram *)e->t->model_data)->seed);
    struct cached *c = &s->cache[hash & s->cache_mask];
    if (c->len == text.len && c->key.a == key.a && c->key.b == key.b) {
        for (int i = 0; i < c->n_ids; i++)
            if (!encoder_push(e, c->ids[i])) return false;
        return true;
    }
    size_t before = e->out->len;
    if (!encode_anew(e, s, text)) return false;
    size_t n = e->out->len - before;
    if (n > ARRAY_LEN(c->ids)) return true;
    *c = (struct cached){.key = key, .len = (uint8_t)text.len, .n_ids = (uint8_t)n};
    memcpy(c->ids, e->out->ids + before, n * sizeof(*c->ids));
    return true;
}

static void free_scratch(void *scratch)
{
    struct unigram_scratch *s = scratch;
    if (!s) return;
    free(s->links);
    free(s->sums);
    free(s->cache);
    free(s);
}

/* --- building ------------------------------------------------------------------------------------------ */

static enum status fill_scores(struct unigram *u, const struct vocab *v, const double *scores,
                               const struct unigram_options *options, struct error *err)
{
    double lowest = u->sentencepiece ? (double)FLT_MAX : INFINITY;
    u->scores = calloc(v->n_ids + 1, sizeof(*u->scores));
    if (!u->scores) return error_set(err, STATUS_NO_MEMORY, "out of memory for the scores");
    for (size_t id = 0; id < v->n_ids; id++) {
        int kind = options->kinds ? options->kinds[id] : UNIGRAM_NORMAL;
        if (kind == UNIGRAM_USER_DEFINED) u->scores[id] = 0.1 * ((double)v->lens[id] - 1);
        if (kind == UNIGRAM_NORMAL && vocab_has(v, (int64_t)id)) {
            if (!isfinite(scores[id]))
                return error_set(err, STATUS_CORRUPT, "the score of token \"%.80s\" is not finite",
                                 vocab_text(v, (int64_t)id).data);
            u->scores[id] = scores[id];
            if (scores[id] < lowest) lowest = scores[id];
        }
        if (u->sentencepiece) u->scores[id] = (float)u->scores[id];
    }
    u->unk_score = add(u, lowest, -UNK_PENALTY);
    return STATUS_OK;
}

/* The trie with its scores. */
static enum status build_nodes(struct unigram *u, const struct vocab *v, const uint8_t *kinds,
                               struct error *err)
{
    struct piece_trie trie = {0};
    uint8_t *left_out = kinds ? malloc(v->n_ids + 1) : NULL;
    if (kinds && !left_out) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    for (size_t id = 0; kinds && id < v->n_ids; id++) left_out[id] = kinds[id] == UNIGRAM_NEVER;
    enum status st = piece_trie_build(&trie, v, left_out, err);
    if (st != STATUS_OK) goto out;
    u->nodes = malloc(trie.n_nodes * sizeof(*u->nodes));
    u->ids = malloc(trie.n_nodes * sizeof(*u->ids));
    if (!u->nodes || !u->ids) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
        goto out;
    }
    for (size_t i = 0; i < trie.n_nodes; i++) {
        const struct piece_node *n = &trie.nodes[i];
        double score = n->id >= 0 ? u->scores[n->id] : NO_PIECE;
        u->nodes[i] = (struct unigram_node){n->base, n->parent, score};
        u->ids[i] = n->id;
    }
    u->ids[PIECE_TRIE_ROOT] = u->unk_id;
out:
    piece_trie_free(&trie);
    free(left_out);
    return st;
}

enum status unigram_create(struct tokenizer *t, const double *scores,
                           const struct unigram_options *options, struct error *err)
{
    static const char hex[] = "0123456789ABCDEF";
    struct unigram *u = calloc(1, sizeof(*u));
    if (!u) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    t->model = &model_unigram;
    t->model_data = u;
    u->unk_id = options->unk_id;
    u->byte_fallback = options->byte_fallback;
    u->seed = hash_process_seed();
    u->sums_mask = 7; /* a character at least */
    while (u->sums_mask <= t->vocab.longest_text_len) u->sums_mask = 2 * u->sums_mask + 1;
    u->sentencepiece = options->sentencepiece;
    if (u->unk_id < -1 || (u->unk_id >= 0 && (size_t)u->unk_id >= t->vocab.n_ids))
        return error_set(err, STATUS_CORRUPT, "\"unk_id\" is %d, but there are %zu pieces",
                         u->unk_id, t->vocab.n_ids);
    for (int i = 0; i < 256; i++) {
        const char byte[] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        u->byte_ids[i] = vocab_find(&t->vocab, byte, sizeof(byte));
    }
    enum status st = fill_scores(u, &t->vocab, scores, options, err);
    if (st == STATUS_OK) st = build_nodes(u, &t->vocab, options->kinds, err);
    free(u->scores);
    u->scores = NULL;
    return st;
}

static void free_model(void *model_data)
{
    struct unigram *u = model_data;
    if (!u) return;
    free(u->nodes);
    free(u->ids);
    free(u->scores);
    free(u);
}

/* --- reading tokenizer.json ------------------------------------------------------------------------------ */

/* ["piece", score] */
static bool read_piece(struct str value, struct strbuf *buffer, struct str *text, double *score)
{
    struct json_reader r;
    json_reader_init(&r, value);
    bool good = json_enter(&r, '[') && json_next_item(&r) &&
                json_value_string(json_value(&r), buffer, text) && json_next_item(&r) &&
                read_score(json_value(&r), score) && !json_next_item(&r);
    json_reader_free(&r);
    return good;
}

/* Pieces come from the last to the first: of equal ones the last is what a text becomes, the others
 * only have their text in common with it. */
static enum status add_piece(struct vocab *v, size_t id, struct str text, struct error *err)
{
    enum status st = vocab_add(v, (int64_t)id, text.data, text.len, err);
    int32_t same = st == STATUS_CORRUPT ? vocab_find(v, text.data, text.len) : -1;
    if (same < 0) return st;
    v->offsets[id] = v->offsets[same];
    v->lens[id] = v->lens[same];
    return STATUS_OK;
}

/* The items' texts into items[n], unless it is NULL: how many there are. */
static size_t list_items(struct str list, struct str *items)
{
    struct json_reader r;
    size_t n = 0;
    json_reader_init(&r, list);
    if (json_enter(&r, '['))
        for (; json_next_item(&r); n++) {
            struct str item = json_value(&r);
            if (items) items[n] = item;
        }
    json_reader_free(&r);
    return n;
}

static enum status parse_pieces(struct str list, struct vocab *v, double **scores,
                                struct error *err)
{
    if (list.len == 0 || list.data[0] != '[')
        return error_set(err, STATUS_CORRUPT, "\"vocab\" must be a list of [text, score]");
    size_t n = list_items(list, NULL);
    enum status st = vocab_init(v, n, n, err);
    if (st != STATUS_OK) return st;
    struct str *items = calloc(n + 1, sizeof(*items)), text = {0};
    struct strbuf buffer;
    strbuf_init(&buffer, 0);
    *scores = malloc((n + 1) * sizeof(**scores));
    if (!items || !*scores) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory for %zu pieces", n);
        goto out;
    }
    (void)list_items(list, items);
    for (size_t id = n; id-- > 0 && st == STATUS_OK;) {
        if (read_piece(items[id], &buffer, &text, &(*scores)[id]))
            st = add_piece(v, id, text, err);
        else
            st = error_set(err, STATUS_CORRUPT, "piece %zu is not [text, score]", id);
    }
out:
    strbuf_free(&buffer);
    free(items);
    return st;
}

static enum status parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    struct unigram_options options = {.unk_id = -1};
    const cJSON *unk = json_get(json, "unk_id");
    double *scores = NULL;
    int64_t unk_id = -1;
    if (unk && !cJSON_IsNull(unk) && !json_as_i64(unk, 0, LIMIT_VOCAB - 1, &unk_id))
        return error_set(err, STATUS_CORRUPT, "\"unk_id\" must be null or an integer from 0 to %d",
                         LIMIT_VOCAB - 1);
    options.unk_id = (int32_t)unk_id;
    enum status st = component_bool(json, "byte_fallback", false, &options.byte_fallback, err);
    if (st == STATUS_OK)
        st = parse_pieces(json_raw_text(json_get(json, "vocab")), &t->vocab, &scores, err);
    if (st == STATUS_OK) st = unigram_create(t, scores, &options, err);
    free(scores);
    return st;
}

const struct model_kind model_unigram = {
    .type = "Unigram",
    .parse = parse,
    .free = free_model,
    .encode = encode,
    .free_scratch = free_scratch,
};
