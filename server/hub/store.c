#include "server/hub/store.h"

#include "config/base/file.h"
#include "config/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

void hub_size_shown(int64_t size, char out[24])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
    double value = (double)size / 1000;
    size_t unit = 0;
    if (size < 1000) {
        snprintf(out, 24, "%d B", (int)size);
        return;
    }
    for (; value >= 999.95 && unit < 4; unit++) value /= 1000;
    snprintf(out, 24, "%.1f %s", value, units[unit]);
}

/* --- paths ------------------------------------------------------------------------------------ */

static enum status joined(char out[PATH_MAX], struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum status joined(char out[PATH_MAX], struct error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, PATH_MAX, fmt, ap);
    va_end(ap);
    if (n >= 0 && n < PATH_MAX) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "the path %.200s... is too long", out);
}

enum status hub_store_init(struct hub_store *s, const struct hub_name *name, const char *sha,
                           struct error *err)
{
    enum status st = hub_cache_root(s->root, err);
    if (st == STATUS_OK) st = hub_cache_repo(name, s->repo, err);
    if (st == STATUS_OK)
        st = joined(s->locks, err, "%s/.locks/%s", s->root, strrchr(s->repo, '/') + 1);
    return st == STATUS_OK ? joined(s->snapshot, err, "%s/snapshots/%s", s->repo, sha) : st;
}

static enum status blob_path(const struct hub_store *s, const struct hub_file *f, const char *end,
                             char out[PATH_MAX], struct error *err)
{
    return joined(out, err, "%s/blobs/%s%s", s->repo, f->etag, end);
}

static enum status failed(struct error *err, const char *doing, const char *path)
{
    return error_set(err, STATUS_IO, "cannot %s %.300s: %s", doing, path, strerror(errno));
}

/* Makes the directories above the path's last part. */
static enum status make_folders(const char *path, struct error *err)
{
    char part[PATH_MAX];
    snprintf(part, sizeof(part), "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return failed(err, "make", part);
        *p = '/';
    }
    return STATUS_OK;
}

/* What was renamed in the directory of `path` outlives a power cut. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd); /* some file systems cannot */
    close(fd);
}

/* --- what is there ---------------------------------------------------------------------------- */

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

bool hub_store_has_file(const struct hub_store *s, const struct hub_file *f)
{
    char path[PATH_MAX];
    return joined(path, NULL, "%s/%s", s->snapshot, f->path) == STATUS_OK &&
           size_of(path) == f->size;
}

bool hub_store_has_blob(const struct hub_store *s, const struct hub_file *f)
{
    char path[PATH_MAX];
    return blob_path(s, f, "", path, NULL) == STATUS_OK && size_of(path) == f->size;
}

int64_t hub_store_partial_size(const struct hub_store *s, const struct hub_file *f)
{
    char path[PATH_MAX];
    int64_t size = blob_path(s, f, ".incomplete", path, NULL) == STATUS_OK ? size_of(path) : 0;
    return size > 0 ? size : 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

enum status hub_store_lock(const struct hub_store *s, const struct hub_file *f, int *fd,
                           struct error *err)
{
    char path[PATH_MAX];
    enum status st = joined(path, err, "%s/%s.lock", s->locks, f->etag);
    if (st == STATUS_OK) st = make_folders(path, err);
    if (st != STATUS_OK) return st;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (*fd < 0) return failed(err, "open", path);
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        bool busy = errno == EWOULDBLOCK;
        if (!busy) failed(err, "lock", path);
        close(*fd);
        *fd = -1;
        return busy ? STATUS_UNAVAILABLE : STATUS_IO;
    }
    return STATUS_OK;
}

enum status hub_store_open_partial(const struct hub_store *s, const struct hub_file *f, int *fd,
                                   struct error *err)
{
    char path[PATH_MAX];
    enum status st = blob_path(s, f, ".incomplete", path, err);
    if (st == STATUS_OK) st = make_folders(path, err);
    if (st != STATUS_OK) return st;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    return *fd >= 0 ? STATUS_OK : failed(err, "write", path);
}

void hub_store_drop_partial(const struct hub_store *s, const struct hub_file *f)
{
    char path[PATH_MAX];
    if (blob_path(s, f, ".incomplete", path, NULL) == STATUS_OK) (void)unlink(path);
}

enum status hub_store_publish(const struct hub_store *s, const struct hub_file *f, int fd,
                              struct error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    enum status st = blob_path(s, f, ".incomplete", from, err);
    if (st == STATUS_OK) st = blob_path(s, f, "", to, err);
    if (st != STATUS_OK) return st;
    if (fsync(fd) != 0) return failed(err, "write", from);
    if (rename(from, to) != 0) return failed(err, "rename", from);
    sync_folder(to);
    return STATUS_OK;
}

/* A name that no reader asks for, and no other process makes: not by its id, which two containers
 * that share a cache can have in common. */
static enum status new_path(const struct hub_store *s, char out[PATH_MAX], struct error *err)
{
    unsigned long long id;
    if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
        return failed(err, "name a file in", s->repo);
    return joined(out, err, "%s/.new.%016llx", s->repo, id);
}

enum status hub_store_link(const struct hub_store *s, const struct hub_file *f, struct error *err)
{
    char path[PATH_MAX], new[PATH_MAX], target[PATH_MAX] = "../../";
    enum status st = joined(path, err, "%s/%s", s->snapshot, f->path);
    if (st == STATUS_OK) st = make_folders(path, err);
    for (const char *p = f->path; (p = strchr(p, '/')); p++)
        strncat(target, "../", sizeof(target) - strlen(target) - 1);
    strncat(target, "blobs/", sizeof(target) - strlen(target) - 1);
    strncat(target, f->etag, sizeof(target) - strlen(target) - 1);
    if (st == STATUS_OK) st = new_path(s, new, err);
    if (st != STATUS_OK) return st;
    if (symlink(target, new) != 0) return failed(err, "link", new);
    if (rename(new, path) != 0) {
        st = failed(err, "link", path);
        (void)unlink(new);
        return st;
    }
    sync_folder(path);
    return STATUS_OK;
}

static enum status write_ref(const struct hub_store *s, const char *path, const char *sha,
                             struct error *err)
{
    char new[PATH_MAX];
    enum status st = new_path(s, new, err);
    if (st != STATUS_OK) return st;
    int fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return failed(err, "write", new);
    bool ok = write(fd, sha, HUB_COMMIT_LEN) == HUB_COMMIT_LEN && fsync(fd) == 0;
    if (!ok) st = failed(err, "write", new);
    close(fd);
    if (ok && rename(new, path) != 0) st = failed(err, "write", path);
    if (st != STATUS_OK) (void)unlink(new);
    if (st == STATUS_OK) sync_folder(path);
    return st;
}

enum status hub_store_set_ref(const struct hub_store *s, const char *rev, const char *sha,
                              struct error *err)
{
    char path[PATH_MAX], *text = NULL;
    size_t len;
    if (hub_is_commit(rev)) return STATUS_OK;
    enum status st = joined(path, err, "%s/refs/%s", s->repo, rev);
    if (st != STATUS_OK) return st;
    bool there = file_read(path, HUB_COMMIT_LEN, &text, &len, NULL) == STATUS_OK &&
                 len == HUB_COMMIT_LEN && memcmp(text, sha, len) == 0;
    free(text);
    if (there) return STATUS_OK;
    st = make_folders(path, err);
    return st == STATUS_OK ? write_ref(s, path, sha, err) : st;
}

enum status hub_store_check_room(const struct hub_store *s, int64_t size, struct error *err)
{
    char path[PATH_MAX], need[24], has[24];
    struct statvfs info;
    snprintf(path, sizeof(path), "%s", s->repo);
    while (statvfs(path, &info) != 0) { /* the nearest directory that exists */
        char *slash = strrchr(path, '/');
        if (errno != ENOENT || strcmp(path, ".") == 0 || strcmp(path, "/") == 0)
            return failed(err, "look for room in", path);
        if (slash && slash > path)
            *slash = '\0';
        else
            snprintf(path, sizeof(path), "%s", slash ? "/" : ".");
    }
    uint64_t free_size = (uint64_t)info.f_bavail * info.f_frsize;
    uint64_t wanted = (uint64_t)size + LIMIT_HUB_RESERVE;
    if (free_size >= wanted) return STATUS_OK;
    hub_size_shown((int64_t)wanted, need);
    hub_size_shown((int64_t)free_size, has);
    return error_set(err, STATUS_IO,
                     "%s are needed and %s are free in %.200s: make room, or let HF_HUB_CACHE name "
                     "a directory on another disk",
                     need, has, path);
}
