/* A hub's listing, then, after a NUL byte, the index of the shards: what is chosen has paths that stay below the snapshot, sums that
 * name a blob, and sizes that are some. */

#include "config/limits.h"
#include "server/hub/listing.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t len = cut ? (size_t)(cut - data) : size;
    struct hub_listing listing;
    struct hub_files files = {.items = NULL};
    struct error err = {0};
    bool sharded = false;

    enum status st = hub_listing_parse((const char *)data, len, &listing, &err);
    if (st == STATUS_OK) st = hub_listing_choose(&listing, &files, &sharded, &err);
    if (st == STATUS_OK && sharded && cut)
        st = hub_listing_add_shards(&listing, (const char *)cut + 1, size - len - 1, &files, &err);
    require(st == STATUS_OK || (err.message[0] != '\0' && err.code == st));
    require(files.n <= LIMIT_HUB_FILES);
    for (size_t i = 0; i < files.n; i++) {
        const struct hub_file *f = &files.items[i];
        require(f->path[0] != '/' && strncmp(f->path, "../", 3) != 0 && !strstr(f->path, "/../"));
        require(strlen(f->path) <= LIMIT_HUB_PATH && !strchr(f->path, '\\'));
        require(strlen(f->etag) == HUB_ETAG_LEN || strlen(f->etag) == HUB_COMMIT_LEN);
        require(strspn(f->etag, "0123456789abcdef") == strlen(f->etag));
        require(f->size >= 0 && f->size <= INT64_C(1) << 50);
    }
    if (st == STATUS_OK) require(files.n > 0 && hub_is_commit(listing.sha));
    hub_files_free(&files);
    hub_listing_free(&listing);
    return 0;
}
