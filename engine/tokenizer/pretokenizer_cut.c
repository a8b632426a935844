#include "engine/tokenizer/pretokenizer_cut.h"
#include "engine/tokenizer/unicode.h"

#include <string.h>

bool cut_send(struct cutter *c, size_t from, size_t to)
{
    if (from == to) return true;
    struct piece part = piece_part(c->piece, from, to);
    return c->sink ? c->sink(c, part) : pretokenizer_run(c->e, c->next_stage, part);
}

static bool send_waiting(struct cutter *c)
{
    bool was = c->waiting;
    c->waiting = false;
    return !was || cut_send(c, c->from, c->to);
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
        return match || cut_send(c, from, to);
    case SPLIT_ISOLATED:
        return cut_send(c, from, to);
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
        if (!c->waiting) return cut_send(c, from, to);
        c->waiting = false;
        return cut_send(c, c->from, to);
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

bool cut_by_regex(struct cutter *c, const struct regex *pattern)
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

bool cut_by_flag(struct cutter *c, unsigned flag)
{
    const char *data = c->piece.text.data, *end = data + c->piece.text.len, *p = data;
    size_t done = 0;
    unicode_ready();
    while (p < end) {
        size_t at = (size_t)(p - data);
        if (!(unicode_look_up(&unicode_tables.flags, unicode_next(&p)) & flag)) continue;
        size_t after = (size_t)(p - data);
        if (done < at && !take(c, done, at, false)) return false;
        if (!take(c, at, after, true)) return false;
        done = after;
    }
    if (done < c->piece.text.len && !take(c, done, c->piece.text.len, false)) return false;
    return send_waiting(c);
}

/* One character is too short for memmem, which prepares its search each time. */
static const char *find_literal(const char *s, const char *end, struct str literal)
{
    while ((size_t)(end - s) >= literal.len) {
        s = memchr(s, literal.data[0], (size_t)(end - s) - literal.len + 1);
        if (!s || memcmp(s, literal.data, literal.len) == 0) return s;
        s++;
    }
    return NULL;
}

bool cut_by_literal(struct cutter *c, struct str literal)
{
    struct str text = c->piece.text;
    const char *end = text.data + text.len;
    for (size_t done = 0;;) {
        const char *hit = find_literal(text.data + done, end, literal);
        size_t at = hit ? (size_t)(hit - text.data) : text.len;
        if (done < at && !take(c, done, at, false)) return false;
        if (!hit) return send_waiting(c);
        done = at + literal.len;
        if (!take(c, at, done, true)) return false;
    }
}

enum status cut_parse_behavior(const cJSON *json, enum split_behavior *out, struct error *err)
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
