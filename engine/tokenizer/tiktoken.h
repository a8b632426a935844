#ifndef ENGINE_TOKENIZER_TIKTOKEN_H
#define ENGINE_TOKENIZER_TIKTOKEN_H

/* tiktoken.h - rank files (*.tiktoken, tiktoken.model, Llama 3's tokenizer.model): a line "base64
 * rank" for each token; the rank is its id and its place in the order of merging.
 *
 * How the text is cut and which special tokens there are is not in the file.  tiktoken_families.c
 * knows it for published families, by the class in tokenizer_config.json, the file's name or the
 * number of ranks; any other file is refused.  The file is not trusted: base64, ranks, doubles and
 * sizes are checked, and a message names the line.
 * Source: the behaviour of PyPI tiktoken. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct token_files;
struct tokenizer;

/* Whether the bytes begin as a rank file does; SentencePiece models never do. */
bool tiktoken_is_rank_file(struct str file);
/* Fills t, special tokens included.  Of the other files tokenizer_config.json counts. */
enum status tiktoken_create(struct str file, const char *name, const struct token_files *files,
                            struct tokenizer *t, struct error *err);
/* Once t is finished: no special token is what plain text becomes. */
enum status tiktoken_check(const struct tokenizer *t, struct error *err);

/* --- families ------------------------------------------------------------------------------------------ */

struct tiktoken_special { /* one token, or `count` numbered ones: prefix, number, suffix */
    int32_t id;           /* from the first id after the ranks if the family's are relative */
    const char *prefix;
    int first_number, count; /* count 0: the prefix is the token */
    const char *suffix;
};
struct tiktoken_family {
    const char *name;
    const char *files[3], *classes[3]; /* NULL-terminated unless full */
    const char *module;                /* the class's, NULL = any */
    size_t n_ranks;                    /* of the published file: no family's varies */
    const char *pattern;
    bool nfc;      /* the text is normalised first */
    bool relative; /* the specials' ids */
    /* Ids after the ranks that the configuration does not name are <|reserved_token_ID|>. */
    int n_reserved;
    const struct tiktoken_special *specials; /* NULL: the configuration must have them */
    size_t n_specials;
    const char *before[3]; /* tokens before every text */
};
/* UNSUPPORTED: unknown, the message says what is needed. */
enum status tiktoken_family_find(const char *file_name, size_t n_ranks, const cJSON *config,
                                 const struct tiktoken_family **out, struct error *err);
/* CORRUPT unless the file has as many ranks as the family's. */
enum status tiktoken_family_check_count(const struct tiktoken_family *f, size_t n_ranks,
                                        struct error *err);

#endif
