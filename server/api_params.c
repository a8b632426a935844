#include "server/api_params.h"

#include "config/base/check.h"

#include <math.h>
#include <string.h>

/* --- the tables' vocabulary ------------------------------------------------------------------ */

struct parse {
    const struct api_rules *rules;
    struct api_params *p;
    struct error *err;
    /* seen on the way, for the checks across fields */
    bool chat_logprobs, has_stream_options, has_generation_prompt;
    int64_t best_of, top_logprobs, max_completion_tokens; /* -1 = absent */
};

struct field;
typedef enum status parse_fn(struct parse *q, const struct field *f, const cJSON *v);
typedef bool neutral_fn(const cJSON *v);

enum field_type {
    F_BOOL,
    F_I32,
    F_I64,
    F_FLOAT,
    F_STRING,
    F_CUSTOM,  /* parse() */
    F_IGNORED, /* of the type that neutral() accepts, and without any effect on the answer */
    F_REFUSED, /* but for the values that neutral() accepts */
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset; /* of the member of struct api_params */
    double min, max;
    parse_fn *parse;
    neutral_fn *neutral;
    const char *note; /* what to do instead (F_REFUSED), or the type expected (F_IGNORED) */
};

/* Integers in JSON are exact up to 2^53. */
#define MAX_INT 9007199254740992.0
/* A float bound that is no bound: what stays finite as a float. */
#define MAX_FLOAT 1e30

#define AT(member) offsetof(struct api_params, member)
#define BOOL(name, member)                               \
    {                                                    \
        name, F_BOOL, AT(member), 0, 0, NULL, NULL, NULL \
    }
#define I32(name, member, lo, hi)                         \
    {                                                     \
        name, F_I32, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define I64(name, member, lo, hi)                         \
    {                                                     \
        name, F_I64, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define FLOAT(name, member, lo, hi)                         \
    {                                                       \
        name, F_FLOAT, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define STRING(name, member, lo, hi)                         \
    {                                                        \
        name, F_STRING, AT(member), lo, hi, NULL, NULL, NULL \
    }
#define CUSTOM(name, fn)                        \
    {                                           \
        name, F_CUSTOM, 0, 0, 0, fn, NULL, NULL \
    }
#define IGNORED(name, neutral, type)                  \
    {                                                 \
        name, F_IGNORED, 0, 0, 0, NULL, neutral, type \
    }
#define REFUSED(name, neutral, advice)                  \
    {                                                   \
        name, F_REFUSED, 0, 0, 0, NULL, neutral, advice \
    }
/* "" would break the sentence that names a field; an advice of its own may say more. */
#define NOT_YET "this server does not offer it; leave it out"

static enum status bad(struct parse *q, const char *name, const char *what, const cJSON *v)
{
    return error_set_param(q->err, STATUS_INVALID, name, "'%s' must be %s, not %s.", name, what,
                           json_type_name(v));
}

static enum status no_memory(struct parse *q)
{
    return error_set(q->err, STATUS_NO_MEMORY, "out of memory reading the request");
}

/* --- values that ask for nothing ------------------------------------------------------------- */

static bool is_empty(const cJSON *v)
{
    if (cJSON_IsString(v)) return v->valuestring[0] == '\0';
    return (cJSON_IsArray(v) || cJSON_IsObject(v)) && !v->child;
}

static bool is_false(const cJSON *v)
{
    return cJSON_IsFalse(v);
}

static bool is_true(const cJSON *v)
{
    return cJSON_IsTrue(v);
}

static bool is_one(const cJSON *v)
{
    return cJSON_IsNumber(v) && v->valuedouble == 1.0;
}

static bool is_bool(const cJSON *v)
{
    return cJSON_IsBool(v);
}

static bool is_string(const cJSON *v)
{
    return cJSON_IsString(v);
}

static bool is_object(const cJSON *v)
{
    return cJSON_IsObject(v);
}

static bool never(const cJSON *v)
{
    (void)v;
    return false;
}

static bool string_is(const cJSON *v, const char *text)
{
    return cJSON_IsString(v) && strcmp(v->valuestring, text) == 0;
}

/* Without tools "auto" cannot call one either. */
static bool is_no_tool_choice(const cJSON *v)
{
    return string_is(v, "none") || string_is(v, "auto");
}

static bool is_text_format(const cJSON *v)
{
    return cJSON_IsObject(v) && string_is(json_get(v, "type"), "text") && !v->child->next;
}

static bool is_text_modality(const cJSON *v)
{
    return cJSON_IsArray(v) && (!v->child || (string_is(v->child, "text") && !v->child->next));
}

static bool is_medium(const cJSON *v)
{
    return string_is(v, "medium");
}

/* Stored completions do not exist here: true would promise one. */
static bool is_known_tier(const cJSON *v)
{
    return string_is(v, "auto") || string_is(v, "default");
}

/* --- fields with a reader of their own ------------------------------------------------------- */

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
    if (!to) return no_memory(q);
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

static enum status parse_prompt(struct parse *q, const struct field *f, const cJSON *v)
{
    struct api_params *p = q->p;
    const cJSON *first = cJSON_IsArray(v) ? v->child : NULL;
    bool single = cJSON_IsString(v) || cJSON_IsNumber(first);
    int64_t count = 1, i = 0;
    enum status st;

    if (!cJSON_IsString(v) && !first)
        return bad(q, f->name,
                   "a string, an array of strings, an array of token ids or an array "
                   "of those, with one item or more",
                   v);
    p->prompt_is_text = cJSON_IsString(single ? v : first);
    if (!single) count = cJSON_GetArraySize(v);
    if (count > q->rules->max_prompts)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'prompt' holds %lld prompts; at most %d are accepted at once.",
                               (long long)count, q->rules->max_prompts);
    p->prompts = arena_alloc_array(&p->arena, (size_t)count, sizeof(*p->prompts));
    if (!p->prompts) return no_memory(q);
    p->n_prompts = (int32_t)count;
    if (single) return read_prompt_item(q, v, p->prompt_is_text, &p->prompts[0]);
    for (const cJSON *item = first; item; item = item->next, i++) {
        st = read_prompt_item(q, item, p->prompt_is_text, &p->prompts[i]);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* /tokenize: one text. */
static enum status parse_tokenize_prompt(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsString(v)) return bad(q, f->name, "a string", v);
    return parse_prompt(q, f, v);
}

static enum status parse_tokens(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsArray(v)) return bad(q, f->name, "an array of token ids", v);
    return read_ids(q, f->name, v, q->rules->vocab_size, &q->p->tokens, &q->p->n_tokens);
}

static enum status parse_messages(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsArray(v) || !v->child)
        return bad(q, f->name, "an array of one message or more", v);
    q->p->messages = v;
    return STATUS_OK;
}

static enum status parse_documents(struct parse *q, const struct field *f, const cJSON *v)
{
    const cJSON *item;

    if (!cJSON_IsArray(v)) return bad(q, f->name, "an array of objects", v);
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsObject(item)) return bad(q, f->name, "an array of objects", item);
    }
    q->p->documents = v;
    return STATUS_OK;
}

static enum status parse_template_kwargs(struct parse *q, const struct field *f, const cJSON *v)
{
    static const char *const reserved[] = {"messages",
                                           "conversation",
                                           "tools",
                                           "documents",
                                           "chat_template",
                                           "tokenize",
                                           "add_generation_prompt",
                                           "continue_final_message"};
    if (!cJSON_IsObject(v)) return bad(q, f->name, "an object", v);
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (!json_get(v, reserved[i])) continue;
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' may not set '%s'; use the field of the request.", f->name,
                               reserved[i]);
    }
    q->p->template_kwargs = v;
    return STATUS_OK;
}

static enum status parse_reasoning_effort(struct parse *q, const struct field *f, const cJSON *v)
{
    static const char *const known[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!string_is(v, known[i])) continue;
        q->p->reasoning_effort = v->valuestring;
        return STATUS_OK;
    }
    return error_set_param(q->err, STATUS_INVALID, f->name,
                           "'%s' must be none, minimal, low, medium, high, xhigh or max.", f->name);
}

static enum status parse_bias(struct parse *q, const struct field *f, const cJSON *v)
{
    int32_t n = 0;
    struct logit_bias *to;
    const cJSON *item;

    if (!cJSON_IsObject(v)) return bad(q, f->name, "an object of token ids and numbers", v);
    n = cJSON_GetArraySize(v);
    if (n > LIMIT_LOGIT_BIAS)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' has %d entries; at most %d are accepted.", f->name, n,
                               LIMIT_LOGIT_BIAS);
    to = arena_alloc_array(&q->p->arena, n > 0 ? (size_t)n : 1, sizeof(*to));
    if (!to) return no_memory(q);
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

    if (!cJSON_IsString(v)) return bad(q, f->name, "a string or an array of strings", v);
    s = str_from(v->valuestring);
    if (s.len == 0 || s.len > LIMIT_STOP_STRING_LEN)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "A string of '%s' must have 1 to %d bytes; this one has %zu.",
                               f->name, LIMIT_STOP_STRING_LEN, s.len);
    p->stop[p->n_stop++] = s;
    return STATUS_OK;
}

static enum status parse_stop(struct parse *q, const struct field *f, const cJSON *v)
{
    int max = q->rules->max_stop_strings < LIMIT_STOP_STRINGS ? q->rules->max_stop_strings
                                                              : LIMIT_STOP_STRINGS;
    const cJSON *item;

    q->p->stop = arena_alloc_array(&q->p->arena, LIMIT_STOP_STRINGS, sizeof(*q->p->stop));
    if (!q->p->stop) return no_memory(q);
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

static enum status parse_stop_ids(struct parse *q, const struct field *f, const cJSON *v)
{
    struct sampling_params *s = &q->p->sampling;

    if (!cJSON_IsArray(v)) return bad(q, f->name, "an array of token ids", v);
    if (cJSON_GetArraySize(v) > LIMIT_STOP_IDS)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' has %d ids; at most %d are accepted.", f->name,
                               cJSON_GetArraySize(v), LIMIT_STOP_IDS);
    return read_ids(q, f->name, v, q->rules->vocab_size, &s->stop_ids, &s->n_stop_ids);
}

/* OpenAI's range is all of int64; beyond 2^53 a double has lost the low bits already. */
static enum status parse_seed(struct parse *q, const struct field *f, const cJSON *v)
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
static enum status parse_top_p(struct parse *q, const struct field *f, const cJSON *v)
{
    double d = cJSON_IsNumber(v) ? v->valuedouble : NAN;

    if (!(d >= 0 && d <= 1))
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be a number from 0 to 1.", f->name);
    /* A nucleus of 1e-6 holds exactly one token. */
    q->p->sampling.top_p = d < 1e-6 ? 1e-6f : (float)d;
    return STATUS_OK;
}

static enum status parse_temperature(struct parse *q, const struct field *f, const cJSON *v)
{
    double d = cJSON_IsNumber(v) ? v->valuedouble : NAN;

    if (!(d >= 0 && d <= 2))
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be a number from 0 to 2.", f->name);
    /* Under 0.01 the scaled logits overflow before the choice changes; vLLM has the same floor. */
    q->p->sampling.temperature = d > 0 && d < 0.01 ? 0.01f : (float)d;
    return STATUS_OK;
}

static enum status read_int(struct parse *q, const char *name, const cJSON *v, int64_t lo,
                            int64_t hi, int64_t *to)
{
    if (!cJSON_IsNumber(v)) return bad(q, name, "an integer", v);
    if (!json_as_i64(v, lo, hi, to))
        return error_set_param(q->err, STATUS_INVALID, name,
                               "'%s' must be an integer from %lld to %lld.", name, (long long)lo,
                               (long long)hi);
    return STATUS_OK;
}

static enum status parse_n(struct parse *q, const struct field *f, const cJSON *v)
{
    int64_t n = 1;
    enum status st = read_int(q, f->name, v, 1, q->rules->max_n, &n);

    q->p->n = (int32_t)n;
    return st;
}

static enum status parse_best_of(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_int(q, f->name, v, 0, (int64_t)MAX_INT, &q->best_of);
}

static enum status parse_max_completion_tokens(struct parse *q, const struct field *f,
                                               const cJSON *v)
{
    return read_int(q, f->name, v, 1, (int64_t)MAX_INT, &q->max_completion_tokens);
}

/* The older name means the same; where both stand the newer one counts, as in vLLM. */
static enum status parse_chat_max_tokens(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_int(q, f->name, v, 1, (int64_t)MAX_INT, &q->p->max_tokens);
}

static enum status read_logprobs(struct parse *q, const struct field *f, const cJSON *v,
                                 int32_t *to)
{
    int64_t n = -1;
    enum status st = read_int(q, f->name, v, 0, q->rules->max_logprobs, &n);

    *to = (int32_t)n;
    return st;
}

static enum status parse_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_logprobs(q, f, v, &q->p->n_logprobs);
}

static enum status parse_prompt_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_logprobs(q, f, v, &q->p->n_prompt_logprobs);
}

static enum status parse_chat_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsBool(v)) return bad(q, f->name, "a boolean", v);
    q->chat_logprobs = cJSON_IsTrue(v);
    return STATUS_OK;
}

static enum status parse_top_logprobs(struct parse *q, const struct field *f, const cJSON *v)
{
    return read_int(q, f->name, v, 0, q->rules->max_logprobs, &q->top_logprobs);
}

static enum status parse_truncate(struct parse *q, const struct field *f, const cJSON *v)
{
    enum status st =
        read_int(q, f->name, v, -1, q->rules->max_model_len, &q->p->truncate_prompt_tokens);

    if (st == STATUS_OK && q->p->truncate_prompt_tokens == 0)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' must be -1 or a number of tokens above 0.", f->name);
    return st;
}

static enum status parse_truncation_side(struct parse *q, const struct field *f, const cJSON *v)
{
    q->p->truncate_right = string_is(v, "right");
    if (q->p->truncate_right || string_is(v, "left")) return STATUS_OK;
    return error_set_param(q->err, STATUS_INVALID, f->name, "'%s' must be \"left\" or \"right\".",
                           f->name);
}

static enum status parse_generation_prompt(struct parse *q, const struct field *f, const cJSON *v)
{
    if (!cJSON_IsBool(v)) return bad(q, f->name, "a boolean", v);
    q->has_generation_prompt = true;
    q->p->add_generation_prompt = cJSON_IsTrue(v);
    return STATUS_OK;
}

static enum status parse_priority(struct parse *q, const struct field *f, const cJSON *v)
{
    enum status st = read_int(q, f->name, v, INT32_MIN, INT32_MAX, &q->p->priority);

    if (st == STATUS_OK && q->p->priority != 0 && !q->rules->priority_policy)
        return error_set_param(q->err, STATUS_INVALID, f->name,
                               "'%s' other than 0 needs a server that was started with "
                               "--scheduling-policy priority.",
                               f->name);
    return st;
}

static enum status parse_request_id(struct parse *q, const struct field *f, const cJSON *v)
{
    size_t len = cJSON_IsString(v) ? strlen(v->valuestring) : 0;

    if (!cJSON_IsString(v)) return bad(q, f->name, "a string", v);
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

static enum status parse_stream_options(struct parse *q, const struct field *f, const cJSON *v)
{
    const cJSON *item;

    if (!cJSON_IsObject(v)) return bad(q, f->name, "an object", v);
    q->has_stream_options = true;
    cJSON_ArrayForEach(item, v)
    {
        bool usage = strcmp(item->string, "include_usage") == 0;
        bool continuous = strcmp(item->string, "continuous_usage_stats") == 0;
        if (!usage && !continuous && strcmp(item->string, "include_obfuscation") != 0)
            return error_set_param(q->err, STATUS_INVALID, f->name,
                                   "Unrecognized member of '%s': %s", f->name, item->string);
        if (cJSON_IsNull(item)) continue;
        if (!cJSON_IsBool(item)) return bad(q, f->name, "an object of booleans", item);
        if (usage) q->p->include_usage = cJSON_IsTrue(item);
        if (continuous) q->p->continuous_usage = cJSON_IsTrue(item);
    }
    return STATUS_OK;
}

/* --- the tables ------------------------------------------------------------------------------ */

/* Completions and chat. */
static const struct field generate_fields[] = {
    /* clang-format off */
    /* OpenAI */
    STRING("model", model, 1, 512),
    CUSTOM("temperature", parse_temperature),
    CUSTOM("top_p", parse_top_p),
    CUSTOM("n", parse_n),
    CUSTOM("stop", parse_stop),
    CUSTOM("seed", parse_seed),
    FLOAT("frequency_penalty", sampling.frequency_penalty, -2, 2),
    FLOAT("presence_penalty", sampling.presence_penalty, -2, 2),
    CUSTOM("logit_bias", parse_bias),
    BOOL("stream", stream),
    CUSTOM("stream_options", parse_stream_options),
    IGNORED("user", is_string, "a string"),
    IGNORED("safety_identifier", is_string, "a string"),
    IGNORED("prompt_cache_key", is_string, "a string"),
    IGNORED("prompt_cache_retention", is_string, "a string"),
    IGNORED("prompt_cache_options", is_object, "an object"),
    IGNORED("metadata", is_object, "an object"),
    REFUSED("store", is_false, "answers are not stored; leave it out"),
    REFUSED("service_tier", is_known_tier, "only \"auto\" and \"default\" are offered"),
    REFUSED("moderation", never, NOT_YET),
    /* vLLM: sampling */
    I32("top_k", sampling.top_k, -1, INT32_MAX),
    FLOAT("min_p", sampling.min_p, 0, 1),
    FLOAT("repetition_penalty", sampling.repetition_penalty, 1e-3, 1e3),
    I32("min_tokens", sampling.min_tokens, 0, INT32_MAX),
    BOOL("ignore_eos", sampling.ignore_eos),
    CUSTOM("stop_token_ids", parse_stop_ids),
    BOOL("include_stop_str_in_output", include_stop),
    BOOL("skip_special_tokens", skip_special_tokens),
    CUSTOM("truncate_prompt_tokens", parse_truncate),
    CUSTOM("truncation_side", parse_truncation_side),
    CUSTOM("prompt_logprobs", parse_prompt_logprobs),
    BOOL("add_special_tokens", add_special_tokens),
    BOOL("return_token_ids", return_token_ids),
    BOOL("return_tokens_as_token_ids", tokens_as_ids),
    CUSTOM("priority", parse_priority),
    CUSTOM("request_id", parse_request_id),
    STRING("cache_salt", cache_salt, 1, LIMIT_CACHE_SALT),
    IGNORED("session_id", is_string, "a string"),
    /* vLLM: not offered */
    REFUSED("use_beam_search", is_false, NOT_YET),
    REFUSED("early_stopping", is_false, NOT_YET),
    REFUSED("length_penalty", is_one, NOT_YET),
    REFUSED("spaces_between_special_tokens", is_true, NOT_YET),
    REFUSED("stream_interval", is_one, "every token has an event of its own"),
    REFUSED("allowed_token_ids", is_empty, "use 'logit_bias' with -100 for the others"),
    REFUSED("bad_words", is_empty, NOT_YET),
    REFUSED("logprob_token_ids", is_empty, NOT_YET),
    REFUSED("logits_processors", is_empty, NOT_YET),
    REFUSED("response_format", is_text_format, "only {\"type\": \"text\"} is offered"),
    REFUSED("structured_outputs", is_empty, NOT_YET),
    REFUSED("guided_json", never, NOT_YET),
    REFUSED("guided_regex", is_empty, NOT_YET),
    REFUSED("guided_choice", is_empty, NOT_YET),
    REFUSED("guided_grammar", is_empty, NOT_YET),
    REFUSED("guided_decoding_backend", is_empty, NOT_YET),
    REFUSED("guided_whitespace_pattern", never, NOT_YET),
    REFUSED("structural_tag", is_empty, NOT_YET),
    REFUSED("repetition_detection", is_empty, NOT_YET),
    REFUSED("thinking_token_budget", never, NOT_YET),
    REFUSED("return_prompt_text", is_false, NOT_YET),
    REFUSED("kv_transfer_params", is_empty, NOT_YET),
    REFUSED("vllm_xargs", is_empty, NOT_YET),
    REFUSED("mm_processor_kwargs", is_empty, "this server takes text only"),
    /* clang-format on */
};

static const struct field completion_fields[] = {
    /* clang-format off */
    CUSTOM("prompt", parse_prompt),
    I64("max_tokens", max_tokens, 0, MAX_INT),
    CUSTOM("logprobs", parse_logprobs),
    BOOL("echo", echo),
    CUSTOM("best_of", parse_best_of),
    REFUSED("suffix", is_empty, "no model here fills in the middle"),
    REFUSED("prompt_embeds", is_empty, "send 'prompt'"),
    /* clang-format on */
};

/* What both chat and /tokenize know about rendering a conversation. */
static const struct field template_fields[] = {
    /* clang-format off */
    CUSTOM("messages", parse_messages),
    CUSTOM("add_generation_prompt", parse_generation_prompt),
    BOOL("continue_final_message", continue_final_message),
    CUSTOM("chat_template_kwargs", parse_template_kwargs),
    CUSTOM("documents", parse_documents),
    CUSTOM("reasoning_effort", parse_reasoning_effort),
    REFUSED("chat_template", never, "start the server with --chat-template FILE"),
    REFUSED("tools", is_empty, NOT_YET),
    /* clang-format on */
};

static const struct field chat_fields[] = {
    /* clang-format off */
    CUSTOM("max_tokens", parse_chat_max_tokens),
    CUSTOM("max_completion_tokens", parse_max_completion_tokens),
    CUSTOM("logprobs", parse_chat_logprobs),
    CUSTOM("top_logprobs", parse_top_logprobs),
    IGNORED("parallel_tool_calls", is_bool, "a boolean"),
    IGNORED("include_reasoning", is_bool, "a boolean"),
    REFUSED("echo", is_false, "use 'continue_final_message'"),
    REFUSED("tool_choice", is_no_tool_choice, NOT_YET),
    REFUSED("functions", is_empty, NOT_YET),
    REFUSED("function_call", is_no_tool_choice, NOT_YET),
    REFUSED("modalities", is_text_modality, "only [\"text\"] is offered"),
    REFUSED("audio", never, "this server answers in text only"),
    REFUSED("prediction", never, NOT_YET),
    REFUSED("web_search_options", never, NOT_YET),
    REFUSED("verbosity", is_medium, "only \"medium\" is offered"),
    /* clang-format on */
};

static const struct field tokenize_fields[] = {
    /* clang-format off */
    STRING("model", model, 1, 512),
    CUSTOM("prompt", parse_tokenize_prompt),
    BOOL("add_special_tokens", add_special_tokens),
    BOOL("return_token_strs", return_token_strs),
    /* clang-format on */
};

static const struct field detokenize_fields[] = {
    /* clang-format off */
    STRING("model", model, 1, 512),
    CUSTOM("tokens", parse_tokens),
    /* clang-format on */
};

static const struct field_table {
    int kinds; /* of enum api_kind */
    const struct field *fields;
    size_t n;
} field_tables[] = {
    {API_COMPLETION | API_CHAT, generate_fields, ARRAY_LEN(generate_fields)},
    {API_COMPLETION, completion_fields, ARRAY_LEN(completion_fields)},
    {API_CHAT | API_TOKENIZE, template_fields, ARRAY_LEN(template_fields)},
    {API_CHAT, chat_fields, ARRAY_LEN(chat_fields)},
    {API_TOKENIZE, tokenize_fields, ARRAY_LEN(tokenize_fields)},
    {API_DETOKENIZE, detokenize_fields, ARRAY_LEN(detokenize_fields)},
};

/* --- reading --------------------------------------------------------------------------------- */

static const struct field *find_field(enum api_kind kind, const char *name)
{
    for (size_t t = 0; t < ARRAY_LEN(field_tables); t++) {
        if (!(field_tables[t].kinds & (int)kind)) continue;
        for (size_t i = 0; i < field_tables[t].n; i++)
            if (strcmp(field_tables[t].fields[i].name, name) == 0)
                return &field_tables[t].fields[i];
    }
    return NULL;
}

static enum status read_float(struct parse *q, const struct field *f, const cJSON *v, float *to)
{
    if (!cJSON_IsNumber(v)) return bad(q, f->name, "a number", v);
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

    if (!cJSON_IsString(v)) return bad(q, f->name, "a string", v);
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
        if (!cJSON_IsBool(v)) return bad(q, f->name, "a boolean", v);
        *(bool *)to = cJSON_IsTrue(v);
        return STATUS_OK;
    case F_I32:
        st = read_int(q, f->name, v, (int64_t)f->min, (int64_t)f->max, &i);
        if (st == STATUS_OK) *(int32_t *)(void *)to = (int32_t)i;
        return st;
    case F_I64:
        return read_int(q, f->name, v, (int64_t)f->min, (int64_t)f->max, (int64_t *)(void *)to);
    case F_FLOAT:
        return read_float(q, f, v, (float *)(void *)to);
    case F_STRING:
        return read_string(q, f, v, (const char **)(void *)to);
    case F_CUSTOM:
        return f->parse(q, f, v);
    case F_IGNORED:
        return f->neutral(v) ? STATUS_OK : bad(q, f->name, f->note, v);
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
        const struct field *f = find_field(q->p->kind, item->string);
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
    p->messages = p->template_kwargs = p->documents = NULL;
}

void api_params_free(struct api_params *p)
{
    cJSON_Delete(p->root);
    p->root = NULL;
    arena_free(&p->arena);
}
