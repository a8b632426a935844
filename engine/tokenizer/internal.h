#ifndef ENGINE_TOKENIZER_INTERNAL_H
#define ENGINE_TOKENIZER_INTERNAL_H

/* internal.h - the parts of a tokenizer and how a text goes through them:
 *
 *   text -> added tokens -> normalizer -> normalized added tokens -> pre-tokenizer -> model -> ids
 *   ids -> added or model token -> decoder -> text
 *
 * Each part is a file with a table of the component types it knows; a new type is a row there.
 * Parts are parsed once, then only read; what an encoding needs besides is in struct encoder. */

#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/decoder.h"
#include "engine/tokenizer/model.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/postprocessor.h"
#include "engine/tokenizer/pretokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab.h"

/* Texts longer than this are refused: positions are 32 bits wide. */
#define TEXT_SIZE_MAX ((size_t)1 << 30)

enum special_token { SPECIAL_BOS, SPECIAL_EOS, SPECIAL_UNK, SPECIAL_PAD, SPECIAL_COUNT };

struct tokenizer {
    const struct model_kind *model;
    struct vocab vocab; /* the model's own tokens */
    void *model_data;   /* the model's own */
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

/* special_tokens.c: tokenizer_config.json and special_tokens_map.json (either may be NULL).  First
 * the tokens they name, before added_tokens_build: */
enum status special_tokens_add(struct tokenizer *t, const cJSON *config, const cJSON *map,
                               struct error *err);
/* then ids, post-processor and templates, which are taken out of `config`: */
enum status special_tokens_apply(struct tokenizer *t, cJSON *config, struct error *err);

/* One call of tokenizer_encode. */
struct encoder {
    const struct tokenizer *t;
    struct token_vec *out;
    size_t out_start, max_tokens; /* 0 = unbounded */
    size_t text_len;              /* of the whole text, for sizing what the parts allocate */
    enum status status;
    struct regex_scratch regex;
    struct strbuf normalized[2];
    struct strbuf stage[STAGES_MAX], prefix[STAGES_MAX];
    void *model_scratch;
};
bool encoder_push(struct encoder *e, int32_t id);
bool encoder_fail(struct encoder *e, enum status status); /* returns false */

#endif
