#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/normalizer_kinds.h"

#include <stdlib.h>
#include <string.h>

static enum status copy_text(const cJSON *json, const char *key, struct normalizer_stage *s,
                             struct error *err)
{
    const char *text = NULL;
    enum status st = component_string(json, key, &text, err);
    if (st != STATUS_OK) return st;
    s->text_len = strlen(text);
    s->text = strdup(text);
    return s->text ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory for a normalizer");
}

static enum status parse_prepend(const cJSON *json, struct normalizer_stage *s, struct error *err)
{
    enum status st = copy_text(json, "prepend", s, err);
    /* The reference gives some texts their first character twice then. */
    if (st == STATUS_OK && s->text_len == 0)
        st = error_set(err, STATUS_UNSUPPORTED, "nothing to prepend: leave the component out");
    return st;
}

static enum status run_prepend(struct stage_io *io)
{
    strbuf_add(io->out, io->stage->text, io->stage->text_len);
    strbuf_add(io->out, io->in.data, io->in.len);
    if (io->head_len > 0) io->head_len += io->stage->text_len;
    return STATUS_OK;
}

static enum status parse_replace(const cJSON *json, struct normalizer_stage *s, struct error *err)
{
    enum status st = copy_text(json, "content", s, err);
    if (st != STATUS_OK) return st;
    const char *literal = cJSON_GetStringValue(json_get(json_get(json, "pattern"), "String"));
    if (literal && literal[0] == '\0') /* matches between any two characters */
        return regex_compile("(?:)", &s->pattern, err);
    return component_pattern(json, &s->pattern, err);
}

/* The reference aligns the content with the last character that it replaces. */
static enum status run_replace(struct stage_io *io)
{
    struct regex_cursor cursor = {0};
    size_t done = 0, start = 0, end = 0, head = io->head_len, head_out = 0;
    enum regex_result found;
    while ((found = regex_next(io->stage->pattern, io->scratch, io->in, &cursor, &start, &end)) ==
           REGEX_MATCH) {
        strbuf_add(io->out, io->in.data + done, start - done);
        if (done < head) head_out += (start < head ? start : head) - done;
        strbuf_add(io->out, io->stage->text, io->stage->text_len);
        if (end <= head) head_out += io->stage->text_len;
        done = end;
    }
    io->same = done == 0 && end == 0 && io->out->len == 0;
    if (!io->same) strbuf_add(io->out, io->in.data + done, io->in.len - done);
    if (done < head) head_out += head - done;
    io->head_len = head_out;
    return found == REGEX_END         ? STATUS_OK
           : found == REGEX_NO_MEMORY ? STATUS_NO_MEMORY
                                      : STATUS_INVALID;
}

static enum status parse_strip(const cJSON *json, struct normalizer_stage *s, struct error *err)
{
    enum status st = component_bool(json, "strip_left", false, &s->strip_left, err);
    return st == STATUS_OK ? component_bool(json, "strip_right", false, &s->strip_right, err) : st;
}

static enum status run_strip(struct stage_io *io)
{
    const char *data = io->in.data, *start = data, *end = start + io->in.len;
    while (io->stage->strip_left && start < end) {
        const char *next = start;
        if (!unicode_is_space(unicode_next(&next))) break;
        start = next;
    }
    while (io->stage->strip_right && start < end) {
        if (!unicode_is_space(unicode_previous(start, end))) break;
        do end--;
        while (end > start && ((uint8_t)*end & 0xC0) == 0x80);
    }
    size_t len = (size_t)(end - start), stripped = (size_t)(start - data);
    io->same = len == io->in.len;
    if (!io->same) strbuf_add(io->out, start, len);
    io->head_len = io->head_len > stripped ? io->head_len - stripped : 0;
    return STATUS_OK;
}

static const struct normalizer_kind kinds[] = {
    {"Prepend", parse_prepend, run_prepend, UNICODE_NFC},
    {"Replace", parse_replace, run_replace, UNICODE_NFC},
    {"Strip", parse_strip, run_strip, UNICODE_NFC},
    {"StripAccents", NULL, normalizer_run_strip_accents, UNICODE_NFC},
    {"Lowercase", NULL, normalizer_run_lowercase, UNICODE_NFC},
    {"NFC", NULL, normalizer_run_form, UNICODE_NFC},
    {"NFD", NULL, normalizer_run_form, UNICODE_NFD},
    {"NFKC", NULL, normalizer_run_form, UNICODE_NFKC},
    {"NFKD", NULL, normalizer_run_form, UNICODE_NFKD},
    {"Nmt", NULL, normalizer_run_nmt, UNICODE_NFC},
    {"Precompiled", normalizer_parse_precompiled, normalizer_run_precompiled, UNICODE_NFC},
    {"BertNormalizer", normalizer_parse_bert, normalizer_run_bert, UNICODE_NFC},
    {"Bert", normalizer_parse_bert, normalizer_run_bert, UNICODE_NFC},
    {"ByteLevel", NULL, normalizer_run_byte_level, UNICODE_NFC},
};

static enum status parse_stage(const cJSON *json, void *user, struct error *err)
{
    struct normalizer *n = user;
    const char *type = NULL;
    enum status st = component_type(json, "normalizer", &type, err);
    if (st != STATUS_OK) return st;
    if (n->n_stages == STAGES_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d normalizers", STAGES_MAX);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        struct normalizer_stage *s = &n->stages[n->n_stages++];
        s->kind = &kinds[i];
        st = kinds[i].parse ? kinds[i].parse(json, s, err) : STATUS_OK;
        return st == STATUS_OK ? st : error_prepend(err, "normalizer %s", type);
    }
    return component_unsupported(
        "normalizer", type,
        "Prepend, Replace, Strip, StripAccents, Lowercase, NFC, NFD, NFKC, "
        "NFKD, Nmt, Precompiled, BertNormalizer, ByteLevel, Sequence",
        err);
}

enum status normalizer_parse(const cJSON *json, struct normalizer *n, struct error *err)
{
    return component_each(json, "normalizer", "normalizers", parse_stage, n, err);
}

static void stage_free(const struct normalizer_stage *s)
{
    free(s->text);
    regex_free(s->pattern);
    if (s->free_data) s->free_data(s->data);
}

enum status normalizer_append(struct normalizer *n, const struct normalizer_stage *stage,
                              struct error *err)
{
    if (n->n_stages == STAGES_MAX) {
        stage_free(stage);
        return error_set(err, STATUS_UNSUPPORTED, "more than %d normalizers", STAGES_MAX);
    }
    n->stages[n->n_stages++] = *stage;
    return STATUS_OK;
}

void normalizer_free(struct normalizer *n)
{
    for (int i = 0; i < n->n_stages; i++) stage_free(&n->stages[i]);
    n->n_stages = 0;
}

enum status normalizer_apply(const struct normalizer *n, struct regex_scratch *scratch,
                             struct strbuf buffers[2], struct str in, struct str *out,
                             size_t *head_len)
{
    struct stage_io io = {.scratch = scratch, .in = in};
    if (in.len > 0) {
        const char *second = in.data;
        (void)unicode_next(&second);
        io.head_len = (size_t)(second - in.data);
    }
    int free_buffer = 0;
    for (int i = 0; i < n->n_stages && io.in.len > 0; i++) {
        io.out = &buffers[free_buffer];
        io.stage = &n->stages[i];
        io.same = false;
        strbuf_clear(io.out);
        enum status st = io.stage->kind->run(&io);
        if (st != STATUS_OK) return st;
        if (io.out->failed) return io.out->limit_size ? STATUS_TOO_LARGE : STATUS_NO_MEMORY;
        if (io.same) continue;
        io.in = (struct str){io.out->data ? io.out->data : "", io.out->len};
        free_buffer = 1 - free_buffer;
    }
    *out = io.in;
    *head_len = io.head_len;
    return STATUS_OK;
}
