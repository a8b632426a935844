#include "server/api_prompt.h"

#include "config/base/check.h"
#include "config/limits.h"
#include "server/chat.h"

#include <string.h>

const char *api_model_name(const struct app *a)
{
    return a->opts->served_model_name.items[0];
}

enum status api_check_model(const struct app *a, const char *model, struct error *err)
{
    const struct option_list *names = &a->opts->served_model_name;

    /* The model as given is what vLLM's users send. */
    if (!model || strcmp(model, a->opts->model_said) == 0) return STATUS_OK;
    for (int i = 0; i < names->n; i++)
        if (strcmp(model, names->items[i]) == 0) return STATUS_OK;
    return error_set_param(err, STATUS_MODEL_NOT_FOUND, "model",
                           "The model '%s' does not exist; GET /v1/models lists those that do.",
                           model);
}

enum status api_check_serving(const struct app *a, struct error *err)
{
    if (a->failed)
        return error_set(err, STATUS_UNAVAILABLE,
                         "The device has failed; the server must be "
                         "restarted.");
    if (a->draining) return error_set(err, STATUS_UNAVAILABLE, "The server is shutting down.");
    return STATUS_OK;
}

void api_add_max_model_len(struct strbuf *out, const struct app *a)
{
    if (a->max_model_len > 0)
        strbuf_add_i64(out, a->max_model_len);
    else
        strbuf_add_str(out, "null");
}

static int32_t cap(int64_t option, int32_t limit)
{
    return option < limit ? (int32_t)option : limit;
}

void api_rules_init(struct api_rules *r, const struct app *a)
{
    const struct model_config *c = a->config;
    bool model_defaults = strcmp(a->opts->generation_config, "vllm") != 0;

    *r = (struct api_rules){.vocab_size = c->vocab_size,
                            .max_model_len = a->max_model_len > 0 ? a->max_model_len : INT32_MAX,
                            .max_n = cap(a->opts->max_n, LIMIT_N),
                            .max_prompts = cap(a->opts->max_prompt_batch, LIMIT_BATCH_PROMPTS),
                            .max_stop_strings = cap(a->opts->max_stop_strings, LIMIT_STOP_STRINGS),
                            .max_logprobs = cap(a->opts->max_logprobs, LIMIT_LOGPROBS),
                            .priority_policy = strcmp(a->opts->scheduling_policy, "priority") == 0,
                            .temperature = 1.0f,
                            .top_p = 1.0f,
                            .repetition_penalty = 1.0f};
    if (!model_defaults) return;
    if (c->generation.has_temperature) r->temperature = c->generation.temperature;
    if (c->generation.has_top_p) r->top_p = c->generation.top_p;
    if (c->generation.has_min_p) r->min_p = c->generation.min_p;
    if (c->generation.has_top_k) r->top_k = c->generation.top_k;
    if (c->generation.has_repetition_penalty)
        r->repetition_penalty = c->generation.repetition_penalty;
}

int64_t api_default_chat_tokens(const struct app *a)
{
    bool said =
        a->config->generation.has_max_new_tokens && strcmp(a->opts->generation_config, "vllm") != 0;
    return said ? a->config->generation.max_new_tokens : -1;
}

enum status api_parse(const struct app *a, struct str body, enum api_kind kind, bool prompt_only,
                      struct api_params *out, struct error *err)
{
    struct api_rules rules;
    enum status st;

    api_rules_init(&rules, a);
    rules.prompt_only = prompt_only;
    st = api_params_parse(body.data, body.len, kind, &rules, out, err);
    if (st != STATUS_OK) return st;
    if (!a->command_line) st = api_check_model(a, out->model, err);
    if (st != STATUS_OK) api_params_free(out);
    return st;
}

void api_add_ids(struct strbuf *out, const struct prompt_tokens *t)
{
    strbuf_add_char(out, '[');
    for (int32_t i = 0; i < t->n; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        strbuf_add_i64(out, t->ids[i]);
    }
    strbuf_add_char(out, ']');
}

/* --- tokens ---------------------------------------------------------------------------------- */

static const char *field_of(const struct api_params *p)
{
    return p->messages ? "messages" : "prompt";
}

/* Tokens to keep of a prompt; 0 = all. */
static int64_t truncation_of(const struct app *a, const struct api_params *p)
{
    int64_t keep = p->truncate_prompt_tokens;

    if (keep >= 0) return keep;
    if (a->max_model_len <= 0) return 0;
    keep = a->max_model_len - (p->max_tokens >= 0 ? p->max_tokens : 1);
    return keep > 1 ? keep : 1;
}

/* Truncates a text's tokens.  Special tokens that the tokenizer puts in front (BOS) stay there,
 * as Hugging Face's truncation keeps them. */
static enum status truncate_ids(const struct app *a, const struct api_params *p, int64_t keep,
                                bool keep_special, struct token_vec *v, struct error *err)
{
    struct token_vec special = {0};
    size_t k = (size_t)keep, n_front = 0;
    enum status st = STATUS_OK;

    if (v->len <= k) return STATUS_OK;
    if (keep_special && !p->truncate_right) {
        st = tokenizer_encode(a->tokenizer, "", 0, true, false, 0, &special, err);
        if (st == STATUS_OK && special.len > 0 && special.len < k &&
            memcmp(v->ids, special.ids, special.len * sizeof(*v->ids)) == 0)
            n_front = special.len;
    }
    if (st == STATUS_OK && !p->truncate_right)
        memmove(v->ids + n_front, v->ids + v->len - (k - n_front), (k - n_front) * sizeof(*v->ids));
    v->len = k;
    token_vec_free(&special);
    return st;
}

/* Encodes and truncates.  The count is exact up to twice the context and 1,024 more: enough for
 * the words of the refusal, and a bound on the work for a text that can never fit.  Where no context is known
 * the body's size is the bound. */
static enum status encode(const struct app *a, struct api_params *p, struct str text,
                          struct prompt_tokens *out, struct error *err)
{
    struct token_vec v = {0};
    int64_t keep = truncation_of(a, p);
    bool bounded = keep <= 0 && a->max_model_len > 0;
    size_t bound = bounded ? 2 * (size_t)a->max_model_len + 1024 : 0;
    int32_t *ids;
    enum status st = tokenizer_encode(a->tokenizer, text.data, text.len, p->add_special_tokens,
                                      true, bound, &v, err);

    if (st == STATUS_CONTEXT_LENGTH) {
        st =
            error_set_param(err, st, field_of(p),
                            "This model's maximum context length is %d tokens. However, your %s "
                            "resulted in more than %zu tokens. Please reduce the length of the %s.",
                            a->max_model_len, field_of(p), bound, field_of(p));
        goto out;
    }
    if (st != STATUS_OK) goto out;
    if (keep > 0) st = truncate_ids(a, p, keep, p->add_special_tokens, &v, err);
    if (st != STATUS_OK) goto out;
    if (v.len > INT32_MAX) {
        st = error_set_param(err, STATUS_CONTEXT_LENGTH, field_of(p), "The %s is too long.",
                             field_of(p));
        goto out;
    }
    ids = arena_alloc_array(&p->arena, v.len > 0 ? v.len : 1, sizeof(*ids));
    if (!ids) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory reading the %s", field_of(p));
        goto out;
    }
    if (v.len > 0) memcpy(ids, v.ids, v.len * sizeof(*ids));
    out->ids = ids;
    out->n = (int32_t)v.len;
out:
    token_vec_free(&v);
    return st;
}

static void take_ids(const struct app *a, const struct api_params *p, const struct api_prompt *from,
                     struct prompt_tokens *out)
{
    int64_t keep = truncation_of(a, p);

    out->ids = from->ids;
    out->n = from->n_ids;
    if (keep <= 0 || keep >= out->n) return;
    if (!p->truncate_right) out->ids += out->n - keep;
    out->n = (int32_t)keep;
}

/* The number of outputs when the request does not say: OpenAI's 16 for completions, the model's
 * own or all that fits for a chat. */
static int64_t default_max_tokens(const struct app *a, const struct api_params *p, int64_t room)
{
    int64_t want = p->kind == API_COMPLETION ? 16 : room;

    if (p->kind == API_CHAT && api_default_chat_tokens(a) > 0) want = api_default_chat_tokens(a);
    return want < room ? want : room;
}

static enum status check_length(const struct app *a, const struct api_params *p,
                                struct prompt_tokens *t, struct error *err)
{
    const char *field = field_of(p);
    int64_t max_len = a->max_model_len, room = max_len - t->n;
    int64_t want = p->max_tokens >= 0 ? p->max_tokens : default_max_tokens(a, p, room);

    if (max_len <= 0) return STATUS_OK; /* only where nothing is generated */
    if (room < 0 || (room == 0 && p->max_tokens != 0))
        return error_set_param(err, STATUS_CONTEXT_LENGTH, field,
                               "This model's maximum context length is %lld tokens. However, your "
                               "%s resulted in %d tokens. Please reduce the length of the %s.",
                               (long long)max_len, field, t->n, field);
    if (want > room)
        return error_set_param(err, STATUS_CONTEXT_LENGTH, field,
                               "This model's maximum context length is %lld tokens. However, you "
                               "requested %lld tokens (%d in the %s, %lld in the completion). "
                               "Please reduce the length of the %s or completion.",
                               (long long)max_len, (long long)(t->n + want), t->n, field,
                               (long long)want, field);
    t->max_tokens = (int32_t)want;
    return STATUS_OK;
}

static enum status check_vocabulary(const struct app *a, const struct api_params *p,
                                    const struct prompt_tokens *t, struct error *err)
{
    for (int32_t i = 0; i < t->n; i++) {
        if (t->ids[i] >= 0 && t->ids[i] < a->config->vocab_size) continue;
        return error_set_param(err, STATUS_INVALID, field_of(p),
                               "The %s holds token %d, which the model does not have.", field_of(p),
                               t->ids[i]);
    }
    return STATUS_OK;
}

static enum status make_tokens(const struct app *a, struct api_params *p,
                               const struct api_prompt *from, struct prompt_tokens *out,
                               struct error *err)
{
    enum status st = STATUS_OK;

    if (from->ids)
        take_ids(a, p, from, out);
    else
        st = encode(a, p, from->text, out, err);
    if (st != STATUS_OK || p->kind == API_TOKENIZE) return st;
    if (out->n == 0)
        return error_set_param(err, STATUS_INVALID, field_of(p),
                               "The %s has no tokens; this model needs one or more.", field_of(p));
    st = check_vocabulary(a, p, out, err);
    if (st != STATUS_OK) return st;
    return check_length(a, p, out, err);
}

static enum status make_chat(const struct app *a, struct api_params *p, int64_t now,
                             struct prompt_tokens *out, struct error *err)
{
    struct strbuf text;
    enum status st;

    strbuf_init(&text, LIMIT_TEMPLATE_OUTPUT);
    st = chat_render(a, p, now, &text, err);
    if (st == STATUS_OK) {
        struct api_prompt from = {.text = {text.data ? text.data : "", text.len}};
        st = make_tokens(a, p, &from, out, err);
    }
    strbuf_free(&text);
    return st;
}

/* What is known before the first token: a bound on what one request makes the server write. */
static enum status check_scores(const struct api_params *p, const struct prompt_tokens *t,
                                struct error *err)
{
    int64_t n_tokens = 0, per_token = 0;

    for (int32_t i = 0; i < prompts_count(p); i++) n_tokens += t[i].n;
    if (p->echo && p->n_logprobs >= 0) per_token += (int64_t)p->n * (p->n_logprobs + 1);
    if (p->n_prompt_logprobs >= 0) per_token += p->n_prompt_logprobs + 1;
    if (n_tokens * per_token <= LIMIT_PROMPT_LOGPROBS) return STATUS_OK;
    return error_set_param(err, STATUS_INVALID,
                           p->n_prompt_logprobs >= 0 ? "prompt_logprobs" : "logprobs",
                           "The answer would hold %lld log-probabilities of the prompt; at most "
                           "%d are given. Send fewer prompts at once, or lower 'n' or the number "
                           "of log-probabilities.",
                           (long long)(n_tokens * per_token), LIMIT_PROMPT_LOGPROBS);
}

int32_t prompts_count(const struct api_params *p)
{
    return p->messages || p->kind == API_CHAT ? 1 : p->n_prompts;
}

enum status prompts_make(const struct app *a, struct api_params *p, int64_t now,
                         const struct prompt_tokens **out, struct error *err)
{
    int32_t n = prompts_count(p);
    struct prompt_tokens *t = arena_alloc_array(&p->arena, (size_t)n, sizeof(*t));
    enum status st = STATUS_OK;

    if (!t) return error_set(err, STATUS_NO_MEMORY, "out of memory reading the %s", field_of(p));
    for (int32_t i = 0; i < n && st == STATUS_OK; i++) {
        t[i] = (struct prompt_tokens){0};
        st = p->messages ? make_chat(a, p, now, &t[i], err)
                         : make_tokens(a, p, &p->prompts[i], &t[i], err);
    }
    *out = t;
    return st == STATUS_OK ? check_scores(p, t, err) : st;
}
