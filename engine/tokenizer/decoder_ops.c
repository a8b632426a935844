#include "engine/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

/* Making the steps that run while tokens arrive. */

/* A text may not become more than this many times longer: published chains make it 3 times longer
 * at most, and what a client can make the server write has a bound. */
#define GROWTH_MAX 1024

static const struct {
    const char *from, *to;
} cleanups[] = {
    {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
    {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
    {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};
#define N_CLEANUPS (sizeof(cleanups) / sizeof(cleanups[0]))

enum status decoder_add_op(struct decoder *d, struct decoder_op op, struct error *err)
{
    if (d->n_ops == DECODER_OPS_MAX) {
        free(op.borders);
        return error_set(err, STATUS_UNSUPPORTED,
                         "the decoders take more than %d steps after the tokens are joined",
                         DECODER_OPS_MAX);
    }
    op.joined = d->joined_of != NULL;
    d->ops[d->n_ops++] = op;
    return STATUS_OK;
}

/* borders[i]: the longest proper prefix of from[0..i] that also ends it. */
static uint16_t *make_borders(struct str from)
{
    uint16_t *borders = calloc(from.len, sizeof(*borders));
    uint16_t n = 0;
    for (size_t i = 1; borders && i < from.len; i++) {
        while (n > 0 && from.data[i] != from.data[n]) n = borders[n - 1];
        if (from.data[i] == from.data[n]) n++;
        borders[i] = n;
    }
    return borders;
}

enum status decoder_add_replace(struct decoder *d, struct str from, struct str to,
                                struct str to_first, struct error *err)
{
    const char *after = d->joined_of ? d->joined_of : d->tokens_of;
    if (from.len == 0)
        return error_set(err, STATUS_UNSUPPORTED, "an empty pattern after %s is not supported",
                         after);
    if (from.len > UINT16_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "a pattern of more than %d bytes", UINT16_MAX);
    size_t longest = to.len > to_first.len ? to.len : to_first.len;
    d->growth *= (longest + from.len - 1) / from.len + (longest == 0);
    if (d->growth > GROWTH_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the decoders after %s make a text more than %d times longer", after,
                         GROWTH_MAX);
    struct decoder_op op = {OP_REPLACE, from, to, to_first, make_borders(from), 0, 0, false};
    if (!op.borders) return error_set(err, STATUS_NO_MEMORY, "out of memory for a decoder");
    return decoder_add_op(d, op, err);
}

enum status decoder_add_cleanup(struct decoder *d, struct error *err)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < N_CLEANUPS; i++)
        st = decoder_add_replace(d, str_from(cleanups[i].from), str_from(cleanups[i].to),
                                 str_from(cleanups[i].to), err);
    return st;
}

void decoder_ops_free(struct decoder *d)
{
    for (int i = 0; i < d->n_ops; i++) free(d->ops[i].borders);
    d->n_ops = 0;
}

/* All replacements are shorter than what they replace: done in place. */
static void replace_in_place(struct strbuf *text, struct str from, struct str to)
{
    char *read = text->data, *write = text->data, *end = text->data + text->len;
    char *found = NULL;
    while ((found = memmem(read, (size_t)(end - read), from.data, from.len)) != NULL) {
        memmove(write, read, (size_t)(found - read));
        write += found - read;
        memcpy(write, to.data, to.len);
        write += to.len;
        read = found + from.len;
    }
    if (read == write) return;
    memmove(write, read, (size_t)(end - read));
    text->len -= (size_t)(read - write);
    text->data[text->len] = '\0';
}

void decoder_cleanup(struct strbuf *text)
{
    /* Each pattern is a blank and one of these; most tokens have none. */
    bool possible = false;
    for (size_t i = 0; !possible && i + 1 < text->len; i++)
        possible = text->data[i] == ' ' && strchr(".?!,'nd", text->data[i + 1]);
    for (size_t i = 0; possible && i < N_CLEANUPS; i++)
        replace_in_place(text, str_from(cleanups[i].from), str_from(cleanups[i].to));
}
