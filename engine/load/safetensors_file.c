/* safetensors_file.c - files of a model directory: the single one, or the shards of the index. */

#include "engine/load/safetensors_file.h"

#include "config/base/file.h"
#include "config/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An index names each tensor once, in about 100 bytes: LIMIT_TENSORS of them with room to spare. */
#define MAX_INDEX_SIZE (64u << 20)

enum status safetensors_file_map(const char *dir, const char *name, struct safetensors_file *out,
                                 struct error *err)
{
    char path[PATH_MAX];
    struct stat info;
    const enum status s = path_join(path, sizeof path, dir, name, err);
    if (s != STATUS_OK) return s;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang it */
    if (fd < 0)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO,
                         "%s: cannot be opened: %s", path, strerror(errno));
    enum status result = STATUS_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        result = error_set(err, STATUS_IO, "%s: not a regular file", path);
    } else if (info.st_size == 0) {
        result = error_set(err, STATUS_CORRUPT, "%s: the file is empty; download it again", path);
    } else {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            result = error_set(err, STATUS_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            *out = (struct safetensors_file){.name = name,
                                             .data = data,
                                             .size = (size_t)info.st_size,
                                             .mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 +
                                                         info.st_mtim.tv_nsec,
                                             .mapped = true,
                                             .fd = fd};
    }
    if (result != STATUS_OK) close(fd);
    return result;
}

void safetensors_file_close(struct safetensors_file *f)
{
    if (f->mapped) munmap((void *)(uintptr_t)f->data, f->size);
    if (f->mapped) close(f->fd);
    *f = (struct safetensors_file){0};
}

/* A shard is a plain name beside the index: never a path that leads elsewhere. */
static bool is_shard_name(const char *name)
{
    static const char suffix[] = ".safetensors";
    const size_t len = strlen(name);
    return len > sizeof suffix - 1 && len <= NAME_MAX && name[0] != '.' && !strchr(name, '/') &&
           strcmp(name + len - (sizeof suffix - 1), suffix) == 0;
}

static enum status check_map(const cJSON *map, struct error *err)
{
    const cJSON *entry;
    int n = 0;
    if (!cJSON_IsObject(map))
        return error_set(err, STATUS_CORRUPT, "weight_map is %s, not an object",
                         map ? json_type_name(map) : "missing");
    cJSON_ArrayForEach(entry, map)
    {
        if (!cJSON_IsString(entry) || !is_shard_name(entry->valuestring))
            return error_set(err, STATUS_CORRUPT,
                             "weight_map: \"%.200s\" is not mapped to the plain name of a "
                             ".safetensors file",
                             entry->string);
        if (++n > LIMIT_TENSORS)
            return error_set(err, STATUS_TOO_LARGE, "weight_map names more than %d tensors",
                             LIMIT_TENSORS);
    }
    if (n == 0) return error_set(err, STATUS_CORRUPT, "weight_map is empty");
    return STATUS_OK;
}

enum status safetensors_index_parse(const char *text, size_t len, cJSON **index, const cJSON **map,
                                    struct error *err)
{
    static const struct json_limits limits = {.max_size = MAX_INDEX_SIZE, .max_depth = 16};
    *map = NULL;
    enum status s = json_parse(text, len, &limits, index, err);
    if (s == STATUS_OK) {
        const cJSON *found = cJSON_IsObject(*index) ? json_get(*index, "weight_map") : NULL;
        s = check_map(found, err);
        if (s == STATUS_OK) {
            *map = found;
            return s;
        }
        cJSON_Delete(*index);
    }
    *index = NULL;
    error_prepend(err, SAFETENSORS_INDEX);
    return s;
}

enum status safetensors_index_read(const char *dir, cJSON **index, const cJSON **map,
                                   struct error *err)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    *index = NULL;
    *map = NULL;
    enum status s = path_join(path, sizeof path, dir, SAFETENSORS_SINGLE, err);
    if (s != STATUS_OK) return s;
    if (file_exists(path)) return STATUS_OK;
    s = path_join(path, sizeof path, dir, SAFETENSORS_INDEX, err);
    if (s != STATUS_OK) return s;
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND,
                         "%s holds neither " SAFETENSORS_SINGLE " nor " SAFETENSORS_INDEX
                         ": inferd reads safetensors only (--load-format dummy needs no weights)",
                         dir);
    s = file_read(path, MAX_INDEX_SIZE, &text, &len, err);
    if (s == STATUS_OK) s = safetensors_index_parse(text, len, index, map, err);
    free(text);
    return s;
}
