#include "server/generation.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/hash.h"
#include "config/base/log.h"
#include "server/api_prompt.h"
#include "server/live_stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stream whose client does not read is given up beyond this (and the prompt, where that is part
 * of the stream): about 20,000 events. */
enum { STREAM_BACKLOG_MAX_SIZE = 4 << 20 };

#define SHUTTING_DOWN "The request was cancelled: the server is shutting down."

/* The loop thread's; there is one in a process. */
static struct {
    struct list dirty;     /* streams with bytes to flush */
    struct list preparing; /* on the pool */
    bool ready;
    int n_active, n_preparing;
    uint64_t n_seeds; /* seeds drawn so far */
} state;

/* --- references ------------------------------------------------------------------------------ */

static void release(struct generation *g)
{
    if (--g->refs > 0) return;
    if (!list_empty(&g->dirty)) list_remove(&g->dirty);
    generation_output_free(g);
    if (g->prepare_status == STATUS_OK) api_params_free(&g->params);
    free((char *)(uintptr_t)g->body.data);
    free(g);
    state.n_active--;
}

int api_n_active(const struct app *a)
{
    (void)a;
    return state.n_active;
}

int api_n_preparing(const struct app *a)
{
    (void)a;
    return state.n_preparing;
}

/* --- the end --------------------------------------------------------------------------------- */

static double seconds(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us >= from_us ? (double)(to_us - from_us) / 1e6 : -1;
}

/* While the pool prepares it, what the body says belongs to the pool. */
static bool on_pool(const struct generation *g)
{
    return g->work.data != NULL;
}

static const char *finish_word(const struct generation *g)
{
    static const char *const words[] = {"none", "stop", "length", "abort", "deadline", "error"};
    int worst = FINISH_NONE;

    for (int32_t i = 0; i < g->n_prompts; i++)
        if (g->prompts[i].finish > worst) worst = g->prompts[i].finish;
    return words[worst];
}

/* One line per request: no content, no key.  Of an error stand its code and the field at fault, not
 * its message, which may quote the request. */
static void log_end(const struct generation *g, const struct error *err)
{
    uint64_t now = clock_now_us();
    bool known = !on_pool(g);
    const char *code = err ? status_api_code(err->code) : NULL;

    if (!g->app->opts->log_requests) return;
    if (err && !code) code = status_api_type(err->code);
    log_event(LOG_INFO, "request",
              "id=%s route=%s status=%d stream=%d n=%d prompt_tokens=%lld output_tokens=%lld "
              "cached_tokens=%lld ttft_s=%.6f e2e_s=%.6f finish=%s error=%s param=%s",
              g->id, g->kind == API_CHAT ? "chat" : "completions", g->http_status,
              known && g->params.stream, known ? g->n_prompts * g->params.n : 0,
              (long long)g->usage.prompt_tokens, (long long)g->usage.completion_tokens,
              (long long)g->usage.cached_tokens,
              g->first_us ? seconds(g->arrival_us, g->first_us) : (double)NAN,
              seconds(g->arrival_us, now), known ? finish_word(g) : "none", code,
              err && err->param[0] ? err->param : NULL);
}

static void cancel_all(struct generation *g)
{
    if (on_pool(g)) return; /* nothing of it is in the engine */
    for (int32_t i = 0; i < g->n_prompts; i++) {
        struct gen_prompt *p = &g->prompts[i];
        if (!p->in_engine || p->cancelled) continue;
        p->cancelled = true;
        engine_loop_cancel(g->app->engine, &p->request);
    }
}

static void mark_dirty(struct generation *g)
{
    if (list_empty(&g->dirty)) list_push_back(&state.dirty, &g->dirty);
}

static void fail(struct generation *g, const struct error *err)
{
    if (g->answered) return;
    g->answered = true;
    g->http_status = status_http(err->code);
    cancel_all(g);
    log_end(g, err);
    if (!g->x) return;
    if (!g->streaming) {
        respond_error(g->x, err);
        return;
    }
    struct strbuf out;
    strbuf_init(&out, 0);
    sse_add_error(&out, err);
    if (!out.failed) http_stream_write(g->x, out.data, out.len);
    strbuf_free(&out);
    http_stream_end(g->x);
}

static void fail_with(struct generation *g, enum status code, const char *message)
{
    struct error err = {0};

    error_set(&err, code, "%s", message);
    fail(g, &err);
}

static void succeed(struct generation *g)
{
    if (g->answered) return;
    if (g->params.stream) {
        generation_write_stream_end(g);
    } else {
        struct strbuf body;
        strbuf_init(&body, 0);
        if (generation_write_body(g, &body))
            http_respond_buf(g->x, 200, "application/json", &body);
        else
            g->out_of_memory = true;
        strbuf_free(&body);
    }
    if (g->out_of_memory) {
        fail_with(g, STATUS_NO_MEMORY, "out of memory writing the answer");
        return;
    }
    g->answered = true;
    g->http_status = 200;
    log_end(g, NULL);
    if (g->params.stream) http_stream_end(g->x);
}

/* The exchange is over: sent whole, or the client left. */
static void on_closed(void *user, bool gone)
{
    struct generation *g = user;

    g->x = NULL;
    if (gone && !g->answered) {
        g->answered = true;
        g->http_status = status_http(STATUS_CANCELLED);
        cancel_all(g);
        if (on_pool(g)) uv_cancel((uv_req_t *)&g->work);
        log_end(g, NULL);
    }
    release(g);
}

/* --- preparing: pure, on any thread ---------------------------------------------------------- */

/* The output goes on from the prompt's text: a decoder that drops the space in front of a text
 * must not drop it here, and a character that the prompt began may end in the output.  Four tokens
 * with text are enough of a past for both (UTF-8 has at most four bytes). */
static void prime_detok(const struct generation *g, const struct gen_prompt *p)
{
    const struct tokenizer *t = g->app->tokenizer;
    const int32_t *ids = p->request.prompt;
    int32_t from = p->request.n_prompt;
    struct strbuf ignored;

    for (int n_text = 0; from > 0 && n_text < 4;) n_text += !tokenizer_is_special(t, ids[--from]);
    strbuf_init(&ignored, 0);
    for (int32_t c = 0; c < g->params.n; c++)
        for (int32_t i = from; i < p->request.n_prompt; i++)
            detok_push(&p->choices[c].detok, ids[i], &ignored);
    strbuf_free(&ignored);
}

/* What echo shows: the text as it was sent, or the decoded ids when those came, or when only a part
 * of the text is the prompt. */
static enum status make_echo(struct generation *g, struct gen_prompt *p,
                             const struct api_prompt *from)
{
    struct strbuf text;
    enum status st = STATUS_OK;

    p->echo = from->text;
    if (!from->ids && g->params.truncate_prompt_tokens == 0) return STATUS_OK;
    strbuf_init(&text, 0);
    tokenizer_decode(g->app->tokenizer, p->request.prompt, (size_t)p->request.n_prompt,
                     g->params.skip_special_tokens, &text);
    p->echo.len = text.len;
    p->echo.data = arena_strndup(&g->params.arena, text.data ? text.data : "", text.len);
    if (text.failed || !p->echo.data)
        st = error_set(&g->prepare_err, STATUS_NO_MEMORY, "out of memory reading the prompt");
    strbuf_free(&text);
    return st;
}

static enum status allocate(struct generation *g)
{
    struct api_params *params = &g->params;
    size_t n_prompts = (size_t)prompts_count(params);

    g->prompts = arena_alloc_array(&params->arena, n_prompts, sizeof(*g->prompts));
    g->choices =
        arena_alloc_array(&params->arena, n_prompts * (size_t)params->n, sizeof(*g->choices));
    if (!g->prompts || !g->choices ||
        !stop_set_init(&g->stops, &params->arena, params->stop, params->n_stop)) {
        g->choices = NULL;
        g->prompts = NULL;
        return error_set(&g->prepare_err, STATUS_NO_MEMORY, "out of memory reading the request");
    }
    g->n_prompts = (int32_t)n_prompts;
    g->n_open = g->n_prompts * params->n;
    for (int32_t i = 0; i < g->n_open; i++) {
        g->choices[i].index = i;
        g->choices[i].prompt = &g->prompts[i / params->n];
        g->choices[i].stop_token = g->choices[i].stop_string = -1;
        detok_init(&g->choices[i].detok, g->app->tokenizer, params->skip_special_tokens);
    }
    for (int32_t i = 0; i < g->n_prompts; i++) {
        g->prompts[i].gen = g;
        g->prompts[i].index = i;
        g->prompts[i].n_open = params->n;
        g->prompts[i].n_cached = -1;
        g->prompts[i].choices = &g->choices[i * params->n];
    }
    return STATUS_OK;
}

static enum status make_prompts(struct generation *g)
{
    const struct prompt_tokens *t;
    enum status st = allocate(g);

    if (st == STATUS_OK) st = prompts_make(g->app, &g->params, g->created_s, &t, &g->prepare_err);
    for (int32_t i = 0; i < g->n_prompts && st == STATUS_OK; i++) {
        struct gen_prompt *p = &g->prompts[i];
        p->request.prompt = t[i].ids;
        p->request.n_prompt = t[i].n;
        p->request.max_tokens = t[i].max_tokens;
        prime_detok(g, p);
        if (g->params.echo) st = make_echo(g, p, &g->params.prompts[i]);
    }
    return st;
}

/* The JSON to tokens: reads what is immutable in the app and touches this generation alone. */
static void prepare(struct generation *g)
{
    enum status st = api_parse(g->app, g->body, g->kind, false, &g->params, &g->prepare_err);

    g->prepare_status = st;
    if (st != STATUS_OK) return;
    st = make_prompts(g);
    if (st == STATUS_OK) {
        api_params_trim(&g->params);
        return;
    }
    generation_output_free(g);
    g->n_prompts = 0;
    g->prompts = NULL;
    g->choices = NULL;
    api_params_free(&g->params);
    g->prepare_status = st;
}

/* --- submitting ------------------------------------------------------------------------------ */

static uint64_t draw_seed(const struct generation *g)
{
    const struct options *o = g->app->opts;
    uint64_t n = ++state.n_seeds;

    /* With --seed a run can be repeated; without, none is like another. */
    return hash_bytes(&n, sizeof(n), o->seed >= 0 ? (uint64_t)o->seed : hash_process_seed());
}

/* Tenants share no prefix, whatever salts they name: else one could time another's prompts. */
static uint64_t salt_of(const struct generation *g)
{
    int64_t tenant = app_tenant(g->app, g->x);
    uint64_t salt = hash_bytes(&tenant, sizeof(tenant), g->app->salt_seed);

    if (!g->params.cache_salt) return salt;
    return hash_bytes(g->params.cache_salt, strlen(g->params.cache_salt), salt);
}

static bool wants_scores(const struct generation *g)
{
    return g->params.n_prompt_logprobs >= 0 || (g->params.echo && g->params.n_logprobs >= 0);
}

static void fill_requests(struct generation *g)
{
    const struct model_config *c = g->app->config;
    double timeout = g->app->opts->request_timeout;
    struct sampling_params *s = &g->params.sampling;
    uint64_t salt = salt_of(g);

    g->tokenizer_eos = tokenizer_eos_id(g->app->tokenizer);
    s->eos_ids = c->n_eos_ids > 0 ? c->eos_ids : &g->tokenizer_eos;
    s->n_eos_ids = c->n_eos_ids > 0 ? c->n_eos_ids : g->tokenizer_eos >= 0;
    for (int32_t i = 0; i < g->n_prompts; i++) {
        struct gen_prompt *p = &g->prompts[i];
        struct request *r = &p->request;
        r->user = p;
        r->owner = app_tenant(g->app, g->x);
        r->n = g->params.n;
        r->score_prompt = wants_scores(g);
        r->priority = (int32_t)g->params.priority;
        r->salt = salt;
        r->arrival_us = g->arrival_us;
        r->deadline_us = timeout > 0 ? g->arrival_us + (uint64_t)(timeout * 1e6) : 0;
        r->params = *s;
        r->params.seed = g->params.has_seed ? g->params.seed : draw_seed(g);
        g->usage.prompt_tokens += r->n_prompt;
        generation_begin_prompt(p);
    }
}

static void name_answer(struct generation *g)
{
    const char *id = g->params.request_id ? g->params.request_id : http_request_id(g->x);
    struct app *a = g->app;

    snprintf(g->id, sizeof(g->id), "%s-%s", g->kind == API_CHAT ? "chatcmpl" : "cmpl", id);
    g->identity =
        (struct sse_identity){.chat = g->kind == API_CHAT,
                              .id = g->id,
                              .model = g->params.model ? g->params.model : api_model_name(a),
                              .fingerprint = a->system_fingerprint,
                              .created_s = g->created_s};
}

static void begin_stream(struct generation *g)
{
    if (!g->params.stream || g->streaming || !g->x || g->answered) return;
    g->streaming = true;
    http_add_header(g->x, "Cache-Control", "no-cache");
    http_stream_begin(g->x, 200, "text/event-stream; charset=utf-8");
    if (g->kind == API_CHAT) generation_write_roles(g);
    mark_dirty(g);
}

/* max_tokens 0 without scores asks nothing of the model. */
static void answer_without_engine(struct generation *g)
{
    struct engine_event ev = {.type = EVENT_FINISH, .finish = FINISH_LENGTH};

    begin_stream(g);
    for (int32_t i = 0; i < g->n_prompts * g->params.n; i++) generation_take(&g->choices[i], &ev);
    for (int32_t i = 0; i < g->n_prompts; i++) g->prompts[i].finish = FINISH_LENGTH;
    g->n_open = 0;
    succeed(g);
}

/* All prompts or none: what was queued before a refusal is taken back, and nothing was sent. */
static void submit(struct generation *g)
{
    struct error err = {0};

    for (int32_t i = 0; i < g->n_prompts; i++) {
        struct gen_prompt *p = &g->prompts[i];
        if (engine_loop_submit(g->app->engine, &p->request, &err) != STATUS_OK) {
            if (err.code == STATUS_OVERLOADED && g->app->metrics)
                metrics_count_rejection(g->app->metrics);
            fail(g, &err);
            return;
        }
        p->in_engine = true;
        g->refs++;
    }
}

static bool asks_for_nothing(const struct generation *g)
{
    return g->params.max_tokens == 0 && !wants_scores(g);
}

static void run(struct generation *g)
{
    struct error err = {0};

    if (!g->x || g->answered) return;
    if (g->prepare_status != STATUS_OK) {
        fail(g, &g->prepare_err);
        return;
    }
    name_answer(g);
    if (g->params.stream && !sse_head_init(&g->head, &g->identity)) {
        fail_with(g, STATUS_NO_MEMORY, "out of memory");
        return;
    }
    if (g->app->failed && api_check_serving(g->app, &err) != STATUS_OK) {
        fail(g, &err);
        return;
    }
    fill_requests(g);
    if (asks_for_nothing(g))
        answer_without_engine(g);
    else
        submit(g);
}

/* --- starting -------------------------------------------------------------------------------- */

static void free_body(struct generation *g)
{
    free((char *)(uintptr_t)g->body.data);
    g->body = (struct str){NULL, 0};
}

static void work_run(uv_work_t *w)
{
    struct generation *g = w->data;

    prepare(g);
    free_body(g);
}

static void work_done(uv_work_t *w, int status)
{
    struct generation *g = w->data;

    w->data = NULL;
    list_remove(&g->preparing);
    state.n_preparing--;
    free_body(g); /* of one that was cancelled */
    if (status == UV_ECANCELED) g->prepare_status = STATUS_CANCELLED;
    run(g);
    api_on_batch_end(g->app);
    release(g);
}

/* Long bodies go to the uv pool, which owns them: the exchange may end before the work does. */
static void prepare_on_pool(struct generation *g)
{
    g->body.data = http_take_body(g->x);
    g->work.data = g;
    if (uv_queue_work(g->app->loop, &g->work, work_run, work_done) == 0) {
        g->refs++;
        list_push_back(&state.preparing, &g->preparing);
        state.n_preparing++;
        return;
    }
    g->work.data = NULL;
    fail_with(g, STATUS_INTERNAL, "The server cannot take up the request.");
}

void api_cancel_preparing(struct app *a)
{
    (void)a;
    if (!state.ready) return;
    list_for_each (node, &state.preparing) {
        struct generation *g = list_entry(node, struct generation, preparing);
        uv_cancel((uv_req_t *)&g->work);
        fail_with(g, STATUS_UNAVAILABLE, SHUTTING_DOWN);
    }
}

static void prepare_here(struct generation *g)
{
    prepare(g);
    g->body = (struct str){NULL, 0};
    run(g);
    api_on_batch_end(g->app);
}

static void start(struct app *a, struct http_exchange *x, enum api_kind kind)
{
    struct error err = {0};
    struct generation *g;

    if (api_check_serving(a, &err) != STATUS_OK) {
        respond_error(x, &err);
        return;
    }
    g = calloc(1, sizeof(*g));
    if (!g) {
        error_set(&err, STATUS_NO_MEMORY, "out of memory");
        respond_error(x, &err);
        return;
    }
    if (!state.ready) {
        list_init(&state.dirty);
        list_init(&state.preparing);
    }
    state.ready = true;
    state.n_active++;
    g->app = a;
    g->x = x;
    g->kind = kind;
    g->refs = 2; /* the exchange and this call */
    list_init(&g->dirty);
    g->prepare_status = STATUS_CANCELLED;
    g->body = http_body(x);
    g->created_s = clock_unix_s();
    g->arrival_us = http_received_us(x);
    snprintf(g->id, sizeof(g->id), "%s", http_request_id(x)); /* until it is named */
    http_set_closed(x, on_closed, g);
    if (g->body.len > API_INLINE_BODY_SIZE)
        prepare_on_pool(g);
    else
        prepare_here(g);
    release(g);
}

void api_completions(struct app *a, struct http_exchange *x)
{
    start(a, x, API_COMPLETION);
}

void api_chat_completions(struct app *a, struct http_exchange *x)
{
    start(a, x, API_CHAT);
}

/* --- events ---------------------------------------------------------------------------------- */

static void observe_token(struct gen_prompt *p, struct gen_choice *c, uint64_t now_us)
{
    struct generation *g = p->gen;
    struct metrics *m = g->app->metrics;
    double ttft = -1, itl = -1;

    if (!p->first_us) {
        p->first_us = now_us;
        if (!g->first_us) g->first_us = now_us;
        ttft = seconds(p->request.arrival_us, now_us);
        if (m) metrics_observe_ttft(m, ttft);
    } else if (c->last_us) {
        itl = seconds(c->last_us, now_us);
        if (m) metrics_observe_itl(m, itl);
    }
    live_stats_add_token(g->app->live_stats, now_us, ttft, itl);
    c->last_us = p->last_us = now_us;
}

static void observe_request(const struct gen_prompt *p, const struct engine_event *ev)
{
    struct metrics *m = p->gen->app->metrics;
    int64_t n_tokens = 0;

    if (!m) return;
    for (int32_t i = 0; i < p->request.n; i++) n_tokens += p->choices[i].n_tokens;
    uint64_t first = p->first_us, last = p->last_us, admitted = p->admitted_us;
    double decode = seconds(first, last);
    int64_t n_gaps = n_tokens - p->request.n;
    enum finish_reason failure = ev->finish >= FINISH_ABORT ? ev->finish : FINISH_ABORT;
    struct metrics_request r = {
        .ttft = seconds(first ? p->request.arrival_us : 0, first),
        .e2e = seconds(p->request.arrival_us, ev->time_us),
        .queue = seconds(admitted ? p->request.arrival_us : 0, admitted),
        .prefill = seconds(admitted, first ? first : ev->time_us),
        .decode = decode,
        .inference = seconds(admitted, last ? last : ev->time_us),
        .time_per_output_token =
            n_gaps > 0 && decode >= 0 ? decode * p->request.n / (double)n_gaps : -1,
        .prompt_tokens = p->request.n_prompt,
        .generation_tokens = n_tokens,
        .max_tokens = p->request.max_tokens,
        .n = p->request.n,
        .finish = p->n_open > 0 ? failure : (enum finish_reason)p->finish,
    };
    metrics_observe_request(m, &r);
    live_stats_add_done(p->gen->app->live_stats, ev->time_us, r.e2e);
}

/* An end that is no answer. */
static void take_failure(struct generation *g, enum finish_reason finish)
{
    switch (finish) {
    case FINISH_DEADLINE:
        fail_with(g, STATUS_TIMEOUT,
                  "The request took longer than the server's --request-timeout allows.");
        break;
    case FINISH_ABORT:
        fail_with(g, STATUS_UNAVAILABLE, SHUTTING_DOWN);
        break;
    default:
        fail_with(g, STATUS_INTERNAL, "The engine could not run the request.");
        break;
    }
}

/* A token, or an end that the client may take for one. */
static void take_output(struct gen_prompt *p, struct gen_choice *c, const struct engine_event *ev)
{
    struct generation *g = p->gen;

    begin_stream(g);
    if (ev->type == EVENT_TOKEN) observe_token(p, c, ev->time_us);
    generation_take(c, ev);
    if (g->params.stream) mark_dirty(g);
    if (g->out_of_memory) {
        fail_with(g, STATUS_NO_MEMORY, "out of memory writing the answer");
        return;
    }
    if (g->kept_size > LIMIT_ANSWER_SIZE) {
        fail_with(g, STATUS_INVALID,
                  "The answer has grown too large to be kept: set 'stream' to true, or ask for "
                  "fewer choices, tokens or log-probabilities.");
        return;
    }
    if (c->finish == FINISH_NONE) return;
    p->finish = c->finish;
    p->n_open--;
    g->n_open--;
    if (ev->finish == FINISH_NONE)
        engine_loop_finish_choice(g->app->engine, &p->request, ev->choice);
    if (g->n_open == 0) succeed(g);
}

static void take_event(struct gen_prompt *p, const struct engine_event *ev)
{
    struct generation *g = p->gen;
    struct gen_choice *c = &p->choices[ev->choice];

    switch (ev->type) {
    case EVENT_ADMITTED:
        if (p->n_cached >= 0) break;
        p->n_cached = ev->n_cached;
        p->admitted_us = ev->time_us;
        g->usage.cached_tokens += ev->n_cached;
        live_stats_add_prompt(g->app->live_stats, ev->time_us, p->request.n_prompt);
        begin_stream(g);
        break;
    case EVENT_PROMPT_LOGPROB:
        generation_take_prompt_logprob(p, ev);
        break;
    case EVENT_TOKEN:
    case EVENT_FINISH:
        if (c->finish != FINISH_NONE) break; /* a stop string has ended it here already */
        if (ev->finish >= FINISH_ABORT) {
            p->finish = (uint8_t)ev->finish;
            take_failure(g, ev->finish);
        } else {
            take_output(p, c, ev);
        }
        break;
    }
}

void api_on_event(void *app, const struct engine_event *ev)
{
    struct gen_prompt *p = ev->request->user;
    struct generation *g = p->gen;

    (void)app;
    g->refs++;
    if (ev->last) p->in_engine = false; /* first: it cannot be cancelled any more */
    if (!g->answered) take_event(p, ev);
    if (ev->last) {
        observe_request(p, ev);
        g->refs--; /* the engine's; the one taken above is left */
    }
    release(g);
}

static void flush(struct generation *g)
{
    if (!g->x || !g->streaming) return;
    http_stream_flush(g->x);
    if (g->answered || http_stream_backlog(g->x) <= STREAM_BACKLOG_MAX_SIZE + g->echo_size) return;
    fail_with(g, STATUS_CANCELLED, "The client does not read its stream.");
}

void api_on_batch_end(void *app)
{
    (void)app;
    if (!state.ready) return;
    list_for_each (node, &state.dirty) {
        struct generation *g = list_entry(node, struct generation, dirty);
        list_remove(node);
        flush(g);
    }
}
