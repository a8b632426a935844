#ifndef SERVER_TERMINAL_DISPLAY_H
#define SERVER_TERMINAL_DISPLAY_H

/* display.h - what a person or a pipe sees.  Answers go to standard output: on a terminal made
 * harmless (sanitizer.h) and broken between words (wrapper.h), into a file or a pipe byte by byte.
 * Notes - hints, numbers, what a command says - go to standard output when that is a terminal and
 * else to standard error, so that they never get into a file of answers. */

#include "server/terminal/sanitizer.h"
#include "server/terminal/wrapper.h"

#include "config/base/status.h"

struct display {
    bool terminal;    /* standard output is one */
    bool interactive; /* a person types */
    bool styled;      /* dim and bold: on a terminal, unless NO_COLOR is set or it is dumb */
    int note_fd;
    bool reader_left; /* nobody reads standard output any more */
    /* private */
    struct sanitizer clean;
    struct wrapper wrap;
    bool can_wrap; /* the terminal can move its cursor */
    struct strbuf out, plain;
    bool dim;  /* reasoning is shown */
    bool some; /* of the answer at hand something was written */
    char last; /* its last byte */
};

/* Looks at descriptors and environment.  NO_COLOR: no-color.org. */
void display_init(struct display *d, bool interactive);
void display_free(struct display *d);

/* A piece of an answer, written at once.  Reasoning is shown dim on a terminal, and nowhere else.
 * IO when standard output fails; reader_left tells a closed pipe from that. */
enum status display_answer(struct display *d, struct str text, bool reasoning, struct error *err);
/* The answer is over: it ends with a newline. */
enum status display_answer_end(struct display *d, struct error *err);

/* Lines for a person, made harmless; a newline is added where there is none at the end. */
void display_text(struct display *d, const char *text);
/* The same, dim. */
void display_note(struct display *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An error: "inferd chat: message" on standard error, or a note for a person. */
void display_error(struct display *d, const struct error *err, const char *hint);

#endif
