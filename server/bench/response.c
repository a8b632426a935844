#include "server/bench/response.h"

#include <string.h>
#include <strings.h>

enum state {
    STATUS_LINE,
    HEADER_LINE,
    BODY_LENGTH,
    BODY_CLOSE,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_LINE,
    DONE,
    BAD,
};

void response_init(struct response *r)
{
    /* All but the line buffer, which line_len guards: it is large, and this runs per request. */
    memset(r, 0, offsetof(struct response, line));
}

static enum response_event bad(struct response *r, const char *why)
{
    r->wrong = why;
    r->state = BAD;
    r->keep_alive = false;
    return RESPONSE_BAD;
}

/* RFC 9110, section 5.6.2: tchar. */
static bool is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool parse_status_line(struct response *r)
{
    const char *s = r->line;
    bool ok = r->line_len >= 12 && memcmp(s, "HTTP/1.", 7) == 0 && (s[7] == '1' || s[7] == '0') &&
              s[8] == ' ' && (r->line_len == 12 || s[12] == ' ');
    for (int i = 9; ok && i < 12; i++) ok = s[i] >= '0' && s[i] <= '9';
    if (!ok) return false;
    r->status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
    r->http_1_0 = s[7] == '0';
    r->keep_alive = !r->http_1_0;
    return r->status >= 100 && r->status <= 599;
}

static bool parse_length(struct response *r, const char *value, size_t len)
{
    if (r->has_length || len == 0 || len > 15) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9') return false;
        v = v * 10 + (uint64_t)(value[i] - '0');
    }
    r->has_length = true;
    r->left = v;
    return v <= RESPONSE_BODY_MAX;
}

static bool has_word(const char *value, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(value + i, word, n) == 0) return true;
    return false;
}

static bool is_word(const char *value, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(value, word, len) == 0;
}

/* NULL, or what is wrong with the header in r->line. */
static const char *parse_header(struct response *r)
{
    size_t name_len = 0;
    while (name_len < r->line_len && is_token_char((unsigned char)r->line[name_len])) name_len++;
    if (name_len == 0 || name_len == r->line_len || r->line[name_len] != ':')
        return "malformed header line";
    const char *value = r->line + name_len + 1, *end = r->line + r->line_len;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t len = (size_t)(end - value);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)value[i] < 0x20 && value[i] != '\t')
            return "control character in header";
    if (is_word(r->line, name_len, "content-length")) {
        if (!parse_length(r, value, len)) return "bad or repeated Content-Length";
    } else if (is_word(r->line, name_len, "transfer-encoding")) {
        if (r->chunked || !is_word(value, len, "chunked")) return "unknown Transfer-Encoding";
        r->chunked = true;
    } else if (is_word(r->line, name_len, "connection")) {
        if (has_word(value, len, "close")) r->keep_alive = false;
        if (r->http_1_0 && has_word(value, len, "keep-alive")) r->keep_alive = true;
    } else if (is_word(r->line, name_len, "content-type")) {
        r->event_stream = len >= 17 && strncasecmp(value, "text/event-stream", 17) == 0;
    }
    return NULL;
}

/* The head is whole: how long is the body?  RFC 9112, section 6.3. */
static enum response_event head_done(struct response *r)
{
    if (r->status < 200) { /* 100 Continue and its like: the real head follows */
        bool started = r->started;
        if (r->status == 101) return bad(r, "the server switched protocols");
        response_init(r);
        r->started = started;
        return RESPONSE_MORE;
    }
    if (r->chunked && (r->has_length || r->http_1_0))
        return bad(r, "Transfer-Encoding beside Content-Length or in HTTP/1.0");
    if (r->status == 204 || r->status == 304 || (r->has_length && r->left == 0)) {
        r->state = DONE;
    } else if (r->chunked) {
        r->state = CHUNK_SIZE;
        r->left = 0;
        r->size_digits = 0;
    } else if (r->has_length) {
        r->state = BODY_LENGTH;
    } else {
        r->state = BODY_CLOSE;
        r->keep_alive = false;
    }
    return RESPONSE_MORE;
}

static enum response_event line_done(struct response *r)
{
    size_t len = r->line_len;
    const char *wrong = NULL;
    if (r->state == STATUS_LINE) {
        if (!parse_status_line(r)) return bad(r, "malformed status line");
        r->state = HEADER_LINE;
    } else if (len == 0 && r->state == HEADER_LINE) {
        return head_done(r);
    } else if (len == 0) {
        r->state = DONE; /* behind the trailers */
    } else if (r->state == HEADER_LINE) {
        wrong = parse_header(r);
    }
    r->line_len = 0;
    return wrong ? bad(r, wrong) : RESPONSE_MORE;
}

/* Bytes of the status line, a header or a trailer. */
static enum response_event take_line(struct response *r, const char **at, const char *end)
{
    const char *lf = memchr(*at, '\n', (size_t)(end - *at));
    size_t n = lf ? (size_t)(lf + 1 - *at) : (size_t)(end - *at);
    if (n > sizeof(r->line) - r->line_len || n > RESPONSE_HEAD_MAX - r->head_size)
        return bad(r, "the head of the response is too long");
    memcpy(r->line + r->line_len, *at, n);
    r->line_len += n;
    r->head_size += n;
    *at += n;
    if (!lf) return RESPONSE_MORE;
    if (r->line_len < 2 || r->line[r->line_len - 2] != '\r') return bad(r, "a line without CRLF");
    r->line_len -= 2;
    if (memchr(r->line, '\r', r->line_len) || memchr(r->line, '\0', r->line_len))
        return bad(r, "CR or NUL inside a line");
    return line_done(r);
}

static enum response_event take_chunk_size(struct response *r, unsigned char c)
{
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit >= 0) {
        if (++r->size_digits > 9) return bad(r, "a chunk is too large");
        r->left = r->left * 16 + (uint64_t)digit;
        return RESPONSE_MORE;
    }
    if (r->size_digits == 0) return bad(r, "a chunk without a size");
    if (c == '\r') {
        r->state = CHUNK_SIZE_LF;
    } else if (c == ';' || c == ' ' || c == '\t') {
        r->state = CHUNK_EXTENSION;
    } else {
        return bad(r, "malformed chunk size");
    }
    return RESPONSE_MORE;
}

/* The bytes around chunks, one at a time: there are about six to a chunk. */
static enum response_event take_framing(struct response *r, unsigned char c)
{
    switch (r->state) {
    case CHUNK_SIZE:
        return take_chunk_size(r, c);
    case CHUNK_EXTENSION:
        if (++r->size_digits > 1024) return bad(r, "a chunk extension is too long");
        if (c == '\r')
            r->state = CHUNK_SIZE_LF;
        else if (c < 0x20 && c != '\t')
            return bad(r, "malformed chunk extension");
        return RESPONSE_MORE;
    case CHUNK_SIZE_LF:
        if (c != '\n') return bad(r, "malformed chunk size");
        r->state = r->left ? CHUNK_DATA : TRAILER_LINE;
        r->line_len = 0;
        return RESPONSE_MORE;
    case CHUNK_DATA_CR:
        if (c != '\r') return bad(r, "a chunk is longer than its size");
        r->state = CHUNK_DATA_LF;
        return RESPONSE_MORE;
    default: /* CHUNK_DATA_LF */
        if (c != '\n') return bad(r, "a chunk is longer than its size");
        r->state = CHUNK_SIZE;
        r->left = 0;
        r->size_digits = 0;
        return RESPONSE_MORE;
    }
}

static enum response_event take_body(struct response *r, const char **at, const char *end,
                                     struct str *piece)
{
    size_t n = (size_t)(end - *at);
    if (r->state != BODY_CLOSE && n > r->left) n = (size_t)r->left;
    r->body_size += n;
    if (r->body_size > RESPONSE_BODY_MAX) return bad(r, "the body is too large");
    *piece = (struct str){*at, n};
    *at += n;
    if (r->state == BODY_CLOSE) return RESPONSE_BODY;
    r->left -= n;
    if (r->left == 0) r->state = r->state == CHUNK_DATA ? CHUNK_DATA_CR : DONE;
    return RESPONSE_BODY;
}

enum response_event response_next(struct response *r, const char **at, const char *end,
                                  struct str *piece)
{
    for (;;) {
        if (r->state == DONE) return RESPONSE_DONE;
        if (r->state == BAD) return RESPONSE_BAD;
        if (*at == end) return RESPONSE_MORE;
        r->started = true;
        enum response_event ev;
        switch (r->state) {
        case STATUS_LINE:
        case HEADER_LINE:
        case TRAILER_LINE:
            ev = take_line(r, at, end);
            break;
        case BODY_LENGTH:
        case BODY_CLOSE:
        case CHUNK_DATA:
            return take_body(r, at, end, piece);
        default:
            ev = take_framing(r, (unsigned char)*(*at)++);
            break;
        }
        if (ev == RESPONSE_BAD) return ev;
    }
}

enum response_event response_end(struct response *r)
{
    if (r->state == DONE || r->state == BODY_CLOSE) {
        r->state = DONE;
        return RESPONSE_DONE;
    }
    if (r->state == BAD) return RESPONSE_BAD;
    return bad(r, r->started ? "the connection ended inside the response"
                             : "the connection ended before the response");
}
