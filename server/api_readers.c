/* Fields whose value is more than a number, a string or a truth value. */
#include "config/base/check.h"
#include "server/api_fields.h"

#include <math.h>
#include <string.h>

enum status field_bad(struct parse *q, const char *name, const char *what, const cJSON *v)
{
    return error_set_param(q->err, STATUS_INVALID, name, "'%s' must be %s, not %s.", name, what,
                           json_type_name(v));
}

/* An array without items, where one or more are needed. */
static enum status field_empty(struct parse *q, const char *name, const char *what)
{
    return error_set_param(q->err, STATUS_INVALID, name, "'%s' must be %s; it is empty.", name,
                           what);
}

enum status field_no_memory(struct parse *q)
{
    return error_set(q->err, STATUS_NO_MEMORY, "out of memory reading the request");
}
/* Every item an integer in [0, limit): token ids. */
static enum status read_ids(struct parse *q, const char *name, const cJSON *array, int64_t limit,
                            const int32_t **ids, int32_t *n)
{
    int32_t count = 0, *to;
    int64_t id;
    const cJSON *item;

    cJSON_ArrayForEach(item, array)
    {
        if (!json_as_i64(item, 0, limit - 1, &id))
            return error_set_param(q->err, STATUS_INVALID, name,
                                   "'%s' must hold token ids: integers from 0 to %lld.", name,
                                   (long long)limit - 1);
        count++; /* the body's size bounds it far below 2^31 */
    }
    to = arena_alloc_array(&q->p->arena, count > 0 ? (size_t)count : 1, sizeof(*to));
    if (!to) return field_no_memory(q);
    *ids = to;
    *n = count;
    cJSON_ArrayForEach(item, array) *to++ = (int32_t)item->valuedouble;
    return STATUS_OK;
}

static enum status read_prompt_item(struct parse *q, const cJSON *v, bool text,
                                    struct api_prompt *to)
{
    if (text && cJSON_IsString(v)) {
        to->text = str_from(v->valuestring);
        return STATUS_OK;
    }
    if (text || !cJSON_IsArray(v))
        return error_set_param(q->err, STATUS_INVALID, "prompt",
                               "The items of 'prompt' must be all strings or all arrays of token "
                               "ids.");
    if (!v->child)
        return error_set_param(q->err, STATUS_INVALID, "prompt",
                               "'prompt' holds an empty array: a prompt needs one token or more.");
    return read_ids(q, "prompt", v, q->rules->vocab_size, &to->ids, &to->n_ids);
}

enum status field_prompt(struct parse *q, const struct field *f, const cJSON *v)
{
    static const char what[] = "a string, an array of strings, an array of token ids or an array "
                               "of those, with one item or more";
    struct api_params *p = q->p;
    const cJSON *first = cJSON_IsArray(v) ? v->child : NULL;
    bool single = cJSON_IsString(v) || cJSON_IsNumber(first);
    int64_t count = 1, i = 0;
    enum status st;

    if (cJSON_IsArray(v) && !first) return field_empty(q, f->name, what);
    if (!cJSON_IsString(v) && !first) return field_bad(q, f->name, what, v);
    p->prompt_is_text = cJSON_IsString(single ? v : first);
    if (!single) count = cJSON_GetArraySize(v);
    if (count > q->rules->max_prompts)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'prompt' holds %lld prompts; at most %d are accepted at once.",
                               (long long)count, q->rules->max_prompts);
    p->prompts = arena_alloc_array(&p->arena, (size_t)count, sizeof(*p->prompts));
    if (!p->prompts) return field_no_memory(q);
    p->n_prompts = (int32_t)count;
    if (single) return read_prompt_item(q, v, p->prompt_is_text, &p->prompts[0]);
    for (const cJSON *item = first; item; item = item->next, i++) {
        st = read_prompt_item(q, item, p->prompt_is_text, &p->prompts[i]);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* /tokenize: one text. */
enum status field_tokenize_prompt(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsString(v)) return field_bad(q, f->name, "a string", v);
    return field_prompt(q, f, v);
}

enum status field_tokens(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsArray(v)) return field_bad(q, f->name, "an array of token ids", v);
    return read_ids(q, f->name, v, q->rules->vocab_size, &q->p->tokens, &q->p->n_tokens);
}

enum status field_messages(struct parse *q, const struct field *f, const cJSON *v)
{
    static const char what[] = "an array of one message or more";

    if (!cJSON_IsArray(v)) return field_bad(q, f->name, what, v);
    if (!v->child) return field_empty(q, f->name, what);
    q->p->messages = v;
    return STATUS_OK;
}

enum status field_documents(struct parse *q, const struct field *f, const cJSON *v)
{
    const cJSON *item;

    if (!cJSON_IsArray(v)) return field_bad(q, f->name, "an array of objects", v);
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsObject(item)) return field_bad(q, f->name, "an array of objects", item);
    }
    q->p->documents = v;
    return STATUS_OK;
}

/* Answers with calls are not taken apart here, so tools only go with a request for the prompt. */
static enum status refuse_tools(struct parse *q, const struct field *f)
{
    return error_set_param(q->err, STATUS_UNSUPPORTED, f->name,
                           "'%s' is not supported: this server does not offer tool calls; leave it "
                           "out, or ask /v1/chat/completions/render for the prompt alone.",
                           f->name);
}

enum status field_tools(struct parse *q, const struct field *f, const cJSON *v)
{
    const cJSON *item;

    if (!cJSON_IsArray(v)) return field_bad(q, f->name, "an array of objects", v);
    if (!v->child) return STATUS_OK;
    if (!q->rules->prompt_only) return refuse_tools(q, f);
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsObject(item)) return field_bad(q, f->name, "an array of objects", item);
    }
    q->p->tools = v;
    return STATUS_OK;
}

/* Without tools "auto" cannot call one either. */
enum status field_tool_choice(struct parse *q, const struct field *f, const cJSON *v)
{
    bool none = field_string_is(v, "none") || field_string_is(v, "auto");

    return none || q->rules->prompt_only ? STATUS_OK : refuse_tools(q, f);
}

enum status field_template_kwargs(struct parse *q, const struct field *f, const cJSON *v)
{
    static const char *const reserved[] = {"messages",
                                           "conversation",
                                           "tools",
                                           "documents",
                                           "chat_template",
                                           "tokenize",
                                           "add_generation_prompt",
                                           "continue_final_message"};
    if (!cJSON_IsObject(v)) return field_bad(q, f->name, "an object", v);
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (!json_get(v, reserved[i])) continue;
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' may not set '%s'; use the field of the request.", f->name,
                               reserved[i]);
    }
    q->p->template_kwargs = v;
    return STATUS_OK;
}

enum status field_reasoning_effort(struct parse *q, const struct field *f, const cJSON *v)
{
    static const char *const known[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!field_string_is(v, known[i])) continue;
        q->p->reasoning_effort = v->valuestring;
        return STATUS_OK;
    }
    return error_set_param(q->err, STATUS_INVALID, f->name,
                           "'%s' must be none, minimal, low, medium, high, xhigh or max.", f->name);
}

enum status field_bias(struct parse *q, const struct field *f, const cJSON *v)
{
    int32_t n = 0;
    struct logit_bias *to;
    const cJSON *item;

    if (!cJSON_IsObject(v)) return field_bad(q, f->name, "an object of token ids and numbers", v);
    n = cJSON_GetArraySize(v);
    if (n > LIMIT_LOGIT_BIAS)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' has %d entries; at most %d are accepted.", f->name, n,
                               LIMIT_LOGIT_BIAS);
    to = arena_alloc_array(&q->p->arena, n > 0 ? (size_t)n : 1, sizeof(*to));
    if (!to) return field_no_memory(q);
    q->p->sampling.bias = to;
    q->p->sampling.n_bias = n;
    cJSON_ArrayForEach(item, v)
    {
        int64_t id;
        if (!parse_i64(item->string, &id) || id < 0 || id >= q->rules->vocab_size)
            return error_set_param(q->err, STATUS_INVALID, f->name,
                                   "The keys of '%s' must be token ids from 0 to %d.", f->name,
                                   q->rules->vocab_size - 1);
        double b = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        if (!(b >= -100 && b <= 100))
            return error_set_param(q->err, STATUS_INVALID, f->name,
                                   "The values of '%s' must be numbers from -100 to 100.", f->name);
        *to++ = (struct logit_bias){(int32_t)id, (float)b};
    }
    return STATUS_OK;
}

static enum status add_stop(struct parse *q, const struct field *f, const cJSON *v)
{
    struct api_params *p = q->p;
    struct str s;

    if (!cJSON_IsString(v)) return field_bad(q, f->name, "a string or an array of strings", v);
    s = str_from(v->valuestring);
    if (s.len == 0 || s.len > LIMIT_STOP_STRING_LEN)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "A string of '%s' must have 1 to %d bytes; this one has %zu.",
                               f->name, LIMIT_STOP_STRING_LEN, s.len);
    p->stop[p->n_stop++] = s;
    return STATUS_OK;
}

enum status field_stop(struct parse *q, const struct field *f, const cJSON *v)
{
    int max = q->rules->max_stop_strings < LIMIT_STOP_STRINGS ? q->rules->max_stop_strings
                                                              : LIMIT_STOP_STRINGS;
    const cJSON *item;

    q->p->stop = arena_alloc_array(&q->p->arena, LIMIT_STOP_STRINGS, sizeof(*q->p->stop));
    if (!q->p->stop) return field_no_memory(q);
    if (!cJSON_IsArray(v)) {
        if (max < 1)
            return error_set_param(q->err, STATUS_INVALID, f->name,
                                   "'%s' is switched off on this server.", f->name);
        return add_stop(q, f, v);
    }
    if (cJSON_GetArraySize(v) > max)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' has %d strings; at most %d are accepted.", f->name,
                               cJSON_GetArraySize(v), max);
    cJSON_ArrayForEach(item, v)
    {
        enum status st = add_stop(q, f, item);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

enum status field_stop_ids(struct parse *q, const struct field *f, const cJSON *v)
{
    struct sampling_params *s = &q->p->sampling;

    if (!cJSON_IsArray(v)) return field_bad(q, f->name, "an array of token ids", v);
    if (cJSON_GetArraySize(v) > LIMIT_STOP_IDS)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' has %d ids; at most %d are accepted.", f->name,
                               cJSON_GetArraySize(v), LIMIT_STOP_IDS);
    return read_ids(q, f->name, v, q->rules->vocab_size, &s->stop_ids, &s->n_stop_ids);
}

/* OpenAI's range is all of int64; beyond 2^53 a double has lost the low bits already. */
enum status field_seed(struct parse *q, const struct field *f, const cJSON *v)
{
    double d = cJSON_IsNumber(v) ? v->valuedouble : NAN;

    if (!(d >= -0x1p63 && d <= 0x1p63) || d != floor(d))
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be an integer of 64 bits.", f->name);
    q->p->has_seed = true;
    q->p->seed = d == 0x1p63 ? (uint64_t)INT64_MAX : (uint64_t)(int64_t)d;
    return STATUS_OK;
}

/* Two in one: OpenAI's [0, 1] with 0 for "the most likely token alone". */
enum status field_top_p(struct parse *q, const struct field *f, const cJSON *v)
{
    double d = cJSON_IsNumber(v) ? v->valuedouble : NAN;

    if (!(d >= 0 && d <= 1))
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be a number from 0 to 1.", f->name);
    /* A nucleus of 1e-6 holds exactly one token. */
    q->p->sampling.top_p = d < 1e-6 ? 1e-6f : (float)d;
    return STATUS_OK;
}

enum status field_temperature(struct parse *q, const struct field *f, const cJSON *v)
{
    double d = cJSON_IsNumber(v) ? v->valuedouble : NAN;

    if (!(d >= 0 && d <= 2))
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be a number from 0 to 2.", f->name);
    /* Under 0.01 the scaled logits overflow before the choice changes; vLLM has the same floor. */
    q->p->sampling.temperature = d > 0 && d < 0.01 ? 0.01f : (float)d;
    return STATUS_OK;
}

enum status field_read_int(struct parse *q, const char *name, const cJSON *v, int64_t lo,
                           int64_t hi, int64_t *to)
{
    if (!cJSON_IsNumber(v)) return field_bad(q, name, "an integer", v);
    if (!json_as_i64(v, lo, hi, to))
        return error_set_param(q->err, STATUS_INVALID, name,
                               "'%s' must be an integer from %lld to %lld.", name, (long long)lo,
                               (long long)hi);
    return STATUS_OK;
}

enum status field_n(struct parse *q, const struct field *f, const cJSON *v)
{
    int64_t n = 1;
    enum status st = field_read_int(q, f->name, v, 1, q->rules->max_n, &n);

    q->p->n = (int32_t)n;
    return st;
}

enum status field_best_of(struct parse *q, const struct field *f, const cJSON *v)
{
    return field_read_int(q, f->name, v, 0, (int64_t)MAX_INT, &q->best_of);
}

enum status field_max_completion_tokens(struct parse *q, const struct field *f, const cJSON *v)
{
    return field_read_int(q, f->name, v, 1, (int64_t)MAX_INT, &q->max_completion_tokens);
}

/* The older name means the same; where both stand the newer one counts, as in vLLM. */
enum status field_chat_max_tokens(struct parse *q, const struct field *f, const cJSON *v)
{
    return field_read_int(q, f->name, v, 1, (int64_t)MAX_INT, &q->p->max_tokens);
}

static enum status read_logprobs(struct parse *q, const struct field *f, const cJSON *v,
                                 int32_t *to)
{
    int64_t n = -1;
    enum status st = field_read_int(q, f->name, v, 0, q->rules->max_logprobs, &n);

    *to = (int32_t)n;
    return st;
}

enum status field_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_logprobs(q, f, v, &q->p->n_logprobs);
}

enum status field_prompt_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_logprobs(q, f, v, &q->p->n_prompt_logprobs);
}

enum status field_chat_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsBool(v)) return field_bad(q, f->name, "a boolean", v);
    q->chat_logprobs = cJSON_IsTrue(v);
    return STATUS_OK;
}

enum status field_top_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    return field_read_int(q, f->name, v, 0, q->rules->max_logprobs, &q->top_logprobs);
}

enum status field_truncate(struct parse *q, const struct field *f, const cJSON *v)
{
    enum status st =
        field_read_int(q, f->name, v, -1, q->rules->max_model_len, &q->p->truncate_prompt_tokens);

    if (st == STATUS_OK && q->p->truncate_prompt_tokens == 0)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be -1 or a number of tokens above 0.", f->name);
    return st;
}

enum status field_truncation_side(struct parse *q, const struct field *f, const cJSON *v)
{
    q->p->truncate_right = field_string_is(v, "right");
    if (q->p->truncate_right || field_string_is(v, "left")) return STATUS_OK;
    return error_set_param(q->err, STATUS_INVALID, f->name, "'%s' must be \"left\" or \"right\".",
                           f->name);
}

enum status field_generation_prompt(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsBool(v)) return field_bad(q, f->name, "a boolean", v);
    q->has_generation_prompt = true;
    q->p->add_generation_prompt = cJSON_IsTrue(v);
    return STATUS_OK;
}

enum status field_priority(struct parse *q, const struct field *f, const cJSON *v)
{
    enum status st = field_read_int(q, f->name, v, INT32_MIN, INT32_MAX, &q->p->priority);

    if (st == STATUS_OK && q->p->priority != 0 && !q->rules->priority_policy)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' other than 0 needs a server that was started with "
                               "--scheduling-policy priority.",
                               f->name);
    return st;
}

enum status field_request_id(struct parse *q, const struct field *f, const cJSON *v)
{
    size_t len = cJSON_IsString(v) ? strlen(v->valuestring) : 0;

    if (!cJSON_IsString(v)) return field_bad(q, f->name, "a string", v);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)v->valuestring[i];
        if (c <= ' ' || c >= 0x7f) len = 0;
    }
    if (len == 0 || len > LIMIT_REQUEST_ID_LEN)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must have 1 to %d printable ASCII characters.", f->name,
                               LIMIT_REQUEST_ID_LEN);
    q->p->request_id = v->valuestring;
    return STATUS_OK;
}

enum status field_stream_options(struct parse *q, const struct field *f, const cJSON *v)
{
    const cJSON *item;

    if (!cJSON_IsObject(v)) return field_bad(q, f->name, "an object", v);
    q->has_stream_options = true;
    cJSON_ArrayForEach(item, v)
    {
        bool usage = strcmp(item->string, "include_usage") == 0;
        bool continuous = strcmp(item->string, "continuous_usage_stats") == 0;
        if (!usage && !continuous && strcmp(item->string, "include_obfuscation") != 0)
            return error_set_param(q->err, STATUS_INVALID, f->name,
                                   "Unrecognized member of '%s': %s", f->name, item->string);
        if (cJSON_IsNull(item)) continue;
        if (!cJSON_IsBool(item)) return field_bad(q, f->name, "an object of booleans", item);
        if (usage) q->p->include_usage = cJSON_IsTrue(item);
        if (continuous) q->p->continuous_usage = cJSON_IsTrue(item);
    }
    return STATUS_OK;
}
