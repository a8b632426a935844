#ifndef SERVER_WEB_H
#define SERVER_WEB_H

/* web.h - the web page: the files of server/web/, which the build puts into the binary
 * (embed_web.sh; a new file in the folder is served without a change here).
 *
 *   /            index.html
 *   /web/FILE    every other file
 *
 * They are public, as they are the same for everyone: what the page shows it fetches with the key
 * that its user types.  Not there in a render server, nor under --no-web. */

#include "server/app.h"

struct web_file {
    const char *name;
    const char *begin, *end;
};
extern const struct web_file web_files[];
extern const int web_files_n;

void web_serve(struct app *a, struct http_exchange *x);

#endif
