#include "engine/tokenizer/pretokenizer_cut.h"
#include "engine/tokenizer/unicode.h"

#include <string.h>

/* Pre-tokenizers that look at the class of each character. */

static inline unsigned flags_of(uint32_t cp)
{
    return unicode_look_up(&unicode_tables.flags, cp);
}

/* --- Digits, Punctuation, WhitespaceSplit ------------------------------------------------------- */

enum status pretokenizer_parse_digits(const cJSON *json, struct pretokenizer_stage *s,
                                      struct error *err)
{
    bool individual = false;
    enum status st = component_bool(json, "individual_digits", false, &individual, err);
    s->behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
    s->flag = UNICODE_NUMERIC;
    return st;
}

enum status pretokenizer_parse_punctuation(const cJSON *json, struct pretokenizer_stage *s,
                                           struct error *err)
{
    s->behavior = SPLIT_ISOLATED;
    s->flag = UNICODE_PUNCTUATION;
    return json_get(json, "behavior") ? cut_parse_behavior(json, &s->behavior, err) : STATUS_OK;
}

enum status pretokenizer_parse_whitespace_split(const cJSON *json, struct pretokenizer_stage *s,
                                                struct error *err)
{
    (void)json, (void)err;
    s->behavior = SPLIT_REMOVED;
    s->flag = UNICODE_SPACE;
    return STATUS_OK;
}

bool pretokenizer_run_flag(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece, .behavior = s->behavior};
    return cut_by_flag(&c, s->flag);
}

/* --- CharDelimiterSplit, FixedLength ------------------------------------------------------------ */

enum status pretokenizer_parse_delimiter(const cJSON *json, struct pretokenizer_stage *s,
                                         struct error *err)
{
    return pretokenizer_parse_character(json, "delimiter", s->replacement, err);
}

bool pretokenizer_run_delimiter(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece, .behavior = SPLIT_REMOVED};
    return cut_by_literal(&c, str_from(s->replacement));
}

#define FIXED_LENGTH_DEFAULT 5

enum status pretokenizer_parse_fixed_length(const cJSON *json, struct pretokenizer_stage *s,
                                            struct error *err)
{
    const cJSON *length = json_get(json, "length");
    s->length = FIXED_LENGTH_DEFAULT;
    if (!length || json_as_i64(length, 1, INT64_MAX, &s->length)) return STATUS_OK;
    return error_set(err, STATUS_CORRUPT, "\"length\" must be an integer from 1 on");
}

bool pretokenizer_run_fixed_length(struct encoder *e, int stage, struct piece piece)
{
    int64_t length = e->t->pretokenizer.stages[stage].length;
    const char *data = piece.text.data, *end = data + piece.text.len;
    for (const char *p = data; p < end;) {
        const char *from = p;
        for (int64_t n = 0; n < length && p < end; n++) (void)unicode_next(&p);
        struct piece part = piece_part(piece, (size_t)(from - data), (size_t)(p - data));
        if (!pretokenizer_run(e, stage + 1, part)) return false;
    }
    return true;
}

/* --- Whitespace, BertPreTokenizer --------------------------------------------------------------- */

enum word_class { CLASS_SPACE, CLASS_WORD, CLASS_OTHER };

static enum word_class word_class(uint32_t cp)
{
    unsigned flags = flags_of(cp);
    if (flags & UNICODE_WORD) return CLASS_WORD;
    return flags & UNICODE_SPACE ? CLASS_SPACE : CLASS_OTHER;
}

/* \w+|[^\w\s]+ in Rust's regex: runs of one class, blanks dropped. */
bool pretokenizer_run_whitespace(struct encoder *e, int stage, struct piece piece)
{
    const char *data = piece.text.data, *end = data + piece.text.len;
    unicode_ready();
    for (const char *p = data; p < end;) {
        const char *from = p;
        enum word_class class = word_class(unicode_next(&p));
        while (p < end) {
            const char *next = p;
            if (word_class(unicode_next(&next)) != class) break;
            p = next;
        }
        if (class == CLASS_SPACE) continue;
        struct piece part = piece_part(piece, (size_t)(from - data), (size_t)(p - data));
        if (!pretokenizer_run(e, stage + 1, part)) return false;
    }
    return true;
}

/* White space dropped, punctuation characters each by itself. */
bool pretokenizer_run_bert(struct encoder *e, int stage, struct piece piece)
{
    const char *data = piece.text.data, *end = data + piece.text.len;
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece};
    size_t done = 0;
    unicode_ready();
    for (const char *p = data; p < end;) {
        size_t at = (size_t)(p - data);
        unsigned flags = flags_of(unicode_next(&p));
        if (!(flags & (UNICODE_SPACE | UNICODE_PUNCTUATION))) continue;
        size_t after = (size_t)(p - data);
        if (!cut_send(&c, done, at)) return false;
        if (!(flags & UNICODE_SPACE) && !cut_send(&c, at, after)) return false;
        done = after;
    }
    return cut_send(&c, done, piece.text.len);
}

/* --- UnicodeScripts ----------------------------------------------------------------------------- */

/* A cut where the script changes; characters of any script go with what stands before them, and
 * are lost where nothing does, as in the reference. */
bool pretokenizer_run_scripts(struct encoder *e, int stage, struct piece piece)
{
    const char *data = piece.text.data, *end = data + piece.text.len;
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece};
    unsigned last = 0;
    size_t from = piece.text.len;
    unicode_ready();
    for (const char *p = data; p < end;) {
        size_t at = (size_t)(p - data);
        unsigned script = unicode_look_up(&unicode_tables.script, unicode_next(&p));
        if (script == 0 || script == last) continue;
        if (last != 0 && !cut_send(&c, from, at)) return false;
        last = script;
        from = at;
    }
    return cut_send(&c, from, piece.text.len);
}
