#include "server/terminal/save.h"

#include "config/base/check.h"
#include "config/base/json.h"
#include "config/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- writing ----------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Writes to a file beside `path`, whose name goes into `temporary`. */
static enum status write_beside(const char *path, struct str text, char *temporary, size_t size,
                                struct error *err)
{
    int n = snprintf(temporary, size, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= size)
        return error_set(err, STATUS_INVALID, "the name of the file is too long");
    int fd = mkstemp(temporary);
    if (fd < 0) return error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    bool ok = write_all(fd, text.data, text.len) && fsync(fd) == 0;
    int e = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        e = errno;
    }
    if (ok) return STATUS_OK;
    unlink(temporary);
    return error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(e));
}

enum status save_write(const char *path, bool force, struct str model,
                       const struct conversation *talk, const struct sampling_params *params,
                       struct error *err)
{
    char temporary[PATH_MAX];
    struct strbuf text;
    struct stat info;

    /* A device or a pipe must not be replaced by a file. */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVALID, "%s is not a regular file", path);
    strbuf_init(&text, 0);
    strbuf_add_str(&text, "{\"model\":");
    strbuf_add_json(&text, model.data, model.len);
    strbuf_add_str(&text, ",\"messages\":");
    conversation_add_json(talk, &text);
    sampling_params_add_json(params, &text);
    strbuf_add_str(&text, "}\n");
    enum status st = text.failed ? error_set(err, STATUS_NO_MEMORY, "no memory for the file")
                                 : write_beside(path, (struct str){text.data, text.len}, temporary,
                                                sizeof(temporary), err);
    strbuf_free(&text);
    if (st != STATUS_OK) return st;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, force ? 0 : RENAME_NOREPLACE) == 0)
        return STATUS_OK;
    int e = errno;
    unlink(temporary);
    if (e == EEXIST)
        return error_set(err, STATUS_INVALID, "%s is there already: /save! %s replaces it", path,
                         path);
    return error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(e));
}

/* --- reading ----------------------------------------------------------------------------------- */

static bool is_passed_over(const char *key)
{
    static const char *const keys[] = {"model",          "messages", "stream",
                                       "stream_options", "n",        "user"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i], key) == 0) return true;
    return false;
}

static enum status read_params(const cJSON *file, struct sampling_params *out, struct error *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, file)
    {
        int i = sampling_params_find(item->string, strlen(item->string));
        if (i < 0 && is_passed_over(item->string)) continue;
        enum status st = i < 0 ? error_set(err, STATUS_UNSUPPORTED,
                                           "\"%.60s\" cannot be kept in a chat: take it out of "
                                           "the file",
                                           item->string)
                               : sampling_params_set_json(out, i, item, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

enum status save_read(const char *path, struct conversation *talk, struct sampling_params *params,
                      struct error *err)
{
    /* Escapes can double a text. */
    static const struct json_limits limits = {.max_size = (size_t)2 * LIMIT_CHAT_CONVERSATION,
                                              .max_depth = 8,
                                              .max_values = (size_t)8 * LIMIT_CHAT_MESSAGES};
    struct sampling_params read = {0};
    cJSON *file = NULL;
    enum status st = json_parse_file(path, &limits, &file, err);

    if (st != STATUS_OK) return st;
    if (!cJSON_IsObject(file))
        st = error_set(err, STATUS_INVALID, "it must be a JSON object with \"messages\"");
    if (st == STATUS_OK) st = read_params(file, &read, err);
    if (st == STATUS_OK) st = conversation_read_json(json_get(file, "messages"), talk, err);
    cJSON_Delete(file);
    if (st != STATUS_OK) {
        sampling_params_free(&read);
        return error_prepend(err, "%s", path);
    }
    sampling_params_free(params);
    *params = read;
    return STATUS_OK;
}
