#include "server/model_dir.h"

#include "config/base/file.h"
#include "engine/load/safetensors_file.h"
#include "server/demo_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What may have been meant by a text that is no path of a file; "" where nothing comes to mind. */
static void guess_meaning(const char *said, char *out, size_t out_size)
{
    struct hub_name name;
    char text[sizeof(struct hub_name) + 2];
    bool word =
        strspn(said, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") ==
        strlen(said);

    out[0] = '\0';
    if (hub_name_from_url(said, &name)) {
        hub_name_print(&name, text);
        snprintf(out, out_size, "; its name is %s", text);
    } else if (strcmp(said, "demo") == 0) {
        snprintf(out, out_size, "; the demo model is taken when none is named");
    } else if (word && hub_cache_guess(said, &name)) {
        snprintf(out, out_size, "; did you mean %s, which is in the Hugging Face cache?",
                 name.repo);
    } else if (*said && !strchr("/.~", *said) && (word || strchr(said, '/'))) {
        snprintf(out, out_size, "; a model of a hub is named ORG/NAME or ORG/NAME@REV");
    }
}

static enum status no_such_directory(const char *said, struct error *err)
{
    char meaning[sizeof(struct hub_name) + 80];

    guess_meaning(said, meaning, sizeof(meaning));
    return error_set_param(err, STATUS_NOT_FOUND, "model", "%.300s: no such directory%s", said,
                           meaning);
}

/* Nothing is at that path; what is there, but cannot be read, its reader names. */
static bool is_absent(const char *path)
{
    struct stat info;
    return stat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

enum status model_dir_find(const char *said, char dir[PATH_MAX], struct hub_name *name,
                           struct error *err)
{
    struct error why = {.code = STATUS_OK};

    if (!file_exists(said) && hub_name_parse(said, name)) {
        enum status st = hub_cache_find(name, dir, &why);
        if (st == STATUS_OK) return st;
        return error_set_param(err, st, "model", "%.250s: no such directory, and %s", said,
                               why.message);
    }
    *name = (struct hub_name){.repo = ""};
    int n = snprintf(dir, PATH_MAX, "%s", said);
    if (n < 0 || n >= PATH_MAX)
        return error_set_param(err, STATUS_INVALID, "model", "the path %.100s... is too long",
                               said);
    return is_absent(said) ? no_such_directory(said, err) : STATUS_OK;
}

static bool has_file(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return path_join(path, sizeof(path), dir, name, NULL) == STATUS_OK && file_exists(path);
}

static enum status lacks(const char *dir, const struct hub_name *name, const char *file,
                         struct error *err)
{
    char advice[400];
    hub_advice(name, "complete it", advice, sizeof(advice));
    return error_set_param(err, STATUS_NOT_FOUND, "model", "%.200s lacks %.200s; %s", dir, file,
                           advice);
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
