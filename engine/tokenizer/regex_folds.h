#ifndef ENGINE_TOKENIZER_REGEX_FOLDS_H
#define ENGINE_TOKENIZER_REGEX_FOLDS_H

/* regex_folds.h - characters that are several when case is ignored: the reference lets (?i:ss) match
 * U+00DF and the other way round, PCRE2 compares character by character.
 * Source: CaseFolding.txt of Unicode, status F (full case folding), as utf8proc has it. */

#include <stdbool.h>
#include <stdint.h>

/* The full case folding of the character is more than one character. */
bool regex_fold_is_long(uint32_t c);
/* One of the characters first..last has such a folding. */
bool regex_fold_in_range(uint32_t first, uint32_t last);
/* Such a folding begins with the foldings of a and b. */
bool regex_fold_begins(uint32_t a, uint32_t b);

#endif
