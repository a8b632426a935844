#include "engine/tokenizer/pretokenizer_cut.h"

#include <string.h>

#define GPT2_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* --- Split -------------------------------------------------------------------------------------- */

enum status pretokenizer_parse_split(const cJSON *json, struct pretokenizer_stage *s,
                                     struct error *err)
{
    const char *literal = cJSON_GetStringValue(json_get(json_get(json, "pattern"), "String"));
    bool empty = literal && literal[0] == '\0'; /* it matches between any two characters */
    enum status st =
        empty ? regex_compile("(?:)", &s->pattern, err) : component_pattern(json, &s->pattern, err);
    if (st == STATUS_OK) st = cut_parse_behavior(json, &s->behavior, err);
    if (st == STATUS_OK) st = component_bool(json, "invert", false, &s->invert, err);
    return st;
}

bool pretokenizer_run_split(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece};
    c.behavior = s->behavior;
    c.invert = s->invert;
    return cut_by_regex(&c, s->pattern);
}

/* --- ByteLevel ------------------------------------------------------------------------------------------ */

enum status pretokenizer_parse_byte_level(const cJSON *json, struct pretokenizer_stage *s,
                                          struct error *err)
{
    enum status st = component_bool(json, "add_prefix_space", true, &s->add_prefix_space, err);
    if (st == STATUS_OK) st = component_bool(json, "use_regex", true, &s->use_regex, err);
    if (st == STATUS_OK && s->use_regex) st = regex_compile(GPT2_PATTERN, &s->pattern, err);
    return st;
}

static bool send_mapped(struct cutter *c, struct piece part)
{
    struct strbuf *mapped = &c->e->stage[c->next_stage - 1];
    size_t head = part.head_len < part.text.len ? part.head_len : part.text.len;
    strbuf_clear(mapped);
    byte_level_add(mapped, part.text.data, head);
    part.head_len = mapped->len;
    byte_level_add(mapped, part.text.data + head, part.text.len - head);
    if (mapped->failed) return encoder_fail(c->e, STATUS_NO_MEMORY);
    part.text = (struct str){mapped->data, mapped->len};
    return pretokenizer_run(c->e, c->next_stage, part);
}

bool pretokenizer_run_byte_level(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    if (s->add_prefix_space && piece.text.data[0] != ' ') {
        struct strbuf *prefixed = &e->prefix[stage];
        strbuf_clear(prefixed);
        strbuf_add_char(prefixed, ' ');
        strbuf_add(prefixed, piece.text.data, piece.text.len);
        if (prefixed->failed) return encoder_fail(e, STATUS_NO_MEMORY);
        piece.text = (struct str){prefixed->data, prefixed->len};
        piece.head_len += piece.head_len > 0;
    }
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece};
    bool leaves_bytes =
        e->t->pretokenizer.leaves_bytes && c.next_stage == e->t->pretokenizer.n_stages;
    c.sink = leaves_bytes ? NULL : send_mapped;
    c.behavior = SPLIT_ISOLATED;
    return s->use_regex ? cut_by_regex(&c, s->pattern) : cut_send(&c, 0, piece.text.len);
}

/* --- Metaspace -------------------------------------------------------------------------------------------- */

enum status pretokenizer_parse_character(const cJSON *json, const char *key, char out[5],
                                         struct error *err)
{
    const char *text = NULL;
    enum status st = component_string(json, key, &text, err);
    if (st != STATUS_OK) return st;
    uint32_t cp = 0;
    size_t len = strlen(text);
    if (len == 0 || utf8_decode(text, len, &cp) != (int)len)
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be one character", key);
    memcpy(out, text, len + 1);
    return STATUS_OK;
}

enum status metaspace_parse(const cJSON *json, char replacement[5], enum prepend_scheme *prepend,
                            bool *split, struct error *err)
{
    static const char *const schemes[] = {"always", "first", "never"};
    enum status st = pretokenizer_parse_character(json, "replacement", replacement, err);
    if (st == STATUS_OK) st = component_bool(json, "split", true, split, err);
    bool add_prefix_space = true;
    if (st == STATUS_OK)
        st = component_bool(json, "add_prefix_space", true, &add_prefix_space, err);
    if (st != STATUS_OK) return st;
    const cJSON *scheme = json_get(json, "prepend_scheme");
    *prepend = add_prefix_space ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (!scheme) return STATUS_OK; /* older files have add_prefix_space alone */
    for (int i = 0; cJSON_IsString(scheme) && i < 3; i++) {
        if (strcmp(schemes[i], scheme->valuestring) != 0) continue;
        *prepend = (enum prepend_scheme)i;
        if (add_prefix_space || i == PREPEND_NEVER) return STATUS_OK;
        return error_set(err, STATUS_CORRUPT, "add_prefix_space contradicts prepend_scheme");
    }
    return error_set(err, STATUS_CORRUPT, "\"prepend_scheme\" must be always, first or never");
}

enum status pretokenizer_parse_metaspace(const cJSON *json, struct pretokenizer_stage *s,
                                         struct error *err)
{
    return metaspace_parse(json, s->replacement, &s->prepend, &s->split, err);
}

bool pretokenizer_run_metaspace(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct strbuf *out = &e->stage[stage];
    struct str text = piece.text, mark = str_from(s->replacement);
    size_t head = piece.head_len < text.len ? piece.head_len : text.len, head_out = 0;
    strbuf_clear(out);
    bool marked = text.data[0] == ' ' || str_starts_with(text, mark);
    if (!marked && (s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && head > 0)))
        strbuf_add(out, mark.data, mark.len);
    for (size_t at = 0; at < text.len;) {
        size_t stop = at < head ? head : text.len; /* a stretch does not leave the head */
        const char *blank = memchr(text.data + at, ' ', stop - at);
        size_t until = blank ? (size_t)(blank - text.data) : stop;
        strbuf_add(out, text.data + at, until - at);
        for (at = until; at < stop && text.data[at] == ' '; at++)
            strbuf_add(out, mark.data, mark.len);
        if (at == head) head_out = out->len;
    }
    if (out->failed) return encoder_fail(e, STATUS_NO_MEMORY);
    struct cutter c = {.e = e, .next_stage = stage + 1, .behavior = SPLIT_MERGED_WITH_NEXT};
    c.piece = (struct piece){{out->data, out->len}, head_out};
    return s->split ? cut_by_literal(&c, mark) : cut_send(&c, 0, out->len);
}
