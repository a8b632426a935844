#include "server/load_text.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "config/base/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum status check_dir(const char *dir, const char *holds, struct error *err)
{
    struct stat st;
    if (stat(dir, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set_param(err, STATUS_NOT_FOUND, "model", "%s: no such directory", dir);
    if (stat(dir, &st) != 0)
        return error_set_param(err, STATUS_IO, "model", "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set_param(err, STATUS_INVALID, "model",
                               "%s is not a directory: give the directory that holds %s", dir,
                               holds);
    return STATUS_OK;
}

enum status load_text(const struct options *o, struct loaded_text *out, struct error *err)
{
    *out = (struct loaded_text){0};
    uint64_t t0 = clock_now_us();
    if (o->tokenizer && check_dir(o->tokenizer, "the tokenizer's files", err) != STATUS_OK)
        return error_prepend(err, "--tokenizer");
    enum status st = tokenizer_load(o->tokenizer ? o->tokenizer : o->model, &out->tokenizer, err);
    uint64_t t1 = clock_now_us();
    if (st == STATUS_OK) st = chat_templates_load(o, out->tokenizer, &out->chat_templates, err);
    uint64_t t2 = clock_now_us();
    if (st != STATUS_OK) {
        loaded_text_free(out);
        return st;
    }
    out->tokenizer_s = (double)(t1 - t0) / 1e6;
    out->templates_s = (double)(t2 - t1) / 1e6;
    return STATUS_OK;
}

void loaded_text_free(struct loaded_text *t)
{
    chat_templates_free(t->chat_templates);
    tokenizer_free(t->tokenizer);
    t->chat_templates = NULL;
    t->tokenizer = NULL;
}

/* --- lengths without an engine --------------------------------------------------------------- */

/* A key of config.json, or of the part that several families keep their text model's keys in.
 * What is no number is refused: the length would silently be another than was meant. */
static enum status find_length(const cJSON *root, const char *key, int64_t max, int *out,
                               struct error *err)
{
    const cJSON *places[] = {root, json_get(root, "text_config")};
    int64_t v;

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const cJSON *found = json_get(places[i], key);
        if (found && !cJSON_IsNumber(found) && !cJSON_IsNull(found))
            return error_set_param(err, STATUS_INVALID, key, "%s must be an integer, not %s", key,
                                   json_type_name(found));
        if (!json_as_i64(found, 1, max, &v)) continue;
        *out = (int)v;
        break;
    }
    return STATUS_OK;
}

/* The names that transformers' configurations have for the same thing. */
static enum status read_lengths(const char *path, struct model_config *c, struct error *err)
{
    static const char *const names[] = {"max_position_embeddings", "n_positions", "max_seq_len",
                                        "seq_length", "n_ctx"};
    cJSON *root;
    enum status st = json_parse_file(path, NULL, &root, err);

    if (st != STATUS_OK) return st;
    *c = (struct model_config){.bos_id = -1};
    st = find_length(root, "vocab_size", LIMIT_VOCAB, &c->vocab_size, err);
    for (size_t i = 0; st == STATUS_OK && i < ARRAY_LEN(names) && c->max_position == 0; i++)
        st = find_length(root, names[i], LIMIT_CONTEXT, &c->max_position, err);
    cJSON_Delete(root);
    return st == STATUS_OK ? st : error_prepend(err, "%s", path);
}

static enum status read_config(const struct options *o, struct loaded_text *t, struct error *err)
{
    char path[PATH_MAX];
    struct error refusal = {0};
    enum status st = path_join(path, sizeof(path), o->model, "config.json", err);

    t->config = (struct model_config){.bos_id = -1};
    if (st != STATUS_OK || !file_exists(path)) return st;
    if (model_config_load(o->model, &t->config, &refusal) == STATUS_OK) return STATUS_OK;
    st = read_lengths(path, &t->config, err);
    if (st == STATUS_OK)
        log_event(LOG_INFO, "config", "max_model_len=%d vocab_size=%d hint=%s",
                  t->config.max_position, t->config.vocab_size,
                  "inferd cannot run this model; its text is served all the same");
    return st;
}

enum status load_text_limits(const struct options *o, struct loaded_text *t, struct error *err)
{
    enum status st = read_config(o, t, err);
    int longest = t->config.max_position;

    if (st != STATUS_OK) return st;
    if (longest > 0 && o->max_model_len > longest)
        return error_set_param(err, STATUS_INVALID, "max-model-len",
                               "max-model-len %lld is longer than the model's %d positions",
                               (long long)o->max_model_len, longest);
    t->max_model_len = o->max_model_len > 0 ? (int32_t)o->max_model_len : longest;
    if (t->config.vocab_size == 0) t->config.vocab_size = tokenizer_vocab_size(t->tokenizer);
    return STATUS_OK;
}
