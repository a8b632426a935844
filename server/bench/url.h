#ifndef SERVER_BENCH_URL_H
#define SERVER_BENCH_URL_H

/* url.h - http://HOST[:PORT][/PREFIX] taken apart.  A trailing "/v1" is dropped: the paths that
 * are asked for have it.  Source: RFC 3986, section 3. */

#include "config/base/status.h"

struct bench_url {
    char host[256];      /* without the brackets of an IPv6 address */
    char authority[300]; /* for the Host header */
    char port[8];
    char prefix[256]; /* "" or "/llm" */
};

enum status bench_url_parse(const char *text, struct bench_url *out, struct error *err);

#endif
