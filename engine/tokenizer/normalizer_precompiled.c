#include "engine/tokenizer/charsmap.h"
#include "engine/tokenizer/normalizer_kinds.h"

#include <string.h>

/* SentencePiece's map of characters as Hugging Face applies it: a whole grapheme cluster of up to
 * five bytes is replaced for the shortest key that it begins with, even where the key is a part of
 * it; of any other cluster, each character by itself. */

#define CLUSTER_SIZE_MAX 5

static void free_map(void *data)
{
    charsmap_free(data);
}

enum status normalizer_parse_precompiled(const cJSON *json, struct normalizer_stage *s,
                                         struct error *err)
{
    const char *text = NULL;
    enum status st = component_string(json, "precompiled_charsmap", &text, err);
    if (st != STATUS_OK) return st;
    struct charsmap *map = NULL;
    st = charsmap_parse_base64(text, strlen(text), &map, err);
    s->data = map;
    s->free_data = free_map;
    return st;
}

/* The stretch of the text that the map leaves alone is copied in one piece.  The reference aligns
 * the characters of a replacement with those that they replace, one by one, further ones with the
 * last; where nothing replaces them, what follows is aligned with them.  So the head of the result
 * is counted in characters. */
struct run {
    struct stage_io *io;
    const struct charsmap *map;
    const char *pending;
    size_t head_chars; /* of the head, still to be aligned with something */
    size_t head_out;
};

static size_t count_chars(const char *s, const char *end)
{
    size_t n = 0;
    for (; s < end; s++) n += ((uint8_t)*s & 0xC0) != 0x80;
    return n;
}

/* `text` stands in the result for the next n_old characters. */
static void align(struct run *r, size_t n_old, struct str text)
{
    if (r->head_chars == 0 || text.len == 0) return;
    const char *p = text.data, *end = p + text.len;
    if (r->head_chars >= n_old) {
        p = end;
    } else {
        for (size_t i = 0; i < r->head_chars && p < end; i++) (void)unicode_next(&p);
    }
    r->head_out += (size_t)(p - text.data);
    r->head_chars -= r->head_chars < n_old ? r->head_chars : n_old;
}

static bool replace(struct run *r, const char *from, const char *to)
{
    struct str text;
    if (!charsmap_begins(r->map, (unsigned char)*from) ||
        charsmap_shortest(r->map, from, (size_t)(to - from), &text) == 0)
        return false;
    strbuf_add(r->io->out, r->pending, (size_t)(from - r->pending));
    strbuf_add(r->io->out, text.data, text.len);
    r->pending = to;
    if (r->head_chars > 0) align(r, count_chars(from, to), text);
    return true;
}

static void take_cluster(struct run *r, const char *from, const char *to)
{
    if (to - from <= CLUSTER_SIZE_MAX && replace(r, from, to)) return;
    for (const char *p = from; p < to;) {
        const char *next = p;
        (void)unicode_next(&next);
        if (!replace(r, p, next)) align(r, 1, (struct str){p, (size_t)(next - p)});
        p = next;
    }
}

enum status normalizer_run_precompiled(struct stage_io *io)
{
    const char *data = io->in.data, *end = data + io->in.len;
    size_t head = io->head_len < io->in.len ? io->head_len : io->in.len;
    struct run r = {io, io->stage->data, data, count_chars(data, data + head), 0};
    for (const char *p = data; p < end;) {
        /* Printable ASCII before ASCII is a cluster of its own; the last may have marks behind. */
        size_t plain = r.head_chars == 0 ? charsmap_ascii_prefix(r.map, p, (size_t)(end - p)) : 0;
        if (plain > 0 && p + plain < end && (uint8_t)p[plain] >= 0x80) plain--;
        p += plain;
        if (p == end) break;
        const char *next = p + unicode_grapheme(p, (size_t)(end - p));
        take_cluster(&r, p, next);
        p = next;
    }
    io->same = r.pending == data;
    io->head_len = r.head_out;
    if (!io->same) strbuf_add(io->out, r.pending, (size_t)(end - r.pending));
    return STATUS_OK;
}
