#ifndef ENGINE_TOKENIZER_BYTE_LEVEL_H
#define ENGINE_TOKENIZER_BYTE_LEVEL_H

/* byte_level.h - the 256 characters that stand for bytes (GPT-2). */

#include "config/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void byte_level_add(struct strbuf *out, const char *bytes, size_t len); /* bytes -> characters */
int byte_level_byte(uint32_t cp);                                       /* -1 = none */

#endif
