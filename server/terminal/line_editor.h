#ifndef SERVER_TERMINAL_LINE_EDITOR_H
#define SERVER_TERMINAL_LINE_EDITOR_H

/* line_editor.h - a message typed at a terminal, by libedit: its keys (emacs's, or what ~/.editrc
 * says), history, window changes, job control.  Over libedit's: Ctrl-R searches the history, what is
 * pasted comes as it is, line breaks and tabs too (bracketed paste), Alt-Enter is a line break, and
 * a line that ends in a backslash goes on in the next one.
 *
 * There can be one; libedit keeps the terminal's settings in globals of its own. */

#include "server/terminal/line_history.h"
#include "server/terminal/signals.h"

#include <stdbool.h>

enum line_result {
    LINE_TEXT,
    LINE_END,         /* Ctrl-D, or the terminal is gone */
    LINE_INTERRUPTED, /* Ctrl-C: what was typed is dropped */
    LINE_TOO_LONG,    /* beyond LIMIT_CHAT_LINE: dropped */
    LINE_STOP,        /* a signal that ends the program: line_editor.end_signal */
};

struct line_editor;

/* What Tab adds behind `before`, the line up to the cursor, and the names to choose from, where
 * there are several; both are appended.  Returns how many names fit. */
typedef int line_complete_fn(struct str before, struct strbuf *insert, struct strbuf *list);

/* `styled`: the prompt is bold and pastes are bracketed.  `keep`: typed lines go to the history's
 * file; *why_not says why they do not, or is "". */
enum status line_editor_open(struct line_editor **out, struct signals *signals, bool styled,
                             bool keep, char why_not[256], struct error *err);
void line_editor_set_completion(struct line_editor *e, line_complete_fn *complete);
/* Gives the terminal back as it was. */
void line_editor_close(struct line_editor *e);
/* One message, without its last line break, into *text (which is cleared). */
enum line_result line_editor_read(struct line_editor *e, struct strbuf *text);
int line_editor_end_signal(const struct line_editor *e);
/* Into the history that the arrow keys reach, and into its file. */
void line_editor_remember(struct line_editor *e, const char *text);

/* While an answer is written: what is typed is not shown between its words, but waits for the next
 * prompt, also when Ctrl-C stops the answer.  Nests not. */
void line_editor_hush(struct line_editor *e, bool on);
/* The signals that came while an answer is written: true when it has to stop. */
bool line_editor_take_signals(struct line_editor *e);

#endif
