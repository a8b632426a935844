/* device.h with the host as the device: launches run at once, or are recorded while the stream is
 * being captured.  Allocations are exact, so that the address sanitizer guards their ends.
 *
 * The environment chooses what a program that knows nothing of the shim runs under:
 *   INFERD_CUDA_HOST_SCHEDULE  forward (as without it), reverse, or a number: the seed of a random one
 *   INFERD_CUDA_HOST_ARCH      80, 89 or 90 (as without it) */
#include "tests/cuda_host/cuda_host.h"

#include <cstdlib>
#include <functional>
#include <vector>

extern "C" {
#include "cuda/device.h"
}

struct device_graph {
    std::vector<std::function<void()>> work;
};

struct device {
    struct device_info info;
    std::vector<void *> blocks;
    device_graph *recording = nullptr;
};

namespace
{
void run_or_record(device *d, std::function<void()> work)
{
    if (d && d->recording)
        d->recording->work.push_back(std::move(work));
    else
        work();
}

enum status take(device *d, void **out, size_t size, const char *what, struct error *err)
{
    void *p = nullptr;
    if (posix_memalign(&p, 256, size ? size : 1) != 0)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for %s (%zu bytes)", what, size);
    memset(p, 0xff, size); /* nothing may count on zeros: NaN as a float, -1 as an integer */
    d->blocks.push_back(p);
    *out = p;
    return STATUS_OK;
}

/* The host's memory that a captured copy names is read when the graph runs. */
void check_not_on_stack(const device *d, const void *p, const char *what)
{
    if (d->recording) ih::check_arguments(&p, sizeof p, ih::here(what));
}

enum status read_environment(struct error *err)
{
    const char *order = getenv("INFERD_CUDA_HOST_SCHEDULE"),
               *arch = getenv("INFERD_CUDA_HOST_ARCH");
    char *end = nullptr;
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

void ih::submit(void *stream, dim3 grid, dim3 block, size_t shared_size, std::function<void()> body,
                site at)
{
    check_launch(grid, block, shared_size, at); /* a captured launch too, as CUDA does */
    run_or_record(static_cast<device *>(stream),
                  [=] { launch(grid, block, shared_size, body, at); });
}

extern "C" {

enum status device_open(struct device **out, int index, struct error *err)
{
    if (index != 0) return error_set(err, STATUS_UNAVAILABLE, "the host shim has one device");
    const enum status s = read_environment(err);
    if (s != STATUS_OK) return s;
    *out = new device();
    struct device_info *i = &(*out)->info;
    snprintf(i->name, sizeof i->name, "host shim");
    i->major = ih::arch() / 10;
    i->minor = ih::arch() % 10;
    i->n_sms = 4;
    i->total = i->free = (size_t)4 << 30;
    i->l2_size = (size_t)32 << 20;
    return STATUS_OK;
}

void device_close(struct device *d)
{
    if (!d) return;
    for (void *p : d->blocks) free(p);
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
    return take(d, out, size, what, err);
}

enum status device_alloc_shared(struct device *d, void **out, size_t size, const char *what,
                                struct error *err)
{
    return take(d, out, size, what, err);
}

enum status device_alloc_pinned(struct device *d, void **out, size_t size, const char *what,
                                struct error *err)
{
    return take(d, out, size, what, err);
}

size_t device_memory_left(struct device *d)
{
    return d->info.free;
}

void device_free(struct device *d, void *p)
{
    for (size_t i = 0; i < d->blocks.size(); i++) {
        if (d->blocks[i] != p) continue;
        d->blocks[i] = d->blocks.back();
        d->blocks.pop_back();
        free(p);
        return;
    }
}

void device_copy(struct device *d, void *dst, const void *src, size_t size)
{
    check_not_on_stack(d, dst, "device_copy");
    check_not_on_stack(d, src, "device_copy");
    run_or_record(d, [=] { memcpy(dst, src, size), ih::n_transfers++; });
}

void device_copy_rows(struct device *d, void *dst, size_t dst_pitch, const void *src,
                      size_t src_pitch, size_t width, size_t n)
{
    run_or_record(d, [=] {
        ih::n_transfers++;
        for (size_t i = 0; i < n; i++)
            memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    });
}

void device_zero(struct device *d, void *p, size_t size)
{
    run_or_record(d, [=] { memset(p, 0, size), ih::n_transfers++; });
}

enum status device_wait(struct device *d, struct error *err)
{
    if (d->recording) return error_set(err, STATUS_INTERNAL, "a wait inside a capture");
    return STATUS_OK;
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
    *out = d->recording;
    d->recording = nullptr;
    return STATUS_OK;
}

void device_graph_launch(struct device *d, struct device_graph *g)
{
    if (d->recording) ih::fatal(ih::here("device_graph_launch"), "inside a capture");
    for (const auto &work : g->work) work();
}

void device_graph_free(struct device *d, struct device_graph *g)
{
    (void)d;
    delete g;
}
}
