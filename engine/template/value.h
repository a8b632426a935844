#ifndef ENGINE_TEMPLATE_VALUE_H
#define ENGINE_TEMPLATE_VALUE_H

/* value.h - what a template computes with: Python's values, as far as Jinja2 shows them.
 *
 * A value is 16 bytes, copied freely.  What it points to lives in the arena of one rendering (or of
 * the compiled template, for constants) and never changes after it is made, except namespaces,
 * iterators and loops: sharing needs no counting and nothing is freed one by one.
 *
 * Integers are 64 bits wide; a result that does not fit is an error, not a Python long.
 * Strings are UTF-8; lengths and indices count code points.  `markup` marks markupsafe.Markup,
 * whose operators escape what they are combined with.
 *
 * Functions that can fail return false after render_fail() (interp.h). */

#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct render;

enum value_type {
    VALUE_MISSING, /* an unset variable or an absent argument; never seen by a template */
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_STR,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_DICT,
    VALUE_VIEW, /* dict.keys(), .values(), .items() */
    VALUE_RANGE,
    VALUE_ITER, /* generators and reversed(): read once */
    VALUE_NAMESPACE,
    VALUE_MACRO,
    VALUE_FUNC, /* a global function or a bound method */
    VALUE_LOOP,
    VALUE_CYCLER,
    VALUE_JOINER,
    VALUE_SELF, /* `self` of a template with blocks */
    VALUE_BLOCK /* self.name */
};

struct value {
    enum value_type type;
    union {
        bool b;
        int64_t i;
        double f;
        struct vstr *str;
        struct vlist *list; /* list and tuple */
        struct vdict *dict; /* dict and namespace */
        struct vview *view;
        struct vrange *range;
        struct viter *iter;
        struct vundef *undef;
        struct vfunc *func;
        struct vmacro *macro;
        struct vloop *loop;
        struct vcycler *cycler;
        struct vjoiner *joiner;
        struct vblock *block; /* VALUE_SELF: its node is NULL */
    };
};

/* Spare room behind a string, so that `a = a ~ b` in a loop costs O(len b): whoever ends at
 * `used` may append in place. */
struct vbuf {
    char *data;
    size_t used, cap;
};
struct vstr {
    const char *data;
    size_t len, n_chars;
    uint64_t hash; /* 0 = not known */
    bool markup;
    bool keeps_hash;  /* it belongs to one rendering, so the hash may be written when it is made */
    bool plain;       /* a constant that no type has as a method or forbids as an attribute */
    struct vbuf *buf; /* NULL = none */
};
struct vlist {
    struct value *items;
    size_t n, cap;
    bool group; /* a tuple of groupby: has .grouper and .list */
};
struct ventry {
    struct value key, val;
    uint64_t hash;
};
struct vdict { /* insertion-ordered; nothing is ever removed */
    struct ventry *entries;
    size_t n, cap;
    uint32_t *index; /* open addressing: entry number + 1; NULL while small */
    size_t index_cap;
};
enum view_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };
struct vview {
    struct vdict *dict;
    enum view_kind kind;
};
struct vrange {
    int64_t start, stop, step;
    size_t n;
};
/* next: 1 and *out, 0 at the end, -1 after render_fail. */
struct viter {
    int (*next)(struct render *r, struct viter *it, struct value *out);
    const char *type_name;
    void *state;
    size_t pos;
};
enum undef_kind { UNDEF_NAME, UNDEF_ATTR, UNDEF_UNSAFE, UNDEF_HINT };
struct vundef {
    enum undef_kind kind;
    const char *owner; /* type name of the object that lacks it */
    struct value name; /* string or key */
    const char *hint;
};
struct vfunc {
    const struct method_def *def;
    struct value self;
};
struct vcycler {
    struct vlist *items;
    size_t pos;
};
/* A block, and the variables that a scoped block around gave to the place. */
struct vblock {
    const struct node *node;
    const struct overlay *overlay;
};
struct vjoiner {
    struct value sep;
    bool used;
};

#define VALUE_OF(type_, member_, v_) ((struct value){.type = (type_), .member_ = (v_)})
static inline struct value value_missing(void)
{
    return (struct value){.type = VALUE_MISSING};
}
static inline struct value value_none(void)
{
    return (struct value){.type = VALUE_NONE};
}
static inline struct value value_bool(bool b)
{
    return VALUE_OF(VALUE_BOOL, b, b);
}
static inline struct value value_int(int64_t i)
{
    return VALUE_OF(VALUE_INT, i, i);
}
static inline struct value value_float(double f)
{
    return VALUE_OF(VALUE_FLOAT, f, f);
}
static inline struct value value_from_str(struct vstr *s)
{
    return VALUE_OF(VALUE_STR, str, s);
}
static inline bool value_is_number(struct value v)
{
    return v.type == VALUE_INT || v.type == VALUE_FLOAT || v.type == VALUE_BOOL;
}
/* int or bool, as Python's isinstance(v, int) has it */
static inline bool value_is_int(struct value v)
{
    return v.type == VALUE_INT || v.type == VALUE_BOOL;
}
static inline int64_t value_as_int(struct value v)
{
    return v.type == VALUE_BOOL ? (int64_t)v.b : v.i;
}
static inline double value_as_float(struct value v)
{
    return v.type == VALUE_FLOAT ? v.f : (double)value_as_int(v);
}

/* --- value.c: making --- */
bool value_str(struct render *r, const char *data, size_t len, struct value *out); /* copies */
bool value_str_view(struct render *r, const char *data, size_t len, bool markup, struct value *out);
bool value_cstr(struct render *r, const char *s, struct value *out);
/* Copies the buffer's bytes into the rendering and frees it. */
bool value_take(struct render *r, struct strbuf *b, struct value *out);
bool value_concat(struct render *r, const struct vstr *a, const struct vstr *b, bool markup,
                  struct value *out);
bool value_undef(struct render *r, struct vundef u, struct value *out);
struct vlist *vlist_new(struct render *r, size_t cap); /* NULL after render_fail */
bool vlist_push(struct render *r, struct vlist *l, struct value v);
bool value_pair(struct render *r, struct value a, struct value b, struct value *out);
bool value_tuple(struct render *r, const struct value *items, size_t n, struct value *out);

/* --- value.c: asking --- */
const char *value_type_name(struct value v);
bool value_truth(struct value v);
/* -1 and no error: the value has no length. */
int64_t value_len(struct value v);
bool value_eq(struct render *r, struct value a, struct value b, bool *out);
enum compare_op { COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };
bool value_compare(struct render *r, enum compare_op op, struct value a, struct value b, bool *out);
bool value_contains(struct render *r, struct value container, struct value item, bool *out);
bool value_is_same(struct value a, struct value b); /* Python's `is` */

/* --- dict.c --- */
struct vdict *vdict_new(struct render *r);
bool vdict_set(struct render *r, struct vdict *d, struct value key, struct value val);
/* *out stays as it is when the key is absent; false only after render_fail (unhashable key). */
bool vdict_get(struct render *r, const struct vdict *d, struct value key, struct value *out);
struct value *vdict_find_str(const struct vdict *d, const char *name, size_t len);
struct value *vdict_find(const struct vdict *d, const struct vstr *name);
uint64_t vstr_hash(const struct vstr *s);
bool value_hashable(struct value v);

/* --- print.c: Python's str() and repr() --- */
bool value_write(struct render *r, struct strbuf *b, struct value v); /* str(v) */
bool value_write_repr(struct render *r, struct strbuf *b, struct value v);
bool value_to_str(struct render *r, struct value v, struct vstr **out); /* str(v), Markup kept */
bool value_repr(struct render *r, struct value v, struct value *out);
void float_repr(double f, char out[40]);
/* Appends `s` with & < > ' " as HTML entities. */
void html_escape(struct strbuf *b, const char *s, size_t len);
bool value_escape(struct render *r, struct value v, struct value *out); /* Markup.escape */

#endif
