#include "server/routes.h"

#include "config/base/check.h"
#include "server/auth.h"
#include "server/live.h"
#include "server/version.h"
#include "server/web.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- errors ------------------------------------------------------------------------------------ */

void respond_error(struct http_exchange *x, const struct error *err)
{
    int status = status_http(err->code);
    const char *code = status_api_code(err->code);
    struct strbuf out;
    strbuf_init(&out, 0);
    strbuf_add_str(&out, "{\"error\":{\"message\":");
    strbuf_add_json(&out, err->message, strlen(err->message));
    strbuf_addf(&out, ",\"type\":\"%s\",\"param\":", status_api_type(err->code));
    if (err->param[0])
        strbuf_add_json(&out, err->param, strlen(err->param));
    else
        strbuf_add_str(&out, "null");
    if (code)
        strbuf_addf(&out, ",\"code\":\"%s\"}}", code);
    else
        strbuf_add_str(&out, ",\"code\":null}}");
    if (status == 429 || status == 503) http_add_header(x, "Retry-After", "1");
    if (status == 401) http_add_header(x, "WWW-Authenticate", "Bearer");
    http_respond(x, status, "application/json", out.data, out.len);
    strbuf_free(&out);
}

/* --- health, version, metrics ------------------------------------------------------------------- */

const char *app_not_ready(const struct app *a, const char **sentence)
{
    const char *reason = NULL, *words = "";
    if (a->failed) {
        reason = "engine_failed";
        words = "The engine has failed; the server must be started again.";
    } else if (a->draining) {
        reason = "draining";
        words = "The server is shutting down.";
    } else if (a->render_only ? !a->tokenizer : !a->engine) {
        reason = "loading";
        words = "The model is still loading; try again in a moment.";
    } else if (a->engine && engine_loop_stalled_s(a->engine) > a->opts->watchdog_timeout) {
        reason = "engine_hangs";
        words = "The engine has not finished its step in time.";
    }
    if (sentence) *sentence = words;
    return reason;
}

static void handle_alive(struct app *a, struct http_exchange *x)
{
    (void)a;
    static const char body[] = "{\"status\":\"live\"}";
    http_respond(x, 200, "application/json", body, sizeof(body) - 1);
}

static void handle_ready(struct app *a, struct http_exchange *x)
{
    static const char ready[] = "{\"status\":\"ready\"}";
    const char *sentence, *reason = app_not_ready(a, &sentence);
    if (!reason) {
        http_respond(x, 200, "application/json", ready, sizeof(ready) - 1);
        return;
    }
    struct strbuf out;
    strbuf_init(&out, 0);
    strbuf_addf(&out, "{\"status\":\"unavailable\",\"reason\":\"%s\",\"message\":\"%s\"}", reason,
                sentence);
    http_add_header(x, "Retry-After", "1");
    http_respond(x, 503, "application/json", out.data, out.len);
    strbuf_free(&out);
}

static void handle_version(struct app *a, struct http_exchange *x)
{
    (void)a;
    struct strbuf out;
    strbuf_init(&out, 0);
    strbuf_add_str(&out, "{\"version\":");
    strbuf_add_json(&out, inferd_version(), strlen(inferd_version()));
    strbuf_add_str(&out, ",\"revision\":");
    strbuf_add_json(&out, inferd_revision(), strlen(inferd_revision()));
    strbuf_add_char(&out, '}');
    http_respond(x, 200, "application/json", out.data, out.len);
    strbuf_free(&out);
}

static void handle_metrics(struct app *a, struct http_exchange *x)
{
    struct engine_loop_stats stats;
    struct strbuf out;
    strbuf_init(&out, 0);
    if (a->engine) engine_loop_get_stats(a->engine, &stats);
    metrics_write(a->metrics, a->engine ? &stats : NULL, &out);
    struct error err;
    if (out.failed) {
        error_set(&err, STATUS_NO_MEMORY, "No memory for the metrics.");
        respond_error(x, &err);
    } else {
        http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
    }
    strbuf_free(&out);
}

/* --- the table ------------------------------------------------------------------------------------ */

enum {
    ROUTE_PUBLIC = 1,   /* needs no API key; every other route does when one is configured */
    ROUTE_LOADED = 2,   /* needs tokenizer and templates; 503 while they load */
    ROUTE_NEW_WORK = 4, /* 503 once the server shuts down */
    ROUTE_GENERATE = 8, /* 503 unless ready; not there in a render server */
    ROUTE_METRICS = 16, /* not there under --disable-metrics */
    ROUTE_WEB = 32,     /* not there under --no-web, nor in a render server */
};

static const struct route {
    const char *method, *path; /* a path that ends in "*" stands for all that begin so */
    route_fn *handler;
    int flags;
} routes[] = {
    {"POST", "/v1/chat/completions", api_chat_completions, ROUTE_GENERATE},
    {"POST", "/v1/completions", api_completions, ROUTE_GENERATE},
    {"POST", "/v1/chat/completions/render", api_render_chat, ROUTE_LOADED | ROUTE_NEW_WORK},
    {"POST", "/v1/completions/render", api_render_completion, ROUTE_LOADED | ROUTE_NEW_WORK},
    {"GET", "/v1/models", api_models, ROUTE_LOADED},
    {"GET", "/v1/models/*", api_model, ROUTE_LOADED},
    {"POST", "/tokenize", api_tokenize, ROUTE_LOADED},
    {"POST", "/detokenize", api_detokenize, ROUTE_LOADED},
    {"GET", "/health", handle_ready, ROUTE_PUBLIC},
    {"GET", "/health/live", handle_alive, ROUTE_PUBLIC},
    {"GET", "/health/ready", handle_ready, ROUTE_PUBLIC},
    {"GET", "/ping", handle_ready, ROUTE_PUBLIC},
    {"POST", "/ping", handle_ready, ROUTE_PUBLIC},
    {"GET", "/version", handle_version, 0},
    {"GET", "/metrics", handle_metrics, ROUTE_LOADED | ROUTE_METRICS},
    {"GET", "/live", live_serve, ROUTE_NEW_WORK | ROUTE_WEB},
    {"GET", "/", web_serve, ROUTE_PUBLIC | ROUTE_WEB},
    {"GET", "/web/*", web_serve, ROUTE_PUBLIC | ROUTE_WEB},
};

static bool path_matches(const struct route *r, const struct app *a, const char *path)
{
    if ((r->flags & ROUTE_METRICS) && a->opts->disable_metrics) return false;
    if ((r->flags & ROUTE_WEB) && (!a->opts->web || a->render_only)) return false;
    size_t n = strlen(r->path);
    if (r->path[n - 1] == '*') return strncmp(path, r->path, n - 1) == 0 && path[n - 1] != '\0';
    return strcmp(path, r->path) == 0;
}

static bool method_matches(const struct route *r, const char *method)
{
    return strcmp(r->method, method) == 0 ||
           (strcmp(r->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* NULL when there is none; *known tells whether the path has a route of another method. */
static const struct route *find_route(const struct app *a, const char *method, const char *path,
                                      const struct route **known)
{
    *known = NULL;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!path_matches(&routes[i], a, path)) continue;
        *known = &routes[i];
        if (method_matches(&routes[i], method)) return &routes[i];
    }
    return NULL;
}

static void add_allow(const struct app *a, struct http_exchange *x, const char *header)
{
    char list[64] = "";
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!path_matches(&routes[i], a, http_path(x))) continue;
        bool get = strcmp(routes[i].method, "GET") == 0;
        strncat(list, get ? "GET, HEAD, " : "POST, ", sizeof(list) - strlen(list) - 1);
    }
    strncat(list, "OPTIONS", sizeof(list) - strlen(list) - 1);
    http_add_header(x, header, list);
}

/* --- browsers --------------------------------------------------------------------------------------- */

/* What Access-Control-Allow-Origin says to `origin`; NULL: it is not allowed. */
static const char *allowed_origin(const struct app *a, const char *origin)
{
    const struct option_list *allowed = &a->opts->allowed_origins;
    for (int i = 0; i < allowed->n; i++) {
        if (strcmp(allowed->items[i], "*") == 0) return "*";
        if (strcmp(allowed->items[i], origin) == 0) return origin;
    }
    return NULL;
}

static void add_cors_headers(const struct app *a, struct http_exchange *x)
{
    const char *origin = http_header(x, "Origin");
    if (a->opts->allowed_origins.n == 0 || !origin) return;
    http_add_header(x, "Vary", "Origin");
    const char *allowed = allowed_origin(a, origin);
    if (!allowed) return;
    http_add_header(x, "Access-Control-Allow-Origin", allowed);
    http_add_header(x, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
}

/* Without CORS a page of another site cannot read answers, but a browser sends what counts as a
 * form, and a server without keys would do the work.  Browsers say where a request comes from;
 * programs do not, and are let through. */
static enum status check_site(const struct app *a, struct http_exchange *x, struct error *err)
{
    const char *site = http_header(x, "Sec-Fetch-Site"), *origin = http_header(x, "Origin");
    if (!site || strcmp(http_method(x), "POST") != 0) return STATUS_OK;
    if (strcmp(site, "cross-site") != 0 && strcmp(site, "same-site") != 0) return STATUS_OK;
    if (origin && allowed_origin(a, origin)) return STATUS_OK;
    return error_set(err, STATUS_FORBIDDEN,
                     "Pages of %.100s may not send requests here; --allowed-origins allows it.",
                     origin ? origin : "another site");
}

static bool is_ip_literal(const char *name, size_t len)
{
    return (len > 0 && name[0] == '[') || strspn(name, "0123456789.") == len;
}

static bool is_localhost(const char *name, size_t len)
{
    static const char suffix[] = ".localhost";
    const size_t n = sizeof suffix - 1;
    return (len == n - 1 && strncasecmp(name, suffix + 1, len) == 0) ||
           (len > n && strncasecmp(name + len - n, suffix, n) == 0);
}

static bool is_allowed_host(const struct app *a, const char *name, size_t len)
{
    const struct option_list *allowed = &a->opts->allowed_hosts;
    for (int i = 0; i < allowed->n; i++) {
        const char *item = allowed->items[i];
        if (strcmp(item, "*") == 0) return true;
        if (strlen(item) == len && strncasecmp(item, name, len) == 0) return true;
    }
    return false;
}

/* A page of evil.example can make that name mean 127.0.0.1 once it is loaded (DNS rebinding); to the
 * browser a server on that address and port is then the page's own, and it may read every answer.
 * What gives it away is the name in Host.  With keys there is nothing to be had, from other machines
 * the server can be reached anyway, and behind a proxy Host has the proxy's port. */
static enum status check_host(const struct app *a, struct http_exchange *x, struct error *err)
{
    const char *host = http_header(x, "Host");
    if (!host || a->auth || !app_is_loopback(a->opts->host)) return STATUS_OK;
    const char *colon = strrchr(host, ':');
    const size_t len = colon ? (size_t)(colon - host) : strlen(host);
    if ((colon ? strtol(colon + 1, NULL, 10) : 80) != http_port(a->http)) return STATUS_OK;
    if (is_ip_literal(host, len) || is_localhost(host, len) || is_allowed_host(a, host, len))
        return STATUS_OK;
    return error_set(err, STATUS_FORBIDDEN,
                     "This server is not called %.*s; --allowed-hosts %.*s makes that its name.",
                     (int)(len < 100 ? len : 100), host, (int)(len < 100 ? len : 100), host);
}

/* OPTIONS never needs a key: browsers send none with it, and it tells nothing but methods. */
static void handle_options(const struct app *a, struct http_exchange *x)
{
    add_allow(a, x, "Allow");
    if (a->opts->allowed_origins.n > 0 && http_header(x, "Access-Control-Request-Method")) {
        add_allow(a, x, "Access-Control-Allow-Methods");
        http_add_header(x, "Access-Control-Allow-Headers",
                        "Authorization, Content-Type, X-Request-Id");
        http_add_header(x, "Access-Control-Max-Age", "600");
    }
    http_respond(x, 204, NULL, "", 0);
}

/* --- the hooks --------------------------------------------------------------------------------------- */

bool app_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0;
}

int app_tenant(const struct app *a, const struct http_exchange *x)
{
    return a->auth ? auth_find(a->auth, http_header(x, "Authorization")) : -1;
}

/* Bodies are read as JSON whatever their type is said to be (curl -d says urlencoded), but a form's
 * parts never are. */
static enum status check_media_type(struct http_exchange *x, struct error *err)
{
    const char *type = http_header(x, "Content-Type");
    if (strcmp(http_method(x), "POST") != 0) return STATUS_OK;
    if (!type || strncasecmp(type, "multipart/", 10) != 0) return STATUS_OK;
    return error_set(err, STATUS_MEDIA_TYPE,
                     "The body is a form (%.60s): send JSON, with \"Content-Type: "
                     "application/json\".",
                     type);
}

/* Whether the server is in a state for the route. */
static enum status check_serves(const struct app *a, const struct route *r, struct error *err)
{
    bool generates = r->flags & ROUTE_GENERATE, loaded = a->metrics != NULL;
    const char *sentence;

    if (generates && a->render_only)
        return error_set(err, STATUS_NOT_FOUND,
                         "This is a render server: it has no weights loaded and does not serve "
                         "%s. It serves %s/render; generation needs `inferd serve`.",
                         r->path, r->path);
    const char *reason = app_not_ready(a, &sentence);
    if ((generates && reason) || ((r->flags & ROUTE_LOADED) && !loaded))
        return error_set(err, STATUS_UNAVAILABLE, "%s", sentence);
    if ((r->flags & ROUTE_NEW_WORK) && a->draining)
        return error_set(err, STATUS_UNAVAILABLE, "The server is shutting down.");
    return STATUS_OK;
}

static enum status check_request(const struct app *a, struct http_exchange *x, struct error *err)
{
    const struct route *known;
    const struct route *r = find_route(a, http_method(x), http_path(x), &known);
    bool is_public = known && (known->flags & ROUTE_PUBLIC);
    if (check_host(a, x, err) != STATUS_OK) return err->code;
    if (a->auth && !is_public && app_tenant(a, x) < 0)
        return error_set(err, STATUS_UNAUTHENTICATED,
                         http_header(x, "Authorization")
                             ? "The API key is not valid."
                             : "An API key is needed: send \"Authorization: Bearer KEY\".");
    if (!known)
        return error_set(err, STATUS_NOT_FOUND,
                         "There is nothing at %.200s; models answer at %s/v1/chat/completions and "
                         "%s/v1/completions.",
                         http_path(x), a->opts->root_path, a->opts->root_path);
    if (!r) {
        add_allow(a, x, "Allow");
        return error_set(err, STATUS_METHOD_NOT_ALLOWED, "%.200s does not take %.20s.",
                         http_path(x), http_method(x));
    }
    enum status st = check_site(a, x, err);
    if (st == STATUS_OK) st = check_serves(a, r, err);
    return st == STATUS_OK ? check_media_type(x, err) : st;
}

void routes_on_headers(void *app, struct http_exchange *x)
{
    struct app *a = app;
    struct error err;
    add_cors_headers(a, x);
    if (strcmp(http_method(x), "OPTIONS") == 0)
        handle_options(a, x);
    else if (check_request(a, x, &err) != STATUS_OK)
        respond_error(x, &err);
}

void routes_on_request(void *app, struct http_exchange *x)
{
    struct app *a = app;
    struct error err;
    /* While the body came in, the server may have begun to shut down. */
    if (check_request(a, x, &err) != STATUS_OK) {
        respond_error(x, &err);
        return;
    }
    const struct route *known;
    find_route(a, http_method(x), http_path(x), &known)->handler(a, x);
}

void routes_on_error(void *app, struct http_exchange *x, const struct error *err)
{
    (void)app;
    respond_error(x, err);
}

void routes_on_answer(void *app, struct http_exchange *x, int status)
{
    struct app *a = app;
    const struct route *known;
    if (!a->metrics) return;
    find_route(a, http_method(x), http_path(x), &known);
    metrics_count_http(a->metrics, known ? known->path : "other", status);
}
