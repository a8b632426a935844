/* device.h with the host as the device: launches and copies run at once, or as late as a stream may
 * run them, or are recorded while the stream is being captured.  Allocations are exact, so that the
 * address sanitizer guards their ends.
 *
 * The environment chooses what a program that knows nothing of the shim runs under:
 *   INFERD_CUDA_HOST_SCHEDULE  forward (as without it), reverse, or a number: the seed of a random one
 *   INFERD_CUDA_HOST_ARCH      80, 89 or 90 (as without it)
 *   INFERD_CUDA_HOST_STREAM    now (as without it), or late: nothing runs before the host waits for it,
 *                              so that memory which is changed too early, or read, shows
 *   INFERD_CUDA_HOST_FAIL      a file: the device fails at the first wait after that file is there
 *   INFERD_CUDA_HOST_MEMORY, _PINNED  bytes of the device's memory (4 GiB), and of what the host pins
 *   INFERD_CUDA_HOST_GRAPH     bytes that a graph takes of the device (0) */
#include "tests/cuda_host/cuda_host.h"

#include <cstdlib>
#include <deque>
#include <functional>
#include <unistd.h>
#include <vector>

extern "C" {
#include "cuda/device.h"

/* Allocations of the process on any device that is no counting one, pinned ones and graphs too: for
 * tests that load the plug-in and look for the symbol. */
extern uint64_t ih_allocations;
}

struct device_graph {
    std::vector<std::function<void()>> work;
    size_t size = 0; /* of the device's memory */
};

struct device_event {
    size_t at = 0; /* n_enqueued when it was recorded */
};

struct block {
    char *p;
    size_t size;
    bool pinned;
};

struct device {
    struct device_info info;
    std::vector<block> blocks;
    device_graph *recording = nullptr;
    bool late = false, overlap = false;
    int fill =
        0xff; /* of fresh memory: nothing may count on zeros (NaN as a float, -1 as an integer) */
    std::deque<std::function<void()>> queue; /* of a late stream */
    size_t n_enqueued = 0, n_run = 0;
    const char *fail_file = nullptr;
    bool failed = false, counts = false;
    struct device_usage usage = {};
    size_t graph_size = 0, graphs_size = 0;
};

namespace
{
void run_or_record(device *d, std::function<void()> work)
{
    if (d && d->recording) {
        d->recording->work.push_back(std::move(work));
    } else if (d && d->late) {
        d->queue.push_back(std::move(work));
        d->n_enqueued++;
    } else if (!d || !d->failed) {
        work();
    }
}

/* Anything but a kernel waits for all kernels ahead of it. */
void run_or_record_whole(device *d, std::function<void()> work)
{
    run_or_record(d, [=] {
        ih::finish_launches();
        work();
    });
}

void run_until(device *d, size_t n)
{
    while (d->n_run < n) {
        const std::function<void()> work = std::move(d->queue.front());
        d->queue.pop_front();
        d->n_run++;
        if (!d->failed) work();
    }
    ih::finish_launches();
}

/* The end of a wait.  What fails stays failed. */
enum status outcome(device *d, struct error *err)
{
    d->failed = d->failed || (d->fail_file && access(d->fail_file, F_OK) == 0);
    if (!d->failed) return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, "the host shim failed: %s is there", d->fail_file);
}

/* Device memory and pinned memory are read and written when the stream gets there; for other memory
 * CUDA does not come back before it has read it, or written it. */
bool is_own(const device *d, const void *p)
{
    for (const block &b : d->blocks)
        if (p >= b.p && p < b.p + b.size) return true;
    return false;
}

size_t memory_left(const device *d)
{
    return d->info.total - d->usage.memory - d->graphs_size;
}

void allocated(device *d, size_t size, bool pinned)
{
    (pinned ? d->usage.pinned : d->usage.memory) += size;
    if (d->usage.pinned > d->usage.pinned_most) d->usage.pinned_most = d->usage.pinned;
    d->usage.n_allocations++;
    if (!d->counts) ih_allocations++;
    if (pinned && !d->counts && ih::pinned_left != SIZE_MAX) ih::pinned_left -= size;
}

enum status refuse(device *d, size_t size, size_t left, bool pinned, const char *what,
                   struct error *err)
{
    d->usage.pinned_failed = pinned;
    d->usage.memory_failed = !pinned;
    return error_set(err, STATUS_NO_MEMORY, "%s has %zu bytes left and %s needs %zu",
                     pinned ? "the host's pinned memory" : "the host shim", left, what, size);
}

enum status take(device *d, void **out, size_t size, bool pinned, const char *what,
                 struct error *err)
{
    void *p = nullptr;
    if (d->counts) {
        allocated(d, size, pinned);
        *out = (void *)(uintptr_t)4096; /* an address that nothing looks at */
        return STATUS_OK;
    }
    const size_t left = pinned ? ih::pinned_left : memory_left(d);
    if (size > left) return refuse(d, size, left, pinned, what, err);
    if (posix_memalign(&p, 256, size ? size : 1) != 0)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for %s (%zu bytes)", what, size);
    memset(p, d->fill, size);
    d->blocks.push_back({(char *)p, size, pinned});
    allocated(d, size, pinned);
    *out = p;
    return STATUS_OK;
}

/* The host's memory that a captured copy names is read when the graph runs. */
void check_not_on_stack(const device *d, const void *p, const char *what)
{
    if (d->recording) ih::check_arguments(&p, sizeof p, ih::here(what));
}

/* A number of bytes; *out stays where the environment has none. */
enum status read_size(const char *name, size_t *out, struct error *err)
{
    const char *text = getenv(name);
    if (!text) return STATUS_OK;
    char *end = nullptr;
    const unsigned long long n = strtoull(text, &end, 10);
    if (end == text || *end)
        return error_set(err, STATUS_INVALID, "%s=%s: a number of bytes", name, text);
    *out = (size_t)n;
    return STATUS_OK;
}

enum status read_sizes(device *d, struct error *err)
{
    d->info.total = (size_t)4 << 30;
    enum status s = read_size("INFERD_CUDA_HOST_MEMORY", &d->info.total, err);
    if (s == STATUS_OK) s = read_size("INFERD_CUDA_HOST_PINNED", &ih::pinned_left, err);
    if (s == STATUS_OK) s = read_size("INFERD_CUDA_HOST_GRAPH", &d->graph_size, err);
    d->info.free = d->info.total;
    return s;
}

enum status read_environment(device *d, struct error *err)
{
    const char *order = getenv("INFERD_CUDA_HOST_SCHEDULE"),
               *arch = getenv("INFERD_CUDA_HOST_ARCH");
    char *end = nullptr;
    const char *stream = getenv("INFERD_CUDA_HOST_STREAM"), *fill = getenv("INFERD_CUDA_HOST_FILL");
    if (fill) {
        const unsigned long byte = strtoul(fill, &end, 16);
        if (end == fill || *end || byte > 255)
            return error_set(err, STATUS_INVALID,
                             "INFERD_CUDA_HOST_FILL=%s: a byte as two hexadecimal digits", fill);
        d->fill = (int)byte;
    }
    d->fail_file = getenv("INFERD_CUDA_HOST_FAIL");
    d->late = stream && strcmp(stream, "late") == 0;
    if (stream && !d->late && strcmp(stream, "now") != 0)
        return error_set(err, STATUS_INVALID, "INFERD_CUDA_HOST_STREAM=%s: now or late", stream);
    if (order && strcmp(order, "forward") == 0) ih::set_schedule(ih::FORWARD, 0);
    if (order && strcmp(order, "reverse") == 0) ih::set_schedule(ih::REVERSE, 0);
    if (order && strcmp(order, "forward") != 0 && strcmp(order, "reverse") != 0) {
        const unsigned long long seed = strtoull(order, &end, 10);
        if (end == order || *end)
            return error_set(err, STATUS_INVALID,
                             "INFERD_CUDA_HOST_SCHEDULE=%s: forward, reverse or a number", order);
        ih::set_schedule(ih::RANDOM, seed);
    }
    if (!arch) return STATUS_OK;
    const long n = strtol(arch, &end, 10);
    if (*end || (n != 80 && n != 89 && n != 90))
        return error_set(err, STATUS_INVALID, "INFERD_CUDA_HOST_ARCH=%s: 80, 89 or 90", arch);
    ih::set_arch((int)n);
    return STATUS_OK;
}
} // namespace

size_t ih::pinned_left = SIZE_MAX;
uint64_t ih_allocations = 0;

void ih::submit(void *stream, dim3 grid, dim3 block, size_t shared_size, std::function<void()> body,
                site at)
{
    check_launch(grid, block, shared_size, at); /* a captured launch too, as CUDA does */
    device *d = static_cast<device *>(stream);
    run_or_record(d, [=] { launch(d, d && d->overlap, grid, block, shared_size, body, at); });
    if (!d) finish_launches();
}

extern "C" {

enum status device_open(struct device **out, int index, struct error *err)
{
    if (index != 0) return error_set(err, STATUS_UNAVAILABLE, "the host shim has one device");
    device *d = new device();
    enum status s = read_environment(d, err);
    if (s == STATUS_OK) s = read_sizes(d, err);
    if (s != STATUS_OK) {
        delete d;
        return s;
    }
    *out = d;
    struct device_info *i = &(*out)->info;
    snprintf(i->name, sizeof i->name, "host shim");
    i->major = ih::arch() / 10;
    i->minor = ih::arch() % 10;
    i->n_sms = 4;
    i->l2_size = (size_t)32 << 20;
    return STATUS_OK;
}

enum status device_open_counting(struct device **out, const struct device *like, struct error *)
{
    device *d = new device();
    d->info = like->info;
    d->counts = true;
    *out = d;
    return STATUS_OK;
}

bool device_counts(const struct device *d)
{
    return d->counts;
}

struct device_usage device_usage(const struct device *d)
{
    return d->usage;
}

void device_close(struct device *d)
{
    if (!d) return;
    run_until(d, d->n_enqueued);
    while (!d->blocks.empty()) device_free(d, d->blocks.back().p);
    delete d->recording;
    delete d;
}

const struct device_info *device_info(const struct device *d)
{
    return &d->info;
}

void *device_stream(const struct device *d)
{
    return const_cast<device *>(d);
}

enum status device_alloc(struct device *d, void **out, size_t size, const char *what,
                         struct error *err)
{
    return take(d, out, size, false, what, err);
}

enum status device_alloc_shared(struct device *d, void **out, size_t size, const char *what,
                                struct error *err)
{
    return take(d, out, size, false, what, err);
}

enum status device_alloc_pinned(struct device *d, void **out, size_t size, const char *what,
                                struct error *err)
{
    return take(d, out, size, true, what, err);
}

void device_set_overlap(struct device *d, bool on)
{
    d->overlap = on && d->info.major >= 9;
}

size_t device_memory_left(struct device *d)
{
    return memory_left(d);
}

void device_free(struct device *d, void *p)
{
    run_until(d, d->n_enqueued);
    for (size_t i = 0; i < d->blocks.size(); i++) {
        if (d->blocks[i].p != p) continue;
        const block b = d->blocks[i];
        (b.pinned ? d->usage.pinned : d->usage.memory) -= b.size;
        if (b.pinned && ih::pinned_left != SIZE_MAX) ih::pinned_left += b.size;
        d->blocks[i] = d->blocks.back();
        d->blocks.pop_back();
        free(p);
        return;
    }
}

void device_copy(struct device *d, void *dst, const void *src, size_t size)
{
    if (d->counts) return;
    check_not_on_stack(d, dst, "device_copy");
    check_not_on_stack(d, src, "device_copy");
    if (d->late && !d->recording && !is_own(d, src)) {
        const std::vector<char> data((const char *)src, (const char *)src + size);
        run_or_record_whole(d, [=] { memcpy(dst, data.data(), size), ih::n_transfers++; });
        return;
    }
    run_or_record_whole(d, [=] { memcpy(dst, src, size), ih::n_transfers++; });
    if (!d->recording && !is_own(d, dst)) run_until(d, d->n_enqueued);
}

void device_copy_rows(struct device *d, void *dst, size_t dst_pitch, const void *src,
                      size_t src_pitch, size_t width, size_t n)
{
    if (d->counts) return;
    run_or_record_whole(d, [=] {
        ih::n_transfers++;
        for (size_t i = 0; i < n; i++)
            memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    });
    if (!d->recording && !(is_own(d, src) && is_own(d, dst))) run_until(d, d->n_enqueued);
}

void device_zero(struct device *d, void *p, size_t size)
{
    if (d->counts) return;
    run_or_record_whole(d, [=] { memset(p, 0, size), ih::n_transfers++; });
}

enum status device_wait(struct device *d, struct error *err)
{
    if (d->recording) return error_set(err, STATUS_INTERNAL, "a wait inside a capture");
    run_until(d, d->n_enqueued);
    return outcome(d, err);
}

enum status device_event_create(struct device *d, struct device_event **out, struct error *err)
{
    (void)d, (void)err;
    *out = new device_event();
    return STATUS_OK;
}

void device_event_free(struct device *d, struct device_event *e)
{
    (void)d;
    delete e;
}

void device_event_record(struct device *d, struct device_event *e)
{
    e->at = d->n_enqueued;
}

enum status device_event_wait(struct device *d, struct device_event *e, struct error *err)
{
    if (d->recording) return error_set(err, STATUS_INTERNAL, "a wait inside a capture");
    run_until(d, e->at);
    return outcome(d, err);
}

enum status device_capture_begin(struct device *d, struct error *err)
{
    if (d->recording) return error_set(err, STATUS_INTERNAL, "a capture inside a capture");
    d->recording = new device_graph();
    return STATUS_OK;
}

enum status device_capture_end(struct device *d, struct device_graph **out, struct error *err)
{
    if (!d->recording) return error_set(err, STATUS_INTERNAL, "no capture to end");
    device_graph *g = d->recording;
    d->recording = nullptr;
    if (d->graph_size > memory_left(d)) {
        delete g;
        return refuse(d, d->graph_size, memory_left(d), false, "a graph", err);
    }
    g->size = d->graph_size;
    d->graphs_size += g->size;
    d->usage.n_allocations++, ih_allocations++;
    *out = g;
    return STATUS_OK;
}

void device_graph_launch(struct device *d, struct device_graph *g)
{
    if (d->recording) ih::fatal(ih::here("device_graph_launch"), "inside a capture");
    run_or_record_whole(d, [g] {
        for (const auto &work : g->work) work();
        ih::finish_launches();
    });
}

void device_graph_free(struct device *d, struct device_graph *g)
{
    run_until(d, d->n_enqueued);
    if (g) d->graphs_size -= g->size;
    delete g;
}
}
