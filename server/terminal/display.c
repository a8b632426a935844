#include "server/terminal/display.h"

#include "server/cli.h"
#include "server/terminal/environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DIM   "\033[2m"
#define RED   "\033[31m"
#define PLAIN "\033[0m"

void display_init(struct display *d, bool interactive)
{
    const char *term = environment_get("TERM"), *no_color = environment_get("NO_COLOR");
    bool out = isatty(STDOUT_FILENO);
    bool dumb = !term || strcmp(term, "dumb") == 0;

    *d = (struct display){.terminal = out,
                          .interactive = interactive,
                          .note_fd = out ? STDOUT_FILENO : STDERR_FILENO};
    d->styled = isatty(d->note_fd) && !dumb && !no_color;
    d->can_wrap = out && !dumb;
    strbuf_init(&d->out, 0);
    strbuf_init(&d->plain, 0);
}

void display_free(struct display *d)
{
    strbuf_free(&d->out);
    strbuf_free(&d->plain);
}

/* --- answers ---------------------------------------------------------------------------------- */

static enum status flush_answer(struct display *d, struct error *err)
{
    if (d->out.failed) return error_set(err, STATUS_NO_MEMORY, "no memory for the output");
    if (d->out.len == 0) return STATUS_OK;
    d->some = true;
    d->last = d->out.data[d->out.len - 1];
    errno = 0;
    enum status st = cli_write_buf(&d->out, err);
    if (st != STATUS_OK) d->reader_left = errno == EPIPE;
    return st;
}

static int columns(void)
{
    struct winsize w = {.ws_col = 0};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

/* What the sanitizer has let through, on its way to the terminal. */
static void add_plain(struct display *d)
{
    struct str text = {d->plain.data ? d->plain.data : "", d->plain.len};

    if (d->can_wrap)
        wrapper_feed(&d->wrap, text, columns(), &d->out);
    else
        strbuf_add(&d->out, text.data, text.len);
    d->out.failed = d->out.failed || d->plain.failed;
    strbuf_clear(&d->plain);
}

static void end_text(struct display *d)
{
    sanitizer_end(&d->clean, &d->plain);
    add_plain(d);
    wrapper_reset(&d->wrap);
}

static void set_dim(struct display *d, bool dim)
{
    if (dim == d->dim) return;
    end_text(d);
    if (d->some || d->out.len > 0) strbuf_add_char(&d->out, '\n');
    if (d->styled) strbuf_add_str(&d->out, dim ? DIM : PLAIN);
    d->dim = dim;
}

enum status display_answer(struct display *d, struct str text, bool reasoning, struct error *err)
{
    if (reasoning && !(d->terminal && d->interactive)) return STATUS_OK;
    set_dim(d, reasoning);
    if (d->terminal) {
        sanitizer_feed(&d->clean, text, &d->plain);
        add_plain(d);
    } else {
        strbuf_add(&d->out, text.data, text.len);
    }
    return flush_answer(d, err);
}

enum status display_answer_end(struct display *d, struct error *err)
{
    if (d->terminal) end_text(d);
    char last = d->last;
    if (d->out.len > 0) last = d->out.data[d->out.len - 1];
    if ((d->some || d->out.len > 0) && last != '\n') strbuf_add_char(&d->out, '\n');
    if (d->dim && d->styled) strbuf_add_str(&d->out, PLAIN);
    enum status st = flush_answer(d, err);
    d->dim = d->some = false;
    d->last = '\0';
    return st;
}

/* --- notes ------------------------------------------------------------------------------------ */

static void write_note(struct display *d, const char *style, struct str text)
{
    struct strbuf out;
    const char *data;
    ssize_t n;

    strbuf_init(&out, 0);
    if (d->styled) strbuf_add_str(&out, style);
    sanitize(text, false, &out);
    bool newline = out.len > 0 && out.data[out.len - 1] == '\n';
    if (newline) out.len--;
    if (d->styled && *style) strbuf_add_str(&out, PLAIN);
    strbuf_add_char(&out, '\n');
    data = out.failed ? NULL : out.data;
    for (size_t left = data ? out.len : 0; left > 0; left -= (size_t)n, data += n) {
        do n = write(d->note_fd, data, left);
        while (n < 0 && errno == EINTR);
        if (n < 0) break; /* who has no terminal any more is told by SIGHUP */
    }
    strbuf_free(&out);
}

void display_text(struct display *d, const char *text)
{
    write_note(d, "", str_from(text));
}

void display_note(struct display *d, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write_note(d, DIM, str_from(text));
}

void display_error(struct display *d, const struct error *err, const char *hint)
{
    struct error full = *err;
    char text[1024];

    if (*hint)
        snprintf(text, sizeof(text), "%s (%s)", err->message, hint);
    else
        snprintf(text, sizeof(text), "%s", err->message);
    if (d->interactive) {
        write_note(d, RED, str_from(text));
        return;
    }
    error_set(&full, err->code, "%s", text);
    cli_print_error("chat", &full);
}
