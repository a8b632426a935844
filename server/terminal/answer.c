#include "server/terminal/answer.h"

#include "config/base/json.h"
#include "config/limits.h"

#include <stdio.h>
#include <string.h>

/* Events of other servers may carry more than inferd's, but nothing deep.  A NUL ends a text: no
 * request could give it back. */
static const struct json_limits event_limits = {
    .max_size = LIMIT_CHAT_EVENT, .max_depth = 32, .max_values = 20000, .allow_nul = true};

void answer_init(struct answer *a, answer_text_fn *on_text, void *arg)
{
    *a = (struct answer){.on_text = on_text, .arg = arg};
    strbuf_init(&a->text, LIMIT_CHAT_ANSWER);
    strbuf_init(&a->event, LIMIT_CHAT_EVENT);
    sse_lines_init(&a->lines, LIMIT_CHAT_EVENT);
    a->prompt_tokens = a->completion_tokens = -1;
}

void answer_reset(struct answer *a)
{
    struct answer old = *a;
    *a = (struct answer){.on_text = old.on_text,
                         .arg = old.arg,
                         .text = old.text,
                         .event = old.event,
                         .lines = old.lines,
                         .prompt_tokens = -1,
                         .completion_tokens = -1};
    strbuf_clear(&a->text);
    strbuf_clear(&a->event);
    sse_lines_reset(&a->lines);
}

void answer_free(struct answer *a)
{
    strbuf_free(&a->text);
    strbuf_free(&a->event);
    sse_lines_free(&a->lines);
}

static enum status fail(struct answer *a, enum status st, const char *what)
{
    if (a->status == STATUS_OK) a->status = error_set(&a->error, st, "%s", what);
    return st;
}

/* --- errors of a server ---------------------------------------------------------------------- */

static void copy_text(const cJSON *v, char *out, size_t size)
{
    snprintf(out, size, "%s", v && cJSON_IsString(v) ? v->valuestring : "");
    out[utf8_complete_len(out, strlen(out))] = '\0';
}

/* {"message", "code"}, or a string; FastAPI's servers say "detail". */
static bool read_error(const cJSON *v, char *message, size_t message_size, char *code,
                       size_t code_size)
{
    static const char *const keys[] = {"message", "detail", "error"};
    const cJSON *text = cJSON_IsString(v) ? v : NULL;

    for (int i = 0; i < 3 && cJSON_IsObject(v) && !text; i++) text = json_get(v, keys[i]);
    if (!cJSON_IsString(text)) return false;
    copy_text(text, message, message_size);
    copy_text(json_get(v, "code"), code, code_size);
    return message[0] != '\0';
}

bool answer_read_refusal(struct str body, char *message, size_t message_size, char *code,
                         size_t code_size)
{
    cJSON *v;
    struct error ignored;

    code[0] = '\0';
    if (json_parse(body.data, body.len, &event_limits, &v, &ignored) != STATUS_OK) return false;
    const cJSON *error = json_get(v, "error");
    bool found = read_error(cJSON_IsObject(error) || cJSON_IsString(error) ? error : v, message,
                            message_size, code, code_size);
    cJSON_Delete(v);
    return found;
}

/* --- events ---------------------------------------------------------------------------------- */

static enum status take_text(struct answer *a, const cJSON *v, bool reasoning)
{
    struct str text = str_from(cJSON_IsString(v) ? v->valuestring : NULL);

    if (text.len == 0) return STATUS_OK;
    if (!a->first_ns) a->first_ns = a->now_ns;
    a->last_ns = a->now_ns;
    if (!reasoning) {
        strbuf_add(&a->text, text.data, text.len);
        if (a->text.failed) return fail(a, STATUS_TOO_LARGE, "the answer has no end");
    }
    enum status st = a->on_text(a->arg, text, reasoning, &a->error);
    if (st != STATUS_OK && a->status == STATUS_OK) a->status = st;
    return st;
}

static enum status take_delta(struct answer *a, const cJSON *delta)
{
    const cJSON *reasoning = json_get(delta, "reasoning_content");
    const cJSON *content = json_get(delta, "content");

    if (!cJSON_IsString(reasoning)) reasoning = json_get(delta, "reasoning");
    if (!cJSON_IsString(content)) content = json_get(delta, "refusal"); /* OpenAI's, in words */
    bool some = (cJSON_IsString(reasoning) && reasoning->valuestring[0]) ||
                (cJSON_IsString(content) && content->valuestring[0]);
    a->n_texts += some;
    enum status st = take_text(a, reasoning, true);
    if (st == STATUS_OK) st = take_text(a, content, false);
    if (a->first_ns == a->now_ns) a->n_texts_first = a->n_texts;
    return st;
}

static void take_usage(struct answer *a, const cJSON *usage)
{
    int64_t n;

    if (json_as_i64(json_get(usage, "prompt_tokens"), 0, INT32_MAX, &n)) a->prompt_tokens = n;
    if (json_as_i64(json_get(usage, "completion_tokens"), 0, INT32_MAX, &n))
        a->completion_tokens = n;
}

static enum status take_error(struct answer *a, const cJSON *error)
{
    char message[384], code[64];

    bool read = read_error(error, message, sizeof(message), code, sizeof(code));
    a->status = error_set(&a->error, STATUS_UNAVAILABLE, "the server broke off: %s",
                          read ? message : "it does not say why");
    return a->status;
}

static enum status take_object(struct answer *a, const cJSON *event)
{
    const cJSON *error = json_get(event, "error"), *choices = json_get(event, "choices");
    const cJSON *choice = cJSON_IsArray(choices) ? choices->child : NULL;
    enum status st = STATUS_OK;

    if (error && !cJSON_IsNull(error)) return take_error(a, error);
    if (!cJSON_IsArray(choices) && !json_get(event, "usage"))
        return fail(a, STATUS_INVALID, "the server sent an event that is none of a chat's");
    if (choice) st = take_delta(a, json_get(choice, "delta"));
    const cJSON *reason = json_get(choice, "finish_reason");
    if (cJSON_IsString(reason)) {
        copy_text(reason, a->finish_reason, sizeof(a->finish_reason));
        a->done = true;
    }
    take_usage(a, json_get(event, "usage"));
    return st;
}

static void take_event(struct answer *a, struct str data)
{
    cJSON *v = NULL;
    struct error err;

    if (str_eq(data, STR("[DONE]"))) {
        a->done = true;
        return;
    }
    if (json_parse(data.data, data.len, &event_limits, &v, &err) != STATUS_OK) {
        a->status = error_set(&a->error, STATUS_INVALID,
                              "the server sent an event that is not "
                              "JSON: %s",
                              err.message);
    } else if (!cJSON_IsObject(v)) {
        fail(a, STATUS_INVALID, "the server sent an event that is none of a chat's");
    } else {
        take_object(a, v);
    }
    cJSON_Delete(v);
}

/* An event is over at an empty line; its data lines are joined. */
static void take_line(void *arg, struct str line)
{
    struct answer *a = arg;
    struct str data;

    if (a->status != STATUS_OK) return;
    if (sse_line_data(line, &data)) {
        if (a->event_open) strbuf_add_char(&a->event, '\n');
        strbuf_add(&a->event, data.data, data.len);
        a->event_open = true;
        if (a->event.failed) fail(a, STATUS_TOO_LARGE, "an event of the server has no end");
    } else if (line.len == 0 && a->event_open) {
        take_event(a, (struct str){a->event.data ? a->event.data : "", a->event.len});
        strbuf_clear(&a->event);
        a->event_open = false;
    }
}

bool answer_feed(struct answer *a, const char *data, size_t len, uint64_t now_ns)
{
    a->now_ns = now_ns;
    if (a->status == STATUS_OK && !sse_lines_feed(&a->lines, data, len, take_line, a))
        fail(a, STATUS_TOO_LARGE, "a line of the server's stream has no end");
    return a->status == STATUS_OK;
}

enum status answer_end(struct answer *a, struct error *err)
{
    if (a->status == STATUS_OK && !a->done)
        fail(a, STATUS_IO, "the server ended the connection in the middle of the answer");
    *err = a->error;
    return a->status;
}

int64_t answer_n_tokens(const struct answer *a, bool *exact)
{
    *exact = a->completion_tokens >= 0;
    return *exact ? a->completion_tokens : (int64_t)a->n_texts;
}

double answer_tokens_per_s(const struct answer *a)
{
    bool exact;
    int64_t n = answer_n_tokens(a, &exact) - (int64_t)a->n_texts_first;

    if (n <= 0 || a->last_ns - a->first_ns < ANSWER_SPAN_MIN_NS) return 0;
    return (double)n * 1e9 / (double)(a->last_ns - a->first_ns);
}
