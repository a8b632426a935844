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

/* The stretch of the text that the map leaves alone is copied in one piece. */
struct run {
    struct stage_io *io;
    const struct charsmap *map;
    const char *pending;
    size_t head_out;
};

static bool replace(struct run *r, const char *from, const char *to)
{
    struct str text;
    if (!charsmap_begins(r->map, (unsigned char)*from) ||
        charsmap_shortest(r->map, from, (size_t)(to - from), &text) == 0)
        return false;
    strbuf_add(r->io->out, r->pending, (size_t)(from - r->pending));
    strbuf_add(r->io->out, text.data, text.len);
    r->pending = to;
    return true;
}

static void take_cluster(struct run *r, const char *from, const char *to)
{
    if (to - from <= CLUSTER_SIZE_MAX && replace(r, from, to)) return;
    for (const char *p = from; p < to;) {
        const char *next = p;
        (void)unicode_next(&next);
        (void)replace(r, p, next);
        p = next;
    }
}

enum status normalizer_run_precompiled(struct stage_io *io)
{
    const char *data = io->in.data, *end = data + io->in.len;
    struct run r = {io, io->stage->data, data, 0};
    /* The head is known once its clusters are through and something stands in the result: what is
     * replaced by nothing leaves its place to what follows. */
    bool head_open = io->head_len > 0;
    for (const char *p = data; p < end;) {
        const char *next = p + 1;
        /* Printable ASCII before ASCII is a cluster of its own. */
        bool single =
            (uint8_t)*p >= 0x20 && (uint8_t)*p < 0x7F && (next == end || (uint8_t)*next < 0x80);
        if (!single) next = p + unicode_grapheme(p, (size_t)(end - p));
        if (!single || charsmap_begins(r.map, (unsigned char)*p)) take_cluster(&r, p, next);
        p = next;
        size_t len = io->out->len + (size_t)(p - r.pending);
        if (!head_open || (size_t)(p - data) < io->head_len || len == 0) continue;
        head_open = false;
        r.head_out = len;
    }
    io->same = r.pending == data;
    io->head_len = r.head_out;
    if (!io->same) strbuf_add(io->out, r.pending, (size_t)(end - r.pending));
    return STATUS_OK;
}
