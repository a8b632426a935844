#ifndef ENGINE_TOKENIZER_PRETOKENIZER_H
#define ENGINE_TOKENIZER_PRETOKENIZER_H

/* pretokenizer.h - cutting the text into the pieces that the model sees.  Parsed once, then read by
 * any thread. */

#include "engine/tokenizer/component.h"

struct encoder;

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
    struct regex *pattern; /* Split, ByteLevel */
    unsigned flag;         /* Digits, Punctuation, WhitespaceSplit: enum unicode_flag */
    int64_t length;        /* FixedLength: characters */
    enum split_behavior behavior;
    bool invert, use_regex, add_prefix_space, split;
    char replacement[5]; /* Metaspace, CharDelimiterSplit: one character */
    enum prepend_scheme prepend;
};
struct pretokenizer {
    struct pretokenizer_stage stages[STAGES_MAX];
    int n_stages;
    int n_run;         /* stages that do something: a last ByteLevel may have nothing to do */
    bool leaves_bytes; /* the last stage, ByteLevel, leaves the bytes to the model */
};
/* A part of the text.  head_len: how many bytes at its start come from the first character of the
 * original text; 0: it starts behind that.  (A normalizer can make several characters of the first
 * one, so that more than one piece has a head.) */
struct piece {
    struct str text;
    size_t head_len;
};
enum status pretokenizer_parse(const cJSON *json, struct pretokenizer *p, struct error *err);
/* The last stage makes characters of bytes. */
bool pretokenizer_ends_in_bytes(const struct pretokenizer *p);
/* From now on it leaves them to the model. */
void pretokenizer_leave_bytes(struct pretokenizer *p);
void pretokenizer_free(struct pretokenizer *p);
/* Sends the piece through the stages from `stage` on and what comes out to the model; false:
 * stop, e->status says why. */
bool pretokenizer_run(struct encoder *e, int stage, struct piece piece);
/* Metaspace's keys, which its decoder shares. */
enum status metaspace_parse(const cJSON *json, char replacement[5], enum prepend_scheme *prepend,
                            bool *split, struct error *err);

#endif
