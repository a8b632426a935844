#ifndef SERVER_HUB_CACHE_H
#define SERVER_HUB_CACHE_H

/* cache.h - names of models on a hub, and where the Hugging Face cache keeps them.
 *
 *   ROOT/models--ORG--NAME/refs/REV            the commit that REV was when it was loaded
 *   ROOT/models--ORG--NAME/snapshots/COMMIT/   the files, links into blobs/
 *
 * The layout and the variables are huggingface_hub's, so that both find what the other loaded.
 * Everything here is for start-up: one thread, paths of at most PATH_MAX bytes.
 * Source: huggingface.co/docs/huggingface_hub, "Understand caching", "Environment variables". */

#include "config/base/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    HUB_PART_MAX = 96,   /* of ORG and of NAME: the hub's own bound for a whole name */
    HUB_REV_MAX = 200,   /* a git reference of the length of a path */
    HUB_COMMIT_LEN = 40, /* SHA-1 in hexadecimal digits */
};

struct hub_name {
    char repo[2 * HUB_PART_MAX + 2]; /* "ORG/NAME" */
    char rev[HUB_REV_MAX + 1];       /* "main" when none was given */
};

/* ORG/NAME[@REV]; false when the text is none. */
bool hub_name_parse(const char *text, struct hub_name *out);
/* What a browser shows for a model: http(s)://huggingface.co/ORG/NAME, with or without the scheme,
 * /tree/REV or a query; hf.co and the host of $HF_ENDPOINT too. */
bool hub_name_from_url(const char *text, struct hub_name *out);
/* As it was said: ORG/NAME, and @REV unless that is main. */
void hub_name_print(const struct hub_name *name, char out[sizeof(struct hub_name) + 2]);
/* 40 hexadecimal digits in lower case. */
bool hub_is_commit(const char *text);

/* The value of an environment variable; NULL when it is not set, or empty. */
const char *hub_variable(const char *name);
/* It says yes: 1, on, yes, true. */
bool hub_says_yes(const char *name);
struct hub_place {
    const char *variable, *below; /* "HF_HOME", "/hub" */
};
/* The first place of the list whose variable is set, "~" at its beginning being HOME; NOT_FOUND, without words, when none is. */
enum status hub_place_find(const struct hub_place *places, size_t n, char out[PATH_MAX],
                           struct error *err);

/* $HF_HUB_CACHE, else its older name $HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else
 * ~/.cache/huggingface/hub.  NOT_FOUND when not even HOME is set. */
enum status hub_cache_root(char out[PATH_MAX], struct error *err);
/* The directory of one model in it, whether it is there or not. */
enum status hub_cache_repo(const struct hub_name *name, char out[PATH_MAX], struct error *err);
/* The snapshot that `name` means.  NOT_FOUND says what was looked for, which revisions are there, and
 * which command helps. */
enum status hub_cache_find(const struct hub_name *name, char out[PATH_MAX], struct error *err);
/* The command that helps where something lacks, "`what`: inferd pull ORG/NAME"; with HF_HUB_OFFLINE,
 * that this has to go first. */
void hub_advice(const struct hub_name *name, const char *what, char *out, size_t out_size);
/* The one model of the cache whose NAME is that; false: there is none, or several. */
bool hub_cache_guess(const char *name, struct hub_name *out);

#endif
