#include "server/terminal/line_history.h"

#include "config/base/file.h"
#include "config/base/json_string.h"
#include "config/limits.h"
#include "server/cli.h"
#include "server/terminal/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- where ------------------------------------------------------------------------------------- */

static enum status make_folders(char *path, struct error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int rc = mkdir(path, 0700);
        int e = errno;
        if (rc != 0 && e != EEXIST) return error_set(err, STATUS_IO, "%s: %s", path, strerror(e));
        *slash = '/';
    }
    return STATUS_OK;
}

static enum status find_path(char *out, size_t size, struct error *err)
{
    const char *state = environment_get("XDG_STATE_HOME"), *home = environment_get("HOME");
    char below_home[PATH_MAX];
    enum status st = STATUS_OK;

    if (!state || state[0] != '/') { /* relative ones are to be ignored, says XDG */
        if (!home || home[0] != '/') return error_set(err, STATUS_NOT_FOUND, "HOME is not set");
        st = path_join(below_home, sizeof(below_home), home, ".local/state", err);
        state = below_home;
    }
    if (st == STATUS_OK) st = path_join(out, size, state, "inferd/chat_history", err);
    return st == STATUS_OK ? make_folders(out, err) : st;
}

/* --- reading ----------------------------------------------------------------------------------- */

/* The last LIMIT_CHAT_HISTORY_SIZE bytes, from the beginning of a line. */
static enum status read_end(int fd, off_t size, struct strbuf *out, struct error *err)
{
    off_t from = size > LIMIT_CHAT_HISTORY_SIZE ? size - LIMIT_CHAT_HISTORY_SIZE : 0;

    if (lseek(fd, from, SEEK_SET) < 0)
        return error_set(err, STATUS_IO, "lseek: %s", strerror(errno));
    /* Another chat may append meanwhile. */
    enum status st = cli_read_all(fd, (size_t)2 * LIMIT_CHAT_HISTORY_SIZE, out, err);
    if (st != STATUS_OK || from == 0 || out->len == 0) return st;
    const char *newline = memchr(out->data, '\n', out->len);
    size_t skip = newline ? (size_t)(newline + 1 - out->data) : out->len;
    memmove(out->data, out->data + skip, out->len - skip);
    out->len -= skip;
    return st;
}

/* Lines that are none of ours are passed over. */
static void give_lines(struct str text, void (*on_line)(void *arg, const char *line), void *arg)
{
    struct strbuf line;
    struct error ignored;

    strbuf_init(&line, LIMIT_CHAT_LINE);
    for (size_t at = 0; at < text.len;) {
        const char *start = text.data + at;
        const char *newline = memchr(start, '\n', text.len - at);
        size_t len = newline ? (size_t)(newline - start) : text.len - at;
        strbuf_clear(&line);
        bool ok = json_string_decode(start, len, &line, &ignored) == STATUS_OK && !line.failed;
        if (ok && line.len > 0 && !memchr(line.data, '\0', line.len)) on_line(arg, line.data);
        at += len + 1;
    }
    strbuf_free(&line);
}

/* The newer half of `text` becomes the file. */
static enum status shorten(const char *path, struct str text, struct error *err)
{
    char name[PATH_MAX];
    size_t at = text.len / 2;

    while (at < text.len && text.data[at] != '\n') at++;
    at += at < text.len;
    int n = snprintf(name, sizeof(name), "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(name)) return error_set(err, STATUS_INVALID, "path too long");
    int fd = mkstemp(name);
    if (fd < 0) return error_set(err, STATUS_IO, "%s: %s", name, strerror(errno));
    ssize_t want = (ssize_t)(text.len - at);
    bool ok = write(fd, text.data + at, text.len - at) == want;
    ok = close(fd) == 0 && ok;
    if (ok && rename(name, path) == 0) return STATUS_OK;
    unlink(name);
    return error_set(err, STATUS_IO, "cannot write %s", name);
}

/* --- the file ---------------------------------------------------------------------------------- */

static int open_file(const char *path)
{
    return open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
}

enum status line_history_open_file(struct line_history *h, const char *path,
                                   void (*on_line)(void *arg, const char *line), void *arg,
                                   struct error *err)
{
    struct strbuf text;
    struct stat info;
    enum status st;

    h->fd = open_file(path);
    if (h->fd < 0 || fstat(h->fd, &info) != 0) {
        st = error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
        line_history_close(h);
        return st;
    }
    strbuf_init(&text, 0);
    if (!S_ISREG(info.st_mode))
        st = error_set(err, STATUS_INVALID, "%s is not a regular file", path);
    else if (fchmod(h->fd, 0600) != 0)
        st = error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    else
        st = read_end(h->fd, info.st_size, &text, err);
    struct str all = {text.data ? text.data : "", text.len};
    if (st == STATUS_OK) give_lines(all, on_line, arg);
    if (st == STATUS_OK && info.st_size > LIMIT_CHAT_HISTORY_SIZE) {
        st = shorten(path, all, err);
        line_history_close(h);
        if (st == STATUS_OK) h->fd = open_file(path);
    }
    if (st != STATUS_OK) line_history_close(h);
    strbuf_free(&text);
    return st;
}

enum status line_history_open(struct line_history *h, void (*on_line)(void *arg, const char *line),
                              void *arg, struct error *err)
{
    char path[PATH_MAX];

    h->fd = -1;
    enum status st = find_path(path, sizeof(path), err);
    return st == STATUS_OK ? line_history_open_file(h, path, on_line, arg, err) : st;
}

void line_history_add(struct line_history *h, const char *line)
{
    struct strbuf text;

    if (h->fd < 0) return;
    strbuf_init(&text, 0);
    strbuf_add_json(&text, line, strlen(line));
    strbuf_add_char(&text, '\n');
    /* A full disk is no reason to end a chat. */
    if (!text.failed && write(h->fd, text.data, text.len) != (ssize_t)text.len)
        line_history_close(h);
    strbuf_free(&text);
}

void line_history_close(struct line_history *h)
{
    if (h->fd >= 0) close(h->fd);
    h->fd = -1;
}
