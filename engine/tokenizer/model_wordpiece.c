#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/piece_trie.h"

#include <stdlib.h>
#include <string.h>

/* WordPiece (Schuster and Nakajima, "Japanese and Korean voice search", 2012), as BERT uses it: a
 * word is cut from the left, each time the longest token; inside a word tokens begin with a prefix,
 * "##".  A word that cannot be cut to its end, or is too long, is one unknown token.  The cost is
 * O(n * longest token). */

struct wordpiece {
    struct piece_trie trie;
    uint32_t inside; /* the node that the prefix leads to; PIECE_TRIE_NONE: no token has it */
    int32_t unk_id;  /* -1 = none */
    size_t max_chars;
};

/* The end of the longest token from `node` on, 0 = there is none. */
static size_t longest_token(const struct piece_trie *trie, uint32_t node, struct str text,
                            int32_t *id)
{
    size_t end = 0;
    for (size_t i = 0; i < text.len;) {
        node = piece_trie_step(trie, node, text.data[i++]);
        if (node == PIECE_TRIE_NONE) break;
        if (trie->nodes[node].id < 0) continue;
        *id = trie->nodes[node].id;
        end = i;
    }
    return end;
}

static bool has_more_chars(struct str text, size_t max)
{
    if (text.len <= max) return false;
    size_t n = 0;
    for (size_t i = 0; i < text.len && n <= max; i++) n += (text.data[i] & 0xC0) != 0x80;
    return n > max;
}

/* The word's ids.  NOT_FOUND: there is a part that no token covers. */
static enum status cut_word(const struct wordpiece *w, struct str word, struct token_vec *ids)
{
    uint32_t node = PIECE_TRIE_ROOT;
    ids->len = 0;
    if (has_more_chars(word, w->max_chars)) return STATUS_NOT_FOUND;
    while (word.len > 0) {
        int32_t id = -1;
        size_t end = node == PIECE_TRIE_NONE ? 0 : longest_token(&w->trie, node, word, &id);
        if (end == 0) return STATUS_NOT_FOUND;
        if (!token_vec_push(ids, id)) return STATUS_NO_MEMORY;
        word.data += end;
        word.len -= end;
        node = w->inside;
    }
    return STATUS_OK;
}

static bool encode(struct encoder *e, struct str word)
{
    const struct wordpiece *w = e->t->model_data;
    if (!e->model_scratch) e->model_scratch = calloc(1, sizeof(struct token_vec));
    struct token_vec *ids = e->model_scratch;
    enum status st = ids ? cut_word(w, word, ids) : STATUS_NO_MEMORY;
    if (st == STATUS_NO_MEMORY) return encoder_fail(e, st);
    if (st == STATUS_NOT_FOUND)
        return w->unk_id >= 0 ? encoder_push(e, w->unk_id) : encoder_fail(e, STATUS_UNSUPPORTED);
    for (size_t i = 0; i < ids->len; i++)
        if (!encoder_push(e, ids->ids[i])) return false;
    return true;
}

static enum status build(struct wordpiece *w, const struct vocab *v, const char *prefix,
                         struct error *err)
{
    enum status st = piece_trie_build(&w->trie, v, NULL, err);
    if (st != STATUS_OK) return st;
    w->inside = PIECE_TRIE_ROOT;
    for (const char *c = prefix; *c && w->inside != PIECE_TRIE_NONE; c++)
        w->inside = piece_trie_step(&w->trie, w->inside, *c);
    return STATUS_OK;
}

static enum status parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    const char *unk = NULL, *prefix = NULL;
    struct wordpiece *w = calloc(1, sizeof(*w));
    if (!w) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    t->model_data = w;
    enum status st = component_string(json, "unk_token", &unk, err);
    if (st == STATUS_OK) st = component_string(json, "continuing_subword_prefix", &prefix, err);
    if (st != STATUS_OK) return st;
    if (!model_as_limit(json_get(json, "max_input_chars_per_word"), &w->max_chars))
        return error_set(err, STATUS_CORRUPT,
                         "\"max_input_chars_per_word\" must be an integer from 0 on");
    st = model_parse_vocab(json_get(json, "vocab"), &t->vocab, err);
    if (st != STATUS_OK) return st;
    w->unk_id = vocab_find(&t->vocab, unk, strlen(unk));
    return build(w, &t->vocab, prefix, err);
}

static void free_model(void *model_data)
{
    struct wordpiece *w = model_data;
    if (!w) return;
    piece_trie_free(&w->trie);
    free(w);
}

static void free_scratch(void *scratch)
{
    if (scratch) token_vec_free(scratch);
    free(scratch);
}

const struct model_kind model_wordpiece = {
    .type = "WordPiece",
    .parse = parse,
    .free = free_model,
    .encode = encode,
    .free_scratch = free_scratch,
};
