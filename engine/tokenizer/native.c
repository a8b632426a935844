#include "config/base/check.h"
#include "config/base/file.h"
#include "config/limits.h"
#include "engine/tokenizer/internal.h"
#include "engine/tokenizer/load.h"
#include "engine/tokenizer/sentencepiece.h"
#include "engine/tokenizer/tiktoken.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Directories without tokenizer.json: which file counts, and the tokens that the configuration
 * adds to it. */

#define NATIVE_SIZE_MAX (64u << 20) /* the largest published file has 7 MB */

/* --- classes ---------------------------------------------------------------------------------------------- */

/* Classes of transformers that number the pieces of a SentencePiece file in their own way, or add
 * tokens that only their code knows. */
static const char *const refused_classes[] = {
    "XLMRobertaTokenizer", "XGLMTokenizer",        "MBartTokenizer",       "MBart50Tokenizer",
    "NllbTokenizer",       "CamembertTokenizer",   "BarthezTokenizer",     "PegasusTokenizer",
    "M2M100Tokenizer",     "DebertaV2Tokenizer",   "XLNetTokenizer",       "AlbertTokenizer",
    "MarianTokenizer",     "SeamlessM4TTokenizer", "ChatGLMTokenizer",     "BigBirdTokenizer",
    "FNetTokenizer",       "RemBertTokenizer",     "CpmTokenizer",         "BartphoTokenizer",
    "LayoutXLMTokenizer",  "PLBartTokenizer",      "Speech2TextTokenizer", "UdopTokenizer"};

static bool is_class(const char *class, const char *name)
{
    size_t len = strlen(name);
    return class && !strncmp(class, name, len) && (!class[len] || !strcmp(class + len, "Fast"));
}

static enum status check_class(const char *class, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(refused_classes); i++)
        if (is_class(class, refused_classes[i]))
            return error_set(err, STATUS_UNSUPPORTED,
                             "the tokenizer_class \"%.80s\" has tokens that the file does not "
                             "have; save a tokenizer.json with transformers' "
                             "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
                             class);
    return STATUS_OK;
}

/* --- tokens ------------------------------------------------------------------------------------------------- */

static enum status put(struct tokenizer *t, int32_t id, const char *text, bool special,
                       struct error *err)
{
    struct added_token token = {
        .id = id, .content = (char *)text, .content_len = strlen(text), .special = special};
    return added_tokens_put(t, &token, err); /* which copies the text */
}

struct listed {
    int32_t id;
    const char *text;
};

static int by_id(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

/* added_tokens.json, {"text": id}; transformers passes it over beside "added_tokens_decoder". */
static enum status add_listed(struct tokenizer *t, const struct token_files *files,
                              struct error *err)
{
    const cJSON *item = NULL;
    if (!files->added || json_get(files->config, "added_tokens_decoder")) return STATUS_OK;
    if (!cJSON_IsObject(files->added))
        return error_set(err, STATUS_CORRUPT, "the file must hold an object");
    size_t n = 0, cap = (size_t)cJSON_GetArraySize(files->added);
    struct listed *list = malloc((cap + 1) * sizeof(*list));
    if (!list) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status st = STATUS_OK;
    cJSON_ArrayForEach(item, files->added)
    {
        int64_t id = 0;
        if (json_as_i64(item, 0, LIMIT_VOCAB - 1, &id) && item->string[0]) {
            list[n++] = (struct listed){(int32_t)id, item->string};
            continue;
        }
        st = error_set(err, STATUS_CORRUPT, "\"%.80s\" must have an id from 0 to %d", item->string,
                       LIMIT_VOCAB - 1);
        break;
    }
    qsort(list, n, sizeof(*list), by_id); /* in the order of their ids, as they are given out */
    for (size_t i = 0; st == STATUS_OK && i < n; i++)
        st = put(t, list[i].id, list[i].text, false, err);
    free(list);
    return st;
}

static enum status add_tokens(struct tokenizer *t, const struct token_files *files,
                              struct error *err)
{
    enum status st = add_listed(t, files, err);
    if (st != STATUS_OK) return error_prepend(err, "added_tokens.json");
    st = special_tokens_add(t, files->config, files->map, err);
    if (st != STATUS_OK) return error_prepend(err, "tokenizer_config.json");
    for (size_t i = 0; i < t->added.n_tokens; i++) { /* in the text as it is */
        t->added.tokens[i].normalized = false;
        t->added.tokens[i].searches = SEARCH_RAW;
    }
    return STATUS_OK;
}

/* --- SentencePiece ------------------------------------------------------------------------------------------ */

/* A special token that no JSON file names is the one that the model file names. */
static enum status name_default(struct token_files *files, const struct tokenizer *t,
                                const char *key, int32_t id, struct error *err)
{
    const char *text = vocab_text(&t->vocab, id).data;
    bool map_counts = !json_get(files->config, "added_tokens_decoder");
    bool named = json_get(files->config, key) || (map_counts && json_get(files->map, key));
    if (!text || named) return STATUS_OK;
    if (!files->config) files->config = cJSON_CreateObject();
    return cJSON_AddStringToObject(files->config, key, text)
               ? STATUS_OK
               : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static enum status name_defaults(struct token_files *files, const struct tokenizer *t,
                                 const struct sentencepiece *m, struct error *err)
{
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"bos_token", m->bos_id}, {"eos_token", m->eos_id}, {"unk_token", m->unk_id}};
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < ARRAY_LEN(ids); i++) {
        int32_t id = ids[i].id;
        bool named = id >= 0 && (size_t)id < m->n_pieces &&
                     (m->types[id] == PIECE_CONTROL || m->types[id] == PIECE_UNKNOWN);
        if (named) st = name_default(files, t, ids[i].key, id, err);
    }
    return st;
}

/* A piece that is a special token is never made of plain text, not even where the model file has
 * it as a user-defined symbol. */
static void settle_types(const struct tokenizer *t, struct sentencepiece *m)
{
    for (size_t i = 0; i < t->added.n_tokens; i++) {
        const struct added_token *token = &t->added.tokens[i];
        bool is_piece = (size_t)token->id < m->n_pieces;
        if (token->special && is_piece && m->types[token->id] == PIECE_USER_DEFINED)
            m->types[token->id] = PIECE_CONTROL;
    }
}

static enum status add_eos(struct tokenizer *t, const struct token_files *files, struct error *err)
{
    int32_t id = tokenizer_token_to_id(t, t->special_text[SPECIAL_EOS]);
    if (json_get(files->config, "add_eos_token")) return STATUS_OK;
    if (id < 0)
        return error_set(err, STATUS_CORRUPT,
                         "T5Tokenizer ends texts with eos_token, which has "
                         "no id");
    t->postprocessor.after[t->postprocessor.n_after++] = id;
    return STATUS_OK;
}

static enum status create_sentencepiece(struct str file, const char *name,
                                        struct token_files *files, struct tokenizer *t,
                                        struct error *err)
{
    struct sentencepiece m = {0};
    const char *class = cJSON_GetStringValue(json_get(files->config, "tokenizer_class"));
    bool t5 = is_class(class, "T5Tokenizer");
    enum status st = check_class(class, err);
    if (st != STATUS_OK) return error_prepend(err, "%s", name);
    st = sentencepiece_read(file, t, &m, err);
    if (st == STATUS_OK) st = tokenizer_reserve_ids(t, err);
    for (size_t i = 0; st == STATUS_OK && i < m.n_pieces; i++)
        if (m.types[i] == PIECE_CONTROL)
            st = put(t, (int32_t)i, vocab_text(&t->vocab, (int64_t)i).data, true, err);
    if (st == STATUS_OK) st = name_defaults(files, t, &m, err);
    if (st != STATUS_OK) {
        st = error_prepend(err, "%s", name);
        goto out;
    }
    st = add_tokens(t, files, err);
    if (st != STATUS_OK) goto out;
    settle_types(t, &m);
    st = sentencepiece_build(t, &m, files->config, t5, err);
    if (st == STATUS_OK && t5) st = add_eos(t, files, err);
    if (st != STATUS_OK) st = error_prepend(err, "%s", name);
out:
    sentencepiece_free(&m);
    return st;
}

/* --- files ---------------------------------------------------------------------------------------------------- */

static enum status create_tiktoken(struct str file, const char *name, struct token_files *files,
                                   struct tokenizer *t, struct error *err)
{
    enum status st = tiktoken_create(file, name, files, t, err);
    if (st != STATUS_OK) return error_prepend(err, "%s", name);
    return add_tokens(t, files, err);
}

enum status tokenizer_parse_native(struct str file, const char *name, struct token_files *files,
                                   struct tokenizer **out, struct error *err)
{
    struct error own = {0};
    if (!err) err = &own;
    *out = NULL;
    struct tokenizer *t = calloc(1, sizeof(*t));
    if (!t) return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokenizer");
    bool ranks = tiktoken_is_rank_file(file);
    enum status st = ranks ? create_tiktoken(file, name, files, t, err)
                           : create_sentencepiece(file, name, files, t, err);
    if (st == STATUS_OK) st = tokenizer_finish(t, name, files->config, err);
    if (st == STATUS_OK && ranks) {
        st = tiktoken_check(t, err);
        if (st != STATUS_OK) st = error_prepend(err, "%s", name);
    }
    if (st == STATUS_OK) {
        *out = t;
        t = NULL;
    }
    tokenizer_free(t);
    return st;
}

static bool ends_in(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len > end_len && !strcmp(name + len - end_len, end);
}

/* The directory's one *.tiktoken: its name into found, "" when there is none. */
static enum status find_tiktoken(const char *dir, char *found, size_t found_size, struct error *err)
{
    found[0] = '\0';
    DIR *d = opendir(dir);
    if (!d) return STATUS_OK; /* the caller says what is missing */
    enum status st = STATUS_OK;
    for (const struct dirent *entry; st == STATUS_OK && (entry = readdir(d));) {
        if (!ends_in(entry->d_name, ".tiktoken") || strlen(entry->d_name) >= found_size) continue;
        if (found[0])
            st = error_set(err, STATUS_INVALID,
                           "%s has both %s and %s and no tokenizer.json: leave one of them", dir,
                           found, entry->d_name);
        else
            snprintf(found, found_size, "%s", entry->d_name);
    }
    closedir(d);
    return st;
}

/* What stands in the directory instead, for the message. */
static enum status refuse_missing(const char *dir, struct error *err)
{
    static const char *const others[] = {"vocab.json", "vocab.txt", "sentencepiece.bpe.model",
                                         "spm.model", "tekken.json"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char path[4096];
        if (path_join(path, sizeof(path), dir, others[i], NULL) == STATUS_OK && file_exists(path))
            return error_set(err, STATUS_NOT_FOUND,
                             "%s has no tokenizer.json, only %s: save it once with transformers' "
                             "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
                             dir, others[i]);
    }
    return error_set(err, STATUS_NOT_FOUND,
                     "%s has neither tokenizer.json nor tokenizer.model, spiece.model, "
                     "tiktoken.model or *.tiktoken: give the directory that has the tokenizer's "
                     "files",
                     dir);
}

enum status tokenizer_load_native(const char *dir, struct token_files *files,
                                  struct tokenizer **out, struct error *err)
{
    static const char *const names[] = {"tokenizer.model", "spiece.model", "tiktoken.model"};
    char found[256], path[4096];
    const char *name = NULL;
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && !name && i < ARRAY_LEN(names); i++) {
        st = path_join(path, sizeof(path), dir, names[i], err);
        if (st == STATUS_OK && file_exists(path)) name = names[i];
    }
    if (st == STATUS_OK && !name) {
        st = find_tiktoken(dir, found, sizeof(found), err);
        if (st == STATUS_OK && found[0]) name = found;
    }
    if (st != STATUS_OK) return st;
    if (!name) return refuse_missing(dir, err);
    char *data = NULL;
    size_t len = 0;
    st = path_join(path, sizeof(path), dir, name, err);
    if (st == STATUS_OK) st = file_read(path, NATIVE_SIZE_MAX, &data, &len, err);
    if (st == STATUS_OK) st = file_check_download(path, data, len, err);
    if (st == STATUS_OK) {
        st = tokenizer_parse_native((struct str){data, len}, name, files, out, err);
        if (st != STATUS_OK) st = error_prepend(err, "%s", dir);
    }
    free(data);
    return st;
}
