#ifndef SERVER_MODEL_DIR_H
#define SERVER_MODEL_DIR_H

/* model_dir.h - from what a user says to the directory of a model:
 *
 *   a path            itself, where something is; whoever reads it says what is wrong with that
 *   ORG/NAME[@REV]    where no such file is: its snapshot in the Hugging Face cache
 *
 *   nothing           the model that comes with inferd (demo_model.h)
 *
 * Nothing is downloaded here: `inferd pull` does that.  For start-up, one thread. */

#include "config/options.h"
#include "server/hub/cache.h"

/* `name->repo` is "" for a path.  NOT_FOUND: neither a path nor a name that the cache has; the message
 * says what was looked for, where, and which command downloads it, or what may have been meant. */
enum status model_dir_find(const char *said, char dir[PATH_MAX], struct hub_name *name,
                           struct error *err);
/* Config and weights are in the snapshot of `name`; NOT_FOUND names the first file that lacks, and the command that helps. */
enum status model_dir_check(const char *dir, const struct hub_name *name, struct error *err);
/* Finds the model and the tokenizer of the options and puts the directories in their place; without
 * --served-model-name, a model of the hub is called ORG/NAME.  `weights`: they will be read, so a
 * snapshot that lacks some of them is refused, with the command that completes it. */
enum status model_dir_resolve(struct options *o, bool weights, struct error *err);

#endif
