#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H

/* device.h - what the backend needs of a GPU: memory, one stream in order, captured graphs.
 *
 * Two bodies: device_cuda.c on the CUDA runtime; tests/cuda_host/device_host.cpp, where the
 * device is the host and kernels run at their launch.  Everything after device_open is enqueued in
 * stream order unless it says that it waits.  Errors of enqueued work are sticky: device_wait
 * reports the first one, and the device is of no use from then on.
 * Threads: one owner. */

#include "config/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct device_graph;
struct device_event;

struct device_info {
    char name[256];
    int major, minor; /* compute capability */
    int n_sms;
    size_t total, free; /* bytes of memory; free: at open */
    size_t code_size;   /* bytes that code takes once it was loaded, at most */
    size_t l2_size;
    int clock_khz, memory_clock_khz, memory_bus_bits; /* the highest clocks; 0: not known */
    int driver, runtime;                              /* CUDA versions, 1000 * major + 10 * minor */
};

/* UNAVAILABLE with the reason when there is no such GPU, or its driver cannot serve this build. */
enum status device_open(struct device **out, int index, struct error *err);
/* A device like another one that only counts what it is asked for, rounded up as the driver does: what
 * device_alloc gives there is no memory, and what is enqueued does nothing. */
enum status device_open_counting(struct device **out, const struct device *like, struct error *err);
bool device_counts(const struct device *d);
void device_close(struct device *d); /* frees what was allocated on it; NULL is fine */
const struct device_info *device_info(const struct device *d);
void *device_stream(const struct device *d); /* for launchers; on CUDA a struct device_queue */
struct device_queue {
    void *stream; /* cudaStream_t */
    bool overlap;
};
/* Whether a kernel may begin while those ahead of it run, as programmatic dependent launch has it
 * (ptx.h: grid_wait), from compute capability 9.0 on; before that nothing changes.  false at open. */
void device_set_overlap(struct device *d, bool on);

/* Device memory, 256-byte aligned, not cleared.  `what` is named in the error.  NO_MEMORY, also from
 * device_alloc_pinned, says how much was wanted and how much there is, and nothing of options: those
 * are the engine's. */
enum status device_alloc(struct device *d, void **out, size_t size, const char *what,
                         struct error *err);
/* The same, which the host may address too while nothing runs (managed memory): for tests. */
enum status device_alloc_shared(struct device *d, void **out, size_t size, const char *what,
                                struct error *err);
/* Host memory that copies to and from the device read and write without a detour. */
enum status device_alloc_pinned(struct device *d, void **out, size_t size, const char *what,
                                struct error *err);
size_t device_memory_left(struct device *d); /* bytes that the device could still give */
struct device_usage {
    size_t pinned_most;                /* bytes that were pinned at one time */
    size_t memory, pinned;             /* bytes of the allocations that were not freed */
    uint64_t n_allocations;            /* since open, of graphs too */
    bool memory_failed, pinned_failed; /* which of the two the last one was for that failed */
};
struct device_usage device_usage(const struct device *d);
void device_free(struct device *d, void *p); /* of any of the three; waits */

/* Either side may be host memory; pinned memory must stay unchanged until the copy ran. */
void device_copy(struct device *d, void *dst, const void *src, size_t size);
/* n rows of `width` bytes, `dst_pitch` and `src_pitch` bytes apart. */
void device_copy_rows(struct device *d, void *dst, size_t dst_pitch, const void *src,
                      size_t src_pitch, size_t width, size_t n);
void device_zero(struct device *d, void *p, size_t size);
/* Waits until all that was enqueued has run. */
enum status device_wait(struct device *d, struct error *err);

/* A place in the stream: record marks what was enqueued so far, wait returns when that has run (at
 * once while nothing was marked), with errors like device_wait's.  Freed by device_event_free, before
 * the device is closed. */
enum status device_event_create(struct device *d, struct device_event **out, struct error *err);
void device_event_free(struct device *d, struct device_event *e); /* NULL is fine */
void device_event_record(struct device *d, struct device_event *e);
enum status device_event_wait(struct device *d, struct device_event *e, struct error *err);

/* Between begin and end launches and copies are recorded, not run.  end: NO_MEMORY where the graph
 * finds no room on the device. */
enum status device_capture_begin(struct device *d, struct error *err);
enum status device_capture_end(struct device *d, struct device_graph **out, struct error *err);
void device_graph_launch(struct device *d, struct device_graph *g);
void device_graph_free(struct device *d, struct device_graph *g);

#endif
