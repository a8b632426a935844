#ifndef ENGINE_TEMPLATE_INTERP_H
#define ENGINE_TEMPLATE_INTERP_H

/* interp.h - one rendering: its arena, its bounds, its position for messages; and what the parts of
 * the evaluator offer each other.  Everything here belongs to the thread that renders. */

#include "config/base/arena.h"
#include "config/base/status.h"
#include "engine/template/ast.h"
#include "engine/template/value.h"

#include <cjson/cJSON.h>

/* Variables of one function (the template, a macro call, a recursive loop's call). */
struct activation {
    struct activation *parent; /* of the function around it, at the time of its definition */
    struct value *slots;
    const struct overlay *overlay; /* of the block that the function stands in */
};
/* What scoped blocks add to the context, innermost first. */
struct overlay {
    struct vdict *names;
    const struct overlay *outer;
};

struct render {
    const struct template *tmpl;
    struct arena arena;
    struct vdict *context;
    struct strbuf *out;            /* where output goes now */
    struct activation *act, *root; /* root: the template's own */
    const struct node *at;         /* for messages */
    int64_t now;
    struct value block_text; /* what the filters of a filter block work on */
    int64_t steps_left;
    int depth;      /* nested evaluations: C stack */
    int call_depth; /* nested macro calls and recursive loops */
    struct error *err;
    bool failed;
};

/* Always false, so that `return render_fail(...)` reads well.  The first failure stays. */
bool render_fail(struct render *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool render_fail_status(struct render *r, enum status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Fails with the words for using an undefined value. */
bool undef_fail(struct render *r, struct value v);
void *render_alloc(struct render *r, size_t n, size_t item_size); /* NULL after render_fail */
/* Work that is not one node: `bytes` touched by one operation. */
#define CHARGE_SLOW 8 /* times the bytes: work that looks at each character by itself */
bool render_charge(struct render *r, size_t bytes);
/* For recursion over values: false after render_fail when too deep. */
bool render_enter(struct render *r);
void render_leave(struct render *r);

/* --- arguments --- */
struct keyword {
    const struct vstr *name;
    struct value val;
};
struct args {
    struct value *pos;
    size_t n_pos;
    struct keyword *kw;
    size_t n_kw;
};
/* Filters, tests, methods and functions.  `params` names the parameters behind the subject,
 * separated by spaces; a leading "/" makes them positional only; NULL takes any arguments raw.
 * A function with params gets args->pos[i] for parameter i, VALUE_MISSING where absent. */
struct method_def {
    const char *name;
    const char *params;
    int n_required;
    bool (*fn)(struct render *r, struct value self, const struct args *args, struct value *out);
};
bool call_method_def(struct render *r, const struct method_def *def, struct value self,
                     const struct args *args, struct value *out);
bool arg_int(struct render *r, struct value v, int64_t absent, int64_t *out);
bool arg_str(struct render *r, struct value v, const char *what, const struct vstr **out);
bool arg_bool(struct value v, bool absent);

/* --- eval.c --- */
bool eval(struct render *r, const struct node *n, struct value *out);
/* Evaluates a call's arguments; `caller` (VALUE_MISSING = none) becomes a keyword. */
bool eval_args(struct render *r, const struct call_node *call, struct value caller,
               struct args *out);
bool call_value(struct render *r, struct value callee, const struct args *args, struct value *out);
/* --- access.c: Jinja's environment.getattr and getitem --- */
bool get_attr(struct render *r, struct value obj, const struct vstr *name, struct value *out);
bool get_item(struct render *r, struct value obj, struct value key, struct value *out);
/* No dict has an attribute of this name: d.name is d['name']. */
bool attr_is_plain(struct str name);
bool get_slice(struct render *r, struct value obj, const struct value bounds[3], struct value *out);
/* --- exec.c --- */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAIL };
enum flow exec_body(struct render *r, struct node *const *body, size_t n);
bool exec_capture(struct render *r, struct node *const *body, size_t n, enum flow *flow,
                  struct value *out);
bool assign_target(struct render *r, const struct node *target, struct value v);
bool scope_enter(struct render *r, const struct scope *s);
void scope_leave(struct render *r, const struct scope *s);
bool check_namespace_name(struct render *r, struct value name); /* globals.c */
struct value *slot_of(struct render *r, struct ref ref);
/* --- loop.c --- */
struct vloop {
    const struct node *node;
    struct activation *outer; /* where a recursive loop was defined */
    struct value iterable;
    struct viter *it;
    struct value current, before, after; /* after: peeked at, VALUE_MISSING = not */
    struct value last_changed;
    int64_t index0, length; /* length -1 = not known yet */
    int depth0;
};
enum flow exec_for(struct render *r, const struct node *n);
bool call_loop(struct render *r, struct vloop *loop, struct value iterable, struct value *out);
int next_of_loop(struct render *r, struct viter *it, struct value *out);
bool loop_length(struct render *r, struct vloop *loop, int64_t *out);
bool loop_attr(struct render *r, struct vloop *loop, const struct vstr *name, struct value *out);
/* --- macro.c --- */
struct vmacro {
    const struct node *node;
    struct activation *act;
};
bool call_macro(struct render *r, const struct vmacro *m, const struct args *args,
                struct value *out);
bool macro_attr(struct render *r, const struct vmacro *m, const struct vstr *name,
                struct value *out);
enum flow exec_call_block(struct render *r, const struct node *n);

/* --- block.c --- */
enum flow exec_block(struct render *r, const struct node *n);
bool call_block(struct render *r, const struct vblock *block, struct value *out);
bool self_attr(struct render *r, const struct vblock *self, const struct vstr *name,
               struct value *out);
bool make_self(struct render *r, const struct overlay *overlay, struct value *out);
/* A name inside a block: from the overlays, else the template's own variables; NULL = neither. */
const struct value *block_resolve(const struct render *r, const struct load *l);

/* --- arith.c --- */
bool binary_op(struct render *r, enum binary_op op, struct value a, struct value b,
               struct value *out);
bool unary_op(struct render *r, enum binary_op op, struct value a, struct value *out);
bool add_values(struct render *r, struct value a, struct value b, struct value *out);

/* --- iter.c --- */
bool iter_open(struct render *r, struct value v, struct viter **out);
int iter_next(struct render *r, struct viter *it, struct value *out);
bool iter_collect(struct render *r, struct value v, struct vlist **out); /* list(v) */
bool iter_make(struct render *r, const char *type_name,
               int (*next)(struct render *, struct viter *, struct value *), void *state,
               struct value *out);
bool iter_reversed(struct render *r, struct value v, struct value *out);

/* --- text.c: Unicode and string work --- */
bool text_is_space(uint32_t cp);
bool text_is_printable(uint32_t cp);
bool text_is_alnum(uint32_t cp);
bool text_is_ident(uint32_t cp);
/* Decodes one code point; a bad byte counts as one character with that value. */
size_t text_next(const char *s, size_t len, uint32_t *cp);
size_t text_count(const char *s, size_t len);
size_t text_offset(const struct vstr *s, size_t index); /* byte offset of code point `index` */
size_t text_find(const char *hay, size_t n, const char *needle, size_t m); /* SIZE_MAX = none */
/* Takes up to n * m steps. */
size_t text_find_last(const char *hay, size_t n, const char *needle, size_t m);
/* For either over n bytes, one match or all of them.  To be called before the search. */
bool text_charge_search(struct render *r, size_t n, size_t m, bool last);
struct str text_strip(struct str s, const struct vstr *chars, bool left, bool right);
bool text_strip_charged(struct render *r, const struct vstr *s, const struct vstr *chars, bool left,
                        bool right, struct value *out);
enum text_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITALIZE, CASE_SWAP, CASE_FOLD };
void text_case(struct strbuf *b, struct str s, enum text_case how);
/* The next line of Python's splitlines: its length without the line end; *end_len bytes of line
 * end follow it. */
size_t text_line(const char *s, size_t len, size_t *end_len);
bool text_replace(struct render *r, const struct vstr *s, const struct vstr *from,
                  const struct vstr *to, int64_t count, bool markup, struct value *out);
bool text_same_kind(struct render *r, const struct vstr *like, const char *data, size_t len,
                    struct value *out); /* a piece of `like`'s bytes, Markup if it is */
bool text_pad(struct render *r, const struct vstr *s, int64_t width, char align,
              const struct vstr *fill, struct value *out);
/* `fill` (1..4 bytes) n times. */
void text_fill(struct strbuf *b, const char *fill, size_t len, int64_t n);
bool text_join(struct render *r, const struct vstr *sep, const struct vlist *items,
               struct value *out);

/* --- format.c, percent.c --- */
bool format_percent(struct render *r, const struct vstr *fmt, struct value arg, struct value *out);
bool format_braces(struct render *r, const struct vstr *fmt, const struct args *args,
                   struct value *out);
struct format_spec {
    char fill[5];
    char align; /* '<' '>' '^' '=' or 0 */
    char sign;  /* '+' ' ' or '-' */
    bool alt, zero;
    char group;               /* ',' '_' or 0 */
    int64_t width, precision; /* -1 = none */
    char type;                /* 0 = none */
};
bool format_number(struct render *r, const struct format_spec *spec, struct value v,
                   struct strbuf *b);
bool format_pad(struct render *r, const struct format_spec *spec, const char *s, size_t len,
                struct strbuf *b);
bool parse_float_text(struct str s, double *out);
bool parse_int_text(struct str s, int base, int64_t *out);

/* --- json_in.c --- */
bool value_from_json(struct render *r, const cJSON *item, struct value *out);
/* --- json_out.c --- */
bool filter_tojson(struct render *r, struct value v, const struct args *a, struct value *out);

/* --- tables --- */
const struct method_def *filter_find(struct str name);
const struct method_def *test_find(struct str name);
const struct method_def *global_find(struct str name);
const struct method_def *method_find(struct value obj, struct str name);
/* A name Jinja2 knows and this interpreter refuses. */
bool filter_is_refused(struct str name);
extern const struct method_def string_filters[], sequence_filters[], number_filters[],
    select_filters[];
extern const size_t n_string_filters, n_sequence_filters, n_number_filters, n_select_filters;
bool method_unsupported(struct render *r, struct value self, const struct args *a,
                        struct value *out);
extern const struct method_def str_methods[];
extern const size_t n_str_methods;

/* Dotted attribute paths of map, sort, groupby, ...: "a.b.0" or an int. */
struct attr_path {
    struct value *parts;
    size_t n;
    struct value fallback; /* VALUE_MISSING = none */
    bool fold_case;
};
bool attr_path_parse(struct render *r, struct value attribute, struct attr_path *out);
bool attr_path_get(struct render *r, const struct attr_path *p, struct value item,
                   struct value *out);
bool sort_values(struct render *r, struct vlist *items, struct vlist *keys, bool reverse);
bool value_fold_case(struct render *r, struct value v, struct value *out);

#endif
