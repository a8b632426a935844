/* packed_cache.c - the folder, and reading from it; packed_write.c writes. */

#include "config/base/check.h"
#include "config/base/file.h"
#include "engine/load/packed_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

#define HUGE_PAGE ((size_t)2 << 20)

/* --- the folder ------------------------------------------------------------------------------ */

static enum status check_owner(const struct stat *info, const char *what, struct error *err)
{
    if (info->st_uid != geteuid() && info->st_uid != 0)
        return error_set(err, STATUS_INVALID, "the %s belongs to another user (%u)", what,
                         (unsigned)info->st_uid);
    if (info->st_mode & (S_IWGRP | S_IWOTH))
        return error_set(err, STATUS_INVALID,
                         "others may write to the %s (mode %03o): chmod go-w, or name a folder "
                         "below it, which is then made",
                         what, (unsigned)(info->st_mode & 0777));
    return STATUS_OK;
}

static enum status make_folders(const char *path, struct error *err)
{
    char part[PATH_MAX];
    const size_t len = (size_t)snprintf(part, sizeof part, "%s", path);
    if (len == 0 || len >= sizeof part)
        return error_set(err, STATUS_INVALID, "%zu bytes are no path", len);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && !file_exists(part))
            return error_set(err, STATUS_IO, "cannot make %.300s: %s", part, strerror(errno));
        part[i] = path[i];
    }
    return STATUS_OK;
}

static enum status open_folder(struct packed_cache *c, const char *dir, struct error *err)
{
    struct stat info;
    enum status s = make_folders(dir, err);
    if (s != STATUS_OK) return s;
    c->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir_fd < 0 || fstat(c->dir_fd, &info) != 0)
        return error_set(err, STATUS_IO, "cannot open the folder: %s", strerror(errno));
    return check_owner(&info, "folder", err);
}

static bool is_word(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '.' || ch == '_' || ch == '-';
}

/* The end of a long label says more than its beginning. */
static void make_names(struct packed_cache *c, const char *label)
{
    const size_t len = strlen(label);
    const char *from = len > PACKED_LABEL ? label + len - PACKED_LABEL : label;
    while (*from == '/' || *from == '.') from++;
    int n = 0;
    for (; *from; from++) c->label[n++] = is_word(*from) ? *from : '-';
    c->label[n] = '\0';
    const unsigned long long sum = packed_sum(c->key, c->key_size);
    snprintf(c->file, sizeof c->file, "%s.%016llx" PACKED_SUFFIX, c->label, sum);
    snprintf(c->part, sizeof c->part, "%s.%016llx" PACKED_PART_SUFFIX, c->label, sum);
}

enum status packed_cache_open(struct packed_cache **out, const char *dir, const char *label,
                              const char *key, size_t key_size, struct error *err)
{
    *out = NULL;
    struct packed_cache *c = calloc(1, sizeof *c);
    if (!c) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    c->dir_fd = -1;
    c->key = malloc(key_size ? key_size : 1);
    enum status s = c->key ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (s == STATUS_OK) s = open_folder(c, dir, err);
    if (s != STATUS_OK) {
        packed_cache_close(c);
        return s;
    }
    if (key_size) memcpy(c->key, key, key_size);
    c->key_size = key_size;
    make_names(c, label);
    snprintf(c->path, sizeof c->path, "%s/%s", dir, c->file);
    *out = c;
    return STATUS_OK;
}

struct packed_cache *packed_cache_stop(struct packed_cache *c)
{
    if (!c || !c->has_writer) return c;
    int phase = PACKED_SYNCING;
    const pthread_t writer = c->writer;
    atomic_store(&c->stop, true);
    if (atomic_compare_exchange_strong(&c->phase, &phase, PACKED_LEFT)) {
        pthread_detach(writer);
        return NULL;
    }
    packed_cache_wait(c);
    return c;
}

static void unmap(struct packed_cache *c)
{
    if (c->data) munmap(c->data, c->size);
    c->data = NULL;
    c->size = 0;
}

void packed_cache_close(struct packed_cache *c)
{
    packed_cache_free(packed_cache_stop(c));
}

void packed_cache_free(struct packed_cache *c)
{
    if (!c) return;
    unmap(c);
    if (c->dir_fd >= 0) close(c->dir_fd);
    free(c->arrays);
    free(c->key);
    free(c);
}

const char *packed_cache_path(const struct packed_cache *c)
{
    return c->path;
}

/* --- mapping --------------------------------------------------------------------------------- */

/* At a huge page's border: where the page cache holds the file in huge pages (ext4 since Linux 6.16,
 * XFS, tmpfs with huge=), the mapping then has huge pages too. */
static enum status map_file(struct packed_cache *c, int fd, size_t size, struct error *err)
{
    char *p =
        mmap(NULL, size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return error_set(err, STATUS_NO_MEMORY, "no room to map %zu bytes", size);
    const size_t skip = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), len = (size + page - 1) / page * page;
    void *at = mmap(p + skip, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED) {
        const int e = errno;
        munmap(p, size + HUGE_PAGE);
        return error_set(err, STATUS_IO, "it cannot be mapped: %s", strerror(e));
    }
    if (skip) munmap(p, skip);
    if (p + skip + len < p + size + HUGE_PAGE)
        munmap(p + skip + len, size + HUGE_PAGE - skip - len);
    (void)madvise(at, size, MADV_HUGEPAGE); /* a hint */
    c->data = at;
    c->size = size;
    return STATUS_OK;
}

struct check_job {
    const struct packed_cache *c;
    const struct packed_entry *entries;
    atomic_int bad;     /* the last array that failed, or -1 */
    atomic_int failure; /* errno of reading, or 0 */
};

/* Reads the pages, which turns an unreadable disk into an error instead of a SIGBUS, then the sum. */
static void check_array(void *ctx, int i)
{
    struct check_job *j = ctx;
    const struct packed_entry *e = &j->entries[i];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), from = e->at / page * page;
    uint8_t *data = j->c->data;
    if (madvise(data + from, e->at + e->size - from, MADV_POPULATE_READ) != 0 && errno != EINVAL) {
        atomic_store(&j->failure, errno);
        atomic_store(&j->bad, i);
    } else if (packed_sum(data + e->at, e->size) != e->sum) {
        atomic_store(&j->bad, i);
    }
}

static enum status check_arrays(const struct packed_cache *c, struct backend *be,
                                const struct packed_entry *entries, int n, struct error *err)
{
    struct check_job j = {.c = c, .entries = entries, .bad = -1};
    if (be->ops->host_run)
        be->ops->host_run(be, check_array, &j, n, (double)c->size / 10.0);
    else
        for (int i = 0; i < n; i++) check_array(&j, i);
    const int bad = atomic_load(&j.bad), failure = atomic_load(&j.failure);
    if (failure != 0)
        return error_set(err, STATUS_IO, "array %d cannot be read: %s", bad, strerror(failure));
    if (bad >= 0) return error_set(err, STATUS_CORRUPT, "the sum of array %d is wrong", bad);
    return STATUS_OK;
}

static enum status open_file(const struct packed_cache *c, int *fd, size_t *size, struct error *err)
{
    struct stat info;
    *fd = openat(c->dir_fd, c->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT) return error_set(err, STATUS_NOT_FOUND, "there is none");
    if (*fd < 0) return error_set(err, STATUS_IO, "it cannot be opened: %s", strerror(errno));
    enum status s = STATUS_OK;
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode))
        s = error_set(err, STATUS_IO, "it is not a regular file");
    else
        s = check_owner(&info, "file", err);
    if (s == STATUS_OK && (uint64_t)info.st_size < sizeof(struct packed_head))
        s = error_set(err, STATUS_CORRUPT, "%lld bytes are no packed file",
                      (long long)info.st_size);
    if (s == STATUS_OK && (uint64_t)info.st_size > SIZE_MAX / 2)
        s = error_set(err, STATUS_TOO_LARGE, "it is too large");
    *size = s == STATUS_OK ? (size_t)info.st_size : 0;
    if (s == STATUS_OK) return s;
    close(*fd);
    *fd = -1;
    return s;
}

enum status packed_cache_map(struct packed_cache *c, struct backend *be, const uint8_t **data,
                             const struct packed_entry **entries, int *n, struct error *err)
{
    int fd;
    size_t size = 0;
    enum status s = open_file(c, &fd, &size, err);
    if (s == STATUS_OK) s = map_file(c, fd, size, err);
    if (s == STATUS_OK) s = packed_file_check(c->data, size, c->key, c->key_size, entries, n, err);
    if (s == STATUS_OK) s = check_arrays(c, be, *entries, *n, err);
    /* So that the files that are used outlive those that are not. */
    if (s == STATUS_OK) (void)futimens(fd, NULL);
    if (fd >= 0) close(fd);
    if (s != STATUS_OK) unmap(c);
    c->refused = s != STATUS_OK && s != STATUS_NOT_FOUND;
    *data = c->data;
    return s;
}

void packed_cache_refuse(struct packed_cache *c)
{
    unmap(c);
    c->refused = true;
}
