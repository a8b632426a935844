#include "server/chat.h"

#include "server/api_messages.h"
#include "server/chat_templates.h"

#include <string.h>

/* Adds under a key, taking the item over; a key that is there already is replaced. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
    if (!item) return false;
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (cJSON_AddItemToObject(object, key, item)) return true;
    cJSON_Delete(item);
    return false;
}

/* A token that the tokenizer lacks stays undefined, as in transformers' special_tokens_map. */
static bool put_token(cJSON *object, const char *key, const char *token)
{
    return !token || !token[0] || put(object, key, cJSON_CreateString(token));
}

/* Takes `messages` over. */
static cJSON *make_context(const struct tokenizer *t, const struct api_params *p, cJSON *messages)
{
    cJSON *c = cJSON_CreateObject();
    const cJSON *item;
    bool ok;

    if (!c) {
        cJSON_Delete(messages);
        return NULL;
    }
    ok = put(c, "messages", messages) && put(c, "tools", cJSON_CreateNull()) &&
         put(c, "documents",
             p->documents ? cJSON_Duplicate(p->documents, true) : cJSON_CreateNull()) &&
         put(c, "add_generation_prompt", cJSON_CreateBool(p->add_generation_prompt)) &&
         put_token(c, "bos_token", tokenizer_bos_token(t)) &&
         put_token(c, "eos_token", tokenizer_eos_token(t)) &&
         put_token(c, "unk_token", tokenizer_unk_token(t)) &&
         put_token(c, "pad_token", tokenizer_pad_token(t)) &&
         put_token(c, "reasoning_effort", p->reasoning_effort);
    cJSON_ArrayForEach(item, p->template_kwargs)
    {
        ok = ok && put(c, item->string, cJSON_Duplicate(item, true));
    }
    if (ok) return c;
    cJSON_Delete(c);
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static struct str strip(const char *s, bool left, bool right)
{
    struct str r = str_from(s);

    while (left && r.len > 0 && is_space(r.data[0])) r = (struct str){r.data + 1, r.len - 1};
    while (right && r.len > 0 && is_space(r.data[r.len - 1])) r.len--;
    return r;
}

/* Last place of `needle`, or -1. */
static ptrdiff_t find_last(struct str in, struct str needle)
{
    if (needle.len > in.len) return -1;
    for (size_t i = in.len - needle.len + 1; i-- > 0;)
        if (memcmp(in.data + i, needle.data, needle.len) == 0) return (ptrdiff_t)i;
    return -1;
}

/* continue_final_message: what the template put behind the final message is cut off, the message's
 * own trailing spaces kept where the template kept them (transformers'
 * utils/chat_template_utils.py, render_jinja_template). */
static enum status cut_after_last(struct strbuf *out, size_t start, const char *text,
                                  struct error *err)
{
    struct str rendered = {out->data + start, out->len - start};
    struct str bare = text ? strip(text, true, true) : (struct str){NULL, 0};
    struct str tail = text ? strip(text, true, false) : bare;
    ptrdiff_t at = bare.len > 0 ? find_last(rendered, bare) : -1;

    if (at < 0)
        return error_set_param(err, STATUS_INVALID, "continue_final_message",
                               "'continue_final_message' is set but the final message does not "
                               "appear in the text that the chat template made.");
    size_t rest = rendered.len - (size_t)at, keep = bare.len;
    /* transformers compares with the whole message: leading spaces make it cut all trailing ones. */
    if (tail.len == strlen(text) && tail.len <= rest &&
        memcmp(rendered.data + at, tail.data, tail.len) == 0)
        keep = tail.len;
    out->len = start + (size_t)at + keep;
    out->data[out->len] = '\0';
    return STATUS_OK;
}

/* The template's words, with the field that they speak of. */
static enum status name_template(struct error *err, enum status st)
{
    struct error inner = *err;

    return error_set_param(err, st, "messages", "The chat template refused the messages: %s",
                           inner.message);
}

enum status chat_render(const struct app *a, const struct api_params *p, int64_t now,
                        struct strbuf *out, struct error *err)
{
    bool as_parts = strcmp(a->opts->chat_template_content_format, "openai") == 0;
    const struct chat_template *t;
    cJSON *messages = NULL, *context = NULL;
    size_t start = out->len;
    enum status st;

    if (!a->chat_templates)
        return error_set_param(err, STATUS_UNSUPPORTED, "messages",
                               "This model has no chat template. Start the server with "
                               "--chat-template FILE, or use /v1/completions.");
    st = chat_templates_pick(a->chat_templates, false, NULL, &t, err);
    if (st != STATUS_OK) return st;
    st = messages_convert(p->messages, as_parts, &messages, err);
    if (st != STATUS_OK) return st;
    const char *last = messages_last_text(messages);
    context = make_context(a->tokenizer, p, messages);
    if (!context) return error_set(err, STATUS_NO_MEMORY, "out of memory rendering the chat");
    st = template_render(t->compiled, context, now, out, err);
    if (st == STATUS_INVALID || st == STATUS_TOO_LARGE)
        st = name_template(err, st);
    else if (st == STATUS_OK && out->failed)
        st = error_set(err, STATUS_NO_MEMORY, "out of memory rendering the chat");
    else if (st == STATUS_OK && p->continue_final_message)
        st = cut_after_last(out, start, last, err);
    cJSON_Delete(context);
    return st;
}
