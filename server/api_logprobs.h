#ifndef SERVER_API_LOGPROBS_H
#define SERVER_API_LOGPROBS_H

/* api_logprobs.h - log-probabilities as JSON, in the three shapes that the API has: chat (a list of
 * objects with bytes), completions (four parallel arrays), vLLM's prompt_logprobs (a list of maps
 * by token id).  Each token is written once, when it arrives: nothing else is kept.
 * Threads: one owner of the style's scratch. */

#include "config/base/str.h"
#include "engine/sampling.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdbool.h>

struct logprob_style {
    const struct tokenizer *tokenizer;
    bool tokens_as_ids;     /* "token_id:123" in place of the token's text */
    int32_t n_top;          /* alternatives to show */
    struct strbuf *scratch; /* working memory, kept between calls */
};

/* Chat: appends one entry of logprobs.content, behind a comma when `out` is not empty. */
void chat_logprob_add(struct strbuf *out, const struct logprob_style *style,
                      const struct sample_out *s);

/* Completions: each buffer holds the items of one array. */
struct legacy_logprobs {
    struct strbuf tokens, values, tops, offsets;
};
void legacy_logprobs_add(struct legacy_logprobs *l, const struct logprob_style *style,
                         const struct sample_out *s, int64_t text_offset);
/* A prompt's first token has no probability: null. */
void legacy_logprobs_add_first(struct legacy_logprobs *l, const struct logprob_style *style,
                               int32_t token);
void legacy_logprobs_append(struct legacy_logprobs *to, const struct legacy_logprobs *from);
void legacy_logprobs_json(struct strbuf *out, const struct legacy_logprobs *l);
bool legacy_logprobs_failed(const struct legacy_logprobs *l);
void legacy_logprobs_clear(struct legacy_logprobs *l);
void legacy_logprobs_free(struct legacy_logprobs *l);

/* vLLM's prompt_logprobs: {"id":{"logprob":..,"rank":..,"decoded_token":".."},...} */
void prompt_logprob_add(struct strbuf *out, const struct logprob_style *style,
                        const struct sample_out *s);

/* Appends to a list of ids: [1,2,3 without the brackets. */
void ids_add(struct strbuf *out, int32_t id);

#endif
