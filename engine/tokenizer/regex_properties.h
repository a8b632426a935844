#ifndef ENGINE_TOKENIZER_REGEX_PROPERTIES_H
#define ENGINE_TOKENIZER_REGEX_PROPERTIES_H

/* regex_properties.h - what \p{..} and [:..:] mean in the reference, as PCRE2 can say it.
 *
 * The reference's patterns know a newer Unicode than PCRE2, and some names mean something else in
 * it; the table is measured on both (tests/golden/make_regex_properties.py), on every code point
 * that a text can have. */

#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct regex_set {
    const char *names; /* " letter l ": lower case, no - and _; ":alpha" is [:alpha:] */
    const char *items; /* of a PCRE2 character class */
    const char *more;  /* and these, "897 1b4e-1b4f" */
    bool complement;   /* the set is what the two leave out */
    bool cased;        /* has a character without all that equal it when case is ignored */
};

extern const struct regex_set regex_sets[]; /* regex_property_table.c */
extern const size_t n_regex_sets;

/* NULL: the reference knows no such name, or PCRE2 does not. */
const struct regex_set *regex_property(const char *name);
/* The items and the code points beside them, in the spelling of a class. */
void regex_set_items(const struct regex_set *set, struct strbuf *out);

#endif
