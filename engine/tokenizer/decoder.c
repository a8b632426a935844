#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* What each decoder of the chain does to a token's text by itself is done here, once per token of
 * the vocabulary; detok.c does the rest (byte runs, joining, stripping) as tokens arrive.  A chain
 * whose order does not allow that is refused by name. */

struct decoder_kind {
    const char *type;
    /* Reads the component into a fresh stage; a type without `run` changes d itself. */
    enum status (*parse)(const cJSON *json, struct decoder *d, struct decoder_stage *s,
                         struct error *err);
    bool (*run)(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                bool first, struct strbuf *out);
};

/* --- per token ------------------------------------------------------------------------------------- */

static enum status parse_replace(const cJSON *json, struct decoder *d, struct decoder_stage *s,
                                 struct error *err)
{
    (void)d;
    const char *text = NULL;
    enum status st = component_string(json, "content", &text, err);
    if (st != STATUS_OK) return st;
    s->text = strdup(text);
    if (!s->text) return error_set(err, STATUS_NO_MEMORY, "out of memory for a decoder");
    return component_pattern(json, &s->pattern, err);
}

static bool run_replace(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                        bool first, struct strbuf *out)
{
    (void)first;
    struct regex_cursor cursor = {0};
    size_t done = 0, start = 0, end = 0;
    enum regex_result found = REGEX_END;
    while (in.len > 0 &&
           (found = regex_next(s->pattern, scratch, in, &cursor, &start, &end)) == REGEX_MATCH) {
        strbuf_add(out, in.data + done, start - done);
        strbuf_add_str(out, s->text);
        done = end;
    }
    strbuf_add(out, in.data + done, in.len - done);
    return found == REGEX_END;
}

static enum status parse_metaspace(const cJSON *json, struct decoder *d, struct decoder_stage *s,
                                   struct error *err)
{
    bool split = false;
    d->changes_first = true;
    return metaspace_parse(json, s->character, &s->prepend, &split, err);
}

static bool run_metaspace(const struct decoder_stage *s, struct regex_scratch *scratch,
                          struct str in, bool first, struct strbuf *out)
{
    (void)scratch;
    size_t len = strlen(s->character);
    bool drop = first && s->prepend != PREPEND_NEVER;
    for (size_t at = 0; at < in.len;) {
        const char *mark = memmem(in.data + at, in.len - at, s->character, len);
        size_t until = mark ? (size_t)(mark - in.data) : in.len;
        strbuf_add(out, in.data + at, until - at);
        if (mark && !drop) strbuf_add_char(out, ' ');
        at = mark ? until + len : until;
    }
    return true;
}

static enum status parse_strip(const cJSON *json, struct decoder *d, struct decoder_stage *s,
                               struct error *err)
{
    const char *content = NULL;
    uint32_t cp = 0;
    enum status st = component_string(json, "content", &content, err);
    if (st != STATUS_OK) return st;
    size_t len = strlen(content);
    if (len == 0 || utf8_decode(content, len, &cp) != (int)len)
        return error_set(err, STATUS_CORRUPT, "\"content\" must be one character");
    memcpy(s->character, content, len + 1);
    if (!json_as_i64(json_get(json, "start"), 0, INT32_MAX, &s->start) ||
        !json_as_i64(json_get(json, "stop"), 0, INT32_MAX, &s->stop))
        return error_set(err, STATUS_CORRUPT, "\"start\" and \"stop\" must be counts");
    if (!d->joined) return STATUS_OK;
    if (d->strip_character[0])
        return error_set(err, STATUS_UNSUPPORTED, "a second Strip after Fuse is not supported");
    memcpy(d->strip_character, s->character, sizeof(d->strip_character));
    d->strip_start = (int32_t)s->start;
    d->strip_stop = (int32_t)s->stop;
    return STATUS_OK;
}

static bool run_strip(const struct decoder_stage *s, struct regex_scratch *scratch, struct str in,
                      bool first, struct strbuf *out)
{
    (void)scratch, (void)first;
    size_t len = strlen(s->character);
    for (int64_t i = 0; i < s->start && in.len >= len && !memcmp(in.data, s->character, len); i++)
        in = (struct str){in.data + len, in.len - len};
    for (int64_t i = 0; i < s->stop && in.len >= len; i++) {
        if (memcmp(in.data + in.len - len, s->character, len) != 0) break;
        in.len -= len;
    }
    strbuf_add(out, in.data, in.len);
    return true;
}

/* --- for all tokens together ------------------------------------------------------------------------- */

static enum status parse_fuse(const cJSON *json, struct decoder *d, struct decoder_stage *s,
                              struct error *err)
{
    (void)json, (void)s, (void)err;
    d->joined = true;
    return STATUS_OK;
}

static enum status parse_byte_fallback(const cJSON *json, struct decoder *d,
                                       struct decoder_stage *s, struct error *err)
{
    (void)json, (void)s;
    if (d->joined) return error_set(err, STATUS_UNSUPPORTED, "after Fuse it is not supported");
    d->byte_fallback = true;
    return STATUS_OK;
}

static enum status parse_byte_level(const cJSON *json, struct decoder *d, struct decoder_stage *s,
                                    struct error *err)
{
    (void)json, (void)s;
    if (d->joined || d->byte_fallback)
        return error_set(err, STATUS_UNSUPPORTED,
                         "after Fuse, ByteLevel or ByteFallback it is not supported");
    d->byte_level = d->joined = true;
    return STATUS_OK;
}

static const struct decoder_kind kinds[] = {
    {"ByteLevel", parse_byte_level, NULL},
    {"ByteFallback", parse_byte_fallback, NULL},
    {"Fuse", parse_fuse, NULL},
    {"Replace", parse_replace, run_replace},
    {"Metaspace", parse_metaspace, run_metaspace},
    {"Strip", parse_strip, run_strip},
};

static enum status parse_one(const cJSON *json, void *user, struct error *err)
{
    struct decoder *d = user;
    const char *type = NULL;
    enum status st = component_type(json, "decoder", &type, err);
    if (st != STATUS_OK) return st;
    const struct decoder_kind *kind = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(kinds[i].type, type)) kind = &kinds[i];
    if (!kind)
        return component_unsupported(
            "decoder", type, "ByteLevel, ByteFallback, Fuse, Replace, Metaspace, Strip, Sequence",
            err);
    if (d->n_stages == STAGES_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d decoders", STAGES_MAX);
    bool strips_joined = kind->run == run_strip && d->joined;
    if (kind->run && !strips_joined && (d->joined || d->byte_fallback))
        return error_set(err, STATUS_UNSUPPORTED,
                         "the decoder %s after Fuse, ByteLevel or ByteFallback is not supported",
                         type);
    struct decoder_stage *s = &d->stages[d->n_stages];
    s->kind = kind;
    if (kind->run && !strips_joined) d->n_stages++; /* kept, and freed with the rest on failure */
    st = kind->parse(json, d, s, err);
    return st == STATUS_OK ? st : error_prepend(err, "decoder %s", type);
}

enum status decoder_parse(const cJSON *json, struct decoder *d, struct error *err)
{
    d->present = json && !cJSON_IsNull(json);
    return component_each(json, "decoder", "decoders", parse_one, d, err);
}

void decoder_free(struct decoder *d)
{
    for (int i = 0; i < d->n_stages; i++) {
        regex_free(d->stages[i].pattern);
        free(d->stages[i].text);
    }
    strbuf_free(&d->text.bytes);
    strbuf_free(&d->first.bytes);
    free(d->text.offsets);
    free(d->first.offsets);
    *d = (struct decoder){0};
}

/* --- the tables ---------------------------------------------------------------------------------------- */

/* The bytes that the characters of a token stand for; the token's own bytes when one of them
 * stands for none. */
static void add_byte_level(struct str in, struct strbuf *out)
{
    size_t before = out->len;
    for (const char *p = in.data, *end = p + in.len; p < end;) {
        int byte = byte_level_byte(unicode_next(&p));
        if (byte < 0) {
            out->len = before;
            strbuf_add(out, in.data, in.len);
            return;
        }
        strbuf_add_char(out, (char)byte);
    }
}

static enum status build_table(const struct tokenizer *t, bool first, struct text_table *table,
                               struct error *err)
{
    const struct decoder *d = &t->decoder;
    struct regex_scratch scratch = {0};
    struct strbuf buffers[2];
    strbuf_init(&table->bytes, 0);
    strbuf_init(&buffers[0], 0);
    strbuf_init(&buffers[1], 0);
    table->offsets = malloc((t->n_ids + 1) * sizeof(*table->offsets));
    bool good = table->offsets != NULL;
    for (size_t id = 0; good && id < t->n_ids; id++) {
        table->offsets[id] = (uint32_t)table->bytes.len;
        const char *token = tokenizer_id_to_token(t, (int32_t)id);
        struct str text = str_from(token);
        for (int i = 0; token && good && i < d->n_stages; i++) {
            struct strbuf *out = &buffers[i & 1];
            strbuf_clear(out);
            good = d->stages[i].kind->run(&d->stages[i], &scratch, text, first, out);
            good = good && !out->failed;
            text = (struct str){out->data ? out->data : "", out->len};
        }
        if (d->byte_level)
            add_byte_level(text, &table->bytes);
        else
            strbuf_add(&table->bytes, text.data, text.len);
        good = good && !table->bytes.failed && table->bytes.len < UINT32_MAX;
    }
    if (good) table->offsets[t->n_ids] = (uint32_t)table->bytes.len;
    regex_scratch_free(&scratch);
    strbuf_free(&buffers[0]);
    strbuf_free(&buffers[1]);
    return good ? STATUS_OK
                : error_set(err, STATUS_NO_MEMORY, "the decoder's table of texts cannot be built");
}

enum status decoder_build(struct tokenizer *t, struct error *err)
{
    struct decoder *d = &t->decoder;
    enum status st = build_table(t, false, &d->text, err);
    if (st == STATUS_OK && d->changes_first) st = build_table(t, true, &d->first, err);
    return st;
}

struct str decoder_text(const struct tokenizer *t, int64_t id, bool first)
{
    const struct decoder *d = &t->decoder;
    const struct text_table *table = first && d->changes_first ? &d->first : &d->text;
    if (id < 0 || (uint64_t)id >= t->n_ids || !table->bytes.data) return (struct str){"", 0};
    uint32_t from = table->offsets[id];
    return (struct str){table->bytes.data + from, table->offsets[id + 1] - from};
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
