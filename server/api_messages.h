#ifndef SERVER_API_MESSAGES_H
#define SERVER_API_MESSAGES_H

/* api_messages.h - the messages of a chat, checked and put into the form that chat templates
 * expect (as vLLM hands them to transformers): content as one string or as a list of text parts,
 * the arguments of tool calls as objects, reasoning under both of its names.  Fields and roles are
 * tables; what is in none of them is refused by its path ("messages[2].content").
 * Threads: pure functions; any. */

#include "config/base/json.h"
#include "config/base/status.h"

#include <stdbool.h>

/* *out is a new array (cJSON_Delete), made of copies.  as_parts: content is a list of
 * {"type": "text", "text": ...} instead of a string. */
enum status messages_convert(const cJSON *messages, bool as_parts, cJSON **out, struct error *err);
/* The text of the last converted message; NULL when it has none. */
const char *messages_last_text(const cJSON *converted);

#endif
