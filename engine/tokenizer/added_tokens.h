#ifndef ENGINE_TOKENIZER_ADDED_TOKENS_H
#define ENGINE_TOKENIZER_ADDED_TOKENS_H

/* added_tokens.h - tokens beside the model's, found in the text before the model sees it; five flags
 * each.  Filled while loading, then read by any thread. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

struct added_token {
    int32_t id;
    char *content; /* NUL-terminated */
    char *pattern; /* what is searched for: the content, normalised if `normalized` */
    size_t content_len, pattern_len;
    bool special, normalized, lstrip, rstrip, single_word;
};
struct trie_node {
    int32_t token;       /* index of the added token that ends here, -1 = none */
    int32_t child, next; /* first child, next sibling; -1 = none */
    uint8_t byte;
};
struct trie {
    struct trie_node *nodes;
    size_t n_nodes, cap;
    int32_t roots[256];
};
struct added_tokens {
    struct added_token *tokens;
    size_t n_tokens, cap;
    uint32_t *slots; /* by content: index + 1, 0 = empty */
    size_t slot_mask;
    int32_t highest_id;
    struct trie raw, normalized; /* searched before and after normalisation */
};
enum status added_tokens_parse(const cJSON *json, struct tokenizer *t, struct error *err);
enum status added_tokens_parse_one(const cJSON *json, int32_t id, struct tokenizer *t,
                                   struct error *err);
/* Adds the token or gives the one with that content new flags. */
enum status added_tokens_put(struct tokenizer *t, const struct added_token *token,
                             struct error *err);
enum status added_tokens_build(struct tokenizer *t, struct error *err); /* after the last put */
void added_tokens_free(struct added_tokens *a);
struct added_token *added_tokens_by_content(const struct added_tokens *a, const char *text,
                                            size_t len);
/* Leftmost-longest; successive calls walk the text as Hugging Face's find_matches does. */
struct added_cursor {
    size_t at;           /* where the search goes on */
    size_t start_offset; /* end of what was given out */
};
struct added_match {
    const struct added_token *token;
    size_t text_start;  /* plain text [text_start, start) comes first, may be empty */
    size_t start, stop; /* the match with the blanks it swallows */
};
bool added_tokens_next(const struct added_tokens *a, const struct trie *trie, bool skip_special,
                       struct str text, struct added_cursor *cursor, struct added_match *match);

#endif
