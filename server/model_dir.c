#include "server/model_dir.h"

#include "config/base/file.h"
#include "engine/load/safetensors_file.h"
#include "server/demo_model.h"

#include <stdio.h>
#include <string.h>

enum status model_dir_find(const char *said, char dir[PATH_MAX], struct hub_name *name,
                           struct error *err)
{
    if (!file_exists(said) && hub_name_parse(said, name)) return hub_cache_find(name, dir, err);
    *name = (struct hub_name){.repo = ""};
    int n = snprintf(dir, PATH_MAX, "%s", said);
    if (n >= 0 && n < PATH_MAX) return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, "model", "the path %.100s... is too long", said);
}

static bool has_file(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return path_join(path, sizeof(path), dir, name, NULL) == STATUS_OK && file_exists(path);
}

static enum status lacks(const char *dir, const struct hub_name *name, const char *file,
                         struct error *err)
{
    char text[sizeof(struct hub_name) + 2];
    hub_name_print(name, text);
    return error_set_param(err, STATUS_NOT_FOUND, "model",
                           "%.200s lacks %.200s: complete it by inferd pull %s", dir, file, text);
}

/* Other programs load single files into the cache, and may have been cut off. */
enum status model_dir_check(const char *dir, const struct hub_name *name, struct error *err)
{
    struct error ignored;
    cJSON *index;
    const cJSON *map, *entry;
    enum status st = STATUS_OK;

    if (!has_file(dir, "config.json")) return lacks(dir, name, "config.json", err);
    if (has_file(dir, SAFETENSORS_SINGLE)) return STATUS_OK;
    if (!has_file(dir, SAFETENSORS_INDEX)) return lacks(dir, name, SAFETENSORS_SINGLE, err);
    /* What is wrong with the index, its reader says. */
    if (safetensors_index_read(dir, &index, &map, &ignored) != STATUS_OK) return STATUS_OK;
    cJSON_ArrayForEach(entry, map)
    {
        if (has_file(dir, entry->valuestring)) continue;
        st = lacks(dir, name, entry->valuestring, err);
        break;
    }
    cJSON_Delete(index);
    return st;
}

/* Without a model, the one that comes with inferd; it is called by its directory's name. */
static enum status resolve_demo(struct options *o, struct error *err)
{
    char dir[PATH_MAX];
    enum status st = demo_model_find(dir, sizeof(dir), err);

    if (st == STATUS_OK) {
        const char *slash = strrchr(dir, '/');
        return options_set_model(o, dir, slash ? slash + 1 : dir, err);
    }
    return error_prepend(err,
                         "no model given; write a Hugging Face model directory or a model's name "
                         "behind the command, such as inferd %s DIR or inferd %s ORG/NAME",
                         o->command, o->command);
}

enum status model_dir_resolve(struct options *o, bool weights, struct error *err)
{
    char dir[PATH_MAX];
    struct hub_name name;
    bool dummy = strcmp(o->load_format, "dummy") == 0;
    enum status st;

    if (!o->model) {
        st = resolve_demo(o, err);
    } else {
        st = model_dir_find(o->model, dir, &name, err);
        if (st == STATUS_OK && name.repo[0] && weights && !dummy)
            st = model_dir_check(dir, &name, err);
        if (st == STATUS_OK) st = options_set_model(o, dir, name.repo[0] ? name.repo : NULL, err);
    }
    if (st != STATUS_OK || !o->tokenizer) return st;
    st = model_dir_find(o->tokenizer, dir, &name, err);
    if (st != STATUS_OK) return error_prepend(err, "--tokenizer");
    return options_set_tokenizer(o, dir, err);
}
