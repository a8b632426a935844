#include "server/terminal/http_client.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/json.h"
#include "config/limits.h"
#include "server/terminal/environment.h"
#include "server/url.h"
#include "server/version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_S = 10, POLL_MS = 60000, URL_MAX_LEN = 2000 };

struct http_client {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    char why[CURL_ERROR_SIZE];
    char *url;
    bool has_key;
    struct answer *answer; /* of the request at hand; NULL: all goes to `body` */
    struct strbuf body;    /* what is no stream */
};

const char *http_client_url(const struct http_client *c)
{
    return c->url;
}

/* --- the address ------------------------------------------------------------------------------ */

static enum status bad_url(const char *url, const char *why, struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "--url must be like http://127.0.0.1:8000 or https://example.org/v1, not "
                     "\"%.200s\"%s%s",
                     url, *why ? ": " : "", why);
}

/* The host of "host:port/path" is this machine. */
static bool is_local(const char *text)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        size_t len = strlen(hosts[i]);
        if (strncasecmp(text, hosts[i], len) == 0 && strchr(":/", text[len])) return true;
    }
    return false;
}

/* "/llm/v1/" becomes "/llm". */
static void trim_path(char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') n--;
    if (n >= 3 && memcmp(path + n - 3, "/v1", 3) == 0) n -= 3;
    while (n > 0 && path[n - 1] == '/') n--;
    path[n] = '\0';
}

static enum status normalize(CURLU *u, const char *url, char **out, struct error *err)
{
    char *scheme = NULL, *path = NULL, *whole = NULL;
    enum status st = STATUS_OK;
    CURLUcode e = curl_url_set(u, CURLUPART_URL, url, 0);

    if (e != CURLUE_OK) return bad_url(url, curl_url_strerror(e), err);
    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    curl_url_get(u, CURLUPART_PATH, &path, 0);
    bool http = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (!http || !path)
        st = bad_url(url, "", err);
    else if (url_has_part(u, CURLUPART_USER) || url_has_part(u, CURLUPART_PASSWORD))
        st = bad_url("...", "a key goes into INFERD_API_KEY or --api-key-file", err);
    else if (url_has_part(u, CURLUPART_QUERY) || url_has_part(u, CURLUPART_FRAGMENT))
        st = bad_url(url, "it has a query", err);
    if (st == STATUS_OK) {
        trim_path(path);
        curl_url_set(u, CURLUPART_PATH, path, 0);
        if (curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK) *out = strdup(whole);
        if (*out) trim_path(*out);
        if (!*out) st = error_set(err, STATUS_NO_MEMORY, "no memory for the address");
    }
    curl_free(scheme);
    curl_free(path);
    curl_free(whole);
    return st;
}

static enum status set_url(struct http_client *c, const char *url, struct error *err)
{
    if (strlen(url) > URL_MAX_LEN) return bad_url(url, "it is too long", err);
    for (const char *p = url; *p; p++)
        if (*p <= 0x20 || *p == 0x7f) return bad_url("...", "it has a control character", err);
    char with_scheme[URL_MAX_LEN + 16];
    if (!strstr(url, "://") && !is_local(url))
        return bad_url(url, "write http:// or https:// in front", err);
    snprintf(with_scheme, sizeof(with_scheme), "%s%s", strstr(url, "://") ? "" : "http://", url);
    CURLU *u = curl_url();
    if (!u) return error_set(err, STATUS_NO_MEMORY, "no memory for the address");
    enum status st = normalize(u, with_scheme, &c->url, err);
    curl_url_cleanup(u);
    return st;
}

enum status http_client_check_url(const char *url, struct error *err)
{
    struct http_client c = {0};
    enum status st = set_url(&c, url, err);
    free(c.url);
    return st;
}

/* --- open and close ---------------------------------------------------------------------------- */

static bool add_header(struct http_client *c, const char *text)
{
    struct curl_slist *more = curl_slist_append(c->headers, text);
    if (more) c->headers = more;
    return more != NULL;
}

static enum status set_headers(struct http_client *c, const char *api_key, struct error *err)
{
    char line[600];
    /* "Expect:" none: a large body would wait a second for servers that do not know it. */
    bool ok = add_header(c, "Content-Type: application/json") &&
              add_header(c, "Accept: text/event-stream, application/json") &&
              add_header(c, "Expect:");
    if (api_key) {
        snprintf(line, sizeof(line), "Authorization: Bearer %s", api_key);
        ok = ok && strlen(line) < sizeof(line) - 1 && add_header(c, line);
        explicit_bzero(line, sizeof(line));
    }
    return ok ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for the headers");
}

/* A stream is an answer; anything else is kept, up to its limit. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct http_client *c = arg;
    long status = 0;
    char *type = NULL;

    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
    bool stream = type && strncasecmp(type, "text/event-stream", 17) == 0;
    if (c->answer && status == 200 && stream)
        return answer_feed(c->answer, data, size * n, clock_now_ns()) ? size * n : 0;
    strbuf_add(&c->body, data, size * n);
    return c->body.failed ? 0 : size * n;
}

static void set_options(struct http_client *c, bool direct)
{
    static char agent[64];
    const char *ca = environment_get("SSL_CERT_FILE");

    snprintf(agent, sizeof(agent), "inferd/%s", inferd_version());
    curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->easy, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->why);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    if (direct) curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "*");
    if (ca) curl_easy_setopt(c->easy, CURLOPT_CAINFO, ca);
}

enum status http_client_open(struct http_client **out, const char *url, const char *api_key,
                             bool direct, struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, STATUS_INTERNAL, "libcurl does not start");
    struct http_client *c = calloc(1, sizeof(*c));
    if (!c) {
        curl_global_cleanup();
        return error_set(err, STATUS_NO_MEMORY, "no memory for the connection");
    }
    enum status st = set_url(c, url, err);
    c->has_key = api_key != NULL;
    if (st == STATUS_OK) st = set_headers(c, api_key, err);
    if (st == STATUS_OK) {
        c->multi = curl_multi_init();
        c->easy = curl_easy_init();
        if (!c->multi || !c->easy)
            st = error_set(err, STATUS_NO_MEMORY, "no memory for the connection");
    }
    if (st != STATUS_OK) {
        http_client_close(c);
        return st;
    }
    set_options(c, direct);
    *out = c;
    return STATUS_OK;
}

void http_client_close(struct http_client *c)
{
    if (!c) return;
    curl_easy_cleanup(c->easy);
    if (c->multi) curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    strbuf_free(&c->body);
    free(c->url);
    free(c);
    curl_global_cleanup();
}

/* --- one request ------------------------------------------------------------------------------- */

/* Works until the transfer is over (true, *result) or the watcher says stop (false). */
static bool transfer(struct http_client *c, const struct http_watch *w, CURLcode *result)
{
    int running = 1, left;
    CURLMsg *m;

    for (;;) {
        CURLMcode e = curl_multi_perform(c->multi, &running);
        while ((m = curl_multi_info_read(c->multi, &left))) {
            if (m->msg != CURLMSG_DONE) continue;
            *result = m->data.result;
            return true;
        }
        struct curl_waitfd wait = {.fd = w->fd, .events = CURL_WAIT_POLLIN};
        if (e == CURLM_OK) e = curl_multi_poll(c->multi, &wait, w->fd >= 0 ? 1 : 0, POLL_MS, NULL);
        if (e != CURLM_OK) {
            snprintf(c->why, sizeof(c->why), "%s", curl_multi_strerror(e));
            *result = CURLE_RECV_ERROR;
            return true;
        }
        bool heard = wait.revents & CURL_WAIT_POLLIN;
        if (heard && w->should_stop && w->should_stop(w->arg)) return false;
    }
}

/* What libcurl could not do. */
static enum status transfer_failed(const struct http_client *c, CURLcode result, struct error *err)
{
    const char *why = c->why[0] ? c->why : curl_easy_strerror(result);

    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, STATUS_IO, "cannot reach %.200s: %.200s", c->url, why);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return error_set(err, STATUS_IO, "the server ended the connection: %.200s", why);
    case CURLE_WRITE_ERROR:
        return error_set(err, STATUS_TOO_LARGE, "the server's answer is too long");
    default:
        return error_set(err, STATUS_IO, "%.200s: %.200s", c->url, why);
    }
}

static enum status status_of(long http, const char *code, const char *message)
{
    if (strcmp(code, "context_length_exceeded") == 0) return STATUS_CONTEXT_LENGTH;
    if (http == 400 && strstr(message, "context length")) return STATUS_CONTEXT_LENGTH; /* vLLM */
    if (http == 401 || http == 403) return STATUS_UNAUTHENTICATED;
    if (http == 404) return STATUS_MODEL_NOT_FOUND;
    if (http == 408) return STATUS_TIMEOUT;
    if (http == 413) return STATUS_TOO_LARGE;
    if (http == 429) return STATUS_OVERLOADED;
    return http >= 500 ? STATUS_UNAVAILABLE : STATUS_INVALID;
}

/* An answer that is no answer: the server's own words where it has any. */
static enum status refused(const struct http_client *c, long http, struct error *err)
{
    char message[384], code[64];
    struct str body = {c->body.data ? c->body.data : "", c->body.len};

    if (http == 401 && !c->has_key) /* a server's own words are about headers */
        return error_set(err, STATUS_UNAUTHENTICATED, "%.200s wants an API key", c->url);
    if (answer_read_refusal(body, message, sizeof(message), code, sizeof(code)))
        return error_set(err, status_of(http, code, message), "%s (HTTP %ld)", message, http);
    if (http >= 300 && http < 400)
        return error_set(err, STATUS_INVALID,
                         "%.200s answers with a redirect (HTTP %ld): give the address it leads to",
                         c->url, http);
    return error_set(err, status_of(http, "", ""),
                     "%.200s answers with HTTP %ld: is it an OpenAI-compatible server?", c->url,
                     http);
}

/* GET without `post`.  OK: the answer has HTTP status 200. */
static enum status request(struct http_client *c, const struct http_watch *watch, const char *path,
                           const struct str *post, struct error *err)
{
    static const struct http_watch nobody = {.fd = -1};
    char url[URL_MAX_LEN + 64];
    CURLcode result = CURLE_OK;
    long http = 0;

    snprintf(url, sizeof(url), "%s%s", c->url, path);
    c->why[0] = '\0';
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    if (post) {
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->len);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, post->data);
    } else {
        curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
    }
    if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
        return error_set(err, STATUS_INTERNAL, "libcurl does not take the request");
    bool over = transfer(c, watch ? watch : &nobody, &result);
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
    curl_multi_remove_handle(c->multi, c->easy);
    if (!over) return error_set(err, STATUS_CANCELLED, "stopped");
    if (result != CURLE_OK && !(http != 200 && c->body.len > 0))
        return transfer_failed(c, result, err);
    return http == 200 ? STATUS_OK : refused(c, http, err);
}

enum status http_client_first_model(struct http_client *c, const struct http_watch *watch,
                                    struct strbuf *id, struct http_model *info, struct error *err)
{
    static const struct json_limits limits = {.max_size = LIMIT_CHAT_MODELS, .max_depth = 32};
    cJSON *v = NULL;
    struct error ignored;

    c->answer = NULL;
    strbuf_free(&c->body);
    strbuf_init(&c->body, LIMIT_CHAT_MODELS);
    enum status st = request(c, watch, "/v1/models", NULL, err);
    if (st != STATUS_OK) return st;
    if (json_parse(c->body.data ? c->body.data : "", c->body.len, &limits, &v, &ignored) !=
        STATUS_OK)
        v = NULL;
    const cJSON *data = json_get(v, "data");
    const cJSON *model = cJSON_IsArray(data) ? data->child : NULL, *name = json_get(model, "id");
    if (!json_as_i64(json_get(model, "max_model_len"), 1, INT32_MAX, &info->max_model_len))
        info->max_model_len = 0;
    sampling_params_read_defaults(&info->defaults, json_get(model, "default_sampling_params"));
    if (name && cJSON_IsString(name) && name->valuestring[0])
        strbuf_add_str(id, name->valuestring);
    else
        st = error_set(err, STATUS_INVALID,
                       "%.200s/v1/models names no model: give one by --model NAME", c->url);
    cJSON_Delete(v);
    return st;
}

enum status http_client_ask(struct http_client *c, const struct http_watch *watch, struct str body,
                            struct answer *a, struct error *err)
{
    c->answer = a;
    strbuf_free(&c->body);
    strbuf_init(&c->body, LIMIT_CHAT_REFUSAL);
    enum status st = request(c, watch, "/v1/chat/completions", &body, err);
    c->answer = NULL;
    if (st == STATUS_CANCELLED) return st;
    /* What the stream itself said counts more than how the connection ended. */
    if (a->status != STATUS_OK || (a->done && st == STATUS_IO)) return answer_end(a, err);
    if (st != STATUS_OK) return st;
    if (c->body.len > 0)
        return error_set(err, STATUS_INVALID,
                         "%.200s was asked for a stream and sent something else: is it an "
                         "OpenAI-compatible server?",
                         c->url);
    return answer_end(a, err);
}
