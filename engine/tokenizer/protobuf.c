#include "engine/tokenizer/protobuf.h"

#include <string.h>

struct protobuf protobuf_reader(struct str message)
{
    const uint8_t *at = (const uint8_t *)message.data;
    return (struct protobuf){at, at + message.len};
}

/* Seven bits a byte, the lowest first. */
static bool read_varint(struct protobuf *r, uint64_t *out)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1) return false; /* beyond 64 bits */
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct protobuf *r, size_t size, uint64_t *out)
{
    if ((size_t)(r->end - r->at) < size) return false;
    *out = 0;
    for (size_t i = 0; i < size; i++) *out |= (uint64_t)r->at[i] << (8 * i);
    r->at += size;
    return true;
}

static bool read_bytes(struct protobuf *r, struct str *out)
{
    uint64_t len = 0;
    if (!read_varint(r, &len) || len > (uint64_t)(r->end - r->at)) return false;
    *out = (struct str){(const char *)r->at, (size_t)len};
    r->at += len;
    return true;
}

bool protobuf_next(struct protobuf *r, struct protobuf_field *field, bool *bad)
{
    *bad = false;
    if (r->at == r->end) return false;
    uint64_t key = 0;
    *field = (struct protobuf_field){0};
    bool good = read_varint(r, &key) && key >> 3 > 0 && key >> 3 < 1u << 29;
    field->number = (uint32_t)(key >> 3);
    field->type = (enum protobuf_type)(key & 7);
    switch (good ? (int)field->type : -1) {
    case PROTOBUF_VARINT:
        good = read_varint(r, &field->value);
        break;
    case PROTOBUF_64:
        good = read_fixed(r, 8, &field->value);
        break;
    case PROTOBUF_32:
        good = read_fixed(r, 4, &field->value);
        break;
    case PROTOBUF_BYTES:
        good = read_bytes(r, &field->bytes);
        break;
    default:
        good = false;
    }
    *bad = !good;
    return good;
}

float protobuf_float(const struct protobuf_field *field)
{
    uint32_t bits = (uint32_t)field->value;
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
