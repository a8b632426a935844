#include "config/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status errno_status(int e)
{
    return e == ENOENT || e == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO;
}

/* Reads until `size` bytes or the end; -1 with errno on failure. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, buf + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

enum status file_read(const char *path, size_t max_size, char **data, size_t *len,
                      struct error *err)
{
    *data = NULL;
    *len = 0;
    enum status st = STATUS_OK;
    char *buf = NULL;
    /* O_NONBLOCK: opening a FIFO must not hang; it is refused below. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int e = errno;
        return error_set(err, errno_status(e), "cannot open %s: %s", path, strerror(e));
    }
    struct stat info;
    if (fstat(fd, &info) != 0) {
        st = error_set(err, STATUS_IO, "cannot stat %s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(info.st_mode)) {
        st = error_set(err, STATUS_INVALID, "%s is not a regular file", path);
        goto out;
    }
    if ((uint64_t)info.st_size > max_size || (uint64_t)info.st_size >= SIZE_MAX / 2) {
        st = error_set(err, STATUS_TOO_LARGE, "%s has %lld bytes; at most %zu are accepted", path,
                       (long long)info.st_size, max_size);
        goto out;
    }
    buf = malloc((size_t)info.st_size + 1);
    if (!buf) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory reading %s", path);
        goto out;
    }
    ssize_t got = read_all(fd, buf, (size_t)info.st_size);
    if (got < 0) {
        st = error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    buf[got] = '\0';
    *data = buf;
    *len = (size_t)got;
    buf = NULL;
out:
    free(buf);
    close(fd);
    return st;
}

static bool begins_with(const char *data, size_t len, const char *word)
{
    size_t word_len = strlen(word);
    return len >= word_len && strncasecmp(data, word, word_len) == 0;
}

enum status file_check_download(const char *path, const char *data, size_t len, struct error *err)
{
    if (begins_with(data, len, "version https://git-lfs.github.com/"))
        return error_set(err, STATUS_CORRUPT,
                         "%s is a Git LFS pointer, not the file: run \"git lfs pull\" where it was "
                         "cloned",
                         path);
    if (begins_with(data, len, "\xEF\xBB\xBF")) data += 3, len -= 3;
    for (; len > 0 && strchr(" \t\r\n", *data) && *data; len--) data++;
    if (begins_with(data, len, "<!doctype html") || begins_with(data, len, "<html"))
        return error_set(err, STATUS_CORRUPT,
                         "%s is a web page: the download failed, fetch the file again", path);
    return STATUS_OK;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

enum status path_join(char *out, size_t out_size, const char *dir, const char *name,
                      struct error *err)
{
    size_t dir_len = strlen(dir);
    const char *slash = dir_len > 0 && dir[dir_len - 1] != '/' ? "/" : "";
    int n = snprintf(out, out_size, "%s%s%s", dir, slash, name);
    if (n < 0 || (size_t)n >= out_size)
        return error_set(err, STATUS_INVALID, "path too long: %.200s/%.100s", dir, name);
    return STATUS_OK;
}
