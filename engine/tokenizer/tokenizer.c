#include "engine/tokenizer/tokenizer.h"

#include "engine/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    if (t->model) t->model->free(t->model_data);
    vocab_free(&t->vocab);
    added_tokens_free(&t->added);
    free(t->added_of_id);
    normalizer_free(&t->normalizer);
    pretokenizer_free(&t->pretokenizer);
    decoder_free(&t->decoder);
    for (int i = 0; i < SPECIAL_COUNT; i++) free(t->special_text[i]);
    cJSON_Delete(t->templates);
    free(t);
}

/* --- questions ------------------------------------------------------------------------------------------ */

static const struct added_token *added_of(const struct tokenizer *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->n_ids || t->added_of_id[id] < 0) return NULL;
    return &t->added.tokens[t->added_of_id[id]];
}

int tokenizer_vocab_size(const struct tokenizer *t)
{
    return (int)t->n_ids;
}

const char *tokenizer_id_to_token(const struct tokenizer *t, int32_t id)
{
    const struct added_token *added = added_of(t, id);
    return added ? added->content : vocab_text(&t->vocab, id).data;
}

int32_t tokenizer_token_to_id(const struct tokenizer *t, const char *token)
{
    size_t len = strlen(token);
    const struct added_token *added = added_tokens_by_content(&t->added, token, len);
    return added ? added->id : vocab_find(&t->vocab, token, len);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    const struct added_token *added = added_of(t, id);
    return added && added->special;
}

int32_t tokenizer_bos_id(const struct tokenizer *t)
{
    return t->special_id[SPECIAL_BOS];
}

int32_t tokenizer_eos_id(const struct tokenizer *t)
{
    return t->special_id[SPECIAL_EOS];
}

const char *tokenizer_bos_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_BOS];
}

const char *tokenizer_eos_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_EOS];
}

const char *tokenizer_unk_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_UNK];
}

const char *tokenizer_pad_token(const struct tokenizer *t)
{
    return t->special_text[SPECIAL_PAD];
}

const char *tokenizer_chat_template(const struct tokenizer *t, const char *name)
{
    bool is_default = !name || !strcmp(name, "default");
    if (cJSON_IsString(t->templates)) return is_default ? t->templates->valuestring : NULL;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(
        item, t->templates) if (!strcmp(json_get(item, "name")->valuestring,
                                        name ? name : "default")) return json_get(item, "template")
        ->valuestring;
    return NULL;
}

size_t tokenizer_n_chat_templates(const struct tokenizer *t)
{
    if (cJSON_IsArray(t->templates)) return (size_t)cJSON_GetArraySize(t->templates);
    return t->templates ? 1 : 0;
}

const char *tokenizer_chat_template_at(const struct tokenizer *t, size_t i, const char **name)
{
    bool named = cJSON_IsArray(t->templates);
    const cJSON *item = named ? cJSON_GetArrayItem(t->templates, (int)i) : t->templates;
    *name = named ? json_get(item, "name")->valuestring : "default";
    return named ? json_get(item, "template")->valuestring : item->valuestring;
}
