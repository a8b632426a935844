#ifndef TESTS_UNIT_HTTP_CLIENT_H
#define TESTS_UNIT_HTTP_CLIENT_H

/* http_client.h - a blocking HTTP client on a raw socket, for tests of server/http.c. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <cmocka.h>

/* False when the peer has closed meanwhile. */
static inline bool put(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static inline void puts_fd(int fd, const char *text)
{
    assert_true(put(fd, text, strlen(text)));
}

struct reply {
    int status; /* 0: the connection ended before a status line */
    char head[4096];
    char *body;
    size_t body_len;
    bool chunked, complete;
};

/* One byte at a time where the end is not known; the tests' answers are small or read in bulk. */
static inline bool get_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    for (char c; n + 1 < size;) {
        if (recv(fd, &c, 1, 0) != 1) return false;
        line[n++] = c;
        if (c == '\n') break;
    }
    line[n] = '\0';
    return true;
}

static inline bool get_bytes(int fd, struct reply *r, size_t n)
{
    r->body = realloc(r->body, r->body_len + n + 1);
    assert_non_null(r->body);
    while (n > 0) {
        ssize_t got = recv(fd, r->body + r->body_len, n, 0);
        if (got <= 0) return false;
        r->body_len += (size_t)got;
        n -= (size_t)got;
    }
    r->body[r->body_len] = '\0';
    return true;
}

static inline const char *header_of(const struct reply *r, const char *name)
{
    static char value[256];
    size_t n = strlen(name);
    for (const char *p = strstr(r->head, "\r\n"); p; p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, n) != 0 || p[n] != ':') continue;
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(p + n + 2, "\r"), p + n + 2);
        return value;
    }
    return NULL;
}

static inline bool get_chunks(int fd, struct reply *r)
{
    char line[64];
    while (get_line(fd, line, sizeof(line))) {
        size_t n = strtoul(line, NULL, 16);
        if (n > 0 && !get_bytes(fd, r, n)) return false;
        if (!get_line(fd, line, sizeof(line)) || strcmp(line, "\r\n") != 0) return false;
        if (n == 0) return true;
    }
    return false;
}

static inline struct reply get_reply(int fd, bool has_body)
{
    struct reply r = {0};
    char line[1024];
    while (get_line(fd, line, sizeof(line))) {
        if (!r.status && sscanf(line, "HTTP/1.1 %d", &r.status) != 1)
            fail_msg("status line: %s", line);
        if (strcmp(line, "\r\n") == 0) break;
        strncat(r.head, line, sizeof(r.head) - strlen(r.head) - 1);
    }
    if (!r.status) return r;
    const char *length = header_of(&r, "Content-Length");
    size_t n = length ? strtoul(length, NULL, 10) : 0;
    const char *encoding = header_of(&r, "Transfer-Encoding");
    r.chunked = encoding && strcmp(encoding, "chunked") == 0;
    if (!has_body)
        r.complete = true;
    else
        r.complete = r.chunked ? get_chunks(fd, &r) : get_bytes(fd, &r, n);
    return r;
}

static inline void reply_free(struct reply *r)
{
    free(r->body);
}

static inline void expect_reply(int fd, int status, const char *body)
{
    struct reply r = get_reply(fd, true);
    assert_int_equal(r.status, status);
    assert_true(r.complete);
    if (body) assert_string_equal(r.body, body);
    reply_free(&r);
}

static inline void expect_eof(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    if (n > 0) fail_msg("got '%c' instead of the end", c);
    assert_false(n < 0 && errno == EAGAIN); /* still open after the client's patience */
}

#endif
