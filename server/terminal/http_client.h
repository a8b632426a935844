#ifndef SERVER_TERMINAL_HTTP_CLIENT_H
#define SERVER_TERMINAL_HTTP_CLIENT_H

/* http_client.h - the requests of `inferd chat`, by libcurl: connections are kept from one to the
 * next.  One thread.  While one waits, another descriptor can be watched, so that the person at the
 * terminal is heard.
 *
 * Ten seconds to connect, no limit for an answer: a person can end it.  Redirects are not followed,
 * since they would carry the key elsewhere; certificates are checked. */

#include "server/terminal/answer.h"
#include "server/terminal/sampling_params.h"

#include <stdbool.h>

struct http_client;

/* Asked whenever `fd` can be read; true ends the request. */
struct http_watch {
    int fd; /* -1: none */
    bool (*should_stop)(void *arg);
    void *arg;
};

/* Whether http_client_open would take it: INVALID says what is wrong. */
enum status http_client_check_url(const char *url, struct error *err);
/* `url`: http://HOST[:PORT][/PREFIX], with or without /v1, or https; http:// may be left out where
 * the host is this machine (elsewhere a key could go in the clear).  `api_key` may be NULL.
 * `direct`: no proxy of the environment (http_proxy, all_proxy) is used. */
enum status http_client_open(struct http_client **out, const char *url, const char *api_key,
                             bool direct, struct error *err);
void http_client_close(struct http_client *c);
/* As it is asked: without /v1 and without a slash at the end. */
const char *http_client_url(const struct http_client *c);

/* What /v1/models says of a model beyond its name: vLLM's and inferd's additions. */
struct http_model {
    int64_t max_model_len; /* tokens of its context; 0 = not said */
    struct sampling_params
        defaults; /* what a request gets that does not say; owned by the caller */
};
/* The id of the first of /v1/models, appended, and what is said of it. */
enum status http_client_first_model(struct http_client *c, const struct http_watch *watch,
                                    struct strbuf *id, struct http_model *info, struct error *err);
/* Posts a chat request; its events go to `a`, which the caller has reset.  CANCELLED: should_stop
 * said so; the connection is closed, and with it the request on the server's side.  Another error's
 * message is for people, its code says what kind it is (CONTEXT_LENGTH, UNAUTHENTICATED,
 * MODEL_NOT_FOUND, OVERLOADED, IO: the server cannot be reached or has left, ...). */
enum status http_client_ask(struct http_client *c, const struct http_watch *watch, struct str body,
                            struct answer *a, struct error *err);

#endif
