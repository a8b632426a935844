#ifndef SERVER_TERMINAL_SESSION_H
#define SERVER_TERMINAL_SESSION_H

/* session.h - one conversation with one server: turns, and what came of them.  Who types, or that
 * nobody does, is not known here. */

#include "server/terminal/args.h"
#include "server/terminal/conversation.h"
#include "server/terminal/display.h"
#include "server/terminal/server_child.h"

struct chat_session {
    const struct chat_args *args;
    struct server_child child; /* pid 0: none, or it has ended */
    struct http_client *client;
    struct http_watch watch; /* fd -1: nobody can stop an answer */
    struct strbuf model;     /* its name, as the server has it */
    struct http_model info;  /* what the server says of it */
    struct conversation talk;
    struct sampling_params params; /* taken from args */
    struct display display;
    struct answer answer;
    char *unanswered; /* the message of a turn that failed, for /retry; NULL = none */
};

/* What needs no server: --load, --system and the parameters, which are moved out of `args`.  *s
 * stays where it is; call chat_session_close in any case. */
enum status chat_session_init(struct chat_session *s, struct chat_args *args, bool interactive,
                              struct error *err);
/* Starts the server unless there is one, and asks it for its model. */
enum status chat_session_connect(struct chat_session *s, struct error *err);
void chat_session_close(struct chat_session *s);

/* One turn: asks, shows the answer as it comes, keeps both.  A turn that fails leaves the
 * conversation as it was; so does one that was stopped before the first word (CANCELLED).  Errors
 * are not shown here: chat_session_show_error does, with what helps. */
enum status chat_session_turn(struct chat_session *s, struct str text, struct error *err);
/* Asks the last message again; the new answer takes the old one's place. */
enum status chat_session_retry(struct chat_session *s, struct error *err);
/* Takes the last message and its answer back; false: there is none. */
bool chat_session_undo(struct chat_session *s);
/* Goes on with a saved conversation and its parameters (save.h). */
enum status chat_session_load(struct chat_session *s, const char *path, struct error *err);
void chat_session_show_error(struct chat_session *s, const struct error *err);

#endif
