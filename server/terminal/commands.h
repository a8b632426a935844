#ifndef SERVER_TERMINAL_COMMANDS_H
#define SERVER_TERMINAL_COMMANDS_H

/* commands.h - what a person may type besides messages: /system, /params, /save, ... from one
 * table.  A line that begins with a slash is a command; one that begins with a blank never is. */

#include "server/terminal/session.h"

/* A line taken apart. */
struct command_line {
    struct str name; /* without slash and without ! */
    bool force;      /* "/save! FILE" */
    struct str rest; /* what is behind, without the blanks around it */
};

/* False: it is a message. */
bool command_parse(struct str line, struct command_line *out);
/* Row of the table, -1: unknown; *nearest is then a name that may have been meant, or NULL. */
int command_find(struct str name, const char **nearest);

/* What Tab does behind `before`, the line up to the cursor: appends to *insert what all names that
 * fit have in common beyond it, and to *list these names, in one line.  Returns how many fit: of the
 * commands, or behind /params of the parameters; 0 elsewhere. */
int command_complete(struct str before, struct strbuf *insert, struct strbuf *list);
/* Does it, and says what came of it.  True: the chat is over. */
bool command_run(struct chat_session *s, const struct command_line *line);

#endif
