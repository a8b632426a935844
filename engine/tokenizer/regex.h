#ifndef ENGINE_TOKENIZER_REGEX_H
#define ENGINE_TOKENIZER_REGEX_H

/* regex.h - the patterns of tokenizer.json on PCRE2.
 *
 * They are written for Oniguruma; regex_translate.c rewrites what means something else in PCRE2
 * (\s, \w, \h, \p{..} of a newer Unicode, {n,m}+, isolated options, line anchors) and refuses by
 * name what it does not know.  A compiled regex is immutable; each call brings its own scratch.
 * A match that backtracks too much is an error, not a wait; a repeat inside a lookahead is not
 * counted, so that a file may bring a pattern that is slow on purpose (no published one is). */

#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/scan.h"

#include <stdbool.h>
#include <stddef.h>

struct regex;

/* Patterns up to this many bytes: the longest published one has about 600. */
#define REGEX_PATTERN_SIZE_MAX 16384

/* Patterns that nearly all models share have a matcher by hand (scan.h), all others PCRE2's. */
enum status regex_compile(const char *pattern, struct regex **out, struct error *err);
/* Never by hand: what the matchers by hand are compared with. */
enum status regex_compile_pcre2(const char *pattern, struct regex **out, struct error *err);
scan_fn *regex_scanner(const struct regex *r); /* NULL: it has none */
/* Matches the text itself. */
enum status regex_literal(const char *text, struct regex **out, struct error *err);
void regex_free(struct regex *r);

struct regex_scratch {
    void *match_data, *match_context, *jit_stack; /* made on first use */
};
void regex_scratch_free(struct regex_scratch *s);

/* Successive matches in one text, as Oniguruma's find_iter gives them: an empty match directly
 * after the last match is skipped. */
struct regex_cursor {
    size_t at, last_end;
    bool has_last;
};
enum regex_result { REGEX_MATCH, REGEX_END, REGEX_TOO_COSTLY, REGEX_NO_MEMORY };
/* `s` must be valid UTF-8.  `const` regex: any number of threads. */
enum regex_result regex_next(const struct regex *r, struct regex_scratch *scratch, struct str s,
                             struct regex_cursor *cursor, size_t *start, size_t *end);

/* regex_translate.c: the PCRE2 spelling of an Oniguruma pattern, appended to *out. */
enum status regex_translate(const char *pattern, struct strbuf *out, struct error *err);

#endif
