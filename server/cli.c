#include "server/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 256 << 10 };

void cli_print_error(const char *command, const struct error *err)
{
    struct strbuf out;

    strbuf_init(&out, 0);
    strbuf_addf(&out, "inferd %s: ", command);
    for (const unsigned char *p = (const unsigned char *)err->message; *p; p++) {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0; /* U+0080 to U+009F */
        if (*p < 0x20 || *p == 0x7f || c1)
            strbuf_addf(&out, "\\x%02x", c1 ? *++p : *p);
        else
            strbuf_add_char(&out, (char)*p);
    }
    fputs(out.failed ? "inferd: out of memory" : out.data, stderr);
    fputc('\n', stderr);
    strbuf_free(&out);
}

const char *cli_program(void)
{
    enum { LEN_MAX = 80 }; /* longer ones would crowd out what a message is about */
    const char *name = program_invocation_name;
    bool path = name && strchr(name, '/') && strlen(name) <= LEN_MAX && !strpbrk(name, " \t\n");
    return path ? name : "inferd";
}

/* One read into the buffer's end; *n = 0 at the end of the input. */
static enum status read_some(int fd, struct strbuf *out, size_t *n, struct error *err)
{
    char piece[READ_SIZE];
    ssize_t got;

    do got = read(fd, piece, sizeof(piece));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set(err, STATUS_IO, "cannot read the standard input: %s", strerror(errno));
    *n = (size_t)got;
    strbuf_add(out, piece, *n);
    if (out->failed) return error_set(err, STATUS_NO_MEMORY, "no memory for the input");
    return STATUS_OK;
}

enum status cli_read_all(int fd, size_t max_size, struct strbuf *out, struct error *err)
{
    size_t n = 1;

    while (n > 0) {
        enum status st = read_some(fd, out, &n, err);
        if (st != STATUS_OK) return st;
        if (out->len > max_size)
            return error_set(err, STATUS_TOO_LARGE,
                             "the input is larger than the limit of %zu bytes", max_size);
    }
    return STATUS_OK;
}

void cli_lines_init(struct cli_lines *l, int fd, size_t max_line_size)
{
    *l = (struct cli_lines){.fd = fd, .max_line_size = max_line_size};
    strbuf_init(&l->buf, 0);
}

void cli_lines_free(struct cli_lines *l)
{
    strbuf_free(&l->buf);
}

/* Moves what is not taken to the front and reads more behind it. */
static enum status read_more(struct cli_lines *l, struct error *err)
{
    size_t n = 1, left = l->buf.len - l->at;
    enum status st;

    if (l->at > 0) {
        memmove(l->buf.data, l->buf.data + l->at, left);
        l->buf.len = left;
        l->at = 0;
    }
    if (left > l->max_line_size)
        return error_set(err, STATUS_TOO_LARGE, "the line is longer than the limit of %zu bytes",
                         l->max_line_size);
    st = l->before_read ? l->before_read(l->arg, err) : STATUS_OK;
    if (st == STATUS_OK) st = read_some(l->fd, &l->buf, &n, err);
    l->ended = n == 0;
    return st;
}

enum status cli_lines_next(struct cli_lines *l, struct str *line, bool *end, struct error *err)
{
    const char *newline = NULL;
    size_t scanned = 0; /* bytes known to hold no newline: each is looked at once */

    *end = false;
    for (;;) {
        size_t left = l->buf.len - l->at;
        const char *from = left ? l->buf.data + l->at : NULL;
        if (left > scanned) newline = memchr(from + scanned, '\n', left - scanned);
        if (newline || (l->ended && left > 0)) {
            size_t len = newline ? (size_t)(newline - from) : left;
            *line = (struct str){from, len};
            l->at += len + (newline != NULL);
            l->n_taken++;
            return STATUS_OK;
        }
        *end = l->ended;
        if (l->ended) return STATUS_OK;
        scanned = left;
        enum status st = read_more(l, err);
        if (st != STATUS_OK) return st;
    }
}

enum status cli_write(const char *data, size_t len, struct error *err)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return error_set(err, STATUS_IO, "cannot write the standard output: %s",
                             strerror(errno));
        data += n;
        len -= (size_t)n;
    }
    return STATUS_OK;
}

enum status cli_write_buf(struct strbuf *b, struct error *err)
{
    enum status st;

    if (b->failed) return error_set(err, STATUS_NO_MEMORY, "no memory for the output");
    st = b->len > 0 ? cli_write(b->data, b->len, err) : STATUS_OK;
    strbuf_clear(b);
    return st;
}
