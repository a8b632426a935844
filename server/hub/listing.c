#include "server/hub/listing.h"

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/load/safetensors_file.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SIZE (INT64_C(1) << 50)

/* What the loaders of this program read: engine/load, engine/tokenizer, server/chat_templates.c. */
static const char *const plain_names[] = {
    "config.json",         "generation_config.json",
    "tokenizer.json",      "tokenizer_config.json",
    "tokenizer.model",     "spiece.model",
    "tiktoken.model",      "added_tokens.json",
    "chat_template.jinja", "special_tokens_map.json",
};
/* Weights that other programs read. */
static const char *const other_weights[] = {".bin",  ".gguf", ".pth",    ".pt",
                                            ".onnx", ".h5",   ".msgpack"};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Names are shown on terminals: C1 controls are escape sequences, and others turn the text around. */
static bool steers(const unsigned char *p)
{
    if (p[0] == 0xc2) return p[1] >= 0x80 && p[1] < 0xa0;
    if (p[0] != 0xe2) return false;
    return (p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

bool hub_path_is_safe(const char *path)
{
    if (strlen(path) > LIMIT_HUB_PATH) return false;
    for (const unsigned char *p = (const unsigned char *)path; *p; p++)
        if (*p < 0x20 || *p == 0x7f || *p == '\\' || steers(p)) return false;
    for (const char *part = path;; part++) {
        size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && !memcmp(part, "..", 2)))
            return false;
        part += len;
        if (!*part) return true;
    }
}

static bool is_needed(const char *path)
{
    static const char templates[] = "additional_chat_templates/";
    for (size_t i = 0; i < ARRAY_LEN(plain_names); i++)
        if (strcmp(path, plain_names[i]) == 0) return true;
    if (strncmp(path, templates, sizeof(templates) - 1) == 0) return ends_with(path, ".jinja");
    return !strchr(path, '/') && ends_with(path, ".tiktoken");
}

/* --- parsing ---------------------------------------------------------------------------------- */

static enum status odd(struct error *err, const char *what)
{
    return error_set(err, STATUS_CORRUPT, "the hub's listing is none: %s", what);
}

enum status hub_listing_parse(const char *text, size_t len, struct hub_listing *out,
                              struct error *err)
{
    const struct json_limits limits = {.max_size = LIMIT_HUB_LISTING,
                                       .max_values = LIMIT_HUB_LISTING_VALUES};
    *out = (struct hub_listing){.root = NULL};
    enum status st = json_parse(text, len, &limits, &out->root, err);
    if (st != STATUS_OK) return error_prepend(err, "the hub's listing is none");
    const char *sha = cJSON_GetStringValue(json_get(out->root, "sha"));
    if (!cJSON_IsObject(out->root)) return odd(err, "it is no object");
    if (!sha || !hub_is_commit(sha)) return odd(err, "its \"sha\" is no commit");
    memcpy(out->sha, sha, sizeof(out->sha));
    out->siblings = json_get(out->root, "siblings");
    if (!cJSON_IsArray(out->siblings)) return odd(err, "it has no \"siblings\"");
    const cJSON *s;
    cJSON_ArrayForEach(s, out->siblings)
    {
        if (!cJSON_GetStringValue(json_get(s, "rfilename")))
            return odd(err, "one of its \"siblings\" has no \"rfilename\"");
    }
    return STATUS_OK;
}

void hub_listing_free(struct hub_listing *l)
{
    cJSON_Delete(l->root);
    *l = (struct hub_listing){.root = NULL};
}

static bool is_hex(const char *s, size_t len)
{
    return s && strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}

/* Sum and size of one entry. */
static enum status read_entry(const cJSON *s, const char *path, struct hub_file *f,
                              struct error *err)
{
    const cJSON *lfs = json_get(s, "lfs"), *size = json_get(s, "size");
    const char *etag = cJSON_GetStringValue(json_get(s, "blobId"));
    size_t etag_len = HUB_COMMIT_LEN;

    if (lfs && !cJSON_IsNull(lfs)) {
        if (!cJSON_IsObject(lfs)) return odd(err, "an \"lfs\" is no object");
        const cJSON *lfs_size = json_get(lfs, "size");
        int64_t a, b;
        if (size && lfs_size && json_as_i64(size, 0, MAX_SIZE, &a) &&
            json_as_i64(lfs_size, 0, MAX_SIZE, &b) && a != b)
            return odd(err, "a file has two sizes");
        size = lfs_size;
        etag = cJSON_GetStringValue(json_get(lfs, "sha256"));
        etag_len = HUB_ETAG_LEN;
    }
    if (!is_hex(etag, etag_len)) return odd(err, "a needed file has no sum");
    if (!json_as_i64(size, 0, MAX_SIZE, &f->size)) return odd(err, "a needed file has no size");
    memcpy(f->etag, etag, etag_len + 1);
    f->path = strdup(path);
    return f->path ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for the listing");
}

/* --- choosing --------------------------------------------------------------------------------- */

static enum status add(struct hub_files *out, const cJSON *s, const char *path, struct error *err)
{
    if (!hub_path_is_safe(path))
        return odd(err, "a needed file's name leads elsewhere, or has control characters");
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(out->items[i].path, path) == 0) return odd(err, "a file is there twice");
    if (out->n >= LIMIT_HUB_FILES)
        return error_set(err, STATUS_TOO_LARGE, "the model has more than %d files",
                         LIMIT_HUB_FILES);
    struct hub_file *more = realloc(out->items, (out->n + 1) * sizeof(*more));
    if (!more) return error_set(err, STATUS_NO_MEMORY, "no memory for the listing");
    out->items = more;
    struct hub_file f = {.path = NULL};
    enum status st = read_entry(s, path, &f, err);
    if (st == STATUS_OK) more[out->n++] = f;
    return st;
}

static const cJSON *find(const struct hub_listing *l, const char *path)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, l->siblings)
    {
        if (strcmp(cJSON_GetStringValue(json_get(s, "rfilename")), path) == 0) return s;
    }
    return NULL;
}

static enum status no_weights(const struct hub_listing *l, struct error *err)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, l->siblings)
    {
        const char *path = cJSON_GetStringValue(json_get(s, "rfilename"));
        for (size_t i = 0; i < ARRAY_LEN(other_weights); i++) {
            if (!ends_with(path, other_weights[i])) continue;
            return error_set(err, STATUS_UNSUPPORTED,
                             "inferd reads safetensors, and the model has none, but %.120s: look "
                             "for a repository with " SAFETENSORS_SINGLE,
                             hub_path_is_safe(path) ? path : other_weights[i]);
        }
    }
    return error_set(err, STATUS_UNSUPPORTED,
                     "the model has no " SAFETENSORS_SINGLE " and no " SAFETENSORS_INDEX);
}

enum status hub_listing_choose(const struct hub_listing *l, struct hub_files *out, bool *sharded,
                               struct error *err)
{
    const cJSON *s, *single = find(l, SAFETENSORS_SINGLE), *index = find(l, SAFETENSORS_INDEX);
    if (!single && !index) return no_weights(l, err);
    if (!find(l, "config.json"))
        return error_set(err, STATUS_UNSUPPORTED, "the model has no config.json");
    cJSON_ArrayForEach(s, l->siblings)
    {
        const char *path = cJSON_GetStringValue(json_get(s, "rfilename"));
        if (!is_needed(path)) continue;
        enum status st = add(out, s, path, err);
        if (st != STATUS_OK) return st;
    }
    *sharded = !single;
    return single ? add(out, single, SAFETENSORS_SINGLE, err)
                  : add(out, index, SAFETENSORS_INDEX, err);
}

static enum status add_shard(const struct hub_listing *l, const char *path, size_t from,
                             struct hub_files *out, struct error *err)
{
    for (size_t i = from; i < out->n; i++)
        if (strcmp(out->items[i].path, path) == 0) return STATUS_OK;
    const cJSON *s = find(l, path);
    if (s) return add(out, s, path, err);
    return error_set(err, STATUS_CORRUPT, SAFETENSORS_INDEX " names %.120s, which the model lacks",
                     path);
}

enum status hub_listing_add_shards(const struct hub_listing *l, const char *index, size_t len,
                                   struct hub_files *out, struct error *err)
{
    cJSON *root = NULL;
    const cJSON *map, *entry;
    const size_t from = out->n;
    enum status st = safetensors_index_parse(index, len, &root, &map, err);
    if (st != STATUS_OK) return st;
    cJSON_ArrayForEach(entry, map)
    {
        st = add_shard(l, entry->valuestring, from, out, err);
        if (st != STATUS_OK) break;
    }
    cJSON_Delete(root);
    return st;
}

void hub_files_free(struct hub_files *f)
{
    for (size_t i = 0; i < f->n; i++) free(f->items[i].path);
    free(f->items);
    *f = (struct hub_files){.items = NULL};
}
