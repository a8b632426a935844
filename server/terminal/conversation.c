#include "server/terminal/conversation.h"

#include "config/base/check.h"
#include "config/base/json.h"
#include "config/limits.h"

#include <stdlib.h>
#include <string.h>

static const char *const role_names[CHAT_ROLES] = {
    [CHAT_SYSTEM] = "system", [CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant"};

static enum status check_text(const struct conversation *c, struct str text, size_t replaced,
                              struct error *err)
{
    if (text.len > 0 && memchr(text.data, '\0', text.len))
        return error_set(err, STATUS_INVALID, "the message holds a NUL byte: it is no text");
    if (text.len > 0 && !utf8_valid(text.data, text.len))
        return error_set(err, STATUS_INVALID, "the message is not valid UTF-8");
    if (text.len > LIMIT_CHAT_CONVERSATION - (c->size - replaced))
        return error_set(err, STATUS_TOO_LARGE,
                         "the conversation would have more than %u bytes; /reset starts a new one",
                         LIMIT_CHAT_CONVERSATION);
    return STATUS_OK;
}

/* A copy of `text` at `at`, where everything behind moves on. */
static enum status insert(struct conversation *c, int at, enum chat_role role, struct str text,
                          struct error *err)
{
    char *copy = malloc(text.len + 1);
    if (copy && c->n == c->cap) {
        int cap = c->cap ? c->cap * 2 : 8;
        struct chat_message *items = realloc(c->items, (size_t)cap * sizeof(*items));
        if (items) {
            c->items = items;
            c->cap = cap;
        }
    }
    if (!copy || c->n == c->cap) {
        free(copy);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the message");
    }
    if (text.len > 0) memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    memmove(c->items + at + 1, c->items + at, (size_t)(c->n - at) * sizeof(*c->items));
    struct chat_message *m = &c->items[at];
    m->role = role;
    m->text = copy;
    m->len = text.len;
    c->n++;
    c->size += text.len;
    return STATUS_OK;
}

static void take_out(struct conversation *c, int at)
{
    c->size -= c->items[at].len;
    free(c->items[at].text);
    c->n--;
    memmove(c->items + at, c->items + at + 1, (size_t)(c->n - at) * sizeof(*c->items));
}

enum status conversation_add(struct conversation *c, enum chat_role role, struct str text,
                             struct error *err)
{
    enum status st = check_text(c, text, 0, err);
    if (st != STATUS_OK) return st;
    if (c->n >= LIMIT_CHAT_MESSAGES)
        return error_set(err, STATUS_TOO_LARGE,
                         "the conversation has %d messages; /reset starts a new one", c->n);
    return insert(c, c->n, role, text, err);
}

void conversation_pop(struct conversation *c)
{
    CHECK(c->n > 0);
    take_out(c, c->n - 1);
}

const struct chat_message *conversation_last(const struct conversation *c, enum chat_role role)
{
    return c->n > 0 && c->items[c->n - 1].role == role ? &c->items[c->n - 1] : NULL;
}

const struct chat_message *conversation_system(const struct conversation *c)
{
    return c->n > 0 && c->items[0].role == CHAT_SYSTEM ? &c->items[0] : NULL;
}

int conversation_n_said(const struct conversation *c)
{
    return c->n - (conversation_system(c) ? 1 : 0);
}

enum status conversation_set_system(struct conversation *c, struct str text, struct error *err)
{
    const struct chat_message *old = conversation_system(c);
    bool had = old != NULL;
    enum status st = check_text(c, text, had ? old->len : 0, err);
    if (st == STATUS_OK && text.len > 0) st = insert(c, 0, CHAT_SYSTEM, text, err);
    if (st == STATUS_OK && had) take_out(c, text.len > 0 ? 1 : 0);
    return st;
}

void conversation_reset(struct conversation *c)
{
    int keep = conversation_system(c) ? 1 : 0;
    while (c->n > keep) conversation_pop(c);
}

void conversation_free(struct conversation *c)
{
    while (c->n > 0) conversation_pop(c);
    free(c->items);
    *c = (struct conversation){0};
}

void conversation_add_json(const struct conversation *c, struct strbuf *out)
{
    strbuf_add_char(out, '[');
    for (int i = 0; i < c->n; i++) {
        strbuf_addf(out, "%s{\"role\":\"%s\",\"content\":", i ? "," : "",
                    role_names[c->items[i].role]);
        strbuf_add_json(out, c->items[i].text, c->items[i].len);
        strbuf_add_char(out, '}');
    }
    strbuf_add_char(out, ']');
}

static enum status read_message(const cJSON *m, int i, struct conversation *out, struct error *err)
{
    const cJSON *role = json_get(m, "role"), *content = json_get(m, "content");
    int r = 0;

    if (!cJSON_IsString(role) || !cJSON_IsString(content))
        return error_set(err, STATUS_INVALID,
                         "messages[%d] must be an object with a role and a content that is a "
                         "string",
                         i);
    while (r < CHAT_ROLES && strcmp(role_names[r], role->valuestring) != 0) r++;
    if (r == CHAT_ROLES)
        return error_set(err, STATUS_INVALID,
                         "messages[%d] has the role \"%.40s\"; only system, user and assistant "
                         "can be loaded",
                         i, role->valuestring);
    if (r == CHAT_SYSTEM && i > 0)
        return error_set(err, STATUS_INVALID,
                         "messages[%d] is the system's; it can only be the first", i);
    enum status st = conversation_add(out, (enum chat_role)r, str_from(content->valuestring), err);
    if (st != STATUS_OK) error_prepend(err, "messages[%d]", i);
    return st;
}

enum status conversation_read_json(const cJSON *messages, struct conversation *out,
                                   struct error *err)
{
    struct conversation read = {0};
    enum status st = STATUS_OK;
    const cJSON *m;
    int i = 0;

    if (!cJSON_IsArray(messages))
        return error_set(err, STATUS_INVALID, "\"messages\" must be an array");
    cJSON_ArrayForEach(m, messages)
    {
        st = read_message(m, i++, &read, err);
        if (st != STATUS_OK) {
            conversation_free(&read);
            return st;
        }
    }
    conversation_free(out);
    *out = read;
    return st;
}
