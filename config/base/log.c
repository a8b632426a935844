#include "config/base/log.h"

#include "config/base/str.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_VALUE_MAX 2048  /* bytes of one value; longer ones are cut */
#define LOG_LINE_MAX  65536 /* more pairs than any event has */

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static atomic_int log_min = LOG_INFO;
static atomic_bool log_json;
static atomic_uint log_lost; /* lines since the last one that got through */

void log_setup(enum log_level min, bool json)
{
    atomic_store(&log_min, (int)min);
    atomic_store(&log_json, json);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_min, memory_order_relaxed);
}

/* A quoted JSON string of printable ASCII alone: control characters, also those that Unicode
 * has above 0x7F, must not reach a terminal. */
static void add_quoted(struct strbuf *out, const char *s, size_t len)
{
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        int n = utf8_decode(s + i, len - i, &cp);
        if (n == 0) cp = 0xFFFD;
        i += n ? (size_t)n : 1;
        if (cp == '"' || cp == '\\') {
            strbuf_addf(out, "\\%c", (char)cp);
        } else if (cp >= 0x20 && cp < 0x7F) {
            strbuf_add_char(out, (char)cp);
        } else if (cp < 0x10000) {
            strbuf_addf(out, "\\u%04x", cp);
        } else {
            strbuf_addf(out, "\\u%04x\\u%04x", 0xD7C0 + (cp >> 10), 0xDC00 + (cp & 0x3FF));
        }
    }
    strbuf_add_char(out, '"');
}

static bool is_plain(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] <= 0x20 || s[i] > 0x7E || strchr("\"\\=", s[i])) return false;
    return len > 0;
}

static bool is_number(const char *s)
{
    double ignored;
    return parse_f64(s, &ignored) && !strpbrk(s, "eE");
}

/* Renders one conversion at *fmt (just behind the %) into `out` and moves *fmt behind it.  False:
 * there is no value. */
static bool add_conversion(struct strbuf *out, const char **fmt, va_list *ap)
{
    const char *f = *fmt;
    int precision = 6, longs = 0;
    bool size = false, present = true;
    if (*f == '.') {
        precision = 0;
        for (f++; *f >= '0' && *f <= '9'; f++) precision = precision * 10 + (*f - '0');
        if (precision > 17) precision = 17;
    }
    while (*f == 'l') longs++, f++;
    if (*f == 'z') size = true, f++;
    switch (*f) {
    case 's': {
        const char *s = va_arg(*ap, const char *);
        present = s != NULL;
        if (present) strbuf_add_str(out, s);
        break;
    }
    case 'd':
        strbuf_add_i64(out, size         ? (int64_t)va_arg(*ap, ssize_t)
                            : longs == 2 ? va_arg(*ap, long long)
                            : longs      ? va_arg(*ap, long)
                                         : va_arg(*ap, int));
        break;
    case 'u':
        strbuf_add_u64(out, size         ? va_arg(*ap, size_t)
                            : longs == 2 ? va_arg(*ap, unsigned long long)
                            : longs      ? va_arg(*ap, unsigned long)
                                         : va_arg(*ap, unsigned));
        break;
    case 'f': {
        double number = va_arg(*ap, double);
        present = !isnan(number);
        strbuf_addf(out, "%.*f", precision, number);
        break;
    }
    default:
        strbuf_add_char(out, '%');
        break; /* "%%" */
    }
    *fmt = *f ? f + 1 : f;
    return present;
}

/* One `key=value` of the format; leaves *fmt at the next one. */
static void add_pair(struct strbuf *line, struct strbuf *value, bool json, const char **fmt,
                     va_list *ap)
{
    const char *key = *fmt;
    size_t key_len = strcspn(key, "= ");
    const char *f = key + key_len;
    if (*f == '=') f++;
    const char *first = f;
    bool text = false, present = true;
    strbuf_clear(value);
    while (*f && *f != ' ') {
        if (*f != '%') {
            strbuf_add_char(value, *f++);
            continue;
        }
        f++;
        text = text || *f == 's' || f != first + 1;
        present = add_conversion(value, &f, ap) && present;
    }
    while (*f == ' ') f++;
    *fmt = f;
    if (!present) return;
    const char *s = value->data ? value->data : "";
    size_t len = value->len;
    if (len > LOG_VALUE_MAX) len = utf8_complete_len(s, LOG_VALUE_MAX);
    strbuf_add_str(line, json ? ",\"" : " ");
    strbuf_add(line, key, key_len);
    strbuf_add_str(line, json ? "\":" : "=");
    if (json ? !text && is_number(s) : is_plain(s, len)) {
        strbuf_add(line, s, len);
    } else {
        add_quoted(line, s, len);
    }
}

static void add_head(struct strbuf *line, bool json, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm tm;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    int ms = (int)(now.tv_nsec / 1000000);
    if (json) {
        strbuf_addf(line, "{\"level\":\"%s\",\"time\":\"%s.%03dZ\",\"event\":\"%s\"",
                    level_names[level], date, ms, event);
    } else {
        strbuf_addf(line, "%s %s.%03dZ %s", level_names[level], date, ms, event);
    }
}

/* Waits for nobody: a pipe whose reader hangs must not hold up the server.  A pipe that is writable
 * takes PIPE_BUF bytes at once; what is longer goes in pieces.  False: at least the end is lost. */
static bool put(const char *data, size_t len)
{
    while (len > 0) {
        struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) return false;
        ssize_t n = write(STDERR_FILENO, data, len < PIPE_BUF ? len : PIPE_BUF);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void put_lost(bool json, unsigned n)
{
    struct strbuf line;
    strbuf_init(&line, LOG_LINE_MAX);
    strbuf_add_char(&line, '\n'); /* the line before may have been cut */
    add_head(&line, json, LOG_WARN, "log_lines_lost");
    strbuf_addf(&line, json ? ",\"n\":%u}\n" : " n=%u\n", n);
    if (line.failed || !put(line.data, line.len)) atomic_fetch_add(&log_lost, n);
    strbuf_free(&line);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if (!log_enabled(level)) return;
    bool json = atomic_load_explicit(&log_json, memory_order_relaxed);
    struct strbuf line, value;
    strbuf_init(&line, LOG_LINE_MAX);
    strbuf_init(&value, 0);
    add_head(&line, json, level, event);
    va_list ap;
    va_start(ap, fmt);
    while (*fmt) add_pair(&line, &value, json, &fmt, &ap);
    va_end(ap);
    strbuf_add_str(&line, json ? "}\n" : "\n");
    unsigned lost = atomic_exchange(&log_lost, 0);
    if (lost > 0) put_lost(json, lost);
    if (!line.data || !put(line.data, line.len)) atomic_fetch_add(&log_lost, 1);
    strbuf_free(&line);
    strbuf_free(&value);
}
