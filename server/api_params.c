#include "server/api_params.h"

#include "config/base/check.h"
#include "engine/template/template.h"
#include "server/api_fields.h"

#include <math.h>
#include <string.h>

static enum status read_float(struct parse *q, const struct field *f, const cJSON *v, float *to)
{
    if (!cJSON_IsNumber(v)) return field_bad(q, f->name, "a number", v);
    /* The comparison is false for a NaN as well. */
    if (!(v->valuedouble >= f->min && v->valuedouble <= f->max))
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be a number from %g to %g.", f->name, f->min, f->max);
    *to = (float)v->valuedouble;
    return STATUS_OK;
}

static enum status read_string(struct parse *q, const struct field *f, const cJSON *v,
                               const char **to)
{
    size_t len;

    if (!cJSON_IsString(v)) return field_bad(q, f->name, "a string", v);
    len = strlen(v->valuestring);
    if (len < (size_t)f->min || len > (size_t)f->max)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must have %g to %g bytes; it has %zu.", f->name, f->min,
                               f->max, len);
    *to = v->valuestring;
    return STATUS_OK;
}

static enum status read_field(struct parse *q, const struct field *f, const cJSON *v)
{
    char *to = (char *)q->p + f->offset;
    int64_t i = 0;
    enum status st;

    switch (f->type) {
    case F_BOOL:
        if (!cJSON_IsBool(v)) return field_bad(q, f->name, "a boolean", v);
        *(bool *)to = cJSON_IsTrue(v);
        return STATUS_OK;
    case F_I32:
        st = field_read_int(q, f->name, v, (int64_t)f->min, (int64_t)f->max, &i);
        if (st == STATUS_OK) *(int32_t *)(void *)to = (int32_t)i;
        return st;
    case F_I64:
        return field_read_int(q, f->name, v, (int64_t)f->min, (int64_t)f->max,
                              (int64_t *)(void *)to);
    case F_FLOAT:
        return read_float(q, f, v, (float *)(void *)to);
    case F_STRING:
        return read_string(q, f, v, (const char **)(void *)to);
    case F_CUSTOM:
        return f->parse(q, f, v);
    case F_IGNORED:
        return f->neutral(v) ? STATUS_OK : field_bad(q, f->name, f->note, v);
    case F_REFUSED:
        break;
    }
    if (f->neutral(v)) return STATUS_OK;
    return error_set_param(q->err, STATUS_UNSUPPORTED, f->name, "'%s' is not supported: %s.",
                           f->name, f->note);
}

static void set_defaults(struct api_params *p, enum api_kind kind, const struct api_rules *r)
{
    p->kind = kind;
    p->n = 1;
    p->max_tokens = -1;
    p->n_logprobs = p->n_prompt_logprobs = -1;
    p->skip_special_tokens = true;
    p->add_special_tokens = kind != API_CHAT;
    p->add_generation_prompt = true;
    p->sampling.temperature = r->temperature;
    p->sampling.top_p = r->top_p;
    p->sampling.min_p = r->min_p;
    p->sampling.top_k = r->top_k;
    p->sampling.repetition_penalty = r->repetition_penalty;
}

/* --- checks across fields -------------------------------------------------------------------- */

static enum status check_source(struct parse *q)
{
    const struct api_params *p = q->p;

    if (p->kind == API_COMPLETION && !p->prompts)
        return error_set_param(q->err, STATUS_INVALID, "prompt", "'prompt' is required.");
    if (p->kind == API_CHAT && !p->messages)
        return error_set_param(q->err, STATUS_INVALID, "messages", "'messages' is required.");
    if (p->kind == API_DETOKENIZE && !p->tokens)
        return error_set_param(q->err, STATUS_INVALID, "tokens", "'tokens' is required.");
    if (p->kind == API_TOKENIZE && !p->messages == !p->prompts)
        return error_set_param(q->err, STATUS_INVALID, "prompt",
                               "Send either 'prompt' or 'messages'.");
    if (q->has_generation_prompt && p->add_generation_prompt && p->continue_final_message)
        return error_set_param(q->err, STATUS_INVALID, "continue_final_message",
                               "'continue_final_message' and 'add_generation_prompt' cannot both "
                               "be true.");
    return STATUS_OK;
}

static enum status check_counts(struct parse *q)
{
    const struct api_params *p = q->p;
    int32_t n_prompts = p->n_prompts > 0 ? p->n_prompts : 1;

    if (q->best_of >= 0 && q->best_of != p->n)
        return error_set_param(q->err, STATUS_UNSUPPORTED, "best_of",
                               "'best_of' is not supported: only the value of 'n' is accepted.");
    if ((int64_t)p->n * n_prompts > API_MAX_CHOICES)
        return error_set_param(q->err, STATUS_INVALID, "n",
                               "%d prompts with n = %d are more than %d choices.", n_prompts, p->n,
                               API_MAX_CHOICES);
    if (p->max_tokens >= 0 && p->sampling.min_tokens > p->max_tokens)
        return error_set_param(q->err, STATUS_INVALID, "min_tokens",
                               "'min_tokens' (%d) must not be more than 'max_tokens' (%lld).",
                               p->sampling.min_tokens, (long long)p->max_tokens);
    if (q->has_stream_options && !p->stream)
        return error_set_param(q->err, STATUS_INVALID, "stream_options",
                               "'stream_options' is only allowed when 'stream' is true.");
    if (p->n_prompt_logprobs >= 0 && p->stream)
        return error_set_param(q->err, STATUS_INVALID, "prompt_logprobs",
                               "'prompt_logprobs' is not available in a stream; set 'stream' to "
                               "false.");
    return STATUS_OK;
}

static enum status check_logprobs(struct parse *q)
{
    struct api_params *p = q->p;

    if (q->top_logprobs > 0 && !q->chat_logprobs)
        return error_set_param(q->err, STATUS_INVALID, "top_logprobs",
                               "'top_logprobs' needs 'logprobs' to be true.");
    if (q->chat_logprobs) p->n_logprobs = q->top_logprobs > 0 ? (int32_t)q->top_logprobs : 0;
    p->sampling.n_logprobs =
        p->n_logprobs > p->n_prompt_logprobs ? p->n_logprobs : p->n_prompt_logprobs;
    return STATUS_OK;
}

static enum status check_all(struct parse *q)
{
    enum status st;

    if (q->max_completion_tokens >= 0) q->p->max_tokens = q->max_completion_tokens;
    if (q->p->continue_final_message && !q->has_generation_prompt)
        q->p->add_generation_prompt = false;
    /* A template writes its own special tokens. */
    if (q->p->kind == API_TOKENIZE && q->p->messages && !json_get(q->p->root, "add_special_tokens"))
        q->p->add_special_tokens = false;
    st = check_source(q);
    if (st == STATUS_OK) st = check_counts(q);
    if (st == STATUS_OK) st = check_logprobs(q);
    return st;
}

static enum status read_all(struct parse *q)
{
    const cJSON *item;

    if (!cJSON_IsObject(q->p->root))
        return error_set(q->err, STATUS_INVALID, "The body must be a JSON object, not %s.",
                         json_type_name(q->p->root));
    cJSON_ArrayForEach(item, q->p->root)
    {
        const struct field *f = field_find(q->p->kind, item->string);
        if (!f)
            return error_set_param(q->err, STATUS_INVALID, item->string,
                                   "Unrecognized request argument supplied: %s", item->string);
        if (cJSON_IsNull(item)) continue;
        enum status st = read_field(q, f, item);
        if (st != STATUS_OK) return st;
    }
    return check_all(q);
}

enum status api_params_parse(const char *text, size_t len, enum api_kind kind,
                             const struct api_rules *rules, struct api_params *out,
                             struct error *err)
{
    /* The caller has capped the body; a cap of 0 would mean the default one. */
    const struct json_limits limits = {.max_size = len > 0 ? len : 1,
                                       .max_values = LIMIT_REQUEST_VALUES};
    struct parse q = {.rules = rules,
                      .p = out,
                      .err = err,
                      .best_of = -1,
                      .top_logprobs = -1,
                      .max_completion_tokens = -1};
    enum status st;

    memset(out, 0, sizeof(*out));
    arena_init(&out->arena, 0);
    set_defaults(out, kind, rules);
    st = json_parse(text, len, &limits, &out->root, err);
    if (st != STATUS_OK) out->root = NULL;
    /* Templates print numbers with the client's digits. */
    if (st == STATUS_OK && (kind == API_CHAT || kind == API_TOKENIZE) &&
        !template_keep_numbers(out->root, text, len))
        st = error_set(err, STATUS_NO_MEMORY, "out of memory reading the request");
    if (st == STATUS_OK) st = read_all(&q);
    if (st != STATUS_OK) api_params_free(out);
    return st;
}

void api_params_trim(struct api_params *p)
{
    cJSON *next;

    for (cJSON *item = p->root->child; item; item = next) {
        next = item->next;
        if (cJSON_IsString(item) || strcmp(item->string, "stop") == 0) continue;
        if (p->prompt_is_text && strcmp(item->string, "prompt") == 0) continue;
        cJSON_Delete(cJSON_DetachItemViaPointer(p->root, item));
    }
    p->messages = p->template_kwargs = p->documents = p->tools = NULL;
}

void api_params_free(struct api_params *p)
{
    cJSON_Delete(p->root);
    p->root = NULL;
    arena_free(&p->arena);
}
