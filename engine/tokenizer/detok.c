#include "engine/tokenizer/detok.h"

#include <string.h>

/* Decoding one token at a time: text from the tables, then through the steps. */

void detok_init(struct detok *d, const struct tokenizer *t, bool skip_special)
{
    *d = (struct detok){.tok = t, .skip_special = skip_special, .held = -1, .previous = -1};
    d->plain_test = TOKEN_PLAIN | TOKEN_KNOWN | (skip_special ? TOKEN_SPECIAL : 0);
    detok_op_init(d);
}

/* A token whose position is known. */
static void push_placed(struct detok *d, int32_t id, unsigned position, struct strbuf *out)
{
    const struct decoder *dec = &d->tok->decoder;
    struct str text = decoder_text(dec, id, position);
    if (dec->merges_repeats) {
        int32_t previous = d->previous;
        unsigned there = d->previous_position;
        d->previous = id;
        d->previous_position = (uint8_t)position;
        if (previous >= 0 && str_eq(text, decoder_text(dec, previous, there))) return;
    }
    if (text.len > 0) detok_op_put(d, 0, text.data, text.len, out);
    detok_op_end(d, 0, out);
}

/* How much of the token's text does not depend on whether it is the last one. */
static size_t certain_len(const struct decoder *dec, int32_t id, unsigned position)
{
    struct str a = decoder_text(dec, id, position);
    struct str b = decoder_text(dec, id, position | POSITION_LAST);
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n]) n++;
    while (n > 0 && n < a.len && ((uint8_t)a.data[n] & 0xC0) == 0x80) n--; /* whole characters */
    return n;
}

static void release_held(struct detok *d, bool last, struct strbuf *out)
{
    if (d->held < 0) return;
    unsigned position = d->held_position | (last ? POSITION_LAST : 0);
    if (d->held_sent == 0) {
        push_placed(d, d->held, position, out);
    } else {
        struct str text = decoder_text(&d->tok->decoder, d->held, position);
        strbuf_add(out, text.data + d->held_sent, text.len - (size_t)d->held_sent);
    }
    d->held = -1;
}

/* The last token's text differs: a token waits for the next one, but for what is certain of it. */
static void hold(struct detok *d, int32_t id, unsigned position, struct strbuf *out)
{
    const struct decoder *dec = &d->tok->decoder;
    release_held(d, false, out);
    d->held = id;
    d->held_position = (uint8_t)position;
    d->held_sent = 0;
    if (dec->n_ops > 0) return;
    size_t n = certain_len(dec, id, position);
    strbuf_add(out, decoder_text(dec, id, position).data, n);
    d->held_sent = (int32_t)n;
}

void detok_push(struct detok *d, int32_t id, struct strbuf *out)
{
    const struct tokenizer *t = d->tok;
    const struct decoder *dec = &t->decoder;
    if (id < 0 || (size_t)id >= t->n_ids) return;
    uint8_t flags = dec->flags[id];
    if (d->quiet && (flags & d->plain_test) == (TOKEN_PLAIN | TOKEN_KNOWN)) {
        const struct text_table *table = &dec->tables[POSITION_INNER];
        uint32_t from = table->offsets[id];
        strbuf_add(out, table->bytes.data + from, table->offsets[id + 1] - from);
        return;
    }
    if (!(flags & TOKEN_KNOWN) || (d->skip_special && (flags & TOKEN_SPECIAL))) return;
    unsigned position = d->started ? POSITION_INNER : POSITION_FIRST;
    d->started = true;
    if (dec->by_last) {
        hold(d, id, position, out);
        return;
    }
    push_placed(d, id, position, out);
    d->quiet = dec->can_be_quiet && detok_ops_quiet(d);
}

void detok_finish(struct detok *d, struct strbuf *out)
{
    release_held(d, true, out);
    detok_op_finish(d, 0, out);
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
    if (id < 0 || (size_t)id >= t->n_ids || !(t->decoder.flags[id] & TOKEN_KNOWN)) return;
    struct detok d = {.tok = t, .raw = true, .started = true, .held = -1, .previous = -1};
    detok_op_init(&d);
    push_placed(&d, id, POSITION_INNER, out);
    detok_op_finish(&d, 0, out);
}
