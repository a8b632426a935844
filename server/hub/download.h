#ifndef SERVER_HUB_DOWNLOAD_H
#define SERVER_HUB_DOWNLOAD_H

/* download.h - files of one model, several at one time: locked, gone on from what is there, checked, published.
 *
 * A cut, a stall and an answer that is worth another try are followed by another one; LIMIT_HUB_TRIES of them without a new byte
 * end it.  A wrong sum starts the file anew once.  When one file fails all stop; what came stays for the next run.
 * One thread. */

#include "config/base/str.h"
#include "server/hub/progress.h"
#include "server/hub/remote.h"
#include "server/hub/store.h"

#include <signal.h>

struct hub_download {
    const struct hub_remote *remote;
    const struct hub_name *name;
    const struct hub_store *store;
    struct hub_progress *progress;
    const char *sha;
    int n_jobs;
    const volatile sig_atomic_t *stop; /* not 0: end with CANCELLED */
};

/* Those of the files that the snapshot lacks; afterwards it has them all. */
enum status hub_download_files(const struct hub_download *d, const struct hub_file *files, size_t n,
                               struct error *err);
/* A small answer into memory: the listing (`file` NULL), or a file of the model. */
enum status hub_download_text(const struct hub_download *d, const char *url, const char *file,
                              size_t max_size, struct strbuf *out, struct error *err);

#endif
