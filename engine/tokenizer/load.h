#ifndef ENGINE_TOKENIZER_LOAD_H
#define ENGINE_TOKENIZER_LOAD_H

/* load.h - from files to a tokenizer: what the loaders of the formats share. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>

struct tokenizer;

/* The JSON files beside a tokenizer's own; each may be NULL.  Loading takes the chat templates out
 * of `config` and adds the special tokens that a native file names itself. */
struct token_files {
    cJSON *config; /* tokenizer_config.json */
    cJSON *map;    /* special_tokens_map.json */
    cJSON *added;  /* added_tokens.json */
    /* For tests: a rank file need not have all the ranks of its family. */
    bool any_rank_count;
};
void token_files_free(struct token_files *f);

/* load.c.  Once the vocabulary is known: no id has an added token yet. */
enum status tokenizer_reserve_ids(struct tokenizer *t, struct error *err);
/* The last steps, when all parts are there and the added tokens put.  `name` is for messages. */
enum status tokenizer_finish(struct tokenizer *t, const char *name, cJSON *config,
                             struct error *err);

/* native.c: from the bytes of a SentencePiece model or a tiktoken rank file, told apart by what is
 * in them; the name, without folders, says which family's a rank file is. */
enum status tokenizer_parse_native(struct str file, const char *name, struct token_files *files,
                                   struct tokenizer **out, struct error *err);
/* The native file of a directory that has no tokenizer.json; NOT_FOUND says what is missing. */
enum status tokenizer_load_native(const char *dir, struct token_files *files,
                                  struct tokenizer **out, struct error *err);

#endif
