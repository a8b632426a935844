#include "cuda/upload.h"

#include "config/base/log.h"
#include "engine/convert.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Copies that the bus has to do while the caller waits for the buffer of an earlier one. */
#define COPIES_AHEAD 2
#define MAX_BUFFERS  (2 * UPLOAD_MAX_THREADS + COPIES_AHEAD)

struct buffer {
    void *pinned;
    struct device_event *copied; /* behind its last copy */
    bool full;
};

/* Bytes that a thread reads at a time of a file whose type is converted: they stay in its L2 cache. */
#define STRIP ((size_t)256 << 10)

/* A source as pieces: whole rows, within one part. */
struct reading {
    const struct weight_source *src;
    int per_piece; /* rows */
    int n_pieces;
};

struct upload {
    struct device *device;
    void *scratch;
    struct buffer buffers[MAX_BUFFERS];
    int n_buffers;
    int first; /* buffer of piece 0 of the source under way */
    struct worker {
        struct upload *of;
        pthread_t thread;
        void *strip;
    } workers[UPLOAD_MAX_THREADS]; /* the first is the caller */
    int n_workers;

    pthread_mutex_t lock; /* of all below, and of `full` */
    pthread_cond_t granted_more, read_one;
    struct reading r;
    int granted, taken; /* pieces whose buffers are free; that somebody reads or has read */
    int n_reading;      /* being read now */
    bool failed, stop;
};

/* --- pieces --- */

struct piece {
    int part, row, row_of_all, n; /* `row` within the part */
};

static struct piece locate(const struct reading *r, int index)
{
    struct piece p = {0};
    for (;; p.part++) {
        const int rows = r->src->parts[p.part].rows;
        const int n = (rows + r->per_piece - 1) / r->per_piece;
        if (index < n) break;
        index -= n;
        p.row_of_all += rows;
    }
    const int rows = r->src->parts[p.part].rows;
    p.row = index * r->per_piece;
    p.row_of_all += p.row;
    p.n = rows - p.row < r->per_piece ? rows - p.row : r->per_piece;
    return p;
}

static struct buffer *buffer_of(struct upload *u, int index)
{
    return &u->buffers[(u->first + index) % u->n_buffers];
}

/* Bytes [at, at + size) of a file, all of them. */
static bool read_file(int fd, void *out, size_t size, uint64_t at)
{
    for (char *to = out; size > 0;) {
        const ssize_t n = pread(fd, to, size, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n, at += (uint64_t)n, size -= (size_t)n;
    }
    return true;
}

/* `strip`: STRIP bytes of the reading thread's own, for what is converted. */
static bool read_piece(const struct reading *r, int index, void *out, void *strip)
{
    const struct piece p = locate(r, index);
    const struct weight_source *src = r->src;
    const enum dtype from = src->parts[p.part].as_stored ? src->parts[p.part].stored : src->dtype;
    const size_t n = (size_t)p.n * (size_t)src->cols, item = dtype_size(from);
    const size_t at = (size_t)p.row * (size_t)src->cols * item;
    const int fd = src->parts[p.part].fd;
    const uint64_t file_at = src->parts[p.part].file_at + at;
    if (fd <= 0)
        convert_elements(out, src->dtype, (const char *)src->parts[p.part].data + at, from, n);
    else if (from == src->dtype)
        return read_file(fd, out, n * item, file_at);
    else
        for (size_t i = 0, len; i < n; i += len) {
            len = n - i < STRIP / item ? n - i : STRIP / item;
            if (!read_file(fd, strip, len * item, file_at + i * item)) return false;
            convert_elements((char *)out + i * dtype_size(src->dtype), src->dtype, strip, from,
                             len);
        }
    return true;
}

/* --- threads --- */

/* Reads the next piece that was granted; with the lock, which it gives up meanwhile. */
static void read_next(struct upload *u, void *strip)
{
    const int index = u->taken++;
    struct buffer *b = buffer_of(u, index);
    u->n_reading++;
    pthread_mutex_unlock(&u->lock);
    const bool ok = read_piece(&u->r, index, b->pinned, strip);
    pthread_mutex_lock(&u->lock);
    u->n_reading--;
    b->full = true;
    u->failed = u->failed || !ok;
    pthread_cond_signal(&u->read_one);
}

static void *worker_main(void *arg)
{
    const struct worker *w = arg;
    struct upload *u = w->of;
    pthread_mutex_lock(&u->lock);
    while (!u->stop) {
        if (u->taken < u->granted)
            read_next(u, w->strip);
        else
            pthread_cond_wait(&u->granted_more, &u->lock);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

/* One for the caller, others until there are n, or no more can be made. */
static enum status start_workers(struct upload *u, int n, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; u->n_workers < n; u->n_workers++) {
        struct worker *w = &u->workers[u->n_workers];
        w->of = u;
        w->strip = malloc(STRIP);
        if (!w->strip) break;
        if (u->n_workers > 0 && pthread_create(&w->thread, NULL, worker_main, w) != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (u->n_workers > 0) return STATUS_OK;
    return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static int choose_threads(int n)
{
    cpu_set_t cpus;
    if (n <= 0) n = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return n < UPLOAD_MAX_THREADS ? n : UPLOAD_MAX_THREADS;
}

/* --- open and close --- */

static enum status take_buffers(struct upload *u, int n, struct error *err)
{
    for (; u->n_buffers < n; u->n_buffers++) {
        struct buffer *b = &u->buffers[u->n_buffers];
        enum status s =
            device_alloc_pinned(u->device, &b->pinned, UPLOAD_PIECE, "an upload buffer", err);
        if (s == STATUS_NO_MEMORY && u->n_buffers > 0) {
            log_event(LOG_WARN, "upload_buffers", "wanted=%d got=%d reason=%s", n, u->n_buffers,
                      err->message);
            return STATUS_OK;
        }
        if (s == STATUS_OK) s = device_event_create(u->device, &b->copied, err);
        if (s != STATUS_OK) return s;
    }
    return STATUS_OK;
}

enum status cuda_upload_open(struct upload **out, struct device *d, int n_threads,
                             struct error *err)
{
    const int n = choose_threads(n_threads);
    struct upload *u = calloc(1, sizeof *u);
    if (!u) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    u->device = d;
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->granted_more, NULL);
    pthread_cond_init(&u->read_one, NULL);
    enum status s = device_alloc(d, &u->scratch, UPLOAD_PIECE, "an upload buffer", err);
    if (s == STATUS_OK) s = take_buffers(u, 2 * n + COPIES_AHEAD, err);
    if (s == STATUS_OK) s = start_workers(u, n, err);
    if (s != STATUS_OK) {
        cuda_upload_close(u);
        return s;
    }
    *out = u;
    return STATUS_OK;
}

void cuda_upload_close(struct upload *u)
{
    if (!u) return;
    pthread_mutex_lock(&u->lock);
    u->stop = true;
    pthread_cond_broadcast(&u->granted_more);
    pthread_mutex_unlock(&u->lock);
    for (int i = 1; i < u->n_workers; i++) pthread_join(u->workers[i].thread, NULL);
    for (int i = 0; i < UPLOAD_MAX_THREADS; i++) free(u->workers[i].strip);
    for (int i = 0; i < MAX_BUFFERS; i++) {
        device_event_free(u->device, u->buffers[i].copied);
        if (u->buffers[i].pinned) device_free(u->device, u->buffers[i].pinned);
    }
    if (u->scratch) device_free(u->device, u->scratch);
    pthread_cond_destroy(&u->read_one);
    pthread_cond_destroy(&u->granted_more);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

void *cuda_upload_scratch(const struct upload *u)
{
    return u->scratch;
}

int cuda_upload_buffers(const struct upload *u)
{
    return u->n_buffers;
}

/* --- a source --- */

/* Lets pieces be read as far ahead of piece `index` as there are buffers, less those whose copies the
 * bus still has to do. */
static enum status grant(struct upload *u, int index, struct error *err)
{
    const int ahead = u->n_buffers > COPIES_AHEAD ? u->n_buffers - COPIES_AHEAD : 1;
    for (int g = u->granted; g < u->r.n_pieces && g < index + ahead; g++) {
        const enum status s = device_event_wait(u->device, buffer_of(u, g)->copied, err);
        if (s != STATUS_OK) return s;
        pthread_mutex_lock(&u->lock);
        u->granted = g + 1;
        pthread_cond_signal(&u->granted_more);
        pthread_mutex_unlock(&u->lock);
    }
    return STATUS_OK;
}

/* Until piece `index` is there; reads others, or it, meanwhile.  False: one could not be read. */
static bool await_piece(struct upload *u, int index)
{
    struct buffer *b = buffer_of(u, index);
    pthread_mutex_lock(&u->lock);
    while (!b->full && !u->failed) {
        if (u->taken < u->granted)
            read_next(u, u->workers[0].strip);
        else
            pthread_cond_wait(&u->read_one, &u->lock);
    }
    const bool ok = !u->failed;
    b->full = false;
    pthread_mutex_unlock(&u->lock);
    return ok;
}

/* Nobody reads the source any more. */
static void end_reading(struct upload *u)
{
    pthread_mutex_lock(&u->lock);
    u->granted = u->taken;
    while (u->n_reading > 0) pthread_cond_wait(&u->read_one, &u->lock);
    for (int i = 0; i < u->n_buffers; i++) u->buffers[i].full = false;
    u->first = (u->first + u->r.n_pieces) % u->n_buffers;
    u->granted = u->taken = 0;
    u->failed = false;
    pthread_mutex_unlock(&u->lock);
}

static enum status begin_reading(struct upload *u, const struct weight_source *src,
                                 struct error *err)
{
    const size_t width = (size_t)src->cols * dtype_size(src->dtype);
    struct reading r = {.src = src, .per_piece = (int)(UPLOAD_PIECE / width)};
    if (r.per_piece < 1)
        return error_set(err, STATUS_UNSUPPORTED, "a parameter of %zu bytes a row is too wide",
                         width);
    for (int i = 0; i < src->n_parts; i++)
        r.n_pieces += (src->parts[i].rows + r.per_piece - 1) / r.per_piece;
    u->r = r; /* nobody looks before something is granted */
    return STATUS_OK;
}

enum status cuda_upload_rows(struct upload *u, const struct weight_source *src, upload_put_fn *put,
                             void *ctx, struct error *err)
{
    enum status s = begin_reading(u, src, err);
    if (s != STATUS_OK) return s;
    for (int i = 0; i < u->r.n_pieces; i++) {
        s = grant(u, i, err);
        if (s != STATUS_OK) break;
        if (!await_piece(u, i)) {
            s = error_set(err, STATUS_IO,
                          "weights cannot be read: their file is shorter than it was, or its disk "
                          "fails");
            break;
        }
        const struct piece p = locate(&u->r, i);
        put(ctx, buffer_of(u, i)->pinned, p.row_of_all, p.n);
        device_event_record(u->device, buffer_of(u, i)->copied);
    }
    end_reading(u);
    return s;
}
