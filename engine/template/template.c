#include "engine/template/template.h"

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/compile.h"
#include "engine/template/interp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A rendering may hold several times its output: strings are built by concatenation and freed
 * only at the end.  The same bound serves the compiler. */
#define ARENA_SIZE ((size_t)4 * LIMIT_TEMPLATE_OUTPUT)
/* Nested evaluations.  One level of the source takes at most three C frames of less than 1 KiB;
 * with macros calling macros this stays below 4 MiB of stack. */
#define EVAL_DEPTH (10 * LIMIT_TEMPLATE_DEPTH)
/* Bytes that cost as much as one evaluated node. */
#define BYTES_PER_STEP 64

/* --- compiling --------------------------------------------------------------------------------- */

bool compile_fail(struct compiler *c, uint32_t line, uint32_t col, const char *fmt, ...)
{
    if (c->failed) return false;
    c->failed = true;
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    error_set(c->err, STATUS_INVALID, "chat template, line %u, column %u: %s", line, col, text);
    return false;
}

void *compile_alloc(struct compiler *c, size_t n, size_t item_size)
{
    void *p = arena_alloc_array(&c->tmpl->arena, n, item_size);
    if (!p) compile_fail(c, 1, 1, "the template needs too much memory");
    return p;
}

struct vstr *compile_str(struct compiler *c, const char *data, size_t len)
{
    struct vstr *s = compile_alloc(c, 1, sizeof(*s));
    char *copy = s ? arena_strndup(&c->tmpl->arena, data, len) : NULL;
    if (!copy) {
        compile_fail(c, 1, 1, "the template needs too much memory");
        return NULL;
    }
    *s = (struct vstr){.data = copy, .len = len, .n_chars = text_count(copy, len)};
    s->hash = vstr_hash(s);
    s->plain = attr_is_plain((struct str){copy, len});
    return s;
}

/* Line ends become \n and one at the end of the template is dropped, as Jinja2 does. */
static bool normalize(struct compiler *c, const char *text, size_t len)
{
    char *copy = arena_alloc(&c->scratch, len + 1);
    if (!copy) return compile_fail(c, 1, 1, "the template needs too much memory");
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        bool cr = text[i] == '\r';
        if (cr && i + 1 < len && text[i + 1] == '\n') i++;
        copy[n++] = (char)(cr ? '\n' : text[i]);
    }
    if (n > 0 && copy[n - 1] == '\n') n--;
    c->src = copy;
    c->len = n;
    return true;
}

enum status template_compile(const char *text, size_t len, struct template **out, struct error *err)
{
    *out = NULL;
    if (len > LIMIT_TEMPLATE_SIZE)
        return error_set(err, STATUS_INVALID, "chat template: %zu bytes, the limit is %u", len,
                         LIMIT_TEMPLATE_SIZE);
    if (!utf8_valid(text, len)) return error_set(err, STATUS_INVALID, "chat template: not UTF-8");
    struct error local;
    struct compiler c = {.err = err ? err : &local};
    c.tmpl = calloc(1, sizeof(*c.tmpl));
    if (!c.tmpl) return error_set(err, STATUS_NO_MEMORY, "chat template: out of memory");
    arena_init(&c.tmpl->arena, ARENA_SIZE);
    arena_init(&c.scratch, ARENA_SIZE);
    bool ok = normalize(&c, text, len) && lex(&c) && parse_template(&c) && resolve_template(&c) &&
              find_contents(&c);
    arena_free(&c.scratch);
    if (ok) {
        *out = c.tmpl;
        return STATUS_OK;
    }
    template_free(c.tmpl);
    return STATUS_INVALID;
}

void template_free(struct template *t)
{
    if (!t) return;
    arena_free(&t->arena);
    free(t);
}

/* --- rendering: bounds and errors -------------------------------------------------------------- */

static bool fail_with(struct render *r, enum status code, bool with_position, const char *fmt,
                      va_list ap)
{
    if (r->failed) return false;
    r->failed = true;
    char text[sizeof(((struct error *)0)->message)];
    vsnprintf(text, sizeof(text), fmt, ap);
    if (with_position && r->at)
        error_set(r->err, code, "chat template, line %u, column %u: %s", r->at->line, r->at->col,
                  text);
    else
        error_set(r->err, code, "%s", text);
    return false;
}

bool render_fail(struct render *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_with(r, STATUS_INVALID, true, fmt, ap);
    va_end(ap);
    return false;
}

bool render_fail_status(struct render *r, enum status code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_with(r, code, code != STATUS_INVALID, fmt, ap);
    va_end(ap);
    return false;
}

void *render_alloc(struct render *r, size_t n, size_t item_size)
{
    void *p = arena_alloc_array(&r->arena, n, item_size);
    if (!p)
        render_fail_status(r, STATUS_TOO_LARGE, "the rendering needs more than %zu MiB of memory",
                           ARENA_SIZE >> 20);
    return p;
}

bool render_charge(struct render *r, size_t bytes)
{
    r->steps_left -= (int64_t)(bytes / BYTES_PER_STEP);
    if (r->steps_left > 0) return true;
    return render_fail_status(r, STATUS_TOO_LARGE, "the rendering takes more than %d steps",
                              LIMIT_TEMPLATE_STEPS);
}

bool render_enter(struct render *r)
{
    if (r->depth >= EVAL_DEPTH) return render_fail_status(r, STATUS_TOO_LARGE, "nested too deeply");
    if (--r->steps_left <= 0) return render_charge(r, 0);
    r->depth++;
    return true;
}

void render_leave(struct render *r)
{
    r->depth--;
}

/* --- rendering --------------------------------------------------------------------------------- */

static bool render_body(struct render *r, const cJSON *context)
{
    const struct template *t = r->tmpl;
    struct value v;
    if (!value_from_json(r, context, &v)) return false;
    if (v.type != VALUE_DICT) return render_fail(r, "the context must be an object");
    r->context = v.dict;
    struct activation act = {.slots = render_alloc(r, t->n_slots + 1, sizeof(struct value))};
    if (!act.slots) return false;
    r->act = r->root = &act;
    return scope_enter(r, &t->scope) &&
           (!t->takes_self || make_self(r, NULL, &act.slots[t->self_slot])) &&
           exec_body(r, t->body.items, t->body.n) != FLOW_FAIL;
}

enum status template_render(const struct template *t, const cJSON *context, int64_t now,
                            struct strbuf *out, struct error *err)
{
    struct error local = {0};
    struct render r = {.tmpl = t, .now = now, .steps_left = LIMIT_TEMPLATE_STEPS, .err = &local};
    arena_init(&r.arena, ARENA_SIZE);
    struct strbuf text;
    strbuf_init(&text, LIMIT_TEMPLATE_OUTPUT);
    r.out = &text;
    bool ok = render_body(&r, context);
    if (ok && text.failed)
        ok = render_fail_status(&r, STATUS_TOO_LARGE, "the output is longer than %u MiB",
                                LIMIT_TEMPLATE_OUTPUT >> 20);
    if (ok && text.len) strbuf_add(out, text.data, text.len);
    strbuf_free(&text);
    arena_free(&r.arena);
    if (ok) return STATUS_OK;
    if (err) *err = local;
    return local.code;
}
