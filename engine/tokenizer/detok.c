#include "engine/tokenizer/internal.h"

#include <string.h>

/* Decoding one token at a time.  A token's bytes go
 *   byte runs or byte-level characters -> strip of the joined text -> out
 * and wait only where what follows may still change them. */

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* struct detok's state[] */
enum {
    STATE_STRIP_START, /* characters that may still be stripped at the start */
    STATE_STRIP_HELD,  /* characters held back because they may be the last ones */
    STATE_RUN_BAD,     /* the current run of byte tokens is not UTF-8 */
};

void detok_init(struct detok *d, const struct tokenizer *t, bool skip_special)
{
    *d = (struct detok){.tok = t, .skip_special = skip_special};
    d->state[STATE_STRIP_START] = t->decoder.strip_start;
}

/* --- the joined text ------------------------------------------------------------------------------- */

static void put(struct detok *d, const char *s, size_t len, struct strbuf *out)
{
    const struct decoder *dec = &d->tok->decoder;
    const char *c = dec->strip_character;
    size_t c_len = strlen(c);
    while (d->state[STATE_STRIP_START] > 0 && len > 0) {
        if (len < c_len || memcmp(s, c, c_len) != 0) {
            d->state[STATE_STRIP_START] = 0;
            break;
        }
        s += c_len;
        len -= c_len;
        d->state[STATE_STRIP_START]--;
    }
    if (dec->strip_stop == 0) {
        strbuf_add(out, s, len);
        return;
    }
    if (len == 0) return;
    size_t body = len;
    int32_t trailing = 0;
    while (body >= c_len && !memcmp(s + body - c_len, c, c_len)) {
        body -= c_len;
        trailing++;
    }
    if (body > 0) {
        for (; d->state[STATE_STRIP_HELD] > 0; d->state[STATE_STRIP_HELD]--)
            strbuf_add(out, c, c_len);
        strbuf_add(out, s, body);
    }
    d->state[STATE_STRIP_HELD] += trailing;
    for (; d->state[STATE_STRIP_HELD] > dec->strip_stop; d->state[STATE_STRIP_HELD]--)
        strbuf_add(out, c, c_len);
}

/* --- byte-level: any bytes, decoded with replacement --------------------------------------------------- */

/* The sequence at the start of s[0,len), len > 0: its length and whether it is a character, never
 * one, or one that more bytes could complete.  A bad one is as long as what could have begun a
 * character (Unicode 15, section 3.9, "maximal subpart"), as Rust's from_utf8_lossy has it. */
enum sequence { SEQUENCE_GOOD, SEQUENCE_BAD, SEQUENCE_CUT };

static enum sequence first_sequence(const uint8_t *s, size_t len, size_t *used)
{
    uint8_t c = s[0];
    *used = 1;
    if (c < 0x80) return SEQUENCE_GOOD;
    if (c < 0xC2 || c > 0xF4) return SEQUENCE_BAD;
    size_t want = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < want; i++) {
        if (i == len) return SEQUENCE_CUT;
        if (s[i] < low || s[i] > high) return SEQUENCE_BAD;
        *used = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return SEQUENCE_GOOD;
}

/* Writes out what is decided of s[0,len); returns how many bytes at its end are not. */
static size_t put_lossy(struct detok *d, const uint8_t *s, size_t len, struct strbuf *out)
{
    size_t good = 0; /* characters that wait to be written together */
    while (good < len) {
        size_t used = 0;
        enum sequence kind = first_sequence(s + good, len - good, &used);
        if (kind == SEQUENCE_GOOD) {
            good += used;
            continue;
        }
        put(d, (const char *)s, good, out);
        s += good;
        len -= good;
        good = 0;
        if (kind == SEQUENCE_CUT) return len;
        put(d, REPLACEMENT, 3, out);
        s += used;
        len -= used;
    }
    put(d, (const char *)s, good, out);
    return 0;
}

static void push_bytes(struct detok *d, struct str text, struct strbuf *out)
{
    const uint8_t *s = (const uint8_t *)text.data;
    size_t len = text.len;
    while (d->n_pending > 0 && len > 0) { /* at most three bytes wait, and one decides */
        d->pending[d->n_pending++] = *s++;
        len--;
        size_t n = (size_t)d->n_pending, left = put_lossy(d, d->pending, n, out);
        memmove(d->pending, d->pending + n - left, left);
        d->n_pending = (int)left;
    }
    if (len == 0) return;
    size_t left = put_lossy(d, s, len, out);
    memcpy(d->pending, s + len - left, left);
    d->n_pending = (int)left;
}

/* --- byte fallback: runs of <0xNN> --------------------------------------------------------------------- */

static void put_replacements(struct detok *d, int n, struct strbuf *out)
{
    for (int i = 0; i < n; i++) put(d, REPLACEMENT, 3, out);
}

/* A run that is UTF-8 gives its characters, any other one U+FFFD per token; so a run is held back
 * until it ends or turns bad. */
static void push_run_byte(struct detok *d, uint8_t byte, struct strbuf *out)
{
    if (d->state[STATE_RUN_BAD]) {
        put_replacements(d, 1, out);
        return;
    }
    d->pending[d->n_pending++] = byte;
    size_t n = (size_t)d->n_pending, at = 0, used = 0;
    enum sequence kind = SEQUENCE_GOOD;
    while (at < n && (kind = first_sequence(d->pending + at, n - at, &used)) == SEQUENCE_GOOD)
        at += used;
    if (kind == SEQUENCE_BAD) {
        put_replacements(d, d->n_pending, out);
        d->n_pending = 0;
        d->state[STATE_RUN_BAD] = 1;
    } else if (n == sizeof(d->pending)) { /* long enough: give out its whole characters */
        put(d, (const char *)d->pending, at, out);
        memmove(d->pending, d->pending + at, n - at);
        d->n_pending = (int)(n - at);
    }
}

static void end_run(struct detok *d, struct strbuf *out)
{
    if (utf8_valid((const char *)d->pending, (size_t)d->n_pending))
        put(d, (const char *)d->pending, (size_t)d->n_pending, out);
    else
        put_replacements(d, d->n_pending, out);
    d->n_pending = 0;
    d->state[STATE_RUN_BAD] = 0;
}

/* --- the calls ------------------------------------------------------------------------------------------- */

void detok_push(struct detok *d, int32_t id, struct strbuf *out)
{
    const struct tokenizer *t = d->tok;
    if (!tokenizer_id_to_token(t, id)) return;
    if (d->skip_special && tokenizer_is_special(t, id)) return;
    bool first = !d->started;
    d->started = true;
    struct str text = decoder_text(t, id, first);
    if (t->decoder.byte_level) {
        push_bytes(d, text, out);
        return;
    }
    if (!t->decoder.present && !first) put(d, " ", 1, out);
    int byte = t->decoder.byte_fallback ? decoder_fallback_byte(text) : -1;
    if (byte >= 0) {
        push_run_byte(d, (uint8_t)byte, out);
        return;
    }
    if (t->decoder.byte_fallback) end_run(d, out);
    put(d, text.data, text.len, out);
}

void detok_finish(struct detok *d, struct strbuf *out)
{
    if (d->tok->decoder.byte_fallback) end_run(d, out);
    if (d->n_pending > 0) put(d, REPLACEMENT, 3, out); /* one cut sequence is one character */
    d->n_pending = 0;
    d->state[STATE_STRIP_HELD] = 0; /* they were the last ones */
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct strbuf *out)
{
    struct detok d;
    detok_init(&d, t, skip_special);
    for (size_t i = 0; i < n; i++) detok_push(&d, ids[i], out);
    detok_finish(&d, out);
}

void tokenizer_token_bytes(const struct tokenizer *t, int32_t id, struct strbuf *out)
{
    struct str text = decoder_text(t, id, false);
    int byte = t->decoder.byte_fallback ? decoder_fallback_byte(text) : -1;
    if (byte >= 0)
        strbuf_add_char(out, (char)byte);
    else
        strbuf_add(out, text.data, text.len);
}
