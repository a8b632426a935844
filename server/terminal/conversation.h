#ifndef SERVER_TERMINAL_CONVERSATION_H
#define SERVER_TERMINAL_CONVERSATION_H

/* conversation.h - the messages of a chat: at most one of the system, then user and assistant.
 * Bounded by LIMIT_CHAT_MESSAGES and LIMIT_CHAT_CONVERSATION.  Texts are valid UTF-8 without NUL.
 * All zeros is an empty one. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <cjson/cJSON.h>

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_ROLES };

struct chat_message {
    enum chat_role role;
    char *text; /* owned, NUL-terminated */
    size_t len;
};

struct conversation {
    struct chat_message *items;
    int n, cap;
    size_t size; /* bytes of all texts */
};

/* Appends a copy.  INVALID for a text that no request can hold, TOO_LARGE when it does not fit. */
enum status conversation_add(struct conversation *c, enum chat_role role, struct str text,
                             struct error *err);
/* Messages without the system's. */
int conversation_n_said(const struct conversation *c);
/* Takes the last message away; there must be one. */
void conversation_pop(struct conversation *c);
/* The last message if it has this role, else NULL. */
const struct chat_message *conversation_last(const struct conversation *c, enum chat_role role);
/* The system's message, NULL when there is none.  An empty text takes it away. */
const struct chat_message *conversation_system(const struct conversation *c);
enum status conversation_set_system(struct conversation *c, struct str text, struct error *err);
/* Forgets all but the system's message. */
void conversation_reset(struct conversation *c);
void conversation_free(struct conversation *c);

/* Appends the `messages` array of a chat request. */
void conversation_add_json(const struct conversation *c, struct strbuf *out);
/* Such an array; what *out held is freed on success.  INVALID names the message at fault. */
enum status conversation_read_json(const cJSON *messages, struct conversation *out,
                                   struct error *err);

#endif
