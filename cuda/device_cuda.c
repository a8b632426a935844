/* device.h on the CUDA runtime. */
#include "cuda/device.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    void *p;
    size_t size;
    bool pinned;
};

struct device {
    struct device_info info;
    int index;
    cudaStream_t stream;
    struct device_queue queue; /* for launchers: the stream */
    struct block *blocks;
    struct device_usage usage;
    bool counts;
    cudaError_t failed; /* the first error of an enqueue that could not report it */
};

struct device_graph {
    cudaGraphExec_t exec;
};

struct device_event {
    cudaEvent_t event;
};

#define MIB(size) ((double)(size) / (double)(1u << 20))

static enum status cuda_error(struct error *err, enum status code, cudaError_t e, const char *what)
{
    return error_set(err, code, "%s: %s (%s)", what, cudaGetErrorString(e), cudaGetErrorName(e));
}

/* For calls that return nothing: device_wait tells. */
static void note(struct device *d, cudaError_t e)
{
    if (e != cudaSuccess && d->failed == cudaSuccess) d->failed = e;
}

/* --- open and close --- */

/* 0 where the driver does not say. */
static int attribute(int index, enum cudaDeviceAttr what)
{
    int value = 0;
    if (cudaDeviceGetAttribute(&value, what, index) == cudaSuccess && value > 0) return value;
    cudaGetLastError();
    return 0;
}

/* Of this object's kernels and the library's, which are loaded at their first launch: a guess on the
 * large side. */
#define CODE_SIZE ((size_t)256 << 20)

static enum status read_info(struct device *d, struct error *err)
{
    struct cudaDeviceProp p;
    cudaError_t e = cudaGetDeviceProperties(&p, d->index);
    if (e != cudaSuccess) return cuda_error(err, STATUS_UNAVAILABLE, e, "the GPU's properties");
    struct device_info *i = &d->info;
    snprintf(i->name, sizeof i->name, "%s", p.name);
    i->major = p.major;
    i->minor = p.minor;
    i->n_sms = p.multiProcessorCount;
    i->l2_size = (size_t)p.l2CacheSize;
    i->code_size = CODE_SIZE;
    i->clock_khz = attribute(d->index, cudaDevAttrClockRate);
    i->memory_clock_khz = attribute(d->index, cudaDevAttrMemoryClockRate);
    i->memory_bus_bits = attribute(d->index, cudaDevAttrGlobalMemoryBusWidth);
    if (p.major < 8)
        return error_set(err, STATUS_UNAVAILABLE,
                         "GPU %d (%s) has compute capability %d.%d: 8.0 or later is needed",
                         d->index, p.name, p.major, p.minor);
    e = cudaMemGetInfo(&i->free, &i->total);
    if (e == cudaSuccess) e = cudaDriverGetVersion(&i->driver);
    if (e == cudaSuccess) e = cudaRuntimeGetVersion(&i->runtime);
    if (e != cudaSuccess) return cuda_error(err, STATUS_UNAVAILABLE, e, "the GPU's memory");
    return STATUS_OK;
}

enum status device_open(struct device **out, int index, struct error *err)
{
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess) return cuda_error(err, STATUS_UNAVAILABLE, e, "no GPU can be used");
    if (index < 0 || index >= n)
        return error_set(err, STATUS_UNAVAILABLE, "there is no GPU %d: this machine has %d", index,
                         n);
    struct device *d = calloc(1, sizeof *d);
    if (!d) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    d->index = index;
    e = cudaSetDevice(index);
    if (e == cudaSuccess) e = cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking);
    d->queue.stream = d->stream;
    enum status s = STATUS_OK;
    if (e != cudaSuccess) s = cuda_error(err, STATUS_UNAVAILABLE, e, "the GPU cannot be opened");
    if (s == STATUS_OK) s = read_info(d, err);
    if (s != STATUS_OK) {
        device_close(d);
        return s;
    }
    *out = d;
    return STATUS_OK;
}

enum status device_open_counting(struct device **out, const struct device *like, struct error *err)
{
    struct device *d = calloc(1, sizeof *d);
    if (!d) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    d->info = like->info;
    d->index = like->index;
    d->counts = true;
    *out = d;
    return STATUS_OK;
}

bool device_counts(const struct device *d)
{
    return d->counts;
}

void device_close(struct device *d)
{
    if (!d) return;
    if (d->stream) cudaStreamSynchronize(d->stream);
    while (d->blocks) device_free(d, d->blocks->p);
    if (d->stream) cudaStreamDestroy(d->stream);
    free(d);
}

const struct device_info *device_info(const struct device *d)
{
    return &d->info;
}

void *device_stream(const struct device *d)
{
    return (void *)&d->queue;
}

void device_set_overlap(struct device *d, bool on)
{
    d->queue.overlap = on && d->info.major >= 9;
}

/* --- memory --- */

size_t device_memory_left(struct device *d)
{
    size_t left = 0, total = 0;
    note(d, cudaMemGetInfo(&left, &total));
    return left;
}

struct device_usage device_usage(const struct device *d)
{
    return d->usage;
}

static void add_usage(struct device *d, size_t size, bool pinned)
{
    d->usage.n_allocations++;
    if (pinned) {
        d->usage.pinned += size;
        if (d->usage.pinned > d->usage.pinned_most) d->usage.pinned_most = d->usage.pinned;
    } else
        d->usage.memory += size;
}

/* The driver gives large allocations whole pages of 2 MiB; small ones share such pages. */
#define PAGE ((size_t)2 << 20)
static enum status count(struct device *d, void **out, size_t size, bool pinned)
{
    const size_t unit = pinned ? 4096 : size >= PAGE / 2 ? PAGE : 512;
    add_usage(d, (size + unit - 1) / unit * unit, pinned);
    *out = (void *)(uintptr_t)PAGE; /* an address that nothing looks at */
    return STATUS_OK;
}

static enum status own(struct device *d, void **out, void *p, size_t size, bool pinned,
                       struct error *err)
{
    struct block *b = malloc(sizeof *b);
    if (!b) {
        if (pinned)
            cudaFreeHost(p);
        else
            cudaFree(p);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    *b = (struct block){.next = d->blocks, .p = p, .size = size, .pinned = pinned};
    add_usage(d, size, pinned);
    d->blocks = b;
    *out = p;
    return STATUS_OK;
}

static enum status no_memory(struct device *d, cudaError_t e, size_t size, const char *what,
                             struct error *err)
{
    if (e != cudaErrorMemoryAllocation) return cuda_error(err, STATUS_UNAVAILABLE, e, what);
    cudaGetLastError(); /* running out of memory is not sticky */
    d->usage.memory_failed = true;
    d->usage.pinned_failed = false;
    return error_set(err, STATUS_NO_MEMORY, "GPU %d has %.1f MiB left and %s needs %.1f MiB",
                     d->index, MIB(device_memory_left(d)), what, MIB(size));
}

enum status device_alloc(struct device *d, void **out, size_t size, const char *what,
                         struct error *err)
{
    void *p = NULL;
    if (d->counts) return count(d, out, size, false);
    const cudaError_t e = cudaMalloc(&p, size ? size : 1);
    if (e != cudaSuccess) return no_memory(d, e, size, what, err);
    return own(d, out, p, size, false, err);
}

enum status device_alloc_shared(struct device *d, void **out, size_t size, const char *what,
                                struct error *err)
{
    void *p = NULL;
    if (d->counts) return count(d, out, size, false);
    const cudaError_t e = cudaMallocManaged(&p, size ? size : 1, cudaMemAttachGlobal);
    if (e != cudaSuccess) return no_memory(d, e, size, what, err);
    return own(d, out, p, size, false, err);
}

enum status device_alloc_pinned(struct device *d, void **out, size_t size, const char *what,
                                struct error *err)
{
    void *p = NULL;
    if (d->counts) return count(d, out, size, true);
    const cudaError_t e = cudaHostAlloc(&p, size ? size : 1, cudaHostAllocDefault);
    if (e == cudaSuccess) return own(d, out, p, size, true, err);
    if (e != cudaErrorMemoryAllocation) return cuda_error(err, STATUS_UNAVAILABLE, e, what);
    cudaGetLastError(); /* not sticky */
    d->usage.memory_failed = false;
    d->usage.pinned_failed = true;
    return error_set(err, STATUS_NO_MEMORY,
                     "the host pins %.1f MiB, but not the %.1f MiB more that %s needs",
                     MIB(d->usage.pinned), MIB(size), what);
}

void device_free(struct device *d, void *p)
{
    for (struct block **at = &d->blocks; *at; at = &(*at)->next) {
        struct block *b = *at;
        if (b->p != p) continue;
        *at = b->next;
        *(b->pinned ? &d->usage.pinned : &d->usage.memory) -= b->size;
        note(d, b->pinned ? cudaFreeHost(p) : cudaFree(p));
        free(b);
        return;
    }
}

/* --- the stream --- */

void device_copy(struct device *d, void *dst, const void *src, size_t size)
{
    if (d->counts) return;
    if (size > 0) note(d, cudaMemcpyAsync(dst, src, size, cudaMemcpyDefault, d->stream));
}

void device_copy_rows(struct device *d, void *dst, size_t dst_pitch, const void *src,
                      size_t src_pitch, size_t width, size_t n)
{
    if (width == 0 || n == 0 || d->counts) return;
    note(d,
         cudaMemcpy2DAsync(dst, dst_pitch, src, src_pitch, width, n, cudaMemcpyDefault, d->stream));
}

void device_zero(struct device *d, void *p, size_t size)
{
    if (d->counts) return;
    if (size > 0) note(d, cudaMemsetAsync(p, 0, size, d->stream));
}

/* After a wait that ended with `run`: the first error there was. */
static enum status outcome(struct device *d, cudaError_t run, struct error *err)
{
    note(d, cudaPeekAtLastError()); /* a launch that was refused */
    note(d, run);
    if (d->failed == cudaSuccess) return STATUS_OK;
    /* Code that is loaded at a kernel's first launch takes memory, too. */
    const bool full = d->failed == cudaErrorMemoryAllocation;
    if (full) {
        d->usage.memory_failed = true;
        d->usage.pinned_failed = false;
    }
    return cuda_error(err, full ? STATUS_NO_MEMORY : STATUS_INTERNAL, d->failed, "the GPU failed");
}

enum status device_wait(struct device *d, struct error *err)
{
    if (d->counts) return STATUS_OK;
    return outcome(d, cudaStreamSynchronize(d->stream), err);
}

/* --- events --- */

enum status device_event_create(struct device *d, struct device_event **out, struct error *err)
{
    if (d->counts) return STATUS_OK;
    struct device_event *e = calloc(1, sizeof *e);
    if (!e) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    /* Whoever waits has nothing else to do, and the cores are wanted by the server's other threads: it
     * sleeps.  That it wakes some microseconds later is hidden by the step behind, which is enqueued
     * already; where steps go one by one each of them pays it. */
    const cudaError_t made =
        cudaEventCreateWithFlags(&e->event, cudaEventDisableTiming | cudaEventBlockingSync);
    if (made != cudaSuccess) {
        free(e);
        return cuda_error(err, STATUS_INTERNAL, made, "an event");
    }
    *out = e;
    return STATUS_OK;
}

void device_event_free(struct device *d, struct device_event *e)
{
    if (!e) return;
    note(d, cudaEventDestroy(e->event));
    free(e);
}

void device_event_record(struct device *d, struct device_event *e)
{
    note(d, cudaEventRecord(e->event, d->stream));
}

enum status device_event_wait(struct device *d, struct device_event *e, struct error *err)
{
    return outcome(d, cudaEventSynchronize(e->event), err);
}

/* --- graphs --- */

enum status device_capture_begin(struct device *d, struct error *err)
{
    const cudaError_t e = cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal);
    return e == cudaSuccess ? STATUS_OK : cuda_error(err, STATUS_INTERNAL, e, "a capture");
}

enum status device_capture_end(struct device *d, struct device_graph **out, struct error *err)
{
    cudaGraph_t graph = NULL;
    cudaError_t e = cudaStreamEndCapture(d->stream, &graph);
    if (e != cudaSuccess) return cuda_error(err, STATUS_INTERNAL, e, "the end of a capture");
    struct device_graph *g = calloc(1, sizeof *g);
    if (g) e = cudaGraphInstantiate(&g->exec, graph, 0);
    cudaGraphDestroy(graph);
    if (!g) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    /* Now, not at the first launch: nothing is allocated once requests come. */
    if (e == cudaSuccess) {
        e = cudaGraphUpload(g->exec, d->stream);
        if (e != cudaSuccess) cudaGraphExecDestroy(g->exec);
    }
    if (e != cudaSuccess) {
        free(g);
        if (e != cudaErrorMemoryAllocation)
            return cuda_error(err, STATUS_INTERNAL, e, "a captured step");
        cudaGetLastError(); /* not sticky */
        d->usage.memory_failed = true;
        d->usage.pinned_failed = false;
        return error_set(err, STATUS_NO_MEMORY, "GPU %d has %.1f MiB left: no room for a graph",
                         d->index, MIB(device_memory_left(d)));
    }
    d->usage.n_allocations++;
    *out = g;
    return STATUS_OK;
}

void device_graph_launch(struct device *d, struct device_graph *g)
{
    note(d, cudaGraphLaunch(g->exec, d->stream));
}

void device_graph_free(struct device *d, struct device_graph *g)
{
    if (!g) return;
    note(d, cudaGraphExecDestroy(g->exec));
    free(g);
}
