#ifndef SERVER_GENERATION_H
#define SERVER_GENERATION_H

/* generation.h - one completions or chat request from its body to the last byte of its answer.
 *
 *   start -> prepare (JSON, template, tokens; on the uv pool when the body is long) -> submit
 *         -> engine events -> detokenise, stop strings -> chunk or body -> end
 *
 * generation.c has the life, generation_output.c what a token becomes.  A request with several
 * prompts is several engine requests of one generation; each has n choices.
 *
 * Ownership: reference counted.  The exchange holds one reference until on_closed, each engine
 * request one until its last event, the uv pool one while it works.  What the engine may read
 * (prompt, params) lives in the arena of the params and dies with the generation.
 * Threads: the loop thread's, but for generation_prepare, which touches only `params`, `prompts`
 * and `prepare_err` of a generation that nobody else looks at meanwhile. */

#include "server/api_logprobs.h"
#include "server/api_params.h"
#include "server/app.h"
#include "server/sse.h"
#include "server/stop.h"

struct gen_choice {
    struct gen_prompt *prompt;
    int32_t index; /* in the answer: prompt * n + choice */
    int32_t n_tokens;
    int32_t stop_token;  /* the id of stop_token_ids that ended it, -1 = none */
    int32_t stop_string; /* index of the stop string that ended it, -1 = none */
    uint8_t finish;      /* enum finish_reason; FINISH_NONE while it runs */
    bool opened;         /* something of it was written to the stream */
    struct detok detok;
    struct stop_state stop;
    int64_t n_chars;  /* of text made so far, echo included: completions' text_offset */
    uint64_t last_us; /* when its last token came */
    /* unstreamed answers */
    struct strbuf text, token_ids, chat_logprobs;
    struct legacy_logprobs legacy;
};

struct gen_prompt {
    struct generation *gen;
    struct request request;
    struct gen_choice *choices; /* [n] */
    int32_t index, n_open;      /* choices that run */
    int32_t n_scored;           /* prompt tokens whose logprob has come */
    int32_t n_cached;           /* -1 until admitted */
    bool in_engine;             /* submitted, and its last event has not come */
    bool cancelled;
    uint8_t finish;  /* enum finish_reason of the choice that ended last */
    struct str echo; /* text in front of the completion */
    struct detok echo_detok;
    int64_t echo_chars;
    uint64_t admitted_us, first_us, last_us;
    struct legacy_logprobs echo_logprobs;
    struct strbuf prompt_logprobs;
};

struct generation {
    struct app *app;
    struct http_exchange *x; /* NULL after on_closed */
    enum api_kind kind;
    int refs;
    struct list dirty;     /* in the list of streams to flush */
    struct list preparing; /* in the list of those on the pool, while work.data is set */
    uv_work_t work;
    struct str body; /* until prepared */
    int64_t created_s;
    enum status prepare_status;
    struct error prepare_err;

    struct api_params params;
    struct stop_set stops;
    struct gen_prompt *prompts; /* [n_prompts] */
    struct gen_choice *choices; /* [n_prompts * n] */
    int32_t n_prompts, n_open;  /* prompts; choices that run */
    int32_t tokenizer_eos;      /* for a model whose config names no eos */
    char id[160];
    struct sse_identity identity;
    struct sse_head head;
    struct usage usage;
    size_t echo_size;   /* bytes of the stream's chunks that hold the prompt */
    size_t kept_size;   /* bytes kept for an answer that is not streamed */
    bool streaming;     /* the response has begun as a stream */
    bool out_of_memory; /* seen while writing: the answer cannot be completed */
    bool answered;      /* the response is written whole, or the client is gone */
    int http_status;
    uint64_t arrival_us, first_us;
};

/* --- generation_output.c --------------------------------------------------------------------- */

/* Working memory of the output path, kept from token to token; the loop thread's. */
struct gen_scratch {
    struct strbuf out, raw, text, logprobs, names, ids, prompt_ids, usage, reason, echo;
    struct legacy_logprobs legacy;
};

/* Takes a token (ev->type EVENT_TOKEN) or the end without one (EVENT_FINISH); writes the chunk when
 * the answer is a stream.  Sets c->finish when the choice has ended, also by a stop string. */
void generation_take(struct gen_choice *c, const struct engine_event *ev);
/* One prompt token's logprob. */
void generation_take_prompt_logprob(struct gen_prompt *p, const struct engine_event *ev);
/* Before the first event: the echo and what stands for the prompt's first token. */
void generation_begin_prompt(struct gen_prompt *p);
/* Chat: the chunks that open the choices. */
void generation_write_roles(struct generation *g);
/* The end of a stream without error: usage and [DONE]. */
void generation_write_stream_end(struct generation *g);
/* The unstreamed body; false when memory ran out. */
bool generation_write_body(struct generation *g, struct strbuf *out);
void generation_output_free(struct generation *g);

#endif
