/* packed_write.c - a thread that writes one packed file while the server already serves.
 *
 * It writes in pieces of a huge page, at such borders: file systems with large folios (ext4 since
 * Linux 6.16, XFS) then keep the file in huge pages, and those who map it get them.  What is written
 * goes to the disk soon after, so that neither dirty memory nor the time of the last fsync grows with
 * the model. */

#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/limits.h"
#include "engine/load/packed_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE  ((size_t)2 << 20)
#define WINDOW (2 * (uint64_t)PIECE) /* a stop waits for two of them on the disk: small */

struct writer {
    struct packed_cache *c;
    struct packed_entry *entries;
    size_t front_size;
    uint64_t file_size;
    int fd;
    uint8_t *piece; /* [PIECE] of the file, from offset `at` */
    size_t len;
    uint64_t at;
    struct error err;
};

static enum status failed(struct writer *w, const char *doing)
{
    return error_set(&w->err, STATUS_IO, "cannot %s: %s", doing, strerror(errno));
}

/* --- the file that is being written ---------------------------------------------------------- */

/* The name still leads to the file that is open and locked: no one has renamed or removed it. */
static bool is_named(const struct packed_cache *c, const char *name, int fd)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 &&
           fstatat(c->dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/* UNAVAILABLE: another process writes it, or has just done so. */
static enum status open_part(struct writer *w)
{
    const struct packed_cache *c = w->c;
    w->fd = openat(c->dir_fd, c->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0) return failed(w, "make a file");
    const bool locked = flock(w->fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK) return failed(w, "lock it");
    const bool ours = locked && is_named(c, c->part, w->fd);
    const bool done = faccessat(c->dir_fd, c->file, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && !c->refused;
    if (ours && !done) return STATUS_OK;
    if (ours) (void)unlinkat(c->dir_fd, c->part, 0);
    return error_set(&w->err, STATUS_UNAVAILABLE, "another process writes it");
}

/* All blocks at once: a disk that is too small is known before anything is written. */
static enum status reserve(struct writer *w)
{
    struct statvfs info;
    if (ftruncate(w->fd, 0) != 0) return failed(w, "empty it");
    if (fstatvfs(w->fd, &info) == 0) {
        const uint64_t room = (uint64_t)info.f_bavail * info.f_frsize;
        if (room < w->file_size + LIMIT_PACKED_RESERVE)
            return error_set(&w->err, STATUS_IO,
                             "%.1f MB are needed, %.1f more stay free, and the disk has %.1f",
                             (double)w->file_size / 1e6, (double)LIMIT_PACKED_RESERVE / 1e6,
                             (double)room / 1e6);
    }
    if (fallocate(w->fd, 0, 0, (off_t)w->file_size) != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return failed(w, "reserve room");
    return STATUS_OK;
}

static enum status write_all(struct writer *w, const void *data, size_t size, uint64_t at)
{
    const uint8_t *from = data;
    while (size > 0) {
        const ssize_t n = pwrite(w->fd, from, size, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed(w, "write");
        from += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return STATUS_OK;
}

/* Hints, but for what a later fsync reports as well. */
static void push_to_disk(const struct writer *w)
{
    if (w->at % WINDOW != 0) return;
    (void)sync_file_range(w->fd, (off_t)(w->at - WINDOW), (off_t)WINDOW, SYNC_FILE_RANGE_WRITE);
    if (w->at < 2 * WINDOW) return;
    (void)sync_file_range(w->fd, (off_t)(w->at - 2 * WINDOW), (off_t)WINDOW,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER);
}

static enum status flush(struct writer *w)
{
    if (atomic_load(&w->c->stop)) return error_set(&w->err, STATUS_CANCELLED, "the server stops");
    const enum status s = write_all(w, w->piece, w->len, w->at);
    w->at += w->len;
    w->len = 0;
    if (s == STATUS_OK) push_to_disk(w);
    return s;
}

/* data NULL: zeros. */
static enum status add(struct writer *w, const void *data, uint64_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        const size_t room = PIECE - w->len, n = size < room ? (size_t)size : room;
        if (from)
            memcpy(w->piece + w->len, from, n);
        else
            memset(w->piece + w->len, 0, n);
        from = from ? from + n : NULL;
        w->len += n;
        size -= n;
        if (w->len < PIECE) continue;
        const enum status s = flush(w);
        if (s != STATUS_OK) return s;
    }
    return STATUS_OK;
}

static enum status write_arrays(struct writer *w)
{
    enum status s = add(w, NULL, w->front_size); /* written last, when the sums are known */
    for (int i = 0; i < w->c->n_arrays && s == STATUS_OK; i++) {
        const struct packed_array *a = &w->c->arrays[i];
        struct packed_entry *e = &w->entries[i];
        s = add(w, NULL, e->at - (w->at + w->len));
        e->sum = packed_sum(a->data, a->size);
        if (s == STATUS_OK) s = add(w, a->data, a->size);
    }
    return s == STATUS_OK && w->len > 0 ? flush(w) : s;
}

static enum status write_front(struct writer *w)
{
    const struct packed_cache *c = w->c;
    uint8_t *front = malloc(w->front_size);
    if (!front) return error_set(&w->err, STATUS_NO_MEMORY, "out of memory");
    packed_file_front(c->key, c->key_size, w->entries, c->n_arrays, w->front_size, w->file_size,
                      front);
    const enum status s = write_all(w, front, w->front_size, 0);
    free(front);
    return s;
}

static enum status publish(struct writer *w)
{
    struct packed_cache *c = w->c;
    atomic_store(&c->phase, PACKED_SYNCING); /* the arrays are not needed from here on */
    if (fsync(w->fd) != 0) return failed(w, "write");
    if (renameat(c->dir_fd, c->part, c->dir_fd, c->file) != 0) return failed(w, "rename it");
    (void)fsync(c->dir_fd); /* some file systems cannot */
    return STATUS_OK;
}

/* --- files that are not needed any more ------------------------------------------------------ */

struct found {
    char name[NAME_MAX + 1];
    struct timespec used;
};

/* NAME.DIGITS followed by `suffix`: ours.  *label_len: of NAME. */
static bool has_form(const char *name, const char *suffix, size_t *label_len)
{
    const size_t len = strlen(name), tail = strlen(suffix) + PACKED_DIGITS + 1;
    if (len <= tail || strcmp(name + len - strlen(suffix), suffix) != 0) return false;
    *label_len = len - tail;
    return name[*label_len] == '.' &&
           strspn(name + *label_len + 1, "0123456789abcdef") == PACKED_DIGITS;
}

/* What a writer left that was killed: no one holds its lock. */
static void remove_part(const struct packed_cache *c, const char *name)
{
    const int fd = openat(c->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_named(c, name, fd))
        (void)unlinkat(c->dir_fd, name, 0);
    close(fd);
}

static int by_use(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec > y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec) return x->used.tv_nsec > y->used.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int list_and_remove(const struct packed_cache *c, DIR *d, struct found *list, int max)
{
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));) {
        size_t label_len;
        struct stat info;
        if (has_form(e->d_name, PACKED_PART_SUFFIX, &label_len)) {
            remove_part(c, e->d_name);
            continue;
        }
        if (!has_form(e->d_name, PACKED_SUFFIX, &label_len) || strcmp(e->d_name, c->file) == 0)
            continue;
        if (strlen(c->label) == label_len && memcmp(e->d_name, c->label, label_len) == 0) {
            (void)unlinkat(c->dir_fd, e->d_name, 0);
        } else if (n < max && fstatat(c->dir_fd, e->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            snprintf(list[n].name, sizeof list[n].name, "%s", e->d_name);
            list[n++].used = info.st_mtim;
        }
    }
    return n;
}

/* The folder never holds more than a few files above the limit, so that this many are looked at. */
#define MAX_LISTED (8 * LIMIT_PACKED_FILES)

static void remove_old(const struct packed_cache *c)
{
    const int fd = openat(c->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct found *list = calloc(MAX_LISTED, sizeof *list);
    if (d && list) {
        const int n = list_and_remove(c, d, list, MAX_LISTED);
        qsort(list, (size_t)n, sizeof *list, by_use);
        for (int i = LIMIT_PACKED_FILES - 1; i < n; i++) /* one more is the new file */
            (void)unlinkat(c->dir_fd, list[i].name, 0);
    }
    free(list);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

/* --- the thread ------------------------------------------------------------------------------ */

static enum status write_file(struct writer *w)
{
    struct packed_cache *c = w->c;
    w->entries = calloc((size_t)c->n_arrays, sizeof *w->entries);
    w->piece = malloc(PIECE);
    if (!w->entries || !w->piece) return error_set(&w->err, STATUS_NO_MEMORY, "out of memory");
    for (int i = 0; i < c->n_arrays; i++) {
        w->entries[i].size = c->arrays[i].size;
        w->entries[i].name = c->arrays[i].name;
    }
    enum status s = packed_file_plan(c->key_size, w->entries, c->n_arrays, &w->front_size,
                                     &w->file_size, &w->err);
    if (s == STATUS_OK) s = open_part(w);
    if (s != STATUS_OK) return s;
    remove_old(c); /* first, so that an old file makes room for the new one */
    s = reserve(w);
    if (s == STATUS_OK) s = write_arrays(w);
    if (s == STATUS_OK) s = write_front(w);
    if (s == STATUS_OK) s = publish(w);
    if (s != STATUS_OK) (void)unlinkat(c->dir_fd, c->part, 0);
    return s;
}

static void *writer_main(void *arg)
{
    struct writer w = {.c = arg, .fd = -1};
    const uint64_t t0 = clock_now_us();
    const enum status s = write_file(&w);
    if (s == STATUS_OK)
        log_event(LOG_INFO, "packed_cache_written", "file=%s bytes=%llu seconds=%.1f", w.c->path,
                  (unsigned long long)w.file_size, (double)(clock_now_us() - t0) * 1e-6);
    else if (s == STATUS_UNAVAILABLE || s == STATUS_CANCELLED)
        log_event(LOG_INFO, "packed_cache_not_written", "file=%s reason=%s", w.c->path,
                  w.err.message);
    else
        log_event(LOG_WARN, "packed_cache_not_written", "file=%s reason=%s hint=%s", w.c->path,
                  w.err.message, "the server works without it; the next start packs again");
    if (w.fd >= 0) close(w.fd); /* gives the lock back */
    free(w.entries);
    free(w.piece);
    if (atomic_exchange(&w.c->phase, PACKED_DONE) == PACKED_LEFT) packed_cache_free(w.c);
    return NULL;
}

void packed_cache_write(struct packed_cache *c, const struct packed_array *arrays, int n)
{
    int e = ENOMEM;
    c->arrays = calloc((size_t)n, sizeof *c->arrays);
    if (c->arrays) {
        memcpy(c->arrays, arrays, (size_t)n * sizeof *arrays);
        c->n_arrays = n;
        sigset_t all, old; /* signals are the loop thread's; a file size limit is an error here */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        e = pthread_create(&c->writer, NULL, writer_main, c);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    c->has_writer = e == 0;
    if (e == 0)
        pthread_setname_np(c->writer, "inferd-packed");
    else
        log_event(LOG_WARN, "packed_cache_not_written", "file=%s reason=%s", c->path, strerror(e));
}

void packed_cache_wait(struct packed_cache *c)
{
    if (c->has_writer) pthread_join(c->writer, NULL);
    c->has_writer = false;
}
