#ifndef SERVER_SSE_H
#define SERVER_SSE_H

/* sse.h - the text of answers: server-sent events with OpenAI's chunk objects, and the pieces that
 * unstreamed bodies share with them (usage, error object).  Pure functions over a strbuf; nothing
 * is allocated but by the strbuf's growth.
 *
 * Everything of a chunk that does not change from token to token is in `struct sse_head`, written
 * once per answer; a token costs three copies and the escaping of its text.
 * Sources: WHATWG HTML, "Server-sent events"; OpenAI's openapi.json
 * (CreateChatCompletionStreamResponse, CreateCompletionResponse). */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends the JSON string literal of valid UTF-8 with its quotes (strbuf_add_json also repairs). */
void json_add_text(struct strbuf *out, const char *text, size_t len);
/* A log-probability: JSON has no infinities, so it is held at -9999 and above, as vLLM does. */
void json_add_logprob(struct strbuf *out, float logprob);

struct sse_identity {
    bool chat;
    const char *id, *model, *fingerprint;
    int64_t created_s;
};

struct sse_head {
    bool chat;
    struct strbuf text; /* data: {"id":...,"choices":[ */
};
/* False: out of memory. */
bool sse_head_init(struct sse_head *h, const struct sse_identity *who);
void sse_head_free(struct sse_head *h);
/* The same members without `data: ` and in the unstreamed object's name: {"id":...,"choices":[ */
void sse_body_begin(struct strbuf *out, const struct sse_identity *who);

/* What most chunks lack; a NULL or empty member is not written, but for those that the schema
 * wants (logprobs, finish_reason: null). */
struct sse_extra {
    struct str logprobs;         /* JSON value */
    const char *finish_reason;   /* "stop" */
    struct str stop_reason;      /* JSON value; written with a finish_reason only */
    struct str token_ids;        /* JSON array */
    struct str prompt_token_ids; /* JSON array, inside the choice */
    struct str usage;            /* JSON value, outside the choices */
};
/* One chunk with a piece of text (may be empty).  extra may be NULL. */
void sse_add_delta(struct strbuf *out, const struct sse_head *h, int32_t index, struct str text,
                   const struct sse_extra *extra);
/* Chat: the chunk that opens a choice.  prompt_token_ids (JSON, may be empty) stands outside. */
void sse_add_role(struct strbuf *out, const struct sse_head *h, int32_t index,
                  struct str prompt_token_ids, struct str usage);
/* The chunk without choices that ends a stream with include_usage. */
void sse_add_usage(struct strbuf *out, const struct sse_head *h, struct str usage);
void sse_add_done(struct strbuf *out); /* data: [DONE] */
/* data: {"error":{...}} */
void sse_add_error(struct strbuf *out, const struct error *err);

struct usage {
    int64_t prompt_tokens, completion_tokens, cached_tokens;
};
void usage_add_json(struct strbuf *out, const struct usage *u);

#endif
