#ifndef CONFIG_BASE_JSON_READER_H
#define CONFIG_BASE_JSON_READER_H

/* json_reader.h - walking JSON text that json_parse has checked, without making a tree of it: for
 * parts of files that are too large for one (json.h, raw_parts).
 *
 *   struct json_reader r;
 *   json_reader_init(&r, text);
 *   if (json_enter(&r, '{'))
 *       while (json_next_member(&r, &key))
 *           value = json_value(&r);            or json_enter again
 *   json_reader_free(&r);
 *
 * Text that was not checked gives wrong answers, never a read outside it. */

#include "config/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct json_reader {
    const char *p, *end;
    struct strbuf key; /* of a key with escapes */
};

void json_reader_init(struct json_reader *r, struct str text);
void json_reader_free(struct json_reader *r);
/* Steps into the container at hand; false: the value is none that opens so. */
bool json_enter(struct json_reader *r, char open);
/* The next member's key (valid until the next call) with its value at hand, or the next item at
 * hand; false: the container ended, and the one around it goes on. */
bool json_next_member(struct json_reader *r, struct str *key);
bool json_next_item(struct json_reader *r);
/* Steps over the value at hand: its text. */
struct str json_value(struct json_reader *r);
/* The characters of a string's text: a view into it or, with escapes, into *buffer.  False: it is
 * no string, or out of memory. */
bool json_value_string(struct str value, struct strbuf *buffer, struct str *out);
/* As json_as_i64. */
bool json_value_i64(struct str value, int64_t min, int64_t max, int64_t *out);

#endif
