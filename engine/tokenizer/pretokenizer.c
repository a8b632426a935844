#include "engine/tokenizer/pretokenizer_cut.h"
#include "engine/tokenizer/unicode.h"

#include <string.h>

static const struct pretokenizer_kind kinds[] = {
    {"ByteLevel", pretokenizer_parse_byte_level, pretokenizer_run_byte_level},
    {"Split", pretokenizer_parse_split, pretokenizer_run_split},
    {"Metaspace", pretokenizer_parse_metaspace, pretokenizer_run_metaspace},
    {"Digits", pretokenizer_parse_digits, pretokenizer_run_flag},
    {"Punctuation", pretokenizer_parse_punctuation, pretokenizer_run_flag},
    {"WhitespaceSplit", pretokenizer_parse_whitespace_split, pretokenizer_run_flag},
    {"Whitespace", NULL, pretokenizer_run_whitespace},
    {"BertPreTokenizer", NULL, pretokenizer_run_bert},
    {"UnicodeScripts", NULL, pretokenizer_run_scripts},
    {"CharDelimiterSplit", pretokenizer_parse_delimiter, pretokenizer_run_delimiter},
    {"FixedLength", pretokenizer_parse_fixed_length, pretokenizer_run_fixed_length},
};

static enum status parse_stage(const cJSON *json, void *user, struct error *err)
{
    struct pretokenizer *p = user;
    const char *type = NULL;
    enum status st = component_type(json, "pre_tokenizer", &type, err);
    if (st != STATUS_OK) return st;
    if (p->n_stages == STAGES_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d pre-tokenizers", STAGES_MAX);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        struct pretokenizer_stage *s = &p->stages[p->n_stages++];
        s->kind = &kinds[i];
        st = kinds[i].parse ? kinds[i].parse(json, s, err) : STATUS_OK;
        return st == STATUS_OK ? st : error_prepend(err, "pre_tokenizer %s", type);
    }
    return component_unsupported("pre_tokenizer", type,
                                 "ByteLevel, Split, Metaspace, Digits, Punctuation, Whitespace, "
                                 "WhitespaceSplit, BertPreTokenizer, UnicodeScripts, "
                                 "CharDelimiterSplit, FixedLength, Sequence",
                                 err);
}

enum status pretokenizer_parse(const cJSON *json, struct pretokenizer *p, struct error *err)
{
    enum status st = component_each(json, "pre_tokenizer", "pretokenizers", parse_stage, p, err);
    p->n_run = p->n_stages;
    return st;
}

bool pretokenizer_ends_in_bytes(const struct pretokenizer *p)
{
    return p->n_stages > 0 && p->stages[p->n_stages - 1].kind->run == pretokenizer_run_byte_level;
}

void pretokenizer_leave_bytes(struct pretokenizer *p)
{
    const struct pretokenizer_stage *last = &p->stages[p->n_stages - 1];
    p->leaves_bytes = true;
    p->n_run = p->n_stages - (!last->use_regex && !last->add_prefix_space);
}

void pretokenizer_free(struct pretokenizer *p)
{
    for (int i = 0; i < p->n_stages; i++) regex_free(p->stages[i].pattern);
    p->n_stages = 0;
}

bool pretokenizer_run(struct encoder *e, int stage, struct piece piece)
{
    if (piece.text.len == 0) return true;
    if (stage >= e->t->pretokenizer.n_run) return e->t->model->encode(e, piece.text);
    return e->t->pretokenizer.stages[stage].kind->run(e, stage, piece);
}
