#include "server/hub/request.h"

#include "config/base/clock.h"
#include "config/base/str.h"
#include "server/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REDIRECTS     5
#define REDIRECT_BODY_MAX (1u << 20)
#define BUFFER_SIZE       (256L << 10)

/* --- headers ---------------------------------------------------------------------------------- */

/* Printable ASCII of a header's value. */
static void keep_value(char *out, size_t out_size, const char *value, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < out_size; i++)
        out[n++] = value[i] >= ' ' && value[i] < 0x7f ? value[i] : '?';
    out[n] = '\0';
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct hub_request *r = arg;
    struct hub_answer *a = &r->answer;
    const size_t len = size * n;
    r->heard_us = clock_now_us();
    const char *colon = memchr(data, ':', len);
    char retry[64] = "";
    struct {
        const char *name;
        char *out;
        size_t out_size;
    } kept[] = {{"X-Error-Code", a->code, sizeof(a->code)},
                {"X-Error-Message", a->message, sizeof(a->message)},
                {"Content-Range", a->content_range, sizeof(a->content_range)},
                {"Retry-After", retry, sizeof(retry)}};

    if (len > 5 && memcmp(data, "HTTP/", 5) == 0) /* a status line, perhaps behind one of 1xx */
        *a = (struct hub_answer){.retry_after_s = -1};
    if (!colon) return len;
    size_t name_len = (size_t)(colon - data), end = len;
    while (end > 0 && strchr(" \t\r\n", data[end - 1])) end--;
    const char *value = colon + 1;
    while (value < data + end && (*value == ' ' || *value == '\t')) value++;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (strlen(kept[i].name) == name_len && strncasecmp(data, kept[i].name, name_len) == 0)
            keep_value(kept[i].out, kept[i].out_size, value,
                       value < data + end ? (size_t)(data + end - value) : 0);
    if (retry[0]) a->retry_after_s = hub_retry_after(retry, clock_unix_s());
    return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct hub_request *r = arg;
    r->heard_us = clock_now_us();
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->answer.status);
    if (r->answer.status >= 300 && r->answer.status < 400) { /* of a redirect: nobody reads it */
        r->passed_over += size * n;
        return r->passed_over <= REDIRECT_BODY_MAX ? size * n : 0;
    }
    return r->sink(r->arg, &r->answer, data, size * n) ? size * n : 0;
}

/* --- one hop ---------------------------------------------------------------------------------- */

static bool add_header(struct hub_request *r, const char *text)
{
    struct curl_slist *more = curl_slist_append(r->headers, text);
    if (more) r->headers = more;
    return more != NULL;
}

static bool set_headers(struct hub_request *r)
{
    char line[LIMIT_HUB_TOKEN + 32];
    snprintf(line, sizeof(line), "Authorization: Bearer %s", r->remote->token);
    bool own = r->remote->token[0] && hub_remote_is_own(r->remote, r->url);
    return !own || add_header(r, line);
}

static void drop_hop(struct hub_request *r)
{
    if (r->easy) {
        curl_multi_remove_handle(r->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    curl_slist_free_all(r->headers);
    r->easy = NULL;
    r->headers = NULL;
}

static enum status begin_hop(struct hub_request *r, struct error *err)
{
    char range[40], agent[64];
    drop_hop(r);
    r->answer = (struct hub_answer){.retry_after_s = -1};
    r->why[0] = '\0';
    r->passed_over = 0;
    r->heard_us = clock_now_us();
    r->easy = curl_easy_init();
    if (!r->easy || !set_headers(r)) return error_set(err, STATUS_NO_MEMORY, "no memory");
    CURL *e = r->easy;
    snprintf(agent, sizeof(agent), "inferd/%s", inferd_version());
    snprintf(range, sizeof(range), "%lld-", (long long)r->range_from);
    curl_easy_setopt(e, CURLOPT_URL, r->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, r->remote->timeout_s);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->why);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(e, CURLOPT_PRIVATE, r);
    if (r->range_from > 0) curl_easy_setopt(e, CURLOPT_RANGE, range);
    if (curl_multi_add_handle(r->multi, e) != CURLM_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a request");
    return STATUS_OK;
}

enum status hub_request_begin(struct hub_request *r, const char *url, int64_t range_from,
                              struct error *err)
{
    free(r->url);
    r->url = strdup(url);
    r->n_redirects = 0;
    r->range_from = range_from;
    return r->url ? begin_hop(r, err) : error_set(err, STATUS_NO_MEMORY, "no memory");
}

void hub_request_end(struct hub_request *r)
{
    drop_hop(r);
    free(r->url);
    r->url = NULL;
}

/* --- what came -------------------------------------------------------------------------------- */

static enum hub_outcome follow(struct hub_request *r, struct error *err)
{
    char *to = NULL, shown[160];
    curl_easy_getinfo(r->easy, CURLINFO_REDIRECT_URL, &to);
    hub_url_shown(r->url, shown, sizeof(shown));
    if (++r->n_redirects > MAX_REDIRECTS)
        error_set(err, STATUS_UNAVAILABLE, "%s: more than %d redirects", shown, MAX_REDIRECTS);
    else if (!to || !hub_redirect_allowed(r->url, to))
        error_set(err, STATUS_UNAVAILABLE, "%s: a redirect to what is no safe web address", shown);
    else if (r->own_origin_only && !hub_remote_is_own(r->remote, to))
        error_set(err, STATUS_UNAVAILABLE, "%s: a redirect to another host", shown);
    else {
        char *url = strdup(to);
        free(r->url);
        r->url = url;
        if (url && begin_hop(r, err) == STATUS_OK) return HUB_GOES_ON;
        if (!url) error_set(err, STATUS_NO_MEMORY, "no memory");
    }
    return HUB_REFUSED;
}

/* A wrong address, a certificate that nobody vouches for: the next try would end the same way. */
static bool is_final(const struct hub_request *r, CURLcode code)
{
    /* The first question goes to a host that nobody knows: a slip of the pen, or no network. */
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
        return r->own_origin_only;
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OUT_OF_MEMORY:
        return true;
    default:
        return false;
    }
}

/* Nothing was sent: the host has no address, or nobody answers there. */
static bool is_unreachable(const struct hub_request *r, CURLcode code)
{
    curl_off_t sent_us = 0;

    if (code != CURLE_OPERATION_TIMEDOUT)
        return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
               code == CURLE_COULDNT_CONNECT;
    return curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us) == CURLE_OK &&
           sent_us == 0;
}

/* "cannot reach huggingface.co: Could not resolve host: huggingface.co" */
static void name_host(struct hub_request *r)
{
    char shown[160], curl_says[CURL_ERROR_SIZE];

    hub_url_shown(r->url, shown, sizeof(shown));
    const char *at = strstr(shown, "://"), *host = at ? at + 3 : shown;
    snprintf(curl_says, sizeof(curl_says), "%.*s", CURL_ERROR_SIZE - 1, r->why);
    snprintf(r->why, sizeof(r->why), "cannot reach %.*s: %s", (int)strcspn(host, "/"), host,
             curl_says);
}

bool hub_request_stalled(const struct hub_request *r)
{
    return clock_now_us() - r->heard_us > (uint64_t)r->remote->timeout_s * 1000000;
}

enum hub_outcome hub_request_step(struct hub_request *r, CURLcode code, struct error *err)
{
    char shown[160];
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->answer.status);
    const long status = r->answer.status;
    if (code == CURLE_OK && status > 300 && status < 400 && status != 304) return follow(r, err);
    if (code == CURLE_OK) return HUB_ANSWERED;
    if (!r->why[0]) snprintf(r->why, sizeof(r->why), "%s", curl_easy_strerror(code));
    const bool endless = r->passed_over > REDIRECT_BODY_MAX;
    if (endless) snprintf(r->why, sizeof(r->why), "a redirect with a body that has no end");
    r->unreachable = !endless && is_unreachable(r, code);
    if (r->unreachable) name_host(r);
    if (!endless && !is_final(r, code)) return HUB_CUT;
    if (r->unreachable) {
        error_set(err, STATUS_UNAVAILABLE, "%s; " HUB_WAY_OUT, r->why);
        return HUB_REFUSED;
    }
    hub_url_shown(r->url, shown, sizeof(shown));
    error_set(err, STATUS_UNAVAILABLE, "%s: %s", shown, r->why);
    return HUB_REFUSED;
}
