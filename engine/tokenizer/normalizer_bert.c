#include "engine/tokenizer/normalizer_kinds.h"

#include <stdlib.h>
#include <string.h>

/* BERT's normalizer: controls go and white space becomes a blank (clean_text), blanks around
 * ideographs (handle_chinese_chars), NFD without nonspacing marks (strip_accents), lower case.
 *
 * The normal form never reaches across ASCII, so the text is taken in stretches: ASCII directly,
 * the rest through a scratch buffer for the normal form. */

struct bert {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
    char ascii[128]; /* what becomes of each; -1: removed */
};

static enum status required_bool(const cJSON *json, const char *key, bool *out, struct error *err)
{
    if (!cJSON_IsBool(json_get(json, key)))
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be true or false", key);
    return component_bool(json, key, false, out, err);
}

enum status normalizer_parse_bert(const cJSON *json, struct normalizer_stage *s, struct error *err)
{
    struct bert *b = calloc(1, sizeof(*b));
    if (!b) return error_set(err, STATUS_NO_MEMORY, "out of memory for a normalizer");
    s->data = b;
    s->free_data = free;
    enum status st = required_bool(json, "clean_text", &b->clean_text, err);
    if (st == STATUS_OK)
        st = required_bool(json, "handle_chinese_chars", &b->handle_chinese_chars, err);
    if (st == STATUS_OK) st = required_bool(json, "lowercase", &b->lowercase, err);
    if (st == STATUS_OK) /* null: as lowercase */
        st = component_bool(json, "strip_accents", b->lowercase, &b->strip_accents, err);
    if (st != STATUS_OK) return st;
    for (int c = 0; c < 128; c++) {
        bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        b->ascii[c] = (char)(b->lowercase && c >= 'A' && c <= 'Z' ? c + 0x20 : c);
        if (b->clean_text && blank) b->ascii[c] = ' ';
        if (b->clean_text && !blank && (c < 0x20 || c == 0x7F)) b->ascii[c] = -1;
    }
    return STATUS_OK;
}

static bool is_ideograph(uint32_t cp)
{
    static const struct unicode_range blocks[] = {
        {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
        {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]) && cp >= blocks[i].first; i++)
        if (cp <= blocks[i].last) return true;
    return false;
}

static const char *add_ascii(const struct bert *b, const char *s, const char *end,
                             struct strbuf *out)
{
    char chunk[512];
    size_t n = 0;
    for (; s < end && (uint8_t)*s < 0x80; s++) {
        char c = b->ascii[(uint8_t)*s];
        chunk[n] = c;
        n += c != -1;
        if (n < sizeof(chunk)) continue;
        strbuf_add(out, chunk, n);
        n = 0;
    }
    strbuf_add(out, chunk, n);
    return s;
}

/* Appends the stretch up to the next ASCII character that stays, cleaned and with blanks around
 * ideographs; what is removed does not end a stretch. */
static const char *clean_stretch(const struct bert *b, const char *s, const char *end,
                                 struct strbuf *out)
{
    const char *run = s;
    while (s < end) {
        const char *from = s;
        uint32_t cp = unicode_next(&s);
        if (cp < 0x80 && b->ascii[cp] != -1) {
            s = from;
            break;
        }
        unsigned flags = unicode_flags(cp);
        bool removed = b->clean_text && (flags & UNICODE_CONTROL);
        bool blank = b->clean_text && !removed && (flags & UNICODE_SPACE);
        bool ideograph = b->handle_chinese_chars && is_ideograph(cp);
        if (!removed && !blank && !ideograph) continue;
        strbuf_add(out, run, (size_t)(from - run));
        run = ideograph ? from : s;
        if (removed) continue;
        strbuf_add_char(out, ' ');
        if (!ideograph) continue;
        strbuf_add(out, from, (size_t)(s - from));
        strbuf_add_char(out, ' ');
        run = s;
    }
    strbuf_add(out, run, (size_t)(s - run));
    return s;
}

/* Appends the text without nonspacing marks. */
static void drop_nonspacing(const char *s, size_t len, struct strbuf *out)
{
    const char *end = s + len, *run = s;
    while (s < end) {
        const char *from = s;
        uint32_t cp = unicode_next(&s);
        if (cp < 0x300 || !(unicode_flags(cp) & UNICODE_NONSPACING)) continue;
        strbuf_add(out, run, (size_t)(from - run));
        run = s;
    }
    strbuf_add(out, run, (size_t)(end - run));
}

struct bert_scratch {
    struct strbuf a, b;
};

static const char *add_stretch(const struct bert *b, const char *s, const char *end,
                               struct bert_scratch *scratch, struct strbuf *out)
{
    strbuf_clear(&scratch->a);
    s = clean_stretch(b, s, end, &scratch->a);
    struct strbuf *text = &scratch->a, *other = &scratch->b;
    if (b->strip_accents && text->len > 0) {
        strbuf_clear(other);
        unicode_normalize(UNICODE_NFD, text->data, text->len, other);
        strbuf_clear(text);
        drop_nonspacing(other->data ? other->data : "", other->len, text);
    }
    if (text->failed || other->failed) out->failed = true;
    const char *data = text->data ? text->data : "";
    if (b->lowercase)
        unicode_lowercase(data, text->len, out);
    else
        strbuf_add(out, data, text->len);
    return s;
}

static void add_text(const struct bert *b, const char *s, const char *end,
                     struct bert_scratch *scratch, struct strbuf *out)
{
    while (s < end) {
        s = add_ascii(b, s, end, out);
        if (s < end) s = add_stretch(b, s, end, scratch, out);
    }
}

enum status normalizer_run_bert(struct stage_io *io)
{
    const struct bert *b = io->stage->data;
    struct bert_scratch scratch;
    strbuf_init(&scratch.a, 0);
    strbuf_init(&scratch.b, 0);
    const char *data = io->in.data;
    size_t head = io->head_len < io->in.len ? io->head_len : io->in.len;
    add_text(b, data, data + head, &scratch, io->out);
    io->head_len =
        io->out->len; /* what the head gives alone: a mark behind it may move before it */
    strbuf_clear(io->out);
    add_text(b, data, data + io->in.len, &scratch, io->out);
    strbuf_free(&scratch.a);
    strbuf_free(&scratch.b);
    return STATUS_OK;
}
