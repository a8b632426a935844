#ifndef SERVER_HUB_SUM_H
#define SERVER_HUB_SUM_H

/* sum.h - the sum that names a file's blob: SHA-256 of its content where it lies in Git LFS, else what git calls the blob's object
 * id, SHA-1 of "blob SIZE\0" and the content. */

#include "server/hub/listing.h"

struct hub_sum {
    struct evp_md_ctx_st *context; /* libcrypto's */
};

/* Starts anew; false: no memory.  Release by hub_sum_free. */
bool hub_sum_begin(struct hub_sum *s, const struct hub_file *f);
void hub_sum_add(struct hub_sum *s, const void *data, size_t len);
/* In hexadecimal digits; false: libcrypto failed at some point. */
bool hub_sum_end(struct hub_sum *s, char out[HUB_ETAG_LEN + 1]);
void hub_sum_free(struct hub_sum *s);

#endif
