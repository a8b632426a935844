#ifndef CONFIG_BASE_JSON_H
#define CONFIG_BASE_JSON_H

/* json.h - cJSON behind a strict door.  Everything that arrives as JSON, from a socket or a file,
 * passes json_parse: strict RFC 8259 grammar, size cap, valid UTF-8, no NUL byte nor \u0000, no
 * lone surrogate, bounded depth, no duplicate key in an object.  Errors give line and column.
 * Source: RFC 8259. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <cjson/cJSON.h>

struct json_limits {
    size_t max_size;       /* bytes; 0 = LIMIT_JSON_SIZE */
    int max_depth;         /* 0 = LIMIT_JSON_DEPTH */
    size_t max_values;     /* 0 = none; each takes some 80 bytes of memory, but 2 of text */
    bool allow_nul;        /* accept \u0000 in strings of *files* (cJSON cuts the string there) */
    bool allow_duplicates; /* first wins, as cJSON has it */
    /* NULL-terminated paths of two keys, "model.vocab": what stands there becomes a cJSON_Raw item
     * that holds its text, for json_reader.h.  Checked like the rest, but not for duplicate keys.
     * A key that is spelled with escapes is not found. */
    const char *const *raw_parts;
};

/* The caller owns *out (cJSON_Delete). */
enum status json_parse(const char *text, size_t len, const struct json_limits *limits, cJSON **out,
                       struct error *err);
/* Reads a whole file, at most max_size bytes (0 = LIMIT_JSON_SIZE), and parses it. */
enum status json_parse_file(const char *path, const struct json_limits *limits, cJSON **out,
                            struct error *err);

/* Case-sensitive member, NULL when absent.  A JSON null is returned as an item. */
const cJSON *json_get(const cJSON *object, const char *key);
/* True and *out when `item` is a number with no fraction inside [min, max] and |v| <= 2^53. */
bool json_as_i64(const cJSON *item, int64_t min, int64_t max, int64_t *out);
/* The text of a raw part; empty for any other item. */
struct str json_raw_text(const cJSON *item);
/* Appends compact JSON text: key order kept, non-ASCII as is, integers without exponent. */
void json_print(struct strbuf *out, const cJSON *item);
/* "a string", "an object", ...: for messages. */
const char *json_type_name(const cJSON *item);

#endif
