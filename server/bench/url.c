#include "server/bench/url.h"

#include "config/base/str.h"

#include <stdio.h>
#include <string.h>

static enum status bad(const char *text, struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "--url must be like http://127.0.0.1:8000, not \"%.200s\"", text);
}

static bool copy(char *out, size_t out_size, const char *s, size_t len)
{
    if (len >= out_size) return false;
    memcpy(out, s, len);
    out[len] = '\0';
    return true;
}

enum status bench_url_parse(const char *text, struct bench_url *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    if (strncmp(text, "https://", 8) == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "https is not implemented: measure the server behind its TLS proxy");
    if (strncmp(text, "http://", 7) != 0) return bad(text, err);
    for (const char *c = text; *c; c++)
        if (*c <= 0x20 || *c >= 0x7F || strchr("@?#\"<>\\", *c)) return bad(text, err);
    const char *at = text + 7;
    size_t len = strcspn(at, "/");
    if (!copy(out->authority, sizeof(out->authority), at, len)) return bad(text, err);
    const char *rest = at + len, *port;
    bool ok;
    if (*at == '[') {
        const char *close = memchr(at, ']', len);
        if (!close) return bad(text, err);
        ok = copy(out->host, sizeof(out->host), at + 1, (size_t)(close - at - 1));
        port = close + 1;
    } else {
        size_t n = strcspn(out->authority, ":");
        ok = copy(out->host, sizeof(out->host), at, n);
        port = at + n;
    }
    int64_t number = 80;
    size_t port_len = (size_t)(rest - port);
    if (port_len > 0)
        ok = ok && *port == ':' && copy(out->port, sizeof(out->port), port + 1, port_len - 1) &&
             parse_i64(out->port, &number) && number >= 1 && number <= 65535;
    if (!ok || !out->host[0]) return bad(text, err);
    snprintf(out->port, sizeof(out->port), "%d", (int)number);
    size_t n = strlen(rest);
    while (n > 0 && rest[n - 1] == '/') n--;
    if (n >= 3 && memcmp(rest + n - 3, "/v1", 3) == 0) n -= 3;
    return copy(out->prefix, sizeof(out->prefix), rest, n) ? STATUS_OK : bad(text, err);
}
