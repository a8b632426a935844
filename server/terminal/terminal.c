#include "server/terminal/terminal.h"

#include "config/base/log.h"
#include "config/limits.h"
#include "server/cli.h"
#include "server/terminal/session.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* --- without a person -------------------------------------------------------------------------- */

/* echo and editors end a text with a newline that is none of it. */
static struct str without_newline(struct str text)
{
    if (text.len > 0 && text.data[text.len - 1] == '\n') text.len--;
    if (text.len > 0 && text.data[text.len - 1] == '\r') text.len--;
    return text;
}

static enum status read_input(struct strbuf *input, struct str *text, struct error *err)
{
    enum status st = cli_read_all(STDIN_FILENO, LIMIT_CHAT_INPUT, input, err);

    if (st != STATUS_OK) return st;
    *text = without_newline((struct str){input->data ? input->data : "", input->len});
    return text->len > 0 ? STATUS_OK
                         : error_set(err, STATUS_INVALID,
                                     "nothing to ask: the standard input is "
                                     "empty");
}

static enum status ask_lines(struct chat_session *s, struct error *err)
{
    struct cli_lines lines;
    struct str line;
    bool end = false;
    enum status st = STATUS_OK;

    cli_lines_init(&lines, STDIN_FILENO, LIMIT_CHAT_INPUT);
    while (st == STATUS_OK) {
        st = cli_lines_next(&lines, &line, &end, err);
        if (st != STATUS_OK || end) break;
        line = without_newline(line);
        if (line.len > 0) st = chat_session_turn(s, line, err);
        if (st != STATUS_OK) error_prepend(err, "line %llu", (unsigned long long)lines.n_taken);
    }
    cli_lines_free(&lines);
    return st;
}

static enum status start(struct chat_session *s, struct error *err)
{
    const struct chat_args *a = s->args;
    enum status st = STATUS_OK;

    if (!a->url) {
        st = server_child_start(&s->child, a->model, a->server_words, a->n_server_words, err);
        if (st == STATUS_OK) st = server_child_wait_ready(&s->child, &s->watch, err);
    }
    return st == STATUS_OK ? chat_session_open(s, err) : st;
}

/* The input is read first: what is wrong with it is known before a model is loaded. */
static enum status run_pipe(struct chat_session *s, struct error *err)
{
    const struct chat_args *a = s->args;
    struct strbuf input;
    struct str text = str_from(a->prompt);
    enum status st = STATUS_OK;

    strbuf_init(&input, 0);
    if (!a->prompt && !a->lines) st = read_input(&input, &text, err);
    if (st == STATUS_OK) st = start(s, err);
    if (st == STATUS_OK) st = a->lines ? ask_lines(s, err) : chat_session_turn(s, text, err);
    strbuf_free(&input);
    return st;
}

static int chat(struct chat_args *a)
{
    static struct chat_session s;
    struct error err = {0};

    s = (struct chat_session){.args = a, .watch.fd = -1};
    display_init(&s.display, false);
    enum status st = run_pipe(&s, &err);
    int code = st == STATUS_OK || s.display.reader_left ? 0 : 1;
    if (code != 0) chat_session_show_error(&s, &err);
    if (s.child.exit_status == 2) code = 2; /* its options are ours */
    chat_session_close(&s);
    display_free(&s.display);
    return code;
}

int chat_main(int argc, char **argv)
{
    struct chat_args args;
    struct error err = {0};
    bool help = false;
    int code = 2;

    log_setup(LOG_ERROR, false);
    if (chat_args_parse(argc, argv, &args, &help, &err) != STATUS_OK) {
        cli_print_error("chat", &err);
    } else if (help) {
        chat_args_print_help(stdout);
        code = 0;
    } else {
        signal(SIGPIPE, SIG_IGN);
        code = chat(&args);
    }
    chat_args_free(&args);
    return code;
}
