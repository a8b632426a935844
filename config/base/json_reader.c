#include "config/base/json_reader.h"

#include "config/base/json_string.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_reader_init(struct json_reader *r, struct str text)
{
    *r = (struct json_reader){.p = text.data, .end = text.data + text.len};
    strbuf_init(&r->key, 0);
}

void json_reader_free(struct json_reader *r)
{
    strbuf_free(&r->key);
}

static void skip_space(struct json_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

/* Past the string whose opening quote is at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\') p++;
    }
    return end;
}

bool json_enter(struct json_reader *r, char open)
{
    skip_space(r);
    if (r->p == r->end || *r->p != open) return false;
    r->p++;
    return true;
}

bool json_next_item(struct json_reader *r)
{
    skip_space(r);
    if (r->p < r->end && *r->p == ',') {
        r->p++;
        skip_space(r);
    }
    if (r->p == r->end) return false;
    if (*r->p != ']' && *r->p != '}') return true;
    r->p++;
    return false;
}

bool json_next_member(struct json_reader *r, struct str *key)
{
    if (!json_next_item(r) || *r->p != '"') return false;
    const char *from = r->p;
    r->p = skip_string(from, r->end);
    if (!json_value_string((struct str){from, (size_t)(r->p - from)}, &r->key, key)) return false;
    skip_space(r);
    if (r->p == r->end || *r->p != ':') return false;
    r->p++;
    skip_space(r);
    return true;
}

struct str json_value(struct json_reader *r)
{
    skip_space(r);
    const char *from = r->p, *p = from, *end = r->end;
    size_t depth = 0;
    while (p < end) {
        char c = *p;
        if (c == '"') {
            p = skip_string(p, end);
            if (depth == 0) break;
            continue;
        }
        bool closes = c == ']' || c == '}';
        if (depth == 0 && (closes || c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t'))
            break; /* the end of a number or a word */
        p++;
        if (c == '[' || c == '{') depth++;
        if (closes && --depth == 0) break;
    }
    r->p = p;
    return (struct str){from, (size_t)(p - from)};
}

bool json_value_string(struct str value, struct strbuf *buffer, struct str *out)
{
    if (value.len < 2 || value.data[0] != '"') return false;
    struct error err;
    if (!memchr(value.data, '\\', value.len)) {
        *out = (struct str){value.data + 1, value.len - 2};
        return true;
    }
    strbuf_clear(buffer);
    if (json_string_decode(value.data, value.len, buffer, &err) != STATUS_OK) return false;
    *out = (struct str){buffer->data ? buffer->data : "", buffer->len};
    return true;
}

bool json_value_i64(struct str value, int64_t min, int64_t max, int64_t *out)
{
    int64_t n = 0;
    size_t i = 0;
    while (i < value.len && i < 15 && value.data[i] >= '0' && value.data[i] <= '9')
        n = n * 10 + (value.data[i++] - '0');
    if (i == 0 || i < value.len) { /* not a plain count */
        char copy[64], *stop;
        if (value.len == 0 || value.len >= sizeof(copy) || !strchr("-0123456789", value.data[0]))
            return false;
        memcpy(copy, value.data, value.len);
        copy[value.len] = '\0';
        double v = strtod(copy, &stop);
        if (*stop || !(fabs(v) <= 0x1p53) || v != floor(v)) return false;
        n = (int64_t)v;
    }
    if (n < min || n > max) return false;
    *out = n;
    return true;
}
