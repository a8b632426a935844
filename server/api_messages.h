#ifndef SERVER_API_MESSAGES_H
#define SERVER_API_MESSAGES_H

/* api_messages.h - the messages of a chat, checked and put into the form that chat templates
 * expect: as transformers' apply_chat_template hands them over (the client's members in the
 * client's order, those that are null left out, reasoning under the names that templates read),
 * with the arguments of tool calls as objects although the API carries them as JSON text.  Fields
 * and roles are tables; what is in none of them is refused by its path ("messages[2].content").
 * Threads: pure functions; any. */

#include "config/base/json.h"
#include "config/base/status.h"

#include <stdbool.h>

/* How content reaches the template.  Parts are {"type": "text", "text": ...}. */
enum content_form {
    CONTENT_STRING,    /* a string; parts are joined by newlines */
    CONTENT_ANY,       /* as the client gave it: a string or parts */
    CONTENT_ONLY_PARTS /* parts; a string becomes one of them */
};

/* *out is a new array (cJSON_Delete).  It borrows texts from `messages`, which must stay. */
enum status messages_convert(const cJSON *messages, enum content_form form, cJSON **out,
                             struct error *err);
/* Appends `mark` to what continue_final_message continues: the content of the last converted
 * message, or the last text among its parts.  *text is that text without the mark; it lives as
 * long as `converted`.  INVALID when there is none. */
enum status messages_mark_final(cJSON *converted, const char *mark, struct str *text,
                                struct error *err);

#endif
