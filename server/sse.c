#include "server/sse.h"

#include <math.h>
#include <string.h>

/* Bytes that may not stand as they are in a JSON string: RFC 8259, section 7. */
static bool must_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static void add_escaped(struct strbuf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_form[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char text[6] = {'\\', (char)c};
    size_t len = 2;

    if (c < 0x20 && short_form[c]) {
        text[1] = short_form[c];
    } else if (c < 0x20) {
        memcpy(text + 1, "u00", 3);
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
        len = 6;
    }
    strbuf_add(out, text, len);
}

static void add_text_body(struct strbuf *out, const char *text, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        if (!must_escape((unsigned char)text[i])) continue;
        if (i > start) strbuf_add(out, text + start, i - start);
        add_escaped(out, (unsigned char)text[i]);
        start = i + 1;
    }
    if (len > start) strbuf_add(out, text + start, len - start);
}

void json_add_text(struct strbuf *out, const char *text, size_t len)
{
    strbuf_add_char(out, '"');
    add_text_body(out, text, len);
    strbuf_add_char(out, '"');
}

void json_add_logprob(struct strbuf *out, float logprob)
{
    if (!(logprob > -9999.0f)) logprob = -9999.0f;
    if (logprob > 0.0f) logprob = 0.0f;
    /* Nine digits give every float back. */
    strbuf_addf(out, "%.9g", (double)logprob);
}

#define ADD_LITERAL(out, s) strbuf_add((out), (s), sizeof(s) - 1)

static void add_str(struct strbuf *out, struct str s)
{
    if (s.len > 0) strbuf_add(out, s.data, s.len);
}

static void add_members(struct strbuf *out, const struct sse_identity *who, const char *object)
{
    strbuf_add_str(out, "{\"id\":");
    strbuf_add_json(out, who->id, strlen(who->id));
    strbuf_addf(out, ",\"object\":\"%s\",\"created\":", object);
    strbuf_add_i64(out, who->created_s);
    strbuf_add_str(out, ",\"model\":");
    strbuf_add_json(out, who->model, strlen(who->model));
    strbuf_add_str(out, ",\"system_fingerprint\":");
    strbuf_add_json(out, who->fingerprint, strlen(who->fingerprint));
    strbuf_add_str(out, ",\"choices\":[");
}

bool sse_head_init(struct sse_head *h, const struct sse_identity *who)
{
    h->chat = who->chat;
    strbuf_init(&h->text, 0);
    strbuf_add_str(&h->text, "data: ");
    add_members(&h->text, who, who->chat ? "chat.completion.chunk" : "text_completion");
    return !h->text.failed;
}

void sse_head_free(struct sse_head *h)
{
    strbuf_free(&h->text);
}

void sse_body_begin(struct strbuf *out, const struct sse_identity *who)
{
    add_members(out, who, who->chat ? "chat.completion" : "text_completion");
}

/* `data: {...,"choices":[{"index":N` */
static void begin_choice(struct strbuf *out, const struct sse_head *h, int32_t index)
{
    strbuf_add(out, h->text.data, h->text.len);
    ADD_LITERAL(out, "{\"index\":");
    strbuf_add_u64(out, (uint64_t)index);
}

static void add_member(struct strbuf *out, const char *key, struct str value)
{
    if (value.len == 0) return;
    strbuf_add_char(out, ',');
    strbuf_add_char(out, '"');
    strbuf_add_str(out, key);
    ADD_LITERAL(out, "\":");
    add_str(out, value);
}

static void end_extra(struct strbuf *out, const struct sse_extra *e)
{
    ADD_LITERAL(out, ",\"logprobs\":");
    add_str(out, e->logprobs.len > 0 ? e->logprobs : STR("null"));
    ADD_LITERAL(out, ",\"finish_reason\":");
    if (e->finish_reason) {
        strbuf_add_char(out, '"');
        strbuf_add_str(out, e->finish_reason);
        strbuf_add_char(out, '"');
        add_member(out, "stop_reason", e->stop_reason.len > 0 ? e->stop_reason : STR("null"));
    } else {
        ADD_LITERAL(out, "null");
    }
    add_member(out, "token_ids", e->token_ids);
    add_member(out, "prompt_token_ids", e->prompt_token_ids);
    ADD_LITERAL(out, "}]");
    add_member(out, "usage", e->usage);
    ADD_LITERAL(out, "}\n\n");
}

void sse_add_delta(struct strbuf *out, const struct sse_head *h, int32_t index, struct str text,
                   const struct sse_extra *extra)
{
    begin_choice(out, h, index);
    if (h->chat)
        ADD_LITERAL(out, ",\"delta\":{\"content\":\"");
    else
        ADD_LITERAL(out, ",\"text\":\"");
    add_text_body(out, text.data, text.len);
    if (h->chat)
        ADD_LITERAL(out, "\"}");
    else
        strbuf_add_char(out, '"');
    if (extra)
        end_extra(out, extra);
    else
        ADD_LITERAL(out, ",\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

void sse_add_role(struct strbuf *out, const struct sse_head *h, int32_t index,
                  struct str prompt_token_ids, struct str usage)
{
    begin_choice(out, h, index);
    ADD_LITERAL(out, ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                     "\"finish_reason\":null}]");
    add_member(out, "prompt_token_ids", prompt_token_ids);
    add_member(out, "usage", usage);
    ADD_LITERAL(out, "}\n\n");
}

void sse_add_usage(struct strbuf *out, const struct sse_head *h, struct str usage)
{
    strbuf_add(out, h->text.data, h->text.len);
    ADD_LITERAL(out, "]");
    add_member(out, "usage", usage);
    ADD_LITERAL(out, "}\n\n");
}

void sse_add_done(struct strbuf *out)
{
    ADD_LITERAL(out, "data: [DONE]\n\n");
}

void sse_add_error(struct strbuf *out, const struct error *err)
{
    const char *code = status_api_code(err->code);

    ADD_LITERAL(out, "data: {\"error\":{\"message\":");
    strbuf_add_json(out, err->message, strlen(err->message));
    ADD_LITERAL(out, ",\"type\":");
    strbuf_add_json(out, status_api_type(err->code), strlen(status_api_type(err->code)));
    ADD_LITERAL(out, ",\"param\":");
    if (err->param[0])
        strbuf_add_json(out, err->param, strlen(err->param));
    else
        ADD_LITERAL(out, "null");
    ADD_LITERAL(out, ",\"code\":");
    if (code)
        strbuf_add_json(out, code, strlen(code));
    else
        ADD_LITERAL(out, "null");
    ADD_LITERAL(out, "}}\n\n");
}

void usage_add_json(struct strbuf *out, const struct usage *u)
{
    ADD_LITERAL(out, "{\"prompt_tokens\":");
    strbuf_add_i64(out, u->prompt_tokens);
    ADD_LITERAL(out, ",\"total_tokens\":");
    strbuf_add_i64(out, u->prompt_tokens + u->completion_tokens);
    ADD_LITERAL(out, ",\"completion_tokens\":");
    strbuf_add_i64(out, u->completion_tokens);
    ADD_LITERAL(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    strbuf_add_i64(out, u->cached_tokens);
    ADD_LITERAL(out, "}}");
}
