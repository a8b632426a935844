#include "server/render.h"

#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/limits.h"
#include "server/api_prompt.h"
#include "server/chat.h"
#include "server/cli.h"
#include "server/load_model.h"
#include "server/model_dir.h"

#include <string.h>
#include <unistd.h>

#define COMMAND "render"

static void print_help(void)
{
    static const char *const options[] = {"chat-template",
                                          "tokenizer",
                                          "max-model-len",
                                          "chat-template-content-format",
                                          "max-body-size",
                                          "config",
                                          NULL};
    fputs("usage: inferd render [MODEL] [--ids] [options] < request.json\n\n"
          "Prints the prompt that MODEL, a directory or ORG/NAME, gets for a chat-completions "
          "request: the\n"
          "text that its chat template makes, without a newline added; without MODEL, the demo "
          "model's.\n"
          "Reads tokenizer and chat template, no weights. A request that the server would refuse "
          "is refused in the same words, but for\n"
          "`tools` and `tool_choice`, which shape the prompt; `model` is not looked at.\n\n"
          "  --ids\n        The prompt's token ids instead, as a JSON array.\n",
          stdout);
    options_print_named(stdout, options);
    fputs("\nThe other options of `inferd serve` are accepted too, so that both can share a "
          "--config\n"
          "file; only those that limit requests have an effect.\n\n"
          "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
          "examples:\n"
          "  inferd render ./model < request.json\n"
          "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}' | inferd render "
          "./model --ids\n",
          stdout);
}

/* No option, as the server's options have it: a number may be negative. */
static bool is_word(const char *arg)
{
    return arg[0] != '-' || arg[1] == '\0' || (arg[1] >= '0' && arg[1] <= '9');
}

/* Takes --ids out of the words; the rest are the server's options.  A word behind it is nobody's
 * value: it goes to the front, lest the option before --ids takes it for one of its own. */
static int take_ids_flag(int argc, char **argv, bool *ids)
{
    int n = 0, front = 0, i = 0;

    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--ids") != 0) {
            argv[n++] = argv[i];
            continue;
        }
        *ids = true;
        while (i + 1 < argc && is_word(argv[i + 1])) {
            memmove(argv + front + 1, argv + front, (size_t)(n - front) * sizeof(*argv));
            argv[front++] = argv[++i];
            n++;
        }
    }
    while (i < argc) argv[n++] = argv[i++];
    return n;
}

static enum status add_prompt(const struct app *a, struct api_params *p, bool ids,
                              struct strbuf *out, struct error *err)
{
    const struct prompt_tokens *t;
    int64_t now = clock_unix_s();

    if (!ids) return chat_render(a, p, now, out, err);
    enum status st = prompts_make(a, p, now, &t, err);
    if (st != STATUS_OK) return st;
    api_add_ids(out, t);
    strbuf_add_char(out, '\n');
    return STATUS_OK;
}

static enum status render(const struct app *a, bool ids, struct error *err)
{
    struct strbuf body, out;
    struct api_params p;

    strbuf_init(&body, 0);
    strbuf_init(&out, 0);
    enum status st = cli_read_all(STDIN_FILENO, (size_t)a->opts->max_body_size, &body, err);
    if (st == STATUS_OK) {
        struct str text = {body.data ? body.data : "", body.len};
        st = api_parse(a, text, API_CHAT, true, &p, err);
    }
    if (st == STATUS_OK) {
        st = add_prompt(a, &p, ids, &out, err);
        api_params_free(&p);
    }
    if (st == STATUS_OK) st = cli_write_buf(&out, err);
    strbuf_free(&body);
    strbuf_free(&out);
    return st;
}

int render_main(int argc, char **argv)
{
    struct options opts;
    struct loaded_model model;
    struct error err = {0};
    bool help = false, ids = false;

    argc = take_ids_flag(argc, argv, &ids);
    if (options_parse_command(COMMAND, argc, argv, environ, &opts, &help, &err) != STATUS_OK) {
        cli_print_error(COMMAND, &err);
        return 2;
    }
    if (help) {
        print_help();
        options_free(&opts);
        return 0;
    }
    log_setup(LOG_WARN, false); /* what is done stands on standard output */
    enum status st = model_dir_resolve(&opts, false, &err);
    if (st == STATUS_OK) st = load_model(&opts, false, &model, &err);
    if (st == STATUS_OK) {
        struct app app = {.opts = &opts,
                          .config = &model.text.config,
                          .max_model_len = model.text.max_model_len,
                          .tokenizer = model.text.tokenizer,
                          .chat_templates = model.text.chat_templates,
                          .command_line = true,
                          .render_only = true};
        st = render(&app, ids, &err);
        loaded_model_free(&model);
    }
    if (st != STATUS_OK) cli_print_error(COMMAND, &err);
    options_free(&opts);
    return st == STATUS_OK ? 0 : 1;
}
