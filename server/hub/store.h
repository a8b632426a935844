#ifndef SERVER_HUB_STORE_H
#define SERVER_HUB_STORE_H

/* store.h - one model in the Hugging Face cache, written so that a reader never meets half a file:
 *
 *   ROOT/.locks/models--ORG--NAME/ETAG.lock          held while a file is loaded (flock)
 *   ROOT/models--ORG--NAME/blobs/ETAG.incomplete     what came so far
 *   ROOT/models--ORG--NAME/blobs/ETAG                whole, its sum checked, on the disk
 *   ROOT/models--ORG--NAME/snapshots/SHA/PATH        link to the blob; renamed into place
 *   ROOT/models--ORG--NAME/refs/REV                  SHA; last of all
 *
 * Directories are made when the first file is written.  One thread; other processes may write the same model.
 * Source: huggingface.co/docs/huggingface_hub, "Understand caching". */

#include "server/hub/cache.h"
#include "server/hub/listing.h"

#include <limits.h>

struct hub_store {
    char root[PATH_MAX], repo[PATH_MAX], locks[PATH_MAX], snapshot[PATH_MAX];
};

enum status hub_store_init(struct hub_store *s, const struct hub_name *name, const char *sha,
                           struct error *err);
/* The snapshot has the file, whole. */
bool hub_store_has_file(const struct hub_store *s, const struct hub_file *f);
bool hub_store_has_blob(const struct hub_store *s, const struct hub_file *f);
/* Bytes of ETAG.incomplete, 0 when there is none. */
int64_t hub_store_partial_size(const struct hub_store *s, const struct hub_file *f);

/* UNAVAILABLE, without words: another process has it.  Close *fd to give it back. */
enum status hub_store_lock(const struct hub_store *s, const struct hub_file *f, int *fd,
                           struct error *err);
enum status hub_store_open_partial(const struct hub_store *s, const struct hub_file *f, int *fd,
                                   struct error *err);
void hub_store_drop_partial(const struct hub_store *s, const struct hub_file *f);
/* The partial file, which is whole, becomes the blob. */
enum status hub_store_publish(const struct hub_store *s, const struct hub_file *f, int fd,
                              struct error *err);
enum status hub_store_link(const struct hub_store *s, const struct hub_file *f, struct error *err);
/* Nothing to do for a revision that is a commit, or when it is there already. */
enum status hub_store_set_ref(const struct hub_store *s, const char *rev, const char *sha,
                              struct error *err);
/* Room for `size` more bytes and LIMIT_HUB_RESERVE. */
enum status hub_store_check_room(const struct hub_store *s, int64_t size, struct error *err);

/* "293.0 kB" */
void hub_size_shown(int64_t size, char out[24]);

#endif
