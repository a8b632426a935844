#ifndef SERVER_TERMINAL_LINE_HISTORY_H
#define SERVER_TERMINAL_LINE_HISTORY_H

/* line_history.h - what was typed, kept in a file from one chat to the next: a JSON string on each
 * line, so that a message of several lines is one.  Each is appended when it is entered, by one
 * write: chats at the same time keep both theirs, and a killed one has lost nothing.  Readable by
 * its owner alone.  When the file is larger than LIMIT_CHAT_HISTORY_SIZE its older half goes. */

#include "config/base/status.h"
#include "config/base/str.h"

struct line_history {
    int fd; /* -1: nothing is kept */
};

/* $XDG_STATE_HOME/inferd/chat_history, or below ~/.local/state; the folders are made.  Calls
 * `on_line` for each line of it, the oldest first.  On failure nothing is kept, and that is all. */
enum status line_history_open(struct line_history *h, void (*on_line)(void *arg, const char *line),
                              void *arg, struct error *err);
/* The same with a path of its own. */
enum status line_history_open_file(struct line_history *h, const char *path,
                                   void (*on_line)(void *arg, const char *line), void *arg,
                                   struct error *err);
void line_history_add(struct line_history *h, const char *line);
void line_history_close(struct line_history *h);

#endif
