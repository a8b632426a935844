#ifndef ENGINE_TOKENIZER_CHARSMAP_H
#define ENGINE_TOKENIZER_CHARSMAP_H

/* charsmap.h - SentencePiece's precompiled map of characters: keys of one or more bytes, each with
 * the text that replaces it.
 *
 * The format: the size of the trie in bytes (32 bits, little endian), the trie (a Darts double
 * array of 32-bit units), then the replacements, each up to a NUL.  All of it comes from a file:
 * every leaf is checked when the map is parsed and every step of a walk stays inside the trie.
 * Immutable once parsed; any thread. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct charsmap;

/* The longest replacement that is taken, in bytes: published maps have up to 33. */
#define CHARSMAP_REPLACEMENT_MAX 256

/* Copies what it needs of the bytes.  CORRUPT: sizes, leaves or replacements that do not fit, or
 * replacements that are not UTF-8. */
enum status charsmap_parse(const void *bytes, size_t size, struct charsmap **out,
                           struct error *err);
/* The same from base64 text with padding (what tokenizer.json has). */
enum status charsmap_parse_base64(const char *text, size_t len, struct charsmap **out,
                                  struct error *err);
void charsmap_free(struct charsmap *m);

/* The keys that `s` begins with: the size of the longest (SentencePiece's rule) or of the shortest
 * one (Hugging Face's), 0 when there is none; *replacement points into the map and may be empty.
 * A NUL ends the search. */
size_t charsmap_longest(const struct charsmap *m, const char *s, size_t len,
                        struct str *replacement);
size_t charsmap_shortest(const struct charsmap *m, const char *s, size_t len,
                         struct str *replacement);
/* False: no key begins with this byte. */
bool charsmap_begins(const struct charsmap *m, unsigned char byte);
/* Size of the prefix of single ASCII characters none of which is a key. */
size_t charsmap_ascii_prefix(const struct charsmap *m, const char *s, size_t len);

#endif
