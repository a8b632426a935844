#include "server/terminal/terminal.h"

#include "config/base/log.h"
#include "config/limits.h"
#include "server/cli.h"
#include "server/terminal/commands.h"
#include "server/terminal/line_editor.h"

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

/* The input is read first: what is wrong with it is known before a model is loaded. */
static enum status run_pipe(struct chat_session *s, struct error *err)
{
    const struct chat_args *a = s->args;
    struct strbuf input;
    struct str text = str_from(a->prompt);
    enum status st = STATUS_OK;

    strbuf_init(&input, 0);
    if (!a->prompt && !a->lines) st = read_input(&input, &text, err);
    if (st == STATUS_OK) st = chat_session_connect(s, err);
    if (st == STATUS_OK) st = a->lines ? ask_lines(s, err) : chat_session_turn(s, text, err);
    strbuf_free(&input);
    return st;
}

/* --- with a person ----------------------------------------------------------------------------- */

struct person {
    struct chat_session *session;
    struct signals signals;
    struct line_editor *editor;
    int n_interrupts; /* Ctrl-C at the prompt, one after the other */
    int end_signal;   /* what ended it before there was an editor; 0 = nothing */
};

/* Before there is an editor, while the server loads: every signal but a new window ends it. */
static bool is_interrupted(void *arg)
{
    struct person *p = arg;

    for (int signum; (signum = signals_next(&p->signals)) != 0;) {
        if (signum == SIGTSTP)
            signals_suspend();
        else if (signum != SIGWINCH)
            p->end_signal = signum;
        if (p->end_signal) return true;
    }
    return false;
}

static bool should_stop(void *arg)
{
    return line_editor_take_signals(((struct person *)arg)->editor);
}

static void take_message(struct person *p, struct str text)
{
    struct chat_session *s = p->session;
    struct error err = {0};

    line_editor_hush(p->editor, true);
    enum status st = chat_session_turn(s, text, &err);
    line_editor_hush(p->editor, false);
    if (st == STATUS_CANCELLED)
        display_note(&s->display, "[stopped before the first word; /retry asks again]");
    else if (st != STATUS_OK)
        chat_session_show_error(s, &err);
}

/* True: the chat is over. */
static bool take_line(struct person *p, const char *line, size_t len)
{
    struct command_line command;
    struct str text = {line, len};
    bool over = false;

    if (len == strspn(line, " \t\n")) return false;
    line_editor_remember(p->editor, line);
    if (command_parse(text, &command)) {
        line_editor_hush(p->editor, true); /* /retry asks */
        over = command_run(p->session, &command);
        line_editor_hush(p->editor, false);
    } else {
        take_message(p, text);
    }
    return over || p->session->display.reader_left || line_editor_end_signal(p->editor) != 0;
}

static void note_interrupt(struct person *p)
{
    if (++p->n_interrupts >= 2)
        display_note(&p->session->display, "[/quit or Ctrl-D ends the chat]");
}

static void talk(struct person *p)
{
    struct display *d = &p->session->display;
    struct strbuf line;
    bool over = false;

    strbuf_init(&line, (size_t)2 * LIMIT_CHAT_LINE);
    while (!over) {
        enum line_result r = line_editor_read(p->editor, &line);
        if (r != LINE_INTERRUPTED) p->n_interrupts = 0;
        if (r == LINE_END) display_text(d, "");
        if (r == LINE_TOO_LONG)
            display_note(d,
                         "[dropped: a message that is typed has at most %u bytes; a longer one "
                         "comes from a file: inferd chat < FILE]",
                         LIMIT_CHAT_LINE);
        if (r == LINE_INTERRUPTED) note_interrupt(p);
        if (r == LINE_TEXT && line.data) over = take_line(p, line.data, line.len);
        over = over || r == LINE_END || r == LINE_STOP;
    }
    strbuf_free(&line);
}

static enum status run_person(struct chat_session *s, int *end_signal, struct error *err)
{
    struct person p = {.session = s};
    char why_not[256];
    enum status st = signals_open(&p.signals, err);

    if (st != STATUS_OK) return st;
    s->watch = (struct http_watch){p.signals.fd, is_interrupted, &p};
    st = chat_session_connect(s, err);
    *end_signal = p.end_signal;
    if (st == STATUS_OK)
        st = line_editor_open(&p.editor, &p.signals, s->display.styled, s->args->history, why_not,
                              err);
    if (st == STATUS_OK) {
        s->watch.should_stop = should_stop;
        line_editor_set_completion(p.editor, command_complete);
        display_note(&s->display, "%s; /help lists the commands", s->model.data);
        if (why_not[0]) display_note(&s->display, "[what is typed is not kept: %s]", why_not);
        talk(&p);
        *end_signal = line_editor_end_signal(p.editor);
        line_editor_close(p.editor);
    }
    s->watch.fd = -1;
    signals_close(&p.signals);
    return st;
}

/* --- the command ------------------------------------------------------------------------------- */

/* A person types when both ends are a terminal; answers may go into a file. */
static bool is_interactive(const struct chat_args *a)
{
    return !a->prompt && !a->lines && isatty(STDIN_FILENO) &&
           (isatty(STDOUT_FILENO) || isatty(STDERR_FILENO));
}

/* While the model loads, its server draws a bar on our terminal; it has ended by now. */
static void say_interrupted(void)
{
    struct error err = {.message = "interrupted"};

    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    cli_print_error("chat", &err);
}

static int chat(struct chat_args *a)
{
    static struct chat_session s;
    struct error err = {0};
    int end_signal = 0;

    bool interactive = is_interactive(a);
    enum status st = chat_session_init(&s, a, interactive, &err);
    if (st == STATUS_OK) st = interactive ? run_person(&s, &end_signal, &err) : run_pipe(&s, &err);
    int code = st == STATUS_OK || s.display.reader_left ? 0 : 1;
    if (code != 0 && st != STATUS_CANCELLED) chat_session_show_error(&s, &err);
    if (s.child.exit_status == 2) code = 2; /* its options are ours */
    if (end_signal) code = 128 + end_signal;
    chat_session_close(&s);
    if (st == STATUS_CANCELLED && end_signal == SIGINT) say_interrupted();
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
