#include "server/api_logprobs.h"
#include "server/api_prompt.h"
#include "server/sse.h"
#include "server/text_job.h"

#include <string.h>

/* What becomes of a text without the model: POST /tokenize and /detokenize in vLLM's shapes, and
 * the render endpoints, which take a generation's body and answer with the ids that it would run
 * on. */

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

static enum status tokenize(const struct text_request *r, struct strbuf *answer, struct error *err)
{
    const struct app *a = r->app;
    const struct prompt_tokens *t;
    struct api_params p;
    enum status st = api_parse(r->app, r->body, API_TOKENIZE, true, &p, err);

    if (st != STATUS_OK) return st;
    st = prompts_make(a, &p, r->now_s, &t, err);
    if (st == STATUS_OK) {
        strbuf_addf(answer, "{\"count\":%d,\"max_model_len\":", t->n);
        api_add_max_model_len(answer, a);
        strbuf_add_str(answer, ",\"tokens\":");
        api_add_ids(answer, t);
        strbuf_add_str(answer, ",\"token_strs\":");
        if (p.return_token_strs)
            add_token_strs(answer, a->tokenizer, t);
        else
            strbuf_add_str(answer, "null");
        strbuf_add_char(answer, '}');
    }
    api_params_free(&p);
    return st;
}

static enum status detokenize(const struct text_request *r, struct strbuf *answer,
                              struct error *err)
{
    struct strbuf text;
    struct api_params p;
    enum status st = api_parse(r->app, r->body, API_DETOKENIZE, true, &p, err);

    if (st != STATUS_OK) return st;
    strbuf_init(&text, 0);
    tokenizer_decode(r->app->tokenizer, p.tokens, (size_t)p.n_tokens, false, &text);
    strbuf_add_str(answer, "{\"prompt\":");
    json_add_text(answer, text.data ? text.data : "", text.len);
    strbuf_add_char(answer, '}');
    if (text.failed) answer->failed = true;
    strbuf_free(&text);
    api_params_free(&p);
    return STATUS_OK;
}

/* --- render ---------------------------------------------------------------------------------- */

static enum status render(const struct text_request *r, enum api_kind kind, struct strbuf *answer,
                          struct error *err)
{
    const struct prompt_tokens *t;
    struct api_params p;
    enum status st = api_parse(r->app, r->body, kind, true, &p, err);

    if (st != STATUS_OK) return st;
    st = prompts_make(r->app, &p, r->now_s, &t, err);
    if (st == STATUS_OK && kind == API_COMPLETION) strbuf_add_char(answer, '[');
    for (int32_t i = 0; i < prompts_count(&p) && st == STATUS_OK; i++) {
        strbuf_add_str(answer, i > 0 ? ",{\"token_ids\":" : "{\"token_ids\":");
        api_add_ids(answer, &t[i]);
        strbuf_add_char(answer, '}');
    }
    if (st == STATUS_OK && kind == API_COMPLETION) strbuf_add_char(answer, ']');
    api_params_free(&p);
    return st;
}

static enum status render_completion(const struct text_request *r, struct strbuf *answer,
                                     struct error *err)
{
    return render(r, API_COMPLETION, answer, err);
}

static enum status render_chat(const struct text_request *r, struct strbuf *answer,
                               struct error *err)
{
    return render(r, API_CHAT, answer, err);
}

/* --- routes ---------------------------------------------------------------------------------- */

void api_tokenize(struct app *a, struct http_exchange *x)
{
    text_job_start(a, x, tokenize);
}

void api_detokenize(struct app *a, struct http_exchange *x)
{
    text_job_start(a, x, detokenize);
}

void api_render_completion(struct app *a, struct http_exchange *x)
{
    text_job_start(a, x, render_completion);
}

void api_render_chat(struct app *a, struct http_exchange *x)
{
    text_job_start(a, x, render_chat);
}
