#include "config/options.h"

#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/str.h"
#include "config/options_table.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE_MAX (256 * 1024) /* bytes: a thousand API keys fit */
#define ENV_PREFIX      "INFERD_"

/* --- the command line ------------------------------------------------------------------------ */

struct arguments {
    int n, at;
    char **v;
};

static bool is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0' && !(arg[1] >= '0' && arg[1] <= '9');
}

/* The next argument if it is a value, else NULL. */
static const char *next_value(struct arguments *args)
{
    if (args->at >= args->n || is_option(args->v[args->at])) return NULL;
    return args->v[args->at++];
}

static enum status set_from_argument(struct option_parser *p, const struct option_def *d,
                                     const char *value, struct arguments *args, struct error *err)
{
    char where[80];
    snprintf(where, sizeof(where), "--%s", d->name);
    if (d->kind == OPTION_BOOL)
        return option_set(p, d, value ? value : "true", SOURCE_COMMAND_LINE, where, err);
    bool glued = value != NULL;
    if (!glued) value = next_value(args);
    if (!value)
        return error_set_param(err, STATUS_INVALID, d->name, "%s needs a value%s%s", where,
                               d->choices ? ": one of " : "", d->choices ? d->choices : "");
    enum status st = option_set(p, d, value, SOURCE_COMMAND_LINE, where, err);
    while (st == STATUS_OK && d->kind == OPTION_LIST && !glued && (value = next_value(args)))
        st = option_set(p, d, value, SOURCE_COMMAND_LINE, where, err);
    return st;
}

/* --no-x of a boolean: sets it; of a foreign option: it is off anyway.  `value`: behind "=", or
 * NULL. */
static enum status set_negated(struct option_parser *p, const char *name, size_t len,
                               const char *value, bool *taken, struct error *err)
{
    *taken = len > 3 && memcmp(name, "no", 2) == 0 && (name[2] == '-' || name[2] == '_');
    if (!*taken) return STATUS_OK;
    const struct option_def *d = option_find(name + 3, len - 3);
    if (d && d->kind == OPTION_BOOL) {
        if (!value) return option_set(p, d, "false", SOURCE_COMMAND_LINE, d->name, err);
        return error_set_param(err, STATUS_INVALID, d->name,
                               "--no-%s takes no value; write --no-%s or --%s=true", d->name,
                               d->name, d->name);
    }
    const struct option_foreign *f = option_find_foreign(name + 3, len - 3);
    *taken = f != NULL && !value;
    return *taken ? option_foreign_check(f, "false", "command line", err) : STATUS_OK;
}

static enum status read_option(struct option_parser *p, const char *arg, struct arguments *args,
                               struct error *err)
{
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct option_def *d = option_find(name, len);
    if (d && strcmp(d->name, "model") == 0 && p->out->model)
        return error_set(err, STATUS_INVALID,
                         "--model beside \"%.100s\"; inferd %s takes one model", p->out->model,
                         p->out->command);
    if (d) return set_from_argument(p, d, value, args, err);
    bool taken = false;
    enum status st = set_negated(p, name, len, value, &taken, err);
    if (taken) return st;
    const struct option_foreign *f = option_find_foreign(name, len);
    if (!f) return option_unknown(p, "command line", name, len, err);
    if (!value && !(f->harmless && strcmp(f->harmless, "false") == 0)) value = next_value(args);
    return option_foreign_check(f, value, "command line", err);
}

static enum status read_command_line(struct option_parser *p, struct arguments *args, bool *help,
                                     struct error *err)
{
    bool only_words = false;
    while (args->at < args->n) {
        const char *arg = args->v[args->at++];
        enum status st = STATUS_OK;
        if (!only_words && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            *help = true;
            return STATUS_OK;
        } else if (!only_words && strcmp(arg, "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(arg, "--", 2) == 0) {
            st = read_option(p, arg, args, err);
        } else if (!only_words && strcmp(arg, "-m") == 0) {
            st =
                error_set(err, STATUS_INVALID,
                          "unknown option \"-m\"; the model is the first word, inferd %s MODEL, or "
                          "--model MODEL",
                          p->out->command);
        } else if (!only_words && is_option(arg)) {
            st = error_set(err, STATUS_INVALID,
                           "unknown option \"%.100s\"; options have two "
                           "dashes, and inferd %s --help lists them",
                           arg, p->out->command);
        } else if (p->out->model) {
            st = error_set(err, STATUS_INVALID,
                           "a second model \"%.100s\" beside \"%.100s\"; inferd %s takes one "
                           "model",
                           arg, p->out->model, p->out->command);
        } else {
            st = option_set(p, option_find("model", 5), arg, SOURCE_COMMAND_LINE, "model", err);
        }
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* The option that `arg` names by --no-x, or NULL. */
static const struct option_def *find_negated(const char *name, size_t len)
{
    bool no = len > 3 && memcmp(name, "no", 2) == 0 && (name[2] == '-' || name[2] == '_');
    const struct option_def *d = no ? option_find(name + 3, len - 3) : NULL;
    return d && d->kind == OPTION_BOOL ? d : NULL;
}

int options_span(int argc, char **argv, const char **name)
{
    if (argc < 1 || strncmp(argv[0], "--", 2) != 0 || !argv[0][2]) return 0;
    const char *word = argv[0] + 2;
    size_t len = strcspn(word, "=");
    const struct option_def *d = option_find(word, len), *off = find_negated(word, len);
    const struct option_foreign *f = d || off ? NULL : option_find_foreign(word, len);
    if (!d && !off && !f) return 0;
    if (name) *name = d ? d->name : off ? off->name : f->name;
    if (word[len] == '=' || off || (d && d->kind == OPTION_BOOL)) return 1;
    struct arguments args = {.n = argc, .at = 1, .v = argv};
    if (d || !(f->harmless && strcmp(f->harmless, "false") == 0)) next_value(&args);
    while (d && d->kind == OPTION_LIST && next_value(&args)) {
    }
    return args.at;
}

const char *options_suggest(const char *name)
{
    return option_suggest(name, strlen(name));
}

/* --- the environment ------------------------------------------------------------------------- */

/* INFERD_ variables of others: of the tests, and those that Kubernetes sets in every pod beside a
 * service named "inferd". */
static bool is_other_variable(const char *name, size_t len)
{
    static const char *const names[] = {"SHARED",       "BIN",          "BUILD",     "FAULT",
                                        "SERVICE_HOST", "SERVICE_PORT", "DEMO_MODEL"};
    static const char *const prefixes[] = {"SERVICE_PORT_", "PORT_", "TEST_", "BENCH_"};
    struct str s = {name, len};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eq(s, str_from(names[i]))) return true;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (str_starts_with(s, str_from(prefixes[i]))) return true;
    return false;
}

static enum status unknown_variable(const char *name, size_t len, struct error *err)
{
    const char *near = option_suggest(name, len);
    char near_env[80] = "";
    if (near) option_env_name(option_find(near, strlen(near)), near_env, sizeof(near_env));
    /* Only a slip of the pen stops the server: the namespace may have other users. */
    char copy[64];
    snprintf(copy, sizeof(copy), "%.*s", (int)(len < 63 ? len : 63), name);
    if (near && str_distance(copy, near_env, 2) <= 2)
        return error_set(err, STATUS_INVALID,
                         "environment: unknown variable " ENV_PREFIX "%s; did you mean " ENV_PREFIX
                         "%s?",
                         copy, near_env);
    log_event(LOG_WARN, "environment_unknown", "variable=" ENV_PREFIX "%s", copy);
    return STATUS_OK;
}

/* Values of a list are separated by commas. */
static enum status set_variable_list(struct option_parser *p, const struct option_def *d,
                                     const char *text, const char *where, struct error *err)
{
    char *copy = arena_strndup(p->arena, text, strlen(text));
    if (!copy) return error_set(err, STATUS_NO_MEMORY, "out of memory reading the options");
    for (char *item = copy; item;) {
        char *comma = strchr(item, ',');
        if (comma) *comma = '\0';
        enum status st = option_set(p, d, item, SOURCE_ENVIRONMENT, where, err);
        if (st != STATUS_OK) return st;
        item = comma ? comma + 1 : NULL;
    }
    return STATUS_OK;
}

static enum status read_variable(struct option_parser *p, const char *name, struct error *err)
{
    size_t len = strcspn(name, "=");
    if (name[len] != '=' || len == 0) return STATUS_OK;
    const char *value = name + len + 1;
    char lower[80], where[96];
    if (len >= sizeof(lower)) return STATUS_OK;
    for (size_t i = 0; i < len; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
    const struct option_def *d = option_find(lower, len);
    if (!d && is_other_variable(name, len)) return STATUS_OK;
    if (!d) return unknown_variable(name, len, err);
    if (!option_is_open(p, d, SOURCE_ENVIRONMENT)) return STATUS_OK;
    snprintf(where, sizeof(where), ENV_PREFIX "%.*s", (int)len, name);
    if (strcmp(d->name, "port") == 0 && strncmp(value, "tcp://", 6) == 0)
        return error_set_param(err, STATUS_INVALID, "port",
                               "INFERD_PORT is \"%.60s\", which Kubernetes sets for a service "
                               "named inferd; set enableServiceLinks: false in the pod",
                               value);
    if (d->kind == OPTION_LIST) return set_variable_list(p, d, value, where, err);
    return option_set(p, d, value, SOURCE_ENVIRONMENT, where, err);
}

static enum status read_environment(struct option_parser *p, char **envp, struct error *err)
{
    for (char **e = envp; e && *e; e++) {
        if (strncmp(*e, ENV_PREFIX, strlen(ENV_PREFIX)) != 0) continue;
        enum status st = read_variable(p, *e + strlen(ENV_PREFIX), err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* --- all together ---------------------------------------------------------------------------- */

static enum status read_config_file(struct option_parser *p, struct error *err)
{
    if (!p->config_path) return STATUS_OK;
    char *text;
    size_t len;
    enum status st = file_read(p->config_path, CONFIG_FILE_MAX, &text, &len, err);
    if (st != STATUS_OK) {
        error_prepend(err, "--config");
        return st;
    }
    st = option_read_yaml(p, p->config_path, text, len, err);
    free(text);
    return st;
}

static enum status set_defaults(struct option_parser *p, struct error *err)
{
    for (int i = 0; i < option_table_len; i++) {
        const struct option_def *d = &option_table[i];
        if (p->source[i] != SOURCE_NONE || !d->preset) continue;
        enum status st = option_set(p, d, d->preset, SOURCE_DEFAULT, d->name, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static enum status set_name(struct options *o, const char *name, struct error *err)
{
    char **names = arena_alloc_array(o->storage, 1, sizeof(*names));
    if (names) names[0] = arena_strndup(o->storage, name, strlen(name));
    if (!names || !names[0])
        return error_set(err, STATUS_NO_MEMORY, "out of memory reading the options");
    o->served_model_name = (struct option_list){names, 1};
    return STATUS_OK;
}

/* The name that clients see when none was given: the directory's own ("." has one too). */
static enum status name_model(struct options *o, struct error *err)
{
    o->model_said = o->model;
    o->names_itself = o->served_model_name.n == 0;
    if (!o->names_itself || !o->model) return STATUS_OK;
    char *real = realpath(o->model, NULL);
    const char *path = real ? real : o->model;
    const char *slash = strrchr(path, '/');
    enum status st = set_name(o, slash && slash[1] ? slash + 1 : path, err);
    free(real);
    return st;
}

static enum status set_copy(struct options *o, const char **field, const char *text,
                            struct error *err)
{
    *field = arena_strndup(o->storage, text, strlen(text));
    return *field ? STATUS_OK
                  : error_set(err, STATUS_NO_MEMORY, "out of memory reading the options");
}

enum status options_set_model(struct options *o, const char *dir, const char *name,
                              struct error *err)
{
    enum status st = set_copy(o, &o->model, dir, err);
    if (!o->model_said) o->model_said = o->model;
    return st == STATUS_OK && name && o->names_itself ? set_name(o, name, err) : st;
}

enum status options_set_tokenizer(struct options *o, const char *dir, struct error *err)
{
    return set_copy(o, &o->tokenizer, dir, err);
}

enum status options_parse(int argc, char **argv, char **envp, struct options *out, bool *help,
                          struct error *err)
{
    return options_parse_command("serve", argc, argv, envp, out, help, err);
}

enum status options_parse_command(const char *command, int argc, char **argv, char **envp,
                                  struct options *out, bool *help, struct error *err)
{
    memset(out, 0, sizeof(*out));
    out->command = command;
    *help = false;
    struct arena *arena = calloc(1, sizeof(*arena));
    if (!arena) return error_set(err, STATUS_NO_MEMORY, "out of memory reading the options");
    arena_init(arena, 0);
    out->storage = arena;
    struct option_parser p = {.out = out, .arena = arena};
    struct arguments args = {.n = argc, .v = argv};
    enum status st = read_command_line(&p, &args, help, err);
    if (st == STATUS_OK && !*help) st = read_environment(&p, envp, err);
    if (st == STATUS_OK && !*help) st = read_config_file(&p, err);
    if (st == STATUS_OK && !*help) st = set_defaults(&p, err);
    if (st == STATUS_OK && !*help) st = options_check(out, err);
    if (st == STATUS_OK && !*help) st = name_model(out, err);
    if (st != STATUS_OK) options_free(out);
    return st;
}

void options_free(struct options *o)
{
    if (o->storage) arena_free(o->storage);
    free(o->storage);
    memset(o, 0, sizeof(*o));
}
