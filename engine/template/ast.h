#ifndef ENGINE_TEMPLATE_AST_H
#define ENGINE_TEMPLATE_AST_H

/* ast.h - a compiled template: nodes, scopes, functions.  Immutable once compiled.
 *
 * Variables are resolved when the template is compiled, as Jinja2's compiler does it: each scope
 * (template, loop body, macro, with, ...) says for its names where their first value comes from;
 * each use of a name is a slot of some function around it. */

#include "config/base/arena.h"
#include "engine/template/template.h"
#include "engine/template/value.h"

enum node_kind {
    /*                   a            b          c          items        other                  */
    NODE_CONST,        /*                                                  value                  */
    NODE_NAME,         /*                                                  name, ref              */
    NODE_NSREF,        /*                                                  name.attr, ref         */
    NODE_TUPLE,        /*                                     elements                            */
    NODE_LIST,         /*                                     elements                            */
    NODE_DICT,         /*                                     key, value, ...                     */
    NODE_COND,         /* test         then       else|NULL                                       */
    NODE_OR,           /*                                     terms                               */
    NODE_AND,          /*                                     terms                               */
    NODE_NOT,          /* operand                                                                 */
    NODE_COMPARE,      /* first                               operands                            */
    NODE_OPERAND,      /* right                                            op of the one around   */
    NODE_BINARY,       /* first                               operands                            */
    NODE_UNARY,        /* operand                                          op: BINARY_ADD/SUB     */
    NODE_CONCAT,       /*                                     parts                               */
    NODE_ATTR,         /* object                                           name                   */
    NODE_ITEM,         /* object       key                                                        */
    NODE_SLICE,        /* object                              3 bounds, NULL where absent         */
    NODE_CALL,         /* callee                                           call                   */
    NODE_FILTER,       /* subject|NULL                                     name, call, def        */
    NODE_TEST,         /* subject                                          name, call, def        */
    NODE_OUTPUT,       /*                                     expressions                         */
    NODE_FOR,          /* target       iterable   test|NULL   body         orelse, loop           */
    NODE_IF,           /* test                                body         orelse, elifs          */
    NODE_MACRO,        /*                                     body         name, macro            */
    NODE_CALL_BLOCK,   /* call|NULL (generation)              body         macro                  */
    NODE_FILTER_BLOCK, /* filter                            body         scope                  */
    NODE_WITH,         /*                                     body         targets, values, scope */
    NODE_SET,          /* target       value                                                      */
    NODE_SET_BLOCK,    /* target       filter|NULL            body         scope                  */
    NODE_BLOCK,        /*                                     body         name, block            */
    NODE_BREAK,
    NODE_CONTINUE
};
enum compare_kind { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN };
enum binary_op {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_FLOORDIV,
    BINARY_MOD,
    BINARY_POW
};
enum name_use { USE_LOAD, USE_STORE, USE_PARAM };

/* A variable: slot `slot` of the function `hops` levels outward. */
struct ref {
    uint32_t hops, slot;
};
enum load_action { LOAD_PARAM, LOAD_RESOLVE, LOAD_ALIAS, LOAD_UNDEFINED };
struct load {
    enum load_action action;
    uint32_t slot;           /* in the scope's own function */
    struct ref from;         /* LOAD_ALIAS */
    const struct vstr *name; /* LOAD_RESOLVE: from the context, then the globals */
    const struct method_def *global;
    bool in_block;        /* LOAD_RESOLVE: first from the overlays and the template's variables */
    uint32_t exported_as; /* 1 + the slot of the template's variable of this name, 0 = none */
};
struct scope {
    struct load *loads;
    size_t n_loads;
};

struct node_list {
    struct node **items;
    size_t n, cap;
};
struct call_keyword {
    struct vstr *name;
    struct node *val;
};
struct call_node {
    struct node_list args;
    struct call_keyword *kw;
    size_t n_kw, cap_kw;
    struct node *dyn_args, *dyn_kwargs;
};
struct loop_node {
    bool recursive;
    bool has_loop; /* the body uses `loop` */
    uint32_t loop_slot;
    struct scope body, orelse, test;
    uint32_t n_slots;         /* recursive: of the loop's function */
    uint32_t n_test_slots;    /* of the test's function */
    struct node *test_target; /* the target again, with the test function's slots */
};
/* The body of a block is a function that sees the context and the template's own variables alone; a
 * scoped one sees what is assigned around its place as well. */
struct block_node {
    bool scoped, required, takes_self;
    uint32_t self_slot, n_slots;
    struct scope scope;
    struct scope around; /* scoped: LOAD_ALIAS of every variable there, by name */
};
struct macro_node {
    struct node_list params; /* names */
    struct node_list defaults;
    struct scope scope;
    uint32_t n_slots;
    bool takes_caller, takes_kwargs, takes_varargs, explicit_caller;
    uint32_t caller_slot, kwargs_slot, varargs_slot;
    struct ref target; /* NODE_MACRO: the variable it is bound to */
};

struct node {
    enum node_kind kind;
    uint8_t op;
    uint16_t height; /* 1 + the highest child: bounds every recursion over the tree */
    uint32_t line, col;
    struct vstr *name, *attr;
    struct value value;
    struct ref ref;
    struct node *a, *b, *c;
    struct node_list items, orelse, elifs, targets;
    struct call_node *call;
    const struct method_def *def;
    struct loop_node *loop;
    struct macro_node *macro;
    struct block_node *block;
    struct scope scope;
};

struct template
{
    struct arena arena;
    struct node_list body;
    struct scope scope;
    uint32_t n_slots;
    struct template_contents contents;
    struct node_list blocks;
    bool takes_self;
    uint32_t self_slot;
};

struct compiler; /* compile.h */

#endif
