#include "config/base/clock.h"
#include "server/api_logprobs.h"
#include "server/api_prompt.h"
#include "server/chat.h"
#include "server/sse.h"

#include <stdlib.h>
#include <string.h>

/* POST /tokenize and /detokenize, in vLLM's shapes.  Like a generation, a long body is worked on by
 * the uv pool with a copy of its own, so that the client may leave meanwhile. */

struct text_job {
    struct app *app;
    struct http_exchange *x; /* NULL after on_closed */
    enum api_kind kind;
    int refs; /* the exchange, the work */
    uv_work_t work;
    struct str body;
    char *body_copy;
    int64_t now_s;
    enum status status;
    struct error err;
    struct strbuf answer;
};

static void release(struct text_job *j)
{
    if (--j->refs > 0) return;
    strbuf_free(&j->answer);
    free(j->body_copy);
    free(j);
}

/* --- pure work ------------------------------------------------------------------------------- */

static void add_ids(struct strbuf *out, const struct prompt_tokens *t)
{
    strbuf_add_char(out, '[');
    for (int32_t i = 0; i < t->n; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        strbuf_add_i64(out, t->ids[i]);
    }
    strbuf_add_char(out, ']');
}

static void add_token_strs(struct strbuf *out, const struct tokenizer *tok,
                           const struct prompt_tokens *t)
{
    strbuf_add_char(out, '[');
    for (int32_t i = 0; i < t->n; i++) {
        const char *s = tokenizer_id_to_token(tok, t->ids[i]);
        if (i > 0) strbuf_add_char(out, ',');
        if (!s) s = "";
        strbuf_add_json(out, s, strlen(s));
    }
    strbuf_add_char(out, ']');
}

static enum status tokenize(struct text_job *j, struct api_params *p)
{
    struct prompt_tokens t;
    struct strbuf text;
    struct api_prompt from = {0};
    enum status st = STATUS_OK;

    strbuf_init(&text, LIMIT_TEMPLATE_OUTPUT);
    if (p->messages) {
        st = chat_render(j->app, p, j->now_s, &text, &j->err);
        from.text = (struct str){text.data ? text.data : "", text.len};
    } else {
        from = p->prompts[0];
    }
    if (st == STATUS_OK) st = prompt_make_tokens(j->app, p, &from, &t, &j->err);
    if (st == STATUS_OK) {
        strbuf_addf(&j->answer, "{\"count\":%d,\"max_model_len\":%d,\"tokens\":", t.n,
                    j->app->info->max_model_len);
        add_ids(&j->answer, &t);
        strbuf_add_str(&j->answer, ",\"token_strs\":");
        if (p->return_token_strs)
            add_token_strs(&j->answer, j->app->tokenizer, &t);
        else
            strbuf_add_str(&j->answer, "null");
        strbuf_add_char(&j->answer, '}');
    }
    strbuf_free(&text);
    return st;
}

static enum status detokenize(struct text_job *j, struct api_params *p)
{
    struct strbuf text;

    strbuf_init(&text, 0);
    tokenizer_decode(j->app->tokenizer, p->tokens, (size_t)p->n_tokens, false, &text);
    strbuf_add_str(&j->answer, "{\"prompt\":");
    json_add_text(&j->answer, text.data ? text.data : "", text.len);
    strbuf_add_char(&j->answer, '}');
    if (text.failed) j->answer.failed = true;
    strbuf_free(&text);
    return STATUS_OK;
}

static void work(struct text_job *j)
{
    struct api_rules rules;
    struct api_params p;

    api_rules_init(&rules, j->app);
    j->status = api_params_parse(j->body.data, j->body.len, j->kind, &rules, &p, &j->err);
    if (j->status != STATUS_OK) return;
    j->status = api_check_model(j->app, p.model, &j->err);
    if (j->status == STATUS_OK)
        j->status = j->kind == API_TOKENIZE ? tokenize(j, &p) : detokenize(j, &p);
    if (j->status == STATUS_OK && j->answer.failed)
        j->status = error_set(&j->err, STATUS_NO_MEMORY, "out of memory writing the answer");
    api_params_free(&p);
}

/* --- the loop thread ------------------------------------------------------------------------- */

static void answer(struct text_job *j)
{
    if (!j->x) return;
    if (j->status == STATUS_OK)
        http_respond(j->x, 200, "application/json", j->answer.data, j->answer.len);
    else
        respond_error(j->x, &j->err);
}

static void on_closed(void *user, bool gone)
{
    struct text_job *j = user;

    j->x = NULL;
    if (gone && j->work.data) uv_cancel((uv_req_t *)&j->work);
    release(j);
}

static void work_run(uv_work_t *w)
{
    work(w->data);
}

static void work_done(uv_work_t *w, int status)
{
    struct text_job *j = w->data;

    w->data = NULL;
    if (status == 0) answer(j);
    release(j);
}

static void start_on_pool(struct text_job *j)
{
    j->body_copy = malloc(j->body.len);
    if (j->body_copy) {
        memcpy(j->body_copy, j->body.data, j->body.len);
        j->body.data = j->body_copy;
        j->work.data = j;
        j->refs++;
        if (uv_queue_work(j->app->loop, &j->work, work_run, work_done) == 0) return;
        j->work.data = NULL;
        j->refs--;
    }
    j->status = error_set(&j->err, STATUS_NO_MEMORY, "out of memory");
    answer(j);
}

static void start(struct app *a, struct http_exchange *x, enum api_kind kind)
{
    struct text_job *j = calloc(1, sizeof(*j));

    if (!j) {
        struct error err = {0};
        error_set(&err, STATUS_NO_MEMORY, "out of memory");
        respond_error(x, &err);
        return;
    }
    j->app = a;
    j->x = x;
    j->kind = kind;
    j->refs = 2; /* the exchange and this call */
    j->body = http_body(x);
    j->now_s = clock_unix_s();
    strbuf_init(&j->answer, 0);
    http_set_closed(x, on_closed, j);
    if (j->body.len > API_INLINE_BODY_SIZE) {
        start_on_pool(j);
    } else {
        work(j);
        answer(j);
    }
    release(j);
}

void api_tokenize(struct app *a, struct http_exchange *x)
{
    start(a, x, API_TOKENIZE);
}

void api_detokenize(struct app *a, struct http_exchange *x)
{
    start(a, x, API_DETOKENIZE);
}
