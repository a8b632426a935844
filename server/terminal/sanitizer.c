#include "server/terminal/sanitizer.h"

#include <string.h>

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f;
}

static void add_cr(struct sanitizer *s, struct strbuf *out)
{
    if (s->cr) strbuf_add_str(out, "\\x0d");
    s->cr = false;
}

static void add_character(struct sanitizer *s, uint32_t cp, size_t n, struct strbuf *out)
{
    bool turns = (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);

    if (cp == '\n') s->cr = false;
    add_cr(s, out);
    if (cp == '\r')
        s->cr = true;
    else if (cp == '\n' || cp == '\t')
        strbuf_add_char(out, (char)cp);
    else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
        strbuf_addf(out, "\\x%02x", (unsigned)cp);
    else if (turns)
        strbuf_addf(out, "\\u%04x", (unsigned)cp);
    else
        strbuf_add(out, s->carry, n);
}

/* Takes what is decided out of the carry. */
static void drain(struct sanitizer *s, struct strbuf *out)
{
    uint32_t cp;

    while (s->n_carry > 0 && utf8_complete_len(s->carry, s->n_carry) > 0) {
        int n = utf8_decode(s->carry, s->n_carry, &cp);
        if (n == 0) {
            add_cr(s, out);
            strbuf_add_utf8(out, 0xfffd);
            n = 1;
        } else {
            add_character(s, cp, (size_t)n, out);
        }
        s->n_carry = (unsigned char)(s->n_carry - n);
        memmove(s->carry, s->carry + n, s->n_carry);
    }
}

void sanitizer_feed(struct sanitizer *s, struct str text, struct strbuf *out)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = 0;
        if (s->n_carry == 0 && !s->cr)
            while (i + n < text.len && is_plain(text.data[i + n])) n++;
        if (n > 0) {
            strbuf_add(out, text.data + i, n);
            i += n;
        } else {
            s->carry[s->n_carry++] = text.data[i++];
            drain(s, out);
        }
    }
}

void sanitizer_end(struct sanitizer *s, struct strbuf *out)
{
    add_cr(s, out);
    if (s->n_carry > 0) strbuf_add_utf8(out, 0xfffd);
    s->n_carry = 0;
}

void sanitize(struct str text, bool one_line, struct strbuf *out)
{
    struct sanitizer s = {0};
    size_t start = out->len;

    sanitizer_feed(&s, text, out);
    sanitizer_end(&s, out);
    for (size_t i = start; one_line && i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == '\t') out->data[i] = ' ';
}
