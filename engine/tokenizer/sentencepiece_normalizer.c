#include "engine/tokenizer/charsmap.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/sentencepiece.h"

#include <stdlib.h>
#include <string.h>

/* The library's normalisation: characters through the map, user-defined pieces as they are, blanks
 * collapsed and written U+2581.
 *
 * The blank before the text depends on whether the text is the original's start, which the stages
 * of a normalizer do not know.  So it is a Metaspace that puts a plain blank there, of which the
 * escaped text has no other, and a second one that escapes it. */

struct rules {
    struct charsmap *map; /* NULL = none */
    struct sentencepiece_symbols symbols;
    bool blank_before, blank_behind; /* the dummy blank, written here */
    bool blank_later;                /* by the pre-tokenizer */
    bool remove_blanks, escape_blanks;
};

static void free_rules(void *data)
{
    struct rules *r = data;
    if (!r) return;
    charsmap_free(r->map);
    sentencepiece_symbols_free(&r->symbols);
    free(r);
}

/* What the start of `in`, not empty, becomes; the bytes it takes. */
static size_t next_part(const struct rules *r, struct str in, struct str *out)
{
    size_t size = sentencepiece_symbols_match(&r->symbols, in.data, in.len);
    if (size == 0 && r->map && charsmap_begins(r->map, (unsigned char)*in.data)) {
        size = charsmap_longest(r->map, in.data, in.len, out);
        if (size > 0) return size;
    }
    const char *end = in.data;
    if (size == 0) (void)unicode_next(&end);
    size = size ? size : (size_t)(end - in.data);
    *out = (struct str){in.data, size};
    return size;
}

static void add_blank(const struct rules *r, struct strbuf *out)
{
    strbuf_add_str(out, r->escape_blanks ? SENTENCEPIECE_BLANK : " ");
}

static void add_part(const struct rules *r, struct str part, struct strbuf *out)
{
    while (r->escape_blanks && part.len > 0) {
        const char *blank = memchr(part.data, ' ', part.len);
        if (!blank) break;
        size_t before = (size_t)(blank - part.data);
        strbuf_add(out, part.data, before);
        add_blank(r, out);
        part = (struct str){blank + 1, part.len - before - 1};
    }
    strbuf_add(out, part.data, part.len);
}

static void drop_blanks_at_end(const struct rules *r, struct strbuf *out)
{
    const char *blank = r->escape_blanks ? SENTENCEPIECE_BLANK : " ";
    size_t len = strlen(blank);
    while (out->len >= len && !memcmp(out->data + out->len - len, blank, len)) out->len -= len;
}

static enum status run(struct stage_io *io)
{
    const struct rules *r = io->stage->data;
    struct strbuf *out = io->out;
    struct str in = io->in, part = {0};
    bool after_blank = r->remove_blanks;
    while (r->remove_blanks && in.len > 0) {
        size_t size = next_part(r, in, &part);
        if (!str_eq(part, STR(" "))) break;
        in = (struct str){in.data + size, in.len - size};
    }
    if (in.len == 0) return STATUS_OK;
    if (r->blank_before) add_blank(r, out);
    while (in.len > 0) {
        size_t size = next_part(r, in, &part);
        in = (struct str){in.data + size, in.len - size};
        while (after_blank && part.len > 0 && *part.data == ' ')
            part = (struct str){part.data + 1, part.len - 1};
        add_part(r, part, out);
        if (part.len > 0) after_blank = r->remove_blanks && part.data[part.len - 1] == ' ';
    }
    if (r->remove_blanks) drop_blanks_at_end(r, out);
    /* Of a text that the map makes vanish the blank before it stays. */
    if (out->len == 0 && r->blank_later && !r->remove_blanks) strbuf_add_char(out, ' ');
    if (r->blank_behind) add_blank(r, out);
    return STATUS_OK;
}

static const struct normalizer_kind kind = {.type = "SentencePiece", .run = run};

/* A blank at the start of the original text, then all blanks escaped. */
static enum status add_later_blank(struct tokenizer *t, bool escape, struct error *err)
{
    static const char first[] = "{\"type\":\"Sequence\",\"pretokenizers\":["
                                "{\"type\":\"Metaspace\",\"replacement\":\" \","
                                "\"prepend_scheme\":\"first\",\"split\":false}";
    static const char escaped[] = ",{\"type\":\"Metaspace\",\"replacement\":\"" SENTENCEPIECE_BLANK
                                  "\",\"prepend_scheme\":\"never\",\"split\":false}";
    struct strbuf text;
    cJSON *json = NULL;
    strbuf_init(&text, 0);
    strbuf_add_str(&text, first);
    if (escape) strbuf_add_str(&text, escaped);
    strbuf_add_str(&text, "]}");
    enum status st = text.failed ? error_set(err, STATUS_NO_MEMORY, "out of memory")
                                 : json_parse(text.data, text.len, NULL, &json, err);
    if (st == STATUS_OK) st = pretokenizer_parse(json, &t->pretokenizer, err);
    cJSON_Delete(json);
    strbuf_free(&text);
    return st;
}

enum status sentencepiece_normalizer_add(struct tokenizer *t, const struct sentencepiece *m,
                                         bool every_part, struct error *err)
{
    struct rules *r = calloc(1, sizeof(*r));
    if (!r) return error_set(err, STATUS_NO_MEMORY, "out of memory for the normalizer");
    r->blank_behind = m->dummy_prefix && m->suffix;
    r->blank_before = m->dummy_prefix && !m->suffix && every_part;
    r->blank_later = m->dummy_prefix && !m->suffix && !every_part;
    r->remove_blanks = m->remove_blanks;
    r->escape_blanks = m->escape_blanks;
    enum status st = sentencepiece_symbols_init(&r->symbols, t, m, err);
    if (st == STATUS_OK && r->blank_later && !r->escape_blanks &&
        (!r->remove_blanks || r->symbols.begins[' ']))
        st = error_set(err, STATUS_UNSUPPORTED,
                       "add_dummy_prefix with neither escape_whitespaces nor "
                       "remove_extra_whitespaces is not supported");
    if (st == STATUS_OK && m->charsmap.len > 0) {
        st = charsmap_parse(m->charsmap.data, m->charsmap.len, &r->map, err);
        if (st != STATUS_OK) st = error_prepend(err, "precompiled_charsmap");
    }
    if (st != STATUS_OK) {
        free_rules(r);
        return st;
    }
    struct normalizer_stage stage = {.kind = &kind, .data = r, .free_data = free_rules};
    st = normalizer_append(&t->normalizer, &stage, err);
    return st == STATUS_OK && r->blank_later ? add_later_blank(t, m->escape_blanks, err) : st;
}
