#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

/* The front part of the chain applied to every token, once. */

/* A chain that makes one text, or all of them, longer than this has no sense. */
#define TOKEN_SIZE_LIMIT ((size_t)1 << 24)
#define TABLE_SIZE_LIMIT ((size_t)1 << 29)

static bool build_table(const struct tokenizer *t, unsigned position, struct text_table *table)
{
    const struct decoder *d = &t->decoder;
    struct regex_scratch scratch = {0};
    struct strbuf buffers[2];
    strbuf_init(&table->bytes, TABLE_SIZE_LIMIT);
    strbuf_init(&buffers[0], TOKEN_SIZE_LIMIT);
    strbuf_init(&buffers[1], TOKEN_SIZE_LIMIT);
    table->offsets = malloc((t->n_ids + 1) * sizeof(*table->offsets));
    bool good = table->offsets != NULL;
    for (size_t id = 0; good && id < t->n_ids; id++) {
        table->offsets[id] = (uint32_t)table->bytes.len;
        if (!(d->flags[id] & TOKEN_KNOWN)) continue;
        struct str text = str_from(tokenizer_id_to_token(t, (int32_t)id));
        for (int i = 0; good && i < d->n_prefix; i++) {
            struct strbuf *out = &buffers[i & 1];
            strbuf_clear(out);
            good = d->stages[i].kind->run(&d->stages[i], &scratch, text, position, out);
            good = good && !out->failed;
            text = (struct str){out->data ? out->data : "", out->len};
        }
        strbuf_add(&table->bytes, text.data, text.len);
        good = good && !table->bytes.failed;
    }
    if (good) table->offsets[t->n_ids] = (uint32_t)table->bytes.len;
    strbuf_add_char(&table->bytes, '\0'); /* so that there is memory even for no text */
    good = good && !table->bytes.failed;
    regex_scratch_free(&scratch);
    strbuf_free(&buffers[0]);
    strbuf_free(&buffers[1]);
    return good;
}

/* Special is a text, whichever id it has: a list of pieces may have one twice. */
static bool is_special(const struct tokenizer *t, int32_t id, const char *text)
{
    if (t->vocab.n_tokens == t->vocab.n_ids) return tokenizer_is_special(t, id);
    const struct added_token *added = added_tokens_by_content(&t->added, text, strlen(text));
    return added && added->special;
}

enum status decoder_build(struct tokenizer *t, struct error *err)
{
    struct decoder *d = &t->decoder;
    unsigned used = (d->by_first ? POSITION_FIRST : 0) | (d->by_last ? POSITION_LAST : 0);
    d->flags = calloc(t->n_ids + 1, 1);
    if (!d->flags) return error_set(err, STATUS_NO_MEMORY, "out of memory for the decoder");
    for (size_t id = 0; id < t->n_ids; id++) {
        const char *text = tokenizer_id_to_token(t, (int32_t)id);
        if (!text) continue;
        d->flags[id] |= TOKEN_KNOWN;
        if (is_special(t, (int32_t)id, text)) d->flags[id] |= TOKEN_SPECIAL;
    }
    for (unsigned position = 0; position < POSITION_COUNT; position++)
        if ((position & ~used) == 0 && !build_table(t, position, &d->tables[position]))
            return error_set(err, STATUS_UNSUPPORTED,
                             "the decoder cannot be applied to every token: out of memory, texts "
                             "that grow without need, or a pattern that takes too many steps");
    for (size_t id = 0; id < t->n_ids; id++) {
        if (!(d->flags[id] & TOKEN_KNOWN)) continue;
        struct str text = decoder_text(d, (int32_t)id, POSITION_INNER);
        if ((text.len == 0 || utf8_valid(text.data, text.len)) && decoder_fallback_byte(text) < 0)
            d->flags[id] |= TOKEN_PLAIN;
    }
    return STATUS_OK;
}

struct str decoder_text(const struct decoder *d, int32_t id, unsigned position)
{
    if (!d->by_first) position &= ~(unsigned)POSITION_FIRST;
    if (!d->by_last) position &= ~(unsigned)POSITION_LAST;
    const struct text_table *table = &d->tables[position];
    uint32_t from = table->offsets[id], until = table->offsets[id + 1];
    return (struct str){table->bytes.data + from, until - from};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int decoder_fallback_byte(struct str text)
{
    if (text.len != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') return -1;
    int high = text.data[3] == '+' ? 0 : hex_digit(text.data[3]); /* Rust's parser takes a sign */
    int low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}
