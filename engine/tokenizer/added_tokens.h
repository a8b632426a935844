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

/* Where a token is searched for: before and after normalisation. */
enum { SEARCH_RAW = 1, SEARCH_NORMALIZED = 2 };

struct added_token {
    int32_t id; /* in added_tokens_put: -1 = the next free one */
    char *content;
    size_t content_len;
    bool special, normalized, lstrip, rstrip, single_word;
    uint8_t searches, searches_before; /* SEARCH_*; before this batch */
    uint32_t batch;
    uint32_t flags, seen; /* a bit for each set of flags: the current one; those of this batch */
};

/* A trie of the patterns.  A search walks it from each byte that begins a pattern, but never far: at
 * a place where more than ADDED_WALK_MAX bytes match, a window of the text is read backwards by an
 * automaton of the reversed patterns (Aho, Corasick), which knows at each byte the longest pattern
 * that begins there.  So the cost per byte has a bound for any set and any text. */
#define ADDED_WALK_MAX 16
#define ADDED_WINDOW   512
struct trie_node {
    int32_t parent, token; /* index of the added token that ends here, -1 = none */
    uint8_t byte;
};
struct trie_edge {
    uint32_t parent;
    uint32_t node_byte; /* node << 8 | byte, 0 = empty */
};
struct trie {
    struct trie_node *nodes; /* [0] is the root */
    size_t n_nodes, cap;
    struct trie_edge *edges; /* open addressing by parent and byte, at most half full */
    uint32_t edge_mask;
    size_t longest; /* bytes of the longest pattern */
};
struct matcher {
    struct trie trie, reversed;
    /* of the reversed trie's nodes: where to go on, and the longest pattern that ends there */
    uint32_t *fail, *ends;
    bool begins[256]; /* a pattern begins with this byte */
    uint8_t first[8]; /* these bytes, filled up with the first one; unless there are more */
    int n_first;
};
struct added_tokens {
    struct added_token *tokens;
    size_t n_tokens, cap;
    uint32_t *slots; /* by content: index + 1, 0 = empty */
    size_t slot_mask;
    uint32_t batch;
    int32_t next_id, highest_id;
    struct matcher raw, normalized; /* searched before and after normalisation */
};

/* The tokens of tokenizer.json. */
enum status added_tokens_parse(const cJSON *json, struct tokenizer *t, struct error *err);
/* One token with its flags, not yet put; content_len 0: to be ignored, as the reference does. */
enum status added_tokens_read(const cJSON *json, struct added_token *token, struct error *err);
/* What the reference adds in one call: begin, then put each.  A token that is there gets the new
 * flags; special once is special for ever, and how the first special one is searched for counts.  An
 * id other than the reference would give is refused: either it or the file is wrong. */
void added_tokens_begin(struct tokenizer *t);
enum status added_tokens_put(struct tokenizer *t, const struct added_token *token,
                             struct error *err);
enum status added_tokens_build(struct tokenizer *t, struct error *err); /* after the last put */
void added_tokens_free(struct added_tokens *a);
struct added_token *added_tokens_by_content(const struct added_tokens *a, const char *text,
                                            size_t len);

/* Whether the flags that came last had "special", which it may be for earlier ones. */
bool added_tokens_last_special(const struct added_token *token);

/* added_search.c */
enum status matcher_add(struct matcher *m, struct str pattern, int32_t token);
enum status matcher_finish(struct matcher *m); /* after the last pattern */
void matcher_free(struct matcher *m);

/* Leftmost-longest; successive calls walk the text as Hugging Face's find_matches does. */
struct added_cursor {
    size_t at;                   /* where the search goes on */
    size_t start_offset;         /* end of what was given out */
    size_t blanks, blanks_end;   /* the last blanks that were swallowed after a token */
    size_t window, window_end;   /* the part of the text of which `lens` knows ... */
    uint16_t lens[ADDED_WINDOW]; /* ... the longest pattern that begins at each byte */
};
struct added_match {
    const struct added_token *token;
    size_t text_start;  /* plain text [text_start, start) comes first, may be empty */
    size_t start, stop; /* the match with the blanks it swallows */
};
bool added_tokens_next(const struct added_tokens *a, const struct matcher *matcher,
                       bool skip_special, struct str text, struct added_cursor *cursor,
                       struct added_match *match);

#endif
