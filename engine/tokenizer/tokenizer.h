#ifndef ENGINE_TOKENIZER_TOKENIZER_H
#define ENGINE_TOKENIZER_TOKENIZER_H

/* tokenizer.h - text to ids and back, as Hugging Face tokenizers (0.22) does it.
 *
 * Reads tokenizer.json (a component it does not know is refused by name; "truncation" and
 * "padding" play no part), else a SentencePiece model or a tiktoken rank file, and, where present, tokenizer_config.json and special_tokens_map.json
 * as transformers 5 does:
 * - "added_tokens_decoder" overrides the flags of added tokens; named tokens (bos, eos, unk, sep,
 *   pad, cls, mask, any other "..._token") and extra_special_tokens are added to the tokenizer: one
 *   that has no id yet gets the next one, although the model may have no row for it.
 * - the post-processor of tokenizer.json decides which tokens surround a text; add_bos_token and
 *   add_eos_token count only where there is no tokenizer.json.
 * - "clean_up_tokenization_spaces" has no effect: transformers no longer applies it to BPE.
 * A struct tokenizer is immutable once loaded: any thread may use it.  Encoding allocates from the
 * heap and is not for a step. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

struct token_vec {
    int32_t *ids;
    size_t len, cap;
};
void token_vec_free(struct token_vec *v);
bool token_vec_push(struct token_vec *v, int32_t id); /* false: out of memory */

enum status tokenizer_load(const char *dir, struct tokenizer **out, struct error *err);
/* From text (tests, fuzzing); config may be NULL. */
enum status tokenizer_parse(const char *json, size_t json_len, const char *config,
                            size_t config_len, struct tokenizer **out, struct error *err);
void tokenizer_free(struct tokenizer *t);

/* Appends to *out.  add_special: apply the post-processor (BOS...).  parse_special: added tokens
 * in the text become their ids (what Hugging Face does); false: those that are special are plain
 * text (its split_special_tokens).  text must be valid UTF-8 (INVALID otherwise).  max_tokens 0 =
 * unbounded; beyond it the call stops early with CONTEXT_LENGTH, so that a long text costs no more
 * than it must; *out then has the first max_tokens ids.  The cost is O(n log n) for any text. */
enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                             bool add_special, bool parse_special, size_t max_tokens,
                             struct token_vec *out, struct error *err);

/* Whole decode, as Hugging Face's decode(ids, skip_special_tokens).  Unknown ids give nothing.
 * The result is valid UTF-8: bad sequences become U+FFFD, one for each maximal part of a character
 * (byte-level) or, where tokens are <0xNN> bytes, one for every byte of a run of them that is not
 * UTF-8 as a whole.  Of a run longer than 64 bytes the characters complete by then stay, which is
 * the one difference from Hugging Face: nothing can be held back for ever. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct strbuf *out);

/* Incremental decode: whatever the split, the concatenated deltas equal tokenizer_decode of all
 * ids.  Held back until decided or detok_finish: incomplete UTF-8, a run of <0xNN> tokens (what
 * follows may make it invalid as a whole), what a decoder changes only at the end (blanks it strips,
 * the suffix of the last token) and the beginnings of what a decoder replaces.  No allocation after
 * init except in `out`; copyable by assignment. */
#define DETOK_OPS_MAX 32
struct detok {
    const struct tokenizer *tok;
    bool skip_special;
    bool raw;            /* one token by itself, as bytes (tokenizer_token_bytes) */
    bool started;        /* a token was there */
    bool quiet;          /* nothing is held back: a plain token goes straight out */
    bool run_bad;        /* the current run of byte tokens is not UTF-8 */
    uint8_t plain_test;  /* the flags of a token that decide on the quick way */
    uint8_t pending[64]; /* the bytes of a run, held back */
    int n_pending;
    uint8_t cut[4]; /* the beginning of a character */
    int n_cut;
    int32_t held, held_sent; /* a token that may be the last one; bytes given out */
    int32_t previous;        /* token, where repeated ones are merged */
    uint8_t held_position, previous_position;
    int32_t state[DETOK_OPS_MAX][2]; /* of each step (decoder.h) */
};
void detok_init(struct detok *d, const struct tokenizer *t, bool skip_special);
void detok_push(struct detok *d, int32_t id, struct strbuf *out);
void detok_finish(struct detok *d, struct strbuf *out);

int tokenizer_vocab_size(const struct tokenizer *t); /* highest id + 1 */
/* The token's own text in the vocabulary ("Ġthe", "<0x0A>"); NULL when there is no such id. */
const char *tokenizer_id_to_token(const struct tokenizer *t, int32_t id);
int32_t tokenizer_token_to_id(const struct tokenizer *t, const char *token); /* -1 = none */
/* The bytes a token stands for in running text (" the", one raw byte): for logprobs.  Appends. */
void tokenizer_token_bytes(const struct tokenizer *t, int32_t id, struct strbuf *out);
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
int32_t tokenizer_bos_id(const struct tokenizer *t);        /* -1 = none */
int32_t tokenizer_eos_id(const struct tokenizer *t);        /* -1 = none */
const char *tokenizer_bos_token(const struct tokenizer *t); /* "" = none; for templates */
const char *tokenizer_eos_token(const struct tokenizer *t);
const char *tokenizer_unk_token(const struct tokenizer *t);
const char *tokenizer_pad_token(const struct tokenizer *t);
/* tokenizer_config.json's chat_template: a string; or named: `name` NULL = "default".  NULL when
 * the file has none. */
const char *tokenizer_chat_template(const struct tokenizer *t, const char *name);
/* The same one by one: i < tokenizer_n_chat_templates. */
size_t tokenizer_n_chat_templates(const struct tokenizer *t);
const char *tokenizer_chat_template_at(const struct tokenizer *t, size_t i, const char **name);

#endif
