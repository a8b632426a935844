#include "server/sse_lines.h"

#include <string.h>

void sse_lines_init(struct sse_lines *l, size_t max_line)
{
    strbuf_init(&l->carry, max_line);
}

void sse_lines_reset(struct sse_lines *l)
{
    strbuf_clear(&l->carry);
}

void sse_lines_free(struct sse_lines *l)
{
    strbuf_free(&l->carry);
}

static struct str without_cr(const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r') len--;
    return (struct str){line, len};
}

bool sse_lines_feed(struct sse_lines *l, const char *data, size_t len,
                    void (*on_line)(void *arg, struct str line), void *arg)
{
    const char *end = data + len;
    while (data < end && !l->carry.failed) {
        const char *lf = memchr(data, '\n', (size_t)(end - data));
        size_t n = (size_t)((lf ? lf : end) - data);
        if (!lf) {
            strbuf_add(&l->carry, data, n);
        } else if (l->carry.len > 0) {
            strbuf_add(&l->carry, data, n);
            if (l->carry.failed) break;
            on_line(arg, without_cr(l->carry.data, l->carry.len));
            strbuf_clear(&l->carry);
        } else {
            on_line(arg, without_cr(data, n));
        }
        data += n + (lf != NULL);
    }
    return !l->carry.failed;
}

bool sse_line_data(struct str line, struct str *value)
{
    if (!str_starts_with(line, STR("data:"))) return false;
    size_t skip = line.len > 5 && line.data[5] == ' ' ? 6 : 5;
    *value = (struct str){line.data + skip, line.len - skip};
    return true;
}
