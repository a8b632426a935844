#include "server/terminal/args.h"

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/options.h"
#include "server/hub/cache.h"
#include "server/terminal/environment.h"
#include "server/terminal/http_client.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FILE_MAX_SIZE = 64 << 10 };

enum arg_kind { ARG_TEXT, ARG_FLAG };

static const struct arg_def {
    const char *name, *letter, *value_name;
    enum arg_kind kind;
    size_t offset;
    const char *help;
} arg_table[] = {
#define AT(field) offsetof(struct chat_args, field)
    {"url", NULL, "URL", ARG_TEXT, AT(url),
     "Talk to a running server, http or https, instead of starting one."},
    {"model", NULL, "NAME", ARG_TEXT, AT(name),
     "With --url: the model to ask for; default: the first that the server has. Else the same as "
     "MODEL."},
    {"api-key-file", NULL, "FILE", ARG_TEXT, AT(api_key_file),
     "With --url: the key is the first line that is no comment. Else INFERD_API_KEY or "
     "OPENAI_API_KEY of the environment."},
    {"api-key", NULL, "KEY", ARG_TEXT, AT(api_key),
     "With --url: the key itself. Other users of the machine can read a command line: prefer the "
     "other ways."},
    {"system", NULL, "TEXT", ARG_TEXT, AT(system), "The system's message."},
    {"prompt", "-p", "TEXT", ARG_TEXT, AT(prompt),
     "Ask this, print the answer, and end; standard input is not read."},
    {"lines", NULL, NULL, ARG_FLAG, AT(lines),
     "Each line of standard input is one turn of the conversation, instead of all of it."},
    {"load", NULL, "FILE", ARG_TEXT, AT(load), "Go on with a conversation that /save wrote."},
    {"history", NULL, NULL, ARG_FLAG, AT(history),
     "Keep what is typed for the arrow keys, in ~/.local/state/inferd/chat_history (default: on)."},
    {"stats", NULL, NULL, ARG_FLAG, AT(stats),
     "A line about tokens and time below each answer (default: on for a person, off for a pipe)."},
#undef AT
};

/* Options of `inferd serve` that chat sets itself, or that make no sense below it. */
static const struct owned {
    const char *name, *advice;
} owned_table[] = {
    {"host", "the server of a chat is for this machine alone"},
    {"port", "the server of a chat takes any free port"},
    {"api-key", "the server of a chat has a key of its own"},
    {"api-key-file", "the server of a chat has a key of its own"},
    {"ready-fd", "chat uses it itself"},
    {"root-path", "there is no proxy in between"},
    {"allowed-origins", "the server of a chat is for nobody else"},
    {"disable-metrics", "nobody looks at them"},
};

void chat_args_free(struct chat_args *a)
{
    sampling_params_free(&a->params);
    free(a->server_words);
    a->server_words = NULL;
    explicit_bzero(a->key_storage, sizeof(a->key_storage));
}

static bool name_eq(const char *with_dashes, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (with_dashes[i] != (name[i] == '_' ? '-' : name[i])) return false;
    return with_dashes[len] == '\0';
}

static const struct arg_def *find_arg(const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++) {
        const struct arg_def *d = &arg_table[i];
        if (word[0] == '-' && word[1] == '-' && name_eq(d->name, word + 2, len - 2)) return d;
        if (d->letter && strcmp(word, d->letter) == 0) return d;
    }
    return NULL;
}

/* --- words for the server ---------------------------------------------------------------------- */

static enum status refuse_owned(const char *name, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(owned_table); i++)
        if (strcmp(owned_table[i].name, name) == 0)
            return error_set(err, STATUS_INVALID, "--%s cannot be set here: %s", name,
                             owned_table[i].advice);
    return STATUS_OK;
}

/* Takes an option of `inferd serve`; *n = 0: it is none. */
static enum status take_server_option(struct chat_args *a, int argc, char **argv, int *n,
                                      struct error *err)
{
    const char *name = NULL;

    *n = options_span(argc, argv, &name);
    enum status st = *n > 0 ? refuse_owned(name, err) : STATUS_OK;
    for (int i = 0; i < *n && st == STATUS_OK; i++) a->server_words[a->n_server_words++] = argv[i];
    return st;
}

/* Behind "--": options of the server alone. */
static enum status take_server_words(struct chat_args *a, int argc, char **argv, struct error *err)
{
    for (int at = 0, n; at < argc; at += n) {
        enum status st = take_server_option(a, argc - at, argv + at, &n, err);
        if (st != STATUS_OK) return st;
        if (n == 0)
            return error_set(err, STATUS_INVALID,
                             "\"%.100s\" behind -- is no option of inferd serve; see inferd serve "
                             "--help",
                             argv[at]);
    }
    return STATUS_OK;
}

/* --- one word ---------------------------------------------------------------------------------- */

static enum status unknown_option(const char *word, struct error *err)
{
    char name[64];
    const char *near = NULL;
    int best = 4;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++) {
        int d = str_distance(name[2] ? name + 2 : "", arg_table[i].name, best);
        if (d >= best || (size_t)d + 2 >= strlen(name)) continue;
        best = d;
        near = arg_table[i].name;
    }
    if (!near && strlen(name) > 2) near = sampling_params_suggest(name + 2);
    if (!near && strlen(name) > 2) near = options_suggest(name + 2);
    if (near)
        return error_set(err, STATUS_INVALID, "unknown option %s; did you mean --%s?", name, near);
    return error_set(err, STATUS_INVALID, "unknown option %s; see inferd chat --help", name);
}

/* The value of the option at argv[*at]: glued by =, or the next word, whatever it looks like. */
static const char *take_value(int argc, char **argv, int *at)
{
    const char *glued = argv[*at][1] == '-' ? strchr(argv[*at], '=') : NULL;

    ++*at;
    if (glued) return glued + 1;
    return *at < argc ? argv[(*at)++] : NULL;
}

static enum status take_flag(struct chat_args *a, const struct arg_def *d, const char *word,
                             bool on, struct error *err)
{
    if (strchr(word, '='))
        return error_set(err, STATUS_INVALID, "--%s takes no value; --no-%s turns it off", d->name,
                         d->name);
    memcpy((char *)a + d->offset, &on, sizeof(on));
    a->stats_given |= d->offset == offsetof(struct chat_args, stats);
    return STATUS_OK;
}

static enum status take_text(struct chat_args *a, const struct arg_def *d, const char *value,
                             struct error *err)
{
    if (!value) return error_set(err, STATUS_INVALID, "--%s needs a value", d->name);
    if (!*value && d->offset != offsetof(struct chat_args, system))
        return error_set(err, STATUS_INVALID, "the value of --%s is empty", d->name);
    memcpy((char *)a + d->offset, &value, sizeof(value));
    return STATUS_OK;
}

static enum status take_option(struct chat_args *a, int argc, char **argv, int *at,
                               struct error *err)
{
    const char *word = argv[*at];
    size_t len = strcspn(word, "=");
    const struct arg_def *d = find_arg(word, len);
    int n = 0;

    if (d && d->kind == ARG_FLAG) return ++*at, take_flag(a, d, word, true, err);
    if (d) return take_text(a, d, take_value(argc, argv, at), err);
    const struct arg_def *off = NULL;
    char name[64];
    if (strncmp(word, "--no-", 5) == 0 && len < sizeof(name)) {
        snprintf(name, sizeof(name), "--%.*s", (int)(len - 5), word + 5);
        off = find_arg(name, strlen(name));
    }
    if (off && off->kind == ARG_FLAG) return ++*at, take_flag(a, off, word, false, err);
    int param = strncmp(word, "--", 2) == 0 ? sampling_params_find(word + 2, len - 2) : -1;
    if (param >= 0) {
        const char *value = take_value(argc, argv, at);
        if (!value || !*value)
            return error_set(err, STATUS_INVALID, "%.*s needs a value", (int)len, word);
        return sampling_params_set(&a->params, param, str_from(value), err);
    }
    enum status st = take_server_option(a, argc - *at, argv + *at, &n, err);
    if (st != STATUS_OK) return st;
    *at += n;
    return n > 0 ? STATUS_OK : unknown_option(word, err);
}

/* --- the key ----------------------------------------------------------------------------------- */

/* The first line that is no comment, without the blanks around it. */
static struct str first_key(char *text)
{
    for (char *line = text; *line;) {
        size_t len = strcspn(line, "\r\n"), lead = strspn(line, " \t");
        struct str key = {line + lead, lead < len ? len - lead : 0};
        while (key.len > 0 && strchr(" \t", key.data[key.len - 1])) key.len--;
        if (key.len > 0 && key.data[0] != '#') return key;
        line += len + (line[len] != '\0');
    }
    return (struct str){"", 0};
}

/* A header holds it: no blank, no line end, ASCII. */
static enum status set_key(struct chat_args *a, struct str key, const char *from, struct error *err)
{
    bool ok = key.len > 0 && key.len < sizeof(a->key_storage);

    for (size_t i = 0; i < key.len; i++) ok = ok && key.data[i] > 0x20 && key.data[i] < 0x7f;
    if (!ok)
        return error_set(err, STATUS_INVALID,
                         "%s holds no key: 1 to %d printable ASCII characters without blanks are "
                         "wanted",
                         from, CHAT_API_KEY_MAX - 1);
    memcpy(a->key_storage, key.data, key.len);
    a->key_storage[key.len] = '\0';
    a->api_key = a->key_storage;
    a->key_from = from;
    return STATUS_OK;
}

static enum status read_key_file(struct chat_args *a, struct error *err)
{
    char *text;
    size_t len;
    enum status st = file_read(a->api_key_file, KEY_FILE_MAX_SIZE, &text, &len, err);

    if (st != STATUS_OK) return error_prepend(err, "--api-key-file");
    st = set_key(a, first_key(text), a->api_key_file, err);
    explicit_bzero(text, len);
    free(text);
    return st;
}

/* The strongest first; the server's own variable may list several, by commas. */
static enum status find_key(struct chat_args *a, struct error *err)
{
    const char *ours = environment_get("INFERD_API_KEY"),
               *common = environment_get("OPENAI_API_KEY");

    if (!a->url) return STATUS_OK;
    if (a->api_key && a->api_key_file)
        return error_set(err, STATUS_INVALID, "--api-key beside --api-key-file: give one of them");
    if (a->api_key) return set_key(a, str_from(a->api_key), "--api-key", err);
    if (a->api_key_file) return read_key_file(a, err);
    if (ours) return set_key(a, (struct str){ours, strcspn(ours, ",")}, "INFERD_API_KEY", err);
    return common ? set_key(a, str_from(common), "OPENAI_API_KEY", err) : STATUS_OK;
}

/* --- all --------------------------------------------------------------------------------------- */

static enum status check(struct chat_args *a, struct error *err)
{
    struct hub_name hub;
    bool address =
        a->model && (strncmp(a->model, "http://", 7) == 0 || strncmp(a->model, "https://", 8) == 0);

    if (!a->url && address && !hub_name_from_url(a->model, &hub))
        return error_set(err, STATUS_INVALID,
                         "\"%.200s\" is an address: write --url in front of it", a->model);
    if (!a->url && a->name) {
        if (a->model)
            return error_set(err, STATUS_INVALID, "two models: \"%.100s\" and --model \"%.100s\"",
                             a->model, a->name);
        a->model = a->name;
        a->name = NULL;
    }
    if (a->url && a->model)
        return error_set(err, STATUS_INVALID,
                         "\"%.100s\" beside --url: that server has its model; --model NAME chooses "
                         "one of several",
                         a->model);
    if (a->url && a->n_server_words > 0)
        return error_set(err, STATUS_INVALID,
                         "%.100s is for a server that chat starts; it cannot be set with --url",
                         a->server_words[0]);
    if (!a->url && (a->api_key || a->api_key_file))
        return error_set(err, STATUS_INVALID,
                         "--api-key is for --url; the server that chat starts gets a key of its "
                         "own");
    if (a->prompt && a->lines)
        return error_set(err, STATUS_INVALID, "--prompt beside --lines: give one of them");
    return a->url ? http_client_check_url(a->url, err) : STATUS_OK;
}

static enum status take_word(struct chat_args *a, const char *word, struct error *err)
{
    if (a->model)
        return error_set(err, STATUS_INVALID,
                         "a second word \"%.100s\" beside \"%.100s\"; a question is given by "
                         "--prompt \"...\" or on standard input",
                         word, a->model);
    if (!*word) return error_set(err, STATUS_INVALID, "the model's name is empty");
    a->model = word;
    return STATUS_OK;
}

enum status chat_args_parse(int argc, char **argv, struct chat_args *out, bool *help,
                            struct error *err)
{
    enum status st = STATUS_OK;

    *out = (struct chat_args){.history = true, .stats = true};
    *help = false;
    out->server_words = calloc((size_t)argc + 1, sizeof(*out->server_words));
    if (!out->server_words) return error_set(err, STATUS_NO_MEMORY, "no memory for the options");
    for (int at = 0; at < argc && st == STATUS_OK;) {
        const char *word = argv[at];
        *help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
        if (*help) return STATUS_OK;
        if (strcmp(word, "--") == 0) {
            st = take_server_words(out, argc - at - 1, argv + at + 1, err);
            break;
        }
        if (word[0] == '-' && word[1])
            st = take_option(out, argc, argv, &at, err);
        else
            st = take_word(out, argv[at++], err);
    }
    if (st == STATUS_OK) st = check(out, err);
    return st == STATUS_OK ? find_key(out, err) : st;
}

void chat_args_print_help(FILE *f)
{
    fputs(
        "usage: inferd chat [MODEL | --url URL] [options] [-- options of inferd serve]\n\n"
        "Talks with a model. MODEL is what `inferd serve` takes: chat starts a server of its own\n"
        "for it, which ends with it. On a terminal one writes messages and reads answers as they\n"
        "come: Ctrl-C stops an answer, Ctrl-D or /quit ends, /help lists the commands. Without a\n"
        "terminal all of standard input is one message, and the answer alone is printed.\n\n",
        f);
    for (size_t i = 0; i < ARRAY_LEN(arg_table); i++) {
        const struct arg_def *d = &arg_table[i];
        if (d->kind == ARG_FLAG)
            fprintf(f, "  --%s, --no-%s\n", d->name, d->name);
        else if (d->letter)
            fprintf(f, "  %s, --%s %s\n", d->letter, d->name, d->value_name);
        else
            fprintf(f, "  --%s %s\n", d->name, d->value_name);
        fprintf(f, "        %s\n", d->help);
    }
    fputs("  -h, --help\n        This text.\n\nHow answers are made; what is not set is the "
          "server's choice:\n",
          f);
    sampling_params_print_options(f);
    fputs("\nOther options are those of `inferd serve` (inferd serve --help), for the server that "
          "chat\nstarts: --quantization int8, --max-model-len 8k, --chat-template FILE.\n\n"
          "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
          "examples:\n"
          "  inferd chat ./Qwen2.5-0.5B-Instruct\n"
          "  inferd chat --url http://127.0.0.1:8000 --system \"Answer briefly.\"\n"
          "  echo \"What is 2+3?\" | inferd chat ./model --temperature 0\n",
          f);
}
