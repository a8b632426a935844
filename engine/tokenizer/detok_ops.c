#include "engine/tokenizer/detok.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* What the two words of a step's state mean. */
enum {
    HELD = 0,       /* bytes or characters held back (or the mark below) */
    STRIP_LEFT = 1, /* OP_STRIP: characters that may still go at the start */
    DIGITS = 1,     /* OP_FALLBACK: the two digits of what is held back */
    NOT_FIRST = 1,  /* OP_REPLACE, OP_WORDPIECE: a token has ended */
};
#define DECIDED 7 /* HELD of a token that is none of those looked for */

static const struct decoder_op *op_of(const struct detok *d, int k)
{
    return &d->tok->decoder.ops[k];
}

/* --- replace ------------------------------------------------------------------------------------- */

/* What is held back is always a beginning of `from`, so its length says it all. */
static void replace_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    const struct decoder_op *op = op_of(d, k);
    struct str from = op->from;
    struct str to = d->state[k][NOT_FIRST] ? op->to : op->to_first;
    size_t n = (size_t)d->state[k][HELD];
    size_t carried = n, sent = 0; /* positions in: what was held back, then s */
    for (size_t i = 0; i < len; i++) {
        if (n == 0) {
            const char *found = memchr(s + i, from.data[0], len - i);
            if (!found) break;
            i = (size_t)(found - s);
        }
        while (n > 0 && from.data[n] != s[i]) n = op->borders[n - 1];
        if (from.data[n] == s[i]) n++;
        if (n < from.len) continue;
        size_t until = carried + i + 1 - from.len;
        if (sent < carried && until > sent) {
            size_t here = (until < carried ? until : carried) - sent;
            detok_op_put(d, k + 1, from.data + sent, here, out);
            sent += here;
        }
        if (until > sent) detok_op_put(d, k + 1, s + sent - carried, until - sent, out);
        if (to.len > 0) detok_op_put(d, k + 1, to.data, to.len, out);
        sent = carried + i + 1;
        n = 0;
    }
    d->state[k][HELD] = (int32_t)n;
    size_t until = carried + len - n;
    if (sent < carried && until > sent) {
        size_t here = (until < carried ? until : carried) - sent;
        detok_op_put(d, k + 1, from.data + sent, here, out);
        sent += here;
    }
    if (until > sent) detok_op_put(d, k + 1, s + sent - carried, until - sent, out);
}

static void replace_end(struct detok *d, int k, struct strbuf *out)
{
    size_t n = (size_t)d->state[k][HELD];
    if (n > 0) detok_op_put(d, k + 1, op_of(d, k)->from.data, n, out);
    d->state[k][HELD] = 0;
    d->state[k][NOT_FIRST] = 1;
    detok_op_end(d, k + 1, out);
}

/* --- strip --------------------------------------------------------------------------------------- */

static void strip_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    const struct decoder_op *op = op_of(d, k);
    struct str c = op->from;
    int32_t *left = &d->state[k][STRIP_LEFT], *held = &d->state[k][HELD];
    if (d->raw && op->joined) { /* the token is amid others */
        detok_op_put(d, k + 1, s, len, out);
        return;
    }
    while (*left > 0 && len > 0) {
        if (len < c.len || memcmp(s, c.data, c.len) != 0) {
            *left = 0;
            break;
        }
        s += c.len;
        len -= c.len;
        --*left;
    }
    if (len == 0) return;
    size_t body = len;
    int32_t trailing = 0;
    while (trailing < op->stop && body >= c.len && !memcmp(s + body - c.len, c.data, c.len)) {
        body -= c.len;
        trailing++;
    }
    int32_t keep = body > 0 ? 0 : op->stop - trailing; /* of those held back before */
    for (; *held > keep; --*held) detok_op_put(d, k + 1, c.data, c.len, out);
    if (body > 0) detok_op_put(d, k + 1, s, body, out);
    *held += trailing;
}

static void strip_end(struct detok *d, int k, struct strbuf *out)
{
    d->state[k][HELD] = 0; /* they were the last ones */
    d->state[k][STRIP_LEFT] = op_of(d, k)->start;
    detok_op_end(d, k + 1, out);
}

/* --- word pieces ----------------------------------------------------------------------------------- */

static void wordpiece_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    struct str prefix = op_of(d, k)->from;
    int32_t *held = &d->state[k][HELD]; /* bytes of the prefix; -1: the prefix is dealt with */
    if (d->state[k][NOT_FIRST] && *held >= 0) {
        size_t want = prefix.len - (size_t)*held, n = want < len ? want : len;
        if (!memcmp(s, prefix.data + *held, n)) {
            *held = n == want ? -1 : *held + (int32_t)n;
            s += n;
            len -= n;
        } else {
            detok_op_put(d, k + 1, " ", 1, out);
            if (*held > 0) detok_op_put(d, k + 1, prefix.data, (size_t)*held, out);
            *held = -1;
        }
    }
    if (len > 0) detok_op_put(d, k + 1, s, len, out);
}

static void wordpiece_end(struct detok *d, int k, struct strbuf *out)
{
    struct str prefix = op_of(d, k)->from;
    int32_t held = d->state[k][HELD];
    if (d->state[k][NOT_FIRST] && held >= 0 && (size_t)held < prefix.len) {
        detok_op_put(d, k + 1, " ", 1, out);
        if (held > 0) detok_op_put(d, k + 1, prefix.data, (size_t)held, out);
    }
    d->state[k][HELD] = 0;
    d->state[k][NOT_FIRST] = 1;
    detok_op_end(d, k + 1, out);
}

/* --- bytes: any, decoded with replacement ------------------------------------------------------------ */

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

/* Passes on what is decided of s[0,len); returns how many bytes at its end are not. */
static size_t put_decided(struct detok *d, int k, const uint8_t *s, size_t len, struct strbuf *out)
{
    size_t good = 0; /* characters that wait to be passed on together */
    while (good < len) {
        size_t used = 0;
        enum sequence kind = first_sequence(s + good, len - good, &used);
        if (kind == SEQUENCE_GOOD) {
            good += used;
            continue;
        }
        if (good > 0) detok_op_put(d, k + 1, (const char *)s, good, out);
        s += good;
        len -= good;
        good = 0;
        if (kind == SEQUENCE_CUT) return len;
        detok_op_put(d, k + 1, REPLACEMENT, 3, out);
        s += used;
        len -= used;
    }
    if (good > 0) detok_op_put(d, k + 1, (const char *)s, good, out);
    return 0;
}

static void lossy_put(struct detok *d, int k, const char *text, size_t len, struct strbuf *out)
{
    const uint8_t *s = (const uint8_t *)text;
    if (d->raw) {
        detok_op_put(d, k + 1, text, len, out);
        return;
    }
    while (d->n_cut > 0 && len > 0) { /* at most three bytes wait, and one decides */
        d->cut[d->n_cut++] = *s++;
        len--;
        size_t n = (size_t)d->n_cut, left = put_decided(d, k, d->cut, n, out);
        memmove(d->cut, d->cut + n - left, left);
        d->n_cut = (int)left;
    }
    if (len == 0) return;
    size_t left = put_decided(d, k, s, len, out);
    memcpy(d->cut, s + len - left, left);
    d->n_cut = (int)left;
}

static void lossy_finish(struct detok *d, int k, struct strbuf *out)
{
    if (d->n_cut > 0) detok_op_put(d, k + 1, REPLACEMENT, 3, out); /* one cut character */
    d->n_cut = 0;
    detok_op_end(d, k + 1, out);
    detok_op_finish(d, k + 1, out);
}

/* --- byte fallback: runs of <0xNN> ------------------------------------------------------------------- */

static void put_replacements(struct detok *d, int k, int n, struct strbuf *out)
{
    for (int i = 0; i < n; i++) {
        detok_op_put(d, k + 1, REPLACEMENT, 3, out);
        detok_op_end(d, k + 1, out);
    }
}

static void put_run(struct detok *d, int k, size_t n, struct strbuf *out)
{
    detok_op_put(d, k + 1, (const char *)d->pending, n, out);
    detok_op_end(d, k + 1, out);
    memmove(d->pending, d->pending + n, (size_t)d->n_pending - n);
    d->n_pending -= (int)n;
}

/* A run that is UTF-8 gives its characters, any other one U+FFFD per token; so a run is held back
 * until it ends or turns bad. */
static void add_run_byte(struct detok *d, int k, uint8_t byte, struct strbuf *out)
{
    if (d->run_bad) {
        put_replacements(d, k, 1, out);
        return;
    }
    d->pending[d->n_pending++] = byte;
    if (d->raw) {
        put_run(d, k, 1, out);
        return;
    }
    size_t n = (size_t)d->n_pending, at = 0, used = 0;
    enum sequence kind = SEQUENCE_GOOD;
    while (at < n && (kind = first_sequence(d->pending + at, n - at, &used)) == SEQUENCE_GOOD)
        at += used;
    if (kind == SEQUENCE_BAD) {
        put_replacements(d, k, d->n_pending, out);
        d->n_pending = 0;
        d->run_bad = true;
    } else if (n == sizeof(d->pending)) { /* long enough: give out its whole characters */
        put_run(d, k, at, out);
    }
}

static void end_run(struct detok *d, int k, struct strbuf *out)
{
    d->run_bad = false;
    if (d->n_pending == 0) return;
    if (utf8_valid((const char *)d->pending, (size_t)d->n_pending))
        put_run(d, k, (size_t)d->n_pending, out);
    else
        put_replacements(d, k, d->n_pending, out);
    d->n_pending = 0;
}

/* A token that is no byte has come.  Before the single one of a joined text there is no run, and
 * the one held back may belong to a step in front of this one. */
static void end_run_before(struct detok *d, int k, struct strbuf *out)
{
    if (!op_of(d, k)->joined) end_run(d, k, out);
}

/* The token of which HELD bytes were held back because it could be <0xNN>. */
static void fallback_held(const struct detok *d, int k, char text[6])
{
    memcpy(text, "<0x00>", 6);
    text[3] = (char)(d->state[k][DIGITS] & 0xFF);
    text[4] = (char)(d->state[k][DIGITS] >> 8);
}

static void fallback_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    int32_t *held = &d->state[k][HELD];
    if (*held == DECIDED) {
        detok_op_put(d, k + 1, s, len, out);
        return;
    }
    size_t n = (size_t)*held;
    bool possible = n + len <= 6;
    for (size_t i = 0; possible && i < len; i++)
        possible = n + i == 3 || n + i == 4 || s[i] == "<0x00>"[n + i];
    if (possible) {
        for (size_t i = 0; i < len; i++)
            if (n + i == 3 || n + i == 4)
                d->state[k][DIGITS] |= (int32_t)((uint32_t)(uint8_t)s[i] << (8 * (n + i - 3)));
        *held += (int32_t)len;
        return;
    }
    char text[6];
    fallback_held(d, k, text);
    end_run_before(d, k, out);
    if (n > 0) detok_op_put(d, k + 1, text, n, out);
    detok_op_put(d, k + 1, s, len, out);
    *held = DECIDED;
}

static void fallback_end(struct detok *d, int k, struct strbuf *out)
{
    char text[6];
    int32_t held = d->state[k][HELD];
    fallback_held(d, k, text);
    d->state[k][HELD] = d->state[k][DIGITS] = 0;
    int byte = held == 6 ? decoder_fallback_byte((struct str){text, 6}) : -1;
    if (byte >= 0) {
        add_run_byte(d, k, (uint8_t)byte, out);
        return;
    }
    if (held != DECIDED) {
        end_run_before(d, k, out);
        if (held > 0) detok_op_put(d, k + 1, text, (size_t)held, out);
    }
    detok_op_end(d, k + 1, out);
}

static void fallback_finish(struct detok *d, int k, struct strbuf *out)
{
    end_run(d, k, out);
    detok_op_finish(d, k + 1, out);
}

/* --- the rest ---------------------------------------------------------------------------------------- */

static void drop_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    d->state[k][HELD] = 1;
    detok_op_put(d, k + 1, s, len, out);
}

static void drop_end(struct detok *d, int k, struct strbuf *out)
{
    if (d->state[k][HELD]) detok_op_end(d, k + 1, out);
    d->state[k][HELD] = 0;
}

static void pass_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    detok_op_put(d, k + 1, s, len, out);
}

static void pass_finish(struct detok *d, int k, struct strbuf *out)
{
    detok_op_finish(d, k + 1, out);
}

static void no_end(struct detok *d, int k, struct strbuf *out)
{
    (void)d, (void)k, (void)out;
}

static void fuse_finish(struct detok *d, int k, struct strbuf *out)
{
    detok_op_end(d, k + 1, out);
    detok_op_finish(d, k + 1, out);
}

static const struct {
    void (*put)(struct detok *d, int k, const char *s, size_t len, struct strbuf *out);
    void (*end)(struct detok *d, int k, struct strbuf *out);
    void (*finish)(struct detok *d, int k, struct strbuf *out);
} ops[] = {
    [OP_REPLACE] = {replace_put, replace_end, pass_finish},
    [OP_STRIP] = {strip_put, strip_end, pass_finish},
    [OP_WORDPIECE] = {wordpiece_put, wordpiece_end, pass_finish},
    [OP_FALLBACK] = {fallback_put, fallback_end, fallback_finish},
    [OP_DROP_EMPTY] = {drop_put, drop_end, pass_finish},
    [OP_FUSE] = {pass_put, no_end, fuse_finish},
    [OP_LOSSY] = {lossy_put, no_end, lossy_finish},
};

void detok_op_put(struct detok *d, int k, const char *s, size_t len, struct strbuf *out)
{
    if (k == d->tok->decoder.n_ops)
        strbuf_add(out, s, len);
    else
        ops[op_of(d, k)->type].put(d, k, s, len, out);
}

void detok_op_end(struct detok *d, int k, struct strbuf *out)
{
    if (k < d->tok->decoder.n_ops) ops[op_of(d, k)->type].end(d, k, out);
}

void detok_op_finish(struct detok *d, int k, struct strbuf *out)
{
    if (k < d->tok->decoder.n_ops) ops[op_of(d, k)->type].finish(d, k, out);
}

void detok_op_init(struct detok *d)
{
    for (int k = 0; k < d->tok->decoder.n_ops; k++) {
        const struct decoder_op *op = op_of(d, k);
        if (op->type == OP_STRIP)
            d->state[k][STRIP_LEFT] = op->start;
        else if (d->raw && (op->type == OP_REPLACE || op->type == OP_WORDPIECE))
            d->state[k][NOT_FIRST] = 1;
    }
}

bool detok_ops_quiet(const struct detok *d)
{
    if (d->n_pending > 0 || d->run_bad || d->n_cut > 0) return false;
    for (int k = 0; k < d->tok->decoder.n_ops; k++)
        if (op_of(d, k)->type == OP_STRIP && d->state[k][STRIP_LEFT] > 0) return false;
    return true;
}
