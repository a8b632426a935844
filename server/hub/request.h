#ifndef SERVER_HUB_REQUEST_H
#define SERVER_HUB_REQUEST_H

/* request.h - one GET along its redirects, in a libcurl multi handle.
 *
 * Redirects are followed here and not by libcurl, so that the token goes to the endpoint's origin alone, and never from https to
 * http.  One thread. */

#include "server/hub/remote.h"

#include <curl/curl.h>

/* For whoever cannot reach a hub. */
#define HUB_WAY_OUT "is there a network? https_proxy or HF_ENDPOINT can name another way"

/* Takes a piece of the body of an answer; false ends the request, and the sink knows why. */
typedef bool hub_sink_fn(void *arg, const struct hub_answer *a, const void *data, size_t len);

struct hub_request {
    const struct hub_remote *remote;
    CURLM *multi;
    CURL *easy; /* of the hop at hand */
    struct curl_slist *headers;
    char *url;
    char why[CURL_ERROR_SIZE + 300];
    bool unreachable; /* of HUB_CUT: there was no connection; r->why names the host */
    int n_redirects;
    uint64_t heard_us;    /* of the last byte, or of the hop's begin */
    bool own_origin_only; /* redirects to other hosts are refused */
    int64_t range_from;
    size_t passed_over; /* bytes of a redirect's body */
    struct hub_answer answer;
    hub_sink_fn *sink;
    void *arg;
};

enum hub_outcome {
    HUB_GOES_ON,  /* a redirect is followed */
    HUB_ANSWERED, /* r->answer, the body has gone to the sink */
    HUB_CUT,      /* r->why: no connection, or it ended early; another try may do better */
    HUB_REFUSED,  /* *err: a redirect that is not followed, or what another try would not mend */
};

/* `range_from` > 0 asks for the rest from there.  The request is a member of something that outlives it; release by
 * hub_request_end. */
enum status hub_request_begin(struct hub_request *r, const char *url, int64_t range_from,
                              struct error *err);
/* No byte came for the remote's timeout: step it with CURLE_OPERATION_TIMEDOUT. */
bool hub_request_stalled(const struct hub_request *r);
/* After libcurl said that the easy handle is done. */
enum hub_outcome hub_request_step(struct hub_request *r, CURLcode code, struct error *err);
void hub_request_end(struct hub_request *r);

#endif
