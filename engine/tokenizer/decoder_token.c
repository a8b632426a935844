#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/decoder.h"
#include "engine/tokenizer/unicode.h"

#include <string.h>

/* What each decoder does to one token's text by itself; applied to the whole vocabulary. */

/* As Rust's str::replace: an empty `from` is found before each character and at the end. */
static void replace_all(struct str in, struct str from, struct str to, struct strbuf *out)
{
    const char *p = in.data, *end = in.data + in.len;
    while (from.len == 0 && p < end) {
        const char *next = p;
        (void)unicode_next(&next);
        strbuf_add(out, to.data, to.len);
        strbuf_add(out, p, (size_t)(next - p));
        p = next;
    }
    if (from.len == 0) {
        strbuf_add(out, to.data, to.len);
        return;
    }
    const char *found = NULL;
    while ((found = memmem(p, (size_t)(end - p), from.data, from.len)) != NULL) {
        strbuf_add(out, p, (size_t)(found - p));
        strbuf_add(out, to.data, to.len);
        p = found + from.len;
    }
    strbuf_add(out, p, (size_t)(end - p));
}

bool decoder_run_blank(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                       unsigned position, struct strbuf *out)
{
    (void)s, (void)scratch;
    if (!(position & POSITION_FIRST)) strbuf_add_char(out, ' ');
    strbuf_add(out, in.data, in.len);
    return true;
}

bool decoder_run_replace(const struct decoder_stage *s, struct regex_scratch *scratch,
                         struct str in, unsigned position, struct strbuf *out)
{
    (void)position;
    if (!s->pattern) {
        replace_all(in, str_from(s->from), str_from(s->to), out);
        return true;
    }
    struct regex_cursor cursor = {0};
    size_t done = 0, start = 0, end = 0;
    enum regex_result found = REGEX_END;
    while (in.len > 0 &&
           (found = regex_next(s->pattern, scratch, in, &cursor, &start, &end)) == REGEX_MATCH) {
        strbuf_add(out, in.data + done, start - done);
        strbuf_add_str(out, s->to);
        done = end;
    }
    strbuf_add(out, in.data + done, in.len - done);
    return found == REGEX_END;
}

bool decoder_run_metaspace(const struct decoder_stage *s, struct regex_scratch *scratch,
                           struct str in, unsigned position, struct strbuf *out)
{
    (void)scratch;
    bool drop = (position & POSITION_FIRST) && !s->keeps_blank;
    replace_all(in, str_from(s->from), drop ? STR("") : STR(" "), out);
    return true;
}

bool decoder_run_strip(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                       unsigned position, struct strbuf *out)
{
    (void)scratch, (void)position;
    size_t len = strlen(s->from);
    for (int32_t i = 0; i < s->start && in.len >= len && !memcmp(in.data, s->from, len); i++)
        in = (struct str){in.data + len, in.len - len};
    for (int32_t i = 0; i < s->stop && in.len >= len; i++) {
        if (memcmp(in.data + in.len - len, s->from, len) != 0) break;
        in.len -= len;
    }
    strbuf_add(out, in.data, in.len);
    return true;
}

bool decoder_run_wordpiece(const struct decoder_stage *s, struct regex_scratch *scratch,
                           struct str in, unsigned position, struct strbuf *out)
{
    (void)scratch;
    struct str prefix = str_from(s->from);
    if (!(position & POSITION_FIRST)) {
        if (str_starts_with(in, prefix))
            in = (struct str){in.data + prefix.len, in.len - prefix.len};
        else
            strbuf_add_char(out, ' ');
    }
    strbuf_add(out, in.data, in.len);
    if (s->cleanup && !out->failed) decoder_cleanup(out);
    return true;
}

bool decoder_run_bpe(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                     unsigned position, struct strbuf *out)
{
    (void)scratch;
    bool last = (position & POSITION_LAST) != 0;
    replace_all(in, str_from(s->from), last ? STR("") : STR(" "), out);
    return true;
}

/* The bytes that the characters of a token stand for; the token's own bytes when one of them
 * stands for none. */
bool decoder_run_byte_level(const struct decoder_stage *s, struct regex_scratch *scratch,
                            struct str in, unsigned position, struct strbuf *out)
{
    (void)s, (void)scratch, (void)position;
    char chunk[256];
    size_t n = 0, before = out->len;
    for (const char *p = in.data, *end = p + in.len; p < end;) {
        int byte = byte_level_byte(unicode_next(&p));
        if (byte < 0) {
            out->len = before;
            strbuf_add(out, in.data, in.len);
            return true;
        }
        chunk[n++] = (char)byte;
        if (n == sizeof(chunk)) {
            strbuf_add(out, chunk, n);
            n = 0;
        }
    }
    strbuf_add(out, chunk, n);
    return true;
}
