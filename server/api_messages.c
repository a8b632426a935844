#include "server/api_messages.h"

#include "config/base/check.h"
#include "config/base/str.h"
#include "engine/template/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum role {
    ROLE_SYSTEM = 1,
    ROLE_DEVELOPER = 2,
    ROLE_USER = 4,
    ROLE_ASSISTANT = 8,
    ROLE_TOOL = 16,
    ROLE_FUNCTION = 32,
    ROLE_ANY = 63,
};

static const struct role_row {
    const char *name;
    enum role role;
} role_table[] = {
    {"system", ROLE_SYSTEM},       {"developer", ROLE_DEVELOPER}, {"user", ROLE_USER},
    {"assistant", ROLE_ASSISTANT}, {"tool", ROLE_TOOL},           {"function", ROLE_FUNCTION},
};

struct convert {
    struct error *err;
    enum content_form form;
    int index; /* of the message */
    cJSON *to; /* the converted message */
};

struct message_field;
typedef enum status message_fn(struct convert *c, const struct message_field *f, const cJSON *v);

struct message_field {
    const char *name;
    int roles;        /* that may have it */
    message_fn *read; /* not called for null */
};

static enum status bad_field(const struct convert *c, const char *name, const char *words)
{
    char param[64];

    snprintf(param, sizeof(param), "messages[%d].%s", c->index, name);
    return error_set_param(c->err, STATUS_INVALID, param, "'%s' %s.", param, words);
}

static enum status no_memory(const struct convert *c)
{
    return error_set(c->err, STATUS_NO_MEMORY, "out of memory reading the messages");
}

/* Adds under a key and takes the item over, whatever happens. */
static bool add(cJSON *object, const char *key, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, key, item)) return true;
    cJSON_Delete(item);
    return false;
}

static bool append(cJSON *array, cJSON *item)
{
    if (item && cJSON_AddItemToArray(array, item)) return true;
    cJSON_Delete(item);
    return false;
}

/* --- content --------------------------------------------------------------------------------- */

/* Takes the text over. */
static cJSON *text_part(cJSON *text)
{
    cJSON *part = cJSON_CreateObject();

    if (!part || !add(part, "type", cJSON_CreateStringReference("text"))) {
        cJSON_Delete(part);
        cJSON_Delete(text);
        return NULL;
    }
    if (add(part, "text", text)) return part;
    cJSON_Delete(part);
    return NULL;
}

static enum status add_text_content(struct convert *c, const char *text)
{
    if (c->form != CONTENT_ONLY_PARTS)
        return add(c->to, "content", cJSON_CreateStringReference(text)) ? STATUS_OK : no_memory(c);
    cJSON *list = cJSON_CreateArray();
    if (list && append(list, text_part(cJSON_CreateStringReference(text))) &&
        add(c->to, "content", list))
        return STATUS_OK;
    return no_memory(c);
}

static enum status part_text(const struct convert *c, const cJSON *part, const char **out)
{
    const cJSON *type = json_get(part, "type");
    const char *key;
    const cJSON *text;

    if (!cJSON_IsObject(part) || !cJSON_IsString(type))
        return bad_field(c, "content", "must be a string or an array of parts, each with a 'type'");
    if (strcmp(type->valuestring, "text") == 0) {
        key = "text";
    } else if (strcmp(type->valuestring, "refusal") == 0) {
        key = "refusal";
    } else {
        char param[64];
        snprintf(param, sizeof(param), "messages[%d].content", c->index);
        return error_set_param(c->err, STATUS_UNSUPPORTED, param,
                               "Content parts of type '%s' are not supported: this model takes "
                               "text only.",
                               type->valuestring);
    }
    text = json_get(part, key);
    if (!cJSON_IsString(text)) return bad_field(c, "content", "holds a part without its text");
    *out = text->valuestring;
    return STATUS_OK;
}

/* vLLM joins the parts by newlines. */
static enum status join_parts(struct convert *c, const cJSON *parts)
{
    struct strbuf text;
    enum status st = STATUS_OK;
    const cJSON *part;

    strbuf_init(&text, 0);
    strbuf_add_str(&text, "");
    cJSON_ArrayForEach(part, parts)
    {
        const char *s;
        st = part_text(c, part, &s);
        if (st != STATUS_OK) break;
        if (part != parts->child) strbuf_add_char(&text, '\n');
        strbuf_add_str(&text, s);
    }
    if (st == STATUS_OK &&
        (text.failed || !add(c->to, "content", cJSON_CreateString(text.data ? text.data : ""))))
        st = no_memory(c);
    strbuf_free(&text);
    return st;
}

static enum status list_parts(struct convert *c, const cJSON *parts)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *part;

    cJSON_ArrayForEach(part, parts)
    {
        const char *s;
        enum status st = part_text(c, part, &s);
        if (st == STATUS_OK && !append(list, text_part(cJSON_CreateStringReference(s))))
            st = no_memory(c);
        if (st != STATUS_OK) {
            cJSON_Delete(list);
            return st;
        }
    }
    return add(c->to, "content", list) ? STATUS_OK : no_memory(c);
}

static enum status read_content(struct convert *c, const struct message_field *f, const cJSON *v)
{
    if (cJSON_IsString(v)) return add_text_content(c, v->valuestring);
    if (cJSON_IsArray(v)) return c->form == CONTENT_STRING ? join_parts(c, v) : list_parts(c, v);
    return bad_field(c, f->name, "must be a string or an array of parts");
}

/* --- tool calls ------------------------------------------------------------------------------ */

/* Templates want the arguments as an object; clients send back the text that they got. */
static enum status add_arguments(const struct convert *c, const cJSON *v, cJSON *to)
{
    static const struct json_limits limits = {.max_size = 16u << 20};
    struct error why;
    cJSON *made = NULL;

    if (cJSON_IsObject(v))
        return cJSON_AddItemReferenceToObject(to, "arguments", (cJSON *)v) ? STATUS_OK
                                                                           : no_memory(c);
    if (!v || cJSON_IsNull(v) || (cJSON_IsString(v) && v->valuestring[0] == '\0'))
        return add(to, "arguments", cJSON_CreateObject()) ? STATUS_OK : no_memory(c);
    if (cJSON_IsString(v)) {
        enum status st = json_parse(v->valuestring, strlen(v->valuestring), &limits, &made, &why);
        if (st == STATUS_NO_MEMORY) return no_memory(c);
        if (st == STATUS_OK && cJSON_IsObject(made)) {
            if (!template_keep_numbers(made, v->valuestring, strlen(v->valuestring))) {
                cJSON_Delete(made);
                return no_memory(c);
            }
            return add(to, "arguments", made) ? STATUS_OK : no_memory(c);
        }
        if (st == STATUS_OK) cJSON_Delete(made);
    }
    return bad_field(c, "tool_calls", "holds a call whose arguments are not a JSON object");
}

/* The function of a call, its members in the client's order. */
static enum status convert_function(struct convert *c, const cJSON *function, cJSON *to)
{
    enum status st = STATUS_OK;
    const cJSON *item;

    cJSON_ArrayForEach(item, function)
    {
        if (strcmp(item->string, "arguments") == 0)
            st = add_arguments(c, item, to);
        else if (strcmp(item->string, "name") == 0 &&
                 !add(to, "name", cJSON_CreateStringReference(item->valuestring)))
            st = no_memory(c);
        if (st != STATUS_OK) return st;
    }
    return json_get(to, "arguments") ? STATUS_OK : add_arguments(c, NULL, to);
}

static bool is_string_or_null(const cJSON *v)
{
    return !v || cJSON_IsNull(v) || cJSON_IsString(v);
}

static enum status convert_call(struct convert *c, const cJSON *call, cJSON *to)
{
    const cJSON *function = json_get(call, "function"), *type = json_get(call, "type");
    const cJSON *item;

    if (!cJSON_IsObject(function) || !cJSON_IsString(json_get(function, "name")) ||
        !is_string_or_null(json_get(call, "id")) || !is_string_or_null(type) ||
        (cJSON_IsString(type) && strcmp(type->valuestring, "function") != 0))
        return bad_field(c, "tool_calls",
                         "must hold calls of type 'function' with an id and a named function");
    cJSON_ArrayForEach(item, call)
    {
        bool plain = strcmp(item->string, "id") == 0 || strcmp(item->string, "type") == 0;
        if (plain && cJSON_IsString(item) &&
            !add(to, item->string, cJSON_CreateStringReference(item->valuestring)))
            return no_memory(c);
        if (item != function) continue;
        cJSON *made = cJSON_CreateObject();
        if (!add(to, "function", made)) return no_memory(c);
        enum status st = convert_function(c, function, made);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static enum status read_tool_calls(struct convert *c, const struct message_field *f, const cJSON *v)
{
    cJSON *list;
    const cJSON *call;

    if (!cJSON_IsArray(v)) return bad_field(c, f->name, "must be an array");
    if (!v->child) return STATUS_OK;
    list = cJSON_CreateArray();
    if (!list || !add(c->to, f->name, list)) return no_memory(c);
    cJSON_ArrayForEach(call, v)
    {
        cJSON *to;
        enum status st;
        if (!cJSON_IsObject(call)) return bad_field(c, f->name, "must hold objects");
        to = cJSON_CreateObject();
        if (!append(list, to)) return no_memory(c);
        st = convert_call(c, call, to);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* --- the other fields ------------------------------------------------------------------------ */

static enum status read_string(struct convert *c, const struct message_field *f, const cJSON *v)
{
    if (!cJSON_IsString(v)) return bad_field(c, f->name, "must be a string");
    return add(c->to, f->name, cJSON_CreateStringReference(v->valuestring)) ? STATUS_OK
                                                                            : no_memory(c);
}

static enum status read_ignored(struct convert *c, const struct message_field *f, const cJSON *v)
{
    (void)c;
    (void)f;
    (void)v;
    return STATUS_OK;
}

static enum status refuse(struct convert *c, const struct message_field *f, const cJSON *v)
{
    (void)v;
    bad_field(c, f->name, "is not supported; leave it out");
    if (c->err) c->err->code = STATUS_UNSUPPORTED;
    return STATUS_UNSUPPORTED;
}

static const struct message_field message_fields[] = {
    {"role", ROLE_ANY, read_string},
    {"content", ROLE_ANY, read_content},
    {"name", ROLE_ANY, read_string},
    {"tool_calls", ROLE_ASSISTANT, read_tool_calls},
    {"tool_call_id", ROLE_TOOL, read_string},
    {"refusal", ROLE_ASSISTANT, read_string},
    {"reasoning_content", ROLE_ASSISTANT, read_string},
    {"thinking", ROLE_ASSISTANT, read_string},
    {"reasoning", ROLE_ASSISTANT, read_string},
    {"annotations", ROLE_ASSISTANT, read_ignored}, /* of an answer sent back */
    {"audio", ROLE_ASSISTANT, refuse},
    {"function_call", ROLE_ASSISTANT, refuse},
};

static const struct message_field *find_field(const char *name, enum role role)
{
    for (size_t i = 0; i < ARRAY_LEN(message_fields); i++) {
        const struct message_field *f = &message_fields[i];
        if ((f->roles & (int)role) && strcmp(f->name, name) == 0) return f;
    }
    return NULL;
}

static enum status find_role(const struct convert *c, const cJSON *v, enum role *role)
{
    for (size_t i = 0; cJSON_IsString(v) && i < ARRAY_LEN(role_table); i++) {
        if (strcmp(v->valuestring, role_table[i].name) != 0) continue;
        *role = role_table[i].role;
        return STATUS_OK;
    }
    return bad_field(c, "role", "must be system, developer, user, assistant, tool or function");
}

/* What the model thought has three names among clients and templates.  As transformers does it: the
 * first one given is "reasoning_content" as well, and "thinking", which comes first among the
 * members, where that is not given. */
static const cJSON *find_reasoning(const cJSON *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const cJSON *v = json_get(message, names[i]);
        if (cJSON_IsString(v)) return v;
    }
    return NULL;
}

static bool add_alias(struct convert *c, const cJSON *reasoning, const char *name)
{
    return !reasoning || json_get(c->to, name) ||
           add(c->to, name, cJSON_CreateStringReference(reasoning->valuestring));
}

/* The members in the client's order, as a template that prints a whole message shows them; those
 * that are null are left out, as in transformers. */
static enum status convert_one(struct convert *c, const cJSON *message)
{
    enum role role = ROLE_USER;
    enum status st;
    const cJSON *item, *reasoning;

    if (!cJSON_IsObject(message)) return bad_field(c, "role", "is required: messages are objects");
    st = find_role(c, json_get(message, "role"), &role);
    if (st != STATUS_OK) return st;
    reasoning = role == ROLE_ASSISTANT ? find_reasoning(message) : NULL;
    if (reasoning) {
        const cJSON *thinking = json_get(message, "thinking");
        if (!add_alias(c, cJSON_IsString(thinking) ? thinking : reasoning, "thinking"))
            return no_memory(c);
    }
    cJSON_ArrayForEach(item, message)
    {
        const struct message_field *f = find_field(item->string, role);
        if (!f) return bad_field(c, item->string, "is not a field of a message with this role");
        if (cJSON_IsNull(item) || json_get(c->to, item->string)) continue;
        st = f->read(c, f, item);
        if (st != STATUS_OK) return st;
    }
    if (!add_alias(c, reasoning, "reasoning_content")) return no_memory(c);
    /* Only an assistant (that called a tool, or refused) may have said nothing. */
    if (!json_get(c->to, "content") && role != ROLE_ASSISTANT && role != ROLE_FUNCTION)
        return bad_field(c, "content", "is required");
    return STATUS_OK;
}

enum status messages_convert(const cJSON *messages, enum content_form form, cJSON **out,
                             struct error *err)
{
    struct convert c = {.err = err, .form = form};
    cJSON *list = cJSON_CreateArray();
    const cJSON *message;

    *out = NULL;
    if (!list) return no_memory(&c);
    cJSON_ArrayForEach(message, messages)
    {
        enum status st = STATUS_NO_MEMORY;
        c.to = cJSON_CreateObject();
        if (append(list, c.to))
            st = convert_one(&c, message);
        else
            no_memory(&c);
        if (st != STATUS_OK) {
            cJSON_Delete(list);
            return st;
        }
        c.index++;
    }
    *out = list;
    return STATUS_OK;
}

/* What continue_final_message continues: the last message's content, or the last text in it. */
static cJSON *final_text(const cJSON *converted)
{
    const cJSON *last = converted && converted->child ? converted->child->prev : NULL;
    const cJSON *content = last ? json_get(last, "content") : NULL, *part, *text = NULL;

    if (!cJSON_IsArray(content)) return (cJSON *)content;
    cJSON_ArrayForEach(part, content) text = json_get(part, "text");
    return (cJSON *)text;
}

enum status messages_mark_final(cJSON *converted, const char *mark, struct str *text,
                                struct error *err)
{
    cJSON *at = final_text(converted);
    size_t len, mark_size = strlen(mark) + 1;

    if (!at)
        return error_set_param(err, STATUS_INVALID, "continue_final_message",
                               "'continue_final_message' is set but the final message has no "
                               "text to continue.");
    len = strlen(at->valuestring);
    char *made = cJSON_malloc(len + mark_size);
    if (!made) return error_set(err, STATUS_NO_MEMORY, "out of memory reading the messages");
    memcpy(made, at->valuestring, len);
    memcpy(made + len, mark, mark_size);
    if (at->type & cJSON_IsReference)
        at->type &= ~cJSON_IsReference; /* the client's own text stays as it is */
    else
        cJSON_free(at->valuestring);
    at->valuestring = made;
    *text = (struct str){made, len};
    return STATUS_OK;
}
