#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Pieces go depth first: each part that a stage cuts off goes through the later stages to the
 * model before the next part is cut, so that no list of pieces exists and an encoding can stop
 * early.  Buffers belong to a stage; a stage is never entered twice at once. */

struct pretokenizer_kind {
    const char *type;
    enum status (*parse)(const cJSON *json, struct pretokenizer_stage *s, struct error *err);
    bool (*run)(struct encoder *e, int stage, struct piece piece);
};

#define GPT2_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* --- cutting: delimiters and what becomes of them ---------------------------------------------- */

struct cutter {
    struct encoder *e;
    int next_stage;
    struct piece piece;
    enum split_behavior behavior;
    bool invert;
    bool (*sink)(struct cutter *c, struct piece part); /* NULL: the next stage */
    /* The part that waits for its neighbour. */
    bool waiting, previous_match;
    size_t from, to;
};

static bool send(struct cutter *c, size_t from, size_t to)
{
    if (from == to) return true;
    struct piece part = {{c->piece.text.data + from, to - from}, c->piece.first && from == 0};
    return c->sink ? c->sink(c, part) : pretokenizer_run(c->e, c->next_stage, part);
}

static bool send_waiting(struct cutter *c)
{
    bool was = c->waiting;
    c->waiting = false;
    return !was || send(c, c->from, c->to);
}

static bool wait_with(struct cutter *c, size_t from, size_t to)
{
    if (!send_waiting(c)) return false;
    c->waiting = true;
    c->from = from;
    c->to = to;
    return true;
}

/* The next part of the text in order, a delimiter (`match`) or what lies between. */
static bool take(struct cutter *c, size_t from, size_t to, bool match)
{
    match ^= c->invert;
    bool previous = c->previous_match;
    c->previous_match = match;
    switch (c->behavior) {
    case SPLIT_REMOVED:
        return match || send(c, from, to);
    case SPLIT_ISOLATED:
        return send(c, from, to);
    case SPLIT_CONTIGUOUS:
        if (!c->waiting || match != previous) return wait_with(c, from, to);
        c->to = to;
        return true;
    case SPLIT_MERGED_WITH_PREVIOUS:
        if (!c->waiting || !match || previous) return wait_with(c, from, to);
        c->to = to;
        return true;
    case SPLIT_MERGED_WITH_NEXT: /* only delimiters wait */
        if (match) return wait_with(c, from, to);
        if (!c->waiting) return send(c, from, to);
        c->waiting = false;
        return send(c, c->from, to);
    }
    return false;
}

/* The common case by itself: every match is a piece for the model, and nothing lies between. */
static bool cut_for_model(struct cutter *c, scan_fn *scan)
{
    struct str text = c->piece.text;
    for (size_t at = 0; at < text.len;) {
        size_t end = scan(text.data, text.len, at);
        if (!c->e->t->model->encode(c->e, (struct str){text.data + at, end - at})) return false;
        at = end;
    }
    return true;
}

static bool cut_by_regex(struct cutter *c, const struct regex *pattern)
{
    struct regex_cursor cursor = {0};
    struct str text = c->piece.text;
    bool matches_stay =
        c->behavior == SPLIT_ISOLATED || (c->behavior == SPLIT_REMOVED && c->invert);
    if (regex_scanner(pattern) && matches_stay && !c->sink &&
        c->next_stage >= c->e->t->pretokenizer.n_run)
        return cut_for_model(c, regex_scanner(pattern));
    size_t done = 0, start = 0, end = 0;
    enum regex_result found;
    while ((found = regex_next(pattern, &c->e->regex, text, &cursor, &start, &end)) ==
           REGEX_MATCH) {
        if (done != start && !take(c, done, start, false)) return false;
        if (!take(c, start, end, true)) return false;
        done = end;
    }
    if (found == REGEX_NO_MEMORY) return encoder_fail(c->e, STATUS_NO_MEMORY);
    if (found == REGEX_TOO_COSTLY) return encoder_fail(c->e, STATUS_INVALID);
    if (done != text.len && !take(c, done, text.len, false)) return false;
    return send_waiting(c);
}

static bool cut_by_character(struct cutter *c, bool (*is_delimiter)(uint32_t cp))
{
    const char *data = c->piece.text.data, *end = data + c->piece.text.len, *p = data;
    size_t done = 0;
    while (p < end) {
        size_t at = (size_t)(p - data);
        if (!is_delimiter(unicode_next(&p))) continue;
        size_t after = (size_t)(p - data);
        if (done < at && !take(c, done, at, false)) return false;
        if (!take(c, at, after, true)) return false;
        done = after;
    }
    if (done < c->piece.text.len && !take(c, done, c->piece.text.len, false)) return false;
    return send_waiting(c);
}

static enum status parse_behavior(const cJSON *json, enum split_behavior *out, struct error *err)
{
    static const struct {
        const char *name;
        enum split_behavior behavior;
    } names[] = {{"Removed", SPLIT_REMOVED},
                 {"Isolated", SPLIT_ISOLATED},
                 {"MergedWithPrevious", SPLIT_MERGED_WITH_PREVIOUS},
                 {"MergedWithNext", SPLIT_MERGED_WITH_NEXT},
                 {"Contiguous", SPLIT_CONTIGUOUS}};
    const char *name = NULL;
    enum status st = component_string(json, "behavior", &name, err);
    if (st != STATUS_OK) return st;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, name) != 0) continue;
        *out = names[i].behavior;
        return STATUS_OK;
    }
    return error_set(err, STATUS_CORRUPT, "\"behavior\" is \"%.40s\"", name);
}

/* --- Split, Whitespace ---------------------------------------------------------------------------- */

static enum status parse_split(const cJSON *json, struct pretokenizer_stage *s, struct error *err)
{
    enum status st = component_pattern(json, &s->pattern, err);
    if (st == STATUS_OK) st = parse_behavior(json, &s->behavior, err);
    if (st == STATUS_OK) st = component_bool(json, "invert", false, &s->invert, err);
    return st;
}

static bool run_split(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece};
    c.behavior = s->behavior;
    c.invert = s->invert;
    return cut_by_regex(&c, s->pattern);
}

enum word_class { CLASS_SPACE, CLASS_WORD, CLASS_OTHER };

static enum word_class word_class(uint32_t cp)
{
    if (unicode_is_word(cp)) return CLASS_WORD;
    return unicode_is_space(cp) ? CLASS_SPACE : CLASS_OTHER;
}

/* \w+|[^\w\s]+ in Rust's regex: runs of one class, blanks dropped. */
static bool run_whitespace(struct encoder *e, int stage, struct piece piece)
{
    const char *data = piece.text.data, *end = data + piece.text.len;
    for (const char *p = data; p < end;) {
        const char *from = p;
        enum word_class class = word_class(unicode_next(&p));
        while (p < end) {
            const char *next = p;
            if (word_class(unicode_next(&next)) != class) break;
            p = next;
        }
        struct piece part = {{from, (size_t)(p - from)}, piece.first && from == data};
        if (class != CLASS_SPACE && !pretokenizer_run(e, stage + 1, part)) return false;
    }
    return true;
}

/* --- Digits, Punctuation, WhitespaceSplit ----------------------------------------------------------- */

static enum status parse_digits(const cJSON *json, struct pretokenizer_stage *s, struct error *err)
{
    bool individual = false;
    enum status st = component_bool(json, "individual_digits", false, &individual, err);
    s->behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
    s->is_delimiter = unicode_is_numeric;
    return st;
}

static enum status parse_punctuation(const cJSON *json, struct pretokenizer_stage *s,
                                     struct error *err)
{
    s->behavior = SPLIT_ISOLATED;
    s->is_delimiter = unicode_is_punctuation;
    return json_get(json, "behavior") ? parse_behavior(json, &s->behavior, err) : STATUS_OK;
}

static enum status parse_whitespace_split(const cJSON *json, struct pretokenizer_stage *s,
                                          struct error *err)
{
    (void)json, (void)err;
    s->behavior = SPLIT_REMOVED;
    s->is_delimiter = unicode_is_space;
    return STATUS_OK;
}

static bool run_characters(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece, .behavior = s->behavior};
    return cut_by_character(&c, s->is_delimiter);
}

/* --- ByteLevel ------------------------------------------------------------------------------------------ */

static enum status parse_byte_level(const cJSON *json, struct pretokenizer_stage *s,
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
    strbuf_clear(mapped);
    byte_level_add(mapped, part.text.data, part.text.len);
    if (mapped->failed) return encoder_fail(c->e, STATUS_NO_MEMORY);
    part.text = (struct str){mapped->data, mapped->len};
    return pretokenizer_run(c->e, c->next_stage, part);
}

static bool run_byte_level(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    if (s->add_prefix_space && piece.text.data[0] != ' ') {
        struct strbuf *prefixed = &e->prefix[stage];
        strbuf_clear(prefixed);
        strbuf_add_char(prefixed, ' ');
        strbuf_add(prefixed, piece.text.data, piece.text.len);
        if (prefixed->failed) return encoder_fail(e, STATUS_NO_MEMORY);
        piece.text = (struct str){prefixed->data, prefixed->len};
    }
    struct cutter c = {.e = e, .next_stage = stage + 1, .piece = piece};
    bool leaves_bytes =
        e->t->pretokenizer.leaves_bytes && c.next_stage == e->t->pretokenizer.n_stages;
    c.sink = leaves_bytes ? NULL : send_mapped;
    c.behavior = SPLIT_ISOLATED;
    return s->use_regex ? cut_by_regex(&c, s->pattern) : send(&c, 0, piece.text.len);
}

/* --- Metaspace -------------------------------------------------------------------------------------------- */

enum status metaspace_parse(const cJSON *json, char replacement[5], enum prepend_scheme *prepend,
                            bool *split, struct error *err)
{
    static const char *const schemes[] = {"always", "first", "never"};
    const char *text = NULL;
    enum status st = component_string(json, "replacement", &text, err);
    if (st == STATUS_OK) st = component_bool(json, "split", true, split, err);
    bool add_prefix_space = true;
    if (st == STATUS_OK)
        st = component_bool(json, "add_prefix_space", true, &add_prefix_space, err);
    if (st != STATUS_OK) return st;
    uint32_t cp = 0;
    size_t len = strlen(text);
    if (len == 0 || utf8_decode(text, len, &cp) != (int)len)
        return error_set(err, STATUS_CORRUPT, "\"replacement\" must be one character");
    memcpy(replacement, text, len + 1);
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

static enum status parse_metaspace(const cJSON *json, struct pretokenizer_stage *s,
                                   struct error *err)
{
    return metaspace_parse(json, s->replacement, &s->prepend, &s->split, err);
}

static bool run_metaspace(struct encoder *e, int stage, struct piece piece)
{
    const struct pretokenizer_stage *s = &e->t->pretokenizer.stages[stage];
    struct strbuf *out = &e->stage[stage];
    size_t mark_len = strlen(s->replacement);
    struct str text = piece.text;
    strbuf_clear(out);
    bool marked = text.data[0] == ' ' ||
                  (text.len >= mark_len && !memcmp(text.data, s->replacement, mark_len));
    if (!marked && (s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && piece.first)))
        strbuf_add(out, s->replacement, mark_len);
    for (size_t at = 0; at < text.len;) {
        const char *blank = memchr(text.data + at, ' ', text.len - at);
        size_t until = blank ? (size_t)(blank - text.data) : text.len;
        strbuf_add(out, text.data + at, until - at);
        if (blank) strbuf_add(out, s->replacement, mark_len);
        at = until + (blank != NULL);
    }
    if (out->failed) return encoder_fail(e, STATUS_NO_MEMORY);
    struct cutter c = {.e = e, .next_stage = stage + 1, .behavior = SPLIT_MERGED_WITH_NEXT};
    c.piece = (struct piece){{out->data, out->len}, piece.first};
    if (!s->split) return send(&c, 0, out->len);
    size_t done = 0;
    for (;;) {
        const char *mark = memmem(out->data + done, out->len - done, s->replacement, mark_len);
        size_t at = mark ? (size_t)(mark - out->data) : out->len;
        if (done < at && !take(&c, done, at, false)) return false;
        if (!mark) return send_waiting(&c);
        done = at + mark_len;
        if (!take(&c, at, done, true)) return false;
    }
}

/* --- the table ------------------------------------------------------------------------------------------ */

static const struct pretokenizer_kind kinds[] = {
    {"ByteLevel", parse_byte_level, run_byte_level},
    {"Split", parse_split, run_split},
    {"Metaspace", parse_metaspace, run_metaspace},
    {"Digits", parse_digits, run_characters},
    {"Punctuation", parse_punctuation, run_characters},
    {"WhitespaceSplit", parse_whitespace_split, run_characters},
    {"Whitespace", NULL, run_whitespace},
};

static enum status parse_stage(const cJSON *json, void *user, struct error *err)
{
    struct pretokenizer *p = user;
    const char *type = NULL;
    enum status st = component_type(json, "pre_tokenizer", &type, err);
    if (st != STATUS_OK) return st;
    if (p->n_stages == STAGES_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d pre-tokenizers", STAGES_MAX);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        struct pretokenizer_stage *s = &p->stages[p->n_stages++];
        s->kind = &kinds[i];
        st = kinds[i].parse ? kinds[i].parse(json, s, err) : STATUS_OK;
        return st == STATUS_OK ? st : error_prepend(err, "pre_tokenizer %s", type);
    }
    return component_unsupported(
        "pre_tokenizer", type,
        "ByteLevel, Split, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit, Sequence",
        err);
}

enum status pretokenizer_parse(const cJSON *json, struct pretokenizer *p, struct error *err)
{
    enum status st = component_each(json, "pre_tokenizer", "pretokenizers", parse_stage, p, err);
    p->n_run = p->n_stages;
    return st;
}

bool pretokenizer_ends_in_bytes(const struct pretokenizer *p)
{
    return p->n_stages > 0 && p->stages[p->n_stages - 1].kind->run == run_byte_level;
}

void pretokenizer_leave_bytes(struct pretokenizer *p)
{
    const struct pretokenizer_stage *last = &p->stages[p->n_stages - 1];
    p->leaves_bytes = true;
    p->n_run = p->n_stages - (!last->use_regex && !last->add_prefix_space);
}

void pretokenizer_free(struct pretokenizer *p)
{
    for (int i = 0; i < p->n_stages; i++) regex_free(p->stages[i].pattern);
    p->n_stages = 0;
}

bool pretokenizer_run(struct encoder *e, int stage, struct piece piece)
{
    if (piece.text.len == 0) return true;
    if (stage >= e->t->pretokenizer.n_run) return e->t->model->encode(e, piece.text);
    return e->t->pretokenizer.stages[stage].kind->run(e, stage, piece);
}
