#ifndef SERVER_TERMINAL_SAVE_H
#define SERVER_TERMINAL_SAVE_H

/* save.h - a conversation as a file: the JSON object of a chat request, `model`, `messages` and the
 * parameters that are set, so that it can be posted again as it is. */

#include "server/terminal/conversation.h"
#include "server/terminal/sampling_params.h"

/* Written beside `path`, readable by its owner alone, and moved there when it is whole.  A file that
 * is there already is replaced only by `force`. */
enum status save_write(const char *path, bool force, struct str model,
                       const struct conversation *talk, const struct sampling_params *params,
                       struct error *err);
/* Replaces both, or neither when anything in the file is not what save_write makes or cannot be
 * kept; fields that say how an answer travels (stream, ...) and the model are passed over. */
enum status save_read(const char *path, struct conversation *talk, struct sampling_params *params,
                      struct error *err);

#endif
