#include "server/hub/remote.h"

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/str.h"
#include "server/url.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_ENDPOINT  "https://huggingface.co"
#define DEFAULT_TIMEOUT_S 10
#define MAX_TIMEOUT_S     3600

/* --- addresses -------------------------------------------------------------------------------- */

static bool url_part(CURLU *u, CURLUPart part, unsigned flags, char *out, size_t out_size)
{
    char *text = NULL;
    bool ok = curl_url_get(u, part, &text, flags) == CURLUE_OK && strlen(text) < out_size;
    if (ok) snprintf(out, out_size, "%s", text);
    curl_free(text);
    return ok;
}

/* "http://host:port", the port always there; false when the text is no address of a web server. */
static bool origin_of(const char *url, char out[HUB_ORIGIN_MAX])
{
    char scheme[8], host[260], port[8];
    CURLU *u = curl_url();
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              url_part(u, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) &&
              url_part(u, CURLUPART_HOST, 0, host, sizeof(host)) &&
              url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port)) &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) && host[0];
    if (ok) snprintf(out, HUB_ORIGIN_MAX, "%s://%s:%s", scheme, host, port);
    for (char *p = out; ok && *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    curl_url_cleanup(u);
    return ok;
}

bool hub_remote_is_own(const struct hub_remote *r, const char *url)
{
    char origin[HUB_ORIGIN_MAX];
    return origin_of(url, origin) && strcmp(origin, r->origin) == 0;
}

bool hub_redirect_allowed(const char *from, const char *to)
{
    char a[HUB_ORIGIN_MAX], b[HUB_ORIGIN_MAX];
    if (strlen(to) >= LIMIT_HUB_URL || !origin_of(from, a) || !origin_of(to, b)) return false;
    return strncmp(a, "https:", 6) != 0 || strncmp(b, "https:", 6) == 0;
}

void hub_url_shown(const char *url, char *out, size_t out_size)
{
    const char *at = strstr(url, "://"), *host = at ? at + 3 : url;
    size_t host_len = strcspn(host, "/?#"), n = 0;
    const char *user_end = memrchr(host, '@', host_len);
    size_t from = user_end ? (size_t)(user_end + 1 - url) : 0;

    if (user_end)
        for (size_t i = 0; i < (size_t)(host - url) && n + 1 < out_size; i++) out[n++] = url[i];
    for (const char *p = url + from; *p && *p != '?' && *p != '#' && n + 1 < out_size; p++)
        out[n++] = *p > ' ' && *p < 0x7f ? *p : '?';
    out[n] = '\0';
}

static void add_escaped(struct strbuf *out, const char *text, size_t len)
{
    char *escaped = curl_easy_escape(NULL, text, (int)len);
    if (escaped)
        strbuf_add_str(out, escaped);
    else
        out->failed = true;
    curl_free(escaped);
}

char *hub_remote_listing_url(const struct hub_remote *r, const struct hub_name *name)
{
    struct strbuf url;
    strbuf_init(&url, LIMIT_HUB_URL);
    strbuf_addf(&url, "%s/api/models/%s/revision/", r->endpoint, name->repo);
    add_escaped(&url, name->rev, strlen(name->rev));
    strbuf_add_str(&url, "?blobs=true");
    return strbuf_take(&url, NULL);
}

char *hub_remote_file_url(const struct hub_remote *r, const char *repo, const char *sha,
                          const char *path)
{
    struct strbuf url;
    strbuf_init(&url, (size_t)4 * LIMIT_HUB_URL);
    strbuf_addf(&url, "%s/%s/resolve/%s", r->endpoint, repo, sha);
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        strbuf_add_char(&url, '/');
        add_escaped(&url, p, len);
        p += len + (p[len] == '/');
    }
    return strbuf_take(&url, NULL);
}

/* --- the environment -------------------------------------------------------------------------- */

static enum status bad_endpoint(const char *text, const char *why, struct error *err)
{
    char shown[200];
    hub_url_shown(text, shown, sizeof(shown));
    return error_set(err, STATUS_INVALID,
                     "HF_ENDPOINT must be like " DEFAULT_ENDPOINT " or http://127.0.0.1:8080, not "
                     "\"%s\"%s",
                     shown, why);
}

static enum status set_endpoint(struct hub_remote *r, struct error *err)
{
    const char *text = hub_variable("HF_ENDPOINT");
    if (!text) text = DEFAULT_ENDPOINT;
    size_t len = strlen(text);
    if (len >= sizeof(r->endpoint) - HUB_REV_MAX - 300) return bad_endpoint("", ": too long", err);
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p >= 0x7f) return bad_endpoint(text, ": an odd character", err);
    if (!origin_of(text, r->origin)) return bad_endpoint(text, "", err);
    CURLU *u = curl_url();
    bool plain = u && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
                 !url_has_part(u, CURLUPART_USER) && !url_has_part(u, CURLUPART_QUERY) &&
                 !url_has_part(u, CURLUPART_FRAGMENT);
    curl_url_cleanup(u);
    if (!plain) return bad_endpoint(text, ": no user, query or fragment belongs there", err);
    while (len > 0 && text[len - 1] == '/') len--;
    snprintf(r->endpoint, sizeof(r->endpoint), "%.*s", (int)len, text);
    return STATUS_OK;
}

/* Trimmed; one that no header can carry is refused. */
static enum status take_token(struct hub_remote *r, const char *text, const char *where,
                              struct error *err)
{
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1])) len--;
    if (len >= sizeof(r->token))
        return error_set(err, STATUS_INVALID, "the token in %s is too long", where);
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return error_set(err, STATUS_INVALID,
                             "the token in %s has a character that no token has", where);
    memcpy(r->token, text, len);
    r->token[len] = '\0';
    return STATUS_OK;
}

static enum status set_token(struct hub_remote *r, struct error *err)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    static const struct hub_place places[] = {{"HF_TOKEN_PATH", ""},
                                              {"HF_HOME", "/token"},
                                              {"XDG_CACHE_HOME", "/huggingface/token"},
                                              {"HOME", "/.cache/huggingface/token"}};
    char path[PATH_MAX], *text = NULL;
    size_t len;
    struct error why;

    if (hub_says_yes("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *v = hub_variable(names[i]);
        if (!v) continue;
        enum status st = take_token(r, v, names[i], err);
        if (st != STATUS_OK || r->token[0]) return st;
    }
    enum status st = hub_place_find(places, ARRAY_LEN(places), path, err);
    if (st == STATUS_NOT_FOUND) return STATUS_OK;
    if (st != STATUS_OK) return st;
    st = file_read(path, LIMIT_HUB_TOKEN, &text, &len, &why);
    if (st == STATUS_NOT_FOUND) return STATUS_OK;
    if (st == STATUS_OK)
        st = take_token(r, text, path, err);
    else if (err)
        *err = why;
    free(text);
    return st;
}

enum status hub_remote_init(struct hub_remote *r, struct error *err)
{
    *r = (struct hub_remote){.timeout_s = DEFAULT_TIMEOUT_S};
    const char *timeout = hub_variable("HF_HUB_DOWNLOAD_TIMEOUT");
    int64_t seconds;
    if (timeout && (!parse_i64(timeout, &seconds) || seconds < 1 || seconds > MAX_TIMEOUT_S))
        return error_set(err, STATUS_INVALID,
                         "HF_HUB_DOWNLOAD_TIMEOUT must be seconds, 1 to %d, not \"%.40s\"",
                         MAX_TIMEOUT_S, timeout);
    if (timeout) r->timeout_s = (long)seconds;
    enum status st = set_endpoint(r, err);
    return st == STATUS_OK ? set_token(r, err) : st;
}

/* --- answers ---------------------------------------------------------------------------------- */

int64_t hub_retry_after(const char *text, int64_t now)
{
    int64_t seconds;
    if (!parse_i64(text, &seconds)) {
        time_t date = curl_getdate(text, NULL);
        if (date < 0) return -1;
        seconds = (int64_t)date - now;
        if (seconds < 0) seconds = 0;
    }
    if (seconds < 0) return -1;
    return seconds < LIMIT_HUB_WAIT_S ? seconds : LIMIT_HUB_WAIT_S;
}

bool hub_content_range_fits(const char *text, int64_t first, int64_t total)
{
    char want[96];
    snprintf(want, sizeof(want), "bytes %" PRId64 "-%" PRId64 "/%" PRId64, first, total - 1, total);
    return strcasecmp(text, want) == 0;
}

bool hub_worth_another_try(long status)
{
    return status == 408 || status == 429 || status >= 500;
}

static enum status no_access(const struct hub_remote *r, const struct hub_answer *a,
                             const struct hub_name *name, const char *said, struct error *err)
{
    bool gated = strcmp(a->code, "GatedRepo") == 0 || a->status == 403;
    if (!r->token[0])
        return error_set(err, STATUS_UNAUTHENTICATED,
                         "%s %s: set HF_TOKEN to a token from %.200s/settings/tokens%s", name->repo,
                         gated ? "has terms that have to be accepted, by an account"
                               : "does not exist, or is private",
                         r->endpoint, said);
    if (gated)
        return error_set(err, STATUS_UNAUTHENTICATED,
                         "%s is not open to this token's account: accept its terms at %.200s/%s%s",
                         name->repo, r->endpoint, name->repo, said);
    return error_set(err, STATUS_UNAUTHENTICATED,
                     "the token was not accepted for %s: make a new one at "
                     "%.200s/settings/tokens%s",
                     name->repo, r->endpoint, said);
}

enum status hub_refusal(const struct hub_remote *r, const struct hub_answer *a,
                        const struct hub_name *name, const char *file, const char *url,
                        struct error *err)
{
    char said[sizeof(a->message) + 16] = "", shown[200];
    if (a->message[0]) snprintf(said, sizeof(said), " (%ld: %s)", a->status, a->message);
    if (a->status == 401 || a->status == 403) return no_access(r, a, name, said, err);
    if (a->status == 404 && strcmp(a->code, "RepoNotFound") == 0)
        return error_set(err, STATUS_NOT_FOUND,
                         "%s does not exist at %.200s, or %s may not see it%s", name->repo,
                         r->endpoint, r->token[0] ? "this token" : "nobody without a token", said);
    if (a->status == 404 && strcmp(a->code, "RevisionNotFound") == 0)
        return error_set(err, STATUS_NOT_FOUND, "%s has no revision %s%s", name->repo, name->rev,
                         said);
    hub_url_shown(url, shown, sizeof(shown));
    return error_set(err, a->status == 404 ? STATUS_NOT_FOUND : STATUS_UNAVAILABLE,
                     "%s%s%.150s: %s answered %ld%s%s", name->repo, file ? " " : "",
                     file ? file : "", shown, a->status, a->message[0] ? ": " : "", a->message);
}
