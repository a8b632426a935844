#include "engine/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

/* Parsing the chain and cutting it in two. */

/* --- the components' keys ---------------------------------------------------------------------- */

static enum status copy_string(const cJSON *json, const char *key, char **out, struct error *err)
{
    const char *text = NULL;
    enum status st = component_string(json, key, &text, err);
    if (st != STATUS_OK) return st;
    *out = strdup(text);
    return *out ? st : error_set(err, STATUS_NO_MEMORY, "out of memory for a decoder");
}

static enum status required_bool(const cJSON *json, const char *key, bool *out, struct error *err)
{
    if (!cJSON_IsBool(json_get(json, key)))
        return error_set(err, STATUS_CORRUPT, "\"%s\" must be true or false", key);
    return component_bool(json, key, false, out, err);
}

static enum status parse_nothing(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    (void)json, (void)s, (void)err;
    return STATUS_OK;
}

static enum status parse_replace(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    enum status st = copy_string(json, "content", &s->to, err);
    if (st != STATUS_OK) return st;
    const cJSON *pattern = json_get(json, "pattern");
    const cJSON *text = json_get(pattern, "String");
    if (cJSON_IsString(text) && text->valuestring[0])
        return copy_string(pattern, "String", &s->from, err);
    return component_pattern(json, &s->pattern, err);
}

static enum status parse_metaspace(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    char character[5] = "";
    enum prepend_scheme prepend = PREPEND_ALWAYS;
    bool split = false;
    enum status st = metaspace_parse(json, character, &prepend, &split, err);
    if (st != STATUS_OK) return st;
    s->keeps_blank = prepend == PREPEND_NEVER;
    s->from = strdup(character);
    return s->from ? st : error_set(err, STATUS_NO_MEMORY, "out of memory for a decoder");
}

static enum status parse_strip(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    uint32_t cp = 0;
    int64_t start = 0, stop = 0;
    enum status st = copy_string(json, "content", &s->from, err);
    if (st != STATUS_OK) return st;
    size_t len = strlen(s->from);
    if (len == 0 || utf8_decode(s->from, len, &cp) != (int)len)
        return error_set(err, STATUS_CORRUPT, "\"content\" must be one character");
    if (!json_as_i64(json_get(json, "start"), 0, INT32_MAX, &start) ||
        !json_as_i64(json_get(json, "stop"), 0, INT32_MAX, &stop))
        return error_set(err, STATUS_CORRUPT, "\"start\" and \"stop\" must be counts");
    s->start = (int32_t)start;
    s->stop = (int32_t)stop;
    return STATUS_OK;
}

static enum status parse_wordpiece(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    enum status st = copy_string(json, "prefix", &s->from, err);
    return st == STATUS_OK ? required_bool(json, "cleanup", &s->cleanup, err) : st;
}

static enum status parse_bpe(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    return copy_string(json, "suffix", &s->from, err);
}

static enum status parse_ctc(const cJSON *json, struct decoder_stage *s, struct error *err)
{
    enum status st = copy_string(json, "pad_token", &s->from, err);
    if (st == STATUS_OK) st = copy_string(json, "word_delimiter_token", &s->to, err);
    return st == STATUS_OK ? required_bool(json, "cleanup", &s->cleanup, err) : st;
}

/* --- behind the front part: steps -------------------------------------------------------------- */

/* `why` a stage has no form with a fixed state where it stands. */
static enum status refuse(const struct decoder *d, const char *why, struct error *err);

static enum status ops_replace(struct decoder *d, const struct decoder_stage *s, struct error *err)
{
    if (s->pattern) return refuse(d, "what a Regex matches depends on the whole text", err);
    return decoder_add_replace(d, str_from(s->from), str_from(s->to), str_from(s->to), err);
}

static enum status ops_metaspace(struct decoder *d, const struct decoder_stage *s,
                                 struct error *err)
{
    struct str first = s->keeps_blank ? STR(" ") : STR("");
    return decoder_add_replace(d, str_from(s->from), STR(" "), first, err);
}

static enum status ops_strip(struct decoder *d, const struct decoder_stage *s, struct error *err)
{
    struct decoder_op op = {.type = OP_STRIP, .from = str_from(s->from)};
    op.start = s->start;
    op.stop = s->stop;
    return decoder_add_op(d, op, err);
}

static enum status ops_wordpiece(struct decoder *d, const struct decoder_stage *s,
                                 struct error *err)
{
    enum status st = STATUS_OK;
    if (!d->joined_of) /* a single token is the first one */
        st = decoder_add_op(d, (struct decoder_op){.type = OP_WORDPIECE, .from = str_from(s->from)},
                            err);
    return st == STATUS_OK && s->cleanup ? decoder_add_cleanup(d, err) : st;
}

static enum status ops_bpe(struct decoder *d, const struct decoder_stage *s, struct error *err)
{
    if (!d->joined_of) return refuse(d, "whether a token is the last one is known too late", err);
    if (!s->from[0]) return STATUS_OK;
    return decoder_add_replace(d, str_from(s->from), STR(""), STR(""), err); /* it is the last */
}

static enum status ops_ctc(struct decoder *d, const struct decoder_stage *s, struct error *err)
{
    enum status st = STATUS_OK;
    if (!d->joined_of) { /* a single token repeats nothing */
        if (d->tokens_of)
            return refuse(d, "tokens that were changed as they came cannot be compared", err);
        d->merges_repeats = true;
        d->tokens_of = s->kind->type;
    }
    if (s->from[0]) st = decoder_add_replace(d, str_from(s->from), STR(""), STR(""), err);
    if (st == STATUS_OK && s->cleanup) st = decoder_add_cleanup(d, err);
    if (st == STATUS_OK && s->cleanup)
        st = decoder_add_replace(d, str_from(s->to), STR(" "), STR(" "), err);
    if (st != STATUS_OK) return st;
    return decoder_add_op(d, (struct decoder_op){.type = OP_DROP_EMPTY}, err);
}

static enum status ops_fallback(struct decoder *d, const struct decoder_stage *s, struct error *err)
{
    for (int i = 0; !d->joined_of && i < d->n_ops; i++)
        if (d->ops[i].type == OP_FALLBACK)
            return refuse(d, "one run of bytes at a time can be held back", err);
    d->tokens_of = s->kind->type;
    return decoder_add_op(d, (struct decoder_op){.type = OP_FALLBACK}, err);
}

static enum status ops_fuse(struct decoder *d, const struct decoder_stage *s, struct error *err)
{
    if (d->joined_of) return STATUS_OK;
    enum status st = decoder_add_op(d, (struct decoder_op){.type = OP_FUSE}, err);
    d->joined_of = d->tokens_of = s->kind->type;
    return st;
}

static enum status ops_byte_level(struct decoder *d, const struct decoder_stage *s,
                                  struct error *err)
{
    if (d->tokens_of)
        return refuse(d, "whether all characters of a token are bytes is known too late", err);
    enum status st = decoder_add_op(d, (struct decoder_op){.type = OP_LOSSY}, err);
    d->joined_of = d->tokens_of = s->kind->type;
    return st;
}

/* --- the chain ----------------------------------------------------------------------------------- */

/* With both a `run` and `add_ops`, a stage is in the tables as long as all before it are; ByteLevel
 * is on both sides: characters to bytes in the tables, bytes to text as they arrive. */
static const struct decoder_kind kinds[] = {
    {"ByteLevel", parse_nothing, decoder_run_byte_level, 0, ops_byte_level},
    {"ByteFallback", parse_nothing, NULL, 0, ops_fallback},
    {"Fuse", parse_nothing, NULL, 0, ops_fuse},
    {"Replace", parse_replace, decoder_run_replace, 0, ops_replace},
    {"Metaspace", parse_metaspace, decoder_run_metaspace, POSITION_FIRST, ops_metaspace},
    {"Strip", parse_strip, decoder_run_strip, 0, ops_strip},
    {"WordPiece", parse_wordpiece, decoder_run_wordpiece, POSITION_FIRST, ops_wordpiece},
    {"BPEDecoder", parse_bpe, decoder_run_bpe, POSITION_LAST, ops_bpe},
    {"CTC", parse_ctc, NULL, 0, ops_ctc},
};
/* Without a decoder tokens are joined by blanks. */
static const struct decoder_kind no_decoder = {"(none)", parse_nothing, decoder_run_blank,
                                               POSITION_FIRST, NULL};

static enum status refuse(const struct decoder *d, const char *why, struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED,
                     "not supported after %s: %s, and text is sent as it arrives",
                     d->joined_of ? d->joined_of : d->tokens_of, why);
}

static enum status place(struct decoder *d, struct decoder_stage *s, struct error *err)
{
    if (d->tokens_of || !s->kind->run) return s->kind->add_ops(d, s, err);
    d->n_prefix++;
    d->by_first |= (s->kind->positions & POSITION_FIRST) != 0;
    d->by_last |= (s->kind->positions & POSITION_LAST) != 0;
    return s->kind->run == decoder_run_byte_level ? s->kind->add_ops(d, s, err) : STATUS_OK;
}

static enum status parse_one(const cJSON *json, void *user, struct error *err)
{
    struct decoder *d = user;
    const char *type = NULL;
    enum status st = component_type(json, "decoder", &type, err);
    if (st != STATUS_OK) return st;
    const struct decoder_kind *kind = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(kinds[i].type, type)) kind = &kinds[i];
    if (!kind)
        return component_unsupported("decoder", type,
                                     "ByteLevel, ByteFallback, Fuse, Replace, Metaspace, Strip, "
                                     "WordPiece, BPEDecoder, CTC, Sequence",
                                     err);
    if (d->n_stages == STAGES_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d decoders", STAGES_MAX);
    struct decoder_stage *s = &d->stages[d->n_stages++]; /* freed with the rest on failure */
    s->kind = kind;
    st = kind->parse(json, s, err);
    if (st == STATUS_OK) st = place(d, s, err);
    return st == STATUS_OK ? st : error_prepend(err, "decoder %s", type);
}

/* Chains whose steps let most tokens through as they are once nothing is held back. */
static bool can_be_quiet(const struct decoder *d)
{
    if (d->by_last || d->merges_repeats) return false;
    for (int i = 0; i < d->n_ops; i++) {
        const struct decoder_op *op = &d->ops[i];
        bool quiet = op->type == OP_FUSE || op->type == OP_LOSSY ||
                     (op->type == OP_FALLBACK && i == 0) ||
                     (op->type == OP_STRIP && op->joined && op->stop == 0);
        if (!quiet) return false;
    }
    return true;
}

enum status decoder_parse(const cJSON *json, struct decoder *d, struct error *err)
{
    d->growth = 1;
    if (!json || cJSON_IsNull(json)) {
        d->stages[d->n_stages++].kind = &no_decoder;
        d->can_be_quiet = true;
        return place(d, &d->stages[0], err);
    }
    enum status st = component_each(json, "decoder", "decoders", parse_one, d, err);
    d->can_be_quiet = can_be_quiet(d);
    return st;
}

void decoder_free(struct decoder *d)
{
    for (int i = 0; i < d->n_stages; i++) {
        regex_free(d->stages[i].pattern);
        free(d->stages[i].from);
        free(d->stages[i].to);
    }
    decoder_ops_free(d);
    for (int i = 0; i < POSITION_COUNT; i++) {
        strbuf_free(&d->tables[i].bytes);
        free(d->tables[i].offsets);
    }
    free(d->flags);
    *d = (struct decoder){0};
}
