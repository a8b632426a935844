#ifndef CUDA_UPLOAD_H
#define CUDA_UPLOAD_H

/* upload.h - parameters on their way to the device, in pieces of UPLOAD_PIECE bytes.
 *
 * The calling thread and n_threads - 1 others read pieces of a source, in any order, into a ring of
 * pinned buffers, and convert them on the way where they are stored in another type.  The caller alone
 * talks to the device: it enqueues each piece's copy in order, and an event behind it says when the
 * buffer may be filled again.  When cuda_upload_rows returns the source has been read; copies may be
 * under way still, so that the next weight's pieces are read meanwhile.
 *
 * Memory: 2 n_threads + 2 pinned buffers, 72 MiB with the most threads, or as many of them as the
 * system pins, one at least; 256 KiB a thread; and one piece on the device, for parameters that become
 * integers there.
 * Threads: one owner, the device's; its workers touch host memory only, and block signals. */

#include "cuda/device.h"
#include "engine/backend.h"

/* Large enough for the bus at its full rate, small enough that 32 MiB, the smallest large weights of
 * an 8B model, are a piece for each of 8 threads. */
#define UPLOAD_PIECE       ((size_t)4 << 20)
#define UPLOAD_MAX_THREADS 8

struct upload;

/* n_threads <= 0: one for each CPU that the process may use; never more than UPLOAD_MAX_THREADS. */
enum status cuda_upload_open(struct upload **out, struct device *d, int n_threads,
                             struct error *err);
void cuda_upload_close(struct upload *u);          /* after the copies under way; NULL is fine */
void *cuda_upload_scratch(const struct upload *u); /* UPLOAD_PIECE bytes on the device */
int cuda_upload_buffers(const struct upload *u);

/* Enqueues what becomes of rows [row0, row0 + n) of a source: dense, of its dtype, in pinned memory that
 * stays until what was enqueued has run. */
typedef void upload_put_fn(void *ctx, const void *pinned, int row0, int n);
/* All rows of all parts, ascending.  IO: the source's file is shorter than it was, or its disk fails; else the device's errors, of copies enqueued earlier too. */
enum status cuda_upload_rows(struct upload *u, const struct weight_source *src, upload_put_fn *put,
                             void *ctx, struct error *err);

#endif
