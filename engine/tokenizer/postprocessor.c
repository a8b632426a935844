#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <string.h>

/* As in Hugging Face's tokenizers a processor takes a list of parts and gives one: at first there
 * is one part, the text.  BertProcessing and RobertaProcessing put ids into the parts,
 * TemplateProcessing makes a part of each of its pieces.  So of two in a Sequence the second may
 * see a pair where there was one text.  The list is made once with the text as a place holder, and
 * once more without special tokens. */

#define TEXT      (-1)
#define PARTS_MAX 64
#define ITEMS_MAX (POST_IDS_MAX + 1)

struct parts {
    int32_t items[ITEMS_MAX]; /* ids and TEXT */
    int ends[PARTS_MAX];      /* of each part in items */
    int n_items, n_parts;
};
struct processors {
    struct parts parts; /* what the processors so far give */
    bool add_special;
};

static enum status add_item(struct parts *p, int32_t item, struct error *err)
{
    if (p->n_items == ITEMS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d tokens around a text",
                         POST_IDS_MAX);
    p->items[p->n_items++] = item;
    return STATUS_OK;
}

static enum status add_id(struct parts *p, const cJSON *id, struct error *err)
{
    int64_t value = 0;
    if (!json_as_i64(id, 0, LIMIT_VOCAB - 1, &value))
        return error_set(err, STATUS_CORRUPT, "a token id must be an integer from 0 to %d",
                         LIMIT_VOCAB - 1);
    return add_item(p, (int32_t)value, err);
}

static enum status add_part(struct parts *to, const struct parts *from, int part, struct error *err)
{
    for (int i = part > 0 ? from->ends[part - 1] : 0; i < from->ends[part]; i++) {
        enum status st = add_item(to, from->items[i], err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static enum status end_part(struct parts *p, struct error *err)
{
    if (p->n_parts == PARTS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d pieces around a text", PARTS_MAX);
    p->ends[p->n_parts++] = p->n_items;
    return STATUS_OK;
}

/* {"SpecialToken": {"id": "<s>"}} */
static enum status add_special(struct parts *to, const cJSON *specials, const char *id,
                               struct error *err)
{
    const cJSON *token = json_get(specials, id), *one = NULL;
    const cJSON *ids = cJSON_IsObject(token) ? json_get(token, "ids") : NULL;
    if (!cJSON_IsArray(ids))
        return error_set(err, STATUS_CORRUPT, "\"special_tokens\" lacks \"%.80s\"", id);
    cJSON_ArrayForEach(one, ids)
    {
        enum status st = add_id(to, one, err);
        if (st != STATUS_OK) return st;
    }
    return end_part(to, err);
}

/* {"Sequence": {"id": "A"}} */
static enum status add_sequence(struct parts *to, const struct parts *from, const char *id,
                                struct error *err)
{
    int part = !strcmp(id, "A") ? 0 : !strcmp(id, "B") ? 1 : -1;
    if (part < 0)
        return error_set(err, STATUS_CORRUPT, "the sequence \"%.80s\" is neither A nor B", id);
    if (part >= from->n_parts)
        return error_set(err, STATUS_UNSUPPORTED, "\"single\" has a sequence B: that needs a pair");
    enum status st = add_part(to, from, part, err);
    return st == STATUS_OK ? end_part(to, err) : st;
}

static enum status run_template(const cJSON *json, const struct parts *from, bool specials_too,
                                struct parts *to, struct error *err)
{
    if (from->n_parts != 1 && from->n_parts != 2)
        return error_set(err, STATUS_UNSUPPORTED,
                         "it follows one that leaves %d pieces; a template takes one or two",
                         from->n_parts);
    const char *key = from->n_parts == 1 ? "single" : "pair";
    const cJSON *pieces = json_get(json, key), *specials = json_get(json, "special_tokens");
    const cJSON *piece = NULL;
    if (!cJSON_IsArray(pieces) || !cJSON_IsObject(specials))
        return error_set(err, STATUS_CORRUPT, "needs \"%s\" and \"special_tokens\"", key);
    cJSON_ArrayForEach(piece, pieces)
    {
        const cJSON *sequence = cJSON_IsObject(piece) ? json_get(piece, "Sequence") : NULL;
        const cJSON *special = cJSON_IsObject(piece) ? json_get(piece, "SpecialToken") : NULL;
        const char *id = cJSON_GetStringValue(json_get(sequence ? sequence : special, "id"));
        if (!id) return error_set(err, STATUS_CORRUPT, "\"%s\" has a piece of unknown form", key);
        if (!sequence && !specials_too) continue;
        enum status st =
            sequence ? add_sequence(to, from, id, err) : add_special(to, specials, id, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* BertProcessing: cls A sep, B sep; RobertaProcessing: cls A sep, sep B sep; each token as
 * ["[CLS]", 101]. */
static enum status run_cls_sep(const cJSON *json, bool is_roberta, const struct parts *from,
                               struct parts *to, struct error *err)
{
    const cJSON *tokens[2] = {json_get(json, "cls"), json_get(json, "sep")};
    for (int i = 0; i < 2; i++) {
        if (!cJSON_IsArray(tokens[i]) || !tokens[i]->child)
            return error_set(err, STATUS_CORRUPT, "needs \"cls\" and \"sep\" as [token, id]");
        tokens[i] = tokens[i]->child->next;
    }
    enum status st = STATUS_OK;
    for (int i = 0; i < from->n_parts && st == STATUS_OK; i++) {
        if (i == 0 || is_roberta) st = add_id(to, tokens[i > 0], err);
        if (st == STATUS_OK) st = add_part(to, from, i, err);
        if (st == STATUS_OK) st = add_id(to, tokens[1], err);
        if (st == STATUS_OK) st = end_part(to, err);
    }
    return st;
}

enum kind { TEMPLATE, BYTE_LEVEL, BERT, ROBERTA };
static const struct {
    const char *type;
    enum kind kind;
} kinds[] = {
    {"TemplateProcessing", TEMPLATE},
    {"ByteLevel", BYTE_LEVEL}, /* changes offsets only */
    {"BertProcessing", BERT},
    {"RobertaProcessing", ROBERTA},
};

static enum status run_one(const cJSON *json, void *user, struct error *err)
{
    struct processors *p = user;
    struct parts out = {0};
    const char *type = NULL;
    size_t i = 0, n = sizeof(kinds) / sizeof(kinds[0]);
    enum status st = component_type(json, "post_processor", &type, err);
    if (st != STATUS_OK) return st;
    while (i < n && strcmp(kinds[i].type, type) != 0) i++;
    if (i == n)
        return component_unsupported(
            "post_processor", type,
            "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence", err);
    if (kinds[i].kind == BYTE_LEVEL) return STATUS_OK;
    if (kinds[i].kind == TEMPLATE)
        st = run_template(json, &p->parts, p->add_special, &out, err);
    else if (p->add_special)
        st = run_cls_sep(json, kinds[i].kind == ROBERTA, &p->parts, &out, err);
    else
        return STATUS_OK;
    if (st != STATUS_OK) return error_prepend(err, "post_processor %s", type);
    p->parts = out;
    return STATUS_OK;
}

/* The parts around the text, which must be there once. */
static enum status settle(struct postprocessor *p, const struct processors *run, struct error *err)
{
    const struct parts *parts = &run->parts;
    int n_texts = 0, at = 0;
    for (int i = 0; i < parts->n_items; i++) {
        if (parts->items[i] != TEXT) continue;
        n_texts++;
        at = i;
    }
    if (n_texts != 1)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the post_processor gives the text %d times%s; only once is supported",
                         n_texts, run->add_special ? "" : " when no special tokens are wanted");
    p->n_before = at;
    p->n_after = parts->n_items - at - 1;
    memcpy(p->before, parts->items, (size_t)p->n_before * sizeof(*p->before));
    memcpy(p->after, parts->items + at + 1, (size_t)p->n_after * sizeof(*p->after));
    return STATUS_OK;
}

enum status postprocessor_parse(const cJSON *json, struct postprocessor *p, struct error *err)
{
    for (int add_special = 0; add_special < 2; add_special++) {
        struct processors run = {.add_special = add_special};
        run.parts.items[0] = TEXT;
        run.parts.ends[0] = run.parts.n_items = run.parts.n_parts = 1;
        enum status st = component_each(json, "post_processor", "processors", run_one, &run, err);
        if (st == STATUS_OK) st = settle(p, &run, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}
