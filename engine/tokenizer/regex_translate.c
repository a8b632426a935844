#include "config/base/check.h"
#include "config/base/str.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/regex_folds.h"
#include "engine/tokenizer/regex_properties.h"
#include "engine/tokenizer/unicode.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Oniguruma's syntax, PCRE2's spelling.  One pass; `atom` is where the last thing that a
 * quantifier may follow starts in the output. */

#define GROUP_DEPTH_MAX    64
#define NO_ATOM            SIZE_MAX
#define PROPERTY_NAME_SIZE 40

struct group {
    size_t start;   /* of the group in the output */
    int n_to_close; /* "(?i)" opens "(?i:" until the end of its group */
    bool ignore_case_around;
};

/* A class as far as it is read: [items], or one of the others ("|[^..]|(?:..)"), if the lookaheads
 * of the operands before && hold. */
struct class
{
    struct strbuf items, others, conditions;
    bool negated;
};

struct translator {
    const char *p;
    struct class *class; /* NULL outside a class */
    struct strbuf *out;
    struct error *err;
    size_t atom;
    bool quantified; /* the atom has a quantifier already */
    bool ignore_case;
    uint32_t literal; /* the last item, if it is a character whose case is ignored; else 0 */
    const char *literal_at;
    uint32_t member; /* of a class: the last character, 0 when the last member was none */
    bool in_range;   /* the dash of a range was the last */
    int depth;
    struct group groups[GROUP_DEPTH_MAX];
};

static enum status refuse(struct translator *t, const char *what, const char *at, size_t len)
{
    return error_set(t->err, STATUS_UNSUPPORTED, "%s \"%.*s\" in a pattern is not supported", what,
                     (int)len, at);
}

/* A character, spelled by len bytes at `at`, that stands for itself.  Where case is ignored, one that
 * folds to several, or begins with its neighbour what one folds to, would match other texts. */
static enum status literal(struct translator *t, uint32_t c, const char *at, size_t len)
{
    uint32_t before = t->literal;
    const char *before_at = t->literal_at;
    t->literal = t->ignore_case && !t->class ? c : 0;
    t->literal_at = at;
    const uint32_t first = t->class && t->in_range ? t->member : c;
    t->in_range = false;
    t->member = c;
    if (t->ignore_case && regex_fold_in_range(first, c))
        return refuse(t, "ignoring case, the folding of", at, len);
    if (before && t->literal && regex_fold_begins(before, c))
        return refuse(t, "ignoring case, the folding of", before_at,
                      (size_t)(at - before_at) + len);
    return STATUS_OK;
}

/* The character at t->p as it is. */
static enum status copy_character(struct translator *t, struct strbuf *out)
{
    uint32_t c = 0;
    const char *from = t->p;
    do strbuf_add_char(out, *t->p++);
    while (((unsigned char)*t->p & 0xC0) == 0x80);
    size_t len = (size_t)(t->p - from);
    if (utf8_decode(from, len, &c) == 0) return refuse(t, "the bad UTF-8", from, len);
    return literal(t, c, from, len);
}

/* --- sets: what \s, \w, \p{L} ... stand for, as items of a character class ------------------ */

/* Adds the characters of the newer Unicode whose category starts with one of `categories`
 * (separated by blanks). */
static void add_new_characters(struct strbuf *out, const char *categories)
{
    for (const char *c = categories; *c;) {
        size_t len = strcspn(c, " ");
        for (size_t i = 0; i < n_unicode_new_categories; i++) {
            const struct unicode_category_range *r = &unicode_new_categories[i];
            if (strncmp(r->category, c, len) != 0) continue;
            strbuf_addf(out, "\\x{%x}-\\x{%x}", r->first, r->last);
        }
        c += len + (c[len] == ' ');
    }
}

#define SPACE_ITEMS                                                                             \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"
#define WORD_IN_CLASS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* Outside a class Oniguruma counts Latin-1's superscripts and fractions among the word characters. */
#define WORD_ITEMS WORD_IN_CLASS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define WORD_NEW   "L M Nd Nl Pc"

struct set {
    const char *items, *newer;
};
static const struct set set_space = {SPACE_ITEMS, ""};
static const struct set set_word = {WORD_ITEMS, WORD_NEW};
static const struct set set_word_in_class = {WORD_IN_CLASS, WORD_NEW};
static const struct set set_digit = {"\\p{Nd}", "Nd"};
static const struct set set_hex = {"0-9a-fA-F", ""};

/* Opens what a set stands in: the items of the class that is being read, or a class of its own.
 * PCRE2 knows no complement of several items inside a class, so that becomes an alternative to the
 * class. */
static struct strbuf *set_begin(struct translator *t, bool negated)
{
    struct strbuf *out = t->out;
    if (t->class) out = negated ? &t->class->others : &t->class->items;
    if (t->class && negated) strbuf_add_char(out, '|');
    if (!t->class || negated) strbuf_add_str(out, negated ? "[^" : "[");
    return out;
}

static void set_end(struct translator *t, struct strbuf *out, bool negated)
{
    if (!t->class || negated) strbuf_add_char(out, ']');
}

static void add_set(struct translator *t, const struct set *set, bool negated)
{
    struct strbuf *out = set_begin(t, negated);
    strbuf_add_str(out, set->items);
    add_new_characters(out, set->newer);
    set_end(t, out, negated);
}

/* The property called `name` (as regex_properties.h spells it), whose spelling is len bytes at
 * `at`. */
static enum status add_property(struct translator *t, const char *name, bool negated,
                                const char *at, size_t len)
{
    /* Oniguruma's \p{Word} is its \w, which knows Latin-1's superscripts outside a class alone. */
    if (t->class && !strcmp(name, "word")) name = ":word";
    const struct regex_set *known = regex_property(name);
    if (!known) return refuse(t, "the property", at, len);
    if (t->class && t->ignore_case && known->cased)
        return refuse(t, "in a class that ignores case, the property", at, len);
    /* Outside a class the option does not hold for a property, but PCRE2's ranges obey it. */
    bool shielded = t->ignore_case && known->cased;
    if (shielded) strbuf_add_str(t->out, "(?-i:");
    negated = negated != known->complement;
    struct strbuf *out = set_begin(t, negated);
    regex_set_items(known, out);
    set_end(t, out, negated);
    if (shielded) strbuf_add_char(t->out, ')');
    return STATUS_OK;
}

/* \p{..} or \P{..} at t->p (on the p). */
static enum status property(struct translator *t)
{
    const char *from = t->p - 1; /* the backslash */
    bool negated = *t->p == 'P';
    const char *end = t->p[1] == '{' ? strchr(t->p, '}') : NULL;
    if (!end) return refuse(t, "the property", from, strlen(from) < 8 ? strlen(from) : 8);
    const char *p = t->p + 2;
    if (*p == '^') {
        negated = !negated;
        p++;
    }
    char name[PROPERTY_NAME_SIZE];
    size_t n = 0;
    for (; p < end && n < sizeof(name) - 1; p++) /* names compare without case, blanks, - and _ */
        if (*p != ' ' && *p != '_' && *p != '-') name[n++] = (char)tolower((unsigned char)*p);
    name[n] = '\0';
    t->p = end + 1;
    return add_property(t, name[0] == ':' || p < end ? "" : name, negated, from,
                        (size_t)(end + 1 - from));
}

/* [:name:] or [:^name:] inside a class, at t->p. */
static enum status posix_bracket(struct translator *t)
{
    const char *from = t->p, *end = strstr(from, ":]");
    bool negated = from[2] == '^';
    const char *start = from + 2 + negated;
    char name[PROPERTY_NAME_SIZE];
    if (!end || end < start || (size_t)(end - start) >= sizeof(name) - 1)
        return refuse(t, "the POSIX class", from, strnlen(from, 10));
    snprintf(name, sizeof(name), ":%.*s", (int)(end - start), start);
    t->p = end + 2;
    return add_property(t, name, negated, from, (size_t)(t->p - from));
}

/* --- escapes -------------------------------------------------------------------------------- */

/* \x{..}, \xHH, \uHHHH at t->p (on the x or u). */
static enum status code_point(struct translator *t)
{
    const char *from = t->p;
    size_t max = *t->p == 'u' ? 4 : 2, n = 0;
    bool braces = t->p[0] == 'x' && t->p[1] == '{';
    t->p += braces ? 2 : 1;
    if (braces) max = 6;
    uint32_t cp = 0;
    for (; n < max && isxdigit((unsigned char)*t->p); n++, t->p++)
        cp = cp * 16 + (uint32_t)(isdigit((unsigned char)*t->p)
                                      ? *t->p - '0'
                                      : tolower((unsigned char)*t->p) - 'a' + 10);
    if (n == 0 || (braces && *t->p != '}') || (from[0] == 'u' && n != 4) ||
        (!braces && from[0] == 'x' && cp > 0x7F))
        return refuse(t, "the escape", from - 1, 3);
    t->p += braces;
    strbuf_addf(t->class ? &t->class->items : t->out, "\\x{%x}", cp);
    return literal(t, cp, from - 1, (size_t)(t->p - from) + 1);
}

/* \b and \B: between a word character and none. */
static void word_boundary(struct strbuf *out, bool negated)
{
    static const char *const forms[2][4] = {{"(?:(?<=[", "])(?![", "])|(?<![", "])(?=["},
                                            {"(?:(?<=[", "])(?=[", "])|(?<![", "])(?!["}};
    for (int i = 0; i < 4; i++) {
        strbuf_add_str(out, forms[negated][i]);
        strbuf_add_str(out, WORD_ITEMS);
        add_new_characters(out, WORD_NEW);
    }
    strbuf_add_str(out, "]))");
}

/* \s and its like; NULL: none of them. */
static const struct set *set_of_letter(char c, bool in_class)
{
    if (c == '\0') return NULL;
    if (strchr("sS", c)) return &set_space;
    if (strchr("wW", c)) return in_class ? &set_word_in_class : &set_word;
    if (strchr("dD", c)) return &set_digit;
    return strchr("hH", c) ? &set_hex : NULL;
}

static enum status escape(struct translator *t)
{
    static const struct {
        char c;
        const char *pcre; /* control characters */
    } controls[] = {{'n', "\\x{a}"}, {'r', "\\x{d}"}, {'t', "\\x{9}"}, {'f', "\\x{c}"},
                    {'v', "\\x{b}"}, {'a', "\\x{7}"}, {'e', "\\x{1b}"}};
    struct strbuf *out = t->class ? &t->class->items : t->out;
    const char *from = t->p++; /* on the backslash */
    char c = *t->p;
    if (c != 'x' && c != 'u') t->literal = 0;
    for (size_t i = 0; i < ARRAY_LEN(controls); i++) {
        if (controls[i].c != c) continue;
        strbuf_add_str(out, controls[i].pcre);
        t->p++;
        return STATUS_OK;
    }
    if (c == 'p' || c == 'P') return property(t);
    if (c == 'x' || c == 'u') return code_point(t);
    if (c == '\0') return refuse(t, "the trailing", "\\", 1);
    const struct set *set = set_of_letter(c, t->class != NULL);
    t->p++;
    if (set) {
        add_set(t, set, isupper((unsigned char)c));
        return STATUS_OK;
    }
    if (!t->class && (c == 'A' || c == 'z' || c == 'Z')) {
        strbuf_add(out, from, 2);
        return STATUS_OK;
    }
    if (!t->class && (c == 'b' || c == 'B')) {
        word_boundary(out, c == 'B');
        return STATUS_OK;
    }
    if (isalnum((unsigned char)c)) return refuse(t, "the escape", from, 2);
    if ((unsigned char)c < 0x80) strbuf_add_char(out, '\\');
    t->p--;
    return copy_character(t, out);
}

/* --- classes -------------------------------------------------------------------------------- */

#define CLASS_DEPTH_MAX 16

static void class_free(struct class *c)
{
    strbuf_free(&c->items);
    strbuf_free(&c->others);
    strbuf_free(&c->conditions);
}

/* What matches one character of the items and the others, and empties them. */
static void class_operand(struct class *c, bool negated, struct strbuf *out)
{
    struct str others = {c->others.data, c->others.len};
    if (others.len == 0) {
        strbuf_add_str(out, negated ? "[^" : "[");
        strbuf_add(out, c->items.data, c->items.len);
        strbuf_add_char(out, ']');
    } else {
        strbuf_add_str(out, negated ? "(?:(?!" : "(?:");
        if (c->items.len > 0) strbuf_addf(out, "[%s]", c->items.data);
        size_t skip = c->items.len == 0; /* the first bar */
        strbuf_add(out, others.data + skip, others.len - skip);
        strbuf_add_str(out, negated ? ")(?s:.))" : ")");
    }
    strbuf_clear(&c->items);
    strbuf_clear(&c->others);
}

/* A '-' that stands for itself: beside what is no single character. */
static bool is_plain_dash(const char *p, bool after_character)
{
    if (!after_character || p[1] == ']' || p[1] == '[' || !strncmp(p + 1, "&&", 2)) return true;
    return p[1] == '\\' && p[2] && strchr("sSwWdDhHpP", p[2]);
}

static enum status char_class(struct translator *t, int depth);

/* One member of the class. */
static enum status class_member(struct translator *t, int depth, bool *after_character)
{
    struct class *c = t->class;
    const char *from = t->p;
    bool after = *after_character;
    *after_character = false;
    if (*from == '[' && from[1] == ':') return posix_bracket(t);
    if (*from == '[') return char_class(t, depth + 1);
    if (*from == '\\') {
        *after_character = !(from[1] && strchr("sSwWdDhHpP", from[1]));
        return escape(t);
    }
    *after_character = true;
    bool plain_dash = *from == '-' && is_plain_dash(from, after);
    if (plain_dash || strchr("[]:.=", *from)) { /* PCRE2 knows more brackets, as [= */
        strbuf_add_char(&c->items, '\\');
        *after_character = !plain_dash;
    }
    if (*from == '-' && !plain_dash) {
        t->in_range = true;
        strbuf_add_char(&c->items, *t->p++);
        return STATUS_OK;
    }
    if (!t->in_range) t->member = 0;
    return copy_character(t, &c->items);
}

/* What the finished class adds to the one around it, or to the output. */
static void class_end(struct translator *t, struct class *c, struct class *outer, bool negated)
{
    bool plain = c->conditions.len == 0 && c->others.len == 0;
    if (outer && plain && !negated) { /* a union */
        strbuf_add(&outer->items, c->items.data, c->items.len);
        return;
    }
    struct strbuf *out = outer ? &outer->others : t->out;
    if (outer) strbuf_add_char(out, '|');
    if (c->conditions.len == 0) {
        class_operand(c, negated, out);
        return;
    }
    strbuf_add_str(out, negated ? "(?:(?!" : "(?:");
    strbuf_add(out, c->conditions.data, c->conditions.len);
    class_operand(c, false, out);
    strbuf_add_str(out, negated ? ")(?s:.))" : ")");
}

/* The class at t->p, with classes inside it (unions) and && between its operands. */
static enum status char_class(struct translator *t, int depth)
{
    const char *from = t->p++;
    struct class *outer = t->class, c = {.items = {0}};
    bool negated = *t->p == '^', first = true, after_character = false;
    enum status st = STATUS_OK;
    if (depth == CLASS_DEPTH_MAX) return refuse(t, "the nesting", from, 1);
    t->p += negated;
    c.negated = negated;
    t->class = &c;
    for (; st == STATUS_OK && (*t->p != ']' || first); first = false) {
        bool empty = c.items.len == 0 && c.others.len == 0;
        if (*t->p == '\0') {
            st = refuse(t, "the unclosed class", from, strnlen(from, 40));
        } else if (!strncmp(t->p, "&&", 2)) {
            if (empty) st = refuse(t, "the empty side of", t->p, 2);
            strbuf_add_str(&c.conditions, "(?=");
            class_operand(&c, false, &c.conditions);
            strbuf_add_char(&c.conditions, ')');
            t->p += 2;
            after_character = false;
        } else {
            st = class_member(t, depth, &after_character);
        }
    }
    if (st == STATUS_OK && c.items.len == 0 && c.others.len == 0)
        st = refuse(t, "the empty class", from, strnlen(from, 20));
    /* The reference gets it wrong where the inner class is empty, which nobody can tell from here. */
    if (st == STATUS_OK && outer && outer->negated && negated && c.others.len > 0)
        st = refuse(t, "in a negated class, the negated class", from, strnlen(from, 20));
    /* The reference adds the other cases to the whole class at its end, PCRE2 to each part. */
    if (st == STATUS_OK && t->ignore_case && (c.conditions.len > 0 || (outer && negated)))
        st = refuse(t, "ignoring case, the class of classes", from, strnlen(from, 20));
    t->class = outer;
    if (st == STATUS_OK) {
        t->p++;
        class_end(t, &c, outer, negated);
    }
    if (c.items.failed || c.others.failed || c.conditions.failed) t->out->failed = true;
    class_free(&c);
    return st;
}

/* --- quantifiers and groups ------------------------------------------------------------------ */

static void insert(struct strbuf *out, size_t at, const char *text)
{
    size_t len = strlen(text), tail = out->len - at;
    strbuf_add(out, text, len); /* grows */
    if (out->failed) return;
    memmove(out->data + at + len, out->data + at, tail);
    memcpy(out->data + at, text, len);
}

/* Length of an interval "{n}", "{n,}", "{n,m}", "{,m}" at p; 0 when the brace is a plain one. */
static size_t interval_len(const char *p, bool *exact, bool *open_start)
{
    const char *q = p + 1;
    size_t low = strspn(q, "0123456789");
    q += low;
    *exact = *q == '}';
    *open_start = low == 0;
    if (*q == ',') {
        q++;
        size_t high = strspn(q, "0123456789");
        if (low == 0 && high == 0) return 0;
        q += high;
    } else if (low == 0) {
        return 0;
    }
    return *q == '}' ? (size_t)(q + 1 - p) : 0;
}

static enum status quantifier(struct translator *t)
{
    bool exact = false, open_start = false, interval = *t->p == '{';
    size_t len = interval ? interval_len(t->p, &exact, &open_start) : 1;
    if (len == 0) {
        t->atom = t->out->len;
        t->quantified = false;
        strbuf_add_str(t->out, "\\{");
        t->p++;
        return STATUS_OK;
    }
    if (t->atom == NO_ATOM) return refuse(t, "the quantifier", t->p, len);
    if (t->quantified) { /* a{2,3}+ repeats the repetition: it is not possessive */
        insert(t->out, t->atom, "(?:");
        strbuf_add_char(t->out, ')');
    }
    if (interval && open_start) {
        strbuf_add_str(t->out, "{0");
        strbuf_add(t->out, t->p + 1, len - 1);
    } else {
        strbuf_add(t->out, t->p, len);
    }
    t->p += len;
    t->quantified = true;
    if ((*t->p == '?' && !exact) || (*t->p == '+' && !interval)) strbuf_add_char(t->out, *t->p++);
    return STATUS_OK;
}

static enum status open_group(struct translator *t)
{
    static const char *const plain[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    const char *from = t->p;
    if (t->p[1] == '?' && t->p[2] == '#') return refuse(t, "the comment", from, strnlen(from, 20));
    const char *spelling = NULL;
    size_t used = 1;
    if (t->p[1] != '?') spelling = "(?:"; /* nothing refers to a group: none needs a number */
    for (size_t i = 0; !spelling && i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strncmp(from, plain[i], strlen(plain[i])) != 0) continue;
        spelling = plain[i];
        used = strlen(plain[i]);
    }
    bool rest_of_group = false;
    if (!spelling) {
        static const struct {
            const char *onig, *pcre;
        } options[] = {{"(?i", "(?i:"}, {"(?-i", "(?-i:"}, {"(?m", "(?s:"}, {"(?-m", "(?-s:"}};
        for (size_t i = 0; !spelling && i < sizeof(options) / sizeof(options[0]); i++) {
            size_t len = strlen(options[i].onig);
            if (strncmp(from, options[i].onig, len) != 0) continue;
            if (from[len] != ':' && from[len] != ')') continue;
            spelling = options[i].pcre;
            used = len + 1;
            rest_of_group = from[len] == ')';
        }
        if (!spelling) return refuse(t, "the group", from, strnlen(from, 5));
    }
    t->p += used;
    if (rest_of_group) {
        t->groups[t->depth].n_to_close++;
    } else {
        if (t->depth == GROUP_DEPTH_MAX - 1) return refuse(t, "the nesting", from, 1);
        t->groups[++t->depth] = (struct group){t->out->len, 0, t->ignore_case};
    }
    if (!strcmp(spelling, "(?i:")) t->ignore_case = true;
    if (!strcmp(spelling, "(?-i:")) t->ignore_case = false;
    strbuf_add_str(t->out, spelling);
    t->atom = NO_ATOM;
    return STATUS_OK;
}

static void close_group(struct translator *t)
{
    for (int i = 0; i < t->groups[t->depth].n_to_close; i++) strbuf_add_char(t->out, ')');
    t->groups[t->depth].n_to_close = 0;
    t->ignore_case = t->groups[t->depth].ignore_case_around;
}

static enum status one_item(struct translator *t)
{
    char c = *t->p;
    if (strchr("*+?{", c)) return quantifier(t);
    if (c == '(') return open_group(t);
    if (c == ')') {
        if (t->depth == 0) return refuse(t, "the unmatched", ")", 1);
        close_group(t);
        t->atom = t->groups[t->depth--].start;
        t->quantified = false;
        strbuf_add_char(t->out, ')');
        t->p++;
        return STATUS_OK;
    }
    t->atom = c == '|' ? NO_ATOM : t->out->len;
    t->quantified = false;
    if (c == '|' || c == '[') t->literal = 0;
    if (c == '[') return char_class(t, 0);
    if (c == '\\') return escape(t);
    return copy_character(t, t->out); /* a whole character is one atom */
}

enum status regex_translate(const char *pattern, struct strbuf *out, struct error *err)
{
    struct translator t = {.p = pattern, .out = out, .err = err, .atom = NO_ATOM};
    while (*t.p) {
        enum status st = one_item(&t);
        if (st != STATUS_OK) return st;
    }
    if (t.depth > 0) return refuse(&t, "the unclosed group", "(", 1);
    close_group(&t);
    if (out->failed) return error_set(err, STATUS_UNSUPPORTED, "a pattern is too large");
    return STATUS_OK;
}
