/* parse_expr.c - expressions, by recursive descent in Jinja2's order of precedence:
 * condition, or, and, not, comparison, + -, ~, * / // %, **, unary, postfix, filters and tests. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/compile.h"

#include <string.h>

struct token *token_peek(struct compiler *c)
{
    return &c->toks[c->pos];
}

struct token *token_peek_next(struct compiler *c)
{
    return &c->toks[c->pos + 1 < c->n_toks ? c->pos + 1 : c->pos];
}

void token_advance(struct compiler *c)
{
    if (c->pos + 1 < c->n_toks) c->pos++;
}

bool token_accept(struct compiler *c, enum token_kind kind)
{
    if (token_peek(c)->kind != kind) return false;
    token_advance(c);
    return true;
}

static bool token_is_name(const struct token *t, const char *name)
{
    return t->kind == TOKEN_NAME && str_eq(t->text, str_from(name));
}

bool token_at_name(struct compiler *c, const char *name)
{
    return token_is_name(token_peek(c), name);
}

bool token_accept_name(struct compiler *c, const char *name)
{
    if (!token_at_name(c, name)) return false;
    token_advance(c);
    return true;
}

bool token_expect(struct compiler *c, enum token_kind kind, const char *what)
{
    if (token_accept(c, kind)) return true;
    const struct token *t = token_peek(c);
    if (t->kind == TOKEN_NAME)
        return compile_fail(c, t->line, t->col, "expected %s, not '%.*s'", what,
                            (int)(t->text.len < 64 ? t->text.len : 64), t->text.data);
    return compile_fail(c, t->line, t->col, "expected %s", what);
}

struct node *node_new(struct compiler *c, enum node_kind kind, const struct token *at)
{
    struct node *n = compile_alloc(c, 1, sizeof(*n));
    if (!n) return NULL;
    n->kind = kind;
    n->line = at->line;
    n->col = at->col;
    n->height = 1;
    return n;
}

bool node_list_push(struct compiler *c, struct node_list *l, struct node *n)
{
    if (!n) return false;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        struct node **grown = compile_alloc(c, cap, sizeof(struct node *));
        if (!grown) return false;
        if (l->n) memcpy(grown, l->items, l->n * sizeof(struct node *));
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->n++] = n;
    return true;
}

static void raise_height(struct node *n, const struct node *child)
{
    if (child && child->height >= n->height) n->height = child->height + 1;
}

static void raise_height_list(struct node *n, const struct node_list *l)
{
    for (size_t i = 0; i < l->n; i++) raise_height(n, l->items[i]);
}

struct node *node_done(struct compiler *c, struct node *n)
{
    raise_height(n, n->a);
    raise_height(n, n->b);
    raise_height(n, n->c);
    raise_height_list(n, &n->items);
    raise_height_list(n, &n->orelse);
    raise_height_list(n, &n->elifs);
    raise_height_list(n, &n->targets);
    if (n->macro) raise_height_list(n, &n->macro->defaults);
    if (n->call) {
        raise_height_list(n, &n->call->args);
        for (size_t i = 0; i < n->call->n_kw; i++) raise_height(n, n->call->kw[i].val);
        raise_height(n, n->call->dyn_args);
        raise_height(n, n->call->dyn_kwargs);
    }
    if (n->height <= LIMIT_TEMPLATE_DEPTH) return n;
    compile_fail(c, n->line, n->col, "nested too deeply: the limit is %d levels",
                 LIMIT_TEMPLATE_DEPTH);
    return NULL;
}

bool parse_enter(struct compiler *c)
{
    if (c->depth < LIMIT_TEMPLATE_DEPTH) {
        c->depth++;
        return true;
    }
    return compile_fail(c, token_peek(c)->line, token_peek(c)->col,
                        "nested too deeply: the limit is %d levels", LIMIT_TEMPLATE_DEPTH);
}

void parse_leave(struct compiler *c)
{
    c->depth--;
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool push_keyword(struct compiler *c, struct call_node *call, struct str name,
                         struct node *val)
{
    if (!val) return false;
    for (size_t i = 0; i < call->n_kw; i++)
        if (str_eq((struct str){call->kw[i].name->data, call->kw[i].name->len}, name))
            return compile_fail(c, val->line, val->col, "keyword argument repeated: %.*s",
                                (int)name.len, name.data);
    if (call->n_kw == call->cap_kw) {
        size_t cap = call->cap_kw ? call->cap_kw * 2 : 4;
        struct call_keyword *grown = compile_alloc(c, cap, sizeof(*grown));
        if (!grown) return false;
        if (call->n_kw) memcpy(grown, call->kw, call->n_kw * sizeof(*grown));
        call->kw = grown;
        call->cap_kw = cap;
    }
    struct vstr *s = compile_str(c, name.data, name.len);
    if (!s) return false;
    call->kw[call->n_kw++] = (struct call_keyword){s, val};
    return true;
}

static bool bad_call(struct compiler *c, const struct token *at)
{
    return compile_fail(c, at->line, at->col, "the arguments of this call are in a wrong order");
}

static bool parse_one_arg(struct compiler *c, struct call_node *call, const struct token *paren)
{
    if (token_accept(c, TOKEN_MUL)) {
        if (call->dyn_args || call->dyn_kwargs) return bad_call(c, paren);
        return (call->dyn_args = parse_expression(c, true)) != NULL;
    }
    if (token_accept(c, TOKEN_POW)) {
        if (call->dyn_kwargs) return bad_call(c, paren);
        return (call->dyn_kwargs = parse_expression(c, true)) != NULL;
    }
    if (token_peek(c)->kind == TOKEN_NAME && token_peek_next(c)->kind == TOKEN_ASSIGN) {
        if (call->dyn_kwargs) return bad_call(c, paren);
        struct str name = token_peek(c)->text;
        token_advance(c);
        token_advance(c);
        return push_keyword(c, call, name, parse_expression(c, true));
    }
    if (call->dyn_args || call->dyn_kwargs || call->n_kw) return bad_call(c, paren);
    return node_list_push(c, &call->args, parse_expression(c, true));
}

/* From the opening parenthesis to behind the closing one. */
static struct call_node *parse_call_args(struct compiler *c)
{
    struct token paren = *token_peek(c);
    struct call_node *call = compile_alloc(c, 1, sizeof(*call));
    if (!call || !token_expect(c, TOKEN_LPAREN, "'('")) return NULL;
    bool first = true;
    while (token_peek(c)->kind != TOKEN_RPAREN) {
        if (!first) {
            if (!token_expect(c, TOKEN_COMMA, "',' or ')'")) return NULL;
            if (token_peek(c)->kind == TOKEN_RPAREN) break;
        }
        first = false;
        if (!parse_one_arg(c, call, &paren)) return NULL;
    }
    token_advance(c);
    return call;
}

static struct node *parse_call(struct compiler *c, struct node *callee)
{
    struct node *n = node_new(c, NODE_CALL, token_peek(c));
    if (!n) return NULL;
    n->a = callee;
    n->call = parse_call_args(c);
    return n->call ? node_done(c, n) : NULL;
}

/* A filter's or test's name, dots included. */
static struct vstr *parse_dotted(struct compiler *c, const char *what)
{
    struct str name = token_peek(c)->text;
    if (!token_expect(c, TOKEN_NAME, what)) return NULL;
    while (token_accept(c, TOKEN_DOT)) {
        struct token *t = token_peek(c);
        if (!token_expect(c, TOKEN_NAME, what)) return NULL;
        name.len = (size_t)(t->text.data + t->text.len - name.data);
    }
    return compile_str(c, name.data, name.len);
}

static struct call_node *parse_optional_args(struct compiler *c)
{
    if (token_peek(c)->kind == TOKEN_LPAREN) return parse_call_args(c);
    return compile_alloc(c, 1, sizeof(struct call_node));
}

struct node *parse_filters(struct compiler *c, struct node *subject, bool start_inline)
{
    while (start_inline || token_peek(c)->kind == TOKEN_PIPE) {
        if (!start_inline) token_advance(c);
        start_inline = false;
        struct node *n = node_new(c, NODE_FILTER, token_peek(c));
        if (!n) return NULL;
        n->a = subject;
        n->name = parse_dotted(c, "the name of a filter");
        if (!n->name || !(n->call = parse_optional_args(c))) return NULL;
        if (!(subject = node_done(c, n))) return NULL;
    }
    return subject;
}

/* --- postfix: .name [key] (args) -------------------------------------------------------------- */

static struct node *const_int(struct compiler *c, const struct token *t)
{
    struct node *n = node_new(c, NODE_CONST, t);
    if (n) n->value = value_int(t->i);
    return n;
}

/* One bound of a slice, or nothing before ':' ',' ']'. */
static bool parse_bound(struct compiler *c, struct node **out)
{
    enum token_kind k = token_peek(c)->kind;
    *out = NULL;
    if (k == TOKEN_COLON || k == TOKEN_RBRACKET || k == TOKEN_COMMA) return true;
    return (*out = parse_expression(c, true)) != NULL;
}

/* The inside of [ ]: *out is a NODE_SLICE without object, or a key. */
static struct node *parse_subscribed(struct compiler *c)
{
    struct node *start = NULL;
    struct token at = *token_peek(c);
    if (at.kind != TOKEN_COLON) {
        start = parse_expression(c, true);
        if (!start || token_peek(c)->kind != TOKEN_COLON) return start;
    }
    struct node *n = node_new(c, NODE_SLICE, &at);
    if (!n) return NULL;
    n->items.items = compile_alloc(c, 3, sizeof(struct node *));
    if (!n->items.items) return NULL;
    n->items.n = n->items.cap = 3;
    n->items.items[0] = start;
    token_advance(c);
    if (!parse_bound(c, &n->items.items[1])) return NULL;
    if (token_accept(c, TOKEN_COLON) && !parse_bound(c, &n->items.items[2])) return NULL;
    return n;
}

static struct node *parse_brackets(struct compiler *c, struct node *obj)
{
    struct token at = *token_peek(c);
    token_advance(c);
    struct node *tuple = node_new(c, NODE_TUPLE, &at);
    if (!tuple) return NULL;
    while (token_peek(c)->kind != TOKEN_RBRACKET) {
        if (tuple->items.n && !token_expect(c, TOKEN_COMMA, "',' or ']'")) return NULL;
        struct node *key = parse_subscribed(c);
        if (!node_list_push(c, &tuple->items, key)) return NULL;
        if (key->kind == NODE_SLICE && (tuple->items.n > 1 || token_peek(c)->kind == TOKEN_COMMA)) {
            compile_fail(c, at.line, at.col, "a slice cannot stand in a tuple of keys");
            return NULL;
        }
    }
    token_advance(c);
    struct node *key = tuple->items.n == 1 ? tuple->items.items[0] : node_done(c, tuple);
    if (!key) return NULL;
    if (key->kind == NODE_SLICE && !key->a) { /* a slice's own object is set below */
        key->a = obj;
        return node_done(c, key);
    }
    struct node *n = node_new(c, NODE_ITEM, &at);
    if (!n) return NULL;
    n->a = obj;
    n->b = key;
    return node_done(c, n);
}

static struct node *parse_dot(struct compiler *c, struct node *obj)
{
    struct token at = *token_peek(c);
    token_advance(c);
    struct token *t = token_peek(c);
    struct node *n = node_new(c, t->kind == TOKEN_NAME ? NODE_ATTR : NODE_ITEM, &at);
    if (!n) return NULL;
    n->a = obj;
    if (t->kind == TOKEN_NAME) {
        n->name = compile_str(c, t->text.data, t->text.len);
        if (!n->name) return NULL;
    } else if (t->kind == TOKEN_INT) {
        n->b = const_int(c, t);
        if (!n->b) return NULL;
    } else {
        compile_fail(c, t->line, t->col, "expected a name or a number behind '.'");
        return NULL;
    }
    token_advance(c);
    return node_done(c, n);
}

static struct node *parse_postfix(struct compiler *c, struct node *n)
{
    while (n) {
        enum token_kind k = token_peek(c)->kind;
        if (k == TOKEN_DOT)
            n = parse_dot(c, n);
        else if (k == TOKEN_LBRACKET)
            n = parse_brackets(c, n);
        else if (k == TOKEN_LPAREN)
            n = parse_call(c, n);
        else
            break;
    }
    return n;
}

/* --- literals and names ----------------------------------------------------------------------- */

static struct node *parse_strings(struct compiler *c)
{
    struct node *n = node_new(c, NODE_CONST, token_peek(c));
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_SIZE);
    for (; token_peek(c)->kind == TOKEN_STRING; token_advance(c))
        strbuf_add(&b, token_peek(c)->text.data, token_peek(c)->text.len);
    struct vstr *s = n ? compile_str(c, b.data ? b.data : "", b.len) : NULL;
    strbuf_free(&b);
    if (!s) return NULL;
    n->value = value_from_str(s);
    return n;
}

static struct node *parse_list(struct compiler *c)
{
    struct node *n = node_new(c, NODE_LIST, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    while (token_peek(c)->kind != TOKEN_RBRACKET) {
        if (n->items.n && !token_expect(c, TOKEN_COMMA, "',' or ']'")) return NULL;
        if (token_peek(c)->kind == TOKEN_RBRACKET) break;
        if (!node_list_push(c, &n->items, parse_expression(c, true))) return NULL;
    }
    token_advance(c);
    return node_done(c, n);
}

static struct node *parse_dict(struct compiler *c)
{
    struct node *n = node_new(c, NODE_DICT, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    while (token_peek(c)->kind != TOKEN_RBRACE) {
        if (n->items.n && !token_expect(c, TOKEN_COMMA, "',' or '}'")) return NULL;
        if (token_peek(c)->kind == TOKEN_RBRACE) break;
        if (!node_list_push(c, &n->items, parse_expression(c, true)) ||
            !token_expect(c, TOKEN_COLON, "':'") ||
            !node_list_push(c, &n->items, parse_expression(c, true)))
            return NULL;
    }
    token_advance(c);
    return node_done(c, n);
}

static const struct {
    const char *name;
    struct value value;
} constants[] = {
    {"true", {.type = VALUE_BOOL, .b = true}},
    {"True", {.type = VALUE_BOOL, .b = true}},
    {"false", {.type = VALUE_BOOL, .b = false}},
    {"False", {.type = VALUE_BOOL, .b = false}},
    {"none", {.type = VALUE_NONE}},
    {"None", {.type = VALUE_NONE}},
};

static struct node *parse_name(struct compiler *c, bool with_namespace)
{
    struct token *t = token_peek(c);
    struct node *n = node_new(c, NODE_NAME, t);
    if (!n) return NULL;
    token_advance(c);
    for (size_t i = 0; i < ARRAY_LEN(constants); i++)
        if (str_eq(t->text, str_from(constants[i].name))) {
            n->kind = NODE_CONST;
            n->value = constants[i].value;
            return n;
        }
    n->name = compile_str(c, t->text.data, t->text.len);
    if (!n->name) return NULL;
    if (with_namespace && token_accept(c, TOKEN_DOT)) {
        t = token_peek(c);
        if (!token_expect(c, TOKEN_NAME, "the name of an attribute")) return NULL;
        n->kind = NODE_NSREF;
        n->attr = compile_str(c, t->text.data, t->text.len);
        if (!n->attr) return NULL;
    }
    return n;
}

static struct node *parse_primary(struct compiler *c, bool with_namespace)
{
    struct token *t = token_peek(c);
    struct node *n;
    switch (t->kind) {
    case TOKEN_NAME:
        return parse_name(c, with_namespace);
    case TOKEN_STRING:
        return parse_strings(c);
    case TOKEN_INT:
        token_advance(c);
        return const_int(c, t);
    case TOKEN_FLOAT:
        token_advance(c);
        n = node_new(c, NODE_CONST, t);
        if (n) n->value = value_float(t->f);
        return n;
    case TOKEN_LPAREN:
        token_advance(c);
        n = parse_tuple(c, TUPLE_PARENS, NULL);
        return n && token_expect(c, TOKEN_RPAREN, "')'") ? n : NULL;
    case TOKEN_LBRACKET:
        return parse_list(c);
    case TOKEN_LBRACE:
        return parse_dict(c);
    default:
        compile_fail(c, t->line, t->col, "expected an expression");
        return NULL;
    }
}

static bool at_tuple_end(struct compiler *c, const char *end_name)
{
    enum token_kind k = token_peek(c)->kind;
    if (k == TOKEN_VARIABLE_END || k == TOKEN_BLOCK_END || k == TOKEN_RPAREN) return true;
    return end_name && token_at_name(c, end_name);
}

struct node *parse_tuple(struct compiler *c, unsigned flags, const char *end_name)
{
    struct node *n = node_new(c, NODE_TUPLE, token_peek(c));
    if (!n) return NULL;
    bool is_tuple = false;
    for (;;) {
        if (n->items.n && !token_expect(c, TOKEN_COMMA, "','")) return NULL;
        if (at_tuple_end(c, end_name)) break;
        struct node *item;
        if (flags & TUPLE_SIMPLE) {
            if (!parse_enter(c)) return NULL;
            item = parse_primary(c, (flags & TUPLE_NAMESPACE) != 0);
            parse_leave(c);
        } else {
            item = parse_expression(c, !(flags & TUPLE_NO_CONDITION));
        }
        if (!node_list_push(c, &n->items, item)) return NULL;
        if (token_peek(c)->kind != TOKEN_COMMA) break;
        is_tuple = true;
    }
    if (!is_tuple && n->items.n == 1) return n->items.items[0];
    if (!is_tuple && !(flags & TUPLE_PARENS)) {
        compile_fail(c, token_peek(c)->line, token_peek(c)->col, "expected an expression");
        return NULL;
    }
    return node_done(c, n);
}

/* --- operators -------------------------------------------------------------------------------- */

static bool starts_test_argument(struct compiler *c)
{
    switch (token_peek(c)->kind) {
    case TOKEN_STRING:
    case TOKEN_INT:
    case TOKEN_FLOAT:
    case TOKEN_LBRACKET:
    case TOKEN_LBRACE:
        return true;
    case TOKEN_NAME:
        return !token_at_name(c, "else") && !token_at_name(c, "or") && !token_at_name(c, "and");
    default:
        return false;
    }
}

static struct node *parse_test(struct compiler *c, struct node *subject)
{
    struct node *n = node_new(c, NODE_TEST, token_peek(c));
    if (!n) return NULL;
    token_advance(c);
    bool negated = token_accept_name(c, "not");
    n->a = subject;
    n->name = parse_dotted(c, "the name of a test");
    if (!n->name || !(n->call = parse_optional_args(c))) return NULL;
    bool had_args = c->toks[c->pos - 1].kind == TOKEN_RPAREN;
    if (!had_args && starts_test_argument(c)) {
        if (token_at_name(c, "is")) {
            compile_fail(c, token_peek(c)->line, token_peek(c)->col,
                         "tests cannot be chained with 'is'");
            return NULL;
        }
        struct node *arg = parse_postfix(c, parse_primary(c, false));
        if (!node_list_push(c, &n->call->args, arg)) return NULL;
    }
    if (!(n = node_done(c, n)) || !negated) return n;
    struct node *not_node = node_new(c, NODE_NOT, token_peek(c));
    if (!not_node) return NULL;
    not_node->a = n;
    return node_done(c, not_node);
}

static struct node *parse_filter_expr(struct compiler *c, struct node *n)
{
    while (n) {
        if (token_peek(c)->kind == TOKEN_PIPE)
            n = parse_filters(c, n, false);
        else if (token_at_name(c, "is"))
            n = parse_test(c, n);
        else if (token_peek(c)->kind == TOKEN_LPAREN)
            n = parse_call(c, n);
        else
            break;
    }
    return n;
}

static struct node *parse_unary(struct compiler *c, bool with_filter)
{
    struct token *t = token_peek(c);
    struct node *n;
    if (t->kind == TOKEN_SUB || t->kind == TOKEN_ADD) {
        n = node_new(c, NODE_UNARY, t);
        if (!n || !parse_enter(c)) return NULL;
        token_advance(c);
        n->op = t->kind == TOKEN_SUB ? BINARY_SUB : BINARY_ADD;
        n->a = parse_unary(c, false);
        parse_leave(c);
        if (!n->a || !node_done(c, n)) return NULL;
    } else {
        n = parse_primary(c, false);
    }
    n = parse_postfix(c, n);
    return with_filter ? parse_filter_expr(c, n) : n;
}

struct op_token {
    enum token_kind token;
    uint8_t op;
};
static const struct op_token pow_ops[] = {{TOKEN_POW, BINARY_POW}, {TOKEN_END, 0}};
static const struct op_token product_ops[] = {{TOKEN_MUL, BINARY_MUL},
                                              {TOKEN_DIV, BINARY_DIV},
                                              {TOKEN_FLOORDIV, BINARY_FLOORDIV},
                                              {TOKEN_MOD, BINARY_MOD},
                                              {TOKEN_END, 0}};
static const struct op_token sum_ops[] = {
    {TOKEN_ADD, BINARY_ADD}, {TOKEN_SUB, BINARY_SUB}, {TOKEN_END, 0}};
static const struct op_token compare_ops[] = {
    {TOKEN_EQ, CMP_EQ}, {TOKEN_NE, CMP_NE}, {TOKEN_LT, CMP_LT}, {TOKEN_LE, CMP_LE},
    {TOKEN_GT, CMP_GT}, {TOKEN_GE, CMP_GE}, {TOKEN_END, 0}};

static const struct op_token *find_op(const struct op_token *ops, enum token_kind kind)
{
    for (; ops->token != TOKEN_END; ops++)
        if (ops->token == kind) return ops;
    return NULL;
}

static struct node *parse_power(struct compiler *c);
static struct node *parse_product(struct compiler *c);
static struct node *parse_concat(struct compiler *c);
static struct node *parse_unary_filtered(struct compiler *c)
{
    return parse_unary(c, true);
}

/* Left-associative operators of one level over the next tighter one: one node for all of a chain, so
 * that a long one is not deep. */
static struct node *parse_binary(struct compiler *c, const struct op_token *ops,
                                 struct node *(*operand)(struct compiler *))
{
    struct node *first = operand(c), *n = NULL;
    const struct op_token *op;
    while (first && (op = find_op(ops, token_peek(c)->kind))) {
        if (!n) {
            n = node_new(c, NODE_BINARY, token_peek(c));
            if (!n) return NULL;
            n->a = first;
        }
        struct node *o = node_new(c, NODE_OPERAND, token_peek(c));
        if (!o) return NULL;
        token_advance(c);
        o->op = op->op;
        o->a = operand(c);
        if (!o->a || !node_list_push(c, &n->items, node_done(c, o))) return NULL;
    }
    return n ? node_done(c, n) : first;
}

static struct node *parse_power(struct compiler *c)
{
    return parse_binary(c, pow_ops, parse_unary_filtered);
}

static struct node *parse_product(struct compiler *c)
{
    return parse_binary(c, product_ops, parse_power);
}

static struct node *parse_concat(struct compiler *c)
{
    struct node *first = parse_product(c);
    if (!first || token_peek(c)->kind != TOKEN_TILDE) return first;
    struct node *n = node_new(c, NODE_CONCAT, token_peek(c));
    if (!n || !node_list_push(c, &n->items, first)) return NULL;
    while (token_accept(c, TOKEN_TILDE))
        if (!node_list_push(c, &n->items, parse_product(c))) return NULL;
    return node_done(c, n);
}

static struct node *parse_sum(struct compiler *c)
{
    return parse_binary(c, sum_ops, parse_concat);
}

/* *kind and true when a comparison operator is next; it is consumed. */
static bool accept_compare(struct compiler *c, uint8_t *kind)
{
    const struct op_token *op = find_op(compare_ops, token_peek(c)->kind);
    if (op) {
        token_advance(c);
        *kind = op->op;
        return true;
    }
    if (token_accept_name(c, "in")) {
        *kind = CMP_IN;
        return true;
    }
    if (token_at_name(c, "not") && token_is_name(token_peek_next(c), "in")) {
        token_advance(c);
        token_advance(c);
        *kind = CMP_NOT_IN;
        return true;
    }
    return false;
}

static struct node *parse_compare(struct compiler *c)
{
    struct node *first = parse_sum(c), *n = NULL;
    struct token at = *token_peek(c);
    uint8_t kind;
    while (first && accept_compare(c, &kind)) {
        if (!n) {
            n = node_new(c, NODE_COMPARE, &at);
            if (!n) return NULL;
            n->a = first;
        }
        struct node *o = node_new(c, NODE_OPERAND, &at);
        if (!o) return NULL;
        o->op = kind;
        o->a = parse_sum(c);
        if (!o->a || !node_list_push(c, &n->items, node_done(c, o))) return NULL;
    }
    return n ? node_done(c, n) : first;
}

static struct node *parse_not(struct compiler *c)
{
    if (!token_at_name(c, "not")) return parse_compare(c);
    struct node *n = node_new(c, NODE_NOT, token_peek(c));
    if (!n || !parse_enter(c)) return NULL;
    token_advance(c);
    n->a = parse_not(c);
    parse_leave(c);
    return n->a ? node_done(c, n) : NULL;
}

static struct node *parse_logical(struct compiler *c, const char *word, enum node_kind kind,
                                  struct node *(*operand)(struct compiler *))
{
    struct node *first = operand(c);
    if (!first || !token_at_name(c, word)) return first;
    struct node *n = node_new(c, kind, token_peek(c));
    if (!n || !node_list_push(c, &n->items, first)) return NULL;
    while (token_accept_name(c, word))
        if (!node_list_push(c, &n->items, operand(c))) return NULL;
    return node_done(c, n);
}

static struct node *parse_and(struct compiler *c)
{
    return parse_logical(c, "and", NODE_AND, parse_not);
}

static struct node *parse_or(struct compiler *c)
{
    return parse_logical(c, "or", NODE_OR, parse_and);
}

struct node *parse_expression(struct compiler *c, bool with_condition)
{
    if (!parse_enter(c)) return NULL;
    struct node *n = parse_or(c);
    while (n && with_condition && token_at_name(c, "if")) {
        struct node *cond = node_new(c, NODE_COND, token_peek(c));
        token_advance(c);
        if (!cond || !(cond->a = parse_or(c))) return NULL;
        cond->b = n;
        if (token_accept_name(c, "else") && !(cond->c = parse_expression(c, true))) return NULL;
        n = node_done(c, cond);
    }
    parse_leave(c);
    return n;
}
