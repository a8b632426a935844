#include "server/chat.h"

#include "server/api_messages.h"
#include "server/chat_templates.h"

#include <string.h>

/* --- what the template sees ------------------------------------------------------------------- */

/* Adds under a key, taking the item over; a key that is there already is replaced. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
    if (!item) return false;
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (cJSON_AddItemToObject(object, key, item)) return true;
    cJSON_Delete(item);
    return false;
}

/* The item stays the caller's; NULL becomes null. */
static bool put_borrowed(cJSON *object, const char *key, const cJSON *item)
{
    if (!item) return put(object, key, cJSON_CreateNull());
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    return cJSON_AddItemReferenceToObject(object, key, (cJSON *)item);
}

static bool put_each(cJSON *object, const cJSON *members)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, members)
    {
        if (!put_borrowed(object, item->string, item)) return false;
    }
    return true;
}

/* Takes `messages` over. */
static cJSON *make_context(const struct chat_templates *t, const struct chat_input *in,
                           cJSON *messages)
{
    cJSON *c = cJSON_CreateObject();

    if (!c) {
        cJSON_Delete(messages);
        return NULL;
    }
    if (put(c, "messages", messages) && put_borrowed(c, "tools", in->tools) &&
        put_borrowed(c, "documents", in->documents) &&
        put(c, "add_generation_prompt", cJSON_CreateBool(in->add_generation_prompt)) &&
        put_each(c, t->special_tokens) &&
        (!in->reasoning_effort ||
         put(c, "reasoning_effort", cJSON_CreateStringReference(in->reasoning_effort))) &&
        put_each(c, in->template_kwargs))
        return c;
    cJSON_Delete(c);
    return NULL;
}

static enum content_form content_form(const char *option, const struct template *t)
{
    struct template_contents knows = template_contents(t);

    if (strcmp(option, "openai") == 0) return CONTENT_ONLY_PARTS;
    if (strcmp(option, "string") == 0 || !knows.parts) return CONTENT_STRING;
    return knows.strings ? CONTENT_ANY : CONTENT_ONLY_PARTS;
}

/* --- continue_final_message --------------------------------------------------------------------- */

/* transformers' render_jinja_template puts a mark behind the final message and cuts there; the blank
 * at its end tells whether the template keeps a message's own trailing blanks. */
static const char mark[] = "CONTINUE_FINAL_MESSAGE_TAG ";

static ptrdiff_t find_last(struct str in, struct str needle)
{
    if (needle.len > in.len) return -1;
    for (size_t i = in.len - needle.len + 1; i-- > 0;)
        if (memcmp(in.data + i, needle.data, needle.len) == 0) return (ptrdiff_t)i;
    return -1;
}

static enum status cut_at_mark(struct strbuf *out, size_t start, struct str text, struct error *err)
{
    struct str rendered = {out->data + start, out->len - start};
    struct str bare = template_strip(text, true, true), word = {mark, sizeof(mark) - 2};
    ptrdiff_t at = find_last(rendered, word);

    if (at < 0 || !memmem(rendered.data, rendered.len, bare.data, bare.len))
        return error_set_param(err, STATUS_INVALID, "continue_final_message",
                               "'continue_final_message' is set but the final message does not "
                               "appear in the text that the chat template made.");
    struct str head = {rendered.data, (size_t)at};
    if (rendered.len == head.len + word.len || rendered.data[head.len + word.len] != ' ')
        head = template_strip(head, false, true);
    out->len = start + head.len;
    out->data[out->len] = '\0';
    return STATUS_OK;
}

/* --- rendering ---------------------------------------------------------------------------------- */

/* The template's words, with the field that they speak of.  Those of raise_exception are the
 * template's own; what failed of itself has a place in front. */
static enum status name_template(struct error *err, enum status st)
{
    static const char place[] = "chat template, ";
    struct error inner = *err;
    bool failed = strncmp(inner.message, place, sizeof(place) - 1) == 0;

    return error_set_param(err, st, "messages", "The chat template %s: %s",
                           failed ? "failed" : "refused the messages",
                           inner.message + (failed ? sizeof(place) - 1 : 0));
}

/* Takes `context` over. */
static enum status render(const struct template *t, cJSON *context, int64_t now, struct strbuf *out,
                          struct error *err)
{
    struct error why = {0};
    enum status st;

    if (!context) return error_set(err, STATUS_NO_MEMORY, "out of memory rendering the chat");
    st = template_render(t, context, now, out, &why);
    if (st == STATUS_INVALID || st == STATUS_TOO_LARGE)
        st = name_template(&why, st);
    else if (st == STATUS_OK && out->failed)
        st = error_set(&why, STATUS_NO_MEMORY, "out of memory rendering the chat");
    if (st != STATUS_OK && err) *err = why;
    return st;
}

enum status chat_render_input(const struct chat_templates *all, const char *content_format,
                              const struct chat_input *in, int64_t now, struct strbuf *out,
                              struct error *err)
{
    const struct chat_template *t;
    cJSON *messages = NULL, *context = NULL;
    struct str text = {NULL, 0};
    size_t start = out->len;
    enum status st = chat_templates_pick(all, in->tools != NULL, in->template_name, &t, err);

    if (st != STATUS_OK) return st;
    st = messages_convert(in->messages, content_form(content_format, t->compiled), &messages, err);
    if (st != STATUS_OK) return st;
    if (in->continue_final_message) st = messages_mark_final(messages, mark, &text, err);
    if (st != STATUS_OK) {
        cJSON_Delete(messages);
        return st;
    }
    context = make_context(all, in, messages);
    st = render(t->compiled, context, now, out, err);
    if (st == STATUS_OK && in->continue_final_message) st = cut_at_mark(out, start, text, err);
    cJSON_Delete(context);
    return st;
}

enum status chat_render(const struct app *a, const struct api_params *p, int64_t now,
                        struct strbuf *out, struct error *err)
{
    const struct chat_input in = {
        .messages = p->messages,
        .tools = p->tools,
        .documents = p->documents,
        .template_kwargs = p->template_kwargs,
        .reasoning_effort = p->reasoning_effort,
        .add_generation_prompt = p->add_generation_prompt,
        .continue_final_message = p->continue_final_message,
    };

    if (!a->chat_templates)
        return error_set_param(err, STATUS_UNSUPPORTED, "messages",
                               "This model has no chat template. %s",
                               a->command_line ? "Give one by --chat-template FILE."
                                               : "Start the server with --chat-template FILE, or "
                                                 "use /v1/completions.");
    return chat_render_input(a->chat_templates, a->opts->chat_template_content_format, &in, now,
                             out, err);
}
