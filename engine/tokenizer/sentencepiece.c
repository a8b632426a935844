#include "engine/tokenizer/sentencepiece.h"

#include "config/limits.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/protobuf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The file: ModelProto {1 pieces, 2 trainer_spec, 3 normalizer_spec, 5 denormalizer_spec}.  Fields
 * that only say how the model was trained are passed over. */

/* Published pieces have up to 48 bytes, user-defined ones some more.  The bound keeps the search
 * for merges, which tries every split of a piece, from being long. */
#define PIECE_SIZE_MAX 1024

struct field_name {
    uint32_t number;
    enum protobuf_type type;
    const char *name;
};

static enum status wrong_field(const struct protobuf_field *f, bool bad,
                               const struct field_name *names, size_t n_names, struct error *err)
{
    if (bad) return error_set(err, STATUS_CORRUPT, "the file is cut short or damaged");
    for (size_t i = 0; i < n_names; i++)
        if (names[i].number == f->number && names[i].type != f->type)
            return error_set(err, STATUS_CORRUPT, "%s has the wrong type", names[i].name);
    return STATUS_OK;
}

/* --- pieces ------------------------------------------------------------------------------------------ */

struct piece_fields {
    struct str text;
    float score;
    uint64_t type;
};

static enum status read_piece(struct str message, struct piece_fields *out, struct error *err)
{
    static const struct field_name names[] = {{1, PROTOBUF_BYTES, "its text"},
                                              {2, PROTOBUF_32, "its score"},
                                              {3, PROTOBUF_VARINT, "its type"}};
    struct protobuf reader = protobuf_reader(message);
    struct protobuf_field f;
    bool bad = false;
    *out = (struct piece_fields){.type = PIECE_NORMAL};
    while (protobuf_next(&reader, &f, &bad)) {
        if (wrong_field(&f, false, names, 3, err) != STATUS_OK) return err->code;
        if (f.number == 1) out->text = f.bytes;
        if (f.number == 2) out->score = protobuf_float(&f);
        if (f.number == 3) out->type = f.value;
    }
    if (bad) return wrong_field(&f, true, names, 3, err);
    if (out->text.len == 0) return error_set(err, STATUS_CORRUPT, "its text is empty");
    if (out->text.len > PIECE_SIZE_MAX)
        return error_set(err, STATUS_CORRUPT, "its text has %zu bytes; at most %d are taken",
                         out->text.len, PIECE_SIZE_MAX);
    if (!utf8_valid(out->text.data, out->text.len) || memchr(out->text.data, 0, out->text.len))
        return error_set(err, STATUS_CORRUPT, "its text is not valid UTF-8 without NUL");
    if (out->type < PIECE_NORMAL || out->type > PIECE_BYTE)
        return error_set(err, STATUS_CORRUPT, "its type is %llu, which is none",
                         (unsigned long long)out->type);
    if (!isfinite(out->score)) return error_set(err, STATUS_CORRUPT, "its score is not finite");
    return STATUS_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int sentencepiece_byte(struct str piece)
{
    if (piece.len != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>') return -1;
    int high = hex_digit(piece.data[3]), low = hex_digit(piece.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static enum status add_piece(struct sentencepiece *m, struct tokenizer *t, size_t id,
                             const struct piece_fields *piece, struct error *err)
{
    m->types[id] = (uint8_t)piece->type;
    m->scores[id] = piece->score;
    if (piece->type == PIECE_BYTE && sentencepiece_byte(piece->text) < 0)
        return error_set(err, STATUS_CORRUPT, "it is a byte, but its text is not <0xNN>");
    if (piece->type == PIECE_UNKNOWN) {
        if (m->unk_id >= 0)
            return error_set(err, STATUS_CORRUPT, "it is the second piece for unknown text");
        m->unk_id = (int32_t)id;
    }
    /* A copy, for vocab_add prints what it refuses. */
    char text[PIECE_SIZE_MAX + 1];
    memcpy(text, piece->text.data, piece->text.len);
    text[piece->text.len] = '\0';
    return vocab_add(&t->vocab, (int64_t)id, text, piece->text.len, err);
}

static enum status read_pieces(struct str file, struct sentencepiece *m, struct tokenizer *t,
                               struct error *err)
{
    struct protobuf reader = protobuf_reader(file);
    struct protobuf_field f;
    struct piece_fields piece;
    bool bad = false;
    size_t id = 0;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && protobuf_next(&reader, &f, &bad)) {
        if (f.number != 1) continue;
        st = read_piece(f.bytes, &piece, err);
        if (st == STATUS_OK) st = add_piece(m, t, id, &piece, err);
        if (st != STATUS_OK) return error_prepend(err, "piece %zu", id);
        id++;
    }
    return st;
}

static enum status check_bytes(const struct sentencepiece *m, const struct tokenizer *t,
                               struct error *err)
{
    bool found[256] = {false};
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (m->types[i] != PIECE_BYTE) continue;
        if (!m->byte_fallback)
            return error_set(err, STATUS_CORRUPT,
                             "piece %zu is a byte, but byte_fallback is not set", i);
        found[sentencepiece_byte(vocab_text(&t->vocab, (int64_t)i))] = true;
    }
    for (int i = 0; m->byte_fallback && i < 256; i++)
        if (!found[i])
            return error_set(err, STATUS_CORRUPT,
                             "byte_fallback is set, but there is no piece for the byte 0x%02X", i);
    return STATUS_OK;
}

/* --- the rest of the file -------------------------------------------------------------------------------- */

static enum status read_trainer(struct str message, struct sentencepiece *m, struct error *err)
{
    static const struct field_name names[] = {{3, PROTOBUF_VARINT, "model_type"},
                                              {24, PROTOBUF_VARINT, "treat_whitespace_as_suffix"},
                                              {35, PROTOBUF_VARINT, "byte_fallback"},
                                              {41, PROTOBUF_VARINT, "bos_id"},
                                              {42, PROTOBUF_VARINT, "eos_id"}};
    struct protobuf reader = protobuf_reader(message);
    struct protobuf_field f;
    bool bad = false;
    while (protobuf_next(&reader, &f, &bad)) {
        if (wrong_field(&f, false, names, 5, err) != STATUS_OK) return err->code;
        int32_t id = f.value < LIMIT_VOCAB ? (int32_t)f.value : -1;
        if (f.number == 3) m->algorithm = id;
        if (f.number == 24) m->suffix = f.value != 0;
        if (f.number == 35) m->byte_fallback = f.value != 0;
        if (f.number == 41) m->bos_id = id;
        if (f.number == 42) m->eos_id = id;
    }
    return wrong_field(&f, bad, names, 5, err);
}

static enum status read_normalizer(struct str message, struct sentencepiece *m, struct error *err)
{
    static const struct field_name names[] = {{2, PROTOBUF_BYTES, "precompiled_charsmap"},
                                              {3, PROTOBUF_VARINT, "add_dummy_prefix"},
                                              {4, PROTOBUF_VARINT, "remove_extra_whitespaces"},
                                              {5, PROTOBUF_VARINT, "escape_whitespaces"}};
    struct protobuf reader = protobuf_reader(message);
    struct protobuf_field f;
    bool bad = false;
    while (protobuf_next(&reader, &f, &bad)) {
        if (wrong_field(&f, false, names, 4, err) != STATUS_OK) return err->code;
        if (f.number == 2) m->charsmap = f.bytes;
        if (f.number == 3) m->dummy_prefix = f.value != 0;
        if (f.number == 4) m->remove_blanks = f.value != 0;
        if (f.number == 5) m->escape_blanks = f.value != 0;
    }
    return wrong_field(&f, bad, names, 4, err);
}

/* How models change text back after decoding; none that is published does. */
static enum status refuse_denormalizer(struct str message, struct error *err)
{
    struct protobuf reader = protobuf_reader(message);
    struct protobuf_field f;
    bool bad = false;
    while (protobuf_next(&reader, &f, &bad))
        if (f.number == 2 && f.type == PROTOBUF_BYTES && f.bytes.len > 0)
            return error_set(err, STATUS_UNSUPPORTED,
                             "denormalizer_spec has a map of characters, which is not supported");
    return wrong_field(&f, bad, NULL, 0, err);
}

/* Everything but the pieces, which are counted. */
static enum status read_specs(struct str file, struct sentencepiece *m, struct error *err)
{
    static const struct field_name names[] = {{1, PROTOBUF_BYTES, "pieces"},
                                              {2, PROTOBUF_BYTES, "trainer_spec"},
                                              {3, PROTOBUF_BYTES, "normalizer_spec"},
                                              {5, PROTOBUF_BYTES, "denormalizer_spec"}};
    struct protobuf reader = protobuf_reader(file);
    struct protobuf_field f;
    bool bad = false;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && protobuf_next(&reader, &f, &bad)) {
        st = wrong_field(&f, false, names, 4, err);
        if (st != STATUS_OK) return st;
        m->n_pieces += f.number == 1;
        if (f.number == 2) st = read_trainer(f.bytes, m, err);
        if (f.number == 3) st = read_normalizer(f.bytes, m, err);
        if (f.number == 5) st = refuse_denormalizer(f.bytes, err);
        if (st != STATUS_OK)
            return error_prepend(err, "%s", names[f.number == 5 ? 3 : f.number - 1].name);
    }
    return st == STATUS_OK ? wrong_field(&f, bad, names, 4, err) : st;
}

enum status sentencepiece_read(struct str file, struct tokenizer *t, struct sentencepiece *m,
                               struct error *err)
{
    *m = (struct sentencepiece){.unk_id = -1, .bos_id = 1, .eos_id = 2};
    m->algorithm = ALGORITHM_UNIGRAM; /* the defaults of the format */
    m->dummy_prefix = m->remove_blanks = m->escape_blanks = true;
    enum status st = read_specs(file, m, err);
    if (st != STATUS_OK) return st;
    if (m->n_pieces == 0) return error_set(err, STATUS_CORRUPT, "the file has no pieces");
    if (m->n_pieces > LIMIT_VOCAB)
        return error_set(err, STATUS_CORRUPT, "the file has more than %d pieces", LIMIT_VOCAB);
    m->types = calloc(m->n_pieces, sizeof(*m->types));
    m->scores = calloc(m->n_pieces, sizeof(*m->scores));
    if (!m->types || !m->scores)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for %zu pieces", m->n_pieces);
    st = vocab_init(&t->vocab, m->n_pieces, m->n_pieces, err);
    if (st == STATUS_OK) st = read_pieces(file, m, t, err);
    if (st == STATUS_OK && m->unk_id < 0)
        st = error_set(err, STATUS_CORRUPT, "no piece is for unknown text");
    if (st == STATUS_OK) st = check_bytes(m, t, err);
    return st;
}

void sentencepiece_free(struct sentencepiece *m)
{
    free(m->types);
    free(m->scores);
    *m = (struct sentencepiece){0};
}

/* --- the parts of the tokenizer ---------------------------------------------------------------------------- */

/* U+2581 is a blank again; bytes become characters as transformers has it; blanks that were put
 * before the text, or could not be there, are dropped. */
static enum status add_decoder(const struct sentencepiece *m, struct tokenizer *t,
                               struct error *err)
{
    struct strbuf text;
    cJSON *json = NULL;
    strbuf_init(&text, 0);
    strbuf_add_str(&text, "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
                          "{\"String\":\"" SENTENCEPIECE_BLANK "\"},\"content\":\" \"}");
    if (m->byte_fallback) strbuf_add_str(&text, ",{\"type\":\"ByteFallback\"}");
    strbuf_add_str(&text, ",{\"type\":\"Fuse\"}");
    int64_t strip = m->remove_blanks ? INT32_MAX : m->dummy_prefix ? 1 : 0;
    if (!m->escape_blanks) strip = 0; /* only blanks that were escaped are dropped */
    if (strip > 0)
        strbuf_addf(&text, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":%lld,\"stop\":0}",
                    (long long)strip);
    strbuf_add_str(&text, "]}");
    enum status st = text.failed ? error_set(err, STATUS_NO_MEMORY, "out of memory")
                                 : json_parse(text.data, text.len, NULL, &json, err);
    if (st == STATUS_OK) st = decoder_parse(json, &t->decoder, err);
    cJSON_Delete(json);
    strbuf_free(&text);
    return st;
}

enum status sentencepiece_build(struct tokenizer *t, struct sentencepiece *m, const cJSON *config,
                                bool every_part, struct error *err)
{
    if (cJSON_IsFalse(json_get(config, "add_prefix_space"))) m->dummy_prefix = false;
    every_part |= cJSON_IsTrue(json_get(config, "legacy"));
    enum status st = sentencepiece_model_create(t, m, err);
    if (st == STATUS_OK) st = sentencepiece_normalizer_add(t, m, every_part, err);
    return st == STATUS_OK ? add_decoder(m, t, err) : st;
}
