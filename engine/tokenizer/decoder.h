#ifndef ENGINE_TOKENIZER_DECODER_H
#define ENGINE_TOKENIZER_DECODER_H

/* decoder.h - ids back to text: what each token stands for, and what happens between tokens.
 *
 * The reference runs each decoder of a chain over the list of all tokens.  Here tokens arrive one by
 * one, so the chain is cut in two while it is parsed:
 * - the longest part at its front that changes each token by itself is applied once to the whole
 *   vocabulary (decoder_tables.c); a token may stand for something else as the first or last one;
 * - the rest becomes a list of small steps with a fixed state (detok_ops.c), through which the
 *   tokens' texts are streamed with marks where a token ends.
 * A chain for which no such form exists is refused by name.  Parsed once, then read by any thread;
 * struct detok has what changes. */

#include "engine/tokenizer/pretokenizer.h"
#include "engine/tokenizer/tokenizer.h"

#define DECODER_OPS_MAX DETOK_OPS_MAX

/* Where a token stands: bits, and the index of the table with its text there. */
enum position { POSITION_INNER = 0, POSITION_FIRST = 1, POSITION_LAST = 2, POSITION_COUNT = 4 };

struct decoder_stage { /* one component of the chain */
    const struct decoder_kind *kind;
    struct regex *pattern; /* Replace with a Regex */
    char *from, *to;       /* what is replaced or taken away, and by what */
    bool keeps_blank;      /* Metaspace: the first token keeps its blank */
    bool cleanup;          /* WordPiece, CTC */
    int32_t start, stop;   /* Strip */
};

enum decoder_op_type {
    OP_REPLACE,   /* each `from` by `to`, in the first token by `to_first` */
    OP_STRIP,     /* up to `start` of `from` at a token's start, `stop` at its end */
    OP_WORDPIECE, /* all tokens but the first lose the prefix `from` or get a blank */
    OP_FALLBACK,  /* runs of <0xNN> become characters */
    OP_DROP_EMPTY,
    OP_FUSE,  /* all tokens become one */
    OP_LOSSY, /* all tokens become one, and its bytes characters */
};
struct decoder_op {
    enum decoder_op_type type;
    struct str from, to, to_first; /* in the stage's or constant memory */
    uint16_t *borders;             /* of `from` (Knuth, Morris, Pratt) */
    int32_t start, stop;
    bool joined; /* there is one token only, the whole text */
};

struct text_table { /* id -> bytes */
    struct strbuf bytes;
    uint32_t *offsets; /* [n_ids + 1] */
};
enum { TOKEN_PLAIN = 1, TOKEN_SPECIAL = 2, TOKEN_KNOWN = 4 };
struct decoder {
    struct decoder_stage stages[STAGES_MAX];
    int n_stages, n_prefix; /* the first n_prefix are in the tables */
    struct decoder_op ops[DECODER_OPS_MAX];
    int n_ops;
    uint64_t growth;        /* how many times longer the ops may make a text */
    bool merges_repeats;    /* of tokens that follow each other, before the ops (CTC) */
    const char *tokens_of;  /* the component that ended the front part, NULL = none yet */
    const char *joined_of;  /* the component that joined the tokens, NULL = none yet */
    bool by_first, by_last; /* the text depends on the position */
    bool can_be_quiet;      /* detok's quick way exists */
    struct text_table tables[POSITION_COUNT];
    uint8_t *flags; /* [n_ids] TOKEN_*; plain: whole characters, no byte of a run */
};
enum status decoder_parse(const cJSON *json, struct decoder *d, struct error *err);
void decoder_free(struct decoder *d);

/* decoder_ops.c: what a stage becomes behind the front part. */
enum status decoder_add_op(struct decoder *d, struct decoder_op op, struct error *err);
enum status decoder_add_replace(struct decoder *d, struct str from, struct str to,
                                struct str to_first, struct error *err);
enum status decoder_add_cleanup(struct decoder *d, struct error *err);
void decoder_ops_free(struct decoder *d);
/* What WordPiece and CTC call cleanup, of a text that is there as a whole. */
void decoder_cleanup(struct strbuf *text);

/* decoder_tables.c, once the vocabulary and the added tokens are complete. */
enum status decoder_build(struct tokenizer *t, struct error *err);
struct str decoder_text(const struct decoder *d, int32_t id, unsigned position); /* a known id */
/* The byte of a text "<0xNN>", -1 when it is none. */
int decoder_fallback_byte(struct str text);

/* decoder_token.c: the changes of one token's text; false: out of memory or a pattern too costly. */
typedef bool (*decoder_run_fn)(const struct decoder_stage *s, struct regex_scratch *scratch,
                               struct str in, unsigned position, struct strbuf *out);
bool decoder_run_blank(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                       unsigned position, struct strbuf *out);
bool decoder_run_replace(const struct decoder_stage *s, struct regex_scratch *scratch,
                         struct str in, unsigned position, struct strbuf *out);
bool decoder_run_metaspace(const struct decoder_stage *s, struct regex_scratch *scratch,
                           struct str in, unsigned position, struct strbuf *out);
bool decoder_run_strip(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                       unsigned position, struct strbuf *out);
bool decoder_run_wordpiece(const struct decoder_stage *s, struct regex_scratch *scratch,
                           struct str in, unsigned position, struct strbuf *out);
bool decoder_run_bpe(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                     unsigned position, struct strbuf *out);
bool decoder_run_byte_level(const struct decoder_stage *s, struct regex_scratch *scratch,
                            struct str in, unsigned position, struct strbuf *out);

struct decoder_kind {
    const char *type;
    enum status (*parse)(const cJSON *json, struct decoder_stage *s, struct error *err);
    decoder_run_fn run; /* NULL: never in the front part */
    unsigned positions; /* that `run` asks for */
    /* Turns the stage into ops, or refuses: they need a fixed state. */
    enum status (*add_ops)(struct decoder *d, const struct decoder_stage *s, struct error *err);
};

#endif
