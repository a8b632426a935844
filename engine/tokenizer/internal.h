#ifndef ENGINE_TOKENIZER_INTERNAL_H
#define ENGINE_TOKENIZER_INTERNAL_H

/* internal.h - the parts of a tokenizer and how a text goes through them:
 *
 *   text -> added tokens -> normalizer -> normalized added tokens -> pre-tokenizer -> model -> ids
 *   ids -> added or model token -> decoder -> text
 *
 * Each part is a file with a table of the component types it knows; a new type is a row there.
 * Parts are parsed once, then only read; what an encoding needs besides is in struct encoder. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAGES_MAX 16 /* of one pipeline; published files have at most 5 */

/* Texts longer than this are refused: positions are 32 bits wide. */
#define TEXT_SIZE_MAX ((size_t)1 << 30)

struct encoder;

/* --- component.c: reading one component's JSON ---------------------------------------------- */

/* The component's "type", CORRUPT when it has none. */
enum status component_type(const cJSON *json, const char *part, const char **type,
                           struct error *err);
enum status component_unsupported(const char *part, const char *type, const char *known,
                                  struct error *err);
enum status component_bool(const cJSON *json, const char *key, bool missing, bool *out,
                           struct error *err);
/* A string that must be there; the text belongs to the JSON. */
enum status component_string(const cJSON *json, const char *key, const char **out,
                             struct error *err);
/* {"String": ..} or {"Regex": ..} under "pattern". */
enum status component_pattern(const cJSON *json, struct regex **out, struct error *err);
/* Calls `each` for the component or, if it is a Sequence, for its members (under `key`). */
typedef enum status (*component_fn)(const cJSON *json, void *user, struct error *err);
enum status component_each(const cJSON *json, const char *part, const char *key, component_fn each,
                           void *user, struct error *err);

/* --- normalizer.c ----------------------------------------------------------------------------- */

struct normalizer_stage {
    const struct normalizer_kind *kind;
    char *text; /* Prepend's, Replace's content */
    struct regex *pattern;
    bool strip_left, strip_right;
};
struct normalizer {
    struct normalizer_stage stages[STAGES_MAX];
    int n_stages;
};
enum status normalizer_parse(const cJSON *json, struct normalizer *n, struct error *err);
void normalizer_free(struct normalizer *n);
/* The normalised text, in one of the two buffers or the input itself.  *moved: the text's first
 * character is no longer the original's first. */
enum status normalizer_run(const struct normalizer *n, struct regex_scratch *scratch,
                           struct strbuf buffers[2], struct str in, struct str *out, bool *moved);

/* --- added_tokens.c --------------------------------------------------------------------------- */

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

/* --- pretokenizer.c --------------------------------------------------------------------------- */

enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
};
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
struct pretokenizer_stage {
    const struct pretokenizer_kind *kind;
    struct regex *pattern;             /* Split, ByteLevel */
    bool (*is_delimiter)(uint32_t cp); /* Digits, Punctuation, WhitespaceSplit */
    enum split_behavior behavior;
    bool invert, use_regex, add_prefix_space, split;
    char replacement[5]; /* Metaspace */
    enum prepend_scheme prepend;
};
struct pretokenizer {
    struct pretokenizer_stage stages[STAGES_MAX];
    int n_stages;
};
/* A part of the text; `first`: it starts where the original text starts. */
struct piece {
    struct str text;
    bool first;
};
enum status pretokenizer_parse(const cJSON *json, struct pretokenizer *p, struct error *err);
void pretokenizer_free(struct pretokenizer *p);
/* Sends the piece through the stages from `stage` on and what comes out to the model; false:
 * stop, e->status says why. */
bool pretokenizer_run(struct encoder *e, int stage, struct piece piece);
/* Metaspace's keys, which its decoder shares. */
enum status metaspace_parse(const cJSON *json, char replacement[5], enum prepend_scheme *prepend,
                            bool *split, struct error *err);

/* --- byte_level.c: the 256 characters that stand for bytes (GPT-2) ---------------------------- */

void byte_level_add(struct strbuf *out, const char *bytes, size_t len); /* bytes -> characters */
int byte_level_byte(uint32_t cp);                                       /* -1 = none */

/* --- model_bpe.c ------------------------------------------------------------------------------ */

#define BPE_DIRECT 0x800 /* characters below this find their id in a table */

struct bpe_merge {
    int32_t left, right; /* left -1: an empty slot */
    uint32_t rank;
    int32_t id;
};
struct bpe {
    struct bpe_merge *merges; /* open addressing */
    size_t merge_mask;
    int32_t direct[BPE_DIRECT];
    int32_t byte_ids[256]; /* <0xNN> */
    int32_t unk_id;        /* -1 = none */
    bool byte_fallback, fuse_unk, ignore_merges;
    /* No token has U+2581 after anything but U+2581: merges never cross into one, so a text may be
     * cut before each and every word merged alone. */
    bool cut_at_blanks;
    /* Whether the merges make the token from its own text: 0 not known yet, 1 no, 2 yes.  Filled
     * by whoever asks first; every thread would write the same. */
    _Atomic uint8_t *reaches_itself;
};
struct bpe_scratch {
    int32_t *ids, *next, *previous, *pair_ids;
    uint32_t *ranks;
    size_t cap;
    struct bpe_candidate *heap;
    size_t heap_len, heap_cap;
};
const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right);
/* bpe_merge.c: the word's ids into s->ids[0, *n_out); false: no memory. */
bool bpe_merge_word(const struct bpe *b, const struct vocab *v, struct bpe_scratch *s,
                    struct str word, size_t *n_out);
void bpe_scratch_free(struct bpe_scratch *s);

/* A model type: what another one (Unigram, WordPiece) must bring. */
struct model_kind {
    const char *type;
    enum status (*parse)(const cJSON *json, struct tokenizer *t, struct error *err);
    void (*free)(struct tokenizer *t);
    /* Pushes the ids of one pre-tokenised piece; false: stop, e->status says why. */
    bool (*encode)(struct encoder *e, struct str text);
};
extern const struct model_kind model_bpe;
/* {"token": id} into t->vocab; ids may have holes. */
enum status model_parse_vocab(const cJSON *json, struct vocab *v, struct error *err);

/* --- postprocessor.c -------------------------------------------------------------------------- */

#define POST_IDS_MAX 64
struct postprocessor {
    int32_t before[POST_IDS_MAX], after[POST_IDS_MAX]; /* ids around every text */
    int n_before, n_after;
    bool adds; /* a component that may add ids was seen */
};
enum status postprocessor_parse(const cJSON *json, struct postprocessor *p, struct error *err);

/* --- decoder.c, detok.c ----------------------------------------------------------------------- */

struct decoder_stage { /* a change of each token's text by itself */
    const struct decoder_kind *kind;
    struct regex *pattern;
    char *text; /* Replace's content */
    char character[5];
    enum prepend_scheme prepend;
    int64_t start, stop;
};
struct text_table { /* id -> bytes */
    struct strbuf bytes;
    uint32_t *offsets; /* [n_ids + 1] */
};
struct decoder {
    struct decoder_stage stages[STAGES_MAX]; /* before anything joins the tokens */
    int n_stages;
    bool present;       /* without a decoder tokens are joined by blanks */
    bool byte_level;    /* the tokens' bytes are joined and decoded with replacement */
    bool byte_fallback; /* runs of <0xNN> become characters */
    bool joined;        /* a Fuse or ByteLevel was seen while parsing */
    bool changes_first; /* the first token's text differs (Metaspace) */
    char strip_character[5];
    int32_t strip_start, strip_stop; /* of the joined text */
    struct text_table text, first;   /* what each token stands for; `first`: as the first one */
};
enum status decoder_parse(const cJSON *json, struct decoder *d, struct error *err);
enum status decoder_build(struct tokenizer *t, struct error *err); /* the tables */
void decoder_free(struct decoder *d);
struct str decoder_text(const struct tokenizer *t, int64_t id, bool first);
/* The byte of a text "<0xNN>", -1 when it is none. */
int decoder_fallback_byte(struct str text);

/* --- the whole ---------------------------------------------------------------------------------- */

enum special_token { SPECIAL_BOS, SPECIAL_EOS, SPECIAL_UNK, SPECIAL_PAD, SPECIAL_COUNT };

struct tokenizer {
    const struct model_kind *model;
    struct vocab vocab; /* the model's own tokens */
    struct bpe bpe;
    struct added_tokens added;
    int32_t *added_of_id;          /* [n_ids] index into added.tokens, -1 = none */
    size_t n_ids, added_of_id_cap; /* n_ids: highest id + 1, added tokens included */
    struct normalizer normalizer;
    struct pretokenizer pretokenizer;
    struct postprocessor postprocessor;
    struct decoder decoder;
    char *special_text[SPECIAL_COUNT]; /* never NULL once loaded */
    int32_t special_id[SPECIAL_COUNT];
    cJSON *templates; /* "chat_template" of tokenizer_config.json, detached, or NULL */
};

/* special_tokens.c: tokenizer_config.json and special_tokens_map.json (either may be NULL). */
/* Adds the tokens they name, before added_tokens_build. */
enum status special_tokens_add(struct tokenizer *t, const cJSON *config, const cJSON *map,
                               struct error *err);
/* Ids, post-processor, templates; takes the templates out of `config`. */
enum status special_tokens_apply(struct tokenizer *t, cJSON *config, struct error *err);

/* One call of tokenizer_encode. */
struct encoder {
    const struct tokenizer *t;
    struct token_vec *out;
    size_t out_start, max_tokens; /* 0 = unbounded */
    enum status status;
    struct regex_scratch regex;
    struct strbuf normalized[2];
    struct strbuf stage[STAGES_MAX], prefix[STAGES_MAX];
    struct bpe_scratch bpe;
};
bool encoder_push(struct encoder *e, int32_t id);
bool encoder_fail(struct encoder *e, enum status status); /* returns false */

#endif
