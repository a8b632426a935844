#include "config/base/status.h"

#include "config/base/check.h"
#include "config/base/str.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http;
    const char *type;
    const char *code;
} status_table[STATUS_COUNT] = {
#define X(name, http, type, code) [STATUS_##name] = {#name, http, type, code},
    STATUS_TABLE(X)
#undef X
};

static enum status status_clamp(enum status s)
{
    return (unsigned)s < STATUS_COUNT ? s : STATUS_INTERNAL;
}

const char *status_name(enum status s)
{
    return status_table[status_clamp(s)].name;
}

int status_http(enum status s)
{
    return status_table[status_clamp(s)].http;
}

const char *status_api_type(enum status s)
{
    return status_table[status_clamp(s)].type;
}

const char *status_api_code(enum status s)
{
    return status_table[status_clamp(s)].code;
}

/* Messages may quote what a client sent: keep them valid UTF-8, cut where they were cut. */
static void make_utf8(char *s)
{
    size_t len = utf8_complete_len(s, strlen(s));
    s[len] = '\0';
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        int n = utf8_decode(s + i, len - i, &cp);
        if (n == 0) s[i] = '?';
        i += n ? (size_t)n : 1;
    }
}

static void format_message(struct error *err, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void format_message(struct error *err, const char *fmt, va_list ap)
{
    vsnprintf(err->message, sizeof(err->message), fmt, ap);
    make_utf8(err->message);
}

enum status error_set(struct error *err, enum status code, const char *fmt, ...)
{
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->param[0] = '\0';
    format_message(err, fmt, ap);
    va_end(ap);
    return code;
}

enum status error_set_param(struct error *err, enum status code, const char *param, const char *fmt,
                            ...)
{
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    snprintf(err->param, sizeof(err->param), "%s", param ? param : "");
    make_utf8(err->param);
    format_message(err, fmt, ap);
    va_end(ap);
    return code;
}

enum status error_prepend(struct error *err, const char *fmt, ...)
{
    if (!err) return STATUS_INTERNAL;
    char old[sizeof(err->message)];
    memcpy(old, err->message, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", old);
    make_utf8(err->message);
    return err->code;
}
