#ifndef TESTS_UNIT_SENTENCEPIECE_FILE_H
#define TESTS_UNIT_SENTENCEPIECE_FILE_H

/* sentencepiece_file.h - writes SentencePiece model files for tests, also ones that no trainer
 * would write. */

#include "config/base/str.h"
#include "engine/tokenizer/sentencepiece.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct test_piece {
    const char *text;
    float score;
    int type; /* 0: NORMAL, not written */
};
struct test_spec {
    int model_type; /* 0: not written */
    bool byte_fallback, suffix, no_dummy, keep_blanks, no_escape;
    const char *charsmap; /* NULL = none */
};

static inline void pb_varint(struct strbuf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) strbuf_add_char(out, (char)(value | 0x80));
    strbuf_add_char(out, (char)value);
}

static inline void pb_number(struct strbuf *out, unsigned field, uint64_t value)
{
    pb_varint(out, field << 3);
    pb_varint(out, value);
}

static inline void pb_bytes(struct strbuf *out, unsigned field, struct str bytes)
{
    pb_varint(out, field << 3 | 2);
    pb_varint(out, bytes.len);
    strbuf_add(out, bytes.data, bytes.len);
}

static inline void pb_piece(struct strbuf *out, const struct test_piece *piece)
{
    struct strbuf message;
    strbuf_init(&message, 0);
    pb_bytes(&message, 1, str_from(piece->text));
    pb_varint(&message, 2 << 3 | 5);
    strbuf_add(&message, &piece->score, sizeof(piece->score));
    if (piece->type) pb_number(&message, 3, (uint64_t)piece->type);
    pb_bytes(out, 1, (struct str){message.data, message.len});
    strbuf_free(&message);
}

static inline void pb_byte_pieces(struct strbuf *out)
{
    for (unsigned i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", i);
        pb_piece(out, &(struct test_piece){text, 0, PIECE_BYTE});
    }
}

static inline void pb_specs(struct strbuf *out, const struct test_spec *spec)
{
    struct strbuf message;
    strbuf_init(&message, 0);
    if (spec->model_type) pb_number(&message, 3, (uint64_t)spec->model_type);
    pb_number(&message, 24, spec->suffix);
    pb_number(&message, 35, spec->byte_fallback);
    pb_bytes(&message, 7, STR("a field that is passed over"));
    pb_bytes(out, 2, (struct str){message.data, message.len});
    strbuf_clear(&message);
    if (spec->charsmap) pb_bytes(&message, 2, str_from(spec->charsmap));
    pb_number(&message, 3, !spec->no_dummy);
    pb_number(&message, 4, !spec->keep_blanks);
    pb_number(&message, 5, !spec->no_escape);
    pb_bytes(out, 3, (struct str){message.data, message.len});
    strbuf_free(&message);
}

#endif
