#ifndef ENGINE_TOKENIZER_PRETOKENIZER_CUT_H
#define ENGINE_TOKENIZER_PRETOKENIZER_CUT_H

/* pretokenizer_cut.h - what the files of the pre-tokenizer share: cutting a piece at delimiters, and
 * the kinds for pretokenizer.c's table.
 *
 * Pieces go depth first: each part that a stage cuts off goes through the later stages to the
 * model before the next part is cut, so that no list of pieces exists and an encoding can stop
 * early.  Buffers belong to a stage; a stage is never entered twice at once. */

#include "engine/tokenizer/internal.h"

struct pretokenizer_kind {
    const char *type; /* as in tokenizer.json */
    enum status (*parse)(const cJSON *json, struct pretokenizer_stage *s, struct error *err);
    bool (*run)(struct encoder *e, int stage, struct piece piece);
};

struct cutter {
    struct encoder *e;
    int next_stage;
    struct piece piece;
    enum split_behavior behavior;
    bool invert;
    bool (*sink)(struct cutter *c, struct piece part); /* NULL: the next stage */
    /* The part that waits for its neighbour. */
    bool waiting, previous_match;
    size_t from, to;
};

/* The part of a piece from one byte to another. */
static inline struct piece piece_part(struct piece p, size_t from, size_t to)
{
    return (struct piece){{p.text.data + from, to - from},
                          p.head_len > from ? p.head_len - from : 0};
}
/* All return false to stop.  Sends a part on, unless it is empty: */
bool cut_send(struct cutter *c, size_t from, size_t to);
bool cut_by_regex(struct cutter *c, const struct regex *pattern);
/* At every character that has the flag (enum unicode_flag). */
bool cut_by_flag(struct cutter *c, unsigned flag);
/* At every occurrence of the text, one character. */
bool cut_by_literal(struct cutter *c, struct str literal);
/* A string of one character. */
enum status pretokenizer_parse_character(const cJSON *json, const char *key, char out[5],
                                         struct error *err);
enum status cut_parse_behavior(const cJSON *json, enum split_behavior *out, struct error *err);

/* pretokenizer_split.c */
enum status pretokenizer_parse_split(const cJSON *json, struct pretokenizer_stage *s,
                                     struct error *err);
bool pretokenizer_run_split(struct encoder *e, int stage, struct piece piece);
enum status pretokenizer_parse_byte_level(const cJSON *json, struct pretokenizer_stage *s,
                                          struct error *err);
bool pretokenizer_run_byte_level(struct encoder *e, int stage, struct piece piece);
enum status pretokenizer_parse_metaspace(const cJSON *json, struct pretokenizer_stage *s,
                                         struct error *err);
bool pretokenizer_run_metaspace(struct encoder *e, int stage, struct piece piece);

/* pretokenizer_classes.c: by the class of each character */
enum status pretokenizer_parse_digits(const cJSON *json, struct pretokenizer_stage *s,
                                      struct error *err);
enum status pretokenizer_parse_punctuation(const cJSON *json, struct pretokenizer_stage *s,
                                           struct error *err);
enum status pretokenizer_parse_whitespace_split(const cJSON *json, struct pretokenizer_stage *s,
                                                struct error *err);
bool pretokenizer_run_flag(struct encoder *e, int stage, struct piece piece);
enum status pretokenizer_parse_delimiter(const cJSON *json, struct pretokenizer_stage *s,
                                         struct error *err);
bool pretokenizer_run_delimiter(struct encoder *e, int stage, struct piece piece);
enum status pretokenizer_parse_fixed_length(const cJSON *json, struct pretokenizer_stage *s,
                                            struct error *err);
bool pretokenizer_run_fixed_length(struct encoder *e, int stage, struct piece piece);
bool pretokenizer_run_whitespace(struct encoder *e, int stage, struct piece piece);
bool pretokenizer_run_bert(struct encoder *e, int stage, struct piece piece);
bool pretokenizer_run_scripts(struct encoder *e, int stage, struct piece piece);

#endif
