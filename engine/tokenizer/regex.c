#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/tokenizer/regex.h"

#include "engine/tokenizer/char_class.h"
#include "engine/tokenizer/scan.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* Steps of one match: a run of blanks before a failing alternative costs a few per character. */
#define STEPS_BASE        100000
#define STEPS_PER_BYTE    64
#define HEAP_LIMIT_KIB    65536
#define JIT_STACK_MIN     ((size_t)32 * 1024)
#define JIT_STACK_MAX     ((size_t)16 * 1024 * 1024)
#define REGEX_LITERAL_MAX 4096

struct regex { /* one of three */
    pcre2_code *code;
    scan_fn *scan;
    char *literal;
    size_t literal_len;
};

enum status regex_compile(const char *pattern, struct regex **out, struct error *err)
{
    scan_fn *scan = scan_find(pattern);
    if (!scan) return regex_compile_pcre2(pattern, out, err);
    char_class_init();
    struct regex *r = *out = calloc(1, sizeof(*r));
    if (!r) return error_set(err, STATUS_NO_MEMORY, "out of memory for a pattern");
    r->scan = scan;
    return STATUS_OK;
}

enum status regex_compile_pcre2(const char *pattern, struct regex **out, struct error *err)
{
    *out = NULL;
    if (strlen(pattern) > REGEX_PATTERN_SIZE_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "a pattern is longer than %d bytes",
                         REGEX_PATTERN_SIZE_MAX);
    if (!pattern[0]) return error_set(err, STATUS_UNSUPPORTED, "an empty pattern");
    struct strbuf text;
    strbuf_init(&text, (size_t)64 * REGEX_PATTERN_SIZE_MAX);
    pcre2_compile_context *context = NULL;
    struct regex *r = NULL;
    enum status st = regex_translate(pattern, &text, err);
    if (st != STATUS_OK) goto out;
    r = calloc(1, sizeof(*r));
    context = pcre2_compile_context_create(NULL);
    if (!r || !context) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory for a pattern");
        goto out;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code = 0;
    PCRE2_SIZE at = 0;
    uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    /* 10.42 looks for the next place to start behind all that (?>a+?) could have taken. */
    if (strstr(text.data, "(?>")) flags |= PCRE2_NO_START_OPTIMIZE;
    r->code = pcre2_compile((PCRE2_SPTR)text.data, text.len, flags, &code, &at, context);
    if (!r->code) {
        char why[128] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
        st = error_set(err, STATUS_UNSUPPORTED, "the pattern \"%.200s\" does not compile: %s",
                       pattern, why);
        goto out;
    }
    /* Where the system forbids run-time code the interpreter does the same work, slower. */
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    *out = r;
    r = NULL;
out:
    regex_free(r);
    pcre2_compile_context_free(context);
    strbuf_free(&text);
    return st;
}

enum status regex_literal(const char *text, struct regex **out, struct error *err)
{
    *out = NULL;
    size_t len = strlen(text);
    if (len == 0 || len > REGEX_LITERAL_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "a string pattern must have 1 to %d bytes",
                         REGEX_LITERAL_MAX);
    struct regex *r = calloc(1, sizeof(*r));
    if (r) r->literal = strdup(text);
    if (!r || !r->literal) {
        free(r);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a pattern");
    }
    r->literal_len = len;
    *out = r;
    return STATUS_OK;
}

scan_fn *regex_scanner(const struct regex *r)
{
    return r->scan;
}

void regex_free(struct regex *r)
{
    if (!r) return;
    pcre2_code_free(r->code);
    free(r->literal);
    free(r);
}

void regex_scratch_free(struct regex_scratch *s)
{
    pcre2_match_data_free(s->match_data);
    pcre2_match_context_free(s->match_context);
    pcre2_jit_stack_free(s->jit_stack);
    *s = (struct regex_scratch){0};
}

static bool scratch_ready(struct regex_scratch *s)
{
    if (s->match_data) return true;
    s->match_context = pcre2_match_context_create(NULL);
    if (!s->match_context) return false;
    pcre2_set_heap_limit(s->match_context, HEAP_LIMIT_KIB);
    s->match_data = pcre2_match_data_create(1, NULL);
    return s->match_data != NULL;
}

/* PCRE2's return code for a search from `at`. */
static int search(const struct regex *r, struct regex_scratch *scratch, struct str s, size_t at)
{
    size_t left = s.len - at;
    uint32_t steps = left < (UINT32_MAX - STEPS_BASE) / STEPS_PER_BYTE
                         ? (uint32_t)(STEPS_BASE + left * STEPS_PER_BYTE)
                         : UINT32_MAX;
    pcre2_set_match_limit(scratch->match_context, steps);
    /* The text was validated once; checking the rest of it at every match would be quadratic. */
    int rc = pcre2_match(r->code, (PCRE2_SPTR)s.data, s.len, at, PCRE2_NO_UTF_CHECK,
                         scratch->match_data, scratch->match_context);
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT || scratch->jit_stack) return rc;
    scratch->jit_stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (!scratch->jit_stack) return PCRE2_ERROR_NOMEMORY;
    pcre2_jit_stack_assign(scratch->match_context, NULL, scratch->jit_stack);
    return pcre2_match(r->code, (PCRE2_SPTR)s.data, s.len, at, PCRE2_NO_UTF_CHECK,
                       scratch->match_data, scratch->match_context);
}

static enum regex_result next_literal(const struct regex *r, struct str s, struct regex_cursor *c,
                                      size_t *start, size_t *end)
{
    const char *hit = memmem(s.data + c->at, s.len - c->at, r->literal, r->literal_len);
    if (!hit) return REGEX_END;
    *start = (size_t)(hit - s.data);
    *end = c->at = *start + r->literal_len;
    return REGEX_MATCH;
}

enum regex_result regex_next(const struct regex *r, struct regex_scratch *scratch, struct str s,
                             struct regex_cursor *c, size_t *start, size_t *end)
{
    if (r->scan) {
        if (c->at >= s.len) return REGEX_END;
        *start = c->at;
        *end = c->at = r->scan(s.data, s.len, c->at);
        return REGEX_MATCH;
    }
    if (!r->code) return next_literal(r, s, c, start, end);
    if (!scratch_ready(scratch)) return REGEX_NO_MEMORY;
    while (c->at <= s.len) {
        int rc = search(r, scratch, s, c->at);
        if (rc == PCRE2_ERROR_NOMATCH) return REGEX_END;
        if (rc == PCRE2_ERROR_NOMEMORY) return REGEX_NO_MEMORY;
        if (rc < 0) return REGEX_TOO_COSTLY;
        const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(scratch->match_data);
        *start = ovector[0];
        *end = ovector[1];
        /* A lookahead that ends "before" its start (\K) is refused by the translator. */
        if (*start == *end && c->has_last && c->last_end == *end) {
            c->at = *end + 1; /* the next character */
            while (c->at < s.len && ((unsigned char)s.data[c->at] & 0xC0) == 0x80) c->at++;
            continue;
        }
        c->at = c->last_end = *end;
        c->has_last = true;
        return REGEX_MATCH;
    }
    return REGEX_END;
}
