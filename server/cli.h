#ifndef SERVER_CLI_H
#define SERVER_CLI_H

/* cli.h - what the commands that work on text share: standard input with a cap, documents or lines
 * of it, standard output in large pieces, and messages for people.
 *
 * Exit status of these commands: 0 done, 1 failed, 2 wrong usage. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdio.h>

/* "inferd COMMAND: message" on standard error; control characters are shown as \xNN, for a message
 * may quote a model's files. */
void cli_print_error(const char *command, const struct error *err);

/* How this program was called, for messages that give a command to run: the path where there was
 * one, else "inferd". */
const char *cli_program(void);

/* All that is left of `fd`, appended; TOO_LARGE beyond max_size. */
enum status cli_read_all(int fd, size_t max_size, struct strbuf *out, struct error *err);

/* Lines of a descriptor.  Before each read, which may wait for the other side, `before_read` is
 * called, so that what was asked so far can be answered first. */
struct cli_lines {
    int fd;
    size_t max_line_size;
    enum status (*before_read)(void *arg, struct error *err); /* or NULL */
    void *arg;
    struct strbuf buf; /* [at, len) is not taken yet */
    size_t at;
    uint64_t n_taken;
    bool ended;
};
void cli_lines_init(struct cli_lines *l, int fd, size_t max_line_size);
void cli_lines_free(struct cli_lines *l);
/* The next line without its newline, valid until the next call; *end when there is none.  The last
 * line needs no newline. */
enum status cli_lines_next(struct cli_lines *l, struct str *line, bool *end, struct error *err);

/* Writes all of it to standard output.  IO when that fails. */
enum status cli_write(const char *data, size_t len, struct error *err);
/* The same, and empties the buffer; NO_MEMORY when it had failed. */
enum status cli_write_buf(struct strbuf *b, struct error *err);

#endif
