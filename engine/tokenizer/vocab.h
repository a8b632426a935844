#ifndef ENGINE_TOKENIZER_VOCAB_H
#define ENGINE_TOKENIZER_VOCAB_H

/* vocab.h - the model's tokens: id -> text and text -> id.  Built once, then read by any thread. */

#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/word_map.h"

#include <stdint.h>

#define VOCAB_NONE UINT32_MAX

struct vocab {
    struct strbuf bytes;     /* all texts, each NUL-terminated */
    uint32_t *offsets;       /* [n_ids] into bytes; VOCAB_NONE = a hole */
    uint32_t *lens;          /* [n_ids] */
    size_t n_ids;            /* highest id + 1 */
    size_t n_tokens;         /* ids that have a text */
    struct word_map words;   /* text -> id; the empty text has an id of its own */
    int32_t empty_id;        /* -1 = none */
    size_t longest_text_len; /* bytes */
};

/* Room for n_ids ids and n_tokens tokens. */
enum status vocab_init(struct vocab *v, size_t n_ids, size_t n_tokens, struct error *err);
void vocab_free(struct vocab *v);
/* CORRUPT: the id or the text is there already, the id is out of range, or the text is longer than
 * WORD_SIZE_MAX. */
enum status vocab_add(struct vocab *v, int64_t id, const char *text, size_t len, struct error *err);
/* The same in two steps, for many tokens: keep each text, link it some texts later. */
enum status vocab_keep(struct vocab *v, int64_t id, const char *text, size_t len,
                       struct error *err);
enum status vocab_link(struct vocab *v, int64_t id, struct error *err);
int32_t vocab_find(const struct vocab *v, const char *text, size_t len); /* -1 = none */
bool vocab_has(const struct vocab *v, int64_t id);
struct str vocab_text(const struct vocab *v, int64_t id); /* data NULL when there is none */

#endif
