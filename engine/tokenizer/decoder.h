#ifndef ENGINE_TOKENIZER_DECODER_H
#define ENGINE_TOKENIZER_DECODER_H

/* decoder.h - ids back to text: what each token stands for, and what happens between tokens.
 * Parsed once, then read by any thread; detok.c has what changes. */

#include "engine/tokenizer/pretokenizer.h"

struct tokenizer;

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

#endif
