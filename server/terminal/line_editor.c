#include "server/terminal/line_editor.h"

#include "config/limits.h"
#include "server/terminal/environment.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#define PASTE_ON    "\033[?2004h"
#define PASTE_OFF   "\033[?2004l"
#define PASTE_BEGIN "\033[200~"
#define PASTE_END   L"\033[201~"

#define KEY_TO_END L'\x05' /* Ctrl-E */

struct line_editor {
    EditLine *el;
    History *history;
    FILE *out; /* of the prompt and what is typed */
    struct signals *signals;
    struct line_history file;
    const char *prompt;
    bool styled, going_on; /* going_on: behind a backslash */
    mbstate_t mbs;
    enum line_result event; /* why reading ended early; LINE_TEXT = it did not */
    bool at_end;            /* then libedit was told to go behind the line */
    int end_signal;
    bool too_long;
    wchar_t *pasted;
    size_t n_pasted, cap_pasted;
    bool hushed;
    struct termios before_hush;
    line_complete_fn *complete; /* NULL = Tab does nothing */
};

/* --- signals and characters -------------------------------------------------------------------- */

/* Stopped by Ctrl-Z: the shell gets its terminal as it was, and we ours when we go on. */
static void suspend_editing(struct line_editor *e)
{
    el_set(e->el, EL_PREP_TERM, 0);
    if (e->styled) fputs(PASTE_OFF, e->out);
    fputc('\n', e->out);
    fflush(e->out);
    signals_suspend();
    if (e->styled) fputs(PASTE_ON, e->out);
    fflush(e->out);
    el_set(e->el, EL_PREP_TERM, 1);
    el_resize(e->el);
    el_set(e->el, EL_REFRESH);
}

/* True when the line is over. */
static bool take_signals_editing(struct line_editor *e)
{
    for (int signum; (signum = signals_next(e->signals)) != 0;) {
        if (signum == SIGWINCH) {
            el_resize(e->el);
        } else if (signum == SIGTSTP) {
            suspend_editing(e);
        } else if (signum == SIGINT) {
            e->event = LINE_INTERRUPTED;
        } else if (signals_is_end(signum)) {
            e->event = LINE_STOP;
            e->end_signal = signum;
        }
    }
    return e->event != LINE_TEXT;
}

/* The next byte: 1, 0 at the end, -1 when the line is over by a signal. */
static int read_byte(struct line_editor *e, char *byte)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = e->signals->fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return 0;
        if (fds[1].revents && take_signals_editing(e)) return -1;
        if (!fds[0].revents) continue;
        ssize_t n = read(STDIN_FILENO, byte, 1);
        if (n > 0) return 1;
        if (n == 0 || (errno != EINTR && errno != EAGAIN)) return 0;
    }
}

/* libedit's source of characters.  Before it learns that the line is over, it moves the cursor behind
 * it, which may be some rows below: what is written next must not go through the middle of it. */
static int read_character(EditLine *el, wchar_t *out)
{
    struct line_editor *e = NULL;
    char byte;

    el_get(el, EL_CLIENTDATA, &e);
    for (;;) {
        int n = e->event != LINE_TEXT ? -1 : read_byte(e, &byte);
        if (n < 0 && !e->at_end) {
            e->at_end = true;
            *out = KEY_TO_END;
            return 1;
        }
        if (n <= 0) {
            errno = n < 0 ? EINTR : 0;
            return n;
        }
        size_t used = mbrtowc(out, &byte, 1, &e->mbs);
        if (used == (size_t)-2) continue; /* more of the character has to come */
        if (used != (size_t)-1) return 1;
        memset(&e->mbs, 0, sizeof(e->mbs));
        *out = 0xfffd;
        return 1;
    }
}

/* --- keys of ours ------------------------------------------------------------------------------ */

static bool keep_pasted(struct line_editor *e, wchar_t c)
{
    if (e->n_pasted + 1 >= e->cap_pasted) {
        size_t cap = e->cap_pasted ? e->cap_pasted * 2 : 1024;
        wchar_t *more = realloc(e->pasted, cap * sizeof(*more));
        if (!more) return false;
        e->pasted = more;
        e->cap_pasted = cap;
    }
    e->pasted[e->n_pasted++] = c;
    return true;
}

/* Line ends become \n; other control characters have no place in a message. */
static void clean_pasted(struct line_editor *e)
{
    size_t n = 0;

    for (size_t i = 0; i < e->n_pasted; i++) {
        wchar_t c = e->pasted[i];
        if (c == L'\r') {
            c = L'\n';
            if (i + 1 < e->n_pasted && e->pasted[i + 1] == L'\n') i++;
        }
        if (c == L'\n' || c == L'\t' || (c >= 0x20 && c != 0x7f)) e->pasted[n++] = c;
    }
    e->pasted[n] = L'\0';
    e->n_pasted = n;
}

/* What is pasted, up to the mark behind it, goes into the line as it is. */
static unsigned char on_paste(EditLine *el, int c)
{
    static const wchar_t mark[] = PASTE_END;
    enum { MARK_LEN = sizeof(mark) / sizeof(mark[0]) - 1 };
    struct line_editor *e = NULL;
    wchar_t wc;

    (void)c;
    el_get(el, EL_CLIENTDATA, &e);
    e->n_pasted = 0;
    for (size_t matched = 0; matched < MARK_LEN;) {
        if (el_wgetc(el, &wc) != 1) return CC_EOF;
        matched = wc == mark[matched] ? matched + 1 : wc == mark[0];
        if (e->n_pasted < LIMIT_CHAT_LINE + MARK_LEN) {
            if (!keep_pasted(e, wc)) e->too_long = true;
        } else {
            e->too_long = true;
        }
    }
    if (e->too_long) return CC_REFRESH;
    e->n_pasted -= MARK_LEN;
    clean_pasted(e);
    if (e->n_pasted > 0 && el_winsertstr(el, e->pasted) != 0) e->too_long = true;
    return CC_REFRESH;
}

static unsigned char on_newline(EditLine *el, int c)
{
    (void)c;
    return el_insertstr(el, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* The line up to the cursor as UTF-8. */
static void add_before_cursor(EditLine *el, struct strbuf *out)
{
    const LineInfoW *line = el_wline(el);
    for (const wchar_t *c = line->buffer; c < line->cursor; c++) strbuf_add_utf8(out, (uint32_t)*c);
}

static unsigned char on_tab(EditLine *el, int c)
{
    struct line_editor *e = NULL;
    struct strbuf before, insert, list;
    unsigned char result = CC_ERROR; /* rings */
    int n = 0;

    (void)c;
    el_get(el, EL_CLIENTDATA, &e);
    strbuf_init(&before, 0);
    strbuf_init(&insert, 0);
    strbuf_init(&list, 0);
    add_before_cursor(el, &before);
    if (e->complete && !e->going_on && before.len > 0 && !before.failed)
        n = e->complete((struct str){before.data, before.len}, &insert, &list);
    if (insert.len > 0 && !insert.failed) {
        if (el_insertstr(el, insert.data) == 0) result = CC_REFRESH;
    } else if (n > 1 && !list.failed) {
        fprintf(e->out, "\n%s\n", list.data);
        result = CC_REDISPLAY;
    }
    strbuf_free(&before);
    strbuf_free(&insert);
    strbuf_free(&list);
    return result;
}

static void bind_keys(struct line_editor *e)
{
    static const char *const bindings[][2] = {
        {PASTE_BEGIN, "inferd-paste"},      {"\033\r", "inferd-newline"},
        {"\033\n", "inferd-newline"},       {"^R", "em-inc-search-prev"},
        {"\033[1;5D", "ed-prev-word"},      {"\033[1;5C", "em-next-word"},
        {"\033[3~", "ed-delete-next-char"}, {"\033[H", "ed-move-to-beg"},
        {"\033[F", "ed-move-to-end"},       {"^I", "inferd-complete"},
    };

    /* The wide form: libedit makes copies of narrow names and never frees them. */
    el_wset(e->el, EL_ADDFN, L"inferd-paste", L"Insert what is pasted", on_paste);
    el_wset(e->el, EL_ADDFN, L"inferd-newline", L"Insert a line break", on_newline);
    el_wset(e->el, EL_ADDFN, L"inferd-complete", L"Complete a command", on_tab);
    for (size_t i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++)
        el_set(e->el, EL_BIND, bindings[i][0], bindings[i][1], NULL);
}

/* --- open and close ---------------------------------------------------------------------------- */

static char *prompt_of(EditLine *el)
{
    static char text[64];
    struct line_editor *e = NULL;

    el_get(el, EL_CLIENTDATA, &e);
    /* The blank comes last: libedit drops what is between marks at the end of a prompt. */
    snprintf(text, sizeof(text), e->styled ? "\1\033[1m\1%s\1\033[0m\1 " : "%s ",
             e->going_on ? "." : ">");
    return text;
}

static void on_old_line(void *arg, const char *line)
{
    struct line_editor *e = arg;
    HistEvent ignored;
    history(e->history, &ignored, H_ENTER, line);
}

/* Characters are UTF-8 as everywhere here, whatever the environment says of them; LC_NUMERIC stays
 * "C", or numbers would be written with commas. */
static void set_locale(void)
{
    if (setlocale(LC_CTYPE, "") && strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0) return;
    setlocale(LC_CTYPE, "C.UTF-8");
}

static enum status open_libedit(struct line_editor *e, struct error *err)
{
    HistEvent ignored;

    e->history = history_init();
    e->el = el_init("inferd", stdin, e->out, stderr);
    if (!e->history || !e->el)
        return error_set(err, STATUS_NO_MEMORY, "libedit does not start on this terminal");
    history(e->history, &ignored, H_SETSIZE, LIMIT_CHAT_HISTORY);
    history(e->history, &ignored, H_SETUNIQUE, 1);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_SIGNAL, 0);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_GETCFN, read_character);
    el_set(e->el, EL_PROMPT_ESC, prompt_of, '\1');
    el_set(e->el, EL_HIST, history, e->history);
    bind_keys(e);
    el_source(e->el, NULL);
    return STATUS_OK;
}

enum status line_editor_open(struct line_editor **out, struct signals *signals, bool styled,
                             bool keep, char why_not[256], struct error *err)
{
    struct error file_error = {0};
    struct line_editor *e = calloc(1, sizeof(*e));

    if (!e) return error_set(err, STATUS_NO_MEMORY, "no memory for the editor");
    e->signals = signals;
    e->styled = styled;
    e->file.fd = -1;
    e->out = isatty(STDOUT_FILENO) ? stdout : stderr;
    set_locale();
    if (open_libedit(e, err) != STATUS_OK) {
        line_editor_close(e);
        return err->code;
    }
    why_not[0] = '\0';
    if (keep && line_history_open(&e->file, on_old_line, e, &file_error) != STATUS_OK)
        snprintf(why_not, 256, "%.255s", file_error.message);
    *out = e;
    return STATUS_OK;
}

void line_editor_close(struct line_editor *e)
{
    if (!e) return;
    if (e->hushed) line_editor_hush(e, false);
    if (e->el) el_end(e->el);
    if (e->history) history_end(e->history);
    line_history_close(&e->file);
    free(e->pasted);
    free(e);
}

void line_editor_set_completion(struct line_editor *e, line_complete_fn *complete)
{
    e->complete = complete;
}

int line_editor_end_signal(const struct line_editor *e)
{
    return e->end_signal;
}

void line_editor_remember(struct line_editor *e, const char *text)
{
    on_old_line(e, text);
    line_history_add(&e->file, text);
}

/* --- a message --------------------------------------------------------------------------------- */

static enum line_result read_line(struct line_editor *e, struct str *line)
{
    int n = 0;

    e->event = LINE_TEXT;
    e->at_end = e->too_long = false;
    memset(&e->mbs, 0, sizeof(e->mbs));
    /* libedit would write the prompt first: who types as soon as it is there would be echoed by the
     * terminal too, and a Ctrl-D would be lost. */
    el_set(e->el, EL_PREP_TERM, 1);
    if (e->styled) fputs(PASTE_ON, e->out);
    fflush(e->out);
    const char *text = el_gets(e->el, &n);
    if (e->event != LINE_TEXT) fputs(e->event == LINE_INTERRUPTED ? "^C\n" : "\n", e->out);
    if (e->styled) fputs(PASTE_OFF, e->out);
    fflush(e->out);
    if (e->event != LINE_TEXT) return e->event;
    if (!text || n <= 0) return LINE_END;
    *line = (struct str){text, (size_t)n};
    if (line->data[line->len - 1] == '\n') line->len--;
    return LINE_TEXT;
}

enum line_result line_editor_read(struct line_editor *e, struct strbuf *text)
{
    bool too_long = false;
    struct str line;

    strbuf_clear(text);
    e->going_on = false;
    for (;;) {
        enum line_result r = read_line(e, &line);
        if (r == LINE_END && e->going_on) break; /* Ctrl-D sends what there is */
        if (r != LINE_TEXT) return r;
        too_long = too_long || e->too_long || line.len > LIMIT_CHAT_LINE - text->len;
        e->going_on = line.len > 0 && line.data[line.len - 1] == '\\';
        if (e->going_on) line.len--;
        if (!too_long) strbuf_add(text, line.data, line.len);
        if (!e->going_on) break;
        if (!too_long) strbuf_add_char(text, '\n');
    }
    return too_long || text->failed ? LINE_TOO_LONG : LINE_TEXT;
}

/* --- while an answer is written ---------------------------------------------------------------- */

void line_editor_hush(struct line_editor *e, bool on)
{
    struct termios quiet;

    if (on == e->hushed) return;
    if (!on) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &e->before_hush);
    } else {
        if (tcgetattr(STDIN_FILENO, &e->before_hush) != 0) return;
        quiet = e->before_hush;
        quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
        quiet.c_lflag |= ISIG | NOFLSH; /* Ctrl-C stops the answer, not what is typed */
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) != 0) return;
    }
    e->hushed = on;
}

bool line_editor_take_signals(struct line_editor *e)
{
    bool stop = false;

    for (int signum; (signum = signals_next(e->signals)) != 0;) {
        if (signum == SIGWINCH) {
            el_resize(e->el);
        } else if (signum == SIGTSTP) {
            bool hushed = e->hushed;
            line_editor_hush(e, false);
            signals_suspend();
            line_editor_hush(e, hushed);
        } else {
            stop = true;
            if (signals_is_end(signum)) e->end_signal = signum;
        }
    }
    return stop;
}
