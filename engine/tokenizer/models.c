#include "config/base/check.h"
#include "config/base/json_reader.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"

#include <string.h>

/* The model types, and what they have in common. */

static const struct model_kind *const models[] = {&model_bpe, &model_wordpiece, &model_wordlevel,
                                                  &model_unigram};

bool model_as_limit(const cJSON *item, size_t *out)
{
    int64_t value = 0;
    *out = SIZE_MAX;
    if (cJSON_IsNumber(item) && item->valuedouble >= 0x1p53) return true;
    if (!json_as_i64(item, 0, INT64_MAX, &value)) return false;
    *out = (size_t)value;
    return true;
}

/* What a part that is kept as text begins with; '\0': it is absent. */
static char opening(const cJSON *item)
{
    struct str text = json_raw_text(item);
    if (text.len == 0) return '\0';
    return text.data[0];
}

/* Files of the first versions have no "type": Hugging Face's reader takes the first model that the
 * members fit.  NULL: they fit none. */
static const char *type_by_shape(const cJSON *json)
{
    char vocab = opening(json_get(json, "vocab"));
    if (vocab == '[') return "Unigram";
    size_t limit = 0;
    if (vocab != '{') return NULL;
    if (opening(json_get(json, "merges")) == '[') return "BPE";
    if (!cJSON_IsString(json_get(json, "unk_token"))) return NULL;
    bool is_wordpiece = cJSON_IsString(json_get(json, "continuing_subword_prefix")) &&
                        model_as_limit(json_get(json, "max_input_chars_per_word"), &limit);
    return is_wordpiece ? "WordPiece" : "WordLevel";
}

enum status model_parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    if (!cJSON_IsObject(json)) return error_set(err, STATUS_CORRUPT, "\"model\" must be an object");
    const char *type = NULL;
    if (!json_get(json, "type")) {
        type = type_by_shape(json);
        if (!type)
            return error_set(err, STATUS_CORRUPT,
                             "the model has no \"type\" and the members of none");
    }
    enum status st = type ? STATUS_OK : component_type(json, "model", &type, err);
    if (st != STATUS_OK) return st;
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        if (strcmp(models[i]->type, type) != 0) continue;
        t->model = models[i];
        st = t->model->parse(json, t, err);
        return st == STATUS_OK ? st : error_prepend(err, "model");
    }
    return component_unsupported("model", type, "BPE, WordPiece, WordLevel, Unigram", err);
}

/* The ids, before the tokens can be kept: how many there are and the highest. */
static enum status count_ids(struct str text, size_t *n_tokens, int64_t *highest, struct error *err)
{
    struct json_reader r;
    struct str key;
    enum status st = STATUS_OK;
    int64_t id = 0;
    *n_tokens = 0;
    *highest = -1;
    json_reader_init(&r, text);
    if (!json_enter(&r, '{')) st = error_set(err, STATUS_CORRUPT, "\"vocab\" must be an object");
    while (st == STATUS_OK && json_next_member(&r, &key)) {
        if (!json_value_i64(json_value(&r), 0, LIMIT_VOCAB - 1, &id))
            st = error_set(err, STATUS_CORRUPT,
                           "the id of token \"%.*s\" must be an integer from 0 to %d",
                           (int)(key.len < 80 ? key.len : 80), key.data, LIMIT_VOCAB - 1);
        if (id > *highest) *highest = id;
        ++*n_tokens;
    }
    json_reader_free(&r);
    return st;
}

enum status model_parse_vocab(const cJSON *json, struct vocab *v, struct error *err)
{
    size_t n_tokens = 0;
    int64_t highest = -1, id = 0;
    struct str text = json_raw_text(json), key;
    enum status st = count_ids(text, &n_tokens, &highest, err);
    if (st != STATUS_OK) return st;
    size_t n_ids = (size_t)(highest + 1);
    if (n_tokens > n_ids)
        return error_set(err, STATUS_CORRUPT, "\"vocab\" gives one id to two tokens");
    st = vocab_init(v, n_ids, n_tokens, err);
    struct json_reader r;
    json_reader_init(&r, text);
    (void)json_enter(&r, '{');
    int64_t ahead[WORDS_AHEAD]; /* ids whose text is kept, to be linked */
    size_t n_kept = 0, n_linked = 0;
    while (st == STATUS_OK && json_next_member(&r, &key)) {
        if (!json_value_i64(json_value(&r), 0, LIMIT_VOCAB - 1, &id)) continue; /* were counted */
        if (n_kept - n_linked == WORDS_AHEAD)
            st = vocab_link(v, ahead[n_linked++ % WORDS_AHEAD], err);
        if (st == STATUS_OK) st = vocab_keep(v, id, key.data, key.len, err);
        ahead[n_kept++ % WORDS_AHEAD] = id;
    }
    while (st == STATUS_OK && n_linked < n_kept)
        st = vocab_link(v, ahead[n_linked++ % WORDS_AHEAD], err);
    json_reader_free(&r);
    return st;
}
