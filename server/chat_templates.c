#include "server/chat_templates.h"

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "config/limits.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Published models have four at most. */
enum { TEMPLATES_MAX = 64 };

static const char extension[] = ".jinja";

/* --- the collection --------------------------------------------------------------------------- */

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "out of memory loading chat templates");
}

/* The place of `name`, or where it belongs. */
static size_t place_of(const struct chat_templates *t, const char *name, bool *found)
{
    size_t i = 0;
    while (i < t->n && strcmp(t->items[i].name, name) < 0) i++;
    *found = i < t->n && strcmp(t->items[i].name, name) == 0;
    return i;
}

static enum status make_room(struct chat_templates *t, struct error *err)
{
    if (t->n >= TEMPLATES_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more than %d chat templates", TEMPLATES_MAX);
    if (t->n < t->cap) return STATUS_OK;
    size_t cap = t->cap ? 2 * t->cap : 4;
    struct chat_template *items = realloc(t->items, cap * sizeof(*items));
    if (!items) return no_memory(err);
    t->items = items;
    t->cap = cap;
    return STATUS_OK;
}

/* A name that is there already gets the new text, as in a Python dict. */
static enum status add(struct chat_templates *t, const char *name, const char *text, size_t len,
                       struct error *err)
{
    bool found;
    size_t at = place_of(t, name, &found);
    struct chat_template new = {0};
    enum status st = template_compile(text, len, &new.compiled, err);
    if (st == STATUS_OK && !found) st = make_room(t, err);
    if (st != STATUS_OK) goto fail;
    if (found) {
        template_free(t->items[at].compiled);
        t->items[at].compiled = new.compiled;
        return STATUS_OK;
    }
    new.name = strdup(name);
    if (!new.name) {
        st = no_memory(err);
        goto fail;
    }
    memmove(t->items + at + 1, t->items + at, (t->n - at) * sizeof(*t->items));
    t->items[at] = new;
    t->n++;
    return STATUS_OK;
fail:
    template_free(new.compiled);
    return st;
}

void chat_templates_free(struct chat_templates *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) {
        template_free(t->items[i].compiled);
        free(t->items[i].name);
    }
    free(t->items);
    cJSON_Delete(t->special_tokens);
    free(t);
}

/* --- special tokens --------------------------------------------------------------------------- */

static bool set_token(cJSON *to, const char *name, const char *text)
{
    cJSON *made = cJSON_CreateString(text);
    cJSON_DeleteItemFromObjectCaseSensitive(to, name);
    if (made && cJSON_AddItemToObject(to, name, made)) return true;
    cJSON_Delete(made);
    return false;
}

/* A token is written as a string or as {"content": ...}. */
static const char *token_text(const cJSON *v)
{
    if (cJSON_IsObject(v)) v = json_get(v, "content");
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static bool set_tokens(cJSON *to, const cJSON *members, const char *ending)
{
    const cJSON *v;
    size_t tail = strlen(ending);
    cJSON_ArrayForEach(v, members)
    {
        size_t len = strlen(v->string);
        const char *text = token_text(v);
        if (!text || len < tail || strcmp(v->string + len - tail, ending) != 0) continue;
        if (!set_token(to, v->string, text)) return false;
    }
    return true;
}

static bool set_all_tokens(cJSON *to, const cJSON *config)
{
    const cJSON *extra = json_get(config, "extra_special_tokens");
    const cJSON *own = json_get(config, "model_specific_special_tokens");
    return set_tokens(to, config, "_token") &&
           (!cJSON_IsObject(extra) || set_tokens(to, extra, "")) &&
           (!cJSON_IsObject(own) || set_tokens(to, own, ""));
}

/* What the tokenizer itself goes by; the files may lack it. */
static bool set_known_tokens(cJSON *to, const struct tokenizer *t)
{
    const struct {
        const char *name, *text;
    } known[] = {{"bos_token", tokenizer_bos_token(t)},
                 {"eos_token", tokenizer_eos_token(t)},
                 {"unk_token", tokenizer_unk_token(t)},
                 {"pad_token", tokenizer_pad_token(t)}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].text && known[i].text[0] && !set_token(to, known[i].name, known[i].text))
            return false;
    return true;
}

static enum status read_object(const char *dir, const char *name, cJSON **out, struct error *err)
{
    char path[PATH_MAX];
    enum status st = path_join(path, sizeof(path), dir, name, err);
    if (st != STATUS_OK || !file_exists(path)) return st;
    st = json_parse_file(path, NULL, out, err);
    return st == STATUS_OK ? st : error_prepend(err, "%s", path);
}

static enum status load_special_tokens(struct chat_templates *t, const char *dir,
                                       const struct tokenizer *tokenizer, struct error *err)
{
    cJSON *config = NULL, *map = NULL;
    enum status st = read_object(dir, "tokenizer_config.json", &config, err);
    if (st == STATUS_OK && !json_get(config, "added_tokens_decoder"))
        st = read_object(dir, "special_tokens_map.json", &map, err);
    if (st != STATUS_OK) goto out;
    t->special_tokens = cJSON_CreateObject();
    if (!t->special_tokens || !set_all_tokens(t->special_tokens, config) ||
        !set_all_tokens(t->special_tokens, map) || !set_known_tokens(t->special_tokens, tokenizer))
        st = no_memory(err);
out:
    cJSON_Delete(config);
    cJSON_Delete(map);
    return st;
}

/* --- loading ---------------------------------------------------------------------------------- */

static enum status add_file(struct chat_templates *t, const char *name, const char *path,
                            struct error *err)
{
    char *text;
    size_t len;
    enum status st = file_read(path, LIMIT_TEMPLATE_SIZE, &text, &len, err);
    if (st != STATUS_OK) return st;
    st = add(t, name, text, len, err);
    free(text);
    return st == STATUS_OK ? st : error_prepend(err, "%s", path);
}

/* additional_chat_templates/NAME.jinja */
static enum status add_folder(struct chat_templates *t, const char *dir, struct error *err)
{
    char folder[PATH_MAX], path[PATH_MAX], name[NAME_MAX + 1];
    enum status st = path_join(folder, sizeof(folder), dir, "additional_chat_templates", err);
    if (st != STATUS_OK) return st;
    DIR *d = opendir(folder);
    if (!d && (errno == ENOENT || errno == ENOTDIR)) return STATUS_OK;
    if (!d) return error_set(err, STATUS_IO, "cannot open %s: %s", folder, strerror(errno));
    const struct dirent *entry;
    while (st == STATUS_OK && (entry = readdir(d))) {
        size_t len = strlen(entry->d_name), tail = sizeof(extension) - 1;
        if (len <= tail || strcmp(entry->d_name + len - tail, extension) != 0) continue;
        memcpy(name, entry->d_name, len - tail);
        name[len - tail] = '\0';
        st = path_join(path, sizeof(path), folder, entry->d_name, err);
        if (st == STATUS_OK) st = add_file(t, name, path, err);
    }
    closedir(d);
    return st;
}

static enum status add_beside(struct chat_templates *t, const char *dir, struct error *err)
{
    char path[PATH_MAX];
    enum status st = path_join(path, sizeof(path), dir, "chat_template.jinja", err);
    if (st != STATUS_OK) return st;
    if (file_exists(path)) st = add_file(t, "default", path, err);
    return st == STATUS_OK ? add_folder(t, dir, err) : st;
}

static enum status add_configured(struct chat_templates *t, const struct tokenizer *tokenizer,
                                  struct error *err)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < tokenizer_n_chat_templates(tokenizer); i++) {
        const char *name, *text = tokenizer_chat_template_at(tokenizer, i, &name);
        st = add(t, name, text, strlen(text), err);
        if (st != STATUS_OK)
            error_prepend(err,
                          "tokenizer_config.json, the chat template \"%.80s\" (give another one "
                          "by --chat-template)",
                          name);
    }
    return st;
}

static enum status load_all(struct chat_templates *t, const struct options *o,
                            const struct tokenizer *tokenizer, struct error *err)
{
    if (o->chat_template) {
        enum status st = add_file(t, "default", o->chat_template, err);
        return st == STATUS_OK ? st : error_prepend(err, "--chat-template");
    }
    enum status st = STATUS_OK;
    if (o->tokenizer) st = add_beside(t, o->tokenizer, err);
    if (st == STATUS_OK && t->n == 0) st = add_beside(t, o->model, err);
    if (st == STATUS_OK && t->n == 0) st = add_configured(t, tokenizer, err);
    return st;
}

enum status chat_templates_load(const struct options *o, const struct tokenizer *tokenizer,
                                struct chat_templates **out, struct error *err)
{
    struct error own = {0};
    struct chat_templates *t = calloc(1, sizeof(*t));
    if (!err) err = &own;
    *out = NULL;
    if (!t) return no_memory(err);
    enum status st = load_all(t, o, tokenizer, err);
    if (st == STATUS_OK && t->n > 0)
        st = load_special_tokens(t, o->tokenizer ? o->tokenizer : o->model, tokenizer, err);
    if (st == STATUS_OK && t->n > 0)
        *out = t;
    else
        chat_templates_free(t);
    return st;
}

/* --- picking ---------------------------------------------------------------------------------- */

static const struct chat_template *find(const struct chat_templates *t, const char *name)
{
    bool found;
    size_t at = place_of(t, name, &found);
    return found ? &t->items[at] : NULL;
}

static enum status no_such(const struct chat_templates *t, const char *name, struct error *err)
{
    struct strbuf names;
    strbuf_init(&names, 400); /* an error's message holds no more */
    for (size_t i = 0; i < t->n; i++) {
        if (i > 0) strbuf_add_str(&names, ", ");
        strbuf_add_json(&names, t->items[i].name, strlen(t->items[i].name));
    }
    enum status st =
        name ? error_set_param(err, STATUS_INVALID, "chat_template",
                               "This model has no chat template \"%.80s\"; it has %s.", name,
                               names.data ? names.data : "")
             : error_set_param(err, STATUS_INVALID, "chat_template",
                               "This model has no chat template \"default\", only "
                               "%s: save %s to a file and use --chat-template FILE.",
                               names.data ? names.data : "", t->n == 1 ? "it" : "one of them");
    strbuf_free(&names);
    return st;
}

enum status chat_templates_pick(const struct chat_templates *t, bool has_tools, const char *name,
                                const struct chat_template **out, struct error *err)
{
    *out = NULL;
    if (name) *out = find(t, name);
    if (!name && has_tools) *out = find(t, "tool_use");
    if (!name && !*out) *out = find(t, "default");
    return *out ? STATUS_OK : no_such(t, name, err);
}
