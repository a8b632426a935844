#include "server/web.h"

#include "config/base/check.h"
#include "config/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".json", "application/json"},
    {".png", "image/png"},
    {".ico", "image/vnd.microsoft.icon"},
    {".txt", "text/plain; charset=utf-8"},
    {".webmanifest", "application/manifest+json"},
};

/* A page that shows what models write: nothing from elsewhere runs in it, and no other site may
 * frame it or read it. */
static const struct {
    const char *name, *value;
} headers[] = {
    {"Cache-Control", "no-cache"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy",
     "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), "
     "display-capture=(), browsing-topics=()"},
};

static const struct web_file *find_file(const char *path)
{
    static const char folder[] = "/web/", index[] = "index.html";
    const char *name = index;
    if (strcmp(path, "/") != 0) {
        name = path + sizeof(folder) - 1;
        if (strcmp(name, index) == 0) return NULL; /* one address for one page */
    }
    for (int i = 0; i < web_files_n; i++)
        if (strcmp(web_files[i].name, name) == 0) return &web_files[i];
    return NULL;
}

static const char *file_type(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        size_t m = strlen(types[i].suffix);
        if (n > m && strcmp(name + n - m, types[i].suffix) == 0) return types[i].type;
    }
    return "application/octet-stream";
}

/* If-None-Match: "*" or a list of tags, each perhaps weak ("W/" in front): compared weakly, as RFC
 * 9110 wants it.  The tag is quoted hexadecimal, so that it is never a part of another one. */
static bool has_tag(const char *list, const char *tag)
{
    return list && (strcmp(list, "*") == 0 || strstr(list, tag));
}

void web_serve(struct app *a, struct http_exchange *x)
{
    (void)a;
    const struct web_file *f = find_file(http_path(x));
    struct error err;
    if (!f) {
        error_set(&err, STATUS_NOT_FOUND, "There is nothing at %.200s.", http_path(x));
        respond_error(x, &err);
        return;
    }
    size_t size = (size_t)(f->end - f->begin);
    char tag[24];
    snprintf(tag, sizeof(tag), "\"%016" PRIx64 "\"", hash_bytes(f->begin, size, 0));
    http_add_header(x, "ETag", tag);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        http_add_header(x, headers[i].name, headers[i].value);
    if (has_tag(http_header(x, "If-None-Match"), tag))
        http_respond(x, 304, NULL, "", 0);
    else
        http_respond(x, 200, file_type(f->name), f->begin, size);
}
