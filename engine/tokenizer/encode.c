#include "engine/tokenizer/internal.h"

#include <stdlib.h>

void token_vec_free(struct token_vec *v)
{
    free(v->ids);
    *v = (struct token_vec){0};
}

bool token_vec_push(struct token_vec *v, int32_t id)
{
    if (v->len == v->cap) {
        size_t cap = v->cap ? 2 * v->cap : 64;
        if (cap > SIZE_MAX / sizeof(*v->ids)) return false;
        int32_t *ids = realloc(v->ids, cap * sizeof(*ids));
        if (!ids) return false;
        v->ids = ids;
        v->cap = cap;
    }
    v->ids[v->len++] = id;
    return true;
}

bool encoder_fail(struct encoder *e, enum status status)
{
    if (e->status == STATUS_OK) e->status = status;
    return false;
}

bool encoder_push(struct encoder *e, int32_t id)
{
    if (e->max_tokens > 0 && e->out->len - e->out_start >= e->max_tokens)
        return encoder_fail(e, STATUS_CONTEXT_LENGTH);
    return token_vec_push(e->out, id) || encoder_fail(e, STATUS_NO_MEMORY);
}

/* A part of the normalised text that starts at `at`. */
static bool encode_part(struct encoder *e, struct str text, size_t head, size_t at)
{
    return pretokenizer_run(e, 0, (struct piece){text, head > at ? head - at : 0});
}

/* Text between added tokens: normalised, searched again, pre-tokenised. */
static bool encode_plain(struct encoder *e, struct str text, bool first, bool skip_special)
{
    const struct tokenizer *t = e->t;
    if (text.len == 0) return true;
    size_t head = 0; /* bytes that come from the original's first character */
    enum status st = normalizer_apply(&t->normalizer, &e->regex, e->normalized, text, &text, &head);
    if (st != STATUS_OK) return encoder_fail(e, st);
    if (!first) head = 0;
    struct added_cursor cursor = {0};
    struct added_match m;
    while (added_tokens_next(&t->added, &t->added.normalized, skip_special, text, &cursor, &m)) {
        struct str plain = {text.data + m.text_start, m.start - m.text_start};
        if (!encode_part(e, plain, head, m.text_start) || !encoder_push(e, m.token->id))
            return false;
    }
    size_t done = cursor.start_offset;
    return encode_part(e, (struct str){text.data + done, text.len - done}, head, done);
}

static bool encode_text(struct encoder *e, struct str text, bool skip_special)
{
    struct added_cursor cursor = {0};
    struct added_match m;
    while (added_tokens_next(&e->t->added, &e->t->added.raw, skip_special, text, &cursor, &m)) {
        struct str plain = {text.data + m.text_start, m.start - m.text_start};
        if (!encode_plain(e, plain, m.text_start == 0, skip_special)) return false;
        if (!encoder_push(e, m.token->id)) return false;
    }
    struct str rest = {text.data + cursor.start_offset, text.len - cursor.start_offset};
    return encode_plain(e, rest, cursor.start_offset == 0, skip_special);
}

static bool encode_all(struct encoder *e, struct str text, bool add_special, bool parse_special)
{
    const struct postprocessor *p = &e->t->postprocessor;
    for (int i = 0; add_special && i < p->n_before; i++)
        if (!encoder_push(e, p->before[i])) return false;
    if (!encode_text(e, text, !parse_special)) return false;
    for (int i = 0; add_special && i < p->n_after; i++)
        if (!encoder_push(e, p->after[i])) return false;
    return true;
}

static enum status explain(const struct encoder *e, struct error *err)
{
    switch (e->status) {
    case STATUS_OK:
        return STATUS_OK;
    case STATUS_CONTEXT_LENGTH:
        return error_set(err, e->status, "the text has more than %zu tokens", e->max_tokens);
    case STATUS_INVALID:
        return error_set(err, e->status,
                         "the tokenizer's pattern takes too many steps on the text");
    case STATUS_TOO_LARGE:
        return error_set(err, e->status, "the tokenizer's normalizer makes the text too long");
    case STATUS_UNSUPPORTED:
        return error_set(err, e->status,
                         "the text has characters that this tokenizer has no token for");
    default:
        return error_set(err, e->status, "out of memory while tokenizing");
    }
}

/* Real normalizers make a character at most 11 times as long (NFKC of U+FDFA); a file could ask for
 * any growth. */
static size_t normalized_size_max(size_t len)
{
    size_t max = 32 * len + ((size_t)1 << 20);
    return max < TEXT_SIZE_MAX ? max : TEXT_SIZE_MAX;
}

enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                             bool add_special, bool parse_special, size_t max_tokens,
                             struct token_vec *out, struct error *err)
{
    if (len > TEXT_SIZE_MAX)
        return error_set(err, STATUS_TOO_LARGE, "the text is longer than %zu bytes", TEXT_SIZE_MAX);
    if (len > 0 && !utf8_valid(text, len))
        return error_set(err, STATUS_INVALID, "the text is not valid UTF-8");
    struct encoder e = {.t = t, .out = out, .out_start = out->len, .max_tokens = max_tokens};
    e.text_len = len;
    for (int i = 0; i < 2; i++) strbuf_init(&e.normalized[i], normalized_size_max(len));
    (void)encode_all(&e, (struct str){len > 0 ? text : "", len}, add_special, parse_special);
    regex_scratch_free(&e.regex);
    if (t->model->free_scratch) t->model->free_scratch(e.model_scratch);
    for (int i = 0; i < 2; i++) strbuf_free(&e.normalized[i]);
    for (int i = 0; i < STAGES_MAX; i++) {
        strbuf_free(&e.stage[i]);
        strbuf_free(&e.prefix[i]);
    }
    return explain(&e, err);
}
