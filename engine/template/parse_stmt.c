/* parse_stmt.c - text, tags and their bodies. */

#include "config/base/check.h"
#include "engine/template/compile.h"

#include <string.h>

/* End tags of a body; the parser stops at the name. */
static bool parse_body(struct compiler *c, const char *const *ends, struct node_list *out);

static bool at_any(struct compiler *c, const char *const *names)
{
    for (; names && *names; names++)
        if (token_at_name(c, *names)) return true;
    return false;
}

/* From behind a tag's head to its end tag, whose name is the next token. */
static bool parse_statements(struct compiler *c, const char *const *ends, struct node_list *out)
{
    struct token head = *token_peek(c);
    token_accept(c, TOKEN_COLON);
    if (!token_expect(c, TOKEN_BLOCK_END, "'%}'") || !parse_body(c, ends, out)) return false;
    if (token_peek(c)->kind != TOKEN_END) return true;
    return compile_fail(c, head.line, head.col, "this tag is never closed: {%% %s %%} is missing",
                        ends[0]);
}

static bool parse_until(struct compiler *c, const char *end, struct node_list *out)
{
    const char *const ends[] = {end, NULL};
    if (!parse_statements(c, ends, out)) return false;
    token_advance(c);
    return true;
}

static bool check_target(struct compiler *c, const struct node *n)
{
    if (n->kind == NODE_NAME || n->kind == NODE_NSREF) return true;
    if (n->kind != NODE_TUPLE)
        return compile_fail(c, n->line, n->col, "this cannot be assigned to");
    for (size_t i = 0; i < n->items.n; i++)
        if (!check_target(c, n->items.items[i])) return false;
    return true;
}

static struct node *parse_target(struct compiler *c, unsigned flags, const char *end_name)
{
    struct node *n = parse_tuple(c, TUPLE_SIMPLE | flags, end_name);
    return n && check_target(c, n) ? n : NULL;
}

static struct node *parse_name_target(struct compiler *c)
{
    struct token *t = token_peek(c);
    if (!token_expect(c, TOKEN_NAME, "a name")) return NULL;
    struct node *n = node_new(c, NODE_NAME, t);
    if (!n) return NULL;
    n->name = compile_str(c, t->text.data, t->text.len);
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (str_eq(t->text, str_from(reserved[i]))) {
            compile_fail(c, t->line, t->col, "%s cannot be assigned to", reserved[i]);
            return NULL;
        }
    return n->name ? n : NULL;
}

/* --- statements: the name of the tag is the next token ---------------------------------------- */

static struct node *parse_set(struct compiler *c)
{
    struct node *n = node_new(c, NODE_SET, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    if (!(n->a = parse_target(c, TUPLE_NAMESPACE, NULL))) return NULL;
    if (token_accept(c, TOKEN_ASSIGN)) {
        n->b = parse_tuple(c, 0, NULL);
        return n->b ? node_done(c, n) : NULL;
    }
    n->kind = NODE_SET_BLOCK;
    if (token_peek(c)->kind == TOKEN_PIPE && !(n->b = parse_filters(c, NULL, false))) return NULL;
    return parse_until(c, "endset", &n->items) ? node_done(c, n) : NULL;
}

static struct node *parse_for(struct compiler *c)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct node *n = node_new(c, NODE_FOR, token_peek(c));
    size_t n_scoped = c->n_scoped;
    if (!n || !(n->loop = compile_alloc(c, 1, sizeof(*n->loop)))) return NULL;
    token_advance(c);
    if (!(n->a = parse_target(c, 0, "in"))) return NULL;
    if (!token_accept_name(c, "in")) {
        compile_fail(c, token_peek(c)->line, token_peek(c)->col, "expected 'in'");
        return NULL;
    }
    if (!(n->b = parse_tuple(c, TUPLE_NO_CONDITION, "recursive"))) return NULL;
    if (token_accept_name(c, "if") && !(n->c = parse_expression(c, true))) return NULL;
    n->loop->recursive = token_accept_name(c, "recursive");
    int outer = c->n_loops;
    c->n_loops = n->loop->recursive ? 1 : outer + 1;
    if (!parse_statements(c, ends, &n->items)) return NULL;
    c->n_loops = n->loop->recursive ? 0 : outer;
    bool has_else = token_at_name(c, "else");
    token_advance(c);
    if (has_else && !parse_until(c, "endfor", &n->orelse)) return NULL;
    c->n_loops = outer;
    n->loop->has_loop = c->n_scoped != n_scoped;
    return node_done(c, n);
}

static struct node *parse_if(struct compiler *c)
{
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    struct node *first = node_new(c, NODE_IF, token_peek(c)), *n = first;
    if (!first) return NULL;
    token_advance(c);
    for (;;) {
        if (!(n->a = parse_tuple(c, TUPLE_NO_CONDITION, NULL))) return NULL;
        if (!parse_statements(c, ends, &n->items) || !node_done(c, n)) return NULL;
        if (n != first && !node_list_push(c, &first->elifs, n)) return NULL;
        if (!token_at_name(c, "elif")) break;
        n = node_new(c, NODE_IF, token_peek(c));
        if (!n) return NULL;
        token_advance(c);
    }
    bool has_else = token_at_name(c, "else");
    token_advance(c);
    if (has_else && !parse_until(c, "endif", &first->orelse)) return NULL;
    return node_done(c, first);
}

static struct node *parse_with(struct compiler *c)
{
    struct node *n = node_new(c, NODE_WITH, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    while (token_peek(c)->kind !=
           TOKEN_BLOCK_END) { /* targets and values alternate in n->targets */
        if (n->targets.n && !token_expect(c, TOKEN_COMMA, "','")) return NULL;
        if (!node_list_push(c, &n->targets, parse_target(c, 0, NULL)) ||
            !token_expect(c, TOKEN_ASSIGN, "'='") ||
            !node_list_push(c, &n->targets, parse_expression(c, true)))
            return NULL;
    }
    return parse_until(c, "endwith", &n->items) ? node_done(c, n) : NULL;
}

static bool parse_signature(struct compiler *c, struct macro_node *m)
{
    if (!token_expect(c, TOKEN_LPAREN, "'('")) return false;
    while (token_peek(c)->kind != TOKEN_RPAREN) {
        if (m->params.n && !token_expect(c, TOKEN_COMMA, "',' or ')'")) return false;
        struct node *param = parse_name_target(c);
        if (!node_list_push(c, &m->params, param)) return false;
        for (size_t i = 0; i + 1 < m->params.n; i++) {
            const struct vstr *other = m->params.items[i]->name;
            if (other->len == param->name->len &&
                memcmp(other->data, param->name->data, other->len) == 0)
                return compile_fail(c, param->line, param->col, "this parameter stands twice");
        }
        if (token_accept(c, TOKEN_ASSIGN)) {
            if (!node_list_push(c, &m->defaults, parse_expression(c, true))) return false;
        } else if (m->defaults.n) {
            return compile_fail(c, param->line, param->col,
                                "a parameter without default follows one with default");
        }
    }
    token_advance(c);
    return true;
}

/* The body of a macro or call block is a function of its own: no break out of it. */
static bool parse_function_body(struct compiler *c, const char *end, struct node_list *out)
{
    int outer = c->n_loops;
    c->n_loops = 0;
    bool ok = parse_until(c, end, out);
    c->n_loops = outer;
    return ok;
}

static struct node *macro_node_new(struct compiler *c, enum node_kind kind)
{
    struct node *n = node_new(c, kind, token_peek(c));
    if (!n || !(n->macro = compile_alloc(c, 1, sizeof(*n->macro)))) return NULL;
    token_advance(c);
    return n;
}

static struct node *parse_macro(struct compiler *c)
{
    struct node *n = macro_node_new(c, NODE_MACRO);
    struct node *name = n ? parse_name_target(c) : NULL;
    if (!name) return NULL;
    n->name = name->name;
    if (!parse_signature(c, n->macro)) return NULL;
    return parse_function_body(c, "endmacro", &n->items) ? node_done(c, n) : NULL;
}

static struct node *parse_call_block(struct compiler *c)
{
    struct node *n = macro_node_new(c, NODE_CALL_BLOCK);
    if (!n) return NULL;
    if (token_peek(c)->kind == TOKEN_LPAREN && !parse_signature(c, n->macro)) return NULL;
    if (!(n->a = parse_expression(c, true))) return NULL;
    if (n->a->kind != NODE_CALL) {
        compile_fail(c, n->line, n->col, "expected a call");
        return NULL;
    }
    return parse_function_body(c, "endcall", &n->items) ? node_done(c, n) : NULL;
}

/* {% generation %}: marks what the assistant wrote; for rendering it is a call of its body. */
static struct node *parse_generation(struct compiler *c)
{
    struct node *n = macro_node_new(c, NODE_CALL_BLOCK);
    if (!n) return NULL;
    return parse_function_body(c, "endgeneration", &n->items) ? node_done(c, n) : NULL;
}

/* A required block is to be filled by a template that extends this one: it holds nothing itself. */
static bool check_required(struct compiler *c, const struct node *n)
{
    for (size_t i = 0; i < n->items.n; i++) {
        const struct node *o = n->items.items[i];
        for (size_t k = 0; k < o->items.n || o->kind != NODE_OUTPUT; k++) {
            const struct value *v = o->kind == NODE_OUTPUT ? &o->items.items[k]->value : NULL;
            bool is_text = v && o->items.items[k]->kind == NODE_CONST && v->type == VALUE_STR;
            struct str s = is_text ? (struct str){v->str->data, v->str->len} : (struct str){0};
            if (!is_text || template_strip(s, true, false).len > 0)
                return compile_fail(c, n->line, n->col,
                                    "a required block can only hold comments or whitespace");
        }
    }
    return true;
}

static struct node *parse_block(struct compiler *c)
{
    struct node *n = node_new(c, NODE_BLOCK, token_peek(c));
    if (!n || !(n->block = compile_alloc(c, 1, sizeof(*n->block)))) return NULL;
    token_advance(c);
    struct token *t = token_peek(c);
    if (!token_expect(c, TOKEN_NAME, "the name of the block")) return NULL;
    n->name = compile_str(c, t->text.data, t->text.len);
    n->block->scoped = token_accept_name(c, "scoped");
    c->n_scoped += n->block->scoped;
    n->block->required = token_accept_name(c, "required");
    if (token_peek(c)->kind == TOKEN_SUB) {
        compile_fail(c, t->line, t->col, "the name of a block may not contain hyphens");
        return NULL;
    }
    if (!n->name || !parse_function_body(c, "endblock", &n->items)) return NULL;
    if (token_peek(c)->kind == TOKEN_NAME && str_eq(token_peek(c)->text, t->text)) token_advance(c);
    if (n->block->required && !check_required(c, n)) return NULL;
    return node_done(c, n);
}

static struct node *parse_filter_block(struct compiler *c)
{
    struct node *n = node_new(c, NODE_FILTER_BLOCK, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    if (!(n->a = parse_filters(c, NULL, true))) return NULL;
    return parse_until(c, "endfilter", &n->items) ? node_done(c, n) : NULL;
}

static struct node *parse_print(struct compiler *c)
{
    struct node *n = node_new(c, NODE_OUTPUT, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    while (token_peek(c)->kind != TOKEN_BLOCK_END) {
        if (n->items.n && !token_expect(c, TOKEN_COMMA, "','")) return NULL;
        if (!node_list_push(c, &n->items, parse_expression(c, true))) return NULL;
    }
    return node_done(c, n);
}

static struct node *parse_jump(struct compiler *c)
{
    struct token *t = token_peek(c);
    struct node *n = node_new(c, token_at_name(c, "break") ? NODE_BREAK : NODE_CONTINUE, t);
    if (n && c->n_loops == 0) {
        compile_fail(c, t->line, t->col, "'%.*s' outside of a loop", (int)t->text.len,
                     t->text.data);
        return NULL;
    }
    token_advance(c);
    return n;
}

static const struct {
    const char *name;
    struct node *(*parse)(struct compiler *c); /* NULL: known to Jinja2, refused here */
} statements[] = {
    {"set", parse_set},
    {"for", parse_for},
    {"if", parse_if},
    {"with", parse_with},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"print", parse_print},
    {"break", parse_jump},
    {"continue", parse_jump},
    {"generation", parse_generation},
    {"block", parse_block},
    {"extends", NULL},
    {"include", NULL},
    {"import", NULL},
    {"from", NULL},
    {"autoescape", NULL},
};

/* Refuses a tag that is none; where it would end or go on with another statement than the one that
 * is open, with the names that may stand here (three at most). */
static void fail_unknown_tag(struct compiler *c, const struct token *t, const char *const *ends)
{
    int len = (int)(t->text.len < 64 ? t->text.len : 64);
    bool is_end = str_starts_with(t->text, str_from("end")) || token_at_name(c, "else") ||
                  token_at_name(c, "elif");
    const char *second = ends && ends[1] ? ends[1] : NULL, *third = second ? ends[2] : NULL;

    if (!ends || !is_end)
        compile_fail(c, t->line, t->col, "unknown tag '%.*s'", len, t->text.data);
    else if (third)
        compile_fail(c, t->line, t->col, "unexpected tag '%.*s'; expected '%s', '%s' or '%s'", len,
                     t->text.data, ends[0], second, third);
    else
        compile_fail(c, t->line, t->col, "unexpected tag '%.*s'; expected '%s'%s%s%s", len,
                     t->text.data, ends[0], second ? " or '" : "", second ? second : "",
                     second ? "'" : "");
}

static struct node *parse_statement(struct compiler *c, const char *const *ends)
{
    struct token *t = token_peek(c);
    if (t->kind != TOKEN_NAME) {
        compile_fail(c, t->line, t->col, "expected the name of a tag");
        return NULL;
    }
    int len = (int)(t->text.len < 64 ? t->text.len : 64);
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        if (!token_at_name(c, statements[i].name)) continue;
        if (!statements[i].parse) {
            compile_fail(c, t->line, t->col, "the tag '%.*s' is not supported", len, t->text.data);
            return NULL;
        }
        if (!parse_enter(c)) return NULL;
        struct node *n = statements[i].parse(c);
        parse_leave(c);
        return n;
    }
    fail_unknown_tag(c, t, ends);
    return NULL;
}

/* Appends one expression or piece of text to the output node at the end of the body. */
static bool push_output(struct compiler *c, struct node_list *out, struct node *item)
{
    struct node *last = out->n ? out->items[out->n - 1] : NULL;
    if (!last || last->kind != NODE_OUTPUT) {
        struct token at = {.line = item->line, .col = item->col};
        last = node_new(c, NODE_OUTPUT, &at);
        if (!node_list_push(c, out, last)) return false;
    }
    return node_list_push(c, &last->items, item) && node_done(c, last);
}

static bool parse_data(struct compiler *c, struct node_list *out)
{
    struct node *n = node_new(c, NODE_CONST, token_peek(c));
    struct vstr *s = n ? compile_str(c, token_peek(c)->text.data, token_peek(c)->text.len) : NULL;
    if (!s) return false;
    n->value = value_from_str(s);
    token_advance(c);
    return push_output(c, out, n);
}

static bool parse_body(struct compiler *c, const char *const *ends, struct node_list *out)
{
    for (;;) {
        struct token *t = token_peek(c);
        struct node *n;
        switch (t->kind) {
        case TOKEN_END:
            return true;
        case TOKEN_DATA:
            if (!parse_data(c, out)) return false;
            break;
        case TOKEN_VARIABLE_BEGIN:
            token_advance(c);
            n = parse_tuple(c, 0, NULL);
            if (!n || !token_expect(c, TOKEN_VARIABLE_END, "'}}'") || !push_output(c, out, n))
                return false;
            break;
        default: /* the lexer gives nothing else outside of tags */
            if (!token_expect(c, TOKEN_BLOCK_BEGIN, "a tag")) return false;
            if (at_any(c, ends)) return true;
            n = parse_statement(c, ends);
            if (!node_list_push(c, out, n) || !token_expect(c, TOKEN_BLOCK_END, "'%}'"))
                return false;
        }
    }
}

bool parse_template(struct compiler *c)
{
    return parse_body(c, NULL, &c->tmpl->body);
}
