#ifndef SERVER_TERMINAL_ANSWER_H
#define SERVER_TERMINAL_ANSWER_H

/* answer.h - a streamed chat completion as it arrives: events in, text out.  The server is not
 * trusted: lines, events, JSON and the whole text are bounded, and what is none of OpenAI's events
 * ends the answer with an error.  No sockets and no clock here: time is an argument.
 * Source: OpenAI's API reference, streaming; HTML standard, server-sent events. */

#include "config/base/status.h"
#include "server/sse_lines.h"

/* Ten times what a busy machine makes a reader wait (a time slice of Linux is 3 to 5 ms). */
#define ANSWER_SPAN_MIN_NS UINT64_C(50000000)

/* reasoning: text of `reasoning_content` (or `reasoning`), which is no part of the answer. */
typedef enum status answer_text_fn(void *arg, struct str text, bool reasoning, struct error *err);

struct answer {
    struct strbuf text; /* the answer so far */
    uint64_t n_texts;   /* events that had text; a token each, in inferd's streams */
    int64_t prompt_tokens, completion_tokens; /* of the usage; -1 = not said */
    uint64_t first_ns, last_ns;               /* when text came; 0 = none did */
    uint64_t n_texts_first;                   /* of n_texts, what came with the first */
    char finish_reason[24];                   /* "" = not said yet */
    bool done;                                /* [DONE], or a reason to finish */
    enum status status;                       /* what ended it before its end */
    struct error error;
    /* private */
    answer_text_fn *on_text;
    void *arg;
    struct sse_lines lines;
    struct strbuf event; /* its data lines so far */
    bool event_open;
    uint64_t now_ns;
};

/* on_text is called for each piece of text; its failure ends the answer. */
void answer_init(struct answer *a, answer_text_fn *on_text, void *arg);
/* For the next one; keeps the memory. */
void answer_reset(struct answer *a);
void answer_free(struct answer *a);
/* False: a->status says why nothing more is taken. */
bool answer_feed(struct answer *a, const char *data, size_t len, uint64_t now_ns);
/* The stream is over: OK when it ended as it should. */
enum status answer_end(struct answer *a, struct error *err);
/* Tokens of the answer, as the usage has them, or else (*exact false) as events came. */
int64_t answer_n_tokens(const struct answer *a, bool *exact);
/* Tokens a second from the first that came to the last; 0 when that cannot be told: several may be
 * read at once, so the times have an error of some milliseconds, and an answer that came within
 * ANSWER_SPAN_MIN_NS has no speed. */
double answer_tokens_per_s(const struct answer *a);

/* The message and, where there is one, the code of an error as OpenAI's servers send them:
 * {"error": {"message": ...}} and its kin.  False: it is none. */
bool answer_read_refusal(struct str body, char *message, size_t message_size, char *code,
                         size_t code_size);

#endif
