#ifndef ENGINE_TOKENIZER_SCAN_H
#define ENGINE_TOKENIZER_SCAN_H

/* scan.h - hand-written matchers for the few pre-tokenizer patterns that nearly all models share.
 * Each equals its regular expression (tests/unit/test_scan.c compares them, character by character
 * and on random texts), and each of these patterns matches at every position of every text. */

#include <stddef.h>

/* The end of the match that starts at s[at], at < len; s is valid UTF-8. */
typedef size_t scan_fn(const char *s, size_t len, size_t at);

/* The matcher of the pattern as written in tokenizer.json; NULL: it has none. */
scan_fn *scan_find(const char *pattern);
/* The i-th pattern that has one, NULL after the last: for the test. */
const char *scan_pattern(size_t i);

#endif
