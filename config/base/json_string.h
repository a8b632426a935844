#ifndef CONFIG_BASE_JSON_STRING_H
#define CONFIG_BASE_JSON_STRING_H

/* json_string.h - one JSON string by itself, decoded.  For text that json.h cannot hand on, because
 * cJSON ends strings at a NUL: here \u0000 is a NUL byte of the text.  Otherwise as strict as
 * json_parse: RFC 8259, valid UTF-8, no lone surrogate, no bare control character. */

#include "config/base/status.h"
#include "config/base/str.h"

/* `text` must be one JSON string with nothing but white space around it; its text is appended to
 * *out.  INVALID with the byte where it goes wrong (from 0); NO_MEMORY. */
enum status json_string_decode(const char *text, size_t len, struct strbuf *out, struct error *err);

#endif
