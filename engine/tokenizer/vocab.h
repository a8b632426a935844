#ifndef ENGINE_TOKENIZER_VOCAB_H
#define ENGINE_TOKENIZER_VOCAB_H

/* vocab.h - the model's tokens: id -> text and text -> id.  Built once, then read by any thread. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdint.h>

#define VOCAB_NONE UINT32_MAX

struct vocab {
    struct strbuf bytes;     /* all texts, each NUL-terminated */
    uint32_t *offsets;       /* [n_ids] into bytes; VOCAB_NONE = a hole */
    uint32_t *lens;          /* [n_ids] */
    size_t n_ids;            /* highest id + 1 */
    size_t n_tokens;         /* ids that have a text */
    uint32_t *slots;         /* open addressing: id + 1, 0 = empty */
    size_t slot_mask;        /* slots - 1 */
    uint64_t seed;           /* of the hash: a file cannot aim for collisions */
    size_t longest_text_len; /* bytes */
};

/* Room for n_ids ids and n_tokens tokens. */
enum status vocab_init(struct vocab *v, size_t n_ids, size_t n_tokens, struct error *err);
void vocab_free(struct vocab *v);
/* CORRUPT: the id or the text is there already, or the id is out of range. */
enum status vocab_add(struct vocab *v, int64_t id, const char *text, size_t len, struct error *err);
int32_t vocab_find(const struct vocab *v, const char *text, size_t len); /* -1 = none */
bool vocab_has(const struct vocab *v, int64_t id);
struct str vocab_text(const struct vocab *v, int64_t id); /* data NULL when there is none */

#endif
