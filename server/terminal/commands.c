#include "server/terminal/commands.h"

#include "config/base/check.h"
#include "server/terminal/environment.h"
#include "server/terminal/save.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* `rest`: the words behind the name, NUL-terminated.  A failure is shown by the caller. */
typedef enum status command_fn(struct chat_session *s, const char *rest, bool force,
                               struct error *err);

static command_fn do_system, do_reset, do_undo, do_retry, do_params, do_save, do_load, do_help,
    do_quit;

static const struct command {
    const char *name, *arguments, *help;
    command_fn *run;
    bool may_force;
} table[] = {
    {"system", "[TEXT]", "set the system's message; \"\" takes it away; alone: show it", do_system,
     false},
    {"params", "[NAME=VALUE...]", "set parameters; NAME= unsets one; alone: show them", do_params,
     false},
    {"reset", "", "start anew; the system's message and the parameters stay", do_reset, false},
    {"undo", "", "take the last message and its answer back", do_undo, false},
    {"retry", "", "ask the last message again", do_retry, false},
    {"save", "FILE", "write the conversation as JSON; /save! replaces a file", do_save, true},
    {"load", "FILE", "go on with a conversation that was saved", do_load, false},
    {"help", "", "this", do_help, false},
    {"quit", "", "end; so do /exit, /bye and Ctrl-D", do_quit, false},
    {"exit", "", NULL, do_quit, false}, /* other names: no lines of their own in the help */
    {"bye", "", NULL, do_quit, false},
};

/* --- words ------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

bool command_parse(struct str line, struct command_line *out)
{
    size_t at = 1;

    if (line.len < 2 || line.data[0] != '/' || is_blank(line.data[1])) return false;
    while (at < line.len && !is_blank(line.data[at])) at++;
    out->name = (struct str){line.data + 1, at - 1};
    out->force = out->name.len > 1 && out->name.data[out->name.len - 1] == '!';
    if (out->force) out->name.len--;
    while (at < line.len && is_blank(line.data[at])) at++;
    while (line.len > at && is_blank(line.data[line.len - 1])) line.len--;
    out->rest = (struct str){line.data + at, line.len - at};
    return true;
}

int command_find(struct str name, const char **nearest)
{
    char copy[32];
    int best = 3; /* edits: a slip of the finger */

    *nearest = NULL;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(name, str_from(table[i].name))) return (int)i;
    if (name.len >= sizeof(copy) || memchr(name.data, '\0', name.len)) return -1;
    memcpy(copy, name.data, name.len);
    copy[name.len] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        bool begins = name.len >= 2 && strncmp(table[i].name, copy, name.len) == 0;
        int d = begins ? 0 : str_distance(copy, table[i].name, best);
        if (d >= best || (size_t)d >= name.len) continue;
        best = d;
        *nearest = table[i].name;
    }
    return -1;
}

struct completion {
    struct str word;
    struct strbuf *common, *list;
    int n;
};

static void complete_with(void *arg, const char *name)
{
    struct completion *c = arg;
    struct strbuf *common = c->common;
    size_t len = strlen(name), same = 0;

    if (len < c->word.len || memcmp(name, c->word.data, c->word.len) != 0) return;
    if (c->n++ == 0) strbuf_add(common, name, len);
    while (same < common->len && same < len && common->data[same] == name[same]) same++;
    if (!common->failed && same < common->len) {
        common->len = same;
        common->data[same] = '\0';
    }
    strbuf_addf(c->list, "%s%s", c->n > 1 ? "  " : "", name);
}

int command_complete(struct str before, struct strbuf *insert, struct strbuf *list)
{
    static const char params[] = "/params ";
    bool names_param =
        before.len >= sizeof(params) - 1 && memcmp(before.data, params, sizeof(params) - 1) == 0;
    size_t from = before.len;
    struct strbuf common;
    struct completion c = {.common = &common, .list = list};

    if (before.len == 0 || before.data[0] != '/') return 0;
    while (from > 1 && !is_blank(before.data[from - 1])) from--;
    if (from > 1 && !names_param) return 0;
    c.word = (struct str){before.data + from, before.len - from};
    strbuf_init(&common, 0);
    if (names_param)
        sampling_params_names(complete_with, &c);
    else
        for (size_t i = 0; i < ARRAY_LEN(table); i++) complete_with(&c, table[i].name);
    if (common.len > c.word.len)
        strbuf_add(insert, common.data + c.word.len, common.len - c.word.len);
    if (c.n == 1 && names_param) strbuf_add_char(insert, '=');
    if (c.n == 1 && !names_param) strbuf_add_char(insert, ' ');
    strbuf_free(&common);
    return c.n;
}

bool command_run(struct chat_session *s, const struct command_line *line)
{
    const char *near;
    struct error err = {0};
    struct strbuf rest;
    int i = command_find(line->name, &near);
    int shown = (int)(line->name.len < 40 ? line->name.len : 40);

    if (i < 0) {
        if (near)
            error_set(&err, STATUS_INVALID, "no command /%.*s; did you mean /%s?", shown,
                      line->name.data, near);
        else
            error_set(&err, STATUS_INVALID,
                      "no command /%.*s; /help lists them; a message that begins with a slash "
                      "needs a blank in front",
                      shown, line->name.data);
        chat_session_show_error(s, &err);
        return false;
    }
    const struct command *c = &table[i];
    strbuf_init(&rest, 0);
    strbuf_add(&rest, line->rest.data, line->rest.len);
    enum status st = STATUS_OK;
    if (rest.failed || memchr(rest.data, '\0', rest.len))
        st = error_set(&err, STATUS_INVALID, "the line cannot be read");
    else if (line->force && !c->may_force)
        st = error_set(&err, STATUS_INVALID, "/%s has no form with !", c->name);
    else if (rest.len > 0 && !*c->arguments)
        st = error_set(&err, STATUS_INVALID, "/%s takes nothing behind it", c->name);
    else
        st = c->run(s, rest.data, line->force, &err);
    strbuf_free(&rest);
    if (st == STATUS_CANCELLED)
        display_note(&s->display, "[stopped]");
    else if (st != STATUS_OK)
        chat_session_show_error(s, &err);
    return st == STATUS_OK && c->run == do_quit;
}

/* --- what they do ------------------------------------------------------------------------------ */

static enum status do_system(struct chat_session *s, const char *rest, bool force,
                             struct error *err)
{
    const struct chat_message *m;
    bool none = strcmp(rest, "\"\"") == 0 || strcmp(rest, "''") == 0;

    (void)force;
    if (*rest) {
        enum status st = conversation_set_system(&s->talk, str_from(none ? "" : rest), err);
        if (st != STATUS_OK) return st;
        display_note(&s->display, none ? "[no system message]" : "[system message set]");
        return STATUS_OK;
    }
    m = conversation_system(&s->talk);
    if (m)
        display_text(&s->display, m->text);
    else
        display_note(&s->display, "[no system message]");
    return STATUS_OK;
}

static enum status do_reset(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    (void)rest, (void)force, (void)err;
    conversation_reset(&s->talk);
    display_note(&s->display, "[a new conversation]");
    return STATUS_OK;
}

static enum status do_undo(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    (void)rest, (void)force;
    if (!chat_session_undo(s))
        return error_set(err, STATUS_INVALID, "there is no message to take back");
    int n = conversation_n_said(&s->talk);
    display_note(&s->display, "[taken back; %d message%s left]", n, n == 1 ? " is" : "s are");
    return STATUS_OK;
}

static enum status do_retry(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    (void)rest, (void)force;
    return chat_session_retry(s, err);
}

static enum status do_params(struct chat_session *s, const char *rest, bool force,
                             struct error *err)
{
    struct strbuf text;

    (void)force;
    if (*rest) {
        enum status st = sampling_params_set_line(&s->params, rest, err);
        if (st == STATUS_OK) display_note(&s->display, "[set]");
        return st;
    }
    strbuf_init(&text, 0);
    sampling_params_describe(&s->params, &s->info.defaults, &text);
    if (!text.failed) display_text(&s->display, text.data);
    strbuf_free(&text);
    return STATUS_OK;
}

/* "~/x" as a shell has it. */
static enum status expand_path(const char *rest, char *out, size_t size, struct error *err)
{
    const char *home = environment_get("HOME");
    int n = rest[0] == '~' && rest[1] == '/' && home ? snprintf(out, size, "%s%s", home, rest + 1)
                                                     : snprintf(out, size, "%s", rest);

    if (!*rest) return error_set(err, STATUS_INVALID, "write the name of a file behind it");
    if (n < 0 || (size_t)n >= size)
        return error_set(err, STATUS_INVALID, "the name of the file is too long");
    return STATUS_OK;
}

static void note_messages(struct chat_session *s, const char *what, const char *path)
{
    int n = conversation_n_said(&s->talk);
    const char *system = conversation_system(&s->talk) ? " and the system's" : "";
    display_note(&s->display, "[%d message%s%s %s %s]", n, n == 1 ? "" : "s", system, what, path);
}

static enum status do_save(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    char path[PATH_MAX];
    enum status st = expand_path(rest, path, sizeof(path), err);

    if (st == STATUS_OK)
        st = save_write(path, force, (struct str){s->model.data, s->model.len}, &s->talk,
                        &s->params, err);
    if (st == STATUS_OK) note_messages(s, "written to", path);
    return st;
}

static enum status do_load(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    char path[PATH_MAX];
    enum status st = expand_path(rest, path, sizeof(path), err);

    (void)force;
    if (st == STATUS_OK) st = chat_session_load(s, path, err);
    if (st == STATUS_OK) note_messages(s, "read from", path);
    return st;
}

static enum status do_help(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    struct strbuf text;
    char left[64];

    (void)rest, (void)force, (void)err;
    strbuf_init(&text, 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!table[i].help) continue;
        snprintf(left, sizeof(left), "/%s %s", table[i].name, table[i].arguments);
        strbuf_addf(&text, "  %-25s %s\n", left, table[i].help);
    }
    strbuf_add_str(
        &text, "\n  Ctrl-C stops an answer, or drops the line; Ctrl-R searches what was typed.\n"
               "  A \\ at the end of a line goes on in the next one, Alt-Enter begins one.\n"
               "  Tab completes commands and the names of parameters.  What is typed during an\n"
               "  answer waits for the next prompt.\n");
    if (!text.failed) display_text(&s->display, text.data);
    strbuf_free(&text);
    return STATUS_OK;
}

static enum status do_quit(struct chat_session *s, const char *rest, bool force, struct error *err)
{
    (void)s, (void)rest, (void)force, (void)err;
    return STATUS_OK;
}
