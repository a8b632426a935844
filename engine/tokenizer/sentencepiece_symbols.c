#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/sentencepiece.h"

#include <stdlib.h>
#include <string.h>

/* User-defined pieces, found by narrowing a sorted list byte by byte. */

static int compare(const void *left, const void *right)
{
    const struct str *a = left, *b = right;
    size_t shared = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->data, b->data, shared);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

enum status sentencepiece_symbols_init(struct sentencepiece_symbols *s, const struct tokenizer *t,
                                       const struct sentencepiece *m, struct error *err)
{
    size_t n = 0, size = 0;
    *s = (struct sentencepiece_symbols){0};
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (m->types[i] != PIECE_USER_DEFINED) continue;
        n++;
        size += vocab_text(&t->vocab, (int64_t)i).len;
    }
    if (n == 0) return STATUS_OK;
    s->sorted = malloc(n * sizeof(*s->sorted));
    s->bytes = malloc(size);
    if (!s->sorted || !s->bytes) {
        sentencepiece_symbols_free(s);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for %zu user-defined pieces", n);
    }
    char *to = s->bytes;
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (m->types[i] != PIECE_USER_DEFINED) continue;
        struct str text = vocab_text(&t->vocab, (int64_t)i);
        memcpy(to, text.data, text.len);
        s->sorted[s->n++] = (struct str){to, text.len};
        s->begins[(uint8_t)*to] = true;
        to += text.len;
    }
    qsort(s->sorted, s->n, sizeof(*s->sorted), compare);
    return STATUS_OK;
}

void sentencepiece_symbols_free(struct sentencepiece_symbols *s)
{
    free(s->sorted);
    free(s->bytes);
    *s = (struct sentencepiece_symbols){0};
}

/* The first of sorted[low, high), which share `at` bytes, whose next byte is not below `byte`. */
static size_t lower_bound(const struct sentencepiece_symbols *s, size_t low, size_t high, size_t at,
                          unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct str *symbol = &s->sorted[middle];
        if (symbol->len == at || (uint8_t)symbol->data[at] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t sentencepiece_symbols_match(const struct sentencepiece_symbols *s, const char *text,
                                   size_t len)
{
    if (len == 0 || !s->begins[(uint8_t)*text]) return 0;
    size_t low = 0, high = s->n, longest = 0;
    for (size_t at = 0; at < len; at++) {
        unsigned byte = (uint8_t)text[at];
        low = lower_bound(s, low, high, at, byte);
        high = lower_bound(s, low, high, at, byte + 1);
        if (low == high) break;
        if (s->sorted[low].len == at + 1) longest = at + 1; /* it sorts before what it begins */
    }
    return longest;
}
