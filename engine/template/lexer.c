/* lexer.c - Jinja2's lexer with trim_blocks and lstrip_blocks: text, tags, and the whitespace that
 * tags take away.  Source: Jinja2 3.1, "Template Designer Documentation", whitespace control. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/compile.h"
#include "engine/template/interp.h"

#include <stdlib.h>
#include <string.h>

struct lexer {
    struct compiler *c;
    size_t at;
    bool line_starting; /* the last tag ended with a newline, or nothing was read yet */
    size_t mark;        /* lines and columns are known up to here */
    uint32_t line, col;
    char closers[LIMIT_TEMPLATE_DEPTH]; /* brackets open in this tag */
    size_t n_closers;
};

static const struct {
    const char *text;
    enum token_kind kind;
} operators[] = {
#define X(name, text) {text, TOKEN_##name},
    TOKEN_OPERATORS(X)
#undef X
};

/* Moves the position forward; every token is made in source order. */
static void locate(struct lexer *x, size_t at)
{
    while (x->mark < at) {
        uint32_t cp;
        x->mark += text_next(x->c->src + x->mark, x->c->len - x->mark, &cp);
        if (cp == '\n') {
            x->line++;
            x->col = 1;
        } else {
            x->col++;
        }
    }
}

static bool lex_fail(struct lexer *x, size_t at, const char *what)
{
    locate(x, at);
    return compile_fail(x->c, x->line, x->col, "%s", what);
}

static struct token *push(struct lexer *x, enum token_kind kind, size_t at)
{
    struct compiler *c = x->c;
    if (c->n_toks == c->cap_toks) {
        size_t cap = c->cap_toks ? c->cap_toks * 2 : 256;
        struct token *grown = arena_alloc_array(&c->scratch, cap, sizeof(*grown));
        if (!grown) {
            compile_fail(c, x->line, x->col, "the template needs too much memory");
            return NULL;
        }
        if (c->n_toks) memcpy(grown, c->toks, c->n_toks * sizeof(*grown));
        c->toks = grown;
        c->cap_toks = cap;
    }
    locate(x, at);
    struct token *t = &c->toks[c->n_toks++];
    *t = (struct token){.kind = kind, .line = x->line, .col = x->col};
    return t;
}

static bool push_text(struct lexer *x, enum token_kind kind, size_t at, struct str text)
{
    struct token *t = push(x, kind, at);
    if (!t) return false;
    t->text = text;
    return true;
}

static size_t skip_space(const struct lexer *x, size_t at)
{
    while (at < x->c->len) {
        uint32_t cp;
        size_t n = text_next(x->c->src + at, x->c->len - at, &cp);
        if (!text_is_space(cp)) break;
        at += n;
    }
    return at;
}

static bool starts(const struct lexer *x, size_t at, const char *word)
{
    size_t n = strlen(word);
    return at <= x->c->len && x->c->len - at >= n && memcmp(x->c->src + at, word, n) == 0;
}

/* At the end of a tag: [+-] then `mark`; 0 = no end here.  With `trim`, one newline goes too. */
static size_t tag_end(const struct lexer *x, size_t at, const char *mark, bool trim)
{
    bool plus = starts(x, at, "+"), minus = starts(x, at, "-");
    if ((plus && !trim) || at >= x->c->len) return 0;
    size_t body = at + (plus || minus ? 1 : 0);
    if (!starts(x, body, mark)) return 0;
    size_t end = body + strlen(mark);
    if (minus) return skip_space(x, end);
    if (trim && !plus && starts(x, end, "\n")) return end + 1;
    return end;
}

/* `{%`, an optional sign, spaces and a word: the byte behind the word, or 0. */
static size_t block_word(const struct lexer *x, size_t at, const char *word)
{
    if (!starts(x, at, "{%")) return 0;
    at += 2;
    if (starts(x, at, "-") || starts(x, at, "+")) at++;
    at = skip_space(x, at);
    if (!starts(x, at, word)) return 0;
    return skip_space(x, at + strlen(word));
}

/* Emits the text before a tag, less what the tag takes away. */
static bool push_data(struct lexer *x, size_t from, size_t to, char sign, bool is_variable)
{
    struct str text = {x->c->src + from, to - from};
    if (sign == '-') {
        text = text_strip(text, NULL, false, true);
    } else if (sign != '+' && !is_variable) {
        size_t line = text.len;
        while (line > 0 && text.data[line - 1] != '\n') line--;
        struct str last = {text.data + line, text.len - line};
        if ((line > 0 || x->line_starting) && text_strip(last, NULL, true, true).len == 0)
            text.len = line;
    }
    return text.len == 0 || push_text(x, TOKEN_DATA, from, text);
}

static char sign_at(const struct lexer *x, size_t at)
{
    char c = (char)(at < x->c->len ? x->c->src[at] : '\0');
    return (char)(c == '-' || c == '+' ? c : '\0');
}

static bool ended_with_newline(const struct lexer *x)
{
    return x->at > 0 && x->c->src[x->at - 1] == '\n';
}

static bool lex_comment(struct lexer *x, size_t tag)
{
    size_t at = tag + 2 + (sign_at(x, tag + 2) ? 1 : 0);
    for (; at < x->c->len; at++) {
        size_t end = tag_end(x, at, "#}", true);
        if (!end) continue;
        x->at = end;
        x->line_starting = ended_with_newline(x);
        return true;
    }
    return lex_fail(x, tag, "this comment has no end: #} is missing");
}

static bool lex_raw(struct lexer *x, size_t tag, size_t body)
{
    x->at = body;
    x->line_starting = ended_with_newline(x);
    for (size_t at = body; at < x->c->len; at++) {
        size_t word = block_word(x, at, "endraw");
        size_t end = word ? tag_end(x, word, "%}", true) : 0;
        if (!end) continue;
        if (!push_data(x, body, at, sign_at(x, at + 2), false)) return false;
        x->at = end;
        x->line_starting = ended_with_newline(x);
        return true;
    }
    return lex_fail(x, tag, "this raw block has no end: {% endraw %} is missing");
}

static bool is_digit(char c, int base)
{
    if (base == 16 && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) return true;
    return c >= '0' && c <= '9' && c - '0' < base;
}

/* Digits with single underscores between; the byte behind them. */
static size_t digits(const struct lexer *x, size_t at, int base)
{
    const char *s = x->c->src;
    while (at < x->c->len) {
        if (is_digit(s[at], base))
            at++;
        else if (s[at] == '_' && at + 1 < x->c->len && is_digit(s[at + 1], base))
            at += 2;
        else
            break;
    }
    return at;
}

/* The end of a float that starts here, or 0. */
static size_t float_end(const struct lexer *x, size_t at)
{
    const char *s = x->c->src;
    size_t len = x->c->len;
    if (at > 0 && s[at - 1] == '.') return 0;
    size_t end = digits(x, at, 10), whole = end;
    if (end + 1 < len && s[end] == '.' && is_digit(s[end + 1], 10)) end = digits(x, end + 1, 10);
    if (end < len && (s[end] == 'e' || s[end] == 'E')) {
        size_t e = end + 1;
        if (e < len && (s[e] == '+' || s[e] == '-')) e++;
        if (e < len && is_digit(s[e], 10)) end = digits(x, e, 10);
    }
    return end > whole ? end : 0;
}

static bool lex_number(struct lexer *x)
{
    const char *s = x->c->src;
    size_t start = x->at, end = float_end(x, start);
    bool is_float = end > 0;
    int base = 10;
    if (!is_float && s[start] == '0' && start + 2 < x->c->len) {
        char p = (char)(s[start + 1] | 0x20);
        base = p == 'x' ? 16 : p == 'o' ? 8 : p == 'b' ? 2 : 10;
        size_t first = start + 2 + (s[start + 2] == '_' ? 1 : 0);
        if (base != 10 && first < x->c->len && is_digit(s[first], base))
            end = digits(x, first, base);
        else
            base = 10;
    }
    if (!end && s[start] == '0') { /* 0, 00, 0_0: nothing else may follow a zero */
        end = start + 1;
        while (end < x->c->len && (s[end] == '0' || (s[end] == '_' && starts(x, end, "_0")))) end++;
    }
    if (!end) end = digits(x, start, 10);
    struct token *t = push(x, is_float ? TOKEN_FLOAT : TOKEN_INT, start);
    if (!t) return false;
    struct str text = {s + start, end - start};
    x->at = end;
    if (is_float) return parse_float_text(text, &t->f) || lex_fail(x, start, "a bad number");
    if (base != 10) text = (struct str){text.data + 2, text.len - 2};
    if (text.len && text.data[0] == '_') text = (struct str){text.data + 1, text.len - 1};
    if (!parse_int_text(text, base, &t->i))
        return lex_fail(x, start, "this integer does not fit in 64 bits");
    return true;
}

static int hex_value(const char *s, size_t n, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i], 16)) return -1;
        int d = s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10;
        *out = *out * 16 + (uint32_t)d;
    }
    return 0;
}

/* One escape of a string literal, s[0] == '\\'; the bytes read, or 0 when it is malformed. */
static size_t unescape_one(const char *s, size_t len, struct strbuf *b)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v"; /* pairs: letter, meaning */
    char c = s[1];
    uint32_t cp = 0;
    if (c == '\n') return 2;
    for (size_t i = 0; i + 1 < sizeof(plain) - 1; i += 2)
        if (plain[i] == c) {
            strbuf_add_char(b, plain[i + 1]);
            return 2;
        }
    if (c >= '0' && c <= '7') {
        size_t n = 1;
        while (n < 4 && n < len && s[n] >= '0' && s[n] <= '7')
            cp = cp * 8 + (uint32_t)(s[n++] - '0');
        strbuf_add_utf8(b, cp);
        return n;
    }
    size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n) {
        if (len < 2 + n || hex_value(s + 2, n, &cp) < 0) return 0;
        if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) return 0;
        strbuf_add_utf8(b, cp);
        return 2 + n;
    }
    if (c == 'N') return 0; /* \N{name} would need the table of character names */
    size_t used = text_next(s + 1, len - 1, &cp);
    strbuf_add_char(b, '\\');
    if (cp < 128)
        strbuf_add_char(b, c);
    else /* as Python's backslashreplace leaves it */
        strbuf_addf(b, cp < 0x100 ? "x%02x" : cp < 0x10000 ? "u%04x" : "U%08x", (unsigned)cp);
    return 1 + used;
}

static bool lex_string(struct lexer *x)
{
    struct compiler *c = x->c;
    char quote = c->src[x->at];
    size_t start = x->at, end = start + 1;
    bool escaped = false;
    while (end < c->len && c->src[end] != quote) {
        if (c->src[end] == '\\') {
            escaped = true;
            end++;
        }
        end++;
    }
    if (end >= c->len) return lex_fail(x, start, "this string has no end");
    x->at = end + 1;
    struct str body = {c->src + start + 1, end - start - 1};
    if (!escaped) return push_text(x, TOKEN_STRING, start, body);
    struct strbuf b;
    strbuf_init(&b, 0);
    bool ok = true;
    for (size_t i = 0; i < body.len && ok;) {
        size_t used = 1;
        if (body.data[i] == '\\')
            ok = (used = unescape_one(body.data + i, body.len - i, &b)) > 0;
        else
            strbuf_add_char(&b, body.data[i]);
        i += used;
    }
    char *copy = NULL;
    if (ok && !b.failed) copy = arena_strndup(&c->scratch, b.data ? b.data : "", b.len);
    body = (struct str){copy, b.len};
    strbuf_free(&b);
    if (!ok) return lex_fail(x, start, "a malformed or unsupported escape in this string");
    if (!copy) return lex_fail(x, start, "the template needs too much memory");
    return push_text(x, TOKEN_STRING, start, body);
}

static bool lex_operator(struct lexer *x)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!starts(x, x->at, operators[i].text)) continue;
        size_t start = x->at;
        char ch = x->c->src[start];
        if (strchr("([{", ch)) {
            if (x->n_closers == sizeof(x->closers)) return lex_fail(x, start, "nested too deeply");
            x->closers[x->n_closers++] = (char)(ch == '(' ? ')' : ch == '[' ? ']' : '}');
        } else if (strchr(")]}", ch)) {
            if (x->n_closers == 0 || x->closers[--x->n_closers] != ch)
                return lex_fail(x, start, "this bracket closes none that is open");
        }
        x->at += strlen(operators[i].text);
        return push(x, operators[i].kind, start) != NULL;
    }
    return lex_fail(x, x->at, "unexpected character");
}

static bool lex_name(struct lexer *x)
{
    size_t end = x->at;
    while (end < x->c->len) {
        uint32_t cp;
        size_t n = text_next(x->c->src + end, x->c->len - end, &cp);
        if (!text_is_ident(cp)) break;
        end += n;
    }
    struct str text = {x->c->src + x->at, end - x->at};
    size_t start = x->at;
    x->at = end;
    return push_text(x, TOKEN_NAME, start, text);
}

/* The inside of {{ }} or {% %}, and its end. */
static bool lex_tag(struct lexer *x, size_t tag, bool is_block)
{
    x->n_closers = 0;
    while (x->at < x->c->len) {
        size_t end = 0;
        if (x->n_closers == 0) end = tag_end(x, x->at, is_block ? "%}" : "}}", is_block);
        if (end) {
            size_t start = x->at;
            x->at = end;
            x->line_starting = ended_with_newline(x);
            return push(x, is_block ? TOKEN_BLOCK_END : TOKEN_VARIABLE_END, start) != NULL;
        }
        size_t after = skip_space(x, x->at);
        if (after > x->at) {
            x->at = after;
            continue;
        }
        uint32_t cp;
        text_next(x->c->src + x->at, x->c->len - x->at, &cp);
        bool ok;
        if (cp >= '0' && cp <= '9')
            ok = lex_number(x);
        else if (text_is_ident(cp))
            ok = lex_name(x);
        else if (cp == '"' || cp == '\'')
            ok = lex_string(x);
        else
            ok = lex_operator(x);
        if (!ok) return false;
    }
    return lex_fail(x, tag,
                    is_block ? "this tag has no end: %} is missing"
                             : "this expression has no end: }} is missing");
}

/* One tag with the text before it. */
static bool lex_next(struct lexer *x)
{
    struct compiler *c = x->c;
    size_t from = x->at, tag = from;
    while (tag < c->len && !(c->src[tag] == '{' && tag + 1 < c->len &&
                             strchr("%{#", c->src[tag + 1]) && c->src[tag + 1] != '\0'))
        tag++;
    if (tag >= c->len) {
        x->at = c->len;
        return from == c->len ||
               push_text(x, TOKEN_DATA, from, (struct str){c->src + from, c->len - from});
    }
    char kind = c->src[tag + 1], sign = sign_at(x, tag + 2);
    if (!push_data(x, from, tag, sign, kind == '{')) return false;
    x->line_starting = false;
    if (kind == '#') return lex_comment(x, tag);
    size_t raw = kind == '%' ? block_word(x, tag, "raw") : 0;
    size_t raw_end = raw ? tag_end(x, raw, "%}", false) : 0;
    if (raw_end) return lex_raw(x, tag, raw_end);
    x->at = tag + 2 + (sign ? 1 : 0);
    if (!push(x, kind == '{' ? TOKEN_VARIABLE_BEGIN : TOKEN_BLOCK_BEGIN, tag)) return false;
    return lex_tag(x, tag, kind == '%');
}

bool lex(struct compiler *c)
{
    struct lexer x = {.c = c, .line_starting = true, .line = 1, .col = 1};
    while (x.at < c->len)
        if (!lex_next(&x)) return false;
    return push(&x, TOKEN_END, c->len) != NULL;
}
