#ifndef ENGINE_TEMPLATE_TEMPLATE_H
#define ENGINE_TEMPLATE_TEMPLATE_H

/* template.h - a Jinja2 interpreter for chat templates, as transformers configures it
 * (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loopcontrols): lexer, parser,
 * evaluator.  Bounded in steps, depth and output (limits.h).  A compiled template is immutable:
 * any thread may render it. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct template;

/* Syntax errors: INVALID with "line L, column C: ...". */
enum status template_compile(const char *text, size_t len, struct template **out,
                             struct error *err);
void template_free(struct template *t);

/* Renders with the members of `context` (an object) as variables.  Errors: INVALID when the
 * template calls raise_exception (its message) or the evaluation fails (line and column in the
 * message); TOO_LARGE beyond the bounds.  `now` is the wall-clock second for strftime_now. */
enum status template_render(const struct template *t, const cJSON *context, int64_t now,
                            struct strbuf *out, struct error *err);

/* Puts the text of every number that a double does not hold as it was written (1.0, integers of
 * more than 15 digits) beside it, so that a template prints the request's own digits.  `tree` must
 * be what json_parse made of `text`.  False: out of memory. */
bool template_keep_numbers(cJSON *tree, const char *text, size_t len);

/* Python's str.strip, .lstrip, .rstrip. */
struct str template_strip(struct str s, bool left, bool right);

/* What a template knows of message contents, found in its source: whether it loops over them (or
 * selects among them), and whether it asks if they are strings. */
struct template_contents {
    bool parts, strings;
};
struct template_contents template_contents(const struct template *t);

#endif
