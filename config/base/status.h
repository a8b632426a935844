#ifndef CONFIG_BASE_STATUS_H
#define CONFIG_BASE_STATUS_H

/* status.h - how operating errors travel: an `enum status` as return value and a `struct error`
 * with the words.  One table gives each status its name, its HTTP status and OpenAI's error type
 * and code.  Programmer errors do not travel: see check.h.
 *
 * Threads: a struct error belongs to its caller; nothing here is shared. */

#include <stdarg.h>

/*   name                 HTTP  OpenAI type               OpenAI code (NULL = null) */
#define STATUS_TABLE(X)                                                                   \
    X(OK, 200, "", NULL)                                                                  \
    X(INVALID, 400, "invalid_request_error", NULL)                                        \
    X(UNSUPPORTED, 400, "invalid_request_error", "unsupported_parameter")                 \
    X(CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded")            \
    X(UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key")                   \
    X(FORBIDDEN, 403, "invalid_request_error", "origin_not_allowed")                      \
    X(NOT_FOUND, 404, "invalid_request_error", "not_found")                               \
    X(MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found")                   \
    X(METHOD_NOT_ALLOWED, 405, "invalid_request_error", "method_not_allowed")             \
    X(TIMEOUT, 408, "timeout_error", "request_timeout")                                   \
    X(TOO_LARGE, 413, "invalid_request_error", "request_too_large")                       \
    X(MEDIA_TYPE, 415, "invalid_request_error", "unsupported_media_type")                 \
    X(HEADERS_TOO_LARGE, 431, "invalid_request_error", "request_header_fields_too_large") \
    X(OVERLOADED, 429, "rate_limit_error", "rate_limit_exceeded")                         \
    X(CANCELLED, 499, "cancelled_error", "cancelled")                                     \
    X(INTERNAL, 500, "server_error", "internal_error")                                    \
    X(IO, 500, "server_error", "io_error")                                                \
    X(NO_MEMORY, 500, "server_error", "out_of_memory")                                    \
    X(CORRUPT, 500, "server_error", "corrupt_file")                                       \
    X(UNAVAILABLE, 503, "server_error", "service_unavailable")

enum status {
#define X(name, http, type, code) STATUS_##name,
    STATUS_TABLE(X)
#undef X
        STATUS_COUNT
};

struct error {
    enum status code;
    char param[64];    /* the request field, option or tensor at fault; "" = none */
    char message[512]; /* one sentence that says what to do; UTF-8, cut at a character */
};

const char *status_name(enum status s);     /* "INVALID" */
int status_http(enum status s);             /* 400 */
const char *status_api_type(enum status s); /* "invalid_request_error" */
const char *status_api_code(enum status s); /* may be NULL */

/* Set *err (err may be NULL) and return `code`, so that `return error_set(...)` reads well. */
enum status error_set(struct error *err, enum status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, naming the parameter at fault. */
enum status error_set_param(struct error *err, enum status code, const char *param, const char *fmt,
                            ...) __attribute__((format(printf, 4, 5)));
/* Put "context: " in front of the message on the way up; returns err's code. */
enum status error_prepend(struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
