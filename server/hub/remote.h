#ifndef SERVER_HUB_REMOTE_H
#define SERVER_HUB_REMOTE_H

/* remote.h - which hub is asked, with which token, by which addresses, and what its refusals mean.
 *
 * Environment, as huggingface_hub has it: HF_ENDPOINT, HF_TOKEN (HUGGING_FACE_HUB_TOKEN), HF_TOKEN_PATH, HF_HOME/token,
 * HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_DOWNLOAD_TIMEOUT.  The token is for the endpoint's own origin (scheme, host, port) and is
 * never printed; addresses are printed without their query, which may be a signature.
 * For start-up: one thread.  Source: huggingface.co/docs/huggingface_hub, "Environment variables". */

#include "config/base/status.h"
#include "config/limits.h"
#include "server/hub/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_ORIGIN_MAX 300 /* "https://" and a host's name with its port */

struct hub_remote {
    char endpoint[LIMIT_HUB_URL]; /* no slash at its end */
    char origin[HUB_ORIGIN_MAX];  /* of the endpoint: "http://host:port" */
    char token[LIMIT_HUB_TOKEN];  /* "" = none */
    long timeout_s;               /* without a byte */
};

/* What a server answered, as far as it matters for what to do next. */
struct hub_answer {
    long status;            /* of HTTP */
    char code[64];          /* X-Error-Code */
    char message[200];      /* X-Error-Message, printable ASCII */
    char content_range[96]; /* "" = none */
    int64_t retry_after_s;  /* -1 = not said; at most LIMIT_HUB_WAIT_S */
};

enum status hub_remote_init(struct hub_remote *r, struct error *err);

/* malloc'ed; NULL when there is no memory. */
char *hub_remote_listing_url(const struct hub_remote *r, const struct hub_name *name);
char *hub_remote_file_url(const struct hub_remote *r, const char *repo, const char *sha,
                          const char *path);
/* The address has the endpoint's scheme, host and port: it may see the token. */
bool hub_remote_is_own(const struct hub_remote *r, const char *url);
/* A redirect to `to` may be followed: http or https, and never from https to http. */
bool hub_redirect_allowed(const char *from, const char *to);
/* The address without query and user, in printable ASCII. */
void hub_url_shown(const char *url, char *out, size_t out_size);

/* "120" or an HTTP date, as seconds from `now`; -1: neither. */
int64_t hub_retry_after(const char *text, int64_t now);
/* "bytes FIRST-LAST/TOTAL" that begins at `first` and has all the rest of `total` bytes. */
bool hub_content_range_fits(const char *text, int64_t first, int64_t total);
/* The same request may be answered otherwise in a while: 408, 429, 5xx. */
bool hub_worth_another_try(long status);
/* The words for an answer that is final.  `file`: its path in the repository, NULL for the listing. */
enum status hub_refusal(const struct hub_remote *r, const struct hub_answer *a,
                        const struct hub_name *name, const char *file, const char *url,
                        struct error *err);

#endif
