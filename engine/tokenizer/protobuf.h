#ifndef ENGINE_TOKENIZER_PROTOBUF_H
#define ENGINE_TOKENIZER_PROTOBUF_H

/* protobuf.h - the fields of a protocol buffer message, one after the other.  A reader looks at
 * bytes that others own, copies nothing and never leaves them.
 * Source: protobuf.dev, "Encoding". */

#include "config/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum protobuf_type { PROTOBUF_VARINT = 0, PROTOBUF_64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_32 = 5 };

struct protobuf_field {
    uint32_t number;
    enum protobuf_type type;
    uint64_t value;   /* of VARINT, 64 and 32 */
    struct str bytes; /* of BYTES: a text, or a message to read with a reader of its own */
};
struct protobuf {
    const uint8_t *at, *end;
};
struct protobuf protobuf_reader(struct str message);
/* False at the end, with *bad saying whether it was a proper one: a varint of more than 64 bits, a
 * length that leaves the message, a group (which no one writes any more) are not. */
bool protobuf_next(struct protobuf *r, struct protobuf_field *field, bool *bad);
float protobuf_float(const struct protobuf_field *field); /* of a 32 */

#endif
