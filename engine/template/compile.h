#ifndef ENGINE_TEMPLATE_COMPILE_H
#define ENGINE_TEMPLATE_COMPILE_H

/* compile.h - from text to a template: lexer.c, parse_expr.c, parse_stmt.c, then scope.c resolves
 * every name.  Functions that can fail return false or NULL after compile_fail(). */

#include "config/base/status.h"
#include "engine/template/ast.h"

/* Punctuation by the characters that Jinja2 reads; names decide keywords in the parser. */
/* The formatter never settles on such a list. */
/* clang-format off */
#define TOKEN_OPERATORS(X)                                                                \
    X(FLOORDIV, "//")                                                                     \
    X(POW, "**")                                                                          \
    X(EQ, "==")                                                                           \
    X(NE, "!=")                                                                           \
    X(GE, ">=")                                                                           \
    X(LE, "<=") X(ADD, "+") X(SUB, "-") X(DIV, "/") X(MUL, "*") X(MOD, "%") X(TILDE, "~") \
        X(LBRACKET, "[") X(RBRACKET, "]") X(LPAREN, "(") X(RPAREN, ")") X(LBRACE, "{")    \
            X(RBRACE, "}") X(GT, ">") X(LT, "<") X(ASSIGN, "=") X(DOT, ".") X(COLON, ":") \
                X(PIPE, "|") X(COMMA, ",") X(SEMICOLON, ";")
/* clang-format on */

enum token_kind {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_VARIABLE_BEGIN,
    TOKEN_VARIABLE_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INT,
    TOKEN_FLOAT,
#define X(name, text) TOKEN_##name,
    TOKEN_OPERATORS(X)
#undef X
};

struct token {
    enum token_kind kind;
    uint32_t line, col;
    struct str text; /* DATA, NAME; STRING unescaped */
    int64_t i;
    double f;
};

struct symbols;

struct compiler {
    struct template *tmpl;
    struct arena scratch;
    const char *src; /* newlines are \n, the last one is gone */
    size_t len;
    struct token *toks;
    size_t n_toks, cap_toks, pos;
    struct symbols *spare; /* scope.c: copies to use again, linked by their parents */
    struct symbols *root;  /* scope.c: the template's own variables */
    bool in_block;         /* scope.c: inside a block's body */
    int depth;             /* of the parser's recursion */
    bool soft;             /* inside an if: unknown filters fail when they run */
    size_t n_scoped;       /* scoped blocks so far: they make the loops around keep `loop` */
    int n_loops;           /* around, in the same function: break and continue need one */
    struct error *err;
    bool failed;
};

bool compile_fail(struct compiler *c, uint32_t line, uint32_t col, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void *compile_alloc(struct compiler *c, size_t n, size_t item_size); /* in the template */
/* A constant string of the template; the bytes are copied. */
struct vstr *compile_str(struct compiler *c, const char *data, size_t len);

/* lexer.c */
bool lex(struct compiler *c);

/* parse_expr.c */
struct token *token_peek(struct compiler *c);
struct token *token_peek_next(struct compiler *c);
void token_advance(struct compiler *c);
bool token_accept(struct compiler *c, enum token_kind kind);
bool token_accept_name(struct compiler *c, const char *name);
bool token_at_name(struct compiler *c, const char *name);
bool token_expect(struct compiler *c, enum token_kind kind, const char *what);
struct node *node_new(struct compiler *c, enum node_kind kind, const struct token *at);
bool node_list_push(struct compiler *c, struct node_list *l, struct node *n);
/* Sets n's height from its children; refuses a tree that is too high. */
struct node *node_done(struct compiler *c, struct node *n);
bool parse_enter(struct compiler *c);
void parse_leave(struct compiler *c);
struct node *parse_expression(struct compiler *c, bool with_condition);
enum tuple_flags {
    TUPLE_SIMPLE = 1,
    TUPLE_NO_CONDITION = 2,
    TUPLE_PARENS = 4,
    TUPLE_NAMESPACE = 8
};
struct node *parse_tuple(struct compiler *c, unsigned flags, const char *end_name);
struct node *parse_filters(struct compiler *c, struct node *subject, bool start_inline);

/* parse_stmt.c */
bool parse_template(struct compiler *c);

/* scope.c */
bool resolve_template(struct compiler *c);

/* contents.c: fills tmpl->contents */
bool find_contents(struct compiler *c);

#endif
