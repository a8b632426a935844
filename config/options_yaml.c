#include "config/base/str.h"
#include "config/options_table.h"

#include <string.h>
#include <yaml.h>

/* The file is one mapping of names to scalars or lists of scalars.  libyaml gives events; the
 * first one that does not belong is refused, so that depth and work are bounded.
 * Source: YAML 1.1, the events of libyaml. */

struct yaml_reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool have_event;
    const char *path;
    struct option_parser *p;
    bool seen[OPTION_MAX];
};

static enum status refuse(struct yaml_reader *r, const char *what, struct error *err)
{
    return error_set(err, STATUS_INVALID, "%s line %zu: %s", r->path,
                     (size_t)r->event.start_mark.line + 1, what);
}

static void drop_event(struct yaml_reader *r)
{
    if (r->have_event) yaml_event_delete(&r->event);
    r->have_event = false;
}

static enum status next_event(struct yaml_reader *r, struct error *err)
{
    drop_event(r);
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        const char *problem = r->parser.problem ? r->parser.problem : "cannot be read";
        return error_set(err, STATUS_INVALID, "%s line %zu: %s", r->path,
                         (size_t)r->parser.problem_mark.line + 1, problem);
    }
    r->have_event = true;
    return STATUS_OK;
}

/* The text of a scalar event: no NUL, no tag, no anchor, no null. */
static enum status scalar_text(struct yaml_reader *r, const char **out, struct error *err)
{
    if (r->event.type == YAML_ALIAS_EVENT) return refuse(r, "aliases are not accepted", err);
    if (r->event.type != YAML_SCALAR_EVENT)
        return refuse(r, "expected a plain value or a list of plain values", err);
    const char *text = (const char *)r->event.data.scalar.value;
    size_t len = r->event.data.scalar.length;
    if (r->event.data.scalar.anchor) return refuse(r, "anchors are not accepted", err);
    if (r->event.data.scalar.tag) return refuse(r, "tags are not accepted", err);
    if (memchr(text, '\0', len)) return refuse(r, "a value holds a NUL character", err);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (len == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
        return refuse(r, "a value is missing; leave the line out to have the default", err);
    *out = text;
    return STATUS_OK;
}

static enum status set_value(struct yaml_reader *r, const struct option_def *d, struct error *err)
{
    const char *text = NULL;
    char where[512];
    enum status st = scalar_text(r, &text, err);
    if (st != STATUS_OK || !option_is_open(r->p, d, SOURCE_YAML)) return st;
    snprintf(where, sizeof(where), "%.300s line %zu: %s", r->path,
             (size_t)r->event.start_mark.line + 1, d->name);
    return option_set(r->p, d, text, SOURCE_YAML, where, err);
}

static enum status set_list(struct yaml_reader *r, const struct option_def *d, struct error *err)
{
    if (d->kind != OPTION_LIST) return refuse(r, "this option takes one value, not a list", err);
    if (r->event.data.sequence_start.anchor) return refuse(r, "anchors are not accepted", err);
    for (;;) {
        enum status st = next_event(r, err);
        if (st != STATUS_OK) return st;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return STATUS_OK;
        st = set_value(r, d, err);
        if (st != STATUS_OK) return st;
    }
}

/* The event is a key; reads the key and its value. */
static enum status read_pair(struct yaml_reader *r, struct error *err)
{
    const char *key = NULL;
    char where[320];
    enum status st = scalar_text(r, &key, err);
    if (st != STATUS_OK) return st;
    snprintf(where, sizeof(where), "%.280s line %zu", r->path,
             (size_t)r->event.start_mark.line + 1);
    const struct option_def *d = option_find(key, strlen(key));
    const struct option_foreign *f = d ? NULL : option_find_foreign(key, strlen(key));
    if (!d && !f) return option_unknown(r->p, where, key, strlen(key), err);
    if (d && d->kind == OPTION_CONFIG) return refuse(r, "config cannot name another file", err);
    if (d && r->seen[d - option_table])
        return error_set(err, STATUS_INVALID, "%s: \"%s\" is given twice", where, d->name);
    if (d) r->seen[d - option_table] = true;
    st = next_event(r, err);
    if (st != STATUS_OK) return st;
    if (f) {
        bool scalar = r->event.type == YAML_SCALAR_EVENT;
        const char *value = scalar ? (const char *)r->event.data.scalar.value : NULL;
        return option_foreign_check(f, value, where, err);
    }
    bool list = r->event.type == YAML_SEQUENCE_START_EVENT;
    return list ? set_list(r, d, err) : set_value(r, d, err);
}

static enum status read_document(struct yaml_reader *r, struct error *err)
{
    enum status st = next_event(r, err);
    if (st != STATUS_OK) return st;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return refuse(r, "expected lines like \"max-num-seqs: 64\"", err);
    for (;;) {
        st = next_event(r, err);
        if (st != STATUS_OK) return st;
        if (r->event.type == YAML_MAPPING_END_EVENT) return next_event(r, err); /* document end */
        st = read_pair(r, err);
        if (st != STATUS_OK) return st;
    }
}

enum status option_read_yaml(struct option_parser *p, const char *path, const char *text,
                             size_t len, struct error *err)
{
    struct yaml_reader r = {.path = path, .p = p};
    if (!yaml_parser_initialize(&r.parser))
        return error_set(err, STATUS_NO_MEMORY, "out of memory reading %s", path);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    bool had_document = false;
    enum status st;
    while ((st = next_event(&r, err)) == STATUS_OK && r.event.type != YAML_STREAM_END_EVENT) {
        if (r.event.type != YAML_DOCUMENT_START_EVENT) continue; /* the stream's start */
        st = had_document ? refuse(&r, "only one document is accepted", err)
                          : read_document(&r, err);
        if (st != STATUS_OK) break;
        had_document = true;
    }
    drop_event(&r);
    yaml_parser_delete(&r.parser);
    return st;
}
