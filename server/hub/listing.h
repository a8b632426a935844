#ifndef SERVER_HUB_LISTING_H
#define SERVER_HUB_LISTING_H

/* listing.h - what a hub says that a model consists of, and which of that is needed to serve it.
 *
 * Everything in a listing comes from a socket: names may be paths to elsewhere, sums may be none, sizes may be anything.  What is
 * chosen has been checked; the rest is not looked at.  Pure, apart from memory.
 * Source: GET /api/models/ORG/NAME/revision/REV?blobs=true of huggingface.co. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "server/hub/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_ETAG_LEN 64 /* SHA-256 in hexadecimal digits; SHA-1 has 40 */

struct hub_file {
    char *path; /* in the repository: relative, no "." or ".." in it */
    char etag[HUB_ETAG_LEN +
              1]; /* the blob's name: SHA-256 of the content (LFS), else git's SHA-1 */
    int64_t size; /* bytes */
};

struct hub_files {
    struct hub_file *items;
    size_t n;
};

struct hub_listing {
    char sha[HUB_COMMIT_LEN + 1];
    cJSON *root;
    const cJSON *siblings;
};

/* Release by hub_listing_free, also after an error. */
enum status hub_listing_parse(const char *text, size_t len, struct hub_listing *out,
                              struct error *err);
void hub_listing_free(struct hub_listing *l);
/* Configuration, tokenizer, templates, and then either the weights or the index of their shards: it is the last item then and
 * *sharded is true.  UNSUPPORTED, naming what there is instead, for a model without safetensors. */
enum status hub_listing_choose(const struct hub_listing *l, struct hub_files *out, bool *sharded,
                               struct error *err);
/* Adds the shards that the index names, each once. */
enum status hub_listing_add_shards(const struct hub_listing *l, const char *index, size_t len,
                                   struct hub_files *out, struct error *err);
void hub_files_free(struct hub_files *f);

/* Relative, of bounded length, without empty, "." and ".." parts, backslashes and control characters. */
bool hub_path_is_safe(const char *path);

#endif
