#ifndef SERVER_APP_H
#define SERVER_APP_H

/* app.h - what the routes share.  Made by serve.c; all members belong to the loop thread, but for
 * the immutable ones (options, tokenizer, template, model info), which the uv pool may read. */

#include "config/options.h"
#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/engine_loop.h"
#include "server/http.h"
#include "server/metrics.h"

struct auth;
struct live;
struct live_stats;
struct chat_templates;

struct app {
    uv_loop_t *loop;
    const struct options *opts;
    const struct model_config *config; /* without an engine: its vocabulary and context alone */
    int32_t n_blocks;                  /* of the KV-cache; 0 while loading */
    struct live *live;                 /* viewers of /live */
    struct live_stats *live_stats;     /* NULL: none are kept */
    int32_t max_model_len;             /* 0: not known, no limit */
    const struct tokenizer *tokenizer;
    const struct chat_templates *chat_templates; /* NULL: the model has none */
    struct engine_loop *engine;                  /* NULL while loading, after shutdown, and in a
                                                  * render server */
    struct metrics *metrics;                     /* NULL while loading */
    struct http_server *http;
    int64_t created_s; /* unix time of start, for /v1/models */
    char system_fingerprint[32];
    uint64_t salt_seed;      /* random per process: mixed into every prefix-cache salt */
    const struct auth *auth; /* NULL: no key is configured */
    bool command_line;       /* `inferd render`: one model, whatever the request calls it */
    bool render_only;        /* a render server: no weights, no engine */
    bool draining;           /* SIGTERM came: ready is 503, new generation is 503 */
    bool failed;             /* the device failed */
};

/* Whether what listens on `host` can be reached from this machine alone. */
bool app_is_loopback(const char *host);

/* Who is asking: index of the API key that matched, or -1 when no key is configured. */
int app_tenant(const struct app *a, const struct http_exchange *x);

/* The one table of routes (routes.c).  Handlers run on the loop thread with the body complete. */
typedef void route_fn(struct app *a, struct http_exchange *x);

/* api_*.c */
void api_completions(struct app *a, struct http_exchange *x);
void api_chat_completions(struct app *a, struct http_exchange *x);
void api_models(struct app *a, struct http_exchange *x);
void api_model(struct app *a, struct http_exchange *x); /* /v1/models/{id}, id may hold slashes */
void api_tokenize(struct app *a, struct http_exchange *x);
void api_detokenize(struct app *a, struct http_exchange *x);
void api_render_completion(struct app *a, struct http_exchange *x);
void api_render_chat(struct app *a, struct http_exchange *x);
/* The engine's events, from engine_loop. */
void api_on_event(void *app, const struct engine_event *ev);
void api_on_batch_end(void *app);
int api_n_active(const struct app *a); /* generations not finished yet */
/* Of these, the ones whose prompt the pool still makes; those too whose client has left. */
int api_n_preparing(const struct app *a);
/* At the end of a server: the clients of these are told, and what the pool has not begun it leaves. */
void api_cancel_preparing(struct app *a);

/* Answers with OpenAI's error object; adds Retry-After to 429 and 503. */
void respond_error(struct http_exchange *x, const struct error *err);

#endif
