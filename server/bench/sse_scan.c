#include "server/bench/sse_scan.h"

#include <stdio.h>
#include <string.h>

void sse_scan_init(struct sse_scan *s)
{
    memset(s, 0, sizeof(*s));
    sse_lines_init(&s->lines, SSE_LINE_MAX);
}

void sse_scan_reset(struct sse_scan *s)
{
    struct sse_lines lines = s->lines;
    size_t text_at = s->text_at;
    sse_lines_reset(&lines);
    memset(s, 0, sizeof(*s));
    s->lines = lines;
    s->text_at = text_at;
}

void sse_scan_free(struct sse_scan *s)
{
    sse_lines_free(&s->lines);
}

/* The key with its quotes, and a colon behind it; NULL when absent. */
static const char *after_key(const char *json, size_t len, const char *key)
{
    size_t n = strlen(key);
    const char *at = memmem(json, len, key, n);
    if (!at) return NULL;
    const char *end = json + len;
    for (at += n; at < end && *at == ' ';) at++;
    if (at == end || *at++ != ':') return NULL;
    while (at < end && *at == ' ') at++;
    return at;
}

static int64_t number_after(const char *json, size_t len, const char *key)
{
    const char *at = after_key(json, len, key), *end = json + len;
    int64_t v = 0;
    int digits = 0;
    for (; at && at < end && *at >= '0' && *at <= '9' && digits < 18; at++, digits++)
        v = v * 10 + (*at - '0');
    return digits ? v : -1;
}

void sse_find_usage(const char *json, size_t len, struct sse_usage *out)
{
    const char *at = after_key(json, len, "\"usage\"");
    if (!at || at == json + len || *at != '{') return;
    size_t left = (size_t)(json + len - at);
    out->present = true;
    out->prompt_tokens = number_after(at, left, "\"prompt_tokens\"");
    out->completion_tokens = number_after(at, left, "\"completion_tokens\"");
    out->cached_tokens = number_after(at, left, "\"cached_tokens\"");
}

/* A string value that is not empty, at `at`. */
static bool has_text_at(const char *json, size_t len, size_t at, const char *pattern)
{
    size_t n = strlen(pattern);
    return at <= len && len - at > n && memcmp(json + at, pattern, n) == 0 && json[at + n] != '"';
}

/* Does the event carry text?  The place where the last one had it is tried first: events of one
 * stream have the same beginning. */
static bool has_text(struct sse_scan *s, const char *json, size_t len)
{
    static const char *const patterns[] = {"\"text\":\"", "\"content\":\"", "\"text\": \"",
                                           "\"content\": \"", "\"reasoning_content\":\""};
    enum { N_PATTERNS = sizeof(patterns) / sizeof(patterns[0]) };
    for (int i = 0; i < 2; i++)
        if (has_text_at(json, len, s->text_at, patterns[i])) return true;
    for (int i = 0; i < N_PATTERNS; i++) {
        const char *at = memmem(json, len, patterns[i], strlen(patterns[i]));
        if (!at) continue;
        size_t offset = (size_t)(at - json);
        if (!has_text_at(json, len, offset, patterns[i])) continue;
        s->text_at = offset;
        return true;
    }
    return false;
}

static void take_event(struct sse_scan *s, const char *json, size_t len)
{
    if (len == 6 && memcmp(json, "[DONE]", 6) == 0) {
        s->done = true;
        return;
    }
    s->n_events++;
    if (has_text(s, json, len)) {
        s->n_content++;
        /* Usage stands in the last event; only servers that report it continuously put it beside
         * text, and behind it. */
        if (len > 16 && json[len - 2] != '}') return;
    } else {
        const char *error = after_key(json, len, "\"error\"");
        if (error && error < json + len && *error == '{') {
            s->failed = true;
            snprintf(s->error, sizeof(s->error), "%.*s", (int)(len < 250 ? len : 250), json);
        }
    }
    sse_find_usage(json, len, &s->usage);
}

static void take_line(void *scan, struct str line)
{
    struct str data;
    if (sse_line_data(line, &data)) take_event(scan, data.data, data.len);
}

uint64_t sse_scan_feed(struct sse_scan *s, const char *data, size_t len)
{
    uint64_t before = s->n_content;
    if (!sse_lines_feed(&s->lines, data, len, take_line, s) && !s->failed) {
        s->failed = true;
        snprintf(s->error, sizeof(s->error), "an event is too long");
    }
    return s->n_content - before;
}
